"""`pipeline`: several statements written at once and answered at once, each with a Sync of its own.

Used by both faces. Texts that nobody knows are described first, all of them in one round trip. What is under
way is bounded: a long pipeline goes out in pieces, and replies are read while it is written.
PostgreSQL docs: protocol-flow, "Pipelining".
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hyperdjango.database import _async_replies, _shape, _sync_replies
from hyperdjango.database._slot import NEEDS_TYPES, Slot
from hyperdjango.database.errors import Error

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database._pinned import Pinned

Query = str | tuple[str, Sequence[object]]


class Item(NamedTuple):
    """One statement and its values."""

    sql: str
    args: tuple[object, ...]


def items_of(queries: Iterable[Query]) -> list[Item]:
    """Return the statements of a pipeline.

    Raises:
        TypeError: One is neither SQL nor a pair of SQL and its values.
    """
    items: list[Item] = []
    for index, query in enumerate(queries):
        if isinstance(query, str):
            items.append(Item(query, ()))
            continue
        pair = cast("object", query)
        if isinstance(pair, (tuple, list)) and len(cast("Sequence[object]", pair)) == 2:
            sql, values = cast("Sequence[object]", pair)
            if isinstance(sql, str) and isinstance(values, (tuple, list)):
                items.append(Item(sql, tuple(cast("Sequence[object]", values))))
                continue
        raise TypeError(
            f"query {index} of the pipeline must be SQL or a pair of SQL and a sequence of values"
        )
    return items


class Work:
    """What is left of a pipeline on one connection, without any waiting.

    Attributes:
        outcomes: A finished request for each statement, or why it could not be sent.
    """

    def __init__(self, slot: Slot, items: list[Item], pinned: "Pinned | None") -> None:
        self.slot = slot
        self.connection = slot.connection
        self.items = items
        self.outcomes: list[native.Request | Exception | None] = [None] * len(items)
        self.is_first = False
        self._pinned = pinned
        self._sent = 0

    def unknown(self) -> "list[native.Request]":
        """Write the descriptions that are to be asked for. Those that fail are tried again in their place."""
        connection = self.connection
        texts = dict.fromkeys(item.sql for item in self.items if not connection.knows(item.sql))
        if len(texts) < 2 or connection.owed:
            return []  # nothing is gained; and what is owed belongs in front of a statement
        return [connection.prepare(sql) for sql in texts]

    def feed(self) -> bool:
        """Write as many statements as may be under way. False: nothing is left to write or to wait for."""
        connection = self.connection
        while self._sent < len(self.items):
            index, item = self._sent, self.items[self._sent]
            try:
                request = connection.append(item.sql, item.args, _shape.TUPLE, None, False, None)
                if request is None and not connection.busy:
                    request = connection.submit(item.sql, item.args, _shape.TUPLE, None, False, None)
                    if self._pinned is not None:
                        self.is_first |= self._pinned.sent()
            except Exception as error:
                self.outcomes[index] = error
                self._sent += 1
                continue
            if request is None:
                break
            self.outcomes[index] = request
            self._sent += 1
        connection.push()
        return connection.busy

    def stale(self) -> list[int]:
        """The statements that were prepared for what is no more, and have not run: to be sent again."""
        if self._pinned is not None or self.connection.closed:
            return []
        return [
            index
            for index, outcome in enumerate(self.outcomes)
            if outcome is not None and not isinstance(outcome, Exception) and outcome.stale
        ]


async def run(
    slot: Slot, items: list[Item], deadline: float | None, pinned: "Pinned | None"
) -> "list[native.Request | Exception | None]":
    """Run the statements on a connection that is the caller's alone, and wait for all replies."""
    work = Work(slot, items, pinned)
    waiting: list[native.Request] = []
    try:
        if work.unknown():
            work.connection.push()
            await _drain(work, waiting, deadline)
        while work.feed():
            await _drain(work, waiting, deadline)
        for index in work.stale():
            item = items[index]
            request = work.connection.submit(item.sql, item.args, _shape.TUPLE, None, False, None)
            await _async_replies.complete(slot, request, deadline)
            work.outcomes[index] = request
    except BaseException:
        if work.is_first and pinned is not None:
            pinned.check_begun()
        raise
    _check_begun(work, pinned)
    return work.outcomes


async def _drain(work: Work, waiting: "list[native.Request]", deadline: float | None) -> None:
    """Wait until nothing is under way; types that are met are asked for at the end."""
    while await _async_replies.drain(work.slot, deadline) == NEEDS_TYPES:
        _set_aside(work, waiting)
        if not work.connection.busy:
            break
    while waiting:
        request = waiting.pop(0)
        work.connection.restore_request(request)
        await _async_replies.complete(work.slot, request, deadline)


def run_blocking(
    slot: Slot, items: list[Item], deadline: float | None, pinned: "Pinned | None"
) -> "list[native.Request | Exception | None]":
    """As `run`; `deadline` is by time.monotonic."""
    work = Work(slot, items, pinned)
    waiting: list[native.Request] = []
    try:
        if work.unknown():
            work.connection.push()
            _drain_blocking(work, waiting, deadline)
        while work.feed():
            _drain_blocking(work, waiting, deadline)
        for index in work.stale():
            item = items[index]
            request = work.connection.submit(item.sql, item.args, _shape.TUPLE, None, False, None)
            _sync_replies.complete(slot, request, deadline)
            work.outcomes[index] = request
    except BaseException:
        if work.is_first and pinned is not None:
            pinned.check_begun()
        raise
    _check_begun(work, pinned)
    return work.outcomes


def _drain_blocking(work: Work, waiting: "list[native.Request]", deadline: float | None) -> None:
    while _sync_replies.drain(work.slot, deadline) == NEEDS_TYPES:
        _set_aside(work, waiting)
        if not work.connection.busy:
            break
    while waiting:
        request = waiting.pop(0)
        work.connection.restore_request(request)
        _sync_replies.complete(work.slot, request, deadline)


def _set_aside(work: Work, waiting: "list[native.Request]") -> None:
    request = work.connection.suspend_request()
    assert request is not None
    waiting.append(request)


def _check_begun(work: Work, pinned: "Pinned | None") -> None:
    """The block's first statement was in here: where BEGIN has failed, no other may follow."""
    first = work.outcomes[0]
    if (
        pinned is not None
        and work.is_first
        and first is not None
        and not isinstance(first, Exception)
        and first.failed
    ):
        pinned.check_begun()


def results(outcomes: "list[native.Request | Exception | None]", *, return_exceptions: bool) -> list[Any]:
    """Return the rows of each statement, as tuples.

    Raises:
        Error: The first one's that failed, unless errors are returned in place.
    """
    made: list[Any] = []
    failure: Exception | None = None
    for index, outcome in enumerate(outcomes):
        assert outcome is not None
        try:
            if isinstance(outcome, Exception):
                raise outcome
            made.append(outcome.result())
        except Exception as error:
            if isinstance(error, Error):
                error.add_note(f"in query {index} of the pipeline, counted from 0")
            made.append(error)
            failure = failure or error
    if failure is not None and not return_exceptions:
        raise failure
    return made
