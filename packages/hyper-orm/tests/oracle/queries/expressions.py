"""annotate, alias, Case, functions, subqueries: what is computed for each row."""

from decimal import Decimal
from typing import Final

from oracle.compare import Case, Queries, Query, departs, ordered, shaped

FEW: Final = 40


def attribute(query: Query) -> Case:
    """Compare the annotation `x` beside the key."""
    return shaped(query, lambda _side, row: (row.pk if hasattr(row, "pk") else row.id, row.x))


def value(query: Query) -> Case:
    """Annotate a few rows with `x` by way of values_list()."""
    return Case(lambda m: query(m).values_list("pk", "x"))


TEXT_FUNCTIONS: Final[Queries] = {
    "Lower": value(lambda m: m.Country.objects.annotate(x=m.Lower("name"))),
    "Upper": value(lambda m: m.Country.objects.annotate(x=m.Upper("name"))),
    "Length": value(lambda m: m.Country.objects.annotate(x=m.Length("name"))),
    "Concat": value(lambda m: m.Country.objects.annotate(x=m.Concat("name", m.Value(": "), "name"))),
    "Concat with NULL": value(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.Concat("subtitle", m.text("!")))),
    "Substr": value(lambda m: m.Country.objects.annotate(x=m.Substr("name", 2, 3))),
    "Left": value(lambda m: m.Country.objects.annotate(x=m.Left("name", 2))),
    "Right": value(lambda m: m.Country.objects.annotate(x=m.Right("name", 2))),
    "Trim": value(lambda m: m.Country.objects.annotate(x=m.Trim(m.Value("  a ")))),
    "LTrim": value(lambda m: m.Country.objects.annotate(x=m.LTrim(m.Value("  a ")))),
    "RTrim": value(lambda m: m.Country.objects.annotate(x=m.RTrim(m.Value("  a ")))),
    "LPad": value(lambda m: m.Country.objects.annotate(x=m.LPad("code", 5, m.Value("*")))),
    "RPad": value(lambda m: m.Country.objects.annotate(x=m.RPad("code", 5, m.Value("*")))),
    "Repeat": value(lambda m: m.Country.objects.annotate(x=m.Repeat("code", 2))),
    "Replace": value(lambda m: m.Country.objects.annotate(x=m.Replace("name", m.Value("a"), m.Value("A")))),
    "Reverse": value(lambda m: m.Country.objects.annotate(x=m.Reverse("name"))),
    "StrIndex": value(lambda m: m.Country.objects.annotate(x=m.StrIndex("name", m.Value("a")))),
    "MD5": value(lambda m: m.Country.objects.annotate(x=m.MD5("name"))),
    "Ord": value(lambda m: m.Country.objects.annotate(x=m.Ord("name"))),
    "Chr": value(lambda m: m.Country.objects.annotate(x=m.Chr(m.Length("name") + 65))),
    "nested": value(lambda m: m.Country.objects.annotate(x=m.Upper(m.Substr(m.Lower("name"), 1, 2)))),
    "Cast to text": value(lambda m: m.Genre.objects.annotate(x=m.cast("id", "text"))),
    "Cast to integer": value(lambda m: m.Author.objects.annotate(x=m.cast("rating", "integer"))),
    "Collate": value(lambda m: m.Country.objects.annotate(x=m.Collate("name", "C"))),
}  # fmt: skip

