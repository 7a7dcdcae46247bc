"""Which database a statement goes to where there are several: the precedence, the primary, instances and relations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aliases import Aliases, WrongShard, aliases
from hyperdjango.database import UndefinedTable
from hyperdjango.database.resolver import UnknownAlias
from hyperdjango.models import (
    Field,
    FieldError,
    ForeignKey,
    ManyToMany,
    Max,
    Model,
    Param,
    Prefetch,
    Q,
    Related,
    create_schema,
    drop_schema,
    prefetch_related_objects,
)
from hyperdjango.models._loader import batch_of
from postgres_servers import Server


class SDReader(Model):
    name: str
    loans = Related["SDLoan"]()
    friends = ManyToMany["SDReader"]()


class SDLoan(Model):
    reader: ForeignKey[SDReader] = Field(constraint=False)
    title: str = ""


class SDArchive(Model):
    name: str

    class Meta:
        database = "b"


MODELS = (SDReader, SDLoan)


@pytest.fixture
async def known(server: Server) -> AsyncIterator[Aliases]:
    async with aliases(server, "default", "b") as resolver:
        for database in resolver.databases.values():
            await create_schema(MODELS, database)
            name = database.alias
            await database.execute("INSERT INTO sd_reader (name) VALUES ($1)", f"reader of {name}")
            await database.execute("INSERT INTO sd_loan (reader_id, title) VALUES (1, $1)", f"loan of {name}")
        resolver.asked.clear()
        yield resolver


def alias_of(instance: Any) -> str:
    """Where an instance came from."""
    alias: str = instance._origin.database.alias
    return alias


# The precedence


async def test_using_is_first_and_the_running_transaction_next(known: Aliases) -> None:
    b = known.databases["b"]
    assert (await SDReader.objects.get()).name == "reader of default"
    assert (await SDReader.objects.using("b").get()).name == "reader of b"
    async with b.transaction():
        assert (await SDReader.objects.get()).name == "reader of b"
        assert (await SDReader.objects.using("default").get()).name == "reader of default"
        known.routes["SDReader"] = "default"
        assert await SDReader.objects.filter(name="reader of b").exists()
        async with known.databases["default"].transaction():
            assert (await SDReader.objects.get()).name == "reader of default"
        assert (await SDReader.objects.get()).name == "reader of b"


async def test_an_instance_is_written_where_it_came_from_and_in_a_transaction_there(known: Aliases) -> None:
    default, b = known.databases.values()
    reader = await SDReader.objects.using("b").get()
    reader.name = "changed"
    await reader.save()
    assert await b.query_val("SELECT name FROM sd_reader") == "changed"
    assert await default.query_val("SELECT name FROM sd_reader") == "reader of default"
    known.routes["SDReader"] = "default"
    await reader.refresh_from_db()
    assert reader.name == "changed"
    await reader.load("loans")
    assert [loan.title for loan in reader.loans] == ["loan of b"]
    async with default.transaction():
        await reader.refresh_from_db()
        assert reader.name == "reader of default"
    reader = await SDReader.objects.using("b").get()
    await reader.delete(using="default")
    assert await default.query_val("SELECT count(*) FROM sd_reader") == 0
    assert await b.query_val("SELECT count(*) FROM sd_reader") == 1


async def test_meta_comes_before_routers_and_those_before_default(known: Aliases) -> None:
    await create_schema([SDArchive])
    assert await known.databases["b"].query_val("SELECT to_regclass('sd_archive') IS NOT NULL")
    assert await known.databases["default"].query_val("SELECT to_regclass('sd_archive') IS NULL")
    known.routes.update(SDArchive="default", SDReader="b")
    archive = await SDArchive.objects.create(name="x")
    assert alias_of(archive) == "b"
    assert (await SDReader.objects.get()).name == "reader of b"


async def test_a_table_that_is_missing_in_a_transaction_of_another_database_has_a_hint_of_both(
    known: Aliases,
) -> None:
    both = r"Meta\.database is 'b'\. In a transaction of 'default' .* using\('b'\)"

    async def within(alias: str) -> None:
        async with known.databases[alias].transaction():
            await SDArchive.objects.count()

    with pytest.raises(UndefinedTable, match=both):
        await within("default")
    for missing in (within("b"), SDArchive.objects.count()):
        with pytest.raises(UndefinedTable, match=r"of the model SDArchive: `await create_schema") as caught:
            await missing
        assert "Meta.database" not in str(caught.value)


async def test_a_misspelt_alias_is_an_error_that_names_the_nearest(known: Aliases) -> None:
    with pytest.raises(UnknownAlias, match="no database 'defualt'; did you mean 'default'"):
        await SDReader.objects.using("defualt").all()
    with pytest.raises(UnknownAlias, match="no database 'defualt'"):
        await SDReader(name="x").save(using="defualt")


async def test_what_belongs_to_an_instance_is_where_it_is_and_in_a_transaction_there(known: Aliases) -> None:
    default, b = known.databases.values()
    reader = await SDReader.objects.using("b").get()
    loans = reader.loans.filter(title__startswith="loan")
    assert [loan.title for loan in await loans] == ["loan of b"]
    async with default.transaction():
        assert [loan.title for loan in await loans] == ["loan of default"]
    made = await reader.loans.create(title="new")
    assert alias_of(made) == "b"
    assert await b.query_val("SELECT count(*) FROM sd_loan") == 2
    assert await default.query_val("SELECT count(*) FROM sd_loan") == 1


# On the primary


@pytest.mark.parametrize(
    ("use", "wanted"),
    [
        (SDReader.objects.all, [False]),
        (SDReader.objects.count, [False]),
        (lambda: SDReader.objects.aggregate(n=Max("id")), [False]),
        (lambda: SDReader.objects.page(size=2), [False]),
        (lambda: SDReader.objects.select_for_update().get(), [True]),
        (lambda: SDReader.objects.select_for_update().first(), [True]),
        (SDReader.objects.select_for_update()[:1].count, [True]),
        (lambda: SDReader.objects.filter(id__in=SDReader.objects.select_for_update()[:1]), [True]),
        (
            lambda: SDReader.objects.with_cte(
                "locked", SDReader.objects.select_for_update().values("id"), on={"id": "id"}
            ),
            [True],
        ),
        (lambda: SDReader.objects.filter(id=Param("id")).select_for_update().prepare()(id=1), [True]),
        (lambda: SDReader.objects.select_for_update().page(size=2), [True]),
        (lambda: listed(SDReader.objects.select_for_update().iterator()), [True]),
        (
            lambda: SDReader.objects.prefetch_related(Prefetch("loans", SDLoan.objects.select_for_update())),
            [False, True],
        ),
        (lambda: SDReader.objects.create(name="x"), [True]),
        (lambda: SDReader.objects.get_or_create(name="reader of default"), [True]),
        (lambda: SDReader.objects.get_or_create(id=1, defaults={"name": "x"}), [True]),
        (lambda: SDReader.objects.update_or_create(name="x", defaults={"name": "y"}), [True]),
        (lambda: SDReader.objects.bulk_create([SDReader(name="x")]), [True]),
        (lambda: SDReader.objects.filter(id=0).update(name="x"), [True]),
        (lambda: SDReader.objects.filter(id=0).delete(), [True]),
        (lambda: SDReader.objects.raw("SELECT * FROM sd_reader"), [True]),
        (lambda: SDReader.objects.raw("SELECT * FROM sd_reader", read_only=True), [False]),
        (lambda: SDReader.ref(1).refresh_from_db(), [True]),
        (lambda: SDReader.ref(1).load("name"), [False]),
        (SDReader.ref(1).loans.all, [False]),
        (lambda: SDReader.ref(1).loans.filter(title="").delete(), [True]),
        (SDReader.ref(1).friends.clear, [True]),
    ],
    ids=[
        "rows", "count", "aggregate", "page", "for update", "first", "count of locked",
        "locked subquery", "locked cte",
        "prepared",
        "locked page", "locked stream", "locked prefetch", "create", "get_or_create", "get_or_create by key",
        "update_or_create", "bulk_create", "update", "delete", "raw", "raw read only", "refresh", "load", "related",
        "related delete", "related clear",
    ],
)  # fmt: skip
async def test_what_writes_or_locks_is_asked_of_the_primary(
    known: Aliases, use: Callable[[], Any], wanted: list[bool]
) -> None:
    made = use()
    await made
    assert known.writes() == wanted


async def listed(rows: Any) -> list[Any]:
    return [row async for row in rows]


async def test_reads_that_belong_together_ask_once_for_one_server(
    known: Aliases, monkeypatch: pytest.MonkeyPatch
) -> None:
    default, b = known.databases.values()
    asked: list[str] = []

    async def one_server(self: Any) -> Any:
        asked.append(self.alias)
        return b

    monkeypatch.setattr(type(default), "_one_server", one_server)
    (reader,) = await SDReader.objects.prefetch_related("loans", "loans__reader")
    assert (reader.name, [loan.title for loan in reader.loans]) == ("reader of b", ["loan of b"])
    assert asked == ["default"]
    await SDReader.objects.all()
    await SDReader.objects.count()
    assert asked == ["default"]
    await listed(SDReader.objects.prefetch_related("loans").iterator())
    await SDReader.objects.prefetch_related("loans").page(size=1)
    await SDReader.ref(1).load("loans")
    await prefetch_related_objects([SDReader.ref(1)], "loans")
    assert len(asked) == 5


# Instances of two databases


async def test_an_instance_does_not_point_to_one_of_another_database(known: Aliases) -> None:
    reader, other = await SDReader.objects.get(), await SDReader.objects.using("b").get()
    loan = await SDLoan.objects.get()
    said = r"SDLoan.reader: this SDLoan is of the database 'default' and this SDReader of 'b'"
    with pytest.raises(FieldError, match=said):
        loan.reader = other
    loan.reader = reader
    with pytest.raises(FieldError, match=said):
        await SDLoan(reader=other).save(using="default")
    with pytest.raises(FieldError, match=said):
        await SDLoan.objects.using("default").bulk_create([SDLoan(reader=other)])
    with pytest.raises(FieldError, match=r"SDReader.friends: this SDReader is of the database 'default'"):
        await reader.friends.add(other)
    with pytest.raises(FieldError, match=r"SDReader.loans: this SDReader is of the database 'default'"):
        await reader.loans.add(await SDLoan.objects.using("b").get())
    with pytest.raises(FieldError, match=r"SDReader.friends: this"):
        await reader.friends.set([other])
    known.related = {("default", "b")}
    loan.reader = other
    await SDLoan(reader=other).save(using="default")
    await reader.friends.set([other])


async def test_a_new_instance_points_wherever_it_will_be_saved(known: Aliases) -> None:
    other = await SDReader.objects.using("b").get()
    loan = SDLoan(reader=other)
    await loan.save(using="b")
    assert await known.databases["b"].query_val("SELECT count(*) FROM sd_loan") == 2
    loan.reader = SDReader(name="not saved")


# Tables


async def test_a_table_is_made_where_routers_allow_it(known: Aliases) -> None:
    default, b = known.databases.values()
    await drop_schema(MODELS, default)
    known.hidden = {("default", "SDLoan"), ("b", "SDArchive")}
    await create_schema(MODELS, default)
    there = "SELECT coalesce(to_regclass($1)::text, '')"
    assert await default.query_val(there, "sd_reader") == "sd_reader"
    assert await default.query_val(there, "sd_reader_friends") == "sd_reader_friends"
    assert await default.query_val(there, "sd_loan") == ""
    await create_schema([SDArchive])
    assert await b.query_val(there, "sd_archive") == ""


# Shards


class SDOrder(Model):
    tenant_id: int
    number: int
    note: str | None = None
    lines = Related["SDLine"]()

    class Meta:
        primary_key = ("tenant_id", "number")


class SDLine(Model):
    order: ForeignKey[SDOrder] = Field(constraint=False)
    text: str


class SDTenant(Model):
    name: str
    invoices = Related["SDInvoice"]()


class SDInvoice(Model):
    tenant: ForeignKey[SDTenant] = Field(constraint=False)
    tenant_id: int
    total: int = 0
    code: str = Field(unique=True, default="")


@pytest.fixture
async def shards(server: Server) -> AsyncIterator[Aliases]:
    async with aliases(server, "default", "even", "odd") as resolver:
        both = ("even", "odd")
        resolver.sharded = {
            "SDOrder": ("tenant_id", both),
            "SDLine": ("order_tenant_id", both),
            "SDInvoice": ("tenant_id", both),
        }
        await create_schema([SDOrder, SDLine, SDTenant, SDInvoice])
        resolver.asked.clear()
        yield resolver


def an_invoice(**values: Any) -> SDInvoice:
    """An invoice by its tenant, or by that one's key: a checker would have both."""
    return SDInvoice(**values)


