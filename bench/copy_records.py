"""What loading rows costs: 100 000 Python records into a table by COPY.

`python bench/copy_records.py [--quick]`. The floor sends the same data encoded already: what is left is the
server's work and the way there.
"""

import datetime
from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache
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
    Plan,
    Target,
    Who,
    judge,
    lines_of,
    take_turns,
)
from _main import Question, main
from _place import Place, environment

COLUMNS: Final = ("id", "quantity", "name", "active", "price", "created_at")
TYPES: Final = ("int4", "int8", "text", "bool", "float8", "timestamptz")
TABLE: Final = "bench_copy"
COPY: Final = f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"
EMPTY: Final = f"TRUNCATE {TABLE}"
TARGETS: Final = [
    Target(
        f"copy_records of 100000 on {face} takes at most 0.7 of asyncpg's wall time",
        "asyncpg",
        face,
        face,
        "wall",
        0.7,
    )
    for face in LOOPS
]


@lru_cache(maxsize=1)
def records(count: int) -> list[tuple[object, ...]]:
    """Return so many records."""
    began = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return [
        (
            i,
            i * 7919 % 1_000_003,
            f"customer {i}",
            i % 3 == 0,
            i * 3701 % 100_000_000 / 100,
            began + datetime.timedelta(seconds=61 * i),
        )
        for i in range(count)
    ]


def _peer(face: Face) -> Who:
    return ("psycopg" if face == "blocking" else "asyncpg"), face


def _floor(_: Face) -> Who:
    return "encoded already", "blocking"


def _of_ours(loop: EventLoop, place: Place, rows: list[tuple[object, ...]]) -> Contender:
    database = _drivers.ours(loop, place)

    async def one(_: int) -> object:
        await database.execute(EMPTY)
        return await database.copy_records(TABLE, rows, COLUMNS)

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await one(key)

    return AsyncContender(OURS, loop, one, many)


def _of_asyncpg(loop: EventLoop, place: Place, rows: list[tuple[object, ...]]) -> Contender:
    connection = _drivers.asyncpg_connection(loop, place)

    async def one(_: int) -> object:
        await connection.execute(EMPTY)
        return await connection.copy_records_to_table(TABLE, records=rows, columns=COLUMNS)

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await one(key)

    return AsyncContender("asyncpg", loop, one, many)


def _of_psycopg(loop: EventLoop, place: Place, rows: list[tuple[object, ...]]) -> Contender:
    connection = _drivers.psycopg_connection(loop, place)

    async def one(_: int) -> object:
        async with connection.cursor() as cursor:
            await cursor.execute(EMPTY)
            async with cursor.copy(COPY) as copy:
                copy.set_types(TYPES)
                for row in rows:
                    await copy.write_row(row)
            return f"COPY {cursor.rowcount}"

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await one(key)

    return AsyncContender("psycopg", loop, one, many)


def _blocking(stack: ExitStack, place: Place, rows: list[tuple[object, ...]]) -> list[Contender]:
    database = _drivers.ours_blocking(stack, place)
    connection = _drivers.psycopg_blocking_connection(stack, place)

    def ours(_: int) -> object:
        database.execute(EMPTY)
        return database.copy_records(TABLE, rows, COLUMNS)

    def theirs(_: int) -> object:
        with connection.cursor() as cursor:
            cursor.execute(EMPTY)
            with cursor.copy(COPY) as copy:
                copy.set_types(TYPES)
                for row in rows:
                    copy.write_row(row)
            return f"COPY {cursor.rowcount}"

    database.execute(EMPTY)
    database.copy_records(TABLE, rows, COLUMNS)
    encoded = b"".join(database.copy_out(f"COPY {TABLE} TO STDOUT (FORMAT binary)"))

    def floor(_: int) -> object:
        database.execute(EMPTY)
        return database.execute(COPY, encoded)

    return [
        _repeated(name, one) for name, one in ((OURS, ours), ("psycopg", theirs), ("encoded already", floor))
    ]


def _repeated(name: str, one: Any) -> Contender:
    def many(keys: Sequence[int]) -> None:
        for key in keys:
            one(key)

    return BlockingContender(name, one, many)


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; a quick plan loads fewer records."""
    count = 100_000 if plan.rounds > 5 else 1_000
    rows = records(count)
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}".encode())
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, TYPES, strict=True))
        connection.execute(f"CREATE UNLOGGED TABLE {TABLE} ({columns})".encode())
    described = environment(place)
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for face in LOOPS:
            loop = stack.enter_context(EventLoop(face))
            contenders.extend(make(loop, place, rows) for make in (_of_ours, _of_asyncpg, _of_psycopg))
        contenders.extend(_blocking(stack, place, rows))
        samples = take_turns(contenders, range(1), plan)
    return Answer(
        question="copy_records",
        title=f"{count} records of 6 columns into a table by COPY",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_of(samples, peer=_peer, floor=_floor),
        verdicts=judge(samples, TARGETS),
        notes=[
            "Columns: int4, int8, text, bool, float8, timestamptz; an unlogged table, emptied each time.",
            "Peer: asyncpg's copy_records_to_table; for blocking calls psycopg's write_row in binary format.",
            "Floor: our execute with the same data as bytes that were encoded before.",
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=21, operations=1, warmup=2),
    quick=Plan(rounds=3, operations=1, warmup=1),
)

if __name__ == "__main__":
    main(QUESTION)
