"""`hyper demo`, as a user starts it: on a server of its own, on a given one, and interrupted."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hyperdjango._demo import trips
from hyperdjango._demo.steps import STEPS
from hyperdjango._demo.tour import duration
from hyperdjango.database import Database

COMMAND = [sys.executable, "-c", "from hyperdjango._cli import main; main()", "demo", "--rows", "2000"]


@pytest.fixture
def temporary_folder() -> Iterator[Path]:
    """Where the demo's server is made: short enough for a socket, open to the server's user."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return {**kept, "COLUMNS": "140", "PYTHONUNBUFFERED": "1", **more}


def run(**more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, env=environment(**more), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.postgres
def test_the_demo_runs_every_step_on_a_server_of_its_own(temporary_folder: Path) -> None:
    done = run(TMPDIR=str(temporary_folder))
    assert done.returncode == 0, done.stdout + done.stderr
    for step in STEPS:
        assert f"done {step.name} (" in done.stdout
        assert f"│ {step.name} " in done.stdout
    assert "2,000 rows" in done.stdout
    assert "SQLSTATE 23505" in done.stdout
    assert "read back unchanged" in done.stdout
    assert "2,000 lookups by " in done.stdout
    assert "while 1 call slept 300.0 ms, " in done.stdout
    assert "20 lookups done beside a DivisionByZero; sent in " in done.stdout
    assert "behind a savepoint: 4 round trips; none at all: 0 round trips" in done.stdout
    assert "QueryTimeout after " in done.stdout
    assert "│ a read                      │ replica │" in done.stdout
    assert "│ a read, pinned              │ primary │" in done.stdout
    assert "│ a write after the promotion │ primary │" in done.stdout
    assert "none lost" in done.stdout
    assert list(temporary_folder.glob("hyper-pg-*")) == []


def test_on_a_given_server_it_leaves_no_schema(database_url: str) -> None:
    done = run(DATABASE_URL=database_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Using the server of DATABASE_URL" in done.stdout
    assert "left out: it copies and stops the server" in done.stdout
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ 'demo'").fetchall() == []


@pytest.mark.postgres
def test_interrupted_it_leaves_no_server(temporary_folder: Path) -> None:
    with subprocess.Popen(
        [*COMMAND[:-1], "100000"],
        env=environment(TMPDIR=str(temporary_folder)),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stdout is not None
        seen = ""
        for line in demo.stdout:
            seen += line
            if "done execute_many" in line:
                demo.send_signal(signal.SIGINT)
                break
        rest = demo.stdout.read()
        assert demo.wait(60) == 130, seen + rest
    assert "nothing was left behind" in rest
    assert list(temporary_folder.glob("hyper-pg-*")) == []


def test_a_server_that_cannot_be_reached_is_one_line_and_exit_code_1() -> None:
    done = run(DATABASE_URL="postgres://nobody:secret-word@127.0.0.1:1/nowhere?connect_timeout=3")
    assert done.returncode == 1
    assert "The demo stopped:" in done.stdout
    assert "secret-word" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_times_have_a_unit_that_suits_them() -> None:
    assert duration(0.0123) == "12.3 ms"
    assert duration(2.5) == "2.50 s"


async def test_what_is_sent_is_counted_by_the_kernel(database_url: str) -> None:
    async with Database(database_url, 1, 1) as db:
        await db.query_val("SELECT 1")
        counted = trips.Trips(db)
        assert counted.take() == 0
        for _ in range(3):
            await db.query_val("SELECT 1")
        assert counted.take() == 3
        assert trips.text_of(counted.take()) == "0 round trips"


async def test_where_the_kernel_does_not_count_the_demo_says_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(database_url, 1, 1) as db:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert trips.text_of(trips.Trips(db).take()) == trips.NOT_COUNTED


def test_counts_have_their_unit() -> None:
    assert [trips.text_of(count, "piece") for count in (0, 1, 2000)] == [
        "0 pieces",
        "1 piece",
        "2,000 pieces",
    ]
