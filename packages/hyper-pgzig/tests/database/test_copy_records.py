"""`copy_records`: Python rows into tables of every kind, and records that do not fit.

Data that is text or bytes already: test_copy_in. Tasks: test_copy_tasks.
PostgreSQL docs: sql-copy, "Binary Format" and "Text Format".
"""

import datetime as dt
import enum
import ipaddress
import itertools
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from hyperdjango.database import (
    CheckViolation,
    Circle,
    DataError,
    InFailedSqlTransaction,
    InterfaceError,
    InvalidDatetimeFormat,
    InvalidName,
    Multirange,
    OperationalError,
    Point,
    ProgrammingError,
    QueryCanceled,
    QueryTimeout,
    Range,
    SyncDatabase,
    UndefinedColumn,
    UndefinedTable,
    UniqueViolation,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pgkit.face import Face, OpenFace, iterate
from pgkit.until import until

Control = psycopg.Connection[Any]


@pytest.fixture
def control(other: Control) -> Control:
    other.execute("CREATE TABLE t (a int4 PRIMARY KEY CHECK (a <> 13), b text)")
    other.execute("CREATE TYPE mood AS ENUM ('sad', 'fine')")
    other.execute("CREATE TYPE pair AS (id int4, label text)")
    other.execute("CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> 'bad')")
    return other


@pytest.fixture
def face(control: Control, open_face: OpenFace, url: str) -> Face:
    """Opened after the table was made."""
    return open_face(url)


def count(control: Control) -> int:
    found = control.execute("SELECT count(*) FROM t").fetchone()
    assert found is not None
    return int(found[0])


def must_be_untouched(face: Face, control: Control) -> None:
    assert count(control) == 0
    assert [face.query_val("SELECT $1::int8", n, timeout=20) for n in (7, 8)] == [7, 8]
    until(lambda: face.pool_stats()["busy"] == 0)
    assert not face.in_transaction()


class Color(enum.Enum):
    RED = "fine"


class Number(enum.IntEnum):
    ONE = 1


UTC: Final = dt.UTC
VALUES: Final[list[tuple[str, Any]]] = [
    ("bool", True), ("bool", False),
    ("int2", -(2**15)), ("int4", 2**31 - 1), ("int8", -(2**63)), ("int4", Number.ONE), ("oid", 2**32 - 1),
    ("float4", 1.5), ("float8", -0.0), ("float8", math.inf), ("float8", math.nan), ("float8", 3),
    ("numeric", Decimal("1.00")), ("numeric", Decimal("-1E-10")), ("numeric", Decimal("NaN")),
    ("numeric", Decimal("Infinity")), ("numeric", 10**40), ("numeric", Decimal("123456789.000001")),
    ("text", ""), ("text", "\\N"), ("text", "\\."), ("text", "a\tb\nc\rd\\e\b\f\v'\""), ("text", "ä😀"),
    ("varchar(5)", "abc"), ("name", "n"), ('"char"', "x"), ("short", "abc"), ("mood", "fine"),
    ("mood", Color.RED),
    ("bytea", b""), ("bytea", b"\0\xff\\N\t\n"), ("bytea", bytearray(b"x")), ("bytea", memoryview(b"x")),
    ("date", dt.date(2024, 2, 29)), ("date", dt.date.max), ("date", dt.date.min),
    ("time", dt.time(1, 2, 3, 4)), ("timetz", dt.time(1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-5)))),
    ("timestamp", dt.datetime(2024, 1, 2, 3, 4, 5, 6)), ("timestamp", dt.datetime.max),
    ("timestamptz", dt.datetime(2024, 1, 2, tzinfo=UTC)),
    ("interval", dt.timedelta(days=-1, microseconds=1)),
    ("uuid", uuid.UUID(int=5)), ("jsonb", {"a": [1, None, "x\ty\\"]}), ("json", [1, {"b": "\n"}]),
    ("jsonb", "1"),
    ("jsonb", "\"text\""), ("json", 5), ("jsonb", True),
    ("int4[]", [1, None, 3]), ("int4[]", []), ("int4[]", [[1, 2], [3, None]]),
    ("text[]", ["a,b", 'q"', "\\N", "NULL", ""]),
    ("mood[]", ["fine", None]), ("date[]", [dt.date(2024, 1, 1)]), ("pair[]", [(1, "x"), (2, None)]),
    ("pair", (1, "a,(b)\\")), ("pair", {"id": 2, "label": "z"}), ("pair", (None, None)),
    ("int4range", Range(1, 5)), ("int4range", Range(None, 5)),
    ("daterange", Range(dt.date(2024, 1, 1), None)),
    ("int4multirange", Multirange([Range(1, 3), Range(5, 7)])),
    ("numrange", Range(Decimal("1.5"), Decimal(2))),
    ("inet", "1.2.3.4/8"), ("inet", ipaddress.ip_address("::1")),
    ("cidr", ipaddress.ip_network("10.0.0.0/8")),
    ("macaddr", "08:00:2b:01:02:03"), ("bit(3)", "101"), ("varbit", "1"), ("pg_lsn", "1/2"),
    ("money", "$1.50"),
    ("tsvector", "'a':1 'b'"), ("tsquery", "'a' & 'b'"), ("inet[]", ["1.2.3.4", None]),
    ("point", Point(1, 2)), ("circle", Circle(Point(1, 2), 3)), ("point[]", [Point(1, 2), None]),
    ("jsonpath", '$."a"'), ("int2vector", [1, 2]), ("xid8", 2**63), ("bpchar", "x"),
]  # fmt: skip


