"""What decoding costs: 10 000 rows of 8 mixed columns as dicts.

`python bench/rows.py [--quick]`. The floor is a blocking socket that reads the same bytes, decodes nothing
and finds ReadyForQuery.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import _drivers
import psycopg
from _bare import ask, prepare, rows_in
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

ROWS: Final = 10_000
# int4, int8, text, text with NULLs, bool, numeric, timestamptz, uuid. Other questions use them too.
COLUMNS: Final = """
    i::int4 AS id,
    i::int8 * 7919 % 1000003 AS quantity,
    'customer ' || i AS name,
    CASE WHEN i % 5 <> 0 THEN left(md5((i + 1)::text), (8 + i % 24)::int4) END AS note,
    i % 3 = 0 AS active,
    (i::int8 * 3701 % 100000000 / 100.0)::numeric(12, 2) AS price,
    timestamptz '2026-01-01 00:00:00+00' + i * interval '61.000061 seconds' AS created_at,
    md5(i::text)::uuid AS token
"""
SQL: Final = "SELECT id, quantity, name, note, active, price, created_at, token FROM bench_rows"
TARGETS: Final = [
    *(
        Target(
            f"{ROWS} rows on {face} take at most 0.4 of asyncpg's wall time",
            "asyncpg",
            face,
            face,
            "wall",
            0.4,
        )
        for face in LOOPS
    ),
    *(
        Target(
            f"{ROWS} rows on {face} take at most 2.5 of a bare socket's wall time",
            "bare socket",
            face,
            "blocking",
            "wall",
            2.5,
        )
        for face in LOOPS
    ),
]


def _peer(face: Face) -> Who:
    return ("psycopg" if face == "blocking" else "asyncpg"), face


def _floor(_: Face) -> Who:
    return "bare socket", "blocking"


def _of_ours(loop: EventLoop, place: Place) -> Contender:
    database = _drivers.ours(loop, place)

    async def many(keys: Sequence[int]) -> None:
        for _ in keys:
            await database.query(SQL)

    return AsyncContender(OURS, loop, lambda _: database.query(SQL), many)


def _of_asyncpg(loop: EventLoop, place: Place) -> Contender:
    statement = _drivers.asyncpg_statement(loop, place, SQL)

    async def one(_: int) -> list[dict[str, Any]]:
        return [dict(record) for record in await statement.fetch()]

    async def many(keys: Sequence[int]) -> None:
        for _ in keys:
            [dict(record) for record in await statement.fetch()]

    return AsyncContender("asyncpg", loop, one, many)


def _of_psycopg(loop: EventLoop, place: Place) -> Contender:
    cursor = _drivers.psycopg_cursor(loop, place)

    async def one(_: int) -> list[dict[str, Any]]:
        await cursor.execute(SQL, prepare=True, binary=True)
        return await cursor.fetchall()

    async def many(keys: Sequence[int]) -> None:
        for _ in keys:
            await cursor.execute(SQL, prepare=True, binary=True)
            await cursor.fetchall()

    return AsyncContender("psycopg", loop, one, many)


def _blocking(stack: ExitStack, place: Place) -> Iterator[Contender]:
    database = _drivers.ours_blocking(stack, place)

    def many(keys: Sequence[int]) -> None:
        for _ in keys:
            database.query(SQL)

    yield BlockingContender(OURS, lambda _: database.query(SQL), many)

    cursor = _drivers.psycopg_blocking(stack, place)

    def many_psycopg(keys: Sequence[int]) -> None:
        for _ in keys:
            cursor.execute(SQL, prepare=True, binary=True).fetchall()

    yield BlockingContender(
        "psycopg", lambda _: cursor.execute(SQL, prepare=True, binary=True).fetchall(), many_psycopg
    )

    sock = _drivers.bare(stack, place)
    sock.exchange(prepare(SQL))
    if rows_in(sock.exchange(ask())) != ROWS:
        raise Failed("the bare socket did not find all rows")
    asked = ask()

    def many_bare(keys: Sequence[int]) -> None:
        for _ in keys:
            sock.ask(asked)

    yield BlockingContender("bare socket", lambda _: sock.ask(asked), many_bare)


def make_table(connection: psycopg.Connection[Any]) -> None:
    """Make what `SQL` reads."""
    connection.execute("DROP TABLE IF EXISTS bench_rows")
    connection.execute(
        f"CREATE TABLE bench_rows AS SELECT {COLUMNS} FROM generate_series(1, {ROWS}) AS i".encode()
    )
    connection.execute("VACUUM ANALYZE bench_rows")


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    with psycopg.connect(place.url, autocommit=True) as connection:
        make_table(connection)
    described = environment(place)
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for face in LOOPS:
            loop = stack.enter_context(EventLoop(face))
            contenders.extend(make(loop, place) for make in (_of_ours, _of_asyncpg, _of_psycopg))
        contenders.extend(_blocking(stack, place))
        samples = take_turns(contenders, range(1), plan)
    return Answer(
        question="rows",
        title=f"{ROWS} rows of 8 mixed columns, as dicts",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_of(samples, peer=_peer, floor=_floor),
        verdicts=judge(samples, TARGETS),
        notes=[
            "Columns: int4, int8, text, text with NULLs, bool, numeric, timestamptz, uuid.",
            "Peer: asyncpg, its Records made into dicts; for blocking calls psycopg with dict_row.",
            "Bare: a blocking socket that reads the same bytes and decodes nothing.",
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=31, operations=3, warmup=3),
    quick=Plan(rounds=5, operations=1, warmup=1),
)

if __name__ == "__main__":
    main(QUESTION)
