"""Many statements, or many rows, in one call of the blocking face: `execute_many`, `pipeline`."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, overload

from hyperdjango.database import _batches, _copy, _pipeline, _shape, _stream, _sync_copy
from hyperdjango.database._copy import Format, Table
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._pinned import Pinned
from hyperdjango.database._pipeline import Query
from hyperdjango.database._stream import CHUNK
from hyperdjango.database._sync_blocks import SyncBlocks
from hyperdjango.database._sync_calls import Row, end_interrupted, has_begun_unseen
from hyperdjango.database._sync_copy import SyncCopyOut
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")


class SyncBulk(SyncBlocks):
    """The part of SyncDatabase for what comes in large numbers."""

    def execute_many(
        self, sql: str, rows: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> CommandStatus:
        """Run a command once for each set of values, in order, all or nothing; as `Database.execute_many`."""
        deadline = deadline_after(time.monotonic(), timeout)
        sets = _batches.batches(rows)
        first, second = next(sets, ()), next(sets, ())
        total = _batches.Total(sql)
        if second:
            with self._block(None, "BEGIN", deadline):
                for batch in chain((first, second), sets):
                    total.add(self._request(sql, batch, total.sets, deadline))
        elif first:
            total.add(self._request(sql, first, 0, deadline))
        return total.status()

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
        transaction = self._current.get()
        if transaction is not None:
            transaction.check_usable()
            try:
                requests = _pipeline.run_blocking(transaction.slot, items, deadline, transaction)
            except BaseException as error:
                end_interrupted(transaction.slot, error)
                if not isinstance(error, Exception) and has_begun_unseen(transaction):
                    transaction.check_begun()
                raise
        else:
            slot = self._acquire(deadline)
            try:
                requests = _pipeline.run_blocking(slot, items, deadline, None)
            finally:
                self._release(slot)
        return _pipeline.results(requests, return_exceptions=return_exceptions)

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
        with self._transaction_of_own(timeout) as transaction:
            request = self._copy_records(transaction, table, records, columns, format, deadline)
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
        looked_up = self._in_transaction(
            transaction, (_copy.TABLE, (table,), _shape.TUPLE, None, True, None), deadline
        )
        known = Table.of(table, looked_up.result(), columns)
        return _sync_copy.copy_records(transaction, known, records, form, deadline)

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
        with self._transaction_of_own(timeout) as pinned:
            request = _stream.open_portal(pinned, sql, args, shape, target, chunk, timeout)
            try:
                while True:
                    rows = request.result()
                    has_more = request.suspended
                    yield from rows
                    if not has_more:
                        return
                    request = _stream.fetch(pinned, request, timeout)
            except GeneratorExit:
                if is_inside and _stream.is_open(pinned, request):
                    _stream.close_portal(pinned, request)
                raise
