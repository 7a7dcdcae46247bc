"""The plugin `postgres_servers`: fresh databases, and what happens where there is no system server."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from postgres_servers import NO_SYSTEM_SERVER, Server

ROOT = Path(__file__).parents[4]


def names(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()}


def test_a_database_is_empty_and_utf8(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT current_setting('server_encoding'),"
            " (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
        ).fetchone()
        assert row == ("UTF8", 0)
        connection.execute("CREATE TABLE t (id int)")


def test_another_test_has_another_database(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_a_database_goes_even_when_somebody_is_still_connected(server: Server) -> None:
    name = server.create_database()
    connection = psycopg.connect(server.url_for(name))
    try:
        assert name in names(server.superuser_url)
        server.drop_database(name)
        assert name not in names(server.superuser_url)
    finally:
        connection.close()


def test_a_test_with_a_server_is_marked(request: pytest.FixtureRequest, server: Server) -> None:
    assert request.node.get_closest_marker("postgres") is not None
    assert server.major >= 15


def test_a_test_without_a_server_is_not_marked(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("postgres") is None


@pytest.mark.parametrize("ci", ["", "true"])
def test_without_a_system_server_a_skip_is_loud_and_in_ci_a_failure(tmp_path: Path, ci: str) -> None:
    inner = tmp_path / "test_inner.py"
    inner.write_text(
        "import postgres_servers\n"
        "postgres_servers.PLACES['system'] = ()\n"
        "def test_one(system_server): ...\n"
        "def test_two(system_server): ...\n"
        "def test_three(): ...\n"
    )
    kit = str(Path(__file__).parent)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "postgres_servers", "-p", "no:cacheprovider"),
            *("-c", os.devnull, f"--rootdir={tmp_path}", str(inner)),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": kit, "CI": ci, "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    loud = f"!!! 2 tests SKIPPED: {NO_SYSTEM_SERVER}."
    if ci:
        assert done.returncode == 1, done.stdout
        assert loud not in done.stdout
        assert "CI must have one" in done.stdout
    else:
        assert done.returncode == 0, done.stdout
        assert done.stdout.count(loud) == 1
