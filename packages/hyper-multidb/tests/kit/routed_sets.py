"""Managers over the clusters of the kit, as the tests of multi_db want them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hyperdjango.database import AdminShutdown, Database, OutcomeUnknown
from hyperdjango.multi_db import ConnectionManager
from hyperdjango.multi_db._replica_set import ReplicaSet
from pg_cluster import Cluster

SECONDS_MAX = 30.0


def replica_set_of(cluster: Cluster, database: str = "postgres", **options: Any) -> dict[str, Any]:
    """Return what `configure` takes for a cluster under one alias: small pools, quick probes."""
    return {
        "primary": cluster.url(cluster.primary, database),
        "replicas": [cluster.url(node, database) for node in cluster.replicas],
        "min_size": 1,
        "max_size": 4,
        "probe_interval": 0.1,
        **options,
    }


@asynccontextmanager
async def connected(
    cluster: Cluster, database: str = "postgres", **options: Any
) -> AsyncIterator[ConnectionManager]:
    """A manager whose alias `default` is a cluster."""
    manager = ConnectionManager()
    await manager.configure({"default": replica_set_of(cluster, database, **options)})
    async with manager:
        yield manager


def inner(connections: ConnectionManager, alias: str = "default") -> ReplicaSet:
    """The set behind an alias."""
    replica_set = connections._aliases[alias].replica_set
    assert replica_set is not None
    return replica_set


async def until(condition: Callable[[], object], said: str) -> None:
    """Wait for something that monitors or servers bring about."""
    end = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, said
        await asyncio.sleep(0.01)


async def unanswered(db: Database, write: str = "SELECT 1") -> None:
    """Have something committed and the connection lost behind it: nobody says how far the log is then."""
    with pytest.raises(OutcomeUnknown) as caught:
        await db.execute(f"{write}; COMMIT; SELECT pg_terminate_backend(pg_backend_pid())")
    assert isinstance(caught.value.__cause__, AdminShutdown)
