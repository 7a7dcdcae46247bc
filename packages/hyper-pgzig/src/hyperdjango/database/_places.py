"""The places of a pool: how many there are, which connections have them, and when one is free again.

The base of `pool.Pool`. A place is taken before a connection is opened in it, and is free when that failed or
when the connection's backend is gone.
"""

import random
import threading
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _fork, _linger
from hyperdjango.database._backoff import Backoff
from hyperdjango.database._hooks import Hooks
from hyperdjango.database._native import native
from hyperdjango.database._queue import TicketQueue
from hyperdjango.database._slot import Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperdjango.database._connect import Established
    from hyperdjango.database._conninfo import ConnectParameters
    from hyperdjango.database._housekeeper import Housekeeper

# Connections that were opened together are not to end together.
LIFETIME_JITTER: Final = 0.1

_random = random.SystemRandom()


class _Last(threading.local):
    """The number of the connection that the thread used last. A number keeps nothing alive."""

    number = 0


class Places:
    """What a pool counts, under its lock.

    Attributes:
        parameters: How each connection is opened.
        type_map: The types and statements they share.
        generation: Changes at a fork: what was handed out before does not count after it.
    """

    _housekeeper: "Housekeeper"
    _total: int

    def __init__(
        self,
        parameters: "ConnectParameters",
        *,
        min_size: int,
        max_size: int,
        statement_cache_size: int | None,
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
        hooked = self.hooks.on_acquire is not None or self.hooks.on_release is not None
        self.is_plain = not hooked and leak_timeout is None
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

    def has_others(self) -> bool:
        """Whether there is a connection or an attempt at one beside the caller's own."""
        return self._total > 1

    def _wake_housekeeper(self) -> None:
        # Under the lock: a pool that closes meanwhile ends the thread again.
        with self._lock:
            if self._is_open:
                self._housekeeper.wake()

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
            self._wake_housekeeper()
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
                while self._queue.waiting:
                    ticket = self._queue.pop()
                    if ticket is not None and ticket.serve(slot):
                        return
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
            self._wake_housekeeper()  # there may be fewer than min_size now

    def _forget(self, slot: Slot, *, is_dead: bool = False) -> bool:
        """Close a connection and keep its place. False where it is none of ours: it is from before a fork."""
        is_lost = is_dead or (slot.connection.closed and not slot.is_closed)
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
        # After a refusal the housekeeper tries, so that nobody gives up his place in the queue for an attempt
        # that may fail; but somebody must, where nobody has a connection that could come back.
        return self._total < self.max_size and (self._total == 0 or self.backoff.until == 0.0)

    def _serve_place(self) -> None:
        """Let the oldest ticket open a connection where there is room for one."""
        while self._queue.waiting and self._is_open and self._may_grow():
            ticket = self._queue.pop()
            if ticket is not None and ticket.serve(None):
                self._total += 1
                return

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
