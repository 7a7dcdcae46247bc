"""Querysets write: create, get_or_create, update_or_create, update, delete, raw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated, Any

import pytest
from hyperdjango.database import Database, UniqueViolation
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.models import (
    F,
    Field,
    FieldError,
    ForeignKey,
    Jsonb,
    MaxLen,
    Model,
    MultipleObjectsReturned,
    NotLoaded,
    ValidationError,
)
from hyperdjango.models.constraints import UniqueConstraint
from hyperdjango.models.schema import create_schema


class Kind(StrEnum):
    HARD = "hard"
    SOFT = "soft"


class Owner(Model):
    name: Annotated[str, MaxLen(20)]

    class Meta:
        table = "w_owner"


class Thing(Model):
    code: str = Field(unique=True)
    owner: ForeignKey[Owner | None] = Field(default=None)
    name: Annotated[str, MaxLen(20)] = ""
    count: int = 0
    kind: Kind = Kind.SOFT
    tags: list[str] = Field(default_factory=list)
    facts: Jsonb[Any] | None = None
    doubled: int = Field(generated="count * 2", init=False)

    class Meta:
        table = "w_thing"
        constraints = [UniqueConstraint("owner", "name")]  # noqa: RUF012 - as users write it


class Counter(Model):
    day: str
    hour: int
    hits: int = 0
    version: int = Field(version=True, init=False)

    class Meta:
        table = "w_counter"
        constraints = [UniqueConstraint("day", "hour")]  # noqa: RUF012


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 1, 4) as database:
        await create_schema([Owner, Thing, Counter], database)
        yield database


async def test_get_or_create_makes_one_row_whoever_asks(db: Database) -> None:
    things = Thing.objects.using(db)
    results = await asyncio.gather(
        *(things.get_or_create(code="a", defaults={"count": number}) for number in range(20))
    )
    assert sum(created for _, created in results) == 1
    assert len({thing.id for thing, _ in results}) == 1
    assert len({thing.count for thing, _ in results}) == 1
    assert await db.query_val("SELECT count(*) FROM w_thing") == 1
    with assert_num_queries(db, 2):
        thing, created = await things.get_or_create(code="a")
    assert not created
    with assert_num_queries(db, 1):
        thing, created = await things.get_or_create(code="b", defaults={"name": lambda: "made"})
    assert created
    assert (thing.name, thing.doubled, thing._changed) == ("made", 0, None)


async def test_get_or_create_by_what_is_not_unique_looks_first(db: Database) -> None:
    things = Thing.objects.using(db)
    with assert_num_queries(db, 2):
        thing, created = await things.get_or_create(name="x", defaults={"code": "a"})
    assert created
    with assert_num_queries(db, 1):
        again, created = await things.get_or_create(name="x", defaults={"code": "b"})
    assert (again, created) == (thing, False)
    again, created = await things.get_or_create(name__gte="x", defaults={"code": "b"})
    assert (again, created) == (thing, False)
    await things.create(code="c", name="x")
    with pytest.raises(MultipleObjectsReturned):
        await things.get_or_create(name="x", defaults={"code": "d"})
    with pytest.raises(FieldError, match="no field 'nam' for defaults; did you mean 'name'"):
        await things.get_or_create(code="d", defaults={"nam": "x"})


async def test_get_or_create_says_which_other_row_is_in_the_way(db: Database) -> None:
    things = Thing.objects.using(db)
    owner = await Owner.objects.using(db).create(name="o")
    await things.create(code="a", owner=owner, name="x")
    with pytest.raises(UniqueViolation):
        await things.get_or_create(code="b", defaults={"owner": owner, "name": "x"})
    thing, created = await things.get_or_create(owner=owner, name="x", defaults={"code": "z"})
    assert (thing.code, created) == ("a", False)


async def test_update_or_create_is_one_statement_by_a_unique_constraint(db: Database) -> None:
    counters = Counter.objects.using(db)
    with assert_num_queries(db, 1):
        counter, created = await counters.update_or_create(day="mon", hour=1, defaults={"hits": 5})
    assert (counter.hits, counter.version, created) == (5, 1, True)
    with assert_num_queries(db, 1):
        counter, created = await counters.update_or_create(
            day="mon", hour=1, defaults={"hits": 7}, create_defaults={"hits": 0}
        )
    assert (counter.hits, counter.version, created, counter._changed) == (7, 2, False, None)
    counter, created = await counters.update_or_create(day="mon", hour=1)
    assert (counter.hits, counter.version, created) == (7, 2, False)
    counter.hits = 8
    await counter.save()
    results = await asyncio.gather(
        *(counters.update_or_create(day="tue", hour=1, defaults={"hits": number}) for number in range(20))
    )
    assert sum(created for _, created in results) == 1


async def test_update_or_create_by_what_is_not_unique_locks_the_row(db: Database) -> None:
    things = Thing.objects.using(db)
    thing, created = await things.update_or_create(name="x", defaults={"code": "a", "count": 1})
    assert created
    again, created = await things.update_or_create(name="x", defaults={"count": 2})
    assert (again.id, again.count, again.doubled, created) == (thing.id, 2, 4, False)
    with pytest.raises(ValidationError, match="must be one of"):
        await things.update_or_create(code="a", defaults={"kind": "liquid"})


async def test_update_sets_values_expressions_and_relations(db: Database) -> None:
    things = Thing.objects.using(db)
    owner = await Owner.objects.using(db).create(name="o")
    await things.create(code="a", count=1)
    await things.create(code="b", count=5)
    assert await things.filter(count__gt=2).update(count=F("count") * 2 + 1, owner=owner, kind="hard") == 1
    thing = await things.get(code="b")
    assert (thing.count, thing.kind, thing.owner_id) == (11, Kind.HARD, owner.id)  # type: ignore[attr-defined]
    assert await things.update(tags=["x", "y"], facts="text", owner=None) == 2
    assert await things.update(facts={"a": [1]}, name="n") == 2
    assert await db.query_val("SELECT facts FROM w_thing LIMIT 1") == {"a": [1]}
    assert await things.update(owner_id=owner.id, name=F("code")) == 2
    assert await things.update(facts=None) == 2
    assert await db.query_val("SELECT count(*) FROM w_thing WHERE facts IS NULL AND tags = '{x,y}'") == 2
    assert await things.order_by("code")[:1].update(count=0) == 1
    assert await things.filter(owner__name="o").update(count=3) == 2
    assert await things.none().update(count=4) == 0
    counter = await Counter.objects.using(db).create(day="mon", hour=1)
    assert await Counter.objects.using(db).update(hits=F("hits") + 1) == 1
    await counter.refresh()
    assert (counter.hits, counter.version) == (1, 2)


async def test_update_has_one_text_for_all_values_and_they_are_bound(db: Database) -> None:
    things = Thing.objects.using(db)
    with capture_queries(db) as queries:
        for value in ("MARKER", "MARKER'; --"):
            await things.filter(code=value).update(name=value, tags=[value], facts={value: value})
            await things.filter(code=value).delete()
            await things.get_or_create(code=value, defaults={"name": value})
            await things.update_or_create(code=value, defaults={"name": value})
    texts = [query.sql for query in queries]
    assert texts[:4] == texts[4:]
    assert not any("MARKER" in text for text in texts)


async def test_update_refuses_what_it_cannot_set(db: Database) -> None:
    things = Thing.objects.using(db)
    for values, text in (
        ({"nam": "x"}, "Thing has no field 'nam'; did you mean 'name'"),
        ({"doubled": 1}, "Thing.doubled is generated by the database"),
        ({"owner": Thing.ref(1)}, "owner is a Owner, not a Thing"),
        ({"owner": Owner(name="x")}, "this Owner has no key yet"),
        ({"owner": None, "owner_id": 1}, "sets 'owner_id' twice"),
        ({}, "sets nothing"),
    ):
        with pytest.raises(FieldError, match=text):
            await things.update(**values)
    with pytest.raises(ValidationError, match="name: must not be None"):
        await things.update(name=None)
    with pytest.raises(ValidationError, match="at most 20 characters"):
        await things.update(name="x" * 21)
    with pytest.raises(FieldError, match="no rows to change"):
        await things.values("name").update(name="x")
    with pytest.raises(FieldError):
        await things.update(name=F("owner__name"))


async def test_returning_gives_what_was_changed(db: Database) -> None:
    things = Thing.objects.using(db)
    for code in "abc":
        await things.create(code=code, count=1)
    rows = await things.filter(code="a").returning("code", "kind", "doubled").update(count=4)
    assert rows == [{"code": "a", "kind": Kind.SOFT, "doubled": 8}]
    assert isinstance(rows[0]["kind"], Kind)
    gone = await things.exclude(code="a").order_by("code").returning().delete()
    assert sorted(thing.code for thing in gone) == ["b", "c"]
    assert gone[0].count == 1
    assert await things.delete() == 1
    assert await things.delete() == 0


async def test_raw_fills_instances_by_column_names(db: Database) -> None:
    thing = await Thing.objects.using(db).create(code="a", count=2, kind=Kind.HARD)
    sql = "SELECT id, kind, count * 10 AS tenfold FROM w_thing WHERE code = $1"
    (row,) = await Thing.objects.using(db).raw(sql, "a")
    assert row == thing
    assert row.kind is Kind.HARD
    assert row.tenfold == 20  # type: ignore[attr-defined]
    with pytest.raises(NotLoaded):
        _ = row.count
    row.name = "x"
    await row.save()
    assert await db.query_val("SELECT name FROM w_thing") == "x"
    assert await Thing.objects.using(db).raw("SELECT * FROM w_thing WHERE false", read_only=True) == []
    with pytest.raises(FieldError, match="gives no 'id', by which an instance knows its row"):
        await Thing.objects.using(db).raw("SELECT code FROM w_thing")
    with pytest.raises(FieldError, match="gives 'id' twice"):
        await Thing.objects.using(db).raw("SELECT id, id FROM w_thing")


async def test_a_row_that_is_there_is_found_without_what_a_new_one_would_need(db: Database) -> None:
    thing = await Thing.objects.using(db).create(code="a", name="x")
    again, created = await Thing.objects.using(db).get_or_create(id=thing.id)
    assert (again, created) == (thing, False)
    again, created = await Thing.objects.using(db).update_or_create(id=thing.id, defaults={"name": "y"})
    assert (again.name, created) == ("y", False)
    with pytest.raises(ValidationError, match="code: has no value"):
        await Thing.objects.using(db).get_or_create(id=thing.id + 1)
    with pytest.raises(ValidationError, match="code: has no value"):
        await Thing.objects.using(db).update_or_create(id=thing.id + 1)
