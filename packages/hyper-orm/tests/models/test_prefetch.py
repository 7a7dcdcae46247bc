"""prefetch_related: one statement for each relation and queryset, whatever the number of parents."""

from typing import Annotated, Any

import pytest
from cancel_points import MOMENTS, Cancel, Point, cancel_everywhere
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.models import CiText, Field, FieldError, ForeignKey, Model, NotLoaded, Related, create_schema
from hyperdjango.models._loader import batch_of
from hyperdjango.models.prefetch import Prefetch, prefetch_related_objects
from lending_library import Author, Book, Chapter, Note, Publisher, Reader, Review, Tag, library
from pgkit.until import until_async


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


async def test_many_to_many_is_one_statement_from_either_side(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 2):
            books = await Book.objects.order_by("id").prefetch_related("tags")
        assert [[tag.name for tag in book.tags] for book in books] == [["new", "old"], ["old"], [], ["red"]]
        assert books[0].tags[0]._extra is None
        with assert_num_queries(db, 2):
            tags = await Tag.objects.prefetch_related(Prefetch("books", Book.objects.order_by("-title")))
        assert [titles(tag.books) for tag in tags] == [["A1"], ["A2", "A1"], ["B1"]]


async def test_many_to_many_through_rows_that_repeat_gives_each_once(database_url: str) -> None:
    async with library(database_url) as db:
        book = await Book.objects.prefetch_related(Prefetch("readers", Reader.objects.order_by("id"))).get(
            id=1
        )
        assert [reader.name for reader in book.readers] == ["Ria", "Sam"]
        readers = await Reader.objects.order_by("id").prefetch_related(
            Prefetch("books", Book.objects.order_by("id")[:1])
        )
        assert [titles(reader.books) for reader in readers] == [["A1"], ["A1"]]
        assert readers[0].books[0]._extra is None
        assert db.is_connected


async def test_reverse_to_one_is_an_instance_or_none(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 2):
            authors = await Author.objects.order_by("id").prefetch_related("profile")
        assert [one.profile and one.profile.bio for one in authors] == ["of Ann", None, "of Cy"]
        assert authors[0].profile is not None
        assert authors[0].profile.author is authors[0]


async def test_levels_that_lookups_share_are_fetched_once(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 5):
            publishers = await Publisher.objects.order_by("id").prefetch_related(
                "authors__books__tags", "authors__books", "authors__profile"
            )
        ann = publishers[0].authors[0]
        assert titles(ann.books) == ["A1", "A2", "A3"]
        assert [tag.name for tag in ann.books[0].tags] == ["new", "old"]
        assert ann.profile is not None


async def test_it_walks_on_from_what_select_related_has_loaded(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 2):
            books = (
                await Book.objects.order_by("id").select_related("author").prefetch_related("author__books")
            )
        assert titles(books[3].author.books) == ["B1"]
        assert titles(books[0].author.books) == ["A1", "A2", "A3"]


async def test_a_slice_is_of_each_parent(database_url: str) -> None:
    best = Review.objects.filter(stars=5).order_by("-id")[:1]
    async with library(database_url) as db:
        with assert_num_queries(db, 2) as calls:
            books = await Book.objects.order_by("id").prefetch_related(
                Prefetch("reviews", best, to_attr="best")
            )
        found: list[Any] = [[review.id for review in book.best] for book in books]  # type: ignore[attr-defined]
        assert found == [[3], [5], [], []]
        assert "LATERAL" in calls[1].sql
        with pytest.raises(NotLoaded):
            len(books[0].reviews)
        tags = Tag.objects.order_by("-name")[1:2]
        books = await Book.objects.order_by("id").prefetch_related(Prefetch("tags", tags))
        assert [[tag.name for tag in book.tags] for book in books] == [["new"], [], [], []]


async def test_a_distinct_on_is_of_each_parent(database_url: str) -> None:
    some = Review.objects.order_by("stars", "id").distinct("stars")
    async with library(database_url):
        books = await Book.objects.order_by("id").prefetch_related(Prefetch("reviews", some))
        assert [[(one.stars, one.id) for one in book.reviews] for book in books] == [
            [(3, 2), (4, 4), (5, 1)], [(5, 5)], [], [],
        ]  # fmt: skip


async def test_keys_of_several_columns(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 2):
            chapters = await Chapter.objects.order_by("book_id", "number").prefetch_related("notes")
        assert [[note.text for note in one.notes] for one in chapters] == [[], ["n1", "n3"], ["n2"]]
        with assert_num_queries(db, 2):
            notes = await Note.objects.order_by("id").prefetch_related("chapter")
        assert [(note.chapter.book_id, note.chapter.number) for note in notes] == [(1, 2), (2, 1), (1, 2)]  # type: ignore[attr-defined]
        assert notes[0].chapter is notes[2].chapter
        chapters = await Chapter.objects.order_by("book_id", "number").prefetch_related(
            Prefetch("notes", Note.objects.order_by("-id")[:1])
        )
        assert [[note.text for note in one.notes] for one in chapters] == [[], ["n3"], ["n2"]]


