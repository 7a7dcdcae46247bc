"""Opening a connection against scripted backends: hosts, deadlines, authentication, and what goes wrong."""

import asyncio
import contextlib
import gc
import os
import pwd
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hyperdjango.database import _async_io, _sync_io
from hyperdjango.database._connect import Established, cancel_steps, connect_steps
from hyperdjango.database._conninfo import parse
from hyperdjango.database._native import native
from hyperdjango.database._socket import Address, open_steps
from hyperdjango.database._steps import Resolve, RunInThread, SetDeadline, Sleep, Steps
from hyperdjango.database.errors import ConnectionFailed, ConnectTimeout, OperationalError, ProtocolError
from pgkit import (
    Answer,
    Column,
    ScramServer,
    ScriptedBackend,
    accept_startup,
    close,
    expect,
    expect_eof,
    messages,
    ready,
    refuse,
    reset,
    send,
    serve,
    startup,
    startup_cleartext,
    startup_md5,
    startup_scram,
    wait,
)
from pgkit.frontend import AuthenticationResponse, StartupMessage
from pgkit.scram import Fault

PASSWORD = "hunter2"
Runner = Callable[..., Any]


def _asyncio_runner(steps: Steps[Any], timeout: float | None = None) -> Any:
    return asyncio.run(_async_io.run(steps, timeout))


def _uvloop_runner(steps: Steps[Any], timeout: float | None = None) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_async_io.run(steps, timeout))


RUNNERS: dict[str, Runner] = {"sync": _sync_io.run, "asyncio": _asyncio_runner, "uvloop": _uvloop_runner}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest) -> Runner:
    return RUNNERS[request.param]


@contextlib.contextmanager
def opened(url: str, run: Runner = _sync_io.run, **keywords: Any) -> Iterator[Established]:
    parameters = parse(url, environ={"PGPASSFILE": "/nonexistent"}, **keywords)
    established: Established = run(connect_steps(parameters, native.TypeMap()))
    try:
        yield established
    finally:
        established.close()


def failure(url: str, run: Runner = _sync_io.run, **keywords: Any) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught, opened(url, run, **keywords):
        pass
    assert PASSWORD not in f"{caught.value!r} {caught.value} {getattr(caught.value, '__notes__', '')}"
    return caught.value


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


OPEN = [*startup(), expect_eof()]


# -- the plain way --


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("is_dribbling", [False, True], ids=["whole", "dribbled"])
def test_a_connection_is_opened_by_every_runner(run: Runner, unix: bool, is_dribbling: bool) -> None:
    with ScriptedBackend(OPEN, unix=unix, dribble=is_dribbling) as backend:
        with opened(
            backend.url(application_name="test"), run, server_settings={"work_mem": "8MB"}
        ) as established:
            assert established.connection.parameters["server_version"] == "18.0"
            assert established.cancel_target.process_id == 4711
            assert established.cancel_target.secret_key == b"\1\2\3\4"
            assert established.tls is None
            assert not established.sock.getblocking()
            assert not os.get_inheritable(established.sock.fileno())
        (message,) = [m for m in backend.conversations[0].received if isinstance(m, StartupMessage)]
        assert dict(message.parameters) == {
            "user": "tester",
            "database": "testdb",
            "client_encoding": "UTF8",
            "application_name": "test",
            "work_mem": "8MB",
        }
        assert message.version == (3, 0)


def test_tcp_options_are_set() -> None:
    with ScriptedBackend(OPEN) as backend:
        url = backend.url(
            keepalives_idle="77", keepalives_interval="7", keepalives_count="3", tcp_user_timeout="4000"
        )
        with opened(url) as established:
            sock = established.sock
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4000
        with opened(backend.url(keepalives="0", tcp_user_timeout="0")) as established:
            assert not established.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert established.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def test_notices_and_long_cancel_keys_are_kept() -> None:
    script = [
        accept_startup(),
        send(messages.notice_response("01000", "take care"), messages.authentication_ok()),
        ready(key=b"k" * 32),
        expect_eof(),
    ]
    with ScriptedBackend(script) as backend, opened(backend.url()) as established:
        assert established.notices[0]["M"] == "take care"
        assert established.cancel_target.secret_key == b"k" * 32


