"""Concurrent calls of one event loop go out behind each other where they are known to be quick reads.

What is under way is seen by `Connection.depth`; which order calls were sent in by values whose `__index__`
is called as they are written. A text is quick once the pool has measured it, so every test first has it run
for a while; a machine that is busy with others can make any text look slow, so what must happen at all is
given several tries, and what must never happen is checked in each.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    Database,
    DataError,
    DivisionByZero,
    Error,
    OperationalError,
    OutcomeUnknown,
    SyncDatabase,
)
from hyperdjango.database._embedded_server import EmbeddedServer, TlsFiles
from hyperdjango.database._tls import TlsFilter
from pg_certificates import Authority
from pgkit import Proxy
from pgkit.order import Numbered, overtaken_most
from pgkit.until import until, until_async
from postgres_servers import Server, StartServer

ADD: Final = "SELECT $1::int + 1"
DIVIDE: Final = "SELECT 10 / $1::int"
SLEEP: Final = "SELECT pg_sleep($1::float8)::text"
LENGTH: Final = "SELECT length($1::text)"
TRIES: Final = 20
DEPTH_MAX: Final = 64
HANGS_SECONDS: Final = 30.0


@asynccontextmanager
async def opened(url: str, max_size: int = 1, **options: Any) -> AsyncIterator[Database]:
    """A pool of connections that are all open, where each of the texts above is known to be quick."""
    async with Database(url, min_size=max_size, max_size=max_size, **options) as db, within():
        for sql, value in ((ADD, 1), (DIVIDE, 1), (SLEEP, 0.0), (LENGTH, "x")):
            await warm(db, sql, value)
        yield db


@asynccontextmanager
async def within(seconds: float = 2 * HANGS_SECONDS) -> AsyncIterator[None]:
    """What takes so long hangs."""
    async with asyncio.timeout(seconds):
        yield


async def warm(db: Database, sql: str, *values: object) -> None:
    """Have a text known on every connection of the pool, and measured."""
    for _ in range(3):
        await asyncio.gather(*(db.query_val(sql, *values) for _ in range(db.max_size)))
    for _ in range(20):
        await db.query_val(sql, *values)


def connections(db: Database) -> list[Any]:
    return [slot.connection for slot in db._pool.slots()]


def depth(db: Database) -> int:
    """The most that is under way on one connection."""
    return int(max(each.depth for each in connections(db)))


async def under_way(*calls: Awaitable[Any]) -> list["asyncio.Task[Any]"]:
    """Begin all calls, in order, and go on once they are sent or wait."""
    tasks = [asyncio.ensure_future(each) for each in calls]
    await asyncio.sleep(0)
    return tasks


def tries(is_enough: Callable[[], bool]) -> Iterator[None]:
    """TRIES times, and where the machine is too busy for a text to be known as quick, until it was: `within`."""
    for number in itertools.count():
        if number >= TRIES and is_enough():
            return
        yield


async def outcomes(tasks: list["asyncio.Task[Any]"]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


# That they do, and how far


async def test_quick_calls_go_out_behind_each_other(url: str) -> None:
    depths: list[int] = []
    async with opened(url) as db:
        for _ in tries(lambda: max(depths) >= 10):
            tasks = await under_way(*(db.query_val(ADD, n) for n in range(200)))
            depths.append(depth(db))
            assert await outcomes(tasks) == list(range(1, 201))
            assert depth(db) == 0
    assert 10 <= max(depths) <= DEPTH_MAX


async def test_few_connections_are_enough_for_quick_calls(url: str) -> None:
    async with opened(url, 8) as db:
        used: list[int] = []
        for _ in range(TRIES):
            tasks = await under_way(*(db.query_val(ADD, n) for n in range(8)))
            used.append(sum(each.busy for each in connections(db)))
            await outcomes(tasks)
        assert min(used) <= 2


@pytest.mark.parametrize("face_call", ["query", "query_one", "query_val", "execute"])
async def test_every_kind_of_call_has_its_own_answer(url: str, face_call: str) -> None:
    expected: dict[str, Callable[[int], Any]] = {
        "query": lambda n: [{"n": n, "t": f"text {n}"}],
        "query_one": lambda n: {"n": n, "t": f"text {n}"},
        "query_val": lambda n: n,
        "execute": lambda _: "SELECT 1",
    }
    sql = "SELECT $1::int AS n, 'text ' || $1 AS t"
    async with opened(url) as db:
        await warm(db, sql, 0)
        for _ in range(5):
            tasks = await under_way(*(getattr(db, face_call)(sql, n) for n in range(100)))
            assert await outcomes(tasks) == [expected[face_call](n) for n in range(100)]


async def test_bytes_under_way_are_bounded(url: str) -> None:
    """So much and one statement; here four of 20 kB, where a frozen line shows what has left."""
    depths: list[int] = []
    with Proxy.before(url) as proxy:
        async with opened(proxy.url(url)) as db:
            await warm(db, LENGTH, "x" * 20_000)
            for _ in tries(lambda: max(depths) >= 2):
                before = proxy.last_session.bytes_to_backend
                tasks = await under_way(*(db.query_val(LENGTH, "x" * 20_000) for _ in range(30)))
                assert depth(db) <= 4
                depths.append(depth(db))
                assert await outcomes(tasks) == [20_000] * 30
                assert proxy.last_session.bytes_to_backend - before >= 30 * 20_000
    assert max(depths) >= 2


async def test_depth_is_bounded_over_a_line_that_is_frozen(url: str) -> None:
    with Proxy.before(url) as proxy:
        async with opened(proxy.url(url)) as db:
            for _ in range(3):
                proxy.freeze()
                tasks = await under_way(*(db.query_val(ADD, n) for n in range(500)))
                for _ in range(10):
                    await asyncio.sleep(0.002)
                    assert depth(db) <= DEPTH_MAX
                proxy.thaw()
                assert await outcomes(tasks) == list(range(1, 501))


# Errors


async def test_errors_stay_with_their_own_call(url: str) -> None:
    async with opened(url) as db:
        for _ in range(5):
            tasks = await under_way(*(db.query_val(DIVIDE, n % 5) for n in range(100)))
            for n, made in enumerate(await outcomes(tasks)):
                if n % 5:
                    assert made == 10 // (n % 5)
                else:
                    assert isinstance(made, DivisionByZero)
                    assert made.query == DIVIDE
        assert len(connections(db)) == 1


async def test_a_value_that_does_not_fit_fails_its_call_alone(url: str) -> None:
    async with opened(url) as db:
        for _ in range(5):
            tasks = await under_way(*(db.query_val(ADD, 2**40 if n % 7 == 3 else n) for n in range(100)))
            for n, made in enumerate(await outcomes(tasks)):
                assert isinstance(made, DataError) if n % 7 == 3 else made == n + 1


async def test_a_value_whose_methods_raise_fails_its_call_alone(url: str) -> None:
    class Broken:
        def __index__(self) -> int:
            raise ZeroDivisionError

    async with opened(url) as db:
        for _ in range(5):
            tasks = await under_way(*(db.query_val(ADD, Broken() if n % 7 == 3 else n) for n in range(100)))
            for n, made in enumerate(await outcomes(tasks)):
                assert isinstance(made, ZeroDivisionError) if n % 7 == 3 else made == n + 1


async def test_a_target_that_raises_fails_its_call_alone(url: str) -> None:
    def refuse(**row: Any) -> int:
        if row["n"] % 5 == 0:
            raise ZeroDivisionError
        return int(row["n"])

    sql = "SELECT $1::int AS n"
    async with opened(url) as db:
        await warm(db, sql, 1)
        tasks = await under_way(*(db.query(sql, n, into=refuse) for n in range(50)))
        for n, made in enumerate(await outcomes(tasks)):
            assert isinstance(made, ZeroDivisionError) if n % 5 == 0 else made == [n]


async def test_a_plan_that_has_gone_stale_heals_for_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE t (a int)")
        other.execute("INSERT INTO t VALUES (1)")
        async with opened(url, 2) as db:
            for n in range(5):
                await warm(db, "SELECT * FROM t")
                other.execute(f"ALTER TABLE t ADD COLUMN b{n} int DEFAULT {n}")
                tasks = await under_way(*(db.query("SELECT * FROM t") for _ in range(40)))
                row = {"a": 1, **{f"b{k}": k for k in range(n + 1)}}
                assert await outcomes(tasks) == [[row]] * 40


async def test_statements_that_were_deallocated_heal_for_all(url: str) -> None:
    async with opened(url) as db:
        for _ in range(5):
            await db.execute("DO $$begin execute 'DEALLOCATE ALL'; end$$")
            tasks = await under_way(*(db.query_val(ADD, n) for n in range(40)))
            assert await outcomes(tasks) == list(range(1, 41))


# Slow ones


async def test_a_quick_call_does_not_wait_behind_a_slow_text(url: str) -> None:
    slow = "SELECT pg_sleep($1::float8), 'slow'"
    async with opened(url, 2) as db:
        await warm(db, slow, 0.02)
        for _ in range(3):
            task, *quick = await under_way(db.query(slow, 1.0), *(db.query_val(ADD, n) for n in range(50)))
            assert await outcomes(quick) == list(range(1, 51))
            assert not task.done()
            await task


async def test_a_quick_call_does_not_wait_behind_a_slow_run_of_its_own_text(url: str) -> None:
    """Nothing tells beforehand that this run is slow; once it is late nothing more goes behind it."""
    async with opened(url, 2) as db:
        (task,) = await under_way(db.query_val(SLEEP, 2.0))
        await asyncio.sleep(0.1)
        quick = await under_way(*(db.query_val(SLEEP, 0.0) for _ in range(20)))
        quick += await under_way(*(db.query_val(ADD, n) for n in range(20)))
        await outcomes(quick)
        assert not task.done()
        await task


async def test_a_read_that_waits_for_a_lock_gets_nothing_more_behind_it(url: str) -> None:
    sql = "SELECT count(*) FROM t WHERE a = $1"
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE t (a int)")
        async with opened(url, 4) as db:  # one for each that is stuck, should it not be taken for quick
            for _ in range(3):
                await warm(db, sql, 1)
                with other.transaction():
                    other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
                    stuck = await under_way(*(db.query_val(sql, n) for n in range(3)))
                    await asyncio.sleep(0.1)
                    quick = await under_way(*(db.query_val(ADD, n) for n in range(50)))
                    assert await outcomes(quick) == list(range(1, 51))
                    assert not any(each.done() for each in stuck)
                assert await outcomes(stuck) == [0, 0, 0]


# Alone


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("INSERT INTO t VALUES ($1)", (1,)),
        ("UPDATE t SET a = $1", (1,)),
        ("DELETE FROM t WHERE a = $1", (1,)),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT count(*) FROM x", ()),
        ("SELECT a FROM t FOR UPDATE", ()),
        ("SELECT a FROM t for no key update", ()),
        ("SELECT a FROM t FOR\n  KEY SHARE", ()),
        ("CREATE TABLE IF NOT EXISTS t (a int)", ()),
        ("SET work_mem = '77kB'", ()),
        ("SELECT set_config('work_mem', '77kB', false)", ()),
        ("SET search_path = public", ()),
        ("SELECT 1; SELECT 2", ()),
        ("SELECT pg_advisory_lock(5)", ()),
        ("SELECT pg_try_advisory_xact_lock(5)", ()),
        ("CREATE TEMP TABLE IF NOT EXISTS own (a int)", ()),
        ("SELECT 1 AS a INTO TEMP own", ()),
        ("BEGIN", ()),
        ("LISTEN x", ()),
        ("DO $$begin end$$", ()),
        ("EXPLAIN SELECT 1", ()),
        ("COPY t TO STDOUT", ()),
        ("SELECT 1 AS nobody_knows_this", ()),
        ("SELECT $1::int AS nobody_knows_this", (1,)),
    ],
)
async def test_what_is_no_quick_read_is_alone_on_its_connection(
    url: str, sql: str, values: tuple[Any, ...]
) -> None:
    is_unknown = "nobody_knows" in sql
    async with opened(url) as db:
        await db.execute("CREATE TABLE t (a int)")
        if not is_unknown:
            for _ in range(5):
                with suppress(Error):
                    await db.execute(sql, *values)
        for n in range(3):
            text = sql.replace("nobody_knows_this", f"unknown_{n}")
            await db.query_val(ADD, 1)
            # First, and later: then it waits for its turn, and whoever comes after waits behind it.
            tasks = await under_way(db.execute(text, *values), *(db.query_val(ADD, k) for k in range(20)))
            assert depth(db) == 1
            assert (await outcomes(tasks))[1:] == list(range(1, 21))
            tasks = await under_way(
                *(db.query_val(ADD, k) for k in range(5)),
                db.execute(text + (" " if is_unknown else ""), *values),
                *(db.query_val(ADD, k) for k in range(5, 20)),
            )
            assert depth(db) <= 5
            made = await outcomes(tasks)
            assert made[:5] + made[6:] == list(range(1, 21))


async def test_a_batch_is_alone_on_its_connection(url: str) -> None:
    async with opened(url) as db:
        await db.execute_many(ADD, [(1,), (2,)])
        tasks = await under_way(
            db.execute_many(ADD, [(n,) for n in range(100)]), *(db.query_val(ADD, k) for k in range(20))
        )
        assert depth(db) <= 1
        assert (await outcomes(tasks))[1:] == list(range(1, 21))


async def test_a_block_is_alone_on_its_connection(url: str) -> None:
    async with opened(url) as db:

        async def block() -> None:
            async with db.transaction():
                for n in range(20):
                    assert await db.query_val(ADD, n) == n + 1
                    assert depth(db) <= 1

        tasks = await under_way(*(db.query_val(ADD, n) for n in range(20)))
        await asyncio.gather(block(), block(), *(db.query_val(ADD, n) for n in range(20)))
        await outcomes(tasks)


async def test_a_session_that_was_changed_is_reset_in_front_of_whoever_comes_next(url: str) -> None:
    async with opened(url) as db:
        show = "SHOW work_mem"
        await warm(db, show)
        before = await db.query_val(show)
        for _ in range(5):
            tasks = await under_way(
                db.execute("SET work_mem = '77kB'"), *(db.query_val(show) for _ in range(20))
            )
            assert (await outcomes(tasks))[1:] == [before] * 20
        assert len(connections(db)) == 1


# Much of it


async def echo_big(url: str) -> None:
    text = "x" * 1_000_000
    sql = "SELECT $1::text"
    async with opened(url, 2) as db:
        await warm(db, sql, "x")
        made = await asyncio.gather(*(db.query_val(sql, f"{n:04}{text}") for n in range(50)))
        assert [each[:4] for each in made] == [f"{n:04}" for n in range(50)]
        assert {len(each) for each in made} == {1_000_004}


async def test_big_values_both_ways_do_not_block_each_other(url: str) -> None:
    await echo_big(url)


@pytest.fixture(scope="module")
def tls_server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedServer:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    signed = authority.sign("localhost", ["localhost", "127.0.0.1"])
    return start_server("system", tls=TlsFiles(signed.certificate_file, signed.key_file))


async def test_big_values_both_ways_do_not_block_each_other_over_unix_sockets(
    tls_server: EmbeddedServer,
) -> None:
    await echo_big(tls_server.url_for(unix_socket=True))


async def test_big_values_both_ways_do_not_block_each_other_over_tls(tls_server: EmbeddedServer) -> None:
    url = f"{tls_server.url.partition('?')[0]}?sslmode=require"
    async with Database(url, 1, 1) as db:
        assert await db.query_val("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await echo_big(url)
    async with opened(url) as db:
        for _ in range(TRIES):
            tasks = await under_way(*(db.query_val(ADD, n) for n in range(200)))
            assert await outcomes(tasks) == list(range(1, 201))


@pytest.mark.parametrize("size", [1, 7, 64 * 1024])
async def test_replies_that_come_in_pieces(url: str, size: int) -> None:
    sql = "SELECT repeat('y', $1::int)"
    with Proxy.before(url) as proxy:
        async with opened(proxy.url(url)) as db:
            await warm(db, sql, 1)
            proxy.chunk_size = size
            lengths = [(n * 37) % 90 if size < 64 else n * 4000 for n in range(40)]
            tasks = await under_way(*(db.query_val(sql, n) for n in lengths))
            assert [len(each) for each in await outcomes(tasks)] == lengths
            proxy.chunk_size = None


# Cancelled


@pytest.mark.parametrize("position", [0, 1, 7, 19])
async def test_one_that_is_cancelled_spares_its_neighbours(url: str, position: int) -> None:
    with Proxy.before(url) as proxy:
        async with opened(proxy.url(url)) as db:
            for n in range(TRIES):
                add = f"{ADD} + {n}"  # a text that nobody has found slow yet, as on a busy machine they may
                await warm(db, add, 1)
                links = len(proxy.links)
                proxy.freeze()
                tasks = await under_way(*(db.query_val(add, each) for each in range(20)))
                sent = depth(db)
                tasks[position].cancel()
                await asyncio.sleep(0)
                proxy.thaw()
                made = await outcomes(tasks)
                assert isinstance(made.pop(position), asyncio.CancelledError)
                assert made == [each + n + 1 for each in range(20) if each != position]
                assert await db.query_val(ADD, 1000) == 1001
                if sent > 1:
                    break
            assert sent > 1
            assert len(proxy.links) == links  # nor was there a CancelRequest


async def test_all_that_are_cancelled_leave_a_connection_that_is_clean_or_new(url: str) -> None:
    async with opened(url) as db:
        for n in range(5):
            await warm(db, SLEEP, 0.0)
            tasks = await under_way(*(db.query_val(SLEEP, 60.0) for _ in range(n + 1)))
            await asyncio.sleep(0.01 * n)
            for task in tasks:
                task.cancel()
            assert all(isinstance(each, asyncio.CancelledError) for each in await outcomes(tasks))
            assert await db.query_val(ADD, n) == n + 1
        assert db.pool_stats()["busy"] == 0


async def test_one_that_was_cancelled_is_ended_once_its_neighbours_are_done(url: str) -> None:
    running = "SELECT FROM pg_stat_activity WHERE query = %s AND state = 'active'"
    with Proxy.before(url) as proxy, psycopg.connect(url, autocommit=True) as other:
        async with opened(proxy.url(url)) as db:
            for n in range(TRIES):
                add, sleep = f"{ADD} + {n}", f"{SLEEP} || {n}"  # texts that nobody has found slow yet
                await warm(db, sleep, 0.0)
                await warm(db, add, 1)
                proxy.freeze()
                tasks = await under_way(db.query_val(add, 1), db.query_val(sleep, 60.0))
                sent = depth(db)
                tasks[1].cancel()
                await asyncio.sleep(0)
                proxy.thaw()
                assert (await outcomes(tasks))[0] == 2 + n
                if sent == 2:
                    break
            assert sent == 2
            await until_async(lambda: other.execute(running, [sleep]).rowcount == 0)
            assert await db.query_val(ADD, 2) == 3
            assert db.pool_stats()["busy"] == 0


async def test_nothing_is_sent_behind_one_that_was_cancelled(url: str) -> None:
    """It would wait until that one's time is over: it is cancelled when nobody is left who waits."""
    with Proxy.before(url) as proxy:
        async with opened(proxy.url(url)) as db:
            for n in range(TRIES):
                add, sleep = f"{ADD} + {n}", f"{SLEEP} || {n}"  # texts that nobody has found slow yet
                await warm(db, sleep, 0.0)
                await warm(db, add, 1)
                proxy.freeze()
                tasks = await under_way(db.query_val(add, 1), db.query_val(sleep, 60.0))
                sent = depth(db)
                tasks[1].cancel()
                await asyncio.sleep(0)
                tasks += await under_way(db.query_val(add, 2))
                assert depth(db) == sent or sent < 2  # else they are on two connections
                proxy.thaw()
                async with asyncio.timeout(HANGS_SECONDS):
                    assert [(await outcomes(tasks))[at] for at in (0, 2)] == [2 + n, 3 + n]
                if sent == 2:
                    break
            assert sent == 2


