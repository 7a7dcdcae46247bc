"""scatter(): a queryset over all shards is what it is over one table with all rows, or says why it cannot be."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from aliases import Aliases, aliases
from hyperdjango.database import DatabaseError, UniqueViolation
from hyperdjango.models import (
    Avg,
    BoolAnd,
    BoolOr,
    Count,
    F,
    Field,
    FieldError,
    ForeignKey,
    Func,
    Jsonb,
    Max,
    Min,
    Model,
    ModelError,
    PartialWrite,
    Q,
    Related,
    StdDev,
    Sum,
    Value,
    Window,
    create_schema,
)
from hyperdjango.models.functions import Collate, RowNumber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_servers import Server


class Kind(StrEnum):
    """In an order that is not the alphabet's."""

    SMALL = "small"
    LARGE = "large"
    ANY = "any"


class SCItem(Model):
    id: int = Field(primary_key=True, identity="BY DEFAULT")
    tenant_id: int
    name: str
    price: Decimal | None = None
    weight: float | None = None
    kind: Kind = Kind.SMALL
    born: date | None = None
    flag: bool | None = None
    code: UUID | None = None
    seal: bytes | None = None
    data: Jsonb[Any] | None = None
    parts = Related["SCPart"]()


class SCPart(Model):
    item: ForeignKey[SCItem] = Field(constraint=False)
    item_id: int
    tenant_id: int
    label: str = Field(unique=True)


SHARDS = ("s0", "s1", "s2")
SLEEP = Func(Value(30.0), function="pg_sleep", output_field=str)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "tenant_id": st.integers(0, 5),
            "name": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
            "price": st.none()
            | st.sampled_from([Decimal("NaN"), Decimal("1.50"), Decimal("1.5"), Decimal(-3)]),
            "weight": st.none() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 2.5]),
            "kind": st.sampled_from(list(Kind)),
            "born": st.none() | st.dates(date(1990, 1, 1), date(1990, 1, 4)) | st.just(date.max),
            "flag": st.none() | st.booleans(),
            "code": st.none() | st.uuids(),
            "seal": st.none() | st.binary(max_size=3),
        }
    ),
    max_size=14,
)
COLUMNS = ("tenant_id", "name", "price", "weight", "kind", "born", "flag", "code", "seal", "id")


@st.composite
def orders(draw: Any) -> list[Any]:
    """Keys of an order that ends with the primary key, so that no two rows are equal in it."""
    keys: list[Any] = []
    for name in draw(st.lists(st.sampled_from(COLUMNS[:-1]), unique=True, max_size=3)):
        # The one table is told to order text as the shards do.
        by = F(name) if name != "name" else Collate("name", "C")
        nulls: dict[str, Any] = draw(st.sampled_from([{}, {"nulls_first": True}, {"nulls_last": True}]))
        keys.append(by.desc(**nulls) if draw(st.booleans()) else by.asc(**nulls))
    return [*keys, draw(st.sampled_from(["id", "-id"]))]


class World:
    """Three shards, one database with all their rows, and a loop."""

    def __init__(self, runner: asyncio.Runner, known: Aliases) -> None:
        self.runner = runner
        self.known = known

    async def fill(self, rows: list[dict[str, Any]]) -> None:
        """Have these rows, and no others, in both."""
        made = [SCItem(id=number, **row) for number, row in enumerate(rows)]
        for alias in (*SHARDS, "whole"):
            await self.known.databases[alias].execute("TRUNCATE sc_item, sc_part")
            mine = [one for one in made if alias == "whole" or SHARDS[one.tenant_id % 3] == alias]
            await SCItem.objects.using(alias).bulk_create([SCItem(**values(one)) for one in mine])


def values(item: SCItem) -> dict[str, Any]:
    return {name: getattr(item, name) for name in COLUMNS}


def shown(rows: list[Any]) -> list[str]:
    """Rows so that they can be compared: NaN equals NaN, -0.0 equals 0.0."""
    plain = [values(row) if isinstance(row, SCItem) else row for row in rows]
    return [repr(row).replace("-0.0", "0.0") for row in plain]


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    async def opened() -> tuple[Any, Aliases]:
        manager = aliases(server, "whole", *SHARDS)
        known = await manager.__aenter__()
        known.sharded = {"SCItem": ("tenant_id", SHARDS), "SCPart": ("tenant_id", SHARDS)}
        for database in known.databases.values():
            await create_schema([SCItem, SCPart], database)
        return manager, known

    with asyncio.Runner() as runner:
        manager, known = runner.run(opened())
        yield World(runner, known)
        runner.run(manager.__aexit__(None, None, None))


