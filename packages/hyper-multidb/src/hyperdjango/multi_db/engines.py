"""What a server can do, found out by asking it: not everything that speaks PostgreSQL's protocol is PostgreSQL.

The manager probes when it opens an alias; code asks the flags of Capabilities and never the name of an engine. The
probe does what a flag is about, and sees whether that works; only where a server pretends does it go by what else
it knows of itself. docs/engines.md has a table of what is to be expected.
PostgreSQL docs: functions-admin, "Advisory Lock Functions"; functions-admin, "Recovery Control Functions".
"""
# Whether a pooler was noticed is the pool's to know:
# pyright: reportPrivateUsage=false

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database.errors import DatabaseError
from hyperdjango.multi_db._two_phase import IDENTITY_SQL
from hyperdjango.multi_db.across_errors import CapabilityMissing

if TYPE_CHECKING:
    from hyperdjango.database import Database


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server behind an alias can do. All flags are false where nobody knows.

    Attributes:
        engine: What it is, for people: `"PostgreSQL"`, `"CockroachDB"`, `"Citus"` …
        version: What `version()` says.
        server_version: The PostgreSQL version that it is, or is compatible with: 180006; 0 where it says none.
        extensions: Name to version.
        has_pooler: A pooler was noticed between, which gives each transaction another session.
        advisory_lock: Advisory locks are locks, and last as long as the session.
        listen: LISTEN works, which it does on no standby and through no such pooler.
        named_statements: Statements can be prepared under a name.
        lsn: The write-ahead log has a position that standbys replay: for reading one's own writes.
        deferrable: Constraints can be checked at the end of the transaction.
        two_phase: PREPARE TRANSACTION works: `atomic(…, two_phase=True)`.
    """

    engine: str
    version: str
    server_version: int
    extensions: Mapping[str, str]
    has_pooler: bool = False
    advisory_lock: bool = False
    listen: bool = False
    named_statements: bool = False
    lsn: bool = False
    deferrable: bool = False
    two_phase: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the flags that are false."""
        return tuple(name for name in FLAGS if not getattr(self, name))

    def require(self, capability: str, alias: str, host: str, remedy: str) -> None:
        """Refuse to go on without a capability.

        Args:
            capability: The name of a flag.
            alias: Of the database.
            host: Of its server, as people know it.
            remedy: What to do about it, as a sentence begins.
        Raises:
            CapabilityMissing: It is missing. The text names all four.
            ValueError: There is no such flag.
        """
        if capability not in FLAGS:
            raise ValueError(f"there is no capability {capability!r}; there are {', '.join(FLAGS)}")
        if not getattr(self, capability):
            through = " through a pooler in transaction mode" if self.has_pooler else ""
            raise CapabilityMissing(
                f"{alias!r} ({host}) is {self.engine}{through}, and that has no {WORDS[capability]}: {remedy}"
            )


# What the flags are called in a sentence.
WORDS: Final = {
    "advisory_lock": "advisory locks of a session",
    "listen": "LISTEN",
    "named_statements": "named prepared statements",
    "lsn": "position in the write-ahead log that its replicas replay (lsn)",
    "deferrable": "deferrable constraints",
    "two_phase": "prepared transactions (two_phase)",
}
FLAGS: Final = tuple(WORDS)
assert set(FLAGS) < {field.name for field in fields(Capabilities)}

VERSION_SQL: Final = "SELECT version()"
NUMBER_SQL: Final = "SELECT current_setting('server_version_num')"
RECOVERY_SQL: Final = "SELECT pg_is_in_recovery()"
EXTENSIONS_SQL: Final = "SELECT extname::text, extversion FROM pg_extension"
# Both functions: what a primary says must be what its standbys can be compared with.
LSN_SQL: Final = """\
SELECT pg_last_wal_replay_lsn() IS NOT NULL OR pg_is_in_recovery()
       OR pg_current_wal_insert_lsn() IS NOT NULL"""
# Where the function is a stub it says true, and there is no lock. One that goes with this statement.
ADVISORY_SQL: Final = """\
SELECT taken.ok AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND taken.ok)
FROM (SELECT pg_try_advisory_xact_lock_shared($1::int8) AS ok OFFSET 0) AS taken"""
ADVISORY_KEY: Final = 0x687970657270726F  # nobody else's; and shared, so that probes do not meet
AURORA_SQL: Final = "SELECT aurora_version()"
YUGABYTE_SQL: Final = "SELECT count(*) FROM yb_servers()"
LISTEN_SQL: Final = 'LISTEN "hyperdjango_probe"'
DEFERRABLE_SQL: Final = "SET CONSTRAINTS ALL IMMEDIATE"