def test_a_cancel_request_carries_the_key_and_waits_for_the_end(run: Runner) -> None:
    with ScriptedBackend(OPEN, [accept_startup(), wait(0), close()]) as backend:
        with opened(backend.url(), run) as established:
            run(cancel_steps(established.cancel_target))
        (request,) = backend.cancel_requests
        assert (request.process_id, request.secret_key) == (4711, b"\1\2\3\4")


def test_a_cancel_request_that_cannot_be_delivered_is_an_os_error(run: Runner) -> None:
    with ScriptedBackend(OPEN) as backend, opened(backend.url(), run) as established:
        target = established.cancel_target
    with pytest.raises(ConnectionRefusedError):
        run(cancel_steps(target))


# -- authentication --


@pytest.mark.parametrize(
    ("script", "method"),
    [
        (startup_cleartext(PASSWORD), "password"),
        (startup_md5("tester", PASSWORD), "md5"),
        (startup_scram(lambda: ScramServer(PASSWORD)), "scram-sha-256"),
        (
            startup_scram(lambda: ScramServer(PASSWORD), mechanisms=["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]),
            "scram-sha-256",
        ),
    ],
    ids=["cleartext", "md5", "scram", "scram beside plus"],
)
def test_each_method_logs_in_and_a_wrong_password_keeps_the_servers_words(
    run: Runner, script: list[Any], method: str
) -> None:
    with ScriptedBackend([*script, expect_eof()]) as backend:
        with opened(backend.url(password=PASSWORD), run):
            pass
        with opened(backend.url(password=PASSWORD, require_auth=method), run):
            pass
        error = failure(backend.url(password="x" + PASSWORD), run)
        assert str(error) == 'password authentication failed for user "tester"'
        assert error.sqlstate == "28P01"
        assert isinstance(error, OperationalError)
        assert isinstance(error, RuntimeError)
        assert f'"127.0.0.1", port {backend.port} failed' in "".join(error.__notes__)


@pytest.mark.parametrize("script", [startup_cleartext(PASSWORD), startup_md5("tester", PASSWORD)])
def test_a_password_that_is_not_there_is_said_to_be_missing(script: list[Any]) -> None:
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        assert "there is none in the connection URI" in str(failure(backend.url()))


@pytest.mark.parametrize(
    "fault", ["foreign-nonce", "wrong-signature", "error", "no-salt", "bad-base64", "mandatory-extension"]
)
def test_a_scram_fault_of_the_server_ends_the_attempt(run: Runner, fault: Fault) -> None:
    script = startup_scram(lambda: ScramServer(PASSWORD, fault=fault))
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        error = failure(backend.url(password=PASSWORD), run)
    assert error.sqlstate is None
    assert any(word in str(error) for word in ("SCRAM", "nonce", "signature"))


def test_too_many_iterations_are_refused_and_the_limit_can_be_changed() -> None:
    script = startup_scram(lambda: ScramServer(PASSWORD, iterations=100_001))
    with ScriptedBackend([*script, expect_eof()], frontend_may_leave=True) as backend:
        assert "more than 100000 SCRAM iterations" in str(failure(backend.url(password=PASSWORD)))
        with opened(backend.url(password=PASSWORD), scram_iterations_max=200_000):
            pass


def test_scram_that_stops_halfway_is_no_login() -> None:
    def short(talk: Any) -> None:
        server = ScramServer(PASSWORD)
        talk.send(messages.authentication_sasl(["SCRAM-SHA-256"]))
        _, first = talk.expect(AuthenticationResponse).sasl_initial()
        talk.send(messages.authentication_sasl_continue(server.first(first)))
        talk.expect(AuthenticationResponse)
        talk.send(messages.authentication_ok())

    with (
        ScriptedBackend([accept_startup(), short, ready(), expect_eof()], frontend_may_leave=True) as backend,
        pytest.raises((ConnectionFailed, ProtocolError)),
        opened(backend.url(password=PASSWORD)),
    ):
        pass


@pytest.mark.parametrize(
    "mechanisms", [["SCRAM-SHA-1"], ["OAUTHBEARER"], ["SCRAM-SHA-256-PLUS"]], ids=lambda names: names[0]
)
def test_mechanisms_that_we_do_not_have_are_refused(mechanisms: list[str]) -> None:
    script = [accept_startup(), send(messages.authentication_sasl(mechanisms)), expect_eof()]
    with ScriptedBackend(script) as backend:
        assert "none of our SASL mechanisms" in str(failure(backend.url(password=PASSWORD)))


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (messages.authentication_gss(), "GSSAPI"),
        (messages.authentication_sspi(), "SSPI"),
        (messages.authentication_kerberos_v5(), "Kerberos V5"),
        (messages.authentication(99), "method 99"),
    ],
)
def test_methods_that_we_do_not_have_are_named(message: bytes, name: str) -> None:
    with ScriptedBackend([accept_startup(), send(message), expect_eof()]) as backend:
        assert f"asks for {name}, which is not supported" in str(failure(backend.url(password=PASSWORD)))


