"""`ingest_arrow`: what gives Arrow goes into a table and comes back as it was; the rest is refused."""

import asyncio
import ctypes
import datetime as dt
import threading
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from decimal import Decimal
from typing import Any, Final

import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hyperdjango.database import (
    AdminShutdown,
    CheckViolation,
    Database,
    DataError,
    InvalidTextRepresentation,
    QueryTimeout,
    SyncDatabase,
    UndefinedColumn,
    UndefinedTable,
    UniqueViolation,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pgkit.face import Face, OpenFace
from postgres_servers import Server
from typekit import fresh_database


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(
        server, "CREATE TYPE mood AS ENUM ('sad', 'fine')", "CREATE DOMAIN small AS int2"
    ) as database:
        yield database


def loaded(db: Any, type_name: str, array: Any, **options: Any) -> list[Any]:
    """What a column of the type holds after an array was loaded into it."""
    db.execute(f"DROP TABLE IF EXISTS loaded; CREATE TABLE loaded (v {type_name}, n serial)")
    table = pa.table({"v": array})
    assert db.ingest_arrow("loaded", table, **options) == f"COPY {table.num_rows}"
    return [row[0] for row in db.query("SELECT v FROM loaded ORDER BY n", into=tuple)]


UTC: Final = dt.UTC
MOMENT: Final = dt.datetime(2024, 2, 29, 12, 34, 56, 789_000)
UUID: Final = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
# PostgreSQL's type, Arrow's, values, and what `query` gives of them where it is something else.
CASES: Final[list[tuple[Any, ...]]] = [
    ("bool", pa.bool_(), [True, False]),
    *(("int2", kind, [0, 100]) for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int64())),
    *(("int4", kind, [0, 100]) for kind in (pa.int8(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64())),
    ("int8", pa.int64(), [-(2**63), 2**63 - 1]),
    ("int8", pa.uint64(), [2**63 - 1]),
    ("int4", pa.float64(), [1.0, -5.0], [1, -5]),
    ("small", pa.int64(), [7]),
    ("oid", pa.uint32(), [2**32 - 1]),
    ("xid8", pa.uint64(), [2**64 - 1]),
    ("numeric", pa.int64(), [-(2**63), 10_000], [Decimal(-(2**63)), Decimal(10_000)]),
    ("numeric", pa.uint64(), [2**64 - 1], [Decimal(2**64 - 1)]),
    ("numeric", pa.float64(), [0.1, 1e300], [Decimal("0.1"), Decimal(10**300)]),
    ("numeric", pa.string(), ["1.50", "-1e3"], [Decimal("1.50"), Decimal(-1000)]),
    ("numeric", pa.decimal128(12, 2), [Decimal("1.50"), Decimal("-9999999999.99"), Decimal("0.00")]),
    ("numeric", pa.decimal256(60, 30), [Decimal("-123456789012345678901234567890." + "1" * 30)]),
    ("numeric(10,3)", pa.decimal128(5, 1), [Decimal("1.5")], [Decimal("1.500")]),
    ("numeric", pa.decimal128(5, -2), [Decimal("1.23E+4")], [Decimal(12300)]),
    ("float4", pa.float16(), [1.5, -2.0]),
    ("float4", pa.float32(), [1.5, float("inf")]),
    ("float8", pa.float64(), [0.1, float("-inf"), 5e-324]),
    ("float8", pa.int64(), [2**53], [float(2**53)]),
    ("float4", pa.int64(), [2**24, -(2**24) - 2, 2**60], [2.0**24, -(2.0**24) - 2, 2.0**60]),
    *(
        ("text", kind, ["", "žlutý", "long text " * 50])
        for kind in (pa.string(), pa.large_string(), pa.string_view())
    ),
    ("varchar(3)", pa.string(), ["abc"]),
    ("mood", pa.string(), ["sad", "fine"]),
    ("mood", pa.dictionary(pa.int8(), pa.string()), ["sad", "fine", "sad"]),
    ("text", pa.dictionary(pa.uint32(), pa.large_string()), ["a", "b", "a"]),
    *(
        ("bytea", kind, [b"", b"\0\xff", b"long bytes " * 50])
        for kind in (pa.binary(), pa.large_binary(), pa.binary_view())
    ),
    ("bytea", pa.binary(3), [b"abc"]),
    ("json", pa.string(), ['{"a": [1, null]}'], [{"a": [1, None]}]),
    ("jsonb", pa.large_string(), ['{"a": [1, null]}', "5"], [{"a": [1, None]}, 5]),
    ("uuid", pa.binary(16), [UUID.bytes], [UUID]),
    ("uuid", pa.uuid(), [UUID]),
    ("uuid", pa.string(), [str(UUID), UUID.hex, f"{{{UUID}}}"], [UUID] * 3),
    ("date", pa.date32(), [dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    ("date", pa.date64(), [dt.date(2024, 2, 29), dt.date(1969, 12, 31)]),
    *(
        ("time", kind, [dt.time(12, 34, 56)])
        for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))
    ),
    *(
        ("timestamp", pa.timestamp(unit), [MOMENT.replace(microsecond=0), dt.datetime(1960, 1, 1)])
        for unit in ("s", "ms", "us", "ns")
    ),
    ("timestamp", pa.timestamp("ms"), [MOMENT]),
    ("timestamp", pa.date32(), [dt.date(2024, 2, 29)], [dt.datetime(2024, 2, 29)]),
    *(
        ("timestamptz", pa.timestamp("us", zone), [MOMENT.replace(tzinfo=UTC)])
        for zone in ("UTC", "Europe/Prague", "+05:30")
    ),
    *(
        ("interval", pa.duration(unit), [dt.timedelta(days=1, seconds=5), dt.timedelta(seconds=-5)])
        for unit in ("s", "ms", "us", "ns")
    ),
    (
        "interval",
        pa.month_day_nano_interval(),
        [pa.MonthDayNano([14, -3, 5_000_000])],
        [dt.timedelta(days=365 + 60 - 3, milliseconds=5)],
    ),
    *(
        ("int4[]", kind, [[1, None, 3], [], [7]])
        for kind in (pa.list_(pa.int32()), pa.large_list(pa.int64()), pa.list_(pa.uint8()))
    ),
    ("int4[]", pa.list_(pa.int32(), 2), [[1, None], [3, 4]]),
    ("text[]", pa.list_(pa.string_view()), [["a", None, "b,c"], []]),
    ("text[]", pa.list_(pa.dictionary(pa.int8(), pa.string())), [["a", "b"], ["a"]]),
    ("timestamptz[]", pa.list_(pa.timestamp("us", "UTC")), [[MOMENT.replace(tzinfo=UTC)]]),
    ("numeric[]", pa.list_(pa.decimal128(5, 2)), [[Decimal("1.50"), None]]),
    ("text", pa.null(), [None, None]),
    ("int4[]", pa.null(), [None]),
    # In text format, because the server is to read them.
    ("inet", pa.string(), ["1.2.3.4", "::1/64"]),
    ("int4range", pa.string(), ["empty"]),
    ("bit(3)", pa.string(), ["101"]),
    ('"char"', pa.string(), ["x"]),
    ("inet[]", pa.list_(pa.string()), [["1.2.3.4", None], []]),
    ("int4[]", pa.string(), ["{1,NULL}"], [[1, None]]),
    ("date", pa.string(), ["2024-02-29"], [dt.date(2024, 2, 29)]),
    ("bool", pa.dictionary(pa.int8(), pa.string()), ["yes", "off"], [True, False]),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]} of {case[1]}" for case in CASES])
