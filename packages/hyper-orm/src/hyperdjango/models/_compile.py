"""Writes a State as a SELECT in its several uses; `_compile_changes` writes UPDATE and DELETE.

What is compiled is kept with the State, so a shape is compiled once.
PostgreSQL docs: sql-select.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hyperdjango.models._hydration import Plan, plan_of
from hyperdjango.models._nodes import FALSE, Node, Ref, Select, Source, Sql
from hyperdjango.models._one_database import check_one_database
from hyperdjango.models._order import is_same, order_of, write_grouped, write_order
from hyperdjango.models._state import OrderKey, State
from hyperdjango.models._types import BIGINT
from hyperdjango.models._writer import Frame, Text, Writer
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._scope import Scope
    from hyperdjango.models._shapes import Cursor

ROWS_OF_GET: Final = 2


class Statement(NamedTuple):
    """A compiled use of a State.

    Attributes:
        sql: The text.
        picks: Which values of the chain are sent, or None for all of them in order.
        plan: How rows become instances, in the mode "model".
        names: Of the columns, in other modes.
        converters: Position to what a column's value goes through in Python, in other modes.
        locks: It locks rows, so that it must run on the primary.
    """

    sql: str
    picks: tuple[int, ...] | None
    plan: Plan | None = None
    names: tuple[str, ...] = ()
    converters: tuple[tuple[int, Any], ...] = ()
    locks: bool = False

    def values(self, params: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values that are sent."""
        if self.picks is None:
            return params
        return tuple([params[index] for index in self.picks])


def statement(state: State, use: str, make: "Callable[[State], Statement]") -> Statement:
    """Return a compiled use of a State, made on its first use."""
    known: Statement | None = state.compiled.get(use)
    if known is not None:
        return known
    made: Statement = state.compiled.setdefault(use, make(state))
    return made


def select(state: State) -> Statement:
    """All rows."""
    return statement(state, "select", _select)


def select_some(state: State, count: int) -> Statement:
    """The first rows, where the State has no limit of its own."""
    return statement(state, f"select {count}", lambda one: _select(one, limit=count))


def count(state: State) -> Statement:
    """How many rows there are."""
    return statement(state, "count", _count)


def exists(state: State) -> Statement:
    """Whether there is any row."""
    return statement(state, "exists", _exists)


def _statement(
    state: State, text: Text, plan: Plan | None = None, fields: "tuple[tuple[str, Node], ...]" = ()
) -> Statement:
    converters = tuple(
        (position, node.type.convert)
        for position, (_, node) in enumerate(fields)
        if node.type is not None and node.type.convert is not None
    )
    picks = None if len(text.used) == state.param_count else text.used
    return Statement(text.sql, picks, plan, tuple(name for name, _ in fields), converters, text.locks)


def _select(state: State, limit: int | None = None) -> Statement:
    writer = Writer()
    body = _Body(state, writer, limit=limit)
    body.write_statement()
    return _statement(state, writer.text(), body.plan, () if state.mode == "model" else body.fields())


def _count(state: State) -> Statement:
    writer = Writer()
    if state.is_sliced or state.distinct is not None or state.is_grouped or state.combined:
        writer.put("SELECT count(*) FROM (")
        _Body(state, writer, is_inner=True).write_statement()
        writer.put(") AS q")
    else:
        _Body(state, writer, columns=[Sql("count(*)", type=BIGINT)], ordered=False).write_statement()
    return _statement(state, writer.text())


def _exists(state: State) -> Statement:
    writer = Writer()
    if state.combined or state.is_grouped or state.is_sliced:
        writer.put("SELECT true FROM (")
        _Body(state, writer, is_inner=True).write_statement()
        writer.put(") AS q LIMIT 1")
    else:
        _Body(state, writer, columns=[Sql("true", type=None)], ordered=False, limit=1).write_statement()
    return _statement(state, writer.text())


