"""`bulk_update`: the values of many instances by one UPDATE … FROM. `_writing` calls it.

Columns whose values cannot go as an array (arrays, domains) make it one UPDATE for each row, pipelined.
PostgreSQL docs: sql-update.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hyperdjango.database import DataError
from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models import _in_place, _undoing, _unnest
from hyperdjango.models import _row_statements as statements
from hyperdjango.models._bulk_create import BATCH, checked_instances
from hyperdjango.models._columnar import Gathered, gather
from hyperdjango.models._faults import fault_of
from hyperdjango.models._meta import UNSET, Column, Table
from hyperdjango.models._outgoing import writable
from hyperdjango.models.errors import FieldError, StaleObject

if TYPE_CHECKING:
    from hyperdjango.database import Database


async def bulk_update(
    model: Any, database: "Database", objects: Iterable[Any], fields: Sequence[str], batch_size: int | None
) -> int:
    """See `Writing.bulk_update`."""
    table: Table = model._table
    columns = tuple(writable(table, fields, f"bulk_update() of {model.__name__}"))
    if not columns:
        raise FieldError(f"bulk_update() of {model.__name__} takes the names of the fields that it writes")
    if batch_size is not None and batch_size < 1:
        raise FieldError(f"bulk_update(): batch_size is at least 1, not {batch_size}")
    instances = checked_instances(model, objects, "bulk_update()")
    if not instances:
        return 0
    keys = _keys(table, instances)
    gathered = Gathered(model, instances, range(len(instances)))
    lists = [gathered.checked(column, *gathered.values(column)) for column in columns]
    gathered.raise_errors()
    lists += keys
    size = batch_size or BATCH
    count = 0
    if len(instances) <= size and statements.version_of(table) is None:
        count = await _run(table, columns, lists, database)
    else:
        async with database.transaction():
            for start in range(0, len(instances), size):
                count += await _run(
                    table, columns, [values[start : start + size] for values in lists], database
                )
            _refuse_stale(table, count, len(instances))
    _written(table, instances, columns, database)
    return count


def _keys(table: Table, instances: list[Any]) -> list[list[Any]]:
    """The columns of the key, and the version where there is one."""
    name = table.model.__name__
    found: list[list[Any]] = []
    version = statements.version_of(table)
    for column in (*table.primary_key, *((version,) if version is not None else ())):
        values = gather(instances, column)
        for position, value in enumerate(values):
            if value is UNSET or value is None:
                raise FieldError(f"bulk_update() of {name}: [{position}] has no {column.name}; save it first")
        found.append(values)
    keys = found[: len(table.primary_key)]
    if len(set(zip(*keys, strict=True))) < len(instances):
        raise FieldError(f"bulk_update() of {name}: two of the instances are the same row")
    return found


async def _run(
    table: Table, columns: tuple[Column, ...], lists: list[list[Any]], database: "Database"
) -> int:
    try:
        return await _sent(table, columns, lists, database)
    except DataError as error:
        fault = fault_of(error, table, columns, lists)
        if fault is None:
            raise
        raise fault from error


async def _sent(
    table: Table, columns: tuple[Column, ...], lists: list[list[Any]], database: "Database"
) -> int:
    version = statements.version_of(table)
    every = (*columns, *table.primary_key, *((version,) if version is not None else ()))
    if _unnest.fits(every):
        sql = statements.remembered(
            (table, "bulk update", columns), lambda: statements.giving(_text(table, columns, every), ())
        ).sql
        return (await database.execute(sql, *lists)).rows
    statement = statements.update(table, columns, ())
    sent = [_unnest.by_row(column, values) for column, values in zip(every, lists, strict=True)]
    return (await database.execute_many(statement.sql, zip(*sent, strict=True))).rows


def _text(table: Table, columns: tuple[Column, ...], every: tuple[Column, ...]) -> str:
    names = [f"c{number}" for number in range(len(every))]
    sets = [
        f"{quote_identifier(column.column)} = {_unnest.selected(column, f'u.{name}')}"
        for column, name in zip(columns, names, strict=False)
    ]
    tests = [
        f"t.{quote_identifier(column.column)} = u.{name}"
        for column, name in zip(every[len(columns) :], names[len(columns) :], strict=True)
    ]
    version = statements.version_of(table)
    if version is not None:
        name = quote_identifier(version.column)
        sets.append(f"{name} = t.{name} + 1")
    return (
        f"UPDATE {statements.table_name(table)} AS t SET {', '.join(sets)}"
        f" FROM {_unnest.source(every, names)} WHERE {' AND '.join(tests)}"
    )


def _refuse_stale(table: Table, count: int, expected: int) -> None:
    """Where rows have versions, all are written or none."""
    if statements.version_of(table) is not None and count < expected:
        raise StaleObject(
            f"bulk_update() of {table.model.__name__}: {expected - count} of {expected} rows were written or deleted "
            "by somebody else; nothing was written"
        )


def _written(table: Table, instances: list[Any], columns: tuple[Column, ...], database: "Database") -> None:
    names = {column.name for column in columns}
    names.update(column.relation.name for column in columns if column.relation is not None)
    version = statements.version_of(table)
    for instance in instances:
        before = None if version is None else (version, version.slot.__get__(instance))
        _undoing.updated(database, instance, {column.name for column in columns}, before)
        if instance._changed:
            instance._changed = instance._changed - names or None
        _in_place.remember(instance, columns)
        if version is not None:
            version.slot.__set__(instance, version.slot.__get__(instance) + 1)
