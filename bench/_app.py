"""What `app_list` and `app_row` share: both applications served, and wrk in front of them in turns."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg
from _harness import (
    CPU,
    WALL,
    Answer,
    Contender,
    Face,
    Failed,
    Figures,
    Plan,
    Samples,
    Verdict,
    Who,
    lines_with,
    take_turns,
)
from _place import Place, environment

APP: Final = "hyperdjango"
PEER: Final = "FastAPI, asyncpg"
FACE: Final[Face] = "uvloop"
SERVED: Final = {APP: "hyper", PEER: "fastapi"}
TABLE_ROWS: Final = 10_000
CLIENTS: Final = 16
REACHED: Final = 1.5
START_SECONDS: Final = 60
_SERVER: Final = Path(__file__).with_name("_app_server.py")
_TICK: Final = os.sysconf("SC_CLK_TCK")
PER_SECOND: Final = "requests"


@dataclass(frozen=True)
class Served:
    """One application, served: a contender."""

    driver: str
    port: int
    process: int
    path: str
    face: Face = FACE

    def show(self, key: int) -> Any:
        """Return one response, read."""
        with urllib.request.urlopen(self._url(key), timeout=START_SECONDS) as response:
            assert response.headers["content-type"] == "application/json"
            return _comparable(json.load(response))

    def turn(self, keys: Sequence[int]) -> Figures:
        """Have wrk ask for a tenth of a second per key: an operation is that here."""
        began = _cpu_ticks(self.process)
        command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{max(1, round(len(keys) / 10))}s", self._url(keys[0])]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        count, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
        if count is None or rate is None or "Non-2xx" in said or "Socket errors" in said:
            raise Failed(f"{self.driver} did not answer every request:\n{said}")
        # Of its processes, in nanoseconds; that of PostgreSQL and of wrk is not in it.
        cpu = (_cpu_ticks(self.process) - began) / _TICK * 1e9
        return Figures(
            {WALL: 1e9 / float(rate[1]), PER_SECOND: float(rate[1]), CPU: cpu / max(1, int(count[1]))}
        )

    def _url(self, key: int) -> str:
        return f"http://127.0.0.1:{self.port}{self.path.format(key)}"


def _comparable(value: Any) -> Any:
    """Numbers and moments in one form: numeric is a number of ours, and text of orjson's."""
    if isinstance(value, list):
        return [_comparable(each) for each in value]
    if isinstance(value, dict):
        return {name: _comparable(each) for name, each in value.items()}
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _cpu_ticks(process: int) -> int:
    """User and system time of a process and its children, in clock ticks (Linux)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12]) + sum(_cpu_ticks(int(child)) for child in children)


def _make_table(place: Place) -> None:
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_app")
        connection.execute(
            "CREATE TABLE bench_app (id int PRIMARY KEY, name text NOT NULL, price float8 NOT NULL, "
            "active boolean NOT NULL, made timestamptz NOT NULL)"
        )
        connection.execute(
            "INSERT INTO bench_app SELECT i, 'name ' || i, i + 0.25, i % 2 = 0, '2026-01-01 00:00+00'::timestamptz "
            f"+ i * interval '1 hour' FROM generate_series(1, {TABLE_ROWS}) i".encode()
        )
        connection.execute("VACUUM ANALYZE bench_app")


@contextmanager
def _served(place: Place, name: str, path: str) -> Iterator[Contender]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(_SERVER), SERVED[name], str(port)],
        env={**os.environ, "DATABASE_URL": place.url},
        start_new_session=True,
    )
    served = Served(name, port, process.pid, path)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                served.show(1)
            except OSError as error:
                if process.poll() is not None or time.monotonic() > until:
                    raise Failed(f"{name} is not served: {error}") from error
                time.sleep(0.05)
            else:
                break
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)


def _rate(samples: Samples) -> float:
    """How many times the peer's requests ours are, within a round."""
    pairs = zip(samples[APP, FACE], samples[PEER, FACE], strict=True)
    return median([ours.of(PER_SECOND) / theirs.of(PER_SECOND) for ours, theirs in pairs])


def answer(place: Place, plan: Plan, *, question: str, title: str, path: str) -> Answer:
    """Measure one path of both applications.

    Raises:
        Failed: There is no wrk, or not every request was answered.
    """
    if shutil.which("wrk") is None:
        raise Failed("no wrk: install it (Debian: apt-get install wrk)")
    described = environment(place)
    names = ("hyperdjango", "starlette", "granian", "fastapi", "orjson")
    described["versions"] |= {name: metadata.version(name) for name in names}
    _make_table(place)
    with ExitStack() as stack:
        served = [stack.enter_context(_served(place, name, path)) for name in SERVED]
        samples = take_turns(served, range(1, TABLE_ROWS + 1), plan)

    def peer(face: Face) -> Who:
        return PEER, face

    rate = _rate(samples)
    return Answer(
        question=question,
        title=title,
        units={"wall": "µs", "requests": "1/s", "CPU": "µs"},
        setting={
            "rounds": plan.rounds,
            "seconds per turn": max(1, round(plan.operations / 10)),
            "clients": CLIENTS,
            "seed": plan.seed,
        },
        environment=described,
        lines=lines_with(
            samples,
            {"wall": WALL, "requests": PER_SECOND, "CPU": CPU},
            {"wall ÷ FastAPI": (peer, WALL), "CPU ÷ FastAPI": (peer, CPU)},
        ),
        verdicts=[
            Verdict(
                f"FastAPI with asyncpg serves at most 1 / {REACHED} of the requests ({question})",
                1 / REACHED,
                1 / rate,
            )
        ],
        notes=[
            f"wrk with {CLIENTS} connections, to one application at a time.",
            "Both are served by granian: one worker, uvloop, a pool of 8 connections.",
            "wall is a second divided by the requests in it.",
            "CPU is that of the application's processes for each request; PostgreSQL and wrk run on the same machine.",
            "FastAPI returns responses that orjson has written, and validates nothing.",
        ],
    )
