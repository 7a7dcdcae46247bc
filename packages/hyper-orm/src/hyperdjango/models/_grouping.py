"""What may stand in a query of groups beside its aggregates: what it is grouped by. `_steps` asks for each new value.

The backend knows the same rule (GroupingError), and says it of aliases that nobody has written, when it is too late.
PostgreSQL docs: sql-select, "GROUP BY Clause".
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hyperdjango.models._nodes import AggregateCall, Named, Node, Ref, Row, Select, Source, Sql
from hyperdjango.models._writer import Frame, Writer
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._state import State

SEPARATOR: Final = "__"


def check_grouped(state: "State", node: Node, said: str) -> None:
    """Refuse a value that the rows of one group may have several of.

    Args:
        state: The groups.
        node: A value of theirs.
        said: Where it stands, for the error.
    Raises:
        FieldError: The text names the field.
    """
    groups = _Groups(state)
    for word in groups.several(node):
        grouped = ", ".join(filter(None, map(_word, state.group_by))) or "one group of all rows"
        raise FieldError(
            f"{state.model.__name__}: {said} has {word!r}, of which the rows of a group may have several values: they "
            f"are grouped by {grouped}; name it in values() before, or gather it with an aggregate"
        )


def has_select(node: Node) -> bool:
    """Whether there is a subquery in it: two of the same text are two to the backend, for their aliases differ."""
    return any(isinstance(one, Select) for one in node.walk())


class _Groups:
    """The values that all rows of a group share."""

    def __init__(self, state: "State") -> None:
        self.root = state.root
        self.nodes = state.group_by
        self.columns = {place for node in state.group_by for place in _places(node)}

    def several(self, node: Node, *, in_window: bool = False) -> Iterator[str]:
        """Yield what is not the same for all rows of a group, by name."""
        if any(_is_same(node, one) for one in self.nodes):
            return
        if isinstance(node, Ref | Named):
            if not self.has(*_place(node)):
                yield _word(node)
        elif isinstance(node, Select):
            writer = _Reader(self)
            node.write(writer)
            yield from writer.found
        elif isinstance(node, Sql) and (in_window or not isinstance(node, AggregateCall)):
            # The function in front of OVER is none that gathers the rows of a group.
            is_window = " OVER " in node.parts
            for part in node.parts:
                if isinstance(part, Node):
                    yield from self.several(part, in_window=is_window)

    def has(self, source: Source, name: str) -> bool:
        """Whether it is grouped by a column, or by the key of the column's row."""
        if (source, name) in self.columns:
            return True
        keys = source.table.primary_key if source.relation is not None or source is self.root else ()
        return bool(keys) and all((source, key.column) in self.columns for key in keys)


class _Reader(Writer):
    """Writes a subquery for nobody, and notes the columns of the groups' rows in it."""

    def __init__(self, groups: _Groups) -> None:
        super().__init__()
        self.groups = groups
        self.found: list[str] = []
        self._joining = 0
        self.frame = self._outermost = Frame(None, (groups.root,), 0)

    def column(self, source: Source, name: str) -> None:
        if not self._joining and self._is_of_groups(source) and not self.groups.has(source, name):
            self.found.append(_named(source, name))
        super().column(source, name)

    def _is_of_groups(self, source: Source) -> bool:
        """Whether the groups' row is meant: a subquery of the same model has its own under the same source."""
        frame = self.frame
        while frame is not None and source.root not in frame.roots:
            frame = frame.parent
        return frame is self._outermost

    def outer(self, name: object) -> None:
        frame = self.frame
        while frame is not None and frame.outer is None:
            frame = frame.parent
        if frame is not None:  # else it is of a query around the groups, which is not written here
            super().outer(name)

    def _join(self, frame: Frame, source: Source) -> str:
        # What is joined is joined before the rows are grouped.
        self._joining += 1
        try:
            return super()._join(frame, source)
        finally:
            self._joining -= 1


def _place(node: "Ref | Named") -> tuple[Source, str]:
    return node.source, node.name if isinstance(node, Named) else node.column.column


def _places(node: Node) -> Iterator[tuple[Source, str]]:
    for one in node.nodes if isinstance(node, Row) else (node,):
        if isinstance(one, Ref | Named):
            yield _place(one)


def _is_same(one: Node, other: Node) -> bool:
    """Whether two values are one to the backend as well."""
    if one is other:
        return True
    if isinstance(one, Ref | Named) and isinstance(other, Ref | Named):
        return _place(one) == _place(other)
    if not isinstance(one, Sql) or not isinstance(other, Sql) or len(one.parts) != len(other.parts):
        return False
    return all(
        _is_same(left, right) if isinstance(left, Node) and isinstance(right, Node) else left == right
        for left, right in zip(one.parts, other.parts, strict=True)
    )


def _word(node: Node) -> str:
    """The field that a value is of, as a user would write it."""
    return SEPARATOR.join(_named(*place) for place in _places(node))


def _named(source: Source, name: str) -> str:
    words: list[str] = [column.name for column in source.table.columns if column.column == name] or [name]
    at: Source | None = source
    while at is not None and at.relation is not None:
        words.append(at.relation.name)
        at = at.parent
    return SEPARATOR.join(reversed(words))


__all__ = ["check_grouped", "has_select"]
