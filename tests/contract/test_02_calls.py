"""Section 2 of the contract: the table of calls, and the extras by keyword. Types: test_02_types.py."""

import asyncio
import dataclasses
import inspect
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]
import pydantic
import pytest
from contract.wire import Wire
from hyperdjango.database import (
    CommandStatus,
    Database,
    DivisionByZero,
    ExplainResult,
    QueryTimeout,
    SyncDatabase,
    UniqueViolation,
)

TWO_ROWS = "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t (n, s) ORDER BY n"


class PairTuple(NamedTuple):
    n: int
    s: str


@dataclasses.dataclass
class PairDataclass:
    n: int
    s: str


class PairStruct(msgspec.Struct):
    n: int
    s: str


class PairModel(pydantic.BaseModel):
    n: int
    s: str


# -- placeholders --


@pytest.mark.line("2.placeholders")
async def test_placeholders_are_numbered(db: Database) -> None:
    """Placeholders are $1, $2 …"""
    assert await db.query_one("SELECT $2::text AS b, $1::int AS a, $2::text AS c", 1, "x") == {
        "b": "x",
        "a": 1,
        "c": "x",
    }


@pytest.mark.line("2.values_apart")
async def test_a_value_is_never_part_of_the_text(db: Database) -> None:
    """Values never enter the SQL text on any path."""
    hostile = "'; DROP TABLE t; --"
    await db.execute("CREATE TABLE t (s text)")
    await db.execute("INSERT INTO t VALUES ($1)", hostile)
    await db.execute_many("INSERT INTO t VALUES ($1)", [(hostile,)])
    await db.pipeline([("INSERT INTO t VALUES ($1)", (hostile,))])
    await db.copy_records("t", [(hostile,)])
    assert (
        await db.query_val("SELECT current_query() || $1", hostile)
        == f"SELECT current_query() || $1{hostile}"
    )
    assert await db.query("SELECT DISTINCT s, count(*) OVER () AS n FROM t") == [{"s": hostile, "n": 4}]


# -- the table --


@pytest.mark.line("2.query")
async def test_query_gives_dicts(db: Database) -> None:
    """await db.query(sql, *args): list[dict], [] when empty."""
    assert await db.query(TWO_ROWS) == [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]
    assert await db.query("SELECT $1::int AS n WHERE false", 1) == []


@pytest.mark.line("2.query_one")
async def test_query_one_gives_the_first_row(db: Database) -> None:
    """await db.query_one(sql, *args): the first row as a dict, or None."""
    assert await db.query_one(TWO_ROWS) == {"n": 1, "s": "a"}
    assert await db.query_one("SELECT $1::int AS n WHERE false", 1) is None


@pytest.mark.line("2.query_val")
async def test_query_val_gives_the_first_value(db: Database) -> None:
    """await db.query_val(sql, *args): first column of the first row, or None."""
    assert await db.query_val(TWO_ROWS) == 1
    assert await db.query_val("SELECT $1::int WHERE false", 1) is None


@pytest.mark.line("2.execute")
async def test_execute_gives_the_status(db: Database) -> None:
    """await db.execute(sql, *args): a str equal to "COMMAND n", n = rows affected, 0 where the tag has none."""
    assert await db.execute("CREATE TABLE t (n int)") == "CREATE TABLE 0"
    status = await db.execute("INSERT INTO t SELECT generate_series(1, $1)", 3)
    assert isinstance(status, CommandStatus)
    assert isinstance(status, str)
    assert status == "INSERT 3"
    assert await db.execute("UPDATE t SET n = n WHERE n > $1", 1) == "UPDATE 2"
    assert await db.execute("DELETE FROM t") == "DELETE 3"


@pytest.mark.line("2.execute.rows_tag")
async def test_a_status_carries_number_and_tag(db: Database) -> None:
    """.rows, .tag carry the number and the server's own tag."""
    made = await db.execute("CREATE TABLE t (n int)")
    assert (made.rows, made.tag) == (0, "CREATE TABLE")
    filled = await db.execute("INSERT INTO t VALUES (1), (2)")
    assert (filled.rows, filled.tag) == (2, "INSERT 0 2")


@pytest.mark.line("2.execute_many")
async def test_execute_many_runs_the_sets_in_order(db: Database) -> None:
    """await db.execute_many(sql, rows): CommandStatus with the total; the sets run in order."""
    await db.execute("CREATE TABLE t (at serial, n int)")
    status = await db.execute_many("INSERT INTO t (n) VALUES ($1)", [(n,) for n in (3, 1, 2)])
    assert isinstance(status, CommandStatus)
    assert (status, status.rows) == ("INSERT 3", 3)
    assert await db.query("SELECT n FROM t ORDER BY at", into=tuple) == [(3,), (1,), (2,)]


