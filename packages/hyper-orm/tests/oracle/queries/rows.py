"""Which rows and columns come, and in what order: values, order_by, distinct, slices, sets, single rows."""

from datetime import date
from typing import Final

from oracle.compare import Queries, empty, ordered, shaped

VALUES: Final[Queries] = {
    "values": lambda m: m.Genre.objects.values(),
    "values of names": lambda m: m.Author.objects.values("name", "rating"),
    "values of a key": lambda m: m.Book.objects.filter(pk__lt=99).values("author", "editor"),
    "values of a key's column": lambda m: m.Book.objects.filter(pk__lt=99).values("author_id", "editor_id"),
    "values of pk": lambda m: m.Genre.objects.values("pk"),
    "values over to-one": lambda m: m.Book.objects.filter(pk__lt=99).values("title", "author__name", "editor__country__name"),
    "values over to-one's key": lambda m: m.Book.objects.filter(pk__lt=99).values("author__country"),
    "values over to-many": lambda m: m.Author.objects.filter(pk__lt=20).values("id", "books__title"),
    "values over to-many, none there": lambda m: m.Author.objects.filter(pk__gt=590).values("id", "books__title"),
    "values over many to many": lambda m: m.Book.objects.filter(pk__lt=50).values_list("id", "tags__label"),
    "values over a reverse one to one": lambda m: m.Author.objects.filter(pk__lt=50).values_list("id", "profile__bio"),
    "values of an expression": lambda m: m.Genre.objects.values(up=m.Upper("name")),
    "values of names and an expression": lambda m: m.Genre.objects.values("id", up=m.Upper("name")),
    "values twice": lambda m: m.Author.objects.values("name").values("rating"),
    "values, then filter": lambda m: m.Author.objects.values("name").filter(rating=5.0),
    "values_list": lambda m: m.Author.objects.values_list("id", "name", "born"),
    "values_list of all": lambda m: m.Genre.objects.values_list(),
    "values_list flat": lambda m: m.Author.objects.values_list("born", flat=True),
    "values_list flat over to-one": lambda m: m.Book.objects.filter(pk__lt=99).values_list("author__name", flat=True),
    "values_list named": shaped(lambda m: m.Author.objects.values_list("id", "name", named=True), lambda _m, row: row._asdict()),
    "values_list of an expression": lambda m: m.Genre.objects.values_list("id", m.Upper("name")),
    "values of every kind": lambda m: m.Book.objects.filter(pk__lt=99).values(
        "keywords", "scores", "details", "audience", "on_sale", "binding", "price", "created", "in_print", "weight"
    ),
    "values of times": lambda m: m.Shop.objects.values("opens", "lease", "manager"),
    "values of a composite key": lambda m: m.OrderLine.objects.filter(order_id__lt=20).values("order_id", "position"),
}  # fmt: skip

ORDER: Final[Queries] = {
    "ascending": ordered(lambda m: m.Author.objects.order_by("name", "id")),
    "descending": ordered(lambda m: m.Author.objects.order_by("-name", "id")),
    "NULLs, ascending": ordered(lambda m: m.Author.objects.order_by("rating", "id")),
    "NULLs, descending": ordered(lambda m: m.Author.objects.order_by("-rating", "id")),
    "NULLs first": ordered(lambda m: m.Author.objects.order_by(m.F("rating").asc(nulls_first=True), "id")),
    "NULLs last": ordered(lambda m: m.Author.objects.order_by(m.F("rating").desc(nulls_last=True), "id")),
    "by to-one": ordered(lambda m: m.Book.objects.filter(pages__lt=50).order_by("author__name", "id")),
    "by a nullable to-one": ordered(lambda m: m.Book.objects.filter(pages__lt=50).order_by("editor__name", "id")),
    "by two deep, descending": ordered(lambda m: m.Book.objects.filter(pages__lt=50).order_by("-author__country__name", "-id")),
    "by a key": ordered(lambda m: m.Book.objects.filter(pages__lt=50).order_by("author_id", "id")),
    "by a relation": ordered(lambda m: m.Book.objects.filter(pages__lt=50).order_by("author", "id")),
    "by pk": ordered(lambda m: m.Tag.objects.order_by("pk")),
    "by -pk": ordered(lambda m: m.Country.objects.order_by("-pk")),
    "by a function": ordered(lambda m: m.Country.objects.order_by(m.Length("name"), "code")),
    "by a function, descending": ordered(lambda m: m.Country.objects.order_by(m.Length("name").desc(), "code")),
    "by an expression": ordered(lambda m: m.Book.objects.filter(pages__lt=50).order_by(m.F("price") - m.F("cost"), "id")),
    "replaced": ordered(lambda m: m.Author.objects.order_by("name").order_by("-id")),
    "taken back": lambda m: m.Author.objects.order_by("name").order_by(),
    "reverse": ordered(lambda m: m.Author.objects.order_by("rating", "id").reverse()),
    "reverse of a mixture": ordered(lambda m: m.Author.objects.order_by(m.F("rating").asc(nulls_first=True), "-id").reverse()),
    "reverse twice": ordered(lambda m: m.Author.objects.order_by("rating", "id").reverse().reverse()),
    "by an enum": ordered(lambda m: m.Customer.objects.filter(country="is").order_by("tier", "id")),
    "by a boolean": ordered(lambda m: m.Author.objects.order_by("is_active", "id")),
    "by a composite key": ordered(lambda m: m.OrderLine.objects.filter(order_id__lt=40).order_by("-order_id", "position")),
    "by a one to one, reverse": ordered(lambda m: m.Author.objects.order_by("profile__bio", "id")),
}  # fmt: skip

