"""`query_arrow`: every type as pyarrow, polars and pandas read it, held against what `query` gives.

Rows, batches and values that Arrow has not got; what a backend that lies gets; who holds the memory.
"""

import datetime as dt
import gc
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pandas as pd
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hyperdjango.database import (
    DataError,
    DivisionByZero,
    Interval,
    ProtocolError,
    QueryTimeout,
    SyncDatabase,
)
from pgkit import Answer, Column, ScriptedBackend, serve, startup
from pgkit.face import Face, OpenFace
from postgres_servers import Server
from typekit import fresh_database, quoted

BATCH_ROWS: Final = 65_536


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(
        server,
        "CREATE EXTENSION hstore",
        "CREATE EXTENSION citext",
        "CREATE TYPE mood AS ENUM ('sad', 'fine')",
        "CREATE TYPE pair AS (id int4, label text)",
        "CREATE DOMAIN amount AS numeric(10, 3)",
    ) as database:
        yield database


class Case(NamedTuple):
    """A type, the Arrow type of its column, and values as the server reads them."""

    type: str
    arrow: pa.DataType
    literals: tuple[str, ...]


# The values are those that `query` gives.
SAME: Final = [
    Case("bool", pa.bool_(), ("true", "false")),
    Case("int2", pa.int16(), ("1", "-32768", "32767")),
    Case("int4", pa.int32(), ("1", "-2147483648", "2147483647")),
    Case("int8", pa.int64(), ("1", "-9223372036854775808", "9223372036854775807")),
    Case("oid", pa.uint32(), ("0", "4294967295")),
    Case("xid8", pa.uint64(), ("0", "18446744073709551615")),
    Case("float4", pa.float32(), ("1.5", "-0", "Infinity", "-Infinity", "1e-40", "0.1")),
    Case("float8", pa.float64(), ("1.5", "-0", "Infinity", "5e-324", "0.1", "1.7976931348623157e308")),
    Case("text", pa.string(), ("", "x", "žlutý kůň", "a\\b\"c'd", "long " * 5000)),
    Case("varchar(5)", pa.string(), ("", "abcde")),
    Case("char(5)", pa.string(), ("ab",)),
    Case("name", pa.string(), ("pg_class",)),
    Case("citext", pa.string(), ("MiXed",)),
    Case("mood", pa.string(), ("sad", "fine")),
    Case('"char"', pa.string(), ("a", "\\377")),
    Case("bytea", pa.binary(), ("", "\\x00ff", "abc")),
    Case("date", pa.date32(), ("2024-02-29", "1969-12-31", "0001-01-01", "9999-12-31")),
    Case("time", pa.time64("us"), ("00:00", "23:59:59.999999")),
    Case(
        "timestamp",
        pa.timestamp("us"),
        (
            "2024-02-29 12:34:56.789012",
            "1969-12-31 23:59:59.999999",
            "0001-01-01",
            "9999-12-31 23:59:59.999999",
        ),
    ),
    Case("timestamptz", pa.timestamp("us", "UTC"), ("2024-02-29 12:34:56.789012+02", "1700-01-01 00:00+00")),
    Case("uuid", pa.uuid(), ("00000000-0000-0000-0000-000000000005", "ffffffff-ffff-ffff-ffff-ffffffffffff")),
    Case("numeric(12,2)", pa.decimal128(12, 2), ("0", "-0.01", "9999999999.99", "1.5")),
    Case("numeric(38,10)", pa.decimal128(38, 10), ("0", "-9999999999999999999999999999.9999999999", "1")),
    Case("numeric(60,30)", pa.decimal256(60, 30), ("0", "-123456789012345678901234567890.1", "1e-30")),
    Case("amount", pa.decimal128(10, 3), ("1.5",)),
    Case("int4[]", pa.list_(pa.int32()), ("{}", "{1,NULL,-3}")),
    Case("text[]", pa.list_(pa.string()), ("{}", '{a,NULL,"b c"}')),
    Case("timestamptz[]", pa.list_(pa.timestamp("us", "UTC")), ("{2024-01-01 00:00+00}",)),
    Case("numeric(5,2)[]", pa.list_(pa.decimal128(5, 2)), ("{1.5,NULL}",)),
    Case("mood[]", pa.list_(pa.string()), ("{sad,fine}",)),
    Case("inet[]", pa.list_(pa.string()), ("{}", "{1.2.3.4/8,NULL,::1}")),
    Case("money[]", pa.list_(pa.string()), ("{$1.00}",)),
    Case("oidvector", pa.list_(pa.uint32()), ("1 2 3", "")),
    Case("uuid[]", pa.list_(pa.uuid()), ("{00000000-0000-0000-0000-000000000005}",)),
    Case("inet", pa.string(), ("1.2.3.4/8", "::1")),
    Case("cidr", pa.string(), ("10.0.0.0/8",)),
    Case("macaddr", pa.string(), ("08:00:2b:01:02:03",)),
    Case("bit(3)", pa.string(), ("101",)),
    Case("varbit", pa.string(), ("",)),
    Case("money", pa.string(), ("1",)),
    Case("pg_lsn", pa.string(), ("1/23",)),
    Case("tsvector", pa.string(), ("'a':1 'b'",)),
    Case("regclass", pa.string(), ("pg_class",)),
    Case("aclitem", pa.string(), ("=r/postgres",)),
]
# As the server prints them, which for `query` are objects of classes of their own.
PRINTED: Final = [
    *("numeric", "timetz", "jsonpath", "int4range", "daterange", "numrange", "int4multirange", "hstore"),
    *("point", "line", "lseg", "box", "path", "polygon", "circle", "pair"),
]
PRINTED_LITERALS: Final = {
    "numeric": ["1.50", "NaN", "1e40", "-0.000000000001"],
    "timetz": ["01:02:03.5+01"],
    "jsonpath": ["$.a"],
    "int4range": ["[1,5)", "empty", "(,)"],
    "daterange": ["[2024-01-01,)"],
    "numrange": ["[1.50,2)"],
    "int4multirange": ["{[1,2),[5,6)}"],
    "hstore": ['"a"=>"1", "b"=>NULL'],
    "point": ["(1,2.5)"],
    "line": ["{1,2,3}"],
    "lseg": ["[(1,2),(3,4)]"],
    "box": ["(3,4),(1,2)"],
    "path": ["[(1,2),(3,4)]"],
    "polygon": ["((1,2),(3,4))"],
    "circle": ["<(1,2),3>"],
    "pair": ["(1,x)", '(,"a b")'],
}


