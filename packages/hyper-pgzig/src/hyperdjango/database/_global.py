"""The one Database of the process: `get_db()` makes it from the setting DATABASE_URL on first use."""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from hyperdjango.conf import settings
from hyperdjango.conf._lock import Lock

if TYPE_CHECKING:
    from hyperdjango.database.client import Database

NO_DATABASE_URL: Final = (
    "No DATABASE_URL. Set the environment variable, as in "
    "DATABASE_URL=postgresql://user:password@localhost:5432/name, "
    "or call hyperdjango.conf.settings.configure(DATABASE_URL=...) before the first get_db()."
)

_lock = Lock()
_database: "Database | None" = None
# What an application serves its requests with, in place of the process's: several in one process have each its own.
context_db: Final[ContextVar["Database | None"]] = ContextVar("hyperdjango_database", default=None)


def get_db() -> "Database":
    """Return the one global Database. Its pool opens on the first query.

    Safe from any thread: all get the same object. Inside of a request it is the one of its application.

    Raises:
        RuntimeError: The setting DATABASE_URL is neither configured nor in the environment.
        ValueError: DATABASE_URL cannot be understood.
    """
    database = context_db.get()
    if database is None:
        database = _database
    return database if database is not None else _make()


def set_db(database: "Database | None") -> None:
    """Replace the global Database; None lets the next `get_db()` make a new one.

    The one that was there stays as it is: whoever replaces it closes it.
    """
    global _database  # noqa: PLW0603 - the one global this module is about
    with _lock:
        _database = database


def peek_db() -> "Database | None":
    """Return the global Database where there is one already; makes none."""
    return _database


def _make() -> "Database":
    global _database  # noqa: PLW0603 - the one global this module is about
    with _lock:
        if _database is None:
            # The URL is no local of this frame: a traceback with locals must not show it.
            if settings.DATABASE_URL is None:
                raise RuntimeError(NO_DATABASE_URL)
            # Not at the top: client imports this module's neighbours, and an error here must not keep it out.
            from hyperdjango.database.client import Database  # noqa: PLC0415

            _database = Database.opening_on_use(settings.DATABASE_URL)
        return _database
