"""A replica set of servers that do not say how far their log is, as some managed ones: roles, and seconds."""

import asyncio

import psycopg
import pytest
from cluster_fixtures import StartCluster
from hyperdjango.multi_db import ConnectionManager, Misconfigured
from pg_cluster import Cluster
from routed_sets import inner, until


def silence(cluster: Cluster) -> None:
    """Make a role that is not told, and a table for it."""
    with psycopg.connect(cluster.url(cluster.primary), autocommit=True) as connection:
        for statement in (
            "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_current_wal_flush_lsn() FROM PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_current_wal_insert_lsn() FROM PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_last_wal_replay_lsn() FROM PUBLIC",
            "CREATE ROLE joe LOGIN PASSWORD 'joe'",
            "CREATE TABLE notes (id int)",
            "GRANT ALL ON notes TO joe",
        ):
            connection.execute(statement.encode())
    cluster.wait_until_caught_up()


def of_joe(cluster: Cluster, **options: object) -> dict[str, object]:
    first, *others = [f"postgresql://joe:joe@127.0.0.1:{node.port}/postgres" for node in cluster.nodes]
    return {
        "primary": first,
        "replicas": others,
        "min_size": 1,
        "max_size": 4,
        "probe_interval": 0.1,
        **options,
    }


@pytest.mark.parametrize("options", [{}, {"read_your_writes": None, "max_lag": 3}], ids=["lsn", "max_lag"])
async def test_what_needs_the_log_is_refused_with_the_remedy(
    options: dict[str, object], start_cluster: StartCluster
) -> None:
    cluster = start_cluster(delays_ms=(0,))
    await asyncio.to_thread(silence, cluster)
    with pytest.raises(Misconfigured, match=r"Say read_your_writes=2\.0") as caught:
        await ConnectionManager().configure({"default": of_joe(cluster, **options)})
    assert "alias 'default' (127.0.0.1:" in str(caught.value)


async def test_seconds_after_a_write_need_no_log(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    await asyncio.to_thread(silence, cluster)
    connections = ConnectionManager()
    await connections.configure({"default": of_joe(cluster, read_your_writes=0.5, failover_timeout=20.0)})
    async with connections:
        db, reader = connections["default"], connections.reader()
        with connections.scope():
            assert await reader.query_val("SELECT pg_is_in_recovery()")
            await db.execute("INSERT INTO notes VALUES (1)")
            assert not await reader.query_val("SELECT pg_is_in_recovery()")
            assert await reader.query_val("SELECT count(*) FROM notes") == 1
        await asyncio.to_thread(cluster.promote, cluster.replicas[0])
        await db.execute("INSERT INTO notes VALUES (2)")
        await until(lambda: inner(connections).primary.name.endswith(str(cluster.primary.port)), "not found")
