"""The queue of a pool: who waits for a connection, in order of arrival.

Used by `pool` alone, under its lock.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hyperdjango.database._place import Place
    from hyperdjango.database._slot import Slot

# So many tickets that were left may stand in the queue beside those that wait.
LEFT_MAX: Final = 64


class Ticket:
    """A turn in the queue. `wake` is called from any thread when the ticket is served or refused.

    That is once, or more often where an interrupt falls into it: nobody could say whether it was heard.

    It returns False where nobody can be woken any more, as the event loop was closed.

    Attributes:
        is_waiting: It stands in the queue.
        is_served: The turn has come.
        slot: The connection; None when served means: open one, `place` is yours.
        place: Where to open one.
        is_refused: The pool was closed meanwhile.
        number: Who came first has the lower one.
        generation: Of the pool, when it was taken: a ticket from before a fork is worth nothing after it.
        owner: Who may serve it otherwise than by a connection; None is nobody.
    """

    __slots__ = (
        "generation",
        "is_left",
        "is_refused",
        "is_served",
        "is_waiting",
        "number",
        "owner",
        "place",
        "slot",
        "wake",
    )

    def __init__(self, wake: Callable[[], object], number: int = 0, generation: int = 0) -> None:
        self.wake = wake
        self.slot: Slot | None = None
        self.place: Place | None = None
        self.is_served = False
        self.is_refused = False
        self.is_left = False
        self.is_waiting = False
        self.number = number
        self.generation = generation
        self.owner: object = None

    def serve(self, slot: "Slot") -> bool:
        """Hand over a connection to one that is not in the queue. False: nobody takes it."""
        self.slot, self.is_served = slot, True
        if self.wake() is not False:
            return True
        self.spurn()
        return False

    def spurn(self) -> None:
        """Nobody can be woken: what was handed over is the pool's."""
        self.slot, self.place, self.is_served, self.is_left = None, None, False, True

    def refuse(self) -> None:
        """Say that nothing will come."""
        self.is_refused = True
        self.wake()


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

    # CPython lets an interrupt in where a function begins, a loop begins anew and after a call. What belongs
    # together stands in front of one call that does the rest.

    def append(self, ticket: Ticket) -> None:
        """Put a newcomer behind all others."""
        self.waiting_max = max(self.waiting_max, self.waiting + 1)
        ticket.is_waiting = True
        self.waiting += 1
        self._tickets.append(ticket)

    def insert(self, ticket: Ticket) -> None:
        """Put someone back where he stood before: in front of all who came later."""
        index = 0
        for other in self._tickets:
            if other.number > ticket.number:
                break
            index += 1
        self.waiting_max = max(self.waiting_max, self.waiting + 1)
        ticket.is_waiting = True
        self.waiting += 1
        self._tickets.insert(index, ticket)

    def serve(self, slot: "Slot | None", place: "Place | None") -> bool:
        """Hand the oldest a connection, or a place to open one in. False where nobody waits."""
        tickets = self._tickets
        while tickets:
            ticket = tickets[0]
            if ticket.is_left:
                tickets.popleft()
                continue
            try:
                ticket.slot, ticket.place, ticket.is_served = slot, place, True
                ticket.is_waiting = False
                self.waiting -= 1
                tickets.popleft()
                if ticket.wake() is not False:
                    return True
            except BaseException:
                # An interrupt, after which nobody else would wake him.
                ticket.wake()
                raise
            ticket.spurn()
        return False

    def pop_of(self, owner: object) -> Ticket | None:
        """Take the oldest out where it is the owner's; None where it is not, or nobody waits."""
        tickets = self._tickets
        while tickets:
            ticket = tickets[0]
            if ticket.is_left:
                tickets.popleft()
            elif ticket.owner is owner:
                ticket.is_waiting = False
                self.waiting -= 1
                return tickets.popleft()
            else:
                return None
        return None

    def leave(self, ticket: Ticket) -> None:
        """Take one out wherever it stands."""
        ticket.is_left, ticket.is_waiting = True, False
        self.waiting -= 1
        if len(self._tickets) > 2 * self.waiting + LEFT_MAX:
            self._tickets = deque(each for each in self._tickets if not each.is_left)

    def refuse_all(self) -> None:
        """Take all out, the oldest first, and say to each that nothing will come."""
        try:
            self._refuse_all()
        except BaseException:
            # An interrupt: some might not have heard it.
            self._refuse_all()
            raise
        finally:
            self.waiting = 0
            self._tickets.clear()

    def _refuse_all(self) -> None:
        for ticket in self._tickets:
            if not ticket.is_left:
                ticket.refuse()
