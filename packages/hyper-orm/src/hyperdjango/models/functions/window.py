"""Window functions: what stands in `Window(…)`.

Django docs: ref/models/database-functions, "Window functions". PostgreSQL docs: functions-window.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from hyperdjango.models._checks import is_a
from hyperdjango.models._func import Function
from hyperdjango.models._nodes import Node
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._sql import as_integer, call
from hyperdjango.models._types import BIGINT, INTEGER, ColumnType
from hyperdjango.models._values import FLOAT, bare
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, Value, as_expression

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope


class WindowFunction(Function):
    """A function that has a value within `Window(…)` alone."""

    __slots__ = ()
    arity = 0
    function: ClassVar[str]
    type: ClassVar[ColumnType | None] = None

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        raise FieldError(f"{self!r} is a window function: Window({self!r}, order_by=…)")

    def made(self, scope: "Scope", cursor: Cursor) -> Node:
        """The call, that OVER is to be written behind."""
        return self.build(self.arguments(scope, cursor))

    def build(self, nodes: list[Node]) -> Node:
        return call(self.function, *nodes, type_=self.type, is_nullable=False)


class RowNumber(WindowFunction):
    """Which row of the partition it is, from 1 on."""

    __slots__ = ()
    function = "row_number"
    type = BIGINT


class Rank(WindowFunction):
    """Its place, equal rows having the same; places are left out behind them."""

    __slots__ = ()
    function = "rank"
    type = BIGINT


class DenseRank(WindowFunction):
    """Its place, equal rows having the same; none is left out."""

    __slots__ = ()
    function = "dense_rank"
    type = BIGINT


class PercentRank(WindowFunction):
    """Its rank from 0 to 1."""

    __slots__ = ()
    function = "percent_rank"
    type = FLOAT


class CumeDist(WindowFunction):
    """The share of rows that are not behind it."""

    __slots__ = ()
    function = "cume_dist"
    type = FLOAT


class Ntile(WindowFunction):
    """The number of the bucket it falls into, of so many."""

    __slots__ = ()
    function = "ntile"
    type = INTEGER

    def __init__(self, num_buckets: int = 1) -> None:
        _check_positive(num_buckets, "Ntile(num_buckets=…)")
        self._fill((Value(num_buckets),))

    def build(self, nodes: list[Node]) -> Node:
        return call("ntile", as_integer(nodes[0]), type_=INTEGER, is_nullable=False)


class _Beside(WindowFunction):
    __slots__ = ()

    def __init__(self, expression: object, offset: int = 1, default: object = None) -> None:
        if isinstance(offset, bool) or not is_a(offset, int):
            raise FieldError(f"{type(self).__name__}(offset=…) takes an int, not {offset!r}")
        sources: tuple[Expression, ...] = (as_expression(expression), Value(offset))
        if default is not None:
            sources += (default if isinstance(default, Expression) else Value(default),)
        self._fill(sources)

    def build(self, nodes: list[Node]) -> Node:
        value, offset, *default = nodes
        nullable = value.is_nullable or not default or default[0].is_nullable
        return call(
            self.function, value, as_integer(offset), *default, type_=bare(value.type), is_nullable=nullable
        )


class Lag(_Beside):
    """The value of the row so many before."""

    __slots__ = ()
    function = "lag"


class Lead(_Beside):
    """The value of the row so many behind."""

    __slots__ = ()
    function = "lead"


class _OfFrame(WindowFunction):
    __slots__ = ()

    def __init__(self, expression: object) -> None:
        self._fill((as_expression(expression),))

    def build(self, nodes: list[Node]) -> Node:
        return call(self.function, nodes[0], type_=nodes[0].type, is_nullable=True)


class FirstValue(_OfFrame):
    """The value of the first row of the frame."""

    __slots__ = ()
    function = "first_value"


class LastValue(_OfFrame):
    """The value of the last row of the frame: of the current one, where no frame says otherwise."""

    __slots__ = ()
    function = "last_value"


class NthValue(WindowFunction):
    """The value of that row of the frame, counted from 1."""

    __slots__ = ()
    function = "nth_value"

    def __init__(self, expression: object, nth: int = 1) -> None:
        _check_positive(nth, "NthValue(nth=…)")
        self._fill((as_expression(expression), Value(nth)))

    def build(self, nodes: list[Node]) -> Node:
        return call("nth_value", nodes[0], as_integer(nodes[1]), type_=nodes[0].type, is_nullable=True)


def _check_positive(value: Any, said: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise FieldError(f"{said} takes an int from 1 on, not {value!r}")
