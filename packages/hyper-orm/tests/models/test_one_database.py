"""A statement reaches one database: joins, subqueries and foreign keys across two are refused when they are built."""

from collections.abc import Callable
from typing import Any

import pytest
from hyperdjango.database.resolver import UnknownAlias
from hyperdjango.models import (
    Count,
    Exists,
    Field,
    FieldError,
    ForeignKey,
    Model,
    OuterRef,
    Related,
    schema_sql,
)


class FarPlace(Model):
    name: str
    visits = Related["NearVisit"]()

    class Meta:
        database = "far"


class NearVisit(Model):
    place: ForeignKey[FarPlace] = Field(constraint=False)
    days: int


class NearBound(Model):
    place: ForeignKey[FarPlace]


BOTH = (
    r"NearVisit is in the database 'default' and FarPlace in 'far'"
    r"|FarPlace is in the database 'far' and NearVisit in 'default'"
)


@pytest.mark.parametrize(
    "build",
    [
        lambda: NearVisit.objects.filter(place__name="x"),
        lambda: NearVisit.objects.order_by("place__name"),
        lambda: NearVisit.objects.values("place__name"),
        lambda: NearVisit.objects.select_related("place"),
        lambda: FarPlace.objects.filter(visits__days=3),
        lambda: FarPlace.objects.annotate(n=Count("visits")),
        lambda: NearVisit.objects.filter(place__in=FarPlace.objects.filter(name="x")),
        lambda: NearVisit.objects.filter(Exists(FarPlace.objects.filter(pk=OuterRef("place")))),
        lambda: NearVisit.objects.values("id").union(FarPlace.objects.values("id")),
        lambda: NearVisit.objects.with_cte("places", FarPlace.objects.values("id"), on={"place": "id"}),
    ],
    ids=[
        "filter",
        "order_by",
        "values",
        "select_related",
        "to many",
        "aggregate",
        "in",
        "Exists",
        "union",
        "with_cte",
    ],
)
def test_both_databases_are_named(build: Callable[[], Any]) -> None:
    with pytest.raises(FieldError, match=BOTH):
        build()


def test_the_key_itself_is_at_hand() -> None:
    assert 't0."place_id" = $1' in NearVisit.objects.filter(place=3).to_sql()[0]
    assert 't0."place_id" = $1' in NearVisit.objects.filter(place__id=3).to_sql()[0]


def test_a_foreign_key_that_the_database_is_to_keep_is_refused() -> None:
    with pytest.raises(FieldError, match="NearBound is in the database 'default' and FarPlace in 'far'"):
        schema_sql([NearBound])


async def test_an_alias_that_nobody_has_configured_is_an_error() -> None:
    with pytest.raises(UnknownAlias, match="no database 'far'"):
        await FarPlace.objects.count()