NUMBER_FUNCTIONS: Final[Queries] = {
    "Abs": value(lambda m: m.Customer.objects.filter(pk__lt=99).annotate(x=m.Abs("balance"))),
    "Ceil": value(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.Ceil("rating"))),
    "Floor": value(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.Floor("rating"))),
    "Round": value(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.Round("price"))),
    "Round to a place": value(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.Round("price", 1))),
    "Sqrt": value(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.Sqrt("rating"))),
    "Power": value(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.Power("rating", 2))),
    "Mod": departs(
        "`Mod` of integers",
        lambda m: m.Genre.objects.annotate(x=m.Mod("id", 5)).values_list("id", "x"),
        shape=lambda _side, row: [row[0], int(row[1])],
    ),
    "Sign": value(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.Sign("rating"))),
    "Exp": value(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.Exp("rating"))),
    "Ln": value(lambda m: m.Author.objects.filter(rating__gt=0).annotate(x=m.Ln("rating"))),
    "Sin": value(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.Sin("rating"))),
    "Greatest": value(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.Greatest("price", "cost"))),
    "Least": value(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.Least("price", "cost"))),
    "Coalesce": value(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.Coalesce("cost", "price"))),
    "Coalesce with a value": value(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.Coalesce("subtitle", m.text("-")))),
    "NullIf": value(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.NullIf("subtitle", m.text("")))),
    "plus": attribute(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.F("price") + m.F("cost"))),
    "times": attribute(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.F("price") * m.F("cost"))),
    "integer division": attribute(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.F("pages") / 7)),
    "integer and decimal": attribute(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.typed(m.F("pages") * m.F("price"), "decimal"))),
    "float and integer": attribute(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.typed(m.F("weight") * m.F("pages"), "float"))),
    "of a relation": attribute(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.F("author__rating"))),
    "of a nullable relation": attribute(lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.F("editor__name"))),
    "a value": attribute(lambda m: m.Genre.objects.annotate(x=m.Value(7))),
    "a value of text": attribute(lambda m: m.Genre.objects.annotate(x=m.Value("seven"))),
    "a value of None": attribute(lambda m: m.Genre.objects.annotate(x=m.typed(m.Value(None), "text"))),
    "annotation of an annotation": attribute(lambda m: m.Book.objects.filter(pk__lt=99).annotate(y=m.F("price") * 2).annotate(x=m.F("y") + 1)),
    "filter by an annotation": attribute(lambda m: m.Book.objects.annotate(x=m.F("price") - m.F("cost")).filter(x__gt=97)),
    "exclude by an annotation": departs(
        "`exclude()` by an annotation that is NULL",
        lambda m: m.Book.objects.annotate(x=m.F("price") - m.F("cost")).exclude(x__lt=40).filter(pk__lt=400),
        lambda m: m.Book.objects.annotate(x=m.F("price") - m.F("cost")).filter(m.Q(x__gte=40) | m.Q(x=None), pk__lt=400),
    ),
    "order by an annotation": ordered(lambda m: m.Book.objects.annotate(x=m.F("price") * 2).order_by("x", "id")[:FEW]),
    "alias": lambda m: m.Book.objects.alias(x=m.F("price") - m.F("cost")).filter(x__gt=97),
    "a condition": attribute(lambda m: m.Author.objects.annotate(x=m.typed(m.Q(rating__gt=2.5), "boolean"))),
}  # fmt: skip


def cut(model: str, function: str, column: str) -> Case:
    """A part of a date or timestamp, or where it begins."""
    return value(
        lambda m: getattr(m, model).objects.filter(pk__lt=99).annotate(x=getattr(m, function)(column))
    )


CALENDAR: Final = ("Year", "IsoYear", "Month", "Day", "Week", "WeekDay", "IsoWeekDay", "Quarter")
STARTS: Final = ("Year", "Quarter", "Month", "Week", "Day", "Hour", "Minute", "Second", "Date", "Time")
DATES: Final[Queries] = {
    **{f"Extract {part}": cut("Order", f"Extract{part}", "placed") for part in (*CALENDAR, "Hour", "Minute", "Second")},
    **{f"Extract {part} of a date": cut("Author", f"Extract{part}", "born") for part in CALENDAR},
    **{f"Trunc {part}": cut("Order", f"Trunc{part}", "placed") for part in STARTS},
    **{f"Trunc {part} of a date": cut("Author", f"Trunc{part}", "born") for part in STARTS[:4]},
    "difference": attribute(lambda m: m.Order.objects.filter(pk__lt=99).annotate(x=m.F("shipped") - m.F("placed"))),
    "difference of dates": attribute(lambda m: m.Author.objects.filter(pk__lt=99).annotate(x=m.F("died") - m.F("born"))),
    "transform in values": lambda m: m.Order.objects.filter(pk__lt=99).values_list("pk", "placed__year", "placed__date"),
    "dates": ordered(lambda m: m.Book.objects.filter(pages__lt=50).dates("published", "year")),
    "dates, months, descending": ordered(lambda m: m.Book.objects.filter(pages__lt=20).dates("published", "month", order="DESC")),
    "dates, weeks": ordered(lambda m: m.Book.objects.filter(pages__lt=20).dates("published", "week")),
    "dates over to-one": ordered(lambda m: m.Book.objects.filter(pages__lt=20).dates("author__born", "year")),
    "datetimes": ordered(lambda m: m.Order.objects.filter(pk__lt=99).datetimes("placed", "day")),
    "datetimes, hours": ordered(lambda m: m.Order.objects.filter(pk__lt=99).datetimes("placed", "hour")),
    "transform in order": ordered(lambda m: m.Author.objects.filter(born__isnull=False).order_by("born__month", "id")),
}  # fmt: skip

