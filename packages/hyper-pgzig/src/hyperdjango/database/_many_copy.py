"""`execute_many(…, copy=True)`: the sets behind the first as records of COPY, where that does the same.

What the binary format cannot take, as a str that the server would parse, goes as an ordinary set. Each batch
is a COPY of its own, in a savepoint: between two of them nothing is under way, and other statements of the
block may run. Where the backend refuses a batch for what is in it, that is undone, and its sets go as
ordinary ones. For COPY finds what is wrong in another order, unique keys after the checks of many rows and
references after all rows, and does not always say where.
"""
# A part of both faces, which uses what nobody else should:
# pyright: reportPrivateUsage=false

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database import _async_copy, _copyable, _shape, _sync_copy
from hyperdjango.database._batches import asked_for
from hyperdjango.database.errors import DatabaseError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from hyperdjango.database._async_many import Feed
    from hyperdjango.database._batches import Asked, Batch, Total
    from hyperdjango.database._copy import Table
    from hyperdjango.database._copyable import Insert
    from hyperdjango.database._native import native
    from hyperdjango.database._pinned import Pinned
    from hyperdjango.database._sync_blocks import SyncBlocks
    from hyperdjango.database._sync_many import Block
    from hyperdjango.database._sync_many import Feed as SyncFeed
    from hyperdjango.database.transaction import Transaction

# Sets that are gathered for one COPY, where nothing else can run while they are.
GATHERED: Final = 5000

# Data exceptions, violations of constraints, exceeded limits of rows: classes of SQLSTATEs.
_ABOUT_ROWS: Final = {"22", "23", "54"}


class Copied:
    """What both faces keep: where the sets go, and those that were gathered."""

    def __init__(self, asked: "Asked", total: "Total", table: "Table", described: "native.Request") -> None:
        self.asked = asked
        self.total = total
        self.table = table
        self.described = described
        self._gathered: list[tuple[object, ...]] = []

    def gather(self, batch: "Batch", count_max: int) -> "Batch":
        """Keep a batch; return what is to be sent now, where that is enough."""
        self._gathered.extend(batch)
        return self.take() if len(self._gathered) >= count_max else ()

    def take(self) -> "Batch":
        """Return what was gathered."""
        gathered, self._gathered = tuple(self._gathered), []
        return gathered

    @contextmanager
    def guarded(self, pinned: "Pinned") -> Generator[None, None, None]:
        """Put a savepoint around the COPY of a batch. Where the backend refuses its rows, go on without it."""
        savepoint = pinned.enter(None)
        try:
            yield
        except BaseException as error:
            # What other tasks have given to `on_commit` meanwhile is not undone with it.
            callbacks = list(pinned.callbacks)
            pinned.leave(savepoint, failed=True)
            pinned.callbacks[:] = callbacks
            if not isinstance(error, DatabaseError) or (error.sqlstate or "")[:2] not in _ABOUT_ROWS:
                raise
        else:
            pinned.leave(savepoint, failed=False)

    def rest(self, batch: "Batch", request: "native.Request | None") -> "Batch":
        """Count in what was copied, and return what was not. `request`: None of a batch that was refused."""
        if request is None:
            return batch
        self.total.add_copied(request)
        return batch[request.records :]


async def feed_of(
    transaction: "Transaction",
    asked: "Asked",
    total: "Total",
    insert: "Insert",
    *,
    feed: "Feed",
    has_it: bool,
    is_plain: bool,
) -> "CopyFeed | None":
    """Return what feeds the sets behind the first to COPY; None: that is not sure to be the same.

    `feed`: takes ordinary sets while the caller has the connection.
    """
    complete = transaction.complete_alone if has_it else transaction.complete
    looked_up = await complete(*_check(insert), None)
    row = looked_up.result()
    if row is None:
        return None
    table = insert.copying(row)
    described = await transaction.describe(table.describing(), has_it=has_it)
    if not described.binary_records:
        return None
    copied = Copied(asked, total, table, described)
    return CopyFeed(transaction, copied, feed, has_it=has_it, is_plain=is_plain)