class _Body:
    """One SELECT of a State."""

    def __init__(
        self,
        state: State,
        writer: Writer,
        *,
        columns: list[Node] | None = None,
        ordered: bool = True,
        limit: int | None = None,
        is_inner: bool = False,
        joins: Source | None = None,
    ) -> None:
        self.state = state
        self.writer = writer
        self.columns = columns
        self.ordered = ordered
        self.limit = limit
        self.is_inner = is_inner
        # A source that is joined though nothing may mention it.
        self.joins = joins
        self.plan: Plan | None = None

    def write_statement(self) -> None:
        """Write it with a frame of its own."""
        writer, state = self.writer, self.state
        held = writer.frame
        offset = held.offset if held is not None else 0
        writer.frame = Frame(held, (state.root,), offset, None)
        try:
            self.write_ctes()
            if state.combined:
                self.write_combined()
            else:
                writer.body(self.write_columns, self.write_tail)
        finally:
            writer.frame = held

    def write_ctes(self) -> None:
        writer, ctes = self.writer, self.state.ctes
        word = "WITH RECURSIVE " if any(cte.step is not None for cte in ctes) else "WITH "
        for position, cte in enumerate(ctes):
            writer.put(", " if position else word)
            writer.name(cte.name)
            writer.put(" AS (" if cte.step is None else " AS ((")
            _within(writer, cte.state, cte.offset, is_inner=True)
            if cte.step is not None and cte.step_source is not None:
                # The backend takes no outer join to the rows that there are; UNION leaves circles out.
                writer.inner.add(cte.step_source)
                writer.put(") UNION (")
                source = cte.step_source
                _within(writer, cte.step, cte.step_offset, is_inner=True, ordered=False, joins=source)
                writer.put(")")
            writer.put(")" if position + 1 < len(ctes) else ") ")

    def write_combined(self) -> None:
        """Each part in parentheses; the order is by position, for no part's names hold outside."""
        state, writer = self.state, self.writer
        parts = self.state.combined
        for position, part in enumerate(parts):
            if position:
                writer.put(f" {part.word} ")
            writer.put("(")
            _within(
                writer,
                part.state,
                part.offset,
                is_inner=self.is_inner or state.mode != "model",
                ordered=part.state.is_sliced,
            )
            writer.put(")")
        self.plan = plan_of(parts[0].state) if state.mode == "model" else None
        if self.ordered and state.order:
            writer.put(" ORDER BY ")
            names = _output_names(state)
            for position, key in enumerate(state.order):
                writer.put(", " if position else "")
                writer.put(str(_position_of(key, names, state)))
                writer.put(key.reversed_suffix if state.is_reversed else key.suffix)
        self.write_limit()

    def fields(self) -> tuple[tuple[str, Node], ...]:
        """Names and values of a row."""
        if self.state.combined:
            return output_fields(self.state.combined[0].state)
        return output_fields(self.state)

    def write_columns(self) -> None:
        state, writer = self.state, self.writer
        if self.joins is not None:
            writer.alias(self.joins)
        # Instances differ by their keys, and not every type can be compared.
        if state.distinct is not None and self.columns is None and (state.distinct or state.mode != "model"):
            writer.put("DISTINCT ")
            if state.distinct:
                _check_distinct_on(state)
                writer.put("ON (")
                writer.nodes(state.distinct)
                writer.put(") ")
        if self.columns is not None:
            writer.nodes(self.columns)
        elif state.mode == "model":
            self.plan = plan_of(state)
            if self.is_inner:
                # Names of its own: two tables may have columns of the same name.
                _write_named(writer, [(f"c{i}", node) for i, node in enumerate(self.plan.nodes)])
            else:
                writer.nodes(self.plan.nodes)
        else:
            _write_named(writer, list(state.fields))

    def write_tail(self) -> None:
        state, writer = self.state, self.writer
        for word, nodes in (
            (" WHERE ", (FALSE, *state.where) if state.is_empty else state.where),
            (" GROUP BY ", state.group_by),
            (" HAVING ", state.having),
        ):
            if nodes:
                writer.put(word)
                between = ", " if word == " GROUP BY " else " AND "
                for position, node in enumerate(nodes):
                    writer.put(between if position else "")
                    if word == " GROUP BY " and self.columns is None:
                        write_grouped(state, writer, node)
                    else:
                        node.write(writer)
        if self.ordered:
            write_order(state, writer)
        self.write_limit()
        if state.lock is not None and self.columns is None:
            self.write_lock()

    def write_limit(self) -> None:
        state, writer = self.state, self.writer
        if state.is_empty and state.combined:
            writer.put(" LIMIT 0")
            return
        if state.limit is not None:
            writer.put(" LIMIT ")
            writer.parameter(state.limit)
        elif self.limit is not None:
            writer.put(f" LIMIT {self.limit:d}")
        if state.offset is not None:
            writer.put(" OFFSET ")
            writer.parameter(state.offset)

    def write_lock(self) -> None:
        assert self.state.lock is not None
        self.writer.locks = True
        words, paths = self.state.lock
        strength, _, wait = words.partition("|")
        self.writer.put(f" {strength} OF ")
        for position, path in enumerate(paths or ((),)):
            source = self.state.root
            for name in path:
                source = source.child(source.table.relations[name])
            self.writer.put(f"{', ' if position else ''}{self.writer.alias(source)}")
        self.writer.put(wait)


def write_within(writer: Writer, state: State, offset: int) -> None:
    """Write a State as the rows of a FROM."""
    _within(writer, state, offset, is_inner=True)


def write_alone(writer: Writer, state: State) -> None:
    """Write a State with nothing around it."""
    _Body(state, writer).write_statement()


def write_apart(writer: Writer, state: State, node: Node) -> None:
    """Write a SELECT of one value over a State's rows."""
    _Body(state, writer, columns=[node], ordered=False).write_statement()


def finished(writer: Writer, state: State) -> Statement:
    """The statement that a writer holds, whose rows are the State's fields."""
    return _statement(state, writer.text(), None, state.fields)


def _within(
    writer: Writer,
    state: State,
    offset: int,
    *,
    is_inner: bool,
    ordered: bool = True,
    joins: Source | None = None,
) -> None:
    """Write a State whose values begin at an offset among those of the frame."""
    held = writer.frame
    assert held is not None
    writer.frame = Frame(held.parent, (), held.offset + offset, held.outer)
    try:
        _Body(state, writer, is_inner=is_inner, ordered=ordered, joins=joins).write_statement()
    finally:
        writer.frame = held


