"""`pipeline()`: several statements in one piece, their results and errors in order, through both faces.

PostgreSQL docs: protocol-flow, "Pipelining".
"""

import asyncio
import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    Database,
    DataError,
    DivisionByZero,
    Error,
    FeatureNotSupported,
    InFailedSqlTransaction,
    InvalidTextRepresentation,
    NotConnected,
    OperationalError,
    OutcomeUnknown,
    QueryTimeout,
    SyncDatabase,
    UndefinedTable,
    UniqueViolation,
)
from pgkit import Proxy
from pgkit.face import Face, OpenFace

ADD: Final = "SELECT $1::int + 1"
DIVIDE: Final = "SELECT 10 / $1::int"
INSERT: Final = "INSERT INTO t VALUES ($1)"


@pytest.fixture
def table(face: Face) -> Face:
    face.execute("CREATE TABLE t (a int PRIMARY KEY)")
    return face


def numbers(face: Face) -> Any:
    return face.query_val("SELECT array_agg(a ORDER BY a) FROM t")


# Shapes


def test_rows_are_tuples_one_list_for_each_statement(table: Face) -> None:
    for _ in range(3):  # unknown, known, prepared
        table.execute("DELETE FROM t")
        assert table.pipeline(
            [
                "SELECT 1 AS a, 'x' AS a",
                (ADD, (1,)),
                (ADD, [2]),
                [ADD, (3,)],
                (INSERT, (5,)),
                "SELECT a FROM t",
                "SELECT 1 WHERE false",
                "SELECT FROM t",
                ("SELECT n FROM generate_series(1, $1::int) n", (3,)),
                "",
            ]
        ) == [[(1, "x")], [(2,)], [(3,)], [(4,)], [], [(5,)], [], [()], [(1,), (2,), (3,)], []]


def test_an_empty_pipeline_gives_an_empty_list(face: Face) -> None:
    assert face.pipeline([]) == []
    with face.transaction():
        assert face.pipeline([]) == []


def test_any_iterable_will_do(face: Face) -> None:
    assert face.pipeline((ADD, (n,)) for n in range(3)) == [[(1,)], [(2,)], [(3,)]]
    assert face.pipeline(iter(["SELECT 1"])) == [[(1,)]]


def test_one_text_is_no_pipeline(face: Face) -> None:
    with pytest.raises(TypeError, match=r"not one text: pipeline\(\[sql\]\)"):
        face.pipeline("SELECT 1")


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        b"SELECT 1",
        ("SELECT 1",),
        ("SELECT 1", (), ()),
        (1, ()),
        ("SELECT 1", None),
        ("SELECT 1", "x"),
        ("SELECT 1", {"a": 1}),
        ("SELECT 1", 1),
        {"SELECT 1": ()},
    ],
)
def test_an_item_that_is_no_query_is_refused_before_anything_is_sent(table: Face, bad: object) -> None:
    with pytest.raises(TypeError, match="query 1 of the pipeline"):
        table.pipeline([(INSERT, (1,)), bad])
    assert numbers(table) is None


@pytest.mark.parametrize("face_class", [Database, SyncDatabase])
def test_before_connect_it_says_so(face_class: type[Any]) -> None:
    db = face_class("postgres://tester@127.0.0.1:1/x")
    with pytest.raises(NotConnected):
        asyncio.run(db.pipeline(["SELECT 1"])) if face_class is Database else db.pipeline(["SELECT 1"])


def test_each_statement_commits_by_itself(table: Face, url: str) -> None:
    with pytest.raises(UniqueViolation):
        table.pipeline([(INSERT, (n,)) for n in (1, 2, 2, 3)])
    with psycopg.connect(url) as other:
        assert other.execute("SELECT array_agg(a) FROM t").fetchone() == ([1, 2, 3],)


# Errors


def test_the_first_error_is_raised_once_all_have_run(table: Face) -> None:
    for _ in range(2):
        table.execute("DELETE FROM t")
        with pytest.raises(DivisionByZero) as caught:
            table.pipeline([(INSERT, (1,)), (DIVIDE, (0,)), (INSERT, (1,)), "SELECT nope", (INSERT, (2,))])
        assert caught.value.__notes__ == ["in query 1 of the pipeline, counted from 0"]
        assert caught.value.query == DIVIDE
        assert numbers(table) == [1, 2]


