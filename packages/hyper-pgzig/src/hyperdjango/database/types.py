"""The Python values of PostgreSQL types that Python has no class for.

All of them are immutable, compare by value and can be dict keys. The native decoders build them
without running their constructors, so a result costs no validation; constructors called by users
do validate. As parameters they fit the type of the same name, and a plain tuple of the same shape
fits the geometric ones.

PostgreSQL docs: rangetypes, "Range Types"; datatype-geometric, "Geometric Types"; rowtypes,
"Composite Types"; datatype-datetime, "Interval Input".
"""

import keyword
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import lru_cache
from operator import itemgetter
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    NamedTuple,
    Self,
    SupportsIndex,
    TypeVar,
    cast,
    overload,
)

T = TypeVar("T")

__all__ = [
    "Box",
    "Circle",
    "Composite",
    "Interval",
    "Line",
    "LineSegment",
    "Multirange",
    "Path",
    "Point",
    "Polygon",
    "Range",
    "composite_type",
]


class Interval(NamedTuple):
    """An interval as the server stores it: three counts that are not folded into each other.

    Results are `timedelta` unless exact intervals were asked for; as a parameter both are welcome.
    """

    months: int = 0
    days: int = 0
    microseconds: int = 0

    @classmethod
    def from_timedelta(cls, delta: timedelta) -> "Interval":
        """Return the interval the driver sends for `delta`: days and microseconds, no months."""
        return cls(0, delta.days, delta.seconds * 1_000_000 + delta.microseconds)

    def to_timedelta(self) -> timedelta:
        """Return the timedelta a plain result has: 365 days to a year, 30 to a month.

        Raises:
            OverflowError: A timedelta cannot hold as many days.
        """
        years, months = _truncated_divmod(self.months, 12)
        return timedelta(days=self.days + 365 * years + 30 * months, microseconds=self.microseconds)


def _truncated_divmod(value: int, divisor: int) -> tuple[int, int]:
    """Divide towards zero, as the server does when it splits months into years."""
    quotient, remainder = divmod(abs(value), divisor)
    return (quotient, remainder) if value >= 0 else (-quotient, -remainder)


_BOUNDS: Final = ("[)", "[]", "(]", "()")


class Range(Generic[T]):
    """A range of any subtype: int4range, tstzrange, a range type of the user's own.

    Args:
        lower: The lower bound, None for none.
        upper: The upper bound, None for none.
        bounds: Which bounds belong to the range, as the server writes them: `[)`, `[]`, `(]` or `()`.
        empty: The range without any value; it has no bounds.

    The server brings ranges of discrete subtypes into the form `[)`; this class does not, since it
    knows no subtype. So `Range(1, 2, "[]")` comes back as `Range(1, 3)`.
    """

    __slots__ = ("_bounds", "_lower", "_upper")
    # A class that is filled natively: the decoders store into these slots without calling __init__.
    _lower: T | None
    _upper: T | None
    _bounds: str | None  # None: empty

    def __init__(
        self, lower: T | None = None, upper: T | None = None, bounds: str = "[)", *, empty: bool = False
    ) -> None:
        if bounds not in _BOUNDS:
            raise ValueError(f"bounds must be one of {', '.join(_BOUNDS)}, not {bounds!r}")
        if empty and (lower is not None or upper is not None):
            raise ValueError("an empty range has no bounds")
        # A missing bound is never inclusive; the server drops the flag too.
        left = "(" if lower is None else bounds[0]
        right = ")" if upper is None else bounds[1]
        object.__setattr__(self, "_lower", lower)
        object.__setattr__(self, "_upper", upper)
        object.__setattr__(self, "_bounds", None if empty else left + right)

    @property
    def lower(self) -> T | None:
        """The lower bound, None where there is none."""
        return self._lower

    @property
    def upper(self) -> T | None:
        """The upper bound, None where there is none."""
        return self._upper

    @property
    def bounds(self) -> str:
        """The two brackets, or an empty string for the empty range."""
        return self._bounds or ""

    @property
    def isempty(self) -> bool:
        """True for the range without any value."""
        return self._bounds is None

    @property
    def lower_inc(self) -> bool:
        """True where the lower bound belongs to the range."""
        return self._bounds is not None and self._bounds[0] == "["

    @property
    def upper_inc(self) -> bool:
        """True where the upper bound belongs to the range."""
        return self._bounds is not None and self._bounds[1] == "]"

    @property
    def lower_inf(self) -> bool:
        """True where the range goes down without end."""
        return self._bounds is not None and self._lower is None

    @property
    def upper_inf(self) -> bool:
        """True where the range goes up without end."""
        return self._bounds is not None and self._upper is None

    def __contains__(self, value: Any) -> bool:
        if self._bounds is None or value is None:
            return False
        if self._lower is not None and not (value > self._lower or (self.lower_inc and value == self._lower)):
            return False
        return self._upper is None or bool(value < self._upper or (self.upper_inc and value == self._upper))

    def __bool__(self) -> bool:
        return self._bounds is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Range):
            return NotImplemented
        range_ = cast("Range[object]", other)
        return (self._lower, self._upper, self._bounds) == (range_._lower, range_._upper, range_._bounds)

    def __hash__(self) -> int:
        return hash((self._lower, self._upper, self._bounds))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return (_make_range, (type(self), self._lower, self._upper, self._bounds))

    def __repr__(self) -> str:
        name = type(self).__name__
        if self._bounds is None:
            return f"{name}(empty=True)"
        return f"{name}({self._lower!r}, {self._upper!r}, {self._bounds!r})"


