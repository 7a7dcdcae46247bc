"""What a hostile reading has found: each test is a case that once gave wrong rows, or an error that helped nobody."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any, ClassVar

import pytest
from hyperdjango.database import Database
from hyperdjango.models import (
    Count,
    Exists,
    F,
    Field,
    FieldError,
    FilteredRelation,
    ForeignKey,
    Json,
    Model,
    OuterRef,
    Q,
    Subquery,
    UniqueConstraint,
    Value,
    create_schema,
)
from hyperdjango.models.functions import Coalesce
from shelf import Author, Book, Review, Tag, keys


class Poet(Model):
    """Its order has a value in it."""

    name: str
    born: date | None = None
    notes: Json[Any] | None = None

    class Meta:
        table = "review_poet"
        ordering: ClassVar = [Coalesce("born", Value(date(1900, 1, 1))).desc(), "name"]


class Verse(Model):
    poet: ForeignKey[Poet]
    number: int
    text: str
    line: str = Field(unique=True)

    class Meta:
        table = "review_verse"
        primary_key = ("poet", "number")
        constraints = (UniqueConstraint("text", name="review_text_once"),)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Three poets, and two verses of the first."""
    async with Database(database_url, 1, 4) as database:
        await create_schema([Poet, Verse], database)
        poets: Any = Poet.objects.using(database)
        first = await poets.create(name="a", born=date(1950, 1, 1))
        await poets.create(name="b")
        await poets.create(name="c", born=date(1850, 1, 1))
        for number in (1, 2):
            await Verse.objects.using(database).create(
                poet=first, number=number, text=f"t{number}", line=f"l{number}"
            )
        yield database


async def test_what_is_negated_beside_a_condition_on_one_row_is_about_all_rows(shelf: Database) -> None:
    # Book 1 has a review of four stars that is not the great one; the great one is its other review.
    condition: Any = Q(reviews__stars=4) & (~Q(reviews__text="great") | Q(title="none"))
    assert await keys(shelf, condition) == []
    deeper: Any = Q(reviews__stars=4) & (Q(title="none") | (Q(pages__gt=1) & ~Q(reviews__text="great")))
    assert await keys(shelf, deeper) == []
    assert await keys(shelf, Q(reviews__stars=4) & (~Q(reviews__text="bad") | Q(title="none"))) == [1]


async def test_a_union_as_a_subquery_refers_to_the_row_around(shelf: Database) -> None:
    either: Any = (
        Book.objects.filter(author=OuterRef("pk"), title="Emma")
        .values("pk")
        .union(Book.objects.filter(author=OuterRef("pk"), title="Ulysses").values("pk"))
    )
    authors: Any = Author.objects.using(shelf).order_by("pk")
    assert await authors.filter(Exists(either)).values_list("pk", flat=True) == [1, 2]
    found = await authors.annotate(found=Subquery(either)).values_list("found", flat=True)
    assert found == [1, 3, None]


async def test_a_union_of_instances_as_a_subquery_gives_their_keys(shelf: Database) -> None:
    both: Any = Book.objects.filter(title="Emma").union(Book.objects.filter(title="Ulysses"))
    assert await keys(shelf, pk__in=both) == [1, 3]
    assert await keys(shelf, pk__in=both.order_by("-price")[:1]) == [3]
    assert await keys(shelf, ~Q(pk__in=both)) == [2, 4]


async def test_distinct_on_holds_in_a_subquery(shelf: Database) -> None:
    firsts: Any = Book.objects.distinct("author").order_by("author", "pk")
    assert await keys(shelf, pk__in=firsts) == [1, 3]
    assert await keys(shelf, pk__in=Book.objects.order_by("-title").distinct()[:1]) == [4]


async def test_a_union_of_values_is_ordered_by_what_they_are_called(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf)
    rows = (
        books.filter(pk=1)
        .values_list("pk", "author__name")
        .union(books.filter(pk=3).values_list("pk", "title"))
    )
    assert await rows.order_by("-pk") == [(3, "Ulysses"), (1, "Jane")]
    assert await rows.order_by("author__name") == [(1, "Jane"), (3, "Ulysses")]


def test_a_union_of_instances_with_other_columns_is_refused() -> None:
    books: Any = Book.objects
    with pytest.raises(FieldError, match=r"fetches id, title, another one id, binding"):
        books.only("title").union(books.only("binding"))
    assert books.only("title").union(books.only("title").filter(pk=1)).to_sql()[1] == (1,)


async def test_the_values_in_a_models_own_order_are_its_own(db: Database) -> None:
    poets: Any = Poet.objects.using(db).filter(name__gt="")
    assert await poets.values_list("name", flat=True) == ["a", "b", "c"]
    assert (await poets.first()).name == "a"
    assert (await poets.last()).name == "c"
    assert await poets.filter(name__in=["b", "c"])[:1].values_list("name", flat=True) == ["b"]
    assert [poet.name for poet in (await poets.page(size=2)).items] == ["a", "b"]
    newest: Any = Poet.objects.exclude(name="a").values("name")[:1]
    assert await poets.annotate(newest=Subquery(newest)).values_list("newest", flat=True) == ["b", "b", "b"]
    assert await poets.union(poets.filter(name="x"), all=True).count() == 3


