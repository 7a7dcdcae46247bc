"""What a handler asks for: the request, values of its path, the body. Looked at once, when it is decorated."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_type_hints
from uuid import UUID

from starlette.convertors import Convertor, FloatConvertor, IntegerConvertor, UUIDConvertor
from starlette.requests import Request

from hyperdjango.app._body import Reader, reader_of

_GIVES: Final[dict[type[Any], type[Convertor[Any]]]] = {
    int: IntegerConvertor,
    float: FloatConvertor,
    UUID: UUIDConvertor,
}
_NAMES: Final[dict[type[Any], str]] = {int: "int", float: "float", UUID: "uuid"}
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments of a handler.

    Attributes:
        request: The name of the parameter that takes the request; None where none does.
        is_first: It is given by position.
        path: The names that come from the path.
        body: The parameter that takes the body, and what reads it.
    """

    request: str | None
    is_first: bool
    path: tuple[str, ...]
    body: tuple[str, Reader] | None


def wanted_by(function: Callable[..., Any], path: str, convertors: Mapping[str, Convertor[Any]]) -> Wanted:
    """Return what a handler asks for.

    Raises:
        TypeError: It is no coroutine function, or a parameter can be given nothing.
    """
    name = getattr(function, "__qualname__", repr(function))
    if not inspect.iscoroutinefunction(inspect.unwrap(function)):
        raise TypeError(f"{name} is no coroutine function: write it with async def")
    hints = _hints(function)
    request: str | None = None
    is_first = False
    from_path: list[str] = []
    body: tuple[str, Reader] | None = None
    for place, parameter in enumerate(inspect.signature(function).parameters.values()):
        hint = hints.get(parameter.name, inspect.Parameter.empty)
        if parameter.name in convertors:
            _check(name, path, parameter.name, hint, convertors[parameter.name])
            from_path.append(parameter.name)
            continue
        reader = None if parameter.name == "request" else reader_of(hint)
        if reader is not None and body is None:
            body = parameter.name, reader
        elif request is None and (_is_request(hint) or parameter.name == "request" or place == 0):
            request, is_first = parameter.name, place == 0 and parameter.kind in _POSITIONAL
        elif parameter.default is inspect.Parameter.empty and parameter.kind not in {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }:
            raise TypeError(
                f"{name}: nothing is given to {parameter.name!r}: it is no part of the path {path!r}, "
                "not the request, and its annotation is no model or dataclass"
            )
    return Wanted(request, is_first, tuple(from_path), body)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError:  # of a name that is imported for type checkers alone
        return {
            name: hint for name, hint in inspect.get_annotations(function).items() if isinstance(hint, type)
        }


def _is_request(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, Request)


def _check(name: str, path: str, parameter: str, hint: Any, convertor: Convertor[Any]) -> None:
    wanted = _GIVES.get(hint) if isinstance(hint, type) else None
    if wanted is not None and not isinstance(convertor, wanted):
        raise TypeError(
            f"{name}: {parameter!r} is annotated as {hint.__name__}, and the path {path!r} gives it something else: "
            f"write {{{parameter}:{_NAMES[hint]}}} there"
        )


__all__ = ["Wanted", "wanted_by"]
