"""Opening connections where the server takes no more, or not yet."""

import asyncio
import threading
import time
from dataclasses import replace
from urllib.parse import urlsplit

import psycopg
import pytest
from hyperdjango.database import AcquireTimeout, ConnectionFailed, Database
from hyperdjango.database._backoff import SECONDS_MAX, Backoff
from pgkit import SIMPLE_SELECT, ScriptedBackend, refuse, serve, startup
from pgkit.face import OpenFace
from pgkit.until import until_async
from postgres_servers import StartServer

SQL = "SELECT n"
ROWS = [{"n": 1}, {"n": 2}]
STARTING = refuse("57P03", "the database system is starting up")
FULL = refuse("53300", "sorry, too many clients already")
OPEN = [*startup(), serve({SQL: SIMPLE_SELECT})]


def test_pauses_grow_vary_and_are_bounded() -> None:
    backoff = Backoff()
    now, pauses = 100.0, []
    for _ in range(20):
        pauses.append(backoff.refused(now))
        assert backoff.is_on(now)
        now += pauses[-1]
        assert not backoff.is_on(now + 0.001)
    assert 0.02 <= pauses[0] <= 0.05
    assert all(SECONDS_MAX / 2 <= pause <= SECONDS_MAX for pause in pauses[-8:])
    assert len(set(pauses)) == 20
    backoff.accepted()
    assert not backoff.is_on(now)
    assert backoff.refused(now) <= 0.05


def test_those_that_are_refused_together_count_once() -> None:
    backoff = Backoff()
    assert max(backoff.refused(100.0) for _ in range(50)) <= 0.05


@pytest.mark.parametrize("refusal", [STARTING, FULL], ids=["starting up", "full"])
def test_a_call_waits_for_a_server_that_is_not_ready_yet(open_face: OpenFace, refusal: list) -> None:  # type: ignore[type-arg]
    with ScriptedBackend(refusal, refusal, refusal, OPEN) as backend:
        face = open_face(backend.url(), 0, 1)
        assert face.query(SQL) == ROWS
        assert len(backend.conversations) == 4
        face.disconnect()


def test_connect_waits_for_a_server_that_is_not_ready_yet(open_face: OpenFace) -> None:
    with ScriptedBackend(STARTING, STARTING, OPEN) as backend:
        face = open_face(backend.url(), 1, 1)
        assert face.query(SQL) == ROWS
        face.disconnect()


@pytest.mark.parametrize("limit", ["connect_timeout", "acquire_timeout", "timeout"])
def test_the_wait_ends_with_the_servers_own_error(open_face: OpenFace, limit: str) -> None:
    with ScriptedBackend(*[STARTING] * 40) as backend:
        options = {} if limit == "timeout" else {limit: 1.0}
        face = open_face(backend.url(), 0, 1, **options)
        began = time.monotonic()
        with pytest.raises(ConnectionFailed, match="starting up") as caught:
            face.query(SQL, timeout=1.0 if limit == "timeout" else None)
        assert caught.value.sqlstate == "57P03"
        assert 0.05 <= time.monotonic() - began < 4
        assert len(backend.conversations) >= 2
        assert face.pool_stats()["total"] == 0
        face.disconnect()


def test_an_error_of_another_kind_is_told_at_once(open_face: OpenFace) -> None:
    with ScriptedBackend(refuse("28000", "no")) as backend:
        face = open_face(backend.url(), 0, 1)
        with pytest.raises(ConnectionFailed, match="no"):
            face.query(SQL)
        assert len(backend.conversations) == 1
    with pytest.raises(ConnectionFailed):
        open_face(backend.url(), 0, 1).query(SQL)


def test_where_others_have_connections_a_refused_call_waits_for_one_of_theirs() -> None:
    async def main(url: str) -> None:
        async with Database(url, 1, 8) as db:
            slot = await db._acquire(None)
            calls = [asyncio.create_task(db.query(SQL)) for _ in range(5)]
            await until_async(lambda: db.pool_stats()["waiting"] == 5)
            assert db.pool_stats()["total"] == 1
            await db._release(slot)
            assert await asyncio.gather(*calls) == [ROWS] * 5

    with ScriptedBackend(OPEN, *[FULL] * 30, frontend_may_leave=True) as backend:
        asyncio.run(main(backend.url()))


def test_a_refused_call_keeps_its_place_in_the_queue() -> None:
    order: list[int] = []

    async def main(url: str) -> None:
        async with Database(url, 1, 8) as db:

            async def call(n: int) -> None:
                await db.query(SQL)
                order.append(n)

            slot = await db._acquire(None)
            calls = []
            for n in range(20):
                calls.append(asyncio.create_task(call(n)))
                await asyncio.sleep(0.002)
            await until_async(lambda: db.pool_stats()["waiting"] == 20)
            await db._release(slot)
            await asyncio.gather(*calls)

    with ScriptedBackend(OPEN, *[FULL] * 60, frontend_may_leave=True) as backend:
        asyncio.run(main(backend.url()))
    assert order == list(range(20))


def test_waiting_for_one_of_theirs_is_bounded_by_acquire_timeout() -> None:
    async def main(url: str) -> None:
        async with Database(url, 1, 8, acquire_timeout=0.5) as db:
            slot = await db._acquire(None)
            with pytest.raises(AcquireTimeout):
                await db.query(SQL)
            await db._release(slot)
            assert await db.query(SQL) == ROWS
            assert db.pool_stats()["acquire_timeouts"] == 1

    with ScriptedBackend(OPEN, *[FULL] * 30, frontend_may_leave=True) as backend:
        asyncio.run(main(backend.url()))


def test_the_pool_grows_again_when_the_server_has_room(start_server: StartServer) -> None:
    server = start_server(settings={"max_connections": "6", "superuser_reserved_connections": "0"})

    async def main() -> None:
        others = [psycopg.connect(server.url) for _ in range(4)]
        async with Database(server.url, 1, 4) as db:
            slots = [await db._acquire(None)]
            waiting = [asyncio.create_task(db._acquire(None)) for _ in range(3)]
            await asyncio.sleep(0.5)
            assert sum(task.done() for task in waiting) <= 1
            for other in others:
                other.close()
            # Nobody gives anything back, and nobody else calls.
            slots += await asyncio.wait_for(asyncio.gather(*waiting), 30)
            assert db.pool_stats()["total"] == 4
            for slot in slots:
                await db._release(slot)

    asyncio.run(main())


def test_many_threads_and_a_server_with_few_places(start_server: StartServer) -> None:
    server = start_server(settings={"max_connections": "4", "superuser_reserved_connections": "0"})
    db = Database(server.url, 0, 20)
    db.sync.connect()
    problems: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for _ in range(20):
                assert db.sync.query_val("SELECT $1::int FROM pg_sleep(0.001)", n) == n
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert db.pool_stats()["total"] <= 4
    db.sync.disconnect()


async def test_a_connection_that_was_on_its_way_when_the_pool_was_renewed_goes_to_the_new_place(
    database_url: str,
) -> None:
    """Else a pool that follows its primary would keep one to the server that was left."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def password() -> str:
        asked.set()
        await answer.wait()
        return secret

    secret = urlsplit(database_url).password or ""
    async with Database(database_url, 0, 2, application_name="before", password=password) as db:
        pool = db._pool
        connecting = asyncio.ensure_future(db.query_val("SHOW application_name"))
        await asked.wait()
        startup = {**pool.parameters.startup, "application_name": "behind"}
        pool.renew(replace(pool.parameters, startup=startup))
        answer.set()
        assert await connecting == "behind"
