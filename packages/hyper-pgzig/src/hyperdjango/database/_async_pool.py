"""How the asyncio face waits for a connection, opens one and gives it back: the base of Database.

Every wait here may end in a cancellation; then the ticket, the place or the connection goes back at once.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from hyperdjango.database import _async_io, _async_replies
from hyperdjango.database._deadline import check_timeout
from hyperdjango.database._face import Face
from hyperdjango.database._opening import Crowded, establish_steps, patience_from
from hyperdjango.database._place import Place
from hyperdjango.database._slot import RESET_SECONDS, RESET_SQL, ROLLBACK_SQL, Slot, warn_of_open_transaction
from hyperdjango.database.errors import AcquireTimeout, InterfaceError, NotConnected
from hyperdjango.database.pool import DRAIN_SECONDS, Ticket

if TYPE_CHECKING:
    from hyperdjango.database.transaction import Transaction

_logger: Final = logging.getLogger("hyperdjango.database")


class AsyncPoolFace(Face):
    """The half of Database that stands between its calls and the pool."""

    # Tasks nobody waits for; without a reference they could vanish half way.
    _pending: set[asyncio.Future[None]]

    async def connect(self) -> Self:
        """Open the pool. Does nothing where it is open; waits where another caller is at it.

        Raises:
            ConnectionFailed: With the server's message and SQLSTATE where it sent one.
        """
        pool = self._pool
        loop = asyncio.get_running_loop()
        while True:
            settled = asyncio.Event()
            opening = pool.open(lambda settled=settled: _wake(loop, settled))  # type: ignore[misc]
            if opening is not None:
                break
            await settled.wait()
        if opening.places:
            try:
                await self._fill(opening.places)
            finally:
                pool.end_opening()
        return self

    async def _fill(self, places: list[Place]) -> None:
        pool = self._pool

        async def open_one() -> Slot:
            return await self._open_slot(places.pop())

        opening = [asyncio.ensure_future(open_one()) for _ in places]
        failure: BaseException | None = None
        try:
            await asyncio.gather(*opening, return_exceptions=True)
        except BaseException:
            draining = pool.close(lambda: None)
            if draining is not None:
                pool.end_draining(draining)
            raise
        finally:
            for opened in opening:
                error = asyncio.CancelledError() if opened.cancelled() else opened.exception()
                if error is None:
                    pool.give_back_unused(opened.result())
                else:
                    failure = failure or error
            # Those that were cancelled before they ran have not given their places back.
            for place in places:
                pool.abandon_place(place)
        if failure is not None:
            await self.disconnect(timeout=0)
            raise failure

    async def disconnect(self, timeout: float | None = DRAIN_SECONDS) -> None:
        """Wait until running calls are done, then close all connections. Any number of calls.

        New calls, and those that wait for a connection, are refused at once.

        Args:
            timeout: Seconds; past it the connections in use are closed as they come back. 0 waits for
                nobody, None without limit.
        Raises:
            ValueError: `timeout` is negative or not a number.
        """
        timeout = check_timeout(timeout)
        loop = asyncio.get_running_loop()
        drained = asyncio.Event()
        draining = self._pool.close(lambda: _wake(loop, drained))
        if draining is None:
            return
        try:
            if timeout != 0:
                with contextlib.suppress(TimeoutError):
                    # Not wait_for: on 3.11 it swallows a cancellation that comes with the last connection.
                    async with asyncio.timeout(timeout):
                        await drained.wait()
        finally:
            self._pool.end_draining(draining)

    async def __aenter__(self) -> Self:
        """Open the pool."""
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain and close the pool."""
        await self.disconnect()

    async def _open_on_use(self) -> None:
        """Open the pool where it opens by itself.

        Raises:
            NotConnected: It does not.
        """
        if not self._opens_on_use or self._pool.is_draining:
            raise NotConnected
        await self.connect()

    def _until(self, loop: asyncio.AbstractEventLoop, deadline: float | None) -> float | None:
        """Until when a call may wait for a connection, by the loop's clock; None is without limit."""
        limit = self._settings.acquire_timeout
        if limit is None:
            return deadline
        until = loop.time() + limit
        return until if deadline is None else min(until, deadline)

    async def _acquire(self, deadline: float | None, *, is_urgent: bool = False) -> Slot:
        """Take a connection from the pool, open one, or wait for one.

        Args:
            deadline: Of the call, by the loop's clock; None is no limit.
            is_urgent: The call has run already: `acquire_timeout` is not for it.
        """
        pool = self._pool
        if not pool.is_open:
            await self._open_on_use()
        loop = asyncio.get_running_loop()
        until = deadline if is_urgent else self._until(loop, deadline)
        began = time.monotonic()
        served = asyncio.Event()
        ticket = pool.enter(lambda: _wake(loop, served))
        await self._wait_for(ticket, served, until)
        return await self._claim(ticket, until, began)

    async def _claim(self, ticket: Ticket, until: float | None, began: float) -> Slot:
        """Make a connection of a ticket that was served.

        Args:
            ticket: The caller's no more, whatever happens.
            until: By the loop's clock; None is no limit.
            began: When the call began, by time.monotonic.
        """
        pool = self._pool
        loop = asyncio.get_running_loop()
        while True:
            slot = pool.claim(ticket)
            if slot is None:
                assert ticket.place is not None
                try:
                    slot = await self._open_slot(ticket.place, until, began=began, may_wait=True)
                except Crowded:
                    served = asyncio.Event()
                    ticket = pool.requeue(ticket, lambda served=served: _wake(loop, served))  # type: ignore[misc]
                    await self._wait_for(ticket, served, until)
                    continue
            on_acquire = pool.hooks.on_acquire
            if on_acquire is not None:
                try:
                    await on_acquire.run(slot, until)
                except BaseException:
                    pool.discard(slot)
                    raise
            pool.lend(slot)
            return slot

    async def _wait_for(self, ticket: Ticket, served: asyncio.Event, until: float | None) -> None:
        """Wait until a ticket is served; gives it back where that ends early."""
        try:
            if not ticket.is_served and not ticket.is_refused:
                async with asyncio.timeout_at(until):
                    await served.wait()
            if ticket.is_refused:
                raise InterfaceError("the pool was closed while the call waited for a connection")
        except BaseException as error:
            is_late = isinstance(error, TimeoutError)
            self._pool.leave(ticket, is_late=is_late)
            if is_late:
                raise AcquireTimeout("no connection became free in time") from None
            raise

    async def _open_slot(
        self, place: Place, until: float | None = None, *, began: float | None = None, may_wait: bool = False
    ) -> Slot:
        """Open a connection in a place that is ours; the place is given up when that fails.

        Args:
            place: Where.
            until: By the loop's clock; None is no limit.
            began: When the call began, by time.monotonic; None is now.
            may_wait: Raise Crowded, the place still ours, where the server takes no more and others of the
                pool have connections.
        """
        pool = self._pool
        now = time.monotonic()
        left = None if until is None else until - asyncio.get_running_loop().time()
        patience = patience_from(pool, now if began is None else began, None if left is None else now + left)
        try:
            established = await _async_io.run(
                establish_steps(pool, patience=patience, may_wait=may_wait), left
            )
        except Crowded:
            raise
        except BaseException as error:
            pool.abandon_place(place)
            if type(error) is TimeoutError:
                raise AcquireTimeout("no connection could be opened in time") from None
            raise
        slot = pool.adopt(established, place)
        try:
            await self._prepare_session(slot, until)
        except BaseException:
            pool.discard(slot)
            raise
        return slot

    async def _prepare_session(self, slot: Slot, until: float | None = None) -> None:
        on_connect = self._pool.hooks.on_connect
        if on_connect is not None:
            await on_connect.run(slot, until)
            slot.settle()

    def _run_later(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine that nobody waits for."""
        task = asyncio.ensure_future(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    def _give_back_later(self, transaction: "Transaction") -> None:
        """Release a transaction's connection once the task that uses it is done with it."""

        async def wait() -> None:
            try:
                slot = await transaction.give_up()
                transaction.abandon()
            except BaseException:
                # The loop is about to end.
                self._pool.discard(transaction.take())
                raise
            await self._release(slot, is_block=True)

        self._run_later(wait())

    async def _release(self, slot: Slot, *, is_block: bool = False) -> None:
        """Give a connection back: out of its transaction, its session as it was opened."""
        slot.borrowing = None
        is_fit = False
        try:
            if not slot.connection.closed and not slot.connection.busy:
                await self._clean(slot, is_block=is_block)
                is_fit = slot.is_quiet() and not slot.is_condemned
        except Exception:
            slot.close()
        finally:
            # Not fit, as after a cancelled reset: it is closed.
            if is_fit:
                self._pool.put_back(slot)
            else:
                self._pool.discard(slot)

    async def _clean(self, slot: Slot, *, is_block: bool) -> None:
        connection = slot.connection
        loop = asyncio.get_running_loop()
        if connection.transaction_status != "I":
            if not is_block:
                warn_of_open_transaction()
            await _async_replies.run(slot, ROLLBACK_SQL, loop.time() + RESET_SECONDS)
        on_release = self._pool.hooks.on_release
        if on_release is not None:
            try:
                await on_release.run(slot)
            except Exception:
                _logger.exception("the hook on_release failed; its connection is closed")
                raise
        if connection.session_changed and not slot.is_condemned:
            if self._pool.hooks.on_connect is None:
                slot.owe_reset()
            else:
                await _async_replies.run(slot, RESET_SQL, loop.time() + RESET_SECONDS)
                await self._prepare_session(slot)


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> bool:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        return False  # the loop was closed, and maybe its tasks were never cancelled
    return True
