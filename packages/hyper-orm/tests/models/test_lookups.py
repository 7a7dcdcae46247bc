"""Lookups and transforms: which rows they find, what they refuse, and that values stay values."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hyperdjango.database import Database
from hyperdjango.models import FieldError
from hyperdjango.models._nodes import condition
from hyperdjango.models._sql import call
from hyperdjango.models.expressions import F, Value
from hyperdjango.models.functions import Lower, Upper
from hyperdjango.models.lookups import register_lookup, register_transform
from hyperdjango.models.query_words import Q
from shelf import Author, Binding, Book, Review, keys, label

FOUND: list[tuple[dict[str, Any], list[int]]] = [
    ({"pk": 1}, [1]),
    ({"id": 10**30}, []),
    ({"id__in": [1, 10**30]}, [1]),
    ({"id__lt": 10**30}, [1, 2, 3, 4]),
    ({"id__gte": 10**30}, []),
    ({"id__gt": -(10**30)}, [1, 2, 3, 4]),
    ({"pages__lt": 10**30}, [1, 3, 4]),
    ({"price__lt": 10**30}, [1, 2, 3, 4]),
    ({"small": 100_000}, []),
    ({"small__lt": 10**12}, [1, 2, 3, 4]),
    ({"title": "Emma"}, [1]),
    ({"title__iexact": "eMMA"}, [1]),
    ({"title__contains": "Emma"}, [1, 2]),
    ({"title__contains": "%"}, [2]),
    ({"title__contains": "_"}, [2]),
    ({"title__contains": "\\"}, [4]),
    ({"title__contains": "emma"}, []),
    ({"title__icontains": "emma"}, [1, 2]),
    ({"title__startswith": "Em"}, [1]),
    ({"title__startswith": "100%"}, [2]),
    ({"title__istartswith": "em"}, [1]),
    ({"title__endswith": "_x"}, [2]),
    ({"title__endswith": "X"}, []),
    ({"title__iendswith": "X"}, [2]),
    ({"title__regex": "^U.*s$"}, [3]),
    ({"title__iregex": "^u.*S$"}, [3]),
    ({"title__lower": "emma"}, [1]),
    ({"title__upper__startswith": "EMM"}, [1]),
    ({"title__in": ["Emma", "Ulysses", None]}, [1, 3]),
    ({"title__in": ()}, []),
    ({"title__in": [None]}, []),
    ({"title__in": {"Emma"}}, [1]),
    ({"title__in": [F("title"), "x"]}, [1, 2, 3, 4]),
    ({"pk__in": range(2, 4)}, [2, 3]),
    ({"pk__in": [1, 10**30, Decimal(2)]}, [1, 2]),
    ({"price__in": [10, Decimal("20.5"), 30.25]}, [1, 2, 3]),
    ({"pages__in": [100, 300.0]}, [1, 4]),
    ({"price__gt": 20}, [2, 3, 4]),
    ({"price__gte": 20.5}, [2, 3, 4]),
    ({"price__lt": Decimal("20.5")}, [1]),
    ({"price__lte": Decimal("20.5")}, [1, 2]),
    ({"price": Decimal("10.004")}, []),
    ({"price__range": (10, Decimal("20.5"))}, [1, 2]),
    ({"price__range": [F("price"), 10**9]}, [1, 2, 3, 4]),
    ({"price__contains": "0.2"}, [3]),
    ({"pages": None}, [2]),
    ({"pages__isnull": True}, [2]),
    ({"pages__isnull": False}, [1, 3, 4]),
    ({"title__iexact": None}, []),
    ({"binding": Binding.HARD}, [1, 4]),
    ({"binding": "soft"}, [2, 3]),
    ({"binding__in": [Binding.HARD]}, [1, 4]),
    ({"binding__in": ["hard", Binding.SOFT]}, [1, 2, 3, 4]),
    ({"binding__startswith": "ha"}, [1, 4]),
    ({"in_print": True}, [1, 3]),
    ({"code": UUID(int=1)}, [1]),
    ({"code__in": [UUID(int=2)]}, [2]),
    ({"cover": b"\x01"}, [1]),
    ({"published": date(2024, 2, 29)}, [2]),
    ({"published__in": [date(2024, 2, 29)]}, [2]),
    ({"published__gt": date(1900, 1, 1)}, [2, 3]),
    ({"published__year": 2024}, [2]),
    ({"published__year__gte": 1922}, [2, 3]),
    ({"published__year__gt": 1922}, [2]),
    ({"published__year__lt": 1922}, [1]),
    ({"published__year__lte": 1922}, [1, 3]),
    ({"published__year__range": (1800, 1922)}, [1, 3]),
    ({"published__year__in": [1815, 2024]}, [1, 2]),
    ({"published__year": F("pages")}, []),
    ({"published__iso_year": 1922}, [3]),
    ({"published__month": 2}, [2, 3]),
    ({"published__month__gte": 3}, [1]),
    ({"published__day": 29}, [2]),
    ({"published__quarter": 4}, [1]),
    ({"published__week": 5}, [3]),
    ({"published__week_day": 5}, [2, 3]),
    ({"published__iso_week_day": 6}, [1]),
    ({"added__date": date(2024, 6, 15)}, [2]),
    ({"added__date__lt": date(2024, 2, 1)}, [1, 4]),
    ({"added__year": 2024}, [1, 2]),
    ({"added__year__lt": 2024}, [4]),
    ({"added__iso_year": 2023}, [4]),
    ({"added__time": time(12, 0)}, [2]),
    ({"added__hour": 23}, [4]),
    ({"added__minute": 30}, [1, 4]),
    ({"added__second": 15}, [1]),
    ({"added": datetime(2024, 6, 15, 12, tzinfo=UTC)}, [2]),
    ({"local": datetime(2024, 1, 1)}, [2]),
    ({"local__in": [datetime(2024, 1, 1)]}, [2]),
    ({"local__year": 2024}, [1, 2]),
    ({"local__iso_year": 2025}, [1]),
    ({"clock": time(8, 15, 30)}, [1]),
    ({"clock__hour__gt": 8}, [2]),
    ({"clock__second": 30}, [1]),
    ({"lasts__gt": timedelta(hours=1)}, [1]),
    ({"author": 1}, [1, 2]),
    ({"author": Author.ref(2)}, [3, 4]),
    ({"author__in": [Author.ref(2), 1]}, [1, 2, 3, 4]),
    ({"author_id__in": [2]}, [3, 4]),
    ({"author__name": "Jane"}, [1, 2]),
    ({"author__born__year": 1882}, [3, 4]),
    ({"author__isnull": True}, []),
    ({"reviews": Review.ref(3)}, [2]),
    ({"reviews__isnull": True}, [4]),
    ({"title": F("author__name")}, []),
    ({"title": Value("Emma")}, [1]),
    ({"title__contains": Value("%")}, [2]),
    ({"title__startswith": Value("100%")}, [2]),
    ({"title__endswith": Lower(Value("_X"))}, [2]),
    ({"title__icontains": Upper(Value("emma"))}, [1, 2]),
    ({"binding": Value("hard")}, [1, 4]),
    ({"title__gt": "Emma"}, [3]),
]


@pytest.mark.parametrize(("lookups", "expected"), FOUND, ids=label)
async def test_a_lookup_finds_its_rows(shelf: Database, lookups: dict[str, Any], expected: list[int]) -> None:
    if "title__gt" in lookups:
        # The order of letters is the collation's business.
        assert set(expected) <= set(await keys(shelf, **lookups))
        return
    assert await keys(shelf, **lookups) == expected


@pytest.mark.parametrize(("lookups", "expected"), FOUND, ids=label)
async def test_exclude_finds_the_others(
    shelf: Database, lookups: dict[str, Any], expected: list[int]
) -> None:
    if "title__gt" not in lookups:
        assert await keys(shelf, ~Q(**lookups)) == [pk for pk in (1, 2, 3, 4) if pk not in expected]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"titel": 1}, "Book has no field 'titel'; did you mean 'title'"),
    (
        {"title__contians": "x"},
        r"Book.title \(character varying\(40\)\) has no lookup.*'contians'.*did you mean 'contains'",
    ),
    ({"title__year": 1}, "has no lookup or transform 'year'"),
    ({"published__yaer": 1}, "did you mean 'year'"),
    ({"published__hour": 1}, "has no lookup or transform 'hour'"),
    ({"author__nam": "x"}, "Author has no field 'nam'.*did you mean 'name'"),
    ({"author__icontains": "x"}, "a relation no such lookup"),
    ({"title": 5}, "title is compared with int, but character varying.* takes str"),
    ({"pages": "5"}, "pages is compared with str, but integer takes int"),
    ({"pages": True}, "pages is compared with bool"),
    ({"pages": F("title")}, "pages is compared with character varying"),
    ({"title__in": [1]}, "title__in is compared with int"),
    ({"title__in": "Emma"}, "title__in takes a list or a queryset, not a str"),
    ({"title__contains": 5}, "title__contains takes a str, not 5"),
    ({"title__regex": None}, "title__regex cannot be compared with None; use title__isnull=True"),
    ({"price__range": (1,)}, "takes two values"),
    ({"price__range": (None, 1)}, "for a range that is open use gte or lte"),
    ({"price__range": 5}, "a list or tuple of two values"),
    ({"pages__isnull": 1}, "takes True or False, not int"),
    ({"pages__isnull": "x"}, "takes True or False, not str"),
    ({"published__year": "1990"}, "published__year takes a year"),
    ({"published__year": 0}, "0 is no year"),
    ({"author": Book.ref(1)}, "Book.author is Author; author cannot be a Book"),
    ({"author__in": [Book.ref(1)]}, "Book.author is Author; author__in cannot be a Book"),
    ({"author__in": Book.objects.all()}, "Book.author is Author; author__in cannot be rows of Book"),
    ({"id": Author.ref(1)}, "id is a column of Book, and cannot be a Author"),
    ({"_id": 1}, "do not begin with an underscore"),
    ({"title__isnull__x": 1}, "has no lookup or transform 'isnull'"),
]


@pytest.mark.parametrize(("lookups", "message"), WRONG, ids=label)
def test_mistakes_are_found_when_the_query_is_built(lookups: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        Book.objects.filter(**lookups)


@pytest.mark.parametrize("text", ["' OR 1=1 --", "%", "\\'; DROP TABLE shelf_book; --", '"', "$1", "\\\\"])
@pytest.mark.parametrize(
    "word", ["exact", "iexact", "contains", "icontains", "startswith", "endswith", "regex", "gt", "in"]
)
def test_a_value_is_never_in_the_text(text: str, word: str) -> None:
    value: Any = [text] if word == "in" else text
    sql, params = Book.objects.filter(**{f"title__{word}": value}).to_sql()
    assert text not in sql.replace("$1", "") or text in {'"', "\\\\"}
    assert len(params) == 1


def test_keys_are_equal_exactly_where_the_text_is() -> None:
    one, other = Book.objects.filter(title="a"), Book.objects.filter(title="b")
    assert one._state is other._state
    assert Book.objects.filter(title=None)._state is not one._state
    null, full = Book.objects.filter(pages__isnull=True), Book.objects.filter(pages__isnull=False)
    assert null.to_sql() != full.to_sql()


async def test_lookups_and_transforms_of_ones_own(shelf: Database) -> None:
    register_lookup(
        "longer", lambda left, operand: condition("length(", left, ") > ", operand.node("integer")), "text"
    )
    register_transform("backwards", lambda node: call("reverse", node, type_=node.type), "text")
    register_transform("folded", lambda node: call("lower", node, type_=node.type), "text", bilateral=True)
    assert await keys(shelf, title__longer=8) == [2, 4]
    assert await keys(shelf, title__backwards="ammE") == [1]
    assert await keys(shelf, title__folded="EMMA") == [1]
    assert await keys(shelf, title__folded__in=[Value("EMMA")]) == [1]
    with pytest.raises(FieldError, match="no word for a lookup"):
        register_lookup("a b", lambda left, _: left)
    with pytest.raises(FieldError, match="no kind of column"):
        register_transform("x", lambda node: node, "texts")
    with pytest.raises(FieldError, match="has no lookup or transform 'longer'"):
        Book.objects.filter(pages__longer=1)


async def test_conditions_by_operators(shelf: Database) -> None:
    books: Any = Book
    assert await keys(shelf, (books.c.price > 20) & (books.c.pages < 500)) == [4]
    assert await keys(shelf, F("pages") == None) == [2]  # noqa: E711 - that is what is tested
    assert await keys(shelf, F("pages") != 100) == [2, 3, 4]
    assert await keys(shelf, F("price") * 2 >= F("pages")) == []
    assert await keys(shelf, ~(F("title") == "Emma")) == [2, 3, 4]
