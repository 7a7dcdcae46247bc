"""How many round trips each kind of call costs, counted by a proxy in front of a real server.

A round trip is a flight of messages to the backend that is followed by one back. None of these is a matter of
time, so all but the concurrent ones are exact.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import Database, DivisionByZero, SyncDatabase
from pgkit import Proxy
from pgkit.face import Face, OpenFace
from pgkit.until import until

ADD: Final = "SELECT $1::int + 1 AS n"
DIVIDE: Final = "SELECT 10 / $1::int AS n"
INSERT: Final = "INSERT INTO t VALUES ($1)"
ADVISORY: Final = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE t (a int)")
    with Proxy.before(url) as proxy:
        yield proxy


@pytest.fixture
def face(open_face: OpenFace, proxy: Proxy, url: str) -> Iterator[Face]:
    """A pool of one connection that nobody but a call opens; the texts above are known to it."""
    face = open_face(proxy.url(url), min_size=0)
    for _ in range(2):
        face.query(ADD, 1)
        face.query(DIVIDE, 1)
        face.execute(INSERT, 1)
    yield face
    face.disconnect()


@contextmanager
def trips(proxy: Proxy, count: int) -> Iterator[None]:
    """What is done inside costs exactly so many."""
    before = proxy.round_trips
    yield
    assert proxy.round_trips - before == count


def kill(url: str, proxy: Proxy) -> None:
    """End the pool's connections, and wait until the driver could have read that they have ended."""
    before = {
        link: link.bytes_to_frontend
        for link in proxy.links
        if not link.is_cancel_request and link.thread.is_alive()
    }
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    until(lambda: all(link.bytes_to_frontend > count for link, count in before.items()))


# One statement


def test_a_warm_statement_costs_one(face: Face, proxy: Proxy) -> None:
    for n in range(5):
        with trips(proxy, 1):
            assert face.query(ADD, n) == [{"n": n + 1}]
        with trips(proxy, 1):
            assert face.query_one(ADD, n) == {"n": n + 1}
        with trips(proxy, 1):
            assert face.query_val(ADD, n) == n + 1
        with trips(proxy, 1):
            assert face.execute(INSERT, n) == "INSERT 1"


def test_a_text_that_the_pool_knows_costs_one_on_a_new_connection(face: Face, proxy: Proxy, url: str) -> None:
    assert face.query_val("SELECT 5") == 5
    kill(url, proxy)
    before = len(proxy.links)
    assert face.query_val("SELECT 5") == 5
    assert len(proxy.links) == before + 1
    for _ in range(2):
        with trips(proxy, 1):
            assert face.query_val(ADD, 1) == 2
        with trips(proxy, 1):
            assert face.execute(INSERT, 1) == "INSERT 1"
    assert len(proxy.links) == before + 1


def test_an_unknown_text_with_values_costs_two_and_then_one(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 2):
        assert face.query_val("SELECT $1::int + 100", 1) == 101
    with trips(proxy, 1):
        assert face.query_val("SELECT $1::int + 100", 2) == 102
    with trips(proxy, 2):
        assert face.execute("DELETE FROM t WHERE a = $1", 1) == "DELETE 2"
    with trips(proxy, 1):
        assert face.execute("DELETE FROM t WHERE a = $1", 1) == "DELETE 0"


def test_an_unknown_command_without_values_costs_one(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 1):
        assert face.execute("INSERT INTO t VALUES (7)") == "INSERT 1"
    with trips(proxy, 1):
        assert face.execute("INSERT INTO t VALUES (7)") == "INSERT 1"
    with trips(proxy, 1):
        assert face.execute("SELECT a FROM t WHERE a = 7") == "SELECT 2"
    # What it has learned on the way serves those that read the rows.
    with trips(proxy, 1):
        assert face.query("SELECT a FROM t WHERE a = 7") == [{"a": 7}, {"a": 7}]


def test_a_script_costs_one(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 1):
        face.execute("INSERT INTO t VALUES (8); DELETE FROM t WHERE a = 8")


def test_an_error_costs_no_more_than_a_result(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 1), pytest.raises(DivisionByZero):
        face.query_val(DIVIDE, 0)
    with trips(proxy, 1):
        assert face.query_val(DIVIDE, 5) == 2


