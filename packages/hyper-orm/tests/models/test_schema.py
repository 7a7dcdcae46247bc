"""What `create_schema` makes is what the catalogs say, and `drop_schema` leaves nothing of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pytest
from hyperdjango.database import CheckViolation, Database, SyncDatabase
from hyperdjango.models import (
    CASCADE,
    RESTRICT,
    SET_NULL,
    CheckConstraint,
    Collation,
    Digits,
    Domain,
    EnumName,
    ExclusionConstraint,
    Field,
    FieldError,
    ForeignKey,
    Ge,
    Gt,
    Index,
    Len,
    Lt,
    ManyToMany,
    MaxLen,
    MinLen,
    Model,
    ModelDeclarationError,
    MultipleOf,
    OneToOne,
    Range,
    SmallInt,
    SqlText,
    UniqueConstraint,
    create_schema,
    create_schema_sync,
    drop_schema,
    drop_schema_sync,
    schema_sql,
)
from hyperdjango.models._declare import ModelMeta
from hyperdjango.models.expressions import F
from hyperdjango.models.query_words import Q

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.postgres


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
    WHERE relname = $1 AND contype <> 'n' ORDER BY conname
"""
COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text, attgenerated::text,
        pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = $1 ORDER BY indexname"


async def constraints(db: Database, table: str) -> dict[str, str]:
    return dict(await db.query(CONSTRAINTS, table, into=tuple))


async def indexes(db: Database, table: str) -> dict[str, str]:
    """The indexes that are no constraint's, as far as they differ from the plain."""
    found: list[Any] = await db.query(INDEXES, table, into=tuple)
    return {name: text.split(" USING ", 1)[1] for name, text in found}


class Mood(StrEnum):
    GOOD = "good"
    IT_S_BAD = "it's \\bad"


class Place(Model):
    """Everything that a column can have."""

    code: Annotated[str, MaxLen(5)] = Field(primary_key=True)
    name: Annotated[str, Len(2, 40), Collation("C")] = Field(unique=True, comment="it's a name")
    mood: Annotated[Mood, EnumName("place mood")] = Mood.GOOD
    floors: Annotated[int, SmallInt, Ge(0), Lt(200)]
    area: Annotated[Decimal, Digits(8, 2), Gt(0)]
    step: Annotated[int, MultipleOf(5)]
    labels: list[Annotated[str, MinLen(1)]] = Field(default_factory=list)
    sizes: Annotated[list[Annotated[int, Ge(0)]], MaxLen(3)] = Field(default_factory=list)
    mail: Annotated[str, Domain("mail address", check="VALUE ~ '@'")]
    made: datetime = Field(db_default="now()", init=False)
    number: int = Field(identity="ALWAYS", init=False, index=True)
    total: int = Field(generated="floors * step", init=False)
    rest: timedelta | None = None

    class Meta:
        comment = "places"


async def test_columns_are_as_declared(db: Database) -> None:
    await create_schema([Place], db)
    rows = await db.query(COLUMNS, "place", into=tuple)
    assert rows == [
        ("code", "character varying(5)", True, "", "", None),
        ("name", "character varying(40)", True, "", "", None),
        ("mood", '"place mood"', True, "", "", None),
        ("floors", "smallint", True, "", "", None),
        ("area", "numeric(8,2)", True, "", "", None),
        ("step", "bigint", True, "", "", None),
        ("labels", "text[]", True, "", "", None),
        ("sizes", "bigint[]", True, "", "", None),
        ("mail", '"mail address"', True, "", "", None),
        ("made", "timestamp with time zone", True, "", "", "now()"),
        ("number", "bigint", True, "a", "", None),
        ("total", "bigint", True, "", "s", "(floors * step)"),
        ("rest", "interval", False, "", "", None),
    ]
    comments = "SELECT obj_description('place'::regclass), col_description('place'::regclass, 2)"
    assert await db.query(comments, into=tuple) == [("places", "it's a name")]
    collation = (
        "SELECT collation_name FROM information_schema.columns WHERE table_name = $1 AND column_name = $2"
    )
    assert await db.query_val(collation, "place", "name") == "C"
    labels = "SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum"
    assert await db.query_val(labels) == ["good", "it's \\bad"]
    assert await indexes(db, "place") == {
        "place_pkey": "btree (code)",
        "place_name_key": "btree (name)",
        "place_number_idx": "btree (number)",
    }


