"""Database, method by method, against real servers."""

import asyncio
import datetime as dt
import pickle
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import psycopg
import pydantic
import pytest
from hyperdjango.conf import settings
from hyperdjango.database import (
    CommandStatus,
    Database,
    DataError,
    DivisionByZero,
    InterfaceError,
    InvalidTextRepresentation,
    NotConnected,
    ProgrammingError,
    QueryTimeout,
    UndefinedTable,
    UniqueViolation,
    get_db,
    set_db,
)

SERIES = "SELECT n FROM generate_series(1, $1::int) n"


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url, 1, 4) as database:
        yield database


@pytest.fixture
async def one(url: str) -> AsyncIterator[Database]:
    """A pool of one connection: every call is the next borrower of the same session."""
    async with Database(url, 1, 1) as database:
        yield database


class Pair(NamedTuple):
    a: int
    b: str


@dataclass
class PairClass:
    a: int
    b: str


class PairStruct(msgspec.Struct):
    a: int
    b: str


class PairModel(pydantic.BaseModel):
    a: int
    b: str


def pair_function(*, a: int, b: str) -> str:
    return f"{a}{b}"


async def test_query_returns_every_row_as_a_dict_in_order(db: Database) -> None:
    assert await db.query(SERIES, 3) == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_query_without_rows_returns_an_empty_list(db: Database) -> None:
    assert await db.query(SERIES, 0) == []
    assert await db.query("CREATE TABLE t (a int)") == []


async def test_of_columns_with_one_name_the_last_one_wins_and_tuples_keep_all(db: Database) -> None:
    assert await db.query("SELECT 1 AS a, 2 AS a, 3 AS b") == [{"a": 2, "b": 3}]
    assert await db.query("SELECT 1 AS a, 2 AS a, 3 AS b", into=tuple) == [(1, 2, 3)]


async def test_a_row_without_columns_is_empty(db: Database) -> None:
    assert await db.query("SELECT FROM generate_series(1, 2)") == [{}, {}]
    assert await db.query("SELECT", into=tuple) == [()]
    assert await db.query_one("SELECT") == {}
    assert await db.query_val("SELECT") is None


@pytest.mark.parametrize(
    ("into", "expected"),
    [
        (dict, {"a": 1, "b": "x"}),
        (tuple, (1, "x")),
        (Pair, Pair(1, "x")),
        (PairClass, PairClass(1, "x")),
        (PairStruct, PairStruct(1, "x")),
        (PairModel, PairModel(a=1, b="x")),
        (pair_function, "1x"),
    ],
)
async def test_rows_become_what_into_names(db: Database, into: Callable[..., Any], expected: object) -> None:
    sql = "SELECT 1 AS a, 'x'::text AS b"
    found = await db.query(sql, into=into)
    assert found == [expected]
    assert type(found[0]) is type(expected)
    assert await db.query_one(sql, into=into) == expected
    assert await db.query_one(sql + " WHERE false", into=into) is None


async def test_what_cannot_be_filled_is_refused_before_anything_is_sent(db: Database) -> None:
    with pytest.raises(TypeError, match="into= takes dict, tuple"):
        await db.query("SELECT 1/0", into=7)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="tuple without _fields"):
        await db.query("SELECT 1/0", into=type("Odd", (tuple,), {}))


async def test_an_error_of_the_target_is_the_callers_and_the_connection_stays(one: Database) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        await one.query("SELECT 1 AS a, 'x' AS other FROM generate_series(1, 1000)", into=PairClass)
    with pytest.raises(pydantic.ValidationError):
        await one.query_one("SELECT 'no' AS a, 'x' AS b", into=PairModel)
    pid = await one.query_val("SELECT pg_backend_pid()")
    assert await one.query_val("SELECT pg_backend_pid()") == pid


async def test_query_one_returns_the_first_row_and_drops_the_others(db: Database) -> None:
    assert await db.query_one("SELECT n FROM generate_series(5, 50000) n") == {"n": 5}
    assert await db.query_one("SELECT 1 AS n WHERE false") is None


async def test_query_val_returns_the_first_column_of_the_first_row(db: Database) -> None:
    assert await db.query_val("SELECT n, 'x' FROM generate_series(5, 9) n") == 5
    assert await db.query_val("SELECT NULL::int, 1") is None
    assert await db.query_val("SELECT 1 WHERE false") is None


