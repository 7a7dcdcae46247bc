"""A query that cannot be meant says so when it is built: the model, the word, and the nearest right one.

One list, for every kind of wrong word and value. What only the database can know (a table that was never made) has
a hint of ours behind its error, and is in test_advice.py.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hyperdjango.database import Database
from hyperdjango.models import (
    Case,
    Count,
    Exists,
    F,
    FieldError,
    Model,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from hyperdjango.models.functions import Rank
from shelf import Author, Binding, Book, Review, Tag, keys

books: Any = Book.objects
authors: Any = Author.objects
counted: Any = Book.objects.annotate(number=Count("reviews"))
grouped: Any = Book.objects.order_by().values("author").annotate(n=Count("pk"))
nobody: Any = Author(name="x")  # type: ignore[call-arg]  # relations that are annotations are arguments
NAIVE = datetime(2020, 1, 1)
AWARE = datetime(2020, 1, 1, tzinfo=UTC)

WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "field": (lambda: books.filter(titel="x"), r"Book has no field 'titel'; did you mean 'title'\?"),
    "field, excluded": (lambda: books.exclude(titel="x"), r"Book has no field 'titel'; did you mean 'title'\?"),
    "field of a relation": (lambda: books.filter(author__nmae="x"), r"Author has no field 'nmae'.*'name'\?"),
    "field over to-many": (lambda: authors.filter(books__titel=1), r"Book has no field 'titel'.*'title'\?"),
    "field in a Q": (lambda: books.filter(~Q(titel=1)), r"Book has no field 'titel'; did you mean 'title'\?"),
    "field in When": (lambda: books.annotate(x=Case(When(titel=1, then=Value(1)))), r"'titel'; did you mean 'title'"),
    "field in F": (lambda: books.annotate(x=F("titel") + 1), r"Book has no field 'titel'; did you mean 'title'\?"),
    "field in an aggregate": (lambda: books.annotate(n=Count("reviws")), r"Book has no field 'reviws'.*'reviews'\?"),
    "field in a window": (
        lambda: books.annotate(x=Window(Rank(), order_by="-pges")), r"Book has no field 'pges'; did you mean .*'pages'"
    ),
    "field of OuterRef": (
        lambda: authors.filter(Exists(books.filter(title=OuterRef("nmae")))), r"Author has no field 'nmae'.*'name'\?"
    ),
    "field by attribute": (lambda: Book.c.titel, r"Book has no field 'titel'; did you mean 'title'\?"),
    "order": (lambda: books.order_by("-titel"), r"Book has no field 'titel'; did you mean 'title'\?"),
    "values": (lambda: books.values("titel"), r"Book has no field 'titel'; did you mean 'title'\?"),
    "only": (lambda: books.only("titel"), r"Book has no field 'titel'; did you mean 'title'\?"),
    "distinct": (lambda: books.distinct("titel"), r"Book has no field 'titel'; did you mean 'title'\?"),
    "lookup": (lambda: books.filter(title__contians="x"), r"Book.title .*no lookup.*'contians'.*'contains'"),
    "lookup of another kind": (lambda: books.filter(pages__year=1), r"Book.pages \(.*\) has no lookup.*'year'"),
    "lookup of a relation": (lambda: books.filter(author__contains=1), r"Author has no field 'contains', and a relat"),
    "annotation": (lambda: counted.filter(nubmer=1), r"Book has no field 'nubmer'; did you mean 'number'\?"),
    "annotation in an order": (lambda: counted.order_by("nubmer"), r"Book has no field 'nubmer'.*'number'\?"),
    "alias of a field": (lambda: books.annotate(title=Value(1)), "'title' is a field of Book already"),
    "alias of a method": (lambda: books.annotate(save=Value(1)), "'save' is an attribute of Book already"),
    "alias with a separator": (lambda: books.alias(a__b=Value(1)), "Book: 'a__b' is no name for a value"),
    "private alias": (lambda: books.annotate(_table=Value(1)), "Book: '_table' is no name for a value"),
    "relation to join": (lambda: books.select_related("autor"), r"Book has no relation 'autor'.*'author'\?"),
    "relation to join, many": (lambda: books.select_related("tags"), r"Book.tags has many rows.*prefetch_related"),
    "relation to fetch": (lambda: books.prefetch_related("tgas"), r"Book has no relation 'tgas'.*'tags'\?"),
    "relation to fetch, deep": (
        lambda: authors.prefetch_related("books__tgas"), r"Book has no relation 'tgas' .*'books__tgas'.*'tags'\?"
    ),
    "queryset to fetch": (
        lambda: books.prefetch_related(Prefetch("tags", queryset=authors.all())), r"'tags'\) leads to Tag, .* Author"
    ),
    "class of a value": (lambda: books.filter(pages="x"), "Book: pages is compared with str, but integer takes int"),
    "class of an expression": (lambda: books.filter(Book.c.pages > "x"), r"Book: F\('pages'\) gt is compared with str"),
    "class of another field": (lambda: books.filter(pages=F("title")), "Book: pages is compared with .*takes int"),
    "class in a list": (lambda: books.filter(pages__in=[1, "x"]), "Book: pages__in is compared with str"),
    "class in a subquery": (
        lambda: books.filter(pages__in=authors.values("name")), "Book: pages__in is compared with .* takes int"
    ),
    "class of a range": (lambda: books.filter(pages__range=(1, "x")), "Book: pages__range is compared with str"),
    "no list": (lambda: books.filter(pages__in=5), "Book: pages__in takes a list or a queryset, not 5"),
    "half a range": (lambda: books.filter(pages__range=[1]), "Book: pages__range takes two values"),
    "no bool": (lambda: books.filter(pages__isnull=1), "Book: pages__isnull takes True or False, not int"),
    "None": (lambda: books.filter(pages__gt=None), "Book: pages__gt cannot be compared with None; use pages__isnull"),
    "member of an enum": (
        lambda: books.filter(binding="hrad"), r"Book: binding is compared with a str that is no Binding.*'hard'\?"
    ),
    "members of an enum": (lambda: books.filter(binding__in=["hard", "sotf"]), r"Book: binding__in .*'soft'\?"),
    "time without a zone": (lambda: books.filter(added__gte=NAIVE), "Book: added__gte .* without a time zone"),
    "times without a zone": (lambda: books.filter(added__in=[AWARE, NAIVE]), "Book: added__in .* without a time zone"),
    "time with a zone": (lambda: books.filter(local=AWARE), "Book: local .* with a time zone"),
    "date and time without a zone": (lambda: books.filter(published__lt=NAIVE), "Book: published__lt .* without a"),
    "instance of another model": (lambda: books.filter(author=Tag.ref(1)), "Book.author is Author; .* cannot be a Tag"),
    "instance without a key": (lambda: books.filter(author=nobody), "Book: this Author has no key yet"),
    "rows of another model": (lambda: books.filter(author__in=Tag.objects.all()), "Book.author is Author; .* of Tag"),
    "rows of another model, by key": (lambda: books.filter(pk__in=Tag.objects.all()), "Book.id is no key of Tag"),
    "rows of another model, united": (lambda: books.union(Tag.objects.all()), "one of Tag"),
    "rows where one is meant": (
        lambda: books.filter(author=authors.all()), r"Book: author .* of Author may have many rows.*author__in"
    ),
    "two columns": (lambda: books.filter(pk__in=books.values("id", "title")), "of Book gives id, title"),
    "two columns, as a value": (lambda: books.annotate(x=Subquery(books.values("id", "title"))), "Book gives id, ti"),
    "sum of a text": (lambda: books.alias(x=Sum("reviews__text")), r"Sum\(\) takes numbers and intervals, not text"),
    "text and a number": (lambda: books.annotate(x=F("title") + 1), r"use Concat\(\) for text"),
    "OuterRef of nothing around": (lambda: books.filter(title=OuterRef("name")).to_sql(), "OuterRef.'name'. is of a q"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_when_it_is_built(build: Callable[[], object], said: str) -> None:
    with pytest.raises(FieldError, match=said):
        build()
    # A shape that was refused is not remembered as one that was built.
    with pytest.raises(FieldError, match=said):
        build()


def test_a_value_of_a_known_shape_is_looked_at_as_the_first_was() -> None:
    assert books.filter(binding="hard").to_sql()[1] == ("hard",)
    assert books.filter(added__in=[AWARE]).to_sql()[1] == ([AWARE],)
    with pytest.raises(FieldError, match=r"no Binding; there are hard, soft"):
        books.filter(binding="x")
    with pytest.raises(FieldError, match="without a time zone"):
        books.filter(added__in=[NAIVE])
    assert books.filter(binding__in=[Binding.HARD, None]).to_sql()[1] == (["hard"],)


def test_what_is_refused_does_not_show_the_value() -> None:
    wrong: dict[str, Any] = {"binding": "s3cret", "pages": "s3cret", "pages__in": ["s3cret"]}
    for name, value in wrong.items():
        with pytest.raises(FieldError) as caught:
            books.filter(**{name: value})
        assert "s3cret" not in str(caught.value)


async def test_a_queryset_of_one_row_is_a_value(shelf: Database) -> None:
    assert await keys(shelf, price__gt=books.filter(pk=2).values("price")) == [3, 4]
    assert await keys(shelf, price__gt=books.order_by("price").values("price")[2:3]) == [4]
    own: Any = Review.objects.filter(pk=OuterRef("pk"), stars__gt=4).values("book")
    assert await keys(shelf, pk=own) == [1]


async def test_an_enum_is_among_texts_of_a_subquery(shelf: Database) -> None:
    soft: Any = books.filter(pk=3).values("title")
    assert await keys(shelf, binding__in=soft) == []
    assert await keys(shelf, binding__in=books.filter(pk=3).values("binding")) == [2, 3]


# Groups

UNGROUPED: dict[str, tuple[Callable[[], object], str]] = {
    "a condition": (lambda: grouped.filter(Q(n=2) | Q(title="x")), r"a condition on n, title has 'title'"),
    "a condition through a relation": (
        lambda: grouped.filter(Q(n=2) | Q(author__name="x")), r"a condition on n, author__name has 'author__name'"
    ),
    "a condition on many": (lambda: grouped.filter(Q(n=2) | Q(reviews__stars=1)), "a condition on n, reviews__stars"),
    "a condition beside a field": (lambda: grouped.filter(n=F("pages")), "a condition on n, pages has 'pages'"),
    "a subquery": (
        lambda: grouped.filter(Q(n=2) | Q(Exists(Review.objects.filter(book=OuterRef("pk"))))), "a condition on n"
    ),
    "a value": (lambda: grouped.annotate(x=F("n") + F("pages")), r"annotate\(x=…\) has 'pages'"),
    "a window": (lambda: grouped.annotate(x=Window(Sum("pages"))), r"annotate\(x=…\) has 'pages'"),
    "an order": (lambda: grouped.order_by("title"), r"order_by\(\) has 'title'"),
    "an order from before": (
        lambda: books.order_by("title").values("author").annotate(n=Count("pk")).to_sql(), r"order_by\(\) has 'title'"
    ),
    "values": (lambda: grouped.values("n", "title"), r"values\('title'\) has 'title'"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "said"), UNGROUPED.values(), ids=UNGROUPED.keys())
def test_what_the_rows_of_a_group_do_not_share_is_refused(build: Callable[[], object], said: str) -> None:
    with pytest.raises(FieldError, match=f"Book: {said}.*grouped by author_id"):
        build()


async def test_what_the_rows_of_a_group_share_stands_beside_aggregates(shelf: Database) -> None:
    groups: Any = Book.objects.using(shelf).order_by()
    by_author = groups.values("author").annotate(n=Count("pk"), most=Sum("pages")).order_by("author")
    assert await by_author.filter(Q(n=5) | Q(author_id=2)).values_list("author", flat=True) == [2]
    assert await by_author.filter(Q(n=5) | Q(author=1)).values_list("author", flat=True) == [1]
    by_key = groups.values("pk").annotate(n=Count("reviews")).order_by("pk")
    assert await by_key.filter(Q(n=2) | Q(title="Ulysses")).values_list("pk", flat=True) == [1, 3]
    assert await by_key.filter(Q(n=2) | Q(tags__name="classic")).values_list("pk", flat=True) == [1, 3]
    by_name = groups.values("author__name").annotate(n=Count("pk")).order_by("-author__name")
    assert await by_name.filter(Q(n=5) | Q(author__name="Jane")).values_list("n", flat=True) == [2]
    summed = by_author.annotate(
        share=F("most") * 100 / Sum("pages"), place=Window(Rank(), order_by=F("n").desc())
    )
    assert await summed.values_list("share", "place") == [(100, 1), (100, 1)]


async def test_groups_are_made_and_ordered_by_a_subquery(shelf: Database) -> None:
    reviewed = Exists(Review.objects.filter(book=OuterRef("pk"), stars__gt=1))
    groups: Any = Book.objects.using(shelf).order_by()
    rows = groups.values("binding").annotate(n=Count("pk"), good=reviewed)
    assert await rows.order_by("binding", "good").values_list("binding", "n", "good") == [
        ("hard", 1, False),
        ("hard", 1, True),
        ("soft", 1, False),
        ("soft", 1, True),
    ]
    assert await rows.count() == 4


# Instances and classes


class Plain(Model):
    """Its order is written wrongly."""

    name: str

    class Meta:
        table = "wrong_plain"
        ordering: ClassVar = ["nmae"]


def test_an_order_of_the_models_own_is_looked_at_when_it_is_used() -> None:
    with pytest.raises(FieldError, match=r"Plain has no field 'nmae'; did you mean 'name'\?"):
        Plain.objects.all().to_sql()


def test_an_attribute_that_is_misspelt_names_the_nearest_read_or_set() -> None:
    book: Any = Book.ref(1)
    with pytest.raises(AttributeError, match=r"Book has no attribute 'titel'; did you mean 'title'\?"):
        _ = book.titel
    with pytest.raises(
        AttributeError, match=r"Book has no attribute 'titel'; did you mean 'title'\?"
    ) as caught:
        book.titel = "x"
    assert (caught.value.name, caught.value.obj) == ("titel", book)
    assert book._changed is None
    with pytest.raises(AttributeError, match=r"Book has no attribute 'titel'; did you mean 'title'\?"):
        _ = Book.titel  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"tags cannot be set: use `await book\.tags\.set"):
        book.tags = []
    with pytest.raises(AttributeError):
        del book.titel
    with pytest.raises(AttributeError, match="_titel"):
        book._titel = 1
    assert not hasattr(Book, "titel")
    assert not hasattr(Model, "titel")


def test_setting_a_misspelt_attribute_leaves_nothing_behind() -> None:
    book: Any = Book.ref(1)

    def refused(times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(AttributeError):
                book.titel = 1
            with contextlib.suppress(AttributeError):
                book.tags = []

    refused(100)
    gc.collect()
    blocks, held = sys.getallocatedblocks(), sys.getrefcount(book)
    refused(10_000)
    gc.collect()
    assert sys.getrefcount(book) == held
    assert sys.getallocatedblocks() - blocks < 1_000
