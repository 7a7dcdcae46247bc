"""Expressions: what may stand in a query where a value may. `F`, `Value`, `OuterRef` and arithmetic are here.

An expression knows its `key` (all that shapes its SQL) and its `params` (the values it brings, in order). It is
resolved against a model only when a query of a new shape is built.

Django docs: ref/models/expressions.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn

from hyperdjango.models._nodes import Node, Outer, Parameter, Sql
from hyperdjango.models._scope import Many
from hyperdjango.models._shapes import Cursor, shape
from hyperdjango.models._types import ColumnType
from hyperdjango.models._values import NUMBERS, type_of_kind
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope
    from hyperdjango.models.query_words import Q


class Expression:
    """The base of everything that has a value in a query.

    Attributes:
        key: Hashable; two expressions with equal keys have the same SQL.
        params: The values they bring, in the order in which `resolve` takes them.
    """

    __slots__ = ("key", "params")

    key: tuple[Any, ...]
    params: tuple[Any, ...]

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        """Return the node of it; takes exactly `len(self.params)` positions from the cursor.

        Raises:
            FieldError: A name, a lookup or a value does not fit.
        """
        raise NotImplementedError

    def names(self) -> Iterator[str]:
        """Every name in it that is looked up in the query's own scope."""
        return iter(())

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        return self.key, self.params

    # Arithmetic

    def __add__(self, other: object) -> "Combined":
        return Combined(self, "+", other)

    def __radd__(self, other: object) -> "Combined":
        return Combined(other, "+", self)

    def __sub__(self, other: object) -> "Combined":
        return Combined(self, "-", other)

    def __rsub__(self, other: object) -> "Combined":
        return Combined(other, "-", self)

    def __mul__(self, other: object) -> "Combined":
        return Combined(self, "*", other)

    def __rmul__(self, other: object) -> "Combined":
        return Combined(other, "*", self)

    def __truediv__(self, other: object) -> "Combined":
        return Combined(self, "/", other)

    def __rtruediv__(self, other: object) -> "Combined":
        return Combined(other, "/", self)

    def __mod__(self, other: object) -> "Combined":
        return Combined(self, "%", other)

    def __rmod__(self, other: object) -> "Combined":
        return Combined(other, "%", self)

    def __pow__(self, other: object) -> "Combined":
        return Combined(self, "^", other)

    def __rpow__(self, other: object) -> "Combined":
        return Combined(other, "^", self)

    def __neg__(self) -> "Combined":
        return Combined(self, "*", -1)

    def bitand(self, other: object) -> "Combined":
        """`&` on bits."""
        return Combined(self, "&", other)

    def bitor(self, other: object) -> "Combined":
        """`|` on bits."""
        return Combined(self, "|", other)

    def bitxor(self, other: object) -> "Combined":
        """`#` on bits."""
        return Combined(self, "#", other)

    def bitleftshift(self, other: object) -> "Combined":
        """`<<` on bits."""
        return Combined(self, "<<", other)

    def bitrightshift(self, other: object) -> "Combined":
        """`>>` on bits."""
        return Combined(self, ">>", other)

    # Comparison gives conditions for filter().

    def _compared(self, lookup: str, other: object) -> "Q":
        from hyperdjango.models.query_words import Comparison, Q

        return Q(Comparison(self, lookup, other))

    def __eq__(self, other: object) -> "Q":  # type: ignore[override]  # a condition, not a bool
        return self._compared("exact", other)

    def __ne__(self, other: object) -> "Q":  # type: ignore[override]  # a condition, not a bool
        return ~self._compared("exact", other)

    def __lt__(self, other: object) -> "Q":
        return self._compared("lt", other)

    def __le__(self, other: object) -> "Q":
        return self._compared("lte", other)

    def __gt__(self, other: object) -> "Q":
        return self._compared("gt", other)

    def __ge__(self, other: object) -> "Q":
        return self._compared("gte", other)

    __hash__ = object.__hash__

    def __and__(self, other: "Expression | Q") -> "Q":
        return self._as_q() & other

    def __or__(self, other: "Expression | Q") -> "Q":
        return self._as_q() | other

    def __xor__(self, other: "Expression | Q") -> "Q":
        return self._as_q() ^ other

    def __invert__(self) -> "Q":
        return ~self._as_q()

    def _as_q(self) -> "Q":
        from hyperdjango.models.query_words import Q

        return Q(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} has a value in the database only; `and`, `or`, `not` and `in` cannot look "
            "at it here: use &, |, ~ and .filter(name__in=…)"
        )

    # Order

    def asc(self, *, nulls_first: bool = False, nulls_last: bool = False) -> "OrderBy":
        """Ascending, for order_by."""
        return OrderBy(self, nulls_first=nulls_first, nulls_last=nulls_last)

    def desc(self, *, nulls_first: bool = False, nulls_last: bool = False) -> "OrderBy":
        """Descending, for order_by."""
        return OrderBy(self, descending=True, nulls_first=nulls_first, nulls_last=nulls_last)


