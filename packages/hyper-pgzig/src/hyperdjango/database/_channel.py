"""A channel: a connection of the pool while calls of one event loop are under way on it, one or many.

Replies come in the order of sending. Each readiness of the socket is one call into native code, which
completes any number of requests; whoever waits for one of them has left a future with it.
"""

from typing import TYPE_CHECKING, Final

from hyperdjango.database._slot import AGAIN, DONE, NEEDS_TYPES, Slot, nobody_waits

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hyperdjango.database._async_replies import LoopState
    from hyperdjango.database._native import native

# What a future says besides None, which is: the request is complete.
TYPES_NEEDED: Final = "types needed"


class Channel:
    """Reads replies and wakes those who wait for them.

    Attributes:
        slot: The connection; it is the channel's as long as something is under way.
        live: How many of the requests under way somebody still waits for.
        is_attached: The loop watches the socket, and more may be sent.
        has_woken: The last step has woken somebody.
        is_held: The connection is not fit for the next borrower; whoever was woken last sees to it.
    """

    __slots__ = (
        "_fd",
        "_is_pushing",
        "_is_scheduled",
        "_is_writing",
        "_last",
        "_loop",
        "_on_done",
        "_on_room",
        "_state",
        "connection",
        "has_woken",
        "is_attached",
        "is_held",
        "live",
        "slot",
    )

    def __init__(
        self,
        state: "LoopState",
        slot: Slot,
        on_room: "Callable[[Channel], object]",
        on_done: "Callable[[Channel], object]",
    ) -> None:
        self.slot = slot
        self.connection: native.Connection = slot.connection
        self.live = 0
        self.is_attached = True
        self.has_woken = False
        self.is_held = False
        self._state = state
        self._loop = loop = state.loop
        self._fd = slot.connection.fd
        self._on_room = on_room
        self._on_done = on_done
        self._is_scheduled = False
        self._is_writing = False
        self._is_pushing = False
        # Of whoever wrote last.
        self._last: asyncio.Future[str | None] | None = None
        loop.add_reader(self._fd, self._on_ready)

    def detach(self) -> None:
        """Leave the socket alone from now on: somebody else reads what comes."""
        if not self.is_attached:
            return
        self.is_attached = False
        if not self._loop.is_closed():  # then it watches nothing any more
            self._loop.remove_reader(self._fd)
            if self._is_writing:
                self._loop.remove_writer(self._fd)

    def wait_for(self, request: "native.Request", future: "asyncio.Future[str | None]") -> None:
        """Wake `future` when `request`, which was just written, is complete."""
        self.live += 1
        self._last = request.waiter = future
        if request.done:
            self._wake(request, None)  # it could not be sent
        self._push_soon()

    @property
    def has_dropped(self) -> bool:
        """Whether something is under way that nobody waits for any more, and that may take its time."""
        depth = self.connection.depth
        # A caller that was cancelled just now, or whose time is over, has not come to say so yet.
        return depth > self.live or (depth > 0 and self._last is not None and self._last.done())

    def _push_soon(self) -> None:
        if not self._is_pushing:
            self._is_pushing = True
            # Whatever else is written in this turn of the loop leaves in the same piece.
            self._loop.call_soon(self._push)

    def began(self, request: "native.Request", future: "asyncio.Future[str | None]") -> None:
        """As `wait_for`, for one that was sent at once."""
        self.live += 1
        self._last = request.waiter = future
        if request.done:
            # The socket was found closed: nothing will come that says so.
            self._wake(request, None)
            self._schedule()
        elif self.connection.progress in {AGAIN, NEEDS_TYPES}:
            self._schedule()  # what is here already is announced by nothing
        else:
            self._push_soon()
            self._watch_writing()

    def forget(self, request: "native.Request") -> None:
        """Nobody waits for `request` any more; what comes for it is dropped."""
        request.waiter = None
        self.live -= 1
        self.connection.drop(request, nobody_waits())

    def _push(self) -> None:
        self._is_pushing = False
        if self.is_attached:
            self.connection.push()
            if self.connection.busy:
                self._watch_writing()
            else:
                self._on_ready()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._is_scheduled = False
        if self.is_attached:
            self._step()

    def _on_ready(self) -> None:
        # A slice that is still to run comes first.
        if not self._is_scheduled and self.is_attached:
            self._step()

    def _step(self) -> None:
        connection = self.connection
        progress = DONE
        self.has_woken = False
        try:
            while connection.busy:
                lone = connection.depth == 1 and self._state.is_lone(1)
                progress = connection.advance_lone() if lone else connection.advance()
                if progress != NEEDS_TYPES:
                    break
                # It goes on elsewhere; those behind it need not wait for the catalogs.
                request = connection.suspend_request()
                assert request is not None
                self._wake(request, TYPES_NEEDED)
                progress = DONE
        except MemoryError as error:
            connection.drop(None, error)
            connection.close()
        except BaseException as error:
            # A callback of the user's, which may come between any two messages: the first request has it.
            connection.drop(None, error)
            progress = AGAIN
        for request in connection.take_finished() or ():
            self._wake(request, None)
        if connection.busy and not connection.closed:
            self._on_room(self)
            if progress == AGAIN:
                self._schedule()
            else:
                self._watch_writing()
            return
        if not connection.closed:
            self._on_room(self)
        if not connection.busy or connection.closed:
            self._on_done(self)

    def _wake(self, request: "native.Request", outcome: str | None) -> None:
        future = request.waiter
        if future is None:
            return  # its caller went just now
        self.live -= 1
        request.waiter = None
        if not future.done():
            self.has_woken = True
            self._state.wake(future, outcome)

    def _watch_writing(self) -> None:
        wants = self.connection.wants_write
        if wants and not self._is_writing:
            self._loop.add_writer(self._fd, self._on_ready)
        elif self._is_writing and not wants:
            self._loop.remove_writer(self._fd)
        self._is_writing = wants
