"""`Supervised`: a program runs in its folder as another user, and it and its children end with it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervised import Supervised, need_program


@pytest.fixture
def program() -> Iterator[Supervised]:
    made = Supervised()
    yield made
    made.remove()
    assert not made.folder.exists()


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until, Path(f"/proc/{pid}/stat").read_text()
        time.sleep(0.01)


def test_it_runs_in_its_folder_and_root_is_somebody_else(program: Supervised) -> None:
    script = program.write("script", "pwd; id -u; cat words; exec sleep 1000\n")
    program.write("words", "secret\n")
    program.start(["/bin/sh", str(script)])
    program.wait_until(lambda: "secret" in program.log)
    folder, user, _ = program.log.splitlines()
    assert Path(folder) == program.folder
    assert int(user) != 0
    assert int(user) == (os.geteuid() or int(user))
    program.stop()
    assert not program.running
    wait_until_gone(program.pid)
    program.start(["/bin/sleep", "1000"])
    program.kill()
    assert not program.running


def test_one_that_ends_before_it_is_ready_fails_with_its_log(program: Supervised) -> None:
    program.start(["/bin/sh", "-c", "echo not like this"])
    with pytest.raises(AssertionError, match="not like this"):
        program.wait_until(lambda: False)


def test_a_child_that_was_left_behind_is_no_zombie_and_ends_with_the_program(program: Supervised) -> None:
    """Patroni waits for the end of its server so, which is nobody's child."""
    program.start(["/bin/sh", "-c", "(sleep 0.2 & echo $!; sleep 1000 & echo $!); exec sleep 1000"])
    program.wait_until(lambda: program.log.count("\n") == 2)
    quick, slow = map(int, program.log.split())
    wait_until_gone(quick)
    assert program.running
    assert Path(f"/proc/{slow}").exists()
    program.stop()
    wait_until_gone(slow)


def test_a_program_that_is_missing_skips_the_test_and_fails_it_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        need_program("no-such-program", "no such thing")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no such thing; CI must have it"):
        need_program("no-such-program", "no such thing")
