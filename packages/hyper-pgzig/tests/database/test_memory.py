"""Reference counts and memory stay flat over many repeats of every public call, error paths included.

Four measures, because each is blind to something: reference counts of objects that calls share, Python's
blocks, what malloc has given out (the native side takes its memory from there), and what is resident.
"""

import array
import asyncio
import ctypes
import datetime as dt
import gc
import inspect
import io
import resource
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing, suppress
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pyarrow  # type: ignore[import-untyped]
import pytest
from hyperdjango.database import (
    CommandStatus,
    Composite,
    Database,
    DatabaseError,
    DataError,
    Error,
    InterfaceError,
    Interval,
    Multirange,
    Notice,
    Point,
    QueryTimeout,
    Range,
    SyncDatabase,
    _shape,
)
from hyperdjango.database._native import native
from hyperdjango.database.testing import assert_num_queries
from pgkit.until import until_async
from postgres_servers import Server
from typekit import fresh_database

pytestmark = pytest.mark.usefixtures("quick_collections")

REPEATS: Final = 60
RESIDENT_GROWTH_MAX: Final = 6 * 2**20  # what allocators keep for themselves


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(
        server,
        "CREATE EXTENSION hstore",
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE TYPE pair AS (id int4, label text)",
        "CREATE TABLE t (id int4 PRIMARY KEY, label text)",
    ) as database:
        yield database


@pytest.fixture
def url(server: Server, db: SyncDatabase) -> str:
    return server.url_for(str(db.query_val("SELECT current_database()")))


class Row(NamedTuple):
    id: int
    label: str


class Refuses:
    def __init__(self, **_: object) -> None:
        raise ZeroDivisionError


class BrokenIndex:
    def __index__(self) -> int:
        raise ZeroDivisionError


