"""Values as SQL text, for DDL, which takes no parameters: defaults, bounds of CHECK, labels of enums.

The one function that quotes values. Queries send theirs in Bind and never come here.
PostgreSQL docs: sql-syntax-lexical, "Constants".
"""

import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, Final
from uuid import UUID

from hyperdjango.database.errors import DataError
from hyperdjango.database.types import Multirange, Range


def quoted(text: str) -> str:
    """Return a string constant, which means the same whatever standard_conforming_strings is.

    Raises:
        DataError: It holds a NUL, which no text can.
    """
    if "\0" in text:
        raise DataError("a text must not contain NUL")
    doubled = text.replace("'", "''")
    if "\\" not in doubled:
        return f"'{doubled}'"
    # In E'' a backslash is an escape under either setting.
    escaped = doubled.replace("\\", "\\\\")
    return f"E'{escaped}'"


def literal(value: Any) -> str:
    """Return a value as SQL text, with its type where the text alone would not say it.

    Raises:
        DataError: There is no constant of such a value.
    """
    if value is None:
        return "NULL"
    if isinstance(value, Enum):
        return literal(value.value)
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    raise DataError(f"a value of {type(value).__name__} cannot be written into DDL; write SQL text")


def _decimal(value: Decimal) -> str:
    return f"{value:f}" if value.is_finite() else f"'{value}'::numeric"


def _interval(value: timedelta) -> str:
    microseconds = value.seconds * 1_000_000 + value.microseconds
    return f"'{value.days} days {microseconds} microseconds'::interval"


def _datetime(value: datetime) -> str:
    kind = "timestamp" if value.tzinfo is None else "timestamptz"
    return f"'{value.isoformat()}'::{kind}"


def _list(values: list[Any] | tuple[Any, ...]) -> str:
    if not values:
        return "'{}'"  # of whatever type the place has
    return f"ARRAY[{', '.join(map(literal, values))}]"


def _range(value: Range[Any]) -> str:
    """A range, or a multirange, of whatever type the place has."""
    return quoted(_range_text(value))


def _range_text(value: Range[Any]) -> str:
    if value.isempty:
        return "empty"
    return f"{value.bounds[0]}{_bound(value.lower)},{_bound(value.upper)}{value.bounds[1]}"


def _bound(value: Any) -> str:
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, date) else str(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _multirange(value: Multirange[Any]) -> str:
    return quoted(f"{{{','.join(map(_range_text, value))}}}")


# The first that fits: a bool is an int, a datetime is a date.
_WRITERS: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    (bool, lambda value: "true" if value else "false"),
    (int, str),
    (str, quoted),
    (float, lambda value: f"'{value!r}'::float8"),
    (Decimal, _decimal),
    (bytes, lambda value: f"{quoted(chr(92) + 'x' + value.hex())}::bytea"),
    (datetime, _datetime),
    (date, lambda value: f"'{value.isoformat()}'::date"),
    (time, lambda value: f"'{value.isoformat()}'::{'time' if value.tzinfo is None else 'timetz'}"),
    (timedelta, _interval),
    (UUID, lambda value: f"'{value}'::uuid"),
    ((IPv4Network, IPv6Network), lambda value: f"'{value}'::cidr"),
    ((IPv4Interface, IPv6Interface, IPv4Address, IPv6Address), lambda value: f"'{value}'::inet"),
    (dict, lambda value: f"{quoted(json.dumps(value, sort_keys=True))}::jsonb"),
    (Range, _range),
    (Multirange, _multirange),
    ((list, tuple), _list),
)
