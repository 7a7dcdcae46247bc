"""What `load` fetches, for which instances: a batch collects the calls of one turn of the event loop.

A batch is about one result, one relation (or the columns) and one transaction. It waits for the loop to come
round, so that tasks which ask for the same thing share one statement; those that come while it runs and are
covered by it wait with it. It runs in a task of its own: a caller that is cancelled takes nobody with it.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from hyperdjango.database._native import native
from hyperdjango.models._far_ends import held, keys_of, value_in
from hyperdjango.models._keyed import among
from hyperdjango.models._meta import UNSET, Column
from hyperdjango.models._prefetch import prefetch
from hyperdjango.models._prefetch_levels import Level, joined_levels
from hyperdjango.models._routing import one_server

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models.model import Model


class Part(NamedTuple):
    """Some of the names of a `load`: columns, or all that begin with one relation.

    Attributes:
        head: The relation's name; "" for columns.
        lookups: The names.
        columns: The columns.
        level: The relation, and what is below it.
    """

    head: str
    lookups: frozenset[str]
    columns: tuple[Column, ...] = ()
    level: Level | None = None


Batches = dict[tuple[Any, ...], "Batch"]
_batches: "WeakKeyDictionary[asyncio.AbstractEventLoop, Batches]" = WeakKeyDictionary()


class Batch:
    """The calls that one statement for each relation will answer."""

    def __init__(
        self, key: tuple[Any, ...], batches: Batches, part: Part, database: "Database", peers: Any
    ) -> None:
        self.part = part
        self.database = database
        self._key = key
        self._batches = batches
        self._peers = peers
        self._waiting: list[tuple[Model, asyncio.Future[None]]] = []
        self._covered: set[int] | None = None
        self._task = asyncio.create_task(self._run())

    def takes(self, part: Part, instance: "Model") -> bool:
        """Whether it can answer one more call."""
        if self._covered is None:
            return True
        return id(instance) in self._covered and part.lookups <= self.part.lookups

    def add(self, part: Part, instance: "Model") -> asyncio.Future[None]:
        """Return a future that is done when the instance has what it lacks."""
        if self._covered is None:
            self.part = _joined(self.part, part)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((instance, future))
        future.add_done_callback(self._left)
        return future

    def _left(self, future: asyncio.Future[None]) -> None:
        if future.cancelled() and all(one.cancelled() for _, one in self._waiting):
            self._task.cancel()

    async def _run(self) -> None:
        try:
            # Those that run in this turn of the loop may want the same.
            await asyncio.sleep(0)
            asked = [instance for instance, _ in self._waiting]
            instances = list({id(one): one for one in (*self._peers(), *asked)}.values())
            self._covered = {id(instance) for instance in instances}
            if self.part.level is None:
                await load_columns(instances, self.part.columns, self.database)
            else:
                await load_level(instances, self.part.level, await one_server(self.database))
        except asyncio.CancelledError:
            for _, future in self._waiting:
                future.cancel()
            raise
        except BaseException as error:
            for _, future in self._waiting:
                if not future.done():
                    future.set_exception(error)
        else:
            self._answer()
        finally:
            if self._batches.get(self._key) is self:
                del self._batches[self._key]

    def _answer(self) -> None:
        for instance, future in self._waiting:
            if future.done():
                continue
            if any(value_in(column, instance) is UNSET for column in self.part.columns):
                model = type(instance)
                future.set_exception(model.DoesNotExist(f"{instance!r} is not in the database any more"))
            else:
                future.set_result(None)


def _joined(one: Part, other: Part) -> Part:
    lookups = one.lookups | other.lookups
    if one.level is None or other.level is None:
        columns = tuple(dict.fromkeys((*one.columns, *other.columns)))
        return Part(one.head, lookups, columns)
    return Part(one.head, lookups, level=joined_levels((one.level,), other.level)[0])


def joining(part: Part, instance: "Model", database: "Database", *, with_peers: bool) -> asyncio.Future[None]:
    """Have an instance, and its peers, get what a part names."""
    batches = _batches.setdefault(asyncio.get_running_loop(), {})
    origin = instance._origin if with_peers else None
    # Inside a transaction it must run there, and what runs there is no answer to others.
    transaction = database._current.get()  # pyright: ignore[reportPrivateUsage]
    key = (origin, type(instance), part.head, database, transaction)
    batch = batches.get(key)
    if batch is None or not batch.takes(part, instance):
        batch = batches[key] = Batch(
            key, batches, part, database, origin.peers if origin is not None else tuple
        )
    return batch.add(part, instance)


async def load_level(instances: "list[Model]", level: Level, database: "Database") -> None:
    """Fetch a relation, and what is below it, for those of the instances that lack it."""
    columns = level.relation.locals
    lacking = [one for one in instances if held(one, level.relation) is UNSET]
    without = [one for one in lacking if one._origin is not None and _lacks(one, columns)]
    if without:
        await load_columns(without, columns, database)
        gone = {id(one) for one in without if _lacks(one, columns)}
        instances = [one for one in instances if id(one) not in gone]
    if instances:
        await prefetch(instances, (level,), database, is_partial=True)


def _lacks(instance: "Model", columns: Iterable[Column]) -> bool:
    return any(value_in(column, instance) is UNSET for column in columns)


async def load_columns(instances: "list[Model]", columns: tuple[Column, ...], database: "Database") -> None:
    """Fetch columns of those of the instances that lack any; rows that are gone are left as they are."""
    from hyperdjango.models.queryset import QuerySet

    lacking = [one for one in instances if _lacks(one, columns)]
    if not lacking:
        return
    model = type(lacking[0])
    primary = model._table.primary_key
    keys = keys_of(lacking, primary)
    plain: QuerySet[Any, Any] = QuerySet(model)
    queryset: Any = plain.unscoped().values_list(
        *[column.name for column in dict.fromkeys((*primary, *columns))]
    )
    rows = await among(queryset.using(database), primary, list(dict.fromkeys(keys)))
    width = len(primary)
    by_key = {row[0] if width == 1 else row[:width]: row[width:] for row in rows}
    others = [column for column in columns if column not in primary]
    for instance, key in zip(lacking, keys, strict=True):
        for column, value in zip(others, by_key.get(key, ()), strict=False):
            # What the application has set meanwhile is newer than the row.
            if value_in(column, instance) is UNSET:
                native.set_slot(instance, column.slot, value)


__all__ = ["Batch", "Part", "joining", "load_columns", "load_level"]
