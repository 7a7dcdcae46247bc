"""Many statements, or many rows, in one call of the blocking face: `execute_many`, `pipeline`."""

import time
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from hyperdjango.database import _batches, _pipeline
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._pipeline import Query
from hyperdjango.database._sync_blocks import SyncBlocks
from hyperdjango.database._sync_calls import end_interrupted, has_begun_unseen
from hyperdjango.database._watching import Watch, watched
from hyperdjango.database.status import CommandStatus


class SyncBulk(SyncBlocks):
    """The part of SyncDatabase for what comes in large numbers."""

    def execute_many(
        self, sql: str, rows: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> CommandStatus:
        """Run a command once for each set of values, in order, all or nothing; as `Database.execute_many`."""
        deadline = deadline_after(time.monotonic(), timeout)
        sets = _batches.batches(rows)
        with watched(self, "execute_many", sql) as watch:
            first, second = next(sets, ()), next(sets, ())
            total = _batches.Total(sql, watch)
            watch.parameters_count = len(first[0]) if first else 0
            if second:
                with self._block(None, "BEGIN", deadline):
                    for batch in chain((first, second), sets):
                        total.add(self._request(sql, batch, total.sets, deadline, watch))
            elif first:
                total.add(self._request(sql, first, 0, deadline, watch))
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
        with _pipeline.watched_items(self, items) as watch:
            outcomes = self._run_items(items, deadline, watch)
            return _pipeline.results(outcomes, watch, return_exceptions=return_exceptions)

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
            return _pipeline.run_blocking(slot, items, deadline, None)
        finally:
            self._release(slot)
