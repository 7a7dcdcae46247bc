"""Many statements, or many rows, in one call of the asyncio face: `execute_many`, `pipeline`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from hyperdjango.database import (
    _arrow,
    _async_copy,
    _async_many,
    _async_replies,
    _batches,
    _copy,
    _copyable,
    _pipeline,
    _stream,
)
from hyperdjango.database._arrow import ArrowSource, Columns
from hyperdjango.database._async_blocks import AsyncBlocks
from hyperdjango.database._async_calls import Row
from hyperdjango.database._async_copy import CopyOut
from hyperdjango.database._copy import Format, Table
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._pipeline import Query
from hyperdjango.database._slot import Slot
from hyperdjango.database._stream import CHUNK
from hyperdjango.database._watching import Watch, watched
from hyperdjango.database.errors import QueryTimeout
from hyperdjango.database.status import CommandStatus
from hyperdjango.database.transaction import Transaction

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")
Sets = Iterable[Sequence[object]] | AsyncIterable[Sequence[object]]


class AsyncBulk(AsyncBlocks):
    """The part of Database for what comes in large numbers."""

    @overload
    async def execute_many(
        self,
        sql: str,
        rows: Sets,
        *,
        returning: Literal[False] = False,
        copy: bool = False,
        timeout: float | None = None,
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
        copy: bool = False,
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
            copy: The sets of a plain INSERT may go by COPY, which is quicker. That is done where nobody could
                tell the difference, as docs/bulk.md has it; else this changes nothing.
            timeout: Seconds for the whole call.
        Returns:
            The command with the total of rows affected; with `returning` the rows of all sets, in order.
        Raises:
            As `query`. The error of a set says in a note which one it was, counted from 0.
        """
        asked = _batches.asked(sql, into, returning=returning)
        insert = _copyable.parse(sql) if copy else None
        is_plain = not isinstance(rows, AsyncIterable)
        sets = _batches.of_async(rows) if isinstance(rows, AsyncIterable) else _batches.of(rows)
        limit = asyncio.timeout(check_timeout(timeout))
        with watched(self, "execute_many", sql) as watch:
            try:
                async with limit:
                    total = await _async_many.run(
                        self,
                        asked,
                        sets,
                        watch,
                        is_plain=is_plain,
                        insert=insert,
                    )
            except TimeoutError:
                if limit.expired():
                    raise QueryTimeout(
                        "the call's timeout has passed and the statement was cancelled"
                    ) from None
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
        with _pipeline.watched_items(self, items) as watch:
            return _pipeline.results(
                await self._run_items(items, deadline, watch), watch, return_exceptions=return_exceptions
            )

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
            return await self._run_alone(slot, items, deadline)
        finally:
            await self._release(slot)

    async def _run_alone(
        self, slot: Slot, items: list[_pipeline.Item], deadline: float | None
    ) -> _pipeline.Outcomes:
        """Run statements outside of blocks: for faces that have a question behind them."""
        return await _pipeline.run(slot, items, deadline, None)

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
        with watched(self, "copy_records", f"COPY {table} FROM STDIN") as watch:
            async with _async_copy.limit(timeout) as limited:
                async with self._transaction_of_own(None) as transaction:
                    watch.has(transaction.slot)
                    request = await self._copy_records(transaction, table, records, columns, format, limited)
                watch.heard(request)
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
        known = Table.plain(table, columns)
        if known is None:
            row = await transaction.complete(*_copy.lookup(table), None)
            known = Table.of(table, row.result(), columns)
        return await _async_copy.copy_records(transaction, known, records, form, limited)

    async def ingest_arrow(
        self,
        table: str,
        data: ArrowSource,
        *,
        columns: Columns | None = None,
        timeout: float | None = None,
    ) -> CommandStatus:
        """Load the columns of a table or frame of Arrow into a table by COPY.

        Args:
            table: Its name as SQL has it: `"accounts"`, `"shop.accounts"`, `'"My Table"'`.
            data: Anything with `__arrow_c_stream__`: a pyarrow Table or RecordBatchReader, a polars or pandas
                DataFrame, what `query_arrow` gives. It is read batch by batch.
            columns: Names of the columns to load, or a mapping of them to the table's. By default all, each
                into the table's column of that name; the table's other columns get their defaults.
            timeout: Seconds for the whole call.
        Returns:
            `"COPY n"`, with `.rows`.
        Raises:
            DataError: A column's type cannot go into the table's, and nothing was sent; or a value does not
                fit, and the message names row (counted from 0) and column.
            UndefinedTable, UndefinedColumn: There is none of this name.
            TypeError, ValueError: The data is not Arrow's.
            DatabaseError: The backend has refused a row; a note says which. Nothing was copied then.

        PostgreSQL docs: sql-copy; Arrow docs: "The Arrow PyCapsule Interface".
        """
        rows = _arrow.rows_of(data)
        with watched(self, "ingest_arrow", f"COPY {table} FROM STDIN") as watch:
            async with _async_copy.limit(timeout) as limited, self._transaction_of_own(None) as transaction:
                watch.has(transaction.slot)
                limited.slot = transaction.slot
                request = await self._ingest(transaction, table, rows, columns, limited)
            watch.heard(request)
            return CommandStatus(request.tag, request.affected)

    @staticmethod
    async def _ingest(
        transaction: Transaction,
        table: str,
        rows: "native.ArrowRows",
        columns: Columns | None,
        limited: _async_copy.Limit,
    ) -> "native.Request":
        row = await transaction.complete(*_copy.lookup(table), None)
        known, indices = _arrow.matched(Table.of(table, row.result(), None), rows.column_names, columns)
        form = _arrow.bound(rows, await transaction.describe(known.describing()), indices)
        sql = known.copying(form)
        async with transaction.moving() as slot:
            pieces = _arrow.pieces_async(rows)
            return await _async_copy.copy_in(slot, sql, pieces, transaction, limited, relation=known.relation)

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
        with watched(self, "stream", sql, parameters_count=len(args)) as watch:
            async with self._transaction_of_own(timeout) as transaction:
                watch.has(transaction.slot)
                loop = asyncio.get_running_loop()
                request = await transaction.open_portal(
                    sql, args, shape, target, chunk, deadline_after(loop.time(), timeout)
                )
                ahead: native.Request | None = None
                try:
                    while True:
                        rows = request.result()
                        watch.came(rows)
                        # The backend works on the next rows meanwhile, where nobody else has it.
                        ahead = (
                            transaction.fetch_ahead(request) if request.suspended and not is_inside else None
                        )
                        for row in rows:
                            yield row
                        deadline = deadline_after(loop.time(), timeout)
                        if ahead is not None:
                            await transaction.fetched(ahead, deadline)
                            request = ahead
                        elif request.suspended:
                            request = await transaction.fetch(request, deadline)
                        else:
                            watch.tag = request.tag
                            return
                except GeneratorExit:
                    if ahead is not None:
                        await transaction.give_up_on(ahead)
                    elif is_inside and _stream.is_open(transaction, request):
                        await transaction.close_portal(request)
                    raise