def test_a_batch_costs_one(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 1):
        assert face.execute_many(INSERT, [(n,) for n in range(10)]) == "INSERT 10"


# Giving a connection back


@pytest.mark.parametrize(
    ("change", "look"),
    [
        ("SET work_mem = '77kB'", "SHOW work_mem"),
        ("LISTEN something", "SELECT count(*) FROM pg_listening_channels()"),
        ("CREATE TEMP TABLE mine (a int)", "SELECT to_regclass('mine')::text"),
        ("SELECT pg_advisory_lock(77)", ADVISORY),
        ("SELECT set_config('my.own', 'x', false)", "SELECT coalesce(current_setting('my.own', true), '')"),
    ],
)
def test_giving_back_costs_none_whatever_was_changed(
    face: Face, proxy: Proxy, change: str, look: str
) -> None:
    """DISCARD ALL rides in front of the next statement, whosever it is."""
    pid = face.query_val("SELECT pg_backend_pid()")
    unchanged = face.query_val(look)
    face.query("SELECT pg_backend_pid()")
    for _ in range(2):
        with trips(proxy, 1):
            face.execute(change)
        with trips(proxy, 1):
            assert face.query_val(look) == unchanged
        with trips(proxy, 1):
            assert face.query_val(ADD, 1) == 2
    assert face.query_val("SELECT pg_backend_pid()") == pid


@pytest.mark.parametrize("change", ["SET work_mem = '77kB'", "CREATE TEMP TABLE mine (a int)"])
def test_a_block_behind_a_changed_session_costs_no_more(face: Face, proxy: Proxy, change: str) -> None:
    face.query("SHOW work_mem")
    before = face.query_val("SHOW work_mem")
    with trips(proxy, 3):
        face.execute(change)
        with face.transaction(isolation="serializable"):
            assert face.query_val("SHOW work_mem") == before
    with trips(proxy, 2), face.transaction():
        face.execute(change)
    with trips(proxy, 1):
        assert face.query_val("SHOW work_mem") == before


# Blocks


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    "modes", [{}, {"isolation": "serializable", "read_only": False, "deferrable": True}], ids=["", "modes"]
)
def test_a_transaction_costs_its_statements_and_one(
    face: Face, proxy: Proxy, count: int, modes: dict[str, Any]
) -> None:
    with trips(proxy, count + 1), face.transaction(**modes):
        for n in range(count):
            face.execute(INSERT, n)
    # Given up it costs the same: a ROLLBACK in place of the COMMIT.
    with trips(proxy, count + 1), suppress(ZeroDivisionError), face.transaction(**modes):
        for n in range(count):
            face.execute(INSERT, n)
        raise ZeroDivisionError


def test_nested_blocks_cost_their_statements(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 5), face.transaction():
        face.execute(INSERT, 1)
        with face.transaction():
            face.execute(INSERT, 2)
            with face.transaction("deep"):
                face.execute(INSERT, 3)
        face.execute(INSERT, 4)
    with trips(proxy, 2), face.transaction(), face.transaction(), face.transaction():
        face.execute(INSERT, 5)


def test_a_nested_block_that_fails_and_is_caught_costs_no_more(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 4), face.transaction():
        face.execute(INSERT, 100)
        with suppress(DivisionByZero), face.transaction():
            face.query_val(DIVIDE, 0)
        face.execute(INSERT, 101)
    with trips(proxy, 3), face.transaction():
        face.execute(INSERT, 102)
        with suppress(ZeroDivisionError), face.transaction():
            face.execute(INSERT, 103)
            raise ZeroDivisionError
    with trips(proxy, 2), face.transaction(), suppress(DivisionByZero), face.transaction():
        face.query_val(DIVIDE, 0)
    assert face.query_val("SELECT array_agg(a ORDER BY a) FROM t WHERE a >= 100") == [100, 101, 102]


def test_blocks_without_statements_cost_none(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 0):
        with face.transaction():
            pass
        with face.transaction(isolation="serializable"), face.transaction(), face.transaction("named"):
            pass
        with suppress(ZeroDivisionError), face.transaction(), face.transaction():
            raise ZeroDivisionError
        with face.transaction():
            with suppress(ZeroDivisionError), face.transaction():
                raise ZeroDivisionError
            with face.transaction():
                pass
    with trips(proxy, 2), face.transaction():
        with face.transaction():
            pass
        face.execute(INSERT, 1)
        with face.transaction():
            pass


