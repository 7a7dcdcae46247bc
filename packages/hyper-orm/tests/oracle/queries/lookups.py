"""Every lookup, on columns of every type."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from oracle.compare import Case, Queries, columns, empty, shaped

TEXT: Final[Queries] = {
    "exact": lambda m: m.Book.objects.filter(title="Two"),
    "exact, spelt": lambda m: m.Book.objects.filter(title__exact="Two"),
    "exact of the empty string": lambda m: m.Book.objects.filter(subtitle="", pages__lt=300),
    "exact of None": lambda m: m.Book.objects.filter(subtitle=None, pages__lt=100),
    "exact of None, spelt": lambda m: m.Book.objects.filter(subtitle__exact=None, pages__lt=100),
    "iexact": lambda m: m.Book.objects.filter(title__iexact="two"),
    "iexact of a letter that grows": lambda m: m.Book.objects.filter(title__iexact="STRAßE"),
    "iexact of wildcards": lambda m: m.Book.objects.filter(title__iexact="A_B"),
    "iexact of None": lambda m: m.Book.objects.filter(subtitle__iexact=None, pages__lt=100),
    "contains": lambda m: m.Book.objects.filter(title__contains="straße"),
    "contains percent": lambda m: m.Book.objects.filter(title__contains="50%"),
    "contains underscore": lambda m: m.Book.objects.filter(title__contains="a_b"),
    "contains backslash": lambda m: m.Book.objects.filter(title__contains="k\\s"),
    "contains quote": lambda m: m.Book.objects.filter(title__contains="O'N"),
    "contains emoji": lambda m: m.Book.objects.filter(title__contains="🙂"),
    "icontains": lambda m: m.Book.objects.filter(title__icontains="LETTERS"),
    "icontains percent": lambda m: m.Book.objects.filter(title__icontains="0% G"),
    "startswith": lambda m: m.Book.objects.filter(title__startswith="Letter"),
    "startswith wildcards": lambda m: m.Book.objects.filter(title__startswith="a_"),
    "istartswith": lambda m: m.Book.objects.filter(title__istartswith="LETTER"),
    "endswith": lambda m: m.Book.objects.filter(title__endswith="slash"),
    "endswith percent": lambda m: m.Book.objects.filter(title__endswith="%"),
    "iendswith": lambda m: m.Book.objects.filter(title__iendswith="SLASH"),
    "regex": lambda m: m.Book.objects.filter(title__regex=r"^[tT]wo( |$)"),
    "iregex": lambda m: m.Book.objects.filter(title__iregex=r"^letters? moon$"),
    "in": lambda m: m.Book.objects.filter(title__in=["Two", "two", "moon", "no such title"]),
    "in a tuple": lambda m: m.Book.objects.filter(title__in=("Two", "two")),
    "in a set": lambda m: m.Book.objects.filter(title__in={"Two", "two"}),
    "in nothing": empty(lambda m: m.Book.objects.filter(title__in=[])),
    "in with None": lambda m: m.Book.objects.filter(subtitle__in=["", None], pages__lt=300),
    "not in nothing": lambda m: m.Author.objects.exclude(name__in=[]),
    "in one": lambda m: m.Book.objects.filter(title__in=["Two"]),
    "gt": lambda m: m.Country.objects.filter(code__gt="fr"),
    "gte": lambda m: m.Country.objects.filter(code__gte="fr"),
    "lt": lambda m: m.Country.objects.filter(code__lt="fr"),
    "lte": lambda m: m.Country.objects.filter(code__lte="fr"),
    "range": lambda m: m.Country.objects.filter(code__range=("ca", "fr")),
    "isnull": lambda m: m.Book.objects.filter(subtitle__isnull=True, pages__lt=100),
    "not isnull": lambda m: m.Book.objects.filter(subtitle__isnull=False, pages__lt=100),
    "length, through a function": lambda m: m.Genre.objects.annotate(n=m.Length("name")).filter(n__gt=8),
}

NUMBERS: Final[Queries] = {
    "integer exact": lambda m: m.Book.objects.filter(pages=100),
    "integer gt": lambda m: m.Book.objects.filter(pages__gt=1_190),
    "integer gte": lambda m: m.Book.objects.filter(pages__gte=1_190),
    "integer lt": lambda m: m.Book.objects.filter(pages__lt=5),
    "integer lte": lambda m: m.Book.objects.filter(pages__lte=5),
    "integer range": lambda m: m.Book.objects.filter(pages__range=(100, 105)),
    "integer range, reversed": empty(lambda m: m.Book.objects.filter(pages__range=(105, 100))),
    "integer in": lambda m: m.Book.objects.filter(pages__in=[1, 2, 3, 3]),
    "integer in a generator": lambda m: m.Book.objects.filter(pages__in=list(range(4))),
    "smallint in": lambda m: m.Review.objects.filter(stars__in=[1, 5], helpful=7, book_id__lt=500),
    "bigint gt": lambda m: m.Country.objects.filter(population__gt=500_000_000),
    "bigint beyond 32 bits": empty(lambda m: m.Country.objects.filter(population__gt=5_000_000_000)),
    "numeric exact": lambda m: m.OrderLine.objects.filter(discount=Decimal("1.50")),
    "numeric exact, other scale": lambda m: m.OrderLine.objects.filter(discount=Decimal("1.5")),
    "numeric with an int": lambda m: m.OrderLine.objects.filter(discount=1),
    "numeric gt": lambda m: m.Book.objects.filter(price__gt=Decimal("99.5")),
    "numeric lt, finer than the column": lambda m: m.Book.objects.filter(price__lt=Decimal("0.105")),
    "numeric range": lambda m: m.Book.objects.filter(price__range=(Decimal(10), Decimal("10.5"))),
    "numeric in": lambda m: m.Book.objects.filter(
        price__in=[Decimal("10.00"), Decimal("10.01"), Decimal(11), Decimal(12), Decimal("5.25")]
    ),
    "float exact": lambda m: m.Author.objects.filter(rating=2.5),
    "float with an int": lambda m: m.Author.objects.filter(rating=2),
    "float gt": lambda m: m.Author.objects.filter(rating__gt=4.5),
    "float in": lambda m: m.Author.objects.filter(rating__in=[0.25, 5.0]),
    "float isnull": lambda m: m.Author.objects.filter(rating__isnull=True),
    "boolean": lambda m: m.Author.objects.filter(is_active=False),
    "boolean exact": lambda m: m.Author.objects.filter(is_active__exact=True),
    "boolean in": lambda m: m.Author.objects.filter(is_active__in=[False]),
    "enum": lambda m: m.Book.objects.filter(binding="spiral", pages__lt=100),
    "enum in": lambda m: m.Order.objects.filter(status__in=["new", "paid"], coupon="10%"),
    "enum not": lambda m: m.Customer.objects.exclude(tier="basic").filter(country="at"),
    "uuid in nothing that is there": empty(lambda m: m.Tag.objects.filter(id=UUID(int=1))),
    "pk": lambda m: m.Book.objects.filter(pk=17),
    "pk in": lambda m: m.Book.objects.filter(pk__in=[1, 5, 9, 1_000_000]),
    "pk gt": lambda m: m.Author.objects.filter(pk__gt=590),
    "text pk": lambda m: m.Country.objects.filter(pk="de"),
    "text pk in": lambda m: m.Country.objects.filter(pk__in=["de", "xx", "zz"]),
}

TIME: Final[Queries] = {
    "date exact": lambda m: m.Book.objects.filter(published=date(2020, 2, 29)),
    "date gt": lambda m: m.Book.objects.filter(published__gt=date(2024, 12, 1)),
    "date range": lambda m: m.Book.objects.filter(published__range=(date(2018, 12, 30), date(2019, 1, 1))),
    "date in": lambda m: m.Book.objects.filter(published__in=[date(2018, 12, 31), date(2024, 6, 30)]),
    "date isnull": lambda m: m.Author.objects.filter(died__isnull=True, born__isnull=False),
    "date year": lambda m: m.Book.objects.filter(published__year=2020),
    "date year gt": lambda m: m.Author.objects.filter(born__year__gt=1990),
    "date year gte": lambda m: m.Author.objects.filter(born__year__gte=1990),
    "date year lt": lambda m: m.Author.objects.filter(born__year__lt=1910),
    "date year lte": lambda m: m.Author.objects.filter(born__year__lte=1910),
    "date year in": lambda m: m.Author.objects.filter(born__year__in=[1910, 1950]),
    "date iso year": lambda m: m.Book.objects.filter(published__iso_year=2020),
    "date month": lambda m: m.Author.objects.filter(born__month=2),
    "date day": lambda m: m.Author.objects.filter(born__day=29),
    "date week": lambda m: m.Book.objects.filter(published__week=53),
    "date week day": lambda m: m.Author.objects.filter(born__week_day=1),
    "date iso week day": lambda m: m.Author.objects.filter(born__iso_week_day=7),
    "date quarter": lambda m: m.Author.objects.filter(born__quarter=4),
    "timestamp exact": lambda m: m.Review.objects.filter(written=datetime(2024, 2, 29, 12, tzinfo=UTC)),
    "timestamp gte": lambda m: m.Review.objects.filter(written__gte=datetime(2024, 12, 20, tzinfo=UTC)),
    "timestamp of another zone": lambda m: m.Review.objects.filter(
        written__gte=datetime(2024, 12, 20, tzinfo=UTC).astimezone()
    ),
    "timestamp range": lambda m: m.Order.objects.filter(
        placed__range=(datetime(2023, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
    ),
    "timestamp year": lambda m: m.Order.objects.filter(placed__year=2023, coupon__isnull=False),
    "timestamp date": lambda m: m.Order.objects.filter(placed__date=date(2023, 12, 31)),
    "timestamp date gt": lambda m: m.Order.objects.filter(placed__date__gt=date(2024, 12, 20)),
    "timestamp date in": lambda m: m.Order.objects.filter(
        placed__date__in=[date(2024, 1, 1), date(2024, 2, 29)]
    ),
    "timestamp month": lambda m: m.Order.objects.filter(placed__month=12, status="new"),
    "timestamp hour": lambda m: m.Order.objects.filter(placed__hour=23, status="new"),
    "timestamp minute": lambda m: m.Order.objects.filter(placed__minute=59),
    "timestamp second": lambda m: m.Order.objects.filter(placed__second=59),
    "timestamp second, with its parts": lambda m: m.Order.objects.filter(placed__second__gte=59),
    "timestamp time": lambda m: m.Order.objects.filter(placed__time__lt=time(0, 5)),
    "timestamp isnull": lambda m: m.Order.objects.filter(shipped__isnull=True, status="shipped"),
    "time exact": lambda m: m.Shop.objects.filter(opens__gte=time(9)),
    "time hour": lambda m: m.Shop.objects.filter(opens__hour__in=[6, 7, 8, 9]),
    "interval gt": lambda m: m.Shop.objects.filter(lease__gt=timedelta(days=365)),
    "interval isnull": lambda m: m.Shop.objects.filter(lease__isnull=False),
}


def whole(name: str, **lookups: Any) -> Case:
    return shaped(lambda m: getattr(m, name).objects.filter(**lookups), columns)


IDENTIFIED: Final = (
    "Publisher", "Author", "Profile", "Genre", "Book", "Contribution", "Customer", "Review", "Order", "Shop",
)  # fmt: skip
WHOLE: Final[Queries] = {
    **{f"every column of {name}": whole(name, pk__lt=200) for name in IDENTIFIED},
    "every column of Country": whole("Country"),
    "every column of Tag": whole("Tag"),
    "every column of OrderLine": whole("OrderLine", order_id__lt=50),
    "every column of Stock": whole("Stock", book_id__lt=50),
}
