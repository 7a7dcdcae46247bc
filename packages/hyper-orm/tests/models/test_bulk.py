"""bulk_create and bulk_update: many rows, columns of every type, conflicts, and all or nothing."""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Any

import pytest
from hyperdjango.database import CheckViolation, Database, ForeignKeyViolation, UniqueViolation
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.database.types import Multirange, Point, Range
from hyperdjango.models import (
    Char,
    Digits,
    Domain,
    F,
    Field,
    FieldError,
    ForeignKey,
    Ge,
    Json,
    Jsonb,
    MaxLen,
    Model,
    MultiRange,
    SmallInt,
    StaleObject,
    Timestamp,
    ValidationError,
    Varbit,
)
from hyperdjango.models._bulk_copy import ROWS_MIN
from hyperdjango.models.schema import create_schema


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Maker(Model):
    name: str

    class Meta:
        table = "b_maker"


class Part(Model):
    maker: ForeignKey[Maker | None] = Field(default=None)
    code: Annotated[str, MaxLen(10)] = Field(unique=True)
    price: Annotated[Decimal, Digits(8, 2), Ge(0)] = Decimal(0)
    facts: Jsonb[Any] | None = None
    made: str = Field(db_default="'here'", init=False)
    doubled: Decimal = Field(generated="price * 2", init=False)

    class Meta:
        table = "b_part"


class Listed(Model):
    code: str = Field(unique=True)
    tags: list[str] = Field(default_factory=list)
    grid: list[list[int]] | None = None
    version: int = Field(version=True, init=False)

    class Meta:
        table = "b_listed"


class Place(Model):
    x: int
    y: int
    note: str = ""
    version: int = Field(version=True, init=False)

    class Meta:
        table = "b_place"
        primary_key = ("x", "y")


class Every(Model):
    small: Annotated[int, SmallInt] | None = None
    big: int | None = None
    real: float | None = None
    money: Annotated[Decimal, Digits(10, 3)] | None = None
    yes: bool | None = None
    text: str | None = None
    short: Annotated[str, MaxLen(5)] | None = None
    padded: Annotated[str, Char(5)] | None = None
    raw: bytes | None = None
    day: dt.date | None = None
    hour: dt.time | None = None
    moment: dt.datetime | None = None
    local: Annotated[dt.datetime, Timestamp] | None = None
    span: dt.timedelta | None = None
    uid: uuid.UUID | None = None
    colour: Colour | None = None
    level: Level | None = None
    facts: Jsonb[Any] | None = None
    document: Json[Any] | None = None
    host: ipaddress.IPv4Address | None = None
    net: ipaddress.IPv4Network | None = None
    ints: Range[int] | None = None
    many: MultiRange[int] | None = None
    point: Point | None = None
    bits: Annotated[str, Varbit(8)] | None = None
    numbers: list[int] | None = None
    colours: list[Colour] | None = None
    days: list[dt.date] | None = None
    grid: list[list[str]] | None = None
    even: Annotated[int, Domain("b_even", "VALUE % 2 = 0")] | None = None

    class Meta:
        table = "b_every"


