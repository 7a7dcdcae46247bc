"""Waiting in a test for what is about to happen elsewhere: in a backend, a thread, another task."""

import asyncio
import time
from collections.abc import Callable

SECONDS_MAX = 10.0


def until(condition: Callable[[], object]) -> None:
    """Block until it is so."""
    ends = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < ends, f"it did not happen within {SECONDS_MAX} s"
        time.sleep(0.005)


async def until_async(condition: Callable[[], object]) -> None:
    """Let the loop run until it is so."""
    ends = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < ends, f"it did not happen within {SECONDS_MAX} s"
        await asyncio.sleep(0.005)
