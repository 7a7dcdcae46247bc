"""`execute_many`: sets of values in batches, each sent in one piece, and the total of what they did."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

from hyperdjango.database._watching import Watch
from hyperdjango.database.errors import DatabaseError, Error
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native

# Sets per batch: enough that a round trip costs little, few enough that memory stays small.
BATCH_SIZE: Final = 500

Batch = tuple[tuple[object, ...], ...]


def checked(values: object) -> tuple[object, ...]:
    """Return one set of values as a tuple.

    Raises:
        TypeError: It is no sequence of values; a str is a value, not a sequence of them.
    """
    if isinstance(values, tuple):
        return cast("tuple[object, ...]", values)
    if isinstance(values, (str, bytes, bytearray)) or not isinstance(values, Sequence):
        raise TypeError(f"each set of values must be a sequence of values, not {type(values).__name__}")
    return tuple(cast("Sequence[object]", values))


def batches(rows: Iterable[Sequence[object]]) -> Iterator[Batch]:
    """Yield the sets of `rows` in batches."""
    sets = iter(rows)
    while batch := tuple(map(checked, islice(sets, BATCH_SIZE))):
        yield batch


async def of(rows: Iterable[Sequence[object]]) -> AsyncIterator[Batch]:
    """As `batches`, for the asyncio face."""
    for batch in batches(rows):
        yield batch


async def of_async(rows: AsyncIterable[Sequence[object]]) -> AsyncIterator[Batch]:
    """As `batches`, from an async iterable."""
    pending: list[tuple[object, ...]] = []
    async for values in rows:
        pending.append(checked(values))
        if len(pending) == BATCH_SIZE:
            yield tuple(pending)
            pending = []
    if pending:
        yield tuple(pending)


class Total:
    """What the batches did so far."""

    def __init__(self, sql: str, watch: Watch) -> None:
        self._watch = watch
        watch.batch_size = 0
        self._tag = sql.split(None, 1)[0].upper() if sql.strip() else ""
        self._rows = 0
        self._sets = 0

    @property
    def sets(self) -> int:
        """How many sets have run: the number of the first one of the next batch."""
        return self._sets

    def add(self, request: "native.Request") -> None:
        """Count one batch in."""
        self._tag = request.tag
        self._rows += request.affected
        self._sets += request.completed
        self._watch.heard(request)
        self._watch.batch_size = self._sets

    def status(self) -> CommandStatus:
        """The command with the total of rows."""
        return CommandStatus(self._tag, self._rows)


def finish(request: "native.Request", first_set: int | None) -> None:
    """Raise what went wrong with a finished command; for a batch a note says with which set.

    Raises:
        Error: What the backend, the network or the driver reported.
    """
    try:
        request.result()
    except Error as error:
        # The driver's own errors about a value name the set themselves.
        if first_set is not None and isinstance(error, DatabaseError) and error.sqlstate is not None:
            error.add_note(f"in set {first_set + request.completed} of execute_many, counted from 0")
        raise
