"""What `query_json` writes for each type, against the server's own `row_to_json` where the rule is its own.

docs/json.md has the rules. The server is asked in UTC, since that is where a timestamptz is written.
"""

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import Database, FeatureNotSupported, SyncDatabase
from postgres_servers import Server
from typekit import fresh_database

# The very bytes that row_to_json gives. `$$…$$` is SQL's quoting, so that Python's stays out of it.
AS_THE_SERVER: Final = [
    "NULL::int4",
    "true",
    "false",
    *(f"({n})::int2" for n in (-32768, 0, 32767)),
    *(f"({n})::int4" for n in (-2147483648, -1, 10, 99, 100, 2147483647)),
    *(f"({n})::int8" for n in (-(2**63), -1, 2**53 + 1, 10**18, 2**63 - 1)),
    *(
        f"$${n}$$::float8"
        for n in ("0.1", "-1e-5", "1.5e300", "5e-324", "1e15", "0.0001", "123456.789", "1e22")
    ),
    *(f"$${n}$$::float8" for n in ("NaN", "Infinity", "-Infinity")),
    *(f"$${n}$$::float4" for n in ("0.1", "1e-45", "3.4028235e38", "1e6", "1234567", "NaN", "-Infinity")),
    *(
        f"$${n}$$::numeric"
        for n in ("0", "1.0", "1.00", "-0.000001", "1e40", "12345678901234567890.123456789")
    ),
    *(f"$${n}$$::numeric" for n in ("NaN", "Infinity", "-Infinity")),
    "repeat('9', 1000)::numeric",
    "''::text",
    '$$a "quoted" \\ back/slash$$::text',
    r"E'\b\f\n\r\t\x01\x1f\x7f'::text",
    "$$häßlich 字 𝄞 and\u2028more$$::text",
    'repeat($$ab"cd$$, 10000)',
    "'x'::varchar(10)",
    "'x'::char(5)",
    "'pg_class'::name",
    "'a'::\"char\"",
    r"E'\\377'::" + '"char"',
    r"E'\\x00ff5c'::bytea",
    "''::bytea",
    '$$ {"a" : [1, 2.50, null, "\\u00e9"], "a": 2} $$::json',
    '$${"b": [1, {"c": 1e5}], "a": "\\""}$$::jsonb',
    "'null'::jsonb",
    '$$"alone"$$::jsonb',
    "(repeat('[', 900) || repeat(']', 900))::json",
    *(
        f"$${text}$$::date"
        for text in ("2026-01-02", "0044-03-15 BC", "5874897-12-31", "infinity", "-infinity")
    ),
    *(
        f"$${text}$$::{kind}"
        for kind in ("timestamp", "timestamptz")
        for text in (
            "2026-01-02 03:04:05",
            "2026-01-02 03:04:05.1",
            "1999-12-31 23:59:59.999999",
            "0001-01-01 00:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "infinity",
            "-infinity",
        )
    ),
    *(f"$${text}$$::time" for text in ("00:00:00", "03:04:05.678", "24:00:00")),
    *(
        f"$${text}$$::timetz"
        for text in ("03:04:05+00", "03:04:05.5-03:30", "24:00:00+15:59:59", "01:02:03-00:00:07")
    ),
    *(
        f"$${text}$$::interval"
        for text in (
            "0",
            "1 year 2 mons 3 days 04:05:06.789",
            "-1 year -2 mons +3 days -04:05:06",
            "-1 day +02:00",
            "1 mon -1 day",
            "-0.000001 seconds",
            "100000 hours",
            "-178000000 years",
            "1 year 1 mon 1 day",
        )
    ),
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    *(f"$${text}$$::inet" for text in ("127.0.0.1", "10.1.2.3/8", "::1", "2001:db8::/32")),
    "'10.0.0.0/8'::cidr",
    "'08:00:2b:01:02:03'::macaddr",
    "'08:00:2b:01:02:03:04:05'::macaddr8",
    "B'10110'",
    "''::varbit",
    "'16/B374D848'::pg_lsn",
    "$$'it''s' fat:1A,2 \"q\\\\$$::tsvector",
    "$$fat & (rat | !'c\"at')$$::tsquery",
    "'$.a[*] ? (@ > 1)'::jsonpath",
    "'12.50'::money",
    "'(1,-2.5)'::point",
    "'{1,2,3}'::line",
    "'[(1,2),(3,4)]'::lseg",
    "'(3,4),(1,2)'::box",
    "'<(1,2),0.1>'::circle",
    "'((1,2),(3,4))'::path",
    "'[(1,2),(1e20,4)]'::path",
    "'((1,2),(3,4),(5,1e-7))'::polygon",
    "'{}'::int4[]",
    "'{1,NULL,3}'::int4[]",
    "'{{1,2},{3,4}}'::int4[]",
    "'[0:1]={1,2}'::int4[]",
    "ARRAY[[[1]],[[2]]]::int2[]",
    "ARRAY['a\"b', NULL, '', 'NULL']",
    "ARRAY[1.50, NULL]::numeric[]",
    "ARRAY['2026-01-02 03:04:05'::timestamptz]",
    "ARRAY['{\"a\": 1}'::jsonb, NULL]",
    "ARRAY['1'::money, NULL]",
    "ARRAY[ARRAY['$1,000.00'::money], ARRAY[NULL::money]]",
    "ARRAY['(1,2),(3,4)'::box]",
    "ARRAY['a=r/postgres'::text]",
    *(f"$${text}$$::int4range" for text in ("[1,5)", "empty", "(,)", "[1,)", "(,5)")),
    "'[1.50,2.5]'::numrange",
    "tsrange('2026-01-02 03:04:05', NULL)",
    "tstzrange('2026-01-02 03:04:05+00', '2026-01-03+00', '(]')",
    "daterange('2026-01-02', 'infinity')",
    "'{[1,3), [5,7)}'::int4multirange",
    "'{}'::int4multirange",
    "'{[\"2026-01-02 03:04:05\",)}'::tsmultirange",
    "ARRAY['[1,5)'::int4range]",
    "ROW(1, 'a\"b', NULL, true, ARRAY[1], ROW(2.50))",
    "ROW()",
    "(1, 'x', 'ok', ARRAY['sad'::mood], '{\"k\": null}', '2026-01-02')::place",
    "ARRAY[(1, 'x', 'ok', NULL, NULL, NULL)::place, NULL]",
    "ROW((1, 'x', 'ok', NULL, NULL, NULL)::place)",
    "('$1.50', '{$2.00,NULL}', 1, true, NULL, '{{1,2},{3,4}}', '[1,3)')::purse",
    "ARRAY[('$1.50', NULL, 1.5, false, '2026-01-02 03:04:05', NULL, NULL)::purse]",
    "'ok'::mood",
    "ARRAY['ok', NULL]::mood[]",
    "5::positive",
    "ARRAY[5, 6]::positive[]",
    "'5'::doubly",
    "''::hstore",
    "'Case'::citext",
    "textrange('a', 'b c')",
    "textrange('', $$q\"u\\o,te$$, '[]')",
    "floatrange(1, 1e20)",
    "placerange(NULL, (1, 'x y', 'ok', '{sad,NULL}', NULL, NULL)::place)",
    'listrange(\'[0:1]={a,"NULL"}\', \'{{"q\\"",""},{NULL,x}}\')',
    "recordrange(ROW(1, 2, 'a,b')::triple, NULL)",
    "textmultirange(textrange('a', 'b c'))",
]
# The same value as row_to_json gives, written in another way.
EQUAL_TO_THE_SERVER: Final = [
    *(f"$${n}$$::float8" for n in ("0", "1", "-100", "123456789012345")),
    "'1'::float4",
    "ARRAY[1, 2.5, NULL]::float8[]",
]
# Our own rules.
OURS: Final = [
    ("'1'::float8", "1.0"),
    ("'-0'::float8", "-0.0"),
    ("'2'::float4", "2.0"),
    ("42::oid", "42"),
    ("'7'::xid", "7"),
    ("'18446744073709551615'::xid8", "18446744073709551615"),
    ("'1 2 3'::int2vector", "[1,2,3]"),
    ("'1 2'::oidvector", "[1,2]"),
    ("pg_sleep(0)", "null"),
    ("'a.b'::ltree", '"a.b"'),
    ('\'a=>1, "b\\""=>NULL\'::hstore', r'{"a":"1","b\"":null}'),
    ("ARRAY['=r/postgres'::aclitem]", '["=r/postgres"]'),
    ("'pg_class'::regclass", '"pg_class"'),
]
SETUP: Final = (
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION citext",
    "CREATE EXTENSION ltree",
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN positive AS int8 CHECK (VALUE > 0)",
    "CREATE DOMAIN doubly AS positive",
    'CREATE TYPE place AS (id int4, "na""me" text, mood mood, moods mood[], doc jsonb, day date)',
    "CREATE TYPE triple AS (a int4, b int4, c text)",
    (
        "CREATE TYPE purse AS (cash money, more money[], n numeric, yes bool, at timestamp, grid int4[],"
        " span int4range)"
    ),
    "CREATE TYPE textrange AS RANGE (SUBTYPE = text, MULTIRANGE_TYPE_NAME = textmultirange)",
    "CREATE TYPE floatrange AS RANGE (SUBTYPE = float8)",
    "CREATE TYPE placerange AS RANGE (SUBTYPE = place)",
    "CREATE TYPE listrange AS RANGE (SUBTYPE = text[])",
    "CREATE TYPE recordrange AS RANGE (SUBTYPE = triple)",
)


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server, *SETUP) as database:
        yield database


