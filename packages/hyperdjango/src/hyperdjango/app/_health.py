"""The health endpoint: whether the database answers, and how the pools do. `HyperApp` has one, at `/health`."""

import asyncio
import logging
import time
from typing import Any, Final

from starlette.responses import Response

from hyperdjango.app._answers import JSONBytes
from hyperdjango.app._databases import Databases
from hyperdjango.app._json import to_json
from hyperdjango.database import Database, Error

_logger: Final = logging.getLogger("hyperdjango.app")
# What opening raises where the databases are not what was configured; the texts hold no URL.
_MISCONFIGURED: Final = (ValueError, RuntimeError)


async def health(databases: Databases, timeout: float, *, shows_hosts: bool) -> Response:
    """Ask every database something, and report.

    Args:
        databases: The app's.
        timeout: Seconds for the answers, and for opening what is not open.
        shows_hosts: Servers are called by host and port; else by their place among those of an alias.
    Returns:
        200, or 503 where one does not answer. It says nothing of why: that is for the log. A `database` that is null
        is not configured, which is well: not every app has one.
    """
    is_well, report = True, dict[str, Any]()
    try:
        async with asyncio.timeout(timeout):
            if not databases.is_open:
                await databases.open()
    except (Error, OSError, TimeoutError):
        is_well = False
    except _MISCONFIGURED as error:
        is_well = _misconfigured(error)
    manager = databases.manager
    if manager is not None:
        answers = await asyncio.gather(*(_asked(each, timeout) for each in manager.values()))
        is_well = is_well and all(answer["answers"] for answer in answers)
        report["databases"] = {
            alias: answer | _figures(stats, shows_hosts=shows_hosts)
            for answer, (alias, stats) in zip(answers, manager.stats().items(), strict=True)
        }
    else:
        report["database"] = await _asked_one(databases, timeout, shows_hosts=shows_hosts)
        is_well = report["database"] is None or report["database"]["answers"]
    status = 200 if is_well else 503
    return JSONBytes(
        to_json({"status": "ok" if is_well else "unavailable", **report}),
        status,
        {"cache-control": "no-store"} | ({} if is_well else {"retry-after": "1"}),
    )


async def _asked_one(databases: Databases, timeout: float, *, shows_hosts: bool) -> dict[str, Any] | None:
    try:
        database = databases.database()
    except ValueError as error:
        return {"answers": _misconfigured(error)}
    if database is None:
        return None
    answer = await _asked(database, timeout)
    return answer | {"url": database.url} if shows_hosts else answer


def _misconfigured(error: Exception) -> bool:
    """Tell the log, and say no."""
    _logger.warning("503, the database is not configured rightly: %s: %s", type(error).__name__, error)
    return False


async def _asked(database: Database, timeout: float) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        # The driver's own limit does not hold while a pool is opened.
        async with asyncio.timeout(timeout):
            await database.query_val("SELECT 1", timeout=timeout)
    except (Error, OSError, TimeoutError):
        return {"answers": False, "pool": database.pool_stats()}
    milliseconds = round((time.perf_counter() - began) * 1000, 2)
    return {"answers": True, "milliseconds": milliseconds, "pool": database.pool_stats()}


def _figures(stats: dict[str, Any], *, shows_hosts: bool) -> dict[str, Any]:
    """What the manager says of an alias, with or without the names of its servers."""
    if shows_hosts:
        return stats
    return {**stats, "hosts": list(stats["hosts"].values())}


__all__ = ["health"]
