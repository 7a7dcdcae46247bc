"""Transaction blocks of the asyncio face.

The current transaction lives in a ContextVar of its Database: a task that is started inside the block
inherits it, another thread does not.
PostgreSQL docs: sql-begin, sql-savepoint, tutorial-transactions.
"""
# A block is one half of Database and uses what nobody else should:
# pyright: reportPrivateUsage=false

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final, ParamSpec, Self, TypeVar

from hyperdjango.database import _async_replies
from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.database._slot import Slot
from hyperdjango.database.errors import (
    InFailedSqlTransaction,
    InterfaceError,
    QueryTimeout,
    TransactionClosed,
)

if TYPE_CHECKING:
    from contextvars import Token

    from hyperdjango.database._native import native
    from hyperdjango.database.client import Database

P = ParamSpec("P")
R = TypeVar("R")

_ISOLATION_LEVELS: Final = frozenset(
    {"read uncommitted", "read committed", "repeatable read", "serializable"}
)


def begin_sql(isolation: str | None, read_only: bool | None, deferrable: bool | None) -> str:
    """Return the BEGIN with these modes.

    Raises:
        ValueError: No such isolation level.
    """
    modes: list[str] = []
    if isolation is not None:
        level = " ".join(isolation.lower().replace("_", " ").split())
        if level not in _ISOLATION_LEVELS:
            raise ValueError(
                f"isolation must be one of {', '.join(sorted(_ISOLATION_LEVELS))}, not {isolation!r}"
            )
        modes.append(f"ISOLATION LEVEL {level.upper()}")
    if read_only is not None:
        modes.append("READ ONLY" if read_only else "READ WRITE")
    if deferrable is not None:
        modes.append("DEFERRABLE" if deferrable else "NOT DEFERRABLE")
    return " ".join(["BEGIN", *modes])


def check_open(slot: Slot) -> None:
    """Raise when a statement of the block has ended the block's transaction.

    Raises:
        InterfaceError: It has.
    """
    if slot.connection.transaction_status == "I":
        raise InterfaceError(
            "a COMMIT or ROLLBACK inside the block has ended its transaction; "
            "the statements after it were not part of it"
        )


def check_committed(tag: str) -> None:
    """Raise when a COMMIT was answered with another command tag than its own.

    Raises:
        InFailedSqlTransaction: A statement had failed, so the backend rolled back instead.
    """
    if tag != "COMMIT":
        raise InFailedSqlTransaction(
            f"the transaction was not committed: the server answered COMMIT with {tag}, "
            "because a statement in it had failed",
            sqlstate="25P02",
        )


