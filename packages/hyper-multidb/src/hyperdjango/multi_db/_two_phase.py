"""Two-phase commit: PREPARE TRANSACTION in order, then COMMIT PREPARED in order.

Used by `_atomic`. There is no log of decisions. The first database is prepared first, committed first and rolled
back last: as long as its transaction is prepared nothing is decided, and once that is gone all others are to be
committed. `_recovery` goes by the same rule, after whoever began this has gone.
PostgreSQL docs: two-phase, sql-prepare-transaction, sql-commit-prepared, sql-rollback-prepared.
"""
# The blocks of the driver are ended in another way than their own:
# pyright: reportPrivateUsage=false

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database import _async_replies
from hyperdjango.database._pinned import check_committed
from hyperdjango.database.errors import (
    ConnectionLost,
    DatabaseError,
    InterfaceError,
    OutcomeUnknown,
    QueryTimeout,
    UndefinedObject,
)
from hyperdjango.multi_db._gid import Gid, digest_of, new_group
from hyperdjango.multi_db._members import Member, give_back
from hyperdjango.multi_db.across_errors import CapabilityMissing, PartialCommit

if TYPE_CHECKING:
    from hyperdjango.database import Database

# Each command that undoes or finishes something gets so many seconds; past that it is left to `recover()`.
COMMAND_SECONDS: Final = 5.0
# A process that stood still for longer between the last PREPARE TRANSACTION and the decision does not decide any
# more: by the age of what is prepared `recover()` may be about to roll it back. Well below its `older_than`.
DECIDE_SECONDS: Final = 30.0
IDENTITY_SQL: Final = """\
SELECT current_setting('max_prepared_transactions')::int8 AS prepared_max,
       (SELECT system_identifier::text FROM pg_control_system())
       || '/' || (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS identity"""
_PREPARE: Final = "PREPARE TRANSACTION"
_COMMIT: Final = "COMMIT PREPARED"
_ROLL_BACK: Final = "ROLLBACK PREPARED"
_RECOVER: Final = "call recover()"

_logger: Final = logging.getLogger("hyperdjango.multi_db")


async def check(databases: "Mapping[str, Database]") -> dict[str, str]:
    """Look whether each server takes prepared transactions, and return what tells each database from all others.

    Raises:
        CapabilityMissing: One does not.
        ValueError: The aliases' names are too long together.
        InterfaceError: Two of them are one database.
    """
    identities: dict[str, str] = {}
    for alias, database in databases.items():
        identity = await identity_of(alias, database)
        for other, known in identities.items():
            if known == identity:
                raise InterfaceError(
                    f"{other!r} and {alias!r} are one database: its two transactions would wait for each other. "
                    "Name one of them"
                )
        identities[alias] = identity
    new_group(list(databases), digest_of(list(identities.values())))
    return identities


async def identity_of(alias: str, database: "Database") -> str:
    """Return what tells a database from all others, of all servers.

    Raises:
        CapabilityMissing: The server takes no prepared transactions.
    """
    host = database._pool.parameters.hosts[0]
    try:
        found = await database.query_one(IDENTITY_SQL)
    except DatabaseError as error:
        if error.sqlstate is None or error.sqlstate[:2] not in {"0A", "42"}:
            raise
        raise CapabilityMissing(
            f"two_phase=True needs prepared transactions on {alias!r} ({host}), and the server does not have "
            f"them: {error.message}"
        ) from error
    assert found is not None
    if not found["prepared_max"]:
        raise CapabilityMissing(
            f"two_phase=True needs prepared transactions on {alias!r} ({host}), where max_prepared_transactions "
            "is 0: set it in postgresql.conf to at least max_connections, and restart the server"
        )
    identity: str = found["identity"]
    return identity


def ending(
    members: Sequence[Member], written: Sequence[Member], identities: Mapping[str, str]
) -> Coroutine[Any, Any, None]:
    """Have PREPARE TRANSACTION owed where anything was written, and return what does all the rest.

    Args:
        members: Of the block.
        written: Those that have something to commit, in order: the group is theirs alone.
        identities: What `check` has found.
    Raises:
        InFailedSqlTransaction: A transaction cannot be committed.
    """
    aliases = [one.alias for one in written]
    gid = new_group(aliases, digest_of([identities[alias] for alias in aliases]))
    parts = [_Part(one, gid.of(index)) for index, one in enumerate(written)]
    for part in parts:
        part.member.owe(f"{_PREPARE} {part.gid.literal}")
    return _finish(members, parts)


