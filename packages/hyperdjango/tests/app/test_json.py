"""What a handler's values are in JSON: what `query_json` writes for the same values, byte for byte."""

import dataclasses
import datetime as dt
import enum
import json
import math
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hyperdjango.app import NotJSON, to_json
from hyperdjango.database import Database
from hyperdjango.database.types import Range


@pytest.mark.parametrize(
    "example",
    [
        "true",
        "NULL::int",
        "9223372036854775807",
        "1.0::float8",
        "-0.0::float8",
        "1e-7::float8",
        "1e300::float8",
        "'NaN'::float8",
        "'-Infinity'::float8",
        "306.40::numeric",
        "12345678901234567890.10::numeric",
        "0.00000000001::numeric",
        "1e30::numeric",
        "'NaN'::numeric",
        "'a \"b\" \\ \u00e4\u20ac\U0001f600'::text",
        "E'line\\n\\t\\x01\\x7f'::text",
        "'\\x00ff'::bytea",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
        "'2026-11-23'::date",
        "'infinity'::date",
        "'-infinity'::date",
        "'2026-11-23 12:00:00'::timestamp",
        "'2026-11-23 12:00:00.5'::timestamp",
        "'2026-11-23 12:00:00.000001'::timestamp",
        "'infinity'::timestamp",
        "'-infinity'::timestamp",
        "'2026-11-23 12:00+02'::timestamptz",
        "'infinity'::timestamptz",
        "'12:30'::time",
        "'12:30:00.25'::time",
        "'12:30+02'::timetz",
        "'12:30-03:30'::timetz",
        "'0'::interval",
        "'1 day'::interval",
        "'-1 day'::interval",
        "'3 days 04:05:06.7'::interval",
        "'-3 days -04:05:06.7'::interval",
        "'-00:00:00.5'::interval",
        "ARRAY[[1, NULL], [3, 4]]",
        "ARRAY[1.50, 2.0]::numeric[]",
        "'10.0.0.1'::inet",
        "'10.0.0.0/8'::cidr",
        "'[1,5]'::int4range",
        "'empty'::int4range",
        "'(,2.50)'::numrange",
        "'[2026-11-23,)'::daterange",
        "tsrange('2026-11-23', '2026-11-24 01:00:00.5')",
        "tstzrange('2026-11-23 00:00+00', NULL)",
    ],
)
async def test_a_value_is_written_as_query_json_writes_it(example: str, database_url: str) -> None:
    async with Database(database_url, 1, 1) as db:
        rows = await db.query(f"SELECT {example} AS v")
        assert to_json(rows) == await db.query_json(f"SELECT {example} AS v")


@dataclasses.dataclass
class Point:
    x: int
    y: Decimal


class Colour(enum.Enum):
    RED = "red"


class Dumped:
    def model_dump(self, mode: str) -> dict[str, Any]:
        return {"mode": mode}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Point(1, Decimal("2.50")), '{"x":1,"y":2.50}'),
        ({"p": [Point(1, Decimal("NaN"))]}, '{"p":[{"x":1,"y":"NaN"}]}'),
        (Colour.RED, '"red"'),
        ((1, 2), "[1,2]"),
        (frozenset({1}), "[1]"),
        (Dumped(), '{"mode":"json"}'),
        (MappingProxyType({"a": dt.date(2026, 1, 1)}), '{"a":"2026-01-01"}'),
        ({7: "a", None: Decimal(1), True: 2, 1.5: 3}, '{"7":"a","null":1,"true":2,"1.5":3}'),
        (dt.timedelta(days=-1, hours=2), '"-22:00:00"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (memoryview(b"\x01"), '"\\\\x01"'),
    ],
    ids=range(11),
)
def test_other_values_are_written_too(value: object, written: str) -> None:
    assert to_json(value) == written.encode()
    # Beside a number that C's encoder does not know, all of it is written by ours.
    both = to_json([value, Decimal("1.0")])
    assert both == f"[{written},1.0]".encode()


@pytest.mark.parametrize(
    ("number", "size"),
    [
        ("1e131071", 131_072),
        ("1e131072", len("1E+131072")),
        ("-1.5E-16383", len("-0.") + 16_384),
        ("1e-16384", len("1E-16384")),
        ("1e100000000", len("1E+100000000")),
    ],
)
def test_a_number_that_no_column_holds_keeps_its_exponent(number: str, size: int) -> None:
    value = Decimal(number)
    written = to_json(value)
    assert len(written) == size
    assert json.loads(written, parse_float=Decimal, parse_int=Decimal) == value
    assert len(to_json(Range(value, None, "[)"))) == len('"[,)"') + size


def test_both_writers_agree() -> None:
    value = {"s": 'a"\u2028é', "i": -5, "f": [1.0, 1e-7], "n": None, "b": [True, False], "e": {}, "l": []}
    plain = to_json(value)
    assert to_json([value, Decimal(1)]) == b"[" + plain + b",1]"
    assert json.loads(plain) == value


def test_what_is_no_number_is_a_string() -> None:
    assert to_json([math.nan, math.inf, -math.inf]) == b'["NaN","Infinity","-Infinity"]'


@pytest.mark.parametrize("beside", [0, Decimal(0)], ids=["C", "ours"])
def test_a_class_without_a_form_is_an_error_that_names_it(beside: object) -> None:
    with pytest.raises(NotJSON, match="object has no form in JSON"):
        to_json([beside, object()])


def test_a_container_in_itself_is_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotJSON, match="more than 64 deep"):
        to_json(endless)


@pytest.mark.parametrize("value", [{"a": "x\ud800y"}, {"\udc00": Decimal(1)}], ids=["value", "name"])
def test_half_a_surrogate_pair_is_an_error_and_no_other_text(value: object) -> None:
    with pytest.raises(NotJSON, match="half of a surrogate pair"):
        to_json(value)
    assert b"?" in to_json(value, surrogates="replace")