@pytest.mark.parametrize("form", [None, "text"])
def test_every_type_arrives_as_it_does_by_insert(face: Face, control: Control, form: str | None) -> None:
    """Alone, with a NULL behind it, in one table of all of them."""
    failures: list[str] = []
    for n, (type_name, value) in enumerate(VALUES):
        control.execute(f"CREATE TABLE v{n} (n serial, v {type_name})")
        assert face.copy_records(f"v{n}", [(value,), [None], (value,)], ["v"], format=form) == "COPY 3"
        face.execute(f"INSERT INTO v{n} (v) VALUES ($1)", value)
        found = face.query(f"SELECT v FROM v{n} ORDER BY n", into=tuple)
        if not (repr(found[0]) == repr(found[2]) == repr(found[3]) and found[1] == (None,)):
            failures.append(f"{type_name} {value!r}: {found}")
    assert failures == []
    columns = ", ".join(f"c{n} {type_name}" for n, (type_name, _) in enumerate(VALUES))
    control.execute(f"CREATE TABLE wide ({columns})")
    record = [value for _, value in VALUES]
    assert face.copy_records("wide", [record, [None] * len(record)] * 50, format=form) == "COPY 100"
    assert face.query_val("SELECT count(*) FROM wide WHERE c0") == 50


WIDE: Final = (
    "CREATE TABLE h (n serial, i int8, f float8, d numeric, s text, b bytea, ts timestamp, a text[], j jsonb)"
)
TEXT: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
RECORDS: Final = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(),
        st.none() | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
        st.none() | TEXT,
        st.none() | st.binary(max_size=20),
        st.none() | st.datetimes(),
        st.none() | st.lists(st.none() | TEXT, max_size=4),
        st.none() | st.dictionaries(TEXT, st.none() | st.booleans() | TEXT, max_size=3),
    ),
    max_size=10,
)


