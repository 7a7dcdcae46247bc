"""`connections.atomic("a", "b")`: what takes effect where, and what is said when it is not everywhere."""
# ruff: noqa: PT012 - it is the whole block that raises

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from cancel_points import MOMENTS, Cancel, Moment, Point, cancel_everywhere
from database_pairs import Pair, drop_tables, make_tables, opened
from hyperdjango.database import (
    Database,
    InFailedSqlTransaction,
    InterfaceError,
    OutcomeUnknown,
    QueryEvent,
    UniqueViolation,
)
from hyperdjango.database._running import innermost
from hyperdjango.database.resolver import UnknownAlias
from hyperdjango.multi_db import ConnectionManager, _members
from hyperdjango.multi_db._atomic import AtomicBlock
from hyperdjango.multi_db._members import see_through
from hyperdjango.multi_db.across_errors import PartialCommit
from postgres_servers import Server


@pytest.fixture(scope="module")
def urls(embedded_server: Server, system_server: Server) -> Iterator[dict[str, str]]:
    """Databases of two servers."""
    servers = {"a": embedded_server, "b": system_server}
    names = {alias: server.create_database() for alias, server in servers.items()}
    yield {alias: servers[alias].url_for(name) for alias, name in names.items()}
    for alias, name in names.items():
        servers[alias].drop_database(name)


@pytest.fixture
async def pair(urls: dict[str, str]) -> AsyncIterator[Pair]:
    make_tables(urls)
    async with opened(urls) as pair:
        yield pair
    drop_tables(urls)


async def test_both_take_effect_at_the_end_of_the_block(pair: Pair) -> None:
    async with pair.atomic():
        await pair.insert(1)
        assert pair.both == ([], [])
        assert await pair["a"].query_val("SELECT count(*) FROM t") == 1
    assert pair.both == ([1], [1])
    assert pair.is_whole()


async def test_an_exception_rolls_both_back(pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pair.atomic():
            await pair.insert(1)
            raise ZeroDivisionError
    assert pair.both == ([], [])
    assert pair.is_whole()


async def test_one_alias_is_an_ordinary_transaction(pair: Pair) -> None:
    async with pair.atomic("a"):
        await pair.insert(1)
        assert pair.both == ([], [1])
    assert pair.both == ([1], [1])
    with pytest.raises(UniqueViolation):
        async with pair.atomic("a"):
            await pair.insert(1, "a")
    assert pair.both == ([1], [1])


async def test_it_decorates(pair: Pair) -> None:
    @pair.atomic()
    async def write(value: int) -> int:
        await pair.insert(value)
        return value

    assert [await write(1), await write(2)] == [1, 2]
    assert pair.both == ([1, 2], [1, 2])


async def test_an_alias_is_looked_up_when_the_block_begins() -> None:
    databases: dict[str, Database] = {}
    block = AtomicBlock(databases, ("a", "b"))
    with pytest.raises(UnknownAlias, match="no database 'a'; there are none"):
        async with block:
            raise AssertionError


def test_no_alias_and_one_alias_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="takes the aliases"):
        AtomicBlock({}, ())
    with pytest.raises(ValueError, match="names 'a' twice"):
        AtomicBlock({}, ("a", "b", "a"))
    with pytest.raises(TypeError, match="not int"):
        AtomicBlock({}, (1,))  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match="isolation must be one of"):
        AtomicBlock({}, ("a",), isolation="snapshot")


async def test_aliases_that_are_one_database_are_refused(pair: Pair) -> None:
    database = pair["a"]
    with pytest.raises(InterfaceError, match="'x' and 'y' are one database"):
        async with AtomicBlock({"x": database, "y": database}, ("x", "y")):
            raise AssertionError
    async with Database(pair.urls["a"], 1) as same:
        with pytest.raises(InterfaceError, match="its two transactions would wait for each other"):
            async with AtomicBlock({"x": database, "y": same}, ("x", "y")):
                raise AssertionError
    assert pair.is_whole()


async def test_a_block_that_is_a_part_of_one_and_not_of_the_other_is_refused(pair: Pair) -> None:
    async with pair["a"].transaction():
        await pair.insert(1, "a")
        with pytest.raises(InterfaceError, match="running on 'a' and none on 'b'"):
            async with pair.atomic():
                raise AssertionError
    assert pair.both == ([1], [])