@pytest.mark.parametrize(
    ("script", "require_auth", "text"),
    [
        (startup(), "scram-sha-256", "did not ask for authentication"),
        (startup(), "!none", "did not ask for authentication"),
        (startup_cleartext(PASSWORD), "scram-sha-256,md5", "asks for password"),
        (startup_md5("tester", PASSWORD), "scram-sha-256", "asks for md5"),
        (startup_md5("tester", PASSWORD), "!md5", "asks for md5"),
        (startup_scram(lambda: ScramServer(PASSWORD)), "none", "asks for scram-sha-256"),
    ],
)
def test_require_auth_is_kept_to(script: list[Any], require_auth: str, text: str) -> None:
    with ScriptedBackend([*script, expect_eof()], frontend_may_leave=True) as backend:
        error = failure(backend.url(password=PASSWORD, require_auth=require_auth))
        assert f"authentication method requirement failed: the server {text}" in str(error)
        received = backend.conversations[0].received
    assert not [message for message in received if isinstance(message, AuthenticationResponse)]


@pytest.mark.parametrize(
    "script",
    [
        startup(),
        startup_cleartext(PASSWORD),
        startup_md5("tester", PASSWORD),
        startup_scram(lambda: ScramServer(PASSWORD)),
    ],
    ids=["none", "cleartext", "md5", "scram"],
)
def test_channel_binding_require_refuses_everything_without_tls(script: list[Any]) -> None:
    with ScriptedBackend([*script, expect_eof()], frontend_may_leave=True) as backend:
        assert "channel binding is required" in str(
            failure(backend.url(password=PASSWORD, channel_binding="require"))
        )


def test_cleartext_goes_to_loopback_and_unix_sockets_only_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ScriptedBackend([*startup_cleartext(PASSWORD), expect_eof()], frontend_may_leave=True) as backend:
        with opened(backend.url(password=PASSWORD)):
            pass
        monkeypatch.setattr("hyperdjango.database._authenticate.is_local", lambda _: False)
        assert "in cleartext" in str(failure(backend.url(password=PASSWORD)))
        assert "in cleartext" in str(failure(backend.url(password=PASSWORD, require_auth="!md5")))
        with opened(backend.url(password=PASSWORD, require_auth="password")):
            pass


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.8.8", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("192.0.2.1", 1), False),
        (("::ffff:192.0.2.1", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 2), False),
        (("0.0.0.1", 1), False),
    ],
)
def test_what_is_loopback(peer: tuple[Any, ...], local: bool) -> None:
    from hyperdjango.database._authenticate import is_local

    class Sock:
        family = socket.AF_INET6 if len(peer) == 4 else socket.AF_INET

        def getpeername(self) -> Any:
            return peer

    assert is_local(Sock()) is local  # type: ignore[arg-type]


# -- errors of the start-up --


@pytest.mark.parametrize(
    ("sqlstate", "text"),
    [
        ("3D000", 'database "testdb" does not exist'),
        ("53300", "sorry, too many clients already"),
        ("57P03", "the database system is starting up"),
        ("28000", "no pg_hba.conf entry"),
    ],
)
def test_a_refusal_keeps_message_and_sqlstate(run: Runner, sqlstate: str, text: str) -> None:
    with ScriptedBackend(refuse(sqlstate, text)) as backend:
        error = failure(backend.url(), run)
        assert (str(error), error.message, error.sqlstate) == (text, text, sqlstate)
        assert len(backend.conversations) == 1


def test_an_error_after_authentication_keeps_message_and_sqlstate() -> None:
    script = [
        accept_startup(),
        send(
            messages.authentication_ok(), messages.error_response("3D000", "no such thing", severity="FATAL")
        ),
        close(),
    ]
    with ScriptedBackend(script) as backend:
        error = failure(backend.url())
        assert (str(error), error.sqlstate) == ("no such thing", "3D000")


