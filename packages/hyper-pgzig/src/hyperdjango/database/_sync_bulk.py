"""Many statements, or many rows, in one call of the blocking face: `execute_many`, `pipeline`."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any, Literal, TypeVar, overload

from hyperdjango.database import _batches, _pipeline
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._pipeline import Query
from hyperdjango.database._sync_blocks import SyncBlocks
from hyperdjango.database._sync_calls import Row, end_interrupted, has_begun_unseen
from hyperdjango.database._sync_many import Feed
from hyperdjango.database.status import CommandStatus

T = TypeVar("T")
Sets = Iterable[Sequence[object]]


class SyncBulk(SyncBlocks):
    """The part of SyncDatabase for what comes in large numbers."""

    @overload
    def execute_many(
        self, sql: str, rows: Sets, *, returning: Literal[False] = False, timeout: float | None = None
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
        timeout: float | None = None,
    ) -> Any:
        """Run a command once for each set of values, in order, all or nothing; as `Database.execute_many`."""
        asked = _batches.asked(sql, into, returning=returning)
        _, shape, target = asked
        deadline = deadline_after(time.monotonic(), timeout)
        total = _batches.Total(sql)
        sets = _batches.batches(rows)
        first, second = next(sets, ()), next(sets, ())
        if second or (first and self._current.get() is not None):
            with self._undoable(deadline):
                # By its answer it is known that the text can be sent for all the others.
                alone = first[:1] if second else first
                total.add(self._complete(sql, alone, shape, target, False, 0, deadline))
                if second:
                    self._feed(asked, chain((first[1:], second), sets), total, deadline)
        elif first:
            total.add(self._complete(sql, first, shape, target, False, 0, deadline))
        return total.rows if returning else total.status()

    def _undoable(self, deadline: float | None) -> AbstractContextManager[None]:
        """A block for one call, nested where there is one already."""
        transaction = self._current.get()
        if transaction is not None and transaction.is_failed:
            return nullcontext()  # no savepoint can be set, and nothing will run
        return self._block(None, "BEGIN", deadline)

    def _feed(
        self,
        asked: _batches.Asked,
        batches: Iterable[_batches.Batch],
        total: _batches.Total,
        deadline: float | None,
    ) -> None:
        sql, shape, target = asked
        transaction = self._current.get()
        assert transaction is not None
        feed = Feed(transaction, asked, total, deadline)
        try:
            for batch in batches:
                if batch and not feed.send(batch):
                    total.add(self._complete(sql, batch, shape, target, False, total.sets, deadline))
            feed.finish()
        except BaseException as error:
            reason = feed.abandon(error)
            if reason is not error:
                raise reason from None
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
