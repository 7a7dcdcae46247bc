"""Logging in to a real server, configured for every method; TLS, certificates, cancelling.

The system's PostgreSQL is used, since the embedded one is built without TLS. PostgreSQL docs: auth-methods,
auth-pg-hba-conf.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from hyperdjango.database import _async_io, _shape, _sync_io
from hyperdjango.database._connect import Established, cancel_steps, connect_steps
from hyperdjango.database._conninfo import parse
from hyperdjango.database._embedded_server import (
    EmbeddedServer,
    ServerNotFound,
    TlsFiles,
    find_server_binaries,
)
from hyperdjango.database._native import native
from hyperdjango.database.errors import ConnectionFailed, QueryCanceled
from pg_certificates import Authority, Signed

pytestmark = pytest.mark.postgres

PASSWORD = "p\u00e4ss w\u00f6rd \u2168/:@%\u00ad"  # SASLprep has work with it, and so has the URI
HBA = [
    "host all u_trust all trust",
    "host all u_password all password",
    "host all u_md5 all md5",
    "host all u_scram all scram-sha-256",
    "hostssl all u_cert all cert",
    "hostssl all u_both all scram-sha-256 clientcert=verify-full",
    "hostssl all u_tls_only all scram-sha-256",
    "hostnossl all u_tls_only all reject",
    "hostnossl all u_plain_only all scram-sha-256",
    "hostssl all u_plain_only all reject",
    "host all u_rejected all reject",
]
USERS = ["u_trust", "u_password", "u_scram", "u_cert", "u_both", "u_tls_only", "u_plain_only", "u_rejected"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Signed:
    # SHA-384, so that the channel binding's hash is not the default one.
    return authority.sign("localhost", ["localhost", "127.0.0.1", "::1"], hash_algorithm=hashes.SHA384())


@pytest.fixture(scope="module")
def server(authority: Authority, certificate: Signed) -> Iterator[EmbeddedServer]:
    try:
        binaries = find_server_binaries(["environment", "pg_config", "debian"])
    except ServerNotFound:
        pytest.skip("no system PostgreSQL: TLS and authentication against a real server are not tested")
    tls = TlsFiles(certificate.certificate_file, certificate.key_file, authority.file)
    with EmbeddedServer(binaries, pg_hba=HBA, tls=tls, listen_addresses="127.0.0.1,::1") as started:
        with psycopg.connect(started.url_for(unix_socket=True), autocommit=True) as connection:
            for user in USERS:
                connection.execute(
                    psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        psycopg.sql.Identifier(user), psycopg.sql.Literal(PASSWORD)
                    )
                )
            connection.execute("CREATE ROLE u_barred LOGIN CONNECTION LIMIT 0 PASSWORD 'x'")
            connection.execute("SET password_encryption = 'md5'")
            connection.execute(
                psycopg.sql.SQL("CREATE ROLE u_md5 LOGIN PASSWORD {}").format(psycopg.sql.Literal(PASSWORD))
            )
        yield started


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def _async_run(steps: Any, timeout: float | None = None) -> Any:
    return asyncio.run(_async_io.run(steps, timeout))


@pytest.fixture(params=[_sync_io.run, _async_run], ids=["sync", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    runner: Callable[..., Any] = request.param
    return runner


@contextlib.contextmanager
def opened(url: str, run: Callable[..., Any] = _sync_io.run, **keywords: Any) -> Iterator[Established]:
    parameters = parse(url, environ={"PGPASSFILE": "/nonexistent"}, **keywords)
    established: Established = run(connect_steps(parameters, native.TypeMap()))
    try:
        yield established
    finally:
        established.close()


def failure(url: str, run: Callable[..., Any] = _sync_io.run, **keywords: Any) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught, opened(url, run, **keywords):
        pass
    assert PASSWORD not in f"{caught.value!r} {getattr(caught.value, '__notes__', '')}"
    assert type(caught.value).__module__ == "hyperdjango.database.errors"  # a public one
    return caught.value


def ask(established: Established, sql: str) -> tuple[Any, ...]:
    """Run one statement, the blocking way, and return its first row."""
    request = established.connection.submit(sql, (), _shape.TUPLE, None, False, None)
    assert established.connection.wait(5_000_000_000) == 1
    rows: list[tuple[Any, ...]] = request.result()
    return rows[0]


WHO = "SELECT current_user::text, ssl, client_dn::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.mark.parametrize("sslmode", ["disable", "require"])
@pytest.mark.parametrize("user", ["u_trust", "u_password", "u_md5", "u_scram"])
def test_every_method_logs_in(
    server: EmbeddedServer, run: Callable[..., Any], user: str, sslmode: str
) -> None:
    with opened(server.url_for(user=user, password=PASSWORD, sslmode=sslmode), run) as established:
        assert ask(established, WHO) == (user, sslmode == "require", None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_ipv4_ipv6_and_a_name_with_both(server: EmbeddedServer, run: Callable[..., Any], host: str) -> None:
    with opened(server.url_for(user="u_scram", password=PASSWORD, host=host), run) as established:
        assert established.sock.family in {socket.AF_INET, socket.AF_INET6}
        assert ask(established, WHO)[0] == "u_scram"


def test_a_unix_socket(server: EmbeddedServer, run: Callable[..., Any]) -> None:
    with opened(server.url_for(unix_socket=True), run) as established:
        assert established.sock.family == socket.AF_UNIX
        assert ask(established, "SELECT 1") == (1,)


@pytest.mark.parametrize("user", ["u_password", "u_md5", "u_scram", "u_nobody"])
def test_a_wrong_password_or_user_keeps_the_servers_words(
    server: EmbeddedServer, run: Callable[..., Any], user: str
) -> None:
    error = failure(server.url_for(user=user, password="wrong", sslmode="disable"), run)
    assert str(error) == f'password authentication failed for user "{user}"'
    assert error.sqlstate == "28P01"


@pytest.mark.parametrize(
    ("user", "database", "sqlstate", "text"),
    [
        ("u_scram", "nowhere", "3D000", 'database "nowhere" does not exist'),
        ("u_rejected", "postgres", "28000", "pg_hba.conf rejects connection"),
        ("u_tls_only", "nowhere", "3D000", 'database "nowhere" does not exist'),
    ],
)
def test_other_refusals_keep_the_servers_words(
    server: EmbeddedServer, user: str, database: str, sqlstate: str, text: str
) -> None:
    error = failure(server.url_for(database, user=user, password=PASSWORD))
    assert text in str(error)
    assert error.sqlstate == sqlstate


def test_too_many_connections_keep_the_servers_words(server: EmbeddedServer) -> None:
    error = failure(server.url_for(user="u_barred", password="x"))
    assert (error.sqlstate, str(error)) == ("53300", 'too many connections for role "u_barred"')


def test_a_run_time_parameter_that_the_server_does_not_know(server: EmbeddedServer) -> None:
    error = failure(server.url, server_settings={"no_such_parameter": "1"})
    assert error.sqlstate == "42704"
    assert "no_such_parameter" in str(error)


def test_startup_parameters_reach_the_session(server: EmbeddedServer) -> None:
    url = server.url_for(
        application_name="h\u00e9llo", options="-c geqo=off -c search_path=a\\,b", statement_timeout="1234"
    )
    sql = "SELECT " + ", ".join(
        f"current_setting('{name}')"
        for name in ("geqo", "search_path", "statement_timeout", "work_mem", "client_encoding")
    )
    with opened(url, server_settings={"work_mem": "8MB"}) as established:
        assert ask(established, sql) == ("off", "a,b", "1234ms", "8MB", "UTF8")


@pytest.mark.parametrize(
    ("user", "sslmode", "is_tls"),
    [
        ("u_tls_only", "prefer", True),
        ("u_tls_only", "allow", True),  # refused in the clear first
        ("u_plain_only", "allow", False),
        ("u_plain_only", "prefer", False),  # refused under TLS first
    ],
)
def test_the_other_encryption_is_tried_where_pg_hba_wants_it(
    server: EmbeddedServer, user: str, sslmode: str, is_tls: bool
) -> None:
    with opened(server.url_for(user=user, password=PASSWORD, sslmode=sslmode)) as established:
        assert ask(established, WHO)[1] is is_tls


@pytest.mark.parametrize(("user", "sslmode"), [("u_tls_only", "disable"), ("u_plain_only", "require")])
def test_the_other_encryption_is_not_tried_where_the_mode_forbids_it(
    server: EmbeddedServer, user: str, sslmode: str
) -> None:
    error = failure(server.url_for(user=user, password=PASSWORD, sslmode=sslmode))
    assert error.sqlstate == "28000"
    assert "pg_hba.conf rejects connection" in str(error)


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_a_trusted_certificate_in_every_mode(server: EmbeddedServer, authority: Authority, mode: str) -> None:
    url = server.url_for(user="u_scram", password=PASSWORD, sslmode=mode, sslrootcert=str(authority.file))
    for host in ("127.0.0.1", "localhost", "[::1]"):
        with opened(url.replace("127.0.0.1", host)) as established:
            assert ask(established, WHO)[1] is True


def test_an_unknown_authority_is_refused(server: EmbeddedServer, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "Stranger")
    for mode in ("require", "verify-ca", "verify-full"):
        url = server.url_for(user="u_scram", password=PASSWORD, sslmode=mode, sslrootcert=str(stranger.file))
        assert "the server's certificate is not trusted" in str(failure(url))


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_channel_binding(server: EmbeddedServer, run: Callable[..., Any], binding: str) -> None:
    url = server.url_for(user="u_scram", password=PASSWORD, sslmode="require", channel_binding=binding)
    with opened(url, run) as established:
        assert ask(established, "SELECT 1") == (1,)


@pytest.mark.parametrize("user", ["u_trust", "u_password", "u_md5"])
def test_channel_binding_require_refuses_what_cannot_bind(server: EmbeddedServer, user: str) -> None:
    url = server.url_for(user=user, password=PASSWORD, sslmode="require", channel_binding="require")
    assert "channel binding is required" in str(failure(url))


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_both_tls_versions_bind(server: EmbeddedServer, version: str) -> None:
    url = server.url_for(user="u_scram", password=PASSWORD, sslmode="require", channel_binding="require")
    with opened(
        f"{url}&ssl_min_protocol_version={version}&ssl_max_protocol_version={version}"
    ) as established:
        assert established.tls is not None
        assert established.tls.version == version


def test_client_certificates(server: EmbeddedServer, authority: Authority, tmp_path: Path) -> None:
    mine, other = authority.sign("u_cert"), authority.sign("somebody")
    encrypted = authority.sign("u_both", key_password="a key's password")

    def url(user: str, signed: Signed | None, **query: str) -> str:
        if signed is not None:
            query |= {"sslcert": str(signed.certificate_file), "sslkey": str(signed.key_file)}
        plain = server.url_for(user=user, password=PASSWORD, sslmode="require")
        return "&".join([plain, *(f"{key}={quote(value)}" for key, value in query.items())])

    with opened(url("u_cert", mine)) as established:
        assert ask(established, WHO) == ("u_cert", True, "/CN=u_cert")
    with opened(
        url("u_both", encrypted, sslpassword="a key's password", require_auth="scram-sha-256")
    ) as established:
        assert ask(established, WHO)[0] == "u_both"
    error = failure(url("u_cert", other))
    assert (error.sqlstate, str(error)) == ("28000", 'certificate authentication failed for user "u_cert"')
    assert "requires a valid client certificate" in str(failure(url("u_cert", None)))
    refused = failure(url("u_cert", mine, require_auth="scram-sha-256"))
    assert refused.is_refused
    assert "did not ask for authentication" in str(refused)
    assert not error.is_refused
    stranger = Authority(tmp_path, "Stranger").sign("u_cert")
    text = str(failure(url("u_cert", stranger)))
    assert any(word in text for word in ("TLS failed", "reset", "closed", "Broken pipe"))


def test_an_ssl_context_by_keyword(server: EmbeddedServer, authority: Authority) -> None:
    import ssl

    mine = ssl.create_default_context(cafile=str(authority.file))
    with opened(server.url_for(user="u_scram", password=PASSWORD), ssl_context=mine) as established:
        assert ask(established, WHO)[1] is True
    empty = ssl.create_default_context()
    assert "not trusted" in str(failure(server.url_for(user="u_scram", password=PASSWORD), ssl_context=empty))


def test_the_password_comes_from_the_password_file(server: EmbeddedServer, tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"*:{server.port}:postgres:u_scram:{escaped}\n", encoding="utf-8")
    file.chmod(0o600)
    with opened(server.url_for(user="u_scram", passfile=str(file))) as established:
        assert ask(established, "SELECT 1") == (1,)
    assert "there is none" in str(failure(server.url_for("template1", user="u_scram", passfile=str(file))))


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_a_statement_is_cancelled(server: EmbeddedServer, run: Callable[..., Any], sslmode: str) -> None:
    with opened(server.url_for(user="u_scram", password=PASSWORD, sslmode=sslmode), run) as established:
        request = established.connection.submit("SELECT pg_sleep(30)", (), _shape.TUPLE, None, False, None)
        assert established.connection.wait(100_000_000) == 0
        before = time.monotonic()
        run(cancel_steps(established.cancel_target), 5)
        assert established.connection.wait(5_000_000_000) == 1
        assert time.monotonic() - before < 5
        with pytest.raises(QueryCanceled):
            request.result()
        assert ask(established, "SELECT 2") == (2,)


def test_large_results_and_statements_pass_through_tls(server: EmbeddedServer) -> None:
    with opened(server.url_for(user="u_scram", password=PASSWORD, sslmode="require")) as established:
        assert ask(established, "SELECT repeat('x', 3000000)") == ("x" * 3_000_000,)
        long = "y" * 2_000_000
        assert ask(established, f"SELECT length('{long}')") == (2_000_000,)


def test_read_only_and_read_write_sessions(server: EmbeddedServer) -> None:
    read_only = server.url_for(options="-c default_transaction_read_only=on")
    with (
        opened(f"{read_only}&target_session_attrs=read-only"),
        opened(f"{server.url}?target_session_attrs=primary"),
    ):
        pass
    assert "session is read-only" in str(failure(f"{read_only}&target_session_attrs=read-write"))
    assert "not in hot standby" in str(failure(f"{server.url}?target_session_attrs=standby"))


def test_keys_are_derived_once_for_a_pool_of_connections(server: EmbeddedServer) -> None:
    parameters = parse(server.url_for(user="u_scram", password=PASSWORD), environ={})
    from hyperdjango.database._steps import RunInThread

    def threads_used() -> int:
        """Count the steps that were sent to a thread other than the one for the TLS context."""
        steps = connect_steps(parameters, native.TypeMap())
        count = 0

        def watched() -> Any:
            nonlocal count
            result: Any = None
            while True:
                try:
                    step = steps.send(result)
                except StopIteration as stop:
                    return stop.value
                count += isinstance(step, RunInThread) and "derive" in repr(step.function)
                result = yield step

        established: Established = _sync_io.run(watched())
        established.close()
        return count

    assert [threads_used(), threads_used(), threads_used()] == [1, 0, 0]
