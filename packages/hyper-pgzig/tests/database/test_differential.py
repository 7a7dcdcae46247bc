"""The same statements through psycopg 3 and through us: the values must be the same, but for what is listed.

Where they differ on purpose:

- inet and cidr are str here, objects of ipaddress there.
- An enum is its label here, a member of an Enum class there.
- Ranges, multiranges and composites have classes of their own on either side; they are compared by their
  parts.
- timestamptz is in UTC here, in the session's zone there; the moment is the same.
- Infinite dates and timestamps are the ends of Python's range here, an error there.
- float4 is widened exactly here in every case; there, in text format, it is the shortest text's float8.
- Arrays of domains and rows of tables are lists and tuples here, and text there unless registered.
"""

import datetime as dt
import enum
import ipaddress
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import psycopg.rows
import psycopg.types.multirange
import psycopg.types.range
import pytest
from hyperdjango.database import Multirange, Range, SyncDatabase
from postgres_servers import Server
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.hstore import register_hstore
from typekit import fresh_database

Peer = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(
        server,
        "CREATE EXTENSION hstore",
        "CREATE TYPE mood AS ENUM ('fine', 'so so')",
        "CREATE TYPE pair AS (id int4, label text)",
        "CREATE DOMAIN positive AS int4 CHECK (VALUE > 0)",
        "CREATE TABLE person (id int8 PRIMARY KEY, name text, born date, at timestamptz,"
        " score numeric(10, 3), tags text[], data jsonb, key uuid, raw bytea, active bool,"
        " mood mood, pair pair)",
        "INSERT INTO person SELECT n, CASE WHEN n % 7 > 0 THEN 'name ' || n END, date '1990-01-01' + n,"
        " timestamptz '2024-01-01 00:00+00' + n * interval '1 hour 1 microsecond', n / 7.0,"
        " ARRAY['a' || n, NULL, ''], jsonb_build_object('n', n, 'list', ARRAY[n, NULL]),"
        " ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, decode(lpad(n::text, 8, '0'), 'hex'),"
        " n % 2 = 0,"
        " CASE WHEN n % 3 = 0 THEN 'fine' WHEN n % 3 = 1 THEN 'so so' END::mood, ROW(n, 'p' || n)::pair"
        " FROM generate_series(1, 500) AS n",
    ) as database:
        yield database


@pytest.fixture(scope="module", params=[True, False], ids=["binary", "text"])
def peer(server: Server, db: SyncDatabase, request: pytest.FixtureRequest) -> Iterator[Peer]:
    url = server.url_for(str(db.query_val("SELECT current_database()")))
    with psycopg.connect(url, autocommit=True) as connection:
        info = psycopg.types.TypeInfo.fetch(connection, "hstore")
        assert info is not None
        register_hstore(info, connection)
        pair = CompositeInfo.fetch(connection, "pair")
        assert pair is not None
        register_composite(pair, connection)
        mood = EnumInfo.fetch(connection, "mood")
        assert mood is not None
        register_enum(mood, connection)
        connection.cursor_factory = BinaryCursor if request.param else psycopg.Cursor
        yield connection


