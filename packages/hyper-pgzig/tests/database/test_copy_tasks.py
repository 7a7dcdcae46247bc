"""COPY and streams among tasks: async data, cancellation, what a task may do in between, fairness.

What both faces do alike is in test_copy_in, test_copy_records, test_copy_out and test_stream.
Python docs: asyncio-task, "Task Cancellation"; reference, "Asynchronous generator functions".
"""

import asyncio
import contextlib
import contextvars
import gc
import io
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    Database,
    DataError,
    InFailedSqlTransaction,
    InterfaceError,
    InvalidTextRepresentation,
    QueryTimeout,
    TransactionClosed,
)
from pgkit.freeze import frozen
from pgkit.until import until_async

COPY: Final = "COPY t FROM STDIN"
OUT: Final = "COPY (SELECT n, repeat('x', 50) FROM generate_series(1, 200000) n) TO STDOUT"
# A function in FROM would be run to its end before the first row.
ENDLESS_ROWS: Final = "SELECT generate_series(1, 100000000) AS n, repeat('x', 50) AS x"
ENDLESS: Final = f"COPY ({ENDLESS_ROWS}) TO STDOUT"
Control = psycopg.Connection[Any]

pytestmark = pytest.mark.usefixtures("quick_collections")


@pytest.fixture
def control(other: Control) -> Control:
    other.execute("CREATE TABLE t (a int4 PRIMARY KEY, b text)")
    return other


@pytest.fixture
async def db(url: str, control: Control) -> AsyncIterator[Database]:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with Database(url, 1, 1) as database:
        yield database
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


def count(control: Control) -> int:
    found = control.execute("SELECT count(*) FROM t").fetchone()
    assert found is not None
    return int(found[0])


async def must_be_whole(db: Database) -> None:
    """The one connection is idle again, a moment later perhaps, and answers right."""
    async with asyncio.timeout(8):
        assert [await db.query_val("SELECT $1::int8", n) for n in (7, 8)] == [7, 8]
    await until_async(lambda: db.pool_stats()["busy"] == 0)
    assert not db.in_transaction()


async def lines(number: int, start: int = 0) -> AsyncIterator[str]:
    for n in range(start, start + number):
        yield f"{n}\tx\n"


async def records(number: int, start: int = 0) -> AsyncIterator[tuple[int, str]]:
    for n in range(start, start + number):
        yield n, "x"


# Async data.


class AsyncFile:
    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    async def read(self, size: int) -> bytes:
        await asyncio.sleep(0)
        return self._data.read(min(size, 1000))


class OddFile:
    """Its `read` is no coroutine function, and returns something to await."""

    def __init__(self, data: bytes) -> None:
        self._file = AsyncFile(data)

    def read(self, size: int) -> Awaitable[bytes]:
        return self._file.read(size)


async def test_data_may_come_from_an_async_generator(db: Database, control: Control) -> None:
    assert await db.execute(COPY, lines(5000)) == "COPY 5000"
    assert count(control) == 5000


@pytest.mark.parametrize("kind", [AsyncFile, OddFile])
async def test_data_may_come_from_an_async_file(
    db: Database, control: Control, kind: Callable[[bytes], Any]
) -> None:
    data = "".join(f"{n}\tx\n" for n in range(5000)).encode()
    assert await db.execute(COPY, kind(data)) == "COPY 5000"
    assert count(control) == 5000


async def test_data_may_come_from_a_stream_reader(db: Database, control: Control) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"1\tx\n2\ty\n3\t")
    reader.feed_data(b"z")
    reader.feed_eof()
    assert await db.execute(COPY, reader) == "COPY 3"
    assert count(control) == 3


async def test_a_file_that_blocks_does_not_stop_the_loop(
    db: Database, control: Control, tmp_path: Path
) -> None:
    threads: set[int] = set()

    class Slow:
        def __init__(self) -> None:
            self.left = 3

        def read(self, _: int) -> str:
            threads.add(threading.get_ident())
            self.left -= 1
            return f"{self.left}\tx\n" if self.left else ""

    assert await db.execute(COPY, Slow()) == "COPY 2"
    assert threading.get_ident() not in threads
    path = tmp_path / "data"
    path.write_text("5\tx\n6\ty\n")
    with path.open() as text, path.open("rb") as binary:
        with pytest.raises(TypeError):
            await db.execute(COPY, path)
        assert await db.execute(COPY, text) == "COPY 2"
        control.execute("TRUNCATE t")
        assert await db.execute(COPY, binary) == "COPY 2"


