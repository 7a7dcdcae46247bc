"""Section 2 of the contract: parameters by the server's types, results by the columns' types."""

import asyncio
import contextvars
import datetime as dt
import enum
import ipaddress
import math
import struct
import uuid
from decimal import Decimal
from typing import Any

import pytest
from contract.guarded import Guarded
from contract.wire import Wire
from hyperdjango.database import (
    Box,
    Circle,
    Database,
    DataError,
    Interval,
    InvalidTextRepresentation,
    Line,
    LineSegment,
    Multirange,
    Path,
    Point,
    Polygon,
    Range,
)

PARIS = dt.timezone(dt.timedelta(hours=1))
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Level(enum.Enum):
    LOW = 1
    NAME = "low"


async def both_ways(db: Database, type_name: str, value: Any) -> None:
    """The value is a parameter of the type, and comes back as it was."""
    found = await db.query_val(f"SELECT $1::{type_name}", value)
    assert found == value
    assert type(found) is type(value)


# -- parameters --


@pytest.mark.line("2.param.int")
@pytest.mark.parametrize(
    ("type_name", "expected"),
    [("int2", 7), ("int4", 7), ("int8", 7), ("numeric", Decimal(7)), ("float4", 7.0), ("float8", 7.0)],
)
async def test_int_is_encoded_as_asked(db: Database, type_name: str, expected: Any) -> None:
    """int → int2/4/8/numeric/float as asked."""
    found = await db.query_val(f"SELECT $1::{type_name}", 7)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.line("2.param.float")
@pytest.mark.parametrize("value", [0.1, -0.0, 1e308, math.inf])
async def test_float_keeps_its_bits(db: Database, value: float) -> None:
    """float."""
    assert repr(await db.query_val("SELECT $1::float8", value)) == repr(value)


@pytest.mark.line("2.param.str")
@pytest.mark.parametrize("type_name", ["text", "varchar", "name", "citext", "json"])
async def test_str_is_text_like(db: Database, type_name: str) -> None:
    """str → text-like."""
    text = '{"é": 1}' if type_name == "json" else "é🎉"
    assert await db.query_val(f"SELECT ($1::{type_name})::text", text) == text


@pytest.mark.line("2.param.bool")
async def test_bool(db: Database) -> None:
    """bool."""
    assert await db.query("SELECT $1::bool AS t, $2::bool AS f", True, False) == [{"t": True, "f": False}]


@pytest.mark.line("2.param.none")
async def test_none_is_null(db: Database) -> None:
    """None."""
    assert await db.query_val("SELECT $1::int IS NULL AND $2::text IS NULL", None, None) is True


@pytest.mark.line("2.param.bytes")
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
async def test_bytes_like_is_bytea(db: Database, make: Any) -> None:
    """bytes/bytearray/memoryview → bytea."""
    assert await db.query_val("SELECT $1::bytea", make(b"\x00\xff'")) == b"\x00\xff'"


@pytest.mark.line("2.param.datetime")
async def test_datetime(db: Database) -> None:
    """datetime."""
    await both_ways(db, "timestamp", dt.datetime(2026, 11, 26, 1, 2, 3, 456789))
    moment = dt.datetime(2026, 11, 26, 1, 2, 3, tzinfo=PARIS)
    assert await db.query_val("SELECT $1::timestamptz", moment) == moment


@pytest.mark.line("2.param.date")
async def test_date(db: Database) -> None:
    """date."""
    await both_ways(db, "date", dt.date(2026, 11, 26))


@pytest.mark.line("2.param.time")
async def test_time(db: Database) -> None:
    """time."""
    await both_ways(db, "time", dt.time(23, 59, 59, 999999))
    await both_ways(db, "timetz", dt.time(1, 2, tzinfo=PARIS))


@pytest.mark.line("2.param.timedelta")
async def test_timedelta(db: Database) -> None:
    """timedelta."""
    await both_ways(db, "interval", dt.timedelta(days=-40, microseconds=1))


@pytest.mark.line("2.param.uuid")
async def test_uuid(db: Database) -> None:
    """UUID."""
    await both_ways(db, "uuid", ID)


@pytest.mark.line("2.param.decimal")
@pytest.mark.parametrize("text", ["1.50", "-0.001", "1E+30", "NaN", "123456789012345678901234567890.5"])
async def test_decimal(db: Database, text: str) -> None:
    """Decimal."""
    assert await db.query_val("SELECT ($1::numeric)::text", Decimal(text)) == format(Decimal(text), "f")