def test_a_column_arrives_as_what_it_is(db: SyncDatabase, case: tuple[Any, ...]) -> None:
    type_name, kind, values = case[:3]
    expected = case[3] if len(case) > 3 else values
    if type_name == "int4range":
        expected = [row["v"] for row in db.query("SELECT 'empty'::int4range AS v")]
    found = loaded(db, type_name, pa.array([None, *values, None], kind))
    assert found == [None, *expected, None]
    assert list(map(str, found)) == list(map(str, [None, *expected, None]))
    # Without NULLs there is no bitmap; and a slice begins somewhere in its buffers.
    whole = pa.array([*values, *values], kind)
    assert loaded(db, type_name, whole) == [*expected, *expected]
    assert loaded(db, type_name, pa.array([None, *values, None], kind)[1:-1]) == expected
    assert (
        loaded(db, type_name, pa.chunked_array([whole[1:], whole[:1]]))
        == [*expected, *expected][1:] + expected[:1]
    )


def test_columns_go_by_their_names_and_others_get_their_defaults(face: Face) -> None:
    face.execute(
        "CREATE TABLE t (a int4, b text DEFAULT 'none', \"C d\" bool,"
        " e int4 GENERATED ALWAYS AS (a + 1) STORED)"
    )
    data = pa.table({"C d": [True, False], "a": [1, 2]})
    assert face.ingest_arrow("t", data) == "COPY 2"
    assert face.query("SELECT * FROM t ORDER BY a", into=tuple) == [
        (1, "none", True, 2),
        (2, "none", False, 3),
    ]
    face.execute("TRUNCATE t")
    data = pa.table({"x": ["p", "q"], "a": [1, 2], "unused": [1.5, 2.5]})
    assert face.ingest_arrow("public.t", data, columns={"x": "b", "a": "a"}).rows == 2
    assert face.ingest_arrow("t", data, columns=["a"]).rows == 2
    assert face.query("SELECT a, b FROM t ORDER BY b, a", into=tuple) == [
        (1, "none"),
        (2, "none"),
        (1, "p"),
        (2, "q"),
    ]