def test_a_text_that_is_new_in_a_block_costs_its_description(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 3), face.transaction():
        face.query_val("SELECT $1::int + 200", 1)
    with trips(proxy, 2), face.transaction():
        face.execute("INSERT INTO t SELECT 300")


async def test_a_transaction_that_is_run_costs_its_statements_and_one(proxy: Proxy, url: str) -> None:
    async with Database(proxy.url(url), min_size=1, max_size=1) as db:

        async def work() -> Any:
            return await db.query_val(ADD, 1)

        assert await db.run(work) == 2
        with trips(proxy, 2):
            assert await db.run(work, isolation="serializable") == 2


def test_a_transaction_that_is_run_costs_its_statements_and_one_blocking(proxy: Proxy, url: str) -> None:
    with SyncDatabase(proxy.url(url), min_size=1, max_size=1) as db:
        assert db.run(lambda: db.query_val(ADD, 1)) == 2
        with trips(proxy, 2):
            assert db.run(lambda: db.query_val(ADD, 1), isolation="serializable") == 2


# Pipelines


def test_a_pipeline_of_known_texts_costs_one(face: Face, proxy: Proxy) -> None:
    with trips(proxy, 1):
        assert face.pipeline([(ADD, (n,)) for n in range(20)]) == [[(n + 1,)] for n in range(20)]
    with trips(proxy, 1):
        face.pipeline([(ADD, (1,)), (INSERT, (1,))] * 10)
    # In a block what stands behind its BEGIN leaves once that has gone well.
    with trips(proxy, 3), face.transaction():
        face.pipeline([(ADD, (n,)) for n in range(20)])
    with trips(proxy, 3), face.transaction():
        face.query(ADD, 1)
        face.pipeline([(ADD, (n,)) for n in range(20)])
    with trips(proxy, 0):
        assert face.pipeline([]) == []


def test_a_pipeline_with_unknown_texts_costs_one_description_of_them_all(face: Face, proxy: Proxy) -> None:
    queries = [(f"SELECT $1::int + {n % 5}", (n,)) for n in range(20)]
    with trips(proxy, 2):
        assert face.pipeline(queries) == [[(n + n % 5,)] for n in range(20)]
    with trips(proxy, 1):
        face.pipeline(queries)


def test_a_pipeline_with_unknown_texts_behind_a_changed_session(face: Face, proxy: Proxy) -> None:
    """DISCARD ALL goes in front of the first statement, so the others are described after it."""
    face.execute("SET work_mem = '77kB'")
    with trips(proxy, 3):
        face.pipeline([(ADD, (n,)) for n in range(10)] + [(f"SELECT $1::int - {n}", (n,)) for n in range(10)])
    face.execute("SET work_mem = '77kB'")
    with trips(proxy, 4):
        face.pipeline([(f"SELECT $1::int * {n}", (n,)) for n in range(20)])


def test_a_pipeline_known_to_the_pool_costs_one_on_a_new_connection(
    face: Face, proxy: Proxy, url: str
) -> None:
    queries = [(f"SELECT $1::int + {n}", (n,)) for n in range(20)]
    face.pipeline([*queries, "SELECT 1"])
    kill(url, proxy)
    face.query("SELECT 1")
    with trips(proxy, 1):
        assert face.pipeline(queries) == [[(2 * n,)] for n in range(20)]


# Concurrent calls


async def test_concurrent_quick_calls_share_round_trips(proxy: Proxy, url: str) -> None:
    async with Database(proxy.url(url), min_size=1, max_size=1) as db:
        for n in range(30):
            await db.query_val(ADD, n)
        counts: list[int] = []
        ends_at = time.monotonic() + 60
        # A machine that is busy with others may make them look slow for a while.
        while len(counts) < 5 or (min(counts) > 20 and time.monotonic() < ends_at):
            before = proxy.round_trips
            assert await asyncio.gather(*(db.query_val(ADD, n) for n in range(100))) == list(range(1, 101))
            counts.append(proxy.round_trips - before)
        assert min(counts) <= 20
