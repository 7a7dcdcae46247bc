"""One place of a pool, and how the pool hears that whoever had it has lost it.

An interrupt may end a call between any two of its steps, and a coroutine or a generator may be thrown away:
then the place it had is dropped. All the pool has of a place that is lent is weak, so that it is told of
that at once, and closes the connection. Used by `_places`.
Python docs: signal, "Execution of Python signal handlers"; weakref.
"""

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import queue
    from collections import deque

    from hyperdjango.database._connect import Established
    from hyperdjango.database._slot import Slot

_numbers: Final = itertools.count(1)


class Place:
    """The right to one connection. It is free when it is abandoned, or nobody refers to it any more.

    Attributes:
        number: Its own in this process.
    """

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int | None = None) -> None:
        self.number = next(_numbers) if number is None else number


class Holding:
    """What a pool itself knows of one of its places.

    Attributes:
        watch: The place, while somebody has it. Joins the orphans when it is dropped.
        established: What is open in it, kept from the collector so that it is closed in order.
        slot: The connection, while somebody has it.
        is_closed: The connection was closed, and counted as that.
        is_closing: What is left to do is to wait for the end of its backend.
    """

    __slots__ = ("_alarm", "established", "is_closed", "is_closing", "slot", "watch")

    def __init__(
        self,
        place: Place,
        orphans: "deque[weakref.KeyedRef[int, Place]]",
        inbox: "queue.SimpleQueue[object]",
    ) -> None:
        # Both callbacks are of C: they take no lock, no interrupt falls into them, and the collector may
        # call them anywhere. The younger one is called first: an orphan is there when the alarm comes.
        self._alarm = weakref.ref(place, inbox.put)
        self.watch = weakref.KeyedRef(place, orphans.append, place.number)
        self.established: Established | None = None
        self.slot: weakref.ref[Slot] | None = None
        self.is_closed = False
        self.is_closing = False

    def alive(self) -> "Slot | None":
        """Return the connection; None where it is not open yet, or was dropped."""
        return None if self.slot is None else self.slot()


class Opening:
    """Somebody opens the pool. It is over when he says so, or is no more.

    Attributes:
        places: Those that are still to be filled.
    """

    __slots__ = ("__weakref__", "places")

    def __init__(self) -> None:
        self.places: list[Place] = []


class Draining:
    """Somebody waits for the last connection to come back. It is over when he says so, or is no more.

    Attributes:
        wake: Called after the last, from any thread, once or more often.
    """

    __slots__ = ("__weakref__", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
