"""`Prefetch`, and `prefetch_related_objects` for instances that are at hand.

Django docs: ref/models/querysets, "Prefetch() objects"; ref/models/querysets, "prefetch_related_objects()".
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models.model import Model
    from hyperdjango.models.queryset import QuerySet


class Prefetch:
    """One lookup of `prefetch_related` with a queryset of one's own.

    Args:
        lookup: A relation; `__` goes on from there.
        queryset: Of the model at its end. A sliced one gives so many rows of each parent.
        to_attr: The attribute that takes what is fetched, as a list where the relation is to many; the relation's
            own then stays as it is.
    Raises:
        FieldError: The queryset is of another model, or gives no instances; raised by `prefetch_related`.
    """

    __slots__ = ("lookup", "queryset", "to_attr")

    def __init__(
        self, lookup: str, queryset: "QuerySet[Any, Any] | None" = None, to_attr: str | None = None
    ) -> None:
        self.lookup = lookup
        self.queryset = queryset
        self.to_attr = to_attr

    def __repr__(self) -> str:
        return f"Prefetch({self.lookup!r})"


async def prefetch_related_objects(instances: "Sequence[Model]", *lookups: str | Prefetch) -> None:
    """Fetch related rows of instances that are at hand; what is loaded already stays as it is.

    Args:
        instances: Of one model. They may come from several results.
        lookups: As for `prefetch_related`.
    Raises:
        FieldError: The instances are of several models, or a lookup does not fit.
    """
    from hyperdjango.models._loading import database_of
    from hyperdjango.models._prefetch import checked, prefetch
    from hyperdjango.models._routing import one_server
    from hyperdjango.models._state import root_state

    if not instances:
        return
    models = {type(instance) for instance in instances}
    if len(models) > 1:
        names = ", ".join(sorted(model.__name__ for model in models))
        raise FieldError(f"prefetch_related_objects() takes instances of one model, not of {names}")
    levels = checked(root_state(models.pop()), lookups)
    database = await one_server(database_of(instances[0]))
    await prefetch(list(instances), levels, database, is_partial=True)


__all__ = ["Prefetch", "prefetch_related_objects"]
