"""SyncDatabase: the blocking face of the driver, over the same pool and the same native connections."""

import time
from collections.abc import Callable
from typing import Any, Self

from hyperdjango.database import _shape
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._explain_statement import ExplainStatement
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database._settings import PoolSettings
from hyperdjango.database._sync_bulk import SyncBulk
from hyperdjango.database.explain import ExplainResult
from hyperdjango.database.pool import Pool


class SyncDatabase(SyncBulk):
    """A PostgreSQL database behind a pool of connections, for code that blocks.

    Methods, arguments, results and errors are those of Database. While a call waits the GIL is released.
    """

    @classmethod
    def over(cls, pool: Pool, settings: PoolSettings, *, opens_on_use: bool) -> Self:
        """Make the blocking face of a pool that another face has made."""
        self = cls.__new__(cls)
        self._pool = pool
        self._settings = settings
        self._opens_on_use = opens_on_use
        self._prepare()
        return self

    def register_codec(
        self,
        type_name: str,
        *,
        encode: Callable[[Any], str | bytes],
        decode: Callable[[Any], Any],
        binary: bool = False,
    ) -> None:
        """Decide how values of one type travel; as `Database.register_codec`."""
        oid: int = self.query_val(OID_OF_TYPE, type_name)
        self._pool.type_map.add_codec(oid, type_name, encode, decode, binary)

    def explain(
        self,
        sql: str,
        *args: object,
        analyze: bool = False,
        buffers: bool = False,
        timeout: float | None = None,
    ) -> ExplainResult:
        """Return the plan that the backend makes for one statement; as `Database.explain`."""
        statement = ExplainStatement(sql, args, analyze=analyze, buffers=buffers)
        deadline = deadline_after(time.monotonic(), timeout)
        if analyze:
            request = self._complete_undone(statement.text, args, _shape.VALUE, deadline)
        else:
            request = self._complete(statement.text, args, _shape.VALUE, None, True, None, deadline)
        return statement.result(request)
