"""Traversals: to-one and to-many, up to three deep, under filter and exclude, and where rows must not be doubled."""

from datetime import date
from typing import Final

from oracle.compare import Case, Queries, Query, departs, empty

TO_ONE: Final[Queries] = {
    "a key": lambda m: m.Book.objects.filter(author=7),
    "a key, by its column": lambda m: m.Book.objects.filter(author_id=7),
    "a key, by pk": lambda m: m.Book.objects.filter(author__pk=7),
    "a key, by id": lambda m: m.Book.objects.filter(author__id=7),
    "keys": lambda m: m.Book.objects.filter(author__in=[7, 8, 9]),
    "key gt": lambda m: m.Book.objects.filter(author__gt=498),
    "key column gt": lambda m: m.Book.objects.filter(author_id__gt=498),
    "a text key": lambda m: m.Author.objects.filter(country="de"),
    "a text key, by its name": lambda m: m.Author.objects.filter(country__code="de"),
    "a text key's lookup": lambda m: m.Author.objects.filter(country__code__startswith="d"),
    "a column": lambda m: m.Book.objects.filter(author__name="ada Fo"),
    "a column's lookup": lambda m: m.Book.objects.filter(author__name__startswith="ada"),
    "two deep": lambda m: m.Book.objects.filter(author__country__name="Iceland"),
    "three deep": lambda m: m.Book.objects.filter(author__mentor__country__name="Iceland"),
    "four deep": lambda m: m.Review.objects.filter(book__author__mentor__country__name="Iceland", stars=5),
    "two ways to one model": lambda m: m.Book.objects.filter(author__is_active=True, editor__rating__gt=4.5),
    "to itself": lambda m: m.Author.objects.filter(mentor__mentor__name__startswith="Greta"),
    "to itself, three deep": lambda m: m.Genre.objects.filter(parent__parent__parent__isnull=False),
    "nullable isnull": lambda m: m.Book.objects.filter(editor__isnull=True, pages__lt=50),
    "nullable is None": lambda m: m.Book.objects.filter(editor=None, pages__lt=50),
    "isnull behind a nullable": lambda m: m.Book.objects.filter(editor__rating__isnull=True, pages__lt=50),
    "isnull two behind": lambda m: m.Book.objects.filter(editor__country__isnull=True, pages__lt=50),
    "one to one": lambda m: m.Profile.objects.filter(author__name__startswith="Jo"),
    "one to one, reverse": lambda m: m.Author.objects.filter(profile__bio=""),
    "one to one, reverse isnull": lambda m: m.Author.objects.filter(profile__isnull=True),
    "one to one, reverse not isnull": lambda m: m.Author.objects.filter(profile__isnull=False),
    "one to one, reverse, a column's isnull": lambda m: m.Author.objects.filter(profile__social__isnull=True),
    "one to one, reverse exclude": lambda m: m.Author.objects.exclude(profile__bio=""),
    "one to one, reverse of a nullable": lambda m: m.Customer.objects.filter(managed_shop__isnull=False),
    "one to one, through reverse": lambda m: m.Book.objects.filter(author__profile__bio="", pages__lt=50),
    "composite key's parts": lambda m: m.OrderLine.objects.filter(order_id=5),
    "composite key's part and a column": lambda m: m.OrderLine.objects.filter(order__customer__name__startswith="Eve", position=3),
    "a table named by a word of SQL": lambda m: m.Order.objects.filter(customer__tier="gold", coupon="spring"),
    "instance": lambda m: m.Book.objects.filter(author=m.Author(id=7)),
    "instances": lambda m: m.Book.objects.filter(author__in=[m.Author(id=7), m.Author(id=8)]),
    "queryset": lambda m: m.Book.objects.filter(author__in=m.Author.objects.filter(rating__gt=4.75)),
    "queryset, excluded": lambda m: m.Book.objects.exclude(author__in=m.Author.objects.filter(rating__lt=4.75)).filter(pages__lt=99),
    "queryset of values": lambda m: m.Book.objects.filter(author__in=m.Author.objects.filter(rating=5.0).values("id")),
    "queryset of a column": lambda m: m.Author.objects.filter(
        country__in=m.Publisher.objects.filter(founded__lt=date(1910, 1, 1)).values_list("country", flat=True)
    ),
    "queryset, sliced": lambda m: m.Book.objects.filter(author__in=m.Author.objects.order_by("id")[3:6]),
    "queryset of nothing": empty(lambda m: m.Book.objects.filter(author__in=m.Author.objects.none())),
    "uuid key": lambda m: m.Book.objects.filter(tags__in=m.Tag.objects.filter(label="tag 3")),
}  # fmt: skip


