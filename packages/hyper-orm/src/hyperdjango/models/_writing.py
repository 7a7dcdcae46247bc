"""The part of QuerySet that writes: `create` and its like, `update`, `delete`, `bulk_create`, `raw`.

Django docs: ref/models/querysets, "Methods that do not return QuerySets".
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hyperdjango.database import DataError
from hyperdjango.models import _bulk_create, _bulk_update, _changes, _raw, _upsert
from hyperdjango.models._awaiting import Awaiting
from hyperdjango.models._bulk_create import BulkCreated
from hyperdjango.models._chain import M_co, R_co
from hyperdjango.models._routing import Own, check_assigned, database_of_many

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


class Writing(Awaiting[M_co, R_co]):
    """A base of QuerySet."""

    __slots__ = ()

    def _narrowed(self, lookups: dict[str, Any]) -> Any:
        """The rows that fit, as a queryset; `filter` is of a class above."""
        queryset: Any = self
        return queryset.filter(**lookups)

    async def create(self, **values: Any) -> M_co:
        """Make an instance and insert it.

        Args:
            values: As for the model's constructor.
        Raises:
            ValidationError, IntegrityError: As `save`.
        """
        instance = self.model(**values)
        using = self._using
        if isinstance(using, Own):
            using = using.database
        await instance.save(force_insert=True, using=using)
        return instance

    async def get_or_create(
        self, defaults: dict[str, Any] | None = None, **lookups: Any
    ) -> tuple[M_co, bool]:
        """Return the row that fits, or a new one; also where many ask at once, if the lookups name a unique constraint.

        Then it is INSERT … ON CONFLICT DO NOTHING, and a SELECT on the primary where that has inserted nothing;
        for a row that is there already, that takes a number from its identity's sequence. For other lookups, and
        for models with hooks, the SELECT comes first.

        Args:
            defaults: What a new row has besides the lookups; functions are called.
            lookups: As for `get`; a new row gets those without `__`.
        Returns:
            The instance, and whether it was created.
        Raises:
            MultipleObjectsReturned: More than one fits.
            IntegrityError: A row that does not fit the lookups is in the way.
        """
        found = self._narrowed(lookups)
        database = found._database(is_write=True)
        return await _upsert.get_or_create(self, found, database, lookups, defaults)

    async def update_or_create(
        self,
        defaults: dict[str, Any] | None = None,
        create_defaults: dict[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M_co, bool]:
        """Update the row that fits, or make a new one.

        One INSERT … ON CONFLICT DO UPDATE where the lookups are a unique constraint; else, and for models with
        hooks, SELECT … FOR UPDATE and the rest in a transaction.

        Args:
            defaults: What the row is to have; functions are called.
            create_defaults: What a new row has besides the lookups; `defaults` where not given.
            lookups: As for `get`; a new row gets those without `__`.
        Returns:
            The instance, and whether it was created.
        Raises:
            As `get_or_create`.
        """
        database = self._narrowed(lookups)._database(is_write=True)
        return await _upsert.update_or_create(self, database, lookups, defaults, create_defaults)

    async def bulk_create(
        self,
        objects: "Iterable[Model]",
        batch_size: int | None = None,
        *,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Sequence[str] | None = None,
        unique_fields: Sequence[str] | None = None,
    ) -> "BulkCreated[M_co]":
        """Insert many instances, all or none; keys and whatever else the database makes are set on them.

        No hooks are called, and no signals are sent.

        Args:
            objects: Instances of this model.
            batch_size: How many rows go in one statement; 10 000 where it is not given.
            ignore_conflicts: Leave out rows that are there already.
            update_conflicts: Update those.
            update_fields: What is updated then.
            unique_fields: What makes a row the same one then: a primary key or the fields of a unique constraint.
        Returns:
            A list of the instances as they were given, with `.inserted`: for each whether its row is a new one. What
            `ignore_conflicts` has left out stays an instance that is not in the database.
        Raises:
            ValidationError: Values are missing or wrong; they are named as `[position].field`.
            FieldError: An argument does not fit.
            IntegrityError: A row is there already, or breaks another constraint.
        """
        model = self._state.model
        conflict = _bulk_create.conflict_of(
            model._table,
            ignore=ignore_conflicts,
            update=update_conflicts,
            update_fields=update_fields,
            unique_fields=unique_fields,
        )
        instances = list(objects)
        database = database_of_many(model, self._using, instances, "bulk_create()")
        return await _bulk_create.bulk_create(model, database, instances, batch_size, conflict)

    async def bulk_update(
        self, objects: "Iterable[Model]", fields: Sequence[str], batch_size: int | None = None
    ) -> int:
        """Write some fields of many instances by one statement, all or none. Columns of any type.

        No hooks are called, and no signals are sent.

        Args:
            objects: Instances of this model, with keys.
            fields: Names of the fields that are written.
            batch_size: How many rows go in one statement; 10 000 where it is not given.
        Returns:
            How many rows there were.
        Raises:
            ValidationError: As `bulk_create`; an expression is refused, too: `update` calculates in the database.
            StaleObject: The version of a row has moved; nothing was written.
            FieldError: A name is not known, or an instance has no key.
        """
        model = self._state.model
        instances = list(objects)
        database = database_of_many(model, self._using, instances, "bulk_update()")
        return await _bulk_update.bulk_update(model, database, instances, fields, batch_size)

    async def update(self, **values: Any) -> Any:
        """Update all rows by one statement. No hooks are called, and no signals are sent.

        Args:
            values: Fields, with values, instances (for relations) or expressions: `price=F("price") * 2`.
        Returns:
            How many rows there were; behind `returning()` what that asks for.
        Raises:
            FieldError: A name is not known or cannot be written, or an expression does not fit.
            ValidationError: A value does not keep what the model declares.
        """
        change, params = _changes.update(self, values)
        database = self._database(is_write=True)
        model = self._state.model
        check_assigned(model, database, lambda: _changes.assigned(model._table, values))
        try:
            return await _changes.run(self, change, params, database)
        except DataError as error:
            fault = _changes.fault(self, change, values, params, error)
            if fault is error:
                raise
            raise fault from error

    async def delete(self) -> Any:
        """Delete all rows by one statement. The database does what foreign keys say about other rows.

        No hooks are called, and no signals are sent.

        Returns:
            How many rows of this table there were; behind `returning()` what that asks for.
        """
        change, params = _changes.delete(self)
        return await _changes.run(self, change, params, self._database(is_write=True))

    async def raw(self, sql: str, *params: Any, read_only: bool = False) -> list[M_co]:
        """Return the rows of a statement of one's own as instances, matched by the names of its columns.

        Columns that the model does not have become attributes; those of the model that are not there are not
        loaded.

        Args:
            sql: One statement with placeholders `$1` and so on. What the queryset filters does not matter.
            params: One value per placeholder.
            read_only: It may run on a replica.
        Raises:
            FieldError: The key is not among the columns, or one is there twice.
        """
        database = self._database(is_write=not read_only)
        return await _raw.raw(self._state.model, sql, params, database, self._fetch_mode)


__all__ = ["BulkCreated", "Writing"]
