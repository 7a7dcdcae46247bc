"""Loaders over tables: `table_loader` and `group_loader`. Of this package it alone imports `database`.

A batch is one statement with one text, `… WHERE key = ANY($1)`, so it is prepared once. The rows come back as the
server finds them; the extension puts them in the order of the keys.
PostgreSQL docs: functions-comparisons, "ANY/SOME (array)".
"""

import re
from collections.abc import Callable, Hashable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, Unpack, cast, overload

from hyperdjango.database import Database, DataError, Row, quote_identifier
from hyperdjango.database._native import available, native
from hyperdjango.database._shape import shape_of
from hyperdjango.database._stages import RUNNING
from hyperdjango.dataloader._lane import Gated, source
from hyperdjango.dataloader._loader import DataLoader
from hyperdjango.dataloader._queue import Schedule
from hyperdjango.dataloader.errors import KeyMismatch, SeveralRows

if TYPE_CHECKING:
    from asyncio import Future

T = TypeVar("T")

source.running = RUNNING
if available():
    source.gate = native.Gate
    source.future = native.LoadFuture
    source.answer = native.answer
    source.all_wait = native.all_wait
    # The same method, which asks the gate before it is called; where it is asked for it is what it was.
    DataLoader.load = native.QuickLoad(DataLoader.load, vars(Gated)["_gate"])  # type: ignore[method-assign]

# The form of a text, of a time; a field's overflow; a number out of range.
_OF_TEXT: Final = frozenset({"22P02", "22007", "22008", "22003"})
_NAME: Final = re.compile(r'(?:"(?P<quoted>(?:[^"\0]|"")+)"|(?P<plain>[^".\s\0]+))(?P<dot>\.|$)')


class Options(TypedDict, total=False):
    """Those of DataLoader, as it has them."""

    max_batch_size: int | None
    cache_enabled: bool
    cache_key: "Callable[[Any], Hashable] | None"
    cache_map: "MutableMapping[Any, Future[Any]] | None"
    schedule: Schedule | None
    name: str | None


@overload
def table_loader(
    db: Database,
    table: str,
    key: str,
    *,
    columns: Sequence[str] | None = None,
    **options: Unpack[Options],
) -> DataLoader[Any, Row | None]: ...
@overload
def table_loader(
    db: Database,
    table: str,
    key: str,
    *,
    columns: Sequence[str] | None = None,
    into: type[T] | Callable[..., T],
    **options: Unpack[Options],
) -> DataLoader[Any, T | None]: ...
def table_loader(
    db: Database,
    table: str,
    key: str,
    *,
    columns: Sequence[str] | None = None,
    into: Callable[..., Any] = dict,
    **options: Unpack[Options],
) -> DataLoader[Any, Any]:
    """Load rows of a table by a column whose values are distinct, as its primary key.

    Args:
        db: A batch runs in the transaction block of this Database that its loads were made in.
        table: Its name as SQL has it: `"users"`, `"shop.users"`, `'"My Table"'`.
        key: The column of the keys, as it is called.
        columns: Those to fetch, the key's among them; None is all.
        into: What a row becomes, as for `Database.query`. A class needs an attribute for the key's column.
        options: Of DataLoader. `cache_key` is used for the rows' keys as well: `str.lower` for citext.
    Returns:
        A loader that gives a row, or None where there is none. A key of several rows is SeveralRows, and one
        that is no value of the column's type DataError; each alone, but a text that the server refuses fails all of
        its batch in a transaction, which has failed by it. Keys without rows are KeyMismatch where
        rows came whose own key equals none.
    Raises:
        ValueError: This cannot be the name of a table, or the key is not among the columns.
        TypeError: `db` is no Database, or `into` nothing that can be filled.
    """
    return _loader(db, table, key, columns, into, (), options, is_many=False)


@overload
def group_loader(
    db: Database,
    table: str,
    key: str,
    *,
    columns: Sequence[str] | None = None,
    order_by: str | Sequence[str] = (),
    **options: Unpack[Options],
) -> DataLoader[Any, list[Row]]: ...
@overload
def group_loader(
    db: Database,
    table: str,
    key: str,
    *,
    columns: Sequence[str] | None = None,
    into: type[T] | Callable[..., T],
    order_by: str | Sequence[str] = (),
    **options: Unpack[Options],
) -> DataLoader[Any, list[T]]: ...
def group_loader(
    db: Database,
    table: str,
    key: str,
    *,
    columns: Sequence[str] | None = None,
    into: Callable[..., Any] = dict,
    order_by: str | Sequence[str] = (),
    **options: Unpack[Options],
) -> DataLoader[Any, list[Any]]:
    """Load the rows of a table that have a key in common, as a foreign key.

    Args:
        db: As for `table_loader`, and so the next four.
        table: See there.
        key: See there.
        columns: See there.
        into: See there.
        order_by: A column, or several, that the rows of a key are in the order of; `"-created"` is descending.
            Without, they are in no order.
        options: Of DataLoader.
    Returns:
        A loader that gives a list of rows, which all callers of the key share.
    Raises:
        As `table_loader`.
    """
    order = (order_by,) if isinstance(order_by, str) else tuple(order_by)
    return _loader(db, table, key, columns, into, order, options, is_many=True)


