"""Rows of a type that is met only once they are here: where their request goes on, and that it always does.

A record says of what its fields are in each row. So a text that is known and quick can all the same bring a
type nobody has asked the catalogs about: its request leaves the connection, and goes on when these are read.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import Database, OutcomeUnknown
from hyperdjango.database._slot import RESET_SQL, Slot

CREATE: Final = "CREATE TYPE mood AS ENUM ('sad', 'ok')"
RECORD: Final = "CASE WHEN $1::bool THEN ROW(1) ELSE ROW('ok'::mood) END"
HANGS_SECONDS: Final = 30.0


@asynccontextmanager
async def opened(url: str, min_size: int, max_size: int, **options: Any) -> AsyncIterator[Database]:
    """A pool, and a time within which whoever does not hang is through."""
    db = Database(url, min_size, max_size, **options)
    async with asyncio.timeout(HANGS_SECONDS):
        await db.connect()
        try:
            yield db
        finally:
            await db.disconnect(timeout=1)


async def test_a_lone_call_of_a_text_that_is_warm_meets_one(url: str) -> None:
    async with opened(url, 1, 2) as db:
        for n in range(5):
            await db.execute(f"DROP TYPE IF EXISTS mood CASCADE; {CREATE}")
            sql = f"SELECT {n}, {RECORD}"
            for _ in range(15):
                await db.query_val(sql, True)
            assert await db.query(sql, False, into=tuple) == [(n, ("ok",))]


@pytest.mark.parametrize("is_warm", [True, False])
async def test_a_call_whose_connection_was_to_end_meets_one(url: str, is_warm: bool) -> None:
    """The request waits for a connection while its own, which is the only one, is replaced."""
    async with opened(url, 0, 1) as db:
        await db.execute(CREATE)
        sql = f"SELECT {RECORD}" if is_warm else "SELECT ROW('ok'::mood), $1::bool"
        if is_warm:
            for _ in range(15):
                await db.query_val(sql, True)
        call = asyncio.ensure_future(db.query_val(sql, False))
        await asyncio.sleep(0)
        for slot in db._pool.slots():
            slot.condemn()  # as after max_lifetime
        assert await call == ("ok",)
        assert db.pool_stats()["busy"] == 0
        assert await db.query_val("SELECT 1") == 1


async def test_calls_go_on_where_a_reset_is_owed(url: str) -> None:
    async with opened(url, 3, 3) as db:

        async def change_session() -> None:
            async with db.transaction():
                await db.execute("SET statement_timeout = 77777")

        for n in range(15):
            await db.execute(f"DROP TYPE IF EXISTS mood; {CREATE}")
            await asyncio.gather(*(change_session() for _ in range(3)))
            made = await asyncio.gather(
                db.query_val(f"SELECT 'ok'::mood, {n}"),
                db.query_val(f"SELECT 'sad'::mood, {n}"),
                change_session(),
                db.query_val(f"SELECT ARRAY['ok'::mood], {n}"),
                change_session(),
                db.query_val("SHOW statement_timeout"),
            )
            assert list(made) == ["ok", "sad", None, ["ok"], None, "0"]


async def test_a_call_goes_on_where_a_reset_is_owed_though_its_type_was_learned_meanwhile(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nothing is asked of the catalogs, and the statement is the first to be sent there."""
    async with opened(url, 1, 1) as db:
        await db.execute(CREATE)
        oid = await db.query_val("SELECT 'mood'::regtype::oid")
        acquire = db._acquire
        has_met = False

        async def acquire_as_others_left_it(*args: Any, **options: Any) -> Slot:
            nonlocal has_met
            slot = await acquire(*args, **options)
            has_met = True
            db._pool.type_map.add_string(oid, "public.mood")
            if not slot.connection.owed:
                slot.connection.owe(RESET_SQL)
            return slot

        monkeypatch.setattr(db, "_acquire", acquire_as_others_left_it)
        assert await db.query("SELECT 'ok'::mood AS m") == [{"m": "ok"}]
        assert has_met
        monkeypatch.undo()
        assert await db.query("SELECT 'ok'::mood AS m") == [{"m": "ok"}]
        assert db.pool_stats()["lost"] == 0


async def test_a_write_that_was_carried_out_does_not_end_with_acquire_timeout(url: str) -> None:
    async with opened(url, 1, 1, acquire_timeout=0.3) as db:
        await db.execute(f"CREATE TABLE t (a int); {CREATE}")
        sql = f"INSERT INTO t VALUES (1) RETURNING {RECORD}"
        for _ in range(3):
            await db.query_val(sql, True)
        await db.execute("TRUNCATE t")
        call = asyncio.ensure_future(db.query_val(sql, False))
        # It has the only connection next, and keeps it for longer than anybody may wait for one.
        behind = asyncio.ensure_future(db.query_val("SELECT 1 FROM pg_sleep(1)"))
        with suppress(OutcomeUnknown):
            assert await call == ("ok",)
        assert await behind == 1
    with psycopg.connect(url, autocommit=True) as other:
        assert other.execute("SELECT a FROM t").fetchall() == [(1,)]
