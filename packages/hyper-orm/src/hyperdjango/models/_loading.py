"""`await book.load("author", "title")`: fetches what an instance lacks, for all of its result at once.

Attribute access never does I/O; this is the way to what was left out. `Model` has the method from here.
"""

import asyncio
from enum import StrEnum
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database.resolver import database_for
from hyperdjango.models._bound import bound_in_row
from hyperdjango.models._far_ends import held, reached, value_in
from hyperdjango.models._meta import UNSET, Column
from hyperdjango.models._nearest import nearest
from hyperdjango.models._peers import Part, joining
from hyperdjango.models._prefetch_levels import Level, checked
from hyperdjango.models._routing import own_of
from hyperdjango.models._scope import SEPARATOR
from hyperdjango.models._state import root_state
from hyperdjango.models.errors import FieldError, NotLoaded

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models.model import Model


class FetchMode(StrEnum):
    """What `load` does for the instances of a queryset.

    Attributes:
        PEERS: It fetches for all instances of the same result that are still alive.
        ONE: It fetches for the instance alone.
        RAISE: It raises NotLoaded: what is needed must be asked for by the queryset.
    """

    PEERS = "peers"
    ONE = "one"
    RAISE = "raise"


PEERS: Final = FetchMode.PEERS
ONE: Final = FetchMode.ONE
RAISE: Final = FetchMode.RAISE


def fetch_mode_of(mode: str) -> FetchMode:
    """Return a mode by its name.

    Raises:
        FieldError: There is none of that name.
    """
    try:
        return FetchMode(mode)
    except ValueError:
        raise FieldError(
            f"there is no fetch mode {mode!r}{nearest(str(mode), [one.value for one in FetchMode])}"
        ) from None


class Loading:
    """The part of Model that loads."""

    __slots__ = ()

    async def load(self, *names: str) -> None:
        """Fetch relations and columns that were left out; what is there already stays as it is.

        It is done for every instance of the same result that is still alive, with one statement for each
        relation, and together with other tasks that ask for the same at the same time. `fetch_mode()` of the
        queryset can say otherwise.

        Args:
            names: Columns and relations; `__` goes on from a relation.
        Raises:
            FieldError: There is no such name; the text names the nearest.
            NotLoaded: The fetch mode is RAISE, or the instance is not in the database.
            DoesNotExist: The row is gone.
            DatabaseError: As the backend says, to every caller.
        """
        instance: Any = self
        await load(instance, names)


async def load(instance: "Model", names: tuple[str, ...]) -> None:
    """Load some names of an instance and its peers; see `Loading.load`."""
    parts = [part for part in _parts(type(instance), names) if _lacks(instance, part)]
    if not parts:
        return
    origin = instance._origin
    mode = PEERS
    if origin is not None and origin.fetch_mode is not None:
        mode = origin.fetch_mode
    _check(instance, parts, mode)
    database = database_of(instance)
    # An origin without a database is of instances that have nothing to do with each other.
    with_peers = mode == PEERS and origin is not None and origin.database is not None
    waits = [joining(part, instance, database, with_peers=with_peers) for part in parts]
    if len(waits) == 1:
        await waits[0]
        return
    for error in await asyncio.gather(*waits, return_exceptions=True):
        if error is not None:
            raise error


def _check(instance: "Model", parts: list[Part], mode: str) -> None:
    model = type(instance).__name__
    names = ", ".join(sorted(lookup for part in parts for lookup in part.lookups))
    if mode == RAISE:
        raise NotLoaded(
            f"{model}: {names} is not loaded, and the fetch mode is RAISE: use select_related(), prefetch_related() "
            "or only() of the queryset"
        )
    if instance._origin is None and not all(part.level is not None for part in parts):
        raise NotLoaded(f"{model}: {names} cannot be loaded: this {model} is not saved yet")


def _lacks(instance: "Model", part: Part) -> bool:
    if part.level is None:
        return any(value_in(column, instance) is UNSET for column in part.columns)
    return _lacks_level([instance], part.level)


def _lacks_level(instances: "list[Model]", level: Level) -> bool:
    values = [held(one, level.relation) for one in instances]
    if any(value is UNSET for value in values):
        return True
    onward = reached(values, is_many=level.relation.is_many) if level.below else []
    return any(_lacks_level(onward, below) for below in level.below)


@lru_cache(maxsize=1024)
def _parts(model: "type[Model]", names: tuple[str, ...]) -> tuple[Part, ...]:
    """Sort names into columns and relations.

    Raises:
        FieldError: One of them is neither.
    """
    if not names:
        raise FieldError(f"load() of {model.__name__} takes the names of what to load")
    table = model._table
    columns: list[Column] = []
    lookups: dict[str, list[str]] = {}
    for name in names:
        if type(name) is not str:
            raise FieldError(f"load() takes names, not {type(name).__name__}")
        head = name.split(SEPARATOR)[0]
        if head in table.relations:
            lookups.setdefault(head, []).append(name)
        else:
            columns.append(table.column(name))
    parts = [
        Part(head, frozenset(given), level=checked(root_state(model), tuple(given))[0])
        for head, given in lookups.items()
    ]
    if columns:
        parts.append(Part("", frozenset(column.name for column in columns), tuple(columns)))
    return tuple(parts)


def database_of(instance: "Model", *, is_write: bool = False) -> "Database":
    """Return the Database that an instance is read from or written to: its own, or what the resolver says."""
    bound = partial(bound_in_row, instance)
    return database_for(type(instance), None, own_of(instance), is_write=is_write, bound=bound)


__all__ = ["ONE", "PEERS", "RAISE", "FetchMode", "Loading", "database_of", "fetch_mode_of", "load"]
