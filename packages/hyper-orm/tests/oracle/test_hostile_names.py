"""Names that come from outside: every argument that takes one refuses it, or quotes it rightly; no table is harmed."""

import inspect
from collections.abc import Callable
from typing import Any, Final

import pytest
from hyperdjango.database import DatabaseError, DataError
from hyperdjango.database.resolver import UnknownAlias
from hyperdjango.models import ModelError, prefetch_related_objects
from hyperdjango.models.search import SearchQuery, SearchVector

from oracle.sides import Ours

HOSTILE: Final = (
    'id"; DROP TABLE genre; --',
    'x" FROM genre; DELETE FROM genre; --',
    'id" = 1 OR "id',
    "id') OR 1=1 --",
    "name) FROM genre UNION SELECT version() --",
    "id; SELECT pg_sleep(9)",
    "genre.id",
    '"id"',
    "id/**/",
    "$1",
    "%s",
    "%(name)s",
    "{0}",
    "a b",
    "",
    " ",
    "x\x00y",
    "x\ny",
    "\\",
    "'",
    '"',
    '""',
    "name\u2028",
    "\uff49d",
    "*",
    "1",
    "-1",
    "--",
    "__",
    "id__",
    "__id",
    "_state",
    "_table",
    "__class__",
    "__init__",
    "name__",
    "name____upper",
    "name__exact__exact",
    "name__class",
    "parent__",
    "parent____id",
    "objects",
    "c",
    "save",
    "_connector",
    "_negated",
    "_using",
    "x" * 70,
    "select",
)
SETS: Final = {
    "filter": lambda m, name: m.Genre.objects.filter(**{name: 1}),
    "exclude": lambda m, name: m.Genre.objects.exclude(**{name: 1}),
    "get": lambda m, name: m.Genre.objects.get(**{name: 1}),
    "Q": lambda m, name: m.Genre.objects.filter(m.Q(**{name: 1})),
    "Q below to-many": lambda m, name: m.Genre.objects.filter(**{f"books__{name}": 1}),
    "F": lambda m, name: m.Genre.objects.filter(id=m.F(name)),
    "F in annotate": lambda m, name: m.Genre.objects.annotate(x=m.F(name)),
    "OuterRef": lambda m, name: m.Genre.objects.filter(
        m.Exists(m.Book.objects.filter(genre=m.OuterRef(name)))
    ),
    "order_by": lambda m, name: m.Genre.objects.order_by(name),
    "order_by, descending": lambda m, name: m.Genre.objects.order_by(f"-{name}"),
    "values": lambda m, name: m.Genre.objects.values(name),
    "values_list": lambda m, name: m.Genre.objects.values_list(name),
    "only": lambda m, name: m.Genre.objects.only(name),
    "defer": lambda m, name: m.Genre.objects.defer(name),
    "distinct": lambda m, name: m.Genre.objects.order_by("id").distinct(name),
    "select_related": lambda m, name: m.Genre.objects.select_related(name),
    "prefetch_related": lambda m, name: m.Genre.objects.prefetch_related(name),
    "Prefetch": lambda m, name: m.Genre.objects.prefetch_related(
        m.Prefetch(name, queryset=m.Book.objects.all())
    ),
    "returning": lambda m, name: m.Genre.objects.filter(pk=0).returning(name).update(name="x"),
    "select_for_update": lambda m, name: m.Genre.objects.select_for_update(of=(name,)),
    "aggregate of": lambda m, name: m.Genre.objects.aggregate(n=m.Max(name)),
    "a function of": lambda m, name: m.Genre.objects.annotate(x=m.Upper(name)),
    "window partition": lambda m, name: m.Genre.objects.annotate(
        x=m.Window(m.RowNumber(), partition_by=name)
    ),
    "window order": lambda m, name: m.Genre.objects.annotate(x=m.Window(m.RowNumber(), order_by=name)),
    "earliest": lambda m, name: m.Genre.objects.earliest(name),
    "latest": lambda m, name: m.Genre.objects.latest(name),
    "in_bulk": lambda m, name: m.Genre.objects.in_bulk([1], field_name=name),
    "create": lambda m, name: m.Genre.objects.create(**{"name": "new", name: 1}),
    "constructor": lambda m, name: m.Genre(**{"name": "new", name: 1}),
    "dates": lambda m, name: m.Book.objects.dates(name, "year"),
    "dates, of a part": lambda m, name: m.Book.objects.dates("published", name),
    "datetimes, of a part": lambda m, name: m.Book.objects.datetimes("created", name),
    "loader": lambda m, name: m.Genre.objects.loader(name),
    "Param": lambda m, name: m.Genre.objects.filter(id=m.Param("known")).prepare()(**{name: 1}),
    "page, after": lambda m, name: m.Genre.objects.order_by("name").page(after=name),
    "page, ordered": lambda m, name: m.Genre.objects.order_by(name).page(),
    "update": lambda m, name: m.Genre.objects.filter(pk=0).update(**{name: 1}),
    "get_or_create": lambda m, name: m.Genre.objects.get_or_create(**{"name": "new", name: 1}),
    "get_or_create, defaults": lambda m, name: m.Genre.objects.get_or_create(name="new", defaults={name: 1}),
    "update_or_create": lambda m, name: m.Genre.objects.update_or_create(name="new", defaults={name: 1}),
    "bulk_update": lambda m, name: m.Genre.objects.bulk_update([m.Genre.ref(1)], [name]),
    "bulk_create, update_fields": lambda m, name: m.Genre.objects.bulk_create(
        [m.Genre(name="new")], update_conflicts=True, update_fields=[name], unique_fields=["name"]
    ),
    "bulk_create, unique_fields": lambda m, name: m.Genre.objects.bulk_create(
        [m.Genre(name="new")], update_conflicts=True, update_fields=["parent"], unique_fields=[name]
    ),
    "save, update_fields": lambda m, name: m.Genre.ref(1).save(update_fields=[name]),
    "refresh, fields": lambda m, name: m.Genre.ref(1).refresh_from_db([name]),
    "load": lambda m, name: m.Genre.ref(1).load(name),
    "using": lambda m, name: m.Genre.objects.using(name),
    "model_validate": lambda m, name: m.Genre.model_validate({"name": "new", name: 1}),
    "FilteredRelation": lambda m, name: m.Genre.objects.annotate(x=m.FilteredRelation(name)).filter(x__id=1),
    "order of an aggregate": lambda m, name: m.Genre.objects.aggregate(n=m.ArrayAgg("id", order_by=name)),
    "OrderBy": lambda m, name: m.Genre.objects.order_by(m.OrderBy(name, descending=True)),
    "an aggregate without a name": lambda m, name: m.Genre.objects.annotate(m.Count(name)),
    "typed expression": lambda m, name: m.Genre.objects.filter(getattr(m.Genre.c, name) == 1),
    "When": lambda m, name: m.Genre.objects.annotate(x=m.Case(m.When(**{name: 1}, then=m.Value(1)))),
    "filter of an aggregate": lambda m, name: m.Genre.objects.annotate(
        n=m.Count("books", filter=m.Q(**{f"books__{name}": 1}))
    ),
    "FilteredRelation, condition": lambda m, name: m.Genre.objects.annotate(
        x=m.FilteredRelation("books", condition=m.Q(**{f"books__{name}": 1}))
    ).filter(x__id=1),
    "common table, here": lambda m, name: m.Genre.objects.with_cte(
        "t", m.Genre.objects.values("id"), on={name: "id"}
    ),
    "common table, there": lambda m, name: m.Genre.objects.with_cte(
        "t", m.Genre.objects.values("name"), on={"id": name}
    ),
    "common table, column": lambda m, name: m.Genre.objects.with_cte(
        "t", m.Genre.objects.values("name"), on={"id": "name"}
    ).filter(**{f"t__{name}": 1}),
    "unscoped": lambda m, name: m.Genre.objects.unscoped(name),
    "fetch_mode": lambda m, name: m.Genre.objects.fetch_mode(name),
    "dates, order": lambda m, name: m.Book.objects.dates("published", "year", order=name),
    "Trunc": lambda m, name: m.Book.objects.annotate(x=m.Trunc("published", name)),
    "Extract": lambda m, name: m.Book.objects.annotate(x=m.Extract("published", name)),
    "update_or_create, lookups": lambda m, name: m.Genre.objects.update_or_create(**{"name": "new", name: 1}),
    "update_or_create, create": lambda m, name: m.Genre.objects.update_or_create(
        name="new", create_defaults={name: 1}
    ),
    "related create": lambda m, name: m.Genre.ref(1).children.create(**{"name": "new", name: 1}),
    "related get_or_create": lambda m, name: m.Genre.ref(1).children.get_or_create(
        name="new", defaults={name: 1}
    ),
    "through_defaults": lambda m, name: m.Book.ref(1).contributors.add(1, through_defaults={name: 1}),
    "explain": lambda m, name: m.Genre.objects.explain(**{name: True}),
    "model_dump, include": lambda m, name: m.Genre(name="new").model_dump(include={name}),
    "model_dump, exclude": lambda m, name: m.Genre(name="new").model_dump(exclude={name}),
    "search_type": lambda m, name: m.Book.objects.annotate(x=SearchQuery("a", search_type=name)),
    "weight": lambda m, name: m.Book.objects.annotate(x=SearchVector("title", weight=name)),
    "select_related, deep": lambda m, name: m.Genre.objects.select_related(f"parent__{name}"),
    "load, deep": lambda m, name: m.Genre.ref(1).load(f"children__{name}"),
    "prefetch_related_objects": lambda m, name: prefetch_related_objects([m.Genre.ref(1)], name),
    "scattered get": lambda m, name: m.Genre.objects.scatter().get(**{name: 1}),
    "scattered update": lambda m, name: m.Genre.objects.filter(pk=0).scatter().update(**{name: 1}),
}
# Names of what the server knows and we do not: quoted, so that it does not know them either.
SERVERS: Final = {
    "Func's function": lambda m, name: m.Genre.objects.annotate(x=m.Func(m.F("name"), function=name)),
    "Collate": lambda m, name: m.Genre.objects.annotate(x=m.Collate("name", name)),
    "a configuration of search": lambda m, name: m.Book.objects.annotate(
        x=SearchVector("title", config=name)
    ),
}
# Where a name is made up by the caller and so may be nearly anything, if it is quoted.
FREE: Final[dict[str, Callable[[Any, str], Any]]] = {
    "annotate": lambda m, name: m.Genre.objects.annotate(**{name: m.Value(7)}).values(name),
    "alias": lambda m, name: m.Genre.objects.alias(**{name: m.Value(7)}).annotate(x=m.F(name)).values("x"),
    "annotate an aggregate": lambda m, name: m.Genre.objects.annotate(**{name: m.Count("books")}).values(
        name
    ),
    "annotate, ordered": lambda m, name: (
        m.Genre.objects.annotate(**{name: m.Value(7)}).order_by(name).values(name)
    ),
    "values of an expression": lambda m, name: m.Genre.objects.values(**{name: m.Value(7)}),
    "groups": lambda m, name: m.Book.objects.values(**{name: m.F("binding")}).annotate(n=m.Count("id")),
    "aggregate": lambda m, name: m.Genre.objects.aggregate(**{name: m.Count("id")}),
    "FilteredRelation": lambda m, name: m.Genre.objects.annotate(
        **{name: m.FilteredRelation("books", condition=m.Q(books__pages=1))}
    ),
    "common table": lambda m, name: (
        m.Genre.objects.filter(pk=1)
        .with_cte(name, m.Genre.objects.values("id"), on={"id": "id"})
        .values(x=m.F(f"{name}__id"))
    ),
    "a group's value": lambda m, name: m.Book.objects.values("binding").annotate(
        **{name: m.Count("id"), "x": m.Max("pages")}
    ),
    "a key of JSONObject": lambda m, name: m.Genre.objects.filter(pk=1).values(
        x=m.JSONObject(**{name: m.F("id")})
    ),
    "Prefetch, to_attr": lambda m, name: m.Genre.objects.prefetch_related(
        m.Prefetch("children", queryset=m.Genre.objects.all(), to_attr=name)
    ),
}


