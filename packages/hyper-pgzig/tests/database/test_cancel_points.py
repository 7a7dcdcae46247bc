"""Every public coroutine, cancelled at each of its suspension points, and calls cancelled at random.

After each: one CancelledError, the pool whole, nothing left running or open on the server, no statement
executed twice, no reply for another caller. The line is slow, so that the calls really wait.
"""

import asyncio
import gc
import inspect
import io
import itertools
import os
import random
import secrets
import select
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import pyarrow  # type: ignore[import-untyped]
import pytest
from cancel_points import MOMENTS, Cancel, Moment, Point, cancel_everywhere
from hyperdjango.database import CheckViolation, Database, DataError, Gap, Notification
from pgkit import Proxy
from postgres_servers import Server

pytestmark = pytest.mark.usefixtures("quick_collections")

MAX_SIZE: Final = 2
DELAY_SECONDS: Final = 0.001
APPLICATION: Final = "cancel-points"


class Subject:
    """One Database behind a slow line, and what the coroutine under test needs of it.

    Attributes:
        tag: A number that no other run has; what writes writes it.
        control: A direct connection.
        held: Set by a case to let those go that hold connections.
    """

    def __init__(self, db: Database, tag: int, control: psycopg.Connection[Any]) -> None:
        self.db = db
        self.tag = tag
        self.control = control
        self.held = asyncio.Event()
        self.tasks: list[asyncio.Task[Any]] = []

    def kill_idle(self) -> None:
        """Close the server's side of all connections of the Database, and wait until its own side has heard of that."""
        self.control.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            [APPLICATION],
        )
        for connection in [slot.connection for slot in self.db._pool.slots()]:
            if not (connection.closed or connection.busy):
                assert select.select([connection.fd], [], [], 5)[0], "the proxy does not pass the end on"

    async def hold(self, count: int) -> None:
        """Keep so many connections busy until a moment after the coroutine has begun."""
        entered = [asyncio.Event() for _ in range(count)]

        async def hold(event: asyncio.Event) -> None:
            async with self.db.transaction():
                await self.db.query_val("SELECT 1")
                event.set()
                await self.held.wait()

        self.tasks += [asyncio.ensure_future(hold(event)) for event in entered]
        await asyncio.gather(*(event.wait() for event in entered))
        asyncio.get_running_loop().call_later(0.01, self.held.set)


Step = Callable[[Subject], Awaitable[Any]]


async def _nothing(_: Subject) -> None:
    """Most cases need no preparation."""


@dataclass(frozen=True)
class Case:
    """One coroutine.

    Attributes:
        run: Makes it.
        covers: The method of Database that it is there for.
        prepare: Runs before, on the quick line.
        check: What it returned when it was not cancelled.
        times: How often the tag is written by a run that was not cancelled.
        min_size: Of the pool.
    """

    run: Callable[[Subject], Coroutine[Any, Any, Any]]
    covers: str
    prepare: Step = _nothing
    check: Callable[[Subject, Any], bool] = lambda _, __: True
    times: int = 0
    min_size: int = 1


TAG: Final = "SELECT $1::int8"
INSERT: Final = "INSERT INTO written VALUES ($1)"


def is_tag(subject: Subject, result: Any) -> bool:
    return bool(result == subject.tag)


def calls(*steps: Callable[[Subject], Awaitable[Any]]) -> Step:
    async def run(subject: Subject) -> None:
        for step in steps:
            await step(subject)

    return run


async def warm(subject: Subject) -> None:
    """Prepare the two statements; the tag 0 is nobody's."""
    await subject.db.query_val(TAG, 0)
    await subject.db.execute(INSERT, 0)


async def closed(subject: Subject) -> None:
    await subject.db.disconnect()


