"""`raw()`: instances of a model from SQL of one's own, matched by the names of its columns. `_writing` calls it."""

from typing import TYPE_CHECKING, Any

from hyperdjango.database import _shape
from hyperdjango.database._native import native
from hyperdjango.models._nearest import nearest
from hyperdjango.models._row_statements import RowStatement, giving, remembered
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._meta import Column
    from hyperdjango.models.model import Model


async def raw(
    model: "type[Model]", sql: str, params: tuple[Any, ...], database: "Database", fetch_mode: Any
) -> list[Any]:
    """Run a statement and return its rows as instances; see `Writing.raw`."""
    request = await database._complete(sql, params, _shape.TUPLE, None, False, None, None)
    rows: list[tuple[Any, ...]] = request.result()
    if not rows:
        return []
    statement, places, extras = _matched(model, request.columns)
    origin = native.Origin(database, fetch_mode)
    instances: list[Any] = []
    for row in rows:
        instance: Any = model.__new__(model)
        statement.take(instance, [row[place] for place in places])
        if extras:
            instance._extra = {name: row[place] for place, name in extras}
        instance._origin = origin
        instances.append(instance)
    return instances


def _matched(
    model: "type[Model]", names: tuple[str, ...]
) -> tuple[RowStatement, list[int], list[tuple[int, str]]]:
    """Find the column of each name; what the model has no column for goes beside them."""
    table = model._table
    by_column = {column.column: column for column in table.columns}
    found: dict[Column, int] = {}
    extras: list[tuple[int, str]] = []
    for place, name in enumerate(names):
        column = by_column.get(name) or table.by_name.get(name)
        if column is None:
            extras.append((place, name))
        elif column in found:
            raise FieldError(f"raw() of {model.__name__}: the statement gives {name!r} twice")
        else:
            found[column] = place
    for column in table.primary_key:
        if column not in found:
            raise FieldError(
                f"raw() of {model.__name__}: the statement gives no {column.column!r}, by which an instance knows its "
                f"row{nearest(column.column, names)}"
            )
    columns = tuple(found)
    statement = remembered((table, "raw", columns), lambda: giving("", columns))
    return statement, list(found.values()), extras