@pytest.mark.parametrize("wrong", [5, None, b""])
async def test_an_async_generator_of_something_else(db: Database, control: Control, wrong: Any) -> None:
    async def data() -> AsyncIterator[Any]:
        yield "1\tx\n"
        yield wrong

    if wrong == b"":
        assert await db.execute(COPY, data()) == "COPY 1"
        return
    with pytest.raises(TypeError, match="piece"):
        await db.execute(COPY, data())
    assert count(control) == 0
    await must_be_whole(db)


@pytest.mark.parametrize("after", [0, 1, 30_000])
@pytest.mark.parametrize("error", [ZeroDivisionError, TimeoutError, asyncio.CancelledError, GeneratorExit])
async def test_what_an_async_generator_raises_comes_out(
    db: Database, control: Control, after: int, error: type[BaseException]
) -> None:
    async def data() -> AsyncIterator[str]:
        async for line in lines(after):
            yield line
        raise error("on purpose")

    async def more() -> AsyncIterator[tuple[int, str]]:
        async for record in records(after):
            yield record
        raise error("on purpose")

    for kind in ("execute", "copy_records"):
        call = db.execute(COPY, data()) if kind == "execute" else db.copy_records("t", more())
        with pytest.raises(error):
            await call
        assert count(control) == 0
        await must_be_whole(db)


async def test_an_error_of_the_backend_stops_an_async_generator(db: Database, control: Control) -> None:
    taken = 0

    async def data() -> AsyncIterator[str]:
        nonlocal taken
        yield "x\ty\n"
        async for line in lines(10_000_000):
            taken += 1
            yield line + "\n" * 0

    with pytest.raises(InvalidTextRepresentation):
        await db.execute(COPY, data())
    assert taken < 3_000_000
    assert count(control) == 0
    await must_be_whole(db)


# What the data may do.


async def test_data_may_query_the_same_pool(url: str, control: Control) -> None:
    async with Database(url, 1, 3) as db:

        async def data() -> AsyncIterator[str]:
            for n in range(3):
                yield f"{await db.query_val('SELECT $1::int4', n)}\tx\n"

        async def more() -> AsyncIterator[tuple[int, str]]:
            async for row in db.stream("SELECT n FROM generate_series(10, 500) n", chunk=100):
                yield row["n"], await db.query_val("SELECT 'y'")

        async with asyncio.timeout(8):
            assert await db.execute(COPY, data()) == "COPY 3"
            assert await db.copy_records("t", more()) == "COPY 491"
        assert count(control) == 494
        await must_be_whole(db)


@pytest.mark.parametrize("kind", ["execute", "copy_records"])
async def test_data_that_queries_the_copying_block_is_refused(
    db: Database, control: Control, kind: str
) -> None:
    """It would wait for itself."""

    async def data() -> AsyncIterator[Any]:
        yield "1\tx\n" if kind == "execute" else (1, "x")
        await db.query_val("SELECT 1")

    async with asyncio.timeout(8):
        call = db.execute(COPY, data()) if kind == "execute" else db.copy_records("t", data())
        with pytest.raises(InterfaceError, match="takes the data of a COPY"):
            async with db.transaction():
                await call
        assert count(control) == 0
        await must_be_whole(db)


async def test_statements_of_child_tasks_wait_for_the_copy(db: Database, control: Control) -> None:
    async with asyncio.timeout(8), db.transaction():
        found = await asyncio.gather(
            db.execute(COPY, lines(20_000)),
            db.query_val("SELECT count(*) FROM t"),
            db.execute(COPY, lines(10, start=50_000)),
            db.query_val("SELECT count(*) FROM t"),
        )
    assert list(map(str, found)) == ["COPY 20000", "20000", "COPY 10", "20010"]
    assert count(control) == 20_010


async def test_many_copies_at_once(url: str, control: Control) -> None:
    async with Database(url, 2, 4) as db:
        await asyncio.gather(
            *(db.execute(COPY, lines(100, start=n * 100)) for n in range(20)),
            *(db.copy_records("t", [(100_000 + n * 100 + k, "y") for k in range(100)]) for n in range(20)),
            *(db.query_val("SELECT 1") for _ in range(20)),
        )
        assert count(control) == 4000
        await must_be_whole(db)


# Cancellation.


async def wait_until_copying(control: Control, state: str = "active") -> None:
    def is_copying() -> bool:
        return (
            control.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'copy%%'"
                " AND pid <> pg_backend_pid() AND state = %s",
                [state],
            ).fetchone()
            is not None
        )

    await until_async(is_copying)


