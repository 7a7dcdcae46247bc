"""What a driver adds to the round trip: one row by its primary key, as a dict.

`python bench/lookup.py [--quick]`. One call at a time on one connection; many at once are another question.
The floors send the same Bind, Execute and Sync: a blocking socket, and a hand-made reader on each event loop.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import _drivers
import psycopg
from _bare import ask, prepare, rows_in
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

TABLE_ROWS: Final = 10_000
SQL: Final = "SELECT id, name, email, active, created_at FROM bench_users WHERE id = $1"
TABLE: Final = f"""
DROP TABLE IF EXISTS bench_users;
CREATE TABLE bench_users (
    id int PRIMARY KEY, name text NOT NULL, email text NOT NULL,
    active bool NOT NULL, created_at timestamptz NOT NULL);
INSERT INTO bench_users
    SELECT i, 'user ' || i, 'user' || i || '@example.com', i % 3 = 0,
        timestamptz '2026-01-01 00:00:00+00' + i * interval '61.000061 seconds'
    FROM generate_series(1, {TABLE_ROWS}) AS i;
VACUUM ANALYZE bench_users;
"""
OURS_LOOKS: Final = (
    "Ours goes through its pool. It waits for a lone reply in poll, for a bounded time, before it turns to "
    "the loop: so it can be quicker than the bare socket there."
)
TARGETS: Final = [
    Target(
        f"a lookup on {face} takes at most {limit} of asyncpg's {words}",
        "asyncpg",
        face,
        face,
        measure,
        limit,
    )
    for face in LOOPS
    for measure, words, limit in ((WALL, "wall time", 0.6), (CPU, "client CPU", 0.5))
]


def _peer(face: Face) -> Who:
    return ("psycopg" if face == "blocking" else "asyncpg"), face


def _floor(face: Face) -> Who:
    return "bare socket", face


def _of_ours(loop: EventLoop, place: Place) -> Contender:
    database = _drivers.ours(loop, place)

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await database.query_one(SQL, key)

    return AsyncContender(OURS, loop, lambda key: database.query_one(SQL, key), many)


def _of_asyncpg(loop: EventLoop, place: Place) -> Contender:
    statement = _drivers.asyncpg_statement(loop, place, SQL)

    async def one(key: int) -> dict[str, Any]:
        return dict(await statement.fetchrow(key))

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            dict(await statement.fetchrow(key))

    return AsyncContender("asyncpg", loop, one, many)


def _of_asyncpg_pool(loop: EventLoop, place: Place) -> Contender:
    pool = _drivers.asyncpg_pool(loop, place)

    async def one(key: int) -> dict[str, Any]:
        return dict(await pool.fetchrow(SQL, key))

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            dict(await pool.fetchrow(SQL, key))

    return AsyncContender("asyncpg, its pool", loop, one, many)


def _of_psycopg(loop: EventLoop, place: Place) -> Contender:
    cursor = _drivers.psycopg_cursor(loop, place)

    async def one(key: int) -> dict[str, Any] | None:
        await cursor.execute(SQL, (key,), prepare=True, binary=True)
        return await cursor.fetchone()

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await cursor.execute(SQL, (key,), prepare=True, binary=True)
            await cursor.fetchone()

    return AsyncContender("psycopg", loop, one, many)


def _of_bare_loop(loop: EventLoop, place: Place) -> Contender:
    sock = _drivers.bare_on_loop(loop, place)
    sock.exchange(prepare(SQL))
    if rows_in(sock.exchange(ask(1))) != 1:
        raise Failed("the bare socket did not find a row")
    sock.watch()
    asked = {key: ask(key) for key in range(1, TABLE_ROWS + 1)}

    async def one(key: int) -> None:
        await sock.ask_on_loop(asked[key])

    async def many(keys: Sequence[int]) -> None:
        for key in keys:
            await sock.ask_on_loop(asked[key])

    return AsyncContender("bare socket", loop, one, many)


def _blocking(stack: ExitStack, place: Place) -> Iterator[Contender]:
    database = _drivers.ours_blocking(stack, place)

    def many(keys: Sequence[int]) -> None:
        for key in keys:
            database.query_one(SQL, key)

    yield BlockingContender(OURS, lambda key: database.query_one(SQL, key), many)

    cursor = _drivers.psycopg_blocking(stack, place)

    def many_psycopg(keys: Sequence[int]) -> None:
        for key in keys:
            cursor.execute(SQL, (key,), prepare=True, binary=True).fetchone()

    yield BlockingContender(
        "psycopg", lambda key: cursor.execute(SQL, (key,), prepare=True, binary=True).fetchone(), many_psycopg
    )

    sock = _drivers.bare(stack, place)
    sock.exchange(prepare(SQL))
    if rows_in(sock.exchange(ask(1))) != 1:
        raise Failed("the bare socket did not find a row")
    asked = {key: ask(key) for key in range(1, TABLE_ROWS + 1)}

    def many_bare(keys: Sequence[int]) -> None:
        for key in keys:
            sock.ask(asked[key])

    yield BlockingContender("bare socket", lambda key: sock.ask(asked[key]), many_bare)


def create_users(place: Place) -> None:
    """Make the table that this question and others look rows up in."""
    with psycopg.connect(place.url, autocommit=True) as connection:
        for statement in TABLE.split(";\n"):
            connection.execute(statement.encode())


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    create_users(place)
    described = environment(place)
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for face in LOOPS:
            loop = stack.enter_context(EventLoop(face))
            makers = (_of_ours, _of_asyncpg, _of_asyncpg_pool, _of_psycopg, _of_bare_loop)
            contenders.extend(make(loop, place) for make in makers)
        contenders.extend(_blocking(stack, place))
        samples = take_turns(contenders, range(1, TABLE_ROWS + 1), plan)
    return Answer(
        question="lookup",
        title="A row by its primary key, as a dict",
        units={"wall": "µs", "CPU": "µs"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_of(samples, peer=_peer, floor=_floor),
        verdicts=judge(samples, TARGETS),
        notes=[
            "Peer: asyncpg, a prepared statement on a bare connection; for blocking calls psycopg.",
            "Bare: a socket that sends the same bytes and decodes nothing; on a loop, one reader callback.",
            "One call at a time, and nothing else on the loop.",
            OURS_LOOKS,
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=41, operations=400, warmup=400),
    quick=Plan(rounds=5, operations=100, warmup=100),
)

if __name__ == "__main__":
    main(QUESTION)
