"""What reading one's own writes costs on the wire: nothing that was not there before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest
from hyperdjango.database import Database, DatabaseError, UndefinedTable
from hyperdjango.database.errors import InFailedSqlTransaction
from hyperdjango.multi_db import ConnectionManager
from pg_cluster import Cluster
from pgbouncer import PgBouncer, PoolMode
from pgkit import Proxy
from routed_sets import connected


class Counted(NamedTuple):
    """A manager, with proxies that count in front of the primary and of the one replica."""

    cluster: Cluster
    connections: ConnectionManager
    primary: Proxy
    replica: Proxy

    @contextmanager
    def trips(self, primary: int, replica: int) -> Iterator[None]:
        """What is done inside costs exactly so many."""
        before = self.primary.round_trips, self.replica.round_trips
        yield
        after = self.primary.round_trips, self.replica.round_trips
        assert (after[0] - before[0], after[1] - before[1]) == (primary, replica)


@pytest.fixture
async def counted(cluster: Cluster, cluster_database: str) -> AsyncIterator[Counted]:
    primary, replica = (
        cluster.url(node, cluster_database) for node in (cluster.primary, cluster.replicas[0])
    )
    with Proxy.before(primary) as first, Proxy.before(replica) as second:
        # Probes would be counted, too.
        options = {"primary": first.url(primary), "replicas": [second.url(replica)], "probe_interval": 1e6}
        async with connected(cluster, cluster_database, **options) as connections:
            await connections["default"].execute("CREATE TABLE t (n int)")
            await asyncio.to_thread(cluster.wait_until_caught_up)
            for _ in range(3):  # texts become known
                await insert(connections["default"])
                await insert_in_block(connections["default"])
                with connections.scope():
                    await connections.reader().query_val("SELECT max(n) FROM t")
            yield Counted(cluster, connections, first, second)


async def insert(db: Database) -> None:
    await db.execute("INSERT INTO t VALUES ($1)", 1)


async def insert_in_block(db: Database) -> None:
    async with db.transaction():
        await db.execute("INSERT INTO t VALUES ($1)", 1)


async def test_a_write_and_the_position_behind_it_are_one_round_trip(counted: Counted) -> None:
    with counted.connections.scope() as scope:
        for _ in range(3):
            before = scope.token
            with counted.trips(1, 0):
                await insert(counted.connections["default"])
            assert scope.token != before


async def script(db: Database) -> None:
    await db.execute("INSERT INTO t VALUES (1); UPDATE t SET n = 2")


async def pipeline(db: Database) -> None:
    await db.pipeline([("INSERT INTO t VALUES ($1)", [1]), "SELECT max(n) FROM t"])


async def batch(db: Database) -> None:
    await db.execute_many("INSERT INTO t VALUES ($1)", [(1,), (2,)])


async def copy(db: Database) -> None:
    await db.execute("COPY t FROM STDIN", "1\n2\n")


async def definition(db: Database) -> None:
    await db.execute("ALTER TABLE t ALTER n SET DEFAULT 3")


async def returning(db: Database) -> None:
    await db.query("DELETE FROM t WHERE n = $1 RETURNING n", 1)


def blocking_insert(db: Database) -> None:
    db.sync.execute("INSERT INTO t VALUES ($1)", 1)


def blocking_script(db: Database) -> None:
    db.sync.execute("INSERT INTO t VALUES (1); UPDATE t SET n = 2")


def blocking_pipeline(db: Database) -> None:
    db.sync.pipeline([("INSERT INTO t VALUES ($1)", [1]), "SELECT max(n) FROM t"])


def blocking_batch(db: Database) -> None:
    db.sync.execute_many("INSERT INTO t VALUES ($1)", [(1,), (2,)])


def blocking_copy(db: Database) -> None:
    db.sync.execute("COPY t FROM STDIN", "1\n2\n")


def blocking_block(db: Database) -> None:
    face = db.sync
    with face.transaction():
        face.execute("INSERT INTO t VALUES ($1)", 1)


async def call(way: Callable[[Database], Awaitable[None] | None], db: Database) -> None:
    if asyncio.iscoroutinefunction(way):
        await way(db)
    else:
        await asyncio.to_thread(way, db)


# As many as without replicas; but a COPY is begun, has its data, and then a COMMIT of its own.
WAYS: dict[Callable[[Database], Awaitable[None] | None], int] = {
    script: 1,
    pipeline: 1,
    batch: 1,
    copy: 3,
    definition: 1,
    returning: 1,
    blocking_insert: 1,
    blocking_script: 1,
    blocking_pipeline: 1,
    blocking_batch: 1,
    blocking_copy: 3,
    blocking_block: 2,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_the_position_comes_along_whichever_way_a_write_goes(
    way: Callable[[Database], Awaitable[None] | None], counted: Counted
) -> None:
    db = counted.connections["default"]
    await call(way, db)  # its texts become known
    with counted.connections.scope() as scope:
        for _ in range(3):
            with counted.trips(WAYS[way], 0):
                await call(way, db)
            assert scope.token.startswith("default=1-")
    # It is the replica that may be asked; the primary is not.
    await asyncio.to_thread(counted.cluster.wait_until_caught_up)
    with counted.connections.scope(scope.token):
        before = counted.primary.round_trips
        assert await counted.connections.reader().query_val("SELECT pg_is_in_recovery()")
        assert counted.primary.round_trips == before


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_behind_a_pooler_every_way_is_seen(
    mode: PoolMode, cluster: Cluster, cluster_database: str
) -> None:
    primary = cluster.url(cluster.primary, cluster_database)
    with PgBouncer(primary, mode, 3, ignore_startup_parameters="extra_float_digits") as pooler:
        replicas = [cluster.url(cluster.replicas[1], cluster_database)]  # 300 ms behind
        async with connected(
            cluster, cluster_database, primary=pooler.url, replicas=replicas, max_size=2
        ) as connections:
            db, reader = connections["default"], connections.reader()
            await db.execute("CREATE TABLE t (n int)")
            await asyncio.to_thread(cluster.wait_until_caught_up)
            for way in [*WAYS] * 3:
                with connections.scope():
                    await call(way, db)
                    await db.execute("INSERT INTO t VALUES (99)")
                    assert await reader.query_val("SELECT max(n) FROM t") == 99
                    await db.execute("DELETE FROM t")


@pytest.mark.parametrize("is_blocking", [False, True], ids=["asyncio", "blocking"])
async def test_so_it_does_with_the_first_commit_of_all(
    is_blocking: bool, cluster: Cluster, cluster_database: str
) -> None:
    primary = cluster.url(cluster.primary, cluster_database)
    with Proxy.before(primary) as proxy:
        options = {"primary": proxy.url(primary), "probe_interval": 1e6, "max_size": 1}
        async with connected(cluster, cluster_database, **options) as connections:
            db = connections["default"]

            def block() -> int:
                face = db.sync
                with face.transaction():
                    face.execute("CREATE TABLE t (n int)")
                    return proxy.round_trips

            asked = -1
            while asked != proxy.round_trips:  # the monitors have a first look at the servers
                asked = proxy.round_trips
                await asyncio.sleep(0.3)
            with connections.scope() as scope:
                if is_blocking:
                    before = await asyncio.to_thread(block)
                else:
                    async with db.transaction():
                        await db.execute("CREATE TABLE t (n int)")
                        before = proxy.round_trips
                assert proxy.round_trips - before == 1
                assert scope.token.startswith("default=1-")


async def test_what_a_text_needs_to_be_learned_is_learned_in_front(counted: Counted) -> None:
    db = counted.connections["default"]
    with counted.connections.scope() as scope:
        for n in range(3):
            # Parse and Describe, then the statement with the position behind it.
            with counted.trips(2, 0):
                await db.execute(f"INSERT INTO t VALUES ($1 + {n})", 1)
            assert scope.token.startswith("default=1-")


async def test_a_text_that_is_wrong_is_found_so_once(counted: Counted) -> None:
    db = counted.connections["default"]
    with counted.trips(1, 0), pytest.raises(UndefinedTable):
        await db.query("SELECT * FROM missing WHERE n = $1", 1)
    with counted.trips(1, 0), pytest.raises(UndefinedTable):
        await asyncio.to_thread(db.sync.query, "SELECT * FROM missing WHERE n = $1", 1)


async def test_a_block_costs_as_much_as_without_replicas(counted: Counted) -> None:
    with counted.connections.scope() as scope:
        for _ in range(3):
            before = scope.token
            # BEGIN goes with the first statement, the position with COMMIT.
            with counted.trips(2, 0):
                await insert_in_block(counted.connections["default"])
            assert scope.token != before


async def test_a_block_whose_commit_is_not_flushed_costs_as_much(counted: Counted) -> None:
    db = counted.connections["default"]
    with counted.connections.scope() as scope:
        before = scope.token
        with counted.trips(3, 0):
            async with db.transaction():
                await db.execute("SET LOCAL synchronous_commit = off")
                async with db.transaction():
                    await db.execute("INSERT INTO t VALUES ($1)", 1)
        assert scope.token != before


async def test_a_block_that_has_failed_costs_no_more_either(counted: Counted) -> None:
    db = counted.connections["default"]

    async def fail() -> None:
        async with db.transaction():
            with suppress(DatabaseError):
                await db.execute("INSERT INTO t VALUES (1 / $1::int)", 0)

    # The statement that fails is described first; then ROLLBACK, as the answer to COMMIT.
    with counted.trips(3, 0), pytest.raises(InFailedSqlTransaction, match="answered COMMIT with ROLLBACK"):
        await fail()


async def test_a_block_that_writes_nothing_costs_nothing(counted: Counted) -> None:
    with counted.trips(0, 0):
        async with counted.connections["default"].transaction():
            pass


async def test_a_read_is_one_round_trip_to_one_server(counted: Counted) -> None:
    with counted.connections.scope():
        for _ in range(3):
            with counted.trips(0, 1):
                await counted.connections.reader().query_val("SELECT max(n) FROM t")
    async with counted.connections.pin():
        await counted.connections.reader().query_val("SELECT max(n) FROM t")
        with counted.trips(1, 0):
            await counted.connections.reader().query_val("SELECT max(n) FROM t")


async def test_a_replica_that_is_known_to_have_a_write_is_not_asked_again(counted: Counted) -> None:
    with counted.connections.scope():
        await insert(counted.connections["default"])
        reader = counted.connections.reader()
        while True:
            before = counted.replica.round_trips, counted.primary.round_trips
            await reader.query_val("SELECT max(n) FROM t")
            if counted.primary.round_trips == before[1]:
                break  # the replica has it, as was asked once
        with counted.trips(0, 1):
            await reader.query_val("SELECT max(n) FROM t")
