"""`Window`: a function or an aggregate over rows near the current one, and the frames that say which.

Django docs: ref/models/expressions, "Window functions". PostgreSQL docs: sql-expressions, "Window Function Calls".
"""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from hyperdjango.models._aggregate import Aggregate, windowed
from hyperdjango.models._checks import is_a
from hyperdjango.models._nodes import Node, Sql
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._sql import as_type, separated
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import (
    Expression,
    as_expression,
    order_keys,
    several,
    type_from,
    write_order,
)
from hyperdjango.models.functions.window import WindowFunction

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope
    from hyperdjango.models.query_words import Q


class WindowFrameExclusion(StrEnum):
    """Rows that a frame leaves out."""

    CURRENT_ROW = "CURRENT ROW"
    GROUP = "GROUP"
    TIES = "TIES"
    NO_OTHERS = "NO OTHERS"


class WindowFrame:
    """Which rows around the current one a function sees.

    Args:
        start: Where they begin: a negative count of rows before the current one, 0 for it itself, a positive count
            behind it; None for the first row of the partition.
        end: Where they end, in the same way; None for the last row.
        exclusion: Rows in it that are left out.
    Raises:
        FieldError: A bound is no int, or the end lies before the start.
    """

    __slots__ = ("end", "exclusion", "key", "start")

    unit: ClassVar[str]

    def __init__(
        self, start: Any = None, end: Any = None, exclusion: WindowFrameExclusion | None = None
    ) -> None:
        for bound in (start, end):
            if bound is not None and (isinstance(bound, bool) or not self._is_bound(bound)):
                raise FieldError(f"{type(self).__name__}: a bound is {self._bounds()} or None, not {bound!r}")
        if start is not None and end is not None and type(start) is type(end) and start > end:
            raise FieldError(f"{type(self).__name__}: it ends at {end!r}, before it begins at {start!r}")
        if exclusion is not None and not is_a(exclusion, WindowFrameExclusion):
            raise FieldError(f"exclusion takes a WindowFrameExclusion, not {exclusion!r}")
        self.start = start
        self.end = end
        self.exclusion = exclusion
        self.key: tuple[Any, ...] = (type(self), type(start), start, type(end), end, exclusion)

    @classmethod
    def _is_bound(cls, bound: object) -> bool:
        return isinstance(bound, int)

    @classmethod
    def _bounds(cls) -> str:
        return "an int"

    def written(self) -> str:
        """The words of the frame: its numbers are part of the key, so they may be part of the text."""
        words = f"{self.unit} BETWEEN {self._bound(self.start, 'PRECEDING')} AND {self._bound(self.end, 'FOLLOWING')}"
        return words + (f" EXCLUDE {self.exclusion.value}" if self.exclusion is not None else "")

    def _bound(self, bound: Any, unbounded: str) -> str:
        if bound is None:
            return f"UNBOUNDED {unbounded}"
        if isinstance(bound, timedelta):
            if not bound:
                return "CURRENT ROW"
            microseconds = abs(bound) // timedelta(microseconds=1)
            return f"'{microseconds:d} microseconds'::interval {'PRECEDING' if bound < timedelta(0) else 'FOLLOWING'}"
        if bound == 0:
            return "CURRENT ROW"
        return f"{abs(int(bound)):d} {'PRECEDING' if bound < 0 else 'FOLLOWING'}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.start!r}, {self.end!r})"


class RowRange(WindowFrame):
    """Bounds count rows."""

    __slots__ = ()
    unit = "ROWS"


class ValueRange(WindowFrame):
    """Bounds are distances between values of the only key of the order: ints, or timedeltas of dates and times."""

    __slots__ = ()
    unit = "RANGE"

    @classmethod
    def _is_bound(cls, bound: object) -> bool:
        return isinstance(bound, int | timedelta)

    @classmethod
    def _bounds(cls) -> str:
        return "an int, a timedelta"


class GroupsRange(WindowFrame):
    """Bounds count groups of rows that are equal in the order."""

    __slots__ = ()
    unit = "GROUPS"


class Window(Expression):
    """A window function, or an aggregate, over rows near the current one.

    Args:
        expression: A window function such as `Rank()`, or an aggregate.
        partition_by: Names or expressions, one or a list: only rows with the same values are seen.
        order_by: Names (`-name` descends) or expressions, one or a list.
        frame: A RowRange, ValueRange or GroupsRange; PostgreSQL's default where there is none.
        output_field: An annotation as for a field of a model; the value is cast to it.
    Raises:
        FieldError: The expression is neither of these.
    """

    __slots__ = ("_output", "expression", "frame", "order", "partition")

    def __init__(
        self,
        expression: Expression,
        partition_by: Any = None,
        order_by: Any = None,
        frame: WindowFrame | None = None,
        output_field: Any = None,
    ) -> None:
        if not isinstance(expression, Aggregate | WindowFunction):
            raise FieldError(f"Window() takes a window function or an aggregate, not {expression!r}")
        if frame is not None and not is_a(frame, WindowFrame):
            raise FieldError(f"frame takes a RowRange, ValueRange or GroupsRange, not {type(frame).__name__}")
        self.expression = expression
        self.partition = tuple(as_expression(one) for one in several(partition_by))
        self.order = order_keys(order_by)
        self.frame = frame
        self._output = type_from(output_field) if output_field is not None else None
        pieces = (*self.partition, *self.order)
        self.key = (
            Window, expression.key, self._output, frame.key if frame else None, len(self.partition),
            *[one.key for one in pieces],
        )  # fmt: skip
        self.params = (*expression.params, *sum((one.params for one in pieces), ()))

    def parts(self) -> "Iterable[Expression | Q]":
        return (self.expression, *self.partition, *self.order)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        def over() -> Node:
            return self._over(scope, cursor)

        if isinstance(self.expression, Aggregate):
            node = self.expression.resolve_over(scope, cursor, over)
        else:
            made = self.expression.made(scope, cursor)
            node = windowed(made, over())
        return node if self._output is None else as_type(node, self._output)

    def _over(self, scope: "Scope", cursor: Cursor) -> Node:
        parts: list[str | Node] = ["("]
        if self.partition:
            nodes = [one.resolve(scope, cursor) for one in self.partition]
            parts += ["PARTITION BY ", *separated(nodes)]
        if self.order:
            nodes = [one.resolve(scope, cursor) for one in self.order]
            parts += [" " if self.partition else "", "ORDER BY ", *write_order(self.order, nodes)]
        if self.frame is not None:
            parts += [" ", self.frame.written()]
        return Sql(*parts, ")", type=None)

    def __repr__(self) -> str:
        return f"Window({self.expression!r})"