@pytest.mark.parametrize(
    ("names", "columns", "error", "why"),
    [
        (["amuont"], None, UndefinedColumn, "no column 'amuont' that can be loaded; did you mean 'amount'"),
        (["amount", "twice"], None, UndefinedColumn, "no column 'twice'"),
        (["amount"], ["amuont"], DataError, "the data has no column 'amuont'; did you mean 'amount'"),
        (["amount"], {"amount": "id"}, UndefinedColumn, "no column 'id'"),
        (["amount", "amount"], None, DataError, "2 columns called 'amount'"),
        (["a", "b"], {"a": "amount", "b": "amount"}, DataError, "two columns of the data go to"),
        ([], None, DataError, "no columns"),
        (["amount"], "amount", TypeError, "not a str"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    face: Face, names: list[str], columns: Any, error: type[Exception], why: str
) -> None:
    face.execute("CREATE TABLE t (amount int4, twice int4 GENERATED ALWAYS AS (amount * 2) STORED)")
    data = pa.Table.from_arrays([pa.array([1])] * len(names), names=names)
    with pytest.raises(error, match=why):
        face.ingest_arrow("t", data, columns=columns)
    with pytest.raises(UndefinedTable):
        face.ingest_arrow("nowhere", data)
    assert face.query_val("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize(
    ("type_name", "array", "why"),
    [
        ("int4", pa.array([b"x"]), "Arrow binary cannot be loaded into int4"),
        ("text", pa.array([1]), "Arrow int64 cannot be loaded into text"),
        ("bool", pa.array([1]), "Arrow int64 cannot be loaded into bool"),
        ("float8", pa.array([Decimal(1)]), "Arrow decimal cannot be loaded into float8"),
        ("inet", pa.array([1]), "Arrow int64 cannot be loaded into inet"),
        ("timestamptz", pa.array([MOMENT]), "without a time zone .* give it a time zone"),
        ("timestamp", pa.array([MOMENT.replace(tzinfo=UTC)]), "with a time zone .* take its time zone away"),
        ("uuid", pa.array([b"abc"], pa.binary(3)), "Arrow fixed-size binary cannot be loaded into uuid"),
        ("int4[]", pa.array([1]), "Arrow int64 cannot be loaded into"),
        ("int4", pa.array([[1]]), "Arrow list cannot be loaded into int4"),
        ("int4[]", pa.array([[[1]]]), "lists of one dimension"),
        ("text", pa.array([{"a": 1}]), "Arrow struct cannot be loaded into text.*fields"),
        ("text", pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())), r"Arrow \+m cannot be loaded"),
        ("int4", pa.RunEndEncodedArray.from_arrays([2], [1]), r"Arrow \+r cannot be loaded"),
    ],
)
def test_a_type_that_cannot_go_into_the_tables_is_refused_before_anything_is_sent(
    face: Face, type_name: str, array: Any, why: str
) -> None:
    face.execute(f"CREATE TABLE t (id int4, v {type_name})")
    with face.transaction():
        face.execute("INSERT INTO t (id) VALUES (1)")
        with pytest.raises(DataError, match=rf'^column "v": .*{why}'):
            face.ingest_arrow("t", pa.table({"v": array}))
        face.execute("INSERT INTO t (id) VALUES (2)")  # the block goes on
    assert face.query_val("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize(
    ("type_name", "array", "why"),
    [
        ("int2", pa.array([40_000]), "out of range"),
        ("int4", pa.array([2**31]), "out of range"),
        ("oid", pa.array([-1]), "out of range"),
        ("int8", pa.array([2**63], pa.uint64()), "out of range"),
        ("int4", pa.array([1.5]), "no whole number"),
        ("int4", pa.array([float("nan")]), "no whole number"),
        ("int8", pa.array([1e300]), "out of range"),
        ("float8", pa.array([2**53 + 1]), "more digits than a float"),
        ("float4", pa.array([2**24 + 1]), "more digits than a float"),
        ("float4[]", pa.array([[2**24, -(2**24) - 1]]), "more digits than a float"),
        ("float4", pa.array([1e300]), "out of range"),
        ("text", pa.array(["a\0b"]), "NUL"),
        ("jsonb", pa.array(["\0"]), "NUL"),
        ("inet", pa.array(["\0"]), "NUL"),
        ("uuid", pa.array(["nothing"]), "no value of this type"),
        ("uuid", pa.array([b"short"]), "no value of this type"),
        ("numeric", pa.array(["many"]), "no value of this type"),
        ("timestamp", pa.array([1], pa.timestamp("ns")), "nanoseconds"),
        ("time", pa.array([1], pa.time64("ns")), "nanoseconds"),
        ("interval", pa.array([1], pa.duration("ns")), "nanoseconds"),
        ("timestamp", pa.array([2**62], pa.timestamp("s")), "out of range"),
        ("date", pa.array([2**31 - 1], pa.date32()), "out of range"),
        ("date", pa.array([1], pa.int64()).view(pa.date64()), "time of day"),
        ("int2[]", pa.array([[40_000]]), "out of range"),
    ],
)
def test_a_value_that_does_not_fit_names_its_row_and_column_and_nothing_stays(
    face: Face, type_name: str, array: Any, why: str
) -> None:
    face.execute(f"CREATE TABLE t (id int4, v {type_name})")
    count = 3000
    data = pa.table(
        {
            "id": pa.array(range(count + 1), pa.int32()),
            "v": pa.chunked_array([pa.nulls(count, array.type), array]),
        }
    )
    with pytest.raises(DataError, match=rf'^row {count}, column "v": Arrow .* does not fit .*{why}'):
        face.ingest_arrow("t", data)
    assert face.query_val("SELECT count(*) FROM t") == 0
    assert face.pool_stats()["busy"] == 0


