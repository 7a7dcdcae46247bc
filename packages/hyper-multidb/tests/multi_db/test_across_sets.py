"""Transactions over several databases of which one is a replica set, and what a proxy in front changes."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from haproxy import HAProxy
from hyperdjango.database import Database
from hyperdjango.multi_db import ConnectionManager
from hyperdjango.multi_db.engines import probe
from pg_cluster import Cluster
from postgres_servers import StartServer
from routed_sets import replica_set_of

SETTINGS = {"max_prepared_transactions": "10"}


@pytest.fixture(scope="module")
def prepared_cluster() -> Iterator[Cluster]:
    """A cluster that takes prepared transactions, with one replica that is 300 ms behind."""
    with Cluster(delays_ms=(300,), settings=SETTINGS) as cluster:
        yield cluster


@pytest.fixture
async def connections(
    prepared_cluster: Cluster, start_server: StartServer
) -> AsyncIterator[ConnectionManager]:
    """The alias `default` is the cluster, `b` another server; both have an empty table."""
    manager = ConnectionManager()
    other = start_server(settings=SETTINGS)
    await manager.configure({"default": replica_set_of(prepared_cluster), "b": other.url})
    async with manager:
        for alias in manager:
            await manager[alias].execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a int)")
        await asyncio.to_thread(prepared_cluster.wait_until_caught_up)
        yield manager


@pytest.mark.parametrize("two_phase", [False, True], ids=["one phase", "two phases"])
async def test_a_read_behind_the_block_sees_what_it_has_written(
    connections: ConnectionManager, two_phase: bool
) -> None:
    for value in range(1, 6):
        with connections.scope() as scope:
            async with connections.atomic("default", "b", two_phase=two_phase):
                for alias in connections:
                    await connections[alias].execute("INSERT INTO t VALUES ($1)", value)
                assert await connections.reader().query_val("SELECT count(*) FROM t") == value
            assert "default=" in scope.token
            assert await connections.reader().query_val("SELECT count(*) FROM t") == value
            assert await connections["b"].query_val("SELECT count(*) FROM t") == value
    assert await connections.recover(0) == []


async def test_what_is_behind_a_proxy_can_do_what_it_could_without(
    prepared_cluster: Cluster, connections: ConnectionManager
) -> None:
    with HAProxy(prepared_cluster) as proxy:
        proxy.wait_until_up("replica", [1])
        async with Database(proxy.primary_url, 1) as primary, Database(proxy.replica_url, 1) as replica:
            assert (await probe(primary)).missing == ()
            assert (await probe(replica)).missing == ("listen", "two_phase")
