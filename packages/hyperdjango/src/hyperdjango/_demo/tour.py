"""The tour itself: finds a server, runs the steps in order, clears up, prints the table.

`hyper demo` calls `run_demo`. The steps are in steps.py; a new one is a function and a line in its list.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hyperdjango.database import Database, Error, NativeExtensionMissing, quote_identifier

if TYPE_CHECKING:
    from hyperdjango.database._embedded_replica import ReplicatedServer

INTERRUPTED: Final = 130  # what a shell reports for a program that Ctrl-C ended
STATIONS: Final = 200


@dataclass
class Tour:
    """What a step is given."""

    db: Database
    console: Console
    url: str
    rows: int
    server: "ReplicatedServer | None" = None  # None for that of DATABASE_URL
    schema: str = field(default_factory=lambda: f"hyper_demo_{secrets.token_hex(4)}")
    kept: dict[str, Any] = field(default_factory=dict[str, Any])  # what a step leaves for later ones

    def table(self, name: str) -> str:
        """Return the name of one of the tour's tables, ready to stand in SQL."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(name)}"


class Step(NamedTuple):
    """One stop of the tour. `run` returns what it did, in one line."""

    name: str
    run: Callable[[Tour], Awaitable[str]]


class Done(NamedTuple):
    """A step that was run."""

    name: str
    did: str
    seconds: float


async def run_steps(tour: Tour, steps: list[Step]) -> list[Done]:
    """Run the steps in order; the tour's schema is dropped whatever happens."""
    done: list[Done] = []
    async with tour.db:
        try:
            for step in steps:
                began = time.perf_counter()
                did = await step.run(tour)
                done.append(Done(step.name, did, time.perf_counter() - began))
                tour.console.print(f"[green]done[/] {escape(step.name)} ({duration(done[-1].seconds)})")
        finally:
            await tour.db.execute(f"DROP SCHEMA IF EXISTS {quote_identifier(tour.schema)} CASCADE")
    return done


def summary(done: list[Done]) -> Table:
    """Return the closing table."""
    table = Table(title="What the tour did", title_style="bold", header_style="bold")
    table.add_column("Step", no_wrap=True)
    table.add_column("What it did", overflow="fold")
    table.add_column("Time", justify="right", no_wrap=True)
    for one in done:
        table.add_row(escape(one.name), escape(one.did), duration(one.seconds))
    table.add_section()
    table.add_row("all", "", duration(sum(one.seconds for one in done)))
    return table


def duration(seconds: float) -> str:
    """Return a time with a unit that suits it."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


class Place(NamedTuple):
    """Where the tour runs; `server` where that is one of its own."""

    url: str
    server: "ReplicatedServer | None" = None


@contextmanager
def place(console: Console) -> Generator[Place, None, None]:
    """Give the server of DATABASE_URL, or start one of our own and stop it afterwards."""
    given = os.environ.get("DATABASE_URL")
    if given:
        console.print("Using the server of DATABASE_URL.")
        yield Place(given)
        return
    from hyperdjango.database._embedded_replica import ReplicatedServer  # noqa: PLC0415 - not with DATABASE_URL

    with ExitStack() as stack:
        with console.status("Making a PostgreSQL server …"):
            server = stack.enter_context(ReplicatedServer())
        console.print(f"A PostgreSQL {server.binaries.version} of our own is running until the tour ends.")
        yield Place(server.url, server)


def run_demo(*, rows: int, console: Console | None = None) -> int:
    """Run the tour and return the exit code.

    Args:
        rows: How many rows to load.
        console: Where to print; None is the terminal.
    """
    from hyperdjango._demo.steps import STEPS  # noqa: PLC0415 - it imports this module
    from hyperdjango.database._embedded_server import EmbeddedServerError  # noqa: PLC0415 - as above

    console = console or Console()
    try:
        with place(console) as (url, server):
            tour = Tour(Database(url, min_size=2, max_size=8), console, url, rows, server)
            console.print(summary(asyncio.run(run_steps(tour, STEPS))))
    except KeyboardInterrupt:
        console.print("Interrupted; nothing was left behind.")
        return INTERRUPTED
    except (Error, EmbeddedServerError, NativeExtensionMissing, ValueError) as error:
        console.print(f"[red]The demo stopped:[/] {escape(str(error))}")
        return 1
    return 0
