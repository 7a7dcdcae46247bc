"""What `Jsonb[T]` holds: plain JSON as it is, and classes by pydantic, where that is installed. Called by `_types`."""

import types
import typing
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import typing_extensions

_PLAIN: Final = frozenset({Any, object, dict, list, str, int, float, bool, None, types.NoneType})


class JsonType(NamedTuple):
    """How values of one annotation go in and come out.

    Attributes:
        convert: From what `json.loads` gives to the annotated class, or None.
        prepare: From the annotated class to what `json.dumps` takes, or None.
    """

    convert: Callable[[Any], Any] | None = None
    prepare: Callable[[Any], Any] | None = None


def json_type(annotation: Any) -> JsonType:
    """Return the way of an annotation.

    Raises:
        ImportError: It is a class, and pydantic is not installed.
    """
    if _is_plain(annotation):
        return JsonType()
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise ImportError(
            f"Jsonb of {annotation!r} needs pydantic: uv pip install 'hyper-orm[pydantic]'"
        ) from error
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def prepare(value: Any) -> Any:
        return adapter.dump_python(value, mode="json")

    return JsonType(adapter.validate_python, prepare)


def _is_plain(annotation: Any) -> bool:
    """Whether every value of it is what `json.loads` gives."""
    if annotation in _PLAIN or typing_extensions.is_typeddict(annotation):
        return True
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return True
    return origin in {dict, list, typing.Union, types.UnionType} and all(map(_is_plain, args))
