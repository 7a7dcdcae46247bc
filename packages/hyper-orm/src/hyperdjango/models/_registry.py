"""All models there are. Finds the targets of relations by name, and refuses a second model for a table.

A class inside a function belongs to that function: it has a table to itself there, as often as the function
runs, and is found by name from there alone.
"""

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hyperdjango.models._nearest import nearest
from hyperdjango.models.errors import FieldError, ModelDeclarationError

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


def scope_of(model: "type[Model]") -> str:
    """Return the function that a class is declared in, or "" for those that everybody can import."""
    inside, separator, _ = model.__qualname__.rpartition("<locals>.")
    return f"{model.__module__}.{inside}" if separator else ""


def full_name(model: "type[Model]") -> str:
    """Return the name that no other model has."""
    return f"{model.__module__}.{model.__qualname__}"


class Registry:
    """Models by table and by name. They are held weakly: a class that a test declares goes with the test."""

    def __init__(self) -> None:
        self._by_table: weakref.WeakValueDictionary[tuple[str, str | None, str | None, str], type[Model]] = (
            weakref.WeakValueDictionary()
        )
        self._by_name: weakref.WeakValueDictionary[str, type[Model]] = weakref.WeakValueDictionary()

    def __iter__(self) -> "Iterator[type[Model]]":
        """Iterate over the models, by name."""
        return iter([model for _, model in sorted(self._by_name.items())])

    def add(self, model: "type[Model]") -> None:
        """Take a model in; one that is declared again, as on a reload, takes the place of its former self.

        Raises:
            ModelDeclarationError: Another model has its table.
        """
        table = model._table
        key = (scope_of(model), table.database, table.schema, table.name)
        other = self._by_table.get(key)
        if other is not None and full_name(other) != full_name(model):
            raise ModelDeclarationError(
                f"{full_name(model)} and {full_name(other)} are both declared for the table {table.name!r};"
                f" give one of them another: class Meta: table = …"
            )
        former = self._by_name.get(full_name(model))
        if former is not None:
            for place in [place for place, one in self._by_table.items() if one is former]:
                del self._by_table[place]
        self._by_table[key] = model
        self._by_name[full_name(model)] = model

    def find(self, name: str, near: "type[Model]") -> "type[Model] | None":
        """Return the model that a name means in the source of another, or None.

        Args:
            name: A class name, or more of its path: `Author`, `shop.models.Author`, `shop.Author`.
            near: The model that names it: what is declared beside it comes first.

        Raises:
            FieldError: It may mean several.
        """
        if name == near.__name__:
            return near
        found: dict[int, list[type[Model]]] = {}
        for model in self:
            if _has_name(model, name):
                rank = _distance(model, near)
                if rank is not None:
                    found.setdefault(rank, []).append(model)
        if not found:
            return None
        first = found[min(found)]
        if len(first) > 1:
            raise FieldError(
                f"{name!r} in {near.__name__} may mean {' or '.join(map(full_name, first))}; write more of its path"
            )
        return first[0]

    def advice(self, name: str, near: "type[Model]") -> str:
        """Return the end of an error about a model that is not there: the nearest names."""
        return nearest(
            name.rpartition(".")[2], (model.__name__ for model in self if _distance(model, near) is not None)
        )


def _has_name(model: "type[Model]", name: str) -> bool:
    *path, last = name.split(".")
    if last != model.__name__:
        return False
    return not path or full_name(model).endswith(f".{name}") or ".".join(path) in model.__module__.split(".")


def _distance(model: "type[Model]", near: "type[Model]") -> int | None:
    """Rank a model by how near to another it is declared; None: out of reach, in some other function."""
    scope, from_scope = scope_of(model), scope_of(near)
    if scope:
        # Of the functions around the other one, the innermost is nearest.
        return len(from_scope) - len(scope) if from_scope.startswith(scope) else None
    return 1_000_000 if model.__module__ == near.__module__ else 2_000_000


registry = Registry()
