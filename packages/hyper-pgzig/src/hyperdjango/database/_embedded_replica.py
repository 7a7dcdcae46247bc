"""Servers of our own that replicate: a primary, streaming replicas of it, and the roles changing hands.

`ReplicatedServer` is an `EmbeddedServer` that may have replicas or be one; which of the two it is changes
with promotions, so there is one class for both. For demos and tests. Replicas reach their primary over its
Unix socket, whose folder only the servers' user enters, so there is no password in their configuration.
PostgreSQL docs: warm-standby, "Log-Shipping Standby Servers"; app-pgbasebackup; app-pgrewind.
"""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Unpack

from hyperdjango.database._embedded_server import (
    START_SECONDS_MAX,
    SUPERUSER,
    EmbeddedServer,
    EmbeddedServerError,
    ServerBinaries,
    ServerOptions,
)

# What a commit has told a client is in the WAL that replicas get, so commits wait for it: a memory write,
# as fsync stays off. Whole pages and hint bits are what pg_rewind asks for.
REPLICATED: Final[Mapping[str, str]] = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "wal_keep_size": "256MB",
    "wal_log_hints": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "hot_standby": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "shared_buffers": "32MB",
}
STANDBY_SIGNAL: Final = "standby.signal"

__all__ = ["REPLICATED", "ReplicatedServer"]


class ReplicatedServer(EmbeddedServer):
    """One server of several that hold the same data; made as a primary, and by `start_replica` as a replica."""

    def __init__(self, binaries: ServerBinaries | None = None, **options: Unpack[ServerOptions]) -> None:
        """Choose the server; nothing is made yet.

        Args:
            binaries: As `EmbeddedServer`; the replicas run the same programs.
            options: As `EmbeddedServer`. `settings` go over those that replication needs.
        Raises:
            EmbeddedServerError: There is none, or nobody can run it.
        """
        options["settings"] = {**REPLICATED, **options.get("settings", {})}
        super().__init__(binaries, **options)
        self._upstream: ReplicatedServer | None = None
        self._replicas: list[ReplicatedServer] = []

    # -- replicas --

    def start_replica(
        self, *, apply_delay_ms: int = 0, settings: Mapping[str, str] | None = None
    ) -> "ReplicatedServer":
        """Copy this running server, start the copy as its streaming replica, and return it.

        It takes connections then, and has applied all that was committed before the call. It is removed with
        this server, or before by its own `remove()`.

        Args:
            apply_delay_ms: How long it holds each commit back: `recovery_min_apply_delay`.
            settings: Run-time parameters, over this server's.
        Raises:
            EmbeddedServerError: It could not be copied, or did not come up.
        """
        if not self.running:
            raise EmbeddedServerError("only a running server can be copied: call start()")
        replica = ReplicatedServer(self.binaries, settings={**self._settings, **(settings or {})})
        replica._settings["recovery_min_apply_delay"] = f"{apply_delay_ms}ms"
        replica.password, replica._pg_hba = self.password, self._pg_hba
        replica._upstream = self
        self._replicas.append(replica)
        try:
            replica.start()
        except BaseException:
            replica.remove()
            raise
        return replica

    @property
    def is_standby(self) -> bool:
        """Whether it follows a primary, or will when it is started."""
        return (self.data_folder / STANDBY_SIGNAL).exists()

    # -- changing roles --

    def promote(self) -> None:
        """Make a standby a primary and wait until it takes writes. What it holds back is applied first.

        Raises:
            EmbeddedServerError: It is no running standby.
        """
        self._run_program(
            *("pg_ctl", "promote", "--pgdata", str(self.data_folder)),
            *("--wait", "--timeout", f"{START_SECONDS_MAX:.0f}"),
        )
        self._upstream = None

    def follow(self, primary: "ReplicatedServer") -> None:
        """Have a standby receive from another primary, at once or when it is started.

        The primary must not have forked off before what the standby has already: then it is `rejoin`.
        """
        self._become_standby_of(primary)
        self._write_configuration()
        if self.running:
            os.kill(self._postmaster, signal.SIGHUP)

    def rejoin(self, primary: "ReplicatedServer") -> None:
        """Bring a server that was a primary, stopped or crashed, back as a standby; what only it had is lost.

        Raises:
            EmbeddedServerError: pg_rewind could not do it; the text is pg_rewind's.
        """
        self.stop()
        # The end of its recovery is in the new primary's control file, where pg_rewind looks, by a checkpoint.
        primary._run_program("psql", "-X", "-q", "-d", primary.conninfo, "-c", "CHECKPOINT")
        self._run_program(
            *("pg_rewind", "--target-pgdata", str(self.data_folder), "--no-sync"),
            *("--source-server", primary.conninfo),
        )
        self._become_standby_of(primary)
        self._write_configuration()  # pg_rewind has copied the other's
        self.start()

    # -- standing still --

    def pause(self) -> None:
        """Stop all its processes in their tracks: connections stay open, and nothing answers. Linux only."""
        os.kill(self._postmaster, signal.SIGSTOP)  # first: then no new child is missed
        self._signal_children(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause()`; else no effect. `stop()` and `remove()` need none before."""
        if self.running:
            self._signal_children(signal.SIGCONT)
            os.kill(self._postmaster, signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server and the replicas made of it, and delete all of them."""
        for replica in self._replicas:
            replica.remove()
        super().remove()

    def _signal_children(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text()
        for child in children.split():
            with suppress(ProcessLookupError):  # it ended in between
                os.kill(int(child), number)

    # -- making it --

    @property
    def conninfo(self) -> str:
        """How programs of the servers' user reach it: over the socket, as the superuser."""
        return f"host={self.socket_folder} port={self.port} user={SUPERUSER} dbname=postgres"

    def _make_data(self) -> None:
        if self._upstream is None:
            super()._make_data()
            return
        self._run_program(
            *("pg_basebackup", "--pgdata", str(self.data_folder), "--dbname", self._upstream.conninfo),
            *("--checkpoint", "fast", "--wal-method", "stream", "--no-sync", "--no-manifest"),
        )
        self._become_standby_of(self._upstream)

    def _become_standby_of(self, primary: "ReplicatedServer") -> None:
        self._upstream = primary
        # dbname is for programs; a walreceiver replicates all of them. The name tells replicas apart.
        self._settings["primary_conninfo"] = f"{primary.conninfo} application_name={self.folder.name}"
        self._settings["recovery_target_timeline"] = "latest"
        self._write(f"data/{STANDBY_SIGNAL}", "")
