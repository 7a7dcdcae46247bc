"""Where instances came from: one object that all instances of a result share, as `instance._origin`."""

from typing import Any


class Origin:
    """A result.

    Attributes:
        database: The Database that it came from, or None where that is not known, as after unpickling.
        fetch_mode: What `load` does for the instances of the result.
    """

    __slots__ = ("__weakref__", "database", "fetch_mode")

    def __init__(self, database: Any = None, fetch_mode: Any = None) -> None:
        self.database = database
        self.fetch_mode = fetch_mode

    def __reduce__(self) -> tuple[Any, ...]:
        # A database has sockets, which go nowhere.
        return (Origin, (None, self.fetch_mode))


UNKNOWN_ORIGIN = Origin()
