"""A connection that listens, for as long as somebody wants to hear: opened, read, opened again, closed.

It is no place of the pool's: a listener keeps its connection for ever, and must not starve the queries. The
listeners of the two faces run its steps. Nothing is read from the socket before somebody asks for the next
notification and there is none left here, so one who is slow fills no memory: what he does not take stays in
the backend's own queue.
PostgreSQL docs: sql-listen; sql-notify; protocol-flow, "Asynchronous Operations".
"""

import contextlib
import logging
import math
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hyperdjango.conf._lock import Lock
from hyperdjango.database import _fork, _shape
from hyperdjango.database._backoff import Backoff
from hyperdjango.database._connect import connect_steps
from hyperdjango.database._notifications import Gap, Notification, listen_sql
from hyperdjango.database._opening import establish_steps, patience_from
from hyperdjango.database._slot import AGAIN
from hyperdjango.database._steps import SetDeadline, Sleep, Steps, WaitReadable, WaitWritable
from hyperdjango.database.errors import (
    ConnectionFailed,
    ConnectionLost,
    ConnectTimeout,
    DatabaseError,
    InterfaceError,
    OperationalError,
    ProtocolError,
)

if TYPE_CHECKING:
    from hyperdjango.database._connect import Established
    from hyperdjango.database._places import Places
    from hyperdjango.database._slot import Slot

_logger: Final = logging.getLogger("hyperdjango.database")

# Messages that are taken in at a time: with payloads of 8000 bytes at most, 2 MB.
COUNT_MAX: Final = 256
# A connection that was lost sooner says that the next one may be, too: there is a pause before it.
YOUNG_SECONDS: Final = 5.0
# A pause between two attempts ends this soon after the Database was disconnected.
LOOK_SECONDS: Final = 0.1

# Of a backend in recovery, which takes no LISTEN before it is promoted.
_READ_ONLY: Final = "25006"

_Item = tuple[str, str, int] | Gap


