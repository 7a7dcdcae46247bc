"""Dates, times and intervals: as the server has them, as parameters, at both ends and past them."""

import datetime as dt
import zoneinfo
from collections.abc import Iterator

import pytest
from hyperdjango.database import DataError, Interval, InvalidDatetimeFormat, Range, SyncDatabase
from postgres_servers import Server
from typekit import Case, cases, check, check_result, fresh_database, identical, identify

UTC = dt.UTC
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server) as database:
        yield database


def zone(**offset: int) -> dt.timezone:
    return dt.timezone(dt.timedelta(**offset))


CASES = [
    *cases(
        "date",
        ("2000-01-01", dt.date(2000, 1, 1)),
        ("1999-12-31", dt.date(1999, 12, 31)),
        ("2024-02-29", dt.date(2024, 2, 29)),
        ("1900-03-01", dt.date(1900, 3, 1)),
        ("0001-01-02", dt.date(1, 1, 2)),
        ("9999-12-30", dt.date(9999, 12, 30)),
        ("infinity", dt.date.max),
        ("-infinity", dt.date.min),
    ),
    *cases(
        "time",
        ("00:00", dt.time(0)),
        ("12:34:56.000001", dt.time(12, 34, 56, 1)),
        ("23:59:59.999999", dt.time.max),
    ),
    *cases("time(0)", ("01:02:03", dt.time(1, 2, 3))),
    *cases(
        "timetz",
        ("00:00+00", dt.time(0, tzinfo=UTC)),
        ("01:02:03.4+05:30", dt.time(1, 2, 3, 400_000, tzinfo=zone(hours=5, minutes=30))),
        ("01:02:03-08", dt.time(1, 2, 3, tzinfo=zone(hours=-8))),
        ("12:00:00+00:00:01", dt.time(12, tzinfo=zone(seconds=1))),
        ("12:00:00-15:59:59", dt.time(12, tzinfo=zone(hours=-15, minutes=-59, seconds=-59))),
        ("23:59:59.999999+15:59", dt.time(23, 59, 59, 999_999, tzinfo=zone(hours=15, minutes=59))),
    ),
    *cases(
        "timestamp",
        ("2000-01-01", dt.datetime(2000, 1, 1)),
        ("1999-12-31 23:59:59.999999", dt.datetime(1999, 12, 31, 23, 59, 59, 999_999)),
        ("2024-02-29 12:00:00.5", dt.datetime(2024, 2, 29, 12, 0, 0, 500_000)),
        ("0001-01-01 00:00:00.000001", dt.datetime(1, 1, 1, 0, 0, 0, 1)),
        ("9999-12-31 23:59:59.999998", dt.datetime(9999, 12, 31, 23, 59, 59, 999_998)),
        ("infinity", dt.datetime.max),
        ("-infinity", dt.datetime.min),
    ),
    *cases(
        "timestamptz",
        ("2000-01-01 00:00+00", dt.datetime(2000, 1, 1, tzinfo=UTC)),
        ("2024-06-01 12:00+05:30", dt.datetime(2024, 6, 1, 6, 30, tzinfo=UTC)),
        ("0001-01-01 00:00:00.000001+00", dt.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("9999-12-31 23:59:59.999998+00", dt.datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC)),
        ("infinity", dt.datetime.max.replace(tzinfo=UTC)),
        ("-infinity", dt.datetime.min.replace(tzinfo=UTC)),
    ),
    *cases(
        "interval",
        ("0", dt.timedelta()),
        ("1 day", DAY),
        ("-1 day", -DAY),
        ("3 days 04:05:06.789", dt.timedelta(days=3, hours=4, minutes=5, seconds=6, milliseconds=789)),
        ("999999999 days", dt.timedelta(days=999_999_999)),
        ("-999999998 days", dt.timedelta(days=-999_999_998)),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_time_is_the_same_on_every_way(db: SyncDatabase, case: Case) -> None:
    check(db, case)


@pytest.mark.parametrize(
    ("literal", "days"),
    [
        ("1 mon", 30),
        ("1 year", 365),
        ("14 mons", 365 + 60),
        ("-14 mons", -(365 + 60)),
        ("1 year -1 mon", 330),
        ("2 years 3 mons 4 days", 730 + 90 + 4),
        ("-178000 years", -178_000 * 365),
    ],
)
def test_a_month_is_30_days_and_a_year_365(db: SyncDatabase, literal: str, days: int) -> None:
    # Only one way: a timedelta goes as days and microseconds.
    check_result(db, Case("interval", literal, dt.timedelta(days=days)))


def test_exact_intervals_keep_months_days_and_microseconds_apart(server: Server) -> None:
    with fresh_database(server, exact_intervals=True) as db:
        for case in cases(
            "interval",
            ("1 year 2 mons -3 days 04:05:06.789", Interval(14, -3, 14_706_789_000)),
            ("0", Interval()),
            ("-178000000 years", Interval(-2_136_000_000, 0, 0)),
            ("2147483647 mons -2147483648 days 00:00:00.000001", Interval(2**31 - 1, -(2**31), 1)),
        ):
            check(db, case)
        assert identical(
            db.query_val("SELECT $1::interval", dt.timedelta(days=2, seconds=-1)),
            Interval(0, 1, 86_399_000_000),
        )


def test_an_interval_is_a_parameter_of_either_kind(db: SyncDatabase) -> None:
    assert (
        db.query_val("SELECT ($1::interval)::text", Interval(14, 3, 5_000_000))
        == "1 year 2 mons 3 days 00:00:05"
    )
    assert db.query_val("SELECT $1::interval", Interval(14, 0, 0)) == dt.timedelta(days=425)
    assert db.query_val("SELECT timestamp '2024-01-31' + $1", Interval(1, 0, 0)) == dt.datetime(2024, 2, 29)


def test_a_negative_timedelta_goes_as_python_keeps_it(db: SyncDatabase) -> None:
    """Days may be negative in a timedelta, what is left of a day is not."""
    for literal, value in (
        ("-00:00:00.000001", dt.timedelta(microseconds=-1)),
        ("-25:00:00", dt.timedelta(hours=-25)),
        ("-3 days +00:00:05", dt.timedelta(days=-3, seconds=5)),
    ):
        check_result(db, Case("interval", literal, value))
        assert db.query_val("SELECT $1::interval", value) == value
        assert db.query_val(f"SELECT $1::interval = interval '{literal}'", value) is True
    assert db.query_val("SELECT ($1::interval)::text", dt.timedelta(hours=-1)) == "-1 days +23:00:00"


def test_infinite_intervals_are_the_ends_of_timedelta(server: Server, db: SyncDatabase) -> None:
    if server.major < 17:
        pytest.skip("infinite intervals came with version 17")
    for literal, value in (("infinity", dt.timedelta.max), ("-infinity", dt.timedelta.min)):
        check(db, Case("interval", literal, value))


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT date '0044-03-15 BC' AS born", "BC"),
        ("SELECT date '4713-01-01 BC' AS born", "BC"),
        ("SELECT timestamp '0001-12-31 23:59:59.999999 BC' AS born", "BC"),
        ("SELECT timestamptz '0001-12-31 23:59:59+00 BC' AS born", "BC"),
        ("SELECT date '10000-01-01' AS born", "after Python's last"),
        ("SELECT date '5874897-12-31' AS born", "after Python's last"),
        ("SELECT timestamp '294276-12-31 23:59:59.999999' AS born", "after Python's last"),
        ("SELECT timestamptz '10000-01-01 00:00+00' AS born", "after Python's last"),
        ("SELECT time '24:00:00' AS born", "24:00:00"),
        ("SELECT timetz '24:00:00+01' AS born", "24:00:00"),
        ("SELECT interval '1000000000 days' AS born", "timedelta"),
        ("SELECT ARRAY[date '0044-03-15 BC'] AS born", "BC"),
        ("SELECT daterange('0044-03-15 BC', NULL) AS born", "BC"),
        ("SELECT ROW(time '24:00') AS born", "24:00:00"),
    ],
)
def test_what_python_cannot_hold_names_the_column_and_the_way_out(
    db: SyncDatabase, sql: str, reason: str
) -> None:
    with pytest.raises(DataError, match=rf'column "born" \(.*\): .*{reason}.*text') as caught:
        db.query_val(sql)
    assert "text" in str(caught.value)
    assert db.query_val(f"SELECT born::text IS NOT NULL FROM ({sql}) AS s") is True


