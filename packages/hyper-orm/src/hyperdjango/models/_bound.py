"""Which value a statement binds to a field: what the shards of a model are told apart by.

`resolver.database_for` is given one of these functions, and asks it for sharded models alone. Where a State binds
a field is found out once per shape; the values travel beside it.
"""

from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database.resolver import NOT_BOUND
from hyperdjango.models._meta import UNSET
from hyperdjango.models._nodes import Node, Outer, Parameter, Ref, Sql
from hyperdjango.models._outgoing import key_of_held, slot_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyperdjango.models._meta import Column
    from hyperdjango.models._state import State

Places = tuple[tuple[int, bool], ...]
AMONG: Final = ") IN (SELECT * FROM unnest("


def bound_in_state(state: "State", params: tuple[Any, ...], field: str, offset: int = 0) -> object:
    """Return the value that all rows of a State have in a field, or NOT_BOUND.

    Two conditions on it that no row can meet both of are as good as one: any shard has none of these rows.
    """
    if state.combined:
        found = [
            bound_in_state(part.state, params, field, offset + part.offset)
            for part in state.combined
            if part.state.model is state.model
        ]
        return found[0] if all(_is_same(found[0], one) for one in found) else NOT_BOUND
    key = ("bound", field)
    places: Places | None = state.compiled.get(key)
    if places is None:
        places = _places(state, state.model._table.column(field))
        state.compiled[key] = places
    for index, is_list in places:
        value: Any = params[offset + index]
        if not is_list:
            return value
        if value and all(_is_same(value[0], one) for one in value):
            found_one: object = value[0]
            return found_one
    return NOT_BOUND


def _is_same(one: object, other: object) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))


def _places(state: "State", column: "Column") -> Places:
    found = [place for node in state.where for place in _in_node(node, state, column)]
    return tuple(sorted(found, key=lambda place: place[1]))  # one value says more than a list does


def _in_node(node: Node, state: "State", column: "Column") -> "Iterator[tuple[int, bool]]":
    """Yield the values that a column equals wherever a condition is true, each with whether it is a list."""
    if not isinstance(node, Sql):
        return
    parts = node.parts
    match parts:
        case (Ref() as ref, " = ", Parameter() as value) | (Parameter() as value, " = ", Ref() as ref):
            if _is_column(ref, state, column):
                yield value.index, False
        case (Ref() as ref, " = ANY(", Parameter() as value, ")"):
            if _is_column(ref, state, column):
                yield value.index, True
        case ("(", *inner, ")") if all(part == " AND " for part in inner[1::2]):
            for part in inner[::2]:
                if isinstance(part, Node):
                    yield from _in_node(part, state, column)
        case _:
            if AMONG not in parts:
                return
            refs = [part for part in parts if isinstance(part, Ref)]
            values = [part for part in parts if isinstance(part, Parameter)]
            for ref, value in zip(refs, values, strict=False):
                if _is_column(ref, state, column):
                    yield value.index, True


def has_one_row(state: "State") -> bool:
    """Whether no two rows can be in it, by how many are wanted or by a condition on a unique column."""
    if state.is_sliced:
        return True
    columns = {column for node in state.where for column in _fixed(node, state)}
    return any(column.is_unique for column in columns) or set(state.model._table.primary_key) <= columns


def _fixed(node: Node, state: "State") -> "Iterator[Column]":
    """Yield the columns that have one value wherever a condition is true."""
    match node.parts if isinstance(node, Sql) else ():
        case (Ref() as ref, " = ", Parameter() | Outer()) if ref.source is state.root:
            yield ref.column
        case ("(", *inner, ")") if all(part == " AND " for part in inner[1::2]):
            for part in inner[::2]:
                if isinstance(part, Node):
                    yield from _fixed(part, state)
        case _:
            pass


def _is_column(ref: Ref, state: "State", column: "Column") -> bool:
    return ref.source is state.root and ref.column is column


def bound_in_slots(instance: Any, field: str) -> object:
    """Return the value that an instance has, and will be written with; NOT_BOUND where it has none."""
    column: Column = instance._table.column(field)
    value: object = slot_value(instance, column)
    if value is UNSET:
        value = key_of_held(instance, column)
    return NOT_BOUND if value is UNSET else value


def bound_in_row(instance: Any, field: str) -> object:
    """Return the value that the row of an instance has: none that was set since it was fetched."""
    if (
        instance._origin is not None
        and instance._changed
        and instance._table.column(field).name in instance._changed
    ):
        return NOT_BOUND
    return bound_in_slots(instance, field)


__all__ = ["bound_in_row", "bound_in_slots", "bound_in_state", "has_one_row"]
