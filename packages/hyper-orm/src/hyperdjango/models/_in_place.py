"""Notices lists and dicts that were changed in place: `book.tags.append("x")` sets no attribute.

A column whose values can be changed has a descriptor of ours in front of its slot: when such a value is read for
the first time, what it looks like is kept, in the hidden slot `_seen_`; saving compares. What is never read cannot
have been changed, so it costs nothing. Results and `__init__` write into the slot itself, past the descriptor.
"""

import marshal
import pickle
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hyperdjango.models._meta import Column

# Kinds of columns whose values in Python are lists or dicts.
KINDS: Final = frozenset({"json", "array", "hstore", "vector"})
# No relation can have a hidden slot of this name.
SLOT: Final = "_seen_"
# The oldest format writes the same for the same value, whoever else refers to it.
_FORMAT: Final = 0


class SeenColumn:
    """The attribute of a column whose values can be changed in place."""

    __slots__ = ("_get", "_seen", "name", "slot")

    def __init__(self, name: str, slot: Any, seen: Any) -> None:
        self.name = name
        self.slot = slot
        self._get = slot.__get__
        self._seen = seen

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the value, and keep what it looks like."""
        if instance is None:
            return self
        value = self._get(instance)
        if value is not None and instance._origin is not None:
            try:
                seen = self._seen.__get__(instance)
            except AttributeError:
                seen = {}
                self._seen.__set__(instance, seen)
            if self.name not in seen:
                seen[self.name] = look_of(value)
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        """Set it; the instance marks it as changed."""
        self.slot.__set__(instance, value)

    def __delete__(self, instance: Any) -> None:
        """Empty the slot."""
        self.slot.__delete__(instance)


def look_of(value: Any) -> object:
    """Return something that is equal for equal values: cheap to make, and not touched by later changes."""
    try:
        return marshal.dumps(value, _FORMAT)
    except ValueError:
        pass  # more than plain values are in it
    try:
        return pickle.dumps(value)
    except Exception:  # whatever an application's class raises
        return object()  # equal to nothing: it is taken for changed


def _seen_of(instance: Any) -> dict[str, object] | None:
    slot = type(instance).__dict__.get(SLOT)
    if slot is None:
        return None
    try:
        seen: dict[str, object] = slot.__get__(instance)
    except AttributeError:
        return None
    return seen


def changed_in_place(instance: Any) -> list[str]:
    """Names of the columns whose values look otherwise than when they were first read."""
    seen = _seen_of(instance)
    if not seen:
        return []
    found: list[str] = []
    for name, look in seen.items():
        try:
            value = instance._table.by_name[name].slot.__get__(instance)
        except AttributeError:
            continue
        if value is not None and look_of(value) != look:
            found.append(name)
    return found


def remember(instance: Any, columns: "Iterable[Column]") -> None:
    """Keep what the values of these columns look like: they are about to be what the row has."""
    slot = type(instance).__dict__.get(SLOT)
    if slot is None:
        return
    seen = _seen_of(instance)
    if seen is None:
        seen = {}
        slot.__set__(instance, seen)
    for column in columns:
        if column.type.kind in KINDS:
            value = column.slot.__get__(instance)
            if value is None:
                seen.pop(column.name, None)
            else:
                seen[column.name] = look_of(value)


def forget(instance: Any, columns: "Iterable[Column]") -> None:
    """These columns hold other values now, which nobody has read yet."""
    seen = _seen_of(instance)
    if seen:
        for column in columns:
            seen.pop(column.name, None)
