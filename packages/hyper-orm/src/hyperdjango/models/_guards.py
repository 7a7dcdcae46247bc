"""What a value is looked at for whenever a lookup is used, beside its class: the lookups of `_lookups_core` ask for it.

The class of a value is part of a query's shape, and checked once for each shape. A word that is no member of an enum,
and a point in time without a time zone, have the class of right ones; the backend would refuse them when they are
sent, without a word on the model. Called by `fitting` and `is_in`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.models._nearest import nearest
from hyperdjango.models._rules import ZONES
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._operand import Operand
    from hyperdjango.models._types import ColumnType

Guard = Callable[[Any], Any]
# As which a datetime is compared with a date.
_AWARE: Final = "timestamp with time zone"


def guard_of(column: "ColumnType", own: "ColumnType | None", operand: "Operand") -> Guard | None:
    """Return what a value goes through at each use, or None where its class says enough.

    Args:
        column: What it is compared with.
        own: What its class stands for.
        operand: For the error.
    """
    if column.enum is not None:
        return _member(column, operand)
    if own is not None and own.kind == "timestamp":
        return _zoned(column, operand)
    return None


def each(guard: Guard) -> Guard:
    """The same, for a list."""

    def guarded(values: list[Any]) -> list[Any]:
        for value in values:
            if value is not None:
                guard(value)
        return values

    return guarded


def _member(column: "ColumnType", operand: "Operand") -> Guard:
    members = frozenset(str(one.value) for one in column.enum)
    said, model, enum = operand.said, operand.model.__name__, column.enum.__name__

    def guarded(value: Any) -> Any:
        if isinstance(value, str) and value not in members:
            raise FieldError(
                f"{model}: {said} is compared with a str that is no {enum}{nearest(value, members)}"
            )
        return value

    return guarded


def _zoned(column: "ColumnType", operand: "Operand") -> Guard | None:
    sql = (column.base or column).sql.partition("(")[0]
    is_aware = ZONES.get(_AWARE if column.kind == "date" else sql)
    if is_aware is None:
        return None
    said, model = operand.said, operand.model.__name__

    def guarded(value: Any) -> Any:
        if (value.tzinfo is not None) != is_aware:
            given = "without a time zone" if is_aware else "with a time zone"
            wanted = "give one, as datetime.now(UTC) has" if is_aware else f"{sql} has none"
            raise FieldError(f"{model}: {said} is compared with a datetime {given}; {wanted}")
        return value

    return guarded


__all__ = ["Guard", "each", "guard_of"]
