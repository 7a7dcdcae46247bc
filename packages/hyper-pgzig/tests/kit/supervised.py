"""Programs that stand beside the test servers: run by an unprivileged user, in a folder of their own, and ended
with the process that started them, however it ends. For poolers, proxies and cluster managers of the kits.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hyperdjango.database._embedded_server import (
    SUPERVISOR,
    StopMode,
    _temporary_folder,  # pyright: ignore[reportPrivateUsage]
)
from hyperdjango.database._server_binaries import server_account

START_SECONDS_MAX: Final = 20.0


def find_program(name: str) -> str | None:
    """Return the path of a program; Debian puts some where only root's PATH looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def need_program(name: str, missing: str) -> str:
    """Return the path of a program; without it the test is skipped for the reason given, and fails in CI."""
    found = find_program(name)
    if found is None:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{missing}; CI must have it")
        pytest.skip(missing)
    return found


class Supervised:
    """One program, its folder and its log. Made empty; `start` may be called again after `stop`.

    Args:
        ends_by: How it is ended: by SIGTERM, SIGINT or SIGQUIT.
        unprivileged: Whether another user runs it where we are root.
    """

    def __init__(self, ends_by: StopMode = "immediate", *, unprivileged: bool = True) -> None:
        self._ends_by = ends_by
        self._account = server_account() if unprivileged else None
        self.folder: Final[Path] = _temporary_folder(self._account)
        self._supervisor: subprocess.Popen[str] | None = None
        self.pid = 0

    @property
    def log(self) -> str:
        """All it has logged."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def running(self) -> bool:
        """Whether the program is there."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def write(self, name: str, text: str) -> Path:
        """Write a file into its folder that only its user reads."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)
        return path

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start the program; the environment is added to PATH, which is all it has of ours."""
        spec = {
            "command": list(command),
            "cwd": str(self.folder),
            "env": {"PATH": os.environ.get("PATH", ""), **(environment or {})},
            "log": str(self.folder / "log"),
            "remove": str(self.folder),
            "uid": self._account.uid if self._account else None,
            "gid": self._account.gid if self._account else None,
        }
        self._supervisor = subprocess.Popen(
            [sys.executable, "-P", "-S", str(SUPERVISOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
        )
        self._tell(json.dumps(spec))
        assert self._supervisor.stdout is not None
        self.pid = int(self._supervisor.stdout.readline())

    def wait_until(self, is_ready: Callable[[], bool], seconds: float = START_SECONDS_MAX) -> None:
        """Wait until the program is ready; fail with its log when it ends or takes too long."""
        until = time.monotonic() + seconds
        while not is_ready():
            assert self.running, f"it ended:\n{self.log[-4000:]}"
            assert time.monotonic() < until, f"it was not ready in time:\n{self.log[-4000:]}"
            time.sleep(0.01)

    def stop(self) -> None:
        """End the program and what it started; its files stay."""
        if self._supervisor is not None:
            with suppress(BrokenPipeError):  # it went first, with its program
                self._tell(self._ends_by)
            self._supervisor.communicate()
            self._supervisor = None

    def kill(self) -> None:
        """End the program as a crash would; what it started and left is ended a little later."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def remove(self) -> None:
        """End the program and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self, line: str) -> None:
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(f"{line}\n")
        self._supervisor.stdin.flush()


def listens(port: int) -> bool:
    """Say whether somebody takes connections on a TCP port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