async def test_what_an_annotation_demands_is_a_check(db: Database) -> None:
    await create_schema([Place], db)
    found = await constraints(db, "place")
    assert found == {
        "place_pkey": "PRIMARY KEY (code)",
        "place_name_key": "UNIQUE (name)",
        "place_name_check": "CHECK ((char_length((name)::text) >= 2))",
        "place_floors_check": "CHECK (((floors >= 0) AND (floors < 200)))",
        "place_area_check": "CHECK ((area > (0)::numeric))",
        "place_step_check": "CHECK (((step % (5)::bigint) = 0))",
        "place_sizes_check": "CHECK (((cardinality(sizes) <= 3) AND (0 <= ALL (sizes))))",
    }
    insert = (
        "INSERT INTO place (code, name, mood, floors, area, step, labels, sizes, mail)"
        " VALUES ('a', 'aa', 'good', $1, 1, 5, '{}', $2, $3)"
    )
    for values, constraint in (
        ((-1, [], "@"), "place_floors_check"),
        ((1, [-1], "@"), "place_sizes_check"),
        ((1, [], "none"), "mail address_check"),
    ):
        with pytest.raises(CheckViolation, match=constraint):
            await db.execute(insert, *values)


class Customer(Model):
    name: str
    # One points at the other: neither table can come first with all its keys.
    favourite: ForeignKey[Order | None] = Field(default=None, on_delete=SET_NULL, related_name="+")


class Product(Model):
    maker: str
    number: int
    parent: ForeignKey[Product | None] = Field(default=None, on_delete=RESTRICT)

    class Meta:
        primary_key = ("maker", "number")
        schema = "shop goods"


class Order(Model):
    customer: ForeignKey[Customer] = Field(on_delete=CASCADE, deferrable=True)
    product: ForeignKey[Product] = Field(on_update=CASCADE)
    bill: OneToOne[Bill | None] = None  # type: ignore[assignment]
    others: ManyToMany[Product]

    class Meta:
        table = 'the "order"'


class Bill(Model):
    paid: bool = False


ALL: list[type[Model]] = [Customer, Order, Product, Bill]


async def test_foreign_keys_are_made_whatever_points_at_what(db: Database) -> None:
    await create_schema(ALL, db)
    table = 'the "order"'
    found = await constraints(db, table)
    assert found == {
        f"{table}_pkey": "PRIMARY KEY (id)",
        f"{table}_bill_id_key": "UNIQUE (bill_id)",
        f"{table}_bill_id_fkey": "FOREIGN KEY (bill_id) REFERENCES bill(id)",
        f"{table}_customer_id_fkey": (
            "FOREIGN KEY (customer_id) REFERENCES customer(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"
        ),
        f"{table}_product_maker_product_number_fkey": (
            "FOREIGN KEY (product_maker, product_number) REFERENCES"
            ' "shop goods".product(maker, number) ON UPDATE CASCADE'
        ),
    }
    assert (await constraints(db, "customer"))["customer_favourite_id_fkey"] == (
        'FOREIGN KEY (favourite_id) REFERENCES "the ""order"""(id) ON DELETE SET NULL'
    )
    through = f"{table}_others"
    assert set((await constraints(db, through)).values()) == {
        "PRIMARY KEY (order_id, product_maker, product_number)",
        'FOREIGN KEY (order_id) REFERENCES "the ""order"""(id) ON DELETE CASCADE',
        'FOREIGN KEY (product_maker, product_number) REFERENCES "shop goods".product(maker, number) ON DELETE CASCADE',
    }
    # A foreign key has an index, but where the key or a unique constraint begins with its columns.
    assert sorted(await indexes(db, through)) == [
        f"{through}_pkey",
        f"{through}_product_maker_product_number_idx",
    ]
    assert sorted(await indexes(db, table)) == sorted(
        f"{table}_{end}"
        for end in ("pkey", "bill_id_key", "customer_id_idx", "product_maker_product_number_idx")
    )