@pytest.mark.line("2.execute_many")
async def test_execute_many_is_all_or_nothing(db: Database) -> None:
    """All or nothing."""
    await db.execute("CREATE TABLE t (n int PRIMARY KEY)")
    with pytest.raises(UniqueViolation):
        await db.execute_many("INSERT INTO t VALUES ($1)", [(n % 700,) for n in range(701)])
    assert await db.query_val("SELECT count(*) FROM t") == 0


@pytest.mark.line("2.execute_many.iterables")
@pytest.mark.parametrize("kind", ["list", "generator", "async generator"])
async def test_execute_many_takes_any_iterable(db: Database, kind: str) -> None:
    """rows may be any (async) iterable."""

    def plain() -> Iterator[tuple[int]]:
        yield from ((n,) for n in range(5))

    async def waiting() -> AsyncIterator[tuple[int]]:
        for n in range(5):
            await asyncio.sleep(0)
            yield (n,)

    rows: Any = {"list": lambda: [(n,) for n in range(5)], "generator": plain, "async generator": waiting}[
        kind
    ]()
    await db.execute("CREATE TABLE t (n int)")
    assert await db.execute_many("INSERT INTO t VALUES ($1)", rows) == "INSERT 5"
    assert await db.query_val("SELECT sum(n) FROM t") == 10


@pytest.mark.line("2.pipeline")
async def test_a_pipeline_gives_tuples_for_each_item(db: Database) -> None:
    """await db.pipeline(queries): list[list[tuple]]; each item is SQL, or (sql, args)."""
    found = await db.pipeline(["SELECT 1, 'a'", ("SELECT $1::int + n FROM generate_series(1, 2) n", (10,))])
    assert found == [[(1, "a")], [(11,), (12,)]]


@pytest.mark.line("2.pipeline.one_write")
async def test_a_pipeline_is_one_write(wire: Wire) -> None:
    """One write, one read."""
    queries = [("SELECT $1::int", (n,)) for n in range(10)]
    async with Database(wire.url, 1, 1) as db:
        await db.pipeline(queries)
        wire.sent.clear()
        assert await db.pipeline(queries) == [[(n,)] for n in range(10)]
        assert len(wire.sent) == 1


@pytest.mark.line("2.pipeline.errors")
async def test_each_item_of_a_pipeline_commits_by_itself(db: Database) -> None:
    """Each item commits by itself; the first error is raised after all replies are in."""
    await db.execute("CREATE TABLE t (n int PRIMARY KEY)")
    insert = "INSERT INTO t VALUES ($1)"
    with pytest.raises(UniqueViolation):
        await db.pipeline([(insert, (1,)), (insert, (1,)), "SELECT 1/0", (insert, (2,))])
    assert await db.query("SELECT n FROM t ORDER BY n", into=tuple) == [(1,), (2,)]


@pytest.mark.line("2.pipeline.errors")
async def test_errors_of_a_pipeline_come_in_place_on_request(db: Database) -> None:
    """Or returned in place with return_exceptions=True."""
    first, second, third = await db.pipeline(["SELECT 1", "SELECT 1/0", "SELECT 3"], return_exceptions=True)
    assert (first, third) == ([(1,)], [(3,)])
    assert isinstance(second, DivisionByZero)


@pytest.mark.line("2.explain")
async def test_explain_gives_the_plan(db: Database) -> None:
    """await db.explain(sql, *args, analyze=False, buffers=False): ExplainResult."""
    assert isinstance(await db.explain("SELECT $1::int", 1), ExplainResult)
    result = await db.explain("SELECT $1::int", 1, analyze=True, buffers=True)
    assert result.analyzed


# -- timeout --

SLOW = "SELECT pg_sleep(20)"


async def collect(rows: AsyncIterator[Any]) -> list[Any]:
    return [row async for row in rows]