async def tried(side: Ours, use: Callable[[Any, str], Any], name: str) -> Any:
    """Use a name; what is sent at all is sent in a transaction that is rolled back."""
    made = use(side, name)
    if not inspect.isawaitable(made):
        return made
    transaction = side.database.transaction()
    await transaction.__aenter__()
    try:
        return await made
    finally:
        await transaction.__aexit__(KeyError, KeyError(), None)


REFUSALS: Final = (ModelError, TypeError, ValueError, UnknownAlias)


@pytest.mark.parametrize("use", [pytest.param(use, id=name) for name, use in SETS.items()])
def test_a_name_that_must_be_known_is_refused(ours: Ours, use: Callable[[Any, str], Any]) -> None:
    accepted = []
    for name in HOSTILE:
        try:
            ours.runner.run(tried(ours, use, name))
        except REFUSALS:
            continue
        accepted.append(name)
    assert accepted == []


@pytest.mark.parametrize("use", [pytest.param(use, id=name) for name, use in SERVERS.items()])
def test_a_name_of_the_servers_is_quoted(ours: Ours, use: Callable[[Any, str], Any]) -> None:
    for name in HOSTILE:
        # A text with a NUL is DataError, before it is sent; "1" is the number of a configuration, which there is not.
        with pytest.raises((ModelError, TypeError, ValueError, DatabaseError)):
            ours.runner.run(tried(ours, use, name))


