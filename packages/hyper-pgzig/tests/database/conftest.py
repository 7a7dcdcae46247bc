"""Fixtures for tests that need a database but not one of their own, and for tests of both faces."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import psycopg
import pytest
from hyperdjango.database import Database, SyncDatabase
from pgkit.face import Face, OnLoop, OpenFace
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


@pytest.fixture(params=["async", "sync"])
def open_face(request: pytest.FixtureRequest) -> Iterator[OpenFace]:
    """Opens databases through each face in turn, so that one test covers both."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())

        def open_(url: str, min_size: int = 1, max_size: int = 1, **options: Any) -> Face:
            if request.param == "sync":
                return cast("Face", stack.enter_context(SyncDatabase(url, min_size, max_size, **options)))
            database = runner.run(Database(url, min_size, max_size, **options).connect())
            stack.callback(lambda: runner.run(database.disconnect()))
            return OnLoop(database, runner)

        yield open_


@pytest.fixture
def face(open_face: OpenFace, url: str) -> Face:
    """A pool of one connection, through each face in turn: every call is the next borrower of one session."""
    return open_face(url)
