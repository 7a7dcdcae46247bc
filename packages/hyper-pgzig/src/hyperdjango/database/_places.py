"""The places of a pool: how many there are, which connections have them, and when one is free again.

The base of `pool.Pool`. A place is taken before a connection is opened in it, and is free when that failed or
when the connection's backend is gone, or when whoever had it was thrown away.
"""

import contextlib
import random
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final

from hyperdjango.conf._lock import Lock
from hyperdjango.database import _fork, _linger
from hyperdjango.database._backoff import Backoff
from hyperdjango.database._hooks import Hooks
from hyperdjango.database._listeners import Listeners
from hyperdjango.database._native import native
from hyperdjango.database._notices import Notices
from hyperdjango.database._place import Draining, Holding, Opening, Place
from hyperdjango.database._queue import TicketQueue
from hyperdjango.database._slot import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hyperdjango.database._connect import Established
    from hyperdjango.database._conninfo import ConnectParameters
    from hyperdjango.database._dispatch import Dispatcher
    from hyperdjango.database._housekeeper import Housekeeper
    from hyperdjango.database._watching import QueryHook

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
        notices: Where their notices go.
        listeners: Those that listen, on connections without places.
        generation: Changes at a fork: what was handed out before does not count after it.
    """

    _housekeeper: "Housekeeper"

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
        self.notices = Notices()
        self.listeners = Listeners()
        # Called with each finished call; replaced as a whole, so that nobody who reads it takes the lock.
        self.watchers: tuple[QueryHook, ...] = ()
        self.generation = 0
        self._opened = self._closed = self._lost = self._waited = self._timeouts = 0
        self._forget_everything()
        _fork.watch(self)

    def _forget_everything(self) -> None:
        # Of each event loop that has calls on connections of the pool.
        self.dispatchers: list[Dispatcher] = []
        # Reentrant: the collector may end a forgotten coroutine, and with it a call, inside any of our lines.
        self._lock = Lock()
        self.backoff = Backoff()
        self._idle: dict[int, Slot] = {}
        # All places that are taken, by number.
        self._places: dict[int, Holding] = {}
        # Those that were dropped.
        self._orphans: deque[weakref.KeyedRef[int, Place]] = deque()
        self._queue = TicketQueue()
        self._arrivals = 0
        self._is_open = False
        self._opening: weakref.ref[Opening] | None = None
        self._drains: list[weakref.ref[Draining]] = []
        self._last = _Last()
        # Those who wait for the end of an opening or a draining.
        self._settled: list[Callable[[], object]] = []

    def watch(self, hook: "QueryHook") -> None:
        """Have a hook told of each call."""
        with self._lock:
            self.watchers = (*self.watchers, hook)

    def unwatch(self, hook: "QueryHook") -> bool:
        """Take back one `watch`; False where there is none."""
        with self._lock:
            left = list(self.watchers)
            if hook not in left:
                return False
            left.remove(hook)
            self.watchers = tuple(left)
            return True

    def has_others(self) -> bool:
        """Whether there is a connection or an attempt at one beside the caller's own."""
        return len(self._places) > 1

    @property
    def is_opening(self) -> bool:
        """Whether somebody fills the places that `connect()` is to fill."""
        return self._opening is not None and self._opening() is not None

    @property
    def is_draining(self) -> bool:
        """Whether somebody waits for running calls to end."""
        return bool(self._drains) and any(each() is not None for each in self._drains)

    def _wake_housekeeper(self) -> None:
        # Under the lock: a pool that closes meanwhile ends the thread again.
        with self._lock:
            if self._is_open or self.is_draining or self._settled:
                self._housekeeper.wake()

    def slots(self) -> list[Slot]:
        """Return the connections that are open, whoever has them."""
        with self._lock:
            return [slot for each in self._places.values() if (slot := each.alive()) is not None]

    def hold_listener(self, established: "Established") -> Slot:
        """Look after the connection of a listener, which has no place."""
        slot = self.listeners.hold(established, self._housekeeper.inbox)
        # Else nobody would hear when it is dropped.
        self._wake_housekeeper()
        return slot

    def _take_place(self) -> Place:
        """Count one place more, under the lock. It is the caller's."""
        place = Place()
        self._places[place.number] = Holding(place, self._orphans, self._housekeeper.inbox)
        return place

    def _holding_of(self, slot: Slot) -> Holding | None:
        """Return what is known of a connection; None where it is not the pool's, or not any more."""
        holding = self._places.get(slot.number)
        return holding if holding is not None and holding.watch() is slot.place else None

    def adopt(self, established: "Established", place: Place) -> Slot:
        """Make an open connection one of the pool's, in a place that the caller has."""
        holding = self._places.get(place.number)
        if holding is not None:  # None after a fork
            holding.established, holding.is_closed = established, False
        slot = Slot(established, place)
        self.notices.follow(established)
        if self.max_lifetime is not None:
            slot.expires_at = slot.created_at + self.max_lifetime * (1 - _random.random() * LIFETIME_JITTER)
        slot.needs_care = self.hooks.on_release is not None or self.leak_timeout is not None
        with self._lock:
            if holding is not None:
                holding.slot = weakref.ref(slot)
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
                if self._queue.waiting and self._hand_over(slot):
                    return
                slot.idle_since = 0.0
                self._idle[slot.number] = slot
                return
        self.discard(slot)

    def _hand_over(self, slot: Slot) -> bool:
        if self._orphans:
            self.reclaim()
            if self._holding_of(slot) is None:
                return True  # the collector's: it has come back out of what was thrown away, and is closed
        return self._queue.serve(slot, None)

    def discard(self, slot: Slot) -> None:
        """Close a connection; once its backend is gone, let someone else open another in its place."""
        if self._forget(slot):
            self._let_go(slot)

    def _let_go(self, slot: Slot) -> None:
        """Free the place of a connection that is closed."""
        if slot.is_lingering:
            with self._lock:
                holding = self._holding_of(slot)
                if holding is not None:
                    holding.is_closing = True
            _linger.start(self, slot)
        else:
            self.abandon_place(slot.place)
        if slot.is_condemned:
            self._wake_housekeeper()  # there may be fewer than min_size now

    def _forget(self, slot: Slot, *, is_dead: bool = False) -> bool:
        """Close a connection and keep its place. False where it is none of ours: it is from before a fork."""
        is_lost = is_dead or (slot.connection.closed and not slot.is_closed)
        try:
            slot.close()
        finally:
            with self._lock:
                holding = self._holding_of(slot)
                if holding is not None and not holding.is_closed:
                    holding.is_closed = True
                    self._closed += 1
                    self._lost += is_lost
        return holding is not None and not holding.is_closing

    def abandon_place(self, place: Place) -> None:
        """A place is free again: the oldest ticket may open a connection in one. Any number of calls."""
        try:
            with self._lock:
                if self._places.pop(place.number, None) is not None:
                    self._serve_place()
                    self._tell_drained()
        except BaseException:
            # An interrupt: the housekeeper looks whether somebody waits.
            self._wake_housekeeper()
            raise

    def reclaim(self) -> None:
        """Close what was dropped by those who had it, and free its places."""
        while self._orphans:
            with self._lock:
                slot = self._revive(self._orphans[0]) if self._orphans else None
            if slot is not None:
                try:
                    slot.close()
                finally:
                    self._let_go(slot)

    def _revive(self, orphan: "weakref.KeyedRef[int, Place]") -> Slot | None:
        """Make a connection of what was dropped, to be closed. None: there is none, the place is free."""
        holding = self._places.get(orphan.key)
        slot: Slot | None = None
        if holding is not None and holding.watch is orphan:
            place = Place(orphan.key)
            # A finalizer of what the collector has found may have given it back.
            self._idle.pop(orphan.key, None)
            established = holding.established
            if established is None:
                self.abandon_place(place)
            else:
                again = Holding(place, self._orphans, self._housekeeper.inbox)
                again.established, again.is_closed, again.is_closing = established, True, True
                slot = Slot(established, place)
                if established.connection.closed and established.sock.fileno() >= 0:
                    # Closed by halves, or lost: nobody knows what its backend does.
                    slot.is_closed = slot.is_lingering = True
                if not holding.is_closed:
                    self._closed += 1
                self._places[orphan.key] = again
        with contextlib.suppress(ValueError):
            self._orphans.remove(orphan)
        return slot

    def _may_grow(self) -> bool:
        # After a refusal the housekeeper tries, so that nobody gives up his place in the queue for an attempt
        # that may fail; but somebody must, where nobody has a connection that could come back.
        total = len(self._places)
        return total < self.max_size and (total == 0 or self.backoff.until == 0.0)

    def _serve_place(self) -> None:
        """Let the oldest ticket open a connection where there is room for one."""
        if self._queue.waiting and self._is_open and self._may_grow():
            place = self._take_place()
            if not self._queue.serve(None, place):
                self._places.pop(place.number, None)

    def _tell_drained(self) -> None:
        """Wake those who wait for the last connection, where there is none."""
        if self._drains and not self._places:
            _ring(draining.wake for draining in [each() for each in self._drains] if draining is not None)
            self._drains = []
            self.settle()

    def settle(self) -> None:
        """Wake those who wait for the end of an opening or a draining, where there is none."""
        with self._lock:
            if self._settled and not self.is_opening and not self.is_draining:
                _ring(self._settled)
                self._settled = []

    def stats(self) -> dict[str, int]:
        """Return the figures that docs/pool.md describes."""
        if self._orphans:
            self.reclaim()
        with self._lock:
            idle, total = list(self._idle.values()), len(self._places)
            closing = sum(holding.is_closing for holding in self._places.values())
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
                "listeners": self.listeners.connections,
            }
        figures["stmt_cache_size"] = sum(slot.connection.statement_count for slot in idle)
        return figures

    def after_fork(self) -> None:
        """Forget all connections in the child of a fork, without a word to their backends.

        The pool stays open where it was: the child opens its own.
        """
        self.listeners.after_fork()
        held = [(each, each.alive()) for each in self._places.values()]
        was_open = self._is_open
        self._forget_everything()
        self._is_open = was_open
        self.generation += 1
        self._opened = self._closed = self._lost = self._waited = self._timeouts = 0
        for holding, slot in held:
            if holding.established is not None:
                _fork.drop(slot or Slot(holding.established, Place()))


def _ring(wakes: "Iterable[Callable[[], object]]") -> None:
    """Call all of them, and where an interrupt falls into it once more."""
    wakes = list(wakes)
    try:
        for wake in wakes:
            wake()
    except BaseException:
        for wake in wakes:
            wake()
        raise
