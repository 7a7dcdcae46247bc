"""The right side of a lookup while its SQL is built: a parameter, several, or an expression."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hyperdjango.models._checks import has
from hyperdjango.models._nodes import Node, Parameter
from hyperdjango.models._shapes import (
    Constant,
    Cursor,
    InstanceKind,
    ListKind,
    MixedKind,
    PairKind,
    lookup_shape,
)
from hyperdjango.models._values import type_of_kind
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope
    from hyperdjango.models.model import Model


class Operand:
    """The right side of a lookup.

    Attributes:
        value: As it was given. Only its kind may shape SQL: other values of the same kind share the text.
        kind: What `shape` says of it.
        said: How the user wrote the condition, for errors.
        wrappers: Transforms of the left side that this side goes through as well.
    """

    __slots__ = ("_cursor", "_first", "_node", "_scope", "kind", "params", "said", "value", "wrappers")

    def __init__(
        self, value: Any, scope: "Scope", cursor: Cursor, said: str, name: str | None = None
    ) -> None:
        self.value = value
        self.kind, self.params = lookup_shape(said if name is None else name, value)
        self.said = said
        self._scope = scope
        self._cursor = cursor
        self._first = cursor.skip(len(self.params))
        self._node: Node | None = None
        self.wrappers: list[Callable[[Node], Node]] = []

    @property
    def model(self) -> "type[Model]":
        """The model that is queried, for errors."""
        return self._scope.root.table.model

    @property
    def is_expression(self) -> bool:
        """Whether it is looked up or calculated in the database."""
        return has(self.value, "resolve")

    @property
    def is_list(self) -> bool:
        """Whether it is a list of values."""
        return isinstance(self.kind, ListKind | MixedKind | PairKind)

    @property
    def is_instance(self) -> bool:
        """Whether it is an instance of a model: its key."""
        return isinstance(self.kind, InstanceKind)

    def wrap(self, wrapper: Callable[[Node], Node]) -> None:
        """Have a transform applied to this side as well."""
        self.wrappers.append(wrapper)

    def node(self, cast: str | None = None, adapt: Callable[[Any], Any] | None = None) -> Node:
        """The value as a node: a parameter, or the expression. The same one at every call.

        Args:
            cast: The PostgreSQL type to write behind the placeholder.
            adapt: From the given value to the one that is sent, at each use.
        """
        if self._node is None:
            self._node = self.bare_node(cast, adapt)
            for wrapper in self.wrappers:
                self._node = wrapper(self._node)
        return self._node

    def bare_node(self, cast: str | None = None, adapt: Callable[[Any], Any] | None = None) -> Node:
        """As `node`, without the transforms that both sides go through. To be asked for once."""
        return self._expression() if self.is_expression else self._parameter(cast, adapt)

    def _expression(self) -> Node:
        at = self._cursor.skip(0)
        self._cursor.seek(self._first)
        node: Node = self.value.resolve(self._scope, self._cursor)
        self._cursor.seek(at)
        return node

    def _parameter(self, cast: str | None, adapt: Callable[[Any], Any] | None) -> Node:
        if len(self.params) != 1:
            raise FieldError(f"{self.model.__name__}: {self.said} takes one value, not {_shown(self.value)}")
        if adapt is not None:
            self._cursor.adapt(self._first, adapt)
        return Parameter(self._first, type_of_kind(self.kind), cast=cast)

    def parameters(self) -> list[Node]:
        """Each of the values of an instance's key."""
        return [Parameter(self._first + offset) for offset in range(len(self.params))]

    def elements(self) -> list["Operand"]:
        """The values of a pair, or of a list with expressions in it, one by one."""
        at = self._cursor.skip(0)
        self._cursor.seek(self._first)
        found = [Operand(one, self._scope, self._cursor, self.said, "") for one in self.value]
        for one in found:
            one.wrappers = self.wrappers
        self._cursor.seek(at)
        return found

    def constant(self, *classes: type) -> Any:
        """The value itself, for lookups whose value shapes the SQL."""
        if not isinstance(self.kind, Constant) or not isinstance(self.value, classes):
            raise self.wrong(" or ".join(one.__name__ for one in classes))
        return self.value

    def wrong(self, wanted: str) -> FieldError:
        """The error for a value of the wrong class."""
        return FieldError(f"{self.model.__name__}: {self.said} takes {wanted}, not {_shown(self.value)}")


def _shown(value: Any) -> str:
    # Texts may be secret; a list may have some in it.
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"