ROWS: Final = "SELECT n AS id, 'label ' || n AS label FROM generate_series(1, 40) AS n"
EVERY_TYPE: Final = (
    "SELECT true AS a, 1::int2 AS b, 2::int4 AS c, 3::int8 AS d, 1.5::float4 AS e, "
    "2.5::float8 AS f, 1.50::numeric AS g, 'x'::text AS h, '\\x00'::bytea AS i, now() AS j, "
    "date '2024-01-01' AS k, time '01:00' AS l, timetz '01:00+01' AS m, interval '1 day' AS n, "
    "'00000000-0000-0000-0000-000000000005'::uuid AS o, '[1, {\"a\": null}]'::jsonb AS p, "
    "'{}'::json AS q, ARRAY[[1, NULL], [2, 3]] AS r, ARRAY['a', NULL] AS s, int4range(1, 5) AS t, "
    "'{[1,2),[5,6)}'::int4multirange AS u, inet '1.2.3.4/8' AS v, point '(1,2)' AS w, "
    "path '[(1,2),(3,4)]' AS x, 'a=>1, b=>NULL'::hstore AS y, ROW(1, 'x')::pair AS z, ARRAY[ROW(1, "
    "'x')::pair, NULL] AS aa, 'fine'::mood AS ab, ROW(1, 'x', ROW(2)) AS ac, B'101' AS ad, "
    "'1'::money AS ae, 'pg_class'::regclass AS af, NULL::text AS ag, ARRAY['1'::money] AS ah, "
    "'a & b'::tsquery AS ai, 'a:1'::tsvector AS aj, '0/1'::pg_lsn AS ak, "
    "timestamp 'infinity' AS al, 'NaN'::numeric AS am, circle '<(1,2),3>' AS an"
)
PARAMETERS: Final[list[tuple[str, Any]]] = [
    ("int4", 2**30),
    ("int4", "77"),
    ("numeric", Decimal("1.50")),
    ("numeric", 10**30),
    ("text", "žlutý"),
    ("bytea", memoryview(b"abc")),
    ("timestamptz", dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
    ("interval", Interval(1, 2, 3)),
    ("uuid", uuid.UUID(int=7)),
    ("jsonb", {"a": [1, None]}),
    ("int4[]", [[1, None], [2, 3]]),
    ("int4[]", ["1", 2]),
    ("text[]", (str(n) for n in range(3))),
    ("int4range", Range(1, 5)),
    ("daterange", Range("2024-01-01", None)),
    ("int4multirange", Multirange([Range(1, 2)])),
    ("hstore", {"a": "1", "b": None}),
    ("pair", (1, "x")),
    ("pair", {"label": "x", "id": "1"}),
    ("pair[]", [(1, "x"), None]),
    ("point", (1, 2)),
    ("mood", "fine"),
]
REFUSED: Final[list[tuple[str, Any]]] = [
    ("int4", 2**31),
    ("int4", "\0"),
    ("int4", "x"),
    ("int4", BrokenIndex()),
    ("text", 5),
    ("jsonb", {"a": object()}),
    ("timestamptz", dt.datetime(2024, 1, 1)),
    ("int4[]", [[1], [2, 3]]),
    ("int4[]", ["1", [2]]),
    ("int4range", Range(1, 2**31)),
    ("hstore", {"a": 1}),
    ("pair", (1,)),
    ("pair", {"id": 1, "x": 2}),
    ("mood", 5),
    ("mood", "grim"),
    ("numeric", Decimal("sNaN")),
]
WRONG: Final = [
    "SELECT 1/0",
    "SELECT nope",
    "SELEC",
    "SELECT 1/(5 - n) FROM generate_series(1, 100) AS n",
    "SELECT date '0044-03-15 BC'",
    "SELECT ARRAY[1, 2], time '24:00'",
    "SELECT ROW(1, 'x'::aclitem)",
    "SELECT ROW(now(), '1'::money)",
]


def everything(db: SyncDatabase) -> None:
    """Each public call once, right and wrong."""
    db.query(EVERY_TYPE)
    db.query(ROWS)
    db.query_one(ROWS)
    db.query_val(ROWS)
    for target in (dict, tuple, Row, lambda **row: row):
        db.query(ROWS, into=target)
        db.query_one(EVERY_TYPE if target is tuple else ROWS, into=target)
    for sql in (
        EVERY_TYPE,
        ROWS,
        "SELECT 1 WHERE false",
        "SELECT ROW('=r/postgres'::aclitem)",
        "SELECT 1 / 0",
    ):
        with suppress(DatabaseError):
            db.query_json(sql)
    for type_name, value in PARAMETERS:
        db.query_val(f"SELECT $1::{type_name}", list(value) if isinstance(value, Iterator) else value)
    for type_name, value in REFUSED:
        with suppress(DatabaseError, ZeroDivisionError):
            db.query_val(f"SELECT $1::{type_name}", value)
    for sql in WRONG:
        with suppress(DatabaseError):
            db.query(sql)
    for target, error in ((Refuses, ZeroDivisionError), (Row, DatabaseError)):
        with suppress(error):
            db.query("SELECT 1 AS id, 2 AS id" if target is Row else ROWS, into=target)
    with suppress(TypeError):
        db.query("SELECT 1", into=5)  # type: ignore[call-overload]
    with suppress(DatabaseError):
        db.query("SELECT $1::int4, $2::int4", 1)
    db.execute("INSERT INTO t VALUES ($1, $2)", 1, "x")
    with suppress(DatabaseError):
        db.execute("INSERT INTO t VALUES ($1, $2)", 1, "x")
    db.execute_many("INSERT INTO t VALUES ($1, $2)", [(n, "y") for n in range(2, 12)])
    with suppress(DatabaseError):
        db.execute_many("INSERT INTO t VALUES ($1, $2)", [(20, "y"), (20, "y")])
    with suppress(DataError):
        db.execute_many("INSERT INTO t VALUES ($1, $2)", [(21, "y"), ("x\0", "y")])
    many(db)
    db.execute("DELETE FROM t; SELECT 1")
    with suppress(ZeroDivisionError), db.transaction(), db.transaction():
        db.execute("INSERT INTO t VALUES ($1, $2)", 1, "x")
        raise ZeroDivisionError
    for analyze in (False, True):
        db.explain(ROWS, analyze=analyze, buffers=True)
        for sql in WRONG:
            with suppress(DatabaseError):
                db.explain(sql, analyze=analyze)
    pipelines_and_blocks(db)
    arrow(db)
    copies_and_streams(db)
    notes_and_notices(db)
    watched_calls(db)
    models(db)
    db.pool_stats()
    repr(db)


LABELS: Final = pyarrow.table(
    {"id": pyarrow.array([1, 2, 3]), "label": pyarrow.array(["a", None, "b"]).dictionary_encode()}
)


def arrow(db: SyncDatabase) -> None:
    """Columns: read twice, read not at all, taken out and dropped, refused half way."""
    result = db.query_arrow(
        EVERY_TYPE.replace("ARRAY[[1, NULL], [2, 3]]", "ARRAY[1]").replace("infinity", "epoch")
    )
    for _ in range(2):
        pyarrow.table(result)
    result.__arrow_c_stream__()
    result.__arrow_c_schema__()
    repr((result, result.column_names, result.num_rows))
    loads: list[tuple[Any, dict[str, Any]]] = [
        (db.query_arrow(ROWS), {}),
        (LABELS, {}),
        (LABELS.slice(1, 2), {"columns": {"label": "label"}}),
        (LABELS, {"columns": ["no"]}),
        (pyarrow.table({"id": ["x"]}), {}),
        (pyarrow.table({"id": [2**40]}), {}),
        (pyarrow.table({"id": [1.5]}), {}),
        (pyarrow.table({"id": [True]}), {}),
        (pyarrow.table({"no": [1]}), {}),
        (5, {}),
    ]
    for data, options in loads:
        with suppress(DatabaseError, TypeError), db.transaction():
            db.ingest_arrow("t", data, **options)
            raise TypeError
    for sql in (*WRONG, EVERY_TYPE):
        with suppress(DatabaseError):
            db.query_arrow(sql)


def many(db: SyncDatabase) -> None:
    """More sets than go out in one piece, right and wrong, with rows and without."""
    sets = [(n,) for n in range(700)]
    db.execute_many("SELECT $1::int4", sets)
    db.execute_many("SELECT $1::int4 AS id, 'x' AS label", sets, returning=True, into=Row)
    for wrong in (2**40, "x", object(), 0):
        with suppress(DatabaseError):
            db.execute_many("SELECT 1 / $1::int4", [*sets[1:], (wrong,)])
    with db.transaction(), suppress(TypeError):
        db.execute_many("SELECT $1::int4", [*sets, 5])  # type: ignore[list-item]


PIPELINE: Final[list[Any]] = [
    ROWS,
    ("SELECT $1::int4", (1,)),
    ("SELECT $1::int4", (2**40,)),
    ("SELECT $1::pair", ((1, "x"),)),
    "SELECT 1/0",
    "SELEC",
]
FAILS: Final = "DO $$begin raise exception 'x' using errcode = '{}'; end$$"


def pipelines_and_blocks(db: SyncDatabase) -> None:
    """What is sent together, repeated, or called once it is committed."""
    db.pipeline(PIPELINE, return_exceptions=True)
    for queries in (PIPELINE, [*PIPELINE[:2], 5]):
        with suppress(DatabaseError, TypeError):
            db.pipeline(queries)
    with suppress(DatabaseError), db.transaction(), db.transaction():
        db.on_commit(object)
        db.pipeline(PIPELINE)
    for function in (object, Refuses):
        with suppress(ZeroDivisionError), db.transaction():
            db.on_commit(function)
            db.query(ROWS)
        with suppress(ZeroDivisionError):
            db.on_commit(function)
    with db.transaction(), suppress(ZeroDivisionError), db.transaction("odd name"):
        raise ZeroDivisionError
    db.execute("SET work_mem = '77kB'")
    db.run(lambda: db.query(ROWS))
    for sqlstate in ("40001", "22012"):
        with suppress(DatabaseError):
            db.run(lambda sqlstate=sqlstate: db.execute(FAILS.format(sqlstate)), 0)  # type: ignore[misc]


LINES: Final = "".join(f"{n}\tline\n" for n in range(1000, 1050))
RECORDS: Final[list[Any]] = [(n, "record") for n in range(2000, 2050)]
UNFIT: Final[list[Any]] = [
    [*RECORDS[:3], bad] for bad in (5, (1,), (2**40, "x"), ("x", "y"), (1, BrokenIndex()))
]
OUT: Final = "COPY (SELECT n AS id, 'label ' || n AS label FROM generate_series(1, 3000) n) TO STDOUT"


def copies_and_streams(db: SyncDatabase) -> None:
    """Data both ways, right, wrong, and left early."""
    copy = "COPY t FROM STDIN"
    db.execute("TRUNCATE t")
    for data in (LINES, [LINES[:100].encode(), LINES[100:]], io.StringIO(LINES)):
        db.execute(copy, data)
        db.execute("TRUNCATE t")
    for bad in ("x\ty\n", LINES + LINES, [LINES, 5], 5, (1 / 0 for _ in range(2))):
        with suppress(DatabaseError, TypeError, ZeroDivisionError):
            db.execute(copy, bad)
    for form in ("binary", "text"):
        db.copy_records("t", RECORDS, format=form)
        db.execute("TRUNCATE t")
        for records in UNFIT:
            with suppress(DatabaseError, ZeroDivisionError):
                db.copy_records("t", records, format=form)
    with suppress(DatabaseError):
        db.copy_records("nope", RECORDS)
    for into in ({}, {"into": tuple}, {"into": Row}):
        with suppress(DatabaseError), db.copy_out(OUT, **into) as parts:
            for _ in parts:
                pass
        with db.copy_out(OUT, **into) as parts:
            next(iter(parts))
    db.copy_out(OUT).write_to(io.BytesIO())
    with suppress(DatabaseError):
        list(db.copy_out("COPY (SELECT 1 / (5 - n) FROM generate_series(1, 9) AS n) TO STDOUT"))
    for chunk in (7, 40, 100):
        list(db.stream(ROWS, chunk=chunk, into=Row))
        with closing(db.stream(ROWS, chunk=chunk)) as rows:
            next(rows)
    for sql in WRONG:
        with suppress(DatabaseError):
            list(db.stream(sql, chunk=3))
    with db.transaction(), closing(db.stream(ROWS, chunk=7)) as rows:
        next(rows)
        list(db.stream(ROWS))


async def copies_and_streams_async(db: Database) -> None:
    """The same ways on the loop."""

    async def lines(fails: bool) -> AsyncIterator[str]:
        for n in range(3000, 3020):
            yield f"{n}\tline\n"
        if fails:
            raise ZeroDivisionError

    async def records(fails: bool) -> AsyncIterator[tuple[int, str]]:
        for n in range(4000, 4020):
            yield n, "record"
        if fails:
            raise ZeroDivisionError

    for fails in (False, True):
        with suppress(ZeroDivisionError):
            await db.execute("COPY t FROM STDIN", lines(fails))
        with suppress(ZeroDivisionError):
            await db.copy_records("t", records(fails))
        await db.execute("TRUNCATE t")
    options: list[dict[str, Any]] = [{}, {"into": tuple}]
    for into in options:
        async with db.copy_out(OUT, **into) as parts:
            async for _ in parts:
                pass
        async with db.copy_out(OUT, **into) as parts:
            async for _ in parts:
                break
    await db.copy_out(OUT).write_to(io.BytesIO())
    async with aclosing(db.stream(ROWS, chunk=7)) as rows:
        async for _ in rows:
            break
    async with db.transaction():
        with suppress(InterfaceError):
            async with db.copy_out(OUT) as parts:
                async for _ in parts:
                    await db.query(ROWS)
        assert [row async for row in db.stream(ROWS, chunk=7)]


class Item(native.Instance):
    __slots__ = ("id", "item", "label")

    id: int
    label: str
    item: "Item | None"


def models(db: SyncDatabase) -> None:
    """Rows that become instances, and what is done with these."""
    slots = tuple(inspect.getattr_static(Item, name) for name in ("id", "label", "item"))
    query: Any = db.query

    def bad(label: str) -> str:
        if label.endswith("30"):
            raise ZeroDivisionError
        return label

    converters: list[Any] = [None, str, bad, {f"label {n}": n for n in range(41)}, {}]
    for converter in converters:
        columns = ((slots[0], None), (slots[1], converter))
        hydrator = native.Hydrator(
            (
                (Item, -1, None, (*columns, ("extra", None)), ()),
                (Item, 0, slots[2], columns, (0,)),
            )
        )
        origins = (native.Origin(db, None), native.Origin(db, None))
        target = hydrator.begin(origins)
        sql = f"SELECT id, label, label, nullif(id % 3, 0), label FROM ({ROWS}) AS rows"
        with suppress(ZeroDivisionError, DataError):
            items = query(sql, into=target)
            native.group(items, slots[0])
            native.rows_of_each(items, "id", [*range(41), None, "x"], None)
            native.row_of_each([*items, *items], "id", [*range(41)], int, str)
            origins[0].context = origins[0].peers()
            for item in items:
                item.label = item._extra["extra"]
                item._changed.discard("label")
                native.fill(item, slots, [1, "x", item])
                native.set_slot(item, slots[0], 2)
            items[0]._origin = origins[1]
            items[1]._origin = None
        for wrong in (*WRONG, ROWS):
            with suppress(DatabaseError, InterfaceError):
                query(wrong, into=target)
    with suppress(ValueError):
        native.Hydrator(((Item, -1, None, ((slots[0], None), ("x", {}), (slots[0], None)), ()),))


def notes_and_notices(db: SyncDatabase) -> None:
    """What is heard, and what was said of it."""
    heard: list[object] = []
    with db.listen("here", "there", timeout=0) as notes:
        db.notify("here", "x")
        db.notify("there")
        while len(heard) < 2:
            heard += notes
        repr(notes)
    with suppress(DataError):
        db.notify("here", "x\0")
    for names in ((), ("x" * 64,)):
        with suppress(ValueError):
            db.listen(*names)
    for _ in db.listen("here", timeout=0):
        pass
    db.on_notice(heard.append)
    db.execute("DO $$begin raise notice 'x'; end$$")
    db.remove_on_notice(heard.append)
    assert isinstance(heard.pop(), Notice)


def watched_calls(db: SyncDatabase) -> None:
    """Calls that somebody is told of, whatever becomes of them."""
    hook = db.on_query(lambda event: repr(event.error))
    with assert_num_queries(db, 5):
        db.query(ROWS, into=Row)
        db.execute_many("SELECT $1::int4", [(n,) for n in range(1, 3)])
        for sql in WRONG[:2]:
            with suppress(DatabaseError):
                db.query(sql)
        with suppress(DatabaseError), db.transaction():
            db.pipeline(PIPELINE)
    db.off_query(hook)


async def everything_async(db: Database) -> None:
    """The asyncio face's own paths."""
    await copies_and_streams_async(db)

    hook = db.on_query(lambda event: repr(event.error))
    for sql in (ROWS, WRONG[0]):
        with suppress(DatabaseError):
            async with db.transaction():
                await asyncio.gather(db.query(sql), db.query_val(ROWS))
    db.off_query(hook)
    await db.query(EVERY_TYPE)
    await db.query_json(EVERY_TYPE)
    await asyncio.gather(*(db.query_json(ROWS) for _ in range(4)))
    await db.query_arrow(ROWS)
    with suppress(DatabaseError):
        await db.ingest_arrow("t", pyarrow.table({"id": [1, 2, 2]}))
    await asyncio.gather(*(db.query(ROWS, into=Row) for _ in range(4)))
    for sql in WRONG:
        with suppress(DatabaseError):
            await db.query(sql)
    with suppress(DatabaseError):
        await db.query_val("SELECT $1::int4", "x")
    with suppress(DataError):
        await db.query_val("SELECT $1::int4", 2**31)
    await db.execute_many("SELECT $1::int4", numbers())
    with suppress(ZeroDivisionError):
        async with db.transaction():
            await db.execute("INSERT INTO t VALUES ($1, $2)", 1, "x")
            raise ZeroDivisionError
    await db.pipeline(PIPELINE, return_exceptions=True)
    with suppress(DatabaseError):
        await db.pipeline(PIPELINE)
    for analyze in (False, True):
        await db.explain(ROWS, analyze=analyze)
        with suppress(DatabaseError):
            await db.explain("SELECT 1 / 0", analyze=analyze)

    async def work() -> None:
        db.on_commit(object)
        db.on_commit(work_later)
        await db.query(ROWS)

    async def work_later() -> None:
        await db.query(ROWS)

    await db.run(work)
    with suppress(DatabaseError):
        await db.run(lambda: db.query("SELECT 1/0"))
    await db.execute("SET work_mem = '77kB'")
    async with db.transaction():
        await asyncio.gather(*(db.query(ROWS) for _ in range(4)))
    await asyncio.sleep(0)  # COMMIT is answered in the turn of the loop that holds what gather() gave


async def numbers() -> AsyncIterator[tuple[object]]:
    for n in range(5):
        yield (n,)


SHARED: Final[list[object]] = [
    *(None, True, False, b"", (), dt.UTC, uuid.SafeUUID.unknown, Decimal, uuid.UUID, dt.date, dt.datetime),
    *(
        Point,
        Range,
        Multirange,
        Composite,
        CommandStatus,
        Row,
        Refuses,
        Item,
        Error,
        DataError,
        REFUSED,
        PARAMETERS,
    ),
    *(sys.intern("id"), sys.intern("label"), EVERY_TYPE, ROWS),
]


def resident() -> int:
    """Bytes of this process in memory now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - not a file that a Path helps with
        return int(file.read().split()[1]) * resource.getpagesize()


class MallocInfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks"),
            "keepcost",
        )
    )


def in_malloc() -> int:
    """Bytes that malloc has given out, the native side's among them; 0 where the C library does not tell."""
    function: Any = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is None:
        return 0
    function.restype = MallocInfo
    info: Any = function()
    return int(info.uordblks + info.hblkhd)


class Measure:
    """What there was at one moment, to be held against a later one."""

    def __init__(self) -> None:
        for _ in range(2):
            gc.collect()
        if sys.version_info < (3, 13):
            sys._clear_type_cache()  # up to 4096 names that attributes were looked up by
        self.counts = array.array("q", map(sys.getrefcount, SHARED))  # no objects of its own
        self.blocks = sys.getallocatedblocks()
        self.malloc = in_malloc()
        self.resident = resident()

    def leaks(self, repeats: int) -> dict[str, int]:
        """What has grown by at least one object, one small block, or 200 bytes of malloc's, per repeat."""
        now = Measure()
        found = {
            f"{'references' if after > before else 'references lost'} to {each!r:.60}": after - before
            for each, before, after in zip(SHARED, self.counts, now.counts, strict=True)
            if abs(after - before) >= repeats
        }
        if now.blocks - self.blocks >= repeats:
            found["blocks"] = now.blocks - self.blocks
        if now.malloc - self.malloc >= repeats * 200:
            found["bytes of malloc"] = now.malloc - self.malloc
        if now.resident - self.resident >= RESIDENT_GROWTH_MAX:
            found["bytes resident"] = now.resident - self.resident
        return found


async def check_flat(run: Callable[[], Awaitable[object]], repeats: int = REPEATS) -> None:
    """`run` leaves nothing behind. Caches fill once; a leak grows in every round, by the same measure."""
    for _ in range(10):
        await run()
    rounds: list[dict[str, int]] = []
    for _ in range(3):
        before = Measure()
        for _ in range(repeats):
            await run()
        rounds.append(before.leaks(repeats))
        if not set.intersection(*map(set, rounds)):
            return
    pytest.fail(f"grows in every round of {repeats}: {rounds}")


def check_flat_sync(run: Callable[[], object], repeats: int = REPEATS) -> None:
    """The same for what blocks."""

    async def call() -> None:
        run()

    # Driven by hand, for it never waits: a SyncDatabase has no business on a running loop.
    with suppress(StopIteration):
        check_flat(call, repeats).send(None)


def test_every_call_leaves_nothing_behind(db: SyncDatabase) -> None:
    check_flat_sync(lambda: everything(db))


async def test_the_asyncio_face_leaves_nothing_behind(url: str) -> None:
    async with Database(url, min_size=2, max_size=4) as db:
        await check_flat(lambda: everything_async(db))


async def test_listeners_leave_nothing_behind(url: str) -> None:
    # Without connect_timeout: the loop keeps timers that were cancelled until there are many.
    async with Database(url, min_size=1, max_size=1, connect_timeout=0) as db:

        async def once() -> None:
            async with db.listen("here") as notes:
                await db.notify("here", "x")
                await anext(notes)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0):
                        await anext(notes)
            async for _ in db.listen("here", timeout=0):
                pass
            await until_async(lambda: db.pool_stats()["listeners"] == 0)

        await check_flat(once)


