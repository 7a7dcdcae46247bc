"""What one borrower does to a session is not there for the next; COPY as an ordinary statement is refused."""

from contextlib import nullcontext, suppress

import pytest
from hyperdjango.database import Database, DivisionByZero, InterfaceError, UndefinedTable
from pgkit.face import Face, OpenFace

PID = "SELECT pg_backend_pid()"


@pytest.mark.parametrize("call", ["execute", "query", "query_val"])
@pytest.mark.parametrize(
    ("change", "look"),
    [
        ("SET work_mem = '77kB'", "SHOW work_mem"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW default_transaction_read_only"),
        ("SET TIME ZONE 'Asia/Tokyo'", "SHOW timezone"),
        ("SET search_path = pg_catalog", "SHOW search_path"),
        ("SET ROLE pg_monitor", "SELECT current_user"),
        ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user"),
        (
            "SELECT set_config('my.tenant', '7', false)",
            "SELECT coalesce(current_setting('my.tenant', true), '')",
        ),
        ("LISTEN something", "SELECT count(*) FROM pg_listening_channels()"),
        ("CREATE TEMP TABLE mine (a int)", "SELECT to_regclass('mine')::text"),
        ("SELECT 1 AS a INTO TEMPORARY mine", "SELECT to_regclass('mine')::text"),
        ("PREPARE mine AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) FROM pg_cursors"),
        (
            "SELECT pg_advisory_lock(77)",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77",
        ),
        (
            "DO $$begin perform set_config('my.tenant', '8', false); end$$",
            "SELECT current_setting('my.tenant', true)",
        ),
    ],
)
def test_session_state_does_not_reach_the_next_borrower(
    face: Face, call: str, change: str, look: str
) -> None:
    pid = face.query_val(PID)
    before = face.query_val(look)
    getattr(face, call)(change)
    assert (face.query_val(look) or "") == (before or "")
    assert face.query_val(PID) == pid


@pytest.mark.parametrize(
    "script",
    [
        "SET work_mem = '77kB'; SELECT 1",
        "SELECT 1; SET work_mem = '77kB'; SELECT 1",
        "BEGIN; SET work_mem = '77kB'; COMMIT",
        "BEGIN; SET work_mem = '77kB'; COMMIT; SELECT 1",
    ],
)
def test_a_script_leaves_nothing_to_the_next_borrower_either(face: Face, script: str) -> None:
    before = face.query_val("SHOW work_mem")
    face.execute(script)
    assert face.query_val("SHOW work_mem") == before


def test_what_a_transaction_changed_is_gone_after_it(face: Face) -> None:
    before = face.query_val("SHOW work_mem")
    with face.transaction():
        face.execute("SET work_mem = '77kB'")
        face.query("SET lock_timeout = 500")
        assert face.query_val("SHOW work_mem") == "77kB"
    assert face.query_val("SHOW work_mem") == before
    assert face.query_val("SHOW lock_timeout") == "0"


def test_a_change_before_an_error_is_gone_too(face: Face) -> None:
    before = face.query_val("SHOW work_mem")
    with pytest.raises(DivisionByZero):
        face.execute("BEGIN; SET work_mem = '77kB'; COMMIT; SELECT 1/0")
    assert face.query_val("SHOW work_mem") == before


def assert_outside_transaction(face: Face) -> None:
    now = "SELECT now()"
    assert face.query_val(now) < face.query_val(now)


@pytest.mark.parametrize("call", ["execute", "query", "query_val"])
def test_a_transaction_left_open_is_rolled_back(face: Face, call: str) -> None:
    pid = face.query_val(PID)
    getattr(face, call)("BEGIN")
    assert_outside_transaction(face)
    assert face.query_val(PID) == pid


@pytest.mark.parametrize("end", ["", "; SELECT 1/0"])
def test_a_transaction_that_a_script_left_open_is_rolled_back(face: Face, end: str) -> None:
    face.execute("CREATE TABLE t (a int)")
    with pytest.raises(DivisionByZero) if end else nullcontext():
        face.execute("BEGIN; INSERT INTO t VALUES (1)" + end)
    assert face.query_val("SELECT count(*) FROM t") == 0
    assert_outside_transaction(face)


def test_the_statements_of_a_session_that_was_reset_work_again(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 2, 2)
    for n in range(4):
        assert face.query_val("SELECT $1::int", n) == n
        face.execute("SET work_mem = '77kB'")


@pytest.mark.parametrize("call", ["execute", "query", "query_one", "query_val"])
def test_copy_without_its_data_is_refused_and_the_connection_stays(face: Face, call: str) -> None:
    face.execute("CREATE TABLE t (a int)")
    pid = face.query_val(PID)
    sql = "COPY t FROM STDIN"
    with pytest.raises(InterfaceError, match="COPY FROM STDIN cannot run as an ordinary statement"):
        getattr(face, call)(sql)
    with pytest.raises(InterfaceError, match="COPY TO STDOUT cannot run as an ordinary statement"):
        getattr(face, call)("COPY (SELECT generate_series(1, 100000)) TO STDOUT")
    assert face.query_val("SELECT count(*) FROM t") == 0
    assert face.query_val(PID) == pid


@pytest.mark.parametrize("copy", ["COPY t FROM STDIN", "COPY t TO STDOUT"])
def test_copy_in_a_script_undoes_the_script(face: Face, copy: str) -> None:
    pid = face.query_val(PID)
    with pytest.raises(InterfaceError, match="COPY"):
        face.execute(f"CREATE TABLE t (a int); INSERT INTO t VALUES (1); {copy}; SELECT 2")
    if "FROM" in copy:
        with pytest.raises(UndefinedTable):
            face.query("SELECT * FROM t")
    assert face.query_val(PID) == pid


def test_copy_inside_a_transaction_fails_it(face: Face) -> None:
    face.execute("CREATE TABLE t (a int)")
    with (  # noqa: PT012 - the block is what raises
        pytest.raises(InterfaceError, match="COPY FROM STDIN cannot run as an ordinary statement"),
        face.transaction(),
    ):
        face.execute("INSERT INTO t VALUES (1)")
        face.execute("COPY t FROM STDIN")
    assert face.query_val("SELECT count(*) FROM t") == 0


def test_execute_many_of_copy_is_refused(face: Face) -> None:
    face.execute("CREATE TABLE t (a int)")
    with pytest.raises(InterfaceError, match="COPY FROM STDIN cannot run as an ordinary statement"):
        face.execute_many("COPY t FROM STDIN", [(), ()])
    assert face.query_val("SELECT 1") == 1


async def test_a_transaction_left_open_is_rolled_back_and_said_so(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE left_open (n int4)")
        await db.execute("BEGIN; INSERT INTO left_open VALUES (1)")
        assert "left a transaction open" in caplog.text
        caplog.clear()
        with suppress(ZeroDivisionError):
            async with db.transaction():
                await db.execute("INSERT INTO left_open VALUES (2)")
                raise ZeroDivisionError
        assert caplog.text == ""
        assert await db.query("SELECT n FROM left_open") == []
