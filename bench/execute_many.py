"""What many sets of values for one INSERT cost: 10 000 rows by execute_many.

`python bench/execute_many.py [--quick]`. There is no floor: nearly all of the time is the server's, whoever
sends the sets.
"""

import datetime
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import _drivers
import psycopg
from _harness import (
    CPU,
    LOOPS,
    OURS,
    WALL,
    Answer,
    AsyncContender,
    BlockingContender,
    Contender,
    EventLoop,
    Face,
    Measured,
    Plan,
    Target,
    Who,
    judge,
    lines_with,
    take_turns,
)
from _main import Question, main
from _place import Place, environment

TABLE: Final = "bench_many"
INSERT: Final = f"INSERT INTO {TABLE} (id, name, amount, created_at) VALUES ($1, $2, $3, $4)"
INSERT_PERCENT: Final = f"INSERT INTO {TABLE} (id, name, amount, created_at) VALUES (%s, %s, %s, %s)"
CREATE: Final = f"CREATE TABLE {TABLE} (id int, name text, amount numeric, created_at timestamptz)"
LIMIT: Final = 0.9
BY_COPY: Final = f"{OURS}, copy=True"
TARGETS: Final = [
    Target(
        f"execute_many of 10000 inserts on {face} takes at most {LIMIT} of asyncpg's executemany",
        "asyncpg",
        face,
        face,
        WALL,
        LIMIT,
    )
    for face in LOOPS
]


@lru_cache(maxsize=1)
def sets(count: int) -> list[tuple[object, ...]]:
    """Return so many sets of values."""
    began = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return [
        (
            i,
            f"customer {i}",
            Decimal(i * 3701 % 100_000_000) / 100,
            began + datetime.timedelta(seconds=61 * i),
        )
        for i in range(count)
    ]


@dataclass(frozen=True)
class Emptied:
    """A contender whose table is emptied before each turn, outside the clock."""

    inner: Contender
    other: psycopg.Connection[Any]
    table: str = TABLE
    summary: str = "count(*), sum(id), sum(amount), max(name)"

    @property
    def driver(self) -> str:
        """Whose."""
        return self.inner.driver

    @property
    def face(self) -> Face:
        """Which."""
        return self.inner.face

    def show(self, key: int) -> Any:
        """Return what is in the table after one operation."""
        self._empty()
        self.inner.show(key)
        found = self.other.execute(f"SELECT {self.summary} FROM {self.table}".encode())
        return found.fetchone()

    def turn(self, keys: Sequence[int]) -> Measured:
        """Do one operation for each key."""
        self._empty()
        return self.inner.turn(keys)

    def _empty(self) -> None:
        self.other.execute(f"TRUNCATE {self.table}".encode())


def _peer(face: Face) -> Who:
    return ("psycopg" if face == "blocking" else "asyncpg"), face


def _on_loop(driver: str, loop: EventLoop, one: Callable[[int], Awaitable[Any]]) -> Contender:
    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await one(key)

    return AsyncContender(driver, loop, one, many)


def _blocking(driver: str, one: Callable[[int], Any]) -> Contender:
    def many(keys: Sequence[int]) -> None:
        for key in keys:
            one(key)

    return BlockingContender(driver, one, many)


def _of_loop(loop: EventLoop, place: Place, rows: list[tuple[object, ...]]) -> Iterator[Contender]:
    database = _drivers.ours(loop, place)
    yield _on_loop(OURS, loop, lambda _: database.execute_many(INSERT, rows))
    yield _on_loop(BY_COPY, loop, lambda _: database.execute_many(INSERT, rows, copy=True))

    theirs = _drivers.asyncpg_connection(loop, place)
    yield _on_loop("asyncpg", loop, lambda _: theirs.executemany(INSERT, rows))

    connection = _drivers.psycopg_connection(loop, place)

    async def one(_: int) -> None:
        async with connection.cursor() as cursor:
            await cursor.executemany(INSERT_PERCENT.encode(), rows)

    yield _on_loop("psycopg", loop, one)


def _of_blocking(stack: ExitStack, place: Place, rows: list[tuple[object, ...]]) -> Iterator[Contender]:
    database = _drivers.ours_blocking(stack, place)
    yield _blocking(OURS, lambda _: database.execute_many(INSERT, rows))
    yield _blocking(BY_COPY, lambda _: database.execute_many(INSERT, rows, copy=True))

    connection = _drivers.psycopg_blocking_connection(stack, place)

    def one(_: int) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(INSERT_PERCENT.encode(), rows)

    yield _blocking("psycopg", one)


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; a quick plan has fewer sets."""
    rows = sets(10_000 if plan.rounds > 5 else 700)
    described = environment(place)
    with ExitStack() as stack:
        other = stack.enter_context(psycopg.connect(place.url, autocommit=True))
        other.execute(f"DROP TABLE IF EXISTS {TABLE}".encode())
        other.execute(CREATE.encode())
        contenders: list[Contender] = []
        for face in LOOPS:
            contenders.extend(_of_loop(stack.enter_context(EventLoop(face)), place, rows))
        contenders.extend(_of_blocking(stack, place, rows))
        samples = take_turns([Emptied(each, other) for each in contenders], range(1), plan)
    return Answer(
        question="execute_many",
        title=f"{len(rows)} sets of 4 values for one INSERT",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_with(
            samples, {"wall": WALL, "CPU": CPU}, {"wall ÷ peer": (_peer, WALL), "CPU ÷ peer": (_peer, CPU)}
        ),
        verdicts=judge(samples, TARGETS),
        notes=[
            "Columns: int4, text, numeric, timestamptz; an ordinary table, emptied outside the clock.",
            "Peer: asyncpg's executemany on a bare connection; for blocking calls psycopg's executemany.",
            "Each is one transaction, but for psycopg's, whose sets commit in one at the end of a pipeline.",
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=31, operations=1, warmup=2),
    quick=Plan(rounds=3, operations=1, warmup=1),
)

if __name__ == "__main__":
    main(QUESTION)
