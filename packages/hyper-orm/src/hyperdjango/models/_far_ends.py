"""What instances hold at the far end of a relation: whether it is loaded, and how it is put there.

Used by what prefetches and loads. Slots are written without marking anything as changed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from operator import attrgetter
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

from hyperdjango.database._native import native
from hyperdjango.models._meta import UNSET, Column, Relation

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


def held(instance: Any, relation: Relation) -> Any:
    """Return what is loaded at the far end: an instance, None, a list; UNSET where nothing is, or it is out of date."""
    try:
        found = relation.slot.__get__(instance, type(instance))
    except AttributeError:
        return UNSET
    if not relation.is_forward:
        return found
    if found is None:
        return None if None in [value_in(column, instance) for column in relation.locals] else UNSET
    for column, remote in zip(relation.locals, relation.remotes, strict=True):
        key, theirs = value_in(column, instance), value_in(remote, found)
        # Without a key the instance that is held is what is meant.
        if (
            key != theirs
            and key is not UNSET
            and theirs is not UNSET
            and folded([key], (remote,)) != folded([theirs], (remote,))
        ):
            return UNSET
    return found


def value_in(column: Column, instance: Any) -> Any:
    """Return the value of a column of an instance, or UNSET where it has none."""
    try:
        return column.slot.__get__(instance, type(instance))
    except AttributeError:
        return UNSET


def keys_of(instances: "Sequence[Model]", columns: tuple[Column, ...]) -> list[Any]:
    """Return the values of columns, of several as tuples; None where one of them is NULL.

    Raises:
        NotLoaded: An instance does not have one of them.
    """
    keys = list(map(attrgetter(*[column.name for column in columns]), instances))
    if len(columns) == 1:
        return keys
    return [None if None in key else key for key in keys]


def folded(keys: list[Any], columns: tuple[Column, ...]) -> list[Any]:
    """Return keys so that those which the database takes for equal are equal here: citext looks at no case."""
    blind = [column.type.sql == "citext" for column in columns]
    if not any(blind):
        return keys
    if len(columns) == 1:
        return [key if key is None else key.lower() for key in keys]
    return [
        key
        if key is None
        else tuple(part.lower() if is_blind else part for part, is_blind in zip(key, blind, strict=True))
        for key in keys
    ]


def setter_of(slot: Any) -> "Callable[[Any, Any, Any], None]":
    """Return a function of an instance, its slot and a value, which marks nothing as changed."""
    if type(slot) is MemberDescriptorType:
        return native.set_slot
    return lambda instance, late, value: late.__set__(instance, value)


def put_all(instances: "Iterable[Model]", slot: Any, values: Iterable[Any]) -> None:
    """Write one value into the slot of each instance."""
    deque(map(setter_of(slot), instances, repeat(slot), values), 0)


def put_beside(instances: "Iterable[Model]", name: str, values: Iterable[Any]) -> None:
    """Write one value under a name of `_extra` of each instance."""
    for instance, value in zip(instances, values, strict=True):
        extra = instance._extra
        if extra is None:
            instance._extra = {name: value}
        else:
            extra[name] = value


def reached(values: Iterable[Any], *, is_many: bool) -> "list[Model]":
    """Return all instances among what is held at far ends, each object once."""
    found = chain.from_iterable(values) if is_many else (one for one in values if one is not None)
    return list({id(one): one for one in found}.values())


__all__ = ["folded", "held", "keys_of", "put_all", "put_beside", "reached", "setter_of", "value_in"]
