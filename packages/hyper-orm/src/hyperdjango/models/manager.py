"""`Book.objects`: where every query of a model begins."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from hyperdjango.models._chain import M_co, R_co
from hyperdjango.models._state import root_state
from hyperdjango.models.errors import ModelDeclarationError
from hyperdjango.models.queryset import QuerySet

if TYPE_CHECKING:
    from hyperdjango.models.model import Model

Owner = TypeVar("Owner", bound="Model")


class ManagerDescriptor:
    """`objects` of a model that has declared none of its own; the base of those that are declared."""

    __slots__ = ()

    def __get__(self, instance: "Model | None", owner: "type[Owner]") -> "Manager[Owner]":
        """Return the manager of a model, one object per class.

        Raises:
            AttributeError: It was asked of an instance.
            ModelDeclarationError: The model is abstract.
        """
        _refuse(instance, owner)
        known = owner._managers.get(None)
        if known is None:
            known = owner._managers.setdefault(None, Manager(owner))
        manager: Any = known
        return manager  # type: ignore[no-any-return]  # one object per class


def _refuse(instance: object, owner: "type[Model]") -> None:
    if instance is not None:
        raise AttributeError(f"the manager is {owner.__name__}.objects: of the class, not of an instance")
    if owner._table.is_abstract:
        raise ModelDeclarationError(f"{owner.__name__} is abstract: it has no table, and so no rows")


class Manager(QuerySet[M_co, R_co], ManagerDescriptor):
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
        return new

    # A checker takes what a class declares for a kind of what its base declares, and keeps its class.
    def __get__(self, instance: "Model | None", owner: "type[Model]") -> Self:  # type: ignore[override]
        """Return the manager that a class body declares, bound to the class it is asked of."""
        _refuse(instance, owner)
        known = owner._managers.get(self)
        if known is None:
            known = owner._managers.setdefault(self, self.bound(owner))
        # Asked each time: what it begins from may depend on the time of day, or on who asks.
        manager: Any = known.get_queryset()
        return manager  # type: ignore[no-any-return]  # of our own class