@pytest.mark.line("2.param.array")
@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("int4[]", [1, None, 3]),
        ("text[]", ["a,b", None, '"']),
        ("int8[]", [[1, 2], [3, None]]),
        ("float8[]", [[[1.0], [2.0]]]),
        ("uuid[]", [ID]),
        ("text[]", []),
    ],
)
async def test_list_and_tuple_are_arrays(db: Database, type_name: str, value: list[Any]) -> None:
    """list/tuple → array of the server's element type (n-dimensional, with NULLs)."""
    await both_ways(db, type_name, value)
    assert await db.query_val(f"SELECT $1::{type_name}", tuple(value)) == value


@pytest.mark.line("2.param.json")
@pytest.mark.parametrize("type_name", ["json", "jsonb"])
@pytest.mark.parametrize("value", [{"a": [1, None, "é"]}, [1, {"b": 2.5}]])
async def test_dict_and_list_are_json(db: Database, type_name: str, value: Any) -> None:
    """dict (and list) → json/jsonb."""
    await both_ways(db, type_name, value)


@pytest.mark.line("2.param.ipaddress")
async def test_ipaddress_is_inet_and_cidr(db: Database) -> None:
    """ipaddress → inet/cidr."""
    assert await db.query_val("SELECT $1::inet", ipaddress.ip_address("10.0.0.1")) == "10.0.0.1"
    assert await db.query_val("SELECT $1::inet", ipaddress.ip_interface("::1/64")) == "::1/64"
    assert await db.query_val("SELECT $1::cidr", ipaddress.ip_network("10.0.0.0/8")) == "10.0.0.0/8"


@pytest.mark.line("2.param.enum")
async def test_enum_members_go_by_their_value(db: Database) -> None:
    """Enum members by value."""
    await db.execute("CREATE TYPE level AS ENUM ('low', 'high')")
    assert await db.query_val("SELECT $1::int4", Level.LOW) == 1
    assert await db.query_val("SELECT $1::level", Level.NAME) == "low"


@pytest.mark.line("2.param.str_anywhere")
async def test_a_str_for_another_type_is_parsed_by_the_server(db: Database) -> None:
    """A str given for a non-text type goes in text format, and the server's own error comes back."""
    assert await db.query_val("SELECT $1::int", "12") == 12
    assert await db.query_val("SELECT $1::date", "2026-11-26") == dt.date(2026, 11, 26)
    with pytest.raises(InvalidTextRepresentation) as failed:
        await db.query_val("SELECT $1::int", "not_an_int")
    assert str(failed.value).startswith('invalid input syntax for type integer: "not_an_int"')


REFUSED: dict[str, tuple[str, Any, str]] = {
    "range": ("int2", 40_000, r"\$1.*int.*int2.*range"),
    "naive": ("timestamptz", dt.datetime(2026, 11, 26), r"\$1.*datetime.*timestamptz.*naive"),
    "nul": ("text", "a\0b", r"\$1.*str.*text.*NUL"),
    "ragged": ("int4[]", [[1], [2, 3]], r"\$1.*list.*int4.*ragged"),
}


async def check_refused(wire: Wire, what: str) -> None:
    """The error names number, Python type and SQL type, and nothing was sent."""
    type_name, value, message = REFUSED[what]
    async with Database(wire.url, 1, 1) as db:
        await db.query_val(f"SELECT $1::{type_name}", None)
        wire.sent.clear()
        with pytest.raises(DataError, match=message):
            await db.query_val(f"SELECT $1::{type_name}", value)
        assert wire.sent == []
        assert await db.query_val("SELECT 1") == 1


@pytest.mark.line("2.param.range")
async def test_out_of_range_is_refused(wire: Wire) -> None:
    """Out of range: a DataError that names the parameter's number, the Python type and the SQL type."""
    await check_refused(wire, "range")


@pytest.mark.line("2.param.naive")
async def test_a_naive_datetime_for_timestamptz_is_refused(wire: Wire) -> None:
    """Naive datetime for timestamptz: a DataError."""
    await check_refused(wire, "naive")


@pytest.mark.line("2.param.nul")
async def test_nul_in_text_is_refused(wire: Wire) -> None:
    """NUL in text: a DataError."""
    await check_refused(wire, "nul")


