"""Blocks whose BEGIN rides with the first statement: what fails where, `on_commit` and `run`, on both faces.

PostgreSQL docs: sql-begin, sql-savepoint, mvcc-serialization-failure-handling, explicit-locking "Deadlocks".
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    Database,
    DataError,
    DeadlockDetected,
    DivisionByZero,
    Error,
    FeatureNotSupported,
    InFailedSqlTransaction,
    InterfaceError,
    QueryTimeout,
    SerializationFailure,
    SyncDatabase,
    TransactionClosed,
    UniqueViolation,
)
from pgkit import SIMPLE_SELECT, Answer, ScriptedBackend, messages, serve, startup
from pgkit.face import Face, OpenFace
from pgkit.frontend import Parse, Query

INSERT: Final = "INSERT INTO t VALUES ($1)"
COUNT: Final = "SELECT count(*) FROM t"
FAILS_AS: Final = "DO $$begin raise exception 'as asked' using errcode = '{}'; end$$"


@pytest.fixture
def table(face: Face) -> Face:
    face.execute("CREATE TABLE t (a int)")
    face.execute(INSERT, 0)
    face.execute("DELETE FROM t")
    return face


def numbers(url: str) -> list[int]:
    with psycopg.connect(url, autocommit=True) as other:
        return [row[0] for row in other.execute("SELECT a FROM t ORDER BY a").fetchall()]


# BEGIN that fails


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("call", ["execute", "query", "execute_many", "pipeline", "script"])
def test_what_a_block_does_never_runs_outside_of_it(open_face: OpenFace, call: str, is_known: bool) -> None:
    """Serializable on a hot standby: BEGIN itself is refused."""
    begin, insert, second = "BEGIN ISOLATION LEVEL SERIALIZABLE", "INSERT first", "INSERT second"
    refused = messages.error_response("0A000", "cannot use serializable mode in a hot standby")
    answers = {
        begin: Answer(error=refused),
        insert: Answer(tag="INSERT 0 1"),
        second: Answer(tag="INSERT 0 1"),
    }
    calls: dict[str, Callable[[Face, str], Any]] = {
        "execute": lambda face, sql: face.execute(sql),
        "query": lambda face, sql: face.query(sql),
        "execute_many": lambda face, sql: face.execute_many(sql, [(), ()]),
        "pipeline": lambda face, sql: face.pipeline([sql, sql]),
        "script": lambda face, sql: face.execute(f"{sql}; {sql}"),
    }
    with ScriptedBackend([*startup(), serve(answers)], frontend_may_leave=True) as backend:
        face = open_face(backend.url())
        if is_known:
            face.query(insert)
            face.query(second)
        before = len(backend.conversations[0].received)
        with (  # noqa: PT012 - it is the whole block
            pytest.raises(InFailedSqlTransaction, match="could not be begun"),
            face.transaction(isolation="serializable"),
        ):
            with pytest.raises(FeatureNotSupported):
                calls[call](face, insert)
            for each in calls.values():
                with pytest.raises(InFailedSqlTransaction, match="could not be begun"):
                    each(face, second)
            with pytest.raises(InFailedSqlTransaction), face.transaction():
                face.query(second)
        received = backend.conversations[0].received[before:]
        assert not any(isinstance(one, Query) for one in received)
        assert not any(isinstance(one, Parse) and one.sql == second for one in received)
        # BEGIN was run, and nothing else: what stood behind it under the same Sync the backend has skipped.
        done = [line for line in backend.conversations[0].trace if "CommandComplete b'INSERT" in line]
        assert len(done) == 2 * is_known
        assert face.pool_stats()["busy"] == 0
        face.disconnect()


def test_a_commit_that_is_answered_by_rollback_raises_and_calls_nobody(open_face: OpenFace) -> None:
    answers = {"SELECT n": SIMPLE_SELECT, "COMMIT": Answer(tag="ROLLBACK")}
    called: list[int] = []
    with ScriptedBackend([*startup(), serve(answers)], frontend_may_leave=True) as backend:
        face = open_face(backend.url())
        with pytest.raises(InFailedSqlTransaction, match="not committed"), face.transaction():  # noqa: PT012
            face.query("SELECT n")
            face.on_commit(lambda: called.append(1))
        assert not called
        face.disconnect()


@pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK", "COMMIT; SELECT 1", "END"])
def test_an_end_by_hand_is_told_at_the_end_of_the_block(table: Face, url: str, sql: str) -> None:
    called: list[int] = []
    with pytest.raises(InterfaceError, match="COMMIT or ROLLBACK inside the block"), table.transaction():  # noqa: PT012
        table.execute(INSERT, 1)
        table.on_commit(lambda: called.append(1))
        table.execute(sql)
    assert numbers(url) == ([] if sql == "ROLLBACK" else [1])
    assert not called
    with table.transaction():
        table.execute(INSERT, 2)
    assert 2 in numbers(url)


def test_an_end_by_hand_as_the_first_statement(table: Face, url: str) -> None:
    for sql in ("COMMIT", "ROLLBACK"):
        with pytest.raises(InterfaceError, match="inside the block"), table.transaction():
            table.execute(sql)
    assert numbers(url) == []


def test_a_nested_block_around_an_end_by_hand_is_an_error_too(table: Face, url: str) -> None:
    with pytest.raises(Error), table.transaction():  # noqa: PT012 - it is the whole block
        table.execute(INSERT, 1)
        with table.transaction():
            table.execute("COMMIT")
    with table.transaction():
        table.execute(INSERT, 2)
    assert numbers(url) == [1, 2]


def test_the_first_statement_heals_after_a_definition_elsewhere(table: Face, url: str) -> None:
    table.execute(INSERT, 1)
    for n in range(3):
        table.query("SELECT * FROM t")
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(f"ALTER TABLE t ADD COLUMN b{n} int DEFAULT {n}")
        row = {"a": 1, **{f"b{k}": k for k in range(n + 1)}}
        with table.transaction(isolation=(None, "serializable", "repeatable read")[n]):
            assert table.query("SELECT * FROM t") == [row]
            table.execute("INSERT INTO t (a) VALUES ($1)", 2)
        table.query("SELECT * FROM t")
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(f"ALTER TABLE t ALTER COLUMN b{n} SET DEFAULT 0; DELETE FROM t WHERE a = 2")


def test_the_first_statement_heals_inside_nested_blocks(table: Face, url: str) -> None:
    table.execute(INSERT, 1)
    table.query("SELECT * FROM t")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 5")
    with table.transaction(), table.transaction(), table.transaction('odd "name"'):
        assert table.query("SELECT * FROM t") == [{"a": 1, "b": 5}]
        table.execute("INSERT INTO t (a) VALUES ($1)", 2)
    assert numbers(url) == [1, 2]


def test_a_deferred_constraint_fails_at_the_end_and_calls_nobody(face: Face) -> None:
    face.execute("CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    called: list[int] = []
    with pytest.raises(UniqueViolation), face.transaction():  # noqa: PT012 - it is the whole block
        face.on_commit(lambda: called.append(1))
        face.execute(INSERT, 1)
        face.execute(INSERT, 1)
    assert not called
    assert face.query_val(COUNT) == 0
    with face.transaction():
        face.execute(INSERT, 1)


# What else may be the first


def test_a_script_is_part_of_its_block_as_its_first_too(table: Face, url: str) -> None:
    script = "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)"
    for is_first in (True, False):
        with pytest.raises(ZeroDivisionError), table.transaction():  # noqa: PT012 - it is the whole block
            if not is_first:
                table.execute(INSERT, 0)
            table.execute(script)
            raise ZeroDivisionError
        assert numbers(url) == []
    with table.transaction(), table.transaction():
        table.execute(script)
        with pytest.raises(DivisionByZero), table.transaction():
            table.execute("INSERT INTO t VALUES (3); SELECT 1/0")
    assert numbers(url) == [1, 2]


def test_batches_and_pipelines_are_part_of_their_blocks(table: Face, url: str) -> None:
    with table.transaction():
        table.execute_many(INSERT, [(1,), (2,)])
        with pytest.raises(DataError), table.transaction():
            table.execute_many(INSERT, [(3,), (2**40,)])
        with pytest.raises(DivisionByZero), table.transaction():
            table.pipeline([(INSERT, (4,)), "SELECT 1/0", (INSERT, (5,))])
        with table.transaction():
            table.pipeline([(INSERT, (6,)), (INSERT, (7,))])
    assert numbers(url) == [1, 2, 6, 7]
    with table.transaction():
        table.pipeline([(INSERT, (8,)), (INSERT, (9,))])
    with pytest.raises(ZeroDivisionError), table.transaction():  # noqa: PT012 - it is the whole block
        table.execute_many(INSERT, ((n,) for n in range(3000)))
        raise ZeroDivisionError
    assert numbers(url) == [1, 2, 6, 7, 8, 9]


def test_a_value_that_does_not_fit_as_the_first_leaves_the_block_usable(table: Face, url: str) -> None:
    with table.transaction():
        with pytest.raises(DataError):
            table.execute(INSERT, 2**40)
        with pytest.raises(DataError), table.transaction():
            table.execute(INSERT, 2**40)
        table.execute(INSERT, 1)
    assert numbers(url) == [1]


def test_a_timeout_of_the_first_statement_fails_the_block(table: Face, url: str) -> None:
    with pytest.raises(InFailedSqlTransaction), table.transaction():  # noqa: PT012 - it is the whole block
        with pytest.raises(QueryTimeout):
            table.query("SELECT pg_sleep(20)", timeout=0.3)
        with pytest.raises(Error):
            table.execute(INSERT, 1)
    assert numbers(url) == []
    assert table.query_val(COUNT) == 0


async def test_a_first_statement_that_is_cancelled_leaves_nothing(url: str) -> None:
    async with Database(url, min_size=1, max_size=1) as db:
        await db.execute("CREATE TABLE t (a int)")
        sleep = "INSERT INTO t SELECT 1 FROM pg_sleep($1::float8)"
        await db.execute(sleep, 0.0)

        async def block() -> None:
            async with db.transaction():
                await db.execute(sleep, 20.0)

        for n in range(6):
            task = asyncio.create_task(block())
            await asyncio.sleep(0.01 * n)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await db.query_val(COUNT) == 1
            assert db.pool_stats()["busy"] == 0


# on_commit


def test_callbacks_run_in_order_once_it_is_committed(table: Face, url: str) -> None:
    seen: list[Any] = []
    with table.transaction():
        table.on_commit(lambda: seen.append(("first", numbers(url))))
        table.execute(INSERT, 1)
        with table.transaction():
            table.on_commit(lambda: seen.append("second"))
        table.on_commit(lambda: seen.append("third"))
        assert not seen
    assert seen == [("first", [1]), "second", "third"]


def test_callbacks_of_what_is_undone_are_dropped(table: Face) -> None:
    seen: list[int] = []
    with pytest.raises(ZeroDivisionError), table.transaction():  # noqa: PT012 - it is the whole block
        table.on_commit(lambda: seen.append(1))
        table.execute(INSERT, 1)
        raise ZeroDivisionError
    with table.transaction():
        table.on_commit(lambda: seen.append(2))
        with pytest.raises(ZeroDivisionError), table.transaction():  # noqa: PT012 - it is the whole block
            table.on_commit(lambda: seen.append(3))
            with table.transaction():
                table.on_commit(lambda: seen.append(4))
            raise ZeroDivisionError
        table.on_commit(lambda: seen.append(5))
        table.execute(INSERT, 1)
    assert seen == [2, 5]


def test_callbacks_of_a_block_without_statements_run_too(face: Face) -> None:
    seen: list[int] = []
    with face.transaction():
        face.on_commit(lambda: seen.append(1))
    assert seen == [1]


def test_outside_of_any_block_a_callback_runs_at_once(face: Face) -> None:
    seen: list[int] = []
    face.on_commit(lambda: seen.append(1))
    assert seen == [1]


def test_the_first_error_of_callbacks_is_raised_after_all_have_run(
    table: Face, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def fail(error: Exception) -> Callable[[], None]:
        def function() -> None:
            seen.append(0)
            raise error

        return function

    with pytest.raises(ZeroDivisionError) as caught, table.transaction():  # noqa: PT012 - it is the whole block
        table.execute(INSERT, 1)
        table.on_commit(fail(ZeroDivisionError()))
        table.on_commit(fail(KeyError()))
        table.on_commit(lambda: seen.append(1))
    assert seen == [0, 0, 1]
    assert numbers(url) == [1]
    assert any("committed" in note for note in caught.value.__notes__)
    assert "KeyError" in caplog.text
    assert table.pool_stats()["busy"] == 0


async def test_callbacks_may_be_coroutine_functions_and_use_the_database(url: str) -> None:
    seen: list[Any] = []
    async with Database(url, min_size=1, max_size=1) as db:
        await db.execute("CREATE TABLE t (a int)")

        async def look() -> None:
            seen.append((db.in_transaction(), await db.query_val(COUNT)))
            db.on_commit(lambda: seen.append("at once"))

        async with db.transaction():
            await db.execute(INSERT, 1)
            db.on_commit(look)
        assert seen == [(False, 1), "at once"]


def test_the_blocking_face_takes_no_coroutine_functions(url: str) -> None:
    async def never() -> None:
        raise AssertionError

    with (
        SyncDatabase(url, min_size=1, max_size=1) as db,
        pytest.raises(InterfaceError, match="plain"),
        db.transaction(),
    ):
        db.on_commit(never)


async def test_a_block_that_has_ended_takes_no_callbacks(url: str) -> None:
    async with Database(url, min_size=1, max_size=1) as db:
        is_over = asyncio.Event()

        async def late() -> None:
            await is_over.wait()
            db.on_commit(lambda: None)

        async with db.transaction():
            task = asyncio.create_task(late())
            await db.query("SELECT 1")
        is_over.set()
        with pytest.raises(TransactionClosed):
            await task


# run


class Both:
    """`run` on both faces: a unit of work from statements that block, on the calling thread."""

    def __init__(self, url: str, kind: str, **options: Any) -> None:
        self.kind = kind
        self.database: Any = (Database if kind == "async" else SyncDatabase)(
            url, min_size=1, max_size=2, **options
        )
        self.runner = asyncio.Runner()
        if kind == "async":
            self.runner.run(self.database.connect())
        else:
            self.database.connect()

    def close(self) -> None:
        if self.kind == "async":
            self.runner.run(self.database.disconnect())
        else:
            self.database.disconnect()
        self.runner.close()

    def run(self, steps: Callable[[], Iterator[str]], *args: Any, **options: Any) -> Any:
        """Run the statements that `steps` yields; it is told what each gave, a number."""

        async def work() -> Any:
            return await self._drive(steps)

        def blocking() -> Any:
            drive = self._drive(steps)
            try:
                drive.send(None)
            except StopIteration as done:
                return done.value
            raise AssertionError

        if self.kind == "async":
            return self.runner.run(self.database.run(work, *args, **options))
        return self.database.run(blocking, *args, **options)

    async def _drive(self, steps: Callable[[], Iterator[str]]) -> int:
        count = 0
        for sql in steps():
            made = self.database.execute(sql)
            await made if self.kind == "async" else made
            count += 1
        return count


@pytest.fixture(params=["async", "sync"])
def both(request: pytest.FixtureRequest, url: str) -> Iterator[Both]:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE t (a int)")
    made = Both(url, request.param, server_settings={"deadlock_timeout": "50ms"})
    yield made
    made.close()


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_a_transaction_is_repeated_where_the_backend_asks_for_it(both: Both, url: str, sqlstate: str) -> None:
    attempts: list[int] = []

    def steps() -> Iterator[str]:
        attempts.append(len(attempts))
        yield f"INSERT INTO t VALUES ({len(attempts)})"
        if len(attempts) < 3:
            yield FAILS_AS.format(sqlstate)

    assert both.run(steps) == 1
    assert attempts == [0, 1, 2]
    assert numbers(url) == [3]


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_it_is_given_up_when_the_retries_are_used_up(both: Both, url: str, retries: int) -> None:
    attempts: list[int] = []

    def steps() -> Iterator[str]:
        attempts.append(1)
        yield "INSERT INTO t VALUES (1)"
        yield FAILS_AS.format("40001")

    with pytest.raises(SerializationFailure):
        both.run(steps, retries)
    assert len(attempts) == retries + 1
    assert numbers(url) == []


@pytest.mark.parametrize("sqlstate", ["40000", "40002", "40003", "23505", "25P02", "57014", "P0001"])
def test_other_errors_repeat_nothing(both: Both, url: str, sqlstate: str) -> None:
    attempts: list[int] = []

    def steps() -> Iterator[str]:
        attempts.append(1)
        yield FAILS_AS.format(sqlstate)

    with pytest.raises(Error) as caught:
        both.run(steps)
    assert getattr(caught.value, "sqlstate", None) == sqlstate
    assert len(attempts) == 1
    assert numbers(url) == []


def test_errors_of_python_repeat_nothing(both: Both, url: str) -> None:
    attempts: list[int] = []

    def steps() -> Iterator[str]:
        attempts.append(1)
        yield "INSERT INTO t VALUES (1)"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        both.run(steps)
    assert len(attempts) == 1
    assert numbers(url) == []


def test_a_failure_that_only_the_commit_finds_is_repeated(both: Both, url: str) -> None:
    """A constraint trigger that fails at COMMIT, once."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "CREATE SEQUENCE tries;"
            "CREATE FUNCTION check_it() RETURNS trigger LANGUAGE plpgsql AS $$begin"
            " if nextval('tries') < 3 then raise exception 'not now' using errcode = '40001'; end if;"
            " return null; end$$;"
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION check_it()"
        )
    assert both.run(lambda: iter(["INSERT INTO t VALUES (1)"])) == 1
    assert numbers(url) == [1]


