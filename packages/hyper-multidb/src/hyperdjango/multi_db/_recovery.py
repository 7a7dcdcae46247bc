"""`connections.recover()`: what became of two-phase commits whose process has gone.

A group is decided by its first database alone: while that has it prepared nothing was committed anywhere, and all
is rolled back, the first last; where it is gone it was committed, and all others are, too. Somebody who dies in
the middle of this leaves what the next one decides in the same way.
PostgreSQL docs: view-pg-prepared-xacts.
"""
# Which host an alias stands for is the pool's to know:
# pyright: reportPrivateUsage=false

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from hyperdjango.database.errors import (
    DatabaseError,
    InterfaceError,
    ObjectNotInPrerequisiteState,
    UndefinedObject,
)
from hyperdjango.multi_db._gid import PATTERN, Gid, digest_of
from hyperdjango.multi_db._two_phase import identity_of
from hyperdjango.multi_db.across_errors import CapabilityMissing

if TYPE_CHECKING:
    from hyperdjango.database import Database

Action = Literal["committed", "rolled back", "left"]

# A block that is younger may be about to go on by itself.
OLDER_THAN: Final = 60.0
# How long those that other sessions are just about to end are waited for, all together, and the pauses, doubled each
# time. The server has no way to wait: it says that such a transaction is busy, and that into its log.
BUSY_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.01
PAUSE_SECONDS_MAX: Final = 0.5
LIST_SQL: Final = """\
SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8 AS age FROM pg_prepared_xacts
WHERE database = current_database() AND gid LIKE $1 AND NOT pg_is_in_recovery() ORDER BY gid"""
# To be asked before: a commit that waits for a standby has its transaction among the prepared ones until the end.
IS_BEING_ENDED_SQL: Final = """\
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active'
AND query ILIKE '%PREPARED%' AND strpos(query, $1) > 0)"""
IS_PREPARED_SQL: Final = """\
SELECT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database() AND gid = $1)"""

_logger: Final = logging.getLogger("hyperdjango.multi_db")


@dataclass(frozen=True, slots=True)
class Recovered:
    """One prepared transaction that `recover()` has found.

    Attributes:
        alias: Of the database that has, or had, it prepared.
        gid: Its name there.
        action: What was done: `"committed"`, `"rolled back"`, or `"left"` as it is.
        reason: Why it was left.
    """

    alias: str
    gid: str
    action: Action
    reason: str | None = None


@dataclass(slots=True)
class _Group:
    """The prepared transactions of one block, as far as they were found: by index."""

    gid: Gid
    age: float = math.inf
    found: dict[int, Gid] = field(default_factory=dict[int, Gid])


async def recover(databases: "Mapping[str, Database]", older_than: float = OLDER_THAN) -> list[Recovered]:
    """Commit or roll back what two-phase commits have left prepared.

    Args:
        databases: By alias. A group that names others, or ones that cannot be reached, is left as it is.
        older_than: Seconds since a group's youngest part was prepared; younger ones are not looked at. What other
            sessions are just ending is waited for, 5 seconds in all.
    Returns:
        What became of each, those that were left with the reason.
    Raises:
        ValueError: `older_than` is negative or not a number.
        InterfaceError: Inside a transaction block.
        DatabaseError: No database could be asked at all.
    """
    if not older_than >= 0:
        raise ValueError(f"older_than is a number of seconds, not {older_than!r}")
    for alias, database in databases.items():
        if database.in_transaction():
            raise InterfaceError(f"recover() cannot be a part of the transaction of {alias!r}")
    groups, unreachable = await _survey(databases)
    found: list[Recovered] = []
    identities: dict[str, str] = {}
    until = time.monotonic() + BUSY_SECONDS
    for group in groups:
        if group.age < older_than:
            continue
        reason = await _why_not(group.gid, databases, unreachable, identities)
        found += await _decide(group, databases, until) if reason is None else _left(group.found, reason)
    return found


