"""Section 4 of the contract: blocks, savepoints, tasks and threads, `on_commit`, `run`."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from contract.wire import Wire
from hyperdjango.database import (
    Database,
    DatabaseError,
    DeadlockDetected,
    InFailedSqlTransaction,
    ReadOnlySqlTransaction,
    SerializationFailure,
    SyncDatabase,
    TransactionClosed,
    UniqueViolation,
)


@pytest.fixture
async def table(db: Database) -> Callable[[], Any]:
    """A table `t`, and a function that reads it from outside of all blocks."""
    await db.execute("CREATE TABLE t (n int PRIMARY KEY)")

    async def read() -> list[int]:
        return [row["n"] for row in await db.query("SELECT n FROM t ORDER BY n")]

    async def outside() -> list[int]:
        return await asyncio.create_task(read(), context=contextvars.Context())

    return outside


class StopError(Exception):
    """What a block is left by."""


@pytest.mark.line("4.signature")
@pytest.mark.parametrize("face", [Database, SyncDatabase])
def test_the_arguments_of_a_block(face: type[Database | SyncDatabase]) -> None:
    """db.transaction(savepoint_name=None, isolation=None, read_only=None, deferrable=None)."""
    parameters = list(inspect.signature(face.transaction).parameters.values())[1:]
    assert [(each.name, each.default) for each in parameters] == [
        ("savepoint_name", None),
        ("isolation", None),
        ("read_only", None),
        ("deferrable", None),
    ]


@pytest.mark.line("4.arguments")
async def test_the_arguments_are_the_servers(db: Database) -> None:
    """isolation=, read_only=, deferrable=."""
    async with db.transaction(isolation="serializable", read_only=True, deferrable=True):
        assert await db.query_val("SHOW transaction_isolation") == "serializable"
        assert await db.query_val("SHOW transaction_read_only") == "on"
        assert await db.query_val("SHOW transaction_deferrable") == "on"
    with pytest.raises(ReadOnlySqlTransaction):
        async with db.transaction(read_only=True):
            await db.execute("CREATE TABLE t (n int)")


@pytest.mark.line("4.atomic")
async def test_atomic_is_the_same_thing(db: Database, table: Callable[[], Any]) -> None:
    """db.atomic is the same thing."""
    async with db.atomic():
        await db.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(StopError):
        async with db.atomic():
            await db.execute("INSERT INTO t VALUES (2)")
            raise StopError
    assert await table() == [1]
    assert inspect.signature(db.atomic) == inspect.signature(db.transaction)


@pytest.mark.line("4.decorator")
@pytest.mark.parametrize("name", ["transaction", "atomic"])
async def test_both_decorate_a_coroutine_function(db: Database, table: Callable[[], Any], name: str) -> None:
    """And both also decorate a coroutine function."""

    @getattr(db, name)()  # type: ignore[untyped-decorator] # by name, so of no known type
    async def put(*numbers: int) -> int:
        for n in numbers:
            await db.execute("INSERT INTO t VALUES ($1)", n)
        return len(numbers)

    assert await put(1, 2) == 2
    with pytest.raises(UniqueViolation):
        await put(3, 1)
    assert await table() == [1, 2]


@pytest.mark.line("4.commit")
async def test_a_block_is_begin_and_commit(wire: Wire, db: Database, table: Callable[[], Any]) -> None:
    """Outermost: BEGIN … COMMIT."""
    async with Database(wire.url, 1, 1) as through:
        async with through.transaction():
            await through.execute("INSERT INTO t VALUES (1)")
            assert await table() == []
        assert b"BEGIN" in wire.bytes_sent
        assert b"COMMIT" in wire.bytes_sent
    assert await table() == [1]


@pytest.mark.line("4.rollback")
async def test_an_exception_rolls_back_and_goes_on(db: Database, table: Callable[[], Any]) -> None:
    """Or ROLLBACK on an exception."""
    with pytest.raises(StopError):
        async with db.transaction():
            await db.execute("INSERT INTO t VALUES (1)")
            raise StopError
    assert await table() == []


@pytest.mark.line("4.nested")
async def test_nested_blocks_are_numbered_savepoints(wire: Wire) -> None:
    """Nested: SAVEPOINT sp_2, sp_3 …"""
    async with Database(wire.url, 1, 1) as db:
        async with db.transaction(), db.transaction(), db.transaction():
            await db.query("SELECT 1")
        assert wire.bytes_sent.count(b"sp_1") == 0
        for name in (b"sp_2", b"sp_3"):
            assert b"SAVEPOINT " in wire.bytes_sent.split(name)[0][-12:]


@pytest.mark.line("4.nested.name")
async def test_a_savepoint_may_have_any_name(db: Database, table: Callable[[], Any]) -> None:
    """Or the given name (an identifier, quoted)."""
    async with db.transaction(), db.transaction('before "import"; DROP TABLE t'):
        await db.execute("INSERT INTO t VALUES (1)")
        await db.execute('ROLLBACK TO SAVEPOINT "before ""import""; DROP TABLE t"')
        await db.execute("INSERT INTO t VALUES (2)")
    assert await table() == [2]


@pytest.mark.line("4.nested.release")
async def test_a_nested_block_is_kept_or_undone_alone(db: Database, table: Callable[[], Any]) -> None:
    """RELEASE or ROLLBACK TO."""
    async with db.transaction():
        async with db.transaction():
            await db.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(UniqueViolation):
            async with db.transaction():
                await db.execute("INSERT INTO t VALUES (2)")
                await db.execute("INSERT INTO t VALUES (1)")
        await db.execute("INSERT INTO t VALUES (3)")
    assert await table() == [1, 3]


@pytest.mark.line("4.pinned")
async def test_every_call_runs_on_the_blocks_connection(db: Database) -> None:
    """Inside the block every call on that Database runs on the transaction's connection."""
    sql = "SELECT pg_backend_pid()"
    async with db.transaction():
        pids = {
            await db.query_val(sql),
            (await db.query(sql, into=tuple))[0][0],
            (await db.pipeline([sql]))[0][0][0],
            *[row["pg_backend_pid"] async for row in db.stream(sql)],
            db.in_transaction() and await db.query_val(f"{sql} + 0"),
        }
        await db.execute_many("SELECT $1::int", [(1,)])
        assert len(pids) == 1
        assert db.pool_stats()["busy"] == 1


