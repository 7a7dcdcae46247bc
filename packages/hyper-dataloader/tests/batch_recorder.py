"""Batch functions that remember what they were asked for. Called by the tests of this folder."""

import asyncio
from collections.abc import Callable
from typing import Any

from hyperdjango.dataloader import DataLoader


class Recorder:
    """A batch function: twice the key, or what `answers` has for it.

    Attributes:
        batches: The keys of each call.
        gate: What a call waits for before it answers.
        running: How many calls are under way; the most at once.
    """

    def __init__(self, answers: dict[Any, Any] | None = None) -> None:
        self.answers = answers or {}
        self.batches: list[list[Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most = 0
        self.cancelled = 0

    async def __call__(self, keys: list[Any]) -> list[Any]:
        self.batches.append(list(keys))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return [self.answers.get(key, (key, key)) for key in keys]


async def turns(count: int = 6) -> None:
    """Let the loop run: a batch has left by then, and its answers have come."""
    for _ in range(count):
        await asyncio.sleep(0)


async def reached(condition: Callable[[], bool]) -> None:
    """Wait until something is so, by the turns of the loop."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it has not come to that")


def made(recorder: Recorder, **options: Any) -> DataLoader[Any, Any]:
    return DataLoader(recorder, **options)