SETTINGS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SETTINGS
@given(
    rows=ROWS,
    order=orders(),
    start=st.integers(0, 6),
    count=st.none() | st.integers(0, 6),
    chunk=st.integers(1, 5),
)
def test_rows_in_any_order_and_slice_are_those_of_one_table(
    world: World, rows: list[dict[str, Any]], order: list[Any], start: int, count: int | None, chunk: int
) -> None:
    async def run() -> None:
        await world.fill(rows)
        stop = None if count is None else start + count
        for queryset in (
            SCItem.objects.order_by(*order)[start:stop],
            SCItem.objects.order_by(*order).reverse().filter(tenant_id__gt=0),
            SCItem.objects.order_by(*order).values_list("name", "price")[start:stop],
            SCItem.objects.order_by(*order).values("id", kind2=F("kind"))[:count],
        ):
            wanted = shown(await queryset.using("whole"))
            assert shown(await queryset.scatter()) == wanted
            assert shown([row async for row in queryset.scatter(1).iterator(chunk)]) == wanted
            assert await queryset.scatter().count() == len(wanted)
            assert await queryset.scatter().exists() is bool(wanted)

    world.runner.run(run())


@SETTINGS
@given(
    rows=ROWS,
    names=st.lists(
        st.sampled_from([name for name in COLUMNS if name not in {"id", "name"}]),
        unique=True,
        min_size=1,
        max_size=3,
    ),
    order=st.integers(0, 3),
    count=st.none() | st.integers(0, 4),
)
def test_different_values_are_those_of_one_table(
    world: World, rows: list[dict[str, Any]], names: list[str], order: int, count: int | None
) -> None:
    async def run() -> None:
        await world.fill(rows)
        plain = SCItem.objects.order_by(*names[:order]).values_list(*names).distinct()
        found = await plain.scatter()
        assert sorted(canonical(found)) == sorted(canonical(await plain.using("whole")))
        ordered = SCItem.objects.order_by(*names).values_list(*names).distinct()[:count]
        assert canonical(await ordered.scatter()) == canonical(await ordered.using("whole"))
        assert canonical([row async for row in ordered.scatter()]) == canonical(await ordered.using("whole"))
        first = SCItem.objects.order_by(names[0], "id").distinct(names[0])
        assert shown(await first.scatter()) == shown(await first.using("whole"))

    world.runner.run(run())


def canonical(rows: list[Any]) -> list[str]:
    """Rows whose equal values look the same: 1.5 and 1.50, 0.0 and -0.0."""
    return [
        repr([value.normalize() if isinstance(value, Decimal) else value for value in row]).replace(
            "-0.0", "0.0"
        )
        for row in rows
    ]


@SETTINGS
@given(rows=ROWS, least=st.integers(0, 6))
def test_aggregates_are_those_of_one_table(world: World, rows: list[dict[str, Any]], least: int) -> None:
    async def run() -> None:
        await world.fill(rows)
        queryset = SCItem.objects.filter(tenant_id__gte=least)
        asked: dict[str, Any] = {
            "n": Count("*"),
            "names": Count("price"),
            "few": Count("id", filter=Q(flag=True)),
            "total": Sum("tenant_id"),
            "none": Sum("tenant_id", filter=Q(tenant_id=99), default=7),
            "worth": Sum("price"),
            "low": Min("price"),
            "high": Max("price"),
            "light": Min("weight"),
            "heavy": Max("weight"),
            "last": Max("born"),
            "least": Min("code"),
            "all": BoolAnd("flag"),
            "any": BoolOr("flag"),
            "mean": Avg("tenant_id"),
        }
        found = await queryset.scatter().aggregate(**asked)
        wanted = await queryset.using("whole").aggregate(**asked)
        assert found.pop("mean") == pytest.approx(wanted.pop("mean"))
        for totals in (found, wanted):
            assert canonical([list(totals.values())])
        assert canonical([list(found.values())]) == canonical([list(wanted.values())])

    world.runner.run(run())


ITEMS: Any = SCItem.objects

# One world per test from here on


@pytest.fixture
async def known(server: Server) -> AsyncIterator[Aliases]:
    async with aliases(server, *SHARDS) as resolver:
        resolver.sharded = {"SCItem": ("tenant_id", SHARDS), "SCPart": ("tenant_id", SHARDS)}
        await create_schema([SCItem, SCPart])
        for tenant in range(6):
            item = await SCItem.objects.create(tenant_id=tenant, name=f"n{tenant}", price=Decimal(tenant))
            await SCPart.objects.create(item=item, tenant_id=tenant, label=f"p{tenant}")
        yield resolver


