"""`execute_many` of more sets than one batch, blocking; as `_async_many`."""

import time
from typing import TYPE_CHECKING

from hyperdjango.database import _sync_replies
from hyperdjango.database._pinned import Pinned
from hyperdjango.database._slot import nobody_waits
from hyperdjango.database._tracebacks import without_ours

if TYPE_CHECKING:
    from hyperdjango.database._batches import Asked, Batch, Total
    from hyperdjango.database._native import native


class Block(Pinned):
    """A transaction block of the blocking face."""

    feed: "Feed | None" = None

    def check_usable(self) -> None:
        """Refuse a statement that could not be part of the transaction; before any other, settle a feed."""
        super().check_usable()
        if self.feed is not None:
            self.feed.settle()


class Feed:
    """A statement of a block that takes sets of values batch by batch."""

    def __init__(self, transaction: Block, asked: "Asked", total: "Total", deadline: float | None) -> None:
        self._transaction = transaction
        self._asked = asked
        self._total = total
        self._deadline = deadline
        self._request: native.Request | None = None
        self._failure: Exception | None = None

    def send(self, batch: "Batch") -> bool:
        """Send a batch behind those before it. What comes back meanwhile is read.

        Returns:
            False where nothing is known of the text: it is to be sent as a single batch.
        Raises:
            Error: A set was refused, one of this batch or of those before it.
            QueryTimeout: The deadline has passed.
        """
        if self._failure is not None:
            raise self._take_failure()
        connection = self._transaction.slot.connection
        at = 0
        if self._request is None:
            self._transaction.check_usable()
            sql, shape, target = self._asked
            self._request = connection.begin_many(sql, batch[:1], shape, target, self._total.sets)
            if self._request is None:
                return False
            self._transaction.sent()
            self._transaction.feed = self
            at = 1
        while at < len(batch) and connection.takes_more:
            try:
                written = connection.extend(batch, at)
            except Exception:
                # A value does not fit. What a set before it did wrong comes first.
                self._settle()
                raise
            at += written
            if written:
                if connection.busy:
                    connection.advance()
            elif connection.takes_more:
                self._wait(connection)
        if not connection.takes_more:
            self._settle()
        return True

    def _wait(self, connection: "native.Connection") -> None:
        """Wait until the socket takes more."""
        left = -1 if self._deadline is None else max(0, int((self._deadline - time.monotonic()) * 1e9))
        connection.wait(left)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise _sync_replies.TimeIsOverError

    def settle(self) -> None:
        """Finish what was sent so that another statement can run; an error is kept for the next `send`."""
        try:
            self._settle()
        except Exception as error:
            self._failure = without_ours(error)

    def _take_failure(self) -> Exception:
        failure, self._failure = self._failure, None
        assert failure is not None
        return failure

    def finish(self) -> None:
        """No more batches follow: wait for all replies.

        Raises:
            Error: A set was refused.
            QueryTimeout: The deadline has passed.
        """
        if self._failure is not None:
            raise self._take_failure()
        self._settle()

    def _settle(self) -> None:
        request = self._request
        if request is None:
            return
        slot = self._transaction.slot
        slot.connection.end_many()
        if not request.done:
            _sync_replies.complete(slot, request, self._deadline)
        self._forget()
        self._total.add(request)

    def abandon(self) -> None:
        """Cancel what is under way: the call has ended otherwise, and the block will undo what it did."""
        request, slot = self._request, self._transaction.slot
        self._forget()
        if request is not None and not request.done and not slot.connection.closed:
            slot.connection.drop(request, nobody_waits())
            _sync_replies.recover(slot)

    def _forget(self) -> None:
        self._request = None
        if self._transaction.feed is self:
            self._transaction.feed = None
