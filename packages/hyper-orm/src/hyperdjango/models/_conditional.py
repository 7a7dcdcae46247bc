"""`Case` and `When`: SQL's CASE.

Django docs: ref/models/conditional-expressions.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hyperdjango.models._checks import is_a
from hyperdjango.models._nodes import Node, Sql
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._sql import as_type, common_type
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, Value, as_expression, type_from
from hyperdjango.models.query_words import Q

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope


class When(Expression):
    """A condition and the value where it is true.

    Args:
        condition: A Q or a boolean expression; or lookups by keyword.
        then: The value: an expression, the name of a field, or a Python value that is no str.
    Raises:
        FieldError: There is no condition, or no value.
    """

    __slots__ = ("condition", "result")

    def __init__(
        self, condition: Q | Expression | None = None, *, then: object = None, **lookups: Any
    ) -> None:
        if condition is not None and not is_a(condition, Q, Expression):
            raise FieldError(f"When() takes a Q or a boolean expression, not {type(condition).__name__}")
        q = Q(*(() if condition is None else (condition,)), **lookups)
        if not q:
            raise FieldError("When() needs a condition")
        self.condition = q
        self.result = as_expression(then)
        self.key = (When, q.key, self.result.key)
        self.params = (*q.params, *self.result.params)

    def parts(self) -> Iterable[Expression | Q]:
        return (self.condition, self.result)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        raise FieldError("When() stands within Case() alone")

    def __repr__(self) -> str:
        return f"When({self.condition!r}, then={self.result!r})"


class Case(Expression):
    """The value of the first When whose condition is true, else the default.

    Args:
        cases: In the order in which they are tried.
        default: An expression, the name of a field, or a Python value that is no str; NULL where it is not given.
        output_field: An annotation as for a field of a model; the value is cast to it.
    """

    __slots__ = ("_output", "cases", "default")

    def __init__(self, *cases: When, default: object = None, output_field: Any = None) -> None:
        for case in cases:
            if not is_a(case, When):
                raise FieldError(f"Case() takes When(…)s, not {type(case).__name__}")
        self.cases = cases
        self.default = as_expression(default)
        self._output = type_from(output_field) if output_field is not None else None
        self.key = (Case, self._output, self.default.key, *[case.key for case in cases])
        self.params = (*sum((case.params for case in cases), ()), *self.default.params)

    def parts(self) -> Iterable[Expression | Q]:
        return (*self.cases, self.default)

    def resolve(self, scope: "Scope", cursor: Cursor) -> Node:
        pairs = [
            (one.condition.resolve(scope, cursor), one.result.resolve(scope, cursor)) for one in self.cases
        ]
        default = self.default.resolve(scope, cursor)
        results = [result for _, result in pairs]
        if not pairs:
            return default if self._output is None else as_type(default, self._output)
        parts: list[str | Node] = []
        for condition, result in pairs:
            parts += [" WHEN ", condition, " THEN ", result]
        if not (isinstance(self.default, Value) and self.default.value is None):
            parts += [" ELSE ", default]
            results.append(default)
        else:
            default.is_nullable = True
        nullable = default.is_nullable or any(node.is_nullable for node in results)
        node = Sql("CASE", *parts, " END", type=common_type(results), is_nullable=nullable)
        return node if self._output is None else as_type(node, self._output)

    def __repr__(self) -> str:
        return f"Case({', '.join(map(repr, self.cases))}, default={self.default!r})"
