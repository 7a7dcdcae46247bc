"""Lookups and transforms: what may stand behind a field's name, for which kinds of columns.

A lookup makes a condition of a column and a value; a transform makes another value of a column. Both are found
by name and by the column's kind; users add their own with `register_lookup` and `register_transform`.

Django docs: ref/models/querysets, "Field lookups"; howto/custom-lookups.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hyperdjango.models._bound import has_one_row
from hyperdjango.models._checks import has
from hyperdjango.models._nearest import nearest
from hyperdjango.models._nodes import Node, Row, condition, joined
from hyperdjango.models._operand import Operand
from hyperdjango.models._shapes import InstanceKind, ListKind
from hyperdjango.models._types import ColumnType
from hyperdjango.models._values import bare_sql
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._scope import Found, Scope

ANY_KIND: Final = "*"
KINDS: Final = frozenset(
    {
        "array", "boolean", "bytes", "date", "enum", "float", "geometric", "hstore", "integer", "interval", "json",
        "multirange", "network", "numeric", "other", "range", "search", "text", "time", "timestamp", "uuid", "vector",
    }
)  # fmt: skip
# What a relation can be compared by: its key.
_OF_RELATIONS: Final = frozenset({"exact", "in", "isnull", "gt", "gte", "lt", "lte", "range"})

_OF_ONE_VALUE: Final = frozenset({"exact", "gt", "gte", "lt", "lte"})

Build = Callable[[Node, Operand], Node]
Transform = Callable[[Node], Node]


class _Registered(NamedTuple):
    build: Any
    kinds: frozenset[str]
    takes_none: bool = False
    is_bilateral: bool = False


_lookups: dict[str, list[_Registered]] = {}
_transforms: dict[str, list[_Registered]] = {}
# By kind: makes a value of a column and any word, such as a key of JSON; None where the word is none.
_any_words: dict[str, Callable[[Node, str], Node | None]] = {}


def lookup(name: str, *kinds: str, takes_none: bool = False) -> Callable[[Build], Build]:
    """Register a function as the lookup `name` of columns of these kinds; of any kind without one.

    With `takes_none` the function is given None as well, which otherwise is refused.
    """

    def registered(build: Build) -> Build:
        _lookups.setdefault(name, []).append(_Registered(build, _kinds(kinds), takes_none=takes_none))
        return build

    return registered


def transform(name: str, *kinds: str, bilateral: bool = False) -> Callable[[Transform], Transform]:
    """Register a function as the transform `name` of columns of these kinds.

    With `bilateral` the value that the column is compared with goes through it as well.
    """

    def registered(build: Transform) -> Transform:
        _transforms.setdefault(name, []).append(_Registered(build, _kinds(kinds), is_bilateral=bilateral))
        return build

    return registered


def any_word(*kinds: str) -> Callable[[Callable[[Node, str], Node | None]], Any]:
    """Register what makes a transform of a word that is none, for columns of these kinds."""

    def registered(build: Callable[[Node, str], Node | None]) -> Any:
        for kind in kinds:
            _any_words[kind] = build
        return build

    return registered


def _kinds(kinds: tuple[str, ...]) -> frozenset[str]:
    for kind in kinds:
        if kind not in KINDS:
            raise FieldError(f"{kind!r} is no kind of column{nearest(kind, KINDS)}")
    return frozenset(kinds or {ANY_KIND})


def register_lookup(name: str, build: Build, *kinds: str) -> None:
    """Add a lookup of one's own, or replace one.

    Args:
        name: The word behind the field: `title__soundslike=…`.
        build: Makes the condition of the column's node and the Operand; `operand.node()` is the value's.
        kinds: The kinds of columns that have it, as `ColumnType.kind`; all without any.
    Raises:
        FieldError: The name is no identifier, or a kind is unknown.
    """
    _check_word(name)
    lookup(name, *kinds)(build)


def register_transform(name: str, build: Transform, *kinds: str, bilateral: bool = False) -> None:
    """Add a transform of one's own, or replace one.

    Args:
        name: The word behind the field: `title__reversed__startswith=…`, `F("title__reversed")`.
        build: Makes the value's node of the column's: `Upper.of`-like functions, `lambda node: …`.
        kinds: The kinds of columns that have it; all without any.
        bilateral: The value that it is compared with goes through it as well.
    Raises:
        FieldError: The name is no identifier, or a kind is unknown.
    """
    _check_word(name)
    transform(name, *kinds, bilateral=bilateral)(build)


def _check_word(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier() or "__" in name or name.startswith("_"):
        raise FieldError(
            f"{name!r} is no word for a lookup: an identifier without '__' and no underscore in front"
        )


def _of_kind(registry: Mapping[str, list[_Registered]], name: str, kind: str) -> _Registered | None:
    """The newest entry for a kind; one for exactly it before one for all."""
    found: _Registered | None = None
    for entry in registry.get(name, []):
        if kind in entry.kinds or (ANY_KIND in entry.kinds and (found is None or ANY_KIND in found.kinds)):
            found = entry
    return found


def _last_lookup(word: str, kind: str) -> _Registered | None:
    """The lookup that a last word means; a transform of exactly this kind of column goes before one for all."""
    entry = _of_kind(_lookups, word, kind)
    if entry is None or kind in entry.kinds:
        return entry
    other = _of_kind(_transforms, word, kind)
    return None if other is not None and kind in other.kinds else entry


def _words(kind: str) -> Iterable[str]:
    for registry in (_lookups, _transforms):
        for name, entries in registry.items():
            if any(kind in entry.kinds or ANY_KIND in entry.kinds for entry in entries):
                yield name


def kind_of(node: Node) -> str:
    """The kind of a value, by which its lookups are found."""
    return node.type.kind if node.type is not None else "other"


def transformed_by(node: Node, word: str, operand: Operand | None = None) -> Node | None:
    """Apply one transform, or return None where there is none of that name; JSON and arrays take any key."""
    entry = _of_kind(_transforms, word, kind_of(node))
    if entry is None:
        keyed = _any_words.get(kind_of(node))
        return keyed(node, word) if keyed is not None else None
    if entry.is_bilateral and operand is not None:
        operand.wrap(entry.build)
    made: Node = entry.build(node)
    return made


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
    relation = found.relation if found is not None else None
    entry, name = None, "exact"
    for position, word in enumerate(words):
        if position == len(words) - 1:
            entry = _last_lookup(word, kind_of(left))
            if entry is not None:
                name = word
                break
        onward = transformed_by(left, word, operand) if relation is None else None
        if onward is None:
            raise unknown_word(left, word, operand.said, found)
        left = onward
    if relation is not None and name not in _OF_RELATIONS:
        raise unknown_word(left, name, operand.said, found)
    entry = entry or _of_kind(_lookups, name, kind_of(left))
    assert entry is not None, name
    left = _checked(left, operand, found)
    custom = getattr(left, "compare", None)
    if custom is not None:
        own: Node | None = custom(name, operand)
        if own is not None:
            return own
    if operand.value is None and not entry.takes_none:
        raise FieldError(
            f"{operand.model.__name__}: {operand.said} cannot be compared with None; use "
            f"{_field_of(operand.said, name)}__isnull=True"
        )
    if name in _OF_ONE_VALUE:
        _refuse_many(operand, _field_of(operand.said, name))
    made: Node = entry.build(left, operand)
    return made


def _refuse_many(operand: Operand, field: str) -> None:
    """A queryset beside one value has one row: by a slice or a key; Subquery() is believed."""
    state = getattr(operand.value, "_state", None)
    if state is not None and operand.is_expression and not has_one_row(state):
        raise FieldError(
            f"{operand.model.__name__}: {operand.said} takes one value, and a queryset of {state.model.__name__} may "
            f"have many rows: slice it with [:1], or use {field}__in"
        )


def _field_of(said: str, name: str) -> str:
    return said.removesuffix(f"__{name}").removesuffix(f" {name}")


def _checked(left: Node, operand: Operand, found: "Found | None") -> Node:
    """An instance is of the model that the relation leads to, a list is one of them.

    Raises:
        FieldError: It is of another one.
    """
    models: list[Any] = [operand.kind.model] if isinstance(operand.kind, InstanceKind) else []
    if isinstance(operand.kind, ListKind):
        given_types: frozenset[Any] = operand.kind.types
        models = [one for one in given_types if hasattr(one, "_table")]
    state = getattr(operand.value, "_state", None)
    is_rows = state is not None and has(operand.value, "resolve") and state.mode == "model"
    given = [*models, state.model] if is_rows and state is not None else models
    relation = found.relation if found is not None else None
    for model in given:
        if relation is not None and not issubclass(model, relation.target):
            what = "rows of" if is_rows else "a"
            raise FieldError(
                f"{relation.model.__name__}.{relation.name} is {relation.target.__name__}; "
                f"{operand.said} cannot be {what} {model.__name__}"
            )
        column = getattr(left, "column", None)
        if relation is None and column is not None and is_rows and not _is_key_of(column, model):
            raise FieldError(
                f"{operand.said}: {column.model.__name__}.{column.name} is no key of {model.__name__}; say by "
                "values(…) which of its fields is meant"
            )
        if relation is None and column is not None and models and not issubclass(column.model, model):
            raise FieldError(
                f"{operand.said} is a column of {column.model.__name__}, and cannot be a {model.__name__}"
            )
    if (
        given
        and relation is not None
        and relation.is_forward
        and relation.remotes != relation.target._table.primary_key
    ):
        # The key of an instance is not what the column refers to.
        from hyperdjango.models._scope import key_of

        source = getattr(left, "source", None)
        return left if source is None else key_of(source.child(relation))
    return left


def _is_key_of(column: Any, model: Any) -> bool:
    """Whether a column holds keys of a model: its own, or those of a relation to it."""
    relation = column.relation
    if relation is not None and issubclass(model, relation.target):
        return True
    return column.is_primary_key and issubclass(model, column.model)


def unknown_word(node: Node, word: str, said: str, found: "Found | None") -> FieldError:
    """The error for a word behind a field that means nothing there."""
    relation = found.relation if found is not None else None
    if relation is not None:
        table = relation.target._table
        known = [*table.names(), *_OF_RELATIONS]
        return FieldError(
            f"{table.model.__name__} has no field {word!r}, and a relation no such lookup, in {said!r}"
            f"{nearest(word, known)}"
        )
    column = getattr(node, "column", None)
    of = (
        f"{column.model.__name__}.{column.name} ({node.type.sql})"
        if column is not None and node.type
        else None
    )
    of = of or (
        f"a value of type {bare_sql(node.type)}" if node.type is not None else "a value of unknown type"
    )
    return FieldError(
        f"{of} has no lookup or transform {word!r}, in {said!r}{nearest(word, _words(kind_of(node)))}"
    )


def type_name(column: ColumnType) -> str:
    """What values of a column are in Python, for errors."""
    return getattr(column.python, "__name__", None) or str(column.python)


def is_null(left: Node) -> Node:
    """IS NULL; of a row, when any part is."""
    if isinstance(left, Row):
        return joined([condition(node, " IS NULL", is_nullable=False) for node in left.nodes], "OR")
    return condition(left, " IS NULL", is_nullable=False)


# The lookups themselves register here, with what is defined above.
from hyperdjango.models import (  # noqa: E402
    _lookups_arrays,
    _lookups_core,
    _lookups_dates,
    _lookups_extensions,
    _lookups_json,
    _lookups_ranges,
    _lookups_search,
    _lookups_text,
)

REGISTERED: Final = (
    _lookups_arrays,
    _lookups_core,
    _lookups_dates,
    _lookups_extensions,
    _lookups_json,
    _lookups_ranges,
    _lookups_search,
    _lookups_text,
)