def _make_range(cls: type[Range[Any]], lower: Any, upper: Any, bounds: str | None) -> Range[Any]:
    """Rebuild a pickled or copied range."""
    return cls(empty=True) if bounds is None else cls(lower, upper, bounds)


class Multirange(tuple[Range[T], ...]):
    """An ordered list of ranges. The server sorts and merges them; this class keeps what it is given."""

    __slots__ = ()

    def __new__(cls, ranges: Iterable[Range[T]] = (), /) -> Self:
        items = tuple(ranges)
        for item in items:
            if not isinstance(item, Range):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"a multirange holds Range objects, not {type(item).__name__}")
        return super().__new__(cls, items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{', '.join(map(repr, self))}])"


class Composite(tuple[Any, ...]):
    """A row value: a tuple whose items also have names.

    Each composite type gets one subclass, made by `composite_type`; anonymous records get one per
    number of fields, with the names `f1`, `f2`, … Fields are reached by index, by attribute where the
    name is a legal one, and by `value["name"]` always.
    """

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:  # the fields of the subclasses

        def __getattr__(self, name: str) -> Any: ...

    def _asdict(self) -> dict[str, Any]:
        """Return field name to value; of equal names the last wins."""
        return dict(zip(self._fields, self, strict=True))

    @overload
    def __getitem__(self, key: SupportsIndex | str, /) -> Any: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Any, ...]: ...
    def __getitem__(self, key: SupportsIndex | slice | str, /) -> Any:
        """Return one field by index or by name, or several by slice."""
        if isinstance(key, str):
            try:
                key = self._fields.index(key)
            except ValueError:
                raise KeyError(key) from None
        return super().__getitem__(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_make_composite, (type(self).__name__, self._fields, tuple(self)))

    def __repr__(self) -> str:
        pairs = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({pairs})"


def composite_type(name: str, fields: Sequence[str]) -> type[Composite]:
    """Return a new subclass of Composite with these fields.

    A name that no attribute access can spell, or that begins with an underscore, is reached by
    `value["name"]` alone.
    """
    namespace: dict[str, Any] = {"__slots__": (), "_fields": tuple(fields), "__module__": __name__}
    for index, field in enumerate(fields):
        if field.isidentifier() and not field.startswith("_") and not keyword.iskeyword(field):
            namespace[field] = property(itemgetter(index), doc=f"Field {index + 1}.")
    return cast("type[Composite]", type(name, (Composite,), namespace))


@lru_cache(maxsize=256)
def record_type(count: int) -> type[Composite]:
    """Return the class of anonymous records with `count` fields; called by the native decoder."""
    return composite_type("Record", [f"f{index + 1}" for index in range(count)])


@lru_cache(maxsize=256)
def _cached_type(name: str, fields: tuple[str, ...]) -> type[Composite]:
    return composite_type(name, fields)


def _make_composite(name: str, fields: tuple[str, ...], items: tuple[Any, ...]) -> Composite:
    """Rebuild a pickled or copied row value; its class is found by name and fields."""
    return _cached_type(name, fields)(items)


class Point(NamedTuple):
    """A point of the plane."""

    x: float
    y: float


class Line(NamedTuple):
    """The infinite line `a`·x + `b`·y + `c` = 0."""

    a: float
    b: float
    c: float


class LineSegment(NamedTuple):
    """The part of a line between two points; `lseg` in SQL."""

    start: Point
    end: Point


class Box(NamedTuple):
    """A rectangle by two opposite corners; the server puts the upper right one first."""

    high: Point
    low: Point


class Path(NamedTuple):
    """Connected points, open or closed."""

    points: tuple[Point, ...]
    closed: bool = False


class Polygon(NamedTuple):
    """The area inside a closed path."""

    points: tuple[Point, ...]


class Circle(NamedTuple):
    """A center and a radius."""

    center: Point
    radius: float