def test_a_timestamptz_is_utc_whatever_the_session_says(db: SyncDatabase) -> None:
    with db.transaction():
        db.execute("SET LOCAL TimeZone = 'Asia/Kathmandu'")
        db.execute("SET LOCAL DateStyle = 'SQL, DMY'")
        db.execute("SET LOCAL IntervalStyle = 'sql_standard'")
        row = db.query_one(
            "SELECT timestamptz '2024-01-01 00:00+00' AS at, date '2024-02-03' AS day,"
            " interval '-1 day' AS ago"
        )
        assert row == {"at": dt.datetime(2024, 1, 1, tzinfo=UTC), "day": dt.date(2024, 2, 3), "ago": -DAY}
        assert row["at"].tzinfo is UTC


def test_aware_datetimes_of_any_zone_are_the_same_moment(db: SyncDatabase) -> None:
    for name in ("Europe/Prague", "America/St_Johns", "Asia/Kathmandu"):
        local = dt.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo(name))
        assert db.query_val("SELECT $1::timestamptz", local) == local
    # The hour that comes twice: fold says which.
    for fold in (0, 1):
        local = dt.datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=zoneinfo.ZoneInfo("Europe/Prague"))
        assert db.query_val("SELECT $1::timestamptz", local) == local.astimezone(UTC)


