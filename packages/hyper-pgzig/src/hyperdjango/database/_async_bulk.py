"""Many statements, or many rows, in one call of the asyncio face: `execute_many`, `pipeline`."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any

from hyperdjango.database import _async_replies, _batches, _pipeline
from hyperdjango.database._async_blocks import AsyncBlocks
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._pipeline import Query
from hyperdjango.database._watching import Watch, watched
from hyperdjango.database.errors import QueryTimeout
from hyperdjango.database.status import CommandStatus
from hyperdjango.database.transaction import TransactionBlock


class AsyncBulk(AsyncBlocks):
    """The part of Database for what comes in large numbers."""

    async def execute_many(
        self,
        sql: str,
        rows: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        timeout: float | None = None,
    ) -> CommandStatus:
        """Run a command once for each set of values, in order, all or nothing.

        Args:
            sql: One statement with placeholders.
            rows: Sets of values, one per placeholder each; any iterable or async iterable.
            timeout: Seconds for the whole call.
        Returns:
            The command with the total of rows affected.
        Raises:
            As `query`. The error of a set says in a note which one it was, counted from 0.
        """
        sets = _batches.of(rows) if not isinstance(rows, AsyncIterable) else _batches.of_async(rows)
        with watched(self, "execute_many", sql) as watch:
            return await self._run_batches_within(sql, sets, timeout, watch)

    async def _run_batches_within(
        self, sql: str, sets: AsyncIterator[_batches.Batch], timeout: float | None, watch: Watch
    ) -> CommandStatus:
        limit = asyncio.timeout(check_timeout(timeout))
        try:
            async with limit:
                return await self._run_batches(sql, sets, watch)
        except TimeoutError:
            if limit.expired():
                raise QueryTimeout("the call's timeout has passed and the statement was cancelled") from None
            raise

    async def _run_batches(
        self, sql: str, sets: AsyncIterator[_batches.Batch], watch: Watch
    ) -> CommandStatus:
        total = _batches.Total(sql, watch)
        first = await anext(sets, None)
        second = None if first is None else await anext(sets, None)
        if first is None:
            return total.status()
        watch.parameters_count = len(first[0])
        if second is None:
            total.add(await self._request(sql, first, None, first_set=0, watch=watch))
            return total.status()
        async with TransactionBlock(self, None, None, None, None, is_reported=False):
            for batch in (first, second):
                total.add(await self._request(sql, batch, None, first_set=total.sets, watch=watch))
            async for batch in sets:
                total.add(await self._request(sql, batch, None, first_set=total.sets, watch=watch))
        return total.status()

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
        with _pipeline.watched_items(self, items) as watch:
            outcomes = await self._run_items(items, deadline, watch)
            return _pipeline.results(outcomes, watch, return_exceptions=return_exceptions)

    async def _run_items(
        self, items: list[_pipeline.Item], deadline: float | None, watch: Watch
    ) -> _pipeline.Outcomes:
        transaction = self._current.get()
        if transaction is not None:
            async with transaction.alone(deadline) as slot:
                watch.has(slot)
                return await _pipeline.run(slot, items, deadline, transaction)
        slot = self._pool.take_idle() or await self._acquire(deadline)
        watch.has(slot)
        try:
            return await _pipeline.run(slot, items, deadline, None)
        finally:
            await self._release(slot)
