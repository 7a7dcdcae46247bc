"""COMMIT, and in the same flush the question how far the log is: what both faces of a primary send and make of it.

`_primary` and `_blocking` wait for the answers. In front of COMMIT the session says whether it will be flushed, since
behind it a SET LOCAL synchronous_commit is over.
PostgreSQL docs: wal-async-commit; protocol-flow, "Pipelining".
"""

from typing import TYPE_CHECKING

from hyperdjango.database import _shape
from hyperdjango.multi_db._probe import IS_ASYNCHRONOUS, POSITIONS
from hyperdjango.multi_db.lsn import Position

if TYPE_CHECKING:
    from hyperdjango.database._native import native


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
    request = connection.run_owed()
    asked = connection.append(POSITIONS, (), _shape.VALUE, None, True, None)
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


__all__ = ["position", "send"]
