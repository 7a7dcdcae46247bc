"""A value as SQL text comes back from the server as the same value, whatever it holds."""

from __future__ import annotations

import ipaddress
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hyperdjango.database import DataError, SyncDatabase
from hyperdjango.models._literals import literal, quoted
from hypothesis import given, settings
from hypothesis import strategies as st


class Word(StrEnum):
    ONE = "o'ne"


VALUES: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (-5, -5),
    (2**70, Decimal(2**70)),
    (1.5e300, 1.5e300),
    (-math.inf, -math.inf),
    (Decimal("1.50"), Decimal("1.50")),
    (Decimal("1E+3"), Decimal(1000)),
    (Decimal("Infinity"), Decimal("Infinity")),
    (Word.ONE, "o'ne"),
    (b"\x00'\\\xff", b"\x00'\\\xff"),
    (date(2026, 2, 3), date(2026, 2, 3)),
    (datetime(2026, 2, 3, 4, 5, 6, 7), datetime(2026, 2, 3, 4, 5, 6, 7)),
    (datetime(2026, 2, 3, tzinfo=timezone(timedelta(hours=5))), datetime(2026, 2, 2, 19, tzinfo=UTC)),
    (time(1, 2, 3), time(1, 2, 3)),
    (timedelta(days=-3, microseconds=7), timedelta(days=-3, microseconds=7)),
    (UUID(int=5), UUID(int=5)),
    (ipaddress.ip_address("::1"), "::1"),
    (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
    ({"a": 'it\'s \\ "x"'}, {"a": 'it\'s \\ "x"'}),
    ([1, 2], [1, 2]),
    (["a'", None], ["a'", None]),
]


@pytest.mark.postgres
@pytest.mark.parametrize("conforming", ["on", "off"])
def test_every_kind_of_value_comes_back(database_url: str, conforming: str) -> None:
    with SyncDatabase(database_url) as db:
        for value, expected in VALUES:
            text = f"SET LOCAL standard_conforming_strings = {conforming}"
            with db.transaction():
                db.execute(text)
                assert db.query_val(f"SELECT {literal(value)}") == expected


@pytest.mark.postgres
@pytest.mark.parametrize("conforming", ["on", "off"])
def test_every_text_comes_back_whatever_standard_conforming_strings_is(
    database_url: str, conforming: str
) -> None:
    with SyncDatabase(database_url) as db, db.transaction():
        db.execute(f"SET LOCAL standard_conforming_strings = {conforming}")

        @settings(max_examples=50, deadline=None)
        @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text("'\\E$"))
        def comes_back(text: str) -> None:
            assert db.query_val(f"SELECT {quoted(text)}") == text

        comes_back()


def test_what_has_no_constant_is_refused() -> None:
    with pytest.raises(DataError, match="must not contain NUL"):
        literal("a\0b")
    with pytest.raises(DataError, match="a value of object cannot be written into DDL"):
        literal(object())
