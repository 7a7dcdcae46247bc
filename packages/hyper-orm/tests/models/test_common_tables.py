"""`with_cte()`: querysets as common tables in front of a statement."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.models import (
    Count,
    F,
    FieldError,
    FilteredRelation,
    ForeignKey,
    Model,
    Q,
    Related,
    Sum,
    create_schema,
)


class CteTeam(Model):
    name: str
    points = Related["CtePoint"]()


class CtePoint(Model):
    team: ForeignKey[CteTeam]
    worth: int
    round: int = 1


TOTALS = CtePoint.objects.order_by().values("team").annotate(total=Sum("worth"), n=Count("pk"))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 1, 2) as made:
        await create_schema([CteTeam, CtePoint], made)
        await CteTeam.objects.using(made).bulk_create([CteTeam(name=name) for name in "abc"])
        worths = [(1, 5, 1), (1, 7, 2), (2, 3, 1), (2, 4, 1)]
        await CtePoint.objects.using(made).bulk_create(
            [CtePoint(team_id=team, worth=worth, round=round_) for team, worth, round_ in worths]  # type: ignore[call-arg]
        )
        yield made


async def test_rows_are_joined_where_they_are_equal_and_have_nulls_elsewhere(db: Database) -> None:
    teams = CteTeam.objects.using(db).with_cte("totals", TOTALS, on={"id": "team"})
    rows = await teams.order_by("id").values_list("name", "totals__total", "totals__n")
    assert rows == [("a", 12, 2), ("b", 7, 2), ("c", None, None)]
    found: Any = await teams.annotate(total=F("totals__total")).filter(totals__total__gt=8)
    assert [(team.name, team.total) for team in found] == [("a", 12)]
    assert [team.name for team in await teams.order_by(F("totals__total").desc(nulls_last=True))] == [
        "a",
        "b",
        "c",
    ]


async def test_its_values_and_those_around_it_keep_their_places(db: Database) -> None:
    some = TOTALS.filter(round=1, worth__gt=3)
    teams = CteTeam.objects.using(db).filter(name__in=["a", "b"]).with_cte("totals", some, on={"id": "team"})
    queryset = teams.filter(totals__total__lt=5).order_by("id")[:7]
    assert [team.name for team in await queryset] == ["b"]
    text, values = queryset.to_sql()
    assert text.startswith('WITH "totals" AS (')
    assert sorted(map(str, values)) == ["1", "3", "5", "7", "['a', 'b']"]
    assert await queryset.count() == 1
    assert await teams.filter(totals__total=5).exists()
    assert await teams.aggregate(most=Sum("totals__total")) == {"most": 9}


async def test_it_stands_in_subqueries_updates_and_deletes(db: Database) -> None:
    teams = CteTeam.objects.using(db)
    best = teams.with_cte("totals", TOTALS, on={"id": "team"}).filter(totals__total__gte=12)
    assert await CtePoint.objects.using(db).filter(team__in=best).count() == 2
    assert await best.update(name="best") == 1
    assert [team.name for team in await teams.order_by("id")] == ["best", "b", "c"]
    poor = teams.with_cte("totals", TOTALS, on={"id": "team"}).filter(totals__n=None)
    assert await poor.delete() == 1


async def test_without_columns_to_compare_every_row_has_all_of_it(db: Database) -> None:
    least = CtePoint.objects.order_by("worth").values("worth")[:1]
    points = CtePoint.objects.using(db).with_cte("least", least).filter(worth__gt=F("least__worth") + 1)
    assert sorted(await points.values_list("worth", flat=True)) == [5, 7]
    both = points.with_cte("totals", TOTALS, on={"team": "team"}).filter(totals__total=12)
    assert await both.count() == 2


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda teams: teams.with_cte("t", CtePoint.objects.all()), r"has named columns: use values\(\)"),
        (lambda teams: teams.with_cte("t", 3), "takes a queryset, not int"),
        (lambda teams: teams.with_cte("name", TOTALS), "'name' is a field of CteTeam already"),
        (lambda teams: teams.with_cte("x; --", TOTALS), "is no name for a value"),
        (lambda teams: teams.with_cte("t", TOTALS, on={"idd": "team"}), "CteTeam has no field 'idd'; did you mean"),
        (lambda teams: teams.with_cte("t", TOTALS, on={"id": "tem"}), "no column 'tem', .*; did you mean 'team'"),
        (lambda teams: teams.with_cte("t", TOTALS).filter(t__totl=1), "no column 'totl', .*; did you mean 'total'"),
        (lambda teams: teams.with_cte("t", TOTALS).with_cte("t", TOTALS), "'t' is taken"),
        (lambda teams: teams[:3].with_cte("t", TOTALS), "before slices"),
    ],
    ids=[
        "instances", "no queryset", "a field's name", "no name", "unknown here", "unknown there", "unknown later",
        "twice", "sliced",
    ],
)  # fmt: skip
def test_mistakes_are_found_when_it_is_built(build: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(FieldError, match=said):
        build(CteTeam.objects.all()).to_sql()


async def test_the_same_name_for_two_filtered_relations_of_two_querysets_means_two_things(
    db: Database,
) -> None:
    def with_team(name: str, condition: Q) -> Any:
        points = CtePoint.objects.using(db).annotate(chosen=FilteredRelation("team", condition=condition))
        return points.filter(chosen__name=name).order_by("worth").values_list("worth", flat=True)

    by_name, by_id = with_team("a", Q(team__name="a")), with_team("a", Q(team__id__gt=1))
    assert await by_name == [5, 7]
    assert await by_id == []
    assert by_name.to_sql()[0] != by_id.to_sql()[0]
    assert await with_team("b", Q(team__id__gt=1)) == [3, 4]