async def _survey(databases: "Mapping[str, Database]") -> tuple[list[_Group], dict[str, DatabaseError]]:
    """Return what is prepared, and which aliases could not be asked."""
    groups: dict[str, _Group] = {}
    unreachable: dict[str, DatabaseError] = {}
    for alias, database in databases.items():
        try:
            rows = await database.query(LIST_SQL, PATTERN)
        except DatabaseError as error:
            _logger.warning("recover() cannot ask %r", alias, exc_info=error)
            unreachable[alias] = error
            continue
        for row in rows:
            gid = Gid.parse(row["gid"])
            # Found under another name it is another application's, or found by its own name, too.
            if gid is None or (gid.alias != alias and gid.alias in databases):
                continue
            group = groups.setdefault(f"{gid.group}:{gid.digest}", _Group(gid))
            group.found[gid.index] = gid
            group.age = min(group.age, row["age"])
    if unreachable and len(unreachable) == len(databases):
        raise next(iter(unreachable.values()))
    return list(groups.values()), unreachable


async def _why_not(
    gid: Gid,
    databases: "Mapping[str, Database]",
    unreachable: Mapping[str, DatabaseError],
    identities: dict[str, str],
) -> str | None:
    """Return why a group cannot be decided here; None where it can."""
    for alias in gid.aliases:
        if alias not in databases:
            return f"its database {alias!r} is not configured here"
        if alias in unreachable:
            return f"its database {alias!r} cannot be reached: {unreachable[alias]}"
    for alias in gid.aliases:
        if alias not in identities:
            try:
                identities[alias] = await identity_of(alias, databases[alias])
            except (DatabaseError, CapabilityMissing) as error:
                return f"its database {alias!r} cannot be asked: {error}"
    if digest_of([identities[alias] for alias in gid.aliases]) != gid.digest:
        return "its aliases stand for other databases here"
    return None


async def _decide(group: _Group, databases: "Mapping[str, Database]", until: float) -> list[Recovered]:
    """Commit a group, or roll it back, as its first database has it."""
    first = group.gid.of(0)
    try:
        # Asked once more, after all others: one that was prepared while we looked elsewhere is not gone.
        is_open = await _is_open(databases[first.alias], first, until)
    except DatabaseError as error:
        return _left(group.found, f"its database {first.alias!r} cannot be asked: {error}")
    if is_open is None:
        return _left(group.found, f"another session is just ending it on {first.alias!r}")
    if is_open:
        group.found[0] = first
    else:
        group.found.pop(0, None)
    action: Action = "rolled back" if is_open else "committed"
    command = "ROLLBACK PREPARED" if is_open else "COMMIT PREPARED"
    done: list[Recovered] = []
    order: Sequence[int] = sorted(group.found, reverse=is_open)
    for position, index in enumerate(order):
        gid = group.found[index]
        try:
            await _end(databases[gid.alias], f"{command} {gid.literal}", until)
        except UndefinedObject:
            continue  # another recover() was quicker
        except DatabaseError as error:
            _logger.warning("%s of %s failed on %r", command, gid.text, gid.alias, exc_info=error)
            # Where it is decided the others need not wait; where it is not, the first one must stay.
            left = {other: group.found[other] for other in (order[position:] if is_open else [index])}
            done += _left(left, f"{command} failed on {gid.alias!r}: {error}")
            if is_open:
                break
            continue
        _logger.warning("%s of %s on %r", command, gid.text, gid.alias)
        done.append(Recovered(gid.alias, gid.text, action))
    return done


async def _is_open(database: "Database", first: Gid, until: float) -> bool | None:
    """Whether the first of a group is prepared still; None where a session is at it and does not come to an end."""
    pause = PAUSE_SECONDS
    while await database.query_val(IS_BEING_ENDED_SQL, first.beginning):
        if time.monotonic() >= until:
            return None
        await asyncio.sleep(pause)
        pause = min(2 * pause, PAUSE_SECONDS_MAX)
    is_prepared: bool = await database.query_val(IS_PREPARED_SQL, first.text)
    return is_prepared


async def _end(database: "Database", command: str, until: float) -> None:
    """Execute COMMIT or ROLLBACK PREPARED; where another session is at it, wait until that is over.

    Raises:
        UndefinedObject: The other one has ended it.
        ObjectNotInPrerequisiteState: The other one has it still.
    """
    pause = PAUSE_SECONDS
    while True:
        try:
            await database.execute(command)
        except ObjectNotInPrerequisiteState:
            if time.monotonic() >= until:
                raise
        else:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


def _left(found: Mapping[int, Gid], reason: str) -> list[Recovered]:
    for gid in found.values():
        _logger.warning("recover() leaves %s on %r: %s", gid.text, gid.alias, reason)
    return [Recovered(gid.alias, gid.text, "left", reason) for gid in found.values()]
