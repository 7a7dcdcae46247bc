"""Gives the targets of relations their way back: `related_name` of the forward side.

It happens as soon as both classes are declared, whichever comes first.
"""

from typing import TYPE_CHECKING

from hyperdjango.models._ends import found_target, resolve, where
from hyperdjango.models._meta import Relation
from hyperdjango.models._registry import registry
from hyperdjango.models.errors import FieldError, ModelDeclarationError
from hyperdjango.models.relations import LateSlot, Related, RelatedOne

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


def link_model(model: "type[Model]") -> None:
    """Link what a new model points at, and what was waiting for it.

    Raises:
        ModelDeclarationError: A related_name is taken by something else.
    """
    for relation in list(model._table.relations.values()):
        _link(relation)
    for other in registry:
        if other is not model:
            for relation in list(other._table.relations.values()):
                if not isinstance(relation.wanted, type):
                    _link(relation)


def _link(relation: Relation) -> None:
    name = relation.related_name
    if name is None or name == "+":
        return
    try:
        target = found_target(relation)
    except FieldError:
        return  # several have the name; the relation says so when it is used
    if target is None:
        return
    table = target._table
    if name in table.by_name:
        raise ModelDeclarationError(
            f"{where(relation)}: related_name={name!r} is a column of {target.__name__}; choose another"
        )
    taken = table.relations.get(name)
    if taken is None:
        _add(target, name, relation)
    elif not _is_way_back(taken, relation):
        raise ModelDeclarationError(
            f"{where(relation)}: related_name={name!r} is taken by {where(taken)} in {target.__name__}; choose another"
        )


def _is_way_back(taken: Relation, relation: Relation) -> bool:
    if taken.kind not in {"Related", "RelatedOne"}:
        return False
    back = found_target(taken)
    # A class that is declared again takes the place of its former self.
    return back is relation.model or (
        back is not None
        and (back.__module__, back.__qualname__) == (relation.model.__module__, relation.model.__qualname__)
    )


def _add(target: "type[Model]", name: str, forward: Relation) -> None:
    """Give the target a relation that its class body does not declare."""
    from hyperdjango.models.fields import FieldOptions

    if name in target.__dict__ or hasattr(target, name):
        raise ModelDeclarationError(
            f"{where(forward)}: related_name={name!r} is an attribute of {target.__name__}; choose another"
        )
    is_many = forward.is_many or not forward.is_unique
    relation = Relation(target, name, resolve)
    relation.kind = "Related" if is_many else "RelatedOne"
    relation.is_many = is_many
    relation.wanted = forward.model
    relation.field = FieldOptions()
    relation.slot = LateSlot(name)
    descriptor = Related() if is_many else RelatedOne()  # type: ignore[var-annotated]
    descriptor.relation = relation
    target._table.relations[name] = relation
    setattr(target, name, descriptor)
