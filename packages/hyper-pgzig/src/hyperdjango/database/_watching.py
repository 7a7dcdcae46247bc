"""Watching calls: what `on_query` hooks are told, and how a call is watched while it runs.

Used by both faces. A call that nobody watches pays for one look at `Pool.watchers`. Where there are watchers
it makes a Watch, which takes the time and hands one QueryEvent to each of them when the call ends, however it
ends.
"""

# A watch is a part of the face whose call it watches:
# pyright: reportPrivateUsage=false

import inspect
import logging
import time
from collections.abc import Callable, Generator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from hyperdjango.database import _shape
from hyperdjango.database._summary import operation_of
from hyperdjango.database.errors import AcquireTimeout

if TYPE_CHECKING:
    from hyperdjango.database._dispatch import Call
    from hyperdjango.database._face import Face
    from hyperdjango.database._native import native
    from hyperdjango.database._slot import Slot
    from hyperdjango.database.pool import Pool

_logger: Final = logging.getLogger("hyperdjango.database")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call went.

    Attributes:
        host: A name, an address, or a Unix socket's directory.
        port: Of the server.
        dbname: The database.
        alias: What the application calls it, where it has several.
        role: `"primary"` or `"replica"`, where the alias stands for several servers.
        reason: Why it went there, where there was a choice: `"in a transaction"`, `"replica is behind"` …
    """

    host: str
    port: int
    dbname: str
    alias: str | None = None
    role: str | None = None
    reason: str | None = None

    @property
    def is_unix(self) -> bool:
        """Whether `host` is a Unix socket's directory."""
        return self.host.startswith(("/", "@"))

    def __str__(self) -> str:
        """`host:port/dbname`, with alias and role in front where there are any."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = f"{host}:{self.port}/{self.dbname}"
        called = " ".join(word for word in (self.alias, self.role) if word is not None)
        return f"{called} ({place})" if called else place


@dataclass(frozen=True, slots=True)
class QueryEvent:
    """One finished call. Values of parameters are not in it.

    Attributes:
        call: The method: `"query"`, `"execute_many"`; `"transaction"` for what begins and ends a block.
        sql: The text, as it was given; of a pipeline all of them, with `;` between.
        started: When the call began, in seconds since the epoch.
        duration: Seconds for the whole call.
        wait: Seconds of these until it had a connection; 0.0 where one was idle.
        rows: Returned or affected, as the command tag has it.
        tag: The server's command tag; empty where none came.
        error: What the call raises, asyncio.CancelledError too; of a pipeline the first error.
        route: The server; where the call got none, the first that the URL names.
        in_transaction: Whether it was part of a transaction block.
        parameters_count: How many values came with it; of `execute_many` with each set.
        batch_size: Of `execute_many` the sets that have run, of `pipeline` the statements; else None.
    """

    call: str
    sql: str
    started: float
    duration: float
    wait: float
    rows: int
    tag: str
    error: BaseException | None
    route: Route
    in_transaction: bool
    parameters_count: int
    batch_size: int | None = None

    @property
    def operation(self) -> str:
        """The command: `"SELECT"`, as the server's tag has it; where none came, the text's first word."""
        return operation_of(self.sql, self.tag)


QueryHook = Callable[[QueryEvent], object]
H = TypeVar("H", bound=QueryHook)

# What runs inside of a hook, or for a call that reports the whole by itself, is not reported. Tasks that
# a hook starts inherit this: what they write into a log of queries is not in that log.
_is_silent: Final = ContextVar("hyperdjango_is_silent", default=False)

# Role and reason, for the call that is made in here.
routed: Final[ContextVar[tuple[str, str] | None]] = ContextVar("hyperdjango_routed", default=None)


@contextmanager
def silently() -> Generator[None, None, None]:
    """Report no call of the running task, nor of the tasks it starts in here."""
    before = _is_silent.get()
    _is_silent.set(True)
    try:
        yield
    finally:
        # Not by a token, which belongs to one context: generators may end in another.
        _is_silent.set(before)


def check_hook(hook: object) -> None:
    """Refuse what cannot be a hook.

    Raises:
        TypeError: It is no function, or a coroutine function.
    """
    if not callable(hook):
        raise TypeError(f"on_query takes a function, not {type(hook).__name__}")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004 - an object whose call is a coroutine function
        raise TypeError(
            "on_query takes a plain function, which is called as each call ends, not a coroutine function"
        )


class Watch:
    """One call that is watched, from when this is made until `end`; a context manager around the call.

    Attributes:
        rows: See QueryEvent, as of all but the last two.
        tag: As above.
        error: One that is not raised through the `with` block.
        parameters_count: As above.
        batch_size: As above.
        slot: The connection that the call has.
        ticket: The dispatcher's, which knows when it had one, and which.
    """

    __slots__ = (
        "_began",
        "_call",
        "_face",
        "_in_transaction",
        "_sql",
        "_started",
        "_wait",
        "batch_size",
        "error",
        "parameters_count",
        "rows",
        "slot",
        "tag",
        "ticket",
    )

    def __init__(self, face: "Face", call: str, sql: str, *, parameters_count: int = 0) -> None:
        self._face = face
        self._call = call
        self._sql = sql
        self._in_transaction = face.in_transaction()
        self._wait = 0.0
        self.rows = 0
        self.tag = ""
        self.error: BaseException | None = None
        self.parameters_count = parameters_count
        self.batch_size: int | None = None
        self.slot: Slot | None = None
        self.ticket: Call | None = None
        self._started = time.time()
        self._began = time.monotonic()

    def has(self, slot: "Slot") -> None:
        """The call has its connection now, and has waited for it until now."""
        self.slot = slot
        self._wait = time.monotonic() - self._began

    def heard(self, request: "native.Request") -> None:
        """Take down what a finished request, one of several maybe, did."""
        self.rows += request.affected
        self.tag = request.tag

    def came(self, rows: Sized) -> None:
        """Take down some of the rows, of a call that yields them."""
        self.rows += len(rows)

    def __enter__(self) -> Self:
        """The call begins."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The call has ended."""
        # A generator that is closed early has not failed.
        self.end(None if isinstance(error, GeneratorExit) else error)

    def end(self, error: BaseException | None = None) -> None:
        """Report the call. `error`: what it raises."""
        duration = time.monotonic() - self._began
        face = self._face
        if error is not None:
            self.error = error
        wait = duration if isinstance(error, AcquireTimeout) else self._waited()
        event = QueryEvent(
            self._call,
            self._sql,
            self._started,
            duration,
            wait,
            self.rows,
            self.tag,
            self.error,
            self._route(),
            self._in_transaction,
            self.parameters_count,
            self.batch_size,
        )
        # Neither is of use any more, and an error's traceback keeps this.
        self.slot = self.ticket = self.error = None
        _report(face._pool.watchers, event)

    def _waited(self) -> float:
        ticket = self.ticket
        if ticket is not None and ticket.sent_at:
            return max(0.0, ticket.sent_at - self._began)
        return self._wait

    def _route(self) -> Route:
        slot = self.slot
        ticket = self.ticket
        if ticket is not None and ticket.channel is not None:
            slot = ticket.channel.slot
        face = self._face
        role, reason = routed.get() or (face.role, face.reason)
        return route_of(face._pool, slot, face.alias, role, reason)