class _Part:
    """One database's part, and what is known of it.

    Attributes:
        member: The block's.
        gid: The name of its prepared transaction.
        is_prepared: The server has it.
        is_in_doubt: Whether the server has it nobody knows.
    """

    __slots__ = ("gid", "is_in_doubt", "is_prepared", "member")

    def __init__(self, member: Member, gid: Gid) -> None:
        self.member = member
        self.gid = gid
        self.is_prepared = False
        self.is_in_doubt = False

    async def prepare(self) -> None:
        """PREPARE TRANSACTION, after which the connection is in none."""
        slot = self.member.slot
        try:
            with self.member.block._watched(_PREPARE) as watch:
                watch.slot = slot
                check_committed(await send_owed(slot), _PREPARE)
        except BaseException as error:
            # An error of the server's is a ROLLBACK; what else ends the wait says nothing of the outcome.
            self.is_in_doubt = self._is_unheard(error)
            raise
        self.is_prepared = True

    def _is_unheard(self, error: BaseException) -> bool:
        """Whether the wait for an answer was ended by something else than the answer."""
        connection = self.member.slot.connection
        return connection.closed or (
            not isinstance(error, Exception) and connection.transaction_status == "I"
        )

    async def commit(self) -> None:
        """COMMIT PREPARED, on the connection that has prepared it."""
        slot = self.member.slot
        slot.connection.owe(f"{_COMMIT} {self.gid.literal}")
        await self.member.commit(_COMMIT)
        self.is_prepared = False

    async def decide(self) -> None:
        """COMMIT PREPARED of the first, which commits the whole group."""
        try:
            await self.commit()
        except UndefinedObject:
            # Nobody but `recover()` takes it away, and it does so last.
            self.is_prepared = False
            raise
        except BaseException as error:
            is_unheard = self._is_unheard(error)
            self.is_in_doubt = True
            if is_unheard or await self._is_there():
                self.is_in_doubt = is_unheard
                raise
            self.is_prepared = self.is_in_doubt = False
            _logger.warning("an error came behind COMMIT PREPARED on %r", self.member.alias, exc_info=True)

    async def _is_there(self) -> bool:
        """Whether the server has it prepared still, asked on the connection that has prepared it."""
        sql = f"SELECT FROM pg_prepared_xacts WHERE gid = {self.gid.literal}"
        tag = await _async_replies.run(
            self.member.slot, sql, asyncio.get_running_loop().time() + COMMAND_SECONDS
        )
        return tag != "SELECT 0"

    async def finish(self, command: str) -> None:
        """COMMIT PREPARED or ROLLBACK PREPARED, on whichever connection there is; it may have been done already."""
        slot = self.member.slot
        sql = f"{command} {self.gid.literal}"
        try:
            if slot.connection.closed:
                await self.member.database.execute(sql, timeout=COMMAND_SECONDS)
            elif command == _COMMIT:
                await self.commit()
            else:
                with self.member.block._watched(command) as watch:
                    watch.slot = slot
                    await send(slot, sql)
        except UndefinedObject:
            # `recover()` was quicker, or it was never prepared.
            _logger.info("%s: there is no such prepared transaction on %r", sql, self.member.alias)
        self.is_prepared = self.is_in_doubt = False


async def send_owed(slot: Any) -> str:
    """Send what a connection owes and return the last tag."""
    return await _async_replies.run_owed(slot)


async def send(slot: Any, sql: str) -> None:
    """Run a command on a connection that is in no transaction."""
    await _async_replies.run(slot, sql, asyncio.get_running_loop().time() + COMMAND_SECONDS)


