"""Dispatch: which connection a call outside of transactions goes to, per event loop and Database.

A call is written behind others of its loop where that is quicker: where they are known to be quick reads,
and few. Else it has an idle connection to itself, or waits its turn in the pool's queue. When its turn
comes it is either handed a connection, or written behind calls of its own loop. Nobody who waits is
overtaken by a call that came later, but for a place or two that a handover takes.
"""
# Half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database import _async_replies
from hyperdjango.database._channel import TYPES_NEEDED, Channel
from hyperdjango.database._slot import RESET_SQL, Slot
from hyperdjango.database.errors import AcquireTimeout, InterfaceError, QueryTimeout
from hyperdjango.database.pool import Ticket

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database.client import Database

# A call goes behind others of this much work, rather than wake another backend and socket for it.
BUDGET_SOON_NS: Final = 200_000
# Behind this much work, where no connection is idle.
BUDGET_LATE_NS: Final = 1_500_000
# The first request of a connection may take so long until nothing more is sent behind it.
STUCK_SECONDS: Final = 0.005
STUCK_NS: Final = int(STUCK_SECONDS * 1e9)
# How often a call that has not run is sent again.
ATTEMPTS: Final = 4


class Call(Ticket):
    """One call on its way: a ticket while it waits for its turn, then a request under way on a channel."""

    __slots__ = (
        "args",
        "channel",
        "dispatcher",
        "first",
        "first_set",
        "future",
        "is_left",
        "request",
        "shape",
        "sql",
        "target",
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
        self.is_left = False

    def _served(self) -> None:
        """The turn has come, on any thread."""
        dispatcher = self.dispatcher
        if threading.get_ident() == dispatcher.thread_id:
            dispatcher.begin(self)
            return
        try:
            dispatcher.loop.call_soon_threadsafe(dispatcher.begin, self)
        except RuntimeError:
            # The loop was closed with its tasks: their tickets were given back when they were cancelled.
            return
