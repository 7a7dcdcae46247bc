"""`Param` and `Prepared`: a queryset that is put together once and then called with values.

Nothing is built or looked up at a call: the values are put into their places and sent.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin

from hyperdjango.models import _compile
from hyperdjango.models._nearest import nearest
from hyperdjango.models._shapes import LISTS, ListKind
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._chain import Chain

R_co = TypeVar("R_co", covariant=True)


class Param:
    """A value that is given when a prepared queryset is called: `filter(price__lt=Param("max"))`.

    Args:
        name: The keyword of the call.
        type: What Python class its values are of, where the column does not tell: `int`, `list[int]`. The text is
            then the same as for such a value.
    """

    __slots__ = ("_adapters", "name", "type")

    def __init__(self, name: str, type: Any = None) -> None:
        if name.__class__ is not str or not name.isidentifier():
            raise FieldError(f"Param() takes the name of a keyword, not {name!r}")
        self.name = name
        self.type = type
        self._adapters: tuple[Callable[[Any], Any], ...] = ()

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        return _kind_of(self.type), (self,)

    def _through(self, adapter: Callable[[Any], Any]) -> "Param":
        """A Param whose value goes through a function before it is sent, as the lookup wants it."""
        new = Param(self.name, self.type)
        new._adapters = (*self._adapters, adapter)
        return new

    def _value(self, given: Any) -> Any:
        if given is None:
            raise FieldError(f"{self.name}=None: nothing is equal to NULL; ask with __isnull=True")
        for adapter in self._adapters:
            given = adapter(given)
        return given

    def __repr__(self) -> str:
        return f"Param({self.name!r})"


def _kind_of(type_: Any) -> Any:
    if type_ is None:
        return Param
    if type_ in LISTS:
        return ListKind(frozenset())
    if get_origin(type_) in LISTS:
        return ListKind(frozenset(one for one in get_args(type_) if isinstance(one, type)))
    return type_


class Prepared(Generic[R_co]):
    """A queryset with places for values: `await prepared(max=10)`.

    Attributes:
        sql: The statement's text.
        names: The keywords of a call.
    """

    __slots__ = ("_places", "_queryset", "_statement", "names", "sql")

    def __init__(self, queryset: "Chain[Any, R_co]") -> None:
        self._queryset = queryset
        self._statement = _compile.select(queryset._state)
        self._places = tuple(
            (index, value) for index, value in enumerate(queryset._params) if isinstance(value, Param)
        )
        self.names = frozenset(param.name for _, param in self._places)
        self.sql = self._statement.sql

    async def __call__(self, **values: Any) -> list[R_co]:
        """Return the rows for these values.

        Args:
            values: One for each name.
        Raises:
            TypeError: One is missing, or is not known.
            FieldError: One is None.
            As the queryset besides.
        """
        if values.keys() != self.names:
            raise self._refused(values)
        params = list(self._queryset._params)
        for index, param in self._places:
            params[index] = param._value(values[param.name])
        ready: Any = self._queryset._clone()
        ready._params = tuple(params)
        rows: list[R_co] = await ready._rows(self._statement, ready._database(is_write=self._statement.locks))
        return rows

    def _refused(self, values: dict[str, Any]) -> TypeError:
        model = self._queryset._state.model.__name__
        for name in values:
            if name not in self.names:
                return TypeError(
                    f"this prepared queryset of {model} has no {name!r}{nearest(name, self.names)}"
                )
        missing = ", ".join(sorted(self.names - values.keys()))
        return TypeError(f"this prepared queryset of {model} needs {missing}")

    def __repr__(self) -> str:
        return (
            f"<prepared queryset of {self._queryset._state.model.__name__}: {', '.join(sorted(self.names))}>"
        )


__all__ = ["Param", "Prepared"]