def test_nobody_listening_is_refused(run: Runner, tmp_path: Path) -> None:
    port = closed_port()
    error = failure(f"postgresql://u:{PASSWORD}@localhost:{port}/d?sslmode=disable", run)
    assert f'connection to server at "localhost", port {port} (' in str(error)
    assert "failed: Connection refused" in str(error)
    assert error.sqlstate is None
    error = failure(f"postgresql://u@/d?host={tmp_path}", run)
    assert (
        str(error)
        == f'connection to server at socket "{tmp_path}/.s.PGSQL.5432" failed: No such file or directory'
    )
    long = "/" + "x" * 200
    assert "too long" in str(failure(f"postgresql://u@/d?host={long}", run))


def test_a_name_without_an_address(run: Runner) -> None:
    error = failure("postgresql://u@does-not-exist.invalid/d?connect_timeout=5", run)
    assert 'looking up the address of "does-not-exist.invalid", port 5432 failed: ' in str(error)
    assert "looking up the address" in str(failure(f"postgresql://u@{'x' * 70}.example/d", run))
    assert "hostaddr must be an address" in str(failure("postgresql://u@h/d?hostaddr=localhost", run))


def test_an_unreachable_address_fails_in_time(run: Runner) -> None:
    before = time.monotonic()
    failure("postgresql://u@192.0.2.1/d?connect_timeout=0.3&sslmode=disable", run)
    assert time.monotonic() - before < 2


@pytest.mark.parametrize("ending", [close(), reset()], ids=["eof", "reset"])
@pytest.mark.parametrize("after", [accept_startup(), send(b"")], ids=["after the startup message", "at once"])
def test_a_connection_that_ends_early(run: Runner, after: Any, ending: Any) -> None:
    with ScriptedBackend([after, ending]) as backend:
        error = failure(backend.url(sslmode="disable"), run)
    assert any(word in str(error) for word in ("closed the connection", "reset", "Broken pipe"))


@pytest.mark.parametrize("cut_after", range(0, 60, 7))
def test_an_end_after_any_byte_is_a_failure_and_nothing_worse(cut_after: int) -> None:
    with (
        ScriptedBackend(OPEN, cut_after=cut_after) as backend,
        pytest.raises((ConnectionFailed, ProtocolError)),
        opened(backend.url(sslmode="disable")),
    ):
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        messages.authentication(11, b"r=x"),
        messages.authentication(12, b"v=x"),
        messages.authentication_ok() + messages.authentication_ok(),
        messages.authentication_ok() + messages.authentication_cleartext_password(),
        messages.authentication(5, b"abc"),
        messages.authentication_ok() + messages.row_description([]),
        messages.ready_for_query(),
        messages.negotiate_protocol_version(2),
        messages.negotiate_protocol_version(0, ["_pq_.x"]),
        messages.authentication_ok() + b"Z\0\0\0\5X",
        b"E\xff\xff\xff\xff",
    ],
)
def test_messages_out_of_order_or_shape_are_protocol_errors(data: bytes) -> None:
    with ScriptedBackend([accept_startup(), send(data), expect_eof()], frontend_may_leave=True) as backend:
        before = time.monotonic()
        with pytest.raises(ProtocolError), opened(backend.url(password=PASSWORD, sslmode="disable")):
            pass
        assert time.monotonic() - before < 1


def test_a_second_authentication_is_a_protocol_error() -> None:
    request = messages.authentication_cleartext_password()
    script = [accept_startup(), send(request + request), expect(AuthenticationResponse), expect_eof()]
    with (
        ScriptedBackend(script, frontend_may_leave=True) as backend,
        pytest.raises(ProtocolError),
        opened(backend.url(password=PASSWORD, sslmode="disable")),
    ):
        pass


def test_negotiation_that_changes_nothing_is_taken() -> None:
    script = [accept_startup(), send(messages.negotiate_protocol_version(0)), *startup()[1:], expect_eof()]
    with ScriptedBackend(script) as backend, opened(backend.url()) as established:
        assert established.connection.transaction_status == "I"


# -- several hosts --


def both(first: ScriptedBackend, second: ScriptedBackend, **query: str) -> str:
    tail = "&".join(f"{key}={value}" for key, value in query.items())
    return f"postgresql://tester@{first.host}:{first.port},{second.host}:{second.port}/testdb?sslmode=disable&{tail}"


