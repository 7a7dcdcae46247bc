"""Writes, and what the tables hold after them; both sides undo theirs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from oracle.compare import Query
from oracle.sides import Side


@dataclass(frozen=True)
class Write:
    """A write, and the query that shows what it did.

    Attributes:
        write: Gives something to await on our side, the result itself on Django's.
        read: Rows after it.
        says: What of the write's result is compared; by default nothing.
        departs: As `Case.departs`.
    """

    write: Query
    read: Query
    says: Callable[[Side, Any], Any] | None = None
    departs: str | None = None


def number(_side: Side, result: Any) -> Any:
    return result


def books(*names: str) -> Query:
    return lambda m: m.Book.objects.filter(pk__lt=400).values_list("id", *names)


def authors(*names: str) -> Query:
    return lambda m: m.Author.objects.values_list("id", *names)


UPDATES: Final[dict[str, Write]] = {
    "a value": Write(lambda m: m.Book.objects.filter(pk__lt=99).update(title="new"), books("title"), number),
    "several": Write(
        lambda m: m.Book.objects.filter(pk__lt=99).update(title="new", pages=7, in_print=False),
        books("title", "pages", "in_print"),
        number,
    ),
    "NULL": Write(lambda m: m.Book.objects.filter(pk__lt=99).update(cost=None), books("cost"), number),
    "nothing that is there": Write(lambda m: m.Book.objects.filter(pk=0).update(title="x"), books("title"), number),
    "none()": Write(lambda m: m.Book.objects.none().update(title="x"), books("title"), number),
    "every kind": Write(
        lambda m: m.Book.objects.filter(pk__lt=9).update(
            price=Decimal("1.50"),
            binding="spiral",
            published=date(2020, 2, 29),
            created=datetime(2020, 2, 29, 1, 2, 3, 4, tzinfo=UTC),
            weight=1.5,
            keywords=["a", "b'c", "{d}"],
            scores=[],
            details={"a": [1, None, {"b": "c"}]},
        ),
        books("price", "binding", "published", "created", "weight", "keywords", "scores", "details"),
        number,
    ),
    "F": Write(lambda m: m.Book.objects.filter(pk__lt=99).update(price=m.F("price") + 1), books("price"), number),
    "F of two columns": Write(
        lambda m: m.Book.objects.filter(pk__lt=99).update(cost=m.F("price") - m.F("cost")), books("cost"), number
    ),
    "F swaps": Write(
        lambda m: m.Book.objects.filter(pk__lt=99, editor__isnull=False).update(author=m.F("editor"), editor=m.F("author")),
        books("author_id", "editor_id"),
        number,
    ),
    "an instance": Write(
        lambda m: m.Book.objects.filter(pk__lt=99).update(author=m.Author(id=3)), books("author_id"), number
    ),
    "a key": Write(lambda m: m.Book.objects.filter(pk__lt=99).update(author_id=3), books("author_id"), number),
    "where over to-one": Write(
        lambda m: m.Book.objects.filter(author__country="is", pk__lt=400).update(title="new"), books("title"), number
    ),
    "where over to-many": Write(
        lambda m: m.Author.objects.filter(books__price__lt=1).update(name="new"), authors("name"), number
    ),
    "exclude over to-many": Write(
        lambda m: m.Author.objects.exclude(books__price__lt=90).update(name="new"), authors("name"), number
    ),
    "Case": Write(
        lambda m: m.Author.objects.update(
            rating=m.Case(m.When(is_active=True, then=m.Value(5.0)), default=m.F("rating"))
        ),
        authors("rating"),
        number,
    ),
    "a function": Write(lambda m: m.Author.objects.update(name=m.Upper("name")), authors("name"), number),
    "a subquery": Write(
        lambda m: m.Author.objects.update(
            name=m.Subquery(m.Country.objects.filter(code=m.Coalesce(m.OuterRef("country"), m.Value("xx"))).values("name")[:1])
        ),
        authors("name"),
        number,
    ),
    "where an aggregate": Write(
        lambda m: m.Author.objects.annotate(n=m.Count("books")).filter(n=0).update(is_active=False),
        authors("is_active"),
        number,
    ),
    "a composite row": Write(
        lambda m: m.OrderLine.objects.filter(order_id=2, position=1).update(quantity=77),
        lambda m: m.OrderLine.objects.filter(order_id__lt=9).values_list("order_id", "position", "quantity"),
        number,
    ),
}  # fmt: skip

DELETES: Final[dict[str, Write]] = {
    "filtered": Write(
        lambda m: m.Review.objects.filter(stars=1).delete(), lambda m: m.Review.objects.values_list("id", flat=True)
    ),
    "nothing that is there": Write(
        lambda m: m.Review.objects.filter(pk=0).delete(), lambda m: m.Review.objects.filter(pk__lt=99)
    ),
    "over to-one": Write(
        lambda m: m.Review.objects.filter(book__author__country="is").delete(), lambda m: m.Review.objects.filter(pk__lt=999)
    ),
    "over to-many": Write(
        lambda m: m.Tag.objects.filter(books__price__lt=Decimal("0.4")).delete(), lambda m: m.Tag.objects.all()
    ),
    "cascades": Write(
        lambda m: m.Order.objects.filter(pk__lt=500).delete(),
        lambda m: m.OrderLine.objects.filter(order_id__lt=600).values_list("order_id", "position"),
        departs="`delete()`",
    ),
    "sets NULL": Write(
        lambda m: m.Customer.objects.filter(pk__lt=50).delete(),
        lambda m: m.Review.objects.filter(pk__lt=4000).values_list("id", "customer"),
        departs="`delete()`",
    ),
    "cascades two deep": Write(
        lambda m: m.Customer.objects.filter(pk__lt=50).delete(),
        lambda m: m.OrderLine.objects.filter(order_id__lt=4000).values_list("order_id", "position"),
        departs="`delete()`",
    ),
    "a composite row": Write(
        lambda m: m.Stock.objects.filter(shop_id=1, count__lt=5).delete(),
        lambda m: m.Stock.objects.filter(shop_id=1).values_list("book_id", flat=True),
    ),
    "all": Write(lambda m: m.Stock.objects.all().delete(), lambda m: m.Stock.objects.count()),
}  # fmt: skip


def many(m: Side, count: int) -> list[Any]:
    return [
        m.Review(
            book_id=1 + n % 7,
            customer_id=None,
            stars=n % 5,
            body=f"b{n}",
            written=datetime(2024, 1, 1, tzinfo=UTC),
        )
        for n in range(count)
    ]


def changed(m: Side, found: list[Any]) -> list[Any]:
    for one in found:
        one.name = f"{one.name}!"
        one.rating = None if one.id % 2 else one.id / 4
        one.aliases = [*one.aliases, "x"]
        one.born = date(1900, 1, 1 + one.id % 28)
    return found


def new_reviews(m: Side) -> Any:
    return m.Review.objects.filter(body__startswith="b").values_list("book_id", "stars", "body", "helpful")


CREATES: Final[dict[str, Write]] = {
    "create": Write(
        lambda m: m.Genre.objects.create(name="new", parent_id=3),
        lambda m: m.Genre.objects.filter(name="new").values_list("name", "parent_id"),
        lambda _m, made: (made.name, made.parent_id),
    ),
    "create with a default": Write(
        lambda m: m.Customer.objects.create(name="new", email="new@example.org", joined=date(2024, 1, 1)),
        lambda m: m.Customer.objects.filter(name="new").values_list("email", "tier", "balance", "prefs"),
        lambda _m, made: (made.tier, made.country_id),
    ),
    "create a composite row": Write(
        lambda m: m.OrderLine.objects.create(order_id=1, position=99, book_id=1, quantity=1, unit_price=Decimal(1)),
        lambda m: m.OrderLine.objects.filter(position=99).values_list("order_id", "book_id", "discount"),
        lambda _m, made: (made.order_id, made.position),
    ),
    "create by an instance": Write(
        lambda m: m.Genre.objects.create(name="new", parent=m.Genre(id=3, name="x")),
        lambda m: m.Genre.objects.filter(name="new").values_list("parent_id", flat=True),
    ),
    "get_or_create, there": Write(
        lambda m: m.Genre.objects.get_or_create(name="poetry", defaults={"parent_id": 1}),
        lambda m: m.Genre.objects.values_list("name", "parent_id"),
        lambda _m, found: (found[0].id, found[1]),
    ),
    "get_or_create, new": Write(
        lambda m: m.Genre.objects.get_or_create(name="new", defaults={"parent_id": 1}),
        lambda m: m.Genre.objects.values_list("name", "parent_id"),
        lambda _m, found: (found[0].name, found[0].parent_id, found[1]),
    ),
    "get_or_create by no unique columns": Write(
        lambda m: m.Author.objects.get_or_create(name="Nobody Yet", is_active=True, defaults={"rating": 1.5}),
        lambda m: m.Author.objects.filter(name="Nobody Yet").values_list("is_active", "rating", "aliases"),
        lambda _m, found: (found[0].name, found[1]),
    ),
    "update_or_create, there": Write(
        lambda m: m.Genre.objects.update_or_create(name="poetry", defaults={"parent_id": 1}),
        lambda m: m.Genre.objects.values_list("name", "parent_id"),
        lambda _m, found: (found[0].id, found[0].parent_id, found[1]),
    ),
    "update_or_create, new": Write(
        lambda m: m.Genre.objects.update_or_create(name="new", defaults={"parent_id": 1}),
        lambda m: m.Genre.objects.values_list("name", "parent_id"),
        lambda _m, found: (found[0].name, found[1]),
    ),
    "update_or_create with create_defaults": Write(
        lambda m: m.Genre.objects.update_or_create(name="new", defaults={"parent_id": 1}, create_defaults={"parent_id": 2}),
        lambda m: m.Genre.objects.values_list("name", "parent_id"),
        lambda _m, found: (found[0].parent_id, found[1]),
    ),
    "bulk_create": Write(
        lambda m: m.Review.objects.bulk_create(many(m, 500)),
        new_reviews,
        lambda _m, made: [(one.id is not None, one.stars) for one in made],
    ),
    "bulk_create in batches": Write(lambda m: m.Review.objects.bulk_create(many(m, 50), batch_size=7), new_reviews),
    "bulk_create of nothing": Write(lambda m: m.Review.objects.bulk_create([]), lambda m: m.Review.objects.count(), lambda _m, made: len(made)),
    "bulk_create, ignoring conflicts": Write(
        lambda m: m.Genre.objects.bulk_create([m.Genre(name="poetry"), m.Genre(name="new")], ignore_conflicts=True),
        lambda m: m.Genre.objects.values_list("name", flat=True),
    ),
    "bulk_create, updating conflicts": Write(
        lambda m: m.Genre.objects.bulk_create(
            [m.Genre(name="poetry", parent_id=2), m.Genre(name="new", parent_id=2)],
            update_conflicts=True,
            update_fields=["parent"],
            unique_fields=["name"],
        ),
        lambda m: m.Genre.objects.values_list("name", "parent_id"),
    ),
    "bulk_create with keys": Write(
        lambda m: m.Country.objects.bulk_create([m.Country(code="q1", name="one"), m.Country(code="q2", name="two")]),
        lambda m: m.Country.objects.values_list("code", "name", "population"),
    ),
}  # fmt: skip
