"""How a pool is opened and drained: who waits for whom, and who is refused."""

import asyncio
import threading
import time

import psycopg
import pytest
from hyperdjango.database import ConnectionFailed, Database, InterfaceError, SyncDatabase
from hyperdjango.database._global import get_db, set_db
from pgkit import SIMPLE_SELECT, Conversation, ScriptedBackend, accept_startup, refuse, serve, startup
from pgkit.face import OpenFace
from pgkit.until import until, until_async

SQL = "SELECT n"
PID = "SELECT pg_backend_pid()"


def _slowly(talk: Conversation) -> None:
    del talk
    time.sleep(0.2)


SLOW = [accept_startup(), _slowly, *startup()[1:], serve({SQL: SIMPLE_SELECT})]


def test_a_second_connect_waits_until_the_first_has_opened_all() -> None:
    async def main(url: str) -> None:
        db = Database(url, 2, 2)

        async def second() -> int:
            await db.connect()
            return db.pool_stats()["idle"]

        first = asyncio.create_task(db.connect())
        await asyncio.sleep(0)
        counts = await asyncio.gather(*(second() for _ in range(3)))
        assert first.done()
        assert counts == [2, 2, 2]
        await db.disconnect()

    with ScriptedBackend(SLOW, SLOW) as backend:
        asyncio.run(main(backend.url()))


def test_a_second_thread_that_connects_waits_too() -> None:
    with ScriptedBackend(SLOW, SLOW) as backend:
        db = SyncDatabase(backend.url(), 2, 2)
        counts: list[int] = []

        def connect() -> None:
            db.connect()
            counts.append(db.pool_stats()["idle"])

        threads = [threading.Thread(target=connect) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [2] * 4
        db.disconnect()


def test_where_the_first_connect_fails_the_second_tries_for_itself() -> None:
    async def main(url: str) -> None:
        db = Database(url, 1, 1)
        outcomes = await asyncio.gather(db.connect(), db.connect(), return_exceptions=True)
        assert [type(each) for each in outcomes] == [ConnectionFailed, Database]
        await db.disconnect()

    with ScriptedBackend(refuse("28000", "no"), [*startup(), serve({SQL: SIMPLE_SELECT})]) as backend:
        asyncio.run(main(backend.url()))


async def test_while_it_drains_running_calls_end_and_the_others_are_refused_at_once(url: str) -> None:
    db = await Database(url, 1, 1).connect()
    running = asyncio.create_task(db.query_val("SELECT 7 FROM pg_sleep(0.5)"))
    await until_async(lambda: db.pool_stats()["busy"] == 1)
    waiting = asyncio.create_task(db.query_val("SELECT 8"))
    await until_async(lambda: db.pool_stats()["waiting"] == 1)
    closing = asyncio.create_task(db.disconnect())
    with pytest.raises(InterfaceError):
        await waiting
    with pytest.raises(InterfaceError):
        await db.query("SELECT 1")
    assert not closing.done()
    assert not running.done()
    await closing
    assert await running == 7
    assert db.pool_stats()["total"] == 0


def test_past_the_timeout_connections_are_closed_as_they_come_back(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 1, 1)
    slot = face._acquire(None)
    began = time.monotonic()
    face.disconnect(timeout=0.1)
    face.disconnect(timeout=0)
    assert time.monotonic() - began < 5
    assert face.pool_stats()["total"] == 1
    assert not slot.is_closed
    # One that was opened again does not take it back.
    face.connect()
    face._release(slot)
    assert slot.is_closed
    until(lambda: face.pool_stats()["busy"] == 0)
    assert face.query_val("SELECT 1") == 1


def test_zero_waits_for_nobody_and_none_without_limit(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 2, 2)
    face.disconnect(timeout=0)
    assert face.pool_stats()["total"] == 0
    face.connect()
    face.disconnect(timeout=None)
    assert face.pool_stats()["total"] == 0


async def test_a_connect_during_the_drain_opens_a_fresh_pool_after_it(url: str) -> None:
    db = await Database(url, 1, 1).connect()
    running = asyncio.create_task(db.query_val("SELECT 7 FROM pg_sleep(0.3)"))
    await until_async(lambda: db.pool_stats()["busy"] == 1)
    closing = asyncio.create_task(db.disconnect())
    await asyncio.sleep(0)
    await db.connect()
    assert running.done()
    await closing
    assert await db.query_val("SELECT 1") == 1
    await db.disconnect()


async def test_a_cancelled_disconnect_lets_nobody_wait_for_ever(url: str) -> None:
    db = await Database(url, 1, 1).connect()
    running = asyncio.create_task(db.query_val("SELECT 7 FROM pg_sleep(0.3)"))
    await until_async(lambda: db.pool_stats()["busy"] == 1)
    closing = asyncio.create_task(db.disconnect())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert await running == 7
    await db.connect()
    assert await db.query_val("SELECT 1") == 1
    await db.disconnect()


async def test_the_pool_of_get_db_is_not_opened_again_by_a_call_while_it_drains(url: str) -> None:
    from hyperdjango.conf import settings

    settings.configure(DATABASE_URL=url)
    set_db(None)
    db = get_db()
    try:
        running = asyncio.create_task(db.query_val("SELECT 7 FROM pg_sleep(0.3)"))
        await until_async(lambda: db.pool_stats()["busy"] == 1)
        closing = asyncio.create_task(db.disconnect())
        await asyncio.sleep(0)
        with pytest.raises(InterfaceError):
            await db.query("SELECT 1")
        await closing
        assert await running == 7
        assert await db.query_val("SELECT 5") == 5
    finally:
        await db.disconnect()
        set_db(None)
        settings.reset()


def test_the_statistics_count_what_became_of_connections_and_calls(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 1, 2, acquire_timeout=0.1)
    assert sorted(face.pool_stats()) == [
        "acquire_timeouts",
        "busy",
        "closed",
        "closing",
        "idle",
        "listeners",
        "lost",
        "max_size",
        "max_waiting",
        "min_size",
        "opened",
        "stmt_cache_size",
        "total",
        "waited",
        "waiting",
    ]
    slots = [face._acquire(None) for _ in range(2)]
    for _ in range(3):
        with pytest.raises(TimeoutError):
            face.query("SELECT 1")
    for slot in slots:
        face._release(slot)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert face.query_val("SELECT 1") == 1
    stats = face.pool_stats()
    expected = {"opened": 3, "closed": 2, "lost": 2, "waited": 3, "acquire_timeouts": 3, "max_waiting": 1}
    assert {key: stats[key] for key in expected} == expected
    assert (stats["min_size"], stats["max_size"]) == (1, 2)
    assert all(type(value) is int for value in stats.values())


@pytest.mark.parametrize("count", [8])
async def test_no_call_fails_after_all_idle_connections_were_killed(url: str, count: int) -> None:
    async with Database(url, count, count) as db:
        assert db.pool_stats()["idle"] == count
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert await asyncio.gather(*(db.query_val("SELECT $1::int", n) for n in range(count))) == list(
            range(count)
        )
        calls = (asyncio.to_thread(db.sync.query_val, "SELECT $1::int", n) for n in range(count))
        assert await asyncio.gather(*calls) == list(range(count))
