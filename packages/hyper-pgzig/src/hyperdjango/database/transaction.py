"""Transaction blocks of the asyncio face.

The current transaction lives in a ContextVar of its Database: a task that is started inside the block
inherits it, another thread does not.
PostgreSQL docs: sql-begin, sql-savepoint, tutorial-transactions.
"""
# A block is one half of Database and uses what nobody else should:
# pyright: reportPrivateUsage=false

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from hyperdjango.database import _async_replies, _callbacks
from hyperdjango.database._pinned import (
    RELEASE,
    ROLLBACK_TO,
    SAVEPOINT,
    Pinned,
    Savepoint,
    begin_sql,
)
from hyperdjango.database._running import running
from hyperdjango.database._slot import ROLLBACK_SQL, Slot
from hyperdjango.database._stages import RUNNING
from hyperdjango.database._watching import NOBODY, Watch, watched
from hyperdjango.database.errors import InterfaceError, QueryTimeout

if TYPE_CHECKING:
    from contextvars import Token

    from hyperdjango.database._async_calls import AsyncCalls
    from hyperdjango.database._async_many import Feed
    from hyperdjango.database._copy import Reading
    from hyperdjango.database._native import native

P = ParamSpec("P")
R = TypeVar("R")


class Transaction(Pinned):
    """An open transaction; the statements of several tasks queue on its connection."""

    def __init__(self, slot: Slot, begin: str) -> None:
        super().__init__(slot, begin)
        # Statements of child tasks queue here, in order of arrival.
        self._lock = asyncio.Lock()
        # Who moves data through the connection in several steps, and would wait for itself.
        self._mover: asyncio.Task[object] | None = None
        # A statement that takes sets of values while its iterable is asked for more.
        self.feed: Feed | None = None

    @property
    def is_used(self) -> bool:
        """Whether a statement has the connection just now."""
        return self._lock.locked()

    @asynccontextmanager
    async def alone(
        self, deadline: float | None = None, feed: "Feed | None" = None
    ) -> AsyncGenerator[Slot, None]:
        """Have the connection for one statement, or for several in a row.

        Args:
            deadline: Of the wait for the other tasks' statements, by the loop's clock; None is no limit.
            feed: The one that goes on with its own statement; anybody else finds nothing under way.
        Raises:
            TransactionClosed: The block has ended.
            QueryTimeout: The deadline has passed; nothing was sent.
        """
        if self._mover is not None and self._mover is asyncio.current_task():
            raise InterfaceError(
                "the block's connection gives the data of a copy_out: read that to its end first"
                if self.reading is not None
                else "the block's connection takes the data of a COPY: what gives that cannot use it"
            )
        limit = asyncio.timeout_at(deadline if self._lock.locked() else None)
        try:
            async with limit:
                await self._lock.acquire()
        except TimeoutError:
            raise QueryTimeout(
                "the call's timeout has passed while other tasks had the transaction's connection"
            ) from None
        try:
            self.check_usable()
            if self.feed is not None and self.feed is not feed:
                await self.feed.settle(self.slot)
            yield self.slot
        finally:
            self._lock.release()

    async def complete(  # noqa: PLR0917 - ours alone; a keyword costs time on the hot path
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
    ) -> "native.Request":
        """Run one statement on the pinned connection and return its finished request."""
        async with self.alone(deadline) as slot:
            return await self._complete(slot, (sql, args, shape, target, first, first_set), deadline)

    async def complete_alone(  # noqa: PLR0917 - ours alone
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
    ) -> "native.Request":
        """As `complete`, for a caller who has the connection."""
        return await self._complete(self.slot, (sql, args, shape, target, first, first_set), deadline)

    async def complete_undone(
        self, sql: str, args: tuple[object, ...], shape: int, deadline: float | None
    ) -> "native.Request":
        """Run one statement, return its finished request, and let nothing of what it did remain.

        The statements of other tasks stand in front of it or behind, so that they are not undone with it.
        """
        async with self.alone(deadline) as slot:
            savepoint = self.enter(None)
            try:
                return await self._complete(slot, (sql, args, shape, None, True, None), deadline)
            finally:
                # What other tasks asked for meanwhile is not the statement's.
                callbacks = list(self.callbacks)
                self.leave(savepoint, failed=True)
                self.callbacks[:] = callbacks

    async def _complete(
        self,
        slot: Slot,
        arguments: "tuple[str, tuple[object, ...] | None, int, object, bool, int | None]",
        deadline: float | None,
    ) -> "native.Request":
        connection = slot.connection
        while True:
            if arguments[1] is None and connection.owed:
                await self.run_owed(deadline)
            request = connection.submit(*arguments)
            is_first = self.sent()
            try:
                if not _async_replies.look(connection):
                    await _async_replies.complete(slot, request, deadline)
            except BaseException:
                if connection.busy and not connection.closed:
                    await _async_replies.abandon(slot, request)
                if is_first:
                    self.check_begun()
                raise
            if not is_first or not self.is_to_repeat(request):
                return request

    @asynccontextmanager
    async def moving(self, reading: "Reading | None" = None) -> AsyncGenerator[Slot, None]:
        """Have the connection as long as data goes through it. Something of the user's runs in between.

        Args:
            reading: What is read, where the data comes from the backend.
        """
        async with self.alone() as slot:
            self._mover, self.reading = asyncio.current_task(), reading
            try:
                yield slot
            finally:
                self._mover = self.reading = None

    async def end_reading(self, *, failed: bool) -> None:
        """Stop the reading that this task, or one that has ended, has left: the block ends, too.

        Args:
            failed: What the block has done will be rolled back.
        """
        reading, mover = self.reading, self._mover
        if reading is None or mover is None or not (mover.done() or mover is asyncio.current_task()):
            return
        reading.is_spared = not failed
        items = reading.items()
        if items is not None:  # else its loop is about to close it
            await items.aclose()

    async def describe(self, sql: str, *, has_it: bool = False) -> "native.Request":
        """Learn the columns of a query, which is not run, and keep the locks that this takes.

        Args:
            sql: The query.
            has_it: The caller has the connection already.
        """
        async with contextlib.nullcontext(self.slot) if has_it else self.alone() as slot:
            request = slot.connection.prepare(sql)
            slot.connection.push()
            await self._answered(slot, request, None)
            request.result()
            return request

    async def open_portal(  # noqa: PLR0917 - ours alone, as `complete`
        self,
        sql: str,
        args: tuple[object, ...],
        shape: int,
        target: object,
        row_limit: int,
        deadline: float | None,
    ) -> "native.Request":
        """Run a statement up to its first rows and return the finished request."""
        async with self.alone(deadline) as slot:
            while True:
                request = slot.connection.open_portal(sql, args, shape, target, row_limit)
                if not await self._answered(slot, request, deadline):
                    return request

    async def fetch(self, former: "native.Request", deadline: float | None) -> "native.Request":
        """Return the finished request for more rows of the portal that a request has opened."""
        async with self.alone(deadline) as slot:
            request = slot.connection.fetch(former)
            await self._answered(slot, request, deadline)
            return request

    def fetch_ahead(self, former: "native.Request") -> "native.Request":
        """Ask for more rows of a portal and do not wait for them: the caller has the connection to itself."""
        return self.slot.connection.fetch(former)

    async def fetched(self, request: "native.Request", deadline: float | None) -> None:
        """Wait for what was asked for ahead."""
        await _async_replies.complete(self.slot, request, deadline)

    async def give_up_on(self, request: "native.Request") -> None:
        """Cancel what was asked for ahead, where it is still under way."""
        connection = self.slot.connection
        if connection.busy and not connection.closed:
            await _async_replies.abandon(self.slot, request)

    async def close_portal(self, former: "native.Request") -> None:
        """Say that no more rows of a portal are wanted."""
        async with self.alone() as slot:
            request = slot.connection.close_portal(former)
            await self._answered(slot, request, None)
            request.result()

    async def _answered(self, slot: Slot, request: "native.Request", deadline: float | None) -> bool:
        """Wait for a request that was sent just now. True: it is to be sent again."""
        is_first = self.sent()
        try:
            await _async_replies.complete(slot, request, deadline)
        except BaseException:
            if is_first:
                self.check_begun()
            raise
        return is_first and self.is_to_repeat(request)

    async def run_owed(self, deadline: float | None = None) -> str:
        """Send what the block owes by itself and return the last command's tag."""
        is_first = self.sent()
        try:
            return await _async_replies.run_owed(self.slot, deadline)
        except BaseException:
            if is_first:
                self.check_begun()
            raise

    async def enter_nested(self, name: str | None) -> Savepoint:
        """Begin a nested block."""
        async with self.alone():
            return self.enter(name)

    async def leave_nested(self, savepoint: Savepoint, *, failed: bool) -> None:
        """End a nested block."""
        has_left = False
        try:
            await self.end_reading(failed=failed)
            async with self.alone():
                must_run = self.leave(savepoint, failed=failed)
                has_left = True
                if must_run:
                    await self.run_owed()
        except BaseException:
            if not has_left:
                # Cancelled while a task of the block used the connection.
                self.spoil()
            raise
        finally:
            if failed:
                self.undo(savepoint.undoings_before)

    async def close(self, *, failed: bool = False) -> Slot:
        """Let no statement follow those that wait already, and return the connection."""
        await self.end_reading(failed=failed)
        async with self._lock:
            self.is_closed = True
            return self.slot

    async def give_up(self) -> Slot:
        """Let no statement follow the one that runs, and return the connection."""
        self.is_closed = True
        return await self.close()

    def take(self) -> Slot:
        """Return the connection, whoever uses it: it is to be closed."""
        self.is_closed = True
        return self.slot


