"""Both sides, connected to one bookshop."""

import asyncio
from collections.abc import Iterator

import pytest
from bookshop import django_side
from hyperdjango.database import Database, set_db

from oracle.sides import Ours, Theirs


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The loop of our side: tests are functions without a loop, since Django refuses to run in one."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="session")
def theirs(shop_url: str) -> Iterator[Theirs]:
    yield Theirs(shop_url)
    django_side.disconnect()


@pytest.fixture(scope="session")
def shop_database(runner: asyncio.Runner, shop_url: str) -> Iterator[Database]:
    database = runner.run(Database(shop_url, 1, 2).connect())
    yield database
    runner.run(database.disconnect())


@pytest.fixture
def ours(runner: asyncio.Runner, shop_database: Database) -> Iterator[Ours]:
    """Our side, with the shared bookshop as the process's database."""
    set_db(shop_database)
    yield Ours(runner, shop_database)
    set_db(None)
