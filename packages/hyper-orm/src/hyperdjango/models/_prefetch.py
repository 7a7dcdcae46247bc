"""Fetches related rows of many instances at once: one statement for each relation and queryset.

Levels of the same depth are fetched concurrently, which the driver pipelines; in a transaction they queue on its
connection. Django docs: ref/models/querysets, "prefetch_related()".
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hyperdjango.database._native import native
from hyperdjango.database.resolver import database_for
from hyperdjango.models._far_ends import folded, held, keys_of, put_all, put_beside, reached, setter_of
from hyperdjango.models._keyed import KEY_NAME, arrays_of, keyed
from hyperdjango.models._meta import UNSET
from hyperdjango.models._prefetch_levels import Level, checked
from hyperdjango.models._routing import database_at
from hyperdjango.models.errors import NotLoaded

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._meta import Relation
    from hyperdjango.models.model import Model


async def prefetch(
    rows: "Sequence[Model]", levels: tuple[Level, ...], database: "Database", *, is_partial: bool = False
) -> None:
    """Fetch the levels below some instances, and put what is found into them.

    Args:
        rows: Instances of one model. The same row may be there several times.
        levels: As `checked` gives them.
        database: Where the rows are from.
        is_partial: Some of them may have something loaded already; else all have what the first has.
    """
    if len(levels) == 1:
        await _fetch(rows, levels[0], database, is_partial=is_partial)
        return
    done = await asyncio.gather(
        *[_fetch(rows, level, database, is_partial=is_partial) for level in levels], return_exceptions=True
    )
    # All have ended by now: no statement of theirs is under way while the first error is handled.
    for error in done:
        if error is not None:
            raise error


async def _fetch(rows: "Sequence[Model]", level: Level, database: "Database", *, is_partial: bool) -> None:
    parents = rows
    if not level.is_attribute and level.queryset is None:
        parents = _missing(rows, level.relation, is_partial=is_partial)
    children: list[Model] = []
    if parents:
        children = await _children(parents, level, database)
    if not level.below:
        return
    if len(parents) != len(rows):
        children = _reached(rows, level)
    if children:
        await prefetch(children, level.below, database, is_partial=is_partial)


def _missing(rows: "Sequence[Model]", relation: "Relation", *, is_partial: bool) -> "Sequence[Model]":
    """The instances that do not have the far end of a relation yet."""
    if is_partial:
        return [row for row in rows if held(row, relation) is UNSET]
    return rows if held(rows[0], relation) is UNSET else ()


def _reached(rows: "Iterable[Model]", level: Level) -> "list[Model]":
    values = [held(row, level.relation) for row in rows]
    return reached([value for value in values if value is not UNSET], is_many=level.relation.is_many)


async def _children(parents: "Sequence[Model]", level: Level, database: "Database") -> "list[Model]":
    """Fetch the far ends of parents, link both sides, and return the children."""
    relation = level.relation
    try:
        keys = folded(keys_of(parents, relation.locals), relation.locals)
    except NotLoaded as error:
        error.add_note(f"{relation.name!r} is found by it: only() and defer() must leave it in")
        raise
    wanted = dict.fromkeys(keys)
    wanted.pop(None, None)
    children: list[Any] = []
    groups: dict[Any, list[Any]] = {}
    if wanted:
        children, groups = await _grouped(level, list(wanted), parents[0], database)
    if relation.is_many:
        _put_many(parents, keys, groups, level, is_unique=len(wanted) == len(keys))
    else:
        _put_one(parents, keys, groups, level)
    if not relation.is_many and len(groups) != len(children):
        # Of two rows for one key, which only a far end without a unique constraint has, the last is taken.
        children = [group[-1] for group in groups.values()]
    _put_back(parents, keys, groups, relation)
    return children


async def _grouped(
    level: Level, keys: list[Any], parent: "Model", database: "Database"
) -> "tuple[list[Any], dict[Any, list[Any]]]":
    """Run the statement of a level; return its rows, and them by the parent's key."""
    relation = level.relation
    queryset = level.queryset
    if queryset is None:
        queryset = rows_of(relation)
    ask = keyed(queryset._state, relation)
    new = queryset._clone()
    new._state = ask.state
    new._params = queryset._params + arrays_of(keys, len(relation.locals))
    new._prefetches = ()
    if new._fetch_mode is None and parent._origin is not None:
        new._fetch_mode = parent._origin.fetch_mode
    locks = ask.statement.locks
    if queryset._using is not None:
        database = queryset._database(is_write=locks)
    else:
        database = database_at(relation, database, keys, is_write=locks)
        if locks:
            database = database_for(relation.target, None, database, is_write=True, bound=new._bound)
    rows: list[Any] = await new._rows(ask.statement, database)
    return rows, grouped(rows, relation.remotes, is_beside=ask.is_beside, is_set=_may_double(relation))


