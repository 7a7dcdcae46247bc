"""`copy_out`: bytes, rows, files, and every way that reading can end.

Of tasks and loops alone: test_copy_tasks. PostgreSQL docs: sql-copy, "File Formats".
"""

import gc
import io
import os
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from hyperdjango.database import (
    DataError,
    DivisionByZero,
    InFailedSqlTransaction,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    QueryTimeout,
    SyncDatabase,
    UndefinedColumn,
    UndefinedTable,
)
from pgkit.face import Face, OnLoop, OpenFace, iterate
from pgkit.until import until

Control = psycopg.Connection[Any]
ENDLESS: Final = "COPY (SELECT generate_series(1, 100000000), repeat('x', 50)) TO STDOUT"
MANY: Final = "COPY (SELECT n, repeat('x', 50) FROM generate_series(1, 20000) n) TO STDOUT"
MANY_BYTES: Final = b"".join(b"%d\t%s\n" % (n, b"x" * 50) for n in range(1, 20001))


@pytest.fixture
def control(other: Control) -> Control:
    other.execute("CREATE TABLE t (a int4 PRIMARY KEY, b text)")
    other.execute("INSERT INTO t VALUES (1, 'one'), (2, NULL), (3, E'tab\\t, \"quote\", €')")
    return other


@pytest.fixture
def face(control: Control, open_face: OpenFace, url: str) -> Face:
    """Opened after the table was made."""
    return open_face(url)


def must_be_whole(face: Face) -> None:
    assert [face.query_val("SELECT $1::int8", n, timeout=20) for n in (7, 8)] == [7, 8]
    until(lambda: face.pool_stats()["busy"] == 0)
    assert not face.in_transaction()


def whole(face: Face, sql: str, **options: Any) -> bytes:
    return b"".join(iterate(face, "copy_out", sql, **options))


def write_to(face: Face, sql: str, file: Any) -> Any:
    if isinstance(face, OnLoop):
        return face._runner.run(face._database.copy_out(sql).write_to(file))
    return face.copy_out(sql).write_to(file)


# What comes.


def test_bytes_come_as_the_backend_sends_them(face: Face, control: Control) -> None:
    text = '1\tone\n2\t\\N\n3\ttab\\t, "quote", €\n'.encode()
    assert whole(face, "COPY t TO STDOUT") == text
    assert whole(face, "copy t(a, b) to stdout") == text
    assert whole(face, "COPY (SELECT * FROM t ORDER BY a) TO STDOUT;") == text
    csv = '1,one\n2,\n3,"tab\t, ""quote"", €"\n'.encode()
    assert whole(face, "COPY t TO STDOUT WITH (FORMAT csv)") == csv
    assert whole(face, "COPY t TO STDOUT (FORMAT csv, HEADER)") == b"a,b\n" + csv
    binary = whole(face, "COPY t TO STDOUT (FORMAT binary)")
    assert binary.startswith(b"PGCOPY\n\xff\r\n\0")
    assert binary.endswith(b"\xff\xff")
    control.execute("TRUNCATE t")
    assert face.execute("COPY t FROM STDIN (FORMAT binary)", binary) == "COPY 3"
    assert face.execute("TRUNCATE t").tag == "TRUNCATE TABLE"
    assert whole(face, "COPY t TO STDOUT") == b""


def test_parts_hold_whole_rows_and_are_bounded(face: Face) -> None:
    parts = list(iterate(face, "copy_out", MANY))
    assert b"".join(parts) == MANY_BYTES
    assert len(parts) > 3
    assert all(part.endswith(b"\n") for part in parts)
    assert max(map(len, parts)) < 256 * 1024


def test_a_row_longer_than_a_part(face: Face) -> None:
    sql = "COPY (SELECT repeat('ä', 2000000) UNION ALL SELECT 'end') TO STDOUT"
    assert whole(face, sql) == ("ä" * 2_000_000).encode() + b"\nend\n"
    found = list(iterate(face, "copy_out", sql, into=tuple))
    assert found == [("ä" * 2_000_000,), ("end",)]


class Row(NamedTuple):
    a: int
    b: str | None


@dataclass
class Plain:
    a: int
    b: str | None