@pytest.fixture(scope="module")
def of_server(server: Server, db: SyncDatabase) -> Iterator[psycopg.Connection[Any]]:
    url = server.url_for(str(db.query_val("SELECT current_database()")))
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
        yield connection


def server_text(connection: psycopg.Connection[Any], expression: str) -> str:
    query = f"SELECT row_to_json(r)::text FROM (SELECT {expression} AS v) r"
    row = connection.execute(query.replace("%", "%%").encode()).fetchone()
    assert row is not None
    text: str = row[0]
    return text


@pytest.mark.parametrize("expression", AS_THE_SERVER)
def test_a_value_is_written_as_the_server_writes_it(
    db: SyncDatabase, of_server: psycopg.Connection[Any], expression: str
) -> None:
    assert db.query_json(f"SELECT {expression} AS v").decode() == f"[{server_text(of_server, expression)}]"


@pytest.mark.parametrize("expression", EQUAL_TO_THE_SERVER)
def test_a_whole_float_is_the_same_number_as_the_server_writes(
    db: SyncDatabase, of_server: psycopg.Connection[Any], expression: str
) -> None:
    ours = db.query_json(f"SELECT {expression} AS v")
    assert json.loads(ours) == [json.loads(server_text(of_server, expression))]


@pytest.mark.parametrize(("expression", "expected"), OURS)
def test_a_rule_of_our_own(db: SyncDatabase, expression: str, expected: str) -> None:
    sql = f"SELECT {expression} AS v"
    ours = db.query_json(sql).decode()
    assert ours == f'[{{"v":{expected}}}]'
    assert json.loads(ours) == db.query(sql)


