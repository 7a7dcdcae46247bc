"""Lookups and transforms of ranges and multiranges, and `contained_by` of what they are made of.

Django docs: ref/contrib/postgres/fields, "Querying Range Fields". PostgreSQL docs: functions-range.
"""

from collections.abc import Callable
from typing import Any, Final

from hyperdjango.database.types import Multirange, Range
from hyperdjango.models._lookups_core import check
from hyperdjango.models._nodes import Node, Sql, condition
from hyperdjango.models._operand import Operand
from hyperdjango.models._shapes import ListKind
from hyperdjango.models._sql import as_type, call
from hyperdjango.models._types import BOOLEAN, ColumnType
from hyperdjango.models._values import bare_sql, type_of_kind
from hyperdjango.models.errors import FieldError
from hyperdjango.models.lookups import Build, lookup, transform

# The range type of each type that there is one of.
_RANGES: Final = {
    "smallint": "int4range",
    "integer": "int4range",
    "bigint": "int8range",
    "numeric": "numrange",
    "date": "daterange",
    "timestamp with time zone": "tstzrange",
    "timestamp without time zone": "tsrange",
}
_KINDS: Final = ("range", "multirange")


def _range(operand: Operand, sql: str) -> Node:
    """The right side as a range: a Range, a Multirange, a pair of bounds, or an expression."""
    if operand.is_expression:
        return operand.node()
    if isinstance(operand.value, Multirange):
        return operand.node(sql if "multi" in sql else sql.replace("range", "multirange"))
    if isinstance(operand.value, Range):
        return operand.node(sql.replace("multirange", "range"))
    if isinstance(operand.kind, ListKind) and len(operand.value) == 2:
        return operand.node(sql.replace("multirange", "range"), _from_pair(operand.said))
    raise operand.wrong("a Range or a pair of bounds")


def _from_pair(said: str) -> Callable[[Any], Any]:
    def adapt(value: Any) -> Any:
        if len(value) != 2:
            raise FieldError(f"{said} takes a Range or a pair of bounds, not {len(value)} values")
        return Range(value[0], value[1])

    return adapt


def _sql_of(left: Node) -> str:
    assert left.type is not None
    return bare_sql(left.type)


def _operator(sql: str) -> Build:
    def build(left: Node, operand: Operand) -> Node:
        return condition(left, f" {sql} ", _range(operand, _sql_of(left)))

    return build


for _name, _sql in (
    ("contained_by", "<@"), ("overlap", "&&"), ("fully_lt", "<<"), ("fully_gt", ">>"), ("not_lt", "&>"),
    ("not_gt", "&<"), ("adjacent_to", "-|-"),
):  # fmt: skip
    lookup(_name, *_KINDS)(_operator(_sql))


@lookup("contains", *_KINDS)
def _contains(left: Node, operand: Operand) -> Node:
    element = left.type.element if left.type is not None else None
    is_range = isinstance(operand.value, Range | Multirange) or isinstance(operand.kind, ListKind)
    if is_range or element is None:
        return condition(left, " @> ", _range(operand, _sql_of(left)))
    if operand.is_expression:
        node = operand.node()
        kind = node.type.kind if node.type is not None else "other"
        return condition(left, " @> ", node if kind in {*_KINDS, "other"} else as_type(node, element))
    check(element, type_of_kind(operand.kind), operand)
    return condition(left, " @> ", operand.node(bare_sql(element)))


@lookup("contained_by", "integer", "numeric", "date", "timestamp")
def _within(left: Node, operand: Operand) -> Node:
    sql = _RANGES.get(_sql_of(left))
    if sql is None:
        raise FieldError(f"{operand.said}: there is no range of {_sql_of(left)}")
    return condition(left, " <@ ", _range(operand, sql))


def _bound(function: str) -> Callable[[Node], Node]:
    def build(node: Node) -> Node:
        element: ColumnType | None = node.type.element if node.type is not None else None
        return call(function, node, type_=element, is_nullable=True)

    return build


def _flag(function: str) -> Callable[[Node], Node]:
    return lambda node: Sql(f"{function}(", node, ")", type=BOOLEAN, is_nullable=node.is_nullable)


transform("startswith", *_KINDS)(_bound("lower"))
transform("endswith", *_KINDS)(_bound("upper"))
for _name in ("isempty", "lower_inc", "lower_inf", "upper_inc", "upper_inf"):
    transform(_name, *_KINDS)(_flag(_name))
