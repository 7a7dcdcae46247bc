"""Prepared statements: bounded, and healing where the server has lost them or a table has changed."""

from typing import Any

import psycopg
import pytest
from hyperdjango.database import (
    FeatureNotSupported,
    InvalidSqlStatementName,
    InvalidTextRepresentation,
    UndefinedTable,
)
from pgkit.face import Face, OpenFace

PREPARED = r"SELECT statement FROM pg_prepared_statements WHERE statement ~ '^SELECT \$1' ORDER BY 1"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_more_statements_are_kept_than_asked_for(open_face: OpenFace, url: str, size: int) -> None:
    face = open_face(url, statement_cache_size=size)
    count = "SELECT count(*) FROM pg_prepared_statements"
    for _ in range(3):
        for n in range(12):
            assert face.query_val(f"SELECT $1::int + {n}", 1) == n + 1
            assert face.pool_stats()["stmt_cache_size"] <= size
        # What is over the bound is closed in front of the next statement, so one may be seen that is leaving.
        assert face.query_val(count) <= size + 1
        assert face.query_val(count) == size
    assert face.pool_stats()["stmt_cache_size"] == size


def test_the_one_used_least_recently_goes(open_face: OpenFace, url: str) -> None:
    face = open_face(url, statement_cache_size=3)
    for n in (1, 2, 1, 3):
        face.query_val(f"SELECT $1::int + {n}", 0)
    face.query(PREPARED)
    assert face.query(PREPARED, into=tuple) == [("SELECT $1::int + 1",), ("SELECT $1::int + 3",)]


def test_without_a_cache_nothing_stays_prepared(open_face: OpenFace, url: str) -> None:
    face = open_face(url, statement_cache_size=0)
    for n in range(5):
        assert face.query("SELECT $1::int AS a, $2::text AS b", n, "x") == [{"a": n, "b": "x"}]
    assert face.execute_many("SELECT $1::int", [(n,) for n in range(600)]) == "SELECT 600"
    assert face.query_val("SELECT count(*) FROM pg_prepared_statements") == 0
    assert face.pool_stats()["stmt_cache_size"] == 0


def test_a_repeated_text_is_prepared_once(face: Face) -> None:
    for n in range(5):
        assert face.query_val("SELECT $1::int", n) == n
    assert face.query(PREPARED, into=tuple) == [("SELECT $1::int",)]


def test_what_failed_to_prepare_leaves_nothing(face: Face) -> None:
    for _ in range(3):
        with pytest.raises(UndefinedTable):
            face.query("SELECT a::int FROM nowhere")
    assert (
        face.query_val("SELECT count(*) FROM pg_prepared_statements WHERE statement ~ '^SELECT a::int'") == 0
    )
    face.execute("CREATE TABLE nowhere AS SELECT 5 AS a")
    assert face.query_val("SELECT a::int FROM nowhere") == 5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("ALTER TABLE t ADD COLUMN c text DEFAULT 'new'", {"a": 1, "b": 2, "c": "new"}),
        ("ALTER TABLE t DROP COLUMN b", {"a": 1}),
        ("ALTER TABLE t RENAME COLUMN b TO z", {"a": 1, "z": 2}),
        ("ALTER TABLE t ALTER COLUMN b TYPE text USING 'was ' || b", {"a": 1, "b": "was 2"}),
        ("ALTER TABLE t ALTER COLUMN b TYPE numeric(5, 2)", {"a": 1, "b": 2}),
        ("DROP TABLE t; CREATE TABLE t AS SELECT 'other'::text AS b", {"b": "other"}),
        ("DROP TABLE t; CREATE VIEW t AS SELECT now() < 'infinity' AS v", {"v": True}),
    ],
)
@pytest.mark.parametrize("by", ["ourselves", "somebody else"])
def test_a_changed_table_is_read_as_it_is(
    open_face: OpenFace, url: str, change: str, expected: dict[str, Any], by: str
) -> None:
    face = open_face(url, 2, 2)
    face.execute("CREATE TABLE t AS SELECT 1 AS a, 2 AS b")
    sql = "SELECT * FROM t"
    for _ in range(4):
        assert face.query(sql) == [{"a": 1, "b": 2}]
    if by == "ourselves":
        face.execute(change)
    else:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(change)
    for _ in range(4):
        assert face.query(sql) == [expected]
    assert face.query_one(sql, into=tuple) == tuple(expected.values())
    assert face.pool_stats()["total"] == 2


