"""Writes a tree of nodes as the text of one statement, and finds out which joins and values it needs.

A SELECT is written in the order columns, conditions, FROM: by then every source that was mentioned has its
alias, and nothing else is joined.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models._common_table_source import CommonTableSource
from hyperdjango.models._nodes import Lateral, Source
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column
    from hyperdjango.models._nodes import Node, Select


class Text(NamedTuple):
    """A finished statement.

    Attributes:
        sql: The text, with `$1` and so on.
        used: For each of them the position of its value in the chain, ascending.
        locks: It locks rows, itself or in a subquery.
    """

    sql: str
    used: tuple[int, ...]
    locks: bool = False


class Frame:
    """One SELECT that is being written: the sources it has met."""

    __slots__ = ("aliases", "joins", "offset", "outer", "parent", "roots")

    def __init__(
        self,
        parent: "Frame | None",
        roots: tuple[Source, ...],
        offset: int,
        outer: "dict[Any, Node] | None" = None,
    ) -> None:
        self.parent = parent
        self.roots = roots
        self.offset = offset
        self.outer = outer
        self.aliases: dict[Source, str] = {}
        self.joins: list[tuple[Source, str, list[str | int]]] = []


class Writer:
    """Collects the pieces of a statement; a piece is text or the position of a value."""

    def __init__(self) -> None:
        self.pieces: list[str | int] = []
        self.frame: Frame | None = None
        self.locks = False
        # Sources that are joined as if their rows could not be missing.
        self.inner: set[Source] = set()
        self._alias_count = 0

    def put(self, text: str) -> None:
        """Write words of ours."""
        self.pieces.append(text)

    def name(self, identifier: str) -> None:
        """Write an identifier: the only way for a name into the text."""
        self.pieces.append(quote_identifier(identifier))

    def column(self, source: Source, name: str) -> None:
        """Write a column of a source."""
        self.put(f"{self.alias(source)}.")
        self.name(name)

    def parameter(self, index: int) -> None:
        """Write the placeholder of a value of the frame's chain."""
        self.pieces.append(index + (self.frame.offset if self.frame is not None else 0))

    def columns(self, columns: "tuple[Column, ...]", source: Source) -> None:
        """Write columns of one source with commas between."""
        alias = self.alias(source)
        for position, column in enumerate(columns):
            self.put(f"{', ' if position else ''}{alias}.")
            self.name(column.column)

    def nodes(self, nodes: "Iterable[Node]") -> None:
        """Write nodes with commas between."""
        for position, node in enumerate(nodes):
            if position:
                self.put(", ")
            node.write(self)

    def alias(self, source: Source) -> str:
        """Return the alias of a source; it and those before it are joined when first asked for."""
        frame = self.frame
        while frame is not None:
            known = frame.aliases.get(source)
            if known is not None:
                return known
            if source.root in frame.roots:
                return self._join(frame, source)
            frame = frame.parent
        raise AssertionError(f"a source of {source.table.name} outside of its SELECT")

    def outer(self, name: object) -> None:
        """Write what the query around the current one has under a name."""
        frame = self.frame
        while frame is not None and frame.outer is None:
            frame = frame.parent
        if frame is None:
            _, said = cast("tuple[object, object]", name)
            raise FieldError(
                f"OuterRef({said!r}) is of a query around this one, and there is none: put it into Subquery(), "
                "Exists() or a lookup"
            )
        assert frame.outer is not None
        held, self.frame = self.frame, frame.parent
        frame.outer[name].write(self)
        self.frame = held

    def capture(self, write: Callable[[], None]) -> list[str | int]:
        """Return the pieces that `write` writes."""
        held, self.pieces = self.pieces, []
        try:
            write()
            return self.pieces
        finally:
            self.pieces = held

    def select(self, select: "Select") -> None:
        """Write a SELECT in parentheses."""
        outer = self.frame
        offset = outer.offset if outer is not None else 0
        self.frame = Frame(outer, select.roots, offset + (select.offset or 0), select.outer)
        try:
            self.put("(")
            self.body(lambda: select.write_columns(self), lambda: select.write_tail(self))
            self.put(")")
        finally:
            self.frame = outer

    def body(self, write_columns: Callable[[], None], write_tail: Callable[[], None]) -> None:
        """Write columns, FROM and the rest of the current frame's SELECT."""
        assert self.frame is not None
        for root in self.frame.roots:
            self.alias(root)
        columns = self.capture(write_columns)
        tail = self.capture(write_tail)
        self.put("SELECT ")
        self.pieces += columns
        if self.frame.joins:
            self.put(" FROM ")
            self.write_from()
        self.pieces += tail

    def write_from(self) -> None:
        """Write the sources of the current frame that were met, and how they are joined."""
        assert self.frame is not None
        for position, (source, alias, body) in enumerate(self.frame.joins):
            if source.parent is None and not isinstance(source, Lateral):
                self.put(", " if position else "")
                source.write_table(self)
                self.put(f" AS {alias}")
            elif isinstance(source, Lateral):
                self.put(" LEFT JOIN LATERAL ")
                self.pieces += body
                self.put(f" AS {alias} ON true")
            else:
                is_inner = source.is_inner or source in self.inner
                self.put(" LEFT JOIN " if source.is_optional and not is_inner else " JOIN ")
                source.write_table(self)
                self.put(f" AS {alias} ON ")
                self.pieces += body

    def _join(self, frame: Frame, source: Source) -> str:
        held, self.frame = self.frame, frame
        try:
            if source.parent is not None:
                self.alias(source.parent)
            lateral = (
                self.capture(lambda: self.select(source.select)) if isinstance(source, Lateral) else None
            )
            alias = f"t{self._alias_count}"
            self._alias_count += 1
            frame.aliases[source] = alias
            position = len(frame.joins)
            body = self.capture(lambda: self._write_on(source, alias)) if lateral is None else lateral
            frame.joins.insert(position, (source, alias, body))
            return alias
        finally:
            self.frame = held

    def _write_on(self, source: Source, alias: str) -> None:
        if isinstance(source, CommonTableSource):
            source.write_on(self, alias)
            return
        if source.parent is None or source.relation is None:
            return
        near = self.alias(source.parent)
        relation = source.relation
        for position, (local, remote) in enumerate(zip(relation.locals, relation.remotes, strict=True)):
            self.put(f"{' AND ' if position else ''}{alias}.")
            self.name(remote.column)
            self.put(f" = {near}.")
            self.name(local.column)
        if source.condition is not None:
            self.put(" AND ")
            source.condition.write(self)

    def text(self) -> Text:
        """Return the statement; values that nothing refers to are left out, for the backend could not type them."""
        used = sorted({piece for piece in self.pieces if isinstance(piece, int)})
        numbers = {index: position + 1 for position, index in enumerate(used)}
        sql = "".join(piece if isinstance(piece, str) else f"${numbers[piece]}" for piece in self.pieces)
        return Text(sql, tuple(used), self.locks)
