"""`pipeline`: several statements written at once and answered at once, each with a Sync of its own.

Used by both faces. Texts that nobody knows are described first, all of them in one round trip. What is under
way is bounded: a long pipeline goes out in pieces, and replies are read while it is written. A question may go
behind the last statement, in the same flush: `hyperdjango.multi_db` asks there how far the log is.
PostgreSQL docs: protocol-flow, "Pipelining".
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from hyperdjango.database import _async_replies, _shape, _sync_replies
from hyperdjango.database._question import Question
from hyperdjango.database._slot import AGAIN, DONE, NEEDS_TYPES, WAITING, Slot
from hyperdjango.database._tracebacks import without_ours
from hyperdjango.database._watching import NOBODY, Watch, is_watched, watched
from hyperdjango.database.errors import Error

if TYPE_CHECKING:
    from hyperdjango.database._face import Face
    from hyperdjango.database._native import native
    from hyperdjango.database._pinned import Pinned

Query = str | tuple[str, Sequence[object]]
Outcomes: TypeAlias = "list[native.Request | Exception | None]"


class Item(NamedTuple):
    """One statement, its values, and what is made of its rows.

    Attributes:
        args: None sends it by the simple protocol, as a script.
        first_set: `args` is a batch of sets of values, and this is the number of the first in the errors.
    """

    sql: str
    args: tuple[object, ...] | None
    shape: int = _shape.TUPLE
    target: object = None
    first: bool = False
    first_set: int | None = None

    @property
    def is_described_first(self) -> bool:
        """Whether a round trip of its own is needed for a text that nobody knows."""
        return self.args is not None and (self.shape != _shape.DISCARD or bool(self.args))


def items_of(queries: Iterable[Query]) -> list[Item]:
    """Return the statements of a pipeline.

    Raises:
        TypeError: One is neither SQL nor a pair of SQL and its values; or it is one text, not several.
    """
    if isinstance(queries, str):
        raise TypeError("a pipeline takes a sequence of queries, not one text: pipeline([sql])")
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


def watched_items(face: "Face", items: list[Item]) -> Watch:
    """Return what watches a pipeline: one call, whatever it holds."""
    if not is_watched(face):  # the texts are not put together for nobody
        return NOBODY
    texts = dict.fromkeys(item.sql for item in items)
    count = sum(len(item.args or ()) for item in items)
    watch = watched(face, "pipeline", "; ".join(texts), parameters_count=count)
    watch.batch_size = len(items)
    return watch


class Work:
    """What is left of a pipeline on one connection, without any waiting.

    Attributes:
        outcomes: A finished request for each statement, or why it could not be sent.
    """

    def __init__(
        self, slot: Slot, items: list[Item], pinned: "Pinned | None", question: Question | None = None
    ) -> None:
        self.slot = slot
        self.connection = slot.connection
        self.items = items
        self.outcomes: Outcomes = [None] * len(items)
        self.is_first = False
        self._question = question
        self._pinned = pinned
        self._first: int | None = None
        self._sent = 0
        self._is_described = False
        # Of the only statement; what has failed need not be tried again.
        self._described: native.Request | None = None

    def unknown(self) -> "list[native.Request]":
        """Write the descriptions that are to be asked for. Those that fail are tried again in their place.

        Not inside a transaction, which one that fails would spoil for the statements in front of it.
        """
        connection = self.connection
        if self._is_described or connection.closed or self._pinned is not None:
            return []
        # What is owed belongs in front of a statement: once that has run this is asked again. But with a question it
        # is a reset, which may stand in front of anything.
        if connection.owed and self._question is None:
            return []
        self._is_described = True
        rest = self.items[self._sent :]
        texts = dict.fromkeys(
            item.sql for item in rest if item.args is not None and not connection.knows(item.sql)
        )
        if self._question is None:
            if len(texts) < 2:
                return []  # nothing is gained
        else:
            if len(texts) < 2 and not any(item.is_described_first for item in rest):
                texts.clear()
            # It is to leave with the last statement: what has to be learned for that is learned before.
            if not connection.knows(self._question.sql):
                texts[self._question.sql] = None
        described = [connection.prepare(sql) for sql in texts]
        if len(self.items) == 1 and self.items[0].sql in texts:
            self._described = described[0]
        return described

    def begin(self) -> bool:
        """Write the one statement and the question, where both are known. False: `feed` is for all others.

        Raises:
            Exception: It could not be sent.
        """
        connection, item, question = self.connection, self.items[0], self._question
        if question is None or item.args is None or not connection.knows(question.sql):
            return False
        if connection.owed or not connection.knows(item.sql):
            return False
        self.outcomes[0] = self._write(item)
        self._sent = 1
        self._ask()
        connection.push()
        return True

    @property
    def is_to_go_on(self) -> bool:
        """Whether something is left to do behind what `begin` has written, all of which is answered."""
        assert self._question is not None
        return self._question.asked is None or self.first_outcome.stale

    @property
    def first_outcome(self) -> "native.Request":
        """The first statement's request.

        Raises:
            Exception: It could not be sent, for this reason.
        """
        outcome = self.outcomes[0]
        assert outcome is not None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def feed(self) -> bool:
        """Write as many statements as may be under way. False: nothing is left to write or to wait for.

        The first of a block goes alone: what stood behind a BEGIN that fails would run outside of it.
        """
        connection = self.connection
        self._look_at_first()
        if self._described is not None and self._described.failed and not connection.closed:
            self.outcomes[0] = self._described
            return False
        while self._sent < len(self.items):
            index, item = self._sent, self.items[self._sent]
            try:
                if self._pinned is not None:
                    self._pinned.check_usable()
                request = self._write(item)
                if request is not None and self._pinned is not None and self._pinned.sent():
                    self.is_first = True
                    self._first = index
            except Exception as error:
                self.outcomes[index] = without_ours(error)
                self._sent += 1
                continue
            if request is None:
                break
            self.outcomes[index] = request
            self._sent += 1
            if index == self._first:
                break
        if self._sent == len(self.items):
            self._ask()
        connection.push()
        return connection.busy

    def _write(self, item: Item) -> "native.Request | None":
        """Write a statement, where it can go yet."""
        question = self._question
        if question is None:
            return _written(self.connection, item)
        # Before, as an interrupt may come in between.
        was_behind, question.is_behind = question.is_behind, True
        self.connection.corked = True  # they leave together
        try:
            return _written(self.connection, item)
        except Exception:
            question.is_behind = was_behind
            raise
        finally:
            self.connection.corked = False

    def _ask(self) -> None:
        """Write the question, where it can go yet."""
        question = self._question
        if question is None or question.asked is not None or not question.is_behind or self.connection.closed:
            return
        if not self.connection.busy:
            question.ask_by_itself(self.connection)
        elif not self._may_read_data():
            question.ask(self.connection)

    def _may_read_data(self) -> bool:
        """Whether the last statement may be a COPY, which would take what stands behind it for its data."""
        text = self.items[-1].sql.lower()
        return "stdin" in text and "copy" in text

    def _look_at_first(self) -> None:
        """The first statement of the block is complete: it may have to be sent again, or be the last."""
        if self._first is None or self._pinned is None:
            return
        index, self._first = self._first, None
        request = self.outcomes[index]
        assert request is not None
        assert not isinstance(request, Exception)
        if self._pinned.is_to_repeat(request):
            self._sent = index

    def stale(self) -> list[int]:
        """The statements that were prepared for what is no more, and have not run: to be sent again.

        Only where nothing that has run after them could have depended on their order.
        """
        if self._pinned is not None or self.connection.closed:
            return []
        again: list[int] = []
        has_run = reads_only = False
        for index in range(len(self.items) - 1, -1, -1):
            outcome, is_read = self.outcomes[index], _is_read(self.items[index].sql)
            if outcome is None or isinstance(outcome, Exception):
                continue
            if not outcome.stale:
                reads_only = is_read and (reads_only or not has_run)
                has_run = True
            elif not has_run or (reads_only and is_read):
                again.append(index)
        if again and self._question is not None:
            self._question.asked = None  # its answer is about what was before
        return again[::-1]

    def check_begun(self) -> None:
        """The pipeline ends early: whether its block has begun may be open."""
        if self.is_first and self._pinned is not None:
            self._pinned.check_begun()

    def submit_again(self, index: int) -> "native.Request":
        """Send one of the stale statements by itself."""
        return self.connection.submit(*self.items[index])

    def ask_again(self) -> "native.Request | None":
        """Send the question behind statements that were sent again."""
        self._ask()
        return None if self._question is None else self._question.asked


def _written(connection: "native.Connection", item: Item) -> "native.Request | None":
    request = None
    if item.args is not None and item.first_set is None:
        request = connection.append(item.sql, item.args, item.shape, item.target, item.first, None)
    if request is None and not connection.busy:
        request = connection.submit(*item)
    return request


def _is_read(sql: str) -> bool:
    return sql.lstrip(" \t\r\n(")[:6].lower() == "select"


async def run(
    slot: Slot,
    items: list[Item],
    deadline: float | None,
    pinned: "Pinned | None",
    question: Question | None = None,
) -> Outcomes:
    """Run the statements on a connection that is the caller's alone, and wait for all replies.

    A question is for calls outside of blocks: `pinned` is None then.
    """
    work = Work(slot, items, pinned, question)
    await _finish(work, deadline)
    return work.outcomes


async def run_one(slot: Slot, item: Item, deadline: float | None, question: Question) -> "native.Request":
    """As `run`, for one statement outside of blocks with a question: short where both texts are known.

    Raises:
        Exception: The statement could not be sent.
    """
    work = Work(slot, [item], None, question)
    progress = WAITING
    if work.begin():
        progress = await _async_replies.drain(slot, deadline)
        if progress == DONE and not work.is_to_go_on:
            return work.first_outcome
    await _finish(work, deadline, progress)
    return work.first_outcome


async def _finish(work: Work, deadline: float | None, progress: int = WAITING) -> None:
    """Send what is left, and wait for all replies. `progress`: NEEDS_TYPES where the first waits for types."""
    waiting: list[native.Request] = []
    try:
        if progress == NEEDS_TYPES:
            await _drain(work, waiting, deadline, progress)
        while True:
            if work.unknown():
                work.connection.push()
                await _drain(work, waiting, deadline)
            if not work.feed():
                break
            await _drain(work, waiting, deadline)
        again = work.stale()
        for index in again:
            request = work.submit_again(index)
            await _async_replies.complete(work.slot, request, deadline)
            work.outcomes[index] = request
        if again and (asked := work.ask_again()) is not None:
            await _async_replies.complete(work.slot, asked, deadline)
    except BaseException:
        work.check_begun()
        raise


async def _drain(
    work: Work, waiting: "list[native.Request]", deadline: float | None, progress: int = WAITING
) -> None:
    """Wait until nothing is under way; types that are met are asked for at the end."""
    if progress != NEEDS_TYPES:
        progress = await _async_replies.drain(work.slot, deadline, progress)
    while progress == NEEDS_TYPES:
        _set_aside(work, waiting)
        if not work.connection.busy:
            break
        # What stands behind it may be here already.
        progress = await _async_replies.drain(work.slot, deadline, AGAIN)
    while waiting:
        request = waiting.pop(0)
        work.connection.restore_request(request)
        await _async_replies.complete(work.slot, request, deadline)


def run_blocking(
    slot: Slot,
    items: list[Item],
    deadline: float | None,
    pinned: "Pinned | None",
    question: Question | None = None,
) -> Outcomes:
    """As `run`; `deadline` is by time.monotonic."""
    work = Work(slot, items, pinned, question)
    waiting: list[native.Request] = []
    try:
        while True:
            if work.unknown():
                work.connection.push()
                _drain_blocking(work, waiting, deadline)
            if not work.feed():
                break
            _drain_blocking(work, waiting, deadline)
        again = work.stale()
        for index in again:
            request = work.submit_again(index)
            _sync_replies.complete(work.slot, request, deadline)
            work.outcomes[index] = request
        if again and (asked := work.ask_again()) is not None:
            _sync_replies.complete(work.slot, asked, deadline)
    except BaseException:
        work.check_begun()
        raise
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


def results(outcomes: Outcomes, watch: Watch, *, return_exceptions: bool) -> list[Any]:
    """Return the rows of each statement, as tuples. `watch` is told of all, and of the first error.

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
            watch.heard(outcome)
            made.append(outcome.result())
        except Exception as error:
            if isinstance(error, Error):
                error.add_note(f"in query {index} of the pipeline, counted from 0")
            made.append(without_ours(error))
            failure = failure or error
    watch.error = failure
    if failure is not None and not return_exceptions:
        try:
            raise failure
        finally:
            # Its traceback has this frame from here on.
            made.clear()
            outcomes.clear()
            outcome = failure = None
    return made
