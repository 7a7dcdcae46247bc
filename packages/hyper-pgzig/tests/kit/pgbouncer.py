"""PgBouncer in front of a test server: a pooler that gives a client another session for each transaction.

    with PgBouncer(database_url) as pooler:
        Database(pooler.url)

Run from a folder of its own by an unprivileged user; Debian's package is enough, its service is not used.
PgBouncer's manual: config, "pool_mode".
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import unquote, urlsplit

import pytest
from hyperdjango.database._embedded_server import (
    SUPERVISOR,
    _temporary_folder,  # pyright: ignore[reportPrivateUsage]
    free_port,
)
from hyperdjango.database._server_binaries import server_account

if TYPE_CHECKING:
    from pathlib import Path

PoolMode = Literal["transaction", "session", "statement"]
NO_PGBOUNCER: Final = "no PgBouncer"
START_SECONDS_MAX: Final = 20.0


def find_pgbouncer() -> str | None:
    """Return the path of the program, which Debian puts where only root's PATH looks."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def need_pgbouncer() -> str:
    """Return the path of the program; without one the test is skipped, and fails in CI."""
    found = find_pgbouncer()
    if found is None:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{NO_PGBOUNCER}; CI must have it")
        pytest.skip(NO_PGBOUNCER)
    return found


class PgBouncer:
    """One PgBouncer. A context manager: started on the way in, stopped and removed on the way out.

    Args:
        upstream: The URL of the database behind it; its user is everybody's.
        pool_mode: When a client gives its session back.
        pool_size: How many sessions there are; fewer than clients, so that they really change hands.
        settings: More of section `pgbouncer`.
    """

    def __init__(
        self, upstream: str, pool_mode: PoolMode = "transaction", pool_size: int = 2, **settings: str
    ) -> None:
        self._program = need_pgbouncer()
        self._upstream = urlsplit(upstream)
        self._settings = {
            "listen_addr": "127.0.0.1",
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": pool_mode,
            "default_pool_size": str(pool_size),
            "max_client_conn": "200",
            "server_tls_sslmode": "prefer",
            **settings,
        }
        self._folder: Path | None = None
        self._supervisor: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """A URL of the upstream database through the pooler."""
        user = self._upstream.username
        return f"postgresql://{user}@127.0.0.1:{self.port}{self._upstream.path}?sslmode=disable"

    @property
    def log(self) -> str:
        """All it has logged."""
        assert self._folder is not None
        return (self._folder / "log").read_text()

    def __enter__(self) -> Self:
        account = server_account()
        self._folder = _temporary_folder(account)
        self.port = free_port()
        self._write_configuration()
        spec = {
            "command": [self._program, str(self._folder / "pgbouncer.ini")],
            "cwd": str(self._folder),
            "env": {"PATH": os.environ.get("PATH", "")},
            "log": str(self._folder / "log"),
            "remove": str(self._folder),
            "uid": account.uid if account else None,
            "gid": account.gid if account else None,
        }
        # The supervisor of the test servers: it ends what it started when we are gone.
        self._supervisor = subprocess.Popen(
            [sys.executable, "-P", "-S", str(SUPERVISOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
        )
        try:
            self._tell(json.dumps(spec))
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _write_configuration(self) -> None:
        assert self._folder is not None
        up = self._upstream
        database = up.path.removeprefix("/")
        target = f"host={up.hostname} port={up.port or 5432} dbname={database} user={up.username}"
        if up.password:
            target += f" password={unquote(up.password)}"
        lines = ["[databases]", f"{database} = {target}", "[pgbouncer]", f"listen_port = {self.port}"]
        lines += [f"{name} = {value}" for name, value in self._settings.items()]
        path = self._folder / "pgbouncer.ini"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")
        account = server_account()
        if account is not None:
            os.chown(path, account.uid, account.gid)

    def _tell(self, line: str) -> None:
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(f"{line}\n")
        self._supervisor.stdin.flush()

    def _wait_until_ready(self) -> None:
        assert self._supervisor is not None
        assert self._supervisor.stdout is not None
        self._supervisor.stdout.readline()
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except OSError:
                assert self._supervisor.poll() is None, f"PgBouncer did not start:\n{self.log}"
                assert time.monotonic() < until, f"PgBouncer was not ready in time:\n{self.log}"
                time.sleep(0.01)
            else:
                return

    def _stop(self) -> None:
        if self._supervisor is not None:
            if self._supervisor.poll() is None:
                self._tell("immediate")
            self._supervisor.communicate()
            self._supervisor = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
