"""UPDATE and DELETE of all rows of a queryset: `update(…)` and `delete()`. `_writing` calls these.

As any operation of a chain they have a key, and the State that it leads to keeps the text: a shape is compiled
once. The values of the assignments stand behind those of the chain.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from hyperdjango.database._native import native
from hyperdjango.models import _compile_changes
from hyperdjango.models._faults import fault_at
from hyperdjango.models._hydration import plan_of
from hyperdjango.models._meta import UNSET
from hyperdjango.models._nodes import Node, Parameter, Ref, Sql
from hyperdjango.models._outgoing import refuse_unwritable, sender, slot_value
from hyperdjango.models._row_statements import called, version_of
from hyperdjango.models._shapes import Cursor, shape
from hyperdjango.models._state import State, adapted, next_state
from hyperdjango.models._steps import resolved
from hyperdjango.models.errors import FieldError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperdjango.database import Database
    from hyperdjango.models._chain import Chain
    from hyperdjango.models._meta import Column, Relation, Table

NULL = Sql("NULL", type=None, is_nullable=True)
USE = "change"
VALUE = "value"


class _Change(NamedTuple):
    """A compiled UPDATE or DELETE.

    Attributes:
        sql: The text.
        used: Which values of the chain are sent, in order.
        names: Of the values that RETURNING gives, for dicts.
        converters: Position to what such a value goes through.
        hydrator: Makes instances of what RETURNING gives, or None.
    """

    sql: str
    used: tuple[int, ...]
    names: tuple[str, ...]
    converters: tuple[tuple[int, Any], ...]
    hydrator: Any


def assigned(table: "Table", values: dict[str, Any]) -> "dict[Column, Any]":
    """Return what `update` sets, by column: a relation is its key.

    Raises:
        FieldError: A name is not known, or is no column that can be written; the text names the nearest.
        ValidationError: A None where none may be.
    """
    found: dict[Column, Any] = {}
    for name, value in values.items():
        relation = table.relations.get(name)
        if relation is not None:
            pairs = _keys_of(table, relation, value)
        else:
            column = table.by_name.get(name)
            if column is None and name == "pk":
                raise FieldError(f"update() of {table.model.__name__}: name the columns of the key, not 'pk'")
            pairs = [(column if column is not None else _unknown(table, name), value)]
        for column, given in pairs:
            if column in found:
                raise FieldError(f"update() of {table.model.__name__} sets {column.name!r} twice")
            if column.generated is not None or column.is_version:
                refuse_unwritable(table, column, "update()")
            if given is None and not column.is_nullable:
                raise ValidationError(table.model.__name__, {column.name: "must not be None"})
            found[column] = given
    if not found:
        raise FieldError(f"update() of {table.model.__name__} sets nothing")
    return found


def _unknown(table: "Table", name: str) -> "Column":
    raise table.unknown(name)


def _keys_of(table: "Table", relation: "Relation", value: Any) -> "list[tuple[Column, Any]]":
    where = f"update() of {table.model.__name__}: {relation.name}"
    if not relation.is_forward:
        raise FieldError(f"{where} is no column of its table")
    if value is None:
        return [(column, None) for column in relation.locals]
    if hasattr(value.__class__, "_table"):
        if not isinstance(value, relation.target):
            raise FieldError(f"{where} is a {relation.target.__name__}, not a {type(value).__name__}")
        keys = [slot_value(value, column) for column in relation.remotes]
        if None in keys or UNSET in keys:
            raise FieldError(f"{where}: this {type(value).__name__} has no key yet; save it first")
        return list(zip(relation.locals, keys, strict=True))
    keys_count = len(relation.locals)
    if keys_count != 1:
        raise FieldError(f"{where} has a key of {keys_count} columns; give an instance")
    return [(relation.locals[0], value)]


def update(chain: "Chain[Any, Any]", values: dict[str, Any]) -> "tuple[_Change, tuple[Any, ...]]":
    """Compile an UPDATE; return it with the values that are sent."""
    state = chain._state
    _whole_rows(state, "update()")
    columns = assigned(state.model._table, values)
    key: list[Any] = []
    params: tuple[Any, ...] = ()
    for column, value in columns.items():
        kind, given = _shape(value)
        key.append((column.name, kind))
        params += given
    return _compiled(
        chain,
        ("update", tuple(key)),
        params,
        lambda one, cursor: _compile_changes.update(one, _assignments(one, columns, cursor), _returned(one)),
    )


def _shape(value: Any) -> tuple[Any, tuple[Any, ...]]:
    """As `shape`; a value of a plain column is one parameter, whatever it is: a list is an array."""
    return shape(value) if value is None or hasattr(value.__class__, "resolve") else (VALUE, (value,))


def fault(
    chain: "Chain[Any, Any]", change: _Change, values: dict[str, Any], sent: tuple[Any, ...], error: Exception
) -> Exception:
    """Return what to raise where `run` has: which of the values that `update` sets does not fit, if any."""
    table = chain._state.model._table
    places: dict[int, Column] = {}
    at = len(chain._params)
    for column, value in assigned(table, values).items():
        kind, given = _shape(value)
        if kind == VALUE and at in change.used:
            places[change.used.index(at)] = column
        at += len(given)
    return fault_at(error, table, places, sent) or error


def _assignments(
    state: State, columns: "dict[Column, Any]", cursor: Cursor
) -> "tuple[tuple[Any, Node], ...]":
    scope = state.scope()
    found: list[tuple[Any, Node]] = []
    for column, value in columns.items():
        node: Node
        if value is None:
            node = NULL
        elif hasattr(value.__class__, "resolve"):
            node = resolved(state, value, scope, cursor, f"update({column.name}=…)")
        else:
            index = cursor.take()
            cursor.adapt(index, _adapter(column))
            node = Parameter(index, column.type)
        found.append((column, node))
    version = version_of(state.model._table)
    if version is not None:
        found.append((version, Sql(Ref(state.root, version), " + 1", type=version.type)))
    return tuple(found)


def _adapter(column: "Column") -> "Callable[[Any], Any]":
    """What checks a value and says it in the driver's words, at each use of the shape."""
    send = sender(column)
    check = column.check

    def adapter(value: Any) -> Any:
        if check is not None:
            try:
                value = check(value)
            except ValueError as error:
                raise ValidationError(column.model.__name__, {column.name: str(error)}) from None
        return value if send is None else send(value)

    return adapter


