"""Fixtures for the tests that need a database, but not one of their own."""

from collections.abc import Iterator

import psycopg
import pytest
from postgres_servers import Server


@pytest.fixture(scope="module")
def module_database_url(server: Server) -> Iterator[str]:
    name = server.create_database()
    yield server.url_for(name)
    server.drop_database(name)


@pytest.fixture
def url(module_database_url: str) -> Iterator[str]:
    """A URI of a database whose schema `public` is empty.

    Making one takes a fraction of the time of `database_url`, because it lasts for the module's tests.
    """
    yield module_database_url
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
