"""How the blocking face waits for a connection, opens one and gives it back: the base of SyncDatabase.

KeyboardInterrupt may come between any two steps here. Where it ends a wait, the ticket, the place or the
connection goes back at once; where it comes between getting one and taking care of it, the pool takes back
what was dropped (`_place`).
"""

import asyncio
import contextlib
import logging
import threading
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Self

from hyperdjango.database import _interrupts, _sync_io, _sync_replies
from hyperdjango.database._deadline import check_timeout
from hyperdjango.database._face import Face
from hyperdjango.database._opening import Crowded, establish_steps, patience_from
from hyperdjango.database._place import Place
from hyperdjango.database._slot import RESET_SECONDS, RESET_SQL, ROLLBACK_SQL, Slot, warn_of_open_transaction
from hyperdjango.database.errors import AcquireTimeout, InterfaceError, NotConnected
from hyperdjango.database.pool import DRAIN_SECONDS, Ticket

_logger: Final = logging.getLogger("hyperdjango.database")


class _Bell:
    """Wakes one thread, once. A bare lock and no Event.

    The collector may ring it from inside of the very wait, where the lock of an Event would be held.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()  # noqa: TID251 - others release it, and no `with` has it
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the one who waits, or will. Any number of calls."""
        with contextlib.suppress(RuntimeError):  # it was rung, and nobody has waited yet
            self._lock.release()

    def wait(self, until: float | None) -> bool:
        """Wait, until time.monotonic is `until`; False where the time is over."""
        if until is None:
            return self._lock.acquire()
        left = min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
        return self._lock.acquire(timeout=left)


