"""The fixtures of the contract's tests: a server, a database, a schema for each test. Installed wheels only.

The server is the one of DATABASE_URL, else an embedded one; `guarded` is the system's, for what the embedded one
was built without (TLS, XML). A test has a schema of its own in front of its search_path, so its tables
need no unusual names.
"""

import itertools
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
from contract.guarded import Guarded, guarded_server
from contract.wire import Wire
from hyperdjango.database import Database, SyncDatabase, set_db
from hyperdjango.database._embedded_server import (
    EmbeddedServer,
    ServerNotFound,
    find_server_binaries,
)

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The superuser's URL on the server."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    with EmbeddedServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def admin(server_url: str) -> Iterator[SyncDatabase]:
    """The server's superuser, for what tests need around them."""
    with SyncDatabase(server_url, 1, 2) as database:
        yield database


def create_database(admin: SyncDatabase) -> str:
    """Create a database that nobody else uses and return its name."""
    name = f"hyper_contract_{secrets.token_hex(6)}"
    admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    return name


@pytest.fixture(scope="session")
def database_url(server_url: str, admin: SyncDatabase) -> Iterator[str]:
    """A database for the whole run, with the extensions of the contract."""
    name = create_database(admin)
    url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    with SyncDatabase(url, 1, 1) as database:
        for extension in ("hstore", "citext"):
            database.execute(f"CREATE EXTENSION {extension}")
    yield url
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def second_url(server_url: str, admin: SyncDatabase) -> Iterator[str]:
    """Another database on the same server, of this test alone."""
    name = create_database(admin)
    yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def schemas(database_url: str) -> Iterator[SyncDatabase]:
    """Where the tests' schemas are made."""
    with SyncDatabase(database_url, 1, 1) as database:
        yield database


@pytest.fixture
def make_url(database_url: str, schemas: SyncDatabase) -> Callable[[], str]:
    """Makes URLs whose sessions have an empty schema in front, each another one."""

    def make() -> str:
        schema = f"contract_{next(numbers)}"
        schemas.execute(f"CREATE SCHEMA {schema}")
        separator = "&" if urlsplit(database_url).query else "?"
        options = quote(f"-c search_path={schema},public", safe="")
        return f"{database_url}{separator}options={options}"

    return make


@pytest.fixture
def url(make_url: Callable[[], str]) -> str:
    """A URL whose sessions have an empty schema of this test in front."""
    return make_url()


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """A connected Database."""
    async with Database(url, 1, 8) as database:
        yield database


@pytest.fixture
def sync_db(url: str) -> Iterator[SyncDatabase]:
    """A connected SyncDatabase on the same schema."""
    with SyncDatabase(url, 1, 4) as database:
        yield database


@pytest.fixture
async def wire(url: str) -> AsyncIterator[Wire]:
    """A proxy before the server that counts, cuts and listens."""
    async with Wire(url) as proxy:
        yield proxy


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No variable and no file that a connection could take anything from."""
    for name in [*filter(lambda name: name.startswith("PG"), os.environ), "DATABASE_URL", "USER", "USERNAME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    set_db(None)
    return monkeypatch


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The system's server, built with TLS and XML. Without one its tests are skipped, and fail in CI."""
    try:
        binaries = find_server_binaries(("debian", "pg_config"))
    except ServerNotFound:
        reason = "no system PostgreSQL server under /usr/lib/postgresql or by pg_config"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{reason}; CI must have one")
        pytest.skip(reason)
    with guarded_server(binaries, tmp_path_factory.mktemp("tls")) as server:
        yield server
