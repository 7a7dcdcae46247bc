"""`page(after=, size=)`: pages by keyset. The next page begins behind the values of the last row, by comparison.

No row is skipped or doubled when others come or go meanwhile, and a late page costs what an early one does.
The primary key is put behind the order, so that no two rows are equal in it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from hyperdjango.database import DataError
from hyperdjango.models import _compile
from hyperdjango.models._keyed import KEY_NAME
from hyperdjango.models._nodes import FALSE, Node, Parameter, Ref, Sql, condition, joined
from hyperdjango.models._order import order_of
from hyperdjango.models._page_cursor import InvalidCursor, mark_of, read, written
from hyperdjango.models._routing import one_server
from hyperdjango.models._state import OrderKey, State, next_state
from hyperdjango.models._values import bare_sql
from hyperdjango.models._writer import Frame, Writer
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._shapes import Cursor

R_co = TypeVar("R_co", covariant=True)


class Page(Generic[R_co]):
    """Some rows in their order.

    Attributes:
        items: The rows.
        next: What to give as `after=` for the next page; None where this is the last.
    """

    __slots__ = ("items", "next")

    def __init__(self, items: list[R_co], next: str | None) -> None:
        self.items = items
        self.next = next

    @property
    def has_next(self) -> bool:
        """Whether there is a next page."""
        return self.next is not None

    def __iter__(self) -> Iterator[R_co]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"<page of {len(self.items)}{', the last' if self.next is None else ''}>"


class _Key(NamedTuple):
    """One value of the order, and where it goes on behind a row."""

    node: Node
    descending: bool
    nulls_first: bool


class _Order(NamedTuple):
    keys: tuple[_Key, ...]
    order: tuple[OrderKey, ...]
    mark: str


async def page(queryset: Any, after: object, size: int) -> Page[Any]:
    """See `QuerySet.page`."""
    state: State = queryset._state
    order = _order(state)
    if type(size) is not int or size < 1:
        raise FieldError(f"page() takes a size from 1, not {size!r}")
    count = len(order.keys)
    values = None if after is None else read(after, order.mark, count)
    given = () if values is None else tuple(value for value in values if value is not None)
    nulls = None if values is None else tuple(value is None for value in values)
    new = queryset._clone()
    new._prefetches = ()
    new._state = next_state(
        state, ("page", nulls), len(given) + 1, lambda one, cursor: _build(one, cursor, order, nulls)
    )
    new._params = (*queryset._params, *given, size + 1)
    statement = _compile.select(new._state)
    database: Database = queryset._database(is_write=statement.locks)
    if queryset._prefetches:
        database = await one_server(database)
    try:
        rows: list[Any] = await new._rows(statement, database)
    except DataError as error:
        if after is None:
            raise
        raise InvalidCursor("after= has values that these rows cannot have") from error
    # Of the last row of the page, not of the one behind it, which only tells that there is one.
    found = [_taken(row, count) for row in rows]
    items = rows[:size]
    following = written(found[size - 1], order.mark) if len(rows) > size else None
    if queryset._prefetches and items:
        from hyperdjango.models._prefetch import prefetch

        await prefetch(items, queryset._prefetches, database)
    return Page(items, following)


def _taken(row: Any, count: int) -> list[Any]:
    extra = row._extra
    values = [extra.pop(f"{KEY_NAME}{position}") for position in range(count)]
    if not extra:
        row._extra = None
    return values


def _order(state: State) -> _Order:
    known: _Order | None = state.compiled.get("page")
    if known is None:
        known = state.compiled["page"] = _made_order(state)
    return known


def _made_order(state: State) -> _Order:
    model = state.model.__name__
    if state.mode != "model" or state.combined or state.is_sliced or state.distinct:
        raise FieldError(
            f"page() of {model} needs a queryset of instances that is not sliced: no values(), union() or distinct(…)"
        )
    order = order_of(state)
    keys: list[_Key] = []
    for one in order:
        suffix = one.reversed_suffix if state.is_reversed else one.suffix
        descending = " DESC" in suffix
        nulls_first = " NULLS FIRST" in suffix or (descending and " NULLS LAST" not in suffix)
        if isinstance(one.node, Sql) and one.node.parts == ("random()",):
            raise FieldError(f"page() of {model}: a random order has no next page")
        keys.append(_Key(one.node, descending, nulls_first))
    there = {key.node.column for key in keys if isinstance(key.node, Ref) and key.node.source is state.root}
    descending = bool(keys) and all(key.descending for key in keys)
    own = [column for column in state.model._table.primary_key if column not in there]
    keys += [_Key(Ref(state.root, column), descending, nulls_first=descending) for column in own]
    words = tuple(OrderKey(key.node, _suffix(key), _suffix(key)) for key in keys)
    return _Order(tuple(keys), words, mark_of(_text(state, words)))


def _suffix(key: _Key) -> str:
    nulls = "" if key.nulls_first == key.descending else " NULLS FIRST" if key.nulls_first else " NULLS LAST"
    return f"{' DESC' if key.descending else ''}{nulls}"


def _text(state: State, order: tuple[OrderKey, ...]) -> str:
    """The model and its order in words, without values: what a cursor is made for."""
    writer = Writer()
    writer.frame = Frame(None, (state.root,), 0)
    writer.name(state.model._table.name)
    for key in order:
        key.node.write(writer)
        writer.put(key.suffix)
    return "".join(map(str, writer.pieces))


def _build(state: State, cursor: "Cursor", order: _Order, nulls: tuple[bool, ...] | None) -> State:
    where = state.where
    if nulls is not None:
        values: list[Node | None] = [
            None if is_null else _parameter(cursor.take(), key.node)
            for key, is_null in zip(order.keys, nulls, strict=True)
        ]
        where = (*where, _behind(order.keys, values))
    names = tuple(f"{KEY_NAME}{position}" for position in range(len(order.keys)))
    nodes = dict(zip(names, (key.node for key in order.keys), strict=True))
    return state.evolve(
        where=where,
        order=order.order,
        is_reversed=False,
        limit=cursor.take(),
        annotations={**state.annotations, **nodes},
        selected=(*state.selected, *names),
    )


def _parameter(index: int, node: Node) -> Node:
    return Parameter(index, cast=None if node.type is None else bare_sql(node.type))


def _behind(keys: tuple[_Key, ...], values: list[Node | None]) -> Node:
    """The condition that a row comes behind these values."""
    same = len({key.descending for key in keys}) == 1
    if same and not any(key.node.is_nullable for key in keys):
        given = [value for value in values if value is not None]
        if len(given) < len(keys):
            return FALSE  # no row has NULL there, so neither had the last one
        word = " < " if keys[0].descending else " > "
        return condition(*_row([key.node for key in keys]), word, *_row(given))
    alternatives: list[Node] = []
    for position, (key, value) in enumerate(zip(keys, values, strict=True)):
        equal = [_equal(keys[i].node, values[i]) for i in range(position)]
        alternatives.append(joined([*equal, _further(key, value)], "AND"))
    return joined(alternatives, "OR")


def _row(nodes: "list[Node]") -> list[str | Node]:
    parts: list[str | Node] = ["("]
    for position, node in enumerate(nodes):
        parts += [", ", node] if position else [node]
    return [*parts, ")"]


def _equal(node: Node, value: Node | None) -> Node:
    return condition(node, " IS NULL") if value is None else condition(node, " = ", value)


def _further(key: _Key, value: Node | None) -> Node:
    if value is None:
        return condition(key.node, " IS NOT NULL") if key.nulls_first else FALSE
    beyond = condition(key.node, " < " if key.descending else " > ", value)
    if key.nulls_first or not key.node.is_nullable:
        return beyond
    return joined([beyond, condition(key.node, " IS NULL")], "OR")


__all__ = ["Page", "page"]