def delete(chain: "Chain[Any, Any]") -> "tuple[_Change, tuple[Any, ...]]":
    """Compile a DELETE; return it with the values that are sent."""
    _whole_rows(chain._state, "delete()")
    return _compiled(chain, "delete", (), lambda one, _: _compile_changes.delete(one, _returned(one)))


def _whole_rows(state: State, method: str) -> None:
    if state.mode != "model" or state.is_grouped or state.combined:
        raise FieldError(
            f"{method} of {state.model.__name__}: values(), groups and unions have no rows to change"
        )


def _returned(state: State) -> list[Node] | None:
    if state.returning is None:
        return None
    return [node for _, node in state.returning] or list(plan_of(_plain(state)).nodes)


def _plain(state: State) -> State:
    """The State whose plan is the row's own columns: what is joined is not there in RETURNING."""
    if not state.related and not state.selected:
        return state
    known: State | None = state.compiled.get("plain")
    if known is None:
        known = state.evolve(related={}, selected=())
        state.compiled["plain"] = known
    return known


def _compiled(
    chain: "Chain[Any, Any]",
    key: Any,
    params: tuple[Any, ...],
    compile_: "Callable[[State, Cursor], Any]",
) -> "tuple[_Change, tuple[Any, ...]]":
    def build(state: State, cursor: Cursor) -> State:
        text = compile_(state, cursor)
        fields = state.returning or ()
        hydrator = plan_of(_plain(state)).hydrator if state.returning == () else None
        converters = tuple(
            (position, called(node.type.convert))
            for position, (_, node) in enumerate(fields)
            if node.type is not None and node.type.convert is not None
        )
        new = state.evolve()
        names = tuple(name for name, _ in fields)
        new.compiled[USE] = _Change(text.sql, text.used, names, converters, hydrator)
        return new

    state = next_state(chain._state, key, len(params), build)
    change: _Change = state.compiled[USE]
    values = chain._params + (params if state.adapters is None else adapted(state, params))
    return change, tuple([values[index] for index in change.used])


async def run(
    chain: "Chain[Any, Any]", change: _Change, values: tuple[Any, ...], database: "Database"
) -> Any:
    """Run it: how many rows there were, or what `returning()` asks for."""
    if chain._state.returning is None:
        return (await database.execute(change.sql, *values)).rows
    if change.hydrator is not None:
        origin = native.Origin(database, chain._fetch_mode)
        return await database.query(change.sql, *values, into=change.hydrator.begin((origin,)))
    rows: list[Any] = []
    for row in await database.query(change.sql, *values, into=tuple):
        named = list(row)
        for position, convert in change.converters:
            if named[position] is not None:
                named[position] = convert(named[position])
        rows.append(dict(zip(change.names, named, strict=True)))
    return rows
