"""One connection of a pool: the native Connection with its socket, and what the pool must remember of it."""

import contextlib
import logging
import re
import socket
import time
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _shape
from hyperdjango.database.errors import InterfaceError

if TYPE_CHECKING:
    from hyperdjango.database._connect import Established
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
        created_at: When it was opened, by the monotonic clock.
    """

    __slots__ = ("connection", "created_at", "established", "is_closed")

    def __init__(self, established: "Established") -> None:
        self.established = established
        self.connection: native.Connection = established.connection
        self.created_at = time.monotonic()
        self.is_closed = False

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
        return self.connection.is_clean

    def close(self) -> None:
        """Close the socket, with a good-bye where nothing is under way. Any number of calls."""
        if self.is_closed:
            return
        try:
            self.connection.terminate()
        except InterfaceError:
            # Another thread waits in there. It finds the end of the stream and closes behind itself; now
            # somebody else could be given the number of the socket it still reads from.
            with contextlib.suppress(OSError):
                self.established.sock.shutdown(socket.SHUT_RDWR)
            return
        self.is_closed = True
        self.established.sock.close()


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
