"""The pool: one per Database, shared by all threads and event loops of the process.

Decides who gets which connection and never waits itself. A caller that finds nothing free is given a
Ticket; whoever returns a connection hands it to the oldest ticket. How a ticket is waited for, and
how a connection is opened, is the business of the two faces, `client` and `sync_client`.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hyperdjango.database._native import native
from hyperdjango.database.errors import InterfaceError

if TYPE_CHECKING:
    from hyperdjango.database._conninfo import ConnectParameters
    from hyperdjango.database._slot import Slot


class Ticket:
    """A place in the queue. `wake` is called once, from any thread, when the ticket is served.

    Attributes:
        is_served: The turn has come.
        slot: The connection; None when served means: open one, the place is yours.
        is_refused: The pool was closed meanwhile.
    """

    __slots__ = ("_wake", "is_refused", "is_served", "slot")

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self.slot: Slot | None = None
        self.is_served = False
        self.is_refused = False

    def serve(self, slot: "Slot | None") -> None:
        """Hand over a connection or, with None, the place to open one in."""
        self.slot = slot
        self.is_served = True
        self._wake()

    def refuse(self) -> None:
        """Say that nothing will come."""
        self.is_refused = True
        self._wake()


class Pool:
    """Connections to one database.

    Attributes:
        parameters: How each is opened.
        type_map: The types and statements they share.
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
    ) -> None:
        self.parameters = parameters
        self.min_size = min_size
        self.max_size = max_size
        self.statement_cache_size = statement_cache_size
        self.message_size_max = message_size_max
        self.type_map = type_map if type_map is not None else native.TypeMap()
        self._lock = threading.Lock()
        self._idle: list[Slot] = []
        self._tickets: deque[Ticket] = deque()
        self._total = 0
        self._is_open = False
        self._drained: list[Callable[[], object]] = []

    @property
    def is_open(self) -> bool:
        """Whether connections can be taken."""
        return self._is_open

    def open(self) -> int:
        """Let connections be taken. Returns how many places the caller is to fill now."""
        with self._lock:
            self._is_open = True
            count = max(0, self.min_size - self._total)
            self._total += count
        return count

    def take_idle(self) -> "Slot | None":
        """Return an idle connection that is alive, the one last used first; None where there is none."""
        while True:
            with self._lock:
                # Those who wait go first.
                if not self._idle or self._tickets or not self._is_open:
                    return None
                slot = self._idle.pop()
            if slot.connection.is_alive():
                return slot
            self.discard(slot)

    def enter(self, wake: Callable[[], object]) -> Ticket:
        """Take a connection, a place to open one, or a place in the queue.

        Raises:
            InterfaceError: The pool is closed or closing.
        """
        ticket = Ticket(wake)
        with self._lock:
            if not self._is_open:
                raise InterfaceError("the pool is closed")
            if self._idle and not self._tickets:
                ticket.slot, ticket.is_served = self._idle.pop(), True
            elif self._total < self.max_size:
                self._total += 1
                ticket.is_served = True
            else:
                self._tickets.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give a ticket back unused: its caller was cancelled or out of time, served or not."""
        with self._lock:
            if ticket.is_refused:
                return
            if not ticket.is_served:
                self._tickets.remove(ticket)
                return
        if ticket.slot is not None:
            self.give_back(ticket.slot)
        else:
            self.abandon_place()

    def give_back(self, slot: "Slot") -> None:
        """Return a connection. What is not fit for the next borrower is closed."""
        if slot.is_reusable():
            self.put_back(slot)
        else:
            self.discard(slot)

    def put_back(self, slot: "Slot") -> None:
        """Return a connection that is known to be reusable."""
        with self._lock:
            if self._is_open:
                if self._tickets:
                    self._tickets.popleft().serve(slot)
                else:
                    self._idle.append(slot)
                return
        self.discard(slot)

    def discard(self, slot: "Slot") -> None:
        """Close a connection and let someone else open another in its place."""
        try:
            slot.close()
        finally:
            self.abandon_place()

    def abandon_place(self) -> None:
        """A place is free again: the oldest ticket may open a connection in it."""
        with self._lock:
            if self._tickets and self._is_open:
                self._tickets.popleft().serve(None)
                return
            self._total -= 1
            drained = self._drained if self._total == 0 else []
            self._drained = [] if drained else self._drained
        for wake in drained:
            wake()

    def close(self, wake: Callable[[], object]) -> bool:
        """Close the idle connections and let no new ones be taken.

        Those in use are closed when they come back; `wake` is called after the last.

        Returns:
            Whether none is in use, so that nobody is woken.
        """
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, []
            tickets, self._tickets = self._tickets, deque()
            self._total -= len(idle)
            is_drained = self._total == 0
            if not is_drained:
                self._drained.append(wake)
            # Before anyone can give back a ticket that is neither in the queue nor refused.
            for ticket in tickets:
                ticket.refuse()
        for slot in idle:
            slot.close()
        return is_drained

    def stats(self) -> dict[str, int]:
        """Return `total`, `idle`, `busy`, `waiting`, and `stmt_cache_size`, the sum over the idle ones."""
        with self._lock:
            idle, total, waiting = list(self._idle), self._total, len(self._tickets)
        statements = sum(slot.connection.statement_count for slot in idle)
        return {
            "total": total,
            "idle": len(idle),
            "busy": total - len(idle),
            "waiting": waiting,
            "stmt_cache_size": statements,
        }


DRAIN_SECONDS: Final = 10.0