def test_errors_stand_in_place_where_that_is_asked_for(table: Face) -> None:
    for _ in range(2):
        table.execute("DELETE FROM t")
        made = table.pipeline(
            [(INSERT, (1,)), (DIVIDE, (0,)), (INSERT, (1,)), "SELECT * FROM nope", "SELEC", (DIVIDE, (5,))],
            return_exceptions=True,
        )
        assert [getattr(each, "sqlstate", None) for each in made] == [
            *(None, "22012", "23505", "42P01", "42601", None),
        ]
        assert made[5] == [(2,)]
        for n in range(1, 5):
            assert made[n].__notes__ == [f"in query {n} of the pipeline, counted from 0"]


def test_a_value_that_does_not_fit_fails_its_statement_alone(table: Face) -> None:
    for _ in range(2):
        table.execute("DELETE FROM t")
        made = table.pipeline(
            [
                (INSERT, (1,)),
                (INSERT, (2**40,)),
                (INSERT, (2,)),
                (INSERT, ()),
                (INSERT, ("x",)),
                (INSERT, (3,)),
            ],
            return_exceptions=True,
        )
        assert [type(each) for each in made[1::2]] == [DataError, DataError, list]
        assert isinstance(made[4], InvalidTextRepresentation)
        assert numbers(table) == [1, 2, 3]
        with pytest.raises(DataError, match=r"parameter \$1") as caught:
            table.pipeline([(ADD, (1,)), (ADD, (2**40,)), (ADD, (1,))])
        assert caught.value.__notes__ == ["in query 1 of the pipeline, counted from 0"]


