"""Cancels a coroutine at each of its suspension points, one after the other.

    async def attempt(cancel: Cancel) -> Point:
        point = await cancel(db.query("SELECT 1"))
        ...  # look at what it left behind
        return point

    await cancel_everywhere(attempt, "waiting")

A suspension point is where the coroutine hands something to its loop. Points of tasks that it starts are not
its own. Called by test_cancel_points.py. Python docs: asyncio-task, "Task Cancellation".
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Final, Literal

Moment = Literal["waiting", "woken", "twice"]
"""When: as the wait begins; after what was waited for has come and before the task goes on; as the wait
begins, and once more where the coroutine waits next, so in the middle of its cleaning up."""

MOMENTS: Final[tuple[Moment, ...]] = ("waiting", "woken", "twice")
POINTS_MAX: Final = 500
"""A coroutine with more is taken for one that never ends."""


@dataclass(frozen=True)
class Point:
    """One run of the coroutine.

    Attributes:
        number: The suspension at which it was cancelled, counted from 0.
        is_last: It ended before there were so many: it was not cancelled.
        result: What it returned; None where it was cancelled.
    """

    number: int
    is_last: bool
    result: Any


class Cancelled:
    """An awaitable that runs a coroutine and cancels its task at one suspension.

    Attributes:
        seen: How many suspensions there were.
        is_cancelled: Whether it came to the one.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], number: int, moment: Moment) -> None:
        self._coroutine = coroutine
        self._number = number
        self._moment: Moment = moment
        self.seen = 0
        self.is_cancelled = False

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            try:
                waited = step(value)
            except StopIteration as stop:
                return stop.value
            if self.seen == self._number or (self._moment == "twice" and self.seen == self._number + 1):
                self._cancel(waited)
            self.seen += 1
            try:
                step, value = self._coroutine.send, (yield waited)
            except BaseException as error:
                step, value = self._coroutine.throw, error

    def _cancel(self, waited: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.is_cancelled = True
        if self._moment == "woken" and asyncio.isfuture(waited):
            # The task adds its own callback later, so that it is scheduled, then cancelled, then runs.
            waited.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


Cancel = Callable[[Coroutine[Any, Any, Any]], Awaitable[Point]]


async def cancel_everywhere(attempt: Callable[[Cancel], Awaitable[Point]], moment: Moment) -> int:
    """Call `attempt` once for each suspension of the coroutine it makes, and once where none is cancelled.

    Args:
        attempt: Makes the coroutine, the same each time, hands it to what it is given, checks what was left
            behind, and returns the point.
        moment: At which moment of the suspension.
    Returns:
        How many suspensions there were.
    Raises:
        AssertionError: The cancellation did not come out as one CancelledError.
        Exception: What the coroutine raised in place of it.
    """
    for number in range(POINTS_MAX):
        point = await attempt(lambda coroutine, number=number: cancel_at(coroutine, number, moment))  # type: ignore[misc]
        if point.is_last:
            return number
    raise AssertionError(f"there is no end after {POINTS_MAX} suspensions")


async def cancel_at(coroutine: Coroutine[Any, Any, Any], number: int, moment: Moment) -> Point:
    """Run one coroutine and cancel it at one suspension; arguments and errors as for `cancel_everywhere`."""
    cancelled = Cancelled(coroutine, number, moment)

    async def run() -> Any:
        return await cancelled

    task = asyncio.ensure_future(run())
    # Its errors are looked at below; a cancellation of our own goes on to the task.
    await asyncio.wait([task])
    if task.cancelled():
        assert cancelled.is_cancelled, "it was cancelled by itself"
        return Point(number, is_last=False, result=None)
    result = task.result()
    assert not cancelled.is_cancelled, f"the cancellation at suspension {number} was swallowed: {result!r}"
    return Point(number, is_last=True, result=result)
