"""Section 1 of the contract: URLs, defaults, secrets, timeouts, `get_db()`. Authentication and TLS: test_01_tls.py."""

import asyncio
import inspect
import logging
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from contract.wire import Deaf
from hyperdjango.conf import settings
from hyperdjango.database import (
    ConnectionFailed,
    ConnectTimeout,
    Database,
    get_db,
    set_db,
)

CleanEnvironment = pytest.MonkeyPatch


async def startup(url: str, server: Deaf, **arguments: Any) -> dict[str, str]:
    """Return the startup message that a URL leads to."""
    with pytest.raises(ConnectionFailed):
        await Database(url, 1, sslmode="disable", port=server.port, **arguments).connect()
    words = server.received[8:].split(b"\0")
    server.received = b""
    return {words[at].decode(): words[at + 1].decode() for at in range(0, len(words) - 2, 2)}


# -- Database and its life --


@pytest.mark.line("1.database.signature")
def test_url_and_sizes_are_positional_and_the_rest_is_not() -> None:
    """Database(url, min_size=2, max_size=32, *, …keyword-only extras)."""
    parameters = list(inspect.signature(Database).parameters.values())
    assert [(each.name, each.default) for each in parameters[1:3]] == [("min_size", 2), ("max_size", 32)]
    assert parameters[0].name == "url"
    assert {each.kind for each in parameters[3:]} <= {
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }


@pytest.mark.line("1.connect")
async def test_connect_opens_the_pool(url: str) -> None:
    """Then await db.connect()."""
    db = Database(url, 1, 2)
    await db.connect()
    assert await db.query_val("SELECT 1") == 1
    await db.disconnect()


@pytest.mark.line("1.connect")
async def test_async_with_connects_and_disconnects(url: str) -> None:
    """Also async with Database(url) as db."""
    async with Database(url) as db:
        assert db.is_connected
        assert await db.query_val("SELECT 1") == 1
    assert not db.is_connected


@pytest.mark.line("1.connect.idempotent")
async def test_connect_again_changes_nothing(db: Database) -> None:
    """connect is idempotent."""
    before = await db.query_val("SELECT pg_backend_pid()")
    await db.connect()
    assert db.pool_stats()["total"] == 1
    assert await db.query_val("SELECT pg_backend_pid()") == before


@pytest.mark.line("1.disconnect")
async def test_disconnect_lets_calls_end_then_closes(url: str) -> None:
    """disconnect() drains, then closes."""
    db = Database(url, 1, 2)
    await db.connect()
    running = asyncio.create_task(db.query_val("SELECT 'done' FROM pg_sleep(0.2)"))
    await asyncio.sleep(0.05)
    await db.disconnect()
    assert await running == "done"
    assert db.pool_stats()["total"] == 0


@pytest.mark.line("1.disconnect")
async def test_disconnect_may_be_called_any_number_of_times(url: str) -> None:
    """Any number of calls."""
    db = Database(url, 1, 2)
    await db.disconnect()
    await db.connect()
    await db.disconnect()
    await db.disconnect()
    await db.connect()
    assert await db.query_val("SELECT 1") == 1
    await db.disconnect()


@pytest.mark.line("1.is_connected")
async def test_is_connected_is_a_bool(url: str) -> None:
    """is_connected: bool."""
    db = Database(url, 1, 2)
    seen = [db.is_connected]
    await db.connect()
    seen.append(db.is_connected)
    await db.disconnect()
    seen.append(db.is_connected)
    assert seen == [False, True, False]


@pytest.mark.line("1.backend")
def test_backend_is_pgzig(url: str) -> None:
    """backend: str ("pgzig" or "none"): without the extension there is no Database to ask."""
    assert Database(url).backend == "pgzig"


@pytest.mark.line("1.sizes")
def test_url_and_sizes_are_attributes() -> None:
    """url, min_size, max_size."""
    db = Database("postgresql://me@db/app", 3, 7)
    assert (db.url, db.min_size, db.max_size) == ("postgresql://me@db/app", 3, 7)


# -- secrets --


@pytest.mark.line("1.secret.url")
def test_the_url_shows_stars() -> None:
    """url shows the password as ***."""
    assert Database("postgresql://me:tiger@db/app").url == "postgresql://me:***@db/app"
    assert "tiger" not in Database("postgresql://me@db/app?password=tiger").url


@pytest.mark.line("1.secret.repr")
def test_repr_shows_stars() -> None:
    """And every repr."""
    assert "me:***@db" in repr(Database("postgresql://me:tiger@db/app"))
    assert "tiger" not in repr(Database("postgresql://me@db/app", password="tiger"))


