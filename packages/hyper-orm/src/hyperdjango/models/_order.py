"""The order of a State's rows, and ORDER BY: `_compile` writes it, pages and shards go by it.

PostgreSQL docs: sql-select, "ORDER BY Clause".
"""

from hyperdjango.models._grouping import check_grouped, has_select
from hyperdjango.models._nodes import Node, Ref
from hyperdjango.models._state import OrderKey, State
from hyperdjango.models._writer import Writer
from hyperdjango.models.errors import FieldError


def write_order(state: State, writer: Writer) -> None:
    """Write ORDER BY: the chain's, or the model's where there is none and rows are not grouped."""
    keys = order_of(state)
    if not keys:
        return
    writer.put(" ORDER BY ")
    for position, key in enumerate(keys):
        writer.put(", " if position else "")
        if state.is_grouped:
            # An order from before values() may be of the rows that are grouped.
            check_grouped(state, key.node, "order_by()")
            write_grouped(state, writer, key.node)
        else:
            key.node.write(writer)
        writer.put(key.reversed_suffix if state.is_reversed else key.suffix)


def write_grouped(state: State, writer: Writer, node: Node) -> None:
    """Write a value of groups; one with a subquery in it by its place, for a second one would be another."""
    fields = [one for _, one in state.fields]
    if node in fields and has_select(node):
        writer.put(f"{fields.index(node) + 1:d}")
    else:
        node.write(writer)


def order_of(state: State) -> tuple[OrderKey, ...]:
    """The keys of the order."""
    if state.order is not None:
        return state.order
    if state.is_grouped or not state.model._table.ordering:
        return ()
    from hyperdjango.models._steps import order_keys

    keys = state.own_order or order_keys(state, state.model._table.ordering)
    if state.distinct == () and state.mode != "model" and not all(_is_among(state, key) for key in keys):
        # Nobody has asked for this order here, and rows that are one have no place in it.
        return ()
    return keys


def _is_among(state: State, key: OrderKey) -> bool:
    return any(is_same(key.node, node) for _, node in state.fields)


def is_same(one: Node, other: Node) -> bool:
    """Whether two values are one: the same node, or the same column of the same source."""
    if not (isinstance(one, Ref) and isinstance(other, Ref)):
        return one is other
    return one.source is other.source and one.column is other.column


def primary_key_order(state: State) -> State:
    """The State, ordered by the primary key where it has no order: for `first()` and `last()`."""
    if order_of(state):
        return state
    model = state.model.__name__
    if state.is_grouped or (state.distinct == () and state.mode != "model"):
        raise FieldError(
            f"first() and last() of {model}: groups and different values have no key to be ordered by; "
            "use order_by() before"
        )
    if state.combined and (state.mode != "model" or state.is_sliced):
        return state
    own = tuple(Ref(state.root, column) for column in state.model._table.primary_key)
    keys = tuple(OrderKey(node, "", " DESC") for node in (*(state.distinct or ()), *own))
    known: State | None = state.compiled.get("ordered")
    if known is not None:
        return known
    made: State = state.compiled.setdefault("ordered", state.evolve(order=keys))
    return made


__all__ = ["is_same", "order_of", "primary_key_order", "write_grouped", "write_order"]
