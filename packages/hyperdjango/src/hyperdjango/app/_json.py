"""Python values as JSON in UTF-8, in the forms that `query_json` has for the types of the database (docs/json.md).

`answers` calls it for what a handler returns. C's encoder of the standard library writes nearly everything; a
document with a number that it cannot write is written by `_write`, in Python. Tuples are arrays, with or without names.
"""
# What is written may be anything:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal
from uuid import UUID

from hyperdjango.database.types import Range

# As deep as `query_json` goes.
DEPTH_MAX: Final = 64
# What PostgreSQL's numeric holds: its docs, "Numeric Types".
DIGITS_BEFORE_MAX: Final = 131_072
DIGITS_BEHIND_MAX: Final = 16_383


class NotJSON(TypeError):  # noqa: N818 - says what it is
    """A value that has no form in JSON."""


class _NeedsWriter(Exception):  # noqa: N818 - no error: it never leaves this module
    """A number that C's encoder does not know."""


def to_json(value: object, *, surrogates: Literal["strict", "replace"] = "strict") -> bytes:
    """Return a value as JSON.

    Args:
        value: Anything.
        surrogates: "replace" writes `?` for half of a surrogate pair: for what shows a client its own fault.
    Raises:
        NotJSON: A class that has no form, half of a surrogate pair, or containers more than 64 deep in one another.
    """
    try:
        return _encode(value).encode()
    except (_NeedsWriter, ValueError, RecursionError):
        # ValueError: NaN or an infinity, a container in itself, or half of a surrogate pair.
        pieces: list[str] = []
        _write(value, pieces.append, DEPTH_MAX)
        try:
            return "".join(pieces).encode(errors=surrogates)
        except UnicodeEncodeError:
            raise NotJSON("half of a surrogate pair has no form in UTF-8") from None


def _time(value: dt.time) -> str:
    text = _short(value.replace(tzinfo=None).isoformat())
    offset = value.utcoffset()
    return text if offset is None else text + _offset(offset)


def _offset(offset: dt.timedelta) -> str:
    """As PostgreSQL prints it: minutes and seconds where there are any."""
    seconds = int(offset.total_seconds())
    sign, (minutes, second) = "-" if seconds < 0 else "+", divmod(abs(seconds), 60)
    hour, minute = divmod(minutes, 60)
    text = f"{sign}{hour:02}"
    if minute or second:
        text += f":{minute:02}"
    return f"{text}:{second:02}" if second else text


def _short(text: str) -> str:
    """Without the zeros behind a fraction."""
    return text.rstrip("0") if "." in text else text


def _datetime(value: dt.datetime) -> str:
    plain = value.replace(tzinfo=None)
    if plain == dt.datetime.max:
        return "infinity"
    if plain == dt.datetime.min:
        return "-infinity"
    if value.tzinfo is None:
        return _short(value.isoformat())
    utc = value.astimezone(dt.UTC).replace(tzinfo=None)
    return _short(utc.isoformat()) + "+00:00"


def _date(value: dt.date) -> str:
    if value == dt.date.max:
        return "infinity"
    return "-infinity" if value == dt.date.min else value.isoformat()


def _interval(value: dt.timedelta) -> str:
    """In PostgreSQL's style: days, then a clock that has a sign of its own."""
    # Python keeps the clock positive and the days lower; PostgreSQL prints both with the whole's sign.
    sign, size = (-1, -value) if value < dt.timedelta(0) else (1, value)
    days, (minutes, second) = sign * size.days, divmod(size.seconds, 60)
    words = [f"{days} day{'' if days == 1 else 's'}"] if days else []
    if size.seconds or size.microseconds or not words:
        hour, minute = divmod(minutes, 60)
        fraction = _short(f".{size.microseconds:06}") if size.microseconds else ""
        words.append(f"{'-' if sign < 0 else ''}{hour:02}:{minute:02}:{second:02}{fraction}")
    return " ".join(words)


def _bytes(value: bytes | bytearray | memoryview) -> str:
    return "\\x" + value.hex()


