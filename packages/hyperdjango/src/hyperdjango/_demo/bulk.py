"""The tour's steps about rows in bulk, other shapes of results, notifications and plans."""

import asyncio
import csv
import io
import json
import random
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hyperdjango._demo.tour import STATIONS, Tour
from hyperdjango.database import DataError, Notification

FIRST_READING: Final = datetime(2026, 1, 1, tzinfo=UTC)


async def copy_records(tour: Tour) -> str:
    """Load the readings by COPY, from a generator."""
    generator = random.Random(11)  # noqa: S311 - the same weather every time, not a secret
    columns = (TextColumn("loading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=tour.console) as progress:
        task = progress.add_task("load", total=tour.rows)

        def readings() -> Iterator[tuple[object, ...]]:
            for number in range(tour.rows):
                if number % 1000 == 0:
                    progress.update(task, completed=number)
                yield (
                    UUID(int=generator.getrandbits(128), version=4),
                    number % STATIONS,
                    FIRST_READING + timedelta(minutes=number),
                    Decimal(generator.randrange(-2500, 3800)).scaleb(-2),
                    number % 3 == 0,
                )
            progress.update(task, completed=tour.rows)

        status = await tour.db.copy_records(tour.table("reading"), readings())
    await tour.db.execute(f"CREATE INDEX ON {tour.table('reading')} (station_id, taken)")
    return f"{status}, {status.rows:,} records in binary; and an index"


async def copy_refused(tour: Tour) -> str:
    """Give COPY a record that does not fit: nothing of it stays."""
    records: list[tuple[Any, ...]] = [(7000, "kept?", 500, []), (7001, "no height", "high", [])]
    try:
        await tour.db.copy_records(tour.table("station"), records)
    except DataError as error:
        count = f"SELECT count(*) FROM {tour.table('station')} WHERE id >= 7000"
        left: int = await tour.db.query_val(count)
        return f"{error.message.partition(':')[0]}: {left} of {len(records)} records were kept"
    raise AssertionError("a str went into a column of ints")


async def csv_round_trip(tour: Tour) -> str:
    """Write the stations out as CSV, and read them in again."""
    text = io.StringIO()
    await tour.db.copy_out(f"COPY {tour.table('station')} TO STDOUT (FORMAT csv, HEADER)").write_to(text)
    await tour.db.execute(f"CREATE TABLE {tour.table('copy')} (LIKE {tour.table('station')})")
    text.seek(0)
    lines = sum(1 for _ in csv.reader(text))
    text.seek(0)
    status = await tour.db.execute(f"COPY {tour.table('copy')} FROM STDIN (FORMAT csv, HEADER)", text)
    return f"{lines} lines of CSV out, {status} in again"


async def stream(tour: Tour) -> str:
    """Read every reading and hold none."""
    tracemalloc.start()
    try:
        count, coldest = 0, Decimal("Infinity")
        async for _, celsius in tour.db.stream(
            f"SELECT id, celsius FROM {tour.table('reading')}", into=tuple
        ):
            count += 1
            coldest = min(coldest, celsius)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    held = f"at most {peak // 1024:,} kB of Python objects at a time"
    return f"{count:,} rows one by one, the coldest {coldest} °C; {held}"


async def notifications(tour: Tour) -> str:
    """Hear what is said on a channel, and only what is committed."""
    channel = f"{tour.schema} weather"
    async with tour.db.listen(channel) as notes:
        async with tour.db.transaction():
            await tour.db.notify(channel, "storm")
        await tour.db.notify(channel, "calm")
        heard = [await asyncio.wait_for(anext(notes), 10) for _ in range(2)]
    words = " and ".join(note.payload for note in heard if isinstance(note, Notification))
    return f"heard {words}, on a connection of its own; the storm once it was committed"


async def as_json(tour: Tour) -> str:
    """Have a result as JSON, straight from the wire."""
    body = await tour.db.query_json(
        f"SELECT name, height_m, tags FROM {tour.table('station')} ORDER BY height_m DESC LIMIT 3"
    )
    return f"{len(body)} bytes of JSON, the first of {len(json.loads(body))}: {json.loads(body)[0]}"


async def as_arrow(tour: Tour) -> str:
    """Have a result as Arrow columns, for pandas, polars, DuckDB and the like."""
    table = await tour.db.query_arrow(f"SELECT * FROM {tour.table('reading')}")
    return f"{table.num_rows:,} rows in {table.num_columns} columns: {', '.join(table.column_names)}"


async def explain(tour: Tour) -> str:
    """Look at a plan, with its times."""
    result = await tour.db.explain(
        f"""SELECT name, max(celsius) FROM {tour.table("station")}
            JOIN {tour.table("reading")} ON station_id = station.id WHERE station.id < $1 GROUP BY name""",
        20,
        analyze=True,
    )
    result.show(tour.console)
    scans = ", ".join(result.seq_scan_tables) or "none"
    return f"{len(result.all_nodes)} nodes, {result.execution_time:.1f} ms; read as a whole: {scans}"