@pytest.mark.parametrize("into", [dict, tuple, Row, Plain])
@pytest.mark.parametrize(
    "sql",
    [
        "COPY t TO STDOUT",
        "COPY public.t TO STDOUT",
        "COPY t (a, b) TO STDOUT",
        'COPY "t" ("a", b) TO STDOUT',
        "COPY (SELECT a, b FROM t ORDER BY a) TO STDOUT",
        "COPY /* ( */ (TABLE t) -- )\n TO STDOUT;",
    ],
)
def test_rows_come_as_for_query(face: Face, into: Any, sql: str) -> None:
    found = list(iterate(face, "copy_out", sql, into=into))
    assert found == face.query("SELECT a, b FROM t ORDER BY a", into=into)


@pytest.mark.parametrize(
    "value",
    [
        "true", "1::int2", "2::int8", "1.5::float4", "'NaN'::float8", "1.50::numeric", "'x'::varchar(5)",
        "'n'::name", "'c'::\"char\"", "'\\x00ff'::bytea", "now()", "date '2024-02-29'", "time '01:02'",
        "timetz '01:00+01'", "interval '1 day'", "gen_random_uuid()", "'[1, {\"a\": null}]'::jsonb",
        "'{}'::json", "ARRAY[[1, NULL], [2, 3]]", "ARRAY['a', NULL]", "int4range(1, 5)",
        "'{[1,2),[5,6)}'::int4multirange", "inet '1.2.3.4/8'", "cidr '10.0.0.0/8'",
        "macaddr '08:00:2b:01:02:03'", "point '(1,2)'", "path '[(1,2),(3,4)]'", "box '(1,2),(3,4)'",
        "B'101'", "B'101'::varbit", "'1/2'::pg_lsn", "'a b'::tsvector", "'a & b'::tsquery",
        "'1 2'::int2vector",
        "'$.a'::jsonpath", "'12.5'::money", "7::oid", "'pg_class'::regclass", "ROW(1, 'x')",
        "ARRAY[inet '1.2.3.4']", "'x'::mood", "ROW(1, 'x')::pair", "ARRAY[ROW(1, 'x')::pair]", "'y'::short",
    ],
)  # fmt: skip
def test_rows_hold_every_type_as_query_gives_it_or_say_why_not(
    face: Face, control: Control, value: str
) -> None:
    for statement in (
        "CREATE TYPE mood AS ENUM ('x')",
        "CREATE TYPE pair AS (id int4, label mood)",
        "CREATE DOMAIN short AS varchar(3)",
        f"CREATE TABLE v AS SELECT {value} AS v, 5 AS n" if value != "ROW(1, 'x')" else "SELECT 1",
    ):
        control.execute(statement)
    select = f"SELECT {value} AS v, 5 AS n" if value == "ROW(1, 'x')" else "SELECT v, n FROM v"
    expected = face.query(select, into=tuple)
    try:
        found = list(iterate(face, "copy_out", f"COPY ({select}) TO STDOUT", into=tuple))
    except DataError as error:
        # A type whose binary form is not ours to read.
        assert "cast it to text" in str(error)  # noqa: PT017
        assert value in {"'12.5'::money", "'pg_class'::regclass"}
    else:
        assert repr(found) == repr(expected)
    must_be_whole(face)


def test_generated_columns_are_left_out_as_copy_does(face: Face, control: Control) -> None:
    control.execute("CREATE TABLE g (a int4, b int4 GENERATED ALWAYS AS (a * 2) STORED, c int4, d int4)")
    control.execute("ALTER TABLE g DROP COLUMN c")
    control.execute("INSERT INTO g VALUES (1, DEFAULT, 3)")
    assert list(iterate(face, "copy_out", "COPY g TO STDOUT", into=dict)) == [{"a": 1, "d": 3}]
    assert whole(face, "COPY g TO STDOUT") == b"1\t3\n"


def test_no_rows_and_no_columns(face: Face, control: Control) -> None:
    control.execute("CREATE TABLE nothing ()")
    for sql in ("COPY (SELECT 1 WHERE false) TO STDOUT", "COPY nothing TO STDOUT"):
        assert list(iterate(face, "copy_out", sql)) == []
        assert list(iterate(face, "copy_out", sql, into=dict)) == []
    control.execute("INSERT INTO nothing DEFAULT VALUES")
    assert list(iterate(face, "copy_out", "COPY nothing TO STDOUT", into=tuple)) == [()]
    assert whole(face, "COPY nothing TO STDOUT") == b"\n"


