"""Raises KeyboardInterrupt at each line of the driver's Python that a call runs through, one after the other.

    for point in interrupt_everywhere(lambda: SyncDatabase(url).connect(), lambda db: db.query("SELECT 1")):
        ...  # look at what it left behind in point.subject

A signal handler runs between two instructions of the main thread, so a line is not too fine. Called by
test_interrupts.py. Python docs: signal, "Execution of Python signal handlers"; sys, "settrace".
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, Generic, TypeVar

from hyperdjango import database

T = TypeVar("T")
FOLDER: Final = next(iter(database.__path__))
POINTS_MAX: Final = 5000


@dataclass(frozen=True)
class Interrupted(Generic[T]):
    """One run of the call.

    Attributes:
        subject: What it was given.
        where: File, line and function that were interrupted; None where the call came to its end before.
    """

    subject: T
    where: str | None


class _Tracer:
    """A trace function that raises at the line with this number."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.where: str | None = None

    def __call__(self, frame: FrameType, event: str, argument: object) -> "Callable[..., Any] | None":
        """Follow the driver's own frames."""
        return self._on_event if frame.f_code.co_filename.startswith(FOLDER) else None

    def _on_event(self, frame: FrameType, event: str, argument: object) -> "Callable[..., Any]":
        if event in {"line", "return"} and self.where is None:
            if self._left == 0:
                code = frame.f_code
                self.where = f"{code.co_filename[len(FOLDER) + 1 :]}:{frame.f_lineno} in {code.co_qualname}"
                sys.settrace(None)
                raise KeyboardInterrupt
            self._left -= 1
        return self._on_event


def interrupt_everywhere(make: Callable[[], T], call: Callable[[T], object]) -> Iterator[Interrupted[T]]:
    """Run the call once for each line of the driver that it runs, and interrupt it there.

    Args:
        make: Gives what the call uses, the same each time.
        call: What is interrupted.
    Raises:
        Exception: What came out in place of the interrupt.
    """
    for number in range(POINTS_MAX):
        subject = make()
        tracer = _Tracer(number)
        before = sys.gettrace()
        try:
            sys.settrace(tracer)
            call(subject)
        except KeyboardInterrupt:
            assert tracer.where is not None
        finally:
            sys.settrace(before)
        yield Interrupted(subject, tracer.where)
        if tracer.where is None:
            return
    raise AssertionError(f"there is no end after {POINTS_MAX} lines")
