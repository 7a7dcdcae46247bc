"""Connections that are held for too long: where each was acquired, and the warning.

The faces take down where, the housekeeper warns; only where `leak_timeout` is set.
"""
# A frame is had no other way that leaves the source files alone:
# pyright: reportPrivateUsage=false

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

# Of the frames that led to the call, the nearest ones.
FRAMES_MAX: Final = 12

_logger: Final = logging.getLogger("hyperdjango.database")
_OURS: Final = str(Path(__file__).parent)


@dataclass(slots=True)
class Borrowing:
    """Since when, by the monotonic clock, and where from a connection is borrowed."""

    since: float
    where: str
    is_reported: bool = False


def borrowing() -> Borrowing:
    """Return one that begins now, called from here."""
    return Borrowing(time.monotonic(), _where())


def _where() -> str:
    lines: list[str] = []
    # Not by the traceback module, which reads the source files. And not from our own frame on: an interrupt
    # in here would leave a cycle behind, and in it the connection.
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(lines) < FRAMES_MAX:
        code = frame.f_code
        if not code.co_filename.startswith(_OURS):
            lines.append(f"  {code.co_filename}:{frame.f_lineno} in {code.co_name}")
        frame = frame.f_back
    return "\n".join(lines)


def report(held: Borrowing, now: float) -> None:
    """Warn of one, once."""
    held.is_reported = True
    _logger.warning(
        "a connection has been held for %.1f s and is not back yet; acquired here, nearest call first:\n%s",
        now - held.since,
        held.where,
    )
