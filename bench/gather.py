"""Throughput of many calls at once: 2 000 lookups by primary key, gathered over a pool of 16 connections.

`python bench/gather.py [--quick]`. Every call is a coroutine of its own that takes a connection and gives it
back; ours may send several down one connection. The floor is one blocking socket that has 20 of the same
Binds, Executes and Syncs under way at a time: what the server can do on one connection.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

import _drivers
from _bare import ask, prepare, rows_in
from _drivers import POOL_SIZE, Ask
from _harness import (
    LOOPS,
    OURS,
    WALL,
    Answer,
    AsyncContender,
    BlockingContender,
    Contender,
    EventLoop,
    Face,
    Failed,
    Plan,
    Samples,
    Target,
    Who,
    judge,
    lines_of,
    take_turns,
)
from _main import Question, main
from _place import Place, environment
from lookup import SQL, TABLE_ROWS, create_users

LOOKUPS: Final = 2_000
SMALL: Final = 2
UNDER_WAY: Final = 20
BARE: Final = f"bare blocking socket, {UNDER_WAY} under way"
LIMIT: Final = 0.25
NOTES: Final = [
    (
        "Wall and CPU are those of a whole gather, divided by its lookups: asyncpg's wall time divided by "
        "ours is how many times its throughput we have."
    ),
    (
        "Peer: asyncpg, `async with pool.acquire()` in every coroutine; its Records stay Records. The line "
        "without its reset leaves out the round trip that keeps one caller's session from the next."
    ),
    (
        "All pools are full before the clock starts, but for the line that says otherwise: that one has "
        "grown to what it wants in the warm-up."
    ),
    f"Bare: one blocking connection, {UNDER_WAY} lookups under way at a time, nothing decoded.",
]


def _targets(lookups: int) -> list[Target]:
    text = "lookups gathered on {} take at most 0.25 of asyncpg's wall time: 4 times its throughput"
    return [Target(f"{lookups} {text.format(face)}", "asyncpg", face, face, WALL, LIMIT) for face in LOOPS]


def _peer(face: Face) -> Who:
    return "asyncpg", face


def _floor(face: Face) -> Who:
    return BARE, face


def _gathering(driver: str, loop: EventLoop, ask_one: Ask) -> Contender:
    async def one(key: int) -> dict[str, Any]:
        return dict(await ask_one(SQL, key))

    async def many(keys: Sequence[int]) -> None:
        await asyncio.gather(*[ask_one(SQL, key) for key in keys])

    return AsyncContender(driver, loop, one, many)


async def _keep(_: object) -> None:
    """Stand in for asyncpg's reset, and leave the session as it is."""


def _bare(stack: ExitStack, place: Place, face: Face) -> Contender:
    sock = _drivers.bare(stack, place)
    sock.exchange(prepare(SQL))
    if rows_in(sock.exchange(ask(1))) != 1:
        raise Failed("the bare socket did not find a row")
    asked = {key: ask(key) for key in range(1, TABLE_ROWS + 1)}

    def many(keys: Sequence[int]) -> None:
        for at in range(0, len(keys), UNDER_WAY):
            some = keys[at : at + UNDER_WAY]
            sock.ask_several(b"".join([asked[key] for key in some]), len(some))

    return BlockingContender(BARE, lambda key: sock.ask(asked[key]), many, face)


def _measured(face: Face, place: Place, plan: Plan) -> Samples:
    """Measure on one loop; the connections of both at once would be more than a server takes by itself."""
    with ExitStack() as stack:
        loop = stack.enter_context(EventLoop(face))
        asks: dict[str, Ask] = {
            **_drivers.asks_of(loop, place),
            f"{OURS}, {SMALL} to {POOL_SIZE} connections": _drivers.ours(
                loop, place, SMALL, POOL_SIZE
            ).query_one,
            "asyncpg, without its reset": _drivers.asyncpg_ask(loop, place, reset=_keep),
        }
        contenders = [_gathering(driver, loop, ask_one) for driver, ask_one in asks.items()]
        return take_turns([*contenders, _bare(stack, place, face)], range(1, TABLE_ROWS + 1), plan)


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    create_users(place)
    described = environment(place)
    samples: Samples = {}
    for face in LOOPS:
        samples |= _measured(face, place, plan)
    return Answer(
        question="gather",
        title=f"{plan.operations} rows by primary key at once, over a pool of {POOL_SIZE} connections",
        units={"wall": "µs", "CPU": "µs"},
        setting={"rounds": plan.rounds, "lookups per gather": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_of(samples, peer=_peer, floor=_floor),
        verdicts=judge(samples, _targets(plan.operations)),
        notes=NOTES,
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=15, operations=LOOKUPS, warmup=400),
    quick=Plan(rounds=3, operations=500, warmup=100),
)

if __name__ == "__main__":
    main(QUESTION)