def undoubled(query: Query) -> Case:
    return departs("Rows that a to-many filter doubles", query, lambda m: query(m).distinct())


TO_MANY: Final[Queries] = {
    name: undoubled(query)
    for name, query in {
        "reverse": lambda m: m.Author.objects.filter(books__title="two"),
        "reverse, lookup": lambda m: m.Author.objects.filter(books__price__lt=1),
        "reverse, two conditions of one row": lambda m: m.Author.objects.filter(books__price__lt=5, books__pages__gt=1000),
        "reverse, two filters": lambda m: m.Author.objects.filter(books__price__lt=2).filter(books__pages__gt=1150),
        "reverse, by key": lambda m: m.Author.objects.filter(books=17),
        "reverse, keys": lambda m: m.Author.objects.filter(books__in=[17, 18, 19]),
        "reverse, isnull": lambda m: m.Author.objects.filter(books__isnull=True),
        "reverse, not isnull": lambda m: m.Author.objects.filter(books__isnull=False),
        "reverse, is None": lambda m: m.Author.objects.filter(books=None),
        "reverse, a column's isnull": lambda m: m.Author.objects.filter(books__subtitle__isnull=True),
        "reverse, two deep": lambda m: m.Author.objects.filter(books__reviews__stars=1, is_active=False),
        "reverse, three deep": lambda m: m.Author.objects.filter(books__reviews__customer__tier="gold", rating=5.0),
        "reverse, then to-one": lambda m: m.Author.objects.filter(books__publisher__country="is"),
        "reverse, then to-one twice": lambda m: m.Author.objects.filter(books__publisher__country__name="Iceland"),
        "to-one, then reverse": lambda m: m.Book.objects.filter(author__pupils__name__startswith="Jo", pages__lt=50),
        "to-one, then reverse, isnull": lambda m: m.Book.objects.filter(author__pupils__isnull=True, pages__lt=50),
        "to itself": lambda m: m.Author.objects.filter(pupils__rating__gt=4.5),
        "to itself, two deep": lambda m: m.Author.objects.filter(pupils__pupils__rating__gt=4.5),
        "the other of two keys": lambda m: m.Author.objects.filter(edited__price__lt=1),
        "both of two keys": lambda m: m.Author.objects.filter(edited__price__lt=10, books__price__gt=90),
        "many to many": lambda m: m.Book.objects.filter(tags__label="tag 3"),
        "many to many, lookup": lambda m: m.Book.objects.filter(tags__label__in=["tag 3", "tag 4"]),
        "many to many, two filters": lambda m: m.Book.objects.filter(tags__label="tag 3").filter(tags__label="tag 4"),
        "many to many, isnull": lambda m: m.Book.objects.filter(tags__isnull=True, pages__lt=100),
        "many to many, not isnull": lambda m: m.Book.objects.filter(tags__isnull=False, pages__lt=100),
        "many to many, far column isnull": lambda m: m.Book.objects.filter(tags__color__isnull=True, pages__lt=100),
        "many to many, reverse": lambda m: m.Tag.objects.filter(books__title="two"),
        "many to many, reverse, isnull": lambda m: m.Tag.objects.filter(books__isnull=True),
        "many to many, reverse, deeper": lambda m: m.Tag.objects.filter(books__author__country="is", books__price__lt=9),
        "through with data": lambda m: m.Book.objects.filter(contributors__name="ada Fo"),
        "through with data, reverse": lambda m: m.Author.objects.filter(contributed__price__lt=1),
        "through, by its rows": lambda m: m.Book.objects.filter(contributions__role="foreword", contributions__share__lt=1),
        "through, rows and far end": lambda m: m.Book.objects.filter(contributions__author__name="ada Fo", contributions__role="foreword"),
        "to-many, then many to many": lambda m: m.Author.objects.filter(books__tags__label="tag 7", rating__gt=4),
        "many to many, then to-many": lambda m: m.Tag.objects.filter(books__reviews__stars=5, books__reviews__helpful=7),
        "or over to-many": lambda m: m.Author.objects.filter(m.Q(books__price__lt=1) | m.Q(edited__price__lt=1)),
        "or of own and to-many": lambda m: m.Author.objects.filter(m.Q(rating=5.0) | m.Q(books__price__lt=1)),
        "or of one to-many twice": lambda m: m.Author.objects.filter(m.Q(books__price__lt=1) | m.Q(books__pages__gt=1190)),
        "and in one Q": lambda m: m.Author.objects.filter(m.Q(books__price__lt=3) & m.Q(books__pages__gt=1100)),
        "F of own in to-many": lambda m: m.Author.objects.filter(books__published__lt=m.F("born")),
        "F of the far row": lambda m: m.Author.objects.filter(books__cost__gt=m.F("books__price")),
        "composite rows": lambda m: m.Order.objects.filter(lines__quantity=5, lines__position=3),
        "composite rows, reverse": lambda m: m.Book.objects.filter(stock__count=0, stock__shop__city="Oslo"),
        "a word of SQL": lambda m: m.Customer.objects.filter(orders__lines__book__price__lt=1),
        "in a queryset": lambda m: m.Author.objects.filter(books__in=m.Book.objects.filter(price__lt=1)),
        "filtered, ordered by own": lambda m: m.Author.objects.filter(books__price__lt=1).order_by("name", "id"),
        "count": lambda m: m.Author.objects.filter(books__price__lt=1),
    }.items()
}  # fmt: skip

