"""Transaction blocks: what takes effect, what does not, and what becomes of the connection."""
# ruff: noqa: PT012 - it is the whole block that raises

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from hyperdjango.database import (
    ConnectionLost,
    Database,
    DatabaseError,
    DataError,
    DivisionByZero,
    ForeignKeyViolation,
    InFailedSqlTransaction,
    InterfaceError,
    OperationalError,
    OutcomeUnknown,
    QueryTimeout,
    ReadOnlySqlTransaction,
    SyncDatabase,
    TransactionClosed,
    UniqueViolation,
    _async_pool,
    _async_replies,
    _sync_pool,
)
from pgkit.face import Face, OpenFace
from pgkit.freeze import frozen
from pgkit.until import until_async

ROWS = "SELECT a FROM t ORDER BY a"


@pytest.fixture
def table(face: Face) -> Face:
    face.execute("CREATE TABLE t (a int)")
    return face


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url, 1, 4) as database:
        await database.execute("CREATE TABLE t (a int)")
        yield database


def rows(db: Any) -> list[int]:
    return [a for (a,) in db.query(ROWS, into=tuple)]


async def rows_of(db: Database) -> list[int]:
    return [a for (a,) in await db.query(ROWS, into=tuple)]


def insert(db: Any, a: int) -> Any:
    return db.execute("INSERT INTO t VALUES ($1)", a)


def waits_for_a_lock(control: psycopg.Connection[Any]) -> bool:
    return control.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").rowcount == 1


def seen_by_others(url: str) -> list[int]:
    with psycopg.connect(url) as other:
        return [a for (a,) in other.execute(ROWS)]


# Both faces


def test_a_block_takes_effect_at_its_end_and_as_a_whole(table: Face, url: str) -> None:
    with table.transaction():
        insert(table, 1)
        insert(table, 2)
        assert rows(table) == [1, 2]
        assert seen_by_others(url) == []
    assert seen_by_others(url) == [1, 2]


def test_an_exception_undoes_the_block_and_goes_on(table: Face) -> None:
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught, table.transaction():
        insert(table, 1)
        raise error
    assert caught.value is error
    assert rows(table) == []


def test_atomic_is_the_same() -> None:
    assert Database.atomic is Database.transaction
    assert SyncDatabase.atomic is SyncDatabase.transaction


def test_all_statements_of_a_block_run_on_one_connection(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 3, 3)
    pid = "SELECT pg_backend_pid()"
    with face.transaction():
        first = face.query_val(pid)
        assert face.query_one(pid, into=tuple) == (first,)
        assert face.query(pid, into=tuple) == [(first,)]
        assert face.in_transaction()
    assert not face.in_transaction()


def test_nested_blocks_are_savepoints(table: Face) -> None:
    with table.transaction():
        insert(table, 1)
        with pytest.raises(LookupError), table.transaction():
            insert(table, 2)
            with table.transaction():
                insert(table, 3)
            raise LookupError
        with table.transaction():
            insert(table, 4)
            with pytest.raises(UniqueViolation), table.transaction():
                insert(table, 5)
                table.execute("CREATE TABLE unique_t (a int PRIMARY KEY)")
                table.execute("INSERT INTO unique_t VALUES (1), (1)")
            insert(table, 6)
    assert rows(table) == [1, 4, 6]


def test_savepoints_are_named_by_their_depth(table: Face) -> None:
    with table.transaction():
        insert(table, 1)
        with table.transaction():
            insert(table, 2)
            with table.transaction():
                insert(table, 3)
                table.execute("ROLLBACK TO SAVEPOINT sp_3")
                insert(table, 4)
                table.execute("ROLLBACK TO SAVEPOINT sp_2")
                table.execute("SAVEPOINT sp_3")
        with table.transaction():
            insert(table, 5)
            table.execute("ROLLBACK TO SAVEPOINT sp_2")
    assert rows(table) == [1]