def test_a_timestamptz_at_the_ends_of_python_in_other_zones(db: SyncDatabase) -> None:
    # Before year 1 and after year 9999 in UTC; the server knows such moments, only the way back is refused.
    early = dt.datetime(1, 1, 1, 0, 30, tzinfo=zone(hours=1))
    assert (
        db.query_val("SELECT ($1::timestamptz AT TIME ZONE 'UTC')::text", early) == "0001-12-31 23:30:00 BC"
    )
    late = dt.datetime(9999, 12, 31, 23, 30, tzinfo=zone(hours=-1))
    assert db.query_val("SELECT ($1::timestamptz AT TIME ZONE 'UTC')::text", late) == "10000-01-01 00:30:00"


def test_a_naive_datetime_is_no_timestamptz_and_an_aware_one_no_timestamp(db: SyncDatabase) -> None:
    with pytest.raises(
        DataError, match=r"parameter \$2: Python datetime.datetime does not fit timestamptz: naive"
    ):
        db.query("SELECT $1::int4, $2::timestamptz", 1, dt.datetime(2024, 1, 1))
    with pytest.raises(
        DataError, match=r"parameter \$1: Python datetime.datetime does not fit timestamp: aware"
    ):
        db.query("SELECT $1::timestamp", dt.datetime(2024, 1, 1, tzinfo=UTC))
    with pytest.raises(DataError, match=r"parameter \$1: Python datetime.time does not fit timetz"):
        db.query("SELECT $1::timetz", dt.time(1))


def test_dates_serve_as_timestamps_and_datetimes_as_dates(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::timestamp", dt.date(2024, 1, 2)) == dt.datetime(2024, 1, 2)
    assert db.query_val("SELECT $1::date", dt.datetime(2024, 1, 2, 3)) == dt.date(2024, 1, 2)


def test_infinities_stand_inside_of_arrays_and_ranges(db: SyncDatabase) -> None:
    ends = [dt.datetime.max, dt.datetime.min]
    assert db.query_val("SELECT ARRAY['infinity', '-infinity']::timestamp[]") == ends
    assert db.query_val("SELECT ($1::timestamp[])::text", ends) == "{infinity,-infinity}"
    forever = Range(dt.date(2024, 1, 1), dt.date.max)
    assert db.query_val("SELECT daterange('2024-01-01', 'infinity')") == forever
    assert db.query_val("SELECT ($1::daterange)::text", forever) == "[2024-01-01,infinity)"


def test_a_str_is_read_by_the_server(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::date", "15 March 2024") == dt.date(2024, 3, 15)
    assert db.query_val("SELECT $1::timestamptz", "2024-01-01T00:00Z") == dt.datetime(2024, 1, 1, tzinfo=UTC)
    assert db.query_val("SELECT $1::time > '23:59'", "24:00") is True
    assert db.query_val("SELECT $1::interval", "1 day 2 hours") == dt.timedelta(days=1, hours=2)
    with pytest.raises(InvalidDatetimeFormat, match='invalid input syntax for type date: "soon"'):
        db.query_val("SELECT $1::date", "soon")
