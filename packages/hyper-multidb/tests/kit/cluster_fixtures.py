"""The pytest plugin that gives tests of routing several servers. Loaded by the root conftest.

- `cluster`: a primary, a replica, and a replica that is 300 ms behind (embedded servers), for tests that only
  write, read and measure: one for the whole session, so it must be left as it was found.
- `cluster_database`: the name of an empty database on it, of the test's own: `cluster.url(node, name)`.
- `start_cluster`: makes another one, to be broken: `start_cluster(delays_ms=(0,), kind="system")`; it is
  removed after the test.
- `two_shards`: URLs of two empty databases on two independent servers.

- `patroni`: three nodes that elect their primary by themselves, of the test's own; ten seconds, so tests with it
  are marked `slow`.

HAProxy in front of either is a context manager: `HAProxy(cluster)`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Final, Protocol

import pytest
from haproxy import NO_HAPROXY
from hyperdjango.database._embedded_server import EmbeddedServer
from patroni_cluster import NO_ETCD, NO_PATRONI, PatroniCluster
from pg_cluster import DELAY_MS, Cluster
from postgres_servers import REMEDIES, Kind, Server, need_binaries

FIXTURES: Final = frozenset({"cluster", "start_cluster", "shard_servers", "patroni"})
REMEDIES[NO_HAPROXY] = "Install it (Debian: apt-get install haproxy) to test what a proxy in between changes"
for missing in (NO_PATRONI, NO_ETCD):
    REMEDIES[missing] = (
        "Install both (Debian: apt-get install patroni etcd-server) to test elections of a primary"
    )


class StartCluster(Protocol):
    """What the fixture `start_cluster` gives."""

    def __call__(
        self,
        kind: Kind = "embedded",
        *,
        delays_ms: Sequence[int] = (0, DELAY_MS),
        settings: Mapping[str, str] | None = None,
    ) -> Cluster:
        """Make it: a second or so."""
        ...


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A primary and two replicas, the second one 300 ms behind. All tests share it."""
    with Cluster() as made:
        yield made


@pytest.fixture
def cluster_database(cluster: Cluster) -> Iterator[str]:
    """The name of an empty database that is on all of the cluster's nodes and that only this test knows."""
    name = cluster.create_database()
    yield name
    cluster.drop_database(name)


@pytest.fixture
def start_cluster() -> Iterator[StartCluster]:
    """Makes clusters that the test may break."""
    with ExitStack() as stack:

        def start(
            kind: Kind = "embedded",
            *,
            delays_ms: Sequence[int] = (0, DELAY_MS),
            settings: Mapping[str, str] | None = None,
        ) -> Cluster:
            return stack.enter_context(Cluster(kind, delays_ms=delays_ms, settings=settings))

        yield start


@pytest.fixture(scope="session")
def shard_servers(embedded_server: Server) -> Iterator[tuple[Server, Server]]:
    """Two servers that know nothing of each other."""
    with EmbeddedServer(need_binaries("embedded")) as second:
        yield embedded_server, Server("second shard", second.major, second.url, second)


@pytest.fixture
def two_shards(shard_servers: tuple[Server, Server]) -> Iterator[tuple[str, str]]:
    """URLs of an empty database on each of two servers, of the test's own."""
    first, second = shard_servers
    names = first.create_database(), second.create_database()
    yield first.url_for(names[0]), second.url_for(names[1])
    first.drop_database(names[0])
    second.drop_database(names[1])


@pytest.fixture
def patroni() -> Iterator[PatroniCluster]:
    """Three nodes of Patroni, one of which leads and two follow."""
    with PatroniCluster() as made:
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need servers, and those that take long."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if FIXTURES & names:
            item.add_marker("postgres")
        if "patroni" in names:
            item.add_marker("slow")
