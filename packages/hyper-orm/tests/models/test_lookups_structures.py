"""Lookups of JSON, arrays and ranges, their transforms, and hostile keys of JSON."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.models import FieldError, MultiRange, Range
from hyperdjango.models._conditional import Case, When
from hyperdjango.models.expressions import F, Value
from hyperdjango.models.functions import KT, KeyTextTransform, KeyTransform, Lower
from hyperdjango.models.query_words import Q
from shelf import Book, keys, label, values

FOUND: list[tuple[dict[str, Any], list[int]]] = [
    ({"data__owner__name": "Bob"}, [1]),
    ({"data__owner__name__in": ["Bob", "bill"]}, [1, 2]),
    ({"data__owner__name__in": []}, []),
    ({"data__owner__name__icontains": "b"}, [1, 2]),
    ({"data__owner__name__startswith": "b"}, [2]),
    ({"data__owner__name__iexact": "BOB"}, [1]),
    ({"data__owner__name__regex": "^b"}, [2]),
    ({"data__owner__age": 4}, [1]),
    ({"data__owner__age__gt": 4}, [2]),
    ({"data__owner__age__gte": 4.0}, [1, 2]),
    ({"data__owner__age__lt": Decimal(5)}, [1]),
    ({"data__owner__age__range": (5, 9)}, [2]),
    ({"data__owner": {"name": "bill", "age": 7}}, [2]),
    ({"data__tags__0": "y"}, [2]),
    ({"data__tags__1": "y"}, [1]),
    ({"data__tags__-1": "y"}, [1, 2]),
    ({"data__tags": ["y"]}, [2]),
    ({"data__tags__contains": "x"}, [1]),
    ({"data__tags__contains": ["y"]}, [1, 2]),
    ({"data__contains": {"owner": {"name": "Bob"}}}, [1]),
    ({"data__owner__contained_by": {"name": "bill", "age": 7, "more": 1}}, [2]),
    ({"data__has_key": "owner"}, [1, 2]),
    ({"data__has_keys": ["owner", "none"]}, [1]),
    ({"data__has_any_keys": ["none", "x"]}, [1]),
    ({"data__owner__has_key": "age"}, [1, 2]),
    # JSON's null is a value, SQL's is none.
    ({"data": None}, [3]),
    ({"data": Value(None, output_field=dict)}, [3]),
    ({"data__isnull": True}, [4]),
    ({"data__none": None}, [1]),
    ({"data__none__isnull": True}, [2, 3, 4]),
    ({"data__none__isnull": False}, [1]),
    ({"data__owner__name": F("author__name")}, []),
    ({"title": F("data__owner__name")}, []),
    ({"pages": F("data__owner__age")}, []),
    ({"data__owner__name__icontains": Value("O")}, [1]),
    ({"data__owner__name__contains": Value("Bob")}, [1]),
    ({"words__contains": ["love"]}, [1, 4]),
    ({"words__contains": []}, [1, 2, 3, 4]),
    ({"words__contained_by": ["love", "match", "x"]}, [1, 2, 4]),
    ({"words__overlap": ["day", "match"]}, [1, 3]),
    ({"words": ["day"]}, [3]),
    ({"words": []}, [2]),
    ({"words__len": 2}, [1]),
    ({"words__len__lt": 1}, [2]),
    ({"words__0": "love"}, [1, 4]),
    ({"words__0__startswith": "d"}, [3]),
    ({"words__5": "x"}, []),
    ({"words__0_1": ["love"]}, [1, 4]),
    ({"words__any": "match"}, [1]),
    ({"words__in": [["day"], ["love", "match"], []]}, [1, 2, 3]),
    ({"words__contains": [F("words__0")]}, [1, 3, 4]),
    ({"words__contains": [Lower(Value("LOVE"))]}, [1, 4]),
    ({"words__overlap": Book.objects.filter(pk=3).values("words")}, [3]),
    ({"codes__contains": ["b"]}, [1, 2]),
    ({"codes__overlap": ["a", "c"]}, [1, 2, 4]),
    ({"codes": ["c"]}, [4]),
    ({"codes__any": "c"}, [2, 4]),
    ({"scores__contains": [3]}, [1, 2]),
    ({"scores__1__gt": 3}, [2]),
    ({"scores__any": 9}, [4]),
    ({"ages__contains": 16}, [1, 2]),
    ({"ages__contains": Range(16, 18)}, [1, 2]),
    ({"ages__contains": (10, 12)}, [1]),
    ({"ages__contains": F("small")}, [4]),
    ({"ages__contained_by": Range(0, 25)}, [1]),
    ({"ages__overlap": Range(25, 40)}, [2]),
    ({"ages__overlap": MultiRange([Range(0, 2), Range(29, 40)])}, [2, 4]),
    ({"ages__fully_lt": Range(20, 30)}, [1, 4]),
    ({"ages__fully_gt": Range(0, 12)}, [2]),
    ({"ages__not_lt": Range(15, 16)}, [2]),
    ({"ages__not_gt": Range(0, 20)}, [1, 4]),
    ({"ages__adjacent_to": Range(5, 10)}, [1, 4]),
    ({"ages": Range(10, 20)}, [1]),
    ({"ages__in": [Range(10, 20), Range(15, 30)]}, [1, 2]),
    ({"ages__startswith": 10}, [1]),
    ({"ages__startswith__gt": 10}, [2]),
    ({"ages__endswith": 30}, [2]),
    ({"ages__isempty": False}, [1, 2, 4]),
    ({"ages__lower_inf": True}, [4]),
    ({"ages__lower_inc": True}, [1, 2]),
    ({"ages__upper_inc": True}, []),
    ({"ages__upper_inf": True}, []),
    ({"pages__contained_by": Range(50, 400)}, [1, 4]),
    ({"sold__contained_by": (2, 8)}, [2, 3]),
    ({"price__contained_by": Range(Decimal(5), Decimal(25))}, [1, 2]),
    ({"published__contained_by": Range(date(1900, 1, 1), None)}, [2, 3]),
    ({"local__contained_by": Range(datetime(2024, 6, 1), None)}, [1]),
]


@pytest.mark.parametrize(("lookups", "expected"), FOUND, ids=label)
async def test_a_lookup_finds_its_rows(shelf: Database, lookups: dict[str, Any], expected: list[int]) -> None:
    assert await keys(shelf, **lookups) == expected


@pytest.mark.parametrize(("lookups", "expected"), FOUND, ids=label)
async def test_exclude_finds_the_others(
    shelf: Database, lookups: dict[str, Any], expected: list[int]
) -> None:
    assert await keys(shelf, ~Q(**lookups)) == [pk for pk in (1, 2, 3, 4) if pk not in expected]


async def test_values_within_structures(shelf: Database) -> None:
    assert await values(shelf, F("data__owner__age")) == [4, 7, None, None]
    assert await values(shelf, F("data__tags__0")) == ["x", "y", None, None]
    assert await values(shelf, KT("data__owner__name")) == ["Bob", "bill", None, None]
    assert await values(shelf, KeyTransform("owner", "data")) == [
        {"age": 4, "name": "Bob"}, {"age": 7, "name": "bill"}, None, None,
    ]  # fmt: skip
    assert await values(shelf, KeyTextTransform(0, KeyTransform("tags", "data"))) == ["x", "y", None, None]
    assert await values(shelf, F("words__0")) == ["love", None, "day", "love"]
    assert await values(shelf, F("scores__0_2")) == [[1, 2], [3, 4], [], [9]]
    assert await values(shelf, F("words__len")) == [2, 0, 1, 1]
    assert await values(shelf, F("ages__startswith")) == [10, 15, None, None]
    when = Case(When(data__owner__name="Bob", then=F("data__owner__age")), default=Value({"x": "y"}))
    assert await values(shelf, when) == [4, {"x": "y"}, {"x": "y"}, {"x": "y"}]


HOSTILE = [
    "a'b",
    "' OR '1'='1",
    "'; DROP TABLE shelf_book; --",
    '"',
    "\\",
    "\\'",
    "$1",
    "%s",
    "{a}",
    "é",
    " ",
    "a]b",
]


@pytest.mark.parametrize("key", HOSTILE)
async def test_a_hostile_key_is_a_key(shelf: Database, key: str) -> None:
    expected = [1] if key == "a'b" else []
    assert await keys(shelf, **{f"data__{key}": 1}) == expected
    assert await keys(shelf, **{f"data__{key}__isnull": False}) == expected
    assert await keys(shelf, **{f"data__{key}__{key}__icontains": "x"}) == []
    assert await keys(shelf, data__has_key=key) == expected
    assert await keys(shelf, data__has_any_keys=[key]) == expected
    assert await values(shelf, KeyTransform(key, "data")) == [1 if expected else None, None, None, None]


@pytest.mark.parametrize("standard", ["on", "off"])
async def test_a_hostile_key_is_a_key_whatever_the_session_says(shelf: Database, standard: str) -> None:
    async with shelf.transaction():
        await shelf.execute("SET LOCAL escape_string_warning = off")
        await shelf.execute(f"SET LOCAL standard_conforming_strings = {standard}")
        for key in HOSTILE:
            assert await keys(shelf, **{f"data__{key}": 1}) == ([1] if key == "a'b" else [])
            # The patterns of LIKE for expressions have backslashes of their own.
        assert await keys(shelf, title__contains=Value("_")) == [2]
        assert await keys(shelf, title__contains=Value("\\")) == [4]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"data__a\0b": 1}, "holds a NUL"),
    ({"data": ...}, "takes what JSON can hold"),
    ({"data__has_key": None}, "cannot be compared with None"),
    ({"data__has_key": 1.5}, "takes keys as str or int, not float"),
    ({"data__has_keys": "a"}, "takes a list of keys"),
    ({"words__contains": "love"}, "words__contains takes a list, not a str"),
    ({"words__contains": [1]}, r"words__contains is compared with list, but text takes str"),
    ({"words__contians": ["x"]}, "has no lookup or transform 'contians'.*did you mean 'contains'"),
    ({"words__-1": "x"}, "has no lookup or transform '-1'"),
    ({"words__0__year": 1}, "has no lookup or transform 'year'"),
    ({"words__in": ["x"]}, "a list of lists"),
    ({"ages__contains": "x"}, "ages__contains is compared with str, but bigint takes int"),
    ({"ages__overlap": 5}, "a Range or a pair of bounds"),
    ({"ages__contained_by": (1, 2, 3)}, "a Range or a pair of bounds"),
    ({"weight__contained_by": Range(1, 2)}, "has no lookup or transform 'contained_by'"),
]


@pytest.mark.parametrize(("lookups", "message"), WRONG, ids=label)
def test_mistakes_are_found_when_the_query_is_built(lookups: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        Book.objects.filter(**lookups)


def test_mistakes_of_key_transforms() -> None:
    books: Any = Book.objects
    with pytest.raises(FieldError, match="takes a JSON field and a key"):
        books.annotate(n=KT("title"))
    with pytest.raises(FieldError, match="takes JSON, not character varying"):
        books.annotate(n=KeyTransform("a", "title"))
    with pytest.raises(FieldError, match="takes a key as str or int"):
        KeyTransform(None, "data")  # type: ignore[arg-type]
