"""`author.books` and `book.tags`: the loaded list, the queryset behind it, and its changes."""

from typing import Any

import pytest
from hyperdjango.database import IntegrityError
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.models import FieldError, NotLoaded
from hyperdjango.models.signals import m2m_changed
from lending_library import Author, Book, Chapter, Loan, Note, Reader, Review, Tag, library


def names(tags: Any) -> list[str]:
    return sorted(tag.name for tag in tags)


def late(author: Author) -> Any:
    """An author with `edited`, which Author itself does not declare."""
    return author


async def test_what_is_not_loaded_names_what_loads_it(database_url: str) -> None:
    async with library(database_url):
        author = await Author.objects.get(id=1)
        reads: list[Any] = [len, list, bool, lambda books: books[0], lambda books: None in books]
        for read in reads:
            with pytest.raises(
                NotLoaded, match=r"Author.books is not loaded: .*'books'.*author.load\('books'\)"
            ):
                read(author.books)
        before = author.books.is_loaded
        await author.load("books")
        assert (before, author.books.is_loaded) == (False, True)
        first = author.books[0]
        assert len(author.books) == 3
        assert first in author.books
        assert author.books[1:] == list(author.books)[1:]
        assert "Book" in repr(author.books)


async def test_it_is_a_queryset_of_the_rows_of_one_instance(database_url: str) -> None:
    async with library(database_url) as db:
        author = await Author.objects.get(id=1)
        with assert_num_queries(db, 9):
            assert [book.title for book in await author.books.order_by("-id")] == ["A3", "A2", "A1"]
            assert len(await author.books) == 3
            assert await author.books.filter(title__gt="A1").count() == 2
            assert await author.books.exclude(title="A1").exists()
            assert (await author.books.get(title="A2")).author_id == 1  # type: ignore[attr-defined]
            assert [title async for title in author.books.values_list("title", flat=True)] == [
                "A1",
                "A2",
                "A3",
            ]
            assert await author.books.count() == 3
            assert await author.books.get_or_none(title="B1") is None
            reviews = Review.objects.filter(book_id__in=author.books.all())
            assert await reviews.count() == 5
        assert not author.books.is_loaded


async def test_many_to_many_gives_each_row_once(database_url: str) -> None:
    async with library(database_url):
        book = await Book.objects.get(id=1)
        assert await book.readers.count() == 2
        assert names(await book.tags) == ["new", "old"]
        tag = await Tag.objects.get(name="old")
        assert await tag.books.order_by("id").values_list("title") == [("A1",), ("A2",)]
        chapter = await Chapter.objects.get(book_id=1, number=2)
        assert [note.text for note in await chapter.notes.order_by("id")] == ["n1", "n3"]


async def test_the_text_is_the_same_for_every_instance(database_url: str) -> None:
    async with library(database_url) as db:
        with capture_queries(db) as calls:
            for key in (1, 2, 3):
                await Author.ref(key).books.filter(title="mark'er")
                await Book.ref(key).tags
        assert len({call.sql for call in calls}) == 2
        assert not any("mark" in call.sql for call in calls)


async def test_create_gives_the_way_back(database_url: str) -> None:
    async with library(database_url):
        author = await Author.objects.prefetch_related("books").get(id=2)
        book = await author.books.create(title="B2")
        assert book.author is author
        assert [one.title for one in author.books] == ["B1", "B2"]
        assert await author.books.count() == 2
        with pytest.raises(FieldError, match="gives 'author' by itself"):
            await author.books.create(title="x", author=author)
        book, is_new = await author.books.get_or_create(title="B2")
        assert not is_new
        tagged = await book.tags.create(name="fresh")
        assert names(await book.tags) == ["fresh"]
        assert (await book.tags.get_or_create(name="fresh")) == (tagged, False)
        assert (await book.tags.get_or_create(name="old"))[1] is False
        assert names(await book.tags) == ["fresh", "old"]


async def test_foreign_keys_are_moved_by_one_statement(database_url: str) -> None:
    async with library(database_url) as db:
        ben = late(await Author.objects.prefetch_related("books", "edited").get(id=2))
        books = await Book.objects.filter(author_id=1).order_by("id")
        with assert_num_queries(db, 1):
            await ben.books.add(*books[:2])
        assert [book.title for book in ben.books] == ["B1", "A1", "A2"]
        assert late(books[0].author) is ben
        assert books[0]._changed is None
        assert await Book.objects.filter(author_id=2).count() == 3
        with pytest.raises(FieldError, match=r"Book.author is never NULL; delete the rows"):
            await ben.books.remove(books[0])
        assert [book.id for book in ben.edited] == [1]
        await ben.edited.remove(*ben.edited, books[2])
        assert list(ben.edited) == []
        assert await ben.edited.count() == 0
        assert await Book.objects.filter(editor_id=1).count() == 1
        await ben.edited.set(books)
        assert await ben.edited.count() == 3
        await ben.edited.set(books[:1])
        assert [book.id for book in ben.edited] == [1]
        assert books[1].editor is None
        await ben.edited.clear()
        assert books[0].editor_id is None  # type: ignore[attr-defined]
        assert list(ben.edited) == []


