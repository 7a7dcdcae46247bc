"""Two-phase commit over two servers: whoever dies, and whenever, both end the same way."""
# ruff: noqa: PT012 - it is the whole block that raises

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest
from cancel_points import MOMENTS, Cancel, Moment, Point, cancel_everywhere
from database_pairs import Pair, drop_tables, make_tables, opened
from hyperdjango.database import (
    ConnectionLost,
    Database,
    DatabaseError,
    FeatureNotSupported,
    InFailedSqlTransaction,
    InterfaceError,
    OutcomeUnknown,
    QueryEvent,
    QueryTimeout,
    UniqueViolation,
    _async_replies,
)
from hyperdjango.multi_db import ConnectionManager, _recovery, _two_phase
from hyperdjango.multi_db._atomic import AtomicBlock
from hyperdjango.multi_db._recovery import Recovered, recover
from hyperdjango.multi_db.across_errors import CapabilityMissing, PartialCommit
from hyperdjango.multi_db.engines import probe
from pgbouncer import PgBouncer
from postgres_servers import Server, StartServer

# Nobody waits for the standby but who sets `synchronous_commit`.
SETTINGS: Final = {
    "max_prepared_transactions": "10",
    "wal_level": "replica",
    "max_wal_senders": "1",
    "synchronous_standby_names": "nobody",
}
# PREPARE a, PREPARE b, COMMIT PREPARED a, COMMIT PREPARED b.
STEPS: Final = 4


@pytest.fixture(scope="module")
def urls(start_server: StartServer) -> dict[str, str]:
    """Databases of two servers that take prepared transactions."""
    kinds: dict[str, Any] = {"a": "embedded", "b": "system"}
    return {alias: start_server(kind, settings=SETTINGS).url for alias, kind in kinds.items()}


@pytest.fixture
def tables(urls: dict[str, str]) -> Iterator[dict[str, str]]:
    make_tables(urls)
    yield urls
    drop_tables(urls)


@pytest.fixture
async def pair(tables: dict[str, str]) -> AsyncIterator[Pair]:
    async with opened(tables) as pair:
        yield pair


class Crash(BaseException):
    """The process is gone: nothing more is sent."""