def test_hosts_are_tried_in_order_until_one_works(run: Runner) -> None:
    with ScriptedBackend(OPEN) as backend:
        hosts = "127.0.0.1,/nonexistent,does-not-exist.invalid,127.0.0.1"
        url = f"postgresql://u@/d?host={hosts}&port={closed_port()},1,1,{backend.port}"
        with opened(url, run) as established:
            assert established.host.port == backend.port


@pytest.mark.parametrize(
    ("sqlstate", "goes_on"),
    [("57P03", True), ("53300", True), ("28P01", False), ("3D000", False), ("42501", False)],
)
def test_the_next_host_is_tried_unless_the_first_knows_us_and_said_no(sqlstate: str, goes_on: bool) -> None:
    with ScriptedBackend(refuse(sqlstate, "no")) as first, ScriptedBackend(OPEN) as second:
        if goes_on:
            with opened(both(first, second)) as established:
                assert established.host.port == second.port
        else:
            assert failure(both(first, second)).sqlstate == sqlstate
            assert not second.conversations


def test_all_failures_are_told_and_the_servers_words_come_first() -> None:
    port = closed_port()
    with ScriptedBackend(refuse("57P03", "starting up")) as backend:
        error = failure(f"postgresql://u@127.0.0.1:{backend.port},127.0.0.1:{port}/d?sslmode=disable")
    assert (str(error), error.sqlstate) == ("starting up", "57P03")
    assert len(error.__notes__) == 2
    error = failure(f"postgresql://u@127.0.0.1:{port},[::1]:{port}/d?sslmode=disable")
    assert len(str(error).splitlines()) == 2
    assert error.sqlstate is None


