"""What `prefetch_related` asks for, checked and put together: a tree of levels, one for each relation and queryset.

Two lookups that go through the same relation share its level, so it is fetched once.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperdjango.models._nearest import nearest
from hyperdjango.models._scope import SEPARATOR
from hyperdjango.models._state import State, root_state
from hyperdjango.models._steps import check_alias
from hyperdjango.models.errors import FieldError
from hyperdjango.models.prefetch import Prefetch

if TYPE_CHECKING:
    from hyperdjango.models._meta import Relation, Table
    from hyperdjango.models.model import Model


class Level(NamedTuple):
    """One relation to fetch, and what to fetch from there on.

    Attributes:
        name: The attribute that takes it.
        relation: The way.
        queryset: The rows to choose from; None for the target's own.
        is_attribute: `name` is a `to_attr`, not the relation's own.
        below: The levels of the target.
    """

    name: str
    relation: "Relation"
    queryset: Any = None
    is_attribute: bool = False
    below: "tuple[Level, ...]" = ()


def checked(state: State, lookups: tuple[Any, ...], known: tuple[Level, ...] = ()) -> tuple[Level, ...]:
    """Return the levels of a State's rows after one more call of `prefetch_related`.

    Raises:
        FieldError: A word is no relation; a Prefetch does not fit; one relation is asked for by two querysets.
    """
    if state.mode != "model":
        raise FieldError("prefetch_related() is for instances; values() names what it joins")
    if not known and all(type(lookup) is str for lookup in lookups):
        return _plain(state.model, lookups)
    for lookup in lookups:
        if isinstance(lookup, str):
            known = _added(known, state.model._table, tuple(lookup.split(SEPARATOR)), lookup, None)
        elif isinstance(lookup, Prefetch):
            known = _with_prefetch(state, known, lookup)
        else:
            raise FieldError(
                f"prefetch_related() takes names of relations and Prefetch objects, not {type(lookup).__name__}"
            )
    return known


@lru_cache(maxsize=1024)
def _plain(model: "type[Model]", lookups: tuple[str, ...]) -> tuple[Level, ...]:
    known: tuple[Level, ...] = ()
    for lookup in lookups:
        known = _added(known, model._table, tuple(lookup.split(SEPARATOR)), lookup, None)
    return known


def _with_prefetch(state: State, known: tuple[Level, ...], prefetch: Prefetch) -> tuple[Level, ...]:
    lookup = prefetch.lookup
    if type(lookup) is not str:
        raise FieldError(f"Prefetch() takes the name of a relation, not {type(lookup).__name__}")
    words = tuple(lookup.split(SEPARATOR))
    if prefetch.to_attr is not None and len(words) == 1 and prefetch.to_attr in state.annotations:
        raise FieldError(f"Prefetch(to_attr={prefetch.to_attr!r}): annotate() has made a value of that name")
    return _added(known, state.model._table, words, lookup, prefetch)


def _added(
    known: tuple[Level, ...], table: "Table", words: tuple[str, ...], lookup: str, prefetch: Prefetch | None
) -> tuple[Level, ...]:
    word, rest = words[0], words[1:]
    if not rest and prefetch is not None:
        return _replaced(known, _chosen(known, table, word, lookup, prefetch))
    level = _named(known, word)
    if level is None:
        level = Level(word, relation_of(table, word, lookup))
    if rest:
        target = level.relation.target._table
        level = level._replace(below=_added(level.below, target, rest, lookup, prefetch))
    return _replaced(known, level)


def _chosen(known: tuple[Level, ...], table: "Table", word: str, lookup: str, prefetch: Prefetch) -> Level:
    """The level of a Prefetch: with what its queryset prefetches itself below it."""
    relation = relation_of(table, word, lookup)
    name = word
    if prefetch.to_attr is not None:
        check_alias(root_state(table.model), prefetch.to_attr)
        name = prefetch.to_attr
    before = _named(known, name)
    if prefetch.queryset is None:
        return before or Level(name, relation, None, prefetch.to_attr is not None)
    _check_queryset(relation, prefetch)
    if before is not None and before.queryset is not None:
        raise FieldError(
            f"{table.model.__name__}.{name} is prefetched by two querysets; give one of them a to_attr"
        )
    below = before.below if before is not None else ()
    for level in prefetch.queryset._prefetches:
        below = joined_levels(below, level)
    return Level(name, relation, prefetch.queryset, prefetch.to_attr is not None, below)


def joined_levels(known: tuple[Level, ...], level: Level) -> tuple[Level, ...]:
    before = _named(known, level.name)
    if before is None:
        return (*known, level)
    if before.queryset is not None and level.queryset is not None and before.queryset is not level.queryset:
        raise FieldError(
            f"{level.relation.model.__name__}.{level.name} is prefetched by two querysets; give one of them a to_attr"
        )
    below = before.below
    for one in level.below:
        below = joined_levels(below, one)
    queryset = before.queryset if before.queryset is not None else level.queryset
    return _replaced(known, before._replace(queryset=queryset, below=below))


def _named(known: tuple[Level, ...], name: str) -> Level | None:
    for level in known:
        if level.name == name:
            return level
    return None


def _replaced(known: tuple[Level, ...], level: Level) -> tuple[Level, ...]:
    if _named(known, level.name) is None:
        return (*known, level)
    return tuple(level if one.name == level.name else one for one in known)


def relation_of(table: "Table", word: str, lookup: str, method: str = "prefetch_related") -> "Relation":
    """Return a relation of a table.

    Raises:
        FieldError: There is none of that name; the text names the nearest.
    """
    relation = table.relations.get(word)
    if relation is not None:
        return relation
    model = table.model.__name__
    if word in table.by_name:
        column = table.by_name[word]
        advice = f"; did you mean {column.relation.name!r}?" if column.relation is not None else ""
        raise FieldError(f"{model}.{word} is a column and no relation, in {method}({lookup!r}){advice}")
    raise FieldError(
        f"{model} has no relation {word!r} for {method}({lookup!r}){nearest(word, table.relations)}"
    )


def _check_queryset(relation: "Relation", prefetch: Prefetch) -> None:
    from hyperdjango.models.queryset import QuerySet

    queryset: Any = prefetch.queryset
    said = f"Prefetch({prefetch.lookup!r})"
    if not isinstance(queryset, QuerySet):
        raise FieldError(f"{said} takes a queryset, not {type(queryset).__name__}")
    model = queryset._state.model
    if model is not relation.target:
        raise FieldError(
            f"{said} leads to {relation.target.__name__}, and its queryset is of {model.__name__}"
        )
    if queryset._state.mode != "model":
        raise FieldError(f"{said}: a queryset with values() gives no instances")
    if queryset._state.combined:
        raise FieldError(f"{said}: querysets that are put together cannot be filtered by their parents")


__all__ = ["Level", "checked", "joined_levels", "relation_of"]