async def new_types(subject: Subject) -> None:
    """Make types that the pool has never met: an enum in a domain in a composite, and its array."""
    for statement in (
        "DROP TYPE IF EXISTS place CASCADE",
        "DROP DOMAIN IF EXISTS dmood",
        "DROP TYPE IF EXISTS mood",
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN dmood AS mood",
        "CREATE TYPE place AS (a int, m dmood, t text)",
    ):
        subject.control.execute(statement)


async def dead(subject: Subject) -> None:
    subject.kill_idle()


async def full(subject: Subject) -> None:
    await subject.hold(MAX_SIZE)


async def one_left(subject: Subject) -> None:
    await subject.hold(1)


async def sets(tag: int, count: int) -> AsyncIterator[tuple[int]]:
    for _ in range(count):
        yield (tag,)
        await asyncio.sleep(0)


async def block(subject: Subject) -> None:
    db = subject.db
    async with db.transaction():
        await db.execute(INSERT, subject.tag)
        async with db.transaction():
            assert await db.query_val(TAG, subject.tag) == subject.tag
        with pytest.raises(KeyError):
            async with db.transaction():
                raise KeyError
        assert await db.query_val(TAG, subject.tag) == subject.tag


async def failing_block(subject: Subject) -> None:
    db = subject.db
    with pytest.raises(KeyError):  # noqa: PT012 - it is the whole block that raises
        async with db.transaction():
            await db.execute(INSERT, subject.tag)
            raise KeyError


async def block_with_child_tasks(subject: Subject) -> None:
    db = subject.db
    async with db.transaction():
        found = await asyncio.gather(*(db.query_val(TAG, subject.tag + n) for n in range(3)))
        assert found == [subject.tag + n for n in range(3)]


async def decorated(subject: Subject) -> Any:
    @subject.db.atomic()
    async def work() -> Any:
        return await subject.db.execute(INSERT, subject.tag)

    return await work()


async def pipeline(subject: Subject) -> Any:
    return await subject.db.pipeline([(TAG, (subject.tag,)), "SELECT 1", (TAG, (subject.tag + 1,))])


async def pipeline_in_a_block(subject: Subject) -> None:
    async with subject.db.transaction():
        assert await subject.db.pipeline([(INSERT, (subject.tag,)), "SELECT 1"]) == [[], [(1,)]]


async def callback_after_commit(subject: Subject) -> None:
    async def write() -> None:
        await subject.db.execute(INSERT, subject.tag)

    async with subject.db.transaction():
        await subject.db.query_val(TAG, subject.tag)
        subject.db.on_commit(write)


async def run_twice(subject: Subject) -> Any:
    """The first time the backend asks for another."""
    failed: list[int] = []

    async def work() -> Any:
        await subject.db.execute(INSERT, subject.tag)
        if not failed:
            failed.append(1)
            await subject.db.execute("DO $$BEGIN RAISE 'again' USING ERRCODE = '40001'; END$$")
        return subject.tag

    return await subject.db.run(work)


COPY: Final = "COPY written FROM STDIN"
LONG: Final = "COPY (SELECT n, repeat('x', 100) FROM generate_series(1, 4000) n) TO STDOUT"
SERIES: Final = "SELECT n FROM generate_series(1, $1::int4) n"