SLICES: Final[Queries] = {
    "first ten": ordered(lambda m: m.Author.objects.order_by("id")[:10]),
    "some in the middle": ordered(lambda m: m.Author.objects.order_by("id")[10:20]),
    "from one on": ordered(lambda m: m.Author.objects.order_by("id")[590:]),
    "of a slice": ordered(lambda m: m.Author.objects.order_by("id")[10:30][5:10]),
    "of a slice, beyond": empty(lambda m: m.Author.objects.order_by("id")[10:12][5:10]),
    "nothing": empty(lambda m: m.Author.objects.order_by("id")[3:3]),
    "beyond": empty(lambda m: m.Author.objects.order_by("id")[5000:5010]),
    "after a filter": ordered(lambda m: m.Author.objects.filter(is_active=True).order_by("-name", "id")[:7]),
    "of values": ordered(lambda m: m.Author.objects.order_by("id").values_list("name", flat=True)[:7]),
    "count": lambda m: m.Author.objects.order_by("id")[10:20].count(),
    "count beyond": lambda m: m.Author.objects.order_by("id")[595:700].count(),
    "exists": lambda m: m.Author.objects.order_by("id")[10:20].exists(),
    "exists beyond": lambda m: m.Author.objects.order_by("id")[5000:].exists(),
}

DISTINCT: Final[Queries] = {
    "values": lambda m: m.Book.objects.values("binding").distinct(),
    "values of two": lambda m: m.Book.objects.values_list("binding", "in_print").distinct(),
    "flat": lambda m: m.Author.objects.values_list("rating", flat=True).distinct(),
    "over to-one": lambda m: m.Book.objects.values("author__country").distinct(),
    "over to-many": lambda m: m.Author.objects.values("books__binding").distinct(),
    "instances": lambda m: m.Genre.objects.distinct(),
    "ordered": ordered(
        lambda m: m.Book.objects.order_by("binding").values_list("binding", flat=True).distinct()
    ),
    "on": ordered(lambda m: m.Book.objects.order_by("author_id", "-price", "id").distinct("author_id")),
    "on two": ordered(
        lambda m: m.Book.objects.order_by("binding", "in_print", "id").distinct("binding", "in_print")
    ),
    "on to-one": ordered(lambda m: m.Book.objects.order_by("author__name", "id").distinct("author__name")),
    "count": lambda m: m.Book.objects.values("title").distinct().count(),
    "sliced": ordered(
        lambda m: m.Book.objects.order_by("title").values_list("title", flat=True).distinct()[:20]
    ),
}

