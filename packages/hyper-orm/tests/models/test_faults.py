"""Values that do not fit their columns: whatever writes them, the error is a ValidationError that names the field."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from hyperdjango.database import Database, DataError
from hyperdjango.database.testing import assert_num_queries
from hyperdjango.models import Field, ForeignKey, Model, SmallInt, ValidationError, create_schema
from hyperdjango.models._faults import fault_of


class FaultShop(Model):
    name: str = Field(unique=True)


class FaultItem(Model):
    name: str = Field(unique=True)
    shop: ForeignKey[FaultShop]
    shop_id: int = Field(init=False)
    count: Annotated[int, SmallInt] = 1
    words: list[str] = Field(default_factory=list)
    weight: float = 1.0


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 1, 2) as made:
        await create_schema([FaultShop, FaultItem], made)
        await FaultShop.objects.using(made).create(name="corner")
        await FaultItem.objects.using(made).create(name="pen", shop_id=1)
        yield made


# What is wrong, and what is said of it: by the driver before anything is sent, or of a text by the backend.
FAULTS: dict[str, tuple[str, Any, str]] = {
    "class": ("name", 3, "FaultItem: name: Python int does not fit text"),
    "range": ("count", 70_000, "FaultItem: count: .*out of range for int2"),
    "fraction": ("count", 1.5, "FaultItem: count: Python float does not fit int2"),
    "elements": ("words", [1], "FaultItem: words: .*expected str, not int"),
    "text": ("count", "many", "FaultItem: count: is a str that says no smallint$"),
    "text of a key": ("shop_id", "corner", "FaultItem: shop_id: is a str that says no bigint$"),
    "text of a float": ("weight", "heavy", "FaultItem: weight: is a str that says no double precision$"),
}


async def test_saving_names_the_field(db: Database) -> None:
    for field, value, said in FAULTS.values():
        await saved(db, field, value, said)


async def saved(db: Database, field: str, value: Any, said: str) -> None:
    items: Any = FaultItem.objects.using(db)
    new: Any = FaultItem(**{"name": "ink", "shop_id": 1, field: value})
    with pytest.raises(ValidationError, match=said) as caught:
        await new.save(using=db)
    assert list(caught.value.errors) == [field]
    assert isinstance(caught.value.__cause__, DataError)
    assert new._origin is None
    item = await items.get()
    setattr(item, field, value)
    with pytest.raises(ValidationError, match=said):
        await item.save()
    assert item._changed == {field}
    with pytest.raises(ValidationError, match=said):
        await items.create(**{"name": "ink", "shop_id": 1, field: value})
    assert await items.count() == 1


async def test_getting_or_creating_names_the_field(db: Database) -> None:
    for field, value, said in FAULTS.values():
        await got_or_created(db, field, value, said)


async def got_or_created(db: Database, field: str, value: Any, said: str) -> None:
    items: Any = FaultItem.objects.using(db)
    given = {"shop_id": 1, field: value}
    lookup = {} if field == "name" else {"name": "ink"}
    if lookup:
        with pytest.raises(ValidationError, match=said):
            await items.get_or_create(**lookup, defaults=given)
        with pytest.raises(ValidationError, match=said):
            await items.update_or_create(**lookup, defaults=given)
    with pytest.raises(ValidationError, match=said):
        await items.update_or_create(name="pen", defaults=given)
    assert await items.count() == 1


@pytest.mark.parametrize("count", [1, 300])
async def test_many_at_once_name_the_field(db: Database, count: int) -> None:
    for field, value, said in FAULTS.values():
        await many_at_once(db, field, value, said, count)


async def many_at_once(db: Database, field: str, value: Any, said: str, count: int) -> None:
    items: Any = FaultItem.objects.using(db)
    many: list[Any] = [FaultItem(name=f"n{number}", shop_id=1) for number in range(count)]  # type: ignore[call-arg]
    setattr(many[-1], field, value)
    with pytest.raises(
        ValidationError, match=said.replace("float does", ".*does").replace("int does", ".*does")
    ):
        await items.bulk_create(many)
    assert await items.count() == 1
    item = await items.get()
    setattr(item, field, value)
    with pytest.raises(ValidationError, match=f"^FaultItem: {field}: "):
        await items.bulk_update([item], [field])


async def test_updating_rows_names_the_field(db: Database) -> None:
    items: Any = FaultItem.objects.using(db)
    for field, value, said in FAULTS.values():
        with pytest.raises(ValidationError, match=said):
            await items.filter(count__lt=5, name__in=["pen", "ink"]).update(**{field: value})
    assert await items.filter(count=1).count() == 1


async def test_a_value_that_the_driver_finds_is_not_sent(db: Database) -> None:
    async with db.transaction():
        with assert_num_queries(db, 1), pytest.raises(ValidationError):
            await FaultItem.objects.using(db).create(name=3, shop_id=1)
        # The transaction goes on, for the backend has heard of nothing.
        assert await FaultItem.objects.using(db).count() == 1


async def test_an_error_that_is_not_about_a_value_stays_what_it_is(db: Database) -> None:
    await db.execute("ALTER TABLE fault_item ADD CHECK (10 / count > 0)")
    items: Any = FaultItem.objects.using(db)
    with pytest.raises(DataError, match="division by zero"):
        await items.create(name="x", shop_id=1, count=0)
    with pytest.raises(DataError, match="division by zero"):
        await items.update(count=0)
    with pytest.raises(DataError, match="division by zero"):
        await items.bulk_create([FaultItem(name="x", shop_id=1, count=0)])  # type: ignore[call-arg]


def test_a_parameter_that_is_no_columns_is_not_taken_for_one() -> None:
    columns = list(FaultItem._table.columns)
    for message in ("parameter $99: no", "parameter $0: no", "parameter $1", "other"):
        assert fault_of(DataError(message), FaultItem._table, columns, ["x"] * len(columns)) is None
    assert fault_of(DataError("x", sqlstate="22P02"), FaultItem._table, columns, []) is None
    # A text that can be read is not to blame for another one.
    values = [1, "pen", "1", "x", ["a"], "1.5"]
    fault = fault_of(DataError("x", sqlstate="22P02"), FaultItem._table, columns, values)
    assert fault is not None
    assert list(fault.errors) == ["count"]
