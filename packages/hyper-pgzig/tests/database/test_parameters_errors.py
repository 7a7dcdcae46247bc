"""Values that do not fit: each kind of DataError, its text, and that the statement was never sent.

The number of the parameter, the Python type and the SQL type stand in every message. What only the server can
judge, it judges, and its own error is what the user sees.
"""

import datetime as dt
import enum
import uuid
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any, Final

import pytest
from hyperdjango.database import (
    Database,
    DataError,
    InvalidTextRepresentation,
    ProgrammingError,
    Range,
    SyncDatabase,
)
from postgres_servers import Server
from typekit import fresh_database

SETUP: Final = (
    "CREATE TYPE mood AS ENUM ('fine')",
    "CREATE TYPE pair AS (id int4, label text)",
    "CREATE DOMAIN positive AS int4 CHECK (VALUE > 0)",
    # Counts every statement that reached the executor, even one that was rolled back.
    "CREATE SEQUENCE ran",
)


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server, *SETUP) as database:
        yield database


@pytest.fixture(scope="module")
def url(db: SyncDatabase, server: Server) -> str:
    return server.url_for(str(db.query_val("SELECT current_database()")))


class Mood(enum.Enum):
    THREE = 3


class Endless:
    def __iter__(self) -> Iterator[int]:
        raise ZeroDivisionError


def too_deep() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


# SQL type, value, how Python names its class, the reason
REFUSED: list[tuple[str, Any, str, str]] = [
    ("int2", 32768, "int", "out of range for int2, which holds -32768 to 32767"),
    ("int4", 2**31, "int", "out of range for int4"),
    ("int8", 2**63, "int", "out of range for int8"),
    ("oid", -1, "int", "out of range for oid"),
    ("int4", 1.5, "float", "expected int, not float"),
    ("int4", 1.0, "float", "expected int, not float"),
    ("int4", Decimal(1), "decimal.Decimal", "expected int, not decimal.Decimal"),
    ("int4", [1], "list", "expected int, not list"),
    ("int4", b"1", "bytes", "expected int, not bytes"),
    ("int4", object(), "object", "expected int, not object"),
    ("int4", "1\0", "str", "NUL"),
    ("bool", 1, "int", "expected bool, not int"),
    ("float4", 1e39, "float", "out of range for float4"),
    ("float8", 10**400, "int", "too large"),
    ("float8", b"1", "bytes", "not bytes"),
    ("numeric", Decimal("sNaN"), "decimal.Decimal", "numeric has no such value"),
    ("numeric", Decimal("1E-20000"), "decimal.Decimal", "more digits than a numeric holds"),
    ("numeric", b"1", "bytes", "expected Decimal, int or float"),
    ("text", 5, "int", "expected str, not int"),
    ("text", b"x", "bytes", "expected str, not bytes"),
    ("text", "a\0b", "str", "NUL"),
    ("text", "\ud800", "str", "surrogates"),
    ("text", Mood.THREE, "Mood", "expected str, not int"),
    ("varchar", None.__class__, "type", "expected str, not type"),
    ("bytea", 5, "int", "expected bytes"),
    ("jsonb", {"a": object()}, "dict", "not JSON serializable"),
    ("jsonb", {1, 2}, "set", "not JSON serializable"),
    ("json", uuid.UUID(int=0), "UUID", "not JSON serializable"),
    ("uuid", 5, "int", "expected UUID"),
    ("date", 5, "int", "expected date"),
    ("date", dt.time(1), "datetime.time", "expected date"),
    ("time", dt.datetime(2024, 1, 1), "datetime.datetime", "expected time"),
    (
        "timestamptz",
        dt.datetime(2024, 1, 1),
        "datetime.datetime",
        "naive datetime for timestamptz; give it a tzinfo",
    ),
    ("timestamptz", dt.date(2024, 1, 1), "datetime.date", "expected an aware datetime"),
    (
        "timestamp",
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "datetime.datetime",
        "aware datetime for timestamp",
    ),
    ("timetz", dt.time(1), "datetime.time", "naive time"),
    ("interval", 5, "int", "expected timedelta or Interval"),
    ("inet", 5, "int", "expected str or an object of ipaddress"),
    ("bit", 5, "int", "expected str"),
    ("int4[]", 5, "int", "expected a list"),
    ("int4[]", [1, [2]], "list", "ragged list"),
    ("int4[]", [[1], [2, 3]], "list", "ragged list"),
    ("int4[]", [[1], None], "list", "ragged list"),
    ("int4[]", too_deep(), "list", "more than 6 dimensions"),
    ("int4[]", [2**31], "list", "out of range for int4"),
    ("text[]", ["a", "b\0"], "list", "NUL"),
    ("text[]", [5], "list", "expected str, not int"),
    ("timestamptz[]", [dt.datetime(2024, 1, 1)], "list", "naive datetime"),
    ("int4range", (1, 2), "tuple", "expected Range, not tuple"),
    ("int4range", Range(1, 2**31), "Range", "out of range for int4"),
    ("tstzrange", Range(dt.datetime(2024, 1, 1), None), "Range", "naive datetime"),
    ("int4multirange", [5], "list", "expected Range, not int"),
    ("point", (1, 2, 3), "tuple", "two numbers, not 3"),
    ("mood", 5, "int", "expected str, not int"),
    ("positive", 2**31, "int", "out of range for positive"),
    ("pair", (1,), "tuple", "pair has 2 fields, the value 1"),
    ("pair", {"id": 1, "name": ""}, "dict", "no value for field label"),
    ("pair", (2**31, ""), "tuple", "out of range for int4"),
]


