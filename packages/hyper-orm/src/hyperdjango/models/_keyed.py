"""The rows of a queryset that belong to some keys: what prefetching, loading and loaders ask for.

The keys are one array per column, so the text is the same however many there are. A queryset that is sliced, or
has DISTINCT ON, is asked for once per key, by a lateral subquery: so many rows of each parent, not of all.

PostgreSQL docs: functions-comparisons, "ANY/SOME (array)"; queries-table-expressions, "LATERAL Subqueries".
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hyperdjango.models import _compile
from hyperdjango.models._hydration import plan_of
from hyperdjango.models._meta import Column, Ends, Relation
from hyperdjango.models._nodes import Node, Parameter, Ref, Source, Sql, condition, exists, joined
from hyperdjango.models._state import State, next_state
from hyperdjango.models._values import bare_sql
from hyperdjango.models._where import subselect
from hyperdjango.models._writer import Frame, Writer

if TYPE_CHECKING:
    from hyperdjango.models._shapes import Cursor

# Names of values in `_extra`; no name of an application's begins with an underscore.
KEY_NAME: Final = "_key"


class Keyed(NamedTuple):
    """A State whose last values are arrays of keys, one for each column, and its statement.

    Attributes:
        state: The State.
        statement: It, compiled.
        is_beside: Each row's key is in its `_extra`, not in its own columns.
    """

    state: State
    statement: _compile.Statement
    is_beside: bool


def keyed(state: State, link: "Relation | tuple[Column, ...]") -> Keyed:
    """Return the rows of a State that belong to keys.

    Args:
        state: Of the model at the far end.
        link: The relation whose near end has the keys, or columns of the State's own model that are compared.
    """
    columns = link.remotes if isinstance(link, Relation) else link
    is_lateral = state.is_sliced or bool(state.distinct)
    onward = next_state(
        state,
        ("keyed", link),
        len(columns),
        lambda one, cursor: _build(one, cursor, link, columns, is_lateral=is_lateral),
    )
    if not is_lateral:
        is_beside = isinstance(link, Relation) and link.through is not None
        return Keyed(onward, _compile.select(onward), is_beside)
    statement = _compile.statement(onward, "keyed", lambda one: _lateral(one, columns))
    return Keyed(onward, statement, is_beside=True)


def among(queryset: Any, link: "Relation | tuple[Column, ...]", keys: list[Any]) -> Any:
    """Return the rows of a queryset that belong to keys, as a queryset: one that is not sliced.

    Args:
        queryset: Of the model at the far end.
        link: As for `keyed`.
        keys: One value each, tuples where there are several columns; none of them None.
    """
    ask = keyed(queryset._state, link)
    new = queryset._clone()
    new._state = ask.state
    new._params = queryset._params + arrays_of(
        keys, len(link.remotes if isinstance(link, Relation) else link)
    )
    return new


def arrays_of(keys: list[Any], width: int) -> tuple[list[Any], ...]:
    """Return keys as one list for each of their columns."""
    if width == 1:
        return (keys,)
    return tuple([key[position] for key in keys] for position in range(width))


def of_one(state: State, relation: Relation) -> State:
    """Return the rows at the far end of one instance, whose key is given as the next values."""

    def build(one: State, cursor: "Cursor") -> State:
        keys: list[Node] = [Parameter(cursor.take(), cast=bare_sql(c.type)) for c in relation.remotes]
        return one.evolve(where=(*one.where, _belongs(one, relation, keys)))

    return next_state(state, ("of one", relation), len(relation.remotes), build)


def _build(
    state: State,
    cursor: "Cursor",
    link: "Relation | tuple[Column, ...]",
    columns: tuple[Column, ...],
    *,
    is_lateral: bool,
) -> State:
    taken = [cursor.take() for _ in columns]
    if is_lateral:
        keys: list[Node] = [Sql(f"k.k{i}", type=column.type) for i, column in enumerate(columns)]
        if isinstance(link, Relation):
            state = state.evolve(where=(*state.where, _belongs(state, link, keys)))
        else:
            state = state.evolve(where=(*state.where, _equal([Ref(state.root, c) for c in columns], keys)))
        return _selecting(state, keys)
    refs: list[Node] = [Ref(_source(state, link), column) for column in columns]
    parameters = [
        Parameter(at, cast=f"{bare_sql(column.type)}[]") for at, column in zip(taken, columns, strict=True)
    ]
    state = state.evolve(where=(*state.where, _among(refs, parameters)))
    return _selecting(state, refs) if isinstance(link, Relation) and link.through else _with(state, columns)


def _among(refs: list[Node], arrays: "list[Parameter]") -> Node:
    if len(refs) == 1:
        return condition(refs[0], " = ANY(", arrays[0], ")")
    return condition("(", *_commas(refs), ") IN (SELECT * FROM unnest(", *_commas(arrays), "))")


def _commas(nodes: "list[Any]") -> list[str | Node]:
    parts: list[str | Node] = []
    for position, node in enumerate(nodes):
        parts += [", ", node] if position else [node]
    return parts


def _equal(refs: list[Node], keys: list[Node]) -> Node:
    return joined([condition(ref, " = ", key) for ref, key in zip(refs, keys, strict=True)], "AND")


def _belongs(state: State, relation: Relation, keys: list[Node]) -> Node:
    """The condition that a row is at the far end of a relation of the row with these keys."""
    if relation.through is None:
        return _equal([Ref(state.root, column) for column in relation.remotes], keys)
    between = Source(relation.through._table)
    far = relation.through_far
    assert far is not None
    near: Node = _equal([Ref(between, column) for column in relation.remotes], keys)
    onward = _equal(
        [Ref(between, column) for column in far.locals], [Ref(state.root, column) for column in far.remotes]
    )
    return exists(subselect(between, [], [near, onward]))


def _source(state: State, link: "Relation | tuple[Column, ...]") -> Source:
    """What has the columns that are compared: the State's own table, or the table between, joined to it."""
    if not isinstance(link, Relation) or link.through is None:
        return state.root
    through, far = link.through, link.through_far
    assert far is not None
    back = Relation(state.model, f"<{link.name}>", lambda _: Ends(through, far.remotes, far.locals))
    between = Source(through._table, state.root, back)
    between.is_inner = True
    return between


