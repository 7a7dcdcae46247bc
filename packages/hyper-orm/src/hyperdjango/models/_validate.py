"""`model_validate`: an instance from data of outside: a dict, or JSON. Nothing of it is trusted.

Values in their own Python class are taken as they are; strings and numbers as JSON has them are read by the
column's type. What the annotations demand is checked, and all that is wrong is said at once.
"""

import base64
import binascii
import datetime as dt
import ipaddress
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hyperdjango.database.types import Multirange, Range
from hyperdjango.models._nearest import nearest
from hyperdjango.models.errors import ValidationError

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column, Relation, Table
    from hyperdjango.models._types import ColumnType
    from hyperdjango.models.model import Model

M = TypeVar("M", bound="Model")

_DURATION = re.compile(
    r"(?P<sign>[-+])?P(?:(?P<days>\d{1,9})D)?"
    r"(?:T(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9}(?:\.\d{1,6})?)S)?)?"
)
NOT_TAKEN = "is not set from here"
# Longer than any number that PostgreSQL's numeric holds in practice, and short enough to be read at once.
NUMBER_CHARACTERS_MAX = 20_000
# What numeric holds; an exponent says in a few bytes what takes minutes to calculate with.
DIGITS_BEFORE_MAX = 131_072
DIGITS_BEHIND_MAX = 16_383


def validate(model: type[M], data: Any, *, strict: bool = False) -> M:
    """See `Model.model_validate`."""
    if isinstance(data, model):
        return data
    if not isinstance(data, Mapping):
        raise ValidationError(model.__name__, {"": f"takes a dict, not {type(data).__name__}"})
    table = model._table
    faults: dict[str, str] = {}
    values: dict[str, Any] = {}
    fields = cast("Mapping[object, Any]", data)
    for name, given in fields.items():
        field = str(name)
        try:
            values[field] = _value(table, name, given, strict=strict)
        except ValidationError as error:
            faults |= {f"{field}.{inner}" if inner else field: text for inner, text in error.errors.items()}
        except ValueError as error:
            faults[field] = str(error)
    _missing(table, set(fields), faults)
    if faults:
        raise ValidationError(model.__name__, faults)
    return model(**values)


def _value(table: "Table", name: Any, given: Any, *, strict: bool) -> Any:
    column = table.by_name.get(name)
    if column is not None:
        if not column.is_input and column.generated is None:
            raise ValueError(NOT_TAKEN)
        return checked(column, given, strict=strict)
    relation = table.relations.get(name)
    if relation is None:
        raise ValueError(f"is no field of {table.model.__name__}{nearest(str(name), _taken(table))}")
    return _related(relation, given, strict=strict)


def _taken(table: "Table") -> list[str]:
    """The names that data may have."""
    columns = [one.name for one in table.columns if one.is_input and one.generated is None]
    relations = [one.name for one in table.relations.values() if one.is_forward and one.field.init]
    return [*columns, *relations]


def _related(relation: "Relation", given: Any, *, strict: bool) -> Any:
    if relation.is_many or not relation.is_forward:
        raise ValueError(f"{NOT_TAKEN}: it belongs to the other table")
    if not relation.field.init:
        raise ValueError(NOT_TAKEN)
    if given is None:
        if not relation.is_nullable:
            raise ValueError("must not be None")
        return None
    return validate(relation.target, given, strict=strict)


def checked(column: "Column", given: Any, *, strict: bool = False) -> Any:
    """Return a value in the column's own Python class.

    Raises:
        ValueError: It is none, or not what the annotation demands; the text goes behind the field's name.
    """
    if column.generated is not None:
        raise ValueError("is calculated by the database")
    if given is None:
        if not column.is_nullable:
            raise ValueError("must not be None")
        return None
    value = given if strict else read(column.type, given)
    if not _is_of(column.type, value):
        raise ValueError(f"must be {_class_name(column.type)}, not {type(given).__name__}")
    return value if column.check is None else column.check(value)


def _missing(table: "Table", given: set[Any], faults: dict[str, str]) -> None:
    for column in table.columns:
        is_given = column.name in given or (column.relation is not None and column.relation.name in given)
        has_default = not _is_unset(column.default) or column.default_factory is not None
        is_made = has_default or column.is_database_made or not column.is_input
        if not is_given and not is_made and not column.is_nullable:
            faults[column.name] = "is missing"


def _is_unset(value: Any) -> bool:
    from hyperdjango.models._meta import UNSET

    return value is UNSET


def _class_name(type_: "ColumnType") -> str:
    return getattr(type_.python, "__name__", type_.sql)


def _is_of(type_: "ColumnType", value: Any) -> bool:
    python = type_.python
    if type_.kind == "json" or not isinstance(python, type):
        return True
    if type_.kind == "array":
        if not isinstance(value, list | tuple):
            return False
        element, elements = type_.element, cast("Sequence[Any]", value)
        return element is None or all(one is None or _is_of(element, one) for one in elements)
    if python is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if python is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if python is dt.date:
        return isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return isinstance(value, python)


