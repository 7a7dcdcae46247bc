"""Brings the bookshop into an empty database: the schema as SQL, the rows by COPY, keys set past them, statistics."""

from functools import cache
from pathlib import Path
from typing import Final

import psycopg
from hyperdjango.database import Database

from bookshop.data import Maker, Rows

SCHEMA: Final = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
IDENTITIES: Final = (
    "publisher", "author", "profile", "genre", "book", "contribution", "customer", "review", '"order"', "shop",
)  # fmt: skip


@cache
def tables() -> tuple[tuple[str, Rows], ...]:
    """Every table's rows, made once in a process."""
    return tuple(Maker().tables())


def make_tables(url: str) -> None:
    """Make the bookshop's tables, empty, as SQL by hand makes them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())


async def fill(url: str) -> int:
    """Fill the tables.

    Returns:
        How many rows there are in all.
    """
    total = 0
    async with Database(url, 1, 1) as database:
        async with database.transaction():
            # Foreign keys are not looked up row by row, which takes most of the time; a test looks at all of them.
            await database.execute("SET LOCAL session_replication_role = replica")
            for name, rows in tables():
                status = await database.copy_records(f'"{name}"', rows)
                total += status.rows
        for name in IDENTITIES:
            await database.execute(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"
            )
        await database.execute("VACUUM ANALYZE")
    return total