async def test_what_was_asked_for_along_with_rows_comes_from_their_shard(known: Aliases) -> None:
    items = await SCItem.objects.order_by("-tenant_id").prefetch_related("parts")[1:4].scatter()
    assert [[part.label for part in item.parts] for item in items] == [["p4"], ["p3"], ["p2"]]
    assert all(item._extra is None for item in items)
    parts = SCPart.objects.select_related("item").order_by("item__price")
    assert [part.item.name async for part in parts.scatter()] == [f"n{tenant}" for tenant in range(6)]
    items[0].name = "changed"
    await items[0].save()
    assert await SCItem.objects.filter(tenant_id=4).values_list("name", flat=True) == ["changed"]
    del known


async def test_groups_that_have_the_key_are_whole(known: Aliases) -> None:
    groups = SCItem.objects.values("tenant_id").annotate(n=Count("id")).order_by("-tenant_id")[:2]
    assert await groups.scatter() == [{"tenant_id": 5, "n": 1}, {"tenant_id": 4, "n": 1}]
    assert await groups.scatter().count() == 2
    with pytest.raises(
        FieldError, match="groups may be in several shards, unless 'tenant_id' is among values"
    ):
        await SCItem.objects.values("kind").annotate(n=Count("id")).scatter()
    with pytest.raises(FieldError, match="different rows may be in several shards, unless 'tenant_id'"):
        await SCItem.objects.values("kind").distinct().scatter().count()
    assert await SCItem.objects.values("kind", "tenant_id").distinct().scatter().count() == 6
    del known


async def test_rows_of_each_mode_look_as_ever(known: Aliases) -> None:
    rows = SCItem.objects.filter(tenant_id__lt=2).order_by("name")
    assert await rows.values_list("name", flat=True).scatter() == ["n0", "n1"]
    assert await rows.values("name").scatter() == [{"name": "n0"}, {"name": "n1"}]
    first: Any
    (first, _) = await rows.values_list("name", "kind", named=True).scatter()
    assert (first.name, first.kind) == ("n0", Kind.SMALL)
    assert [item.name for item in await rows.only("name").scatter()] == ["n0", "n1"]
    assert await rows.none().scatter() == []
    assert [row async for row in rows.none().scatter()] == []
    first_of_all = await SCItem.objects.scatter().first()
    assert first_of_all is not None
    assert await SCItem.objects.filter(name="x").scatter().first() is None
    assert len(await SCItem.objects.order_by("?")[:4].scatter()) == 4
    del known


async def test_get_finds_the_row_in_whichever_shard(known: Aliases) -> None:
    assert (await SCItem.objects.scatter().get(name="n4")).tenant_id == 4
    with pytest.raises(SCItem.DoesNotExist, match="no SCItem fits, in any shard"):
        await SCItem.objects.scatter().get(name="x")
    with pytest.raises(SCItem.MultipleObjectsReturned, match="in all shards together"):
        await SCItem.objects.scatter().get(tenant_id__lt=2)
    del known


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: ITEMS.select_for_update().scatter(), "not with select_for_update"),
        (lambda: ITEMS.using("s0").scatter(), r"using\(\) names one database"),
        (lambda: ITEMS.union(ITEMS.all()).scatter(), r"not with union\(\)"),
        (lambda: ITEMS.scatter(0), "concurrency is an int from 1, not 0"),
        (lambda: ITEMS.scatter().filter(id=1), r"scatter\(\) of SCItem comes last: filter\(\) before it"),
        (lambda: ITEMS.scatter().get_or_create(name="x"), "no database sees to it"),
        (lambda: ITEMS.scatter().create(name="x"), "belongs to the shard of its key"),
        (ITEMS.all()[:3].scatter, r"needs an order_by\(\)"),
        (lambda: ITEMS.order_by("data").scatter(), "cannot merge rows in the order of jsonb"),
        (lambda: ITEMS.annotate(n=Window(RowNumber())).scatter(), "a window function sees the rows of one"),
        (lambda: ITEMS.order_by("id").values("name").distinct().scatter(), "ordered by what they give: name"),
        (lambda: ITEMS.order_by("name").distinct("kind").scatter(), r"begins with the names that distinct"),
        (lambda: ITEMS.scatter().aggregate(x=StdDev("id")), "StdDev of all rows is not made of those of each"),
        (lambda: ITEMS.scatter().aggregate(x=Count("name", distinct=True)), "equal to another shard's"),
        (lambda: ITEMS.scatter().aggregate(x=Sum("id") + Sum("tenant_id")), "is not made of those of each"),
        (lambda: ITEMS.scatter().aggregate(x=Max("name")), "the order of text is the database's"),
        (lambda: ITEMS.order_by("id")[:3].scatter().aggregate(x=Sum("id")), "takes rows, not slices"),
        (lambda: ITEMS.order_by("id")[:3].scatter().update(name="x"), r"update\(\) of a slice"),
        (lambda: ITEMS.scatter().delete_all(), "has no 'delete_all'; did you mean 'delete'"),
    ],
    ids=[
        "lock", "using", "union", "concurrency", "filter after", "get_or_create", "create", "slice", "json", "window",
        "distinct", "distinct on", "stddev", "count distinct", "sum of sums", "max of text", "aggregate of a slice",
        "update of a slice", "unknown",
    ],
)  # fmt: skip
async def test_what_cannot_be_done_over_several_databases_is_refused(
    known: Aliases, use: Callable[[], Any], said: str
) -> None:
    known.asked.clear()
    with pytest.raises((FieldError, AttributeError), match=said):
        await use()


