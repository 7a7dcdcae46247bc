"""Object-relational mappers take turns: what every question about hyper-orm needs.

Called by `orm_hydrate.py` and the other questions about hyper-orm. One module for each ORM
(`_orm_django.py` …) says how it does the same work at its best, as `Way`s; those that are not installed are
left out. All run in one process and on one interpreter; README.md says how to have one that is new enough
for all of them.
"""

import importlib
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from statistics import median
from typing import Any, Final, Protocol

from _harness import (
    CPU,
    LOOPS,
    WALL,
    AsyncContender,
    BlockingContender,
    Contender,
    EventLoop,
    Face,
    Line,
    Measure,
    Samples,
    Target,
    Who,
    lines_with,
)
from _place import Place, environment

ORM: Final = "hyper-orm"
DICTS: Final = "hyper-pgzig, dicts"
OF_DICTS: Final = "SQLAlchemy, insert() of dicts"  # the one way that makes no instances
# A word in the report to the project that is installed and the module here; ours first.
MODULES: Final = {
    ORM: ("hyper-orm", "_orm_ours"),
    "Django": ("django", "_orm_django"),
    "SQLAlchemy": ("sqlalchemy", "_orm_sqlalchemy"),
    "Tortoise": ("tortoise-orm", "_orm_tortoise"),
    "Piccolo": ("piccolo", "_orm_piccolo"),
}
_IMPORTED: Final = {"hyper-orm": "hyperdjango.models", "tortoise-orm": "tortoise"}


@dataclass(frozen=True)
class Way:
    """How an ORM does one operation, on the face that it was opened on.

    Attributes:
        driver: Its name in the report.
        one: One operation; `AsyncWay`s give an awaitable.
        look: Turns the result into what can be compared with that of others.
        many: Operations for many keys, where that is not `one` for each.
        shown: The operation whose result is compared, where that is another one than what is measured.
    """

    driver: str
    one: Callable[[int], Any]
    look: Callable[[Any], Any]
    many: Callable[[Sequence[int]], Any] | None = None
    shown: Callable[[int], Any] | None = None


class Opened(Protocol):
    """An ORM that is connected: for each question its ways to answer, the usual one first."""

    def hydrate(self) -> list[Way]: ...  # all of bench_item as instances
    def get(self) -> list[Way]: ...  # the item whose key it is
    def bulk_create(
        self, sets: list[dict[str, Any]]
    ) -> list[Way]: ...  # instances of them into bench_new_item
    def prefetch(self) -> list[Way]: ...  # the active authors with their books
    def compile(self) -> list[Way]: ...  # SQL and parameters of a queryset, with the key as a value; no I/O


Ask = Callable[[Any], list[Way]]


def installed() -> list[str]:
    """Return the ORMs that can be measured here."""
    return [
        name
        for name, (project, _) in MODULES.items()
        if find_spec(_IMPORTED.get(project, project)) is not None
    ]


def contenders(stack: ExitStack, place: Place, ask: Ask, loops: Sequence[Face] = LOOPS) -> list[Contender]:
    """Connect every ORM and make contenders of its ways to answer one question.

    Args:
        stack: Closes them.
        place: The server.
        ask: Which question.
        loops: The event loops to measure on. Who blocks is measured once.
    """
    modules = [importlib.import_module(MODULES[name][1]) for name in installed()]
    made: list[Contender] = []
    for face in loops:
        loop = stack.enter_context(EventLoop(face))
        for module in modules:
            if hasattr(module, "open_on"):
                made.extend(_on_loop(way, loop) for way in ask(module.open_on(loop, place)))
    for module in modules:
        if hasattr(module, "open_blocking"):
            made.extend(_blocking(way) for way in ask(module.open_blocking(stack, place)))
    return made


def _on_loop(way: Way, loop: EventLoop) -> Contender:
    one = way.one

    async def each(keys: Sequence[int]) -> None:
        for key in keys:
            await one(key)

    async def show(key: int) -> Any:
        return way.look(await (way.shown or one)(key))

    return AsyncContender(way.driver, loop, show, way.many or each)


def _blocking(way: Way) -> Contender:
    one = way.one

    def each(keys: Sequence[int]) -> None:
        for key in keys:
            one(key)

    return BlockingContender(way.driver, lambda key: way.look((way.shown or one)(key)), way.many or each)


def at_once(compiled: Callable[[int], object]) -> Callable[[Sequence[int]], Awaitable[None]]:
    """Return what calls a plain function for many keys on the loop: no coroutine for each is in its time."""

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            compiled(key)

    return many


def best_peer(samples: Samples, face: Face) -> Who:
    """Return the quickest of the other ORMs by wall time, on that loop or blocking.

    Raises:
        ValueError: No other ORM has taken turns.
    """
    loop = LOOPS[0] if face == "blocking" else face
    found = {
        who: median([turn.of(WALL) for turn in turns])
        for who, turns in samples.items()
        if not who[0].startswith("hyper-") and who[1] in {loop, "blocking"}
    }
    return min(found, key=found.__getitem__)


def best_targets(samples: Samples, what: str, times: float) -> list[Target]:
    """Return the speeds to reach: so many times the best peer's, on each loop that was measured."""
    if not has_peers(samples):
        return []
    faces = [face for face in LOOPS if (ORM, face) in samples]
    best = {face: best_peer(samples, face) for face in faces}
    return [
        Target(
            f"{what} on {face}: {times:g} times as quick as the best peer ({', '.join(best[face])})",
            best[face][0],
            face,
            best[face][1],
            WALL,
            int(1000 / times) / 1000,
            ORM,
        )
        for face in faces
    ]


def has_peers(samples: Samples) -> bool:
    """Whether there is anybody to compare with."""
    return any(not driver.startswith("hyper-") for driver, _ in samples)


def lines(
    samples: Samples, others: Mapping[str, tuple[Callable[[Face], Who], Measure]] | None = None
) -> list[Line]:
    """Turn samples into lines, with ratios to the best peer and to others."""
    against: dict[str, tuple[Callable[[Face], Who], Measure]] = {}
    if has_peers(samples):
        against["wall ÷ best peer"] = (lambda face: best_peer(samples, face), WALL)
        against["CPU ÷ best peer"] = (lambda face: best_peer(samples, face), CPU)
    return lines_with(samples, {"wall": WALL, "CPU": CPU}, {**against, **(others or {})})


def described(place: Place) -> dict[str, Any]:
    """Describe machine and versions, those of the ORMs too."""
    found = environment(place)
    found["versions"] |= {MODULES[name][0]: metadata.version(MODULES[name][0]) for name in installed()}
    return found


def notes() -> Iterator[str]:
    """Say what is true of every question."""
    yield (
        "Best peer: the other ORM with the least median wall time, on the same loop or blocking. Each is set "
        "up as its manual has it for speed: see the head of its `_orm_….py`."
    )
    yield "Django: blocking, on a persistent connection; its asynchronous calls do the same in a thread."
    if missing := [name for name in MODULES if name not in installed()]:
        yield f"Not installed here, so not measured: {', '.join(missing)}."
    if "Django" in installed() and int(metadata.version("django").partition(".")[0]) < 6:
        yield (
            f"Django {metadata.version('django')}: Django 6 needs Python 3.12, and this is "
            f"{sys.version_info.major}.{sys.version_info.minor}."
        )
