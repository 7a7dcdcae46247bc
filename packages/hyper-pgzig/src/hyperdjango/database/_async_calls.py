"""Single statements on an event loop: `query` and its like, and where each of them runs."""

import threading
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from hyperdjango.database import _async_copy, _async_replies, _copy, _copy_source, _shape
from hyperdjango.database._async_pool import AsyncPoolFace
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._dispatch import Call, Dispatcher
from hyperdjango.database._pinned import check_committed
from hyperdjango.database._repeat import ATTEMPTS
from hyperdjango.database._slot import DONE, Slot
from hyperdjango.database._statements import is_script
from hyperdjango.database._watching import NOBODY, Finished, Watch, call_of, watched
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database.transaction import Transaction

T = TypeVar("T")
Row = dict[str, Any]


class AsyncCalls(AsyncPoolFace):
    """The part of Database that runs single statements."""

    @classmethod
    def _beside(cls, other: "AsyncCalls") -> Self:
        """Make one more face of the pool of another: its calls share connections and transactions with that."""
        self = cls.__new__(cls)
        self._pool, self._settings, self._opens_on_use = other._pool, other._settings, other._opens_on_use
        self._pending, self._local, self._current = other._pending, other._local, other._current
        self.alias, self.role = other.alias, other.role
        return self

    def _prepare(self) -> None:
        self._pending = set()
        self._local = _Local()
        self._current: ContextVar[Transaction | None] = ContextVar("hyperdjango_transaction", default=None)

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

    async def query_json(self, sql: str, *args: object, timeout: float | None = None) -> bytes:
        """Return all rows as one JSON array of objects, written without a Python object for any value.

        Arguments and errors as for `query`. Of columns with the same name the last is written. What a codec
        makes goes through the Database's `json_dumps`; docs/json.md has a line for every other type.

        Returns:
            UTF-8; `b"[]"` where there are no rows.
        Raises:
            DataError: A text is not UTF-8, as a SQL_ASCII database may hold, or a json value is not JSON.

        PostgreSQL docs: functions-json, "to_json".
        """
        request = await self._complete(sql, args, _shape.JSON, None, False, None, timeout)
        document: bytes = request.result()
        return document

    async def query_arrow(
        self, sql: str, *args: object, timeout: float | None = None
    ) -> "native.ArrowStream":
        """Return all rows of one statement as Arrow columns.

        No Arrow library is needed for it, and any of them reads the result in place: `pyarrow.table(result)`,
        `polars.DataFrame(result)`, `pandas.DataFrame.from_arrow(result)`.

        Args:
            sql: One statement with placeholders `$1` to `$65535`.
            args: One value per placeholder, in order.
            timeout: Seconds for the whole call, waiting for a connection included.
        Returns:
            An object with `__arrow_c_stream__`, which may be read any number of times. Columns are in order,
            duplicate names among them; docs/arrow.md says which Arrow type each PostgreSQL type becomes.
        Raises:
            DataError: A value has no Arrow form, as an infinite date has none; the text names the column.
            As `query` besides.

        Arrow docs: "The Arrow PyCapsule Interface".
        """
        request = await self._complete(sql, args, _shape.ARROW, None, False, None, timeout)
        result: native.ArrowStream = request.result()
        return result

    async def execute(self, sql: str, *args: object, timeout: float | None = None) -> CommandStatus:
        """Run a command and say what it did.

        `COPY … FROM STDIN` takes its data as the one value: str, bytes, a file (one that blocks is read in a
        thread), an iterable or an async iterable of str or bytes, cut anywhere. It is sent as fast as the
        backend takes it, in little memory. Whatever fails, nothing of it stays in the table.

        Without values `sql` may hold several statements; they succeed or fail together, unless they contain
        transaction commands of their own, and the status is that of the last.

        Returns:
            A str equal to `"COMMAND n"`, with `.rows` and `.tag`.
        Raises:
            As `query`. The error of a COPY says in a note which line it is about.

        PostgreSQL docs: sql-copy.
        """
        if len(args) == 1 and _copy.is_copy(sql):
            return await self._copy_in(sql, args[0], timeout)
        if not args and is_script(sql):
            request = await self._request(sql, None, timeout)
        else:
            request = await self._request(sql, args, timeout)
        return CommandStatus(request.tag, request.affected)

    async def _copy_in(self, sql: str, data: Any, timeout: float | None) -> CommandStatus:
        _copy.check(sql, "in")
        _copy_source.check(data)
        pieces = _copy_source.pieces_async(data)
        with watched(self, "execute", sql) as watch:
            async with _async_copy.limit(timeout) as limited:
                transaction = self._current.get()
                if transaction is not None:
                    async with transaction.moving() as slot:
                        limited.slot = slot
                        watch.has(slot)
                        request = await _async_copy.copy_in(slot, sql, pieces, transaction, limited)
                else:
                    request = await self._copy_alone(sql, pieces, limited, watch)
                watch.heard(request)
            return CommandStatus(request.tag, request.affected)

    async def _copy_alone(
        self,
        sql: str,
        pieces: AsyncGenerator[_copy_source.Piece, None],
        limited: _async_copy.Limit,
        watch: Watch,
    ) -> "native.Request":
        """Run a COPY FROM STDIN outside of blocks."""
        slot = limited.slot = await self._acquire(None)
        watch.has(slot)
        try:
            return await _async_copy.copy_in(slot, sql, pieces, None, limited)
        finally:
            await self._release(slot)

    async def _request(
        self,
        sql: str,
        args: tuple[object, ...] | None,
        timeout: float | None,
        *,
        watch: Watch | None = None,
    ) -> "native.Request":
        """Run a command and return its finished request, for the tag."""
        request = await self._complete(sql, args, _shape.DISCARD, None, False, None, timeout, watch)
        request.result()
        return request

    async def _complete(  # noqa: PLR0912, PLR0915, PLR0917 - ours alone; each call more costs time on the hot path
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        timeout: float | None,
        watch: Watch | None = None,
    ) -> "native.Request":
        """Run one statement where it belongs and return its finished request.

        With `first_set`, `args` is a batch of sets, and this is the number of the first in the errors. With
        `watch` it is a part of a call that is watched already, or that nobody watches.
        """
        pool = self._pool
        if watch is None and pool.watchers:
            return await self._watched(sql, args, shape, target, first, timeout)
        state = _async_replies.current()
        deadline = None if timeout is None else deadline_after(state.loop.time(), timeout)
        if not state.shows_ready:
            state.note_caller()
        transaction = self._current.get()
        if transaction is not None:
            if watch is not None:
                watch.slot = transaction.slot
            return await transaction.complete(sql, args, shape, target, first, first_set, deadline)
        if not pool.is_plain:
            return await self._borrowed(sql, args, shape, target, first, first_set, deadline, watch)
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
                    if watch is not None:
                        watch.slot = slot
                    return request
        if not pool.is_open:
            await self._open_on_use()
        dispatcher = self._dispatcher(state)
        attempts = 0
        while True:
            call = Call(dispatcher, sql, args, shape, target, first, first_set)
            if watch is not None:
                watch.ticket = call
            request = await dispatcher.run(call, deadline)
            attempts += 1
            if not (request.stale or request.undone) or attempts == ATTEMPTS:
                return request

    async def _watched(  # noqa: PLR0917 - as `_complete`
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        timeout: float | None,
    ) -> "native.Request":
        """As `_complete`, for a call that is to be reported."""
        name = call_of(shape, first=first)
        with watched(self, name, sql, parameters_count=len(args or ())) as watch:
            request = await self._complete(sql, args, shape, target, first, None, timeout, watch)
            return request if watch is NOBODY else cast("native.Request", Finished(request, watch))

    async def _commit(self, slot: Slot, command: str = "COMMIT") -> None:
        """Send the COMMIT, or COMMIT PREPARED, that a connection owes.

        Args:
            slot: The connection.
            command: Which of the two.
        Raises:
            InFailedSqlTransaction: The backend has rolled back.
        """
        check_committed(await _async_replies.run_owed(slot), command)

    def _heard(self, error: BaseException) -> None:
        """A block ends with an error: for faces that look out for what became of the server."""

    async def _one_server(self) -> "AsyncCalls":
        """Return a Database whose reads all go to the same server, for reads that belong together."""
        return self

    async def _borrowed(  # noqa: PLR0917 - ours alone
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
        watch: Watch | None,
    ) -> "native.Request":
        """Run a statement on a connection lent for it alone, as hooks and the leak warning want it."""
        slot = await self._acquire(deadline)
        if watch is not None:
            watch.has(slot)
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
