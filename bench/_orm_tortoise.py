"""Tortoise ORM for the benchmarks, at its best: asyncpg, a pool of one connection.

Called by `_orm.py`. `bulk_create` sends all rows as one executemany; no batch size, since batches are slower.
Tortoise docs: databases, "PostgreSQL"; query, "Prefetching".
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc"
# It need not be installed.

from typing import Any

from _harness import EventLoop
from _orm import Way, at_once
from _orm_tables import item, items, nothing, titles, with_books
from _place import Place, host_and_port
from tortoise import fields
from tortoise.context import TortoiseContext
from tortoise.models import Model


class _Item(Model):
    id = fields.BigIntField(primary_key=True, generated=True)
    name = fields.TextField()
    price = fields.DecimalField(max_digits=12, decimal_places=2)
    created_at = fields.DatetimeField()
    published = fields.DateField()
    active = fields.BooleanField()
    token = fields.UUIDField()
    weight = fields.FloatField()

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

    id = fields.BigIntField(primary_key=True, generated=True)
    name = fields.TextField()
    active = fields.BooleanField()
    books: fields.ReverseRelation["Book"]

    class Meta:
        table = "bench_author"


class Book(Model):
    """Its child."""

    id = fields.BigIntField(primary_key=True, generated=True)
    author: fields.ForeignKeyRelation[Author] = fields.ForeignKeyField("bench.Author", related_name="books")
    title = fields.TextField()
    pages = fields.IntField()
    price = fields.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        table = "bench_book"


class _Tortoise:
    def hydrate(self) -> list[Way]:
        return [Way("Tortoise", lambda _: Item.all(), items)]

    def get(self) -> list[Way]:
        return [Way("Tortoise", lambda key: Item.get(id=key), item)]

    def bulk_create(self, sets: list[dict[str, Any]]) -> list[Way]:
        async def create(_: int) -> None:
            await NewItem.bulk_create([NewItem(**values) for values in sets])

        return [Way("Tortoise", create, nothing)]

    def prefetch(self) -> list[Way]:
        def read(_: int) -> Any:
            return Author.filter(active=True).prefetch_related("books")

        return [Way("Tortoise", read, lambda found: with_books([(each, list(each.books)) for each in found]))]

    def compile(self) -> list[Way]:
        def chain(pages: int) -> Any:
            return Book.filter(pages__gte=pages, title__startswith="a").order_by("-price").limit(20)

        def compiled(pages: int) -> Any:
            return chain(pages).sql()

        return [Way("Tortoise", compiled, titles, at_once(compiled), shown=chain)]


def open_on(loop: EventLoop, place: Place) -> _Tortoise:
    """Connect."""
    host, port = host_and_port(place)
    credentials = {
        "host": host,
        "port": port,
        "user": place.user,
        "database": place.database,
        "minsize": 1,
        "maxsize": 1,
    }
    context = TortoiseContext()

    async def enter() -> None:
        await context.__aenter__()
        await context.init(
            {
                "connections": {
                    "default": {"engine": "tortoise.backends.asyncpg", "credentials": credentials}
                },
                "apps": {"bench": {"models": [__name__], "default_connection": "default"}},
            }
        )

    async def leave() -> None:
        await context.__aexit__(None, None, None)

    loop.run(enter())
    loop.defer(leave)
    return _Tortoise()
