"""Drivers take turns in one process: what every benchmark of this folder measures with, and writes down.

A question (`lookup.py`, `rows.py` …) makes its contenders, gives them to `take_turns` and gets figures back.
In each round every contender has one turn, in an order drawn anew from the seed, so that a slow minute of the
machine meets all of them. Ratios are taken within a round and only then is their median taken.
"""

import asyncio
import gc
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, Literal, Protocol, Self

import uvloop

Face = Literal["asyncio", "uvloop", "blocking"]
Measure = str  # the name of a figure: "wall", "cpu", "p99" …
LOOPS: Final[tuple[Face, ...]] = ("asyncio", "uvloop")
OURS: Final = "hyper-pgzig"
WALL: Final[Measure] = "wall"
CPU: Final[Measure] = "cpu"
SCHEMA: Final = 1
RESULTS: Final = Path(__file__).resolve().parents[1] / "build" / "bench"


class Failed(Exception):  # noqa: N818 - read as a sentence where it is raised
    """A benchmark that must not go on: contenders disagree about the result, or a turn cannot be measured."""


@dataclass(frozen=True)
class Plan:
    """How much is measured. All inputs come from the seed."""

    rounds: int
    operations: int  # per turn
    warmup: int  # operations of each contender before the first round
    seed: int = 20_261


class Measured(Protocol):
    """What one turn gave."""

    def of(self, measure: Measure) -> float: ...


@dataclass(frozen=True)
class Turn:
    """What one turn cost, in nanoseconds per operation. `cpu` is that of this process, all its threads."""

    wall: float
    cpu: float

    def of(self, measure: Measure) -> float:
        """Return one of the two."""
        return {WALL: self.wall, CPU: self.cpu}[measure]


@dataclass(frozen=True)
class Figures:
    """What one turn gave, where that is not only what an operation cost."""

    values: dict[Measure, float]

    def of(self, measure: Measure) -> float:
        """Return one of them."""
        return self.values[measure]


class Contender(Protocol):
    """One driver on one face."""

    @property
    def driver(self) -> str: ...
    @property
    def face(self) -> Face: ...
    def show(self, key: int) -> Any: ...  # the result of one operation, to compare; None: decodes nothing
    def turn(self, keys: Sequence[int]) -> Measured: ...  # one operation for each key


class EventLoop:
    """One event loop for all contenders of a face, alive for the whole benchmark."""

    def __init__(self, face: Face) -> None:
        self.face: Face = face
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop if face == "uvloop" else None)
        self._closers: list[Callable[[], Awaitable[object]]] = []

    def run(self, work: Awaitable[Any]) -> Any:
        """Run until `work` is done."""

        async def wait() -> Any:
            return await work

        return self.runner.run(wait())

    def defer(self, closer: Callable[[], Awaitable[object]]) -> None:
        """Call this on the loop before it closes."""
        self._closers.append(closer)

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what was opened, then the loop."""
        try:
            while self._closers:
                self.run(self._closers.pop()())
        finally:
            self.runner.close()


@dataclass(frozen=True)
class AsyncContender:
    """A driver on an event loop. The clock starts and stops on the loop, inside the running task."""

    driver: str
    loop: EventLoop
    one: Callable[[int], Awaitable[Any]]
    many: Callable[[Sequence[int]], Awaitable[None]]

    @property
    def face(self) -> Face:
        """Which loop."""
        return self.loop.face

    def show(self, key: int) -> Any:
        """Return one operation's result."""
        return self.loop.run(self.one(key))

    def turn(self, keys: Sequence[int]) -> Turn:
        """Do one operation for each key."""
        many = self.many

        async def measured() -> Turn:
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            await many(keys)
            return _turn(wall, cpu, len(keys))

        turn: Turn = self.loop.run(measured())
        return turn


@dataclass(frozen=True)
class FiguresContender:
    """A driver on an event loop whose turn says itself what it has measured."""

    driver: str
    loop: EventLoop
    one: Callable[[int], Awaitable[Any]]
    many: Callable[[Sequence[int]], Awaitable[Figures]]

    @property
    def face(self) -> Face:
        """Which loop."""
        return self.loop.face

    def show(self, key: int) -> Any:
        """Return one operation's result."""
        return self.loop.run(self.one(key))

    def turn(self, keys: Sequence[int]) -> Figures:
        """Do one operation for each key."""
        figures: Figures = self.loop.run(self.many(keys))
        return figures


@dataclass(frozen=True)
class BlockingContender:
    """A driver that blocks."""

    driver: str
    one: Callable[[int], Any]
    many: Callable[[Sequence[int]], None]
    face: Face = "blocking"

    def show(self, key: int) -> Any:
        """Return one operation's result."""
        return self.one(key)

    def turn(self, keys: Sequence[int]) -> Turn:
        """Do one operation for each key."""
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        self.many(keys)
        return _turn(wall, cpu, len(keys))


def _turn(wall_start: int, cpu_start: int, operations: int) -> Turn:
    wall, cpu = time.perf_counter_ns() - wall_start, time.process_time_ns() - cpu_start
    return Turn(wall / operations, cpu / operations)


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Take them from at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), low, high)


@dataclass(frozen=True)
class Line:
    """One contender's figures by name, and ratios to others (None: they were not in this run)."""

    driver: str
    face: str
    figures: dict[str, Spread]
    ratios: dict[str, float | None]


@dataclass(frozen=True)
class Target:
    """A speed to reach: ours divided by another driver's figure is at most `limit`."""

    text: str
    against: str
    face: Face
    against_face: Face
    measure: Measure
    limit: float
    ours: str = OURS


