"""`Book.objects.loader("author_id", many=True)`: a DataLoader whose batch is one statement with a stable text.

hyper-dataloader is not needed by anything else here, and is looked for when a loader is asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hyperdjango.database import DataError
from hyperdjango.database.resolver import get_resolver
from hyperdjango.models._far_ends import folded
from hyperdjango.models._faults import is_text_for_another
from hyperdjango.models._keyed import arrays_of, keyed
from hyperdjango.models._prefetch import grouped
from hyperdjango.models.errors import FieldError, ModelError

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._meta import Column

Batch = Callable[[Sequence[Any]], Awaitable[list[Any]]]


def loader(queryset: Any, field: str, options: dict[str, Any], *, many: bool) -> Any:
    """Return a DataLoader; see `QuerySet.loader`."""
    batch = batch_of(queryset, field, many=many)
    try:
        class_: Any = import_module("hyperdjango.dataloader").DataLoader
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"{queryset._state.model.__name__}.objects.loader() needs the package hyper-dataloader: "
            "pip install hyper-dataloader"
        ) from error
    return class_(batch, **{"name": f"{queryset._state.model.__name__}.{field}", **options})


def batch_of(queryset: Any, field: str, *, many: bool) -> Batch:
    """Return a function of keys: what the rows with these keys are, in the order of the keys.

    Of a key it is an instance or None; with `many` a list. It is an exception, not raised, where one row was
    expected and there are several, or where a key is no value of the field's type. In a transaction it runs there.

    Args:
        queryset: The rows to choose from. A sliced one gives so many rows for each key.
        field: The column of the keys.
        many: Whether several rows may have the same key.
    Raises:
        FieldError: The field is none, or the queryset gives no instances.
    """
    state = queryset._state
    model = state.model
    if state.mode != "model" or state.combined:
        raise FieldError(
            f"loader() of {model.__name__} needs a queryset of instances: no values(), no union()"
        )
    column: Column = model._table.column(field)

    async def batch(keys: Sequence[Any]) -> list[Any]:
        # The server would refuse the whole statement for one such text.
        wrong = [_is_unfit(column, key) for key in keys]
        if not any(wrong):
            return await sent(keys)
        right = iter(await sent([key for key, is_wrong in zip(keys, wrong, strict=True) if not is_wrong]))
        return [_unfit(model, column) if is_wrong else next(right) for is_wrong in wrong]

    async def sent(keys: Sequence[Any]) -> list[Any]:
        try:
            return await fetched(keys)
        except DataError as error:
            if error.sqlstate is not None:
                raise  # the server's, which may have ended the transaction
            if len(keys) == 1:
                return [error]
        # A value that is none of the column's type was found before anything was sent.
        middle = len(keys) // 2
        return [*await sent(keys[:middle]), *await sent(keys[middle:])]

    async def fetched(keys: Sequence[Any]) -> list[Any]:
        wanted = [key for key in dict.fromkeys(keys) if key is not None]
        groups: dict[Any, list[Any]] = {}
        rows: list[Any] = []
        if wanted:
            ask = keyed(state, (column,))

            def of(some: list[Any]) -> Any:
                new = queryset._clone()
                new._state = ask.state
                new._params = queryset._params + arrays_of(some, 1)
                return new

            async def rows_of(some: list[Any], database: "Database") -> list[Any]:
                found: list[Any] = await of(some)._rows(ask.statement, database)
                return found

            parts = _by_shard(model, wanted, of, is_write=ask.statement.locks)
            found_rows = await asyncio.gather(*[rows_of(*part) for part in parts], return_exceptions=True)
            for part in found_rows:
                if isinstance(part, BaseException):
                    raise part
                rows += part
                groups.update(grouped(part, (column,), is_beside=ask.is_beside))
        found = [groups.get(key, ()) for key in folded(list(keys), (column,))]
        given = [list(group) if many else _only(model, column, group) for group in found]
        if sum(map(len, found)) < len(rows):
            # The server has other rules of equality: "3" is 3 to it, and its rows would be lost without a word.
            given = [
                _foreign(model, column, key) if not group and key is not None else one
                for key, group, one in zip(keys, found, given, strict=True)
            ]
        return given

    return batch


def _by_shard(
    model: Any, keys: list[Any], of: "Callable[[list[Any]], Any]", *, is_write: bool
) -> "list[tuple[list[Any], Database]]":
    """The keys of each statement and where it goes: one for all, or one for each shard that they say."""
    if get_resolver().shards(model, is_write=is_write) is None:
        return [(keys, of(keys)._database(is_write=is_write))]
    parts: dict[int, tuple[list[Any], Database]] = {}
    for key in keys:
        database = of([key])._database(is_write=is_write)
        parts.setdefault(id(database), ([], database))[0].append(key)
    return list(parts.values())


def _only(model: Any, column: "Column", rows: Sequence[Any]) -> Any:
    if len(rows) > 1:
        return model.MultipleObjectsReturned(
            f"several {model.__name__} have the same {column.name}: loader({column.name!r}, many=True)"
        )
    return rows[0] if rows else None


def _is_unfit(column: "Column", key: Any) -> bool:
    if not isinstance(key, str):
        return False  # the driver looks at it before anything is sent
    type_ = column.type
    if type_.enum is not None:
        return key not in {member.value for member in type_.enum}
    return type_.python is not object and is_text_for_another(column, key)


def _unfit(model: Any, column: "Column") -> DataError:
    return DataError(
        f"loader({column.name!r}) of {model.__name__}: the key is a str that says no {column.type.sql}"
    )


def _foreign(model: Any, column: "Column", key: Any) -> FieldError:
    return FieldError(
        f"loader({column.name!r}) of {model.__name__}: rows were found, but their {column.name} equals no key of "
        f"type {type(key).__name__} that was asked for; ask with values as the instances have them"
    )


__all__ = ["batch_of", "loader"]
