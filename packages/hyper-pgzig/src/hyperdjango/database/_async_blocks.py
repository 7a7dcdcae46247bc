"""Transaction blocks of the asyncio face, as methods of Database. The blocks themselves: `transaction`."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from hyperdjango.database import _async_replies, _callbacks
from hyperdjango.database._async_calls import AsyncCalls
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._repeat import NOT_INSIDE, check_retries, is_repeatable, pause_before
from hyperdjango.database._watching import Watch
from hyperdjango.database.errors import DatabaseError, InterfaceError
from hyperdjango.database.transaction import Transaction, TransactionBlock

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")


class AsyncBlocks(AsyncCalls):
    """The part of Database that makes several statements one."""

    def transaction(
        self,
        savepoint_name: str | None = None,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> TransactionBlock:
        """Return a block whose statements all take effect, or none: `async with db.transaction():`.

        Also decorates a coroutine function. Inside another block of this Database it is a savepoint.

        Args:
            savepoint_name: The name of the savepoint of a nested block; by itself `sp_2`, `sp_3` …
            isolation: `"read committed"`, `"repeatable read"` or `"serializable"`; outermost block only.
            read_only: Whether writes are refused; outermost block only.
            deferrable: For serializable read-only transactions; outermost block only.

        PostgreSQL docs: sql-begin, sql-savepoint.
        """
        return TransactionBlock(self, savepoint_name, isolation, read_only, deferrable)

    atomic = transaction

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call `function` once the running transaction is committed, and never if it is rolled back.

        Outside a transaction block it is called at once, a coroutine function as a task. Of a nested block
        that is rolled back nothing is called. Functions are called in order, after the connection went back;
        the transaction stands, whatever they do: the block raises the first error, those after it are logged.

        Args:
            function: A plain or a coroutine function without arguments.
        Raises:
            TransactionClosed: The block has ended.
            TypeError: It is no function.
        """
        _callbacks.check(function)
        transaction = self._current.get()
        if transaction is not None:
            transaction.check_usable()
            transaction.callbacks.append(function)
            return
        outcome = function()
        if inspect.isawaitable(outcome):
            self._run_later(_callbacks.finish(outcome))

    def _on_rollback(self, function: Callable[[], None]) -> None:
        """Call `function` when the running block is rolled back, never where there is none; it must not fail."""
        transaction = self._current.get()
        if transaction is not None:
            transaction.undoings.append(function)

    async def run(
        self,
        function: Callable[[], Coroutine[object, object, T]],
        retries: int = 3,
        *,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> T:
        """Call a coroutine function in a transaction of its own, and again where the backend asks for it.

        It is called again after serialization_failure (40001) and deadlock_detected (40P01), and after
        nothing else, with a short and random pause before.

        Args:
            function: Without arguments; whatever else it does should bear being repeated.
            retries: How often it is called again at most.
            isolation: As for `transaction`, and so the two after it.
            read_only: As for `transaction`.
            deferrable: As for `transaction`.
        Returns:
            What it returns, once that is committed.
        Raises:
            InterfaceError: Inside a transaction block, a part of which cannot be repeated.
            ValueError: `retries` is negative.

        PostgreSQL docs: mvcc-serialization-failure-handling.
        """
        check_retries(retries)
        if self._current.get() is not None:
            raise InterfaceError(NOT_INSIDE)
        for attempt in range(retries + 1):
            transaction = None
            try:
                async with self.transaction(None, isolation, read_only, deferrable):
                    transaction = self._current.get()
                    return await function()
            except DatabaseError as error:
                # A callback of what is committed may fail with just such an error.
                is_committed = transaction is not None and transaction.is_committed
                if attempt == retries or is_committed or not is_repeatable(error):
                    raise
            await asyncio.sleep(pause_before(attempt + 1))
        raise AssertionError  # the last attempt has returned or raised

    @asynccontextmanager
    async def _transaction_of_own(self, timeout: float | None) -> AsyncGenerator[Transaction, None]:
        """The running transaction, or one for this call alone, which no other statement gets into.

        That one is committed at the end, and rolled back where the body is left by an exception.

        Args:
            timeout: Seconds, of the wait for a connection.
        """
        current = self._current.get()
        if current is not None:
            current.check_usable()
            yield current
            return
        loop = asyncio.get_running_loop()
        slot = await self._acquire(deadline_after(loop.time(), timeout))
        try:
            transaction = Transaction(slot, "BEGIN")
            try:
                yield transaction
            except BaseException:
                transaction.abandon()
                raise
            finally:
                transaction.is_closed = True
            if transaction.commit():
                await self._commit(slot)
        finally:
            await self._release(slot, is_block=True)

    def in_transaction(self) -> bool:
        """Whether the calling task is inside a transaction block of this Database."""
        return self._current.get() is not None

    async def _complete_undone(
        self, sql: str, args: tuple[object, ...], shape: int, timeout: float | None, watch: Watch
    ) -> "native.Request":
        """Run one statement, return its finished request, and let nothing of what it did remain.

        In a block it is undone alone, by a savepoint.
        """
        deadline = deadline_after(_async_replies.current().loop.time(), timeout)
        transaction = self._current.get()
        if transaction is not None:
            watch.slot = transaction.slot
            return await transaction.complete_undone(sql, args, shape, deadline)
        slot = await self._acquire(deadline)
        watch.has(slot)
        transaction = Transaction(slot, "BEGIN")
        try:
            return await transaction.complete(sql, args, shape, None, True, None, deadline)
        finally:
            transaction.is_closed = True
            transaction.abandon()
            # Rolls back, as nothing is committed.
            await self._release(slot, is_block=True)
