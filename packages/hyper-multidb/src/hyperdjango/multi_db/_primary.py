"""The primary face: the Database of an alias with replicas, wherever the primary is.

Takes down how far the log is behind each commit, in the same round trip, so that a reader can tell who has it.
"""
# One half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hyperdjango.database import Database, SyncDatabase, _async_copy, _async_replies, _pipeline, _shape
from hyperdjango.database._async_calls import AsyncCalls
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._pinned import check_committed
from hyperdjango.database._repeat import ATTEMPTS
from hyperdjango.database._watching import NOBODY, Finished, silently
from hyperdjango.database.errors import ConnectionFailed, ConnectionLost, Error
from hyperdjango.multi_db import _commits
from hyperdjango.multi_db import scope as scopes
from hyperdjango.multi_db._blocking import BlockingPrimary
from hyperdjango.multi_db._moved import has_moved
from hyperdjango.multi_db._probe import POSITION, POSITIONS
from hyperdjango.multi_db._replica_set import REPLICA, WRITE
from hyperdjango.multi_db.lsn import Position

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable

    from hyperdjango.database import _copy_source
    from hyperdjango.database._conninfo import ConnectParameters
    from hyperdjango.database._native import native
    from hyperdjango.database._pipeline import Query
    from hyperdjango.database._question import Question
    from hyperdjango.database._slot import Slot
    from hyperdjango.database._watching import QueryHook, Watch
    from hyperdjango.multi_db._node import Node
    from hyperdjango.multi_db._replica_set import ReplicaSet


def _taking_writes(parameters: "ConnectParameters") -> "ConnectParameters":
    """Return how to connect to a server, and be refused where it is a standby. It says so at start-up."""
    return replace(parameters, target_session_attrs="primary")