def column_of(type_name: str, literals: tuple[str, ...] | list[str]) -> str:
    """A query of one column `v`: the values, and a NULL among them."""
    values = [f"CAST({quoted(literal)} AS {type_name})" for literal in literals]
    values.insert(1, f"CAST(NULL AS {type_name})")
    return (
        "SELECT v FROM (VALUES "
        + ", ".join(f"({n}, {v})" for n, v in enumerate(values))
        + ") t(n, v) ORDER BY n"
    )


def values_of(db: Any, sql: str) -> list[Any]:
    return [row[0] for row in db.query(sql, into=tuple)]


def table_of(result: Any) -> pa.Table:
    """The result as pyarrow reads it, every buffer checked."""
    table = pa.table(result)
    table.validate(full=True)
    return table


def frame_of(result: Any) -> Any:
    frame = pd.DataFrame
    return frame.from_arrow(result)  # type: ignore[attr-defined] # the stubs are older


@pytest.mark.parametrize("case", SAME, ids=[case.type for case in SAME])
def test_pyarrow_reads_what_query_gives(db: SyncDatabase, case: Case) -> None:
    sql = column_of(case.type, case.literals)
    table = table_of(db.query_arrow(sql))
    assert table.schema.field("v").type == case.arrow
    assert table.column("v").null_count == 1
    found, expected = table.column("v").to_pylist(), values_of(db, sql)
    assert found == expected
    if case.type != "float4" and not case.type.endswith("[]"):
        assert list(map(str, found)) == list(map(str, expected))  # 1.50 is not 1.5, -0.0 is not 0.0


