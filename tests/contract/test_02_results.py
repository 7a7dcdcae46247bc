"""Section 2 of the contract: results, by the columns' types. Parameters: test_02_parameters.py."""

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import pytest
from contract.guarded import Guarded
from contract.values import ID, PARIS, both_ways, check_result
from hyperdjango.database import (
    Box,
    Circle,
    Database,
    Interval,
    Line,
    LineSegment,
    Multirange,
    Path,
    Point,
    Polygon,
    Range,
)

# -- results --

STRINGS = {
    "text": ("'é'::text", "é"),
    "varchar": ("'v'::varchar(5)", "v"),
    "char": ("'c'::char(3)", "c  "),
    "one char": ("'x'::\"char\"", "x"),
    "name": ("'n'::name", "n"),
    "citext": ("'Ci'::citext", "Ci"),
    "inet": ("'10.1.2.3/8'::inet", "10.1.2.3/8"),
    "cidr": ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
    "macaddr": ("'08002B010203'::macaddr", "08:00:2b:01:02:03"),
    "money": ("'12.5'::money", "$12.50"),
    "bit": ("B'0101'::bit(4)", "0101"),
    "varbit": ("B'01'::varbit", "01"),
    "pg_lsn": ("'0/16B3748'::pg_lsn", "0/16B3748"),
    "tsvector": ("'a fat cat'::tsvector", "'a' 'cat' 'fat'"),
    "jsonpath": ("'$.a'::jsonpath", '$."a"'),
}


@pytest.mark.line("2.result.int")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("(-32768)::int2", -(2**15)),
        ("2147483647::int4", 2**31 - 1),
        ("9223372036854775807", 2**63 - 1),
        ("4294967295::oid", 2**32 - 1),
    ],
    ids=["int2", "int4", "int8", "oid"],
)
async def test_integers_are_int(db: Database, sql: str, expected: int) -> None:
    """int2/4/8, oid → int."""
    await check_result(db, sql, expected)


@pytest.mark.line("2.result.float")
@pytest.mark.parametrize(("sql", "expected"), [("1.5::float4", 1.5), ("0.1::float8", 0.1)])
async def test_floats_are_float(db: Database, sql: str, expected: float) -> None:
    """float4/8 → float."""
    await check_result(db, sql, expected)


@pytest.mark.line("2.result.str")
@pytest.mark.parametrize("kind", STRINGS)
async def test_what_has_no_python_type_is_str(db: Database, kind: str) -> None:
    """text … jsonpath → str, in the form the server prints."""
    sql, expected = STRINGS[kind]
    await check_result(db, sql, expected)
    if kind not in {"char", "money"}:
        assert await db.query_val(f"SELECT ({sql})::text") == expected


@pytest.mark.line("2.result.str")
async def test_xml_is_str(guarded: Guarded) -> None:
    """xml → str, and as a parameter: the embedded server was built without it."""
    async with Database(guarded.server.url, 1, 1) as db:
        await both_ways(db, "xml", "<a>é</a>")


@pytest.mark.line("2.result.str")
async def test_an_enum_is_str(db: Database) -> None:
    """enum → str."""
    await db.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    await check_result(db, "'happy'::mood", "happy")


@pytest.mark.line("2.result.bool")
async def test_bool_is_bool(db: Database) -> None:
    """bool."""
    await check_result(db, "1 = 1", True)


@pytest.mark.line("2.result.timestamp")
async def test_timestamp_is_naive(db: Database) -> None:
    """timestamp → naive datetime."""
    await check_result(db, "'2026-11-26 01:02:03.000004'::timestamp", dt.datetime(2026, 11, 26, 1, 2, 3, 4))


@pytest.mark.line("2.result.timestamptz")
async def test_timestamptz_is_aware_in_utc(url: str) -> None:
    """timestamptz → aware, UTC, whatever the session's time zone."""
    async with Database(url, 1, 1, server_settings={"timezone": "Asia/Tokyo"}) as db:
        found = await db.query_val("SELECT '2026-11-26 09:00+09'::timestamptz")
    assert found == dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
    assert found.tzinfo is dt.UTC


@pytest.mark.line("2.result.date")
async def test_date_is_date(db: Database) -> None:
    """date."""
    await check_result(db, "'2026-11-26'::date", dt.date(2026, 11, 26))


