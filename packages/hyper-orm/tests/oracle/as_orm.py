"""Renders a description as a queryset of ours."""

from typing import Any

from oracle.descriptions import Column, FarRows, Group, Leaf, Missing, Part, Query
from oracle.schema import MODELS
from oracle.sides import Side


def queryset(side: Side, query: Query) -> Any:
    """The queryset of key values."""
    found = getattr(side, query.model).objects.all()
    for call, part in query.calls:
        found = getattr(found, call)(condition(side, part))
    keys = [key.strip() for key in MODELS[query.model].key.split(",")]
    if query.order:
        order = [
            f"{'-' if is_descending else ''}{'__'.join((*path, column))}"
            for path, column, is_descending in query.order
        ]
        found = found.order_by(*order, *keys)
    if query.count is not None:
        found = found[query.start : query.start + query.count]
    elif query.start:
        found = found[query.start :]
    return found.values_list(*keys)


def condition(side: Side, part: Part) -> Any:
    if isinstance(part, Group):
        made = condition(side, part.parts[0])
        for one in part.parts[1:]:
            more = condition(side, one)
            made = (
                made & more
                if part.connector == "AND"
                else made | more
                if part.connector == "OR"
                else made ^ more
            )
        return ~made if part.is_negated else made
    return side.Q(**dict(keywords(side, part, ())))


def keywords(side: Side, part: Part, before: tuple[str, ...]) -> list[tuple[str, Any]]:
    """The lookups that say it, behind a path."""
    if isinstance(part, Missing):
        return [("__".join((*before, *part.path, "isnull")), part.is_missing)]
    if isinstance(part, FarRows):
        way = (*before, part.relation)
        if not part.parts:
            return [("__".join((*way, "isnull")), not part.is_there)]
        return [pair for one in part.parts for pair in keywords(side, one, way)]
    assert isinstance(part, Leaf)
    value = part.value
    words = [*before, *part.path, part.column]
    if part.lookup in {"key", "key__gt"}:
        words += [value[0], *part.lookup.split("__")[1:]]
        value = value[1]
    elif part.lookup != "exact":
        words.append(part.lookup)
    if isinstance(value, Column):
        value = side.F("__".join((*before, value.name)))
    return [("__".join(words), list(value) if part.lookup == "in" else value)]
