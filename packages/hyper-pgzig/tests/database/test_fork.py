"""After a fork the child opens its own connections and does not touch the parent's.

Each test forks in a process of its own: pytest and its threads are not to be forked.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hyperdjango.database._embedded_server import TlsFiles
from pg_certificates import Authority
from postgres_servers import StartServer

PRELUDE = """
import asyncio, contextlib, gc, os, sys, threading, time
from hyperdjango.database import Database, SyncDatabase, ConnectionLost

URL = os.environ["URL"]
PID = "SELECT pg_backend_pid()"

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            gc.collect()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0

def sockets():
    return [name for name in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{name}")
            and os.readlink(f"/proc/self/fd/{name}").startswith("socket:")]
"""


def run(url: str, program: str) -> str:
    environment = {**os.environ, "URL": url}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_a_child_opens_its_own_and_the_parents_sessions_live_on(url: str) -> None:
    run(
        url,
        """
        db = SyncDatabase(URL, 2, 3).connect()
        pid = db.query_val(PID)
        theirs = {db.query_val(PID) for _ in range(2)}

        def child():
            assert sockets() == []
            stats = db.pool_stats()
            assert (stats["total"], stats["idle"], stats["opened"]) == (0, 0, 0), stats
            mine = db.query_val(PID)
            assert mine not in theirs
            with db.transaction():
                assert db.query_val(PID) == mine
            db.disconnect()

        for _ in range(3):
            in_child(child)
        assert db.query_val(PID) == pid
        assert db.pool_stats()["total"] == 2
        db.disconnect()
        """,
    )


def test_a_child_of_an_asyncio_program_opens_its_own(url: str) -> None:
    run(
        url,
        """
        db = Database(URL, 2, 3)

        async def ask():
            return await db.query_val(PID)

        with asyncio.Runner() as runner:
            runner.run(db.connect())
            pid = runner.run(ask())

            def child():
                assert db.pool_stats()["total"] == 0
                assert asyncio.run(ask()) != pid
                asyncio.run(db.disconnect())

            in_child(child)
            assert runner.run(ask()) == pid
            runner.run(db.disconnect())
        """,
    )


def test_a_connection_that_was_borrowed_at_the_fork_is_dropped_in_the_child(url: str) -> None:
    run(
        url,
        """
        db = SyncDatabase(URL, 1, 2).connect()

        def child():
            try:
                db.query("SELECT 1")
            except ConnectionLost:
                return
            raise AssertionError("it must not use its parent's transaction")

        try:
            with db.transaction():
                pid = db.query_val(PID)
                in_child(child)
                assert db.query_val(PID) == pid
                if os.fork() == 0:
                    # It leaves the block by the way of every other error.
                    raise SystemExit(3)
                os.wait()
                assert db.query_val(PID) == pid
        except SystemExit:
            stats = db.pool_stats()
            os._exit(0 if stats["total"] == 0 and db.query_val(PID) != pid else 1)
        assert db.pool_stats()["total"] == 1
        db.disconnect()
        """,
    )


def test_threads_that_use_and_wait_for_connections_at_the_fork_are_forgotten(url: str) -> None:
    run(
        url,
        """
        db = SyncDatabase(URL, 1, 2).connect()
        ends = time.monotonic() + 2

        def work():
            while time.monotonic() < ends:
                assert db.query_val("SELECT 7 FROM pg_sleep(0.002)") == 7

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()

        def child():
            assert db.pool_stats()["total"] == 0
            assert db.pool_stats()["waiting"] == 0
            assert db.query_val("SELECT 1") == 1
            db.disconnect()

        for _ in range(10):
            time.sleep(0.05)
            in_child(child)
        for thread in threads:
            thread.join()
        stats = db.pool_stats()
        assert (stats["busy"], stats["waiting"], stats["lost"]) == (0, 0, 0), stats
        db.disconnect()
        """,
    )


def test_the_childs_end_does_not_end_the_parents_tls(start_server: StartServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.sign("localhost", ["localhost", "127.0.0.1"])
    server = start_server("system", tls=TlsFiles(certificate.certificate_file, certificate.key_file))
    run(
        server.url,
        """
        db = SyncDatabase(URL, 2, 2, sslmode="require").connect()
        pid = db.query_val(PID)
        assert db.query_val("SELECT ssl FROM pg_stat_ssl WHERE pid = $1", pid)

        def child():
            assert db.query_val(PID) != pid
            db.disconnect()

        in_child(child)
        assert db.query_val(PID) == pid
        db.disconnect()
        """,
    )


def test_a_child_that_goes_on_listening_opens_its_own_and_the_parent_hears_on(url: str) -> None:
    run(
        url,
        """
        from hyperdjango.database import Gap
        db = SyncDatabase(URL, 1, 1).connect()
        notes = db.listen("jobs").__enter__()
        other = db.listen("jobs").__enter__()
        pid = notes.process_id

        def child():
            assert sockets() == []
            gap = next(notes)
            assert isinstance(gap, Gap) and "forked" in str(gap.error), gap
            assert notes.process_id != pid
            db.notify("jobs", "of the child")
            assert next(notes).payload == "of the child"
            notes.close()
            db.disconnect()

        for _ in range(2):
            in_child(child)
        db.notify("jobs", "of the parent")
        for each in (notes, other):
            heard = [next(each).payload for _ in range(3)]
            assert heard == ["of the child"] * 2 + ["of the parent"], heard
        assert notes.process_id == pid
        db.disconnect()
        """,
    )


def test_the_childs_own_housekeeper_does_its_work(url: str) -> None:
    run(
        url,
        """
        db = SyncDatabase(URL, 1, 1, max_lifetime=0.2).connect()
        pid = db.query_val(PID)

        def child():
            first = db.query_val(PID)
            ends = time.monotonic() + 10
            while db.query_val(PID) == first:
                assert time.monotonic() < ends
                time.sleep(0.02)
            db.disconnect()

        in_child(child)
        db.disconnect()
        """,
    )


def test_asyncio_run_twice_on_one_database(url: str) -> None:
    run(
        url,
        """
        db = Database(URL, 1, 2)

        async def work(n):
            await db.connect()
            calls = (db.query_val("SELECT $1::int", i) for i in range(n))
            assert await asyncio.gather(*calls) == list(range(n))

        asyncio.run(work(10))
        asyncio.run(work(10))
        assert db.pool_stats()["busy"] == 0
        asyncio.run(db.disconnect())
        """,
    )


@pytest.mark.parametrize(
    "work",
    [
        # A thread in the middle of a call.
        """
        db = SyncDatabase(URL, 2, 2).connect()
        threading.Thread(target=db.query, args=("SELECT pg_sleep(30)",), daemon=True).start()
        time.sleep(0.2)
        """,
        # Listeners: of a thread, and one that nobody runs any more.
        """
        db = SyncDatabase(URL, 1, 1).connect()
        threading.Thread(target=list, args=(db.listen("jobs"),), daemon=True).start()
        notes = db.listen("jobs").__enter__()
        notes.itself = notes
        time.sleep(0.2)
        """,
        # Threads that wait for a connection.
        """
        db = SyncDatabase(URL, 1, 1).connect()
        for _ in range(5):
            threading.Thread(target=db.query, args=("SELECT pg_sleep(30)",), daemon=True).start()
        time.sleep(0.2)
        """,
        # A loop that is left with a listener that waits.
        """
        db = Database(URL, 1, 1)
        async def main():
            await db.connect()
            task = asyncio.ensure_future(anext(db.listen("jobs")))
            await asyncio.sleep(0.2)
            return task
        loop = asyncio.new_event_loop()
        task = loop.run_until_complete(main())
        """,
        # A loop that is left with calls under way, and their connections lingering.
        """
        db = Database(URL, 2, 3)
        async def main():
            await db.connect()
            for _ in range(8):
                tasks.append(asyncio.create_task(db.query("SELECT pg_sleep(30)")))
            await asyncio.sleep(0.2)
        tasks = []
        asyncio.run(main())
        """,
        # A loop that is forgotten: the interpreter throws its tasks away at the very end.
        """
        db = Database(URL, 1, 1)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(db.connect())
        call = db.query("SELECT pg_sleep(30)")
        task = loop.create_task(call)
        loop.run_until_complete(asyncio.sleep(0.2))
        task._log_destroy_pending = False
        sys.modules["kept_to_the_end"] = call
        """,
        # A transaction block that is never left.
        """
        db = SyncDatabase(URL, 1, 1, leak_timeout=0.05).connect()
        block = db.transaction()
        block.__enter__()
        db.query("SELECT 1")
        """,
        # A connection that lingers.
        """
        db = SyncDatabase(URL, 1, 1).connect()
        slot = db._acquire(None)
        slot.submit("SELECT pg_sleep(30)")
        db._pool.discard(slot)
        """,
    ],
    ids=["running", "listening", "waiting", "loop that listens", "loop", "forgotten", "block", "lingering"],
)
def test_the_interpreter_ends_with_work_under_way(url: str, work: str) -> None:
    run(url, work)