SETS: Final[Queries] = {
    "union": lambda m: m.Author.objects.filter(rating=5.0).union(m.Author.objects.filter(is_active=False)),
    "union all": lambda m: m.Author.objects.filter(rating=5.0).union(m.Author.objects.filter(is_active=False), all=True),
    "union of three": lambda m: m.Author.objects.filter(rating=5.0).union(
        m.Author.objects.filter(rating=4.0), m.Author.objects.filter(rating=3.0)
    ),
    "union of values": lambda m: m.Author.objects.values_list("name", flat=True).union(m.Customer.objects.values_list("name", flat=True)),
    "union of two models' columns": lambda m: m.Author.objects.values_list("name", "country").union(m.Customer.objects.values_list("name", "country")),
    "union, ordered": ordered(lambda m: m.Author.objects.filter(rating=5.0).union(m.Author.objects.filter(rating=4.0)).order_by("-id")),
    "union, sliced": ordered(lambda m: m.Author.objects.filter(rating=5.0).union(m.Author.objects.filter(rating=4.0)).order_by("id")[2:6]),
    "union, counted": lambda m: m.Author.objects.filter(rating=5.0).union(m.Author.objects.filter(is_active=False)).count(),
    "union, exists": lambda m: m.Author.objects.filter(pk=0).union(m.Author.objects.filter(pk=-1)).exists(),
    "union of slices": lambda m: m.Author.objects.order_by("id")[:3].union(m.Author.objects.order_by("-id")[:3]),
    "union with none": lambda m: m.Author.objects.none().union(m.Author.objects.filter(rating=5.0)),
    "intersection": lambda m: m.Author.objects.filter(rating__gt=3).intersection(m.Author.objects.filter(is_active=False)),
    "intersection with none": empty(lambda m: m.Author.objects.filter(rating__gt=3).intersection(m.Author.objects.none())),
    "difference": lambda m: m.Author.objects.filter(rating__gt=3).difference(m.Author.objects.filter(is_active=False)),
    "difference with none": lambda m: m.Author.objects.filter(rating__gt=3).difference(m.Author.objects.none()),
    "difference of values": lambda m: m.Country.objects.values_list("code", flat=True).difference(
        m.Publisher.objects.values_list("country_id", flat=True)
    ),
    "nested": lambda m: m.Author.objects.filter(rating__gt=3)
    .difference(m.Author.objects.filter(is_active=False))
    .union(m.Author.objects.filter(pk=1)),
}  # fmt: skip

SINGLE: Final[Queries] = {
    "get": lambda m: m.Author.objects.get(pk=7),
    "get by two": lambda m: m.Stock.objects.get(
        shop_id=1, book_id=m.Stock.objects.filter(shop_id=1).order_by("book_id").values("book_id")[:1]
    ),
    "count": lambda m: m.Book.objects.count(),
    "count of a filter": lambda m: m.Book.objects.filter(title="two").count(),
    "count of nothing": lambda m: m.Book.objects.none().count(),
    "exists": lambda m: m.Book.objects.filter(title="two").exists(),
    "not exists": lambda m: m.Book.objects.filter(title="no such title").exists(),
    "first": lambda m: m.Author.objects.first(),
    "first, ordered": lambda m: m.Author.objects.order_by("-rating", "-id").first(),
    "first, filtered": lambda m: m.Author.objects.filter(rating=5.0).first(),
    "first of nothing": lambda m: m.Author.objects.filter(pk=0).first(),
    "first of values": lambda m: m.Author.objects.order_by("-id").values("id", "name").first(),
    "first of a text key": lambda m: m.Country.objects.first(),
    "first of a composite key": lambda m: m.OrderLine.objects.first(),
    "last": lambda m: m.Author.objects.last(),
    "last, ordered": lambda m: m.Author.objects.order_by("name", "id").last(),
    "last of nothing": lambda m: m.Author.objects.filter(pk=0).last(),
    "earliest": lambda m: m.Book.objects.filter(published__isnull=False).earliest("published", "id"),
    "latest": lambda m: m.Book.objects.filter(published__isnull=False).latest("published", "id"),
    "latest of a date and descending": lambda m: m.Book.objects.filter(published=date(2020, 2, 29)).latest(
        "published", "-id"
    ),
    "in_bulk": lambda m: m.Author.objects.in_bulk([1, 7, 9, 100_000]),
    "in_bulk of all": lambda m: m.Genre.objects.in_bulk(),
    "in_bulk of nothing": empty(lambda m: m.Genre.objects.in_bulk([])),
    "in_bulk by another column": lambda m: m.Tag.objects.in_bulk(["tag 1", "tag 5"], field_name="label"),
    "in_bulk of a text key": lambda m: m.Country.objects.in_bulk(["de", "fr"]),
    "contains": lambda m: m.Author.objects.filter(rating__gt=-1).contains(m.Author(id=3)),
}
