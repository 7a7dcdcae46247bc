"""Dispatch: which connection a call outside of transactions goes to, per event loop and Database.

A call is written behind others of its loop where that is quicker: where they are known to be quick reads,
and few. Else it has an idle connection to itself, or waits its turn in the pool's queue. When its turn
comes it is either handed a connection, or written behind calls of its own loop. Nobody who waits is
overtaken by a call that came later, but for a place or two that a handover takes.
"""
# Half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

import math
import threading
import time
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _async_replies
from hyperdjango.database._channel import TYPES_NEEDED, Channel
from hyperdjango.database._slot import Slot, time_is_over
from hyperdjango.database.errors import AcquireTimeout, InterfaceError, OutcomeUnknown, QueryTimeout
from hyperdjango.database.pool import Ticket

if TYPE_CHECKING:
    import asyncio

    from hyperdjango.database._async_pool import AsyncPoolFace
    from hyperdjango.database._native import native

# A call goes behind others of this much work, rather than wake another backend and socket for it.
BUDGET_SOON_NS: Final = 200_000
# Behind this much work, where no connection is idle.
BUDGET_LATE_NS: Final = 500_000
# The first request of a connection may take so long until nothing more is sent behind it.
STUCK_SECONDS: Final = 0.005
STUCK_NS: Final = int(STUCK_SECONDS * 1e9)

# What a call's future says besides None, which is: the request is complete.
PLACE_GIVEN: Final = "open a connection"
IN_DEBT: Final = "the connection owes something first"


class Call(Ticket):
    """One call on its way: a ticket while it waits for its turn, then a request under way on a channel."""

    __slots__ = (
        "args",
        "channel",
        "deadline",
        "dispatcher",
        "first",
        "first_set",
        "future",
        "is_dropped",
        "request",
        "sent_at",
        "shape",
        "sql",
        "target",
        "timer",
    )

    def __init__(  # noqa: PLR0917 - ours alone; a keyword costs time on the hot path
        self,
        dispatcher: "Dispatcher",
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
    ) -> None:
        super().__init__(self._served)
        self.owner = dispatcher
        self.dispatcher = dispatcher
        self.sql = sql
        self.args = args
        self.shape = shape
        self.target = target
        self.first = first
        self.first_set = first_set
        self.future: asyncio.Future[str | None] = dispatcher.loop.create_future()
        self.channel: Channel | None = None
        self.request: native.Request | None = None
        self.deadline: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.is_dropped = False
        self.sent_at = 0.0  # by time.monotonic, where somebody watches

    def _served(self) -> bool:
        """The turn has come, on any thread and under the pool's lock: the loop does the rest."""
        dispatcher = self.dispatcher
        loop = dispatcher.loop
        try:
            if threading.get_ident() == dispatcher.thread_id:
                loop.call_soon(dispatcher.begin, self)
            else:
                loop.call_soon_threadsafe(dispatcher.begin, self)
        except RuntimeError:
            return False  # the loop was closed, and maybe its tasks were never cancelled
        return True

    def say(self, outcome: str) -> None:
        """Let the coroutine behind the call go on with something else than a result."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        """End the call before anything of it was sent."""
        if not self.future.done():
            self.future.set_exception(error)

    def time_is_over(self) -> QueryTimeout:
        """Return the exception for a call that was under way when its time passed."""
        if self.channel is None or self.is_dropped:
            return QueryTimeout(
                "the call's timeout has passed; the statement was sent, its answer is dropped"
            )
        return time_is_over(self.channel.slot)

    def arm(self, moment: float | None) -> None:
        """Have `on_time` called at this moment, by the loop's clock, and at no other."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None if moment is None else self.dispatcher.loop.call_at(moment, self.on_time)

    def on_time(self) -> None:
        """The time of waiting for a connection has passed or, once the call is under way, its own."""
        self.timer = None
        future, request = self.future, self.request
        if future.done():
            return
        if request is None:
            self.fail(AcquireTimeout("no connection became free in time"))
        elif request.done:
            future.set_result(None)  # answered in time: others of the loop were woken first
        elif self.deadline is not None and self.dispatcher.loop.time() >= self.deadline:
            self.fail(TimeoutError())
        else:
            self.arm(self.deadline)


