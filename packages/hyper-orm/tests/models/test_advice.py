"""What a model's statement needs and the database has not got: the backend's error has a hint that names the model."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hyperdjango.database import Database, SyncDatabase
from hyperdjango.database.errors import DatabaseError, UndefinedColumn, UndefinedFunction, UndefinedTable
from hyperdjango.models import (
    AnyValue,
    Count,
    Field,
    ForeignKey,
    ManyToMany,
    Model,
    create_schema,
    schema_sql,
)
from hyperdjango.models._advice import advice


class AdviceHouse(Model):
    name: str


class AdvicePerson(Model):
    name: str
    house: ForeignKey[AdviceHouse]
    friends = ManyToMany["AdvicePerson"]()
    full: str = Field(default="", column='full "name"')


class AdviceElsewhere(Model):
    name: str

    class Meta:
        table = "advice_house"
        schema = "advice_elsewhere"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 1, 2) as made:
        yield made


USES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "rows": lambda people: people.all(),
    "count": lambda people: people.count(),
    "exists": lambda people: people.exists(),
    "aggregate": lambda people: people.aggregate(n=Count("id")),
    "stream": lambda people: anext(aiter(people.iterator())),
    "json": lambda people: anext(people.stream_json()),
    "create": lambda people: people.create(name="x", house_id=1),
    "many": lambda people: people.bulk_create([AdvicePerson(name="x", house_id=1)]),  # type: ignore[call-arg]
    "update": lambda people: people.update(name="x"),
    "delete": lambda people: people.delete(),
    "explain": lambda people: people.explain(),
    "a key": lambda people: people.get(pk=1),
    "get or create": lambda people: people.get_or_create(name="x", defaults={"house_id": 1}),
}


async def test_a_table_that_is_not_there_has_a_hint(db: Database) -> None:
    hint = "It is the table of the model AdvicePerson: `await create_schema([AdvicePerson, …])` makes it"
    hints: dict[str, str | None] = {}
    for name, use in USES.items():
        with pytest.raises(UndefinedTable) as caught:
            await use(AdvicePerson.objects.using(db))
        hints[name] = caught.value.hint
    assert [name for name, found in hints.items() if hint not in (found or "")] == []


async def test_the_table_that_is_not_there_is_named_whichever_it_is(db: Database) -> None:
    await create_schema([AdviceHouse], db)
    people: Any = AdvicePerson.objects.using(db)
    with pytest.raises(UndefinedTable, match="the model AdvicePerson"):
        await AdviceHouse.objects.using(db).filter(pk__in=people.values("house"))
    for statement in schema_sql([AdvicePerson]):
        if "advice_person_friends" not in statement:
            await db.execute(statement)
    # The table between is made with the model that has the relation.
    with pytest.raises(UndefinedTable, match=r'"advice_person_friends".*\n.*the model AdvicePerson:'):
        await people.filter(friends__name="x")
    with pytest.raises(UndefinedTable, match="the model AdviceElsewhere"):
        await AdviceElsewhere.objects.using(db)


async def test_a_column_that_was_declared_since_has_a_hint(db: Database) -> None:
    await db.execute("CREATE TABLE advice_person (id int8 PRIMARY KEY, name text)")
    people: Any = AdvicePerson.objects.using(db)
    with pytest.raises(
        UndefinedColumn, match=r"the column of AdvicePerson\.house_id: create_schema\(\) makes new"
    ):
        await people.all()
    with pytest.raises(UndefinedColumn, match=r"the column of AdvicePerson\.full:"):
        await people.only("full")
    with pytest.raises(UndefinedColumn, match=r"the column of AdvicePerson\.house_id:"):
        await people.create(name="x", house_id=1)


async def test_a_function_of_an_extension_or_of_a_newer_server_has_a_hint(db: Database) -> None:
    people: Any = AdvicePerson.objects.using(db)
    await create_schema([AdviceHouse, AdvicePerson], db)
    with pytest.raises(UndefinedFunction, match='CREATE EXTENSION "unaccent"') as caught:
        await people.filter(name__unaccent="x")
    assert caught.value.hint is not None
    assert "explicit type casts" in caught.value.hint  # the backend's own, behind ours
    with pytest.raises(UndefinedFunction, match='CREATE EXTENSION "pg_trgm"'):
        await people.filter(name__trigram_similar="x")
    version = int(await db.query_val("SELECT current_setting('server_version_num')"))
    if version >= 160000:
        assert await people.aggregate(one=AnyValue("name")) == {"one": None}
    else:
        with pytest.raises(UndefinedFunction, match=r"AnyValue\(\) needs PostgreSQL 16"):
            await people.aggregate(one=AnyValue("name"))


def test_the_blocking_face_has_it_too(database_url: str) -> None:
    with SyncDatabase(database_url, 1, 1) as db:
        with pytest.raises(UndefinedTable, match="the model AdviceHouse"):
            db.query('SELECT * FROM "advice_house"')
        with pytest.raises(UndefinedTable) as caught:
            db.query("SELECT * FROM nobodys")
        assert caught.value.hint is None


@pytest.mark.parametrize(
    ("sqlstate", "query", "position"),
    [
        ("42P01", 'SELECT * FROM "advice_house"', None),
        ("42P01", None, 15),
        ("42P01", 'SELECT * FROM "advice_house"', 99),
        ("42P01", 'SELECT * FROM "advice_house"', 0),
        ("42P01", 'SELECT * FROM "advice_house', 15),
        ("42P01", 'SELECT * FROM "advice""house"', 15),
        ("42703", 'SELECT t0."" FROM "advice_house"', 8),
        ("42703", 'SELECT t0."name" FROM "nobodys"', 8),
        ("42883", "SELECT strange(1)", 8),
        ("42601", 'SELECT * FROM "advice_house"', 15),
    ],
)
def test_what_tells_nothing_has_no_hint(sqlstate: str, query: str | None, position: int | None) -> None:
    assert advice(DatabaseError("x", sqlstate=sqlstate, query=query, position=position)) is None
