"""Servers that go and come back: promotions, crashes, restarts, with traffic on them."""

import asyncio

import pytest
from cluster_fixtures import StartCluster
from haproxy import HAProxy
from hyperdjango.database import (
    ConnectionFailed,
    ConnectionLost,
    Error,
    OutcomeUnknown,
    ReadOnlySqlTransaction,
)
from hyperdjango.multi_db import ConnectionManager
from patroni_cluster import PatroniCluster
from pg_cluster import Cluster
from routed_sets import connected, inner, until

NOTES = "CREATE TABLE notes (id int PRIMARY KEY)"


class Traffic:
    """Writers and readers that do not stop for errors, and what they have seen."""

    def __init__(self, connections: ConnectionManager) -> None:
        self.connections = connections
        self.written: set[int] = set()
        self.in_doubt: set[int] = set()
        self.errors: list[Error] = []
        self.read_errors: list[Error] = []
        self.stale: list[int] = []
        self._next = 0
        self._ends = False

    async def _write_and_read(self) -> None:
        db, reader = self.connections["default"], self.connections.reader("default")
        while not self._ends:
            self._next += 1
            number = self._next
            with self.connections.scope():
                try:
                    await db.execute("INSERT INTO notes VALUES ($1)", number)
                except OutcomeUnknown as error:
                    self.in_doubt.add(number)
                    self.errors.append(error)
                    continue
                except Error as error:
                    self.in_doubt.add(number)
                    self.errors.append(error)
                    await asyncio.sleep(0.01)
                    continue
                self.written.add(number)
                try:
                    found = await reader.query_val("SELECT id FROM notes WHERE id = $1", number)
                except Error as error:
                    self.read_errors.append(error)
                    continue
                if found != number:
                    self.stale.append(number)

    async def _read(self) -> None:
        reader = self.connections.reader("default")
        while not self._ends:
            with self.connections.scope():
                try:
                    await reader.query_val("SELECT count(*) FROM notes")
                except Error as error:
                    self.read_errors.append(error)
            await asyncio.sleep(0.002)

    async def __aenter__(self) -> "Traffic":
        self._tasks = [asyncio.ensure_future(self._write_and_read()) for _ in range(4)]
        self._tasks += [asyncio.ensure_future(self._read()) for _ in range(2)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends = True
        await asyncio.gather(*self._tasks)

    async def goes_on(self, count: int = 50) -> None:
        """Wait until so many more writes were acknowledged."""
        target = len(self.written) + count
        await until(lambda: len(self.written) >= target, "nothing is written any more")


async def test_writes_find_the_new_primary_in_the_middle_of_traffic(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0, 0))
    async with connected(cluster, failover_timeout=20.0) as connections:
        await connections["default"].execute(NOTES)
        async with Traffic(connections) as traffic:
            await traffic.goes_on()
            await asyncio.to_thread(cluster.promote, cluster.replicas[0])
            await traffic.goes_on()
        assert traffic.stale == []
        stats = connections.stats()["default"]
        assert stats["failovers"] == 1
        roles = {host: of["role"] for host, of in stats["hosts"].items()}
        assert roles[f"127.0.0.1:{cluster.primary.port}"] == "primary"
        # The old primary was shut down in order: what it had acknowledged is there, and nothing twice.
        rows = await connections["default"].query("SELECT id FROM notes", into=tuple)
        there = {row[0] for row in rows}
        assert traffic.written <= there
        assert there <= traffic.written | traffic.in_doubt
        # A write whose connection was lost is the caller's to repeat, and nobody else's.
        assert all(
            isinstance(e, (ConnectionLost, OutcomeUnknown, ConnectionFailed, Error)) for e in traffic.errors
        )