def test_names_with_capitals_and_quotes(face: Face, control: Control) -> None:
    control.execute('CREATE SCHEMA IF NOT EXISTS "Odd ""one"')
    control.execute('CREATE TABLE "Odd ""one"."T to" ("to" int4, "b(" int4)')
    control.execute('INSERT INTO "Odd ""one"."T to" VALUES (1, 2)')
    for columns in ("", ' ("to", "b(")'):
        sql = f'COPY "Odd ""one"."T to"{columns} TO STDOUT'
        assert list(iterate(face, "copy_out", sql, into=dict)) == [{"to": 1, "b(": 2}]
        assert whole(face, sql) == b"1\t2\n"
    control.execute('DROP SCHEMA "Odd ""one" CASCADE')


def test_the_status_tells_the_outcome_when_all_is_read(face: Face) -> None:
    database: Any = face._database if isinstance(face, OnLoop) else face
    source = database.copy_out(MANY)
    assert source.status is None
    if isinstance(face, OnLoop):

        async def read() -> None:
            async for _ in source:
                assert source.status is None

        face._runner.run(read())
    else:
        for _ in source:
            assert source.status is None
    status: Any = source.status
    assert (status, status.rows) == ("COPY 20000", 20000)


# Files.


def test_files_of_every_kind(face: Face, tmp_path: Path) -> None:
    memory = io.BytesIO()
    assert write_to(face, MANY, memory) == "COPY 20000"
    assert memory.getvalue() == MANY_BYTES
    text = io.StringIO()
    assert write_to(face, "COPY t TO STDOUT", text).rows == 3
    assert text.getvalue() == '1\tone\n2\t\\N\n3\ttab\\t, "quote", €\n'
    path = tmp_path / "data"
    for mode, buffering in (("wb", -1), ("wb", 0), ("w", -1)):
        with path.open(mode, buffering=buffering) as file:
            assert write_to(face, MANY, file) == "COPY 20000"
        assert path.read_bytes() == MANY_BYTES


def test_a_file_that_takes_less_than_it_is_given(face: Face) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    class Narrow(io.FileIO):
        def write(self, data: Any) -> int:
            taken.extend(memoryview(data)[:1000])
            return min(1000, len(data))

    taken = bytearray()
    with Narrow(writing, "wb") as file:
        assert write_to(face, MANY, file) == "COPY 20000"
    os.close(reading)
    assert taken == MANY_BYTES


def test_a_file_that_fails(face: Face) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError("no space left")

    for in_block in (False, True):
        if in_block:
            with pytest.raises(OSError, match="no space"), face.transaction():
                write_to(face, ENDLESS, Full())
        else:
            with pytest.raises(OSError, match="no space"):
                write_to(face, ENDLESS, Full())
        must_be_whole(face)


def test_rows_are_not_for_files(face: Face) -> None:
    source: Any = face._database if isinstance(face, OnLoop) else face
    copy = source.copy_out("COPY t TO STDOUT", into=dict)

    def write() -> None:
        if isinstance(face, OnLoop):
            face._runner.run(copy.write_to(io.BytesIO()))
        else:
            copy.write_to(io.BytesIO())

    with pytest.raises(TypeError, match="rows"):
        write()
    must_be_whole(face)


# What is refused.


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", "COPY t FROM STDIN", "COPY t TO '/tmp/x'", "COPY t TO PROGRAM 'cat'",
     "INSERT INTO t VALUES (9)", "COPY t TO STDOUT; DELETE FROM t", "", "COPY"],
)  # fmt: skip
def test_what_is_no_copy_to_stdout_is_refused_at_once(face: Face, control: Control, sql: str) -> None:
    with pytest.raises(InterfaceError, match="this must be one COPY … TO STDOUT"):
        face.copy_out(sql)
    assert control.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_options_and_targets_that_do_not_go_together(face: Face) -> None:
    for options in ("(FORMAT csv)", "WITH (FORMAT binary)", "CSV", "BINARY"):
        with pytest.raises(ValueError, match="options"):
            face.copy_out(f"COPY t TO STDOUT {options}", into=dict)
    with pytest.raises(TypeError):
        face.copy_out("COPY t TO STDOUT", into=5)
    for timeout in (-1, "x"):
        with pytest.raises((ValueError, TypeError)):
            face.copy_out("COPY t TO STDOUT", timeout=timeout)


