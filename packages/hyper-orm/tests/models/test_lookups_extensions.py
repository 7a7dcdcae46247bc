"""Lookups of hstore, trigrams and network addresses, unaccent, and full text search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, ip_network
from typing import Annotated, Any

import psycopg
import pytest
from hyperdjango.database import Database, InvalidName, SyncDatabase
from hyperdjango.models import Cidr, FieldError, Hstore, Inet, Model, TsVector, create_schema_sync
from hyperdjango.models.expressions import F, Value
from hyperdjango.models.functions import Lower
from hyperdjango.models.query_words import Q
from hyperdjango.models.search import (
    SearchHeadline,
    SearchQuery,
    SearchRank,
    SearchVector,
    TrigramDistance,
    TrigramSimilarity,
    TrigramStrictWordDistance,
    TrigramStrictWordSimilarity,
    TrigramWordDistance,
    TrigramWordSimilarity,
)
from postgres_servers import Server
from shelf import label

ROWS = [
    (1, "Café au lait", "The quick brown fox jumps", {"a": "1", "b": None}, "10.0.0.1", "10.0.0.0/8"),
    (2, "Cafe noir", "The lazy dogs slept", {"a": "2"}, "10.1.2.3/16", "192.168.0.0/16"),
    (3, "Tea", "A fox and a dog", {"it's": "x"}, "::1", "::/0"),
]


class Thing(Model):
    name: str
    body: str
    tags: Annotated[dict[str, str | None], Hstore]
    address: Annotated[str, Inet]
    network: Annotated[str, Cidr]
    vector: Annotated[str, TsVector] | None = None

    class Meta:
        table = "extension_thing"


@pytest.fixture(scope="module")
def thing_url(server: Server) -> Iterator[str]:
    name = server.create_database()
    url = server.url_for(name)
    with psycopg.connect(url, autocommit=True) as connection:
        for extension in ("hstore", "pg_trgm", "unaccent"):
            connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    with SyncDatabase(url, 1, 1) as db:
        create_schema_sync([Thing], db)
        db.execute_many(
            "INSERT INTO extension_thing (id, name, body, tags, address, network) OVERRIDING SYSTEM VALUE "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            ROWS,
        )
        db.execute("UPDATE extension_thing SET vector = to_tsvector('english', body)")
    yield url
    server.drop_database(name)


@pytest.fixture
async def db(thing_url: str) -> AsyncIterator[Database]:
    async with Database(
        thing_url, 1, 1, server_settings={"default_text_search_config": "english"}
    ) as database:
        yield database


async def found(db: Database, *conditions: Any, **lookups: Any) -> list[int]:
    things: Any = Thing.objects.using(db).filter(*conditions, **lookups).order_by("pk")
    rows: list[int] = await things.values_list("pk", flat=True)
    return rows


async def values(db: Database, expression: Any) -> list[Any]:
    things: Any = Thing.objects.using(db).annotate(found=expression).order_by("pk")
    rows: list[Any] = await things.values_list("found", flat=True)
    return rows


FOUND: list[tuple[dict[str, Any], list[int]]] = [
    ({"tags__a": "1"}, [1]),
    ({"tags__a__in": ["1", "2"]}, [1, 2]),
    ({"tags__a__startswith": "2"}, [2]),
    ({"tags__b__isnull": True}, [1, 2, 3]),
    ({"tags__it's": "x"}, [3]),
    ({"tags__contains": {"a": "1"}}, [1]),
    ({"tags__contained_by": {"a": "2", "c": "3"}}, [2]),
    ({"tags__has_key": "b"}, [1]),
    ({"tags__has_keys": ["a", "b"]}, [1]),
    ({"tags__has_any_keys": ["b", "it's"]}, [1, 3]),
    ({"tags__keys": ["a"]}, [2]),
    ({"tags__keys__overlap": ["b"]}, [1]),
    ({"tags__values__contains": ["2"]}, [2]),
    ({"tags": {"a": "2"}}, [2]),
    ({"name__unaccent": "Cafe au lait"}, [1]),
    ({"name__unaccent__icontains": "CAFÉ"}, [1, 2]),
    ({"name__unaccent__in": ["Café noir", "x"]}, [2]),
    ({"name__trigram_similar": "Cafe nior"}, [2]),
    ({"body__trigram_word_similar": "quikc"}, []),
    ({"body__trigram_word_similar": "quick"}, [1]),
    ({"body__trigram_strict_word_similar": "quick"}, [1]),
    ({"address": "10.0.0.1"}, [1]),
    ({"address": IPv4Address("10.0.0.1")}, [1]),
    ({"address__in": ["10.0.0.1", "::1"]}, [1, 3]),
    ({"address__startswith": "10.1"}, [2]),
    ({"address__net_contained": "10.0.0.0/8"}, [1, 2]),
    ({"address__net_contained_or_equal": ip_network("10.0.0.0/8")}, [1, 2]),
    ({"network__net_contains": "10.9.9.9"}, [1]),
    ({"network__net_contains_or_equals": "192.168.0.0/16"}, [2]),
    ({"network__net_overlaps": "192.168.1.0/24"}, [2]),
    ({"network__contains": F("address")}, [1, 3]),
    ({"address__contained_by": "10.1.0.0/16"}, [2]),
    ({"body__search": "fox"}, [1, 3]),
    ({"body__search": "foxes jumping"}, [1]),
    ({"body__search": SearchQuery("fox | dogs", search_type="raw")}, [1, 2, 3]),
    ({"body__search": SearchQuery("dog", config="simple")}, [3]),
    ({"vector": "dog"}, [2, 3]),
    ({"vector": SearchQuery("fox") & ~SearchQuery("dog")}, [1]),
    ({"vector": SearchQuery("lazy") | SearchQuery("quick")}, [1, 2]),
    ({"vector__search": SearchQuery("quick brown", search_type="phrase")}, [1]),
    ({"vector": SearchQuery('fox -"quick"', search_type="websearch")}, [3]),
    ({"vector": SearchQuery("fox", invert=True)}, [2]),
    ({"vector": Lower(Value("FOX"))}, [1, 3]),
]


@pytest.mark.parametrize(("lookups", "expected"), FOUND, ids=label)
async def test_a_lookup_finds_its_rows(db: Database, lookups: dict[str, Any], expected: list[int]) -> None:
    assert await found(db, **lookups) == expected


async def test_a_vector_of_several_fields(db: Database) -> None:
    vector = SearchVector("name", "body", config="english")
    things: Any = (
        Thing.objects.using(db).annotate(search=vector).filter(search=SearchQuery("tea", config="english"))
    )
    assert await things.values_list("pk", flat=True) == [3]
    weighted = SearchVector("name", weight="A") + SearchVector("body", weight="B")
    rank = SearchRank(weighted, SearchQuery("fox"), weights=[0.1, 0.2, 0.4, 1.0], normalization=1)
    ranks = await values(db, rank)
    assert ranks[1] == 0
    assert ranks[0] > 0
    assert await values(db, SearchRank("body", "nothing", cover_density=True)) == [0.0, 0.0, 0.0]


async def test_a_headline(db: Database) -> None:
    plain = SearchHeadline("body", "fox")
    assert (await values(db, plain))[0] == "The quick brown <b>fox</b> jumps"
    marked = SearchHeadline(
        "body", SearchQuery("fox"), config="english", start_sel='<"', stop_sel=", MaxWords=1>"
    )
    assert (await values(db, marked))[0] == 'The quick brown <"fox, MaxWords=1> jumps'
    short = SearchHeadline(
        "body", "fox", max_words=3, min_words=1, short_word=0, max_fragments=1, fragment_delimiter="/"
    )
    assert "<b>fox</b>" in (await values(db, short))[0]


async def test_trigrams(db: Database) -> None:
    assert (await values(db, TrigramSimilarity("name", "Tea")))[2] == 1.0
    assert (await values(db, TrigramDistance("name", "Tea")))[2] == 0.0
    assert (await values(db, TrigramWordSimilarity("quick", "body")))[0] == 1.0
    assert (await values(db, TrigramWordDistance("quick", "body")))[0] == 0.0
    assert (await values(db, TrigramStrictWordSimilarity("quick", "body")))[0] == 1.0
    assert (await values(db, TrigramStrictWordDistance("quick", "body")))[0] == 0.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Thing.objects.filter(tags__contains="a"), "a dict of str to str or None"),
        (lambda: Thing.objects.filter(tags__has_key=None), "cannot be compared with None"),
        (lambda: Thing.objects.filter(name__trigram_similar=5), "takes a str, not 5"),
        (lambda: Thing.objects.filter(body__search=5), "a str or a SearchQuery"),
        (lambda: SearchQuery("x", search_type="phrasee"), "did you mean 'phrase'"),
        (lambda: SearchVector("name", weight="E"), "a weight is"),
        (SearchVector, "one expression or more"),
        (lambda: SearchRank("body", "x", weights=[1]), "weights are four numbers"),
        (lambda: SearchQuery("x") & Q(pk=1), "put together with another one"),
    ],
)
def test_mistakes_are_found_when_the_query_is_built(build: Any, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        build()


async def test_hostile_names_of_configurations_are_values(db: Database) -> None:
    hostile = "english'); DROP TABLE extension_thing; --"
    things: Any = Thing.objects.using(db).filter(vector=SearchQuery("fox", config=hostile))
    assert hostile not in things.to_sql()[0]
    with pytest.raises(InvalidName):
        await things
