"""A value goes to the server in Bind or COPY's data, never in a text: through every public method, on the wire."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import pytest
from hyperdjango.database import Database, DatabaseError, set_db
from hyperdjango.models import Manager, Model, QuerySet, RelatedSet, prefetch_related_objects
from hyperdjango.models._loader import batch_of
from hyperdjango.models._scatter import Scattered

from oracle.sides import Ours
from oracle.tap import Tap

CORE: Final = "m4rk3r"
MARKER: Final = f"x'{CORE}\"\\$1;--/*%_"
NOW: Final = datetime(2024, 1, 1, tzinfo=UTC)
Use = Callable[[Any], Any]


async def each(rows: Any) -> list[Any]:
    return [row async for row in rows]


def found(m: Any) -> Any:
    return m.Genre.objects.filter(name=MARKER)


async def saved(m: Any) -> None:
    genre = m.Genre(name=MARKER[:50])
    await genre.save()
    genre.name = f"{MARKER}2"[:50]
    await genre.save()
    await genre.refresh_from_db()
    await genre.delete()


async def bulk_updated(m: Any) -> None:
    genres = await m.Genre.objects.order_by("id")[:3]
    for number, genre in enumerate(genres):
        genre.name = f"{MARKER}{number}"
    await m.Genre.objects.bulk_update(genres, ["name"])


async def loaded(m: Any) -> None:
    """`load` sends keys; the marker is one of them."""
    author = m.Author.ref(1)
    author.country_id = MARKER
    await author.load("country")


# What begins from a queryset that has the marker already shows that the method keeps it where it was.
METHODS: Final[dict[str, Use]] = {
    "aggregate": lambda m: m.Genre.objects.aggregate(n=m.Max(m.Coalesce("name", m.Value(MARKER)))),
    "alias": lambda m: m.Genre.objects.alias(x=m.Value(MARKER)).filter(x="a"),
    "all": lambda m: found(m).all(),
    "annotate": lambda m: m.Genre.objects.annotate(x=m.Value(MARKER)),
    "bulk_create": lambda m: m.Genre.objects.bulk_create([m.Genre(name=f"{MARKER}{n}") for n in range(5)]),
    "bulk_update": bulk_updated,
    "contains": lambda m: found(m).contains(m.Genre.ref(1)),
    "count": lambda m: found(m).count(),
    "create": lambda m: m.Genre.objects.create(name=MARKER),
    "dates": lambda m: m.Book.objects.filter(title=MARKER).dates("published", "year"),
    "datetimes": lambda m: m.Book.objects.filter(title=MARKER).datetimes("created", "hour"),
    "defer": lambda m: found(m).defer("parent"),
    "delete": lambda m: found(m).delete(),
    "difference": lambda m: m.Genre.objects.difference(found(m)),
    "distinct": lambda m: found(m).distinct("name").order_by("name"),
    "earliest": lambda m: found(m).earliest("id"),
    "exclude": lambda m: m.Genre.objects.exclude(name=MARKER),
    "exists": lambda m: found(m).exists(),
    "explain": lambda m: found(m).explain(),
    "fetch_mode": lambda m: found(m).fetch_mode("one"),
    "filter": found,
    "first": lambda m: found(m).first(),
    "get": lambda m: m.Genre.objects.get(name=MARKER),
    "get_or_create": lambda m: m.Genre.objects.get_or_create(name=MARKER),
    "get_or_none": lambda m: m.Genre.objects.get_or_none(name=MARKER),
    "in_bulk": lambda m: m.Genre.objects.in_bulk([MARKER], field_name="name"),
    "intersection": lambda m: m.Genre.objects.intersection(found(m)),
    "iterator": lambda m: each(found(m).iterator()),
    "last": lambda m: found(m).last(),
    "latest": lambda m: found(m).latest("id"),
    "limit": lambda m: found(m).limit(3),
    # What the package of loaders calls.
    "loader": lambda m: batch_of(m.Genre.objects.all(), "name", many=False)([MARKER]),
    "none": lambda m: found(m).none(),
    "offset": lambda m: found(m).offset(3),
    "only": lambda m: found(m).only("name"),
    "order_by": lambda m: m.Genre.objects.order_by(m.Concat("name", m.Value(MARKER))),
    "page": lambda m: found(m).order_by("name").page(size=2),
    "prepare": lambda m: m.Genre.objects.filter(name=m.Param("name")).prepare()(name=MARKER),
    "prefetch_related": lambda m: m.Genre.objects.prefetch_related(m.Prefetch("children", queryset=found(m))),
    "raw": lambda m: m.Genre.objects.raw("SELECT * FROM genre WHERE name = $1", MARKER),
    "returning": lambda m: found(m).returning("name").update(name="x"),
    "reverse": lambda m: found(m).order_by("id").reverse(),
    "scatter": lambda m: found(m).scatter().count(),
    "select_for_update": lambda m: found(m).select_for_update(),
    "select_related": lambda m: found(m).select_related("parent"),
    "stream_json": lambda m: each(found(m).stream_json()),
    "union": lambda m: m.Genre.objects.union(found(m)),
    "unscoped": lambda m: found(m).unscoped(),
    "update": lambda m: m.Genre.objects.filter(pk=1).update(name=MARKER),
    "update_or_create": lambda m: m.Genre.objects.update_or_create(name=MARKER, defaults={"parent_id": 1}),
    "using": lambda m: found(m).using(m.database),
    "with_cte": lambda m: m.Genre.objects.with_cte("found", found(m).values("id"), on={"id": "id"}),
    "values": lambda m: m.Genre.objects.values(x=m.Value(MARKER)),
    "values_list": lambda m: m.Genre.objects.values_list(m.Concat("name", m.Value(MARKER))),
    "save": saved,
    "load": loaded,
    "refresh": lambda m: m.Country.ref(MARKER).refresh(),
    "refresh_from_db": lambda m: m.Country.ref(MARKER).refresh_from_db(),
}
# What the sets of related rows have of their own; their rows are found by the key of the instance.
RELATED: Final[dict[str, Use]] = {
    "add": lambda m: m.Country.ref(MARKER).authors.add(m.Author.ref(1)),
    "clear": lambda m: m.Country.ref(MARKER).authors.clear(),
    "create": lambda m: m.Genre.ref(1).children.create(name=MARKER),
    "get_or_create": lambda m: m.Genre.ref(1).children.get_or_create(name=MARKER),
    "remove": lambda m: m.Country.ref(MARKER).authors.remove(m.Author.ref(1)),
    "set": lambda m: m.Country.ref(MARKER).authors.set([m.Author.ref(1)]),
}
SCATTERED: Final[dict[str, Use]] = {
    "aggregate": lambda m: found(m).scatter().aggregate(n=m.Count("id")),
    "count": lambda m: found(m).scatter().count(),
    "delete": lambda m: found(m).scatter().delete(),
    "exists": lambda m: found(m).scatter().exists(),
    "first": lambda m: found(m).scatter().first(),
    "get": lambda m: m.Genre.objects.scatter().get(name=MARKER),
    "iterator": lambda m: each(found(m).scatter().iterator()),
    "update": lambda m: m.Genre.objects.filter(pk=1).scatter().update(name=MARKER),
}
# What sends nothing.
SILENT: Final = {"bound", "get_queryset", "key", "model", "params", "resolve", "to_sql"} | {
    name
    for name in dir(Model)
    if name.startswith(("before_", "after_", "model_"))
    or name in {"c", "objects", "pk", "ref", "DoesNotExist", "MultipleObjectsReturned"}
}
TEXT_LOOKUPS: Final = (
    "exact", "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "regex", "iregex",
    "gt", "gte", "lt", "lte",
)  # fmt: skip


def looked_up(lookup: str) -> Use:
    return lambda m: m.Book.objects.filter(**{f"title__{lookup}": CORE})


async def paged(m: Any) -> None:
    """The cursor of a page has the values of its last row in it."""
    await m.Genre.objects.bulk_create([m.Genre(name=f"{MARKER}{n}") for n in range(2)])
    page = await m.Genre.objects.filter(name__gte="x'm").order_by("name").page(size=1)
    await m.Genre.objects.order_by("name").page(after=page.next)


SHAPES: Final[dict[str, Use]] = {
    "a page behind another": paged,
    "rows of an instance": lambda m: m.Country.ref(MARKER).authors.filter(name="x"),
    "delete of an instance": lambda m: m.Country.ref(MARKER).delete(),
    "rows for instances": lambda m: prefetch_related_objects([m.Country.ref(MARKER)], "authors"),
    "a recursive common table": lambda m: m.Genre.objects.with_cte(
        "tree",
        found(m).values("id"),
        on={"id": "id"},
        recursive=m.Genre.objects.with_cte("tree", found(m).values("id"), on={"parent": "id"})
        .filter(name__gt=MARKER)
        .values("id"),
    ),
    "rows of all shards": lambda m: each(found(m).scatter()),
    "a member of an enum": lambda m: m.Book.objects.filter(binding__contains=MARKER),
    "a condition on groups": lambda m: (
        m.Book.objects.order_by()
        .values("genre__name")
        .annotate(n=m.Count("pk"))
        .filter(m.Q(n=2) | m.Q(genre__name=MARKER))
    ),
    **{f"lookup {one}": looked_up(one) for one in TEXT_LOOKUPS},
    "lookup in": lambda m: m.Book.objects.filter(title__in=[MARKER, "b"]),
    "lookup range": lambda m: m.Book.objects.filter(title__range=(MARKER, "z")),
    "lookup of an array": lambda m: m.Book.objects.filter(keywords__contains=[MARKER]),
    "lookup of an array's element": lambda m: m.Book.objects.filter(keywords__0=MARKER),
    "lookup of a document": lambda m: m.Book.objects.filter(details__contains={"a": MARKER}),
    "lookup of a key": lambda m: m.Book.objects.filter(details__language=MARKER),
    "a key's name": lambda m: m.Book.objects.filter(details__has_key=MARKER),
    "keys' names": lambda m: m.Book.objects.filter(details__has_any_keys=[MARKER]),
    "over to-one": lambda m: m.Book.objects.filter(author__country__name=MARKER),
    "over to-many": lambda m: m.Author.objects.filter(books__tags__label=MARKER),
    "in a Q": lambda m: m.Author.objects.filter(m.Q(name=MARKER) | ~m.Q(email=MARKER)),
    "in Case": lambda m: m.Author.objects.annotate(x=m.Case(m.When(name=MARKER, then=m.Value(MARKER)))),
    "in a subquery": lambda m: m.Author.objects.filter(
        pk__in=m.Author.objects.filter(name=MARKER).values("id")
    ),
    "in Exists": lambda m: m.Author.objects.filter(
        m.Exists(m.Book.objects.filter(author=m.OuterRef("pk"), title=MARKER))
    ),
    "in an aggregate's filter": lambda m: m.Author.objects.annotate(
        x=m.Count("books", filter=m.Q(books__title=MARKER))
    ),
    "in StringAgg's delimiter": lambda m: m.Author.objects.aggregate(x=m.StringAgg("name", delimiter=MARKER)),
    "in a function": lambda m: m.Author.objects.annotate(x=m.Replace("name", m.Value("a"), m.Value(MARKER))),
    "in a typed expression": lambda m: m.Author.objects.filter(m.Author.c.name == MARKER),
    "in a default of a window": lambda m: m.Author.objects.annotate(
        x=m.Window(m.Lag("name", 1, MARKER), order_by="id")
    ),
    "update of a document": lambda m: m.Book.objects.filter(pk=1).update(details={MARKER: MARKER}),
    "update of an array": lambda m: m.Book.objects.filter(pk=1).update(keywords=[MARKER]),
    "update by an expression": lambda m: m.Book.objects.filter(pk=1).update(
        title=m.Concat("title", m.Value(MARKER))
    ),
    "a whole book": lambda m: m.Book.objects.create(
        title=MARKER,
        isbn=CORE,
        author_id=1,
        genre_id=1,
        price=Decimal(1),
        keywords=[MARKER],
        details={"a": MARKER},
        subtitle=MARKER,
        published=date(2020, 1, 1),
        created=NOW,
    ),
    "many rows": lambda m: m.Review.objects.bulk_create(
        [m.Review(book_id=1, stars=1, body=f"{MARKER}{n}", written=NOW) for n in range(3000)]
    ),
}


@pytest.fixture(scope="module")
def tapped(runner: asyncio.Runner, shop_url: str) -> Iterator[tuple[Tap, Database]]:
    with Tap(shop_url) as tap:
        database = runner.run(Database(tap.url, 1, 1).connect())
        yield tap, database
        runner.run(database.disconnect())


async def used(side: Ours, use: Use) -> None:
    """Use a method in a transaction that is rolled back; what the backend or we make of the marker does not matter."""
    transaction = side.database.transaction()
    await transaction.__aenter__()
    try:
        made = use(side)
        if inspect.isawaitable(made):
            await made
    except (DatabaseError, LookupError):
        pass  # no such row: it was looked for
    finally:
        await transaction.__aexit__(KeyError, KeyError(), None)


EVERY: Final = {
    **METHODS,
    **SHAPES,
    **{f"related {name}": use for name, use in RELATED.items()},
    **{f"scattered {name}": use for name, use in SCATTERED.items()},
}


@pytest.mark.parametrize("use", [pytest.param(use, id=name) for name, use in EVERY.items()])
def test_a_value_is_in_bind_alone(runner: asyncio.Runner, tapped: tuple[Tap, Database], use: Use) -> None:
    tap, database = tapped
    tap.messages.clear()
    set_db(database)
    try:
        runner.run(used(Ours(runner, database), use))
    finally:
        set_db(None)
    marked = {kind for kind, body in tap.messages if CORE.encode() in body}
    assert marked, "the marker has not been sent at all"
    assert marked <= {b"B", b"d"}


def test_every_public_method_is_tried() -> None:
    public = {name for owner in (Manager, Model) for name in dir(owner) if not name.startswith("_")}
    assert public - SILENT == set(METHODS)
    own = {name for name in vars(RelatedSet) if not name.startswith("_")} - {"is_loaded"}
    assert own == set(RELATED)
    assert {name for name in dir(RelatedSet) if not name.startswith("_")} - own - {"is_loaded"} <= set(
        dir(QuerySet)
    )
    assert {name for name in dir(Scattered) if not name.startswith("_")} == set(SCATTERED)


QUERIES: Final = {name: use for name, use in {**METHODS, **SHAPES}.items() if name != "prefetch_related"}


@pytest.mark.parametrize("use", [pytest.param(use, id=name) for name, use in QUERIES.items()])
def test_to_sql_has_values_beside_the_text(ours: Ours, use: Use) -> None:
    if inspect.iscoroutinefunction(use):
        return  # it is no queryset
    made = use(ours)
    if not hasattr(made, "to_sql"):
        made.close()
        return
    sql, params = made.to_sql()
    assert CORE not in sql
    assert CORE in repr(params)
