"""What runs a queryset: awaiting it, and the methods whose results are values.

Django docs: ref/models/querysets, "Methods that do not return QuerySets".
"""

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, cast

from hyperdjango.database import DataError
from hyperdjango.database._native import native
from hyperdjango.models import _aggregation, _compile, _order, _steps
from hyperdjango.models._chain import Chain, M_co, R_co
from hyperdjango.models._prepared import Param
from hyperdjango.models._routing import one_server
from hyperdjango.models._row_statements import called
from hyperdjango.models._state import State, next_state
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models.expressions import Expression

CHUNK = 1000


class Awaiting(Chain[M_co, R_co]):
    """The part of QuerySet that does I/O."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, list[R_co]]:
        return self._fetch().__await__()

    async def _fetch(self) -> list[R_co]:
        statement = _compile.select(self._state)
        rows: list[Any] = await self._rows(statement, self._database(is_write=statement.locks))
        return rows

    def _is_write(self) -> bool:
        """Whether its SELECT must run on the primary."""
        return _compile.select(self._state).locks

    async def _rows(self, statement: _compile.Statement, database: "Database") -> list[Any]:
        """Run a compiled SELECT and return what its rows become."""
        values = statement.values(self._params)
        if self._prefetches:
            database = await one_server(database)
        try:
            rows: list[Any] = await database.query(
                statement.sql, *values, into=self._into(statement, database)
            )
        except DataError:
            self._check_prepared()
            raise
        return await self._finished(rows, statement, database)

    def _into(self, statement: _compile.Statement, database: "Database") -> Any:
        """What the driver makes of a row."""
        if statement.plan is not None:
            origins = tuple([native.Origin(database, self._fetch_mode) for _ in statement.plan.models])
            return statement.plan.hydrator.begin(origins)
        return dict if self._state.mode == "dict" else tuple

    async def __aiter__(self) -> AsyncIterator[R_co]:
        async for row in self.iterator():
            yield row

    async def iterator(self, chunk: int = CHUNK) -> AsyncIterator[R_co]:
        """Yield the rows through a portal, `chunk` at a time, in little memory.

        What prefetch_related() asked for is fetched once per chunk.
        """
        statement = _compile.select(self._state)
        database = self._database(is_write=statement.locks)
        if self._prefetches:
            database = await one_server(database)
        values = statement.values(self._params)
        into = self._into(statement, database)
        pending: list[Any] = []
        try:
            async for row in database.stream(statement.sql, *values, chunk=chunk, into=into):
                pending.append(row)
                if len(pending) == chunk:
                    for one in await self._finished(pending, statement, database):
                        yield one
                    pending = []
        except DataError:
            self._check_prepared()
            raise
        for one in await self._finished(pending, statement, database):
            yield one

    async def _finished(
        self, rows: list[Any], statement: _compile.Statement, database: "Database"
    ) -> list[Any]:
        """Make of the driver's rows what the mode says, and fetch what was asked for along with them."""
        mode = self._state.mode
        if mode == "model":
            if self._prefetches and rows:
                from hyperdjango.models._prefetch import prefetch

                await prefetch(rows, self._prefetches, database)
            return rows
        for position, converter in statement.converters:
            rows = _converted(rows, position, statement.names[position], converter, mode)
        if mode == "flat":
            return [row[0] for row in rows]
        if mode == "named":
            row_class = self._state.compiled.get("row")
            if row_class is None:
                named = _steps.named_row(self._state.model.__name__, statement.names)
                row_class = self._state.compiled.setdefault("row", named)
            return [row_class._make(row) for row in rows]
        return rows

    async def get(self, *args: Any, **lookups: Any) -> R_co:
        """Return the one row that fits.

        Raises:
            DoesNotExist: None fits: the model's own subclass of ObjectDoesNotExist.
            MultipleObjectsReturned: More than one fits.
            FieldError: As `filter`.
        """
        queryset = cast("Any", self)
        if args or lookups:
            queryset = queryset.filter(*args, **lookups)
        statement = _compile.select_some(queryset._state, _compile.ROWS_OF_GET)
        rows = await queryset._rows(statement, queryset._database(is_write=statement.locks))
        if len(rows) == 1:
            found: R_co = rows[0]
            return found
        model = self._state.model
        if not rows:
            raise model.DoesNotExist(f"no {model.__name__} fits {_said(args, lookups)}")
        raise model.MultipleObjectsReturned(f"more than one {model.__name__} fits {_said(args, lookups)}")

    async def get_or_none(self, *args: Any, **lookups: Any) -> R_co | None:
        """As get; None where no row fits."""
        try:
            return await self.get(*args, **lookups)
        except self._state.model.DoesNotExist:
            return None

    async def first(self) -> R_co | None:
        """The first row or None; by the primary key where there is no order."""
        return await self._one(_order.primary_key_order(self._state))

    async def last(self) -> R_co | None:
        """The last row or None; by the primary key where there is no order."""
        if self._state.is_sliced:
            raise FieldError("last() of a sliced queryset: reverse its order before, and use first()")
        state = _order.primary_key_order(self._state)
        return await self._one(
            next_state(state, "reverse", 0, lambda one, _: one.evolve(is_reversed=not one.is_reversed))
        )

    async def earliest(self, *names: "str | Expression") -> R_co:
        """The first row by these fields. Raises DoesNotExist where there is none."""
        return await self._at_end(names, is_last=False)

    async def latest(self, *names: "str | Expression") -> R_co:
        """The last row by these fields. Raises DoesNotExist where there is none."""
        return await self._at_end(names, is_last=True)

    async def _at_end(self, names: "tuple[str | Expression, ...]", *, is_last: bool) -> R_co:
        if not names:
            raise FieldError("earliest() and latest() take the names of fields")
        queryset = cast("Any", self).order_by(*names)
        row: R_co | None = await (queryset.reverse() if is_last else queryset).first()
        if row is None:
            model = self._state.model
            raise model.DoesNotExist(f"there is no {model.__name__}")
        return row

    async def _one(self, state: State) -> R_co | None:
        queryset = self._clone()
        queryset._state = state
        if state.limit is not None or state.combined:
            statement = _compile.select(state)
        else:
            statement = _compile.select_some(state, 1)
        rows = await queryset._rows(statement, queryset._database(is_write=statement.locks))
        return rows[0] if rows else None

    async def count(self) -> int:
        """How many rows there are."""
        statement = _compile.count(self._state)
        number: int = await self._value(statement)
        return number

    async def aggregate(self, *args: "Expression", **expressions: "Expression") -> dict[str, Any]:
        """Return values over all rows: `await Book.objects.aggregate(Avg("price"), n=Count("pk"))`.

        Returns:
            Name to value; an aggregate without a name is called as in Django, `price__avg`.
        Raises:
            FieldError: Something is no aggregate, or as `filter`.
        """
        named = _steps.with_names(args, expressions)
        key, params = _steps.named_shape(named)
        queryset = self._then(
            ("aggregate", key), params, lambda state, cursor: _aggregation.aggregated(state, cursor, named)
        )
        statement = _aggregation.aggregate(queryset._state)
        values = statement.values(queryset._params)
        database = self._database(is_write=statement.locks)
        try:
            row: dict[str, Any] | None = await database.query_one(statement.sql, *values)
        except DataError:
            self._check_prepared()
            raise
        assert row is not None
        rows: list[Any] = [row]
        for position, converter in statement.converters:
            rows = _converted(rows, position, statement.names[position], converter, "dict")
        found: dict[str, Any] = rows[0]
        return found

    async def exists(self) -> bool:
        """Whether there is any row."""
        statement = _compile.exists(self._state)
        return await self._value(statement) is not None

    async def _value(self, statement: _compile.Statement) -> Any:
        """Run a compiled SELECT of one value."""
        database = self._database(is_write=statement.locks)
        try:
            return await database.query_val(statement.sql, *statement.values(self._params))
        except DataError:
            self._check_prepared()
            raise

    def _check_prepared(self) -> None:
        """Say of a value that could not be sent that it is none: there is a place for one."""
        for value in self._params:
            if isinstance(value, Param):
                model = self._state.model.__name__
                raise FieldError(
                    f"{value!r} stands for a value in this queryset of {model}, which is not prepared: call prepare(), "
                    f"and await what that returns with {value.name}=…"
                ) from None

    async def contains(self, instance: "Model") -> bool:
        """Whether the row of an instance is among them."""
        if not isinstance(instance, self._state.model):
            raise FieldError(
                f"contains() of {self._state.model.__name__} takes an instance of it, not {type(instance).__name__}"
            )
        found: bool = await cast("Any", self).filter(pk=instance.pk).exists()
        return found

    async def in_bulk(self, keys: Any = None, *, field_name: str = "pk") -> dict[Any, M_co]:
        """Rows by a unique field: all, or those of these keys.

        Raises:
            FieldError: Rows may share a value of the field, or it is not fetched.
        """
        name = _steps.unique_name(self._state, field_name)
        queryset = cast("Any", self)
        if keys is not None:
            queryset = queryset.filter(**{f"{name}__in": list(keys)})
        return {getattr(row, name): row for row in await queryset}

    async def explain(self, **options: Any) -> Any:
        """The plan of the statement: options and result as `Database.explain`."""
        statement = _compile.select(self._state)
        database = self._database(is_write=statement.locks)
        return await database.explain(statement.sql, *statement.values(self._params), **options)


def _converted(rows: list[Any], position: int, name: str, converter: Any, mode: str) -> list[Any]:
    """Rows with one column's values turned into the annotated type; NULL stays None."""
    convert = called(converter)
    if mode == "dict":
        for row in rows:
            if row[name] is not None:
                row[name] = convert(row[name])
        return rows
    return [
        row if row[position] is None else (*row[:position], convert(row[position]), *row[position + 1 :])
        for row in rows
    ]


def _said(args: tuple[Any, ...], lookups: dict[str, Any]) -> str:
    """The conditions' names; values may be secret."""
    words = [f"{type(one).__name__}({', '.join(one.all_names())})" for one in args]
    words += [f"{name}=…" for name in lookups]
    return ", ".join(words) if words else "the queryset"


if TYPE_CHECKING:
    from hyperdjango.models.model import Model