@pytest.mark.parametrize("name", ["mine", "Mine", 'with "quotes"', "sp; DROP TABLE t", "ä b'c", "select"])
def test_a_savepoint_may_have_any_name(table: Face, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    with table.transaction():
        insert(table, 1)
        with table.transaction(name):
            insert(table, 2)
            table.execute(f"ROLLBACK TO SAVEPOINT {quoted}")
        with pytest.raises(LookupError), table.transaction(savepoint_name=name):
            insert(table, 3)
            raise LookupError
    assert rows(table) == [1]


@pytest.mark.parametrize("name", ["with\0nul"])
def test_a_name_that_no_savepoint_can_have_is_refused(table: Face, name: str) -> None:
    with table.transaction():
        insert(table, 1)
        with pytest.raises(DataError, match="identifier"), table.transaction(name):
            pass
        insert(table, 2)
    assert rows(table) == [1, 2]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ("read committed", "off", "off")),
        ({"isolation": "serializable"}, ("serializable", "off", "off")),
        ({"isolation": "REPEATABLE READ"}, ("repeatable read", "off", "off")),
        ({"isolation": "repeatable_read", "read_only": True}, ("repeatable read", "on", "off")),
        ({"isolation": "read uncommitted", "read_only": False}, ("read uncommitted", "off", "off")),
        ({"isolation": "serializable", "read_only": True, "deferrable": True}, ("serializable", "on", "on")),
        ({"deferrable": False}, ("read committed", "off", "off")),
    ],
)
def test_the_modes_of_a_block_are_the_servers(
    face: Face, options: dict[str, Any], shown: tuple[str, str, str]
) -> None:
    with face.transaction(**options):
        found = tuple(
            face.query_val(f"SHOW transaction_{what}") for what in ("isolation", "read_only", "deferrable")
        )
    assert found == shown
    assert face.query_val("SHOW transaction_isolation") == "read committed"


def test_a_read_only_block_refuses_writes(table: Face) -> None:
    with pytest.raises(ReadOnlySqlTransaction), table.transaction(read_only=True):
        insert(table, 1)
    insert(table, 2)
    assert rows(table) == [2]


def test_an_isolation_level_that_does_not_exist_is_refused_before_anything_is_sent(face: Face) -> None:
    with (
        pytest.raises(ValueError, match=r"isolation must be one of read committed, .*not 'snapshot; DROP'"),
        face.transaction(isolation="snapshot; DROP"),
    ):
        pass


@pytest.mark.parametrize(
    "options", [{"isolation": "serializable"}, {"read_only": True}, {"deferrable": False}]
)
def test_a_nested_block_has_no_modes_of_its_own(table: Face, options: dict[str, Any]) -> None:
    with table.transaction():
        insert(table, 1)
        with (
            pytest.raises(InterfaceError, match="belong to the outermost block"),
            table.transaction(**options),
        ):
            pass
        insert(table, 2)
    assert rows(table) == [1, 2]


def test_a_commit_that_the_server_answers_with_rollback_raises(table: Face) -> None:
    with (
        pytest.raises(InFailedSqlTransaction, match="the transaction was not committed") as caught,
        table.transaction(),
    ):
        insert(table, 1)
        with pytest.raises(DivisionByZero):
            table.query("SELECT 1/0")
    assert caught.value.sqlstate == "25P02"
    assert rows(table) == []


def test_a_constraint_checked_at_commit_raises_there(face: Face) -> None:
    face.execute(
        "CREATE TABLE p (a int PRIMARY KEY);CREATE TABLE t (a int REFERENCES p DEFERRABLE INITIALLY DEFERRED)"
    )
    with pytest.raises(ForeignKeyViolation) as caught, face.transaction():
        insert(face, 1)
        assert rows(face) == [1]
    assert caught.value.table == "t"
    assert rows(face) == []


def test_a_rollback_by_hand_is_noticed_at_the_end(table: Face) -> None:
    with pytest.raises(InterfaceError, match="has ended its transaction"), table.transaction():
        insert(table, 1)
        table.execute("ROLLBACK")
    assert rows(table) == []
    with pytest.raises(LookupError), table.transaction():
        insert(table, 2)
        table.execute("COMMIT")
        raise LookupError
    assert rows(table) == [2]


def test_statements_after_an_error_fail_until_the_savepoint(table: Face) -> None:
    with table.transaction():
        insert(table, 1)
        with pytest.raises(DivisionByZero), table.transaction():
            with pytest.raises(DivisionByZero) as first:
                table.query("SELECT 1/0")
            with pytest.raises(InFailedSqlTransaction):
                table.query("SELECT 1")
            raise first.value
        insert(table, 2)
    assert rows(table) == [1, 2]


def kill(url: str, pid: int) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_connection_killed_inside_a_block_is_an_error_and_replaced(table: Face, url: str) -> None:
    with pytest.raises(OperationalError) as caught, table.transaction():
        insert(table, 1)
        kill(url, table.query_val("SELECT pg_backend_pid()"))
        insert(table, 2)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert rows(table) == []
    assert table.pool_stats()["total"] == 1


