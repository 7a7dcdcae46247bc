"""Many statements, or many rows, in one call of the asyncio face: `execute_many`, `pipeline`."""

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, overload

from hyperdjango.database import _async_many, _async_replies, _batches, _pipeline
from hyperdjango.database._async_blocks import AsyncBlocks
from hyperdjango.database._async_calls import Row
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._pipeline import Query
from hyperdjango.database.errors import QueryTimeout
from hyperdjango.database.status import CommandStatus

T = TypeVar("T")
Sets = Iterable[Sequence[object]] | AsyncIterable[Sequence[object]]


class AsyncBulk(AsyncBlocks):
    """The part of Database for what comes in large numbers."""

    @overload
    async def execute_many(
        self, sql: str, rows: Sets, *, returning: Literal[False] = False, timeout: float | None = None
    ) -> CommandStatus: ...
    @overload
    async def execute_many(
        self, sql: str, rows: Sets, *, returning: Literal[True], timeout: float | None = None
    ) -> list[Row]: ...
    @overload
    async def execute_many(
        self,
        sql: str,
        rows: Sets,
        *,
        returning: Literal[True],
        into: type[T] | Callable[..., T],
        timeout: float | None = None,
    ) -> list[T]: ...
    async def execute_many(
        self,
        sql: str,
        rows: Sets,
        *,
        returning: bool = False,
        into: Callable[..., Any] = dict,
        timeout: float | None = None,
    ) -> Any:
        """Run a command once for each set of values, in order, all or nothing.

        Sets are encoded and sent while the backend works on those before them, and memory does not grow with
        their number. Inside a transaction block a call that fails undoes what it did, and the block goes on.

        Args:
            sql: One statement with placeholders.
            rows: Sets of values, one per placeholder each; any iterable or async iterable.
            returning: Whether the rows that the sets give are wanted, as with INSERT … RETURNING.
            into: What each of these becomes, as for `query`.
            timeout: Seconds for the whole call.
        Returns:
            The command with the total of rows affected; with `returning` the rows of all sets, in order.
        Raises:
            As `query`. The error of a set says in a note which one it was, counted from 0.
        """
        asked = _batches.asked(sql, into, returning=returning)
        is_plain = not isinstance(rows, AsyncIterable)
        sets = _batches.of_async(rows) if isinstance(rows, AsyncIterable) else _batches.of(rows)
        limit = asyncio.timeout(check_timeout(timeout))
        try:
            async with limit:
                total = await _async_many.run(self, asked, sets, is_plain=is_plain)
        except TimeoutError:
            if limit.expired():
                raise QueryTimeout("the call's timeout has passed and the statement was cancelled") from None
            raise
        return total.rows if returning else total.status()

    async def pipeline(
        self,
        queries: Iterable[Query],
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """Run several statements in one round trip, in order.

        Outside a transaction block each commits by itself; what follows one that fails runs all the same.

        Args:
            queries: SQL, or pairs of SQL and its values.
            return_exceptions: Errors stand in the list in place of rows.
            timeout: Seconds for all of them together.
        Returns:
            The rows of each statement as tuples, in order.
        Raises:
            DatabaseError: The first error, after all replies are in. A note says which statement it was.
            QueryTimeout: `timeout` has passed; how many of them have run is not known.

        PostgreSQL docs: protocol-flow, "Pipelining".
        """
        items = _pipeline.items_of(queries)
        state = _async_replies.current()
        deadline = deadline_after(state.loop.time(), timeout)
        if not items:
            return []
        transaction = self._current.get()
        if transaction is not None:
            async with transaction.alone(deadline) as slot:
                outcomes = await _pipeline.run(slot, items, deadline, transaction)
            return _pipeline.results(outcomes, return_exceptions=return_exceptions)
        slot = self._pool.take_idle() or await self._acquire(deadline)
        try:
            outcomes = await _pipeline.run(slot, items, deadline, None)
        finally:
            await self._release(slot)
        return _pipeline.results(outcomes, return_exceptions=return_exceptions)
