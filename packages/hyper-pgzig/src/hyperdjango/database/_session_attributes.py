"""Whether a session is of the kind that target_session_attrs asks for. Called by `_connect`.

PostgreSQL docs: libpq-connect, "target_session_attrs".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hyperdjango.database import _shape
from hyperdjango.database._authenticate import ServerError
from hyperdjango.database._steps import Steps, WaitReadable, WaitWritable
from hyperdjango.database.errors import DatabaseError, ProtocolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from hyperdjango.database._native import native


class UnwantedSession(Exception):  # noqa: N818 - nothing is wrong with it
    """The session works, and target_session_attrs asks for another kind."""


def refusal(wanted: str, *, read_only: bool, standby: bool) -> str | None:
    """Return why a session is not the wanted one, None when it is."""
    match wanted:
        case "read-write" if read_only:
            return "session is read-only"
        case "read-only" if not read_only:
            return "session is not read-only"
        case "primary" if standby:
            return "server is in hot standby mode"
        case "standby" if not standby:
            return "server is not in hot standby mode"
        case _:
            return None


def check_steps(connection: native.Connection, sock: socket.socket, wanted: str) -> Steps[None]:
    """Check the session behind a connection that has just started up.

    Raises:
        UnwantedSession: It is of another kind.
    """
    if wanted == "any":
        return
    reported: Mapping[str, str] = connection.parameters
    standby = reported.get("in_hot_standby")
    read_only = reported.get("default_transaction_read_only")
    if standby is None or read_only is None:
        # Before version 14, or a pooler in between.
        standby, read_only = yield from _ask_steps(connection, sock)
    found = refusal(wanted, read_only="on" in {read_only, standby}, standby=standby == "on")
    if found is not None:
        raise UnwantedSession(found)


_QUESTION: Final = (
    "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END,"
    " pg_catalog.current_setting('transaction_read_only')"
)
_DONE: Final = 1
_AGAIN: Final = 2


def _ask_steps(connection: native.Connection, sock: socket.socket) -> Steps[tuple[str, str]]:
    """Ask the server, and leave no prepared statement behind."""
    request = connection.submit(_QUESTION, (), _shape.TUPLE, None, False, None)
    while (progress := connection.advance()) != _DONE:
        if progress == _AGAIN:
            continue
        if connection.wants_write:
            yield WaitWritable(sock)
        else:
            yield WaitReadable(sock)
    try:
        ((standby, read_only),) = request.result()
    except ProtocolError:
        raise
    except DatabaseError as error:
        raise ServerError(error, authenticated=True) from None
    connection.forget(_QUESTION)
    return standby, read_only