async def totals(known: Aliases) -> dict[str, int]:
    return {
        alias: await known.databases[alias].query_val("SELECT count(*) FROM sd_invoice")
        for alias in ("even", "odd")
    }


async def test_a_sharded_table_is_made_in_every_shard_and_nowhere_else(shards: Aliases) -> None:
    there = "SELECT to_regclass('sd_invoice') IS NOT NULL"
    assert [await db.query_val(there) for db in shards.databases.values()] == [False, True, True]
    await drop_schema([SDInvoice])
    assert [await db.query_val(there) for db in shards.databases.values()] == [False, False, False]


async def test_rows_are_written_to_and_read_from_the_shard_of_their_key(shards: Aliases) -> None:
    await SDTenant.objects.bulk_create([SDTenant(name=str(n)) for n in range(4)])
    one = await SDInvoice.objects.create(tenant_id=1, total=10, code="a")
    two = an_invoice(tenant=await SDTenant.objects.using("default").get(id=2), total=20, code="b")
    shards.related = {("even", "default")}
    await two.save()
    assert await totals(shards) == {"even": 1, "odd": 1}
    assert await SDInvoice.objects.filter(tenant_id=1).values_list("total", flat=True) == [10]
    assert (await SDInvoice.objects.get(tenant=2)).total == 20
    assert (await SDInvoice.objects.get(tenant__id=1, total__gt=5)).code == "a"
    assert await SDInvoice.objects.filter(tenant_id__in=[2, 2]).update(total=21) == 1
    await two.refresh_from_db()
    assert two.total == 21
    one.total = 11
    await one.save()
    assert await one.delete() == 1
    assert await totals(shards) == {"even": 1, "odd": 0}


