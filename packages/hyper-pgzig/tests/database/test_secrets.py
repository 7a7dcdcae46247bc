"""The password is shown nowhere: no repr, no log record, no exception, no local of a traceback."""

import asyncio
import gc
import io
import logging
import pickle
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from hyperdjango.conf import settings
from hyperdjango.database import Database, Error, SyncDatabase, get_db, set_db
from postgres_servers import StartServer

PASSWORD: Final = "p@ss/w:rd ?ö%41"
ENCODED: Final = quote(PASSWORD, safe="")
MARKS: Final = (PASSWORD, ENCODED, quote(PASSWORD), "w:rd", "ss/w", "ss%2Fw", "w%3Ard")


class Hidden:
    """Carries text past the locals of this file's own frames."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "<hidden>"


def assert_hidden(shown: str, where: str) -> None:
    for mark in MARKS:
        assert mark not in shown, f"{where} shows the password as {mark!r}: {shown}"


def everything_about(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """What a person or a tracker may get to see of an exception."""
    while error is not None:
        yield "str", str(error)
        yield "repr", repr(error)
        yield "args", repr(error.args)
        yield "notes", repr(getattr(error, "__notes__", ()))
        yield "fields", repr(vars(error))
        yield "pickle", repr(pickle.dumps(error)) if isinstance(error, Error) else ""
        shown = io.StringIO()
        traceback.TracebackException.from_exception(error, capture_locals=True).print(file=shown)
        yield "traceback", shown.getvalue()
        for inner in getattr(error, "exceptions", ()):
            yield from everything_about(inner)
        error = error.__cause__ or error.__context__


Open = Callable[[Hidden, dict[str, Any]], Any]


def open_sync(url: Hidden, options: dict[str, Any]) -> Any:
    db = SyncDatabase(url.text, 1, 1, **options)
    try:
        db.connect()
        return db.query("SELECT nothing FROM nowhere WHERE x = $1", 1)
    finally:
        db.disconnect()


def open_async(url: Hidden, options: dict[str, Any]) -> Any:
    async def main() -> Any:
        async with Database(url.text, 1, 1, **options) as db:
            return await db.query("SELECT nothing FROM nowhere WHERE x = $1", 1)

    return asyncio.run(main())


@pytest.fixture(params=[open_sync, open_async], ids=["sync", "async"])
def open_(request: pytest.FixtureRequest) -> Open:
    found: Open = request.param
    return found


@pytest.fixture(scope="module")
def place(start_server: StartServer) -> str:
    """Host, port and database of a server whose user `me` has the password."""
    server = start_server()
    host_and_port = server.url.rpartition("@")[2].partition("/")[0]
    with SyncDatabase(server.url, 1, 1) as db:
        literal = PASSWORD.replace("'", "''")
        db.execute(f"CREATE ROLE me LOGIN PASSWORD '{literal}'")
        db.execute("CREATE ROLE other LOGIN PASSWORD 'different'")
    return f"{host_and_port}/postgres"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


FAULTS: Final = {
    "unknown key": ("postgresql://me:{p}@{place}?no_such_key=1", ValueError),
    "bad value": ("postgresql://me:{p}@{place}?sslmode=perhaps", ValueError),
    "bad port": ("postgresql://me:{p}@127.0.0.1:port/postgres", ValueError),
    "no database": ("postgresql://me:{p}@127.0.0.1", ValueError),
    "not a URL": ("postgres//me:{p}@{place}", ValueError),
    "bad escape": ("postgresql://me:{p}%zz@{place}", ValueError),
    "unescaped": ("postgresql://me:{raw}@{place}", (ValueError, Error)),
    "wrong for this user": ("postgresql://other:{p}@{place}", Error),
    "refused": ("postgresql://me:{p}@127.0.0.1:1/postgres", Error),
    "unreachable": ("postgresql://me:{p}@127.0.0.1:{silent}/postgres?connect_timeout=1", Error),
    "no such host": ("postgresql://me:{p}@no-such-host.invalid/postgres", Error),
    "no TLS there": ("postgresql://me:{p}@{place}?sslmode=require", Error),
    "unknown database": ("postgresql://me:{p}@{host}/no_such_database", Error),
    "wrong settings": ("postgresql://me:{p}@{place}?options=-c%20no_such%3D1", Error),
    "query error": ("postgresql://me:{p}@{place}", Error),
    "in a query key": ("postgresql://me@{place}?password={p}", Error),
    "in a query key, misspelt": ("postgresql://me@{place}?passwort={p}&x=1", ValueError),
    "several hosts": ("postgresql://me:{p}@127.0.0.1:1,127.0.0.1:2/postgres", Error),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_failure_shows_the_password_of_the_url(
    open_: Open, place: str, silent_port: int, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    text, kind = FAULTS[fault]
    host = place.partition("/")[0]
    url = Hidden(text.format(p=ENCODED, raw=PASSWORD, place=place, host=host, silent=silent_port))
    with caplog.at_level(logging.DEBUG), pytest.raises(kind) as caught:  # type: ignore[call-overload]
        open_(url, {})
    for where, shown in everything_about(caught.value):
        assert_hidden(shown, where)
    for record in caplog.records:
        assert_hidden(record.getMessage() + repr(vars(record)), "log")


@pytest.mark.parametrize("url", ["postgresql://me@{place}", "postgresql://other@{place}"])
@pytest.mark.parametrize("source", ["keyword", "PGPASSWORD", "passfile", "service"])
def test_no_failure_shows_a_password_from_elsewhere(
    open_: Open,
    place: str,
    source: str,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options: dict[str, Any] = {}
    full = Hidden(url.format(place=place))
    match source:
        case "keyword":
            options["password"] = PASSWORD
        case "PGPASSWORD":
            monkeypatch.setenv("PGPASSWORD", PASSWORD)
        case "passfile":
            file = tmp_path / "passfile"
            file.write_text("*:*:*:*:" + PASSWORD.replace("\\", "\\\\").replace(":", "\\:") + "\n")
            file.chmod(0o600)
            options["passfile"] = str(file)
        case "service":
            file = tmp_path / "services"
            file.write_text(f"[mine]\npassword={PASSWORD}\n")
            monkeypatch.setenv("PGSERVICEFILE", str(file))
            options["service"] = "mine"
    with caplog.at_level(logging.DEBUG), pytest.raises(Error) as caught:
        open_(full, options)
    options.clear()
    expected = "42P01" if "me@" in url else "28P01"
    assert getattr(caught.value, "sqlstate", None) == expected, "the password was not the one that was sent"
    for where, shown in everything_about(caught.value):
        assert_hidden(shown, where)
    for record in caplog.records:
        assert_hidden(record.getMessage() + repr(vars(record)), "log")


def test_asyncio_in_debug_mode_logs_no_password(place: str, caplog: pytest.LogCaptureFixture) -> None:
    url = Hidden(f"postgresql://me:{ENCODED}@{place}")

    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.0
        async with Database(url.text, 1, 1) as db:
            assert await db.query_val("SELECT 1") == 1
            task = asyncio.create_task(db.query("SELECT pg_sleep(5)"))
            await asyncio.sleep(0.05)
            assert_hidden(repr(task) + repr(asyncio.all_tasks()), "task")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main(), debug=True)
    assert caplog.records
    for record in caplog.records:
        assert_hidden(record.getMessage(), "log")


def test_no_object_of_an_open_database_shows_the_password(place: str) -> None:
    """Goes through everything that can be reached from a Database, as a debugger or an error tracker may."""
    url = Hidden(f"postgresql://me:{ENCODED}@{place}")
    with SyncDatabase(url.text, 1, 1) as db:
        db.query("SELECT 1")
        seen: set[int] = set()
        todo: list[Any] = [db]
        while todo:
            each = todo.pop()
            if id(each) in seen or isinstance(each, type) or hasattr(each, "__globals__"):
                continue
            seen.add(id(each))
            if type(each).__module__.startswith("hyperdjango") or isinstance(each, (str, bytes)):
                shown = repr(each)
                assert_hidden(shown, type(each).__name__)
                assert_hidden(str(each), type(each).__name__)
                assert_hidden(f"{each!s:>5}", type(each).__name__)
            if not hasattr(each, "__path__") and type(each).__name__ not in {"module", "frame"}:
                todo.extend(gc.get_referents(each))
        assert len(seen) > 50


def test_the_global_database_shows_no_password_either() -> None:
    set_db(None)
    try:
        with settings.override(DATABASE_URL=f"postgresql://me:{ENCODED}@localhost/x"):
            assert_hidden(repr(get_db()) + get_db().url + repr(get_db().sync), "repr")
            assert_hidden(repr(settings) + str(settings), "settings")
        set_db(None)
        with (
            settings.override(DATABASE_URL=f"postgresql://me:{ENCODED}@localhost/x?no_such=1"),
            pytest.raises(ValueError, match="no_such") as caught,
        ):
            get_db()
        for where, shown in everything_about(caught.value):
            assert_hidden(shown, where)
    finally:
        set_db(None)


def test_a_database_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(SyncDatabase(f"postgresql://me:{ENCODED}@localhost/x"))


@pytest.mark.parametrize("kind", [Database, SyncDatabase])
def test_the_url_is_shown_with_the_password_hidden(kind: type[Any]) -> None:
    db = kind(f"postgresql://me:{ENCODED}@localhost/x?sslpassword={ENCODED}&application_name=a")
    assert db.url == "postgresql://me:***@localhost/x?sslpassword=***&application_name=a"
    assert_hidden(repr(db) + str(db), "repr")