async def test_a_nested_block_is_a_savepoint_in_each(pair: Pair) -> None:
    async with pair.atomic():
        await pair.insert(1)
        with pytest.raises(ZeroDivisionError):
            async with pair.atomic("b", "a"):
                await pair.insert(2)
                raise ZeroDivisionError
        async with pair.atomic():
            await pair.insert(3)
    assert pair.both == ([1, 3], [1, 3])


async def test_a_nested_block_in_which_one_has_failed_is_undone_in_both(pair: Pair) -> None:
    async with pair.atomic():
        await pair.insert(1)
        with pytest.raises(InFailedSqlTransaction, match="a statement on 'b' had failed"):
            async with pair.atomic():
                await pair.insert(2)
                with pytest.raises(Exception, match="no_such_table"):
                    await pair["b"].execute("INSERT INTO no_such_table VALUES (1)")
    assert pair.both == ([1], [1])


async def test_a_block_is_entered_once(pair: Pair) -> None:
    block = pair.atomic()
    async with block:
        with pytest.raises(InterfaceError, match="entered already"):
            await block.__aenter__()


async def test_isolation_and_read_only_are_those_of_each(pair: Pair) -> None:
    async with pair.atomic(isolation="repeatable read", read_only=True):
        for alias in ("a", "b"):
            assert await pair[alias].query_val("SHOW transaction_isolation") == "repeatable read"
            assert await pair[alias].query_val("SHOW transaction_read_only") == "on"


async def test_nothing_is_committed_where_one_is_known_to_fail(pair: Pair) -> None:
    with pytest.raises(InFailedSqlTransaction) as caught:
        async with pair.atomic():
            await pair.insert(1)
            with pytest.raises(Exception, match="no_such_table"):
                await pair["b"].execute("INSERT INTO no_such_table VALUES (1)")
    assert caught.value.__notes__ == ["of the transaction of 'b'"]
    assert pair.both == ([], [])


async def test_the_first_commits_own_error_is_raised_and_the_rest_is_rolled_back(pair: Pair) -> None:
    await pair.insert(1, "a")
    with pytest.raises(UniqueViolation):
        async with pair.atomic():
            await pair.insert(1)
    assert pair.both == ([1], [])


async def test_a_later_commit_that_fails_says_what_is_committed(pair: Pair) -> None:
    await pair.insert(1, "b")
    with pytest.raises(PartialCommit) as caught:
        async with pair.atomic():
            await pair.insert(1)
    error = caught.value
    assert (error.committed, list(error.failed), error.rolled_back, error.unknown) == (("a",), ["b"], (), ())
    assert isinstance(error.failed["b"], UniqueViolation)
    assert error.__cause__ is error.failed["b"]
    assert str(error).startswith("the transaction is committed in 'a', not in 'b' (b: duplicate key value")
    assert pair.both == ([1], [1])
    assert pair.is_whole()


async def test_those_after_the_one_that_failed_are_rolled_back(
    pair: Pair, urls: dict[str, str], embedded_server: Server
) -> None:
    name = embedded_server.create_database()
    try:
        async with Database(embedded_server.url_for(name), 1) as third:
            await third.execute("CREATE TABLE t (a int)")
            await pair.insert(1, "b")
            pair.databases["c"] = third
            with pytest.raises(PartialCommit) as caught:
                async with pair.atomic("a", "b", "c"):
                    await pair.insert(1, "a", "b", "c")
            assert caught.value.rolled_back == ("c",)
            assert "rolled back in 'c'" in str(caught.value)
            assert await third.query_val("SELECT count(*) FROM t") == 0
    finally:
        embedded_server.drop_database(name)


async def test_a_connection_lost_before_the_end_commits_nothing(pair: Pair) -> None:
    with pytest.raises(InFailedSqlTransaction):
        async with pair.atomic():
            await pair.insert(1)
            pair.kill("b")
            with pytest.raises(Exception, match="terminating connection"):
                await pair["b"].query_val("SELECT 1")
    assert pair.both == ([], [])


async def test_a_later_commit_whose_connection_is_lost_is_told_as_unknown(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: Any) -> None:
        raise OutcomeUnknown("the connection was lost")

    with pytest.raises(PartialCommit) as caught:
        async with pair.atomic():
            await pair.insert(1)
            monkeypatch.setattr(pair["b"], "_commit", lost)
    assert caught.value.unknown == ("b",)
    assert "nobody knows in 'b'" in str(caught.value)


