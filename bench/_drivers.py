"""How each driver is opened for a benchmark: at its best settings.

asyncpg: a prepared statement on a bare connection, which is quicker than its pool. psycopg: its C
implementation, autocommit, raw cursors (no rewriting of placeholders), prepared at once, binary both ways.
Ours: the public classes as a user has them, pool included.
`asks_of` gives what many tasks at once call: each call takes a connection from its driver's pool and gives
it back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
import psycopg
from _bare import BareSocket, LoopSocket
from _harness import OURS, EventLoop
from _place import Place
from hyperdjango.database import Database, SyncDatabase
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

POOL_SIZE: Final = 16
Ask = Callable[..., Awaitable[Any]]  # of SQL and its values: the first row, by column name


def ours(loop: EventLoop, place: Place, min_size: int = 1, max_size: int = 1) -> Database:
    """Open our asyncio face."""
    database: Database = loop.run(Database(place.url, min_size, max_size).connect())
    loop.defer(database.disconnect)
    return database


def ours_blocking(stack: ExitStack, place: Place) -> SyncDatabase:
    """Open our blocking face."""
    return stack.enter_context(SyncDatabase(place.url, 1, 1))


def asyncpg_connection(loop: EventLoop, place: Place) -> Any:
    """Open asyncpg."""
    connection = loop.run(asyncpg.connect(place.url))
    loop.defer(connection.close)
    return connection


def asyncpg_statement(loop: EventLoop, place: Place, sql: str) -> Any:
    """Open asyncpg and prepare one statement."""
    return loop.run(asyncpg_connection(loop, place).prepare(sql))


def asyncpg_pool(loop: EventLoop, place: Place, size: int = 1, **options: Any) -> Any:
    """Open asyncpg's pool."""

    async def create() -> Any:  # it wants to be made on its loop
        return await asyncpg.create_pool(place.url, min_size=size, max_size=size, **options)

    pool = loop.run(create())
    loop.defer(pool.close)
    return pool


def asyncpg_ask(loop: EventLoop, place: Place, **options: Any) -> Ask:
    """Open asyncpg's pool, for calls that each acquire a connection."""
    pool = asyncpg_pool(loop, place, POOL_SIZE, **options)

    async def ask(sql: str, *args: object) -> Any:
        async with pool.acquire() as connection:
            return await connection.fetchrow(sql, *args)

    return ask


def psycopg_ask(loop: EventLoop, place: Place) -> Ask:
    """Open psycopg's pool, for calls that each take a connection."""

    async def create() -> AsyncConnectionPool[Any]:
        pool = AsyncConnectionPool(
            place.url, min_size=POOL_SIZE, max_size=POOL_SIZE, open=False, kwargs={"autocommit": True}
        )
        await pool.open(wait=True)
        return pool

    pool: AsyncConnectionPool[Any] = loop.run(create())
    loop.defer(pool.close)

    async def ask(sql: str, *args: object) -> DictRow | None:
        async with pool.connection() as connection:
            cursor = psycopg.AsyncRawCursor(connection, row_factory=dict_row)
            await cursor.execute(sql.encode(), args, prepare=True, binary=True)
            return await cursor.fetchone()

    return ask


def asks_of(loop: EventLoop, place: Place) -> dict[str, Ask]:
    """Open all three, each over a pool of `POOL_SIZE` connections that are open from the start."""
    return {
        OURS: ours(loop, place, POOL_SIZE, POOL_SIZE).query_one,
        "asyncpg": asyncpg_ask(loop, place),
        "psycopg": psycopg_ask(loop, place),
    }


def psycopg_connection(loop: EventLoop, place: Place) -> psycopg.AsyncConnection[Any]:
    """Open psycopg's asyncio face."""
    connection: psycopg.AsyncConnection[Any] = loop.run(
        psycopg.AsyncConnection.connect(place.url, autocommit=True)
    )
    loop.defer(connection.close)
    return connection


def psycopg_cursor(loop: EventLoop, place: Place) -> psycopg.AsyncRawCursor[DictRow]:
    """Open psycopg's asyncio face, for rows as dicts."""
    return psycopg.AsyncRawCursor(psycopg_connection(loop, place), row_factory=dict_row)


def psycopg_blocking_connection(stack: ExitStack, place: Place) -> psycopg.Connection[Any]:
    """Open psycopg's blocking face."""
    return stack.enter_context(psycopg.connect(place.url, autocommit=True))


def psycopg_blocking(stack: ExitStack, place: Place) -> psycopg.RawCursor[DictRow]:
    """Open psycopg's blocking face, for rows as dicts."""
    return psycopg.RawCursor(psycopg_blocking_connection(stack, place), row_factory=dict_row)


def bare(stack: ExitStack, place: Place) -> BareSocket:
    """Open a blocking bare socket."""
    return stack.enter_context(BareSocket(place))


def bare_on_loop(loop: EventLoop, place: Place) -> LoopSocket:
    """Open a bare socket for an event loop; it is not watched yet."""
    sock = LoopSocket(place, loop.runner.get_loop())

    async def close() -> None:
        await asyncio.sleep(0)
        sock.close()

    loop.defer(close)
    return sock
