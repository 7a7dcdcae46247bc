"""Routed calls that are cancelled, loops that end, processes that fork or exit: nothing is lost and nothing hangs."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from cancel_points import MOMENTS, Cancel, Moment, Point, cancel_everywhere
from hyperdjango.database import UndefinedColumn
from hyperdjango.multi_db import ConnectionManager
from hyperdjango.multi_db._node import Node
from pg_cluster import Cluster
from routed_sets import connected, inner, replica_set_of, until

SECONDS_MAX = 60


def busy(connections: ConnectionManager) -> int:
    """How many connections are not back, over all pools of the alias."""
    replica_set = inner(connections)
    databases = [connections["default"], *(node.database for node in replica_set.nodes)]
    return sum(database.pool_stats()["busy"] + database.pool_stats()["waiting"] for database in databases)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_wherever_a_call_is_cancelled_the_pools_stay_whole(
    moment: Moment, cluster: Cluster, cluster_database: str
) -> None:
    async with connected(cluster, cluster_database) as connections:
        db, reader = connections["default"], connections.reader()
        await db.execute("CREATE TABLE t (n int)")
        await asyncio.to_thread(cluster.wait_until_caught_up)

        async def block() -> None:
            async with db.transaction():
                await db.execute("INSERT INTO t VALUES (1)")

        async def reading_block() -> None:
            async with reader.transaction():
                await reader.query_val("SELECT 1")

        async def pinned() -> None:
            async with connections.pin():
                await reader.query_val("SELECT 1")

        async def streamed() -> None:
            async for _ in reader.stream("SELECT generate_series(1, 3)"):
                pass

        async def behind() -> None:
            await db.execute("INSERT INTO t VALUES (1)")
            await reader.query_val("SELECT count(*) FROM t")

        calls = {
            "read": lambda: reader.query_val("SELECT 1"),
            "write": lambda: db.execute("INSERT INTO t VALUES (1)"),
            "pipeline": lambda: reader.pipeline(["SELECT 1", "SELECT 2"]),
            "block": block,
            "reading block": reading_block,
            "pinned": pinned,
            "stream": streamed,
            "read behind a write": behind,
        }
        for call in calls.values():

            async def attempt(cancel: Cancel, call: object = call) -> Point:
                point = await cancel(call())  # type: ignore[operator]
                await until(lambda: not busy(connections), "a connection is not back")
                assert not reader.in_transaction()
                # Whatever became of it, what was written is seen.
                there = await reader.query_val("SELECT count(*) FROM t")
                assert there == await db.query_val("SELECT count(*) FROM t")
                return point

            with connections.scope():
                await db.execute("DELETE FROM t")
                await cancel_everywhere(attempt, moment)
        assert all(node.in_flight == 0 for node in inner(connections).nodes)


async def test_many_who_wait_for_one_replica_ask_it_once(
    cluster: Cluster, cluster_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = [cluster.url(cluster.replicas[1], cluster_database)]
    async with connected(cluster, cluster_database, replicas=only, lsn_wait=5.0) as connections:
        db, reader = connections["default"], connections.reader()
        await db.execute("CREATE TABLE t (n int)")
        await asyncio.to_thread(cluster.wait_until_caught_up)
        replica_set = inner(connections)
        replica = replica_set.nodes[1]
        replica.lag = 0.0
        polls = 0
        original = Node._poll

        async def counted(self: Node, seconds: float) -> None:
            nonlocal polls
            polls += 1
            await original(self, seconds)

        monkeypatch.setattr(Node, "_poll", counted)
        await db.execute("INSERT INTO t VALUES (1)")
        waiting = [asyncio.ensure_future(reader.query_val("SELECT count(*) FROM t")) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[7].cancel()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [answer for answer in answers if answer == 1] == [1] * 49
        assert polls <= 3
        assert replica_set.lsn_waits == 50


def test_one_manager_serves_several_loops_and_threads(cluster: Cluster, cluster_database: str) -> None:
    connections = ConnectionManager()
    asyncio.run(_configured(connections, cluster, cluster_database))
    answers: list[bool] = []

    async def ask() -> None:
        for _ in range(5):
            with connections.scope():
                answers.append(await connections.reader().query_val("SELECT pg_is_in_recovery()"))
                await connections["default"].execute("SELECT 1")
                answers.append(await connections.reader().query_val("SELECT 1") == 1)

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS_MAX)
    asyncio.run(ask())
    assert answers == [True] * 40
    asyncio.run(connections.close())


async def _configured(connections: ConnectionManager, cluster: Cluster, database: str) -> None:
    await connections.configure({"default": replica_set_of(cluster, database)})


async def test_a_manager_that_is_dropped_takes_its_threads_with_it(
    cluster: Cluster, cluster_database: str
) -> None:
    def monitors() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if each.name.startswith("hyperdjango-monitor")}

    def is_gone() -> bool:
        gc.collect()
        return reference() is None

    others = monitors()  # those of tests before this may be asking a last time
    async with connected(cluster, cluster_database) as connections:
        mine = monitors() - others
        assert len(mine) == 3
        reference = weakref.ref(inner(connections))
    await until(lambda: not any(each.is_alive() for each in mine), "a monitor does not end")
    del connections
    await until(is_gone, "somebody keeps it")


def run_script(script: str, *urls: str) -> str:
    """Run a program and return what it prints; it must end by itself and say nothing on stderr."""
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *urls],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


PREAMBLE = """
import asyncio, os, sys
from hyperdjango.multi_db import ConnectionManager

