"""Comparison and conversion: Cast, Coalesce, Greatest, JSONObject and their like.

Django docs: ref/models/database-functions, "Comparison and conversion functions".
"""

from typing import Any

from hyperdjango.models._func import Function
from hyperdjango.models._nodes import Identifier, Node, Sql
from hyperdjango.models._sql import as_text, call, cast, common_type, enclosed, separated
from hyperdjango.models._values import JSONB, bare
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, Value, as_expression, type_from


class Cast(Function):
    """The value as another type.

    Args:
        expression: A name, an expression or a value.
        output_field: An annotation as for a field of a model: `int`, `Annotated[str, MaxLen(3)]`, `Decimal`.
    """

    __slots__ = ()

    def __init__(self, expression: object, output_field: Any) -> None:
        self._fill((as_expression(expression),), (type_from(output_field),))

    def build(self, nodes: list[Node]) -> Node:
        (type_,) = self.options
        return cast(nodes[0], type_.sql, type_)


class _OfSeveral(Function):
    """The arguments have one type together."""

    __slots__ = ()
    arity = (2, None)
    word = ""

    def build(self, nodes: list[Node]) -> Node:
        return call(self.word, *nodes, type_=bare(common_type(nodes)), is_nullable=self._is_nullable(nodes))

    def _is_nullable(self, nodes: list[Node]) -> bool:
        return all(node.is_nullable for node in nodes)


class Coalesce(_OfSeveral):
    """The first that is not NULL."""

    __slots__ = ()
    word = "coalesce"


class Greatest(_OfSeveral):
    """The greatest; NULLs are passed over."""

    __slots__ = ()
    word = "greatest"


class Least(_OfSeveral):
    """The smallest; NULLs are passed over."""

    __slots__ = ()
    word = "least"


class NullIf(Function):
    """NULL where both are equal, else the first."""

    __slots__ = ()
    arity = 2

    def build(self, nodes: list[Node]) -> Node:
        return call("nullif", *nodes, type_=bare(nodes[0].type), is_nullable=True)


class Collate(Function):
    """The text with another collation, for comparing and ordering. Its name is an identifier, and quoted."""

    __slots__ = ()

    def __init__(self, expression: object, collation: Any) -> None:
        if not isinstance(collation, str) or not collation or "\0" in collation:
            raise FieldError(f"Collate() takes the name of a collation, not {collation!r}")
        self._fill((as_expression(expression),), (collation,))

    def build(self, nodes: list[Node]) -> Node:
        schema, dot, name = self.options[0].rpartition(".")
        words: list[str | Node] = [Identifier(schema), "."] if dot and schema else []
        if not (dot and schema):
            name = self.options[0]
        node = as_text(nodes[0])
        return Sql("(", enclosed(node), " COLLATE ", *words, Identifier(name), ")", type=node.type)


class JSONObject(Function):
    """A JSON object of names and values: `JSONObject(name="author__name", price=F("price") * 2)`."""

    __slots__ = ()

    def __init__(self, **fields: object) -> None:
        sources: list[Expression] = []
        for name, value in fields.items():
            sources += [Value(name), as_expression(value)]
        self._fill(tuple(sources))

    def build(self, nodes: list[Node]) -> Node:
        return call("jsonb_build_object", *nodes, type_=JSONB, is_nullable=False)


class JSONArray(Function):
    """A JSON array of values."""

    __slots__ = ()

    def build(self, nodes: list[Node]) -> Node:
        return Sql("jsonb_build_array(", *separated(nodes), ")", type=JSONB, is_nullable=False)
