"""What runs on other interpreters is whole: the tests that are copied for them, and what a foreign wheel is asked."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import check_foreign
import check_interpreters
import pytest
from hyperdjango import _hyperdjango_native as native
from hyperdjango.database._embedded_server import EmbeddedServer
from postgres_servers import Server


def test_the_copied_tests_load_only_plugins_that_are_copied(tmp_path: Path) -> None:
    check_interpreters.copy_tests(tmp_path)
    loaded = check_interpreters.plugins_of(tmp_path / "conftest.py")
    assert loaded == ["postgres_servers", "workers"]
    kit = tmp_path / check_interpreters.TESTS / "kit"
    assert all((kit / f"{name}.py").is_file() for name in loaded)


def test_a_conftest_without_plugins_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('collect_ignore = ["x"]\n', encoding="utf-8")
    with pytest.raises(ValueError, match="has no pytest_plugins"):
        check_interpreters.plugins_of(tmp_path / "conftest.py")


@pytest.mark.parametrize("machine", [platform.machine(), "pdp11"])
def test_what_a_foreign_wheel_is_asked_is_answered_here_and_by_no_other_machine(
    embedded_server: Server, machine: str
) -> None:
    server = embedded_server.embedded
    assert isinstance(server, EmbeddedServer)
    database = embedded_server.create_database()
    suffix = Path(str(native.__file__)).name.partition("_hyperdjango_native")[2]
    urls = (server.url_for(database), server.url_for(database, unix_socket=True))
    asked = " ".join((machine, suffix, *urls))
    done = subprocess.run(
        [sys.executable, "-P", "-c", check_foreign.ASKS],
        env={**os.environ, "CHECK_FOREIGN": asked},
        capture_output=True,
        text=True,
        check=False,
    )
    embedded_server.drop_database(database)
    if machine == "pdp11":
        assert "AssertionError" in done.stderr
        assert done.returncode == 1
    else:
        assert done.stderr == ""
        assert "as they should be" in done.stdout
