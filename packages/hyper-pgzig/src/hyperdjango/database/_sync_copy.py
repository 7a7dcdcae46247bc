"""COPY by blocking: data in, records in, data out; as `_async_copy`."""
# The reading of a COPY is a part of SyncDatabase and uses what nobody else should:
# pyright: reportPrivateUsage=false

import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from hyperdjango.database import _copy, _copy_source, _sync_replies
from hyperdjango.database._copy import PART_SIZE, WANTS_DATA, Format, Reading, Table
from hyperdjango.database._deadline import deadline_after
from hyperdjango.database._slot import AGAIN, DONE, Slot, nobody_waits, time_is_over
from hyperdjango.database._watching import watched
from hyperdjango.database.errors import DatabaseError, DataError, InterfaceError
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database._pinned import Pinned
    from hyperdjango.database._sync_blocks import SyncBlocks

T = TypeVar("T")


@contextmanager
def _copying(  # noqa: PLR0917 - ours alone
    slot: Slot,
    sql: str,
    pinned: "Pinned | None",
    deadline: float | None,
    relation: str | None,
    first_set: int | None = None,
) -> Generator["native.Request", None, None]:
    """Begin a COPY IN, and end it after the body has fed it.

    Raises:
        DatabaseError: The backend has refused it, or a row of it.
        QueryTimeout: The deadline has passed.
    """
    connection = slot.connection
    request: native.Request | None = None
    is_first = False
    try:
        request = connection.copy_in(sql)
        is_first = pinned is not None and pinned.sent()
        if _sync_replies.step(slot, deadline) == WANTS_DATA:
            yield request
            _check_time(deadline)
            if connection.end_copy() != DONE:
                _sync_replies.step(slot, deadline)
        else:
            yield request  # it has failed: the body sees it
    except BaseException as error:
        # What was under way before is somebody else's. An interrupt may have robbed us of our own.
        is_ours = request is not None or not isinstance(error, Exception)
        if is_ours and connection.busy and not connection.closed:
            _sync_replies.recover(slot)
        if is_first and pinned is not None:
            pinned.check_begun()
        if type(error) is _sync_replies.TimeIsOverError:
            raise time_is_over(slot) from None
        raise
    if is_first and request.failed and pinned is not None:
        pinned.check_begun()
    try:
        request.result()
    except DatabaseError as error:
        _copy.note_place(error, relation, first_set)
        raise


