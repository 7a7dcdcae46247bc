"""aggregate, annotate with aggregates over to-one and to-many, grouping by values."""

from typing import Any, Final

from oracle.compare import Case, Queries, Query, departs, ordered, shaped


def attribute(query: Query) -> Case:
    """Compare the annotation `x` beside the key."""
    return shaped(query, lambda _side, row: (row.pk if hasattr(row, "pk") else row.id, row.x))


def attributes(*names: str) -> Any:
    """Compare the key and these annotations."""
    return lambda _side, row: [row.id, *(getattr(row, name) for name in names)]


def far(m: Any, model: str, back: str, expression: Any, **conditions: Any) -> Any:
    """An aggregate over far rows as Django can have it unmultiplied: a subquery of its own."""
    rows = getattr(m, model).objects.filter(**{back: m.OuterRef("pk")}, **conditions)
    return m.Subquery(rows.order_by().values(back).annotate(made=expression).values("made"))


TOTALS: Final[Queries] = {
    "count": lambda m: m.Book.objects.aggregate(n=m.Count("id")),
    "count of rows": lambda m: m.Book.objects.aggregate(n=m.Count("*")),
    "count of a nullable": lambda m: m.Book.objects.aggregate(n=m.Count("pages")),
    "count, distinct": lambda m: m.Book.objects.aggregate(n=m.Count("title", distinct=True)),
    "sum of decimals": lambda m: m.Book.objects.aggregate(n=m.Sum("price")),
    "sum of integers": lambda m: m.Book.objects.aggregate(n=m.Sum("pages")),
    "sum of floats": lambda m: m.Author.objects.aggregate(n=m.Sum("rating")),
    "sum of smallints": lambda m: m.Review.objects.aggregate(n=m.Sum("stars")),
    "sum of intervals": lambda m: m.Shop.objects.aggregate(n=m.Sum("lease")),
    "sum, distinct": lambda m: m.Book.objects.aggregate(n=m.Sum("pages", distinct=True)),
    "sum of nothing": lambda m: m.Book.objects.filter(pk=0).aggregate(n=m.Sum("pages")),
    "sum of none()": lambda m: m.Book.objects.none().aggregate(n=m.Sum("pages"), c=m.Count("id")),
    "sum of nothing, with a default": lambda m: m.Book.objects.filter(pk=0).aggregate(n=m.Sum("pages", default=0)),
    "average of integers": lambda m: m.Book.objects.aggregate(n=m.Avg("pages")),
    "average of decimals": lambda m: m.Book.objects.aggregate(n=m.Round(m.Avg("price"), 4)),
    "average of floats": lambda m: m.Author.objects.aggregate(n=m.Avg("rating")),
    "least and greatest": lambda m: m.Book.objects.aggregate(low=m.Min("price"), high=m.Max("price"), last=m.Max("published")),
    "least text": lambda m: m.Country.objects.aggregate(low=m.Min("code"), high=m.Max("code")),
    "deviation": lambda m: m.Author.objects.aggregate(a=m.StdDev("rating"), b=m.Variance("rating"), c=m.StdDev("rating", sample=True)),
    "by its own name": lambda m: m.Book.objects.aggregate(m.Max("price"), m.Count("id")),
    "of an expression": lambda m: m.OrderLine.objects.aggregate(n=m.typed(m.Sum(m.F("quantity") * m.F("unit_price")), "decimal")),
    "of two aggregates": lambda m: m.Book.objects.aggregate(n=m.Max("price") - m.Min("price")),
    "with a filter": lambda m: m.Book.objects.aggregate(n=m.Count("id", filter=m.Q(price__lt=10)), all=m.Count("id")),
    "with a filter over to-one": lambda m: m.Book.objects.aggregate(n=m.Count("id", filter=m.Q(author__country="is"))),
    "with a filter of NOT": lambda m: m.Author.objects.aggregate(n=m.Count("id", filter=~m.Q(rating__gt=2))),
    "over to-one": lambda m: m.Book.objects.aggregate(n=m.Avg("author__rating")),
    "over two to-one": lambda m: m.Review.objects.filter(stars=5).aggregate(n=m.Max("book__author__rating")),
    "after a filter": lambda m: m.Book.objects.filter(binding="hard").aggregate(n=m.Sum("price")),
    "after a slice": lambda m: m.Book.objects.order_by("id")[:10].aggregate(n=m.Sum("price")),
    "after distinct": lambda m: m.Book.objects.values("title").distinct().aggregate(n=m.Count("title")),
    "after an annotation": lambda m: m.Book.objects.annotate(x=m.F("price") * 2).aggregate(n=m.Sum("x")),
    "after an aggregate": lambda m: m.Author.objects.annotate(n=m.Count("books")).aggregate(top=m.Max("n"), all=m.Sum("n")),
    "array": lambda m: m.Country.objects.aggregate(n=m.ArrayAgg("code", order_by="-code")),
    "array, filtered": lambda m: m.Country.objects.aggregate(n=m.ArrayAgg("code", order_by="code", filter=m.Q(code__gt="i"))),
    "text": lambda m: m.Country.objects.aggregate(n=m.StringAgg("code", delimiter="|", order_by="code")),
    "booleans": lambda m: m.Author.objects.aggregate(a=m.BoolAnd("is_active"), b=m.BoolOr("is_active")),
    "bits": lambda m: m.Review.objects.aggregate(a=m.BitAnd("stars"), b=m.BitOr("stars")),
    "over to-many, alone": lambda m: m.Author.objects.filter(pk__lt=50).aggregate(n=m.Count("books")),
}  # fmt: skip

