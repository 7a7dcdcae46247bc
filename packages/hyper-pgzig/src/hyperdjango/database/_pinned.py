"""A transaction block on the connection that it is pinned to: which commands it owes, and when.

Never waits; the faces do (`transaction`, `sync_client`). BEGIN, SAVEPOINT and what ends a savepoint go out
in front of the next statement, so that they cost no round trip, and not at all where no statement follows.
PostgreSQL docs: sql-begin, sql-savepoint, sql-release-savepoint, sql-rollback-to.
"""

from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.database._stages import Stage
from hyperdjango.database.errors import InFailedSqlTransaction, InterfaceError, TransactionClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperdjango.database._copy import Reading
    from hyperdjango.database._native import native
    from hyperdjango.database._slot import Slot

# How often the first statement of a block is sent again because what was known of it was out of date.
REPEATS_MAX: Final = 3
# What those who watch are told of nested blocks, without the names.
SAVEPOINT: Final = "SAVEPOINT"
RELEASE: Final = "RELEASE SAVEPOINT"
ROLLBACK_TO: Final = "ROLLBACK TO SAVEPOINT"
_SPOILT: Final = "a nested block was cancelled before it could be ended"

_ISOLATION_LEVELS: Final = frozenset(
    {"read uncommitted", "read committed", "repeatable read", "serializable"}
)


def begin_sql(isolation: str | None, read_only: bool | None, deferrable: bool | None) -> str:
    """Return the BEGIN with these modes.

    Raises:
        ValueError: No such isolation level.
    """
    modes: list[str] = []
    if isolation is not None:
        level = " ".join(isolation.lower().replace("_", " ").split())
        if level not in _ISOLATION_LEVELS:
            raise ValueError(
                f"isolation must be one of {', '.join(sorted(_ISOLATION_LEVELS))}, not {isolation!r}"
            )
        modes.append(f"ISOLATION LEVEL {level.upper()}")
    if read_only is not None:
        modes.append("READ ONLY" if read_only else "READ WRITE")
    if deferrable is not None:
        modes.append("DEFERRABLE" if deferrable else "NOT DEFERRABLE")
    return " ".join(["BEGIN", *modes])


class Savepoint:
    """A nested block.

    Attributes:
        name: Quoted.
        callbacks_before: How many `on_commit` callbacks the block around it had.
        undoings_before: How many functions that undo something.
    """

    __slots__ = ("callbacks_before", "name", "undoings_before")

    def __init__(self, name: str, callbacks_before: int, undoings_before: int) -> None:
        self.name = name
        self.callbacks_before = callbacks_before
        self.undoings_before = undoings_before


