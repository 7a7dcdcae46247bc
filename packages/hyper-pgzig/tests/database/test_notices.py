"""Notices of the backend: in the log, by their severity, and in the functions of `on_notice`."""

import asyncio
import logging
import threading
from typing import Any

import pytest
from hyperdjango.database import Database, Notice, SyncDatabase
from hyperdjango.database._notices import LOGGER, Notices
from pgkit import ScriptedBackend, accept_startup, expect_eof, messages, ready, send
from pgkit.face import Face, OpenFace

RAISE = "DO $$begin raise {}; end$$"
FIELDS = (
    "DO $$begin raise warning 'low on paper' using errcode = '01W01', detail = 'ten sheets',"
    " hint = 'buy some', schema = 'office', table = 'printers',"
    " column = 'paper', datatype = 'sheets', constraint = 'enough'; end$$"
)


def text_of(record: logging.LogRecord) -> tuple[str, int, str]:
    return record.name, record.levelno, record.getMessage()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    return caplog


def test_a_notice_is_logged_at_the_level_of_its_severity(face: Face, log: pytest.LogCaptureFixture) -> None:
    for severity in ("debug", "log", "info", "notice", "warning"):
        wants = "SET client_min_messages TO debug1; "  # which is over with this call
        face.execute(wants + RAISE.format(f"{severity} 'at %', '{severity}'"))
    told = [text_of(record) for record in log.records if "at " in record.getMessage()]
    name = "hyperdjango.database.notices"
    assert told == [
        (name, logging.DEBUG, "DEBUG: at debug"),
        (name, logging.INFO, "LOG: at log"),
        (name, logging.INFO, "INFO: at info"),
        (name, logging.INFO, "NOTICE: at notice"),
        (name, logging.WARNING, "WARNING: at warning"),
    ]


def test_a_log_record_carries_sqlstate_detail_and_hint(face: Face, log: pytest.LogCaptureFixture) -> None:
    face.execute(FIELDS)
    (record,) = log.records
    extra: Any = record
    assert (extra.severity, extra.sqlstate) == ("WARNING", "01W01")
    assert (extra.detail, extra.hint) == ("ten sheets", "buy some")


def test_a_function_is_given_every_field(face: Face) -> None:
    seen: list[Notice] = []
    face.on_notice(seen.append)
    face.execute(FIELDS)
    (notice,) = seen
    assert notice.where is not None
    assert "line 1" in notice.where
    assert notice == Notice(
        severity="WARNING",
        sqlstate="01W01",
        message="low on paper",
        detail="ten sheets",
        hint="buy some",
        where=notice.where,
        position=None,
        schema="office",
        table="printers",
        column="paper",
        data_type="sheets",
        constraint="enough",
    )


def test_it_is_a_decorator_and_all_functions_hear_until_they_are_removed(face: Face) -> None:
    database = SyncDatabase.over(face._pool, face._settings, opens_on_use=False)
    heard: list[tuple[str, str]] = []

    @database.on_notice
    def first(notice: Notice) -> None:
        heard.append(("first", notice.message))

    def second(notice: Notice) -> None:
        heard.append(("second", notice.message))

    assert database.on_notice(second) is second
    database.on_notice(second)  # once is enough
    face.execute(RAISE.format("notice 'a'"))
    assert heard == [("first", "a"), ("second", "a")]
    database.remove_on_notice(first)
    face.execute(RAISE.format("notice 'b'"))
    assert heard[2:] == [("second", "b")]
    face.remove_on_notice(second)
    face.execute(RAISE.format("notice 'c'"))
    assert len(heard) == 3
    with pytest.raises(ValueError, match="does not hear"):
        face.remove_on_notice(second)