def test_xml_is_a_string(db: SyncDatabase) -> None:
    try:
        db.query_val("SELECT xml '<a/>'")
    except FeatureNotSupported:
        pytest.skip("this server was built without libxml")
    assert db.query_json("SELECT '<a b=\"c\"/>'::xml AS v") == b'[{"v":"<a b=\\"c\\"/>"}]'


def test_a_float_stays_one_and_keeps_its_sign(db: SyncDatabase) -> None:
    ((whole, zero),) = [
        row.values() for row in json.loads(db.query_json("SELECT 5::float8 a, '-0'::float8 b"))
    ]
    assert isinstance(whole, float)
    assert math.copysign(1, zero) == -1


def test_numbers_beyond_two_to_the_53_are_exact(db: SyncDatabase) -> None:
    text = db.query_json("SELECT 9007199254740993::int8 AS i, 12345678901234567890.10::numeric AS n")
    assert text == b'[{"i":9007199254740993,"n":12345678901234567890.10}]'
    assert json.loads(text, parse_float=Decimal) == [
        {"i": 2**53 + 1, "n": Decimal("12345678901234567890.10")}
    ]


def test_a_timestamptz_is_utc_and_an_interval_plain_whatever_the_session_has(db: SyncDatabase) -> None:
    with db.transaction():
        for setting in ("timezone TO 'Asia/Tokyo'", "intervalstyle TO 'iso_8601'", "datestyle TO 'SQL, DMY'"):
            db.execute(f"SET LOCAL {setting}")
        text = db.query_json(
            "SELECT '2026-01-02 03:04:05+00'::timestamptz AS t, '1 day'::interval AS i,"
            " '[2026-01-02,)'::daterange AS d"
        )
    assert text == b'[{"t":"2026-01-02T03:04:05+00:00","i":"1 day","d":"[2026-01-02,)"}]'


