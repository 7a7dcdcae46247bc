"""Numbers and booleans: as the server has them, as parameters, and at both ends of their ranges."""

import math
import struct
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hyperdjango.database import DataError, SyncDatabase
from postgres_servers import Server
from typekit import Case, cases, check, fresh_database, identical, identify


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server) as database:
        yield database


def single(value: float) -> float:
    """The nearest float4, widened."""
    widened: float = struct.unpack("f", struct.pack("f", value))[0]
    return widened


MOST_DIGITS = "9" * 131072

CASES = [
    *cases("bool", ("true", True), ("false", False)),
    *cases("int2", ("0", 0), ("-1", -1), ("32767", 32767), ("-32768", -32768)),
    *cases("int4", ("0", 0), ("-1", -1), ("2147483647", 2**31 - 1), ("-2147483648", -(2**31))),
    *cases("int8", ("0", 0), ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63))),
    *cases("oid", ("0", 0), ("2147483648", 2**31), ("4294967295", 2**32 - 1)),
    *cases("xid", ("0", 0), ("4294967295", 2**32 - 1)),
    *cases("cid", ("0", 0), ("4294967295", 2**32 - 1)),
    *cases("xid8", ("0", 0), ("9223372036854775808", 2**63), ("18446744073709551615", 2**64 - 1)),
    *cases(
        "float4",
        ("0", 0.0),
        ("-0", -0.0),
        ("1.5", 1.5),
        ("0.1", single(0.1)),
        ("3.4028235e38", single(3.4028235e38)),
        ("-3.4028235e38", single(-3.4028235e38)),
        ("1e-45", single(1e-45)),
        ("1.1754944e-38", single(1.1754944e-38)),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("NaN", math.nan),
    ),
    *cases(
        "float8",
        ("0", 0.0),
        ("-0", -0.0),
        ("0.1", 0.1),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("-1.7976931348623157e308", -1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("2.2250738585072014e-308", 2.2250738585072014e-308),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("NaN", math.nan),
    ),
    *cases(
        "numeric",
        ("0", Decimal(0)),
        ("0.00", Decimal("0.00")),
        ("1.0", Decimal("1.0")),
        ("1.00", Decimal("1.00")),
        ("-1", Decimal(-1)),
        ("9999", Decimal(9999)),
        ("10000", Decimal(10000)),
        ("100000000", Decimal(100000000)),
        ("1e20", Decimal(10**20)),
        ("0.0001", Decimal("0.0001")),
        ("0.00001", Decimal("0.00001")),
        ("-0.000000000000000000001", Decimal("-0.000000000000000000001")),
        ("1234.00000000005678", Decimal("1234.00000000005678")),
        ("12345678901234567890.12345678901234567890", Decimal("12345678901234567890.12345678901234567890")),
        ("NaN", Decimal("NaN")),
        ("Infinity", Decimal("Infinity")),
        ("-Infinity", Decimal("-Infinity")),
        (MOST_DIGITS, Decimal(MOST_DIGITS)),
        (f"-{MOST_DIGITS}", Decimal(f"-{MOST_DIGITS}")),
        ("0." + "1" * 16383, Decimal("0." + "1" * 16383)),
        ("0." + "0" * 16382 + "1", Decimal("1e-16383")),
    ),
    *cases("numeric(10,2)", ("12345678.90", Decimal("12345678.90")), ("0", Decimal("0.00"))),
]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_number_is_the_same_on_every_way(db: SyncDatabase, case: Case) -> None:
    check(db, case)


def test_a_numeric_keeps_its_scale_and_not_its_exponent(db: SyncDatabase) -> None:
    value = db.query_val("SELECT CAST('1' AS numeric(30, 20))")
    assert value.as_tuple().exponent == -20
    assert db.query_val("SELECT ($1::numeric)::text", Decimal("1E+3")) == "1000"
    assert db.query_val("SELECT ($1::numeric)::text", Decimal("1.50E-3")) == "0.00150"
    assert db.query_val("SELECT ($1::numeric)::text", Decimal("-0")) == "0"


