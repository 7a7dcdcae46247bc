"""`load`: what was left out comes for all peers of a result at once, and for tasks that ask together."""

import asyncio
import contextvars
import gc
from typing import Any

import pytest
from cancel_points import MOMENTS, Cancel, Point, cancel_everywhere
from hyperdjango.database import Database
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.models import ONE, PEERS, RAISE, FieldError, NotLoaded
from lending_library import Author, Book, Note, Publisher, Review, library
from pgkit.until import until_async


async def test_a_relation_comes_for_all_peers_in_one_statement(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id")
        with assert_num_queries(db, 1):
            await books[0].load("author")
        assert [book.author.name for book in books] == ["Ann", "Ann", "Ann", "Ben"]
        with assert_num_queries(db, 0):
            await books[3].load("author")
        assert books[0]._changed is None


async def test_several_names_at_once(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id").defer("blurb")
        with pytest.raises(NotLoaded, match=r"load\('blurb'\)"):
            books[0].blurb  # noqa: B018 - reading it is the point
        with assert_num_queries(db, 4):
            await books[1].load("author__publisher", "tags", "blurb")
        assert [book.blurb for book in books] == ["about A1", "about A2", "about A3", "about B1"]
        assert books[3].author.publisher is not None
        assert [len(book.tags) for book in books] == [2, 1, 0, 1]


async def test_nested_names_walk_on_from_what_is_loaded(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id").select_related("author")
        with assert_num_queries(db, 1):
            await books[0].load("author__publisher")
        assert [book.author.publisher and book.author.publisher.name for book in books] == [
            "North", "North", "North", "South",
        ]  # fmt: skip


async def test_only_those_that_lack_it_and_still_live_are_asked_for(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id")
        ann = await Author.objects.get(id=1)
        books[0].author = ann
        del books[2:]
        gc.collect()
        with capture_queries(db) as calls:
            await books[1].load("author")
            await books[1].load("reviews")
        assert books[0].author is ann
        assert books[1].author is not ann
        assert len(calls) == 2
        assert [len(book.reviews) for book in books] == [4, 1]


async def test_tasks_that_ask_at_the_same_time_share_a_statement(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id")

        async def later(book: Book) -> str:
            await asyncio.sleep(0)
            await book.load("author")
            return book.author.name

        with assert_num_queries(db, 1):
            names = await asyncio.gather(*[later(book) for book in books], books[0].load("author"))
        assert names == ["Ann", "Ann", "Ann", "Ben", None]


async def test_one_that_comes_while_the_statement_runs_waits_with_it(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id")
        with capture_queries(db) as calls:
            context = contextvars.copy_context()  # of no transaction
            async with db.transaction():
                await db.execute("LOCK TABLE lib_author IN ACCESS EXCLUSIVE MODE")
                early = asyncio.create_task(books[0].load("author"), context=context)
                await until_waiting(db)
                late = asyncio.create_task(books[1].load("author"), context=context)
                await asyncio.sleep(0)
            await asyncio.gather(early, late)
        assert books[1].author.name == "Ann"
        assert len([call for call in calls if 'lib_author" AS' in call.sql]) == 1


async def until_waiting(db: Database) -> None:
    """Until a backend waits for a lock."""
    sql = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while not await db.query_val(sql):  # noqa: ASYNC110 - no event of ours tells it
        await asyncio.sleep(0.01)


async def test_a_cancelled_caller_spares_the_others(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id")
        with assert_num_queries(db, 1):
            tasks = [asyncio.create_task(book.load("author")) for book in books[:2]]
            await asyncio.sleep(0)
            tasks[0].cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        assert done[1] is None
        assert books[1].author.name == "Ann"


async def test_when_all_callers_are_cancelled_nothing_is_asked(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id")
        with assert_num_queries(db, 0):
            tasks = [asyncio.create_task(book.load("author")) for book in books[:2]]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in done)
        await books[0].load("author")
        assert books[1].author.name == "Ann"


async def test_every_caller_gets_the_error(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id")
        await db.execute("DROP TABLE lib_review")
        done = await asyncio.gather(
            *[book.load("reviews") for book in books[:3]], books[0].load("author"), return_exceptions=True
        )
        assert ["lib_review" in str(one) for one in done] == [True, True, True, False]
        assert books[2].author.name == "Ann"
        with pytest.raises(Exception, match="lib_review"):
            await books[0].load("tags", "reviews")
        assert len(books[0].tags) == 2


async def test_one_loads_the_instance_alone_but_shares_statements(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id").fetch_mode(ONE)
        with assert_num_queries(db, 1):
            await asyncio.gather(books[0].load("author"), books[3].load("author"))
        assert (books[0].author.name, books[3].author.name) == ("Ann", "Ben")
        with pytest.raises(NotLoaded):
            books[1].author  # noqa: B018 - reading it is the point


async def test_raise_refuses_and_is_inherited(database_url: str) -> None:
    async with library(database_url):
        books = await Book.objects.order_by("id").fetch_mode(RAISE).prefetch_related("author")
        await books[0].load("author")
        with pytest.raises(NotLoaded, match=r"Book: tags is not loaded, and the fetch mode is RAISE"):
            await books[0].load("tags")
        with pytest.raises(NotLoaded, match="RAISE"):
            await books[0].author.load("publisher")
        assert PEERS.value == "peers"
        with pytest.raises(FieldError, match="no fetch mode 'peer'; did you mean 'peers'"):
            Book.objects.all().fetch_mode("peer")


async def test_references_and_new_instances_load_alone(database_url: str) -> None:
    async with library(database_url) as db:
        one, other = Book.ref(1), Book.ref(4)
        with assert_num_queries(db, 1):
            await one.load("title", "blurb")
        assert (one.title, one.blurb) == ("A1", "about A1")
        with pytest.raises(NotLoaded):
            other.title  # noqa: B018 - reading it is the point
        with assert_num_queries(db, 2):
            await other.load("author")
        assert other.author.name == "Ben"
        new: Any = Book(title="new", author_id=2)  # type: ignore[call-arg]
        await new.load("author")
        assert new.author.name == "Ben"
        with pytest.raises(NotLoaded, match="has no value yet"):
            await new.load("tags")
        unsaved: Any = Publisher(name="x")
        with pytest.raises(NotLoaded, match="not saved yet"):
            await unsaved.load("id")


async def test_a_row_that_is_gone_is_said(database_url: str) -> None:
    async with library(database_url) as db:
        reviews = await Review.objects.order_by("id").only("stars")
        await db.execute("DELETE FROM lib_review WHERE id = 1")
        with pytest.raises(Review.DoesNotExist, match="not in the database any more"):
            await reviews[0].load("text")
        assert reviews[1].text == ""


async def test_what_was_set_meanwhile_stays(database_url: str) -> None:
    async with library(database_url):
        books = await Book.objects.order_by("id").only("title")
        books[1].blurb = "mine"
        await books[0].load("blurb")
        assert [book.blurb for book in books[:2]] == ["about A1", "mine"]
        assert books[0]._changed is None


async def test_a_changed_key_is_loaded_anew(database_url: str) -> None:
    async with library(database_url):
        book: Any = await Book.objects.select_related("author").get(id=1)
        book.author_id = 2
        with pytest.raises(NotLoaded):
            book.author  # noqa: B018 - reading it is the point
        await book.load("author")
        assert book.author.name == "Ben"


async def test_a_key_that_was_left_out_is_loaded_first(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id").only("title")
        with assert_num_queries(db, 2):
            await books[0].load("author")
        assert books[3].author.name == "Ben"


async def test_keys_of_several_columns(database_url: str) -> None:
    async with library(database_url) as db:
        notes = await Note.objects.order_by("id").only("id")
        with assert_num_queries(db, 3):
            await notes[0].load("chapter", "text")
        assert [(note.chapter.number, note.text) for note in notes] == [(2, "n1"), (1, "n2"), (2, "n3")]


async def test_in_a_transaction_it_runs_there(database_url: str) -> None:
    async with library(database_url) as db:
        books = await Book.objects.order_by("id")
        async with db.transaction():
            await db.execute("INSERT INTO lib_review (book_id, stars) VALUES (4, 2)")
            await books[0].load("reviews")
        assert len(books[3].reviews) == 1


async def test_wherever_a_caller_is_cancelled_the_pool_stays_whole(database_url: str) -> None:
    async with library(database_url) as db:

        async def attempt(cancel: Cancel) -> Point:
            books = await Book.objects.order_by("id").only("title")
            point = await cancel(books[0].load("author", "blurb", "tags"))
            await books[1].load("author", "tags")
            assert [book.author.name for book in books] == ["Ann", "Ann", "Ann", "Ben"]
            return point

        for moment in MOMENTS:
            await cancel_everywhere(attempt, moment)
        await until_async(lambda: db.pool_stats()["busy"] == 0)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("autor",), "Book has no field 'autor'; did you mean"),
        (("author__nam",), "Author has no relation 'nam'"),
        ((), "takes the names"),
        ((3,), "takes names, not int"),
    ],
)
async def test_names_that_are_not_known(names: Any, text: str) -> None:
    with pytest.raises(FieldError, match=text):
        await Book.ref(1).load(*names)