def test_a_row_that_the_server_refuses_is_named_and_nothing_stays(face: Face) -> None:
    face.execute("CREATE TABLE t (id int4 PRIMARY KEY, v int4 CHECK (v < 5), i inet)")
    with pytest.raises(CheckViolation) as caught:
        face.ingest_arrow("t", pa.table({"id": [1, 2, 3], "v": [1, 2, 9]}))
    assert "in record 2, counted from 0" in caught.value.__notes__
    with pytest.raises(UniqueViolation):
        face.ingest_arrow("t", pa.table({"id": [1, 1]}))
    with pytest.raises(InvalidTextRepresentation):
        face.ingest_arrow("t", pa.table({"id": [1, 2], "i": ["::1", "no address"]}))
    assert face.query_val("SELECT count(*) FROM t") == 0
    with face.transaction():
        face.ingest_arrow("t", pa.table({"id": [1, 2]}))
        with pytest.raises(UniqueViolation), face.transaction():
            face.ingest_arrow("t", pa.table({"id": [2, 3]}))
        assert face.query_val("SELECT count(*) FROM t") == 2
    assert face.query_val("SELECT count(*) FROM t") == 2


def test_text_that_needs_escapes_arrives_in_text_format_too(face: Face) -> None:
    face.execute(
        "CREATE TABLE t (i inet, v text, f float8, b bytea, a text[], d date, n numeric, j jsonb,"
        " at timestamptz)"
    )
    values = ["a\tb\nc\\d\re", "\\N", "", "žlutý", "\\."]
    count = len(values)
    data = pa.table(
        {
            "i": ["::1"] * count,
            "v": values,
            "f": [0.1, float("nan"), float("-inf"), 1e300, -0.0],
            "b": [b"\0\\\n\xff"] * count,
            "a": [[value, None, '"{}"'] for value in values],
            "d": [dt.date(2024, 2, 29)] * count,
            "n": [Decimal("-1.50")] * count,
            "j": ['"\\u0041\\n"'] * count,
            "at": [MOMENT.replace(tzinfo=UTC)] * count,
        }
    )
    face.ingest_arrow("t", data)
    rows = face.query("SELECT v, f, b, a, d, n, j, at FROM t", into=tuple)
    assert [row[0] for row in rows] == values
    assert [str(row[1]) for row in rows] == ["0.1", "nan", "-inf", "1e+300", "-0.0"]
    assert [row[3] for row in rows] == [[value, None, '"{}"'] for value in values]
    assert {row[2] for row in rows} == {b"\0\\\n\xff"}
    assert {row[4:] for row in rows} == {
        (dt.date(2024, 2, 29), Decimal("-1.50"), "A\n", MOMENT.replace(tzinfo=UTC))
    }


