"""Section 2 of the contract: how types are found, and what Python has not got. The types: test_02_parameters.py."""

import asyncio
import contextvars
import datetime as dt
from typing import Any

import pytest
from contract.values import check_result
from contract.wire import Wire
from hyperdjango.database import (
    Database,
    DataError,
)


@pytest.mark.line("2.found.once")
async def test_types_are_found_on_first_meeting_once_per_pool(wire: Wire) -> None:
    """Enums, domains, composites and extension types are found by themselves, once per pool."""

    async def ask() -> object:
        return await db.query_val("SELECT (ARRAY[(1, 'red')::spot, (2, 'red')::spot])[2]")

    async with Database(wire.url, 2, 2) as db:
        await db.execute("CREATE TYPE tint AS ENUM ('red'); CREATE TYPE spot AS (at int, of tint)")
        assert await ask() == (2, "red")
        assert b"pg_type" in wire.bytes_sent
        wire.sent.clear()
        async with db.transaction():
            here = await db.query_val("SELECT pg_backend_pid()")
            assert await ask() == (2, "red")
            # Outside of the block, so on the other connection.
            outside = contextvars.Context()
            there = asyncio.create_task(db.query_val("SELECT pg_backend_pid()"), context=outside)
            assert await there != here
            assert await asyncio.create_task(ask(), context=outside) == (2, "red")
        assert b"pg_type" not in wire.bytes_sent


@pytest.mark.line("2.infinity")
@pytest.mark.parametrize(
    ("type_name", "least", "greatest"),
    [
        ("date", dt.date.min, dt.date.max),
        ("timestamp", dt.datetime.min, dt.datetime.max),
        (
            "timestamptz",
            dt.datetime.min.replace(tzinfo=dt.UTC),
            dt.datetime.max.replace(tzinfo=dt.UTC),
        ),
    ],
)
async def test_infinity_is_max_and_min_in_both_directions(
    db: Database, type_name: str, least: Any, greatest: Any
) -> None:
    """±infinity dates and timestamps map to date.max/datetime.max and .min in both directions."""
    await check_result(db, f"'-infinity'::{type_name}", least)
    await check_result(db, f"'infinity'::{type_name}", greatest)
    assert await db.query_val(f"SELECT $1::{type_name}::text", least) == "-infinity"
    assert await db.query_val(f"SELECT $1::{type_name}::text", greatest) == "infinity"


@pytest.mark.line("2.beyond")
@pytest.mark.parametrize("literal", ["0044-03-15 BC", "10000-01-01"])
@pytest.mark.parametrize("type_name", ["date", "timestamp", "timestamptz"])
async def test_years_that_python_lacks_name_the_column(db: Database, literal: str, type_name: str) -> None:
    """BC and years above 9999 raise DataError naming the column and saying to cast to text."""
    with pytest.raises(DataError, match=r'"ides".*cast the column to text'):
        await db.query(f"SELECT '{literal}'::{type_name} AS ides")


@pytest.mark.line("2.unknown")
async def test_an_unknown_type_is_the_servers_text(db: Database) -> None:
    """A type nobody knows comes as str in the server's text form."""
    await check_result(db, "'pg_class'::regclass", "pg_class")
    await check_result(db, "'(0,1)'::tid", "(0,1)")


@pytest.mark.line("2.codec")
async def test_a_codec_can_be_registered(db: Database) -> None:
    """A custom codec can be registered for it on the Database."""
    await db.register_codec(
        "tid",
        encode=lambda pair: f"({pair[0]},{pair[1]})",
        decode=lambda text: tuple(map(int, text[1:-1].split(","))),
    )
    assert await db.query_val("SELECT $1::tid", (3, 4)) == (3, 4)