@pytest.mark.parametrize("form", ["binary", "text"])
def test_any_values_arrive_as_they_were(control: Control, url: str, form: Any) -> None:
    control.execute(WIDE)
    with SyncDatabase(url, 1, 1) as db:

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(RECORDS)
        def check(records: list[tuple[Any, ...]]) -> None:
            db.execute("TRUNCATE h")
            columns = ["i", "f", "d", "s", "b", "ts", "a", "j"]
            assert db.copy_records("h", records, columns, format=form).rows == len(records)
            found = db.query("SELECT i, f, d, s, b, ts, a, j FROM h ORDER BY n", into=tuple)
            for got, given_ in zip(found, records, strict=True):
                assert repr(got[1]) == repr(given_[1])
                assert (got[0], *got[2:]) == (given_[0], *given_[2:])

        check()


# Tables.


def test_tables_are_named_as_in_sql(face: Face, control: Control) -> None:
    control.execute('CREATE SCHEMA IF NOT EXISTS "Odd ""one"')
    control.execute('CREATE TABLE "Odd ""one"."My; Table" (a int4, "B ""b" text)')
    name = '"Odd ""one"."My; Table"'
    assert face.copy_records(name, [(1, "x")]) == "COPY 1"
    assert face.copy_records(name, [("y", 2)], ['B "b', "a"]) == "COPY 1"
    assert control.execute('SELECT * FROM "Odd ""one"."My; Table"').fetchall() == [(1, "x"), (2, "y")]
    control.execute('DROP SCHEMA "Odd ""one" CASCADE')
    assert face.copy_records("T", [(1, "x")]) == "COPY 1"  # folded, as SQL does
    assert face.copy_records("public.t", [(2, "x")]) == "COPY 1"
    assert face.copy_records(" public . t ", [(3, "x")]) == "COPY 1"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nope", UndefinedTable), ("nope.t", ProgrammingError), ("", InvalidName), ("0", UndefinedTable),
        ("-", UndefinedTable), ("4294967295", UndefinedTable), ("t; DROP TABLE t", InvalidName),
        ("t (a)", ProgrammingError), ('t"', ProgrammingError), ("(SELECT 1)", ProgrammingError),
        ("a\0b", DataError),
        ("t'--", ProgrammingError), (None, TypeError), (5, TypeError), (b"t", TypeError),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(face: Face, control: Control, name: Any, error: type[Exception]) -> None:
    taken: list[int] = []

    def records() -> Iterator[tuple[int, str]]:
        taken.append(1)
        yield 1, "x"

    with pytest.raises(error):
        face.copy_records(name, records())
    assert taken == []
    must_be_untouched(face, control)


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        (["nope"], UndefinedColumn), (["a", "a"], ProgrammingError), ("a", TypeError), ([], ValueError),
        ([5], TypeError), (["a) FROM STDIN; DROP TABLE t --"], UndefinedColumn), (["a", ""], DataError),
        (['a" int4); --'], UndefinedColumn), (["ctid"], ProgrammingError), ({"a", "b"}, TypeError),
        (["A"], UndefinedColumn), (["a\0"], DataError),
    ],
)  # fmt: skip
def test_what_are_no_columns_is_refused(
    face: Face, control: Control, columns: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        face.copy_records("t", [(1,) * len(columns)], columns)
    must_be_untouched(face, control)


@pytest.mark.parametrize("form", ["csv", "", "BINARY", 5, b"text"])
def test_what_is_no_format_is_refused(face: Face, control: Control, form: Any) -> None:
    with pytest.raises(ValueError, match="format"):
        face.copy_records("t", [(1, "x")], format=form)
    must_be_untouched(face, control)


@pytest.mark.parametrize("records", [5, None, object()])
def test_what_are_no_records_is_refused(face: Face, control: Control, records: Any) -> None:
    with pytest.raises(TypeError):
        face.copy_records("t", records)
    must_be_untouched(face, control)


def test_columns_of_special_kinds(face: Face, control: Control) -> None:
    control.execute(
        "CREATE TABLE s (id int4 GENERATED ALWAYS AS IDENTITY, gone int4, a int4,"
        " twice int4 GENERATED ALWAYS AS (a * 2) STORED, b text DEFAULT 'default', c int4 NOT NULL DEFAULT 7)"
    )
    control.execute("ALTER TABLE s DROP COLUMN gone")
    assert face.copy_records("s", [(1,), (2,)], ["a"]) == "COPY 2"
    # COPY takes what is given even for an identity that is always generated.
    assert face.copy_records("s", [(10, 3, "x", 5)]) == "COPY 1"
    assert control.execute("SELECT id, a, twice, b, c FROM s ORDER BY a").fetchall() == [
        (1, 1, 2, "default", 7), (2, 2, 4, "default", 7), (10, 3, 6, "x", 5),
    ]  # fmt: skip


def test_tables_of_special_kinds(face: Face, control: Control) -> None:
    control.execute("CREATE TABLE nothing ()")
    assert face.copy_records("nothing", [(), [], ()]) == "COPY 3"
    assert control.execute("SELECT count(*) FROM nothing").fetchone() == (3,)
    control.execute("CREATE TABLE p (a int4, b text) PARTITION BY LIST (a)")
    control.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
    assert face.copy_records("p", [(1, "x")]) == "COPY 1"
    with pytest.raises(CheckViolation):
        face.copy_records("p", [(1, "x"), (2, "x")])
    control.execute("CREATE VIEW w AS SELECT * FROM t")
    with pytest.raises(ProgrammingError, match="view"):
        face.copy_records("w", [(1, "x")])
    with face.transaction():
        face.execute("CREATE TEMP TABLE tmp (a int4, b mood)")
        assert face.copy_records("tmp", [(1, "fine")]) == "COPY 1"
        assert face.query("TABLE tmp", into=tuple) == [(1, "fine")]
    must_be_untouched(face, control)


# Records.


class Pair(NamedTuple):
    a: int
    b: str


@pytest.mark.parametrize("form", ["binary", "text"])
def test_records_may_be_any_sequences(face: Face, control: Control, form: str) -> None:
    records = [(1, "x"), [2, "x"], Pair(3, "x"), deque([4, "x"]), iter((5, "x")), (n for n in (6, "x"))]
    assert face.copy_records("t", records, format=form) == "COPY 6"
    assert face.copy_records("t", iter([(7, "x")]), format=form) == "COPY 1"
    assert face.copy_records("t", {(8, "x"): 1}, format=form) == "COPY 1"
    assert face.copy_records("t", ((n, "x") for n in range(20, 30)), format=form) == "COPY 10"
    assert count(control) == 18


@pytest.mark.parametrize("form", ["binary", "text"])
@pytest.mark.parametrize("records", [[], (), iter(()), {}])
def test_no_records(face: Face, control: Control, form: str, records: Any) -> None:
    assert face.copy_records("t", records, format=form) == "COPY 0"
    must_be_untouched(face, control)


@pytest.mark.parametrize("form", ["binary", "text"])
@pytest.mark.parametrize("position", [0, 1, 700])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("ab", "no sequence of values, but str"), (b"ab", "no sequence"), (5, "no sequence"),
        (None, "no sequence"),
        ({"a": 1, "b": 2}, "no sequence"), ((1,), "has 1 value, the table's columns are 2"),
        ((1,), 'there is none for column "b"'), ((), 'there is none for column "a"'),
        ((1, "x", 3), "has 3 values"), ((), "has 0 values"), ((2**31, "x"), 'column "a"'),
        ((1.5, "x"), 'column "a"'),
        ((5, 6), 'column "b"'), ((5, "\0"), 'column "b"'), ((object(), "x"), 'column "a"'),
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit_is_named_and_nothing_is_copied(
    face: Face, control: Control, form: str, position: int, bad: Any, message: str
) -> None:
    records: list[Any] = [(n + 100, "x") for n in range(position)] + [bad, (99, "y")]
    with pytest.raises(DataError, match=f"record {position}[ ,]") as caught:
        face.copy_records("t", records, format=form)
    assert message in str(caught.value)
    must_be_untouched(face, control)


def test_a_str_is_for_the_server_in_text_format_alone(face: Face, control: Control) -> None:
    control.execute("CREATE TABLE d (d date, i int4[])")
    with pytest.raises(DataError, match=r'record 1, column "d".*format="text"'):
        face.copy_records("d", [(None, None), ("2024-01-02", None)])
    assert face.copy_records("d", [("2024-01-02", "{1,2}")], format="text") == "COPY 1"
    assert control.execute("TABLE d").fetchall() == [(dt.date(2024, 1, 2), [1, 2])]
    with pytest.raises(InvalidDatetimeFormat) as caught:
        face.copy_records("d", [(None, None), ("nonsense", None)], format="text")
    assert "in record 1, counted from 0" in caught.value.__notes__
    must_be_untouched(face, control)


def test_binary_is_refused_where_a_column_has_no_such_form(face: Face, control: Control) -> None:
    control.execute("CREATE TABLE i (a inet)")
    assert face.copy_records("i", [("1.2.3.4",)]) == "COPY 1"
    with pytest.raises(DataError, match='record 0, column "a"'):
        face.copy_records("i", [("1.2.3.4",)], format="binary")
    must_be_untouched(face, control)


@pytest.mark.parametrize("form", ["binary", "text"])
@pytest.mark.parametrize("table", ["t", "t2024", "t, line 9"])
@pytest.mark.parametrize("position", [0, 3, 2500])
def test_a_record_that_the_backend_refuses_is_named(
    face: Face, control: Control, form: str, table: str, position: int
) -> None:
    if table != "t":
        control.execute(f'CREATE TABLE "{table}" (a int4 PRIMARY KEY CHECK (a <> 13), b text)')
    control.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF NEW.b = 'bad' THEN RAISE E'two\\nlines'; END IF; RETURN NEW; END $$"
    )
    control.execute(
        f'CREATE TRIGGER refuse BEFORE INSERT ON "{table}" FOR EACH ROW EXECUTE FUNCTION refuse()'
    )
    for bad in ((13, "x"), (5, "bad")):
        records: Any = [(n + 100, "x") for n in range(3000)]
        records[position] = bad
        with pytest.raises(Exception, match=r"violates check|two\nlines") as caught:
            face.copy_records(f'"{table}"', records, format=form)
        assert f"in record {position}, counted from 0" in caught.value.__notes__
        must_be_untouched(face, control)


