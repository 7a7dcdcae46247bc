"""A listener whose connection is lost: another is opened, and what was not heard is told as a Gap.

Servers that answer what a real one does not on request are scripted. PostgreSQL docs: protocol-flow,
"Asynchronous Operations".
"""

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    AdminShutdown,
    ConnectionFailed,
    ConnectTimeout,
    Database,
    Gap,
    Notification,
    ProtocolError,
    ReadOnlySqlTransaction,
    SyncDatabase,
)
from hyperdjango.database._embedded_server import EmbeddedServer, TlsFiles
from pg_certificates import Authority
from pgbouncer import PgBouncer
from pgkit import (
    Proxy,
    ScriptedBackend,
    close,
    dribble,
    expect,
    expect_eof,
    messages,
    refuse,
    send,
    startup,
    wait,
)
from pgkit.frontend import Query
from pgkit.notes import SECONDS_MAX, payload, terminate, within
from pgkit.until import until, until_async
from postgres_servers import StartServer


async def test_a_lost_connection_is_opened_again_and_the_gap_is_told_in_its_place(url: str) -> None:
    async with Database(url, 1, 1) as db, db.listen("jobs", "more") as notes:
        first = notes.process_id
        await db.notify("jobs", "before")
        assert payload(await within(anext(notes))) == "before"
        terminate(url, first)
        gap = await within(anext(notes))
        assert isinstance(gap, Gap)
        assert gap.channels == ("jobs", "more")
        assert 0 < gap.seconds < SECONDS_MAX
        assert getattr(gap.error, "sqlstate", None) == "57P01"
        assert gap.error.__traceback__ is None
        assert notes.process_id not in {0, first}
        await db.notify("more", "after")
        assert payload(await within(anext(notes))) == "after"


async def test_a_gap_comes_at_once_where_no_notification_follows(url: str) -> None:
    async with Database(url, 1, 1) as db, db.listen("jobs") as notes:
        waiting = asyncio.ensure_future(anext(notes))
        await asyncio.sleep(0)
        terminate(url, notes.process_id)
        assert isinstance(await within(waiting), Gap)


