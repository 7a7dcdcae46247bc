"""What a queryset says where it is used as if it were a list: a base of `QuerySet`.

A queryset has rows only once it is awaited. Without these methods `if queryset:` would be true, always.
"""

from typing import TYPE_CHECKING, Any, NoReturn, Self


class Misuse:
    """Errors that name what to write instead."""

    __slots__ = ()

    # Checkers do not know of these methods, so that they refuse what needs them by themselves.
    if not TYPE_CHECKING:

        def __iter__(self) -> NoReturn:
            raise TypeError(
                f"rows of a {_named(self)} are read by await: `for row in await queryset`, or "
                "`async for row in queryset`"
            )

        def __len__(self) -> NoReturn:
            raise TypeError(f"a {_named(self)} has no length before it is awaited: `await queryset.count()`")

        def __bool__(self) -> NoReturn:
            raise TypeError(
                f"whether a {_named(self)} has rows is asked by await: `if await queryset.exists()`"
            )

        def __contains__(self, _one: object) -> NoReturn:
            raise TypeError(f"rows of a {_named(self)} are looked for by `await queryset.contains(row)`")

        def __reduce_ex__(self, _protocol: object) -> NoReturn:
            raise TypeError(
                f"a {_named(self)} cannot be pickled: pickle the rows, or what the queryset is made from"
            )

    def __copy__(self) -> Self:
        """Itself: it never changes."""
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Itself: it never changes."""
        return self


def _named(queryset: Any) -> str:
    return f"{type(queryset).__name__} of {queryset._state.model.__name__}"


__all__ = ["Misuse"]