TIMED: dict[str, Callable[[Database], Any]] = {
    "query": lambda db: db.query(SLOW, timeout=0.1),
    "query_one": lambda db: db.query_one(SLOW, timeout=0.1),
    "query_val": lambda db: db.query_val(SLOW, timeout=0.1),
    "execute": lambda db: db.execute(SLOW, timeout=0.1),
    "execute_many": lambda db: db.execute_many("SELECT pg_sleep($1)", [(20,)], timeout=0.1),
    "pipeline": lambda db: db.pipeline([SLOW], timeout=0.1),
    "explain": lambda db: db.explain(SLOW, analyze=True, timeout=0.1),
    "copy_records": lambda db: db.copy_records("locked", [(1,)], timeout=0.1),
    "COPY": lambda db: db.execute("COPY locked FROM STDIN", "1\n", timeout=0.1),
    "copy_out": lambda db: db.copy_out("COPY (SELECT pg_sleep(20)) TO STDOUT", timeout=0.1).write_to(
        io.BytesIO()
    ),
    "stream": lambda db: collect(db.stream(SLOW, timeout=0.1)),
    "query_json": lambda db: db.query_json(SLOW, timeout=0.1),
    "query_arrow": lambda db: db.query_arrow(f"SELECT 1 FROM ({SLOW}) AS t", timeout=0.1),
}


@pytest.mark.line("2.timeout")
@pytest.mark.parametrize("call", TIMED)
async def test_every_call_has_a_timeout(url: str, db: Database, call: str) -> None:
    """timeout= seconds on every call."""
    await db.execute("CREATE TABLE locked (n int)")
    async with Database(url, 1, 1) as other, other.transaction():
        await other.execute("LOCK TABLE locked")
        with pytest.raises(QueryTimeout) as failed:
            await TIMED[call](db)
    assert isinstance(failed.value, TimeoutError)
    assert await db.query_val("SELECT 1") == 1


# -- into --


async def check_into(db: Database, into: Callable[..., Any], expected: list[Any]) -> None:
    found = await db.query(TWO_ROWS, into=into)
    assert found == expected
    assert [type(row) for row in found] == [type(row) for row in expected]


@pytest.mark.line("2.into.dict")
async def test_into_dict(db: Database) -> None:
    """into= dict."""
    await check_into(db, dict, [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}])


@pytest.mark.line("2.into.tuple")
async def test_into_tuple(db: Database) -> None:
    """into= tuple."""
    await check_into(db, tuple, [(1, "a"), (2, "b")])


@pytest.mark.line("2.into.namedtuple")
async def test_into_a_namedtuple(db: Database) -> None:
    """into= a NamedTuple."""
    await check_into(db, PairTuple, [PairTuple(1, "a"), PairTuple(2, "b")])


@pytest.mark.line("2.into.dataclass")
async def test_into_a_dataclass(db: Database) -> None:
    """into= a dataclass."""
    await check_into(db, PairDataclass, [PairDataclass(1, "a"), PairDataclass(2, "b")])


@pytest.mark.line("2.into.msgspec")
async def test_into_a_struct(db: Database) -> None:
    """into= a msgspec Struct."""
    await check_into(db, PairStruct, [PairStruct(1, "a"), PairStruct(2, "b")])


@pytest.mark.line("2.into.pydantic")
async def test_into_a_pydantic_model(db: Database) -> None:
    """into= a pydantic model."""
    await check_into(db, PairModel, [PairModel(n=1, s="a"), PairModel(n=2, s="b")])


@pytest.mark.line("2.into.callable")
async def test_into_any_callable_of_keywords(db: Database) -> None:
    """into= any callable of keywords."""

    def joined(*, n: int, s: str) -> str:
        return f"{n}{s}"

    await check_into(db, joined, ["1a", "2b"])


@pytest.mark.line("2.into.query_one")
async def test_into_works_for_one_row(db: Database) -> None:
    """into= on query and query_one."""
    assert await db.query_one(TWO_ROWS, into=tuple) == (1, "a")
    assert await db.query_one(TWO_ROWS, into=PairDataclass) == PairDataclass(1, "a")
    assert await db.query_one("SELECT 1 AS n, 'a' AS s WHERE false", into=PairTuple) is None


# -- the other calls --


@pytest.mark.line("2.stream")
async def test_stream_fetches_a_chunk_at_a_time(wire: Wire) -> None:
    """db.stream(sql, *args, chunk=) yields rows through a portal with flat memory."""
    async with Database(wire.url, 1, 1) as db:
        streamed = db.stream("SELECT n FROM generate_series(1, $1) AS n", 250, chunk=100)
        numbers = [row["n"] async for row in streamed]
    assert numbers == list(range(1, 251))
    assert wire.bytes_sent.count(b"E\0\0\0") >= 3  # Execute, with a limit, once for each chunk
    assert b"\0\0\0\0\x64" in wire.bytes_sent


