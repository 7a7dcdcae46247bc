"""The statements about one row by its key, or about one new row: INSERT, UPDATE, DELETE, SELECT.

One text for each model and set of columns, in a bounded LRU, so that each is prepared once. Values are always
parameters. PostgreSQL docs: sql-insert, sql-update, sql-delete, sql-select.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.database._native import native

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column, Table

STATEMENTS_MAX: Final = 2048


class RowStatement(NamedTuple):
    """A statement, and what its rows are.

    Attributes:
        sql: The text.
        slots: The slot of each column that it gives, first among its values.
        converters: Position to what such a value goes through.
    """

    sql: str
    slots: tuple[Any, ...]
    converters: tuple[tuple[int, Any], ...]

    def take(self, instance: Any, row: Sequence[Any]) -> None:
        """Write a row's values into an instance; they are no changes of the user's."""
        values: list[Any] = list(row[: len(self.slots)])
        for position, convert in self.converters:
            if values[position] is not None:
                values[position] = convert(values[position])
        native.fill(instance, self.slots, values)


_statements: "OrderedDict[Any, RowStatement]" = OrderedDict()


def remembered(key: Any, make: Callable[[], RowStatement]) -> RowStatement:
    """Return the statement of a key, made on its first use."""
    known = _statements.get(key)
    if known is not None:
        try:
            _statements.move_to_end(key)
        except KeyError:
            # Another thread has dropped it meanwhile; it is as good as before.
            _statements[key] = known
        return known
    made = _statements[key] = make()
    while len(_statements) > STATEMENTS_MAX:
        _statements.popitem(last=False)
    return made


def giving(sql: str, columns: "Sequence[Column]") -> RowStatement:
    """A text whose rows begin with these columns."""
    converters = tuple(
        (position, called(column.type.convert))
        for position, column in enumerate(columns)
        if column.type.convert is not None
    )
    return RowStatement(sql, tuple(column.slot for column in columns), converters)


def called(convert: Any) -> Any:
    """Return a conversion as a function."""
    if isinstance(convert, dict):
        return cast("dict[object, Any]", convert).__getitem__
    return convert


def table_name(table: "Table") -> str:
    """The table's name, quoted, with its schema."""
    name = quote_identifier(table.name)
    return name if table.schema is None else f"{quote_identifier(table.schema)}.{name}"


def names_of(columns: "Sequence[Column]", prefix: str = "") -> str:
    """Names of columns, quoted, with commas between."""
    return ", ".join([f"{prefix}{quote_identifier(column.column)}" for column in columns])


def version_of(table: "Table") -> "Column | None":
    """The column that counts the row's writes, if there is one."""
    for column in table.columns:
        if column.is_version:
            return column
    return None


def returning(columns: "Sequence[Column]") -> str:
    """RETURNING, where anything is asked for."""
    return f" RETURNING {names_of(columns)}" if columns else ""


def insert(table: "Table", columns: "tuple[Column, ...]", wanted: "tuple[Column, ...]") -> RowStatement:
    """INSERT of one row. Values: the columns'."""
    return remembered(
        (table, "insert", columns, wanted),
        lambda: giving(f"{insert_text(table, columns)}{returning(wanted)}", wanted),
    )


def insert_text(table: "Table", columns: "tuple[Column, ...]") -> str:
    """INSERT INTO … VALUES (…)."""
    if not columns:
        return f"INSERT INTO {table_name(table)} DEFAULT VALUES"
    places = ", ".join([f"${number}" for number in range(1, len(columns) + 1)])
    return f"INSERT INTO {table_name(table)} ({names_of(columns)}) VALUES ({places})"


def update(table: "Table", columns: "tuple[Column, ...]", wanted: "tuple[Column, ...]") -> RowStatement:
    """UPDATE of one row. Values: the columns', the key's, then the version that the row must have."""
    return remembered((table, "update", columns, wanted), lambda: _update(table, columns, wanted))


def _update(table: "Table", columns: "tuple[Column, ...]", wanted: "tuple[Column, ...]") -> RowStatement:
    version = version_of(table)
    sets = [f"{quote_identifier(column.column)} = ${number}" for number, column in enumerate(columns, 1)]
    if version is not None:
        name = quote_identifier(version.column)
        sets.append(f"{name} = {name} + 1")
    where = _where(table, len(columns))
    return giving(f"UPDATE {table_name(table)} SET {', '.join(sets)}{where}{returning(wanted)}", wanted)


def delete(table: "Table") -> RowStatement:
    """DELETE of one row. Values: the key's, then the version."""
    return remembered(
        (table, "delete"), lambda: giving(f"DELETE FROM {table_name(table)}{_where(table, 0)}", ())
    )


def select(table: "Table", columns: "tuple[Column, ...]") -> RowStatement:
    """SELECT of one row. Values: the key's."""
    return remembered(
        (table, "select", columns),
        lambda: giving(
            f"SELECT {names_of(columns)} FROM {table_name(table)}{_where(table, 0, with_version=False)}",
            columns,
        ),
    )


def _where(table: "Table", taken: int, *, with_version: bool = True) -> str:
    columns = list(table.primary_key)
    version = version_of(table)
    if version is not None and with_version:
        columns.append(version)
    tests = [
        f"{quote_identifier(column.column)} = ${taken + number}" for number, column in enumerate(columns, 1)
    ]
    return f" WHERE {' AND '.join(tests)}"
