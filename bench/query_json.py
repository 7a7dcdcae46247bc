"""What a JSON answer costs: 10 000 rows of 8 mixed columns as bytes, for a web server to send.

`python bench/query_json.py [--quick]`. The other ways to the same bytes are a driver's dicts through
orjson, and the server's own json_agg. The table and its columns are those of `rows.py`.
"""

import datetime as dt
import json
from collections.abc import Sequence
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from typing import Any, Final

import _drivers
import orjson
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
    Plan,
    Target,
    Who,
    judge,
    lines_with,
    take_turns,
)
from _main import Question, main
from _place import Place, environment
from rows import ROWS, SQL, make_table

THROUGH_DICTS: Final = f"{OURS}, query and orjson"
AGGREGATED: Final = f"{OURS}, json_agg"
AGGREGATE: Final = f"SELECT json_agg(r)::text FROM ({SQL}) AS r"
FACES: Final[tuple[Face, ...]] = (*LOOPS, "blocking")
TARGETS: Final = [
    Target(
        f"{ROWS} rows as JSON on {face} take at most 0.4 of query and orjson's wall time",
        THROUGH_DICTS,
        face,
        face,
        "wall",
        0.4,
    )
    for face in FACES
]

dumps = partial(orjson.dumps, default=str)  # it knows all of these types but Decimal


def _peer(face: Face) -> Who:
    return THROUGH_DICTS, face


def alike(document: bytes) -> list[dict[str, Any]]:
    """Return rows that are equal where the JSON means the same, however numbers and times are written."""
    rows: list[dict[str, Any]] = json.loads(document, parse_float=Decimal)
    for row in rows:
        row["price"] = Decimal(row["price"])
        row["created_at"] = dt.datetime.fromisoformat(row["created_at"])
    return rows


def _contender(name: str, loop: EventLoop, document: Any) -> Contender:
    async def many(keys: Sequence[int]) -> None:
        for _ in keys:
            await document()

    async def one(_: int) -> list[dict[str, Any]]:
        return alike(await document())

    return AsyncContender(name, loop, one, many)


def _on_loop(loop: EventLoop, place: Place) -> list[Contender]:
    database = _drivers.ours(loop, place)
    statement = _drivers.asyncpg_statement(loop, place, SQL)
    cursor = _drivers.psycopg_cursor(loop, place)

    async def through_dicts() -> bytes:
        return dumps(await database.query(SQL))

    async def aggregated() -> bytes:
        document: str = await database.query_val(AGGREGATE)
        return document.encode()

    async def of_asyncpg() -> bytes:
        return dumps([dict(record) for record in await statement.fetch()])

    async def of_psycopg() -> bytes:
        await cursor.execute(SQL, prepare=True, binary=True)
        return dumps(await cursor.fetchall())

    return [
        _contender(OURS, loop, lambda: database.query_json(SQL)),
        _contender(THROUGH_DICTS, loop, through_dicts),
        _contender(AGGREGATED, loop, aggregated),
        _contender("asyncpg", loop, of_asyncpg),
        _contender("psycopg", loop, of_psycopg),
    ]


def _blocking(stack: ExitStack, place: Place) -> list[Contender]:
    database = _drivers.ours_blocking(stack, place)
    cursor = _drivers.psycopg_blocking(stack, place)

    def contender(name: str, document: Any) -> Contender:
        def many(keys: Sequence[int]) -> None:
            for _ in keys:
                document()

        return BlockingContender(name, lambda _: alike(document()), many)

    return [
        contender(OURS, lambda: database.query_json(SQL)),
        contender(THROUGH_DICTS, lambda: dumps(database.query(SQL))),
        contender("psycopg", lambda: dumps(cursor.execute(SQL, prepare=True, binary=True).fetchall())),
    ]


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    with psycopg.connect(place.url, autocommit=True) as connection:
        make_table(connection)
    described = environment(place)
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for face in LOOPS:
            contenders += _on_loop(stack.enter_context(EventLoop(face)), place)
        contenders += _blocking(stack, place)
        samples = take_turns(contenders, range(1), plan)
    return Answer(
        question="query_json",
        title=f"{ROWS} rows of 8 mixed columns, as JSON",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_with(
            samples, {"wall": WALL, "CPU": CPU}, {"wall ÷ peer": (_peer, WALL), "CPU ÷ peer": (_peer, CPU)}
        ),
        verdicts=judge(samples, TARGETS),
        notes=[
            "Columns: int4, int8, text, text with NULLs, bool, numeric, timestamptz, uuid.",
            f"{OURS}: query_json. Peer: its query, and orjson.dumps with default=str for Decimal.",
            "asyncpg, psycopg: dicts, and the same orjson.dumps.",
            "json_agg: the server makes the text, query_val reads it as a str, and encode makes bytes.",
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=31, operations=3, warmup=3),
    quick=Plan(rounds=5, operations=1, warmup=1),
)

if __name__ == "__main__":
    main(QUESTION)
