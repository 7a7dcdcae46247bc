"""Database: the asyncio face of the driver."""

from collections.abc import Callable
from typing import Any, Self

from hyperdjango.database import _shape
from hyperdjango.database._async_bulk import AsyncBulk
from hyperdjango.database._async_calls import Row
from hyperdjango.database._explain_statement import ExplainStatement
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database.explain import ExplainResult
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
        return SyncDatabase.over(self._pool, self._settings, opens_on_use=self._opens_on_use)

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
        oid: int = await self.query_val(OID_OF_TYPE, type_name)
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
        if analyze:
            request = await self._complete_undone(statement.text, args, _shape.VALUE, timeout)
        else:
            request = await self._complete(statement.text, args, _shape.VALUE, None, True, None, timeout)
        return statement.result(request)
