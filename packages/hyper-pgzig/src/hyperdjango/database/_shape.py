"""What a row becomes: turns the `into=` of a call into the sink that the native side fills."""

from typing import TYPE_CHECKING, Any, Final, TypeGuard

from hyperdjango.database._native import native

if TYPE_CHECKING:
    from collections.abc import Callable

DISCARD: Final = 0
DICT: Final = 1
TUPLE: Final = 2
NAMED_TUPLE: Final = 3
KEYWORDS: Final = 4
VALUE: Final = 5
JSON: Final = 6
ARROW: Final = 7
MODEL: Final = 8

type_error_text: Final = (
    "into= takes dict, tuple, a NamedTuple, a dataclass, a msgspec Struct, a pydantic model "
    "or any callable of keywords"
)


def shape_of(into: "Callable[..., Any] | native.Hydration") -> tuple[int, Any]:
    """Return the sink's number and its target.

    Raises:
        TypeError: `into` is nothing that can be filled.
    """
    if into is dict:
        return DICT, None
    if into is tuple:
        return TUPLE, None
    if _is_tuple_class(into):
        # A plain subclass of tuple has no names to fill by.
        if not hasattr(into, "_fields"):
            raise TypeError(f"{into.__name__} is a tuple without _fields. {type_error_text}")
        return NAMED_TUPLE, into
    if isinstance(into, native.Hydration):  # what the ORM gives `stream`
        return MODEL, into
    if not callable(into):
        raise TypeError(f"{type_error_text}, not {type(into).__name__}")
    return KEYWORDS, into


def _is_tuple_class(into: object) -> TypeGuard[type[tuple[Any, ...]]]:
    return isinstance(into, type) and issubclass(into, tuple)
