"""Values against a real server: what it prints of a parameter, and what becomes of what it sends.

psycopg carries the bytes; encoding and decoding are ours.
"""

import datetime as dt
import ipaddress
import math
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from hyperdjango.database._native import native
from hyperdjango.database.types import (
    Box,
    Circle,
    Line,
    LineSegment,
    Multirange,
    Path,
    Point,
    Polygon,
    Range,
    composite_type,
)
from postgres_servers import Server
from psycopg import pq

pytestmark = pytest.mark.postgres

UTC = dt.UTC


class Case(NamedTuple):
    type: str
    value: Any
    text: str  # as the server prints it


def at(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)  # type: ignore[arg-type]


CASES = [
    Case("bool", True, "true"),
    Case("int2", -32768, "-32768"),
    Case("int4", 2**31 - 1, "2147483647"),
    Case("int8", -(2**63), "-9223372036854775808"),
    Case("oid", 2**32 - 1, "4294967295"),
    Case("xid8", 2**64 - 1, "18446744073709551615"),
    Case("float4", 1.5, "1.5"),
    Case("float8", 0.1, "0.1"),
    Case("float8", 1.7976931348623157e308, "1.7976931348623157e+308"),
    Case("float8", -math.inf, "-Infinity"),
    Case("numeric", Decimal("1.00"), "1.00"),
    Case("numeric", Decimal("-0.000000000000000000012"), "-0.000000000000000000012"),
    Case("numeric", Decimal("123456789012345678901234567890.5"), "123456789012345678901234567890.5"),
    Case("numeric", Decimal(10000000000000000), "10000000000000000"),
    Case("text", "héé€😀'\"\\", "héé€😀'\"\\"),
    Case("varchar", "", ""),
    Case("name", "n" * 63, "n" * 63),
    Case('"char"', "x", "x"),
    Case("bytea", bytes(range(256)), "\\x" + bytes(range(256)).hex()),
    Case("json", {"a": [1, None, True]}, '{"a": [1, null, true]}'),
    Case("jsonb", {"b": 1, "a": 2.5}, '{"a": 2.5, "b": 1}'),
    Case("jsonpath", '$."a"', '$."a"'),
    Case("uuid", uuid.UUID(int=2**128 - 1), "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    Case("date", dt.date(2024, 2, 29), "2024-02-29"),
    Case("date", dt.date(1, 1, 2), "0001-01-02"),
    Case("date", dt.date.max, "infinity"),
    Case("date", dt.date.min, "-infinity"),
    Case("time", dt.time(23, 59, 59, 999_999), "23:59:59.999999"),
    Case(
        "timetz", dt.time(1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30))), "01:02:03-03:30"
    ),
    Case("timestamp", at(1582, 10, 15, 0, 0, 0, 1), "1582-10-15 00:00:00.000001"),
    Case("timestamp", at(9999, 12, 31, 23, 59, 59, 999_998), "9999-12-31 23:59:59.999998"),
    Case("timestamp", dt.datetime.max, "infinity"),
    Case("timestamptz", at(2024, 2, 29, 1, 2, 3).replace(tzinfo=UTC), "2024-02-29 01:02:03+00"),
    Case("timestamptz", dt.datetime.min.replace(tzinfo=UTC), "-infinity"),
    Case("interval", dt.timedelta(days=-1, hours=2), "-1 days +02:00:00"),
    Case("inet", "1.2.3.4/24", "1.2.3.4/24"),
    Case("inet", "fe80::1:0:0", "fe80::1:0:0/128"),
    Case("cidr", "10.0.0.0/8", "10.0.0.0/8"),
    Case("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    Case("macaddr8", "08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:05"),
    Case("varbit", "10101", "10101"),
    Case("bit(3)", "101", "101"),
    Case("pg_lsn", "16/B374D848", "16/B374D848"),
    Case("money", "$12.30", "$12.30"),
    Case("tsvector", "'a':1 'fat':2A", "'a':1 'fat':2A"),
    Case("tsquery", "'a' & !'b':*", "'a' & !'b':*"),
    Case("tid", "(1,2)", "(1,2)"),
    Case("regclass", "pg_class", "pg_class"),
    Case("point", Point(1.5, -2.0), "(1.5,-2)"),
    Case("line", Line(1.0, 2.0, 3.0), "{1,2,3}"),
    Case("lseg", LineSegment(Point(1.0, 2.0), Point(3.0, 4.0)), "[(1,2),(3,4)]"),
    Case("box", Box(Point(3.0, 4.0), Point(1.0, 2.0)), "(3,4),(1,2)"),
    Case("path", Path((Point(1.0, 2.0), Point(3.0, 4.0)), closed=True), "((1,2),(3,4))"),
    Case("path", Path((Point(1.0, 2.0),)), "[(1,2)]"),
    Case("polygon", Polygon((Point(1.0, 2.0), Point(3.0, 4.0))), "((1,2),(3,4))"),
    Case("circle", Circle(Point(1.0, 2.0), 3.0), "<(1,2),3>"),
    Case("int4range", Range(1, 5), "[1,5)"),
    Case("int4range", Range(empty=True), "empty"),
    Case("int8range", Range(None, None), "(,)"),
    Case("numrange", Range(Decimal("1.0"), Decimal("2.50"), "[]"), "[1.0,2.50]"),
    Case("daterange", Range(dt.date(2024, 1, 1), None), "[2024-01-01,)"),
    Case(
        "tsrange",
        Range(at(2024, 1, 1), at(2024, 1, 2), "()"),
        '("2024-01-01 00:00:00","2024-01-02 00:00:00")',
    ),
    Case("tstzrange", Range(None, at(2024, 1, 1).replace(tzinfo=UTC), "(]"), '(,"2024-01-01 00:00:00+00"]'),
    Case("int4multirange", Multirange([Range(1, 2), Range(5, None)]), "{[1,2),[5,)}"),
    Case("nummultirange", Multirange(), "{}"),
    Case("bool[]", [True, None, False], "{t,NULL,f}"),
    Case("int2[]", [1, 2], "{1,2}"),
    Case("int4[]", [[1, 2], [None, 4]], "{{1,2},{NULL,4}}"),
    Case("int4[]", [[[[[[1]]]]]], "{{{{{{1}}}}}}"),
    Case("int8[]", [], "{}"),
    Case("int2vector", [1, 2], "1 2"),
    Case("int2vector", ["1", 2], "1 2"),
    Case("oidvector", [], ""),
    Case("float8[]", [0.5, math.inf], "{0.5,Infinity}"),
    Case("numeric[]", [Decimal("1.0"), None], "{1.0,NULL}"),
    Case("text[]", ["a", "", "NULL", None, 'q"\\', "{x},"], '{a,"","NULL",NULL,"q\\"\\\\","{x},"}'),
    Case("bytea[]", [b"\0"], '{"\\\\x00"}'),
    Case("uuid[]", [uuid.UUID(int=1)], "{00000000-0000-0000-0000-000000000001}"),
    Case("date[]", [dt.date(2024, 1, 1), dt.date.max], "{2024-01-01,infinity}"),
    Case("timestamptz[]", [at(2024, 1, 1).replace(tzinfo=UTC)], '{"2024-01-01 00:00:00+00"}'),
    Case("interval[]", [dt.timedelta(1)], '{"1 day"}'),
    Case("jsonb[]", [{"a": 1}, [1, 2]], '{"{\\"a\\": 1}","[1, 2]"}'),
    Case("inet[]", ["1.2.3.4", "::1"], "{1.2.3.4,::1}"),
    Case("bit(2)[]", ["10", "01"], "{10,01}"),
    Case("money[]", ["$1.00", None], "{$1.00,NULL}"),
    Case("tsquery[]", ["'a' | 'b'"], "{\"'a' | 'b'\"}"),
    Case("box[]", [Box(Point(3.0, 4.0), Point(1.0, 2.0))] * 2, "{(3,4),(1,2);(3,4),(1,2)}"),
    Case("point[]", [[Point(1.0, 2.0)], [Point(3.0, 4.0)]], '{{"(1,2)"},{"(3,4)"}}'),
    Case("path[]", [Path((Point(1.0, 2.0),))], '{"[(1,2)]"}'),
    Case("int4range[]", [Range(1, 5), None], '{"[1,5)",NULL}'),
    Case("pair", {"id": 1, "label": 'a "b\\, (', "tags": None}, '(1,"a ""b\\\\, (",)'),
    Case("pair[]", [(1, None, ["x"])], '{"(1,,{x})"}'),
    Case("mood", "fine", "fine"),
    Case("mood[]", ["fine", None], "{fine,NULL}"),
    Case("positive", 5, "5"),
    Case("positive[]", [5], "{5}"),
    Case("moodrange", Range("fine", "so so", "[]"), '[fine,"so so"]'),
    Case("hstore", {"a": "1", 'b"\\': None}, '"a"=>"1", "b\\"\\\\"=>NULL'),
    Case("hstore[]", [{"a": "1"}], '{"\\"a\\"=>\\"1\\""}'),
    Case("citext", "Text", "Text"),
    Case("ltree", "a.b", "a.b"),
    Case(
        "ledger",
        (1, "$2.50", dt.timedelta(hours=1), at(2024, 1, 1)),
        '(1,$2.50,01:00:00,"2024-01-01 00:00:00")',
    ),
]

