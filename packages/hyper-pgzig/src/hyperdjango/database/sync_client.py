"""SyncDatabase: the blocking face of the driver, over the same pool and the same native connections."""
# A borrowed connection is a part of SyncDatabase and uses what nobody else should:
# pyright: reportPrivateUsage=false

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from hyperdjango.database import _batches, _shape, _sync_replies
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database._settings import PoolSettings
from hyperdjango.database._slot import Slot
from hyperdjango.database._statements import is_script
from hyperdjango.database._sync_pool import SyncPoolFace
from hyperdjango.database.errors import InterfaceError, TransactionClosed
from hyperdjango.database.pool import Pool
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
        self._deadline = None if timeout is None else deadline_after(time.monotonic(), timeout)
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


class SyncDatabase(SyncPoolFace):
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
        deadline = None if timeout is None else deadline_after(time.monotonic(), timeout)
        sets = _batches.batches(rows)
        first, second = next(sets, ()), next(sets, ())
        total = _batches.Total(sql)

        def run(batch: _batches.Batch) -> None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
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
