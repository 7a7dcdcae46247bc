"""Lookups and transforms of arrays.

Django docs: ref/contrib/postgres/fields, "Querying ArrayField". PostgreSQL docs: functions-array.
"""

import re
from typing import Any, Final

from hyperdjango.models._checks import is_a
from hyperdjango.models._lookups_core import check, exact, fitting
from hyperdjango.models._nodes import Node, Select, Sql, condition
from hyperdjango.models._operand import Operand
from hyperdjango.models._shapes import ListKind, MixedKind
from hyperdjango.models._sql import as_type, enclosed, separated
from hyperdjango.models._types import INTEGER, ColumnType
from hyperdjango.models._values import bare_sql, type_of_kind
from hyperdjango.models.lookups import Build, any_word, lookup, transform

_INDEX: Final = re.compile(r"[0-9]{1,9}")
_SLICE: Final = re.compile(r"([0-9]{1,9})_([0-9]{1,9})")


def _element(left: Node) -> ColumnType | None:
    return left.type.element if left.type is not None else None


def _array(left: Node, operand: Operand) -> Node:
    """The right side as an array of the column's type."""
    assert left.type is not None
    type_, element = left.type, _element(left)
    if operand.is_expression:
        node = operand.node()
        if isinstance(node, Select) and (node.type is None or node.type.kind != "array"):
            return Sql("ARRAY", node, f"::{bare_sql(type_)}", type=type_)
        return as_type(node, type_)
    if isinstance(operand.kind, MixedKind):
        nodes = [
            fitting(Sql("", type=element), one) if element is not None else one.node()
            for one in operand.elements()
        ]
        return Sql("ARRAY[", *separated(nodes), f"]::{bare_sql(type_)}", type=type_)
    if not isinstance(operand.kind, ListKind):
        raise operand.wrong("a list")
    for one in operand.kind.types:
        if element is not None and element.kind != "array":
            check(element, type_of_kind(one), operand)
    return operand.node(bare_sql(type_))


def _operator(sql: str) -> Build:
    def build(left: Node, operand: Operand) -> Node:
        return condition(left, f" {sql} ", _array(left, operand))

    return build


for _name, _sql in (("contains", "@>"), ("contained_by", "<@"), ("overlap", "&&")):
    lookup(_name, "array")(_operator(_sql))


@lookup("any", "array")
def _any(left: Node, operand: Operand) -> Node:
    element = _element(left)
    return condition(fitting(Sql("", type=element), operand), " = ANY(", left, ")")


@lookup("exact", "array", takes_none=True)
def _exact(left: Node, operand: Operand) -> Node:
    if operand.value is None or operand.is_expression:
        return exact(left, operand)
    return condition(left, " = ", _array(left, operand))


@lookup("in", "array")
def _is_in(left: Node, operand: Operand) -> Node:
    """Arrays go as their text: lists of several lengths are no array together."""
    if operand.is_expression:
        return condition(left, " IN ", operand.node())
    if not isinstance(operand.kind, ListKind) or not operand.kind.types <= {list, tuple}:
        raise operand.wrong("a list of lists")
    assert left.type is not None
    texts = operand.node("text[]", lambda values: [array_text(value) for value in values])
    return condition(left, f" IN (SELECT a::{bare_sql(left.type)} FROM unnest(", texts, ") AS a)")


def array_text(value: Any) -> str:
    """Return a list as PostgreSQL's text of an array."""
    if is_a(value, list, tuple):
        return f"{{{','.join(array_text(one) for one in value)}}}"
    if value is None:
        return "NULL"
    value = getattr(value, "value", value)
    text = f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@transform("len", "array")
def _length(node: Node) -> Node:
    return Sql("cardinality(", node, ")", type=INTEGER, is_nullable=node.is_nullable)


@any_word("array")
def _element_at(node: Node, word: str) -> Node | None:
    """`words__0`, and `words__0_2` for the first two; counted from 0 as in Python."""
    if _INDEX.fullmatch(word):
        return Sql(enclosed(node), f"[{int(word) + 1}]", type=_element(node), is_nullable=True)
    found = _SLICE.fullmatch(word)
    if found is None:
        return None
    return Sql(
        enclosed(node), f"[{int(found[1]) + 1}:{int(found[2])}]", type=node.type, is_nullable=node.is_nullable
    )