async def test_dropping_leaves_nothing_and_may_be_repeated(db: Database) -> None:
    models: list[type[Model]] = [*ALL, Place]
    count = """
        SELECT count(*) FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, to_regnamespace('"shop goods"'))
    """
    types = "SELECT count(*) FROM pg_type WHERE typnamespace = 'public'::regnamespace"
    await create_schema(models, db)
    await drop_schema(models, db)
    await drop_schema(models, db)
    assert (await db.query_val(count), await db.query_val(types)) == (0, 0)
    await create_schema(models, db)


async def test_a_schema_is_made_as_a_whole_or_not_at_all(db: Database) -> None:
    await db.execute("CREATE TABLE bill ()")
    with pytest.raises(Exception, match='"bill" already exists'):
        await create_schema(ALL, db)
    assert await db.query_val("SELECT to_regclass('customer')::text") is None


class Room(Model):
    number: int
    name: str
    tags: list[str] = Field(default_factory=list)
    during: Range[datetime] | None = None
    price: Annotated[Decimal, Digits(8, 2)]
    doubled: Decimal = Field(generated=F("price") * 2, init=False)
    place: ForeignKey[Place] = Field(index=False)

    class Meta:
        indexes: ClassVar = [
            Index("place", "-number", include=["name"]),
            Index("tags", method="gin"),
            Index(SqlText("lower(name)"), F("price").desc(nulls_last=True), name="by lower name"),
            Index(
                "name", where=Q(price__gte=10) & ~Q(name="it's"), opclasses=["text_pattern_ops"], name="dear"
            ),
            Index("price", parameters={"fillfactor": 70}, name="filled"),
        ]
        constraints: ClassVar = [
            UniqueConstraint("number", "place", name="one_number"),
            UniqueConstraint("name", where="price > 5"),
            UniqueConstraint("price", "name", deferrable=True, include=["tags"]),
            UniqueConstraint("number", "name", nulls_distinct=False),
            CheckConstraint(Q(price__gt=0) | Q(name="free"), name="dear_or_free"),
            CheckConstraint("number > 0"),
            ExclusionConstraint(("during", "&&"), where=Q(number__lt=100)),
        ]


async def test_indexes_and_constraints_of_meta_are_as_declared(db: Database) -> None:
    await create_schema([Place, Room], db)
    found = await indexes(db, "room")
    assert found == {
        "room_pkey": "btree (id)",
        "room_place_id_number_idx": "btree (place_id, number DESC) INCLUDE (name)",
        "room_tags_idx": "gin (tags)",
        "by lower name": "btree (lower(name), price DESC NULLS LAST)",
        "dear": "btree (name text_pattern_ops)"
        " WHERE ((price >= ((10)::bigint)::numeric) AND (NOT (name = 'it''s'::text)))",
        "filled": "btree (price) WITH (fillfactor='70')",
        "one_number": "btree (number, place_id)",
        "room_name_key": "btree (name) WHERE (price > (5)::numeric)",
        "room_price_name_key": "btree (price, name) INCLUDE (tags)",
        "room_number_name_key": "btree (number, name) NULLS NOT DISTINCT",
        "room_during_excl": "gist (during) WHERE (number < (100)::bigint)",
    }
    have = await constraints(db, "room")
    assert have["dear_or_free"] == "CHECK (((price > ((0)::bigint)::numeric) OR (name = 'free'::text)))"
    assert have["room_check"] == "CHECK ((number > 0))"
    assert have["room_price_name_key"] == "UNIQUE (price, name) INCLUDE (tags) DEFERRABLE INITIALLY DEFERRED"
    assert have["room_during_excl"] == "EXCLUDE USING gist (during WITH &&) WHERE ((number < (100)::bigint))"
    generated = [row for row in await db.query(COLUMNS, "room", into=tuple) if row[0] == "doubled"]
    assert generated[0][4:] == ("s", "(price * ((2)::bigint)::numeric)")