@pytest.mark.parametrize("use", [pytest.param(use, id=name) for name, use in FREE.items()])
def test_a_name_that_is_made_up_is_refused_or_comes_back_as_it_was(
    ours: Ours, use: Callable[[Any, str], Any]
) -> None:
    for name in HOSTILE:
        try:
            found = ours.runner.run(tried(ours, use, name))
        except (*REFUSALS, DataError):
            continue
        row = found if isinstance(found, dict) else found[0]
        if isinstance(row, dict):
            assert name in row or "x" in row


def test_two_long_names_that_differ_at_their_ends_stay_two(ours: Ours) -> None:
    first, second = "x" * 63 + "1", "x" * 63 + "2"
    try:
        found = ours.run(
            lambda m: (
                m.Genre.objects.filter(pk=1).annotate(**{first: m.Value(1), second: m.Value(2)}).values()
            )
        )
    except REFUSALS:
        return
    assert (found[0][first], found[0][second]) == (1, 2)


KEYS: Final = (
    "a'b",
    'a"b',
    "a\\b",
    "a b",
    "a;--",
    "{a}",
    "a,b",
    "$1",
    "%s",
    "a\nb",
    "ü",
    "0x",
    "'||version()||'",
)


def test_a_key_of_json_is_looked_up_as_it_is(ours: Ours) -> None:
    async def counts(key: str) -> list[int]:
        objects = ours.Publisher.objects.filter(name="keys")
        await objects.delete()
        for document in ({key: 1}, {key: 2}, {"other": 1}):
            await ours.Publisher.objects.create(name="keys", country_id="de", contacts=document)
        return [
            await objects.filter(**{f"contacts__{key}": 1}).count(),
            await objects.filter(**{f"contacts__{key}__gt": 1}).count(),
            await objects.filter(**{f"contacts__{key}__isnull": False}).count(),
            await objects.filter(contacts__has_key=key).count(),
            await objects.exclude(**{f"contacts__{key}": 1}).count(),
            len(await objects.order_by(f"contacts__{key}")),
            len({str(row) for row in await objects.values_list(f"contacts__{key}", flat=True)}),
        ]

    async def steps() -> dict[str, list[int]]:
        transaction = ours.database.transaction()
        await transaction.__aenter__()
        try:
            return {key: await counts(key) for key in KEYS}
        finally:
            await transaction.__aexit__(KeyError, KeyError(), None)

    assert ours.runner.run(steps()) == {key: [1, 1, 2, 2, 2, 3, 3] for key in KEYS}


def test_the_shop_is_as_it_was(ours: Ours) -> None:
    assert ours.run(lambda m: m.Genre.objects.count()) == 24
    assert ours.run(lambda m: m.Genre.objects.filter(name="poetry").count()) == 1
