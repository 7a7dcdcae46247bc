"""The transactions of one block over several databases, one per alias, and what is done with all of them.

`_atomic` makes them; it and `_two_phase` end them.
"""
# A member is a block of the driver's that is ended step by step:
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database._slot import ROLLBACK_SQL
from hyperdjango.database.errors import InFailedSqlTransaction

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.database._slot import Slot
    from hyperdjango.database.transaction import Transaction, TransactionBlock

# A task that is cancelled while its transactions are being committed goes on with that for so long.
FINISH_SECONDS: Final = 5.0
_FAILED: Final = "a statement in it had failed, and the error was caught inside the block"


class Member:
    """One alias of a block.

    Attributes:
        alias: Its name.
        database: What the name stood for when the block began.
        block: The driver's.
        transaction: The driver's, too.
        is_owed: There is something to commit.
    """

    __slots__ = ("alias", "block", "database", "is_owed", "transaction")

    def __init__(
        self, alias: str, database: "Database", block: "TransactionBlock", transaction: "Transaction"
    ) -> None:
        self.alias = alias
        self.database = database
        self.block = block
        self.transaction = transaction
        self.is_owed = False

    @property
    def slot(self) -> "Slot":
        """The connection."""
        return self.transaction.slot

    def owe(self, command: str = "COMMIT") -> None:
        """Have what ends the transaction sent next, where anything was sent before.

        Raises:
            InFailedSqlTransaction: There is nothing to commit any more.
            InterfaceError: A statement of the block has ended its transaction.
        """
        try:
            if self.transaction.is_failed:
                raise InFailedSqlTransaction(f"nothing was committed: {_FAILED}", sqlstate="25P02")
            self.is_owed = self.transaction.commit(command)
        except Exception as error:
            error.add_note(f"of the transaction of {self.alias!r}")
            raise

    async def commit(self, command: str = "COMMIT") -> None:
        """Send the COMMIT, or COMMIT PREPARED, that is owed."""
        with self.block._watched(command) as watch:
            watch.slot = self.slot
            await self.database._commit(self.slot, command)

    async def end(self, error: BaseException) -> None:
        """ROLLBACK, and give the connection back."""
        with self.block._watched(ROLLBACK_SQL) as watch:
            watch.slot = self.slot
            await self.block._end(self.transaction, error)


async def close_all(members: Sequence[Member]) -> None:
    """Let no statement follow in any of them, and wait for those that are under way."""
    for member in members:
        await member.transaction.close()


async def roll_back(members: Sequence[Member], error: BaseException) -> None:
    """ROLLBACK in reverse order; what goes wrong with one is raised after all have had theirs."""
    failure: BaseException | None = None
    for member in reversed(members):
        try:
            await member.end(error)
        except BaseException as other:
            failure = failure or other
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its traceback has this frame


async def give_back(members: Sequence[Member]) -> None:
    """Give the connections back, whatever goes wrong with one of them; what is not committed is rolled back."""
    failure: BaseException | None = None
    for member in members:
        if not member.transaction.is_committed:
            member.transaction.abandon()
        try:
            await member.block._give_back(member.transaction)
        except BaseException as other:
            failure = failure or other
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its traceback has this frame


async def see_through(work: Coroutine[Any, Any, None]) -> None:
    """Do what must not be left half done: a cancellation counts once it is done, or time is over.

    A second cancellation ends it at once. What it has failed with is then the cause of the CancelledError.
    """
    task = asyncio.ensure_future(_kept(work))
    try:
        failure = await asyncio.shield(task)
    except asyncio.CancelledError as error:
        raised = error
        try:
            if not task.done():
                await asyncio.wait([task], timeout=FINISH_SECONDS)
        except asyncio.CancelledError as again:
            raised = again
        try:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
            failure = None if task.cancelled() else task.result()
            if failure is None:
                raise raised
            cause = failure if isinstance(failure, Exception) else failure.__cause__
            for note in (
                [str(failure)] if isinstance(failure, Exception) else getattr(failure, "__notes__", ())
            ):
                raised.add_note(note)
            raise raised from cause
        finally:
            del raised  # its traceback has this frame
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its traceback has this frame


async def _kept(work: Coroutine[Any, Any, None]) -> BaseException | None:
    """Return what a coroutine has failed with: a task that was cancelled would not keep it."""
    try:
        await work
    except BaseException as error:
        return error
    return None
