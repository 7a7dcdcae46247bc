"""Which relations and columns of a State are fetched: select_related, defer and only. Steps, as those of `_steps`."""

from typing import TYPE_CHECKING, Any

from hyperdjango.models._nearest import nearest
from hyperdjango.models._one_database import check_one_database
from hyperdjango.models._scope import SEPARATOR
from hyperdjango.models._state import State
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._meta import Relation, Table


def related(state: State, names: tuple[str | None, ...]) -> State:
    """Relations to one that are joined and fetched along."""
    if state.mode != "model":
        raise FieldError("select_related() is for instances; values() joins what it names")
    tree = _copied(state.related)
    for name in names:
        if not isinstance(name, str):
            raise FieldError(f"select_related() takes the names of relations, not {type(name).__name__}")
        table, below = state.model._table, tree
        for word in name.split(SEPARATOR):
            relation = to_one(table, word, name, "select_related")
            below = below.setdefault(word, {})
            table = relation.target._table
    return state.evolve(related=tree)


def every_related(state: State) -> State:
    """select_related() without names: all relations of its own table that are never NULL."""
    names = [
        name for name, one in state.model._table.relations.items() if one.is_forward and not one.is_nullable
    ]
    return related(state, tuple(names))


def to_one(table: "Table", word: str, name: str, method: str) -> "Relation":
    """A relation to one row.

    Raises:
        FieldError: There is none of that name, or it leads to many.
    """
    relation = table.relations.get(word)
    if relation is None:
        ones = [key for key, one in table.relations.items() if not one.is_many]
        raise FieldError(
            f"{table.model.__name__} has no relation {word!r} for {method}({name!r}){nearest(word, ones)}"
        )
    if relation.is_many:
        raise FieldError(
            f"{table.model.__name__}.{word} has many rows, and {method}() joins one; use prefetch_related({name!r})"
        )
    check_one_database(table, relation.target._table, f"{method}({name!r})")
    return relation


def _copied(tree: Any) -> dict[str, Any]:
    return {name: _copied(below) for name, below in tree.items()}


def fetched_only(state: State, names: tuple[str, ...], *, defer: bool) -> State:
    """Which columns are fetched."""
    if state.mode != "model":
        raise FieldError(f"{'defer' if defer else 'only'}() is for instances; values() names its own")
    deferred = dict(state.deferred)
    chosen: dict[tuple[str, ...], set[str]] = {}
    for name in names:
        words = name.split(SEPARATOR)
        table = state.model._table
        for word in words[:-1]:
            table = to_one(table, word, name, "defer" if defer else "only").target._table
        chosen.setdefault(tuple(words[:-1]), set()).add(table.column(words[-1]).name)
        # What leads to a related row is needed for it.
        for depth in range(len(words) - 1):
            chosen.setdefault(tuple(words[:depth]), set())
    for path, given in chosen.items():
        table = state.model._table
        keep: set[str] = set()
        for word in path:
            table = table.relations[word].target._table
        keep |= {column.name for column in table.primary_key}
        for below in (p for p in chosen if len(p) == len(path) + 1 and p[: len(path)] == path):
            keep |= {column.name for column in table.relations[below[-1]].locals}
        everything = {column.name for column in table.columns}
        if defer:
            deferred[path] = frozenset((deferred.get(path, frozenset()) | given) - keep)
        else:
            deferred[path] = frozenset(everything - given - keep)
    return state.evolve(deferred=deferred)