@pytest.mark.line("1.secret.error")
async def test_errors_show_no_password() -> None:
    """And every error."""
    with pytest.raises(ConnectionFailed) as failed:
        await Database("postgresql://me:tiger@127.0.0.1:1/app").connect()
    assert "tiger" not in repr(failed.value) + str(failed.value) + repr(vars(failed.value))
    with pytest.raises(ValueError, match=r"\S") as refused:
        Database("postgresql://me:ti@ger@db/app")
    assert "ger" not in str(refused.value).replace("percent-encode", "")


@pytest.mark.line("1.secret.log")
async def test_the_log_shows_no_password(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """And every log line."""
    caplog.set_level(logging.DEBUG)
    password = unquote(urlsplit(url).password or "no password at all")
    async with Database(url, 1, 1) as db:
        await db.query("SELECT 1")
    with pytest.raises(ConnectionFailed):
        await Database("postgresql://me:tiger@127.0.0.1:1/app").connect()
    assert password not in caplog.text
    assert "tiger" not in caplog.text


# -- the URL --


@pytest.mark.line("1.url.schemes")
@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
async def test_both_schemes_connect(url: str, scheme: str) -> None:
    """URL: postgres:// or postgresql://."""
    async with Database(f"{scheme}://{url.partition('://')[2]}", 1, 1) as db:
        assert await db.query_val("SELECT 1") == 1


@pytest.mark.line("1.url.parts")
async def test_the_parts_are_percent_decoded(clean_environment: CleanEnvironment) -> None:
    """user:password@host:port/dbname?key=value, percent-decoded."""
    async with Deaf(closes=True) as server:
        sent = await startup("postgresql://a%40b:p%3Aw@127.0.0.1/my%20db?application_name=x%26y", server)
    assert (sent["user"], sent["database"], sent["application_name"]) == ("a@b", "my db", "x&y")


@pytest.mark.line("1.url.hosts")
async def test_the_next_host_is_tried(url: str) -> None:
    """Several hosts."""
    parts = urlsplit(url)
    userinfo, _, place = parts.netloc.rpartition("@")
    two = parts._replace(netloc=f"{userinfo}@127.0.0.1:1,{place}").geturl()
    async with Database(two, 1, 1) as db:
        assert await db.query_val("SELECT 1") == 1


@pytest.mark.line("1.url.ipv6")
async def test_an_ipv6_address_stands_in_brackets() -> None:
    """IPv6 in brackets."""
    with pytest.raises(ConnectionFailed, match=r"::1.*port 1\b"):
        await Database("postgresql://me@[::1]:1/app").connect()


@pytest.mark.line("1.url.socket")
async def test_a_folder_is_a_unix_socket(tmp_path: Path) -> None:
    """host=/path for a Unix socket."""
    with pytest.raises(ConnectionFailed, match=r"/\.s\.PGSQL\.7777"):
        await Database(f"postgresql:///app?host={tmp_path}&port=7777").connect()


@pytest.mark.line("1.url.keys")
async def test_query_keys_are_libpqs(clean_environment: CleanEnvironment) -> None:
    """libpq's query keys."""
    async with Deaf(closes=True) as server:
        sent = await startup(
            "postgresql:///?host=127.0.0.1&user=u&dbname=d&application_name=a&options=-c%20geqo%3Doff", server
        )
    assert sent["user"] == "u"
    assert sent["database"] == "d"
    assert sent["application_name"] == "a"
    assert sent["options"] == "-c geqo=off"


@pytest.mark.line("1.default.user")
async def test_the_user_comes_from_the_first_that_is_set(clean_environment: CleanEnvironment) -> None:
    """user = PGUSER, then $USER, then $USERNAME, then postgres."""
    async with Deaf(closes=True) as server:
        seen = [(await startup("postgresql://127.0.0.1/d", server))["user"]]
        for name in ("USERNAME", "USER", "PGUSER"):
            clean_environment.setenv(name, name.lower())
            seen.append((await startup("postgresql://127.0.0.1/d", server))["user"])
    assert seen == ["postgres", "username", "user", "pguser"]


@pytest.mark.line("1.default.host")
async def test_the_host_is_pghost_or_localhost(clean_environment: CleanEnvironment) -> None:
    """host = PGHOST or localhost."""
    with pytest.raises(ConnectionFailed, match='"localhost", port 1 '):
        await Database("postgresql://me@/app?port=1").connect()
    clean_environment.setenv("PGHOST", "127.0.0.1")
    with pytest.raises(ConnectionFailed, match=r'"127\.0\.0\.1", port 1 '):
        await Database("postgresql://me@/app?port=1").connect()


@pytest.mark.line("1.default.port")
async def test_the_port_is_pgport_or_5432(clean_environment: CleanEnvironment, tmp_path: Path) -> None:
    """port = PGPORT or 5432."""
    url = f"postgresql:///app?host={tmp_path}"
    with pytest.raises(ConnectionFailed, match=r"\.s\.PGSQL\.5432"):
        await Database(url).connect()
    clean_environment.setenv("PGPORT", "6543")
    with pytest.raises(ConnectionFailed, match=r"\.s\.PGSQL\.6543"):
        await Database(url).connect()


@pytest.mark.line("1.default.password")
async def test_the_password_comes_from_pgpassword(url: str, clean_environment: CleanEnvironment) -> None:
    """password = PGPASSWORD."""
    parts = urlsplit(url)
    clean_environment.setenv("PGPASSWORD", unquote(parts.password or ""))
    bare = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port or 5432}").geturl()
    async with Database(bare, 1, 1) as db:
        assert await db.query_val("SELECT 1") == 1


