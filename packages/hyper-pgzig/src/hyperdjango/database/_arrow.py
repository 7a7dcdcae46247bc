"""Arrow data on its way into a table, for both faces: which column goes where, and the pieces of the COPY.

Called by `ingest_arrow`. Arrow docs: "The Arrow PyCapsule Interface"; PostgreSQL docs: sql-copy.
"""

import asyncio
import difflib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hyperdjango.database._copy import Format, Table
from hyperdjango.database._copy_source import PIECE_SIZE
from hyperdjango.database._native import native
from hyperdjango.database.errors import DataError, UndefinedColumn

if TYPE_CHECKING:
    from hyperdjango.database._native import native as native_types

Columns = Sequence[str] | Mapping[str, str]


@runtime_checkable
class ArrowSource(Protocol):
    """What has columns to give: a pyarrow Table, a polars or pandas DataFrame, what `query_arrow` gives."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return a capsule with an ArrowArrayStream."""
        ...


def rows_of(data: object) -> "native_types.ArrowRows":
    """Take over the stream that `data` gives.

    Raises:
        TypeError: It gives none.
        ValueError: What it gives is no Arrow stream.
        DataError: Its producer has failed.
    """
    if not isinstance(data, ArrowSource):
        raise TypeError(
            "the data must have __arrow_c_stream__, as tables and frames of Arrow have;"
            f" {type(data).__name__} has not"
        )
    return native.ArrowRows(data.__arrow_c_stream__())


def _wanted(names: Sequence[str], columns: Columns | None) -> Mapping[str, str]:
    """Return the names of the data's columns, and to which of the table's each goes."""
    if columns is None:
        return {name: name for name in names}
    if isinstance(columns, str):
        raise TypeError("columns must be a sequence of names or a mapping, not a str")
    wanted = columns if isinstance(columns, Mapping) else {name: name for name in columns}
    for name in wanted:
        if name not in names:
            raise DataError(f"the data has no column {name!r}{_nearest(name, names)}")
    return wanted


def _nearest(name: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def matched(table: Table, names: Sequence[str], columns: Columns | None) -> tuple[Table, tuple[int, ...]]:
    """Find the table's column for each of the data's.

    Args:
        table: With all of its columns.
        names: Of the data's columns.
        columns: Those that are wanted; a mapping says to which column of the table each goes.
    Returns:
        The table with the columns that are loaded, and for each of them its index in the data.
    Raises:
        DataError: Two columns have one name, there is none at all, or one that is wanted is missing.
        UndefinedColumn: The table has no such column, or it is a generated one.
    """
    wanted = _wanted(names, columns)
    for name in wanted:
        if names.count(name) > 1:
            raise DataError(f"the data has {names.count(name)} columns called {name!r}")
    for target in wanted.values():
        if target not in table.columns:
            raise UndefinedColumn(
                f"the table {table.name} has no column {target!r} that can be loaded"
                f"{_nearest(target, table.columns)}"
            )
    targets = list(wanted.values())
    for target in targets:
        if targets.count(target) > 1:
            raise DataError(f"two columns of the data go to the column {target!r}")
    if not wanted:
        raise DataError("the data has no columns")
    return Table(table.name, table.relation, targets), tuple(names.index(name) for name in wanted)


def bound(
    rows: "native_types.ArrowRows", described: "native_types.Request", indices: tuple[int, ...]
) -> Format:
    """Fit the data's columns to the table's, and return the format of the COPY.

    Raises:
        DataError: A column's type cannot be loaded into the table's; the message names it.
    """
    return "binary" if rows.bind(described, indices) else "text"


def _encoded(rows: "native_types.ArrowRows") -> Iterator[memoryview | bytes]:
    """Yield the batch that was read, in pieces."""
    while (piece := rows.encode(PIECE_SIZE)) is not None:
        if len(piece) <= 2 * PIECE_SIZE:
            yield piece
            continue
        view = memoryview(piece)
        for start in range(0, len(view), PIECE_SIZE):
            yield view[start : start + PIECE_SIZE]


def pieces(rows: "native_types.ArrowRows") -> Iterator[memoryview | bytes]:
    """Yield the data of the COPY, for the blocking face."""
    while rows.read():
        yield from _encoded(rows)
    yield rows.finish()


async def pieces_async(rows: "native_types.ArrowRows") -> AsyncGenerator[memoryview | bytes, None]:
    """As `pieces`, on an event loop. A producer may take its time over a batch: it does so in a thread."""
    while await asyncio.to_thread(rows.read):
        for piece in _encoded(rows):
            yield piece
    yield rows.finish()