def test_an_error_before_the_first_record_is_read_names_none(face: Face, control: Control) -> None:
    def late() -> Iterator[tuple[int, str]]:
        time.sleep(0.4)
        yield 1, "x"

    with pytest.raises(QueryCanceled) as caught, face.transaction():  # noqa: PT012 - the block raises
        face.execute("SET LOCAL statement_timeout = '100ms'")
        face.copy_records("t", late())
    assert not [note for note in getattr(caught.value, "__notes__", ()) if "in record" in note]
    must_be_untouched(face, control)


def test_in_a_block(face: Face, control: Control) -> None:
    with face.transaction():
        assert face.copy_records("t", [(1, "x")]) == "COPY 1"
        for bad, error in (
            ([(1, "x")], UniqueViolation),
            ([("x", "y")], DataError),
            ([(2, "x"), None], DataError),
        ):
            with pytest.raises(error), face.transaction():
                face.copy_records("t", bad)
        with pytest.raises(UndefinedTable), face.transaction():
            face.copy_records("nope", [])
        with face.transaction():
            assert face.copy_records("t", [(2, "x")]) == "COPY 1"
    assert count(control) == 2
    control.execute("TRUNCATE t")
    for first in (True, False):
        with pytest.raises(InFailedSqlTransaction), face.transaction():  # noqa: PT012 - the block raises
            if not first:
                face.query_val("SELECT 1")
            with pytest.raises(DataError):
                face.copy_records("t", [(2**40, "x")])
            face.query_val("SELECT 1")
        must_be_untouched(face, control)