@pytest.mark.parametrize("type_name", PRINTED)
def test_what_arrow_has_no_type_for_is_the_servers_text(db: SyncDatabase, type_name: str) -> None:
    sql = column_of(type_name, PRINTED_LITERALS[type_name])
    table = table_of(db.query_arrow(sql))
    assert table.schema.field("v").type == pa.string()
    assert table.column("v").to_pylist() == values_of(db, f"SELECT v::text FROM ({sql}) t")


@pytest.mark.parametrize("type_name", ["json", "jsonb"])
def test_json_is_text_that_is_marked_as_json(db: SyncDatabase, type_name: str) -> None:
    sql = column_of(type_name, ['{"a": [1, null]}', "1e400", '"ž"'])
    table = table_of(db.query_arrow(sql))
    assert table.schema.field("v").type == pa.json_(pa.string())
    found = table.column("v").to_pylist()
    assert [None if text is None else json.loads(text) for text in found] == values_of(db, sql)


def test_an_interval_keeps_its_three_parts(db: SyncDatabase) -> None:
    table = table_of(db.query_arrow(column_of("interval", ["1 year 2 mons 3 days 04:05:06.789", "-1 day"])))
    assert table.schema.field("v").type == pa.month_day_nano_interval()
    assert table.column("v").to_pylist() == [(14, 3, 14_706_789_000_000), None, (0, -1, 0)]


def test_a_vector_is_a_list_of_floats(db: SyncDatabase) -> None:
    if not db.query_val("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("pgvector is not installed")
    db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for type_name in ("vector", "halfvec"):
        table = table_of(db.query_arrow(f"SELECT '[1, -2.5, 3]'::{type_name} AS v UNION ALL SELECT NULL"))
        assert table.schema.field("v").type == pa.list_(pa.float32())
        assert table.column("v").to_pylist() == [[1, -2.5, 3], None]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("numeric(38,0)", pa.decimal128(38, 0)),
        ("numeric(39,0)", pa.decimal256(39, 0)),
        ("numeric(76,70)", pa.decimal256(76, 70)),
        ("numeric(77,0)", pa.string()),
        ("numeric", pa.string()),
    ],
)
def test_a_numeric_has_its_declared_precision(db: SyncDatabase, declared: str, expected: pa.DataType) -> None:
    table = table_of(db.query_arrow(f"SELECT CAST('1' AS {declared}) AS v"))
    assert table.schema.field("v").type == expected
    assert Decimal(table.column("v").to_pylist()[0]) == 1


def test_odd_scales_come_as_decimals_of_scale_zero_and_more(db: SyncDatabase) -> None:
    table = table_of(db.query_arrow("SELECT '0.00012'::numeric(3,5) AS small"))
    assert table.to_pylist() == [{"small": Decimal("0.00012")}]
    assert table.schema.field("small").type == pa.decimal128(5, 5)
    table = table_of(db.query_arrow("SELECT '12345'::numeric(3,-2) AS large"))
    assert table.to_pylist() == [{"large": Decimal(12300)}]
    assert table.schema.field("large").type == pa.decimal128(5, 0)


READABLE: Final = [case for case in SAME if case.type != "numeric(60,30)"]


@pytest.mark.parametrize("case", READABLE, ids=[case.type for case in READABLE])
def test_polars_reads_what_query_gives(db: SyncDatabase, case: Case) -> None:
    sql = column_of(case.type, case.literals)
    frame = pl.DataFrame(db.query_arrow(sql))
    found, expected = frame["v"].to_list(), values_of(db, sql)
    if "uuid" in case.type:  # as bytes, in polars
        found = json.loads(json.dumps(found, default=bytes.hex))
        expected = json.loads(json.dumps(expected, default=lambda value: value.hex))
    assert found == expected


IN_PANDAS: Final = [case for case in SAME if case.type != "uuid[]"]  # of which pandas makes nothing


