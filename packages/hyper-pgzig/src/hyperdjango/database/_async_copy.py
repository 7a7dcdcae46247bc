"""COPY on an event loop: data in, records in, data out; on a connection that is the caller's alone.

Whatever ends a COPY IN early, a producer that raises as well as a cancellation, the backend is told to fail
it; what ends the reading of a COPY OUT cancels it. The connection is clean afterwards, or closed.
"""
# The reading of a COPY is a part of Database and uses what nobody else should:
# pyright: reportPrivateUsage=false

import asyncio
import contextlib
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from hyperdjango.database import _async_replies, _copy, _copy_source
from hyperdjango.database._copy import PART_SIZE, WANTS_DATA, Format, Reading, Table
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._slot import AGAIN, DONE, Slot, nobody_waits, time_is_over
from hyperdjango.database._watching import watched
from hyperdjango.database.errors import DatabaseError, DataError, QueryTimeout
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._async_blocks import AsyncBlocks
    from hyperdjango.database._native import native
    from hyperdjango.database._pinned import Pinned
    from hyperdjango.database.transaction import Transaction

T = TypeVar("T")

# Records of an async iterable that are gathered before they are encoded.
_GATHERED: Final = 256


class Limit:
    """The time of a call of several steps.

    Attributes:
        slot: The connection that it runs on, once it has one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, deadline: float | None) -> None:
        self.slot: Slot | None = None
        self._loop = loop
        self._deadline = deadline

    def check(self) -> None:
        """See that there is time left, where the loop may have had no turn to say so."""
        if self._deadline is not None and self._loop.time() > self._deadline:
            raise _TimeIsOverError


class _TimeIsOverError(TimeoutError):
    """Not what somebody's data raises."""


@asynccontextmanager
async def limit(timeout: float | None) -> AsyncGenerator[Limit, None]:
    """Bound a call of several steps.

    Raises:
        QueryTimeout: The time has passed.
    """
    loop = asyncio.get_running_loop()
    deadline = deadline_after(loop.time(), timeout)
    scope = asyncio.timeout_at(deadline)
    limited = Limit(loop, deadline)
    try:
        async with scope:
            yield limited
    except TimeoutError as error:
        if not scope.expired() and type(error) is not _TimeIsOverError:
            raise
        if limited.slot is not None:
            raise time_is_over(limited.slot) from None
        raise QueryTimeout("the call's timeout has passed while all connections were busy") from None


@asynccontextmanager
async def _copying(  # noqa: PLR0917 - ours alone
    slot: Slot,
    sql: str,
    pinned: "Pinned | None",
    limited: "Limit | None",
    relation: str | None,
    first_set: int | None = None,
) -> AsyncGenerator["native.Request", None]:
    """Begin a COPY IN, and end it after the body has fed it.

    Raises:
        DatabaseError: The backend has refused it, or a row of it.
    """
    connection = slot.connection
    request = connection.copy_in(sql)
    is_first = pinned is not None and pinned.sent()
    try:
        if await _async_replies.step(slot) == WANTS_DATA:
            yield request
            if limited is not None:
                limited.check()
            progress = connection.end_copy()
            if progress != DONE:
                await _async_replies.step(slot, progress)
        else:
            yield request  # it has failed: the body sees it
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            slot.close()  # the coroutine was thrown away: it must not wait any more
        elif connection.busy and not connection.closed:
            await _async_replies.abandon(slot, request)
        if is_first:
            assert pinned is not None
            pinned.check_begun()
        raise
    if is_first and request.failed:
        assert pinned is not None
        pinned.check_begun()
    try:
        request.result()
    except DatabaseError as error:
        _copy.note_place(error, relation, first_set)
        raise


async def _go_on(slot: Slot, progress: int) -> bool:
    """Wait until more data is taken. False: the COPY has ended."""
    if progress == WANTS_DATA:
        state = _async_replies.current()
        if state.is_turn_due():
            await _async_replies.turn()
        return True
    return progress != DONE and await _async_replies.step(slot, progress) != DONE


async def copy_in(
    slot: Slot,
    sql: str,
    pieces: AsyncGenerator[_copy_source.Piece, None],
    pinned: "Pinned | None",
    limited: Limit,
    *,
    relation: str | None = None,
) -> "native.Request":
    """Run a COPY FROM STDIN and return its finished request.

    `relation`: the table's name, where each line is a record, counted from 0.
    """
    connection = slot.connection
    async with aclosing(pieces), _copying(slot, sql, pinned, limited, relation) as request:
        if not request.done:
            async for piece in pieces:
                if not await _go_on(slot, connection.feed(piece)):
                    break
    return request


async def copy_records(
    transaction: "Transaction",
    table: Table,
    records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
    form: Format | None,
    limited: Limit,
) -> "native.Request":
    """Copy Python rows into a table and return the finished request."""
    limited.slot = transaction.slot
    described = await transaction.describe(table.describing())
    chosen = _copy.format_of(described, form)
    is_binary = chosen == "binary"
    async with (
        transaction.moving() as slot,
        _copying(slot, table.copying(chosen), transaction, limited, table.relation) as request,
    ):
        if not request.done:
            if isinstance(records, AsyncIterable):
                async with aclosing(_gathered(records)) as lists:
                    async for some in lists:
                        if not await _feed(slot, iter(some), described, is_binary=is_binary):
                            break
            else:
                await _feed(slot, iter(records), described, is_binary=is_binary)
    return request


