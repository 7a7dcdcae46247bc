"""Querysets as values: `Subquery`, `Exists`, `ArraySubquery`, and a Q as a boolean value.

Django docs: ref/models/expressions, "Subquery() expressions", "Exists() subqueries".
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hyperdjango.models._checks import has, is_a
from hyperdjango.models._nodes import Node, Select, Sql, exists
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._sql import as_type
from hyperdjango.models._values import array_of
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, type_from

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope
    from hyperdjango.models.query_words import Q


class Subquery(Expression):
    """The only value of the only row of a queryset; NULL where it has no row.

    Args:
        queryset: With one value per row: `values("name")`. Without values() it is the primary key. `OuterRef` refers
            to the row around. More than one row is an error of the backend: slice it with `[:1]`.
        output_field: An annotation as for a field of a model; the value is cast to it.
    """

    __slots__ = ("_output", "queryset")

    def __init__(self, queryset: Any, output_field: Any = None) -> None:
        if is_a(queryset, Expression) or not has(queryset, "_state"):
            raise FieldError(f"{type(self).__name__}() takes a queryset, not {type(queryset).__name__}")
        self.queryset = queryset
        kind, self.params = queryset._shape()
        self._output = type_from(output_field) if output_field is not None else None
        self.key = (type(self), kind, self._output)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        select = self.select(scope, cursor)
        return select if self._output is None else as_type(select, self._output)

    def select(self, scope: "Scope", cursor: Cursor) -> Select:
        """The queryset as a node."""
        select: Select = self.queryset.resolve(scope, cursor)
        return select

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.queryset!r})"


class Exists(Subquery):
    """Whether a queryset has any row."""

    __slots__ = ()

    def __init__(self, queryset: Any) -> None:
        super().__init__(queryset)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        return exists(self.select(scope, cursor))


class ArraySubquery(Subquery):
    """All values of a queryset as a list; an empty one where it has no row."""

    __slots__ = ()

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        select = self.select(scope, cursor)
        type_ = array_of(select.type) if select.type is not None else None
        node = Sql("ARRAY", select, type=type_, is_nullable=False)
        return node if self._output is None else as_type(node, self._output)


class Condition(Expression):
    """A Q as a boolean value."""

    __slots__ = ("q",)

    def __init__(self, q: "Q") -> None:
        self.q = q
        self.key = (Condition, q.key)
        self.params = q.params

    def parts(self) -> "Iterable[Expression | Q]":
        return (self.q,)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        return self.q.resolve(scope, cursor)

    def __repr__(self) -> str:
        return repr(self.q)
