"""Section 6 of the contract: COPY in and out, its backpressure, its errors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from contract.wire import Wire
from hyperdjango.database import Database, DatabaseError, DataError

COPY_IN = "COPY t (a, b) FROM STDIN WITH (FORMAT csv)"
CSV = "1,one\n2,two\n"


@pytest.fixture
async def table(db: Database) -> None:
    """A table for COPY."""
    await db.execute("CREATE TABLE t (a int, b text)")


async def rows(db: Database) -> list[tuple[int, str]]:
    return await db.query("SELECT a, b FROM t ORDER BY a", into=tuple)


async def settled(count: Callable[[], int]) -> int:
    """Wait until a count stands still for half a second and return it."""
    async with asyncio.timeout(60):
        while True:
            before = count()
            await asyncio.sleep(0.5)
            if before and count() == before:
                return before


@pytest.mark.line("6.in.str")
@pytest.mark.usefixtures("table")
async def test_copy_in_of_a_str(db: Database) -> None:
    """await db.execute("COPY t (a, b) FROM STDIN WITH (FORMAT csv)", data) with str."""
    assert await db.execute(COPY_IN, CSV) == "COPY 2"
    assert await rows(db) == [(1, "one"), (2, "two")]


@pytest.mark.line("6.in.bytes")
@pytest.mark.usefixtures("table")
async def test_copy_in_of_bytes(db: Database) -> None:
    """With bytes."""
    assert await db.execute(COPY_IN, CSV.encode()) == "COPY 2"
    assert await rows(db) == [(1, "one"), (2, "two")]


@pytest.mark.line("6.in.iterable")
@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("kind", [str, bytes])
async def test_copy_in_of_an_iterable(db: Database, kind: type) -> None:
    """Or an iterable of them, cut anywhere."""
    pieces: Iterator[str | bytes] = (c if kind is str else c.encode() for c in CSV)
    assert await db.execute(COPY_IN, pieces) == "COPY 2"
    assert await rows(db) == [(1, "one"), (2, "two")]


@pytest.mark.line("6.in.async_iterable")
@pytest.mark.usefixtures("table")
async def test_copy_in_of_an_async_iterable(db: Database) -> None:
    """Or an async iterable of them."""

    async def pieces() -> AsyncIterator[str]:
        for character in CSV:
            await asyncio.sleep(0)
            yield character

    assert await db.execute(COPY_IN, pieces()) == "COPY 2"
    assert await rows(db) == [(1, "one"), (2, "two")]


@pytest.mark.line("6.records")
@pytest.mark.usefixtures("table")
async def test_copy_records_sends_python_rows_in_binary(wire: Wire, db: Database) -> None:
    """db.copy_records(table, records, columns=) sends Python rows in binary."""
    async with Database(wire.url, 1, 1) as through:
        assert await through.copy_records("t", [("one", 1), (None, 2)], columns=["b", "a"]) == "COPY 2"
    assert b"PGCOPY\n\xff\r\n\0" in wire.bytes_sent
    assert await rows(db) == [(1, "one"), (2, None)]


@pytest.mark.line("6.out")
@pytest.mark.usefixtures("table")
async def test_copy_out_streams(db: Database) -> None:
    """db.copy_out(sql) streams."""
    await db.execute(COPY_IN, CSV)
    parts = [part async for part in db.copy_out("COPY (SELECT * FROM t ORDER BY a) TO STDOUT (FORMAT csv)")]
    assert b"".join(parts) == CSV.encode()
    many = [part async for part in db.copy_out("COPY (SELECT generate_series(1, 200000)) TO STDOUT")]
    assert len(many) > 1
    assert b"".join(many).count(b"\n") == 200_000


@pytest.mark.line("6.backpressure.in")
@pytest.mark.usefixtures("table")
async def test_the_producer_waits_for_the_server(wire: Wire, db: Database) -> None:
    """Backpressure both ways, flat memory: the producer is asked for no more than can be sent."""
    line, asked = b"1," + b"x" * 65_000 + b"\n", 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield line

    async with Database(wire.url, 1, 1) as through:
        await through.query("SELECT 1")
        wire.flows.clear()
        copying = asyncio.create_task(through.execute(COPY_IN, endless()))
        try:
            # What the sockets of two machines may hold, not what the producer could make in that time.
            assert await settled(lambda: asked) * len(line) < 64 * 2**20
        finally:
            wire.flows.set()
            copying.cancel()
            await asyncio.wait([copying])
    assert await rows(db) == []


@pytest.mark.line("6.backpressure.out")
async def test_the_server_waits_for_the_consumer(wire: Wire) -> None:
    """Backpressure both ways, flat memory: nothing is received that nobody has asked for."""
    async with Database(wire.url, 1, 1) as through:
        sql = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 10000000)) TO STDOUT"
        async with through.copy_out(sql) as parts:
            assert await anext(aiter(parts))
            assert await settled(lambda: wire.received_bytes) < 64 * 2**20
        assert await through.query_val("SELECT 1") == 1


@pytest.mark.line("6.error")
@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a block"])
async def test_nothing_of_a_copy_that_failed_remains(url: str, inside: bool) -> None:
    """On any error nothing of the COPY remains and the connection is usable."""

    def broken() -> Iterator[str]:
        yield CSV
        raise LookupError("the producer's own")

    async with Database(url, 1, 1) as db:
        pid = await db.query_val("SELECT pg_backend_pid()")
        attempts: list[tuple[type[Exception], Callable[[], object]]] = [
            (DatabaseError, lambda: db.execute(COPY_IN, CSV + "three,3\n")),
            (LookupError, lambda: db.execute(COPY_IN, broken())),
            (DataError, lambda: db.copy_records("t", [(1, "one"), (2.5, "two")])),
        ]
        for kind, attempt in attempts:
            with pytest.raises(kind):
                if inside:
                    async with db.transaction():
                        await attempt()  # type: ignore[misc] # a coroutine, of whichever result
                else:
                    await attempt()  # type: ignore[misc] # as above
            assert await rows(db) == []
            assert await db.query_val("SELECT pg_backend_pid()") == pid
