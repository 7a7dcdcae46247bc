"""The tree that SQL is written from: names are resolved, nothing is text of a user's.

A node knows how it is written, what type its value has and whether that may be NULL. Strings inside `Sql` are
words of ours; identifiers are `Identifier`s, which only the driver's one quoting function turns into text;
values are `Parameter`s and stay outside of the text.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hyperdjango.models._types import BIGINT, BOOLEAN, ColumnType

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column, Relation, Table
    from hyperdjango.models._writer import Writer


class Identifier(str):
    """A name of the database's: quoted where it is written."""

    __slots__ = ()


class Source:
    """One occurrence of a table, or of something like one, in a FROM clause.

    `root` sources open a FROM; others are joined to their parent by a relation. The same relation from the
    same parent is the same source, so that all that goes through it shares one join.
    """

    __slots__ = ("_children", "condition", "is_inner", "is_optional", "parent", "relation", "root", "table")

    def __init__(
        self, table: "Table", parent: "Source | None" = None, relation: "Relation | None" = None
    ) -> None:
        self.table = table
        self.parent = parent
        self.relation = relation
        self.root: Source = self if parent is None else parent.root
        self.is_optional: bool = (
            parent is not None
            and relation is not None
            and (parent.is_optional or relation.is_nullable or not relation.is_forward)
        )
        self.is_inner = False
        self.condition: Node | None = None
        self._children: dict[Any, Source] = {}

    def child(self, relation: "Relation") -> "Source":
        """The source that a relation leads to."""
        known = self._children.get(relation)
        if known is None:
            # Of many to many this is the table between; its own relation leads on from there.
            model = relation.through or relation.target
            known = self._children.setdefault(relation, Source(model._table, self, relation))
        return known

    def write_table(self, writer: "Writer") -> None:
        """Write what stands in front of AS."""
        if self.table.schema is not None:
            writer.name(self.table.schema)
            writer.put(".")
        writer.name(self.table.name)


class Lateral(Source):
    """A subquery with one row per row of its parent: `value` is its only column."""

    __slots__ = ("select",)

    def __init__(self, parent: Source, select: "Select") -> None:
        super().__init__(parent.table, parent)
        self.is_optional = True
        self.select = select


class Node:
    """What has a value in SQL."""

    __slots__ = ("has_aggregate", "has_window", "is_nullable", "type")

    def __init__(self, type_: ColumnType | None, *, is_nullable: bool = True) -> None:
        self.type = type_
        self.is_nullable = is_nullable
        self.has_aggregate = False
        self.has_window = False

    def write(self, writer: "Writer") -> None:
        """Write it."""
        raise NotImplementedError

    def walk(self) -> Iterator["Node"]:
        """Itself, and all nodes of the same SELECT below it."""
        yield self


class Ref(Node):
    """A column of a source."""

    __slots__ = ("column", "source")

    def __init__(self, source: Source, column: "Column") -> None:
        super().__init__(column.type, is_nullable=column.is_nullable or source.is_optional)
        self.source = source
        self.column = column

    def write(self, writer: "Writer") -> None:
        writer.column(self.source, self.column.column)


class Named(Node):
    """A column, by its name, of a source that is no table of a model: a lateral's, a CTE's."""

    __slots__ = ("name", "source")

    def __init__(self, source: Source, name: str, type_: ColumnType | None) -> None:
        super().__init__(type_)
        self.source = source
        self.name = name

    def write(self, writer: "Writer") -> None:
        writer.column(self.source, self.name)


class Parameter(Node):
    """A value, by its position among the values of the chain. With `cast` its type is said in the text."""

    __slots__ = ("cast", "index")

    def __init__(self, index: int, type_: ColumnType | None = None, *, cast: str | None = None) -> None:
        super().__init__(type_, is_nullable=False)
        self.index = index
        self.cast = cast

    def write(self, writer: "Writer") -> None:
        writer.parameter(self.index)
        if self.cast is not None:
            writer.put(f"::{self.cast}")


