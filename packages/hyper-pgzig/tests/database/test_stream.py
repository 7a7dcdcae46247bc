"""`stream`: rows through a portal, inside and outside of a block, whatever happens in between.

Of tasks and loops alone: test_copy_tasks. PostgreSQL docs: protocol-flow, "Extended Query".
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
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
    TransactionClosed,
    UndefinedTable,
    UniqueViolation,
)
from pgkit.face import Face, OpenFace, iterate
from pgkit.until import until

Control = psycopg.Connection[Any]
SERIES: Final = "SELECT generate_series(1, $1::int4) AS n"
ENDLESS: Final = "SELECT generate_series(1, 100000000) AS n, repeat('x', 50) AS x"


@pytest.fixture
def control(url: str) -> Iterator[Control]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a int4 PRIMARY KEY, b text)")
        yield connection


@pytest.fixture
def face(control: Control, open_face: OpenFace, url: str) -> Face:
    """Opened after the table was made."""
    return open_face(url)


def stream(face: Face, sql: str, *args: Any, **options: Any) -> list[Any]:
    return list(iterate(face, "stream", sql, *args, **options))


def must_be_whole(face: Face) -> None:
    assert [face.query_val("SELECT $1::int8", n, timeout=20) for n in (7, 8)] == [7, 8]
    until(lambda: face.pool_stats()["busy"] == 0)
    assert not face.in_transaction()


def count(control: Control) -> int:
    found = control.execute("SELECT count(*) FROM t").fetchone()
    assert found is not None
    return int(found[0])


def portals(face: Face) -> int:
    return int(face.query_val("SELECT count(*) FROM pg_cursors WHERE name <> ''"))


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 6, 7, 100, 2**31 - 1])
@pytest.mark.parametrize("in_block", [False, True])
def test_all_rows_come_in_order_whatever_the_chunk(face: Face, chunk: int, in_block: bool) -> None:
    expected = [{"n": n} for n in range(1, 7)]
    for _ in range(3):
        if in_block:
            with face.transaction():
                assert stream(face, SERIES, 6, chunk=chunk) == expected
                assert portals(face) == 0
        else:
            assert stream(face, SERIES, 6, chunk=chunk) == expected
        must_be_whole(face)


def test_many_rows_with_the_default_chunk(face: Face) -> None:
    assert [row["n"] for row in stream(face, SERIES, 3500)] == list(range(1, 3501))


class Row(NamedTuple):
    n: int


@dataclass
class Plain:
    n: int


@pytest.mark.parametrize("into", [dict, tuple, Row, Plain, lambda **row: tuple(row)])
def test_rows_become_what_query_makes_of_them(face: Face, into: Any) -> None:
    assert stream(face, SERIES, 5, chunk=2, into=into) == face.query(SERIES, 5, into=into)


@pytest.mark.parametrize("chunk", [0, -1, True, False, "x", 1.0, None, 2**31, 2**100])
def test_a_chunk_that_is_none_is_refused(face: Face, chunk: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="chunk"):
        stream(face, SERIES, 5, chunk=chunk)
    must_be_whole(face)


@pytest.mark.parametrize(
    ("args", "options"),
    [((5,), {"into": 5}), ((5,), {"timeout": -1}), ((5,), {"timeout": "x"}), ((2**40,), {}), (("\0",), {}),
     ((), {}), ((1, 2), {})],
)  # fmt: skip
@pytest.mark.parametrize("in_block", [False, True])
def test_what_does_not_fit_is_refused(
    face: Face, args: tuple[Any, ...], options: dict[str, Any], in_block: bool
) -> None:
    for _ in range(2):
        if in_block:
            with face.transaction():
                face.query_val("SELECT 1")
                with pytest.raises((DataError, TypeError, ValueError)):
                    stream(face, SERIES, *args, **options)
                assert face.query_val("SELECT 1") == 1
        else:
            with pytest.raises((DataError, TypeError, ValueError)):
                stream(face, SERIES, *args, **options)
        must_be_whole(face)


def test_the_servers_own_complaints(face: Face) -> None:
    for sql, error in (
        ("SELECT * FROM nope", UndefinedTable),
        ("SELEC", ProgrammingError),
        ("SELECT 1; SELECT 2", ProgrammingError),
        ("SELECT 1/0", DivisionByZero),
    ):
        with pytest.raises(error):
            stream(face, sql)
        must_be_whole(face)
        with pytest.raises(InFailedSqlTransaction), face.transaction(), pytest.raises(error):
            stream(face, sql)
        must_be_whole(face)


def test_a_str_that_is_no_number(face: Face) -> None:
    with pytest.raises(DataError, match="invalid input syntax for type integer"):
        stream(face, SERIES, "not_an_int")
    assert stream(face, SERIES, "2", into=tuple) == [(1,), (2,)]


def test_empty_results_and_commands_without_rows(face: Face, control: Control) -> None:
    assert stream(face, "SELECT 1 WHERE false") == []
    assert stream(face, "") == []
    assert stream(face, "CREATE TABLE made (a int4)") == []
    assert stream(face, "INSERT INTO t VALUES ($1, 'x')", 1) == []
    assert stream(face, "UPDATE t SET b = 'y'") == []
    assert count(control) == 1  # committed
    assert control.execute("SELECT b FROM t").fetchone() == ("y",)
    assert control.execute("TABLE made").fetchall() == []
    must_be_whole(face)


def test_a_copy_is_no_stream(face: Face, control: Control) -> None:
    for sql in ("COPY t TO STDOUT", "COPY t FROM STDIN"):
        with pytest.raises(InterfaceError):
            stream(face, sql)
        must_be_whole(face)
    assert count(control) == 0


def test_an_error_in_the_middle_comes_after_the_chunks_before(face: Face) -> None:
    sql = "SELECT 1 / (2500 - generate_series(1, 10000)) AS n"
    for in_block in (False, True):
        seen = 0

        def read() -> None:
            nonlocal seen
            for _ in iterate(face, "stream", sql):
                seen += 1

        if in_block:
            with pytest.raises(DivisionByZero), face.transaction():
                read()
        else:
            with pytest.raises(DivisionByZero):
                read()
        assert seen == 2000
        must_be_whole(face)


def test_a_row_that_python_cannot_hold(face: Face) -> None:
    sql = (
        "SELECT CASE WHEN n < 15 THEN now()::date ELSE '0044-03-15 BC' END AS d FROM generate_series(1, 20) n"
    )
    seen = 0
    with pytest.raises(DataError, match='column "d"'):  # noqa: PT012 - the loop raises
        for _ in iterate(face, "stream", sql, chunk=5):
            seen += 1
    assert seen == 10
    must_be_whole(face)


def test_a_target_that_raises(face: Face) -> None:
    def refuse(n: int) -> int:
        return n // (n - 5)

    with pytest.raises(ZeroDivisionError):
        stream(face, SERIES, 10, chunk=2, into=refuse)
    must_be_whole(face)


# What is left early.


def test_left_early_outside_of_a_block_it_is_rolled_back(face: Face, control: Control) -> None:
    insert = "INSERT INTO t SELECT n, 'x' FROM generate_series(1, 10) n RETURNING a"
    with closing(iterate(face, "stream", insert, chunk=3)) as rows:
        assert next(rows) == {"a": 1}
    must_be_whole(face)
    assert count(control) == 0
    assert len(stream(face, insert, chunk=3)) == 10
    assert count(control) == 10
    with pytest.raises(UniqueViolation):
        stream(face, insert)
    must_be_whole(face)


def test_an_endless_one_is_left_at_once(face: Face) -> None:
    pid = face.query_val("SELECT pg_backend_pid()")
    for _ in range(3):
        with closing(iterate(face, "stream", ENDLESS)) as rows:
            next(rows)
        must_be_whole(face)
    assert face.query_val("SELECT pg_backend_pid()") == pid


def test_left_early_in_a_block_the_portal_is_closed(face: Face, control: Control) -> None:
    with face.transaction():
        face.execute("INSERT INTO t VALUES (1, 'x')")
        for taken in (1, 2, 3):
            with closing(iterate(face, "stream", ENDLESS, chunk=2)) as rows:
                for _ in range(taken):
                    next(rows)
                assert portals(face) == 1
            assert portals(face) == 0
        with closing(iterate(face, "stream", SERIES, 2, chunk=5)) as rows:
            next(rows)
        assert portals(face) == 0
        face.execute("INSERT INTO t VALUES (2, 'x')")
    assert count(control) == 2
    must_be_whole(face)


def test_an_exception_in_the_loop(face: Face, control: Control) -> None:
    def work() -> None:
        for row in iterate(face, "stream", SERIES, 10, chunk=2):
            if row["n"] == 5:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    must_be_whole(face)
    with face.transaction():
        face.execute("INSERT INTO t VALUES (1, 'x')")
        with pytest.raises(ZeroDivisionError):
            work()
        face.execute("INSERT INTO t VALUES (2, 'x')")
    assert count(control) == 2


# What happens in between, in a block.


def test_statements_and_blocks_between_the_rows(face: Face, control: Control) -> None:
    with face.transaction():
        for row in iterate(face, "stream", SERIES, 10, chunk=2):
            n = row["n"]
            face.execute("INSERT INTO t VALUES ($1, 'x')", n)
            with face.transaction():
                face.execute("UPDATE t SET b = 'y' WHERE a = $1", n)
            with pytest.raises(UniqueViolation), face.transaction():
                face.execute("INSERT INTO t VALUES ($1, 'x')", n)
            assert face.execute("COPY t FROM STDIN", f"{n + 100}\tz\n") == "COPY 1"
    assert control.execute("SELECT b, count(*) FROM t GROUP BY b ORDER BY b").fetchall() == [
        ("y", 10),
        ("z", 10),
    ]
    must_be_whole(face)


def test_a_portal_of_a_nested_block_that_was_rolled_back(face: Face) -> None:
    with face.transaction():
        face.query_val("SELECT 1")
        made: list[Any] = []

        def nested() -> None:
            with face.transaction():
                rows = iterate(face, "stream", SERIES, 10, chunk=2, into=tuple)
                made.append(rows)
                assert next(rows) == (1,)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            nested()
        made.pop().close()
        assert face.query_val("SELECT 1") == 1
    must_be_whole(face)


def test_a_failed_transaction_in_between(face: Face) -> None:
    with pytest.raises(InFailedSqlTransaction), face.transaction():  # noqa: PT012 - the block raises
        rows = iterate(face, "stream", SERIES, 10, chunk=2, into=tuple)
        assert next(rows) == (1,)
        with pytest.raises(DivisionByZero):
            face.query_val("SELECT 1/0")
        assert next(rows) == (2,)  # it is here already
        with pytest.raises(InFailedSqlTransaction):
            next(rows)
        rows.close()
        other = iterate(face, "stream", SERIES, 10, chunk=2)
        with pytest.raises(InFailedSqlTransaction):
            next(other)
    must_be_whole(face)


def test_a_stream_whose_block_has_ended(url: str, control: Control) -> None:
    with SyncDatabase(url, 1, 1) as db:
        with db.transaction():
            rows = db.stream(SERIES, 10, chunk=2, into=tuple)
            assert next(rows) == (1,)
            left = db.stream(SERIES, 10, chunk=2, into=tuple)
            next(left)
        assert next(rows) == (2,)
        with pytest.raises(TransactionClosed):
            next(rows)
        with db.transaction():
            assert db.query_val("SELECT 1") == 1
            left.close()
            assert db.query_val("SELECT 1") == 1


def test_two_streams_side_by_side(face: Face) -> None:
    with face.transaction():
        one = iterate(face, "stream", SERIES, 7, chunk=2, into=tuple)
        other = iterate(face, "stream", SERIES, 7, chunk=3, into=tuple)
        assert list(zip(one, other, strict=True)) == [((n,), (n,)) for n in range(1, 8)]
        assert portals(face) == 0


def test_a_block_begins_with_a_stream(face: Face) -> None:
    with face.transaction(isolation="serializable"):
        assert stream(face, "SHOW transaction_isolation", into=tuple) == [("serializable",)]
        with face.transaction():
            assert len(stream(face, SERIES, 5, chunk=2)) == 5


# What changes behind the driver's back.


def test_types_that_are_met_in_later_rows(face: Face, control: Control) -> None:
    control.execute("CREATE TYPE mood AS ENUM ('fine')")
    control.execute("CREATE TYPE pair AS (id int4, m mood)")
    sql = (
        "SELECT n, CASE WHEN n > 4 THEN ROW(n, ROW(n, 'fine')::pair) ELSE ROW(n, 1) END AS r"
        " FROM generate_series(1, 10) n"
    )
    for in_block in (True, False):
        if in_block:
            with face.transaction():
                found = stream(face, sql, chunk=3, into=tuple)
        else:
            found = stream(face, sql, chunk=3, into=tuple)
        assert [n for n, _ in found] == list(range(1, 11))
        assert [tuple(r[1]) if n > 4 else r[1] for n, r in found] == [1] * 4 + [
            (n, "fine") for n in range(5, 11)
        ]
        must_be_whole(face)


def test_a_table_that_was_altered_since(face: Face, control: Control) -> None:
    control.execute("INSERT INTO t VALUES (1, 'x')")
    assert stream(face, "TABLE t") == [{"a": 1, "b": "x"}]
    control.execute("ALTER TABLE t ADD COLUMN c int4 DEFAULT 5")
    assert stream(face, "TABLE t") == [{"a": 1, "b": "x", "c": 5}]
    control.execute("ALTER TABLE t DROP COLUMN b")
    with face.transaction():
        assert stream(face, "TABLE t", chunk=1) == [{"a": 1, "c": 5}]
    must_be_whole(face)


def test_an_alteration_between_the_chunks_waits(face: Face, control: Control) -> None:
    """The portal holds its locks."""
    control.execute("INSERT INTO t SELECT n, 'x' FROM generate_series(1, 10) n")
    control.execute("SET lock_timeout = '100ms'")
    rows = iterate(face, "stream", "TABLE t", chunk=2)
    next(rows)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        control.execute("ALTER TABLE t DROP COLUMN b")
    assert sum(1 for _ in rows) == 9
    control.execute("ALTER TABLE t DROP COLUMN b")


def test_statements_deallocated_in_between(face: Face) -> None:
    with face.transaction():
        rows = iterate(face, "stream", SERIES, 6, chunk=2, into=tuple)
        assert next(rows) == (1,)
        face.execute("DEALLOCATE ALL")
        assert list(rows) == [(n,) for n in range(2, 7)]
        assert stream(face, SERIES, 2, into=tuple) == [(1,), (2,)]


@pytest.mark.parametrize("in_block", [False, True])
def test_time_that_passes_in_the_backend(face: Face, in_block: bool) -> None:
    sql = "SELECT n, pg_sleep(CASE n WHEN 3 THEN 30 ELSE 0 END) FROM generate_series(1, 5) n"
    for chunk in (2, 100):
        if in_block:
            with pytest.raises(QueryTimeout), face.transaction():
                stream(face, sql, chunk=chunk, timeout=0.3)
        else:
            with pytest.raises(QueryTimeout):
                stream(face, sql, chunk=chunk, timeout=0.3)
        must_be_whole(face)


def test_a_connection_that_is_ended_between_the_chunks(face: Face, control: Control) -> None:
    for close in (False, True):
        pid = face.query_val("SELECT pg_backend_pid()")
        rows = iterate(face, "stream", SERIES, 10, chunk=2)
        next(rows)
        control.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        if close:
            rows.close()
        else:
            with pytest.raises(OperationalError):
                list(rows)
        must_be_whole(face)


def test_a_session_that_is_to_be_reset_first(face: Face, control: Control) -> None:
    control.execute("INSERT INTO t VALUES (1, 'x')")
    for _ in range(2):
        face.execute("SET search_path = pg_catalog")
        assert stream(face, "TABLE t", into=tuple) == [(1, "x")]


def test_without_prepared_statements(open_face: OpenFace, url: str) -> None:
    face = open_face(url, statement_cache_size=0)
    for _ in range(3):
        assert stream(face, SERIES, 5, chunk=2, into=tuple) == [(n,) for n in range(1, 6)]
        with face.transaction():
            assert stream(face, SERIES, 5, chunk=2, into=tuple) == [(n,) for n in range(1, 6)]
    must_be_whole(face)


def test_a_deferred_constraint_is_told_at_the_end(face: Face, control: Control) -> None:
    control.execute("CREATE TABLE d (a int4 UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(UniqueViolation):
        stream(face, "INSERT INTO d VALUES (1), (1) RETURNING a")
    assert control.execute("SELECT count(*) FROM d").fetchone() == (0,)
    must_be_whole(face)
