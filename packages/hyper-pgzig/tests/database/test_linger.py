"""A place in the pool counts until its backend is gone."""

import asyncio
import contextlib
import threading
import time

import psycopg
import pytest
from hyperdjango.database import Database, QueryTimeout, SyncDatabase, SyncHookConnection
from pgkit.freeze import frozen
from pgkit.until import until, until_async

PID = "SELECT pg_backend_pid()"


def _count(connection: psycopg.Connection, name: str) -> int:
    found = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [name]
    ).fetchone()
    assert found is not None
    return int(found[0])


def test_calls_that_are_thrown_away_open_no_more_than_max_size(url: str) -> None:
    async def main() -> None:
        most = 0
        with psycopg.connect(url, autocommit=True) as other:
            async with Database(url, 0, 4, application_name="thrown") as db:
                for _ in range(6):
                    calls = [db.query("SELECT pg_sleep(20)") for _ in range(12)]
                    tasks = [asyncio.create_task(each) for each in calls]
                    await asyncio.sleep(0.1)
                    for task in tasks:
                        task.cancel()
                    # In the middle of their recovery: these connections are closed over what runs.
                    await asyncio.sleep(0)
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    most = max(most, _count(other, "thrown"))
                    assert db.pool_stats()["total"] <= 4
                    assert db.pool_stats()["busy"] == 0
                await until_async(lambda: db.pool_stats()["closing"] == 0)
                assert await db.query_val("SELECT 1") == 1
        assert 1 <= most <= 4

    asyncio.run(main())


def test_the_statement_of_a_closed_connection_does_not_run_on(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db, psycopg.connect(url, autocommit=True) as other:
        slot = db._acquire(None)
        pid = slot.established.cancel_target.process_id
        slot.submit("SELECT pg_sleep(60)")
        time.sleep(0.1)
        db._pool.discard(slot)
        assert db.pool_stats()["closing"] == 1
        until(lambda: db.pool_stats()["total"] == 0)
        assert other.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() == (0,)


def test_what_a_hook_runs_in_its_thread_counts_until_its_backend_is_gone(url: str) -> None:
    """The task is cancelled, and the thread cannot be: it is left behind with the connection."""
    began = threading.Event()
    ended: list[BaseException] = []

    def hook(connection: SyncHookConnection) -> None:
        if began.is_set():
            return
        began.set()
        try:
            connection.execute("SELECT pg_sleep(60)")
        except BaseException as error:
            ended.append(error)
            raise

    async def main() -> None:
        with psycopg.connect(url, autocommit=True) as other:
            async with Database(url, 0, 1, on_acquire=hook, application_name="hooked") as db:
                task = asyncio.create_task(db.query("SELECT 1"))
                await until_async(began.is_set)
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert db.pool_stats()["closing"] == 1
                await until_async(lambda: db.pool_stats()["total"] == 0)
                assert _count(other, "hooked") == 0
                await until_async(lambda: bool(ended))
                assert await db.query_val("SELECT 1") == 1

    asyncio.run(main())


def test_a_frozen_backend_keeps_its_place_for_a_bounded_time(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db:
        pid = db.query_val(PID)
        with frozen(pid):
            with pytest.raises(QueryTimeout):
                db.query("SELECT 1", timeout=0.1)
            assert db.pool_stats()["closing"] == 1
            assert db.query_val(PID, timeout=10) != pid


def test_several_frozen_backends_are_waited_for_together(url: str) -> None:
    async def main() -> None:
        async with Database(url, 4, 4) as db:
            slots = [await db._acquire(None) for _ in range(4)]
            pids = [slot.established.cancel_target.process_id for slot in slots]
            for slot in slots:
                await db._release(slot)
            with contextlib.ExitStack() as stack:
                for pid in pids:
                    stack.enter_context(frozen(pid))
                calls = (db.query("SELECT 1", timeout=0.1) for _ in range(4))
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(each) for each in outcomes] == [QueryTimeout] * 4
                began = time.monotonic()
                assert await db.query_val(PID) not in pids
                await until_async(lambda: db.pool_stats()["closing"] == 0)
                assert time.monotonic() - began < 6

    asyncio.run(main())


def test_disconnect_waits_for_backends_that_are_about_to_end(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db:
        slot = db._acquire(None)
        slot.submit("SELECT pg_sleep(60)")
        time.sleep(0.1)
        db._pool.discard(slot)
        db.disconnect()
        assert db.pool_stats()["total"] == 0


def test_a_server_that_is_gone_keeps_no_place(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db, psycopg.connect(url, autocommit=True) as other:
        slot = db._acquire(None)
        slot.submit("SELECT pg_sleep(60)")
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [slot.established.cancel_target.process_id])
        db._pool.discard(slot)
        until(lambda: db.pool_stats()["total"] == 0)
