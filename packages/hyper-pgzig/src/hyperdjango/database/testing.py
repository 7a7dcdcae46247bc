"""Helpers for tests of code that uses a Database: which calls it makes, and whether indexes can serve them.

They need no test framework; where pytest is, fixtures of their names give them (`_pytest_plugin`).
"""

from collections.abc import Collection, Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, overload

from hyperdjango.database._slow_log import folded
from hyperdjango.database._watching import QueryEvent, silently
from hyperdjango.database.client import Database
from hyperdjango.database.explain import ExplainResult
from hyperdjango.database.sync_client import SyncDatabase

__all__ = ["QueryEvent", "assert_no_seq_scan", "assert_num_queries", "capture_queries"]

_NO_SEQSCAN: Final = "SET LOCAL enable_seqscan = off"

# The captures that the running task is in; tasks that it starts inherit them.
_captures: Final[ContextVar[tuple[object, ...]]] = ContextVar("hyperdjango_captures", default=())


@contextmanager
def capture_queries(
    db: Database | SyncDatabase, *, transactions: bool = False, everywhere: bool = False
) -> Generator[list[QueryEvent], None, None]:
    """List the calls that end in a `with` block, also in async code.

    Those of the task that entered the block, of the tasks it starts in there, and of `asyncio.to_thread`; of
    both faces of the Database.

    Args:
        db: The Database.
        transactions: BEGIN, COMMIT and the like of transaction blocks are listed, too.
        everywhere: Calls of all other tasks and threads are listed, too.
    Returns:
        A list that grows as calls end.
    """
    queries: list[QueryEvent] = []
    mine = object()

    def capture(event: QueryEvent) -> None:
        if (everywhere or mine in _captures.get()) and (transactions or event.call != "transaction"):
            queries.append(event)

    _captures.set((*_captures.get(), mine))
    db.on_query(capture)
    try:
        yield queries
    finally:
        db.off_query(capture)
        # Not by a token: a fixture may end in another context than it began in.
        _captures.set(tuple(each for each in _captures.get() if each is not mine))


@contextmanager
def assert_num_queries(
    db: Database | SyncDatabase, number: int, *, transactions: bool = False, everywhere: bool = False
) -> Generator[list[QueryEvent], None, None]:
    """Fail where a `with` block makes another number of calls than this; also in async code.

    A pipeline or an `execute_many` is one call. Nothing is counted where the block raises. Arguments as for
    `capture_queries`.

    Raises:
        AssertionError: With the text of each call.
    """
    __tracebackhide__ = True
    with capture_queries(db, transactions=transactions, everywhere=everywhere) as queries:
        yield queries
    if len(queries) != number:
        listed = [f"  {place}. {folded(event.sql)}" for place, event in enumerate(queries, start=1)]
        made = "1 query was" if len(queries) == 1 else f"{len(queries)} queries were"
        raise AssertionError("\n".join([f"{made} made, {number} expected", *listed]))


@overload
def assert_no_seq_scan(db: ExplainResult, /, *, tables: Collection[str] | None = None) -> None: ...
@overload
def assert_no_seq_scan(
    db: SyncDatabase,
    sql: str,
    /,
    *args: object,
    tables: Collection[str] | None = None,
    force_index: bool = True,
) -> None: ...
@overload
def assert_no_seq_scan(
    db: Database,
    sql: str,
    /,
    *args: object,
    tables: Collection[str] | None = None,
    force_index: bool = True,
) -> Coroutine[Any, Any, None]: ...
def assert_no_seq_scan(
    db: Database | SyncDatabase | ExplainResult,
    sql: str = "",
    /,
    *args: object,
    tables: Collection[str] | None = None,
    force_index: bool = True,
) -> Coroutine[Any, Any, None] | None:
    """Fail where the plan of a statement reads a table from its beginning to its end.

    Of a Database it is to be awaited. The statement is planned and not run. Tables of a test hold few rows,
    which the planner reads as a whole whatever indexes there are; so by itself this plans with
    `enable_seqscan` off, in a block that is rolled back: a sequential scan that is left is one that no index
    can replace. It does not say that the planner will take the index where there are many rows.

    Args:
        db: A Database or SyncDatabase; or the ExplainResult of a plan that was made already.
        sql: One statement with placeholders.
        args: One value per placeholder.
        tables: Only sequential scans of these count; None is of any table.
        force_index: False asks for the plan as the planner would have it.
    Raises:
        AssertionError: With the plan.
    """
    __tracebackhide__ = True
    if isinstance(db, ExplainResult):
        _check(db, None, tables, "the planner chose it")
        return None
    why = "no index can serve it" if force_index else "the planner chose it"
    if isinstance(db, Database):
        return _check_on_loop(db, sql, args, tables, why, force_index=force_index)
    with silently():
        result = _forced(db, sql, args) if force_index else db.explain(sql, *args)
    _check(result, sql, tables, why)
    return None


async def _check_on_loop(
    db: Database,
    sql: str,
    args: tuple[object, ...],
    tables: Collection[str] | None,
    why: str,
    *,
    force_index: bool,
) -> None:
    __tracebackhide__ = True
    with silently():
        result = await (_forced_on_loop(db, sql, args) if force_index else db.explain(sql, *args))
    _check(result, sql, tables, why)


class _Undo(Exception):  # noqa: N818 - nothing is wrong
    """Leaves the block in which a plan was made, so that it is rolled back."""


def _forced(db: SyncDatabase, sql: str, args: tuple[object, ...]) -> ExplainResult:
    try:
        with db.transaction():
            db.execute(_NO_SEQSCAN)
            raise _Undo(db.explain(sql, *args))
    except _Undo as undo:
        result: ExplainResult = undo.args[0]
        return result


async def _forced_on_loop(db: Database, sql: str, args: tuple[object, ...]) -> ExplainResult:
    try:
        async with db.transaction():
            await db.execute(_NO_SEQSCAN)
            raise _Undo(await db.explain(sql, *args))
    except _Undo as undo:
        result: ExplainResult = undo.args[0]
        return result


def _check(result: ExplainResult, sql: str | None, tables: Collection[str] | None, why: str) -> None:
    __tracebackhide__ = True
    found = [name for name in dict.fromkeys(result.seq_scan_tables) if tables is None or name in tables]
    if found or (tables is None and result.has_seq_scan):
        names = ", ".join(found) or "a table"
        about = "" if sql is None else f"{folded(sql)}\n"
        raise AssertionError(f"sequential scan of {names}: {why}\n{about}{result.text}")
