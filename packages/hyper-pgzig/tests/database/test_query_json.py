"""`query_json` as a call: how rows are put together, what goes wrong and what is left then.

Values of each type are in test_query_json_types.py and test_query_json_hypothesis.py, more of what no honest
backend sends in test_hostile_values.py.
"""

import asyncio
import json
import math
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
import pytest
from hyperdjango.database import (
    Database,
    DataError,
    DivisionByZero,
    NotConnected,
    ProtocolError,
    QueryTimeout,
    SyncDatabase,
    UndefinedTable,
)
from pgkit import SIMPLE_SELECT, Answer, Column, ScriptedBackend, serve, startup
from pgkit.face import Face
from postgres_servers import Server

VECTOR, HALFVEC = 70_001, 70_002
CONTROLS: Final = "".join(map(chr, range(1, 0x20)))


def test_rows_are_objects_in_one_array(face: Face) -> None:
    text = face.query_json(
        "SELECT n, 'x' || n AS label, NULL::int AS nothing FROM generate_series(1, $1) n", 2
    )
    assert text == b'[{"n":1,"label":"x1","nothing":null},{"n":2,"label":"x2","nothing":null}]'
    assert type(text) is bytes


def test_no_rows_and_no_result_are_an_empty_array(face: Face) -> None:
    for sql in ("SELECT 1 AS n WHERE false", "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)", ""):
        assert face.query_json(sql) == b"[]"
    assert face.query_json("INSERT INTO t VALUES (2), (3) RETURNING n") == b'[{"n":2},{"n":3}]'


def test_rows_without_columns_are_empty_objects(face: Face) -> None:
    assert face.query_json("SELECT") == b"[{}]"
    assert face.query_json("SELECT FROM generate_series(1, 3)") == b"[{},{},{}]"


def test_of_columns_with_one_name_the_last_is_written_as_a_dict_has_it(face: Face) -> None:
    sql = "SELECT 1 AS a, 2 AS b, 3 AS a, 4 AS c, NULL AS b"
    assert face.query_json(sql) == b'[{"a":3,"c":4,"b":null}]'
    assert json.loads(face.query_json(sql)) == face.query(sql)


def test_a_column_may_have_any_name(face: Face) -> None:
    for name in ('qu"ote', "back\\slash", "", "new\nline", "häßlich 𝄞", "x" * 63):
        sql = f'SELECT 1 AS "{name.replace(chr(34), chr(34) * 2)}"' if name else 'SELECT 1 AS "?column?"'
        assert json.loads(face.query_json(sql)) == face.query(sql)


def test_every_control_character_is_escaped_and_text_comes_back_whole(face: Face) -> None:
    for text in (
        CONTROLS,
        'a"b\\c/d',
        "\x7f\x80\u2028\ud7ff\ue000\ufeff\uffff\U00010000\U0010ffff",
        CONTROLS * 999,
    ):
        document = face.query_json("SELECT $1::text AS v", text)
        assert json.loads(document) == [{"v": text}]
        assert not any(byte < 0x20 for byte in document)


@pytest.mark.parametrize("place", range(40))
def test_an_escape_at_any_place_of_a_chunk_is_found(face: Face, place: int) -> None:
    text = "x" * place + '"' + "é" + "y" * (40 - place)
    assert json.loads(face.query_json("SELECT $1::text AS v", text)) == [{"v": text}]


def test_a_big_result_of_many_rows_and_of_one_long_value(face: Face) -> None:
    sql = "SELECT n, repeat('ab\"', 5) AS t FROM generate_series(1, 200000) n"
    rows = json.loads(face.query_json(sql))
    assert len(rows) == 200_000
    assert rows[123_456] == {"n": 123_457, "t": 'ab"' * 5}
    assert json.loads(face.query_json("SELECT repeat(E'\\\\\\n', 5000000) AS v")) == [
        {"v": "\\\n" * 5_000_000}
    ]
    assert face.query_json("SELECT 1 AS n") == b'[{"n":1}]'