EACH: Final[Queries] = {
    "count": attribute(lambda m: m.Author.objects.annotate(x=m.Count("books"))),
    "count of the second key": attribute(lambda m: m.Author.objects.annotate(x=m.Count("edited"))),
    "sum": attribute(lambda m: m.Author.objects.annotate(x=m.Sum("books__price"))),
    "sum with a default": attribute(lambda m: m.Author.objects.annotate(x=m.Sum("books__pages", default=0))),
    "average": attribute(lambda m: m.Author.objects.annotate(x=m.Avg("books__pages"))),
    "greatest": attribute(lambda m: m.Author.objects.annotate(x=m.Max("books__published"))),
    "count, distinct": attribute(lambda m: m.Author.objects.annotate(x=m.Count("books__genre", distinct=True))),
    "count, filtered": attribute(lambda m: m.Author.objects.annotate(x=m.Count("books", filter=m.Q(books__price__lt=20)))),
    "count of many to many": attribute(lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Count("tags"))),
    "count of many to many, reverse": attribute(lambda m: m.Tag.objects.annotate(x=m.Count("books"))),
    "count through": attribute(lambda m: m.Author.objects.annotate(x=m.Count("contributed"))),
    "sum of the through table": attribute(lambda m: m.Author.objects.annotate(x=m.Sum("contributions__share"))),
    "two deep": attribute(lambda m: m.Author.objects.filter(pk__lt=60).annotate(x=m.Count("books__reviews"))),
    "three deep": attribute(lambda m: m.Country.objects.annotate(x=m.Count("authors__books__reviews"))),
    "average two deep": attribute(lambda m: m.Author.objects.filter(pk__lt=60).annotate(x=m.Avg("books__reviews__stars"))),
    "to-many, then to-one": attribute(lambda m: m.Author.objects.annotate(x=m.Count("books__publisher__country", distinct=True))),
    "to-one, then to-many": attribute(lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Count("author__pupils"))),
    "to itself": attribute(lambda m: m.Author.objects.annotate(x=m.Count("pupils"))),
    "composite rows": attribute(lambda m: m.Order.objects.filter(pk__lt=300).annotate(x=m.Count("lines"))),
    "of an expression": attribute(
        lambda m: m.Order.objects.filter(pk__lt=300).annotate(x=m.typed(m.Sum(m.F("lines__quantity") * m.F("lines__unit_price")), "decimal"))
    ),
    "array": departs(
        "`ArrayAgg` and its like over no far rows",
        lambda m: m.Genre.objects.annotate(x=m.ArrayAgg("children__name", order_by="children__name")),
        lambda m: m.Genre.objects.annotate(
            x=m.ArrayAgg("children__name", order_by="children__name", filter=m.Q(children__isnull=False))
        ),
        shape=attributes("x"),
    ),
    "text": attribute(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.StringAgg("pupils__name", delimiter=", ", order_by=("pupils__name",)))),
    "filter by it": attribute(lambda m: m.Author.objects.annotate(x=m.Count("books")).filter(x__gt=20)),
    "exclude by it": attribute(lambda m: m.Author.objects.annotate(x=m.Count("books")).exclude(x__gt=10)),
    "filter by it in an or": lambda m: m.Author.objects.annotate(x=m.Count("books")).filter(m.Q(x__gt=24) | m.Q(rating=5.0)),
    "filter by it against a column": lambda m: m.Author.objects.annotate(x=m.Count("books")).filter(x__gt=m.F("rating") * 5),
    "filter before": attribute(lambda m: m.Author.objects.filter(is_active=True).annotate(x=m.Count("books"))),
    "order by it": ordered(lambda m: m.Author.objects.annotate(x=m.Count("books")).order_by("-x", "id")[:40]),
    "an expression of it": attribute(lambda m: m.Author.objects.annotate(n=m.Count("books")).annotate(x=m.F("n") * 2)),
    "alias, then filter": lambda m: m.Author.objects.alias(n=m.Count("books")).filter(n=0),
    "count of the annotated": lambda m: m.Author.objects.annotate(n=m.Count("books")).filter(n__gt=20).count(),
    "exists of the annotated": lambda m: m.Author.objects.annotate(n=m.Count("books")).filter(n__gt=2000).exists(),
    "in values": lambda m: m.Author.objects.annotate(n=m.Count("books")).values("name", "n"),
    "two of one to-many": shaped(
        lambda m: m.Author.objects.annotate(n=m.Count("books"), total=m.Sum("books__price"), top=m.Max("books__pages")),
        attributes("n", "total", "top"),
    ),
    "two to-many": departs(
        "Aggregates over two to-many relations",
        lambda m: m.Author.objects.annotate(b=m.Count("books"), e=m.Count("edited")),
        lambda m: m.Author.objects.annotate(b=m.Count("books", distinct=True), e=m.Count("edited", distinct=True)),
        shape=attributes("b", "e"),
    ),
    "two sums over two to-many": departs(
        "Aggregates over two to-many relations",
        lambda m: m.Author.objects.annotate(b=m.Sum("books__price"), e=m.Sum("edited__price")),
        lambda m: m.Author.objects.annotate(
            b=far(m, "Book", "author", m.Sum("price")), e=far(m, "Book", "editor", m.Sum("price"))
        ),
        shape=attributes("b", "e"),
    ),
    "a filter of the same to-many, before": departs(
        "An aggregate after a to-many filter",
        lambda m: m.Author.objects.filter(books__price__lt=2).annotate(x=m.Count("books")),
        lambda m: m.Author.objects.filter(pk__in=m.Book.objects.filter(price__lt=2).values("author")).annotate(x=m.Count("books")),
        shape=attributes("x"),
    ),
    "a filter of another to-many": departs(
        "An aggregate after a to-many filter",
        lambda m: m.Author.objects.filter(edited__price__lt=5).annotate(x=m.Sum("books__price")),
        lambda m: m.Author.objects.filter(edited__price__lt=5).distinct().annotate(x=far(m, "Book", "author", m.Sum("price"))),
        shape=attributes("x"),
    ),
    "the sum of a to-many filter's rows": departs(
        "Rows that a to-many filter doubles",
        lambda m: m.Author.objects.filter(books__price__lt=5).aggregate(n=m.Count("id")),
        lambda m: m.Author.objects.filter(books__price__lt=5).aggregate(n=m.Count("id", distinct=True)),
    ),
}  # fmt: skip

