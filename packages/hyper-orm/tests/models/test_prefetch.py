"""prefetch_related: one statement for each relation and queryset, whatever the number of parents."""

from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.models import FieldError, NotLoaded
from hyperdjango.models.prefetch import Prefetch, prefetch_related_objects
from library import Author, Book, Chapter, Note, Publisher, Reader, Review, Tag, library


def titles(books: Any) -> list[str]:
    return [book.title for book in books]


async def test_a_reverse_relation_is_one_statement_and_links_both_sides(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 2):
            authors = await Author.objects.order_by("id").prefetch_related("books")
        assert [titles(author.books) for author in authors] == [["A1", "A2", "A3"], ["B1"], []]
        assert authors[0].books[0].author is authors[0]
        assert len(authors[2].books) == 0
        assert not authors[2].books
        assert authors[0].books[0]._changed is None
        assert authors[0]._changed is None


async def test_a_forward_relation_shares_one_instance_for_each_key(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 3):
            books = await Book.objects.order_by("id").prefetch_related("author", "editor")
        assert [book.author.name for book in books] == ["Ann", "Ann", "Ann", "Ben"]
        assert books[0].author is books[1].author
        assert [book.editor and book.editor.name for book in books] == ["Ben", None, "Ann", None]
