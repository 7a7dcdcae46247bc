"""Aggregates: over relations each is a subquery of its own, in groups and aggregate() they gather rows."""

from decimal import Decimal
from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.models import FieldError
from hyperdjango.models.aggregates import (
    ArrayAgg,
    Avg,
    BitAnd,
    BitOr,
    BitXor,
    BoolAnd,
    BoolOr,
    Corr,
    Count,
    CovarPop,
    JSONBAgg,
    Max,
    Min,
    RegrCount,
    RegrSlope,
    StdDev,
    StringAgg,
    Sum,
    Variance,
)
from hyperdjango.models.expressions import F, Value
from hyperdjango.models.functions import Coalesce
from hyperdjango.models.query_words import Q
from shelf import Book, Review, label, values

WRONG: Any = "stars"


async def test_two_aggregates_over_relations_do_not_multiply_each_other(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf).annotate(Count("reviews"), Count("tags")).order_by("pk")
    rows = await books.values_list("pk", "reviews__count", "tags__count")
    assert rows == [(1, 2, 2), (2, 1, 1), (3, 1, 1), (4, 0, 0)]


async def test_a_filter_of_the_relations_own_names_means_the_row_that_is_gathered(shelf: Database) -> None:
    assert await values(shelf, Count("reviews", filter=Q(reviews__stars__gte=5))) == [1, 0, 1, 0]


async def test_a_filter_of_other_names_means_the_row_around(shelf: Database) -> None:
    assert await values(shelf, Count("reviews", filter=Q(title="Emma"))) == [2, 0, 0, 0]
    # Also of another relation: that is an EXISTS, which multiplies nothing.
    assert await values(shelf, Count("reviews", filter=Q(tags__name="classic"))) == [2, 0, 1, 0]


async def test_deeper_relations_are_joined_within_the_subquery(shelf: Database) -> None:
    assert await values(shelf, Count("reviews__votes")) == [2, 1, 0, 0]
    assert await values(shelf, Sum("reviews__votes__weight")) == [30, 5, None, None]
    # A review without votes is no NULL in the list.
    assert await values(shelf, ArrayAgg("reviews__votes__weight")) == [[10, 20], [5], None, None]
    good = Q(reviews__votes__weight__gt=10)
    assert await values(shelf, Sum("reviews__votes__weight", filter=good, default=0)) == [20, 0, 0, 0]


async def test_relations_from_a_joined_row(shelf: Database) -> None:
    assert await values(shelf, Count("author__books")) == [2, 2, 2, 2]


async def test_an_aggregate_within_an_expression(shelf: Database) -> None:
    assert await values(shelf, Coalesce(Sum("reviews__stars"), Value(0)) + F("small")) == [10, 2, 6, 1]


async def test_conditions_on_aggregates(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf).annotate(n=Count("reviews")).filter(n__gte=1).order_by("-n", "pk")
    assert await books.values_list("pk", flat=True) == [1, 2, 3]
    direct: Any = Book.objects.using(shelf).filter(Count("reviews") > 1)
    assert await direct.values_list("pk", flat=True) == [1]