def _check(insert: "Insert") -> tuple[str, tuple[object, ...], int, Any, bool, None]:
    return _copyable.CHECK, (insert.table, insert.columns), _shape.TUPLE, None, True, None


class CopyFeed:
    """As `_async_many.Feed`, by COPY."""

    def __init__(
        self, transaction: "Transaction", copied: Copied, feed: "Feed", *, has_it: bool, is_plain: bool
    ) -> None:
        self._transaction = transaction
        self._copied = copied
        self._feed = feed
        self._has_it = has_it
        self._count_max = GATHERED if is_plain else 1

    async def send(self, batch: "Batch") -> None:
        """Copy a batch behind those before it, or keep it until there are more.

        Raises:
            Error: A set was refused, one of this batch or of those before it.
        """
        await self._send(self._copied.gather(batch, self._count_max))

    async def finish(self) -> None:
        """No more batches follow."""
        await self._send(self._copied.take())

    async def leave(self, error: BaseException) -> None:
        """Nothing is under way: the block undoes what was done."""

    def _alone(self) -> "AbstractAsyncContextManager[object]":
        return nullcontext() if self._has_it else self._transaction.alone()

    async def _send(self, batch: "Batch") -> None:
        if not batch:
            return
        copied, transaction = self._copied, self._transaction
        async with self._alone():
            request: native.Request | None = None
            with copied.guarded(transaction):
                request = await _async_copy.copy_batch(
                    transaction.slot, copied.table, batch, copied.described, copied.total.sets
                )
            rest = copied.rest(batch, request)
            if rest:
                await self._feed.send(rest)
                await self._feed.finish()


def blocking_feed_of(  # noqa: PLR0917 - ours alone
    face: "SyncBlocks",
    block: "Block",
    asked: "Asked",
    total: "Total",
    insert: "Insert",
    feed: "SyncFeed",
    deadline: float | None,
) -> "SyncCopyFeed | None":
    """As `feed_of`, for the blocking face."""
    row = face._in_transaction(block, _check(insert), deadline).result()
    if row is None:
        return None
    table = insert.copying(row)
    described = _sync_copy.describe(block, table.describing(), deadline)
    if not described.binary_records:
        return None
    return SyncCopyFeed(face, block, Copied(asked, total, table, described), feed, deadline)


class SyncCopyFeed:
    """As `_sync_many.Feed`, by COPY."""

    def __init__(
        self, face: "SyncBlocks", block: "Block", copied: Copied, feed: "SyncFeed", deadline: float | None
    ) -> None:
        self._face = face
        self._block = block
        self._copied = copied
        self._feed = feed
        self._deadline = deadline

    def send(self, batch: "Batch") -> bool:
        """Copy a batch behind those before it, or keep it until there are more.

        Raises:
            Error: A set was refused, one of this batch or of those before it.
        """
        # The iterable may ask the database between two batches what those before have done.
        self._send(self._copied.gather(batch, 1))
        return True

    def finish(self) -> None:
        """No more batches follow."""
        self._send(self._copied.take())

    def abandon(self) -> None:
        """The call has ended otherwise, and the block will undo what it did."""
        self._feed.abandon()

    def _send(self, batch: "Batch") -> None:
        if not batch:
            return
        copied = self._copied
        self._block.check_usable()
        request: native.Request | None = None
        with copied.guarded(self._block):
            request = _sync_copy.copy_batch(
                self._block.slot, copied.table, batch, copied.described, copied.total.sets, self._deadline
            )
        rest = copied.rest(batch, request)
        if not rest:
            return
        if self._feed.send(rest):
            self._feed.finish()
            return
        sql, sets, shape, target, first, first_set, _ = asked_for(copied.asked, rest, copied.total.sets)
        arguments = (sql, sets, shape, target, first, first_set)
        copied.total.add(self._face._in_transaction(self._block, arguments, self._deadline))
