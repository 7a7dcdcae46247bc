"""SyncDatabase: the blocking face of the driver, over the same pool and the same native connections."""
# A borrowed connection is a part of SyncDatabase and uses what nobody else should:
# pyright: reportPrivateUsage=false

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from hyperdjango.database import _batches, _callbacks, _pipeline, _shape, _sync_replies
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database._pinned import Pinned, begin_sql, check_committed
from hyperdjango.database._pipeline import Query
from hyperdjango.database._repeat import ATTEMPTS, NOT_INSIDE, check_retries, is_repeatable, pause_before
from hyperdjango.database._settings import PoolSettings
from hyperdjango.database._slot import Slot
from hyperdjango.database._statements import is_script
from hyperdjango.database._sync_pool import SyncPoolFace
from hyperdjango.database.errors import DatabaseError, InterfaceError
from hyperdjango.database.pool import Pool
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")
Row = dict[str, Any]


class SyncDatabase(SyncPoolFace):
    """A PostgreSQL database behind a pool of connections, for code that blocks.

    Methods, arguments, results and errors are those of Database. While a call waits the GIL is released.
    """

    def _prepare(self) -> None:
        self._current: ContextVar[Pinned | None] = ContextVar("hyperdjango_sync_transaction", default=None)

    @classmethod
    def over(cls, pool: Pool, settings: PoolSettings, *, opens_on_use: bool) -> Self:
        """Make the blocking face of a pool that another face has made."""
        self = cls.__new__(cls)
        self._pool = pool
        self._settings = settings
        self._opens_on_use = opens_on_use
        self._prepare()
        return self

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

    def execute(self, sql: str, *args: object, timeout: float | None = None) -> CommandStatus:
        """Run a command and say what it did; as `Database.execute`."""
        values = None if not args and is_script(sql) else args
        request = self._request(sql, values, None, deadline_after(time.monotonic(), timeout))
        return CommandStatus(request.tag, request.affected)

    def execute_many(
        self, sql: str, rows: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> CommandStatus:
        """Run a command once for each set of values, in order, all or nothing; as `Database.execute_many`."""
        deadline = deadline_after(time.monotonic(), timeout)
        sets = _batches.batches(rows)
        first, second = next(sets, ()), next(sets, ())
        total = _batches.Total(sql)
        if second:
            with self._block(None, "BEGIN", deadline):
                for batch in chain((first, second), sets):
                    total.add(self._request(sql, batch, total.sets, deadline))
        elif first:
            total.add(self._request(sql, first, 0, deadline))
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
        transaction = self._current.get()
        if transaction is not None:
            transaction.check_usable()
            try:
                requests = _pipeline.run_blocking(transaction.slot, items, deadline, transaction)
            except BaseException as error:
                _end_interrupted(transaction.slot, error)
                if not isinstance(error, Exception) and _has_begun_unseen(transaction):
                    transaction.check_begun()
                raise
        else:
            slot = self._acquire(deadline)
            try:
                requests = _pipeline.run_blocking(slot, items, deadline, None)
            finally:
                self._release(slot)
        return _pipeline.results(requests, return_exceptions=return_exceptions)

    def register_codec(
        self,
        type_name: str,
        *,
        encode: Callable[[Any], str | bytes],
        decode: Callable[[Any], Any],
        binary: bool = False,
    ) -> None:
        """Decide how values of one type travel; as `Database.register_codec`."""
        oid: int = self.query_val(OID_OF_TYPE, type_name)
        self._pool.type_map.add_codec(oid, type_name, encode, decode, binary)

    @contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> Generator[None, None, None]:
        """A block whose statements all take effect, or none; as `Database.transaction`."""
        with self._block(savepoint_name, begin_sql(isolation, read_only, deferrable), None):
            yield

    atomic = transaction

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call `function` once the running transaction is committed; as `Database.on_commit`."""
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
        self, savepoint_name: str | None, begin: str, deadline: float | None
    ) -> Generator[None, None, None]:
        outer = self._current.get()
        if outer is None:
            with self._outermost(begin, deadline):
                yield
            return
        if begin != "BEGIN":
            raise InterfaceError("isolation, read_only and deferrable belong to the outermost block")
        outer.check_usable()
        savepoint = outer.enter(savepoint_name)
        try:
            yield
        except BaseException as error:
            try:
                _end_interrupted(outer.slot, error)
                outer.leave(savepoint, failed=True)
            except BaseException:
                # Nobody knows whether the savepoint is rolled back: nothing of the transaction may stay.
                outer.slot.close()
                raise
            raise
        if outer.leave(savepoint, failed=False):
            _run_owed(outer, deadline)

    def in_transaction(self) -> bool:
        """Whether the caller is inside a transaction block of this Database."""
        return self._current.get() is not None

    @contextmanager
    def _outermost(self, begin: str, deadline: float | None) -> Generator[None, None, None]:
        slot = self._acquire(deadline)
        transaction: Pinned | None = None
        try:
            transaction = Pinned(slot, begin)
            try:
                self._current.set(transaction)
                yield
            except BaseException as error:
                _end_interrupted(slot, error)
                transaction.abandon()
                raise
            finally:
                transaction.is_closed = True
            if transaction.commit():
                check_committed(_sync_replies.run_owed(slot, deadline))
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
        assert transaction is not None
        _callbacks.run_blocking(transaction.callbacks)

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
        self, sql: str, args: tuple[object, ...] | None, first_set: int | None, deadline: float | None
    ) -> "native.Request":
        """Run a command and return its finished request, for the tag."""
        request = self._complete(sql, args, _shape.DISCARD, None, False, first_set, deadline)
        _batches.finish(request, first_set)
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
    ) -> "native.Request":
        """Run one statement where it belongs and return its finished request."""
        arguments = (sql, args, shape, target, first, first_set)
        transaction = self._current.get()
        if transaction is not None:
            try:
                return _in_transaction(transaction, arguments, deadline)
            finally:
                if transaction.is_closed:
                    # A copied context: the thread that has the block has left it during this statement.
                    transaction.slot.close()
        attempts = 0
        while True:
            slot = self._acquire(deadline)
            connection = slot.connection
            try:
                if args is None and connection.owed:
                    _sync_replies.run_owed(slot, deadline)
                request = connection.submit(*arguments)
                _sync_replies.complete(slot, request, deadline)
            finally:
                if slot.is_reusable():
                    self._pool.put_back(slot)
                else:
                    self._release(slot)
            attempts += 1
            if not (request.stale or request.undone) or attempts == ATTEMPTS:
                return request


def _in_transaction(
    transaction: Pinned,
    arguments: "tuple[str, tuple[object, ...] | None, int, object, bool, int | None]",
    deadline: float | None,
) -> "native.Request":
    transaction.check_usable()
    slot = transaction.slot
    while True:
        if arguments[1] is None and slot.connection.owed:
            _run_owed(transaction, deadline)
        is_first = False
        try:
            request = slot.connection.submit(*arguments)
            is_first = transaction.sent()
            _sync_replies.complete(slot, request, deadline)
        except BaseException as error:
            _end_interrupted(slot, error)
            if is_first or (not isinstance(error, Exception) and _has_begun_unseen(transaction)):
                transaction.check_begun()
            raise
        if not is_first or not transaction.is_to_repeat(request):
            return request


def _end_interrupted(slot: Slot, error: BaseException) -> None:
    """End the statement that an interrupt has torn from its call before anybody waited for it.

    The connection is usable afterwards, or closed. Where no interrupt has come, others may be at work on it.
    """
    if not isinstance(error, Exception) and slot.connection.busy and not slot.connection.closed:
        _sync_replies.recover(slot)


def _has_begun_unseen(transaction: Pinned) -> bool:
    """Whether BEGIN was sent before an interrupt, which came before anybody could take that down."""
    return not transaction.slot.connection.owed and transaction.sent()


def _run_owed(transaction: Pinned, deadline: float | None) -> None:
    is_first = transaction.sent()
    try:
        _sync_replies.run_owed(transaction.slot, deadline)
    except BaseException:
        if is_first:
            transaction.check_begun()
        raise
