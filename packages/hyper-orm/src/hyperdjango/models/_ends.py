"""Finds the two ends of a relation: its target, the columns that are compared, the table between, the way back.

`Relation.ends` calls `resolve` when it is first asked for, by which time every class is declared.
"""

from typing import TYPE_CHECKING, Any

from hyperdjango.models._annotations import Unknown
from hyperdjango.models._meta import Column, Ends, Relation
from hyperdjango.models._one_database import check_one_database
from hyperdjango.models._registry import registry
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


def where(relation: Relation) -> str:
    """Name a relation as errors do."""
    return f"{relation.model.__name__}.{relation.name}"


def found_target(relation: Relation) -> "type[Model] | None":
    """Return the class at the far end, or None while it is not declared."""
    return _found(relation, relation.wanted)


def _found(relation: Relation, wanted: Any) -> "type[Model] | None":
    if isinstance(wanted, type):
        return wanted
    name = wanted.name if isinstance(wanted, Unknown) else str(wanted)
    if name in {"self", "Self"}:
        return relation.model
    return registry.find(name, relation.model)


def target_of(relation: Relation, wanted: Any = None, word: str = "points at") -> "type[Model]":
    """Return the class at the far end.

    Raises:
        FieldError: It is not declared, or has no table.
    """
    wanted = relation.wanted if wanted is None else wanted
    target = _found(relation, wanted)
    if target is None:
        name = wanted.name if isinstance(wanted, Unknown) else str(wanted)
        raise FieldError(
            f"{where(relation)} {word} {name!r}, and no model of that name is declared"
            f"{registry.advice(name, relation.model)}"
        )
    if target._table.is_abstract:
        raise FieldError(f"{where(relation)} {word} {target.__name__}, which is abstract: it has no table")
    return target


def resolve(relation: Relation) -> Ends:
    """Return both ends of a relation; see `Relation.ends`."""
    target = target_of(relation)
    if relation.kind == "ManyToMany":
        return _many_to_many(relation, target)
    if relation.is_forward:
        if relation.field.constraint:
            check_one_database(relation.model._table, target._table, where(relation))
        return Ends(target, relation.keys, _keys_of(relation, target), reverse=_way_back(relation, target))
    return _reverse(relation, target)


def _keys_of(relation: Relation, target: "type[Model]") -> tuple[Column, ...]:
    """Return the target's columns that a foreign key holds."""
    to_field = relation.field.to_field
    keys = target._table.primary_key if to_field is None else _unique_field(relation, target, to_field)
    if len(keys) != len(relation.keys):
        names = ", ".join(key.name for key in keys)
        raise FieldError(
            f"{where(relation)} has {len(relation.keys)} column{'s' * (len(relation.keys) > 1)}, and the key of"
            f" {target.__name__} has {len(keys)} ({names}): declare {target.__name__} first, or name the columns:"
            f" Field(columns=({', '.join(repr(f'{relation.name}_{key.name}') for key in keys)}))"
        )
    return keys


def _unique_field(relation: Relation, target: "type[Model]", name: str) -> tuple[Column, ...]:
    """Return the column of `to_field`, which the database wants to be unique."""
    column = target._table.column(name)
    alone = [one for one in target._table.constraints if getattr(one, "fields", None) == (name,)]
    if not (column.is_unique or target._table.primary_key == (column,) or alone):
        raise FieldError(
            f"{where(relation)}: to_field={name!r} is not unique in {target.__name__}: declare it Field(unique=True)"
        )
    return (column,)


def _way_back(relation: Relation, target: "type[Model]") -> Relation | None:
    """Return the reverse relation of the target that leads to this forward one."""
    for back in target._table.relations.values():
        if back.kind in {"Related", "RelatedOne"} and _leads_to(back, relation):
            return back
    return None