def test_a_parameter_whose_type_has_changed_is_encoded_anew(face: Face) -> None:
    face.execute("CREATE TABLE t (a int)")
    sql = "INSERT INTO t VALUES ($1)"
    face.execute(sql, 5)
    with pytest.raises(InvalidTextRepresentation):
        face.execute(sql, "five")
    face.execute("ALTER TABLE t ALTER COLUMN a TYPE text")
    assert face.execute(sql, "five") == "INSERT 1"
    face.execute("TRUNCATE t")
    face.execute("ALTER TABLE t ALTER COLUMN a TYPE bool USING true")
    assert face.execute(sql, True) == "INSERT 1"


def test_a_table_may_be_changed_inside_a_transaction(face: Face) -> None:
    face.execute("CREATE TABLE t AS SELECT 1 AS a")
    assert face.query("SELECT * FROM t") == [{"a": 1}]
    with face.transaction():
        face.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 3")
        assert face.query("SELECT * FROM t") == [{"a": 1, "b": 3}]
    assert face.query("SELECT * FROM t") == [{"a": 1, "b": 3}]


def test_what_somebody_else_changed_is_an_error_inside_a_transaction_once(face: Face, url: str) -> None:
    """Where something has run before: what has failed then cannot be mended behind its user's back."""
    face.execute("CREATE TABLE t AS SELECT 1 AS a")
    assert face.query("SELECT * FROM t") == [{"a": 1}]
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 2")
    refused = pytest.raises(FeatureNotSupported, match="cached plan must not change result type")
    with refused, face.transaction():
        face.query_val("SELECT 1")
        face.query("SELECT * FROM t")
    with face.transaction():
        assert face.query("SELECT * FROM t") == [{"a": 1, "b": 2}]


def test_what_somebody_else_changed_is_healed_in_the_first_statement_of_a_block(face: Face, url: str) -> None:
    face.execute("CREATE TABLE t AS SELECT 1 AS a")
    assert face.query("SELECT * FROM t") == [{"a": 1}]
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 2")
    with face.transaction(isolation="serializable", read_only=True):
        assert face.query("SELECT * FROM t") == [{"a": 1, "b": 2}]
        assert face.query_val("SHOW transaction_isolation") == "serializable"
        assert face.query_val("SHOW transaction_read_only") == "on"


def test_what_was_learnt_inside_a_transaction_is_unlearnt_with_its_rollback(face: Face) -> None:
    face.execute("CREATE TABLE t AS SELECT 1 AS a")
    with pytest.raises(LookupError), face.transaction():  # noqa: PT012 - the block is what raises
        face.execute("ALTER TABLE t ALTER COLUMN a TYPE text")
        assert face.query("SELECT * FROM t") == [{"a": "1"}]
        assert face.execute("INSERT INTO t VALUES ($1)", "x") == "INSERT 1"
        raise LookupError
    for _ in range(3):
        assert face.query("SELECT * FROM t") == [{"a": 1}]
    assert face.execute("INSERT INTO t VALUES ($1)", 3) == "INSERT 1"


@pytest.mark.parametrize(
    "command", ["DISCARD ALL", "DEALLOCATE ALL", "DISCARD PLANS", "SELECT 1; DISCARD TEMP"]
)
def test_statements_the_user_threw_away_are_prepared_again(face: Face, command: str) -> None:
    face.execute("CREATE TABLE t (a int)")
    for _ in range(3):
        assert face.query_val("SELECT $1::int", 3) == 3
        assert face.execute("INSERT INTO t VALUES ($1)", 1) == "INSERT 1"
        assert face.execute_many("INSERT INTO t VALUES ($1)", [(n,) for n in range(600)]) == "INSERT 600"
        face.execute(command)
    assert face.query_val("SELECT count(*) FROM t") == 3 * 601


