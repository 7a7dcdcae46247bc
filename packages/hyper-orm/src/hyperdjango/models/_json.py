"""Keys of JSON: `data__owner__name`, `KT("data__owner__name")`, `KeyTransform("odd key", "data")`.

A key is a part of the query's shape, so it stands in the text, as a string constant that one strict function
writes; the values that it is compared with are parameters.

Django docs: topics/db/queries, "Querying JSONField". PostgreSQL docs: functions-json.
"""

import re
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database.errors import DataError
from hyperdjango.models._checks import is_a
from hyperdjango.models._func import Function
from hyperdjango.models._literals import quoted
from hyperdjango.models._nodes import Node, Sql
from hyperdjango.models._sql import cast, enclosed
from hyperdjango.models._types import TEXT
from hyperdjango.models._values import JSONB
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import as_expression

if TYPE_CHECKING:
    from hyperdjango.models._types import ColumnType

_INDEX: Final = re.compile(r"-?[0-9]{1,9}")


class KeyPath(Sql):
    """A value within a JSON value, by the keys that lead to it."""

    __slots__ = ("base", "keys")

    def __init__(
        self, base: Node, keys: tuple[str, ...], type_: "ColumnType" = JSONB, arrow: str = ">"
    ) -> None:
        super().__init__("(", enclosed(base), f" {_path(keys, arrow)})", type=type_, is_nullable=True)
        self.base = base
        self.keys = keys

    def as_text(self) -> Node:
        """What a string holds, without its quotes; of all other values the JSON text."""
        return KeyPath(self.base, self.keys, TEXT, ">>")


def _path(keys: tuple[str, ...], arrow: str) -> str:
    """Digits are the index of an array's element as well as the key of an object: a path takes them for both."""
    if len(keys) == 1 and not _INDEX.fullmatch(keys[0]):
        return f"-{arrow} {key_constant(keys[0])}"
    return f"#{arrow} ARRAY[{', '.join(key_constant(key) for key in keys)}]"


def key_constant(key: str) -> str:
    """Return a key as a string constant.

    Raises:
        FieldError: It holds a NUL.
    """
    try:
        return quoted(key)
    except DataError:
        raise FieldError(f"{key!r} is no key of JSON: it holds a NUL") from None


def key_of(node: Node, word: str) -> KeyPath:
    """The value of one more key."""
    if isinstance(node, KeyPath):
        return KeyPath(node.base, (*node.keys, word))
    return KeyPath(as_jsonb(node), (word,))


def as_jsonb(node: Node) -> Node:
    """The value as jsonb, which can be compared; json cannot."""
    if node.type is not None and node.type.kind == "json":
        return cast(node, "jsonb", JSONB) if node.type.sql == "json" else node
    return Sql("to_jsonb(", node, ")", type=JSONB, is_nullable=node.is_nullable)


class KeyTransform(Function):
    """The value of a key, whatever the key is: `KeyTransform("a b", "data")`. Of an int, the element of an array."""

    __slots__ = ()

    def __init__(self, key: str | int, expression: object) -> None:
        if isinstance(key, bool) or not is_a(key, str, int):
            raise FieldError(f"{type(self).__name__}() takes a key as str or int, not {key!r}")
        self._fill((as_expression(expression),), (str(key),))

    def build(self, nodes: list[Node]) -> Node:
        return key_of(_of_json(nodes[0], self), self.options[0])


class KeyTextTransform(KeyTransform):
    """As KeyTransform; the value as text: what a string holds."""

    __slots__ = ()

    def build(self, nodes: list[Node]) -> Node:
        return key_of(_of_json(nodes[0], self), self.options[0]).as_text()


class KT(Function):
    """The value of keys as text: `KT("data__owner__name")`."""

    __slots__ = ()
    arity = 1

    def build(self, nodes: list[Node]) -> Node:
        if not isinstance(nodes[0], KeyPath):
            raise FieldError(f"{self!r}: it takes a JSON field and a key, as in KT('data__name')")
        return nodes[0].as_text()


def _of_json(node: Node, said: Any) -> Node:
    if node.type is not None and node.type.kind != "json":
        raise FieldError(f"{said!r} takes JSON, not {node.type.sql}")
    return node
