"""Querysets as values, Case and When, windows."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.models import FieldError
from hyperdjango.models._conditional import Case, When
from hyperdjango.models._subquery import ArraySubquery, Exists, Subquery
from hyperdjango.models.aggregates import Avg, Count, Sum
from hyperdjango.models.expressions import F, OuterRef, Value
from hyperdjango.models.functions import (
    Coalesce,
    CumeDist,
    DenseRank,
    FirstValue,
    Lag,
    LastValue,
    Lead,
    Lower,
    NthValue,
    Ntile,
    PercentRank,
    Rank,
    RowNumber,
)
from hyperdjango.models.query_words import Q
from hyperdjango.models.window import (
    GroupsRange,
    RowRange,
    ValueRange,
    Window,
    WindowFrameExclusion,
)
from shelf import Author, Book, Review, Tag, Vote, keys, label, values

BOOKS: Any = Book.objects
REVIEWS: Any = Review.objects
best = REVIEWS.filter(book=OuterRef("pk")).order_by("-stars", "pk")


async def test_a_scalar_subquery(shelf: Database) -> None:
    assert await values(shelf, Subquery(best.values("stars")[:1])) == [5, 1, 5, None]
    assert await values(shelf, Coalesce(Subquery(best.values("text")[:1]), Value("none"))) == [
        "great", "bad", "long", "none",
    ]  # fmt: skip
    assert await values(shelf, Subquery(best[:1])) == [1, 3, 4, None]
    assert await values(shelf, Subquery(best.values("stars")[:1], output_field=str)) == ["5", "1", "5", None]


async def test_exists_and_its_opposite(shelf: Database) -> None:
    good = REVIEWS.filter(book=OuterRef("pk"), stars__gte=4)
    assert await values(shelf, Exists(good)) == [True, False, True, False]
    assert await keys(shelf, Exists(good)) == [1, 3]
    assert await keys(shelf, ~Exists(good)) == [2, 4]
    assert await keys(shelf, Exists(good) & Q(price__lt=20)) == [1]
    assert await keys(shelf, Q(pk=4) | Exists(good)) == [1, 3, 4]


async def test_outer_references_go_through_relations_and_levels(shelf: Database) -> None:
    namesake = Author.objects.filter(name=OuterRef("author__name"))
    assert await keys(shelf, Exists(namesake)) == [1, 2, 3, 4]
    votes: Any = Vote.objects.filter(review=OuterRef("pk"), weight__lt=OuterRef(OuterRef("pages")))
    reviews = REVIEWS.filter(Exists(votes), book=OuterRef("pk"))
    assert await keys(shelf, Exists(reviews)) == [1]


async def test_values_of_both_queries_keep_their_places(shelf: Database) -> None:
    good = REVIEWS.filter(stars__gte=4, book=OuterRef("pk"), text__startswith="gr")
    books = BOOKS.using(shelf).filter(price__gt=1).filter(Exists(good), price__lt=1000).filter(title="Emma")
    assert await books.values_list("pk", flat=True) == [1]
    again = REVIEWS.filter(stars__gte=5, book=OuterRef("pk"), text__startswith="lo")
    books = (
        BOOKS.using(shelf).filter(price__gt=2).filter(Exists(again), price__lt=999).filter(title="Ulysses")
    )
    assert await books.values_list("pk", flat=True) == [3]


async def test_a_queryset_behind_in(shelf: Database) -> None:
    assert await keys(shelf, author__in=Author.objects.filter(name="Jane")) == [1, 2]
    assert await keys(shelf, author__in=Author.objects.filter(name="Jane").values("pk")) == [1, 2]
    assert await keys(shelf, title__in=BOOKS.filter(price__gt=30).values("title")) == [3, 4]
    assert await keys(shelf, pk__in=REVIEWS.filter(stars=5).values("book")) == [1, 3]
    assert await keys(shelf, tags__in=Tag.objects.filter(name="classic")) == [1, 3]
    assert await keys(shelf, price__gt=BOOKS.filter(pk=2).values("price")) == [3, 4]
    assert await keys(shelf, ~Q(pk__in=BOOKS.filter(pk__lt=3))) == [3, 4]


async def test_an_array_subquery(shelf: Database) -> None:
    assert await values(shelf, ArraySubquery(best.values("stars"))) == [[5, 4], [1], [5], []]


async def test_an_aggregated_subquery(shelf: Database) -> None:
    stars = REVIEWS.filter(book=OuterRef("pk")).values("book").annotate(mean=Avg("stars")).values("mean")
    assert await values(shelf, Subquery(stars)) == [4.5, 1.0, 5.0, None]


def test_what_is_no_queryset_is_refused() -> None:
    with pytest.raises(FieldError, match="takes a queryset, not int"):
        Exists(5)
    with pytest.raises(FieldError, match="gives one column"):
        BOOKS.filter(pk__in=BOOKS.values("pk", "title"))
    with pytest.raises(FieldError, match="Book has no field 'pkk'"):
        BOOKS.filter(Exists(REVIEWS.filter(book=OuterRef("pkk"))))
    with pytest.raises(FieldError, match="Review has no field 'stras'; did you mean 'stars'"):
        REVIEWS.filter(stras=OuterRef("pk"))


async def test_case_in_conditions_orders_and_aggregates(shelf: Database) -> None:
    size = Case(
        When(pages__gt=500, then=Value("long")),
        When(pages__isnull=True, then=Value("?")),
        default=Value("short"),
    )
    assert await values(shelf, size) == ["short", "?", "long", "short"]
    books = BOOKS.using(shelf).alias(size=size).filter(size="short").order_by("pk")
    assert await books.values_list("pk", flat=True) == [1, 4]
    ordered = BOOKS.using(shelf).order_by(Case(When(title="Ulysses", then=0), default=1), "pk")
    assert await ordered.values_list("pk", flat=True) == [3, 1, 2, 4]
    row = await BOOKS.using(shelf).aggregate(
        long=Sum(Case(When(pages__gt=500, then=1), default=0)),
        cheap=Count(Case(When(price__lt=15, then="pk"))),
    )
    assert row == {"long": 1, "cheap": 1}
    # Within an aggregate over a relation a condition means the row that is gathered.
    good = Sum(Case(When(reviews__stars__gte=5, then=1), default=0), default=-1)
    assert await values(shelf, good) == [1, 0, 1, -1]


def test_mistakes_in_case() -> None:
    with pytest.raises(FieldError, match="needs a condition"):
        When(then=1)
    with pytest.raises(FieldError, match="takes When"):
        Case(Q(pk=1))  # type: ignore[arg-type]
    with pytest.raises(FieldError, match="takes a Q or a boolean expression, not int"):
        When(1, then=2)  # type: ignore[arg-type]
    with pytest.raises(FieldError, match="no field 'titel'"):
        BOOKS.annotate(n=Case(When(titel="x", then=1)))


WRONG: Any = "TIES"
BY_AUTHOR: dict[str, Any] = {"partition_by": "author", "order_by": "-price"}


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(RowNumber(), order_by="-price"), [4, 3, 2, 1]),
        (Window(Rank(), order_by="binding"), [1, 3, 3, 1]),
        (Window(DenseRank(), order_by=F("binding").desc()), [2, 1, 1, 2]),
        (Window(PercentRank(), order_by="price"), [0.0, 1 / 3, 2 / 3, 1.0]),
        (Window(CumeDist(), order_by="price"), [0.25, 0.5, 0.75, 1.0]),
        (Window(Ntile(2), order_by="price"), [1, 1, 2, 2]),
        (Window(Lag("title"), order_by="pk"), [None, "Emma", "100% Emma_x", "Ulysses"]),
        (Window(Lead("pk", 2, 0), order_by="pk"), [3, 4, 0, 0]),
        (
            Window(FirstValue("title"), **BY_AUTHOR),
            ["100% Emma_x", "100% Emma_x", "back\\slash", "back\\slash"],
        ),
        (Window(LastValue("pk"), frame=RowRange(), **BY_AUTHOR), [1, 1, 3, 3]),
        (Window(NthValue("pk", 2), order_by="pk"), [None, 2, 2, 2]),
        (Window(Sum("pages"), order_by="pk"), [100, 100, 800, 1100]),
        (Window(Sum("sold"), order_by="pk", frame=RowRange(-1, 0)), [5_000_000_000, 5_000_000_003, 10, 8]),
        (Window(Count("*", filter=Q(in_print=True)), partition_by=["author"]), [1, 1, 1, 1]),
        (Window(Sum("pages", default=-1), order_by="pk", frame=RowRange(1, 1)), [-1, 700, 300, -1]),
        (Window(Avg("pages"), partition_by=Lower("author__name")), [100.0, 100.0, 500.0, 500.0]),
        (Window(Count("*"), order_by="price", frame=ValueRange(-15, 0)), [1, 2, 2, 2]),
        (
            Window(Count("*"), order_by="lasts", frame=ValueRange(-timedelta(days=2), timedelta(0))),
            [2, 1, 2, 2],
        ),
        (Window(Count("*"), order_by="binding", frame=GroupsRange(0, 0)), [2, 2, 2, 2]),
        (
            Window(Count("*"), frame=RowRange(exclusion=WindowFrameExclusion.CURRENT_ROW)),
            [3, 3, 3, 3],
        ),
    ],
    ids=label,
)
async def test_windows(shelf: Database, window: Any, expected: list[Any]) -> None:
    assert await values(shelf, window) == expected


async def test_windows_in_expressions(shelf: Database) -> None:
    share = F("price") / Window(Sum("price"), partition_by="author")
    assert [round(one, 2) for one in await values(shelf, share)] == [
        Decimal("0.33"), Decimal("0.67"), Decimal("0.43"), Decimal("0.57"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BOOKS.annotate(n=Rank()), "is a window function: Window"),
        (lambda: Window(F("pk")), "takes a window function or an aggregate"),
        (lambda: Window(Rank(), frame=WRONG), "frame takes a RowRange"),
        (lambda: RowRange("1; DROP TABLE x", 1), "a bound is an int or None"),
        (lambda: RowRange(1, -1), "before it begins"),
        (lambda: RowRange(True, 1), "a bound is an int or None"),
        (lambda: RowRange(exclusion=WRONG), "takes a WindowFrameExclusion"),
        (lambda: Ntile(0), "an int from 1 on"),
        (lambda: BOOKS.annotate(n=Window(Sum("reviews__stars"))), "annotate it first"),
        (lambda: BOOKS.annotate(n=Window(Rank(), order_by="x")), "no field 'x'"),
        (lambda: BOOKS.alias(n=Window(Rank(), order_by="pk")).filter(n=1), "cannot be filtered by"),
    ],
)
def test_mistakes_in_windows(build: Any, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        build()


async def test_a_subquery_of_the_same_model_beside_an_aggregate_has_columns_of_its_own(
    shelf: Database,
) -> None:
    total = Subquery(BOOKS.annotate(k=Value(1)).values("k").annotate(s=Sum("pages")).values("s"))
    groups = BOOKS.using(shelf).values("author")
    shares = await groups.annotate(share=Sum("pages") * 100 / total).order_by("author").values_list("share")
    pages = await BOOKS.using(shelf).order_by("pk").values_list("author", "pages")
    by_author = {key: sum(some or 0 for one, some in pages if one == key) for key, _ in pages}
    everything = sum(by_author.values())
    assert [share for (share,) in shares] == [by_author[key] * 100 // everything for key in sorted(by_author)]


async def test_an_outer_reference_into_the_same_model_is_still_one_of_the_groups(shelf: Database) -> None:
    def of(field: str) -> Subquery:
        same = BOOKS.filter(author=OuterRef(field)).annotate(k=Value(1)).values("k")
        return Subquery(same.annotate(s=Sum("pages")).values("s"))

    groups = BOOKS.using(shelf).values("author")
    found = await groups.annotate(share=Coalesce(Sum("pages") - of("author"), Value(0))).values_list("share")
    assert {share for (share,) in found} == {0}
    with pytest.raises(FieldError, match=r"'sold', of which the rows of a group may have several values"):
        groups.annotate(share=Sum("pages") - of("sold"))
