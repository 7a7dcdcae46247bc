"""Latency of quick calls among slow ones: lookups by primary key, and 1 % that sleep 50 ms in the server.

`python bench/mixed.py [--quick]`. A driver that puts a lookup behind a sleeping statement on one connection
shows it here. Each of three variants is measured by itself: all calls at once; 16 tasks that make one call
after the other; and the same where a slow call has the very text of a quick one, so that nobody can know.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
    Line,
    Plan,
    Target,
    Verdict,
    Who,
    judge,
    lines_with,
    take_turns,
)
from _latency import LONGEST, P50, P99, summary
from _main import Question, main
from _place import Place, environment
from lookup import SQL, TABLE_ROWS, create_users

CALLS: Final = 2_000
SLOW_OF: Final = 100  # one call in so many
SLOW_SECONDS: Final = 0.05
TASKS: Final = 16
SLOW_SQL: Final = f"SELECT pg_sleep({SLOW_SECONDS}) IS NULL AS slept"
# The second value says how long it takes.
EITHER_SQL: Final = (
    "SELECT id, name, email, active, created_at, pg_sleep($2::float8) IS NULL AS slept "
    "FROM bench_users WHERE id = $1"
)
TURN: Final = "whole turn"
Call = Callable[[Ask, int], Awaitable[Any]]  # of a driver's ask and a key; a slow call has its key negated
Spread = Callable[[Callable[[int], Awaitable[None]], Sequence[int]], Awaitable[None]]


def _two_texts(ask: Ask, key: int) -> Awaitable[Any]:
    return ask(SQL, key) if key > 0 else ask(SLOW_SQL)


def _one_text(ask: Ask, key: int) -> Awaitable[Any]:
    return ask(EITHER_SQL, abs(key), 0.0 if key > 0 else SLOW_SECONDS)


async def _all_at_once(call: Callable[[int], Awaitable[None]], keys: Sequence[int]) -> None:
    await asyncio.gather(*[call(key) for key in keys])


async def _in_tasks(call: Callable[[int], Awaitable[None]], keys: Sequence[int]) -> None:
    async def share(own: Sequence[int]) -> None:
        for key in own:
            await call(key)

    await asyncio.gather(*[share(keys[task::TASKS]) for task in range(TASKS)])


@dataclass(frozen=True)
class Variant:
    """One way to mix them."""

    name: str
    call: Call
    spread: Spread


VARIANTS: Final = (
    Variant("all at once", _two_texts, _all_at_once),
    Variant(f"{TASKS} tasks", _two_texts, _in_tasks),
    Variant(f"{TASKS} tasks, one SQL text", _one_text, _in_tasks),
)
NOTES: Final = [
    f"One call in {SLOW_OF} sleeps {SLOW_SECONDS:g} s in the server, at places drawn from the seed.",
    (
        "The latency of a quick call runs from the call to its end: waiting for a connection is in it. "
        "Quantiles are those of one turn; shown is their median over the rounds."
    ),
    "All at once: one gather, so that the last call's latency is the whole turn's.",
    f"{TASKS} tasks: each makes its share of the calls, one after the other. A connection is there for each.",
    (
        "One SQL text: quick and slow are the same statement with another value, so that only by its "
        "running can a driver know one from the other."
    ),
    "Peer: asyncpg, `async with pool.acquire()` around every call.",
]


def _targets(face: Face, variant: Variant) -> list[Target]:
    text = f"p99 of quick calls among slow ones ({variant.name}) on {face} is at most asyncpg's"
    return [Target(text, "asyncpg", face, face, P99, 1.0)]


def _peer(face: Face) -> Who:
    return "asyncpg", face


def draw(chance: random.Random, count: int) -> list[int]:
    """Draw a turn's keys; those of slow calls are negated."""
    keys = chance.choices(range(1, TABLE_ROWS + 1), k=count)
    for place in chance.sample(range(count), k=count // SLOW_OF):
        keys[place] = -keys[place]
    return keys


def _mixing(driver: str, loop: EventLoop, ask: Ask, variant: Variant) -> Contender:
    make, spread = variant.call, variant.spread

    async def one(key: int) -> dict[str, Any]:
        return dict(await make(ask, key))

    async def many(keys: Sequence[int]) -> Figures:
        latencies: list[int] = []
        clock = time.perf_counter_ns

        async def call(key: int) -> None:
            start = clock()
            await make(ask, key)
            if key > 0:
                latencies.append(clock() - start)

        start = clock()
        await spread(call, keys)
        return Figures({**summary(latencies), TURN: clock() - start})

    return FiguresContender(driver, loop, one, many)


def _measured(face: Face, place: Place, plan: Plan) -> tuple[list[Line], list[Verdict]]:
    lines, verdicts = [], []
    figures = {P50: P50, P99: P99, LONGEST: LONGEST, TURN: TURN}
    with ExitStack() as stack:
        loop = stack.enter_context(EventLoop(face))
        asks = _drivers.asks_of(loop, place)
        for variant in VARIANTS:
            contenders = [_mixing(driver, loop, ask, variant) for driver, ask in asks.items()]
            samples = take_turns(contenders, range(1, TABLE_ROWS + 1), plan, draw=draw)
            against = {f"{measure} ÷ peer": (_peer, measure) for measure in (P50, P99)}
            lines += [
                replace(line, face=f"{face}, {variant.name}")
                for line in lines_with(samples, figures, against)
            ]
            verdicts += judge(samples, _targets(face, variant))
    return lines, verdicts


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    create_users(place)
    described = environment(place)
    lines, verdicts = [], []
    for face in LOOPS:
        found, judged = _measured(face, place, plan)
        lines += found
        verdicts += judged
    return Answer(
        question="mixed",
        title=f"Latency of lookups among 1 % that sleep, over a pool of {POOL_SIZE} connections",
        units={P50: "ms", P99: "ms", LONGEST: "ms", TURN: "ms"},
        setting={"rounds": plan.rounds, "calls per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines,
        verdicts=verdicts,
        notes=NOTES,
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=15, operations=CALLS, warmup=400),
    quick=Plan(rounds=2, operations=300, warmup=100),
)

if __name__ == "__main__":
    main(QUESTION)