class SyncPoolFace(Face):
    """The half of SyncDatabase that stands between its calls and the pool."""

    # The transaction that runs on the asyncio face over the same pool, where that has made this one.
    _asyncio_block: ContextVar[Any] | None = None

    def connect(self) -> Self:
        """Open the pool. Does nothing where it is open; waits where another caller is at it.

        Raises:
            ConnectionFailed: With the server's message and SQLSTATE where it sent one.
        """
        pool = self._pool
        while True:
            settled = _Bell()
            opening = pool.open(settled.ring)
            if opening is not None:
                break
            settled.wait(None)
        if opening.places:
            try:
                self._fill(opening.places)
            finally:
                pool.end_opening()
        return self

    def _fill(self, places: list[Place]) -> None:
        try:
            while places:
                self._pool.give_back_unused(self._open_slot(places.pop()))
        except BaseException:
            for place in places:
                self._pool.abandon_place(place)
            self.disconnect(timeout=0)
            raise

    def disconnect(self, timeout: float | None = DRAIN_SECONDS) -> None:
        """Wait until running calls are done, then close all connections. Any number of calls.

        New calls, and those that wait for a connection, are refused at once.

        Args:
            timeout: Seconds; past it the connections in use are closed as they come back. 0 waits for
                nobody, None without limit.
        Raises:
            ValueError: `timeout` is negative or not a number.
        """
        timeout = check_timeout(timeout)
        _interrupts.let_go()
        drained = _Bell()
        draining = self._pool.close(drained.ring)
        if draining is None:
            return
        try:
            if timeout != 0:
                drained.wait(None if timeout is None else time.monotonic() + timeout)
        finally:
            self._pool.end_draining(draining)

    def __enter__(self) -> Self:
        """Open the pool."""
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain and close the pool."""
        self.disconnect()

    def _acquire(self, deadline: float | None) -> Slot:
        """Take a connection from the pool, open one, or wait for one.

        Args:
            deadline: Of the call, by time.monotonic; None is no limit.
        """
        if self._asyncio_block is not None and self._asyncio_block.get() is not None:
            _refuse_beside_a_block()
        pool = self._pool
        idle = pool.take_idle()
        if idle is not None:
            return idle
        if not pool.is_open:
            if not self._opens_on_use or pool.is_draining:
                raise NotConnected
            self.connect()
        began = time.monotonic()
        limit = self._settings.acquire_timeout
        until = None if limit is None else began + limit
        if deadline is not None and (until is None or deadline < until):
            until = deadline
        served = _Bell()
        ticket = Ticket(served.ring)
        while True:
            self._wait_for(ticket, served, until)
            slot = pool.claim(ticket)
            if slot is None:
                assert ticket.place is not None
                try:
                    slot = self._open_slot(ticket.place, until, began=began, may_wait=True)
                except Crowded:
                    served = _Bell()
                    ticket = pool.requeue(ticket, served.ring)
                    continue
            on_acquire = pool.hooks.on_acquire
            if on_acquire is not None:
                try:
                    on_acquire.run_blocking(slot, until)
                except BaseException:
                    pool.discard(slot)
                    raise
            pool.lend(slot)
            return slot

    def _wait_for(self, ticket: Ticket, served: _Bell, until: float | None) -> None:
        """Wait until a ticket, new or put back, is served; gives it back where that ends early."""
        try:
            if not ticket.number:
                self._pool.enter_with(ticket)
            if not ticket.is_served and not ticket.is_refused:
                _interrupts.let_go()
                if not served.wait(until):
                    raise AcquireTimeout("no connection became free in time")
            if ticket.is_refused:
                raise InterfaceError("the pool was closed while the call waited for a connection")
        except BaseException as error:
            self._pool.leave(ticket, is_late=isinstance(error, AcquireTimeout))
            raise

    def _open_slot(
        self, place: Place, until: float | None = None, *, began: float | None = None, may_wait: bool = False
    ) -> Slot:
        """Open a connection in a place that is ours; the place is given up when that fails.

        Args:
            place: Where.
            until: By time.monotonic; None is no limit.
            began: When the call began; None is now.
            may_wait: Raise Crowded, the place still ours, where the server takes no more and others of the
                pool have connections.
        """
        pool = self._pool
        now = time.monotonic()
        patience = patience_from(pool, now if began is None else began, until)
        try:
            established = _sync_io.run(
                establish_steps(pool, patience=patience, may_wait=may_wait),
                None if until is None else until - now,
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
            self._prepare_session(slot, until)
        except BaseException:
            pool.discard(slot)
            raise
        return slot

    def _prepare_session(self, slot: Slot, until: float | None = None) -> None:
        on_connect = self._pool.hooks.on_connect
        if on_connect is not None:
            on_connect.run_blocking(slot, until)
            slot.settle()

    def _release(self, slot: Slot, *, is_block: bool = False) -> None:
        """Give a connection back: out of its transaction, its session as it was opened."""
        slot.borrowing = None
        is_fit = False
        try:
            if not slot.connection.closed and not slot.connection.busy:
                if is_block:
                    # What an interrupt has left of it is not the next borrower's.
                    slot.connection.disown(None)
                self._clean(slot, is_block=is_block)
                is_fit = slot.is_quiet() and not slot.is_condemned
        except Exception:
            slot.close()
        finally:
            if is_fit:
                self._pool.put_back(slot)
            else:
                self._pool.discard(slot)

    def _clean(self, slot: Slot, *, is_block: bool) -> None:
        connection = slot.connection
        if connection.transaction_status != "I":
            if not is_block:
                warn_of_open_transaction()
            _sync_replies.run(slot, ROLLBACK_SQL, time.monotonic() + RESET_SECONDS)
        on_release = self._pool.hooks.on_release
        if on_release is not None:
            try:
                on_release.run_blocking(slot)
            except Exception:
                _logger.exception("the hook on_release failed; its connection is closed")
                raise
        if connection.session_changed and not slot.is_condemned:
            if self._pool.hooks.on_connect is None:
                slot.owe_reset()
            else:
                _sync_replies.run(slot, RESET_SQL, time.monotonic() + RESET_SECONDS)
                self._prepare_session(slot)


def _refuse_beside_a_block() -> None:
    """A call would go by a connection beside the block's, and might wait for the block's locks, which waits for it.

    Raises:
        InterfaceError: This thread runs the event loop of the block. Other threads may.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise InterfaceError(
        "a blocking call on the event loop's own thread, inside of a transaction block of the same Database: it would "
        "be no part of the transaction, and could wait for its locks for ever; await the call of the Database itself"
    )
