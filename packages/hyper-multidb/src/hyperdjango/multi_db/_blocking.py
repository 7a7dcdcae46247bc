"""The blocking face of an alias with replicas: everything goes to the primary, wherever that is, and is a write.

How far the log is behind a commit is asked in the same flush, as on the asyncio face.
"""
# One half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

import time
from typing import TYPE_CHECKING, Any

from hyperdjango.database import SyncDatabase, _pipeline, _shape, _sync_copy, _sync_replies
from hyperdjango.database._pinned import check_committed
from hyperdjango.database._repeat import ATTEMPTS
from hyperdjango.database._watching import NOBODY, Finished
from hyperdjango.database.errors import ConnectionFailed, ConnectionLost, Error
from hyperdjango.multi_db import _commits
from hyperdjango.multi_db import scope as scopes
from hyperdjango.multi_db._moved import has_moved
from hyperdjango.multi_db._probe import POSITIONS
from hyperdjango.multi_db._replica_set import WRITE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hyperdjango.database import _copy_source
    from hyperdjango.database._native import native
    from hyperdjango.database._pipeline import Query
    from hyperdjango.database._slot import Slot
    from hyperdjango.database._watching import Watch
    from hyperdjango.multi_db._primary import PrimaryFace
    from hyperdjango.multi_db._replica_set import ReplicaSet


