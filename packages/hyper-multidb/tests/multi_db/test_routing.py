"""Where statements of models go: precedence, routers, pins, reasons, and what watchers are told."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from hyperdjango.database.resolver import NOT_BOUND, database_for
from hyperdjango.models import Model, create_schema
from hyperdjango.multi_db import (
    ConnectionManager,
    DatabaseRouter,
    PrimaryReplicaRouter,
    RoutingError,
    UnknownAlias,
)
from pg_cluster import Cluster
from routed_sets import connected, inner

if TYPE_CHECKING:
    from hyperdjango.database import QueryEvent


class Note(Model):
    text: str

    class Meta:
        table = "routed_note"


class Report(Model):
    text: str

    class Meta:
        table = "routed_report"
        database = "reports"


@pytest.fixture
async def connections(cluster: Cluster, cluster_database: str) -> AsyncIterator[ConnectionManager]:
    async with connected(cluster, cluster_database) as manager:
        await create_schema([Note])
        await asyncio.to_thread(cluster.wait_until_caught_up)
        yield manager


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[ConnectionManager]:
    """Two aliases of one server."""
    manager = ConnectionManager()
    async with await manager.configure(
        {"default": database_url, "reports": database_url, "third": database_url}
    ):
        await create_schema([Note, Report])
        yield manager


async def test_reads_of_models_go_to_replicas_and_their_writes_to_the_primary(
    connections: ConnectionManager,
) -> None:
    events: list[QueryEvent] = []
    connections.on_query(events.append)
    with connections.scope():
        assert await Note.objects.count() == 0
        note = await Note.objects.create(text="one")
        assert await Note.objects.count() == 1
        assert [each.text for each in await Note.objects.all()] == ["one"]
        note.text = "two"
        await note.save()
        assert (await Note.objects.get(id=note.id)).text == "two"
        assert await Note.objects.raw("SELECT * FROM routed_note") == [note]
        assert await Note.objects.select_for_update() == [note]
    roles = [(event.route.role, event.operation) for event in events]
    assert {event.route.reason for event in events if event.operation == "INSERT"} == {"a write"}
    assert roles[0] == ("replica", "SELECT")
    assert roles[1] == ("primary", "INSERT")
    assert [role for role, operation in roles if operation == "UPDATE"] == ["primary"]
    # Raw SQL may write, and so may nobody know.
    assert roles[-2:] == [("primary", "SELECT"), ("primary", "SELECT")]
    assert {event.route.alias for event in events} == {"default"}


async def test_raw_sql_that_says_it_only_reads_goes_to_a_replica(connections: ConnectionManager) -> None:
    events: list[QueryEvent] = []
    connections["default"].on_query(events.append)
    with connections.scope():
        await Note.objects.raw("SELECT * FROM routed_note", read_only=True)
    assert [event.route.role for event in events] == ["replica"]
    assert events[0].route.reason == "a read"
    assert str(events[0].route).startswith("default replica (127.0.0.1:")
    connections["default"].off_query(events.append)


async def test_what_runs_in_a_transaction_runs_on_its_server(connections: ConnectionManager) -> None:
    events: list[QueryEvent] = []
    with connections.scope():
        async with connections["default"].transaction():
            connections.on_query(events.append)
            await Note.objects.create(text="one")
            assert await Note.objects.count() == 1
            assert await connections.reader().query_val("SELECT count(*) FROM routed_note") == 1
            await asyncio.create_task(Note.objects.count())
            assert await Note.objects.using("default").count() == 1
            connections.off_query(events.append)
    assert {event.route.role for event in events} == {"primary"}
    assert all(event.in_transaction for event in events)


async def test_a_block_of_a_reader_is_one_snapshot_on_one_replica(connections: ConnectionManager) -> None:
    reader = connections.reader()
    with connections.scope():
        async with reader.transaction(isolation="repeatable read"):
            ports = {await reader.query_val("SELECT inet_server_port()") for _ in range(6)}
            assert len(ports) == 1
            assert await reader.query_val("SELECT pg_is_in_recovery()")
            assert await Note.objects.count() == 0
            async with reader.transaction():
                assert await connections["default"].query_val("SELECT pg_is_in_recovery()")
        assert not reader.in_transaction()
    with pytest.raises(ValueError, match="is read-only"):
        reader.transaction(read_only=False)


async def test_a_reader_refuses_what_writes(connections: ConnectionManager) -> None:
    reader: Any = connections.reader()
    for call in (
        reader.execute_many("INSERT INTO t VALUES ($1)", [(1,)]),
        reader.copy_records("t", [(1,)]),
        reader.ingest_arrow("t", None),
        reader.execute("COPY t FROM STDIN", "1\n"),
    ):
        with pytest.raises(Exception, match=r"reader\('default'\) is for reads"):
            await call


async def test_streams_and_pipelines_of_a_reader_come_from_one_replica(
    connections: ConnectionManager,
) -> None:
    reader = connections.reader()
    events: list[QueryEvent] = []
    connections.on_query(events.append)
    with connections.scope():
        rows = [
            row async for row in reader.stream("SELECT pg_is_in_recovery() AS r FROM generate_series(1, 3)")
        ]
        assert rows == [{"r": True}] * 3
        answers = await reader.pipeline(["SELECT inet_server_port()"] * 5)
        assert len({rows[0] for rows in answers}) == 1
        notes = [note async for note in Note.objects.all()]
        assert notes == []
        async with reader.transaction():
            await reader.query_val("SELECT 1")
    assert {event.route.role for event in events} == {"replica"}
    assert {event.route.reason for event in events} == {"a read", "in a transaction"}


async def test_pins_hold_for_every_task_of_the_scope(connections: ConnectionManager) -> None:
    reader = connections.reader()

    async def is_replica() -> bool:
        answer: bool = await reader.query_val("SELECT pg_is_in_recovery()")
        return answer

    with connections.scope():
        assert await is_replica()
        begun, goes_on = asyncio.Event(), asyncio.Event()

        async def pin() -> None:
            async with connections.pin("default"):
                begun.set()
                await goes_on.wait()

        pinning = asyncio.ensure_future(pin())
        await begun.wait()
        # The child has pinned; the parent, and another child, are pinned with it.
        assert not await is_replica()
        assert not await asyncio.create_task(is_replica())
        async with connections.pin():
            goes_on.set()
            await pinning
            assert not await is_replica()
        assert await is_replica()


async def test_a_pin_outside_of_a_scope_is_the_tasks_own(connections: ConnectionManager) -> None:
    reader = connections.reader()
    with connections.scope():
        other = asyncio.Event()

        async def elsewhere() -> bool:
            await other.wait()
            answer: bool = await reader.query_val("SELECT pg_is_in_recovery()")
            return answer

        outside = asyncio.ensure_future(elsewhere())
    async with connections.pin():
        assert not await reader.query_val("SELECT pg_is_in_recovery()")
        other.set()
        assert await outside
        await connections["default"].execute("INSERT INTO routed_note (text) VALUES ('pinned')")
    # What was written under the pin counts after it.
    assert await reader.query_val("SELECT count(*) FROM routed_note") == 1


async def test_explain_route_says_where_and_why(connections: ConnectionManager) -> None:
    with connections.scope():
        route = connections.explain_route(Note.objects.all())
        assert (route.alias, route.role) == ("default", "replica")
        assert route.reason == "the default; a read"
        assert str(route).startswith("default replica 127.0.0.1:")
        assert connections.explain_route(Note.objects.select_for_update()).role == "primary"
        assert connections.explain_route(Note, is_write=True).reason == "the default; a write"
        assert connections.explain_route(Note.objects.using("default")).reason == "using(); a read"
        async with connections.pin():
            assert connections.explain_route(Note).reason == "the default; pinned"
        async with connections["default"].transaction():
            assert connections.explain_route(Note).reason == "in a transaction"
        with pytest.raises(UnknownAlias, match=r"'reports', which Meta\.database of Report says"):
            connections.explain_route(Report)
        with pytest.raises(UnknownAlias, match=r"'replcia', which using\(\) says"):
            connections.explain_route(Note.objects.using("replcia"))


# Routers


class Recorder(DatabaseRouter):
    """Sends notes where it is told, and takes down what it is asked."""

    def __init__(self, alias: Any = None) -> None:
        self.alias = alias
        self.asked: list[str] = []

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:
        self.asked.append(f"read {model.__name__}")
        return self.alias  # type: ignore[no-any-return]  # nonsense on purpose

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        self.asked.append(f"write {model.__name__}")
        return self.alias  # type: ignore[no-any-return]


async def test_routers_are_asked_in_order_and_none_is_no_opinion(two: ConnectionManager) -> None:
    silent, loud, last = Recorder(), Recorder("third"), Recorder("reports")
    several: Any = [silent, loud, last]
    two.router = several
    assert two.router == (silent, loud, last)
    assert database_for(Note) is two["third"]
    assert silent.asked == loud.asked == ["read Note"]
    assert last.asked == []
    assert database_for(Note, is_write=True) is two["third"]
    two.router = silent
    assert two.router is silent
    assert database_for(Note) is two["default"]
    two.router = None
    assert two.router is None


async def test_what_is_said_elsewhere_counts_before_routers(two: ConnectionManager) -> None:
    router = Recorder("third")
    two.router = router
    assert database_for(Report) is two["reports"]  # Meta.database
    assert database_for(Note, None, two["reports"]) is two["reports"]  # the instance's own
    assert database_for(Note, "default", two["reports"]) is two["default"]  # using()
    async with two["default"].transaction():
        assert database_for(Note, None, two["reports"]) is two["default"]  # the running transaction's
        assert database_for(Report) is two["default"]
        async with two["reports"].transaction():
            assert database_for(Note) is two["reports"]  # the one that was begun last
        assert database_for(Note) is two["default"]
        assert database_for(Note, "third") is two["third"]
    assert router.asked == []
    assert database_for(Note) is two["third"]


class Plain:
    """A router by shape alone, without hints, as the contract has it."""

    def db_for_read(self, model: type[Any]) -> str | None:
        return "reports"


async def test_any_object_with_one_of_the_hooks_is_a_router(two: ConnectionManager) -> None:
    two.router = Plain()
    assert database_for(Note) is two["reports"]
    assert database_for(Note, is_write=True) is two["default"]


class Coroutine:
    async def db_for_read(self, model: type[Any]) -> str | None:
        return None


@pytest.mark.parametrize(
    ("router", "text"),
    [
        (object(), "a router is an object with db_for_read"),
        (Recorder, "give an instance of it"),
        (Coroutine(), "Coroutine.db_for_read is a coroutine function"),
        (["default"], "a router is an object with db_for_read"),
    ],
    ids=["an object", "a class", "a coroutine function", "a str"],
)
def test_what_is_no_router_is_refused_when_it_is_given(router: object, text: str) -> None:
    connections = ConnectionManager()
    with pytest.raises(TypeError, match=text):
        connections.router = router
    assert connections.router is None


async def test_a_router_that_returns_nonsense_is_named(two: ConnectionManager) -> None:
    two.router = Recorder("thrid")
    with pytest.raises(
        UnknownAlias, match=r"'thrid', which Recorder.db_for_read\(Note\) says; .* did you mean 'third'"
    ):
        await Note.objects.count()
    two.router = Recorder(5)
    with pytest.raises(RoutingError, match=r"Recorder.db_for_write\(Note\) returned 5"):
        await Note.objects.create(text="never")
    two.router = None


async def test_no_default_is_said_with_the_remedy(database_url: str) -> None:
    async with await ConnectionManager().configure({"reports": database_url}) as connections:
        with pytest.raises(UnknownAlias, match="configure an alias 'default', or say for each model"):
            await Note.objects.count()
        connections.router = Recorder("reports")
        assert database_for(Note) is connections["reports"]


async def test_a_primary_and_replicas_with_aliases_of_their_own(
    cluster: Cluster, cluster_database: str
) -> None:
    first, second = cluster.replicas
    connections = ConnectionManager()
    await connections.configure(
        {
            "default": cluster.url(cluster.primary, cluster_database),
            "replica": cluster.url(first, cluster_database),
            "other": cluster.url(second, cluster_database),
        }
    )
    async with connections:
        connections.router = PrimaryReplicaRouter(replicas=("replica", "other"))
        await create_schema([Note])
        await asyncio.to_thread(cluster.wait_until_caught_up)
        assert {database_for(Note).alias for _ in range(4)} == {"replica", "other"}
        assert database_for(Note, is_write=True) is connections["default"]
        await Note.objects.create(text="one")
        await asyncio.to_thread(cluster.wait_until_caught_up)
        note = await Note.objects.get()
        assert note._origin is not None
        assert note._origin.database.alias in {"replica", "other"}
        # It came from a replica, and is written where that gets it from.
        note.text = "two"
        await note.save()
        async with connections.pin("default"):
            assert (await Note.objects.get()).text == "two"
        assert connections.allows_relation(Note, "default", Note, "replica")
        assert not connections.allows_relation(Note, "default", Note, "elsewhere")
        assert not connections.allows_table("replica", Note)
        assert connections.allows_table("default", Note)
    with pytest.raises(ValueError, match="at least one"):
        PrimaryReplicaRouter(replicas=())


class Sharded:
    """A router with shards, by the number's last digit."""

    def key_of(self, model: type[Any]) -> str | None:
        return "id" if model is Note else None

    def shard_for(self, model: type[Any], key: Any) -> str:
        return ("default", "reports", "third")[key % 3]

    def aliases_of(self, model: type[Any]) -> tuple[str, ...]:
        return ("default", "reports", "third")


