"""Math functions, under Django's names.

What PostgreSQL has for double precision alone takes ints and Decimals as that. Decimals stay Decimals where
PostgreSQL has the function for numeric.

Django docs: ref/models/database-functions, "Math functions". PostgreSQL docs: functions-math.
"""

from typing import Any, ClassVar

from hyperdjango.models._func import Function
from hyperdjango.models._nodes import Node, Sql
from hyperdjango.models._sql import as_float, as_integer, as_numeric, as_type, call, cast
from hyperdjango.models._values import FLOAT, NUMERIC, plain
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import as_expression


def _is(node: Node, kind: str) -> bool:
    return node.type is not None and node.type.kind == kind


class _OfNumber(Function):
    """Of one number."""

    __slots__ = ()
    arity = 1
    word: ClassVar[str]

    def arguments_checked(self, nodes: list[Node]) -> list[Node]:
        """The arguments, all of which are numbers.

        Raises:
            FieldError: One is something else.
        """
        for node in nodes:
            if node.type is not None and node.type.kind not in {
                "integer",
                "numeric",
                "float",
                "interval",
                "other",
                "json",
            }:
                raise FieldError(f"{type(self).__name__}() takes a number, not {node.type.sql}: {self!r}")
        return nodes

    def build(self, nodes: list[Node]) -> Node:
        (node,) = self.arguments_checked(nodes)
        return call(self.word, as_float(node), type_=FLOAT)


class _AlsoNumeric(_OfNumber):
    """Of Decimals a Decimal, of all others a float."""

    __slots__ = ()

    def build(self, nodes: list[Node]) -> Node:
        (node,) = self.arguments_checked(nodes)
        if _is(node, "numeric"):
            return call(self.word, node, type_=NUMERIC)
        return call(self.word, as_float(node), type_=FLOAT)


class Abs(_OfNumber):
    """Without its sign."""

    __slots__ = ()

    def build(self, nodes: list[Node]) -> Node:
        (node,) = self.arguments_checked(nodes)
        return call("abs", node, type_=plain(node.type))


class ACos(_OfNumber):
    """The arc cosine, in radians."""

    __slots__ = ()
    word = "acos"


class ASin(_OfNumber):
    """The arc sine, in radians."""

    __slots__ = ()
    word = "asin"


class ATan(_OfNumber):
    """The arc tangent, in radians."""

    __slots__ = ()
    word = "atan"


class ATan2(_OfNumber):
    """The angle of a point, in radians: of y and x."""

    __slots__ = ()
    arity = 2

    def build(self, nodes: list[Node]) -> Node:
        return call("atan2", *map(as_float, self.arguments_checked(nodes)), type_=FLOAT)


class Cos(_OfNumber):
    """The cosine of radians."""

    __slots__ = ()
    word = "cos"


class Cot(_OfNumber):
    """The cotangent of radians."""

    __slots__ = ()
    word = "cot"


class Sin(_OfNumber):
    """The sine of radians."""

    __slots__ = ()
    word = "sin"


class Tan(_OfNumber):
    """The tangent of radians."""

    __slots__ = ()
    word = "tan"


class Degrees(_OfNumber):
    """Radians as degrees."""

    __slots__ = ()
    word = "degrees"


class Radians(_OfNumber):
    """Degrees as radians."""

    __slots__ = ()
    word = "radians"


class Exp(_AlsoNumeric):
    """The power of e."""

    __slots__ = ()
    word = "exp"


class Ln(_AlsoNumeric):
    """The natural logarithm."""

    __slots__ = ()
    word = "ln"


class Sqrt(_AlsoNumeric):
    """The square root."""

    __slots__ = ()
    word = "sqrt"


class Sign(_AlsoNumeric):
    """-1, 0 or 1."""

    __slots__ = ()
    word = "sign"


class _Whole(_OfNumber):
    """A whole number; of ints, themselves."""

    __slots__ = ()

    def build(self, nodes: list[Node]) -> Node:
        (node,) = self.arguments_checked(nodes)
        if _is(node, "integer"):
            return Sql(node, type=plain(node.type), is_nullable=node.is_nullable)
        return call(self.word, node, type_=plain(node.type))


class Ceil(_Whole):
    """The smallest whole number that is not less."""

    __slots__ = ()
    word = "ceil"


class Floor(_Whole):
    """The greatest whole number that is not more."""

    __slots__ = ()
    word = "floor"


class _ToPlaces(_OfNumber):
    __slots__ = ()

    def __init__(self, expression: object, precision: object = 0, output_field: Any = None) -> None:
        if isinstance(precision, bool | float):
            raise FieldError(f"{type(self).__name__}(precision=…) takes an int, not {precision!r}")
        self._fill((as_expression(expression), as_expression(precision)), (), output_field)

    def build(self, nodes: list[Node]) -> Node:
        node, places = nodes
        self.arguments_checked([node])
        # There is no such function of floats and ints.
        made: Node = call(self.word, as_numeric(node), as_integer(places), type_=NUMERIC)
        back = plain(node.type)
        return made if back is None or back.kind == "numeric" else as_type(made, back)


class Round(_ToPlaces):
    """Rounded to so many places behind the point; before it where the count is negative."""

    __slots__ = ()
    word = "round"


class Trunc(_ToPlaces):
    """Cut to so many places behind the point. Dates have a Trunc of their own in `functions`."""

    __slots__ = ()
    word = "trunc"


class _OfTwo(_OfNumber):
    __slots__ = ()
    arity = 2

    def both(self, nodes: list[Node]) -> list[Node]:
        """The arguments as numeric where one is, else as they are."""
        self.arguments_checked(nodes)
        if any(_is(node, "numeric") for node in nodes) and not any(_is(node, "float") for node in nodes):
            return [as_numeric(node) for node in nodes]
        return nodes


class Power(_OfTwo):
    """One number to the power of another."""

    __slots__ = ()

    def build(self, nodes: list[Node]) -> Node:
        one, other = self.both(nodes)
        if _is(one, "numeric") and _is(other, "numeric"):
            return call("power", one, other, type_=NUMERIC)
        return call("power", as_float(one), as_float(other), type_=FLOAT)


class Mod(_OfTwo):
    """The remainder of a division."""

    __slots__ = ()

    def build(self, nodes: list[Node]) -> Node:
        one, other = self.both(nodes)
        if _is(one, "float") or _is(other, "float"):
            return cast(
                call("mod", as_numeric(one), as_numeric(other), type_=NUMERIC), "double precision", FLOAT
            )
        return call("mod", one, other, type_=plain(one.type))


class Log(_OfTwo):
    """The logarithm of the second number to the base of the first."""

    __slots__ = ()

    def build(self, nodes: list[Node]) -> Node:
        one, other = self.both(nodes)
        made = call("log", as_numeric(one), as_numeric(other), type_=NUMERIC)
        return (
            made if _is(one, "numeric") and _is(other, "numeric") else cast(made, "double precision", FLOAT)
        )


class Pi(Function):
    """π."""

    __slots__ = ()
    arity = 0

    def build(self, nodes: list[Node]) -> Node:
        return call("pi", type_=FLOAT, is_nullable=False)


class Random(Function):
    """A random number from 0 to 1, 1 not included."""

    __slots__ = ()
    arity = 0

    def build(self, nodes: list[Node]) -> Node:
        return call("random", type_=FLOAT, is_nullable=False)