async def _finish(members: Sequence[Member], parts: Sequence[_Part]) -> None:
    """Prepare, decide, commit, and give all connections back.

    Raises:
        OutcomeUnknown: The connection was lost while the decision was on its way.
        PartialCommit: It is decided, and not done everywhere.
        BaseException: What the first failure was; nothing is committed.
    """
    failure: BaseException | None = None
    try:
        await _decide(parts)
        for member in members:
            member.transaction.is_committed = True
        await _commit_others(parts)
    except BaseException as error:
        failure = error
    try:
        await give_back(members)
    except BaseException as error:
        if failure is None:
            failure = error
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its traceback has this frame


async def _decide(parts: Sequence[_Part]) -> None:
    """Prepare all, and commit the first. What fails before that is undone."""
    try:
        began = time.monotonic()
        for part in parts:
            began = time.monotonic()
            await part.prepare()
        first = parts[0]
        if time.monotonic() - began > DECIDE_SECONDS:
            raise QueryTimeout(
                f"nothing is committed: {DECIDE_SECONDS:.0f} seconds have passed since the last PREPARE TRANSACTION, "
                "and recover() may be about to roll it back"
            )
        if first.member.slot.connection.closed:
            raise ConnectionLost(f"the connection of {first.member.alias!r} was lost; nothing is committed")
        await first.decide()
    except BaseException as error:
        if parts[-1].is_prepared and parts[0].is_in_doubt:
            _leave_undecided(parts, error)
        await _undo(parts, error)
        raise


def _leave_undecided(parts: Sequence[_Part], error: BaseException) -> None:
    """The decision was on its way: whether it has come nobody knows, and `recover()` can find out.

    Raises:
        OutcomeUnknown: In place of what the connection was lost by.
    """
    first = parts[0]
    others = ", ".join(repr(part.member.alias) for part in parts[1:])
    text = (
        f"whether the transaction is committed is not known: the connection of {first.member.alias!r} was lost, or "
        f"the wait ended, while COMMIT PREPARED was on its way. It is prepared in {others}: {_RECOVER}, which "
        f"finds out and does the same there (group {first.gid.group})"
    )
    _logger.error("%s", text)
    if isinstance(error, Exception):
        raise OutcomeUnknown(text) from error
    error.add_note(text)
    raise error


async def _undo(parts: Sequence[_Part], error: BaseException) -> None:
    """ROLLBACK PREPARED in reverse order. The first one stays where any other may be left over."""
    left: list[str] = []
    stopped = False
    for part in reversed(parts):
        if stopped or (part is parts[0] and left):
            left.append(part.member.alias)
            continue
        if not part.is_prepared and not part.is_in_doubt:
            continue  # its transaction is open still, or was rolled back by the server
        if part.is_in_doubt and part.member.slot.connection.closed:
            # The server may be about to prepare it: that it is not there yet would say nothing.
            left.append(part.member.alias)
            continue
        try:
            await part.finish(_ROLL_BACK)
        except BaseException as other:
            left.append(part.member.alias)
            stopped = not isinstance(other, Exception)
            _logger.warning("ROLLBACK PREPARED failed on %r", part.member.alias, exc_info=other)
    if left:
        where = ", ".join(map(repr, left))
        text = f"nothing is committed, but prepared transactions may be left on {where}: {_RECOVER}"
        _logger.error("%s", text)
        error.add_note(text)


async def _commit_others(parts: Sequence[_Part]) -> None:
    """It is decided: COMMIT PREPARED of all but the first, whatever goes wrong with one of them."""
    failed: dict[str, BaseException] = {}
    stopped: BaseException | None = None
    for part in parts[1:]:
        try:
            await part.finish(_COMMIT)
        except Exception as error:
            failed[part.member.alias] = error
        except BaseException as error:
            failed[part.member.alias] = stopped = error
            break
    pending = [part.member.alias for part in parts if part.is_prepared]
    if not failed:
        return
    committed = [part.member.alias for part in parts if not part.is_prepared]
    partial = PartialCommit(committed, failed, pending=pending)
    _logger.error("%s", partial)
    try:
        if stopped is None:
            raise partial from next(iter(failed.values()))
        stopped.add_note(str(partial))
        raise stopped from partial
    finally:
        del failed, stopped, partial  # tracebacks have this frame