@pytest.mark.parametrize(
    ("queryset", "alias"),
    [
        (lambda m: m.filter(tenant_id=3), "odd"),
        (lambda m: m.filter(tenant_id__exact=3, total=1), "odd"),
        (lambda m: m.filter(tenant=SDTenant.ref(4)), "even"),
        (lambda m: m.filter(total=5).filter(tenant=4).order_by("id")[:3], "even"),
        (lambda m: m.filter(SDInvoice.c.tenant_id == 3), "odd"),
        (lambda m: m.exclude(total=1).filter(tenant_id=3), "odd"),
        (lambda m: m.filter(tenant_id__in=[4]), "even"),
        (lambda m: m.filter(tenant_id=3, total__in=[1, 2]).values("total"), "odd"),
        (lambda m: m.filter(tenant_id=3).union(m.filter(tenant_id=3)), "odd"),
        (lambda m: m.filter(tenant_id=3).filter(tenant_id=4), "odd"),
        (lambda m: SDTenant.ref(3).invoices.filter(total=1), "odd"),
        (lambda m: SDOrder.objects.filter(tenant_id=3, number=1), "odd"),
        (lambda m: m.none(), "even"),
    ],
    ids=[
        "filter", "exact", "instance", "key of a relation", "expression", "exclude beside", "in of one",
        "values", "union",
        "two keys", "related", "composite key", "none",
    ],
)  # fmt: skip
async def test_a_condition_on_the_key_names_the_shard(shards: Aliases, queryset: Any, alias: str) -> None:
    made = queryset(SDInvoice.objects)
    assert made._database() is shards.databases[alias]
    assert await made == []