async def test_calls_behind_each_other_leave_nothing_behind(url: str) -> None:
    async with Database(url, min_size=2, max_size=2) as db:

        async def once() -> None:
            calls = [db.query_val("SELECT 10 / $1::int4", n % 4) for n in range(30)]
            calls += [db.query(ROWS, into=Row), db.query_val("SELECT $1::pair", (1, "x"))]
            calls += [db.query_val("SELECT $1::int4", 2**40), db.query(ROWS, into=Refuses)]
            tasks = [asyncio.ensure_future(each) for each in calls]
            await asyncio.sleep(0)
            for task in tasks[::5]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        # Tickets that were left stay in the pool's queue until their turn, LEFT_MAX and some more of them.
        await check_flat(once, 5 * REPEATS)
        assert db.pool_stats()["busy"] == 0


def test_a_connection_used_by_hand_leaves_nothing_behind(db: SyncDatabase) -> None:
    """Commands that are owed and taken back; requests behind each other, dropped, told to their waiters."""
    slot = db._pool.take_idle()
    assert slot is not None
    connection = slot.connection

    def run() -> None:
        for sql in ("DISCARD ALL", "BEGIN", "SAVEPOINT a"):
            connection.owe(sql)
        connection.disown("SAVEPOINT a")
        made = [connection.submit("SELECT $1::int4", (1,), _shape.TUPLE, None, False, None)]
        made.append(connection.prepare("SELECT 1 AS prepared"))
        connection.wait(-1)
        connection.owe("ROLLBACK")
        made.append(connection.run_owed())
        connection.wait(-1)
        first = connection.submit("SELECT $1::int4", (1,), _shape.TUPLE, None, False, None)
        first.waiter = ROWS
        for n in range(10):
            behind = connection.append("SELECT $1::int4", (n,), _shape.TUPLE, None, False, None)
            assert behind is not None
            behind.waiter = ROWS
            if n % 3 == 0:
                connection.drop(behind, ZeroDivisionError())
        with suppress(DataError):
            connection.append("SELECT $1::int4", (2**40,), _shape.TUPLE, None, False, None)
        connection.is_stuck(10**9)
        connection.push()
        connection.wait(-1)
        assert len(connection.take_finished() or ()) == 11
        connection.settle()

    try:
        check_flat_sync(run)
    finally:
        db._pool.put_back(slot)


