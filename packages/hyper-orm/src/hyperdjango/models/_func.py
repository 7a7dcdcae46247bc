"""`Func`: a function of the database, by its name; the base of `hyperdjango.models.functions`.

Django docs: ref/models/expressions, "Func() expressions".
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hyperdjango.models._checks import is_a
from hyperdjango.models._nodes import Identifier, Node, Sql
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._sql import as_type, separated
from hyperdjango.models._types import ColumnType
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, Value, as_expression, type_from

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope
    from hyperdjango.models.query_words import Q

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


class Function(Expression):
    """A function whose SQL `build` makes of the nodes of its arguments.

    Attributes:
        sources: The arguments as expressions.
        options: What else shapes the SQL; hashable.
    """

    __slots__ = ("_output", "options", "sources")

    arity: ClassVar[int | tuple[int, int | None] | None] = None

    def __init__(self, *expressions: object, output_field: Any = None) -> None:
        self._check_arity(len(expressions))
        self._fill(tuple(map(as_expression, expressions)), (), output_field)

    def _fill(
        self, sources: tuple[Expression, ...], options: tuple[Any, ...] = (), output_field: Any = None
    ) -> None:
        self.sources = sources
        self.options = options
        self._output = type_from(output_field) if output_field is not None else None
        self.key = (type(self), options, self._output, *[source.key for source in sources])
        self.params = sum((source.params for source in sources), ())

    def _check_arity(self, count: int) -> None:
        if self.arity is None:
            return
        least, most = self.arity if isinstance(self.arity, tuple) else (self.arity, self.arity)
        if count < least or (most is not None and count > most):
            wanted = (
                f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
            )
            raise FieldError(f"{type(self).__name__}() takes {wanted} expressions, not {count}")

    def parts(self) -> "Iterable[Expression | Q]":
        return self.sources

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        return self.finished(self.build(self.arguments(scope, cursor)))

    def arguments(self, scope: "Scope", cursor: Cursor) -> list[Node]:
        """The nodes of the arguments."""
        return [source.resolve(scope, cursor) for source in self.sources]

    def build(self, nodes: list[Node]) -> Node:
        """Make the SQL of the arguments' nodes."""
        raise NotImplementedError

    def finished(self, node: Node) -> Node:
        """The value as `output_field` wants it."""
        return node if self._output is None else as_type(node, self._output)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.sources))})"


class Func(Function):
    """A function by its name.

    Plain values and `Value(…)` are sent without a type, so that PostgreSQL chooses the function as it does for
    literals; give `Value(…, output_field=…)` where that leaves more than one.

    Args:
        expressions: Names of fields, expressions and values: the arguments.
        function: The name, with a schema in front where it needs one: `"public.distance"`. It is an identifier and
            nothing else: it is quoted, and folded to lower case as SQL does.
        output_field: An annotation as for a field of a model: what the value is in Python. It is cast to that.
    Raises:
        FieldError: The name is no identifier, or there is none.
    """

    __slots__ = ("name",)

    function: ClassVar[str | None] = None

    def __init__(self, *expressions: object, function: str | None = None, output_field: Any = None) -> None:
        self._check_arity(len(expressions))
        given = function if function is not None else self.function
        if given is None:
            raise FieldError(f"{type(self).__name__}() needs the name of a function: function='…'")
        self.name = function_name(given)
        self._fill(tuple(map(as_expression, expressions)), self.name, output_field)

    def arguments(self, scope: "Scope", cursor: Cursor) -> list[Node]:
        return [
            source.resolve_bare(scope, cursor) if isinstance(source, Value) else source.resolve(scope, cursor)
            for source in self.sources
        ]

    def build(self, nodes: list[Node]) -> Node:
        return Sql(*written_name(self.name), "(", *separated(nodes), ")", type=None, is_nullable=True)


class ExpressionWrapper(Function):
    """An expression with another type: `ExpressionWrapper(F("a") * 2, output_field=float)` casts to it."""

    __slots__ = ()

    def __init__(self, expression: object, output_field: Any) -> None:
        self._fill((as_expression(expression),), (), output_field)

    def build(self, nodes: list[Node]) -> Node:
        return nodes[0]


def function_name(name: str) -> tuple[str, ...]:
    """Return the words of a function's name, folded as SQL folds them.

    Raises:
        FieldError: It is anything but one or two words of letters, digits and underscores.
    """
    words = tuple(name.split(".")) if is_a(name, str) else ()
    if not 1 <= len(words) <= 2 or not all(_WORD.fullmatch(word) for word in words):
        raise FieldError(f"{name!r} is no name of a function: a word, or a schema, a dot and a word")
    return tuple(word.lower() for word in words)


# Functions that SQL knows as words and not as names: quoted, there are none of them.
_KEYWORDS: Final = frozenset({"coalesce", "greatest", "least", "nullif"})


def written_name(words: Sequence[str]) -> list[str | Node]:
    """The pieces of a name: identifiers."""
    if len(words) == 1 and words[0] in _KEYWORDS:
        return [words[0]]
    parts: list[str | Node] = []
    for word in words:
        parts += [".", Identifier(word)] if parts else [Identifier(word)]
    return parts


def natural(node: Node, type_: ColumnType | None) -> Node:
    """The node, of that type."""
    node.type = type_
    return node


__all__ = ["ExpressionWrapper", "Func", "Function", "function_name", "natural", "written_name"]
