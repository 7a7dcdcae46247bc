"""The annotations of a class body with their names resolved, as far as they can be while it is declared.

They come as objects, as strings (`from __future__ import annotations`), or as a function (Python 3.14). A name that
is not there, because it is imported for type checkers alone or declared further down, becomes an `Unknown`: as
the target of a relation it is looked up later, anywhere else it is an error.
"""

import builtins
import importlib
import sys
from types import FrameType
from typing import Any, Final, ForwardRef, Union

# Since Python 3.14 a class body has its annotations as a function.
HAS_ANNOTATIONLIB: Final = sys.version_info >= (3, 14)


class Unknown:
    """A name that means nothing yet; it can be written wherever an annotation can have a name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> "Unknown":
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return Unknown(f"{self.name}.{attribute}")

    def __getitem__(self, _parameters: object) -> "Unknown":
        return self

    def __or__(self, other: object) -> Any:
        return Union[self, other]  # noqa: UP007 - `|` is what is being defined

    def __ror__(self, other: object) -> Any:
        return Union[other, self]  # noqa: UP007 - `|` is what is being defined

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and other.name == self.name

    def __hash__(self) -> int:
        return hash((Unknown, self.name))

    def __call__(self) -> None:
        """Typing takes for a type what can be called."""

    def __repr__(self) -> str:
        return self.name


class Scope(dict[str, Any]):
    """The names that an annotation may use, as `eval` asks for them."""

    def __init__(
        self, own_name: str, namespace: dict[str, Any], annotated: set[str], frame: FrameType | None
    ) -> None:
        # Not the class's own attributes: `date: date = …` means the class date. Not an older class of the same name.
        within = {name: value for name, value in namespace.items() if name not in annotated}
        super().__init__(
            {
                **vars(builtins),
                **(frame.f_globals if frame else {}),
                **(frame.f_locals if frame else {}),
                **within,
                own_name: Unknown(own_name),
            }
        )

    def __missing__(self, name: str) -> Unknown:
        if name.startswith("__"):
            raise KeyError(name)  # tracebacks look for such among the locals of an `eval`
        return Unknown(name)

    def resolve(self, annotation: Any) -> Any:
        """Return an annotation without strings at its top.

        Raises:
            Exception: Whatever its text raises when it is evaluated.
        """
        while isinstance(annotation, str | ForwardRef):
            text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
            try:
                annotation = eval(text, {"__builtins__": vars(builtins)}, self)  # noqa: S307 - an annotation of the application's own source
            except AttributeError:
                if not all(part.isidentifier() for part in text.split(".")):
                    raise
                return Unknown(text)  # a module that is being imported
        return annotation


def annotations_of(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return a class body's annotations as they were written."""
    found = namespace.get("__annotations__")
    if found is not None:
        return dict(found)
    if not HAS_ANNOTATIONLIB:
        return {}
    annotationlib = importlib.import_module("annotationlib")
    annotate = annotationlib.get_annotate_from_class_namespace(namespace)
    if annotate is None:
        return {}
    return dict(annotationlib.call_annotate_function(annotate, annotationlib.Format.FORWARDREF))


def declaring_frame(module: str) -> FrameType | None:
    """Return the frame whose code has the class statement: the nearest above us in that module."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") != module:
        frame = frame.f_back
    return frame
