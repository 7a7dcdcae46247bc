"""What is due in a pool at a time: `_housekeeper` asks in its own thread, here it is decided."""

import time

from hyperdjango.database import _leaks
from hyperdjango.database._housekeeper import Housekeeper
from hyperdjango.database._place import Place
from hyperdjango.database._places import Places
from hyperdjango.database._slot import Slot


class Upkeep(Places):
    """A pool's connections by the clock: which have been there too long, and which are missing."""

    def _forget_everything(self) -> None:
        super()._forget_everything()
        self._housekeeper = Housekeeper(self)

    def ends_housekeeping(self) -> bool:
        """Whether there is nothing to look after any more: the thread that asks is to end then."""
        self.reclaim()
        self.listeners.reclaim()
        with self._lock:
            self._serve_place()
            self._tell_drained()
            self.settle()
            if self._is_open or self.is_draining or self._settled:
                return False
            self._housekeeper.ended()
        return True

    def take_due(self, now: float) -> list[Slot]:
        """Take the idle connections out that have been there too long; their places are the caller's."""
        due: list[Slot] = []
        with self._lock:
            spare = len(self._places) - self.min_size
            for slot in list(self._idle.values()):
                slot.idle_since = slot.idle_since or now
                is_unused = self.idle_timeout is not None and now - slot.idle_since >= self.idle_timeout
                if slot.expires_at <= now or (is_unused and spare > 0):
                    del self._idle[slot.number]
                    due.append(slot)
                    spare -= 1
            for holding in self._places.values():
                lent = holding.alive()
                if lent is not None and lent.expires_at <= now and lent.number not in self._idle:
                    lent.condemn()
        return due

    def retire(self, slot: Slot) -> Place | None:
        """Close a connection that `take_due` gave. Returns the place, where another is to be opened in it."""
        self._forget(slot)
        with self._lock:
            if self._is_open and len(self._places) <= self.min_size:
                return slot.place
        self.abandon_place(slot.place)
        return None

    def take_place(self) -> Place | None:
        """Take a place that is free below `min_size`, or one for somebody who waits."""
        with self._lock:
            wanted = self.max_size if self._queue.waiting else self.min_size
            if not self._is_open or self.is_opening or len(self._places) >= wanted:
                return None
            return None if self.backoff.is_on(time.monotonic()) else self._take_place()

    def next_due(self, now: float) -> float | None:
        """Return the seconds until the housekeeper has something to do; None: not before it is woken."""
        moments: list[float] = []
        with self._lock:
            if self.max_lifetime is not None:
                # The others are closed when they come back.
                alive = [holding.alive() for holding in self._places.values()]
                moments += [slot.expires_at for slot in alive if slot is not None and not slot.is_condemned]
            if self.idle_timeout is not None and len(self._places) > self.min_size:
                moments.append(now + self.idle_timeout / 4)
            if self.leak_timeout is not None and self._places:
                moments.append(now + self.leak_timeout / 4)
            if self._queue.waiting and len(self._places) < self.max_size:
                moments.append(max(self.backoff.until, now + 0.01))
        return max(0.005, min(moments) - now) if moments else None

    def report_leaks(self, now: float) -> None:
        """Warn of the connections that have been held longer than `leak_timeout`."""
        if self.leak_timeout is None:
            return
        with self._lock:
            alive = [holding.alive() for holding in self._places.values()]
            held = [slot.borrowing for slot in alive if slot is not None]
        for each in held:
            if each is not None and not each.is_reported and now - each.since > self.leak_timeout:
                _leaks.report(each, now)