async def test_parents_without_a_key_and_no_parents_ask_nothing(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 1):
            reviews = await Review.objects.filter(book_id__isnull=True).prefetch_related("book__author")
        assert reviews[0].book is None
        with assert_num_queries(db, 1):
            assert await Book.objects.filter(title="none").prefetch_related("author", "tags") == []


async def test_the_same_parent_twice_gets_a_list_of_its_own(database_url: str) -> None:
    async with library(database_url):
        one, two = await Author.objects.get(id=1), await Author.objects.get(id=1)
        await prefetch_related_objects([one, two], "books")
        assert titles(one.books) == titles(two.books) == ["A1", "A2", "A3"]
        assert one.books._loaded() is not two.books._loaded()


async def test_objects_at_hand_keep_what_they_have(database_url: str) -> None:
    async with library(database_url) as db:
        first = await Book.objects.prefetch_related("author").get(id=1)
        author = first.author
        second = await Book.objects.get(id=4)
        with assert_num_queries(db, 2):
            await prefetch_related_objects([first, second], "author__books")
        assert first.author is author
        assert (titles(first.author.books), titles(second.author.books)) == (["A1", "A2", "A3"], ["B1"])
        await prefetch_related_objects([], "author")
        with pytest.raises(FieldError, match="one model, not of Author, Book"):
            await prefetch_related_objects([first, author], "author")


async def test_a_foreign_key_that_a_queryset_leaves_out_stays_not_loaded(database_url: str) -> None:
    async with library(database_url):
        books = await Book.objects.order_by("id").prefetch_related(
            Prefetch("editor", Author.objects.filter(name="Ann")),
            Prefetch("author", Author.objects.filter(name="Ben"), to_attr="writer"),
        )
        assert books[1].editor is None
        assert books[2].editor is not None
        with pytest.raises(NotLoaded):
            books[0].editor  # noqa: B018 - reading it is the point
        assert [one.writer and one.writer.name for one in books] == [None, None, None, "Ben"]  # type: ignore[attr-defined]


async def test_querysets_prefetch_further_by_themselves_and_join_others(database_url: str) -> None:
    async with library(database_url) as db:
        books = Book.objects.order_by("-id").only("title").prefetch_related("tags")
        with assert_num_queries(db, 4):
            authors = await Author.objects.order_by("id").prefetch_related(
                "books__reviews", Prefetch("books", books)
            )
        assert titles(authors[0].books) == ["A3", "A2", "A1"]
        assert [tag.name for tag in authors[0].books[2].tags] == ["new", "old"]
        assert len(authors[0].books[2].reviews) == 4
        with pytest.raises(NotLoaded):
            authors[0].books[0].blurb  # noqa: B018 - reading it is the point


async def test_lookups_can_go_on_from_a_to_attr(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 3):
            authors = await Author.objects.order_by("id").prefetch_related(
                Prefetch("books", Book.objects.filter(title="A2"), to_attr="second"), "second__reviews"
            )
        assert len(authors[0].second[0].reviews) == 1  # type: ignore[attr-defined]


async def test_in_a_transaction_it_runs_there(database_url: str) -> None:
    async with library(database_url) as db, db.transaction():
        await db.execute("INSERT INTO lib_review (book_id, stars) VALUES (4, 2)")
        books = await Book.objects.order_by("id").prefetch_related("reviews", "tags", "author")
        assert [len(book.reviews) for book in books] == [4, 1, 0, 1]


async def test_values_are_seen_in_bind_alone(database_url: str) -> None:
    marker = "mark'er\"--$1"
    async with library(database_url) as db:
        await db.execute("UPDATE lib_review SET text = $1 WHERE id = 1", marker)
        with capture_queries(db) as calls:
            books = await Book.objects.order_by("id").prefetch_related(
                Prefetch("reviews", Review.objects.filter(text=marker)[:3])
            )
        assert [len(book.reviews) for book in books] == [1, 0, 0, 0]
        assert all("mark" not in call.sql for call in calls)


async def test_the_text_is_the_same_for_any_number_of_parents(database_url: str) -> None:
    async with library(database_url) as db:
        with capture_queries(db) as calls:
            await Book.objects.filter(id=1).prefetch_related("tags", "reviews")
            await Book.objects.all().prefetch_related("tags", "reviews")
        assert {call.sql for call in calls[1:3]} == {call.sql for call in calls[4:6]}


