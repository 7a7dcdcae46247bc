"""Expressions: what may stand in a query where a value may. `F`, `Value`, `OuterRef` and arithmetic are here.

An expression knows its `key` (all that shapes its SQL) and its `params` (the values it brings, in order). It is
resolved against a model only when a query of a new shape is built.

Django docs: ref/models/expressions.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, cast

from hyperdjango.models._checks import is_a
from hyperdjango.models._nodes import Node, Outer, Parameter, Sql
from hyperdjango.models._scope import Many
from hyperdjango.models._shapes import Cursor, shape
from hyperdjango.models._types import ColumnType, UnfitRule, UnsupportedAnnotation, parse
from hyperdjango.models._values import bare_sql, json_text, type_of_kind
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._arithmetic import Combined
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

    def parts(self) -> "Iterable[Expression | Q]":
        """The expressions and conditions that it is made of."""
        return ()

    def names(self) -> Iterator[str]:
        """Every name in it that is looked up for the row itself; what an aggregate gathers is not."""
        for part in self.parts():
            yield from part.names()

    def all_names(self) -> Iterator[str]:
        """Every name in it, those within aggregates included."""
        for part in self.parts():
            yield from part.all_names()

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        return self.key, self.params

    # Arithmetic

    def __add__(self, other: object) -> "Combined":
        return _combined(self, "+", other)

    def __radd__(self, other: object) -> "Combined":
        return _combined(other, "+", self)

    def __sub__(self, other: object) -> "Combined":
        return _combined(self, "-", other)

    def __rsub__(self, other: object) -> "Combined":
        return _combined(other, "-", self)

    def __mul__(self, other: object) -> "Combined":
        return _combined(self, "*", other)

    def __rmul__(self, other: object) -> "Combined":
        return _combined(other, "*", self)

    def __truediv__(self, other: object) -> "Combined":
        return _combined(self, "/", other)

    def __rtruediv__(self, other: object) -> "Combined":
        return _combined(other, "/", self)

    def __mod__(self, other: object) -> "Combined":
        return _combined(self, "%", other)

    def __rmod__(self, other: object) -> "Combined":
        return _combined(other, "%", self)

    def __pow__(self, other: object) -> "Combined":
        return _combined(self, "^", other)

    def __rpow__(self, other: object) -> "Combined":
        return _combined(other, "^", self)

    def __neg__(self) -> "Combined":
        return _combined(self, "*", -1)

    def bitand(self, other: object) -> "Combined":
        """`&` on bits."""
        return _combined(self, "&", other)

    def bitor(self, other: object) -> "Combined":
        """`|` on bits."""
        return _combined(self, "|", other)

    def bitxor(self, other: object) -> "Combined":
        """`#` on bits."""
        return _combined(self, "#", other)

    def bitleftshift(self, other: object) -> "Combined":
        """`<<` on bits."""
        return _combined(self, "<<", other)

    def bitrightshift(self, other: object) -> "Combined":
        """`>>` on bits."""
        return _combined(self, ">>", other)

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


def _combined(left: object, operator: str, right: object) -> "Combined":
    from hyperdjango.models._arithmetic import Combined

    return Combined(left, operator, right)


class F(Expression):
    """The value of a field, found by its name; `__` goes through relations and transforms."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not is_a(name, str):
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

    all_names = names

    @property
    def default_alias(self) -> str:
        """The name of the value where none is given."""
        return self.name

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
        output_field: An annotation as for a field of a model, where the Python class does not tell the PostgreSQL
            type: `Value([], output_field=list[int])`. None as JSON is JSON's null.
    """

    __slots__ = ("_type", "kind", "value")

    def __init__(self, value: object, output_field: Any = None) -> None:
        if isinstance(value, Expression):
            raise FieldError(f"Value() takes a Python value; {value!r} is an expression already")
        self.value = value
        self.kind, self.params = shape(value)
        self._type = type_from(output_field) if output_field is not None else type_of_kind(self.kind)
        self.key = (Value, self.kind, None if output_field is None else self._type)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        if not self.params:
            if self._type is not None and self._type.kind == "json":
                return Sql(f"'null'::{self._type.sql}", type=self._type, is_nullable=False)
            return Sql(
                "NULL" if self._type is None else f"NULL::{bare_sql(self._type)}",
                type=self._type,
                is_nullable=True,
            )
        if self._type is None:
            raise FieldError(
                f"Value() cannot tell the PostgreSQL type of {_described(self.value)}; say it: "
                "Value(value, output_field=…)"
            )
        return self._parameter(cursor, self._type)

    def resolve_as(self, scope: "Scope", cursor: Cursor, type_: ColumnType) -> Node:
        """Where the type is that of its place, unless an output_field says another."""
        if not self.params or self.key[2] is not None:
            return self.resolve(scope, cursor)
        return self._parameter(cursor, type_)

    def resolve_bare(self, scope: "Scope", cursor: Cursor) -> Node:
        """As an argument of a function that PostgreSQL chooses by the other arguments: without a type."""
        if not self.params or self.key[2] is not None:
            return self.resolve(scope, cursor)
        return self._parameter(cursor, self._type, is_bare=True)

    @staticmethod
    def _parameter(cursor: Cursor, type_: ColumnType | None, *, is_bare: bool = False) -> Node:
        at = cursor.take()
        if type_ is not None and type_.kind == "json":
            cursor.adapt(at, json_text)
        return Parameter(at, type_, cast=None if is_bare or type_ is None else bare_sql(type_))

    def __repr__(self) -> str:
        return f"Value({self.value!r})"


def _described(value: object) -> str:
    return "an empty list" if value == [] else f"a {type(value).__name__}"


class Star(Expression):
    """`*`: whole rows, for Count()."""

    __slots__ = ()

    key = (object(),)
    params = ()

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        return Sql("*", type=None, is_nullable=False)

    default_alias = "*"

    def __repr__(self) -> str:
        return "'*'"


class OuterRef(Expression):
    """A field of the query around a subquery."""

    __slots__ = ("name",)

    def __init__(self, name: "str | OuterRef") -> None:
        if not is_a(name, str, OuterRef):
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

    def parts(self) -> "Iterable[Expression | Q]":
        return (self.expression,)

    def __repr__(self) -> str:
        return f"{self.expression!r}.{'desc' if self.descending else 'asc'}()"


def type_from(output_field: Any) -> ColumnType:
    """Return the type that an annotation stands for, as for a field of a model.

    Raises:
        FieldError: It stands for none.
    """
    if isinstance(output_field, ColumnType):
        return output_field
    try:
        return parse(output_field).column_type
    except UnfitRule as problem:
        raise FieldError(f"output_field={output_field!r}: {problem}") from None
    except UnsupportedAnnotation as problem:
        raise FieldError(f"output_field={output_field!r} is no column type; write {problem}") from None


def order_keys(order_by: Any) -> tuple[OrderBy, ...]:
    """Return the keys of an `order_by=`: a name (`-name` descends), an expression, or several of them."""
    return tuple(_order_key(one) for one in several(order_by))


def several(given: Any) -> tuple[Any, ...]:
    """Return what may be given alone, as a list, or not at all."""
    if isinstance(given, list | tuple):
        return tuple(cast("list[Any]", given))
    return () if given is None else (given,)


def _order_key(one: Any) -> OrderBy:
    if isinstance(one, OrderBy):
        return one
    if isinstance(one, str):
        return OrderBy(one.lstrip("-") if one[:1] == "-" else one, descending=one[:1] == "-")
    if isinstance(one, Expression):
        return OrderBy(one)
    raise FieldError(f"order_by takes names and expressions, not {type(one).__name__}")


def write_order(keys: "Iterable[OrderBy]", nodes: "Iterable[Node]") -> list[str | Node]:
    """The pieces behind ORDER BY."""
    parts: list[str | Node] = []
    for key, node in zip(keys, nodes, strict=True):
        parts += [", "] if parts else []
        parts += [node, key.suffix()]
    return parts


def as_expression(value: object) -> Expression:
    """Return an expression: names as F, values as Value."""
    if isinstance(value, Expression):
        return value
    if hasattr(type(value), "resolve"):
        from hyperdjango.models._subquery import Condition, Subquery
        from hyperdjango.models.query_words import Q

        return Condition(value) if isinstance(value, Q) else Subquery(value)
    return F(value) if isinstance(value, str) else Value(value)


def first_many(expression: "Expression | Q", scope: "Scope") -> Many | None:
    """The first relation to many rows that an expression goes through, within aggregates as well; or None."""
    for name in expression.all_names():
        try:
            scope.find(name)
        except Many as many:
            return many
    return None