def identify(index: int) -> str:
    type_name, _, class_name, _ = REFUSED[index]
    return f"{index}-{type_name}-{class_name}"


@pytest.mark.parametrize("index", range(len(REFUSED)), ids=identify)
def test_a_value_that_does_not_fit_names_parameter_and_both_types(db: SyncDatabase, index: int) -> None:
    type_name, value, class_name, reason = REFUSED[index]
    sql = f"SELECT nextval('ran'), $1::int4, $2::{type_name}"
    before = db.query_val("SELECT last_value FROM ran")
    for _ in range(2):  # at the first use, and when the statement is known
        with pytest.raises(DataError) as caught:
            db.query(sql, 1, value)
        message = str(caught.value)
        assert message.startswith(f"parameter $2: Python {class_name} does not fit {type_name}: ")
        assert reason in message
        assert caught.value.sqlstate is None, "the server was asked"
    assert db.query_val("SELECT last_value FROM ran") == before
    assert db.query_val(f"SELECT $1::{type_name} IS NULL", None) is True


def test_nothing_of_a_refused_call_is_sent_inside_a_transaction(db: SyncDatabase) -> None:
    """The transaction goes on: the server has never heard of it."""
    with db.transaction():
        db.execute("CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT 1 AS id")
        for value in (2**31, b"", [1]):
            with pytest.raises(DataError, match=r"parameter \$1"):
                db.execute("INSERT INTO kept VALUES ($1)", value)
        assert db.query("SELECT id FROM kept") == [{"id": 1}]
        assert db.execute("INSERT INTO kept VALUES ($1)", 2).rows == 1


def test_a_known_statement_is_refused_without_a_word_to_the_server(db: SyncDatabase, url: str) -> None:
    """The backend's own clock of its last statement stands still."""
    sql = "SELECT $1::int4, $2::text"
    assert db.query_val(sql, 1, "") == 1
    with SyncDatabase(url, min_size=1, max_size=1) as observer:
        pid = db.query_val("SELECT pg_backend_pid()")
        last = observer.query_val("SELECT state_change FROM pg_stat_activity WHERE pid = $1", pid)
        for _ in range(10):
            with pytest.raises(DataError, match=r"parameter \$1: Python int does not fit int4"):
                db.query(sql, 2**31, "")
            with pytest.raises(DataError, match="the statement has 2 parameters, 1 value was given"):
                db.query(sql, 1)
        assert observer.query_val("SELECT state_change FROM pg_stat_activity WHERE pid = $1", pid) == last


@pytest.mark.parametrize(
    ("sql", "values", "message"),
    [
        ("SELECT 1", (1,), "the statement has 0 parameters, 1 value was given"),
        ("SELECT $1::int4", (), "the statement has 1 parameter, 0 values were given"),
        ("SELECT $1::int4", (1, 2), "the statement has 1 parameter, 2 values were given"),
        ("SELECT $2::int4, $1::int4", (1,), "the statement has 2 parameters, 1 value was given"),
    ],
)
def test_a_wrong_number_of_values(
    db: SyncDatabase, sql: str, values: tuple[object, ...], message: str
) -> None:
    for call in (db.query, db.query_one, db.query_val, db.execute):
        if not values and call == db.execute:
            continue  # without values it may be a script, and the server complains itself
        with pytest.raises((DataError, ProgrammingError), match=message):
            call(sql, *values)
    assert db.query_val("SELECT 1") == 1


def test_a_parameter_left_out_of_a_lone_execute(db: SyncDatabase) -> None:
    with pytest.raises((DataError, ProgrammingError)):
        db.execute("INSERT INTO pg_class VALUES ($1)")