class Crasher:
    """Lets so many commands of two-phase commits through, and kills all connections at the next.

    Attributes:
        sent: The commands.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pair: Pair, step: int, *, is_after: bool) -> None:
        self.pair = pair
        self.sent: list[str] = []
        self._left = step
        self._is_after = is_after
        run_owed, run = _async_replies.run_owed, _two_phase.send

        async def owed(slot: Any, *rest: Any) -> str:
            return str(await self._pass(lambda: run_owed(slot, *rest), slot))

        async def plain(slot: Any, sql: str) -> None:
            await self._pass(lambda: run(slot, sql), slot)

        monkeypatch.setattr(_async_replies, "run_owed", owed)
        monkeypatch.setattr(_two_phase, "send", plain)

    async def _pass(self, send: Callable[[], Any], slot: Any) -> Any:
        if self._left < 0:
            raise Crash
        self._left -= 1
        if self._left < 0 and not self._is_after:
            slot.close()
            raise Crash
        result = await send()
        if self._left < 0:
            slot.close()
            raise Crash
        return result


async def write(pair: Pair, value: int = 1) -> None:
    async with pair.atomic(two_phase=True):
        await pair.insert(value)


async def test_both_take_effect_and_nothing_stays_prepared(pair: Pair) -> None:
    await write(pair)
    assert pair.both == ([1], [1])
    assert pair.prepared() == []
    assert pair.is_whole()


async def test_the_connections_are_as_good_as_new(pair: Pair) -> None:
    for value in range(3):
        await write(pair, value)
    assert pair.both == ([0, 1, 2], [0, 1, 2])
    for alias in ("a", "b"):
        assert pair[alias].pool_stats()["opened"] == 1


async def test_commands_go_out_in_order(pair: Pair) -> None:
    events: list[tuple[str | None, str]] = []

    def note(event: QueryEvent) -> None:
        if event.call == "transaction":
            events.append((event.route.alias, event.sql))

    for alias in ("a", "b"):
        pair[alias].on_query(note)
    await write(pair)
    assert events[2:] == [
        ("a", "PREPARE TRANSACTION"),
        ("b", "PREPARE TRANSACTION"),
        ("a", "COMMIT PREPARED"),
        ("b", "COMMIT PREPARED"),
    ]


async def test_an_exception_rolls_both_back_before_anything_is_prepared(pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pair.atomic(two_phase=True):
            await pair.insert(1)
            raise ZeroDivisionError
    assert pair.both == ([], [])
    assert pair.prepared() == []


@pytest.mark.parametrize("failing", ["a", "b"])
async def test_what_one_server_refuses_is_rolled_back_everywhere(pair: Pair, failing: str) -> None:
    """A constraint that is checked at the end is checked by PREPARE TRANSACTION."""
    await pair.insert(1, failing)
    with pytest.raises(UniqueViolation):
        await write(pair)
    assert [*pair.seen("a"), *pair.seen("b")] == [1]
    assert pair.prepared() == []
    assert pair.is_whole()


async def test_what_cannot_be_prepared_is_the_servers_error(pair: Pair) -> None:
    with pytest.raises(FeatureNotSupported, match="temporary"):
        async with pair.atomic(two_phase=True):
            await pair.insert(1)
            await pair["b"].execute("CREATE TEMPORARY TABLE gone (a int) ON COMMIT DROP")
    assert pair.both == ([], [])
    assert pair.prepared() == []


async def test_a_block_that_wrote_to_one_alone_is_committed_by_a_plain_commit(pair: Pair) -> None:
    async with pair.atomic(two_phase=True):
        await pair.insert(1, "b")
    async with pair.atomic(two_phase=True):
        pass
    assert pair.both == ([], [1])


async def test_a_first_alias_without_statements_is_not_the_first_of_the_group(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, embedded_server: Server
) -> None:
    """Else recovery would take its absence for a commit."""
    async with Database(embedded_server.superuser_url, 1) as idle:
        pair.databases["idle"] = idle
        monkeypatch.setattr(_two_phase, "identity_of", identity_of_any(_two_phase.identity_of))
        Crasher(monkeypatch, pair, 1, is_after=False)
        with pytest.raises(Crash):
            async with pair.atomic("idle", "a", "b", two_phase=True):
                await pair.insert(1)
        assert pair.prepared() == ["a"]
        monkeypatch.undo()
        del pair.databases["idle"]
        assert [one.action for one in await recover(pair.databases, 0)] == ["rolled back"]
    assert pair.both == ([], [])


def identity_of_any(original: Any) -> Any:
    async def identity_of(alias: str, database: Database) -> str:
        return "another" if alias == "idle" else str(await original(alias, database))

    return identity_of


async def test_a_failed_statement_that_was_caught_is_no_prepared_transaction(pair: Pair) -> None:
    with pytest.raises(InFailedSqlTransaction):
        async with pair.atomic(two_phase=True):
            await pair.insert(1)
            with pytest.raises(DatabaseError):
                await pair["b"].execute("INSERT INTO no_such_table VALUES (1)")
    assert pair.both == ([], [])
    assert pair.prepared() == []


async def test_callbacks_run_once_all_is_committed(pair: Pair) -> None:
    seen: list[Any] = []
    async with pair.atomic(two_phase=True):
        await pair.insert(1)
        pair["a"].on_commit(lambda: seen.append(pair.both))
    assert seen == [([1], [1])]


async def test_callbacks_of_what_is_prepared_only_do_not_run(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def work(pair: Pair) -> None:
        async with pair.atomic(two_phase=True):
            await pair.insert(1)
            pair["a"].on_commit(lambda: seen.append("a"))
            pair["b"].on_commit(lambda: seen.append("b"))

    with pytest.raises(PartialCommit) as caught:
        await losing(pair, monkeypatch, "b", "COMMIT PREPARED", work)
    assert (caught.value.committed, caught.value.pending) == (("a",), ("b",))
    assert seen == ["a"]
    await recover(pair.databases, 0)


async def test_it_is_no_part_of_a_running_block(pair: Pair) -> None:
    async with pair["b"].transaction():
        with pytest.raises(InterfaceError, match="there is one running on 'b'"):
            await write(pair)


async def test_a_server_without_prepared_transactions_is_named_with_the_remedy(
    pair: Pair, system_server: Server
) -> None:
    async with Database(system_server.superuser_url, 1) as plain:
        databases = {"a": pair["a"], "plain": plain}
        with pytest.raises(CapabilityMissing) as caught:
            async with AtomicBlock(databases, ("a", "plain"), two_phase=True):
                raise AssertionError
    text = str(caught.value)
    assert "on 'plain' (" in text
    assert "max_prepared_transactions is 0: set it in postgresql.conf" in text
    assert pair.is_whole()


async def test_two_ways_to_one_database_are_found_out(pair: Pair) -> None:
    url = pair.urls["a"].replace("localhost", "127.0.0.1") + "?application_name=other"
    async with Database(url, 1) as same:
        same._pool.parameters = pair["b"]._pool.parameters  # as if it were another host
        with pytest.raises(InterfaceError, match="one database"):
            async with AtomicBlock({"x": pair["b"], "y": same}, ("x", "y"), two_phase=True):
                raise AssertionError


async def test_names_that_are_too_long_are_refused_before_anything_is_done(pair: Pair) -> None:
    databases = {"a" * 90: pair["a"], "b" * 90: pair["b"]}
    with pytest.raises(ValueError, match="too long for two_phase=True by"):
        async with AtomicBlock(databases, tuple(databases), two_phase=True):
            raise AssertionError


# Whoever does it dies


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("step", range(STEPS))
async def test_a_crash_at_any_step_is_mended_by_recover(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, step: int, is_after: bool
) -> None:
    with monkeypatch.context() as patch:
        Crasher(patch, pair, step, is_after=is_after)
        with pytest.raises(Crash):
            await write(pair)
    is_decided = step == STEPS - 1 or (step == STEPS - 2 and is_after)
    found = await recover(pair.databases, 0)
    assert pair.both == (([1], [1]) if is_decided else ([], []))
    assert pair.prepared() == []
    assert {one.action for one in found} <= {"committed" if is_decided else "rolled back"}
    assert await recover(pair.databases, 0) == []


@pytest.mark.parametrize("recovering", range(2))
@pytest.mark.parametrize("step", range(1, STEPS))
async def test_a_crash_of_recover_itself_is_mended_by_the_next(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, step: int, recovering: int
) -> None:
    with monkeypatch.context() as patch:
        Crasher(patch, pair, step, is_after=False)
        with pytest.raises(Crash):
            await write(pair)
    left = [recovering]
    with monkeypatch.context() as patch:
        for alias in ("a", "b"):
            patch.setattr(pair[alias], "execute", crashing(pair[alias].execute, left))
        try:
            await recover(pair.databases, 0)
        except Crash:
            assert left[0] < 0
    await recover(pair.databases, 0)
    assert pair.both[0] == pair.both[1]
    assert pair.both[0] == ([1] if step == STEPS - 1 else [])
    assert pair.prepared() == []


def crashing(execute: Any, left: list[int]) -> Any:
    async def run(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Crash
        return await execute(*args, **options)

    return run


KILLED: Final = """
import asyncio, os, signal, sys
from hyperdjango.database import Database
from hyperdjango.multi_db import ConnectionManager, _recovery, _two_phase
from hyperdjango.multi_db._atomic import AtomicBlock