async def test_nothing_is_sent_behind_one_that_is_cancelled_in_this_turn(url: str) -> None:
    """Its task has not run since."""
    async with opened(url) as db:
        for n in range(TRIES):
            sleep = f"{SLEEP} || {n}"
            await warm(db, sleep, 0.0)
            (task,) = await under_way(db.query_val(sleep, 60.0))
            task.cancel()
            async with asyncio.timeout(HANGS_SECONDS):
                assert await db.query_val(ADD, 1) == 2
            assert task.cancelled()


def stand_still(seconds: float) -> None:
    time.sleep(seconds)


async def test_answers_that_came_in_time_count_though_the_loop_was_late(url: str) -> None:
    insert, size = "INSERT INTO t VALUES ($1)", 6
    async with opened(url, size) as db:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("CREATE TABLE t (a int)")
            for _ in range(3):
                await asyncio.gather(*(db.execute(insert, -1) for _ in range(size)))
            for _ in range(3):
                other.execute("TRUNCATE t")
                began = time.monotonic()
                tasks = await under_way(*(db.execute(insert, n, timeout=0.5) for n in range(size)))
                await asyncio.sleep(0)
                until(lambda: other.execute("SELECT FROM t").rowcount == size)
                # The loop stands still meanwhile, and finds the answers and the end of the time at once.
                stand_still(max(0.1, began + 0.6 - time.monotonic()))
                assert await outcomes(tasks) == ["INSERT 1"] * size