async def test_values_never_enter_the_text(db: Database) -> None:
    evil = "'); DROP TABLE t; --"
    await db.execute("CREATE TABLE t (a text)")
    await db.execute("INSERT INTO t VALUES ($1)", evil)
    assert await db.query("SELECT a FROM t WHERE a = $1", evil) == [{"a": evil}]


async def test_a_placeholder_may_be_used_twice_and_out_of_order(db: Database) -> None:
    assert await db.query("SELECT $2::text AS a, $1::int AS b, $2::text AS c", 1, "x") == [
        {"a": "x", "b": 1, "c": "x"}
    ]


@pytest.mark.parametrize(
    ("prepare", "sql", "equals", "rows", "tag"),
    [
        ("", "CREATE TABLE t (a int)", "CREATE TABLE 0", 0, "CREATE TABLE"),
        ("", "CREATE TABLE t AS SELECT generate_series(1, 3)", "SELECT 3", 3, "SELECT 3"),
        ("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (2), (3)", "INSERT 3", 3, "INSERT 0 3"),
        ("CREATE TABLE t AS SELECT 1 a", "UPDATE t SET a = 2", "UPDATE 1", 1, "UPDATE 1"),
        ("CREATE TABLE t AS SELECT 1 a", "DELETE FROM t WHERE a = 7", "DELETE 0", 0, "DELETE 0"),
        (
            "CREATE TABLE t AS SELECT 1 a",
            "MERGE INTO t USING (VALUES (1), (2)) v(b) ON t.a = v.b WHEN MATCHED THEN DELETE",
            "MERGE 1",
            1,
            "MERGE 1",
        ),
        ("CREATE TABLE t (a int)", "TRUNCATE t", "TRUNCATE TABLE 0", 0, "TRUNCATE TABLE"),
        ("CREATE TABLE t (a int)", "DROP TABLE t", "DROP TABLE 0", 0, "DROP TABLE"),
        ("", "SELECT generate_series(1, 4)", "SELECT 4", 4, "SELECT 4"),
        ("", "VALUES (1), (2)", "SELECT 2", 2, "SELECT 2"),
        ("", "SET search_path = pg_catalog", "SET 0", 0, "SET"),
        ("", "SHOW search_path", "SHOW 0", 0, "SHOW"),
        ("", "DO 'begin end'", "DO 0", 0, "DO"),
        ("", "EXPLAIN SELECT 1", "EXPLAIN 0", 0, "EXPLAIN"),
        ("", "VACUUM pg_catalog.pg_am", "VACUUM 0", 0, "VACUUM"),
        ("", "NOTIFY somebody", "NOTIFY 0", 0, "NOTIFY"),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT 1",
            "REFRESH MATERIALIZED VIEW v",
            "REFRESH MATERIALIZED VIEW 0",
            0,
            "REFRESH MATERIALIZED VIEW",
        ),
    ],
)
async def test_execute_says_what_the_command_did(
    db: Database, prepare: str, sql: str, equals: str, rows: int, tag: str
) -> None:
    if prepare:
        await db.execute(prepare)
    status = await db.execute(sql)
    assert status == equals
    assert (status.rows, status.tag) == (rows, tag)
    assert isinstance(status, CommandStatus)


async def test_rows_fetched_from_a_cursor_are_counted(db: Database) -> None:
    async with db.transaction():
        await db.execute("DECLARE c CURSOR FOR SELECT generate_series(1, 10)")
        assert await db.execute("FETCH 3 FROM c") == "FETCH 3"
        assert await db.execute("MOVE 4 IN c") == "MOVE 4"
        assert await db.query("FETCH 9 FROM c", into=tuple) == [(8,), (9,), (10,)]


def test_a_command_status_survives_pickling() -> None:
    status = pickle.loads(pickle.dumps(CommandStatus("INSERT 0 3", 3)))
    assert (status, status.rows, status.tag) == ("INSERT 3", 3, "INSERT 0 3")


async def test_execute_takes_values(db: Database) -> None:
    await db.execute("CREATE TABLE t (a int, b text)")
    assert await db.execute("INSERT INTO t SELECT n, $2 FROM generate_series(1, $1) n", 5, "x") == "INSERT 5"
    assert await db.query_val("SELECT count(*) FROM t WHERE b = 'x'") == 5


