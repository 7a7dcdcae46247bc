"""The position behind the COMMIT of a block: never before the commit, and no further than what is flushed."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from hyperdjango.database import Database, DatabaseError, _async_replies
from hyperdjango.multi_db import ConnectionManager
from hyperdjango.multi_db._probe import IS_ASYNCHRONOUS
from hyperdjango.multi_db.lsn import parse_lsn
from pg_cluster import Cluster
from routed_sets import connected, inner, until

PAIRS = 400
TASKS = 4


@contextmanager
def inserting(cluster: Cluster, database: str) -> Iterator[None]:
    """Another session inserts all the time, in a transaction that stays open behind it: nobody flushes that."""
    is_over = threading.Event()
    has_begun = threading.Event()
    with psycopg.connect(cluster.url(cluster.primary, database)) as other:

        def insert() -> None:
            while not is_over.is_set():
                other.execute("INSERT INTO noise VALUES (1)")
                has_begun.set()

        thread = threading.Thread(target=insert)
        thread.start()
        try:
            assert has_begun.wait(30)
            yield
        finally:
            is_over.set()
            thread.join()
        other.rollback()


async def tables(connections: ConnectionManager, cluster: Cluster) -> None:
    db = connections["default"]
    await db.execute("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)")
    await db.execute("CREATE TABLE noise (n int)")
    await db.execute("INSERT INTO t SELECT n, 0 FROM generate_series(0, 99) AS n")
    await asyncio.to_thread(cluster.wait_until_caught_up)


async def write(db: Database, task: int, n: int, *, mode: str = "on") -> None:
    async with db.transaction():
        await db.execute(f"SET LOCAL synchronous_commit = {mode}")
        await db.execute("UPDATE t SET n = $2 WHERE id = $1", task, n)


async def test_a_commit_that_is_not_flushed_yet_is_never_read_stale(
    cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await tables(connections, cluster)
        db, reader = connections["default"], connections.reader()
        stale: list[tuple[int, object]] = []

        async def pairs(task: int) -> None:
            with connections.scope():
                for n in range(1, PAIRS // TASKS + 1):
                    await write(db, task, n, mode="off")
                    found = await reader.query_val("SELECT n FROM t WHERE id = $1", task)
                    if found != n:
                        stale.append((n, found))

        # Alone first: others' commits would flush it.
        await pairs(0)
        await asyncio.gather(*(pairs(task) for task in range(TASKS)))
        assert stale == []


async def test_what_others_have_inserted_and_nobody_flushes_is_not_waited_for(
    cluster: Cluster, cluster_database: str
) -> None:
    replicas = [cluster.url(cluster.replicas[0], cluster_database)]
    async with connected(cluster, cluster_database, replicas=replicas) as connections:
        await tables(connections, cluster)
        db, reader = connections["default"], connections.reader()
        await write(db, 0, 0)  # the question becomes known
        for n in range(1, 6):
            with connections.scope() as scope, inserting(cluster, cluster_database):
                await write(db, 1, n)
                noted = scope.positions["default"].lsn
                flushed = await asyncio.to_thread(
                    cluster.value, cluster.primary, "SELECT pg_current_wal_flush_lsn()::text"
                )
                assert noted <= parse_lsn(flushed)
                assert await reader.query_val("SELECT n FROM t WHERE id = 1") == n
                # As nobody commits any more.
                node, position = inner(connections).nodes[1], scope.positions["default"]
                await until(partial(node.has, position), "the replica cannot get there")
                assert await reader.query_val("SELECT pg_is_in_recovery()")


async def script(db: Database, n: int) -> None:
    await db.execute(f"UPDATE t SET n = {n} WHERE id = 1; SELECT 1")


async def pipeline(db: Database, n: int) -> None:
    await db.pipeline([("UPDATE t SET n = $1 WHERE id = 1", [n])])


async def batch(db: Database, n: int) -> None:
    await db.execute_many("UPDATE t SET n = $1 WHERE id = 1", [(n,)])


async def copy(db: Database, n: int) -> None:
    await db.execute("COPY copied FROM STDIN", f"{n}\n")


async def blocking(db: Database, n: int) -> None:
    await asyncio.to_thread(db.sync.execute, "UPDATE t SET n = $1 WHERE id = 1", n)


@pytest.mark.parametrize("way", [script, pipeline, batch, copy, blocking], ids=lambda way: way.__name__)
async def test_nor_is_it_behind_what_runs_outside_of_blocks(
    way: Callable[[Database, int], Awaitable[None]], cluster: Cluster, cluster_database: str
) -> None:
    replicas = [cluster.url(cluster.replicas[0], cluster_database)]
    async with connected(cluster, cluster_database, replicas=replicas) as connections:
        await tables(connections, cluster)
        db = connections["default"]
        await db.execute("CREATE TABLE copied (n int)")
        for n in range(1, 6):
            with connections.scope() as scope, inserting(cluster, cluster_database):
                await way(db, n)
                noted = scope.positions["default"].lsn
                flushed = await asyncio.to_thread(
                    cluster.value, cluster.primary, "SELECT pg_current_wal_flush_lsn()::text"
                )
                assert noted <= parse_lsn(flushed)
                # As nobody commits any more.
                node, position = inner(connections).nodes[1], scope.positions["default"]
                await until(partial(node.has, position), "the replica cannot get there")


@pytest.mark.parametrize("mode", ["on", "local", "remote_write", "remote_apply", "off"])
async def test_the_session_says_in_front_of_commit_whether_it_is_flushed(
    mode: str, cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await tables(connections, cluster)
        db = connections["default"]
        for session in ("on", "off"):
            async with db.transaction():
                await db.execute(f"SET synchronous_commit = {session}")
                await db.execute(f"SET LOCAL synchronous_commit = {mode}")
                rows = await db.query(IS_ASYNCHRONOUS.replace("SELECT", "SELECT 1", 1))
                assert len(rows) == (mode == "off")


async def test_a_question_that_fails_commits_nothing_and_says_so(
    cluster: Cluster, cluster_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await tables(connections, cluster)
        db, reader = connections["default"], connections.reader()
        with monkeypatch.context() as patched:
            patched.setattr("hyperdjango.multi_db._commits.IS_ASYNCHRONOUS", "SELECT 1/0")
            with connections.scope(), pytest.raises(DatabaseError, match="division by zero"):
                await write(db, 1, 7)
        with connections.scope():
            await write(db, 2, 7)
            assert await reader.query_val("SELECT array_agg(n ORDER BY id) FROM t WHERE id IN (1, 2)") == [
                0,
                7,
            ]


async def test_a_routed_block_whose_commit_is_answered_in_the_call_is_not_cancelled_behind_it(
    cluster: Cluster, cluster_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop has its turn later: another thread may have cancelled the task meanwhile."""
    called: list[int] = []
    real_turn = _async_replies.turn

    def turn() -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return real_turn()

    async with connected(cluster, cluster_database) as connections:
        await tables(connections, cluster)
        db = connections["default"]

        async def block(number: int) -> None:
            block = db.transaction()
            await block.__aenter__()
            await db.execute("UPDATE t SET n = $1 WHERE id = 1", number)
            db.on_commit(lambda: called.append(number))
            time.sleep(0.002)  # noqa: ASYNC251 - the others of the loop are owed a turn
            with monkeypatch.context() as patch:
                patch.setattr(_async_replies, "turn", turn)
                await block.__aexit__(None, None, None)

        for number in range(50):
            await asyncio.gather(asyncio.create_task(block(number)), return_exceptions=True)
    assert called == list(range(50))
