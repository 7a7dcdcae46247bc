"""The pytest plugin, in runs of pytest of its own: its fixtures, and what it costs who does not use them."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

CONFIGURATION = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""

FIXTURES = """
import os

import pytest
from hyperdjango.database import Database, SyncDatabase


@pytest.fixture
async def db():
    async with Database(os.environ["DATABASE_URL"], 1, 2) as database:
        await database.execute("CREATE TABLE IF NOT EXISTS t (id int4 PRIMARY KEY, note text)")
        yield database


@pytest.fixture
def sync_db():
    with SyncDatabase(os.environ["DATABASE_URL"], 1, 2) as database:
        database.execute("CREATE TABLE IF NOT EXISTS t (id int4 PRIMARY KEY, note text)")
        yield database
"""

TESTS = """
async def test_right(db, assert_num_queries, capture_queries, assert_no_seq_scan):
    with assert_num_queries(db, 2), capture_queries(db) as queries:
        await db.query("SELECT 1")
        await db.query("SELECT 2")
    assert [event.sql for event in queries] == ["SELECT 1", "SELECT 2"]
    await assert_no_seq_scan(db, "SELECT * FROM t WHERE id = $1", 1)


async def test_too_many(db, assert_num_queries):
    with assert_num_queries(db, 1):
        await db.query("SELECT 'first'")
        await db.query("SELECT 'second'")


async def test_scan(db, assert_no_seq_scan):
    await assert_no_seq_scan(db, "SELECT * FROM t WHERE note = $1", "x")


def test_blocking(sync_db, assert_num_queries, assert_no_seq_scan):
    with assert_num_queries(sync_db, 1):
        sync_db.query("SELECT 1")
    assert_no_seq_scan(sync_db, "SELECT * FROM t WHERE id = $1", 1)
"""

UNRELATED = """
import sys


def test_nothing_of_the_driver_is_loaded():
    assert [name for name in sys.modules if name.startswith("hyperdjango.database")] == []
    assert "hyperdjango._hyperdjango_native" not in sys.modules
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makefile(".ini", pytest=CONFIGURATION)
    return pytester


def test_fixtures_are_there_by_themselves_and_say_what_was_wrong(
    project: pytest.Pytester, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    project.makeconftest(FIXTURES)
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess("-q")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "E * AssertionError: 2 queries were made, 1 expected",
            "E * 1. SELECT 'first'",
            "E * 2. SELECT 'second'",
            "E * AssertionError: sequential scan of t: no index can serve it",
            "E *Seq Scan on t*",
        ]
    )


def test_who_does_not_use_it_does_not_load_the_driver(project: pytest.Pytester) -> None:
    project.makepyfile(UNRELATED)
    project.runpytest_subprocess("-q").assert_outcomes(passed=1)
    listed = project.runpytest_subprocess("--fixtures", "-q").stdout.str()
    for name in ("capture_queries", "assert_num_queries", "assert_no_seq_scan"):
        assert f"{name} [session scope]" in listed


def test_it_can_be_switched_off(project: pytest.Pytester) -> None:
    project.makepyfile("def test_fixture(capture_queries): pass")
    result = project.runpytest_subprocess("-q", "-p", "no:hyperdjango_database")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'capture_queries' not found"])


def test_it_loads_where_the_extension_is_not_built() -> None:
    program = (
        "import sys; sys.modules['hyperdjango._hyperdjango_native'] = None\n"
        "import hyperdjango._pytest_plugin, hyperdjango.database.testing\n"
        "print('loaded')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "loaded"