def test_a_connection_killed_before_commit_is_an_error_and_replaced(table: Face, url: str) -> None:
    with pytest.raises(OperationalError), table.transaction():
        insert(table, 1)
        kill(url, table.query_val("SELECT pg_backend_pid()"))
    assert rows(table) == []


def test_a_killed_connection_stays_an_error_to_the_end_of_the_block(table: Face, url: str) -> None:
    with pytest.raises(DatabaseError), table.transaction():
        with table.transaction():
            insert(table, 1)
        kill(url, table.query_val("SELECT pg_backend_pid()"))
        with pytest.raises(OperationalError):
            insert(table, 2)
        with pytest.raises(ConnectionLost, match="the connection is closed"):
            insert(table, 3)
    assert rows(table) == []


@pytest.mark.usefixtures("patient_recovery")
def test_a_timeout_inside_a_block_cancels_the_statement_and_fails_the_block(table: Face) -> None:
    pid = table.query_val("SELECT pg_backend_pid()")
    with pytest.raises(QueryTimeout), table.transaction():
        insert(table, 1)
        table.query("SELECT pg_sleep(20)", timeout=0.1)
    assert rows(table) == []
    assert table.query_val("SELECT pg_backend_pid()") == pid


def test_a_block_that_fails_over_a_frozen_backend_ends_in_time(
    table: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (_async_pool, _sync_pool):
        monkeypatch.setattr(module, "RESET_SECONDS", 0.3)
    pid = table.query_val("SELECT pg_backend_pid()")
    with ExitStack() as stack:
        began = time.monotonic()
        with pytest.raises(LookupError), table.transaction():
            insert(table, 1)
            stack.enter_context(frozen(pid))
            raise LookupError
        assert time.monotonic() - began < 1.5
        assert table.query_val("SELECT pg_backend_pid()") != pid
    assert rows(table) == []


# Decorators


async def test_a_decorated_coroutine_function_runs_in_a_block_each_time(db: Database) -> None:
    @db.transaction()
    async def add(a: int, *, fail: bool = False) -> str:
        """Adds."""
        assert db.in_transaction()
        await insert(db, a)
        if fail:
            raise LookupError
        return f"added {a}"

    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert await add(1) == "added 1"
    with pytest.raises(LookupError):
        await add(2, fail=True)
    assert list(await asyncio.gather(add(3), add(4))) == ["added 3", "added 4"]
    async with db.atomic():
        assert await add(5) == "added 5"
    assert await rows_of(db) == [1, 3, 4, 5]


def test_a_decorated_function_runs_in_a_block_each_time(url: str) -> None:
    with SyncDatabase(url, 1, 2) as db:
        db.execute("CREATE TABLE t (a int)")

        @db.transaction()
        def add(a: int, *, fail: bool = False) -> str:
            insert(db, a)
            if fail:
                raise LookupError
            return f"added {a}"

        assert add(1) == "added 1"
        with pytest.raises(LookupError):
            add(2, fail=True)
        assert add(3) == "added 3"
        assert rows(db) == [1, 3]


async def test_a_block_cannot_be_entered_twice_at_once(db: Database) -> None:
    block = db.transaction()
    async with block:
        with pytest.raises(InterfaceError, match="entered already"):
            await block.__aenter__()
    async with block:
        await insert(db, 1)
    assert await rows_of(db) == [1]


# Tasks and threads


async def test_child_tasks_inherit_the_block_and_queue_in_order(db: Database) -> None:
    async with db.transaction():
        pid = await db.query_val("SELECT pg_backend_pid()")

        async def child(n: int) -> int:
            await insert(db, n)
            found: int = await db.query_val("SELECT pg_backend_pid()")
            return found

        assert set(await asyncio.gather(*(child(n) for n in range(20)))) == {pid}
    assert [a for (a,) in await db.query("SELECT a FROM t", into=tuple)] == list(range(20))


async def test_an_error_of_one_child_reaches_that_child_and_fails_the_block(db: Database) -> None:
    with pytest.raises(InFailedSqlTransaction):
        async with db.transaction():
            results = await asyncio.gather(
                insert(db, 1), db.query("SELECT 1/0"), insert(db, 2), return_exceptions=True
            )
            assert [type(each).__name__ for each in results] == [
                "CommandStatus",
                "DivisionByZero",
                "InFailedSqlTransaction",
            ]
    assert await rows_of(db) == []


async def test_a_child_that_comes_late_is_told_so(db: Database) -> None:
    ended = asyncio.Event()
    calls: list[Callable[[], Any]] = [
        lambda: db.query("SELECT 1"),
        lambda: db.execute("SELECT 1"),
        lambda: db.query_val("SELECT 1"),
        lambda: db.execute_many("SELECT $1::int", [(1,)]),
        lambda: db.transaction().__aenter__(),
    ]

    async def late() -> None:
        await ended.wait()
        for call in calls:
            with pytest.raises(TransactionClosed, match="The transaction has ended"):
                await call()

    async with db.transaction():
        task = asyncio.create_task(late())
        await insert(db, 1)
    ended.set()
    await task
    assert await db.query_val("SELECT 1") == 1


async def test_the_end_of_the_block_waits_for_a_childs_running_statement(db: Database) -> None:
    async with db.transaction():
        child = asyncio.create_task(db.execute("INSERT INTO t SELECT 7 FROM pg_sleep(0.3)"))
        await asyncio.sleep(0.05)
    assert await child == "INSERT 1"
    assert await rows_of(db) == [7]


async def test_other_tasks_are_not_in_the_block(db: Database) -> None:
    entered, checked = asyncio.Event(), asyncio.Event()

    async def other() -> None:
        await entered.wait()
        assert not db.in_transaction()
        assert await rows_of(db) == []
        checked.set()

    task = asyncio.create_task(other())
    async with db.transaction():
        await insert(db, 1)
        entered.set()
        await checked.wait()
    await task
    assert await rows_of(db) == [1]


async def test_two_databases_have_transactions_of_their_own(db: Database, url: str) -> None:
    async with Database(url, 1, 1) as second, db.transaction():
        await insert(db, 1)
        assert not second.in_transaction()
        assert await rows_of(second) == []


def test_threads_have_blocks_of_their_own(url: str) -> None:
    with SyncDatabase(url, 2, 4) as db:
        db.execute("CREATE TABLE t (a int)")
        barrier = threading.Barrier(4, timeout=20)
        problems: list[BaseException] = []

        def work(n: int) -> None:
            try:
                with db.transaction():
                    insert(db, n)
                    barrier.wait()
                    assert rows(db) == [n]
                    barrier.wait()
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert rows(db) == [0, 1, 2, 3]


def test_a_context_that_outlives_the_block_is_told_so(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db:
        db.execute("CREATE TABLE t (a int)")
        with db.transaction():
            insert(db, 1)
            kept = contextvars.copy_context()
        with pytest.raises(TransactionClosed):
            kept.run(insert, db, 2)

        def enter() -> None:
            with db.transaction():
                insert(db, 3)

        with pytest.raises(TransactionClosed):
            kept.run(enter)
        assert rows(db) == [1]


# Cancellation and time


@pytest.mark.usefixtures("patient_recovery")
@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_cancelling_a_task_inside_a_block_cancels_its_statement_and_undoes_it(
    url: str, depth: int
) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE t (a int)")
        pid = await db.query_val("SELECT pg_backend_pid()")

        async def work(level: int) -> None:
            async with db.transaction():
                await insert(db, level)
                if level < depth:
                    await work(level + 1)
                else:
                    await db.query("SELECT pg_sleep(20)")

        task = asyncio.create_task(work(1))
        await asyncio.sleep(0.2)
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 2
        assert await rows_of(db) == []
        assert await db.query_val("SELECT pg_backend_pid()") == pid


async def test_a_task_cancelled_between_two_statements_undoes_the_block(db: Database) -> None:
    async def work() -> None:
        async with db.transaction():
            await insert(db, 1)
            await asyncio.sleep(20)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rows_of(db) == []
    assert db.pool_stats()["busy"] == 0


async def test_a_task_cancelled_while_the_block_waits_for_a_child_gives_the_connection_back(
    db: Database,
) -> None:
    async def work() -> None:
        async with db.transaction():
            await insert(db, 1)
            children.append(asyncio.create_task(db.query("SELECT pg_sleep(0.5)")))
            await asyncio.sleep(0.1)

    children: list[asyncio.Task[Any]] = []
    task = asyncio.create_task(work())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait(children)
    for _ in range(100):
        if db.pool_stats()["busy"] == 0:
            break
        await asyncio.sleep(0.02)
    assert db.pool_stats()["busy"] == 0
    assert await rows_of(db) == []


async def test_cancelling_one_child_leaves_the_block_to_the_others(db: Database) -> None:
    async with db.transaction():
        await insert(db, 1)
        first = asyncio.create_task(db.query("SELECT pg_sleep(0.3)"))
        waiting = asyncio.create_task(insert(db, 2))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await first
        await insert(db, 3)
    assert await rows_of(db) == [1, 3]


async def test_the_time_limit_of_a_child_covers_its_wait_for_the_others(db: Database) -> None:
    async with db.transaction():
        first = asyncio.create_task(db.query("SELECT pg_sleep(0.8)"))
        await asyncio.sleep(0.05)
        for call in (db.query, db.query_val, db.execute):
            with pytest.raises(QueryTimeout):
                await call("SELECT 1", timeout=0.1)
        assert not first.done()
        await first
        await insert(db, 1)
    assert await rows_of(db) == [1]


async def test_every_moment_of_cancellation_leaves_the_pool_whole(url: str) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE t (a int)")

        async def work() -> None:
            async with db.transaction():
                await insert(db, 1)
                async with db.transaction():
                    await insert(db, 2)
                    await db.query_val("SELECT count(*) FROM pg_sleep(0.001)")

        await work()
        await db.execute("TRUNCATE t")
        committed = 0
        for step in range(50):
            task = asyncio.create_task(work())
            await asyncio.sleep(step * 0.0002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert db.pool_stats()["busy"] == 0
            # One that was cancelled while its COMMIT was under way may be in either state, but in no third.
            found = await rows_of(db)
            now = len(found) // 2
            assert found == sorted([1, 2] * now)
            assert now - committed in ({0, 1} if task.cancelled() else {1})
            committed = now
        assert 0 < committed < 50
        assert db.pool_stats()["total"] == 1


def test_what_on_commit_cannot_call_is_refused_while_the_block_can_be_undone(table: Face) -> None:
    async def send() -> None: ...

    for wrong, text in (
        (None, "not NoneType"),
        (5, "not int"),
        (send(), r"on_commit\(send\), not on_commit\(send\(\)\)"),
    ):
        with pytest.raises(TypeError, match=text), table.transaction():
            insert(table, 1)
            table.on_commit(wrong)
    assert rows(table) == []
    with pytest.raises(TypeError, match="takes a function"):  # nor outside of a block
        table.on_commit(None)


@pytest.mark.parametrize(
    "call",
    [lambda db: db.query_val("SELECT 1"), lambda db: db.execute("INSERT INTO t VALUES (1)")],
    ids=["a query", "a write"],
)
async def test_a_blocking_call_beside_the_block_of_its_own_loop_is_refused(
    db: Database, url: str, call: Callable[[Any], object]
) -> None:
    """It would be outside of the transaction, and might wait for the block's locks for ever."""
    call(db.sync)  # outside of a block it holds up the loop, and that is all
    async with db.transaction():
        await db.query_val("SELECT 1")
        with pytest.raises(InterfaceError, match="inside of a transaction block of the same Database"):
            call(db.sync)
        with pytest.raises(InterfaceError, match="inside of a transaction block"), db.sync.transaction():
            raise AssertionError("it began")
        await asyncio.to_thread(call, db.sync)  # a thread of its own has nobody waiting for it
    call(db.sync)


async def test_a_block_whose_commit_is_answered_in_the_call_is_not_cancelled_behind_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop has its turn later: another thread may have cancelled the task meanwhile."""
    called: list[int] = []
    real_turn = _async_replies.turn

    def turn() -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return real_turn()

    async with Database(url, 1, 1) as db:

        async def block(number: int) -> None:
            block = db.transaction()
            await block.__aenter__()
            await db.query_val("SELECT 1")
            db.on_commit(lambda: called.append(number))
            time.sleep(0.002)  # noqa: ASYNC251 - the others of the loop are owed a turn
            with monkeypatch.context() as patch:
                patch.setattr(_async_replies, "turn", turn)
                await block.__aexit__(None, None, None)

        for number in range(50):
            await asyncio.gather(asyncio.create_task(block(number)), return_exceptions=True)
    assert called == list(range(50))


async def test_a_nested_block_whose_end_is_cancelled_while_a_child_runs_is_never_committed(
    db: Database, url: str
) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(8)")

        async def work() -> None:
            async with db.transaction():
                await insert(db, 1)
                nested = db.transaction()
                await nested.__aenter__()
                await insert(db, 2)
                child = asyncio.create_task(db.query("SELECT pg_advisory_xact_lock(8)"))
                await until_async(lambda: waits_for_a_lock(other))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await nested.__aexit__(None, None, None)
                other.execute("SELECT pg_advisory_unlock(8)")
                await child
                with pytest.raises(InFailedSqlTransaction, match="nested"):
                    await insert(db, 3)

        with pytest.raises(InFailedSqlTransaction, match="nothing was committed"):
            await work()
    assert await rows_of(db) == []
    assert db.pool_stats()["busy"] == 0
