"""What `timeout=` may be, checked in one place for both faces: seconds, 0 or more, or None for no limit."""

import math


def check_timeout(timeout: float | None) -> float | None:
    """Return `timeout`; None where it is no limit, as infinity is none.

    Raises:
        ValueError: It is negative or not a number.
    """
    if timeout is None or timeout == math.inf:
        return None
    if not timeout >= 0:  # so that NaN is refused too
        raise ValueError(f"timeout must be 0 or more seconds or None, not {timeout}")
    return timeout


def deadline_after(now: float, timeout: float | None) -> float | None:
    """Return the moment at which `timeout` has passed, by the clock that `now` is from; None is no limit.

    Raises:
        ValueError: It is negative or not a number.
    """
    seconds = check_timeout(timeout)
    return None if seconds is None else now + seconds