def test_a_value_whose_methods_raise_fails_its_statement_alone(face: Face) -> None:
    class Broken:
        def __index__(self) -> int:
            raise ZeroDivisionError

    for _ in range(2):
        made = face.pipeline([(ADD, (1,)), (ADD, (Broken(),)), (ADD, (3,))], return_exceptions=True)
        assert made[0::2] == [[(2,)], [(4,)]]
        assert isinstance(made[1], ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            face.pipeline([(ADD, (1,)), (ADD, (Broken(),)), (ADD, (3,))])


def test_the_first_and_the_last_may_fail(face: Face) -> None:
    for bad in ((ADD, (2**40,)), (DIVIDE, (0,)), "SELEC", ("SELECT $1::int", ())):
        for position in (0, 2):
            queries: list[Any] = [(ADD, (n,)) for n in range(3)]
            queries[position] = bad
            made = face.pipeline(queries, return_exceptions=True)
            assert isinstance(made[position], Error)
            assert [each for each in made if isinstance(each, list)] == [
                [(n + 1,)] for n in range(3) if n != position
            ]
        assert isinstance(face.pipeline([bad], return_exceptions=True)[0], Error)


def test_copy_is_refused_and_what_stands_before_it_is_told(table: Face) -> None:
    made = table.pipeline([(INSERT, (1,)), "COPY t FROM STDIN"], return_exceptions=True)
    assert made[0] == []
    assert isinstance(made[1], Error)
    assert "COPY" in str(made[1])
    assert numbers(table) == [1]


def test_a_column_that_python_cannot_have_fails_its_statement_alone(face: Face) -> None:
    for _ in range(2):
        made = face.pipeline(
            [(ADD, (1,)), "SELECT date '0044-03-15 BC'", (ADD, (2,))], return_exceptions=True
        )
        assert made[0::2] == [[(2,)], [(3,)]]
        assert isinstance(made[1], DataError)


# What one statement does for those behind it


def test_definitions_hold_for_what_stands_behind_them(face: Face) -> None:
    for _ in range(3):
        assert face.pipeline(
            [
                "CREATE TABLE d (a int)",
                ("INSERT INTO d VALUES ($1)", (1,)),
                "ALTER TABLE d ADD COLUMN b text DEFAULT 'b'",
                "SELECT * FROM d",
                "ALTER TABLE d ALTER COLUMN a TYPE text",
                ("INSERT INTO d VALUES ($1, $2)", ("x", "y")),
                "SELECT * FROM d ORDER BY a",
                "DROP TABLE d",
            ]
        ) == [[], [], [], [(1, "b")], [], [], [("1", "b"), ("x", "y")], []]


def test_definitions_hold_inside_a_block_too(face: Face) -> None:
    for first in (True, False):
        with face.transaction():
            if not first:
                face.query("SELECT 1")
            assert face.pipeline(
                [
                    "CREATE TABLE d (a int)",
                    ("INSERT INTO d VALUES ($1)", (1,)),
                    ("INSERT INTO d VALUES ($1 + 1)", (1,)),
                    "SELECT a FROM d ORDER BY a",
                    "DROP TABLE d",
                ]
            ) == [[], [], [], [(1,), (2,)], []]


def test_settings_hold_for_what_stands_behind_them_and_for_nobody_else(table: Face) -> None:
    table.execute("CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE IF NOT EXISTS s.t (a text); DELETE FROM s.t")
    for _ in range(2):
        assert table.pipeline(
            ["SELECT a FROM t", "SET search_path = s", "INSERT INTO t VALUES ('x')", "SELECT a FROM t"]
        )[3][0] == ("x",)
        assert table.query("SELECT a FROM t") == []
    assert table.pipeline(["SET work_mem = '77kB'", "SHOW work_mem"])[1] == [("77kB",)]
    assert table.query_val("SHOW work_mem") != "77kB"
    assert table.pipeline(["SHOW work_mem"]) != [[("77kB",)]]


def test_what_somebody_else_has_altered_heals(table: Face, url: str) -> None:
    table.pipeline([(INSERT, (1,)), "SELECT * FROM t", (ADD, (1,))])
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 2")
    assert table.pipeline([(ADD, (1,)), "SELECT * FROM t", (ADD, (1,))]) == [[(2,)], [(1, 2)], [(2,)]]


def test_one_text_many_times_heals_for_all_of_them(table: Face, url: str) -> None:
    table.pipeline([(INSERT, (1,)), *["SELECT * FROM t"] * 20])
    with psycopg.connect(url, autocommit=True) as other:
        for n in range(3):
            other.execute(f"ALTER TABLE t ADD COLUMN b{n} int DEFAULT {n}")
            assert table.pipeline(["SELECT * FROM t"] * 20) == [[(1, *range(n + 1))]] * 20


@pytest.fixture
def outdated(table: Face, url: str) -> str:
    """A known write whose rows are not what they were, since somebody else has altered the table."""
    sql = "INSERT INTO t VALUES ($1) RETURNING *"
    for n in (-1, -2, -3):
        table.query(sql, n)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 2")
        other.execute("DELETE FROM t")
    return sql


def test_an_outdated_write_is_not_done_behind_what_has_seen_that_it_was_not(
    table: Face, outdated: str
) -> None:
    first, second = table.pipeline([(outdated, (1,)), "SELECT count(*) FROM t"], return_exceptions=True)
    assert isinstance(first, FeatureNotSupported)
    assert second == [(0,)]
    assert numbers(table) is None
    assert table.pipeline([(outdated, (1,)), "SELECT count(*) FROM t"]) == [[(1, 2)], [(1,)]]


def test_an_outdated_write_that_is_last_heals(table: Face, outdated: str) -> None:
    assert table.pipeline([(INSERT, (1,)), "SELECT count(*) FROM t", (outdated, (2,))]) == [
        [],
        [(1,)],
        [(2, 2)],
    ]
    assert numbers(table) == [1, 2]


def test_an_outdated_write_spoils_the_users_own_transaction(table: Face, outdated: str) -> None:
    made = table.pipeline(["BEGIN", (outdated, (1,)), (INSERT, (2,)), "COMMIT"], return_exceptions=True)
    assert [type(each) for each in made] == [list, FeatureNotSupported, InFailedSqlTransaction, list]
    assert numbers(table) is None


def test_types_that_are_met_on_the_way(face: Face) -> None:
    face.execute("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, m mood)")
    face.execute("CREATE TABLE m (p pair)")
    assert face.pipeline(
        [
            ("INSERT INTO m VALUES ($1)", ((1, "ok"),)),
            (ADD, (1,)),
            "SELECT p FROM m",
            ("SELECT $1::mood", ("sad",)),
            "SELECT ROW(1, 'ok'::mood, now() - now())",
            ("SELECT $1::mood[]", (["sad", None],)),
            (ADD, (2,)),
        ]
    ) == [
        [],
        [(2,)],
        [((1, "ok"),)],
        [("sad",)],
        [((1, "ok", dt.timedelta(0)),)],
        [(["sad", None],)],
        [(3,)],
    ]


def test_a_type_that_one_statement_makes_is_there_for_the_next(face: Face) -> None:
    for _ in range(2):
        assert face.pipeline(
            [
                "CREATE TYPE mood AS ENUM ('sad', 'ok')",
                ("SELECT $1::mood, ARRAY[$1::mood]", ("ok",)),
                (ADD, (1,)),
                "DROP TYPE mood",
            ]
        ) == [[], [("ok", ["ok"])], [(2,)], []]


# Blocks


def test_inside_a_block_it_is_part_of_it(table: Face) -> None:
    with pytest.raises(ZeroDivisionError), table.transaction():  # noqa: PT012 - it is the whole block
        assert table.pipeline([(INSERT, (1,)), (INSERT, (2,)), "SELECT count(*) FROM t"])[2] == [(2,)]
        raise ZeroDivisionError
    assert numbers(table) is None
    with table.transaction():
        table.pipeline([(INSERT, (1,))])
        with pytest.raises(DivisionByZero), table.transaction():
            table.pipeline([(INSERT, (2,)), (DIVIDE, (0,))])
        with table.transaction():
            table.pipeline([(INSERT, (3,)), (INSERT, (4,))])
    assert numbers(table) == [1, 3, 4]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_known", [True, False])
def test_inside_a_block_the_rest_fails_after_an_error(table: Face, is_first: bool, is_known: bool) -> None:
    if is_known:
        table.pipeline([(ADD, (1,)), (DIVIDE, (1,)), (INSERT, (100,))])
    with pytest.raises(InFailedSqlTransaction), table.transaction():  # noqa: PT012 - it is the whole block
        if not is_first:
            table.query("SELECT 1")
        made = table.pipeline(
            [(ADD, (1,)), (DIVIDE, (0,)), (INSERT, (1,)), (ADD, (2,))], return_exceptions=True
        )
        assert made[0] == [(2,)]
        assert [type(each) for each in made[1:]] == [
            DivisionByZero,
            InFailedSqlTransaction,
            InFailedSqlTransaction,
        ]
    assert numbers(table) in (None, [100])


def test_an_unknown_table_in_the_middle_of_a_block_is_its_own_error(table: Face) -> None:
    """Describing it ahead of its turn would spoil the transaction for those before it."""
    with pytest.raises(InFailedSqlTransaction), table.transaction():  # noqa: PT012 - it is the whole block
        table.query("SELECT 1")
        made = table.pipeline(
            [("SELECT $1::int + 41", (1,)), ("SELECT $1::int FROM nope", (1,))], return_exceptions=True
        )
        assert made[0] == [(42,)]
        assert isinstance(made[1], UndefinedTable)


# Much of it


def test_very_many_statements_are_answered_in_order(face: Face) -> None:
    made = face.pipeline((ADD, (n,)) for n in range(100_000))
    assert made == [[(n + 1,)] for n in range(100_000)]


@pytest.mark.parametrize("is_known", [True, False])
def test_bytes_in_flight_are_bounded(open_face: OpenFace, url: str, is_known: bool) -> None:
    """A long pipeline goes out in pieces, and each is answered before the next one leaves."""
    sql = "SELECT length($1::text)"
    with Proxy.before(url) as proxy:
        face = open_face(proxy.url(url))
        if is_known:
            face.query(sql, "x")
        assert face.pipeline([(sql, ("x" * 1000,))] * 20_000) == [[(1000,)]] * 20_000
        # 64 KiB and one statement in each flight, at least this many.
        assert proxy.round_trips >= 20_000_000 // (66 * 1024)


def test_big_values_both_ways_do_not_block_each_other(face: Face) -> None:
    text = "x" * 1_000_000
    for _ in range(2):
        made = face.pipeline([("SELECT $1::text", (text,)) for _ in range(30)])
        assert all(each == [(text,)] for each in made)
        assert len(made) == 30


# How it ends early


@pytest.mark.parametrize("is_known", [True, False])
def test_a_timeout_in_the_middle_cancels_the_rest(table: Face, is_known: bool) -> None:
    sleep = "SELECT pg_sleep($1::float8)"
    if is_known:
        table.pipeline([(INSERT, (100,)), (sleep, (0,))])
    with pytest.raises(QueryTimeout):
        table.pipeline([(INSERT, (1,)), (sleep, (20,)), (sleep, (20,)), (INSERT, (2,))], timeout=0.5)
    assert table.query_val(ADD, 1) == 2
    assert table.pool_stats()["busy"] == 0
    assert 1 in numbers(table)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_is_none_is_refused(table: Face, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        table.pipeline([(INSERT, (1,))], timeout=timeout)
    assert numbers(table) is None


def test_a_timeout_inside_a_block_fails_the_block(table: Face) -> None:
    with pytest.raises(QueryTimeout), table.transaction():
        table.pipeline([(INSERT, (1,)), "SELECT pg_sleep(20)", (INSERT, (2,))], timeout=0.3)
    assert numbers(table) is None


async def test_cancelled_in_the_middle_it_leaves_the_connection_clean(url: str) -> None:
    async with Database(url, min_size=1, max_size=1) as db:
        await db.query_val(ADD, 1)
        for n in range(5):
            task = asyncio.create_task(db.pipeline([(ADD, (1,)), "SELECT pg_sleep(20)", (ADD, (2,))] * 3))
            await asyncio.sleep(0.02 * n)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await db.query_val(ADD, n) == n + 1
            assert db.pool_stats()["busy"] == 0


def test_the_connection_lost_in_the_middle(table: Face, url: str) -> None:
    def kill() -> None:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)'"
                " AND state = 'active' AND pid <> pg_backend_pid()"
            )

    table.pipeline([(INSERT, (100,)), (ADD, (1,))])
    killer = threading.Timer(0.4, kill)
    killer.start()
    made = table.pipeline(
        [(INSERT, (1,)), (ADD, (1,)), "SELECT pg_sleep(20)", (INSERT, (2,)), (ADD, (2,))],
        return_exceptions=True,
    )
    killer.join()
    assert made[:2] == [[], [(2,)]]
    assert all(isinstance(each, OperationalError) for each in made[2:])
    assert not isinstance(made[4], OutcomeUnknown)
    assert numbers(table) == [1, 100]


