"""The metrics of `otel`: durations of calls, and what the pools of one meter provider have.

A pool is asked when the metrics are collected; nothing is counted meanwhile.
OpenTelemetry: semantic conventions, "Database client metrics".
"""
# The names that are still in development are typed, but not marked so:
# pyright: reportMissingTypeStubs=false

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from hyperdjango.database._watching import route_of
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.semconv._incubating.attributes.db_attributes import (
    DB_CLIENT_CONNECTION_POOL_NAME,
    DB_CLIENT_CONNECTION_STATE,
    DbClientConnectionStateValues,
)
from opentelemetry.semconv._incubating.metrics.db_metrics import (
    DB_CLIENT_CONNECTION_COUNT,
    DB_CLIENT_CONNECTION_MAX,
    DB_CLIENT_CONNECTION_PENDING_REQUESTS,
)
from opentelemetry.semconv.metrics.db_metrics import DB_CLIENT_OPERATION_DURATION

if TYPE_CHECKING:
    from hyperdjango.database.pool import Pool

# Seconds; the advice of the conventions.
BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)

_COUNTS: Final = (
    ("idle", DbClientConnectionStateValues.IDLE.value),
    ("busy", DbClientConnectionStateValues.USED.value),
)


class Meters:
    """The instruments of one meter provider, made once, for however many pools.

    Attributes:
        duration: Of calls, in seconds.
    """

    def __init__(self, meter: Meter) -> None:
        self._names: weakref.WeakKeyDictionary[Pool, str] = weakref.WeakKeyDictionary()
        self.duration = meter.create_histogram(
            DB_CLIENT_OPERATION_DURATION,
            "s",
            "Duration of database client operations.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        meter.create_observable_up_down_counter(
            DB_CLIENT_CONNECTION_COUNT,
            [self._counts],
            "{connection}",
            "The number of connections that are currently in state described by the `state` attribute.",
        )
        meter.create_observable_up_down_counter(
            DB_CLIENT_CONNECTION_MAX,
            [self._one("max_size")],
            "{connection}",
            "The maximum number of open connections allowed.",
        )
        meter.create_observable_up_down_counter(
            DB_CLIENT_CONNECTION_PENDING_REQUESTS,
            [self._one("waiting")],
            "{request}",
            "The number of current pending requests for an open connection.",
        )

    def add(self, pool: "Pool", name: str | None) -> None:
        """Observe a pool from now on, as long as it lives."""
        self._names[pool] = name or str(route_of(pool, None, None))

    def remove(self, pool: "Pool") -> None:
        """Observe a pool no more."""
        self._names.pop(pool, None)

    def _counts(self, _: CallbackOptions) -> Iterator[Observation]:
        for pool, name in list(self._names.items()):
            stats = pool.stats()
            for key, state in _COUNTS:
                yield Observation(
                    stats[key], {DB_CLIENT_CONNECTION_POOL_NAME: name, DB_CLIENT_CONNECTION_STATE: state}
                )

    def _one(self, key: str) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            for pool, name in list(self._names.items()):
                yield Observation(pool.stats()[key], {DB_CLIENT_CONNECTION_POOL_NAME: name})

        return observe
