"""The event loop is never blocked, on asyncio and uvloop; and loops that end, or run side by side.

How long a step holds the loop is measured as CPU time of the loop's thread, so that a busy machine makes no
test fail; that it does not wait is shown by how often a ticker runs meanwhile.
"""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import psycopg
import pytest
import uvloop
from hyperdjango.database import Database, QueryTimeout
from pgkit.freeze import frozen
from pgkit.until import until

STEP_SECONDS_MAX: Final = 0.010
PID: Final = "SELECT pg_backend_pid()"


class Nested(NamedTuple):
    n: int
    a: list[int]
    j: dict[str, int]


Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a new loop."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def run_(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)

    return run_


class Ticker:
    """Runs every millisecond and notes the CPU time of the loop's thread since the last time."""

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._last = time.thread_time()
        self._timer = self._loop.call_later(0.001, self._tick)

    def _tick(self) -> None:
        now = time.thread_time()
        self.count += 1
        self.longest = max(self.longest, now - self._last)
        self._timer = self._loop.call_later(0.001, self._tick)
        self._last = time.thread_time()

    def stop(self) -> None:
        self._timer.cancel()


@contextmanager
def ticking() -> Iterator[Ticker]:
    ticker = Ticker()
    yield ticker
    ticker.stop()


def test_a_slow_query_leaves_the_loop_alone(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            # Known and quick before: the driver has reason to expect the answer at once.
            for _ in range(20):
                await db.query("SELECT pg_sleep($1)", 0)
            with ticking() as ticker:
                await db.query("SELECT pg_sleep($1)", 1)
            assert ticker.count > 200
            assert ticker.longest < STEP_SECONDS_MAX

    run(main())


ROWS: Final = 100_000
PLAIN: Final = (
    "SELECT n, n::text AS t, n % 2 = 0 AS b, n / 7.0 AS d, now() AS w, gen_random_uuid() AS u "
    "FROM generate_series(1, $1::int) n"
)
NESTED: Final = (
    "SELECT n, ARRAY[n, n] AS a, jsonb_build_object('n', n) AS j FROM generate_series(1, $1::int) n"
)


@contextmanager
def without_collector() -> Iterator[None]:
    """Python's collector goes through all containers there are in one go: that is no step of ours."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("into", [dict, tuple])
def test_a_long_result_is_decoded_in_slices(run: Run, url: str, into: Any) -> None:
    """With the collector on: it has nothing to do for rows of plain values."""

    async def main() -> None:
        async with Database(url, 1, 1) as db:
            await db.query(PLAIN, 1)
            gc.collect()
            with ticking() as ticker:
                rows = await db.query(PLAIN, ROWS, into=into)
            assert len(rows) == ROWS
            assert ticker.count > 10
            assert ticker.longest < STEP_SECONDS_MAX

    run(main())


@pytest.mark.parametrize("into", [dict, tuple, Nested, lambda n, a, j: (n, a, j)])
def test_a_long_result_of_nested_values_is_decoded_in_slices(run: Run, url: str, into: Any) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            with without_collector(), ticking() as ticker:
                rows = await db.query(NESTED, ROWS, into=into)
            assert len(rows) == ROWS
            assert ticker.count > 10
            assert ticker.longest < STEP_SECONDS_MAX

    run(main())


def test_a_result_whose_types_are_not_known_yet_is_decoded_in_slices_too(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            await db.execute("CREATE TYPE mood AS ENUM ('fine', 'bad'); CREATE TYPE pair AS (a int, m mood)")
            with without_collector(), ticking() as ticker:
                rows = await db.query(
                    "SELECT ROW(n, 'bad')::pair AS p FROM generate_series(1, $1::int) n", ROWS
                )
            assert rows[-1]["p"] == (ROWS, "bad")
            assert ticker.longest < STEP_SECONDS_MAX

    run(main())


def test_rows_kept_back_for_a_type_that_comes_late_are_decoded_in_slices_too(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            await db.execute("CREATE TYPE mood AS ENUM ('fine', 'bad')")
            with without_collector(), ticking() as ticker:
                # What is in an anonymous record is not described: its type is first seen in a row.
                rows = await db.query(
                    "SELECT ROW(n, 'bad'::mood) AS p FROM generate_series(1, $1::int) n", ROWS
                )
            assert rows[-1]["p"] == (ROWS, "bad")
            assert ticker.longest < STEP_SECONDS_MAX

    run(main())


def test_a_long_batch_is_sent_in_slices(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            await db.execute("CREATE TABLE t (a int, b text)")
            sets = [(n, "x" * 50) for n in range(20_000)]
            with ticking() as ticker:
                await db.execute_many("INSERT INTO t VALUES ($1, $2)", sets)
            assert ticker.count > 10
            assert ticker.longest < STEP_SECONDS_MAX

    run(main())


def test_results_that_are_dropped_do_not_hold_the_loop(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            sql = "SELECT n, repeat('x', 100) FROM generate_series(1, 300000) n"
            with ticking() as ticker:
                assert (await db.execute(sql)).rows == 300_000
                assert await db.query_val(sql) == 1
            assert ticker.count > 10
            assert ticker.longest < STEP_SECONDS_MAX

    run(main())


def test_quick_queries_in_a_row_let_other_tasks_run(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            for _ in range(100):
                await db.query_val("SELECT 1")
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            task = asyncio.create_task(other())
            await asyncio.sleep(0)
            with ticking() as ticker:
                for _ in range(2000):
                    await db.query_val("SELECT 1")
            task.cancel()
            assert turns >= 2000 // 50
            assert ticker.count >= 20
            assert ticker.longest < STEP_SECONDS_MAX

    run(main())


def test_a_timer_is_not_put_off_by_quick_queries_alone(run: Run, url: str) -> None:
    """Nothing else is ready here, so the driver may look at the socket; the timer must still come in time."""

    async def main() -> None:
        async with Database(url, 1, 1) as db:
            for _ in range(100):
                await db.query_val("SELECT 1")
            fired: list[float] = []
            calls = 0
            loop = asyncio.get_running_loop()
            due = loop.time() + 0.05
            loop.call_at(due, lambda: fired.append(loop.time() - due))
            while not fired and calls < 50_000:
                await db.query_val("SELECT 1")
                calls += 1
            assert fired
            assert fired[0] < 0.5

    run(main())


def test_tasks_side_by_side_all_get_on(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 4) as db:
            done = [0] * 10
            enough = asyncio.Event()

            async def work(n: int) -> None:
                while True:
                    assert await db.query_val("SELECT $1::int", n) == n
                    done[n] += 1
                    if sum(done) >= 1000:
                        enough.set()

            tasks = [asyncio.create_task(work(n)) for n in range(10)]
            await enough.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert min(done) > 20
            assert db.pool_stats()["busy"] == 0

    run(main())


# Loops


def test_one_database_serves_one_loop_after_the_other(run: Run, url: str) -> None:
    db = Database(url, 2, 4)

    async def first() -> int:
        await db.connect()
        pid: int = await db.query_val(PID)
        return pid

    async def second() -> list[int]:
        return [await db.query_val(PID) for _ in range(3)]

    pid = run(first())
    assert pid in run(second())
    run(db.disconnect())
    assert db.pool_stats()["total"] == 0


def test_a_loop_that_ends_with_calls_under_way_leaves_the_pool_whole(run: Run, url: str) -> None:
    db = Database(url, 1, 3)

    async def leave() -> None:
        await db.connect()
        tasks.extend(asyncio.create_task(db.query("SELECT pg_sleep(20)")) for _ in range(5))
        await asyncio.sleep(0.3)

    tasks: list[asyncio.Task[Any]] = []
    began = time.monotonic()
    run(leave())
    assert time.monotonic() - began < 5
    assert all(task.cancelled() for task in tasks)

    async def after() -> None:
        assert await asyncio.gather(*(db.query_val("SELECT $1::int", n) for n in range(6))) == list(range(6))
        assert db.pool_stats()["busy"] == 0
        await db.disconnect()

    run(after())
    assert db.pool_stats()["total"] == 0


def test_a_loop_closed_over_a_running_call_does_not_block_the_next(url: str) -> None:
    db = Database(url, 1, 2)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(db.connect())
    call = db.query("SELECT pg_sleep(20)")
    task = loop.create_task(call)
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()
    assert not task.done()

    async def after() -> None:
        assert await db.query_val("SELECT 1", timeout=10) == 1
        await db.disconnect(timeout=0.1)

    asyncio.run(after())
    # What asyncio says of such a task is the caller's to hear, not this test's.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    call.close()
    del task
    # Its place is free when its backend is gone.
    until(lambda: db.pool_stats()["total"] == 0)


@pytest.mark.parametrize("kind", ["call", "script", "block", "blocking call"])
def test_a_loop_closed_over_the_only_connection_gives_it_to_whoever_comes(url: str, kind: str) -> None:
    db = Database(url, 1, 1, acquire_timeout=15)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(db.connect())
    call = db.query("SELECT pg_sleep(60)")
    task = loop.create_task(call)
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()

    async def after() -> None:
        if kind == "call":
            assert await db.query_val("SELECT 1") == 1
        elif kind == "script":
            assert await db.execute("SELECT 1; SELECT 2") == "SELECT 1"
        elif kind == "block":
            async with db.transaction():
                assert await db.query_val("SELECT 1") == 1

    if kind == "blocking call":
        assert db.sync.query_val("SELECT 1") == 1
    asyncio.run(after())
    asyncio.run(db.disconnect(timeout=0.1))
    # What asyncio says of such a task is the caller's to hear, not this test's.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    call.close()
    del task
    until(lambda: db.pool_stats()["total"] == 0)


def test_loops_in_several_threads_share_one_pool(run: Run, url: str) -> None:
    db = Database(url, 2, 3)
    run(db.connect())
    problems: list[BaseException] = []

    async def work(base: int) -> None:
        async def one(n: int) -> None:
            for _ in range(30):
                assert await db.query_val("SELECT $1::int", n) == n
            async with db.transaction():
                pid = await db.query_val(PID)
                assert await db.query_val(PID) == pid

        await asyncio.gather(*(one(base + n) for n in range(5)))

    def thread(base: int) -> None:
        try:
            run(work(base))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=thread, args=(base,)) for base in (0, 100, 200)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []
    stats = db.pool_stats()
    assert stats["busy"] == 0
    assert stats["total"] <= 3
    run(db.disconnect())


# Cancellation and time


@pytest.mark.parametrize("after", [0, 0.001, 0.01, 0.1])
@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.query("SELECT pg_sleep(20)"),
        lambda db: db.execute("SELECT pg_sleep(20)"),
        lambda db: db.execute("SELECT 1; SELECT pg_sleep(20)"),
        lambda db: db.query("SELECT repeat('x', 1000) FROM generate_series(1, 3000000)"),
        lambda db: db.execute_many("SELECT pg_sleep($1)", [(0.01,)] * 5000),
    ],
    ids=["query", "execute", "script", "long result", "execute_many"],
)
def test_a_cancelled_call_leaves_its_connection_fit_for_the_next(
    run: Run, url: str, call: Callable[[Database], Coroutine[Any, Any, Any]], after: float
) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            for n in range(3):
                task = asyncio.create_task(call(db))
                await asyncio.sleep(after)
                task.cancel()
                began = time.monotonic()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert time.monotonic() - began < 1
                assert await db.query_val("SELECT $1::int", n) == n
                assert db.pool_stats()["total"] == 1

    run(main())


def test_every_moment_of_a_calls_cancellation_leaves_the_pool_whole(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            await db.execute("CREATE TYPE mood AS ENUM ('fine')")
            for step in range(40):
                # A new text each time: it is described, and its type may have to be asked for.
                task = asyncio.create_task(db.query_val(f"SELECT 'fine'::mood AS m{step}"))
                for _ in range(step):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert task.cancelled() or task.result() == "fine"
                assert db.pool_stats()["busy"] == 0
                assert await db.query_val("SELECT $1::int", step) == step

    run(main())


@pytest.mark.parametrize("limit", [0.1, 1.0])
def test_with_a_frozen_backend_a_call_returns_in_time_and_its_slot_is_replaced(
    run: Run, url: str, limit: float
) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            for _ in range(5):  # a busy machine may let us wait, but not each time
                pid = await db.query_val(PID)
                with frozen(pid):
                    with ticking() as ticker:
                        began = time.monotonic()
                        with pytest.raises(QueryTimeout):
                            await db.query("SELECT 1", timeout=limit)
                        took = time.monotonic() - began
                    assert limit <= took
                    assert ticker.count > 20
                    assert await db.query_val(PID) != pid
                    assert db.pool_stats()["total"] == 1
                if took < limit + 0.25:
                    return
            pytest.fail(f"it took {took} s of {limit}")

    run(main())


def test_with_a_frozen_backend_cancellation_is_quick(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            pid = await db.query_val(PID)
            with frozen(pid):
                task = asyncio.create_task(db.query("SELECT 1"))
                await asyncio.sleep(0.1)
                task.cancel()
                began = time.monotonic()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert time.monotonic() - began < 0.25
                assert await db.query_val(PID) != pid

    run(main())


def test_with_a_frozen_backend_a_transaction_returns_in_time(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            await db.execute("CREATE TABLE t (a int)")
            with pytest.raises(QueryTimeout):  # noqa: PT012 - it is the whole block that raises
                async with db.transaction():
                    pid = await db.query_val(PID)
                    with frozen(pid):
                        began = time.monotonic()
                        await db.execute("INSERT INTO t VALUES (1)", timeout=0.2)
            assert time.monotonic() - began < 0.5
            assert await db.query("SELECT a FROM t") == []

    run(main())


def test_a_backend_killed_under_a_call_is_an_error_at_once(run: Run, url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            pid = await db.query_val(PID)
            task = asyncio.create_task(db.query("SELECT pg_sleep(20)"))
            await asyncio.sleep(0.1)
            with psycopg.connect(url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [pid])
            with pytest.raises(
                Exception, match="terminating connection due to administrator command"
            ) as caught:
                await asyncio.wait_for(task, 5)
            assert getattr(caught.value, "sqlstate", None) == "57P01"
            assert await db.query_val("SELECT 1") == 1

    run(main())