def test_an_error_of_the_backend_stops_endless_records(face: Face, control: Control) -> None:
    taken = 0

    def records() -> Iterator[tuple[int, str]]:
        nonlocal taken
        yield 13, "x"
        for n in itertools.count(100):
            taken += 1
            yield n, "x"

    with pytest.raises(CheckViolation):
        face.copy_records("t", records())
    assert taken < 5_000_000
    must_be_untouched(face, control)


@pytest.mark.parametrize("after", [0, 1, 20_000])
@pytest.mark.parametrize("error", [ZeroDivisionError, UniqueViolation, TimeoutError, KeyboardInterrupt])
def test_what_the_records_raise_comes_out(
    face: Face, control: Control, after: int, error: type[BaseException]
) -> None:
    if error is KeyboardInterrupt and not isinstance(face, SyncDatabase):
        return  # it goes to the loop

    def records() -> Iterator[tuple[int, str]]:
        for n in range(after):
            yield n + 100, "x"
        raise error("on purpose")

    with pytest.raises(error, match="on purpose"):
        face.copy_records("t", records())
    must_be_untouched(face, control)


def test_a_value_that_raises(face: Face, control: Control) -> None:
    class Breaks:
        def __index__(self) -> int:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        face.copy_records("t", [(1, "x"), (Breaks(), "y")])
    must_be_untouched(face, control)