def _loader(  # noqa: PLR0917 - what the two have in common
    db: Database,
    table: str,
    key: str,
    columns: Sequence[str] | None,
    into: Callable[..., Any],
    order: tuple[str, ...],
    options: Options,
    *,
    is_many: bool,
) -> DataLoader[Any, Any]:
    if not isinstance(cast("object", db), Database):
        raise TypeError(f"a loader needs a Database, not {type(db).__name__}")
    shape_of(into)
    column: str | int = key
    if into is tuple:
        if columns is None:
            raise ValueError("into=tuple needs columns=, which say where in a row its key stands")
        column = list(columns).index(key)
    name = options.get("name") or f"{table}.{key}"
    batch = _Batch(db, statement(table, key, columns, order), into, is_many=is_many)
    batch.says(name, table, key, column, options.get("cache_key"))
    options = {**options, "name": name}
    return DataLoader(batch, **options)


class _Batch:
    """The batch function of a table."""

    __qualname__ = "table"

    def __init__(self, db: Database, sql: str, into: Callable[..., Any], *, is_many: bool) -> None:
        self._db = db
        self._sql = sql
        self._into = into
        self._is_many = is_many

    def says(
        self, name: str, table: str, key: str, column: str | int, fold: Callable[[Any], Hashable] | None
    ) -> None:
        """Take down what rows are told apart by, and what errors call it all."""
        self._name = name
        self._table = table
        self._key = key
        self._column = column
        self._fold = fold

    async def __call__(self, keys: list[Any]) -> list[Any]:
        try:
            return await self._fetched(keys)
        except DataError as error:
            if error.sqlstate is not None and not self._may_repeat(error, keys):
                raise
            if len(keys) == 1:
                return [error]
        # A value that is none of the column's type: most are found before anything is sent.
        middle = len(keys) // 2
        return [*await self(keys[:middle]), *await self(keys[middle:])]

    @staticmethod
    def _may_repeat(error: DataError, keys: list[Any]) -> bool:
        """Whether the server has refused a key that was sent as text, outside of a transaction, which it has ended."""
        return error.sqlstate in _OF_TEXT and not RUNNING.get() and any(isinstance(key, str) for key in keys)

    async def _fetched(self, keys: list[Any]) -> list[Any]:
        wanted = [one for one in keys if one is not None]
        rows: list[Any] = await self._db.query(self._sql, wanted, into=self._into) if wanted else []
        if self._is_many:
            found: list[Any] = native.rows_of_each(rows, self._column, keys, self._fold)
            claimed = sum(map(len, found))
        else:
            found = native.row_of_each(rows, self._column, keys, self._fold, self._several)
            claimed = len(found) - found.count(None)
        # Of a key of several rows more may come than there are keys.
        if claimed < len(rows) and (self._is_many or not any(isinstance(one, SeveralRows) for one in found)):
            return [self._mismatch(one, key, rows[0]) for one, key in zip(found, keys, strict=True)]
        return found

    def _several(self, _: object) -> SeveralRows:
        return SeveralRows(
            f"DataLoader {self._name!r}: several rows of {self._table} have the same {self._key}; "
            "group_loader() gives all rows of a key"
        )

    def _mismatch(self, found: Any, asked: Any, row: Any) -> Any:
        """What a key without rows gets, where some rows belong to no key: the server has other rules of equality."""
        if found or asked is None:
            return found
        is_item = self._into is dict or self._into is tuple
        own: Any = row[self._column] if is_item else getattr(row, self._key)
        return KeyMismatch(
            f"DataLoader {self._name!r}: the server has found rows whose {self._key}, of type "
            f"{type(own).__name__}, equals none of the keys asked for, of type {type(asked).__name__}; ask with "
            "the column's own type, or give cache_key=, which is applied to both: int for a str, str.lower for citext"
        )


def statement(table: str, key: str, columns: Sequence[str] | None, order: Sequence[str] = ()) -> str:
    """Return the query for the rows of an array of keys.

    Raises:
        ValueError: This cannot be the name of a table, or the key is not among the columns.
    """
    shown = "*"
    if columns is not None:
        if isinstance(columns, str):
            raise TypeError("columns= is a sequence of names, not a str")
        if key not in columns:
            raise ValueError(f"columns= must have {key!r} among them: by it a row finds who asked for it")
        shown = ", ".join(map(quote_identifier, columns))
    text = f"SELECT {shown} FROM {qualified(table)} WHERE {quote_identifier(key)} = ANY($1)"
    if order:
        text += f" ORDER BY {', '.join(map(_ordering, order))}"
    return text


def _ordering(name: str) -> str:
    return f"{quote_identifier(name[1:])} DESC" if name.startswith("-") else quote_identifier(name)


def qualified(table: str) -> str:
    """Return a table's name, given as SQL has it, with its parts quoted.

    Raises:
        ValueError: It is no such name.
    """
    parts: list[str] = []
    at = 0
    while True:
        match = _NAME.match(table, at)
        if match is None or len(parts) == 2:
            raise ValueError(f"{table!r} is no name of a table: 'users', 'shop.users' or '\"My Table\"'")
        quoted = match["quoted"]
        # The server folds what is not quoted; of other letters than these only where its encoding lets it.
        parts.append(quoted.replace('""', '"') if quoted is not None else _folded(match["plain"]))
        at = match.end()
        if not match["dot"]:
            return ".".join(map(quote_identifier, parts))


def _folded(name: str) -> str:
    return re.sub("[A-Z]+", lambda letters: letters[0].lower(), name)
