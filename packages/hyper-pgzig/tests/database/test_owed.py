"""What a native Connection sends in front of a statement, behind one, or by itself, and in which order.

The order is what a scripted backend has received; what it means is asked of a real server.
PostgreSQL docs: protocol-flow, "Extended Query" and "Pipelining".
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    DatabaseError,
    DataError,
    DivisionByZero,
    Error,
    InterfaceError,
    NoActiveSqlTransaction,
    UndefinedTable,
    _shape,
    _sync_io,
)
from hyperdjango.database._connect import Established, connect_steps
from hyperdjango.database._conninfo import parse
from hyperdjango.database._native import native
from pgkit import SIMPLE_SELECT, Answer, ScriptedBackend, messages, serve, startup
from pgkit.backend import Conversation
from pgkit.face import OpenFace
from pgkit.frontend import Close, Execute, Parse, Sync

SQL: Final = "SELECT n"
ROWS: Final = [(1,), (2,)]
DONE: Final = 1
FOREVER: Final = 20_000_000_000
EVER_QUICK: Final = 10**15


@contextmanager
def opened(url: str, statement_cache_size: int = 256) -> Iterator[Established]:
    steps = connect_steps(parse(url), native.TypeMap(), statement_cache_size=statement_cache_size)
    established = _sync_io.run(steps)
    try:
        yield established
    finally:
        established.close()


@pytest.fixture
def connection(url: str) -> Iterator["native.Connection"]:
    with opened(url) as established:
        yield established.connection


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with ScriptedBackend([*startup(), serve({SQL: SIMPLE_SELECT})]) as backend:
        yield backend


def submit(connection: "native.Connection", sql: str, *values: object) -> "native.Request":
    return connection.submit(sql, values, _shape.TUPLE, None, False, None)


def append(
    connection: "native.Connection", sql: str, *values: object, budget: int | None = None
) -> "native.Request":
    request = connection.append(sql, values, _shape.TUPLE, None, False, budget)
    assert request is not None
    return request


def finish(connection: "native.Connection") -> None:
    connection.push()
    assert connection.wait(FOREVER) == DONE
    assert not connection.busy


def ask(connection: "native.Connection", sql: str, *values: object) -> Any:
    request = submit(connection, sql, *values)
    finish(connection)
    return request.result()


def make_quick(connection: "native.Connection", sql: str, *values: object) -> None:
    """Run a text until it is known to be quick; on a busy machine that takes a while."""
    ends_at = time.monotonic() + 60
    is_quick = False
    while not is_quick:
        assert time.monotonic() < ends_at, f"never quick: {sql}"
        submit(connection, sql, *values)
        is_quick = connection.append(sql, values, _shape.TUPLE, None, False, EVER_QUICK) is not None
        finish(connection)


def order(conversation: Conversation) -> list[str]:
    """What was run, described and closed, with a bar for each Sync."""
    lines: list[str] = []
    names: dict[str, str] = {}
    last = ""
    for one in conversation.received:
        match one:
            case Parse():
                names[one.statement] = last = one.sql
            case Execute():
                lines.append(last)
            case Close():
                lines.append(f"close {names[one.name]}")
            case Sync():
                lines.append("|")
            case _:
                last = names[one.statement] if hasattr(one, "portal") and hasattr(one, "statement") else last
    return lines


# In front of a statement


def test_what_is_owed_goes_in_front_under_the_same_sync(backend: ScriptedBackend) -> None:
    with opened(backend.url()) as established:
        connection = established.connection
        ask(connection, SQL)
        connection.owe("BEGIN")
        connection.owe("SAVEPOINT a")
        assert connection.owed == 2
        assert ask(connection, SQL) == ROWS
        assert connection.owed == 0
        assert connection.transaction_status == "T"
    assert order(backend.conversations[0]) == ["|", SQL, "|", "BEGIN", "SAVEPOINT a", SQL, "|"]


def test_what_is_owed_goes_in_front_of_a_text_that_is_described_first(backend: ScriptedBackend) -> None:
    with opened(backend.url()) as established:
        established.connection.owe("BEGIN")
        assert ask(established.connection, SQL) == ROWS
    assert order(backend.conversations[0]) == ["BEGIN", "|", SQL, "|"]


def test_a_reset_has_a_sync_of_its_own_where_more_is_owed(backend: ScriptedBackend) -> None:
    """DISCARD ALL runs outside of any transaction, a BEGIN with modes where nothing has run in it."""
    with opened(backend.url()) as established:
        connection = established.connection
        connection.owe("DISCARD ALL")
        assert ask(connection, SQL) == ROWS
        connection.owe("DISCARD ALL")
        connection.owe("BEGIN ISOLATION LEVEL SERIALIZABLE")
        connection.owe("SAVEPOINT a")
        assert ask(connection, SQL) == ROWS
        assert connection.transaction_status == "T"
    assert order(backend.conversations[0]) == [
        *("DISCARD ALL", "|", SQL, "|"),
        *("DISCARD ALL", "|", "BEGIN ISOLATION LEVEL SERIALIZABLE", "SAVEPOINT a", SQL, "|"),
    ]


def test_a_reset_forgets_what_was_prepared(connection: "native.Connection") -> None:
    for n in range(5):
        ask(connection, f"SELECT {n}")
    assert connection.statement_count == 5
    connection.owe("DISCARD ALL")
    assert ask(connection, "SELECT 1") == [(1,)]
    assert connection.statement_count == 1
    assert ask(connection, "SELECT count(*) FROM pg_prepared_statements") == [(2,)]


def test_a_batch_and_an_empty_text_have_it_in_front_too(connection: "native.Connection") -> None:
    connection.owe("BEGIN")
    request = connection.submit("SELECT $1::int", ((1,), (2,)), _shape.DISCARD, None, False, 0)
    finish(connection)
    assert request.affected == 2
    assert connection.transaction_status == "T"
    connection.owe("COMMIT")
    assert ask(connection, "") == []
    assert connection.transaction_status == "I"


def test_the_simple_protocol_has_nothing_in_front(connection: "native.Connection") -> None:
    connection.owe("BEGIN")
    with pytest.raises(InterfaceError, match="simple protocol"):
        connection.submit("SELECT 1", None, _shape.DISCARD, None, False, None)
    assert connection.owed == 1
    assert not connection.busy
    assert ask(connection, "SELECT 1") == [(1,)]


def test_one_that_fails_keeps_the_statement_from_running(connection: "native.Connection") -> None:
    ask(connection, "CREATE TABLE t (a int)")
    insert = "INSERT INTO t VALUES (1)"
    ask(connection, insert)
    for _ in range(2):  # known, and prepared
        connection.owe("SAVEPOINT outside")
        request = submit(connection, insert)
        finish(connection)
        with pytest.raises(NoActiveSqlTransaction):
            request.result()
        assert connection.owed == 0
        assert connection.is_clean
    connection.owe("BEGIN")
    connection.owe("ROLLBACK TO SAVEPOINT nope")
    connection.owe("SELECT 1/0")
    request = submit(connection, insert)
    finish(connection)
    with pytest.raises(DatabaseError) as caught:
        request.result()
    assert caught.value.sqlstate == "3B001"
    connection.owe("ROLLBACK")
    assert ask(connection, "SELECT count(*) FROM t") == [(1,)]


def test_a_statement_that_fails_has_had_it_all_run(connection: "native.Connection") -> None:
    connection.owe("BEGIN")
    connection.owe("SAVEPOINT a")
    request = submit(connection, "SELECT 1/$1::int", 0)
    finish(connection)
    with pytest.raises(DivisionByZero):
        request.result()
    assert connection.transaction_status == "E"
    connection.owe("ROLLBACK TO SAVEPOINT a")
    assert ask(connection, "SELECT 1") == [(1,)]


def test_a_value_that_does_not_fit_leaves_it_owed(connection: "native.Connection") -> None:
    ask(connection, "SELECT $1::int", 1)
    connection.owe("BEGIN")
    with pytest.raises(DataError):
        submit(connection, "SELECT $1::int", 2**40)
    assert connection.owed == 1
    assert not connection.busy
    assert not connection.wants_write
    assert ask(connection, "SELECT $1::int", 1) == [(1,)]
    assert connection.transaction_status == "T"


def test_with_a_reset_owed_the_session_is_clean_for_the_next(connection: "native.Connection") -> None:
    assert connection.is_clean
    ask(connection, "SET work_mem = '77kB'")
    assert (connection.session_changed, connection.is_clean) == (True, False)
    connection.owe("DISCARD ALL")
    assert (connection.session_changed, connection.is_clean) == (False, True)
    connection.owe("BEGIN")
    assert (connection.session_changed, connection.is_clean) == (False, False)
    assert ask(connection, "SHOW work_mem") != [("77kB",)]


def test_a_session_that_is_settled_is_not_reset(connection: "native.Connection") -> None:
    ask(connection, "SET work_mem = '77kB'")
    connection.settle()
    assert not connection.session_changed
    assert connection.is_clean
    assert ask(connection, "SHOW work_mem") == [("77kB",)]


# Taken back


def test_the_last_one_can_be_taken_back(connection: "native.Connection") -> None:
    connection.owe("BEGIN")
    connection.owe("SAVEPOINT a")
    assert not connection.disown("BEGIN")
    assert not connection.disown("savepoint a")
    assert connection.disown("SAVEPOINT a")
    assert not connection.disown("SAVEPOINT a")
    assert connection.disown("BEGIN")
    assert not connection.disown("BEGIN")
    assert connection.owed == 0
    ask(connection, "SELECT 1")
    assert connection.transaction_status == "I"


def test_all_but_a_reset_can_be_taken_back(connection: "native.Connection") -> None:
    connection.disown(None)
    connection.owe("DISCARD ALL")
    connection.owe("BEGIN")
    connection.owe("SAVEPOINT a")
    assert connection.disown(None)
    assert connection.owed == 1
    assert connection.disown(None)
    assert connection.owed == 1
    assert connection.is_clean


# By itself


def test_what_is_owed_can_be_run_by_itself(backend: ScriptedBackend) -> None:
    with opened(backend.url()) as established:
        connection = established.connection
        connection.owe("DISCARD ALL")
        connection.owe("BEGIN")
        connection.owe("COMMIT")
        request = connection.run_owed()
        finish(connection)
        request.result()
        assert request.tag == "COMMIT"
        assert connection.owed == 0
    assert order(backend.conversations[0]) == ["DISCARD ALL", "|", "BEGIN", "COMMIT", "|"]


def test_rows_of_what_is_run_by_itself_are_counted_and_dropped(connection: "native.Connection") -> None:
    for condition, count in (("1 = 1", 1), ("1 = 2", 0)):
        connection.owe("BEGIN")
        connection.owe(f"SELECT WHERE {condition}")
        connection.owe("COMMIT")
        request = connection.run_owed()
        finish(connection)
        request.result()
        assert (request.tag, request.affected) == ("COMMIT", count)
        assert connection.is_clean


def test_run_by_itself_it_says_what_failed(connection: "native.Connection") -> None:
    connection.owe("SAVEPOINT outside")
    connection.owe("BEGIN")
    request = connection.run_owed()
    finish(connection)
    with pytest.raises(NoActiveSqlTransaction):
        request.result()
    assert connection.transaction_status == "I"
    assert connection.is_clean


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.run_owed(), InterfaceError),
        (lambda c: c.run_owed(1), TypeError),
        (lambda c: c.owe(), TypeError),
        (lambda c: c.owe(5), TypeError),
        (lambda c: c.owe(None), TypeError),
        (lambda c: c.owe(b"BEGIN"), TypeError),
        (lambda c: c.owe("BEGIN\0"), InterfaceError),
        (lambda c: c.owe("\udc80"), UnicodeEncodeError),
        (lambda c: c.disown(), TypeError),
        (lambda c: c.disown(5), TypeError),
        (lambda c: c.settle(1), TypeError),
        (lambda c: c.append("SELECT 1", (), 2, None, False), TypeError),
        (lambda c: c.append(5, (), 2, None, False, None), TypeError),
        (lambda c: c.append("SELECT 1", [], 2, None, False, None), TypeError),
        (lambda c: c.append("SELECT 1", None, 2, None, False, None), TypeError),
        (lambda c: c.append("SELECT 1", (), 2, None, False, -1), ValueError),
        (lambda c: c.append("SELECT 1", (), 2, None, False, "x"), TypeError),
        (lambda c: c.append("SELECT 1", (), 2, None, False, 2**70), OverflowError),
        (lambda c: c.prepare(), TypeError),
        (lambda c: c.prepare(5), TypeError),
        (lambda c: c.prepare("SELECT 1\0"), DataError),
        (lambda c: c.push(1), TypeError),
        (lambda c: c.take_finished(1), TypeError),
        (lambda c: c.is_stuck(), TypeError),
        (lambda c: c.is_stuck("x"), TypeError),
        (lambda c: c.is_stuck(-1), ValueError),
        (lambda c: c.is_stuck(2**70), OverflowError),
    ],
)
def test_misuse_is_an_exception(
    connection: "native.Connection", call: Callable[[Any], object], error: type[Exception]
) -> None:
    for known in (False, True):
        if known:
            ask(connection, "SELECT 1")
        with pytest.raises(error):
            call(connection)
        assert not connection.busy
        assert connection.owed == 0
    assert ask(connection, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("shape", "target", "error"), [(99, None, ValueError), ("x", None, TypeError), (4, 7, TypeError)]
)
def test_append_refuses_what_it_cannot_use(
    connection: "native.Connection", shape: Any, target: Any, error: type[Exception]
) -> None:
    ask(connection, "SELECT 1")
    first = submit(connection, "SELECT 1")
    with pytest.raises(error):
        connection.append("SELECT 1", (), shape, target, False, None)
    assert connection.depth == 1
    finish(connection)
    assert first.result() == [(1,)]


def test_a_reset_behind_others_is_refused(connection: "native.Connection") -> None:
    connection.owe("BEGIN")
    with pytest.raises(InterfaceError, match="in front"):
        connection.owe("DISCARD ALL")
    assert connection.owed == 1


def test_so_many_commands_may_be_owed_and_no_more(connection: "native.Connection") -> None:
    connection.owe("BEGIN")
    for n in range(1023):
        connection.owe(f"SAVEPOINT s{n}")
    with pytest.raises(InterfaceError, match="too many"):
        connection.owe("SAVEPOINT one_more")
    assert ask(connection, "SELECT 1") == [(1,)]
    connection.owe("ROLLBACK TO SAVEPOINT s1022")
    connection.owe("ROLLBACK")
    assert ask(connection, "SELECT 1") == [(1,)]
    assert connection.transaction_status == "I"


def test_a_connection_that_is_closed_owes_to_nobody(url: str) -> None:
    with opened(url) as established:
        connection = established.connection
        connection.owe("BEGIN")
        connection.close()
        calls: list[Callable[[], object]] = [
            lambda: submit(connection, "SELECT 1"),
            connection.run_owed,
            lambda: connection.prepare("SELECT 1"),
        ]
        for call in calls:
            with pytest.raises(Error):
                call()
        assert connection.append("SELECT 1", (), _shape.TUPLE, None, False, None) is None
        connection.push()
        assert connection.take_finished() is None
        assert not connection.is_stuck(0)


# A reset that fails


@pytest.mark.parametrize("call", ["query", "execute", "execute_many"])
def test_a_reset_that_fails_closes_the_connection_and_the_call_goes_elsewhere(
    open_face: OpenFace, call: str
) -> None:
    refuses = Answer(error=messages.error_response("55000", "cannot discard now"))
    answers = {SQL: SIMPLE_SELECT, "INSERT": Answer(tag="INSERT 0 1")}
    with ScriptedBackend(
        [*startup(), serve({**answers, "DISCARD ALL": refuses})],
        [*startup(), serve(answers)],
        frontend_may_leave=True,
    ) as backend:
        face = open_face(backend.url())
        face.query(SQL)
        face.execute("INSERT")
        face.execute("SET x = 1")
        if call == "query":
            assert face.query(SQL) == [{"n": 1}, {"n": 2}]
        elif call == "execute":
            assert face.execute("INSERT") == "INSERT 1"
        else:
            assert face.execute_many("INSERT", [(), ()]) == "INSERT 2"
        assert len(backend.conversations) == 2
        assert "DISCARD ALL" in order(backend.conversations[0])
        assert face.query(SQL) == [{"n": 1}, {"n": 2}]
        face.disconnect()


# Behind a statement


def test_what_is_appended_leaves_when_it_is_pushed(connection: "native.Connection") -> None:
    add = "SELECT $1::int + 1"
    ask(connection, add, 1)
    first = submit(connection, add, 1)
    rest = [append(connection, add, n) for n in range(2, 20)]
    assert connection.depth == 19
    assert connection.wants_write
    finish(connection)
    assert [each.result() for each in (first, *rest)] == [[(n + 1,)] for n in range(1, 20)]
    assert connection.depth == 0
    connection.push()


def test_errors_of_those_behind_each_other_stay_apart(connection: "native.Connection") -> None:
    divide = "SELECT 10 / $1::int"
    ask(connection, divide, 1)
    made = [submit(connection, divide, 0), *(append(connection, divide, n % 3) for n in range(30))]
    finish(connection)
    for request, n in zip(made, [0, *(n % 3 for n in range(30))], strict=True):
        if n:
            assert request.result() == [(10 // n,)]
        else:
            with pytest.raises(DivisionByZero):
                request.result()


def test_with_a_budget_only_quick_reads_go_behind_each_other(connection: "native.Connection") -> None:
    add, insert = "SELECT $1::int + 1", "INSERT INTO t VALUES (1)"
    ask(connection, "CREATE TABLE t (a int)")
    for _ in range(10):
        ask(connection, insert)
    make_quick(connection, add, 1)

    def follows(sql: str, *values: object, budget: int | None = EVER_QUICK) -> bool:
        return connection.append(sql, values, _shape.TUPLE, None, False, budget) is not None

    assert not follows(add, 1)  # behind nothing
    submit(connection, add, 1)
    assert follows(add, 1)
    assert not follows(add, 1, budget=0)
    assert not follows(insert)
    assert not follows("SELECT 'unknown'")
    assert not follows("SELECT 'unknown'", budget=None)
    assert follows(add, 1)
    assert follows(insert, budget=None)  # in order: the caller's own
    with pytest.raises(DataError):
        follows(add, 2**40)
    finish(connection)
    submit(connection, insert)
    assert not follows(add, 1)
    assert follows(add, 1, budget=None)
    finish(connection)
    submit(connection, "SELECT 'unknown'")
    assert not follows(add, 1)
    assert not follows(add, 1, budget=None)
    finish(connection)


def test_nothing_goes_behind_a_statement_with_something_owed_in_order(
    connection: "native.Connection",
) -> None:
    ask(connection, "SELECT 1")
    submit(connection, "SELECT 1")
    connection.owe("BEGIN")
    assert connection.append("SELECT 1", (), _shape.TUPLE, None, False, None) is None
    finish(connection)
    assert ask(connection, "SELECT 1") == [(1,)]
    assert connection.transaction_status == "T"


def test_depth_and_bytes_are_bounded(connection: "native.Connection") -> None:
    length = "SELECT length($1::text)"
    make_quick(connection, length, "x")
    submit(connection, length, "x")
    count = 1
    while connection.append(length, ("x",), _shape.TUPLE, None, False, EVER_QUICK) is not None:
        count += 1
    assert 16 <= count == connection.depth <= 64
    finish(connection)
    make_quick(connection, length, "x")
    submit(connection, length, "x" * 20_000)
    count = 1
    while connection.append(length, ("x" * 20_000,), _shape.TUPLE, None, False, EVER_QUICK) is not None:
        count += 1
    assert count == 4
    finish(connection)


def test_a_text_is_learned_without_being_run(connection: "native.Connection") -> None:
    ask(connection, "CREATE TABLE t (a int)")
    insert = "INSERT INTO t VALUES (7)"
    made = [connection.prepare(sql) for sql in (insert, "SELECT * FROM t", "SELECT * FROM nope", "SELEC")]
    assert not connection.knows(insert)
    finish(connection)
    assert all(each.done for each in made)
    assert [connection.knows(sql) for sql in (insert, "SELECT * FROM t", "SELECT * FROM nope")] == [
        *(True, True, False),
    ]
    with pytest.raises(UndefinedTable):
        made[2].result()
    assert ask(connection, "SELECT * FROM t") == []
    assert connection.is_clean
    submit(connection, insert)
    append(connection, insert)
    finish(connection)
    assert ask(connection, "SELECT * FROM t") == [(7,), (7,)]


def test_a_text_whose_types_are_met_is_not_run_either(open_face: OpenFace, url: str) -> None:
    """Once its types are known it is learned, and that is all."""
    insert = "INSERT INTO t VALUES ('ok') RETURNING m"
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (m mood)")
        face = open_face(url)
        made = face.pipeline([insert, "SELECT count(*) FROM t", "SELECT m FROM t"])
        assert made == [[("ok",)], [(1,)], [("ok",)]]
        assert face.query_val("SELECT count(*) FROM t") == 1


# Who is done, and who is stuck


def test_those_with_a_waiter_are_told_once_in_order(connection: "native.Connection") -> None:
    ask(connection, "SELECT $1::int", 1)
    made = [submit(connection, "SELECT $1::int", 0)]
    made += [append(connection, "SELECT $1::int", n) for n in range(1, 6)]
    for n in (0, 2, 3, 5):
        made[n].waiter = n
    assert connection.take_finished() is None
    finish(connection)
    finished = connection.take_finished()
    assert finished is not None
    assert [each.waiter for each in finished] == [0, 2, 3, 5]
    assert [each.result() for each in finished] == [[(0,)], [(2,)], [(3,)], [(5,)]]
    assert connection.take_finished() is None


def test_one_that_runs_for_long_is_stuck(connection: "native.Connection") -> None:
    sleep = "SELECT pg_sleep($1::float8)::text"
    for _ in range(10):
        ask(connection, sleep, 0.0)
    assert not connection.is_stuck(0)
    submit(connection, sleep, 0.5)
    assert connection.append(sleep, (0.0,), _shape.TUPLE, None, False, EVER_QUICK) is not None
    assert not connection.is_stuck(60 * 10**9)
    time.sleep(0.1)
    assert connection.is_stuck(5_000_000)
    assert connection.append(sleep, (0.0,), _shape.TUPLE, None, False, EVER_QUICK) is None
    finish(connection)
    # It has to prove itself again.
    submit(connection, sleep, 0.0)
    assert connection.append(sleep, (0.0,), _shape.TUPLE, None, False, EVER_QUICK) is None
    finish(connection)


def test_a_text_that_was_stuck_once_is_trusted_again_soon_however_often_it_was_looked_at(
    connection: "native.Connection",
) -> None:
    sleep = "SELECT pg_sleep($1::float8)::text"
    for _ in range(10):
        ask(connection, sleep, 0.0)
    submit(connection, sleep, 0.3)
    time.sleep(0.1)
    for _ in range(100):
        assert connection.is_stuck(5_000_000)
    finish(connection)

    def is_trusted() -> bool:
        submit(connection, sleep, 0.0)
        behind = connection.append(sleep, (0.0,), _shape.TUPLE, None, False, EVER_QUICK)
        finish(connection)
        return behind is not None

    # A machine that is busy with others may make it look slow for a while, but not for thousands of runs.
    runs = 0
    while not is_trusted():
        runs += 1
        assert runs < 1000


# Names of statements


def test_names_begin_with_what_no_other_connection_has_and_are_never_used_twice(open_face: OpenFace) -> None:
    answers = {f"SELECT {n}": SIMPLE_SELECT for n in range(20)}
    with ScriptedBackend([*startup(), serve(answers)]) as backend:
        face = open_face(backend.url(), 2, 2, statement_cache_size=4)
        for _ in range(3):
            for sql in answers:
                face.query(sql)
            face.pipeline(list(answers))
        face.disconnect()
        names = [
            [one.statement for one in talk.received if isinstance(one, Parse) and one.statement]
            for talk in backend.conversations
        ]
    everyone = [name for each in names for name in each]
    assert len(everyone) == len(set(everyone)) >= 20
    for each in names:
        assert len({name.rpartition("_")[0] for name in each}) <= 1
        assert all(len(name.rpartition("_")[0]) > 5 for name in each)


def test_the_least_recently_used_leave_with_several_under_way(url: str) -> None:
    with opened(url, statement_cache_size=3) as established:
        connection = established.connection
        texts = [f"SELECT $1::int + {n}" for n in range(10)]
        for sql in texts:
            ask(connection, sql, 1)
        for _ in range(20):
            made = [submit(connection, texts[0], 1), *(append(connection, sql, 1) for sql in texts[1:])]
            finish(connection)
            assert [each.result() for each in made] == [[(n + 1,)] for n in range(10)]
            assert connection.statement_count <= 3
        (count,) = ask(connection, "SELECT count(*) FROM pg_prepared_statements")[0]
        assert count <= 5
        assert connection.is_clean


def test_a_statement_that_leaves_while_it_is_under_way_answers_all_the_same(url: str) -> None:
    with opened(url, statement_cache_size=1) as established:
        connection = established.connection
        one, two = "SELECT $1::int", "SELECT $1::int * 2"
        ask(connection, one, 1)
        ask(connection, two, 1)
        for _ in range(20):
            made = [submit(connection, one, 1)]
            for n in range(10):
                request = connection.append((two, one)[n % 2], (n,), _shape.TUPLE, None, False, None)
                if request is None:  # it waits for its own Parse to be confirmed
                    finish(connection)
                    request = submit(connection, (two, one)[n % 2], n)
                made.append(request)
            finish(connection)
            assert [each.result() for each in made[1:]] == [[(n if n % 2 else 2 * n,)] for n in range(10)]
