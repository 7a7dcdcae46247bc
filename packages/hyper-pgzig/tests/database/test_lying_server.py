"""A server, or somebody in between, that answers what was not asked, and cancel requests that come late.

The caller gets its own answer or an error, and the next borrower a connection that owes nothing. The faults
of single messages are in test_protocol_faults. PostgreSQL docs: protocol-flow, "Canceling Requests in
Progress".
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    AcquireTimeout,
    Database,
    InFailedSqlTransaction,
    InterfaceError,
    OperationalError,
    ProtocolError,
    QueryTimeout,
)
from pgkit import (
    SIMPLE_SELECT,
    Answer,
    Column,
    Proxy,
    ScriptedBackend,
    Step,
    messages,
    serve,
    startup,
)
from pgkit.face import Face, OpenFace
from pgkit.messages import name_of

SQL: Final = "SELECT n"
ROWS: Final = [(1,), (2,)]
OTHER: Final = "SELECT a, b"
ANSWERS: Final = {
    SQL: SIMPLE_SELECT,
    OTHER: Answer([Column("a", 23, 4), Column("b", 25)], [[b"\0\0\0\x07", b"x"]]),
    "UPDATE t": Answer(tag="UPDATE 5"),
}
Alter = Callable[[list[bytes]], Iterable[bytes]]


class Once:
    """Spoils the first flight that has this message in it, of all connections together.

    Attributes:
        is_armed: From now on.
        goes_on: All flights after it too, until it is disarmed.
    """

    def __init__(self, marker: bytes, alter: Alter) -> None:
        self._marker = marker
        self._alter = alter
        self.is_armed = False
        self.is_used = False
        self.goes_on = False

    def __call__(self, flight: list[bytes]) -> Iterable[bytes]:
        if not self.is_armed:
            return flight
        if (self.is_used and self.goes_on) or (not self.is_used and self._marker in flight):
            self.is_used = True
            return self._alter(flight)
        return flight


class Liar:
    """A scripted backend that lies once, and a pool of one connection to it."""

    def __init__(self, open_face: OpenFace, marker: bytes, alter: Alter) -> None:
        self.once = Once(marker, alter)
        script: Sequence[Step] = [*startup(), serve(ANSWERS, alter=self.once)]
        self.backend = ScriptedBackend(script, script, script, script, frontend_may_leave=True)
        self.backend.__enter__()
        self.face: Face = open_face(self.backend.url(sslmode="disable"), min_size=0)
        for sql in ANSWERS:
            self.face.query(sql)
        self.once.is_armed = True

    def must_be_honest_again(self) -> None:
        """Check that what follows is answered right, whatever the lie has led to."""
        assert self.once.is_used, "the lie was not told"
        self.once.is_armed = False
        for _ in range(3):
            assert self.face.query(SQL, into=tuple) == ROWS
            assert self.face.query(OTHER, into=tuple) == [(7, "x")]
            assert self.face.execute("UPDATE t") == "UPDATE 5"
            with self.face.transaction():
                assert self.face.query(SQL, into=tuple) == ROWS
        assert self.face.pool_stats()["busy"] == 0


def block(face: Face) -> None:
    with face.transaction():
        face.execute("UPDATE t")


Lie = Callable[[bytes, Alter], Liar]


@pytest.fixture
def lie(open_face: OpenFace) -> Iterator[Lie]:
    made: list[Liar] = []

    def make(marker: bytes, alter: Alter) -> Liar:
        made.append(Liar(open_face, marker, alter))
        return made[-1]

    yield make
    for liar in made:
        liar.face.disconnect()
        liar.backend.__exit__(None, None, None)


SELECTED: Final = messages.command_complete("SELECT 2")
UPDATED: Final = messages.command_complete("UPDATE 5")
COMMITTED: Final = messages.command_complete("COMMIT")
BEGUN: Final = messages.command_complete("BEGIN")
READY: Final = messages.ready_for_query()
READY_IN_BLOCK: Final = messages.ready_for_query("T")
OTHERS_REPLY: Final = [
    messages.bind_complete(),
    messages.data_row([b"\0\0\0\x07", b"x"]),
    messages.command_complete("SELECT 1"),
    READY,
]


def test_the_reply_to_another_statement_is_refused(lie: Lie) -> None:
    liar = lie(SELECTED, lambda _: OTHERS_REPLY)
    with pytest.raises(ProtocolError):
        liar.face.query(SQL)
    liar.must_be_honest_again()


@pytest.mark.parametrize("method", ["query", "query_one", "query_val", "execute"])
def test_rows_for_a_statement_without_rows_are_refused(lie: Lie, method: str) -> None:
    liar = lie(UPDATED, lambda _: OTHERS_REPLY)
    with pytest.raises(ProtocolError):
        getattr(liar.face, method)("UPDATE t")
    liar.must_be_honest_again()


@pytest.mark.parametrize("sql", [SQL, "UPDATE t"])
def test_a_reply_that_comes_twice_is_nobody_elses(lie: Lie, sql: str) -> None:
    liar = lie(SELECTED if sql == SQL else UPDATED, lambda flight: [*flight, *flight])
    try:
        found = liar.face.query(sql, into=tuple)
    except ProtocolError:
        pass
    else:
        assert found == (ROWS if sql == SQL else [])
    liar.must_be_honest_again()


def test_a_reply_that_comes_once_more_while_nobody_waits_is_nobody_elses(open_face: OpenFace) -> None:
    flights: list[list[bytes]] = []

    def record(flight: list[bytes]) -> list[bytes]:
        flights.append(flight)
        return flight

    script: Sequence[Step] = [*startup(), serve(ANSWERS, alter=record)]
    with ScriptedBackend(script, script, frontend_may_leave=True) as backend:
        face: Face = open_face(backend.url(sslmode="disable"), min_size=0)
        for _ in range(2):
            assert face.query(SQL, into=tuple) == ROWS
        backend.conversations[0].send(b"".join(flights[-1]))
        time.sleep(0.05)
        assert face.query(OTHER, into=tuple) == [(7, "x")]
        assert len(backend.conversations) == 2
        face.disconnect()


@pytest.mark.parametrize(
    ("marker", "run"),
    [
        (SELECTED, lambda face: face.query(SQL)),
        (UPDATED, lambda face: face.execute("UPDATE t")),
        (BEGUN, block),
        (COMMITTED, block),
    ],
    ids=["SELECT", "UPDATE", "BEGIN", "COMMIT"],
)
@pytest.mark.parametrize("second", [READY, READY_IN_BLOCK], ids=["idle", "in a block"])
def test_ready_for_query_that_comes_twice_is_noticed(
    lie: Lie, marker: bytes, run: Callable[[Face], Any], second: bytes
) -> None:
    liar = lie(marker, lambda flight: [*flight, second])
    with contextlib.suppress(OperationalError):
        run(liar.face)
    liar.must_be_honest_again()


@pytest.mark.parametrize(
    ("marker", "run"),
    [
        (SELECTED, lambda face: face.query(SQL)),
        (UPDATED, lambda face: face.execute("UPDATE t")),
        (BEGUN, block),
        (COMMITTED, block),
    ],
    ids=["SELECT", "UPDATE", "BEGIN", "COMMIT"],
)
def test_a_missing_command_complete_is_refused(lie: Lie, marker: bytes, run: Callable[[Face], Any]) -> None:
    def without(flight: list[bytes]) -> list[bytes]:
        return [reply for reply in flight if reply != marker]

    liar = lie(marker, without)
    with pytest.raises(ProtocolError):
        run(liar.face)
    liar.must_be_honest_again()


@pytest.mark.parametrize("status", ["T", "E"])
def test_a_connection_that_is_in_a_transaction_after_commit_is_not_handed_on_like_that(
    lie: Lie, status: str
) -> None:
    def stay(flight: list[bytes]) -> list[bytes]:
        return [*flight[:-1], messages.ready_for_query(status)]

    liar = lie(COMMITTED, stay)
    with contextlib.suppress(OperationalError, InterfaceError, InFailedSqlTransaction):
        block(liar.face)
    liar.must_be_honest_again()


def with_tag(tag: str) -> Alter:
    """Put another command tag in place of that of COMMIT."""
    instead = messages.command_complete(tag)
    return lambda flight: [instead if reply == COMMITTED else reply for reply in flight]


def test_a_commit_that_is_answered_by_rollback_raises(lie: Lie) -> None:
    liar = lie(COMMITTED, with_tag("ROLLBACK"))
    with pytest.raises(InFailedSqlTransaction, match="not committed"):
        block(liar.face)
    liar.must_be_honest_again()


@pytest.mark.parametrize("tag", ["COMMIT 1", "SET", ""])
def test_a_commit_that_is_answered_by_another_tag_raises(lie: Lie, tag: str) -> None:
    liar = lie(COMMITTED, with_tag(tag))
    with pytest.raises((InFailedSqlTransaction, ProtocolError)):
        block(liar.face)
    liar.must_be_honest_again()


def test_a_begin_that_begins_nothing_is_noticed_before_the_commit(lie: Lie) -> None:
    """Else each statement would have been a transaction of its own, and nobody told."""

    def idle(flight: list[bytes]) -> list[bytes]:
        return [READY if name_of(reply) == "ReadyForQuery" else reply for reply in flight]

    liar = lie(BEGUN, idle)
    liar.once.goes_on = True
    with pytest.raises((InterfaceError, OperationalError)):
        block(liar.face)
    liar.must_be_honest_again()


# Cancel requests


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with Proxy.before(url) as proxy:
        yield proxy


def let_the_time_pass(face: Face, *, in_block: bool = False) -> None:
    """Make a call whose time is over just before its statement ends; a busy machine may have the answer first."""
    for _ in range(20):
        try:
            with face.transaction() if in_block else contextlib.nullcontext():
                face.query_val("SELECT 1 FROM pg_sleep(0.12)", timeout=0.1)
        except QueryTimeout:
            return
    pytest.fail("the answer was always there in time")


def test_a_cancel_request_that_comes_late_hits_no_other_statement(
    open_face: OpenFace, url: str, proxy: Proxy
) -> None:
    """The statement ends by itself just after its time is over, while the request is on its way."""
    face = open_face(proxy.url(url), min_size=0)
    for delay in (0.0, 0.05, 0.15, 0.25):
        proxy.cancel_delay = delay
        for _ in range(2):
            assert face.query_val("SELECT 0") == 0  # opens a connection, where the last was closed
            let_the_time_pass(face)
            # Were the request still to come, it would come in here.
            assert face.query_val("SELECT 2 FROM pg_sleep($1)", delay + 0.05) == 2
        assert face.pool_stats()["busy"] == 0


def test_a_cancel_request_that_comes_late_hits_no_other_statement_of_a_block(
    open_face: OpenFace, url: str, proxy: Proxy
) -> None:
    face = open_face(proxy.url(url), min_size=0)
    proxy.cancel_delay = 0.1
    with face.transaction():
        let_the_time_pass(face, in_block=True)
        assert face.query_val("SELECT 2 FROM pg_sleep(0.2)") == 2
    assert face.query_val("SELECT 3") == 3


async def test_late_cancel_requests_among_many_tasks_hit_nobody(url: str, proxy: Proxy) -> None:
    async with Database(proxy.url(url), 2, 2) as db:
        proxy.cancel_delay = 0.05
        ends: list[type[BaseException]] = []

        async def call(n: int) -> None:
            if n % 3:
                assert await db.query_val("SELECT $1::int8 FROM pg_sleep(0.01)", n) == n
                return
            # The later ones may find their time over while they still wait for a connection.
            with pytest.raises((QueryTimeout, AcquireTimeout)) as caught:
                await db.query_val("SELECT $1::int8 FROM pg_sleep(0.3)", n, timeout=0.1 + n * 0.02)
            ends.append(caught.type)

        async with asyncio.timeout(30):
            await asyncio.gather(*(call(n) for n in range(30)), return_exceptions=False)
        assert QueryTimeout in ends


def test_a_cancel_request_that_is_dropped_costs_no_more_than_the_deadline(
    open_face: OpenFace, url: str, proxy: Proxy
) -> None:
    face = open_face(proxy.url(url), min_size=0)
    pid = face.query_val("SELECT pg_backend_pid()")
    proxy.drop_cancel_requests = True
    began = time.monotonic()
    with pytest.raises(QueryTimeout):
        face.query_val("SELECT 1 FROM pg_sleep(30)", timeout=0.3)
    assert time.monotonic() - began < 1.5
    # The pool may have asked once more by now: it waits for that backend's end.
    assert proxy.cancel_requests_dropped in {1, 2}
    # Nobody knows what that connection is doing: it was replaced.
    assert face.query_val("SELECT pg_backend_pid()", timeout=10) != pid
    with psycopg.connect(url, autocommit=True) as control:
        control.execute("SELECT pg_terminate_backend(%s)", [pid])


def test_a_cancel_request_that_nobody_takes_costs_no_more_than_the_deadline(
    open_face: OpenFace, url: str, proxy: Proxy
) -> None:
    """Its connection is refused."""
    face = open_face(proxy.url(url), min_size=0)
    pid = face.query_val("SELECT pg_backend_pid()")
    proxy.refuse = True
    began = time.monotonic()
    with pytest.raises(QueryTimeout):
        face.query_val("SELECT 1 FROM pg_sleep(30)", timeout=0.3)
    assert time.monotonic() - began < 1.5
    proxy.refuse = False
    assert face.query_val("SELECT pg_backend_pid()", timeout=10) != pid
    with psycopg.connect(url, autocommit=True) as control:
        control.execute("SELECT pg_terminate_backend(%s)", [pid])
