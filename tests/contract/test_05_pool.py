"""Section 5 of the contract: one pool for all, its limits, pipelining, prepared statements."""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from contract.wire import Wire
from hyperdjango.database import AcquireTimeout, Database, DivisionByZero, SyncDatabase

PID = "SELECT pg_backend_pid()"


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait until something is so; a test that waits in vain is ended by the deadline."""
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.02)


def outside(coroutine: Any) -> "asyncio.Task[Any]":
    """A task that is in no transaction block."""
    return asyncio.create_task(coroutine, context=contextvars.Context())


# -- connections --


@pytest.mark.line("5.shared")
async def test_threads_and_loops_share_one_pool(url: str) -> None:
    """One pool per Database, shared by all threads and event loops of the process."""
    async with Database(url, 1, 1) as db:
        mine = await db.query_val(PID)
        elsewhere = await asyncio.to_thread(lambda: asyncio.run(db.query_val(PID)))
        blocking = await asyncio.to_thread(db.sync.query_val, PID)
    assert {elsewhere, blocking} == {mine}


@pytest.mark.line("5.grows")
async def test_the_pool_grows_from_min_to_max(url: str) -> None:
    """Opens min_size, grows to max_size."""
    async with Database(url, 2, 4) as db:
        assert db.pool_stats()["total"] == 2

        async def block() -> None:
            async with db.transaction():
                await db.query("SELECT pg_sleep(0.1)")

        tasks = [asyncio.create_task(block()) for _ in range(12)]
        await until(lambda: asyncio.sleep(0, db.pool_stats()["total"] == 4))
        await asyncio.gather(*tasks)
        assert db.pool_stats()["total"] == 4


@pytest.mark.line("5.fair")
async def test_who_comes_first_is_served_first(url: str) -> None:
    """A call that finds all busy waits its turn, first come first served, without limit."""
    served: list[int] = []
    async with Database(url, 1, 1) as db:

        async def block(number: int) -> None:
            async with db.transaction():
                served.append(number)
                await db.query("SELECT pg_sleep(0.005)")

        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(block(number))
                await asyncio.sleep(0)
    assert served == list(range(30))


@pytest.mark.line("5.acquire_timeout")
async def test_acquire_timeout_limits_the_wait(url: str) -> None:
    """Unless acquire_timeout is set."""
    async with Database(url, 1, 1, acquire_timeout=0.1) as db, db.transaction():
        await db.query("SELECT 1")
        with pytest.raises(AcquireTimeout):
            await outside(db.query("SELECT 1"))


@pytest.mark.line("5.preferred")
def test_a_thread_gets_the_connection_it_used_last(url: str) -> None:
    """Each thread prefers the connection it used last."""
    both = threading.Barrier(2)
    turns = [threading.Semaphore(1), threading.Semaphore(0)]
    pids: list[list[int]] = [[], []]

    def work(me: int) -> None:
        with db.transaction():  # at the same time, so on two connections
            pids[me].append(db.query_val(PID))
            both.wait()
        both.wait()
        for _ in range(10):
            turns[me].acquire()
            pids[me].append(db.query_val(PID))
            turns[1 - me].release()

    with SyncDatabase(url, 2, 2) as db:
        threads = [threading.Thread(target=work, args=(me,)) for me in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(set(each)) for each in pids] == [1, 1]
    assert pids[0][0] != pids[1][0]


@pytest.mark.line("5.dead_idle")
async def test_a_dead_idle_connection_is_replaced_unnoticed(url: str, db: Database) -> None:
    """A dead idle connection is noticed before it is handed out."""
    async with Database(url, 1, 1) as victim:
        pid = await victim.query_val(PID)
        await db.execute("SELECT pg_terminate_backend($1)", pid)
        gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
        await until(lambda: db.query_val(gone, pid))
        assert await victim.query_val(PID) != pid


@pytest.mark.line("5.dead_idle")
async def test_looking_at_a_connection_sends_nothing(wire: Wire) -> None:
    """At no round trip."""
    async with Database(wire.url, 1, 1) as db:
        for _ in range(3):
            await db.query_val("SELECT $1::int", 1)
        wire.sent.clear()
        await asyncio.sleep(0.2)
        assert await db.query_val("SELECT $1::int", 1) == 1
        assert len(wire.sent) == 1


@pytest.mark.line("5.max_lifetime")
async def test_an_old_connection_is_replaced(url: str) -> None:
    """max_lifetime is honoured."""
    async with Database(url, 1, 1, max_lifetime=0.3) as db:
        first = await db.query_val(PID)

        async def is_new() -> bool:
            return bool(await db.query_val(PID) != first)

        await until(is_new)


@pytest.mark.line("5.idle_timeout")
async def test_idle_connections_go_down_to_min_size(url: str) -> None:
    """idle_timeout is honoured without going under min_size."""
    async with Database(url, 2, 6, idle_timeout=0.3) as db:

        all_hold_one = asyncio.Barrier(6)

        async def block() -> None:
            async with db.transaction():
                await db.query("SELECT 1")
                await all_hold_one.wait()

        await asyncio.gather(*(block() for _ in range(6)))
        assert db.pool_stats()["opened"] == 6
        await until(lambda: asyncio.sleep(0, db.pool_stats()["total"] == 2))
        await asyncio.sleep(0.6)
        assert db.pool_stats()["total"] == 2


@pytest.mark.line("5.session_state")
async def test_session_state_does_not_leak(url: str) -> None:
    """Session state does not leak from one borrower to the next."""
    async with Database(url, 1, 1, application_name="mine") as db:
        await db.execute("SET application_name TO 'somebody'")
        assert await db.query_val("SHOW application_name") == "mine"
        await db.execute("CREATE TEMPORARY TABLE left_over (n int)")
        assert await db.query_val("SELECT to_regclass('left_over') IS NULL") is True
        await db.query("SELECT pg_advisory_lock(4711)")
        own = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert await db.query_val(own) == 0


@pytest.mark.line("5.pool_stats")
async def test_pool_stats_are_counts(url: str) -> None:
    """db.pool_stats() -> dict[str, int]: total, idle, busy, stmt_cache_size, and more keys beside them."""
    async with Database(url, 2, 4) as db:
        async with db.transaction():
            await db.query("SELECT $1::int", 1)
            stats = db.pool_stats()
        assert {"total", "idle", "busy", "stmt_cache_size"} < set(stats)
        assert (stats["total"], stats["idle"], stats["busy"]) == (2, 1, 1)
        assert all(isinstance(count, int) for count in stats.values())
        assert db.pool_stats()["stmt_cache_size"] >= 1


@pytest.mark.line("5.fork")
def test_after_a_fork_the_child_opens_its_own(url: str) -> None:
    """After a fork the child opens its own."""
    program = f"""
