"""The rule that the cache of querysets stands on: equal keys, equal text; and values stay out of the text."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hyperdjango.models import (
    ArrayAgg,
    ArraySubquery,
    Avg,
    Case,
    Count,
    Exists,
    Expression,
    ExpressionWrapper,
    F,
    FieldError,
    Func,
    OuterRef,
    Q,
    RowRange,
    StringAgg,
    Subquery,
    Sum,
    Value,
    ValueRange,
    When,
    Window,
)
from hyperdjango.models import functions as fn
from hyperdjango.models._nodes import Source
from hyperdjango.models._scope import Scope
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._writer import Frame, Writer
from hyperdjango.models.expressions import as_expression
from hyperdjango.models.search import SearchHeadline, SearchQuery, SearchRank, SearchVector, TrigramSimilarity
from shelf import Book, Review, label

REVIEWS: Any = Review.objects
WRONG: Any = 5
MARKER = "mark'er\\\";--"


def good(stars: int) -> Any:
    return REVIEWS.filter(book=OuterRef("pk"), stars__gte=stars)


# Each is built with two values of the same kind.
BUILDERS: list[Any] = [
    lambda n, s: Value(n),
    lambda n, s: Value(s),
    lambda n, s: Value([s]),
    lambda n, s: Value({s: n}),
    lambda n, s: F("pages") + n,
    lambda n, s: n - F("pages") * Decimal(n),
    lambda n, s: F("published") + timedelta(days=n),
    lambda n, s: F("pages").bitrightshift(n),
    lambda n, s: Func("title", n, Value(s), function="lpad"),
    lambda n, s: ExpressionWrapper(F("pages") / n, output_field=float),
    lambda n, s: fn.Cast(Value(n), str),
    lambda n, s: fn.Coalesce("title", Value(s)),
    lambda n, s: fn.Concat("title", Value(s), "author__name"),
    lambda n, s: fn.LPad("title", n, s),
    lambda n, s: fn.Replace("title", s, s),
    lambda n, s: fn.Substr("title", n, n),
    lambda n, s: fn.Round("price", n),
    lambda n, s: fn.JSONObject(a=n, b=Value(s), c="title"),
    lambda n, s: fn.ExtractHour("added", tzinfo=s),
    lambda n, s: fn.TruncDay("added", tzinfo=s),
    lambda n, s: Case(When(title=s, then=n), When(Q(pages__gt=n) | Q(title__contains=s), then=n), default=n),
    lambda n, s: Case(When(reviews__text=s, then=n), default=F("pages") + n),
    lambda n, s: Sum("reviews__stars", filter=Q(reviews__text=s, title=s), default=n),
    lambda n, s: Count("reviews", filter=Q(reviews__votes__weight__gt=n) & Q(tags__name=s), distinct=True),
    lambda n, s: Sum(F("reviews__stars") * n, default=n) + n,
    lambda n, s: StringAgg("reviews__text", s, order_by=(F("reviews__stars") * n).desc()),
    lambda n, s: ArrayAgg(
        fn.Concat("reviews__text", Value(s)), order_by=fn.Concat("reviews__text", Value(s))
    ),
    lambda n, s: Window(
        Avg(F("pages") + n, default=n), partition_by=[F("pages") % n], order_by=F("price") * n
    ),
    lambda n, s: Window(fn.Lag("title", n, Value(s)), order_by="pk", frame=None),
    lambda n, s: Subquery(good(n).filter(text=s).values("stars")[:n]),
    lambda n, s: Exists(good(n).exclude(text=s)),
    lambda n, s: ArraySubquery(good(n).values("stars")),
    lambda n, s: SearchVector("title", Value(s), config=s, weight="A"),
    lambda n, s: SearchQuery(s, config=s) & ~SearchQuery(s),
    lambda n, s: SearchRank(SearchVector("title"), s, weights=[n, n, n, n], normalization=n),
    lambda n, s: SearchHeadline("title", s, max_words=n, start_sel=s),
    lambda n, s: TrigramSimilarity("title", s),
    lambda n, s: fn.KeyTransform("key", "data"),
    lambda n, s: as_expression(Q(title=s) & ~Q(pages__in=[n, n + 1]) | Q(pages__range=(n, F("pages")))),
    lambda n, s: as_expression(Q(title__in=[s, F("author__name")]) ^ Q(published__year=n)),
    lambda n, s: as_expression(
        Q(data__owner=s, data__n__lt=n, words__contains=[s], words__0=s, ages__contains=n)
    ),
    lambda n, s: as_expression(
        Q(published__lt=date(n, n, n), reviews__text=s, reviews__stars=n, tags__name=s)
    ),
    lambda n, s: (F("title") == s) & (F("price") > n),
]


def written(expression: Expression) -> tuple[str, int]:
    """The text of `SELECT expression`, and how many positions it takes."""
    source, cursor, writer = Source(Book._table), Cursor(0), Writer()
    node = expression.resolve(Scope(source, {}), cursor)
    writer.frame = Frame(None, (source,), 0)
    writer.body(lambda: node.write(writer), lambda: None)
    return writer.text().sql, cursor.taken


@pytest.mark.parametrize("build", BUILDERS)
def test_equal_keys_have_equal_texts_and_no_values(build: Any) -> None:
    one, other = as_expression(build(3, "a")), as_expression(build(4, MARKER))
    assert one.key == other.key
    assert hash(one.key) == hash(other.key)
    (text, taken), (other_text, other_taken) = written(one), written(other)
    assert text == other_text
    assert taken == len(one.params) == other_taken == len(other.params)
    assert MARKER not in other_text
    assert "mark" not in other_text


def test_all_builders_are_of_different_shapes() -> None:
    keys = [as_expression(build(3, "a")).key for build in BUILDERS]
    assert len(set(keys)) == len(keys)


DIFFERENT: list[tuple[Any, Any]] = [
    (Value(1), Value("1")),
    (Value(1), Value(True)),
    (Value(1), Value(1.0)),
    (Value(None), Value(1)),
    (Value([1]), Value(["a"])),
    (Value(1), Value(1, output_field=float)),
    (F("a"), F("b")),
    (F("a") + 1, F("a") - 1),
    (F("a") + F("b"), F("b") + F("a")),
    (F("a").asc(), F("a").desc()),
    (F("a").asc(nulls_first=True), F("a").asc(nulls_last=True)),
    (Q(a=1), ~Q(a=1)),
    (Q(a=1, b=1), Q(a=1) | Q(b=1)),
    (Q(a__isnull=True), Q(a__isnull=False)),
    (Q(a=None), Q(a=1)),
    (Q(a__range=(1, 2)), Q(a__range=(1, F("b")))),
    (Q(a__in=[F("b")]), Q(a__in=[F("b"), F("c")])),
    (Q(a__in=[1]), Q(a__in=["a"])),
    (Q(a__in=[]), Q(a__in=[1])),
    (Q(a=10**30), Q(a=10)),
    (Q(a=10**30), Q(a=-(10**30))),
    (Count("a"), Count("a", distinct=True)),
    (Count("a"), Count("a", filter=Q(b=1))),
    (Sum("a"), Sum("a", default=0)),
    (Sum("a"), Avg("a")),
    (ArrayAgg("a"), ArrayAgg("a", order_by="b")),
    (ArrayAgg("a", order_by="b"), ArrayAgg("a", order_by="-b")),
    (Func("a", function="f"), Func("a", function="g")),
    (Func("a", function="f"), Func("a", function="s.f")),
    (fn.Cast("a", int), fn.Cast("a", str)),
    (fn.Collate("a", "C"), fn.Collate("a", "POSIX")),
    (fn.Trunc("a", "year"), fn.Trunc("a", "month")),
    (fn.TruncDay("a", tzinfo="UTC"), fn.TruncDay("a")),
    (fn.KeyTransform("a", "d"), fn.KeyTransform("b", "d")),
    (Window(Sum("a")), Window(Sum("a"), order_by="b")),
    (Window(Sum("a"), order_by="b"), Window(Sum("a"), partition_by="b")),
    (Window(Sum("a"), frame=RowRange(-1, 0)), Window(Sum("a"), frame=RowRange(-2, 0))),
    (Window(Sum("a"), frame=RowRange(-1, 0)), Window(Sum("a"), frame=ValueRange(-1, 0))),
    (Case(When(a=1, then=1)), Case(When(a=1, then=1), default=1)),
    (SearchQuery("a"), SearchQuery("a", search_type="raw")),
    (SearchVector("a", weight="A"), SearchVector("a", weight="B")),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=label)
def test_what_is_written_differently_has_another_key(one: Any, other: Any) -> None:
    assert (
        as_expression(one).key != as_expression(other).key if not isinstance(one, Q) else one.key != other.key
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "upper(",
        "upper; DROP TABLE x",
        'a"b',
        "a.b.c",
        ".a",
        "a.",
        "1a",
        "é",
        "a'",
        "a--",
        "a\n",
        None,
        5,
    ],
)
def test_a_functions_name_is_an_identifier_and_nothing_else(name: Any) -> None:
    with pytest.raises(FieldError, match=r"is no name of a function|needs the name of a function"):
        Func("title", function=name)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fn.Trunc("a", "month'; --"), "has no unit"),
        (lambda: fn.Trunc("a", "moth"), "did you mean 'month'"),
        (lambda: fn.Extract("a", "yaer"), "did you mean 'year'"),
        (lambda: fn.Cast("a", object), "is no column type"),
        (lambda: fn.Lower("a", "b"), "takes 1 expressions, not 2"),
        (lambda: fn.Coalesce("a"), "takes 2 or more expressions, not 1"),
        (lambda: fn.Left("a", 0), "an int from 1 on"),
        (lambda: fn.Collate("a", ""), "name of a collation"),
        (lambda: fn.TruncDay("a", tzinfo=5), "a name, a ZoneInfo or a timezone"),
        (lambda: Value(F("a")), "is an expression already"),
        (lambda: F(WRONG), "takes the name of a field"),
        (lambda: OuterRef(WRONG), "takes the name of a field"),
        (lambda: F("a").asc(nulls_first=True, nulls_last=True), "exclude each other"),
        (lambda: Book.objects.annotate(n=F("title") + 1), "has no meaning in PostgreSQL.*use Concat"),
        (lambda: Book.objects.annotate(n=F("in_print") * 2), "has no meaning in PostgreSQL"),
        (lambda: Book.objects.annotate(n=F("price").bitand(2)), "has no meaning in PostgreSQL"),
        (lambda: Book.objects.annotate(n=F("pages") + None), "None has no value to calculate with"),
        (lambda: Book.objects.annotate(n=Value([])), "cannot tell the PostgreSQL type of an empty list"),
        (lambda: Book.objects.annotate(n=Value(object())), "cannot tell the PostgreSQL type of a object"),
        (lambda: Book.objects.annotate(n=fn.Sqrt("title")), "takes a number, not character varying"),
        (lambda: Book.objects.annotate(n=fn.ExtractHour("published")), "date has no hour"),
        (lambda: Book.objects.annotate(n=fn.TruncYear("clock")), "time without time zone has no year"),
        (
            lambda: Book.objects.annotate(n=fn.TruncDay("local", tzinfo="UTC")),
            "for timestamps with time zone",
        ),
        (lambda: Book.objects.annotate(n=fn.Lower("titel")), "no field 'titel'; did you mean 'title'"),
        (lambda: Book.objects.filter(F("pages")), "is integer, and no condition"),
    ],
)
def test_mistakes_are_found_when_the_query_is_built(build: Any, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        build()


def test_expressions_have_no_truth_value_here() -> None:
    with pytest.raises(TypeError, match=r"use &, \|, ~"):
        bool(F("pages") + 1)
