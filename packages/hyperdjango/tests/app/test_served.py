"""The application as `run` serves it, in processes of its own: how it starts, ends, and loses its clients."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import httpx2
import psycopg
import pytest

SCRIPT = Path(__file__).parents[1] / "kit" / "served_app.py"
SECONDS_MAX = 60  # of anything here, on a machine that is busy with other things
SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM pg_sleep(%' AND state = 'active' "
    "AND datname = current_database() AND pid <> pg_backend_pid()"
)
OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Serve(Protocol):
    def __call__(self, workers: int = 1, *more: str, port: int | None = None) -> "Served": ...


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Served:
    """A process group that serves the application."""

    def __init__(self, database_url: str, workers: int, *more: str, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(self.port), str(workers), *more],
            env={**os.environ, "DATABASE_URL": database_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that Ctrl-C can be sent to all of them, as a terminal does
        )
        wait_until(lambda: self.process.poll() is not None or self.answers())
        assert self.process.poll() is None, self.output()

    def answers(self) -> bool:
        try:
            return self.get("/process").status_code == 200
        except httpx2.TransportError:
            return False

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", timeout=SECONDS_MAX, trust_env=False)

    def output(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < until, "it has not come true"
        time.sleep(0.02)


@pytest.fixture
def serve(database_url: str) -> Iterator[Serve]:
    started: list[Served] = []

    def start(workers: int = 1, *more: str, port: int | None = None) -> Served:
        started.append(Served(database_url, workers, *more, port=port))
        return started[-1]

    yield start
    for served in started:
        served.end()


@pytest.fixture
def count(database_url: str) -> Iterator[Callable[[str], Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:

        def ask(sql: str) -> Any:
            row = connection.execute(sql.encode()).fetchone()
            assert row is not None
            return row[0]

        yield ask


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
@pytest.mark.parametrize("workers", [1, 2])
def test_it_ends_when_what_runs_is_answered_and_leaves_no_connection(
    how: str, workers: int, serve: Serve, count: Callable[[str], Any]
) -> None:
    served = serve(workers)
    assert served.get("/row").text == '[{"id":1}]'
    assert count(OTHERS) > 0
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.get, "/sleep/1.5")
        wait_until(lambda: count(SLEEPING) == 1)
        if how == "SIGTERM":
            served.process.terminate()
        else:
            os.killpg(served.process.pid, signal.SIGINT)
        assert answer.result(SECONDS_MAX).json() == {"slept": 1.5}
    assert served.process.wait(SECONDS_MAX) == 0, served.output()
    assert "Traceback" not in served.output()
    wait_until(lambda: count(OTHERS) == 0)


def test_a_client_that_hangs_up_ends_its_query(serve: Serve, count: Callable[[str], Any]) -> None:
    served = serve()
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"GET /sleep/3600 HTTP/1.1\r\nHost: here\r\n\r\n")
        wait_until(lambda: count(SLEEPING) == 1)
    wait_until(lambda: count(SLEEPING) == 0)
    wait_until(lambda: served.get("/health").json()["database"]["pool"]["busy"] == 0)
    assert served.get("/row").text == '[{"id":1}]'


def test_workers_are_processes_with_a_pool_each(serve: Serve) -> None:
    served = serve(2)
    found: set[int] = set()

    def both() -> bool:
        found.add(served.get("/process").json()["process"])
        return len(found) == 2

    wait_until(both)
    assert served.process.pid not in found


def test_workers_that_inherit_nothing_import_the_app(serve: Serve) -> None:
    assert serve(1, "spawn").get("/row").text == '[{"id":1}]'


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_taken_is_an_error_and_who_has_it_keeps_every_request(
    workers: int, serve: Serve
) -> None:
    served = serve()
    second = subprocess.run(
        [sys.executable, str(SCRIPT), str(served.port), str(workers)],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert second.returncode == 1
    assert f"OSError: [Errno {errno.EADDRINUSE}] cannot listen at 127.0.0.1:{served.port}: " in second.stderr
    assert served.answers()


def test_a_port_that_was_served_a_moment_ago_is_free(serve: Serve) -> None:
    first = serve(2)
    with socket.create_connection(("127.0.0.1", first.port)) as client:
        client.sendall(b"GET /process HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        while client.recv(4096):  # until the server closes, whose side then waits for what is late
            pass
    first.process.terminate()
    assert first.process.wait(SECONDS_MAX) == 0, first.output()
    assert serve(2, port=first.port).answers()
