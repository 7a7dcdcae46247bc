"""Single statements of the blocking face: `query` and its like, and where each of them runs."""

import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from hyperdjango.database import _copy, _copy_source, _shape, _sync_copy, _sync_replies
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._pinned import Pinned, check_committed
from hyperdjango.database._repeat import ATTEMPTS
from hyperdjango.database._slot import Slot
from hyperdjango.database._statements import is_script
from hyperdjango.database._sync_pool import SyncPoolFace
from hyperdjango.database._watching import NOBODY, Finished, Watch, call_of, watched
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database._sync_many import Block

T = TypeVar("T")
Row = dict[str, Any]


class SyncCalls(SyncPoolFace):
    """The part of SyncDatabase that runs single statements."""

    def _prepare(self) -> None:
        self._current: ContextVar[Block | None] = ContextVar("hyperdjango_sync_transaction", default=None)

    @overload
    def query(self, sql: str, *args: object, timeout: float | None = None) -> list[Row]: ...
    @overload
    def query(
        self, sql: str, *args: object, into: type[T] | Callable[..., T], timeout: float | None = None
    ) -> list[T]: ...
    def query(
        self, sql: str, *args: object, into: Callable[..., Any] = dict, timeout: float | None = None
    ) -> list[Any]:
        """Return all rows of one statement; as `Database.query`."""
        rows: list[Any] = self._run(sql, args, *_shape.shape_of(into), first=False, timeout=timeout)
        return rows

    @overload
    def query_one(self, sql: str, *args: object, timeout: float | None = None) -> Row | None: ...
    @overload
    def query_one(
        self, sql: str, *args: object, into: type[T] | Callable[..., T], timeout: float | None = None
    ) -> T | None: ...
    def query_one(
        self, sql: str, *args: object, into: Callable[..., Any] = dict, timeout: float | None = None
    ) -> Any:
        """Return the first row, or None when there is none; as `Database.query_one`."""
        return self._run(sql, args, *_shape.shape_of(into), first=True, timeout=timeout)

    def query_val(self, sql: str, *args: object, timeout: float | None = None) -> Any:
        """Return the first column of the first row, or None; as `Database.query_val`."""
        return self._run(sql, args, _shape.VALUE, None, first=True, timeout=timeout)

    def query_json(self, sql: str, *args: object, timeout: float | None = None) -> bytes:
        """Return all rows as one JSON array of objects; as `Database.query_json`."""
        document: bytes = self._run(sql, args, _shape.JSON, None, first=False, timeout=timeout)
        return document

    def query_arrow(self, sql: str, *args: object, timeout: float | None = None) -> "native.ArrowStream":
        """Return all rows of one statement as Arrow columns; as `Database.query_arrow`."""
        result: native.ArrowStream = self._run(sql, args, _shape.ARROW, None, first=False, timeout=timeout)
        return result

    def execute(self, sql: str, *args: object, timeout: float | None = None) -> CommandStatus:
        """Run a command and say what it did; as `Database.execute`."""
        if len(args) == 1 and _copy.is_copy(sql):
            return self._copy_in(sql, args[0], timeout)
        values = None if not args and is_script(sql) else args
        request = self._request(sql, values, deadline_after(time.monotonic(), timeout))
        return CommandStatus(request.tag, request.affected)

    def _commit(self, slot: Slot, deadline: float | None) -> None:
        """Send the COMMIT that a connection owes.

        Raises:
            InFailedSqlTransaction: The backend has rolled back.
        """
        check_committed(_sync_replies.run_owed(slot, deadline))

    def _copy_in(self, sql: str, data: Any, timeout: float | None) -> CommandStatus:
        _copy.check(sql, "in")
        _copy_source.check(data)
        deadline = deadline_after(time.monotonic(), timeout)
        pieces = _copy_source.pieces(data)
        with watched(self, "execute", sql) as watch:
            transaction = self._current.get()
            if transaction is not None:
                watch.slot = transaction.slot
                transaction.check_usable()
                request = _sync_copy.copy_in(transaction.slot, sql, pieces, transaction, deadline)
            else:
                request = self._copy_alone(sql, pieces, deadline, watch)
            watch.heard(request)
            return CommandStatus(request.tag, request.affected)

    def _copy_alone(
        self, sql: str, pieces: Iterator[_copy_source.Piece], deadline: float | None, watch: Watch
    ) -> "native.Request":
        """Run a COPY FROM STDIN outside of blocks."""
        slot = self._acquire(deadline)
        watch.has(slot)
        try:
            return _sync_copy.copy_in(slot, sql, pieces, None, deadline)
        finally:
            self._release(slot)

    def _run(
        self,
        sql: str,
        args: tuple[object, ...],
        shape: int,
        target: object,
        *,
        first: bool,
        timeout: float | None,
    ) -> Any:
        deadline = deadline_after(time.monotonic(), timeout)
        return self._complete(sql, args, shape, target, first, None, deadline).result()

    def _request(
        self,
        sql: str,
        args: tuple[object, ...] | None,
        deadline: float | None,
        watch: Watch | None = None,
    ) -> "native.Request":
        """Run a command and return its finished request, for the tag."""
        request = self._complete(sql, args, _shape.DISCARD, None, False, None, deadline, watch)
        request.result()
        return request

    def _complete(  # noqa: PLR0917 - ours alone; a keyword costs time on the hot path
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
        watch: Watch | None = None,
    ) -> "native.Request":
        """Run one statement where it belongs and return its finished request.

        With `first_set`, `args` is a batch of sets, and this is the number of the first in the errors. With
        `watch` it is a part of a call that is watched already, or that nobody watches.
        """
        pool = self._pool
        if watch is None and pool.watchers:
            return self._watched(sql, args, shape, target, first, deadline)
        arguments = (sql, args, shape, target, first, first_set)
        transaction = self._current.get()
        if transaction is not None:
            if watch is not None:
                watch.slot = transaction.slot
            try:
                return self._in_transaction(transaction, arguments, deadline)
            finally:
                if transaction.is_closed:
                    # A copied context: the thread that has the block has left it during this statement.
                    transaction.slot.close()
        attempts = 0
        while True:
            slot = self._acquire(deadline)
            if watch is not None:
                watch.has(slot)
            connection = slot.connection
            try:
                if args is None and connection.owed:
                    _sync_replies.run_owed(slot, deadline)
                request = connection.submit(*arguments)
                _sync_replies.complete(slot, request, deadline)
            finally:
                if slot.is_reusable():
                    pool.put_back(slot)
                else:
                    self._release(slot)
            attempts += 1
            if not (request.stale or request.undone) or attempts == ATTEMPTS:
                return request

    def _watched(  # noqa: PLR0917 - as `_complete`
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        deadline: float | None,
    ) -> "native.Request":
        """As `_complete`, for a call that is to be reported."""
        name = call_of(shape, first=first)
        with watched(self, name, sql, parameters_count=len(args or ())) as watch:
            request = self._complete(sql, args, shape, target, first, None, deadline, watch)
            return request if watch is NOBODY else cast("native.Request", Finished(request, watch))

    @staticmethod
    def _in_transaction(
        transaction: Pinned,
        arguments: "tuple[str, tuple[object, ...] | None, int, object, bool, int | None]",
        deadline: float | None,
    ) -> "native.Request":
        transaction.check_usable()
        slot = transaction.slot
        while True:
            if arguments[1] is None and slot.connection.owed:
                run_owed(transaction, deadline)
            is_first = False
            try:
                request = slot.connection.submit(*arguments)
                is_first = transaction.sent()
                _sync_replies.complete(slot, request, deadline)
            except BaseException as error:
                end_interrupted(slot, error)
                if is_first or (not isinstance(error, Exception) and has_begun_unseen(transaction)):
                    transaction.check_begun()
                raise
            if not is_first or not transaction.is_to_repeat(request):
                return request


def end_interrupted(slot: Slot, error: BaseException) -> None:
    """End the statement that an interrupt has torn from its call before anybody waited for it.

    The connection is usable afterwards, or closed. Where no interrupt has come, others may be at work on it.
    """
    if not isinstance(error, Exception) and slot.connection.busy and not slot.connection.closed:
        _sync_replies.recover(slot)


def has_begun_unseen(transaction: Pinned) -> bool:
    """Whether BEGIN was sent before an interrupt, which came before anybody could take that down."""
    return not transaction.slot.connection.owed and transaction.sent()


def run_owed(transaction: Pinned, deadline: float | None) -> None:
    is_first = transaction.sent()
    try:
        _sync_replies.run_owed(transaction.slot, deadline)
    except BaseException:
        if is_first:
            transaction.check_begun()
        raise
