"""HAProxy in front of several test servers: one port leads to the primary, another to the replicas.

    with HAProxy(Cluster(...)) as proxy:
        Database(proxy.primary_url), Database(proxy.replica_url)

It asks a health server who is what: ours for a cluster of ours (role_health.py), Patroni's own for Patroni's.
Run by an unprivileged user from a folder of its own; Debian's package is enough, its service is not used.
HAProxy's manual: "option httpchk", "on-marked-down".
"""

import csv
import json
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self

import psycopg
from hyperdjango.database._embedded_server import free_port
from pg_cluster import Cluster
from supervised import Supervised, need_program

NO_HAPROXY: Final = "no HAProxy"
HEALTH: Final = Path(__file__).with_name("role_health.py")
SECONDS_MAX: Final = 30.0
Role = Literal["primary", "replica"]


class Backend(NamedTuple):
    """A server behind it: its port, and that of its health server."""

    port: int
    health_port: int


class HAProxy:
    """One HAProxy. A context manager: ready on the way in, when it knows every server's role.

    Args:
        cluster: The servers, or their ports where something else tells their roles.
        userinfo: Who the URLs are for; a cluster's superuser by default.
    """

    def __init__(self, cluster: Cluster | Sequence[Backend], userinfo: str = "") -> None:
        self._program = need_program("haproxy", NO_HAPROXY)
        self._cluster = cluster
        self._userinfo = userinfo
        self._stack = ExitStack()
        self._process: Supervised | None = None
        self.ports: dict[Role, int] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            backends = self._cluster
            if isinstance(backends, Cluster):
                self._userinfo = self._userinfo or f"postgres:{backends.primary.password}"
                backends = start_health(backends, stack)
            process = self._process = Supervised("smart")
            stack.callback(process.remove)
            self.ports = {"primary": free_port(), "replica": free_port()}
            configuration = process.write("haproxy.cfg", self._configuration(backends))
            process.start([self._program, "-db", "-f", str(configuration)])
            process.wait_until(self._is_ready)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def url(self, role: Role, database: str = "postgres") -> str:
        """Return a URL of a database, on the primary or on some replica."""
        return f"postgresql://{self._userinfo}@127.0.0.1:{self.ports[role]}/{database}"

    @property
    def primary_url(self) -> str:
        """The way to the primary, whichever it is."""
        return self.url("primary")

    @property
    def replica_url(self) -> str:
        """The way to one of the replicas, in turn."""
        return self.url("replica")

    def connect(self, role: Role, database: str = "postgres") -> psycopg.Connection[Any]:
        """Connect to the primary or some replica, as soon as it leads to one."""
        until = time.monotonic() + SECONDS_MAX
        while True:
            try:
                return psycopg.connect(self.url(role, database), autocommit=True)
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.05)

    def up(self, role: Role) -> list[int]:
        """Return which servers, by their index among those given, it sends connections of a role to."""
        return [
            int(row["svname"].removeprefix("node"))
            for row in self._statistics()
            if row["# pxname"] == role and row["status"] == "UP"
        ]

    def wait_until_up(self, role: Role, indexes: Sequence[int]) -> None:
        """Wait until exactly these servers have a role."""
        assert self._process is not None
        self._process.wait_until(lambda: self.up(role) == list(indexes), SECONDS_MAX)

    def _is_ready(self) -> bool:
        """Until a server has been asked it counts as up, in every role."""
        assert self._process is not None
        if not (self._process.folder / "admin").exists():
            return False
        try:
            rows = self._statistics()
        except (ConnectionError, FileNotFoundError):
            return False
        return (
            bool(rows)
            and all(row["check_status"].startswith("L") for row in rows)
            and bool(self.up("primary"))
        )

    def _statistics(self) -> list[dict[str, str]]:
        assert self._process is not None
        with socket.socket(socket.AF_UNIX) as admin, admin.makefile("r") as answer:
            admin.settimeout(SECONDS_MAX)
            admin.connect(str(self._process.folder / "admin"))
            admin.sendall(b"show stat -1 4 -1\n")  # all proxies, their servers
            return list(csv.DictReader(answer.read().strip().splitlines()))

    def _configuration(self, backends: Sequence[Backend]) -> str:
        assert self._process is not None
        lines = [
            "global",
            "  maxconn 400",
            f"  stats socket {self._process.folder / 'admin'} mode 600 level admin",
            "defaults",
            "  mode tcp",
            "  timeout connect 5s",
            "  timeout client 10m",
            "  timeout server 10m",
            "  timeout check 5s",
        ]
        for role, port in self.ports.items():
            lines += [
                f"listen {role}",
                f"  bind 127.0.0.1:{port}",
                f"  option httpchk GET /{role}",
                # Whoever is still connected to a server that changes its role must look for the right one.
                "  default-server inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions",
            ]
            lines += [
                f"  server node{index} 127.0.0.1:{backend.port} check port {backend.health_port}"
                for index, backend in enumerate(backends)
            ]
        return "\n".join(lines) + "\n"


def start_health(cluster: Cluster, stack: ExitStack) -> list[Backend]:
    """Start health servers for all nodes of a cluster, which end with the stack."""
    health = Supervised(unprivileged=False)  # it runs our interpreter, which others may not reach
    stack.callback(health.remove)
    urls = [node.url_for(unix_socket=True) for node in cluster.nodes]
    health.start([sys.executable, "-P", str(HEALTH), str(health.write("urls", json.dumps(urls)))])
    health.wait_until(lambda: "]\n" in health.log)
    ports = json.loads(health.log.splitlines()[0])
    return [Backend(node.port, port) for node, port in zip(cluster.nodes, ports, strict=True)]
