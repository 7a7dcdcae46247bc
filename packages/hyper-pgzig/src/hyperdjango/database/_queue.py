"""The queue of a pool: who waits for a connection, in order of arrival.

Used by `pool` alone, under its lock.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hyperdjango.database._slot import Slot

# So many tickets that were left may stand in the queue beside those that wait.
LEFT_MAX: Final = 64


class Ticket:
    """A place in the queue. `wake` is called once, from any thread, when the ticket is served or refused.

    It returns False where nobody can be woken any more, as the event loop was closed.

    Attributes:
        is_served: The turn has come.
        slot: The connection; None when served means: open one, the place is yours.
        is_refused: The pool was closed meanwhile.
        number: Who came first has the lower one.
        generation: Of the pool, when it was taken: a ticket from before a fork is worth nothing after it.
        owner: Who may serve it otherwise than by a connection; None is nobody.
    """

    __slots__ = ("_wake", "generation", "is_left", "is_refused", "is_served", "number", "owner", "slot")

    def __init__(self, wake: Callable[[], object], number: int = 0, generation: int = 0) -> None:
        self._wake = wake
        self.slot: Slot | None = None
        self.is_served = False
        self.is_refused = False
        self.is_left = False
        self.number = number
        self.generation = generation
        self.owner: object = None

    def serve(self, slot: "Slot | None") -> bool:
        """Hand over a connection or, with None, the place to open one in. False: nobody takes it."""
        self.slot = slot
        self.is_served = True
        if self._wake() is not False:
            return True
        self.slot = None
        self.is_served = False
        self.is_left = True
        return False

    def refuse(self) -> None:
        """Say that nothing will come."""
        self.is_refused = True
        self._wake()


class TicketQueue:
    """Tickets by number. One that is left stays where it is until its turn, so that leaving costs nothing.

    Attributes:
        waiting: How many have neither been served nor left.
        waiting_max: The most there have been.
    """

    __slots__ = ("_tickets", "waiting", "waiting_max")

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()
        self.waiting = 0
        self.waiting_max = 0

    def append(self, ticket: Ticket) -> None:
        """Put a newcomer behind all others."""
        self._tickets.append(ticket)
        self._count()

    def insert(self, ticket: Ticket) -> None:
        """Put someone back where he stood before: in front of all who came later."""
        for index, other in enumerate(self._tickets):
            if other.number > ticket.number:
                self._tickets.insert(index, ticket)
                break
        else:
            self._tickets.append(ticket)
        self._count()

    def _count(self) -> None:
        self.waiting += 1
        self.waiting_max = max(self.waiting_max, self.waiting)

    def pop(self) -> Ticket | None:
        """Take the oldest out; None where nobody waits."""
        while self._tickets:
            ticket = self._tickets.popleft()
            if not ticket.is_left:
                self.waiting -= 1
                return ticket
        return None

    def pop_of(self, owner: object) -> Ticket | None:
        """Take the oldest out where it is the owner's; None where it is not, or nobody waits."""
        tickets = self._tickets
        while tickets:
            ticket = tickets[0]
            if ticket.is_left:
                tickets.popleft()
            elif ticket.owner is owner:
                self.waiting -= 1
                return tickets.popleft()
            else:
                return None
        return None

    def leave(self, ticket: Ticket) -> None:
        """Take one out wherever it stands."""
        ticket.is_left = True
        self.waiting -= 1
        if len(self._tickets) > 2 * self.waiting + LEFT_MAX:
            self._tickets = deque(each for each in self._tickets if not each.is_left)

    def clear(self) -> list[Ticket]:
        """Take all out, the oldest first."""
        waiting = [each for each in self._tickets if not each.is_left]
        self._tickets.clear()
        self.waiting = 0
        return waiting
