"""Turns a Q into a condition. What goes through a relation to many rows becomes EXISTS, so no row comes twice.

Conditions of one `filter()` call that go through the same relation are about the same row of it, as in Django.
Django reaches that by a join, and an OR or an IS NULL by a LEFT JOIN; the same meaning here is: conditions that
need a row of the relation are put into one EXISTS, together with the alternatives that mention it; an
alternative alone, which may hold without any row, has its parts looked at one by one.
"""

from typing import TYPE_CHECKING, Any

from hyperdjango.models._nodes import (
    BIGINT,
    TRUE,
    Node,
    Ref,
    Select,
    Source,
    condition,
    exists,
    joined,
    negated,
)
from hyperdjango.models._operand import Operand
from hyperdjango.models._scope import Many
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression
from hyperdjango.models.lookups import compared
from hyperdjango.models.query_words import AND, OR, XOR, Lookup, Q

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope
    from hyperdjango.models._shapes import Cursor
    from hyperdjango.models._writer import Writer


class _Leaf:
    """One condition, with the position of its first value."""

    __slots__ = ("first", "of")

    def __init__(self, of: "Lookup | Expression", first: int) -> None:
        self.of = of
        self.first = first

    @property
    def is_isnull(self) -> bool:
        """Whether it may hold without any row of a relation."""
        if not isinstance(self.of, Lookup):
            return False
        return self.of.value is None or (self.of.name.endswith("__isnull") and self.of.value is True)


class _Group:
    """Conditions with one word between them."""

    __slots__ = ("children", "connector", "is_negated")

    def __init__(self, children: "list[_Leaf | _Group]", connector: str, *, is_negated: bool) -> None:
        self.children = children
        self.connector = connector
        self.is_negated = is_negated


def where(q: Q, scope: "Scope", cursor: "Cursor") -> Node:
    """Return the condition that a Q stands for."""
    group = _positioned(q, cursor)
    end = cursor.skip(0)
    node = _Builder(cursor, scope).group(group, scope)
    cursor.seek(end)
    return node


def _positioned(q: Q, cursor: "Cursor") -> _Group:
    children: list[_Leaf | _Group] = []
    for child in q.children:
        if isinstance(child, Q):
            children.append(_positioned(child, cursor))
        else:
            children.append(_Leaf(child, cursor.skip(len(child.params))))
    flat: list[_Leaf | _Group] = []
    for one in children:
        # An AND within an AND is about the same rows.
        same = isinstance(one, _Group) and not one.is_negated and one.connector == q.connector != XOR
        flat += one.children if isinstance(one, _Group) and same else [one]
    if len(flat) == 1 and isinstance(flat[0], _Group) and not q.is_negated:
        return flat[0]
    return _Group(flat, q.connector, is_negated=q.is_negated)