@pytest.mark.line("2.result.time")
async def test_time_is_time(db: Database) -> None:
    """time."""
    await check_result(db, "'12:30:00.5'::time", dt.time(12, 30, 0, 500_000))


@pytest.mark.line("2.result.timetz")
async def test_timetz_has_a_tzinfo(db: Database) -> None:
    """timetz → time with tzinfo."""
    found = await db.query_val("SELECT '12:30+01'::timetz")
    assert (found, found.utcoffset()) == (dt.time(12, 30, tzinfo=PARIS), dt.timedelta(hours=1))


@pytest.mark.line("2.result.interval")
async def test_interval_is_timedelta(db: Database) -> None:
    """interval → timedelta: a month is 30 days, a year 365."""
    await check_result(db, "'1 mon 3 days 04:00'::interval", dt.timedelta(days=33, hours=4))
    await check_result(db, "'1 year'::interval", dt.timedelta(days=365))


@pytest.mark.line("2.result.interval_exact")
async def test_an_exact_interval_on_request(url: str) -> None:
    """Into an exact Interval on request: exact_intervals=True."""
    async with Database(url, 1, 1, exact_intervals=True) as db:
        await check_result(db, "'1 mon 3 days'::interval", Interval(months=1, days=3))


@pytest.mark.line("2.result.bytea")
async def test_bytea_is_bytes(db: Database) -> None:
    """bytea → bytes."""
    await check_result(db, r"'\x00ff'::bytea", b"\x00\xff")


@pytest.mark.line("2.result.json")
@pytest.mark.parametrize("type_name", ["json", "jsonb"])
async def test_json_is_python_values(db: Database, type_name: str) -> None:
    """json/jsonb → Python values."""
    await check_result(db, f"""'{{"a": [1, 2.5, null, true]}}'::{type_name}""", {"a": [1, 2.5, None, True]})


@pytest.mark.line("2.result.uuid")
async def test_uuid_is_uuid(db: Database) -> None:
    """uuid → UUID."""
    await check_result(db, f"'{ID}'::uuid", ID)


@pytest.mark.line("2.result.numeric")
@pytest.mark.parametrize("text", ["1.50", "100", "0.000", "-7", "NaN"])
async def test_numeric_is_decimal(db: Database, text: str) -> None:
    """numeric → Decimal (scale kept, NaN too)."""
    assert str(await db.query_val(f"SELECT '{text}'::numeric")) == text


@pytest.mark.line("2.result.numeric")
async def test_numeric_keeps_infinities(db: Database) -> None:
    """And infinities too."""
    await check_result(db, "'-Infinity'::numeric", Decimal("-Infinity"))


@pytest.mark.line("2.result.hstore")
async def test_hstore_is_a_dict(db: Database) -> None:
    """hstore → dict[str, str | None]."""
    await check_result(db, "'a=>1, b=>NULL'::hstore", {"a": "1", "b": None})


@pytest.mark.line("2.result.arrays")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("'{{1,NULL},{3,4}}'::int4[]", [[1, None], [3, 4]]),
        ("'{1.50,NULL}'::numeric[]", [Decimal("1.50"), None]),
        ("'{2026-11-26}'::date[]", [dt.date(2026, 11, 26)]),
        ("ARRAY['10.0.0.1'::inet]", ["10.0.0.1"]),
        ("""ARRAY['{"a": 1}'::jsonb]""", [{"a": 1}]),
        ("ARRAY['a=>1'::hstore]", [{"a": "1"}]),
        ("ARRAY['[1,3)'::int4range]", [Range(1, 3)]),
        ("'{}'::text[]", []),
    ],
    ids=["int4", "numeric", "date", "inet", "jsonb", "hstore", "range", "empty"],
)
async def test_arrays_are_nested_lists(db: Database, sql: str, expected: list[Any]) -> None:
    """Arrays of every element type, nested lists, NULL as None."""
    await check_result(db, sql, expected)