@pytest.mark.parametrize(
    ("type_name", "text", "message"),
    [
        ("int4", "not_an_int", 'invalid input syntax for type integer: "not_an_int"'),
        ("int4", "", 'invalid input syntax for type integer: ""'),
        ("int2", "1.5", 'invalid input syntax for type smallint: "1.5"'),
        ("float8", "x", 'invalid input syntax for type double precision: "x"'),
        ("numeric", "1,5", 'invalid input syntax for type numeric: "1,5"'),
        ("bool", "maybe", 'invalid input syntax for type boolean: "maybe"'),
        ("uuid", "x", 'invalid input syntax for type uuid: "x"'),
        ("json", "{", "invalid input syntax for type json"),
        ("inet", "1.2.3", 'invalid input syntax for type inet: "1.2.3"'),
        ("mood", "grim", 'invalid input value for enum mood: "grim"'),
        ("int4[]", "{1,x}", 'invalid input syntax for type integer: "x"'),
        ("int4range", "x", 'malformed range literal: "x"'),
        ("pair", "x", 'malformed record literal: "x"'),
    ],
)
def test_a_str_for_another_type_gives_the_servers_own_error(
    db: SyncDatabase, type_name: str, text: str, message: str
) -> None:
    for _ in range(2):
        with pytest.raises(InvalidTextRepresentation) as caught:
            db.query_val(f"SELECT $1::{type_name}", text)
        assert str(caught.value).startswith(message)
        assert caught.value.sqlstate == "22P02"
        assert isinstance(caught.value, DataError)
    assert db.query_val("SELECT 1") == 1


def test_a_str_that_the_server_can_read_is_welcome(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::int4 + 1", " 41 ") == 42
    assert db.query_val("SELECT $1::bool", "yes") is True
    assert db.query_val("SELECT $1::uuid", "{" + "0" * 32 + "}") == uuid.UUID(int=0)


def test_values_never_become_sql(db: SyncDatabase) -> None:
    for text in ("'; DROP TABLE x; --", "$1", "\\", "%s", "{}", "E'\\''", "$$"):
        assert db.query_val("SELECT $1::text", text) == text
        assert db.query_val("SELECT $1::text[]", [text]) == [text]


def test_a_nul_in_the_sql_text_is_refused(db: SyncDatabase) -> None:
    for call in (db.query, db.execute):
        with pytest.raises(DataError, match="NUL"):
            call("SELECT 1 \0")
    assert db.query_val("SELECT 1") == 1


def test_a_lone_surrogate_in_the_sql_text_is_refused(db: SyncDatabase) -> None:
    with pytest.raises(UnicodeEncodeError):
        db.query("SELECT '\ud800'")
    assert db.query_val("SELECT 1") == 1


def test_an_error_of_the_users_own_code_goes_on_as_it_is(db: SyncDatabase) -> None:
    class Broken:
        def __index__(self) -> int:
            raise ZeroDivisionError("mine")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="mine"):
            db.query_val("SELECT $1::int8", Broken())
        with pytest.raises(ZeroDivisionError):
            db.query_val("SELECT $1::int4[]", Endless())
    assert db.query_val("SELECT 1") == 1


def test_65535_parameters_are_the_most(db: SyncDatabase) -> None:
    count = 65_535
    values = list(range(count))
    sql = "SELECT " + "+".join(f"${n + 1}::int8" for n in range(100))
    assert db.query_val(sql, *values[:100]) == sum(values[:100])
    wide = "SELECT count(*) FROM (VALUES " + ",".join(f"(${n + 1}::int4)" for n in range(count)) + ") AS v"
    assert db.query_val(wide, *values) == count
    with pytest.raises(DataError, match="more than 65535 parameters"):
        db.query_val(wide[: -len(") AS v")] + f", (${count + 1}::int4)) AS v", *values, 0)
    assert db.query_val("SELECT 1") == 1


def test_a_set_of_a_batch_is_named_by_its_number(db: SyncDatabase) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS batch (id int4)")
    for count, place in ((3, 1), (5000, 4999)):
        sets: list[tuple[object]] = [(n,) for n in range(count)]
        sets[place] = (2**31,)
        with pytest.raises(DataError, match=rf"set {place}, parameter \$1: Python int does not fit int4"):
            db.execute_many("INSERT INTO batch VALUES ($1)", sets)
        assert db.query_val("SELECT count(*) FROM batch") == 0


async def test_both_faces_say_the_same(url: str) -> None:
    async with Database(url, min_size=1, max_size=1) as db:
        for _ in range(2):
            with pytest.raises(
                DataError, match=r"^parameter \$2: Python int does not fit int4: out of range"
            ):
                await db.query("SELECT $1::text, $2::int4", "x", 2**31)
            with pytest.raises(DataError, match='invalid input syntax for type integer: "not_an_int"'):
                await db.query_val("SELECT $1::int4", "not_an_int")
        with pytest.raises(DataError, match=r"set 1, parameter \$1"):
            await db.execute_many("SELECT $1::int4", sets())
        assert await db.query_val("SELECT 1") == 1


async def sets() -> AsyncIterator[tuple[object]]:
    yield (1,)
    yield ("x\0",)