@pytest.mark.parametrize(
    "queryset",
    [
        lambda m: m.all(),
        lambda m: m.filter(total=3),
        lambda m: m.exclude(tenant_id=3),
        lambda m: m.filter(tenant_id__gte=3),
        lambda m: m.filter(tenant_id__in=[3, 4]),
        lambda m: m.filter(tenant_id__in=[]),
        lambda m: m.filter(tenant_id__isnull=True),
        lambda m: m.filter(Q(tenant_id=3) | Q(total=3)),
        lambda m: m.filter(tenant_id=SDInvoice.c.total),
        lambda m: m.filter(tenant_id=3).union(m.filter(tenant_id=4)),
    ],
    ids=["all", "other", "exclude", "more", "several", "empty", "null", "or", "column", "union"],
)
async def test_what_names_no_shard_is_an_error(shards: Aliases, queryset: Any) -> None:
    with pytest.raises(WrongShard, match="SDInvoice binds no tenant_id"):
        await queryset(SDInvoice.objects)


async def test_get_or_create_looks_where_the_lookups_say(shards: Aliases) -> None:
    made, is_new = await SDInvoice.objects.get_or_create(tenant_id=3, code="x", defaults={"total": 5})
    assert (is_new, alias_of(made)) == (True, "odd")
    again, is_new = await SDInvoice.objects.get_or_create(tenant_id=3, code="x")
    assert (again.total, is_new) == (5, False)
    changed, is_new = await SDInvoice.objects.update_or_create(tenant_id=3, code="x", defaults={"total": 6})
    assert (changed.total, is_new) == (6, False)
    with pytest.raises(WrongShard, match="binds no tenant_id"):
        await SDInvoice.objects.get_or_create(code="x", defaults={"tenant_id": 3})
    with pytest.raises(WrongShard, match="of another shard than odd"):
        await SDInvoice.objects.get_or_create(tenant_id=3, code="y", defaults={"tenant_id": 4})
    with pytest.raises(WrongShard, match="of another shard than odd"):
        await SDInvoice.objects.update_or_create(tenant_id=3, code="x", defaults={"tenant_id": 4})
    assert await totals(shards) == {"even": 0, "odd": 1}