def _selecting(state: State, keys: list[Node]) -> State:
    """Fetch the keys as well, as values beside each row."""
    names = tuple(f"{KEY_NAME}{position}" for position in range(len(keys)))
    return state.evolve(
        annotations={**state.annotations, **dict(zip(names, keys, strict=True))},
        selected=(*state.selected, *names),
    )


def _with(state: State, columns: tuple[Column, ...]) -> State:
    """Fetch these columns, whatever only() and defer() have said."""
    left_out = state.deferred.get(())
    if not left_out:
        return state
    return state.evolve(deferred={**state.deferred, (): left_out - {column.name for column in columns}})


def _lateral(state: State, columns: tuple[Column, ...]) -> _compile.Statement:
    first = state.param_count - len(columns)
    writer = Writer()
    writer.put("SELECT q.* FROM unnest(")
    for position, column in enumerate(columns):
        writer.put(", " if position else "")
        writer.parameter(first + position)
        writer.put(f"::{bare_sql(column.type)}[]")
    writer.put(f") AS k({', '.join(f'k{i}' for i in range(len(columns)))}) CROSS JOIN LATERAL (")
    writer.frame = Frame(None, (), 0)
    _compile.write_within(writer, state, 0)
    writer.put(") AS q")
    text = writer.text()
    picks = None if len(text.used) == state.param_count else text.used
    return _compile.Statement(text.sql, picks, plan_of(state), locks=text.locks)


__all__ = ["KEY_NAME", "Keyed", "among", "arrays_of", "keyed", "of_one"]