@pytest.mark.parametrize("case", IN_PANDAS, ids=[case.type for case in IN_PANDAS])
def test_pandas_reads_what_query_gives(db: SyncDatabase, case: Case) -> None:
    sql = f"SELECT v FROM ({column_of(case.type, case.literals)}) t"
    series = frame_of(db.query_arrow(sql))["v"]
    assert list(series.isna()) == [value is None for value in values_of(db, sql)]
    # Whole: a column of integers with a NULL is one of floats, in pandas.
    sql += " WHERE v IS NOT NULL"
    found = list(frame_of(db.query_arrow(sql))["v"])
    for value, known in zip(found, values_of(db, sql), strict=True):
        if not isinstance(known, list):
            assert value == known
        elif known and isinstance(known[0], str):
            assert list(value) == known
        else:
            assert len(value) == len(known)


def test_text_and_numbers_reach_all_three_alike(db: SyncDatabase) -> None:
    result = db.query_arrow("SELECT n, n::text AS t, n * 0.5::float8 AS f FROM generate_series(1, 5) n")
    expected = db.query("SELECT n, n::text AS t, n * 0.5::float8 AS f FROM generate_series(1, 5) n")
    assert pa.table(result).to_pylist() == expected
    assert pl.DataFrame(result).to_dicts() == expected
    assert frame_of(result).to_dict("records") == expected


def test_no_rows_have_their_types_all_the_same(face: Face) -> None:
    result = face.query_arrow("SELECT 1 AS n, 'x' AS t, '{}'::int4[] AS l WHERE false")
    table = table_of(result)
    assert (table.num_rows, table.schema) == (
        0,
        pa.schema([("n", pa.int32()), ("t", pa.string()), ("l", pa.list_(pa.int32()))]),
    )
    assert (result.num_rows, result.num_columns, result.num_batches) == (0, 3, 0)


def test_rows_may_have_no_columns_and_commands_no_rows(face: Face) -> None:
    result = face.query_arrow("SELECT FROM generate_series(1, 3)")
    assert (result.num_rows, result.num_columns, result.column_names) == (3, 0, ())
    face.execute("CREATE TABLE t (id int4)")
    for _ in range(2):
        result = face.query_arrow("INSERT INTO t VALUES (1)")
        assert (result.num_rows, result.num_columns) == (0, 0)
    assert table_of(face.query_arrow("INSERT INTO t VALUES ($1) RETURNING id", 7)).to_pylist() == [{"id": 7}]
    assert face.query_val("SELECT count(*) FROM t") == 3
    with pytest.raises(DivisionByZero):
        face.query_arrow("SELECT 1/0")
    assert table_of(face.query_arrow("")).num_columns == 0


def test_duplicate_names_are_all_there(face: Face) -> None:
    result = face.query_arrow('SELECT 1 AS a, \'x\' AS a, 2 AS "žlutý", 3 AS "?column?"')
    assert result.column_names == ("a", "a", "žlutý", "?column?")
    assert table_of(result).columns[1].to_pylist() == ["x"]
    assert repr(result) == "<ArrowStream: 1 rows, 4 columns>"


def test_many_rows_come_in_batches(face: Face) -> None:
    count = 2 * BATCH_ROWS + 10
    result = face.query_arrow(
        "SELECT n, CASE WHEN n % 7 <> 0 THEN n::text END AS t, ARRAY[n, NULL] AS l, n % 3 = 0 AS b"
        f" FROM generate_series(1, {count}) n"
    )
    table = table_of(result)
    assert (result.num_batches, result.num_rows) == (3, count)
    assert table.column("n").to_pylist() == list(range(1, count + 1))
    assert table.column("t").to_pylist() == [str(n) if n % 7 else None for n in range(1, count + 1)]
    assert table.column("l").to_pylist() == [[n, None] for n in range(1, count + 1)]
    assert table.column("b").to_pylist() == [n % 3 == 0 for n in range(1, count + 1)]
    assert [len(batch) for batch in table.to_batches()] == [BATCH_ROWS, BATCH_ROWS, 10]


