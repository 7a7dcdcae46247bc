"""The pool: one per Database, shared by all threads and event loops of the process.

Decides who gets which connection and never waits itself. A caller that finds nothing free is given a
Ticket; whoever returns a connection hands it to the oldest ticket. How a ticket is waited for, and how a
connection is opened, is the business of the two faces, `_async_pool` and `_sync_pool`.
"""

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _leaks
from hyperdjango.database._backoff import Backoff
from hyperdjango.database._place import Draining, Opening
from hyperdjango.database._queue import Ticket
from hyperdjango.database._slot import Slot
from hyperdjango.database._upkeep import Upkeep
from hyperdjango.database.errors import InterfaceError

if TYPE_CHECKING:
    from hyperdjango.database._conninfo import ConnectParameters

__all__ = ["DRAIN_SECONDS", "Pool", "Ticket"]

DRAIN_SECONDS: Final = 10.0


class Pool(Upkeep):
    """Connections to one database."""

    # How it is opened and closed.

    @property
    def is_open(self) -> bool:
        """Whether connections can be taken."""
        return self._is_open

    def open(self, wake: Callable[[], object] = lambda: None) -> Opening | None:
        """Let connections be taken.

        Returns:
            Whose places the caller is to fill now, and to call `end_opening` with after; it has none where
            the pool is open. None: somebody else opens or drains it; `wake` is called when that is over, then
            ask again.
        """
        if self._orphans:
            self.reclaim()
        with self._lock:
            if self.is_opening or self.is_draining:
                self._settled.append(wake)
                self._hear_of_orphans()
                return None
            opening = Opening()
            if not self._is_open:
                for _ in range(self.min_size - len(self._places)):
                    opening.places.append(self._take_place())
                if opening.places:
                    self._opening = weakref.ref(opening, self._housekeeper.inbox.put)
                self._is_open = True
        return opening

    def end_opening(self) -> None:
        """The places are filled, or that has failed."""
        self._opening = None
        self.settle()

    def close(self, wake: Callable[[], object]) -> Draining | None:
        """Close the idle connections and let no new ones be taken.

        Those in use are closed when they come back; `wake` is called after the last. Listeners hear nothing
        any more.

        Returns:
            What `end_draining` is to be called with. None: nothing is in use, and nobody is woken.
        """
        if self._orphans:
            self.reclaim()
        self.listeners.close()
        draining = Draining(wake)
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, {}
            self._queue.refuse_all()
        for slot in idle.values():
            self.discard(slot)
        with self._lock:
            if self._places:
                self._drains.append(weakref.ref(draining, self._housekeeper.inbox.put))
                self._hear_of_orphans()
                return draining
            self._housekeeper.nudge()
        return None

    def end_draining(self, draining: Draining) -> None:
        """Whoever waited for the last connection waits no more: what comes back from now on is closed."""
        with self._lock:
            self._drains = [each for each in self._drains if each() not in {None, draining}]
            if not self._is_open:
                for holding in self._places.values():
                    slot = holding.alive()
                    if slot is not None:
                        slot.condemn()
            self.settle()
            self._housekeeper.nudge()

    def renew(self, parameters: "ConnectParameters | None" = None) -> None:
        """Close the connections that there are, those in use as they come back.

        Args:
            parameters: How new ones are opened from now on; None leaves that as it is.
        """
        with self._lock:
            if parameters is not None:
                self.parameters = parameters
                self.backoff = Backoff()  # it was another server that would let nobody in
            idle, self._idle = self._idle, {}
            for holding in self._places.values():
                slot = holding.alive()
                if slot is not None and slot.number not in idle:
                    slot.condemn()
        for slot in idle.values():
            self.discard(slot)

    def _hear_of_orphans(self) -> None:
        """See to it that somebody hears of a place that is dropped: there are those who wait for one."""
        if not self._housekeeper.is_running:
            self._wake_housekeeper()

    # How connections are taken.

    def take_idle(self) -> Slot | None:
        """Return an idle connection that is alive; None where there is none, or where hooks are to run."""
        return self._take_alive() if self.is_plain else None

    def _take_alive(self) -> Slot | None:
        while True:
            if self._orphans:
                self.reclaim()
            with self._lock:
                idle = self._idle
                # Those who wait go first.
                if not idle or self._queue.waiting or not self._is_open:
                    return None
                # As `_pop_idle`, which costs a call.
                last = self._last
                slot = idle.pop(last.number, None)
                if slot is None:
                    _, slot = idle.popitem()
                    last.number = slot.number
            if slot.connection.is_alive():
                return slot
            self._forget(slot, is_dead=True)
            self.abandon_place(slot.place)

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

    def bury_dead(self) -> None:
        """Take back what is under way on event loops that were closed."""
        with self._lock:
            dead = [each for each in self.dispatchers if each.loop.is_closed()]
            self.dispatchers = [each for each in self.dispatchers if each not in dead]
        for each in dead:
            each.bury()

    def enter_with(self, ticket: Ticket) -> None:
        """As `enter`, with a ticket of the caller's own make."""
        if self.dispatchers and not self._idle:
            self.bury_dead()
        if self._orphans:
            self.reclaim()
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
                    ticket.place, ticket.is_served = self._take_place(), True
                    return
            self._queue.append(ticket)
            self._waited += 1
            self._hear_of_orphans()
            self._serve_place()
            if self.backoff.until != 0.0:
                self._wake_housekeeper()

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
                slot = self._pop_idle()
                if not ticket.serve(slot):
                    self.put_back(slot)
            else:
                self._queue.insert(ticket)
                self._serve_place()

    def requeue(self, ticket: Ticket, wake: Callable[[], object]) -> Ticket:
        """Give back a place in which the server would let nobody in, for the old place in the queue.

        Returns:
            A ticket of the old number. It is served, and the place still the caller's, where no other
            connection could come back.
        """
        place = ticket.place
        assert place is not None
        with self._lock:
            again = Ticket(wake, ticket.number, ticket.generation)
            if ticket.generation != self.generation or not self._is_open:
                self.abandon_place(place)
                again.is_refused = True
            elif self._idle:
                again.slot, again.is_served = self._pop_idle(), True
                self._places.pop(place.number, None)
            elif len(self._places) > 1:
                self._queue.insert(again)
                self._places.pop(place.number, None)
                self._wake_housekeeper()  # to grow again when the server may be willing
            else:
                again.place, again.is_served = place, True
        return again

    def claim(self, ticket: Ticket) -> Slot | None:
        """Return the connection of a ticket that was served; None: open one, in the ticket's place."""
        slot = ticket.slot
        if slot is None:
            return None
        if slot.connection.is_alive():
            self._last.number = slot.number
            return slot
        # Nobody loses his turn because a connection died.
        self._forget(slot, is_dead=True)
        ticket.slot, ticket.place = None, slot.place
        other = self._take_alive()
        if other is not None:
            self.abandon_place(slot.place)
        return other

    def leave(self, ticket: Ticket, *, is_late: bool = False) -> None:
        """Give a ticket back unused: its caller was cancelled or, `is_late`, out of time, served or not."""
        with self._lock:
            self._timeouts += is_late
            if ticket.is_refused or ticket.is_left or ticket.generation != self.generation:
                return
            if not ticket.is_served:
                if ticket.is_waiting:  # else an interrupt has come first
                    self._queue.leave(ticket)
                return
        if ticket.slot is not None:
            self.give_back_unused(ticket.slot)
        elif ticket.place is not None:
            self.abandon_place(ticket.place)

    def lend(self, slot: Slot) -> None:
        """Take down who has it, where leaks are looked out for."""
        if self.leak_timeout is not None:
            slot.borrowing = _leaks.borrowing()