run_owed = _two_phase._async_replies.run_owed
left = [int(sys.argv[3])]

async def deadly(slot, *rest):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return await run_owed(slot, *rest)

async def main():
    async with Database(sys.argv[1], 1) as a, Database(sys.argv[2], 1) as b:
        _two_phase._async_replies.run_owed = deadly
        async with AtomicBlock({"a": a, "b": b}, ("a", "b"), two_phase=True):
            await a.execute("INSERT INTO t VALUES (1)")
            await b.execute("INSERT INTO t VALUES (1)")

asyncio.run(main())
"""


@pytest.mark.parametrize("step", range(STEPS))
async def test_a_process_that_is_killed_leaves_what_recover_decides(pair: Pair, step: int) -> None:
    command = [sys.executable, "-c", KILLED, pair.urls["a"], pair.urls["b"], str(step)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert pair.prepared() == {0: [], 1: ["a"], 2: ["a", "b"], 3: ["b"]}[step]
    found = await recover(pair.databases, 0)
    outcome = [1] if step == 3 else []
    assert pair.both == (outcome, outcome)
    assert [(one.alias, one.action) for one in found] == {
        0: [],
        1: [("a", "rolled back")],
        2: [("b", "rolled back"), ("a", "rolled back")],
        3: [("b", "committed")],
    }[step]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelled_anywhere_both_are_the_same_after_recover(
    tables: dict[str, str], moment: Moment
) -> None:
    async with opened(tables, max_size=2) as pair:

        async def attempt(cancel: Cancel) -> Point:
            point = await cancel(write(pair))
            await recover(pair.databases, 0)
            in_a, in_b = pair.both
            assert in_a == in_b
            assert in_a in ([], [1])
            if point.is_last:
                assert in_a == [1]
            assert pair.prepared() == []
            assert pair.is_whole()
            for alias in ("a", "b"):
                await pair[alias].execute("DELETE FROM t")
            return point

        await cancel_everywhere(attempt, moment)


# Connections are lost


async def losing(
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    alias: str,
    command: str,
    work: Callable[[Pair], Awaitable[object]] = write,
) -> None:
    """Write, and lose a connection just before a command is sent on it."""
    run_owed = _async_replies.run_owed
    wanted = {"PREPARE TRANSACTION": 0, "COMMIT PREPARED": 1}[command]
    pids = {name: await pair[name].query_val("SELECT pg_backend_pid()") for name in ("a", "b")}
    seen = 0

    async def losing(slot: Any, *rest: Any) -> str:
        nonlocal seen
        if slot.established.cancel_target.process_id == pids[alias]:
            if seen == wanted:
                pair.kill(alias)
            seen += 1
        return str(await run_owed(slot, *rest))

    with monkeypatch.context() as patch:
        patch.setattr(_async_replies, "run_owed", losing)
        await work(pair)


async def test_a_connection_lost_with_the_decision_on_its_way_is_an_unknown_outcome(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutcomeUnknown, match=r"It is prepared in 'b': call recover\(\)") as caught:
        await losing(pair, monkeypatch, "a", "COMMIT PREPARED")
    assert isinstance(caught.value.__cause__, DatabaseError)
    assert pair.prepared() == ["a", "b"]
    await recover(pair.databases, 0)
    assert pair.both == ([], [])
    assert pair.is_whole()


async def test_a_connection_lost_behind_the_decision_leaves_what_is_still_to_be_committed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone: list[str] = []
    with pytest.raises(PartialCommit, match=r"prepared in 'b': recover\(\) commits it there") as caught:
        await losing(pair, monkeypatch, "b", "COMMIT PREPARED")
    assert (caught.value.committed, caught.value.pending) == (("a",), ("b",))
    assert undone == []
    assert pair.both == ([1], [])
    found = await recover(pair.databases, 0)
    assert [(one.alias, one.action) for one in found] == [("b", "committed")]
    assert pair.both == ([1], [1])


async def test_a_connection_lost_at_prepare_leaves_the_first_for_recover(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may be about to prepare the other: were the first gone then, that would look like a commit."""
    with pytest.raises(DatabaseError) as caught:
        await losing(pair, monkeypatch, "b", "PREPARE TRANSACTION")
    assert "prepared transactions may be left on 'b', 'a': call recover()" in caught.value.__notes__[-1]
    assert pair.prepared() == ["a"]
    assert [(one.alias, one.action) for one in await recover(pair.databases, 0)] == [("a", "rolled back")]


