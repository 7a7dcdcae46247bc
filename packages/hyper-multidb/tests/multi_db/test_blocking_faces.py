"""The blocking faces of an alias with replicas: routed, counted and waited for as the asyncio ones."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cluster_fixtures import StartCluster
from hyperdjango.database import (
    ConnectionFailed,
    Database,
    InterfaceError,
    QueryEvent,
    ReadOnlySqlTransaction,
    SyncDatabase,
)
from hyperdjango.multi_db import ConnectionManager
from pg_cluster import Cluster
from routed_sets import connected, inner, until

ON_REPLICA = "SELECT pg_is_in_recovery()"
PAIRS = 200


@pytest.fixture
async def connections(cluster: Cluster, cluster_database: str) -> AsyncIterator[ConnectionManager]:
    """With the replica that is up to date and the one that is 300 ms behind."""
    async with connected(cluster, cluster_database) as made:
        await made["default"].execute("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)")
        await made["default"].execute("INSERT INTO t VALUES (1, 0)")
        await asyncio.to_thread(cluster.wait_until_caught_up)
        yield made


async def in_thread(work: Callable[[], Any]) -> Any:
    """As a web framework with threads would call it; the scope comes along."""
    return await asyncio.to_thread(work)


# Reads


async def test_blocking_reads_go_to_a_replica_and_never_behind_an_own_write(
    connections: ConnectionManager,
) -> None:
    stale: list[tuple[int, object]] = []

    def pairs() -> None:
        db, reader = connections["default"].sync, connections.reader().sync
        assert reader.query_val(ON_REPLICA)
        for n in range(1, PAIRS + 1):
            if n % 2:
                db.execute("UPDATE t SET n = $1", n)
            else:
                with db.transaction():
                    if n % 4:
                        db.execute("SET LOCAL synchronous_commit = off")
                    db.execute("UPDATE t SET n = $1", n)
            if n % 25 == 0:
                time.sleep(0.4)  # else hardly any read finds a replica that has it
            found = reader.query_val("SELECT n FROM t")
            if found != n:
                stale.append((n, found))

    with connections.scope():
        await in_thread(pairs)
    assert stale == []
    routes = connections.stats()["default"]["routes"]
    waited = routes.get(
        "a read, once the replica had replayed the own write", 0
    )  # whether it had to is chance
    assert routes["a read"] + waited > 1
    assert routes["a write"] >= PAIRS


async def test_without_a_scope_threads_see_what_the_process_has_written(
    connections: ConnectionManager,
) -> None:
    found: list[object] = []

    def work() -> None:
        connections["default"].sync.execute("UPDATE t SET n = 5")
        found.append(connections.reader().sync.query_val("SELECT n FROM t"))

    thread = threading.Thread(target=work)  # without the context of this test
    thread.start()
    await until(lambda: not thread.is_alive(), "the thread hangs")
    assert found == [5]


async def test_a_blocking_read_heeds_pins_and_lag(connections: ConnectionManager) -> None:
    reader = connections.reader().sync
    with connections.scope():
        async with connections.pin():
            assert await in_thread(lambda: reader.query_val(ON_REPLICA)) is False
        assert await in_thread(lambda: reader.query_val(ON_REPLICA)) is True
    with connections.scope("default=FF-1"):
        assert await in_thread(lambda: reader.query_val(ON_REPLICA)) is False


async def test_what_is_more_than_a_statement_comes_from_one_replica(connections: ConnectionManager) -> None:
    port = "SELECT current_setting('port'), pg_is_in_recovery()"

    def work() -> None:
        reader = connections.reader().sync
        (first,), (second,) = reader.pipeline([port, port])
        assert first == second
        assert first[1] is True
        (row,) = list(reader.stream(port, into=tuple))
        assert row[1] is True
        assert b"".join(reader.copy_out("COPY (SELECT pg_is_in_recovery()) TO STDOUT")) == b"f\n"
        with reader.transaction(isolation="repeatable read"):
            ports: set[Any] = {reader.query_one(port, into=tuple), reader.query_one(port, into=tuple)}
            with reader.transaction():
                ports |= {tuple(reader.pipeline([port])[0][0]), next(reader.stream(port, into=tuple))}
            assert len(ports) == 1
            assert ports.pop()[1] is True
            assert b"".join(reader.copy_out("COPY (SELECT pg_is_in_recovery()) TO STDOUT")) == b"t\n"
        assert not reader.in_transaction()

    with connections.scope():
        await in_thread(work)


async def test_a_blocking_reader_refuses_what_writes(connections: ConnectionManager) -> None:
    def work(reader: SyncDatabase) -> None:
        nothing: Any = None
        calls: list[Callable[[], object]] = [
            lambda: reader.execute_many("INSERT INTO t VALUES ($1, $2)", [(2, 2)]),
            lambda: reader.copy_records("t", [(2, 2)]),
            lambda: reader.ingest_arrow("t", nothing),
            lambda: reader.execute("COPY t FROM STDIN", b"2\t2\n"),
        ]
        for call in calls:
            with pytest.raises(InterfaceError, match=r"\.sync\.\w+\(\) writes"):
                call()
        with pytest.raises(ValueError, match="read-only"), reader.transaction(read_only=False):
            pass
        for _ in range(2):
            with pytest.raises(ReadOnlySqlTransaction):
                reader.execute("INSERT INTO t VALUES (2, 2)")

    with connections.scope():
        await in_thread(lambda: work(connections.reader().sync))


async def test_those_who_watch_are_told_where_and_why(connections: ConnectionManager) -> None:
    events: list[QueryEvent] = []
    connections.on_query(events.append)

    def work() -> None:
        reader = connections.reader().sync
        reader.query_val("SELECT 1")
        with reader.transaction():
            reader.query_val("SELECT 2")
        list(reader.stream("SELECT 3"))

    with connections.scope():
        await in_thread(work)
    told = [(e.sql, e.route.role, e.route.reason) for e in events if e.sql.startswith("SELECT")]
    assert told == [
        ("SELECT 1", "replica", "a read"),
        ("SELECT 2", "replica", "in a transaction"),
        ("SELECT 3", "replica", "a read"),
    ]


async def test_a_blocking_read_goes_elsewhere_when_its_replica_dies(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=(0,))
    async with connected(cluster, probe_interval=1e6) as connections:
        reader, replica_set = connections.reader().sync, inner(connections)
        ready = replica_set.ready

        def unnoticed() -> None:
            """A monitor may have noticed; who reads has not."""
            replica_set.ready, replica_set.known = ready, object()

        def reads() -> list[bool]:
            found = [reader.query_val(ON_REPLICA)]
            cluster.kill(cluster.replicas[0])
            unnoticed()
            found.append(reader.query_val(ON_REPLICA))
            unnoticed()
            with reader.transaction():
                found.append(reader.query_val(ON_REPLICA))
            unnoticed()
            found += [row[0] for row in reader.stream(ON_REPLICA, into=tuple)]
            unnoticed()
            return [*found, reader.pipeline([ON_REPLICA])[0][0][0]]

        with connections.scope():
            assert await in_thread(reads) == [True, False, False, False, False]
        assert connections.stats()["default"]["repeated_reads"] >= 3


# Writes


async def test_a_blocking_write_that_could_not_be_sent_waits_for_the_new_primary(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(delays_ms=(0,))
    async with connected(cluster, failover_timeout=30.0) as connections:
        db = connections["default"].sync
        await connections["default"].execute("CREATE TABLE notes (id int)")
        replica_set = inner(connections)
        cluster.kill(cluster.primary)
        await until(lambda: not replica_set.primary.is_up, "nobody has noticed")
        # What is left in the pool is of the one that is gone.
        replica_set.face._pool.renew(replica_set.face._pool.parameters)  # type: ignore[union-attr]
        ways: list[Callable[[], object]] = [
            lambda: db.execute("INSERT INTO notes VALUES (1)"),
            lambda: db.pipeline(["INSERT INTO notes VALUES (2)"]),
            lambda: db.copy_records("notes", [(3,)]),
            lambda: insert_in_block(db, 4),
            lambda: connections.reader().sync.query_val("SELECT count(*) FROM notes"),
        ]
        writing = [asyncio.ensure_future(in_thread(way)) for way in ways]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in writing[:4])
        await asyncio.to_thread(cluster.promote, cluster.replicas[0], crash=True)
        await asyncio.gather(*writing)
        assert await connections["default"].query_val("SELECT array_agg(id ORDER BY id) FROM notes") == [
            1,
            2,
            3,
            4,
        ]
        assert connections.stats()["default"]["failovers"] == 1


def insert_in_block(db: SyncDatabase, n: int) -> None:
    with db.transaction():
        db.execute("INSERT INTO notes VALUES ($1)", n)


async def test_a_blocking_write_without_any_primary_fails_after_its_time(start_cluster: StartCluster) -> None:
    cluster = start_cluster(delays_ms=())
    async with connected(cluster, failover_timeout=0.3) as connections:
        db = connections["default"].sync
        cluster.kill(cluster.primary)
        await until(lambda: not inner(connections).primary.is_up, "nobody has noticed")
        inner(connections).face._pool.renew(inner(connections).face._pool.parameters)  # type: ignore[union-attr]

        def write() -> float:
            began = time.monotonic()
            with pytest.raises(ConnectionFailed):
                db.execute("SELECT 1")
            return time.monotonic() - began

        assert await in_thread(write) >= 0.3


# Counting


async def block(db: Database) -> None:
    async with db.transaction():
        await db.execute("UPDATE t SET n = 1")
        await db.execute("UPDATE t SET n = 2")


async def many(db: Database) -> None:
    await db.execute_many("UPDATE t SET n = $1", [(1,), (2,)])


def blocking_block(db: SyncDatabase) -> None:
    with db.transaction():
        db.execute("UPDATE t SET n = 1")
        db.pipeline(["UPDATE t SET n = 2"])


WAYS: dict[str, Callable[[Database], Any]] = {
    "a call": lambda db: db.execute("UPDATE t SET n = 1"),
    "a block": block,
    "a pipeline": lambda db: db.pipeline(["UPDATE t SET n = 1", "SELECT 1"]),
    "COPY": lambda db: db.execute("COPY t FROM STDIN", b"2\t2\n"),
    "copy_records": lambda db: db.copy_records("t", [(2, 2)]),
    "execute_many": many,
    "blocking: a call": lambda db: in_thread(lambda: db.sync.execute("UPDATE t SET n = 1")),
    "blocking: a block": lambda db: in_thread(lambda: blocking_block(db.sync)),
    "blocking: a pipeline": lambda db: in_thread(lambda: db.sync.pipeline(["UPDATE t SET n = 1"])),
    "blocking: COPY": lambda db: in_thread(lambda: db.sync.execute("COPY t FROM STDIN", b"2\t2\n")),
    "blocking: copy_records": lambda db: in_thread(lambda: db.sync.copy_records("t", [(2, 2)])),
}


@pytest.mark.parametrize("is_watched", [False, True], ids=["", "watched"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_whatever_is_written_counts_once(
    way: Callable[[Database], Any], is_watched: bool, connections: ConnectionManager
) -> None:
    if is_watched:
        connections.on_query(lambda event: None)
    before = connections.stats()["default"]["routes"].get("a write", 0)
    await way(connections["default"])
    assert connections.stats()["default"]["routes"]["a write"] == before + 1
