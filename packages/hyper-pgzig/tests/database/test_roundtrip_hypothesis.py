"""Whatever a type can hold comes back from a real server as it went, alone and inside of arrays and others.

Examples are few and sent many at a time, so that the whole file takes seconds. In CI they are
always the same.
"""

import datetime as dt
import ipaddress
import math
import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest
from hyperdjango.database import (
    Box,
    Circle,
    Line,
    LineSegment,
    Multirange,
    Path,
    Point,
    Polygon,
    Range,
    SyncDatabase,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from postgres_servers import Server
from typekit import fresh_database

SETTINGS: Final = settings(
    max_examples=20,
    deadline=None,  # a server's answer takes as long as it takes
    derandomize=os.environ.get("CI", "").lower() in {"1", "true"},
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
BATCH: Final = 20


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(
        server,
        "CREATE EXTENSION hstore",
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
        "CREATE DOMAIN positive AS int8 CHECK (VALUE > 0)",
        "CREATE TYPE everything AS (i int4, f float8, t text, n numeric, b bytea, at timestamptz, day date,"
        " span int8range, tags text[], mood mood, j jsonb)",
        "CREATE TYPE outermost AS (one everything, more everything[], p positive)",
    ) as database:
        yield database


# What PostgreSQL's text can hold: everything but NUL and lone surrogates.
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
finite = st.floats(allow_nan=False)
points = st.builds(Point, finite, finite)
utc = st.datetimes(timezones=st.just(dt.UTC))
zones = st.timedeltas(dt.timedelta(hours=-15), dt.timedelta(hours=15)).map(
    lambda delta: dt.timezone(dt.timedelta(seconds=round(delta.total_seconds())))
)
moods = st.sampled_from(["sad", "ok", "happy"])


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@st.composite
def numerics(draw: st.DrawFn) -> Decimal:
    """Any sign, digits and scale, trailing zeros too; no exponent above 0, which a numeric does not keep."""
    if draw(st.integers(0, 20)) == 0:
        return Decimal(draw(st.sampled_from(["Infinity", "-Infinity"])))
    digits = draw(st.lists(st.integers(0, 9), min_size=1, max_size=60))
    scale = draw(st.integers(0, 80))
    value = Decimal((draw(st.integers(0, 1)), tuple(digits), -scale))
    return abs(value) if value == 0 else value  # a numeric has no minus zero


def ranges(bounds: st.SearchStrategy[Any], brackets: tuple[str, ...]) -> st.SearchStrategy[Range[Any]]:
    """Ranges in the form the server gives them back: not empty by accident."""

    def build(pair: tuple[Any, Any], kind: str) -> Range[Any]:
        lower, upper = pair
        if lower is not None and upper is not None:
            if lower == upper:
                return Range(empty=True) if kind != "[]" else Range(lower, upper, "[]")
            lower, upper = min(lower, upper), max(lower, upper)
        return Range(lower, upper, kind)

    bound = st.none() | bounds
    return st.builds(build, st.tuples(bound, bound), st.sampled_from(brackets)) | st.just(Range(empty=True))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e15, 1e15) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
documents = st.lists(json_values, max_size=3) | st.dictionaries(text, json_values, max_size=3)

SCALARS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "bool": st.booleans(),
    "int2": integers(16),
    "int4": integers(32),
    "int8": integers(64),
    "oid": st.integers(0, 2**32 - 1),
    "xid8": st.integers(0, 2**64 - 1),
    "float4": st.floats(width=32, allow_nan=False),
    "float8": finite,
    "numeric": numerics(),
    "text": text,
    "varchar": text,
    "bytea": st.binary(max_size=100),
    "uuid": st.uuids(),
    "date": st.dates(),
    "time": st.times(),
    "timetz": st.builds(lambda time, zone: time.replace(tzinfo=zone), st.times(), zones),
    "timestamp": st.datetimes(),
    "timestamptz": utc,
    "interval": st.timedeltas(),
    "json": documents,
    "jsonb": documents,
    "inet": st.ip_addresses(),
    "varbit": st.text("01", max_size=70),
    "mood": moods,
    "positive": st.integers(1, 2**63 - 1),
    "point": points,
    "lseg": st.builds(LineSegment, points, points),
    "box": st.builds(
        lambda a, b: Box(Point(max(a.x, b.x), max(a.y, b.y)), Point(min(a.x, b.x), min(a.y, b.y))),
        points,
        points,
    ),
    "line": st.builds(Line, st.floats(1, 10), finite, finite),
    "circle": st.builds(Circle, points, st.floats(0, 1e300)),
    "path": st.builds(Path, st.lists(points, min_size=1, max_size=5).map(tuple), st.booleans()),
    "polygon": st.builds(Polygon, st.lists(points, min_size=1, max_size=5).map(tuple)),
    "hstore": st.dictionaries(text, st.none() | text, max_size=5),
    "int4range": ranges(st.integers(-(2**31), 2**31 - 2), ("[)",)),
    "int8range": ranges(st.integers(-(2**63), 2**63 - 2), ("[)",)),
    "numrange": ranges(numerics(), ("[)", "[]", "(]", "()")),
    "daterange": ranges(st.dates(), ("[)",)),
    "tsrange": ranges(st.datetimes(), ("[)", "[]", "(]", "()")),
    "tstzrange": ranges(utc, ("[)", "[]", "(]", "()")),
}

