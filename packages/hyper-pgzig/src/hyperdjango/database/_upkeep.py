"""What is due in a pool at a time: `_housekeeper` asks in its own thread, here it is decided."""

import time

from hyperdjango.database import _leaks
from hyperdjango.database._housekeeper import Housekeeper
from hyperdjango.database._places import Places
from hyperdjango.database._slot import Slot


class Upkeep(Places):
    """A pool's connections by the clock: which have been there too long, and which are missing."""

    def _forget_everything(self) -> None:
        super()._forget_everything()
        self._housekeeper = Housekeeper(self)

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

    def take_place(self) -> bool:
        """Take a place that is free below `min_size`, or one for somebody who waits."""
        with self._lock:
            wanted = self.max_size if self._queue.waiting else self.min_size
            if not self._is_open or self._is_opening or self._total >= wanted:
                return False
            if self.backoff.is_on(time.monotonic()):
                return False
            self._total += 1
        return True

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
