"""`password=` as a function: asked for each new connection, shown nowhere."""

import asyncio
import itertools
import time
import traceback
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import ConnectionFailed, ConnectTimeout, Database, SyncDatabase
from hyperdjango.database._password import PasswordSource
from pgkit import ScriptedBackend, serve, startup_cleartext
from pgkit.face import OpenFace
from postgres_servers import StartServer

SECRET: Final = "correct-horse-battery"


@pytest.fixture(scope="module")
def scram_url(start_server: StartServer) -> str:
    server = start_server()
    with psycopg.connect(server.url, autocommit=True) as other:
        other.execute(f"CREATE ROLE rotating LOGIN PASSWORD '{SECRET}'")
    return server.url


def _rotating(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://rotating@{rest.rpartition('@')[2]}"


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_function_is_asked_for_each_new_connection(open_face: OpenFace, scram_url: str, kind: str) -> None:
    count = itertools.count(1)
    asked = 0

    def plain() -> str:
        nonlocal asked
        asked = next(count)
        return SECRET

    async def coroutine() -> str:
        await asyncio.sleep(0.001)
        return plain()

    password: Any = plain if kind == "plain" else coroutine
    face = open_face(_rotating(scram_url), 2, 3, password=password)
    assert asked == 2
    assert face.query_val("SELECT current_user") == "rotating"
    slots = [face._acquire(None) for _ in range(3)]
    assert asked == 3
    for slot in slots:
        face._release(slot)


def test_a_password_that_changes_is_used_from_the_next_connection_on(scram_url: str) -> None:
    words = iter([SECRET, "changed", "changed"])
    with SyncDatabase(_rotating(scram_url), 1, 2, password=lambda: next(words)) as db:
        with psycopg.connect(scram_url, autocommit=True) as other:
            other.execute("ALTER ROLE rotating PASSWORD 'changed'")
        try:
            slots = [db._acquire(None) for _ in range(2)]
            for slot in slots:
                db._release(slot)
            assert db.pool_stats()["total"] == 2
        finally:
            with psycopg.connect(scram_url, autocommit=True) as other:
                other.execute(f"ALTER ROLE rotating PASSWORD '{SECRET}'")


def test_the_secret_stays_while_the_text_does() -> None:
    words = iter(["a", "a", "b", "b", "a"])
    source = PasswordSource(lambda: next(words))
    secrets = [source.ask() for _ in range(5)]
    assert secrets[0] is secrets[1]
    assert secrets[1] is not secrets[2]
    assert secrets[2] is secrets[3]
    assert secrets[3] is not secrets[4]
    assert SECRET not in repr(source)


@pytest.mark.parametrize("answer", [SECRET.encode(), None, SECRET + "\0"])
def test_what_is_no_password_fails_the_connection_and_is_not_shown(open_face: OpenFace, answer: Any) -> None:
    face = open_face("postgresql://u@127.0.0.1:1/x", 0, 1, password=lambda: answer)
    with pytest.raises(ConnectionFailed, match="the password function failed with") as caught:
        face.query("SELECT 1")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert face.pool_stats()["total"] == 0


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_an_error_of_the_function_is_the_cause(open_face: OpenFace, kind: str) -> None:
    def plain() -> str:
        raise KeyError(SECRET)

    async def coroutine() -> str:
        return plain()

    password: Any = plain if kind == "plain" else coroutine
    face = open_face("postgresql://u@127.0.0.1:1/x", 0, 1, password=password)
    with pytest.raises(ConnectionFailed, match="the password function failed with KeyError") as caught:
        face.query("SELECT 1")
    assert isinstance(caught.value.__cause__, KeyError)
    assert SECRET not in str(caught.value)
    assert face.pool_stats()["total"] == 0


def test_a_wrong_password_is_in_no_repr_and_no_error(open_face: OpenFace, scram_url: str) -> None:
    face = open_face(_rotating(scram_url), 0, 1, password=lambda: "wrong-" + SECRET)
    with pytest.raises(ConnectionFailed, match="password authentication failed") as caught:
        face.query("SELECT 1")
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    pool = face._pool
    assert SECRET not in shown + repr(pool.parameters) + repr(pool) + repr(pool.parameters.password_source)


def test_a_plain_function_does_not_hold_up_the_loop() -> None:
    def slow() -> str:
        time.sleep(0.3)
        return SECRET

    async def main(url: str) -> None:
        opening = asyncio.ensure_future(Database(url, 1, 1, password=slow).connect())
        ticks = 0
        while not opening.done():
            ticks += 1
            await asyncio.sleep(0.01)
        await opening.result().disconnect()
        assert ticks > 5

    with ScriptedBackend([*startup_cleartext(SECRET), serve({})]) as backend:
        asyncio.run(main(backend.url()))


def test_a_function_that_never_answers_is_bounded_by_connect_timeout(open_face: OpenFace) -> None:
    async def never() -> str:
        await asyncio.sleep(30)
        return ""

    face = open_face("postgresql://u@127.0.0.1:1/x", 0, 1, password=never, connect_timeout=0.2)
    with pytest.raises(ConnectTimeout, match="did not return in time"):
        face.query("SELECT 1")
    assert face.pool_stats()["total"] == 0


def test_a_blocking_caller_inside_an_event_loop_may_have_a_coroutine_function() -> None:
    async def password() -> str:
        await asyncio.sleep(0)
        return SECRET

    async def main(url: str) -> None:
        with SyncDatabase(url, 1, 1, password=password) as db:
            assert db.pool_stats()["total"] == 1

    with ScriptedBackend([*startup_cleartext(SECRET), serve({})]) as backend:
        asyncio.run(main(backend.url()))