def test_long_values_end_a_batch_early(face: Face) -> None:
    result = face.query_arrow("SELECT repeat('x', 40000000) AS t FROM generate_series(1, 3)")
    table = table_of(result)
    assert result.num_batches == 3
    assert [len(str(value)) for value in table.column("t")] == [40_000_000] * 3
    assert face.query_arrow("SELECT repeat('x', 70000000) AS t").num_rows == 1


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("date 'infinity'", "an infinite date"),
        ("timestamp '-infinity'", "an infinite timestamp"),
        ("timestamptz 'infinity'", "an infinite timestamp"),
        ("timestamp '294276-12-31'", "later than Arrow can count"),
        ("time '24:00'", "24:00:00"),
        ("interval '178000000 years' + interval '2500000000 hours'", "more nanoseconds"),
        ("'NaN'::numeric(5,2)", "NaN"),
        ("ARRAY[[1, 2], [3, 4]]", "several dimensions"),
        ("ARRAY[[inet '::1']]", "several dimensions"),
        ("ARRAY[date 'infinity']", "an infinite date"),
    ],
)
def test_a_value_that_arrow_has_not_got_is_an_error_that_names_the_column(
    face: Face, expression: str, why: str
) -> None:
    with pytest.raises(DataError, match=rf'^column "bad" \([^)]+\)+: .*{why}'):
        face.query_arrow(f"SELECT 1 AS good, {expression} AS bad")
    assert table_of(face.query_arrow(f"SELECT CAST({expression} AS text) AS v")).num_rows == 1


def test_infinite_intervals_are_errors(db: SyncDatabase) -> None:
    if db.query_val("SELECT current_setting('server_version_num')::int") < 170_000:
        pytest.skip("infinite intervals came with PostgreSQL 17")
    with pytest.raises(DataError, match="an infinite interval"):
        db.query_arrow("SELECT interval 'infinity' AS v")


def test_rows_before_an_error_are_dropped_and_the_connection_goes_on(face: Face) -> None:
    with pytest.raises(DivisionByZero):
        face.query_arrow("SELECT 1/(100000 - n) FROM generate_series(1, 100000) n")
    with pytest.raises(QueryTimeout):
        face.query_arrow("SELECT n, pg_sleep(5) FROM generate_series(1, 100) n", timeout=0.1)
    assert table_of(face.query_arrow("SELECT 1 AS n")).to_pylist() == [{"n": 1}]


def test_it_runs_in_a_block_and_after_other_shapes_of_the_same_text(face: Face) -> None:
    sql = "SELECT $1::int4 AS n, int4range(1, 5) AS r, '{1}'::int4[] AS l"
    for _ in range(3):
        rows = face.query(sql, 7)
        assert table_of(face.query_arrow(sql, 7)).to_pylist() == [{"n": 7, "r": "[1,5)", "l": [1]}]
        assert face.query(sql, 7) == rows
        with face.transaction():
            assert table_of(face.query_arrow(sql, 8)).column("n").to_pylist() == [8]


def test_two_connections_know_a_text_of_odd_types_whichever_was_first(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 2, 2)
    sql = "SELECT int4range(1, 5) AS r, inet '::1' AS i, 1 AS n"
    expected = [{"r": "[1,5)", "i": "::1", "n": 1}]
    assert table_of(face.query_arrow(sql)).to_pylist() == expected
    with face.transaction():
        assert table_of(face.query_arrow(sql)).to_pylist() == expected
        other = face.query(sql)
    assert face.query(sql) == other


def test_a_column_that_was_altered_is_read_as_what_it_is_now(open_face: OpenFace, url: str) -> None:
    face, other = open_face(url), open_face(url)
    face.execute("CREATE TABLE t (v numeric(5,2))")
    face.execute("INSERT INTO t VALUES (1)")
    assert table_of(face.query_arrow("SELECT v FROM t")).schema.field("v").type == pa.decimal128(5, 2)
    for declared, expected in [
        ("numeric(10,4)", pa.decimal128(10, 4)),
        ("numeric", pa.string()),
        ("int4", pa.int32()),
        ("text", pa.string()),
    ]:
        other.execute(f"ALTER TABLE t ALTER v TYPE {declared}")
        assert table_of(face.query_arrow("SELECT v FROM t")).schema.field("v").type == expected


