"""Fixtures for tests that need a database but not one of their own, and for tests of both faces."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final, cast

import psycopg
import pytest
from hyperdjango.database import Database, SyncDatabase, _async_replies, _sync_replies
from pgkit.face import Face, OnLoop, OpenFace
from postgres_servers import Server

CONTROL: Final = "hyper-test-control"
"""The application_name of the connection that looks after a module's database."""


class ModuleDatabase:
    """A database for a module's tests, and one connection that looks after it.

    One, because to open it takes ten times as long as what it is for.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._control: psycopg.Connection[Any] | None = None

    def control(self) -> psycopg.Connection[Any]:
        """Return the connection, as it was opened."""
        if self._control is None:
            self._control = psycopg.connect(self.url, autocommit=True, application_name=CONTROL)
            self._control.prepare_threshold = None  # DISCARD ALL
        return self._control

    def close(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def empty(self) -> None:
        """Remove what a test has made. It may have ended the connection, too."""
        try:
            self._empty()
        except psycopg.OperationalError:
            self.close()
            self._empty()

    def _empty(self) -> None:
        control = self.control()
        control.execute("SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        control.execute("DISCARD ALL")


@pytest.fixture(scope="module")
def module_database(server: Server) -> Iterator[ModuleDatabase]:
    name = server.create_database()
    database = ModuleDatabase(server.url_for(name))
    yield database
    database.close()
    server.drop_database(name)


@pytest.fixture
def url(module_database: ModuleDatabase) -> Iterator[str]:
    """A URI of a database whose schema `public` is empty.

    Making one takes a fraction of the time of `database_url`, because it lasts for the module's tests.
    """
    yield module_database.url
    module_database.empty()


@pytest.fixture
def other(module_database: ModuleDatabase, url: str) -> psycopg.Connection[Any]:
    """A connection to the database of `url`, by another driver than ours."""
    return module_database.control()


@pytest.fixture(scope="module")
def quick_collections() -> None:
    """For a module whose tests collect often: what is there before is not looked through each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def patient_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled statement may take its time to end before its connection is given up: the machine may be busy."""
    for module in (_async_replies, _sync_replies):
        monkeypatch.setattr(module, "RECOVERY_SECONDS", 10.0)


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