def test_fewer_than_no_retries_are_refused(both: Both) -> None:
    with pytest.raises(ValueError, match="retries"):
        both.run(lambda: iter(()), -1)


async def test_run_inside_a_block_is_refused(url: str) -> None:
    async def never() -> None:
        raise AssertionError

    async with Database(url, min_size=1, max_size=1) as db, db.transaction():
        with pytest.raises(InterfaceError, match="run"):
            await db.run(never)
    with (
        SyncDatabase(url, min_size=1, max_size=1) as sync,
        sync.transaction(),
        pytest.raises(InterfaceError, match="run"),
    ):
        sync.run(never)


async def in_pairs(db: Database, work: Callable[[int, Any], Any], **modes: Any) -> list[int]:
    """Run two transactions whose first attempts meet; returns how many attempts each took."""
    attempts = [0, 0]
    met = asyncio.Barrier(2)

    async def one(n: int) -> None:
        async def attempt() -> None:
            attempts[n] += 1
            await work(n, met if attempts[n] == 1 else None)

        await db.run(attempt, **modes)

    async with asyncio.timeout(60):
        await asyncio.gather(one(0), one(1))
    return attempts


async def test_two_serializable_transactions_that_met_both_take_effect(url: str) -> None:
    async with Database(url, min_size=2, max_size=2) as db:
        await db.execute("CREATE TABLE t (a int)")
        await db.execute("INSERT INTO t VALUES (1)")

        async def double(_: int, met: asyncio.Barrier | None) -> None:
            total = await db.query_val("SELECT sum(a) FROM t")
            if met is not None:
                await met.wait()
            await db.execute("INSERT INTO t VALUES ($1)", total)

        attempts = await in_pairs(db, double, isolation="serializable")
        assert sorted(attempts) == [1, 2]
        # One after the other: 1, then 1, then 2.
        assert await db.query_val("SELECT sum(a) FROM t") == 4


