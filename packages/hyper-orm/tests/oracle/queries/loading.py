"""Related instances: select_related, prefetch_related, Prefetch, defer and only."""

from collections.abc import Callable
from typing import Any, Final

from oracle.compare import Queries, departs, ordered, shaped
from oracle.sides import Side


def path(*names: str) -> Callable[[Side, Any], Any]:
    """Compare the key of an instance and what lies at the end of each path; None ends one."""

    def shape(_side: Side, row: Any) -> list[Any]:
        found = [row.id]
        for name in names:
            one = row
            for word in name.split("."):
                one = getattr(one, word, None) if one is not None else None
            found.append(one)
        return found

    return shape


def many(
    *names: str, each: Callable[[Side, Any], Any] = lambda _side, row: row.id
) -> Callable[[Side, Any], Any]:
    """Compare the key of an instance and, sorted, what each of its loaded far instances gives."""
    return lambda side, row: [
        row.id,
        *(sorted(map(repr, (each(side, one) for one in side.many(row, name)))) for name in names),
    ]


def listed(name: str) -> Callable[[Side, Any], Any]:
    """Compare the far keys in their order."""
    return lambda side, row: [row.id, [one.id for one in side.many(row, name)]]


JOINED: Final[Queries] = {
    "to-one": shaped(lambda m: m.Book.objects.filter(pk__lt=300).select_related("author"), path("author.name", "author_id")),
    "nullable": shaped(lambda m: m.Book.objects.filter(pk__lt=300).select_related("editor"), path("editor.name", "editor_id")),
    "two of one model": shaped(lambda m: m.Book.objects.filter(pk__lt=300).select_related("author", "editor"), path("author.name", "editor.name")),
    "two deep": shaped(lambda m: m.Book.objects.filter(pk__lt=300).select_related("author__country"), path("author.name", "author.country.name")),
    "three deep": shaped(
        lambda m: m.Book.objects.filter(pk__lt=300).select_related("author__mentor__country"),
        path("author.mentor.name", "author.mentor.country.name"),
    ),
    "two calls": shaped(
        lambda m: m.Book.objects.filter(pk__lt=300).select_related("author").select_related("genre__parent"),
        path("author.name", "genre.parent.name"),
    ),
    "one to one": shaped(lambda m: m.Profile.objects.select_related("author__mentor"), path("author.name", "author.mentor.name")),
    "one to one, reverse": shaped(lambda m: m.Author.objects.select_related("profile"), path("profile.bio")),
    "one to one, reverse, under to-one": shaped(
        lambda m: m.Book.objects.filter(pk__lt=300).select_related("author__profile"), path("author.profile.bio")
    ),
    "with a filter over it": shaped(
        lambda m: m.Book.objects.select_related("author").filter(author__country="is"), path("author.name")
    ),
    "with a filter of a nullable": shaped(
        lambda m: m.Book.objects.select_related("editor").filter(editor__rating=5.0), path("editor.rating")
    ),
    "with an annotation": shaped(
        lambda m: m.Book.objects.filter(pk__lt=300).select_related("author").annotate(n=m.Count("reviews")), path("author.name", "n")
    ),
    "ordered and sliced": shaped(
        lambda m: m.Book.objects.select_related("author").order_by("author__name", "id")[:50], path("author.name"), is_ordered=True
    ),
    "taken back": lambda m: m.Genre.objects.select_related("parent").select_related(None),
    "of a composite row": shaped(
        lambda m: m.OrderLine.objects.filter(order_id__lt=50).select_related("order__customer", "book__author"),
        lambda _m, row: (row.order_id, row.position, row.order.customer.name, row.book.author.name),
    ),
    "with only": shaped(
        lambda m: m.Book.objects.filter(pk__lt=300).select_related("author").only("title", "author__name"), path("title", "author.name")
    ),
}  # fmt: skip

