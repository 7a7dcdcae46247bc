"""Database: the asyncio face of the driver."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from hyperdjango.database import _async_replies, _batches, _shape
from hyperdjango.database._async_pool import AsyncPoolFace
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database._slot import Slot
from hyperdjango.database._statements import is_script
from hyperdjango.database.errors import QueryTimeout
from hyperdjango.database.status import CommandStatus
from hyperdjango.database.sync_client import SyncDatabase
from hyperdjango.database.transaction import Transaction, TransactionBlock

if TYPE_CHECKING:
    from hyperdjango.database._native import native

T = TypeVar("T")
Row = dict[str, Any]


class Database(AsyncPoolFace):
    """A PostgreSQL database behind a pool of connections.

    Nothing is opened before `connect()`, or `async with`. All methods may be called from any number of
    tasks, event loops and threads at once.
    """

    def _prepare(self) -> None:
        self._pending = set()
        self._current: ContextVar[Transaction | None] = ContextVar("hyperdjango_transaction", default=None)

    @classmethod
    def opening_on_use(cls, url: str) -> Self:
        """Make a Database whose pool opens on the first query: the one of `get_db()`."""
        try:
            self = cls(url)
        finally:
            url = ""  # a traceback with locals must not show it
        self._opens_on_use = True
        return self

    @property
    def sync(self) -> SyncDatabase:
        """The same pool for blocking callers, in threads that run no event loop."""
        return SyncDatabase.over(self._pool, self._settings, opens_on_use=self._opens_on_use)

    @overload
    async def query(self, sql: str, *args: object, timeout: float | None = None) -> list[Row]: ...
    @overload
    async def query(
        self, sql: str, *args: object, into: type[T] | Callable[..., T], timeout: float | None = None
    ) -> list[T]: ...
    async def query(
        self,
        sql: str,
        *args: object,
        into: Callable[..., Any] = dict,
        timeout: float | None = None,
    ) -> list[Any]:
        """Return all rows of one statement.

        Args:
            sql: One statement with placeholders `$1` to `$65535`.
            args: One value per placeholder, in order.
            into: What each row becomes: dict, tuple, a NamedTuple, a dataclass, a msgspec Struct, a pydantic
                model or any callable of keywords.
            timeout: Seconds for the whole call, waiting for a connection included.
        Returns:
            The rows in order; column name to value unless `into` says otherwise.
        Raises:
            NotConnected: `connect()` has not run.
            DataError: A value does not fit its parameter; nothing was sent.
            QueryTimeout: `timeout` has passed; the statement was cancelled.
            DatabaseError: The backend sent ErrorResponse; the subclass follows the SQLSTATE.

        PostgreSQL docs: protocol-flow, "Extended Query".
        """
        shape, target = (_shape.DICT, None) if into is dict else _shape.shape_of(into)
        rows: list[Any] = await self._run(sql, args, shape, target, False, timeout)
        return rows

    @overload
    async def query_one(self, sql: str, *args: object, timeout: float | None = None) -> Row | None: ...
    @overload
    async def query_one(
        self, sql: str, *args: object, into: type[T] | Callable[..., T], timeout: float | None = None
    ) -> T | None: ...
    async def query_one(
        self,
        sql: str,
        *args: object,
        into: Callable[..., Any] = dict,
        timeout: float | None = None,
    ) -> Any:
        """Return the first row of one statement, or None when there is none.

        Later rows are read and dropped. Arguments and errors as for `query`.
        """
        shape, target = (_shape.DICT, None) if into is dict else _shape.shape_of(into)
        return await self._run(sql, args, shape, target, True, timeout)

    async def query_val(self, sql: str, *args: object, timeout: float | None = None) -> Any:
        """Return the first column of the first row, or None when there is no row.

        Arguments and errors as for `query`.
        """
        return await self._run(sql, args, _shape.VALUE, None, True, timeout)

    async def execute(self, sql: str, *args: object, timeout: float | None = None) -> CommandStatus:
        """Run a command and say what it did.

        Without values `sql` may hold several statements; they succeed or fail together, unless they contain
        transaction commands of their own, and the status is that of the last.

        Returns:
            A str equal to `"COMMAND n"`, with `.rows` and `.tag`.
        Raises:
            As `query`.
        """
        if not args and is_script(sql):
            request = await self._request(sql, None, timeout)
        else:
            request = await self._request(sql, args, timeout)
        return CommandStatus(request.tag, request.affected)

    async def execute_many(
        self,
        sql: str,
        rows: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        timeout: float | None = None,
    ) -> CommandStatus:
        """Run a command once for each set of values, in order, all or nothing.

        Args:
            sql: One statement with placeholders.
            rows: Sets of values, one per placeholder each; any iterable or async iterable.
            timeout: Seconds for the whole call.
        Returns:
            The command with the total of rows affected.
        Raises:
            As `query`. The error of a set says in a note which one it was, counted from 0.
        """
        sets = _batches.of(rows) if not isinstance(rows, AsyncIterable) else _batches.of_async(rows)
        limit = asyncio.timeout(check_timeout(timeout))
        try:
            async with limit:
                return await self._run_batches(sql, sets)
        except TimeoutError:
            if limit.expired():
                raise QueryTimeout("the call's timeout has passed and the statement was cancelled") from None
            raise

    async def _run_batches(self, sql: str, sets: AsyncIterator[_batches.Batch]) -> CommandStatus:
        total = _batches.Total(sql)
        first = await anext(sets, None)
        second = None if first is None else await anext(sets, None)
        if first is None:
            return total.status()
        if second is None:
            total.add(await self._request(sql, first, None, first_set=0))
            return total.status()
        async with self.transaction():
            for batch in (first, second):
                total.add(await self._request(sql, batch, None, first_set=total.sets))
            async for batch in sets:
                total.add(await self._request(sql, batch, None, first_set=total.sets))
        return total.status()

    async def register_codec(
        self,
        type_name: str,
        *,
        encode: Callable[[Any], str | bytes],
        decode: Callable[[Any], Any],
        binary: bool = False,
    ) -> None:
        """Decide how values of one type travel, in place of the driver.

        Holds for every connection of this Database, from the next statement on, and for the type's arrays.

        Args:
            type_name: As SQL has it: `"ltree"`, `"accounts.money_range"`.
            encode: From a Python value to the text form, or with `binary` to the bytes of the binary form.
            decode: From the text form (a str) or the binary form (bytes) to a Python value.
            binary: The type travels in binary format.
        Raises:
            UndefinedObject: The database has no such type.
        """
        oid: int = await self.query_val(OID_OF_TYPE, type_name)
        self._pool.type_map.add_codec(oid, type_name, encode, decode, binary)

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

    def in_transaction(self) -> bool:
        """Whether the calling task is inside a transaction block of this Database."""
        return self._current.get() is not None

    async def _request(
        self,
        sql: str,
        args: tuple[object, ...] | None,
        timeout: float | None,
        *,
        first_set: int | None = None,
    ) -> "native.Request":
        """Run a command and return its finished request, for the tag.

        With `first_set`, `args` is a batch of sets, and this is the number of the first in the errors.
        """
        deadline = None if timeout is None else deadline_after(asyncio.get_running_loop().time(), timeout)
        transaction = self._current.get()
        if transaction is not None:
            async with transaction.slot(deadline) as slot:
                return await self._finished(slot, sql, args, deadline, first_set)
        slot = await self._acquire(deadline)
        try:
            return await self._finished(slot, sql, args, deadline, first_set)
        finally:
            await self._release(slot)

    async def _finished(
        self,
        slot: Slot,
        sql: str,
        args: tuple[object, ...] | None,
        deadline: float | None,
        first_set: int | None,
    ) -> "native.Request":
        connection = slot.connection
        request = connection.submit(sql, args, _shape.DISCARD, None, False, first_set)
        if not _async_replies.look(slot.connection):
            await _async_replies.complete(slot, request, deadline)
        if request.stale and connection.transaction_status == "I":
            # The plan was made for what the table was before; nothing has run.
            request = connection.submit(sql, args, _shape.DISCARD, None, False, first_set)
            if not _async_replies.look(slot.connection):
                await _async_replies.complete(slot, request, deadline)
        _batches.finish(request, first_set)
        return request

    async def _run(  # noqa: PLR0917 - ours alone; a keyword costs time on the hot path
        self,
        sql: str,
        args: tuple[object, ...],
        shape: int,
        target: object,
        first: bool,
        timeout: float | None,
    ) -> Any:
        transaction = self._current.get()
        if transaction is not None:
            deadline = None if timeout is None else deadline_after(asyncio.get_running_loop().time(), timeout)
            async with transaction.slot(deadline) as slot:
                request = slot.connection.submit(sql, args, shape, target, first, None)
                if not _async_replies.look(slot.connection):
                    await _async_replies.complete(slot, request, deadline)
                return request.result()
        deadline = None if timeout is None else deadline_after(asyncio.get_running_loop().time(), timeout)
        slot_or_none = self._pool.take_idle()
        slot = slot_or_none if slot_or_none is not None else await self._acquire(deadline)
        connection = slot.connection
        try:
            request = connection.submit(sql, args, shape, target, first, None)
            if not _async_replies.look(slot.connection):
                await _async_replies.complete(slot, request, deadline)
            if request.stale and connection.transaction_status == "I":
                # The plan was made for what the table was before; nothing has run.
                request = connection.submit(sql, args, shape, target, first, None)
                if not _async_replies.look(slot.connection):
                    await _async_replies.complete(slot, request, deadline)
            return request.result()
        finally:
            if slot.is_reusable():
                self._pool.put_back(slot)
            else:
                await self._release(slot)
