"""Behind PgBouncer, where the next transaction is in another session than the last one.

PgBouncer 1.18 knows nothing of prepared statements: a name that was prepared in one session is missing in
the next, or is there already. PgBouncer's manual: features, "SQL feature map for pooling modes".
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import Database, QueryTimeout, SyncDatabase, UniqueViolation
from pgbouncer import PgBouncer
from pgkit.face import Face, OpenFace

UNNAMED: Final[dict[str, Any]] = {"statement_cache_size": 0}
OPTIONS: Final[dict[str, dict[str, Any]]] = {"no names": UNNAMED, "nothing set": {}}
CLIENTS: Final = 8
SERVER_SESSIONS: Final = 2
PID: Final = "SELECT pg_backend_pid()"


class Mood(Enum):
    OK = "ok"


@pytest.fixture(params=OPTIONS.values(), ids=list(OPTIONS))
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How the Database is told of the pooler, if at all."""
    found: dict[str, Any] = request.param
    return found


@pytest.fixture
def pooler(url: str) -> Iterator[PgBouncer]:
    with psycopg.connect(url, autocommit=True) as control:
        control.execute("CREATE TABLE t (a int8 PRIMARY KEY, b text)")
        control.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
        control.execute("CREATE TYPE place AS (a int, m mood)")
    with PgBouncer(url, "transaction", SERVER_SESSIONS) as pooler:
        yield pooler


@pytest.fixture
async def db(pooler: PgBouncer, options: dict[str, Any]) -> AsyncIterator[Database]:
    async with Database(pooler.url, 1, CLIENTS, **options) as database:
        yield database


async def test_sessions_change_hands(pooler: PgBouncer) -> None:
    """Else nothing here tests anything."""
    async with Database(pooler.url, 4, 4, **UNNAMED) as db:
        pids = await asyncio.gather(
            *(db.query_val("SELECT pg_backend_pid() FROM pg_sleep(0.01)") for _ in range(40))
        )
        assert len(set(pids)) == SERVER_SESSIONS
        assert db.pool_stats()["total"] == 4


async def test_many_tasks_with_many_texts(db: Database) -> None:
    async def call(n: int) -> tuple[int, Any]:
        return n, await db.query_val(f"SELECT $1::int8 + {n % 23}", n)

    for _ in range(4):
        found = await asyncio.gather(*(call(n) for n in range(200)))
        assert [value for _, value in found] == [n + n % 23 for n in range(200)]


async def test_one_text_at_first_use_by_many_tasks(db: Database) -> None:
    for k in range(20):
        sql = f"SELECT $1::int8 * {k}"
        found = await asyncio.gather(*(db.query_val(sql, n) for n in range(CLIENTS)))
        assert found == [n * k for n in range(CLIENTS)]


async def test_writes_are_done_once(db: Database) -> None:
    async def write(n: int) -> None:
        if n % 3 == 0:
            assert await db.execute("INSERT INTO t VALUES ($1, $2)", n, str(n)) == "INSERT 1"
        elif n % 3 == 1:
            assert await db.execute_many("INSERT INTO t VALUES ($1, $2)", [(n, "x")]) == "INSERT 1"
        else:
            assert await db.execute(f"INSERT INTO t VALUES ({n}); SELECT 1") == "SELECT 1"

    # A second time would be a UniqueViolation.
    await asyncio.gather(*(write(n) for n in range(120)))
    assert await db.query_val("SELECT count(*) FROM t") == 120


async def test_blocks_keep_their_session(db: Database) -> None:
    async def work(n: int) -> None:
        async with db.transaction():
            await db.execute("INSERT INTO t VALUES ($1, $2)", n, "a")
            pid = await db.query_val(PID)
            async with db.transaction():
                await db.execute("UPDATE t SET b = $2 WHERE a = $1", n, "b")
            assert await db.query_val("SELECT b FROM t WHERE a = $1", n) == "b"
            assert await db.query_val(PID) == pid

    await asyncio.gather(*(work(n) for n in range(60)))
    assert await db.query_val("SELECT count(*) FROM t WHERE b = 'b'") == 60