def rows_of(relation: "Relation") -> Any:
    """The queryset of all rows that a relation can lead to.

    To one row it is any row of the table, as a key must lead somewhere; to many it is what the target's manager
    begins from.
    """
    from hyperdjango.models.queryset import QuerySet

    if relation.is_forward:
        plain: QuerySet[Any, Any] = QuerySet(relation.target)
        return plain.unscoped()
    return relation.target.objects.all()


def _may_double(relation: "Relation") -> bool:
    """Whether the table between may have several rows for the same two ends."""
    if relation.through is None or relation.through_far is None:
        return False
    ends = {*relation.remotes, *relation.through_far.locals}
    return not set(relation.through._table.primary_key) <= ends


def grouped(
    rows: list[Any], columns: "tuple[Any, ...]", *, is_beside: bool, is_set: bool = False
) -> dict[Any, list[Any]]:
    """Return rows by key, each group in their order; with `is_set` each row once in a group."""
    if not is_beside and len(columns) == 1 and columns[0].type.sql != "citext":
        groups: dict[Any, list[Any]] = native.group(rows, columns[0].slot)
        return groups
    keys = folded(_taken_keys(rows, len(columns)) if is_beside else keys_of(rows, columns), columns)
    groups = {}
    for row, key in zip(rows, keys, strict=True):
        group = groups.get(key)
        if group is None:
            groups[key] = [row]
        else:
            group.append(row)
    if is_set:
        return {key: list({row.pk: row for row in group}.values()) for key, group in groups.items()}
    return groups


def _taken_keys(rows: list[Any], count: int) -> list[Any]:
    """Take the keys that were fetched beside rows out of their `_extra`."""
    names = [f"{KEY_NAME}{position}" for position in range(count)]
    keys: list[Any] = []
    for row in rows:
        extra = row._extra
        keys.append(extra.pop(names[0]) if count == 1 else tuple([extra.pop(name) for name in names]))
        if not extra:
            row._extra = None
    return keys


def _put_many(
    parents: "Sequence[Model]",
    keys: list[Any],
    groups: dict[Any, list[Any]],
    level: Level,
    *,
    is_unique: bool,
) -> None:
    get = groups.get
    # Each parent gets a list of its own: later changes are to one of them.
    lists = [get(key) or [] for key in keys] if is_unique else [list(get(key) or ()) for key in keys]
    if level.is_attribute:
        put_beside(parents, level.name, lists)
    else:
        put_all(parents, level.relation.slot, lists)


def _put_one(parents: "Sequence[Model]", keys: list[Any], groups: dict[Any, list[Any]], level: Level) -> None:
    relation = level.relation
    ones = {key: group[-1] for key, group in groups.items()}
    found = list(map(ones.get, keys))
    if level.is_attribute:
        put_beside(parents, level.name, found)
        return
    if relation.is_forward and None in found:
        # A key whose row a queryset of the caller's leaves out does lead somewhere: it stays not loaded.
        known = [position for position, one in enumerate(found) if one is not None or keys[position] is None]
        parents = [parents[position] for position in known]
        found = [found[position] for position in known]
    put_all(parents, relation.slot, found)


def _put_back(
    parents: "Sequence[Model]", keys: list[Any], groups: dict[Any, list[Any]], relation: "Relation"
) -> None:
    """Give the children their way back, where that is to one."""
    back = relation.reverse
    if back is None or back.is_many:
        return
    parent_of = dict(zip(keys, parents, strict=True))
    slot, put = back.slot, setter_of(back.slot)
    # A plain loop: what maps and iterators cost for each small group is more than they save.
    for key, group in groups.items():
        parent = parent_of.get(key)
        if parent is not None:
            for child in group:
                put(child, slot, parent)


__all__ = ["checked", "grouped", "prefetch", "rows_of"]
