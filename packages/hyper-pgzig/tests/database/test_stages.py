"""Which transactions the running task is in, over all Databases, and what their stages say."""

import asyncio

import pytest
from hyperdjango.database import Database
from hyperdjango.database._stages import RUNNING, stages

pytestmark = pytest.mark.postgres


async def test_blocks_of_several_databases_are_told_in_order(database_url: str) -> None:
    async with Database(database_url, min_size=1) as one, Database(database_url, min_size=1) as other:
        assert stages() == ()
        async with one.transaction():
            (outer,) = stages()
            assert not outer.is_over
            async with one.transaction():
                assert stages() == (outer,)
            async with other.transaction():
                assert len(stages()) == 2
                assert stages()[0] is outer
                assert await asyncio.create_task(told()) == stages()
            assert stages() == (outer,)
        assert stages() == ()
        assert outer.is_over


async def told() -> object:
    return stages()


async def test_blocks_that_end_in_another_order_leave_nothing_behind(database_url: str) -> None:
    async with Database(database_url, min_size=1) as one, Database(database_url, min_size=1) as other:
        first, second = one.transaction(), other.transaction()
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        assert len(stages()) == 1
        await second.__aexit__(None, None, None)
        assert RUNNING.get() == ()


async def test_a_rollback_inside_of_a_block_begins_another_stage(database_url: str) -> None:
    async with Database(database_url, min_size=1) as db, db.transaction():
        before = stages()
        async with db.transaction():
            await db.execute("CREATE TEMP TABLE seen (id int)")
        assert stages() == before
        with pytest.raises(ZeroDivisionError):
            async with db.transaction():
                raise ZeroDivisionError
        assert stages() != before
        assert before[0].is_over
        assert not stages()[0].is_over