class F(Expression):
    """The value of a field, found by its name; `__` goes through relations and transforms."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise FieldError(f"F() takes the name of a field, not {type(name).__name__}")
        self.name = name
        self.key = (F, name)
        self.params = ()

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        from hyperdjango.models.lookups import transformed

        found = scope.find(self.name)
        return transformed(scope, self.name, found)

    def names(self) -> Iterator[str]:
        yield self.name

    def __repr__(self) -> str:
        return f"F({self.name!r})"


class Columns:
    """`Book.c`: the fields of a model as expressions, by attribute: `Book.c.price > 10`."""

    __slots__ = ("_model",)

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> F:
        table = self._model._table
        if name not in table.by_name and name not in table.relations and name != "pk":
            error: FieldError = table.unknown(name)
            raise error
        return F(name)

    def __dir__(self) -> list[str]:
        return list(self._model._table.names())


class Value(Expression):
    """A Python value, sent as a parameter with its type said.

    Args:
        value: Anything that the driver encodes.
        output_field: The PostgreSQL type in SQL's words where the Python class does not tell it: from
            `hyperdjango.models` annotations, as for a field.
    """

    __slots__ = ("_type", "value")

    def __init__(self, value: object, output_field: Any = None) -> None:
        self.value = value
        kind, self.params = shape(value)
        self._type = _type_of(output_field) if output_field is not None else type_of_kind(kind)
        self.key = (Value, kind, self._type)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        if self.value is None:
            return Sql("NULL" if self._type is None else f"NULL::{self._type.sql}", type=self._type)
        if self._type is None:
            raise FieldError(
                f"Value() cannot tell the PostgreSQL type of a {type(self.value).__name__}; say it: "
                "Value(value, output_field=…)"
            )
        return Parameter(cursor.take(), self._type, cast=self._type.sql)

    def __repr__(self) -> str:
        return f"Value({self.value!r})"


class OuterRef(Expression):
    """A field of the query around a subquery."""

    __slots__ = ("name",)

    def __init__(self, name: "str | OuterRef") -> None:
        if not isinstance(name, str | OuterRef):
            raise FieldError(f"OuterRef() takes the name of a field, not {type(name).__name__}")
        self.name = name
        self.key = (OuterRef, name if isinstance(name, str) else name.key)
        self.params = ()

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        cursor.outers[self.key] = self
        return Outer(self.key)

    def inner(self) -> Expression:
        """What it is in the query around."""
        return F(self.name) if isinstance(self.name, str) else self.name

    def __repr__(self) -> str:
        return f"OuterRef({self.name!r})"


class Combined(Expression):
    """Two values and an operator between."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, left: object, operator: str, right: object) -> None:
        self.left = left
        self.operator = operator
        self.right = right
        left_kind, left_params = shape(left)
        right_kind, right_params = shape(right)
        self.key = (Combined, left_kind, operator, right_kind)
        self.params = (*left_params, *right_params)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        left = self._side(self.left, scope, cursor)
        right = self._side(self.right, scope, cursor)
        left_node = left if isinstance(left, Node) else _plain(left, right, cursor)
        right_node = right if isinstance(right, Node) else _plain(right, left, cursor)
        return Sql(
            "(", left_node, f" {self.operator} ", right_node, ")",
            type=combined_type(left_node.type, self.operator, right_node.type),
        )  # fmt: skip

    def _side(self, side: object, scope: "Scope", cursor: Cursor) -> "Node | _Plain":
        if isinstance(side, Expression):
            return side.resolve(scope, cursor)
        if side is None:
            raise FieldError(f"None has no value to calculate with, in {self!r}")
        kind, params = shape(side)
        at = cursor.take()
        assert len(params) == 1
        return _Plain(kind, at)

    def names(self) -> Iterator[str]:
        for side in (self.left, self.right):
            if isinstance(side, Expression):
                yield from side.names()

    def __repr__(self) -> str:
        return f"({self.left!r} {self.operator} {self.right!r})"