async def test_timeouts_and_cancelled_calls_leave_nothing_behind(url: str) -> None:
    async with Database(url, min_size=1, max_size=2) as db:

        async def once() -> None:
            with suppress(QueryTimeout):
                await db.query("SELECT pg_sleep(5)", timeout=0.005)
            task = asyncio.create_task(db.query("SELECT pg_sleep(5), $1::text", "x" * 10_000))
            await asyncio.sleep(0.005)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            # The loop keeps timers that were cancelled until nothing stands in front of them.
            await asyncio.sleep(0.02)

        tasks = len(asyncio.all_tasks())
        await check_flat(once, 30)
        assert len(asyncio.all_tasks()) == tasks
        assert await db.query_val("SELECT 1") == 1


def test_opening_and_closing_leaves_nothing_behind(url: str) -> None:
    def run() -> None:
        with SyncDatabase(url, min_size=1, max_size=1) as db:
            db.query(ROWS)
            db.query_val("SELECT $1::pair", (1, "x"))

    # From CPython 3.13 on the interpreter's own caches fill slowly, and in 3.14 for some 2000 rounds.
    for _ in range(2000 if sys.version_info >= (3, 14) else 300):
        run()
    check_flat_sync(run, 30)


def test_the_measures_see_a_leak() -> None:
    kept: list[object] = []
    size = [1000]

    def large() -> None:
        size[0] += 1
        kept.append(bytes(size[0]))

    for leak, word in (
        # Two, because now and then something else is freed meanwhile.
        (lambda: kept.extend((object(), object())), "blocks"),
        (lambda: kept.append(ROWS), "references"),
        (large, "bytes of malloc"),
    ):
        with pytest.raises(pytest.fail.Exception, match=f"grows in every round.*{word}"):
            check_flat_sync(leak)


