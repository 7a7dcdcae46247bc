"""Whether somebody still waits for the answer of a request, and what ends a handler when nobody does.

ASGI tells that a client has gone by a message, so somebody has to wait for it. `Presence` stands between a request
and the server's `receive`; the `Watch` of each event loop waits at those whose handlers take long. `Endpoint` makes
them. ASGI specification: "Disconnect - receive event".
"""
# A presence and its watch are one thing in two classes:
# pyright: reportPrivateUsage=false

import asyncio
import threading
import time
from collections import deque
from typing import Final

from starlette.types import Message, Receive, Send

# Most handlers are done by then, and nothing is ever waited for.
WATCH_SECONDS: Final = 0.1
# A stream sends for so long without a pause.
TURN_SECONDS: Final = 0.001


class Presence:
    """The client of one request: its `receive`, which is one more that may be called at once with the watch's.

    Attributes:
        is_gone: The client has gone, and the handler was cancelled for it.
    """

    __slots__ = ("_handler", "_is_reading", "_is_seen", "_kept", "_reader", "_receive", "is_gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._handler: asyncio.Task[object] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._kept: deque[Message] | None = None
        self._is_reading = False
        self._is_seen = False
        self.is_gone = False

    async def __call__(self) -> Message:
        """Return the next message: one that was read already, or the server's."""
        while True:
            if self._kept:
                message = self._kept[0]
                if message["type"] != "http.disconnect":  # which stays true
                    self._kept.popleft()
                return message
            if self._reader is None:
                break
            # Not by awaiting it: whoever is cancelled here must not end it.
            await asyncio.wait((self._reader,))
            self._settle()
        self._is_reading = True
        try:
            return await self._receive()
        finally:
            self._is_reading = False

    def end(self) -> None:
        """The response is out: nobody reads any more."""
        self._settle()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _look(self) -> None:
        """Wait for the next message, unless the handler does, or has not taken the last one."""
        self._settle()
        if self._reader is None and not self._is_reading and not self.is_gone:
            kept = self._kept
            if not kept or not kept[-1].get("more_body", False):
                self._reader = asyncio.ensure_future(self._read())

    def _settle(self) -> None:
        if self._reader is not None and self._reader.done():
            # What receive() raises there is raised to the handler when it reads.
            if not self._reader.cancelled():
                self._reader.exception()
            self._reader = None

    async def _read(self) -> None:
        if self._kept is None:
            self._kept = deque()
        message = await self._receive()
        self._kept.append(message)
        handler = self._handler
        if message["type"] == "http.disconnect" and handler is not None:
            self.is_gone = True
            handler.cancel("the client has gone")


class Watch:
    """The presences whose handlers run, on one event loop, and one timer for all of them."""

    __slots__ = ("_is_armed", "_running", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._running: set[Presence] = set()
        self._is_armed = False

    def begin(self, presence: Presence) -> None:
        """The handler of a request begins, in the running task."""
        presence._handler = asyncio.current_task(self.loop)
        self._running.add(presence)
        if not self._is_armed:
            self._is_armed = True
            self.loop.call_later(WATCH_SECONDS, self._sweep)

    def end(self, presence: Presence) -> None:
        """The handler is done: whatever the client does, it is not cancelled."""
        presence._handler = None
        self._running.discard(presence)

    def _sweep(self) -> None:
        self._is_armed = bool(self._running)
        if not self._is_armed:
            return
        self.loop.call_later(WATCH_SECONDS, self._sweep)
        for presence in self._running:
            if presence._is_seen:
                presence._look()
            presence._is_seen = True


def taking_turns(send: Send) -> Send:
    """Return a `send` for a stream: others have their turn between its pieces, and who waits for the client's leave.

    Rows of a batch come without waiting for anything, and the server takes all that is sent to nobody: such a stream
    ran to its end, alone on its loop, before it could be told that the client had gone.
    """
    ended = time.monotonic()

    async def send_in_turn(message: Message) -> None:
        nonlocal ended
        began = time.monotonic()
        await send(message)
        now = time.monotonic()
        if now - ended > TURN_SECONDS:
            # A client that was waited for is slow, or has gone: then the server is about to say so.
            await asyncio.sleep(TURN_SECONDS if now - began > TURN_SECONDS else 0)
            ended = time.monotonic()

    return send_in_turn


class _Local(threading.local):
    watch: Watch | None = None


_local: Final = _Local()


def watch_of_loop() -> Watch:
    """Return the watch of the running loop."""
    loop = asyncio.get_running_loop()
    watch = _local.watch
    if watch is None or watch.loop is not loop:
        watch = _local.watch = Watch(loop)
    return watch


__all__ = ["Presence", "Watch", "taking_turns", "watch_of_loop"]
