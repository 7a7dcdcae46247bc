"""What `author.books` and `book.tags` are on an instance: the loaded ones, the way to the others, and to change them.

Django docs: ref/models/relations, "Related objects reference".
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

from hyperdjango.models import _related_writes as writes
from hyperdjango.models._keyed import of_one
from hyperdjango.models._related_rows import M, RelatedRows
from hyperdjango.models.errors import NotLoaded

if TYPE_CHECKING:
    from hyperdjango.models._meta import Relation
    from hyperdjango.models.queryset import QuerySet


class RelatedSet(RelatedRows[M]):
    """The instances at the far end of a to-many relation of one instance.

    Length, iteration and indexing are of the loaded list, and never read from the database; `await` and the
    methods of querysets do, and leave the loaded list as it is. Changes are made there as well.
    """

    __slots__ = ("_instance", "_relation")

    def __init__(self, instance: Any, relation: "Relation") -> None:
        self._instance = instance
        self._relation = relation

    @property
    def is_loaded(self) -> bool:
        """Whether the list was fetched."""
        return writes.loaded(self._instance, self._relation) is not None

    def _loaded(self) -> list[M]:
        """Return the list.

        Raises:
            NotLoaded: It was not fetched.
        """
        loaded: list[M] | None = writes.loaded(self._instance, self._relation)
        if loaded is None:
            model, name = type(self._instance).__name__, self._relation.name
            raise NotLoaded(
                f"{model}.{name} is not loaded: use prefetch_related({name!r})"
                f" or `await {model.lower()}.load({name!r})`"
            )
        return loaded

    def _queryset(self) -> "QuerySet[M]":
        from hyperdjango.models._far_ends import keys_of
        from hyperdjango.models._routing import own_at, own_of

        relation, instance = self._relation, self._instance
        key = keys_of([instance], relation.locals)[0]
        queryset: Any = relation.target.objects.all()
        queryset._state = of_one(queryset._state, relation)
        queryset._params += (key,) if len(relation.locals) == 1 else key
        if queryset._using is None:
            queryset._using = own_at(relation, own_of(instance))
        return queryset  # type: ignore[no-any-return]  # of the target, which M is

    async def create(self, **values: Any) -> M:
        """Make an instance that belongs to this one, and insert it.

        Args:
            values: As for the target's constructor, without the way back.
        Raises:
            FieldError: The way back is given.
            ValidationError, IntegrityError: As `save`.
        """
        made: M = await writes.create(self._instance, self._relation, values)
        return made

    async def get_or_create(self, defaults: dict[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """Return the one that fits, or a new one that belongs to this instance; see `QuerySet.get_or_create`."""
        found: tuple[M, bool] = await writes.get_or_create(self._instance, self._relation, defaults, lookups)
        return found

    async def add(self, *objects: Any, through_defaults: dict[str, Any] | None = None) -> None:
        """Have instances belong to this one; those that do already stay as they are.

        Args:
            objects: Saved instances of the target. Of a many-to-many relation also their keys.
            through_defaults: What else new rows of the table between have.
        Raises:
            FieldError: An object is of another model or not saved, or a name is not the table's.
            IntegrityError: There is no such row.
        """
        await writes.add(self._instance, self._relation, objects, through_defaults)

    async def remove(self, *objects: Any) -> None:
        """Have instances belong to this one no more; those that do not are left alone.

        Raises:
            FieldError: The way back is never NULL, so they cannot be without; or as `add`.
        """
        await writes.remove(self._instance, self._relation, objects)

    async def clear(self) -> None:
        """Have none belong to this one. Errors as `remove`."""
        await writes.clear(self._instance, self._relation)

    async def set(self, objects: Iterable[Any], *, through_defaults: dict[str, Any] | None = None) -> None:
        """Have exactly these belong to this one, in one transaction. Arguments and errors as `add` and `remove`."""
        await writes.replace(self._instance, self._relation, tuple(objects), through_defaults)

    def __len__(self) -> int:
        return len(self._loaded())

    def __bool__(self) -> bool:
        return bool(self._loaded())

    def __iter__(self) -> Iterator[M]:
        return iter(self._loaded())

    def __contains__(self, instance: object) -> bool:
        return instance in self._loaded()

    @overload
    def __getitem__(self, index: int) -> M: ...
    @overload
    def __getitem__(self, index: "slice[Any, Any, Any]") -> list[M]: ...
    def __getitem__(self, index: "int | slice[Any, Any, Any]") -> M | list[M]:
        return self._loaded()[index]

    def __repr__(self) -> str:
        loaded = writes.loaded(self._instance, self._relation)
        model, name = type(self._instance).__name__, self._relation.name
        return f"<{model}.{name}: {'not loaded' if loaded is None else loaded!r}>"


__all__ = ["RelatedSet"]
