"""ShardRouter: which shard has the rows of a key, computed the same way everywhere, and what it refuses."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hyperdjango.database import Database
from hyperdjango.multi_db.errors import Misconfigured, RoutingError
from hyperdjango.multi_db.sharding import ByLookup, ByRange, ShardRouter


class Tenant:
    """Stands for an abstract model: this package knows of no models."""


class Order(Tenant):
    pass


class Country:
    pass


class Tier(StrEnum):
    GOLD = "gold"


SHARDS = ("east", "west", "north")


def by_hash(*aliases: str) -> ShardRouter:
    return ShardRouter(aliases or SHARDS, {Order: "customer_id"})


# Whatever is changed here moves the rows of whoever has stored any.
KNOWN: list[tuple[Any, str]] = [
    (0, "north"),
    (1, "east"),
    (-42, "west"),
    (2**63, "north"),
    (Decimal("1.5"), "west"),
    ("", "west"),
    ("acme", "east"),
    ("Zürich", "west"),
    (UUID(int=7), "north"),
    (date(2024, 2, 29), "east"),
    (b"\x00\xff", "north"),
]


@pytest.mark.parametrize(
    ("key", "alias"), KNOWN, ids=[f"{type(k).__name__}{i}" for i, (k, _) in enumerate(KNOWN)]
)
def test_a_key_stays_in_its_shard_for_good(key: Any, alias: str) -> None:
    assert by_hash().shard_for(Order, key) == alias


def test_another_process_with_another_seed_says_the_same() -> None:
    script = (
        "from hyperdjango.multi_db.sharding import ShardRouter\n"
        "class Order: pass\n"
        "router = ShardRouter(('east', 'west', 'north'), {'Order': 'customer_id'})\n"
        "print([router.shard_for(Order, key) for key in ('acme', 5, b'x')])\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    assert done.stdout.strip() == str([by_hash().shard_for(Order, key) for key in ("acme", 5, b"x")])


SQL = (
    "SELECT alias FROM unnest($1::text[]) AS alias "
    "ORDER BY sha256(convert_to(alias, 'UTF8') || '\\x00'::bytea || {}) DESC LIMIT 1"
)


@pytest.mark.parametrize(
    ("expression", "keys"),
    [
        ("convert_to('n:' || $2::bigint, 'UTF8')", [0, 1, -5, 10**15]),
        (
            "convert_to('n:' || trim_scale($2::numeric), 'UTF8')",
            [Decimal("1.50"), Decimal(3), Decimal("-0.25")],
        ),
        ("convert_to('s:' || $2::text, 'UTF8')", ["acme", "Zürich", "a:b"]),
        ("convert_to('u:' || $2::uuid, 'UTF8')", [UUID(int=2**100 + 5)]),
        ("convert_to('d:' || to_char($2::date, 'YYYY-MM-DD'), 'UTF8')", [date(1999, 12, 31)]),
        ("convert_to('b:', 'UTF8') || $2::bytea", [b"", b"\x00\xff"]),
    ],
    ids=["int", "numeric", "text", "uuid", "date", "bytea"],
)
async def test_the_server_computes_the_same_shard(
    database_url: str, expression: str, keys: list[Any]
) -> None:
    router = by_hash()
    async with Database(database_url, 1, 1) as db:
        for key in keys:
            said = await db.query_val(SQL.format(expression), list(SHARDS), key)
            assert said == router.shard_for(Order, key)


def test_keys_are_spread_evenly_and_a_shard_more_moves_only_its_own_share() -> None:
    before, after = by_hash("a", "b", "c"), by_hash("a", "b", "c", "d")
    keys = range(8000)
    counts = Counter(before.shard_for(Order, key) for key in keys)
    assert all(2400 < count < 2950 for count in counts.values())
    moved = {
        key: after.shard_for(Order, key)
        for key in keys
        if before.shard_for(Order, key) != after.shard_for(Order, key)
    }
    assert set(moved.values()) == {"d"}
    assert 1700 < len(moved) < 2300


def test_the_order_of_the_aliases_does_not_matter() -> None:
    assert all(
        by_hash("a", "b", "c").shard_for(Order, key) == by_hash("c", "a", "b").shard_for(Order, key)
        for key in range(200)
    )


def test_equal_keys_are_one_key_and_what_is_not_equal_is_another() -> None:
    router = ShardRouter([f"s{n}" for n in range(64)], {Order: "customer_id"})
    assert router.shard_for(Order, 1) == router.shard_for(Order, Decimal("1.00"))
    assert router.shard_for(Order, Decimal("2.50")) == router.shard_for(Order, Decimal("2.5"))
    assert router.shard_for(Order, Tier.GOLD) == router.shard_for(Order, "gold")
    assert router.shard_for(Order, bytearray(b"x")) == router.shard_for(Order, b"x")
    assert router.shard_for(Order, Decimal("1e3")) == router.shard_for(Order, 1000)
    assert router.shard_for(Order, Decimal("0e-5000")) == router.shard_for(Order, 0)
    assert any(router.shard_for(Order, n) != router.shard_for(Order, str(n)) for n in range(20))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "NULL is in no shard"),
        (True, "a bool is no shard key"),
        (1.0, "a float is no shard key"),
        (datetime(2024, 1, 1, tzinfo=UTC), "a datetime is no shard key"),
        (Decimal("NaN"), "NaN and the infinities"),
        (Decimal("1e999999"), "a number of more than 1000 digits"),
        (Decimal("1e-999999"), "a number of more than 1000 digits"),
        (10**1001, "a number of more than 1000 digits"),
        ([1], "a list is no shard key"),
    ],
    ids=["None", "bool", "float", "datetime", "NaN", "long Decimal", "long fraction", "long int", "list"],
)
def test_what_cannot_be_a_key_is_refused_with_model_and_field(key: object, said: str) -> None:
    with pytest.raises(RoutingError, match=f"Order.customer_id says which shard a row is in: {said}"):
        by_hash().shard_for(Order, key)


# Ranges


def test_a_range_has_its_lower_bound_and_not_its_upper_one() -> None:
    router = ShardRouter(
        ["old", "new"], {Order: "number"}, by=ByRange({"new": (1000, None), "old": (None, 1000)})
    )
    assert [router.shard_for(Order, key) for key in (-5, 999, Decimal("999.9"), 1000, 10**9)] == [
        "old", "old", "old", "new", "new",
    ]  # fmt: skip
    with pytest.raises(RoutingError, match=r"Order.number .*: the ranges are of int, not of str"):
        router.shard_for(Order, "7")


def test_a_shard_may_have_several_ranges() -> None:
    ranges = ByRange({"a": [(None, "f"), ("t", None)], "b": ("f", "t")})
    router = ShardRouter(["a", "b"], {Order: "name"}, by=ranges)
    assert [router.shard_for(Order, key) for key in ("", "e", "f", "s", "t")] == ["a", "a", "b", "b", "a"]


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ({"a": (None, 10), "b": (20, None)}, "no shard has the keys from 10 to 20"),
        ({"a": (None, 10), "b": (5, None)}, "'a' and 'b' overlap, at 5"),
        ({"a": (None, None), "b": (5, None)}, "'a' and 'b' overlap, at 5"),
        ({"a": (None, 5), "b": (None, 9), "c": (9, None)}, "'a' and 'b' overlap"),
        ({"a": (0, 10), "b": (10, None)}, "no shard has the keys below 0"),
        ({"a": (None, 10), "b": (10, 20)}, "no shard has the keys from 20 on"),
        ({"a": (None, 10), "b": (10, 10), "c": (10, None)}, "'b' has no key between 10 and 10"),
        ({"a": (None, 10), "b": ("x", None)}, "of one class, not of int and str"),
        ({"a": (None, 1.5), "b": (1.5, None)}, "a bound of 'a': a float is no shard key"),
        ({"a": 5}, "takes"),
        ({}, "there is none"),
    ],
    ids=[
        "gap",
        "overlap",
        "all",
        "open twice",
        "below",
        "above",
        "empty",
        "classes",
        "float",
        "no pair",
        "none",
    ],
)
def test_ranges_have_every_key_once(ranges: Any, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        ByRange(ranges)


# Lookups


def test_a_lookup_is_a_mapping_or_a_function() -> None:
    table = ShardRouter(["a", "b"], {Order: "tenant"}, by=ByLookup({1: "a", "x": "b"}, default="b"))
    assert [table.shard_for(Order, key) for key in (1, Decimal(1), "1", "x")] == ["a", "a", "b", "b"]
    function = ShardRouter(["a", "b"], {Order: "tenant"}, by=lambda key: "ab"[key] if key < 3 else None)
    assert function.shard_for(Order, 1) == "b"
    with pytest.raises(
        RoutingError, match=r"Order.tenant: no shard is known for this int; add it to the lookup"
    ):
        function.shard_for(Order, 77)


def test_an_alias_that_is_no_shard_is_named() -> None:
    with pytest.raises(Misconfigured, match="'c' is none of the shards 'a', 'b'"):
        ShardRouter(["a", "b"], {Order: "tenant"}, by=ByLookup({1: "c"}))
    with pytest.raises(
        RoutingError, match=r"Order.tenant: the lookup says 'c', which is none of the shards 'a'"
    ):
        ShardRouter(["a"], {Order: "tenant"}, by=lambda _: "c").shard_for(Order, 1)
    with pytest.raises(Misconfigured, match="the shard 'b' has no range"):
        ShardRouter(["a", "b"], {Order: "tenant"}, by=ByRange({"a": (None, None)}))


# Models


@pytest.mark.parametrize("named", [Order, Tenant, "Order", "Tenant", f"{__name__}.Order"], ids=str)
def test_a_model_is_named_by_class_by_name_or_by_a_base(named: Any) -> None:
    router = ShardRouter(["a"], {named: "tenant"})
    assert router.key_of(Order) == "tenant"
    assert router.aliases_of(Order) == ("a",)
    assert [router.key_of(Country), router.aliases_of(Country), router.shard_for(Country, 1)] == [None] * 3


def test_a_table_belongs_in_every_shard_and_nowhere_else() -> None:
    router = by_hash()
    assert router.allow_migrate("east", Order) is True
    assert router.allow_migrate("default", Order) is False
    assert router.allow_migrate("default", Country) is None


def test_a_sharded_row_may_point_to_one_that_is_not() -> None:
    router = by_hash()
    assert router.allow_relation(Order, "east", Country, "default") is True
    assert router.allow_relation(Country, "default", Order, "east") is True
    assert router.allow_relation(Order, "east", Order, "west") is None
    assert router.allow_relation(Country, "a", Country, "b") is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ShardRouter("east", {Order: "x"}), "takes a list of aliases, not 'east'"),
        (lambda: ShardRouter([], {Order: "x"}), "takes a list of aliases"),
        (lambda: ShardRouter(["a", "a"], {Order: "x"}), "an alias is there twice"),
        (lambda: ShardRouter(["a\0b"], {Order: "x"}), "is no alias"),
        (lambda: ShardRouter(["a"], {}), "takes models"),
        (lambda: ShardRouter(["a"], {Order: "customer__id"}), "Order is sharded by one of its own fields"),
        (lambda: ShardRouter(["a"], {5: "x"}), "models are classes or their names, not 5"),
        (lambda: ShardRouter(["a"], {Order: "x"}, by="md5"), "by is 'hash', a ByRange"),  # type: ignore[arg-type]  # on purpose
        (lambda: ByLookup(5), "takes a mapping or a function, not int"),  # type: ignore[arg-type]  # on purpose
        (lambda: ByLookup({None: "a"}), "NULL is in no shard"),
    ],
    ids=["str", "empty", "twice", "zero byte", "no models", "path", "number", "by", "lookup", "null"],
)
def test_what_does_not_fit_together_is_refused(make: Any, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        make()


def test_no_error_shows_the_key() -> None:
    router = ShardRouter(["a"], {Order: "tenant"}, by=ByLookup({}))
    with pytest.raises(RoutingError) as caught:
        router.shard_for(Order, "s3cret")
    assert "s3cret" not in str(caught.value)