class Dispatcher:
    """The calls of one event loop on one Database.

    Attributes:
        channels: The connections under way here, the one that was taken first in front.
    """

    def __init__(self, database: "AsyncPoolFace", state: _async_replies.LoopState) -> None:
        self.loop = state.loop
        self.thread_id = threading.get_ident()
        self.channels: list[Channel] = []
        self._database = database
        self._pool = database._pool
        self._state = state
        self._is_watching = False

    # One call's way.

    async def run(self, call: Call, deadline: float | None) -> "native.Request":
        """Return the finished request of a call.

        Args:
            call: Not used before.
            deadline: By the loop's clock; None is no limit.
        """
        began = time.monotonic()
        until = self._database._until(self.loop, deadline)
        call.deadline = deadline
        try:
            self._dispatch(call)
            if not call.future.done():
                # Under way it is the call's own deadline that counts.
                call.arm(until if call.request is None else deadline)
            await self._outcome(call, until, began)
        except BaseException as error:
            await self._abandon(call, error)
            if type(error) is TimeoutError:
                raise call.time_is_over() from None
            raise
        finally:
            call.arm(None)
        await self._clean_up(call)
        assert call.request is not None
        return call.request

    async def finish(self, slot: Slot, request: "native.Request", call: Call, deadline: float | None) -> None:
        """Wait for a request that was sent on a connection of its own and is not answered yet."""
        call.request = request
        call.deadline = deadline
        try:
            self._open_channel(call, slot, request)
            call.arm(deadline)
            await self._outcome(call, deadline, 0.0)
        except BaseException as error:
            await self._abandon(call, error)
            if type(error) is TimeoutError:
                raise call.time_is_over() from None
            raise
        finally:
            call.arm(None)
        await self._clean_up(call)

    async def _outcome(self, call: Call, until: float | None, began: float) -> None:
        """Wait until the request of a call is complete."""
        outcome = await call.future
        while outcome is not None:
            outcome = await self._go_on(call, outcome, until, began)

    async def _clean_up(self, call: Call) -> None:
        """Release the connection that a call has had, where that is left to it."""
        channel = call.channel
        if channel is not None and channel.is_held:
            await self._release(channel)

    async def _go_on(self, call: Call, outcome: str, until: float | None, began: float) -> str | None:
        """Do what a callback cannot do, as it has to wait; returns what the call's future says then."""
        call.is_left = True  # the ticket is used up, whatever comes
        if outcome is TYPES_NEEDED:
            await self._clean_up(call)
            call.channel = None
            await self._learn_types(call)
            return None
        if outcome is PLACE_GIVEN:
            slot = await self._database._claim(call, until, began)
        else:
            assert call.slot is not None
            slot = call.slot
        try:
            if slot.connection.owed and call.args is None:
                await _async_replies.run_owed(slot, call.deadline)
        except BaseException:
            await self._database._release(slot)
            raise
        call.future = self.loop.create_future()
        self._start(call, slot)
        call.arm(call.deadline)
        return await call.future

    async def _learn_types(self, call: Call) -> None:
        """Let a request that waits for types go on, on whatever connection there is."""
        request = call.request
        assert request is not None
        try:
            slot = await self._database._acquire(call.deadline, is_urgent=True)
        except (InterfaceError, AcquireTimeout):
            if request.completed == 0:
                raise
            raise OutcomeUnknown(
                "the statement was carried out, but what the types of its rows are could not be asked"
            ) from None
        try:
            if slot.connection.owed:
                await _async_replies.run_owed(slot, call.deadline)
            slot.connection.restore_request(request)
            await _async_replies.complete(slot, request, call.deadline)
        finally:
            await self._database._release(slot)

    def _dispatch(self, call: Call) -> None:
        """Send a call where it is answered soonest, or have it wait its turn.

        Raises:
            DataError: A value does not fit.
            InterfaceError: The pool is closed.
        """
        pool = self._pool
        if not pool.has_waiting:
            may_follow = bool(self.channels) and call.first_set is None and call.args is not None
            if may_follow and self._follow(call, BUDGET_SOON_NS):
                return
            slot = pool.take_idle()
            if slot is not None:
                self._start(call, slot)
                return
            if may_follow and self._follow(call, BUDGET_LATE_NS):
                return
        pool.enter_with(call)
        if call.is_served:
            self.begin(call)

    def _follow(self, call: Call, budget_ns: int) -> bool:
        """Write a call behind others, where there is room."""
        for channel in self.channels:
            if channel.slot.needs_care or channel.has_dropped:
                continue  # it is to be closed, or what nobody waits for to be cancelled, once the others are done
            request = channel.connection.append(
                call.sql, call.args or (), call.shape, call.target, call.first, budget_ns
            )
            if request is not None:
                call.channel = channel
                call.request = request
                channel.wait_for(request, call.future)
                return True
        return False

    def begin(self, call: Call) -> None:
        """The turn of a call has come."""
        if call.is_left or call.future.done():
            return  # it has ended meanwhile, and gives back what it was handed
        if call.is_refused:
            call.fail(InterfaceError("the pool was closed while the call waited for a connection"))
            return
        slot = call.slot
        if slot is not None:
            slot = call.slot = self._pool.claim(call)
        if slot is None:
            call.say(PLACE_GIVEN)
        else:
            try:
                self._start(call, slot)
            except BaseException as error:
                call.fail(error)

    def _start(self, call: Call, slot: Slot) -> None:
        """Send a call on a connection that is the caller's alone."""
        if call.args is None and slot.connection.owed:
            call.slot = slot
            call.say(IN_DEBT)
            return
        call.is_left = True
        try:
            request = slot.connection.submit(
                call.sql, call.args, call.shape, call.target, call.first, call.first_set
            )
        except BaseException:
            self._pool.give_back(slot)
            raise
        call.request = request
        if self._pool.watchers:
            call.sent_at = time.monotonic()
        self._open_channel(call, slot, request)

    def _open_channel(self, call: Call, slot: Slot, request: "native.Request") -> None:
        channel = call.channel = Channel(self._state, slot, self._on_room, self._on_done)
        self.channels.append(channel)
        self._state.in_flight += 1
        channel.began(request, call.future)
        if not self._is_watching:
            self._watch_later()

    # What happens on the channels.

    def _on_room(self, channel: Channel) -> None:
        """Send those of ours whose turn it is behind what is under way on a channel."""
        pool = self._pool
        if not pool.has_waiting or not channel.is_attached or channel.slot.needs_care:
            return
        connection = channel.connection
        is_empty = not connection.busy
        if (is_empty and not connection.is_clean) or channel.has_dropped:
            return
        while True:
            call = pool.take_ticket(self)
            if call is None:
                return
            assert isinstance(call, Call)
            if call.future.done():
                call.is_left = True  # it has just been cancelled, or its time is over
                continue
            request: native.Request | None = None
            try:
                if call.args is not None and call.first_set is None:
                    arguments = (call.sql, call.args, call.shape, call.target, call.first)
                    if is_empty:
                        request = connection.submit(*arguments, None)
                    else:
                        request = connection.append(*arguments, BUDGET_LATE_NS)
            except BaseException as error:
                call.is_left = True
                call.fail(error)
                continue
            if request is None:
                pool.return_ticket(call)
                return
            is_empty = False
            call.is_left = True
            call.channel = channel
            call.request = request
            if pool.watchers:
                call.sent_at = time.monotonic()
            channel.wait_for(request, call.future)

    def _on_done(self, channel: Channel) -> None:
        """Nothing is under way on a channel any more: somebody else may have the connection."""
        self._close_channel(channel)
        slot = channel.slot
        connection = slot.connection
        if connection.closed:
            self._pool.discard(slot)
            return
        if connection.session_changed and slot.is_quiet() and self._pool.hooks.on_connect is None:
            slot.owe_reset()
        if slot.is_reusable():
            self._pool.put_back(slot)
        elif channel.has_woken:
            channel.is_held = True  # one of those who wake up now cleans it up
        else:
            self._database._run_later(self._database._release(slot))

    def _give_up(self, channel: Channel) -> None:
        """What is under way on a channel takes its time, and nobody waits for it any more."""
        self._close_channel(channel)
        self._database._run_later(self._recover(channel.slot))

    async def _recover(self, slot: Slot) -> None:
        """Cancel what nobody waits for, and give the connection back."""
        try:
            await _async_replies.recover(slot)
        finally:
            if slot.connection.closed or slot.is_closed:
                self._pool.discard(slot)
            else:
                await self._database._release(slot)

    def _close_channel(self, channel: Channel) -> None:
        channel.detach()
        self.channels.remove(channel)
        self._state.in_flight -= 1

    async def _release(self, channel: Channel) -> None:
        channel.is_held = False
        await self._database._release(channel.slot)

    def _watch(self) -> None:
        """Find the connections whose backends wait for something, so that nothing more is sent to them."""
        if not self.channels:
            self._is_watching = False
            self._state.watch_at = math.inf
            return
        for channel in list(self.channels):
            if channel.connection.is_stuck(STUCK_NS) and channel.live == 0:
                self._give_up(channel)
        self._watch_later()

    def _watch_later(self) -> None:
        self._is_watching = True
        self._state.watch_at = self.loop.call_later(STUCK_SECONDS, self._watch).when()

    # How a call ends early.

    def _leave(self, call: Call, error: BaseException) -> None:
        """Give back the ticket of a call that was not sent, and what it was handed."""
        if not call.is_served:
            self._pool.leave(call, is_late=isinstance(error, AcquireTimeout))
        elif call.slot is not None:
            self._pool.give_back_unused(call.slot)
        elif call.place is not None:
            self._pool.abandon_place(call.place)
        call.is_left = True

    async def _abandon(self, call: Call, error: BaseException) -> None:
        """A call has ended before its answer: give back what it has, and cancel what nobody waits for."""
        if not call.is_left and call.number:
            self._leave(call, error)
            return
        channel, request = call.channel, call.request
        if channel is None or request is None:
            return
        if channel.is_held:
            if isinstance(error, GeneratorExit):
                channel.slot.close()
            await self._release(channel)
        if request.waiter is not call.future or not channel.is_attached:
            return  # it was answered in the same moment
        channel.forget(request)
        if channel.live:
            call.is_dropped = True
            return  # its neighbours go on; its own answer is dropped when it comes
        self._close_channel(channel)
        slot = channel.slot
        if isinstance(error, GeneratorExit):
            # The coroutine was thrown away: it must not wait any more.
            slot.close()
            self._pool.discard(slot)
            return
        await self._recover(slot)

    def bury(self) -> None:
        """Close what is under way: the loop was closed, and nobody will read the answers."""
        channels, self.channels = self.channels, []
        for channel in channels:
            channel.is_attached = False
            channel.slot.close()
            self._pool.discard(channel.slot)