def test_pyarrow_polars_pandas_and_our_own_results_are_all_read(face: Face) -> None:
    face.execute("CREATE TABLE t (id int8, label text, share float8, at timestamptz, tags text[])")
    face.execute(
        "INSERT INTO t SELECT n, CASE WHEN n % 3 <> 0 THEN 'label ' || n END, n / 8.0,"
        " timestamptz '2024-01-01 00:00+00' + n * interval '1.000001 s', ARRAY['a', n::text]"
        " FROM generate_series(1, 1000) n"
    )
    expected = face.query("SELECT * FROM t ORDER BY id")
    result = face.query_arrow("TABLE t")
    table = pa.table(result)
    frame = pd.DataFrame
    for data in (
        result,
        table,
        table.to_reader(),
        pl.DataFrame(table),
        frame.from_arrow(table),  # type: ignore[attr-defined] # the stubs are older
        table.to_pandas(),
    ):
        face.execute("TRUNCATE t")
        assert face.ingest_arrow("t", data) == "COPY 1000"
        assert face.query("SELECT * FROM t ORDER BY id") == expected
    face.execute("TRUNCATE t")
    (batch,) = table.combine_chunks().to_batches()
    assert face.ingest_arrow("t", batch) == "COPY 1000"


def test_no_rows_and_no_batches_are_a_copy_of_nothing(face: Face) -> None:
    face.execute("CREATE TABLE t (id int4, i inet)")
    schema = pa.schema([("id", pa.int32())])
    assert face.ingest_arrow("t", schema.empty_table()) == "COPY 0"
    assert face.ingest_arrow("t", pa.RecordBatchReader.from_batches(schema, [])) == "COPY 0"
    assert face.ingest_arrow("t", pa.table({"i": pa.array([], pa.string())})) == "COPY 0"
    assert face.ingest_arrow("t", face.query_arrow("SELECT 1 AS id WHERE false")) == "COPY 0"