@pytest.mark.parametrize("in_block", [False, True])
@pytest.mark.parametrize("kind", ["execute", "copy_records"])
async def test_cancelled_while_the_data_is_slow(
    db: Database, control: Control, in_block: bool, kind: str
) -> None:
    reached = asyncio.Event()

    async def data() -> AsyncIterator[Any]:
        for n in range(1000):
            yield f"{n}\tx\n" if kind == "execute" else (n, "x")
        reached.set()
        await asyncio.sleep(60)

    async def work() -> None:
        async with db.transaction() if in_block else contextlib.nullcontext():
            await (db.execute(COPY, data()) if kind == "execute" else db.copy_records("t", data()))

    task = asyncio.create_task(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert count(control) == 0
    await must_be_whole(db)


@pytest.mark.usefixtures("patient_recovery")
@pytest.mark.parametrize("in_block", [False, True])
async def test_cancelled_while_the_backend_is_slow(db: Database, control: Control, in_block: bool) -> None:
    control.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_sleep(30); RETURN NEW; END $$"
    )
    control.execute("CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()")
    pid = await db.query_val("SELECT pg_backend_pid()")

    async def work(size: int) -> None:
        async with db.transaction() if in_block else contextlib.nullcontext():
            await db.execute(COPY, lines(size))

    for size in (1, 1_000_000):
        task = asyncio.create_task(work(size))
        await wait_until_copying(control)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert count(control) == 0
        await must_be_whole(db)
    assert await db.query_val("SELECT pg_backend_pid()") == pid


async def test_cancelled_while_the_backend_stands_still(db: Database, control: Control) -> None:
    pid = await db.query_val("SELECT pg_backend_pid()")
    task = asyncio.create_task(db.execute(COPY, lines(10_000_000)))
    await wait_until_copying(control)
    with frozen(pid):
        await asyncio.sleep(0.3)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 5
        await must_be_whole(db)
    await until_async(
        lambda: control.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is None
    )
    assert count(control) == 0


async def test_cancelled_in_a_nested_block_the_outer_one_goes_on(db: Database, control: Control) -> None:
    async def endless() -> AsyncIterator[str]:
        yield "1\tx\n"
        await asyncio.sleep(60)

    async with db.transaction():
        await db.execute("INSERT INTO t VALUES (5, 'before')")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), db.transaction():
                await db.execute(COPY, endless())
        with pytest.raises(QueryTimeout):
            async with db.transaction():
                await db.execute(COPY, endless(), timeout=0.1)
        with pytest.raises(QueryTimeout):
            async with db.transaction():
                await db.copy_records("t", records(10_000_000, start=10), timeout=0.1)
        assert await db.execute(COPY, "6\tafter\n") == "COPY 1"
    assert count(control) == 2
    await must_be_whole(db)


async def test_time_that_passes_while_all_connections_are_busy(db: Database) -> None:
    async with db.transaction():
        await db.query_val("SELECT 1")

        async def other() -> None:
            with pytest.raises(QueryTimeout, match="busy"):
                await db.execute(COPY, "1\tx\n", timeout=0.1)
            with pytest.raises(QueryTimeout, match="busy"):
                await db.copy_records("t", [(1, "x")], timeout=0.1)

        # A context of its own: it is not in the block.
        await asyncio.create_task(other(), context=contextvars.Context())
    await must_be_whole(db)


# Reading.


async def test_a_reading_left_early_ends_a_moment_later(db: Database) -> None:
    async for part in db.copy_out(ENDLESS):
        assert part
        break
    await must_be_whole(db)
    async with db.copy_out(ENDLESS) as parts:
        async for part in parts:
            assert part
            break
    assert db.pool_stats()["busy"] == 0
    async for _ in db.copy_out(ENDLESS, into=tuple):
        break
    async for _ in db.stream(ENDLESS_ROWS):
        break
    await must_be_whole(db)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("nested", [False, True])
async def test_an_exception_in_the_loop_ends_the_block(
    db: Database, control: Control, kept: bool, nested: bool
) -> None:
    """Whether somebody still has the object or not: the block does not wait for itself."""
    held: list[Any] = []

    async def read() -> None:
        async with db.transaction():
            source = db.copy_out(ENDLESS)
            if kept:
                held.append(source)
            async for _ in source:
                raise ZeroDivisionError

    async with asyncio.timeout(8):
        if not nested:
            with pytest.raises(ZeroDivisionError):
                await read()
        else:
            async with db.transaction():
                await db.execute("INSERT INTO t VALUES (1, 'x')")
                with pytest.raises(ZeroDivisionError):
                    await read()
                await db.execute("INSERT INTO t VALUES (2, 'x')")
    assert count(control) == (2 if nested else 0)
    await must_be_whole(db)