PREFETCHED: Final[Queries] = {
    "reverse": shaped(lambda m: m.Author.objects.filter(pk__lt=150).prefetch_related("books"), many("books")),
    "the other key": shaped(lambda m: m.Author.objects.filter(pk__gt=500).prefetch_related("edited"), many("edited")),
    "two at once": shaped(lambda m: m.Author.objects.filter(pk__lt=99).prefetch_related("books", "edited"), many("books", "edited")),
    "many to many": shaped(lambda m: m.Book.objects.filter(pk__lt=300).prefetch_related("tags"), many("tags")),
    "many to many, reverse": shaped(lambda m: m.Tag.objects.filter(label__endswith="9").prefetch_related("books"), many("books")),
    "through": shaped(lambda m: m.Book.objects.filter(pk__lt=300).prefetch_related("contributors"), many("contributors")),
    "through, reverse": departs(
        "A far row that the through table links twice",
        lambda m: m.Author.objects.filter(pk__lt=99).prefetch_related("contributed"),
        lambda m: m.Author.objects.filter(pk__lt=99).prefetch_related(m.Prefetch("contributed", queryset=m.Book.objects.distinct())),
        shape=many("contributed"),
    ),
    "to-one": shaped(lambda m: m.Book.objects.filter(pk__lt=300).prefetch_related("author"), path("author.name")),
    "nullable to-one": shaped(lambda m: m.Book.objects.filter(pk__lt=300).prefetch_related("editor"), path("editor.name")),
    "one to one, reverse": shaped(lambda m: m.Author.objects.prefetch_related("profile"), path("profile.bio")),
    "to itself": shaped(lambda m: m.Author.objects.prefetch_related("pupils"), many("pupils")),
    "two deep": shaped(
        lambda m: m.Author.objects.filter(pk__lt=40).prefetch_related("books__reviews"),
        many("books", each=lambda side, book: [book.id, sorted(one.id for one in side.many(book, "reviews"))]),
    ),
    "three deep": shaped(
        lambda m: m.Author.objects.filter(pk__lt=20).prefetch_related("books__reviews__customer"),
        many("books", each=lambda side, book: sorted(str(one.customer and one.customer.name) for one in side.many(book, "reviews"))),
    ),
    "below a join": shaped(
        lambda m: m.Book.objects.filter(pk__lt=99).select_related("author").prefetch_related("author__pupils"),
        lambda side, row: (row.id, sorted(one.id for one in side.many(row.author, "pupils"))),
    ),
    "composite rows": shaped(
        lambda m: m.Order.objects.filter(pk__lt=99).prefetch_related("lines__book"),
        many("lines", each=lambda _side, line: (line.position, line.book.title)),
    ),
    "Prefetch, filtered": shaped(
        lambda m: m.Author.objects.prefetch_related(m.Prefetch("books", queryset=m.Book.objects.filter(price__lt=10))), many("books")
    ),
    "Prefetch, ordered": shaped(
        lambda m: m.Author.objects.filter(pk__lt=150).prefetch_related(m.Prefetch("books", queryset=m.Book.objects.order_by("-price", "id"))), listed("books")
    ),
    "Prefetch, many to many, ordered": shaped(
        lambda m: m.Book.objects.filter(pk__lt=99).prefetch_related(m.Prefetch("tags", queryset=m.Tag.objects.order_by("-label"))),
        listed("tags"),
    ),
    "Prefetch, to an attribute": shaped(
        lambda m: m.Author.objects.prefetch_related(m.Prefetch("books", queryset=m.Book.objects.filter(price__lt=10), to_attr="cheap")),
        many("cheap"),
    ),
    "Prefetch, twice": shaped(
        lambda m: m.Author.objects.prefetch_related(
            m.Prefetch("books", queryset=m.Book.objects.filter(price__lt=10), to_attr="cheap"),
            m.Prefetch("books", queryset=m.Book.objects.filter(price__gt=90), to_attr="dear"),
        ),
        many("cheap", "dear"),
    ),
    "Prefetch with a join": shaped(
        lambda m: m.Author.objects.filter(pk__lt=99).prefetch_related(m.Prefetch("books", queryset=m.Book.objects.select_related("genre"))),
        many("books", each=lambda _side, book: book.genre.name),
    ),
    "Prefetch, a slice for each": shaped(
        lambda m: m.Author.objects.prefetch_related(m.Prefetch("books", queryset=m.Book.objects.order_by("-price", "id")[:3], to_attr="some")),
        listed("some"),
    ),
    "Prefetch, a later slice for each": shaped(
        lambda m: m.Author.objects.prefetch_related(m.Prefetch("books", queryset=m.Book.objects.order_by("-price", "id")[2:4], to_attr="some")),
        listed("some"),
    ),
    "Prefetch, many to many, a slice for each": shaped(
        lambda m: m.Tag.objects.prefetch_related(m.Prefetch("books", queryset=m.Book.objects.order_by("price", "id")[:2], to_attr="some")),
        listed("some"),
    ),
    "Prefetch with an annotation": shaped(
        lambda m: m.Author.objects.filter(pk__lt=99).prefetch_related(
            m.Prefetch("books", queryset=m.Book.objects.annotate(n=m.Count("reviews")))
        ),
        many("books", each=lambda _side, book: (book.id, book.n)),
    ),
    "Prefetch, nested": shaped(
        lambda m: m.Author.objects.filter(pk__lt=99).prefetch_related(
            m.Prefetch("books", queryset=m.Book.objects.filter(price__lt=50).prefetch_related("tags"))
        ),
        many("books", each=lambda side, book: sorted(one.label for one in side.many(book, "tags"))),
    ),
    "of a slice": shaped(lambda m: m.Author.objects.order_by("-id")[95:120].prefetch_related("books"), many("books"), is_ordered=True),
    "of nothing": shaped(lambda m: m.Author.objects.filter(pk__gt=590).prefetch_related("books"), many("books")),
    "taken back": lambda m: m.Genre.objects.prefetch_related("children").prefetch_related(None),
}  # fmt: skip

PARTIAL: Final[Queries] = {
    "only": shaped(lambda m: m.Book.objects.filter(pk__lt=99).only("title", "price"), path("title", "price")),
    "only a key": shaped(lambda m: m.Book.objects.filter(pk__lt=99).only("author"), path("author_id")),
    "defer": shaped(
        lambda m: m.Book.objects.filter(pk__lt=99).defer("details", "keywords"),
        path("title", "price", "author_id"),
    ),
    "defer, then only": shaped(
        lambda m: m.Book.objects.filter(pk__lt=99).defer("title").only("price"), path("price")
    ),
    "ordered by what is left out": ordered(lambda m: m.Author.objects.only("id").order_by("name", "id")),
}
