"""What is sent again: a call that has not run; and with `run` a transaction that lost to another one.

PostgreSQL docs: mvcc-serialization-failure-handling.
"""

import random
from typing import Final

from hyperdjango.database.errors import DatabaseError

# How often a call is sent that has not run, on whatever connection.
ATTEMPTS: Final = 4
NOT_INSIDE: Final = "run() repeats a whole transaction: it cannot be called inside of one"

# serialization_failure and deadlock_detected.
_REPEATABLE: Final = frozenset({"40001", "40P01"})
_PAUSE_SECONDS: Final = 0.01
_PAUSE_SECONDS_MAX: Final = 1.0

_random = random.SystemRandom()


def check_retries(retries: int) -> int:
    """Return `retries`.

    Raises:
        ValueError: It is negative.
    """
    if retries < 0:
        raise ValueError(f"retries must not be negative, it is {retries}")
    return retries


def is_repeatable(error: BaseException) -> bool:
    """Whether the transaction that ended with this error may be repeated."""
    return isinstance(error, DatabaseError) and error.sqlstate in _REPEATABLE


def pause_before(attempt: int) -> float:
    """Return the seconds to wait before attempt 1, 2 …: growing, and never the same for two that met."""
    longest = min(_PAUSE_SECONDS * 2.0**attempt, _PAUSE_SECONDS_MAX)
    return longest * (0.5 + _random.random() / 2)
