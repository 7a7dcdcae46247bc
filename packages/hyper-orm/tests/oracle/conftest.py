"""Both sides, connected to one bookshop."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from bookshop import django_side
from hyperdjango.database import Database, get_db, set_db
from hyperdjango.database.resolver import OneDatabase, set_resolver

from oracle.sides import Ours, Theirs


class _Shops(OneDatabase):
    """Serves the bookshop's models, which have an alias to themselves, from the process's database."""

    def resolve(self, alias: str | None, model: Any, **more: Any) -> Database:
        if alias is None and model is not None and model._table.database == "bookshop":
            return get_db()
        return super().resolve(alias, model, **more)


@pytest.fixture(autouse=True)
def shops() -> Iterator[None]:
    """Have the bookshop's alias known, for each test anew: others, between them, have resolvers of their own."""
    set_resolver(_Shops())
    yield
    set_resolver(None)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The loop of our side: tests are functions without a loop, since Django refuses to run in one."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="session")
def theirs(shop_url: str) -> Iterator[Theirs]:
    yield Theirs(shop_url)
    django_side.disconnect()


@pytest.fixture(scope="module")
def shop_database(runner: asyncio.Runner, shop_url: str) -> Iterator[Database]:
    """A pool for a module: the tests of the driver's housekeeper want no pool of others about."""
    database = runner.run(Database(shop_url, 1, 2).connect())
    yield database
    runner.run(database.disconnect())


@pytest.fixture
def ours(runner: asyncio.Runner, shop_database: Database) -> Iterator[Ours]:
    """Our side, with the shared bookshop as the process's database."""
    set_db(shop_database)
    yield Ours(runner, shop_database)
    set_db(None)
