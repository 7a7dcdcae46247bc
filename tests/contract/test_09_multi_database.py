"""Section 9 of the contract: aliases, routers, precedence. Each alias has a schema of its own, whose rows name it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hyperdjango.database import ConnectionFailed, Database
from hyperdjango.models import Model, create_schema
from hyperdjango.multi_db import ConnectionManager, DatabaseRouter, PrimaryReplicaRouter, UnknownAlias

ALIASES = ("default", "reports", "third")
MakeUrl = Callable[[], str]


class Note(Model):
    place: str

    class Meta:
        table = "note"


class Report(Model):
    place: str

    class Meta:
        table = "report"
        database = "reports"


class To(DatabaseRouter):
    """Sends everything to one alias."""

    def __init__(self, alias: str | None) -> None:
        self.alias = alias

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:
        return self.alias

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        return self.alias


@pytest.fixture
async def connections(make_url: MakeUrl) -> AsyncIterator[ConnectionManager]:
    """Three aliases; each has a note and a report that say where they are."""
    urls = {alias: make_url() for alias in ALIASES}
    for alias, url in urls.items():
        async with Database(url, 1, 1) as db:
            await create_schema([Note, Report], db)
            await db.execute("INSERT INTO note (place) VALUES ($1)", alias)
            await db.execute("INSERT INTO report (place) VALUES ($1)", alias)
    manager = ConnectionManager()
    await manager.configure(
        {alias: {"url": url, "min_size": 1, "max_size": 2} for alias, url in urls.items()}
    )
    yield manager
    manager.router = None
    await manager.close()


async def where(model: type[Note] | type[Report]) -> str:
    """Where a read of the model goes."""
    return (await model.objects.get()).place


async def places(connections: ConnectionManager, text: str) -> list[str]:
    """The aliases in whose database a note of this text is."""
    sql = "SELECT count(*) FROM note WHERE place = $1"
    return [alias for alias in ALIASES if await connections[alias].query_val(sql, text)]


@pytest.mark.line("9.configure")
async def test_an_alias_is_a_url_or_a_mapping(make_url: MakeUrl) -> None:
    """await connections.configure({alias: url | {"url":, "min_size":, "max_size":, …}})."""
    connections = ConnectionManager()
    await connections.configure(
        {
            "default": make_url(),
            "small": {"url": make_url(), "min_size": 1, "max_size": 3, "application_name": "s"},
        }
    )
    small = connections["small"]
    assert (small.min_size, small.max_size) == (1, 3)
    assert await small.query_val("SHOW application_name") == "s"
    assert await connections["default"].query_val("SELECT 1") == 1
    await connections.close()


@pytest.mark.line("9.configure.all")
async def test_all_are_opened_or_none(make_url: MakeUrl) -> None:
    """All or nothing."""
    connections = ConnectionManager()
    with pytest.raises(ConnectionFailed):
        await connections.configure({"default": make_url(), "down": "postgresql://me@127.0.0.1:1/app"})
    assert list(connections) == []
    await connections.configure({"default": make_url()})
    with pytest.raises(ConnectionFailed):
        await connections.configure({"other": make_url(), "down": "postgresql://me@127.0.0.1:1/app"})
    assert list(connections) == ["default"]
    assert await connections["default"].query_val("SELECT 1") == 1
    await connections.close()


@pytest.mark.line("9.configure.again")
async def test_configure_may_be_called_again(make_url: MakeUrl) -> None:
    """Callable again."""
    connections = ConnectionManager()
    await connections.configure({"default": make_url(), "old": make_url()})
    before = connections["default"]
    await connections.configure({"default": make_url(), "new": make_url()})
    assert list(connections) == ["default", "new"]
    assert not before.is_connected
    assert await connections["default"].query_val("SELECT 1") == 1
    await connections.close()


@pytest.mark.line("9.getitem")
async def test_an_alias_is_a_database(connections: ConnectionManager) -> None:
    """connections["alias"]."""
    assert isinstance(connections["reports"], Database)
    assert await connections["reports"].query_val("SELECT place FROM note") == "reports"


@pytest.mark.line("9.iteration")
async def test_iteration_gives_the_aliases(connections: ConnectionManager) -> None:
    """Iteration."""
    assert list(connections) == list(ALIASES)


@pytest.mark.line("9.close")
async def test_close_closes_every_database(make_url: MakeUrl) -> None:
    """close()."""
    connections = ConnectionManager()
    await connections.configure({"default": make_url(), "other": make_url()})
    databases = [connections[alias] for alias in connections]
    await connections.close()
    assert [db.is_connected for db in databases] == [False, False]


@pytest.mark.line("9.router")
async def test_a_router_or_several(connections: ConnectionManager) -> None:
    """connections.router = router (or several)."""
    connections.router = To("third")
    assert await where(Note) == "third"
    connections.router = [To(None), To("reports"), To("third")]
    assert await where(Note) == "reports"


@pytest.mark.line("9.router.methods")
async def test_a_router_decides_by_its_methods(connections: ConnectionManager) -> None:
    """db_for_read(model), db_for_write(model), optional allow_relation, allow_migrate; None means no opinion."""
    asked: list[str] = []

    class Plain:
        def db_for_read(self, model: type[Any]) -> str | None:
            asked.append(f"read {model.__name__}")
            return "third"

        def db_for_write(self, model: type[Any]) -> str | None:
            asked.append(f"write {model.__name__}")
            return None

    connections.router = Plain()
    assert await where(Note) == "third"
    await Note.objects.create(place="written")
    assert await places(connections, "written") == ["default"]
    assert set(asked) == {"read Note", "write Note"}
    silent = DatabaseRouter()
    assert silent.db_for_read(Note) is None
    assert silent.db_for_write(Note) is None
    assert silent.allow_relation(Note, "a", Report, "b") is None
    assert silent.allow_migrate("a", Note) is None


@pytest.mark.line("9.primary_replica")
async def test_reads_go_to_a_replica_and_writes_to_the_primary(connections: ConnectionManager) -> None:
    """PrimaryReplicaRouter(primary="default", replicas=("replica",)): reads to a replica, writes to the primary."""
    assert (PrimaryReplicaRouter().primary, PrimaryReplicaRouter().replicas) == ("default", ("replica",))
    connections.router = PrimaryReplicaRouter(replicas=("reports", "third"))
    assert {await where(Note) for _ in range(4)} == {"reports", "third"}
    await Note.objects.create(place="written")
    assert await places(connections, "written") == ["default"]


@pytest.mark.line("9.precedence.using")
async def test_using_comes_first(connections: ConnectionManager) -> None:
    """Precedence: using() > the running transaction's database."""
    connections.router = To("default")
    async with connections["third"].transaction():
        assert (await Note.objects.using("reports").get()).place == "reports"


