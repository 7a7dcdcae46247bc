"""`get_or_create` and `update_or_create`, also when many do it at once. `_writing` calls these.

Where the lookups name a unique constraint the database decides who is first: INSERT … ON CONFLICT. Elsewhere
nothing can, so a SELECT comes first, as in Django.
PostgreSQL docs: sql-insert, "ON CONFLICT Clause".
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database import DataError
from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models import _hooks, _in_place, _undoing
from hyperdjango.models._changes import assigned
from hyperdjango.models._faults import fault_of
from hyperdjango.models._nearest import nearest
from hyperdjango.models._origin import Origin
from hyperdjango.models._outgoing import Outgoing, for_insert
from hyperdjango.models._routing import check_assigned, check_held, check_written
from hyperdjango.models._row_statements import (
    RowStatement,
    giving,
    insert_text,
    names_of,
    remembered,
    returning,
    table_name,
    version_of,
)
from hyperdjango.models._scope import SEPARATOR
from hyperdjango.models.errors import FieldError, ModelError, ValidationError

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._meta import Column, Table

# A row that others insert and delete all the time is not waited for without end.
ATTEMPTS_MAX: Final = 5


def unique_sets(table: "Table") -> "Iterable[tuple[Column, ...]]":
    """Yield the sets of columns that no two rows share, where NULLs do not make them differ."""
    yield table.primary_key
    for column in table.columns:
        if column.is_unique and not column.is_nullable:
            yield (column,)
    for constraint in table.constraints:
        fields = getattr(constraint, "fields", ())
        is_plain = (
            type(constraint).__name__ == "UniqueConstraint"
            and not getattr(constraint, "is_index", False)
            and not getattr(constraint, "deferrable", False)
        )
        if is_plain and fields and all(isinstance(name, str) for name in fields):
            columns: list[Column] = []
            for name in fields:
                relation = table.relations.get(name)
                columns += relation.locals if relation is not None else (table.column(name),)
            if not any(column.is_nullable for column in columns):
                yield tuple(columns)


def unique_among(table: "Table", lookups: dict[str, Any]) -> "tuple[Column, ...] | None":
    """Return a unique set of columns that plain lookups give values for, or None."""
    given: set[Column] = set()
    for name in lookups:
        relation = table.relations.get(name)
        if relation is not None and relation.is_forward:
            given.update(relation.locals)
        elif name == "pk":
            given.update(table.primary_key)
        elif name in table.by_name:
            given.add(table.by_name[name])
    for columns in unique_sets(table):
        if given.issuperset(columns):
            return columns
    return None


def _values(
    model: Any, lookups: dict[str, Any], defaults: dict[str, Any] | None, method: str
) -> dict[str, Any]:
    """What a new instance is made with: plain lookups, over them the defaults; functions are called."""
    values = {name.removesuffix("__exact"): value for name, value in lookups.items()}
    values = {name: value for name, value in values.items() if SEPARATOR not in name}
    for name, value in (defaults or {}).items():
        if name not in model._table.by_name and name not in model._table.relations and name != "pk":
            known = model._table.names()
            raise FieldError(
                f"{method} of {model.__name__} has no field {name!r} for defaults{nearest(name, known)}"
            )
        values[name] = value() if callable(value) and not isinstance(value, type) else value
    return values


async def get_or_create(
    queryset: Any,
    found: Any,
    database: "Database",
    lookups: dict[str, Any],
    defaults: dict[str, Any] | None,
) -> tuple[Any, bool]:
    """See `Writing.get_or_create`; `found` is the queryset filtered by the lookups."""
    model = queryset.model
    values = _values(model, lookups, defaults, "get_or_create()")
    is_exact = all(SEPARATOR not in name for name in lookups)
    if not is_exact or unique_among(model._table, lookups) is None or _hooks.listens(model):
        row = await _on_primary(found, database)
        if row is not None:
            return row, False
    for _ in range(ATTEMPTS_MAX):
        instance = model(**values)
        check_written(instance, database)
        try:
            if await insert_unless_there(instance, database):
                return instance, True
        except ValidationError:
            # No new row can be made of this; there may be an old one.
            row = await _on_primary(found, database)
            if row is None:
                raise
            return row, False
        row = await _on_primary(found, database)
        if row is not None:
            return row, False
    # What is in the way is another row: the database says which constraint that is about.
    instance = model(**values)
    await instance.save(force_insert=True, using=database)
    return instance, True


async def _on_primary(queryset: Any, database: "Database") -> Any:
    try:
        return await queryset.using(database).get()
    except queryset.model.DoesNotExist:
        return None


async def _sent(
    table: "Table", sql: str, columns: "list[Column]", values: list[Any], database: "Database"
) -> tuple[Any, ...] | None:
    """The row that a statement gives. A value that does not fit its column is a ValidationError."""
    try:
        row: tuple[Any, ...] | None = await database.query_one(sql, *values, into=tuple)
    except DataError as error:
        fault = fault_of(error, table, columns, values)
        if fault is None:
            raise
        raise fault from error
    return row


async def insert_unless_there(instance: Any, database: "Database") -> bool:
    """INSERT … ON CONFLICT DO NOTHING; returns whether there is a row more now."""
    listens = _hooks.listens(instance.__class__)
    if listens:
        await _hooks.before_save(instance, database, None, created=True)
    table: Table = instance._table
    check_held(instance, database)
    outgoing, made = for_insert(instance)
    columns = tuple(outgoing.columns)
    wanted = tuple(dict.fromkeys((*made, *table.primary_key)))
    statement = remembered(
        (table, "insert unless", columns, wanted),
        lambda: giving(f"{insert_text(table, columns)} ON CONFLICT DO NOTHING{returning(wanted)}", wanted),
    )
    row = await _sent(table, statement.sql, outgoing.columns, outgoing.values, database)
    if row is None:
        return False
    became(instance, statement, row, outgoing, database)
    if listens:
        await _hooks.after_save(instance, database, None, created=True)
    return True


def became(
    instance: Any,
    statement: RowStatement,
    row: tuple[Any, ...],
    outgoing: Outgoing,
    database: "Database",
    updated: set[str] | None = None,
) -> None:
    """An instance is the row that a statement has given; `updated` has the names of what it changed in an old one."""
    _in_place.remember(instance, outgoing.columns)
    statement.take(instance, row)
    made = [
        column
        for column in instance._table.columns
        if column.is_database_made and column not in outgoing.columns
    ]
    if updated is None:
        _undoing.inserted(database, instance, made)
    instance._changed = None
    instance._origin = Origin(database, None)
    if updated is not None:
        _undoing.updated(database, instance, updated, None)


async def update_or_create(
    queryset: Any,
    database: "Database",
    lookups: dict[str, Any],
    defaults: dict[str, Any] | None,
    create_defaults: dict[str, Any] | None,
) -> tuple[Any, bool]:
    """See `Writing.update_or_create`."""
    model = queryset.model
    table: Table = model._table
    updated = _values(model, {}, defaults, "update_or_create()")
    created = _values(
        model, lookups, defaults if create_defaults is None else create_defaults, "update_or_create()"
    )
    check_assigned(model, database, lambda: assigned(table, updated) if updated else {})
    unique = unique_among(table, lookups)
    plain = all(SEPARATOR not in name for name in lookups) and not queryset._state.where
    covers = unique is not None and len(lookups) == len(_named(table, unique, lookups))
    if plain and covers and unique is not None and not _hooks.listens(model):
        instance = model(**created)
        check_written(instance, database)
        try:
            outgoing, _ = for_insert(instance)
        except ValidationError:
            pass  # no new row can be made of this; there may be an old one
        else:
            return await _in_one_statement(instance, outgoing, unique, updated, database)
    async with database.transaction():
        for _ in range(ATTEMPTS_MAX):
            found = queryset.using(database).filter(**lookups).select_for_update()
            row = await _on_primary(found, database)
            if row is not None:
                for name, value in updated.items():
                    setattr(row, name, value)
                await row.save(using=database)
                return row, False
            instance = model(**created)
            check_written(instance, database)
            if await insert_unless_there(instance, database):
                return instance, True
        instance = model(**created)
        await instance.save(force_insert=True, using=database)
        return instance, True


def _named(table: "Table", unique: "tuple[Column, ...]", lookups: dict[str, Any]) -> list[str]:
    """The lookups that are about these columns."""
    names: list[str] = []
    for name in lookups:
        relation = table.relations.get(name)
        columns = (
            relation.locals
            if relation is not None
            else table.primary_key
            if name == "pk"
            else (table.by_name[name],)
        )
        if set(columns) <= set(unique):
            names.append(name)
    return names


async def _in_one_statement(
    instance: Any,
    outgoing: Outgoing,
    unique: "tuple[Column, ...]",
    updated: dict[str, Any],
    database: "Database",
) -> tuple[Any, bool]:
    """INSERT … ON CONFLICT DO UPDATE: xmax is 0 in a row that nobody has locked or updated, a new one."""
    table: Table = instance._table
    changes = Outgoing(instance)
    held = {column: column.slot.__get__(instance) for column in outgoing.columns}
    for column, value in (assigned(table, updated) if updated else {}).items():
        changes.add(column, value)
    changes.raise_errors()
    for column, value in held.items():
        column.slot.__set__(instance, value)
    columns, sets = tuple(outgoing.columns), tuple(changes.columns)
    statement = remembered(
        (table, "upsert", columns, unique, sets), lambda: _upserting(table, columns, unique, sets)
    )
    every, values = [*outgoing.columns, *changes.columns], [*outgoing.values, *changes.values]
    row = await _sent(table, statement.sql, every, values, database)
    if row is None:
        raise ModelError(
            f"no {table.model.__name__} was inserted or updated: a trigger or rule has prevented it"
        )
    is_new = bool(row[-1])
    became(instance, statement, row, outgoing, database, None if is_new else {one.name for one in sets})
    _in_place.forget(instance, table.columns)
    return instance, is_new


def _upserting(
    table: "Table", columns: "tuple[Column, ...]", unique: "tuple[Column, ...]", sets: "tuple[Column, ...]"
) -> RowStatement:
    texts = [f"{quote_identifier(c.column)} = ${number}" for number, c in enumerate(sets, len(columns) + 1)]
    version = version_of(table)
    if version is not None and texts:
        name = quote_identifier(version.column)
        texts.append(f"{name} = {table_name(table)}.{name} + 1")
    if not texts:
        # Nothing is to be changed, but only a row that is updated is returned.
        name = quote_identifier(unique[0].column)
        texts.append(f"{name} = EXCLUDED.{name}")
    return giving(
        f"{insert_text(table, columns)} ON CONFLICT ({names_of(unique)}) DO UPDATE SET {', '.join(texts)}"
        f" RETURNING {names_of(table.columns)}, (xmax = 0)",
        table.columns,
    )
