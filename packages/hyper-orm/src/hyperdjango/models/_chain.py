"""A queryset as a value: the State of its chain, the values beside it, and where it will run.

QuerySet and what awaits it stand on this. Nothing here does I/O.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self

from hyperdjango.database.resolver import database_for, get_resolver
from hyperdjango.models import _compile
from hyperdjango.models._bound import bound_in_state
from hyperdjango.models._routing import Own
from hyperdjango.models._scoping import scoped
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._state import State, adapted, next_state, root_state
from typing_extensions import TypeVar

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._scope import Scope
    from hyperdjango.models.model import Model

M_co = TypeVar("M_co", bound="Model", covariant=True)
R_co = TypeVar("R_co", default=M_co, covariant=True)


class Chain(Generic[M_co, R_co]):
    """Model, State, values, database."""

    __slots__ = ("_fetch_mode", "_params", "_prefetches", "_state", "_using")

    _state: State
    _params: tuple[Any, ...]
    _using: "str | Database | Own | None"
    _fetch_mode: str | None
    _prefetches: tuple[Any, ...]

    def __init__(self, model: "type[Model]") -> None:
        self._start(root_state(model))

    def _start(self, state: State) -> None:
        self._state, self._params = scoped(state)
        self._using = None
        self._fetch_mode = None
        self._prefetches = ()

    @property
    def model(self) -> "type[M_co]":
        """The model whose rows these are."""
        model: type[M_co] = self._state.model  # type: ignore[assignment]  # the root State was made from it
        return model

    def _clone(self) -> Self:
        new = type(self).__new__(type(self))
        new._state = self._state
        new._params = self._params
        new._using = self._using
        new._fetch_mode = self._fetch_mode
        new._prefetches = self._prefetches
        return new

    def _then(self, key: Any, params: tuple[Any, ...], build: Callable[[State, Cursor], State]) -> Self:
        """The queryset after one more operation."""
        state = next_state(self._state, key, len(params), build)
        new = type(self).__new__(type(self))
        new._state = state
        new._params = self._params + (params if state.adapters is None else adapted(state, params))
        new._using = self._using
        new._fetch_mode = self._fetch_mode
        new._prefetches = self._prefetches
        return new

    def _database(self, *, is_write: bool = False) -> "Database":
        """The Database that a statement of this queryset goes to."""
        using, state = self._using, self._state
        own: Database | None = None
        if isinstance(using, Own):
            own, using = using.database, None
        if state.is_empty and using is None and own is None:
            shards = get_resolver().shards(state.model, is_write=is_write)
            if shards:
                return shards[0]  # each of them has none of these rows
        return database_for(state.model, using, own, is_write=is_write, bound=self._bound)

    def _bound(self, field: str) -> object:
        """The value of a field that all of these rows have: which shard they are in."""
        return bound_in_state(self._state, self._params, field)

    # As a value in another query

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        return ("queryset", self._state), self._params

    @property
    def key(self) -> Any:
        """What shapes its SQL, for where it is a subquery."""
        return ("queryset", self._state)

    @property
    def params(self) -> tuple[Any, ...]:
        """Its values, for where it is a subquery."""
        return self._params

    def resolve(self, scope: "Scope", cursor: Cursor) -> Any:
        """It as a subquery."""
        return _compile.select_node(self._state, scope, cursor)

    def to_sql(self) -> tuple[str, tuple[Any, ...]]:
        """The statement's text and its values, as they would be sent.

        Returns:
            The text with placeholders `$1`…, and one value for each of them.
        """
        statement = _compile.select(self._state)
        return statement.sql, statement.values(self._params)
