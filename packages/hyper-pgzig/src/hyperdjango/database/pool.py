"""The pool: one per Database, shared by all threads and event loops of the process.

Decides who gets which connection and never waits itself. A caller that finds nothing free is given a
Ticket; whoever returns a connection hands it to the oldest ticket. How a ticket is waited for, and how a
connection is opened, is the business of the two faces, `_async_pool` and `_sync_pool`.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _fork, _leaks, _linger
from hyperdjango.database._backoff import Backoff
from hyperdjango.database._hooks import Hooks
from hyperdjango.database._housekeeper import Housekeeper
from hyperdjango.database._native import native
from hyperdjango.database._queue import Ticket, TicketQueue
from hyperdjango.database._slot import Slot
from hyperdjango.database.errors import InterfaceError

if TYPE_CHECKING:
    from hyperdjango.database._connect import Established
    from hyperdjango.database._conninfo import ConnectParameters

__all__ = ["DRAIN_SECONDS", "Pool", "Ticket"]

DRAIN_SECONDS: Final = 10.0

# Connections that were opened together are not to end together.
LIFETIME_JITTER: Final = 0.1

_random = random.SystemRandom()


class _Last(threading.local):
    """The number of the connection that the thread used last. A number keeps nothing alive."""

    number = 0


class Pool:
    """Connections to one database.

    Attributes:
        parameters: How each is opened.
        type_map: The types and statements they share.
        generation: Changes at a fork: what was handed out before does not count after it.
    """

    def __init__(
        self,
        parameters: "ConnectParameters",
        *,
        min_size: int,
        max_size: int,
        statement_cache_size: int,
        message_size_max: int,
        type_map: "native.TypeMap | None" = None,
        max_lifetime: float | None = None,
        idle_timeout: float | None = None,
        leak_timeout: float | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self.parameters = parameters
        self.min_size = min_size
        self.max_size = max_size
        self.statement_cache_size = statement_cache_size
        self.message_size_max = message_size_max
        self.max_lifetime = max_lifetime
        self.idle_timeout = idle_timeout
        self.leak_timeout = leak_timeout
        self.hooks = Hooks() if hooks is None else hooks
        # A connection is anybody's as soon as it is idle: nothing is to be done at each hand-out and return.
        self.is_plain = self.hooks.on_acquire is None and self.hooks.on_release is None and leak_timeout is None
        self.type_map = type_map if type_map is not None else native.TypeMap()
        self.generation = 0
        self._opened = self._closed = self._lost = self._waited = self._timeouts = 0
        self._forget_everything()
        _fork.watch(self)

    def _forget_everything(self) -> None:
        # Reentrant: the collector may end a forgotten coroutine, and with it a call, inside any of our lines.
        self._lock = threading.RLock()
        self.backoff = Backoff()
        self._idle: dict[int, Slot] = {}
        self._slots: dict[int, Slot] = {}
        self._queue = TicketQueue()
        self._arrivals = 0
        self._total = 0
        self._closing = 0
        self._is_open = False
        self._is_opening = False
        self._is_draining = False
        self._last = _Last()
        self._drained: list[Callable[[], object]] = []
        self._settled: list[Callable[[], object]] = []
        self._housekeeper = Housekeeper(self)

    # How it is opened and closed.

    @property
    def is_open(self) -> bool:
        """Whether connections can be taken."""
        return self._is_open

    @property
    def is_draining(self) -> bool:
        """Whether it waits for running calls to end."""
        return self._is_draining

    def open(self, wake: Callable[[], object] = lambda: None) -> int | None:
        """Let connections be taken.

        Returns:
            How many places the caller is to fill now, and to call `end_opening` after; 0 where it is open.
            None: somebody else opens or drains it; `wake` is called when that is over, then ask again.
        """
        with self._lock:
            if self._is_opening or self._is_draining:
                self._settled.append(wake)
                return None
            if self._is_open:
                return 0
            self._is_open = True
            count = max(0, self.min_size - self._total)
            self._total += count
            self._is_opening = count > 0
        return count

    def end_opening(self) -> None:
        """The places are filled, or that has failed."""
        with self._lock:
            self._is_opening = False
            settled, self._settled = self._settled, []
        for wake in settled:
            wake()

    def close(self, wake: Callable[[], object]) -> bool:
        """Close the idle connections and let no new ones be taken.

        Those in use are closed when they come back; `wake` is called after the last.

        Returns:
            Whether none is in use, so that nobody is woken. Else `end_draining` is to be called.
        """
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, {}
            for slot in idle.values():
                del self._slots[slot.number]
            self._closed += len(idle)
            self._total -= len(idle)
            is_drained = self._total == 0
            if not is_drained:
                self._drained.append(wake)
                self._is_draining = True
            # Before anyone can give back a ticket that is neither in the queue nor refused.
            for ticket in self._queue.clear():
                ticket.refuse()
        self._housekeeper.stop()
        for slot in idle.values():
            slot.close()
        return is_drained

    def end_draining(self) -> None:
        """Whoever waited for the last connection waits no more: what comes back from now on is closed."""
        with self._lock:
            self._is_draining = False
            if not self._is_open:
                for slot in self._slots.values():
                    slot.condemn()
            settled, self._settled = self._settled, []
        for wake in settled:
            wake()

    # How connections are taken.

    def take_idle(self) -> Slot | None:
        """Return an idle connection that is alive; None where there is none, or where hooks are to run."""
        if self.hooks.on_acquire is not None or self.leak_timeout is not None:
            return None
        return self._take_alive()

    def _take_alive(self) -> Slot | None:
        while True:
            with self._lock:
                # Those who wait go first.
                if not self._idle or self._queue.waiting or not self._is_open:
                    return None
                slot = self._pop_idle()
            if slot.connection.is_alive():
                return slot
            self.discard(slot)

    def _pop_idle(self) -> Slot:
        """Take the one this thread used last, else the one used last."""
        idle, last = self._idle, self._last
        slot = idle.pop(last.number, None)
        if slot is None:
            _, slot = idle.popitem()
            last.number = slot.number
        return slot

    def enter(self, wake: Callable[[], object]) -> Ticket:
        """Take a connection, a place to open one, or a place in the queue.

        Raises:
            InterfaceError: The pool is closed or closing.
        """
        ticket = Ticket(wake)
        self.enter_with(ticket)
        return ticket

    def enter_with(self, ticket: Ticket) -> None:
        """As `enter`, with a ticket of the caller's own make."""
        with self._lock:
            if not self._is_open:
                raise InterfaceError("the pool is closed")
            self._arrivals += 1
            ticket.number, ticket.generation = self._arrivals, self.generation
            if not self._queue.waiting:
                if self._idle:
                    ticket.slot, ticket.is_served = self._pop_idle(), True
                    return
                if self._may_grow():
                    self._total += 1
                    ticket.is_served = True
                    return
            self._queue.append(ticket)
            self._waited += 1
            self._serve_place()

    @property
    def has_waiting(self) -> bool:
        """Whether somebody waits in the queue. No lock is taken: it may be over by now."""
        return self._queue.waiting > 0

    def take_ticket(self, owner: object) -> Ticket | None:
        """Take the oldest ticket out of the queue, where it is the owner's: it is served otherwise.

        Who cannot do so after all gives it back by `return_ticket`.
        """
        with self._lock:
            return self._queue.pop_of(owner)

    def return_ticket(self, ticket: Ticket) -> None:
        """Put a ticket back where it stood."""
        with self._lock:
            if not self._is_open or ticket.generation != self.generation:
                ticket.refuse()
            elif self._idle:
                # It came back while the queue seemed to be empty.
                ticket.serve(self._pop_idle())
            else:
                self._queue.insert(ticket)
                self._serve_place()

    def requeue(self, ticket: Ticket, wake: Callable[[], object]) -> Ticket:
        """Give back a place in which the server would let nobody in, for the old place in the queue.

        Returns:
            A ticket of the old number. It is served, and the place still the caller's, where no other
            connection could come back.
        """
        with self._lock:
            again = Ticket(wake, ticket.number, ticket.generation)
            if ticket.generation != self.generation or not self._is_open:
                self.abandon_place(ticket.generation)
                again.is_refused = True
            elif self._idle:
                again.slot, again.is_served = self._pop_idle(), True
                self._total -= 1
            elif self._total > 1:
                self._total -= 1
                self._queue.insert(again)
                self._housekeeper.wake()  # to grow again when the server may be willing
            else:
                again.is_served = True
        return again

    def has_others(self) -> bool:
        """Whether there is a connection or an attempt at one beside the caller's own."""
        return self._total > 1

    def claim(self, ticket: Ticket) -> Slot | None:
        """Return the connection of a ticket that was served; None: open one, the place is the caller's."""
        slot = ticket.slot
        if slot is None or slot.connection.is_alive():
            return slot
        # Nobody loses his turn because a connection died.
        self._forget(slot)
        other = self._take_alive()
        if other is not None:
            self.abandon_place()
        return other

    def leave(self, ticket: Ticket, *, is_late: bool = False) -> None:
        """Give a ticket back unused: its caller was cancelled or, `is_late`, out of time, served or not."""
        with self._lock:
            self._timeouts += is_late
            if ticket.is_refused or ticket.is_left or ticket.generation != self.generation:
                return
            if not ticket.is_served:
                self._queue.leave(ticket)
                return
        if ticket.slot is not None:
            self.give_back_unused(ticket.slot)
        else:
            self.abandon_place()

    def lend(self, slot: Slot) -> None:
        """Take down who has it, where leaks are looked out for."""
        if self.leak_timeout is not None:
            slot.borrowing = _leaks.borrowing()

    # How they come, and come back.

    def adopt(self, established: "Established") -> Slot:
        """Make an open connection one of the pool's, in a place that the caller has."""
        slot = Slot(established)
        if self.max_lifetime is not None:
            slot.expires_at = slot.created_at + self.max_lifetime * (1 - _random.random() * LIFETIME_JITTER)
        slot.needs_care = self.hooks.on_release is not None or self.leak_timeout is not None
        with self._lock:
            self._slots[slot.number] = slot
            self._opened += 1
        if self.max_lifetime is not None or self.idle_timeout is not None or self.leak_timeout is not None:
            self._housekeeper.wake()
        return slot

    def give_back(self, slot: Slot) -> None:
        """Return a connection. What is not fit for the next borrower is closed."""
        if slot.connection.is_clean and not slot.is_condemned:
            self.put_back(slot)
        else:
            self.discard(slot)

    def give_back_unused(self, slot: Slot) -> None:
        """Return a connection that nobody has used: as it was opened, or as `on_connect` has made it."""
        if slot.is_quiet() and not slot.is_condemned:
            self.put_back(slot)
        else:
            self.discard(slot)

    def put_back(self, slot: Slot) -> None:
        """Return a connection that is known to be reusable."""
        with self._lock:
            if self._is_open:
                ticket = self._queue.pop() if self._queue.waiting else None
                if ticket is not None:
                    ticket.serve(slot)
                else:
                    slot.idle_since = 0.0
                    self._idle[slot.number] = slot
                return
        self.discard(slot)

    def discard(self, slot: Slot) -> None:
        """Close a connection; once its backend is gone, let someone else open another in its place."""
        if not self._forget(slot):
            return
        if slot.is_lingering:
            with self._lock:
                self._closing += 1
            _linger.start(self, slot)
        else:
            self.abandon_place()
        if slot.is_condemned:
            self._housekeeper.wake()  # there may be fewer than min_size now

    def _forget(self, slot: Slot) -> bool:
        """Close a connection and keep its place. False where it is none of ours: it is from before a fork."""
        is_lost = slot.connection.closed and not slot.is_closed
        try:
            slot.close()
        finally:
            with self._lock:
                is_ours = self._slots.pop(slot.number, None) is not None
                self._closed += is_ours
                self._lost += is_ours and is_lost
        return is_ours

    def end_lingering(self, generation: int) -> None:
        """The backend of a connection that was closed under it has ended, or is not waited for any more."""
        with self._lock:
            if generation == self.generation:
                self._closing -= 1
        self.abandon_place(generation)

    def abandon_place(self, generation: int | None = None) -> None:
        """A place is free again: the oldest ticket may open a connection in it.

        Args:
            generation: Of the pool when the place was taken; None is now.
        """
        with self._lock:
            if generation is not None and generation != self.generation:
                return
            self._total -= 1
            self._serve_place()
            if self._total:
                return
            drained, self._drained = self._drained, []
            if drained:
                self._is_draining = False
                drained += self._settled
                self._settled = []
        for wake in drained:
            wake()

    def _may_grow(self) -> bool:
        # Somebody must try where nobody has a connection that could come back.
        return self._total < self.max_size and (
            self._total == 0 or self.backoff.until == 0.0 or not self.backoff.is_on(time.monotonic())
        )

    def _serve_place(self) -> None:
        """Let the oldest ticket open a connection where there is room for one."""
        if self._queue.waiting and self._is_open and self._may_grow():
            ticket = self._queue.pop()
            if ticket is not None:
                self._total += 1
                ticket.serve(None)

    # What the housekeeper does in its own thread.

    def take_due(self, now: float) -> list[Slot]:
        """Take the idle connections out that have been there too long; their places are the caller's."""
        due: list[Slot] = []
        with self._lock:
            self._serve_place()
            spare = self._total - self.min_size
            for slot in list(self._idle.values()):
                slot.idle_since = slot.idle_since or now
                is_unused = self.idle_timeout is not None and now - slot.idle_since >= self.idle_timeout
                if slot.expires_at <= now or (is_unused and spare > 0):
                    del self._idle[slot.number]
                    due.append(slot)
                    spare -= 1
            for slot in self._slots.values():
                if slot.expires_at <= now and slot.number not in self._idle:
                    slot.condemn()
        return due

    def retire(self, slot: Slot) -> bool:
        """Close a connection that `take_due` gave. Returns whether another is to be opened in its place."""
        self._forget(slot)
        with self._lock:
            if self._is_open and self._total <= self.min_size:
                return True
        self.abandon_place()
        return False

    def take_missing(self) -> int:
        """Take the places that are free below `min_size`."""
        with self._lock:
            if not self._is_open or self._is_opening or self.backoff.is_on(time.monotonic()):
                return 0
            count = max(0, self.min_size - self._total)
            self._total += count
        return count

    def next_due(self, now: float) -> float | None:
        """Return the seconds until the housekeeper has something to do; None: not before it is woken."""
        moments: list[float] = []
        with self._lock:
            if self.max_lifetime is not None:
                # The others are closed when they come back.
                moments += [slot.expires_at for slot in self._slots.values() if not slot.is_condemned]
            if self.idle_timeout is not None and self._total > self.min_size:
                moments.append(now + self.idle_timeout / 4)
            if self.leak_timeout is not None and self._slots:
                moments.append(now + self.leak_timeout / 4)
            if self._queue.waiting and self._total < self.max_size:
                moments.append(max(self.backoff.until, now + 0.01))
        return max(0.005, min(moments) - now) if moments else None

    def report_leaks(self, now: float) -> None:
        """Warn of the connections that have been held longer than `leak_timeout`."""
        if self.leak_timeout is None:
            return
        with self._lock:
            held = [slot.borrowing for slot in self._slots.values()]
        for each in held:
            if each is not None and not each.is_reported and now - each.since > self.leak_timeout:
                _leaks.report(each, now)

    # What can be asked and what a fork needs.

    def stats(self) -> dict[str, int]:
        """Return the figures that docs/pool.md describes."""
        with self._lock:
            idle, total, closing = list(self._idle.values()), self._total, self._closing
            figures = {
                "total": total,
                "idle": len(idle),
                "busy": total - len(idle) - closing,
                "closing": closing,
                "waiting": self._queue.waiting,
                "max_waiting": self._queue.waiting_max,
                "min_size": self.min_size,
                "max_size": self.max_size,
                "opened": self._opened,
                "closed": self._closed,
                "lost": self._lost,
                "waited": self._waited,
                "acquire_timeouts": self._timeouts,
            }
        figures["stmt_cache_size"] = sum(slot.connection.statement_count for slot in idle)
        return figures

    def after_fork(self) -> None:
        """Forget all connections in the child of a fork, without a word to their backends.

        The pool stays open where it was: the child opens its own.
        """
        slots, was_open = list(self._slots.values()), self._is_open
        self._forget_everything()
        self._is_open = was_open
        self.generation += 1
        self._opened = self._closed = self._lost = self._waited = self._timeouts = 0
        for slot in slots:
            _fork.drop(slot)
