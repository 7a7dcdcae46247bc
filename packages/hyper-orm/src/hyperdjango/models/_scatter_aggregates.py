"""Which aggregates can be put together from those of each shard, and how. `_scatter` calls this."""

import copy
from collections.abc import Callable
from functools import reduce
from typing import Any, Final, NamedTuple

from hyperdjango.models import _aggregation, _steps
from hyperdjango.models._aggregate import Aggregate
from hyperdjango.models._scatter_merge import COMPARED, core
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._state import State
from hyperdjango.models.aggregates import Avg, BitAnd, BitOr, BitXor, BoolAnd, BoolOr, Count, Max, Min, Sum
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Value


def _least(one: Any, other: Any) -> Any:
    return min(one, other, key=core)


def _add(one: Any, other: Any) -> Any:
    return one + other


def _and(one: Any, other: Any) -> Any:
    return one & other


def _or(one: Any, other: Any) -> Any:
    return one | other


def _xor(one: Any, other: Any) -> Any:
    return one ^ other


def _greatest(one: Any, other: Any) -> Any:
    return max(one, other, key=core)


_COMBINED: Final[dict[type, Callable[[Any, Any], Any]]] = {
    Count: _add, Sum: _add, Min: _least, Max: _greatest, BoolAnd: _and, BoolOr: _or, BitAnd: _and, BitOr: _or,
    BitXor: _xor,
}  # fmt: skip
NAMES: Final = ", ".join(sorted([one.__name__ for one in _COMBINED] + ["Avg"]))


class Part(NamedTuple):
    """One aggregate of the result.

    Attributes:
        names: What each shard is asked for: one value, or a sum and a count.
        combine: Of two shards' values the one of both; None for the mean.
        default: Where there is no value in any.
    """

    names: tuple[str, ...]
    combine: Callable[[Any, Any], Any] | None
    default: Any


def parts_of(queryset: Any, named: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Part]]:
    """Return the aggregates that each shard is asked for, and what becomes of their values.

    Raises:
        FieldError: One cannot be put together; the text names it.
    """
    model = queryset._state.model.__name__
    asked: dict[str, Any] = {}
    parts: dict[str, Part] = {}
    for name, given in named.items():
        said = f"scatter() of {model}: aggregate({name}=…)"
        kind: type = given.__class__
        if kind is not Avg and kind not in _COMBINED:
            shown = kind.__name__ if isinstance(given, Aggregate) else repr(given)
            raise FieldError(
                f"{said}: {shown} of all rows is not made of those of each shard, as {NAMES} are; calculate it from "
                "these, or from the rows"
            )
        if given.is_distinct and kind not in {Min, Max}:
            raise FieldError(
                f"{said}: values that differ within a shard may be equal to another shard's; count "
                "values_list(…).distinct() instead"
            )
        if given.default is not None and not isinstance(given.default, Value):
            raise FieldError(f"{said}: default= is a value, no expression")
        default = None if given.default is None else given.default.value
        # No name that a field could have: names of aggregates hide those of fields.
        count = len(asked)
        names = tuple(f"of_a_shard_{count + step}" for step in range(2 if kind is Avg else 1))
        if kind is Avg:
            if given._output is not None:
                raise FieldError(f"{said}: Avg() has no output_field= here; convert the value")
            asked[names[0]] = Sum(*given.sources, filter=given.condition)
            asked[names[1]] = Count(given.sources[0], filter=given.condition)
        else:
            asked[names[0]] = _without_default(given)
        if kind in {Min, Max}:
            _check_order(queryset, asked[names[0]], said)
        parts[name] = Part(names, _COMBINED.get(kind), default)
    return asked, parts


def _without_default(given: Aggregate) -> Aggregate:
    if given.default is None:
        return given
    bare = copy.copy(given)
    bare.default = None
    bare._fill()
    return bare


def _check_order(queryset: Any, given: Aggregate, said: str) -> None:
    key, params = _steps.named_shape({"a": given})

    def build(state: State, cursor: Cursor) -> State:
        return _aggregation.aggregated(state, cursor, {"a": given})

    made = queryset._then(("aggregate", key), params, build)
    type_ = made._state.fields[0][1].type
    if type_ is None or type_.kind not in COMPARED:
        shown = "values of unknown type" if type_ is None else type_.sql
        raise FieldError(
            f"{said}: the order of {shown} is the database's, and is not known here; order_by() and first() find the "
            "row"
        )


def combined(rows: list[dict[str, Any]], parts: dict[str, Part]) -> dict[str, Any]:
    """Return the values of all shards together."""
    found: dict[str, Any] = {}
    for name, part in parts.items():
        first = [row[part.names[0]] for row in rows if row[part.names[0]] is not None]
        value: Any
        if not first:
            value = None
        elif part.combine is not None:
            value = reduce(part.combine, first)
        else:
            value = reduce(_add, first) / sum(row[part.names[1]] for row in rows)
        found[name] = part.default if value is None else value
    return found


__all__ = ["combined", "parts_of"]
