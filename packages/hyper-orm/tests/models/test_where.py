"""Conditions through relations to many rows: which of them are about the same row, and how they are negated."""

from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.models import Count, F, FieldError, Q
from shelf import Author, Book, Tag, keys, label

FOUND: list[tuple[Any, list[int]]] = [
    (Q(reviews__stars=5), [1, 3]),
    # One call, or one AND: the same row.
    (Q(reviews__stars=5, reviews__text="good"), []),
    (Q(reviews__stars=5) & Q(reviews__text="great"), [1]),
    (Q(reviews__stars=5) & Q(reviews__text="good"), []),
    (Q(reviews__stars=5) & (Q(reviews__text="great") | Q(title="Ulysses")), [1, 3]),
    (Q(reviews__stars=5) & (Q(reviews__text="good") | Q(title="Emma")), [1]),
    (Q(reviews__stars=5) | Q(reviews__text="bad"), [1, 2, 3]),
    (Q(reviews__stars=5) | Q(price__gt=35), [1, 3, 4]),
    (~Q(reviews__stars=5), [2, 4]),
    (~Q(reviews__stars=5, reviews__text="good"), [1, 2, 3, 4]),
    (~~Q(reviews__stars=5), [1, 3]),
    # What is negated is about all rows.
    (Q(reviews__stars=5) & ~Q(reviews__text="great"), [3]),
    (Q(reviews__stars=4) & ~Q(reviews__stars=5), []),
    (~(Q(reviews__stars=5) | Q(reviews__text="bad")), [4]),
    (Q(reviews__stars=5) ^ Q(title="Emma"), [3]),
    (Q(reviews__votes__weight__gte=10), [1]),
    (Q(reviews__stars=4, reviews__votes__weight=10), []),
    (Q(reviews__stars=5, reviews__votes__weight=10), [1]),
    (Q(reviews__votes__weight=10, reviews__votes__id=2), []),
    (Q(reviews__isnull=True), [4]),
    (Q(reviews__isnull=False), [1, 2, 3]),
    (Q(reviews=None), [4]),
    (~Q(reviews__isnull=True), [1, 2, 3]),
    (Q(reviews__text__isnull=True), [4]),
    (Q(reviews__text__isnull=False), [1, 2, 3]),
    (Q(reviews__votes__isnull=True), [1, 3, 4]),
    (Q(reviews__stars=5, reviews__votes__isnull=True), [3]),
    (Q(reviews__isnull=True, title="Emma"), []),
    (Q(reviews__stars=F("reviews__id")), []),
    (Q(reviews__stars__gt=F("tags__id")), [1, 3]),
    (Q(reviews__id=F("pk")), [1]),
    (Q(tags__name="classic"), [1, 3]),
    (Q(tags__name="classic", tags__id=2), []),
    (Q(tags__name="classic") & Q(reviews__stars=5), [1, 3]),
    (Q(tags__name="short", reviews__stars=1), [2]),
    (Q(tags=1), [1, 3]),
    (Q(tags=Tag.ref(2)), [1, 2]),
    (Q(tags__in=[2, Tag.ref(1)]), [1, 2, 3]),
    (Q(tags__isnull=True), [4]),
    (~Q(tags__in=[1]), [2, 4]),
    (Q(author__books__title="Emma"), [1, 2]),
    (Q(author__books__reviews__stars=1), [1, 2]),
    (Q(author__books__reviews__stars=1, author__books__title="Emma"), []),
    (F("reviews__stars") >= 5, [1, 3]),
    ((F("reviews__stars") >= 5) & (F("reviews__text") == "good"), []),
    (~(F("reviews__stars") >= 5), [2, 4]),
    (Q(), [1, 2, 3, 4]),
    (~Q(), [1, 2, 3, 4]),
    (Q(Q(), Q(pk=1)), [1]),
]


@pytest.mark.parametrize(("condition", "expected"), FOUND, ids=label)
async def test_a_condition_finds_each_row_once(shelf: Database, condition: Any, expected: list[int]) -> None:
    assert await keys(shelf, condition) == expected


async def test_calls_of_filter_are_about_rows_of_their_own(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf).filter(reviews__stars=5).filter(reviews__text="good")
    assert await books.values_list("pk", flat=True) == [1]
    excluded: Any = Book.objects.using(shelf).filter(reviews__stars=5).exclude(reviews__text="great")
    assert await excluded.values_list("pk", flat=True) == [3]


async def test_from_the_other_side(shelf: Database) -> None:
    authors: Any = Author.objects.using(shelf).order_by("pk")
    assert await authors.filter(books__reviews__stars=5, books__tags__name="short").values_list(
        "pk", flat=True
    ) == [1]
    assert await authors.exclude(books__title="Emma").values_list("pk", flat=True) == [2, 3]
    assert await authors.filter(books=None).values_list("pk", flat=True) == [3]
    assert await authors.filter(books__in=[Book.ref(1), 4]).values_list("pk", flat=True) == [1, 2]
    assert await authors.filter(books__in=Book.objects.filter(price__gt=30)).values_list("pk", flat=True) == [
        2
    ]


async def test_conditions_on_rows_and_on_aggregates(shelf: Database) -> None:
    books: Any = Book.objects.using(shelf).annotate(n=Count("reviews")).order_by("pk")
    assert await books.filter(Q(n=2) | Q(reviews__stars=1)).values_list("pk", flat=True) == [1, 2]
    assert await books.filter(n__in=[0, 2]).values_list("pk", flat=True) == [1, 4]
    assert await books.filter(n__gt=F("pk")).values_list("pk", flat=True) == [1]
    grouped: Any = Book.objects.using(shelf).values("author").annotate(n=Count("pk")).order_by("author")
    assert await grouped.filter(n__gte=2, author__gt=1).values_list("author", flat=True) == [2]


def test_what_is_no_condition_is_refused() -> None:
    books: Any = Book.objects
    wrongs: list[Any] = [5, "title", None, {"title": 1}]
    for wrong in wrongs:
        with pytest.raises(FieldError):
            books.filter(wrong)
        with pytest.raises(FieldError):
            Q(wrong)
