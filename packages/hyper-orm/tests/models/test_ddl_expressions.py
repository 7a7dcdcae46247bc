"""Conditions and expressions as SQL text without parameters mean what they mean in queries."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hyperdjango.database import Database
from hyperdjango.models import (
    Case,
    Count,
    Exists,
    Expression,
    F,
    FieldError,
    Func,
    MultiRange,
    Q,
    Range,
    Value,
    When,
)
from hyperdjango.models import functions as fn
from hyperdjango.models._ddl_expressions import compile_for_ddl
from shelf import Binding, Book, Review, keys, label, values

CONDITIONS: list[Q] = [
    Q(title="Emma"),
    Q(title='it\'s \\ "x"'),
    Q(title__in=["Emma", "back\\slash"]),
    Q(title__in=[]),
    Q(title__contains="%"),
    Q(title__endswith="\\slash"),
    Q(title__iexact="EMMA"),
    Q(title__regex="^[A-Z]"),
    Q(price__gte=Decimal("20.5"), price__lt=40),
    Q(price__range=(Decimal("20.5"), Decimal(30))),
    Q(pages__in=[100, 700]),
    Q(pages=-5) | Q(pages__isnull=True),
    Q(small__lt=10**12),
    ~Q(pages__gt=100),
    Q(sold=5_000_000_000),
    Q(weight__gt=1.25),
    Q(weight__lt=float("inf")),
    Q(binding=Binding.HARD),
    Q(binding__in=["hard"]),
    Q(in_print=True),
    Q(published__gt=date(1900, 1, 1)),
    Q(published__year=1922),
    Q(published__month__in=[2]),
    Q(added=datetime(2024, 6, 15, 12, tzinfo=UTC)),
    Q(local__lt=datetime(2024, 6, 1)),
    Q(clock=time(8, 15, 30)),
    Q(lasts__gt=timedelta(hours=1, microseconds=5)),
    Q(code=UUID(int=1)),
    Q(cover=b"\x01"),
    Q(words__contains=["love", "match"]),
    Q(words=[]),
    Q(words__0="love"),
    Q(scores__overlap=[9, 1]),
    Q(codes__contains=["b"]),
    Q(data__owner__name="Bob"),
    Q(data__contains={"owner": {"name": "bill"}}),
    Q(data__has_key="owner"),
    Q(**{"data__a'b": 1}),
    Q(ages__contains=16),
    Q(ages__overlap=Range(0, 12)),
    Q(ages__contained_by=Range(None, 25, "(]")),
    Q(ages__overlap=MultiRange([Range(0, 2), Range(29, 40)])),
    Q(published__contained_by=Range(date(1900, 1, 1), None)),
    Q(ages=Range(empty=True)),
    Q(title="Emma") ^ Q(pk=2),
    Q(F("price") * 2 > F("pages")),
    Q(fn.Lower("title") == "emma"),
]
EXPRESSIONS: list[Expression] = [
    fn.Lower("title"),
    fn.Concat("title", Value(" '\\ "), "pages"),
    F("price") * 2 + 1,
    fn.Coalesce("pages", 0),
    Case(When(pages__gt=500, then=Value("it's long")), default=Value("short")),
    fn.Cast("price", int),
    F("published") + timedelta(days=1),
    F("data__owner__name"),
    Func("title", 2, function="left"),
    Value([1, 2]),
    Value(["a'b", "c\\d"]),
    Value(None),
    fn.Round("price", 1),
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=label)
async def test_a_condition_finds_the_same_rows(shelf: Database, condition: Q) -> None:
    text = compile_for_ddl(Book, condition)
    assert "$1" not in text
    found = await shelf.query(f"SELECT id FROM shelf_book WHERE {text} ORDER BY id", into=tuple)
    assert [pk for (pk,) in found] == await keys(shelf, condition)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=label)
async def test_an_expression_has_the_same_value(shelf: Database, expression: Expression) -> None:
    text = compile_for_ddl(Book, expression)
    found = await shelf.query(f"SELECT {text} FROM shelf_book ORDER BY id", into=tuple)
    assert [value for (value,) in found] == await values(shelf, expression)


@pytest.mark.parametrize(
    "wrong",
    [Q(author__name="x"), Q(reviews__stars=1), Count("reviews"), Exists(Review.objects.all())],
    ids=label,
)
def test_what_looks_at_other_tables_is_refused(wrong: Any) -> None:
    with pytest.raises(FieldError):
        compile_for_ddl(Book, wrong)
