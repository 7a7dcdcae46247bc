"""Section 2 of the contract: parameters, by the server's types. Results: test_02_results.py."""

import datetime as dt
import enum
import ipaddress
import math
from decimal import Decimal
from typing import Any

import pytest
from contract.values import ID, PARIS, both_ways
from contract.wire import Wire
from hyperdjango.database import (
    Database,
    DataError,
    InvalidTextRepresentation,
)


class Level(enum.Enum):
    LOW = 1
    NAME = "low"


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