import os
from hyperdjango.database import SyncDatabase

with SyncDatabase({url!r}, 1, 1) as db:
    parent = db.query_val("{PID}")
    child = os.fork()
    if child == 0:
        os._exit(0 if db.query_val("{PID}") != parent else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert db.query_val("{PID}") == parent
    print(status)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ},
    )
    assert (done.stdout.strip(), done.returncode) == ("0", 0), done.stderr


@pytest.mark.line("5.disconnect")
async def test_disconnect_waits_for_running_calls_up_to_a_timeout(url: str) -> None:
    """disconnect() lets running calls finish, up to a timeout."""
    db = Database(url, 2, 2)
    await db.connect()
    short = asyncio.create_task(db.query_val("SELECT 'done' FROM pg_sleep(0.3)"))
    await asyncio.sleep(0.05)
    await db.disconnect()
    assert await short == "done"

    await db.connect()
    long = asyncio.create_task(db.query("SELECT pg_sleep(600)"))
    await asyncio.sleep(0.05)
    await asyncio.wait_for(db.disconnect(timeout=0.1), 20)
    assert not long.done()
    long.cancel()
    await asyncio.wait([long])


# -- pipelining --


@pytest.mark.line("5.pipelined")
async def test_concurrent_calls_share_connections(wire: Wire) -> None:
    """Concurrent calls outside transactions are pipelined by themselves over few connections when that is faster."""
    sql = "SELECT $1::int"
    async with Database(wire.url, 1, 4) as db:
        await db.query_val(sql, 0)
        for _ in range(100):
            wire.sent.clear()
            assert await asyncio.gather(*(db.query_val(sql, n) for n in range(60))) == list(range(60))
            assert db.pool_stats()["total"] <= 4
            if len(wire.sent) < 30:
                break
        else:
            pytest.fail("no round of 60 calls was sent in less than 30 writes")


@pytest.mark.line("5.pipelined.errors")
async def test_errors_of_concurrent_calls_stay_apart(url: str) -> None:
    """Each with its own Sync so that errors stay apart."""
    async with Database(url, 1, 2) as db:
        for _ in range(3):
            found = await asyncio.gather(
                *(db.query_val("SELECT 10 / $1::int", n % 3) for n in range(30)), return_exceptions=True
            )
            assert [isinstance(each, DivisionByZero) for each in found] == [n % 3 == 0 for n in range(30)]
            assert [each for each in found if isinstance(each, int)] == [10, 5] * 10


