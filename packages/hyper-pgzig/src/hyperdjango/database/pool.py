"""The pool: one per Database, shared by all threads and event loops of the process.

Decides who gets which connection and never waits itself. A caller that finds nothing free is given a
Ticket; whoever returns a connection hands it to the oldest ticket. How a ticket is waited for, and how a
connection is opened, is the business of the two faces, `_async_pool` and `_sync_pool`.
"""

from collections.abc import Callable
from typing import Final

from hyperdjango.database import _leaks
from hyperdjango.database._queue import Ticket
from hyperdjango.database._slot import Slot
from hyperdjango.database._upkeep import Upkeep
from hyperdjango.database.errors import InterfaceError

__all__ = ["DRAIN_SECONDS", "Pool", "Ticket"]

DRAIN_SECONDS: Final = 10.0


class Pool(Upkeep):
    """Connections to one database."""

    # How it is opened and closed.

    @property
    def is_open(self) -> bool:
        """Whether connections can be taken."""
        return self._is_open

    @property
    def is_draining(self) -> bool:
        """Whether it waits for running calls to end."""
        return self._is_draining

    def open(self, wake: Callable[[], object] = lambda: None) -> int | None:
        """Let connections be taken.

        Returns:
            How many places the caller is to fill now, and to call `end_opening` after; 0 where it is open.
            None: somebody else opens or drains it; `wake` is called when that is over, then ask again.
        """
        with self._lock:
            if self._is_opening or self._is_draining:
                self._settled.append(wake)
                return None
            if self._is_open:
                return 0
            self._is_open = True
            count = max(0, self.min_size - self._total)
            self._total += count
            self._is_opening = count > 0
        return count

    def end_opening(self) -> None:
        """The places are filled, or that has failed."""
        with self._lock:
            self._is_opening = False
            settled, self._settled = self._settled, []
        for wake in settled:
            wake()

    def close(self, wake: Callable[[], object]) -> bool:
        """Close the idle connections and let no new ones be taken.

        Those in use are closed when they come back; `wake` is called after the last.

        Returns:
            Whether none is in use, so that nobody is woken. Else `end_draining` is to be called.
        """
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, {}
            for slot in idle.values():
                del self._slots[slot.number]
            self._closed += len(idle)
            self._total -= len(idle)
            is_drained = self._total == 0
            if not is_drained:
                self._drained.append(wake)
                self._is_draining = True
            # Before anyone can give back a ticket that is neither in the queue nor refused.
            for ticket in self._queue.clear():
                ticket.refuse()
            self._housekeeper.stop()
        for slot in idle.values():
            slot.close()
        return is_drained

    def end_draining(self) -> None:
        """Whoever waited for the last connection waits no more: what comes back from now on is closed."""
        with self._lock:
            self._is_draining = False
            if not self._is_open:
                for slot in self._slots.values():
                    slot.condemn()
            settled, self._settled = self._settled, []
        for wake in settled:
            wake()

    # How connections are taken.

    def take_idle(self) -> Slot | None:
        """Return an idle connection that is alive; None where there is none, or where hooks are to run."""
        return self._take_alive() if self.is_plain else None

    def _take_alive(self) -> Slot | None:
        while True:
            with self._lock:
                # Those who wait go first.
                if not self._idle or self._queue.waiting or not self._is_open:
                    return None
                slot = self._pop_idle()
            if slot.connection.is_alive():
                return slot
            self._forget(slot, is_dead=True)
            self.abandon_place()

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

    def enter_with(self, ticket: Ticket) -> None:
        """As `enter`, with a ticket of the caller's own make."""
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
                    self._total += 1
                    ticket.is_served = True
                    return
            self._queue.append(ticket)
            self._waited += 1
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
                ticket.serve(self._pop_idle())
            else:
                self._queue.insert(ticket)
                self._serve_place()

    def requeue(self, ticket: Ticket, wake: Callable[[], object]) -> Ticket:
        """Give back a place in which the server would let nobody in, for the old place in the queue.

        Returns:
            A ticket of the old number. It is served, and the place still the caller's, where no other
            connection could come back.
        """
        with self._lock:
            again = Ticket(wake, ticket.number, ticket.generation)
            if ticket.generation != self.generation or not self._is_open:
                self.abandon_place(ticket.generation)
                again.is_refused = True
            elif self._idle:
                again.slot, again.is_served = self._pop_idle(), True
                self._total -= 1
            elif self._total > 1:
                self._total -= 1
                self._queue.insert(again)
                self._wake_housekeeper()  # to grow again when the server may be willing
            else:
                again.is_served = True
        return again

    def claim(self, ticket: Ticket) -> Slot | None:
        """Return the connection of a ticket that was served; None: open one, the place is the caller's."""
        slot = ticket.slot
        if slot is None:
            return None
        if slot.connection.is_alive():
            self._last.number = slot.number
            return slot
        # Nobody loses his turn because a connection died.
        self._forget(slot, is_dead=True)
        other = self._take_alive()
        if other is not None:
            self.abandon_place()
        return other

    def leave(self, ticket: Ticket, *, is_late: bool = False) -> None:
        """Give a ticket back unused: its caller was cancelled or, `is_late`, out of time, served or not."""
        with self._lock:
            self._timeouts += is_late
            if ticket.is_refused or ticket.is_left or ticket.generation != self.generation:
                return
            if not ticket.is_served:
                self._queue.leave(ticket)
                return
        if ticket.slot is not None:
            self.give_back_unused(ticket.slot)
        else:
            self.abandon_place()

    def lend(self, slot: Slot) -> None:
        """Take down who has it, where leaks are looked out for."""
        if self.leak_timeout is not None:
            slot.borrowing = _leaks.borrowing()