class BinaryCursor(psycopg.Cursor[Any]):
    """Asks for binary results without being told each time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.format = psycopg.pq.Format.BINARY


def plain(value: Any) -> Any:
    """What is left of a value when the classes that differ on purpose are taken away."""
    match value:
        case psycopg.types.multirange.Multirange() | Multirange():
            return ["multirange", *(plain(each) for each in value)]
        case psycopg.types.range.Range() | Range():
            return (
                "range",
                value.isempty,
                plain(value.lower),
                plain(value.upper),
                value.lower_inc,
                value.upper_inc,
            )
        case ipaddress.IPv4Interface() | ipaddress.IPv6Interface():
            full = value.network.prefixlen == value.max_prefixlen
            return ("str", str(value.ip) if full else str(value))
        case ipaddress.IPv4Address() | ipaddress.IPv6Address():
            return ("str", str(value))
        case ipaddress.IPv4Network() | ipaddress.IPv6Network():
            return ("str", str(value))
        case enum.Enum():
            return ("str", value.name)
        case dt.datetime() if value.tzinfo is not None:
            return value.astimezone(dt.UTC)
        case dt.time() if value.tzinfo is not None:
            return (value.replace(tzinfo=None), value.utcoffset())
        case Decimal():
            return value.as_tuple()
        case float():
            return repr(value)
        case bytes() | memoryview() | bytearray():
            return bytes(value)
        case list():
            return [plain(each) for each in value]
        case tuple():
            return tuple(plain(each) for each in value)
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case _:
            return (type(value).__name__, value)


def compare(db: SyncDatabase, peer: Peer, sql: str) -> None:
    with peer.cursor() as cursor:
        cursor.execute(sql.encode())
        theirs = cursor.fetchall()
    ours = db.query(sql, into=tuple)
    assert [plain(row) for row in ours] == [plain(row) for row in theirs]


VALUES = [
    "true, false, NULL::bool",
    "32767::int2, (-32768)::int2, 2147483647::int4, (-2147483648)::int4, 9223372036854775807::int8",
    "4294967295::oid, '18446744073709551615'::xid8::text",
    "0.1::float8, '-0'::float8, 'NaN'::float8, 'Infinity'::float4, 5e-324::float8",
    "1.0::numeric, 1.00::numeric, 'NaN'::numeric, 0.000001::numeric, 1e30::numeric",
    "-12345.678900::numeric",
    "'text'::text, 'v'::varchar, 'ab'::char(4), 'n'::name, ''::text, 'žluť 🐎'::text",
    "'\\x00ff'::bytea, ''::bytea",
    "'{\"a\": [1, 2.5, null, \"x\"]}'::json, '[{\"b\": true}]'::jsonb, 'null'::jsonb",
    "'1e400'::jsonb::text",
    "date '2024-02-29', date '0001-01-02', date '9999-12-30'",
    "time '12:34:56.789', time '00:00', timetz '01:02:03+05:30', timetz '23:59:59.999999-12'",
    "timestamp '2024-02-29 01:02:03.000004', timestamp '0001-01-02 00:00'",
    "timestamp '1999-12-31 23:59:59.999999'",
    "timestamptz '2024-07-01 12:00+02', timestamptz '1970-01-01 00:00+00'",
    "interval '1 day', interval '-1 day 2 hours', interval '1 year 2 mons 3 days 04:05:06.789'",
    "interval '-14 mons'",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "inet '10.1.2.3', inet '10.1.2.3/8', inet '::1', inet '2001:db8::1/64', cidr '10.0.0.0/8'",
    "cidr '::/0'",
    "ARRAY[1, NULL, 3], ARRAY[[1, 2], [3, 4]], ARRAY['a', NULL, ''], '{}'::int4[]",
    "ARRAY[1.0, 2.50]",
    "ARRAY[date '2024-01-01'], ARRAY['\\x00'::bytea], ARRAY['{}'::jsonb]",
    "ARRAY[timestamptz '2024-01-01 00:00+00']",
    "int4range(1, 5), int8range(NULL, 5), numrange(1.0, 2.50, '[]')",
    "daterange('2024-01-01', NULL), 'empty'::int4range",
    "tsrange('2024-01-01', '2024-02-01', '(]'), tstzrange('2024-01-01 00:00+00', NULL)",
    "ARRAY[int4range(1, 2)]",
    "'{[1,3),[5,7)}'::int4multirange, '{}'::datemultirange, '{(,)}'::nummultirange",
    "'fine'::mood, 5::positive, ARRAY['fine'::mood::text]",
    "'a=>1, b=>NULL'::hstore, ''::hstore, ARRAY['a=>1'::hstore]",
    "ROW(1, 'x')::pair, ROW(NULL, 'a \"b\", \\c')::pair, ARRAY[ROW(1, 'x')::pair, NULL]",
    "count(*) FROM pg_catalog.pg_class WHERE false",
]


@pytest.mark.parametrize("values", VALUES, ids=lambda values: values[:30])
def test_values_are_the_same(db: SyncDatabase, peer: Peer, values: str) -> None:
    compare(db, peer, f"SELECT {values}")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM person ORDER BY id",
        "SELECT mood, count(*), avg(score), max(at), array_agg(id) FROM person GROUP BY 1 ORDER BY 1",
        "SELECT a.id, b.name FROM person AS a LEFT JOIN person AS b ON b.id = a.id + 490 ORDER BY a.id",
        "SELECT jsonb_agg(to_jsonb(p) ORDER BY id) FROM person AS p",
        "SELECT (pair).label, (data->'list'->>0)::int4, raw, key FROM person ORDER BY id LIMIT 50",
        "SELECT extract(epoch FROM at), at - '2024-01-01 00:00+00', born + 1 FROM person ORDER BY id",
        "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 9) TABLE t",
        "INSERT INTO person (id) VALUES (-1) ON CONFLICT (id) DO UPDATE SET name = 'again' RETURNING id",
        "DELETE FROM person WHERE id = -2 RETURNING id",
    ],
)
def test_statements_have_the_same_rows(db: SyncDatabase, peer: Peer, sql: str) -> None:
    compare(db, peer, sql)


PARAMETERS: list[tuple[str, Any]] = [
    ("int4", 5),
    ("int8", -(2**63)),
    ("float8", 0.1),
    ("numeric", Decimal("1.50")),
    ("numeric", 10**30),
    ("text", "žluť '\\\""),
    ("bytea", b"\x00\xff"),
    ("bool", True),
    ("date", dt.date(2024, 2, 29)),
    ("time", dt.time(1, 2, 3, 4)),
    ("timetz", dt.time(1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))),
    ("timestamp", dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
    ("timestamptz", dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=dt.timezone(dt.timedelta(hours=-8)))),
    ("interval", dt.timedelta(days=-1, seconds=2, microseconds=3)),
    ("uuid", uuid.UUID(int=5)),
    ("inet", ipaddress.ip_interface("10.0.0.1/8")),
    ("cidr", ipaddress.ip_network("::/0")),
    ("int4[]", [1, None, 3]),
    ("text[]", [["a", None], ["", 'q"\\']]),
    ("date[]", [dt.date(2024, 1, 1)]),
    ("mood", "fine"),
    ("pair", (1, "x")),
    ("text", None),
]


@pytest.mark.parametrize("index", range(len(PARAMETERS)), ids=lambda index: f"{index}-{PARAMETERS[index][0]}")
def test_the_server_reads_the_same_from_a_parameter(db: SyncDatabase, peer: Peer, index: int) -> None:
    type_name, value = PARAMETERS[index]
    with peer.cursor() as cursor:
        cursor.execute(f"SELECT (%s::{type_name})::text".encode(), (value,))
        row = cursor.fetchone()
    assert row is not None
    assert db.query_val(f"SELECT ($1::{type_name})::text", value) == row[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1/0",
        "SELECT nope FROM person",
        "SELECT * FROM nope",
        "SELEC 1",
        "INSERT INTO person (id) VALUES (1)",
        "INSERT INTO person (id) VALUES (NULL)",
        "SELECT 'x'::int4",
        "SELECT 0::positive",
        "SELECT ROW(1) = ROW(1, 2)",
        "SELECT pg_catalog.pg_read_file('/nowhere')",
    ],
)
def test_errors_are_of_the_same_class_with_the_same_fields(db: SyncDatabase, peer: Peer, sql: str) -> None:
    with pytest.raises(psycopg.Error) as theirs:
        compare_error(peer, sql)
    with pytest.raises(Exception, match=r".") as ours:
        db.query(sql)
    diag = theirs.value.diag
    error: Any = ours.value
    assert type(error).__name__.rstrip("_") == type(theirs.value).__name__.rstrip("_")
    assert (error.sqlstate, error.message, error.detail, error.hint) == (
        diag.sqlstate,
        diag.message_primary,
        diag.message_detail,
        diag.message_hint,
    )
    assert (error.schema, error.table, error.column, error.constraint) == (
        diag.schema_name,
        diag.table_name,
        diag.column_name,
        diag.constraint_name,
    )
    assert str(error.position) == str(diag.statement_position)


def compare_error(peer: Peer, sql: str) -> None:
    peer.execute(sql.encode())


def test_infinite_dates_are_the_ends_here_and_an_error_there(db: SyncDatabase, peer: Peer) -> None:
    sql = "SELECT date 'infinity', timestamp '-infinity'"
    assert db.query_one(sql, into=tuple) == (dt.date.max, dt.datetime.min)
    with pytest.raises(psycopg.DataError):
        peer.execute(sql.encode()).fetchone()