def test_an_altered_column_that_came_in_a_format_of_before_is_said(open_face: OpenFace, url: str) -> None:
    """The pool knows a text; a new connection, which has not prepared it, meets the altered table first."""
    face, other = open_face(url), open_face(url)
    face.execute("CREATE TABLE t (v int4)")
    face.execute("INSERT INTO t VALUES (1)")
    face.query_arrow("SELECT v FROM t")
    other.execute("ALTER TABLE t ALTER v TYPE inet USING '::1'")
    other.query("SELECT pg_terminate_backend($1, 5000)", face.query_val("SELECT pg_backend_pid()"))
    with pytest.raises(DataError, match=r'column "v" \(inet\): its type was altered'):
        face.query_arrow("SELECT v FROM t")
    assert table_of(face.query_arrow("SELECT v FROM t")).to_pylist() == [{"v": "::1"}]


def test_types_that_are_met_for_the_first_time_are_looked_up(open_face: OpenFace, url: str) -> None:
    face = open_face(url)
    face.execute("CREATE TYPE mood AS ENUM ('sad', 'fine'); CREATE TYPE place AS (a int4, m mood)")
    result = face.query_arrow("SELECT 'sad'::mood AS m, ROW(1, 'fine')::place AS p, ARRAY['fine'::mood] AS l")
    assert table_of(result).to_pylist() == [{"m": "sad", "p": "(1,fine)", "l": ["fine"]}]


def test_a_codec_of_ones_own_is_not_asked(open_face: OpenFace, url: str) -> None:
    face = open_face(url)
    face.register_codec("int4", encode=str, decode=lambda text: f"<{text}>")
    assert face.query_val("SELECT 5") == "<5>"
    assert table_of(face.query_arrow("SELECT 5 AS v, ARRAY[5] AS l")).to_pylist() == [{"v": "5", "l": ["5"]}]


# Name, the type's OID, a value.
MALFORMED: Final = [
    ("a short int4", 23, b"\0\0"),
    ("a bool of 2", 16, b"\x02"),
    ("a cut numeric", 1700, b"\0\x01\0\0\0\0\0\0"),
    ("an array without end", 1007, b"\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01"),
    ("a short uuid", 2950, b"x"),
    ("a jsonb of another version", 3802, b"\x09{}"),
    ("a date that no calendar has", 1082, b"\x7f\xff\xff\xfe"),
    ("a time after midnight", 1083, b"\x7f" + b"\xff" * 7),
    ("an array of texts that is not closed", 1041, b"{1"),
]


@pytest.mark.parametrize(
    ("type_oid", "value"), [case[1:] for case in MALFORMED], ids=[c[0] for c in MALFORMED]
)
def test_bytes_that_are_no_value_end_the_connection(open_face: OpenFace, type_oid: int, value: bytes) -> None:
    answer = Answer([Column("n", 23, 4), Column("v", type_oid)], [[b"\0\0\0\x01", value]])
    script = [*startup(), serve({"SELECT v": answer})]
    with ScriptedBackend(script, script, frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), 0)
        with pytest.raises(ProtocolError, match='column "v"'):
            face.query_arrow("SELECT v")
        face.disconnect()


@pytest.mark.parametrize(
    ("row", "why"), [([b"\0\0\0\x01"], "another number of values"), ([b"x", b"\xff"], 'column "n"')]
)
def test_rows_of_another_form_end_the_connection(open_face: OpenFace, row: list[bytes], why: str) -> None:
    answer = Answer([Column("n", 23, 4), Column("v", 25)], [row])
    script = [*startup(), serve({"SELECT v": answer})]
    with ScriptedBackend(script, script, frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), 0)
        with pytest.raises(ProtocolError, match=why):
            face.query_arrow("SELECT v")
        face.disconnect()


