"""`objects.loader()`: DataLoaders over models."""

import asyncio
from typing import Any

import pytest
from hyperdjango.database import DataError
from hyperdjango.database.testing import assert_num_queries
from hyperdjango.dataloader import DataLoader, loader_scope, scoped
from hyperdjango.models import FieldError
from lending_library import Author, Book, Tag, library

pytestmark = pytest.mark.postgres


async def test_one_instance_or_none_for_each_key_in_one_statement(database_url: str) -> None:
    async with library(database_url) as db:
        authors = Author.objects.loader("id")
        assert isinstance(authors, DataLoader)
        assert authors.name == "Author.id"
        with assert_num_queries(db, 1) as calls:
            found = await asyncio.gather(*[authors.load(key) for key in (3, 99, 1, None, 3)])
        assert [author and author.name for author in found] == ["Cy", None, "Ann", None, "Cy"]
        assert found[0] is found[4]
        assert "= ANY($1" in calls[0].sql
        with assert_num_queries(db, 0):
            assert await authors.load(1) is found[2]


async def test_many_instances_for_each_key(database_url: str) -> None:
    async with library(database_url) as db:
        books = Book.objects.order_by("-id").loader("author_id", many=True, name="books")
        with assert_num_queries(db, 1):
            found = await books.load_many([2, 3, 1])
        assert [[book.title for book in group] for group in found] == [["B1"], [], ["A3", "A2", "A1"]]
        assert books.name == "books"


async def test_nested_tasks_over_two_models_make_two_statements(database_url: str) -> None:
    async with library(database_url) as db:
        authors, books = Author.objects.loader("id"), Book.objects.loader("author_id", many=True)

        async def one(key: int) -> tuple[str, int]:
            author, written = await asyncio.gather(authors.load(key), books.load(key))
            assert author is not None
            return author.name, len(written)

        with assert_num_queries(db, 2):
            assert await asyncio.gather(*[one(key) for key in (1, 2, 3)]) == [
                ("Ann", 3),
                ("Ben", 1),
                ("Cy", 0),
            ]


async def test_several_rows_where_one_was_expected_are_the_error_of_that_key(database_url: str) -> None:
    async with library(database_url):
        found: list[Any] = await Book.objects.loader("author").load_many([1, 2], return_exceptions=True)
        assert isinstance(found[0], Book.MultipleObjectsReturned)
        assert found[1].title == "B1"


async def test_in_a_transaction_it_reads_there_and_forgets_that_outside(database_url: str) -> None:
    async with library(database_url) as db:
        tags = Tag.objects.loader("name")
        assert await tags.load("in") is None

        async def work() -> None:
            async with db.transaction():
                await Tag.objects.create(name="in")
                found = await tags.load("in")
                assert found is not None
                assert found.name == "in"
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await work()
        assert await tags.load("in") is None
        async with db.transaction():
            await Tag.objects.create(name="in")
        assert await tags.clear("in").load("in") is not None


async def test_keys_of_another_type_that_find_rows_are_refused(database_url: str) -> None:
    async with library(database_url):
        for many in (True, False):
            loader: DataLoader[Any, Any] = (
                Author.objects.loader("id", many=True) if many else Author.objects.loader("id")
            )
            with pytest.raises(FieldError, match=r"their id equals no key of type str"):
                await loader.load("1")


@pytest.mark.parametrize("wrong", [2**70, "x"], ids=str)
async def test_a_key_that_the_field_cannot_have_fails_alone(database_url: str, wrong: Any) -> None:
    async with library(database_url) as db, db.transaction():
        authors: Any = Author.objects.loader("id")
        found: list[Any] = await authors.load_many([1, wrong, 3, 99], return_exceptions=True)
        assert [getattr(one, "name", type(one)) for one in found] == ["Ann", DataError, "Cy", type(None)]
        # Nothing has gone to the server that would end the transaction.
        assert await Author.objects.count() == 3
        groups: Any = Book.objects.order_by("id").loader("author_id", many=True)
        found = await groups.load_many([wrong, 2], return_exceptions=True)
        assert isinstance(found[0], DataError)
        assert [book.title for book in found[1]] == ["B1"]
        with pytest.raises(DataError):
            await authors.clear().load(wrong)


async def test_one_per_request(database_url: str) -> None:
    authors = scoped(lambda: Author.objects.loader("id"))
    async with library(database_url) as db:
        for _ in range(2):
            with loader_scope(), assert_num_queries(db, 1):
                for _ in range(2):
                    author = await authors.load(1)
                    assert author is not None
