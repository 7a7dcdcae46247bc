"""What a driver adds to a pipeline: 20 lookups by primary key that are sent at once, as tuples.

`python bench/pipeline.py [--quick]`. The floor is a blocking socket that sends the very bytes of ours,
overheard before the clock starts, and reads until 20 ReadyForQuery have come.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import _drivers
import psycopg
from _bare import SYNC, BareSocket, rows_in
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
    Target,
    Who,
    judge,
    lines_of,
    take_turns,
)
from _main import Question, main
from _overheard import Template, overhearing, parses_of
from _place import Place, environment
from hyperdjango.database import SyncDatabase
from lookup import SQL, TABLE_ROWS, create_users

LOOKUPS: Final = 20
LIMIT: Final = 1.5
# A pipeline's key is the number of its block. A block's rows lie apart.
BLOCKS: Final = [
    [(block * 61 + item * 487) % TABLE_ROWS + 1 for item in range(LOOKUPS)] for block in range(500)
]
QUERIES: Final = [[(SQL, (key,)) for key in block] for block in BLOCKS]
# No rows have them, and the bytes of none are in another or in the rest of the messages.
MARKS: Final = [0x6B657901 + item for item in range(LOOKUPS)]
FACES: Final[tuple[Face, ...]] = (*LOOPS, "blocking")
TARGETS: Final = [
    Target(
        f"a pipeline of {LOOKUPS} lookups, {face}, takes at most {LIMIT} of a bare socket's wall time",
        "bare socket",
        face,
        "blocking",
        WALL,
        LIMIT,
    )
    for face in FACES
]
NOTES: Final = [
    f"Wall and CPU of a whole pipeline of {LOOKUPS}.",
    (
        f"Peer: asyncpg, which has no pipeline of calls: a prepared statement and {LOOKUPS} fetchrow, one "
        "after the other. Its fetchmany sends one statement with many values and one Sync: all or nothing."
    ),
    (
        "psycopg: `connection.pipeline()`, one Sync at its end, so that its lookups share one transaction. "
        "In ours each commits by itself, with a Sync of its own."
    ),
    "Bare: a blocking socket that sends the same bytes and decodes nothing.",
]


def _peer(face: Face) -> Who:
    return ("psycopg" if face == "blocking" else "asyncpg"), face


def _floor(_: Face) -> Who:
    return "bare socket", "blocking"


def _of_ours(loop: EventLoop, place: Place) -> Contender:
    database = _drivers.ours(loop, place)

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await database.pipeline(QUERIES[key])

    return AsyncContender(OURS, loop, lambda key: database.pipeline(QUERIES[key]), many)


def _of_asyncpg(loop: EventLoop, place: Place) -> Contender:
    statement = _drivers.asyncpg_statement(loop, place, SQL)

    async def one(key: int) -> list[list[tuple[Any, ...]]]:
        return [[tuple(await statement.fetchrow(wanted))] for wanted in BLOCKS[key]]

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            [await statement.fetchrow(wanted) for wanted in BLOCKS[key]]

    return AsyncContender("asyncpg", loop, one, many)


def _of_asyncpg_many(loop: EventLoop, place: Place) -> Contender:
    statement = _drivers.asyncpg_statement(loop, place, SQL)
    sets = [[(key,) for key in block] for block in BLOCKS]

    async def one(key: int) -> list[list[tuple[Any, ...]]]:
        return [[tuple(record)] for record in await statement.fetchmany(sets[key])]

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await statement.fetchmany(sets[key])

    return AsyncContender("asyncpg, fetchmany", loop, one, many)


def _of_psycopg(loop: EventLoop, place: Place) -> Contender:
    connection = _drivers.psycopg_connection(loop, place)
    cursors = [psycopg.AsyncRawCursor(connection) for _ in range(LOOKUPS)]

    async def one(key: int) -> list[list[tuple[Any, ...]]]:
        async with connection.pipeline():
            for cursor, wanted in zip(cursors, BLOCKS[key], strict=True):
                await cursor.execute(SQL, (wanted,), prepare=True, binary=True)
        return [await cursor.fetchall() for cursor in cursors]

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await one(key)

    return AsyncContender("psycopg", loop, one, many)


def _overheard(place: Place) -> tuple[bytes, Template]:
    """Return the Parse of our driver's statement, and a pipeline once it is prepared."""
    with overhearing(place) as tap:
        with SyncDatabase(tap.url, 1, 1) as database:
            database.pipeline(QUERIES[0])
            begin = len(tap.sent)
            database.pipeline([(SQL, (mark,)) for mark in MARKS])
            sent = bytes(tap.sent)
        return parses_of(sent, SQL), Template(sent[begin:], MARKS)


def _bare(sock: BareSocket, place: Place) -> Contender:
    parse, template = _overheard(place)
    asked = [template.fill(block) for block in BLOCKS]
    sock.exchange(parse + SYNC)
    if rows_in(sock.exchange(asked[0], LOOKUPS)) != LOOKUPS:
        raise Failed("the bare socket did not find all rows")

    def many(keys: Sequence[int]) -> None:
        for key in keys:
            sock.ask_several(asked[key], LOOKUPS)

    return BlockingContender("bare socket", lambda key: many([key]), many)


def _blocking(stack: ExitStack, place: Place) -> Iterator[Contender]:
    database = _drivers.ours_blocking(stack, place)

    def many(keys: Sequence[int]) -> None:
        for key in keys:
            database.pipeline(QUERIES[key])

    yield BlockingContender(OURS, lambda key: database.pipeline(QUERIES[key]), many)

    connection = _drivers.psycopg_blocking_connection(stack, place)
    cursors = [psycopg.RawCursor(connection) for _ in range(LOOKUPS)]

    def one(key: int) -> list[list[tuple[Any, ...]]]:
        with connection.pipeline():
            for cursor, wanted in zip(cursors, BLOCKS[key], strict=True):
                cursor.execute(SQL, (wanted,), prepare=True, binary=True)
        return [cursor.fetchall() for cursor in cursors]

    def many_psycopg(keys: Sequence[int]) -> None:
        for key in keys:
            one(key)

    yield BlockingContender("psycopg", one, many_psycopg)
    yield _bare(_drivers.bare(stack, place), place)


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    create_users(place)
    described = environment(place)
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for face in LOOPS:
            loop = stack.enter_context(EventLoop(face))
            makers = (_of_ours, _of_asyncpg, _of_asyncpg_many, _of_psycopg)
            contenders.extend(make(loop, place) for make in makers)
        contenders.extend(_blocking(stack, place))
        samples = take_turns(contenders, range(len(BLOCKS)), plan)
    return Answer(
        question="pipeline",
        title=f"A pipeline of {LOOKUPS} rows by primary key, as tuples",
        units={"wall": "µs", "CPU": "µs"},
        setting={"rounds": plan.rounds, "pipelines per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_of(samples, peer=_peer, floor=_floor),
        verdicts=judge(samples, TARGETS),
        notes=NOTES,
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=31, operations=50, warmup=50),
    quick=Plan(rounds=5, operations=10, warmup=10),
)

if __name__ == "__main__":
    main(QUESTION)
