"""`stream`: what both faces check before anything is sent, and the steps of the blocking one."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database import _shape, _sync_copy, _sync_replies
from hyperdjango.database._deadline import deadline_after

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database._pinned import Pinned

# Rows per round trip, where the user does not say: enough that a round trip costs little, few enough for
# memory.
CHUNK: Final = 1000


def checked(chunk: object, into: Callable[..., Any]) -> tuple[int, Any]:
    """Return the sink's number and its target.

    Raises:
        ValueError: `chunk` is not positive.
        TypeError: `chunk` is no int, or `into` nothing that can be filled.
    """
    if isinstance(chunk, bool) or not isinstance(chunk, int):
        raise TypeError(f"chunk must be an int, not {type(chunk).__name__}")
    if not 1 <= chunk < 2**31:
        raise ValueError(f"chunk must be from 1 to 2147483647 rows, not {chunk}")
    return _shape.shape_of(into)


def open_portal(  # noqa: PLR0917 - ours alone
    pinned: "Pinned",
    sql: str,
    args: tuple[object, ...],
    shape: int,
    target: object,
    row_limit: int,
    timeout: float | None,
) -> "native.Request":
    """Run a statement up to its first rows and return the finished request."""
    while True:
        request = pinned.slot.connection.open_portal(sql, args, shape, target, row_limit)
        if not _sync_copy.answered(pinned, request, deadline_after(time.monotonic(), timeout)):
            return request


def fetch(pinned: "Pinned", former: "native.Request", timeout: float | None) -> "native.Request":
    """Return the finished request for more rows of the portal that a request has opened."""
    pinned.check_usable()
    request = pinned.slot.connection.fetch(former)
    _sync_copy.answered(pinned, request, deadline_after(time.monotonic(), timeout))
    return request


def is_open(pinned: "Pinned", request: "native.Request") -> bool:
    """Whether the backend still has the portal of a request, and can be told to close it."""
    return request.suspended and not pinned.is_closed and not pinned.slot.connection.closed


def fetched(pinned: "Pinned", request: "native.Request", timeout: float | None) -> None:
    """Wait for rows that were asked for ahead."""
    _sync_replies.complete(pinned.slot, request, deadline_after(time.monotonic(), timeout))


def give_up(pinned: "Pinned") -> None:
    """Cancel what was asked for ahead, where it is still under way."""
    connection = pinned.slot.connection
    if connection.busy and not connection.closed:
        _sync_replies.recover(pinned.slot)


def close_portal(pinned: "Pinned", former: "native.Request") -> None:
    """Say that no more rows of a portal are wanted."""
    pinned.check_usable()
    request = pinned.slot.connection.close_portal(former)
    _sync_copy.answered(pinned, request, None)
    request.result()
