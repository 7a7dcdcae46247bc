"""Listener and SyncListener: what `listen` returns, for `async for` and for `for`.

They are iterators and no generators. A generator that a loop was left early from is closed by whoever finds
it, some time later; these are closed when nobody has them any more, which for a plain loop is at its end.
PostgreSQL docs: sql-listen.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from hyperdjango.database import _async_io, _async_replies, _sync_io
from hyperdjango.database._deadline import check_timeout, deadline_after
from hyperdjango.database._listening import Listening
from hyperdjango.database.errors import InterfaceError

Item = TypeVar("Item", covariant=True)  # noqa: PLC0105 - the name that its users see


class _Listener(Generic[Item]):
    """What the two kinds have in common."""

    _listening: Listening
    _timeout: float | None

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that are listened to."""
        return self._listening.channels

    @property
    def process_id(self) -> int:
        """The process ID of the backend that listens; 0 while there is no connection."""
        return self._listening.process_id

    def __repr__(self) -> str:
        """What is listened to."""
        state = " closed" if self._listening.is_ended else ""
        return f"<{type(self).__name__} {', '.join(map(repr, self.channels))}{state}>"

    def close(self) -> None:
        """Close the connection; a loop over the listener ends. From any thread, any number of calls."""
        self._listening.close()

    def _next(self) -> Item | None:
        return cast("Item | None", self._listening.take())

    def _check_open(self) -> None:
        if self._listening.is_ended:
            raise InterfaceError("the listener was closed, or its Database disconnected")


class Listener(_Listener[Item]):
    """An async iterator of notifications, and a block: `async with` closes it at the block's end.

    The connection is opened when the block or the loop begins. It has no place in the pool.
    """

    def __init__(
        self, listening: Listening, make_ready: Callable[[], Coroutine[Any, Any, None]], timeout: float | None
    ) -> None:
        """Take down what to listen to; nothing is opened yet.

        Args:
            listening: The connection that there will be.
            make_ready: Opens the Database where that opens by itself, and raises where it is not open.
            timeout: Seconds to wait for the next one.
        """
        self._make_ready = make_ready
        self._timeout = check_timeout(timeout)
        self._listening = listening

    async def __aenter__(self) -> Self:
        """Open the connection. What is notified from here on is heard.

        Raises:
            NotConnected: `connect()` has not run.
            ConnectionFailed: There is no connection to be had.
            DatabaseError: The server does not let us listen.
            InterfaceError: The listener was closed.
        """
        await self._run(self._open)
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._listening.close()

    def __aiter__(self) -> Self:
        """Return the listener itself."""
        return self

    async def __anext__(self) -> Item:
        """Wait for the next one; the loop ends when `timeout` has passed, or the listener was closed.

        May be cancelled, by a timeout of the caller's too: nothing is lost, and the next call goes on.

        Raises:
            InterfaceError: Another task waits for the next one.
            DatabaseError: The connection is lost for good. Also as `__aenter__`, where it was not open yet.
        """
        listening = self._listening
        if listening.has_items and _async_replies.current().is_turn_due():
            await _async_replies.turn()
        if not listening.has_items:
            await self._run(self._fill)
        item = self._next()
        if item is None:
            raise StopAsyncIteration
        return item

    async def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what waits, unless it was closed; ends at once when it is closed meanwhile."""
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(None)

        def stop() -> None:
            with contextlib.suppress(RuntimeError):  # it is over
                limit.reschedule(loop.time())

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(stop)

        if not self._listening.begin(asyncio.current_task(), wake):
            return
        try:
            async with limit:
                await work()
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._listening.end()

    async def _fill(self) -> None:
        await self._open()
        await _async_io.run(self._listening.fill_steps(deadline_after(time.monotonic(), self._timeout)))

    async def _open(self) -> None:
        if self._listening.is_open:
            return
        await self._make_ready()
        await _async_io.run(self._listening.open_steps())


class SyncListener(_Listener[Item]):
    """An iterator of notifications that blocks, and a block: `with` closes it at the block's end.

    Methods and errors are those of Listener.
    """

    def __init__(self, listening: Listening, make_ready: Callable[[], None], timeout: float | None) -> None:
        """Take down what to listen to, as for Listener; nothing is opened yet."""
        self._make_ready = make_ready
        self._timeout = check_timeout(timeout)
        self._listening = listening

    def __enter__(self) -> Self:
        """Open the connection; as `Listener.__aenter__`."""
        listening = self._listening
        if listening.begin(threading.get_ident()):
            try:
                self._open()
            finally:
                listening.end()
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._listening.close()

    def __iter__(self) -> Self:
        """Return the listener itself."""
        return self

    def __next__(self) -> Item:
        """Wait for the next one; as `Listener.__anext__`."""
        listening = self._listening
        if not listening.has_items and listening.begin(threading.get_ident()):
            try:
                self._open()
                _sync_io.run(listening.fill_steps(deadline_after(time.monotonic(), self._timeout)))
            finally:
                listening.end()
        item = self._next()
        if item is None:
            raise StopIteration
        return item

    def _open(self) -> None:
        if self._listening.is_open:
            return
        self._make_ready()
        _sync_io.run(self._listening.open_steps())