def read(type_: "ColumnType", given: object) -> Any:
    """Return what a value of JSON means in a column of a type; other values as they are.

    Raises:
        ValueError: A string that does not say such a value.
    """
    if type_.enum is not None or (isinstance(type_.convert, dict) and isinstance(given, str | int)):
        return _member(type_, given)
    if type_.kind == "array" and isinstance(given, list | tuple) and type_.element is not None:
        element, elements = type_.element, cast("Sequence[Any]", given)
        return [None if one is None else read(element, one) for one in elements]
    if type_.kind == "range" and isinstance(given, Mapping):
        return _range(type_, given)
    if type_.kind == "multirange" and isinstance(given, list) and type_.element is not None:
        return Multirange([_range(type_, one) for one in cast("list[object]", given)])
    reader = _READERS.get(type_.python) if isinstance(type_.python, type) else None
    if reader is not None and isinstance(given, str | int | float) and not isinstance(given, bool):
        return reader(given)
    return cast("Any", given)


def _member(type_: "ColumnType", given: Any) -> Any:
    python = type_.python
    if isinstance(given, python):
        return given
    try:
        return python(given)
    except ValueError:
        names = ", ".join(repr(one.value) for one in python)
        raise ValueError(f"must be one of {names}") from None


def _range(type_: "ColumnType", given: Any) -> Range[Any]:
    if isinstance(given, Range):
        return cast("Range[object]", given)
    parts = cast("Mapping[object, Any]", given) if isinstance(given, Mapping) else None
    if parts is None or not set(parts) <= {"lower", "upper", "bounds", "empty"}:
        raise ValueError("must be a range: lower, upper, bounds; or empty")
    bound = type_.element
    lower, upper = (
        None if parts.get(side) is None else read(bound, parts[side]) if bound is not None else parts[side]
        for side in ("lower", "upper")
    )
    return Range(lower, upper, parts.get("bounds", "[)"), empty=parts.get("empty") is True)


def _decimal(given: Any) -> Decimal:
    text = str(given)
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise ValueError(f"is longer than {NUMBER_CHARACTERS_MAX} characters")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not -DIGITS_BEHIND_MAX <= number.adjusted() < DIGITS_BEFORE_MAX:
        raise ValueError("must be a number that numeric can hold")
    return number


def _bytes(given: Any) -> bytes:
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, TypeError):
        raise ValueError("must be bytes in base64") from None


def _duration(given: Any) -> Any:
    found = _DURATION.fullmatch(given) if isinstance(given, str) else None
    if found is None or found.end() < 2 or given.endswith(("P", "T")):
        raise ValueError("must be a duration as in ISO 8601, such as P1DT2H30M")
    parts = found.groupdict(default="0")
    try:
        span = dt.timedelta(
            days=int(parts["days"]),
            hours=int(parts["hours"]),
            minutes=int(parts["minutes"]),
            seconds=float(parts["seconds"]),
        )
    except OverflowError:
        raise ValueError("is longer than a timedelta can be") from None
    return -span if parts["sign"] == "-" else span


def _text_only(read_text: Callable[[str], Any], what: str) -> Callable[[Any], Any]:
    def from_text(given: Any) -> Any:
        if not isinstance(given, str):
            return given
        try:
            return read_text(given)
        except ValueError:
            raise ValueError(f"must be {what}") from None

    return from_text


_READERS: dict[type, Callable[[Any], Any]] = {
    Decimal: _decimal,
    float: _text_only(float, "a number"),
    bytes: _text_only(_bytes, "bytes in base64"),
    dt.timedelta: _duration,
    dt.datetime: _text_only(dt.datetime.fromisoformat, "a date and time as in ISO 8601"),
    dt.date: _text_only(dt.date.fromisoformat, "a date as in ISO 8601"),
    dt.time: _text_only(dt.time.fromisoformat, "a time as in ISO 8601"),
    uuid.UUID: _text_only(uuid.UUID, "a UUID"),
    ipaddress.IPv4Address: _text_only(ipaddress.IPv4Address, "an IPv4 address"),
    ipaddress.IPv6Address: _text_only(ipaddress.IPv6Address, "an IPv6 address"),
    ipaddress.IPv4Interface: _text_only(ipaddress.IPv4Interface, "an IPv4 interface"),
    ipaddress.IPv6Interface: _text_only(ipaddress.IPv6Interface, "an IPv6 interface"),
    ipaddress.IPv4Network: _text_only(ipaddress.IPv4Network, "an IPv4 network"),
    ipaddress.IPv6Network: _text_only(ipaddress.IPv6Network, "an IPv6 network"),
}


def validate_json(model: type[M], text: str | bytes | bytearray, *, strict: bool = False) -> M:
    """See `Model.model_validate_json`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValidationError(model.__name__, {"": f"is no JSON: {error}"}) from None
    return validate(model, data, strict=strict)
