"""Values that stand in SQL by themselves: which PostgreSQL type a Python value is said to have there."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from hyperdjango.models._shapes import ListKind
from hyperdjango.models._types import ColumnType

# Python class to the type that is written behind its placeholder.
PLAIN_TYPES: Final[dict[Any, ColumnType]] = {
    bool: ColumnType("boolean", bool, "boolean"),
    int: ColumnType("bigint", int, "integer"),
    str: ColumnType("text", str, "text"),
    float: ColumnType("double precision", float, "float"),
    Decimal: ColumnType("numeric", Decimal, "numeric"),
    bytes: ColumnType("bytea", bytes, "bytes"),
    datetime: ColumnType("timestamp with time zone", datetime, "timestamp"),
    date: ColumnType("date", date, "date"),
    time: ColumnType("time", time, "time"),
    timedelta: ColumnType("interval", timedelta, "interval"),
    UUID: ColumnType("uuid", UUID, "uuid"),
    dict: ColumnType("jsonb", dict, "json"),
}
NUMBERS: Final = frozenset({"integer", "numeric", "float"})


def type_of_kind(kind: Any) -> ColumnType | None:
    """Return the type of values of a kind, or None where only its surroundings can tell."""
    if isinstance(kind, ListKind):
        elements = {type_of_kind(one) for one in kind.types if one is not type(None)}
        element = elements.pop() if len(elements) == 1 else None
        return array_of(element) if element is not None else None
    if not isinstance(kind, type):
        return None
    found = PLAIN_TYPES.get(kind)
    if found is not None:
        return found
    for base in kind.__mro__[1:]:
        found = PLAIN_TYPES.get(base)
        if found is not None:
            return found
    return None


def array_of(element: ColumnType) -> ColumnType:
    """Return the type of arrays of a type."""
    return ColumnType(f"{element.sql}[]", list, "array", element)