async def test_a_script_runs_all_its_statements(db: Database) -> None:
    status = await db.execute(
        """
        CREATE TABLE t (a int); -- with a ; in a comment
        INSERT INTO t VALUES (1), (2);
        UPDATE t SET a = a + 1 WHERE a = 2;
        """
    )
    assert (status.tag, status) == ("UPDATE 1", status)
    assert await db.query_val("SELECT sum(a) FROM t") == 4


async def test_a_script_takes_effect_as_a_whole_or_not_at_all(one: Database) -> None:
    with pytest.raises(DivisionByZero):
        await one.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT 1/0; SELECT 2")
    with pytest.raises(UndefinedTable):
        await one.query("SELECT * FROM t")
    assert await one.query_val("SELECT 1") == 1


async def test_the_status_of_a_script_counts_the_last_statement_alone(db: Database) -> None:
    status = await db.execute(
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); DELETE FROM t WHERE a = 1"
    )
    assert (status, status.rows, status.tag) == ("DELETE 1", 1, "DELETE 1")


async def test_two_statements_where_one_was_expected_are_an_error(one: Database) -> None:
    with pytest.raises(ProgrammingError, match="cannot insert multiple commands"):
        await one.query("SELECT 1; SELECT 2")
    assert await one.query_val("SELECT 1") == 1


@pytest.mark.parametrize("sql", ["", "  \n", "-- nothing", ";", "/* a /* b */ c */", ";;"])
async def test_an_empty_statement_does_nothing(one: Database, sql: str) -> None:
    status = await one.execute(sql)
    assert (status.rows, status.tag) == (0, "")
    if sql != ";;":
        assert await one.query(sql) == []
        assert await one.query_one(sql) is None
        assert await one.query_val(sql) is None
    assert await one.query_val("SELECT 1") == 1


async def _sets(count: int) -> AsyncIterator[tuple[int, str]]:
    for n in range(count):
        await asyncio.sleep(0)
        yield n, str(n)


def _generated(count: int) -> Iterator[list[object]]:
    for n in range(count):
        yield [n, str(n)]


@pytest.mark.parametrize("count", [0, 1, 2, 499, 500, 501, 1000, 1203])
@pytest.mark.parametrize("kind", ["list", "generator", "async generator"])
async def test_execute_many_runs_once_per_set(db: Database, kind: str, count: int) -> None:
    await db.execute("CREATE TABLE t (id serial, a int, b text)")
    rows: Any = {
        "list": [(n, str(n)) for n in range(count)],
        "generator": _generated(count),
        "async generator": _sets(count),
    }[kind]
    status = await db.execute_many("INSERT INTO t (a, b) VALUES ($1, $2)", rows)
    assert status == f"INSERT {count}"
    assert status.rows == count
    assert await db.query("SELECT a, b FROM t ORDER BY id", into=tuple) == [(n, str(n)) for n in range(count)]


async def test_execute_many_adds_up_what_each_set_changed(db: Database) -> None:
    await db.execute("CREATE TABLE t AS SELECT n % 3 AS a FROM generate_series(0, 99) n")
    status = await db.execute_many("DELETE FROM t WHERE a = $1", [(0,), (7,), (1,)])
    assert (status, status.rows) == ("DELETE 67", 67)


@pytest.mark.parametrize("bad", [0, 3, 499, 500, 777])
async def test_execute_many_is_all_or_nothing(one: Database, bad: int) -> None:
    await one.execute("CREATE TABLE t (a int PRIMARY KEY)")
    await one.execute("INSERT INTO t VALUES (-1)")
    with pytest.raises(UniqueViolation) as caught:
        await one.execute_many("INSERT INTO t VALUES ($1)", [(-1 if n == bad else n,) for n in range(900)])
    assert f"in set {bad} of execute_many, counted from 0" in caught.value.__notes__
    assert await one.query("SELECT a FROM t", into=tuple) == [(-1,)]


@pytest.mark.parametrize("bad", [0, 3, 500, 777])
async def test_a_value_that_does_not_fit_names_its_set(one: Database, bad: int) -> None:
    await one.execute("CREATE TABLE t (a int)")
    with pytest.raises(DataError, match=rf"set {bad}, parameter \$1: Python int does not fit int4"):
        await one.execute_many("INSERT INTO t VALUES ($1)", [(2**40 if n == bad else n,) for n in range(900)])
    assert await one.query_val("SELECT count(*) FROM t") == 0


