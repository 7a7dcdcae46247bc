"""Many statements, or many rows, in one call of the asyncio face: `execute_many`, `pipeline`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from hyperdjango.database import _async_copy, _async_replies, _batches, _copy, _pipeline, _shape, _stream
from hyperdjango.database._async_blocks import AsyncBlocks
from hyperdjango.database._async_calls import Row
from hyperdjango.database._async_copy import CopyOut
from hyperdjango.database._copy import Format, Table
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._pipeline import Query
from hyperdjango.database._stream import CHUNK
from hyperdjango.database.errors import QueryTimeout
from hyperdjango.database.status import CommandStatus
from hyperdjango.database.transaction import Transaction

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")


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
        limit = asyncio.timeout(check_timeout(timeout))
        try:
            async with limit:
                return await self._run_batches(sql, sets)
        except TimeoutError:
            if limit.expired():
                raise QueryTimeout("the call's timeout has passed and the statement was cancelled") from None
            raise

    async def _run_batches(self, sql: str, sets: AsyncIterator[_batches.Batch]) -> CommandStatus:
        total = _batches.Total(sql)
        first = await anext(sets, None)
        second = None if first is None else await anext(sets, None)
        if first is None:
            return total.status()
        if second is None:
            total.add(await self._request(sql, first, None, first_set=0))
            return total.status()
        async with self.transaction():
            for batch in (first, second):
                total.add(await self._request(sql, batch, None, first_set=total.sets))
            async for batch in sets:
                total.add(await self._request(sql, batch, None, first_set=total.sets))
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

    async def copy_records(
        self,
        table: str,
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        columns: Sequence[str] | None = None,
        *,
        format: Format | None = None,  # noqa: A002 - COPY's own word
        timeout: float | None = None,
    ) -> CommandStatus:
        """Load Python rows into a table by COPY, as the types of its own columns.

        Args:
            table: Its name as SQL has it: `"accounts"`, `"shop.accounts"`, `'"My Table"'`.
            records: Sequences of values, one per column each; any iterable or async iterable. They are
                encoded as they are sent.
            columns: Names of the columns, in the order of the values; by default all but generated ones.
            format: By itself `"binary"`, or `"text"` where a column's type (inet, bit, tsvector …) has no
                binary form. In text format a str goes into a column of any type, and the server parses it.
            timeout: Seconds for the whole call.
        Returns:
            `"COPY n"`, with `.rows`.
        Raises:
            DataError: A value does not fit; the message names record (counted from 0) and column.
            UndefinedTable, UndefinedColumn: As the server says.
            DatabaseError: The backend has refused a row; a note says which. Nothing was copied then.

        PostgreSQL docs: sql-copy, "Binary Format".
        """
        _copy.check_records(table, columns, format)
        async with _async_copy.limit(timeout) as limited, self._transaction_of_own(None) as transaction:
            request = await self._copy_records(transaction, table, records, columns, format, limited)
        return CommandStatus(request.tag, request.affected)

    @staticmethod
    async def _copy_records(  # noqa: PLR0917 - ours alone
        transaction: Transaction,
        table: str,
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        columns: Sequence[str] | None,
        form: Format | None,
        limited: _async_copy.Limit,
    ) -> "native.Request":
        looked_up = await transaction.complete(_copy.TABLE, (table,), _shape.TUPLE, None, True, None, None)
        known = Table.of(table, looked_up.result(), columns)
        return await _async_copy.copy_records(transaction, known, records, form, limited)

    @overload
    def copy_out(self, sql: str, *, timeout: float | None = None) -> CopyOut[bytes]: ...
    @overload
    def copy_out(
        self, sql: str, *, into: type[T] | Callable[..., T], timeout: float | None = None
    ) -> CopyOut[T]: ...
    def copy_out(
        self, sql: str, *, into: Callable[..., Any] | None = None, timeout: float | None = None
    ) -> CopyOut[Any]:
        """Read what a `COPY … TO STDOUT` gives: `async for part in db.copy_out(sql)`, in little memory.

        Nothing runs before it is read. Left early it is cancelled, inside a transaction block read to its
        end and dropped; `async with` does that at once. In a block no other statement of the task can run
        meanwhile.

        Args:
            sql: `COPY table TO STDOUT …` or `COPY (query) TO STDOUT …`.
            into: The rows, decoded, instead of bytes: dict, tuple and so on, as for `query`. They come in
                binary format, so the COPY has no options then.
            timeout: Seconds that the backend may take for each part.
        Returns:
            An async iterable of bytes, whole rows in each, or of rows; with `.write_to(file)` and `.status`.
        Raises:
            InterfaceError: `sql` is no COPY TO STDOUT; nothing was sent.

        PostgreSQL docs: sql-copy.
        """
        return CopyOut(self, sql, into, timeout)

    @overload
    def stream(
        self, sql: str, *args: object, chunk: int = CHUNK, timeout: float | None = None
    ) -> AsyncGenerator[Row, None]: ...
    @overload
    def stream(
        self,
        sql: str,
        *args: object,
        chunk: int = CHUNK,
        into: type[T] | Callable[..., T],
        timeout: float | None = None,
    ) -> AsyncGenerator[T, None]: ...
    async def stream(
        self,
        sql: str,
        *args: object,
        chunk: int = CHUNK,
        into: Callable[..., Any] = dict,
        timeout: float | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Yield the rows of one statement as they are needed: `async for row in db.stream(sql)`.

        They come through a portal, `chunk` at a time.

        Inside a transaction block other statements can run between the rows. Outside it has a transaction of
        its own, which is committed after the last row, and rolled back where it is left early or fails.

        Args:
            sql: One statement with placeholders.
            args: One value per placeholder.
            chunk: How many rows are fetched at a time, and held in memory.
            into: What each row becomes, as for `query`.
            timeout: Seconds that the backend may take for each chunk.
        Raises:
            As `query`.

        PostgreSQL docs: protocol-flow, "Extended Query"; sql-declare.
        """
        shape, target = _stream.checked(chunk, into)
        check_timeout(timeout)
        is_inside = self.in_transaction()
        async with self._transaction_of_own(timeout) as transaction:
            loop = asyncio.get_running_loop()
            request = await transaction.open_portal(
                sql, args, shape, target, chunk, deadline_after(loop.time(), timeout)
            )
            try:
                while True:
                    rows = request.result()
                    has_more = request.suspended
                    for row in rows:
                        yield row
                    if not has_more:
                        return
                    request = await transaction.fetch(request, deadline_after(loop.time(), timeout))
            except GeneratorExit:
                if is_inside and _stream.is_open(transaction, request):
                    await transaction.close_portal(request)
                raise
