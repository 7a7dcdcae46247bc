"""What the values of a call look like: enough to know the SQL text by, without the values themselves.

A queryset method turns its arguments into an operation's key (names, and a *kind* per value) and a tuple of
values. Calls with equal keys share one piece of SQL; the values travel beside it.
"""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from hyperdjango.models.errors import FieldError

# Types whose values are one parameter as they are.
PLAIN: Final = frozenset({int, str, float, bool, bytes, Decimal, datetime, date, time, timedelta, UUID})
LISTS: Final = frozenset({list, tuple, set, frozenset, range})
_NONE: Final = (None, ())


BIGINT_MIN: Final = -(2**63)
BIGINT_MAX: Final = 2**63 - 1


class AboveBigint(int):
    """The kind of ints that are greater than any in a column of ints."""

    __slots__ = ()


class BelowBigint(int):
    """The kind of ints that are less than any in a column of ints."""

    __slots__ = ()


class ListKind(NamedTuple):
    """The kind of a list of values: the types in it."""

    types: frozenset[type]


class PairKind(NamedTuple):
    """The kind of two values that are one parameter each, or expressions: what `range` takes."""

    lower: Any
    upper: Any


class MixedKind(NamedTuple):
    """The kind of a list in which there are expressions: each has its own parameters."""

    kinds: tuple[Any, ...]


class Constant(NamedTuple):
    """The kind of a value that shapes the SQL text itself and is no parameter.

    Python holds True, 1 and 1.0 to be equal; with its class in it they are not.
    """

    value: Any
    type: Any


def constant(value: Any) -> Constant:
    """Return the kind of a value that shapes the SQL text."""
    return Constant(value, type(value))


class InstanceKind(NamedTuple):
    """The kind of an instance: its model."""

    model: Any


def shape(value: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a value's kind, and the parameters it comes to."""
    kind = cast("Any", type(value))
    if kind in PLAIN:
        if kind is int and not BIGINT_MIN <= value <= BIGINT_MAX:
            return (AboveBigint if value > 0 else BelowBigint), (value,)
        return kind, (value,)
    if value is None:
        return _NONE
    if kind in LISTS:
        types: frozenset[type] = frozenset(map(type, value))
        if types <= PLAIN or not any(hasattr(one, "resolve") for one in types):
            return ListKind(types), (list(value),)
        shapes = [shape(one) for one in value]
        return MixedKind(tuple(one for one, _ in shapes)), sum((params for _, params in shapes), ())
    of_itself = getattr(kind, "_shape", None)
    if of_itself is not None:
        # Expressions, querysets and instances say it themselves.
        found: tuple[Any, tuple[Any, ...]] = of_itself(value)
        return found
    if hasattr(kind, "__next__"):
        raise FieldError(f"a {kind.__name__} can be read once only; make a list of it")
    return kind, (value,)


def lookup_shape(name: str, value: Any) -> tuple[Any, tuple[Any, ...]]:
    """As `shape`, for the value of a lookup by keyword: some words say how their value is meant."""
    if name.endswith(_SPECIAL):
        if name.endswith("__isnull"):
            if not isinstance(value, bool):
                raise FieldError(f"{name} takes True or False, not {type(value).__name__}")
            return constant(value), ()
        if type(value) in {list, tuple}:
            if len(value) != PAIR:
                raise FieldError(f"{name} takes two values, a lower and an upper one, not {len(value)}")
            (lower, first), (upper, second) = shape(value[0]), shape(value[1])
            return PairKind(lower, upper), (*first, *second)
    return shape(value)


_SPECIAL: Final = ("__isnull", "__range")
PAIR: Final = 2


def _both(first: Any, second: Any) -> Any:
    """One adapter after another."""

    def adapt(value: Any) -> Any:
        return second(first(value))

    return adapt


class Cursor:
    """Hands out the positions of one operation's values, in the order in which `shape` gave them.

    Attributes:
        adapters: Position within the operation to what turns the given value into the one that is sent.
        outers: OuterRefs that were met, by their keys: names of the query around.
    """

    __slots__ = ("_next", "adapters", "first", "outers")

    def __init__(self, first: int) -> None:
        self.first = first
        self._next = first
        self.adapters: dict[int, Any] = {}
        self.outers: dict[Any, Any] = {}

    def take(self) -> int:
        """The next value's position in the chain."""
        self._next += 1
        return self._next - 1

    def skip(self, count: int) -> int:
        """Pass `count` values; return the position of the first."""
        at = self._next
        self._next += count
        return at

    def adapt(self, index: int, adapter: Any) -> None:
        """Have the value at a position go through `adapter` whenever the operation is used."""
        known = self.adapters.get(index - self.first)
        self.adapters[index - self.first] = adapter if known is None else _both(known, adapter)

    def seek(self, index: int) -> None:
        """Go on at a position that was skipped."""
        self._next = index

    @property
    def taken(self) -> int:
        """How many values were handed out."""
        return self._next - self.first
