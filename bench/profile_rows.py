"""Runs of one purpose for a profiler: N times the same rows, or the same lookup, without a server.

    python bench/profile_rows.py count                 instructions per row and per lookup, of every driver
    valgrind --tool=callgrind python bench/profile_rows.py run rows native --repeat 3

What a real server once said is recorded first (`build/bench/`) and then replayed: to `native`, our extension
alone, and `bare`, which reads and decodes nothing, over a socketpair in this process; to whole drivers from a
process of its own. Counts hardly depend on the machine's load, so they compare two versions of the code where
clocks cannot.
`count` runs each twice under valgrind and divides the difference, which leaves out the start-up.
"""

import argparse
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import asyncpg  # type: ignore[import-untyped]
import psycopg
from _bare import message
from _harness import OURS, RESULTS, Failed
from _main import warn_of_debug
from _place import Place, started
from _replay import READY, Recording, Replayer, record
from hyperdjango.database import Database, SyncDatabase
from hyperdjango.database._native import native
from psycopg.rows import dict_row
from rows import COLUMNS, ROWS

ONE_USER: Final = """
    SELECT i AS id, 'user ' || i AS name, i % 3 = 0 AS active,
        timestamptz '2026-01-01 00:00:00.061+00' AS created_at
    FROM (SELECT $1::int4 AS i) AS one
"""
SHAPES: Final = {
    "rows": (f"SELECT {COLUMNS} FROM generate_series(1, $1::int4) AS i", [ROWS]),
    "lookup": (ONE_USER, [4711]),
}
# Operations of the two runs whose counts are subtracted.
REPEATS: Final = {"rows": (1, 3), "lookup": (100, 600)}
DICT: Final = 1  # the sink that makes dicts, as Database asks for it
DONE: Final = 1
UNIX_PORT: Final = 5432


class Feed:
    """The other end of our socket: replays to `native` and `bare` without a second thread."""

    def __init__(self, recording: Recording) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.ours.setblocking(False)
        self._theirs.setblocking(False)
        self._replayer = Replayer(recording)
        self._reply = memoryview(message(b"2") + recording.execution + READY)
        self._left = self._reply[:0]

    def answer(self) -> None:
        """Parse what was sent, if anything was, and have its reply ready."""
        with suppress(BlockingIOError):
            self._left = memoryview(self._replayer.answer(self._theirs.recv(1 << 16)))

    def answer_again(self) -> None:
        """Throw away what was sent, known to be Bind, Execute, Sync, and have the rows ready."""
        self._theirs.recv(1 << 16)
        self._left = self._reply

    @property
    def is_waiting(self) -> bool:
        """Whether some of the reply is not sent yet."""
        return bool(self._left)

    def push(self) -> None:
        """Send as much of the reply as the socket takes."""
        try:
            while self._left:
                self._left = self._left[self._theirs.send(self._left) :]
        except BlockingIOError:
            return

    def __enter__(self) -> Self:
        """Both ends are open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close both ends."""
        self.ours.close()
        self._theirs.close()


def run_native(recording: Recording, repeat: int) -> Any:
    """Decode with the extension alone; return the last result."""
    rows: Any = None
    with Feed(recording) as feed:
        connection = native.Connection(feed.ours.fileno(), None, native.TypeMap())
        with closing(connection):
            _start(connection, feed)
            for turn in range(repeat + 1):
                request = connection.submit(
                    recording.sql, tuple(recording.parameters), DICT, None, False, None
                )
                (feed.answer_again if turn else feed.answer)()
                feed.push()
                while connection.advance() != DONE:
                    if turn == 0 and not feed.is_waiting:
                        feed.answer()  # Bind follows when the types have become known
                    feed.push()
                rows = None  # the rows before these are freed here and not while others are made
                rows = request.result()
    return rows


def _start(connection: native.Connection, feed: Feed) -> None:
    connection.send_startup({"user": "bench"})
    connection.flush()
    feed.answer()
    kind = ""
    while kind != "ready":
        feed.push()
        event = connection.startup_event()
        if event is None:
            connection.receive()
        else:
            kind = event[0]


def run_bare(recording: Recording, repeat: int) -> None:
    """Move the same bytes and decode nothing."""
    buffer = bytearray(1 << 18)
    with Feed(recording) as feed:
        for _ in range(repeat):
            feed.ours.send(b"Bind, Execute, Sync")
            feed.answer_again()
            left = len(message(b"2")) + len(recording.execution) + len(READY)
            while left:
                feed.push()
                left -= feed.ours.recv_into(buffer)