async def test_groups(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf).values("author__name").annotate(n=Count("pk"), total=Sum("price"))
    assert await books.order_by("author__name") == [
        {"author__name": "James", "n": 2, "total": Decimal("70.25")},
        {"author__name": "Jane", "n": 2, "total": Decimal("30.50")},
    ]
    reviews: Any = (
        Book.objects.using(shelf)
        .values("author__name")
        .annotate(n=Count("reviews"), best=Count("reviews", filter=Q(reviews__stars=5)))
    )
    assert await reviews.order_by("author__name").values_list("author__name", "n", "best") == [
        ("James", 1, 1),
        ("Jane", 3, 1),
    ]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (Sum("pages"), 1100),
        (Sum("sold"), 5_000_000_011),
        (Sum("small"), 4),
        (Sum("price"), Decimal("100.75")),
        (Sum("weight"), 9.0),
        (Avg("pages"), 1100 / 3),
        (Avg("price"), Decimal("25.1875000000000000")),
        (Avg("weight"), 2.25),
        (Min("title"), "100% Emma_x"),
        (Max("price"), Decimal("40.00")),
        (Min("binding"), "hard"),
        (Max("in_print"), True),
        (Min("in_print"), False),
        (Count("*"), 4),
        (Count("pages"), 3),
        (Count("author", distinct=True), 2),
        (Count("*", filter=Q(price__gt=20)), 3),
        (Sum("price", filter=Q(reviews__stars=5)), Decimal("40.25")),
        (Sum("price", filter=Q(pk=-1)), None),
        (Sum("price", filter=Q(pk=-1), default=Decimal(7)), Decimal(7)),
        (StdDev("weight"), pytest.approx(1.47902, abs=1e-4)),
        (StdDev("weight", sample=True), pytest.approx(1.70783, abs=1e-4)),
        (Variance("small"), 0.0),
        (BoolAnd("in_print"), False),
        (BoolOr("in_print"), True),
        (BitAnd("pages"), 36),
        (BitOr("pages"), 1020),
        (BitXor("small"), 0),
        (ArrayAgg("title", order_by="-pk"), ["back\\slash", "Ulysses", "100% Emma_x", "Emma"]),
        (ArrayAgg("binding", distinct=True, order_by="binding"), ["hard", "soft"]),
        (ArrayAgg("title", filter=Q(pk=-1), default=Value([], output_field=list[str])), []),
        (ArrayAgg("title", filter=Q(pk=-1), default=[]), []),
        (ArrayAgg("title", filter=Q(pk=-1), default=["none"]), ["none"]),
        (ArrayAgg("price", filter=Q(pk=-1), default=[Decimal(1)]), [Decimal(1)]),
        (ArrayAgg("small", filter=Q(pk=-1), default=[7]), [7]),
        (ArrayAgg("binding", filter=Q(pk=-1), default=["soft"]), ["soft"]),
        (JSONBAgg("small", filter=Q(pk__lte=2)), [1, 1]),
        (JSONBAgg("small", filter=Q(pk=-1), default=[]), []),
        (JSONBAgg("small", filter=Q(pk=-1), default=[1, "a"]), [1, "a"]),
        (JSONBAgg("small", filter=Q(pk=-1), default={"a": 1}), {"a": 1}),
        (StringAgg("title", ", ", filter=Q(pk__in=[1, 3]), order_by=F("pk").desc()), "Ulysses, Emma"),
        (StringAgg("binding", "+", distinct=True, order_by="binding"), "hard+soft"),
        (Corr("weight", "weight"), 1.0),
        (RegrCount("pages", "weight"), 3),
        (RegrSlope("weight", "weight"), 1.0),
        (CovarPop("weight", "weight"), pytest.approx(2.1875)),
        (Sum(F("price") * F("small")), Decimal("100.75")),
        (Sum("price") / Count("*"), Decimal("25.1875000000000000")),
    ],
    ids=label,
)
async def test_values_are_as_python_has_them(shelf: Database, aggregate: Any, expected: Any) -> None:
    found = (await Book.objects.using(shelf).aggregate(found=aggregate))["found"]
    assert found == expected
    if not hasattr(expected, "expected"):
        assert type(found) is type(expected) or isinstance(found, str)


async def test_a_default_over_far_rows_has_the_type_of_the_aggregate(shelf: Database) -> None:
    gathered = (
        Book.objects.using(shelf)
        .order_by("pk")
        .annotate(
            stars=ArrayAgg("reviews__stars", filter=Q(reviews__stars=5), default=[]),
            texts=JSONBAgg("reviews__text", filter=Q(reviews__stars=5), default=[]),
        )
    )
    assert await gathered.values_list("stars", "texts") == [
        ([5], ["great"]),
        ([], []),
        ([5], ["long"]),
        ([], []),
    ]


async def test_an_enum_keeps_its_class(shelf: Database) -> None:
    found = await Book.objects.using(shelf).aggregate(a=Max("binding"), b=ArrayAgg("binding", filter=Q(pk=1)))
    assert repr(found["a"]) == "<Binding.SOFT: 'soft'>"
    assert [repr(one) for one in found["b"]] == ["<Binding.HARD: 'hard'>"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Count("reviews", filter=WRONG), "takes a Q or a boolean expression, not str"),
        (lambda: Sum("title"), "takes numbers and intervals, not character varying"),
        (lambda: Count("reviwes"), "no field 'reviwes'; did you mean 'reviews'"),
        (lambda: Count("reviews", filter=Q(reviews__starz=1)), "no field 'starz'"),
        (lambda: Sum(F("reviews__stars") * F("tags__id")), "more than one relation, of 'tags'"),
        (lambda: Count("*", distinct=True), "distinct=True needs a field"),
        (lambda: Count("pk", filter=WRONG), "not str"),
        (lambda: Max("price", order_by="pk"), "no order_by"),
        (lambda: ArrayAgg("title", distinct=True, order_by="pk"), "order_by can only be what is gathered"),
        (lambda: Sum(Count("pk")), "an aggregate already"),
        (lambda: BoolAnd("title"), "takes booleans"),
        (lambda: Max("data"), "what has an order"),
        (lambda: ArrayAgg("title", "pk"), "takes 1 expressions, not 2"),
    ],
)
def test_mistakes_are_found_when_the_query_is_built(build: Any, message: str) -> None:
    with pytest.raises((FieldError, TypeError), match=message):
        Book.objects.annotate(n=build())


def test_the_default_name_is_djangos() -> None:
    assert Count("reviews__votes", distinct=True).default_alias == "reviews__votes__count"
    assert StringAgg("title", ",").default_alias == "title__stringagg"
    with pytest.raises(FieldError, match="needs a name"):
        _ = Sum(F("a") + 1).default_alias


async def test_an_aggregate_in_a_subquery_of_its_own(shelf: Database) -> None:
    reviews: Any = Review.objects.using(shelf).annotate(n=Count("votes")).filter(n=2)
    assert await reviews.values_list("pk", flat=True) == [1]
