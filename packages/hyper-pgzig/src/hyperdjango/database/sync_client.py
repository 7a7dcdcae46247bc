"""SyncDatabase: the blocking face of the driver, over the same pool and the same native connections."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, Self, overload

from hyperdjango.database import _shape
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._explain_statement import ExplainStatement
from hyperdjango.database._introspection import OID_OF_TYPE
from hyperdjango.database._listening import Listening
from hyperdjango.database._notifications import NOTIFY_SQL, Gap, Notification, check_channel, check_channels
from hyperdjango.database._settings import PoolSettings
from hyperdjango.database._sync_bulk import SyncBulk
from hyperdjango.database._watching import watched
from hyperdjango.database.errors import NotConnected
from hyperdjango.database.explain import ExplainResult
from hyperdjango.database.listener import SyncListener
from hyperdjango.database.pool import Pool


class SyncDatabase(SyncBulk):
    """A PostgreSQL database behind a pool of connections, for code that blocks.

    Methods, arguments, results and errors are those of Database. While a call waits the GIL is released.
    """

    @classmethod
    def over(
        cls,
        pool: Pool,
        settings: PoolSettings,
        *,
        opens_on_use: bool,
        asyncio_block: ContextVar[Any] | None = None,
    ) -> Self:
        """Make the blocking face of a pool that another face has made.

        Args:
            pool: What both borrow from.
            settings: What the other was told.
            opens_on_use: The first call connects.
            asyncio_block: Has the transaction that runs on the other face, in whose loop this one may not block.
        """
        self = cls.__new__(cls)
        self._pool = pool
        self._settings = settings
        self._opens_on_use = opens_on_use
        self._asyncio_block = asyncio_block
        self._prepare()
        return self

    @overload
    def listen(
        self, *channels: str, gaps: Literal[True] = True, timeout: float | None = None
    ) -> SyncListener[Notification | Gap]: ...
    @overload
    def listen(
        self, *channels: str, gaps: Literal[False], timeout: float | None = None
    ) -> SyncListener[Notification]: ...
    def listen(self, *channels: str, gaps: bool = True, timeout: float | None = None) -> SyncListener[Any]:
        """Hear the notifications of channels: `for note in db.listen("jobs"):`; as `Database.listen`."""
        listening = Listening(self._pool, check_channels(channels), gaps=gaps)
        return SyncListener(listening, self._make_ready, timeout)

    def _make_ready(self) -> None:
        if not self._pool.is_open:
            if not self._opens_on_use or self._pool.is_draining:
                raise NotConnected
            self.connect()

    def notify(self, channel: str, payload: str = "", *, timeout: float | None = None) -> None:
        """Notify all who listen to a channel; as `Database.notify`."""
        args = (check_channel(channel), payload)
        deadline = deadline_after(time.monotonic(), timeout)
        with watched(self, "notify", NOTIFY_SQL, parameters_count=2) as watch:
            request = self._complete(NOTIFY_SQL, args, _shape.VALUE, None, True, None, deadline, watch)
            watch.heard(request)
            request.result()

    def register_codec(
        self,
        type_name: str,
        *,
        encode: Callable[[Any], str | bytes],
        decode: Callable[[Any], Any],
        binary: bool = False,
    ) -> None:
        """Decide how values of one type travel; as `Database.register_codec`."""
        with watched(self, "register_codec", OID_OF_TYPE, parameters_count=1) as watch:
            request = self._complete(OID_OF_TYPE, (type_name,), _shape.VALUE, None, True, None, None, watch)
            watch.heard(request)
            oid: int = request.result()
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
        with watched(self, "explain", sql, parameters_count=len(args)) as watch:
            if analyze:
                request = self._complete_undone(statement.text, args, _shape.VALUE, deadline, watch)
            else:
                arguments = (statement.text, args, _shape.VALUE, None, True, None, deadline)
                request = self._complete(*arguments, watch)
            watch.heard(request)
            return statement.result(request)
