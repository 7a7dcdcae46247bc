"""Small models, and the plans by which rows become them, for the tests of hydration: books, their authors."""

import inspect
from collections.abc import Callable
from enum import Enum
from types import MemberDescriptorType
from typing import Any, Final, NamedTuple

from hyperdjango.database._native import native


class Country(native.Instance):
    __slots__ = ("id", "name")

    id: Any
    name: Any


class Author(native.Instance):
    __slots__ = ("__weakref__", "_country", "country_id", "id", "name")

    id: Any
    name: Any
    country_id: Any
    _country: Any


class Book(native.Instance):
    __slots__ = ("__weakref__", "_author", "_editor", "author_id", "editor_id", "id", "title")

    id: Any
    title: Any
    author_id: Any
    editor_id: Any
    _author: Any
    _editor: Any

    def __new__(cls) -> "Book":
        raise AssertionError("rows are made without this")

    def __init__(self) -> None:
        raise AssertionError("rows are made without this")


class Special(Book):
    __slots__ = ()


class Open(Country):
    """A class that has a `__dict__` as well."""


class Binding(Enum):
    HARD = "hard"
    SOFT = "soft"


def slot(cls: type, name: str) -> MemberDescriptorType:
    found = inspect.getattr_static(cls, name)
    assert inspect.ismemberdescriptor(found)
    return found


Converter = dict[Any, Any] | Callable[[Any], Any] | None
Target = MemberDescriptorType | str | None


def columns(cls: type, *names: str, **converters: Converter) -> tuple[tuple[Target, Converter], ...]:
    return tuple((slot(cls, name), converters.get(name)) for name in names)


def flat(cls: type[native.Instance], *pairs: tuple[Target, Converter]) -> "native.Hydrator":
    """A plan of one node."""
    return native.Hydrator(((cls, -1, None, pairs, ()),))


BOOK: Final = columns(Book, "id", "title")
AUTHOR: Final = columns(Author, "id", "name")
COUNTRY: Final = columns(Country, "id", "name")
BOOKS: Final = flat(Book, *BOOK)
SQL: Final = "SELECT n AS id, 'title ' || n AS title FROM generate_series(1, 3) AS n"


class Run(NamedTuple):
    """A hydration, and the origins of its nodes."""

    target: "native.Hydration"
    origins: "tuple[native.Origin, ...]"


def begin(hydrator: "native.Hydrator", nodes: int = 1) -> Run:
    origins = tuple(native.Origin("db", n) for n in range(nodes))
    return Run(hydrator.begin(origins), origins)


def one(db: Any, sql: str, *pairs: tuple[Target, Converter], cls: type[native.Instance] = Book) -> Any:
    """The first row by a plan of one node."""
    return db.query_one(sql, into=begin(flat(cls, *pairs)).target)


JOINED: Final = native.Hydrator(
    (
        (Book, -1, None, BOOK, ()),
        (Author, 0, slot(Book, "_author"), AUTHOR, (0,)),
        (Country, 1, slot(Author, "_country"), COUNTRY, (0,)),
        (Author, 0, slot(Book, "_editor"), AUTHOR, (0,)),
        (Country, 3, slot(Author, "_country"), COUNTRY, (0, 1)),
    )
)
"""A book, its author and editor, and their countries."""
