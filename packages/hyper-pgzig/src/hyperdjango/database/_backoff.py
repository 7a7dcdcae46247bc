"""Patience with a server that takes no more connections: when a pool may try to open one again.

PostgreSQL docs: errcodes-appendix, too_many_connections and cannot_connect_now.
"""

import random
from typing import Final

# Too many connections; starting up, shutting down or in recovery.
REFUSALS: Final = frozenset({"53300", "57P03"})

FIRST_SECONDS: Final = 0.05
SECONDS_MAX: Final = 5.0

_random = random.SystemRandom()


class Backoff:
    """Pauses that double with every refusal and vary by half, so that many pools do not come back at once."""

    __slots__ = ("_refusals", "until")

    def __init__(self) -> None:
        self._refusals = 0
        self.until = 0.0

    def refused(self, now: float) -> float:
        """Take note of a refusal and return how many seconds to wait before the next attempt."""
        if now >= self.until:  # those that were on their way together count once
            self._refusals = min(self._refusals + 1, 16)
        longest = min(SECONDS_MAX, FIRST_SECONDS * 2.0 ** (self._refusals - 1))
        pause = longest * _random.uniform(0.5, 1.0)
        self.until = max(self.until, now + pause)
        return pause

    def accepted(self) -> None:
        """Take note that the server let us in."""
        self._refusals = 0
        self.until = 0.0

    def is_on(self, now: float) -> bool:
        """Whether nobody should try to open a connection now."""
        return now < self.until
