"""Models and rows that the tests of expressions, aggregates and lookups look at; `shelf_url` has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from hyperdjango.database import Database, SyncDatabase
from hyperdjango.models import (
    Digits,
    Field,
    ForeignKey,
    Integer,
    Jsonb,
    ManyToMany,
    MaxLen,
    Model,
    Range,
    Related,
    SmallInt,
    Timestamp,
    create_schema_sync,
)
from postgres_servers import Server


class Binding(StrEnum):
    HARD = "hard"
    SOFT = "soft"


class Author(Model):
    name: Annotated[str, MaxLen(20)]
    born: date | None = None
    books: Related[Book]

    class Meta:
        table = "shelf_author"


class Tag(Model):
    name: str
    books: Related[Book]

    class Meta:
        table = "shelf_tag"


class Book(Model):
    title: Annotated[str, MaxLen(40)]
    author: ForeignKey[Author]
    tags: ManyToMany[Tag]
    price: Annotated[Decimal, Digits(8, 2)]
    pages: Annotated[int, Integer] | None = None
    sold: int = 0
    small: Annotated[int, SmallInt] = 1
    weight: float = 1.0
    binding: Binding = Binding.SOFT
    in_print: bool = True
    published: date | None = None
    added: datetime | None = None
    clock: time | None = None
    local: Annotated[datetime, Timestamp] | None = None
    lasts: timedelta | None = None
    code: UUID | None = None
    cover: bytes | None = None
    words: list[str] = Field(default_factory=list)
    codes: list[Annotated[str, MaxLen(5)]] = Field(default_factory=list)
    scores: list[int] = Field(default_factory=list)
    data: Jsonb[Any] | None = None
    ages: Range[int] | None = None
    reviews: Related[Review]

    class Meta:
        table = "shelf_book"


class Review(Model):
    book: ForeignKey[Book]
    stars: int
    text: str = ""
    votes: Related[Vote]

    class Meta:
        table = "shelf_review"


class Vote(Model):
    review: ForeignKey[Review]
    weight: int

    class Meta:
        table = "shelf_vote"


MODELS = (Author, Tag, Book, Review, Vote)

BOOKS: tuple[dict[str, Any], ...] = (
    {
        "id": 1,
        "title": "Emma",
        "author_id": 1,
        "price": Decimal("10.00"),
        "pages": 100,
        "sold": 5_000_000_000,
        "weight": 0.5,
        "binding": "hard",
        "in_print": True,
        "published": date(1815, 12, 23),
        "added": datetime(2024, 1, 1, 0, 30, 15, 500_000, tzinfo=UTC),
        "clock": time(8, 15, 30),
        "local": datetime(2024, 12, 31, 23, 59, 59),
        "lasts": timedelta(days=1, hours=2),
        "code": UUID(int=1),
        "cover": b"\x01",
        "words": ["love", "match"],
        "codes": ["a", "b"],
        "scores": [1, 2, 3],
        "data": '{"owner": {"name": "Bob", "age": 4}, "tags": ["x", "y"], "none": null, "a\'b": 1}',
        "ages": Range(10, 20),
    },
    {
        "id": 2,
        "title": "100% Emma_x",
        "author_id": 1,
        "price": Decimal("20.50"),
        "pages": None,
        "sold": 3,
        "weight": 1.5,
        "binding": "soft",
        "in_print": False,
        "published": date(2024, 2, 29),
        "added": datetime(2024, 6, 15, 12, 0, 0, tzinfo=UTC),
        "clock": time(23, 0, 0),
        "local": datetime(2024, 1, 1, 0, 0, 0),
        "lasts": timedelta(hours=1),
        "code": UUID(int=2),
        "cover": None,
        "words": [],
        "codes": ["b", "c"],
        "scores": [3, 4],
        "data": '{"owner": {"name": "bill", "age": 7}, "tags": ["y"]}',
        "ages": Range(15, 30),
    },
    {
        "id": 3,
        "title": "Ulysses",
        "author_id": 2,
        "price": Decimal("30.25"),
        "pages": 700,
        "sold": 7,
        "weight": 2.5,
        "binding": "soft",
        "in_print": True,
        "published": date(1922, 2, 2),
        "added": None,
        "clock": None,
        "local": None,
        "lasts": None,
        "code": None,
        "cover": None,
        "words": ["day"],
        "codes": [],
        "scores": [],
        "data": "null",
        "ages": None,
    },
    {
        "id": 4,
        "title": "back\\slash",
        "author_id": 2,
        "price": Decimal("40.00"),
        "pages": 300,
        "sold": 1,
        "weight": 4.5,
        "binding": "hard",
        "in_print": False,
        "published": None,
        "added": datetime(2023, 12, 31, 23, 30, 0, tzinfo=UTC),
        "clock": None,
        "local": None,
        "lasts": None,
        "code": None,
        "cover": None,
        "words": ["love"],
        "codes": ["c"],
        "scores": [9],
        "data": None,
        "ages": Range(None, 5),
    },
)
AUTHORS = ((1, "Jane", date(1775, 12, 16)), (2, "James", date(1882, 2, 2)), (3, "Nobody", None))
TAGS = ((1, "classic"), (2, "short"), (3, "odd"))
BOOK_TAGS = ((1, 1), (1, 2), (2, 2), (3, 1))
REVIEWS = ((1, 1, 5, "great"), (2, 1, 4, "good"), (3, 2, 1, "bad"), (4, 3, 5, "long"))
VOTES = ((1, 1, 10), (2, 1, 20), (3, 3, 5))


def fill(db: SyncDatabase) -> None:
    """Make the tables and their rows."""
    create_schema_sync(MODELS, db)
    db.execute_many(
        "INSERT INTO shelf_author (id, name, born) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3)", AUTHORS
    )
    db.execute_many("INSERT INTO shelf_tag (id, name) OVERRIDING SYSTEM VALUE VALUES ($1, $2)", TAGS)
    names = list(BOOKS[0])
    marks = ", ".join(f"${position + 1}" for position in range(len(names)))
    db.execute_many(
        f"INSERT INTO shelf_book ({', '.join(names)}, small) OVERRIDING SYSTEM VALUE VALUES ({marks}, 1)",
        [tuple(book[name] for name in names) for book in BOOKS],
    )
    relation = Book._table.relations["tags"]
    assert relation.through is not None
    assert relation.through_near is not None
    assert relation.through_far is not None
    near, far = relation.through_near.locals[0].column, relation.through_far.locals[0].column
    db.execute_many(
        f'INSERT INTO "{relation.through._table.name}" ("{near}", "{far}") VALUES ($1, $2)', BOOK_TAGS
    )
    db.execute_many(
        "INSERT INTO shelf_review (id, book_id, stars, text) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4)",
        REVIEWS,
    )
    db.execute_many(
        "INSERT INTO shelf_vote (id, review_id, weight) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3)", VOTES
    )


def shelf_database(server: Server) -> Iterator[str]:
    """Give the URI of a database with the rows."""
    name = server.create_database()
    url = server.url_for(name)
    with SyncDatabase(url, 1, 1) as db:
        fill(db)
    yield url
    server.drop_database(name)


async def keys(db: Database, *conditions: Any, **lookups: Any) -> list[int]:
    """The keys of the books for which something is true."""
    found: list[int] = (
        await Book.objects.using(db)
        .filter(*conditions, **lookups)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    return found


async def values(db: Database, expression: Any) -> list[Any]:
    """What an expression is for each book, in the order of their keys."""
    queryset: Any = Book.objects.using(db).annotate(found=expression).order_by("pk")
    found: list[Any] = await queryset.values_list("found", flat=True)
    return found


def label(value: Any) -> str:
    """A test's name: without addresses, which every process has other ones of."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:80]