async def test_different_values_are_not_in_the_way_of_the_models_own_order(db: Database) -> None:
    poets: Any = Poet.objects.using(db)
    assert sorted(await poets.values_list("name", flat=True).distinct()) == ["a", "b", "c"]
    # Instances differ by their keys, whatever they are ordered by, and json cannot be compared.
    assert [poet.name for poet in await poets.distinct()] == ["a", "b", "c"]
    assert await poets.distinct()[:2].update(notes={}) == 2
    assert await poets.filter(notes__isnull=False).count() == 2


async def test_the_first_of_what_has_no_key_needs_an_order(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf)
    groups = books.values("author").annotate(n=Count("pk"))
    for unordered in (groups, books.values("author").distinct()):
        for method in (unordered.first, unordered.last):
            with pytest.raises(FieldError, match=r"order_by\(\)"):
                await method()
    assert (await groups.order_by("author").last())["author"] == 2
    assert (await books.distinct("author").first()).pk == 1
    both = books.filter(pk=4).union(books.filter(pk=2))
    assert ((await both.first()).pk, (await both.last()).pk) == (2, 4)


async def test_a_related_row_has_its_key_beside_it_whatever_only_leaves_out(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf).select_related("author").order_by("pk")
    book = await books.only("title").first()
    assert (book.author_id, book.author.name) == (1, "Jane")
    assert list(books.only("author__name").to_sql()[0].split(" FROM ")[0].split(", ")) == [
        'SELECT t0."id"',
        't0."author_id"',
        't1."id"',
        't1."name"',
    ]


async def test_in_bulk_wants_a_field_that_no_two_rows_share(db: Database, shelf: Database) -> None:
    verses: Any = Verse.objects.using(db)
    assert list(await verses.in_bulk()) == [(1, 1), (1, 2)]
    assert list(await verses.in_bulk([(1, 2)])) == [(1, 2)]
    assert list(await verses.in_bulk(["l2"], field_name="line")) == ["l2"]
    assert list(await verses.in_bulk(["t1"], field_name="text")) == ["t1"]
    books: Any = Book.objects.using(shelf)
    with pytest.raises(FieldError, match=r"Book.author_id is not unique"):
        await books.in_bulk([1], field_name="author")
    assert sorted(await books.distinct("author").in_bulk(field_name="author_id")) == [1, 2]
    with pytest.raises(FieldError, match="leaves it out"):
        await verses.defer("line").in_bulk(field_name="line")
    with pytest.raises(FieldError, match="gives instances"):
        await books.values("title").in_bulk([1])


async def test_a_row_that_is_not_there_does_not_tell_what_was_looked_for(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf)
    for condition in (Q(title="s3cret"), Book.c.title == "s3cret", Q(title="x") & ~Q(title__in=["s3cret"])):
        with pytest.raises(Book.DoesNotExist, match="title") as caught:
            await books.get(condition, title="s3cret")
        assert "s3cret" not in str(caught.value)


MISUSES: list[tuple[Callable[[Any], Any], str]] = [
    (list, r"of Book are read by await: `for row in await queryset`"),
    (bool, r"of Book has rows is asked by await: `if await queryset.exists\(\)`"),
    (len, r"of Book has no length before it is awaited: `await queryset.count\(\)`"),
    (lambda books: 1 in books, r"`await queryset.contains\(row\)`"),
    (lambda books: books[0], r"await queryset\[0:1\]"),
    (lambda books: books["title"], r"is sliced: queryset\[2:5\]; \['title'\]"),
    (lambda books: books[:2.5], r"sliced by ints"),
    (pickle.dumps, r"of Book cannot be pickled"),
]


@pytest.mark.parametrize(("use", "said"), MISUSES)
def test_a_queryset_that_is_taken_for_a_list_says_what_to_write(use: Callable[[Any], Any], said: str) -> None:
    for books in (Book.objects, Book.objects.filter(pk=1)):
        with pytest.raises(TypeError, match=said):
            use(books)


async def test_a_queryset_is_copied_as_any_value(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf).filter(pk=1)
    for made in (copy.copy(books), copy.deepcopy({"of": [books]})["of"][0]):
        assert await made.values_list("pk", flat=True) == [1]


def test_rows_of_another_model_are_no_keys_of_this_one() -> None:
    books: Any = Book.objects
    for name in ("pk__in", "id__in", "author_id__in", "author__in"):
        with pytest.raises(FieldError, match="Tag"):
            books.filter(**{name: Tag.objects.all()})
    with pytest.raises(FieldError, match=r"pages is no key of Tag; say by values\(…\)"):
        books.filter(pages__in=Tag.objects.all())
    books.filter(
        pk__in=books.filter(pk=1), author_id__in=Author.objects.all(), pages=Tag.objects.values("pk")[:1]
    )


