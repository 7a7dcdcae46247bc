"""An error that nobody keeps takes with it, at once, the frames that its traceback has.

A cycle through one of ours would keep all that the caller's frames hold until the collector comes, and the
connection too. Python docs: gc.
"""

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hyperdjango.database import Database, SyncDatabase
from hyperdjango.database._tracebacks import without_ours

INSERT = "INSERT INTO kept VALUES ($1)"
SETS = [(n,) for n in range(1200)]


class Awaited:
    """A SyncDatabase whose calls are awaited, for what both faces are to do alike."""

    def __init__(self, db: SyncDatabase) -> None:
        self._db = db
        self.on_commit = db.on_commit

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **options: Any) -> Any:
            return getattr(self._db, name)(*args, **options)

        return call

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        with self._db.transaction():
            yield

    async def stream(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        for row in self._db.stream(*args, **options):
            yield row


class Held:
    """Stands in the frame of a caller."""


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def query(db: Any) -> None:
    await db.query("SELECT 1/0")


async def query_in_a_block(db: Any) -> None:
    async with db.transaction(), db.transaction():
        await db.query("SELECT 1/0")


async def single_batch(db: Any) -> None:
    await db.execute_many(INSERT, [(1,), (1,)])


async def batches_that_the_server_refuses(db: Any) -> None:
    await db.execute_many(INSERT, [*SETS, (7,)])


async def batches_with_a_value_that_does_not_fit(db: Any) -> None:
    await db.execute_many(INSERT, [*SETS, ("x",)])


async def batches_of_which_one_is_refused_by_the_iterable(db: Any) -> None:
    def sets() -> Iterator[tuple[int]]:
        yield from SETS
        raise ValueError("on purpose")

    await db.execute_many(INSERT, sets())


async def copied_batches(db: Any) -> None:
    await db.execute_many(INSERT, [*SETS, (7,)], copy=True)


async def pipeline(db: Any) -> None:
    await db.pipeline(["SELECT 1", "SELECT 1/0", "SELECT 2"])


async def pipeline_in_a_block(db: Any) -> None:
    async with db.transaction():
        await db.pipeline(["SELECT 1", "SELECT 1/0", "SELECT 2"])


async def pipeline_with_a_value_that_does_not_fit(db: Any) -> None:
    await db.pipeline(["SELECT 1", ("SELECT $1::int4", ["x"]), "SELECT 2"])


async def pipeline_that_gives_its_errors(db: Any) -> None:
    outcomes = await db.pipeline(["SELECT 1/0", ("SELECT $1::int4", ["x"])], return_exceptions=True)
    assert [isinstance(each, Exception) for each in outcomes] == [True, True]
    raise LookupError


async def callback_of_a_commit(db: Any) -> None:
    def fail() -> None:
        raise LookupError

    async with db.transaction():
        await db.query("SELECT 1")
        db.on_commit(fail)


async def copy_in(db: Any) -> None:
    await db.execute("COPY kept FROM STDIN", ["1\n", "x\n"])


async def copy_records(db: Any) -> None:
    await db.copy_records("kept", [(1,), (1,)])


async def stream(db: Any) -> None:
    async for _ in db.stream("SELECT 1 / (3 - n) FROM generate_series(1, 3) n", chunk=1):
        pass


CALLS = (
    query,
    query_in_a_block,
    single_batch,
    batches_that_the_server_refuses,
    batches_with_a_value_that_does_not_fit,
    batches_of_which_one_is_refused_by_the_iterable,
    copied_batches,
    pipeline,
    pipeline_in_a_block,
    pipeline_with_a_value_that_does_not_fit,
    pipeline_that_gives_its_errors,
    callback_of_a_commit,
    copy_in,
    copy_records,
    stream,
)


def fail(call: Callable[[], object]) -> weakref.ref[Held]:
    """Make a call that fails, and return what dies with the last reference to its error."""
    held = Held()
    try:
        call()
    except Exception:
        return weakref.ref(held)
    raise AssertionError("it has not failed")


async def fail_awaited(call: Callable[[Any], Awaitable[None]], db: Any) -> weakref.ref[Held]:
    """As `fail`, for a coroutine function."""
    held = Held()
    try:
        await call(db)
    except Exception:
        return weakref.ref(held)
    raise AssertionError("it has not failed")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_an_error_that_nobody_keeps_is_freed_at_once(
    url: str, call: Callable[[Any], Awaitable[None]]
) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE kept (n int4 PRIMARY KEY)")
        assert (await fail_awaited(call, db))() is None


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_an_error_of_a_blocking_call_that_nobody_keeps_is_freed_at_once(
    url: str, call: Callable[[Any], Awaitable[None]]
) -> None:
    with SyncDatabase(url, 1, 1) as db:
        db.execute("CREATE TABLE kept (n int4 PRIMARY KEY)")
        assert (await fail_awaited(call, Awaited(db)))() is None


def test_an_error_of_a_batch_that_a_statement_of_the_iterable_has_met_is_freed_at_once(url: str) -> None:
    def sets(db: SyncDatabase) -> Iterator[tuple[int]]:
        yield from SETS
        yield (7,)
        yield from ((n,) for n in range(2000, 2600))
        with pytest.raises(Exception, match="current transaction is aborted"):
            db.query("SELECT 1")
        yield from ((n,) for n in range(3000, 3600))

    with SyncDatabase(url, 1, 1) as db:
        db.execute("CREATE TABLE kept (n int4 PRIMARY KEY)")
        assert fail(lambda: db.execute_many(INSERT, sets(db)))() is None


def test_an_error_of_a_hook_that_waits_for_something_else_is_freed_at_once(url: str) -> None:
    async def hook(connection: Any) -> None:
        await asyncio.sleep(0.01)

    assert fail(lambda: SyncDatabase(url, 1, 1, on_connect=hook).connect())() is None


def test_a_connection_dropped_by_an_interrupt_is_missed_although_a_call_before_has_failed(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db:
        db.execute("CREATE TABLE kept (n int4 PRIMARY KEY)")
        fail(lambda: db.execute_many(INSERT, [*SETS, (7,)]))
        slot = db._pool.take_idle()
        assert slot is not None
        assert db.pool_stats()["busy"] == 1
        del slot
        assert db.pool_stats()["busy"] == 0
        assert db.query_val("SELECT 1", timeout=20) == 1


def test_an_error_kept_for_later_keeps_no_frame_of_ours_but_those_of_the_caller() -> None:
    def of_the_users() -> None:
        raise LookupError

    try:
        of_the_users()
    except LookupError as error:
        kept = without_ours(error)
    names = []
    each = kept.__traceback__
    while each is not None:
        names.append(each.tb_frame.f_code.co_name)
        each = each.tb_next
    assert names == [sys._getframe().f_code.co_name, "of_the_users"]