async def copy_batch(
    slot: Slot, table: Table, batch: Sequence[object], described: "native.Request", first_set: int
) -> "native.Request":
    """Copy sets of `execute_many`, up to the first that binary format does not take."""
    sql = table.copying("binary")
    async with _copying(slot, sql, None, None, table.relation, first_set) as request:
        if not request.done:
            with contextlib.suppress(DataError):  # whoever goes on with that set raises it, where it is one
                await _feed(slot, iter(batch), described, is_binary=True)
    return request


async def _feed(
    slot: Slot, iterator: Iterator[object], described: "native.Request", *, is_binary: bool
) -> bool:
    """Feed all that an iterator gives. False: the COPY has ended."""
    connection = slot.connection
    while True:
        is_over = connection.feed_records(iterator, described, is_binary)
        progress = connection.progress
        if is_over and progress == WANTS_DATA:
            return True
        if progress == AGAIN:
            await _async_replies.turn()
            if is_over:
                return True
        elif not await _go_on(slot, progress):
            return False
        elif is_over:
            return True


async def _gathered(records: AsyncIterable[T]) -> AsyncGenerator[list[T], None]:
    some: list[T] = []
    async for record in records:
        some.append(record)
        if len(some) == _GATHERED:
            yield some
            some = []
    yield some  # an empty one too: the header of a COPY without records


async def _read(face: "AsyncBlocks", reading: Reading) -> AsyncGenerator[Any, None]:
    """Yield bytes as they come, whole rows in each, or the rows one by one.

    One generator and no other inside of it: one that is dropped is closed by its loop, each by itself.
    """
    is_inside = face.in_transaction()
    with watched(face, "copy_out", reading.sql) as watch:
        async with face._transaction_of_own(reading.timeout) as transaction:
            watch.has(transaction.slot)
            described = await _describe(transaction, reading) if reading.has_rows else None
            async with transaction.moving(reading) as slot:
                connection = slot.connection
                request = connection.copy_out(
                    reading.sql, described, reading.shape, reading.target, PART_SIZE
                )
                is_first = transaction.sent()
                try:
                    progress = connection.progress
                    while not request.done:
                        async with limit(reading.timeout) as limited:
                            limited.slot = slot
                            await _async_replies.step(slot, progress)
                        progress = AGAIN
                        part = connection.take_part(request)
                        if reading.has_rows:
                            for row in part or ():
                                yield row
                        elif part:
                            yield part
                except BaseException as error:
                    if not request.done and not connection.closed:
                        spare = is_inside and reading.is_spared and isinstance(error, GeneratorExit)
                        await _stop(slot, request, spare=spare)
                    if is_first:
                        transaction.check_begun()
                    raise
                if is_first and request.failed:
                    transaction.check_begun()
                request.result()
                watch.heard(request)
                reading.status = CommandStatus(request.tag, request.affected)


async def _describe(transaction: "Transaction", reading: Reading) -> "native.Request":
    query = _copy.rows_source(reading.text)
    if query is None:
        looked_up = await transaction.complete(*_copy.lookup(reading.text.target), None)
        query = Table.of(reading.text.target, looked_up.result(), None).describing()
    return await transaction.describe(query)


async def _stop(slot: Slot, request: "native.Request", *, spare: bool) -> None:
    """End the reading early: cancel the rest, or to spare the transaction read and drop it."""
    if not spare:
        await _async_replies.abandon(slot, request)
        return
    slot.connection.drop(request, nobody_waits())
    await _async_replies.drain(slot, progress=AGAIN)


class CopyOut(Generic[T]):
    """The data of a COPY TO STDOUT: `async for part in …`, or `await ….write_to(file)`. To be read once.

    As an async context manager it ends when the block does; left early without that, a moment later.
    """

    def __init__(
        self, face: "AsyncBlocks", sql: str, into: Callable[..., Any] | None, timeout: float | None
    ) -> None:
        self._reading = Reading(sql, into, timeout)
        self._items = _read(face, self._reading)
        self._reading.items = weakref.ref(self._items)

    @property
    def status(self) -> CommandStatus | None:
        """The outcome, once all is read; else None."""
        return self._reading.status

    def __aiter__(self) -> AsyncIterator[T]:
        """Give the rows one by one, or the bytes as they come: whole rows in each."""
        self._reading.begin()
        return self._items

    async def write_to(self, file: Any) -> CommandStatus:
        """Write all of it to a file and return the outcome.

        Args:
            file: Open for writing, in binary or text mode; `write` may be a coroutine function. One that
                blocks is written to in a thread.
        Raises:
            TypeError: With `into=` there are rows and no bytes.
            InterfaceError: It was read already, or a part of it.
        """
        self._reading.check_bytes()
        self._reading.begin()
        is_text = _copy_source.is_text_file(file)
        async with aclosing(self._items) as parts:
            async for part in parts:
                try:
                    await _copy_source.write_async(file, part, is_text=is_text)
                except BaseException:
                    self._reading.is_spared = False
                    raise
        return self._reading.outcome()

    async def __aenter__(self) -> Self:
        """Give the object itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop reading."""
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading; the backend is told so. Any number of calls."""
        await self._items.aclose()