async def test_an_exception_of_the_iterable_leaves_nothing_behind(one: Database) -> None:
    def rows() -> Iterator[tuple[int]]:
        for n in range(1100):
            if n == 1050:
                raise LookupError("the source ran dry")
            yield (n,)

    await one.execute("CREATE TABLE t (a int)")
    with pytest.raises(LookupError, match="ran dry"):
        await one.execute_many("INSERT INTO t VALUES ($1)", rows())
    assert await one.query_val("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("rows", [["ab"], [b"ab"], [{"a": 1}], [7], [None], [{1, 2}]])
async def test_a_set_that_is_no_sequence_of_values_is_refused(one: Database, rows: Any) -> None:
    await one.execute("CREATE TABLE t (a text, b text)")
    with pytest.raises(TypeError, match="each set of values must be a sequence of values"):
        await one.execute_many("INSERT INTO t VALUES ($1, $2)", rows)
    assert await one.query_val("SELECT count(*) FROM t") == 0


async def test_sets_of_unequal_length_are_refused(one: Database) -> None:
    await one.execute("CREATE TABLE t (a int, b int)")
    with pytest.raises(DataError, match="set 1, the statement has 2 parameters, 1 value was given"):
        await one.execute_many("INSERT INTO t VALUES ($1, $2)", [(1, 2), (3,)])
    assert await one.query_val("SELECT count(*) FROM t") == 0


async def test_execute_many_inside_a_transaction_can_be_undone_alone(one: Database) -> None:
    await one.execute("CREATE TABLE t (a int PRIMARY KEY)")
    async with one.transaction():
        await one.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(UniqueViolation):
            await one.execute_many("INSERT INTO t VALUES ($1)", ((n % 700 + 2,) for n in range(800)))
        await one.execute_many("INSERT INTO t VALUES ($1)", [(2,), (3,)])
    assert await one.query("SELECT a FROM t", into=tuple) == [(1,), (2,), (3,)]


async def test_execute_many_of_a_statement_without_parameters(one: Database) -> None:
    await one.execute("CREATE TABLE t (a int DEFAULT 1)")
    assert await one.execute_many("INSERT INTO t DEFAULT VALUES", [(), (), ()]) == "INSERT 3"


# Time limits

Call = Callable[[Database, float], Awaitable[object]]


async def _endless_sets() -> AsyncIterator[tuple[float]]:
    while True:
        yield (0.01,)


CALLS: dict[str, Call] = {
    "query": lambda db, limit: db.query("SELECT pg_sleep(20)", timeout=limit),
    "query_one": lambda db, limit: db.query_one("SELECT pg_sleep(20)", timeout=limit),
    "query_val": lambda db, limit: db.query_val("SELECT pg_sleep($1)", 20, timeout=limit),
    "execute": lambda db, limit: db.execute("SELECT pg_sleep(20)", timeout=limit),
    "script": lambda db, limit: db.execute("SELECT 1; SELECT pg_sleep(20)", timeout=limit),
    "execute_many": lambda db, limit: db.execute_many("SELECT pg_sleep($1)", [(20,), (20,)], timeout=limit),
    "execute_many, many batches": lambda db, limit: db.execute_many(
        "SELECT pg_sleep($1)", _endless_sets(), timeout=limit
    ),
}


@pytest.mark.usefixtures("patient_recovery")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_past_its_time_is_cancelled_and_the_connection_kept(one: Database, call: Call) -> None:
    pid = await one.query_val("SELECT pg_backend_pid()")
    began = time.monotonic()
    with pytest.raises(QueryTimeout, match="the call's timeout has passed"):
        await call(one, 0.2)
    assert 0.19 < time.monotonic() - began < 3
    assert await one.query_val("SELECT pg_backend_pid()") == pid
    assert one.pool_stats()["total"] == 1


async def test_the_server_has_stopped_working_on_a_call_past_its_time(db: Database) -> None:
    with pytest.raises(QueryTimeout):
        await db.execute("SELECT pg_sleep(20) /* mine */", timeout=0.1)
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%/* ' || 'mine%'"
    assert await db.query_val(running) == 0


async def test_a_call_within_its_time_is_left_alone(one: Database) -> None:
    assert await one.query_val("SELECT 1 FROM pg_sleep(0.05)", timeout=30) == 1
    await asyncio.sleep(0)
    assert await one.query_val("SELECT 2") == 2


@pytest.mark.parametrize("limit", [0, 1e-9])
async def test_no_time_at_all_is_over_at_once(one: Database, limit: float) -> None:
    with pytest.raises(TimeoutError):
        await one.query("SELECT pg_sleep(20)", timeout=limit)
    assert await one.query_val("SELECT 1") == 1


async def test_the_time_limit_covers_the_wait_for_a_connection(one: Database) -> None:
    sleeper = asyncio.create_task(one.query("SELECT pg_sleep(0.6)"))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await one.query("SELECT 1", timeout=0.2)
    assert time.monotonic() - began < 0.45
    await sleeper
    assert await one.query_val("SELECT 1") == 1


async def test_the_servers_own_limit_is_another_error(one: Database) -> None:
    async with one.transaction():
        await one.execute("SET LOCAL statement_timeout = 50")
        with pytest.raises(Exception, match="statement timeout") as caught:
            async with one.transaction():
                await one.query("SELECT pg_sleep(20)")
    assert type(caught.value).__name__ == "QueryCanceled"


# Errors


async def test_an_error_carries_the_servers_fields(one: Database) -> None:
    await one.execute("CREATE TABLE t (a int CONSTRAINT only_one UNIQUE)")
    await one.execute("INSERT INTO t VALUES (1)")
    sql = "INSERT INTO t VALUES ($1)"
    with pytest.raises(UniqueViolation) as caught:
        await one.execute(sql, 1)
    error = caught.value
    assert str(error).startswith("duplicate key value violates unique constraint")
    assert (error.sqlstate, error.schema, error.table, error.constraint) == (
        "23505",
        "public",
        "t",
        "only_one",
    )
    assert error.detail == "Key (a)=(1) already exists."
    assert error.query == sql


async def test_the_position_of_a_fault_counts_characters(one: Database) -> None:
    with pytest.raises(UndefinedTable) as caught:
        await one.query("SELECT 'ä€😀' FROM nowhere")
    assert caught.value.position == 19


async def test_text_for_an_integer_gives_the_servers_own_words(one: Database) -> None:
    with pytest.raises(InvalidTextRepresentation, match="invalid input syntax for type integer"):
        await one.query("SELECT $1::int", "not_an_int")


@pytest.mark.parametrize("args", [(), (1, 2)])
async def test_another_number_of_values_than_placeholders_is_refused(one: Database, args: Any) -> None:
    with pytest.raises(DataError, match="the statement has 1 parameter, "):
        await one.query("SELECT $1::int", *args)
    assert await one.query_val("SELECT $1::int", 3) == 3


async def test_an_error_in_the_middle_of_the_rows_drops_them(one: Database) -> None:
    sql = "SELECT 100 / (5000 - n) FROM generate_series(1, 10000) n"
    for _ in range(3):
        with pytest.raises(DivisionByZero):
            await one.query(sql)
    assert await one.query_val("SELECT 1") == 1


@pytest.mark.parametrize("sql", ["SELECT 1\0", "SELECT '\ud800'", 5, None, b"SELECT 1"])
async def test_text_that_cannot_be_sent_is_refused(one: Database, sql: Any) -> None:
    with pytest.raises((DataError, TypeError, UnicodeError)):
        await one.query(sql)
    assert await one.query_val("SELECT 1") == 1


# Connecting


async def test_before_connect_and_after_disconnect_every_call_says_so(url: str) -> None:
    db = Database(url, 1, 1)
    text = "Database not connected. Call await db.connect() first."

    async def check() -> None:
        for call in (db.query, db.query_one, db.query_val, db.execute):
            with pytest.raises(NotConnected) as caught:
                await call("SELECT 1")
            assert str(caught.value) == text
            assert isinstance(caught.value, InterfaceError)
            assert isinstance(caught.value, RuntimeError)
        with pytest.raises(NotConnected, match="Call await db"):
            await db.execute_many("SELECT $1", [(1,)])
        with pytest.raises(NotConnected, match="Call await db"):
            async with db.transaction():
                pass

    await check()
    await db.connect()
    await db.disconnect()
    await check()


async def test_connect_and_disconnect_any_number_of_times(url: str) -> None:
    db = Database(url, 2, 3)
    await db.disconnect()
    assert not db.is_connected
    for _ in range(2):
        assert await db.connect() is db
        await db.connect()
        assert (db.is_connected, db.pool_stats()["total"]) == (True, 2)
        assert await db.query_val("SELECT 1") == 1
        await db.disconnect()
        await db.disconnect()
        assert (db.is_connected, db.pool_stats()["total"]) == (False, 0)


async def test_many_tasks_may_connect_at_once(url: str) -> None:
    db = Database(url, 2, 3)
    await asyncio.gather(*(db.connect() for _ in range(5)))
    assert await asyncio.gather(*(db.query_val("SELECT 1") for _ in range(5))) == [1] * 5
    assert db.pool_stats()["total"] <= 3
    await asyncio.gather(*(db.disconnect() for _ in range(5)))
    assert db.pool_stats()["total"] == 0


async def test_disconnect_lets_running_calls_finish(url: str) -> None:
    db = Database(url, 1, 4)
    await db.connect()
    running = [asyncio.create_task(db.query_val("SELECT 7 FROM pg_sleep(0.3)")) for _ in range(3)]
    await asyncio.sleep(0.1)
    closing = [asyncio.create_task(db.disconnect()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(NotConnected):
        await db.query("SELECT 1")
    await asyncio.gather(*closing)
    assert [task.done() and task.result() for task in running] == [7, 7, 7]
    assert db.pool_stats()["total"] == 0


async def test_disconnect_waits_no_longer_than_it_was_told(url: str) -> None:
    db = Database(url, 1, 1)
    await db.connect()
    running = asyncio.create_task(db.query_val("SELECT 7 FROM pg_sleep(0.5)"))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await db.disconnect(timeout=0.05)
    assert time.monotonic() - began < 0.35
    assert await running == 7
    assert db.pool_stats()["total"] == 0


async def test_a_call_that_waits_for_a_connection_hears_of_the_end(url: str) -> None:
    db = Database(url, 1, 1)
    await db.connect()
    running = asyncio.create_task(db.query_val("SELECT 7 FROM pg_sleep(0.3)"))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(db.query_val("SELECT 1"))
    await asyncio.sleep(0.05)
    await db.disconnect()
    assert await running == 7
    with pytest.raises(InterfaceError, match="closed while the call waited"):
        await waiting


async def test_the_sessions_are_gone_after_disconnect(url: str) -> None:
    async with Database(url, 3, 3, application_name="leaving"):
        pass
    with psycopg.connect(url, autocommit=True) as other:
        for _ in range(100):
            left = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'leaving'"
            ).fetchone()
            if left == (0,):
                return
            await asyncio.sleep(0.02)
    pytest.fail("sessions are left")


async def test_cancelling_connect_leaves_nothing_open(url: str) -> None:
    for moment in (0.0, 0.001, 0.003, 0.01, 0.02, 0.05):
        db = Database(url, 4, 4)
        task = asyncio.create_task(db.connect())
        await asyncio.sleep(moment)
        if not task.done():
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not db.is_connected
            for _ in range(100):
                if db.pool_stats()["total"] == 0:
                    break
                await asyncio.sleep(0.01)
            assert db.pool_stats()["total"] == 0
        await db.disconnect()


def test_no_repr_and_no_url_shows_the_password() -> None:
    db = Database("postgresql://me:s3cret@somewhere:77/things?sslmode=disable")
    assert db.url == "postgresql://me:***@somewhere:77/things?sslmode=disable"
    assert repr(db) == "<Database postgresql://me:***@somewhere:77/things?sslmode=disable not connected>"


def test_what_a_new_database_says_of_itself() -> None:
    db = Database("postgresql:///things")
    assert (db.min_size, db.max_size, db.is_connected, db.backend) == (2, 32, False, "pgzig")
    assert Database("postgresql:///things", 0, 1).min_size == 0
    assert Database("postgresql:///things", max_size=5).max_size == 5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_size": 0}, "max_size must be at least 1, not 0"),
        ({"min_size": -1}, "min_size must be from 0 to max_size"),
        ({"min_size": 5, "max_size": 4}, "min_size must be from 0 to max_size \\(4\\), not 5"),
        ({"acquire_timeout": 0}, "acquire_timeout must be more than 0"),
        ({"acquire_timeout": -1}, "acquire_timeout must be more than 0"),
        ({"statement_cache_size": -1}, "statement_cache_size must not be negative"),
        ({"max_message_size": 10}, "max_message_size must be from 1024"),
        ({"max_message_size": 2**31}, "max_message_size must be from 1024"),
        ({"no_such_key": 1}, "no_such_key"),
    ],
)
def test_sizes_that_make_no_sense_are_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Database("postgresql:///things", **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_size": "5"}, "max_size must be an int, not str"),
        ({"max_size": 2.5}, "max_size must be an int, not float"),
        ({"min_size": None}, "min_size must be an int, not NoneType"),
        ({"min_size": True}, "min_size must be an int, not bool"),
        ({"statement_cache_size": "x"}, "statement_cache_size must be an int, not str"),
        ({"max_message_size": 1e6}, "max_message_size must be an int, not float"),
        ({"acquire_timeout": "5"}, "acquire_timeout must be a number of seconds, not str"),
        ({"idle_timeout": dt.timedelta(1)}, "idle_timeout must be a number of seconds, not timedelta"),
        ({"server_settings": "x"}, "server_settings must be a mapping, not str"),
    ],
)
def test_what_is_of_the_wrong_type_is_refused_at_once_by_name(options: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Database("postgresql:///things", **options)


async def test_session_parameters_are_set_at_start_up(url: str) -> None:
    options: Any = {"application_name": "me", "server_settings": {"work_mem": "123kB"}}
    async with Database(url, 1, 1, **options) as db:
        assert await db.query_val("SHOW application_name") == "me"
        assert await db.query_val("SHOW work_mem") == "123kB"
        # A reset brings back what the session was opened with, not the server's defaults.
        await db.execute("SET work_mem = '1MB'")
        assert await db.query_val("SHOW work_mem") == "123kB"


async def test_json_goes_through_the_functions_given(url: str) -> None:
    options: Any = {"json_loads": lambda text: ("loaded", str(text)), "json_dumps": lambda value: '"dumped"'}
    async with Database(url, 1, 1, **options) as db:
        assert await db.query_val("SELECT $1::json", {"a": object()}) == ("loaded", '"dumped"')


# The one Database of the process


@pytest.fixture
async def global_db(url: str) -> AsyncIterator[Database]:
    set_db(None)
    with settings.override(DATABASE_URL=url):
        db = get_db()
        yield db
        await db.disconnect()
    set_db(None)


async def test_the_global_database_opens_on_its_first_query(global_db: Database) -> None:
    was_connected = global_db.is_connected
    assert await asyncio.gather(*(get_db().query_val("SELECT 3") for _ in range(5))) == [3] * 5
    assert (was_connected, global_db.is_connected) == (False, True)
    assert get_db() is global_db


async def test_the_global_database_opens_on_a_transaction_or_a_batch_too(global_db: Database) -> None:
    async with global_db.transaction():
        assert await global_db.query_val("SELECT 3") == 3
    await global_db.disconnect()
    assert await global_db.execute_many("SELECT $1::int", [(1,), (2,)]) == "SELECT 2"


async def test_the_blocking_face_of_the_global_database_opens_it_too(global_db: Database) -> None:
    assert await asyncio.to_thread(global_db.sync.query_val, "SELECT 4") == 4
    assert global_db.is_connected


async def test_set_db_replaces_the_global_database(global_db: Database, url: str) -> None:
    async with Database(url, 1, 1) as mine:
        set_db(mine)
        assert get_db() is mine
        assert await get_db().query_val("SELECT 5") == 5
    assert not global_db.is_connected
    set_db(global_db)


async def test_a_misfit_in_a_batch_of_a_text_nobody_knows_names_its_set_once(url: str) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE first_use (n int4)")
        with pytest.raises(
            DataError, match=r"set 1, the statement has 1 parameter, 2 values were given"
        ) as caught:
            await db.execute_many("INSERT INTO first_use VALUES ($1)", [(1,), (2, 3)])
        assert not getattr(caught.value, "__notes__", [])