EXCLUDED: Final[Queries] = {
    "reverse": lambda m: m.Author.objects.exclude(books__price__lt=90),
    "reverse, in": lambda m: m.Author.objects.exclude(books__binding__in=["hard", "soft"]),
    "reverse, a nullable column": lambda m: m.Author.objects.exclude(books__pages__lt=1000),
    "reverse, isnull": lambda m: m.Author.objects.exclude(books__isnull=True),
    "reverse, a column's isnull": lambda m: m.Author.objects.filter(rating__gt=0).exclude(books__cost__isnull=False),
    "reverse, two deep": lambda m: m.Author.objects.exclude(books__reviews__stars=1),
    "many to many": lambda m: m.Book.objects.exclude(tags__label="tag 3").filter(pages__lt=50),
    "many to many, NULL far": lambda m: m.Book.objects.exclude(tags__color="#000000").filter(pages__lt=50),
    "many to many, reverse": lambda m: m.Tag.objects.exclude(books__price__lt=2),
    "through": lambda m: m.Book.objects.exclude(contributions__role="foreword").filter(pages__lt=50),
    "to itself": lambda m: m.Author.objects.exclude(pupils__rating__gt=1),
    "filter and exclude": lambda m: m.Author.objects.filter(is_active=True).exclude(books__price__lt=80),
    "not Q": lambda m: m.Author.objects.filter(~m.Q(books__price__lt=90)),
    "not of an or": lambda m: m.Author.objects.filter(~(m.Q(books__price__lt=90) | m.Q(rating__lt=3))),
    "or not": departs(
        "Rows that a to-many filter doubles",
        lambda m: m.Author.objects.filter(m.Q(rating=5.0) | ~m.Q(books__price__lt=80)),
        lambda m: m.Author.objects.filter(m.Q(rating=5.0) | ~m.Q(books__price__lt=80)).distinct(),
    ),
    "two conditions of one row": departs(
        "`exclude()` with several conditions on one to-many",
        lambda m: m.Author.objects.exclude(books__price__lt=50, books__pages__gt=600),
        lambda m: m.Author.objects.exclude(pk__in=m.Book.objects.filter(price__lt=50, pages__gt=600).values("author")),
    ),
    "two conditions of one row, many to many": departs(
        "`exclude()` with several conditions on one to-many",
        lambda m: m.Tag.objects.exclude(books__price__lt=2, books__pages__gt=800),
        lambda m: m.Tag.objects.exclude(
            pk__in=m.BookTags.objects.filter(book__price__lt=2, book__pages__gt=800).values("tag")
        ),
    ),
    "two rows": departs(
        "`exclude()` with several conditions on one to-many",
        lambda m: m.Author.objects.exclude(books__price__lt=5).exclude(books__pages__gt=1150),
    ),
}  # fmt: skip