@contextmanager
def replaying(path: Path) -> Iterator[str]:
    """Replay from another process; give a URI for it."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder, _replaying_at(path, folder) as backend:
        assert backend.stdin is not None
        assert backend.stdout is not None
        if not backend.stdout.readline():
            raise Failed("the replaying backend did not start")
        try:
            yield f"postgresql://bench@/bench?host={folder}&port={UNIX_PORT}"
        finally:
            backend.stdin.close()
            backend.wait(10)


def _replaying_at(path: Path, folder: str) -> subprocess.Popen[bytes]:
    program = Path(__file__).with_name("_replay.py")
    command = [sys.executable, str(program), str(path), str(Path(folder, f".s.PGSQL.{UNIX_PORT}"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def run_ours(recording: Recording, url: str, repeat: int) -> Any:
    """Run Database on asyncio."""

    async def work() -> Any:
        rows: Any = None
        async with Database(url, 1, 1) as database:
            for _ in range(repeat + 1):
                rows = None
                rows = await database.query(recording.sql, *recording.parameters)
        return rows

    return asyncio.run(work())


def run_ours_blocking(recording: Recording, url: str, repeat: int) -> Any:
    """Run SyncDatabase."""
    rows: Any = None
    with SyncDatabase(url, 1, 1) as database:
        for _ in range(repeat + 1):
            rows = None
            rows = database.query(recording.sql, *recording.parameters)
    return rows


def run_asyncpg(recording: Recording, url: str, repeat: int) -> Any:
    """Run asyncpg on asyncio, its Records made into dicts."""

    async def work() -> Any:
        rows: Any = None
        connection = await asyncpg.connect(url)
        statement = await connection.prepare(recording.sql)
        for _ in range(repeat + 1):
            rows = None
            rows = [dict(record) for record in await statement.fetch(*recording.parameters)]
        await connection.close()
        return rows

    return asyncio.run(work())


def run_psycopg(recording: Recording, url: str, repeat: int) -> Any:
    """Run psycopg, blocking."""
    rows: Any = None
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = psycopg.RawCursor(connection, row_factory=dict_row)
        for _ in range(repeat + 1):
            rows = None
            cursor.execute(recording.sql, recording.parameters, prepare=True, binary=True)
            rows = cursor.fetchall()
    return rows


IN_PROCESS: Final[dict[str, Callable[[Recording, int], Any]]] = {"bare": run_bare, "native": run_native}
WHOLE: Final[dict[str, Callable[[Recording, str, int], Any]]] = {
    OURS: run_ours,
    f"{OURS}-blocking": run_ours_blocking,
    "asyncpg": run_asyncpg,
    "psycopg-blocking": run_psycopg,
}


def run(shape: str, driver: str, repeat: int, folder: Path = RESULTS) -> Any:
    """Make one run and return its last result.

    Raises:
        Failed: It gave another number of rows than was recorded.
    """
    path = recorded(shape, folder)
    recording = Recording.read(path)
    if driver in IN_PROCESS:
        rows = IN_PROCESS[driver](recording, repeat)
    else:
        with replaying(path) as url:
            rows = WHOLE[driver](recording, url, repeat)
    if rows is not None and len(rows) != recording.rows:
        raise Failed(f"{driver} gave {len(rows)} rows where {recording.rows} were recorded")
    return rows


def recorded(shape: str, folder: Path = RESULTS) -> Path:
    """Return the file of a recording; make all of them where it is missing, in another process."""
    path = folder / "recordings" / f"{shape}.json"
    if not path.exists() or Recording.read(path).sql != SHAPES[shape][0]:
        command = [sys.executable, __file__, "record", "--folder", str(folder)]
        subprocess.run(command, check=True)
    return path


def record_all(folder: Path, place: Place) -> None:
    """Record every shape from a real server."""
    for shape, (sql, parameters) in SHAPES.items():
        record(place, sql, parameters).write(folder / "recordings" / f"{shape}.json")


def instructions_of(program: str, arguments: Sequence[str], folder: Path) -> int:
    """Count the instructions of one run of a program of this folder.

    Raises:
        Failed: There is no valgrind, or the run failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise Failed("counting instructions needs valgrind")
    command = [valgrind, "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={os.devnull}"]
    command += [sys.executable, program, *arguments, "--folder", str(folder)]
    # With another seed for hashing, dicts have other collisions.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise Failed(f"{' '.join(arguments)} failed under valgrind:\n{done.stderr}")
    return int(found[1].replace(",", ""))


def count(shape: str, driver: str, folder: Path = RESULTS) -> float:
    """Return the instructions per row, or per lookup."""
    few, many = REPEATS[shape]
    per = ROWS if shape == "rows" else 1
    first, second = (
        instructions_of(__file__, ["run", shape, driver, "--repeat", str(repeat)], folder)
        for repeat in (few, many)
    )
    return (second - first) / (many - few) / per


def main() -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drivers = [*IN_PROCESS, *WHOLE]
    one = commands.add_parser("run", help="one run, for a profiler")
    one.add_argument("shape", choices=SHAPES)
    one.add_argument("driver", choices=drivers)
    one.add_argument("--repeat", type=int, default=3)
    several = commands.add_parser("count", help="instructions per row and per lookup")
    several.add_argument("--shape", choices=SHAPES, action="append")
    several.add_argument("--driver", choices=drivers, action="append")
    make = commands.add_parser("record", help="record what a real server says")
    for command in (one, several, make):
        command.add_argument("--folder", type=Path, default=RESULTS)
    options = parser.parse_args()
    try:
        if options.command == "record":
            with started() as place:
                record_all(options.folder, place)
        elif options.command == "run":
            run(options.shape, options.driver, options.repeat, options.folder)
        else:
            warn_of_debug()
            for shape in options.shape or SHAPES:
                recorded(shape, options.folder)
                for driver in options.driver or drivers:
                    figure = count(shape, driver, options.folder)
                    per = "row" if shape == "rows" else "lookup"
                    print(f"{driver:22} {figure:12,.0f} instructions per {per}", flush=True)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
