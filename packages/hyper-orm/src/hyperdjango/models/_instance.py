"""The base of every model's instances: what an instance is besides its slots. `model.Model` stands on it.

Nothing but this module names the class, so what it is made of is decided in one place.
"""

from typing import Any


class Instance:
    """An object whose attributes remember that they were set.

    Attributes:
        _origin: Where the instance came from, shared by a whole result; None: it is not in the database yet.
        _changed: The names that were set since then, or None.
        _extra: Values of `annotate()` by name, or None.
    """

    __slots__ = ("_changed", "_extra", "_origin")
    _origin: Any
    _changed: set[str] | None
    _extra: dict[str, Any] | None

    def __new__(cls, *_args: object, **_values: object) -> "Instance":
        """Make an instance that holds nothing; results are filled from here, without `__init__`."""
        instance = object.__new__(cls)
        set_plain(instance, "_origin", None)
        set_plain(instance, "_changed", None)
        set_plain(instance, "_extra", None)
        return instance

    def __setattr__(self, name: str, value: object) -> None:
        set_plain(self, name, value)
        if name.startswith("_"):
            return
        if self._changed is None:
            set_plain(self, "_changed", {name})
        else:
            self._changed.add(name)


set_plain = object.__setattr__
