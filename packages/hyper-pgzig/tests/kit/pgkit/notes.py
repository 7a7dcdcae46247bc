"""What tests of listeners have in common. Used by the files test_listen*.py."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

import psycopg
from hyperdjango.database import Gap, Notification

T = TypeVar("T")
SECONDS_MAX: Final = 60.0
LISTENERS: Final = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
    " AND state = 'idle'"
)
"""Gives a row for each backend whose LISTEN was carried out."""


def payload(note: Notification | Gap) -> str:
    """The text of what must be a notification."""
    assert isinstance(note, Notification), note
    return note.payload


def is_there(url: str, pid: int) -> bool:
    """Whether a backend has not ended yet."""
    with psycopg.connect(url, autocommit=True) as other:
        return other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).rowcount == 1


def terminate(url: str, pid: int) -> None:
    """End one backend, and return when it is gone."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


async def within(awaitable: Awaitable[T]) -> T:
    """Await what must come, though the machine be busy."""
    async with asyncio.timeout(SECONDS_MAX):
        return await awaitable
