"""What reading a large result costs that is never whole in memory: 200 000 rows as dicts, one by one.

`python bench/stream.py [--quick]`. The peers read through a cursor of the server's, at their best chunk size.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final

import _drivers
import psycopg
from _harness import (
    LOOPS,
    OURS,
    Answer,
    AsyncContender,
    BlockingContender,
    Contender,
    EventLoop,
    Face,
    Failed,
    Plan,
    Target,
    Who,
    judge,
    lines_of,
    take_turns,
)
from _main import Question, main
from _place import Place, environment
from psycopg.rows import dict_row
from rows import COLUMNS

CHUNK: Final = 1000
SQL: Final = "SELECT * FROM bench_stream"
TARGETS: Final = [
    Target(
        f"200000 rows streamed on {face} take at most asyncpg's wall time", "asyncpg", face, face, "wall", 1.0
    )
    for face in LOOPS
]


def _peer(face: Face) -> Who:
    return ("psycopg" if face == "blocking" else "asyncpg"), face


def _floor(_: Face) -> Who:
    return "whole result", "blocking"


def _of_ours(loop: EventLoop, place: Place) -> Contender:
    database = _drivers.ours(loop, place)

    async def one(_: int) -> int:
        count = 0
        async for _row in database.stream(SQL, chunk=CHUNK):
            count += 1
        return count

    return _repeated_async(OURS, loop, one)


def _of_asyncpg(loop: EventLoop, place: Place) -> Contender:
    connection = _drivers.asyncpg_connection(loop, place)

    async def one(_: int) -> int:
        count = 0
        async with connection.transaction():
            async for record in connection.cursor(SQL, prefetch=CHUNK):
                dict(record)
                count += 1
        return count

    return _repeated_async("asyncpg", loop, one)


def _of_psycopg(loop: EventLoop, place: Place) -> Contender:
    connection = _drivers.psycopg_connection(loop, place)

    async def one(_: int) -> int:
        count = 0
        async with (
            connection.transaction(),
            connection.cursor("bench", row_factory=dict_row) as cursor,
        ):
            cursor.itersize = CHUNK
            await cursor.execute(SQL, binary=True)
            async for _row in cursor:
                count += 1
        return count

    return _repeated_async("psycopg", loop, one)


def _repeated_async(name: str, loop: EventLoop, one: Callable[[int], Any]) -> Contender:
    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await one(key)

    return AsyncContender(name, loop, one, many)


def _blocking(stack: ExitStack, place: Place) -> list[Contender]:
    database = _drivers.ours_blocking(stack, place)
    connection = _drivers.psycopg_blocking_connection(stack, place)

    def ours(_: int) -> int:
        return sum(1 for _row in database.stream(SQL, chunk=CHUNK))

    def whole(_: int) -> int:
        return len(database.query(SQL))

    def theirs(_: int) -> int:
        with connection.transaction(), connection.cursor("bench", row_factory=dict_row) as cursor:
            cursor.itersize = CHUNK
            cursor.execute(SQL, binary=True)
            return sum(1 for _row in cursor)

    return [
        _repeated(name, one) for name, one in ((OURS, ours), ("psycopg", theirs), ("whole result", whole))
    ]


def _repeated(name: str, one: Callable[[int], Any]) -> Contender:
    def many(keys: Sequence[int]) -> None:
        for key in keys:
            one(key)

    return BlockingContender(name, one, many)


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; a quick plan reads fewer rows."""
    count = 200_000 if plan.rounds > 5 else 3_000
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_stream")
        connection.execute(
            f"CREATE TABLE bench_stream AS SELECT {COLUMNS} FROM generate_series(1, {count}) AS i".encode()
        )
        connection.execute("VACUUM ANALYZE bench_stream")
        found = connection.execute("SELECT count(*) FROM bench_stream").fetchone()
        if found != (count,):
            raise Failed("the table to stream has not all its rows")
    described = environment(place)
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for face in LOOPS:
            loop = stack.enter_context(EventLoop(face))
            contenders.extend(make(loop, place) for make in (_of_ours, _of_asyncpg, _of_psycopg))
        contenders.extend(_blocking(stack, place))
        samples = take_turns(contenders, range(1), plan)
    return Answer(
        question="stream",
        title=f"{count} rows of 8 mixed columns, as dicts, read one by one in chunks of {CHUNK}",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_of(samples, peer=_peer, floor=_floor),
        verdicts=judge(samples, TARGETS),
        notes=[
            "Peer: asyncpg's cursor with the same prefetch; psycopg's server-side one, same itersize.",
            "Floor: our `query` for all rows at once, by blocking.",
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=11, operations=1, warmup=1),
    quick=Plan(rounds=3, operations=1, warmup=1),
)

if __name__ == "__main__":
    main(QUESTION)
