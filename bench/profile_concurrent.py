"""Runs of one purpose for a profiler: lookups gathered over a pool, again and again, without a server.

    python bench/profile_concurrent.py count           instructions per gathered lookup, of ours and asyncpg
    valgrind --tool=callgrind python bench/profile_concurrent.py run hyper-pgzig --repeat 50
    py-spy record -- python bench/profile_concurrent.py run hyper-pgzig --repeat 500

As `profile_rows.py`, whose recording of a lookup it uses: a process of its own replays what a real server
once said, to as many sessions as the pool opens, so that only the client is counted. How many replies have
come when the client looks depends on the clock, and a client under valgrind is slow: so counts of two runs
differ by some percent, and replies wait in greater numbers than beside a real server.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
import uvloop
from _drivers import POOL_SIZE
from _harness import LOOPS, OURS, RESULTS, Failed
from _main import warn_of_debug
from _replay import Recording
from hyperdjango.database import Database
from profile_rows import instructions_of, recorded, replaying

SHAPE: Final = "lookup"
LOOKUPS: Final = 200  # in one gather
# Gathers of the two runs whose counts are subtracted.
REPEATS: Final = (2, 8)


async def run_ours(recording: Recording, url: str, repeat: int, size: int) -> Any:
    """Gather over Database."""
    async with Database(url, size, size) as database:
        return await _gathers(database.query_one, recording, repeat)


async def run_asyncpg(recording: Recording, url: str, repeat: int, size: int) -> Any:
    """Gather over asyncpg's pool, acquiring in each coroutine."""

    async def fetch(sql: str, *args: object) -> dict[str, Any]:
        async with pool.acquire() as connection:
            return dict(await connection.fetchrow(sql, *args))

    async with asyncpg.create_pool(url, min_size=size, max_size=size) as pool:
        return await _gathers(fetch, recording, repeat)


async def _gathers(ask: Callable[..., Awaitable[Any]], recording: Recording, repeat: int) -> Any:
    rows: list[Any] = []
    for _ in range(repeat + 1):
        rows = await asyncio.gather(*[ask(recording.sql, *recording.parameters) for _ in range(LOOKUPS)])
    return rows


DRIVERS: Final = {OURS: run_ours, "asyncpg": run_asyncpg}


def run(driver: str, face: str, repeat: int, size: int, folder: Path = RESULTS) -> list[Any]:
    """Make one run and return the rows of its last gather.

    Raises:
        Failed: The rows differ, though the same reply was replayed for all.
    """
    path = recorded(SHAPE, folder)
    factory = uvloop.new_event_loop if face == "uvloop" else None
    with replaying(path) as url, asyncio.Runner(loop_factory=factory) as runner:
        rows: list[Any] = runner.run(DRIVERS[driver](Recording.read(path), url, repeat, size))
    if len(rows) != LOOKUPS or any(row != rows[0] for row in rows):
        raise Failed(f"{driver} gave other rows than were replayed")
    return rows


def count(driver: str, face: str, size: int, folder: Path) -> float:
    """Return the instructions per lookup."""
    few, many = (
        instructions_of(
            __file__, ["run", driver, "--face", face, "--repeat", str(repeat), "--size", str(size)], folder
        )
        for repeat in REPEATS
    )
    return (many - few) / (REPEATS[1] - REPEATS[0]) / LOOKUPS


def main() -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="one run, for a profiler")
    one.add_argument("driver", choices=DRIVERS)
    one.add_argument("--repeat", type=int, default=5, help=f"gathers of {LOOKUPS} lookups")
    several = commands.add_parser("count", help="instructions per lookup")
    several.add_argument("--driver", choices=DRIVERS, action="append")
    for command in (one, several):
        command.add_argument("--face", choices=LOOPS, default=LOOPS[0])
        command.add_argument("--size", type=int, default=POOL_SIZE, help="connections of the pool")
        command.add_argument("--folder", type=Path, default=RESULTS)
    options = parser.parse_args()
    try:
        if options.command == "run":
            run(options.driver, options.face, options.repeat, options.size, options.folder)
        else:
            warn_of_debug()
            recorded(SHAPE, options.folder)
            for driver in options.driver or DRIVERS:
                figure = count(driver, options.face, options.size, options.folder)
                print(f"{driver:22} {figure:12,.0f} instructions per gathered lookup", flush=True)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
