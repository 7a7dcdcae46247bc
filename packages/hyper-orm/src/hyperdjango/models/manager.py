"""`Book.objects`: where every query of a model begins."""

from typing import TYPE_CHECKING, Any, Self

from hyperdjango.models._chain import M_co, R_co
from hyperdjango.models._state import root_state
from hyperdjango.models.model import refuse_instance
from hyperdjango.models.queryset import QuerySet

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


class Manager(QuerySet[M_co, R_co]):
    """All rows of a model, as the queryset that other querysets begin from.

    A subclass with methods of its own may be set as `objects = BookManager()` in a model; its methods chain.
    Override `get_queryset` to begin from fewer rows.
    """

    __slots__ = ("_bound",)

    _bound: "tuple[type[Model], Any] | None"

    def __init__(self) -> None:
        # It has no model before it is asked for as an attribute of one.
        self._bound = None

    def __get__(self, instance: None, owner: "type[Model]") -> Self:
        """Return the manager of a model.

        Raises:
            ModelDeclarationError: The model is abstract.
            AttributeError: It was asked of an instance.
        """
        bound = self._bound
        if bound is None or bound[0] is not owner:
            refuse_instance(instance, owner)
            new = type(self).__new__(type(self))
            new._start(root_state(owner))
            new._bound = None
            self._bound = bound = (owner, new)
        elif instance is not None:
            refuse_instance(instance, owner)
        manager: Self = bound[1]
        return manager.get_queryset()

    def get_queryset(self) -> Self:
        """The rows that this manager begins from."""
        return self

    @classmethod
    def _of(cls, model: "type[Model]") -> "Manager[Any]":
        """The manager of a model that has declared none."""
        known = _managers.get(model)
        if known is None:
            known = _managers.setdefault(model, Manager().__get__(None, model))
        return known


_managers: "dict[type[Model], Manager[Any]]" = {}
