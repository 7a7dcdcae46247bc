"""Hooks of a pool: functions of the user's that run when a connection is opened, handed out and given back.

`_async_pool`, `_sync_pool` and the housekeeper run them. A coroutine function gets a HookConnection, whose
methods are awaited; a plain one gets a SyncHookConnection, whose methods block, and on an event loop it runs
in a thread for that reason.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from hyperdjango.database import _async_replies, _shape, _sync_replies
from hyperdjango.database._statements import is_script
from hyperdjango.database.errors import AcquireTimeout, InterfaceError
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database._slot import Slot

Row: TypeAlias = dict[str, Any]
Finish: TypeAlias = "Callable[[Slot, native.Request, float | None], Awaitable[None]]"


async def _finish_on_loop(slot: "Slot", request: "native.Request", until: float | None) -> None:
    await _async_replies.complete(slot, request, until)


async def _finish_blocking(slot: "Slot", request: "native.Request", until: float | None) -> None:
    """Answer without suspending, so that a blocking caller can drive the hook."""
    _sync_replies.complete(slot, request, until)


class _Bound:
    """What both kinds of connection have in common: they are bound to one session while the hook runs."""

    __slots__ = ("_slot", "_until")

    def __init__(self, slot: "Slot", until: float | None) -> None:
        self._slot: Slot | None = slot
        # The end of the call that the hook runs for, by the clock of whoever waits.
        self._until = until

    @property
    def _bound(self) -> "Slot":
        if self._slot is None:
            raise InterfaceError("the hook has ended, and its connection belongs to somebody else now")
        return self._slot

    def release(self) -> None:
        """The hook has ended."""
        self._slot = None

    @property
    def process_id(self) -> int:
        """The backend's process ID, as in pg_stat_activity."""
        return self._bound.established.cancel_target.process_id

    @property
    def server_version(self) -> int:
        """The server's version as `server_version_num` has it: 180006."""
        return self._bound.server_version


class HookConnection(_Bound):
    """The connection that a coroutine hook is about. Its methods are those of Database, without `timeout`."""

    __slots__ = ("_finish",)

    def __init__(self, slot: "Slot", finish: Finish, until: float | None = None) -> None:
        super().__init__(slot, until)
        self._finish = finish

    async def query(self, sql: str, *args: object, into: Callable[..., Any] = dict) -> list[Any]:
        """Return all rows of one statement; as `Database.query`."""
        rows: list[Any] = (await self._run(sql, args, *_shape.shape_of(into), first=False)).result()
        return rows

    async def query_one(self, sql: str, *args: object, into: Callable[..., Any] = dict) -> Any:
        """Return the first row, or None; as `Database.query_one`."""
        return (await self._run(sql, args, *_shape.shape_of(into), first=True)).result()

    async def query_val(self, sql: str, *args: object) -> Any:
        """Return the first column of the first row, or None; as `Database.query_val`."""
        return (await self._run(sql, args, _shape.VALUE, None, first=True)).result()

    async def execute(self, sql: str, *args: object) -> CommandStatus:
        """Run a command, or without values several, and say what it did; as `Database.execute`."""
        values = None if not args and is_script(sql) else args
        request = await self._run(sql, values, _shape.DISCARD, None, first=False)
        request.result()
        return CommandStatus(request.tag, request.affected)

    async def _run(
        self, sql: str, args: tuple[object, ...] | None, shape: int, target: object, *, first: bool
    ) -> "native.Request":
        slot = self._bound
        if args is None and slot.connection.owed:
            # It cannot go in front of the simple protocol.
            owed = slot.connection.run_owed()
            await self._finish(slot, owed, self._until)
            owed.result()
        request = slot.connection.submit(sql, args, shape, target, first, None)
        await self._finish(slot, request, self._until)
        if request.stale and slot.connection.transaction_status == "I":
            # The plan was made for what the table was before; nothing has run.
            request = slot.connection.submit(sql, args, shape, target, first, None)
            await self._finish(slot, request, self._until)
        return request


class SyncHookConnection(_Bound):
    """The connection that a plain hook is about. Its methods are those of SyncDatabase, without `timeout`."""

    __slots__ = ()

    def query(self, sql: str, *args: object, into: Callable[..., Any] = dict) -> list[Any]:
        """Return all rows of one statement; as `Database.query`."""
        rows: list[Any] = _driven(self._awaited().query(sql, *args, into=into))
        return rows

    def query_one(self, sql: str, *args: object, into: Callable[..., Any] = dict) -> Any:
        """Return the first row, or None; as `Database.query_one`."""
        return _driven(self._awaited().query_one(sql, *args, into=into))

    def query_val(self, sql: str, *args: object) -> Any:
        """Return the first column of the first row, or None; as `Database.query_val`."""
        return _driven(self._awaited().query_val(sql, *args))

    def execute(self, sql: str, *args: object) -> CommandStatus:
        """Run a command, or without values several, and say what it did; as `Database.execute`."""
        status: CommandStatus = _driven(self._awaited().execute(sql, *args))
        return status

    def _awaited(self) -> HookConnection:
        return HookConnection(self._bound, _finish_blocking, self._until)


