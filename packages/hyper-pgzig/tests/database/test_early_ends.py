"""Calls that end before their reply: cancelled, thrown away, closed by another thread, led astray.

The connection is clean again or closed, its place in the pool is free, and a cancellation stays one.
"""

import asyncio
import contextvars
import inspect
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from types import FrameType
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import Database, InterfaceError, OperationalError, SyncDatabase
from hyperdjango.database._introspection import LEVELS_MAX, introspect
from pgkit import SIMPLE_SELECT, Answer, Conversation, ScriptedBackend, messages, serve, startup
from pgkit.face import Face
from pgkit.until import until

SQL: Final = "SELECT n"
RUNNING: Final = "SELECT FROM pg_stat_activity WHERE query = %s AND state = 'active'"
ROWS: Final = [{"n": 1}, {"n": 2}]


def _silent(flight: list[bytes]) -> list[bytes]:
    """Describe, but never answer Execute."""
    return [] if any(part[:1] == b"D" for part in flight) else flight


def test_a_cancel_during_the_clean_up_after_a_timeout_is_a_cancel() -> None:
    def hold(talk: Conversation) -> None:
        talk.receive()
        time.sleep(0.5)  # the CancelRequest is not answered

    async def main(url: str) -> None:
        database = await Database(url, 1, 1).connect()
        task = asyncio.ensure_future(database.query(SQL, timeout=0.1))
        await asyncio.sleep(0.2)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert database.pool_stats()["idle"] == 0
        await database.disconnect()  # waits until the backend is gone, or given up
        assert database.pool_stats()["total"] == 0

    script = [*startup(), serve({SQL: SIMPLE_SELECT}, alter=_silent)]
    with ScriptedBackend(script, [hold], startup(), frontend_may_leave=True) as backend:
        asyncio.run(main(backend.url()))


def test_a_result_that_is_here_already_is_read_to_its_end_after_a_cancel() -> None:
    """The socket says nothing of what waits in the buffer."""
    answers = {
        SQL: Answer(SIMPLE_SELECT.columns, [[b"\0\0\0\x01"]] * 400),
        "": Answer(instead=[messages.empty_query_response()]),
    }

    def slow(n: int) -> int:
        time.sleep(0.001)
        return n

    async def main(url: str) -> None:
        database = await Database(url, 1, 1).connect()
        await database.query(SQL)
        task = asyncio.ensure_future(database.query(SQL, into=slow))
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert database.pool_stats()["idle"] == 1
        assert len(await database.query(SQL)) == 400
        await database.disconnect()

    with ScriptedBackend([*startup(), serve(answers)], startup()) as backend:
        asyncio.run(main(backend.url()))
        assert len(backend.conversations) == 2  # the second one is the CancelRequest's


