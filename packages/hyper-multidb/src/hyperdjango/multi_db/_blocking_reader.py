"""The blocking reader of an alias: each read on the server that may and should serve it, as `_reader` does on a loop.

Health, pins, positions and policy are those of the set. In a block everything runs where that was begun.
"""
# One half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from weakref import WeakKeyDictionary

from hyperdjango.database import SyncDatabase
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._pinned import begin_sql
from hyperdjango.database._stream import CHUNK
from hyperdjango.database._watching import NOBODY, Finished, routed
from hyperdjango.database.errors import Error, InterfaceError
from hyperdjango.multi_db import scope as scopes
from hyperdjango.multi_db._blocking import BlockingPrimary, waits_for_primary
from hyperdjango.multi_db._moved import has_moved, is_conflict
from hyperdjango.multi_db._replica_set import IN_BLOCK, REPLICA

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.database._native import native
    from hyperdjango.database._pinned import Pinned
    from hyperdjango.database._pipeline import Query
    from hyperdjango.database._watching import Watch
    from hyperdjango.multi_db._node import Node
    from hyperdjango.multi_db._primary import PrimaryFace
    from hyperdjango.multi_db._replica_set import ReplicaSet
    from hyperdjango.multi_db._route import Route
    from hyperdjango.multi_db.scope import Scope

T = TypeVar("T")