@dataclass(frozen=True)
class Verdict:
    """What became of a target."""

    text: str
    limit: float
    measured: float

    @property
    def is_met(self) -> bool:
        """Whether it was reached."""
        return self.measured <= self.limit


@dataclass(frozen=True)
class Answer:
    """All that one question gives: what its JSON file holds and the report shows."""

    question: str
    title: str
    units: dict[str, str]  # of each figure, as the report shows it: µs, ms of nanoseconds, MiB of bytes
    setting: dict[str, Any]
    environment: dict[str, Any]
    lines: list[Line]
    verdicts: list[Verdict]
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write it as JSON, named after the question."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.question}.json"
        body = {"schema": SCHEMA, **asdict(self)}
        path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` has written.

        Raises:
            Failed: It was written by another version of this folder.
        """
        body = json.loads(path.read_text(encoding="utf-8"))
        if body.pop("schema", None) != SCHEMA:
            raise Failed(f"{path.name} has another form than this report reads: run the benchmark again")
        for line in body["lines"]:
            line["figures"] = {name: Spread(**spread) for name, spread in line["figures"].items()}
        body["lines"] = [Line(**line) for line in body["lines"]]
        body["verdicts"] = [Verdict(**verdict) for verdict in body["verdicts"]]
        return cls(**body)


Who = tuple[str, Face]
Samples = dict[Who, list[Measured]]
Draw = Callable[[random.Random, int], list[int]]


def take_turns(
    contenders: Sequence[Contender], keys: Sequence[int], plan: Plan, *, draw: Draw | None = None
) -> Samples:
    """Let every contender have one turn per round.

    Args:
        contenders: No two with the same driver and face.
        keys: What operations draw their keys from.
        plan: How many of them.
        draw: How a turn's keys are drawn, where they are not simply `keys` by chance.
    Raises:
        Failed: Two contenders gave different results for one key.
    """
    chance = random.Random(plan.seed)
    check_agreement(contenders, chance.choice(keys))

    def by_chance(chance: random.Random, count: int) -> list[int]:
        return chance.choices(keys, k=count)

    draw = draw or by_chance
    warmup = draw(chance, plan.warmup)
    rounds = [draw(chance, plan.operations) for _ in range(plan.rounds)]
    samples: Samples = {(contender.driver, contender.face): [] for contender in contenders}
    if len(samples) != len(contenders):
        raise Failed("two contenders have the same driver and face")
    for contender in contenders:
        contender.turn(warmup)
    for round_keys in rounds:
        for contender in chance.sample(contenders, k=len(contenders)):
            gc.collect()  # nobody pays for what another left behind
            samples[contender.driver, contender.face].append(contender.turn(round_keys))
    return samples


def check_agreement(contenders: Sequence[Contender], key: int) -> None:
    """Compare one result of every contender.

    Raises:
        Failed: Two of them differ.
    """
    first: tuple[Contender, Any] | None = None
    for contender in contenders:
        result = contender.show(key)
        if result is None:
            continue
        if first is None:
            first = contender, result
        elif result != first[1]:
            names = f"{first[0].driver} ({first[0].face}) and {contender.driver} ({contender.face})"
            raise Failed(f"{names} give different results for key {key}")


def lines_of(samples: Samples, *, peer: Callable[[Face], Who], floor: Callable[[Face], Who]) -> list[Line]:
    """Turn samples into lines.

    Args:
        samples: From `take_turns`.
        peer: Whom the contenders of a face are compared with.
        floor: Who does the least that can be done.
    """
    return lines_with(
        samples,
        {"wall": WALL, "CPU": CPU},
        {"wall ÷ peer": (peer, WALL), "CPU ÷ peer": (peer, CPU), "wall ÷ bare": (floor, WALL)},
    )


def lines_with(
    samples: Samples,
    figures: Mapping[str, Measure],
    against: Mapping[str, tuple[Callable[[Face], Who], Measure]],
) -> list[Line]:
    """Turn samples into lines.

    Args:
        samples: From `take_turns`.
        figures: A column's name to what it shows.
        against: A ratio's name to whom the contenders of a face are compared with, and in what.
    """
    found = []
    for who, turns in samples.items():
        spreads = {name: Spread.of([turn.of(measure) for turn in turns]) for name, measure in figures.items()}
        ratios: dict[str, float | None] = {}
        for name, (other, measure) in against.items():
            known = other(who[1]) in samples
            ratios[name] = ratio(samples, who, other(who[1]), measure) if known else None
        found.append(Line(*who, spreads, ratios))
    return found


def ratio(samples: Samples, one: Who, other: Who, measure: Measure) -> float:
    """Return the median over the rounds of one contender's figure divided by the other's.

    Raises:
        KeyError: One of them took no turns.
        Failed: A turn was too short for the clock.
    """
    pairs = [
        (turn.of(measure), other_turn.of(measure))
        for turn, other_turn in zip(samples[one], samples[other], strict=True)
    ]
    if not all(divisor for _, divisor in pairs):
        raise Failed(f"a turn of {other[0]} took no {measure} time that the clock could see: more operations")
    return median([figure / divisor for figure, divisor in pairs])


def judge(samples: Samples, targets: Sequence[Target]) -> list[Verdict]:
    """Compare with the speeds to reach."""
    return [
        Verdict(
            target.text,
            target.limit,
            ratio(samples, (target.ours, target.face), (target.against, target.against_face), target.measure),
        )
        for target in targets
    ]
