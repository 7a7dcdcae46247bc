"""Connections that were closed while a statement may still run in their backend.

A place in the pool is not free before the backend is gone; else a mass cancellation could open more sessions
than `max_size`. Called by `Pool.discard`.
PostgreSQL docs: protocol-flow, "Canceling Requests in Progress" and "Termination".
"""

import contextlib
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _sync_io
from hyperdjango.database._cancel import cancel_steps
from hyperdjango.database._steps import SetDeadline, Sleep, Steps, WaitReadable
from hyperdjango.database.errors import ConnectionFailed

if TYPE_CHECKING:
    from hyperdjango.database._places import Places
    from hyperdjango.database._slot import Slot

# A backend that has not ended by then is given up: it may be frozen, and its place is needed.
LINGER_SECONDS: Final = 2.0
# Whether a thread that waits for it has left is looked at this often.
SHARED_SECONDS: Final = 0.01


def start(pool: "Places", slot: "Slot") -> None:
    """Wait for the end of a connection's backend in a thread, then free its place."""
    # One thread for each: a frozen backend must not keep the others' places. There are at most max_size.
    thread = threading.Thread(target=_linger, args=(pool, slot), name="hyperdjango-linger", daemon=True)
    try:
        if sys.is_finalizing():
            raise RuntimeError("a thread that is started now would never run")
        thread.start()
    except RuntimeError:
        # That, or the system has no more threads.
        slot.cut()
        pool.abandon_place(slot.place)


def _linger(pool: "Places", slot: "Slot") -> None:
    try:
        with contextlib.suppress(OSError):  # TimeoutError, too
            _sync_io.run(_linger_steps(slot))
    finally:
        slot.cut()
        pool.abandon_place(slot.place)


def _linger_steps(slot: "Slot") -> Steps[None]:
    sock = slot.established.sock
    yield SetDeadline(time.monotonic() + LINGER_SECONDS)
    with contextlib.suppress(OSError, ConnectionFailed):
        yield from cancel_steps(slot.established.cancel_target)
    # The backend sees this as soon as it wants another message of ours.
    with contextlib.suppress(OSError):  # it may have ended already
        sock.shutdown(socket.SHUT_WR)
    while not slot.is_closed:
        # A thread that reads from it is not to be robbed of what comes.
        yield Sleep(SHARED_SECONDS)
        slot.close()
    while sock.fileno() >= 0:
        try:
            if not sock.recv(65536):
                return
        except (BlockingIOError, InterruptedError):
            yield WaitReadable(sock)
