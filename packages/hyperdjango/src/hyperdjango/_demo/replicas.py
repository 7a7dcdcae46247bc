"""The tour's step about routing: a replica of the tour's server, who answers what, and a promotion."""

import asyncio
import itertools
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from hyperdjango._demo.tour import Tour, duration
from hyperdjango.database import Database, Error, QueryEvent
from hyperdjango.multi_db import ConnectionManager

if TYPE_CHECKING:
    from hyperdjango.database._embedded_replica import ReplicatedServer

LEFT_OUT: Final = "left out: it copies and stops the server, and that of DATABASE_URL is somebody else's"
# So far behind that it does not have an own write yet when that is read.
APPLY_DELAY_MS: Final = 15
WRITES: Final = 20
SECONDS_MAX: Final = 30.0


@dataclass
class Answers:
    """Who answered what: a table that is filled by the query hook."""

    table: Table = field(default_factory=lambda: Table("Call", "Role", "Server", "Why", title="Who answered"))
    last: str = ""
    _awaited: tuple[str, str] | None = None

    def call(self, what: str, sql: str) -> str:
        """Have the next call with this text in the table, and return the text."""
        self._awaited = what, sql
        return sql

    def hook(self, event: QueryEvent) -> None:
        """Note one call."""
        if self._awaited is not None and event.sql == self._awaited[1]:
            route = event.route
            why = route.reason or "a write"
            self.last = f"{route.role} ({why})"
            row = self._awaited[0], route.role or "", f"{route.host}:{route.port}", why
            self.table.add_row(*map(escape, row))
            self._awaited = None


@dataclass
class Writer:
    """Writes one number after the other, whatever happens meanwhile."""

    db: Database
    sql: str
    confirmed: set[int] = field(default_factory=set[int])
    refused: int = 0
    _reached: asyncio.Event = field(default_factory=asyncio.Event)
    _wanted: int = 0

    async def run(self) -> None:
        """Write until cancelled."""
        for number in itertools.count(1):
            try:
                await self.db.execute(self.sql, number)
            except Error:
                self.refused += 1
                await asyncio.sleep(0.01)
                continue
            self.confirmed.add(number)
            if len(self.confirmed) >= self._wanted:
                self._reached.set()

    async def more(self, count: int) -> None:
        """Wait until so many more are confirmed."""
        self._wanted = len(self.confirmed) + count
        self._reached.clear()
        async with asyncio.timeout(SECONDS_MAX):
            await self._reached.wait()


async def replica(tour: Tour) -> str:
    """Start a replica of the tour's server, read from it, and promote it while writes go on."""
    server = tour.server
    if server is None:
        return LEFT_OUT
    async with AsyncExitStack() as stack:
        # The routing says in the log that a server went; here that is the point, and the table says it.
        silent = logging.NullHandler()
        logging.getLogger("hyperdjango.multi_db").addHandler(silent)
        stack.callback(logging.getLogger("hyperdjango.multi_db").removeHandler, silent)
        began = time.perf_counter()
        copy = await asyncio.to_thread(server.start_replica, apply_delay_ms=APPLY_DELAY_MS)
        took = duration(time.perf_counter() - began)
        stack.push_async_callback(asyncio.to_thread, put_back, server, copy)
        connections = ConnectionManager()
        stack.push_async_callback(connections.close)
        await connections.configure(
            {"default": {"primary": server.url, "replicas": [copy.url], "read_your_writes": "lsn"}}
        )
        answers = Answers()
        connections.on_query(answers.hook)
        own = await ask(tour, connections, answers)
        promoted = await promote(tour, connections, answers, server, copy)
    tour.console.print(answers.table)
    return f"copied in {took}; an own write was read by the {own}; {promoted}"


async def ask(tour: Tour, connections: ConnectionManager, answers: Answers) -> str:
    """Read, write, and read what was written."""
    db, reader = connections["default"], connections.reader("default")
    name = tour.table("visit")
    await reader.query_val(answers.call("a read", f"SELECT count(*) FROM {tour.table('reading')}"))
    with connections.scope():
        await db.execute(f"CREATE TABLE {name} (number int PRIMARY KEY)")
        await db.execute(answers.call("a write", f"INSERT INTO {name} VALUES ($1)"), 0)
        found = await reader.query_val(answers.call("a read of that write", f"SELECT number FROM {name}"))
        if found != 0:
            raise AssertionError("a read did not see the write before it")
        own = answers.last
    async with connections.pin("default"):
        await reader.query_val(answers.call("a read, pinned", f"SELECT max(number) FROM {name}"))
    return own


async def promote(
    tour: Tour,
    connections: ConnectionManager,
    answers: Answers,
    server: "ReplicatedServer",
    copy: "ReplicatedServer",
) -> str:
    """Stop the primary and promote its replica, with a writer that knows of nothing."""
    db, name = connections["default"], tour.table("visit")
    writer = Writer(db, f"INSERT INTO {name} VALUES ($1)")
    writing = asyncio.create_task(writer.run())
    try:
        await writer.more(WRITES)
        await streaming(db)
        began = time.perf_counter()
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(copy.promote)
        await writer.more(1)
        took = duration(time.perf_counter() - began)
        await writer.more(WRITES)
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    await db.execute(answers.call("a write after the promotion", f"INSERT INTO {name} VALUES (-$1::int)"), 1)
    kept = {number for (number,) in await db.query(f"SELECT number FROM {name}", into=tuple)}
    if writer.confirmed - kept:
        raise AssertionError("a confirmed write is not there after the promotion")
    return (
        f"its primary stopped, it was promoted, and writes went on within {took}: "
        f"{len(writer.confirmed):,} confirmed, {writer.refused:,} refused meanwhile, none lost"
    )


async def streaming(primary: Database) -> None:
    """Wait until the replica receives: then a primary that stops has sent it all."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if await primary.query_val("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"):
                return
            await asyncio.sleep(0.01)


def put_back(server: "ReplicatedServer", copy: "ReplicatedServer") -> None:
    """Remove the copy, and have the tour's server run as before."""
    copy.remove()
    server.start()
