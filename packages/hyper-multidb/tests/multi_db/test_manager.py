"""ConnectionManager: aliases, all or nothing, configured again, and what it does to models and `get_db()`."""

import asyncio
import re
import socket
import threading
from typing import Any

import pytest
from hyperdjango.conf import settings
from hyperdjango.database import ConnectionFailed, InterfaceError, NotConnected, SyncDatabase, get_db, set_db
from hyperdjango.database.resolver import OneDatabase, get_resolver
from hyperdjango.multi_db import ConnectionManager, Misconfigured, UnknownAlias
from pg_cluster import Cluster
from postgres_servers import Server
from routed_sets import connected, replica_set_of, until


async def no_backends(url: str) -> None:
    """Wait until there are none; they end a moment after their connections, that of the last look among them."""
    for _ in range(200):
        if not await backends(url):
            return
        await asyncio.sleep(0.05)
    pytest.fail("a session is left")


async def backends(url: str) -> int:
    """How many sessions of others a database has."""

    def ask() -> int:
        with SyncDatabase(url, 0, 1) as db:
            count: int = db.query_val(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            return count

    return await asyncio.to_thread(ask)


async def test_databases_are_found_by_their_aliases(database_url: str) -> None:
    connections = ConnectionManager()
    assert (
        await connections.configure(
            {"default": database_url, "reports": {"url": database_url, "min_size": 1, "max_size": 3}}
        )
        is connections
    )
    async with connections:
        assert list(connections) == ["default", "reports"]
        assert len(connections) == 2
        assert "reports" in connections
        assert "report" not in connections
        assert connections["reports"].max_size == 3
        assert connections["reports"].alias == "reports"
        assert await connections["reports"].query_val("SELECT 1") == 1
        assert connections.reader("reports") is connections["reports"]
        assert get_db() is connections["default"]
    assert list(connections) == []


@pytest.mark.parametrize("alias", ["report", "replcia", ""])
async def test_an_unknown_alias_names_those_that_are_known(alias: str, database_url: str) -> None:
    connections = ConnectionManager()
    async with await connections.configure({"default": database_url, "reports": database_url}):
        for ask in (
            lambda: connections[alias],
            lambda: connections.reader(alias),
            lambda: connections.pin(alias),
        ):
            with pytest.raises(UnknownAlias, match=re.escape(repr(alias))) as caught:
                ask()
            assert "'default', 'reports'" in str(caught.value)
        if alias == "report":
            assert "did you mean 'reports'?" in str(caught.value)


async def test_before_configure_there_is_no_alias() -> None:
    with pytest.raises(UnknownAlias, match="there is none"):
        ConnectionManager()["default"]


async def test_all_are_opened_or_none(database_url: str) -> None:
    connections = ConnectionManager()
    broken = re.sub(r"/[^/]+$", "/there_is_no_such_database", database_url)
    with pytest.raises(ConnectionFailed, match="there_is_no_such_database") as caught:
        await connections.configure({"default": database_url, "other": broken})
    assert "while opening the alias 'other'" in caught.value.__notes__
    assert list(connections) == []
    assert isinstance(get_resolver(), OneDatabase)
    await no_backends(database_url)


async def test_a_configuration_that_fails_leaves_the_one_before(database_url: str) -> None:
    connections = ConnectionManager()
    async with await connections.configure({"default": database_url}):
        before = connections["default"]
        with pytest.raises(Misconfigured):
            await connections.configure({"default": {"max_size": 2}})
        assert connections["default"] is before
        assert await before.query_val("SELECT 1") == 1


async def test_cancelled_it_opens_none(database_url: str) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    connections = ConnectionManager()
    url = f"postgresql://someone@127.0.0.1:{silent.getsockname()[1]}/x?sslmode=disable"
    with silent:
        configuring = asyncio.ensure_future(
            connections.configure({"quick": {"primary": database_url, "min_size": 2}, "silent": url})
        )
        # Two of the pool, and the monitor's.
        while await backends(database_url) < 3:
            assert not configuring.done()
        configuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await configuring
        # With one alias alone, too.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await connections.configure({"silent": url})
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hyperdjango-monitor")]
    await no_backends(database_url)
    assert list(connections) == []


async def test_configured_again_the_new_ones_take_over_and_the_old_ones_are_drained(
    database_url: str,
) -> None:
    connections = ConnectionManager()
    async with await connections.configure({"default": database_url, "gone": database_url}):
        before = connections["default"]
        running = asyncio.ensure_future(before.query_val("SELECT 'late' FROM pg_sleep(0.3)"))
        await until(lambda: before.pool_stats()["busy"], "it does not run")
        await connections.configure({"default": {"url": database_url, "max_size": 5}})
        # What was under way has got to its end; nothing new is taken.
        assert await running == "late"
        with pytest.raises(InterfaceError):
            await before.query_val("SELECT 1")
        assert list(connections) == ["default"]
        assert get_db() is connections["default"] is not before
        assert await connections["default"].query_val("SELECT 1") == 1


async def test_another_tasks_calls_see_the_old_or_the_new_ones(database_url: str) -> None:
    connections = ConnectionManager()
    async with await connections.configure({"default": database_url}):
        count, ends = 0, False

        async def ask() -> None:
            nonlocal count
            while not ends:
                assert await connections["default"].query_val("SELECT 1") == 1
                count += 1

        asking = asyncio.ensure_future(ask())
        for _ in range(5):
            await connections.configure({"default": database_url})
        ends = True
        await asking
        assert count > 0


async def test_closing_gives_everything_back(cluster: Cluster, cluster_database: str) -> None:
    url = cluster.url(cluster.primary, cluster_database)
    async with connected(cluster, cluster_database) as connections:
        db, reader = connections["default"], connections.reader()
        assert await db.query_val("SELECT 1") == 1
    for face in (db, reader):
        with pytest.raises(NotConnected):
            await face.query_val("SELECT 1")
    assert isinstance(get_resolver(), OneDatabase)
    await no_backends(url)
    await connections.close()


async def test_a_database_that_was_set_meanwhile_stays(database_url: str) -> None:
    from hyperdjango.database import Database

    connections = ConnectionManager()
    mine = Database(database_url)
    async with await connections.configure({"default": database_url}):
        set_db(mine)
    assert get_db() is mine
    set_db(None)


async def test_databases_come_from_the_settings(database_url: str) -> None:
    connections = ConnectionManager()
    with settings.override(DATABASES={"default": database_url, "reports": {"url": database_url}}):
        async with connections:
            assert list(connections) == ["default", "reports"]
        assert database_url not in repr(settings)


async def test_databases_come_from_the_environment(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DATABASE_URL_REPORTS", database_url)
    monkeypatch.setenv("DATABASE_URL_EMPTY", "")
    async with ConnectionManager() as connections:
        assert sorted(connections) == ["default", "reports"]


async def test_without_any_the_error_says_how_to_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(Misconfigured, match="DATABASE_URL_<ALIAS>"):
        await ConnectionManager().configure()


URL = "postgresql://someone:secret@127.0.0.1:1/db"
WRONG: dict[str, tuple[Any, str]] = {
    "no mapping": (["default"], "takes a mapping of aliases, not list"),
    "nothing": ({}, "at least one alias"),
    "an alias that is no str": ({1: URL}, "alias must be a str"),
    "a value of another type": ({"a": 5}, "alias 'a' must be a URL or a mapping, not int"),
    "no url": ({"a": {"max_size": 3}}, "alias 'a' needs 'url'"),
    "url and primary": ({"a": {"url": URL, "primary": URL}}, "alias 'a' has 'url' and 'primary'"),
    "replicas without a primary": (
        {"a": {"url": URL, "replicas": [URL]}},
        "alias 'a': 'replicas' is about replicas",
    ),
    "replicas as one str": ({"a": {"primary": URL, "replicas": URL}}, "'replicas' must be a list of URLs"),
    "a replica that is none": (
        {"a": {"primary": URL, "replicas": [5]}},
        "'replicas' must be a connection URL",
    ),
    "one twice": ({"a": {"primary": URL, "replicas": [URL]}}, "alias 'a' names the same server twice"),
    "a misspelt key": ({"a": {"primary": URL, "max_lagg": 1}}, "knows no 'max_lagg'; did you mean 'max_lag'"),
    "a key that nobody knows": ({"a": {"url": URL, "wibble": 1}}, "alias 'a': "),
    "a lag that is no number": (
        {"a": {"primary": URL, "max_lag": "1"}},
        "max_lag must be a number of seconds",
    ),
    "a lag that is none": ({"a": {"primary": URL, "max_lag": float("nan")}}, "max_lag must be a number"),
    "own reads of nonsense": (
        {"a": {"primary": URL, "read_your_writes": "yes"}},
        "read_your_writes must be 'lsn'",
    ),
    "a policy that nobody knows": (
        {"a": {"primary": URL, "replicas": [f"{URL}2"], "policy": "fastest"}},
        "alias 'a': policy must be 'least_inflight'",
    ),
    "weights of too few": (
        {"a": {"primary": URL, "replicas": [f"{URL}2", f"{URL}3"], "policy": [1]}},
        "a number above 0 for each of the 2 replicas",
    ),
    "weights of nothing": (
        {"a": {"primary": URL, "replicas": [f"{URL}2"], "policy": [0]}},
        "a number above 0 for each of the 1 replicas",
    ),
    "roles of nonsense": ({"a": {"primary": URL, "roles": "swap"}}, "roles must be 'as_given' or 'found'"),
    "a pool of no size": ({"a": {"url": URL, "max_size": 0}}, "alias 'a': max_size must be at least 1"),
}


@pytest.mark.parametrize(("databases", "text"), WRONG.values(), ids=WRONG)
async def test_what_cannot_be_used_is_refused_by_name_and_without_secrets(databases: Any, text: str) -> None:
    connections = ConnectionManager()
    with pytest.raises(Misconfigured, match=re.escape(text)) as caught:
        await connections.configure(databases)
    assert "secret" not in str(caught.value)
    assert list(connections) == []


async def test_a_primary_that_is_a_standby_is_refused(cluster: Cluster) -> None:
    primary, replica = cluster.primary, cluster.replicas[0]
    swapped = {"primary": cluster.url(replica), "replicas": [cluster.url(primary)]}
    with pytest.raises(Misconfigured) as caught:
        await ConnectionManager().configure({"main": swapped})
    assert f"alias 'main': the primary 127.0.0.1:{replica.port} is in recovery" in str(caught.value)
    assert f"127.0.0.1:{primary.port} takes them: swap the two" in str(caught.value)
    with pytest.raises(Misconfigured, match="Name the server that takes writes"):
        await ConnectionManager().configure({"main": {"primary": cluster.url(replica)}})


async def test_roles_may_be_found_by_asking(cluster: Cluster) -> None:
    swapped = replica_set_of(cluster, roles="found")
    swapped["primary"], swapped["replicas"] = (
        swapped["replicas"][0],
        [swapped["primary"], swapped["replicas"][1]],
    )
    async with await ConnectionManager().configure({"default": swapped}) as connections:
        assert not await connections["default"].query_val("SELECT pg_is_in_recovery()")
        await until(lambda: len(connections._aliases["default"].replica_set.ready) == 2, "no replicas")  # type: ignore[union-attr]
        with connections.scope():
            assert await connections.reader().query_val("SELECT pg_is_in_recovery()")


async def test_a_replica_that_is_a_primary_is_refused(cluster: Cluster, embedded_server: Server) -> None:
    other = embedded_server.superuser_url
    with pytest.raises(Misconfigured, match="is not in recovery: it is a primary of its own") as caught:
        await ConnectionManager().configure(
            {"main": {"primary": cluster.url(cluster.primary), "replicas": [other]}}
        )
    assert "alias 'main': the replica 127.0.0.1:" in str(caught.value)


async def test_a_replica_of_another_primary_is_refused(cluster: Cluster, embedded_server: Server) -> None:
    with pytest.raises(Misconfigured, match="another cluster"):
        await ConnectionManager().configure(
            {
                "main": {
                    "primary": embedded_server.superuser_url,
                    "replicas": [cluster.url(cluster.replicas[0])],
                }
            }
        )


async def test_a_primary_that_is_read_only_is_refused(cluster: Cluster) -> None:
    url = cluster.url(cluster.primary) + "?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(
        Misconfigured, match="is read-only: its sessions begin with default_transaction_read_only"
    ):
        await ConnectionManager().configure({"main": {"primary": url}})


async def test_a_wrong_password_shows_no_password(database_url: str) -> None:
    wrong = re.sub(r"//postgres:[^@]*@", "//postgres:not-the-secret@", database_url)
    with pytest.raises(ConnectionFailed) as caught:
        await ConnectionManager().configure({"default": wrong})
    assert "not-the-secret" not in "".join([str(caught.value), *caught.value.__notes__])
