"""`PatroniCluster`: it elects a primary, hands over in order, elects another when the primary is lost."""

from typing import Any

import psycopg
import pytest
from haproxy import HAProxy
from patroni_cluster import PatroniCluster


def execute(connection: psycopg.Connection[Any], statement: str) -> object:
    with connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_primaries_are_elected_and_haproxy_leads_to_them(
    request: pytest.FixtureRequest, patroni: PatroniCluster
) -> None:
    assert request.node.get_closest_marker("slow") is not None
    first = patroni.wait_for_leader()
    second = next(node for node in patroni.nodes if node != first)
    with HAProxy(patroni.backends, patroni.userinfo) as proxy:
        execute(proxy.connect("primary"), "CREATE TABLE t AS SELECT 1 AS a")

        patroni.switch_over(second)
        patroni.wait_until_complete()
        proxy.wait_until_up("primary", [patroni.nodes.index(second)])
        execute(proxy.connect("primary"), "INSERT INTO t VALUES (2)")
        assert execute(psycopg.connect(patroni.url(second), autocommit=True), "SELECT count(*) FROM t") == 2
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            execute(psycopg.connect(patroni.url(first), autocommit=True), "INSERT INTO t VALUES (3)")

        patroni.kill(second)
        third = patroni.wait_for_leader(other_than=second)
        proxy.wait_until_up("primary", [patroni.nodes.index(third)])
        execute(proxy.connect("primary"), "INSERT INTO t VALUES (4)")

        patroni.start(second)
        patroni.wait_until_complete()
        proxy.wait_until_up("replica", [index for index, node in enumerate(patroni.nodes) if node != third])
        back = psycopg.connect(patroni.url(second), autocommit=True)
        assert execute(back, "SELECT pg_is_in_recovery()") is True
