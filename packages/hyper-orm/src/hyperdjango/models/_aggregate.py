"""`Aggregate`: what all aggregates have in common. `aggregates` has the functions themselves.

An aggregate over a relation to many is a subquery of its own, joined LATERAL: so several of them never multiply
each other's rows, and none multiplies the query's. In a scope that joins such relations (groups by `values()`,
`aggregate()`) it is a plain aggregate of the rows there.

Django docs: ref/models/querysets, "Aggregation functions".
PostgreSQL docs: functions-aggregate, sql-expressions, "Aggregate Expressions".
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from hyperdjango.models._checks import is_a
from hyperdjango.models._nodes import (
    AggregateCall,
    Identifier,
    Lateral,
    Named,
    Node,
    Source,
    Sql,
)
from hyperdjango.models._scope import SEPARATOR, Many, Scope
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._sql import as_type, retyped, separated
from hyperdjango.models._types import ColumnType
from hyperdjango.models._values import array_of, bare_sql
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import (
    Expression,
    F,
    OrderBy,
    Value,
    as_expression,
    order_keys,
    type_from,
    write_order,
)
from hyperdjango.models.query_words import Q

if TYPE_CHECKING:
    from hyperdjango.models._scope import Found

Over = Callable[[], Node]


class Aggregate(Expression):
    """A value that is made of many rows.

    Args:
        expressions: What to gather: names of fields, and expressions. A name that goes through a relation to many
            gathers the rows there that belong to each row of the query.
        filter: Only rows for which this is true. Names that go through the same relation mean the row that is
            gathered, all others the row around.
        distinct: Each different value once.
        order_by: In this order, where the order matters.
        default: The value where there is no row; else it is NULL.
        output_field: An annotation as for a field of a model; the value is cast to it.
    Raises:
        FieldError: The filter is no condition, or this aggregate has no DISTINCT or no order.
    """

    __slots__ = ("_output", "condition", "default", "is_distinct", "order", "sources")

    function: ClassVar[str]
    arity: ClassVar[int] = 1
    has_distinct: ClassVar[bool] = True
    has_order: ClassVar[bool] = False
    is_never_null: ClassVar[bool] = False

    def __init__(
        self,
        *expressions: object,
        filter: Q | Expression | None = None,
        distinct: bool = False,
        order_by: Any = None,
        default: object = None,
        output_field: Any = None,
    ) -> None:
        name = type(self).__name__
        if len(expressions) != self.arity:
            raise FieldError(f"{name}() takes {self.arity} expressions, not {len(expressions)}")
        if filter is not None and not is_a(filter, Q, Expression):
            raise FieldError(
                f"{name}(filter=…) takes a Q or a boolean expression, not {type(filter).__name__}"
            )
        if distinct and not self.has_distinct:
            raise FieldError(f"{name}() has no distinct=")
        if order_by is not None and not self.has_order:
            raise FieldError(f"{name}() has no order_by=: its value does not depend on it")
        if default is not None and self.is_never_null:
            raise FieldError(f"{name}() has no default=: it is never NULL")
        self.sources = tuple(map(as_expression, expressions))
        self.condition = Q(filter) if isinstance(filter, Expression) else filter
        self.is_distinct = bool(distinct)
        self.order = order_keys(order_by)
        self.default = (
            None if default is None else default if isinstance(default, Expression) else Value(default)
        )
        self._output = type_from(output_field) if output_field is not None else None
        self._fill()

    def _fill(self, *options: Any) -> None:
        pieces = (*self.sources, self.condition, *self.order, self.default)
        self.key = (
            type(self), options, self._output, self.is_distinct, len(self.order),
            *[None if one is None else one.key for one in pieces],
        )  # fmt: skip
        self.params = sum((one.params for one in pieces if one is not None), ())

    def parts(self) -> Iterable[Expression | Q]:
        rest = (self.condition, self.default)
        return (*self.sources, *self.order, *[one for one in rest if one is not None])

    def names(self) -> Iterator[str]:
        # What it gathers is not looked up for the row itself.
        return iter(())

    def all_names(self) -> Iterator[str]:
        yield from self._gathered()

    def _gathered(self) -> Iterator[str]:
        for source in (*self.sources, *self.order):
            yield from source.all_names()

    @property
    def default_alias(self) -> str:
        """The name of the value where none is given, as Django forms it: `books__count`."""
        source = self.sources[0] if len(self.sources) == 1 else None
        if not isinstance(source, F):
            raise FieldError(f"{self!r} needs a name: annotate(name={self!r})")
        return f"{source.name}__{type(self).__name__.lower()}"

    def resolve(self, scope: Scope, cursor: Cursor) -> Node:
        return self.resolve_over(scope, cursor, None)

    def resolve_over(self, scope: Scope, cursor: Cursor, over: Over | None) -> Node:
        """Resolve it; with `over`, as a window function over what that returns."""
        inner = _apart(scope)
        first = _many(inner, self._gathered())
        if first is None or scope.joins_many:
            return self._called(scope, settled(scope, self._gathered()), cursor, over)
        if over is not None:
            raise FieldError(
                f"{self!r} gathers rows of {SEPARATOR.join(first.prefix)!r}, so it is no window function: annotate "
                "it first, and use the annotation"
            )
        from hyperdjango.models._where import correlated, subselect

        root, correlation = correlated(first)
        inner = settled(inner.with_many(first.prefix, root), self._gathered(), root, repr(self))
        node = self._called(inner, inner, cursor, None)
        self._leave_out_missing(inner, root)
        select = subselect(
            root, [Sql(node, " AS ", Identifier("v"), type=node.type)], [correlation], node.type
        )
        value = Named(Lateral(first.source, select), "v", node.type)
        value.is_nullable = node.is_nullable
        return value

    def _leave_out_missing(self, scope: Scope, root: Source) -> None:
        """Relations further on are joined where a row has any: no row there is not gathered as NULL."""
        if len(self.sources) != 1 or not isinstance(self.sources[0], F) or self.order:
            return
        found: Found = scope.find(self.sources[0].name)
        source: Source | None = getattr(found.node, "source", None)
        while source is not None and source is not root:
            if source.root is root and source.relation is not None and source.relation.is_many:
                source.is_inner = True
            source = source.parent

    def _called(self, scope: Scope, inner: Scope, cursor: Cursor, over: Over | None) -> Node:
        arguments: list[Node] = []
        for source in self.sources:
            node = source.resolve(scope if scope.joins_many else inner, cursor)
            if node.has_aggregate or node.has_window:
                what = "an aggregate" if node.has_aggregate else "a window function"
                raise FieldError(f"{source!r} is {what} already, and cannot be gathered by {self!r}")
            arguments.append(node)
        condition = self.condition.resolve(inner, cursor) if self.condition is not None else None
        order = [
            self._order_node(key, arguments, scope if scope.joins_many else inner, cursor)
            for key in self.order
        ]
        arguments = self.prepared(arguments)
        natural = self.natural(arguments)
        default = self._default_node(natural, scope, cursor)
        window = over() if over is not None else None
        parts: list[str | Node] = [f"{self.function}(", "DISTINCT " if self.is_distinct else ""]
        parts += [*separated(arguments)]
        if order:
            parts += [" ORDER BY ", *write_order(self.order, order)]
        parts.append(")")
        if condition is not None:
            parts += [" FILTER (WHERE ", condition, ")"]
        made: Node = AggregateCall(*parts, type=natural, is_nullable=not self.is_never_null)
        if window is not None:
            made = windowed(made, window)
        made = self.cast(made, arguments)
        if default is not None:
            nullable = default.is_nullable
            made = Sql("coalesce(", made, ", ", default, ")", type=made.type, is_nullable=nullable)
        return made if self._output is None else as_type(made, self._output)

    def _default_node(self, natural: ColumnType | None, scope: Scope, cursor: Cursor) -> Node | None:
        if self.default is None:
            return None
        if isinstance(self.default, Value) and natural is not None and natural.kind in {"array", "json"}:
            # A list alone may say no type, or another one: an empty one has none.
            return self.default.resolve_as(scope, cursor, natural)
        return self.default.resolve(scope, cursor)

    def _order_node(self, key: OrderBy, arguments: list[Node], scope: Scope, cursor: Cursor) -> Node:
        for source, argument in zip(self.sources, arguments, strict=True):
            if key.expression.key == source.key:
                # DISTINCT wants the very same value, and its parameters are other ones.
                cursor.skip(len(key.params))
                return self.prepared([argument, *arguments[1:]])[0]
        if self.is_distinct:
            raise FieldError(f"{self!r}: with distinct=True, order_by can only be what is gathered")
        return key.resolve(scope, cursor)

    def prepared(self, arguments: list[Node]) -> list[Node]:
        """The arguments as the function wants them."""
        return arguments

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        """The type that PostgreSQL gives the value."""
        raise NotImplementedError

    def cast(self, node: Node, arguments: list[Node]) -> Node:
        """The value with the type that Python is to have it in."""
        return node

    def __repr__(self) -> str:
        options = ", distinct=True" if self.is_distinct else ""
        options += f", filter={self.condition!r}" if self.condition is not None else ""
        return f"{type(self).__name__}({', '.join(map(repr, self.sources))}{options})"


def windowed(node: Node, window: Node) -> Node:
    """The function over a window; it gathers no groups then."""
    made = Sql(node, " OVER ", window, type=node.type, is_nullable=node.is_nullable)
    made.has_aggregate = window.has_aggregate
    made.has_window = True
    return made


def _apart(scope: Scope) -> Scope:
    """The scope, without joining relations to many by itself."""
    return Scope(scope.root, scope.annotations, scope.many, extra=scope.extra)


def _many(scope: Scope, names: Iterator[str]) -> Many | None:
    for name in names:
        try:
            scope.find(name)
        except Many as many:
            return many
    return None


def settled(scope: Scope, names: Iterator[str], root: Source | None = None, said: str = "") -> Scope:
    """The scope in which every relation to many that the names go through means one joined row of it.

    Others do not: a condition on them is an EXISTS, which multiplies nothing.

    Raises:
        FieldError: One of them does not begin at `root`.
    """
    scope = _apart(scope)
    for name in names:
        many = _many(scope, iter((name,)))
        while many is not None:
            if root is not None and many.source.root is not root:
                raise FieldError(
                    f"{said} gathers rows of more than one relation, of {SEPARATOR.join(many.prefix)!r} as well; "
                    "one aggregate gathers one"
                )
            if many.filtered is not None:
                # Its condition is that of a subquery; a join of groups has no place for it.
                raise many
            scope = scope.with_many(many.prefix, many.source.child(many.relation))
            many = _many(scope, iter((name,)))
    return scope


def element_type(node: Node) -> ColumnType | None:
    """The type of a list of such values."""
    return array_of(node.type) if node.type is not None else None


def is_kind(node: Node, *kinds: str) -> bool:
    """Whether the value is of one of these kinds."""
    return node.type is not None and node.type.kind in kinds


def bare_type(node: Node) -> ColumnType | None:
    """The type without length and digits."""
    return None if node.type is None else node.type._replace(sql=bare_sql(node.type))


__all__ = ["Aggregate", "bare_type", "element_type", "is_kind", "retyped", "settled", "windowed"]
