"""`with_cte(…, recursive=…)`: a common table that goes on from its own rows."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.models import (
    Count,
    Exists,
    F,
    Field,
    FieldError,
    ForeignKey,
    Model,
    OuterRef,
    Value,
    create_schema,
)


class TreeNode(Model):
    name: str
    parent: ForeignKey["TreeNode | None"] = Field(default=None)
    weight: int = 1


NODES = ((1, "a", None), (2, "b", 1), (3, "c", 2), (4, "d", 1), (5, "x", None), (6, "y", 5))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 1, 2) as made:
        await create_schema([TreeNode], made)
        await made.execute_many(
            "INSERT INTO tree_node (id, name, parent_id, weight) VALUES ($1, $2, $3, 1)", NODES
        )
        yield made


def below(name: str, **conditions: Any) -> Any:
    """A node and all below it, with how deep they are."""
    nodes: Any = TreeNode.objects
    first = nodes.filter(name=name).values("id", depth=Value(1))
    step = nodes.with_cte("tree", first, on={"parent": "id"}).filter(**conditions)
    step = step.values("id", depth=F("tree__depth") + 1)
    return nodes.with_cte("tree", first, on={"id": "id"}, recursive=step).filter(tree__id__isnull=False)


async def test_it_has_what_follows_from_its_rows(db: Database) -> None:
    found = below("a").using(db).order_by("tree__depth", "id")
    assert await found.values_list("name", "tree__depth") == [("a", 1), ("b", 2), ("d", 2), ("c", 3)]
    assert await found.count() == 4
    assert [node.name for node in await below("x").using(db).order_by("id")] == ["x", "y"]
    assert await below("nobody").using(db).exists() is False


async def test_values_of_both_parts_and_around_them_keep_their_places(db: Database) -> None:
    found = (
        below("a", weight__lt=5, name__in=["b", "d"]).filter(tree__depth__gte=2, weight=1).order_by("id")[:7]
    )
    text, values = found.to_sql()
    assert text.startswith('WITH RECURSIVE "tree" AS ((')
    assert sorted(map(str, values)) == ["1", "1", "1", "2", "5", "7", "['b', 'd']", "a"]
    assert await found.using(db).values_list("name", flat=True) == ["b", "d"]


async def test_it_stands_in_subqueries_updates_and_deletes(db: Database) -> None:
    nodes: Any = TreeNode.objects.using(db)
    assert await nodes.filter(pk__in=below("b")).order_by("id").values_list("name", flat=True) == ["b", "c"]
    assert await below("x").using(db).update(weight=7) == 2
    assert await nodes.filter(weight=7).count() == 2
    assert await below("b").using(db).filter(tree__depth__gt=1).delete() == 1
    assert await nodes.filter(name="c").exists() is False


async def test_a_circle_ends(db: Database) -> None:
    nodes: Any = TreeNode.objects.using(db)
    await nodes.filter(name="a").update(parent=3)
    first = nodes.filter(name="a").values("id")
    step = nodes.with_cte("ring", first, on={"parent": "id"}).values("id")
    ring = nodes.with_cte("ring", first, on={"id": "id"}, recursive=step).filter(ring__id__isnull=False)
    assert sorted(await ring.values_list("name", flat=True)) == ["a", "b", "c", "d"]


async def test_the_step_alone_is_a_queryset_as_before(db: Database) -> None:
    nodes: Any = TreeNode.objects.using(db)
    first = nodes.filter(name="a").values("id")
    step = nodes.with_cte("tree", first, on={"parent": "id"}).order_by("id").values_list("name", "tree__id")
    await nodes.with_cte("tree", first, on={"id": "id"}, recursive=step.values("id"))
    assert await step == [("a", None), ("b", 1), ("c", None), ("d", 1), ("x", None), ("y", None)]


FIRST: Any = TreeNode.objects.filter(name="a").values("id")
STEP: Any = TreeNode.objects.with_cte("tree", FIRST, on={"parent": "id"})
OTHER: Any = TreeNode.objects.with_cte("other", FIRST, on={"parent": "id"})
WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no queryset": (lambda nodes: nodes.with_cte("tree", FIRST, recursive=3), "takes a queryset, not int"),
    "instances": (lambda nodes: nodes.with_cte("tree", FIRST, recursive=STEP), r"is plain values\(\)"),
    "groups": (
        lambda nodes: nodes.with_cte("tree", FIRST, recursive=STEP.values("id").annotate(n=Count("pk"))),
        r"is plain values\(\)",
    ),
    "a slice": (lambda nodes: nodes.with_cte("tree", FIRST, recursive=STEP.values("id")[:3]), "is plain values"),
    "nothing to go on from": (
        lambda nodes: nodes.with_cte("tree", FIRST, recursive=nodes.values("id")), "has the same common table itself"
    ),
    "another table": (
        lambda nodes: nodes.with_cte("tree", FIRST, recursive=OTHER.values("id")), "has the same common table itself"
    ),
    "other values": (
        lambda nodes: nodes.with_cte("tree", FIRST, recursive=STEP.values("id", "name")), "gives id, name; the first"
    ),
    "a row around it": (
        lambda nodes: nodes.filter(
            Exists(nodes.with_cte("tree", FIRST, recursive=STEP.filter(name=OuterRef("name")).values("id")))
        ),
        "nothing around it",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "said"), WRONG.values(), ids=WRONG.keys())
def test_mistakes_are_found_when_it_is_built(build: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(FieldError, match=said):
        build(TreeNode.objects)