async def test_two_transactions_that_deadlocked_both_take_effect(url: str) -> None:
    settings = {"deadlock_timeout": "50ms"}
    async with Database(url, min_size=2, max_size=2, server_settings=settings) as db:
        await db.execute("CREATE TABLE t (a int, b int DEFAULT 0)")
        await db.execute("INSERT INTO t VALUES (0), (1)")

        async def cross(n: int, met: asyncio.Barrier | None) -> None:
            await db.execute("UPDATE t SET b = b + 1 WHERE a = $1", n)
            if met is not None:
                await met.wait()
            await db.execute("UPDATE t SET b = b + 1 WHERE a = $1", 1 - n)

        attempts = await in_pairs(db, cross)
        assert sorted(attempts) == [1, 2]
        assert await db.query("SELECT a, b FROM t ORDER BY a") == [{"a": 0, "b": 2}, {"a": 1, "b": 2}]


def test_two_threads_that_deadlocked_both_take_effect(url: str) -> None:
    met = threading.Barrier(2)
    attempts = [0, 0]
    wrong: list[BaseException] = []
    with SyncDatabase(url, min_size=2, max_size=2, server_settings={"deadlock_timeout": "50ms"}) as db:
        db.execute("CREATE TABLE t (a int, b int DEFAULT 0)")
        db.execute("INSERT INTO t VALUES (0), (1)")

        def work(n: int) -> None:
            def attempt() -> None:
                attempts[n] += 1
                db.execute("UPDATE t SET b = b + 1 WHERE a = $1", n)
                if attempts[n] == 1:
                    met.wait(30)
                db.execute("UPDATE t SET b = b + 1 WHERE a = $1", 1 - n)

            try:
                db.run(attempt)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong
        assert sorted(attempts) == [1, 2]
        assert db.query_val("SELECT sum(b) FROM t") == 4