def test_an_error_about_a_condition_does_not_repeat_its_values() -> None:
    books: Any = Book.objects
    secret = "s3cret"
    wrongs: list[Callable[[], Any]] = [
        lambda: books.filter(Value(secret)),
        lambda: books.filter(title__isnull=secret),
        lambda: books.filter(pages=secret),
        lambda: books.filter(pages__in=[secret]),
        lambda: books.filter(pages__range=(secret, secret)),
        lambda: books.filter(title__has_keys=[secret]),
        lambda: books.filter(in_print=[secret]),
        lambda: books.filter(words__len=[secret]),
        lambda: books.filter(data__has_key=[secret]),
        lambda: books.filter(titel=secret),
        lambda: books.annotate(text=secret),
    ]
    for wrong in wrongs:
        with pytest.raises(FieldError) as caught:
            wrong()
        assert secret not in str(caught.value)


class Counted(Model):
    name: str = Field(unique=True)
    size: int = 0
    marks: list[str] = Field(default_factory=list)
    version: int = Field(default=0, version=True)

    class Meta:
        table = "review_counted"


@pytest.fixture
async def counted(database_url: str) -> AsyncIterator[Any]:
    async with Database(database_url, 1, 4) as database:
        await create_schema([Counted], database)
        yield Counted.objects.using(database)


class Undone(Exception):  # noqa: N818 - nothing is wrong
    """Ends a block."""


async def test_what_was_written_in_a_block_that_is_rolled_back_is_written_again(counted: Any) -> None:
    db: Database = counted._using
    old = await counted.create(name="old")
    gone = await counted.create(name="gone")
    lists = [await counted.create(name=f"l{number}") for number in range(2)]
    new, bulk = Counted(name="new"), [Counted(name="b0"), Counted(name="b1")]
    with pytest.raises(Undone):  # noqa: PT012 - the block is what is undone
        async with db.transaction():
            await new.save(using=db)
            old.size = 5
            old.marks.append("x")
            await old.save()
            old.size = 6
            await old.save()
            await gone.delete()
            await counted.bulk_create(bulk)
            for one in lists:
                one.size = 7
            await counted.bulk_update(lists, ["size"])
            raise Undone
    assert (new._origin, bulk[0]._origin, old.version) == (None, None, 0)
    old.name = "older"
    for one in (new, old, *bulk, *lists):
        await one.save(using=db)
    assert await counted.order_by("name").values_list("name", "size", "marks") == [
        ("b0", 0, []),
        ("b1", 0, []),
        ("gone", 0, []),
        ("l0", 7, []),
        ("l1", 7, []),
        ("new", 0, []),
        ("older", 6, ["x"]),
    ]
    assert await gone.delete() == 1


async def test_a_savepoint_takes_back_its_own_writes_alone(counted: Any) -> None:
    db: Database = counted._using
    outer, inner = Counted(name="outer"), Counted(name="inner")
    async with db.transaction():
        await outer.save(using=db)
        with pytest.raises(Undone):  # noqa: PT012 - the block is what is undone
            async with db.transaction():
                await inner.save(using=db)
                outer.size = 3
                await outer.save()
                raise Undone
        assert (outer._origin is not None, inner._origin) == (True, None)
        await outer.save()
        await inner.save(using=db)
    assert await counted.order_by("name").values_list("name", "size") == [("inner", 0), ("outer", 3)]


async def test_a_block_that_is_committed_takes_nothing_back(counted: Any) -> None:
    db: Database = counted._using
    one = Counted(name="one")
    async with db.transaction(), db.transaction():
        await one.save(using=db)
    assert one._origin is not None
    assert await counted.count() == 1
    with pytest.raises(Undone):
        async with db.transaction():
            raise Undone
    assert one._origin is not None


async def test_a_slice_is_not_reversed_as_if_it_came_afterwards(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf).order_by("pk")
    with pytest.raises(FieldError, match="a sliced queryset cannot be reversed"):
        books[:2].reverse()
    assert await books.reverse()[:2].values_list("pk", flat=True) == [4, 3]


async def test_latest_takes_expressions(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf)
    assert (await books.latest(F("pages").asc(nulls_first=True))).pages == 700
    assert (await books.earliest(F("pages").desc(nulls_last=True))).pages == 700
    assert (await books.latest("-pages", "title")).pages == 100
    assert (await books.latest("price", F("title"))).pk == 4


async def test_the_condition_of_a_filtered_relation_to_one_stays_with_its_row(shelf: Database) -> None:
    reviews: Any = Review.objects.using(shelf)
    with pytest.raises(FieldError, match=r"the condition is about 'shelf_author'"):
        reviews.annotate(one=FilteredRelation("book", condition=Q(book__author__name="Jane")))
    near = reviews.annotate(one=FilteredRelation("book", condition=Q(book__pages__gt=F("stars") * 100)))
    assert await near.order_by("pk").values_list("one__title", flat=True) == [None, None, None, "Ulysses"]


async def test_distinct_on_and_the_order_agree_before_anything_is_sent() -> None:
    groups = Book.objects.distinct("author")
    with pytest.raises(FieldError, match=r"distinct\('author_id'\) of Book keeps the first row"):
        groups.order_by("title").to_sql()
    assert 'DISTINCT ON (t0."author_id")' in groups.order_by("author_id", "title").to_sql()[0]
