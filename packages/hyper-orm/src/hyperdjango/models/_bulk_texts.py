"""The texts of `bulk_create`: one for each model, set of columns and way to meet conflicts.

PostgreSQL docs: sql-insert, "ON CONFLICT Clause"; queries-with, "Data-Modifying Statements in WITH".
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models import _unnest
from hyperdjango.models._row_statements import (
    RowStatement,
    giving,
    insert_text,
    names_of,
    returning,
    table_name,
    version_of,
)

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column, Table


class Conflict(NamedTuple):
    """What happens to a row that is there already.

    Attributes:
        way: "" for an error, "ignore" or "update".
        unique: For "update": what makes it the same row.
        columns: For "update": what is written.
    """

    way: str
    unique: "tuple[Column, ...]"
    columns: "tuple[Column, ...]"


class Insertion(NamedTuple):
    """A way to insert rows.

    Attributes:
        sql: The text.
        statement: What the rows that it gives become.
        constants: Values behind those of the columns.
        is_by_row: It is run once for each row; otherwise its values are the columns'.
        gives: It gives rows.
        is_numbered: Each ends with the number of the row that it was, from 1; those in the way are not among them.
        says_inserted: Each ends with whether it is new.
        skips: One that is not new was left alone.
    """

    sql: str
    statement: RowStatement
    constants: tuple[Any, ...] = ()
    is_by_row: bool = False
    gives: bool = False
    is_numbered: bool = False
    says_inserted: bool = False
    skips: bool = False


_made: dict[Any, Insertion] = {}
MADE_MAX = 1024


def insertion(
    table: "Table", columns: "tuple[Column, ...]", made: "tuple[Column, ...]", conflict: Conflict
) -> Insertion:
    """Return how rows with these columns are inserted."""
    key = (table, columns, made, conflict)
    known = _made.get(key)
    if known is None:
        if len(_made) >= MADE_MAX:
            _made.clear()
        known = _made[key] = _insertion(table, columns, made, conflict)
    return known


def _insertion(
    table: "Table", columns: "tuple[Column, ...]", made: "tuple[Column, ...]", conflict: Conflict
) -> Insertion:
    is_array = _unnest.fits(columns)
    if conflict.way == "ignore":
        wanted = tuple(dict.fromkeys((*made, *table.primary_key)))
        if is_array and _names_its_rows(table, columns):
            return _numbered(table, columns, wanted)
        text = f"{insert_text(table, columns)} ON CONFLICT DO NOTHING RETURNING {names_of(wanted)}"
        sql = (
            f"WITH made AS ({text}) SELECT {names_of(wanted, 'made.')}, made.{_name(table.primary_key[0])} IS NOT NULL"
            f" FROM (SELECT) AS one LEFT JOIN made ON true"
        )
        return Insertion(sql, giving(sql, wanted), is_by_row=True, gives=True, says_inserted=True, skips=True)
    head = _head(table, columns) if is_array else insert_text(table, columns)
    if conflict.way == "update":
        wanted = tuple(dict.fromkeys((*made, *table.primary_key)))
        sql = f"{head}{_on_conflict(table, conflict)} RETURNING {names_of(wanted)}, (xmax = 0)"
        return Insertion(sql, giving(sql, wanted), is_by_row=not is_array, gives=True, says_inserted=True)
    sql = f"{head}{returning(made)}"
    return Insertion(sql, giving(sql, made), is_by_row=not is_array, gives=bool(made))


def _name(column: "Column") -> str:
    return quote_identifier(column.column)


def _head(table: "Table", columns: "tuple[Column, ...]") -> str:
    names = [f"c{number}" for number in range(len(columns))]
    values = [_unnest.selected(column, f"u.{name}") for column, name in zip(columns, names, strict=True)]
    return (
        f"INSERT INTO {table_name(table)} ({names_of(columns)}) SELECT {', '.join(values)}"
        f" FROM {_unnest.source(columns, names)}"
    )


def _on_conflict(table: "Table", conflict: Conflict) -> str:
    sets = [f"{_name(column)} = EXCLUDED.{_name(column)}" for column in conflict.columns]
    version = version_of(table)
    if version is not None:
        sets.append(f"{_name(version)} = {table_name(table)}.{_name(version)} + 1")
    return f" ON CONFLICT ({names_of(conflict.unique)}) DO UPDATE SET {', '.join(sets)}"


def _names_its_rows(table: "Table", columns: "tuple[Column, ...]") -> bool:
    """Whether the key of each row is known before it is inserted: given, or a number of a sequence of ours."""
    keys = table.primary_key
    return set(keys) <= set(columns) or (len(keys) == 1 and keys[0].identity is not None)


def _numbered(table: "Table", columns: "tuple[Column, ...]", wanted: "tuple[Column, ...]") -> Insertion:
    """INSERT … ON CONFLICT DO NOTHING, whose rows say which of ours they were: joined by the key."""
    names = [f"c{number}" for number in range(len(columns))]
    key_names = [names[columns.index(column)] for column in table.primary_key if column in columns]
    values = [
        f"{_unnest.selected(column, f'u.{name}')} AS {name}"
        for column, name in zip(columns, names, strict=True)
    ]
    constants: tuple[Any, ...] = ()
    targets, fields = columns, names
    if not key_names:
        key = table.primary_key[0]
        count = len(columns)
        sequence = f"(SELECT pg_get_serial_sequence(${count + 1}::text, ${count + 2}::text)::regclass)"
        values.append(f"nextval({sequence}) AS k")
        constants = (table_name(table), key.column)
        targets, fields, key_names = (*columns, key), [*names, "k"], ["k"]
    overriding = " OVERRIDING SYSTEM VALUE" if table.primary_key[0].identity == "ALWAYS" else ""
    joins = [
        f"made.{_name(column)} = given.{name}"
        for column, name in zip(table.primary_key, key_names, strict=True)
    ]
    keys = names_of(table.primary_key, "made.")
    sql = (
        f"WITH given AS MATERIALIZED (SELECT {', '.join(values)}, u.n"
        f" FROM {_unnest.source(columns, names, with_order='n')}),"
        f" made AS (INSERT INTO {table_name(table)} ({names_of(targets)}){overriding}"
        f" SELECT {', '.join(fields)} FROM given ORDER BY n ON CONFLICT DO NOTHING RETURNING {names_of(wanted)})"
        f" SELECT DISTINCT ON ({keys}) {names_of(wanted, 'made.')}, given.n"
        f" FROM made JOIN given ON {' AND '.join(joins)} ORDER BY {keys}, given.n"
    )
    return Insertion(sql, giving(sql, wanted), constants, gives=True, is_numbered=True)
