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
    from hyperdjango.database._place import Place
    from hyperdjango.database._upkeep import Upkeep

_logger: Final = logging.getLogger("hyperdjango.database")

# Where the last replacement could not be opened, the next attempt is made after this.
RETRY_SECONDS: Final = 5.0


class Housekeeper:
    """The thread of one pool, while it is needed.

    Attributes:
        inbox: Whatever is put in wakes the thread, from anywhere: the collector may do so while this very
            thread is inside `get`, which SimpleQueue allows.
    """

    __slots__ = ("_pool", "_thread", "inbox")

    def __init__(self, pool: "Upkeep") -> None:
        self._pool = weakref.ref(pool)
        self.inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a thread that would hear of something."""
        return self._thread is not None

    def wake(self) -> None:
        """Have the pool looked at soon. To be called under the pool's lock."""
        # It may be dead: an interrupt has come before its start.
        if self._thread is None or not self._thread.is_alive():
            self._start()
        self.inbox.put(True)

    def nudge(self) -> None:
        """Have the thread look whether it is still needed, where there is one."""
        self.inbox.put(True)

    def ended(self) -> None:
        """The thread ends. Called by itself, under the pool's lock."""
        self._thread = None

    def _start(self) -> None:
        pool = self._pool()
        if pool is None:
            return
        # Ends the thread when the pool is thrown away. No finalize(), into which an interrupt could fall.
        reference = weakref.ref(pool, self.inbox.put)
        self._thread = threading.Thread(
            target=_keep, args=(reference, self.inbox), name="hyperdjango-pool", daemon=True
        )
        # Where the interpreter ends or the system has no more threads, nothing is kept in order any more.
        if not sys.is_finalizing():
            with contextlib.suppress(RuntimeError):
                self._thread.start()


def _keep(reference: "weakref.ref[Upkeep]", inbox: "queue.SimpleQueue[object]") -> None:
    delay: float | None = None
    while True:
        with contextlib.suppress(queue.Empty):
            inbox.get(timeout=delay)
            while True:
                inbox.get_nowait()
        pool = reference()
        if pool is None:
            return
        try:
            if pool.ends_housekeeping():
                return
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
        place = pool.retire(slot)
        if place is not None:
            is_fine &= _open(pool, place)
    while is_fine and (place := pool.take_place()) is not None:
        is_fine = _open(pool, place)
    due = pool.next_due(time.monotonic())
    return due if is_fine else RETRY_SECONDS if due is None else min(due, RETRY_SECONDS)


def _open(pool: "Upkeep", place: "Place") -> bool:
    """Open a connection in a place that is ours."""
    try:
        slot = pool.adopt(_sync_io.run(establish_steps(pool, patience=0.0)), place)
    except Exception as error:
        pool.abandon_place(place)
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
