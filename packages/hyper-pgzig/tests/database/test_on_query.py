"""What `on_query` hooks are told: one event for each call, however it ends, through both faces."""

import asyncio
import contextvars
import gc
import inspect
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any, Final

import pytest
from cancel_points import cancel_at
from hyperdjango.database import (
    AcquireTimeout,
    Database,
    DatabaseError,
    DataError,
    DivisionByZero,
    InFailedSqlTransaction,
    NotConnected,
    QueryEvent,
    QueryTimeout,
    Route,
    SyncDatabase,
    UndefinedTable,
    UniqueViolation,
)
from hyperdjango.database._notifications import NOTIFY_SQL
from hyperdjango.database._watching import NOBODY, silently, watched
from pgkit.face import Face
from pgkit.until import until

MARK: Final = "a value that nobody is to be told"


@pytest.fixture
def watched_face(face: Face) -> tuple[Face, list[QueryEvent]]:
    events: list[QueryEvent] = []
    face.execute("CREATE TABLE t (id int4 PRIMARY KEY, label text)")
    face.on_query(events.append)
    return face, events


# Every public call, and what it reports.


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes:
        run: Makes it.
        covers: The method of Database that it is there for.
        reports: Call, text, rows, tag, values and batch size of each event.
    """

    run: Callable[[Any], Any]
    covers: str
    reports: tuple[tuple[str, str, int, str, int, int | None], ...]


def block(face: Any) -> None:
    with face.transaction():
        pass


def nested(face: Any) -> None:
    with face.transaction(), face.transaction():
        face.execute("DELETE FROM t")


def failing(face: Any) -> None:
    with pytest.raises(KeyError), face.transaction(), face.transaction():  # noqa: PT012 - it is the whole block that raises
        face.execute("DELETE FROM t")
        raise KeyError


def run(face: Any) -> Any:
    async def nothing() -> int:
        return 1

    return face.run(nothing if hasattr(face, "_runner") else lambda: 1)


def everything_of(face: Any, call: str, *args: Any, **options: Any) -> list[Any]:
    """Read all that a call yields."""
    if not hasattr(face, "_runner"):
        return list(getattr(face, call)(*args, **options))

    async def read() -> list[Any]:
        return [item async for item in getattr(face._database, call)(*args, **options)]

    return face._runner.run(read())  # type: ignore[no-any-return]


def begin_of(face: Any, call: str, *args: Any, **options: Any) -> Any:
    """Read the first that a call yields, and close it."""
    if not hasattr(face, "_runner"):
        with closing(getattr(face, call)(*args, **options)) as items:
            return next(items)

    async def read() -> Any:
        async with aclosing(getattr(face._database, call)(*args, **options)) as items:
            return await anext(items)

    return face._runner.run(read())


def streamed_in_a_block(face: Any) -> None:
    with face.transaction():
        everything_of(face, "stream", NUMBERS, 7, chunk=3)


NUMBERS: Final = "SELECT n FROM generate_series(1, $1::int4) AS n"
NUMBERS_OUT: Final = "COPY (SELECT n FROM generate_series(1, 7) AS n) TO STDOUT"
INSERT: Final = "INSERT INTO t VALUES ($1, $2)"
ONE: Final = "SELECT $1::int4 AS one"
BEGIN: Final = ("transaction", "BEGIN", 0, "", 0, None)
COMMIT: Final = ("transaction", "COMMIT", 0, "", 0, None)
OID: Final = "SELECT $1::pg_catalog.regtype::pg_catalog.oid"

CASES: Final[dict[str, Case]] = {
    "query": Case(lambda f: f.query(ONE, 5), "query", (("query", ONE, 1, "SELECT 1", 1, None),)),
    "query of no rows": Case(
        lambda f: f.query("SELECT * FROM t"), "query", (("query", "SELECT * FROM t", 0, "SELECT 0", 0, None),)
    ),
    "query into tuples": Case(
        lambda f: f.query(ONE, 5, into=tuple), "query", (("query", ONE, 1, "SELECT 1", 1, None),)
    ),
    "query_one": Case(
        lambda f: f.query_one("SELECT generate_series(1, 3)"),
        "query_one",
        (("query_one", "SELECT generate_series(1, 3)", 3, "SELECT 3", 0, None),),
    ),
    "query_val": Case(
        lambda f: f.query_val(ONE, 5), "query_val", (("query_val", ONE, 1, "SELECT 1", 1, None),)
    ),
    "query_json": Case(
        lambda f: f.query_json(ONE, 5), "query_json", (("query_json", ONE, 1, "SELECT 1", 1, None),)
    ),
    "query_arrow": Case(
        lambda f: f.query_arrow(ONE, 5), "query_arrow", (("query_arrow", ONE, 1, "SELECT 1", 1, None),)
    ),
    "ingest_arrow": Case(
        lambda f: f.ingest_arrow("t", f.query_arrow("SELECT 1 AS id, 'x' AS label")),
        "ingest_arrow",
        (
            ("query_arrow", "SELECT 1 AS id, 'x' AS label", 1, "SELECT 1", 0, None),
            ("ingest_arrow", "COPY t FROM STDIN", 1, "COPY 1", 0, None),
        ),
    ),
    "notify": Case(
        lambda f: f.notify("here", "x"),
        "notify",
        (("notify", NOTIFY_SQL, 1, "SELECT 1", 2, None),),
    ),
    "execute": Case(
        lambda f: f.execute(INSERT, 1, "x"), "execute", (("execute", INSERT, 1, "INSERT 0 1", 2, None),)
    ),
    "execute of a script": Case(
        lambda f: f.execute("SELECT 1; DELETE FROM t"),
        "execute",
        (("execute", "SELECT 1; DELETE FROM t", 0, "DELETE 0", 0, None),),
    ),
    "execute_many": Case(
        lambda f: f.execute_many(INSERT, [(1, "x"), (2, "y")]),
        "execute_many",
        (("execute_many", INSERT, 2, "INSERT 0 1", 2, 2),),
    ),
    "execute_many of several batches": Case(
        lambda f: f.execute_many(INSERT, [(n, "x") for n in range(1100)]),
        "execute_many",
        (("execute_many", INSERT, 1100, "INSERT 0 1", 2, 1100),),
    ),
    "execute_many of nothing": Case(
        lambda f: f.execute_many(INSERT, []), "execute_many", (("execute_many", INSERT, 0, "", 0, 0),)
    ),
    "pipeline": Case(
        lambda f: f.pipeline([(ONE, (5,)), "SELECT 1", "SELECT 1"]),
        "pipeline",
        (("pipeline", f"{ONE}; SELECT 1", 3, "SELECT 1", 1, 3),),
    ),
    "execute of a COPY": Case(
        lambda f: f.execute("COPY t FROM STDIN", "1\tx\n2\ty\n"),
        "execute",
        (("execute", "COPY t FROM STDIN", 2, "COPY 2", 0, None),),
    ),
    "copy_records": Case(
        lambda f: f.copy_records("t", [(1, "x"), (2, "y")]),
        "copy_records",
        (("copy_records", "COPY t FROM STDIN", 2, "COPY 2", 0, None),),
    ),
    "copy_out": Case(
        lambda f: everything_of(f, "copy_out", NUMBERS_OUT),
        "copy_out",
        (("copy_out", NUMBERS_OUT, 7, "COPY 7", 0, None),),
    ),
    "stream": Case(
        lambda f: everything_of(f, "stream", NUMBERS, 7, chunk=3),
        "stream",
        (("stream", NUMBERS, 7, "SELECT 1", 1, None),),
    ),
    "stream that is left early": Case(
        lambda f: begin_of(f, "stream", NUMBERS, 7, chunk=3),
        "stream",
        (("stream", NUMBERS, 3, "", 1, None),),
    ),
    "stream in a block": Case(
        streamed_in_a_block,
        "stream",
        (BEGIN, ("stream", NUMBERS, 7, "SELECT 1", 1, None), COMMIT),
    ),
    "register_codec": Case(
        lambda f: f.register_codec("box", encode=str, decode=str),
        "register_codec",
        (("register_codec", "", 1, "SELECT 1", 1, None),),
    ),
    "explain": Case(lambda f: f.explain(ONE, 5), "explain", (("explain", ONE, 0, "EXPLAIN", 1, None),)),
    "explain that runs it": Case(
        lambda f: f.explain(ONE, 5, analyze=True), "explain", (("explain", ONE, 0, "EXPLAIN", 1, None),)
    ),
    "transaction": Case(block, "transaction", (BEGIN, COMMIT)),
    "nested blocks": Case(
        nested,
        "transaction",
        (
            BEGIN,
            ("transaction", "SAVEPOINT", 0, "", 0, None),
            ("execute", "DELETE FROM t", 0, "DELETE 0", 0, None),
            ("transaction", "RELEASE SAVEPOINT", 0, "", 0, None),
            COMMIT,
        ),
    ),
    "nested blocks that fail": Case(
        failing,
        "transaction",
        (
            BEGIN,
            ("transaction", "SAVEPOINT", 0, "", 0, None),
            ("execute", "DELETE FROM t", 0, "DELETE 0", 0, None),
            ("transaction", "ROLLBACK TO SAVEPOINT", 0, "", 0, None),
            ("transaction", "ROLLBACK", 0, "", 0, None),
        ),
    ),
    "run": Case(run, "run", (BEGIN, COMMIT)),
}
SILENT: Final = frozenset({"connect", "disconnect"})
"""What opens and closes the pool says nothing."""


def shown(event: QueryEvent) -> tuple[str, str, int, str, int, int | None]:
    sql = "" if event.call == "register_codec" else event.sql
    return event.call, sql, event.rows, event.tag, event.parameters_count, event.batch_size


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_call_reports_what_it_did_once(watched_face: tuple[Face, list[QueryEvent]], case: Case) -> None:
    face, events = watched_face
    case.run(face)
    assert tuple(map(shown, events)) == case.reports
    assert all(event.error is None for event in events)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_call_works_the_same_where_nobody_watches(
    watched_face: tuple[Face, list[QueryEvent]], case: Case
) -> None:
    face, events = watched_face
    face._pool.watchers = ()
    case.run(face)
    assert events == []
    assert face.query_val("SELECT 1") == 1


def test_no_public_call_is_left_out() -> None:
    found = {
        name
        for name, each in inspect.getmembers(Database)
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each))
    }
    # What these return is awaited or read.
    found |= {"transaction", "copy_out"}
    assert {case.covers for case in CASES.values()} >= found - SILENT


# What stands in an event.


def test_an_event_says_when_where_and_how_long(watched_face: tuple[Face, list[QueryEvent]], url: str) -> None:
    face, events = watched_face
    before = time.time()
    face.query("SELECT pg_sleep(0.05)")
    after = time.time()
    (event,) = events
    assert before <= event.started <= after
    assert 0.05 <= event.duration <= after - before + 0.01
    assert 0 <= event.wait <= event.duration
    assert event.operation == "SELECT"
    route = event.route
    parameters = face._pool.parameters
    assert (route.host, route.port, route.dbname) == (
        parameters.hosts[0].name or parameters.hosts[0].address,
        parameters.hosts[0].port,
        parameters.dbname,
    )
    assert str(route).endswith(f":{route.port}/{route.dbname}")
    assert not event.in_transaction
    with pytest.raises(FrozenInstanceError):
        event.sql = "x"  # type: ignore[misc]


def test_the_alias_stands_in_the_route_of_both_faces(url: str) -> None:
    events: list[QueryEvent] = []
    with SyncDatabase(url, 1, 1) as db:
        db.alias = "replica"
        db.on_query(events.append)
        db.query("SELECT 1")
    assert events[0].route.alias == "replica"
    assert str(events[0].route).startswith("replica (")
    main = Database(url)
    main.alias = "main"
    assert main.sync.alias == "main"


def test_a_route_with_an_ipv6_address_can_be_read() -> None:
    assert str(Route("::1", 5432, "shop")) == "[::1]:5432/shop"
    assert Route("/run/postgresql", 5432, "shop").is_unix
    assert not Route("localhost", 5432, "shop").is_unix


def test_of_several_hosts_the_route_names_the_one_that_answered(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db:
        port = db._pool.parameters.hosts[0].port
        host = db._pool.parameters.hosts[0].name
    events: list[QueryEvent] = []
    with SyncDatabase(url, 1, 1, host=f"127.0.0.1,{host}", port=f"1,{port}") as db:
        db.on_query(events.append)
        db.query("SELECT 1")
        with db.transaction():
            db.query("SELECT 1")
    assert {(event.route.host, event.route.port) for event in events} == {(host, port)}


def test_calls_in_a_block_say_so(watched_face: tuple[Face, list[QueryEvent]]) -> None:
    face, events = watched_face
    with face.transaction():
        face.query_val("SELECT 1")
        face.pipeline(["SELECT 1"])
        face.execute_many(INSERT, [(1, "x")])
    face.query_val("SELECT 1")
    assert [(event.call, event.sql, event.in_transaction) for event in events] == [
        ("transaction", "BEGIN", False),
        ("query_val", "SELECT 1", True),
        ("pipeline", "SELECT 1", True),
        ("execute_many", INSERT, True),
        ("transaction", "COMMIT", True),
        ("query_val", "SELECT 1", False),
    ]


def test_values_are_nowhere_in_an_event(watched_face: tuple[Face, list[QueryEvent]]) -> None:
    face, events = watched_face
    face.query_val("SELECT $1::text", MARK)
    face.execute(INSERT, 1, MARK)
    face.execute_many(INSERT, [(2, MARK)])
    face.pipeline([("SELECT $1::text", (MARK,))])
    with pytest.raises(DataError):
        face.query_val("SELECT $1::int4", MARK)
    assert len(events) == 5
    for event in events[:4]:
        assert MARK not in "".join(repr(getattr(event, field.name)) for field in fields(event))


# How calls end.


@pytest.mark.parametrize(
    ("call", "sql", "kind"),
    [
        ("query", "SELECT * FROM nothing", UndefinedTable),
        ("query_one", "SELECT 1/0", DivisionByZero),
        ("query_val", "SELECT 1/(5 - n) FROM generate_series(1, 9) n", DivisionByZero),
        ("execute", "SELECT 1; SELECT 1/0", DivisionByZero),
    ],
)
def test_an_error_is_reported_and_raised(
    watched_face: tuple[Face, list[QueryEvent]], call: str, sql: str, kind: type[DatabaseError]
) -> None:
    face, events = watched_face
    with pytest.raises(kind) as raised:
        getattr(face, call)(sql)
    assert [(event.call, event.sql) for event in events] == [(call, sql)]
    assert events[0].error is raised.value


def test_a_value_that_does_not_fit_is_reported(watched_face: tuple[Face, list[QueryEvent]]) -> None:
    face, events = watched_face
    with pytest.raises(DataError):
        face.query("SELECT $1::int4", 2**40)
    assert [type(event.error) for event in events] == [DataError]


def test_an_error_of_a_set_is_reported(watched_face: tuple[Face, list[QueryEvent]]) -> None:
    face, events = watched_face
    with pytest.raises(UniqueViolation):
        face.execute_many(INSERT, [(1, "x"), (1, "x")])
    assert [(event.call, type(event.error)) for event in events] == [("execute_many", UniqueViolation)]


def test_an_error_of_a_row_source_is_reported(watched_face: tuple[Face, list[QueryEvent]]) -> None:
    face, events = watched_face

    def rows() -> Iterator[tuple[int, str]]:
        yield (1, "x")
        raise KeyError("no more")

    with pytest.raises(KeyError):
        face.execute_many(INSERT, rows())
    assert [(event.call, type(event.error)) for event in events] == [("execute_many", KeyError)]


def test_of_a_pipeline_the_first_error_is_reported_in_place_of_none(
    watched_face: tuple[Face, list[QueryEvent]],
) -> None:
    face, events = watched_face
    with pytest.raises(DivisionByZero):
        face.pipeline(["SELECT 1", "SELECT 1/0", "SELECT nope"])
    outcomes = face.pipeline(["SELECT 1", "SELECT 1/0", "SELECT 1"], return_exceptions=True)
    assert [type(event.error) for event in events] == [DivisionByZero] * 2
    assert events[1].error is outcomes[1]
    assert [event.rows for event in events] == [1, 2]


def test_a_timeout_is_reported(watched_face: tuple[Face, list[QueryEvent]]) -> None:
    face, events = watched_face
    with pytest.raises(QueryTimeout) as raised:
        face.query("SELECT pg_sleep(10)", timeout=0.05)
    with pytest.raises(QueryTimeout):
        face.execute_many("SELECT pg_sleep($1)", [(10,)], timeout=0.05)
    assert events[0].error is raised.value
    assert [(event.call, type(event.error)) for event in events] == [
        ("query", QueryTimeout),
        ("execute_many", QueryTimeout),
    ]


def test_a_call_before_connect_is_reported(url: str) -> None:
    events: list[QueryEvent] = []
    db = SyncDatabase(url)
    db.on_query(events.append)
    with pytest.raises(NotConnected):
        db.query("SELECT 1")
    assert [type(event.error) for event in events] == [NotConnected]


async def test_a_cancellation_is_reported_once_wherever_it_comes(url: str) -> None:
    events: list[QueryEvent] = []
    async with Database(url, 1, 2) as db:
        await db.query_val("SELECT 1")
        db.on_query(events.append)
        task = asyncio.ensure_future(db.query("SELECT pg_sleep(10)"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [type(event.error) for event in events] == [asyncio.CancelledError]
        events.clear()
        number = 0
        while True:
            point = await cancel_at(db.query("SELECT pg_sleep(0.002)"), number, "waiting")
            if point.is_last:
                break
            number += 1
    assert [type(event.error) for event in events] == [asyncio.CancelledError] * number + [type(None)]


def test_a_commit_that_fails_is_reported(watched_face: tuple[Face, list[QueryEvent]]) -> None:
    face, events = watched_face
    face.execute("CREATE TABLE d (id int4 REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    events.clear()
    with pytest.raises(DatabaseError) as raised, face.transaction():
        face.execute("INSERT INTO d VALUES (7)")
    assert [(event.sql, event.error) for event in events if event.call == "transaction"] == [
        ("BEGIN", None),
        ("COMMIT", raised.value),
    ]


def test_a_block_whose_transaction_has_failed_reports_a_rollback(
    watched_face: tuple[Face, list[QueryEvent]],
) -> None:
    face, events = watched_face
    with pytest.raises(InFailedSqlTransaction), face.transaction():  # noqa: PT012 - it is the whole block that raises
        with pytest.raises(DivisionByZero):
            face.query("SELECT 1/0")
        face.query("SELECT 1")
    assert [event.sql for event in events] == ["BEGIN", "SELECT 1/0", "SELECT 1", "ROLLBACK"]
    assert [type(event.error) for event in events] == [
        type(None),
        DivisionByZero,
        InFailedSqlTransaction,
        type(None),
    ]


def test_a_callback_after_the_commit_is_not_part_of_it(watched_face: tuple[Face, list[QueryEvent]]) -> None:
    face, events = watched_face

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError), face.transaction():  # noqa: PT012 - it is the whole block that raises
        face.query("SELECT 1")
        face.on_commit(fail)
    assert [(event.sql, event.error) for event in events] == [
        ("BEGIN", None),
        ("SELECT 1", None),
        ("COMMIT", None),
    ]


# Waiting.


async def test_the_wait_for_a_connection_is_told_apart(url: str) -> None:
    events: list[QueryEvent] = []
    async with Database(url, 1, 1) as db:
        db.on_query(events.append)
        slow = asyncio.ensure_future(db.query("SELECT pg_sleep(0.2)"))
        await asyncio.sleep(0.02)
        async with db.transaction():
            await db.query_val("SELECT 1")
        await slow
    begin = next(event for event in events if event.sql == "BEGIN")
    assert begin.wait > 0.05
    assert begin.duration >= begin.wait
    assert next(event for event in events if event.sql == "SELECT 1").wait < 0.05


async def test_a_call_in_the_queue_says_how_long_it_waited(url: str) -> None:
    events: list[QueryEvent] = []
    async with Database(url, 1, 1) as db:
        db.on_query(events.append)

        async def hold() -> None:
            async with db.transaction():
                await db.query_val("SELECT pg_sleep(0.2)")

        holding = asyncio.ensure_future(hold())
        await asyncio.sleep(0.02)
        await db.query_val("SELECT 1")
        await holding
        with pytest.raises(AcquireTimeout):
            async with db.transaction():
                await asyncio.create_task(_from_outside(db))
    (waited,) = (event for event in events if event.sql == "SELECT 1")
    assert 0.05 < waited.wait <= waited.duration
    (late,) = (event for event in events if event.sql == "SELECT 2")
    assert isinstance(late.error, AcquireTimeout)
    assert late.wait == late.duration


async def _from_outside(db: Database) -> None:
    """Run a statement outside of the block that the task was started in."""
    await asyncio.get_running_loop().create_task(
        db.query_val("SELECT 2", timeout=0.05), context=contextvars.Context()
    )


async def test_many_calls_at_once_report_one_event_each(url: str) -> None:
    events: list[QueryEvent] = []
    async with Database(url, 1, 2) as db:
        await db.query_val(ONE, 0)
        db.on_query(events.append)
        found = await asyncio.gather(*(db.query_val(ONE, n) for n in range(200)))
        assert found == list(range(200))
        assert [event.sql for event in events] == [ONE] * 200
        assert all(event.rows == 1 and event.error is None for event in events)
        events.clear()
        outcomes = await asyncio.gather(
            *(db.query_val("SELECT 10 / $1::int4", n % 2) for n in range(40)), return_exceptions=True
        )
    assert sum(isinstance(outcome, DivisionByZero) for outcome in outcomes) == 20
    assert sum(isinstance(event.error, DivisionByZero) for event in events) == 20
    assert len(events) == 40


def test_threads_report_in_their_own(url: str) -> None:
    seen: list[int] = []
    with SyncDatabase(url, 1, 4) as db:
        db.on_query(lambda _: seen.append(threading.get_ident()))
        threads = [threading.Thread(target=db.query_val, args=("SELECT 1",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        identities = {thread.ident for thread in threads}
        for thread in threads:
            thread.join()
    assert len(seen) == 4
    assert set(seen) <= identities


# Hooks themselves.


def test_a_hook_that_fails_is_logged_and_breaks_nothing(
    watched_face: tuple[Face, list[QueryEvent]], caplog: pytest.LogCaptureFixture
) -> None:
    face, events = watched_face

    def broken(_: QueryEvent) -> None:
        raise KeyError("hook")

    later: list[QueryEvent] = []
    face.on_query(broken)
    face.on_query(later.append)
    assert face.query_val("SELECT 1") == 1
    with pytest.raises(DivisionByZero):
        face.query_val("SELECT 1/0")
    assert [record.name for record in caplog.records] == ["hyperdjango.database"] * 2
    assert caplog.records[0].levelno == logging.ERROR
    assert events == later


def test_hooks_can_be_removed(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db:
        first: list[QueryEvent] = []

        @db.on_query
        def hook(event: QueryEvent) -> None:
            first.append(event)

        db.on_query(hook)
        db.query("SELECT 1")
        assert len(first) == 2
        db.off_query(hook)
        db.query("SELECT 1")
        assert len(first) == 3
        db.off_query(hook)
        db.query("SELECT 1")
        assert len(first) == 3
        with pytest.raises(ValueError, match="not among"):
            db.off_query(hook)


async def test_both_faces_share_their_hooks(url: str) -> None:
    events: list[QueryEvent] = []
    async with Database(url, 1, 1) as db:
        db.on_query(events.append)
        await asyncio.to_thread(db.sync.query_val, "SELECT 1")
        await db.query_val("SELECT 2")
        assert [event.sql for event in events] == ["SELECT 1", "SELECT 2"]
        db.sync.off_query(events.append)
        await db.query_val("SELECT 3")
    assert len(events) == 2


def test_what_cannot_be_a_hook_is_refused(url: str) -> None:
    db = SyncDatabase(url)

    async def coroutine(_: QueryEvent) -> None:
        raise AssertionError

    class Caller:
        async def __call__(self, _: QueryEvent) -> None:
            raise AssertionError

    for wrong in (5, None):
        with pytest.raises(TypeError, match="takes a function"):
            db.on_query(wrong)  # type: ignore[type-var]
    for late in (coroutine, Caller()):
        with pytest.raises(TypeError, match="plain function"):
            db.on_query(late)


async def test_what_a_hook_runs_is_not_reported_nor_what_tasks_do_that_it_starts(url: str) -> None:
    tasks: list[asyncio.Task[Any]] = []
    events: list[QueryEvent] = []
    async with Database(url, 1, 2) as db:

        @db.on_query
        def log(event: QueryEvent) -> None:
            events.append(event)
            assert db.sync.query_val("SELECT 3") == 3
            tasks.append(asyncio.ensure_future(db.execute("SELECT 2")))

        await db.query_val("SELECT 1")
        await asyncio.gather(*tasks)
        await db.query_val("SELECT 4")
        await asyncio.gather(*tasks)
    assert [event.sql for event in events] == ["SELECT 1", "SELECT 4"]


def test_a_hook_that_is_added_during_a_call_does_not_hear_of_it_half(url: str) -> None:
    events: list[QueryEvent] = []
    with SyncDatabase(url, 1, 1) as db:

        def rows() -> Iterator[tuple[int]]:
            db.on_query(events.append)
            yield (1,)

        db.execute_many("SELECT $1::int4", rows())
        assert events == []
        db.query("SELECT 1")
    assert [event.call for event in events] == ["query"]


def test_the_code_of_a_row_source_is_reported_by_itself(url: str) -> None:
    events: list[QueryEvent] = []
    with SyncDatabase(url, 1, 2) as db:
        db.on_query(events.append)

        def rows() -> Iterator[tuple[int]]:
            yield (db.query_val("SELECT 5"),)

        db.execute_many("SELECT $1::int4", rows())
    assert [event.sql for event in events] == ["SELECT 5", "SELECT $1::int4"]


class Held:
    """Stands in the frame of a call, to see how long its traceback lives."""


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
def test_errors_that_nobody_keeps_are_freed_at_once(url: str) -> None:
    def call(db: SyncDatabase) -> weakref.ref[Held]:
        held = Held()
        with pytest.raises(DivisionByZero):
            db.query("SELECT 1/0")
        return weakref.ref(held)

    with SyncDatabase(url, 1, 1) as db:
        db.on_query(lambda _: None)
        assert call(db)() is None


@pytest.mark.usefixtures("no_collections")
async def test_errors_that_nobody_keeps_are_freed_at_once_on_a_loop_too(url: str) -> None:
    async def call(db: Database) -> weakref.ref[Held]:
        held = Held()
        with pytest.raises(DivisionByZero):
            await db.query("SELECT 1/0")
        return weakref.ref(held)

    async with Database(url, 1, 1) as db:
        db.on_query(lambda _: None)
        assert (await call(db))() is None


def test_a_call_that_nobody_watches_has_a_watch_that_forgets(url: str) -> None:
    db = SyncDatabase(url)
    watch = watched(db, "query", "SELECT 1")
    assert watch is NOBODY
    with watch as same:
        same.rows = 5
        same.batch_size = 7
        assert not hasattr(same, "rows")
    db.on_query(print)
    with silently():
        assert watched(db, "query", "SELECT 1") is NOBODY
    assert watched(db, "query", "SELECT 1") is not NOBODY


def test_a_generator_that_is_closed_early_has_not_failed(url: str) -> None:
    events: list[QueryEvent] = []
    db = SyncDatabase(url)
    db.on_query(events.append)

    def stream() -> Iterator[int]:
        with watched(db, "stream", "SELECT 1") as watch:
            watch.rows = 1
            yield 1

    for _ in stream():
        break
    gc.collect()
    until(lambda: len(events) == 1)
    assert (events[0].error, events[0].rows) == (None, 1)
