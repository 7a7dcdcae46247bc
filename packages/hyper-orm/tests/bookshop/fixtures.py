"""The pytest plugin that hands out databases with the bookshop in them. Loaded by the root conftest.

Each server's bookshop is made and filled once in a session, then copied as a template, which takes a fraction of
a second. Fixtures:

- `bookshop_url`: on each server in turn, one database that all tests share: for reading only, or for writing in
  transactions that are rolled back.
- `shop_url`: the same on the embedded server alone, for the many tests that no server's age makes different.
- `empty_shop_url`: the tables without rows, on the embedded server, of the test's own.
"""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from postgres_servers import Server
from psycopg import sql

from bookshop import load


class Bookshops:
    """The templates, by server; made when they are first asked for."""

    def __init__(self) -> None:
        self._templates: dict[tuple[str, bool], tuple[Server, str]] = {}

    def copy(self, server: Server, *, filled: bool = True) -> str:
        """Make a database with the bookshop in it and return its name."""
        name = server.create_database_from(self._template(server, filled=filled))
        with psycopg.connect(server.superuser_url, autocommit=True) as connection:
            # Dates are cut out of timestamps in the session's time zone, and Django sets this one.
            connection.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'UTC'").format(sql.Identifier(name)))
        return name

    def _template(self, server: Server, *, filled: bool) -> str:
        found = self._templates.get((server.name, filled))
        if found is None:
            name = server.create_database()
            self._templates[server.name, filled] = found = (server, name)
            load.make_tables(server.url_for(name))
            if filled:
                asyncio.run(load.fill(server.url_for(name)))
        return found[1]

    def drop(self) -> None:
        """Drop the templates on a server that outlives the tests; ours goes with all that is on it."""
        for server, name in self._templates.values():
            if server.embedded is None:
                server.drop_database(name)


@pytest.fixture(scope="session")
def bookshops() -> Iterator[Bookshops]:
    """Makes bookshops."""
    made = Bookshops()
    yield made
    made.drop()


def _url(server: Server, bookshops: Bookshops, *, filled: bool = True) -> Iterator[str]:
    name = bookshops.copy(server, filled=filled)
    yield server.url_for(name)
    server.drop_database(name)


@pytest.fixture(scope="session")
def bookshop_url(server: Server, bookshops: Bookshops) -> Iterator[str]:
    """The bookshop on each server, shared by all tests."""
    yield from _url(server, bookshops)


@pytest.fixture(scope="session")
def shop_url(embedded_server: Server, bookshops: Bookshops) -> Iterator[str]:
    """The bookshop on the embedded server, shared by all tests."""
    yield from _url(embedded_server, bookshops)


@pytest.fixture
def empty_shop_url(embedded_server: Server, bookshops: Bookshops) -> Iterator[str]:
    """The bookshop's tables without rows, of the test's own."""
    yield from _url(embedded_server, bookshops, filled=False)
