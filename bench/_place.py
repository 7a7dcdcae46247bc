"""Where the benchmarks run: the server they start, and the words that describe machine and versions.

Called by every question's `main` and by `run.py`.
"""

import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal, Self

import psycopg
from _harness import Failed
from hyperdjango.database._embedded_server import SUPERUSER, EmbeddedServer
from hyperdjango.database._native import native

Transport = Literal["unix", "tcp"]
Pinning = Literal["none", "same", "apart"]

# The bare sockets know no authentication. Vacuum's own rhythm would meet one driver and not another.
_PG_HBA: Final = ("host all all 127.0.0.1/32 trust",)
_SETTINGS: Final = {"autovacuum": "off", "shared_buffers": "256MB"}
_MEMORY: Final = Path("/proc/meminfo")
_PROCESSORS: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Place:
    """A server to measure against, as each kind of driver wants to be told."""

    url: str
    address: str | tuple[str, int]  # for a bare socket
    transport: Transport
    user: str = SUPERUSER
    database: str = "postgres"
    pinning: Pinning = "none"

    @classmethod
    def of(cls, server: EmbeddedServer, transport: Transport = "unix", database: str = "postgres") -> Self:
        """Take it from a running server."""
        address: str | tuple[str, int] = ("127.0.0.1", server.port)
        if transport == "unix":
            address = str(server.socket_folder / f".s.PGSQL.{server.port}")
        url = server.url_for(database, unix_socket=transport == "unix")
        return cls(url, address, transport, database=database)


@contextmanager
def started(transport: Transport = "unix", pinning: Pinning = "none") -> Iterator[Place]:
    """Start a server of our own and remove it afterwards.

    Args:
        transport: How to reach it.
        pinning: On which processors the two sides run. A scheduler may leave one driver's backend beside its
            client and put another's away from it, for a whole run; pinned, all have the same.
    """
    if pinning == "none":
        with EmbeddedServer(pg_hba=_PG_HBA, settings=_SETTINGS) as server:
            yield Place.of(server, transport)
        return
    if not hasattr(os, "sched_setaffinity"):
        raise Failed("this system cannot pin processes to processors")
    allowed = os.sched_getaffinity(0)
    first, *others = sorted(allowed)
    if pinning == "apart" and not others:
        raise Failed("there is one processor only: client and server cannot be pinned apart")
    try:
        # The server inherits ours.
        os.sched_setaffinity(0, others if pinning == "apart" else {first})
        with EmbeddedServer(pg_hba=_PG_HBA, settings=_SETTINGS) as server:
            os.sched_setaffinity(0, {first})
            yield replace(Place.of(server, transport), pinning=pinning)
    finally:
        os.sched_setaffinity(0, allowed)


def host_and_port(place: Place) -> tuple[str, int]:
    """Return the two as libpq means them: the host of a Unix socket is its folder."""
    if isinstance(place.address, tuple):
        return place.address
    path = Path(place.address)
    return str(path.parent), int(path.suffix[1:])


def build_mode() -> str:
    """Return how the extension was compiled: `safe`, `debug` …, or `unknown`."""
    found = re.search(r", (\w+), python", native.BUILD_INFO)
    return found[1].lower() if found else "unknown"


def is_release() -> bool:
    """Whether the extension is built as it is shipped. Figures of another one mean nothing."""
    return build_mode() in {"safe", "releasesafe"}


def environment(place: Place) -> dict[str, Any]:
    """Describe machine and versions. Nothing in it says whose machine it is."""
    with psycopg.connect(place.url) as connection:
        server = connection.info.parameter_status("server_version")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} processors, {_memory()}, {platform.machine()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
        "server": f"PostgreSQL {server}",
        "transport": place.transport,
        "pinning": place.pinning,
        "extension": native.BUILD_INFO,
        "is_release": is_release(),
        "versions": {name: metadata.version(name) for name in ("hyper-pgzig", "asyncpg", "psycopg", "uvloop")}
        | {"libpq": _libpq(), "psycopg implementation": psycopg.pq.__impl__},
    }


def _libpq() -> str:
    number = psycopg.pq.version()
    return f"{number // 10000}.{number % 10000}"


def _processor() -> str:
    if _PROCESSORS.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", _PROCESSORS.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or "unknown processor"


def _memory() -> str:
    if _MEMORY.exists():
        found = re.search(r"^MemTotal:\s*(\d+) kB", _MEMORY.read_text(), re.MULTILINE)
        if found:
            return f"{int(found[1]) / 2**20:.0f} GiB"
    return "unknown memory"
