"""Databases with rows for the tests of models."""

from collections.abc import AsyncIterator, Iterator

import pytest
from hyperdjango.database import Database
from postgres_servers import Server
from shelf import shelf_database


@pytest.fixture(scope="module")
def shelf_url(server: Server) -> Iterator[str]:
    """A database with the books of `shelf`, for all tests of a module: they only read it."""
    yield from shelf_database(server)


@pytest.fixture
async def shelf(shelf_url: str) -> AsyncIterator[Database]:
    """A connected Database with the books of `shelf`."""
    async with Database(shelf_url, 1, 1) as db:
        yield db
