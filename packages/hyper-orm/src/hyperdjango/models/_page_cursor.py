"""The cursor of a page: the values that the next page begins behind, as text for URLs.

It comes back from outside, so all of it is looked at: its form, what it was made for, and the class of each value.
It is not secret and not signed: whoever changes it gets another place of the same rows.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final, NamedTuple
from uuid import UUID

from hyperdjango.models.errors import FieldError, ModelError

CHARACTERS_MAX: Final = 4096
MARK_CHARACTERS: Final = 12


class InvalidCursor(ModelError, ValueError):
    """What was given as `after=` is no cursor of this queryset's pages."""


class _Form(NamedTuple):
    """How the values of one class are written."""

    python: type
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _exact(*classes: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in classes:
            raise ValueError(value)
        return value

    return read


def _text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(value)  # noqa: TRY004 - all faults of a cursor are of one kind
        return parse(value)

    return read


def _count(value: timedelta) -> str:
    return str(value // timedelta(microseconds=1))


def _microseconds(value: str) -> timedelta:
    return timedelta(microseconds=int(value))


_FORMS: Final = {
    "b": _Form(bool, bool, _exact(bool)),
    "i": _Form(int, str, _text(int)),
    "s": _Form(str, str, _exact(str)),
    "f": _Form(float, repr, _text(float)),
    "n": _Form(Decimal, str, _text(Decimal)),
    "u": _Form(UUID, str, _text(UUID)),
    "t": _Form(datetime, datetime.isoformat, _text(datetime.fromisoformat)),
    "d": _Form(date, date.isoformat, _text(date.fromisoformat)),
    "c": _Form(time, time.isoformat, _text(time.fromisoformat)),
    "v": _Form(timedelta, _count, _text(_microseconds)),
    "x": _Form(bytes, bytes.hex, _text(bytes.fromhex)),
}


def mark_of(text: str) -> str:
    """Return what tells the cursors of one order from those of another."""
    return hashlib.sha256(text.encode()).hexdigest()[:MARK_CHARACTERS]


def written(values: Sequence[Any], mark: str) -> str:
    """Return the cursor.

    Raises:
        FieldError: A value is of a class that cannot be ordered by here.
    """
    parts: list[Any] = [mark]
    for value in values:
        plain = value.value if isinstance(value, Enum) else value
        parts.append(None if plain is None else _written(plain))
    document = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def _written(value: Any) -> list[Any]:
    for tag, form in _FORMS.items():
        if type(value) is form.python:
            return [tag, form.write(value)]
    raise FieldError(f"page() cannot go on behind a {type(value).__name__}; order by something else")


def read(cursor: object, mark: str, count: int) -> tuple[Any, ...]:
    """Return the values of a cursor.

    Args:
        cursor: As it came from outside.
        mark: Of the order that it must have been made for.
        count: How many values that has.
    Raises:
        InvalidCursor: It is not one, or one of another order.
    """
    if not isinstance(cursor, str) or len(cursor) > CHARACTERS_MAX:
        raise InvalidCursor("after= is no cursor of a page")
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        own, *values = _listed(parts, count + 1)
        if own != mark:
            raise InvalidCursor("after= is a cursor of other rows, or of another order")
        return tuple(_read(value) for value in values)
    except InvalidCursor:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, binascii.Error, InvalidOperation):
        raise InvalidCursor("after= is no cursor of a page") from None


def _listed(parts: Any, count: int) -> list[Any]:
    if type(parts) is not list or len(parts) != count:  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError(parts)  # pyright: ignore[reportUnknownArgumentType]
    return parts  # pyright: ignore[reportUnknownVariableType]


def _read(part: Any) -> Any:
    if part is None:
        return None
    tag, value = part
    return _FORMS[tag].read(value)


__all__ = ["InvalidCursor", "mark_of", "read", "written"]
