"""`execute_many`: sets of values in batches, and the total of what they did. Used by both faces."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from hyperdjango.database import _shape
from hyperdjango.database._watching import Watch
from hyperdjango.database.errors import DatabaseError, Error
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native

# Sets that are taken from their iterable at a time; alone, they go out in one piece.
BATCH_SIZE: Final = 500
# Fewer where the first of them is long: a batch is in memory as a whole.
_BATCH_BYTES: Final = 1 << 20

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


def _count_for(values: tuple[object, ...]) -> int:
    """How many sets to take, of which this is the first."""
    size = sum(len(value) for value in values if isinstance(value, (str, bytes, bytearray)))
    return BATCH_SIZE if size * BATCH_SIZE <= _BATCH_BYTES else max(1, _BATCH_BYTES // size)


def batches(rows: Iterable[Sequence[object]]) -> Iterator[Batch]:
    """Yield the sets of `rows` in batches."""
    sets = iter(rows)
    for first in sets:
        values = checked(first)
        yield (values, *map(checked, islice(sets, _count_for(values) - 1)))


async def of(rows: Iterable[Sequence[object]]) -> AsyncIterator[Batch]:
    """As `batches`, for the asyncio face."""
    for batch in batches(rows):
        yield batch


async def of_async(rows: AsyncIterable[Sequence[object]]) -> AsyncIterator[Batch]:
    """As `batches`, from an async iterable."""
    pending: list[tuple[object, ...]] = []
    count = 0
    async for values in rows:
        pending.append(checked(values))
        count = count or _count_for(pending[0])
        if len(pending) == count:
            yield tuple(pending)
            pending = []
            count = 0
    if pending:
        yield tuple(pending)


class Asked(NamedTuple):
    """What runs for each set, and what its rows become."""

    sql: str
    shape: int
    target: Any


def asked(sql: str, into: Callable[..., Any], *, returning: bool) -> Asked:
    """Return the statement with its sink.

    Raises:
        TypeError: `into` is nothing that can be filled, or the rows are not asked for.
    """
    if returning:
        return Asked(sql, *_shape.shape_of(into))
    if into is not dict:
        raise TypeError("into= says what the rows become: it goes with returning=True")
    return Asked(sql, _shape.DISCARD, None)


def asked_for(
    asked: Asked, batch: Batch, first_set: int
) -> tuple[str, Batch, int, Any, Literal[False], int, None]:
    """Return the arguments of `_complete` for one batch by itself."""
    return asked.sql, batch, asked.shape, asked.target, False, first_set, None


class Total:
    """What was done so far.

    Attributes:
        rows: What the sets gave, in order, where that is wanted.
        watch: What reports the call.
    """

    def __init__(self, sql: str, watch: Watch) -> None:
        self.rows: list[Any] = []
        self.watch = watch
        watch.batch_size = 0
        self._tag = sql.split(None, 1)[0].upper() if sql.strip() else ""
        self._affected = 0
        self._sets = 0

    @property
    def sets(self) -> int:
        """How many sets have run: the number of the first one of the next batch."""
        return self._sets

    def add(self, request: "native.Request") -> None:
        """Count a finished request in.

        Raises:
            Error: What the backend, the network or the driver reported; for an error of the backend's a note
                says with which set.
        """
        rows = finish(request, self._sets)
        if rows is not None:
            # The first list is taken as it is: mostly it is the only one.
            if self.rows:
                self.rows.extend(rows)
            else:
                self.rows = rows
        self._tag = request.tag
        self._affected += request.affected
        self._sets += request.completed
        self.watch.heard(request)
        self.watch.batch_size = self._sets

    def add_copied(self, request: "native.Request") -> None:
        """Count sets in that went by COPY."""
        self._affected += request.affected
        self._sets += request.records
        self.watch.heard(request)
        self.watch.tag = self._tag
        self.watch.batch_size = self._sets

    def status(self) -> CommandStatus:
        """The command with the total of rows."""
        return CommandStatus(self._tag, self._affected)


def finish(request: "native.Request", first_set: int | None) -> Any:
    """Return what a finished command gave, or raise what went wrong; for a batch a note says with which set.

    Raises:
        Error: What the backend, the network or the driver reported.
    """
    try:
        return request.result()
    except Error as error:
        # The driver's own errors about a value name the set themselves.
        if first_set is not None and isinstance(error, DatabaseError) and error.sqlstate is not None:
            error.add_note(f"in set {first_set + request.completed} of execute_many, counted from 0")
        raise
