"""What a generator that opens a connection may wait for. `_async_io` and `_sync_io` do the waiting.

A generator yields one of these and is sent the result, or has the failure thrown into it. It does no waiting
itself, so the same lines serve an event loop and a blocking caller, and a test needs neither.
"""

import socket
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look a host name up. Result: list of (family, socket address). Fails with OSError or UnicodeError."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class WaitReadable:
    """Wait until there is something to read, or the end of the stream."""

    sock: socket.socket


@dataclass(frozen=True, slots=True)
class WaitWritable:
    """Wait until something can be written, or the connection attempt has ended."""

    sock: socket.socket


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RunInThread:
    """Call a function that computes for long or reads files. Result: what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class AwaitInPlace:
    """Await what a coroutine function of the user's gives. Result: what it returns."""

    function: Callable[[], Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """From now on a step not done at `at` (time.monotonic) fails with TimeoutError. None is no limit."""

    at: float | None


Step: TypeAlias = Resolve | WaitReadable | WaitWritable | Sleep | RunInThread | AwaitInPlace | SetDeadline

Result = TypeVar("Result")
Steps: TypeAlias = Generator[Step, Any, Result]


def is_over(failure: Exception, deadline: float | None, limit: float) -> bool:
    """Whether a step failed because the caller's time is up, rather than the host's."""
    # A TimeoutError with an errno is the network's own.
    ours = isinstance(failure, TimeoutError) and failure.errno is None
    return ours and (deadline is None or limit <= deadline)
