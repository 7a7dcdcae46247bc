"""Hints for errors of the backend, from those who know more of a statement than it does.

hyper-orm adds one: it knows which model a missing table is of. `errors.from_fields` asks for each wrong statement.
PostgreSQL docs: errcodes-appendix, "Class 42".
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hyperdjango.database._error_tree import DatabaseError

Adviser = Callable[["DatabaseError"], str | None]
WRONG_STATEMENT: Final = "42"
# Each is told of an error before anybody else, and returns what to do about it. It does no I/O and raises nothing.
advisers: Final[list[Adviser]] = []


def advised(error: "DatabaseError") -> "DatabaseError":
    """Return the error, with the hint of the first who has one; the backend's stays behind it."""
    if error.sqlstate is not None and error.sqlstate.startswith(WRONG_STATEMENT):
        for adviser in advisers:
            hint = adviser(error)
            if hint is not None:
                error.hint = hint if error.hint is None else f"{hint} {error.hint}"
                break
    return error


__all__ = ["WRONG_STATEMENT", "Adviser", "advised", "advisers"]
