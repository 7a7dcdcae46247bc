"""Our own ORM for the benchmarks, as anybody uses it, and beside it what our driver gives without an ORM.

Called by `_orm.py`. The database is a pool of one connection and the global one while its loop runs.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from operator import itemgetter
from typing import Annotated, Any, Final
from uuid import UUID

import _drivers
from _harness import EventLoop
from _orm import DICTS, ORM, Way, at_once
from _orm_tables import ITEM_COLUMNS, item, items, nothing, titles, with_books
from _place import Place
from hyperdjango.database import Database, set_db
from hyperdjango.models import CASCADE, Digits, Field, ForeignKey, Model, Related

_SQL: Final = f"SELECT {', '.join(ITEM_COLUMNS)} FROM bench_item"


class _Item(Model):
    name: str
    price: Annotated[Decimal, Digits(12, 2)]
    created_at: dt.datetime
    published: dt.date
    active: bool
    token: UUID
    weight: float

    class Meta:
        abstract = True


class Item(_Item):
    """A row of what is read."""

    class Meta:
        table = "bench_item"


class NewItem(_Item):
    """A row of what is written."""

    class Meta:
        table = "bench_new_item"


class Author(Model):
    """A parent."""

    name: str
    active: bool
    books: Related["Book"]

    class Meta:
        table = "bench_author"


class Book(Model):
    """Its child."""

    author: ForeignKey[Author] = Field(on_delete=CASCADE)
    title: str
    pages: int
    price: Annotated[Decimal, Digits(8, 2)]

    class Meta:
        table = "bench_book"


class _Ours:
    def __init__(self, database: Database) -> None:
        self._database = database

    def hydrate(self) -> list[Way]:
        rows = itemgetter(*ITEM_COLUMNS)
        return [
            self._way(ORM, lambda _: Item.objects.all(), items),
            self._way(
                DICTS,
                lambda _: self._database.query(_SQL),
                lambda found: sorted(rows(each) for each in found),
            ),
        ]

    def get(self) -> list[Way]:
        return [self._way(ORM, lambda key: Item.objects.get(id=key), item)]

    def bulk_create(self, sets: list[dict[str, Any]]) -> list[Way]:
        return [
            self._way(
                ORM, lambda _: NewItem.objects.bulk_create([NewItem(**values) for values in sets]), nothing
            )
        ]

    def prefetch(self) -> list[Way]:
        return [
            self._way(
                ORM,
                lambda _: Author.objects.filter(active=True).prefetch_related("books"),
                lambda found: with_books([(each, list(each.books)) for each in found]),
            )
        ]

    def compile(self) -> list[Way]:
        def chain(pages: int) -> Any:
            return Book.objects.filter(pages__gte=pages, title__startswith="a").order_by("-price")[:20]

        def compiled(pages: int) -> object:
            return chain(pages).to_sql()

        return [replace(self._way(ORM, chain, titles), many=self._here(at_once(compiled)))]

    def _way(self, driver: str, one: Callable[[int], Awaitable[Any]], look: Callable[[Any], Any]) -> Way:
        async def many(keys: Sequence[int]) -> None:
            for key in keys:
                await one(key)

        def here(key: int) -> Awaitable[Any]:
            set_db(self._database)
            return one(key)

        return Way(driver, here, look, self._here(many))

    def _here(
        self, many: Callable[[Sequence[int]], Awaitable[None]]
    ) -> Callable[[Sequence[int]], Awaitable[None]]:
        async def on_this(keys: Sequence[int]) -> None:
            set_db(self._database)
            await many(keys)

        return on_this


def open_on(loop: EventLoop, place: Place) -> _Ours:
    """Connect."""

    async def forget() -> None:
        set_db(None)

    loop.defer(forget)
    return _Ours(_drivers.ours(loop, place))
