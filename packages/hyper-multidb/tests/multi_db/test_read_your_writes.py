"""A read after one's own write: never older than that, however far the replicas are behind."""

import asyncio
import threading
import time
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
from cancel_points import MOMENTS, Cancel, Moment, Point, cancel_everywhere
from hyperdjango.database import (
    Database,
    DataError,
    DivisionByZero,
    Error,
    InterfaceError,
    QueryTimeout,
    UndefinedTable,
    _pipeline,
)
from hyperdjango.database._slot import Slot
from hyperdjango.multi_db import ConnectionManager
from hyperdjango.multi_db.scope import PROCESS
from pg_cluster import Cluster
from pgkit import Proxy
from routed_sets import connected, inner, replica_set_of, unanswered, until

PAIRS = 10_000
TASKS = 25


def behind(cluster: Cluster, database: str, **options: Any) -> AbstractAsyncContextManager[ConnectionManager]:
    """A manager whose one replica is 300 ms behind: what nobody takes down is read stale."""
    return connected(cluster, database, replicas=[cluster.url(cluster.replicas[1], database)], **options)


async def table(connections: ConnectionManager, cluster: Cluster) -> None:
    await connections["default"].execute("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)")
    await asyncio.to_thread(cluster.wait_until_caught_up)


async def test_of_10_000_reads_after_writes_none_is_stale(cluster: Cluster, cluster_database: str) -> None:
    """One of the two replicas is 300 ms behind all the time."""
    async with connected(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        stale: list[tuple[int, object]] = []

        async def pairs(task: int) -> None:
            await db.execute("INSERT INTO t VALUES ($1, 0)", task)
            with connections.scope():
                for n in range(1, PAIRS // TASKS + 1):
                    if n % 2:
                        await db.execute("UPDATE t SET n = $2 WHERE id = $1", task, n)
                    else:
                        async with db.transaction():
                            await db.execute("UPDATE t SET n = $2 WHERE id = $1", task, n)
                    found = await reader.query_val("SELECT n FROM t WHERE id = $1", task)
                    if found != n:
                        stale.append((n, found))

        await asyncio.gather(*(pairs(task) for task in range(TASKS)))
        assert stale == []
        stats = connections.stats()["default"]
        # The test means something only where both ways were gone.
        assert (
            stats["routes"]["a read"] + stats["routes"]["a read, once the replica had replayed the own write"]
            > 1000
        )
        hosts = stats["hosts"]
        assert hosts[f"127.0.0.1:{cluster.replicas[0].port}"]["reads"] > 1000


async def test_without_a_scope_every_task_sees_what_the_process_has_written(
    cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        for n in range(50):
            # The child's context is not the parent's.
            await asyncio.create_task(db.execute("INSERT INTO t VALUES ($1, 0)", n))
            assert await reader.query_val("SELECT max(id) FROM t") == n


async def test_a_scope_is_shared_by_tasks_and_threads_that_begin_in_it(
    cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        with connections.scope() as scope:
            for n in range(20):
                await asyncio.create_task(db.execute("INSERT INTO t VALUES ($1, 0)", n))
                assert await reader.query_val("SELECT max(id) FROM t") == n
            before = scope.token
            await asyncio.to_thread(lambda: asyncio.run(write(db, 100)))
            assert scope.token != before
            assert await reader.query_val("SELECT max(id) FROM t") == 100


async def called(db: Database, is_blocking: bool, name: str, *arguments: Any, **options: Any) -> Any:
    """Call one of the faces; the blocking one in a thread."""
    if is_blocking:
        return await asyncio.to_thread(getattr(db.sync, name), *arguments, **options)
    return await getattr(db, name)(*arguments, **options)


async def write(db: Database, n: int) -> None:
    await db.execute("INSERT INTO t VALUES ($1, 0)", n)


async def test_a_new_scope_does_not_wait_for_the_writes_of_others(
    cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await table(connections, cluster)
        for n in range(5):
            await write(connections["default"], n)
            with connections.scope() as scope:
                assert scope.token == ""
                assert await connections.reader().query_val("SELECT pg_is_in_recovery()")


async def test_a_scope_around_sees_what_is_written_in_an_inner_one(
    cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        with connections.scope() as outer:
            with connections.scope():
                await write(connections["default"], 1)
            assert await connections.reader().query_val("SELECT max(id) FROM t") == 1
            assert outer.token


async def test_scopes_that_tasks_begin_in_ended_ones_are_no_chain(database_url: str) -> None:
    connections = ConnectionManager()
    deepest = 0

    async def link(left: int) -> None:
        nonlocal deepest
        with connections.scope() as made:
            following = asyncio.create_task(link(left - 1)) if left else None
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            depth, around = 0, made._parent
            while around is not None:
                depth, around = depth + 1, around._parent
            deepest = max(deepest, depth)
        if following is not None:
            waiting.append(following)

    waiting = [asyncio.create_task(link(50))]
    while waiting:
        await waiting.pop()
    assert deepest <= 5


async def test_configured_again_the_process_sees_what_it_has_written_before(
    cluster: Cluster, cluster_database: str
) -> None:
    late = [cluster.url(cluster.replicas[1], cluster_database)]
    for options in ({}, {"read_your_writes": 60.0}):
        async with behind(cluster, cluster_database) as connections:
            await connections["default"].execute("DROP TABLE IF EXISTS t")
            await table(connections, cluster)
            await write(connections["default"], 1)
            again = replica_set_of(cluster, cluster_database, replicas=late, **options)
            await connections.configure({"default": again})
            assert await connections.reader().query_val("SELECT count(*) FROM t") == 1


def test_a_token_of_the_first_moment_of_all_can_be_handed_on() -> None:
    for _ in range(2000):  # which of two clocks is read a little later is chance
        with ConnectionManager().scope("default=@0") as made, ConnectionManager().scope(made.token):
            pass


async def test_a_token_takes_a_write_to_another_process(cluster: Cluster, cluster_database: str) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        with connections.scope() as scope:
            await write(connections["default"], 1)
            token = scope.token
        for n in range(2, 30):
            with connections.scope(token) as scope:
                assert await connections.reader().query_val("SELECT max(id) FROM t") == n - 1
                await write(connections["default"], n)
                token = scope.token


@pytest.mark.parametrize(
    "token", ["nonsense", "default=1", "default=1-", "=1-2", "default=1-2;x", "a" * 3000]
)
async def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="token"), ConnectionManager().scope(token):
        pass


async def test_a_token_of_another_timeline_means_the_primary(cluster: Cluster, cluster_database: str) -> None:
    async with connected(cluster, cluster_database) as connections:
        for token in ("default=2-1", "default=FFFFFFFF-FFFFFFFFFFFFFFFF", "default=0-1"):
            with connections.scope(token):
                assert not await connections.reader().query_val("SELECT pg_is_in_recovery()")
        # The highest LSN of all is a number without a sign.
        with connections.scope("default=1-FFFFFFFFFFFFFFFF"):
            assert not await connections.reader().query_val("SELECT pg_is_in_recovery()")
        with connections.scope("default=1-1"):
            assert await connections.reader().query_val("SELECT pg_is_in_recovery()")


async def test_a_forged_token_does_not_reach_beyond_its_scope(
    cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        with connections.scope("default=FFFFFFFF-FFFFFFFFFFFFFFFF&default=!&other=@9999999999"):
            assert not await connections.reader().query_val("SELECT pg_is_in_recovery()")
        # What is there was asked of the primary.
        assert all(position.timeline == 1 for position in PROCESS.positions.values())
        assert PROCESS.wrote_at == {}


async def test_a_token_says_that_a_position_is_not_known(cluster: Cluster, cluster_database: str) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        with connections.scope() as scope:
            await unanswered(connections["default"], "INSERT INTO t VALUES (1, 1)")
            token = scope.token
            assert token == "default=!"
        with connections.scope(token) as scope:
            assert await connections.reader().query_val("SELECT count(*) FROM t") == 1
            assert scope.token.startswith("default=1-")


async def bulk(db: Database) -> None:
    await db.copy_records("t", [(1, 1)])


async def many(db: Database) -> None:
    await db.execute_many("INSERT INTO t VALUES ($1, $2)", [(1, 1)])


async def very_many(db: Database) -> None:
    await db.execute_many("INSERT INTO t VALUES ($1, 1)", [(n,) for n in range(1, 3000)])


async def script(db: Database) -> None:
    await db.execute("INSERT INTO t VALUES (1, 1); SELECT 1")


async def pipeline(db: Database) -> None:
    await db.pipeline(["INSERT INTO t VALUES (1, 1)", "SELECT 1"])


async def copy(db: Database) -> None:
    await db.execute("COPY t FROM STDIN (FORMAT csv)", "1,1\n")


async def returning(db: Database) -> None:
    assert await db.query_one("INSERT INTO t VALUES (1, 1) RETURNING id") == {"id": 1}


async def nested(db: Database) -> None:
    async with db.transaction(), db.transaction():
        await db.execute("INSERT INTO t VALUES (1, 1)")


async def repeated(db: Database) -> None:
    async def work() -> None:
        await db.execute("INSERT INTO t VALUES (1, 1)")

    await db.run(work, isolation="serializable")


async def asynchronous(db: Database) -> None:
    async with db.transaction():
        await db.execute("SET LOCAL synchronous_commit = off")
        await db.execute("INSERT INTO t VALUES (1, 1)")


async def asynchronous_session(db: Database) -> None:
    await db.execute("SET synchronous_commit = off; INSERT INTO t VALUES (2, 1)")
    await db.execute("INSERT INTO t VALUES (1, 1)")


async def asynchronous_script(db: Database) -> None:
    await db.execute(
        "SET synchronous_commit = off; COMMIT; INSERT INTO t VALUES (1, 1); COMMIT; RESET synchronous_commit"
    )


async def asynchronous_do(db: Database) -> None:
    await db.execute("DO $$ BEGIN SET LOCAL synchronous_commit = off; INSERT INTO t VALUES (1, 1); END $$")


async def asynchronous_settings(db: Database) -> None:
    sql = "UPDATE pg_settings SET setting = $1 WHERE name = $2"
    name = "synchronous_commit"
    await db.pipeline([(sql, ["off", name]), "INSERT INTO t VALUES (1, 1)", (sql, ["on", name])])


async def asynchronous_procedure(db: Database) -> None:
    await db.execute(
        "CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS"
        " 'BEGIN SET LOCAL synchronous_commit = off; INSERT INTO t VALUES (1, 1); COMMIT; END'"
    )
    await asyncio.to_thread(db.sync.execute, "CALL p()")


async def asynchronous_pipeline(db: Database) -> None:
    await db.pipeline(
        ["SET synchronous_commit = off", "INSERT INTO t VALUES (1, 1)", "RESET synchronous_commit"]
    )


async def one_and_a_failure(db: Database) -> None:
    with pytest.raises(DivisionByZero):
        await db.pipeline(["INSERT INTO t VALUES (1, 1)", "SELECT 1 / 0"])


async def one_and_a_misfit(db: Database) -> None:
    with pytest.raises(DataError):
        await db.pipeline(["INSERT INTO t VALUES (1, 1)", ("SELECT $1::int", ["x"])])


async def script_with_copy(db: Database) -> None:
    """The COPY has no data: what stands behind it must not be taken for some."""
    with pytest.raises(InterfaceError, match="nothing was copied"):
        await db.execute("INSERT INTO t VALUES (1, 1); COMMIT; COPY t FROM STDIN; SELECT 1")


async def pipeline_with_copy(db: Database) -> None:
    with pytest.raises(InterfaceError, match="nothing was copied"):
        await db.pipeline(["INSERT INTO t VALUES (1, 1)", "/* COPY */ copy t FROM STDIN"])


async def blocking_script(db: Database) -> None:
    await asyncio.to_thread(db.sync.execute, "INSERT INTO t VALUES (1, 1); SELECT 1")


async def blocking_pipeline(db: Database) -> None:
    await asyncio.to_thread(db.sync.pipeline, ["INSERT INTO t VALUES (1, 1)", "SELECT 1"])


async def blocking_many(db: Database) -> None:
    await asyncio.to_thread(db.sync.execute_many, "INSERT INTO t VALUES ($1, $2)", [(1, 1)])


async def blocking_copy(db: Database) -> None:
    await asyncio.to_thread(db.sync.execute, "COPY t FROM STDIN (FORMAT csv)", "1,1\n")


async def blocking(db: Database) -> None:
    await asyncio.to_thread(db.sync.execute, "INSERT INTO t VALUES (1, 1)")


async def blocking_block(db: Database) -> None:
    def work() -> None:
        with db.sync.transaction():
            db.sync.execute("INSERT INTO t VALUES (1, 1)")

    await asyncio.to_thread(work)


WAYS = {
    "COPY of records": bulk,
    "execute_many": many,
    "execute_many of batches": very_many,
    "a script": script,
    "pipeline": pipeline,
    "COPY": copy,
    "INSERT RETURNING": returning,
    "a nested block": nested,
    "run": repeated,
    "synchronous_commit = off": asynchronous,
    "a script that turns it off": asynchronous_script,
    "DO that turns it off": asynchronous_do,
    "a pipeline that turns it off": asynchronous_pipeline,
    "a pipeline that turns it off in the catalog": asynchronous_settings,
    "a procedure that turns it off": asynchronous_procedure,
    "a pipeline with a failure": one_and_a_failure,
    "a pipeline with a value that does not fit": one_and_a_misfit,
    "a script with a COPY": script_with_copy,
    "a pipeline with a COPY": pipeline_with_copy,
    "a script of the blocking face": blocking_script,
    "a pipeline of the blocking face": blocking_pipeline,
    "execute_many of the blocking face": blocking_many,
    "COPY of the blocking face": blocking_copy,
    "the blocking face": blocking,
    "a block of the blocking face": blocking_block,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_write_is_seen_whichever_way_it_went(
    way: Any, cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        with connections.scope():
            assert await reader.query_val("SELECT pg_is_in_recovery()")
            await way(db)
            assert await reader.query_val("SELECT count(*) FROM t WHERE id = 1") == 1
            await db.execute("DELETE FROM t")
            assert await reader.query_val("SELECT count(*) FROM t") == 0


async def test_a_write_that_was_given_up_is_seen_if_it_happened(
    cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        for n in range(30):
            with connections.scope():
                task = asyncio.ensure_future(db.execute("INSERT INTO t VALUES ($1, 0)", n))
                await asyncio.sleep(0.0001 * (n % 10))
                task.cancel()
                await asyncio.wait([task])
                there = await reader.query_val("SELECT count(*) FROM t WHERE id = $1", n)
                on_primary = await asyncio.to_thread(
                    cluster.value, cluster.primary, f"SELECT count(*) FROM t WHERE id = {n}", cluster_database
                )
                assert there == on_primary


@pytest.mark.parametrize("is_blocking", [False, True], ids=["asyncio", "blocking"])
async def test_a_statement_that_is_prepared_for_what_is_no_more_is_sent_again_with_its_question(
    is_blocking: bool, cluster: Cluster, cluster_database: str
) -> None:
    sql = "INSERT INTO t VALUES ($1, 1) RETURNING *"
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()

        async def insert(n: int) -> dict[str, Any]:
            (row,) = await called(db, is_blocking, "query", sql, n)
            return dict(row)

        assert await insert(1) == {"id": 1, "n": 1}
        await asyncio.to_thread(
            cluster.value, cluster.primary, "ALTER TABLE t ADD c int; SELECT 1", cluster_database
        )
        with connections.scope() as scope:
            assert await insert(2) == {"id": 2, "n": 1, "c": None}
            assert scope.token.startswith("default=1-")
            assert await reader.query_val("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelled_while_it_is_sent_again_it_is_in_doubt(
    moment: Moment, cluster: Cluster, cluster_database: str
) -> None:
    """The question of the first attempt is answered by then: what it says is of before the write."""
    sql = "INSERT INTO t (id, n) VALUES ($1, 1) RETURNING *"
    async with behind(cluster, cluster_database, max_size=1) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        number = 0

        async def attempt(cancel: Cancel) -> Point:
            nonlocal number
            number += 1
            await db.query(sql, -number)
            alter = f"ALTER TABLE t ADD c{number} int; SELECT 1"
            await asyncio.to_thread(cluster.value, cluster.primary, alter, cluster_database)
            await asyncio.to_thread(cluster.wait_until_caught_up)
            with connections.scope():
                point = await cancel(db.query(sql, number))
                there = await asyncio.to_thread(
                    cluster.value,
                    cluster.primary,
                    f"SELECT count(*) FROM t WHERE id = {number}",
                    cluster_database,
                )
                assert await reader.query_val("SELECT count(*) FROM t WHERE id = $1", number) == there
            return point

        await cancel_everywhere(attempt, moment)


@pytest.mark.parametrize("is_blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("is_known", [False, True], ids=["unknown", "known"])
async def test_a_write_whose_connection_ends_just_before_is_sent_by_another(
    is_blocking: bool,
    is_known: bool,
    cluster: Cluster,
    cluster_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    primary = cluster.url(cluster.primary, cluster_database)
    with Proxy.before(primary) as proxy:
        async with behind(cluster, cluster_database, primary=proxy.url(primary), max_size=1) as connections:
            await table(connections, cluster)
            db = connections["default"]
            if is_known:
                await write(db, 0)
            cut: list[int] = []

            class Cutting(_pipeline.Work):
                """The pool has looked whether the connection lives, and it does not any more."""

                def __init__(self, slot: Slot, *rest: Any) -> None:
                    if not cut:
                        cut.append(slot.place.number)
                        for link in proxy.links:
                            link.cut("reset")
                        end = time.monotonic() + 10
                        while slot.connection.is_alive():
                            assert time.monotonic() < end
                            time.sleep(0.001)
                    super().__init__(slot, *rest)

            with monkeypatch.context() as patch, connections.scope() as scope:
                patch.setattr(_pipeline, "Work", Cutting)
                await called(db, is_blocking, "execute", "INSERT INTO t VALUES ($1, 0)", 1)
                assert scope.token.startswith("default=1-")
            assert cut
            assert await db.query_val("SELECT count(*) FROM t WHERE id = 1") == 1


@pytest.mark.parametrize("is_blocking", [False, True], ids=["asyncio", "blocking"])
async def test_what_was_not_sent_leaves_no_doubt(
    is_blocking: bool, cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db = connections["default"]
        calls: list[tuple[str, tuple[Any, ...]]] = [
            ("execute", ("INSERT INTO t VALUES ($1, 0)", object())),
            ("execute_many", ("INSERT INTO t VALUES ($1, 0)", [(object(),)])),
            ("pipeline", ([("INSERT INTO t VALUES ($1, 0)", [object()])],)),
            ("execute", ("INSERT INTO missing VALUES ($1)", 1)),
        ]
        with connections.scope() as scope:
            for name, arguments in calls:
                with pytest.raises((DataError, UndefinedTable)):
                    await called(db, is_blocking, name, *arguments)
                assert scope.token == ""


@pytest.mark.parametrize("is_blocking", [False, True], ids=["asyncio", "blocking"])
async def test_a_type_that_nobody_knows_and_a_session_to_be_reset_are_no_matter(
    is_blocking: bool, cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database, max_size=1) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        call = partial(called, db, is_blocking)
        made = "CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE felt (m mood, ms mood[])"
        for _ in range(2):
            await asyncio.to_thread(cluster.value, cluster.primary, f"{made}; SELECT 1", cluster_database)
            with connections.scope() as scope:
                await call("execute", "SET application_name = 'changed'")
                sql = "INSERT INTO felt VALUES ($1, $2) RETURNING *"
                assert await call("query", sql, "glad", ["glad"]) == [{"m": "glad", "ms": ["glad"]}]
                assert scope.token.startswith("default=1-")
                await call("execute", "SET application_name = 'changed'")
                await call("execute", "INSERT INTO felt VALUES ('glad'); SELECT 1")
                assert scope.token.startswith("default=1-")
                assert await reader.query_val("SELECT count(*) FROM felt") == 2
            made = "DROP TABLE felt; DROP TYPE mood; " + made


@pytest.mark.parametrize("is_blocking", [False, True], ids=["asyncio", "blocking"])
async def test_the_timeout_of_a_copy_is_that_of_its_commit_too(
    is_blocking: bool, cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db = connections["default"]
        await db.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(20); RETURN NULL; END'"
        )
        await db.execute(
            "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        began = time.monotonic()
        with pytest.raises(QueryTimeout):
            await called(db, is_blocking, "execute", "COPY t FROM STDIN", "1\t1\n", timeout=0.5)
        assert time.monotonic() - began < 10
        assert await db.query_val("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("is_blocking", [False, True], ids=["asyncio", "blocking"])
async def test_a_write_that_meets_a_connection_that_has_ended_is_sent_by_another(
    is_blocking: bool, cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db = connections["default"]
        for n in range(3):
            await asyncio.to_thread(
                cluster.value,
                cluster.primary,
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
                cluster_database,
            )
            with connections.scope() as scope:
                await called(db, is_blocking, "execute", "INSERT INTO t VALUES ($1, 0)", n)
                assert scope.token.startswith("default=1-")


async def test_a_write_that_fails_is_no_reason_to_ask_the_primary_for_long(
    cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await table(connections, cluster)
        with connections.scope():
            with pytest.raises(Error):
                await connections["default"].execute("INSERT INTO t VALUES (NULL, 1)")
            await asyncio.to_thread(cluster.wait_until_caught_up)
            assert await connections.reader().query_val("SELECT pg_is_in_recovery()")


async def test_seconds_after_a_write_reads_go_to_the_primary(cluster: Cluster, cluster_database: str) -> None:
    async with connected(cluster, cluster_database, read_your_writes=0.4) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        with connections.scope() as scope:
            assert await reader.query_val("SELECT pg_is_in_recovery()")
            await db.execute("INSERT INTO t VALUES (1, 1)")
            assert not await reader.query_val("SELECT pg_is_in_recovery()")
            token = scope.token
        with connections.scope(token):
            assert not await reader.query_val("SELECT pg_is_in_recovery()")
            await asyncio.sleep(0.5)
            assert await reader.query_val("SELECT pg_is_in_recovery()")
        for face in (db, db.sync):
            with connections.scope():
                if face is db:
                    await db.execute("COPY t FROM STDIN", "2\t2\n")
                else:
                    await asyncio.to_thread(db.sync.execute, "COPY t FROM STDIN", "3\t3\n")
                assert not await reader.query_val("SELECT pg_is_in_recovery()")


async def test_without_read_your_writes_reads_go_where_they_go(
    cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database, read_your_writes=None) as connections:
        await table(connections, cluster)
        with connections.scope() as scope:
            await connections["default"].execute("INSERT INTO t VALUES (1, 1)")
            assert scope.token == ""
            assert await connections.reader().query_val("SELECT pg_is_in_recovery()")


async def test_threads_that_write_in_one_scope_lose_nothing(cluster: Cluster, cluster_database: str) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()

        async def writes(thread: int) -> None:
            for n in range(50):
                await db.execute("INSERT INTO t VALUES ($1, 0)", thread * 1000 + n)

        def run(thread: int) -> None:
            asyncio.run(writes(thread))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        await until(lambda: not any(thread.is_alive() for thread in threads), "a thread hangs")
        assert await reader.query_val("SELECT count(*) FROM t") == 200


async def test_a_replica_that_is_too_far_behind_serves_no_reads(
    cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database, max_lag=0.2) as connections:
        await table(connections, cluster)
        late = cluster.replicas[1]
        replica_set = inner(connections)
        late_name = f"127.0.0.1:{late.port}"

        async def writes() -> None:
            while True:
                await connections["default"].execute(
                    "INSERT INTO t VALUES ((random() * 1e9)::int, 0) ON CONFLICT DO NOTHING"
                )
                await asyncio.sleep(0.01)

        writing = asyncio.ensure_future(writes())
        try:
            await until(
                lambda: late_name not in [node.name for node in replica_set.ready], "300 ms are not 200"
            )
            stats = connections.stats()["default"]
            assert 0.2 < stats["hosts"][late_name]["lag"] < 3
            assert stats["lag_rejections"] > 0
        finally:
            writing.cancel()
        # Nobody writes: it has all there is soon, however long ago that was written.
        await until(lambda: late_name in [node.name for node in replica_set.ready], "it has caught up")


async def test_a_commit_stands_where_the_position_behind_it_is_refused(
    cluster: Cluster, cluster_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        for name in ("_commits.POSITIONS", "_primary.POSITIONS", "_commits.POSITION_OF_CALL"):
            monkeypatch.setattr(f"hyperdjango.multi_db.{name}", "SELECT '' || 1/0 FROM pg_class LIMIT 1")
        for n in range(3):  # known to the pool from the second on
            async with db.transaction():
                await db.execute("INSERT INTO t VALUES ($1, 0)", n)
            await db.execute("INSERT INTO t VALUES ($1, 0)", 10 + n)
            await db.execute("COPY t FROM STDIN (FORMAT csv)", f"{20 + n},0\n")
            await asyncio.to_thread(db.sync.execute, "INSERT INTO t VALUES ($1, 0)", 30 + n)
        monkeypatch.undo()
        assert await reader.query_val("SELECT count(*) FROM t") == 12


async def test_a_call_that_writes_nothing_leaves_reads_where_they_were(
    cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        await table(connections, cluster)
        with connections.scope():
            await connections["default"].query("SELECT count(*) FROM t, pg_class, pg_attribute LIMIT 1")
            await asyncio.to_thread(cluster.wait_until_caught_up)
            await until(
                lambda: (
                    connections.explain_route(
                        type("M", (), {"_table": type("T", (), {"database": None})})
                    ).role
                    == "replica"
                ),
                "reads stay on the primary",
            )