async def test_a_row_does_not_change_its_shard_by_a_statement(shards: Aliases) -> None:
    invoice = await SDInvoice.objects.create(tenant_id=3, code="x")
    invoice.tenant_id = 4
    with pytest.raises(WrongShard, match="of another shard than odd"):
        await invoice.save()
    invoice.tenant_id = 5
    await invoice.save()
    with pytest.raises(WrongShard, match="of another shard than odd"):
        await SDInvoice.objects.filter(tenant_id=5).update(tenant_id=6)
    with pytest.raises(FieldError, match="tenant_id says which shard a row is in, and is not calculated"):
        await SDInvoice.objects.filter(tenant_id=5).update(tenant_id=SDInvoice.c.total)
    assert await SDInvoice.objects.filter(tenant_id=5).update(tenant_id=7) == 1
    with pytest.raises(WrongShard, match="of another shard than odd"):
        async with shards.databases["odd"].transaction():
            await SDInvoice.objects.filter(tenant_id=4)


async def test_many_instances_are_of_one_shard(shards: Aliases) -> None:
    made = await SDInvoice.objects.bulk_create([an_invoice(tenant_id=n, code=str(n)) for n in (1, 3, 5)])
    assert await totals(shards) == {"even": 0, "odd": 3}
    for invoice in made:
        invoice.total = 9
    assert await SDInvoice.objects.bulk_update(made, ["total"]) == 3
    with pytest.raises(
        FieldError,
        match=r"bulk_create\(\) of SDInvoice: .* the shards 'even', 'odd'",
    ):
        await SDInvoice.objects.bulk_create(an_invoice(tenant_id=n, code=f"b{n}") for n in (1, 2))
    other = await SDInvoice.objects.create(tenant_id=2, code="other")
    with pytest.raises(FieldError, match=r"bulk_update\(\) of SDInvoice: .* 'even', 'odd'"):
        await SDInvoice.objects.bulk_update([*made, other], ["total"])
    assert await totals(shards) == {"even": 1, "odd": 3}


