"""One connection of a pool: the native Connection with its socket, and what the pool must remember of it."""

import contextlib
import logging
import math
import re
import socket
import time
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _shape
from hyperdjango.database._place import Place
from hyperdjango.database.errors import InterfaceError, QueryTimeout

if TYPE_CHECKING:
    from hyperdjango.database._connect import Established
    from hyperdjango.database._leaks import Borrowing
    from hyperdjango.database._native import native

# What `Connection.advance`, `look`, `wait` and `resume` return.
WAITING: Final = 0
DONE: Final = 1
AGAIN: Final = 2
NEEDS_TYPES: Final = 3

_VERSION: Final = re.compile(r"(\d+)(?:\.(\d+))?")


class Slot:
    """A connection that belongs to one borrower at a time.

    Attributes:
        connection: The native half.
        established: The socket, the addresses and the cancellation key behind it.
        place: Of the pool, that it has.
        number: That of its place.
        created_at: When it was opened, by the monotonic clock.
        expires_at: When its `max_lifetime` is over.
        idle_since: When the housekeeper first saw it idle; 0 while it has not.
        needs_care: It must go through `_release`: there is a hook to run, or a leak to watch for.
        is_condemned: It is to be closed when it comes back.
        is_lingering: It is closed for us, but its socket is open until the backend has ended.
        borrowing: Who has it, where the pool looks out for leaks.
    """

    __slots__ = (
        "__weakref__",
        "borrowing",
        "connection",
        "created_at",
        "established",
        "expires_at",
        "idle_since",
        "is_closed",
        "is_condemned",
        "is_lingering",
        "needs_care",
        "number",
        "place",
    )

    def __init__(self, established: "Established", place: Place) -> None:
        self.established = established
        self.place = place
        self.connection: native.Connection = established.connection
        self.number = place.number
        self.created_at = time.monotonic()
        self.expires_at = math.inf
        self.idle_since = 0.0
        self.needs_care = False
        self.is_closed = False
        self.is_condemned = False
        self.is_lingering = False
        self.borrowing: Borrowing | None = None

    @property
    def server_version(self) -> int:
        """The backend's version as `server_version_num` has it: 180006; 0 where it reports none."""
        match = _VERSION.match(self.connection.parameters.get("server_version", ""))
        return int(match[1]) * 10000 + int(match[2] or 0) if match else 0

    def submit(self, sql: str) -> "native.Request":
        """Start a statement, or several, without parameters and results, by the simple protocol."""
        return self.connection.submit(sql, None, _shape.DISCARD, None, False, None)

    def is_reusable(self) -> bool:
        """Whether the next borrower may have it as it is."""
        return self.connection.is_clean and not self.needs_care

    def is_quiet(self) -> bool:
        """Whether it is open, nothing is under way on it, and no transaction is open."""
        connection = self.connection
        return not connection.closed and not connection.busy and connection.transaction_status == "I"

    def condemn(self) -> None:
        """Have it closed when it comes back."""
        self.is_condemned = self.needs_care = True

    def close(self) -> None:
        """Close the socket, with a good-bye where nothing is under way. Any number of calls.

        Where something is under way the socket stays open, and the pool's to look after: `is_lingering`.
        Where another thread waits for it, this is to be called again once that has left.
        """
        if self.is_closed:
            return
        connection = self.connection
        runs_on = connection.busy and not connection.closed
        try:
            connection.terminate()
        except InterfaceError:
            # Another thread waits in there. It gets its answer, or finds the end of the stream, and nothing
            # more is sent. Were the socket closed now, somebody else could be given the number of the one
            # that it still reads from.
            self.is_lingering = True
            with contextlib.suppress(OSError):
                self.established.sock.shutdown(socket.SHUT_WR)
            return
        self.is_closed, self.is_lingering = True, runs_on
        if not runs_on:
            self.established.sock.close()

    def cut(self) -> None:
        """Close the socket of a connection that lingers, or end the wait of the thread that is in there."""
        sock = self.established.sock
        if self.is_closed:
            sock.close()
        else:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def settle(self) -> None:
        """Count what was just set as how the session was opened: no reset is due because of it."""
        self.connection.settle()

    def owe_reset(self) -> None:
        """Have the session reset in front of the next borrower's first statement, at no round trip."""
        self.connection.owe(RESET_SQL)


def nobody_waits() -> InterfaceError:
    """Return what becomes of a request whose caller has gone: nobody sees it."""
    return InterfaceError("nobody waits for this statement any more")


def time_is_over(slot: Slot) -> QueryTimeout:
    """Return the exception for a call under way on `slot` whose time has passed, after it was recovered."""
    if slot.connection.closed:
        return QueryTimeout(
            "the call's timeout has passed and its connection did not answer a cancel request in time; it "
            "was closed, and whether the statement was carried out is not known"
        )
    return QueryTimeout(
        "the call's timeout has passed and the statement was cancelled, unless it had ended in that moment"
    )


_logger: Final = logging.getLogger("hyperdjango.database")


def warn_of_open_transaction() -> None:
    """Say that a call left a transaction open: a BEGIN of the user's own, which ends with that call."""
    _logger.warning(
        "a call outside a transaction block left a transaction open; it was rolled back. "
        "Use db.transaction() in place of BEGIN and COMMIT"
    )


# What brings a session back to how it was opened. DISCARD refuses to run in a transaction.
# Each of the two may take this many seconds; a connection that takes longer is closed.
RESET_SECONDS: Final = 5.0
RESET_SQL: Final = "DISCARD ALL"
ROLLBACK_SQL: Final = "ROLLBACK"
