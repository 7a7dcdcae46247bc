"""What an alias is told about its replicas. `_config` reads it, `_replica_set` goes by it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SetOptions:
    """What an alias is told about its replicas; seconds all of them.

    Attributes:
        max_lag: A replica that is further behind serves no reads; None is no limit.
        read_your_writes: `"lsn"`, seconds after a write in which reads go to the primary, or None.
        lsn_wait: How long a read waits for a replica before it goes to the primary.
        probe_interval: Between two questions to each server.
        probe_timeout: A server that takes longer to answer counts as down.
        failover_timeout: How long a write that was not sent yet waits for a new primary.
    """

    max_lag: float | None = None
    read_your_writes: str | float | None = "lsn"
    lsn_wait: float = 0.05
    probe_interval: float = 1.0
    probe_timeout: float = 2.0
    failover_timeout: float = 5.0

    @property
    def needs_lsn(self) -> bool:
        """Whether servers must say how far their log is."""
        return self.read_your_writes == "lsn" or self.max_lag is not None


__all__ = ["SetOptions"]
