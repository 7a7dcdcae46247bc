"""The pool: how many connections, who gets the next one, and what becomes of dead ones."""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    AcquireTimeout,
    ConnectionFailed,
    Database,
    InvalidPassword,
    OperationalError,
    SyncDatabase,
)
from pgkit.face import OpenFace
from pgkit.order import Numbered, overtaken_most
from pgkit.until import until_async as until
from postgres_servers import StartServer

PID: Final = "SELECT pg_backend_pid()"


@contextlib.asynccontextmanager
async def busy(db: Database, count: int) -> AsyncIterator[None]:
    """Hold so many connections."""
    entered = [asyncio.Event() for _ in range(count)]
    leave = asyncio.Event()

    async def hold(event: asyncio.Event) -> None:
        async with db.transaction():
            event.set()
            await leave.wait()

    tasks = [asyncio.create_task(hold(event)) for event in entered]
    await asyncio.gather(*(event.wait() for event in entered))
    try:
        yield
    finally:
        leave.set()
        await asyncio.gather(*tasks)


async def test_it_opens_min_size_and_grows_to_max_size(url: str) -> None:
    async with Database(url, 2, 5) as db:
        assert db.pool_stats()["total"] == 2
        pids = await asyncio.gather(
            *(db.query_val("SELECT pg_backend_pid() FROM pg_sleep(0.1)") for _ in range(20))
        )
        assert len(set(pids)) == 5
        stats = db.pool_stats()
        assert {key: stats[key] for key in ("total", "idle", "busy", "waiting")} == {
            "total": 5,
            "idle": 5,
            "busy": 0,
            "waiting": 0,
        }


async def test_with_no_min_size_it_opens_on_the_first_call(url: str) -> None:
    async with Database(url, 0, 3) as db:
        assert db.pool_stats()["total"] == 0
        assert await db.query_val("SELECT 1") == 1
        assert db.pool_stats()["total"] == 1


async def test_calls_in_a_row_use_one_connection(url: str) -> None:
    async with Database(url, 3, 5) as db:
        assert len({await db.query_val(PID) for _ in range(20)}) == 1
        assert db.pool_stats()["total"] == 3


