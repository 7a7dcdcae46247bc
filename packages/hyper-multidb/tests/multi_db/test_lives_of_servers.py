"""A server that is another one, or an older one, than it was: what was known of it before serves no read."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable

import pytest
from cluster_fixtures import StartCluster
from haproxy import HAProxy
from hyperdjango.database import ConnectionLost, Database, Error
from hyperdjango.multi_db import ConnectionManager, Misconfigured
from hyperdjango.multi_db._opened import _answer_of
from pg_cluster import Cluster
from routed_sets import connected, inner, until

COUNT = "SELECT count(*)::int4 FROM t"


async def query(reader: Database) -> object:
    return await reader.query_val(COUNT)


async def pipeline(reader: Database) -> object:
    return (await reader.pipeline([COUNT]))[0][0][0]


async def stream(reader: Database) -> object:
    (row,) = [row async for row in reader.stream(COUNT, into=tuple)]
    return row[0]


async def block(reader: Database) -> object:
    async with reader.transaction():
        return await reader.query_val(COUNT)


async def together(reader: Database) -> object:
    one = await reader._one_server()
    return await one.query_val(COUNT)


@pytest.mark.parametrize("way", [query, pipeline, stream, block, together])
async def test_whichever_way_is_read_a_server_that_is_older_than_it_was_does_not_serve(
    way: Callable[[Database], Awaitable[object]], cluster: Cluster, cluster_database: str
) -> None:
    late = [cluster.url(cluster.replicas[1], cluster_database)]
    async with connected(cluster, cluster_database, replicas=late, probe_interval=1000.0) as connections:
        db, reader = connections["default"], connections.reader()
        await db.execute("CREATE TABLE t (n int)")
        await asyncio.to_thread(cluster.wait_until_caught_up)
        with connections.scope():
            await db.execute("INSERT INTO t VALUES (1)")
            # As though it had been further, before it was restarted just now.
            replica = inner(connections).nodes[1]
            replica.life, replica.replayed = "an earlier one", 2**63
            replica.database._pool.renew()
            assert await way(reader) == 1


async def test_a_primary_that_was_promoted_away_from_is_none_again(start_cluster: StartCluster) -> None:
    """Nobody has fenced it off. It does not have what was written to its heir."""
    cluster = start_cluster(delays_ms=(0,))
    heir = cluster.replicas[0]
    async with connected(cluster, failover_timeout=0.5) as connections:
        db, replica_set = connections["default"], inner(connections)
        await asyncio.to_thread(heir.promote)
        await until(lambda: replica_set.primary.name.endswith(str(heir.port)), "not found")
        await db.execute("CREATE TABLE t (n int)")
        await asyncio.to_thread(heir.crash)
        await until(lambda: not replica_set.primary.is_up, "not noticed")
        with pytest.raises(Error):
            await db.execute("CREATE TABLE lost (n int)")
        assert replica_set.primary.name.endswith(str(heir.port))
        await asyncio.to_thread(heir.start)
        await until(lambda: replica_set.primary.is_up, "it is not used again")
        await db.execute("INSERT INTO t VALUES (1)")


async def test_a_server_of_another_cluster_is_refused_where_roles_are_found(
    start_cluster: StartCluster, cluster: Cluster
) -> None:
    other = start_cluster(delays_ms=(0,))
    connections = ConnectionManager()
    for stranger in other.nodes:
        urls = [cluster.url(cluster.replicas[0]), cluster.url(cluster.primary), other.url(stranger)]
        given = {"primary": urls[0], "replicas": urls[1:], "roles": "found"}
        with pytest.raises(Misconfigured, match="another cluster"):
            await connections.configure({"default": given})


async def test_another_cluster_that_comes_to_the_address_of_a_replica_serves_nothing(
    cluster: Cluster,
) -> None:
    async with connected(cluster, probe_interval=1000.0) as connections:
        replica_set = inner(connections)
        assert len(replica_set.ready) == 2
        replica = replica_set.nodes[1]
        answer = await _answer_of(replica)
        for in_recovery in (True, False):
            replica.learn(answer._replace(in_recovery=in_recovery, system="1", timeline=9))
            assert replica not in replica_set.ready
            assert replica_set.primary is replica_set.nodes[0]
        replica.learn(answer)
        assert replica in replica_set.ready


async def test_behind_a_proxy_for_several_servers_connections_are_kept(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0, 0))
    with HAProxy(cluster) as proxy:
        given = {"primary": proxy.primary_url, "replicas": [proxy.replica_url], "max_size": 4}
        connections = ConnectionManager()
        await connections.configure({"default": {**given, "probe_interval": 0.05}})
        async with connections:
            replica = inner(connections).nodes[1]

            async def read() -> None:
                for _ in range(50):
                    with connections.scope():
                        assert await connections.reader().query_val("SELECT pg_is_in_recovery()")
                    await asyncio.sleep(0.005)

            while not replica.is_many:
                replica.database._pool.renew()
                await asyncio.gather(*(read() for _ in range(4)))
            opened, repeated = replica.database.pool_stats()["opened"], inner(connections).repeated_reads
            await asyncio.gather(*(read() for _ in range(4)))
            assert replica.database.pool_stats()["opened"] - opened <= 8
            assert inner(connections).repeated_reads == repeated


async def test_a_failure_that_is_remembered_keeps_nothing_of_the_call(cluster: Cluster) -> None:
    class Value:
        pass

    async with connected(cluster, probe_interval=1000.0) as connections:
        replica_set = inner(connections)

        def call(value: Value) -> None:
            try:
                raise ConnectionLost("gone")
            except ConnectionLost as error:
                replica_set.note_failure(replica_set.nodes[1], error)

        value = Value()
        kept = weakref.ref(value)
        call(value)
        del value
        assert kept() is None
