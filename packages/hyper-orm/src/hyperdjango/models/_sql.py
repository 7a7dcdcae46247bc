"""Small pieces of SQL that functions, aggregates and lookups are put together from.

The words are ours; what comes from a user is a node or an `Identifier`.
"""

from collections.abc import Iterable

from hyperdjango.models._nodes import Named, Node, Parameter, Ref, Sql
from hyperdjango.models._types import TEXT, ColumnType
from hyperdjango.models._values import FLOAT, NUMERIC, array_of, bare, bare_sql


def separated(nodes: Iterable[Node], between: str = ", ") -> list[str | Node]:
    """Nodes with something between them."""
    parts: list[str | Node] = []
    for node in nodes:
        if parts:
            parts.append(between)
        parts.append(node)
    return parts


def call(name: str, *nodes: Node, type_: ColumnType | None, is_nullable: bool | None = None) -> Sql:
    """A function of ours by its name."""
    return Sql(f"{name}(", *separated(nodes), ")", type=type_, is_nullable=is_nullable)


def enclosed(node: Node) -> Node:
    """The value in parentheses, where something may bind to a part of it otherwise."""
    if isinstance(node, Ref | Named | Parameter):
        return node
    return Sql("(", node, ")", type=node.type, is_nullable=node.is_nullable)


def cast(node: Node, sql: str, type_: ColumnType | None) -> Node:
    """The value as another type; `sql` names it."""
    return Sql(enclosed(node), f"::{sql}", type=type_, is_nullable=node.is_nullable)


def as_type(node: Node, type_: ColumnType) -> Node:
    """The value as that type, where it is not of it already."""
    if node.type is not None and bare_sql(node.type) == bare_sql(type_):
        return retyped(node, type_)
    return cast(node, bare_sql(type_), bare(type_))


def retyped(node: Node, type_: ColumnType | None) -> Node:
    """The same SQL; in Python it is of that type."""
    if node.type == type_:
        return node
    return Sql(node, type=type_, is_nullable=node.is_nullable)


def as_text(node: Node) -> Node:
    """The value as text."""
    if node.type is not None and node.type.kind == "text":
        return node
    return cast(node, "text", TEXT)


def as_integer(node: Node) -> Node:
    """The value for a parameter of type integer: a bigint does not become one by itself."""
    if node.type is not None and node.type.sql in {"integer", "smallint"}:
        return node
    return cast(node, "integer", None if node.type is None else node.type._replace(sql="integer"))


def as_numeric(node: Node) -> Node:
    """The value as numeric."""
    return node if node.type is not None and node.type.kind == "numeric" else cast(node, "numeric", NUMERIC)


def as_float(node: Node) -> Node:
    """The value as double precision."""
    return (
        node
        if node.type is not None and node.type.sql == FLOAT.sql
        else cast(node, "double precision", FLOAT)
    )


def as_array(node: Node, element: ColumnType) -> Node:
    """The value as an array of a type."""
    return as_type(node, array_of(element))


def coalesced(node: Node, other: str | Node) -> Node:
    """The value, or another one where it is NULL."""
    if not node.is_nullable:
        return node
    nullable = isinstance(other, Node) and other.is_nullable
    return Sql("coalesce(", node, ", ", other, ")", type=node.type, is_nullable=nullable)


def common_type(nodes: Iterable[Node]) -> ColumnType | None:
    """The type that SQL gives several values at once: the first that is known, of numbers the widest."""
    found: ColumnType | None = None
    for node in nodes:
        if node.type is None:
            continue
        if found is None:
            found = node.type
        elif found != node.type:
            found = _wider(found, node.type)
    return found


_WIDTHS = {
    kind: width
    for width, kinds in enumerate(
        [("smallint",), ("integer",), ("bigint",), ("numeric",), ("real",), ("double precision",)]
    )
    for kind in kinds
}


def _wider(one: ColumnType, other: ColumnType) -> ColumnType | None:
    left, right = bare_sql(one), bare_sql(other)
    if left in _WIDTHS and right in _WIDTHS:
        wider = one if _WIDTHS[left] >= _WIDTHS[right] else other
        return bare(wider._replace(convert=None, python=_number(wider)))
    if left == right:
        return bare(one)
    if {one.kind, other.kind} == {"date", "timestamp"}:
        return one if one.kind == "timestamp" else other
    if one.kind == other.kind == "text":
        return TEXT
    if one.kind == "text" and other.kind == "enum":
        return one
    return bare(one)


def _number(column_type: ColumnType) -> object:
    return {"integer": int, "numeric": NUMERIC.python, "float": float}[column_type.kind]
