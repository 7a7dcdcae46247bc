"""How a listener ends: by its block, its Database, another thread, a cancellation, or by being dropped.

PostgreSQL docs: sql-listen.
"""

import asyncio
import gc
import weakref

import psycopg
import pytest
from hyperdjango.database import Database, Gap, InterfaceError, Notification
from pgkit import Proxy
from pgkit.notes import LISTENERS, SECONDS_MAX, is_there, payload, within
from pgkit.until import until, until_async


async def test_disconnecting_ends_the_loops_quietly(url: str) -> None:
    async with Database(url, 0, 1) as db:
        entered = await db.listen("jobs").__aenter__()
        idle = await db.listen("jobs").__aenter__()

        async def work() -> list[Notification | Gap]:
            return [note async for note in entered]

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        pids = [entered.process_id, idle.process_id]
        await db.disconnect()
        assert await within(task) == []
        assert [note async for note in idle] == []
        await until_async(lambda: not any(is_there(url, pid) for pid in pids))
        await db.connect()
        assert [note async for note in entered] == []
        with pytest.raises(InterfaceError, match="was closed"):
            await entered.__aenter__()


async def test_disconnecting_ends_a_listener_that_tries_to_connect(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Proxy.before(url) as proxy:
        db = await Database(proxy.url(url), 0, 1).connect()
        notes = await db.listen("jobs").__aenter__()
        waiting = asyncio.ensure_future(anext(notes, None))
        await asyncio.sleep(0)
        proxy.refuse = True
        proxy.cut()
        await until_async(lambda: "could not open another connection" in caplog.text)
        assert not waiting.done()
        await db.disconnect()
        assert await within(waiting) is None


async def test_disconnecting_ends_an_attempt_that_gets_no_answer(url: str) -> None:
    with Proxy.before(url) as proxy:
        db = await Database(proxy.url(url), 0, 1, connect_timeout=SECONDS_MAX * 2).connect()
        opened = await db.listen("jobs").__aenter__()
        proxy.freeze()
        first = asyncio.ensure_future(anext(db.listen("jobs"), None))
        again = asyncio.ensure_future(anext(opened, None))
        await asyncio.sleep(0)
        links = len(proxy.links)
        proxy.links[0].cut()
        await until_async(lambda: len(proxy.links) > links)
        await db.disconnect()
        assert await within(first) is None
        assert await within(again) is None


async def test_closing_it_wakes_who_waits_and_may_be_done_again(url: str) -> None:
    async with Database(url, 0, 1) as db:
        notes = await db.listen("jobs").__aenter__()
        assert repr(notes) == "<Listener 'jobs'>"
        waiting = asyncio.ensure_future(anext(notes, None))
        await asyncio.sleep(0)
        for _ in range(2):
            notes.close()
        assert await within(waiting) is None
        assert repr(notes) == "<Listener 'jobs' closed>"
        assert notes.process_id == 0


async def test_two_tasks_cannot_wait_at_once(url: str) -> None:
    async with Database(url, 1, 1) as db, db.listen("jobs") as notes:
        waiting = asyncio.ensure_future(anext(notes))
        await asyncio.sleep(0)
        with pytest.raises(InterfaceError, match="somebody else waits"):
            await anext(notes)
        await db.notify("jobs", "x")
        assert payload(await within(waiting)) == "x"


@pytest.mark.parametrize("is_cycle", [False, True])
async def test_a_listener_that_is_thrown_away_closes_its_connection(url: str, is_cycle: bool) -> None:
    async with Database(url, 0, 1) as db:
        notes = await db.listen("jobs").__aenter__()
        pid = notes.process_id
        watched = weakref.ref(notes._listening)
        if is_cycle:
            vars(notes)["itself"] = notes
        del notes
        if is_cycle:
            gc.collect()
        assert watched() is None
        assert db._pool.listeners._known == set()
        await until_async(lambda: not is_there(url, pid))


async def test_a_task_that_is_cancelled_in_its_loop_leaves_no_connection(url: str) -> None:
    async with Database(url, 0, 1) as db:

        async def work() -> None:
            async for _ in db.listen("jobs"):
                pass

        for _ in range(5):
            task = asyncio.ensure_future(work())
            with psycopg.connect(url, autocommit=True) as other:
                await until_async(lambda other=other: other.execute(LISTENERS).rowcount == 1)  # type: ignore[misc]
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until_async(lambda other=other: other.execute(LISTENERS).rowcount == 0)  # type: ignore[misc]


async def test_an_error_in_the_loop_leaves_no_connection(url: str) -> None:
    async with Database(url, 0, 1) as db:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is the whole block that raises
            async with db.listen("jobs") as notes:
                pid = notes.process_id
                await db.notify("jobs")
                async for _ in notes:
                    raise ZeroDivisionError
        await until_async(lambda: not is_there(url, pid))


def test_a_listener_goes_on_on_another_loop_when_its_own_was_closed_while_it_waited(url: str) -> None:
    db = Database(url, 0, 1)
    with asyncio.Runner() as first:
        first.run(db.connect())
        loop = first.get_loop()
        notes = first.run(db.listen("jobs").__aenter__())
        waiting = loop.create_task(anext(notes, None))
        first.run(asyncio.sleep(0))
        assert not waiting.done()
        pid = notes.process_id
    with asyncio.Runner() as second:
        second.run(db.notify("jobs", "x"))
        assert payload(second.run(within(anext(notes)))) == "x"  # it belongs to no loop
        second.run(db.disconnect())
        assert second.run(within(anext(notes, None))) is None
    until(lambda: not is_there(url, pid))


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_a_plain_loop_whose_time_is_over_is_closed_without_the_collector(
    url: str, is_blocking: bool
) -> None:
    async with Database(url, 0, 1) as db:
        gc.collect()
        gc.disable()
        try:
            if is_blocking:
                assert list(db.sync.listen("jobs", timeout=0.01)) == []
            else:
                assert [note async for note in db.listen("jobs", timeout=0.01)] == []
            await until_async(lambda: db.pool_stats()["listeners"] == 0)
        finally:
            gc.enable()
