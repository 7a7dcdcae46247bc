"""The queryset side of `author.books`: every method of a queryset that a related set has as well.

Each begins from the rows of one instance. What a manager of the application's adds is found by `__getattr__`.
"""

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._filtered_relation import FilteredRelation
    from hyperdjango.models.expressions import Expression
    from hyperdjango.models.model import Model
    from hyperdjango.models.query_words import Q
    from hyperdjango.models.queryset import QuerySet

M = TypeVar("M", bound="Model")


class RelatedRows(Generic[M]):
    """The part of RelatedSet that asks the database. Arguments and errors are those of QuerySet's methods."""

    __slots__ = ()

    def _queryset(self) -> "QuerySet[M]":
        raise NotImplementedError

    def all(self) -> "QuerySet[M]":
        """All of them, as a queryset."""
        return self._queryset()

    def none(self) -> "QuerySet[M]":
        """None of them."""
        return self._queryset().none()

    def using(self, database: "str | Database") -> "QuerySet[M]":
        """Those of another database."""
        return self._queryset().using(database)

    def filter(self, *args: "Q | Expression", **lookups: Any) -> "QuerySet[M]":
        """Those for which all conditions are true."""
        return self._queryset().filter(*args, **lookups)

    def exclude(self, *args: "Q | Expression", **lookups: Any) -> "QuerySet[M]":
        """Those for which the conditions are not all true."""
        return self._queryset().exclude(*args, **lookups)

    def annotate(
        self, *args: "Expression", **expressions: "Expression | Q | FilteredRelation"
    ) -> "QuerySet[M]":
        """Them, with more values."""
        return self._queryset().annotate(*args, **expressions)

    def alias(self, *args: "Expression", **expressions: "Expression | Q | FilteredRelation") -> "QuerySet[M]":
        """Them, with values for later calls."""
        return self._queryset().alias(*args, **expressions)

    def order_by(self, *keys: "str | Expression") -> "QuerySet[M]":
        """Them, in an order."""
        return self._queryset().order_by(*keys)

    def reverse(self) -> "QuerySet[M]":
        """Them, in the opposite order."""
        return self._queryset().reverse()

    def distinct(self, *names: str) -> "QuerySet[M]":
        """Only different ones."""
        return self._queryset().distinct(*names)

    def select_related(self, *names: str) -> "QuerySet[M]":
        """Them, with what relations to one lead to."""
        return self._queryset().select_related(*names)

    def prefetch_related(self, *lookups: Any) -> "QuerySet[M]":
        """Them, with what relations lead to."""
        return self._queryset().prefetch_related(*lookups)

    def defer(self, *names: str) -> "QuerySet[M]":
        """Them, without these columns."""
        return self._queryset().defer(*names)

    def only(self, *names: str) -> "QuerySet[M]":
        """Them, with these columns alone."""
        return self._queryset().only(*names)

    def values(
        self, *names: "str | Expression", **expressions: "Expression"
    ) -> "QuerySet[M, dict[str, Any]]":
        """Their values as dicts."""
        return self._queryset().values(*names, **expressions)

    @overload
    def values_list(
        self, *names: "str | Expression", flat: Literal[True], named: Literal[False] = ...
    ) -> "QuerySet[M, Any]": ...
    @overload
    def values_list(
        self, *names: "str | Expression", flat: Literal[False] = ..., named: bool = ...
    ) -> "QuerySet[M, tuple[Any, ...]]": ...
    def values_list(self, *names: "str | Expression", flat: bool = False, named: bool = False) -> Any:
        """Their values as tuples."""
        queryset: Any = self._queryset()
        return queryset.values_list(*names, flat=flat, named=named)

    def __await__(self) -> Generator[Any, None, list[M]]:
        return self._queryset().__await__()

    def __aiter__(self) -> AsyncIterator[M]:
        return self._queryset().__aiter__()

    async def get(self, *args: Any, **lookups: Any) -> M:
        """The one that fits."""
        return await self._queryset().get(*args, **lookups)

    async def get_or_none(self, *args: Any, **lookups: Any) -> M | None:
        """The one that fits, or None."""
        return await self._queryset().get_or_none(*args, **lookups)

    async def first(self) -> M | None:
        """The first, or None."""
        return await self._queryset().first()

    async def last(self) -> M | None:
        """The last, or None."""
        return await self._queryset().last()

    async def count(self) -> int:
        """How many there are."""
        return await self._queryset().count()

    async def exists(self) -> bool:
        """Whether there is any."""
        return await self._queryset().exists()

    async def aggregate(self, *args: "Expression", **expressions: "Expression") -> dict[str, Any]:
        """Values over all of them."""
        return await self._queryset().aggregate(*args, **expressions)

    async def update(self, **values: Any) -> int:
        """Update all of them by one statement."""
        changed: int = await self._queryset().update(**values)
        return changed

    async def delete(self) -> int:
        """Delete all of them by one statement."""
        deleted: int = await self._queryset().delete()
        return deleted

    # As a value in another query

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        return self._queryset()._shape()

    def resolve(self, scope: Any, cursor: Any) -> Any:
        """It as a subquery."""
        return self._queryset().resolve(scope, cursor)

    if not TYPE_CHECKING:  # checkers know the methods above

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            if name in {"bulk_create", "update_or_create"}:
                raise FieldError(
                    f"{name}() does not know whose rows these are: call it on the model's manager"
                )
            return getattr(self._queryset(), name)


__all__ = ["RelatedRows"]
