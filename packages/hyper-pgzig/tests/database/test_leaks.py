"""The warning about connections that are held for too long."""

import logging
import time

import pytest
from hyperdjango.database import SyncDatabase
from pgkit.face import OpenFace
from pgkit.until import until


def test_a_block_held_too_long_is_reported_once_with_where_it_began(
    open_face: OpenFace, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    face = open_face(url, 1, 2, leak_timeout=0.2)
    with face.transaction():
        until(lambda: caplog.records)
        time.sleep(0.5)
    [record] = caplog.records
    assert (record.name, record.levelno) == ("hyperdjango.database", logging.WARNING)
    assert "a connection has been held for" in record.getMessage()
    assert f"{__file__}:" in record.getMessage() or "pgkit/face.py:" in record.getMessage()
    assert "hyperdjango/database" not in record.getMessage().replace("tests/database", "")


def test_each_loan_counts_anew(open_face: OpenFace, url: str, caplog: pytest.LogCaptureFixture) -> None:
    face = open_face(url, 1, 1, leak_timeout=1.0)
    for _ in range(10):
        face.query("SELECT pg_sleep(0.12)")
        time.sleep(0.02)
    assert caplog.records == []
    for count in (1, 2):
        with face.transaction():
            until(lambda count=count: len(caplog.records) == count)  # type: ignore[misc]


def test_the_line_of_the_block_is_named(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with SyncDatabase(url, 1, 1, leak_timeout=0.1) as db:
        with db.transaction():
            until(lambda: caplog.records)
        assert "test_the_line_of_the_block_is_named" in caplog.text


def test_without_leak_timeout_nothing_is_taken_down(open_face: OpenFace, url: str) -> None:
    face = open_face(url)
    slot = face._acquire(None)
    assert slot.borrowing is None
    face._release(slot)