async def test_many_to_many_rows_come_and_go(database_url: str) -> None:
    async with library(database_url) as db:
        book = await Book.objects.prefetch_related("tags").get(id=3)
        tags = await Tag.objects.order_by("id").prefetch_related("books")
        with assert_num_queries(db, 1):
            await book.tags.add(*tags[:2], tags[0])
        assert names(book.tags) == ["new", "old"]
        assert book in tags[0].books
        await book.tags.add(tags[0])
        await book.tags.add(tags[2].id)
        assert not book.tags.is_loaded
        await book.load("tags")
        assert names(book.tags) == ["new", "old", "red"]
        with assert_num_queries(db, 1):
            await book.tags.remove(tags[0], tags[1].id)
        assert names(book.tags) == ["red"]
        assert book not in tags[0].books
        await book.tags.set([tags[0], tags[1]])
        assert names(book.tags) == names(await book.tags) == ["new", "old"]
        await book.tags.set([])
        assert names(await book.tags) == []
        await tags[0].books.add(book)
        assert names(await book.tags) == ["new"]
        await book.load("tags")
        await book.tags.clear()
        assert list(book.tags) == []
        assert not await book.tags.exists()
        await book.tags.add()
        await book.tags.remove()


async def test_a_table_between_of_ones_own_gets_its_defaults(database_url: str) -> None:
    async with library(database_url):
        book, sam = await Book.objects.get(id=4), await Reader.objects.get(name="Sam")
        await book.readers.add(sam, through_defaults={"note": "mark'er"})
        await book.readers.add(sam, sam.id)
        loans: Any = await Loan.objects.filter(book_id=4)
        assert [(loan.note, str(loan.since)) for loan in loans] == [("mark'er", "2026-01-01")]
        with pytest.raises(FieldError, match="Loan has no field 'nota'; did you mean 'note'"):
            await book.readers.add(sam, through_defaults={"nota": 1})
        with pytest.raises(FieldError, match="cannot set 'book'"):
            await book.readers.add(sam, through_defaults={"book": book})
        await Book.ref(1).readers.remove(1)
        assert await Loan.objects.filter(book_id=1).count() == 1


async def test_what_cannot_belong_is_refused(database_url: str) -> None:
    async with library(database_url):
        book, author = await Book.objects.get(id=1), await Author.objects.get(id=1)
        with pytest.raises(FieldError, match=r"Book\.tags takes instances of Tag, not Book"):
            await book.tags.add(book)
        with pytest.raises(FieldError, match="not saved"):
            await book.tags.add(Tag(name="x"))
        with pytest.raises(FieldError, match=r"Author\.books takes instances of Book, not int"):
            await author.books.add(1)
        with pytest.raises(FieldError, match="no through_defaults"):
            await author.books.add(book, through_defaults={"a": 1})
        with pytest.raises(IntegrityError):
            await book.tags.add(99)
        with pytest.raises(NotLoaded, match="has no value yet"):
            await Author(name="new").books
        with pytest.raises(FieldError, match="does not know whose"):
            late(author).books.bulk_create([book])
        with pytest.raises(AttributeError, match=r"author.books.set"):
            late(author).books = [book]


async def test_changes_are_part_of_the_transaction(database_url: str) -> None:
    async with library(database_url) as db:
        book = await Book.objects.get(id=3)

        async def add_two() -> None:
            async with db.transaction():
                await book.tags.add(1)
                await book.tags.add(99)

        with pytest.raises(IntegrityError):
            await add_two()
        assert await book.tags.count() == 0
        note = Note(chapter=await Chapter.objects.get(book_id=2, number=1), text="n4")
        await note.save()
        assert await note.chapter.notes.count() == 2


async def test_who_listens_to_the_table_between_is_told_before_and_after(database_url: str) -> None:
    async with library(database_url) as db:
        told: list[tuple[Any, ...]] = []

        async def changed(action: str, reverse: bool, pk_set: Any, using: Any, **more: Any) -> None:
            told.append((action, reverse, more["model"], pk_set, using is db, more["instance"]))

        through = Book._table.relations["tags"].through
        m2m_changed.connect(changed, sender=through)
        try:
            book = await Book.objects.get(title="A1")
            one, other = await Tag.objects.order_by("id")[:2]
            await book.tags.set([one])
            told.clear()
            await book.tags.add(other)
            await book.tags.remove(one)
            await one.books.clear()
        finally:
            m2m_changed.disconnect(changed, sender=through)
        assert told == [
            ("pre_add", False, Tag, {other.pk}, True, book),
            ("post_add", False, Tag, {other.pk}, True, book),
            ("pre_remove", False, Tag, {one.pk}, True, book),
            ("post_remove", False, Tag, {one.pk}, True, book),
            ("pre_clear", True, Book, None, True, one),
            ("post_clear", True, Book, None, True, one),
        ]


async def test_a_key_of_another_class_is_refused_before_anything_is_sent(database_url: str) -> None:
    async with library(database_url) as db:
        book = await Book.objects.get(title="A1")
        with (
            assert_num_queries(db, 0),
            pytest.raises(FieldError, match=r"tags takes .* keys of int, not str"),
        ):
            await book.tags.add("x")
