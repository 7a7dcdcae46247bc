"""How late other tasks of the loop run: a 1 ms ticker beside 16 tasks that query all the time.

`python bench/ticker.py [--quick]`. A driver that works long between two turns of the loop, or waits in it,
shows it here. The floor is the ticker alone: what the loop and the machine's timers are late by themselves.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import Any, Final

import _drivers
from _drivers import POOL_SIZE, Ask
from _harness import (
    LOOPS,
    Answer,
    Contender,
    EventLoop,
    Face,
    Figures,
    FiguresContender,
    Plan,
    Samples,
    Target,
    Who,
    judge,
    lines_with,
    take_turns,
)
from _latency import LONGEST, P50, P99, summary
from _main import Question, main
from _place import Place, environment
from lookup import SQL, TABLE_ROWS, create_users

TASKS: Final = 16
TICK_SECONDS: Final = 0.001
ALONE: Final = "nobody queries"
QUERIES: Final = "queries"
UNITS: Final = {P50: "µs", P99: "µs", LONGEST: "µs", QUERIES: "1/ms"}
TARGETS: Final = [
    Target(
        f"p99 lag of a 1 ms ticker beside {TASKS} querying tasks on {face} is at most asyncpg's",
        "asyncpg",
        face,
        face,
        P99,
        1.0,
    )
    for face in LOOPS
]
NOTES: Final = [
    "Lag: how long after its millisecond `asyncio.sleep(0.001)` comes back; 0 where a loop's timer is early.",
    (
        f"Each of {TASKS} tasks looks rows up by primary key, one after the other, for the whole turn. "
        "How many they find stands beside the lag, since who does little is easily in time."
    ),
    "Peer: asyncpg, `async with pool.acquire()` around every query.",
]


def _peer(face: Face) -> Who:
    return "asyncpg", face


async def _ticks(seconds: float) -> list[int]:
    """Return the lag of each tick."""
    clock, tick_ns = time.perf_counter_ns, round(TICK_SECONDS * 1e9)
    end = clock() + round(seconds * 1e9)
    lags = []
    while (start := clock()) < end:
        await asyncio.sleep(TICK_SECONDS)
        lags.append(max(1, clock() - start - tick_ns))  # not 0: ratios are taken
    return lags


def _beside(driver: str, loop: EventLoop, ask: Ask) -> Contender:
    async def one(key: int) -> dict[str, Any]:
        return dict(await ask(SQL, key))

    async def many(keys: Sequence[int]) -> Figures:
        count = 0
        is_over = False

        async def query(own: Iterator[int]) -> None:
            nonlocal count
            while not is_over:
                await ask(SQL, next(own))
                count += 1

        tasks = [asyncio.ensure_future(query(cycle(keys[task::TASKS]))) for task in range(TASKS)]
        start = time.perf_counter_ns()
        lags = await _ticks(len(keys) / 1000)
        took_ms = (time.perf_counter_ns() - start) / 1e6
        queries = count / took_ms
        is_over = True
        await asyncio.gather(*tasks)
        return Figures({**summary(lags), QUERIES: queries})

    return FiguresContender(driver, loop, one, many)


def _alone(loop: EventLoop) -> Contender:
    async def one(_: int) -> None:
        """Have no result that could be compared."""

    async def many(keys: Sequence[int]) -> Figures:
        return Figures({**summary(await _ticks(len(keys) / 1000)), QUERIES: 0})

    return FiguresContender(ALONE, loop, one, many)


def _measured(face: Face, place: Place, plan: Plan) -> Samples:
    with ExitStack() as stack:
        loop = stack.enter_context(EventLoop(face))
        asks = _drivers.asks_of(loop, place)
        contenders = [_beside(driver, loop, ask) for driver, ask in asks.items()]
        return take_turns([*contenders, _alone(loop)], range(1, TABLE_ROWS + 1), plan)


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; `plan.operations` is the milliseconds of a turn."""
    create_users(place)
    described = environment(place)
    samples: Samples = {}
    for face in LOOPS:
        samples |= _measured(face, place, plan)
    figures = {name: name for name in UNITS}
    against = {f"{measure} ÷ peer": (_peer, measure) for measure in (P99, LONGEST)}
    return Answer(
        question="ticker",
        title=f"Lag of a 1 ms ticker beside {TASKS} tasks that query over a pool of {POOL_SIZE} connections",
        units=UNITS,
        setting={"rounds": plan.rounds, "milliseconds per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_with(samples, figures, against),
        verdicts=judge(samples, TARGETS),
        notes=NOTES,
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=9, operations=3_000, warmup=300),
    quick=Plan(rounds=2, operations=300, warmup=100),
)

if __name__ == "__main__":
    main(QUESTION)
