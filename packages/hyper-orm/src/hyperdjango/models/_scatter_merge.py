"""Puts the rows of several shards into one order: what each shard is asked for, and how the answers are merged.

A shard gives its rows in the order that was asked for, each with the values that it is ordered by. These are compared
here, so they must compare as the backend compares them. Text does not: its order is the collation's, which
Python does not know. So the shards are asked for text by code points, as `COLLATE "C"` has it, and enums give
their position. `_scatter` calls this.

PostgreSQL docs: collation, "Collation Support"; queries-order, "Sorting Rows (ORDER BY)".
"""

import heapq
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hyperdjango.models import _order
from hyperdjango.models._keyed import KEY_NAME
from hyperdjango.models._nodes import Node, Ref, Sql
from hyperdjango.models._state import OrderKey, State, next_state
from hyperdjango.models._types import INTEGER
from hyperdjango.models._values import FLOAT, bare_sql
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._shapes import Cursor

# Kinds of columns whose values Python puts into the same order as the backend does.
COMPARED: Final = frozenset(
    {"integer", "numeric", "float", "boolean", "date", "timestamp", "time", "uuid", "bytes"}
)


class Key(NamedTuple):
    """One value of the order.

    Attributes:
        node: What was asked for.
        ordered: What the shards order by.
        fetched: What comes with each row.
        descending: The greatest first.
        nulls_first: NULLs come before all others.
    """

    node: Node
    ordered: Node
    fetched: Node
    descending: bool
    nulls_first: bool


class Plan(NamedTuple):
    """How rows are asked for and merged.

    Attributes:
        state: What each shard is asked, without a limit.
        keys: The order.
        width: How many values a row has, in modes other than "model"; the keys stand behind them.
        distinct: Rows that are equal in so many keys are one; 0 for none.
    """

    state: State
    keys: tuple[Key, ...]
    width: int
    distinct: int


def plan_of(state: State) -> Plan:
    """Return the plan of a State, made on its first use.

    Raises:
        FieldError: Its rows cannot be put together from those of several databases.
    """
    known: Plan | None = state.compiled.get("scatter")
    if known is None:
        known = state.compiled["scatter"] = _made(state)
    return known


def limited(plan: Plan) -> State:
    """The plan's State with a limit, which is given as one more value."""
    return next_state(plan.state, "scatter limit", 1, lambda one, cursor: one.evolve(limit=cursor.take()))


def _made(state: State) -> Plan:
    for node in (*[node for _, node in state.fields], *[state.annotations[name] for name in state.selected]):
        if node.has_window:
            raise FieldError(
                f"scatter() of {state.model.__name__}: a window function sees the rows of one shard alone; "
                "calculate it from the rows"
            )
    keys = [_key(state, one) for one in _order.order_of(state)]
    if state.is_sliced and not keys:
        raise FieldError(
            f"scatter() of {state.model.__name__}: a slice of rows from several shards needs an order_by()"
        )
    is_model = state.mode == "model"
    distinct = 0
    if state.distinct:
        keys = keys or [_key(state, OrderKey(node, "", " DESC")) for node in state.distinct]
        distinct = len(state.distinct)
        if len(keys) < distinct or not all(_is_among(key.node, state.distinct) for key in keys[:distinct]):
            raise FieldError(
                f"scatter() of {state.model.__name__}: order_by() begins with the names that distinct() has"
            )
    elif state.distinct is not None and not is_model:
        # Equal rows of two shards are one, and they meet only if the order is by all that a row has.
        fields = [node for _, node in state.fields]
        for key in keys:
            if not _is_among(key.node, fields):
                raise FieldError(
                    f"scatter() of {state.model.__name__}: different rows are ordered by what they give: "
                    f"{', '.join(name for name, _ in state.fields)}"
                )
        there = [key.node for key in keys]
        keys += [_key(state, OrderKey(node, "", " DESC")) for node in fields if not _is_among(node, there)]
        distinct = len(keys)
    made = next_state(state, "scatter", 0, lambda one, cursor: _build(one, cursor, keys, distinct))
    return Plan(made, tuple(keys), len(state.fields), distinct)


def _build(state: State, _: "Cursor", keys: list[Key], distinct: int) -> State:
    order = tuple(OrderKey(key.ordered, _suffix(key), _suffix(key)) for key in keys)
    state = state.evolve(order=order, own_order=None, is_reversed=False, limit=None, offset=None)
    names = tuple(f"{KEY_NAME}{position}" for position in range(len(keys)))
    fetched = dict(zip(names, (key.fetched for key in keys), strict=True))
    if state.distinct:
        state = state.evolve(distinct=tuple(key.ordered for key in keys[:distinct]))
    if state.mode == "model":
        annotations = {**state.annotations, **fetched}
        return state.evolve(annotations=annotations, selected=(*state.selected, *names))
    return state.evolve(mode="tuple", fields=(*state.fields, *fetched.items()))


def _key(state: State, one: OrderKey) -> Key:
    suffix = one.reversed_suffix if state.is_reversed else one.suffix
    descending = " DESC" in suffix
    nulls_first = " NULLS FIRST" in suffix or (descending and " NULLS LAST" not in suffix)
    ordered, fetched = _comparable(state, one.node)
    return Key(one.node, ordered, fetched, descending, nulls_first)


