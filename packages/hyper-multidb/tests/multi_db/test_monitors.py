"""The threads that ask servers how they are: how often, and what becomes of them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from cluster_fixtures import StartCluster
from hyperdjango.database import Database, Error
from pg_cluster import Cluster
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


READ_ONLY = "DO $$ BEGIN RAISE EXCEPTION 'a standby by now' USING ERRCODE = '25006'; END $$"
ELSE = "DO $$ BEGIN RAISE EXCEPTION 'a fault of its own' USING ERRCODE = 'P0001'; END $$"
Way = Callable[[Database, str], Awaitable[Any]]
WAYS: dict[str, Way] = {
    "a call": lambda db, sql: db.execute(sql),
    "a pipeline": lambda db, sql: db.pipeline(["SELECT 1", sql]),
    "a pipeline that returns": lambda db, sql: db.pipeline([sql, "SELECT 1"], return_exceptions=True),
    "blocking: a call": lambda db, sql: asyncio.to_thread(db.sync.execute, sql),
    "blocking: a pipeline": lambda db, sql: asyncio.to_thread(db.sync.pipeline, ["SELECT 1", sql]),
    "blocking: a pipeline that returns": lambda db, sql: asyncio.to_thread(
        db.sync.pipeline, [sql, "SELECT 1"], return_exceptions=True
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_primary_that_says_it_is_read_only_has_all_asked_at_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    async with connected(cluster, probe_interval=1000.0) as connections:
        woken: list[int] = []
        monkeypatch.setattr(inner(connections), "wake", lambda: woken.append(1))
        for sql, times in ((ELSE, 0), (READ_ONLY, 1)):
            with suppress(Error):
                await way(connections["default"], sql)
            assert len(woken) == times