def test_a_callback_that_cancels_its_own_task_is_no_error_of_the_loop() -> None:
    complaints: list[dict[str, Any]] = []

    async def main(url: str) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        database = await Database(url, 1, 1).connect()

        async def call() -> object:
            me = asyncio.current_task()
            assert me is not None

            def into(n: int) -> int:
                me.cancel()
                return n

            return await database.query(SQL, into=into)

        # Two, so that the reply is not waited for inside the call.
        outcomes = await asyncio.gather(call(), asyncio.sleep(0.1), return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert await database.query(SQL) == ROWS
        await database.disconnect()

    with ScriptedBackend([*startup(), serve({SQL: SIMPLE_SELECT})]) as backend:
        asyncio.run(main(backend.url()))
    assert complaints == []


def test_a_coroutine_that_is_thrown_away_gives_its_place_back() -> None:
    async def main(url: str) -> None:
        database = await Database(url, 1, 1).connect()
        coroutine = database.query(SQL)
        coroutine.send(None)  # it waits for the reply now
        coroutine.close()
        assert database.pool_stats()["idle"] == 0
        await database.disconnect()
        assert database.pool_stats()["total"] == 0

    script = [*startup(), serve({SQL: SIMPLE_SELECT}, alter=_silent)]
    with ScriptedBackend(script, startup(), frontend_may_leave=True) as backend:
        asyncio.run(main(backend.url()))
        assert len(backend.conversations) == 2  # the second one is the CancelRequest's, from a thread


def test_a_block_left_while_another_thread_waits_in_it_closes_the_connection() -> None:
    outcomes: list[BaseException] = []
    script = [*startup(), serve({SQL: SIMPLE_SELECT}, alter=_silent)]
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        database = SyncDatabase(backend.url(), 1, 1).connect()

        def use() -> None:
            try:
                database.query(SQL)
            except OperationalError as error:
                outcomes.append(error)

        with pytest.raises(KeyError), database.transaction():  # noqa: PT012
            thread = threading.Thread(target=contextvars.copy_context().run, args=(use,))
            thread.start()
            time.sleep(0.2)
            raise KeyError
        thread.join(2)
        assert len(outcomes) == 1
        until(lambda: database.pool_stats()["total"] == 0)  # its place counts until its backend has ended
        database.disconnect()


def test_types_that_lead_to_ever_new_types_end() -> None:
    class Unknown:
        def knows(self, _: int) -> bool:
            return False

        def add_alias(self, *_: object) -> None: ...

    steps = introspect([20000], Unknown(), 180000)  # type: ignore[arg-type]
    _, (oids,) = next(steps)
    with pytest.raises(InterfaceError, match="do not explain"):  # noqa: PT012
        for _ in range(LEVELS_MAX + 1):
            assert isinstance(oids, list)
            rows = [
                (oid, "public", "d", "d", "U", 0, ",", oid + 1, True, None, None, None, None, None)
                for oid in oids
            ]
            _, (oids,) = steps.send(rows)


TALKER: Final = """
import socket
from pgkit import messages
from pgkit.steps import PARAMETERS

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sock, _ = listener.accept()
sock.recv(65536)
statuses = b"".join(messages.parameter_status(*pair) for pair in PARAMETERS.items())
sock.sendall(messages.authentication_ok() + statuses + messages.backend_key_data())
sock.sendall(messages.ready_for_query())
more = messages.parameter_status("application_name", "x") * 20_000
try:
    while True:
        sock.sendall(more)
except OSError:
    pass
"""


@pytest.fixture
def talker() -> Iterator[int]:
    """The port of a backend in a process of its own, which never stops talking."""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", TALKER], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def test_a_backend_that_never_stops_talking_is_not_handed_out(talker: int) -> None:
    async def main() -> None:
        database = await Database(f"postgres://u@127.0.0.1:{talker}/d?sslmode=disable", 1, 1).connect()
        await asyncio.sleep(0.2)  # the kernel's buffers are full
        since = time.monotonic()
        assert database._pool.take_idle() is None  # pyright: ignore[reportPrivateUsage]
        assert time.monotonic() - since < 0.5
        await database.disconnect()

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_cancel_of_disconnect_that_comes_with_the_last_connection_is_a_cancel() -> None:
    async def main(url: str) -> None:
        database = await Database(url, 1, 1).connect()
        slot = database._pool.take_idle()  # pyright: ignore[reportPrivateUsage]
        assert slot is not None
        task = asyncio.ensure_future(database.disconnect())
        await asyncio.sleep(0.01)
        database._pool.give_back(slot)  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0)  # the event is set now, the task not yet woken
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with ScriptedBackend([*startup(), serve({SQL: SIMPLE_SELECT})]) as backend:
        asyncio.run(main(backend.url()))


@pytest.mark.parametrize("is_block", [False, True])
def test_a_callback_that_raises_ends_its_call_and_the_statement(face: Face, url: str, is_block: bool) -> None:
    """Its text is quick, so that the reply is waited for at once; the notice comes before its end."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION tell(n int) RETURNS int LANGUAGE plpgsql AS $$begin"
            " if n > 0 then raise notice 'told'; perform pg_sleep(1); end if; return n; end$$"
        )
        sql = "SELECT tell($1::int)"

        def on_notice(_: dict[str, str]) -> None:
            raise ZeroDivisionError

        for _ in range(3):
            for _ in range(20):
                face.query_val(sql, 0)
            for slot in face._pool.slots():
                slot.connection.on_notice = on_notice
            with pytest.raises(ZeroDivisionError), face.transaction() if is_block else nullcontext():
                face.query_val(sql, 1, timeout=20)
            assert face.pool_stats()["busy"] == 0
            until(lambda: other.execute(RUNNING, [sql]).rowcount == 0)
            assert face.query_val(sql, 0) == 0


async def test_a_signal_handler_that_raises_while_a_reply_is_looked_for_ends_its_call(url: str) -> None:
    """The handler is told which line is being run, and raises in the one that looks for the reply alone."""
    delays = itertools.cycle(0.0001 * n for n in range(1, 20))
    lines, first = inspect.getsourcelines(Database._complete)
    looking = first + next(n for n, line in enumerate(lines) if "connection.look()" in line)
    hits = 0

    def handler(_: int, frame: FrameType | None) -> None:
        nonlocal hits
        if frame is not None and (frame.f_code, frame.f_lineno) == (Database._complete.__code__, looking):
            hits += 1
            raise ZeroDivisionError

    sql = "SELECT 1 FROM pg_sleep($1::float8)"
    before = signal.signal(signal.SIGALRM, handler)
    try:
        async with Database(url, 1, 1) as db, asyncio.timeout(60):
            while hits < 3:
                for _ in range(10):
                    await db.query_val(sql, 0.0)
                seen = hits
                signal.setitimer(signal.ITIMER_REAL, next(delays))
                try:
                    await db.query_val(sql, 0.003)
                except ZeroDivisionError:
                    seen += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
                assert hits == seen
                assert db.pool_stats()["busy"] == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
