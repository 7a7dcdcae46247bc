"""A request's JSON as what a handler's parameter is annotated with: a model, a dataclass, or a list of them.

`_signature` asks for a reader at decoration, `Endpoint` calls it. Models validate themselves; for dataclasses it is
done here, by their annotations, and all that is wrong is said at once.
"""
# What comes from outside may be anything:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

import dataclasses
import datetime as dt
import types
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

Reader = Callable[[Any], Any]
# Longer than any number that PostgreSQL's numeric holds in practice, and short enough to be read at once.
NUMBER_CHARACTERS_MAX: Final = 20_000
# An exponent says in three bytes what takes a thousand to write out; further ones are nobody's amounts.
EXPONENT_MAX: Final = 1_000


class BodyError(ValueError):
    """A body is not what a handler takes.

    Attributes:
        errors: Where in it, as `items.0.name`, to what is wrong there; `""` is the whole.
    """

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" if name else text for name, text in errors.items()))
        self.errors = errors


def reader_of(hint: Any) -> Reader | None:
    """Return what reads a body for a parameter with an annotation; None where it is not a body's."""
    if get_origin(hint) is list and get_args(hint) and reader_of(get_args(hint)[0]) is not None:
        return lambda value: _read_list(get_args(hint)[0], value)
    if not isinstance(hint, type):
        return None
    if hasattr(hint, "model_validate"):
        return lambda value: _validated(hint, value)
    if dataclasses.is_dataclass(hint):
        return lambda value: _read_dataclass(hint, value)
    return None


def _validated(model: Any, value: Any) -> Any:
    try:
        return model.model_validate(value)
    except ValueError as error:
        found: Any = getattr(error, "errors", None)
        if isinstance(found, dict):  # ours
            raise BodyError(found) from error
        if callable(found):  # pydantic's
            listed: Any = found()
            raise BodyError({".".join(map(str, one["loc"])): one["msg"] for one in listed}) from error
        raise


def _read_dataclass(wanted: type[Any], value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise BodyError({"": f"must be an object, not {_kind(value)}"})
    given: dict[str, Any] = dict(value)
    hints, values, errors = get_type_hints(wanted, include_extras=True), dict[str, Any](), dict[str, str]()
    for field in dataclasses.fields(wanted):
        if not field.init:
            continue
        if field.name in given:
            _into(values, errors, field.name, hints[field.name], given.pop(field.name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            errors[field.name] = "is missing"
    errors |= dict.fromkeys(given, "is not known")
    if errors:
        raise BodyError(errors)
    try:
        return wanted(**values)
    except ValueError as error:  # of its __post_init__
        raise BodyError({"": str(error)}) from error


def _into(values: dict[str, Any], errors: dict[str, str], name: str, hint: Any, value: Any) -> None:
    try:
        values[name] = _read(hint, value)
    except BodyError as error:
        errors |= {f"{name}.{inner}" if inner else name: text for inner, text in error.errors.items()}
    except ValueError as error:
        errors[name] = str(error)


def _read_list(element: Any, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BodyError({"": f"must be an array, not {_kind(value)}"})
    values, errors = dict[str, Any](), dict[str, str]()
    for place, each in enumerate(value):
        _into(values, errors, str(place), element, each)
    if errors:
        raise BodyError(errors)
    return list(values.values())


def _read(hint: Any, value: Any) -> Any:  # noqa: PLR0911 - one line for each kind of annotation
    """Return a value of JSON as an annotation has it.

    Raises:
        ValueError: It is none; the text goes behind the field's name.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return value
    if origin is Annotated:
        return _read(arguments[0], value)
    if origin in {Union, types.UnionType}:
        return _read_union(arguments, value)
    if origin is Literal:
        if not any(value == each and type(value) is type(each) for each in arguments):
            raise ValueError(f"must be one of {', '.join(map(repr, arguments))}")
        return value
    if hint is list or origin is list:
        return _read_list(arguments[0] if arguments else Any, value)
    if hint is dict or origin is dict:
        return _read_dict(arguments, value)
    reader = reader_of(hint)
    return reader(value) if reader is not None else _read_plain(hint, value)


def _read_union(choices: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in choices:
        return None
    failure: ValueError | None = None
    for choice in choices:
        if choice is not type(None):
            try:
                return _read(choice, value)
            except ValueError as error:
                failure = failure or error
    assert failure is not None
    raise failure


def _read_dict(arguments: tuple[Any, ...], value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BodyError({"": f"must be an object, not {_kind(value)}"})
    values, errors = dict[str, Any](), dict[str, str]()
    for name, each in value.items():
        _into(values, errors, str(name), arguments[1] if arguments else Any, each)
    if errors:
        raise BodyError(errors)
    return values


def _read_plain(hint: Any, value: Any) -> Any:
    if value is None or isinstance(value, dict | list):
        raise ValueError(f"must be {_name(hint)}, not {_kind(value)}")
    if hint is float and type(value) is int:
        return float(value)
    if hint in {int, float, str, bool}:
        if type(value) is not hint:
            raise ValueError(f"must be {_name(hint)}, not {_kind(value)}")
        return value
    return _read_text(hint, value)


def _read_text(hint: Any, value: Any) -> Any:
    """What JSON has as a string or number, and Python as a class of its own."""
    if hint is Decimal and not isinstance(value, bool):
        return _decimal(str(value))
    try:
        if isinstance(hint, type) and issubclass(hint, Enum):
            return hint(value)
        if hint in {dt.datetime, dt.date, dt.time} and isinstance(value, str):
            return hint.fromisoformat(value)
        if hint is UUID and isinstance(value, str):
            return UUID(value)
    except ValueError:
        pass  # said below, in words of ours
    raise ValueError(f"must be {_name(hint)}")


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text) if len(text) <= NUMBER_CHARACTERS_MAX else None
    except InvalidOperation:
        number = None
    if number is None:
        raise ValueError(f"must be {_name(Decimal)}")
    if "e" in text.lower() and abs(number.adjusted()) > EXPONENT_MAX:
        raise ValueError(f"must be {_name(Decimal)} with an exponent of at most {EXPONENT_MAX}")
    return number


def _name(hint: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {', '.join(repr(one.value) for one in hint)}"
    known = {
        int: "an integer",
        float: "a number",
        Decimal: "a number",
        str: "a string",
        bool: "true or false",
    }
    return known.get(hint, getattr(hint, "__name__", str(hint)))


def _kind(value: object) -> str:
    names: dict[type[Any], str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a bool",
        int: "an integer",
    }
    return "null" if value is None else names.get(type(value), "a number")


__all__ = ["BodyError", "Reader", "reader_of"]
