"""Every exception of the driver: PEP 249's tree, one class per SQLSTATE, and the few that no backend sends.

The driver raises them, users catch them. Needs nothing native, so that `except` clauses can be written, and
NativeExtensionMissing be raised, where the extension is missing.
PEP 249, "Exceptions"; PostgreSQL docs: protocol-error-fields and errcodes-appendix.
"""
# ruff: noqa: N818 - the contract's and the server's names don't end in Error

from collections.abc import Mapping, Sequence
from typing import Final, Self

from hyperdjango.database import _sqlstate
from hyperdjango.database._advice import advised
from hyperdjango.database._error_tree import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - PEP 249 gives the name
)
from hyperdjango.database._sqlstate import *  # noqa: F403

BUILD_COMMAND: Final = "uv run hyper-build"


class NativeExtensionMissing(RuntimeError):
    """The native extension is not there. There is no other way to a database, so every call raises this."""

    def __init__(self, message: str = f"Native extension not available. Build it:\n{BUILD_COMMAND}") -> None:
        super().__init__(message)


class NotConnected(InterfaceError, RuntimeError):
    """A query method was called before `connect()`, or after `disconnect()`."""

    def __init__(self, message: str = "Database not connected. Call await db.connect() first.") -> None:
        super().__init__(message)


class TransactionClosed(InterfaceError, RuntimeError):
    """A statement was meant for a transaction whose block has ended."""

    def __init__(self, message: str = "The transaction has ended; its block was left.") -> None:
        super().__init__(message)


class ConnectionFailed(OperationalError, RuntimeError):
    """No connection could be made. Message and SQLSTATE are the backend's when it sent any.

    Attributes:
        is_refused: It is we who refuse: the backend asks for what the parameters forbid or do not have.
    """

    is_refused: bool = False

    @classmethod
    def from_server(cls, error: DatabaseError, *, target: str | None = None) -> Self:
        """Return a ConnectionFailed with the fields of what the backend answered.

        Args:
            error: The backend's error, as `from_fields` made it.
            target: Where we tried to connect, without secrets: `"localhost", port 5432`.
        """
        failed = cls(error.message)
        vars(failed).update(vars(error))
        failed.sqlstate = error.sqlstate  # the class's own where the instance has none
        if target is not None:
            failed.add_note(f"while connecting to {target}")
        return failed


class ConnectTimeout(ConnectionFailed, TimeoutError):
    """`connect_timeout` passed before the connection stood."""


class ConnectionLost(OperationalError):
    """The connection ended during a call, and it is known that nothing was changed by it."""


class OutcomeUnknown(OperationalError):
    """The connection ended after a statement was sent and before its answer came.

    The backend may or may not have done it: look before doing it again.
    """


class ProtocolError(OperationalError):
    """The backend sent bytes that the protocol does not allow here. The connection is closed."""


class QueryTimeout(OperationalError, TimeoutError):
    """The call's own `timeout` passed and the statement was cancelled.

    The backend's `statement_timeout` raises QueryCanceled instead.
    """


class AcquireTimeout(OperationalError, TimeoutError):
    """No connection became free, or could be opened, in time; nothing was sent."""


def class_for(sqlstate: str | None) -> type[DatabaseError]:
    """Return the class of a SQLSTATE.

    Its own, else PEP 249's for its first two characters, else DatabaseError.
    """
    if sqlstate is None:
        return DatabaseError
    exact = _sqlstate.BY_SQLSTATE.get(sqlstate)
    return exact or _sqlstate.BY_CLASS.get(sqlstate[:2], DatabaseError)


def _number(text: str | None) -> int | None:
    # Ten digits hold every position; a longer run is not the backend's, and int() of it is slow.
    return int(text) if text is not None and len(text) <= 10 and text.isascii() and text.isdigit() else None


def from_fields(
    fields: Mapping[str, str], query: str | None = None, columns: Sequence[str] = ()
) -> DatabaseError:
    """Return the exception for one ErrorResponse, not raised yet.

    Args:
        fields: The message's fields by their one-letter types; unknown ones are ignored, none is required.
        query: The SQL text that was sent.
        columns: Those that bytes the backend complains of may be in; they are named in a note.

    PostgreSQL docs: protocol-error-fields.
    """
    sqlstate = fields.get("C")
    error = class_for(sqlstate)(
        fields.get("M", "the backend reported an error without a message"),
        sqlstate=sqlstate,
        severity=fields.get("V", fields.get("S")),
        detail=fields.get("D"),
        hint=fields.get("H"),
        position=_number(fields.get("P")),
        internal_position=_number(fields.get("p")),
        internal_query=fields.get("q"),
        context=fields.get("W"),
        schema=fields.get("s"),
        table=fields.get("t"),
        column=fields.get("c"),
        data_type=fields.get("d"),
        constraint=fields.get("n"),
        source_file=fields.get("F"),
        source_line=_number(fields.get("L")),
        source_function=fields.get("R"),
        query=query,
    )
    if columns:
        names = ", ".join(f'"{name}"' for name in columns)
        error.add_note(f"the bytes are in {'one of the columns' if len(columns) > 1 else 'column'} {names}")
    return advised(error)


__all__: list[str] = [
    "BUILD_COMMAND",
    "AcquireTimeout",
    "ConnectTimeout",
    "ConnectionFailed",
    "ConnectionLost",
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NativeExtensionMissing",
    "NotConnected",
    "NotSupportedError",
    "OperationalError",
    "OutcomeUnknown",
    "ProgrammingError",
    "ProtocolError",
    "QueryTimeout",
    "TransactionClosed",
    "Warning",
    "class_for",
    "from_fields",
]
__all__ += _sqlstate.__all__


def _rename(*classes: type) -> None:
    for renamed in classes:
        renamed.__module__ = __name__


# Tracebacks and pickles name the place that users import from, not the private files.
_rename(Warning, Error, InterfaceError, DatabaseError, *DatabaseError.__subclasses__())
_rename(*_sqlstate.BY_SQLSTATE.values())
