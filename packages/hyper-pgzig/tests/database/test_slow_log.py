"""`slow_query_seconds`: calls that take long are in the log, without their values."""

import logging
import math

import pytest
from hyperdjango.database import DivisionByZero, QueryEvent, QueryTimeout, Route, SyncDatabase
from hyperdjango.database._slow_log import TEXT_LENGTH_MAX, SlowLog, folded
from pgkit.face import OpenFace

LOGGER = "hyperdjango.database.slow"
MARK = "a value that nobody is to be told"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def test_a_slow_call_is_logged_and_a_quick_one_is_not(
    open_face: OpenFace, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    # A limit that no quick call reaches on a loaded machine either.
    face = open_face(url, slow_query_seconds=1.0)
    face.query("SELECT 1")
    assert lines(caplog) == []
    face.query("SELECT $1::text,\n      pg_sleep(1.05)", MARK)
    (record,) = (record for record in caplog.records if record.name == LOGGER)
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert message.startswith("query took 1.")
    assert message.endswith(": SELECT $1::text, pg_sleep(1.05)")
    assert ", 1 row, on " in message
    assert str(record.__dict__["query_event"].route) in message
    assert MARK not in message


def test_zero_logs_every_call_and_how_it_ended(
    open_face: OpenFace, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    face = open_face(url, slow_query_seconds=0)
    with pytest.raises(DivisionByZero):
        face.execute("SELECT 1/0")
    with pytest.raises(QueryTimeout):
        face.query("SELECT pg_sleep(10)", timeout=0.05)
    with face.transaction():
        face.execute_many("SELECT $1::text", [(MARK,)] * 3)
    found = lines(caplog)
    assert [line.split(" ", 1)[0] for line in found] == [
        "execute",
        "query",
        "transaction",
        "execute_many",
        "transaction",
    ]
    assert "failed with DivisionByZero (22012)" in found[0]
    assert "division by zero" not in found[0]
    assert "failed with QueryTimeout" in found[1]
    assert "3 rows" in found[3]


def test_a_text_is_logged_in_one_line_and_cut() -> None:
    assert folded("SELECT\n\t 1\n") == "SELECT 1"
    assert folded("x" * TEXT_LENGTH_MAX) == "x" * TEXT_LENGTH_MAX
    long = "SELECT " + "1, " * 10_000
    assert len(folded(long)) < TEXT_LENGTH_MAX + 40
    assert folded(long).endswith(f"… ({len(long)} characters)")
    assert folded(" " * 50_000 + "SELECT 1").endswith("(50008 characters)")


@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_a_limit_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="slow_query_seconds"):
        SyncDatabase("postgresql://localhost/x", slow_query_seconds=seconds)


def test_no_limit_logs_nothing_and_watches_nothing() -> None:
    assert SyncDatabase("postgresql://localhost/x")._pool.watchers == ()


def test_a_call_that_takes_just_as_long_as_the_limit_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    def event(duration: float) -> QueryEvent:
        return QueryEvent(
            "query", "SELECT 1", 0.0, duration, 0.0, 2, "SELECT 2", None, Route("h", 1, "d"), False, 0
        )

    log = SlowLog(0.5)
    log(event(0.4999))
    log(event(0.5))
    assert lines(caplog) == [
        "query took 0.500 s (0.000 s waiting for a connection), 2 rows, on h:1/d: SELECT 1"
    ]
