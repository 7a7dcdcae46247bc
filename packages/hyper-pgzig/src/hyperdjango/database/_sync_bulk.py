"""Many statements, or many rows, in one call of the blocking face: `execute_many`, `pipeline`."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from hyperdjango.database import _arrow, _batches, _copy, _copyable, _pipeline, _stream, _sync_copy
from hyperdjango.database._arrow import ArrowSource, Columns
from hyperdjango.database._copy import Format, Table
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._many_copy import SyncCopyFeed, blocking_feed_of
from hyperdjango.database._pinned import Pinned
from hyperdjango.database._pipeline import Query
from hyperdjango.database._slot import Slot, time_is_over
from hyperdjango.database._stream import CHUNK
from hyperdjango.database._sync_blocks import SyncBlocks
from hyperdjango.database._sync_calls import Row, end_interrupted, has_begun_unseen
from hyperdjango.database._sync_copy import SyncCopyOut
from hyperdjango.database._sync_many import Feed
from hyperdjango.database._sync_replies import TimeIsOverError
from hyperdjango.database._watching import Watch, watched
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")
Sets = Iterable[Sequence[object]]


class SyncBulk(SyncBlocks):
    """The part of SyncDatabase for what comes in large numbers."""

    @overload
    def execute_many(
        self,
        sql: str,
        rows: Sets,
        *,
        returning: Literal[False] = False,
        copy: bool = False,
        timeout: float | None = None,
    ) -> CommandStatus: ...
    @overload
    def execute_many(
        self, sql: str, rows: Sets, *, returning: Literal[True], timeout: float | None = None
    ) -> list[Row]: ...
    @overload
    def execute_many(
        self,
        sql: str,
        rows: Sets,
        *,
        returning: Literal[True],
        into: type[T] | Callable[..., T],
        timeout: float | None = None,
    ) -> list[T]: ...
    def execute_many(
        self,
        sql: str,
        rows: Sets,
        *,
        returning: bool = False,
        into: Callable[..., Any] = dict,
        copy: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Run a command once for each set of values, in order, all or nothing; as `Database.execute_many`."""
        asked = _batches.asked(sql, into, returning=returning)
        _, shape, target = asked
        deadline = deadline_after(time.monotonic(), timeout)
        sets = _batches.batches(rows)
        with watched(self, "execute_many", sql) as watch:
            total = _batches.Total(sql, watch)
            first, second = next(sets, ()), next(sets, ())
            watch.parameters_count = len(first[0]) if first else 0
            if second or (first and self._current.get() is not None):
                with self._undoable(deadline):
                    # By its answer it is known that the text can be sent for all the others.
                    alone = first[:1] if second else first
                    total.add(self._complete(sql, alone, shape, target, False, 0, deadline, watch))
                    if second:
                        rest = chain((first[1:], second), sets)
                        self._feed(asked, rest, total, deadline, _copyable.parse(sql) if copy else None)
            elif first:
                total.add(self._complete(sql, first, shape, target, False, 0, deadline, watch))
            return total.rows if returning else total.status()

    def _undoable(self, deadline: float | None) -> AbstractContextManager[None]:
        """A block for one call, nested where there is one already."""
        transaction = self._current.get()
        if transaction is not None and transaction.is_failed:
            return nullcontext()  # no savepoint can be set, and nothing will run
        return self._block(None, "BEGIN", deadline, is_reported=False)

    def _feed(
        self,
        asked: _batches.Asked,
        batches: Iterable[_batches.Batch],
        total: _batches.Total,
        deadline: float | None,
        insert: _copyable.Insert | None,
    ) -> None:
        sql, shape, target = asked
        transaction = self._current.get()
        assert transaction is not None
        ordinary = Feed(transaction, asked, total, deadline)
        feed: Feed | SyncCopyFeed | None = None
        if insert is not None:
            feed = blocking_feed_of(self, transaction, asked, total, insert, ordinary, deadline)
        feed = feed or ordinary
        try:
            for batch in batches:
                if batch and not feed.send(batch):
                    total.add(
                        self._complete(sql, batch, shape, target, False, total.sets, deadline, total.watch)
                    )
            feed.finish()
        except BaseException as error:
            feed.abandon()
            # No variable may have what goes on from here: its traceback has this frame, and those with the
            # connection. Such a cycle would keep that until the collector comes, whoever drops it later.
            if type(error) is TimeIsOverError:
                raise time_is_over(transaction.slot) from None
            raise

    def pipeline(
        self,
        queries: Iterable[Query],
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """Run several statements in one round trip; as `Database.pipeline`."""
        items = _pipeline.items_of(queries)
        deadline = deadline_after(time.monotonic(), timeout)
        if not items:
            return []
        with _pipeline.watched_items(self, items) as watch:
            return _pipeline.results(
                self._run_items(items, deadline, watch), watch, return_exceptions=return_exceptions
            )

    def _run_items(
        self, items: list[_pipeline.Item], deadline: float | None, watch: Watch
    ) -> _pipeline.Outcomes:
        transaction = self._current.get()
        if transaction is not None:
            watch.slot = transaction.slot
            transaction.check_usable()
            try:
                return _pipeline.run_blocking(transaction.slot, items, deadline, transaction)
            except BaseException as error:
                end_interrupted(transaction.slot, error)
                if not isinstance(error, Exception) and has_begun_unseen(transaction):
                    transaction.check_begun()
                raise
        slot = self._acquire(deadline)
        watch.has(slot)
        try:
            return self._run_alone(slot, items, deadline)
        finally:
            self._release(slot)

    def _run_alone(
        self, slot: Slot, items: list[_pipeline.Item], deadline: float | None
    ) -> _pipeline.Outcomes:
        """Run statements outside of blocks: for faces that have a question behind them."""
        return _pipeline.run_blocking(slot, items, deadline, None)

    def copy_records(
        self,
        table: str,
        records: Iterable[Sequence[object]],
        columns: Sequence[str] | None = None,
        *,
        format: Format | None = None,  # noqa: A002 - COPY's own word
        timeout: float | None = None,
    ) -> CommandStatus:
        """Load Python rows into a table by COPY; as `Database.copy_records`."""
        _copy.check_records(table, columns, format)
        deadline = deadline_after(time.monotonic(), timeout)
        with watched(self, "copy_records", f"COPY {table} FROM STDIN") as watch:
            with self._transaction_of_own(deadline, deadline) as transaction:
                watch.has(transaction.slot)
                request = self._copy_records(transaction, table, records, columns, format, deadline)
            watch.heard(request)
            return CommandStatus(request.tag, request.affected)

    def _copy_records(  # noqa: PLR0917 - ours alone
        self,
        transaction: Pinned,
        table: str,
        records: Iterable[Sequence[object]],
        columns: Sequence[str] | None,
        form: Format | None,
        deadline: float | None,
    ) -> "native.Request":
        known = Table.plain(table, columns)
        if known is None:
            row = self._in_transaction(transaction, _copy.lookup(table), deadline).result()
            known = Table.of(table, row, columns)
        return _sync_copy.copy_records(transaction, known, records, form, deadline)

    def ingest_arrow(
        self,
        table: str,
        data: ArrowSource,
        *,
        columns: Columns | None = None,
        timeout: float | None = None,
    ) -> CommandStatus:
        """Load the columns of a table or frame of Arrow into a table by COPY; as `Database.ingest_arrow`."""
        rows = _arrow.rows_of(data)
        deadline = deadline_after(time.monotonic(), timeout)
        with watched(self, "ingest_arrow", f"COPY {table} FROM STDIN") as watch:
            with self._transaction_of_own(deadline, deadline) as transaction:
                watch.has(transaction.slot)
                request = self._ingest(transaction, table, rows, columns, deadline)
            watch.heard(request)
            return CommandStatus(request.tag, request.affected)

    def _ingest(
        self,
        transaction: Pinned,
        table: str,
        rows: "native.ArrowRows",
        columns: Columns | None,
        deadline: float | None,
    ) -> "native.Request":
        found = self._in_transaction(transaction, _copy.lookup(table), deadline).result()
        known, indices = _arrow.matched(Table.of(table, found, None), rows.column_names, columns)
        form = _arrow.bound(rows, _sync_copy.describe(transaction, known.describing(), deadline), indices)
        pieces = _arrow.pieces(rows)
        return _sync_copy.copy_in(
            transaction.slot, known.copying(form), pieces, transaction, deadline, relation=known.relation
        )

    @overload
    def copy_out(self, sql: str, *, timeout: float | None = None) -> SyncCopyOut[bytes]: ...
    @overload
    def copy_out(
        self, sql: str, *, into: type[T] | Callable[..., T], timeout: float | None = None
    ) -> SyncCopyOut[T]: ...
    def copy_out(
        self, sql: str, *, into: Callable[..., Any] | None = None, timeout: float | None = None
    ) -> SyncCopyOut[Any]:
        """Read what a `COPY … TO STDOUT` gives; as `Database.copy_out`."""
        return SyncCopyOut(self, sql, into, timeout)

    @overload
    def stream(
        self, sql: str, *args: object, chunk: int = CHUNK, timeout: float | None = None
    ) -> Generator[Row, None, None]: ...
    @overload
    def stream(
        self,
        sql: str,
        *args: object,
        chunk: int = CHUNK,
        into: type[T] | Callable[..., T],
        timeout: float | None = None,
    ) -> Generator[T, None, None]: ...
    def stream(
        self,
        sql: str,
        *args: object,
        chunk: int = CHUNK,
        into: Callable[..., Any] = dict,
        timeout: float | None = None,
    ) -> Generator[Any, None, None]:
        """Yield the rows of one statement as they are needed; as `Database.stream`."""
        shape, target = _stream.checked(chunk, into)
        check_timeout(timeout)
        is_inside = self.in_transaction()
        with (
            watched(self, "stream", sql, parameters_count=len(args)) as watch,
            self._transaction_of_own(deadline_after(time.monotonic(), timeout)) as pinned,
        ):
            watch.has(pinned.slot)
            request = _stream.open_portal(pinned, sql, args, shape, target, chunk, timeout)
            is_ahead = False
            try:
                while True:
                    rows, has_more = request.result(), request.suspended
                    watch.came(rows)
                    # The backend works on the next rows meanwhile, where nobody else has it.
                    is_ahead = has_more and not is_inside
                    if is_ahead:
                        request = pinned.slot.connection.fetch(request)
                    yield from rows
                    if is_ahead:
                        _stream.fetched(pinned, request, timeout)
                    elif has_more:
                        request = _stream.fetch(pinned, request, timeout)
                    else:
                        watch.tag = request.tag
                        return
            except GeneratorExit:
                if is_ahead:
                    _stream.give_up(pinned)
                elif is_inside and _stream.is_open(pinned, request):
                    _stream.close_portal(pinned, request)
                raise