def test_an_error_of_the_server_half_way_leaves_nothing_of_the_rows(face: Face) -> None:
    with pytest.raises(DivisionByZero):
        face.query_json("SELECT 1 / (500 - n) AS v FROM generate_series(1, 1000) n")
    with pytest.raises(UndefinedTable):
        face.query_json("SELECT * FROM no_such_table")
    with pytest.raises(DataError, match=r"parameter \$1"):
        face.query_json("SELECT $1::int4", 2**40)
    assert face.query_json("SELECT 1 AS n") == b'[{"n":1}]'


def test_it_runs_in_the_transaction_it_is_called_in(face: Face) -> None:
    face.execute("CREATE TABLE t (n int)")
    with suppress(LookupError), face.transaction():
        face.execute("INSERT INTO t VALUES (1)")
        assert face.query_json("SELECT n FROM t") == b'[{"n":1}]'
        raise LookupError
    assert face.query_json("SELECT n FROM t") == b"[]"


def test_a_timeout_ends_it_and_the_connection_goes_on(face: Face) -> None:
    pid = face.query_val("SELECT pg_backend_pid()")
    with pytest.raises(QueryTimeout):
        face.query_json("SELECT pg_sleep(20)", timeout=0.05)
    assert face.query_json("SELECT pg_backend_pid() AS pid") == b'[{"pid":%d}]' % pid


async def test_before_connect_it_says_so() -> None:
    with pytest.raises(NotConnected):
        SyncDatabase("postgresql://nobody@localhost/none", 1, 1).query_json("SELECT 1")


async def test_cancelled_in_the_middle_of_its_rows_it_leaves_the_connection_usable(url: str) -> None:
    async with Database(url, 1, 1) as db:
        for seconds in (0.0, 0.002, 0.01, 0.05):
            call = asyncio.ensure_future(
                db.query_json("SELECT n, repeat('x', 100) AS t FROM generate_series(1, 300000) n")
            )
            await asyncio.sleep(seconds)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await db.query_json("SELECT 1 AS n") == b'[{"n":1}]'


async def test_calls_at_once_get_their_own_rows(url: str) -> None:
    async with Database(url, 1, 3) as db:
        calls = [db.query_json("SELECT $1::int AS n, $2::text AS t", n, "x" * n) for n in range(200)]
        for n, text in enumerate(await asyncio.gather(*calls)):
            assert json.loads(text) == [{"n": n, "t": "x" * n}]


async def test_rows_whose_types_are_met_late_keep_their_order(url: str) -> None:
    async with Database(url, 1, 2) as db:
        await db.execute("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, m mood)")
        text = await db.query_json(
            "SELECT n, CASE n WHEN 2 THEN ROW('ok'::mood, n) WHEN 4 THEN ROW(ROW(4, 'sad')::pair, n)"
            " ELSE ROW('text'::text, n) END AS v FROM generate_series(1, 5) n"
        )
    assert json.loads(text) == [
        {"n": 1, "v": {"f1": "text", "f2": 1}},
        {"n": 2, "v": {"f1": "ok", "f2": 2}},
        {"n": 3, "v": {"f1": "text", "f2": 3}},
        {"n": 4, "v": {"f1": {"a": 4, "m": "sad"}, "f2": 4}},
        {"n": 5, "v": {"f1": "text", "f2": 5}},
    ]


def test_a_type_without_a_form_inside_a_record_is_an_error_that_says_what_to_do(face: Face) -> None:
    sql = "SELECT 1 AS id, ROW('1'::money) AS v"
    with pytest.raises(DataError, match='column "v"'):
        face.query(sql)
    with pytest.raises(DataError, match='column "v"'):
        face.query_json(sql)
    assert face.query_json("SELECT 1 AS n") == b'[{"n":1}]'


@contextmanager
def answering(columns: list[Column], *rows: list[bytes]) -> Iterator[SyncDatabase]:
    """A database whose backend gives these rows for `SELECT v`, and afterwards honest ones for `SELECT n`."""
    answers = {"SELECT v": Answer(columns, rows), "SELECT n": SIMPLE_SELECT}
    script = [*startup(), serve(answers)]
    with (
        ScriptedBackend(script, script, frontend_may_leave=True) as backend,
        SyncDatabase(backend.url(sslmode="disable"), 1, 1) as db,
    ):
        yield db
        assert db.query_json("SELECT n") == b'[{"n":1},{"n":2}]'


