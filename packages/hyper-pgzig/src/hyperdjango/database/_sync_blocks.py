"""Transaction blocks of the blocking face, as methods of SyncDatabase."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from hyperdjango.database import _callbacks
from hyperdjango.database._pinned import RELEASE, ROLLBACK_TO, SAVEPOINT, begin_sql
from hyperdjango.database._repeat import NOT_INSIDE, check_retries, is_repeatable, pause_before
from hyperdjango.database._slot import ROLLBACK_SQL, Slot
from hyperdjango.database._sync_calls import SyncCalls, end_interrupted, run_owed
from hyperdjango.database._sync_copy import end_reading
from hyperdjango.database._sync_many import Block
from hyperdjango.database._watching import NOBODY, Watch, watched
from hyperdjango.database.errors import DatabaseError, InterfaceError

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")


class SyncBlocks(SyncCalls):
    """The part of SyncDatabase that makes several statements one."""

    @contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> Generator[None, None, None]:
        """A block whose statements all take effect, or none; as `Database.transaction`."""
        begin = begin_sql(isolation, read_only, deferrable)
        with self._block(savepoint_name, begin, None, is_reported=True):
            yield

    atomic = transaction

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call `function` once the running transaction is committed; as `Database.on_commit`."""
        _callbacks.check(function)
        transaction = self._current.get()
        if transaction is None:
            _callbacks.run_blocking([function])
        else:
            transaction.check_usable()
            transaction.callbacks.append(function)

    def run(
        self,
        function: Callable[[], T],
        retries: int = 3,
        *,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> T:
        """Call `function` in a transaction of its own, and again where the backend asks for it.

        Arguments and errors as for `Database.run`.
        """
        check_retries(retries)
        if self._current.get() is not None:
            raise InterfaceError(NOT_INSIDE)
        for attempt in range(retries + 1):
            transaction = None
            try:
                with self.transaction(None, isolation, read_only, deferrable):
                    transaction = self._current.get()
                    return function()
            except DatabaseError as error:
                # A callback of what is committed may fail with just such an error.
                is_committed = transaction is not None and transaction.is_committed
                if attempt == retries or is_committed or not is_repeatable(error):
                    raise
            time.sleep(pause_before(attempt + 1))
        raise AssertionError  # the last attempt has returned or raised

    @contextmanager
    def _block(
        self, savepoint_name: str | None, begin: str, deadline: float | None, *, is_reported: bool = False
    ) -> Generator[None, None, None]:
        outer = self._current.get()
        if outer is None:
            with self._outermost(begin, deadline, is_reported=is_reported):
                yield
            return
        if begin != "BEGIN":
            raise InterfaceError("isolation, read_only and deferrable belong to the outermost block")
        with self._watched_block(SAVEPOINT, outer.slot, is_reported=is_reported):
            outer.check_usable()
            savepoint = outer.enter(savepoint_name)
        try:
            yield
        except BaseException as error:
            try:
                end_interrupted(outer.slot, error)
                end_reading(outer, failed=True)
                outer.leave(savepoint, failed=True)
            except BaseException:
                # Nobody knows whether the savepoint is rolled back: nothing of the transaction may stay.
                outer.slot.close()
                raise
            self._watched_block(ROLLBACK_TO, outer.slot, is_reported=is_reported).end()
            raise
        with self._watched_block(RELEASE, outer.slot, is_reported=is_reported):
            end_reading(outer, failed=False)
            if outer.leave(savepoint, failed=False):
                run_owed(outer, deadline)

    def _watched_block(self, command: str, slot: Slot | None, *, is_reported: bool) -> Watch:
        """Return what watches one of the commands around a block."""
        watch = watched(self, "transaction", command) if is_reported else NOBODY
        watch.slot = slot
        return watch

    @contextmanager
    def _transaction_of_own(
        self, deadline: float | None, commit_deadline: float | None = None
    ) -> Generator[Block, None, None]:
        """The running transaction, or one for this call alone, which no other statement gets into.

        That one is committed at the end, and rolled back where the body is left by an exception.

        Args:
            deadline: Of the wait for a connection, by time.monotonic.
            commit_deadline: Of the whole call, where that has one.
        """
        current = self._current.get()
        if current is not None:
            current.check_usable()
            yield current
            return
        slot = self._acquire(deadline)
        try:
            transaction = Block(slot, "BEGIN")
            try:
                yield transaction
            except BaseException as error:
                end_interrupted(slot, error)
                transaction.abandon()
                raise
            finally:
                transaction.is_closed = True
            if transaction.commit():
                self._commit(slot, commit_deadline)
        finally:
            # Rolls back what is not committed.
            self._release(slot, is_block=True)

    def in_transaction(self) -> bool:
        """Whether the caller is inside a transaction block of this Database."""
        return self._current.get() is not None

    @contextmanager
    def _outermost(
        self, begin: str, deadline: float | None, *, is_reported: bool
    ) -> Generator[None, None, None]:
        ending = NOBODY
        with self._watched_block(begin, None, is_reported=is_reported) as watch:
            slot = self._acquire(deadline)
            watch.has(slot)
        transaction: Block | None = None
        try:
            transaction = Block(slot, begin)
            try:
                self._current.set(transaction)
                yield
                end_reading(transaction, failed=False)
            except BaseException as error:
                ending = self._watched_block(ROLLBACK_SQL, slot, is_reported=is_reported)
                end_interrupted(slot, error)
                end_reading(transaction, failed=True)
                transaction.abandon()
                raise
            finally:
                transaction.is_closed = True
            with self._watched_block("COMMIT", slot, is_reported=is_reported):
                if transaction.commit():
                    self._commit(slot, deadline)
            transaction.is_committed = True
        finally:
            # Twice, as an interrupt may come in here; and not by a token, of which it may rob us.
            try:
                if self._current.get() is transaction:
                    self._current.set(None)
            finally:
                if self._current.get() is transaction:
                    self._current.set(None)
                # Rolls back what is not committed.
                self._release(slot, is_block=True)
                ending.end()
        assert transaction is not None
        _callbacks.run_blocking(transaction.callbacks)

    def _complete_undone(
        self, sql: str, args: tuple[object, ...], shape: int, deadline: float | None, watch: Watch
    ) -> "native.Request":
        """Run one statement, return its finished request, and let nothing of what it did remain."""
        try:
            with self._block(None, "BEGIN", deadline):
                raise _Undo(self._complete(sql, args, shape, None, True, None, deadline, watch))
        except _Undo as undo:
            return undo.request


class _Undo(Exception):  # noqa: N818 - nothing is wrong
    """Leaves a block whose work is to be undone, with the finished request of its statement."""

    def __init__(self, request: "native.Request") -> None:
        super().__init__()
        self.request = request
