"""The OpenTelemetry instrumentation: spans and metrics as the semantic conventions name them."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hyperdjango.database import (
    Database,
    DivisionByZero,
    QueryEvent,
    QueryTimeout,
    Route,
    SyncDatabase,
    UndefinedTable,
)
from hyperdjango.database.otel import attributes_of, instrument, uninstrument
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pgkit.face import Face

MARK = "a value that nobody is to be told"


class Telemetry:
    """Providers of one test, and what came to them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader])

    def instrument(self, db: Any, **options: Any) -> None:
        instrument(db, tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracer_provider.shutdown()
    made.meter_provider.shutdown()


def target(face: Face) -> Any:
    return getattr(face, "_database", face)


def test_a_call_is_a_client_span_with_the_names_of_the_conventions(face: Face, telemetry: Telemetry) -> None:
    face.execute("CREATE TABLE orders (id int4, note text)")
    telemetry.instrument(target(face))
    face.query("SELECT n, $1::text FROM generate_series(1, 3) n LEFT JOIN orders o ON o.id = n", MARK)
    (span,) = telemetry.spans
    route = face._pool.parameters
    assert span.name == "SELECT orders"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "hyperdjango.database"
    host = route.hosts[0]
    place = {"server.address": host.name or host.address}
    if not host.is_unix:
        place["server.port"] = host.port
    assert dict(span.attributes or {}) == {
        "db.system.name": "postgresql",
        "db.namespace": route.dbname,
        "db.operation.name": "SELECT",
        "db.query.summary": "SELECT orders",
        "db.query.text": "SELECT n, $1::text FROM generate_series(1, 3) n LEFT JOIN orders o ON o.id = n",
        "db.response.returned_rows": 3,
        **place,
    }
    assert MARK not in span.to_json()


def test_a_text_without_parameters_is_told_without_its_constants(face: Face, telemetry: Telemetry) -> None:
    telemetry.instrument(target(face))
    face.query(f"SELECT '{MARK}' AS note, 17 -- {MARK}")
    face.execute(f"SELECT 1; SELECT $${MARK}$$")
    face.query("SELECT 'fixed', $1::text", MARK)
    face.pipeline([("SELECT $1::text", ("x",)), f"SELECT '{MARK}'"])
    face.execute_many(f"SELECT '{MARK}'", [(), ()])
    with pytest.raises(UndefinedTable):
        face.query(f"SELECT '{MARK}' FROM nothing")
    assert [(span.attributes or {})["db.query.text"] for span in telemetry.spans] == [
        "SELECT ? AS note, ?",
        "SELECT ?; SELECT ?",
        "SELECT 'fixed', $1::text",
        "SELECT $1::text; SELECT ?",
        "SELECT ?",
        "SELECT ? FROM nothing",
    ]
    assert all(MARK not in span.to_json() for span in telemetry.spans)


def test_an_error_has_its_sqlstate_and_not_its_message(face: Face, telemetry: Telemetry) -> None:
    telemetry.instrument(target(face))
    with pytest.raises(UndefinedTable):
        face.query("SELECT * FROM nothing")
    with pytest.raises(QueryTimeout):
        face.query("SELECT pg_sleep(10)", timeout=0.05)
    undefined, late = telemetry.spans
    assert undefined.status.status_code is StatusCode.ERROR
    assert undefined.status.description == "UndefinedTable"
    assert (undefined.attributes or {})["db.response.status_code"] == "42P01"
    assert (undefined.attributes or {})["error.type"] == "42P01"
    assert "db.response.returned_rows" not in (undefined.attributes or {})
    assert (late.attributes or {})["error.type"] == "hyperdjango.database.errors.QueryTimeout"
    assert "db.response.status_code" not in (late.attributes or {})
    assert not undefined.events


def test_batches_say_so(face: Face, telemetry: Telemetry) -> None:
    face.execute("CREATE TABLE t (id int4)")
    telemetry.instrument(target(face))
    face.execute_many("INSERT INTO t VALUES ($1)", [(1,), (2,)])
    face.execute_many("INSERT INTO t VALUES ($1)", [(1,)])
    face.pipeline(["SELECT 1 FROM t", "SELECT 1 FROM t"])
    face.pipeline(["SELECT 1 FROM t", "DELETE FROM t"])
    found = [
        (span.name, (span.attributes or {}).get("db.operation.batch.size"), _operation(span))
        for span in telemetry.spans
    ]
    assert found == [
        ("BATCH INSERT t", 2, "BATCH INSERT"),
        ("INSERT t", None, "INSERT"),
        ("BATCH SELECT t", 2, "BATCH SELECT"),
        ("BATCH", 2, "BATCH"),
    ]


def _operation(span: ReadableSpan) -> Any:
    return (span.attributes or {})["db.operation.name"]


def test_blocks_are_spans_unless_that_is_not_wanted(url: str, telemetry: Telemetry) -> None:
    with SyncDatabase(url, 1, 1) as db:
        telemetry.instrument(db)
        with db.transaction():
            db.query("SELECT 1")
        assert [span.name for span in telemetry.spans] == ["BEGIN", "SELECT", "COMMIT"]
        uninstrument(db)
        telemetry.exporter.clear()
        telemetry.instrument(db, capture_transactions=False, capture_query_text=False)
        with db.transaction():
            db.query("SELECT 1")
        assert [span.name for span in telemetry.spans] == ["SELECT"]
        assert "db.query.text" not in (telemetry.spans[0].attributes or {})


async def test_a_span_is_a_child_of_the_callers_in_every_task(url: str, telemetry: Telemetry) -> None:
    tracer = telemetry.tracer_provider.get_tracer("test")
    async with Database(url, 1, 2) as db:
        telemetry.instrument(db)

        async def handle(number: int) -> None:
            with tracer.start_as_current_span(f"request {number}"):
                await db.query_val("SELECT $1::int4", number)
                await asyncio.gather(db.query_val("SELECT 1"), db.query_val("SELECT 2"))

        await asyncio.gather(*(handle(number) for number in range(5)))
    spans = telemetry.spans
    parents = {span.context.span_id: span for span in spans if span.name.startswith("request")}
    calls = [span for span in spans if not span.name.startswith("request")]
    assert len(calls) == 15
    for call in calls:
        assert call.parent is not None
        parent = parents[call.parent.span_id]
        assert call.context.trace_id == parent.context.trace_id
        assert call.start_time is not None
        assert call.end_time is not None
        assert parent.start_time is not None
        assert parent.end_time is not None
        # Times of the two are read by different clocks, one of them of microseconds.
        assert parent.start_time - 1_000_000 <= call.start_time <= call.end_time
        assert call.end_time <= parent.end_time + 1_000_000


async def test_a_cancelled_call_is_a_span_that_failed(url: str, telemetry: Telemetry) -> None:
    async with Database(url, 1, 1) as db:
        telemetry.instrument(db)
        task = asyncio.ensure_future(db.query("SELECT pg_sleep(10)"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (span,) = telemetry.spans
    assert (span.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"
    assert span.status.status_code is StatusCode.ERROR


def test_durations_are_a_histogram_in_seconds(face: Face, telemetry: Telemetry) -> None:
    telemetry.instrument(target(face))
    face.query("SELECT pg_sleep(0.02)")
    face.query("SELECT 1")
    with pytest.raises(DivisionByZero):
        face.query("SELECT 1/0")
    points = telemetry.points("db.client.operation.duration")
    good, bad = sorted(points, key=lambda point: "error.type" in point.attributes)
    assert good.count == 2
    assert 0.02 <= good.sum < 60
    assert good.explicit_bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
    assert bad.count == 1
    assert bad.attributes["db.response.status_code"] == "22012"
    assert good.attributes["db.operation.name"] == "SELECT"
    assert "db.query.text" not in good.attributes


def test_the_pool_is_observed_when_metrics_are_collected(url: str, telemetry: Telemetry) -> None:
    with SyncDatabase(url, 2, 5) as db:
        telemetry.instrument(db)
        with db.transaction():
            db.query("SELECT 1")
            counts = {
                point.attributes["db.client.connection.state"]: point.value
                for point in telemetry.points("db.client.connection.count")
            }
            (most,) = telemetry.points("db.client.connection.max")
            (pending,) = telemetry.points("db.client.connection.pending_requests")
    assert counts == {"idle": 1, "used": 1}
    assert (most.value, pending.value) == (5, 0)
    assert most.attributes["db.client.connection.pool.name"].endswith(f"/{db._pool.parameters.dbname}")


def test_several_pools_share_the_instruments_and_keep_their_names(
    url: str, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = SyncDatabase(url, 1, 3), SyncDatabase(url, 1, 4)
    first.alias = "primary"
    telemetry.instrument(first)
    telemetry.instrument(second, pool_name="replica")
    found = {
        point.attributes["db.client.connection.pool.name"]: point.value
        for point in telemetry.points("db.client.connection.max")
    }
    assert found == {"primary": 3, "replica": 4}
    uninstrument(first)
    assert [point.value for point in telemetry.points("db.client.connection.max")] == [4]
    del second
    gc.collect()
    assert telemetry.points("db.client.connection.max") == []
    assert not caplog.records  # the SDK warns of instruments that are made twice


def test_instrumenting_twice_reports_once_and_uninstrumenting_twice_is_no_error(
    url: str, telemetry: Telemetry
) -> None:
    with SyncDatabase(url, 1, 1) as db:
        telemetry.instrument(db)
        telemetry.instrument(db)
        db.query("SELECT 1")
        assert len(telemetry.spans) == 1
        uninstrument(db)
        uninstrument(db)
        db.query("SELECT 1")
        assert len(telemetry.spans) == 1
        assert db._pool.watchers == ()
    assert telemetry.points("db.client.connection.max") == []


async def test_both_faces_are_instrumented(url: str, telemetry: Telemetry) -> None:
    async with Database(url, 1, 1) as db:
        telemetry.instrument(db.sync)
        await db.query("SELECT 1")
        await asyncio.to_thread(db.sync.query, "SELECT 1")
        uninstrument(db)
        await db.query("SELECT 1")
    assert len(telemetry.spans) == 2


def test_only_of_a_command_on_one_table_is_the_table_named() -> None:
    def of(sql: str, host: str = "h") -> dict[str, str | int]:
        route = Route(host, 5432, "d")
        return attributes_of(QueryEvent("copy", sql, 0.0, 0.0, 0.0, 0, "", None, route, False, 0))

    assert of("COPY shop.items (a) FROM STDIN")["db.collection.name"] == "shop.items"
    assert "db.collection.name" not in of("SELECT * FROM items")
    assert of("")["db.system.name"] == "postgresql"
    assert "db.operation.name" not in of("")
    unix = of("SELECT 1", "/run/postgresql")
    assert unix["server.address"] == "/run/postgresql"
    assert "server.port" not in unix


def test_without_opentelemetry_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import hyperdjango.database\n"
        "try: import hyperdjango.database.otel\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'hyper-pgzig[otel]'" in done.stdout


def test_the_driver_does_not_import_opentelemetry_by_itself() -> None:
    program = "import sys, hyperdjango.database; print([n for n in sys.modules if 'opentelemetry' in n])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
