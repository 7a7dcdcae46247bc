"""`bulk_create`: many instances by few statements. `_writing` calls it.

Rows go as one array per column, and what the database makes comes back in their order: INSERT … SELECT inserts in
the order of its SELECT. Where a column's values cannot go as an array (arrays, domains), the statement is run once
for each row, pipelined. Many rows of which the database makes nothing but the key go by COPY. No hooks and no signals,
as in Django.
PostgreSQL docs: sql-insert.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from hyperdjango.database import DataError
from hyperdjango.database._native import native
from hyperdjango.models import _bulk_copy, _in_place, _undoing, _unnest
from hyperdjango.models._bulk_texts import Conflict, Insertion, insertion
from hyperdjango.models._columnar import Gathered
from hyperdjango.models._faults import fault_of
from hyperdjango.models._meta import UNSET, Column, Table
from hyperdjango.models._origin import Origin
from hyperdjango.models._outgoing import writable
from hyperdjango.models._routing import check_held
from hyperdjango.models.errors import FieldError, ModelError

if TYPE_CHECKING:
    from hyperdjango.database import Database

BATCH: Final = 10_000


T = TypeVar("T")


class BulkCreated(list[T]):
    """The instances, in the order in which they were given.

    Attributes:
        inserted: For each whether its row is a new one. False: there was one already, which `ignore_conflicts` has
            left as it was, and `update_conflicts` has updated.
    """

    inserted: list[bool]


class _Batch(NamedTuple):
    """Rows of one shape.

    Attributes:
        columns: Which are written.
        made: Which the database makes.
        values: For each column what is written.
        instances: Them.
        positions: Where each stood in the list that the application gave.
    """

    columns: tuple[Column, ...]
    made: tuple[Column, ...]
    values: list[list[Any]]
    instances: list[Any]
    positions: Sequence[int]


def conflict_of(
    table: Table,
    *,
    ignore: bool,
    update: bool,
    update_fields: Sequence[str] | None,
    unique_fields: Sequence[str] | None,
) -> Conflict:
    """Read the arguments about conflicts.

    Raises:
        FieldError: They do not fit together, or a name is not known.
    """
    where = f"bulk_create() of {table.model.__name__}"
    if ignore and update:
        raise FieldError(f"{where}: ignore_conflicts and update_conflicts exclude each other")
    if not update:
        if update_fields or unique_fields:
            raise FieldError(f"{where}: update_fields and unique_fields are for update_conflicts=True")
        return Conflict("ignore" if ignore else "", (), ())
    if not update_fields or not unique_fields:
        raise FieldError(f"{where}: update_conflicts=True needs update_fields and unique_fields")
    unique: dict[Column, None] = {}
    for name in unique_fields:
        relation = table.relations.get(name)
        found = (
            table.primary_key
            if name == "pk"
            else relation.locals
            if relation is not None
            else (table.column(name),)
        )
        unique.update(dict.fromkeys(found))
    return Conflict("update", tuple(unique), tuple(writable(table, update_fields, f"{where}, update_fields")))


async def bulk_create(
    model: Any, database: "Database", objects: Iterable[Any], batch_size: int | None, conflict: Conflict
) -> BulkCreated[Any]:
    """See `Writing.bulk_create`."""
    table: Table = model._table
    instances = checked_instances(model, objects, "bulk_create()")
    if batch_size is not None and batch_size < 1:
        raise FieldError(f"bulk_create(): batch_size is at least 1, not {batch_size}")
    created: BulkCreated[Any] = BulkCreated(instances)
    created.inserted = [False] * len(instances)
    if not instances:
        return created
    if database.alias is not None:
        for instance in instances:
            check_held(instance, database)
    batches = _batches(table, instances, range(len(instances)))
    size = batch_size or BATCH
    pieces = [piece for batch in batches for piece in _pieces(batch, size)]
    changed = [instance._changed for instance in instances]
    for instance in instances:
        instance._changed = None
    try:
        if len(pieces) == 1:
            results = [await _run(table, pieces[0], conflict, database)]
        else:
            async with database.transaction():
                results = [await _run(table, piece, conflict, database) for piece in pieces]
    except BaseException:
        for instance, names in zip(instances, changed, strict=True):
            instance._changed = (names or set()) | (instance._changed or set()) or None
        raise
    origin = Origin(database, None)
    for piece, (text, rows) in zip(pieces, results, strict=True):
        _take(table, piece, text, rows, created, origin)
    return created


def checked_instances(model: Any, objects: Iterable[Any], method: str) -> list[Any]:
    """Return the instances as a list.

    Raises:
        FieldError: One is not of the model, or is there twice.
    """
    instances = list(objects)
    if set(map(type, instances)) - {model}:
        wrong = next(one for one in instances if type(one) is not model)
        raise FieldError(f"{method} of {model.__name__} takes instances of it, not {type(wrong).__name__}")
    if len(set(map(id, instances))) < len(instances):
        raise FieldError(f"{method} of {model.__name__}: an instance is in the list twice")
    return instances


def _batches(table: Table, instances: list[Any], positions: Sequence[int]) -> list[_Batch]:
    """Gather and check all values. Instances that differ in what the database has to make come apart."""
    gathered = Gathered(table.model, instances, positions)
    columns: list[Column] = []
    made: list[Column] = []
    lists: list[list[Any]] = []
    for column in table.columns:
        if column.generated is not None:
            made.append(column)
            continue
        values, kinds = gathered.values(column)
        if column.is_database_made:
            absent = _absent(column, values, kinds)
            if absent is None:
                made.append(column)
                continue
            if absent:
                return _apart(table, instances, positions, absent)
        lists.append(gathered.checked(column, values, kinds))
        columns.append(column)
    gathered.raise_errors()
    return [_Batch(tuple(columns), tuple(made), lists, instances, positions)]


def _absent(column: Column, values: list[Any], kinds: set[type]) -> set[int] | None:
    """Where a column that the database can make has no value; None: nowhere has it one."""
    empty: tuple[Any, ...] = (UNSET,) if column.is_nullable else (UNSET, None)
    classes = set(map(type, empty))
    if kinds <= classes:
        return None
    if not kinds & classes:
        return set()
    return {position for position, value in enumerate(values) if type(value) in classes}


def _apart(
    table: Table, instances: Sequence[Any], positions: Sequence[int], absent: set[int]
) -> list[_Batch]:
    batches: list[_Batch] = []
    for is_absent in (False, True):
        chosen = [place for place in range(len(instances)) if (place in absent) is is_absent]
        batches += _batches(
            table, [instances[place] for place in chosen], [positions[place] for place in chosen]
        )
    return batches


def _pieces(batch: _Batch, size: int) -> list[_Batch]:
    count = len(batch.instances)
    if count <= size:
        return [batch]
    return [
        batch._replace(
            values=[values[start : start + size] for values in batch.values],
            instances=batch.instances[start : start + size],
            positions=batch.positions[start : start + size],
        )
        for start in range(0, count, size)
    ]


async def _run(
    table: Table, batch: _Batch, conflict: Conflict, database: "Database"
) -> tuple[Insertion, list[tuple[Any, ...]]]:
    try:
        return await _sent(table, batch, conflict, database)
    except DataError as error:
        fault = fault_of(error, table, batch.columns, batch.values)
        if fault is None:
            raise
        raise fault from error


async def _sent(
    table: Table, batch: _Batch, conflict: Conflict, database: "Database"
) -> tuple[Insertion, list[tuple[Any, ...]]]:
    text = insertion(table, batch.columns, batch.made, conflict)
    rows: list[tuple[Any, ...]]
    count = len(batch.instances)
    key = _bulk_copy.key_to_take(table, batch.made)
    if (
        not conflict.way
        and count >= _bulk_copy.ROWS_MIN
        and batch.columns
        and (key is not None or not batch.made)
    ):
        numbers = await _bulk_copy.copied(table, batch.columns, batch.values, key, count, database)
        if numbers is not None:
            return text, list(zip(numbers))
    if text.is_by_row:
        lists = [
            _unnest.by_row(column, values) for column, values in zip(batch.columns, batch.values, strict=True)
        ]
        sets: Any = zip(*lists, strict=True) if lists else [()] * len(batch.instances)
        if not text.gives:
            await database.execute_many(text.sql, sets)
            return text, []
        rows = await database.execute_many(text.sql, sets, returning=True, into=tuple)
    elif text.gives:
        rows = await database.query(text.sql, *batch.values, *text.constants, into=tuple)
    else:
        await database.execute(text.sql, *batch.values)
        return text, []
    if not text.is_numbered and len(rows) != len(batch.instances):
        raise ModelError(
            f"bulk_create() of {table.model.__name__}: {len(batch.instances)} rows were sent and {len(rows)} came "
            "back; a trigger or rule has prevented some, and the others cannot be told apart"
        )
    return text, rows


def _take(
    table: Table,
    batch: _Batch,
    text: Insertion,
    rows: list[tuple[Any, ...]],
    created: BulkCreated[Any],
    origin: Any,
) -> None:
    """Give the instances what the database has made."""
    instances: Sequence[Any] = batch.instances
    positions: list[int] = list(batch.positions)
    new: Sequence[bool] | None = None
    if text.is_numbered:
        places = [row[-1] - 1 for row in rows]
        instances = [instances[place] for place in places]
        positions = [positions[place] for place in places]
    elif text.says_inserted:
        new = [bool(row[-1]) for row in rows]
        if text.skips:
            # A row that was in the way is none of ours.
            there = [place for place, is_new in enumerate(new) if is_new]
            instances, rows = [instances[place] for place in there], [rows[place] for place in there]
            positions, new = [positions[place] for place in there], None
    if text.statement.slots:
        _fill(text, instances, rows)
    for place, position in enumerate(positions):
        created.inserted[position] = True if new is None else new[place]
    _undoing.inserted_many(origin.database, list(instances), batch.made)
    is_mutable = _in_place.SLOT in table.model.__dict__
    for instance in instances:
        instance._origin = origin
        if is_mutable:
            _in_place.remember(instance, batch.columns)


def _fill(text: Insertion, instances: Sequence[Any], rows: list[tuple[Any, ...]]) -> None:
    slots = text.statement.slots
    if text.statement.converters or (rows and len(rows[0]) != len(slots)):
        for instance, row in zip(instances, rows, strict=True):
            text.statement.take(instance, row)
        return
    fill = native.fill
    for instance, row in zip(instances, rows, strict=True):
        fill(instance, slots, row)
