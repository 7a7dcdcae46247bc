"""What an annotation demands of a column's values, in annotated-types' words: in Python here, in SQL for the CHECK.

Read from `Annotated[…]` by `_types`; `_declare` makes `Column.check` of it and `schema` the CHECK constraints.
"""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple
from uuid import UUID

import annotated_types as at


class Rule(NamedTuple):
    """One demand.

    Attributes:
        word: "gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "one_of", "digits", "each" or
            "predicate".
        value: The bound, the length, the values, the rules of each element, or the function.
    """

    word: str
    value: Any


# Types of points in time: whether their values have a time zone.
ZONES: Final = {"timestamp with time zone": True, "timestamp without time zone": False}
_SIMPLE: Final[tuple[tuple[type, str, str], ...]] = (
    (at.Gt, "gt", "gt"),
    (at.Ge, "ge", "ge"),
    (at.Lt, "lt", "lt"),
    (at.Le, "le", "le"),
    (at.MultipleOf, "multiple_of", "multiple_of"),
    (at.MinLen, "min_length", "min_length"),
    (at.MaxLen, "max_length", "max_length"),
    (at.Predicate, "func", "predicate"),
)


def rules_of(metadata: object) -> Iterator[Rule] | None:
    """Yield the rules of one item of `Annotated[…]`, or return None where it says nothing about values."""
    for kind, attribute, word in _SIMPLE:
        if isinstance(metadata, kind):
            return iter((Rule(word, getattr(metadata, attribute)),))
    if isinstance(metadata, at.Not):
        return iter((Rule("predicate", _negated(metadata.func)),))
    if isinstance(metadata, at.GroupedMetadata):
        return (rule for one in metadata for rule in rules_of(one) or ())
    return None