SETUP = """
SET timezone = 'UTC'; SET lc_monetary = 'C'; SET bytea_output = 'hex';
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('fine', 'so so');
CREATE DOMAIN positive AS int4 CHECK (value > 0);
CREATE TYPE pair AS (id positive, label text, tags text[]);
CREATE TYPE moodrange AS RANGE (subtype = mood);
CREATE TYPE ledger AS (id int4, amount money, took interval, at timestamp);
"""


class Session:
    """A connection whose parameters and results go through our encoders and decoders."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute(SETUP)
        self.types = native.TypeMap()
        pair = composite_type("pair", ["id", "label", "tags"])
        ledger = composite_type("ledger", ["id", "amount", "took", "at"])
        # The array comes before its element: it waits for it.
        for name, delimiter in (("pair", ","), ("mood", ","), ("positive", ","), ("hstore", ",")):
            self.types.add_array(self.oid(f"{name}[]"), f"_{name}", self.oid(name), delimiter)
            assert not self.types.knows(self.oid(f"{name}[]"))
        self.types.add_string(self.oid("mood"), "mood")
        self.types.add_string(self.oid("citext"), "citext")
        self.types.add_composite(
            self.oid("pair"), "pair", pair._fields, [self.oid("positive"), 25, 1009], pair
        )
        self.types.add_composite(self.oid("ledger"), "ledger", ledger._fields, [23, 790, 1186, 1114], ledger)
        self.types.add_alias(self.oid("positive"), "positive", 23)
        self.types.add_range(self.oid("moodrange"), "moodrange", self.oid("mood"))
        self.types.add_extension(self.oid("hstore"), "hstore", "hstore")
        self.types.add_extension(self.oid("ltree"), "ltree", "ltree")

    def oid(self, name: str) -> int:
        row = self.connection.execute("SELECT %s::regtype::oid", (name,)).fetchone()
        assert row is not None
        return int(row[0])

    def run(self, sql: str, oid: int, value: Any, *, text: bool) -> pq.abc.PGresult:
        form, body = native.encode_value(self.types, oid, value)
        result = self.connection.pgconn.exec_params(
            sql.encode(),
            [body],
            [oid],
            [pq.Format.TEXT if form == "text" else pq.Format.BINARY],
            int(not text),
        )
        assert result.status == pq.ExecStatus.TUPLES_OK, result.error_message
        return result

    def printed(self, name: str, value: Any) -> str | None:
        """The parameter as the server prints it."""
        result = self.run(f"SELECT $1::{name}::text", self.oid(name), value, text=True)
        got = result.get_value(0, 0)
        return None if got is None else got.decode()

    def back(self, name: str, value: Any, *, text: bool) -> Any:
        """The parameter as a result, in the format asked for."""
        oid = self.oid(name)
        result = self.run(f"SELECT $1::{name}", oid, value, text=text)
        body = result.get_value(0, 0)
        assert body is not None
        return native.decode_value(self.types, oid, body, "text" if text else "binary")


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    made = Session(database_url)
    yield made
    made.connection.close()


def expected(case: Case) -> Any:
    """What comes back: a mapping becomes a row value, a plain tuple too."""
    if case.type == "pair":
        return (1, case.value["label"], None)
    return [1, 2] if case.text == "1 2" else case.value


TEXT_ONLY = {"money", "money[]", "tid", "regclass", "ledger"}


def test_the_server_reads_what_we_write_and_we_read_what_it_writes(session: Session) -> None:
    wrong: list[object] = []
    for case in CASES:
        printed = session.printed(case.type, case.value)
        results = [session.back(case.type, case.value, text=True)]
        if case.type not in TEXT_ONLY:
            results.append(session.back(case.type, case.value, text=False))
        if printed != case.text:
            wrong.append((case, printed))
        wrong += [(case, got) for got in results if got != expected(case)]
    assert wrong == []


def test_values_given_as_text_reach_the_server_the_same(session: Session) -> None:
    """A str among the elements takes an array into text format, where every other type is printed by us."""
    wrong: list[object] = []
    for case in CASES:
        if case.type.endswith(("[]", "vector")) or case.type in {"json", "jsonb"}:
            continue
        array = f"{case.type}[]"
        if not session.types.knows(session.oid(array)):
            continue
        got = session.back(array, [case.text, case.value, None], text=True)
        if got != [expected(case), expected(case), None]:
            wrong.append((case, got))
    assert wrong == []


def test_standard_library_addresses(session: Session) -> None:
    assert session.printed("inet", ipaddress.ip_interface("1.2.3.4/8")) == "1.2.3.4/8"
    assert session.printed("cidr", ipaddress.ip_network("10.0.0.0/8")) == "10.0.0.0/8"
    assert session.printed("inet[]", [ipaddress.ip_address("::1")]) == "{::1}"


def test_nan_in_every_numeric_type(session: Session) -> None:
    for name, value in (("float4", math.nan), ("float8", math.nan), ("numeric", Decimal("NaN"))):
        assert session.printed(name, value) == "NaN"
        assert math.isnan(session.back(name, value, text=False))
        assert math.isnan(session.back(name, value, text=True))


def test_an_anonymous_record_holds_everything(session: Session) -> None:
    sql = (
        "SELECT ROW(1, 'x'::text, ARRAY[1,2], ROW($1::int4, NULL), '1.2.3.4'::inet, now()::date, 5::positive)"
    )
    body = session.run(sql, 23, 5, text=False).get_value(0, 0)
    assert body is not None
    assert native.decode_value(session.types, 2249, body)[:5] == (1, "x", [1, 2], (5, None), "1.2.3.4")


def test_subscripts_that_do_not_begin_at_one(session: Session) -> None:
    for text in (True, False):
        result = session.run("SELECT '[-1:1][0:0]={{1},{2},{3}}'::int4[] WHERE $1", 16, True, text=text)
        body = result.get_value(0, 0)
        assert body is not None
        assert native.decode_value(session.types, 1007, body, "text" if text else "binary") == [[1], [2], [3]]


def test_every_built_in_type_can_be_read_in_the_format_it_is_asked_for(server: Server) -> None:
    """What the map calls binary has a send function, and NULL arrays of every type are empty lists."""
    types = native.TypeMap()
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT oid::int8, typname, typsend::oid <> 0 FROM pg_type"
            " WHERE oid < 10000 AND typtype IN ('b', 'r', 'm') AND typarray <> 0"
        ).fetchall()
        for oid, name, has_send in rows:
            if not types.knows(oid):
                continue
            array = connection.execute("SELECT typarray::int8 FROM pg_type WHERE oid = %s", (oid,)).fetchone()
            assert array is not None
            body = native.encode_value(types, array[0], [])[1]
            result = connection.pgconn.exec_params(
                f'SELECT $1::"{name}"[]'.encode(), [body], [array[0]], [int(body != b"{}")], int(has_send)
            )
            assert result.status == pq.ExecStatus.TUPLES_OK, (name, result.error_message)
            got = result.get_value(0, 0)
            assert got is not None
            assert native.decode_value(types, array[0], got, "binary" if has_send else "text") == []