async def test_an_idle_connection_lost_before_the_decision_commits_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = _two_phase._Part.prepare

    async def losing_the_first(part: Any) -> None:
        await prepare(part)
        if part.gid.index == 1:
            part_of_first.member.slot.close()
        else:
            nonlocal_first(part)

    part_of_first: Any = None

    def nonlocal_first(part: Any) -> None:
        nonlocal part_of_first
        part_of_first = part

    monkeypatch.setattr(_two_phase._Part, "prepare", losing_the_first)
    with pytest.raises(ConnectionLost, match="nothing is committed"):
        await write(pair)
    assert pair.prepared() == []
    assert pair.both == ([], [])
    assert pair.is_whole()


@pytest.mark.parametrize("is_behind", [False, True], ids=["in place of it", "behind it"])
async def test_an_error_at_the_decision_is_told_from_one_behind_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, is_behind: bool
) -> None:
    """A face may ask for more in the same flush: what that fails with says nothing of the commit."""
    commit = pair["a"]._commit

    async def failing(slot: Any, command: str) -> None:
        if is_behind:
            await commit(slot, command)
        else:
            slot.connection.disown(None)
        raise DatabaseError("something else")

    monkeypatch.setattr(pair["a"], "_commit", failing)
    if is_behind:
        await write(pair)
    else:
        with pytest.raises(DatabaseError, match="something else"):
            await write(pair)
    outcome = [1] if is_behind else []
    assert pair.both == (outcome, outcome)
    assert pair.prepared() == []
    assert pair.is_whole()


