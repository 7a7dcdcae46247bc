"""Ask a database through both faces of the driver, so that one test covers the two.

Each call opens a Database of at most one connection, runs the texts in order and closes it again. The async
one runs a ticker beside it: the event loop must stay alive whatever the backend sends.
"""

import asyncio
import json
import time
from typing import Any, Final, Protocol

from hyperdjango.database import Database, SyncDatabase

LOOP_GAP_MAX_S: Final = 1.0
"""Far above what a healthy loop shows on a busy machine, far below any wait of ours."""

Rows = list[dict[str, Any]]


class Ask(Protocol):
    """What both faces look like to a test."""

    def __call__(self, url: str, *texts: str, **options: Any) -> Rows:
        """Run the texts in order on one connection and return the rows of the last one."""
        ...


def ask_sync(url: str, *texts: str, **options: Any) -> Rows:
    """Ask through SyncDatabase."""
    rows: Rows = []
    with SyncDatabase(url, 1, 1, **options) as db:
        for text in texts:
            rows = db.query(text)
    return rows


def ask_json(url: str, *texts: str, **options: Any) -> Rows:
    """Ask SyncDatabase for JSON, whose rows these are."""
    rows: Rows = []
    with SyncDatabase(url, 1, 1, **options) as db:
        for text in texts:
            rows = json.loads(db.query_json(text))
    return rows


def ask_async(url: str, *texts: str, **options: Any) -> Rows:
    """Ask through Database, on an event loop of its own."""

    async def tick(gaps: list[float]) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            gaps.append(time.monotonic() - began)

    async def ask(gaps: list[float]) -> Rows:
        ticker = asyncio.create_task(tick(gaps))
        rows: Rows = []
        try:
            async with Database(url, 1, 1, **options) as db:
                for text in texts:
                    rows = await db.query(text)
        finally:
            await asyncio.sleep(0.006)
            ticker.cancel()
        return rows

    gaps: list[float] = []
    try:
        return asyncio.run(ask(gaps))
    finally:
        assert max(gaps) < LOOP_GAP_MAX_S, f"the event loop stood still for {max(gaps):.2f} s"