everything = st.tuples(
    st.none() | integers(32),
    st.none() | finite,
    st.none() | text,
    st.none() | numerics(),
    st.none() | st.binary(max_size=20),
    st.none() | utc,
    st.none() | st.dates(),
    st.none() | ranges(st.integers(-(2**63), 2**63 - 2), ("[)",)),
    st.none() | st.lists(st.none() | text, max_size=4),
    st.none() | moods,
    st.none() | documents,
)


def same(one: Any, other: Any) -> bool:
    """Equal down to the scale of a Decimal, the sign of a zero, the offset of a time."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Range) and isinstance(other, Range):
        return one.bounds == other.bounds and same((one.lower, one.upper), (other.lower, other.upper))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(other, ipaddress.IPv4Address | ipaddress.IPv6Address):
        return ipaddress.ip_address(one) == other  # a str comes back; the server has a spelling of its own
    if isinstance(one, dt.time) and isinstance(other, dt.time):
        return one == other and one.utcoffset() == other.utcoffset()
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


@pytest.mark.parametrize("type_name", SCALARS)
def test_a_value_comes_back_as_it_went(db: SyncDatabase, type_name: str) -> None:
    columns = ", ".join(f"${n + 1}::{type_name} AS c{n}" for n in range(BATCH))

    @SETTINGS
    @given(st.lists(SCALARS[type_name], min_size=1, max_size=BATCH))
    def check(values: list[Any]) -> None:
        padded = [*values, *[None] * (BATCH - len(values))]
        row = db.query_one(f"SELECT {columns}", *padded, into=tuple)
        assert row is not None
        for sent, back in zip(padded, row, strict=True):
            # JSON does not tell 1.0 from 1 and drops the sign of a zero.
            assert back == sent if type_name.startswith("json") else same(back, sent), (sent, back)

    check()


def shapes(scalar: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Lists of one to three dimensions, all of one length on each level, NULLs among the elements."""

    def nested(lengths: list[int]) -> st.SearchStrategy[Any]:
        inner = (st.none() | scalar) if len(lengths) == 1 else nested(lengths[1:])
        return st.lists(inner, min_size=lengths[0], max_size=lengths[0])

    return st.lists(st.integers(1, 3), min_size=1, max_size=3).flatmap(nested) | st.just([])


@pytest.mark.parametrize(
    "type_name", [name for name in SCALARS if name not in {"json", "jsonb", "path", "polygon"}]
)
def test_arrays_come_back_as_they_went(db: SyncDatabase, type_name: str) -> None:
    @SETTINGS
    @given(shapes(SCALARS[type_name]))
    def check(value: list[Any]) -> None:
        row = db.query_one(
            f"SELECT $1::{type_name}[], ARRAY(SELECT unnest($1::{type_name}[]))", value, into=tuple
        )
        assert row is not None
        assert same(row[0], value)
        assert same(row[1], flat(value))

    check()


def flat(value: list[Any]) -> list[Any]:
    """All elements in order, whatever the dimensions. A composite is never a list."""
    return [each for item in value for each in (flat(item) if isinstance(item, list) else [item])]


def test_multiranges_come_back_merged(db: SyncDatabase) -> None:
    @SETTINGS
    @given(st.lists(ranges(st.integers(-1000, 1000), ("[)",)), max_size=6))
    def check(value: list[Range[int]]) -> None:
        back = db.query_val("SELECT $1::int4multirange", Multirange(value))
        assert type(back) is Multirange
        for n in (-1001, -1000, -1, 0, 1, 999, 1000):
            assert any(n in each for each in back) == any(n in each for each in value)
        assert same(db.query_val("SELECT $1::int4multirange", back), back)

    check()


def test_composites_come_back_as_they_went(db: SyncDatabase) -> None:
    @SETTINGS
    @given(everything, st.lists(st.none() | everything, max_size=3), st.integers(1, 2**63 - 1))
    @example((None,) * 11, [], 1)
    def check(one: tuple[Any, ...], more: list[Any], positive: int) -> None:
        value = (one, more, positive)
        back = db.query_val("SELECT $1::outermost", value)
        assert back == value
        assert same(db.query_val("SELECT $1::outermost", back), back)
        assert same(db.query_val("SELECT ($1::outermost).one", back), back.one)

    check()


def test_what_has_no_binary_form_of_ours_survives_the_servers_parser(db: SyncDatabase) -> None:
    """A str in a container takes it into text format: quoting must be right for any text."""

    @SETTINGS
    @given(st.lists(st.none() | text, min_size=1, max_size=5), text, st.integers(0, 10**6))
    def check(tags: list[str | None], word: str, number: int) -> None:
        # "5" for an int4 is what forces the text format.
        value = (str(number), None, word, None, None, None, None, Range(str(number), None), tags, None, None)
        back = db.query_val("SELECT $1::everything", value)
        assert (back.i, back.t, back.tags, back.span) == (number, word, tags, Range(number, None))
        assert db.query_val("SELECT $1::everything[]", [value, None]) == [back, None]

    check()
