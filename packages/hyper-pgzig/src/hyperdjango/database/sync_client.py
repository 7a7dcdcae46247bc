"""SyncDatabase: the blocking face of the driver, over the same pool and the same native connections."""
# A borrowed connection is a part of SyncDatabase and uses what nobody else should:
# pyright: reportPrivateUsage=false

import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from hyperdjango.database import _batches, _shape, _sync_io, _sync_replies
from hyperdjango.database._connect import connect_steps
from hyperdjango.database._face import Face
from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database._settings import PoolSettings
from hyperdjango.database._slot import RESET_SECONDS, RESET_SQL, ROLLBACK_SQL, Slot, warn_of_open_transaction
from hyperdjango.database._statements import is_script
from hyperdjango.database.errors import AcquireTimeout, InterfaceError, NotConnected, TransactionClosed
from hyperdjango.database.pool import DRAIN_SECONDS, Pool
from hyperdjango.database.status import CommandStatus
from hyperdjango.database.transaction import begin_sql, check_committed, check_open

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")
Row = dict[str, Any]


class _Transaction:
    """An open transaction of one thread."""

    __slots__ = ("depth", "is_closed", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.depth = 1
        self.is_closed = False


class _Borrowed:
    """A connection for one statement, and its deadline by time.monotonic.

    A class of its own and not a generator: it stands on the way of every call.
    """

    __slots__ = ("_database", "_deadline", "_slot", "_transaction")

    def __init__(self, database: "SyncDatabase", timeout: float | None) -> None:
        self._database = database
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._slot: Slot | None = None
        self._transaction: _Transaction | None = None

    def __enter__(self) -> tuple[Slot, float | None]:
        transaction = self._transaction = self._database._current.get()
        if transaction is not None:
            if transaction.is_closed:
                raise TransactionClosed
            return transaction.slot, self._deadline
        slot = self._slot = self._database._acquire(self._deadline)
        return slot, self._deadline

    def __exit__(self, *_: object) -> None:
        slot = self._slot
        if slot is None:
            # A copied context: the thread that has the block has left it during this statement.
            if self._transaction is not None and self._transaction.is_closed:
                self._transaction.slot.close()
            return
        if slot.is_reusable():
            self._database._pool.put_back(slot)
        else:
            self._database._release(slot)


class SyncDatabase(Face):
    """A PostgreSQL database behind a pool of connections, for code that blocks.

    Methods, arguments, results and errors are those of Database. While a call waits the GIL is released.
    """

    def _prepare(self) -> None:
        self._current: ContextVar[_Transaction | None] = ContextVar(
            "hyperdjango_sync_transaction", default=None
        )

    @classmethod
    def over(cls, pool: Pool, settings: PoolSettings, *, opens_on_use: bool) -> Self:
        """Make the blocking face of a pool that another face has made."""
        self = cls.__new__(cls)
        self._pool = pool
        self._settings = settings
        self._opens_on_use = opens_on_use
        self._prepare()
        return self

    def connect(self) -> Self:
        """Open the pool. Does nothing where it is open.

        Raises:
            ConnectionFailed: With the server's message and SQLSTATE where it sent one.
        """
        if self._pool.is_open:
            return self
        places = self._pool.open()
        for opened in range(places):
            try:
                slot = self._open_slot(None)
            except BaseException:
                for _ in range(places - opened - 1):
                    self._pool.abandon_place()
                self.disconnect(timeout=0)
                raise
            self._pool.give_back(slot)
        return self

    def disconnect(self, timeout: float = DRAIN_SECONDS) -> None:
        """Wait until running calls are done, then close all connections. Any number of calls.

        Args:
            timeout: Seconds; past it the connections in use are closed as they come back.
        """
        drained = threading.Event()
        if not self._pool.close(drained.set):
            drained.wait(timeout)

    def __enter__(self) -> Self:
        """Open the pool."""
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain and close the pool."""
        self.disconnect()

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
        with self._borrowed(timeout) as (slot, deadline):
            request = _finished(slot, sql, values, deadline, None)
        return CommandStatus(request.tag, request.affected)

    def execute_many(
        self, sql: str, rows: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> CommandStatus:
        """Run a command once for each set of values, in order, all or nothing; as `Database.execute_many`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        sets = _batches.batches(rows)
        first, second = next(sets, ()), next(sets, ())
        total = _batches.Total(sql)

        def run(batch: _batches.Batch) -> None:
            left = None if deadline is None else deadline - time.monotonic()
            with self._borrowed(left) as (slot, until):
                total.add(_finished(slot, sql, batch, until, total.sets))

        if second:
            with self._block(None, "BEGIN", deadline):
                for batch in chain((first, second), sets):
                    run(batch)
        elif first:
            run(first)
        return total.status()

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
        if outer.is_closed:
            raise TransactionClosed
        savepoint = quote_identifier(savepoint_name or f"sp_{outer.depth + 1}")
        _sync_replies.run(outer.slot, f"SAVEPOINT {savepoint}", deadline)
        outer.depth += 1
        try:
            yield
        except BaseException:
            outer.depth -= 1
            if not outer.slot.connection.closed:
                _sync_replies.run(
                    outer.slot, f"ROLLBACK TO SAVEPOINT {savepoint}; RELEASE SAVEPOINT {savepoint}"
                )
            raise
        outer.depth -= 1
        _sync_replies.run(outer.slot, f"RELEASE SAVEPOINT {savepoint}", deadline)

    def in_transaction(self) -> bool:
        """Whether the caller is inside a transaction block of this Database."""
        return self._current.get() is not None

    @contextmanager
    def _outermost(self, begin: str, deadline: float | None) -> Generator[None, None, None]:
        slot = self._acquire(deadline)
        transaction = _Transaction(slot)
        token = None
        try:
            _sync_replies.run(slot, begin, deadline)
            token = self._current.set(transaction)
            yield
            check_open(slot)
            check_committed(_sync_replies.run(slot, "COMMIT", deadline))
        finally:
            transaction.is_closed = True
            if token is not None:
                self._current.reset(token)
            # Rolls back what is not committed.
            self._release(slot, is_block=True)

    def _borrowed(self, timeout: float | None) -> "_Borrowed":
        return _Borrowed(self, timeout)

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
        with self._borrowed(timeout) as (slot, deadline):
            connection = slot.connection
            request = connection.submit(sql, args, shape, target, first, None)
            _sync_replies.complete(slot, request, deadline)
            if request.stale and connection.transaction_status == "I":
                # The plan was made for what the table was before; nothing has run.
                request = connection.submit(sql, args, shape, target, first, None)
                _sync_replies.complete(slot, request, deadline)
            return request.result()

    def _acquire(self, deadline: float | None) -> Slot:
        """Take a connection from the pool, open one, or wait for one."""
        pool = self._pool
        if not pool.is_open:
            if not self._opens_on_use:
                raise NotConnected
            self.connect()
        limit = self._settings.acquire_timeout
        until = None if limit is None else time.monotonic() + limit
        if deadline is not None and (until is None or deadline < until):
            until = deadline
        while True:
            idle = pool.take_idle()
            if idle is not None:
                return idle
            served = threading.Event()
            ticket = pool.enter(served.set)
            try:
                if not ticket.is_served and not served.wait(
                    None if until is None else max(0.0, until - time.monotonic())
                ):
                    raise AcquireTimeout("no connection became free in time")
                if ticket.is_refused:
                    raise InterfaceError("the pool was closed while the call waited for a connection")
            except BaseException:
                pool.leave(ticket)
                raise
            if ticket.slot is None:
                return self._open_slot(until)
            if ticket.slot.connection.is_alive():
                return ticket.slot
            pool.discard(ticket.slot)

    def _open_slot(self, until: float | None) -> Slot:
        """Open a connection in a place that is ours; the place is given up when that fails."""
        pool = self._pool
        timeout = None if until is None else until - time.monotonic()
        try:
            established = _sync_io.run(
                connect_steps(
                    pool.parameters,
                    pool.type_map,
                    statement_cache_size=pool.statement_cache_size,
                    message_size_max=pool.message_size_max,
                ),
                timeout,
            )
        except BaseException:
            pool.abandon_place()
            raise
        return Slot(established)

    def _release(self, slot: Slot, *, is_block: bool = False) -> None:
        """Give a connection back: out of its transaction, its session as it was opened."""
        connection = slot.connection
        try:
            if not connection.closed and not connection.busy:
                if connection.transaction_status != "I":
                    if not is_block:
                        warn_of_open_transaction()
                    _sync_replies.run(slot, ROLLBACK_SQL, time.monotonic() + RESET_SECONDS)
                if connection.session_changed:
                    _sync_replies.run(slot, RESET_SQL, time.monotonic() + RESET_SECONDS)
        except Exception:
            slot.close()
        finally:
            self._pool.give_back(slot)


def _finished(
    slot: Slot, sql: str, args: tuple[object, ...] | None, deadline: float | None, first_set: int | None
) -> "native.Request":
    """Run a command and return its finished request, for the tag."""
    connection = slot.connection
    request = connection.submit(sql, args, _shape.DISCARD, None, False, first_set)
    _sync_replies.complete(slot, request, deadline)
    if request.stale and connection.transaction_status == "I":
        # The plan was made for what the table was before; nothing has run.
        request = connection.submit(sql, args, _shape.DISCARD, None, False, first_set)
        _sync_replies.complete(slot, request, deadline)
    _batches.finish(request, first_set)
    return request
