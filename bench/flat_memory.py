"""Whether memory grows with the number of rows that pass through: it must not.

`python bench/flat_memory.py [--quick]`. Each way of passing many rows runs in a process of its own,
once with some rows and once with ten times as many, and says what the kernel counted.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from statistics import median
from typing import Any, Final

from _harness import OURS, Answer, Failed, Line, Plan, Spread, Verdict
from _main import Question, main
from _place import Place, environment
from hyperdjango.database import Database
from memory import peak
from rows import COLUMNS

SQL: Final = f"SELECT {COLUMNS} FROM generate_series(1, $1::int4) AS i"
LIMIT: Final = 1.05
TABLE: Final = "bench_flat"


async def _stream(db: Database, count: int) -> int:
    found = 0
    async for _row in db.stream(SQL, count):
        found += 1
    return found


async def _copy_out(db: Database, count: int) -> int:
    found = 0
    async for part in db.copy_out(f"COPY ({SQL.replace('$1', str(count))}) TO STDOUT"):
        found += part.count(b"\n")
    return found


async def _copy_in(db: Database, count: int) -> int:
    lines = (f"{i}\tcustomer {i}\t{i / 7}\n" for i in range(count))
    status = await db.execute(f"COPY {TABLE} FROM STDIN", lines)
    return status.rows


async def _copy_records(db: Database, count: int) -> int:
    records: Iterator[tuple[object, ...]] = ((i, f"customer {i}", i / 7) for i in range(count))
    status = await db.copy_records(TABLE, records)
    return status.rows


async def _execute_many(db: Database, count: int) -> int:
    sets: Iterator[tuple[object, ...]] = ((i, f"customer {i}", i / 7) for i in range(count // 10))
    status = await db.execute_many(f"INSERT INTO {TABLE} VALUES ($1, $2, $3)", sets)
    return status.rows * 10


WAYS: Final[dict[str, Callable[[Database, int], Awaitable[int]]]] = {
    "stream": _stream,
    "copy_out": _copy_out,
    "COPY FROM STDIN": _copy_in,
    "copy_records": _copy_records,
    "execute_many (a tenth of the rows)": _execute_many,
}


async def _measure(way: str, url: str, count: int) -> dict[str, Any]:
    async with Database(url, 1, 1) as db:
        await db.execute(f"DROP TABLE IF EXISTS {TABLE}")
        await db.execute(f"CREATE UNLOGGED TABLE {TABLE} (id int4, name text, price float8)")
        await WAYS[way](db, 10_000)
        found = await WAYS[way](db, count)
        return {"peak": peak(), "rows": found}


def _in_fresh_process(way: str, url: str, count: int) -> int:
    done = subprocess.run(
        [sys.executable, __file__, "--one", way, url, str(count)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failed(f"{way} did not pass {count} rows:\n{done.stderr}")
    found: dict[str, int] = json.loads(done.stdout)
    if found["rows"] != count:
        raise Failed(f"{way} has passed {found['rows']} rows of {count}")
    return found["peak"]


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; `plan.operations` is the larger number of rows."""
    described = environment(place)
    chance = random.Random(plan.seed)
    some: dict[str, list[int]] = {way: [] for way in WAYS}
    many: dict[str, list[int]] = {way: [] for way in WAYS}
    for _ in range(plan.rounds):
        for way in chance.sample(list(WAYS), k=len(WAYS)):
            some[way].append(_in_fresh_process(way, place.url, plan.operations // 10))
            many[way].append(_in_fresh_process(way, place.url, plan.operations))
    growth = {way: median(many[way]) / median(some[way]) for way in WAYS}
    return Answer(
        question="flat_memory",
        title=f"Peak memory while {plan.operations // 10} and {plan.operations} rows pass",
        units={"a tenth": "MiB", "all": "MiB"},
        setting={"rounds": plan.rounds, "rows": plan.operations, "seed": plan.seed},
        environment=described,
        lines=[
            Line(
                f"{OURS} {way}",
                "asyncio",
                {"a tenth": Spread.of(some[way]), "all": Spread.of(many[way])},
                {"all ÷ a tenth": growth[way]},
            )
            for way in WAYS
        ],
        verdicts=[
            Verdict(f"ten times the rows take at most {LIMIT:g} of the memory: {way}", LIMIT, growth[way])
            for way in WAYS
        ],
        notes=["VmHWM of a fresh process for each figure, interpreter and driver included."],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=1, operations=10_000_000, warmup=0),
    quick=Plan(rounds=1, operations=40_000, warmup=0),
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(asyncio.run(_measure(sys.argv[2], sys.argv[3], int(sys.argv[4])))))
    else:
        main(QUESTION)