def _comparable(state: State, node: Node) -> tuple[Node, Node]:
    """What the shards order by, and what is compared here."""
    if isinstance(node, Sql) and node.parts == ("random()",):
        random = Sql("random()", type=FLOAT, is_nullable=False)
        return random, random
    if node.has_window:
        raise FieldError(
            f"scatter() of {state.model.__name__}: a window function orders the rows of one shard alone"
        )
    type_ = node.type
    kind = "" if type_ is None else type_.kind
    if type_ is not None and kind == "text" and bare_sql(type_) != "citext":
        collated = Sql("(", node, ' COLLATE "C")', type=type_)
        return collated, collated
    if type_ is not None and kind == "enum":
        of_all = f"array_position(enum_range(NULL::{bare_sql(type_)}), "
        return node, Sql(of_all, node, ")", type=INTEGER)
    if type_ is None or kind not in COMPARED or "with time zone" in (type_.sql if kind == "time" else ""):
        shown = "a value of unknown type" if type_ is None else type_.sql
        raise FieldError(
            f"scatter() of {state.model.__name__} cannot merge rows in the order of {shown}; order by numbers, text, "
            "dates, or not at all"
        )
    return node, node


def _suffix(key: Key) -> str:
    return f"{' DESC' if key.descending else ''} NULLS {'FIRST' if key.nulls_first else 'LAST'}"


def _is_among(node: Node, others: "Iterable[Node]") -> bool:
    return any(_is_same(node, one) for one in others)


def _is_same(one: Node, other: Node) -> bool:
    if isinstance(one, Ref) and isinstance(other, Ref):
        return one.source is other.source and one.column is other.column
    return one is other


# Comparing


class _Backwards:
    """A value that is greater where it is less."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: "_Backwards") -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Backwards) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]  # it is compared alone


def core(value: Any) -> tuple[Any, ...]:
    """A value that is not None, so that NaN is greater than all others, as PostgreSQL has it."""
    return (0, value) if value == value else (1,)  # noqa: PLR0124 - NaN alone is not


def sort_key(keys: Sequence[Key], values: Sequence[Any]) -> tuple[Any, ...]:
    """What rows are compared by."""
    parts: list[Any] = []
    for key, value in zip(keys, values, strict=True):
        if value is None:
            parts.append((0,) if key.nulls_first else (2,))
        else:
            parts.append((1, _Backwards(core(value)) if key.descending else core(value)))
    return tuple(parts)


def reader_of(plan: Plan) -> Callable[[Any], tuple[Any, ...]]:
    """Return what finds the key of a row; of an instance it takes it away."""
    keys, width = plan.keys, plan.width
    if plan.state.mode == "model":
        return lambda row: sort_key(keys, _taken(row, len(keys)))
    return lambda row: sort_key(keys, row[width:])


def _taken(row: Any, count: int) -> list[Any]:
    extra = row._extra
    if not count:
        return []
    values = [extra.pop(f"{KEY_NAME}{position}") for position in range(count)]
    if not extra:
        row._extra = None
    return values


def merged(lists: "Sequence[list[Any]]", plan: Plan) -> Iterator[Any]:
    """Yield the rows of all lists in order, those that are one once."""
    if not plan.keys:
        return chain.from_iterable(lists)
    key_of = reader_of(plan)
    # The position tells rows apart whose keys are equal: rows are not compared.
    pairs = [[(key_of(row), number, row) for row in rows] for number, rows in enumerate(lists)]
    return _once(heapq.merge(*pairs, key=lambda pair: pair[:2]), plan.distinct)


def _once(pairs: Iterable[tuple[tuple[Any, ...], int, Any]], distinct: int) -> Iterator[Any]:
    before: Any = None
    for key, _, row in pairs:
        if not distinct or key[:distinct] != before:
            yield row
        before = key[:distinct]


async def merged_streams(
    streams: "Sequence[AsyncGenerator[Any, None]]", plan: Plan
) -> AsyncGenerator[Any, None]:
    """As `merged`, of streams: one row of each is in memory."""
    async with AsyncExitStack() as stack:
        for stream in streams:
            await stack.enter_async_context(aclosing(stream))
        if not plan.keys:
            for stream in streams:
                async for row in stream:
                    yield row
            return
        key_of = reader_of(plan)
        heap: list[tuple[tuple[Any, ...], int, Any]] = []
        # One after the other, and never from tasks of their own: what a stream has begun in one, it must end there.
        for number, stream in enumerate(streams):
            async for row in stream:
                heap.append((key_of(row), number, row))
                break
        heapq.heapify(heap)
        before: Any = None
        while heap:
            key, number, row = heap[0]
            if not plan.distinct or key[: plan.distinct] != before:
                yield row
            before = key[: plan.distinct]
            async for following in streams[number]:
                heapq.heapreplace(heap, (key_of(following), number, following))
                break
            else:
                heapq.heappop(heap)


__all__ = ["COMPARED", "Plan", "core", "limited", "merged", "merged_streams", "plan_of"]