def test_a_column_that_the_database_makes_is_not_given() -> None:
    with pytest.raises(TypeError, match=r"Room\(\) takes no 'doubled': it is made by the database"):
        Room(number=1, name="a", price=Decimal(1), place=Place.ref("x"), doubled=Decimal(2))  # type: ignore[call-arg]


def test_the_sync_face_makes_and_drops_the_same(database_url: str) -> None:
    with SyncDatabase(database_url) as db:
        create_schema_sync(ALL, db)
        assert db.query_val("SELECT count(*) FROM customer") == 0
        drop_schema_sync(ALL, db)
        assert db.query_val("SELECT to_regclass('customer')::text") is None


def test_a_model_without_a_table_has_no_schema() -> None:
    class Base(Model):
        class Meta:
            abstract = True

    with pytest.raises(ModelDeclarationError, match="Base is abstract: it has no table to create"):
        schema_sql([Base])


def test_an_index_of_an_unknown_field_names_the_nearest() -> None:
    class Wrong(Model):
        title: str

        class Meta:
            indexes: ClassVar = [Index("titel")]

    with pytest.raises(FieldError, match="Wrong has no field 'titel'; did you mean 'title'"):
        schema_sql([Wrong])


def test_a_condition_of_another_table_is_refused() -> None:
    class Owner(Model):
        name: str

    class Thing(Model):
        owner: ForeignKey[Owner]

        class Meta:
            constraints: ClassVar = [CheckConstraint(Q(owner__name="a"))]

    with pytest.raises(FieldError, match=r"Thing: .* is of another table"):
        schema_sql([Thing])


def test_two_indexes_of_one_name_are_refused() -> None:
    class Twice(Model):
        title: str

        class Meta:
            indexes: ClassVar = [Index("title"), Index("title", where="title > 'a'")]

    with pytest.raises(ModelDeclarationError, match="Twice has two indexes of the name 'twice_title_idx'"):
        schema_sql([Twice])


def test_a_table_and_a_type_of_one_name_are_refused() -> None:
    class Status(StrEnum):
        ON = "on"

    def declare() -> type[Model]:
        namespace = {"__module__": __name__, "__annotations__": {"status": Status}}
        made: Any = ModelMeta("Status", (Model,), namespace)
        return made  # type: ignore[no-any-return]

    with pytest.raises(
        ModelDeclarationError, match="the table of Status and a type are both called 'status'"
    ):
        schema_sql([declare()])


def test_a_foreign_key_to_a_field_that_is_not_unique_is_refused() -> None:
    class Country(Model):
        code: str

    class City(Model):
        country: ForeignKey[Country] = Field(to_field="code")

    with pytest.raises(FieldError, match=r"City.country: to_field='code' is not unique in Country"):
        schema_sql([Country, City])


def test_two_enums_of_one_name_are_refused() -> None:
    def enum(label: str) -> Any:
        return StrEnum("Colour", {"ONE": label})

    def model(name: str, label: str) -> Any:
        return ModelMeta(name, (Model,), {"__module__": __name__, "__annotations__": {"colour": enum(label)}})

    First, Second = model("First", "a"), model("Second", "b")  # noqa: N806 - classes

    with pytest.raises(ModelDeclarationError, match=r"Second.colour and First.colour have different types"):
        schema_sql([First, Second])