def test_a_producer_that_fails_leaves_nothing(face: Face) -> None:
    face.execute("CREATE TABLE t (id int4)")
    schema = pa.schema([("id", pa.int32())])

    def batches() -> Iterator[Any]:
        yield pa.record_batch({"id": pa.array(range(50_000), pa.int32())})
        raise RuntimeError("the file is damaged")

    with pytest.raises(DataError, match=r"the Arrow stream has failed: .*the file is damaged"):
        face.ingest_arrow("t", pa.RecordBatchReader.from_batches(schema, batches()))
    assert face.query_val("SELECT count(*) FROM t") == 0
    assert face.ingest_arrow("t", pa.table({"id": pa.array([1], pa.int32())})) == "COPY 1"


@pytest.mark.parametrize("in_block", [False, True])
def test_a_connection_that_is_ended_half_way_leaves_nothing(
    face: Face, other: psycopg.Connection[Any], in_block: bool
) -> None:
    face.execute("CREATE TABLE t (id int4)")
    pid = face.query_val("SELECT pg_backend_pid()")
    schema = pa.schema([("id", pa.int32())])

    def batches() -> Iterator[Any]:
        for n in range(200):
            if n == 100:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            yield pa.record_batch({"id": pa.array(range(1000), pa.int32())})

    with pytest.raises(AdminShutdown), face.transaction() if in_block else nullcontext():
        face.ingest_arrow("t", pa.RecordBatchReader.from_batches(schema, batches()))
    assert face.query_val("SELECT count(*) FROM t") == 0
    assert face.ingest_arrow("t", pa.table({"id": pa.array([1], pa.int32())})) == "COPY 1"


def test_a_slow_producer_holds_up_neither_the_loop_nor_the_deadline(url: str, open_face: OpenFace) -> None:
    face = open_face(url)
    face.execute("CREATE TABLE t (id int4)")
    schema = pa.schema([("id", pa.int32())])
    go_on = threading.Event()

    def batches() -> Iterator[Any]:
        yield pa.record_batch({"id": pa.array([1], pa.int32())})
        go_on.wait(0.5)
        yield pa.record_batch({"id": pa.array([2], pa.int32())})

    with pytest.raises(QueryTimeout):
        face.ingest_arrow("t", pa.RecordBatchReader.from_batches(schema, batches()), timeout=0.05)
    go_on.set()
    assert face.query_val("SELECT count(*) FROM t") == 0


async def test_many_loads_run_at_once(url: str) -> None:
    async with Database(url, 1, 3) as db:
        await db.execute("CREATE TABLE t (id int4, v text)")
        tables = [pa.table({"id": [n] * 5000, "v": [f"value {n}"] * 5000}) for n in range(6)]
        await asyncio.gather(*(db.ingest_arrow("t", table) for table in tables))
        found = await db.query(
            "SELECT id, count(DISTINCT v) AS v, count(*) AS n FROM t GROUP BY id ORDER BY id", into=tuple
        )
        assert found == [(n, 1, 5000) for n in range(6)]


class Gives:
    """Has the method, and gives this."""

    def __init__(self, given: object) -> None:
        self.given = given

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.given


@pytest.mark.parametrize(
    "data", [None, [1], {"a": 1}, b"x", Gives(None), Gives("x"), Gives(pa.schema([]).__arrow_c_schema__())]
)
def test_what_is_not_arrow_is_a_type_error(face: Face, data: Any) -> None:
    face.execute("CREATE TABLE t (id int4)")
    with pytest.raises(TypeError, match="__arrow_c_stream__"):
        face.ingest_arrow("t", data)


