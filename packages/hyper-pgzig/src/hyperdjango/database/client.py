"""Database: the asyncio face of the driver."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from hyperdjango.database import _async_replies, _batches, _callbacks, _pipeline, _shape
from hyperdjango.database._async_pool import AsyncPoolFace
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._dispatch import Call, Dispatcher
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database._pipeline import Query
from hyperdjango.database._repeat import ATTEMPTS, NOT_INSIDE, check_retries, is_repeatable, pause_before
from hyperdjango.database._slot import DONE, Slot
from hyperdjango.database._statements import is_script
from hyperdjango.database.errors import DatabaseError, InterfaceError, QueryTimeout
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
        self._local = _Local()
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
        request = await self._complete(sql, args, shape, target, False, None, timeout)
        rows: list[Any] = request.result()
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
        request = await self._complete(sql, args, shape, target, True, None, timeout)
        return request.result()

    async def query_val(self, sql: str, *args: object, timeout: float | None = None) -> Any:
        """Return the first column of the first row, or None when there is no row.

        Arguments and errors as for `query`.
        """
        request = await self._complete(sql, args, _shape.VALUE, None, True, None, timeout)
        return request.result()

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

    async def pipeline(
        self,
        queries: Iterable[Query],
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """Run several statements in one round trip, in order.

        Outside a transaction block each commits by itself; what follows one that fails runs all the same.

        Args:
            queries: SQL, or pairs of SQL and its values.
            return_exceptions: Errors stand in the list in place of rows.
            timeout: Seconds for all of them together.
        Returns:
            The rows of each statement as tuples, in order.
        Raises:
            DatabaseError: The first error, after all replies are in. A note says which statement it was.
            QueryTimeout: `timeout` has passed; how many of them have run is not known.

        PostgreSQL docs: protocol-flow, "Pipelining".
        """
        items = _pipeline.items_of(queries)
        state = _async_replies.current()
        deadline = deadline_after(state.loop.time(), timeout)
        if not items:
            return []
        transaction = self._current.get()
        if transaction is not None:
            async with transaction.alone(deadline) as slot:
                outcomes = await _pipeline.run(slot, items, deadline, transaction)
            return _pipeline.results(outcomes, return_exceptions=return_exceptions)
        slot = self._pool.take_idle() or await self._acquire(deadline)
        try:
            outcomes = await _pipeline.run(slot, items, deadline, None)
        finally:
            await self._release(slot)
        return _pipeline.results(outcomes, return_exceptions=return_exceptions)

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

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call `function` once the running transaction is committed, and never if it is rolled back.

        Outside a transaction block it is called at once, a coroutine function as a task. Of a nested block
        that is rolled back nothing is called. Functions are called in order, after the connection went back;
        the transaction stands, whatever they do: the block raises the first error, those after it are logged.

        Args:
            function: A plain or a coroutine function without arguments.
        Raises:
            TransactionClosed: The block has ended.
        """
        transaction = self._current.get()
        if transaction is not None:
            transaction.check_usable()
            transaction.callbacks.append(function)
            return
        outcome = function()
        if inspect.isawaitable(outcome):
            self._run_later(_callbacks.finish(outcome))

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
        request = await self._complete(sql, args, _shape.DISCARD, None, False, first_set, timeout)
        _batches.finish(request, first_set)
        return request

    async def _complete(  # noqa: PLR0912, PLR0917 - ours alone; a call or a keyword more costs time on the hot path
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        timeout: float | None,
    ) -> "native.Request":
        """Run one statement where it belongs and return its finished request."""
        state = _async_replies.current()
        deadline = None if timeout is None else deadline_after(state.loop.time(), timeout)
        if not state.shows_ready:
            state.note_caller()
        transaction = self._current.get()
        if transaction is not None:
            return await transaction.complete(sql, args, shape, target, first, first_set, deadline)
        pool = self._pool
        if not pool.is_plain:
            return await self._borrowed(sql, args, shape, target, first, first_set, deadline)
        if not state.in_flight and args is not None:
            # Nobody else is under way: the reply is waited for right here, if that has paid before.
            slot = pool.take_idle()
            if slot is not None:
                connection = slot.connection
                try:
                    request = connection.submit(sql, args, shape, target, first, first_set)
                except BaseException:
                    pool.give_back(slot)
                    raise
                try:
                    is_answered = state.is_lone(0) and connection.look() == DONE
                except BaseException:
                    # A signal handler's, or that of a callback for notices.
                    await self._give_up(slot, request)
                    raise
                if is_answered:
                    if connection.is_clean and not slot.needs_care:
                        pool.put_back(slot)
                    else:
                        await self._release(slot)
                    if state.is_turn_due():
                        await _async_replies.turn()
                else:
                    dispatcher = self._dispatcher(state)
                    call = Call(dispatcher, sql, args, shape, target, first, first_set)
                    await dispatcher.finish(slot, request, call, deadline)
                if not (request.stale or request.undone):
                    return request
        if not pool.is_open:
            await self._open_on_use()
        dispatcher = self._dispatcher(state)
        attempts = 0
        while True:
            call = Call(dispatcher, sql, args, shape, target, first, first_set)
            request = await dispatcher.run(call, deadline)
            attempts += 1
            if not (request.stale or request.undone) or attempts == ATTEMPTS:
                return request

    async def _borrowed(  # noqa: PLR0917 - ours alone
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
    ) -> "native.Request":
        """Run a statement on a connection lent for it alone, as hooks and the leak warning want it."""
        slot = await self._acquire(deadline)
        try:
            if args is None and slot.connection.owed:
                await _async_replies.run_owed(slot, deadline)
            request = await self._once(slot, (sql, args, shape, target, first, first_set), deadline)
            if request.stale and slot.connection.transaction_status == "I":
                request = await self._once(slot, (sql, args, shape, target, first, first_set), deadline)
            return request
        finally:
            await self._release(slot)

    @staticmethod
    async def _once(
        slot: Slot,
        arguments: "tuple[str, tuple[object, ...] | None, int, object, bool, int | None]",
        deadline: float | None,
    ) -> "native.Request":
        request = slot.connection.submit(*arguments)
        if not _async_replies.look(slot.connection):
            await _async_replies.complete(slot, request, deadline)
        return request

    async def _give_up(self, slot: Slot, request: "native.Request") -> None:
        """Give back a connection on which a call has just ended by something else than its answer."""
        try:
            if slot.connection.busy and not slot.connection.closed:
                await _async_replies.abandon(slot, request)
        finally:
            await self._release(slot)

    def _dispatcher(self, state: _async_replies.LoopState) -> Dispatcher:
        """The dispatcher of the running loop."""
        dispatcher = self._local.dispatcher
        if dispatcher is None or dispatcher.loop is not state.loop:
            self._pool.bury_dead()
            dispatcher = self._local.dispatcher = Dispatcher(self, state)
            self._pool.dispatchers.append(dispatcher)
        return dispatcher


class _Local(threading.local):
    """Of the thread's event loop, for one Database."""

    dispatcher: Dispatcher | None = None