GROUPS: Final[Queries] = {
    "by a column": lambda m: m.Book.objects.values("binding").annotate(n=m.Count("id")),
    "by a column, values_list": lambda m: m.Book.objects.values_list("binding").annotate(n=m.Count("id")),
    "by two": lambda m: m.Book.objects.values("binding", "in_print").annotate(n=m.Count("id"), high=m.Max("price")),
    "by a key": lambda m: m.Book.objects.values("genre").annotate(n=m.Count("id")),
    "by a key's column": lambda m: m.Book.objects.values("genre_id").annotate(n=m.Count("id")),
    "by to-one": lambda m: m.Book.objects.values("genre__name").annotate(n=m.Count("id"), low=m.Min("price")),
    "by a nullable to-one": lambda m: m.Book.objects.values("publisher__country").annotate(n=m.Count("id")),
    "by two deep": lambda m: m.Book.objects.values("author__country__name").annotate(n=m.Count("id")),
    "by a function": lambda m: m.Book.objects.annotate(year=m.ExtractYear("published")).values("year").annotate(n=m.Count("id")),
    "by a transform": lambda m: m.Book.objects.values("published__year").annotate(n=m.Count("id")),
    "by a truncation": lambda m: m.Order.objects.annotate(month=m.TruncMonth("placed")).values("month").annotate(n=m.Count("id")),
    "by a named expression": lambda m: m.Book.objects.values(low=m.Lower("title")).annotate(n=m.Count("id")),
    "by Case": lambda m: m.Author.objects.annotate(
        good=m.Case(m.When(rating__gt=3, then=m.Value("yes")), default=m.Value("no"))
    ).values("good").annotate(n=m.Count("id")),
    "filter after": lambda m: m.Book.objects.values("title").annotate(n=m.Count("id")).filter(n__gt=20),
    "filter before": lambda m: m.Book.objects.filter(price__lt=10).values("binding").annotate(n=m.Count("id")),
    "filter after, a column": lambda m: m.Book.objects.values("binding").annotate(n=m.Count("id")).filter(binding="hard"),
    "order by the aggregate": ordered(lambda m: m.Book.objects.values("title").annotate(n=m.Count("id")).order_by("-n", "title")[:40]),
    "order by the column": ordered(lambda m: m.Book.objects.values("genre__name").annotate(n=m.Count("id")).order_by("genre__name")),
    "only the aggregate": lambda m: m.Book.objects.values("binding").annotate(n=m.Count("id")).values("n"),
    "only the aggregate, flat": lambda m: m.Book.objects.values("binding").annotate(n=m.Count("id")).values_list("n", flat=True),
    "count of groups": lambda m: m.Book.objects.values("binding").annotate(n=m.Count("id")).count(),
    "aggregate of groups": lambda m: m.Book.objects.values("title").annotate(n=m.Count("id")).aggregate(top=m.Max("n")),
    "filtered aggregates": lambda m: m.Book.objects.values("binding").annotate(
        cheap=m.Count("id", filter=m.Q(price__lt=10)), dear=m.Count("id", filter=m.Q(price__gte=90))
    ),
    "of to-many": lambda m: m.Author.objects.values("country").annotate(n=m.Count("books")),
    "of to-many, summed": lambda m: m.Author.objects.values("is_active").annotate(n=m.Sum("books__price")),
    "composite rows": lambda m: m.OrderLine.objects.values("position").annotate(n=m.Sum("quantity")),
    "json key": lambda m: m.Book.objects.values("details__language").annotate(n=m.Count("id")),
    "two steps": lambda m: m.Book.objects.values("author").annotate(n=m.Count("id")).annotate(top=m.Max("price")),
    "arrays": lambda m: m.Genre.objects.values("parent").annotate(names=m.ArrayAgg("name", order_by="name")),
    "values after annotate": lambda m: m.Author.objects.annotate(n=m.Count("books")).values("country", "n"),
}  # fmt: skip
