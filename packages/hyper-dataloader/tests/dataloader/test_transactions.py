"""Loads of different transactions share neither a batch nor a cache; a batch runs in its loads' transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from batch_recorder import turns
from hyperdjango.database import Database, TransactionClosed
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.dataloader import DataLoader, group_loader, table_loader
from pgkit.until import until_async

pytestmark = pytest.mark.postgres

PID = "SELECT pg_backend_pid()"


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url, min_size=1, max_size=8) as db:
        await db.execute("CREATE TABLE items (id int PRIMARY KEY, n int)")
        await db.execute("INSERT INTO items VALUES (1, 1), (2, 2)")
        yield db


def number(row: Any) -> Any:
    return row and row["n"]


async def test_in_a_transaction_a_batch_runs_there(database_url: str) -> None:
    async with database(database_url) as db:
        pids: list[int] = []

        async def fetch(keys: list[int]) -> list[int]:
            pids.append(await db.query_val(PID))
            return keys

        loader: DataLoader[int, int] = DataLoader(fetch)
        items = table_loader(db, "items", "id")
        async with db.transaction():
            await db.execute("INSERT INTO items VALUES (3, 3)")
            assert number(await items.load(3)) == 3
            await loader.load(1)
            assert pids == [await db.query_val(PID)]
            # A task of the block is in it, too.
            tasks = [asyncio.create_task(items.load_many([1, 2, 3])) for _ in range(2)]
            assert [list(map(number, await task)) for task in tasks] == [[1, 2, 3]] * 2


async def test_loads_of_two_transactions_and_of_none_make_a_batch_each(database_url: str) -> None:
    async with database(database_url) as db:
        items = table_loader(db, "items", "id")
        ready = asyncio.Barrier(3)

        async def inside(n: int) -> list[Any]:
            async with db.transaction():
                await db.execute("INSERT INTO items VALUES ($1, $1)", n)
                await ready.wait()
                found = await items.load_many([1, 10, 11])
                await ready.wait()
                return list(map(number, found))

        async def outside() -> list[Any]:
            await ready.wait()
            found = await items.load_many([1, 10, 11])
            await ready.wait()
            return list(map(number, found))

        with capture_queries(db) as calls:
            found = list(await asyncio.gather(inside(10), inside(11), outside()))
        assert found == [[1, 10, None], [1, None, 11], [1, None, None]]
        assert sum("ANY" in call.sql for call in calls) == 3


async def test_what_is_read_in_a_transaction_is_not_seen_outside(database_url: str) -> None:
    async with database(database_url) as db:
        items = table_loader(db, "items", "id")

        async def work() -> None:
            async with db.transaction():
                await db.execute("UPDATE items SET n = 100 WHERE id = 1")
                assert number(await items.load(1)) == 100
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await work()
        assert number(await items.load(1)) == 1


async def test_what_was_read_before_a_transaction_is_read_anew_in_it(database_url: str) -> None:
    async with database(database_url) as db:
        items = table_loader(db, "items", "id")
        assert number(await items.load(1)) == 1
        async with db.transaction():
            await db.execute("UPDATE items SET n = 100 WHERE id = 1")
            assert number(await items.load(1)) == 100
            with assert_num_queries(db, 0):
                assert number(await items.load(1)) == 100
        items.clear(1)
        assert number(await items.load(1)) == 100


async def test_a_rollback_inside_of_a_block_forgets_what_was_read(database_url: str) -> None:
    async with database(database_url) as db:
        items = table_loader(db, "items", "id")

        async def work() -> None:
            async with db.transaction():
                await db.execute("INSERT INTO items VALUES (5, 5)")
                items.clear(5)
                assert number(await items.load(5)) == 5
                raise ZeroDivisionError

        async with db.transaction():
            assert number(await items.load(5)) is None
            with pytest.raises(ZeroDivisionError):
                await work()
            assert number(await items.load(5)) is None
            async with db.transaction():
                await db.execute("INSERT INTO items VALUES (5, 6)")
                items.clear()
            assert number(await items.load(5)) == 6


async def test_prime_is_for_its_own_transaction_and_clear_for_all(database_url: str) -> None:
    async with database(database_url) as db:
        items: DataLoader[Any, Any] = table_loader(db, "items", "id")
        async with db.transaction():
            items.prime(1, {"n": "primed"})
            assert number(await items.load(1)) == "primed"

            async def elsewhere() -> Any:
                return number(await items.load(1))

            import contextvars

            outside = contextvars.Context()
            assert await asyncio.create_task(elsewhere(), context=outside) == 1
            items.clear(1)
            assert number(await items.load(1)) == 1
        with assert_num_queries(db, 1):
            assert number(await items.load(1)) == 1


async def test_blocks_of_two_databases_are_two_transactions(database_url: str) -> None:
    async with database(database_url) as db, Database(database_url, min_size=1) as other:

        async def fetch(keys: list[int]) -> list[Any]:
            inside = await db.query("SELECT id FROM items WHERE id = ANY($1)", keys, into=tuple)
            return [(db.in_transaction(), other.in_transaction(), (key,) in inside) for key in keys]

        loader: DataLoader[int, Any] = DataLoader(fetch)
        assert await loader.load(1) == (False, False, True)
        async with other.transaction():
            assert await loader.load(1) == (False, True, True)
            async with db.transaction():
                await db.execute("DELETE FROM items")
                assert await loader.load(1) == (True, True, False)
            assert await loader.load(1) == (False, True, True)
        assert await loader.load(1) == (False, False, True)


async def test_a_batch_that_leaves_after_its_block_has_ended_is_an_error(database_url: str) -> None:
    async with database(database_url) as db:
        items = table_loader(db, "items", "id")
        async with db.transaction():
            await db.query_val("SELECT 1")
            late = items.load(1)
        with pytest.raises(TransactionClosed):
            await late
        assert number(await items.load(1)) == 1


async def test_lanes_of_transactions_that_have_ended_are_given_up(database_url: str) -> None:
    async with database(database_url) as db:
        items = group_loader(db, "items", "id")
        for _ in range(20):
            async with db.transaction():
                await items.load(1)
        assert len(items._lanes) <= 1
        assert items.stats().loads == 20


async def test_a_caller_that_is_cancelled_in_a_block_does_not_hold_up_its_end(database_url: str) -> None:
    async with database(database_url) as db:
        await db.execute("CREATE VIEW slow AS SELECT id FROM items, pg_sleep(60)")
        slow = table_loader(db, "slow", "id")

        async def work() -> None:
            async with db.transaction():
                await slow.load(1)

        task = asyncio.create_task(work())
        await until_async(lambda: bool(slow._chunks))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(30):
                await task
        await until_async(lambda: db.pool_stats()["busy"] == 0)


async def test_the_loads_of_a_repeated_transaction_are_those_of_each_attempt(database_url: str) -> None:
    from hyperdjango.database import SerializationFailure

    async with database(database_url) as db:
        items = table_loader(db, "items", "id")
        seen: list[Any] = []

        async def work() -> None:
            await db.execute("UPDATE items SET n = n + 1 WHERE id = 1")
            seen.append(number(await items.load(1)))
            if len(seen) < 3:
                raise SerializationFailure("again", sqlstate="40001")

        await db.run(work)
        assert seen == [2, 2, 2]
        assert number(await items.load(1)) == 2
