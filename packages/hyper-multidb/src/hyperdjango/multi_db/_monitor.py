"""A thread per server that asks it how it is, over a connection of its own.

Threads, since an event loop may be busy or over, and what is known of a server must not grow old because of
that. It ends with the ReplicaSet that it tells.
"""

import random
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database import SyncDatabase
from hyperdjango.database.errors import Error
from hyperdjango.multi_db._probe import Answer

if TYPE_CHECKING:
    from hyperdjango.multi_db._node import Node
    from hyperdjango.multi_db._replica_set import ReplicaSet

# Of the interval: so many processes do not ask at once.
JITTER: Final = 0.2
# A server that does not answer is asked again after longer and longer, up to this many intervals.
BACKOFF_MAX: Final = 8
# Of what a Database is told, what the one connection of a monitor does not need.
_OF_POOLS: Final = frozenset(
    {
        *("min_size", "max_size", "acquire_timeout", "max_lifetime", "idle_timeout", "leak_timeout"),
        *("on_connect", "on_acquire", "on_release", "slow_query_seconds"),
    }
)

_random = random.SystemRandom()


class Monitor:
    """Asks one server, every `interval` seconds or when it is woken."""

    def __init__(self, node: "Node", replica_set: "ReplicaSet", interval: float, timeout: float) -> None:
        self._node = node
        self._set = weakref.ref(replica_set, lambda _: self._woken.set())
        self._interval = interval
        self._timeout = timeout
        self._woken = threading.Event()
        self._has_ended = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(
            target=self._run, name=f"hyperdjango-monitor-{self._node.name}", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Have the server asked now."""
        self._woken.set()

    def end(self) -> None:
        """Ask no more. The thread may still be at it: `join`."""
        self._has_ended = True
        self._woken.set()

    def join(self) -> None:
        """Wait until the thread has ended: as long as one question takes, at most."""
        if self._thread is not None:
            self._thread.join(self._timeout + 1.0)

    def _run(self) -> None:
        options: dict[str, Any] = {k: v for k, v in self._node.options.items() if k not in _OF_POOLS}
        options.setdefault("connect_timeout", max(1, round(self._timeout)))
        failures = 0
        with SyncDatabase(self._node.url, 0, 1, **options) as database:
            while not self._has_ended and self._set() is not None:
                failures = failures + 1 if not self._ask(database) else 0
                pause = self._interval * min(2**failures, BACKOFF_MAX) if failures else self._interval
                self._woken.wait(pause * (1 - JITTER * _random.random()))
                self._woken.clear()
        del self._node  # with it goes its pool

    def _ask(self, database: SyncDatabase) -> bool:
        try:
            row = database.query_one(self._node.question, into=tuple, timeout=self._timeout)
        except (Error, OSError, RuntimeError) as error:
            # RuntimeError: the interpreter is about to end.
            replica_set = self._set()
            if replica_set is not None and not self._has_ended:
                replica_set.note_failure(self._node, error.with_traceback(None))
            return False
        if not self._has_ended:
            self._node.learn(Answer.of(row))
        return True


__all__ = ["Monitor"]