async def test_statistics_say_who_is_busy_and_who_waits(url: str) -> None:
    async with Database(url, 1, 2) as db:
        async with busy(db, 2):
            waiting = [asyncio.create_task(db.query_val("SELECT 1")) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            stats = db.pool_stats()
            assert (stats["total"], stats["idle"], stats["busy"], stats["waiting"]) == (2, 0, 2, 3)
        await asyncio.gather(*waiting)
        await db.query_val("SELECT 1")
        stats = db.pool_stats()
        assert (stats["total"], stats["idle"], stats["busy"], stats["waiting"]) == (2, 2, 0, 0)
        assert stats["stmt_cache_size"] >= 1
        assert all(type(value) is int for value in stats.values())


async def test_who_came_first_is_served_first(url: str) -> None:
    async with Database(url, 1, 1) as db:
        served: list[int] = []

        async def call(n: int) -> None:
            await db.query_val("SELECT 1")
            served.append(n)

        async with busy(db, 1):
            tasks = []
            for n in range(200):
                tasks.append(asyncio.create_task(call(n)))
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert served == list(range(200))


async def test_a_newcomer_does_not_overtake_those_who_wait(url: str) -> None:
    async with Database(url, 2, 2) as db:
        written: list[int] = []

        async def call(n: int) -> None:
            await db.query_val("SELECT $1::int FROM pg_sleep(0.002)", Numbered(n, written))

        tasks = []
        for n in range(100):
            tasks.append(asyncio.create_task(call(n)))
            await asyncio.sleep(0.0005)
        await asyncio.gather(*tasks)
        assert set(written) == set(range(100))
        assert overtaken_most(written) <= 4


@pytest.mark.parametrize("limit", [0.05, 0.3])
def test_waiting_for_a_connection_ends_with_acquire_timeout(
    open_face: OpenFace, url: str, limit: float
) -> None:
    face = open_face(url, acquire_timeout=limit)
    slot = face._pool.take_idle()
    try:
        for call in (face.query, face.execute, face.query_val):
            began = time.monotonic()
            with pytest.raises(AcquireTimeout, match="no connection became free in time"):
                call("SELECT 1")
            assert limit - 0.01 <= time.monotonic() - began < limit + 0.5
        with pytest.raises(AcquireTimeout), face.transaction():
            pass
        assert face.pool_stats()["waiting"] == 0
    finally:
        face._pool.give_back(slot)
    assert face.query_val("SELECT 1") == 1


async def test_acquire_timeout_does_not_end_a_call_that_waited_and_then_runs_for_longer(url: str) -> None:
    async with Database(url, 1, 1, acquire_timeout=2.0) as db:
        async with busy(db, 1):
            call = asyncio.ensure_future(db.query_val("SELECT 1 FROM pg_sleep(2.2)"))
            await until(lambda: db.pool_stats()["waiting"] == 1)
        assert await call == 1


async def test_without_acquire_timeout_a_call_waits_its_turn(url: str) -> None:
    async with Database(url, 1, 1) as db:
        async with busy(db, 1):
            task = asyncio.create_task(db.query_val("SELECT 5"))
            await asyncio.sleep(0.5)
            assert not task.done()
        assert await task == 5


@pytest.mark.parametrize("count", [1, 3])
def test_idle_connections_that_died_are_replaced_without_a_word(
    open_face: OpenFace, url: str, count: int
) -> None:
    face = open_face(url, count, count)
    assert face.pool_stats()["idle"] == count
    with psycopg.connect(url, autocommit=True) as other:
        ours = "datname = current_database() AND pid <> pg_backend_pid()"
        other.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {ours}")
    for n in range(2 * count):
        assert face.query_val("SELECT $1::int", n) == n
    with face.transaction():
        assert face.query_val("SELECT 1") == 1
    assert 1 <= face.pool_stats()["total"] <= count


async def test_a_connection_that_died_in_its_borrowers_hands_is_not_handed_on(url: str) -> None:
    async with Database(url, 1, 1) as db:

        async def borrow() -> None:
            async with db.transaction():
                pid = await db.query_val(PID)
                waiting.append(asyncio.create_task(db.query_val("SELECT 5"), context=contextvars.Context()))
                await until(lambda: db.pool_stats()["waiting"] == 1)
                with psycopg.connect(url, autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        waiting: list[asyncio.Task[int]] = []
        with pytest.raises(OperationalError):
            await borrow()
        assert await waiting[0] == 5
        assert db.pool_stats()["total"] == 1


async def test_a_cancelled_waiter_loses_its_place_and_no_connection(url: str) -> None:
    async with Database(url, 1, 1) as db:
        async with busy(db, 1):
            tasks = [asyncio.create_task(db.query_val("SELECT $1::int", n)) for n in range(5)]
            await asyncio.sleep(0.02)
            for n in (0, 2, 4):
                tasks[n].cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert db.pool_stats()["waiting"] == 2
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [results[1], results[3]] == [1, 3]
        assert all(isinstance(results[n], asyncio.CancelledError) for n in (0, 2, 4))
        assert (db.pool_stats()["busy"], db.pool_stats()["total"]) == (0, 1)


async def test_a_waiter_cancelled_just_as_it_is_served_loses_no_connection(url: str) -> None:
    async with Database(url, 1, 1) as db:
        for rounds in range(12):
            leave = asyncio.Event()

            async def hold(event: asyncio.Event = leave) -> None:
                async with db.transaction():
                    await event.wait()

            holder = asyncio.create_task(hold())
            await until(lambda: db.pool_stats()["busy"] == 1)
            waiter = asyncio.create_task(db.query_val("SELECT 1"))
            await until(lambda: db.pool_stats()["waiting"] == 1)
            leave.set()
            # The turn in which the holder gives back, and those around it.
            await until(lambda: db.pool_stats()["waiting"] == 0)
            for _ in range(rounds % 4):
                await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.gather(holder, waiter, return_exceptions=True)
            assert (db.pool_stats()["busy"], db.pool_stats()["total"]) == (0, 1)
            assert await db.query_val("SELECT 1", timeout=5) == 1


async def test_mass_cancellation_opens_no_more_than_max_size(url: str) -> None:
    async with Database(url, 1, 4, application_name="mass") as db:
        for _ in range(3):
            tasks = [asyncio.create_task(db.query("SELECT pg_sleep(20)")) for _ in range(40)]
            await asyncio.sleep(0.15)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            stats = db.pool_stats()
            assert stats["busy"] == 0
            assert stats["total"] <= 4
        with psycopg.connect(url, autocommit=True) as other:
            found = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mass'"
            ).fetchone()
        assert found is not None
        assert found[0] <= 4


def test_an_error_while_opening_gives_the_place_back(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 0, 1)
    good = face._pool.parameters
    name = "no_such_database"
    broken = Database(url.rpartition("/")[0] + f"/{name}", 0, 1)._pool.parameters
    for _ in range(3):
        face._pool.parameters = broken
        with pytest.raises(ConnectionFailed, match=f'database "{name}" does not exist') as caught:
            face.query("SELECT 1")
        assert caught.value.sqlstate == "3D000"
        assert face.pool_stats()["total"] == 0
    face._pool.parameters = good
    assert face.query_val("SELECT 1") == 1


def test_a_connect_that_fails_leaves_nothing_open_and_may_be_repeated(url: str) -> None:
    bad = url.rpartition("/")[0] + "/no_such_database"
    for make in (lambda: SyncDatabase(bad, 3, 3).connect(), lambda: asyncio.run(connected(bad))):
        for _ in range(2):
            with pytest.raises(ConnectionFailed, match="does not exist"):
                make()


async def connected(url: str) -> None:
    db = Database(url, 3, 3)
    try:
        await db.connect()
    finally:
        assert not db.is_connected
        assert db.pool_stats()["total"] == 0


def test_those_who_wait_get_the_place_of_a_connection_that_could_not_be_opened(url: str) -> None:
    async def main() -> None:
        async with Database(url, 0, 1) as db:
            good = db._pool.parameters
            db._pool.parameters = Database(
                "postgresql://postgres@127.0.0.1:1/x", 0, 1, connect_timeout=2
            )._pool.parameters
            first = asyncio.create_task(db.query_val("SELECT 1"))
            rest = [asyncio.create_task(db.query_val("SELECT $1::int", n)) for n in range(5)]
            await asyncio.sleep(0)
            db._pool.parameters = good
            results = await asyncio.wait_for(asyncio.gather(first, *rest, return_exceptions=True), 20)
            assert isinstance(results[0], ConnectionFailed) or results[0] == 1
            assert results[1:] == list(range(5))

    asyncio.run(main())


def test_where_the_server_takes_no_more_calls_wait_for_those_it_took(
    start_server: StartServer,
) -> None:
    server = start_server(settings={"max_connections": "5", "superuser_reserved_connections": "0"})

    async def main() -> None:
        async with Database(server.url, 0, 30) as db:
            for _ in range(2):
                results = await asyncio.gather(
                    *(db.query_val("SELECT 1 FROM pg_sleep(0.05)") for _ in range(60))
                )
                assert results == [1] * 60
            stats = db.pool_stats()
            assert (stats["busy"], stats["waiting"]) == (0, 0)
            assert 1 <= stats["total"] <= 5

    asyncio.run(main())


def test_eight_threads_share_one_pool(url: str) -> None:
    with SyncDatabase(url, 2, 3) as db:
        db.execute("CREATE TABLE t (thread int, n int)")
        pids: Counter[int] = Counter()
        problems: list[BaseException] = []
        start = threading.Barrier(8, timeout=20)

        def work(thread: int) -> None:
            try:
                start.wait()
                for n in range(40):
                    assert db.query_val("SELECT $1::int", n) == n
                    db.execute("INSERT INTO t VALUES ($1, $2)", thread, n)
                    with db.transaction():
                        pid = db.query_val(PID)
                        assert db.query_val(PID) == pid
                    pids[pid] += 1
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert 1 <= len(pids) <= 3
        expected = sorted((thread, n) for thread in range(8) for n in range(40))
        assert db.query("SELECT thread, n FROM t ORDER BY 1, 2", into=tuple) == expected
        stats = db.pool_stats()
        assert (stats["busy"], stats["waiting"]) == (0, 0)
        assert stats["total"] <= 3


def test_threads_that_wait_are_served_in_order(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db:
        served: list[int] = []

        def call(n: int) -> None:
            db.query("SELECT pg_sleep(0.01)")
            served.append(n)

        threads = [threading.Thread(target=call, args=(n,)) for n in range(10)]
        with db.transaction():
            for n, thread in enumerate(threads):
                thread.start()
                for _ in range(500):
                    if db.pool_stats()["waiting"] == n + 1:
                        break
                    time.sleep(0.005)
        for thread in threads:
            thread.join()
        assert served == list(range(10))


async def test_both_faces_share_the_pool(url: str) -> None:
    async with Database(url, 1, 1) as db:
        pid = await db.query_val(PID)
        assert await asyncio.to_thread(db.sync.query_val, PID) == pid
        async with busy(db, 1):
            waiting = asyncio.create_task(asyncio.to_thread(db.sync.query_val, "SELECT 7"))
            await until(lambda: db.pool_stats()["waiting"] == 1)
        assert await waiting == 7
        assert db.pool_stats()["total"] == 1


def test_a_wrong_password_is_told_as_such(start_server: StartServer) -> None:
    server = start_server()
    with pytest.raises(ConnectionFailed, match="password authentication failed") as caught:
        SyncDatabase(server.url, password="wrong").connect()
    assert caught.value.sqlstate == InvalidPassword.sqlstate


def test_everything_may_be_asked_of_a_pool_before_it_is_open() -> None:
    db = SyncDatabase("postgresql:///somewhere", 1, 2)
    stats: dict[str, Any] = db.pool_stats()
    assert stats["total"] == stats["idle"] == stats["busy"] == stats["waiting"] == 0