connections = ConnectionManager()
alias = {"primary": sys.argv[1], "replicas": sys.argv[2:], "min_size": 1, "probe_interval": 0.1}
"""


def test_a_program_that_closes_nothing_ends(cluster: Cluster, cluster_database: str) -> None:
    script = textwrap.dedent(PREAMBLE) + textwrap.dedent("""
        async def main():
            await connections.configure({"default": alias})
            print(await connections.reader().query_val("SELECT pg_is_in_recovery()"))

        asyncio.run(main())
        """)
    assert run_script(script, *(cluster.url(node, cluster_database) for node in cluster.nodes)) == "True\n"


def test_a_child_of_a_fork_has_servers_and_monitors_of_its_own(
    cluster: Cluster, cluster_database: str
) -> None:
    script = textwrap.dedent(PREAMBLE) + textwrap.dedent("""
        import threading

        async def ask():
            assert await connections["default"].query_val("SELECT 1") == 1
            return await connections.reader().query_val("SELECT pg_is_in_recovery()")

        async def main():
            await connections.configure({"default": alias})
            return await ask()

        print(asyncio.run(main()), flush=True)
        if os.fork() == 0:
            alive = sum(thread.name.startswith("hyperdjango-monitor") for thread in threading.enumerate())
            print(asyncio.run(ask()), alive, flush=True)
            os._exit(0)
        print(os.wait()[1], asyncio.run(ask()), flush=True)
        asyncio.run(connections.close())
        """)
    assert (
        run_script(script, *(cluster.url(node, cluster_database) for node in cluster.nodes))
        == "True\nTrue 3\n0 True\n"
    )


def test_a_child_of_a_fork_waits_for_no_lock_of_a_thread_that_it_does_not_have() -> None:
    script = textwrap.dedent("""
        import os, threading
        from hyperdjango.multi_db import ConnectionManager
        from hyperdjango.multi_db.lsn import Position
        from hyperdjango.multi_db.scope import PROCESS

        with ConnectionManager().scope() as scope:
            # As though a thread had just been noting a commit.
            PROCESS._lock.acquire()
            scope._lock.acquire()
            child = os.fork()
            if child == 0:
                scope.note("default", Position(1, 1))
                os._exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """)
    assert run_script(script) == "7\n"


async def test_many_routed_calls_leave_no_object_behind(cluster: Cluster, cluster_database: str) -> None:
    async with connected(cluster, cluster_database) as connections:
        db, reader = connections["default"], connections.reader()
        await db.execute("CREATE TABLE t (n int)")

        async def once() -> None:
            with connections.scope():
                await db.execute("UPDATE t SET n = 1")
                await reader.query("SELECT n FROM t")
                async with db.transaction():
                    await db.execute("UPDATE t SET n = 1")
                async with connections.pin(), reader.transaction():
                    await reader.query_val("SELECT 1")
                with pytest.raises(UndefinedColumn):
                    await reader.query("SELECT nonsense")
                connections.explain_route(type("M", (), {"_table": type("T", (), {"database": None})}))

        for _ in range(100):
            await once()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(500):
            await once()
        gc.collect()
        # A few blocks of the monitors' and of caches; a leak of one object a call would be thousands.
        assert sys.getallocatedblocks() - before < 400