async def lines(tag: int, count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield f"{tag}\n"
        await asyncio.sleep(0)


class SlowFile:
    """A file whose `read` is awaited."""

    def __init__(self, data: str) -> None:
        self._file = io.StringIO(data)

    async def read(self, _: int) -> str:
        await asyncio.sleep(0)
        return self._file.read(7)


async def refused_copy(subject: Subject) -> None:
    with pytest.raises(DataError):
        await subject.db.execute(COPY, [f"{subject.tag}\n", "x\n"])


async def copy_in_a_block(subject: Subject) -> None:
    async with subject.db.transaction():
        assert await subject.db.execute(COPY, f"{subject.tag}\n") == "COPY 1"
        assert await subject.db.copy_records("written", [(subject.tag,)]) == "COPY 1"
        async with subject.db.transaction():
            assert await subject.db.copy_records("written", sets(subject.tag, 2)) == "COPY 2"


async def sets_that_copy_refuses(subject: Subject) -> None:
    sql = "INSERT INTO written (tag) VALUES ($1)"
    with pytest.raises(CheckViolation):
        await subject.db.execute_many(sql, [*[(subject.tag,)] * 700, (-1,)], copy=True)


async def copy_out(subject: Subject) -> Any:
    return sum([len(part) async for part in subject.db.copy_out(LONG)])


async def copy_out_rows(subject: Subject) -> Any:
    return len([row async for row in subject.db.copy_out(LONG, into=tuple)])


async def copy_out_left_early(subject: Subject) -> None:
    async with subject.db.copy_out(LONG) as parts:
        async for _ in parts:
            break
    async with subject.db.copy_out(LONG, into=tuple) as rows:
        async for _ in rows:
            break


async def copy_out_in_a_block(subject: Subject) -> None:
    async with subject.db.transaction():
        async with subject.db.copy_out(LONG) as parts:
            async for _ in parts:
                break
        assert (await subject.db.copy_out(LONG).write_to(io.BytesIO())).rows == 4000
        await subject.db.execute(INSERT, subject.tag)


async def stream(subject: Subject) -> Any:
    return [row["n"] async for row in subject.db.stream(SERIES, 5, chunk=2)]


async def stream_that_writes(subject: Subject) -> None:
    sql = f"{INSERT}, ($1), ($1) RETURNING tag"
    assert len([row async for row in subject.db.stream(sql, subject.tag, chunk=2)]) == 3


async def stream_in_a_block(subject: Subject) -> None:
    async with subject.db.transaction():
        async with aclosing(subject.db.stream(SERIES, 9, chunk=2)) as rows:
            async for row in rows:
                await subject.db.execute(INSERT, subject.tag)
                if row["n"] == 3:
                    break
        assert await stream(subject) == [1, 2, 3, 4, 5]


def is_run(analyzed: bool) -> Callable[[Subject, Any], bool]:
    return lambda _, plan: bool(plan.analyzed == analyzed)


async def explain_in_a_block(subject: Subject) -> None:
    async with subject.db.transaction():
        await subject.db.execute(INSERT, subject.tag)
        await subject.db.explain(INSERT, subject.tag, analyze=True)
        await subject.db.query_val(TAG, subject.tag)


async def session_change(subject: Subject) -> Any:
    return await subject.db.execute("SET search_path TO pg_catalog")


async def listen(subject: Subject) -> Any:
    async with subject.db.listen("tags") as notes:
        await subject.db.notify("tags", str(subject.tag))
        note = await anext(notes)
        assert isinstance(note, Notification)
        return int(note.payload)


async def listen_again(subject: Subject) -> Any:
    """Its connection is lost, and the pool's with it."""
    async with subject.db.listen("tags") as notes:
        subject.kill_idle()
        return isinstance(await anext(notes), Gap)


async def listen_in_a_plain_loop(subject: Subject) -> Any:
    """Nothing closes it but that nobody has it any more."""
    return [note async for note in subject.db.listen("tags", timeout=0.01)]


CASES: Final[dict[str, Case]] = {
    "connect": Case(lambda s: s.db.connect(), "connect", closed, min_size=2),
    "connect by the first of a block": Case(
        lambda s: Database.__aenter__(s.db), "connect", closed, min_size=1
    ),
    "disconnect": Case(lambda s: s.db.disconnect(), "disconnect", warm),
    "disconnect while calls run": Case(lambda s: s.db.disconnect(), "disconnect", full),
    "query": Case(lambda s: s.db.query(TAG, s.tag), "query", warm, lambda s, r: bool(r == [{"int8": s.tag}])),
    "query of many rows": Case(
        lambda s: s.db.query("SELECT n::text FROM generate_series(1, 30000) n", into=tuple),
        "query",
        check=lambda _, r: len(r) == 30000,
    ),
    "query_one": Case(
        lambda s: s.db.query_one(TAG, s.tag), "query_one", warm, lambda s, r: bool(r == {"int8": s.tag})
    ),
    "query_val": Case(lambda s: s.db.query_val(TAG, s.tag), "query_val", warm, is_tag),
    "query_val with a timeout": Case(
        lambda s: s.db.query_val(TAG, s.tag, timeout=30), "query_val", warm, is_tag
    ),
    "query_json": Case(
        lambda s: s.db.query_json(TAG, s.tag),
        "query_json",
        warm,
        lambda s, r: bool(r == b'[{"int8":%d}]' % s.tag),
    ),
    "query_json of many rows": Case(
        lambda s: s.db.query_json("SELECT n::text FROM generate_series(1, 30000) n"),
        "query_json",
        check=lambda _, r: r.count(b"{") == 30000,
    ),
    "query_arrow": Case(
        lambda s: s.db.query_arrow("SELECT n, n::text FROM generate_series(1, 100000) n"),
        "query_arrow",
        check=lambda _, r: bool(r.num_rows == 100_000),
    ),
    "ingest_arrow": Case(
        lambda s: s.db.ingest_arrow("written", pyarrow.table({"tag": [s.tag] * 20_000})),
        "ingest_arrow",
        warm,
        lambda _, r: bool(r == "COPY 20000"),
        20_000,
    ),
    "execute with values": Case(
        lambda s: s.db.execute(INSERT, s.tag), "execute", warm, lambda _, r: bool(r == "INSERT 1"), 1
    ),
    "execute without values": Case(
        lambda s: s.db.execute(f"INSERT INTO written VALUES ({s.tag})"), "execute", times=1
    ),
    "execute of a script": Case(
        lambda s: s.db.execute(f"INSERT INTO written VALUES ({s.tag}); SELECT 1"), "execute", times=1
    ),
    "execute that changes the session": Case(session_change, "execute", warm),
    "execute_many of one batch": Case(
        lambda s: s.db.execute_many(INSERT, [(s.tag,)] * 20),
        "execute_many",
        check=lambda _, r: bool(r == "INSERT 20"),
        times=20,
    ),
    "execute_many of several batches": Case(
        lambda s: s.db.execute_many(INSERT, [(s.tag,)] * 1200),
        "execute_many",
        warm,
        lambda _, r: bool(r == "INSERT 1200"),
        1200,
    ),
    "execute_many with rows": Case(
        lambda s: s.db.execute_many(f"{INSERT} RETURNING 1", [(s.tag,)] * 700, returning=True, into=tuple),
        "execute_many",
        warm,
        lambda _, r: bool(r == [(1,)] * 700),
        700,
    ),
    "execute_many by COPY": Case(
        lambda s: s.db.execute_many("INSERT INTO written (tag) VALUES ($1)", [(s.tag,)] * 1200, copy=True),
        "execute_many",
        warm,
        lambda _, r: bool(r == "INSERT 1200"),
        1200,
    ),
    "execute_many by a COPY that is refused": Case(sets_that_copy_refuses, "execute_many", warm),
    "execute_many of an async iterable": Case(
        lambda s: s.db.execute_many(INSERT, sets(s.tag, 5)), "execute_many", warm, times=5
    ),
    "a COPY of str": Case(
        lambda s: s.db.execute(COPY, f"{s.tag}\n" * 20),
        "execute",
        check=lambda _, r: bool(r == "COPY 20"),
        times=20,
    ),
    "a COPY of an async iterable": Case(
        lambda s: s.db.execute(COPY, lines(s.tag, 5), timeout=30), "execute", warm, times=5
    ),
    "a COPY of a file": Case(
        lambda s: s.db.execute(COPY, SlowFile(f"{s.tag}\n" * 3)), "execute", warm, times=3
    ),
    "a COPY that is refused": Case(refused_copy, "execute", warm),
    "copies in a block": Case(copy_in_a_block, "copy_records", warm, times=4),
    "copy_records": Case(
        lambda s: s.db.copy_records("written", [(s.tag,)] * 20),
        "copy_records",
        check=lambda _, r: bool(r == "COPY 20"),
        times=20,
    ),
    "copy_records of an async iterable": Case(
        lambda s: s.db.copy_records("written", sets(s.tag, 5)), "copy_records", warm, times=5
    ),
    "copy_out": Case(copy_out, "copy_out", warm, lambda _, r: bool(r == 4000 * 102 + 14893)),
    "copy_out of rows": Case(copy_out_rows, "copy_out", warm, lambda _, r: bool(r == 4000)),
    "copy_out that is left early": Case(copy_out_left_early, "copy_out", warm),
    "copy_out in a block": Case(copy_out_in_a_block, "copy_out", warm, times=1),
    "stream": Case(stream, "stream", warm, lambda _, r: bool(r == [1, 2, 3, 4, 5])),
    "stream that writes": Case(stream_that_writes, "stream", times=3),
    "stream in a block": Case(stream_in_a_block, "stream", warm, times=3),
    "pipeline": Case(
        pipeline, "pipeline", warm, lambda s, r: bool(r == [[(s.tag,)], [(1,)], [(s.tag + 1,)]])
    ),
    "pipeline at first use": Case(pipeline, "pipeline"),
    "pipeline in a block": Case(pipeline_in_a_block, "pipeline", warm, times=1),
    "a callback after the commit": Case(callback_after_commit, "transaction", warm, times=1),
    "run": Case(run_twice, "run", warm, is_tag, 1),
    "explain": Case(lambda s: s.db.explain(TAG, s.tag), "explain", warm, is_run(False)),
    "explain of what it runs": Case(
        lambda s: s.db.explain(INSERT, s.tag, analyze=True), "explain", warm, is_run(True)
    ),
    "explain of what it runs, at its limit": Case(
        lambda s: s.db.explain(INSERT, s.tag, analyze=True), "explain", full, is_run(True)
    ),
    "explain of what it runs in a block": Case(explain_in_a_block, "explain", warm, times=1),
    "register_codec": Case(lambda s: s.db.register_codec("box", encode=str, decode=str), "register_codec"),
    "a block": Case(block, "transaction", warm, times=1),
    "a block at first use": Case(block, "transaction", times=1),
    "a block that fails": Case(failing_block, "transaction", warm),
    "a block with child tasks": Case(block_with_child_tasks, "transaction", warm),
    "a block that waits for a connection": Case(block, "transaction", full, times=1),
    "a decorated function": Case(decorated, "transaction", warm, times=1),
    "an unknown text": Case(lambda s: s.db.query_val(TAG, s.tag), "query_val", check=is_tag),
    "notify": Case(lambda s: s.db.notify("tags"), "notify", warm),
    "listen": Case(listen, "notify", warm, is_tag),
    "listen again after a loss": Case(listen_again, "notify", warm, lambda _, r: bool(r)),
    "listen in a plain loop": Case(listen_in_a_plain_loop, "notify", warm, lambda _, r: bool(r == [])),
    "unknown types": Case(
        lambda s: s.db.query_val("SELECT ARRAY[ROW(1, 'ok', 'x')::place]"),
        "query_val",
        new_types,
        lambda _, r: [tuple(each) for each in r] == [(1, "ok", "x")],
    ),
    "unknown types of parameters": Case(
        lambda s: s.db.query_val("SELECT $1::mood[]", ["ok"]),
        "query_val",
        new_types,
        lambda _, r: bool(r == ["ok"]),
    ),
    "a pool at its limit": Case(lambda s: s.db.query_val(TAG, s.tag), "query_val", full, is_tag),
    "a connection to be opened": Case(lambda s: s.db.query_val(TAG, s.tag), "query_val", one_left, is_tag),
    "a write on a connection to be opened": Case(
        lambda s: s.db.execute(INSERT, s.tag), "execute", one_left, times=1
    ),
    "a dead idle connection": Case(
        lambda s: s.db.query_val(TAG, s.tag), "query_val", calls(warm, dead), is_tag
    ),
}


def public_coroutines() -> set[str]:
    """Return the methods of Database that are awaited, and those whose outcome is."""
    found = {
        name
        for name, _ in inspect.getmembers(Database, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    return found | {"transaction", "copy_out", "stream"}


def test_no_public_coroutine_is_left_out() -> None:
    assert {case.covers for case in CASES.values()} >= public_coroutines()


_tags: Final = itertools.count(1000, 10)


@asynccontextmanager
async def subject_of(
    case: Case, proxy: Proxy, url: str, control: psycopg.Connection[Any]
) -> AsyncIterator[Subject]:
    proxy.delay = 0
    db = Database(proxy.url(url), case.min_size, MAX_SIZE, application_name=APPLICATION)
    await db.connect()
    subject = Subject(db, next(_tags), control)
    try:
        await case.prepare(subject)
        proxy.delay = DELAY_SECONDS
        yield subject
    finally:
        proxy.delay = 0
        subject.held.set()
        await asyncio.gather(*subject.tasks, return_exceptions=True)
        await db.disconnect(timeout=0)


async def is_soon(condition: Callable[[], Any], what: str) -> None:
    """Wait a moment for what other tasks and the server have to finish."""
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until, what
        await asyncio.sleep(0.005)


async def must_be_whole(db: Database) -> None:
    """Check that the pool has lost nothing: all its places can be had at once, and answer right."""
    if not db.is_connected:
        await db.connect()
    await is_soon(lambda: db.pool_stats()["busy"] == 0, f"still busy: {db.pool_stats()}")
    assert db.pool_stats()["waiting"] == 0
    together = asyncio.Barrier(MAX_SIZE)

    async def use(n: int) -> Any:
        async with db.transaction():
            found = await db.query_val("SELECT $1::int4", n)
            await together.wait()
            return found

    async with asyncio.timeout(20):
        assert await asyncio.gather(*(use(n) for n in range(MAX_SIZE))) == list(range(MAX_SIZE))
        found = await asyncio.gather(*(db.query_val(TAG, n) for n in range(4 * MAX_SIZE)))
    assert found == list(range(4 * MAX_SIZE))
    await is_soon(lambda: db.pool_stats()["busy"] == 0, f"still busy: {db.pool_stats()}")
    assert db.pool_stats()["total"] <= MAX_SIZE


def has_open_transaction(control: psycopg.Connection[Any]) -> bool:
    found = control.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        " AND datname = current_database() AND state <> 'idle'",
        [APPLICATION],
    ).fetchone()
    assert found is not None
    return bool(found[0])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_coroutine_may_be_cancelled_wherever_it_waits(url: str, case: Case) -> None:
    await check_cancelled_everywhere(url, case, "waiting")


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != "waiting"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_coroutine_may_be_cancelled_as_it_wakes_and_while_it_cleans_up(
    embedded_server: Server, case: Case, moment: Moment
) -> None:
    """On one server only: what it is asked is asked at the other moment, too; these are between it and us."""
    name = embedded_server.create_database()
    try:
        await check_cancelled_everywhere(embedded_server.url_for(name), case, moment)
    finally:
        embedded_server.drop_database(name)


async def check_cancelled_everywhere(url: str, case: Case, moment: Moment) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    allowed: dict[int, set[int]] = {}
    with (
        Proxy.before(url) as proxy,
        psycopg.connect(url, autocommit=True) as control,
    ):
        control.execute("CREATE TABLE written (tag int8 CHECK (tag <> -1))")

        async def attempt(cancel: Cancel) -> Point:
            async with subject_of(case, proxy, url, control) as subject:
                point = await cancel(case.run(subject))
                proxy.delay = 0
                subject.held.set()
                await asyncio.gather(*subject.tasks)
                assert not point.is_last or case.check(subject, point.result)
                allowed[subject.tag] = {case.times} if point.is_last else {0, case.times}
                await must_be_whole(subject.db)
                gc.collect()  # what has cancelled it keeps its exception, and by it the frames
                await is_soon(lambda: subject.db._pool.listeners.connections == 0, "it listens on")
                await is_soon(lambda: not has_open_transaction(control), "a transaction was left open")
                await is_soon(lambda: len(asyncio.all_tasks()) == 1, f"left: {asyncio.all_tasks()}")
            return point

        points = await cancel_everywhere(attempt, moment)
        found = control.execute("SELECT tag, count(*) FROM written GROUP BY 1").fetchall()
        written: dict[int, int] = dict(found)
    wrong = {tag: written.get(tag, 0) for tag, times in allowed.items() if written.get(tag, 0) not in times}
    assert not wrong, f"how often each was executed: {wrong}"
    gc.collect()
    assert complaints == []
    assert points > 0 or case.covers == "disconnect"  # with nothing under way it does not wait


CALLS: Final = 100_000
TASKS: Final = (8, 40, 1000)
POOL_SIZE: Final = 4
SLOW: Final = "SELECT $1::int8 FROM pg_sleep($2)"
TIMEOUT_SECONDS_MAX: Final = 0.004


async def test_no_reply_reaches_another_caller_when_most_calls_are_cancelled(
    embedded_server: Server,
) -> None:
    """On one server only: what is tested is ours, and it takes some 20 s."""
    seed = int(os.environ.get("HYPER_TEST_SEED", secrets.randbits(32)))
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    wrong: list[object] = []

    async def call(db: Database, tag: int, sleepers: float) -> None:
        kind, seconds = chance.random(), chance.random() * TIMEOUT_SECONDS_MAX
        sleeps = (chance.random() * 0.002,) if chance.random() < sleepers else ()
        sql = SLOW if sleeps else TAG
        try:
            if kind < 0.1:
                found = await db.query_val(sql, tag, *sleeps, timeout=seconds)
            elif kind < 0.3:
                async with asyncio.timeout(seconds):
                    found = await db.query_val(sql, tag, *sleeps)
            else:
                found = await db.query_val(sql, tag, *sleeps)
        except (asyncio.CancelledError, TimeoutError) as error:
            # QueryTimeout and AcquireTimeout are TimeoutErrors.
            outcomes[type(error).__name__] += 1
        except BaseException as error:
            wrong.append(error)
        else:
            outcomes["answered"] += 1
            if found != tag:
                wrong.append((tag, found))

    async with Database(embedded_server.superuser_url, POOL_SIZE, POOL_SIZE) as db:
        loop = asyncio.get_running_loop()
        made = 0
        while made < CALLS:
            # Few, and most are cancelled while their statement runs; many, and most while they wait.
            count = chance.choices(TASKS, weights=(25, 8, 1))[0]
            sleepers = 0.5 if count < 100 else 0.02
            tasks = [asyncio.ensure_future(call(db, made + n, sleepers)) for n in range(count)]
            made += count
            for task in tasks:
                if chance.random() < 0.9:
                    loop.call_later(chance.random() * (0.0015 + 0.00006 * count), task.cancel)
            async with asyncio.timeout(60):
                await asyncio.gather(*tasks, return_exceptions=True)
            assert not wrong, f"seed {seed}: {wrong[:5]}"
        await is_soon(lambda: db.pool_stats()["busy"] == 0, f"seed {seed}: {db.pool_stats()}")
        assert await asyncio.gather(*(db.query_val(TAG, n) for n in range(100))) == list(range(100))
    print(f"seed {seed}: {dict(outcomes)}")  # pytest shows it with a failure
    assert outcomes["answered"] < CALLS / 2, f"seed {seed}: {outcomes}"