def test_a_list_that_changes_while_it_is_read(face: Face, control: Control) -> None:
    record: list[Any] = []

    class Empties:
        def __index__(self) -> int:
            record.clear()
            return 5

    record[:] = [Empties(), "x"]
    with pytest.raises(DataError, match="shorter"):
        face.copy_records("t", [record])
    must_be_untouched(face, control)


def test_records_that_use_the_blocking_face_they_are_for(url: str, control: Control) -> None:
    with SyncDatabase(url, 1, 2) as db:

        def records() -> Iterator[tuple[int, str]]:
            for row in db.stream("SELECT generate_series(1, 10) AS n", chunk=3):
                yield row["n"], db.query_val("SELECT 'x'") if row["n"] < 0 else "y"

        assert db.copy_records("t", records()) == "COPY 10"
        with pytest.raises(InterfaceError), db.transaction():
            db.copy_records("t", records())
        assert count(control) == 10
        assert db.query_val("SELECT 1") == 1


def test_time_that_passes(face: Face, control: Control) -> None:
    for records in (((n, "x") for n in itertools.count(100)), [(1, "x")]):
        if isinstance(records, list):
            control.execute(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN PERFORM pg_sleep(30); RETURN NEW; END $$"
            )
            control.execute("CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()")
        with pytest.raises(QueryTimeout):
            face.copy_records("t", records, timeout=0.4)
        must_be_untouched(face, control)


@pytest.mark.parametrize("moment", [1, 20_000])
def test_a_connection_that_is_ended_half_way(face: Face, control: Control, moment: int) -> None:
    pid = face.query_val("SELECT pg_backend_pid()")

    def records() -> Iterator[tuple[int, str]]:
        for n in range(200_000):
            if n == moment:
                control.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            yield n + 100, "x"

    with pytest.raises(OperationalError) as caught:
        face.copy_records("t", records())
    assert "OutcomeUnknown" not in type(caught.value).__name__
    must_be_untouched(face, control)


# Types.


def test_types_that_are_met_first_here(control: Control, open_face: OpenFace, url: str) -> None:
    control.execute("CREATE TYPE deep AS (p pair[], m mood, r int4range)")
    control.execute("CREATE TABLE met (d deep, e mood[], s short)")
    for form in ("binary", "text"):
        face = open_face(url)
        value = ([(1, "x")], "sad", Range(1, 2))
        assert face.copy_records("met", [(value, ["fine"], "abc")], format=form) == "COPY 1"
        row = face.query_one("TABLE met", into=tuple)
        assert ([tuple(p) for p in row[0].p], row[0].m, row[0].r, row[1:]) == (
            [(1, "x")],
            "sad",
            Range(1, 2),
            (["fine"], "abc"),
        )
        with pytest.raises(DataError, match=r"mood|short"):
            face.copy_records("met", [(None, ["grim"], None)], format=form)
        with pytest.raises(CheckViolation):
            face.copy_records("met", [(None, None, "bad")], format=form)
        control.execute("TRUNCATE met")


