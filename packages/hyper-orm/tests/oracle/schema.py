"""What the generated queries know of the bookshop: written by hand, so that it does not come from what it tests."""

from typing import Final, NamedTuple


class ToOne(NamedTuple):
    """A key in a table's own row, or the reverse of a one to one."""

    model: str
    local: str
    remote: str


class ToMany(NamedTuple):
    """Far rows `far` of a row `near`, by a condition; for many to many with the table between in it."""

    model: str
    rows: str


class Known(NamedTuple):
    """A model's table, the columns that are compared with literals and the ways from it."""

    table: str
    key: str
    columns: dict[str, str]
    to_one: dict[str, ToOne]
    to_many: dict[str, ToMany]


MODELS: Final[dict[str, Known]] = {
    "Country": Known(
        "country",
        "code",
        {"code": "text", "name": "text", "population": "integer", "area": "float"},
        {},
        {"authors": ToMany("Author", "{far}.country_id = {near}.code")},
    ),
    "Publisher": Known(
        "publisher",
        "id",
        {"id": "integer", "name": "text", "founded": "date", "contacts": "json"},
        {"country": ToOne("Country", "country_id", "code"), "parent": ToOne("Publisher", "parent_id", "id")},
        {
            "imprints": ToMany("Publisher", "{far}.parent_id = {near}.id"),
            "books": ToMany("Book", "{far}.publisher_id = {near}.id"),
        },
    ),
    "Author": Known(
        "author",
        "id",
        {
            "id": "integer",
            "name": "text",
            "email": "text",
            "born": "date",
            "died": "date",
            "country_id": "text",
            "mentor_id": "integer",
            "is_active": "boolean",
            "rating": "float",
            "aliases": "array",
        },
        {
            "country": ToOne("Country", "country_id", "code"),
            "mentor": ToOne("Author", "mentor_id", "id"),
            "profile": ToOne("Profile", "id", "author_id"),
        },
        {
            "books": ToMany("Book", "{far}.author_id = {near}.id"),
            "edited": ToMany("Book", "{far}.editor_id = {near}.id"),
            "pupils": ToMany("Author", "{far}.mentor_id = {near}.id"),
            "contributions": ToMany("Contribution", "{far}.author_id = {near}.id"),
        },
    ),
    "Profile": Known(
        "profile",
        "id",
        {"id": "integer", "bio": "text", "social": "json", "seen_at": "timestamp"},
        {"author": ToOne("Author", "author_id", "id")},
        {},
    ),
    "Genre": Known(
        "genre",
        "id",
        {"id": "integer", "name": "text"},
        {"parent": ToOne("Genre", "parent_id", "id")},
        {
            "children": ToMany("Genre", "{far}.parent_id = {near}.id"),
            "books": ToMany("Book", "{far}.genre_id = {near}.id"),
        },
    ),
    "Tag": Known(
        "tag",
        "id",
        {"label": "text", "color": "text"},
        {},
        {
            "books": ToMany(
                "Book",
                "EXISTS (SELECT FROM book_tags b WHERE b.tag_id = {near}.id AND b.book_id = {far}.id)",
            )
        },
    ),
    "Book": Known(
        "book",
        "id",
        {
            "id": "integer",
            "title": "text",
            "subtitle": "text",
            "author_id": "integer",
            "editor_id": "integer",
            "price": "numeric",
            "cost": "numeric",
            "pages": "integer",
            "binding": "enum:hard,soft,spiral",
            "published": "date",
            "created": "timestamp",
            "in_print": "boolean",
            "weight": "float",
            "keywords": "array",
            "details": "json",
        },
        {
            "author": ToOne("Author", "author_id", "id"),
            "editor": ToOne("Author", "editor_id", "id"),
            "publisher": ToOne("Publisher", "publisher_id", "id"),
            "genre": ToOne("Genre", "genre_id", "id"),
        },
        {
            "tags": ToMany(
                "Tag", "EXISTS (SELECT FROM book_tags b WHERE b.book_id = {near}.id AND b.tag_id = {far}.id)"
            ),
            "contributors": ToMany(
                "Author",
                "EXISTS (SELECT FROM contribution c WHERE c.book_id = {near}.id AND c.author_id = {far}.id)",
            ),
            "contributions": ToMany("Contribution", "{far}.book_id = {near}.id"),
            "reviews": ToMany("Review", "{far}.book_id = {near}.id"),
            "lines": ToMany("OrderLine", "{far}.book_id = {near}.id"),
        },
    ),
    "Contribution": Known(
        "contribution",
        "id",
        {"id": "integer", "role": "enum:translator,illustrator,foreword", "share": "numeric", "note": "text"},
        {"book": ToOne("Book", "book_id", "id"), "author": ToOne("Author", "author_id", "id")},
        {},
    ),
    "Customer": Known(
        "customer",
        "id",
        {
            "id": "integer",
            "name": "text",
            "joined": "date",
            "tier": "enum:basic,silver,gold",
            "balance": "numeric",
            "prefs": "json",
        },
        {
            "country": ToOne("Country", "country_id", "code"),
            "referrer": ToOne("Customer", "referrer_id", "id"),
            "managed_shop": ToOne("Shop", "id", "manager_id"),
        },
        {
            "referred": ToMany("Customer", "{far}.referrer_id = {near}.id"),
            "reviews": ToMany("Review", "{far}.customer_id = {near}.id"),
            "orders": ToMany("Order", "{far}.customer_id = {near}.id"),
        },
    ),
    "Review": Known(
        "review",
        "id",
        {"id": "integer", "stars": "integer", "body": "text", "written": "timestamp", "helpful": "integer"},
        {"book": ToOne("Book", "book_id", "id"), "customer": ToOne("Customer", "customer_id", "id")},
        {},
    ),
    "Order": Known(
        "order",
        "id",
        {
            "id": "integer",
            "placed": "timestamp",
            "shipped": "timestamp",
            "status": "enum:new,paid,shipped,returned",
            "coupon": "text",
        },
        {"customer": ToOne("Customer", "customer_id", "id")},
        {"lines": ToMany("OrderLine", "{far}.order_id = {near}.id")},
    ),
    "OrderLine": Known(
        "order_line",
        "order_id, position",
        {
            "order_id": "integer",
            "position": "integer",
            "quantity": "integer",
            "unit_price": "numeric",
            "discount": "numeric",
        },
        {"order": ToOne("Order", "order_id", "id"), "book": ToOne("Book", "book_id", "id")},
        {},
    ),
    "Shop": Known(
        "shop",
        "id",
        {"id": "integer", "name": "text", "city": "text"},
        {"manager": ToOne("Customer", "manager_id", "id")},
        {},
    ),
}
