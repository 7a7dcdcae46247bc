"""Batch functions that send a `pipeline`: one round trip, in the block of their loads, errors where they belong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hyperdjango.database import Database, DivisionByZero, UndefinedTable
from hyperdjango.database.testing import capture_queries
from hyperdjango.dataloader import DataLoader
from pgkit import Proxy
from pgkit.until import until_async

pytestmark = pytest.mark.postgres

NAMES = "SELECT id, name FROM author WHERE id = ANY($1)"
COUNTS = "SELECT author_id, count(*) FROM book WHERE author_id = ANY($1) GROUP BY 1"


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url, min_size=1, max_size=4) as db:
        await db.execute("CREATE TABLE author (id int PRIMARY KEY, name text)")
        await db.execute("CREATE TABLE book (id int PRIMARY KEY, author_id int)")
        await db.execute("INSERT INTO author SELECT n, 'author ' || n FROM generate_series(1, 9) AS n")
        await db.execute("INSERT INTO book SELECT n, 1 + n % 9 FROM generate_series(1, 90) AS n")
        yield db


def profiles(db: Database) -> DataLoader[int, tuple[str, int]]:
    async def fetch(ids: list[int]) -> dict[int, tuple[str, int]]:
        names, counts = await db.pipeline([(NAMES, [ids]), (COUNTS, [ids])])
        written = dict(counts)
        return {key: (name, written.get(key, 0)) for key, name in names}

    return DataLoader(fetch)


async def test_a_batch_of_several_statements_is_one_round_trip(database_url: str) -> None:
    with Proxy.before(database_url) as proxy:
        async with database(proxy.url(database_url)) as db:
            loader = profiles(db)
            await loader.load_many([1, 2])  # the texts become known
            loader.clear()
            before = proxy.round_trips
            with capture_queries(db) as calls:
                found = await asyncio.gather(loader.load(3), loader.load_many([4, 5]), loader.load(3))
            assert found == [("author 3", 10), [("author 4", 10), ("author 5", 10)], ("author 3", 10)]
            assert len(calls) == 1
            assert proxy.round_trips - before == 1


async def test_in_a_block_it_sees_what_the_block_has_written(database_url: str) -> None:
    async with database(database_url) as db:
        loader = profiles(db)
        async with db.transaction():
            await db.execute("UPDATE author SET name = 'new' WHERE id = 1")
            await db.execute("DELETE FROM book WHERE author_id = 1")
            assert await loader.load_many([1, 2]) == [("new", 0), ("author 2", 10)]
            # And another loader at the same time, on the block's one connection.
            assert list(await asyncio.gather(loader.load(3), profiles(db).load(3))) == [("author 3", 10)] * 2


async def test_an_error_of_one_statement_is_that_of_every_key(database_url: str) -> None:
    async with database(database_url) as db:

        async def fetch(ids: list[int]) -> list[int]:
            await db.pipeline([(NAMES, [ids]), ("SELECT * FROM nowhere WHERE id = ANY($1)", [ids])])
            return ids

        loader: DataLoader[int, int] = DataLoader(fetch)
        outcomes = await loader.load_many([1, 2], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UndefinedTable] * 2
        assert await profiles(db).load(1) == ("author 1", 10)


async def test_a_statement_for_each_key_may_fail_for_that_key_alone(database_url: str) -> None:
    async with database(database_url) as db:

        async def fetch(keys: list[int]) -> list[Any]:
            outcomes = await db.pipeline(
                [("SELECT 10 / $1::int", [key]) for key in keys], return_exceptions=True
            )
            return [outcome if isinstance(outcome, Exception) else outcome[0][0] for outcome in outcomes]

        loader: DataLoader[int, int] = DataLoader(fetch)
        first, second, third = await loader.load_many([1, 0, 5], return_exceptions=True)
        assert (first, third) == (10, 2)
        assert isinstance(second, DivisionByZero)


async def test_a_pipeline_that_nobody_waits_for_is_cancelled(database_url: str) -> None:
    async with database(database_url) as db:

        async def fetch(keys: list[int]) -> list[int]:
            await db.pipeline(["SELECT pg_sleep(600)", "SELECT 1"])
            return keys

        loader: DataLoader[int, int] = DataLoader(fetch)
        waiting = asyncio.ensure_future(loader.load(1))
        await until_async(lambda: db.pool_stats()["busy"])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until_async(lambda: not db.pool_stats()["busy"])
        assert await profiles(db).load(1) == ("author 1", 10)