async def test_a_process_that_stood_still_does_not_decide_any_more(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's recover() may be in the middle of rolling it back."""
    monkeypatch.setattr(_two_phase, "DECIDE_SECONDS", -1.0)
    with pytest.raises(QueryTimeout, match="nothing is committed"):
        await write(pair)
    assert pair.both == ([], [])
    assert pair.prepared() == []
    assert pair.is_whole()


async def test_it_works_through_a_pooler_in_transaction_mode(tables: dict[str, str]) -> None:
    with PgBouncer(tables["a"], "transaction", 2) as pooler:
        urls = {"a": pooler.url, "b": tables["b"]}
        async with opened(urls) as pair:
            assert (await probe(pair["a"])).two_phase
            for value in range(3):
                await write(pair, value)
            with pytest.raises(UniqueViolation):
                await write(pair, 1)
            assert Pair(tables, {}).both == ([0, 1, 2], [0, 1, 2])
            assert Pair(tables, {}).prepared() == []


# Recovery leaves alone


async def prepared_by_a_crash(pair: Pair, monkeypatch: pytest.MonkeyPatch, step: int = 2) -> None:
    with monkeypatch.context() as patch:
        Crasher(patch, pair, step, is_after=False)
        with pytest.raises(Crash):
            await write(pair)


async def test_younger_groups_are_left_to_those_who_began_them(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepared_by_a_crash(pair, monkeypatch)
    assert await recover(pair.databases) == []
    assert pair.prepared() == ["a", "b"]


async def test_prepared_transactions_of_others_are_not_touched(pair: Pair) -> None:
    names = ("theirs", "hyper2pc:1:short:0:x:a", "hyper2pc:1:'; DROP TABLE t")
    for value, name in enumerate(names):
        with psycopg.connect(pair.urls["a"]) as other:
            other.execute("INSERT INTO t VALUES (%s)", [value])
            literal = psycopg.sql.Literal(name).as_string(other)
            other.execute(f"PREPARE TRANSACTION {literal}")
    assert await recover(pair.databases, 0) == []
    assert pair.prepared() == ["a"] * 3
    with psycopg.connect(pair.urls["a"], autocommit=True) as other:
        for (gid,) in other.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
            other.execute(f"ROLLBACK PREPARED {psycopg.sql.Literal(gid).as_string(other)}")


async def test_a_group_with_an_alias_that_is_not_configured_is_left(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepared_by_a_crash(pair, monkeypatch)
    for there in ("a", "b"):
        found = await recover({there: pair[there]}, 0)
        assert [(one.alias, one.action) for one in found] == [(there, "left")]
        assert found[0].reason is not None
        assert "is not configured here" in found[0].reason
    assert pair.prepared() == ["a", "b"]


async def test_a_group_whose_aliases_mean_other_databases_here_is_left(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, embedded_server: Server
) -> None:
    await prepared_by_a_crash(pair, monkeypatch, 3)
    monkeypatch.setattr(
        "hyperdjango.multi_db._recovery.identity_of", lambda alias, _: asyncio.sleep(0, f"another {alias}")
    )
    found = await recover(pair.databases, 0)
    assert [(one.action, one.reason) for one in found] == [
        ("left", "its aliases stand for other databases here")
    ]
    assert pair.prepared() == ["b"]


async def test_a_group_with_a_database_that_cannot_be_reached_is_left(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepared_by_a_crash(pair, monkeypatch)
    nowhere = Database.opening_on_use("postgresql://nobody@127.0.0.1:1/nothing")
    found = await recover({"a": nowhere, "b": pair["b"]}, 0)
    assert [(one.alias, one.action) for one in found] == [("b", "left")]
    assert "cannot be reached" in str(found[0].reason)
    with pytest.raises(DatabaseError):
        await recover({"a": nowhere}, 0)


async def test_recover_is_no_part_of_a_transaction(pair: Pair) -> None:
    async with pair["a"].transaction():
        with pytest.raises(InterfaceError, match="'a'"):
            await recover(pair.databases)
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="a number of seconds"):
            await recover(pair.databases, seconds)


async def test_two_that_recover_at_once_agree(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (2, 3):
        with monkeypatch.context() as patch:
            Crasher(patch, pair, step, is_after=False)
            with pytest.raises(Crash):
                await write(pair, step)
    found: list[list[Recovered]] = await asyncio.gather(*(recover(pair.databases, 0) for _ in range(4)))
    assert pair.both == ([3], [3])
    assert pair.prepared() == []
    assert len({one for each in found for one in each}) == 3


@contextlib.contextmanager
def being_committed(url: str) -> Iterator[None]:
    """Have another session in the middle of COMMIT PREPARED: it waits for a standby that is nowhere."""
    with (
        psycopg.connect(url, autocommit=True) as control,
        psycopg.connect(url, autocommit=True) as other,
        ThreadPoolExecutor(1) as aside,
    ):
        (gid,) = control.execute("SELECT gid FROM pg_prepared_xacts").fetchall()[0]
        other.execute("SET synchronous_commit = 'on'")
        ended = aside.submit(other.execute, f"COMMIT PREPARED '{gid}'")
        waits = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        try:
            while not control.execute(waits).rowcount:
                assert not ended.done()
            yield
        finally:
            # A wait that is cancelled is over; the commit is as it was.
            control.execute("SELECT pg_cancel_backend(%s)", [other.info.backend_pid])
        ended.result()


async def test_one_that_another_session_is_just_committing_is_waited_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepared_by_a_crash(pair, monkeypatch, 3)
    with being_committed(pair.urls["b"]):
        with monkeypatch.context() as patch:
            patch.setattr(_recovery, "BUSY_SECONDS", 0.03)
            (left,) = await recover(pair.databases, 0)
        assert (left.alias, left.action) == ("b", "left")
        assert "is busy" in str(left.reason)
        recovering = asyncio.ensure_future(recover(pair.databases, 0))
        await asyncio.sleep(0.1)
        assert not recovering.done()
    assert await recovering == []
    assert pair.both == ([1], [1])
    assert pair.prepared() == []


async def test_a_group_is_not_decided_while_its_first_one_is_just_being_committed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has died, its COMMIT PREPARED waits for a standby: nobody may roll the second back meanwhile."""
    await prepared_by_a_crash(pair, monkeypatch, 2)
    with being_committed(pair.urls["a"]):
        with monkeypatch.context() as patch:
            patch.setattr(_recovery, "BUSY_SECONDS", 0.03)
            left = await recover(pair.databases, 0)
        assert {(one.alias, one.action, one.reason) for one in left} == {
            (alias, "left", "another session is just ending it on 'a'") for alias in ("a", "b")
        }
        recovering = asyncio.ensure_future(recover(pair.databases, 0))
        await asyncio.sleep(0.2)
        assert not recovering.done()
        assert pair.prepared() == ["a", "b"]
    assert [(one.alias, one.action) for one in await recovering] == [("b", "committed")]
    assert pair.both == ([1], [1])


async def test_the_manager_commits_and_recovers(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared_by_a_crash(pair, monkeypatch)
    connections = ConnectionManager()
    await connections.configure(pair.urls)
    async with connections:
        assert await connections.recover() == []
        found = await connections.recover(older_than=0)
        assert [(one.alias, one.action) for one in found] == [("b", "rolled back"), ("a", "rolled back")]
        async with connections.atomic("a", "b", two_phase=True):
            for alias in connections:
                await connections[alias].execute("INSERT INTO t VALUES (2)")
    assert pair.both == ([2], [2])
