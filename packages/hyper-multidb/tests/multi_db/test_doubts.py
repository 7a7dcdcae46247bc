"""Writes of which nobody has said how far the log is: no read after them is older, and none waits for too long."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager

import pytest
from cancel_points import MOMENTS, Cancel, Moment, Point, cancel_everywhere
from cluster_fixtures import StartCluster
from hyperdjango.database import AcquireTimeout, QueryTimeout
from hyperdjango.multi_db import ConnectionManager
from pg_cluster import Cluster
from routed_sets import connected, unanswered


def behind(
    cluster: Cluster, database: str, **options: object
) -> AbstractAsyncContextManager[ConnectionManager]:
    """A manager whose one replica is 300 ms behind."""
    return connected(cluster, database, replicas=[cluster.url(cluster.replicas[1], database)], **options)


async def table(connections: ConnectionManager, cluster: Cluster) -> None:
    await connections["default"].execute("CREATE TABLE t (n int)")
    await asyncio.to_thread(cluster.wait_until_caught_up)


async def test_of_many_who_read_at_once_none_goes_by_what_was_known_before(
    cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        reader = connections.reader()
        with connections.scope():
            await unanswered(connections["default"], "INSERT INTO t VALUES (1)")
            reads = [reader.query_val("SELECT count(*) FROM t") for _ in range(5)]
            assert await asyncio.gather(*reads) == [1] * 5


async def test_a_write_while_another_is_asked_about_stays_in_doubt(
    cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        with connections.scope() as scope:
            await unanswered(db)
            reading = asyncio.ensure_future(reader.query_val("SELECT 1"))
            await asyncio.sleep(0)
            scope.doubt("default")
            await reading
            assert "default" in scope.in_doubt
            await reader.query_val("SELECT 1")
            assert "default" not in scope.in_doubt


async def test_a_read_in_doubt_ends_with_its_own_timeout(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    async with connected(cluster, probe_timeout=30.0, lsn_wait=30.0) as connections:
        reader = connections.reader()
        reads = (
            lambda: reader.query_val("SELECT 1", timeout=0.5),
            lambda: reader.pipeline(["SELECT 1"], timeout=0.5),
        )
        for read in reads:
            with connections.scope() as scope:
                scope.doubt("default")
                await asyncio.to_thread(cluster.primary.pause)
                began = time.monotonic()
                try:
                    with pytest.raises((QueryTimeout, AcquireTimeout)):
                        await asyncio.wait_for(read(), 20)
                finally:
                    await asyncio.to_thread(cluster.primary.resume)
                assert time.monotonic() - began < 10


async def test_a_read_in_doubt_waits_for_a_primary_like_any_other(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    async with connected(cluster, failover_timeout=20.0) as connections:
        with connections.scope():
            await unanswered(connections["default"])
            await asyncio.to_thread(cluster.kill, cluster.primary)
            reading = asyncio.ensure_future(connections.reader().query_val("SELECT 1"))
            await asyncio.sleep(0.2)
            await asyncio.to_thread(cluster.start, cluster.primary)
            assert await reading == 1


@pytest.mark.parametrize("moment", MOMENTS)
async def test_seconds_count_from_a_commit_that_was_cancelled(
    moment: Moment, cluster: Cluster, cluster_database: str
) -> None:
    async with behind(cluster, cluster_database, read_your_writes=60.0) as connections:
        await table(connections, cluster)
        db, reader = connections["default"], connections.reader()
        number = 0

        async def block() -> None:
            async with db.transaction():
                await db.execute("INSERT INTO t VALUES ($1)", number)

        async def attempt(cancel: Cancel) -> Point:
            nonlocal number
            number += 1
            with connections.scope():
                point = await cancel(block())
                there = await reader.query_val("SELECT count(*) FROM t WHERE n = $1", number)
                assert there == await db.query_val("SELECT count(*) FROM t WHERE n = $1", number)
            return point

        await cancel_everywhere(attempt, moment)