async def test_a_timeout_of_one_spares_its_neighbours(url: str) -> None:
    with Proxy.before(url) as proxy:
        async with opened(proxy.url(url)) as db:
            proxy.freeze()
            tasks = await under_way(
                *(db.query_val(ADD, n, timeout=0.1 if n % 3 == 1 else None) for n in range(20))
            )
            await asyncio.sleep(0.3)
            proxy.thaw()
            for n, made in enumerate(await outcomes(tasks)):
                assert isinstance(made, OperationalError) if n % 3 == 1 else made == n + 1
            assert await db.query_val(ADD, 1000) == 1001


async def test_cancelling_at_any_moment_mixes_up_nothing(url: str) -> None:
    async with opened(url, 2) as db:
        for round_ in range(40):
            tasks = await under_way(*(db.query_val(ADD, n) for n in range(60)))
            for _ in range(round_ % 8):
                await asyncio.sleep(0)
            for n in range(round_ % 3, 60, 3):
                tasks[n].cancel()
            for n, made in enumerate(await outcomes(tasks)):
                assert isinstance(made, asyncio.CancelledError) or made == n + 1
        assert db.pool_stats()["busy"] == 0
        assert depth(db) == 0


# Lost


@pytest.mark.parametrize("size", [0, 1, 20, 100, 1000])
@pytest.mark.parametrize("how", ["eof", "reset"])
async def test_a_connection_that_dies_under_many_calls(url: str, size: int, how: Any) -> None:
    """Reads are never of unknown outcome, and those that were not sent yet are sent elsewhere."""
    with Proxy.before(url) as proxy:
        async with opened(proxy.url(url)) as db:
            proxy.cut_with = how
            proxy.last_session.cut_in("to_frontend", size)
            tasks = await under_way(*(db.query_val(ADD, n) for n in range(50)))
            sent = depth(db)
            made = await outcomes(tasks)
            for n, each in enumerate(made):
                assert each == n + 1 or isinstance(each, OperationalError)
                assert not isinstance(each, OutcomeUnknown)
            assert sum(isinstance(each, Exception) for each in made) <= max(sent, DEPTH_MAX)
            assert await db.query_val(ADD, 7) == 8
            assert db.pool_stats()["busy"] == 0