@pytest.mark.line("1.default.password")
async def test_the_password_comes_from_the_password_file(
    url: str, clean_environment: CleanEnvironment, tmp_path: Path
) -> None:
    """Or the password file."""
    parts = urlsplit(url)
    file = tmp_path / ".pgpass"
    escaped = unquote(parts.password or "").replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"{parts.hostname}:*:*:{parts.username}:{escaped}\n", encoding="utf-8")
    file.chmod(0o600)
    bare = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port or 5432}").geturl()
    clean_environment.setenv("PGPASSFILE", str(file))
    async with Database(bare, 1, 1) as db:
        assert await db.query_val("SELECT 1") == 1


@pytest.mark.line("1.default.dbname")
async def test_the_dbname_is_pgdatabase_or_an_error(clean_environment: CleanEnvironment) -> None:
    """dbname = PGDATABASE, and with none at all a ValueError that says what is missing."""
    with pytest.raises(ValueError, match="no database name"):
        Database("postgresql://me@db")
    clean_environment.setenv("PGDATABASE", "from_env")
    async with Deaf(closes=True) as server:
        assert (await startup("postgresql://me@127.0.0.1", server))["database"] == "from_env"


@pytest.mark.line("1.url.unknown_key")
def test_an_unknown_key_names_the_nearest() -> None:
    """Unknown keys: ValueError with the nearest known key."""
    with pytest.raises(ValueError, match=r"sslmod.*did you mean 'sslmode'"):
        Database("postgresql://me@db/app?sslmod=require")


@pytest.mark.line("1.service")
async def test_the_service_file_is_honoured(
    url: str, clean_environment: CleanEnvironment, tmp_path: Path
) -> None:
    """A connection service file is honoured (service=)."""
    parts = urlsplit(url)
    file = tmp_path / "services.conf"
    file.write_text(
        f"[shop]\nhost={parts.hostname}\nport={parts.port or 5432}\nuser={parts.username}\n"
        f"password={unquote(parts.password or '')}\ndbname={parts.path[1:]}\n",
        encoding="utf-8",
    )
    clean_environment.setenv("PGSERVICEFILE", str(file))
    async with Database("postgresql:///?service=shop", 1, 1) as db:
        assert await db.query_val("SELECT current_database()") == parts.path[1:]


# -- the time it may take --


@pytest.mark.line("1.connect_timeout")
async def test_a_silent_server_is_given_up_after_ten_seconds() -> None:
    """connect_timeout 10 s by default."""
    began = time.monotonic()
    async with Deaf() as server:
        with pytest.raises(ConnectTimeout):
            await Database(f"postgresql://me@127.0.0.1:{server.port}/app", 1).connect()
    assert time.monotonic() - began >= 9.9


@pytest.mark.line("1.connect_timeout.whole")
@pytest.mark.parametrize("reply", [b"", b"N", b"R\0\0\0\x0c\0\0\0\x05abcd"], ids=["tls", "startup", "auth"])
async def test_one_timeout_covers_every_step(reply: bytes) -> None:
    """Over name resolution, TCP, TLS and authentication together."""
    mode = "disable" if reply[:1] == b"R" else "prefer"
    async with Deaf(reply) as server:
        place = f"postgresql://me:pw@127.0.0.1:{server.port}/app?sslmode={mode}&connect_timeout=1"
        with pytest.raises(ConnectTimeout):
            await asyncio.wait_for(Database(place, 1).connect(), 8)
    assert server.received


