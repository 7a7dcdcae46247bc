"""Lookups of all kinds of columns: exact, gt, gte, lt, lte, isnull, in, range.

Django docs: ref/models/querysets, "Field lookups".
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from hyperdjango.models._checks import has, is_a
from hyperdjango.models._guards import Guard, each, guard_of
from hyperdjango.models._nodes import FALSE, Named, Node, Ref, Row, Sql, condition, joined
from hyperdjango.models._operand import Operand
from hyperdjango.models._shapes import (
    BIGINT_MAX,
    BIGINT_MIN,
    AboveBigint,
    BelowBigint,
    ListKind,
    MixedKind,
    PairKind,
)
from hyperdjango.models._sql import as_text, as_type, cast, separated
from hyperdjango.models._types import ColumnType
from hyperdjango.models._values import array_of, bare_sql, json_text, type_of_kind
from hyperdjango.models.errors import FieldError
from hyperdjango.models.lookups import Build, is_null, lookup, type_name

# The kinds of values that can be compared with a column without another word.
_NUMBERS: Final = frozenset({"integer", "numeric", "float"})
_FITS: Final[dict[str, frozenset[str]]] = {
    "integer": _NUMBERS,
    "numeric": _NUMBERS,
    "float": _NUMBERS,
    "text": frozenset({"text"}),
    "enum": frozenset({"text", "enum"}),
    "boolean": frozenset({"boolean"}),
    "date": frozenset({"date", "timestamp"}),
    "timestamp": frozenset({"date", "timestamp"}),
    "time": frozenset({"time"}),
    "interval": frozenset({"interval"}),
    "uuid": frozenset({"uuid"}),
    "bytes": frozenset({"bytes"}),
    "array": frozenset({"array"}),
}


# Kinds of columns that values of other kinds can be compared with as they are.
_CROSS: Final = _NUMBERS | {"date", "timestamp"}


def fitting(left: Node, operand: Operand) -> Node:
    """The value of a comparison, typed so that it fits the column.

    Raises:
        FieldError: A Python value of that class is never equal to, or comparable with, the column's.
    """
    column = left.type
    if operand.is_expression:
        node = operand.node()
        as_text_of: Callable[[], Node] | None = getattr(node, "as_text", None)
        if as_text_of is not None and column is not None and column.kind != "json":
            # A key of JSON beside a column: what is in it, as the column's type.
            return as_type(as_text_of(), column)
        check(column, node.type, operand)
        return node
    own = type_of_kind(operand.kind)
    if column is None:
        return operand.node(own.sql if own is not None else None)
    check(column, own, operand)
    guard = guard_of(column, own, operand)
    if own is not None and (
        own.kind == column.kind == "integer" or (column.kind in _CROSS and own.kind != column.kind)
    ):
        # An int beyond the column's own size is just a value that no row has.
        return operand.node(own.sql, guard)
    return operand.node(None if isinstance(left, Ref | Named) else bare_sql(column), guard)


def check(column: ColumnType | None, own: ColumnType | None, operand: Operand) -> None:
    """Refuse what PostgreSQL could not compare with the column.

    Raises:
        FieldError: The text names what the column takes.
    """
    fits = _FITS.get(column.kind) if column is not None else None
    if column is None or own is None or fits is None or own.kind in fits or own.kind not in _FITS:
        return
    given = own.sql if operand.is_expression else type(operand.value).__name__
    raise FieldError(
        f"{operand.model.__name__}: {operand.said} is compared with {given}, "
        f"but {column.sql} takes {type_name(column)}"
    )


def sides(left: Node, operand: Operand) -> tuple[Node, Node]:
    """Both sides of a comparison; an enum and text are compared as text."""
    right = fitting(left, operand)
    if operand.is_expression and left.type is not None and right.type is not None:
        kinds = {left.type.kind, right.type.kind}
        if kinds == {"enum", "text"}:
            return as_text(left), as_text(right)
    return left, right


def operator(sql: str) -> Build:
    """A lookup that is an operator between the column and the value."""

    def build(left: Node, operand: Operand) -> Node:
        if isinstance(left, Row):
            return _row_compared(left, sql, operand)
        if (
            (operand.kind is AboveBigint or operand.kind is BelowBigint)
            and left.type is not None
            and left.type.kind == "integer"
        ):
            # Known without looking at the row; as numeric it would be compared without an index.
            is_true = sql[0] == ("<" if operand.kind is AboveBigint else ">")
            return condition(left, " IS NOT NULL", is_nullable=False) if is_true else FALSE
        one, other = sides(left, operand)
        return condition(one, f" {sql} ", other)

    return build


for _name, _sql in (("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<=")):
    lookup(_name)(operator(_sql))

_equal = operator("=")


@lookup("exact", takes_none=True)
def exact(left: Node, operand: Operand) -> Node:
    """`=`; None is IS NULL."""
    return is_null(left) if operand.value is None else _equal(left, operand)


@lookup("isnull")
def _isnull(left: Node, operand: Operand) -> Node:
    wanted = operand.constant(bool)
    found = is_null(left)
    return found if wanted else condition("NOT (", found, ")", is_nullable=False)


@lookup("range")
def between(left: Node, operand: Operand) -> Node:
    """BETWEEN: both ends are within."""
    lower, upper = pair(operand)
    return condition(left, " BETWEEN ", fitting(left, lower), " AND ", fitting(left, upper))


def pair(operand: Operand) -> list[Operand]:
    """The two ends of a range.

    Raises:
        FieldError: There are not two, or one is None.
    """
    if not isinstance(operand.kind, PairKind):
        raise operand.wrong("a list or tuple of two values, a lower and an upper one")
    if any(one is None for one in operand.value):
        raise FieldError(
            f"{operand.model.__name__}: {operand.said} takes two values; for a range that is open use gte or lte"
        )
    return operand.elements()


@lookup("in")
def is_in(left: Node, operand: Operand) -> Node:
    """A list is one array parameter: an empty one is false; NULLs in it equal nothing and are left out."""
    if operand.is_expression:
        node = operand.node()
        check(left.type, node.type, operand)
        if (
            left.type is not None
            and node.type is not None
            and {left.type.kind, node.type.kind} == _ENUM_AND_TEXT
        ):
            left = as_text(left)
        return condition(left, " IN ", node)
    if isinstance(operand.kind, MixedKind | PairKind):
        nodes = [fitting(left, one) for one in operand.elements() if one.value is not None]
        return condition(left, " IN (", *separated(nodes), ")") if nodes else FALSE
    if not isinstance(operand.kind, ListKind):
        raise operand.wrong("a list or a queryset")
    types = operand.kind.types - {type(None)}
    if not types:
        # Without a value the parameter would have no type; it is not mentioned, and so not sent.
        return FALSE
    if isinstance(left, Row):
        return _row_in(left, operand)
    for one in types:
        check(left.type, type_of_kind(one), _element(operand, one))
    has_instances = any(hasattr(one, "_table") for one in types)
    adapt: Guard = keys_of if has_instances else _bigints if types == _INTS else _without_none
    guards = (
        [guard_of(left.type, type_of_kind(one), operand) for one in types] if left.type is not None else []
    )
    if any(guards):
        adapt = _guarded([each(guard) for guard in guards if guard is not None], adapt)
    values = operand.bare_node(_list_type(left.type, types), adapt)
    if not operand.wrappers:
        return condition(left, " = ANY(", values, ")")
    element: Node = Sql("v", type=left.type)
    for wrapper in operand.wrappers:
        element = wrapper(element)
    return condition(left, " IN (SELECT ", element, " FROM unnest(", values, ") AS v)")


def _element(operand: Operand, kind: Any) -> Operand:
    """The operand, for an error about one value of the list."""
    if hasattr(operand.value, "_through"):
        return operand  # a Param: there is no value yet
    one = next(value for value in operand.value if type(value) is kind)
    shown = Operand.__new__(Operand)
    shown.value, shown.said, shown.kind, shown._scope = one, operand.said, kind, operand._scope
    return shown


def _list_type(column: ColumnType | None, types: frozenset[type]) -> str | None:
    """The type of the array: the values' own where these are numbers, for an int may pass the column's size."""
    own = type_of_kind(ListKind(types))
    if column is None:
        return own.sql if own is not None else None
    element = own.element if own is not None else None
    if element is None or column.kind not in _CROSS or (element.kind == column.kind != "integer"):
        return array_of(column).sql
    return own.sql if own is not None else None


def _guarded(guards: list[Guard], adapt: Guard) -> Guard:
    def adapted(values: list[Any]) -> Any:
        for guard in guards:
            guard(values)
        return adapt(values)

    return adapted


def _without_none(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _bigints(values: list[Any]) -> list[Any]:
    """Ints that pass bigint equal nothing either."""
    return [value for value in values if value is not None and BIGINT_MIN <= value <= BIGINT_MAX]


_ENUM_AND_TEXT: Final = {"enum", "text"}
_INTS: Final = frozenset((int,))


def keys_of(values: list[Any]) -> list[Any]:
    """The keys of instances; values that are none stay."""
    return [value._shape()[1][0] if has(value, "_table") else value for value in values if value is not None]


# Keys of several columns


def _row_compared(left: Row, sql: str, operand: Operand) -> Node:
    if operand.is_expression:
        return condition(left, f" {sql} ", operand.node())
    if operand.is_instance:
        values = operand.parameters()
    elif is_a(operand.value, tuple) and len(operand.value) == len(left.nodes):
        values = _unpacked(operand.node("jsonb", _key_text), left)
    else:
        raise operand.wrong(f"an instance or a tuple of {len(left.nodes)} values")
    if sql == "=":
        pairs = zip(left.nodes, values, strict=True)
        return joined([condition(node, " = ", value) for node, value in pairs], "AND")
    return condition(left, f" {sql} (", *separated(values), ")")


def _row_in(left: Row, operand: Operand) -> Node:
    """Keys of several columns go as one JSON parameter, whatever their types are."""
    count = len(left.nodes)
    for value in operand.value:
        if not has(value, "_table") and not (is_a(value, tuple) and len(value) == count):
            raise operand.wrong(f"a list of instances or of tuples of {count} values")
    keys = Sql("k", type=None)
    values = _unpacked(keys, left)
    return condition(
        left, " IN (SELECT ", *separated(values), " FROM jsonb_array_elements(", operand.node("jsonb", _key_texts),
        ") AS k)",
    )  # fmt: skip


def _unpacked(value: Node, left: Row) -> list[Node]:
    nodes: list[Node] = []
    for position, node in enumerate(left.nodes):
        assert node.type is not None
        text = Sql("(", value, f" ->> {position})", type=None, is_nullable=False)
        nodes.append(cast(text, bare_sql(node.type), node.type))
    return nodes


def _key_text(value: Any) -> str:
    return json_text([_scalar(part) for part in value])


def _key_texts(values: list[Any]) -> str:
    keys = [value._shape()[1] if has(value, "_table") else value for value in values if value is not None]
    return json_text([[_scalar(part) for part in key] for key in keys])


def _scalar(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return getattr(value, "value", value)