def test_a_stream_is_read_once(face: Face) -> None:
    face.execute("CREATE TABLE t (id int4)")
    capsule = pa.table({"id": pa.array([1], pa.int32())}).__arrow_c_stream__()
    assert face.ingest_arrow("t", Gives(capsule)) == "COPY 1"
    with pytest.raises(ValueError, match="the stream was read already"):
        face.ingest_arrow("t", Gives(capsule))


class CSchema(ctypes.Structure):
    _fields_ = [
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    ]


class CArray(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    ]


class CStream(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("get_schema", "get_next", "get_last_error", "release", "private_data")
    ]


def pointer_of(capsule: object, name: bytes) -> int:
    function = ctypes.pythonapi.PyCapsule_GetPointer
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.py_object, ctypes.c_char_p]
    pointer: int = function(capsule, name)
    return pointer


# What is released this way is leaked.
forget: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)


class Lies(Gives):
    """A sound stream of pyarrow's whose schema or array is spoilt on its way."""

    def __init__(self, spoil_schema: Any = None, spoil_array: Any = None) -> None:
        data = pa.table({"id": pa.array([1, 2], pa.int32()), "v": pa.array(["a", "b"])})
        super().__init__(data.__arrow_c_stream__())
        stream = CStream.from_address(pointer_of(self.given, b"arrow_array_stream"))
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._calls = []
        for member, struct, spoil in (
            ("get_schema", CSchema, spoil_schema),
            ("get_next", CArray, spoil_array),
        ):
            if spoil is None:
                continue
            if spoil == "missing":
                setattr(stream, member, None)
                continue
            honest = kind(getattr(stream, member))

            def lie(me: int, out: int, honest: Any = honest, struct: Any = struct, spoil: Any = spoil) -> int:
                code: int = honest(me, out)
                given = struct.from_address(out)
                if given.release:
                    spoil(given)
                    # Its own would go by what was spoilt.
                    given.release = ctypes.cast(forget, ctypes.c_void_p)
                return code

            self._calls.append(kind(lie))
            setattr(stream, member, ctypes.cast(self._calls[-1], ctypes.c_void_p))


def child_of(given: Any, index: int) -> Any:
    pointers = ctypes.cast(given.children, ctypes.POINTER(ctypes.c_void_p))
    return type(given).from_address(pointers[index])


def member(name: str, value: Any, child: int | None = None) -> Any:
    def spoil(given: Any) -> None:
        setattr(given if child is None else child_of(given, child), name, value)

    return spoil


@pytest.mark.parametrize(
    ("schema", "array", "why"),
    [
        ("missing", None, "without its functions"),
        (None, "missing", "without its functions"),
        (member("format", b"i"), None, "another number of children"),
        (member("format", b"nonsense"), None, "format string that Arrow does not know"),
        (member("format", None), None, "no format string"),
        (member("format", b"q", 0), None, "format string that Arrow does not know"),
        (member("format", b"+l", 0), None, "another number of children"),
        (member("n_children", -1), None, "impossible number"),
        (member("n_children", 2**40), None, "impossible number"),
        (None, member("length", -1), "negative length"),
        (None, member("length", 2**62), "too short"),
        (None, member("offset", -1), "negative offset"),
        (None, member("offset", 5), "too short"),
        (None, member("n_buffers", 3), "another number of buffers"),
        (None, member("n_buffers", 3, 0), "another number of buffers"),
        (None, member("n_buffers", -1, 1), "negative number of buffers"),
        (None, member("buffers", None, 0), "buffers are missing"),
        (None, member("length", 1, 0), "too short"),
        (None, member("null_count", 1, 0), "does not say which"),
        (member("format", b"u", 0), None, "another number of buffers"),
    ],
)
def test_a_producer_that_does_not_keep_to_the_interface_is_refused(
    face: Face, schema: Any, array: Any, why: str
) -> None:
    face.execute("CREATE TABLE t (id int4, v text)")
    with pytest.raises(ValueError, match=f"this is no Arrow data: .*{why}"):
        face.ingest_arrow("t", Lies(schema, array))
    assert face.query_val("SELECT count(*) FROM t") == 0