async def test_a_backend_that_is_terminated_under_many_calls(url: str) -> None:
    async with opened(url, 2) as db:
        with psycopg.connect(url, autocommit=True) as other:
            for _ in range(5):
                tasks = await under_way(*(db.query_val(ADD, n) for n in range(200)))
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                for n, each in enumerate(await outcomes(tasks)):
                    assert each == n + 1 or (
                        isinstance(each, OperationalError) and not isinstance(each, OutcomeUnknown)
                    )
        assert await db.query_val(ADD, 7) == 8


async def test_calls_on_a_connection_that_has_died_unseen_fail_nowhere(url: str) -> None:
    async with opened(url, 2) as db:
        with psycopg.connect(url, autocommit=True) as other:
            for _ in range(3):
                other.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                tasks = await under_way(*(db.query_val(ADD, n) for n in range(50)))
                assert await outcomes(tasks) == list(range(1, 51))


@pytest.fixture
def tls_failure(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The next piece that leaves over TLS is refused where this says True; it says so once."""
    fails = [False]
    flush = TlsFilter.flush

    def flush_or_fail(self: TlsFilter) -> bool:
        if fails[0] and (self._pending or self._outgoing.pending):
            fails[0] = False
            raise ConnectionResetError("as asked")
        return flush(self)

    monkeypatch.setattr(TlsFilter, "flush", flush_or_fail)
    return fails


async def test_a_tls_connection_that_dies_as_a_queued_call_is_sent_leaves_nobody_waiting(
    tls_server: EmbeddedServer, tls_failure: list[bool]
) -> None:
    url = f"{tls_server.url.partition('?')[0]}?sslmode=require"
    with psycopg.connect(tls_server.url, autocommit=True) as other:
        async with opened(url) as db:
            other.execute("SELECT pg_advisory_lock(4)")
            first = asyncio.ensure_future(db.query_val("SELECT 1 FROM pg_advisory_xact_lock(4)"))
            waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            await until_async(lambda: other.execute(waits).rowcount == 1)
            queued = await under_way(*(db.query_val(ADD, n) for n in range(3)))
            tls_failure[0] = True
            other.execute("SELECT pg_advisory_unlock(4)")
            assert await first == 1
            for n, made in enumerate(await outcomes(queued)):
                assert made == n + 1 or isinstance(made, OperationalError)
            assert not tls_failure[0]
            assert await db.query_val(ADD, 7) == 8
            assert db.pool_stats()["busy"] == 0


# Types and notices that are met


async def test_types_that_are_met_by_calls_behind_each_other(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            """
            CREATE FUNCTION a_record(n int) RETURNS record LANGUAGE plpgsql AS $$
            declare r record;
            begin
                execute CASE n % 4 WHEN 0 THEN 'SELECT 0' WHEN 1 THEN 'SELECT 1, ''ok''::mood'
                    WHEN 2 THEN 'SELECT 2, ROW(2, ''ok'')::pair' ELSE 'SELECT 3, ARRAY[''ok''::mood]'
                    end INTO r;
                return r;
            end$$
            """
        )
        sql = "SELECT a_record($1::int)"
        async with opened(url, 2) as db:
            await warm(db, sql, 0)
            for _ in range(3):
                other.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
                other.execute("CREATE TYPE pair AS (n int, m mood)")
                tasks = await under_way(*(db.query_val(sql, n) for n in range(40)))
                expected = [(0,), (1, "ok"), (2, (2, "ok")), (3, ["ok"])]
                assert await outcomes(tasks) == [expected[n % 4] for n in range(40)]
                other.execute("DROP TYPE pair; DROP TYPE mood")


async def test_a_codec_holds_for_calls_behind_each_other_too(url: str) -> None:
    sql = "SELECT $1::int, 'x'::name"
    async with opened(url) as db:
        await warm(db, sql, 1)
        await db.register_codec("name", encode=str, decode=str.upper)
        tasks = await under_way(*(db.query(sql, n, into=tuple) for n in range(20)))
        assert await outcomes(tasks) == [[(n, "X")] for n in range(20)]


async def test_a_notice_whose_callback_raises_reaches_the_first_caller_alone(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION tell(n int) RETURNS int LANGUAGE plpgsql AS"
            " $$begin if n > 0 then raise notice 'told %', n; end if; return n; end$$"
        )
    sql = "SELECT tell($1::int)"
    async with opened(url) as db:
        await warm(db, sql, 0)
        (connection,) = connections(db)
        told: list[str] = []

        def on_notice(fields: dict[str, str]) -> None:
            told.append(fields["M"])
            if fields["M"] == "told 5":
                raise ZeroDivisionError

        connection.on_notice = on_notice
        for _ in range(3):
            told.clear()
            tasks = await under_way(*(db.query_val(sql, n) for n in range(20)))
            made = await outcomes(tasks)
            assert isinstance(made.pop(5), ZeroDivisionError)
            assert made == [n for n in range(20) if n != 5]
            assert told == [f"told {n}" for n in range(1, 20)]
        assert connections(db) == [connection]


# Several loops, several databases


async def test_two_databases_on_one_loop(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        for _ in range(5):
            tasks = await under_way(*(db.query_val(ADD, n) for n in range(100) for db in (one, two)))
            assert await outcomes(tasks) == [n + 1 for n in range(100) for _ in range(2)]


@pytest.mark.parametrize("keeps_tasks", [True, False])
def test_a_loop_that_is_closed_over_calls_leaves_the_pool_to_others(url: str, keeps_tasks: bool) -> None:
    db = Database(url, min_size=1, max_size=2)
    kept: list[Any] = []

    async def open_() -> None:
        await db.connect()
        await warm(db, SLEEP, 0.0)

    async def leave() -> None:
        kept.extend(await under_way(*(db.query_val(SLEEP, 60.0) for _ in range(10))))
        await asyncio.sleep(0.01)

    async def use() -> None:
        async with within():
            made = await asyncio.gather(*(db.query_val(ADD, n) for n in range(50)))
            assert made == list(range(1, 51))

    with asyncio.Runner() as runner:
        runner.run(open_())
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # it says of each task that it was destroyed
        loop.run_until_complete(leave())
        loop.close()
        if not keeps_tasks:
            kept.clear()
        with asyncio.Runner() as runner:
            runner.run(use())
    with asyncio.Runner() as runner:
        runner.run(db.disconnect())
    assert db.pool_stats()["total"] == 0
    for task in kept:
        task._log_destroy_pending = False


def test_threads_and_loops_share_two_connections_and_nobody_starves(url: str) -> None:
    """Each goes on until all have done their share: one who starved would keep them at it for ever."""
    share, workers = 100, 7
    finished = threading.Semaphore(0)
    is_over = threading.Event()
    wrong: list[BaseException] = []
    db = Database(url, min_size=2, max_size=2)
    with asyncio.Runner() as runner:
        runner.run(db.connect())

    def count(done: int) -> None:
        if done == share:
            finished.release()

    async def on_loop() -> None:
        done = 0

        async def calls(base: int) -> None:
            nonlocal done
            n = base
            while not is_over.is_set():
                assert await db.query_val(ADD, n) == n + 1
                n += 1
                done += 1
                count(done)

        await asyncio.gather(*(calls(1000 * k) for k in range(8)))

    def on_thread() -> None:
        done = 0
        sync = db.sync
        while not is_over.is_set():
            assert sync.query_val(ADD, done) == done + 1
            done += 1
            count(done)

    def work(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            wrong.append(error)

    targets: list[Callable[[], object]] = [*[lambda: asyncio.run(on_loop())] * 3, *[on_thread] * 4]
    threads = [threading.Thread(target=work, args=(each,)) for each in targets]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 2 * HANGS_SECONDS
    are_done = [finished.acquire(timeout=max(0, deadline - time.monotonic())) for _ in range(workers)]
    is_over.set()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    with asyncio.Runner() as runner:
        runner.run(db.disconnect())
    assert not wrong
    assert are_done == [True] * workers


@pytest.mark.parametrize("kind", ["quick", "alone", "mixed"])
async def test_ten_thousand_waiters_on_four_connections_keep_their_order(
    embedded_server: Server, kind: str
) -> None:
    """Order is that of writing: `Numbered` sees it. Who came first has the lower number.

    On one server only: the queue is ours.
    """
    texts = {
        "quick": [ADD],
        "alone": ["SELECT $1::int + 1 FOR UPDATE"],
        "mixed": [ADD, "SELECT $1::int + 1 FOR UPDATE"],
    }[kind]
    async with opened(embedded_server.superuser_url, 4) as db:
        for sql in texts:
            await warm(db, sql, 1)
        written: list[int] = []
        made = await asyncio.gather(
            *(db.query_val(texts[n % len(texts)], Numbered(n, written)) for n in range(10_000))
        )
        assert made == list(range(1, 10_001))
        assert sorted(written) == list(range(10_000))
        assert overtaken_most(written) <= 4


@pytest.fixture
def threads_db(url: str) -> Iterator[SyncDatabase]:
    with SyncDatabase(url, min_size=4, max_size=4) as db:
        yield db


def test_sixty_four_threads_lose_no_wake_up(threads_db: SyncDatabase) -> None:
    wrong: list[Any] = []

    def work(base: int) -> None:
        try:
            made = [threads_db.query_val(ADD, n) for n in range(base, base + 100)]
            assert made == list(range(base + 1, base + 101))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * HANGS_SECONDS)
        assert not thread.is_alive()
    assert not wrong
    assert threads_db.pool_stats()["busy"] == 0
