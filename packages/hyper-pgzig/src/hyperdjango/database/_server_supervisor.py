"""The program between us and a server of `_embedded_server.py`: it outlives us by as long as stopping takes.

Run by path in a fresh interpreter, so that no thread, signal handler or import of ours is in it. Reads one
line of JSON from its standard input, starts the server, writes the server's process id to its standard
output, then waits for the first of: a line that names how to stop; the end of its input or of its parent,
however that came; the end of the server. It goes when the last of the server's processes has gone.
PostgreSQL docs: server-shutdown, "Shutting Down the Server".
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
SIGNALS: Final = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
ORPHANED: Final = "orphaned"
STOP_SECONDS: Final = 10.0
REAP_SECONDS: Final = 2.0


def main() -> int:
    """Run one server to its end; the exit code is the server's."""
    parent = os.getppid()
    spec = json.loads(_read_line())
    prctl = _prctl()
    if prctl is not None:
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # backends whose postmaster was killed become our children
    server = _start(spec, prctl)
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    command = _wait(server, parent)
    if server.poll() is None:
        _stop(server, SIGNALS.get(command, signal.SIGQUIT))
    _reap()
    if command == ORPHANED and spec["remove"]:
        shutil.rmtree(spec["remove"], ignore_errors=True)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _prctl() -> Callable[..., int] | None:
    return ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _start(spec: dict[str, Any], prctl: Callable[..., int] | None) -> subprocess.Popen[bytes]:
    def die_with_us() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)

    with Path(spec["log"]).open("ab") as log:
        # After the change of user, which would clear it; safe, since this process has one thread.
        return subprocess.Popen(  # noqa: S603
            spec["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec["cwd"],
            env=spec["env"],
            preexec_fn=die_with_us,  # noqa: PLW1509
            user=spec["uid"],
            group=spec["gid"],
            extra_groups=None if spec["uid"] is None else [],
        )


def _read_line() -> str:
    """Read one line, no byte more: what follows is waited for with select."""
    line = bytearray()
    while byte := os.read(0, 1):
        if byte == b"\n":
            return line.decode()
        line += byte
    return ORPHANED


def _wait(server: subprocess.Popen[bytes], parent: int) -> str:
    """Return the command that came, "orphaned" when nobody is left to send one, "" when the server ended."""
    ended = _ended_children()
    watched = [0, ended]
    pidfd_open: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
    if pidfd_open is not None:
        try:
            watched += [pidfd_open(server.pid), pidfd_open(parent)]
        except OSError:  # an old kernel, or one of them is gone: then we look again and again
            pidfd_open = None
    while server.poll() is None:
        if os.getppid() != parent:
            return ORPHANED
        news = select.select(watched, [], [], None if pidfd_open else 0.2)[0]
        if 0 in news:
            return _read_line()
        if ended in news:
            os.read(ended, 512)
            _bury_adopted(server.pid)
    return ""


def _ended_children() -> int:
    """Return a file descriptor that can be read when a child has ended."""
    source, target = os.pipe()
    os.set_blocking(target, False)
    signal.signal(signal.SIGCHLD, _be_woken)
    signal.set_wakeup_fd(target, warn_on_full_buffer=False)
    return source


def _be_woken(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a signal that is not handled wakes nobody."""


def _bury_adopted(server: int) -> None:
    """Take note of ended children but the server itself: a program that starts others waits for their end.

    Patroni's server, which daemonizes, is adopted by us, and would stay there as a zombie.
    """
    while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if found.si_pid == server:
            return
        os.waitpid(found.si_pid, 0)


def _stop(server: subprocess.Popen[bytes], how: signal.Signals) -> None:
    for number in (how, signal.SIGQUIT):
        server.send_signal(number)
        _wake(server.pid)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return
    server.kill()
    server.wait()


def _wake(postmaster: int) -> None:
    """Let a server go on that a test has made stand still; it would not see the signal that stops it."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
    for process in [*(children.read_text().split() if children.exists() else ()), postmaster]:
        try:
            os.kill(int(process), signal.SIGCONT)
        except ProcessLookupError:  # it has ended
            continue


def _reap() -> None:
    """Wait for the backends that a killed postmaster left; they go by themselves unless they are frozen."""
    until = time.monotonic() + REAP_SECONDS
    while True:
        try:
            gone, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if gone == 0:
            if time.monotonic() > until:
                for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
            time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