def test_text_that_is_not_utf_8_is_an_error_that_names_the_column(open_face: OpenFace) -> None:
    answer = Answer([Column("v", 25)], [[b"fine"], [b"\xff\xfe"]])
    script = [*startup(), serve({"SELECT v": answer})]
    with ScriptedBackend(script, script, frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), 0)
        with pytest.raises(DataError, match=r'column "v" \(text\): the text is not UTF-8'):
            face.query_arrow("SELECT v")
        face.disconnect()


def test_a_result_is_read_as_often_as_one_likes_and_after_its_own_end(db: SyncDatabase) -> None:
    result = db.query_arrow("SELECT n, n::text AS t FROM generate_series(1, 100000) n")
    first, second = pa.table(result), pa.table(result)
    reader = pa.RecordBatchReader.from_stream(result)
    batch = reader.read_next_batch()
    del result
    gc.collect()
    assert first == second
    assert reader.read_all().num_rows + batch.num_rows == 100_000
    del first, reader
    column = batch.column(1)
    del batch
    gc.collect()
    assert column[10].as_py() == "11"
    assert second.column("t")[99_999].as_py() == "100000"


def test_capsules_that_nobody_reads_are_let_go(db: SyncDatabase) -> None:
    result = db.query_arrow("SELECT n FROM generate_series(1, 10) n")
    for _ in range(3):
        result.__arrow_c_stream__()
        result.__arrow_c_schema__()
    kept = result.__arrow_c_stream__(None)
    assert "arrow_array_stream" in repr(kept)
    assert "arrow_schema" in repr(result.__arrow_c_schema__())
    assert pa.schema(result) == pa.schema([("n", pa.int32())])
    with pytest.raises(TypeError):
        result.__arrow_c_stream__(None, None)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        type(result)()


def test_another_schema_may_be_asked_for_and_is_the_consumers_affair(db: SyncDatabase) -> None:
    result = db.query_arrow("SELECT n FROM generate_series(1, 3) n")
    wanted = pa.schema([("n", pa.int64())])
    assert pa.RecordBatchReader.from_stream(result, schema=wanted).read_all().column("n").to_pylist() == [
        1,
        2,
        3,
    ]


def test_threads_may_read_and_let_go_of_one_result_at_once(db: SyncDatabase) -> None:
    result = db.query_arrow("SELECT n, n::text AS t FROM generate_series(1, 200000) n")
    held = [pa.table(result) for _ in range(8)]
    sums: list[int] = []

    def read(table: list[pa.Table]) -> None:
        taken = table.pop()
        sums.append(sum(len(batch) for batch in taken.to_batches()))
        del taken

    threads = [threading.Thread(target=read, args=(held,)) for _ in range(8)]
    del result
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [200_000] * 8


def test_exact_intervals_and_arrow_agree(db: SyncDatabase) -> None:
    months, days, nanoseconds = pa.table(
        db.query_arrow("SELECT interval '1 year 2 days 3.5 seconds' AS v")
    ).to_pylist()[0]["v"]
    assert Interval(months, days, nanoseconds // 1000) == Interval(12, 2, 3_500_000)
    assert db.query_val("SELECT interval '2 days 3.5 seconds'") == dt.timedelta(
        days=2, microseconds=3_500_000
    )


# A process in which no Arrow library can be imported.
ALONE: Final = """
import sys
for name in ("pyarrow", "polars", "pandas", "numpy"):
    sys.modules[name] = None
from hyperdjango.database import SyncDatabase

with SyncDatabase(sys.argv[1], 1, 1) as db:
    db.execute("CREATE TABLE t (n int8, s text, at timestamptz, l int4[], d numeric(9, 2))")
    db.execute("INSERT INTO t VALUES (1, 'a', now(), '{1,NULL}', 1.5), (NULL, NULL, NULL, NULL, NULL)")
    result = db.query_arrow("TABLE t")
    print(result, type(result.__arrow_c_stream__()).__name__, db.ingest_arrow("t", result))
"""


def test_no_arrow_library_is_needed_to_give_or_to_take_columns(url: str) -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, url], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "<ArrowStream: 2 rows, 5 columns> PyCapsule COPY 2\n"
