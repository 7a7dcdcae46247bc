"""The tour's steps about models: classes as tables, querysets, related rows, and what they cost in statements."""

import random
import time
from dataclasses import dataclass
from typing import Annotated, Any, Final

from hyperdjango._demo.tour import STATIONS, Tour, duration
from hyperdjango.database.testing import capture_queries
from hyperdjango.models import (
    CASCADE,
    Avg,
    Count,
    Field,
    FieldError,
    ForeignKey,
    Ge,
    ManyToMany,
    MaxLen,
    Model,
    Q,
    Related,
    create_schema,
)

NETWORKS: Final = ("Alps", "Jura", "Plateau", "Lakes")
INSTRUMENTS: Final = ("barometer", "heliograph", "rain gauge")


@dataclass
class Models:
    """The tour's models, declared for the schema of this tour."""

    network: type[Model]
    instrument: type[Model]
    site: Any

    @classmethod
    def of(cls, schema: str) -> "Models":
        """Declare them: a tour has a schema of its own, so the classes are its own as well."""
        chosen = schema

        class Network(Model):
            name: Annotated[str, MaxLen(40)] = Field(unique=True)
            sites = Related["Site"]()

            class Meta:
                schema = chosen

        class Instrument(Model):
            name: str = Field(unique=True)
            sites = Related["Site"]()

            class Meta:
                schema = chosen

        class Site(Model):
            name: str
            network: ForeignKey[Network] = Field(on_delete=CASCADE)
            height_m: Annotated[int, Ge(0)]
            instruments = ManyToMany[Instrument]()

            class Meta:
                schema = chosen

        return cls(Network, Instrument, Site)


async def filled(tour: Tour) -> Models:
    """Return the models with their rows, made on the first call of a tour."""
    known: Models | None = tour.kept.get("models")
    if known is not None:
        return known
    models = Models.of(tour.schema)
    tables: list[type[Model]] = [models.network, models.instrument, models.site]
    await create_schema(tables, tour.db)
    networks = await models.network.objects.using(tour.db).bulk_create(
        [models.network(name=name) for name in NETWORKS]
    )
    instruments = await models.instrument.objects.using(tour.db).bulk_create(
        [models.instrument(name=name) for name in INSTRUMENTS]
    )
    generator = random.Random(5)  # noqa: S311 - the same heights every time, not a secret
    sites = await models.site.objects.using(tour.db).bulk_create(
        [
            models.site(
                name=f"Site {n}", network=networks[n % len(networks)], height_m=generator.randrange(200, 4000)
            )
            for n in range(STATIONS)
        ]
    )
    for site in sites[:5]:
        await site.instruments.add(*instruments)
    tour.kept["models"] = models
    return models


async def declare(tour: Tour) -> str:
    """Turn classes into tables, and instances into rows that have their keys."""
    began = time.perf_counter()
    models = await filled(tour)
    count = await models.site.objects.using(tour.db).count()
    try:
        models.site.objects.filter(hieght_m=3)
    except FieldError as error:
        return (
            f"{count} rows by bulk_create, {duration(time.perf_counter() - began)}; a misspelt name: {error}"
        )
    raise AssertionError("a misspelt field was taken")


async def querysets(tour: Tour) -> str:
    """Count through relations to many: two aggregates, neither multiplied by the other."""
    models = await filled(tour)
    rows = models.network.objects.using(tour.db).annotate(
        high=Count("sites", filter=Q(sites__height_m__gt=2000)), mean=Avg("sites__height_m")
    )
    first = await rows.order_by("-high", "name").first()
    text, values = rows.filter(name="Alps").to_sql()
    assert first is not None
    extra: Any = first
    said = f"{extra.name}: {extra.high} sites above 2000 m, {extra.mean:.0f} m on average"
    return f"{said}; {len(values)} values, none of them in the {len(text)} characters of SQL"


async def related(tour: Tour) -> str:
    """Fetch what belongs together in as few statements as there are tables, and nothing unasked."""
    models = await filled(tour)
    with capture_queries(tour.db) as queries:
        sites: list[Any] = (
            await models.site.objects.using(tour.db).order_by("id").prefetch_related("instruments")
        )
        await sites[0].load("network")  # for all of them
        names = {site.network.name for site in sites}
    fitted = sum(len(site.instruments) for site in sites)
    return f"{len(sites)} sites, {fitted} instruments, {len(names)} networks in {len(queries)} statements"
