"""Database: the asyncio face of the driver."""

from collections.abc import Callable
from typing import Any, Literal, Self, overload

from hyperdjango.database import _shape
from hyperdjango.database._async_bulk import AsyncBulk
from hyperdjango.database._async_calls import Row
from hyperdjango.database._explain_statement import ExplainStatement
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database._listening import Listening
from hyperdjango.database._notifications import NOTIFY_SQL, Gap, Notification, check_channel, check_channels
from hyperdjango.database._watching import watched
from hyperdjango.database.explain import ExplainResult
from hyperdjango.database.listener import Listener
from hyperdjango.database.sync_client import SyncDatabase

__all__ = ["Database", "Row"]


class Database(AsyncBulk):
    """A PostgreSQL database behind a pool of connections.

    Nothing is opened before `connect()`, or `async with`. All methods may be called from any number of
    tasks, event loops and threads at once.
    """

    @classmethod
    def opening_on_use(cls, url: str) -> Self:
        """Make a Database whose pool opens on the first query: the one of `get_db()`."""
        try:
            self = cls(url)
        finally:
            url = ""  # a traceback with locals must not show it
        self._opens_on_use = True
        return self

    @property
    def sync(self) -> SyncDatabase:
        """The same pool for blocking callers, in threads that run no event loop."""
        face = SyncDatabase.over(
            self._pool, self._settings, opens_on_use=self._opens_on_use, asyncio_block=self._current
        )
        face.alias = self.alias
        return face

    @overload
    def listen(
        self, *channels: str, gaps: Literal[True] = True, timeout: float | None = None
    ) -> Listener[Notification | Gap]: ...
    @overload
    def listen(
        self, *channels: str, gaps: Literal[False], timeout: float | None = None
    ) -> Listener[Notification]: ...
    def listen(self, *channels: str, gaps: bool = True, timeout: float | None = None) -> Listener[Any]:
        """Hear the notifications of channels: `async for note in db.listen("jobs"):`.

        With `async with db.listen("jobs") as notes:` the server has confirmed that it listens when the block
        begins. The connection is its own, beside the pool's. Where it is lost another one is opened, as often
        as it takes, and a Gap stands in the place of what was not heard.

        Args:
            channels: Their names as they are: upper case, spaces and quotes belong to the name.
            gaps: Whether a Gap is yielded; without it is logged only.
            timeout: Seconds to wait for the next one; when they have passed the loop ends, and another one
                over the same listener goes on. An attempt to connect that is under way is not cut short.
        Returns:
            An async iterator of Notification and Gap; nothing is opened yet.
        Raises:
            ValueError: There is no channel, a name is empty, has a NUL or more than 63 bytes.

        PostgreSQL docs: sql-listen.
        """
        return Listener(Listening(self._pool, check_channels(channels), gaps=gaps), self._make_ready, timeout)

    async def _make_ready(self) -> None:
        if not self._pool.is_open:
            await self._open_on_use()

    async def notify(self, channel: str, payload: str = "", *, timeout: float | None = None) -> None:
        """Notify all who listen to a channel; in a transaction block when it commits, and only then.

        Notifications of one transaction that are equal in channel and payload are sent once.

        Args:
            channel: Its name, as for `listen`.
            payload: Text of less than 8000 bytes.
            timeout: Seconds for the whole call.
        Raises:
            ValueError: No channel can have this name.
            DatabaseError: As `query`; the payload is too long.

        PostgreSQL docs: sql-notify.
        """
        args = (check_channel(channel), payload)
        with watched(self, "notify", NOTIFY_SQL, parameters_count=2) as watch:
            request = await self._complete(NOTIFY_SQL, args, _shape.VALUE, None, True, None, timeout, watch)
            watch.heard(request)
            request.result()

    async def register_codec(
        self,
        type_name: str,
        *,
        encode: Callable[[Any], str | bytes],
        decode: Callable[[Any], Any],
        binary: bool = False,
    ) -> None:
        """Decide how values of one type travel, in place of the driver.

        Holds for every connection of this Database, from the next statement on, and for the type's arrays.

        Args:
            type_name: As SQL has it: `"ltree"`, `"accounts.money_range"`.
            encode: From a Python value to the text form, or with `binary` to the bytes of the binary form.
            decode: From the text form (a str) or the binary form (bytes) to a Python value.
            binary: The type travels in binary format.
        Raises:
            UndefinedObject: The database has no such type.
        """
        with watched(self, "register_codec", OID_OF_TYPE, parameters_count=1) as watch:
            arguments = (OID_OF_TYPE, (type_name,), _shape.VALUE, None, True, None, None)
            request = await self._complete(*arguments, watch)
            watch.heard(request)
            oid: int = request.result()
        self._pool.type_map.add_codec(oid, type_name, encode, decode, binary)

    async def explain(
        self,
        sql: str,
        *args: object,
        analyze: bool = False,
        buffers: bool = False,
        timeout: float | None = None,
    ) -> ExplainResult:
        """Return the plan that the backend makes for one statement with these values.

        Args:
            sql: One statement with placeholders, which EXPLAIN is put in front of.
            args: One value per placeholder; the plan is made for them.
            analyze: The statement is run as well, for its actual rows and times. Whatever it did is rolled
                back, in a transaction block by a savepoint; sequences, and what functions do outside of the
                transaction, stay.
            buffers: The plan counts the blocks that were read and found.
            timeout: Seconds for the whole call.
        Returns:
            The plan as a tree, as text by `str()`, drawn by `show()`, as a page by `to_html()`.
        Raises:
            ProgrammingError: It holds several statements or none, begins with EXPLAIN, or has no plan.
            DatabaseError: As `query`; `position` and `query` are about `sql`.

        PostgreSQL docs: sql-explain, using-explain.
        """
        statement = ExplainStatement(sql, args, analyze=analyze, buffers=buffers)
        with watched(self, "explain", sql, parameters_count=len(args)) as watch:
            if analyze:
                request = await self._complete_undone(statement.text, args, _shape.VALUE, timeout, watch)
            else:
                arguments = (statement.text, args, _shape.VALUE, None, True, None, timeout)
                request = await self._complete(*arguments, watch)
            watch.heard(request)
            return statement.result(request)
