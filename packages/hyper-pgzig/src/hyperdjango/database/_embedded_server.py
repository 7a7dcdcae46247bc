"""A PostgreSQL server of our own: made in a temporary folder, gone without a trace. For demos and tests.

Standard library only. Finds the programs (`_server_binaries.py`), runs initdb, and starts the server under
a supervisor (`_server_supervisor.py`) that stops it when this process ends, whatever ends it. The superuser
is `postgres`: over the Unix socket, whose folder is closed to others, without a password; over TCP with a
random one by SCRAM.
PostgreSQL docs: app-initdb, "initdb"; auth-pg-hba-conf, "The pg_hba.conf File".
"""

import atexit
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self, TypedDict
from urllib.parse import quote, urlencode

from hyperdjango.conf._lock import Lock
from hyperdjango.database._server_binaries import (
    ORDER,
    Account,
    EmbeddedServerError,
    ServerBinaries,
    ServerNotFound,
    can_reach,
    find_server_binaries,
    reachable,
    server_account,
)

SUPERUSER: Final = "postgres"
SUPERVISOR: Final = Path(__file__).with_name("_server_supervisor.py")
START_SECONDS_MAX: Final = 60.0
SOCKET_PATH_BYTES_MAX: Final = 100  # the kernels' limits are 103 and 107
PORT_ATTEMPTS: Final = 5
# Nothing here is kept over a crash of the machine, so nothing needs to wait for the disk.
THROWAWAY: Final[Mapping[str, str]] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

StopMode = Literal["smart", "fast", "immediate"]

__all__ = [
    "ORDER",
    "SUPERUSER",
    "EmbeddedServer",
    "EmbeddedServerError",
    "ServerBinaries",
    "ServerNotFound",
    "ServerOptions",
    "TlsFiles",
    "find_server_binaries",
]