def _driven(coroutine: Coroutine[Any, Any, Any], name: str = "") -> Any:
    """Run a coroutine that does not suspend to its end.

    Raises:
        InterfaceError: It does.
    """
    cause: RuntimeError | None = None
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    except RuntimeError as error:
        if str(error) != "no running event loop":  # as CPython has it
            raise
        cause = error
    coroutine.close()
    try:
        raise InterfaceError(
            f"the hook {name} awaited something else than the methods of its connection; "
            "for a blocking call there is no event loop to wait on"
        ) from cause
    finally:
        del cause  # its traceback has this frame


HookFunction: TypeAlias = (
    Callable[[HookConnection], Awaitable[object]] | Callable[[SyncHookConnection], object]
)


class Hook:
    """One function of the user's, to be run for a connection from an event loop or from a blocking caller."""

    __slots__ = ("_function", "_is_coroutine", "_name")

    def __init__(self, name: str, function: HookFunction) -> None:
        if not callable(function):
            raise TypeError(f"{name} must be a function, not {type(function).__name__}")
        self._name = name
        self._function: Callable[[Any], Any] = function
        self._is_coroutine = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is a coroutine function
        )

    async def run(self, slot: "Slot", until: float | None = None) -> None:
        """Run it on an event loop.

        Args:
            slot: The connection.
            until: By the loop's clock; None is no limit.
        Raises:
            Exception: What the function raises.
            AcquireTimeout: It has not ended in time.
            InterfaceError: It left a transaction open.
        """
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                await (self._run_on_loop(slot) if self._is_coroutine else self._run_in_thread(slot))
        except TimeoutError:
            if limit.expired():
                raise AcquireTimeout(f"the hook {self._name} did not end in time") from None
            raise
        self._check(slot)

    async def _run_on_loop(self, slot: "Slot") -> None:
        connection = HookConnection(slot, _finish_on_loop)
        try:
            await self._function(connection)
        finally:
            connection.release()

    async def _run_in_thread(self, slot: "Slot") -> None:
        running = asyncio.ensure_future(asyncio.to_thread(self._call, slot, None))
        try:
            await asyncio.shield(running)
        except BaseException:
            if not running.done():
                # Cancelled, while the function still uses the connection: it gets to its end, or an error.
                slot.close()
                running.add_done_callback(lambda ended: _heard(ended, slot))
            raise

    def run_blocking(self, slot: "Slot", until: float | None = None) -> None:
        """Run it in the caller's thread.

        Args:
            slot: The connection.
            until: Of each statement, by time.monotonic; None is no limit.
        Raises:
            QueryTimeout: A statement has not ended in time.
            Exception: As `run`.
        """
        if not self._is_coroutine:
            self._call(slot, until)
        else:
            connection = HookConnection(slot, _finish_blocking, until)
            try:
                _driven(self._function(connection), self._name)
            finally:
                connection.release()
        self._check(slot)

    def run_on_loop_of_its_own(self, slot: "Slot") -> None:
        """Run it in a thread of ours, where a coroutine may await what it likes; errors as for `run`."""
        if not self._is_coroutine:
            self._call(slot, None)
        else:
            connection = HookConnection(slot, _finish_blocking)
            try:
                asyncio.run(self._function(connection))
            finally:
                connection.release()
        self._check(slot)

    def _call(self, slot: "Slot", until: float | None) -> None:
        connection = SyncHookConnection(slot, until)
        try:
            outcome = self._function(connection)
        finally:
            connection.release()
        if inspect.iscoroutine(outcome):
            outcome.close()
            raise InterfaceError(
                f"the hook {self._name} returns a coroutine and is no coroutine function: write `async def`"
            )

    def _check(self, slot: "Slot") -> None:
        if not slot.connection.closed and slot.connection.transaction_status != "I":
            raise InterfaceError(f"the hook {self._name} left a transaction open")


class HookPair(Hook):
    """Two hooks, the second after the first has ended: ours, and the user's."""

    __slots__ = ("_pair",)

    def __init__(self, first: Hook, second: Hook) -> None:
        self._pair = (first, second)

    async def run(self, slot: "Slot", until: float | None = None) -> None:
        """Run both on an event loop."""
        for hook in self._pair:
            await hook.run(slot, until)

    def run_blocking(self, slot: "Slot", until: float | None = None) -> None:
        """Run both in the caller's thread."""
        for hook in self._pair:
            hook.run_blocking(slot, until)

    def run_on_loop_of_its_own(self, slot: "Slot") -> None:
        """Run both in a thread of ours."""
        for hook in self._pair:
            hook.run_on_loop_of_its_own(slot)


def _heard(running: "asyncio.Future[None]", slot: "Slot") -> None:
    """Take note of an outcome that nobody waits for any more."""
    if not running.cancelled():
        running.exception()
    slot.close()  # as long as the function was in there, its socket could not be


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a pool; None where there is none."""

    on_connect: Hook | None = None
    on_acquire: Hook | None = None
    on_release: Hook | None = None

    @classmethod
    def of(
        cls,
        on_connect: HookFunction | None,
        on_acquire: HookFunction | None,
        on_release: HookFunction | None,
    ) -> "Hooks":
        """Make hooks of functions.

        Raises:
            TypeError: One is no function.
        """
        return cls(
            None if on_connect is None else Hook("on_connect", on_connect),
            None if on_acquire is None else Hook("on_acquire", on_acquire),
            None if on_release is None else Hook("on_release", on_release),
        )