VALUES: dict[str, list[Any]] = {
    "small": [1, -32768],
    "big": [2**63 - 1, -(2**63)],
    "real": [1.5, float("inf")],
    "money": [Decimal("1234567.891"), Decimal("-0.001")],
    "yes": [True, False],
    "text": ["", 'a"b\\{},NULL\u00e9\U0001f600'],
    "short": ["NULL", "five5"],
    "padded": ["abcde", "edcba"],
    "raw": [b"", b"\x00\xff"],
    "day": [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "hour": [dt.time(0), dt.time(23, 59, 59, 999999)],
    "moment": [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(1900, 5, 5, 1, 2, 3, 4, tzinfo=dt.UTC)],
    "local": [dt.datetime(2020, 1, 1), dt.datetime(1900, 5, 5, 1, 2, 3, 4)],
    "span": [dt.timedelta(days=1), dt.timedelta(microseconds=-1)],
    "uid": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)],
    "colour": [Colour.RED, Colour.BLUE],
    "level": [Level.LOW, Level.HIGH],
    "facts": [{"a": [1, None, {"b": "c"}]}, [[1], [2, 3]], "text", "null", 5, True, []],
    "document": [{"a": 1}, [1, [2]], "text", 1.5],
    "host": [ipaddress.IPv4Address("10.0.0.1"), ipaddress.IPv4Address("255.255.255.255")],
    "net": [ipaddress.IPv4Network("10.0.0.0/8"), ipaddress.IPv4Network("0.0.0.0/0")],
    "ints": [Range(1, 5), Range(empty=True)],
    "many": [Multirange([Range(1, 3), Range(5, 7)]), Multirange([])],
    "point": [Point(1.0, 2.0), Point(-1.5, 0.0)],
    "bits": ["1", "10101010"],
    "numbers": [[], [1, 2, 3]],
    "colours": [[Colour.RED, Colour.BLUE], []],
    "days": [[dt.date(2020, 1, 1)], []],
    "grid": [[["a", "b"], ["c", 'd"']], [["NULL"]]],
    "even": [2, -4],
}


def numbered(number: int) -> dict[str, Any]:
    return {"id": number, "name": "given"}


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 1, 4) as database:
        await create_schema([Maker, Part, Listed, Place, Every], database)
        yield database


async def test_ids_and_what_the_database_makes_come_back_in_order_by_one_statement(db: Database) -> None:
    parts = [Part(code=f"c{number}", price=Decimal(number)) for number in range(500)]
    with assert_num_queries(db, 1):
        created = await Part.objects.using(db).bulk_create(parts)
    assert created == parts
    assert created.inserted == [True] * 500
    rows = await db.query("SELECT id, code FROM b_part ORDER BY id", into=tuple)
    assert rows == [(part.id, part.code) for part in parts]
    assert all(part.doubled == 2 * part.price and part.made == "here" for part in parts)
    assert all(part._origin is parts[0]._origin and part._changed is None for part in parts)
    parts[3].price = Decimal(1)
    await parts[3].save()
    assert await Part.objects.using(db).bulk_create([]) == []


async def test_what_some_have_and_others_have_not_comes_from_the_database(db: Database) -> None:
    parts = [Part(code=f"c{number}") for number in range(6)]
    parts[1].id = 100
    parts[2].made = "there"
    parts[4].id, parts[4].made = 101, "there"
    parts[5].id = None
    await Part.objects.using(db).bulk_create(parts)
    rows = await db.query("SELECT id, code, made FROM b_part ORDER BY code", into=tuple)
    assert rows == [(part.id, part.code, part.made) for part in parts]
    assert [part.id in {100, 101} for part in parts] == [False, True, False, False, True, False]
    assert [part.made for part in parts] == ["here", "here", "there", "here", "there", "here"]


@pytest.mark.parametrize("name", VALUES)
async def test_a_column_of_every_type_goes_through_every_way_of_writing(db: Database, name: str) -> None:
    values = [*VALUES[name], None]
    rows = Every.objects.using(db)
    made = await rows.bulk_create([Every(**{name: value}) for value in values])
    back = await rows.order_by("id")
    assert [getattr(row, name) for row in back] == values
    assert [type(getattr(row, name)) for row in back] == list(map(type, values))
    assert [row.id for row in back] == [row.id for row in made]
    turned = values[::-1]
    for row, value in zip(back, turned, strict=True):
        setattr(row, name, value)
    assert await rows.bulk_update(back, [name]) == len(values)
    assert [getattr(row, name) for row in await rows.order_by("id")] == turned
    for row, value in zip(back, values, strict=True):
        setattr(row, name, value)
        await row.save()
        await row.refresh()
        assert getattr(row, name) == value
        assert await rows.filter(id=row.id).update(**{name: turned[0]}) == 1
        again = await rows.create(**{name: value})
        await again.refresh_from_db()
        assert getattr(again, name) == value
    assert {getattr(row, name) is None for row in await rows.filter(id__in=[r.id for r in back])} == {True}
    skipped = await rows.bulk_create([Every(**{name: value}) for value in values], ignore_conflicts=True)
    assert skipped.inserted == [True] * len(values)
    for row, value in zip(skipped, values, strict=True):
        await row.refresh()
        assert getattr(row, name) == value


