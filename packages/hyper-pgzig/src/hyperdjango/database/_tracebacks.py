"""Keeping an exception for later without what its traceback keeps.

The traceback of a caught exception has the frames of ours that it went through, and these have the
connection, and often the very object that keeps the exception. Such a cycle lives until the collector comes,
and with it a connection that its next borrower may drop meanwhile: nobody would hear of that (`_place`).
Used by what reports an error later than it came, as pipelines do.
Python docs: traceback; gc.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

_FOLDER: Final = str(Path(__file__).parent)

E = TypeVar("E", bound=BaseException)


def without_ours(error: E) -> E:
    """Return a caught exception without our own outermost frames: those of what it came from stay."""
    left: TracebackType | None = error.__traceback__
    while left is not None and left.tb_frame.f_code.co_filename.startswith(_FOLDER):
        left = left.tb_next
    return error.with_traceback(left)
