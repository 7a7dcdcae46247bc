"""Waiting for many futures of a loader. Called by `_loader`."""

from asyncio import CancelledError, Future
from collections.abc import Sequence
from typing import Any


async def all_of(futures: Sequence[Future[Any]], *, return_exceptions: bool) -> list[Any]:
    """Return what futures give, in their order.

    One after the other: those of a batch are done together, so that one wait is mostly all.

    Args:
        futures: Nobody else waits for those that are not done.
        return_exceptions: An error stands in the place of a value; else the first is raised, once all are done.
    """
    values: list[Any] = []
    first: Exception | None = None
    future: Future[Any] | None = None
    try:
        for future in futures:
            try:
                values.append(await future)
            except Exception as error:
                values.append(error)
                first = first or error
    except CancelledError:
        for future in futures:
            future.cancel()
        raise
    if first is None or return_exceptions:
        return values
    try:
        raise first
    finally:
        del first, values, futures, future  # the error's traceback holds this frame