async def test_iterating_prefetches_each_chunk(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 3):
            seen = [
                (book.title, len(book.reviews))
                async for book in Book.objects.order_by("id").prefetch_related("reviews").iterator(chunk=2)
            ]
        assert seen == [("A1", 4), ("A2", 1), ("A3", 0), ("B1", 0)]


async def test_the_first_error_comes_after_all_have_ended(database_url: str) -> None:
    async with library(database_url) as db:
        await db.execute("DROP TABLE lib_review")
        with pytest.raises(Exception, match="lib_review"):
            await Book.objects.all().prefetch_related("tags", "reviews", "author")
        assert await Tag.objects.count() == 3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Book.objects.all().prefetch_related("autor"), "Book has no relation 'autor'.*did you mean 'author'"),
        (lambda: Book.objects.all().prefetch_related("author__bocks"), "Author has no relation 'bocks'.*'books'"),
        (lambda: Book.objects.all().prefetch_related("title"), "Book.title is a column and no relation"),
        (lambda: Book.objects.all().prefetch_related("author_id"), "did you mean 'author'"),
        (lambda: Book.objects.all().prefetch_related(3), "not int"),
        (lambda: Book.objects.values("id").prefetch_related("author"), "is for instances"),
        (lambda: prefetched("author", Book.objects.all()), "leads to Author, and its queryset is of Book"),
        (lambda: prefetched("author", Author.objects.values("id")), "gives no instances"),
        (lambda: prefetched("author", [1]), "takes a queryset, not list"),
        (lambda: prefetched("tags", Tag.objects.union(Tag.objects.all())), "put together cannot be filtered"),
        (lambda: prefetched("tags", Tag.objects.all(), "title"), "'title' is a field of Book already"),
        (lambda: prefetched("tags", Tag.objects.all(), "objects"), "'objects' is an attribute"),
        (lambda: prefetched("tags", Tag.objects.all(), "a b; --"), "is no name for a value"),
        (
            lambda: prefetched("tags", Tag.objects.all()).prefetch_related(Prefetch("tags", Tag.objects.all())),
            "Book.tags is prefetched by two querysets",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_when_it_is_built(make: Any, text: str) -> None:
    with pytest.raises(FieldError, match=text):
        make()


def prefetched(lookup: str, queryset: Any, to_attr: str | None = None) -> Any:
    return Book.objects.all().prefetch_related(Prefetch(lookup, queryset, to_attr=to_attr))


async def test_a_key_that_only_left_out_is_named(database_url: str) -> None:
    async with library(database_url):
        with pytest.raises(NotLoaded, match="author_id") as caught:
            await Book.objects.only("title").prefetch_related("author")
        assert "only() and defer()" in caught.value.__notes__[0]


async def test_none_forgets_what_was_asked_before(database_url: str) -> None:
    async with library(database_url) as db:
        with assert_num_queries(db, 1):
            await Book.objects.all().prefetch_related("tags").prefetch_related(None)


class Country(Model):
    code: Annotated[str, CiText] = Field(primary_key=True)
    towns = Related["Town"]()

    class Meta:
        table = "pre_country"


class Town(Model):
    country: ForeignKey[Country]
    name: str

    class Meta:
        table = "pre_town"


async def test_keys_that_the_database_takes_for_equal_are_equal(database_url: str) -> None:
    async with library(database_url) as db:
        await db.execute("CREATE EXTENSION citext")
        await create_schema([Country, Town], db)
        await db.execute("INSERT INTO pre_country VALUES ('de'), ('FR')")
        await db.execute(
            "INSERT INTO pre_town (country_id, name) VALUES ('DE', 'Ulm'), ('fr', 'Nice'), ('De', 'Jena')"
        )
        countries = await Country.objects.order_by("code").prefetch_related("towns")
        assert [sorted(town.name for town in one.towns) for one in countries] == [["Jena", "Ulm"], ["Nice"]]
        towns = await Town.objects.order_by("name").prefetch_related("country")
        assert [town.country.code for town in towns] == ["de", "FR", "de"]
        assert [len(group) for group in await batch_of(Town.objects, "country", many=True)(["dE", "x"])] == [
            2,
            0,
        ]


async def test_wherever_it_is_cancelled_the_pool_stays_whole(database_url: str) -> None:
    async with library(database_url) as db:

        async def attempt(cancel: Cancel) -> Point:
            point = await cancel(fetched())
            assert await db.query_val("SELECT 1") == 1
            return point

        async def fetched() -> Any:
            return await Book.objects.all().prefetch_related("tags", "author__publisher", "reviews")

        for moment in MOMENTS:
            await cancel_everywhere(attempt, moment)
        await until_async(lambda: db.pool_stats()["busy"] == 0)
