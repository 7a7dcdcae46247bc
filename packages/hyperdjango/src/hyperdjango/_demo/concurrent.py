"""The tour's steps about many calls at once. What they say is measured or counted while they run.

Backends are counted by their process IDs, and what they do is what pg_stat_activity shows.
"""

import asyncio
import statistics
import time
from typing import Any, Final

from hyperdjango._demo.tour import STATIONS, Tour, duration
from hyperdjango._demo.trips import Trips, text_of
from hyperdjango.database import DivisionByZero, QueryTimeout

LOOKUPS: Final = 2_000
STATEMENTS: Final = 20
SLEEP_SECONDS: Final = 0.3
LIMIT_SECONDS: Final = 0.1
QUICK_TASKS: Final = 4

RUNNING: Final = """SELECT count(*) FROM pg_stat_activity
    WHERE state = 'active' AND query = $1 AND pid <> pg_backend_pid() AND datname = current_database()"""


async def at_once(tour: Tour) -> str:
    """Look up stations by their keys, thousands at the same time, over a few connections."""
    sql = f"SELECT name, pg_backend_pid() AS pid FROM {tour.table('station')} WHERE id = $1"

    async def look_up() -> list[dict[str, Any] | None]:
        calls = (tour.db.query_one(sql, number % STATIONS) for number in range(LOOKUPS))
        return list(await asyncio.gather(*calls))

    await look_up()  # the pool grows, and every connection learns the text
    trips = Trips(tour.db)
    began = time.perf_counter()
    rows = [row for row in await look_up() if row is not None]
    each = (time.perf_counter() - began) / LOOKUPS
    pieces = text_of(trips.take(), "piece")
    backends = len({row["pid"] for row in rows})
    return f"{len(rows):,} lookups by {backends} backends, {each * 1e6:.0f} µs each; sent in {pieces}"


async def slow_beside_quick(tour: Tour) -> str:
    """Go on looking up while another call is slow."""
    sql = f"SELECT name FROM {tour.table('station')} WHERE id = $1"
    sleep = f"SELECT pg_sleep({SLEEP_SECONDS})"
    slow = asyncio.create_task(tour.db.query(sleep))
    took: list[float] = []

    async def look_up() -> None:
        while not slow.done():
            began = time.perf_counter()
            await tour.db.query_val(sql, len(took) % STATIONS)
            took.append(time.perf_counter() - began)

    tasks = [asyncio.create_task(look_up()) for _ in range(QUICK_TASKS)]
    running: int = 0
    while not running and not slow.done():
        running = await tour.db.query_val(RUNNING, sleep)
    await asyncio.gather(slow, *tasks)
    usual, worst = duration(statistics.median(took)), duration(max(took))
    did = f"{len(took):,} lookups were done, {usual} each, {worst} at worst"
    return f"while {running} call slept {duration(SLEEP_SECONDS)}, {did}"


async def pipeline(tour: Tour) -> str:
    """Send statements together, one of them in vain, then the same one by one."""
    sql = f"SELECT name FROM {tour.table('station')} WHERE id = $1"
    lookups: list[tuple[str, list[object]]] = [(sql, [number]) for number in range(STATEMENTS)]
    results = await tour.db.pipeline(["SELECT 1 / 0", *lookups], return_exceptions=True)
    assert isinstance(results[0], DivisionByZero)
    done = sum(isinstance(result, list) for result in results)
    trips = Trips(tour.db)
    await tour.db.pipeline(lookups)
    together = text_of(trips.take(), "piece")
    for text, values in lookups:
        await tour.db.query_val(text, *values)
    apart = text_of(trips.take(), "piece")
    return (
        f"{done} lookups done beside a {type(results[0]).__name__}; sent in {together}, one by one in {apart}"
    )


async def round_trips(tour: Tour) -> str:
    """Count what a transaction costs: its statements and a COMMIT."""
    name = f"SELECT name FROM {tour.table('station')} WHERE id = $1"
    height = f"UPDATE {tour.table('station')} SET height_m = height_m WHERE id = $1"
    trips = Trips(tour.db)
    for _ in range(2):  # the first time the texts are new
        trips.take()
        async with tour.db.transaction():
            await tour.db.query_val(name, 1)
            await tour.db.execute(height, 1)
            async with tour.db.transaction():
                await tour.db.query_val(name, 2)
    some = text_of(trips.take())
    async with tour.db.transaction():
        pass
    return f"3 statements, one of them behind a savepoint: {some}; none at all: {text_of(trips.take())}"


async def timeout(tour: Tour) -> str:
    """Give a call a time limit, and see what is left of it."""
    sleep = "SELECT pg_sleep(30)"
    closed = tour.db.pool_stats()["closed"]
    began = time.perf_counter()
    try:
        await tour.db.query(sleep, timeout=LIMIT_SECONDS)
    except QueryTimeout as error:
        took = time.perf_counter() - began
        left: int = await tour.db.query_val(RUNNING, sleep)
        closed = tour.db.pool_stats()["closed"] - closed
        limit = f"{type(error).__name__} after {duration(took)}, with a limit of {duration(LIMIT_SECONDS)}"
        return f"{limit}; {left} statements left running, {closed} connections closed"
    raise AssertionError("the server slept for 30 seconds in less than the limit")
