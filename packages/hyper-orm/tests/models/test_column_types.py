"""Every annotation becomes its PostgreSQL type, and its values come back as they went in."""

import datetime as dt
import ipaddress
import types
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, NewType, TypedDict

import pytest
from hyperdjango.database import SyncDatabase
from hyperdjango.database.types import (
    Box,
    Circle,
    Line,
    LineSegment,
    Path,
    Point,
    Polygon,
)
from hyperdjango.models import (
    Bit,
    Char,
    Cidr,
    CiText,
    Digits,
    Domain,
    Hstore,
    Integer,
    Json,
    Jsonb,
    LTree,
    MacAddr,
    MaxLen,
    Model,
    MultiRange,
    Range,
    Real,
    SmallInt,
    SqlType,
    Timestamp,
    TimeTz,
    TsVector,
    Varbit,
    create_schema_sync,
)
from hyperdjango.models._outgoing import sender
from typing_extensions import TypeAliasType


class Colour(StrEnum):
    RED = "red"
    BLUE = "it's blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 3


class Shape(TypedDict):
    sides: int


@dataclass
class Part:
    name: str
    made: dt.date


UserName = NewType("UserName", str)
Names = TypeAliasType("Names", list[str])
NOON = dt.datetime(2026, 2, 3, 12, tzinfo=dt.UTC)
PLAIN_NOON = dt.datetime(2026, 2, 3, 12)
DAY = dt.date(2026, 2, 3)
BIG = Decimal("12345678901234567890.123456789")

# mypy takes these for annotations, not for values.
JSONB_ANY: Any = Jsonb[Any]  # type: ignore[misc]
JSONB_UNION: Any = Jsonb[str | int]  # type: ignore[misc]

# The annotation, the type in the catalog, and values.
TYPES: list[tuple[Any, str, list[Any]]] = [
    (int, "bigint", [0, 2**63 - 1, -(2**63)]),
    (Annotated[int, Integer], "integer", [2**31 - 1]),
    (Annotated[int, SmallInt], "smallint", [-(2**15)]),
    (float, "double precision", [0.1, -1e300]),
    (Annotated[float, Real], "real", [0.5]),
    (bool, "boolean", [True, False]),
    (str, "text", ["", "it's \\ é"]),
    (Annotated[str, MaxLen(5)], "character varying(5)", ["abcde"]),
    (Annotated[str, Char(3)], "character(3)", ["abc"]),
    (UserName, "text", ["x"]),
    (Literal["a", "b"], "text", ["a"]),
    (bytes, "bytea", [b"\x00\xff"]),
    (Decimal, "numeric", [BIG, Decimal("1.00")]),
    (Annotated[Decimal, Digits(8, 2)], "numeric(8,2)", [Decimal("999999.99")]),
    (dt.date, "date", [DAY]),
    (dt.time, "time without time zone", [dt.time(12, 30)]),
    (Annotated[dt.time, TimeTz], "time with time zone", [dt.time(12, 30, tzinfo=dt.UTC)]),
    (dt.datetime, "timestamp with time zone", [NOON]),
    (Annotated[dt.datetime, Timestamp], "timestamp without time zone", [PLAIN_NOON]),
    (dt.timedelta, "interval", [dt.timedelta(days=3, seconds=5)]),
    (uuid.UUID, "uuid", [uuid.UUID(int=7)]),
    (dict[str, Any], "jsonb", [{"a": [1, None]}]),
    (dict, "jsonb", [{}]),
    (Jsonb[list[int]], "jsonb", [[1, 2]]),
    (JSONB_ANY, "jsonb", ['a "str"', 5, None, {"a": 1}]),
    (JSONB_UNION, "jsonb", ["a", 5]),
    (Json[dict[str, int]], "json", [{"a": 1}]),
    (Jsonb[Shape], "jsonb", [{"sides": 3}]),
    (Jsonb[Part], "jsonb", [Part("wheel", DAY)]),
    (Jsonb[list[Part]], "jsonb", [[Part("wheel", DAY)]]),
    (list[int], "bigint[]", [[], [1, 2]]),
    (list[list[int]], "bigint[]", [[[1], [2]]]),
    (list[int | None], "bigint[]", [[1, None]]),
    (list[Colour], "colour[]", [[Colour.RED, Colour.BLUE]]),
    (list[dt.date], "date[]", [[DAY]]),
    (Names, "text[]", [["a", ""]]),
    (Colour, "colour", [Colour.RED, Colour.BLUE]),
    (Level, "bigint", [Level.HIGH]),
    (Range[int], "int8range", [Range(1, 5)]),
    (Range[Annotated[int, Integer]], "int4range", [Range(1, None), Range(empty=True)]),
    (Range[Decimal], "numrange", [Range(Decimal(1), Decimal(2), "[]")]),
    (Range[dt.date], "daterange", [Range(DAY, DAY + dt.timedelta(1))]),
    (Range[dt.datetime], "tstzrange", [Range(NOON, None)]),
    (Range[Annotated[dt.datetime, Timestamp]], "tsrange", [Range(None, PLAIN_NOON)]),
    (MultiRange[int], "int8multirange", [MultiRange([Range(1, 3), Range(5, 7)])]),
    (MultiRange[dt.date], "datemultirange", [MultiRange([Range(DAY, None)])]),
    (ipaddress.IPv4Address, "inet", [ipaddress.ip_address("10.0.0.1")]),
    (ipaddress.IPv6Address, "inet", [ipaddress.ip_address("::1")]),
    (ipaddress.IPv4Interface, "inet", [ipaddress.ip_interface("10.0.0.1/8")]),
    (ipaddress.IPv6Network, "cidr", [ipaddress.ip_network("fe80::/10")]),
    (Annotated[str, Cidr], "cidr", ["10.0.0.0/8"]),
    (Annotated[str, MacAddr], "macaddr", ["08:00:2b:01:02:03"]),
    (Point, "point", [Point(1.0, 2.0)]),
    (Line, "line", [Line(1.0, 2.0, 3.0)]),
    (LineSegment, "lseg", [LineSegment(Point(0.0, 0.0), Point(1.0, 1.0))]),
    (Box, "box", [Box(Point(1.0, 1.0), Point(0.0, 0.0))]),
    (Path, "path", [Path((Point(0.0, 0.0), Point(1.0, 1.0)), closed=True)]),
    (Polygon, "polygon", [Polygon((Point(0.0, 0.0), Point(1.0, 1.0)))]),
    (Circle, "circle", [Circle(Point(0.0, 0.0), 1.0)]),
    (Annotated[str, TsVector], "tsvector", ["'a' 'b'"]),
    (Annotated[str, Bit(4)], "bit(4)", ["0101"]),
    (Annotated[str, Varbit(8)], "bit varying(8)", ["01"]),
    (Annotated[str, CiText], "citext", ["Abc"]),
    (Annotated[str, LTree], "ltree", ["a.b"]),
    (Annotated[dict[str, str | None], Hstore], "hstore", [{"a": None, "b": "c"}]),
    (Annotated[str, Domain("short", check="length(VALUE) < 9")], "short", ["abc"]),
    (Annotated[str, SqlType("xid8", "other")], "xid8", []),
]