def _negated(function: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def negated(value: Any) -> bool:
        return not function(value)

    negated.__name__ = f"not {getattr(function, '__name__', 'predicate')}"
    return negated


_COMPARE: Final[dict[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "gt": ("greater than", lambda value, bound: value > bound),
    "ge": ("at least", lambda value, bound: value >= bound),
    "lt": ("less than", lambda value, bound: value < bound),
    "le": ("at most", lambda value, bound: value <= bound),
}


def fault(rule: Rule, value: Any) -> str | None:
    """Say what is wrong with a value, without showing it, or return None."""
    word, bound = rule
    if word in _COMPARE:
        text, holds = _COMPARE[word]
        # Decimal's NaN refuses to be compared; float's compares to nothing.
        is_nan = isinstance(value, Decimal) and value.is_nan()
        return None if not is_nan and holds(value, bound) else f"must be {text} {bound}"
    if word == "min_length":
        return (
            None if len(value) >= bound else f"must have at least {bound} {_units(value)}, not {len(value)}"
        )
    if word == "max_length":
        return None if len(value) <= bound else f"must have at most {bound} {_units(value)}, not {len(value)}"
    if word == "multiple_of":
        return None if _is_multiple(value, bound) else f"must be a multiple of {bound}"
    if word == "one_of":
        return None if value in bound else f"must be one of {', '.join(map(repr, bound))}"
    if word == "each":
        return _element_fault(value, bound)
    if word == "digits":
        return _digits_fault(value, *bound)
    return None if bound(value) else f"does not fulfil {getattr(bound, '__name__', repr(bound))}"


def _element_fault(values: Any, rules: tuple[Rule, ...]) -> str | None:
    for index, value in enumerate(values):
        for rule in rules:
            text = None if value is None else fault(rule, value)
            if text is not None:
                return f"item {index} {text}"
    return None


def _units(value: object) -> str:
    return "characters" if isinstance(value, str) else "bytes" if isinstance(value, bytes) else "items"


def _is_multiple(value: Any, of: Any) -> bool:
    if isinstance(value, float) or isinstance(of, float):
        quotient = value / of
        return math.isclose(quotient, round(quotient), rel_tol=1e-12, abs_tol=1e-12)
    if isinstance(value, Decimal) or isinstance(of, Decimal):
        number, step = Decimal(value), Decimal(of)
        # Fractions are exact, whatever the context's precision is.
        return number.is_finite() and (Fraction(number) / Fraction(step)).denominator == 1
    return bool(value % of == 0)


def _digits_fault(value: Any, precision: int, scale: int) -> str | None:
    """Refuse what numeric(precision, scale) would refuse or round."""
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if number.is_nan():
        return None
    if number.is_infinite():
        return f"must be finite, with {precision} digits"
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    # Not normalize(), which rounds to the context's precision.
    while exponent < 0 and len(digits) > 1 and digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    if -exponent > scale:
        return f"must have at most {scale} digits behind the point, not {-exponent}"
    if number and len(digits) + exponent > precision - scale:
        return f"must have at most {precision - scale} digits before the point, not {len(digits) + exponent}"
    return None


# A value of each class, to ask whether a bound can be compared to it.
_SAMPLES: Final[dict[type, Any]] = {
    int: 0,
    float: 0.0,
    Decimal: Decimal(0),
    str: "",
    bytes: b"",
    date: date(2000, 1, 1),
    time: time(),
    timedelta: timedelta(),
    UUID: UUID(int=0),
    list: [],
}
_SPELT: Final = {word: kind.__name__ for kind, _, word in _SIMPLE}


def unfit(rule: Rule, python: Any, sql: str) -> str | None:
    """Say why a rule can be asked of no value of a column, or return None.

    Args:
        rule: What the annotation demands.
        python: The class of the column's values; `object` where any may come.
        sql: The column's type.
    """
    if not isinstance(python, type) or python is object:
        return None
    said = f"{_SPELT.get(rule.word)}({rule.value!r}) cannot be asked of {python.__name__}"
    if rule.word in {"min_length", "max_length"}:
        # Not hasattr(), which finds that of the class of an Enum.
        has_length = any("__len__" in one.__dict__ for one in python.__mro__)
        return None if has_length else f"{said}, which has no length"
    if rule.word not in _COMPARE and rule.word != "multiple_of":
        return None
    sample = _sample(python, sql)
    if sample is None:
        return None
    try:
        fault(rule, sample)
    except (TypeError, ArithmeticError) as error:
        return f"{said}: {error}"
    return None


def _sample(python: type, sql: str) -> Any:
    if issubclass(python, datetime):
        is_aware = ZONES.get(sql)
        return None if is_aware is None else datetime(2000, 1, 1, tzinfo=UTC if is_aware else None)
    if sql == "time with time zone":
        return None
    return next((_SAMPLES[one] for one in python.__mro__ if one in _SAMPLES), None)


def checker(
    accepted: tuple[type, ...], rules: tuple[Rule, ...], function: Callable[[Any], Any] | None
) -> Callable[[Any], Any] | None:
    """Return `Column.check`: the value to write, or ValueError saying what is wrong; None is let through.

    Args:
        accepted: The classes that the rules can be asked of; empty: any.
        rules: What the annotation demands.
        function: `Field(check=…)`, which comes last and may change the value.
    """
    if not rules and function is None:
        return None

    def check(value: Any) -> Any:
        if value is None:
            return None
        if accepted and not isinstance(value, accepted):
            raise ValueError(f"must be {accepted[0].__name__}, not {type(value).__name__}")
        for rule in rules:
            text = fault(rule, value)
            if text is not None:
                raise ValueError(text)
        return value if function is None else function(value)

    return check


def zoned(check: Callable[[Any], Any] | None, *, is_aware: bool) -> Callable[[Any], Any]:
    """Return `Column.check` of a point in time: whether it has a time zone must be what the column's type says."""

    def checked(value: Any) -> Any:
        if isinstance(value, datetime) and (value.tzinfo is not None) != is_aware:
            raise ValueError(
                "must have a time zone, as datetime.now(UTC) has"
                if is_aware
                else "must have no time zone: the column has none"
            )
        return value if check is None else check(value)

    return checked