def _number(value: Decimal) -> str:
    """Without an exponent, as the server prints it; one that no column holds keeps it, which is JSON, too.

    Ten bytes of a request may say a number of a hundred million digits.
    """
    return format(value, "f") if -DIGITS_BEHIND_MAX <= value.adjusted() < DIGITS_BEFORE_MAX else str(value)


def _enum(value: Enum) -> object:
    return value.value


def _range(value: Range[Any]) -> str:
    if value.isempty:
        return "empty"
    return f"{value.bounds[0]}{_bound(value.lower)},{_bound(value.upper)}{value.bounds[1]}"


def _bound(value: Any) -> str:
    """As the server prints it inside of a range: no `T` in a moment, and quotes around what has a space."""
    if value is None:
        return ""
    text = (
        _number(value)
        if isinstance(value, Decimal)
        else str(value if isinstance(value, int) else plain(value))
    )
    if not isinstance(value, dt.datetime):
        return text
    text = text.replace("T", " ").removesuffix(":00") if value.tzinfo is not None else text.replace("T", " ")
    return f'"{text}"' if " " in text else text


_FORMS: Final[dict[type, Callable[[Any], object]]] = {
    dt.datetime: _datetime,
    dt.date: _date,
    dt.time: _time,
    dt.timedelta: _interval,
    UUID: str,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    set: list,
    frozenset: list,
    Enum: _enum,
    Range: _range,
}


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line for each kind of value
    """Return what stands for a value in JSON: a str, a dict, a list.

    Raises:
        NotJSON: Nothing does.
    """
    form = _FORMS.get(type(value))
    if form is not None:
        return form(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    names = getattr(value, "__struct_fields__", None)
    if names is not None:
        return {name: getattr(value, name) for name in names}
    for base, form in _FORMS.items():
        if isinstance(value, base):
            return form(value)
    if isinstance(value, Mapping):
        return dict(value)
    if type(value).__module__ == "ipaddress":
        return str(value)
    raise NotJSON(f"{type(value).__qualname__} has no form in JSON; return a dict, or a response")


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        raise _NeedsWriter
    return plain(value)


_encode: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default
).encode
_text: Final = json.JSONEncoder(ensure_ascii=False).encode


def _write(value: Any, put: Callable[[str], None], depth: int) -> None:
    if value is None or isinstance(value, bool):
        put("null" if value is None else "true" if value else "false")
    elif isinstance(value, str):
        put(_text(value))
    elif isinstance(value, int):
        put(int.__repr__(value))
    elif isinstance(value, float):
        put(float.__repr__(value) if math.isfinite(value) else _text(_not_finite(value)))
    elif isinstance(value, Decimal):
        put(_number(value) if value.is_finite() else _text(_not_finite(value)))
    elif depth == 0:
        raise NotJSON(f"containers are more than {DEPTH_MAX} deep in one another")
    elif isinstance(value, dict):
        put("{")
        _write_pairs(value.items(), put, depth)
        put("}")
    elif isinstance(value, list | tuple):
        put("[")
        for place, each in enumerate(value):
            if place:
                put(",")
            _write(each, put, depth - 1)
        put("]")
    else:
        _write(plain(value), put, depth - 1)


def _write_pairs(pairs: Iterable[tuple[Any, Any]], put: Callable[[str], None], depth: int) -> None:
    for place, (name, each) in enumerate(pairs):
        if place:
            put(",")
        put(_text(_key(name)) + ":")
        _write(each, put, depth - 1)


def _key(name: object) -> str:
    """As the standard library has it."""
    if isinstance(name, str):
        return name
    if name is None or isinstance(name, bool):
        return "null" if name is None else "true" if name else "false"
    if isinstance(name, int | float):
        return repr(name)
    raise NotJSON(f"keys are str, int, float, bool or None, not {type(name).__qualname__}")


def _not_finite(value: float | Decimal) -> str:
    """As PostgreSQL names what is no number."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


__all__ = ["NotJSON", "plain", "to_json"]