def test_text_that_is_not_utf8_is_an_error_that_names_the_column() -> None:
    with answering([Column("id", 23), Column("label", 25)], [b"\0\0\0\1", b"ab\xffc"]) as db:
        expected = r'column "label" \(text\): the text is not UTF-8: byte 0xff at offset 2'
        with pytest.raises(DataError, match=expected):
            db.query_json("SELECT v")


def test_a_value_that_is_cut_short_is_a_protocol_error_and_the_next_call_has_another_connection() -> None:
    rows = ([b"\0\0\0\1", bytes(8)], [b"\0\0\0\2", bytes(7)])
    with (
        answering([Column("a", 23), Column("b", 1184)], *rows) as db,
        pytest.raises(ProtocolError, match='column "b"'),
    ):
        db.query_json("SELECT v")


def test_vectors_are_lists_of_numbers() -> None:
    """Without pgvector on the server: these are the bytes that it sends."""
    columns = [Column("v", VECTOR), Column("h", HALFVEC), Column("none", VECTOR)]
    vector = struct.pack("!HH4f", 4, 0, 1, -0.1, 3.4028234663852886e38, math.nan)
    with answering(columns, [vector, struct.pack("!HH2e", 2, 0, 0.5, -1), bytes(4)]) as db:
        for oid, kind in ((VECTOR, "vector"), (HALFVEC, "halfvec")):
            db._pool.type_map.add_extension(oid, kind, kind)  # type: ignore[arg-type]
        text = db.query_json("SELECT v")
    assert text == b'[{"v":[1.0,-0.1,3.4028235e+38,"NaN"],"h":[0.5,-1.0],"none":[]}]'


@pytest.mark.parametrize("value", [b'1},{"n":2', b"1,", b'"', b"[1", b"", b"{}\0", b"nul", b'"\xff"'])
def test_json_that_would_break_out_of_its_place_is_refused(value: bytes) -> None:
    with (
        answering([Column("doc", 114)], [value]) as db,
        pytest.raises(DataError, match=r'column "doc" \(json\): the text is not JSON'),
    ):
        db.query_json("SELECT v")


@pytest.mark.parametrize("depth", [1, 63, 64])
def test_containers_inside_one_another_are_written_to_the_depth_that_query_reads(depth: int) -> None:
    with answering([Column("v", 2249)], [records(depth)]) as db:
        assert db.query_json("SELECT v") == b'[{"v":%s1%s}]' % (b'{"f1":' * depth, b"}" * depth)


@pytest.mark.parametrize("depth", [65, 10_000])
def test_containers_beyond_that_depth_are_refused(depth: int) -> None:
    with (
        answering([Column("v", 2249)], [records(depth)]) as db,
        pytest.raises(DataError, match="more than 64 containers inside one another"),
    ):
        db.query_json("SELECT v")


def records(depth: int) -> bytes:
    """A one in so many records."""
    value, oid = b"\0\0\0\1", 23
    for _ in range(depth):
        value, oid = struct.pack("!iIi", 1, oid, len(value)) + value, 2249
    return value


def test_a_connection_outside_of_utf8_gives_utf8_all_the_same(server: Server) -> None:
    name = server.create_database()
    server.drop_database(name)
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    try:
        with SyncDatabase(server.url_for(name), 1, 1) as db:
            assert db.query_json("SELECT 'häßlich' AS v").decode() == '[{"v":"häßlich"}]'
    finally:
        server.drop_database(name)


SHORT_OF_MEMORY: Final = """
import resource, sys
from hyperdjango.database import SyncDatabase

with SyncDatabase(sys.argv[1], 1, 1) as db:
    assert db.query_json("SELECT 1 AS n") == b'[{"n":1}]'
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (128 << 20), resource.RLIM_INFINITY))
    for _ in range(2):
        try:
            db.query_json("SELECT repeat('x', 100000) AS t FROM generate_series(1, 3000)")
        except MemoryError:
            print("refused")
    print(db.query_json("SELECT 2 AS n").decode())
"""


def test_where_memory_ends_it_says_so_and_gives_back_what_it_had(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["refused", "refused", '[{"n":2}]']