async def test_the_former_primary_comes_back_as_a_replica(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    former = cluster.primary
    async with connected(cluster, failover_timeout=20.0) as connections:
        db, reader = connections["default"], connections.reader("default")
        await db.execute(NOTES)
        await asyncio.to_thread(cluster.promote, cluster.replicas[0])
        await db.execute("INSERT INTO notes VALUES (1)")
        await asyncio.to_thread(cluster.rejoin, former)
        await asyncio.to_thread(cluster.wait_until_caught_up)
        ready = inner(connections)
        await until(lambda: [node.name for node in ready.ready] == [f"127.0.0.1:{former.port}"], "not back")
        with connections.scope():
            assert await reader.query_val("SELECT inet_server_port()") == former.port
        await db.execute("INSERT INTO notes VALUES (2)")
        assert await reader.query_val("SELECT count(*) FROM notes") == 2


@pytest.mark.parametrize("is_blocking", [False, True], ids=["asyncio", "blocking"])
async def test_after_a_promotion_replicas_serve_who_has_written_before(
    is_blocking: bool, start_cluster: StartCluster
) -> None:
    cluster = start_cluster(delays_ms=(0, 0))
    heir, other = cluster.replicas
    async with connected(cluster, failover_timeout=20.0) as connections:
        db, reader = connections["default"], connections.reader("default")
        await db.execute(NOTES)
        await db.execute("INSERT INTO notes VALUES (1)")
        with connections.scope() as before:
            await db.execute("INSERT INTO notes VALUES (2)")
        assert before.token.startswith("default=1-")
        await asyncio.to_thread(cluster.promote, heir)
        replica_set = inner(connections)
        follower = next(node for node in replica_set.nodes if node.name.endswith(f":{other.port}"))
        await until(lambda: replica_set.failovers and follower.timeline == 2, "nobody follows")
        # What is there is written by nobody of this process: it has to be seen as well.
        await asyncio.to_thread(cluster.value, heir, "INSERT INTO notes VALUES (3)")

        async def read() -> tuple[bool, int]:
            sql = "SELECT pg_is_in_recovery(), (SELECT count(*) FROM notes)"
            if not is_blocking:
                row = await reader.query_one(sql, into=tuple)
            else:
                row = await asyncio.to_thread(reader.sync.query_one, sql, into=tuple)
            assert row is not None
            return row

        async def read_until_on_replica() -> set[int]:
            seen: set[int] = set()
            for _ in range(1000):
                is_on_replica, count = await read()
                seen.add(count)
                if is_on_replica:
                    return seen
                await asyncio.sleep(0.01)
            pytest.fail("reads stay on the primary")

        # Nothing is written from here on: in the scope of the process, and in one that takes up an old token.
        assert await read_until_on_replica() == {3}
        with connections.scope(before.token) as scope:
            assert await read_until_on_replica() == {3}
            assert scope.token.startswith("default=2-")


async def test_reads_go_on_while_a_replica_is_killed_and_it_is_used_again_when_it_is_back(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(delays_ms=(0, 0))
    victim = cluster.replicas[0]
    name = f"127.0.0.1:{victim.port}"
    async with connected(cluster) as connections:
        await connections["default"].execute(NOTES)
        await asyncio.to_thread(cluster.wait_until_caught_up)
        replica_set = inner(connections)
        async with Traffic(connections) as traffic:
            await traffic.goes_on()
            await asyncio.to_thread(cluster.kill, victim)
            await until(lambda: name not in [node.name for node in replica_set.ready], "still asked")
            await traffic.goes_on()
            await asyncio.to_thread(cluster.start, victim)
            await until(lambda: name in [node.name for node in replica_set.ready], "never asked again")
            before = connections.stats()["default"]["hosts"][name]["reads"]
            await traffic.goes_on(200)
            await until(
                lambda: connections.stats()["default"]["hosts"][name]["reads"] > before, "it serves no reads"
            )
        assert traffic.stale == []
        assert traffic.errors == []
        assert traffic.read_errors == []  # each was asked again of another server


async def test_without_any_replica_reads_go_to_the_primary(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    async with connected(cluster) as connections:
        reader = connections.reader("default")
        await asyncio.to_thread(cluster.kill, cluster.replicas[0])
        for _ in range(5):
            assert not await reader.query_val("SELECT pg_is_in_recovery()")
        assert "no replica answers" in connections.stats()["default"]["routes"]


async def test_a_read_is_not_kept_by_a_frozen_replica(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    async with connected(cluster, probe_timeout=0.3) as connections:
        replica_set = inner(connections)
        frozen = cluster.replicas[0]
        await asyncio.to_thread(frozen.pause)
        try:
            await until(lambda: not replica_set.ready, "a server that does not answer counts as up")
            assert not await connections.reader().query_val("SELECT pg_is_in_recovery()", timeout=5)
        finally:
            await asyncio.to_thread(frozen.resume)
        await until(lambda: replica_set.ready, "it is not used again")


async def test_a_write_to_a_primary_that_is_gone_fails_after_the_failover_timeout(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(delays_ms=())
    async with connected(cluster, failover_timeout=0.5) as connections:
        db = connections["default"]
        await asyncio.to_thread(cluster.kill, cluster.primary)
        loop = asyncio.get_running_loop()
        with pytest.raises((ConnectionFailed, ConnectionLost, OutcomeUnknown)):
            await db.execute("SELECT 1")
        began = loop.time()
        with pytest.raises(ConnectionFailed):
            await db.execute("SELECT 1")
        assert 0.4 < loop.time() - began < 5
        await asyncio.to_thread(cluster.start, cluster.primary)
        assert await db.query_val("SELECT 1") == 1


async def test_a_write_that_waits_for_a_new_primary_ends_with_its_own_timeout(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(delays_ms=())
    async with connected(cluster, failover_timeout=60.0) as connections:
        db = connections["default"]
        await asyncio.to_thread(cluster.kill, cluster.primary)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(2):
            with pytest.raises(Error):
                await db.execute("SELECT 1", timeout=0.5)
        assert loop.time() - began < 5


async def test_a_transaction_on_a_primary_that_dies_is_not_repeated(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    async with connected(cluster, failover_timeout=20.0) as connections:
        db = connections["default"]
        await db.execute(NOTES)
        entered = 0

        async def work() -> None:
            nonlocal entered
            async with db.transaction():
                entered += 1
                await db.execute("INSERT INTO notes VALUES (1)")
                await asyncio.to_thread(cluster.promote, cluster.replicas[0])
                await db.execute("INSERT INTO notes VALUES (2)")

        with pytest.raises(Error):
            await work()
        assert entered == 1
        assert await db.query_val("SELECT count(*) FROM notes") == 0
        async with db.transaction():
            await db.execute("INSERT INTO notes VALUES (3)")
        assert await db.query_val("SELECT array_agg(id) FROM notes") == [3]


async def test_of_two_that_take_writes_the_later_timeline_is_the_primary(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    heir = cluster.replicas[0]
    async with connected(cluster) as connections:
        db = connections["default"]
        await db.execute(NOTES)
        await asyncio.to_thread(cluster.wait_until_caught_up)
        # Nobody has fenced the old one off.
        await asyncio.to_thread(heir.promote)
        await until(lambda: inner(connections).primary.name.endswith(str(heir.port)), "not found")
        await db.execute("INSERT INTO notes VALUES (1)")
        assert await asyncio.to_thread(cluster.value, heir, "SELECT count(*) FROM notes") == 1
        assert await asyncio.to_thread(cluster.value, cluster.primary, "SELECT count(*) FROM notes") == 0


async def test_an_alias_of_proxies_follows_them(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0, 0))
    with HAProxy(cluster) as proxy:
        connections = ConnectionManager()
        await connections.configure(
            {
                "default": {
                    "primary": proxy.primary_url,
                    "replicas": [proxy.replica_url],
                    "min_size": 1,
                    "max_size": 4,
                    "probe_interval": 0.1,
                    "failover_timeout": 20.0,
                }
            }
        )
        async with connections:
            await connections["default"].execute(NOTES)
            async with Traffic(connections) as traffic:
                await traffic.goes_on()
                await asyncio.to_thread(cluster.promote, cluster.replicas[0])
                await traffic.goes_on()
            assert traffic.stale == []
            there = await connections["default"].query_val("SELECT count(*) FROM notes")
            assert there >= len(traffic.written)


async def test_under_patroni_writes_follow_its_elections(patroni: PatroniCluster) -> None:
    """The servers are named one by one, and nobody says which of them leads."""
    connections = ConnectionManager()
    first, *others = [patroni.url(node) for node in patroni.nodes]
    await connections.configure(
        {
            "default": {
                "primary": first,
                "replicas": others,
                "roles": "found",
                "min_size": 1,
                "max_size": 4,
                "probe_interval": 0.2,
                "failover_timeout": 60.0,
            }
        }
    )
    async with connections:
        await connections["default"].execute(NOTES)
        leader = await asyncio.to_thread(patroni.wait_for_leader)
        heir = next(node for node in patroni.nodes if node != leader)
        async with Traffic(connections) as traffic:
            await traffic.goes_on()
            await asyncio.to_thread(patroni.switch_over, heir)
            await traffic.goes_on()
            assert traffic.stale == []
            await until(lambda: inner(connections).primary.name.endswith(str(heir.port)), "not followed")
            written = set(traffic.written)
            rows = await connections["default"].query("SELECT id FROM notes", into=tuple)
            assert written <= {row[0] for row in rows}
            await asyncio.to_thread(patroni.kill, heir)
            await asyncio.to_thread(lambda: patroni.wait_for_leader(other_than=heir))
            # What a crashed primary had not sent is lost, with replication that nobody waits for: only that it goes on.
            await traffic.goes_on()
        assert connections.stats()["default"]["failovers"] >= 2


async def test_what_is_read_from_a_standby_cannot_be_written_there(cluster: Cluster) -> None:
    async with connected(cluster) as connections:
        with connections.scope(), pytest.raises(ReadOnlySqlTransaction):
            await connections.reader().execute("CREATE TABLE nothing (id int)")
        # It was a mistake of the caller's, not news about the servers.
        assert len(inner(connections).ready) == 2