class BlockingReader(SyncDatabase):
    """A SyncDatabase whose statements go to a replica or to the primary, one by one."""

    _face: "PrimaryFace"
    _set: "ReplicaSet"
    _faces: "dict[Database, SyncDatabase]"
    _blocks: "WeakKeyDictionary[Pinned, Node]"

    @classmethod
    def of(cls, face: "PrimaryFace") -> "BlockingReader":
        """Make the blocking reader of a set; what it does not send elsewhere runs on the primary."""
        self = cls.over(face._pool, face._settings, opens_on_use=face._opens_on_use)
        self.alias, self.role = face.alias, face.role
        self._face, self._set = face, face._set
        self._faces, self._blocks = {}, WeakKeyDictionary()
        return self

    # The choice

    def _node(self, deadline: float | None) -> "tuple[Node, str, int]":
        """Choose a server: which one, why, and the epoch in which that is so."""
        replica_set, scope = self._set, scopes.current.get()
        while True:
            route = replica_set.route(scope) or settle(replica_set, scope, deadline)
            taken = replica_set.take(route)
            if taken is not None:
                node, epoch = taken
                return node, route.reason, epoch

    def _database_of(self, node: "Node") -> SyncDatabase:
        """The blocking face of a server. It knows the blocks that are begun here."""
        database = self._set.database_of(node)
        found = self._faces.get(database)
        if found is None:
            found = database.sync
            found._current = self._current
            self._faces[database] = found
        found.role, found.reason = database.role, REPLICA
        return found

    def _goes_elsewhere(self, node: "Node", error: BaseException, deadline: float | None) -> bool:
        """Whether a read that failed so is asked again; as the asyncio reader."""
        if is_conflict(error):
            return True
        if not has_moved(error) or getattr(error, "sqlstate", None) == "25006":
            return False  # it was no read
        if node is not self._set.primary:
            self._set.note_failure(node, error)
            return True
        self._face._heard(error)
        return waits_for_primary(self._set, deadline)

    def _somewhere(self, read: Callable[[SyncDatabase, float | None], T], deadline: float | None) -> T:
        """Read on a server that is, at the end, still the one that was chosen."""
        count = len(self._set.nodes)
        for tried in range(count + 1):
            node, reason, epoch = self._node(deadline)
            try:
                with self._reading(node, reason):
                    found = read(self._database_of(node), deadline)
            except Exception as error:
                if tried == count or not self._goes_elsewhere(node, error, deadline):
                    raise
            else:
                # Of another epoch it is the answer of another server.
                if tried == count or not self._is_to_repeat(node, epoch, found, deadline):
                    return found
            self._set.repeated_reads += 1
        raise AssertionError  # the last attempt has returned or raised

    def _is_to_repeat(self, node: "Node", epoch: int, found: object, deadline: float | None) -> bool:
        error = found._error if isinstance(found, Finished) else None
        return node.epoch != epoch if error is None else self._goes_elsewhere(node, error, deadline)

    @contextmanager
    def _reading(self, node: "Node", reason: str) -> Generator[None, None, None]:
        node.in_flight += 1
        try:
            with self._said(node, reason):
                yield
        finally:
            node.in_flight -= 1

    @contextmanager
    def _said(self, node: "Node | None", reason: str) -> Generator[None, None, None]:
        """Say to those who watch why a call goes where it goes."""
        before = routed.get()
        routed.set(("primary" if node is None or node is self._set.primary else "replica", reason))
        try:
            yield
        finally:
            routed.set(before)

    # Calls

    def _complete(  # noqa: PLR0917 - as the driver's
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
        watch: "Watch | None" = None,
    ) -> "native.Request":
        transaction = self._current.get()
        if transaction is not None:
            with self._said(self._blocks.get(transaction), IN_BLOCK):
                return super()._complete(sql, args, shape, target, first, first_set, deadline, watch)

        def read(database: SyncDatabase, until: float | None) -> "native.Request":
            request = database._complete(sql, args, shape, target, first, first_set, until, watch)
            # Of a failed one the error decides whether it is asked again; it can be had once.
            return Finished(request, NOBODY) if request.failed else request  # type: ignore[return-value]

        return self._somewhere(read, deadline)

    def pipeline(
        self,
        queries: "Iterable[Query]",
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """Run several reads in one round trip, all on one server; as `Database.pipeline`."""
        if self._current.get() is not None:
            return super().pipeline(queries, return_exceptions=return_exceptions, timeout=timeout)
        several = list(queries)

        def read(database: SyncDatabase, until: float | None) -> list[Any]:
            left = None if until is None else max(0.001, until - time.monotonic())
            return database.pipeline(several, return_exceptions=return_exceptions, timeout=left)

        return self._somewhere(read, deadline_after(time.monotonic(), timeout))

    def stream(
        self,
        sql: str,
        *args: object,
        chunk: int = CHUNK,
        into: Callable[..., Any] = dict,
        timeout: float | None = None,
    ) -> Generator[Any, None, None]:
        """Yield the rows of one statement, all from one server; as `Database.stream`."""
        if self._current.get() is not None:
            yield from super().stream(sql, *args, chunk=chunk, into=into, timeout=timeout)
            return
        count = len(self._set.nodes)
        for tried in range(count + 1):
            node, reason, epoch = self._node(deadline_after(time.monotonic(), timeout))
            has_begun = False
            node.in_flight += 1
            try:
                with self._said(node, reason):
                    rows = self._database_of(node).stream(sql, *args, chunk=chunk, into=into, timeout=timeout)
                with closing(rows):
                    for row in rows:
                        # Once somebody has seen a row it is too late to choose again.
                        if not has_begun and node.epoch != epoch and tried < count:
                            break
                        has_begun = True
                        yield row
                    else:
                        if has_begun or node.epoch == epoch or tried == count:
                            return
            except Exception as error:
                if has_begun or tried == count or not self._goes_elsewhere(node, error, None):
                    raise
            finally:
                node.in_flight -= 1
            self._set.repeated_reads += 1

    def copy_out(self, sql: str, **options: Any) -> Any:
        """Read what a COPY gives, from the primary; in a block from its server. As `Database.copy_out`."""
        if self._current.get() is not None:
            return super().copy_out(sql, **options)
        return BlockingPrimary.of(self._face).copy_out(sql, **options)

    # Blocks

    @contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> Generator[None, None, None]:
        """A read-only block on one server, a replica where one may serve it; as `Database.transaction`.

        Raises:
            ValueError: `read_only` is False: what writes begins at the alias itself.
        """
        if read_only is False:
            raise ValueError(
                f"a block of reader({self.alias!r}) is read-only: connections[{self.alias!r}].sync.transaction() "
                "is one that writes"
            )
        begin = begin_sql(isolation, True if self._current.get() is None else None, deferrable)
        with self._block(savepoint_name, begin, None, is_reported=True):
            yield

    atomic = transaction

    @contextmanager
    def _block(
        self, savepoint_name: str | None, begin: str, deadline: float | None, *, is_reported: bool = False
    ) -> Generator[None, None, None]:
        if self._current.get() is not None:
            with super()._block(savepoint_name, begin, deadline, is_reported=is_reported):
                yield
            return
        with ExitStack() as stack:
            node = self._begun(stack, savepoint_name, begin, deadline, is_reported=is_reported)
            transaction = self._current.get()
            assert transaction is not None
            self._blocks[transaction] = node
            yield

    def _begun(
        self,
        stack: ExitStack,
        savepoint_name: str | None,
        begin: str,
        deadline: float | None,
        *,
        is_reported: bool,
    ) -> "Node":
        """Begin a block on a server that is, with its connection, still the one that was chosen."""
        tried, count = 0, len(self._set.nodes)
        while True:
            node, reason, epoch = self._node(deadline)
            block = self._database_of(node)._block(savepoint_name, begin, deadline, is_reported=is_reported)
            try:
                with self._said(node, reason):
                    stack.enter_context(block)
            except Exception as error:
                if tried == count or not self._goes_elsewhere(node, error, deadline):
                    raise
            else:
                if node.epoch == epoch or tried == count:
                    return node
                stack.close()
            tried += 1

    # What writes

    def _refuse(self, call: str) -> NoReturn:
        raise InterfaceError(
            f"reader({self.alias!r}) is for reads: connections[{self.alias!r}].sync.{call}() writes, on the primary"
        )

    def execute_many(self, *args: Any, **options: Any) -> Any:
        """Refuse: it writes."""
        self._refuse("execute_many")

    def copy_records(self, *args: Any, **options: Any) -> Any:
        """Refuse: it writes."""
        self._refuse("copy_records")

    def ingest_arrow(self, *args: Any, **options: Any) -> Any:
        """Refuse: it writes."""
        self._refuse("ingest_arrow")

    def _copy_in(self, sql: str, data: Any, timeout: float | None) -> Any:
        self._refuse("execute")


def settle(replica_set: "ReplicaSet", scope: "Scope", deadline: float | None) -> "Route":
    """As `ReplicaSet.settle`, for a thread without an event loop; the deadline is by time.monotonic."""
    mark = scope.in_doubt.get(replica_set.alias)
    if mark is not None or replica_set.is_of_before(scope):
        assert replica_set.face is not None
        left = None if deadline is None else max(0.001, deadline - time.monotonic())
        try:
            asked = replica_set.face.position_blocking(left)
        except (Error, OSError):
            return replica_set.behind()
        scope.settle(replica_set.alias, mark, asked)
        route = replica_set.route(scope)
        if route is not None:
            return route
    hope = replica_set.hope(scope, None if deadline is None else deadline - time.monotonic())
    if hope is None:
        return replica_set.behind()
    node, position, seconds = hope
    return (
        replica_set.waited(node, position)
        if node.wait_for_blocking(position, seconds)
        else replica_set.gave_up()
    )


__all__ = ["BlockingReader"]