QUESTIONS: Final[tuple[str | tuple[str, tuple[object, ...]], ...]] = (
    VERSION_SQL,
    NUMBER_SQL,
    RECOVERY_SQL,
    EXTENSIONS_SQL,
    LSN_SQL,
    (ADVISORY_SQL, (ADVISORY_KEY,)),
    IDENTITY_SQL,
    AURORA_SQL,
    YUGABYTE_SQL,
    # Rolled back, so that nobody listens.
    "BEGIN",
    LISTEN_SQL,
    "ROLLBACK",
    "BEGIN",
    DEFERRABLE_SQL,
    "ROLLBACK",
)


async def probe(database: "Database") -> Capabilities:
    """Ask a server what it can do, in one round trip or, where the statements are new to it, two.

    Args:
        database: Connected, and in no transaction of the caller's.
    Returns:
        The flags. A question that the server refuses is a flag that is false.
    Raises:
        DatabaseError: The connection was lost, or there was none.
    """
    outcomes = await database.pipeline(QUESTIONS, return_exceptions=True)
    answers: dict[str, Any] = {}
    for question, outcome in zip(QUESTIONS, outcomes, strict=True):
        sql = question if isinstance(question, str) else question[0]
        if isinstance(outcome, BaseException):
            if not isinstance(outcome, DatabaseError) or outcome.sqlstate is None:
                raise outcome
            continue
        answers[sql] = outcome
    version = str(_one(answers, VERSION_SQL) or "")
    extensions: dict[str, str] = dict(answers.get(EXTENSIONS_SQL, ()))
    is_aurora, is_yugabyte = AURORA_SQL in answers, YUGABYTE_SQL in answers
    is_citus = "citus" in extensions
    has_pooler = await _has_pooler(database)
    number = str(_one(answers, NUMBER_SQL) or "0")
    return Capabilities(
        engine=_engine(version, is_aurora=is_aurora, is_yugabyte=is_yugabyte, is_citus=is_citus),
        version=version,
        server_version=int(number) if number.isascii() and number.isdigit() else 0,
        extensions=MappingProxyType(extensions),
        has_pooler=has_pooler,
        advisory_lock=_one(answers, ADVISORY_SQL) is True and not has_pooler,
        listen=LISTEN_SQL in answers and not has_pooler,
        named_statements=bool(answers) and not has_pooler,
        # Replicas of both read what the log does not say: the functions are those of the PostgreSQL they are made of.
        lsn=_one(answers, LSN_SQL) is True and not is_aurora and not is_yugabyte,
        deferrable=DEFERRABLE_SQL in answers,
        two_phase=_takes_prepared(answers) and not is_citus and not is_yugabyte,
    )


async def _has_pooler(database: "Database") -> bool:
    """Whether the driver has noticed a pooler that gives each transaction another session."""
    slot = await database._acquire(None)
    try:
        return slot.connection.has_pooler
    finally:
        await database._release(slot)


def _takes_prepared(answers: Mapping[str, Any]) -> bool:
    """Whether prepared transactions are turned on, and recovery can tell the database from others.

    Citus takes them, and refuses those that touched several of its servers; YugabyteDB has the setting alone.
    """
    identity = answers.get(IDENTITY_SQL)
    return bool(identity and identity[0][0] and identity[0][1]) and _one(answers, RECOVERY_SQL) is not True


def _one(answers: Mapping[str, Any], sql: str) -> Any:
    """Return the only value of an answer; None where the server has refused."""
    rows = answers.get(sql)
    return rows[0][0] if rows else None


def _engine(version: str, *, is_aurora: bool, is_yugabyte: bool, is_citus: bool) -> str:
    """Return the name for people; nothing is decided by it."""
    if is_aurora:
        return "Amazon Aurora"
    if is_yugabyte or "-YB-" in version:
        return "YugabyteDB"
    if version.startswith("CockroachDB"):
        return "CockroachDB"
    return "Citus" if is_citus else "PostgreSQL"


def require(capabilities: Capabilities, capability: str, alias: str, host: str, remedy: str) -> None:
    """Refuse to go on without a capability; as `Capabilities.require`."""
    capabilities.require(capability, alias, host, remedy)


__all__ = ["FLAGS", "Capabilities", "probe", "require"]