@pytest.mark.line("1.connect_timeout.per_host")
async def test_each_host_has_its_own_time() -> None:
    """Per host."""
    began = time.monotonic()
    async with Deaf() as first, Deaf() as second:
        places = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
        with pytest.raises(ConnectTimeout):
            await Database(f"postgresql://me@{places}/app?connect_timeout=1", 1).connect()
        assert first.received
        assert second.received
    assert time.monotonic() - began >= 1.9


# -- startup options --


@pytest.mark.line("1.startup.application_name")
async def test_application_name_is_the_sessions(url: str) -> None:
    """Startup options: application_name."""
    async with Database(url, 1, 1, application_name="contract") as db:
        assert await db.query_val("SHOW application_name") == "contract"


@pytest.mark.line("1.startup.options")
async def test_options_are_the_servers_command_line(database_url: str) -> None:
    """Startup options: options."""
    async with Database(database_url, 1, 1, options="-c geqo=off") as db:
        assert await db.query_val("SHOW geqo") == "off"


@pytest.mark.line("1.startup.statement_timeout")
async def test_statement_timeout_is_a_startup_option(url: str) -> None:
    """Startup options: statement_timeout."""
    async with Database(url, 1, 1, statement_timeout="5s") as db:
        assert await db.query_val("SHOW statement_timeout") == "5s"


@pytest.mark.line("1.startup.server_settings")
async def test_any_run_time_parameter_can_be_set(url: str) -> None:
    """Any run-time parameter by server_settings={}."""
    async with Database(url, 1, 1, server_settings={"jit": False, "work_mem": "7MB"}) as db:
        assert await db.query_val("SHOW jit") == "off"
        assert await db.query_val("SHOW work_mem") == "7MB"


# -- get_db --


@pytest.fixture
def configured(url: str, clean_environment: CleanEnvironment) -> str:
    """The setting DATABASE_URL, by the environment."""
    clean_environment.setenv("DATABASE_URL", url)
    return url


@pytest.mark.line("1.get_db")
async def test_get_db_is_the_one_database(configured: str) -> None:
    """get_db() (not a coroutine) returns the one global Database, made from DATABASE_URL on first use."""
    db = get_db()
    assert isinstance(db, Database)
    assert get_db() is db
    set_db(None)


@pytest.mark.line("1.get_db.threads")
def test_all_threads_get_the_same_one(configured: str) -> None:
    """Under double-checked locking, safe from any thread."""
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        found.append(get_db())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 1
    assert len(found) == 8
    set_db(None)


@pytest.mark.line("1.get_db.opens")
async def test_its_pool_opens_on_the_first_query(configured: str) -> None:
    """Its pool opens on the first query."""
    db = get_db()
    seen = [db.is_connected]
    assert await db.query_val("SELECT 1") == 1
    seen.append(db.is_connected)
    assert seen == [False, True]
    await db.disconnect()
    set_db(None)


@pytest.mark.line("1.set_db")
def test_set_db_replaces_it(configured: str) -> None:
    """set_db(db) replaces it."""
    mine = Database(configured)
    set_db(mine)
    assert get_db() is mine
    set_db(None)


@pytest.mark.line("1.get_db.no_url")
def test_without_a_url_it_says_how_to_set_one(clean_environment: CleanEnvironment) -> None:
    """No DATABASE_URL: RuntimeError saying how to set it."""
    with pytest.raises(RuntimeError, match="DATABASE_URL=postgresql://") as failed:
        get_db()
    assert "settings.configure" in str(failed.value)


@pytest.mark.line("1.settings.configure")
async def test_configure_comes_before_the_environment(url: str, clean_environment: CleanEnvironment) -> None:
    """settings.configure(DATABASE_URL=…)."""
    clean_environment.setenv("DATABASE_URL", "postgresql://me@elsewhere/app")
    settings.configure(DATABASE_URL=url)
    try:
        assert await get_db().query_val("SELECT 1") == 1
        await get_db().disconnect()
    finally:
        settings.reset()
        set_db(None)


@pytest.mark.line("1.settings.environment")
def test_else_the_environment_counts(clean_environment: CleanEnvironment) -> None:
    """Else the environment."""
    clean_environment.setenv("DATABASE_URL", "postgresql://me@elsewhere/app")
    assert settings.DATABASE_URL == "postgresql://me@elsewhere/app"
    assert get_db().url == "postgresql://me@elsewhere/app"
    set_db(None)