@pytest.mark.line("2.result.ranges")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("'[1,5]'::int4range", Range(1, 6)),
        ("'(,2026-01-01)'::daterange", Range(None, dt.date(2026, 1, 1), "()")),
        ("'empty'::numrange", Range(empty=True)),
        ("'{[1,3),[5,7)}'::int4multirange", Multirange([Range(1, 3), Range(5, 7)])),
    ],
    ids=["int4range", "daterange", "empty", "multirange"],
)
async def test_ranges_are_range_and_multirange(db: Database, sql: str, expected: Any) -> None:
    """Ranges and multiranges → Range, Multirange."""
    await check_result(db, sql, expected)


@pytest.mark.line("2.result.composite")
async def test_a_composite_is_a_tuple_with_names(db: Database) -> None:
    """Composite → tuple-like with field names."""
    await db.execute("CREATE TYPE pair AS (n int, s text)")
    found = await db.query_val("SELECT (1, 'a')::pair")
    assert found == (1, "a")
    assert (found.n, found.s) == (1, "a")


@pytest.mark.line("2.result.record")
async def test_a_record_is_a_tuple_with_names(db: Database) -> None:
    """Record → tuple-like with field names."""
    found = await db.query_val("SELECT ROW(1, 'a'::text)")
    assert found == (1, "a")
    assert (found.f1, found.f2) == (1, "a")


@pytest.mark.line("2.result.domain")
async def test_a_domain_is_its_base(db: Database) -> None:
    """Domains → their base."""
    await db.execute("CREATE DOMAIN percentage AS int CHECK (VALUE BETWEEN 0 AND 100)")
    await check_result(db, "50::percentage", 50)


@pytest.mark.line("2.result.geometric")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("'(1,2)'::point", Point(1.0, 2.0)),
        ("'{1,2,3}'::line", Line(1.0, 2.0, 3.0)),
        ("'[(0,0),(1,1)]'::lseg", LineSegment(Point(0.0, 0.0), Point(1.0, 1.0))),
        ("'(0,0),(1,1)'::box", Box(Point(1.0, 1.0), Point(0.0, 0.0))),
        ("'[(0,0),(1,1)]'::path", Path((Point(0.0, 0.0), Point(1.0, 1.0)), closed=False)),
        ("'((0,0),(1,1))'::polygon", Polygon((Point(0.0, 0.0), Point(1.0, 1.0)))),
        ("'<(0,0),1>'::circle", Circle(Point(0.0, 0.0), 1.0)),
    ],
    ids=["point", "line", "lseg", "box", "path", "polygon", "circle"],
)
async def test_geometric_types_are_named_tuples(db: Database, sql: str, expected: Any) -> None:
    """Geometric types → small named tuples."""
    await check_result(db, sql, expected)
    assert isinstance(expected, tuple)


# What pgvector installs, as far as a reader of its binary form can see it. The server may lack the real one, whose
# functions nobody calls here: bytea's stand in for them.
LIKE_PGVECTOR = """
    CREATE TYPE vector;
    CREATE FUNCTION vector_in(cstring) RETURNS vector LANGUAGE internal IMMUTABLE STRICT AS 'byteain';
    CREATE FUNCTION vector_out(vector) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'byteaout';
    CREATE FUNCTION vector_recv(internal) RETURNS vector LANGUAGE internal IMMUTABLE STRICT AS 'bytearecv';
    CREATE FUNCTION vector_send(vector) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'byteasend';
    CREATE TYPE vector (INPUT = vector_in, OUTPUT = vector_out, RECEIVE = vector_recv, SEND = vector_send);
    SET allow_system_table_mods = on;
    INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        VALUES (99999, 'vector', 10, 'public'::regnamespace, true, '0.8');
    INSERT INTO pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
        VALUES ('pg_type'::regclass, 'vector'::regtype, 0, 'pg_extension'::regclass, 99999, 0, 'e');
"""


@pytest.mark.line("2.result.vector")
async def test_a_vector_is_a_list_of_floats(second_url: str) -> None:
    """pgvector's vector → list[float]."""
    async with Database(second_url, 1, 1) as db:
        await db.execute(LIKE_PGVECTOR)
        wire_form = struct.pack("!HH3f", 3, 0, 1.0, -0.5, 3.0)
        await check_result(db, rf"'\x{wire_form.hex()}'::vector", [1.0, -0.5, 3.0])
        assert await db.query_val("SELECT vector_send($1::vector)", [1.0, -0.5, 3.0]) == wire_form
