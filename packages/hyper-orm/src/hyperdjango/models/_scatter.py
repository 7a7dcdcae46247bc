"""`scatter()`: one queryset over all shards of its model, and what becomes of the answers.

`_scatter_merge` puts rows into one order, `_scatter_aggregates` values together. Each shard is asked by a queryset
of its own, which is this one with `using(shard)`: so whatever a queryset does within a database, it does here.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from hyperdjango.database._running import innermost
from hyperdjango.database.resolver import NOT_BOUND, get_resolver
from hyperdjango.models import _changes, _order, _scatter_aggregates, _steps
from hyperdjango.models._nearest import nearest
from hyperdjango.models._nodes import Ref
from hyperdjango.models._routing import check_assigned
from hyperdjango.models._scatter_merge import Plan, limited, merged, merged_streams, plan_of
from hyperdjango.models._state import State, next_state
from hyperdjango.models.errors import FieldError, ModelError, PartialWrite

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models.expressions import Expression

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
CONCURRENCY: Final = 8
CHUNK: Final = 1000
ROWS_OF_GET: Final = 2

# What an application would try, and what to do instead.
_INSTEAD: Final = {
    "create": "a new row belongs to the shard of its key: create() without scatter()",
    "get_or_create": "no database sees to it that there is one row in all of them: give the key, without scatter()",
    "update_or_create": "no database sees to it that there is one row in all of them: give the key, without scatter()",
    "bulk_create": "a new row belongs to the shard of its key: bulk_create() for the instances of each",
    "bulk_update": "bulk_update() for the instances of each shard",
    "select_for_update": "locks of several databases wait for each other without end; lock the rows of one key",
    "page": "a page's cursor is of one database; slice an order_by()",
    "raw": "raw() of using(…) for each shard",
}


class Scattered(Generic[R_co]):
    """Rows of all shards of a model: `await`, `async for`, and the methods whose results are values."""

    __slots__ = ("_concurrency", "_queryset")

    def __init__(self, queryset: Any, concurrency: int) -> None:
        state: State = queryset._state
        model = state.model.__name__
        given: object = concurrency
        if type(given) is not int or given < 1:
            raise FieldError(f"scatter() of {model}: concurrency is an int from 1, not {given!r}")
        if queryset._using is not None:
            raise FieldError(
                f"scatter() of {model} asks all shards, and using() names one database; leave one out"
            )
        for is_there, what, instead in (
            (state.lock is not None, "select_for_update()", _INSTEAD["select_for_update"]),
            (bool(state.combined), "union() and its like", "one filter(), with Q(…) | Q(…) and so on"),
            (bool(state.ctes), "with_cte()", "a common table is of one database; read it first"),
        ):
            if is_there:
                raise FieldError(f"scatter() of {model}: not with {what}: {instead}")
        self._queryset = queryset
        self._concurrency = concurrency

    # Where

    def _shards(self, *, is_write: bool = False) -> "Sequence[Database] | None":
        """The shards; None where the model is not sharded, and one database has all rows.

        Raises:
            ModelError: A transaction is running which does not reach all of them.
        """
        model = self._queryset._state.model
        shards = get_resolver().shards(model, is_write=is_write)
        if shards is None or innermost() is None:
            return shards
        outside = [one for one in shards if one._current.get() is None]  # pyright: ignore[reportPrivateUsage]
        if outside:
            names = ", ".join(repr(one.alias) for one in outside)
            raise ModelError(
                f"scatter() of {model.__name__}: a transaction is running, and the shards {names} would be asked "
                "outside of it; end it before, or begin one on each shard"
            )
        return shards

    def _key(self, shards: "Sequence[Database]") -> "str | None":
        """The name of the column that says which shard a row is in."""
        model = self._queryset._state.model
        asked: list[str] = []

        def bound(field: str) -> object:
            asked.append(field)
            return NOT_BOUND

        get_resolver().check_shard(shards[0], model, bound)
        return model._table.column(asked[0]).name if asked else None

    def _check_groups(self, shards: "Sequence[Database]", what: str = "groups") -> None:
        """Refuse groups whose rows may be in several shards."""
        state: State = self._queryset._state
        nodes = state.group_by if state.is_grouped else [node for _, node in state.fields]
        key = self._key(shards)
        if not any(
            isinstance(one, Ref) and one.source is state.root and one.column.name == key for one in nodes
        ):
            raise FieldError(
                f"scatter() of {state.model.__name__}: rows of one of these {what} may be in several shards, unless "
                f"{key!r} is among values(); add it, or put them together from the rows"
            )

    def _on(self, shard: "Database", state: State, params: tuple[Any, ...]) -> Any:
        queryset = self._queryset._clone()
        queryset._state, queryset._params, queryset._using = state, params, shard
        return queryset

    async def _each(self, shards: "Sequence[Database]", ask: "Callable[[Database], Awaitable[T]]") -> list[T]:
        """Ask all shards, some at a time; the first failure cancels the others and names its shard."""
        limit = asyncio.Semaphore(self._concurrency)

        async def one(shard: "Database") -> T:
            async with limit:
                try:
                    return await ask(shard)
                except Exception as error:
                    error.add_note(self._note(shard))
                    raise

        tasks = [asyncio.ensure_future(one(shard)) for shard in shards]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task in done:
                    task.result()
            return [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _note(self, shard: "Database") -> str:
        return f"scatter() of {self._queryset._state.model.__name__}: in the shard {shard.alias!r}"

    # Rows

    def __await__(self) -> "Generator[Any, None, list[R_co]]":
        return self._fetch(self._queryset._state).__await__()

    async def _fetch(self, state: State, limit: int | None = None) -> "list[Any]":
        shards = self._shards()
        queryset = self._queryset
        if state.is_empty:
            return []
        if shards is None:
            whole = queryset._clone()
            whole._state = state
            return list(await (whole if limit is None else whole[:limit]))
        plan, start, count = self._plan(state, shards)
        if limit is not None:
            count = limit if count is None else min(count, limit)
        asked, params = self._asked(plan, start, count)
        lists = await self._each(shards, lambda shard: self._on(shard, asked, params)._fetch())
        rows = list(islice(merged(lists, plan), start, None if count is None else start + count))
        return [self._row(row, plan) for row in rows]

    def _plan(self, state: State, shards: "Sequence[Database]") -> tuple[Plan, int, int | None]:
        """What to ask, how many of the merged rows to leave out, and how many to take."""
        if state.is_grouped:
            self._check_groups(shards)
        params = self._queryset._params
        start = 0 if state.offset is None else params[state.offset]
        count = None if state.limit is None else params[state.limit]
        return plan_of(state), start, count

    def _asked(self, plan: Plan, start: int, count: int | None) -> tuple[State, tuple[Any, ...]]:
        params = self._queryset._params
        if count is None:
            return plan.state, params
        return limited(plan), (*params, start + count)

    def _row(self, row: Any, plan: Plan) -> Any:
        """A row as the queryset's mode has it, without the keys behind it."""
        state: State = self._queryset._state
        mode = state.mode
        if mode == "model":
            return row
        values = row[: plan.width]
        if mode == "flat":
            return values[0]
        names = tuple(name for name, _ in state.fields)
        if mode == "dict":
            return dict(zip(names, values, strict=True))
        if mode == "tuple":
            return values
        row_class = state.compiled.get("row")
        if row_class is None:
            made = _steps.named_row(state.model.__name__, names)
            row_class = state.compiled.setdefault("row", made)
        return row_class._make(values)

    async def __aiter__(self) -> "AsyncGenerator[R_co, None]":
        async with aclosing(self.iterator()) as rows:
            async for row in rows:
                yield row

    async def iterator(self, chunk: int = CHUNK) -> "AsyncGenerator[R_co, None]":
        """Yield the rows in order from a stream of each shard, `chunk` of each at a time, in little memory.

        Each shard gives a connection until the end; without an order, one shard after the other.

        Args:
            chunk: How many rows come at once from each.
        """
        shards = self._shards()
        state: State = self._queryset._state
        if state.is_empty:
            return
        if shards is None:
            async with aclosing(self._queryset.iterator(chunk)) as all_rows:
                async for row in all_rows:
                    yield row
            return
        plan, start, count = self._plan(state, shards)
        asked, params = self._asked(plan, start, count)
        streams = [self._noted(self._on(shard, asked, params).iterator(chunk), shard) for shard in shards]
        at = 0
        async with aclosing(merged_streams(streams, plan)) as rows:
            if count == 0:
                return
            async for row in rows:
                if at >= start:
                    yield self._row(row, plan)
                at += 1
                if count is not None and at >= start + count:
                    return

    async def _noted(
        self, rows: "AsyncGenerator[Any, None]", shard: "Database"
    ) -> "AsyncGenerator[Any, None]":
        async with aclosing(rows):
            try:
                async for row in rows:
                    yield row
            except Exception as error:
                error.add_note(self._note(shard))
                raise

    async def first(self) -> "R_co | None":
        """The first row or None; by the primary key where there is no order."""
        rows = await self._fetch(_order.primary_key_order(self._queryset._state), 1)
        return rows[0] if rows else None

    async def get(self, *args: Any, **lookups: Any) -> "R_co":
        """Return the one row that fits, in whichever shard.

        Raises:
            DoesNotExist: None fits.
            MultipleObjectsReturned: More than one fits.
        """
        found: Scattered[R_co] = self
        if args or lookups:
            found = Scattered(self._queryset.filter(*args, **lookups), self._concurrency)
        state: State = found._queryset._state
        if not state.is_sliced and not state.distinct:
            # Which two of several come first does not matter.
            state = next_state(state, "unordered", 0, lambda one, _: one.evolve(order=()))
        rows = await found._fetch(state, ROWS_OF_GET)
        model = self._queryset._state.model
        if not rows:
            raise model.DoesNotExist(f"no {model.__name__} fits, in any shard")
        if len(rows) > 1:
            raise model.MultipleObjectsReturned(
                f"more than one {model.__name__} fits, in all shards together"
            )
        return rows[0]  # type: ignore[no-any-return]  # of the queryset's rows

    # Values

    async def count(self) -> int:
        """How many rows there are in all shards."""
        shards = self._shards()
        queryset = self._queryset
        state: State = queryset._state
        if shards is None:
            return int(await queryset.count())
        if state.is_grouped or state.distinct or (state.distinct == () and state.mode != "model"):
            self._check_groups(shards, "groups" if state.is_grouped else "different rows")
        whole = _whole(state)
        counts = await self._each(shards, lambda shard: self._on(shard, whole, queryset._params).count())
        total: int = sum(counts)
        if state.offset is not None:
            total = max(0, total - int(queryset._params[state.offset]))
        if state.limit is not None:
            total = min(total, int(queryset._params[state.limit]))
        return total

    async def exists(self) -> bool:
        """Whether there is any row in any shard."""
        shards = self._shards()
        queryset = self._queryset
        state: State = queryset._state
        if shards is None:
            return bool(await queryset.exists())
        if state.is_sliced:
            return await self.count() > 0
        return any(await self._each(shards, lambda shard: self._on(shard, state, queryset._params).exists()))

    async def aggregate(self, *args: "Expression", **expressions: "Expression") -> dict[str, Any]:
        """Return values over the rows of all shards, of aggregates that are made of those of each.

        These are Count, Sum, Avg, Min, Max, BoolAnd, BoolOr, BitAnd, BitOr and BitXor.

        Raises:
            FieldError: Another one, or as `QuerySet.aggregate`.
        """
        shards = self._shards()
        queryset = self._queryset
        state: State = queryset._state
        if shards is None:
            return dict(await queryset.aggregate(*args, **expressions))
        if state.is_sliced or state.is_grouped or state.distinct is not None:
            raise FieldError(
                f"scatter() of {state.model.__name__}: aggregate() takes rows, not slices, groups or distinct()"
            )
        asked, parts = _scatter_aggregates.parts_of(queryset, _steps.with_names(args, expressions))
        if not asked:
            raise FieldError("aggregate() takes aggregates such as Count(…) or Sum(…)")
        rows = await self._each(
            shards, lambda shard: self._on(shard, state, queryset._params).aggregate(**asked)
        )
        return _scatter_aggregates.combined(rows, parts)

    # Changes

    async def update(self, **values: Any) -> Any:
        """Update the rows in all shards, by a statement in each. This is not one transaction.

        Where one shard fails, no other is begun, and those under way come to their end.

        Returns:
            How many rows there were; behind `returning()` the rows of all.
        Raises:
            PartialWrite: Some shards have changed rows and one has failed; it names them. Where none has, it is the
                shard's own error.
            FieldError: As `QuerySet.update`; a slice; or the value says that rows belong to other shards.
        """
        model = self._queryset._state.model
        _changes.update(self._queryset, values)  # what is wrong with it is said before anything is written
        for shard in self._shards(is_write=True) or ():
            check_assigned(model, shard, lambda: _changes.assigned(model._table, values))
        return await self._change("update()", lambda queryset: queryset.update(**values))

    async def delete(self) -> Any:
        """Delete the rows in all shards, by a statement in each. This is not one transaction; see `update`."""
        return await self._change("delete()", lambda queryset: queryset.delete())

    async def _change(self, method: str, change: "Callable[[Any], Awaitable[Any]]") -> Any:
        shards = self._shards(is_write=True)
        queryset = self._queryset
        state: State = queryset._state
        if shards is None:
            return await change(queryset)
        if state.is_sliced:
            raise FieldError(
                f"scatter() of {state.model.__name__}: {method} of a slice would be one of each shard; filter instead"
            )
        if state.distinct:
            raise FieldError(
                f"scatter() of {state.model.__name__}: {method} takes rows, not distinct() of them"
            )
        done, failed = await _written(
            shards, self._concurrency, lambda shard: change(self._on(shard, state, queryset._params))
        )
        for alias, error in failed.items():
            if not any(done.values()):
                error.add_note(f"scatter() of {state.model.__name__}: in the shard {alias!r}")
                raise error
            raise PartialWrite(f"scatter() of {state.model.__name__}: {method}", done, failed) from error
        results = list(done.values())
        if state.returning is None:
            return sum(results)
        return [row for rows in results for row in rows]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            from hyperdjango.models.queryset import QuerySet

            model = self._queryset._state.model.__name__
            if name in _INSTEAD:
                raise FieldError(f"scatter() of {model}: not with {name}(): {_INSTEAD[name]}")
            if not name.startswith("_") and hasattr(QuerySet, name):
                raise FieldError(f"scatter() of {model} comes last: {name}() before it, or not at all")
            known = [one for one in dir(type(self)) if not one.startswith("_")]
            raise AttributeError(f"scatter() has no {name!r}{nearest(name, known)}", name=name, obj=self)

        def __getitem__(self, item: object) -> NoReturn:
            raise TypeError("scatter() comes last: queryset[2:5].scatter()")

    def __repr__(self) -> str:
        return f"<all shards of {self._queryset._state.model.__name__}: await it>"


def _whole(state: State) -> State:
    if not state.is_sliced:
        return state
    return next_state(state, "unsliced", 0, lambda one, _: one.evolve(limit=None, offset=None))


async def _written(
    shards: "Sequence[Database]", concurrency: int, change: "Callable[[Database], Awaitable[Any]]"
) -> "tuple[dict[str, Any], dict[str, Exception]]":
    """Change one shard after another, some at a time, until one fails; whatever was begun comes to its end."""
    waiting = list(reversed(shards))
    done: dict[str, Any] = {}
    failed: dict[str, Exception] = {}

    async def worker() -> None:
        while waiting and not failed:
            shard = waiting.pop()
            try:
                done[str(shard.alias)] = await change(shard)
            except Exception as error:  # it is raised when the others are done
                failed[str(shard.alias)] = error

    tasks = [asyncio.ensure_future(worker()) for _ in range(min(concurrency, len(shards)))]
    try:
        await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {str(one.alias): done[str(one.alias)] for one in shards if str(one.alias) in done}, failed


__all__ = ["CONCURRENCY", "Scattered"]
