"""`execute_many` of more sets than one batch, on an event loop: sets are sent while the backend works.

One statement takes them all, inside a transaction. Between two batches, while the iterable is asked for
more, others may need the connection: a statement of the iterable's own, or of another task of the block.
They settle what was sent first.
PostgreSQL docs: protocol-flow, "Pipelining".
"""
# Half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

from contextlib import nullcontext
from typing import TYPE_CHECKING

from hyperdjango.database import _async_replies
from hyperdjango.database._batches import Total, asked_for
from hyperdjango.database._many_copy import CopyFeed, feed_of
from hyperdjango.database._slot import AGAIN, Slot, nobody_waits
from hyperdjango.database._tracebacks import without_ours
from hyperdjango.database.transaction import TransactionBlock

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from hyperdjango.database._async_blocks import AsyncBlocks
    from hyperdjango.database._batches import Asked, Batch
    from hyperdjango.database._copyable import Insert
    from hyperdjango.database._native import native
    from hyperdjango.database._watching import Watch
    from hyperdjango.database.transaction import Transaction


async def run(
    database: "AsyncBlocks",
    asked: "Asked",
    batches: "AsyncIterator[Batch]",
    watch: "Watch",
    *,
    is_plain: bool,
    insert: "Insert | None" = None,
) -> Total:
    """Run a statement for all sets, all or nothing, and return what they did.

    Args:
        database: The face that was called.
        asked: The statement.
        batches: The sets.
        watch: What reports the call.
        is_plain: Nothing runs on the loop while they are asked for more.
        insert: The statement taken apart, where COPY may do the same.
    """
    total = Total(asked.sql, watch)
    first = await anext(batches, None)
    if first is None:
        return total
    watch.parameters_count = len(first[0])
    second = await anext(batches, None)
    outer = database._current.get()
    if outer is None and second is None:
        total.add(await database._complete(*asked_for(asked, first, 0), watch))
        return total
    if outer is None or not (is_plain or outer.is_failed):
        async with TransactionBlock(database, None, None, None, None, is_reported=False):
            transaction = database._current.get()
            assert transaction is not None
            await _run_in(
                transaction, asked, (first, second), batches, total, insert, has_it=False, is_plain=is_plain
            )
        return total
    async with outer.alone():
        # In a failed transaction no savepoint can be set, and nothing will run.
        savepoint = None if outer.is_failed else outer.enter(None)
        try:
            await _run_in(
                outer, asked, (first, second), batches, total, insert, has_it=True, is_plain=is_plain
            )
        except BaseException:
            if savepoint is not None:
                # What other tasks have given to `on_commit` meanwhile is not undone with it.
                callbacks = list(outer.callbacks)
                outer.leave(savepoint, failed=True)
                outer.callbacks[:] = callbacks
            raise
        if savepoint is not None and outer.leave(savepoint, failed=False):
            await outer.run_owed()
        return total


async def _run_in(  # noqa: PLR0917 - ours alone
    transaction: "Transaction",
    asked: "Asked",
    begun: "tuple[Batch, Batch | None]",
    batches: "AsyncIterator[Batch]",
    total: Total,
    insert: "Insert | None",
    *,
    has_it: bool,
    is_plain: bool,
) -> None:
    """Run all sets in a transaction: the one or two batches taken already, and the rest.

    `has_it`: the caller has the connection, for as long as this takes.
    """
    first, second = begun
    if has_it:
        total.watch.slot = transaction.slot
    else:
        total.watch.has(transaction.slot)
    complete = transaction.complete_alone if has_it else transaction.complete
    if second is None:
        total.add(await complete(*asked_for(asked, first, 0)))
        return
    # By its answer it is known that the text can be sent for all the others.
    total.add(await complete(*asked_for(asked, first[:1], 0)))
    feed: Feed | CopyFeed | None = None
    if insert is not None:
        ordinary = Feed(transaction, asked, total, has_it=True)
        feed = await feed_of(
            transaction, asked, total, insert, feed=ordinary, has_it=has_it, is_plain=is_plain
        )
    feed = feed or Feed(transaction, asked, total, has_it=has_it)
    try:
        for batch in (first[1:], second):
            if batch:
                await feed.send(batch)
        async for batch in batches:
            await feed.send(batch)
    except BaseException as error:
        await feed.leave(error)
        raise
    await feed.finish()


