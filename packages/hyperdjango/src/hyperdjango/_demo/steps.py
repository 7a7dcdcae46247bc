"""The steps of the tour: a small network of weather stations, its readings, and every way to ask for them."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from rich.markup import escape
from rich.table import Table

from hyperdjango._demo import bulk, concurrent, orm, replicas
from hyperdjango._demo.tour import STATIONS, Step, Tour, duration
from hyperdjango.database import DivisionByZero, SyncDatabase, UniqueViolation

PLACES: Final = ("Aare", "Brig", "Chur", "Davos", "Engi", "Flims", "Genf", "Horw")


class Station(NamedTuple):
    """A station, as `into=` makes it."""

    id: int
    name: str
    height_m: int


@dataclass
class Extremes:
    """The extremes of one station, as `into=` makes them."""

    name: str
    coldest: Decimal
    warmest: Decimal


async def look_around(tour: Tour) -> str:
    """Ask the server who it is."""
    version = await tour.db.query_val("SHOW server_version")
    return f"PostgreSQL {version}, {tour.db.pool_stats()['total']} connections open"


async def create_schema(tour: Tour) -> str:
    """Make the tables, several statements in one call."""
    await tour.db.execute(f"""
        CREATE SCHEMA {tour.schema};
        CREATE TABLE {tour.table("station")} (
            id int PRIMARY KEY, name text NOT NULL UNIQUE, height_m int NOT NULL, tags text[] NOT NULL);
        CREATE TABLE {tour.table("reading")} (
            id uuid PRIMARY KEY, station_id int NOT NULL REFERENCES {tour.table("station")},
            taken timestamptz NOT NULL, celsius numeric(5, 2) NOT NULL, is_checked bool NOT NULL)
    """)
    return f"2 tables in a schema of its own, {tour.schema}"


async def execute_many(tour: Tour) -> str:
    """Insert the stations, one set of values each, all or nothing."""
    generator = random.Random(7)  # noqa: S311 - the same weather every time, not a secret
    stations = [
        (
            number,
            f"{PLACES[number % len(PLACES)]} {number}",
            generator.randrange(200, 3500),
            ["demo", "hills"],
        )
        for number in range(STATIONS)
    ]
    status = await tour.db.execute_many(
        f"INSERT INTO {tour.table('station')} VALUES ($1, $2, $3, $4)", stations
    )
    return f"{status} from {len(stations)} sets of values"


async def query(tour: Tour) -> str:
    """Ask for rows as dicts."""
    rows = await tour.db.query(
        f"""SELECT name, round(avg(celsius), 2) AS mean FROM {tour.table("station")}
            JOIN {tour.table("reading")} ON station_id = station.id
            WHERE height_m BETWEEN $1 AND $2 GROUP BY name ORDER BY mean DESC LIMIT 3""",
        500,
        3000,
    )
    return "warmest: " + ", ".join(f"{row['name']} {row['mean']} °C" for row in rows)


async def query_one(tour: Tour) -> str:
    """Ask for the first row."""
    sql = f"SELECT taken, celsius FROM {tour.table('reading')} WHERE station_id = $1 ORDER BY taken DESC"
    row = await tour.db.query_one(sql, 42)
    missing = await tour.db.query_one(sql, 4242)
    last = f"{row['celsius']} °C at {row['taken']:%Y-%m-%d %H:%M} UTC" if row else "none"
    return f"last reading of station 42: {last}; of one that is not there: {missing}"


async def query_val(tour: Tour) -> str:
    """Ask for one value."""
    count = await tour.db.query_val(f"SELECT count(*) FROM {tour.table('reading')} WHERE NOT is_checked")
    return f"{count:,} readings are not checked yet"


async def execute(tour: Tour) -> str:
    """Run a command; its status is a str and knows its number."""
    status = await tour.db.execute(
        f"UPDATE {tour.table('reading')} SET is_checked = true WHERE NOT is_checked AND celsius < $1",
        Decimal(0),
    )
    return f"{status!s}, and {status.rows:,} as a number"


async def into(tour: Tour) -> str:
    """Have rows made into one's own classes."""
    station = await tour.db.query_one(
        f"SELECT id, name, height_m FROM {tour.table('station')} ORDER BY height_m DESC", into=Station
    )
    extremes = await tour.db.query(
        f"""SELECT name, min(celsius) AS coldest, max(celsius) AS warmest FROM {tour.table("station")}
            JOIN {tour.table("reading")} ON station_id = station.id GROUP BY name ORDER BY coldest LIMIT 1""",
        into=Extremes,
    )
    return f"NamedTuple {station}; dataclass {extremes[0]}"


async def everything(tour: Tour) -> str:
    """Read every row while the event loop goes on; tell how long it ever stood still."""
    pauses = [0.0]

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            pauses.append(time.perf_counter() - began)

    ticker = asyncio.create_task(tick())
    try:
        rows = await tour.db.query(f"SELECT * FROM {tour.table('reading')}", into=tuple)
    finally:
        ticker.cancel()
    return f"{len(rows):,} tuples; the event loop never paused for more than {duration(max(pauses))}"


async def blocking(tour: Tour) -> str:
    """Use the blocking face, in a thread of its own."""

    def ask() -> int:
        with SyncDatabase(tour.url, min_size=1, max_size=1) as db:
            checked: int = db.query_val(f"SELECT count(*) FROM {tour.table('reading')} WHERE is_checked")
            return checked

    return f"SyncDatabase in a thread counted {await asyncio.to_thread(ask):,} checked readings"


