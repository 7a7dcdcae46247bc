"""Which errors say that a server is gone, or is not what it was. Both faces of primary and reader ask."""

from typing import Final

from hyperdjango.database.errors import ConnectionFailed, ConnectionLost, DatabaseError, OutcomeUnknown

# What says that the server is none to write to any more.
MOVED: Final = frozenset({"25006", "57P01", "57P02", "57P03"})


def has_moved(error: BaseException) -> bool:
    """Whether an error says that roles should be looked at again."""
    sqlstate = (error.sqlstate or "") if isinstance(error, DatabaseError) else ""
    if not sqlstate:
        return isinstance(error, (ConnectionFailed, ConnectionLost, OutcomeUnknown))
    return sqlstate in MOVED or sqlstate.startswith("08")


def is_conflict(error: BaseException) -> bool:
    """Whether a standby has cancelled a read because of what it had to replay."""
    return getattr(error, "sqlstate", None) == "40001" and "conflict with recovery" in str(error)


__all__ = ["has_moved", "is_conflict"]
