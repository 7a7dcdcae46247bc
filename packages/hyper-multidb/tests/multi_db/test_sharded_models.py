"""Sharded models with the manager itself, and two databases for shards: statements, scatter, transactions."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hyperdjango.models import Field, FieldError, ForeignKey, Model, PartialWrite, Related, Sum, create_schema
from hyperdjango.multi_db import ByLookup, ConnectionManager, RoutingError, ShardRouter
from postgres_servers import Server


class ShardedOrder(Model):
    tenant: int
    number: int = Field(unique=True)
    total: int = 0
    lines = Related["ShardedLine"]()

    class Meta:
        ordering = ("number",)


class ShardedLine(Model):
    order: ForeignKey[ShardedOrder]
    tenant: int
    text: str


class PlainCountry(Model):
    name: str


SHARDS = ("east", "west")
BY = {"ShardedOrder": "tenant", "ShardedLine": "tenant"}


@pytest.fixture
async def connections(
    two_shards: tuple[str, str], embedded_server: Server
) -> AsyncIterator[ConnectionManager]:
    """Two shards on servers of their own, and what is not sharded beside the first."""
    default = embedded_server.create_database()
    urls = {"default": embedded_server.url_for(default), **dict(zip(SHARDS, two_shards, strict=True))}
    manager = ConnectionManager()
    try:
        async with await manager.configure({name: {"url": url, "max_size": 3} for name, url in urls.items()}):
            manager.router = ShardRouter(SHARDS, BY, by=ByLookup({1: "east", 2: "west", 3: "east"}))
            await create_schema([ShardedOrder, ShardedLine, PlainCountry])
            for tenant in (1, 2, 3):
                order = await ShardedOrder.objects.create(tenant=tenant, number=tenant * 10, total=tenant)
                await order.lines.create(tenant=tenant, text=f"line of {tenant}")
            yield manager
    finally:
        embedded_server.drop_database(default)


async def rows(connections: ConnectionManager, alias: str) -> list[Any]:
    return await connections[alias].query(
        "SELECT tenant, total FROM sharded_order ORDER BY number", into=tuple
    )


async def test_tables_and_rows_are_where_the_router_says(connections: ConnectionManager) -> None:
    there = "SELECT to_regclass('sharded_order') IS NOT NULL, to_regclass('plain_country') IS NOT NULL"
    found = [await connections[alias].query_one(there, into=tuple) for alias in connections]
    assert found == [(False, True), (True, False), (True, False)]
    assert await rows(connections, "east") == [(1, 1), (3, 3)]
    assert await rows(connections, "west") == [(2, 2)]


async def test_a_statement_binds_the_key_or_is_told_to(connections: ConnectionManager) -> None:
    order = await ShardedOrder.objects.prefetch_related("lines").get(tenant=2)
    assert [line.text for line in order.lines] == ["line of 2"]
    order.total = 20
    await order.save()
    assert await rows(connections, "west") == [(2, 20)]
    for queryset in (ShardedOrder.objects.all(), ShardedOrder.objects.filter(number=10)):
        with pytest.raises(
            RoutingError, match=r"ShardedOrder is sharded by 'tenant'.*filter\(tenant=…\).*scatter\(\)"
        ):
            await queryset
    with pytest.raises(RoutingError, match=r"ShardedOrder.tenant: no shard is known for this int"):
        await ShardedOrder.objects.filter(tenant=77)
    order.tenant = 1
    with pytest.raises(RoutingError, match="belongs to the shard 'east'"):
        await order.save()
    with pytest.raises(FieldError, match="the shards 'east', 'west'"):
        await ShardedOrder.objects.bulk_create([ShardedOrder(tenant=n, number=n) for n in (1, 2)])


async def test_scatter_is_over_all_of_them(connections: ConnectionManager) -> None:
    orders = ShardedOrder.objects.prefetch_related("lines").order_by("-number")
    found = await orders[:2].scatter()
    assert [(order.tenant, order.lines[0].text) for order in found] == [(3, "line of 3"), (2, "line of 2")]
    assert [order.number async for order in ShardedOrder.objects.scatter()] == [10, 20, 30]
    assert await ShardedOrder.objects.scatter().aggregate(total=Sum("total")) == {"total": 6}
    assert await ShardedOrder.objects.filter(total__gt=1).scatter().update(total=9) == 2
    assert await PlainCountry.objects.scatter().count() == 0
    del connections


async def test_a_transaction_is_on_one_shard_or_begun_on_all(connections: ConnectionManager) -> None:
    async with connections["east"].transaction():
        assert await ShardedOrder.objects.count() == 2
        with pytest.raises(RoutingError, match="belongs to the shard 'west'"):
            await ShardedOrder.objects.filter(tenant=2)
        with pytest.raises(Exception, match="the shards 'west' would be asked outside of it"):
            await ShardedOrder.objects.scatter().count()
    with pytest.raises(KeyError):
        await changed_and_undone(connections)
    assert await ShardedOrder.objects.scatter().aggregate(total=Sum("total")) == {"total": 6}


async def changed_and_undone(connections: ConnectionManager) -> None:
    async with connections.atomic(*SHARDS):
        assert await ShardedOrder.objects.scatter().update(total=0) == 3
        assert await ShardedOrder.objects.filter(tenant=2).values_list("total", flat=True) == [0]
        raise KeyError


async def test_a_write_that_fails_half_way_names_the_shards(connections: ConnectionManager) -> None:
    await connections["west"].execute("ALTER TABLE sharded_order ADD CHECK (total < 5)")
    with pytest.raises(
        PartialWrite, match=r"done in the shards 'east', failed in 'west' \(CheckViolation\)"
    ) as caught:
        await ShardedOrder.objects.scatter().update(total=7)
    assert caught.value.done == {"east": 2}
    assert await rows(connections, "west") == [(2, 2)]


async def test_a_route_is_explained_by_the_key(
    connections: ConnectionManager,
) -> None:
    explained = connections.explain_route(ShardedOrder.objects.filter(tenant=2))
    assert explained.alias == "west"