def test_the_line_cut_under_writes_says_what_nobody_can_know(open_face: OpenFace, url: str) -> None:
    with Proxy.before(url) as proxy:
        face = open_face(proxy.url(url))
        face.execute("CREATE TABLE t (a int PRIMARY KEY)")
        face.pipeline([(INSERT, (100,)), (ADD, (1,))])
        proxy.last_session.cut_in("to_frontend", 0)
        made = face.pipeline([(INSERT, (1,)), (ADD, (2,)), (INSERT, (2,))], return_exceptions=True)
        assert [isinstance(each, OutcomeUnknown) for each in made] == [True, False, True]
        assert all(isinstance(each, OperationalError) for each in made)
        assert face.query_val(ADD, 1) == 2


def test_a_dead_idle_connection_fails_no_pipeline(table: Face, url: str) -> None:
    for n in range(3):
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert table.pipeline([(INSERT, (n,)), (ADD, (n,))]) == [[], [(n + 1,)]]


@pytest.fixture
def db_threads(url: str) -> Iterator[SyncDatabase]:
    with SyncDatabase(url, min_size=1, max_size=2) as db:
        yield db


def test_many_threads_have_pipelines_of_their_own(db_threads: SyncDatabase) -> None:
    wrong: list[Any] = []

    def work(base: int) -> None:
        for n in range(30):
            made = db_threads.pipeline([(ADD, (base + k,)) for k in range(n)])
            if made != [[(base + k + 1,)] for k in range(n)]:
                wrong.append(made)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