class Transaction:
    """An open transaction and the connection it is pinned to."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        # Statements of child tasks queue here, in order of arrival.
        self._lock = asyncio.Lock()
        self.depth = 1
        self.is_closed = False

    @asynccontextmanager
    async def slot(self, deadline: float | None = None) -> AsyncGenerator[Slot, None]:
        """Have the connection for one statement.

        Args:
            deadline: Of the wait for the other tasks' statements, by the loop's clock; None is no limit.
        Raises:
            TransactionClosed: The block has ended.
            QueryTimeout: The deadline has passed; nothing was sent.
        """
        limit = asyncio.timeout_at(deadline if self._lock.locked() else None)
        try:
            async with limit:
                await self._lock.acquire()
        except TimeoutError:
            raise QueryTimeout(
                "the call's timeout has passed while other tasks had the transaction's connection"
            ) from None
        try:
            if self.is_closed:
                raise TransactionClosed
            yield self._slot
        finally:
            self._lock.release()

    async def complete(  # noqa: PLR0917 - ours alone; a keyword costs time on the hot path
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
    ) -> "native.Request":
        """Run one statement on the pinned connection and return its finished request."""
        async with self.slot(deadline) as slot:
            connection = slot.connection
            request = connection.submit(sql, args, shape, target, first, first_set)
            if not _async_replies.look(connection):
                await _async_replies.complete(slot, request, deadline)
            return request

    async def run(self, sql: str) -> str:
        """Run a transaction command and return its tag."""
        async with self.slot() as slot:
            return await _async_replies.run(slot, sql)

    async def close(self) -> Slot:
        """Let no statement follow those that wait already, and return the connection."""
        async with self._lock:
            self.is_closed = True
            return self._slot

    async def give_up(self) -> Slot:
        """Let no statement follow the one that runs, and return the connection."""
        self.is_closed = True
        return await self.close()

    def take(self) -> Slot:
        """Return the connection, whoever uses it: it is to be closed."""
        self.is_closed = True
        return self._slot


class TransactionBlock:
    """What `Database.transaction()` returns: an async context manager, entered once, and a decorator."""

    def __init__(
        self,
        database: "Database",
        savepoint_name: str | None,
        isolation: str | None,
        read_only: bool | None,
        deferrable: bool | None,
    ) -> None:
        self._database = database
        self._savepoint_name = savepoint_name
        self._begin = begin_sql(isolation, read_only, deferrable)
        self._transaction: Transaction | None = None
        self._savepoint: str | None = None
        self._token: Token[Transaction | None] | None = None

    async def __aenter__(self) -> Self:
        """BEGIN, or SAVEPOINT inside another block."""
        if self._transaction is not None:
            raise InterfaceError("this transaction block is entered already: call transaction() for each")
        current = self._database._current
        outer = current.get()
        if outer is not None:
            if self._begin != "BEGIN":
                raise InterfaceError("isolation, read_only and deferrable belong to the outermost block")
            name = self._savepoint_name or f"sp_{outer.depth + 1}"
            self._savepoint = quote_identifier(name)
            await outer.run(f"SAVEPOINT {self._savepoint}")
            outer.depth += 1
            self._transaction = outer
            return self
        slot = await self._database._acquire(None)
        try:
            await _async_replies.run(slot, self._begin)
        except BaseException:
            await self._database._release(slot, is_block=True)
            raise
        self._transaction = Transaction(slot)
        self._token = current.set(self._transaction)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """COMMIT or ROLLBACK; RELEASE or ROLLBACK TO for a nested block."""
        transaction = self._transaction
        assert transaction is not None
        self._transaction = None
        if self._savepoint is not None:
            await self._end_savepoint(transaction, self._savepoint, failed=error is not None)
            return
        assert self._token is not None
        self._database._current.reset(self._token)
        try:
            slot = await transaction.close()
        except BaseException:
            # A task of the block still uses the connection, and nobody is left to wait for it.
            self._database._give_back_later(transaction)
            raise
        try:
            if slot.connection.closed:
                # Whoever lost the connection has said so; the transaction went with it.
                if error is None:
                    raise InFailedSqlTransaction(
                        "the transaction's connection was lost, nothing was committed"
                    )
                return
            if error is None:
                check_open(slot)
                check_committed(await _async_replies.run(slot, "COMMIT"))
            # Else `_release` rolls back: in any case before somebody else has the connection.
        finally:
            await self._database._release(slot, is_block=True)

    async def _end_savepoint(self, transaction: Transaction, savepoint: str, *, failed: bool) -> None:
        self._savepoint = None
        transaction.depth -= 1
        if not failed:
            await transaction.run(f"RELEASE SAVEPOINT {savepoint}")
            return
        async with transaction.slot() as slot:
            if not slot.connection.closed:
                await _async_replies.run(
                    slot, f"ROLLBACK TO SAVEPOINT {savepoint}; RELEASE SAVEPOINT {savepoint}"
                )

    def __call__(
        self, function: Callable[P, Coroutine[object, object, R]]
    ) -> Callable[P, Coroutine[object, object, R]]:
        """Run each call of a coroutine function in a block of its own."""
        arguments = (self._savepoint_name, self._begin)

        @functools.wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            block = TransactionBlock(self._database, arguments[0], None, None, None)
            block._begin = arguments[1]
            async with block:
                return await function(*args, **kwargs)

        return wrapper
