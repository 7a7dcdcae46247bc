"""`Q`: conditions that can be put together with `&`, `|`, `^` and `~`.

Django docs: ref/models/querysets, "Q() objects".
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from hyperdjango.models._checks import is_a
from hyperdjango.models._nodes import Node
from hyperdjango.models._shapes import Cursor, lookup_shape, shape
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope

AND: Final = "AND"
OR: Final = "OR"
XOR: Final = "XOR"


class Q:
    """Lookups, other Qs and boolean expressions, all of which must be true.

    Args:
        conditions: Qs and boolean expressions.
        lookups: `name__lookup=value`, as for `filter`.
    Raises:
        FieldError: A keyword begins with an underscore: no field does, and nothing else is taken by keyword.
    """

    __slots__ = ("children", "connector", "is_negated", "key", "params")

    children: "tuple[Q | Expression | Lookup, ...]"
    key: tuple[Any, ...]
    params: tuple[Any, ...]

    def __init__(self, *conditions: "Q | Expression", **lookups: Any) -> None:
        children: list[Q | Expression | Lookup] = []
        for one in conditions:
            if not is_a(one, Q, Expression):
                raise FieldError(
                    f"Q() takes lookups by keyword, other Qs and expressions, not {type(one).__name__}"
                )
            children.append(one)
        children += [Lookup(name, value) for name, value in lookups.items()]
        self._fill(tuple(children), AND, False)

    def _fill(
        self, children: "tuple[Q | Expression | Lookup, ...]", connector: str, is_negated: bool
    ) -> None:
        self.children = children
        self.connector = connector
        self.is_negated = is_negated
        self.key = (connector, is_negated, *[child.key for child in children])
        params: tuple[Any, ...] = sum((child.params for child in children), ())
        self.params = params

    @classmethod
    def _made(
        cls, children: "tuple[Q | Expression | Lookup, ...]", connector: str, *, is_negated: bool = False
    ) -> "Q":
        made = Q.__new__(Q)
        made._fill(children, connector, is_negated)
        return made

    def _combined(self, other: object, connector: str) -> Any:
        if isinstance(other, Expression):
            other = Q(other)
        if not isinstance(other, Q):
            return NotImplemented
        if not other.children:
            return self
        if not self.children:
            return other
        return Q._made((self, other), connector)

    def __and__(self, other: object) -> "Q":
        combined: Q = self._combined(other, AND)
        return combined

    def __or__(self, other: object) -> "Q":
        combined: Q = self._combined(other, OR)
        return combined

    def __xor__(self, other: object) -> "Q":
        combined: Q = self._combined(other, XOR)
        return combined

    __rand__ = __and__
    __ror__ = __or__
    __rxor__ = __xor__

    def __invert__(self) -> "Q":
        return Q._made((self,), AND, is_negated=True)

    def __bool__(self) -> bool:
        """Whether there is any condition in it."""
        return bool(self.children)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Q) and self.key == other.key and self.params == other.params

    def __hash__(self) -> int:
        return hash(self.key)

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        return (Q, self.key), self.params

    def names(self) -> Iterator[str]:
        """Every name in it that is looked up in the query's own scope."""
        for child in self.children:
            yield from child.names()

    def all_names(self) -> Iterator[str]:
        """As `names`, those within aggregates included."""
        for child in self.children:
            yield from child.all_names()

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        """Return the condition; takes `len(self.params)` positions."""
        from hyperdjango.models._where import where

        return where(self, scope, cursor)

    def __repr__(self) -> str:
        inner = f" {self.connector} ".join(map(repr, self.children))
        return f"{'~' if self.is_negated else ''}Q({inner})"


class Lookup:
    """One `name__lookup=value`."""

    __slots__ = ("key", "name", "params", "value")

    def __init__(self, name: str, value: Any) -> None:
        if name[:1] == "_":
            raise FieldError(f"{name!r} is no field: names of fields do not begin with an underscore")
        self.name = name
        self.value = value
        kind, self.params = lookup_shape(name, value)
        self.key = (name, kind)

    def names(self) -> Iterator[str]:
        """Its own name, and those in its value."""
        yield self.name
        for part in inner_expressions(self.value):
            yield from part.names()

    def all_names(self) -> Iterator[str]:
        """As `names`, those within aggregates included."""
        yield self.name
        for part in inner_expressions(self.value):
            yield from part.all_names()

    def __repr__(self) -> str:
        return f"{self.name}={self.value!r}"


class Comparison(Expression):
    """An expression, a lookup and a value: what `Book.c.price > 10` gives."""

    __slots__ = ("left", "lookup", "right")

    def __init__(self, left: Expression, lookup: str, right: Any) -> None:
        if right is None and lookup == "exact":
            lookup, right = "isnull", True
        self.left = left
        self.lookup = lookup
        self.right = right
        kind, params = lookup_shape(f"__{lookup}", right)
        self.key = (Comparison, left.key, lookup, kind)
        self.params = (*left.params, *params)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        from hyperdjango.models._operand import Operand
        from hyperdjango.models.lookups import compared

        left = self.left.resolve(scope, cursor)
        operand = Operand(self.right, scope, cursor, f"{self.left!r} {self.lookup}", f"__{self.lookup}")
        return compared(left, (self.lookup,), operand, None)

    def parts(self) -> "Iterable[Expression | Q]":
        return (self.left, *inner_expressions(self.right))

    def __repr__(self) -> str:
        return f"{self.left!r} {self.lookup} {self.right!r}"


def inner_expressions(value: Any) -> "list[Expression | Q]":
    """The expressions in the value of a lookup: itself, or those in a list."""
    if isinstance(value, Expression | Q):
        return [value]
    if isinstance(value, list | tuple):
        return [one for one in cast("list[Any]", value) if isinstance(one, Expression | Q)]
    return []


def conditions(args: tuple[Any, ...], lookups: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the key and the values of a call such as `filter(*args, **lookups)`, without building a Q."""
    key: list[Any] = []
    params: tuple[Any, ...] = ()
    for one in args:
        kind, values = shape(one)
        key.append(kind)
        params += values
    for name, value in lookups.items():
        kind, values = lookup_shape(name, value)
        key.append((name, kind))
        params += values
    return tuple(key), params