class Feed:
    """A statement of a block that takes sets of values batch by batch."""

    def __init__(self, transaction: "Transaction", asked: "Asked", total: "Total", *, has_it: bool) -> None:
        self._transaction = transaction
        self._asked = asked
        self._total = total
        self._has_it = has_it
        self._request: native.Request | None = None
        self._failure: Exception | None = None

    def _alone(self) -> "AbstractAsyncContextManager[object]":
        return nullcontext() if self._has_it else self._transaction.alone(feed=self)

    async def send(self, batch: "Batch") -> None:
        """Send a batch behind those before it. What comes back meanwhile is read.

        Raises:
            Error: A set was refused, one of this batch or of those before it.
        """
        async with self._alone():
            if self._failure is not None:
                raise self._take_failure()
            try:
                if not await self._send(self._transaction.slot, batch):
                    # Nothing is known of the text, for whatever reason: as one batch it can always be sent.
                    arguments = asked_for(self._asked, batch, self._total.sets)
                    self._total.add(await self._transaction.complete_alone(*arguments))
            except BaseException as error:
                await self.abandon(error)
                raise

    async def _send(self, slot: Slot, batch: "Batch") -> bool:
        connection = slot.connection
        at = 0
        if self._request is None:
            sql, shape, target = self._asked
            self._request = connection.begin_many(sql, batch[:1], shape, target, self._total.sets)
            if self._request is None:
                return False
            self._transaction.sent()
            self._transaction.feed = self
            at = 1
        state = _async_replies.current()
        while at < len(batch) and connection.takes_more:
            try:
                written = connection.extend(batch, at)
            except Exception:
                # A value does not fit. What a set before it did wrong comes first.
                await self._settle(slot)
                raise
            at += written
            # Where nothing waits to be sent any more, there is room by now.
            if not written and _is_full(connection):
                await _moved(connection, state)
            is_more_here = connection.busy and connection.advance() == AGAIN
            if is_more_here or state.is_turn_due():
                await _async_replies.turn()
        if not connection.takes_more:
            await self._settle(slot)
        return True

    async def settle(self, slot: Slot) -> None:
        """Finish what was sent so that another statement can run; an error is kept for the next `send`."""
        try:
            await self._settle(slot)
        except Exception as error:
            self._failure = without_ours(error)

    def _take_failure(self) -> Exception:
        failure, self._failure = self._failure, None
        assert failure is not None
        return failure

    async def finish(self) -> None:
        """No more batches follow: wait for all replies.

        Raises:
            Error: A set was refused.
        """
        async with self._alone():
            if self._failure is not None:
                raise self._take_failure()
            await self._settle(self._transaction.slot)

    async def _settle(self, slot: Slot) -> None:
        request = self._request
        if request is None:
            return
        slot.connection.end_many()
        if not request.done:
            await _async_replies.complete(slot, request)
        self._forget()
        self._total.add(request)

    async def leave(self, error: BaseException) -> None:
        """The iterable has raised, or the call was cancelled while it was asked for more."""
        # Whoever has the connection meanwhile settles this first.
        if self._has_it or not self._transaction.is_used:
            await self.abandon(error)

    async def abandon(self, error: BaseException) -> None:
        """Cancel what is under way: the call has ended otherwise, and the block will undo what it did."""
        request, slot = self._request, self._transaction.slot
        self._forget()
        if request is None or request.done or slot.connection.closed:
            return
        if isinstance(error, GeneratorExit):
            slot.close()  # the coroutine was thrown away: it must not wait any more
            return
        slot.connection.drop(request, nobody_waits())
        await _async_replies.recover(slot)

    def _forget(self) -> None:
        self._request = None
        if self._transaction.feed is self:
            self._transaction.feed = None


def _is_full(connection: "native.Connection") -> bool:
    """Whether more sets are taken once the socket has taken those before them."""
    return connection.takes_more and connection.wants_write


async def _moved(connection: "native.Connection", state: _async_replies.LoopState) -> None:
    """Wait until the socket takes more, or has something to say."""
    loop = state.loop
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    wants_write = connection.wants_write
    state.in_flight += 1
    loop.add_reader(connection.fd, wake)
    try:
        if wants_write:
            loop.add_writer(connection.fd, wake)
        await future
    finally:
        state.in_flight -= 1
        loop.remove_reader(connection.fd)
        if wants_write:
            loop.remove_writer(connection.fd)
