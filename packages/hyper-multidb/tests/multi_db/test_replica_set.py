"""A primary and its replicas under one alias: where reads and writes go, and why."""

from collections.abc import AsyncIterator

import pytest
from hyperdjango.database import QueryEvent
from hyperdjango.multi_db import ConnectionManager
from pg_cluster import Cluster


@pytest.fixture
async def connections(cluster: Cluster, cluster_database: str) -> AsyncIterator[ConnectionManager]:
    manager = ConnectionManager()
    await manager.configure(
        {
            "default": {
                "primary": cluster.url(cluster.primary, cluster_database),
                "replicas": [cluster.url(node, cluster_database) for node in cluster.replicas],
                "min_size": 1,
                "max_size": 4,
            }
        }
    )
    async with manager:
        yield manager


async def test_reads_go_to_replicas_and_writes_to_the_primary(connections: ConnectionManager) -> None:
    db, reader = connections["default"], connections.reader("default")
    assert not await db.query_val("SELECT pg_is_in_recovery()")
    with connections.scope():
        assert await reader.query_val("SELECT pg_is_in_recovery()")


async def test_a_read_sees_the_own_write(connections: ConnectionManager) -> None:
    db, reader = connections["default"], connections.reader("default")
    await db.execute("CREATE TABLE t (n int)")
    for n in range(200):
        await db.execute("INSERT INTO t VALUES ($1)", n)
        assert await reader.query_val("SELECT max(n) FROM t") == n
        async with db.transaction():
            await db.execute("UPDATE t SET n = n WHERE n = $1", n)
            await db.execute("INSERT INTO t VALUES ($1)", -n)
        assert await reader.query_val("SELECT min(n) FROM t") == -n
    print(connections.stats())