async def test_a_block_ends_well_after_a_reading_that_was_left(db: Database, control: Control) -> None:
    async with asyncio.timeout(8):
        async with db.transaction():
            await db.execute("INSERT INTO t VALUES (1, 'x')")
            source = db.copy_out(OUT)
            async for _ in source:
                break
        assert count(control) == 1
        async with db.transaction():
            async with db.copy_out(OUT) as parts:
                async for _ in parts:
                    break
            await db.execute("INSERT INTO t VALUES (2, 'x')")
    assert count(control) == 2
    await must_be_whole(db)
    with pytest.raises(StopAsyncIteration):
        await anext(source._items)


async def test_a_reading_that_a_child_task_has_left(db: Database, control: Control) -> None:
    held: list[Any] = []

    async def read() -> None:
        source = db.copy_out(OUT)
        held.append(source)
        async for _ in source:
            return

    async with asyncio.timeout(8), db.transaction():
        await db.execute("INSERT INTO t VALUES (1, 'x')")
        await asyncio.create_task(read())
    assert count(control) == 1
    await must_be_whole(db)


async def test_a_statement_while_the_same_task_reads_is_refused(db: Database) -> None:
    async with asyncio.timeout(8), db.transaction():
        rows = 0
        async with db.copy_out("COPY (SELECT generate_series(1, 5)) TO STDOUT", into=tuple) as source:
            async for _ in source:
                rows += 1
                for call in (
                    lambda: db.query_val("SELECT 1"),
                    lambda: db.execute(COPY, "1\tx\n"),
                    lambda: db.copy_records("t", [(1, "x")]),
                    lambda: db.pipeline(["SELECT 1"]),
                    lambda: db.execute_many("SELECT $1::int4", [(1,)]),
                    lambda: anext(db.stream("SELECT 1")),
                    lambda: anext(aiter(db.copy_out(OUT))),
                ):
                    with pytest.raises(InterfaceError, match="copy_out"):
                        await call()
        assert rows == 5
        assert await db.query_val("SELECT 1") == 1


async def test_a_statement_of_another_task_waits_for_the_reading(db: Database) -> None:
    async with asyncio.timeout(8), db.transaction():
        other: asyncio.Task[Any] | None = None
        size = 0
        async for part in db.copy_out(OUT):
            if other is None:
                other = asyncio.create_task(db.query_val("SELECT 1"))
            size += len(part)
            assert not other.done()
            await asyncio.sleep(0)
        assert other is not None
        assert await other == 1
        assert size > 200_000 * 50


async def test_cancelled_while_it_reads(db: Database, control: Control) -> None:
    for in_block in (False, True):
        for make in (
            lambda: db.copy_out(ENDLESS),
            lambda: db.copy_out(ENDLESS, into=tuple),
            lambda: db.stream(ENDLESS_ROWS),
            lambda: db.copy_out("COPY (SELECT pg_sleep(30)) TO STDOUT"),
            lambda: db.stream("SELECT pg_sleep(30)"),
        ):

            async def read() -> None:
                async with db.transaction() if in_block else contextlib.nullcontext():  # noqa: B023
                    async for _ in make():  # noqa: B023
                        await asyncio.sleep(0)

            task = asyncio.create_task(read())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(8):
                    await task
            await must_be_whole(db)


async def test_a_generator_that_only_the_collector_finds(url: str, control: Control) -> None:
    asyncio.get_running_loop().set_exception_handler(None)
    async with Database(url, 1, 1) as db:
        for make in (
            lambda: aiter(db.copy_out(ENDLESS)),
            lambda: db.stream("SELECT generate_series(1, 9999)"),
        ):

            async def begin() -> None:
                cycle: list[Any] = [make()]  # noqa: B023
                cycle.append(cycle)
                await anext(cycle[0])

            await begin()
            gc.collect()
            await must_be_whole(db)


async def test_what_is_never_read_opens_nothing(url: str) -> None:
    async with Database(url, 0, 1) as db:
        db.copy_out(OUT)
        db.stream("SELECT 1")
        async with db.copy_out(OUT) as unread:
            pass
        await unread.aclose()
        gc.collect()
        assert db.pool_stats()["total"] == 0