def _leads_to(back: Relation, forward: Relation) -> bool:
    try:
        return _found(back, back.wanted) is forward.model and forward_of(back, forward.model) is forward
    except FieldError:
        return False  # its own fault, which it tells when it is used


def forward_of(back: Relation, target: "type[Model]") -> Relation:
    """Return the forward relation of `target` that a reverse one is the way back of.

    Raises:
        FieldError: There is none, or it may be several.
    """
    all_here = [
        one
        for one in target._table.relations.values()
        if one.kind not in {"Related", "RelatedOne"} and found_target(one) is back.model
    ]
    named = [one for one in all_here if one.related_name == back.name]
    candidates = named or [one for one in all_here if one.related_name is None]
    fitting = [one for one in candidates if back.is_many or one.is_unique]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(where(one) for one in (fitting or candidates))
    if len(fitting) > 1:
        raise FieldError(
            f"{where(back)} may be the way back of {names}: say which by Field(related_name={back.name!r}) there"
        )
    if candidates:
        raise FieldError(f"{where(back)} is one {target.__name__}, and {names} allows many: write Related[…]")
    taken = ", ".join(f"{where(one)} has related_name={one.related_name!r}" for one in all_here)
    raise FieldError(
        f"{where(back)}: {target.__name__} has no {'' if back.is_many else 'one-to-one '}relation to"
        f" {back.model.__name__}{f' that may lead back here; {taken}' if taken else ''}"
    )


def _reverse(back: Relation, target: "type[Model]") -> Ends:
    forward = forward_of(back, target)
    if forward.kind == "ManyToMany":
        ends = forward.ends
        near, far = ends.through_far, ends.through_near
        assert near is not None
        return Ends(target, near.remotes, near.locals, ends.through, near, far, forward)
    return Ends(target, forward.remotes, forward.locals, reverse=forward)


def _many_to_many(relation: Relation, target: "type[Model]") -> Ends:
    from hyperdjango.models._through import automatic_through

    wanted = relation.field.through
    if wanted is None:
        through, near_name, far_name = automatic_through(relation, target)
        near, far = through._table.relations[near_name], through._table.relations[far_name]
    else:
        through = target_of(relation, wanted, "goes through")
        near, far = _halves(relation, target, through)
    return Ends(target, near.remotes, near.locals, through, near, far, _way_back(relation, target))


def _halves(relation: Relation, target: "type[Model]", through: "type[Model]") -> tuple[Relation, Relation]:
    """Return the two foreign keys of a given through model: to this model, and to the target."""
    forwards = {name: one for name, one in through._table.relations.items() if one.is_forward}
    fields = relation.field.through_fields
    if fields is not None:
        for name, model in zip(fields, (relation.model, target), strict=True):
            if name not in forwards or found_target(forwards[name]) is not model:
                raise FieldError(
                    f"{where(relation)}: through_fields names {name!r}, which is no foreign key of"
                    f" {through.__name__} to {model.__name__}{_candidates(forwards, model)}"
                )
        return forwards[fields[0]], forwards[fields[1]]
    near = [one for one in forwards.values() if found_target(one) is relation.model]
    far = [one for one in forwards.values() if found_target(one) is target]
    for found, model in ((near, relation.model), (far, target)):
        if not found:
            raise FieldError(
                f"{where(relation)} goes through {through.__name__}, which has no foreign key to {model.__name__}"
            )
    if relation.model is target and len(near) == 2:
        return near[0], near[1]
    if len(near) > 1 or len(far) > 1 or near == far:
        names = ", ".join(where(one) for one in dict.fromkeys([*near, *far]))
        raise FieldError(
            f"{where(relation)} goes through {through.__name__} by two of {names}:"
            f" say which by Field(through_fields=(…, …))"
        )
    return near[0], far[0]


def _candidates(forwards: dict[str, Relation], model: "type[Model]") -> str:
    names = [name for name, one in forwards.items() if found_target(one) is model]
    return f"; there are {', '.join(names)}" if names else ""