FORMAT = """
    SELECT format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = 'sample'::regclass AND attname = 'value'
"""


def model_of(annotation: Any) -> type[Model]:
    def body(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = __name__
        namespace["__qualname__"] = "model_of.<locals>.Sample"
        namespace["__annotations__"] = {"value": annotation}

    return types.new_class("Sample", (Model,), exec_body=body)


@pytest.fixture
def db(database_url: str) -> Iterator[SyncDatabase]:
    with SyncDatabase(database_url) as database:
        yield database


@pytest.mark.postgres
def test_every_type_is_made_and_gives_back_what_it_is_given(db: SyncDatabase) -> None:
    for annotation, expected, values in TYPES:
        model = model_of(annotation | None if annotation is not Any else annotation)
        column = model._table.column("value")
        assert column.is_nullable
        with db.transaction():
            create_schema_sync([model], db)
            assert db.query_val(FORMAT) == expected, annotation
            for value in values:
                send = sender(column)
                sent = value if send is None or value is None else send(value)
                read = db.query_val("INSERT INTO sample (value) VALUES ($1) RETURNING value", sent)
                assert read is not None or value is None, annotation
                convert = column.type.convert
                if read is not None and convert is not None:
                    read = convert[read] if isinstance(convert, dict) else convert(read)
                assert read == value, annotation
                assert type(read) is type(value), annotation
            # The type's text is what casts need, too.
            assert db.query_val(f"SELECT NULL::{column.type.sql} IS NULL")
            db.execute("DROP TABLE sample; DROP TYPE IF EXISTS colour; DROP DOMAIN IF EXISTS short")


def test_kinds_say_which_lookups_there_are() -> None:
    kinds = {
        int: "integer",
        Annotated[int, SmallInt]: "integer",
        Annotated[str, CiText]: "text",
        list[int]: "array",
        Range[int]: "range",
        Jsonb[list[int]]: "json",
        Annotated[dict[str, str], Hstore]: "hstore",
        Colour: "enum",
        Annotated[str, SqlType("xid8")]: "text",
    }
    for annotation, kind in kinds.items():
        assert model_of(annotation)._table.column("value").type.kind == kind, annotation
    assert model_of(list[list[int]])._table.column("value").type.element is not None