def _write_named(writer: Writer, fields: list[tuple[str, Node]]) -> None:
    for position, (name, node) in enumerate(fields):
        writer.put(", " if position else "")
        node.write(writer)
        writer.put(" AS ")
        writer.name(name)


def output_fields(state: State) -> tuple[tuple[str, Node], ...]:
    """Names and values of a row; of the first part, where several are put together."""
    if state.combined:
        return output_fields(state.combined[0].state)
    return state.fields


def _output_names(state: State) -> list[str]:
    if state.combined:
        return _output_names(state.combined[0].state)
    if state.mode == "model":
        return plan_of(state).names
    return [name for name, _ in state.fields]


def _position_of(key: OrderKey, names: list[str], state: State) -> int:
    node = key.node
    if state.mode != "model":
        for position, (_, field) in enumerate(output_fields(state)):
            if is_same(field, node):
                return position + 1
    word = node.column.name if isinstance(node, Ref) and node.source is state.root else None
    for name, annotation in state.annotations.items():
        if annotation is node:
            word = name
    if word is None or word not in names:
        raise FieldError(
            f"querysets that are put together can be ordered by the columns that they give: {', '.join(names)}"
        )
    return names.index(word) + 1


def select_node(state: State, scope: "Scope", cursor: "Cursor") -> Select:
    """A queryset as a subquery: one column, or its key where nothing was chosen.

    Takes `state.param_count` positions.
    """
    check_one_database(scope.root.table, state.model._table, "a subquery")
    offset = cursor.skip(state.param_count)
    outer: dict[Any, Node] = {}
    for key, reference in state.outers.items():
        outer[key] = reference.inner().resolve(scope, cursor)
    return as_select(state, offset, outer)


def _check_distinct_on(state: State) -> None:
    """DISTINCT ON keeps the first row of each group, so an order begins with what makes the groups.

    Raises:
        FieldError: It begins with something else.
    """
    assert state.distinct is not None
    nodes = [key.node for key in order_of(state)][: len(state.distinct)]
    if not all(isinstance(node, Ref) for node in (*nodes, *state.distinct)):
        return
    for node in nodes:
        if not any(is_same(node, wanted) for wanted in state.distinct):
            names = ", ".join(repr(one.column.name) for one in state.distinct if isinstance(one, Ref))
            raise FieldError(
                f"distinct({names}) of {state.model.__name__} keeps the first row of each group: order_by() "
                f"begins with {names}, and then says which row is the first"
            )


def as_select(state: State, offset: int, outer: dict[Any, Node], *, all_columns: bool = False) -> Select:
    """A State as a node."""
    column = None if all_columns else _one_column(state)
    if state.combined or state.ctes:
        return _Whole(state, offset, outer, None if column is None else column.type, is_key=not all_columns)
    if column is not None and state.mode == "model":
        # As values: DISTINCT ON and the order stay. Without names DISTINCT says nothing of keys.
        fields = ((state.model._table.primary_key[0].name, column),)
        state = state.evolve(mode="flat", fields=fields, related={}, distinct=state.distinct or None)

    def write_columns(writer: Writer) -> None:
        _Body(state, writer).write_columns()

    def write_tail(writer: Writer) -> None:
        _Body(state, writer, ordered=state.is_sliced or state.distinct is not None).write_tail()

    return Select(
        (state.root,),
        write_columns,
        write_tail,
        column.type if column is not None else None,
        offset=offset,
        outer=outer,
    )


class _Whole(Select):
    """A subquery that is more than one SELECT: put together, or with named ones in front."""

    __slots__ = ("key", "state")

    def __init__(
        self, state: State, offset: int, outer: dict[Any, Node], type_: Any, *, is_key: bool
    ) -> None:
        super().__init__((), lambda _: None, lambda _: None, type_, offset=offset, outer=outer)
        self.state = state
        # Of instances, the position of the key that alone is wanted.
        self.key: int | None = None
        if is_key and state.mode == "model":
            self.key = _output_names(state).index(state.model._table.primary_key[0].name)

    def write(self, writer: Writer) -> None:
        held = writer.frame
        base = held.offset if held is not None else 0
        writer.frame = Frame(held, (), base + (self.offset or 0), self.outer)
        try:
            writer.put("(" if self.key is None else f"(SELECT q.c{self.key:d} FROM (")
            _Body(self.state, writer, is_inner=True).write_statement()
            writer.put(")" if self.key is None else ") AS q)")
        finally:
            writer.frame = held


def _one_column(state: State) -> Node:
    if state.mode == "model":
        keys = state.model._table.primary_key
        if len(keys) != 1:
            raise FieldError(
                f"a queryset of {state.model.__name__} as a subquery needs values(): its key has {len(keys)} columns"
            )
        return Ref(state.root, keys[0])
    fields = output_fields(state)
    if len(fields) != 1:
        names = ", ".join(name for name, _ in fields)
        raise FieldError(
            f"a subquery gives one column; this queryset of {state.model.__name__} gives {names}"
        )
    return fields[0][1]