def test_offsets_and_indices_that_point_nowhere_are_refused(face: Face) -> None:
    face.execute("CREATE TABLE t (v text, l int4[])")
    wild = pa.DictionaryArray.from_arrays(pa.array([0, 7, 1], pa.int8()), pa.array(["a", "b"]), safe=False)
    with pytest.raises(ValueError, match="index that its dictionary has not got"):
        face.ingest_arrow("t", pa.table({"v": wild}))
    backwards = pa.StringArray.from_buffers(
        2, pa.array([0, 2, 1], pa.int32()).buffers()[1], pa.py_buffer(b"abc")
    )
    with pytest.raises(ValueError, match="offsets that run backwards"):
        face.ingest_arrow("t", pa.table({"v": backwards}))
    beyond = pa.ListArray.from_arrays(pa.array([0, 9, 1], pa.int32()), pa.array([1], pa.int32()))
    with pytest.raises(ValueError, match="a list that ends beyond its elements"):
        face.ingest_arrow("t", pa.table({"l": beyond}))
    assert face.query_val("SELECT count(*) FROM t") == 0


COLUMNS: Final = {
    "b": ("bool", pa.bool_(), st.booleans()),
    "i2": ("int2", pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "i4": ("int4", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "i8": ("int8", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "f4": ("float4", pa.float32(), st.floats(width=32, allow_nan=False)),
    "f8": ("float8", pa.float64(), st.floats(allow_nan=False)),
    "t": ("text", pa.string(), st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    "y": ("bytea", pa.binary(), st.binary()),
    "d": ("date", pa.date32(), st.dates()),
    "c": ("time", pa.time64("us"), st.times()),
    "s": ("timestamp", pa.timestamp("us"), st.datetimes()),
    "z": ("timestamptz", pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "u": ("uuid", pa.uuid(), st.uuids()),
    "n": (
        "numeric(38,10)",
        pa.decimal128(38, 10),
        st.decimals(-(10**27), 10**27, places=10, allow_nan=False),
    ),
    "w": ("numeric(70,35)", pa.decimal256(70, 35), st.decimals(-(10**20), 10**20, places=6, allow_nan=False)),
    "l": ("int8[]", pa.list_(pa.int64()), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1))),
    "x": (
        "text[]",
        pa.list_(pa.string()),
        st.lists(st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    ),
}
ROW: Final = st.fixed_dictionaries({name: st.none() | values for name, (_, _, values) in COLUMNS.items()})


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=20), start=st.integers(0, 3))
def test_what_goes_in_comes_out(db: SyncDatabase, rows: list[dict[str, Any]], start: int) -> None:
    schema = pa.schema([(name, kind) for name, (_, kind, _) in COLUMNS.items()])
    table = pa.Table.from_pylist(rows, schema=schema)[start:]
    declared = ", ".join(f"{name} {type_name}" for name, (type_name, _, _) in COLUMNS.items())
    db.execute(f"DROP TABLE IF EXISTS round; CREATE TABLE round (number serial, {declared})")
    assert db.ingest_arrow("round", table).rows == table.num_rows
    names = ", ".join(COLUMNS)
    result = pa.table(db.query_arrow(f"SELECT {names} FROM round ORDER BY number"))
    result.validate(full=True)
    assert result.schema == schema
    assert result.to_pylist() == table.to_pylist()
    # Our own result goes the same way.
    db.execute("TRUNCATE round RESTART IDENTITY")
    db.ingest_arrow("round", result[1:])
    assert pa.table(db.query_arrow(f"SELECT {names} FROM round ORDER BY number")).equals(result[1:])