async def test_a_deadlock_without_run_is_an_error_of_one_of_the_two(url: str) -> None:
    async with Database(url, min_size=2, max_size=2, server_settings={"deadlock_timeout": "50ms"}) as db:
        await db.execute("CREATE TABLE t (a int, b int DEFAULT 0)")
        await db.execute("INSERT INTO t VALUES (0), (1)")
        met = asyncio.Barrier(2)

        async def cross(n: int) -> None:
            async with db.transaction():
                await db.execute("UPDATE t SET b = b + 1 WHERE a = $1", n)
                await met.wait()
                await db.execute("UPDATE t SET b = b + 1 WHERE a = $1", 1 - n)

        made = await asyncio.gather(cross(0), cross(1), return_exceptions=True)
        assert [type(each) for each in made].count(DeadlockDetected) == 1
        assert await db.query_val("SELECT sum(b) FROM t") == 2


async def test_callbacks_of_attempts_that_failed_are_dropped(url: str) -> None:
    seen: list[int] = []
    attempts = 0
    async with Database(url, min_size=1, max_size=1) as db:

        async def work() -> None:
            nonlocal attempts
            attempts += 1
            number = attempts
            db.on_commit(lambda: seen.append(number))
            await db.execute("SELECT 1")
            if attempts < 3:
                await db.execute(FAILS_AS.format("40001"))

        await db.run(work)
        assert seen == [3]


