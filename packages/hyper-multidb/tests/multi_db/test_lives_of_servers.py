"""A server that is another one, or an older one, than it was: what was known of it before serves no read."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hyperdjango.database import Database
from pg_cluster import Cluster
from routed_sets import connected, inner

COUNT = "SELECT count(*)::int4 FROM t"


async def query(reader: Database) -> object:
    return await reader.query_val(COUNT)


async def pipeline(reader: Database) -> object:
    return (await reader.pipeline([COUNT]))[0][0][0]


async def stream(reader: Database) -> object:
    return [row async for row in reader.stream(COUNT, into=tuple)][0][0]


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