@pytest.mark.line("2.param.ragged")
async def test_a_ragged_list_is_refused(wire: Wire) -> None:
    """Ragged lists: a DataError."""
    await check_refused(wire, "ragged")


@pytest.mark.line("2.param.unsent")
@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_refused_runs_nothing(db: Database, what: str) -> None:
    """Before anything is sent: the statement has not run, on its first use either."""
    type_name, value, _ = REFUSED[what]
    await db.execute("CREATE SEQUENCE runs")
    with pytest.raises(DataError):
        await db.query(f"SELECT nextval('runs'), $1::{type_name}", value)
    assert await db.query_val("SELECT is_called FROM runs") is False


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


async def check_result(db: Database, sql: str, expected: Any) -> None:
    found = await db.query_val(f"SELECT {sql}")
    assert found == expected
    assert type(found) is type(expected)


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


@pytest.mark.line("2.found.once")
async def test_types_are_found_on_first_meeting_once_per_pool(wire: Wire) -> None:
    """Enums, domains, composites and extension types are found by themselves, once per pool."""

    async def ask() -> object:
        return await db.query_val("SELECT (ARRAY[(1, 'red')::spot, (2, 'red')::spot])[2]")

    async with Database(wire.url, 2, 2) as db:
        await db.execute("CREATE TYPE tint AS ENUM ('red'); CREATE TYPE spot AS (at int, of tint)")
        assert await ask() == (2, "red")
        assert b"pg_type" in wire.bytes_sent
        wire.sent.clear()
        async with db.transaction():
            here = await db.query_val("SELECT pg_backend_pid()")
            assert await ask() == (2, "red")
            # Outside of the block, so on the other connection.
            outside = contextvars.Context()
            there = asyncio.create_task(db.query_val("SELECT pg_backend_pid()"), context=outside)
            assert await there != here
            assert await asyncio.create_task(ask(), context=outside) == (2, "red")
        assert b"pg_type" not in wire.bytes_sent


@pytest.mark.line("2.infinity")
@pytest.mark.parametrize(
    ("type_name", "least", "greatest"),
    [
        ("date", dt.date.min, dt.date.max),
        ("timestamp", dt.datetime.min, dt.datetime.max),
        (
            "timestamptz",
            dt.datetime.min.replace(tzinfo=dt.UTC),
            dt.datetime.max.replace(tzinfo=dt.UTC),
        ),
    ],
)
async def test_infinity_is_max_and_min_in_both_directions(
    db: Database, type_name: str, least: Any, greatest: Any
) -> None:
    """±infinity dates and timestamps map to date.max/datetime.max and .min in both directions."""
    await check_result(db, f"'-infinity'::{type_name}", least)
    await check_result(db, f"'infinity'::{type_name}", greatest)
    assert await db.query_val(f"SELECT $1::{type_name}::text", least) == "-infinity"
    assert await db.query_val(f"SELECT $1::{type_name}::text", greatest) == "infinity"


@pytest.mark.line("2.beyond")
@pytest.mark.parametrize("literal", ["0044-03-15 BC", "10000-01-01"])
@pytest.mark.parametrize("type_name", ["date", "timestamp", "timestamptz"])
async def test_years_that_python_lacks_name_the_column(db: Database, literal: str, type_name: str) -> None:
    """BC and years above 9999 raise DataError naming the column and saying to cast to text."""
    with pytest.raises(DataError, match=r'"ides".*cast the column to text'):
        await db.query(f"SELECT '{literal}'::{type_name} AS ides")


@pytest.mark.line("2.unknown")
async def test_an_unknown_type_is_the_servers_text(db: Database) -> None:
    """A type nobody knows comes as str in the server's text form."""
    await check_result(db, "'pg_class'::regclass", "pg_class")
    await check_result(db, "'(0,1)'::tid", "(0,1)")


@pytest.mark.line("2.codec")
async def test_a_codec_can_be_registered(db: Database) -> None:
    """A custom codec can be registered for it on the Database."""
    await db.register_codec(
        "tid",
        encode=lambda pair: f"({pair[0]},{pair[1]})",
        decode=lambda text: tuple(map(int, text[1:-1].split(","))),
    )
    assert await db.query_val("SELECT $1::tid", (3, 4)) == (3, 4)
