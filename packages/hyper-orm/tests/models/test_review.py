"""What a hostile reading has found: each test is a case that once gave wrong rows, or an error that helped nobody."""

from __future__ import annotations

from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.models import Exists, FieldError, OuterRef, Q, Subquery
from shelf import Author, Book, keys


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