async def test_many_rows_go_by_copy_and_no_other_way_of_writing_differs(db: Database) -> None:
    count = ROWS_MIN + 5
    makers = Maker.objects.using(db)
    await makers.create(name="before")
    with capture_queries(db) as queries:
        made = await makers.bulk_create([Maker(name=f"m{number}") for number in range(count)])
    assert [query.call for query in queries] == ["query_val", "copy_records"]
    assert made.inserted == [True] * count
    rows = await db.query("SELECT id, name FROM b_maker ORDER BY id", into=tuple)
    assert rows[1:] == [(maker.id, maker.name) for maker in made]
    assert (await makers.create(name="after")).id > made[-1].id
    await makers.bulk_create([Maker(**numbered(number)) for number in range(10_000, 10_000 + count)])
    with pytest.raises(UniqueViolation):
        await makers.bulk_create([Maker(**numbered(number)) for number in range(10_100, 9_900, -1)])
    assert await makers.filter(id__gte=9_000).count() == count
    async with db.transaction():
        await makers.create(name="inside")
        await makers.bulk_create([Maker(name="inside") for _ in range(count)])
    assert await makers.filter(name="inside").count() == count + 1


@pytest.mark.parametrize("name", VALUES)
async def test_a_column_of_every_type_goes_by_copy(db: Database, name: str) -> None:
    values = [*VALUES[name], None] * (ROWS_MIN // 2)
    rows = Every.objects.using(db)
    await rows.bulk_create([Every(**{name: value}) for value in values])
    assert [getattr(row, name) for row in await rows.order_by("id")] == values


async def test_a_table_that_copy_could_treat_otherwise_is_inserted_into(db: Database) -> None:
    await db.execute(
        "CREATE FUNCTION b_upper() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.name := upper(NEW.name); RETURN NEW; END$$"
    )
    await db.execute(
        "CREATE TRIGGER b_upper BEFORE INSERT ON b_maker FOR EACH ROW EXECUTE FUNCTION b_upper()"
    )
    makers = Maker.objects.using(db)
    made = await makers.bulk_create([Maker(name="m") for _ in range(ROWS_MIN)])
    assert await makers.filter(name="M").count() == ROWS_MIN
    assert len({maker.id for maker in made}) == ROWS_MIN


async def test_a_value_that_only_a_parameter_can_be_is_written_all_the_same(db: Database) -> None:
    rows = Every.objects.using(db)
    days: Any = ["2020-01-02"] * ROWS_MIN
    for count in (2, ROWS_MIN):
        await rows.bulk_create([Every(day=day) for day in days[:count]])
    assert await rows.filter(day=dt.date(2020, 1, 2)).count() == ROWS_MIN + 2


async def test_batches_are_all_or_nothing(db: Database) -> None:
    parts = [Part(code=f"c{number}") for number in range(10)]
    parts[7].code = "c1"
    for size in (None, 3):
        parts[0].price = Decimal(5)
        with pytest.raises(UniqueViolation):
            await Part.objects.using(db).bulk_create(parts, size)
        assert await db.query_val("SELECT count(*) FROM b_part") == 0
        assert parts[0]._origin is None
        assert parts[0]._changed == {"price"}
    parts[7].code = "c7"
    with assert_num_queries(db, 4):
        await Part.objects.using(db).bulk_create(parts, 3)
    assert await db.query_val("SELECT count(*) FROM b_part") == 10
    listed = [Listed(code=code, tags=["x"]) for code in "abca"]
    with pytest.raises(UniqueViolation):
        await Listed.objects.using(db).bulk_create(listed)
    assert await db.query_val("SELECT count(*) FROM b_listed") == 0


async def test_values_that_are_wrong_are_named_with_their_places(db: Database) -> None:
    parts = [
        Part(code="a"),
        Part(code="x" * 11),
        Part(code="b", price=Decimal(-1)),
        Part(price=Decimal("1.005")),  # type: ignore[call-arg]
        Part(code="c", maker=Maker(name="unsaved")),
        Part(code="d", price=Decimal("NaN")),
    ]
    with assert_num_queries(db, 0), pytest.raises(ValidationError) as caught:
        await Part.objects.using(db).bulk_create(parts)
    assert {"[1].code", "[2].price", "[3].code", "[3].price", "[4].maker_id"} <= set(caught.value.errors)
    assert "this Maker has no key yet; save it first" in str(caught.value)
    maker = Maker(name="m")
    parts = [Part(code="a", maker=maker), Part(code="b", maker=maker), Part(code="c")]
    await maker.save(using=db)
    await Part.objects.using(db).bulk_create(parts)
    assert [part.maker_id for part in parts] == [maker.id, maker.id, None]  # type: ignore[attr-defined]
    with pytest.raises(ForeignKeyViolation):
        await Part.objects.using(db).bulk_create([Part(code="z", maker_id=999)])  # type: ignore[call-arg]


async def test_ignored_conflicts_say_which_rows_are_new(db: Database) -> None:
    parts = Part.objects.using(db)
    await parts.bulk_create([Part(code="b"), Part(code="d")])
    new = [Part(code=code, price=Decimal(2)) for code in "abcdea"]
    created = await parts.bulk_create(new, ignore_conflicts=True)
    assert created.inserted == [True, False, True, False, True, False]
    assert [part._origin is not None for part in new] == created.inserted
    rows: dict[str, int] = dict(await db.query("SELECT code, id FROM b_part", into=tuple))
    assert [part.id for part in new if part._origin] == [rows["a"], rows["c"], rows["e"]]
    assert all(part.doubled == 4 for part in new if part._origin)
    listed = Listed.objects.using(db)
    await listed.create(code="b")
    many = [Listed(code=code, tags=[code]) for code in "abc"]
    created2 = await listed.bulk_create(many, ignore_conflicts=True)
    assert created2.inserted == [True, False, True]
    assert many[1]._origin is None
    places = [Place(x=1, y=1), Place(x=1, y=2), Place(x=1, y=1)]
    assert (await Place.objects.using(db).bulk_create(places, ignore_conflicts=True)).inserted == [
        True,
        True,
        False,
    ]


async def test_conflicts_that_update_give_the_keys_and_say_which_rows_are_new(db: Database) -> None:
    parts = Part.objects.using(db)
    await parts.bulk_create([Part(code="b", price=Decimal(1))])
    new = [Part(code=code, price=Decimal(2)) for code in "abc"]
    created = await parts.bulk_create(
        new, update_conflicts=True, update_fields=["price"], unique_fields=["code"]
    )
    assert created.inserted == [True, False, True]
    assert await db.query("SELECT id, code, price FROM b_part ORDER BY code", into=tuple) == [
        (part.id, part.code, Decimal("2.00")) for part in new
    ]
    listed = Listed.objects.using(db)
    await listed.create(code="b")
    many = [Listed(code=code, tags=[code]) for code in "abc"]
    created2 = await listed.bulk_create(
        many, update_conflicts=True, update_fields=["tags"], unique_fields=["code"]
    )
    assert created2.inserted == [True, False, True]
    assert await db.query_val("SELECT tags FROM b_listed WHERE code = 'b' AND version = 2") == ["b"]


async def test_bulk_update_writes_the_named_fields_alone(db: Database) -> None:
    parts = [Part(code=f"c{number}", price=Decimal(number)) for number in range(50)]
    await Part.objects.using(db).bulk_create(parts)
    for part in parts:
        part.price += 1
        part.code = "unsaved" if part is parts[0] else part.code
    with assert_num_queries(db, 1):
        assert await Part.objects.using(db).bulk_update(parts, ["price"]) == 50
    assert parts[0]._changed == {"code"}
    assert parts[1]._changed is None or parts[1]._changed == {"code"}
    assert await db.query_val("SELECT sum(price) FROM b_part") == sum(range(1, 51))
    assert await db.query_val("SELECT count(*) FROM b_part WHERE code = 'unsaved'") == 0
    await db.execute("DELETE FROM b_part WHERE id = $1", parts[0].id)
    with assert_num_queries(db, 3):
        assert await Part.objects.using(db).bulk_update(parts, ["price"], 20) == 49


async def test_bulk_update_refuses_rows_that_have_moved_on(db: Database) -> None:
    places = [Place(x=1, y=number) for number in range(3)]
    await Place.objects.using(db).bulk_create(places)
    for place in places:
        place.note = "mine"
    await db.execute("UPDATE b_place SET version = 9 WHERE y = 1")
    with pytest.raises(StaleObject, match="1 of 3 rows"):
        await Place.objects.using(db).bulk_update(places, ["note"])
    assert await db.query_val("SELECT count(*) FROM b_place WHERE note = 'mine'") == 0
    await places[1].refresh()
    places[1].note = "mine"
    assert await Place.objects.using(db).bulk_update(places, ["note"]) == 3
    assert [place.version for place in places] == [2, 10, 2]
    listed = [Listed(code="a"), Listed(code="b")]
    await Listed.objects.using(db).bulk_create(listed)
    listed[0].grid = [[1, 2], [3, 4]]
    assert await Listed.objects.using(db).bulk_update(listed, ["grid"]) == 2
    assert await db.query_val("SELECT grid FROM b_listed WHERE code = 'a' AND version = 2") == [
        [1, 2],
        [3, 4],
    ]


async def test_arguments_that_do_not_fit_are_refused(db: Database) -> None:
    parts = Part.objects.using(db)
    part = await parts.create(code="a")
    same = Part.ref(part.id)
    for awaited, text in (
        (parts.bulk_create([Maker(name="x")]), "takes instances of it, not Maker"),
        (parts.bulk_create([part, part]), "twice"),
        (parts.bulk_create([part], 0), "at least 1"),
        (parts.bulk_create([part], ignore_conflicts=True, update_conflicts=True), "exclude each other"),
        (parts.bulk_create([part], update_conflicts=True), "needs update_fields and unique_fields"),
        (parts.bulk_create([part], update_fields=["price"]), "are for update_conflicts"),
        (parts.bulk_update([part], ["prise"]), "did you mean 'price'"),
        (parts.bulk_update([part], ["id"]), "part of the primary key"),
        (parts.bulk_update([part], []), "takes the names"),
        (parts.bulk_update([part, same], ["code"]), "two of the instances are the same row"),
        (parts.bulk_update([Part(code="x")], ["code"]), "save it first"),
    ):
        with pytest.raises(FieldError, match=text):
            await awaited
    with pytest.raises(ValidationError, match=r"\[0\].price: has no value"):
        await parts.bulk_update([same], ["price"])
    part.price = F("price") + 1  # type: ignore[assignment]
    with pytest.raises(ValidationError, match="is an expression"):
        await parts.bulk_update([part], ["price"])
    part.price = None  # type: ignore[assignment]
    with pytest.raises(ValidationError, match="must not be None"):
        await parts.bulk_update([part], ["price"])


async def test_what_only_the_database_checks_it_refuses(db: Database) -> None:
    with pytest.raises(CheckViolation):
        await Every.objects.using(db).bulk_create([Every(even=2), Every(even=3)])
    assert await db.query_val("SELECT count(*) FROM b_every") == 0


async def test_one_text_serves_any_number_of_rows_and_values_are_bound(db: Database) -> None:
    with capture_queries(db) as queries:
        for count in (1, 7):
            parts = [Part(code=f"MARK{count}{number}", facts={"MARKER": "MARKER"}) for number in range(count)]
            await Part.objects.using(db).bulk_create(parts)
            await Part.objects.using(db).bulk_update(parts, ["code", "facts"])
    texts = [query.sql for query in queries]
    assert texts[:2] == texts[2:]
    assert not any("MARK" in text for text in texts)