@pytest.mark.line("4.contextvar.threads")
def test_another_thread_is_not_inside(sync_db: SyncDatabase) -> None:
    """The current transaction lives in a ContextVar: right for threads."""
    seen: list[bool] = []
    with sync_db.transaction():
        thread = threading.Thread(target=lambda: seen.append(sync_db.in_transaction()))
        thread.start()
        thread.join()
        seen.append(sync_db.in_transaction())
    assert seen == [False, True]


@pytest.mark.line("4.contextvar.tasks")
async def test_a_task_that_was_started_elsewhere_is_not_inside(
    db: Database, table: Callable[[], Any]
) -> None:
    """The current transaction lives in a ContextVar: right for tasks."""
    begun, put = asyncio.Event(), asyncio.Event()

    async def elsewhere() -> None:
        await begun.wait()
        await db.execute("INSERT INTO t VALUES (2)")
        put.set()

    task = asyncio.create_task(elsewhere())
    with pytest.raises(StopError):
        async with db.transaction():
            await db.execute("INSERT INTO t VALUES (1)")
            begun.set()
            await put.wait()
            raise StopError
    await task
    assert await table() == [2]


@pytest.mark.line("4.child_tasks")
async def test_child_tasks_inherit_and_queue_in_order(db: Database) -> None:
    """Child tasks inherit it and their statements queue, in order, on the pinned connection."""
    await db.execute("CREATE TABLE steps (at serial, n int)")
    async with db.transaction():
        pid = await db.query_val("SELECT pg_backend_pid()")
        put = "INSERT INTO steps (n) VALUES ($1) RETURNING pg_backend_pid()"
        pids = await asyncio.gather(*(db.query_val(put, n) for n in range(10)))
    assert set(pids) == {pid}
    assert await db.query("SELECT n FROM steps ORDER BY at", into=tuple) == [(n,) for n in range(10)]


