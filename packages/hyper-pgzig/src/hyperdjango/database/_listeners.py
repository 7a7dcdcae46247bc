"""The listeners of a pool, and the connections of those that were dropped.

A loop over a listener may be left at any time, and an interrupt may end it anywhere. All that is known here
of a listener is weak; its connection is held, so that it is closed in order and not by the collector. As with
a pool's places (`_place`), what hears of the end are functions of C, into which no interrupt falls; the
housekeeper does the rest. Used by `_places` and `_listening`.
"""

import contextlib
import weakref
from collections import deque
from typing import TYPE_CHECKING

from hyperdjango.database import _fork
from hyperdjango.database._place import Holding, Place
from hyperdjango.database._slot import Slot

if TYPE_CHECKING:
    import queue

    from hyperdjango.database._connect import Established
    from hyperdjango.database._listening import Listening


class Listeners:
    """Who listens, on connections that have no places in the pool."""

    __slots__ = ("_holdings", "_known", "_orphans")

    def __init__(self) -> None:
        # No WeakSet: an interrupt that falls into its callback is lost, and into this one none can.
        self._known: set[weakref.ref[Listening]] = set()
        self._holdings: dict[int, Holding] = {}
        self._orphans: deque[weakref.KeyedRef[int, Place]] = deque()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._holdings)

    def add(self, listening: "Listening") -> None:
        """Have it closed with the pool, as long as somebody has it."""
        self._known.add(weakref.ref(listening, self._known.discard))

    def close(self) -> None:
        """Close all of them."""
        for reference in self._known.copy():
            listening = reference()
            if listening is not None:
                listening.close()
        self.reclaim()

    def hold(self, established: "Established", inbox: "queue.SimpleQueue[object]") -> Slot:
        """Make a slot of a new connection. When it is dropped, `inbox` is told, and `reclaim` closes it."""
        place = Place()
        holding = Holding(place, self._orphans, inbox)
        holding.established = established
        self._holdings[place.number] = holding
        return Slot(established, place)

    def shut(self, slot: Slot) -> None:
        """Close a connection of which nothing is expected any more."""
        slot.close()
        slot.cut()
        self._holdings.pop(slot.number, None)

    def reclaim(self) -> None:
        """Close the connections that were dropped."""
        while self._orphans:
            with contextlib.suppress(IndexError, ValueError):  # another thread was quicker
                orphan = self._orphans[0]
                holding = self._holdings.get(orphan.key)
                if holding is not None and holding.established is not None:
                    self.shut(Slot(holding.established, Place(orphan.key)))
                self._orphans.remove(orphan)

    def after_fork(self) -> None:
        """Drop the parent's connections in the child, without a word to their backends."""
        for reference in self._known.copy():
            listening = reference()
            if listening is not None:
                listening.after_fork()
        for holding in self._holdings.values():
            if holding.established is not None:
                _fork.drop(Slot(holding.established, Place()))
        self._holdings.clear()
        self._orphans.clear()