def test_codecs_of_the_users_own(control: Control, open_face: OpenFace, url: str) -> None:
    control.execute("CREATE TABLE c (a point, b inet, n int4)")
    face = open_face(url)
    face.register_codec("point", encode=lambda p: f"({p[0]},{p[1]})", decode=str)
    face.register_codec("inet", encode=bytes.fromhex, decode=bytes.hex, binary=True)
    assert face.copy_records("c", [((1, 2), None, 5)]) == "COPY 1"
    assert control.execute("SELECT a::text, n FROM c").fetchall() == [("(1,2)", 5)]
    assert face.copy_records("c", [("02200004c0a80101", 6)], ["b", "n"]) == "COPY 1"
    assert control.execute("SELECT b::text FROM c WHERE n = 6").fetchone() == ("192.168.1.1/32",)


def test_a_table_that_was_altered_between_two_copies(face: Face, control: Control) -> None:
    assert face.copy_records("t", [(1, "x")]) == "COPY 1"
    control.execute("ALTER TABLE t DROP CONSTRAINT t_a_check, ALTER a TYPE int8, ADD COLUMN c date")
    assert face.copy_records("t", [(2**40, "x", dt.date(2024, 1, 1))]) == "COPY 1"
    control.execute("ALTER TABLE t ALTER a TYPE text USING a::text, DROP COLUMN b")
    with pytest.raises(DataError, match='column "a"'):
        face.copy_records("t", [(5, None)])
    assert face.copy_records("t", [("five", None)]) == "COPY 1"
    assert control.execute("SELECT a FROM t ORDER BY a").fetchall() == [("1",), ("1099511627776",), ("five",)]


def test_an_alteration_while_records_are_copied_waits(face: Face, control: Control) -> None:
    """From the first look at the types on."""
    control.execute("SET lock_timeout = '100ms'")
    seen: list[type[Exception]] = []

    def records() -> Iterator[tuple[int, str]]:
        try:
            control.execute("ALTER TABLE t ALTER a TYPE text")
        except psycopg.errors.LockNotAvailable as error:
            seen.append(type(error))
        yield 1, "x"

    assert face.copy_records("t", records()) == "COPY 1"
    assert seen == [psycopg.errors.LockNotAvailable]


def test_copies_side_by_side(url: str, control: Control) -> None:
    with SyncDatabase(url, 2, 2) as db:
        failures: list[BaseException] = []

        def work(start: int) -> None:
            try:
                for n in range(20):
                    first = start + n * 100
                    assert db.copy_records("t", [(first + k, "x") for k in range(100)]) == "COPY 100"
            except BaseException as error:  # the main thread looks at it
                failures.append(error)

        threads = [threading.Thread(target=work, args=(k * 10_000 + 100,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
    assert count(control) == 8000


def test_behind_a_session_that_is_to_be_reset(face: Face, control: Control) -> None:
    for n in range(2):
        face.execute("SET search_path = pg_catalog")
        assert face.copy_records("t", [(n, "x")]) == "COPY 1"
    assert list(iterate(face, "stream", "SELECT a FROM t ORDER BY a", into=tuple)) == [(0,), (1,)]


def test_a_long_value_and_a_wide_record(face: Face, control: Control) -> None:
    for form in ("binary", "text"):
        control.execute("TRUNCATE t")
        assert face.copy_records("t", [(1, "ä" * 5_000_000), (2, "y")], format=form) == "COPY 2"
        assert control.execute("SELECT a, length(b) FROM t ORDER BY a").fetchall() == [(1, 5_000_000), (2, 1)]
