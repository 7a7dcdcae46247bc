"""Memory does not grow with the number of rows that are copied in, copied out, or streamed.

Nor does it where the backend takes nothing: rows are not asked for then. A million rows have a process of
their own, which first moves a few and then all of them: what the kernel has counted as its peak may grow by
a few megabytes at most, where the rows alone are a hundred.
Linux: proc_pid_status(5), "VmHWM".
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hyperdjango.database import QueryTimeout
from pgkit.face import Face

FEW: Final = 30_000
MANY: Final = 1_000_000
GROWTH_MAX_KB: Final = 12_000
SECONDS_MAX: Final = 300

PROGRAM: Final = """
import asyncio, sys
from hyperdjango.database import Database, SyncDatabase

url, face, kind, few, many = sys.argv[1:4] + [int(sys.argv[4]), int(sys.argv[5])]
TABLE = "CREATE UNLOGGED TABLE IF NOT EXISTS t (n int4, s text)"
LINE = "x" * 90

def rows(count):
    return f"SELECT n, repeat('x', 90) AS s FROM (SELECT generate_series(1, {count}) AS n) q"

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

def lines(count):
    for n in range(count):
        yield f"{n}\\t{LINE}\\n"

def records(count):
    for n in range(count):
        yield n, LINE

async def lines_async(count):
    for n in range(count):
        yield f"{n}\\t{LINE}\\n"

async def records_async(count):
    for n in range(count):
        yield n, LINE

def blocking(db, count):
    if kind == "copy":
        assert db.execute("COPY t FROM STDIN", lines(count)).rows == count
    elif kind == "copy_records":
        assert db.copy_records("t", records(count)).rows == count
    elif kind == "copy_out":
        assert sum(map(len, db.copy_out(f"COPY ({rows(count)}) TO STDOUT"))) > 90 * count
    elif kind == "rows":
        assert sum(1 for _ in db.copy_out(f"COPY ({rows(count)}) TO STDOUT", into=tuple)) == count
    else:
        assert sum(1 for _ in db.stream(rows(count), into=tuple)) == count

async def on_loop(db, count):
    if kind == "copy":
        assert (await db.execute("COPY t FROM STDIN", lines_async(count))).rows == count
    elif kind == "copy_records":
        assert (await db.copy_records("t", records(count))).rows == count
    elif kind == "async records":
        assert (await db.copy_records("t", records_async(count))).rows == count
    elif kind == "copy_out":
        size = parts = 0
        async for part in db.copy_out(f"COPY ({rows(count)}) TO STDOUT"):
            size += len(part)
            parts += 1
            await asyncio.sleep(0.001 if parts % 20 else 0.05)  # a slow reader: the backend waits
        assert size > 90 * count
    else:
        source = db.stream(rows(count), into=tuple) if kind == "stream" else db.copy_out(
            f"COPY ({rows(count)}) TO STDOUT", into=tuple)
        seen = 0
        async for _ in source:
            seen += 1
        assert seen == count

async def main():
    async with Database(url, 1, 1) as db:
        await db.execute(TABLE)
        await on_loop(db, few)
        before = peak()
        await on_loop(db, many)
        return peak() - before

def main_blocking():
    with SyncDatabase(url, 1, 1) as db:
        db.execute(TABLE)
        blocking(db, few)
        before = peak()
        blocking(db, many)
        return peak() - before

print(asyncio.run(main()) if face == "async" else main_blocking())
"""

KINDS: Final = [
    *(("sync", kind) for kind in ("copy", "copy_records", "copy_out", "rows", "stream")),
    *(("async", kind) for kind in ("copy", "copy_records", "async records", "copy_out", "rows", "stream")),
]


@pytest.mark.parametrize(("face", "kind"), KINDS)
def test_memory_is_flat_over_a_million_rows(url: str, face: str, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url, face, kind, str(FEW), str(MANY)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) < GROWTH_MAX_KB


# What loads rows of 10 kB, from an iterator of numbers.
LONG: Final = "x" * 10_000
SCHEMA: Final = pa.schema([("n", pa.int64()), ("s", pa.string())])
LOADS: Final[dict[str, Callable[[Face, Iterator[int]], Any]]] = {
    "copy": lambda face, ns: face.execute("COPY t FROM STDIN", (f"{n}\t{LONG}\n" for n in ns), timeout=1),
    "copy_records": lambda face, ns: face.copy_records("t", ((n, LONG) for n in ns), timeout=1),
    "execute_many": lambda face, ns: face.execute_many(
        "INSERT INTO t VALUES ($1, $2)", ((n, LONG) for n in ns), timeout=1
    ),
    "execute_many by COPY": lambda face, ns: face.execute_many(
        "INSERT INTO t (n, s) VALUES ($1, $2)", ((n, LONG) for n in ns), copy=True, timeout=1
    ),
    "ingest_arrow": lambda face, ns: face.ingest_arrow(
        "t",
        pa.RecordBatchReader.from_batches(
            SCHEMA, (pa.record_batch([[n], [LONG]], schema=SCHEMA) for n in ns)
        ),
        timeout=1,
    ),
}
# What the buffers of the kernel and of both sides may hold, several times over.
TAKEN_MAX: Final = 64 << 20


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_rows_are_not_asked_for_while_the_backend_takes_none(
    face: Face, load: Callable[[Face, Iterator[int]], Any]
) -> None:
    face.execute("CREATE UNLOGGED TABLE t (n int8, s text)")
    pid = face.query_val("SELECT pg_backend_pid()")
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for n in range(10**6):
            if n == 2000:
                os.kill(pid, signal.SIGSTOP)
            taken += n >= 2000
            yield n

    try:
        with pytest.raises(QueryTimeout):
            load(face, numbers())
    finally:
        os.kill(pid, signal.SIGCONT)
    assert taken * len(LONG) < TAKEN_MAX
    assert face.query_val("SELECT count(*) FROM t", timeout=20) == 0
