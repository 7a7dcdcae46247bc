"""A server that dies: one backend, or all of it in the middle of traffic, and comes back.

Errors are OperationalErrors, with the SQLSTATE where the server sent one; nothing hangs, and the next calls
succeed without anything that the user has to do. PostgreSQL docs: server-shutdown; functions-admin.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    AdminShutdown,
    Database,
    Error,
    InFailedSqlTransaction,
    OperationalError,
    OutcomeUnknown,
    SyncDatabase,
)
from hyperdjango.database._embedded_server import EmbeddedServer, StopMode
from pgkit import Answer, ScriptedBackend, messages, serve, startup
from pgkit.face import Face, OpenFace
from postgres_servers import StartServer

PID: Final = "SELECT pg_backend_pid()"
INSERT: Final = "INSERT INTO written VALUES ($1)"
TASKS: Final = 8
RECOVER_SECONDS_MAX: Final = 60.0


@pytest.fixture
def face(open_face: OpenFace, url: str) -> Face:
    """A pool of one connection; with no min_size nobody but the test opens it."""
    return open_face(url, min_size=0)


def terminate(url: str, pid: int, wait_ms: int = 5000) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, %s)", [pid, wait_ms])


def soon(action: Callable[[], None]) -> threading.Thread:
    """Do it while the caller waits for a reply."""
    thread = threading.Timer(0.2, action)
    thread.start()
    return thread


@pytest.mark.parametrize("sql", ["SELECT pg_sleep(20)", "INSERT INTO written SELECT 1 FROM pg_sleep(20)"])
@pytest.mark.parametrize("method", ["query", "execute"])
def test_a_backend_that_is_terminated_in_a_statement_says_why(
    face: Face, url: str, method: str, sql: str
) -> None:
    face.execute("CREATE TABLE written (tag int8)")
    pid = face.query_val(PID)
    killer = soon(lambda: terminate(url, pid))
    with pytest.raises(AdminShutdown) as caught:
        getattr(face, method)(sql)
    killer.join()
    assert (caught.value.sqlstate, caught.value.severity) == ("57P01", "FATAL")
    assert face.pool_stats()["busy"] == 0
    assert face.query_val(PID) != pid
    assert face.query_val("SELECT count(*) FROM written") == 0


def test_a_backend_that_is_terminated_in_a_block_says_why(face: Face, url: str) -> None:
    face.execute("CREATE TABLE written (tag int8)")
    with pytest.raises(AdminShutdown), face.transaction():  # noqa: PT012 - it is the whole block
        face.execute(INSERT, 1)
        terminate(url, face.query_val(PID))
        face.execute(INSERT, 2)
    assert face.query_val("SELECT count(*) FROM written") == 0


def test_a_backend_that_is_terminated_before_the_commit_says_that_nothing_was_committed(
    face: Face, url: str
) -> None:
    face.execute("CREATE TABLE written (tag int8)")
    with pytest.raises(OperationalError) as caught, face.transaction():  # noqa: PT012 - it is the whole block
        face.execute(INSERT, 1)
        terminate(url, face.query_val(PID))
    assert isinstance(caught.value, AdminShutdown)
    assert face.query_val("SELECT count(*) FROM written") == 0


def test_a_loss_that_was_swallowed_inside_a_block_comes_back_at_its_end(face: Face, url: str) -> None:
    with pytest.raises(InFailedSqlTransaction, match="nothing was committed"), face.transaction():  # noqa: PT012
        terminate(url, face.query_val(PID))
        with pytest.raises(AdminShutdown):
            face.query_val("SELECT 1")
    assert face.query_val("SELECT 1") == 1


def test_connections_that_die_while_idle_fail_no_call(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 3, 3)
    with psycopg.connect(url, autocommit=True) as other:
        for n in range(10):
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert face.query_val("SELECT $1::int", n) == n


def test_last_words_where_the_answer_to_a_commit_belongs_leave_it_open(open_face: OpenFace) -> None:
    """The backend looks for what ends it between the commit and its answer, too."""
    fatal = messages.error_response("57P01", "terminating connection", severity="FATAL")
    answers = {sql: Answer(tag="INSERT 0 1") for sql in ("INSERT INTO alone", "INSERT INTO block")}

    def alter(flight: list[bytes]) -> Iterable[bytes]:
        for at, each in enumerate(flight):
            if each == messages.command_complete("COMMIT"):
                return [*flight[:at], fatal]
            if each == messages.command_complete("INSERT 0 1") and flight[-1] == messages.ready_for_query():
                return [*flight[:-1], fatal]
        return flight

    script = [*startup(), serve(answers, alter=alter)]
    with ScriptedBackend(script, script, frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), min_size=0)
        with pytest.raises(OutcomeUnknown) as caught:
            face.execute("INSERT INTO alone")
        assert isinstance(caught.value.__cause__, AdminShutdown)
        with pytest.raises(OutcomeUnknown) as caught, face.transaction():
            face.execute("INSERT INTO block")
        assert isinstance(caught.value.__cause__, AdminShutdown)
        face.disconnect()


# All of it


@pytest.fixture(scope="module")
def own_server(start_server: StartServer) -> EmbeddedServer:
    # What was reported as committed must be there after an immediate shutdown too.
    return start_server(settings={"synchronous_commit": "on"})


class Traffic:
    """What callers that write number after number were told, and whether it is true."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.done: set[int] = set()
        self.unknown: set[int] = set()
        self.failed: set[int] = set()
        self.errors: Counter[tuple[str, str | None]] = Counter()
        self.unexpected: list[BaseException] = []
        self.is_over = threading.Event()
        with psycopg.connect(server.url, autocommit=True) as control:
            control.execute("DROP TABLE IF EXISTS written")
            control.execute("CREATE TABLE written (tag int8)")

    def tell(self, tag: int, error: BaseException | None) -> None:
        """Take down how one write ended."""
        if error is None:
            self.done.add(tag)
        elif isinstance(error, OutcomeUnknown):
            self.unknown.add(tag)
        elif isinstance(error, OperationalError):
            self.failed.add(tag)
        else:
            self.unexpected.append(error)
        if isinstance(error, Error):
            self.errors[type(error).__name__, getattr(error, "sqlstate", None)] += 1

    def restart(self, mode: StopMode) -> None:
        """Stop the server in the middle of it, and start it again."""
        time.sleep(0.3)
        self.server.stop(mode)
        time.sleep(0.2)
        self.server.start()
        time.sleep(0.5)
        self.is_over.set()

    def check(self) -> None:
        """Compare with what is there."""
        assert self.unexpected == []
        with psycopg.connect(self.server.url) as control:
            found = Counter(tag for (tag,) in control.execute("SELECT tag FROM written").fetchall())
        assert [tag for tag, times in found.items() if times > 1] == []
        assert self.done - found.keys() == set(), "reported as done"
        assert self.failed & found.keys() == set(), "failed, and was done"
        assert found.keys() <= self.done | self.unknown
        assert self.done
        assert self.errors


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_eight_tasks_survive_a_restart_of_the_server(
    own_server: EmbeddedServer, mode: StopMode
) -> None:
    traffic = Traffic(own_server)

    async def work(db: Database, task: int) -> None:
        tag = task * 1_000_000
        after = 0
        while not traffic.is_over.is_set() or after < 3:
            tag += 1
            error: BaseException | None = None
            try:
                if tag % 2:
                    await db.execute(INSERT, tag)
                else:
                    async with db.transaction():
                        await db.execute(INSERT, tag)
            except Exception as caught:
                error = caught
                await asyncio.sleep(0.01)
            traffic.tell(tag, error)
            after = after + 1 if error is None and traffic.is_over.is_set() else 0

    async with Database(own_server.url, 0, 4) as db:
        restarting = asyncio.ensure_future(asyncio.to_thread(traffic.restart, mode))
        async with asyncio.timeout(RECOVER_SECONDS_MAX):
            await asyncio.gather(*(work(db, task) for task in range(TASKS)))
        await restarting
        stats = db.pool_stats()
        assert (stats["busy"], stats["waiting"]) == (0, 0)
    traffic.check()


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_eight_threads_survive_a_restart_of_the_server(own_server: EmbeddedServer, mode: StopMode) -> None:
    traffic = Traffic(own_server)

    def work(db: SyncDatabase, thread: int) -> None:
        tag = thread * 1_000_000
        after = 0
        until = time.monotonic() + RECOVER_SECONDS_MAX
        while (not traffic.is_over.is_set() or after < 3) and time.monotonic() < until:
            tag += 1
            error: BaseException | None = None
            try:
                if tag % 2:
                    db.execute(INSERT, tag)
                else:
                    with db.transaction():
                        db.execute(INSERT, tag)
            except Exception as caught:
                error = caught
                time.sleep(0.01)
            traffic.tell(tag, error)
            after = after + 1 if error is None and traffic.is_over.is_set() else 0
        if after < 3:
            traffic.unexpected.append(AssertionError("no call succeeds any more"))

    with SyncDatabase(own_server.url, 0, 4) as db:
        threads: list[Any] = [threading.Thread(target=work, args=(db, n)) for n in range(TASKS)]
        for thread in threads:
            thread.start()
        traffic.restart(mode)
        for thread in threads:
            thread.join(RECOVER_SECONDS_MAX)
            assert not thread.is_alive()
        stats = db.pool_stats()
        assert (stats["busy"], stats["waiting"]) == (0, 0)
    traffic.check()


def test_while_the_server_is_down_calls_say_so_and_afterwards_they_succeed(
    own_server: EmbeddedServer, open_face: OpenFace
) -> None:
    face = open_face(own_server.url, 0, 2)
    assert face.query_val("SELECT 1") == 1
    own_server.stop("immediate")
    try:
        for _ in range(3):
            with pytest.raises(OperationalError, match="Connection refused"):
                face.query_val("SELECT 1")
        assert face.pool_stats()["busy"] == 0
    finally:
        own_server.start()
    assert face.query_val("SELECT 1") == 1
    with face.transaction():
        assert face.query_val("SELECT 2") == 2