def test_an_infinite_interval_is_a_word_where_the_server_has_one(
    db: SyncDatabase, of_server: psycopg.Connection[Any]
) -> None:
    if of_server.info.server_version < 170_000:
        assert b"infinity" not in db.query_json("SELECT '178000000 years'::interval AS v")
        return
    assert db.query_json("SELECT 'infinity'::interval a, '-infinity'::interval b") == (
        b'[{"a":"infinity","b":"-infinity"}]'
    )


def test_what_a_codec_makes_goes_through_json_dumps(db: SyncDatabase, server: Server) -> None:
    url = server.url_for(str(db.query_val("SELECT current_database()")))
    seen: list[object] = []

    def dumps(value: object) -> bytes:
        seen.append(value)
        return json.dumps(value).encode()

    with SyncDatabase(url, 1, 1, json_dumps=dumps) as coded:
        coded.register_codec("money", encode=str, decode=lambda text: {"cash": text})
        coded.register_codec("int2", encode=bytes, decode=lambda data: data.hex(), binary=True)
        text = coded.query_json("SELECT 1.5::money AS m, ARRAY[2]::int2[] AS s, 3::int4 AS i")
    assert text == b'[{"m":{"cash": "$1.50"},"s":["0002"],"i":3}]'
    assert seen == [{"cash": "$1.50"}, "0002"]


@pytest.mark.parametrize(
    ("decode", "dumps", "error"),
    [
        (lambda _: math.nan, None, "the text is not JSON"),
        (str, lambda _: "NaN", "the text is not JSON"),
        (str, lambda _: "1, 2", "the text is not JSON"),
        (str, lambda _: 5, "json_dumps gave int, not str or bytes"),
        (lambda _: object(), None, "not JSON serializable"),
        (lambda _: 1 / 0, None, "division by zero"),
    ],
)
def test_what_a_codec_or_json_dumps_does_wrong_is_an_error(
    db: SyncDatabase, server: Server, decode: Any, dumps: Any, error: str
) -> None:
    url = server.url_for(str(db.query_val("SELECT current_database()")))
    with SyncDatabase(url, 1, 1, json_dumps=dumps) as coded:
        coded.register_codec("int2", encode=bytes, decode=lambda text: decode(text.hex()), binary=True)
        with pytest.raises(Exception, match=error):
            coded.query_json("SELECT 12::int2")
        assert coded.query_json("SELECT 1 AS n") == b'[{"n":1}]'


async def test_a_type_that_is_altered_between_two_calls_is_written_as_it_is_now(url: str) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TYPE pair AS (a int4, b text)")
        sql = "SELECT ROW(1, 'x')::pair AS v"
        assert await db.query_json(sql) == b'[{"v":{"a":1,"b":"x"}}]'
        await db.execute("ALTER TYPE pair RENAME ATTRIBUTE b TO c")
        await db.execute("ALTER TYPE pair ADD ATTRIBUTE d bool")
        assert (
            await db.query_json("SELECT ROW(1, 'x', true)::pair AS v") == b'[{"v":{"a":1,"c":"x","d":true}}]'
        )