def test_ever_new_texts_and_types_do_not_fill_the_memory(url: str) -> None:
    """Statements are kept up to a bound; types looked up again are no new types."""
    with SyncDatabase(url, min_size=1, max_size=1, statement_cache_size=20) as db:
        number = iter(range(10**9))

        def run() -> None:
            for _ in range(5):
                db.query(f"SELECT {next(number)} AS id, $1::pair AS p", (1, "x"))
            with suppress(DataError):
                db.query_val("SELECT $1::pair", (1, 2, 3))

        for _ in range(1000):  # the pool's own bound is thousands of texts
            run()
        check_flat_sync(run, 200)
        assert db.pool_stats()["stmt_cache_size"] <= 20


def test_a_big_result_is_given_back(db: SyncDatabase) -> None:
    sql = "SELECT n AS id, repeat('x', 200) AS label FROM generate_series(1, 20000) AS n"
    targets: list[Callable[..., Any]] = [dict, tuple, Row]
    for target in targets:
        db.query(sql, into=target)
    gc.collect()
    before = in_malloc()
    for target in targets * 3:
        assert len(db.query(sql, into=target)) == 20_000
    assert len(db.query_val("SELECT repeat('y', 20000000)")) == 20_000_000
    # The receive buffer of the longest message does not stay for ever.
    for _ in range(3):
        assert db.query_val("SELECT 1") == 1
    gc.collect()
    assert in_malloc() - before < 2**20


def test_results_are_freed_at_once_without_the_collector(db: SyncDatabase) -> None:
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(50):
            db.query(EVERY_TYPE)
            db.query(ROWS, into=Row)
            for sql in WRONG[:3]:
                with suppress(DatabaseError):
                    db.query(sql)
        assert len(gc.get_objects()) - before < 500
    finally:
        gc.enable()
