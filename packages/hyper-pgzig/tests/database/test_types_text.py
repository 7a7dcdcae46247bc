"""Text, bytes, JSON, UUIDs and text search: as the server has them, as parameters, and at their limits."""

import enum
import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hyperdjango.database import DataError, FeatureNotSupported, SyncDatabase
from postgres_servers import Server
from typekit import Case, cases, check, fresh_database, identical, identify, texts


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server, "CREATE TYPE mood AS ENUM ('fine', 'so so', 'naïve')") as database:
        yield database


AWKWARD = [
    "",
    "x",
    " spaced ",
    "it's",
    'say "hi"',
    "back\\slash",
    "{a,b}",
    "NULL",
    "\n\t",
    "žluťoučký 🐎",
    "\U0010ffff",
]

CASES = [
    *texts("text", *AWKWARD),
    *texts("varchar", *AWKWARD),
    *texts("varchar(3)", "abc", "🐎🐎🐎"),
    *texts("name", "", "pg_class", "n" * 63, "é" * 31),
    *texts('"char"', "a", "\\351", "\\200", "\\377"),
    *texts("mood", "fine", "so so", "naïve"),
    *texts("jsonpath", '$."a"[*]?(@ > 5)', "strict $"),
    *texts("tsvector", "'a' 'b'", "'cat':3 'fat':2,4C 'mat':11A", "'it''s' 'ž'", ""),
    *texts(
        "tsquery",
        "'a'",
        "'a' & 'b'",
        "'fat' & ( 'cat' | 'rat' )",
        "!'a' & 'b':*AB",
        "'a' <-> 'b' <5> 'c'",
        "",
    ),
    *texts("refcursor", "c1"),
    *cases(
        "bytea",
        ("\\x", b""),
        ("\\x00", b"\0"),
        ("\\x00ff5c27", b"\0\xff\\'"),
        ("\\x" + "ab" * 5000, b"\xab" * 5000),
    ),
    *cases(
        "uuid",
        ("00000000-0000-0000-0000-000000000000", uuid.UUID(int=0)),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", uuid.UUID(int=2**128 - 1)),
        ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ),
]

JSON_CASES: list[tuple[str, Any]] = [
    ("{}", {}),
    ("[]", []),
    ("1.5", 1.5),
    ("true", True),
    ('{"a": [1, null, {"b": "é"}]}', {"a": [1, None, {"b": "é"}]}),
    ('{"": -0.5}', {"": -0.5}),
    ("[[], {}, [[]]]", [[], {}, [[]]]),
    ('["\\u0001\\"\\\\"]', ['\x01"\\']),
    (str(2**70), 2**70),
]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_text_is_the_same_on_every_way(db: SyncDatabase, case: Case) -> None:
    check(db, case)


@pytest.mark.parametrize("literal", ["<a/>", "<a>é</a>", '<a b="c"><!-- d --></a>'])
def test_xml_is_its_text(db: SyncDatabase, literal: str) -> None:
    try:
        db.query_val("SELECT xml '<a/>'")
    except FeatureNotSupported:
        pytest.skip("this server was built without libxml")
    check(db, Case("xml", literal, literal))


@pytest.mark.parametrize("type_name", ["json", "jsonb"])
@pytest.mark.parametrize(("literal", "value"), JSON_CASES)
def test_json_comes_as_python_values_and_goes_as_such(
    db: SyncDatabase, type_name: str, literal: str, value: object
) -> None:
    constant = f"CAST(E'{literal.replace(chr(92), chr(92) * 2)}' AS {type_name})"
    assert identical(db.query_val(f"SELECT {constant}"), value)
    assert identical(db.query_val(f"SELECT ARRAY[{constant}, NULL]"), [value, None])
    assert identical(db.query_val(f"SELECT ROW({constant})")[0], value)
    assert identical(db.query_val(f"SELECT $1::{type_name}", value), value)
    assert identical(db.query_val(f"SELECT $1::{type_name}[]", [value, None]), [value, None])
    assert json.loads(db.query_val(f"SELECT ($1::{type_name})::text", value)) == value
    assert db.query_val(f"SELECT ($1::{type_name}) IS NULL", None) is True


