"""How each driver is opened for a benchmark: at its best settings, one connection each.

asyncpg: a prepared statement on a bare connection, which is quicker than its pool. psycopg: its C
implementation, autocommit, raw cursors (no rewriting of placeholders), prepared at once, binary both ways.
Ours: the public classes as a user has them, pool included.
"""

import asyncio
from contextlib import ExitStack
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
from _bare import BareSocket, LoopSocket
from _harness import EventLoop
from _place import Place
from hyperdjango.database import Database, SyncDatabase
from psycopg.rows import DictRow, dict_row


def ours(loop: EventLoop, place: Place) -> Database:
    """Open our asyncio face."""
    database: Database = loop.run(Database(place.url, 1, 1).connect())
    loop.defer(database.disconnect)
    return database


def ours_blocking(stack: ExitStack, place: Place) -> SyncDatabase:
    """Open our blocking face."""
    return stack.enter_context(SyncDatabase(place.url, 1, 1))


def asyncpg_statement(loop: EventLoop, place: Place, sql: str) -> Any:
    """Open asyncpg and prepare one statement."""
    connection = loop.run(asyncpg.connect(place.url))
    loop.defer(connection.close)
    return loop.run(connection.prepare(sql))


def asyncpg_pool(loop: EventLoop, place: Place) -> Any:
    """Open asyncpg's pool."""

    async def create() -> Any:  # it wants to be made on its loop
        return await asyncpg.create_pool(place.url, min_size=1, max_size=1)

    pool = loop.run(create())
    loop.defer(pool.close)
    return pool


def psycopg_cursor(loop: EventLoop, place: Place) -> psycopg.AsyncRawCursor[DictRow]:
    """Open psycopg's asyncio face."""
    connection: psycopg.AsyncConnection[Any] = loop.run(
        psycopg.AsyncConnection.connect(place.url, autocommit=True)
    )
    loop.defer(connection.close)
    return psycopg.AsyncRawCursor(connection, row_factory=dict_row)


def psycopg_blocking(stack: ExitStack, place: Place) -> psycopg.RawCursor[DictRow]:
    """Open psycopg's blocking face."""
    connection = stack.enter_context(psycopg.connect(place.url, autocommit=True))
    return psycopg.RawCursor(connection, row_factory=dict_row)


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