async def test_a_callback_that_fails_like_a_serialization_failure_repeats_nothing(url: str) -> None:
    """The transaction stands: to run it again would do it twice."""
    async with Database(url, min_size=1, max_size=1) as db:
        await db.execute("CREATE TABLE t (a int)")

        async def fail() -> None:
            await db.execute(FAILS_AS.format("40001"))

        async def work() -> None:
            await db.execute(INSERT, 1)
            db.on_commit(fail)

        with pytest.raises(SerializationFailure):
            await db.run(work)
        assert await db.query_val(COUNT) == 1


# Decorated, and children


async def test_a_decorated_function_has_the_modes_each_time(url: str) -> None:
    async with Database(url, min_size=1, max_size=4) as db:

        @db.transaction(isolation="serializable", read_only=True)
        async def modes() -> tuple[str, str]:
            return (
                await db.query_val("SHOW transaction_isolation"),
                await db.query_val("SHOW transaction_read_only"),
            )

        assert await asyncio.gather(*(modes() for _ in range(8))) == [("serializable", "on")] * 8
        assert await db.query_val("SHOW transaction_isolation") == "read committed"


async def test_children_of_a_block_begin_it_once_and_keep_their_order(url: str) -> None:
    async with Database(url, min_size=1, max_size=2) as db:
        await db.execute("CREATE TABLE t (n serial, a int)")
        async with db.transaction():
            await asyncio.gather(*(db.execute("INSERT INTO t (a) VALUES ($1)", n) for n in range(50)))
            assert await db.query_val("SELECT count(DISTINCT xmin::text) FROM t") == 1
        assert await db.query_val("SELECT array_agg(a ORDER BY n) FROM t") == list(range(50))
