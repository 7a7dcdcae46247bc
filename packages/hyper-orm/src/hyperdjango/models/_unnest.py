"""Many rows as one value per column: `unnest($1::bigint[])` and its like, side by side in FROM.

So the text does not depend on how many rows there are. Used by `_bulk_create` and `_bulk_update`.
PostgreSQL docs: functions-array, "unnest"; queries-table-expressions, "Table Functions".
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.models._values import bare_sql

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column

# Kinds of columns that go as an array of their type. Arrays do not: unnest() flattens them.
_PLAIN: Final = frozenset(
    {
        "integer", "float", "numeric", "boolean", "bytes", "date", "time", "timestamp", "interval", "uuid", "enum",
        "range",
    }
)  # fmt: skip
_NETWORKS: Final = frozenset({"inet", "cidr", "macaddr"})


def array_type(column: "Column") -> str | None:
    """Return the type that the array of a column's values has, None where they cannot go as an array.

    Without length, precision and scale: a cast would cut what assignment refuses.
    """
    type_ = column.type
    if type_.domain is not None:
        return None
    if type_.kind == "text" and type_.extension is None:
        return "text"
    if type_.kind in _PLAIN:
        return type_.sql if type_.enum is not None else bare_sql(type_)
    if type_.kind == "network" and type_.sql in _NETWORKS:
        return type_.sql
    return None


def fits(columns: "Sequence[Column]") -> bool:
    """Whether the values of all columns can go this way."""
    return bool(columns) and all(
        column.type.kind == "json" or array_type(column) is not None for column in columns
    )


def source(columns: "Sequence[Column]", names: Sequence[str], *, with_order: str | None = None) -> str:
    """Write the FROM item: `u`, with the columns `names`, whose values are $1 and so on; and their number."""
    functions: list[str] = []
    for number, column in enumerate(columns, 1):
        # One JSON document for all rows: the driver would take a list within a list for dimensions of an array.
        if column.type.kind == "json":
            functions.append(f"json_array_elements(${number}::json)")
        else:
            functions.append(f"unnest(${number}::{array_type(column)}[])")
    if with_order is None:
        return f"ROWS FROM ({', '.join(functions)}) AS u({', '.join(names)})"
    return f"ROWS FROM ({', '.join(functions)}) WITH ORDINALITY AS u({', '.join(names)}, {with_order})"


def selected(column: "Column", name: str) -> str:
    """Write a value of the FROM item as it goes into the column. None came as JSON's null."""
    if column.type.kind != "json":
        return name
    return f"CASE WHEN json_typeof({name}) <> 'null' THEN {name}::{column.type.sql} END"


def by_row(column: "Column", values: list[Any]) -> list[Any]:
    """Return a column's values for a statement that is run once for each: there a str is JSON text to the driver."""
    if column.type.kind != "json":
        return values
    return [json.dumps(value) if isinstance(value, str) else value for value in values]