async def test_a_listener_without_gaps_yields_notifications_alone_and_logs_the_loss(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hyperdjango.database")
    async with Database(url, 1, 1) as db, db.listen("jobs", gaps=False, timeout=0.05) as notes:
        first = notes.process_id
        terminate(url, first)
        heard: list[Notification] = []
        while notes.process_id in {0, first}:
            heard += [note async for note in notes]
        await db.notify("jobs", "after")
        async with asyncio.timeout(SECONDS_MAX):
            while not heard:
                heard += [note async for note in notes]
        assert [note.payload for note in heard] == ["after"]
    assert "has lost its connection" in caplog.text
    assert "hears again" in caplog.text


def test_a_gap_that_is_taken_for_a_notification_says_what_it_is() -> None:
    gap: Any = Gap(("jobs",), 0.5, OSError("gone"))
    with pytest.raises(AttributeError, match="look for `case Gap"):
        _ = gap.payload
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        _ = gap.nonsense
    assert gap == Gap(("jobs",), 0.5, gap.error)
    assert hash(Notification("a", "b", 1)) == hash(Notification("a", "b", 1))


@pytest.mark.parametrize("how", ["eof", "reset"])
async def test_while_the_line_is_cut_it_is_tried_again_and_again(
    url: str, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Proxy.before(url) as proxy:
        async with Database(proxy.url(url), 0, 1) as db, db.listen("jobs") as notes:
            waiting = asyncio.ensure_future(anext(notes))
            await asyncio.sleep(0)
            proxy.refuse = True
            tried = len(proxy.links)
            proxy.cut(how)
            await until_async(lambda: "could not open another connection" in caplog.text)
            assert not waiting.done()
            assert notes.process_id == 0
            proxy.refuse = False
            assert isinstance(await within(waiting), Gap)
            assert len(proxy.links) > tried
            await db.notify("jobs", "after")
            assert payload(await within(anext(notes))) == "after"


async def test_a_timeout_shorter_than_an_attempt_does_not_keep_it_from_connecting(url: str) -> None:
    with Proxy.before(url) as proxy:
        async with Database(proxy.url(url), 0, 1) as db, db.listen("jobs", timeout=0.001) as notes:
            proxy.delay = 0.05
            proxy.cut()
            async with asyncio.timeout(SECONDS_MAX):
                found: list[Notification | Gap] = []
                while not found:
                    found += [note async for note in notes]
            assert isinstance(found[0], Gap)


@pytest.fixture(scope="module")
def own_server(start_server: StartServer) -> EmbeddedServer:
    return start_server()


async def test_it_outlives_a_restart_of_the_server(
    own_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with Database(own_server.url, 0, 1) as db, db.listen("jobs") as notes:
        waiting = asyncio.ensure_future(anext(notes))
        await asyncio.sleep(0)
        await asyncio.to_thread(own_server.stop, "fast")
        await until_async(lambda: "could not open another connection" in caplog.text)
        assert not waiting.done()
        await asyncio.to_thread(own_server.start)
        gap = await within(waiting)
        assert isinstance(gap, Gap)
        await db.notify("jobs", "after")
        assert payload(await within(anext(notes))) == "after"


async def test_a_role_that_may_not_log_in_any_more_ends_it(url: str) -> None:
    """That does not pass by itself."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("DROP ROLE IF EXISTS hears")
        other.execute("CREATE ROLE hears LOGIN PASSWORD 'first'")
        try:
            async with Database(url, 0, 1, user="hears", password="first") as db:
                notes = await db.listen("jobs").__aenter__()
                other.execute("ALTER ROLE hears NOLOGIN")
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [notes.process_id])
                with pytest.raises(ConnectionFailed, match="not permitted to log in"):
                    await within(anext(notes))
                assert [note async for note in notes] == []
        finally:
            await asyncio.sleep(0)
            until(lambda: not is_logged_in(other, "hears"))
            other.execute("DROP ROLE hears")


def is_logged_in(other: psycopg.Connection[Any], user: str) -> bool:
    return other.execute("SELECT 1 FROM pg_stat_activity WHERE usename = %s", [user]).rowcount > 0


LISTENING: Final = send(messages.command_complete("LISTEN"), messages.ready_for_query())


def listens(*then: Any) -> list[Any]:
    """Follow a listener that opens, then do what the test wants."""
    return [*startup(), expect(Query), LISTENING, *then]


def note(text: str) -> bytes:
    return messages.notification_response(7, "jobs", text)


async def hear(db: Database, count: int) -> list[Any]:
    """Listen to a scripted server until it has said so much."""
    async with db.listen("jobs") as notes:
        return [await within(anext(notes)) for _ in range(count)]


async def test_what_came_before_the_end_is_heard_before_the_gap() -> None:
    first = listens(send(note("a"), note("b"), note("half")[:-3]), close())
    with ScriptedBackend(first, listens(send(note("c")), expect_eof())) as backend:
        async with Database(backend.url(), 0, 1) as db:
            a, b, gap, c = await hear(db, 4)
    assert (a, b) == (Notification("jobs", "a", 7), Notification("jobs", "b", 7))
    assert isinstance(gap, Gap)
    assert c == Notification("jobs", "c", 7)


async def test_notifications_that_come_with_the_answer_to_listen_stand_behind_the_gap() -> None:
    second = [
        *startup(),
        expect(Query),
        send(messages.command_complete("LISTEN"), note("b"), messages.ready_for_query(), note("c")),
        expect_eof(),
    ]
    first = [
        *startup(),
        expect(Query),
        send(note("a"), messages.command_complete("LISTEN"), messages.ready_for_query()),
        close(),
    ]
    with ScriptedBackend(first, second) as backend:
        async with Database(backend.url(), 0, 1) as db:
            a, gap, b, c = await hear(db, 4)
    assert isinstance(gap, Gap)
    assert [payload(each) for each in (a, b, c)] == ["a", "b", "c"]


async def test_bytes_may_come_one_by_one() -> None:
    script = listens(dribble(note("a" * 40), messages.notice_response(), note("b")), expect_eof())
    with ScriptedBackend(script) as backend:
        async with Database(backend.url(), 0, 1) as db:
            heard: list[str] = []
            db.on_notice(lambda notice: heard.append(notice.message))
            assert [payload(each) for each in await hear(db, 2)] == ["a" * 40, "b"]
            assert heard == ["a notice"]


async def test_the_backends_last_words_are_in_the_gap() -> None:
    fatal = messages.error_response("57P01", "closing for the night", severity="FATAL")
    with ScriptedBackend(listens(send(fatal), close()), listens(expect_eof())) as backend:
        async with Database(backend.url(), 0, 1) as db:
            (gap,) = await hear(db, 1)
    assert isinstance(gap.error, AdminShutdown)
    assert str(gap.error) == "closing for the night"


async def test_notices_without_end_keep_nobody_waiting() -> None:
    """The others on the loop have their turn, and a timeout its effect."""
    flood = messages.notice_response() * 20_000
    with ScriptedBackend(listens(send(flood, note("a")), expect_eof())) as backend:
        async with Database(backend.url(), 0, 1) as db, db.listen("jobs") as notes:
            ticks = 0
            waiting = asyncio.ensure_future(anext(notes))
            async with asyncio.timeout(SECONDS_MAX):
                while not waiting.done():
                    ticks += 1
                    await asyncio.sleep(0)
            assert payload(await waiting) == "a"
            assert ticks > 10


READ_ONLY: Final = messages.error_response("25006", "cannot execute LISTEN during recovery")


async def test_a_standby_refuses_the_first_time_and_is_waited_for_later() -> None:
    in_recovery = [*startup(), expect(Query), send(READ_ONLY, messages.ready_for_query()), expect_eof()]
    with ScriptedBackend(in_recovery, listens(close()), in_recovery, listens(expect_eof())) as backend:
        async with Database(backend.url(), 0, 1) as db:
            with pytest.raises(ReadOnlySqlTransaction, match="during recovery"):
                await hear(db, 1)
            (gap,) = await hear(db, 1)
            assert isinstance(gap, Gap)


@pytest.mark.parametrize(
    ("sqlstate", "text"),
    [
        ("28P01", "password authentication failed"),
        ("28000", "no pg_hba.conf entry"),
        ("3D000", "database does not exist"),
        ("42501", "permission denied for database"),
    ],
)
async def test_what_does_not_pass_by_itself_is_raised(sqlstate: str, text: str) -> None:
    refused = refuse(sqlstate, text)
    with ScriptedBackend(listens(send(note("a")), close()), refused, refused) as backend:
        async with Database(backend.url(), 0, 1) as db, db.listen("jobs") as notes:
            assert payload(await within(anext(notes))) == "a"
            with pytest.raises(ConnectionFailed, match=text) as caught:
                await within(anext(notes))
            assert caught.value.sqlstate == sqlstate
            assert [each async for each in notes] == []


@pytest.mark.parametrize("sqlstate", ["53300", "57P03"])
async def test_what_passes_by_itself_is_waited_for(sqlstate: str) -> None:
    refused = refuse(sqlstate, "not now")
    scripts = [listens(close()), refused, refused, refused, listens(expect_eof())]
    with ScriptedBackend(*scripts) as backend:
        async with Database(backend.url(), 0, 1) as db:
            (gap,) = await hear(db, 1)
            assert isinstance(gap, Gap)


async def test_a_server_that_does_not_answer_listen_is_given_up() -> None:
    silent = [*startup(), expect(Query), wait(0), expect_eof()]
    with ScriptedBackend(silent, listens(close()), silent, listens(expect_eof())) as backend:
        async with Database(backend.url(), 0, 1, connect_timeout=1) as db:
            with pytest.raises(ConnectTimeout, match="LISTEN was not answered"):
                await hear(db, 1)
            (gap,) = await hear(db, 1)
            assert isinstance(gap, Gap)


async def test_a_connection_that_ends_again_and_again_is_not_opened_without_pause() -> None:
    scripts = [listens(close()) for _ in range(6)]
    with ScriptedBackend(*scripts, listens(expect_eof())) as backend:
        async with Database(backend.url(), 0, 1) as db, db.listen("jobs") as notes:
            gaps = [each for _ in range(6) if isinstance(each := await within(anext(notes)), Gap)]
    assert len(gaps) == 6
    # The pauses double: the shortest that six can be is 0.025 s, then 0.05 s and so on.
    assert gaps[-1].seconds >= 0.025 * 2**5 * 0.5


@pytest.mark.parametrize(
    "rubbish",
    [b"Z\0\0\0\x09hello", b"A\0\0\0\x05x", b"\0" * 9, messages.command_complete("LISTEN"), b"E\0\0\0\x05x"],
)
async def test_a_broken_protocol_ends_it_behind_what_came_before(rubbish: bytes) -> None:
    with ScriptedBackend(listens(send(note("x"), rubbish), expect_eof())) as backend:
        async with Database(backend.url(), 0, 1) as db, db.listen("jobs") as notes:
            assert payload(await within(anext(notes))) == "x"
            with pytest.raises(ProtocolError):
                await within(anext(notes))
            assert [each async for each in notes] == []


async def test_text_that_is_not_utf8_is_shown_and_no_crash() -> None:
    message = messages.message(b"A", b"\0\0\0\x07jobs\0\xff\xfe\0")
    with ScriptedBackend(listens(send(message), expect_eof())) as backend:
        async with Database(backend.url(), 0, 1) as db:
            assert [payload(each) for each in await hear(db, 1)] == ["\ufffd\ufffd"]


async def test_over_tls_it_is_the_same(start_server: StartServer, tmp_path: Path) -> None:
    certificate = Authority(tmp_path).sign("localhost", ["localhost", "127.0.0.1"])
    server = start_server("system", tls=TlsFiles(certificate.certificate_file, certificate.key_file))
    async with Database(server.url, 0, 1, sslmode="require") as db, db.listen("jobs") as notes:
        pid = notes.process_id
        assert await db.query_val("SELECT ssl FROM pg_stat_ssl WHERE pid = $1", pid)
        for n in range(1000):
            await db.notify("jobs", str(n))
        assert [payload(await within(anext(notes))) for _ in range(1000)] == [str(n) for n in range(1000)]
        terminate(server.url, pid)
        assert isinstance(await within(anext(notes)), Gap)
        await db.notify("jobs", "after")
        assert payload(await within(anext(notes))) == "after"


async def test_a_pooler_in_between_is_warned_of(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """One that pools by session is fine, and cannot be told from the others."""
    with PgBouncer(url, "session", 2) as pooler:
        async with Database(pooler.url, 1, 1) as db, db.listen("jobs") as notes:
            await db.notify("jobs", "x")
            assert payload(await within(anext(notes))) == "x"
    assert "there is a pooler between" in caplog.text


def test_the_blocking_face_opens_another_one_too(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db, db.listen("jobs") as notes:
        terminate(url, notes.process_id)
        assert isinstance(next(notes), Gap)
        db.notify("jobs", "after")
        assert payload(next(notes)) == "after"
