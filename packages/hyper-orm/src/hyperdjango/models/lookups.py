"""Lookups and transforms: what may stand behind a field's name, for which kinds of columns.

A lookup makes a condition of a column and a value; a transform makes another value of a column. Both are found
by name and by the column's kind; users add their own with `register_lookup` and `register_transform`.

Django docs: ref/models/querysets, "Field lookups".
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hyperdjango.models._nearest import nearest
from hyperdjango.models._nodes import FALSE, Node, Outer, Parameter, Sql, condition
from hyperdjango.models._shapes import Constant, Cursor, InstanceKind, ListKind, lookup_shape
from hyperdjango.models._types import ColumnType
from hyperdjango.models._values import PLAIN_TYPES, array_of, type_of_kind
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression

if TYPE_CHECKING:
    from hyperdjango.models._scope import Found, Scope

ANY_KIND: Final = "*"


class Operand:
    """The right side of a lookup while it is built.

    Attributes:
        value: As it was given. Only its kind may shape SQL: other values of the same kind share the text.
        kind: What `shape` says of it.
        said: How the user wrote the condition, for errors.
    """

    __slots__ = ("_cursor", "_first", "_scope", "kind", "said", "value")

    def __init__(self, value: Any, scope: "Scope", cursor: Cursor, said: str) -> None:
        self.value = value
        self.kind, params = lookup_shape(said, value)
        self.said = said
        self._scope = scope
        self._cursor = cursor
        self._first = cursor.skip(0)
        if not isinstance(value, Expression) and not hasattr(type(value), "resolve"):
            cursor.skip(len(params))

    @property
    def is_expression(self) -> bool:
        """Whether it is looked up or calculated in the database."""
        return hasattr(type(self.value), "resolve")

    @property
    def is_list(self) -> bool:
        """Whether it is a list of values."""
        return isinstance(self.kind, ListKind)

    def node(self, cast: str | None = None, adapt: Callable[[Any], Any] | None = None) -> Node:
        """The value as a node: a parameter, or the expression.

        Args:
            cast: The PostgreSQL type to write behind the placeholder.
            adapt: From the given value to the one that is sent, at each use.
        """
        if self.is_expression:
            self._cursor.seek(self._first)
            resolved: Node = self.value.resolve(self._scope, self._cursor)
            return resolved
        if adapt is not None:
            self._cursor.adapt(self._first, adapt)
        return Parameter(self._first, type_of_kind(self.kind), cast=cast)

    def constant(self, *classes: type) -> Any:
        """The value itself, for lookups whose value shapes the SQL."""
        if not isinstance(self.kind, Constant) or not isinstance(self.value, classes):
            raise FieldError(
                f"{self.said} takes {' or '.join(c.__name__ for c in classes)}, not {self.value!r}"
            )
        return self.value


Build = Callable[[Node, Operand], Node]
Transform = Callable[[Node], Node]


class _Registered(NamedTuple):
    build: Any
    kinds: frozenset[str]


_LOOKUPS: dict[str, list[_Registered]] = {}
_TRANSFORMS: dict[str, list[_Registered]] = {}


def lookup(name: str, *kinds: str) -> Callable[[Build], Build]:
    """Register a function as the lookup `name` of columns of these kinds; of any kind without one."""

    def registered(build: Build) -> Build:
        _LOOKUPS.setdefault(name, []).append(_Registered(build, frozenset(kinds or {ANY_KIND})))
        return build

    return registered


def transform(name: str, *kinds: str) -> Callable[[Transform], Transform]:
    """Register a function as the transform `name` of columns of these kinds."""

    def registered(build: Transform) -> Transform:
        _TRANSFORMS.setdefault(name, []).append(_Registered(build, frozenset(kinds or {ANY_KIND})))
        return build

    return registered


def _of_kind(registry: Mapping[str, list[_Registered]], name: str, kind: str) -> Any:
    """The newest entry for a kind; one for exactly it before one for all."""
    entries = registry.get(name, [])
    for wanted in (kind, ANY_KIND):
        for entry in reversed(entries):
            if wanted in entry.kinds:
                return entry.build
    return None


def _words(kind: str) -> Iterable[str]:
    for registry in (_LOOKUPS, _TRANSFORMS):
        for name, entries in registry.items():
            if any(kind in entry.kinds or ANY_KIND in entry.kinds for entry in entries):
                yield name


def _kind(node: Node) -> str:
    return node.type.kind if node.type is not None else "other"


def transformed_by(node: Node, word: str) -> Node | None:
    """Apply one transform, or return None where there is none of that name; JSON and arrays take any key."""
    found = _of_kind(_TRANSFORMS, word, _kind(node))
    if found is not None:
        made: Node = found(node)
        return made
    any_key = _of_kind(_TRANSFORMS, ANY_KEY, _kind(node))
    if any_key is not None:
        keyed: Node | None = any_key(node, word)
        return keyed
    return None


ANY_KEY: Final = "<key>"


def transformed(scope: "Scope", name: str, found: "Found") -> Node:
    """Apply all words behind a field as transforms.

    Raises:
        FieldError: One of them is no transform.
    """
    node = found.node
    for word in found.rest:
        onward = transformed_by(node, word)
        if onward is None:
            raise unknown_word(node, word, name, found)
        node = onward
    return node


def compared(left: Node, words: tuple[str, ...], operand: Operand, found: "Found | None") -> Node:
    """Return the condition of a column, the words behind it and a value.

    Raises:
        FieldError: A word is no lookup or transform of the column's type, or the value does not fit.
    """
    for word in words[:-1]:
        onward = transformed_by(left, word)
        if onward is None:
            raise unknown_word(left, word, operand.said, found)
        left = onward
    name = "exact"
    if words:
        build = _of_kind(_LOOKUPS, words[-1], _kind(left))
        if build is not None:
            name = words[-1]
        else:
            onward = transformed_by(left, words[-1])
            if onward is None:
                raise unknown_word(left, words[-1], operand.said, found)
            left = onward
    _check_instance(operand, found)
    if operand.value is None and name == "exact":
        return condition(left, " IS NULL", is_nullable=False)
    if operand.value is None and name != "isnull":
        raise FieldError(f"{operand.said} cannot be compared with None; use {operand.said}__isnull=True")
    build = _of_kind(_LOOKUPS, name, _kind(left))
    made: Node = build(left, operand)
    return made


def _check_instance(operand: Operand, found: "Found | None") -> None:
    """An instance is of the model that the relation leads to.

    Raises:
        FieldError: It is of another one.
    """
    kind, relation = operand.kind, found.relation if found is not None else None
    if not isinstance(kind, InstanceKind) or relation is None:
        return
    target = relation.target
    if not issubclass(kind.model, target):
        raise FieldError(
            f"{relation.model.__name__}.{relation.name} is {target.__name__}; "
            f"{operand.said} cannot be a {kind.model.__name__}"
        )


def unknown_word(node: Node, word: str, said: str, found: "Found | None") -> FieldError:
    """The error for a word behind a field that means nothing there."""
    relation = found.relation if found is not None else None
    if relation is not None:
        table = relation.target._table
        known = [*table.names(), *_words(_kind(node))]
        return FieldError(
            f"{table.model.__name__} has no field {word!r}, and a relation no such lookup, in {said!r}"
            f"{nearest(word, known)}"
        )
    of = f"{_sql_name(node)} has" if node.type is not None else "there is"
    return FieldError(
        f"{of} no lookup or transform {word!r}, in {said!r}{nearest(word, _words(_kind(node)))}"
    )


def _sql_name(node: Node) -> str:
    assert node.type is not None
    return node.type.sql


# The kinds of Python values that fit a column without another word.
_FITS: Final[dict[str, frozenset[str]]] = {
    "integer": frozenset({"integer", "numeric", "float"}),
    "numeric": frozenset({"integer", "numeric", "float"}),
    "float": frozenset({"integer", "numeric", "float"}),
    "text": frozenset({"text"}),
    "enum": frozenset({"text"}),
    "boolean": frozenset({"boolean"}),
    "date": frozenset({"date", "timestamp"}),
    "timestamp": frozenset({"date", "timestamp"}),
    "time": frozenset({"time"}),
    "interval": frozenset({"interval"}),
    "uuid": frozenset({"uuid"}),
    "bytes": frozenset({"bytes"}),
}


def fitting(left: Node, operand: Operand) -> Node:
    """The value of a comparison, typed so that it fits the column.

    Raises:
        FieldError: A Python value of that class is never equal to, or comparable with, the column's.
    """
    if operand.is_expression:
        return operand.node()
    own, column = type_of_kind(operand.kind), left.type
    if column is None:
        return operand.node(own.sql if own is not None else None)
    _check(column, own, operand)
    if own is not None and column.kind not in {own.kind, "enum"}:
        return operand.node(own.sql)
    if own is not None and column.kind == own.kind == "integer":
        # An int beyond the column's own size is just a value that no row has.
        return operand.node(own.sql)
    return operand.node(column.sql if isinstance(left, Sql) else None)


def _check(column: ColumnType, own: ColumnType | None, operand: Operand) -> None:
    fits = _FITS.get(column.kind)
    if own is None or fits is None or own.kind in fits:
        return
    given = type(operand.value).__name__
    raise FieldError(f"{operand.said} is compared with a {given}, but {column.sql} takes {_takes(column)}")


def _takes(column: ColumnType) -> str:
    return getattr(column.python, "__name__", str(column.python))


def _operator(sql: str) -> Build:
    def build(left: Node, operand: Operand) -> Node:
        return condition(left, f" {sql} ", fitting(left, operand))

    return build


for _name, _sql in (("exact", "="), ("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<=")):
    lookup(_name)(_operator(_sql))


@lookup("isnull")
def _isnull(left: Node, operand: Operand) -> Node:
    wanted = operand.constant(bool)
    return condition(left, " IS NULL" if wanted else " IS NOT NULL", is_nullable=False)


@lookup("in")
def _in(left: Node, operand: Operand) -> Node:
    """A list is one array parameter: an empty one is false; NULLs in it equal nothing and are left out."""
    if operand.is_expression:
        return condition(left, " IN ", operand.node())
    if not isinstance(operand.kind, ListKind):
        raise FieldError(f"{operand.said} takes a list or a queryset, not {type(operand.value).__name__}")
    types = operand.kind.types - {type(None)}
    if not types:
        # Without a value the parameter would have no type; it is not mentioned, and so not sent.
        return FALSE
    for one in types:
        if left.type is not None:
            element = type_of_kind(one)
            if element is None and isinstance(one, type) and hasattr(one, "_shape"):
                operand._cursor.adapt(operand._first, _keys)
                continue
            _check(left.type, element, operand)
    own = type_of_kind(ListKind(types))
    column = left.type
    if column is not None and (
        own is None or own.element is None or own.element.kind == column.kind != "integer"
    ):
        cast: str | None = array_of(column).sql
    else:
        cast = own.sql if own is not None else None
    return condition(left, " = ANY(", operand.node(cast, _without_none), ")")


def _without_none(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _keys(values: list[Any]) -> list[Any]:
    """The keys of instances."""
    return [value._shape()[1][0] if hasattr(value, "_shape") else value for value in values]


__all__ = [
    "PLAIN_TYPES",
    "Operand",
    "Outer",
    "compared",
    "fitting",
    "lookup",
    "transform",
    "transformed",
]
