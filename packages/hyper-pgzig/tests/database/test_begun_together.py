"""Whose transaction a model's statement belongs to where those of several databases were begun together."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.database._running import running
from hyperdjango.database.resolver import OneDatabase, database_for, set_resolver

URL = "postgresql://nobody@127.0.0.1:1"
MODEL: Any = SimpleNamespace()


class Named(OneDatabase):
    """Sends everything to the database it was made with, or back to where an instance came from."""

    def __init__(self, **databases: Database) -> None:
        self.databases = databases

    def resolve(self, alias: Any, model: Any, *, instance_alias: Any, **hints: Any) -> Database:
        return self.databases[alias or instance_alias or "default"]


@pytest.fixture
def databases() -> Iterator[dict[str, Database]]:
    made = {name: Database(f"{URL}/{name}") for name in ("default", "a", "b")}
    for name, database in made.items():
        database.alias = name
    set_resolver(Named(**made))
    yield made
    set_resolver(None)


def test_it_is_the_one_where_the_statement_would_go_without_a_transaction(
    databases: dict[str, Database],
) -> None:
    token = running.set(((databases["a"], databases["b"]),))
    try:
        assert database_for(MODEL, own=databases["b"]) is databases["b"]
        assert database_for(MODEL, own=databases["a"]) is databases["a"]
    finally:
        running.reset(token)


def test_a_statement_that_would_go_elsewhere_goes_to_the_first(databases: dict[str, Database]) -> None:
    token = running.set(((databases["a"], databases["b"]),))
    try:
        assert database_for(MODEL) is databases["a"]
        assert database_for(None) is databases["a"]
    finally:
        running.reset(token)


def test_another_face_of_one_of_them_is_as_good(databases: dict[str, Database]) -> None:
    reader = Database(f"{URL}/reader")
    reader._current = databases["default"]._current
    set_resolver(Named(default=reader))
    token = running.set(((databases["a"], databases["default"]),))
    try:
        assert database_for(MODEL) is reader
    finally:
        running.reset(token)


def test_using_and_a_transaction_that_was_begun_later_count_before(databases: dict[str, Database]) -> None:
    token = running.set(((databases["a"], databases["b"]), databases["default"]))
    try:
        assert database_for(MODEL, own=databases["b"]) is databases["default"]
        assert database_for(MODEL, using="b") is databases["b"]
    finally:
        running.reset(token)


async def test_blocks_that_end_in_another_order_leave_none_behind(database_url: str) -> None:
    async with Database(database_url) as first, Database(database_url) as second:
        early, late = first.transaction(), second.transaction()
        await early.__aenter__()
        await late.__aenter__()
        await early.__aexit__(None, None, None)
        assert database_for(None) is second
        await late.__aexit__(None, None, None)
        assert running.get() == ()
