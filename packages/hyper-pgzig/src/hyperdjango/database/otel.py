"""OpenTelemetry for a Database: a span for each call, its duration as a metric, and the pool's counts.

Needs `hyper-pgzig[otel]`; nothing else of the driver imports this. Names are those of the stable semantic
conventions for databases, the pool's and `db.response.returned_rows` those still in development.
OpenTelemetry: semantic conventions, "Database client spans", "Database client metrics".
"""
# What is watched is the pool that all faces of a Database share:
# pyright: reportPrivateUsage=false
# The names that are still in development are typed, but not marked so:
# pyright: reportMissingTypeStubs=false

import weakref
from typing import TYPE_CHECKING, Final

try:
    from opentelemetry import metrics, trace
    from opentelemetry.semconv._incubating.attributes.db_attributes import DB_RESPONSE_RETURNED_ROWS
    from opentelemetry.semconv.attributes import db_attributes, error_attributes, server_attributes
    from opentelemetry.semconv.schemas import Schemas
except ImportError as missing:
    raise ImportError(
        "hyperdjango.database.otel needs OpenTelemetry's API and its semantic conventions: "
        "pip install 'hyper-pgzig[otel]'"
    ) from missing

from hyperdjango.conf._lock import Lock
from hyperdjango.database import __version__
from hyperdjango.database._otel_metrics import Meters
from hyperdjango.database._redacting import without_constants
from hyperdjango.database._statements import is_script
from hyperdjango.database._summary import summary_of
from hyperdjango.database._watching import QueryEvent
from hyperdjango.database.errors import DatabaseError

if TYPE_CHECKING:
    from hyperdjango.database._face import Face

__all__ = ["instrument", "uninstrument"]

SCOPE: Final = "hyperdjango.database"
SCHEMA_URL: Final = Schemas.V1_33_0.value
BATCH: Final = "BATCH"

Attributes = dict[str, str | int]

_meters: "weakref.WeakKeyDictionary[metrics.MeterProvider, Meters]" = weakref.WeakKeyDictionary()
_lock: Final = Lock()


def instrument(
    db: "Face",
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    capture_query_text: bool = True,
    capture_transactions: bool = True,
    pool_name: str | None = None,
) -> None:
    """Report the calls of a Database and the state of its pool to OpenTelemetry.

    Does nothing where that is done already. Spans are made when calls end, with the times they began at:
    each is a child of the span that was current when its call began, and is itself never current.

    Args:
        db: A Database or SyncDatabase; the calls of both faces of its pool are reported.
        tracer_provider: None is the global one.
        meter_provider: None is the global one.
        capture_query_text: Whether spans have `db.query.text`: no values of parameters, and of a text
            without parameters no constants either.
        capture_transactions: Whether the begin and the end of transaction blocks are reported, too.
        pool_name: What `db.client.connection.pool.name` says; None is the database's alias, else
            `host:port/dbname`. Where two pools go to the same place their names should differ.
    """
    if meter_provider is None:
        meter_provider = metrics.get_meter_provider()
    with _lock:
        if _watcher_of(db) is not None:
            return
        meters = _meters.get(meter_provider)
        if meters is None:
            meter = metrics.get_meter(SCOPE, __version__, meter_provider, SCHEMA_URL)
            meters = _meters[meter_provider] = Meters(meter)
        tracer = trace.get_tracer(SCOPE, __version__, tracer_provider, SCHEMA_URL)
        meters.add(db._pool, pool_name or db.alias)
        db.on_query(
            _Watcher(
                tracer,
                meters,
                captures_text=capture_query_text,
                captures_transactions=capture_transactions,
            )
        )


def uninstrument(db: "Face") -> None:
    """Report nothing more of a Database. Does nothing where nothing is reported."""
    with _lock:
        watcher = _watcher_of(db)
        if watcher is not None:
            db.off_query(watcher)
            watcher.meters.remove(db._pool)