class Listening:
    """The connection of one listener. One caller at a time runs its steps; `close` may be called by any.

    Attributes:
        channels: Those that it listens to.
        is_open: The first connection has stood. What comes after it is a gap.
        is_ended: It was closed: nothing is heard any more.
    """

    __slots__ = (
        "__weakref__",
        "_backoff",
        "_fault",
        "_gaps",
        "_lock",
        "_loss",
        "_pool",
        "_queue",
        "_slot",
        "_told",
        "_user",
        "_wake",
        "channels",
        "is_ended",
        "is_open",
    )

    def __init__(self, pool: "Places", channels: tuple[str, ...], *, gaps: bool) -> None:
        self.channels = channels
        self.is_open = False
        self.is_ended = False
        self._pool = pool
        self._gaps = gaps
        self._queue: deque[_Item] = deque()
        self._slot: Slot | None = None
        # When the last connection was lost, and to what.
        self._loss: tuple[float, Exception] | None = None
        # What ends it for good.
        self._fault: ProtocolError | None = None
        self._backoff = Backoff()
        self._told = ""
        # Whoever runs steps now. Reentrant: a signal handler may close what its thread is about to use.
        self._user: object = None
        self._wake: Callable[[], object] | None = None
        self._lock = Lock()
        pool.listeners.add(self)

    @property
    def process_id(self) -> int:
        """The backend's process ID; 0 while there is no connection."""
        slot = self._slot
        return 0 if slot is None else slot.established.cancel_target.process_id

    @property
    def has_items(self) -> bool:
        """Whether `take` has something without a wait."""
        return bool(self._queue) and not self.is_ended

    def take(self) -> Notification | Gap | None:
        """Return the next one that is here; None where there is none."""
        if self.is_ended or not self._queue:
            return None
        item = self._queue.popleft()
        return item if isinstance(item, Gap) else Notification(*item)

    def begin(self, user: object, wake: Callable[[], object] | None = None) -> bool:
        """Let a caller run steps, until `end`. False: it was closed, there is nothing to run.

        Args:
            user: Who it is.
            wake: Ends his wait for another connection when it is closed, from any thread.
        Raises:
            InterfaceError: Somebody else does.
        """
        with self._lock:
            if self.is_ended:
                return False
            # After an interrupt between the two it may be still the same.
            if self._user is not None and self._user != user:
                raise InterfaceError("somebody else waits for this listener's next notification already")
            self._user, self._wake = user, wake
        return True

    def end(self) -> None:
        """The caller runs no steps any more."""
        with self._lock:
            self._user = self._wake = None
            if self.is_ended:
                self.close()

    def close(self) -> None:
        """Hear nothing any more, and wake whoever waits. From any thread, any number of calls."""
        with self._lock:
            self.is_ended = True
            slot = self._slot
            if slot is None:
                if self._wake is not None:
                    self._wake()
                return
            if self._user is None:
                self._slot = None
                self._pool.listeners.shut(slot)
            else:
                # Not the socket itself, under somebody who waits for it: its number may be another's at once.
                with contextlib.suppress(InterfaceError):  # he reads just now
                    slot.connection.terminate()
                with contextlib.suppress(OSError):
                    slot.established.sock.shutdown(socket.SHUT_RDWR)

    # What waits.

    def open_steps(self) -> Steps[None]:
        """Open the first connection and have LISTEN confirmed.

        Raises:
            ConnectionFailed: There was none to be had.
            DatabaseError: The backend refused to listen.
        """
        pool = self._pool
        established = yield from establish_steps(pool, patience=patience_from(pool, time.monotonic(), None))
        yield from self._listen_steps(established)
        if established.connection.has_pooler:
            _logger.warning(
                "there is a pooler between a listener and the server; "
                "where it pools by transaction or statement, nothing is heard"
            )

    def fill_steps(self, until: float | None) -> Steps[None]:
        """Wait until there is something to take, or it was closed, or the time is over.

        An attempt to connect that has begun is not cut short: where the time is always shorter than that
        takes, there would never be a connection again.

        Args:
            until: By time.monotonic; None is no limit.
        Raises:
            DatabaseError: The connection was lost for a reason that does not pass by itself.
        """
        while not self.is_ended:
            if self._fault is not None:
                self.close()
                raise self._fault
            slot = self._slot
            if slot is None:
                if not (yield from self._reopen_steps(until)):
                    return
                continue
            has_more = self._hear(slot)
            if self._queue:
                return
            if has_more:
                yield Sleep(0)  # nothing but notices; the others on the loop have their turn
            elif self._slot is slot and self._fault is None:
                yield SetDeadline(until)
                try:
                    yield WaitReadable(slot.established.sock)
                except TimeoutError:
                    return
                yield SetDeadline(None)

    def _hear(self, slot: "Slot") -> bool:
        """Take in what is here; whether there may be more."""
        try:
            return slot.connection.hear(self._queue.append, COUNT_MAX)
        except InterfaceError:
            # `close` is in there, in another thread.
            if not self.is_ended:
                raise
        except ProtocolError as error:
            self._fault = error.with_traceback(None)  # what came before it is to be had first
        except DatabaseError as error:
            if not self.is_ended:
                self._lose(error)
        return False

    def _lose(self, error: Exception) -> None:
        """Take note that the connection has ended, and close our side."""
        # Its traceback has frames of ours, and by way of them this listener.
        error.with_traceback(None)
        now = time.monotonic()
        with self._lock:
            slot, self._slot = self._slot, None
            self._loss = now, error
        if slot is not None:
            self._pool.listeners.shut(slot)
            if now - slot.created_at < YOUNG_SECONDS:
                self._backoff.refused(now)
            else:
                self._backoff.accepted()
        self._tell(f"a listener has lost its connection and opens another: {error}")

    def _tell(self, text: str) -> None:
        """Log what has happened, once where it goes on happening."""
        if text != self._told:
            self._told = text
            _logger.warning("%s", text)

    def _reopen_steps(self, until: float | None) -> Steps[bool]:
        """Make one attempt at another connection, once its time has come. False: `until` comes first."""
        pool = self._pool
        if not (yield from self._pause_steps(until)):
            return False
        try:
            established = yield from connect_steps(
                pool.parameters,
                pool.type_map,
                statement_cache_size=pool.statement_cache_size,
                message_size_max=pool.message_size_max,
            )
            yield from self._listen_steps(established)
        except DatabaseError as error:
            if is_lasting(error):
                self.close()
                raise
            self._backoff.refused(time.monotonic())
            self._tell(f"a listener could not open another connection, and goes on trying: {error}")
        return True

    def _pause_steps(self, until: float | None) -> Steps[bool]:
        """Wait until the next attempt may be made. False: `until` comes first."""
        yield SetDeadline(None)
        while not self.is_ended and (left := self._backoff.until - (now := time.monotonic())) > 0:
            if until is not None and now >= until:
                return False
            yield Sleep(min(left, LOOK_SECONDS, math.inf if until is None else until - now))
        return True

    def _listen_steps(self, established: "Established") -> Steps[None]:
        """Listen on a new connection and take it, or close it where that fails."""
        connection, sock = established.connection, established.sock
        heard: deque[_Item] = deque()
        try:
            self._pool.notices.follow(established)
            # Not by way of this object, which the connection would keep alive.
            connection.on_notification = lambda channel, payload, pid: heard.append((channel, payload, pid))
            timeout = self._pool.parameters.connect_timeout
            yield SetDeadline(None if timeout is None else time.monotonic() + timeout)
            request = connection.submit(listen_sql(self.channels), None, _shape.DISCARD, None, False, None)
            while not request.done:
                if connection.advance() != AGAIN and not request.done:
                    yield WaitWritable(sock) if connection.wants_write else WaitReadable(sock)
            request.result()
            connection.on_notification = None
            yield SetDeadline(None)
            self._take_over(established, heard)
        except TimeoutError:
            established.close()
            raise ConnectTimeout("LISTEN was not answered within connect_timeout") from None
        except BaseException:
            established.close()
            raise

    def _take_over(self, established: "Established", heard: "deque[_Item]") -> None:
        with self._lock:
            if self.is_ended:
                established.close()
                return
            if self._loss is not None:
                seconds = time.monotonic() - self._loss[0]
                if self._gaps:
                    self._queue.append(Gap(self.channels, seconds, self._loss[1]))
                _logger.info("a listener hears again, after %.3f seconds", seconds)
            self._queue.extend(heard)
            self._slot, self._loss, self._told = self._pool.hold_listener(established), None, ""
            self.is_open = True

    def after_fork(self) -> None:
        """Drop the parent's connection in the child, which opens its own when it goes on listening."""
        self._lock = Lock()
        self._user = self._wake = None
        slot, self._slot = self._slot, None
        if slot is not None:
            _fork.drop(slot)
            self._queue.clear()
            self._loss = (
                time.monotonic(),
                ConnectionLost("the process was forked; the parent goes on listening"),
            )


def is_lasting(error: DatabaseError) -> bool:
    """Whether another attempt would fail for the same reason: credentials, privileges, a broken protocol."""
    if isinstance(error, ProtocolError) or (isinstance(error, ConnectionFailed) and error.is_refused):
        return True
    sqlstate = error.sqlstate or ""
    if sqlstate[:2] in {"28", "3D"} or sqlstate == "42501":
        return True
    return not isinstance(error, OperationalError) and sqlstate != _READ_ONLY