async def test_a_sharded_model_goes_where_its_key_says(two: ConnectionManager) -> None:
    two.router = Sharded()
    assert database_for(Note, bound=lambda _: 4) is two["reports"]
    with pytest.raises(RoutingError, match=r"Note is sharded by 'id', .* scatter\(\)"):
        database_for(Note, bound=lambda _: NOT_BOUND)
    assert two.shards(Note, is_write=True) == [two["default"], two["reports"], two["third"]]
    assert two.shards(Report, is_write=True) is None
    async with two["third"].transaction():
        assert database_for(Note, bound=lambda _: 5) is two["third"]
        assert database_for(Note, bound=lambda _: NOT_BOUND) is two["third"]
        with pytest.raises(RoutingError, match="belongs to the shard 'reports', and the running transaction"):
            database_for(Note, bound=lambda _: 4)
    two.router = None


async def test_policies_spread_reads(cluster: Cluster, cluster_database: str) -> None:
    names = [f"127.0.0.1:{node.port}" for node in cluster.replicas]
    for policy, low, high in (("round_robin", 50, 50), ("least_inflight", 40, 60), ([9, 1], 75, 99)):
        async with connected(cluster, cluster_database, policy=policy) as connections:
            with connections.scope():
                for _ in range(100):
                    await connections.reader().query_val("SELECT 1")
            hosts = connections.stats()["default"]["hosts"]
            assert low <= hosts[names[0]]["reads"] <= high
            assert hosts[names[0]]["reads"] + hosts[names[1]]["reads"] == 100
            assert connections.stats()["default"]["routes"] == {"a read": 100}


async def test_the_busier_replica_gets_less(cluster: Cluster, cluster_database: str) -> None:
    async with connected(cluster, cluster_database) as connections:
        replica_set = inner(connections)
        busy, idle = replica_set.ready
        busy.in_flight += 3
        with connections.scope():
            for _ in range(10):
                await connections.reader().query_val("SELECT 1")
        assert (busy.reads, idle.reads) == (0, 10)
        busy.in_flight -= 3