@pytest.mark.line("4.closed")
async def test_a_statement_after_the_end_is_refused(db: Database) -> None:
    """A statement after the block has ended raises TransactionClosed."""
    over = asyncio.Event()

    async def late() -> None:
        await over.wait()
        await db.query("SELECT 1")

    async with db.transaction():
        await db.query("SELECT 1")
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
    over.set()
    with pytest.raises(TransactionClosed):
        await task


@pytest.mark.line("4.cancel")
async def test_cancelling_a_task_rolls_back_and_frees_the_connection(
    url: str, db: Database, table: Callable[[], Any]
) -> None:
    """Cancelling cancels the running statement, rolls back, and gives the connection back clean or not at all."""
    async with Database(url, 1, 1) as single:

        async def block() -> None:
            async with single.transaction():
                await single.execute("INSERT INTO t VALUES (1)")
                await single.query("SELECT pg_sleep(600) /* to be cancelled */")

        task = asyncio.create_task(block())
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* to be cancelled */' AND state = 'active'"
        while await db.query_val(running + " AND pid <> pg_backend_pid()") == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await db.query_val(running + " AND pid <> pg_backend_pid()") == 0
        assert await single.query_val("SELECT count(*) FROM t") == 0
        assert not single.in_transaction()
        assert await single.execute("INSERT INTO t VALUES (2)") == "INSERT 1"
    assert await table() == [2]


@pytest.mark.line("4.commit_rolled_back")
async def test_a_commit_answered_with_rollback_raises(db: Database, table: Callable[[], Any]) -> None:
    """A COMMIT that the server answers with ROLLBACK raises."""
    with pytest.raises(InFailedSqlTransaction):
        async with db.transaction():
            await db.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(DatabaseError):
                await db.query("SELECT 1/0")
    assert await table() == []


@pytest.mark.line("4.on_commit")
async def test_on_commit_runs_after_the_commit_alone(db: Database, table: Callable[[], Any]) -> None:
    """on_commit(fn)."""
    seen: list[list[int]] = []

    async def look() -> None:
        seen.append(await table())

    async with db.transaction():
        await db.execute("INSERT INTO t VALUES (1)")
        db.on_commit(look)
        assert seen == []
    assert seen == [[1]]
    with pytest.raises(StopError):
        async with db.transaction():
            db.on_commit(look)
            raise StopError
    assert seen == [[1]]


async def tries_of_run(db: Database, code: str, retries: int) -> tuple[int, DatabaseError | None]:
    """Run a transaction that fails with a code; return how often it was called, and how it ended."""
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        await db.execute("INSERT INTO t VALUES ($1)", tries)
        if tries <= 2:
            await db.execute(f"DO $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END$$")

    try:
        await db.run(work, retries=retries)
    except DatabaseError as error:
        return tries, error
    return tries, None


@pytest.mark.line("4.run")
async def test_run_repeats_a_serialization_failure(db: Database, table: Callable[[], Any]) -> None:
    """db.run(fn, retries=) repeats a whole transaction on 40001, as often as it may."""
    assert await tries_of_run(db, "40001", retries=3) == (3, None)
    assert await table() == [3]
    tries, error = await tries_of_run(db, "40001", retries=1)
    assert tries == 2
    assert isinstance(error, SerializationFailure)


@pytest.mark.line("4.run.deadlock")
async def test_run_repeats_a_deadlock(db: Database, table: Callable[[], Any]) -> None:
    """And on 40P01."""
    assert await tries_of_run(db, "40P01", retries=3) == (3, None)
    assert await table() == [3]
    assert issubclass(DeadlockDetected, DatabaseError)


@pytest.mark.line("4.run.others")
@pytest.mark.parametrize("code", ["23505", "55P03", "57014", "40002"])
async def test_run_repeats_nothing_else(db: Database, table: Callable[[], Any], code: str) -> None:
    """On 40001/40P01 only."""
    tries, error = await tries_of_run(db, code, retries=3)
    assert tries == 1
    assert error is not None
    assert error.sqlstate == code
    assert await table() == []
