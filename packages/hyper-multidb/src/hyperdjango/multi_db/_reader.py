"""The reader face: the Database of an alias for reads, each on the server that may and should serve it.

A read that meets a server that is gone is asked again of another one. Nothing else is ever repeated.
"""
# One half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar

from hyperdjango.database import Database, SyncDatabase
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._running import running
from hyperdjango.database._stream import CHUNK
from hyperdjango.database._watching import NOBODY, Finished, routed
from hyperdjango.database.errors import InterfaceError
from hyperdjango.database.transaction import TransactionBlock
from hyperdjango.multi_db import scope as scopes
from hyperdjango.multi_db._blocking_reader import BlockingReader
from hyperdjango.multi_db._moved import has_moved, is_conflict
from hyperdjango.multi_db._primary import PrimaryFace
from hyperdjango.multi_db._replica_set import IN_BLOCK

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database._pipeline import Query
    from hyperdjango.database._watching import QueryHook, Watch
    from hyperdjango.multi_db._node import Node
    from hyperdjango.multi_db._replica_set import ReplicaSet
    from hyperdjango.multi_db._route import Route

P = ParamSpec("P")
R = TypeVar("R")


class ReaderFace(Database):
    """A Database whose statements go to a replica or to the primary, one by one."""

    _face: PrimaryFace
    _set: "ReplicaSet"

    @classmethod
    def of(cls, face: PrimaryFace) -> "ReaderFace":
        """Make the reader of a set; what it does not send elsewhere runs on the primary."""
        self = cls._beside(face)
        self._face = face
        self._set = face._set
        return self

    @property
    def sync(self) -> SyncDatabase:
        """The same for blocking callers: each read where it may be served. As `Database.sync`."""
        return BlockingReader.of(self._face)

    async def _node(self, deadline: float | None = None) -> "tuple[Node, str, int]":
        """Choose a server: which one, why, and the epoch in which that is so."""
        replica_set, scope = self._set, scopes.current.get()
        while True:
            route = replica_set.route(scope) or await replica_set.settle(scope, deadline)
            taken = replica_set.take(route)
            if taken is not None:
                node, epoch = taken
                return node, route.reason, epoch

    def _role_of_block(self) -> str:
        """Of the server that the running transaction is on."""
        for begun in reversed(running.get()):
            for database in begun if isinstance(begun, tuple) else (begun,):
                if database._current is self._current:
                    return database.role or "primary"
        return "primary"

    async def _complete(  # noqa: PLR0912, PLR0917 - as the driver's; each call more costs time on the hot path
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        timeout: float | None,
        watch: "Watch | None" = None,
    ) -> "native.Request":
        if self._current.get() is not None:
            if self._pool.watchers:
                with _route(self._role_of_block(), IN_BLOCK):
                    return await super()._complete(sql, args, shape, target, first, first_set, timeout, watch)
            return await super()._complete(sql, args, shape, target, first, first_set, timeout, watch)
        deadline = None
        left = timeout
        if timeout is not None:
            deadline = deadline_after(asyncio.get_running_loop().time(), timeout)
        replica_set = self._set
        tried = 0
        while True:
            # As `_node`, which costs a coroutine.
            scope = scopes.current.get()
            route = scope.routes.get(self.alias)  # type: ignore[arg-type]  # a set has an alias
            if route is None or route.known is not replica_set.known:
                route = replica_set.route(scope) or await replica_set.settle(scope, deadline)
            node = route.node or replica_set.pick(route)
            epoch = node.epoch
            if route.known is not replica_set.known:
                continue
            if deadline is not None:
                left = max(0.001, deadline - asyncio.get_running_loop().time())
            database = route.database or node.database
            node.reads += 1
            node.in_flight += 1
            try:
                if route.is_usual:
                    request = await database._complete(
                        sql, args, shape, target, first, first_set, left, watch
                    )
                else:
                    request = await self._unusual(
                        route, database, (sql, args, shape, target, first, first_set, left, watch)
                    )
                # Of another epoch it is the answer of another server than the one that was chosen.
                if not request.failed and node.epoch == epoch:
                    return request
            except Exception as error:
                if tried == len(replica_set.nodes) or not await self._goes_elsewhere(node, error, deadline):
                    raise
            else:
                finished = Finished(request, NOBODY)
                if tried == len(replica_set.nodes) or (
                    finished._error is not None
                    and not await self._goes_elsewhere(node, finished._error, deadline)
                ):
                    return finished  # type: ignore[return-value]  # stands for it
            finally:
                node.in_flight -= 1
            tried += 1
            replica_set.repeated_reads += 1

    async def _unusual(
        self, route: "Route", database: Database, arguments: tuple[Any, ...]
    ) -> "native.Request":
        """Run a statement where it does not go by itself, or not for the reason its Database gives."""
        self._set.routes[route.reason] += 1
        if not database._pool.watchers:
            return await database._complete(*arguments)
        with _route("primary" if database is self._face.plain else "replica", route.reason):
            return await database._complete(*arguments)

    async def _goes_elsewhere(self, node: "Node", error: BaseException, deadline: float | None) -> bool:
        """Whether a read that failed so is asked again: its server is gone, and maybe another one takes its place."""
        if is_conflict(error):
            return True
        if not has_moved(error) or getattr(error, "sqlstate", None) == "25006":
            return False  # it was no read
        if node is not self._set.primary:
            self._set.note_failure(node, error)
            return True
        seconds = self._set.options.failover_timeout
        if deadline is not None:
            seconds = min(seconds, deadline - asyncio.get_running_loop().time())
        self._face._heard(error)
        return seconds > 0 and await self._set.find_primary(seconds)

    async def _one_server(self) -> Database:
        if self._current.get() is not None:
            return self
        node, _, epoch = await self._node()
        if node is self._set.primary:
            return self._face.plain
        return _Steady.of(self, node, epoch)

    # What is more than a statement.

    async def stream(
        self,
        sql: str,
        *args: object,
        chunk: int = CHUNK,
        into: Callable[..., Any] = dict,
        timeout: float | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Yield the rows of one statement, all from one server; as `Database.stream`."""
        if self._current.get() is not None:
            async for row in self._face.stream(sql, *args, chunk=chunk, into=into, timeout=timeout):
                yield row
            return
        tried = 0
        while True:
            node, _, epoch = await self._node(deadline_after(asyncio.get_running_loop().time(), timeout))
            database = self._set.database_of(node)
            has_begun = False
            node.in_flight += 1
            try:
                rows = database.stream(sql, *args, chunk=chunk, into=into, timeout=timeout)
                async with aclosing(rows):
                    async for row in rows:
                        # As in `_complete`; once somebody has seen a row it is too late.
                        if not has_begun and node.epoch != epoch and tried < len(self._set.nodes):
                            break
                        has_begun = True
                        yield row
                    else:
                        if has_begun or node.epoch == epoch or tried == len(self._set.nodes):
                            return
            except Exception as error:
                if (
                    has_begun
                    or tried == len(self._set.nodes)
                    or not await self._goes_elsewhere(node, error, None)
                ):
                    raise
            finally:
                node.in_flight -= 1
            tried += 1
            self._set.repeated_reads += 1

    async def pipeline(
        self,
        queries: "Iterable[Query]",
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """Run several reads in one round trip, all on one server; as `Database.pipeline`."""
        if self._current.get() is not None:
            return await super().pipeline(queries, return_exceptions=return_exceptions, timeout=timeout)
        queries = list(queries)
        loop = asyncio.get_running_loop()
        deadline = deadline_after(loop.time(), timeout)
        tried = 0
        while True:
            node, _, epoch = await self._node(deadline)
            database = self._set.database_of(node)
            left = None if deadline is None else max(0.001, deadline - loop.time())
            node.in_flight += 1
            try:
                rows = await Database.pipeline(
                    database, queries, return_exceptions=return_exceptions, timeout=left
                )
                # As in `_complete`.
                if node.epoch == epoch or tried == len(self._set.nodes):
                    return rows
            except Exception as error:
                if tried == len(self._set.nodes) or not await self._goes_elsewhere(node, error, deadline):
                    raise
            finally:
                node.in_flight -= 1
            tried += 1
            self._set.repeated_reads += 1

    def copy_out(self, sql: str, **options: Any) -> Any:
        """Read what a COPY gives, from the primary; as `Database.copy_out`."""
        return self._face.copy_out(sql, **options)

    def transaction(
        self,
        savepoint_name: str | None = None,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> TransactionBlock:
        """Return a read-only block on one server, a replica where one may serve it; as `Database.transaction`.

        Raises:
            ValueError: `read_only` is False: what writes begins at the alias itself.
        """
        if read_only is False:
            raise ValueError(
                f"a block of reader({self.alias!r}) is read-only: connections[{self.alias!r}].transaction() "
                "is one that writes"
            )
        return ReaderBlock(self, savepoint_name, isolation, deferrable)

    atomic = transaction

    def _refuse(self, call: str) -> NoReturn:
        raise InterfaceError(
            f"reader({self.alias!r}) is for reads: connections[{self.alias!r}].{call}() writes, on the primary"
        )

    async def execute_many(self, *args: Any, **options: Any) -> Any:
        """Refuse: it writes."""
        self._refuse("execute_many")

    async def copy_records(self, *args: Any, **options: Any) -> Any:
        """Refuse: it writes."""
        self._refuse("copy_records")

    async def ingest_arrow(self, *args: Any, **options: Any) -> Any:
        """Refuse: it writes."""
        self._refuse("ingest_arrow")

    async def _copy_in(self, sql: str, data: Any, timeout: float | None) -> Any:
        self._refuse("execute")

    def on_query(self, hook: Any) -> Any:
        """Have `hook` called for each call of the alias, whichever server it goes to."""
        return self._face.on_query(hook)

    def off_query(self, hook: "QueryHook") -> None:
        """Remove what `on_query` has added, once."""
        self._face.off_query(hook)


class _Steady(Database):
    """Reads that belong together, on one replica; where that is gone, the reader chooses again."""

    _reader: ReaderFace
    _node: "Node"
    _epoch: int

    @classmethod
    def of(cls, reader: ReaderFace, node: "Node", epoch: int) -> "_Steady":
        self = cls._beside(node.database)
        self._reader, self._node, self._epoch = reader, node, epoch
        return self

    async def _complete(  # noqa: PLR0917 - as the driver's
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        timeout: float | None,
        watch: "Watch | None" = None,
    ) -> "native.Request":
        arguments = (sql, args, shape, target, first, first_set, timeout, watch)
        try:
            request = await self._node.database._complete(*arguments)
        except Exception as error:
            if not await self._reader._goes_elsewhere(self._node, error, None):
                raise
            return await self._reader._complete(*arguments)
        if not request.failed:
            # As for the reader itself.
            return request if self._node.epoch == self._epoch else await self._reader._complete(*arguments)
        finished = Finished(request, NOBODY)
        if finished._error is None or not await self._reader._goes_elsewhere(
            self._node, finished._error, None
        ):
            return finished  # type: ignore[return-value]  # stands for it
        return await self._reader._complete(*arguments)


class ReaderBlock(TransactionBlock):
    """A read-only block of a reader: which server it is on is chosen when it is entered."""

    def __init__(
        self, reader: ReaderFace, savepoint_name: str | None, isolation: str | None, deferrable: bool | None
    ) -> None:
        # Checked now, begun later.
        super().__init__(reader, savepoint_name, isolation, True, deferrable)
        self._reader = reader
        self._arguments = (savepoint_name, isolation, deferrable)
        self._inner: TransactionBlock | None = None

    async def __aenter__(self) -> Self:
        """Choose a server and take a connection; a savepoint inside another block."""
        if self._inner is not None:
            raise InterfaceError("this transaction block is entered already: call transaction() for each")
        name, isolation, deferrable = self._arguments
        reader = self._reader
        if reader._current.get() is not None:
            self._inner = TransactionBlock(reader, name, isolation, None, deferrable)
        else:
            self._inner = await self._begun(name, isolation, deferrable)
            return self
        try:
            await self._inner.__aenter__()
        except BaseException:
            self._inner = None
            raise
        return self

    async def _begun(
        self, name: str | None, isolation: str | None, deferrable: bool | None
    ) -> TransactionBlock:
        """Begin on a server that is, with its connection, still the one that was chosen."""
        reader = self._reader
        tried = 0
        while True:
            node, _, epoch = await reader._node()
            block = TransactionBlock(reader._set.database_of(node), name, isolation, True, deferrable)
            is_last = tried == len(reader._set.nodes)
            try:
                await block.__aenter__()
            except Exception as error:
                if is_last or not await reader._goes_elsewhere(node, error, None):
                    raise
            else:
                if node.epoch == epoch or is_last:
                    return block
                await block.__aexit__(None, None, None)
            tried += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        assert self._inner is not None
        inner, self._inner = self._inner, None
        await inner.__aexit__(kind, error, traceback)

    def __call__(
        self, function: Callable[P, Coroutine[object, object, R]]
    ) -> Callable[P, Coroutine[object, object, R]]:
        """Run each call of a coroutine function in a block of its own."""

        @functools.wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            async with ReaderBlock(self._reader, *self._arguments):
                return await function(*args, **kwargs)

        return wrapper


class _route:  # noqa: N801 - used like a function
    """Say to those who watch why a call goes where it goes."""

    __slots__ = ("_token", "_value")

    def __init__(self, role: str, reason: str) -> None:
        self._value = (role, reason)

    def __enter__(self) -> None:
        self._token = routed.set(self._value)

    def __exit__(self, *_: object) -> None:
        routed.reset(self._token)


__all__ = ["ReaderFace"]