class TlsFiles(NamedTuple):
    """PEM files for `ssl = on`. They are copied: the server wants its own, closed to others."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class ServerOptions(TypedDict, total=False):
    """What `EmbeddedServer` takes by keyword, for those who pass it on."""

    settings: Mapping[str, str]
    pg_hba: Sequence[str]
    tls: TlsFiles
    listen_addresses: str
    initdb_options: Sequence[str]


class EmbeddedServer:
    """One server. A context manager: made and started on the way in, stopped and removed on the way out."""

    def __init__(
        self,
        binaries: ServerBinaries | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        pg_hba: Sequence[str] = (),
        tls: TlsFiles | None = None,
        listen_addresses: str = "127.0.0.1",
        initdb_options: Sequence[str] = (),
    ) -> None:
        """Choose the server; nothing is made yet.

        Args:
            binaries: Where the programs are; None takes the first of `find_server_binaries()`.
            settings: Run-time parameters for postgresql.conf, over those of a throwaway server.
            pg_hba: Lines for pg_hba.conf, in front of the usual ones.
            tls: Turns TLS on.
            listen_addresses: As the run-time parameter.
            initdb_options: More options for initdb.
        Raises:
            EmbeddedServerError: There is none, or nobody can run it.
        """
        if os.name != "posix":
            raise EmbeddedServerError("embedded servers need a POSIX system; set DATABASE_URL to your own")
        self._account: Account | None = server_account()
        self.binaries = reachable(binaries or find_server_binaries(), self._account)
        self.password = secrets.token_urlsafe(18)
        self.port = 0
        self._settings = {**THROWAWAY, "listen_addresses": listen_addresses, **(settings or {})}
        self._pg_hba = tuple(pg_hba)
        self._tls = tls
        self._initdb_options = tuple(initdb_options)
        self._base: Path | None = None
        self._supervisor: subprocess.Popen[str] | None = None
        self._postmaster = 0
        self._owner = os.getpid()
        self._lock = Lock()

    # -- life --

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def start(self) -> None:
        """Start the server and wait until it takes connections; the first time, make it. Again: no effect.

        Raises:
            EmbeddedServerError: It did not come up; the text ends with the end of its log.
        """
        with self._lock:
            if self.running:
                return
            if self._base is None:
                self._make()
            for attempt in range(PORT_ATTEMPTS):
                if self.port == 0 or attempt:
                    self.port = free_port()
                if self._launch():
                    return
            raise EmbeddedServerError(f"PostgreSQL {self.binaries.version} did not start:\n{self._log_end()}")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait for its end; its data stays. Stopped already: no effect."""
        with self._lock:
            supervisor = self._supervisor
            if supervisor is None or os.getpid() != self._owner:
                return
            with suppress(BrokenPipeError):  # it went first, with its server
                _tell(supervisor, mode)
            self._join(supervisor)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start, on the same port."""
        self.stop(mode)
        self.start()

    def crash(self) -> None:
        """Kill the postmaster as a crash would: no goodbye to anyone. `start()` recovers the data."""
        with self._lock:
            supervisor = self._supervisor
            if supervisor is None:
                return
            os.kill(self._postmaster, signal.SIGKILL)
            self._join(supervisor)
            self._postmaster_pid_file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Stop the server and delete all of it."""
        self.stop("immediate")
        if self._base is not None and os.getpid() == self._owner:
            shutil.rmtree(self._base, ignore_errors=True)
            self._base = None
            atexit.unregister(self.remove)

    @property
    def running(self) -> bool:
        """Whether the postmaster is there."""
        return self._supervisor is not None and self._supervisor.poll() is None

    # -- where it is --

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.binaries.major

    @property
    def folder(self) -> Path:
        """The folder with `data`, `socket` and `log` in it."""
        if self._base is None:
            raise EmbeddedServerError("the server has not been made yet: call start()")
        return self._base

    @property
    def data_folder(self) -> Path:
        """The cluster's folder."""
        return self.folder / "data"

    @property
    def socket_folder(self) -> Path:
        """The folder of the Unix socket."""
        return self.folder / "socket"

    @property
    def log(self) -> str:
        """All the server has logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def postmaster(self) -> int:
        """The postmaster's process id."""
        return self._postmaster

    @property
    def url(self) -> str:
        """A URI for the superuser over TCP."""
        return self.url_for()

    def url_for(
        self,
        database: str = "postgres",
        *,
        user: str = SUPERUSER,
        password: str | None = None,
        unix_socket: bool = False,
        host: str = "127.0.0.1",
        **query: str,
    ) -> str:
        """Return a URI.

        Args:
            database: Its name.
            user: Its name.
            password: None takes the superuser's for the superuser, and none for others.
            unix_socket: Over the socket instead of TCP; needs no password.
            host: For TCP.
            query: More parameters of the URI.
        """
        if password is None and user == SUPERUSER and not unix_socket:
            password = self.password
        userinfo = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        place = f"[{host}]" if ":" in host else host
        if unix_socket:
            place, query = "", {"host": str(self.socket_folder), "port": str(self.port), **query}
        else:
            place = f"{place}:{self.port}"
        tail = f"?{urlencode(query, quote_via=quote)}" if query else ""
        return f"postgresql://{userinfo}@{place}/{quote(database, safe='')}{tail}"

    # -- changing it --

    def configure(
        self, settings: Mapping[str, str] | None = None, *, pg_hba: Sequence[str] | None = None
    ) -> None:
        """Change run-time parameters or pg_hba.conf's own lines and reload; some parameters want `restart()`.

        PostgreSQL docs: config-setting.
        """
        self._settings.update(settings or {})
        if pg_hba is not None:
            self._pg_hba = tuple(pg_hba)
        self._write_configuration()
        if self.running:
            os.kill(self._postmaster, signal.SIGHUP)

    # -- making it --

    def _make(self) -> None:
        self._base = _temporary_folder(self._account)
        atexit.register(self.remove)  # a context manager may have been left open
        os.mkdir(self.socket_folder, 0o700)  # noqa: PTH102 - with the mode at once
        self._own(self.socket_folder)
        self._make_data()
        if self._tls is not None:
            self._install_tls(self._tls)
        self._write_configuration()

    def _make_data(self) -> None:
        """Make the data folder; a replica's comes from its primary instead."""
        password = self._write("password", self.password)
        self._run_program(
            *(
                "initdb",
                "--pgdata",
                str(self.data_folder),
                "--username",
                SUPERUSER,
                "--pwfile",
                str(password),
            ),
            *("--auth", "trust", "--auth-host", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
            *self._initdb_options,
        )
        password.unlink()

    def _run_program(self, name: str, *arguments: str) -> None:
        """Run one of the server's programs, as its user, to its end."""
        done = subprocess.run(  # noqa: S603 - the programs are those we looked for
            [str(self.binaries.folder / name), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS_MAX * 5,
            cwd=self._base,
            env=_environment(),
            user=self._account.uid if self._account else None,
            group=self._account.gid if self._account else None,
            extra_groups=[] if self._account else None,
        )
        if done.returncode != 0:
            raise EmbeddedServerError(f"{name} failed:\n{done.stderr.strip() or done.stdout.strip()}")

    def _install_tls(self, tls: TlsFiles) -> None:
        self._write("data/server.crt", tls.certificate.read_text())
        self._write("data/server.key", tls.key.read_text())
        self._settings.update(ssl="on", ssl_cert_file="server.crt", ssl_key_file="server.key")
        if tls.client_ca is not None:
            self._write("data/root.crt", tls.client_ca.read_text())
            self._settings["ssl_ca_file"] = "root.crt"

    def _write_configuration(self) -> None:
        lines = [f"{name} = {_quote(value)}" for name, value in self._settings.items()]
        self._write("data/postgresql.auto.conf", "\n".join([*lines, ""]))
        usual = [
            "local all,replication all trust",
            "host all all 127.0.0.1/32 scram-sha-256",
            "host all all ::1/128 scram-sha-256",
        ]
        self._write("data/pg_hba.conf", "\n".join([*self._pg_hba, *usual, ""]))

    def _write(self, name: str, text: str) -> Path:
        """Write a file that nobody but the server's user reads, whole or not at all."""
        path = self.folder / name
        fresh = path.with_name(path.name + ".new")
        fresh.touch(mode=0o600)
        fresh.write_text(text, encoding="utf-8")
        self._own(fresh)
        return fresh.replace(path)

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    # -- running it --

    def _launch(self) -> bool:
        """Start once; False when another program took the port in between."""
        log = self.folder / "log"
        logged_bytes = log.stat().st_size if log.exists() else 0
        spec = {
            "command": [
                *(str(self.binaries.folder / "postgres"), "-D", str(self.data_folder)),
                *("-p", str(self.port), "-k", str(self.socket_folder)),
            ],
            "cwd": str(self.folder),
            "env": _environment(),
            "log": str(log),
            "remove": str(self.folder),
            "uid": self._account.uid if self._account else None,
            "gid": self._account.gid if self._account else None,
        }
        # -P: beside the supervisor lie modules of ours with names of the standard library.
        supervisor = subprocess.Popen(  # noqa: S603 - this interpreter, a file of ours
            [sys.executable, "-P", "-S", str(SUPERVISOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
        )
        self._supervisor = supervisor
        self._owner = os.getpid()
        with suppress(BrokenPipeError):
            _tell(supervisor, json.dumps(spec))
        answer = supervisor.stdout.readline() if supervisor.stdout else ""
        if not answer:
            self._join(supervisor)
            raise EmbeddedServerError("the server's supervisor could not start it; see above")
        self._postmaster = int(answer)
        if self._wait_until_ready(supervisor):
            return True
        self._join(supervisor)
        news = log.read_bytes()[logged_bytes:]
        if b"could not bind" in news or b"could not create any TCP/IP sockets" in news:
            return False
        raise EmbeddedServerError(f"PostgreSQL {self.binaries.version} did not start:\n{self._log_end()}")

    def _wait_until_ready(self, supervisor: subprocess.Popen[str]) -> bool:
        """Wait for the word `ready` in postmaster.pid, as pg_ctl does; False when the server ended."""
        until = time.monotonic() + START_SECONDS_MAX
        while supervisor.poll() is None:
            try:
                lines = self._postmaster_pid_file.read_text().splitlines()
            except FileNotFoundError:
                lines = []
            if len(lines) >= 8 and lines[0] == str(self._postmaster) and lines[7].strip() == "ready":
                return True
            if time.monotonic() > until:
                os.kill(self._postmaster, signal.SIGQUIT)
                raise EmbeddedServerError(
                    f"PostgreSQL {self.binaries.version} was not ready after {START_SECONDS_MAX:.0f} s:\n"
                    f"{self._log_end()}"
                )
            time.sleep(0.01)
        return False

    @property
    def _postmaster_pid_file(self) -> Path:
        return self.data_folder / "postmaster.pid"

    def _join(self, supervisor: subprocess.Popen[str]) -> None:
        supervisor.wait()
        for stream in (supervisor.stdin, supervisor.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self._supervisor = None

    def _log_end(self) -> str:
        return "\n".join(self.log.splitlines()[-15:])


def _tell(supervisor: subprocess.Popen[str], line: str) -> None:
    if supervisor.stdin is not None:
        supervisor.stdin.write(f"{line}\n")
        supervisor.stdin.flush()


def _quote(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def _environment() -> dict[str, str]:
    """Return what the server gets of ours: no PG variables, no language."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def _temporary_folder(account: Account | None) -> Path:
    """Make a folder of the server's user, closed to others, with a name short enough for a socket in it."""
    for parent in dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))):  # noqa: S108
        longest = os.fsencode(parent / "hyper-pg-xxxxxxxx" / "socket" / ".s.PGSQL.65535.lock")
        if len(longest) <= SOCKET_PATH_BYTES_MAX and parent.is_dir() and can_reach(parent, account):
            folder = Path(tempfile.mkdtemp(prefix="hyper-pg-", dir=parent))
            if account is not None:
                os.chown(folder, account.uid, account.gid)
            return folder
    raise EmbeddedServerError("the server's user reaches no temporary folder with a short name; set TMPDIR")


def free_port() -> int:
    """Return a TCP port that nobody uses now; it may be taken the next moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