@pytest.mark.line("2.query_json")
async def test_query_json_is_a_json_array(db: Database) -> None:
    """db.query_json(sql, *args) -> bytes writes a JSON array straight from the wire."""
    document = await db.query_json("SELECT $1::int AS n, NULL AS nothing, '{1,2}'::int[] AS list", 7)
    assert isinstance(document, bytes)
    assert json.loads(document) == [{"n": 7, "nothing": None, "list": [1, 2]}]
    assert await db.query_json("SELECT 1 WHERE false") == b"[]"


@pytest.mark.line("2.query_arrow")
async def test_query_arrow_has_the_c_stream(db: Database) -> None:
    """db.query_arrow(sql, *args) gives an object with __arrow_c_stream__."""
    result = await db.query_arrow("SELECT n, n::text AS s FROM generate_series(1, $1) AS n", 3)
    assert hasattr(result, "__arrow_c_stream__")
    assert pa.table(result).to_pydict() == {"n": [1, 2, 3], "s": ["1", "2", "3"]}


@pytest.mark.line("2.duplicates")
async def test_of_equal_column_names_the_last_wins(db: Database) -> None:
    """Duplicate column names: the last one wins in dicts, into=tuple keeps all."""
    sql = "SELECT 1 AS n, 2 AS m, 3 AS n"
    assert await db.query(sql) == [{"n": 3, "m": 2}]
    assert await db.query(sql, into=tuple) == [(1, 2, 3)]


# -- the other face --


@pytest.mark.line("2.sync")
def test_the_blocking_face_has_the_same_calls() -> None:
    """SyncDatabase gives the same calls."""

    def calls(face: type) -> dict[str, list[tuple[str, Any]]]:
        names = [name for name in dir(face) if not name.startswith("_") and callable(getattr(face, name))]
        return {
            name: [
                (each.name, each.default)
                for each in inspect.signature(getattr(face, name)).parameters.values()
            ]
            for name in names
        }

    without = {"opening_on_use", "over"}  # how get_db() and Database.sync make theirs
    ours = {name: found for name, found in calls(Database).items() if name not in without}
    theirs = {name: found for name, found in calls(SyncDatabase).items() if name not in without}
    assert theirs == ours


@pytest.mark.line("2.sync")
def test_the_blocking_calls_give_the_same(sync_db: SyncDatabase) -> None:
    """The same calls, blocking."""
    assert sync_db.query(TWO_ROWS) == [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]
    assert sync_db.query_one(TWO_ROWS) == {"n": 1, "s": "a"}
    assert sync_db.query_val(TWO_ROWS) == 1
    assert sync_db.execute("CREATE TABLE t (n int)") == "CREATE TABLE 0"
    assert sync_db.execute_many("INSERT INTO t VALUES ($1)", [(1,), (2,)]) == "INSERT 2"
    assert sync_db.pipeline(["SELECT 1", ("SELECT $1::int", (2,))]) == [[(1,)], [(2,)]]
    assert list(sync_db.stream("SELECT n FROM t ORDER BY n", chunk=1)) == [{"n": 1}, {"n": 2}]
    assert json.loads(sync_db.query_json("SELECT 1 AS n")) == [{"n": 1}]
    assert pa.table(sync_db.query_arrow("SELECT 1 AS n")).to_pydict() == {"n": [1]}
    assert sync_db.explain("SELECT 1").plan.node_type == "Result"
    with sync_db.transaction():
        assert sync_db.query_val("SELECT 1") == 1


@pytest.mark.line("2.sync.gil")
def test_a_blocking_call_leaves_the_interpreter_to_others(sync_db: SyncDatabase) -> None:
    """With the GIL released: this thread counts while another one waits for the server."""
    done = threading.Event()

    def wait() -> None:
        sync_db.query("SELECT pg_sleep(0.5)")
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    turns = 0
    while not done.is_set():
        time.sleep(0.005)
        turns += 1
    thread.join()
    assert turns >= 3


@pytest.mark.line("2.sync.one_pool")
async def test_both_faces_share_one_pool(url: str) -> None:
    """Both faces share one pool implementation and one protocol core."""
    async with Database(url, 1, 1) as db:
        pid = await db.query_val("SELECT pg_backend_pid()")
        assert await asyncio.to_thread(db.sync.query_val, "SELECT pg_backend_pid()") == pid
        assert db.sync.pool_stats() == db.pool_stats()