async def test_callbacks_run_after_all_have_committed(pair: Pair) -> None:
    seen: list[tuple[str, Any]] = []
    async with pair.atomic():
        await pair.insert(1)
        pair["b"].on_commit(lambda: seen.append(("b", pair.both)))
        pair["a"].on_commit(lambda: seen.append(("a", pair.both)))
    assert seen == [("a", ([1], [1])), ("b", ([1], [1]))]


async def test_callbacks_of_what_is_committed_run_where_another_is_not(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    async def later() -> None:
        await asyncio.sleep(0)
        seen.append("a, later")

    def fail() -> None:
        seen.append("a, failing")
        raise ZeroDivisionError

    await pair.insert(1, "b")
    with pytest.raises(PartialCommit) as caught:
        async with pair.atomic():
            pair["b"].on_commit(lambda: seen.append("b"))
            for function in (fail, later, lambda: seen.append("a")):
                pair["a"].on_commit(function)
            await pair.insert(1)
    assert caught.value.committed == ("a",)
    assert seen == ["a, failing", "a, later", "a"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_callbacks_do_not_run_where_nothing_is_committed(pair: Pair) -> None:
    seen: list[str] = []
    await pair.insert(1, "a")
    with pytest.raises(UniqueViolation):
        async with pair.atomic():
            pair["b"].on_commit(lambda: seen.append("b"))
            await pair.insert(1)
    assert seen == []


async def test_what_is_undone_is_undone_where_it_was_not_committed(pair: Pair) -> None:
    undone: list[str] = []
    await pair.insert(1, "b")
    with pytest.raises(PartialCommit):
        async with pair.atomic():
            await pair.insert(1)
            pair["a"]._on_rollback(lambda: undone.append("a"))
            pair["b"]._on_rollback(lambda: undone.append("b"))
    assert undone == ["b"]


async def test_tasks_of_the_block_are_waited_for_before_the_first_commit(pair: Pair) -> None:
    async def late() -> None:
        await pair["b"].query_val("SELECT pg_sleep(0.05)")
        await pair.insert(2, "a")

    async with pair.atomic():
        await pair.insert(1)
        task = asyncio.create_task(late())
        await asyncio.sleep(0.01)
    with pytest.raises(InterfaceError, match="its block was left"):
        await task
    assert pair.both == ([1], [1])


async def test_models_find_all_of_them_in_the_block_and_none_behind_it(pair: Pair) -> None:
    async with pair.atomic():
        assert innermost() == (pair["a"], pair["b"])
        async with pair["a"].transaction():
            assert innermost() == (pair["a"], pair["b"])
    assert innermost() is None


async def test_the_commits_are_reported_one_by_one(pair: Pair) -> None:
    events: list[tuple[str | None, str]] = []

    def note(event: QueryEvent) -> None:
        if event.call == "transaction":
            events.append((event.route.alias, event.sql))

    for alias in ("a", "b"):
        pair[alias].on_query(note)
    async with pair.atomic():
        await pair.insert(1)
    assert events == [("a", "BEGIN"), ("b", "BEGIN"), ("a", "COMMIT"), ("b", "COMMIT")]


async def test_a_cancellation_between_the_commits_counts_once_they_are_done(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def block() -> None:
        async with pair.atomic():
            await pair.insert(1)
            commit = pair["b"]._commit

            async def slow(*args: Any) -> None:
                task.cancel()
                await asyncio.sleep(0.01)
                await commit(*args)

            monkeypatch.setattr(pair["b"], "_commit", slow)

    task = asyncio.create_task(block())
    await asyncio.wait([task])
    assert task.cancelled()
    assert pair.both == ([1], [1])
    assert pair.is_whole()


async def test_commits_that_do_not_end_are_given_up_and_told(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_members, "FINISH_SECONDS", 0.01)

    async def block() -> None:
        async with pair.atomic():
            await pair.insert(1)

            async def stuck(*_: Any) -> None:
                task.cancel()
                await asyncio.sleep(60)

            monkeypatch.setattr(pair["b"], "_commit", stuck)

    task = asyncio.create_task(block())
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    partial = caught.value.__cause__
    assert isinstance(partial, PartialCommit)
    assert (partial.committed, partial.unknown) == (("a",), ("b",))
    assert pair.both == ([1], [])
    assert pair.is_whole()


async def test_a_first_commit_that_is_given_up_is_told_as_unknown(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_members, "FINISH_SECONDS", 0.01)

    async def block() -> None:
        async with pair.atomic():
            await pair.insert(1)

            async def stuck(*_: Any) -> None:
                task.cancel()
                await asyncio.sleep(60)

            monkeypatch.setattr(pair["a"], "_commit", stuck)

    task = asyncio.create_task(block())
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.__notes__ == [
        "whether it is committed in 'a' is not known; everywhere else it is rolled back"
    ]
    assert pair.both == ([], [])
    assert pair.is_whole()


async def test_an_error_that_comes_after_a_cancellation_is_its_cause(pair: Pair) -> None:
    await pair.insert(1, "b")

    async def block() -> None:
        async with pair.atomic():
            await pair.insert(1)
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]

    task = asyncio.create_task(block())
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    # Before the first COMMIT was sent, or in the middle of them.
    cause = caught.value.__cause__
    assert (pair.both, type(cause)) in [(([], [1]), type(None)), (([1], [1]), PartialCommit)]


async def test_who_is_cancelled_twice_is_told_how_far_it_came() -> None:
    told: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            error.add_note("committed in one of two")
            raise

    async def run() -> None:
        try:
            await see_through(work())
        except asyncio.CancelledError as error:
            told.extend(getattr(error, "__notes__", ()))
            raise

    task = asyncio.ensure_future(run())
    for _ in range(2):
        await asyncio.sleep(0.01)
        task.cancel()
    await asyncio.wait([task], timeout=30)
    assert task.cancelled()
    assert told == ["committed in one of two"]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelled_anywhere_it_is_done_or_told(urls: dict[str, str], moment: Moment) -> None:
    """Whatever happened is the same in both, unless the CancelledError says otherwise."""
    make_tables(urls)
    try:
        async with opened(urls, max_size=2) as pair:

            async def attempt(cancel: Cancel) -> Point:
                told: list[str] = []

                async def run() -> None:
                    try:
                        async with pair.atomic():
                            await pair.insert(1)
                    except asyncio.CancelledError as error:
                        told.extend(getattr(error, "__notes__", ()))
                        raise

                point = await cancel(run())
                in_a, in_b = pair.both
                # Cancelled twice it stops where it is, and says so.
                assert in_a == in_b or (moment == "twice" and told and (in_a, in_b) == ([1], []))
                assert in_a in ([], [1])
                if point.is_last:
                    assert in_a == [1]
                assert pair.is_whole()
                assert innermost() is None
                for alias in ("a", "b"):
                    await pair[alias].execute("DELETE FROM t")
                return point

            await cancel_everywhere(attempt, moment)
    finally:
        drop_tables(urls)


def test_a_partial_commit_survives_a_pickle() -> None:
    error = PartialCommit(["a"], {"b": OutcomeUnknown("lost"), "c": OutcomeUnknown("c")}, ["d"], ["c"])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.committed, list(again.failed), again.rolled_back) == (("a",), ["b", "c"], ("d",))
    assert "prepared in 'c': recover() commits it there" in str(again)


async def test_the_manager_makes_the_blocks_and_its_models_keep_to_their_databases(
    urls: dict[str, str],
) -> None:
    make_tables(urls)
    try:
        connections = ConnectionManager()
        await connections.configure({"default": urls["a"], "b": urls["b"]})
        async with connections:
            async with connections.atomic("default", "b"):
                for alias in connections:
                    await connections[alias].execute("INSERT INTO t VALUES (1)")
                assert connections.explain_route(Here).alias == "default"
                assert connections.explain_route(There).alias == "b"
            with pytest.raises(UnknownAlias, match="'c'"):
                async with connections.atomic("default", "c"):
                    raise AssertionError
            assert [await connections[alias].query_val("SELECT a FROM t") for alias in connections] == [1, 1]
            assert (await connections.capabilities("b")).engine == "PostgreSQL"
    finally:
        drop_tables(urls)


class Here:
    """A model, as far as routing goes."""

    _table = SimpleNamespace(database=None)


class There:
    """One of another database."""

    _table = SimpleNamespace(database="b")