async def test_a_stream_whose_block_has_ended(db: Database) -> None:
    async with db.transaction():
        rows = db.stream("SELECT generate_series(1, 10) AS n", chunk=2)
        assert await anext(rows) == {"n": 1}
    assert await anext(rows) == {"n": 2}  # that one is here already
    with pytest.raises(TransactionClosed):
        await anext(rows)
    await must_be_whole(db)
    async with db.transaction():
        rows = db.stream("SELECT generate_series(1, 10) AS n", chunk=2)
        await anext(rows)
    await rows.aclose()
    await must_be_whole(db)


async def test_what_is_left_of_a_stream_whose_connection_is_lost(db: Database, control: Control) -> None:
    async with asyncio.timeout(8):
        with pytest.raises(InFailedSqlTransaction, match="lost"):  # noqa: PT012 - the block raises
            async with db.transaction():
                pid = await db.query_val("SELECT pg_backend_pid()")
                rows = db.stream("SELECT generate_series(1, 10) AS n", chunk=2)
                await anext(rows)
                control.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
                with contextlib.suppress(Exception):
                    await db.query_val("SELECT 1")
                await rows.aclose()
    await must_be_whole(db)


async def test_the_body_of_a_stream_is_not_part_of_its_transaction(url: str, control: Control) -> None:
    async with Database(url, 1, 2) as db:
        async for row in db.stream("SELECT generate_series(1, 10) AS n", chunk=3):
            assert not db.in_transaction()
            await db.execute("INSERT INTO t VALUES ($1, 'x')", row["n"])
            if row["n"] == 5:
                break
        assert count(control) == 5
        await must_be_whole(db)


async def test_streams_may_be_interleaved_in_one_block(db: Database) -> None:
    async with db.transaction():
        one = db.stream("SELECT generate_series(1, 7) AS n", chunk=2, into=tuple)
        other = db.stream("SELECT generate_series(11, 17) AS n", chunk=3, into=tuple)
        found = [(await anext(one), await anext(other)) for _ in range(7)]
        assert found == [((n,), (n + 10,)) for n in range(1, 8)]
        for each in (one, other):
            with pytest.raises(StopAsyncIteration):
                await anext(each)
        assert await db.query_val("SELECT count(*) FROM pg_cursors WHERE name <> ''") == 0
        await asyncio.gather(*(sum_of(db, k) for k in range(5)))


async def sum_of(db: Database, k: int) -> None:
    total = 0
    async for row in db.stream("SELECT generate_series(1, 1000) * $1::int4 AS n", k, chunk=17):
        total += row["n"]
    assert total == k * 500_500


# Everybody else on the loop.


@pytest.mark.parametrize("kind", ["text", "big pieces", "records", "async records", "out", "rows", "stream"])
async def test_the_loop_is_not_starved(db: Database, control: Control, kind: str) -> None:
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def drain(source: Any) -> int:
        n = 0
        async for _ in source:
            n += 1
        return n

    big = "".join(f"{n}\t{'x' * 100}\n" for n in range(100_000))
    select = "SELECT n, repeat('x', 20) AS x FROM generate_series(1, 100000) n"
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "text": lambda: db.execute(COPY, (f"{n}\tx\n" for n in range(100_000))),
        "big pieces": lambda: db.execute(COPY, big),
        "records": lambda: db.copy_records("t", ((n, "x") for n in range(100_000))),
        "async records": lambda: db.copy_records("t", records(100_000)),
        "out": lambda: drain(db.copy_out(f"COPY ({select}) TO STDOUT")),
        "rows": lambda: drain(db.copy_out(f"COPY ({select}) TO STDOUT", into=dict)),
        "stream": lambda: drain(db.stream(select)),
    }
    ticker = asyncio.create_task(tick())
    await calls[kind]()
    ticker.cancel()
    # No less than one in a megabyte or ten milliseconds, whatever the machine.
    assert turns >= 10


async def test_a_slow_consumer_holds_the_backend_back(db: Database, control: Control) -> None:
    """Else all of it would be in memory: the backend waits in its own write."""
    async for _ in db.copy_out(ENDLESS):
        await wait_until_waiting(control)
        break
    await must_be_whole(db)


async def wait_until_waiting(control: Control) -> None:
    def is_waiting() -> bool:
        return (
            control.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event = 'ClientWrite'"
            ).fetchone()
            is not None
        )

    await until_async(is_waiting)


async def test_records_of_an_async_generator_name_their_number(db: Database, control: Control) -> None:
    async def some() -> AsyncIterator[tuple[object, str]]:
        for n in range(3000):
            yield (n if n != 2500 else "x"), "y"

    with pytest.raises(DataError, match='record 2500, column "a"'):
        await db.copy_records("t", some())
    assert count(control) == 0
    await must_be_whole(db)
