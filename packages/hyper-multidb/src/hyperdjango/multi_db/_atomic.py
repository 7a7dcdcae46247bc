"""`connections.atomic("a", "b")`: a transaction in each of several databases, committed one after the other.

The manager makes the blocks. Nothing is committed before all blocks are closed and none is known to fail; after
that a COMMIT can still fail alone, which is PartialCommit. `two_phase=True` is `_two_phase`.
PostgreSQL docs: tutorial-transactions.
"""
# The blocks of the driver are entered and left together:
# pyright: reportPrivateUsage=false

import functools
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from hyperdjango.database import _callbacks
from hyperdjango.database._pinned import begin_sql
from hyperdjango.database._running import running
from hyperdjango.database.errors import InFailedSqlTransaction, InterfaceError
from hyperdjango.database.resolver import UnknownAlias
from hyperdjango.multi_db import _two_phase
from hyperdjango.multi_db._members import Member, close_all, give_back, roll_back, see_through
from hyperdjango.multi_db.across_errors import PartialCommit

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.database.transaction import TransactionBlock

P = ParamSpec("P")
R = TypeVar("R")

_logger: Final = logging.getLogger("hyperdjango.multi_db")


class AtomicBlock:
    """What `connections.atomic()` returns: an async context manager, entered once, and a decorator.

    Where a block of each alias is running already, it is a savepoint in each.
    """

    def __init__(
        self,
        databases: "Mapping[str, Database]",
        aliases: Sequence[str],
        *,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
        two_phase: bool = False,
    ) -> None:
        """Take down what is wanted; nothing is looked up or begun yet.

        Args:
            databases: What each alias stands for, by the time the block begins.
            aliases: In the order in which they are begun and committed. Models go where they would go without
                a transaction, where that is one of these; all others go to the first.
            isolation: As for `Database.transaction`, and so the two after it.
            read_only: As above.
            deferrable: As above.
            two_phase: Commit by PREPARE TRANSACTION and COMMIT PREPARED.
        Raises:
            ValueError: There is no alias, or one twice, or no such isolation level.
        """
        check_aliases(aliases)
        begin_sql(isolation, read_only, deferrable)
        self._databases = databases
        self._aliases = tuple(aliases)
        self._modes = (isolation, read_only, deferrable)
        self._is_two_phase = two_phase
        self._members: list[Member] = []
        self._nested: list[tuple[str, Database, TransactionBlock]] = []
        self._is_entered = False
        self._together: tuple[Database, ...] = ()
        self._identities: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Take a connection of each database, in order; BEGIN goes out with the first statement of each.

        Raises:
            UnknownAlias: An alias that is not configured.
            InterfaceError: Some of them have a block running and others have not, or two are one database.
            CapabilityMissing: A server does not take prepared transactions.
        """
        if self._is_entered:
            raise InterfaceError("this transaction block is entered already: call atomic() for each")
        chosen = {alias: lookup(self._databases, alias) for alias in self._aliases}
        check_different(chosen)
        is_nested = check_nesting(chosen, two_phase=self._is_two_phase)
        self._is_entered = True
        try:
            if is_nested:
                await self._enter_nested(chosen)
                return self
            if self._is_two_phase:
                self._identities = await _two_phase.check(chosen)
            await self._enter(chosen)
        except BaseException:
            self._is_entered = False
            raise
        return self

    async def _enter(self, chosen: "Mapping[str, Database]") -> None:
        try:
            for alias, database in chosen.items():
                block = database.transaction(None, *self._modes)
                await block.__aenter__()
                assert block._transaction is not None
                self._members.append(Member(alias, database, block, block._transaction))
        except BaseException as error:
            members = self._leave(is_together=False)
            await roll_back(members, error)
            raise
        self._together = tuple(chosen.values())
        running.set((*running.get(), self._together))

    async def _enter_nested(self, chosen: "Mapping[str, Database]") -> None:
        try:
            for alias, database in chosen.items():
                block = database.transaction(None, *self._modes)
                await block.__aenter__()
                self._nested.append((alias, database, block))
        except BaseException as error:
            await self._leave_nested(error)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """COMMIT in order, or ROLLBACK in reverse order; RELEASE or ROLLBACK TO where it is nested.

        Raises:
            PartialCommit: A COMMIT failed after others had been done.
            OutcomeUnknown: A connection was lost with the first COMMIT on its way.
            Exception: The error of the first COMMIT; nothing is committed.
        """
        assert self._is_entered
        self._is_entered = False
        if self._nested:
            await self._leave_nested(error)
            return
        members = self._leave(is_together=True)
        if error is not None:
            await roll_back(members, error)
            return
        try:
            await close_all(members)
            work = self._ending(members)
        except BaseException as failure:
            await roll_back(members, failure)
            raise
        try:
            if len(members) == 1:
                await work
            else:
                await see_through(work)
        except PartialCommit as partial:
            await _run_callbacks_behind(partial, members)
            raise
        await _callbacks.run(_callbacks_of(members))

    def _ending(self, members: list[Member]) -> Coroutine[Any, Any, None]:
        """Return what commits all, once it is known that each could be committed."""
        written = [one for one in members if one.transaction.is_begun]
        if self._is_two_phase and len(written) > 1:
            return _two_phase.ending(members, written, self._identities)
        for member in members:
            member.owe()
        return commit_in_order(members)

    def _leave(self, *, is_together: bool) -> list[Member]:
        """What the task does from now on is not part of the block."""
        members, self._members = self._members, []
        if is_together:
            # Not by a token: blocks may end in another order than they began in.
            together = self._together
            running.set(tuple([one for one in running.get() if one is not together]))
        for member in reversed(members):
            member.block._transaction = None
            member.block._leave()
        return members

    async def _leave_nested(self, error: BaseException | None) -> None:
        nested, self._nested = self._nested, []
        failure = error
        if failure is None:
            # A savepoint that cannot be released must not find the others released already.
            for alias, database, _ in nested:
                transaction = database._current.get()
                if transaction is not None and transaction.is_failed:
                    failure = InFailedSqlTransaction(
                        f"a statement on {alias!r} had failed: nothing of the block remains", sqlstate="25P02"
                    )
                    break
        raised = None if failure is error else failure
        for _, _, block in reversed(nested):
            try:
                await block.__aexit__(None if failure is None else type(failure), failure, None)
            except BaseException as other:
                failure = raised = other
        if raised is not None:
            try:
                raise raised
            finally:
                del raised, failure  # their tracebacks have this frame

    def __call__(
        self, function: Callable[P, Coroutine[object, object, R]]
    ) -> Callable[P, Coroutine[object, object, R]]:
        """Run each call of a coroutine function in a block of its own."""

        @functools.wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            isolation, read_only, deferrable = self._modes
            block = AtomicBlock(
                self._databases,
                self._aliases,
                isolation=isolation,
                read_only=read_only,
                deferrable=deferrable,
                two_phase=self._is_two_phase,
            )
            async with block:
                return await function(*args, **kwargs)

        return wrapper


def _callbacks_of(members: Sequence[Member]) -> list[Callable[[], Any]]:
    return [function for one in members for function in one.transaction.callbacks]


async def _run_callbacks_behind(partial: PartialCommit, members: Sequence[Member]) -> None:
    """What is committed stands, so what was to follow it does; the block raises that it is not everywhere."""
    # One that had nothing to commit is as good as committed, unless the block never came to it. What is prepared
    # of a two-phase commit is committed by somebody else, later.
    done = [
        one
        for one in members
        if one.alias in partial.committed or (one.transaction.is_committed and not one.is_owed)
    ]
    try:
        await _callbacks.run(_callbacks_of(done))
    except Exception:
        _logger.exception("a callback of on_commit failed, behind a commit that is not everywhere")


async def commit_in_order(members: Sequence[Member]) -> None:
    """Send the COMMITs that are owed, one after the other, and give all connections back.

    Raises:
        PartialCommit: One failed after others had been done.
        BaseException: The error of the first; a cancellation says in its cause what is committed.
    """
    failure: BaseException | None = None
    failed = 0
    for failed, member in enumerate(members):  # noqa: B007 - read below
        try:
            if member.is_owed:
                await member.commit()
        except BaseException as error:
            failure = error
            break
        member.transaction.is_committed = True
    try:
        await give_back(members)
    except BaseException as error:
        failure = failure or error
    if failure is not None:
        try:
            _tell(members, failed, failure)
        finally:
            del failure  # its traceback has this frame


def _tell(members: Sequence[Member], failed: int, failure: BaseException) -> None:
    """Raise what says how far it came."""
    # One that had nothing to commit is neither here nor there.
    committed = [one.alias for one in members if one.is_owed and one.transaction.is_committed]
    rest = [one.alias for one in members[failed + 1 :] if not one.transaction.is_committed]
    if not committed:
        if not isinstance(failure, Exception) and len(members) > 1 and members[failed].is_owed:
            alias = members[failed].alias
            failure.add_note(
                f"whether it is committed in {alias!r} is not known; everywhere else it is rolled back"
            )
        raise failure
    if not rest and members[failed].transaction.is_committed:
        failure.add_note(f"the transaction is committed in {', '.join(map(repr, committed))}")
        raise failure
    partial = PartialCommit(committed, {members[failed].alias: failure}, rest)
    if isinstance(failure, Exception):
        raise partial from failure
    _logger.error("%s", partial)
    failure.add_note(str(partial))
    raise failure from partial


def check_aliases(aliases: Sequence[str]) -> None:
    """Refuse what names no databases.

    Raises:
        ValueError: There is none, or one twice.
        TypeError: It is no name.
    """
    if not aliases:
        raise ValueError('atomic() takes the aliases of the databases: atomic("default", "billing")')
    for alias in aliases:
        if not isinstance(alias, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise TypeError(f"atomic() takes aliases, not {type(alias).__name__}")
    twice = sorted({alias for alias in aliases if aliases.count(alias) > 1})
    if twice:
        raise ValueError(
            f"atomic() names {', '.join(map(repr, twice))} twice: each alias has one transaction"
        )


def lookup(databases: "Mapping[str, Database]", alias: str) -> "Database":
    """Return the Database of an alias.

    Raises:
        UnknownAlias: It is not configured.
    """
    try:
        return databases[alias]
    except UnknownAlias:
        raise
    except KeyError:
        known = ", ".join(map(repr, databases)) or "none"
        raise UnknownAlias(f"no database {alias!r}; there are {known}") from None


def check_different(chosen: "Mapping[str, Database]") -> None:
    """Refuse two transactions in one database: they would wait for each other's locks, and nobody would notice.

    Raises:
        InterfaceError: Two aliases are one database.
    """
    seen: dict[object, str] = {}
    for alias, database in chosen.items():
        parameters = database._pool.parameters
        hosts = tuple((host.name, host.address, host.port) for host in parameters.hosts)
        for key in (database._current, (hosts, parameters.dbname, parameters.user)):
            other = seen.setdefault(key, alias)
            if other != alias:
                raise InterfaceError(
                    f"{other!r} and {alias!r} are one database, {parameters.dbname!r} at "
                    f"{parameters.hosts[0]}: its two transactions would wait for each other. Name one of them"
                )


def check_nesting(chosen: "Mapping[str, Database]", *, two_phase: bool) -> bool:
    """Return whether the block is a part of running ones.

    Raises:
        InterfaceError: It would be a part in some databases, and end by itself in others.
    """
    inside = [alias for alias, database in chosen.items() if database.in_transaction()]
    if inside and two_phase:
        raise InterfaceError(
            f"two_phase=True ends a transaction, and there is one running on {', '.join(map(repr, inside))} "
            "of which this block would be a part: use it for the outermost block"
        )
    outside = [alias for alias in chosen if alias not in inside]
    if inside and outside:
        raise InterfaceError(
            f"there is a transaction running on {', '.join(map(repr, inside))} and none on "
            f"{', '.join(map(repr, outside))}: the one would be committed while the other may still be rolled "
            "back. Name all of them in the outermost block"
        )
    return bool(inside)
