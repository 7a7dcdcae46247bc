"""What `create_schema` makes of the bookshop's models, beside the same schema written by hand: the catalogs agree."""

import asyncio
import re
from typing import Any, Final

import psycopg
from bookshop import models
from hyperdjango.database import Database
from hyperdjango.models import create_schema

CATALOGS: Final = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
               pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT c.relname, o.contype, pg_get_constraintdef(o.oid)
        FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
        WHERE c.relnamespace = 'public'::regnamespace AND o.contype <> 'n'
    """,
    "indexes": """
        SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
    """,
    "enums": """
        SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
        FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid GROUP BY 1
    """,
}  # fmt: skip


def catalogs(url: str) -> dict[str, Any]:
    """What the catalogs say, names of indexes apart: they are free."""
    with psycopg.connect(url) as connection:
        return {
            name: sorted(
                re.sub(r"INDEX \S+ ON", "INDEX ON", repr(row))
                for row in connection.execute(sql.encode()).fetchall()
            )
            for name, sql in CATALOGS.items()
        }


def test_the_catalogs_agree(empty_shop_url: str, database_url: str) -> None:
    async def make() -> None:
        async with Database(database_url, 1, 1) as database:
            await create_schema(models.MODELS, database)

    asyncio.run(make())
    expected, found = catalogs(empty_shop_url), catalogs(database_url)
    assert found["enums"] == expected["enums"]
    assert found["columns"] == expected["columns"]
    assert found["constraints"] == expected["constraints"]
    assert found["indexes"] == expected["indexes"]
