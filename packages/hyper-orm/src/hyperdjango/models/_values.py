"""Values that stand in SQL by themselves: which PostgreSQL type a Python value is said to have there."""

import json
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from hyperdjango.models._shapes import AboveBigint, BelowBigint, ListKind
from hyperdjango.models._types import BIGINT, BOOLEAN, TEXT, ColumnType

FLOAT: Final = ColumnType("double precision", float, "float")
NUMERIC: Final = ColumnType("numeric", Decimal, "numeric")
BYTES: Final = ColumnType("bytea", bytes, "bytes")
TIMESTAMP: Final = ColumnType("timestamp with time zone", datetime, "timestamp")
PLAIN_TIMESTAMP: Final = ColumnType("timestamp without time zone", datetime, "timestamp")
DATE: Final = ColumnType("date", date, "date")
TIME: Final = ColumnType("time", time, "time")
INTERVAL: Final = ColumnType("interval", timedelta, "interval")
UUID_TYPE: Final = ColumnType("uuid", UUID, "uuid")
JSONB: Final = ColumnType("jsonb", object, "json")

# Python class to the type that is written behind its placeholder.
PLAIN_TYPES: Final[dict[Any, ColumnType]] = {
    bool: BOOLEAN,
    int: BIGINT,
    AboveBigint: NUMERIC,
    BelowBigint: NUMERIC,
    str: TEXT,
    float: FLOAT,
    Decimal: NUMERIC,
    bytes: BYTES,
    datetime: TIMESTAMP,
    date: DATE,
    time: TIME,
    timedelta: INTERVAL,
    UUID: UUID_TYPE,
    dict: JSONB,
}
NUMBERS: Final = frozenset({"integer", "numeric", "float"})

# Without their length these mean a length of one.
_LONGER: Final = {"character": "bpchar", "char": "bpchar", "bit": "bit varying"}
_MODIFIER: Final = re.compile(r'("(?:[^"]|"")*")|\s*\([^()]*\)')


def type_of_kind(kind: Any) -> ColumnType | None:
    """Return the type of values of a kind, or None where only its surroundings can tell."""
    if isinstance(kind, ListKind):
        return _type_of_list(kind)
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


def _type_of_list(kind: ListKind) -> ColumnType | None:
    elements = {type_of_kind(one) for one in kind.types if one is not type(None)}
    if len(elements) == 1:
        element = elements.pop()
        return array_of(element) if element is not None else None
    if elements and all(one is not None and one.kind in NUMBERS for one in elements):
        return array_of(FLOAT if FLOAT in elements else NUMERIC)
    return None


def array_of(element: ColumnType) -> ColumnType:
    """Return the type of arrays of a type; an array of arrays has one more dimension and the same type."""
    sql = bare_sql(element)
    return ColumnType(
        sql if element.kind == "array" else f"{sql}[]", list, "array", element, _each(element.convert)
    )


def _each(convert: Any) -> Any:
    """Lift the conversion of an element to lists of it; NULLs stay None."""
    if convert is None:
        return None
    one: Any = getattr(convert, "__getitem__", convert)

    def each(values: Any) -> Any:
        return [
            None if value is None else each(value) if isinstance(value, list) else one(value)
            for value in values
        ]

    return each


def bare_sql(column_type: ColumnType) -> str:
    """Return a type's name for a cast of a value: without length and digits, which would cut or round it."""
    if column_type.base is not None:
        # A cast to a domain would check its condition, which a value to compare with need not keep.
        column_type = column_type.base
    sql = _MODIFIER.sub(lambda match: match[1] or "", column_type.sql)
    element = sql.removesuffix("[]")
    return _LONGER[element] + sql[len(element) :] if element in _LONGER else sql


def bare(column_type: ColumnType | None) -> ColumnType | None:
    """Return a type without length and digits: that of a calculated value."""
    return None if column_type is None else column_type._replace(sql=bare_sql(column_type))


def plain(column_type: ColumnType | None) -> ColumnType | None:
    """Return the type of what is calculated from a value: of an IntEnum's column, an int."""
    if column_type is None or column_type.kind not in _PLAIN_OF_KIND:
        return bare(column_type)
    found = _PLAIN_OF_KIND[column_type.kind]
    return found._replace(sql=bare_sql(column_type)) if column_type.kind in NUMBERS else found


_PLAIN_OF_KIND: Final = {
    "integer": BIGINT,
    "numeric": NUMERIC,
    "float": FLOAT,
    "text": TEXT,
    "boolean": BOOLEAN,
}


def json_text(value: Any) -> str:
    """Return the JSON text of a value: the driver takes a str for JSON text already, which a user's str is not."""
    return json.dumps(value, ensure_ascii=False, default=_jsonable)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no place in JSON")
