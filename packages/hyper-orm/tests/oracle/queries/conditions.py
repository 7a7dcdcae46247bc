"""Chains of filter and exclude, Q in every combination, NULLs under NOT, F."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from oracle.compare import Queries, empty

CHAINS: Final[Queries] = {
    "all": lambda m: m.Author.objects.all(),
    "none": empty(lambda m: m.Author.objects.none()),
    "none and filter": empty(lambda m: m.Author.objects.none().filter(name="x")),
    "filter by nothing": lambda m: m.Author.objects.filter(),
    "exclude by nothing": lambda m: m.Author.objects.exclude(),
    "filter, two conditions": lambda m: m.Book.objects.filter(title="two", in_print=True),
    "filter twice": lambda m: m.Book.objects.filter(title="two").filter(in_print=True),
    "exclude": lambda m: m.Author.objects.exclude(is_active=True),
    "exclude with NULLs": lambda m: m.Author.objects.exclude(rating=2.5),
    "exclude gt with NULLs": lambda m: m.Author.objects.exclude(rating__gt=2),
    "exclude in with NULLs": lambda m: m.Author.objects.exclude(rating__in=[1.0, 2.0]),
    "exclude None": lambda m: m.Author.objects.exclude(rating=None),
    "exclude isnull": lambda m: m.Author.objects.exclude(rating__isnull=True),
    "exclude isnull False": lambda m: m.Author.objects.exclude(rating__isnull=False),
    "exclude contains with NULLs": lambda m: m.Author.objects.exclude(email__contains="example"),
    "exclude range with NULLs": lambda m: m.Author.objects.exclude(born__range=(date(1920, 1, 1), date(2000, 1, 1))),
    "exclude year with NULLs": lambda m: m.Author.objects.exclude(born__year=1950),
    "exclude two conditions": lambda m: m.Author.objects.exclude(rating=2.5, is_active=True),
    "exclude two nullable": lambda m: m.Author.objects.exclude(rating__gt=2.5, email__contains="example"),
    "exclude twice": lambda m: m.Author.objects.exclude(rating=2.5).exclude(is_active=True),
    "filter, exclude, filter": lambda m: m.Author.objects.filter(is_active=True).exclude(rating=1.0).filter(born__isnull=False),
    "exclude a foreign key": lambda m: m.Author.objects.exclude(country="de"),
    "exclude through a nullable key": lambda m: m.Author.objects.exclude(country__name="Germany"),
    "exclude two deep": lambda m: m.Author.objects.exclude(mentor__country__name="Germany"),
    "exclude two deep, gt": lambda m: m.Author.objects.exclude(mentor__country__population__gt=10**8),
    "exclude isnull two deep": lambda m: m.Author.objects.exclude(mentor__country__isnull=True),
    "double negation": lambda m: m.Author.objects.exclude(~m.Q(rating=2.5)),
    "exclude compares columns": lambda m: m.Book.objects.exclude(cost__gt=m.F("price")).filter(pages__lt=100),
}  # fmt: skip

COMBINATIONS: Final[Queries] = {
    "or": lambda m: m.Author.objects.filter(m.Q(rating=1.0) | m.Q(is_active=False)),
    "and": lambda m: m.Author.objects.filter(m.Q(rating=1.0) & m.Q(is_active=False)),
    "xor": lambda m: m.Author.objects.filter(m.Q(rating__gt=2) ^ m.Q(is_active=False)),
    "xor of three": lambda m: m.Author.objects.filter(m.Q(rating__gt=2) ^ m.Q(is_active=False) ^ m.Q(born__isnull=True)),
    "not": lambda m: m.Author.objects.filter(~m.Q(rating=1.0)),
    "not or": lambda m: m.Author.objects.filter(~(m.Q(rating=1.0) | m.Q(is_active=False))),
    "not and": lambda m: m.Author.objects.filter(~(m.Q(rating=1.0) & m.Q(is_active=False))),
    "or not": lambda m: m.Author.objects.filter(m.Q(rating=1.0) | ~m.Q(rating__lt=4)),
    "and not": lambda m: m.Author.objects.filter(m.Q(is_active=True) & ~m.Q(rating__lt=4)),
    "not of not": lambda m: m.Author.objects.filter(~(~m.Q(rating=1.0))),
    "not of isnull": lambda m: m.Author.objects.filter(~m.Q(rating__isnull=True)),
    "not of a mixed or": lambda m: m.Author.objects.filter(~(m.Q(rating__gt=2) | m.Q(email__contains="example"))),
    "not of a mixed and": lambda m: m.Author.objects.filter(~(m.Q(rating__gt=2) & m.Q(email__contains="example"))),
    "not of and not": lambda m: m.Author.objects.filter(~(m.Q(rating__gt=2) & ~m.Q(email__contains="example"))),
    "empty Q": lambda m: m.Author.objects.filter(m.Q()),
    "not of an empty Q": lambda m: m.Author.objects.filter(~m.Q()),
    "empty Q or one": lambda m: m.Author.objects.filter(m.Q() | m.Q(rating=1.0)),
    "Q and keywords": lambda m: m.Author.objects.filter(m.Q(rating=1.0) | m.Q(rating=2.0), is_active=True),
    "Q of two keywords": lambda m: m.Author.objects.filter(m.Q(rating=1.0, is_active=True) | m.Q(rating=2.0)),
    "exclude Q": lambda m: m.Author.objects.exclude(m.Q(rating=1.0) | m.Q(is_active=False)),
    "exclude Q and keywords": lambda m: m.Author.objects.exclude(m.Q(rating__gt=1), is_active=True),
    "or of the impossible": lambda m: m.Author.objects.filter(m.Q(pk__in=[]) | m.Q(rating=1.0)),
    "and of the impossible": empty(lambda m: m.Author.objects.filter(m.Q(pk__in=[]) & m.Q(rating=1.0))),
    "or of the certain": lambda m: m.Author.objects.filter(~m.Q(pk__in=[]) | m.Q(rating=1.0)),
    "or over to-one": lambda m: m.Author.objects.filter(m.Q(country__name="Germany") | m.Q(mentor__name__startswith="Ada")),
    "or over nullable to-one and own": lambda m: m.Author.objects.filter(m.Q(mentor__rating__gt=4) | m.Q(rating__gt=4)),
    "and over nullable to-one and own": lambda m: m.Author.objects.filter(m.Q(mentor__rating__gt=2) & m.Q(rating__gt=4)),
    "not over nullable to-one": lambda m: m.Author.objects.filter(~m.Q(mentor__rating__gt=4)),
    "or with isnull of to-one": lambda m: m.Author.objects.filter(m.Q(mentor__isnull=True) | m.Q(mentor__rating=1.0)),
    "or with isnull behind to-one": lambda m: m.Author.objects.filter(m.Q(mentor__rating__isnull=True)),
    "deep nesting": lambda m: m.Book.objects.filter(
        (m.Q(pages__lt=10) | (m.Q(price__lt=2) & ~(m.Q(in_print=True) | m.Q(cost__isnull=True))))
        & ~m.Q(binding="soft")
    ),
    "a condition as an expression": lambda m: m.Author.objects.filter(m.Q(rating__gt=m.Value(4.0))),
}  # fmt: skip

COLUMNS: Final[Queries] = {
    "column against column": lambda m: m.Book.objects.filter(cost__gt=m.F("price")),
    "column against itself with NULLs": lambda m: m.Author.objects.filter(rating=m.F("rating")),
    "sum": lambda m: m.Book.objects.filter(price__lt=m.F("cost") + 1),
    "difference": lambda m: m.Book.objects.filter(cost__gt=m.F("price") - Decimal("0.5")),
    "product": lambda m: m.Book.objects.filter(price__lt=m.F("cost") * 2, pages__lt=100),
    "quotient": lambda m: m.Book.objects.filter(cost__gt=m.F("price") / 2, pages__lt=100),
    "remainder": lambda m: m.Book.objects.annotate(rest=m.F("pages") % 100).filter(rest=7),
    "power": lambda m: m.Review.objects.annotate(square=m.F("stars") ** 2).filter(square__gt=20, helpful=7),
    "reflected": lambda m: m.Book.objects.filter(price__lt=9 - m.F("cost")),
    "negated": lambda m: m.Author.objects.filter(rating__gt=-m.F("rating")),
    "of a relation": lambda m: m.Book.objects.filter(published__lt=m.F("author__born")),
    "of two relations": lambda m: m.Book.objects.filter(author__country=m.F("publisher__country")),
    "keys against keys": lambda m: m.Book.objects.filter(author_id=m.F("editor_id")),
    "relation against relation": lambda m: m.Book.objects.filter(author=m.F("editor")),
    "in a range": lambda m: m.Book.objects.filter(price__range=(m.F("cost"), m.F("cost") + 1)),
    "in a list": lambda m: m.Book.objects.filter(pages__in=[m.F("author_id"), 1]),
    "in contains": lambda m: m.Book.objects.filter(subtitle__contains=m.F("title")),
    "in startswith": lambda m: m.Book.objects.filter(subtitle__istartswith=m.F("title")),
    "date and interval": lambda m: m.Order.objects.filter(shipped__lt=m.F("placed") + timedelta(hours=3)),
    "date difference": lambda m: m.Order.objects.annotate(took=m.F("shipped") - m.F("placed")).filter(
        took__gt=timedelta(days=10)
    ),
    "bitand": lambda m: m.Review.objects.annotate(low=m.F("stars").bitand(1)).filter(low=1, helpful=7),
    "bitor": lambda m: m.Review.objects.annotate(high=m.F("stars").bitor(4)).filter(high=6, helpful=7),
}