@pytest.mark.parametrize("command", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_a_batch_finds_its_statement_thrown_away(face: Face, command: str) -> None:
    face.execute("CREATE TABLE t (a int)")
    for count in (1, 600, 2):
        sets = [(n,) for n in range(count)]
        assert face.execute_many("INSERT INTO t VALUES ($1)", sets) == f"INSERT {count}"
        face.execute(command)
    assert face.query_val("SELECT count(*) FROM t") == 603


def test_a_statement_thrown_away_inside_a_transaction_is_prepared_again(face: Face) -> None:
    assert face.query_val("SELECT $1::int", 3) == 3
    with face.transaction():
        face.execute("DEALLOCATE ALL")
        assert face.query_val("SELECT $1::int", 4) == 4
    assert face.query_val("SELECT $1::int", 5) == 5


def test_the_same_text_means_another_table_under_another_search_path(face: Face) -> None:
    face.execute(
        "CREATE SCHEMA s; CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE s.t AS SELECT 'x'::text AS b"
    )
    try:
        assert face.query("SELECT * FROM t") == [{"a": 1}]
        with face.transaction():
            face.execute("SET LOCAL search_path = s")
            assert face.query("SELECT * FROM t") == [{"b": "x"}]
        assert face.query("SELECT * FROM t") == [{"a": 1}]
        with face.transaction():
            assert face.query("SELECT * FROM t") == [{"a": 1}]
    finally:
        face.execute("DROP SCHEMA s CASCADE")


# Named by the user, and not there


@pytest.fixture(params=["EXECUTE nowhere", "DEALLOCATE nowhere"])
def misnamed(request: pytest.FixtureRequest, face: Face) -> str:
    """A command that names a prepared statement nobody has made; `t` holds what was done before it."""
    face.execute("CREATE TABLE t (a int)")
    return str(request.param)


def test_a_script_that_names_no_statement_of_ours_runs_once(face: Face, misnamed: str) -> None:
    for n in range(1, 4):
        with pytest.raises(InvalidSqlStatementName):
            face.execute(f"INSERT INTO t VALUES (1); COMMIT; {misnamed}", timeout=20)
        assert face.query_val("SELECT count(*) FROM t") == n


def test_a_procedure_that_names_no_statement_of_ours_runs_once(face: Face, misnamed: str) -> None:
    face.execute(
        "CREATE PROCEDURE add() LANGUAGE plpgsql AS"
        f" $$begin insert into t values (1); commit; execute '{misnamed}'; end$$"
    )
    for n in range(1, 4):  # unknown, known, prepared
        with pytest.raises(InvalidSqlStatementName):
            face.execute("CALL add()", timeout=20)
        assert face.query_val("SELECT count(*) FROM t") == n


def test_a_block_that_begins_with_it_runs_it_once(face: Face, misnamed: str) -> None:
    """A sequence goes on counting over a rollback."""
    face.execute("CREATE SEQUENCE runs")
    within = f"DO $$begin perform nextval('runs'); execute '{misnamed}'; end$$"
    for n in range(1, 4):
        for sql in (misnamed, within):
            with pytest.raises(InvalidSqlStatementName), face.transaction():
                face.execute(sql, timeout=20)
        assert face.query_val("SELECT last_value FROM runs") == n


def test_a_misnamed_statement_is_no_sign_of_a_pooler(face: Face, misnamed: str) -> None:
    assert face.query_val("SELECT $1::int", 1) == 1
    (slot,) = face._pool.slots()
    with pytest.raises(InvalidSqlStatementName):
        face.execute(misnamed, timeout=20)
    with pytest.raises(InvalidSqlStatementName):
        face.pipeline([misnamed, "SELECT 1"], timeout=20)
    with pytest.raises(InvalidSqlStatementName), face.transaction():
        face.execute(misnamed, timeout=20)
    assert face._pool.slots() == [slot]
    assert not slot.connection.has_pooler
    for n in range(3):
        assert face.query_val("SELECT $1::int", n) == n
    assert face.query(PREPARED, into=tuple) == [("SELECT $1::int",)]