def test_a_str_for_json_is_its_text_and_json_null_is_not_null(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::jsonb", '"word"') == "word"
    assert db.query_val("SELECT $1::jsonb", '{"a": 1}') == {"a": 1}
    row = db.query_one("SELECT 'null'::jsonb AS value, $1::jsonb IS NULL AS is_null", "null")
    assert row == {"value": None, "is_null": False}
    with pytest.raises(DataError, match="invalid input syntax for type json"):
        db.query_val("SELECT $1::json", "word")


def test_json_functions_of_the_database_are_used(server: Server) -> None:
    with fresh_database(
        server,
        json_loads=lambda document: ("read", document),
        json_dumps=lambda value: json.dumps({"wrapped": value}),
    ) as db:
        assert db.query_val("SELECT jsonb '[1,  2]'") == ("read", "[1, 2]")
        assert db.query_val("SELECT ($1::json)::text", 5) == '{"wrapped": 5}'


def test_char_n_is_padded_and_its_padding_comes_along(db: SyncDatabase) -> None:
    assert db.query_val("SELECT 'ab'::char(5)") == "ab   "
    assert db.query_val("SELECT $1::char(5)", "ab") == "ab   "
    assert db.query_val("SELECT ARRAY['ab'::char(3), NULL]") == ["ab ", None]


def test_char_in_quotes_is_one_byte_and_may_be_any(db: SyncDatabase) -> None:
    for number in range(-128, 128):
        printed = db.query_val(f'SELECT (({number}::int4)::"char")::text')
        if number >= 0 or printed.startswith("\\"):  # before version 15 high bytes print as they are
            assert db.query_val(f'SELECT ({number}::int4)::"char"') == printed
            assert db.query_val('SELECT ($1::"char")::int4', printed) == number


def test_a_name_is_cut_at_63_bytes_by_the_server(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::name", "n" * 70) == "n" * 63


def test_an_untyped_constant_is_text(db: SyncDatabase) -> None:
    assert db.query_val("SELECT 'plain'") == "plain"
    assert db.query_val("SELECT NULL") is None
    assert db.query_val("SELECT $1", "plain") == "plain"


def test_void_is_none(db: SyncDatabase) -> None:
    assert db.query("SELECT pg_notify('nobody', '') AS nothing") == [{"nothing": None}]


def test_long_values_of_every_length_class_arrive_whole(db: SyncDatabase) -> None:
    for size in (1, 127, 128, 8191, 8192, 65535, 65536, 3_000_000):
        assert db.query_val("SELECT repeat('é', $1)", size) == "é" * size
        assert db.query_val("SELECT length($1::text)", "é" * size) == size
        assert db.query_val("SELECT $1::bytea", b"\x80" * size) == b"\x80" * size


def test_bytes_like_objects_are_bytea(db: SyncDatabase) -> None:
    for value in (b"a\0b", bytearray(b"a\0b"), memoryview(b"xa\0bx")[1:4]):
        assert db.query_val("SELECT $1::bytea", value) == b"a\0b"
    with pytest.raises(DataError, match="invalid hexadecimal digit"):
        db.query_val("SELECT $1::bytea", "\\xzz")


class Mood(enum.Enum):
    FINE = "fine"
    OTHER = 5


class Weight(enum.StrEnum):
    LIGHT = "light"


def test_enum_members_go_by_value(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::mood", Mood.FINE) == "fine"
    assert db.query_val("SELECT $1::text", Weight.LIGHT) == "light"
    assert db.query_val("SELECT $1::int4", Mood.OTHER) == 5
    assert db.query_val("SELECT $1::mood[]", [Mood.FINE, None]) == ["fine", None]
    with pytest.raises(DataError, match='invalid input value for enum mood: "light"'):
        db.query_val("SELECT $1::mood", Weight.LIGHT)


def test_a_text_that_is_not_utf8_is_an_error_that_names_the_column(server: Server) -> None:
    name = server.create_database()
    server.drop_database(name)
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    try:
        with SyncDatabase(server.url_for(name), min_size=1, max_size=1) as db:
            invalid = "convert_from('\\x61ff62'::bytea, 'SQL_ASCII')"
            backend = db.query_val("SELECT pg_backend_pid()")
            # The server looks before it sends, since client_encoding is UTF8, and does not say which column.
            with pytest.raises(DataError, match='"UTF8": 0xff') as caught:
                db.query(f"SELECT 1 AS id, {invalid} AS label")
            assert caught.value.__notes__ == ['the bytes are in column "label"']
            with pytest.raises(DataError, match='"UTF8": 0xff') as caught:
                db.query(f"SELECT 'a' AS name, true AS flag, ARRAY['ok', {invalid}] AS labels")
            assert caught.value.__notes__ == ['the bytes are in one of the columns "name", "labels"']
            assert db.query_val(f"SELECT {invalid}::bytea") == b"a\xffb"
            assert db.query_val("SELECT $1::text", "é") == "é"
            assert db.query_val("SELECT pg_backend_pid()") == backend
    finally:
        server.drop_database(name)


def test_other_encodings_are_converted_by_the_server(server: Server) -> None:
    name = server.create_database()
    server.drop_database(name)
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    try:
        with SyncDatabase(server.url_for(name), min_size=1, max_size=1) as db:
            assert db.query_val("SELECT octet_length($1::text)", "é") == 1
            assert db.query_val("SELECT chr(233)") == "é"
            with pytest.raises(DataError, match="has no equivalent"):
                db.query_val("SELECT $1::text", "€")
    finally:
        server.drop_database(name)