def test_a_function_that_raises_is_logged_and_breaks_nothing(
    face: Face, log: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def fails(_: Notice) -> None:
        raise ZeroDivisionError("mine")

    face.on_notice(fails)
    face.on_notice(lambda notice: heard.append(notice.message))
    with face.transaction():
        face.execute(RAISE.format("notice 'a'"))
        assert face.query_val("SELECT 1") == 1
    assert heard == ["a"]
    (record,) = [record for record in log.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_a_function_that_uses_its_connection_is_told_that_it_cannot(
    face: Face, log: pytest.LogCaptureFixture
) -> None:
    def asks(_: Notice) -> None:
        for slot in face._pool.slots():
            slot.connection.is_alive()

    face.on_notice(asks)
    face.execute(RAISE.format("notice 'a'"))
    assert face.query_val("SELECT 1") == 1
    assert "the call that called back" in log.text


@pytest.mark.parametrize("function", [None, 5, "print"])
def test_what_is_no_function_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match="on_notice takes a function"):
        Database("postgresql://nobody@localhost/nowhere").on_notice(function)


def test_a_coroutine_function_is_refused() -> None:
    async def hear(_: Notice) -> None: ...

    with pytest.raises(TypeError, match="nobody would await"):
        Database("postgresql://nobody@localhost/nowhere").on_notice(hear)


def test_notices_of_every_connection_are_heard_those_of_the_start_up_too(open_face: OpenFace) -> None:
    script = [
        accept_startup(),
        send(messages.notice_response("01000", "take care"), messages.authentication_ok()),
        ready(),
        expect_eof(),
    ]
    heard: list[tuple[str, str | None]] = []
    with ScriptedBackend(script, script) as backend:
        face = open_face(backend.url(), 0, 2)
        face.on_notice(lambda notice: heard.append((notice.message, notice.sqlstate)))
        with SyncDatabase.over(face._pool, face._settings, opens_on_use=False) as database:
            for slot in [database._acquire(None) for _ in range(2)]:
                database._release(slot)
        assert heard == [("take care", "01000")] * 2


def test_both_faces_hear_what_either_is_told(open_face: OpenFace, url: str) -> None:
    face = open_face(url, 1, 2)
    other = SyncDatabase.over(face._pool, face._settings, opens_on_use=False)
    heard: list[str] = []
    other.on_notice(lambda notice: heard.append(notice.message))
    face.execute(RAISE.format("notice 'of the one'"))
    other.execute(RAISE.format("notice 'of the other'"))
    assert heard == ["of the one", "of the other"]


async def test_calls_behind_each_other_on_one_connection_are_all_heard(url: str) -> None:
    async with Database(url, 1, 1) as database:
        heard: list[str] = []
        database.on_notice(lambda notice: heard.append(notice.message))
        together = [database.execute(RAISE.format(f"notice 'n{n}'")) for n in range(10)]
        await asyncio.gather(*together)
        assert sorted(heard) == sorted(f"n{n}" for n in range(10))


def test_functions_come_and_go_while_others_hear() -> None:
    notices = Notices()
    is_over = threading.Event()

    def churn() -> None:
        while not is_over.is_set():
            own: list[Notice] = []
            function = own.append
            notices.add(function)
            notices.remove(function)

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    heard: list[Notice] = []
    notices.add(heard.append)
    for _ in range(500):
        notices.hear({"M": "x"})
    is_over.set()
    for thread in threads:
        thread.join()
    assert len(heard) == 500
    assert heard[0] == Notice("NOTICE", None, "x")


@pytest.mark.parametrize(
    ("fields", "severity", "level"),
    [
        ({"S": "WARNUNG", "V": "WARNING"}, "WARNING", logging.WARNING),
        ({"S": "HINWEIS"}, "HINWEIS", logging.WARNING),
        ({"V": "DEBUG5"}, "DEBUG5", logging.DEBUG),
        ({}, "NOTICE", logging.INFO),
        ({"V": "NOTICE", "P": "1" * 5000}, "NOTICE", logging.INFO),
        ({"V": "NOTICE", "P": "²"}, "NOTICE", logging.INFO),
    ],
)
def test_any_fields_make_a_notice(fields: dict[str, str], severity: str, level: int) -> None:
    notice = Notice.of(fields)
    assert (notice.severity, notice.level, notice.position) == (severity, level, None)
