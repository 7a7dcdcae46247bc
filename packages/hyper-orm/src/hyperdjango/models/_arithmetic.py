"""Two values and an operator between: `F("price") * 2`. The operators of `Expression` make them.

PostgreSQL docs: functions-math, functions-datetime.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from hyperdjango.models._nodes import Node, Parameter, Sql
from hyperdjango.models._shapes import Cursor, shape
from hyperdjango.models._sql import as_integer
from hyperdjango.models._types import ColumnType
from hyperdjango.models._values import (
    DATE,
    FLOAT,
    INTERVAL,
    NUMBERS,
    NUMERIC,
    PLAIN_TIMESTAMP,
    bare,
    bare_sql,
    plain,
    type_of_kind,
)
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope
    from hyperdjango.models.query_words import Q


class Combined(Expression):
    """Two values and an operator between."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, left: object, operator: str, right: object) -> None:
        self.left = left
        self.operator = operator
        self.right = right
        left_kind, left_params = shape(left)
        right_kind, right_params = shape(right)
        self.key = (Combined, left_kind, operator, right_kind)
        self.params = (*left_params, *right_params)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        left = self._side(self.left, scope, cursor)
        right = self._side(self.right, scope, cursor)
        left_node = left if isinstance(left, Node) else _plain(left, right)
        right_node = right if isinstance(right, Node) else _plain(right, left)
        type_ = self._type(left_node.type, right_node.type)
        if self.operator in _SHIFTS or _kinds(left_node, right_node) == ("date", "integer"):
            # A bigint does not become the integer that is wanted here by itself.
            right_node = as_integer(right_node)
        elif _kinds(left_node, right_node) == ("integer", "date"):
            left_node = as_integer(left_node)
        if self.operator == "-" and _kinds(left_node, right_node) == ("date", "date"):
            # SQL counts days; Python has a timedelta for that.
            return Sql(
                "make_interval(days => ", left_node, " - ", right_node, ")", type=INTERVAL
            )  # fmt: skip
        return Sql("(", left_node, f" {self.operator} ", right_node, ")", type=type_)

    def _type(self, left: ColumnType | None, right: ColumnType | None) -> ColumnType | None:
        if left is None or right is None:
            return plain(left or right)
        found = combined_type(left, self.operator, right)
        if found is None:
            raise FieldError(
                f"{left.sql} {self.operator} {right.sql} has no meaning in PostgreSQL, in {self!r}"
                + ("; use Concat() for text" if "text" in {left.kind, right.kind} else "")
            )
        return found

    def _side(self, side: object, scope: "Scope", cursor: Cursor) -> "Node | _Plain":
        if hasattr(type(side), "resolve"):
            node: Node = cast("Expression", side).resolve(scope, cursor)
            return node
        if side is None:
            raise FieldError(f"None has no value to calculate with, in {self!r}")
        kind, params = shape(side)
        if len(params) != 1:
            raise FieldError(f"a {type(side).__name__} is no value to calculate with, in {self!r}")
        return _Plain(kind, cursor.take())

    def parts(self) -> "Iterable[Expression | Q]":
        return [side for side in (self.left, self.right) if isinstance(side, Expression)]

    def __repr__(self) -> str:
        return f"({self.left!r} {self.operator} {self.right!r})"


class _Plain:
    """A value beside an expression, whose type the expression may give."""

    __slots__ = ("at", "kind")

    def __init__(self, kind: Any, at: int) -> None:
        self.kind = kind
        self.at = at


def _kinds(left: Node, right: Node) -> tuple[str | None, str | None]:
    return (left.type.kind if left.type else None, right.type.kind if right.type else None)


def _plain(plain: _Plain, beside: "Node | _Plain") -> Node:
    """The parameter of a value: typed by its neighbour where that is of its kind, else by itself."""
    own = type_of_kind(plain.kind)
    other = beside.type if isinstance(beside, Node) else None
    chosen = other if own is None or (other is not None and other.kind == own.kind == "timestamp") else own
    return Parameter(plain.at, chosen, cast=bare_sql(chosen) if chosen is not None else None)


_SHIFTS: Final = frozenset({"<<", ">>"})
_BITS: Final = frozenset({"&", "|", "#", "<<", ">>"})
_RANKS: Final = {"smallint": 0, "integer": 1, "bigint": 2, "numeric": 3, "real": 4, "double precision": 5}
# What the two sides may be, and what comes of it, besides numbers.
_CALCULATED: Final[dict[tuple[str, str, str], ColumnType | None]] = {
    ("timestamp", "-", "timestamp"): INTERVAL,
    ("date", "-", "timestamp"): INTERVAL,
    ("timestamp", "-", "date"): INTERVAL,
    ("date", "-", "date"): INTERVAL,
    ("time", "-", "time"): INTERVAL,
    ("date", "+", "integer"): DATE,
    ("integer", "+", "date"): DATE,
    ("date", "-", "integer"): DATE,
    ("date", "+", "interval"): PLAIN_TIMESTAMP,
    ("interval", "+", "date"): PLAIN_TIMESTAMP,
    ("date", "-", "interval"): PLAIN_TIMESTAMP,
    ("date", "+", "time"): PLAIN_TIMESTAMP,
    ("interval", "/", "integer"): INTERVAL,
    ("interval", "/", "float"): INTERVAL,
    ("interval", "*", "integer"): INTERVAL,
    ("interval", "*", "float"): INTERVAL,
    ("integer", "*", "interval"): INTERVAL,
    ("float", "*", "interval"): INTERVAL,
}
# Kinds that are never part of a calculation.
_STILL: Final = frozenset({"text", "enum", "boolean", "uuid", "bytes"})


def combined_type(left: ColumnType, operator: str, right: ColumnType) -> ColumnType | None:
    """Return the type of a calculation, or None where there is no such calculation.

    PostgreSQL docs: functions-math, functions-datetime.
    """
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return _of_numbers(left, operator, right)
    found = _CALCULATED.get((left.kind, operator, right.kind))
    if found is not None:
        return found
    if left.kind in {"timestamp", "time", "interval"} and right.kind == "interval" and operator in "+-":
        return bare(left)
    if left.kind == "interval" and right.kind in {"timestamp", "time"} and operator == "+":
        return bare(right)
    return None if left.kind in _STILL or right.kind in _STILL else bare(left)


def _of_numbers(left: ColumnType, operator: str, right: ColumnType) -> ColumnType | None:
    if operator in _BITS and not left.kind == right.kind == "integer":
        return None
    if operator == "^":
        return (
            NUMERIC
            if "numeric" in {left.kind, right.kind} and "float" not in {left.kind, right.kind}
            else FLOAT
        )
    if operator in _SHIFTS:
        return plain(left)
    ranks = (_RANKS.get(bare_sql(left), 0), _RANKS.get(bare_sql(right), 0))
    if sorted((left.kind, right.kind)) == ["float", "integer"] or sorted((left.kind, right.kind)) == [
        "float",
        "numeric",
    ]:
        return FLOAT
    return plain(left if ranks[0] >= ranks[1] else right)
