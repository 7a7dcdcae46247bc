"""Instances are inserted, updated, deleted and refreshed: `save`, `delete`, `refresh_from_db`."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hyperdjango.database import Database, UniqueViolation
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.models import (
    Digits,
    F,
    Field,
    FieldError,
    ForeignKey,
    Ge,
    Jsonb,
    MaxLen,
    Model,
    NotLoaded,
    StaleObject,
    Timestamp,
    ValidationError,
)
from hyperdjango.models.schema import create_schema


class Shop(Model):
    name: Annotated[str, MaxLen(20)]
    city: str | None = None

    class Meta:
        table = "s_shop"


class Item(Model):
    shop: ForeignKey[Shop]
    spare: ForeignKey[Shop | None] = Field(default=None, related_name="spares")
    name: Annotated[str, MaxLen(20)] = Field(unique=True)
    price: Annotated[Decimal, Digits(8, 2), Ge(0)] = Decimal(0)
    labels: list[str] = Field(default_factory=list)
    facts: Jsonb[Any] | None = None
    made: str = Field(db_default="'here'", init=False)
    doubled: Decimal = Field(generated="price * 2", init=False)

    class Meta:
        table = "s_item"


class Page(Model):
    book: str
    number: int
    text: str = ""
    version: int = Field(version=True, init=False)

    class Meta:
        table = "s_page"
        primary_key = ("book", "number")


MODELS: list[type[Model]] = [Shop, Item, Page]


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 1, 4) as database:
        await create_schema(MODELS, database)
        yield database


@pytest.fixture
async def item(db: Database) -> Item:
    shop = await Shop.objects.using(db).create(name="corner")
    return await Item.objects.using(db).create(shop=shop, name="pen", price=Decimal("1.50"), facts={"a": [1]})


async def test_a_new_instance_is_inserted_and_takes_back_what_the_database_has_made(db: Database) -> None:
    shop = Shop(name="corner")
    before = shop._origin
    with assert_num_queries(db, 1):
        await shop.save(using=db)
    assert before is None
    assert shop.id > 0
    assert shop._origin is not None
    assert shop._origin.database is db
    assert shop._changed is None
    item = Item(shop=shop, name="pen", price=Decimal("1.50"))
    await item.save(using=db)
    assert (item.made, item.doubled) == ("here", Decimal("3.00"))
    assert await db.query_one("SELECT name, city FROM s_shop") == {"name": "corner", "city": None}


async def test_only_changed_columns_are_written_and_nothing_where_there_are_none(
    db: Database, item: Item
) -> None:
    with assert_num_queries(db, 0):
        await item.save()
    item.price = Decimal("2.00")
    with capture_queries(db) as queries:
        await item.save()
    assert [query.sql for query in queries] == [
        'UPDATE "s_item" SET "price" = $1 WHERE "id" = $2 RETURNING "doubled"'
    ]
    assert item.doubled == Decimal("4.00")
    assert item._changed is None


async def test_the_rest_of_a_row_of_only_is_left_as_it_is(db: Database, item: Item) -> None:
    part = await Item.objects.using(db).only("name").get(id=item.id)
    await db.execute("UPDATE s_item SET price = 9, labels = '{x}'")
    part.name = "pencil"
    await part.save()
    row = await db.query_one("SELECT name, price, labels FROM s_item")
    assert row == {"name": "pencil", "price": Decimal("9.00"), "labels": ["x"]}
    with pytest.raises(NotLoaded):
        _ = part.price


async def test_a_list_and_a_dict_that_are_changed_in_place_are_written(db: Database, item: Item) -> None:
    row = await Item.objects.using(db).get()
    assert row.facts == {"a": [1]}
    assert row.labels == []
    with assert_num_queries(db, 0):
        await row.save()
    row.labels.append("red")
    row.facts["a"].append(2)
    with capture_queries(db) as queries:
        await row.save()
    assert 'SET "labels" = $1, "facts" = $2' in queries[0].sql
    with assert_num_queries(db, 0):
        await row.save()
    await item.refresh_from_db()
    assert (item.labels, item.facts) == (["red"], {"a": [1, 2]})


async def test_a_list_that_was_handed_over_is_watched_after_the_insert(db: Database, item: Item) -> None:
    labels = ["a"]
    new = await Item.objects.using(db).create(shop_id=item.shop_id, name="ink", labels=labels)  # type: ignore[attr-defined]
    labels.append("b")
    await new.save()
    assert await db.query_val("SELECT labels FROM s_item WHERE name = 'ink'") == ["a", "b"]


async def test_a_change_in_place_survives_pickling_and_copying(db: Database, item: Item) -> None:
    for again in (pickle.loads(pickle.dumps(item)), copy.copy(item), copy.deepcopy(item)):
        assert not again._changed
    item.labels.append("red")
    again = pickle.loads(pickle.dumps(item))
    assert again._changed == {"labels"}
    await again.save(using=db)
    assert await db.query_val("SELECT labels FROM s_item") == ["red"]


async def test_a_json_column_keeps_strings_and_what_looks_like_json(db: Database, item: Item) -> None:
    for value in ("text", "null", '{"a": 1}', 5, [1, [2]], True, None):
        item.facts = value
        await item.save()
        await item.refresh()
        assert item.facts == value
    assert await db.query_val("SELECT facts IS NULL FROM s_item")


async def test_update_fields_writes_these_and_keeps_the_others_for_later(db: Database, item: Item) -> None:
    item.name, item.price = "pencil", Decimal(3)
    await item.save(update_fields=["name"])
    assert item._changed == {"price"}
    assert await db.query_one("SELECT name, price FROM s_item") == {
        "name": "pencil",
        "price": Decimal("1.50"),
    }
    with assert_num_queries(db, 0):
        await item.save(update_fields=[])


async def test_what_is_set_while_the_statement_runs_is_saved_the_next_time(db: Database, item: Item) -> None:
    item.name = "pencil"
    task = asyncio.create_task(item.save())
    await asyncio.sleep(0)
    item.price = Decimal(7)
    await task
    assert item._changed == {"price"}
    await item.save()
    assert await db.query_one("SELECT name, price FROM s_item") == {
        "name": "pencil",
        "price": Decimal("7.00"),
    }


async def test_a_save_that_fails_leaves_the_changes_to_be_saved(db: Database, item: Item) -> None:
    await Item.objects.using(db).create(shop_id=item.shop_id, name="ink")  # type: ignore[attr-defined]
    item.labels.append("x")
    item.name = "ink"
    with pytest.raises(UniqueViolation):
        await item.save()
    assert item._changed == {"name", "labels"}
    item.name = "nib"
    await item.save()
    assert await db.query_val("SELECT labels FROM s_item WHERE name = 'nib'") == ["x"]
    new = Item(shop_id=item.shop_id, name="nib")  # type: ignore[call-arg, attr-defined]
    with pytest.raises(UniqueViolation):
        await new.save(using=db)
    assert new._origin is None


async def test_all_that_is_wrong_is_named_and_nothing_is_sent(db: Database) -> None:
    item = Item(name="x" * 21, price=Decimal("-1.005"))  # type: ignore[call-arg]
    with assert_num_queries(db, 0), pytest.raises(ValidationError) as caught:
        await item.save(using=db)
    assert set(caught.value.errors) == {"shop_id", "name", "price"}
    assert caught.value.errors["shop_id"] == "has no value"
    item = Item(shop=Shop(name="unsaved"), name="pen")
    with pytest.raises(ValidationError, match="this Shop has no key yet; save it first"):
        await item.save(using=db)


async def test_a_related_instance_may_be_saved_after_it_was_set(db: Database) -> None:
    shop = Shop(name="corner")
    item = Item(shop=shop, name="pen")
    await shop.save(using=db)
    await item.save(using=db)
    assert item.shop_id == shop.id  # type: ignore[attr-defined]
    other = Shop(name="other")
    item.spare = other
    await other.save(using=db)
    await item.save()
    assert await db.query_val("SELECT spare_id FROM s_item") == other.id
    item.spare = None
    await item.save()
    assert await db.query_val("SELECT spare_id FROM s_item") is None


async def test_a_key_of_ones_own_is_inserted_and_one_that_is_there_is_an_error(db: Database) -> None:
    await Shop(id=7, name="seven").save(using=db)  # type: ignore[call-arg]
    with pytest.raises(UniqueViolation):
        await Shop(id=7, name="again").save(using=db)  # type: ignore[call-arg]
    again = Shop(id=7, name="again")  # type: ignore[call-arg]
    await again.save(force_update=True, using=db)
    assert await db.query("SELECT id, name FROM s_shop") == [{"id": 7, "name": "again"}]
    assert again._origin is not None
    ghost = Shop.ref(8)
    ghost.name = "nobody"
    with pytest.raises(StaleObject, match="Shop 8 is gone"):
        await ghost.save(using=db)


async def test_a_reference_writes_what_was_set_without_a_select(db: Database, item: Item) -> None:
    reference = Item.ref(item.id)
    reference.name = "nib"
    with assert_num_queries(db, 1):
        await reference.save(using=db)
    assert await db.query_val("SELECT name FROM s_item") == "nib"


async def test_the_key_of_a_loaded_instance_is_not_written(db: Database, item: Item) -> None:
    item.id = 99
    with pytest.raises(FieldError, match=r"Item\.id was changed, and by it the row is found"):
        await item.save()
    item.id, item.name = None, "copy"
    await item.save(force_insert=True, using=db)
    assert await db.query_val("SELECT count(*) FROM s_item") == 2
    assert item.id is not None


async def test_versions_count_and_the_second_writer_is_told(db: Database) -> None:
    page = await Page.objects.using(db).create(book="b", number=1)
    mine, theirs = await Page.objects.using(db).get(), await Page.objects.using(db).get()
    assert page.version == 1
    theirs.text = "theirs"
    await theirs.save()
    assert theirs.version == 2
    mine.text = "mine"
    with pytest.raises(
        StaleObject, match=r"Page \('b', 1\) was written or deleted .* version is not 1 any more"
    ):
        await mine.save()
    with pytest.raises(StaleObject):
        await mine.delete()
    await mine.refresh_from_db()
    assert (mine.text, mine.version, mine._changed) == ("theirs", 2, None)
    mine.text = "mine"
    await mine.save()
    assert await db.query_one("SELECT text, version FROM s_page") == {"text": "mine", "version": 3}
    assert await mine.delete() == 1
    partial = await Page.objects.using(db).create(book="b", number=2)
    partial = await Page.objects.using(db).only("text").get()
    partial.text = "x"
    with pytest.raises(NotLoaded, match=r"Page\.version is not loaded"):
        await partial.save()


async def test_a_deleted_instance_is_new_again(db: Database, item: Item) -> None:
    number = item.id
    assert await item.delete() == 1
    assert item._origin is None
    assert await item.delete(using=db) == 0
    await item.save(using=db)
    assert (await Item.objects.using(db).get()).id == number
    with pytest.raises(FieldError, match="has no key yet"):
        await Shop(name="x").delete(using=db)


async def test_refresh_fetches_columns_and_forgets_what_was_held(db: Database, item: Item) -> None:
    other = await Shop.objects.using(db).create(name="other")
    await db.execute("UPDATE s_item SET shop_id = $1, name = 'nib', price = 8", other.id)
    item.name = "unsaved"
    item.labels.append("unsaved")
    await item.refresh_from_db(["price"])
    assert (item.name, item.price, item._changed) == ("unsaved", Decimal("8.00"), {"name"})
    await item.refresh_from_db()
    assert (item.name, item.labels, item._changed) == ("nib", [], None)
    assert item.shop_id == other.id  # type: ignore[attr-defined]
    with pytest.raises(NotLoaded):
        _ = item.shop
    with assert_num_queries(db, 0):
        await item.save()
    await db.execute("DELETE FROM s_item")
    with pytest.raises(Item.DoesNotExist, match="there is no Item"):
        await item.refresh()


async def test_names_that_are_not_known_are_refused(db: Database, item: Item) -> None:
    with pytest.raises(FieldError, match="Item has no field 'nam'; did you mean 'name'"):
        await item.save(update_fields=["nam"])
    with pytest.raises(FieldError, match=r"Item\.id is part of the primary key"):
        await item.save(update_fields=["id"])
    with pytest.raises(FieldError, match="generated"):
        await item.save(update_fields=["doubled"])
    with pytest.raises(FieldError, match="not one str"):
        await item.save(update_fields="name")
    with pytest.raises(FieldError, match="force_insert excludes"):
        await item.save(force_insert=True, force_update=True)
    with pytest.raises(FieldError, match="did you mean 'price'"):
        await item.refresh_from_db(["prize"])
    item.price = F("price") + 1  # type: ignore[assignment]
    with pytest.raises(ValidationError, match="is an expression"):
        await item.save()


async def test_many_save_at_once_inside_one_transaction(db: Database) -> None:
    async with db.transaction():
        await asyncio.gather(*(Shop(name=f"shop {number}").save(using=db) for number in range(20)))
        shops = await Shop.objects.using(db).all()
        for shop in shops:
            shop.city = shop.name
        await asyncio.gather(*(shop.save() for shop in shops))
    assert await db.query_val("SELECT count(*) FROM s_shop WHERE city = name") == 20


async def test_one_text_serves_all_values(db: Database) -> None:
    with capture_queries(db) as queries:
        for name in ("first", "MARKER'); DROP TABLE shop; --"[:20]):
            shop = await Shop.objects.using(db).create(name=name, city=name)
            shop.city = "MARKER"
            await shop.save()
            await shop.refresh()
            await shop.delete()
    texts = [query.sql for query in queries]
    assert texts[:4] == texts[4:]
    assert not any("MARKER" in text for text in texts)


class SavedMoment(Model):
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    there: Annotated[datetime, Timestamp] = datetime(2026, 1, 1)


async def test_a_point_in_time_has_a_zone_where_its_column_has_one(database_url: str) -> None:
    naive, aware = datetime(2026, 5, 1), datetime(2026, 5, 1, tzinfo=UTC)
    async with Database(database_url, 1, 1) as database:
        await create_schema([SavedMoment], database)
        objects = SavedMoment.objects.using(database)
        with pytest.raises(ValidationError, match="at: must have a time zone, as"):
            await objects.create(at=naive)
        with pytest.raises(ValidationError, match="there: must have no time zone"):
            await objects.create(there=aware)
        with pytest.raises(ValidationError, match=r"\[1\]\.at: must have a time zone"):
            await objects.bulk_create([SavedMoment(at=aware), SavedMoment(at=naive)])
        made = await objects.create(at=aware, there=naive)
        assert (made.at, made.there) == (aware, naive)
        assert await objects.count() == 1
