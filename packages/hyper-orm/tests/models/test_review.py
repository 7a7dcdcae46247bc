"""What a hostile reading has found: each test is a case that once gave wrong rows, or an error that helped nobody."""

from __future__ import annotations

from typing import Any

from hyperdjango.database import Database
from hyperdjango.models import Q
from shelf import keys


async def test_what_is_negated_beside_a_condition_on_one_row_is_about_all_rows(shelf: Database) -> None:
    # Book 1 has a review of four stars that is not the great one; the great one is its other review.
    condition: Any = Q(reviews__stars=4) & (~Q(reviews__text="great") | Q(title="none"))
    assert await keys(shelf, condition) == []
    deeper: Any = Q(reviews__stars=4) & (Q(title="none") | (Q(pages__gt=1) & ~Q(reviews__text="great")))
    assert await keys(shelf, deeper) == []
    assert await keys(shelf, Q(reviews__stars=4) & (~Q(reviews__text="bad") | Q(title="none"))) == [1]
