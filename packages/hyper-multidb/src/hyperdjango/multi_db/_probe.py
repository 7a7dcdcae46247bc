"""What a server is asked about itself, and what its answer says. `_node` greets and `_monitor` probes with it.

PostgreSQL docs: functions-admin, "Recovery Control Functions"; functions-info, "Control Data Functions";
monitoring-stats, "pg_stat_wal_receiver".
"""

from typing import Any, Final, NamedTuple

from hyperdjango.multi_db.lsn import Position, parse_lsn

# The functions for servers in recovery fail on others, and the other way round.
PROBE: Final = """
SELECT in_recovery,
       CASE WHEN in_recovery THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_flush_lsn() END::text,
       CASE WHEN in_recovery THEN greatest(
                (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver),
                (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))
            ELSE ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()), 1, 8))
                ::bit(32)::int8 END::int8,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
       (SELECT system_identifier FROM pg_catalog.pg_control_system())::text,
       pg_catalog.current_setting('transaction_read_only') = 'on'
FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery) AS server
"""

# Of servers that do not say how far their log is: roles and lives, and nothing of lag.
PLAIN_PROBE: Final = """
SELECT pg_catalog.pg_is_in_recovery(), '0/0', 0::int8,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text, '',
       pg_catalog.current_setting('transaction_read_only') = 'on'
"""

# In front of a COMMIT, as SET LOCAL is over behind it: a row where nobody will wait for its flush. It has no columns,
# since nobody reads it: it is counted.
IS_ASYNCHRONOUS: Final = "SELECT WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"

# How far the log is, behind a commit: timeline and LSN in one text. What is flushed has the commit, unless that was
# not waited for; what is inserted has every commit, and is asked for where nobody knows. It has records of others as
# well, that may be flushed no sooner than somebody commits, or the background writer logs what is running (15 seconds).
_POSITION: Final = """
SELECT substr(pg_catalog.pg_walfile_name(lsn), 1, 8) || lsn
FROM (SELECT {lsn} AS lsn) AS log
"""
POSITION: Final = _POSITION.format(lsn="pg_catalog.pg_current_wal_insert_lsn()")

# Behind a statement outside of blocks, where the session's own synchronous_commit counts.
POSITION_OF_CALL: Final = _POSITION.format(
    lsn="""CASE WHEN pg_catalog.current_setting('synchronous_commit') = 'off'
                  THEN pg_catalog.pg_current_wal_insert_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END"""
)

# Both, behind the COMMIT of a block: with what IS_ASYNCHRONOUS said in front of it one of them is chosen.
POSITIONS: Final = """
SELECT substr(pg_catalog.pg_walfile_name(flushed), 1, 8) || flushed || ' ' || inserted
FROM (SELECT pg_catalog.pg_current_wal_flush_lsn() AS flushed,
             pg_catalog.pg_current_wal_insert_lsn() AS inserted) AS log
"""

REPLAYED: Final = "SELECT pg_catalog.pg_last_wal_replay_lsn()::text"


class Answer(NamedTuple):
    """What a server says of itself.

    Attributes:
        in_recovery: It is a standby.
        lsn: What it has replayed, or flushed where it is a primary.
        timeline: The one it is on; of a standby the least it can be.
        life: Different after every start of the server.
        system: The same for a primary and its standbys.
        is_read_only: It refuses writes, for whatever reason.
    """

    in_recovery: bool
    lsn: int
    timeline: int
    life: str
    system: str
    is_read_only: bool

    @classmethod
    def of(cls, row: "tuple[Any, ...] | None") -> "Answer":
        """Read a row of PROBE."""
        assert row is not None
        in_recovery, lsn, timeline, life, system, is_read_only = row
        # A standby that has replayed nothing yet has no LSN.
        return cls(in_recovery, parse_lsn(lsn or "0/0"), timeline or 0, life, system, is_read_only)

    @property
    def position(self) -> Position:
        """Timeline and LSN."""
        return Position(self.timeline, self.lsn)


__all__ = [
    "IS_ASYNCHRONOUS",
    "PLAIN_PROBE",
    "POSITION",
    "POSITIONS",
    "POSITION_OF_CALL",
    "PROBE",
    "REPLAYED",
    "Answer",
]