class Pinned:
    """An outermost block and all that are nested in it.

    Attributes:
        slot: The connection; the block's until it ends.
        depth: How many blocks are open, the outermost counted.
        is_begun: Something was sent: the backend has the transaction, unless BEGIN itself has failed.
        is_closed: No statement may follow.
        is_committed: It has taken effect, whatever its callbacks do.
        callbacks: What `on_commit` has taken.
        undoings: What makes objects forget a write that is rolled back: for packages of ours. They must not fail.
        reading: The data that the connection is giving, whose reader does other things in between.
        stage: What was read since the block began, or since something of it was rolled back, belongs to it.
    """

    def __init__(self, slot: "Slot", begin: str) -> None:
        self.slot = slot
        self.depth = 1
        self.is_begun = False
        self.is_closed = False
        self.is_committed = False
        self.callbacks: list[Callable[[], Any]] = []
        self.undoings: list[Callable[[], None]] = []
        self.reading: Reading | None = None
        self.stage = Stage()
        self._begin = begin
        self._savepoints: list[Savepoint] = []
        self._has_not_begun = False
        self._repeats = 0
        self._is_spoilt = False
        slot.connection.owe(begin)

    def check_usable(self) -> None:
        """Refuse a statement that could not be part of the transaction.

        Raises:
            TransactionClosed: The block has ended.
            InFailedSqlTransaction: BEGIN has failed, or a nested block could not be ended.
        """
        if self.is_closed:
            raise TransactionClosed
        if self._has_not_begun:
            raise InFailedSqlTransaction("the transaction could not be begun", sqlstate="25P02")
        if self._is_spoilt:
            raise InFailedSqlTransaction(_SPOILT, sqlstate="25P02")

    @property
    def is_failed(self) -> bool:
        """Whether the backend will refuse whatever comes next."""
        connection = self.slot.connection
        return connection.transaction_status == "E" and not connection.owed

    def spoil(self) -> None:
        """A nested block could not be ended: what it has done must not be committed."""
        self._is_spoilt = True

    def sent(self) -> bool:
        """A statement has been sent, and BEGIN in front of it if it is the first: then True."""
        is_first, self.is_begun = not self.is_begun, True
        return is_first

    def is_to_repeat(self, request: "native.Request") -> bool:
        """Whether the first statement, complete now, is to be sent again: nothing of it has run."""
        if not request.failed:
            return False
        connection = self.slot.connection
        if request.stale and not connection.closed and self._repeats < REPEATS_MAX:
            self._repeats += 1
            # What was known of it was out of date; the transaction that it has spoilt held nothing else.
            if connection.transaction_status != "I":
                connection.owe("ROLLBACK")
            connection.owe(self._begin)
            for savepoint in self._savepoints:
                connection.owe(f"SAVEPOINT {savepoint.name}")
            self.is_begun = False
            return True
        self.check_begun()
        return False

    def check_begun(self) -> None:
        """The first statement has failed: what follows is refused if BEGIN has, too."""
        self._has_not_begun = self.slot.connection.transaction_status == "I"

    def undo(self, kept: int = 0) -> None:
        """What was written is rolled back: objects forget it, the last first, all but the first `kept`."""
        undone = self.undoings[kept:]
        del self.undoings[kept:]
        for function in reversed(undone):
            function()

    # Nested blocks.

    def enter(self, name: str | None) -> Savepoint:
        """Begin a nested block."""
        quoted = quote_identifier(name or f"sp_{self.depth + 1}")
        savepoint = Savepoint(quoted, len(self.callbacks), len(self.undoings))
        self.slot.connection.owe(f"SAVEPOINT {savepoint.name}")
        self._savepoints.append(savepoint)
        self.depth += 1
        return savepoint

    def leave(self, savepoint: Savepoint, *, failed: bool) -> bool:
        """End a nested block. Returns whether what is owed must be sent at once, because it will fail."""
        self.depth -= 1
        self._savepoints.remove(savepoint)
        connection = self.slot.connection
        if failed:
            del self.callbacks[savepoint.callbacks_before :]
            self.stage.is_over = True
            self.stage = Stage()
        if connection.closed or connection.disown(f"SAVEPOINT {savepoint.name}"):
            return False  # nothing has run since
        if failed:
            if self.is_begun and connection.transaction_status != "I":
                # What inner blocks owe goes with it, and could not be done in a failed transaction.
                connection.disown(None)
                connection.owe(f"ROLLBACK TO SAVEPOINT {savepoint.name}")
                connection.owe(f"RELEASE SAVEPOINT {savepoint.name}")
            return False
        must_fail = connection.transaction_status == "E" and not connection.owed
        connection.owe(f"RELEASE SAVEPOINT {savepoint.name}")
        return must_fail or connection.transaction_status == "I"

    # The end.

    def commit(self, command: str = "COMMIT") -> bool:
        """The outermost block has ended well. Returns whether a COMMIT is owed now, and to be sent.

        Args:
            command: What is owed in place of COMMIT: a PREPARE TRANSACTION.
        Raises:
            InFailedSqlTransaction: There is nothing to commit any more.
            InterfaceError: A statement of the block has ended its transaction.
        """
        connection = self.slot.connection
        if connection.closed:
            # Whoever lost the connection has said so; the transaction went with it.
            raise InFailedSqlTransaction("the transaction's connection was lost, nothing was committed")
        if self._has_not_begun:
            raise InFailedSqlTransaction("the transaction could not be begun, nothing was committed")
        if self._is_spoilt:
            raise InFailedSqlTransaction(f"{_SPOILT}; nothing was committed")
        if not self.is_begun:
            connection.disown(None)
            return False
        if connection.transaction_status == "I":
            connection.disown(None)
            raise InterfaceError(
                "a COMMIT or ROLLBACK inside the block has ended its transaction; "
                "the statements after it were not part of it"
            )
        connection.owe(command)
        return True

    def abandon(self) -> None:
        """The outermost block has failed: nothing of what is still owed is sent."""
        connection = self.slot.connection
        # Where another thread is still in there, the connection is closed.
        if not connection.closed and not connection.busy:
            connection.disown(None)


def check_committed(tag: str, command: str = "COMMIT") -> None:
    """Raise when a COMMIT was answered with another command tag than its own.

    Args:
        tag: Of the answer.
        command: What was sent: COMMIT, COMMIT PREPARED or PREPARE TRANSACTION.
    Raises:
        InFailedSqlTransaction: A statement had failed, so the backend rolled back instead.
    """
    if tag != command:
        raise InFailedSqlTransaction(
            f"the transaction was not committed: the server answered {command} with {tag}, "
            "because a statement in it had failed",
            sqlstate="25P02",
        )