class _Plain:
    """A value beside an expression, whose type the expression may give."""

    __slots__ = ("at", "kind")

    def __init__(self, kind: Any, at: int) -> None:
        self.kind = kind
        self.at = at


def _plain(plain: _Plain, beside: "Node | _Plain", cursor: Cursor) -> Node:
    """The parameter of a value: typed by its neighbour where that is of its kind, else by itself."""
    own = type_of_kind(plain.kind)
    other = beside.type if isinstance(beside, Node) else None
    if own is None:
        return Parameter(plain.at, other, cast=other.sql if other is not None else None)
    return Parameter(plain.at, own, cast=own.sql)


_RANKS: Final = {"integer": 0, "numeric": 1, "float": 2}


def combined_type(left: ColumnType | None, operator: str, right: ColumnType | None) -> ColumnType | None:
    """Return the type of a calculation.

    PostgreSQL docs: functions-math, functions-datetime.
    """
    if left is None or right is None:
        return left or right
    if left.kind in NUMBERS and right.kind in NUMBERS:
        if operator == "^":
            return left if left.kind == "numeric" else type_of_kind(float)
        return left if _RANKS[left.kind] >= _RANKS[right.kind] else right
    kinds = (left.kind, right.kind)
    if kinds == ("timestamp", "timestamp"):
        return type_of_kind(_timedelta())
    if kinds == ("date", "date"):
        return type_of_kind(int)
    if kinds == ("date", "interval"):
        return ColumnType("timestamp without time zone", None, "timestamp")
    if left.kind == "interval" and right.kind in {"timestamp", "date", "time"}:
        return right
    return left


def _timedelta() -> type:
    from datetime import timedelta

    return timedelta


class OrderBy(Expression):
    """One key of an order."""

    __slots__ = ("descending", "expression", "nulls_first", "nulls_last")

    def __init__(
        self,
        expression: "Expression | str",
        *,
        descending: bool = False,
        nulls_first: bool = False,
        nulls_last: bool = False,
    ) -> None:
        if nulls_first and nulls_last:
            raise FieldError("nulls_first and nulls_last exclude each other")
        self.expression = F(expression) if isinstance(expression, str) else expression
        self.descending = descending
        self.nulls_first = nulls_first
        self.nulls_last = nulls_last
        self.key = (OrderBy, self.expression.key, descending, nulls_first, nulls_last)
        self.params = self.expression.params

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        return self.expression.resolve(scope, cursor)

    def suffix(self, *, reverse: bool = False) -> str:
        """The words behind the value; reversed, NULLs change sides as well."""
        nulls_first, nulls_last = self.nulls_first, self.nulls_last
        if reverse:
            nulls_first, nulls_last = nulls_last, nulls_first
        nulls = " NULLS FIRST" if nulls_first else " NULLS LAST" if nulls_last else ""
        return (" DESC" if self.descending != reverse else "") + nulls

    def names(self) -> Iterator[str]:
        return self.expression.names()


def _type_of(output_field: Any) -> ColumnType:
    from hyperdjango.models._types import column_type

    return output_field if isinstance(output_field, ColumnType) else column_type(output_field)


def as_expression(value: object) -> Expression:
    """Return an expression: names as F, values as Value."""
    if isinstance(value, Expression):
        return value
    return F(value) if isinstance(value, str) else Value(value)


def first_many(expression: Expression, scope: "Scope") -> Many | None:
    """The first relation to many rows that an expression goes through, or None."""
    for name in expression.names():
        try:
            scope.find(name)
        except Many as many:
            return many
    return None
