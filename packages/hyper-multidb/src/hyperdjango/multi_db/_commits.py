"""A commit, and in the same flush the question how far the log is: what both faces of a primary send and make of it.

`_primary` and `_blocking` wait for the answers. In front of the COMMIT of a block the session says whether it will be
flushed, since behind it a SET LOCAL synchronous_commit is over. Behind a call outside of blocks the session's own
setting counts, unless the call itself may have another in between.
PostgreSQL docs: wal-async-commit; protocol-flow, "Pipelining".
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _shape
from hyperdjango.database._question import Question
from hyperdjango.multi_db._probe import IS_ASYNCHRONOUS, POSITION, POSITION_OF_CALL, POSITIONS
from hyperdjango.multi_db.lsn import Position

if TYPE_CHECKING:
    from hyperdjango.database._native import native

# In a text with one of these a commit may go by another synchronous_commit than the session has at its end. So it
# may in a long one, which nobody searches on an event loop.
_SETTING: Final = re.compile(
    r"synchronous_commit|set_config|pg_settings|u&|\b(?:reset|discard|call|do)\b", re.IGNORECASE
)
_TEXT_MAX: Final = 4096


@lru_cache(maxsize=1024)
def _may_set(sql: str) -> bool:
    return _SETTING.search(sql) is not None


def question_behind(texts: Iterable[str]) -> Question:
    """Return what is to be asked behind these, which commit by themselves."""
    may_set = any(len(sql) > _TEXT_MAX or _may_set(sql) for sql in texts)
    return Question(POSITION if may_set else POSITION_OF_CALL)


def learn(connection: "native.Connection") -> "native.Request | None":
    """Have what is asked behind a COMMIT described before a block begins; None where it is known."""
    if connection.knows(POSITIONS):
        return None
    request = connection.prepare(POSITIONS)
    connection.push()
    return request


def send(connection: "native.Connection", command: str) -> "tuple[native.Request, native.Request | None]":
    """Send the COMMIT, or COMMIT PREPARED, that is owed, with the questions around it.

    Returns:
        The request of the COMMIT; and that of the positions, None where the pool does not know that text yet.
    """
    # In a failed transaction a question would take the place of the COMMIT, which says ROLLBACK there. What was
    # prepared is flushed whatever the session says.
    if command == "COMMIT" and (connection.transaction_status != "E" or connection.owed > 1):
        connection.disown(command)
        connection.owe(IS_ASYNCHRONOUS)
        connection.owe(command)
    connection.corked = True  # they leave together
    try:
        request = connection.run_owed()
    finally:
        connection.corked = False
    asked = connection.ask(POSITIONS, _shape.VALUE)
    connection.push()
    return request, asked


def position(request: "native.Request", asked: "native.Request | None") -> Position | None:
    """Return a position that is not before the commit; None where the server did not say.

    Args:
        request: Of the COMMIT.
        asked: Of the positions, finished.
    """
    if asked is None or asked.failed:
        return None
    flushed, _, inserted = asked.result().partition(" ")
    # The only rows of what is owed are those of the question.
    return Position.parse(flushed[:8] + inserted if request.affected else flushed)


__all__ = ["learn", "position", "question_behind", "send"]
