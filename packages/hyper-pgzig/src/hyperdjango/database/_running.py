"""Which Databases have a transaction running in this task, across all of them: the innermost counts.

Each Database knows its own running transaction by a ContextVar of its own. Models are asked for a statement
without a Database, and `resolver` must know whose transaction it belongs to.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hyperdjango.database._async_calls import AsyncCalls

# Those whose outermost blocks are open here, the innermost last. A tuple in here is of blocks that were begun
# together: each of them is the innermost.
running: Final[ContextVar["tuple[AsyncCalls | tuple[AsyncCalls, ...], ...]"]] = ContextVar(
    "hyperdjango_running", default=()
)


def innermost() -> "AsyncCalls | tuple[AsyncCalls, ...] | None":
    """Return the Database whose transaction was begun last in this task, or one that it was started from.

    Where several were begun together it is all of these, in the order in which they were named.
    """
    databases = running.get()
    return databases[-1] if databases else None
