"""The bookshop in our syntax: fifteen models and every kind of relation. `django_app` has the same for Django."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from hyperdjango.database import Range
from hyperdjango.models import (
    CASCADE,
    RESTRICT,
    SET_NULL,
    Digits,
    Field,
    ForeignKey,
    Ge,
    Integer,
    ManyToMany,
    MaxLen,
    Model,
    OneToOne,
    Related,
    RelatedOne,
    SmallInt,
    UniqueConstraint,
)


class Binding(StrEnum):
    HARD = "hard"
    SOFT = "soft"
    SPIRAL = "spiral"


class ContributorRole(StrEnum):
    TRANSLATOR = "translator"
    ILLUSTRATOR = "illustrator"
    FOREWORD = "foreword"


class Tier(StrEnum):
    BASIC = "basic"
    SILVER = "silver"
    GOLD = "gold"


class OrderStatus(StrEnum):
    NEW = "new"
    PAID = "paid"
    SHIPPED = "shipped"
    RETURNED = "returned"


class OfTheBookshop(Model):
    """The base of all: tables of their own, since other tests have an `author` and a `book` as well."""

    class Meta:
        abstract = True
        database = "bookshop"


class Country(OfTheBookshop):
    """A natural key of text."""

    code: str = Field(primary_key=True)
    name: Annotated[str, MaxLen(80)] = Field(unique=True)
    population: int | None = None
    area: float | None = None
    publishers: Related["Publisher"]
    authors: Related["Author"]
    customers: Related["Customer"]


class Publisher(OfTheBookshop):
    name: Annotated[str, MaxLen(100)]
    country: ForeignKey[Country] = Field(on_delete=RESTRICT, index=False)
    parent: ForeignKey["Publisher | None"] = Field(
        related_name="imprints", on_delete=SET_NULL, index=False, default=None
    )
    founded: date | None = None
    contacts: dict[str, Any] = Field(default_factory=dict, db_default="'{}'")
    imprints: Related["Publisher"]
    books: Related["Book"]


class Author(OfTheBookshop):
    """A key to itself, and three ways from a book to it."""

    name: Annotated[str, MaxLen(100)]
    email: str | None = Field(unique=True, default=None)
    born: date | None = None
    died: date | None = None
    country: ForeignKey[Country | None] = Field(on_delete=SET_NULL, index=False, default=None)
    mentor: ForeignKey["Author | None"] = Field(
        related_name="pupils", on_delete=SET_NULL, index=False, default=None
    )
    is_active: bool = Field(default=True, db_default="true")
    rating: float | None = None
    aliases: list[str] = Field(default_factory=list, db_default="'{}'")
    pupils: Related["Author"]
    profile: RelatedOne["Profile"]
    books: Related["Book"]
    edited: Related["Book"]
    contributed: Related["Book"]
    contributions: Related["Contribution"]


class Profile(OfTheBookshop):
    author: OneToOne[Author] = Field(on_delete=CASCADE)
    bio: str = Field(default="", db_default="''")
    social: dict[str, Any] | None = None
    seen_at: datetime | None = None


class Genre(OfTheBookshop):
    name: Annotated[str, MaxLen(50)] = Field(unique=True)
    parent: ForeignKey["Genre | None"] = Field(
        related_name="children", on_delete=CASCADE, index=False, default=None
    )
    children: Related["Genre"]
    books: Related["Book"]


class Tag(OfTheBookshop):
    """A key that the application makes."""

    id: UUID = Field(primary_key=True)
    label: Annotated[str, MaxLen(40)] = Field(unique=True)
    color: Annotated[str, MaxLen(7)] | None = None
    books: Related["Book"]


class Book(OfTheBookshop):
    title: Annotated[str, MaxLen(200)]
    subtitle: str | None = None
    isbn: Annotated[str, MaxLen(17)] = Field(unique=True)
    author: ForeignKey[Author] = Field(related_name="books", on_delete=CASCADE)
    editor: ForeignKey[Author | None] = Field(related_name="edited", on_delete=SET_NULL, default=None)
    publisher: ForeignKey[Publisher | None] = Field(on_delete=SET_NULL, default=None)
    genre: ForeignKey[Genre] = Field(on_delete=RESTRICT)
    price: Annotated[Decimal, Digits(8, 2), Ge(0)]
    cost: Annotated[Decimal, Digits(8, 2)] | None = None
    pages: Annotated[int, Integer] | None = None
    binding: Binding = Field(default=Binding.SOFT, db_default="'soft'")
    published: date | None = None
    created: datetime = Field(db_default="now()")
    in_print: bool = Field(default=True, db_default="true")
    weight: float | None = None
    keywords: list[str] = Field(default_factory=list, db_default="'{}'")
    scores: list[int] | None = None
    details: dict[str, Any] = Field(default_factory=dict, db_default="'{}'")
    audience: Range[int] | None = None
    on_sale: Range[date] | None = None
    tags: ManyToMany[Tag]
    contributors: ManyToMany[Author] = Field(through="Contribution", related_name="contributed")
    contributions: Related["Contribution"]
    reviews: Related["Review"]
    lines: Related["OrderLine"]
    stock: Related["Stock"]

    class Meta:
        constraints = (UniqueConstraint("title", "author", "isbn", name="one_title"),)


class Contribution(OfTheBookshop):
    """The table between books and the others who worked on them, with data of its own."""

    book: ForeignKey[Book] = Field(on_delete=CASCADE, index=False)
    author: ForeignKey[Author] = Field(on_delete=CASCADE)
    role: ContributorRole
    share: Annotated[Decimal, Digits(5, 2)]
    note: str | None = None

    class Meta:
        constraints = (UniqueConstraint("book", "author", "role", name="one_role"),)


class Customer(OfTheBookshop):
    name: Annotated[str, MaxLen(100)]
    email: str = Field(unique=True)
    country: ForeignKey[Country | None] = Field(on_delete=SET_NULL, index=False, default=None)
    referrer: ForeignKey["Customer | None"] = Field(
        related_name="referred", on_delete=SET_NULL, index=False, default=None
    )
    joined: date
    tier: Tier = Field(default=Tier.BASIC, db_default="'basic'")
    balance: Annotated[Decimal, Digits(10, 2)] = Field(default=Decimal(0), db_default="0")
    prefs: dict[str, Any] | None = None
    referred: Related["Customer"]
    reviews: Related["Review"]
    orders: Related["Order"]
    managed_shop: RelatedOne["Shop"]


class Review(OfTheBookshop):
    book: ForeignKey[Book] = Field(on_delete=CASCADE)
    customer: ForeignKey[Customer | None] = Field(on_delete=SET_NULL, default=None)
    stars: Annotated[int, SmallInt]
    body: str | None = None
    written: datetime
    helpful: Annotated[int, Integer] = Field(default=0, db_default="0")


class Order(OfTheBookshop):
    """A table whose name is a word of SQL."""

    customer: ForeignKey[Customer] = Field(on_delete=CASCADE)
    placed: datetime
    shipped: datetime | None = None
    status: OrderStatus = Field(default=OrderStatus.NEW, db_default="'new'")
    coupon: str | None = None
    delivery: Range[datetime] | None = None
    lines: Related["OrderLine"]

    class Meta:
        table = "order"


class OrderLine(OfTheBookshop):
    """A key of two columns, one of them a foreign key."""

    order: ForeignKey[Order] = Field(on_delete=CASCADE, index=False)
    position: Annotated[int, Integer]
    book: ForeignKey[Book] = Field(on_delete=RESTRICT)
    quantity: Annotated[int, Integer]
    unit_price: Annotated[Decimal, Digits(8, 2)]
    discount: Annotated[Decimal, Digits(5, 2)] | None = None

    class Meta:
        primary_key = ("order", "position")


class Shop(OfTheBookshop):
    name: Annotated[str, MaxLen(60)]
    city: str
    opens: time | None = None
    lease: timedelta | None = None
    manager: OneToOne[Customer | None] = Field(related_name="managed_shop", on_delete=SET_NULL, default=None)
    stock: Related["Stock"]


class Stock(OfTheBookshop):
    """A key of two foreign keys."""

    shop: ForeignKey[Shop] = Field(on_delete=CASCADE, index=False)
    book: ForeignKey[Book] = Field(on_delete=CASCADE)
    count: Annotated[int, Integer]
    counted: date | None = None

    class Meta:
        primary_key = ("shop", "book")


MODELS = (
    Country,
    Publisher,
    Author,
    Profile,
    Genre,
    Tag,
    Book,
    Contribution,
    Customer,
    Review,
    Order,
    OrderLine,
    Shop,
    Stock,
)