def _watcher_of(db: "Face") -> "_Watcher | None":
    return next((each for each in db._pool.watchers if isinstance(each, _Watcher)), None)


class _Watcher:
    """The hook of `on_query` of one Database."""

    def __init__(
        self, tracer: trace.Tracer, meters: Meters, *, captures_text: bool, captures_transactions: bool
    ) -> None:
        self.meters = meters
        self._tracer = tracer
        self._captures_text = captures_text
        self._captures_transactions = captures_transactions

    def __call__(self, event: QueryEvent) -> None:
        """Make a span of one call, and count its duration."""
        if event.call == "transaction" and not self._captures_transactions:
            return
        attributes = attributes_of(event)
        self.meters.duration.record(event.duration, attributes)
        began_ns = int(event.started * 1e9)
        span = self._tracer.start_span(
            # Of a text that says nothing the database is what is known.
            str(attributes.get(db_attributes.DB_QUERY_SUMMARY, event.route.dbname)),
            kind=trace.SpanKind.CLIENT,
            attributes=attributes | self._details_of(event),
            start_time=began_ns,
        )
        if event.error is not None:
            # Not the message, which may quote a value.
            span.set_status(trace.StatusCode.ERROR, type(event.error).__name__)
        span.end(began_ns + int(event.duration * 1e9))

    def _details_of(self, event: QueryEvent) -> Attributes:
        """Return what only the span has: too many different values for a metric."""
        details: Attributes = {}
        if self._captures_text:
            details[db_attributes.DB_QUERY_TEXT] = _text_of(event)
        if event.batch_size is not None and event.batch_size != 1:
            details[db_attributes.DB_OPERATION_BATCH_SIZE] = event.batch_size
        if event.operation == "SELECT" and event.error is None:
            details[DB_RESPONSE_RETURNED_ROWS] = event.rows
        return details


def _text_of(event: QueryEvent) -> str:
    """Return the text as it may be told. Whoever uses parameters has no data among the constants.

    OpenTelemetry: semantic conventions, "Sanitization of `db.query.text`".
    """
    is_parameterized = event.parameters_count and event.call != "pipeline"  # where others may have none
    return event.sql if is_parameterized else without_constants(event.sql)


def attributes_of(event: QueryEvent) -> Attributes:
    """Return what the span and the metric of a call both have.

    OpenTelemetry: semantic conventions, "Database client spans", "Common attributes".
    """
    route = event.route
    summary = summary_of(event.sql)
    found: Attributes = {
        db_attributes.DB_SYSTEM_NAME: db_attributes.DbSystemNameValues.POSTGRESQL.value,
        db_attributes.DB_NAMESPACE: route.dbname,
        server_attributes.SERVER_ADDRESS: route.host,
    }
    if not route.is_unix:
        found[server_attributes.SERVER_PORT] = route.port
    operation, text = event.operation, summary.text
    if event.batch_size is not None and event.batch_size != 1:
        if is_script(event.sql):  # they differ
            operation = text = BATCH
        else:
            operation, text = f"{BATCH} {operation}", f"{BATCH} {text}"
    if operation:
        found[db_attributes.DB_OPERATION_NAME] = operation
    if text:
        found[db_attributes.DB_QUERY_SUMMARY] = text
    if event.operation == "COPY" and len(summary.targets) == 1:
        # Other commands may work on several, and it should not be guessed from their texts which one counts.
        found[db_attributes.DB_COLLECTION_NAME] = summary.targets[0]
    return found | _failure_of(event.error)


def _failure_of(error: BaseException | None) -> Attributes:
    if error is None:
        return {}
    kind = type(error)
    if isinstance(error, DatabaseError) and error.sqlstate is not None:
        return {
            db_attributes.DB_RESPONSE_STATUS_CODE: error.sqlstate,
            error_attributes.ERROR_TYPE: error.sqlstate,
        }
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return {error_attributes.ERROR_TYPE: name}
