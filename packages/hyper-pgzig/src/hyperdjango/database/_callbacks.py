"""What `on_commit` has taken, run after the COMMIT. The transaction stands, whatever they do."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from hyperdjango.database.errors import InterfaceError

_logger: Final = logging.getLogger("hyperdjango.database")
_NOTE: Final = "in a callback of on_commit: the transaction itself is committed"


def check(function: object) -> None:
    """Refuse what cannot be called while the transaction can still be rolled back.

    Raises:
        TypeError: It is no function.
    """
    if callable(function):
        return
    if inspect.iscoroutine(function):
        function.close()
        raise TypeError(
            "on_commit takes a function, not what it has returned: on_commit(send), not on_commit(send())"
        )
    raise TypeError(f"on_commit takes a function, not {type(function).__name__}")


async def run(callbacks: Sequence[Callable[[], Any]]) -> None:
    """Call all, in order, and wait for those that give something to wait for.

    Raises:
        Exception: The first one's that failed; those of others are logged.
    """
    failure: Exception | None = None
    for function in callbacks:
        try:
            outcome = function()
            if inspect.isawaitable(outcome):
                await outcome
        except Exception as error:
            failure = _kept(failure, error)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its traceback has this frame, and those of the block


def run_blocking(callbacks: Sequence[Callable[[], Any]]) -> None:
    """As `run`, for plain functions.

    Raises:
        Exception: The first one's that failed; those of others are logged.
    """
    failure: Exception | None = None
    for function in callbacks:
        try:
            outcome = function()
            if inspect.iscoroutine(outcome):
                outcome.close()
                raise InterfaceError(
                    "on_commit of SyncDatabase takes plain functions, not coroutine functions"
                )
        except Exception as error:
            failure = _kept(failure, error)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its traceback has this frame, and those of the block


async def finish(outcome: Awaitable[object]) -> None:
    """Wait for what a callback outside of any transaction has begun; nobody else does."""
    try:
        await outcome
    except Exception:
        _logger.exception("a callback of on_commit failed")


def _kept(failure: Exception | None, error: Exception) -> Exception:
    if failure is not None:
        _logger.error("another callback of on_commit failed", exc_info=error)
        return failure
    error.add_note(_NOTE)
    return error
