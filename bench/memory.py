"""How much memory a driver holds at its peak, for a 10^6-row query as tuples.

`python bench/memory.py [--quick]`. Each driver runs in a process of its own, started anew for each round, and
says what the kernel counted: nothing of an earlier run can hide in a heap that is already large.
PostgreSQL docs: none; the counter is VmHWM of proc_pid_status(5).
"""

import asyncio
import json
import random
import resource
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
import psycopg
from _harness import OURS, Answer, Failed, Line, Plan, Spread, Verdict
from _main import Question, main
from _place import Place, environment
from hyperdjango.database import Database
from rows import COLUMNS

SQL: Final = f"SELECT {COLUMNS} FROM generate_series(1, $1::int4) AS i"
LIMIT: Final = 1.0
STATUS: Final = Path("/proc/self/status")


async def _ours(url: str) -> Callable[[int], Awaitable[Sequence[Any]]]:
    database = await Database(url, 1, 1).connect()
    return lambda rows: database.query(SQL, rows, into=tuple)


async def _asyncpg(url: str) -> Callable[[int], Awaitable[Sequence[Any]]]:
    connection = await asyncpg.connect(url)
    statement = await connection.prepare(SQL)

    async def fetch(rows: int) -> Sequence[Any]:
        found: Sequence[Any] = await statement.fetch(rows)
        return found

    return fetch


async def _psycopg(url: str) -> Callable[[int], Awaitable[Sequence[Any]]]:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    cursor = psycopg.AsyncRawCursor(connection)

    async def fetch(rows: int) -> Sequence[Any]:
        await cursor.execute(SQL, (rows,), prepare=True, binary=True)
        return await cursor.fetchall()

    return fetch


DRIVERS: Final = {OURS: _ours, "asyncpg": _asyncpg, "psycopg": _psycopg}


def peak() -> int:
    """Return the most bytes this process has had in memory."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # Elsewhere: kibibytes, but bytes on macOS. Where a child inherits its parent's peak, ours is small.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def _measure(driver: str, url: str, count: int) -> dict[str, Any]:
    fetch = await DRIVERS[driver](url)
    await fetch(1)
    before = peak()
    rows = await fetch(count)
    highest = peak()
    return {"before": before, "peak": highest, "rows": len(rows), "last": [str(value) for value in rows[-1]]}


def _in_fresh_process(driver: str, url: str, count: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--one", driver, url, str(count)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"{driver} did not hold {count} rows:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; `plan.operations` is the number of rows."""
    described = environment(place)
    chance = random.Random(plan.seed)
    found: dict[str, list[dict[str, Any]]] = {driver: [] for driver in DRIVERS}
    for _ in range(plan.rounds):
        for driver in chance.sample(list(DRIVERS), k=len(DRIVERS)):
            found[driver].append(_in_fresh_process(driver, place.url, plan.operations))
    results = {(one["rows"], *one["last"]) for several in found.values() for one in several}
    if len(results) != 1 or next(iter(results))[0] != plan.operations:
        raise Failed(f"the drivers disagree about the rows: {results}")
    return Answer(
        question="memory",
        title=f"Peak memory of a query of {plan.operations} rows, as tuples",
        units={"peak RSS": "MiB", "above the process before it": "MiB"},
        setting={"rounds": plan.rounds, "rows": plan.operations, "seed": plan.seed},
        environment=described,
        lines=[_line(driver, found) for driver in DRIVERS],
        verdicts=[
            Verdict(
                f"the peak of {plan.operations} rows as tuples is at most {LIMIT:g} of asyncpg's as Records",
                LIMIT,
                _ratio(found, OURS),
            )
        ],
        notes=[
            "The 8 columns of the question before. asyncpg gives Records, the others tuples.",
            "VmHWM of a fresh process for each figure; all rows are alive when it is read.",
        ],
    )


def _line(driver: str, found: dict[str, list[dict[str, Any]]]) -> Line:
    figures = {
        "peak RSS": Spread.of([one["peak"] for one in found[driver]]),
        "above the process before it": Spread.of([one["peak"] - one["before"] for one in found[driver]]),
    }
    return Line(driver, "asyncio", figures, {"peak ÷ peer": _ratio(found, driver)})


def _ratio(found: dict[str, list[dict[str, Any]]], driver: str) -> float:
    peaks: list[float] = [one["peak"] for one in found[driver]]
    others: list[float] = [one["peak"] for one in found["asyncpg"]]
    return median([peak / other for peak, other in zip(peaks, others, strict=True)])


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=3, operations=1_000_000, warmup=0),
    quick=Plan(rounds=1, operations=20_000, warmup=0),
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(asyncio.run(_measure(sys.argv[2], sys.argv[3], int(sys.argv[4])))))
    else:
        main(QUESTION)
