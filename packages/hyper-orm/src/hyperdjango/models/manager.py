"""`Book.objects`: where every query of a model begins."""

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from hyperdjango.models._chain import M_co, R_co
from hyperdjango.models._state import root_state
from hyperdjango.models.errors import ModelDeclarationError
from hyperdjango.models.queryset import QuerySet

if TYPE_CHECKING:
    from hyperdjango.models.model import Model

Owner = TypeVar("Owner", bound="Model")


class Manager(QuerySet[M_co, R_co]):
    """All rows of a model, as the queryset that other querysets begin from.

    A subclass with methods of its own may be set as `objects` in a model; its methods chain. Override
    `get_queryset` to begin from fewer rows.
    """

    __slots__ = ()

    def __init__(self, model: "type[Model] | None" = None) -> None:
        # A manager in a class body has no model yet; `bound` gives it one.
        if model is not None:
            super().__init__(model)

    def get_queryset(self) -> Self:
        """The rows that this manager begins from."""
        return self

    def bound(self, model: "type[Model]") -> Self:
        """A manager of the same class for a model."""
        new = type(self).__new__(type(self))
        new._start(root_state(model))
        return new.get_queryset()


class ManagerDescriptor(Generic[M_co]):
    """`objects` of a model that has declared none of its own."""

    def __get__(self, instance: "Model | None", owner: "type[Owner]") -> "Manager[Owner]":
        if instance is not None:
            raise AttributeError(f"the manager is {owner.__name__}.objects: of the class, not of an instance")
        if owner._table.is_abstract:
            raise ModelDeclarationError(f"{owner.__name__} is abstract: it has no table, and so no rows")
        manager: Any = owner._manager
        return manager  # type: ignore[no-any-return]  # one object per class
