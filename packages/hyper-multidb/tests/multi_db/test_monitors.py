"""The threads that ask servers how they are: how often, and what becomes of them."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from cluster_fixtures import StartCluster
from hyperdjango.database import Error
from routed_sets import connected, inner, until


async def test_a_server_that_is_down_is_asked_less_often_and_so_are_not_the_others(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(delays_ms=(0,))
    async with connected(cluster, probe_interval=0.2) as connections:
        replica_set = inner(connections)
        await asyncio.to_thread(cluster.kill, cluster.replicas[0])
        await until(lambda: not replica_set.ready, "a server that is gone counts as up")
        asked: Counter[str] = Counter()
        for monitor in replica_set._monitors:

            def counted(database: Any, ask: Any = monitor._ask, name: str = monitor._node.name) -> bool:
                asked[name] += 1
                return bool(ask(database))

            monitor._ask = counted  # type: ignore[method-assign]
        await asyncio.sleep(2)
        primary, replica = (node.name for node in replica_set.nodes)
        # Without any pause it would be hundreds.
        assert asked[replica] <= 6
        assert asked[primary] <= 20


async def test_a_primary_that_was_down_for_long_is_found_by_a_write_that_waits(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(delays_ms=())
    async with connected(cluster, probe_interval=20.0, failover_timeout=15.0) as connections:
        db = connections["default"]
        await asyncio.to_thread(cluster.kill, cluster.primary)
        with pytest.raises(Error):
            await db.execute("SELECT 1", timeout=0.5)
        waiting = asyncio.ensure_future(db.query_val("SELECT 1"))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(cluster.start, cluster.primary)
        assert await waiting == 1
