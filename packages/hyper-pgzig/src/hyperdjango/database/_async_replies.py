"""Waiting for replies on an event loop: any loop with add_reader, call_soon and call_at.

A lone call waits for its reply inside the native `look`, for as long as replies to this statement
usually take, because a loop's own round costs as much as a whole lookup. It does so only while no other
call of ours is under way on the loop, and gives the loop its turn once a millisecond.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Generator
from types import coroutine
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database import _async_io, _shape
from hyperdjango.database._cancel import cancel_steps
from hyperdjango.database._introspection import ROUNDS_MAX, TYPES_KEEP_CHANGING, introspect
from hyperdjango.database._slot import AGAIN, DONE, NEEDS_TYPES, WAITING, Slot, nobody_waits, time_is_over
from hyperdjango.database.errors import InterfaceError

if TYPE_CHECKING:
    from hyperdjango.database._native import native

# Calls that do not wait may keep the others of the loop from running for so long.
TURN_SECONDS: Final = 0.001

# Cancelling a statement and reading the rest of its answer may take this long; then the connection is closed.
RECOVERY_SECONDS: Final = 0.2


# Calls that are woken in one turn of the loop. More would save a select now and then; but what the callers do
# between two calls is theirs, and everybody else on the loop waits for all of it.
WAKES_MAX: Final = 2


class LoopState:
    """What the calls of one event loop must know of each other."""

    __slots__ = (
        "caller",
        "in_flight",
        "is_crowded",
        "is_marked",
        "loop",
        "ready",
        "shows_ready",
        "since",
        "waking",
        "watch_at",
        "woken",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.in_flight = 0
        # A callback of ours waits for the loop's next turn; since when it does.
        self.is_marked = False
        self.since = 0.0
        # asyncio's own loops show whether somebody else is about to run; others do not.
        ready: object = getattr(loop, "_ready", None)
        self.ready: deque[Any] | tuple[()] = ready if isinstance(ready, deque) else ()
        self.shows_ready = isinstance(ready, deque)
        # Where it is not shown, several tasks that call in turn say that nobody is alone.
        self.is_crowded = False
        self.caller = 0
        # Whoever is to be woken in later turns of the loop, and how many were in this one.
        self.waking: deque[tuple[asyncio.Future[str | None], str | None]] = deque()
        self.woken = 0
        # When a dispatcher looks for backends that are stuck.
        self.watch_at = math.inf

    def wake(self, future: "asyncio.Future[str | None]", outcome: str | None) -> None:
        """Let a call go on, in this turn of the loop or, where many are to, in one of the next.

        Many replies may come at once. Were all callers woken together, everybody else on the loop would wait
        until all of them have had their say.
        """
        if self.woken == WAKES_MAX:
            self.waking.append((future, outcome))
            return
        if self.woken == 0:
            self.loop.call_soon(self._wake_more)
        self.woken += 1
        if not future.done():
            future.set_result(outcome)

    def _wake_more(self) -> None:
        """The next turn of the loop has come."""
        self.woken = 0
        waking = self.waking
        while waking and self.woken < WAKES_MAX:
            self.wake(*waking.popleft())

    def note_caller(self) -> None:
        """Take down who calls, on a loop that does not show who is about to run."""
        caller = id(asyncio.current_task(self.loop))
        self.is_crowded = caller != self.caller or self.in_flight > 0
        self.caller = caller

    def is_lone(self, in_flight: int) -> bool:
        """Whether no more than `in_flight` calls are under way and nobody else is about to run."""
        if self.in_flight > in_flight or self.is_crowded:
            return False
        others = len(self.ready) - self.is_marked
        # A watch of ours that has come due stands there too.
        return others <= 0 or (others == 1 and self.watch_at <= self.loop.time())

    def is_turn_due(self) -> bool:
        """Whether the others have waited long enough. To be asked after every call that did not wait."""
        if self.is_marked:
            return time.monotonic() - self.since > TURN_SECONDS
        self.is_marked = True
        self.since = time.monotonic()
        self.loop.call_soon(self.on_turn)
        return False

    def on_turn(self) -> None:
        """The loop runs the others now."""
        self.is_marked = False


class _Local(threading.local):
    state: LoopState | None = None


_local = _Local()


def current() -> LoopState:
    loop = asyncio.get_running_loop()
    state = _local.state
    if state is None or state.loop is not loop:
        state = _local.state = LoopState(loop)
    return state


@coroutine
def turn() -> Generator[None, None, None]:
    """Let the loop run everybody else once, where `look` has found them due."""
    yield


class _Drive:
    """Reads replies when the socket is ready, until the request is done, waits for types, or time is over."""

    __slots__ = ("connection", "fd", "future", "is_scheduled", "is_writing", "loop", "state")

    def __init__(self, connection: "native.Connection", state: LoopState) -> None:
        self.connection = connection
        self.state = state
        self.loop = loop = state.loop
        self.fd = connection.fd
        self.future: asyncio.Future[int] = loop.create_future()
        self.is_scheduled = False
        self.is_writing = False

    def on_ready(self) -> None:
        """The socket is ready. A slice that is still to run comes first."""
        if not self.is_scheduled:
            self.step()

    def on_turn(self) -> None:
        """The loop has had its turn: decode the next slice."""
        self.is_scheduled = False
        self.step()

    def step(self) -> None:
        if self.future.done():
            return
        try:
            # Our own callback has left `ready` already.
            connection = self.connection
            progress = connection.advance_lone() if self.state.is_lone(1) else connection.advance()
        except BaseException as error:  # the waiting task is to see it, whatever it is
            if not self.future.done():
                self.future.set_exception(error)
            return
        if self.future.done():
            return  # something of the user's that ran in there has cancelled the task
        if progress == AGAIN:
            self.is_scheduled = True
            self.loop.call_soon(self.on_turn)
        elif progress != WAITING:
            self.future.set_result(progress)
        else:
            self.watch_writing()

    def watch_writing(self) -> None:
        wants = self.connection.wants_write
        if wants and not self.is_writing:
            self.loop.add_writer(self.fd, self.on_ready)
        elif self.is_writing and not wants:
            self.loop.remove_writer(self.fd)
        self.is_writing = wants

    def on_deadline(self) -> None:
        """Time is over."""
        if not self.future.done():
            self.future.set_exception(TimeoutError())

    async def run(self, deadline: float | None, progress: int = WAITING) -> int:
        """Return DONE or NEEDS_TYPES. `progress`: what the last step said."""
        timer = None if deadline is None else self.loop.call_at(deadline, self.on_deadline)
        self.loop.add_reader(self.fd, self.on_ready)
        try:
            self.watch_writing()
            if progress == AGAIN:
                # What is left to decode may be here already: the socket would not say so.
                self.is_scheduled = True
                self.loop.call_soon(self.on_turn)
            return await self.future
        finally:
            self.loop.remove_reader(self.fd)
            if self.is_writing:
                self.loop.remove_writer(self.fd)
            if timer is not None:
                timer.cancel()


def look(connection: "native.Connection") -> bool:
    """Wait shortly for the reply to what was just submitted, where that is worth it and nobody else waits.

    Returns:
        Whether it is all here and the loop is owed no turn. Else `complete` is to be awaited.
    """
    state = current()
    return state.is_lone(0) and connection.look() == DONE and not state.is_turn_due()


async def complete(slot: Slot, request: "native.Request", deadline: float | None = None) -> None:
    """Wait until `request`, just submitted on `slot`, is done. Its result is not looked at.

    When the wait ends early, the statement is cancelled and the connection is either clean again or closed
    before the exception goes on.

    Args:
        slot: The connection.
        request: The request under way on it.
        deadline: By the loop's clock; None is no limit.
    Raises:
        QueryTimeout: The deadline has passed.
    """
    connection = slot.connection
    state = current()
    try:
        if request.done:
            # Seen by `look` just now.
            if state.is_turn_due():
                await turn()
            return
        progress = connection.progress
        state.in_flight += 1
        try:
            if progress != NEEDS_TYPES:
                progress = await _Drive(connection, state).run(deadline, progress)
            if progress == NEEDS_TYPES:
                await _learn_types(slot, state, deadline)
        finally:
            state.in_flight -= 1
    except BaseException as error:
        if connection.busy:
            await _recover(slot, request, error)
        if type(error) is TimeoutError:
            raise time_is_over(slot) from None
        raise


async def _learn_types(slot: Slot, state: LoopState, deadline: float | None) -> None:
    """Ask the catalogs about the types a request waits for, then let it go on."""
    connection = slot.connection
    for _ in range(ROUNDS_MAX):
        request = connection.suspend_request()
        assert request is not None
        steps = introspect(request.unknown_oids, connection.type_map, slot.server_version)
        rows = None
        with contextlib.suppress(StopIteration):
            while True:
                sql, arguments = next(steps) if rows is None else steps.send(rows)
                catalog = connection.submit(sql, arguments, _shape.TUPLE, None, False, None)
                if not catalog.done:
                    await _Drive(connection, state).run(deadline)
                rows = catalog.result()
        connection.restore_request(request)
        progress = connection.resume()
        if progress in {WAITING, AGAIN}:
            progress = await _Drive(connection, state).run(deadline, progress)
        if progress == DONE:
            return
    connection.suspend_request()
    raise InterfaceError(TYPES_KEEP_CHANGING)


async def _recover(slot: Slot, request: "native.Request", error: BaseException) -> None:
    """Cancel what runs on `slot` and read the rest of its answer, or close it where that takes too long."""
    connection = slot.connection
    if connection.progress == NEEDS_TYPES:
        connection.suspend_request()  # nothing is owed
        return
    if isinstance(error, GeneratorExit):
        slot.close()  # the coroutine was thrown away: it must not wait any more
        return
    # Not what has ended the wait: its traceback would keep the slot, by way of the connection.
    connection.drop(request, nobody_waits())
    await recover(slot)


async def abandon(slot: Slot, request: "native.Request") -> None:
    """Cancel a request that was just submitted, where something was raised before it was waited for."""
    slot.connection.drop(request, nobody_waits())
    await recover(slot)


async def recover(slot: Slot) -> None:
    """Cancel what runs on `slot`, whose requests nobody waits for, and read the rest of what comes.

    The connection is usable afterwards, or closed where that takes longer than it may.
    """
    state = current()
    connection = slot.connection
    deadline = state.loop.time() + RECOVERY_SECONDS
    # What is left may have been received already: the socket would not say so.
    progress = connection.progress
    # A COPY that waits for data would wait for ever.
    connection.drop(None, nobody_waits())
    try:
        connection.end_many()  # what waits for more sets of values waits no longer
        await _async_io.run(cancel_steps(slot.established.cancel_target), RECOVERY_SECONDS)
        while connection.busy:
            if await _Drive(connection, state).run(deadline, progress) == DONE:
                break
            connection.suspend_request()  # it waited for types, and nobody wants it
            progress = AGAIN
        # The signal of a late cancel request has reached the backend before it answers this.
        await _round_trip(slot, state, deadline)
    except asyncio.CancelledError:
        slot.close()
        raise  # whatever the first reason was, the task has to end
    except Exception:  # the first reason goes on, this connection does not
        slot.close()


async def _round_trip(slot: Slot, state: LoopState, deadline: float) -> None:
    request = slot.submit("")
    if not request.done:
        await _Drive(slot.connection, state).run(deadline)


async def drain(
    slot: Slot, deadline: float | None = None, progress: int = WAITING, *, yields: bool = True
) -> int:
    """Wait until nothing is under way on `slot`, or the first request waits for types: DONE or NEEDS_TYPES.

    When the wait ends early, what is left is cancelled and dropped, and the connection clean or closed.

    Args:
        slot: The connection.
        deadline: By the loop's clock; None is no limit.
        progress: AGAIN where more may have been received already, which the socket would not say.
        yields: Give the others of the loop their turn behind an answer that was here in the call. Not where a
            COMMIT was answered: its block would be cancelled in that turn as if nothing were known of it.
    Raises:
        QueryTimeout: The deadline has passed.
    """
    connection = slot.connection
    if not connection.busy:
        return DONE
    state = current()
    is_lone = progress == WAITING and state.is_lone(0)
    state.in_flight += 1
    try:
        if is_lone:
            progress = connection.look()
            if progress == DONE and yields and state.is_turn_due():
                await turn()
            if progress in {DONE, NEEDS_TYPES}:
                return progress
        return await _Drive(connection, state).run(deadline, progress)
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            slot.close()  # the coroutine was thrown away: it must not wait any more
        elif connection.busy:
            await recover(slot)
        if type(error) is TimeoutError:
            raise time_is_over(slot) from None
        raise
    finally:
        state.in_flight -= 1


async def step(slot: Slot, progress: int = WAITING) -> int:
    """Wait until what is under way on `slot` is done, takes data (a COPY IN) or has a part (a COPY OUT).

    Who calls looks after the request where the wait ends early.

    Args:
        slot: The connection.
        progress: AGAIN where more may have been received already, which the socket would not say.
    """
    if not slot.connection.busy:
        return DONE
    state = current()
    state.in_flight += 1
    try:
        return await _Drive(slot.connection, state).run(None, progress)
    finally:
        state.in_flight -= 1


async def run_owed(slot: Slot, deadline: float | None = None) -> str:
    """Run the commands that `slot` owes, by themselves, and return the last one's tag."""
    request = slot.connection.run_owed()
    # The others of the loop have their turn later: a COMMIT that is answered must not be cancelled behind that.
    if not current().is_lone(0) or slot.connection.look() != DONE:
        await complete(slot, request, deadline)
    request.result()
    return request.tag


async def run(slot: Slot, sql: str, deadline: float | None = None) -> str:
    """Run a command of our own by the simple protocol and return its command tag."""
    if slot.connection.owed:
        # They cannot go in front of the simple protocol.
        await run_owed(slot, deadline)
    request = slot.submit(sql)
    if not look(slot.connection):
        await complete(slot, request, deadline)
    request.result()
    return request.tag