class PrimaryFace(Database):
    """A Database whose pool goes to the primary of a replica set.

    Attributes:
        plain: The same for reads.
    """

    role = "primary"
    reason = WRITE
    plain: Database
    _set: "ReplicaSet"

    @classmethod
    def of(cls, replica_set: "ReplicaSet", url: str, options: dict[str, Any]) -> "PrimaryFace":
        """Make the face of a set whose primary is at `url`, until it moves."""
        self = cls(url, **options)
        self.alias = replica_set.alias
        self._set = replica_set
        self._current = replica_set.current
        self._pool.parameters = _taking_writes(self._pool.parameters)
        self.plain = Database._beside(self)
        self.plain.reason = REPLICA
        replica_set.face = self
        return self

    def move_to(self, node: "Node") -> None:
        """From now on the primary is here."""
        self._pool.renew(_taking_writes(node.database._pool.parameters))

    @property
    def sync(self) -> SyncDatabase:
        """The same pool for blocking callers; always the primary. As `Database.sync`."""
        return BlockingPrimary.of(self)

    def has_written(self) -> None:
        """Something may be written, without a word on how far the log is then."""
        self.has_written_by(scopes.current.get())

    def has_written_by(self, scope: "scopes.Scope") -> None:
        """As `has_written`, in a scope that need not be the running one."""
        if self._set.by_lsn:
            scope.doubt(self._set.alias)
        elif self._set.by_seconds is not None:
            scope.note_time(self._set.alias)

    # Calls

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
        if self._current.get() is not None:
            return await super()._complete(sql, args, shape, target, first, first_set, timeout, watch)
        if watch is None and self._pool.watchers:
            # Comes back here, watched.
            return await super()._complete(sql, args, shape, target, first, first_set, timeout, watch)
        self._set.routes[WRITE] += 1
        loop = asyncio.get_running_loop()
        deadline = deadline_after(loop.time(), timeout)
        item = _pipeline.Item(sql, args, shape, target, first, first_set)

        async def run() -> "native.Request":
            if self._set.by_lsn:
                return await self._followed(item, deadline, watch)
            left = None if deadline is None else max(0.001, deadline - loop.time())
            try:
                return await AsyncCalls._complete(
                    self, sql, args, shape, target, first, first_set, left, NOBODY if watch is None else watch
                )
            finally:
                self.has_written()

        request: native.Request = await self._on_primary(run, deadline)
        if request.failed:
            finished = Finished(request, NOBODY)
            if finished._error is not None:
                self._heard(finished._error)
            return finished  # type: ignore[return-value]  # stands for it
        return request

    async def _on_primary(self, run: "Callable[[], Any]", deadline: float | None) -> Any:
        """Do something once that sends nothing where there is no connection; then wait for a new primary."""
        try:
            return await run()
        except ConnectionFailed as error:
            seconds = self._set.options.failover_timeout
            if deadline is not None:
                seconds = min(seconds, deadline - asyncio.get_running_loop().time())
            self._heard(error)
            if seconds <= 0 or not has_moved(error) or not await self._set.find_primary(seconds):
                raise
        except Error as error:
            self._heard(error)
            raise
        return await run()

    async def _followed(
        self, item: _pipeline.Item, deadline: float | None, watch: "Watch | None"
    ) -> "native.Request":
        """Run a statement, a batch or a script and ask in the same flush how far the log is behind it."""
        scope = scopes.current.get()
        attempts = 0
        while True:
            question = _commits.question_behind([item.sql])
            slot = self._pool.take_idle() or await self._acquire_here(deadline)
            if watch is not None:
                watch.has(slot)
            attempts += 1
            try:
                if item.args is None and slot.connection.owed:
                    await _async_replies.run_owed(slot, deadline)
                request = await _pipeline.run_one(slot, item, deadline, question)
            except ConnectionLost:
                # It was found closed before the statement was sent.
                if question.is_behind or attempts == ATTEMPTS:
                    raise
                continue
            finally:
                try:
                    self.note(scope, question)
                finally:
                    await self._release(slot)
            if not (request.stale or request.undone) or attempts == ATTEMPTS:
                return request

    async def _acquire_here(self, deadline: float | None) -> "Slot":
        return await super()._acquire(deadline)

    async def _acquire(self, deadline: float | None, *, is_urgent: bool = False) -> "Slot":
        async def run() -> "Slot":
            return await AsyncCalls._acquire(self, deadline, is_urgent=is_urgent)

        slot: Slot = await self._on_primary(run, deadline)
        if self._set.by_lsn and (request := _commits.learn(slot.connection)) is not None:
            try:
                await _async_replies.complete(slot, request, deadline)
            except BaseException:
                await self._release(slot)
                raise
        return slot

    async def _commit(self, slot: "Slot", command: str = "COMMIT") -> None:
        """Send the COMMIT, or COMMIT PREPARED, and in the same flush ask how far the log is behind it."""
        self._set.routes[WRITE] += 1
        scope = scopes.current.get()
        alias = self._set.alias
        if not self._set.by_lsn:
            try:
                await super()._commit(slot, command)
            finally:
                # What was cancelled or lost may have happened all the same.
                if self._set.by_seconds is not None:
                    scope.note_time(alias)
            return
        try:
            request, asked = _commits.send(slot.connection, command)
            await _async_replies.drain(slot, yields=False)
            request.result()
            check_committed(request.tag, command)
        except BaseException:
            scope.doubt(alias)
            raise
        # It is committed, whatever becomes of the question; where there is no answer, the next read asks.
        position = _commits.position(request, await self._ask_first(slot) if asked is None else asked)
        if position is None:
            scope.doubt(alias)
        else:
            scope.note(alias, position)

    async def _ask_first(self, slot: "Slot") -> "native.Request | None":
        """Ask what the pool has not described yet, behind a COMMIT that is answered; None where that fails."""
        try:
            asked = slot.connection.submit(POSITIONS, (), _shape.VALUE, None, True, None)
            await _async_replies.complete(slot, asked)
        except Error:
            return None
        except BaseException:
            self.has_written()
            raise
        return asked

    async def position(self, timeout: float | None = None) -> Position:
        """Ask how far the log is."""
        with silently():  # it is nobody's call
            return Position.parse(await self.plain.query_val(POSITION, timeout=timeout))

    def position_blocking(self, timeout: float | None = None) -> Position:
        """As `position`, for a thread without an event loop."""
        with silently():
            return Position.parse(self.plain.sync.query_val(POSITION, timeout=timeout))

    async def pipeline(
        self,
        queries: "Iterable[Query]",
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """Run several statements in one round trip, on the primary; as `Database.pipeline`."""
        try:
            made = await super().pipeline(queries, return_exceptions=return_exceptions, timeout=timeout)
        except Error as error:
            self._heard(error)
            raise
        self._heard_among(made)
        return made

    def _heard_among(self, made: list[Any]) -> None:
        """Look at the errors among what a pipeline returns, as at those that are raised."""
        for each in made:
            if isinstance(each, Error):
                self._heard(each)

    async def _run_items(
        self, items: "list[_pipeline.Item]", deadline: float | None, watch: "Watch"
    ) -> "_pipeline.Outcomes":
        self._count()
        return await super()._run_items(items, deadline, watch)

    async def _run_alone(
        self, slot: "Slot", items: "list[_pipeline.Item]", deadline: float | None
    ) -> "_pipeline.Outcomes":
        with self.noting(item.sql for item in items) as question:
            return await _pipeline.run(slot, items, deadline, None, question)

    async def _copy_in(self, sql: str, data: Any, timeout: float | None) -> Any:
        if not self._set.by_lsn:  # else it is counted with its COMMIT
            self._count()
        try:
            return await super()._copy_in(sql, data, timeout)
        except Error as error:
            self._heard(error)
            raise

    async def _copy_alone(
        self,
        sql: str,
        pieces: "AsyncGenerator[_copy_source.Piece, None]",
        limited: "_async_copy.Limit",
        watch: "Watch",
    ) -> "native.Request":
        """As the driver's; with a COMMIT of its own, as poolers have lost what stood behind the end of a COPY."""
        if not self._set.by_lsn:
            try:
                return await super()._copy_alone(sql, pieces, limited, watch)
            finally:
                self.has_written()
        async with self._transaction_of_own(None) as transaction:
            watch.has(transaction.slot)
            async with transaction.moving() as slot:
                limited.slot = slot
                return await _async_copy.copy_in(slot, sql, pieces, transaction, limited)

    @contextmanager
    def noting(self, texts: "Iterable[str]") -> "Generator[Question | None, None, None]":
        """Take down how far the log is behind what the body runs outside of blocks, if it asks the question."""
        scope = scopes.current.get()
        question = _commits.question_behind(texts) if self._set.by_lsn else None
        try:
            yield question
        finally:
            self.note(scope, question)

    def note(self, scope: "scopes.Scope", question: "Question | None") -> None:
        """Take down what the answer is. Where there is none, what was sent may be written all the same."""
        if question is not None and not question.is_behind:
            return
        answer = question.answer if question is not None else None
        if answer is None:
            self.has_written_by(scope)
        else:
            scope.note(self._set.alias, Position.parse(answer))

    def _count(self) -> None:
        """A call goes to the primary; what is in a block counts once, when that commits."""
        if self._current.get() is None:
            self._set.routes[WRITE] += 1

    def _heard(self, error: BaseException) -> None:
        if has_moved(error):
            self._set.wake()

    # Watching

    def on_query(self, hook: "Any") -> Any:
        """Have `hook` called with a QueryEvent for each call, whichever server it goes to; as `Database.on_query`."""
        super().on_query(hook)
        for node in self._set.nodes:
            node.database.on_query(hook)
        return hook

    def off_query(self, hook: "QueryHook") -> None:
        """Remove what `on_query` has added, once; as `Database.off_query`."""
        super().off_query(hook)
        for node in self._set.nodes:
            node.database.off_query(hook)


__all__ = ["PrimaryFace"]