class _Builder:
    def __init__(self, cursor: "Cursor", scope: "Scope") -> None:
        self.cursor = cursor
        self.scope = scope

    def build(self, one: "_Leaf | _Group", scope: "Scope") -> Node:
        return self.group(one, scope) if isinstance(one, _Group) else self.leaf(one, scope)

    def group(self, group: _Group, scope: "Scope") -> Node:
        if not group.children:
            return TRUE
        if group.is_negated:
            # What is negated is about all rows of a relation, also where it stands beside conditions on one of them.
            scope = self.scope
        if group.connector == XOR:
            node = self._parity(group, scope)
        elif group.connector == OR:
            node = self._either(group, scope)
        else:
            node = self._all(group, scope)
        return negated(node) if group.is_negated else node

    def _parity(self, group: _Group, scope: "Scope") -> Node:
        parts: list[str | Node] = ["("]
        for position, child in enumerate(group.children):
            parts += [" + " if position else "", "coalesce((", self.build(child, scope), ")::int, 0)"]
        return condition("(", *parts, ") % 2) = 1", is_nullable=False)

    def _either(self, group: _Group, scope: "Scope") -> Node:
        return joined([self.build(child, scope) for child in group.children], OR)

    def _all(self, group: _Group, scope: "Scope") -> Node:
        """Conditions that must all hold: what needs the same relation's row goes into one EXISTS."""
        found = [self._many(child, scope) for child in group.children]
        needed: dict[tuple[str, ...], Many] = {}
        for child, manys in zip(group.children, found, strict=True):
            if isinstance(child, _Leaf) and not child.is_isnull and manys:
                needed.setdefault(manys[0].prefix, manys[0])
        nodes: list[Node] = []
        rest = list(zip(group.children, found, strict=True))
        for prefix, many in needed.items():
            inside = [pair for pair in rest if any(one.prefix == prefix for one in pair[1])]
            inside = [pair for pair in inside if not (isinstance(pair[0], _Group) and pair[0].is_negated)]
            rest = [pair for pair in rest if pair not in inside]
            if inside:
                body = _Group([child for child, _ in inside], AND, is_negated=False)
                nodes.append(self._exists(many, body, scope))
        nodes += [self.build(child, scope) for child, _ in rest]
        return joined(nodes, AND)

    def _many(self, one: "_Leaf | _Group", scope: "Scope") -> list[Many]:
        """The relations to many rows that something goes through, without those that are settled."""
        if isinstance(one, _Group):
            return [many for child in one.children for many in self._many(child, scope)]
        found: list[Many] = []
        for name in one.of.names():
            try:
                scope.find(name)
            except Many as many:
                found.append(many)
        return found

    def leaf(self, leaf: _Leaf, scope: "Scope") -> Node:
        manys = self._many(leaf, scope)
        if not manys:
            return self._condition(leaf, scope)
        many = manys[0]
        if not leaf.is_isnull:
            return self._exists(many, _Group([leaf], AND, is_negated=False), scope)
        # No row at all is NULL as well.
        none = negated(self._exists(many, None, scope))
        assert isinstance(leaf.of, Lookup)
        if "__".join(many.prefix) in {leaf.of.name, leaf.of.name.removesuffix("__isnull")}:
            return none
        return joined([none, self._exists(many, _Group([leaf], AND, is_negated=False), scope)], OR)

    def _exists(self, many: Many, body: _Group | None, scope: "Scope") -> Node:
        root, correlation = correlated(many)
        conditions = [correlation]
        if body is not None:
            conditions.append(self.group(body, scope.with_many(many.prefix, root)))
        return exists(subselect(root, [], conditions))

    def _condition(self, leaf: _Leaf, scope: "Scope") -> Node:
        self.cursor.seek(leaf.first)
        of = leaf.of
        if isinstance(of, Expression):
            node = of.resolve(scope, self.cursor)
            if node.type is not None and node.type.kind != "boolean":
                raise FieldError(
                    f"{type(of).__name__}({', '.join(of.all_names())}) is {node.type.sql}, and no condition"
                )
            return node
        found = scope.find(of.name)
        operand = Operand(of.value, scope, self.cursor, of.name)
        return compared(found.node, found.rest, operand, found)


def correlated(many: Many) -> tuple[Source, Node]:
    """Return a source for the rows of a relation, and the condition that they belong to the row around."""
    relation, filtered = many.relation, many.filtered
    root = filtered.root if filtered is not None else Source((relation.through or relation.target)._table)
    pairs: list[Node] = [
        condition(Ref(root, remote), " = ", Ref(many.source, local))
        for local, remote in zip(relation.locals, relation.remotes, strict=True)
    ]
    if filtered is not None:
        pairs.append(filtered.condition)
    return root, joined(pairs, AND)


def subselect(root: Source, columns: list[Node], conditions: list[Node], type_: Any = None) -> Select:
    """A SELECT over one source, for the row around it."""

    def write_columns(writer: "Writer") -> None:
        writer.nodes(columns) if columns else writer.put("1")

    def write_tail(writer: "Writer") -> None:
        writer.put(" WHERE ")
        joined(conditions, AND).write(writer)

    return Select((root,), write_columns, write_tail, type_)


__all__ = ["BIGINT", "correlated", "subselect", "where"]