CASES: Final[Queries] = {
    "Case": attribute(
        lambda m: m.Author.objects.annotate(
            x=m.Case(m.When(rating__gt=4, then=m.Value("good")), m.When(rating__gt=2, then=m.Value("fair")), default=m.Value("?"))
        )
    ),
    "without a default": attribute(
        lambda m: m.Author.objects.annotate(x=m.Case(m.When(rating__gt=4, then=m.Value(1)), m.When(rating__gt=2, then=m.Value(2))))
    ),
    "then a column": attribute(
        lambda m: m.Book.objects.filter(pk__lt=99).annotate(x=m.Case(m.When(cost__isnull=False, then="cost"), default="price"))
    ),
    "Q in When": attribute(
        lambda m: m.Author.objects.annotate(
            x=m.Case(m.When(m.Q(rating__gt=4) | m.Q(is_active=False), then=m.Value(1)), default=m.Value(0))
        )
    ),
    "over a relation": attribute(
        lambda m: m.Book.objects.filter(pk__lt=99).annotate(
            x=m.Case(m.When(editor__rating__gt=2, then=m.Value("e")), m.When(author__rating__gt=2, then=m.Value("a")), default=m.Value("-"))
        )
    ),
    "in a filter": lambda m: m.Author.objects.filter(
        rating__gt=m.Case(m.When(is_active=True, then=m.Value(4.0)), default=m.Value(2.0))
    ),
    "in an order": ordered(
        lambda m: m.Author.objects.order_by(m.Case(m.When(is_active=True, then=m.Value(0)), default=m.Value(1)), "id")
    ),
    "in an aggregate": lambda m: m.Author.objects.aggregate(
        n=m.Sum(m.Case(m.When(is_active=True, then=m.Value(1)), default=m.Value(0)))
    ),
    "an empty When": attribute(
        lambda m: m.Genre.objects.annotate(x=m.Case(m.When(pk__in=[], then=m.Value(1)), default=m.Value(0)))
    ),
}  # fmt: skip