def test_ints_and_floats_serve_as_numerics_and_floats(db: SyncDatabase) -> None:
    assert identical(db.query_val("SELECT $1::numeric", 10**40), Decimal(10**40))
    assert identical(db.query_val("SELECT $1::numeric", 0.1), Decimal("0.1"))
    assert identical(db.query_val("SELECT $1::numeric", True), Decimal(1))
    assert identical(db.query_val("SELECT $1::float8", 2**53), float(2**53))
    assert identical(db.query_val("SELECT $1::float4", Decimal("0.5")), 0.5)
    assert db.query_val("SELECT $1::int4", True) == 1


def test_a_float4_widens_exactly_and_goes_back_the_same_way(db: SyncDatabase) -> None:
    assert db.query_val("SELECT 16777216::float4") == 16777216.0
    assert db.query_val("SELECT $1::float4 = 0.1::float4", 0.1) is True
    assert db.query_val("SELECT float4 '0.1'") == 0.10000000149011612


def test_a_huge_int_needs_no_more_digits_than_python_prints(db: SyncDatabase) -> None:
    assert db.query_val("SELECT ($1::numeric)::text", 10**5000) == "1" + "0" * 5000


TOO_FAR: list[tuple[str, object]] = [  # ids by index: pytest would print the longest of them
    ("int2", 2**15),
    ("int2", -(2**15) - 1),
    ("int4", 2**31),
    ("int4", -(2**31) - 1),
    ("int8", 2**63),
    ("int8", -(2**63) - 1),
    ("oid", -1),
    ("oid", 2**32),
    ("xid8", 2**64),
    ("xid8", -1),
    ("float4", 1e39),
    ("float8", 10**400),
    ("numeric", 10**131073),
    ("numeric", Decimal("1e-16384")),
]


@pytest.mark.parametrize("index", range(len(TOO_FAR)), ids=lambda index: f"{TOO_FAR[index][0]}-{index}")
def test_one_past_the_end_is_refused_here(db: SyncDatabase, index: int) -> None:
    type_name, value = TOO_FAR[index]
    with pytest.raises(DataError, match=rf"parameter \$1: Python \S+ does not fit {type_name}"):
        db.query_val(f"SELECT $1::{type_name}", value)
    assert db.query_val("SELECT 1") == 1


def test_money_is_printed_as_lc_monetary_says(db: SyncDatabase) -> None:
    with db.transaction():
        db.execute("SET LOCAL lc_monetary = 'C'")
        for literal, printed in (
            ("0", "$0.00"),
            ("1234.5", "$1,234.50"),
            ("-0.01", "-$0.01"),
            ("92233720368547758.07", "$92,233,720,368,547,758.07"),
            ("-92233720368547758.08", "-$92,233,720,368,547,758.08"),
        ):
            assert db.query_val(f"SELECT '{literal}'::money") == printed
            assert db.query_val(f"SELECT ('{literal}'::money)::text") == printed
            assert db.query_val(f"SELECT ARRAY['{literal}'::money, NULL]") == [printed, None]
            assert db.query_val("SELECT $1::money", printed) == printed
            assert db.query_val("SELECT $1::money", Decimal(literal)) == printed
            assert db.query_val("SELECT $1::money[]", [Decimal(literal), None]) == [printed, None]
        assert db.query_val("SELECT NULL::money") is None


def test_money_follows_a_locale_that_puts_the_sign_elsewhere(db: SyncDatabase) -> None:
    locales = db.query(
        "SELECT DISTINCT collcollate AS name FROM pg_collation WHERE collcollate ~ '^[a-z]{2}_[A-Z]{2}.*utf'"
    )
    for locale in ["C", *(row["name"] for row in locales)]:
        with db.transaction():
            db.execute("SELECT set_config('lc_monetary', $1, true)", locale)
            printed = db.query_val("SELECT '1234.5'::money::text")
            assert db.query_val("SELECT '1234.5'::money") == printed
            assert db.query_val("SELECT $1::money", printed) == printed