@pytest.mark.parametrize("run", [_sync_io.run, _asyncio_runner])  # uvloop's resolver cannot be replaced
def test_every_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch, run: Runner) -> None:
    real = socket.getaddrinfo

    def two_addresses(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host in {"two.example", b"two.example"} and not kwargs.get("flags"):
            return [
                *real("127.0.0.2", port, type=socket.SOCK_STREAM),
                *real("127.0.0.1", port, type=socket.SOCK_STREAM),
            ]
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    with (
        ScriptedBackend(OPEN) as backend,
        opened(f"postgresql://u@two.example:{backend.port}/d", run) as established,
    ):
        assert established.cancel_target.address.text == "127.0.0.1"


def test_a_silent_address_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address takes the connection attempt and never answers; the deadline is for both together."""

    class Drain:
        """An address that swallows SYN: a listener whose queue is full."""

        def __init__(self) -> None:
            self.server = socket.socket()
            self.server.bind(("127.0.0.2", 0))
            self.server.listen(0)
            self.port: int = self.server.getsockname()[1]
            self.fillers = []
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.2", self.port))
                self.fillers.append(filler)

        def close(self) -> None:
            for one in (*self.fillers, self.server):
                one.close()

    drain = Drain()
    good = socket.create_server(("127.0.0.1", drain.port))
    real = socket.getaddrinfo

    def two_addresses(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "two.example" and not kwargs.get("flags"):
            return [
                *real("127.0.0.2", port, type=socket.SOCK_STREAM),
                *real("127.0.0.1", port, type=socket.SOCK_STREAM),
            ]
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)

    def answer() -> None:
        sock, _ = good.accept()
        with sock:
            sock.recv(1000)
            sock.sendall(
                messages.authentication_ok() + messages.backend_key_data() + messages.ready_for_query()
            )
            sock.recv(1000)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        url = f"postgresql://u@two.example:{drain.port}/d?connect_timeout=1&sslmode=disable"
        before = time.monotonic()
        with opened(url) as established:
            assert established.cancel_target.address.text == "127.0.0.1"
        assert 0.4 < time.monotonic() - before < 1
    finally:
        thread.join()
        good.close()
        drain.close()


def test_load_balancing_goes_to_every_host() -> None:
    with ScriptedBackend(OPEN) as first, ScriptedBackend(OPEN) as second:
        ports = set()
        for _ in range(40):
            with opened(both(first, second, load_balance_hosts="random")) as established:
                ports.add(established.host.port)
        assert ports == {first.port, second.port}


def kind_of_server(standby: str, read_only: str) -> list[Any]:
    return [*startup({"in_hot_standby": standby, "default_transaction_read_only": read_only}), expect_eof()]


def old_server(standby: str, read_only: str) -> list[Any]:
    """A version below 14 reports neither; it is asked."""
    from hyperdjango.database._session_attributes import _QUESTION

    columns = [Column("standby", 25, -1, format=0), Column("read_only", 25, -1, format=0)]
    return [
        *startup(),
        serve({_QUESTION: Answer(columns, [[standby.encode(), read_only.encode()]])}),
        expect_eof(),
    ]


@pytest.mark.parametrize("server", [kind_of_server, old_server])
@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ("any", ["primary", "read-only primary", "standby"]),
        ("read-write", ["primary"]),
        ("read-only", ["read-only primary", "standby"]),
        ("primary", ["primary", "read-only primary"]),
        ("standby", ["standby"]),
        ("prefer-standby", ["primary", "read-only primary", "standby"]),
    ],
)
def test_target_session_attrs_picks_the_server(
    server: Callable[[str, str], list[Any]], wanted: str, fits: list[str]
) -> None:
    kinds = {
        "primary": ("off", "off"),
        "read-only primary": ("off", "on"),
        "standby": ("on", "on"),
    }
    for name, (standby, read_only) in kinds.items():
        with ScriptedBackend(server(standby, read_only)) as backend:
            url = backend.url(target_session_attrs=wanted)
            if name in fits:
                with opened(url):
                    pass
            else:
                error = failure(url)
                assert "session is" in str(error) or "hot standby" in str(error)
                assert backend.wait_closed()


def test_an_old_server_that_does_not_answer_is_a_failure_with_its_words() -> None:
    error = messages.error_response("42883", "no such function")
    from hyperdjango.database._session_attributes import _QUESTION

    with ScriptedBackend(
        [*startup(), serve({_QUESTION: Answer(parse_error=error)}), expect_eof()]
    ) as backend:
        caught = failure(backend.url(target_session_attrs="primary"))
        assert (str(caught), caught.sqlstate) == ("no such function", "42883")


def test_prefer_standby_passes_over_a_primary_while_there_is_a_standby(run: Runner) -> None:
    primary, standby = kind_of_server("off", "off"), kind_of_server("on", "on")
    with ScriptedBackend(primary) as first, ScriptedBackend(standby) as second:
        with opened(both(first, second, target_session_attrs="prefer-standby"), run) as established:
            assert established.host.port == second.port
        with opened(both(first, first, target_session_attrs="prefer-standby"), run) as established:
            assert established.host.port == first.port


# -- deadlines and cancellation --


def test_connect_timeout_covers_a_server_that_says_nothing(run: Runner) -> None:
    with ScriptedBackend([accept_startup(), expect_eof()]) as backend:
        before = time.monotonic()
        error = failure(backend.url(connect_timeout="0.3"), run)
        assert 0.25 < time.monotonic() - before < 1.5
        assert isinstance(error, ConnectTimeout)
        assert isinstance(error, TimeoutError)
        assert "timeout expired" in str(error)
        assert error.__context__ is None
        assert backend.wait_closed()


def test_connect_timeout_is_per_host(run: Runner) -> None:
    with (
        ScriptedBackend([accept_startup(), expect_eof()]) as silent,
        ScriptedBackend(OPEN) as good,
        opened(both(silent, good, connect_timeout="0.3"), run) as established,
    ):
        assert established.host.port == good.port


def test_connect_timeout_covers_name_resolution() -> None:
    release = threading.Event()

    def steps() -> Steps[str]:
        yield SetDeadline(time.monotonic() + 0.2)
        try:
            yield Resolve("slow.example", 1)
        except TimeoutError:
            return "in time"
        return "late"

    def slow(*_: Any, **__: Any) -> Any:
        release.wait(5)
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", slow)
        assert _sync_io.run(steps()) == "in time"

        async def main() -> str:
            try:
                return await _async_io.run(steps())
            finally:
                release.set()  # the executor's thread is waited for at the end of the loop

        assert asyncio.run(main()) == "in time"


def test_the_runners_own_timeout_ends_everything(run: Runner) -> None:
    with ScriptedBackend([accept_startup(), expect_eof()]) as backend:
        parameters = parse(backend.url(connect_timeout="0"), environ={})
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="timeout expired") as caught:
            run(connect_steps(parameters, native.TypeMap()), 0.3)
        assert type(caught.value) is TimeoutError
        assert time.monotonic() - before < 1.5
        assert backend.wait_closed()


def test_a_cancelled_task_leaves_no_socket_behind() -> None:
    with ScriptedBackend([accept_startup(), expect_eof()]) as backend:

        async def main() -> None:
            parameters = parse(backend.url(), environ={})
            task = asyncio.create_task(_async_io.run(connect_steps(parameters, native.TypeMap())))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert backend.wait_closed()


def test_the_event_loop_turns_while_a_connection_is_opened() -> None:
    script = startup_scram(lambda: ScramServer(PASSWORD, iterations=90_000))
    with ScriptedBackend([*script, expect_eof()]) as backend:

        async def main() -> float:
            longest = 0.0

            async def tick() -> None:
                nonlocal longest
                last = time.monotonic()
                while True:
                    await asyncio.sleep(0.001)
                    now = time.monotonic()
                    longest, last = max(longest, now - last), now

            ticker = asyncio.create_task(tick())
            parameters = parse(backend.url(password=PASSWORD), environ={})
            before = time.monotonic()
            established = await _async_io.run(connect_steps(parameters, native.TypeMap()))
            took = time.monotonic() - before
            established.close()
            ticker.cancel()
            return longest / took

        assert asyncio.run(main()) < 0.8  # PBKDF2 alone is most of the time


def test_steps_of_every_kind_are_performed(run: Runner) -> None:
    def steps() -> Steps[list[Any]]:
        found = [(yield RunInThread(lambda: 42)), (yield Sleep(0.01)), (yield SetDeadline(None))]
        found.append((yield Resolve("127.0.0.1", 5))[0])
        try:
            yield RunInThread(lambda: 1 // 0)
        except ZeroDivisionError:
            found.append("thrown in")
        yield SetDeadline(time.monotonic() + 0.05)
        try:
            yield Sleep(5)
        except TimeoutError:
            found.append("timed out")
        return found

    assert run(steps()) == [42, None, None, (socket.AF_INET, ("127.0.0.1", 5)), "thrown in", "timed out"]


def test_a_unix_socket_with_a_full_backlog_is_tried_again(tmp_path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "s")
    server.bind(path)
    server.listen(0)
    parameters = parse("postgresql:///d", environ={})
    waiting = []
    while True:
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)
        waiting.append(one)
        if one.connect_ex(path):
            break

    def accept_two() -> None:
        for _ in range(2):
            server.accept()[0].close()

    timer = threading.Timer(0.1, accept_two)
    timer.start()
    sock: socket.socket = _sync_io.run(open_steps(Address(socket.AF_UNIX, path), parameters), 5)
    timer.join()
    for one in (*waiting, sock, server):
        one.close()


def test_requirepeer_is_compared_with_who_listens() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    with ScriptedBackend(OPEN, unix=True, frontend_may_leave=True) as backend:
        with opened(backend.url(requirepeer=me)):
            pass
        error = failure(backend.url(requirepeer="somebody-else"))
        assert f"requirepeer asks for 'somebody-else', but the server runs as '{me}'" in str(error)
        with opened(backend.url(requirepeer=me)):
            pass


def test_nothing_is_left_behind_by_failures_and_successes() -> None:
    def descriptors() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    with ScriptedBackend(OPEN) as backend, ScriptedBackend(refuse("57P03", "starting up")) as refusing:
        with opened(backend.url()):
            pass
        before = descriptors()
        for _ in range(20):
            with opened(both(refusing, backend)):
                pass
            failure(refusing.url())
        deadline = time.monotonic() + 5
        while descriptors() > before and time.monotonic() < deadline:
            time.sleep(0.01)  # the backend's threads close their ends
        assert descriptors() <= before


def test_no_password_in_the_locals_of_a_failed_connection() -> None:
    import traceback

    script = startup_md5("tester", PASSWORD)
    with ScriptedBackend(script) as backend:
        parameters = parse(backend.url(password="x" + PASSWORD), environ={})
        with pytest.raises(ConnectionFailed) as caught:
            _sync_io.run(connect_steps(parameters, native.TypeMap()))
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "connect_steps" in shown
    assert PASSWORD not in shown.replace(f"PASSWORD = '{PASSWORD}'", "")
    assert ssl.OPENSSL_VERSION
