"""One thread per pool for what is due at a time: lifetimes, idle connections, leaks, growth after a refusal.

`Pool` wakes it; it starts when there is something to do for the first time and ends with the pool. It holds
the pool by a weak reference only, and opens replacements by blocking.
"""

import contextlib
import logging
import queue
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _sync_io
from hyperdjango.database._backoff import REFUSALS
from hyperdjango.database._opening import establish_steps
from hyperdjango.database.errors import ConnectionFailed

if TYPE_CHECKING:
    from hyperdjango.database._upkeep import Upkeep

_logger: Final = logging.getLogger("hyperdjango.database")

# Where the last replacement could not be opened, the next attempt is made after this.
RETRY_SECONDS: Final = 5.0


class Housekeeper:
    """The thread of one pool, while it is needed."""

    __slots__ = ("_inbox", "_pool")

    def __init__(self, pool: "Upkeep") -> None:
        self._pool = weakref.ref(pool)
        # SimpleQueue: the collector may call `put` while this very thread is inside `get`.
        self._inbox: queue.SimpleQueue[bool] | None = None

    def wake(self) -> None:
        """Have the pool looked at soon. To be called under the pool's lock, as `stop` is."""
        if self._inbox is None:
            self._inbox = self._start()
        self._inbox.put(True)

    def stop(self) -> None:
        """End the thread."""
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.put(False)

    def _start(self) -> "queue.SimpleQueue[bool]":
        inbox: queue.SimpleQueue[bool] = queue.SimpleQueue()
        reference = self._pool
        pool = reference()
        if pool is not None:
            # Ends the thread when the pool is thrown away.
            _ = weakref.finalize(pool, inbox.put, False)
            _.atexit = False
        thread = threading.Thread(target=_keep, args=(reference, inbox), name="hyperdjango-pool", daemon=True)
        # Where the interpreter ends or the system has no more threads, nothing is kept in order any more.
        if not sys.is_finalizing():
            with contextlib.suppress(RuntimeError):
                thread.start()
        return inbox


def _keep(reference: "weakref.ref[Upkeep]", inbox: "queue.SimpleQueue[bool]") -> None:
    delay: float | None = None
    while True:
        with contextlib.suppress(queue.Empty):
            if not inbox.get(timeout=delay):
                return
            while not inbox.empty():
                if not inbox.get():
                    return
        pool = reference()
        if pool is None:
            return
        try:
            delay = _sweep(pool)
        except Exception:
            # A fault of ours: the thread goes on, and somebody hears of it.
            _logger.exception("the pool's housekeeping failed")
            delay = RETRY_SECONDS
        del pool


def _sweep(pool: "Upkeep") -> float | None:
    """Do what is due and return the seconds until the next time."""
    now = time.monotonic()
    pool.report_leaks(now)
    # One after the other, so that few are away at a time.
    is_fine = True
    for slot in pool.take_due(now):
        if pool.retire(slot):
            is_fine &= _open(pool)
    while is_fine and pool.take_place():
        is_fine = _open(pool)
    due = pool.next_due(time.monotonic())
    return due if is_fine else RETRY_SECONDS if due is None else min(due, RETRY_SECONDS)


def _open(pool: "Upkeep") -> bool:
    """Open a connection in a place that is ours."""
    generation = pool.generation
    try:
        slot = pool.adopt(_sync_io.run(establish_steps(pool, patience=0.0)))
    except Exception as error:
        pool.abandon_place(generation)
        if isinstance(error, ConnectionFailed) and error.sqlstate in REFUSALS:
            return True  # the next time is known: `Backoff`
        # Its text is the server's or ours and shows no secret.
        _logger.warning("a connection that was due could not be replaced: %s", error)
        return False
    on_connect = pool.hooks.on_connect
    try:
        if on_connect is not None:
            on_connect.run_on_loop_of_its_own(slot)
            slot.settle()
    except Exception:
        pool.discard(slot)
        _logger.warning("a connection that was due could not be replaced: on_connect failed", exc_info=True)
        return False
    pool.give_back_unused(slot)
    return True