class Sql(Node):
    """Words of ours, nodes and identifiers in a row."""

    __slots__ = ("parts",)

    def __init__(
        self, *parts: "str | Node", type: ColumnType | None, is_nullable: bool | None = None
    ) -> None:
        nodes = [part for part in parts if isinstance(part, Node)]
        nullable = any(node.is_nullable for node in nodes) if is_nullable is None else is_nullable
        super().__init__(type, is_nullable=nullable)
        self.parts = parts
        self.has_aggregate = any(node.has_aggregate for node in nodes)
        self.has_window = any(node.has_window for node in nodes)

    def write(self, writer: "Writer") -> None:
        for part in self.parts:
            if isinstance(part, Node):
                part.write(writer)
            elif isinstance(part, Identifier):
                writer.name(part)
            else:
                writer.put(part)

    def walk(self) -> Iterator[Node]:
        yield self
        for part in self.parts:
            if isinstance(part, Node):
                yield from part.walk()


class Row(Sql):
    """A key of several columns, as a row of them."""

    __slots__ = ("nodes",)

    def __init__(self, nodes: "list[Ref]") -> None:
        parts: list[str | Node] = ["("]
        for position, node in enumerate(nodes):
            parts += [", ", node] if position else [node]
        super().__init__(*parts, ")", type=None)
        self.nodes = nodes


class AggregateCall(Sql):
    """An aggregate function over the rows of the SELECT it stands in."""

    __slots__ = ()

    def __init__(self, *parts: str | Node, type: ColumnType | None, is_nullable: bool = True) -> None:
        super().__init__(*parts, type=type, is_nullable=is_nullable)
        self.has_aggregate = True


class Select(Node):
    """A SELECT of its own inside another one: what EXISTS, laterals and scalar subqueries are made of.

    `write_columns` and `write_tail` write what stands before FROM and behind it; `roots` open the FROM.
    `offset` is that of its values among the whole statement's, when it comes from a queryset of its own;
    None shares the values of the one around it.
    """

    __slots__ = ("offset", "outer", "roots", "write_columns", "write_tail")

    def __init__(
        self,
        roots: tuple[Source, ...],
        write_columns: "Callable[[Writer], None]",
        write_tail: "Callable[[Writer], None]",
        type_: ColumnType | None = None,
        *,
        offset: int | None = None,
        outer: "dict[Any, Node] | None" = None,
    ) -> None:
        super().__init__(type_)
        self.roots = roots
        self.write_columns = write_columns
        self.write_tail = write_tail
        self.offset = offset
        self.outer = outer

    def write(self, writer: "Writer") -> None:
        writer.select(self)


class Outer(Node):
    """What stands in a subquery for a value of the query around it; that one says what it is."""

    __slots__ = ("name",)

    def __init__(self, name: object) -> None:
        super().__init__(None)
        self.name = name

    def write(self, writer: "Writer") -> None:
        writer.outer(self.name)


TRUE = Sql("true", type=BOOLEAN, is_nullable=False)
FALSE = Sql("false", type=BOOLEAN, is_nullable=False)


def condition(*parts: str | Node, is_nullable: bool | None = None) -> Sql:
    """A boolean."""
    return Sql(*parts, type=BOOLEAN, is_nullable=is_nullable)


def joined(nodes: list[Node], word: str) -> Node:
    """Conditions with AND or OR between them."""
    if len(nodes) == 1:
        return nodes[0]
    parts: list[str | Node] = ["("]
    for position, node in enumerate(nodes):
        if position:
            parts.append(f" {word} ")
        parts.append(node)
    return condition(*parts, ")")


def negated(node: Node) -> Node:
    """Whatever is not true: rows for which the condition is NULL are among them, as Django's exclude has it."""
    if node.is_nullable:
        return condition("(", node, ") IS NOT TRUE", is_nullable=False)
    return condition("NOT (", node, ")", is_nullable=False)


def exists(select: Select) -> Node:
    """EXISTS."""
    return condition("EXISTS ", select, is_nullable=False)


__all__ = [
    "BIGINT",
    "FALSE",
    "TRUE",
    "AggregateCall",
    "Identifier",
    "Lateral",
    "Named",
    "Node",
    "Outer",
    "Parameter",
    "Ref",
    "Row",
    "Select",
    "Source",
    "Sql",
    "condition",
    "exists",
    "joined",
    "negated",
]