@pytest.mark.line("9.precedence.transaction")
async def test_then_the_running_transactions_database(connections: ConnectionManager) -> None:
    """The running transaction's database > the instance's own."""
    note = await Note.objects.using("reports").get()
    async with connections["third"].transaction():
        await note.refresh_from_db()
        assert note.place == "third"
        assert await where(Report) == "third"


@pytest.mark.line("9.precedence.instance")
async def test_then_the_instances_own(connections: ConnectionManager) -> None:
    """The instance's own > Meta.database."""
    report = await Report.objects.using("third").get()
    report.place = "changed"
    await report.save()
    found = [await connections[alias].query_val("SELECT place FROM report") for alias in ALIASES]
    assert found == ["default", "reports", "changed"]


@pytest.mark.line("9.precedence.meta")
async def test_then_meta_database(connections: ConnectionManager) -> None:
    """Meta.database > routers."""
    connections.router = To("third")
    assert await where(Report) == "reports"


@pytest.mark.line("9.precedence.routers")
async def test_then_routers(connections: ConnectionManager) -> None:
    """Routers > default."""
    connections.router = To("third")
    assert await where(Note) == "third"


@pytest.mark.line("9.precedence.default")
async def test_then_default(connections: ConnectionManager) -> None:
    """Default, where nobody else has an opinion."""
    assert await where(Note) == "default"
    connections.router = To(None)
    assert await where(Note) == "default"


@pytest.mark.line("9.unknown")
async def test_an_unknown_alias_names_itself_and_the_known_ones(connections: ConnectionManager) -> None:
    """An alias nobody configured: an error that names it and the known ones, never a silent default."""
    with pytest.raises(UnknownAlias) as failed:
        _ = connections["report"]
    assert all(repr(alias) in str(failed.value) for alias in ("report", *ALIASES))
    with pytest.raises(UnknownAlias, match="'nowhere'"):
        await Note.objects.using("nowhere").get()
    connections.router = To("elsewhere")
    with pytest.raises(UnknownAlias, match="'elsewhere'"):
        await where(Note)


@pytest.mark.line("9.one_database")
async def test_locking_reads_stay_on_the_database_that_is_written(connections: ConnectionManager) -> None:
    """Locking reads, writes, and anything inside a transaction stay on one database."""
    connections.router = PrimaryReplicaRouter(replicas=("reports",))
    async with connections["default"].transaction():
        assert (await Note.objects.select_for_update().get()).place == "default"
        assert await where(Note) == "default"
        await Note.objects.create(place="written")
        assert await Note.objects.filter(place="written").count() == 1
    assert await places(connections, "written") == ["default"]