@pytest.mark.parametrize("into", [None, dict])
def test_the_servers_own_complaints(face: Face, control: Control, into: Any) -> None:
    control.execute("CREATE VIEW w AS SELECT 1")
    for sql, error in (
        ("COPY nope TO STDOUT", UndefinedTable),
        ("COPY t (nope) TO STDOUT", UndefinedColumn),
        ("COPY (SELECT nope) TO STDOUT", UndefinedColumn),
        ("COPY (SELECT 1; SELECT 2) TO STDOUT", ProgrammingError),
        ("COPY w TO STDOUT", ProgrammingError),
    ):
        with pytest.raises((error, InterfaceError)):
            for _ in iterate(face, "copy_out", sql, into=into):
                pass
        must_be_whole(face)


@pytest.mark.parametrize("into", [None, tuple])
@pytest.mark.parametrize("at", [1, 8_000])
@pytest.mark.parametrize("in_block", [False, True])
def test_an_error_in_the_middle_comes_after_what_came_before(
    face: Face, into: Any, at: int, in_block: bool
) -> None:
    sql = f"COPY (SELECT 1 / ({at} - n), n, repeat('x', 50) FROM generate_series(1, 9000) n) TO STDOUT"
    if in_block:
        with pytest.raises(InFailedSqlTransaction), face.transaction():  # noqa: PT012 - the block raises
            with pytest.raises(DivisionByZero):
                list(iterate(face, "copy_out", sql, into=into))
            with pytest.raises(InFailedSqlTransaction):
                face.query_val("SELECT 1")
    else:
        seen = 0
        with pytest.raises(DivisionByZero):  # noqa: PT012 - the loop raises
            for _ in iterate(face, "copy_out", sql, into=into):
                seen += 1
        assert (seen > 0) == (at > 1)
    must_be_whole(face)


def test_a_row_that_python_cannot_hold(face: Face) -> None:
    select = "SELECT n, CASE n WHEN 7000 THEN date '0044-03-15 BC' END AS d FROM generate_series(1, 9000) n"
    sql = f"COPY ({select}) TO STDOUT"
    with pytest.raises(DataError, match='column "d"'):
        list(iterate(face, "copy_out", sql, into=tuple))
    must_be_whole(face)


