"""Django's ORM for the benchmarks, at its best: its blocking API on one persistent connection.

Called by `_orm.py`. psycopg 3 in C with server-side binding and prepared statements, as OPTIONS allow both;
no pool, since a persistent connection is quicker; the bulk insert takes all rows in one statement.
Its asynchronous methods are the same calls in a thread, so they are no contender.
Django docs: ref/databases, "PostgreSQL notes".
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc"
# Django brings no types, and need not be installed.

from contextlib import ExitStack
from typing import Any

import django
from _orm import Way
from _orm_tables import item, items, nothing, titles, with_books
from _place import Place, host_and_port
from django.conf import settings
from django.db import connections, models

if not settings.configured:
    settings.configure(USE_TZ=True, TIME_ZONE="UTC", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
    django.setup()


class _Item(models.Model):
    name = models.TextField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    created_at = models.DateTimeField()
    published = models.DateField()
    active = models.BooleanField()
    token = models.UUIDField()
    weight = models.FloatField()

    class Meta:
        abstract = True
        app_label = "bench"


class Item(_Item):
    """A row of what is read."""

    class Meta(_Item.Meta):
        db_table = "bench_item"


class NewItem(_Item):
    """A row of what is written."""

    class Meta(_Item.Meta):
        db_table = "bench_new_item"


class Author(models.Model):
    """A parent."""

    name = models.TextField()
    active = models.BooleanField()

    class Meta:
        app_label = "bench"
        db_table = "bench_author"


class Book(models.Model):
    """Its child."""

    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    title = models.TextField()
    pages = models.IntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        app_label = "bench"
        db_table = "bench_book"


class _Django:
    def hydrate(self) -> list[Way]:
        return [Way("Django", lambda _: list(Item.objects.all()), items)]

    def get(self) -> list[Way]:
        return [Way("Django", lambda key: Item.objects.get(pk=key), item)]

    def bulk_create(self, sets: list[dict[str, Any]]) -> list[Way]:
        def create(_: int) -> None:
            NewItem.objects.bulk_create([NewItem(**values) for values in sets])

        return [Way("Django", create, nothing)]

    def prefetch(self) -> list[Way]:
        def read(_: int) -> list[Any]:
            return list(Author.objects.filter(active=True).prefetch_related("books"))

        return [Way("Django", read, lambda found: with_books([(each, each.books.all()) for each in found]))]

    def compile(self) -> list[Way]:
        def chain(pages: int) -> Any:
            return Book.objects.filter(pages__gte=pages, title__startswith="a").order_by("-price")[:20]

        return [Way("Django", lambda pages: chain(pages).query.sql_with_params(), titles, shown=chain)]


def open_blocking(stack: ExitStack, place: Place) -> _Django:
    """Connect."""
    host, port = host_and_port(place)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": place.database,
        "USER": place.user,
        "HOST": host,
        "PORT": port,
        "CONN_MAX_AGE": None,
        "OPTIONS": {"server_side_binding": True, "prepare_threshold": 0},
    }
    connections.settings = connections.configure_settings({"default": database})
    if hasattr(connections._connections, "default"):
        del connections["default"]
    stack.callback(connections["default"].close)
    return _Django()
