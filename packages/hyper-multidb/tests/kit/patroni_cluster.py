"""Patroni on this machine: nodes that elect their primary by themselves, with an etcd that holds the votes.

The fixture `patroni` is in cluster_fixtures.py. Run by an unprivileged user from folders of their own; Debian's
packages `patroni` and `etcd-server` are enough, their services are not used.
Patroni docs: "YAML Configuration Settings", "Patroni REST API". etcd docs: "Configuration flags".
"""

import json
import secrets
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.error import HTTPError, URLError

import psycopg
from haproxy import Backend
from hyperdjango.database._embedded_server import THROWAWAY, free_port
from postgres_servers import need_binaries
from supervised import Supervised, need_program

NO_PATRONI: Final = "no Patroni"
NO_ETCD: Final = "no etcd"
SECONDS_MAX: Final = 60.0
# How long a leader that says nothing stays the leader; the shorter the quicker a test, the sooner a loaded
# machine has an election without a cause.
TTL_SECONDS: Final = 12


class Refused(Exception):  # noqa: N818 - what Patroni says, not a fault
    """Another status than 200, and what was said with it."""


class Node(NamedTuple):
    """One PostgreSQL server and the Patroni that looks after it."""

    name: str
    port: int
    api_port: int
    process: Supervised


class PatroniCluster:
    """Some nodes and an etcd. A context manager: on the way in it waits for a leader and its replicas."""

    def __init__(self, count: int = 3) -> None:
        self._program = need_program("patroni", NO_PATRONI)
        self._etcd_program = need_program("etcd", NO_ETCD)
        self._binaries = need_binaries("system")
        self._passwords = {name: secrets.token_urlsafe(12) for name in ("postgres", "replicator")}
        self._etcd_port = 0
        self._stack = ExitStack()
        self._count = count
        self.nodes: list[Node] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start_etcd(stack)
            for index in range(self._count):
                self.nodes.append(Node(f"node{index}", free_port(), free_port(), Supervised()))
            stack.callback(self._remove_nodes)
            for index, node in enumerate(self.nodes):
                self.start(node)
                if index == 0:  # else they would take turns in trying to be the first
                    node.process.wait_until(lambda: self.leader() is not None, SECONDS_MAX)
            self.wait_until_complete()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- asking --

    @property
    def backends(self) -> list[Backend]:
        """For HAProxy, which can ask Patroni for roles."""
        return [Backend(node.port, node.api_port) for node in self.nodes]

    @property
    def userinfo(self) -> str:
        """The superuser's name and password, as they stand in a URL."""
        return f"postgres:{self._passwords['postgres']}"

    def url(self, node: Node, database: str = "postgres") -> str:
        """Return the superuser's URL for a database on one node."""
        return f"postgresql://{self.userinfo}@127.0.0.1:{node.port}/{database}"

    def leader(self) -> Node | None:
        """Return who leads, as the first node knows that answers; None while nobody does."""
        for member in self._members():
            if member["role"] == "leader" and member["state"] == "running":
                return next(node for node in self.nodes if node.name == member["name"])
        return None

    def wait_for_leader(self, *, other_than: Node | None = None) -> Node:
        """Wait until there is a leader that takes writes, and return it."""
        until = time.monotonic() + SECONDS_MAX
        while True:
            found = self.leader()
            if found is not None and found != other_than and self._takes_writes(found):
                return found
            assert time.monotonic() < until, f"no leader:\n{self._logs()}"
            time.sleep(0.05)

    def wait_until_complete(self) -> None:
        """Wait until one node leads and all others that run are replicas that stream from it."""
        until = time.monotonic() + SECONDS_MAX
        while True:
            running = [node for node in self.nodes if node.process.running]
            leads = [node for node in running if self._answers(node, "/primary")]
            if len(leads) == 1 and all(
                self._answers(node, "/replica") for node in running if node not in leads
            ):
                return
            assert time.monotonic() < until, f"not complete:\n{self._logs()}"
            time.sleep(0.05)

    # -- changing it --

    def switch_over(self, to: Node) -> None:
        """Have the leader hand over in order, and wait until the other takes writes.

        Patroni refuses (412), or gives up (503), where a replica has not answered it within two seconds, as one
        may not on a loaded machine: it is asked again, as an operator would.
        """
        leader = self.wait_for_leader()
        body = json.dumps({"leader": leader.name, "candidate": to.name}).encode()
        until = time.monotonic() + SECONDS_MAX
        while self.leader() == leader:
            try:
                self._ask(leader, "/switchover", body)
            except Refused as error:
                if error.args[0] not in {412, 503} or time.monotonic() >= until:
                    raise AssertionError(f"{error}\n{self._logs()}") from error
                time.sleep(0.5)
        found = self.wait_for_leader(other_than=leader)
        assert found == to, f"{found.name} leads, not {to.name}:\n{self._logs()}"

    def kill(self, node: Node) -> None:
        """Kill a node, Patroni and server, as a crash of its machine would; the others notice by themselves."""
        node.process.kill()

    def start(self, node: Node) -> None:
        """Start a node; Patroni brings its server back as what it must be now."""
        path = node.process.write("patroni.yml", json.dumps(self._configuration(node)))
        node.process.start([self._program, str(path)], {"LC_ALL": "C", "PYTHONUNBUFFERED": "1"})

    # -- making it --

    def _start_etcd(self, stack: ExitStack) -> None:
        etcd = Supervised("smart")
        stack.callback(etcd.remove)
        self._etcd_port = free_port()
        here, peers = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{free_port()}"
        etcd.start(
            [
                *(self._etcd_program, "--name", "votes", "--data-dir", str(etcd.folder / "data")),
                *("--listen-client-urls", here, "--advertise-client-urls", here),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--initial-cluster", f"votes={peers}", "--logger", "zap", "--log-level", "warn"),
            ]
        )
        etcd.wait_until(self._etcd_is_healthy)

    def _etcd_is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._etcd_port}/health", timeout=5) as answer:
                return b'"health":"true"' in answer.read()
        except (URLError, ConnectionError):
            return False

    def _configuration(self, node: Node) -> dict[str, Any]:
        """Return Patroni's settings; YAML takes JSON."""
        folder = node.process.folder
        return {
            "scope": "hyper",
            "name": node.name,
            "restapi": {
                "listen": f"127.0.0.1:{node.api_port}",
                "connect_address": f"127.0.0.1:{node.api_port}",
            },
            "etcd3": {"host": f"127.0.0.1:{self._etcd_port}"},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL_SECONDS,
                    "loop_wait": 1,
                    "retry_timeout": 5,
                    "master_start_timeout": 0,
                    "postgresql": {"use_pg_rewind": True, "parameters": {"wal_keep_size": "256MB"}},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "no-sync"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{node.port}",
                "connect_address": f"127.0.0.1:{node.port}",
                "data_dir": str(folder / "data"),
                "bin_dir": str(self._binaries.folder),
                "pgpass": str(folder / "pgpass"),
                "authentication": {
                    "superuser": {"username": "postgres", "password": self._passwords["postgres"]},
                    "replication": {"username": "replicator", "password": self._passwords["replicator"]},
                },
                "parameters": {
                    "fsync": THROWAWAY["fsync"],
                    "shared_buffers": "32MB",
                    "timezone": "UTC",
                    "unix_socket_directories": str(folder),
                    "wal_retrieve_retry_interval": "200ms",
                },
                "pg_hba": [
                    "local all all trust",
                    "host all all 127.0.0.1/32 scram-sha-256",
                    "host replication replicator 127.0.0.1/32 scram-sha-256",
                ],
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
            },
        }

    def _remove_nodes(self) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as several:
            list(several.map(lambda node: node.process.remove(), self.nodes))

    # -- the REST API --

    def _members(self) -> list[dict[str, Any]]:
        for node in self.nodes:
            if node.process.running:
                try:
                    found: list[dict[str, Any]] = json.loads(self._ask(node, "/cluster"))["members"]
                except (URLError, ConnectionError, TimeoutError, Refused):
                    continue
                return found
        return []

    def _takes_writes(self, node: Node) -> bool:
        """Patroni calls a node the primary from when it has the votes, before its server is promoted."""
        try:
            with psycopg.connect(self.url(node)) as connection:
                return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        except psycopg.OperationalError:
            return False

    def _answers(self, node: Node, path: str) -> bool:
        try:
            self._ask(node, path)
        except (URLError, ConnectionError, TimeoutError, Refused):
            return False
        return True

    def _ask(self, node: Node, path: str, body: bytes | None = None) -> bytes:
        url = f"http://127.0.0.1:{node.api_port}{path}"
        try:
            with urllib.request.urlopen(url, body, timeout=SECONDS_MAX if body else 5) as answer:
                data: bytes = answer.read()
                return data
        except HTTPError as error:
            with error:  # it is the answer, too, and stays open
                raise Refused(error.code, error.read()) from None

    def _logs(self) -> str:
        return "\n".join(f"--- {node.name}\n{node.process.log[-3000:]}" for node in self.nodes)
