"""Which PostgreSQL type an annotation becomes, and what Python values a column of it takes."""

from collections.abc import Callable
from typing import Any, NamedTuple


class ColumnType(NamedTuple):
    """A column's type.

    Attributes:
        sql: The type as DDL and casts write it: `bigint`, `character varying(20)`, `text[]`.
        python: The class of its values in Python, as annotated: int, str, list, a StrEnum class …
        kind: What lookups and functions of it there are: "text", "integer", "float", "numeric", "boolean", "bytes", "date",
            "time", "timestamp", "interval", "uuid", "json", "array", "range", "multirange", "enum", "network",
            "geometric", "hstore", "vector", "search", "other".
        element: The element's type of an array, the bound's of a range.
        convert: From the driver's value to the annotated one, by the native hydrator: a dict, a callable or None.
        enum: The StrEnum class whose PostgreSQL type must be created, or None.
    """

    sql: str
    python: Any
    kind: str
    element: "ColumnType | None" = None
    convert: dict[Any, Any] | Callable[[Any], Any] | None = None
    enum: Any = None


BIGINT = ColumnType("bigint", int, "integer")
INTEGER = ColumnType("integer", int, "integer")
TEXT = ColumnType("text", str, "text")
BOOLEAN = ColumnType("boolean", bool, "boolean")
