"""Prepared querysets, JSON streams, and what loaders ask."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hyperdjango.database import DatabaseError, DataError
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.models import Count, F, FieldError, ModelError, Param
from hyperdjango.models._loader import batch_of
from lending_library import Author, Book, Review, Tag, library


async def test_a_prepared_queryset_is_called_with_values(database_url: str) -> None:
    async with library(database_url) as db:
        some = (
            Review.objects.filter(stars__gte=Param("least"), book__title=Param("title"))
            .exclude(text="mark'er")
            .order_by("id")
            .prepare()
        )
        with capture_queries(db) as calls:
            found = [len(await some(least=least, title="A1")) for least in (5, 4, 1)]
        assert found == [2, 3, 4]
        assert {call.sql for call in calls} == {some.sql}
        assert some.names == {"least", "title"}
        with pytest.raises(TypeError, match="has no 'leist'; did you mean 'least'"):
            await some(leist=1, title="x")
        with pytest.raises(TypeError, match="needs title"):
            await some(least=1)
        with pytest.raises(FieldError, match="title=None"):
            await some(least=1, title=None)
        with pytest.raises(DatabaseError):
            await some(least="many", title="A1")


async def test_values_go_through_what_the_lookup_does_to_them(database_url: str) -> None:
    async with library(database_url):
        like = Author.objects.filter(name__icontains=Param("part", str)).order_by("id").prepare()
        assert [author.name for author in await like(part="N")] == ["Ann", "Ben"]
        assert await like(part="%") == []
        among = Author.objects.filter(id__in=Param("keys", list[int])).order_by("id").prepare()
        assert [author.id for author in await among(keys=[3, 1])] == [1, 3]
        assert await among(keys=[]) == []
        flat = Book.objects.filter(id=Param("key")).values_list("title", flat=True).prepare()
        assert await flat(key=2) == ["A2"]
        with pytest.raises(FieldError, match="name of a keyword"):
            Param("a b")


async def test_a_prepared_queryset_prefetches(database_url: str) -> None:
    async with library(database_url) as db:
        books = (
            Book.objects.filter(author__name=Param("name")).prefetch_related("tags").order_by("id").prepare()
        )
        with assert_num_queries(db, 2):
            assert [len(book.tags) for book in await books(name="Ann")] == [2, 1, 0]


async def test_a_queryset_with_places_that_was_not_prepared_says_so(database_url: str) -> None:
    async with library(database_url) as db:
        some: Any = Book.objects.filter(id__lt=Param("most"))
        named: Any = Author.objects.filter(name=Param("most", str))
        reads: list[Callable[[Any], Awaitable[Any]]] = [
            lambda rows: rows.all(),
            lambda rows: rows.values("id"),
            lambda rows: rows.first(),
            lambda rows: rows.count(),
            lambda rows: rows.exists(),
            lambda rows: rows.aggregate(n=Count("id")),
            lambda rows: anext(aiter(rows.iterator())),
        ]
        for rows in (some, named):
            for read in reads:
                with pytest.raises(
                    FieldError, match=r"Param\('most'\) .* not prepared: call prepare\(\).*most=…"
                ):
                    await read(rows)
        # What is wrong with a value itself is still said of it.
        with pytest.raises(DataError, match="int8"):
            await some.prepare()(most=2**70)
        assert await db.query_val("SELECT 1") == 1


async def joined(queryset: Any, chunk: int) -> tuple[list[Any], int]:
    pieces = [piece async for piece in queryset.stream_json(chunk)]
    return json.loads(b"".join(pieces)), len(pieces)


async def test_json_comes_in_pieces_that_are_one_array(database_url: str) -> None:
    async with library(database_url):
        books = Book.objects.order_by("id").defer("blurb")
        for chunk, count in ((1, 5), (2, 3), (3, 2), (100, 1)):
            found, pieces = await joined(books, chunk)
            assert pieces == count
            assert found[0] == {"id": 1, "title": "A1", "author_id": 1, "editor_id": 2}
            assert [one["title"] for one in found] == ["A1", "A2", "A3", "B1"]
        assert await joined(books.none(), 2) == ([], 1)
        values = books.filter(title="A2").values("title", "author__name", twice=F("id") * 2)
        assert (await joined(values, 10))[0] == [{"title": "A2", "author__name": "Ann", "twice": 4}]
        annotated = books.annotate(twice=F("id") * 2)[1:2]
        assert (await joined(annotated, 10))[0][0]["twice"] == 4


async def test_json_of_more_than_a_row_is_refused(database_url: str) -> None:
    async with library(database_url):
        with pytest.raises(FieldError, match="gives the columns of each row"):
            await joined(Book.objects.select_related("author"), 10)
        with pytest.raises(FieldError, match="gives the columns of each row"):
            await joined(Book.objects.all().prefetch_related("tags"), 10)
        marked = Book.objects.filter(title="mark'er\"")
        assert await joined(marked, 10) == ([], 1)


async def test_leaving_a_json_stream_early_leaves_nothing_open(database_url: str) -> None:
    async with library(database_url) as db:
        stream = Book.objects.order_by("id").stream_json(1)
        assert json.loads(await anext(stream) + b"]")[0]["id"] == 1
        await stream.aclose()
        assert await Book.objects.count() == 4
        assert db.pool_stats()["busy"] == 0


async def test_a_batch_is_in_the_order_of_its_keys(database_url: str) -> None:
    async with library(database_url) as db:
        one, many = batch_of(Author.objects, "id", many=False), batch_of(Book.objects, "author_id", many=True)
        with assert_num_queries(db, 2) as calls:
            authors = await one([3, 99, 1, None, 3])
            books = await many([2, 3, 1])
        assert [author and author.name for author in authors] == ["Cy", None, "Ann", None, "Cy"]
        assert [sorted(book.title for book in group) for group in books] == [["B1"], [], ["A1", "A2", "A3"]]
        assert all("= ANY($1" in call.sql for call in calls)
        with assert_num_queries(db, 0):
            assert await one([None]) == [None]
            assert await many([]) == []
        several = await batch_of(Book.objects, "author", many=False)([1, 2])
        assert isinstance(several[0], Book.MultipleObjectsReturned)
        assert several[1].title == "B1"


async def test_a_sliced_queryset_gives_a_batch_so_many_for_each_key(database_url: str) -> None:
    async with library(database_url):
        newest = batch_of(Book.objects.order_by("-id").prefetch_related("tags")[:1], "author_id", many=True)
        found = await newest([1, 2])
        assert [[book.title for book in group] for group in found] == [["A3"], ["B1"]]
        assert [len(group[0].tags) for group in found] == [0, 1]


async def test_in_a_transaction_a_batch_runs_there(database_url: str) -> None:
    async with library(database_url) as db:
        batch = batch_of(Tag.objects, "name", many=False)
        async with db.transaction():
            await db.execute("INSERT INTO lib_tag (name) VALUES ('in')")
            assert (await batch(["in"]))[0] is not None


def test_loaders_say_what_they_need() -> None:
    with pytest.raises(FieldError, match="Book has no field 'autor_id'; did you mean 'author_id'"):
        Book.objects.loader("autor_id", many=True)
    with pytest.raises(FieldError, match="needs a queryset of instances"):
        Book.objects.values("id").loader("id")


def test_without_its_package_a_loader_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "hyperdjango.dataloader", None)
    with pytest.raises(ModelError, match="needs the package hyper-dataloader: pip install hyper-dataloader"):
        Book.objects.loader("author_id", many=True)
