"""What a large result costs as Arrow columns: 10^6 rows of 8 columns, into a pyarrow Table.

`python bench/arrow_columns.py [--quick]`. The peer is ADBC's PostgreSQL driver, which reads them by COPY. Once with
the mixed columns of rows.py and once with numbers alone, where nothing is to be copied but the values.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, Final

import _drivers
import adbc_driver_postgresql.dbapi  # type: ignore[import-untyped]
import psycopg
import pyarrow  # type: ignore[import-untyped]
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
    Line,
    Plan,
    Samples,
    Target,
    Who,
    judge,
    lines_with,
    take_turns,
)
from _main import Question, main
from _place import Place, environment
from rows import COLUMNS

PEER: Final = "ADBC"
NUMBERS: Final = """
    i::int2 AS a, i::int4 AS b, i::int8 * 7919 AS c, i * 0.5::float8 AS d, i::int8 AS e, i::float4 AS f,
    i::int4 * 3 AS g, sqrt(i) AS h
"""
TABLES: Final = {"mixed": COLUMNS, "numbers": NUMBERS.replace("i::int2", "(i % 30000)::int2")}
Read = Callable[[], Any]


def _targets(rows: int, table: str) -> list[Target]:
    return [
        Target(
            f"{rows} rows of 8 columns ({table}) as Arrow on {face} take at most ADBC's wall time",
            PEER,
            face,
            "blocking",
            "wall",
            1.0,
        )
        for face in (*LOOPS, "blocking")
    ]


def _peer(_: Face) -> Who:
    return PEER, "blocking"


def _shown(table: Any, rows: int) -> list[str]:
    if table.num_rows != rows:
        raise Failed(f"{table.num_rows} rows were read, not {rows}")
    ends = [*table.slice(0, 1).to_pylist(), *table.slice(rows - 1).to_pylist()]
    return [str(value) for row in ends for value in row.values()]


def _on_loop(loop: EventLoop, place: Place, sql: str, rows: int) -> Contender:
    database = _drivers.ours(loop, place)

    async def one(_: int) -> list[str]:
        return _shown(pyarrow.table(await database.query_arrow(sql)), rows)

    async def many(keys: Sequence[int]) -> None:
        for _ in keys:
            pyarrow.table(await database.query_arrow(sql))

    return AsyncContender(OURS, loop, one, many)


def _blocking(driver: str, read: Read, rows: int) -> Contender:
    def many(keys: Sequence[int]) -> None:
        for _ in keys:
            read()

    return BlockingContender(driver, lambda _: _shown(read(), rows), many)


def _blocking_ones(stack: ExitStack, place: Place, sql: str, rows: int) -> Iterator[Contender]:
    database = _drivers.ours_blocking(stack, place)
    yield _blocking(OURS, lambda: pyarrow.table(database.query_arrow(sql)), rows)
    connection = stack.enter_context(closing(adbc_driver_postgresql.dbapi.connect(place.url)))

    def read() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    yield _blocking(PEER, read, rows)


def _measure(place: Place, plan: Plan, table: str) -> Samples:
    rows = plan.operations
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS bench_arrow_{table}".encode())
        connection.execute(
            f"CREATE TABLE bench_arrow_{table} AS SELECT {TABLES[table]}"
            f" FROM generate_series(1, {rows}) AS i".encode()
        )
        connection.execute(f"VACUUM ANALYZE bench_arrow_{table}".encode())
    sql = f"SELECT * FROM bench_arrow_{table}"
    with ExitStack() as stack:
        contenders = [_on_loop(stack.enter_context(EventLoop(face)), place, sql, rows) for face in LOOPS]
        contenders += _blocking_ones(stack, place, sql, rows)
        return take_turns(contenders, range(1), plan, draw=lambda _, __: [0])


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; `plan.operations` is the number of rows."""
    described = environment(place)
    lines: list[Line] = []
    verdicts = []
    for table in TABLES:
        samples = _measure(place, plan, table)
        verdicts += judge(samples, _targets(plan.operations, table))
        made = lines_with(
            samples,
            {"wall": "wall", "CPU": "cpu"},
            {"wall ÷ ADBC": (_peer, "wall"), "CPU ÷ ADBC": (_peer, "cpu")},
        )
        lines += made if table == "mixed" else [_renamed(line, table) for line in made]
    return Answer(
        question="arrow",
        title=f"{plan.operations} rows of 8 columns as a pyarrow Table",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "rows": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines,
        verdicts=verdicts,
        notes=[
            "Columns: int4, int8, text, text with NULLs, bool, numeric, timestamptz, uuid; then numbers.",
            "ADBC reads numeric as text, we as decimal128. CPU is that of this process, not the server's.",
            f"pyarrow {pyarrow.__version__}, ADBC {adbc_driver_postgresql.__version__}.",
        ],
    )


def _renamed(line: Line, table: str) -> Line:
    return Line(f"{line.driver}, {table}", line.face, line.figures, line.ratios)


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=11, operations=1_000_000, warmup=1),
    quick=Plan(rounds=3, operations=50_000, warmup=1),
)

if __name__ == "__main__":
    main(QUESTION)
