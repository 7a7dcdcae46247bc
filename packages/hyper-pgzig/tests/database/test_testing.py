"""The helpers for tests: which calls they capture, what they count, which plans they refuse."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from hyperdjango.database import Database, DivisionByZero, SyncDatabase, UndefinedTable
from hyperdjango.database.testing import assert_no_seq_scan, assert_num_queries, capture_queries

SCAN = "SELECT * FROM t WHERE note = $1"
LOOKUP = "SELECT * FROM t WHERE id = $1"


@pytest.fixture
def db(url: str) -> Any:
    with SyncDatabase(url, 1, 3) as database:
        database.execute("CREATE TABLE t (id int4 PRIMARY KEY, note text); CREATE TABLE u (id int4)")
        yield database


# Capturing.


def test_calls_of_the_block_are_captured_and_no_others(db: SyncDatabase) -> None:
    db.query("SELECT 0")
    with capture_queries(db) as queries:
        db.query_val("SELECT 1")
        with db.transaction():
            db.execute("INSERT INTO t VALUES (1, 'x')")
        assert len(queries) == 2
    db.query("SELECT 2")
    assert [(event.call, event.sql, event.rows) for event in queries] == [
        ("query_val", "SELECT 1", 1),
        ("execute", "INSERT INTO t VALUES (1, 'x')", 1),
    ]
    assert db._pool.watchers == ()


def test_blocks_of_transactions_are_captured_on_request(db: SyncDatabase) -> None:
    with capture_queries(db, transactions=True) as queries, db.transaction():
        db.query("SELECT 1")
    assert [event.sql for event in queries] == ["BEGIN", "SELECT 1", "COMMIT"]


def test_captures_may_stand_in_each_other(db: SyncDatabase) -> None:
    with capture_queries(db) as outer:
        db.query("SELECT 1")
        with capture_queries(db) as inner:
            db.query("SELECT 2")
        db.query("SELECT 3")
    assert [event.sql for event in outer] == ["SELECT 1", "SELECT 2", "SELECT 3"]
    assert [event.sql for event in inner] == ["SELECT 2"]


def test_a_call_that_fails_is_captured_with_its_error(db: SyncDatabase) -> None:
    with capture_queries(db) as queries, pytest.raises(DivisionByZero):
        db.query("SELECT 1/0")
    assert [type(event.error) for event in queries] == [DivisionByZero]


async def test_calls_of_child_tasks_are_captured_and_those_of_others_are_not(url: str) -> None:
    async with Database(url, 1, 3) as db:
        go_on, done = asyncio.Event(), asyncio.Event()

        async def other() -> None:
            await go_on.wait()
            await db.query("SELECT 'other'")
            done.set()

        outside = asyncio.ensure_future(other())
        await asyncio.sleep(0)
        with capture_queries(db) as mine, capture_queries(db, everywhere=True) as all_of_them:
            go_on.set()
            await done.wait()
            await asyncio.gather(db.query("SELECT 1"), asyncio.create_task(db.query("SELECT 2")))
            await asyncio.to_thread(db.sync.query, "SELECT 3")
        await outside
    assert sorted(event.sql for event in mine) == ["SELECT 1", "SELECT 2", "SELECT 3"]
    assert sorted(event.sql for event in all_of_them) == [
        "SELECT 'other'",
        "SELECT 1",
        "SELECT 2",
        "SELECT 3",
    ]


async def test_two_tasks_capture_apart(url: str) -> None:
    async with Database(url, 1, 3) as db:
        together = asyncio.Barrier(2)

        async def work(number: int) -> list[str]:
            with capture_queries(db) as queries:
                await together.wait()
                await db.query(f"SELECT {number}")
                await together.wait()
            return [event.sql for event in queries]

        one, two = await asyncio.gather(work(1), work(2))
        assert (one, two) == (["SELECT 1"], ["SELECT 2"])


def test_a_thread_of_its_own_is_captured_everywhere_only(db: SyncDatabase) -> None:
    with capture_queries(db) as mine, capture_queries(db, everywhere=True) as all_of_them:
        thread = threading.Thread(
            target=contextvars.Context().run, args=(db.query, "SELECT 1")
        )  # a plain thread may inherit the context, by the interpreter's version
        thread.start()
        thread.join()
    assert mine == []
    assert [event.sql for event in all_of_them] == ["SELECT 1"]


def test_a_capture_may_end_in_another_context_than_it_began_in(db: SyncDatabase) -> None:
    capture = capture_queries(db)
    queries = contextvars.copy_context().run(capture.__enter__)
    contextvars.copy_context().run(capture.__exit__, None, None, None)
    db.query("SELECT 1")
    assert queries == []


# Counting.


def test_the_right_number_passes(db: SyncDatabase) -> None:
    with assert_num_queries(db, 2) as queries:
        db.query("SELECT 1")
        db.pipeline(["SELECT 1", "SELECT 2"])
    assert len(queries) == 2
    with assert_num_queries(db, 0):
        pass
    with assert_num_queries(db, 3, transactions=True), db.transaction():
        db.query("SELECT 1")


def test_a_wrong_number_fails_with_the_texts(db: SyncDatabase) -> None:
    with pytest.raises(AssertionError) as raised, assert_num_queries(db, 1):  # noqa: PT012 - it counts them
        db.query("SELECT 1")
        db.query("SELECT $1::text,\n   2", "a value")
    assert str(raised.value) == ("2 queries were made, 1 expected\n  1. SELECT 1\n  2. SELECT $1::text, 2")
    with pytest.raises(AssertionError, match=r"^1 query was made, 0 expected"), assert_num_queries(db, 0):
        db.query("SELECT 1")


def test_what_the_block_raises_goes_first(db: SyncDatabase) -> None:
    with pytest.raises(KeyError), assert_num_queries(db, 5):
        raise KeyError
    assert db._pool.watchers == ()


# Plans.


def test_a_scan_that_no_index_can_replace_fails(db: SyncDatabase) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_no_seq_scan(db, SCAN, "x")
    text = str(raised.value)
    assert text.startswith(f"sequential scan of t: no index can serve it\n{SCAN}\n")
    assert "Seq Scan on t" in text


def test_an_index_passes_though_the_table_is_empty(db: SyncDatabase) -> None:
    assert_no_seq_scan(db, LOOKUP, 1)
    with pytest.raises(AssertionError):
        assert_no_seq_scan(db, SCAN, "x")
    db.execute("CREATE INDEX ON t (note)")
    assert_no_seq_scan(db, SCAN, "x")


def test_the_planners_own_choice_can_be_asked_for(db: SyncDatabase) -> None:
    db.execute("INSERT INTO t VALUES (1, 'x')")
    db.execute("ANALYZE t")
    assert_no_seq_scan(db, LOOKUP, 1)
    with pytest.raises(AssertionError, match="sequential scan of t: the planner chose it"):
        assert_no_seq_scan(db, LOOKUP, 1, force_index=False)


def test_only_the_named_tables_count(db: SyncDatabase) -> None:
    sql = "SELECT * FROM t JOIN u ON t.id = u.id WHERE t.id = $1"
    assert_no_seq_scan(db, sql, 1, tables=["t"])
    with pytest.raises(AssertionError, match="sequential scan of u:"):
        assert_no_seq_scan(db, sql, 1)
    with pytest.raises(AssertionError, match="sequential scan of u:"):
        assert_no_seq_scan(db, sql, 1, tables={"u"})


def test_a_plan_that_was_made_already_can_be_checked(db: SyncDatabase) -> None:
    with pytest.raises(AssertionError, match="sequential scan of t"):
        assert_no_seq_scan(db.explain(SCAN, "x"))
    assert_no_seq_scan(db.explain("SELECT 1"))
    assert_no_seq_scan(db.explain(SCAN, "x"), tables=["u"])


def test_the_check_runs_nothing_leaves_nothing_and_is_not_counted(db: SyncDatabase) -> None:
    before = db.query_val("SHOW enable_seqscan")
    with assert_num_queries(db, 1, transactions=True):
        assert_no_seq_scan(db, "DELETE FROM t WHERE id = $1", 1)
        assert_no_seq_scan(db, "INSERT INTO t VALUES ($1, $2)", 1, "x")
        assert db.query_val("SHOW enable_seqscan") == before
    assert db.query_val("SELECT count(*) FROM t") == 0
    with db.transaction():
        db.execute("INSERT INTO t VALUES (5, 'x')")
        assert_no_seq_scan(db, LOOKUP, 1)
        assert db.query_val("SHOW enable_seqscan") == before
    assert db.query_val("SELECT count(*) FROM t") == 1


def test_an_error_of_the_statement_goes_on(db: SyncDatabase) -> None:
    with pytest.raises(UndefinedTable):
        assert_no_seq_scan(db, "SELECT * FROM nothing")
    assert db.query_val("SELECT 1") == 1


async def test_on_a_loop_it_is_awaited(url: str) -> None:
    async with Database(url, 1, 2) as db:
        await db.execute("CREATE TABLE t (id int4 PRIMARY KEY, note text)")
        with assert_num_queries(db, 0, transactions=True):
            await assert_no_seq_scan(db, LOOKUP, 1)
            with pytest.raises(AssertionError, match="no index can serve it"):
                await assert_no_seq_scan(db, SCAN, "x")
            with pytest.raises(AssertionError, match="the planner chose it"):
                await assert_no_seq_scan(db, SCAN, "x", force_index=False)
        assert await db.query_val("SHOW enable_seqscan") == "on"
