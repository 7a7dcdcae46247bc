"""`HAProxy` in front of a cluster: it finds the roles, and finds them again after a promotion."""

import psycopg
import pytest
from cluster_fixtures import StartCluster
from haproxy import HAProxy, Role
from pg_cluster import Cluster


def port_of(proxy: HAProxy, role: Role, database: str = "postgres") -> int:
    """Return which server the proxy leads to."""
    with proxy.connect(role, database) as connection:
        row = connection.execute("SELECT current_setting('port')::int").fetchone()
        assert row is not None
        return int(row[0])


def test_one_port_leads_to_the_primary_and_one_to_the_replicas_in_turn(
    cluster: Cluster, cluster_database: str
) -> None:
    with HAProxy(cluster) as proxy:
        proxy.wait_until_up("replica", [1, 2])
        assert proxy.up("primary") == [0]
        assert {port_of(proxy, "primary", cluster_database) for _ in range(3)} == {cluster.primary.port}
        behind = {port_of(proxy, "replica") for _ in range(4)}
        assert behind == {node.port for node in cluster.replicas}


def test_it_follows_a_promotion_and_closes_the_connections_to_the_old_primary(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(delays_ms=(0,))
    old, heir = cluster.nodes
    with HAProxy(cluster) as proxy, proxy.connect("primary") as connection:
        assert port_of(proxy, "primary") == old.port
        cluster.promote(heir, crash=True)
        proxy.wait_until_up("primary", [1])
        assert port_of(proxy, "primary") == heir.port
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        cluster.rejoin(old)
        proxy.wait_until_up("replica", [0])
        assert port_of(proxy, "replica") == old.port


def test_a_replica_that_stands_still_is_left_out_until_it_goes_on(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0, 0))
    with HAProxy(cluster) as proxy:
        proxy.wait_until_up("replica", [1, 2])
        cluster.replicas[0].pause()
        proxy.wait_until_up("replica", [2])
        cluster.replicas[0].resume()
        proxy.wait_until_up("replica", [1, 2])
