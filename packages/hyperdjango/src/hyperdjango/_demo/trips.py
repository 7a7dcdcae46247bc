"""How often the driver has sent something, as the kernel counts it. Used by the tour's concurrent steps.

Calls that wait for one another send one piece each, which is a round trip. Of calls at once many share one.
"""
# The sockets are nobody's business but the pool's, and the tour's:
# pyright: reportPrivateUsage=false

import socket
import struct
import sys
from typing import Final

from hyperdjango.database import Database

# Where tcpi_data_segs_out stands in Linux's struct tcp_info.
_SEGMENTS_SENT_AT: Final = 156
NOT_COUNTED: Final = "not counted: that takes TCP, and Linux"


class Trips:
    """The pieces that a Database has sent since this was made, or since the last look."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._before = _pieces_sent(db)

    def take(self) -> int | None:
        """Return how many there were since the last look. None: the kernel does not say."""
        before, now = self._before, _pieces_sent(self._db)
        self._before = now
        return None if before is None or now is None else now - before


def text_of(count: int | None, unit: str = "round trip") -> str:
    """Return a count with its unit."""
    if count is None:
        return NOT_COUNTED
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def _pieces_sent(db: Database) -> int | None:
    if sys.platform != "linux":
        return None
    total = 0
    for holding in list(db._pool._places.values()):
        if holding.established is None:
            continue
        sock = holding.established.sock
        if sock.family not in {socket.AF_INET, socket.AF_INET6}:
            return None
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGMENTS_SENT_AT + 4)
        if len(info) < _SEGMENTS_SENT_AT + 4:
            return None
        pieces: int = struct.unpack_from("=I", info, _SEGMENTS_SENT_AT)[0]
        total += pieces
    return total
