"""What an application's handlers query: a Database of its own, several by alias, or the process's.

`HyperApp` makes one of the three. Nothing is opened before it is used, and all that opened by itself is drained
when the last of the app's lifespans ends: a server with several threads runs one in each.
"""
# It is about a face's way to open, which is no user's business:
# pyright: reportPrivateUsage=false

import asyncio
import threading
from collections.abc import Mapping
from typing import Any, Final

from hyperdjango.conf._lock import Lock
from hyperdjango.database import Database, get_db
from hyperdjango.database._global import peek_db
from hyperdjango.database.resolver import OneDatabase, get_resolver
from hyperdjango.multi_db import ConnectionManager

# Between two looks whether another thread has opened the aliases.
_PAUSE: Final = 0.005


class Databases:
    """The process's Database, as `get_db()` gives it; and the base of the other two.

    Attributes:
        own: What `get_db()` is inside of the app, or None for the process's.
        manager: Of several databases.
        has_replicas: One of them has.
        health_path: Where the health endpoint is, which opens them by itself.
    """

    own: Database | None = None
    manager: ConnectionManager | None = None
    has_replicas: bool = False
    health_path: str | None = None

    def __init__(self) -> None:
        self._lock = Lock()
        self._lifespans = 0
        self._mounted: set[Databases] = set()

    @property
    def is_open(self) -> bool:
        """Whether requests may go on to their handlers at once."""
        return True

    async def open(self) -> None:
        """Open what does not open by its first query."""

    def database(self) -> Database | None:
        """Return what a health check asks; None where no database is configured."""
        if self.own is not None:
            return self.own
        try:
            return get_db()
        except RuntimeError:
            return None

    def begin(self) -> None:
        """A lifespan begins."""
        with self._lock:
            self._lifespans += 1

    def closes_too(self, mounted: "Databases") -> None:
        """Have those of a mounted app end with these: it serves requests, and has no lifespan."""
        if mounted not in self._mounted:
            with self._lock:
                self._mounted.add(mounted)

    async def end(self) -> None:
        """A lifespan ends: with the last one everything is drained and closed, that of mounted apps first."""
        with self._lock:
            self._lifespans -= 1
            if self._lifespans:
                return
        await self._close_all()

    async def _close_all(self) -> None:
        mounted, self._mounted = self._mounted, set()
        try:
            for each in mounted:
                await each._close_all()
        finally:
            await self.close()

    async def close(self) -> None:
        """Drain and close what opened by itself: who connects a Database closes it."""
        database = self.own or peek_db()
        if database is not None and database._opens_on_use:
            await database.disconnect()


class OwnDatabase(Databases):
    """One that is the app's."""

    def __init__(self, database: Database | str) -> None:
        super().__init__()
        try:
            if isinstance(database, str):
                self.own = Database.opening_on_use(database)
            else:
                database._opens_on_use = True
                self.own = database
        finally:
            database = ""  # a traceback with locals must not show it


class ManyDatabases(Databases):
    """Several, by alias. The manager is the process's while it is open."""

    def __init__(self, databases: Mapping[str, Any]) -> None:
        super().__init__()
        self.manager = self._manager = ConnectionManager()
        self._given = databases
        self._opening = threading.Lock()  # noqa: TID251 - kept over a wait, and no `with` has it
        self.has_replicas = any(
            isinstance(each, Mapping) and "replicas" in each for each in databases.values()
        )

    @property
    def is_open(self) -> bool:
        return len(self._manager) > 0

    async def open(self) -> None:
        """Configure the manager, once; another thread's requests wait for that.

        Raises:
            RuntimeError: Another manager serves this process.
            Misconfigured: As `ConnectionManager.configure`.
            ConnectionFailed: As above.
        """
        # Asked again and again, since a lock that a thread waits for outlives a cancellation.
        while not self._opening.acquire(blocking=False):  # noqa: ASYNC110 - an Event is of one loop
            await asyncio.sleep(_PAUSE)
        try:
            if not self.is_open:
                if not isinstance(get_resolver(), OneDatabase):
                    raise RuntimeError(
                        "another ConnectionManager is open in this process, and models ask that one: close it first, "
                        "or give one application all the databases"
                    )
                await self._manager.configure(self._given)
        finally:
            self._opening.release()

    def database(self) -> Database | None:
        return self._manager.get("default")

    async def close(self) -> None:
        await self._manager.close()


__all__ = ["Databases", "ManyDatabases", "OwnDatabase"]