def route_of(
    pool: "Pool", slot: "Slot | None", alias: str | None, role: str | None = None, reason: str | None = None
) -> Route:
    """Return where a connection goes; without one, the first place that there is."""
    host = pool.parameters.hosts[0] if slot is None else slot.established.host
    return Route(host.name or host.address or "", host.port, pool.parameters.dbname, alias, role, reason)


def _report(watchers: tuple[QueryHook, ...], event: QueryEvent) -> None:
    """Tell every watcher; what goes wrong in one is nobody else's business."""
    with silently():
        for hook in watchers:
            try:
                hook(event)
            except Exception:
                _logger.exception("a hook of on_query failed; the call is not affected")


class _Nobody(Watch):
    """Stands for the watch of a call that nobody watches: forgets what it is told."""

    __slots__ = ()

    def __init__(self) -> None:
        """There is no call."""

    def __setattr__(self, name: str, value: object) -> None:
        """Forget it."""

    def has(self, slot: "Slot") -> None:
        """Forget it."""

    def heard(self, request: "native.Request") -> None:
        """Forget it."""

    def came(self, rows: Sized) -> None:
        """Forget it."""

    def __enter__(self) -> Self:
        """Nothing begins."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing ends."""

    def end(self, error: BaseException | None = None) -> None:
        """Nothing ends."""


NOBODY: Final[Watch] = _Nobody()


def is_watched(face: "Face") -> bool:
    """Whether a call that begins here and now is to be reported to anybody."""
    return bool(face._pool.watchers) and not _is_silent.get()


def watched(face: "Face", call: str, sql: str, *, parameters_count: int = 0) -> Watch:
    """Return what watches one call of a face: to be put around it by `with`. NOBODY where nobody watches.

    Args:
        face: Whose call it is.
        call: The name of the method.
        sql: The text.
        parameters_count: How many values came with it.
    """
    if not is_watched(face):
        return NOBODY
    return Watch(face, call, sql, parameters_count=parameters_count)


_CALLS: Final = {
    _shape.VALUE: "query_val",
    _shape.DISCARD: "execute",
    _shape.JSON: "query_json",
    _shape.ARROW: "query_arrow",
}


def call_of(shape: int, *, first: bool) -> str:
    """Return the name of the call that asks for rows of this shape."""
    return _CALLS.get(shape) or ("query_one" if first else "query")


class Finished:
    """What a watched call hands on in place of its finished request, whose result can be asked for once."""

    __slots__ = ("_error", "_request", "_result")

    def __init__(self, request: "native.Request", watch: Watch) -> None:
        watch.heard(request)
        self._request = request
        self._result: Any = None
        self._error: BaseException | None = None
        try:
            self._result = request.result()
        except BaseException as error:
            watch.error = self._error = error

    def result(self) -> Any:
        """Return the rows, or raise what went wrong; once."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback would keep itself, by way of this frame
        return self._result

    def __getattr__(self, name: str) -> Any:
        """What else a request knows."""
        return getattr(self._request, name)