# Writing


async def test_changes_are_made_in_every_shard_and_counted_together(known: Aliases) -> None:
    assert await SCItem.objects.filter(tenant_id__gt=0).scatter().update(name="x", price=F("price") + 1) == 5
    changed = await SCItem.objects.filter(tenant_id__gt=3).returning("tenant_id").scatter().update(name="y")
    assert sorted(row["tenant_id"] for row in changed) == [4, 5]
    assert await SCItem.objects.filter(name="x").scatter().delete() == 3
    assert await SCItem.objects.scatter().count() == 3
    with pytest.raises(Exception, match="of another shard"):
        await SCItem.objects.scatter().update(tenant_id=1)
    del known


async def test_a_failure_says_which_shards_have_done_it(known: Aliases) -> None:
    part = await SCPart.objects.get(tenant_id=1)
    await SCPart.objects.create(item_id=part.item_id, tenant_id=4, label="taken")
    parts = SCPart.objects.filter(Q(tenant_id=0) | Q(label="p1") | Q(tenant_id=2))
    with pytest.raises(
        PartialWrite, match=r"done in the shards 's0', failed in 's1' \(UniqueViolation\)"
    ) as caught:
        await parts.scatter(1).update(label="taken")
    assert caught.value.done == {"s0": 1}
    assert list(caught.value.failed) == ["s1"]
    assert await SCPart.objects.filter(tenant_id=2, label="p2").exists()
    # Where none has done it, it is the shard's own error.
    await SCPart.objects.create(item_id=part.item_id, tenant_id=3, label="here")
    with pytest.raises(UniqueViolation) as alone:
        await SCPart.objects.filter(label__in=["p0", "p3"]).scatter().update(label="here")
    assert "scatter() of SCPart: in the shard 's0'" in alone.value.__notes__
    del known


async def test_the_failure_of_one_shard_cancels_the_others_and_names_it(known: Aliases) -> None:
    slow = SCItem.objects.annotate(x=SLEEP)
    await known.databases["s1"].execute("DROP TABLE sc_item CASCADE")
    started = asyncio.get_running_loop().time()
    for read in (slow.scatter(), SCItem.objects.order_by("name").scatter(), SCItem.objects.scatter().count()):
        with pytest.raises(DatabaseError) as caught:
            await read
        assert "scatter() of SCItem: in the shard 's1'" in caught.value.__notes__
    with pytest.raises(DatabaseError) as caught:
        _ = [row async for row in SCItem.objects.order_by("name").scatter()]
    assert "scatter() of SCItem: in the shard 's1'" in caught.value.__notes__
    assert asyncio.get_running_loop().time() - started < 25


async def listed(rows: Any) -> list[Any]:
    return list(await rows)


async def test_a_reader_who_goes_leaves_no_stream_behind(known: Aliases) -> None:
    rows = SCItem.objects.order_by("name").scatter().iterator(1)
    assert (await anext(rows)).name == "n0"
    await rows.aclose()
    task = asyncio.ensure_future(listed(SCItem.objects.annotate(x=SLEEP).scatter()))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for database in known.databases.values():
        assert await database.query_val("SELECT 1") == 1


async def test_a_transaction_on_some_of_the_shards_is_no_place_for_it(known: Aliases) -> None:
    s0, s1, s2 = known.databases.values()
    async with s0.transaction():
        with pytest.raises(
            ModelError, match="a transaction is running, and the shards 's1', 's2' would be asked outside"
        ):
            await SCItem.objects.scatter()
        async with s1.transaction(), s2.transaction():
            assert await SCItem.objects.scatter().update(name="x") == 6
            assert await SCItem.objects.filter(name="x").scatter().count() == 6


async def test_a_model_that_is_not_sharded_has_one_shard(known: Aliases) -> None:
    known.sharded.clear()
    known.routes["SCItem"] = "s1"
    assert await SCItem.objects.order_by("name").scatter() == await SCItem.objects.order_by("name")
    assert await SCItem.objects.scatter().count() == 2
    assert [row.name async for row in SCItem.objects.order_by("name")[:1].scatter()] == ["n1"]
    assert await SCItem.objects.scatter().aggregate(n=Count("*")) == {"n": 2}
    assert await SCItem.objects.scatter().exists()
    assert await SCItem.objects.scatter().delete() == 2