class BlockingPrimary(SyncDatabase):
    """A SyncDatabase whose writes are seen by the reads of the same scope."""

    _face: "PrimaryFace"
    _set: "ReplicaSet"

    @classmethod
    def of(cls, face: "PrimaryFace") -> "BlockingPrimary":
        """Make it, over the pool of the asyncio face."""
        self = cls.over(
            face._pool, face._settings, opens_on_use=face._opens_on_use, asyncio_block=face._current
        )
        self.alias, self.role, self.reason = face.alias, face.role, face.reason
        self._face, self._set = face, face._set
        return self

    def _acquire(self, deadline: float | None) -> "Slot":
        slot = self._acquire_here(deadline)
        if self._set.by_lsn:
            try:
                if (request := _commits.learn(slot.connection)) is not None:
                    _sync_replies.complete(slot, request, deadline)
            except BaseException:
                self._release(slot)
                raise
        return slot

    def _acquire_here(self, deadline: float | None) -> "Slot":
        """As the driver's; nothing is sent where there is no connection, so then it waits for a new primary."""
        try:
            return super()._acquire(deadline)
        except ConnectionFailed as error:
            self._face._heard(error)
            if not has_moved(error) or not waits_for_primary(self._set, deadline):
                raise
        except Error as error:
            self._face._heard(error)
            raise
        return super()._acquire(deadline)

    def _complete(  # noqa: PLR0917 - as the driver's
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
        watch: "Watch | None" = None,
    ) -> "native.Request":
        if watch is None and self._pool.watchers:
            # Comes back here, watched.
            return super()._complete(sql, args, shape, target, first, first_set, deadline, watch)
        self._count()
        try:
            if self.in_transaction():
                request = super()._complete(sql, args, shape, target, first, first_set, deadline, watch)
            else:
                item = _pipeline.Item(sql, args, shape, target, first, first_set)
                request = self._followed(item, deadline, watch)
        except Error as error:
            self._face._heard(error)
            raise
        if not request.failed:
            return request
        finished = Finished(request, NOBODY)
        if finished._error is not None:
            self._face._heard(finished._error)
        return finished  # type: ignore[return-value]  # stands for it

    def _followed(
        self, item: _pipeline.Item, deadline: float | None, watch: "Watch | None"
    ) -> "native.Request":
        """Run a statement, a batch or a script and ask in the same flush how far the log is behind it."""
        attempts = 0
        while True:
            slot = self._acquire_here(deadline)
            if watch is not None:
                watch.has(slot)
            attempts += 1
            try:
                if item.args is None and slot.connection.owed:
                    _sync_replies.run_owed(slot, deadline)
                (request,) = self._run_alone(slot, [item], deadline)
            finally:
                self._release(slot)
            assert request is not None
            if isinstance(request, Exception):
                # It was found closed before the statement was sent; else the statement cannot be.
                if not isinstance(request, ConnectionLost) or attempts == ATTEMPTS:
                    raise request
                continue
            if not (request.stale or request.undone) or attempts == ATTEMPTS:
                return request

    def pipeline(
        self,
        queries: "Iterable[Query]",
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """Run several statements in one round trip, on the primary; as `Database.pipeline`."""
        try:
            made = super().pipeline(queries, return_exceptions=return_exceptions, timeout=timeout)
        except Error as error:
            self._face._heard(error)
            raise
        self._face._heard_among(made)
        return made

    def _run_items(
        self, items: list[_pipeline.Item], deadline: float | None, watch: "Watch"
    ) -> _pipeline.Outcomes:
        self._count()
        return super()._run_items(items, deadline, watch)

    def _run_alone(
        self, slot: "Slot", items: list[_pipeline.Item], deadline: float | None
    ) -> _pipeline.Outcomes:
        with self._face.noting(item.sql for item in items) as question:
            return _pipeline.run_blocking(slot, items, deadline, None, question)

    def _copy_in(self, sql: str, data: Any, timeout: float | None) -> Any:
        if not self._set.by_lsn:  # else it is counted with its COMMIT
            self._count()
        try:
            return super()._copy_in(sql, data, timeout)
        except Error as error:
            self._face._heard(error)
            raise

    def _copy_alone(
        self, sql: str, pieces: "Iterator[_copy_source.Piece]", deadline: float | None, watch: "Watch"
    ) -> "native.Request":
        """As that of the asyncio face."""
        if not self._set.by_lsn:
            try:
                return super()._copy_alone(sql, pieces, deadline, watch)
            finally:
                self._face.has_written()
        with self._transaction_of_own(deadline, deadline) as transaction:
            watch.has(transaction.slot)
            return _sync_copy.copy_in(transaction.slot, sql, pieces, transaction, deadline)

    def _commit(self, slot: "Slot", deadline: float | None) -> None:
        """As that of the asyncio face."""
        self._set.routes[WRITE] += 1
        if not self._set.by_lsn:
            try:
                super()._commit(slot, deadline)
            finally:
                self._face.has_written()
            return
        try:
            request, asked = _commits.send(slot.connection, "COMMIT")
            _sync_replies.drain(slot, deadline)
            request.result()
            check_committed(request.tag)
            position = _commits.position(request, self._ask_first(slot, deadline) if asked is None else asked)
        except BaseException:
            self._face.has_written()
            raise
        if position is None:
            self._face.has_written()
        else:
            scopes.current.get().note(self._set.alias, position)

    @staticmethod
    def _ask_first(slot: "Slot", deadline: float | None) -> "native.Request | None":
        """Ask what the pool has not described yet, behind a COMMIT that is answered; None where that fails."""
        try:
            asked = slot.connection.submit(POSITIONS, (), _shape.VALUE, None, True, None)
            _sync_replies.complete(slot, asked, deadline)
        except Error:
            return None
        return asked

    def _count(self) -> None:
        """A call goes to the primary; what is in a block counts once, when that commits."""
        if not self.in_transaction():
            self._set.routes[WRITE] += 1


def waits_for_primary(replica_set: "ReplicaSet", deadline: float | None) -> bool:
    """Wait for a server that takes writes, as long as the alias and the deadline, by time.monotonic, let us."""
    seconds = replica_set.options.failover_timeout
    if deadline is not None:
        seconds = min(seconds, deadline - time.monotonic())
    return seconds > 0 and replica_set.find_primary_blocking(seconds)


__all__ = ["BlockingPrimary", "waits_for_primary"]
