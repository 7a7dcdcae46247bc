"""`page()`: every row once, in every order, whatever NULLs there are; and a cursor that is never trusted."""

import base64
import json
from typing import Any

import pytest
from hyperdjango.database.testing import capture_queries
from hyperdjango.models import F, FieldError, InvalidCursor
from lending_library import Author, Book, Review, library


async def walked(queryset: Any, size: int) -> list[Any]:
    seen: list[Any] = []
    after = None
    while True:
        page = await queryset.page(after, size)
        assert len(page) <= size
        seen += page
        if not page.has_next:
            return seen
        after = page.next


ORDERS = [
    (),
    ("-id",),
    ("stars",),
    ("-stars",),
    ("book_id", "-stars"),
    ("-book_id",),
    (F("book_id").asc(nulls_first=True), "stars"),
    (F("book_id").desc(nulls_last=True),),
    ("book__title", "-stars"),
    ("-book__author__name", "text", "stars"),
    (F("stars") * 2, "-id"),
]


@pytest.mark.parametrize("keys", ORDERS)
async def test_every_row_comes_once_and_in_order(database_url: str, keys: tuple[Any, ...]) -> None:
    async with library(database_url) as db:
        await db.execute(
            "INSERT INTO lib_review (book_id, stars) VALUES (NULL, 3), (NULL, 5), (4, 3), (3, 1)"
        )
        reviews = Review.objects.order_by(*keys) if keys else Review.objects.all()
        whole = await reviews.page(size=100)
        assert len(whole) == 10
        assert not whole.has_next
        for size in (1, 3, 10):
            assert [one.id for one in await walked(reviews, size)] == [one.id for one in whole]
        backwards = reviews.reverse()
        assert len({one.id for one in await walked(backwards, 4)}) == 10


async def test_the_first_page_is_as_the_queryset_has_it(database_url: str) -> None:
    async with library(database_url):
        books = Book.objects.filter(author_id=1).order_by("-title").prefetch_related("tags")
        page = await books.page(size=2)
        assert [book.title for book in page] == ["A3", "A2"]
        assert [len(book.tags) for book in page] == [0, 1]
        assert page.items[0]._extra is None
        annotated: Any = await books.annotate(twice=F("id") * 2).page(page.next, 2)
        assert [(book.title, book.twice) for book in annotated] == [("A1", 2)]


async def test_the_values_of_a_cursor_are_seen_in_bind_alone(database_url: str) -> None:
    async with library(database_url) as db:
        await db.execute("UPDATE lib_author SET name = $1", "mark'er\"")
        authors = Author.objects.order_by("name")
        page = await authors.page(size=2)
        with capture_queries(db) as calls:
            last = await authors.page(page.next, 2)
        assert len(last) == 1
        assert "mark" not in calls[0].sql
        assert "($1" in calls[0].sql
        first, second = calls[0].sql, None
        with capture_queries(db) as calls:
            await authors.page((await authors.page(size=1)).next, 7)
        second = calls[1].sql
        assert first == second


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


async def test_a_cursor_from_outside_is_never_trusted(database_url: str) -> None:
    async with library(database_url):
        reviews = Review.objects.order_by("stars")
        good = (await reviews.page(size=1)).next
        assert good is not None
        mark = json.loads(base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)))[0]
        bad: list[Any] = [
            "", "x", "é", good[:-3], good + "!", "A" * 5000, 3, b"abc", forged(), forged(mark), forged(mark, 1, 2),
            forged(mark, ["i", "1"]), forged(mark, ["i", "1"], ["i", "x"]), forged(mark, ["q", "1"], ["i", "1"]),
            forged(mark, ["i", 1], ["i", "1"]), forged(mark, ["i", "9" * 30], ["i", "1"]), forged(mark, [[], 1], None),
            forged(mark, ["s", "a\0b"], ["i", "1"]), forged(mark, ["n", "nope"], ["i", "1"]), forged(mark, {}, []),
            base64.b64encode(b"[" * 3000).decode(), forged(mark, ["v", "9" * 40], ["i", "1"]),
            forged(mark, ["b", 1], None),
        ]  # fmt: skip
        for cursor in bad:
            with pytest.raises(InvalidCursor, match="after="):
                await reviews.page(cursor)
        with pytest.raises(InvalidCursor, match="of another order"):
            await Review.objects.order_by("-stars").page(good)
        with pytest.raises(InvalidCursor, match="of another order"):
            await Author.objects.order_by("name").page(good)
        for cut in range(len(good)):
            with pytest.raises(InvalidCursor):
                await reviews.page(good[:cut])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Book.objects.all()[:3].page(size=2), "not sliced"),
        (lambda: Book.objects.values("id").page(), "instances"),
        (lambda: Book.objects.union(Book.objects.all()).page(), "union"),
        (lambda: Book.objects.order_by("?").page(), "random"),
        (lambda: Book.objects.all().page(size=0), "size from 1, not 0"),
        (lambda: Book.objects.all().page(size=True), "not True"),
    ],
)
async def test_what_has_no_pages_is_refused(make: Any, text: str) -> None:
    with pytest.raises(FieldError, match=text):
        await make()