def _check_time(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise _sync_replies.TimeIsOverError


def _goes_on(slot: Slot, progress: int, deadline: float | None) -> bool:
    """Wait until more data is taken. False: the COPY has ended."""
    _check_time(deadline)
    return progress == WANTS_DATA or (progress != DONE and _sync_replies.step(slot, deadline) != DONE)


def copy_in(
    slot: Slot,
    sql: str,
    pieces: Iterator[_copy_source.Piece],
    pinned: "Pinned | None",
    deadline: float | None,
    *,
    relation: str | None = None,
) -> "native.Request":
    """Run a COPY FROM STDIN and return its finished request.

    `relation`: the table's name, where each line is a record, counted from 0.
    """
    connection = slot.connection
    with _copying(slot, sql, pinned, deadline, relation) as request:
        if not request.done:
            for piece in pieces:
                if not _goes_on(slot, connection.feed(piece), deadline):
                    break
    return request


def describe(pinned: "Pinned", sql: str, deadline: float | None) -> "native.Request":
    """Learn the columns of a query, which is not run, and keep the locks that this takes."""
    slot = pinned.slot
    if slot.connection.busy:
        raise InterfaceError("another statement is under way on this connection")
    request = slot.connection.prepare(sql)
    slot.connection.push()
    answered(pinned, request, deadline)
    request.result()
    return request


def answered(pinned: "Pinned", request: "native.Request", deadline: float | None) -> bool:
    """Wait for a request that was sent just now. True: it is to be sent again."""
    is_first = pinned.sent()
    try:
        _sync_replies.complete(pinned.slot, request, deadline)
    except BaseException:
        if is_first:
            pinned.check_begun()
        raise
    return is_first and pinned.is_to_repeat(request)


def copy_records(
    pinned: "Pinned",
    table: Table,
    records: Iterable[Sequence[object]],
    form: Format | None,
    deadline: float | None,
) -> "native.Request":
    """Copy Python rows into a table and return the finished request. A transaction must be open."""
    described = describe(pinned, table.describing(), deadline)
    chosen = _copy.format_of(described, form)
    slot = pinned.slot
    with _copying(slot, table.copying(chosen), pinned, deadline, table.relation) as request:
        if not request.done:
            _feed(slot, iter(records), described, deadline, is_binary=chosen == "binary")
    return request


def copy_batch(  # noqa: PLR0917 - ours alone
    slot: Slot,
    table: Table,
    batch: Sequence[object],
    described: "native.Request",
    first_set: int,
    deadline: float | None,
) -> "native.Request":
    """Copy sets of `execute_many`; as `_async_copy.copy_batch`."""
    with _copying(slot, table.copying("binary"), None, deadline, table.relation, first_set) as request:
        if not request.done:
            with suppress(DataError):
                _feed(slot, iter(batch), described, deadline, is_binary=True)
    return request


def _feed(
    slot: Slot,
    iterator: Iterator[object],
    described: "native.Request",
    deadline: float | None,
    *,
    is_binary: bool,
) -> None:
    """Feed all that an iterator gives, or until the COPY has ended."""
    connection = slot.connection
    is_over = False
    while not is_over:
        is_over = connection.feed_records(iterator, described, is_binary)
        if connection.progress != AGAIN and not _goes_on(slot, connection.progress, deadline):
            break
        _goes_on(slot, WANTS_DATA, deadline)  # a slice was over: time may be, too


def _read(face: "SyncBlocks", reading: Reading) -> Generator[Any, None, None]:
    """Yield bytes as they come, whole rows in each, or the rows one by one."""
    is_inside = face.in_transaction()
    with (
        watched(face, "copy_out", reading.sql) as watch,
        face._transaction_of_own(deadline_after(time.monotonic(), reading.timeout)) as pinned,
    ):
        watch.has(pinned.slot)
        described = _describe(face, pinned, reading) if reading.has_rows else None
        slot = pinned.slot
        connection = slot.connection
        is_first = False
        request: native.Request | None = None
        try:
            request = connection.copy_out(reading.sql, described, reading.shape, reading.target, PART_SIZE)
            pinned.reading = reading
            is_first = pinned.sent()
            while not request.done:
                _sync_replies.step(slot, deadline_after(time.monotonic(), reading.timeout))
                part = connection.take_part(request)
                if reading.has_rows:
                    yield from part or ()
                elif part:
                    yield part
        except BaseException as error:
            if request is not None and not request.done:
                is_left = isinstance(error, GeneratorExit)
                _stop(slot, spare=is_inside and reading.is_spared and is_left, may_raise=is_left)
            if is_first:
                pinned.check_begun()
            if type(error) is _sync_replies.TimeIsOverError:
                raise time_is_over(slot) from None
            raise
        finally:
            if pinned.reading is reading:
                pinned.reading = None
        if is_first and request.failed:
            pinned.check_begun()
        request.result()
        watch.heard(request)
        reading.status = CommandStatus(request.tag, request.affected)


def _describe(face: "SyncBlocks", pinned: "Pinned", reading: Reading) -> "native.Request":
    deadline = deadline_after(time.monotonic(), reading.timeout)
    query = _copy.rows_source(reading.text)
    if query is None:
        looked_up = face._in_transaction(pinned, _copy.lookup(reading.text.target), deadline)
        query = Table.of(reading.text.target, looked_up.result(), None).describing()
    return describe(pinned, query, deadline)


def _stop(slot: Slot, *, spare: bool, may_raise: bool) -> None:
    """End the reading early: cancel the rest, or to spare the transaction read and drop it."""
    connection = slot.connection
    if not connection.busy or connection.closed:
        return
    if not spare:
        _sync_replies.recover(slot, may_raise=may_raise)
        return
    connection.drop(None, nobody_waits())
    _sync_replies.drain(slot)


def end_reading(pinned: "Pinned", *, failed: bool) -> None:
    """Stop the reading that was left: the block ends, too.

    Args:
        pinned: The block.
        failed: What it has done will be rolled back.
    """
    reading = pinned.reading
    items = None if reading is None else reading.items()
    if reading is not None and items is not None:
        reading.is_spared = not failed
        items.close()


class SyncCopyOut(Generic[T]):
    """The data of a COPY TO STDOUT, for blocking callers; as `CopyOut`."""

    def __init__(
        self, face: "SyncBlocks", sql: str, into: Callable[..., Any] | None, timeout: float | None
    ) -> None:
        self._reading = Reading(sql, into, timeout)
        self._items = _read(face, self._reading)
        self._reading.items = weakref.ref(self._items)

    @property
    def status(self) -> CommandStatus | None:
        """The outcome, once all is read; else None."""
        return self._reading.status

    def __iter__(self) -> Iterator[T]:
        """Give the rows one by one, or the bytes as they come: whole rows in each."""
        self._reading.begin()
        return self._items

    def write_to(self, file: Any) -> CommandStatus:
        """Write all of it to a file and return the outcome; as `CopyOut.write_to`."""
        self._reading.check_bytes()
        self._reading.begin()
        is_text = _copy_source.is_text_file(file)
        with closing(self._items) as parts:
            for part in parts:
                try:
                    _copy_source.write(file, part, is_text=is_text)
                except BaseException:
                    self._reading.is_spared = False
                    raise
        return self._reading.outcome()

    def __enter__(self) -> Self:
        """Give the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop reading."""
        self.close()

    def close(self) -> None:
        """Stop reading; the backend is told so. Any number of calls."""
        self._items.close()