@pytest.mark.line("5.pipelined.slow")
async def test_a_slow_query_holds_up_nobody(url: str) -> None:
    """A slow query must not hold up quick ones behind it."""
    async with Database(url, 2, 4) as db:
        await asyncio.gather(*(db.query_val("SELECT $1::int", n) for n in range(20)))
        slow = asyncio.create_task(db.query("SELECT pg_sleep(600)"))
        await asyncio.sleep(0)
        quick = [db.query_val("SELECT $1::int", n) for n in range(50)]
        assert await asyncio.wait_for(asyncio.gather(*quick), 30) == list(range(50))
        assert not slow.done()
        slow.cancel()
        await asyncio.wait([slow])


# -- prepared statements --


@pytest.mark.line("5.prepared")
async def test_a_repeated_text_costs_one_round_trip(wire: Wire) -> None:
    """Every repeated SQL text is prepared once per connection and then costs one round trip, Bind and Execute only."""
    async with Database(wire.url, 1, 1) as db:
        await db.query_val("SELECT $1::int + 40", 1)
        await db.query_val("SELECT $1::int + 40", 1)
        wire.sent.clear()
        assert await db.query_val("SELECT $1::int + 40", 2) == 42
        assert len(wire.sent) == 1
        assert b"SELECT" not in wire.bytes_sent
        assert wire.bytes_sent[:1] == b"B"


@pytest.mark.line("5.prepared.shared")
async def test_what_was_learned_is_shared_by_the_pool(wire: Wire) -> None:
    """So the first use on another connection is one round trip as well."""
    async with Database(wire.url, 2, 2) as db, db.transaction():
        here = await db.query_val(PID)
        assert await outside(db.query_val(PID)) != here
        await db.query_val("SELECT $1::int + 40", 1)
        wire.sent.clear()
        assert await outside(db.query_val("SELECT $1::int + 40", 2)) == 42
        assert len(wire.sent) == 1


@pytest.mark.line("5.prepared.bounded")
async def test_the_text_used_least_recently_goes(url: str) -> None:
    """Bounded, least recently used out; keyed by the text itself."""
    async with Database(url, 1, 1, statement_cache_size=3) as db:
        for n in (1, 2, 1, 3):
            await db.query_val(f"SELECT $1::int + {n}", 0)
        kept = r"SELECT statement FROM pg_prepared_statements WHERE statement ~ '^SELECT \$1' ORDER BY 1"
        await db.query(kept)
        assert await db.query(kept, into=tuple) == [("SELECT $1::int + 1",), ("SELECT $1::int + 3",)]
        assert db.pool_stats()["stmt_cache_size"] == 3


@pytest.mark.line("5.prepared.heals_plan")
async def test_a_changed_result_type_heals(url: str, db: Database) -> None:
    """ "Cached plan must not change result type" heals by itself outside transactions."""
    await db.execute("CREATE TABLE t AS SELECT 1 AS a")
    async with Database(url, 1, 1) as other:
        for _ in range(3):
            assert await other.query("SELECT * FROM t") == [{"a": 1}]
        await db.execute("ALTER TABLE t ADD COLUMN b text DEFAULT 'new'")
        assert await other.query("SELECT * FROM t") == [{"a": 1, "b": "new"}]


@pytest.mark.line("5.prepared.heals_gone")
async def test_a_lost_statement_heals(url: str) -> None:
    """ "Prepared statement does not exist" heals by itself outside transactions."""
    async with Database(url, 1, 1) as db:
        await db.execute(
            "CREATE FUNCTION forget() RETURNS void LANGUAGE plpgsql AS $$BEGIN DEALLOCATE ALL; END$$"
        )
        for n in range(3):
            assert await db.query_val("SELECT $1::int", n) == n
        await db.execute("SELECT forget()")
        assert await db.query_val("SELECT $1::int", 7) == 7


@pytest.mark.line("5.prepared.none")
async def test_without_a_cache_nothing_has_a_name(url: str) -> None:
    """statement_cache_size=0 works behind transaction poolers: nothing is left in the session to rely on."""
    async with Database(url, 1, 1, statement_cache_size=0) as db:
        for n in range(3):
            assert await db.query("SELECT $1::int AS n, $2::text AS s", n, "x") == [{"n": n, "s": "x"}]
        assert await db.query_val("SELECT count(*) FROM pg_prepared_statements") == 0
        assert db.pool_stats()["stmt_cache_size"] == 0