async def test_what_belongs_to_an_instance_is_found_in_its_shard(shards: Aliases) -> None:
    tenants = await SDTenant.objects.bulk_create([SDTenant(name="a"), SDTenant(name="b")])
    first, second = tenants
    shards.related = {("odd", "default"), ("even", "default")}
    await first.invoices.create(total=1, code="x")
    await second.invoices.create(total=2, code="y")
    assert await totals(shards) == {"even": 1, "odd": 1}
    await SDTenant.ref(2).load("invoices")
    (found,) = await SDTenant.objects.filter(id=2).prefetch_related("invoices")
    assert [invoice.total for invoice in found.invoices] == [2]
    with pytest.raises(WrongShard, match="SDInvoice binds no tenant_id"):
        await SDTenant.objects.prefetch_related("invoices")


async def test_a_loader_asks_the_shard_of_each_key(shards: Aliases) -> None:
    for tenant in (1, 2, 3):
        await SDInvoice.objects.create(tenant_id=tenant, code=str(tenant))
    shards.asked.clear()
    load = batch_of(SDInvoice.objects.all(), "tenant_id", many=True)
    found = await load([3, 9, 2, 1, 2])
    assert [[invoice.code for invoice in group] for group in found] == [["3"], [], ["2"], ["1"], ["2"]]
    with pytest.raises(WrongShard, match="binds no tenant_id"):
        await batch_of(SDInvoice.objects.all(), "code", many=False)(["1"])


async def test_children_with_the_same_key_are_fetched_beside_their_parents(shards: Aliases) -> None:
    for tenant in (1, 2):
        order = await SDOrder.objects.create(tenant_id=tenant, number=1)
        await SDLine.objects.create(order=order, text=f"of {tenant}")
        await order.lines.create(text="more")
    (order,) = await SDOrder.objects.filter(tenant_id=2).prefetch_related("lines__order")
    assert sorted(line.text for line in order.lines) == ["more", "of 2"]
    (line,) = await SDLine.objects.filter(order_tenant_id=1, text="of 1").select_related("order")
    assert line.order.tenant_id == 1
    await line.order.lines.filter(text="more").delete()
    assert await shards.databases["odd"].query_val("SELECT count(*) FROM sd_line") == 1


async def test_children_that_are_sharded_otherwise_are_not_looked_for_in_the_wrong_place(
    shards: Aliases,
) -> None:
    shards.sharded["SDLine"] = ("order_number", ("even", "odd"))
    order = await SDOrder.objects.create(tenant_id=2, number=1)
    with pytest.raises(WrongShard, match="SDLine is of another shard than even"):
        await SDOrder.objects.filter(tenant_id=2).prefetch_related("lines")
    with pytest.raises(WrongShard, match="SDLine is of another shard than even"):
        await order.lines.create(text="x")
