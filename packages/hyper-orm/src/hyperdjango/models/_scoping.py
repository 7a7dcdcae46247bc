"""`Meta.global_filters`: conditions that every queryset of a model begins with, and `unscoped()`, which drops them.

Saving, deleting and refreshing an instance goes by its key and does not ask them; nor do joins to the model.
"""

from typing import Any

from hyperdjango.models import _steps
from hyperdjango.models._nearest import nearest
from hyperdjango.models._shapes import Cursor, shape
from hyperdjango.models._state import State, adapted, next_state
from hyperdjango.models.errors import FieldError
from hyperdjango.models.query_words import Q, conditions


def scoped(state: State) -> tuple[State, tuple[Any, ...]]:
    """Return the State that a model's querysets begin from, and its values.

    Raises:
        FieldError: A filter is no Q, or names what the model does not have.
    """
    filters = state.model._table.global_filters
    state, params = _with_own_order(state)
    if not filters:
        return state, params
    for name, q in filters.items():
        if not isinstance(q, Q):
            raise FieldError(
                f"{state.model.__name__}.Meta.global_filters[{name!r}] is a Q, not {type(q).__name__}"
            )
        key, values = conditions((q,), {})
        state = next_state(state, ("global", name, key), len(values), _adding(name, q))
        params += adapted(state, values)
    return state, params


def _with_own_order(state: State) -> tuple[State, tuple[Any, ...]]:
    """The State with the values of Meta.ordering, where its expressions have any, in front of all others."""
    known: tuple[State, tuple[Any, ...]] | None = state.compiled.get("own order")
    if known is not None:
        return known
    made: tuple[State, tuple[Any, ...]] = state.compiled.setdefault("own order", _made_own_order(state))
    return made


def _made_own_order(state: State) -> tuple[State, tuple[Any, ...]]:
    ordering = state.model._table.ordering
    params: tuple[Any, ...] = sum((shape(key)[1] for key in ordering if not isinstance(key, str)), ())
    if not params:
        return state, ()
    new = next_state(
        state,
        "own order",
        len(params),
        lambda one, cursor: one.evolve(own_order=_steps.order_keys(one, ordering, cursor)),
    )
    return new, adapted(new, params)


def _adding(name: str, q: Q) -> Any:
    def build(state: State, cursor: Cursor) -> State:
        new = _steps.filtered(state, cursor, (q,), {}, negate=False)
        if len(new.where) != len(state.where) + 1:
            raise FieldError(f"{state.model.__name__}.Meta.global_filters[{name!r}] is no condition on a row")
        return new.evolve(scoped={**state.scoped, name: new.where[-1]})

    return build


def unscoped(state: State, names: tuple[str, ...]) -> State:
    """The State without the filters of these names; without any where there are no names.

    Raises:
        FieldError: The model has no filter of a name.
    """
    model = state.model
    for name in names:
        if name not in model._table.global_filters:
            known = model._table.global_filters
            raise FieldError(f"{model.__name__} has no global filter {name!r}{nearest(name, known)}")
    if state.combined:
        raise FieldError("unscoped() of querysets that are put together: say it of each of them before")
    dropped = [node for name, node in state.scoped.items() if not names or name in names]
    return state.evolve(
        where=tuple([node for node in state.where if not any(node is one for one in dropped)]),
        scoped={name: node for name, node in state.scoped.items() if names and name not in names},
    )
