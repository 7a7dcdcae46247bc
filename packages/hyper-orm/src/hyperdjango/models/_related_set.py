"""What `author.books` and `book.tags` are on an instance: the loaded ones, and the way to the others."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from hyperdjango.models.errors import NotLoaded

if TYPE_CHECKING:
    from hyperdjango.models._meta import Relation

T = TypeVar("T")


class RelatedSet(Generic[T]):
    """The instances at the far end of a to-many relation of one instance.

    Length, iteration and indexing are of the loaded list, and never read from the database.
    """

    __slots__ = ("_instance", "_relation")

    def __init__(self, instance: Any, relation: "Relation") -> None:
        self._instance = instance
        self._relation = relation

    @property
    def is_loaded(self) -> bool:
        """Whether the list was fetched."""
        return self._get() is not None

    def _get(self) -> list[T] | None:
        try:
            loaded: list[T] | None = self._relation.slot.__get__(self._instance, type(self._instance))
        except AttributeError:
            return None
        return loaded

    def _loaded(self) -> list[T]:
        """Return the list.

        Raises:
            NotLoaded: It was not fetched.
        """
        loaded = self._get()
        if loaded is None:
            model, name = type(self._instance).__name__, self._relation.name
            raise NotLoaded(
                f"{model}.{name} is not loaded: use prefetch_related({name!r})"
                f" or `await {model.lower()}.load({name!r})`"
            )
        return loaded

    def __len__(self) -> int:
        return len(self._loaded())

    def __bool__(self) -> bool:
        return bool(self._loaded())

    def __iter__(self) -> Iterator[T]:
        return iter(self._loaded())

    def __contains__(self, instance: object) -> bool:
        return instance in self._loaded()

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._loaded()[index]

    def __repr__(self) -> str:
        loaded = self._get()
        model, name = type(self._instance).__name__, self._relation.name
        return f"<{model}.{name}: {'not loaded' if loaded is None else loaded!r}>"
