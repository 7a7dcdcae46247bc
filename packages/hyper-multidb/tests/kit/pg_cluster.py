"""A primary and streaming replicas of it, for tests of routing: they fall behind, die, come back and change roles.

    with Cluster(delays_ms=(0, 300)) as cluster:
        cluster.url(cluster.primary), cluster.url(cluster.replicas[1])

The fixtures are in cluster_fixtures.py. Promotion here is what a person or Patroni does: the old primary ends
first, the heir is promoted, the other replicas follow it.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from hyperdjango.database._embedded_replica import ReplicatedServer
from postgres_servers import Kind, need_binaries
from psycopg import sql

SECONDS_MAX: Final = 30.0
DELAY_MS: Final = 300
RECEIVED: Final = "greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"


class Cluster:
    """One primary and its replicas. A context manager: made on the way in, removed on the way out.

    Args:
        kind: The servers' programs: the embedded ones (18) or the system's.
        delays_ms: One replica for each; it holds every commit back for so long.
        settings: Run-time parameters for all of them.
    """

    def __init__(
        self,
        kind: Kind = "embedded",
        *,
        delays_ms: Sequence[int] = (0, DELAY_MS),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        first = ReplicatedServer(need_binaries(kind), settings=settings or {})
        self.primary = first
        """The one that takes writes now."""
        self.replicas: list[ReplicatedServer] = []
        """Those that follow it, or will when they are started."""
        self.nodes: list[ReplicatedServer] = [first]
        """All of them, whatever they are now; the first primary is first."""
        self._first = first
        self._delays_ms = tuple(delays_ms)

    def __enter__(self) -> Self:
        self._first.__enter__()
        try:
            if self._delays_ms:
                with ThreadPoolExecutor(len(self._delays_ms)) as several:
                    self.replicas = list(
                        several.map(lambda ms: self._first.start_replica(apply_delay_ms=ms), self._delays_ms)
                    )
        except BaseException:
            self._first.remove()
            raise
        self.nodes += self.replicas
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._first.remove()  # and the replicas that were made of it

    # -- asking --

    def url(self, node: ReplicatedServer, database: str = "postgres") -> str:
        """Return the superuser's URL for a database on one node."""
        return node.url_for(database)

    def value(self, node: ReplicatedServer, statement: str, database: str = "postgres") -> Any:
        """Run one statement and return its first value, None where it has no rows."""
        with psycopg.connect(node.url_for(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def wait_until_caught_up(self, *nodes: ReplicatedServer) -> None:
        """Wait until these replicas, all that run by default, show what is committed on the primary now."""
        lsn = self.value(self.primary, "SELECT pg_current_wal_flush_lsn()")
        for node in nodes or [node for node in self.replicas if node.running]:
            until = time.monotonic() + SECONDS_MAX
            while not self.value(node, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"):
                assert time.monotonic() < until, f"a replica did not reach {lsn}:\n{node.log[-2000:]}"
                time.sleep(0.005)

    def wait_until_received(self, node: ReplicatedServer) -> None:
        """Wait until a replica has, applied or held back, what is committed on the primary now."""
        lsn = self.value(self.primary, "SELECT pg_current_wal_flush_lsn()")
        until = time.monotonic() + SECONDS_MAX
        while not self.value(node, f"SELECT {RECEIVED} >= '{lsn}'"):
            assert time.monotonic() < until, f"a replica did not get {lsn}:\n{node.log[-2000:]}"
            time.sleep(0.005)

    # -- databases --

    def create_database(self) -> str:
        """Create an empty database, wait until the replicas have it, and return its name."""
        name = f"hyper_test_{secrets.token_hex(6)}"
        self._admin(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        self.wait_until_caught_up()
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it; the replicas follow in their time."""
        self._admin(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            connection.execute(statement)

    # -- breaking it; for clusters of the test's own --

    def delay(self, node: ReplicatedServer, apply_delay_ms: int) -> None:
        """Change how long a replica holds commits back, and wait until it knows; it stays connected."""
        wanted = f"{apply_delay_ms}ms"
        node.configure({"recovery_min_apply_delay": wanted})
        until = time.monotonic() + SECONDS_MAX
        while self.value(
            node, f"SELECT '{wanted}'::interval <> current_setting('recovery_min_apply_delay')::interval"
        ):
            assert time.monotonic() < until, "the replica did not read its configuration"
            time.sleep(0.005)

    def kill(self, node: ReplicatedServer) -> None:
        """Kill a node, as a crash would."""
        node.crash()

    def start(self, node: ReplicatedServer) -> None:
        """Start a node that was killed or stopped, as what it was, on the same port."""
        node.start()

    def promote(self, node: ReplicatedServer, *, crash: bool = False) -> None:
        """Make a replica the primary, and wait until it takes writes and the other replicas follow it.

        The old primary ends first: stopped, so that nothing is lost, or by `crash`. `rejoin` brings it back.
        """
        old = self.primary
        if crash:
            old.crash()
        else:
            old.stop()
        others = [other for other in self.replicas if other is not node and other.running]
        heir_has, *others_have = [self._received(one) for one in (node, *others)]
        node.promote()
        self.primary, self.replicas = node, [one for one in self.replicas if one is not node]
        for other, has in zip(others, others_have, strict=True):
            if has > heir_has:  # it got more of the crashed primary's last words
                other.rejoin(node)
            else:
                other.follow(node)

    def rejoin(self, node: ReplicatedServer) -> None:
        """Bring a former primary back as a replica of the present one; what only it had is lost."""
        node.rejoin(self.primary)
        self.replicas.append(node)

    def _received(self, node: ReplicatedServer) -> int:
        return int(self.value(node, f"SELECT {RECEIVED} - '0/0'::pg_lsn"))
