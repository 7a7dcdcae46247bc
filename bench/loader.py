"""What a `load` costs beside the batch function: hyper-dataloader, aiodataloader and strawberry's DataLoader.

`python bench/loader.py [--quick]`. The batch function gives its keys back, so that nothing else is measured. Each way
of using a loader has its line: distinct keys that are asked for and awaited, keys that are known already, and a task
for each load, whose own cost is the larger part.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from importlib import metadata
from statistics import median
from typing import Any, Final, NamedTuple

import aiodataloader
import strawberry.dataloader
from _harness import (
    CPU,
    LOOPS,
    WALL,
    Answer,
    Contender,
    EventLoop,
    Face,
    Figures,
    FiguresContender,
    Line,
    Plan,
    Samples,
    Spread,
    Target,
    judge,
    ratio,
    take_turns,
)
from _main import Question, main
from _place import Place, environment
from hyperdjango.dataloader import DataLoader

LOADER: Final = "hyper-dataloader"
PEER: Final = "aiodataloader"
FLOOR: Final = "futures alone"
BATCH: Final = 100
LIMIT: Final = 0.5
NOTES: Final = [
    f"The time of one load in a turn of many, batches of {BATCH} included; the batch function returns its keys.",
    "Distinct keys: all are asked for, then their futures are awaited one after the other.",
    "Known keys: the same once more, by a loader that has them all.",
    "A task for each: `gather` of coroutines that await one load each; making and waking tasks is in it.",
    "Futures alone: one is made, resolved and awaited for each key; no loader can be quicker.",
    (
        "Ratios are to aiodataloader in the same way on the same loop. There, and in strawberry's, a caller that "
        "is cancelled cancels all callers of its key."
    ),
]


class Way(NamedTuple):
    """How a loader is used: what runs before the clock starts, and what is measured."""

    name: str
    before: "Use"
    use: "Use"


Use = Callable[[Any, Sequence[int]], Awaitable[None]]


async def give_back(keys: list[int]) -> list[int]:
    """Be the batch function."""
    return keys


async def nothing(_loader: Any, _keys: Sequence[int]) -> None:
    """Begin with a fresh loader."""


async def awaited(loader: Any, keys: Sequence[int]) -> None:
    """Ask for all, then await all."""
    futures = [loader.load(key) for key in keys]
    for future in futures:
        await future


async def in_tasks(loader: Any, keys: Sequence[int]) -> None:
    """Have a task for each."""

    async def one(key: int) -> Any:
        return await loader.load(key)

    await asyncio.gather(*[one(key) for key in keys])


WAYS: Final = (
    Way("distinct keys", nothing, awaited),
    Way("known keys", awaited, awaited),
    Way("a task for each", nothing, in_tasks),
)
LOADERS: Final[dict[str, Callable[[], Any]]] = {
    LOADER: lambda: DataLoader(give_back, BATCH),
    PEER: lambda: aiodataloader.DataLoader(give_back, max_batch_size=BATCH),
    "strawberry": lambda: strawberry.dataloader.DataLoader(give_back, max_batch_size=BATCH),
}


def _contender(loop: EventLoop, driver: str, make: Callable[[], Any], way: Way) -> Contender:
    async def one(key: int) -> int:
        found: int = await make().load(key)
        return found

    async def many(keys: Sequence[int]) -> Figures:
        loader = make()
        await way.before(loader, keys)
        return await _measured(way.use(loader, keys), len(keys))

    return FiguresContender(f"{driver}, {way.name}", loop, one, many)


def _floor(loop: EventLoop) -> Contender:
    async def one(key: int) -> int:
        return key

    async def futures_alone(keys: Sequence[int]) -> None:
        make = asyncio.get_running_loop().create_future
        futures = [make() for _ in keys]
        for future, key in zip(futures, keys, strict=True):
            future.set_result(key)
        for future in futures:
            await future

    async def many(keys: Sequence[int]) -> Figures:
        return await _measured(futures_alone(keys), len(keys))

    return FiguresContender(FLOOR, loop, one, many)


async def _measured(work: Awaitable[None], count: int) -> Figures:
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    await work
    took = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return Figures({WALL: took[0] / count, CPU: took[1] / count})


def _distinct(chance: random.Random, count: int) -> list[int]:
    return chance.sample(range(10 * count), count)


def _lines(samples: Samples) -> list[Line]:
    found: list[Line] = []
    for (driver, face), turns in samples.items():
        spreads = {
            name: Spread.of([turn.of(measure) for turn in turns])
            for name, measure in (("wall", WALL), ("CPU", CPU))
        }
        peer = f"{PEER}, {driver.partition(', ')[2] or WAYS[0].name}"
        ratios: dict[str, float | None] = {
            f"wall ÷ {PEER}": ratio(samples, (driver, face), (peer, face), WALL),
            f"CPU ÷ {PEER}": ratio(samples, (driver, face), (peer, face), CPU),
        }
        found.append(Line(driver, face, spreads, ratios))
    return found


def _target(face: Face) -> Target:
    way = WAYS[0].name
    text = f"a load takes at most {LIMIT} of aiodataloader's CPU time ({way}, {face})"
    # Nothing is waited for, so that what the processor does for others is all that the wall time has more.
    return Target(text, f"{PEER}, {way}", face, face, CPU, LIMIT, ours=f"{LOADER}, {way}")


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    described = environment(place)
    described["versions"] |= {name: metadata.version(name) for name in (LOADER, PEER, "strawberry-graphql")}
    samples: Samples = {}
    for face in LOOPS:
        with ExitStack() as stack:
            loop = stack.enter_context(EventLoop(face))
            contenders = [
                _contender(loop, driver, make, way) for way in WAYS for driver, make in LOADERS.items()
            ]
            samples |= take_turns([*contenders, _floor(loop)], range(1, 1000), plan, draw=_distinct)
    typical = round(median([turn.of(CPU) for turn in samples[f"{LOADER}, {WAYS[0].name}", LOOPS[0]]]))
    return Answer(
        question="loader",
        title="One load of a DataLoader, without what the batch function does",
        units={"wall": "ns", "CPU": "ns"},
        setting={"rounds": plan.rounds, "loads per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=_lines(samples),
        verdicts=judge(samples, [_target(face) for face in LOOPS]),
        notes=[*NOTES, f"So a batch of {BATCH} keys costs {typical * BATCH / 1000:.0f} µs beside its query."],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=21, operations=2_000, warmup=500),
    quick=Plan(rounds=3, operations=200, warmup=50),
)

if __name__ == "__main__":
    main(QUESTION)
