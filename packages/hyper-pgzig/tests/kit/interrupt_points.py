"""Raises KeyboardInterrupt in the driver's Python wherever a signal could, one moment after the other.

    for point in interrupt_everywhere(lambda: SyncDatabase(url).connect(), lambda db: db.query("SELECT 1")):
        ...  # look at what it left behind in point.subject

CPython runs signal handlers where a function begins, after a call and where a loop begins anew, and nowhere
else between two instructions. A moment that comes back, as in a loop, counts twice. Called by
test_interrupts.py. Python docs: signal, "Execution of Python signal handlers"; sys, "settrace"; dis.
"""

import dis
import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, Final, Generic, TypeVar

from hyperdjango import database

T = TypeVar("T")
FOLDER: Final = next(iter(database.__path__))
POINTS_MAX: Final = 5000
VISITS_MAX: Final = 2
_LOOP: Final = "JUMP_BACKWARD"
_CALLS: Final = {"CALL", "CALL_KW", "CALL_FUNCTION_EX"}


@dataclass(frozen=True)
class Interrupted(Generic[T]):
    """One run of the call.

    Attributes:
        subject: What it was given.
        where: File, line and function that were interrupted; None where the call came to its end before.
    """

    subject: T
    where: str | None


@functools.cache
def _is_looked_at_after(code: CodeType, offset: int) -> bool:
    """Whether CPython looks for signals after the instruction there."""
    name = next(each.opname for each in dis.get_instructions(code) if each.offset == offset)
    return name in _CALLS or name in {_LOOP, "RESUME"}


@functools.cache
def _handler(code: CodeType, offset: int) -> int | None:
    """Where an exception at an instruction goes on; None is out of the function."""
    entries: list[Any] = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]
    return next((each.target for each in entries if each.start <= offset < each.end), None)


class _Tracer:
    """A trace function that raises at the moment with this number."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._before: dict[FrameType, int] = {}
        self._visits: Counter[tuple[CodeType, int]] = Counter()
        self.where: str | None = None

    def __call__(self, frame: FrameType, event: str, argument: object) -> "Callable[..., Any] | None":
        """Follow the driver's own frames."""
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        self._before[frame] = frame.f_lasti
        return self._on_event

    def _on_event(self, frame: FrameType, event: str, argument: object) -> "Callable[..., Any] | None":
        if self.where is not None:
            return None
        if event == "opcode":
            code, offset, before = frame.f_code, frame.f_lasti, self._before[frame]
            self._before[frame] = offset
            if _is_looked_at_after(code, before):
                self._on_moment(frame, code, before, offset)
        elif event == "return":
            del self._before[frame]
        return self._on_event

    def _on_moment(self, frame: FrameType, code: CodeType, before: int, offset: int) -> None:
        # The interpreter lays it to the charge of the instruction before, a trace function to this one.
        if _handler(code, before) != _handler(code, offset):
            return
        visit = code, before
        self._visits[visit] += 1
        if self._visits[visit] > VISITS_MAX:
            return
        if self._left == 0:
            self.where = f"{code.co_filename[len(FOLDER) + 1 :]}:{frame.f_lineno} in {code.co_qualname}"
            self._before.clear()
            sys.settrace(None)
            raise KeyboardInterrupt
        self._left -= 1


def interrupt_everywhere(make: Callable[[], T], call: Callable[[T], object]) -> Iterator[Interrupted[T]]:
    """Run the call once for each moment in the driver at which it can be interrupted, and interrupt it there.

    Args:
        make: Gives what the call uses, in the same state each time.
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
        else:
            assert tracer.where is None, f"the interrupt was lost: {tracer.where}"
        finally:
            sys.settrace(before)
        yield Interrupted(subject, tracer.where)
        if tracer.where is None:
            return
    raise AssertionError(f"there is no end after {POINTS_MAX} moments")