SUBQUERIES: Final[Queries] = {
    "Exists": lambda m: m.Author.objects.filter(m.Exists(m.Book.objects.filter(author=m.OuterRef("pk"), price__lt=1))),
    "not Exists": lambda m: m.Author.objects.filter(~m.Exists(m.Book.objects.filter(author=m.OuterRef("pk")))),
    "Exists or a condition": lambda m: m.Author.objects.filter(
        m.Exists(m.Book.objects.filter(author=m.OuterRef("pk"), price__lt=1)) | m.Q(rating=5.0)
    ),
    "a condition and not Exists": lambda m: m.Author.objects.filter(
        m.Q(rating__gt=2) & ~m.Exists(m.Book.objects.filter(author=m.OuterRef("pk")))
    ),
    "Exists as a column": attribute(
        lambda m: m.Author.objects.annotate(x=m.Exists(m.Book.objects.filter(author=m.OuterRef("pk"), price__lt=5)))
    ),
    "Exists as a column, filtered": lambda m: m.Author.objects.annotate(
        x=m.Exists(m.Book.objects.filter(author=m.OuterRef("pk"), price__lt=5))
    ).filter(x=False),
    "Exists of another column": lambda m: m.Author.objects.filter(
        m.Exists(m.Customer.objects.filter(name=m.OuterRef("name"), tier="gold", country="is"))
    ),
    "Exists through a relation": lambda m: m.Book.objects.filter(
        m.Exists(m.Publisher.objects.filter(country=m.OuterRef("author__country"), pk=m.OuterRef("publisher")))
    ),
    "nested Exists": lambda m: m.Author.objects.filter(
        m.Exists(
            m.Book.objects.filter(
                m.Exists(m.Review.objects.filter(book=m.OuterRef("pk"), stars=1, helpful=7)), author=m.OuterRef("pk")
            )
        )
    ),
    "outer of the outer": lambda m: m.Author.objects.filter(
        m.Exists(
            m.Book.objects.filter(
                m.Exists(m.Review.objects.filter(book=m.OuterRef("pk"), customer=m.OuterRef(m.OuterRef("pk")))),
                author=m.OuterRef("pk"),
            )
        )
    ),
    "Subquery of one row": attribute(
        lambda m: m.Author.objects.annotate(
            x=m.Subquery(m.Book.objects.filter(author=m.OuterRef("pk")).order_by("-price", "id").values("title")[:1])
        )
    ),
    "Subquery of an aggregate": attribute(
        lambda m: m.Author.objects.annotate(
            x=m.Subquery(
                m.Book.objects.filter(author=m.OuterRef("pk"))
                .order_by()
                .values("author")
                .annotate(n=m.Count("pk"))
                .values("n")
            )
        )
    ),
    "Subquery in a filter": lambda m: m.Book.objects.filter(
        price=m.Subquery(m.Book.objects.filter(author=m.OuterRef("author")).order_by("-price").values("price")[:1])
    ),
    "a queryset as a subquery": attribute(
        lambda m: m.Genre.objects.annotate(
            x=m.Subquery(m.Book.objects.filter(genre=m.OuterRef("pk")).order_by("id").values("id")[:1])
        )
    ),
    "in a Subquery": lambda m: m.Book.objects.filter(
        author__in=m.Subquery(m.Author.objects.filter(rating=5.0).values("id"))
    ),
    "in of a nullable column": lambda m: m.Author.objects.filter(
        pk__in=m.Author.objects.filter(rating=5.0).values("mentor")
    ),
    "not in of a nullable column": lambda m: m.Author.objects.exclude(
        pk__in=m.Author.objects.filter(rating=5.0, mentor__isnull=False).values("mentor")
    ),
    "a comparison with a queryset of one": lambda m: m.Book.objects.filter(
        price__gte=m.Subquery(m.Book.objects.order_by("-price").values("price")[5:6])
    ),
    "to-many in a subquery": lambda m: m.Book.objects.filter(
        author__in=m.Author.objects.filter(books__price__lt=m.Value(Decimal("0.5")))
    ),
}  # fmt: skip

WINDOWS: Final[Queries] = {
    "row number": attribute(
        lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Window(m.RowNumber(), partition_by=[m.F("genre")], order_by=["price", "id"]))
    ),
    "rank": attribute(lambda m: m.Author.objects.filter(rating__isnull=False).annotate(x=m.Window(m.Rank(), order_by=m.F("rating").desc()))),
    "dense rank": attribute(lambda m: m.Author.objects.filter(rating__isnull=False).annotate(x=m.Window(m.DenseRank(), order_by="rating"))),
    "sum": attribute(lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Window(m.Sum("price"), partition_by="author"))),
    "running sum": attribute(
        lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Window(m.Sum("price"), partition_by="binding", order_by="id"))
    ),
    "lag": attribute(lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Window(m.Lag("title", 2), order_by="id"))),
    "lead with a default": attribute(
        lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Window(m.Lead("pages", 1, 0), order_by="id"))
    ),
    "first value": attribute(
        lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Window(m.FirstValue("title"), partition_by="genre", order_by="id"))
    ),
    "a frame of rows": attribute(
        lambda m: m.Book.objects.filter(pk__lt=300).annotate(x=m.Window(m.Sum("price"), order_by="id", frame=m.RowRange(-2, 0)))
    ),
    "ntile": attribute(lambda m: m.Author.objects.annotate(x=m.Window(m.Ntile(4), order_by="id"))),
}  # fmt: skip
