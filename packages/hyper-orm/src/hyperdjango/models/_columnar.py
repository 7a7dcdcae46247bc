"""The values of many instances, column by column: gathered, checked and said in the driver's words.

Rules are looked at for a whole column at once, which is a few C loops; value by value only where that finds
something. Used by `_bulk_create` and `_bulk_update`.
"""

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import filterfalse
from typing import Any, Final

from hyperdjango.database._native import native
from hyperdjango.models._meta import UNSET, Column
from hyperdjango.models._outgoing import checked, key_of_held, missing
from hyperdjango.models._rules import ZONES
from hyperdjango.models.errors import ValidationError

_MISSING: Final[Any] = UNSET.__class__
_NONE: Final = type(None)
ERRORS_MAX: Final = 20


def gather(instances: list[Any], column: Column) -> list[Any]:
    """Return what the slot of a column holds in each instance, UNSET where it holds nothing."""
    return native.column(instances, column.slot, UNSET)


class Gathered:
    """The columns of many instances.

    Attributes:
        instances: Them.
        positions: Where each stood in the list that the application gave.
        errors: "[position].name" to what is wrong.
    """

    __slots__ = ("errors", "instances", "model", "positions")

    def __init__(self, model: Any, instances: list[Any], positions: Sequence[int]) -> None:
        self.model = model
        self.instances = instances
        self.positions = positions
        self.errors: dict[str, str] = {}

    def values(self, column: Column) -> tuple[list[Any], set[type]]:
        """Return a column's values, and the classes among them; a relation's key is taken from what it holds."""
        values = gather(self.instances, column)
        kinds = set(map(type, values))
        if _MISSING in kinds and column.relation is not None:
            for position, value in enumerate(values):
                if value is UNSET:
                    key = key_of_held(self.instances[position], column)
                    if key is not UNSET:
                        values[position] = key
                        native.set_slot(self.instances[position], column.slot, key)
            kinds = set(map(type, values))
        return values, kinds

    def checked(self, column: Column, values: list[Any], kinds: set[type]) -> list[Any]:
        """Return the values as they are written; notes what is wrong with any."""
        if _MISSING in kinds or not fulfils(column, values, kinds):
            values = [self._one(column, position, value) for position, value in enumerate(values)]
        prepare = column.type.prepare
        if prepare is not None:
            return [None if value is None else prepare(value) for value in values]
        return values

    def _one(self, column: Column, position: int, value: Any) -> Any:
        instance = self.instances[position]
        if value is UNSET:
            self._wrong(position, column, missing(instance, column))
            return None
        try:
            good = checked(column, value)
        except ValueError as error:
            self._wrong(position, column, str(error))
            return None
        if good is not value:
            native.set_slot(instance, column.slot, good)
        return good

    def _wrong(self, position: int, column: Column, text: str) -> None:
        if len(self.errors) < ERRORS_MAX:
            self.errors[f"[{self.positions[position]}].{column.name}"] = text

    def raise_errors(self) -> None:
        """Raise ValidationError where anything is wrong."""
        if self.errors:
            raise ValidationError(self.model.__name__, self.errors)


def fulfils(column: Column, values: list[Any], kinds: set[type]) -> bool:
    """Whether it is certain that all values keep the column's rules, and none is changed by its check."""
    if _NONE in kinds:
        if not column.is_nullable:
            return False
        kinds = kinds - {_NONE}
        if not kinds:
            return True
        values = [value for value in values if value is not None]
    if any(hasattr(kind, "resolve") for kind in kinds):
        return False
    if column.check is None:
        return True
    if column.type.enum is not None:
        return kinds == {column.type.enum} and not column.rules
    if (
        column.type.kind == "timestamp"
        and kinds == {datetime}
        and not column.has_own_check
        and not column.rules
    ):
        is_aware = ZONES.get(column.type.sql)
        return is_aware is None or all((value.tzinfo is not None) == is_aware for value in values)
    if column.has_own_check or kinds != {column.type.python} or not column.rules:
        return False
    try:
        return all(_RULES[word](values, bound) if word in _RULES else False for word, bound in column.rules)
    except (TypeError, ArithmeticError):
        return False  # NaN among decimals: one by one


def _digits(values: list[Any], bound: tuple[int, int]) -> bool:
    precision, scale = bound
    above = 10 ** (precision - scale)
    # As many digits behind the point as there may be, or one less, and so on: comparing exponents makes no objects.
    rest = values
    for places in range(scale, -1, -1):
        rest = list(filterfalse(Decimal(1).scaleb(-places).same_quantum, rest))
        if not rest:
            break
    return not rest and bool(-above < min(values) and max(values) < above)


def _compared(
    pick: Callable[[list[Any]], Any], holds: Callable[[Any, Any], bool]
) -> Callable[[list[Any], Any], bool]:
    # NaN is neither greater nor smaller than anything, so a list of floats has no greatest.
    return lambda values, bound: type(values[0]) is not float and bool(holds(pick(values), bound))


_RULES: Final[dict[str, Callable[[list[Any], Any], bool]]] = {
    "max_length": lambda values, bound: max(map(len, values)) <= bound,
    "min_length": lambda values, bound: min(map(len, values)) >= bound,
    "le": _compared(max, operator.le),
    "ge": _compared(min, operator.ge),
    "lt": _compared(max, operator.lt),
    "gt": _compared(min, operator.gt),
    "digits": _digits,
    "one_of": lambda values, bound: set(values) <= set(bound),
}
