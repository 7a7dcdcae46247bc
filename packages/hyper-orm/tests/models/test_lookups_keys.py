"""Lookups by keys of several columns, and by relations to a column that is not the key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hyperdjango.database import Database, SyncDatabase
from hyperdjango.models import (
    ArrayAgg,
    Count,
    Field,
    FieldError,
    ForeignKey,
    Model,
    Q,
    Related,
    create_schema_sync,
)
from postgres_servers import Server
from shelf import label


class Land(Model):
    code: str = Field(unique=True)
    towns: Related[Town]

    class Meta:
        table = "keys_land"


class Town(Model):
    name: str
    land: ForeignKey[Land] = Field(to_field="code")

    class Meta:
        table = "keys_town"


class Seat(Model):
    day: date
    number: int
    price: Decimal
    tickets: Related[Ticket]

    class Meta:
        table = "keys_seat"
        primary_key = ("day", "number")


class Ticket(Model):
    buyer: str
    seat: ForeignKey[Seat | None] = Field(default=None)

    class Meta:
        table = "keys_ticket"


DAY = date(2026, 1, 2)
OTHER = date(2026, 3, 4)


def fill(db: SyncDatabase) -> None:
    create_schema_sync([Land, Town, Seat, Ticket], db)
    db.execute("INSERT INTO keys_land (id, code) OVERRIDING SYSTEM VALUE VALUES (1, 'fr'), (2, 'it')")
    db.execute(
        "INSERT INTO keys_town (id, name, land_id) OVERRIDING SYSTEM VALUE "
        "VALUES (1, 'Lyon', 'fr'), (2, 'Roma', 'it'), (3, 'Nice', 'fr')"
    )
    db.execute_many("INSERT INTO keys_seat (day, number, price) VALUES ($1, $2, $3)", [
        (DAY, 1, Decimal(5)), (DAY, 2, Decimal(6)), (OTHER, 1, Decimal(7)),
    ])  # fmt: skip
    near, far = (column.column for column in Ticket._table.relations["seat"].locals)
    db.execute_many(
        f'INSERT INTO keys_ticket (id, buyer, "{near}", "{far}") OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4)',
        [(1, "a", DAY, 1), (2, "b", DAY, 2), (3, "c", OTHER, 1), (4, "d", None, None), (5, "e", DAY, 1)],
    )


@pytest.fixture(scope="module")
def keys_url(server: Server) -> Iterator[str]:
    name = server.create_database()
    with SyncDatabase(server.url_for(name), 1, 1) as db:
        fill(db)
    yield server.url_for(name)
    server.drop_database(name)


@pytest.fixture
async def db(keys_url: str) -> AsyncIterator[Database]:
    async with Database(keys_url, 1, 1) as database:
        yield database


async def found(db: Database, model: Any, condition: Q) -> list[Any]:
    rows = await model.objects.using(db).filter(condition).order_by("pk").values_list("pk", flat=True)
    return list(rows)


TICKETS: list[tuple[Q, list[int]]] = [
    (Q(seat=Seat.ref((DAY, 1))), [1, 5]),
    (Q(seat=(DAY, 2)), [2]),
    (Q(seat__in=[Seat.ref((DAY, 2)), (OTHER, 1)]), [2, 3]),
    (Q(seat__in=[]), []),
    (~Q(seat__in=[(OTHER, 1)]), [1, 2, 4, 5]),
    (~Q(seat=(DAY, 1)), [2, 3, 4]),
    (Q(seat=None), [4]),
    (Q(seat__isnull=False), [1, 2, 3, 5]),
    (Q(seat__gt=(DAY, 1)), [2, 3]),
    (Q(seat__day=DAY), [1, 2, 5]),
    (Q(seat__price__gte=7), [3]),
    (Q(seat__pk=(DAY, 1)), [1, 5]),
]


@pytest.mark.parametrize(("condition", "expected"), TICKETS, ids=label)
async def test_a_relation_by_several_columns(db: Database, condition: Q, expected: list[int]) -> None:
    assert await found(db, Ticket, condition) == expected


async def test_rows_by_a_key_of_several_columns(db: Database) -> None:
    seats: Any = Seat.objects.using(db).order_by("day", "number")
    assert await seats.filter(pk=(DAY, 2)).values_list("price", flat=True) == [Decimal(6)]
    assert await seats.filter(pk__in=[(DAY, 2), Seat.ref((OTHER, 1))]).values_list("number", flat=True) == [
        2,
        1,
    ]
    assert await seats.filter(tickets__buyer="e").values_list("number", flat=True) == [1]
    counted = seats.annotate(n=Count("tickets"), who=ArrayAgg("tickets__buyer", order_by="tickets__buyer"))
    assert await counted.values_list("n", "who") == [(2, ["a", "e"]), (1, ["b"]), (1, ["c"])]


TOWNS: list[tuple[Q, list[int]]] = [
    (Q(land="fr"), [1, 3]),
    (Q(land_id="fr"), [1, 3]),
    (Q(land=Land.ref(1)), [1, 3]),
    (Q(land__in=[Land.ref(1)]), [1, 3]),
    (Q(land__in=["it"]), [2]),
    (Q(land__id=1), [1, 3]),
    (Q(land__pk=2), [2]),
    (Q(land__code="it"), [2]),
    (Q(land__in=Land.objects.filter(code="fr")), [1, 3]),
]


@pytest.mark.parametrize(("condition", "expected"), TOWNS, ids=label)
async def test_a_relation_to_a_column_that_is_not_the_key(
    db: Database, condition: Q, expected: list[int]
) -> None:
    assert await found(db, Town, condition) == expected


async def test_aggregates_over_such_relations(db: Database) -> None:
    lands: Any = Land.objects.using(db).annotate(n=Count("towns")).order_by("pk")
    assert await lands.values_list("n", flat=True) == [2, 1]
    assert await lands.filter(towns=Town.ref(2)).values_list("pk", flat=True) == [2]


@pytest.mark.parametrize(
    ("lookups", "message"),
    [
        ({"seat": 5}, "an instance or a tuple of 2 values"),
        ({"seat": (1, 2, 3)}, "an instance or a tuple of 2 values"),
        ({"seat__in": [5]}, "a list of instances or of tuples of 2 values"),
        ({"seat__in": Land.objects.all()}, "is Seat; seat__in cannot be rows of Land"),
        ({"seat__contains": 1}, "a relation no such lookup"),
    ],
    ids=label,
)
def test_what_is_no_such_key_is_refused(lookups: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        Ticket.objects.filter(**lookups)