class TransactionBlock:
    """What `Database.transaction()` returns: an async context manager, entered once, and a decorator."""

    def __init__(
        self,
        database: "AsyncCalls",
        savepoint_name: str | None,
        isolation: str | None,
        read_only: bool | None,
        deferrable: bool | None,
        *,
        is_reported: bool = True,
    ) -> None:
        self._database = database
        self._is_reported = is_reported
        self._savepoint_name = savepoint_name
        self._begin = begin_sql(isolation, read_only, deferrable)
        self._transaction: Transaction | None = None
        self._savepoint: Savepoint | None = None
        self._token: Token[Transaction | None] | None = None

    async def __aenter__(self) -> Self:
        """Take a connection, or set a savepoint inside another block; both begin with the first statement."""
        if self._transaction is not None:
            raise InterfaceError("this transaction block is entered already: call transaction() for each")
        current = self._database._current
        outer = current.get()
        if outer is not None:
            if self._begin != "BEGIN":
                raise InterfaceError("isolation, read_only and deferrable belong to the outermost block")
            with self._watched(SAVEPOINT) as watch:
                watch.slot = outer.slot
                self._savepoint = await outer.enter_nested(self._savepoint_name)
            self._transaction = outer
            return self
        with self._watched(self._begin) as watch:
            slot = await self._database._acquire(None)
            watch.has(slot)
        self._transaction = Transaction(slot, self._begin)
        self._token = current.set(self._transaction)
        running.set((*running.get(), self._database))
        RUNNING.set((*RUNNING.get(), self._transaction))
        return self

    def _watched(self, command: str) -> Watch:
        """Return what watches one of the commands around the block."""
        return watched(self._database, "transaction", command) if self._is_reported else NOBODY

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """COMMIT or ROLLBACK; RELEASE or ROLLBACK TO for a nested block."""
        transaction = self._transaction
        assert transaction is not None
        self._transaction = None
        if self._savepoint is not None:
            savepoint, self._savepoint = self._savepoint, None
            with self._watched(RELEASE if error is None else ROLLBACK_TO) as watch:
                watch.slot = transaction.slot
                await transaction.leave_nested(savepoint, failed=error is not None)
            return
        with self._watched("COMMIT" if error is None else ROLLBACK_SQL) as watch:
            watch.slot = transaction.slot
            self._leave()
            await self._end(transaction, error)
        if error is None:
            await _callbacks.run(transaction.callbacks)

    # The steps of the end of an outermost block, for blocks of several Databases that end together.

    def _leave(self) -> None:
        """What the task does from now on is not part of the block."""
        assert self._token is not None
        transaction = self._database._current.get()
        self._database._current.reset(self._token)
        # The next two are not reset: blocks of two Databases may end in another order than they began.
        running.set(tuple([one for one in running.get() if one is not self._database]))
        RUNNING.set(tuple([one for one in RUNNING.get() if one is not transaction]))
        if transaction is not None:
            transaction.stage.is_over = True

    async def _end(self, transaction: Transaction, error: BaseException | None) -> None:
        """COMMIT or ROLLBACK, and give the connection back."""
        try:
            await transaction.close(failed=error is not None)
        except BaseException:
            # A task of the block still uses the connection, and nobody is left to wait for it.
            self._database._give_back_later(transaction)
            transaction.undo()
            raise
        try:
            if error is not None:
                transaction.abandon()
                self._database._heard(error)
            else:
                await self._commit(transaction)
        finally:
            await self._give_back(transaction)

    async def _commit(self, transaction: Transaction) -> None:
        """COMMIT, where anything was sent. The block is closed."""
        if transaction.commit():
            await self._database._commit(transaction.slot)
        transaction.is_committed = True

    async def _give_back(self, transaction: Transaction) -> None:
        """Give the connection back."""
        if not transaction.is_committed:
            transaction.undo()
        # What is not committed this rolls back: before somebody else has the connection.
        await self._database._release(transaction.slot, is_block=True)

    def __call__(
        self, function: Callable[P, Coroutine[object, object, R]]
    ) -> Callable[P, Coroutine[object, object, R]]:
        """Run each call of a coroutine function in a block of its own."""
        arguments = (self._savepoint_name, self._begin)

        @functools.wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            block = TransactionBlock(
                self._database, arguments[0], None, None, None, is_reported=self._is_reported
            )
            block._begin = arguments[1]
            async with block:
                return await function(*args, **kwargs)

        return wrapper