async def transaction(tour: Tour) -> str:
    """Commit, roll back, and roll back to a savepoint."""
    count = f"SELECT count(*) FROM {tour.table('station')}"
    insert = f"INSERT INTO {tour.table('station')} VALUES ($1, $2, 500, '{{}}')"
    before: int = await tour.db.query_val(count)
    async with tour.db.transaction():
        await tour.db.execute(insert, 1000, "kept")
        with suppress(DivisionByZero):  # the inner block is undone, the outer one goes on
            async with tour.db.transaction():
                await tour.db.execute(insert, 1001, "undone by its savepoint")
                await tour.db.query_val("SELECT 1 / 0")
        await tour.db.execute(insert, 1002, "kept too")
    committed: int = await tour.db.query_val(count) - before
    with suppress(DivisionByZero):
        async with tour.db.transaction():
            await tour.db.execute(f"DELETE FROM {tour.table('reading')}")
            await tour.db.query_val("SELECT 1 / 0")
    left: int = await tour.db.query_val(f"SELECT count(*) FROM {tour.table('reading')}")
    undone = f"1 undone by a savepoint; a DELETE rolled back, {left:,} rows are left"
    return f"{committed} of 3 stations committed, {undone}"


async def error(tour: Tour) -> str:
    """Run into a constraint and show what the error knows."""
    try:
        await tour.db.execute(
            f"INSERT INTO {tour.table('station')} VALUES ($1, $2, 1, '{{}}')", 5000, f"{PLACES[0]} 0"
        )
    except UniqueViolation as violation:
        table = Table("Field", "Value", title=f"{type(violation).__name__}: {escape(violation.message)}")
        for name in ("sqlstate", "detail", "schema", "table", "constraint", "query"):
            table.add_row(name, escape(str(getattr(violation, name))))
        tour.console.print(table)
        code = f"SQLSTATE {violation.sqlstate}"
        return f"{type(violation).__name__}, {code}, of the constraint {violation.constraint}"
    raise AssertionError("the server took the same name twice")


TYPES: Final = (
    ("int8", "9223372036854775807::int8"),
    ("numeric", "12345678901234567890.1234567890::numeric"),
    ("float8", "'Infinity'::float8"),
    ("text", "'naïve ☃'::text"),
    ("bool", "true"),
    ("bytea", r"'\x00ff'::bytea"),
    ("date", "'2026-02-28'::date"),
    ("timestamptz", "'2026-02-28 12:00:00+02'::timestamptz"),
    ("interval", "'1 day 02:03:04.5'::interval"),
    ("uuid", "'6b1d6e3a-0c2b-4b7e-9d3f-0a1b2c3d4e5f'::uuid"),
    ("jsonb", """'{"a": [1, 2.5, null]}'::jsonb"""),
    ("int4[][]", "'{{1,2},{3,NULL}}'::int4[]"),
    ("inet", "'192.168.0.1/24'::inet"),
    ("int4range", "'[1,10)'::int4range"),
    ("point", "'(1.5,2)'::point"),
    ("record", "ROW(1, 'two'::text)"),
)


async def types(tour: Tour) -> str:
    """Get one value of many types, and send some of them back as parameters."""
    table = Table("PostgreSQL", "Python", "Value", title="Types")
    columns = ", ".join(f'{expression} AS "{name}"' for name, expression in TYPES)
    row = await tour.db.query_one(f"SELECT {columns}") or {}
    for name, value in row.items():
        table.add_row(escape(name), type(value).__name__, escape(repr(value)))
    tour.console.print(table)
    sent = (row["numeric"], row["timestamptz"], row["uuid"], row["int4[][]"], row["jsonb"], date.max)
    back = await tour.db.query_one(
        "SELECT $1::numeric, $2::timestamptz, $3::uuid, $4::int4[], $5::jsonb, $6::date", *sent, into=tuple
    )
    same = "unchanged" if back == sent else f"changed: {back!r}"
    return f"{len(row)} types read; {len(sent)} values sent and read back {same}"


STEPS: Final = [
    Step("connect", look_around),
    Step("schema", create_schema),
    Step("execute_many", execute_many),
    Step("copy_records", bulk.copy_records),
    Step("refused", bulk.copy_refused),
    Step("CSV", bulk.csv_round_trip),
    Step("query", query),
    Step("query_one", query_one),
    Step("query_val", query_val),
    Step("execute", execute),
    Step("into=", into),
    Step("every row", everything),
    Step("stream", bulk.stream),
    Step("query_json", bulk.as_json),
    Step("query_arrow", bulk.as_arrow),
    Step("explain", bulk.explain),
    Step("listen", bulk.notifications),
    Step("2 000 at once", concurrent.at_once),
    Step("slow and quick", concurrent.slow_beside_quick),
    Step("pipeline", concurrent.pipeline),
    Step("SyncDatabase", blocking),
    Step("transaction", transaction),
    Step("round trips", concurrent.round_trips),
    Step("timeout=", concurrent.timeout),
    Step("an error", error),
    Step("types", types),
    Step("models", orm.declare),
    Step("querysets", orm.querysets),
    Step("related rows", orm.related),
    Step("a replica", replicas.replica),
]
