"""Ranges and multiranges, built in and the user's own, as results and as parameters."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hyperdjango.database import DataError, Multirange, Range, SyncDatabase
from postgres_servers import Server
from typekit import Case, cases, check, fresh_database, identical, identify

UTC = dt.UTC


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(
        server,
        "CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi)",
        "CREATE TYPE wordrange AS RANGE (subtype = text, multirange_type_name = words)",
        "CREATE DOMAIN small AS int4 CHECK (VALUE < 100)",
        "CREATE DOMAIN span AS int4range CHECK (NOT isempty(VALUE))",
        "CREATE TYPE pair AS (a int4, b text)",
        "CREATE TYPE pairrange AS RANGE (subtype = pair)",
        "CREATE TYPE listrange AS RANGE (subtype = _int4)",
        "CREATE TYPE netrange AS RANGE (subtype = inet)",
    ) as database:
        yield database


NEW_YEAR = dt.date(2024, 1, 1)
LEAP_DAY = dt.date(2024, 2, 29)
EMPTY: Range[object] = Range(empty=True)
ALL: Range[object] = Range()

CASES = [
    *cases(
        "int4range",
        ("[1,5)", Range(1, 5)),
        ("empty", EMPTY),
        ("(,)", ALL),
        ("[,5)", Range(None, 5)),
        ("[5,)", Range(5, None)),
        ("[-2147483648,2147483647)", Range(-(2**31), 2**31 - 1)),
    ),
    *cases("int8range", ("[-9223372036854775808,9223372036854775807)", Range(-(2**63), 2**63 - 1))),
    *cases(
        "numrange",
        ("[1.0,2.50]", Range(Decimal("1.0"), Decimal("2.50"), "[]")),
        ("(1.0,2.50]", Range(Decimal("1.0"), Decimal("2.50"), "(]")),
        ("(1,2)", Range(Decimal(1), Decimal(2), "()")),
        ("[-Infinity,NaN]", Range(Decimal("-Infinity"), Decimal("NaN"), "[]")),
    ),
    *cases(
        "daterange",
        ("[2024-01-01,2024-02-29)", Range(NEW_YEAR, LEAP_DAY)),
        ("[2024-01-01,)", Range(NEW_YEAR, None)),
    ),
    *cases(
        "tsrange",
        (
            "[2024-01-01 00:00,2024-02-29 12:00]",
            Range(dt.datetime(2024, 1, 1), dt.datetime(2024, 2, 29, 12), "[]"),
        ),
        ("[-infinity,infinity)", Range(dt.datetime.min, dt.datetime.max)),
    ),
    *cases("tstzrange", ("[2024-01-01 00:00+00,)", Range(dt.datetime(2024, 1, 1, tzinfo=UTC), None))),
    *cases(
        "floatrange", ("[1.5,2)", Range(1.5, 2.0)), ("(,-0.5]", Range(None, -0.5, "(]")), ("empty", EMPTY)
    ),
    *cases("wordrange", ('["a b","c,\\"d"]', Range("a b", 'c,"d', "[]")), ('["",)', Range("", None))),
    *cases("span", ("[1,5)", Range(1, 5))),
    *cases("netrange", ("[10.0.0.1,10.0.0.9]", Range("10.0.0.1", "10.0.0.9", "[]"))),
    *cases("listrange", ('["{1,2}","{1,3}")', Range([1, 2], [1, 3]))),
    *cases(
        "int4multirange",
        ("{}", Multirange()),
        ("{[1,5)}", Multirange([Range(1, 5)])),
        ("{(,1),[5,7),[9,)}", Multirange([Range(None, 1), Range(5, 7), Range(9, None)])),
    ),
    *cases(
        "nummultirange",
        (
            "{[1.0,2.0],(3,4)}",
            Multirange([Range(Decimal("1.0"), Decimal("2.0"), "[]"), Range(Decimal(3), Decimal(4), "()")]),
        ),
    ),
    *cases("datemultirange", ("{[2024-01-01,2024-02-29)}", Multirange([Range(NEW_YEAR, LEAP_DAY)]))),
    *cases("tstzmultirange", ("{(,)}", Multirange([ALL]))),
    *cases("floatmultirange", ("{[1.5,2)}", Multirange([Range(1.5, 2.0)]))),
    *cases("words", ("{[a,b),[c,d]}", Multirange([Range("a", "b"), Range("c", "d", "[]")]))),
]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_range_is_the_same_on_every_way(db: SyncDatabase, case: Case) -> None:
    check(db, case)


def test_the_server_brings_discrete_ranges_into_one_form(db: SyncDatabase) -> None:
    assert identical(db.query_val("SELECT $1::int4range", Range(1, 5, "[]")), Range(1, 6))
    assert identical(db.query_val("SELECT $1::daterange", Range(NEW_YEAR, NEW_YEAR, "()")), EMPTY)
    assert identical(
        db.query_val("SELECT $1::int4multirange", [Range(1, 3), Range(3, 5), EMPTY]),
        Multirange([Range(1, 5)]),
    )


def test_ranges_of_composites(db: SyncDatabase) -> None:
    value = db.query_val("SELECT pairrange(ROW(1, 'a'), ROW(2, NULL), '[]')")
    assert (tuple(value.lower), tuple(value.upper), value.bounds) == ((1, "a"), (2, None), "[]")
    assert value.lower.b == "a"
    assert db.query_val("SELECT ($1::pairrange)::text", Range((1, "x"), None)) == '["(1,x)",)'


def test_a_range_is_used_by_operators(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::int4range @> 3", Range(1, 5)) is True
    assert db.query_val("SELECT $1 && int4range(4, 9)", Range(1, 5)) is True
    assert db.query_val(
        "SELECT range_agg(r) FROM unnest($1::int4range[]) AS r", [Range(1, 2), Range(2, 9)]
    ) == (Range(1, 9),)


@pytest.mark.parametrize(
    ("type_name", "value", "reason"),
    [
        ("int4range", (1, 2), "expected Range, not tuple"),
        ("int4range", [1, 2], "expected Range, not list"),
        ("int4range", Range(1, 2**31), "out of range for int4"),
        ("tstzrange", Range(dt.datetime(2024, 1, 1), None), "naive datetime"),
        ("int4multirange", Range(1, 2), "expected Multirange"),
        ("int4multirange", [Range(1, 2), None], "expected Range, not NoneType"),
        ("wordrange", Range("a\0", None), "NUL"),
    ],
)
def test_what_is_no_range_is_refused_here(
    db: SyncDatabase, type_name: str, value: object, reason: str
) -> None:
    with pytest.raises(DataError, match=rf"^parameter \$1: Python .* does not fit {type_name}: .*{reason}"):
        db.query_val(f"SELECT $1::{type_name}", value)


def test_bounds_in_the_wrong_order_are_the_servers_to_refuse(db: SyncDatabase) -> None:
    with pytest.raises(DataError, match="range lower bound must be less than or equal to range upper bound"):
        db.query_val("SELECT $1::int4range", Range(5, 1))


def test_strs_as_bounds_are_parsed_by_the_server(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::daterange", Range("2024-01-01", LEAP_DAY)) == Range(NEW_YEAR, LEAP_DAY)
    assert db.query_val("SELECT $1::daterange", "[2024-01-01,)") == Range(NEW_YEAR, None)
    assert db.query_val("SELECT $1::int4multirange", "{[1,2)}") == (Range(1, 2),)
