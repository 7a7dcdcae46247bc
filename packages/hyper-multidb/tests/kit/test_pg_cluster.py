"""`Cluster` and the fixtures: rows get to the replicas, roles change hands, the dead come back."""

import psycopg
import pytest
from cluster_fixtures import StartCluster
from pg_cluster import Cluster
from postgres_servers import Kind

COUNT = "SELECT count(*) FROM t"


def test_a_row_gets_to_both_replicas(cluster: Cluster, cluster_database: str) -> None:
    prompt, delayed = cluster.replicas
    cluster.value(cluster.primary, "CREATE TABLE t AS SELECT 1 AS a", cluster_database)
    cluster.wait_until_caught_up(prompt)
    assert cluster.value(prompt, COUNT, cluster_database) == 1
    assert cluster.value(delayed, "SHOW recovery_min_apply_delay") == "300ms"
    cluster.wait_until_caught_up()
    assert cluster.value(delayed, COUNT, cluster_database) == 1
    roles = [cluster.value(node, "SELECT pg_is_in_recovery()") for node in cluster.nodes]
    assert roles == [False, True, True]


def test_a_test_is_marked_and_knows_no_other_tests_tables(
    request: pytest.FixtureRequest, cluster: Cluster, cluster_database: str
) -> None:
    assert request.node.get_closest_marker("postgres") is not None
    for node in cluster.nodes:
        assert cluster.value(node, "SELECT to_regclass('t')", cluster_database) is None


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "crashed"])
@pytest.mark.parametrize("kind", ["embedded", "system"])
def test_a_promoted_replica_takes_writes_and_the_rest_follows_it(
    start_cluster: StartCluster, kind: Kind, *, crash: bool
) -> None:
    cluster = start_cluster(kind, delays_ms=(0, 0))
    old, heir, other = cluster.nodes
    cluster.value(old, "CREATE TABLE t AS SELECT 1 AS a")
    cluster.wait_until_caught_up()
    cluster.promote(heir, crash=crash)
    assert not old.running
    assert (cluster.primary, cluster.replicas) == (heir, [other])
    cluster.value(heir, "INSERT INTO t VALUES (2)")
    cluster.wait_until_caught_up()
    assert cluster.value(other, COUNT) == 2
    cluster.rejoin(old)
    cluster.wait_until_caught_up()
    assert cluster.value(old, COUNT) == 2
    assert cluster.replicas == [other, old]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        cluster.value(old, "INSERT INTO t VALUES (3)")


def test_a_killed_replica_comes_back_on_its_port_and_catches_up(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    (replica,) = cluster.replicas
    url = cluster.url(replica)
    cluster.kill(replica)
    cluster.value(cluster.primary, "CREATE TABLE t AS SELECT 1 AS a")
    cluster.wait_until_caught_up()  # those that run: none
    cluster.start(replica)
    cluster.wait_until_caught_up()
    assert cluster.url(replica) == url
    assert cluster.value(replica, COUNT) == 1


def test_a_delay_can_be_changed_while_a_replica_runs(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    (replica,) = cluster.replicas
    cluster.delay(replica, 3_600_000)
    cluster.value(cluster.primary, "CREATE TABLE t AS SELECT 1 AS a")
    cluster.wait_until_received(replica)
    assert cluster.value(replica, "SELECT to_regclass('t')") is None
    cluster.delay(replica, 0)
    cluster.wait_until_caught_up()
    assert cluster.value(replica, COUNT) == 1


def test_two_shards_are_two_servers(two_shards: tuple[str, str]) -> None:
    systems = set()
    for url in two_shards:
        with psycopg.connect(url) as connection:
            systems.add(connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone())
    assert len(systems) == 2