def test_a_target_that_raises(face: Face) -> None:
    def refuse(**row: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(iterate(face, "copy_out", "COPY t TO STDOUT", into=refuse))
    must_be_whole(face)


# How reading ends.


@pytest.mark.parametrize("into", [None, tuple])
def test_left_early(face: Face, into: Any) -> None:
    pid = face.query_val("SELECT pg_backend_pid()")
    for _ in range(3):
        with closing(iterate(face, "copy_out", ENDLESS, into=into)) as items:
            next(items)
        must_be_whole(face)
    assert face.query_val("SELECT pg_backend_pid()") == pid


@pytest.mark.parametrize("into", [None, tuple])
def test_left_early_in_a_block_the_transaction_goes_on(face: Face, control: Control, into: Any) -> None:
    with face.transaction():
        face.execute("INSERT INTO t VALUES (10, 'x')")
        with closing(iterate(face, "copy_out", MANY, into=into)) as items:
            next(items)
        face.execute("INSERT INTO t VALUES (11, 'x')")
    assert control.execute("SELECT count(*) FROM t").fetchone() == (5,)
    must_be_whole(face)


def test_an_exception_in_the_loop(face: Face, control: Control) -> None:
    def work() -> None:
        for part in iterate(face, "copy_out", ENDLESS):
            assert part
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    must_be_whole(face)
    with pytest.raises(ZeroDivisionError), face.transaction():  # noqa: PT012 - the block raises
        face.execute("INSERT INTO t VALUES (10, 'x')")
        for part in iterate(face, "copy_out", MANY):
            assert part
            raise ZeroDivisionError
    assert control.execute("SELECT count(*) FROM t").fetchone() == (3,)
    must_be_whole(face)


def test_it_is_read_once(face: Face) -> None:
    source: Any = face._database if isinstance(face, OnLoop) else face
    copy = source.copy_out("COPY t TO STDOUT")
    if isinstance(face, OnLoop):

        async def read() -> None:
            async for _ in copy:
                with pytest.raises(InterfaceError, match="read already"):
                    aiter(copy)
            with pytest.raises(InterfaceError, match="read already"):
                await copy.write_to(io.BytesIO())

        face._runner.run(read())
    else:
        for _ in copy:
            with pytest.raises(InterfaceError, match="read already"):
                iter(copy)
        with pytest.raises(InterfaceError, match="read already"):
            copy.write_to(io.BytesIO())
    must_be_whole(face)


def test_what_is_never_read_opens_nothing(open_face: OpenFace, url: str) -> None:
    face = open_face(url, min_size=0)
    face.copy_out(MANY)
    gc.collect()
    assert face.pool_stats()["total"] == 0


@pytest.mark.parametrize("in_block", [False, True])
@pytest.mark.parametrize("into", [None, tuple])
def test_time_that_passes_in_the_backend(face: Face, in_block: bool, into: Any) -> None:
    sql = "COPY (SELECT n, pg_sleep(CASE n WHEN 3 THEN 30 ELSE 0 END) FROM generate_series(1, 5) n) TO STDOUT"
    if in_block:
        with pytest.raises(QueryTimeout), face.transaction():
            list(iterate(face, "copy_out", sql, into=into, timeout=0.3))
    else:
        with pytest.raises(QueryTimeout):
            list(iterate(face, "copy_out", sql, into=into, timeout=0.3))
    must_be_whole(face)


def test_time_between_the_parts_is_the_readers(face: Face) -> None:
    size = 0
    for part in iterate(face, "copy_out", MANY, timeout=5):
        size += len(part)
        time.sleep(0.02)
    assert size == len(MANY_BYTES)


@pytest.mark.parametrize("into", [None, tuple])
def test_a_connection_that_is_ended_half_way(face: Face, control: Control, into: Any) -> None:
    pid = face.query_val("SELECT pg_backend_pid()")

    def work() -> None:
        for n, _ in enumerate(iterate(face, "copy_out", ENDLESS, into=into)):
            if n == 0:
                control.execute("SELECT pg_terminate_backend(%s)", [pid])

    with pytest.raises(OperationalError):
        work()
    must_be_whole(face)


def test_a_statement_in_the_loop_of_a_block_is_refused(control: Control, url: str) -> None:
    with SyncDatabase(url, 1, 1) as db, db.transaction():
        for _ in db.copy_out(MANY, into=tuple):
            for call in (
                lambda: db.query_val("SELECT 1"),
                lambda: db.execute("COPY t FROM STDIN", "9\tx\n"),
                lambda: next(db.stream("SELECT 1")),
                lambda: db.copy_records("t", [(9, "x")]),
                lambda: next(iter(db.copy_out(MANY))),
                lambda: next(iter(db.copy_out(MANY, into=tuple))),
            ):
                with pytest.raises(InterfaceError):
                    call()
            break
        assert db.query_val("SELECT 1") == 1


@pytest.mark.parametrize("kept", [False, True])
def test_a_blocking_reading_that_was_left_ends_with_its_block(control: Control, url: str, kept: bool) -> None:
    held: list[Any] = []
    with SyncDatabase(url, 1, 1) as db:

        def leave(fails: bool) -> None:
            with db.transaction():
                db.execute("INSERT INTO t VALUES ($1, 'x')", 10 + fails)
                source = db.copy_out(ENDLESS if fails else MANY)
                if kept:
                    held.append(source)
                for _ in source:
                    if fails:
                        raise ZeroDivisionError
                    break

        leave(False)
        with pytest.raises(ZeroDivisionError):
            leave(True)
        assert control.execute("SELECT count(*) FROM t").fetchone() == (4,)
        assert db.query_val("SELECT 1") == 1
        # Nothing of what they do now reaches the connection's next borrower.
        with db.transaction():
            assert db.query_val("SELECT 2") == 2
            for source in held:
                source.close()
                assert list(source._items) == []
            assert db.query_val("SELECT 3") == 3


def test_a_session_that_is_to_be_reset_first(face: Face, control: Control) -> None:
    for into in (None, tuple):
        face.execute("SET search_path = pg_catalog")
        found = list(iterate(face, "copy_out", "COPY t TO STDOUT", into=into))
        assert len(found) == (1 if into is None else 3)
