"""`listen` and `notify`: what is heard, in which order and when; several listeners; the blocking face.

PostgreSQL docs: sql-listen; sql-notify.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest
import uvloop
from hyperdjango.database import (
    ConnectionFailed,
    Database,
    DataError,
    Gap,
    InterfaceError,
    InvalidParameterValue,
    NotConnected,
    Notification,
    SyncDatabase,
    SyncListener,
)
from hyperdjango.database._listening import COUNT_MAX
from pgkit import Proxy
from pgkit.notes import LISTENERS, SECONDS_MAX, payload, terminate, within
from pgkit.until import until, until_async

NAMES: Final = [
    "jobs",
    "My Channel",
    'quo"ted""',
    "it's; DROP TABLE x --",
    "größe 日本 🦆",
    "new\nline\\x",
    "$1",
    "a" * 63,
    "é" * 31,
]


# What is heard


@pytest.mark.parametrize("name", NAMES)
async def test_a_channels_name_is_taken_as_it_is(url: str, name: str) -> None:
    async with Database(url, 1, 1) as db, db.listen(name) as notes:
        assert notes.channels == (name,)
        await db.notify(name, "mine")
        with psycopg.connect(url, autocommit=True) as other:
            pid = other.info.backend_pid
            other.execute(psycopg.sql.SQL("NOTIFY {}, 'theirs'").format(psycopg.sql.Identifier(name)))
        first, second = [await within(anext(notes)) for _ in range(2)]
        assert (payload(first), isinstance(first, Notification) and first.channel) == ("mine", name)
        assert second == Notification(name, "theirs", pid)


async def test_names_that_differ_in_case_are_different_channels(url: str) -> None:
    async with Database(url, 1, 1) as db, db.listen("jobs", "Jobs") as notes:
        await db.execute("NOTIFY Jobs, 'folded'")
        await db.execute("NOTIFY \"Jobs\", 'as it is'")
        assert [await within(anext(notes)) for _ in range(2)] == [
            Notification("jobs", "folded", await db.query_val("SELECT pg_backend_pid()")),
            Notification("Jobs", "as it is", await db.query_val("SELECT pg_backend_pid()")),
        ]


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        ((), ValueError, "at least one channel"),
        (("",), ValueError, "must not be empty"),
        (("a", "b\0"), ValueError, "contain NUL"),
        (("a" * 64,), ValueError, "longer than 63 bytes"),
        (("é" * 32,), ValueError, "this one of 64 without a word"),
        (("\ud800",), ValueError, "surrogates"),
        ((b"jobs",), TypeError, "must be a str, not bytes"),
    ],
)
def test_a_name_that_no_channel_can_have_is_refused_before_anything_is_opened(
    names: Any, error: type[Exception], text: str
) -> None:
    url = "postgresql://nobody@localhost/nowhere"
    for db in (Database(url), SyncDatabase(url)):
        with pytest.raises(error, match=text):
            db.listen(*names)
    if names:
        with pytest.raises(error, match=text):
            SyncDatabase(url).notify(names[-1])


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_timeout_that_is_none_is_refused(seconds: float) -> None:
    url = "postgresql://nobody@localhost/nowhere"
    for db in (Database(url), SyncDatabase(url)):
        with pytest.raises(ValueError, match="timeout must be"):
            db.listen("jobs", timeout=seconds)


async def test_once_the_block_is_entered_nothing_is_missed(url: str) -> None:
    async with Database(url, 1, 1) as db:
        for n in range(20):
            async with db.listen("jobs") as notes:
                await db.notify("jobs", str(n))
                assert payload(await within(anext(notes))) == str(n)


async def test_notifications_come_in_order_with_their_payloads(url: str) -> None:
    sent = ["", "x", "é" * 1000, "'\\\n\"", "y" * 7999]
    async with Database(url, 1, 1) as db, db.listen("jobs", "more") as notes:
        for text in sent:
            await db.notify("jobs", text)
            await db.notify("more", text)
        pid = await db.query_val("SELECT pg_backend_pid()")
        heard = [await within(anext(notes)) for _ in range(2 * len(sent))]
        assert heard == [Notification(name, text, pid) for text in sent for name in ("jobs", "more")]


async def test_a_payload_that_cannot_be_sent_is_refused(url: str) -> None:
    async with Database(url, 1, 1) as db:
        with pytest.raises(InvalidParameterValue, match="payload string too long"):
            await db.notify("jobs", "x" * 8000)
        with pytest.raises(DataError, match="NUL"):
            await db.notify("jobs", "x\0")
        with pytest.raises(DataError, match="parameter \\$2"):
            await db.notify("jobs", 5)  # type: ignore[arg-type]


async def test_a_transaction_notifies_when_it_commits_and_never_when_it_is_rolled_back(url: str) -> None:
    async with Database(url, 1, 2) as db, db.listen("jobs", timeout=0) as notes:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is the whole block that raises
            async with db.transaction():
                await db.notify("jobs", "rolled back")
                raise ZeroDivisionError
        async with db.transaction():
            await db.notify("jobs", "committed")
            await db.notify("jobs", "committed")
            await db.notify("jobs", "too")
            assert [note async for note in notes] == []
        async with asyncio.timeout(SECONDS_MAX):
            heard: list[str] = []
            while len(heard) < 2:
                heard += [payload(note) async for note in notes]
                await asyncio.sleep(0.005)
        assert heard == ["committed", "too"]  # equal ones are sent once


async def test_a_plain_loop_opens_by_itself_and_closes_when_it_is_left(url: str) -> None:
    async with Database(url, 1, 1) as db:

        async def work() -> list[str]:
            heard: list[str] = []
            async for note in db.listen("jobs"):
                heard.append(payload(note))
                if len(heard) == 3:
                    break
            return heard

        task = asyncio.ensure_future(work())
        with psycopg.connect(url, autocommit=True) as other:
            await until_async(lambda: other.execute(LISTENERS).rowcount == 1)
            for n in range(3):
                await db.notify("jobs", str(n))
            assert await within(task) == ["0", "1", "2"]
            await until_async(lambda: other.execute(LISTENERS).rowcount == 0)


async def test_a_listener_takes_no_place_of_the_pool(url: str) -> None:
    async with Database(url, 0, 1) as db:
        listeners = [db.listen("jobs") for _ in range(3)]
        for each in listeners:
            await each.__aenter__()
        async with db.transaction():
            assert await db.query_val("SELECT 1") == 1
            assert db.pool_stats()["total"] == 1
            assert db.pool_stats()["listeners"] == 3
        await db.notify("jobs", "to all")
        for each in listeners:
            assert payload(await within(anext(each))) == "to all"
            each.close()


async def test_a_database_that_is_not_connected_says_so(url: str) -> None:
    db = Database(url, 0, 1)
    with pytest.raises(NotConnected):
        async with db.listen("jobs"):
            pass
    with pytest.raises(NotConnected):
        async for _ in db.listen("jobs"):
            pass
    with pytest.raises(NotConnected), SyncDatabase(url, 0, 1).listen("jobs"):
        pass
    opens = Database.opening_on_use(url)
    async with opens.listen("jobs") as notes:
        assert opens.is_connected
        await opens.notify("jobs")
        assert payload(await within(anext(notes))) == ""
    await opens.disconnect()


async def test_a_first_connection_that_fails_says_why(url: str) -> None:
    with Proxy.before(url) as proxy:
        async with Database(proxy.url(url), 0, 1) as db:
            proxy.refuse = True
            with pytest.raises(ConnectionFailed):
                async with db.listen("jobs"):
                    pass
            listener = db.listen("jobs")
            with pytest.raises(ConnectionFailed):
                await anext(listener)
            proxy.refuse = False
            await listener.__aenter__()  # it was no loss, and may be tried again
            await db.notify("jobs", "x")
            assert payload(await within(anext(listener))) == "x"
            listener.close()


# Time


async def test_when_its_time_is_over_the_loop_ends_and_another_goes_on(url: str) -> None:
    async with Database(url, 1, 1) as db, db.listen("jobs", timeout=0.05) as notes:
        for n in range(3):
            assert [note async for note in notes] == []
            await db.notify("jobs", str(n))
            assert [payload(note) async for note in notes] == [str(n)]


async def test_a_wait_that_is_cancelled_loses_nothing(url: str) -> None:
    async with Database(url, 1, 1) as db, db.listen("jobs") as notes:
        for n in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.002):
                    await anext(notes)
            await db.notify("jobs", str(n))
            assert payload(await within(anext(notes))) == str(n)


async def test_a_loop_that_never_waits_lets_the_others_run(url: str) -> None:
    async with Database(url, 1, 1) as db, db.listen("jobs") as notes:
        await db.execute("SELECT pg_notify('jobs', n::text) FROM generate_series(1, 20000) AS n")
        turns = 0
        is_over = False

        async def count() -> None:
            nonlocal turns
            while not is_over:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        for n in range(20000):
            assert payload(await anext(notes)) == str(n + 1)
        is_over = True
        await counting
        assert turns > 5


async def test_one_who_is_slow_fills_no_memory(url: str) -> None:
    """What is not taken stays with the server: 100 MB of it here."""
    count = 100_000
    async with Database(url, 1, 1) as db, db.listen("jobs") as notes:
        await db.execute(
            f"SELECT pg_notify('jobs', n || repeat('x', 1000)) FROM generate_series(1, {count}) AS n"
        )
        queue = notes._listening._queue
        most = 0
        for n in range(count):
            if n == 1:
                # The server keeps what nobody takes.
                assert await db.query_val("SELECT pg_notification_queue_usage()") > 0
            text = payload(await anext(notes))
            assert text == f"{n + 1}{'x' * 1000}"
            most = max(most, len(queue))
        assert most < COUNT_MAX


async def test_listeners_of_several_loops_and_threads_all_hear(url: str) -> None:
    count = 50
    together = threading.Barrier(5)

    async def hear(db: Database) -> list[str]:
        async with db.listen("jobs") as notes:
            await asyncio.to_thread(together.wait)
            return [payload(await within(anext(notes))) for _ in range(count)]

    def hear_blocking(db: SyncDatabase) -> list[str]:
        with db.listen("jobs") as notes:
            together.wait()
            return [payload(next(notes)) for _ in range(count)]

    async with Database(url, 1, 2) as db:
        with ThreadPoolExecutor(4) as threads:
            loops = [threads.submit(lambda: asyncio.run(hear(db))) for _ in range(2)]
            blocking = [threads.submit(hear_blocking, db.sync) for _ in range(2)]
            await asyncio.to_thread(together.wait)
            for n in range(count):
                await db.notify("jobs", str(n))
            for each in [*loops, *blocking]:
                assert await within(asyncio.wrap_future(each)) == [str(n) for n in range(count)]


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_any_loop_that_watches_sockets_will_do(url: str, factory: Callable[[], Any]) -> None:
    async def work() -> None:
        async with Database(url, 0, 1) as db, db.listen("jobs") as notes:
            ended = asyncio.ensure_future(anext(await db.listen("jobs").__aenter__(), None))
            for n in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await anext(notes)
                waiting = asyncio.ensure_future(anext(notes))
                await asyncio.sleep(0)
                await db.notify("jobs", str(n))
                assert payload(await within(waiting)) == str(n)
            terminate(url, notes.process_id)
            assert isinstance(await within(anext(notes)), Gap)
            await within(ended)
            waiting = asyncio.ensure_future(anext(notes, None))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            await db.disconnect()
            assert await within(waiting) is None

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work())


# The blocking face


def test_a_blocking_loop_hears_until_its_time_is_over(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db, db.listen("My Channel", timeout=0.05) as notes:
        assert isinstance(notes, SyncListener)
        assert list(notes) == []
        with db.transaction():
            db.notify("My Channel", "one")
        db.notify("My Channel", "two")
        assert [payload(note) for note in notes] == ["one", "two"]
        terminate(url, notes.process_id)
        (gap,) = notes
        assert isinstance(gap, Gap)


def test_a_blocking_loop_closes_when_it_is_left_and_ends_when_the_database_disconnects(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db, psycopg.connect(url, autocommit=True) as other:
        heard: list[str] = []

        def work(*, is_last: bool) -> None:
            for note in db.listen("jobs"):
                heard.append(payload(note))
                if is_last:
                    break

        with ThreadPoolExecutor(2) as threads:
            left = threads.submit(work, is_last=True)
            ended = threads.submit(work, is_last=False)
            until(lambda: other.execute(LISTENERS).rowcount == 2)
            db.notify("jobs", "x")
            left.result(SECONDS_MAX)
            until(lambda: heard == ["x", "x"])
            until(lambda: other.execute(LISTENERS).rowcount == 1)
            db.disconnect()
            ended.result(SECONDS_MAX)
        until(lambda: other.execute(LISTENERS).rowcount == 0)


def test_two_threads_cannot_wait_at_once(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db, db.listen("jobs") as notes, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(next, notes)
        until(lambda: notes._listening._user is not None)
        with pytest.raises(InterfaceError, match="somebody else waits"):
            next(notes)
        db.notify("jobs", "x")
        assert payload(waiting.result(SECONDS_MAX)) == "x"