async def test_the_first_statement_of_a_block_may_be_any(db: Database) -> None:
    """Of a text that this connection has prepared, or another one, or nobody."""
    for k in range(30):
        sql = f"SELECT $1::int8 + {k % 5}"

        async def outside(n: int, sql: str = sql, k: int = k) -> None:
            assert await db.query_val(sql, n) == n + k % 5

        async def inside(n: int, sql: str = sql, k: int = k) -> None:
            async with db.transaction():
                assert await db.query_val(sql, n) == n + k % 5
                assert await db.query_val("SELECT $1::text", str(n)) == str(n)

        await asyncio.gather(*(call(n) for n in range(6) for call in (inside, outside)))


async def test_blocks_that_fail_are_rolled_back(db: Database) -> None:
    async def work(n: int) -> None:
        with pytest.raises(UniqueViolation):  # noqa: PT012 - it is the whole block that raises
            async with db.transaction():
                await db.execute("INSERT INTO t VALUES ($1, $2)", n, "a")
                await db.execute("INSERT INTO t VALUES ($1, $2)", n, "b")

    await asyncio.gather(*(work(n) for n in range(40)))
    assert await db.query_val("SELECT count(*) FROM t") == 0


async def test_types_are_found_by_themselves(db: Database) -> None:
    async def call(n: int) -> None:
        assert await db.query_val("SELECT $1::mood[]", [Mood.OK, None]) == ["ok", None]
        found = await db.query_val("SELECT ARRAY[ROW($1::int, 'sad')::place]", n)
        assert [tuple(place) for place in found] == [(n, "sad")]

    await asyncio.gather(*(call(n) for n in range(40)))


async def test_many_sets_in_several_batches(db: Database) -> None:
    async def load(k: int) -> None:
        rows = [(k * 10_000 + n, None) for n in range(1100)]
        assert await db.execute_many("INSERT INTO t VALUES ($1, $2)", rows) == "INSERT 1100"

    await asyncio.gather(*(load(k) for k in range(4)))
    assert await db.query_val("SELECT count(*) FROM t") == 4400


async def test_a_timeout_cancels_the_statement_and_no_other(db: Database) -> None:
    async def slow() -> None:
        with pytest.raises(QueryTimeout):
            await db.query_val("SELECT 1 FROM pg_sleep($1)", 30, timeout=0.2)

    async def quick(n: int) -> None:
        await asyncio.sleep(0.19 + n * 0.002)
        assert await db.query_val("SELECT $1::int8 FROM pg_sleep(0.02)", n) == n

    for _ in range(3):
        await asyncio.gather(slow(), *(quick(n) for n in range(10)))


def test_threads(pooler: PgBouncer, options: dict[str, Any]) -> None:
    problems: list[BaseException] = []
    with SyncDatabase(pooler.url, 1, CLIENTS, **options) as db:

        def work(thread: int) -> None:
            try:
                for n in range(60):
                    tag = thread * 1000 + n
                    assert db.query_val(f"SELECT $1::int8 + {n % 7}", tag) == tag + n % 7
                    with db.transaction():
                        db.execute("INSERT INTO t VALUES ($1, $2)", tag, "a")
                        assert db.query_val("SELECT b FROM t WHERE a = $1", tag) == "a"
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert db.query_val("SELECT count(*) FROM t") == 60 * CLIENTS


def test_in_session_mode_statements_stay_prepared(url: str, open_face: OpenFace) -> None:
    """A client keeps its session. That cannot be told from outside, so the user says it by a size."""
    with PgBouncer(url, "session", SERVER_SESSIONS) as pooler:
        face: Face = open_face(pooler.url, statement_cache_size=100)
        for n in range(5):
            assert face.query_val("SELECT $1::int8", n) == n
            with face.transaction():
                assert face.query_val("SELECT $1::int8", n) == n
        assert face.pool_stats()["stmt_cache_size"] > 0
        assert face.query_val("SELECT count(*) FROM pg_prepared_statements") > 0
        # Another client has the session next, with the same names for other texts.
        face.disconnect()
        other: Face = open_face(pooler.url)
        assert [other.query_val(f"SELECT $1::text || '{n}'", "a") for n in range(5)] == [
            f"a{n}" for n in range(5)
        ]
