"""What a pool does by the clock: lifetimes, idle connections, its own thread."""

import asyncio
import gc
import threading
import time
from typing import Any

import psycopg
import pytest
from hyperdjango.database import Database, SyncDatabase
from pgkit.face import OpenFace
from pgkit.until import until

PID = "SELECT pg_backend_pid()"


def _keepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hyperdjango-pool"]


@pytest.fixture(autouse=True)
def _no_keepers_of_other_tests() -> None:
    gc.collect()
    until(lambda: not _keepers())


def _sessions(url: str) -> set[int]:
    with psycopg.connect(url, autocommit=True) as other:
        found = other.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend' AND application_name <> 'hyper-test-control'"
        ).fetchall()
    return {pid for (pid,) in found}


def test_an_aged_connection_is_replaced_and_min_size_stays(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 2, 2, max_lifetime=0.3)
    before = _sessions(url)
    assert len(before) == 2
    until(lambda: face.pool_stats()["opened"] >= 4 and face.pool_stats()["idle"] == 2)
    until(lambda: before.isdisjoint(_sessions(url)))
    assert face.query_val("SELECT 1") == 1
    stats = face.pool_stats()
    assert (stats["total"], stats["min_size"], stats["lost"]) == (2, 2, 0)


def test_an_aged_connection_above_min_size_is_not_replaced(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 0, 2, max_lifetime=0.3)
    face.query_val("SELECT 1")
    until(lambda: face.pool_stats()["total"] == 0)
    assert face.pool_stats()["closed"] == 1
    assert face.query_val("SELECT 1") == 1


def test_a_connection_that_ages_in_use_is_replaced_when_it_comes_back(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 1, 1, max_lifetime=0.2)
    with face.transaction():
        pid = face.query_val(PID)
        time.sleep(0.5)
        assert face.query_val(PID) == pid
    until(lambda: face.pool_stats()["idle"] == 1)
    assert face.query_val(PID) != pid


def test_connections_opened_together_do_not_end_together(url: str) -> None:
    with SyncDatabase(url, 8, 8, max_lifetime=1000) as db:
        lives = [slot.expires_at - slot.created_at for slot in db._pool._idle.values()]
    assert all(900 <= life <= 1000 for life in lives)
    assert len(set(lives)) == 8


def test_what_is_idle_for_long_is_closed_down_to_min_size(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 1, 4, idle_timeout=0.3)
    slots = [face._acquire(None) for _ in range(4)]
    assert face.pool_stats()["total"] == 4
    for slot in slots:
        face._release(slot)
    until(lambda: face.pool_stats()["total"] == 1)
    time.sleep(0.5)
    assert face.pool_stats()["total"] == 1
    until(lambda: len(_sessions(url)) == 1)


def test_a_connection_in_use_now_and_then_is_not_idle(url: str) -> None:
    with SyncDatabase(url, 0, 1, idle_timeout=1.5) as db:
        pid = db.query_val(PID)
        for _ in range(12):
            time.sleep(0.2)
            assert db.query_val(PID) == pid
        until(lambda: db.pool_stats()["total"] == 0)


def test_there_is_no_thread_where_nothing_is_timed(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 1, 2, max_lifetime=None, idle_timeout=None)
    face.query_val("SELECT 1")
    assert _keepers() == []


def test_the_thread_begins_with_the_first_connection_and_ends_with_the_pool(url: str) -> None:
    db = SyncDatabase(url, 0, 2)
    assert _keepers() == []
    db.connect()
    assert _keepers() == []
    db.query_val("SELECT 1")
    assert len(_keepers()) == 1
    db.disconnect()
    until(lambda: not _keepers())
    db.connect()
    db.query_val("SELECT 1")
    assert len(_keepers()) == 1
    db.disconnect()
    until(lambda: not _keepers())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_pool_that_is_thrown_away_takes_its_thread_along(url: str) -> None:
    db = SyncDatabase(url, 1, 2).connect()
    assert len(_keepers()) == 1
    del db
    gc.collect()
    until(lambda: not _keepers())


def test_a_replacement_that_fails_leaves_a_pool_that_works(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with SyncDatabase(url, 1, 1, max_lifetime=0.2) as db:
        good = db._pool.parameters
        db._pool.parameters = SyncDatabase("postgresql://postgres@127.0.0.1:1/x", 0, 1)._pool.parameters
        until(lambda: db.pool_stats()["total"] == 0)
        until(lambda: "could not be replaced" in caplog.text)
        db._pool.parameters = good
        assert db.query_val("SELECT 1") == 1


def test_calls_never_fail_while_connections_are_replaced(url: str) -> None:
    async def main() -> None:
        async with Database(url, 2, 3, max_lifetime=0.05) as db:
            ends = time.monotonic() + 1.5

            async def work() -> None:
                while time.monotonic() < ends:
                    assert await db.query_val("SELECT 7") == 7
                    await asyncio.sleep(0.001)

            await asyncio.gather(*(work() for _ in range(6)))
            assert db.pool_stats()["opened"] > 6
            assert db.pool_stats()["total"] <= 3

    asyncio.run(main())


@pytest.mark.parametrize("name", ["max_lifetime", "idle_timeout", "leak_timeout", "acquire_timeout"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_setting_in_seconds_must_be_more_than_none_at_all(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    for face in (Database, SyncDatabase):
        with pytest.raises(ValueError, match=f"{name} must be more than 0 seconds or None"):
            face("postgresql:///x", **options)
