"""Which transaction blocks the running task is in, of all Databases.

Each Database has a ContextVar for its own block. What caches or batches reads over several of them, as loaders do,
asks here instead: whatever was read in one stage of a transaction belongs to that stage alone.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hyperdjango.database._pinned import Pinned

RUNNING: Final["ContextVar[tuple[Pinned, ...]]"] = ContextVar("hyperdjango_running_transactions", default=())
"""The outermost blocks of the asyncio face, in the order in which they were entered."""


class Stage:
    """A part of a transaction, up to where something of it is rolled back or the whole of it ends.

    Attributes:
        is_over: What was read in it may not be true any more.
    """

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


def stages() -> tuple[Stage, ...]:
    """Return the stages that the running task is in: one for each Database with a transaction block, or none."""
    running = RUNNING.get()
    return tuple([transaction.stage for transaction in running]) if running else ()
