"""What one request, or one process, has written and where it is pinned to.

A Scope is one mutable object in a ContextVar: tasks that are started inside of it share it with their parent,
whoever writes. Without any there is one for the whole process.
"""
# The functions below are one half of Scope:
# pyright: reportPrivateUsage=false

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from hyperdjango.conf._lock import Lock
from hyperdjango.multi_db.lsn import Position, Written, format_token, parse_token

if TYPE_CHECKING:
    from hyperdjango.multi_db._route import Route


class Scope:
    """What was written in here, by alias.

    Attributes:
        positions: Where the write-ahead log was after the last commit.
        wrote_at: When that was, by time.monotonic.
        in_doubt: Aliases where something may have been written since, and nobody knows how far the log is; and
            what tells each such write from those after it.
        pins: Aliases whose reads go to the primary, and how many blocks want that.
        routes: What was last decided of reads, by alias: it holds until something of the above changes.
    """

    __slots__ = (
        "_is_over",
        "_lock",
        "_parent",
        "in_doubt",
        "pins",
        "positions",
        "routes",
        "state",
        "wrote_at",
    )

    def __init__(self, parent: "Scope | None" = None) -> None:
        self.positions: dict[str, Position] = {}
        self.wrote_at: dict[str, float] = {}
        self.in_doubt: dict[str, object] = {}
        self.pins: dict[str, int] = {}
        self.routes: dict[str, Route] = {}
        # Another object after each change of the above.
        self.state = object()
        self._parent = parent
        self._is_over = False
        # Threads of one scope may write at once; readers need no lock.
        self._lock = Lock()

    def _has_changed(self) -> None:
        """What was decided counts no more. The lock is held, and what has changed is changed already."""
        self.state = object()
        self.routes.clear()

    def keep(self, alias: str, route: "Route", state: object) -> None:
        """Remember what was decided, unless something has changed since it was begun.

        Args:
            alias: Whose reads it is about.
            route: What was decided.
            state: `state` as it was before anything of the scope was looked at.
        """
        with self._lock:
            if self.state is state:
                self.routes[alias] = route

    def note(self, alias: str, position: Position) -> None:
        """Something was committed, and the log is here now."""
        scope: Scope | None = self
        while scope is not None:
            with scope._lock:
                if position > scope.positions.get(alias, _NOWHERE):
                    scope.positions[alias] = position
                    scope._has_changed()
            scope = scope._parent

    def note_time(self, alias: str) -> None:
        """Something was committed just now."""
        now = time.monotonic()
        scope: Scope | None = self
        while scope is not None:
            with scope._lock:
                scope.wrote_at[alias] = now
                scope._has_changed()
            scope = scope._parent

    def doubt(self, alias: str) -> None:
        """Something may be written from now on, and nobody will say how far the log is."""
        scope: Scope | None = self
        mark = object()
        while scope is not None:
            with scope._lock:
                scope.in_doubt[alias] = mark
                scope._has_changed()
            scope = scope._parent

    def settle(self, alias: str, mark: object | None, position: Position) -> None:
        """The log was here when it was asked for, behind the doubt of this mark, if any: later ones stay."""
        self.note(alias, position)
        with self._lock:
            if mark is not None and self.in_doubt.get(alias) is mark:
                del self.in_doubt[alias]
                self._has_changed()

    @property
    def token(self) -> str:
        """What was written in here as text, to be taken up elsewhere by `scope(token)`; may be empty."""
        now, wall = time.monotonic(), time.time()
        # A moment that came from outside may be the first of all, and the two clocks are not read at once.
        moments = {alias: max(0.0, wall - (now - at)) for alias, at in list(self.wrote_at.items())}
        return format_token(Written(dict(self.positions), moments, set(self.in_doubt)))

    def take_up(self, token: str) -> None:
        """Go on from what another scope has written.

        Raises:
            ValueError: It is no token. Nothing is changed.
        """
        positions, moments, doubts = parse_token(token)
        now, wall = time.monotonic(), time.time()
        with self._lock:
            self.in_doubt |= {alias: object() for alias in doubts}
            for alias, position in positions.items():
                # Not for the process: a cookie may say anything.
                self.positions[alias] = max(position, self.positions.get(alias, _NOWHERE))
            for alias, moment in moments.items():
                # A moment of the future is of a clock that goes wrong, or of somebody who plays with cookies.
                at = now - max(0.0, wall - moment)
                self.wrote_at[alias] = max(at, self.wrote_at.get(alias, at))
            self._has_changed()

    def pin(self, alias: str) -> None:
        """Have reads of an alias go to its primary, until `unpin` was called as often."""
        with self._lock:
            self.pins[alias] = self.pins.get(alias, 0) + 1
            self._has_changed()

    def unpin(self, alias: str) -> None:
        """End one `pin`."""
        with self._lock:
            left = self.pins.pop(alias) - 1
            if left:
                self.pins[alias] = left
            self._has_changed()

    def begin_with(self, other: "Scope") -> None:
        """What another scope has written counts in here, too."""
        with self._lock:
            self.positions |= other.positions
            self.wrote_at |= other.wrote_at
            self.in_doubt |= other.in_doubt
            self._has_changed()

    def forget(self, aliases: "set[str]") -> None:
        """What is known of aliases was about other servers."""
        with self._lock:
            for alias in aliases:
                self.positions.pop(alias, None)
                self.wrote_at.pop(alias, None)
                self.in_doubt.pop(alias, None)
            self._has_changed()


_NOWHERE: Final = Position(0, 0)

# Of whatever runs outside of any other.
PROCESS: Final = Scope()

current: Final[ContextVar[Scope]] = ContextVar("hyperdjango_routing_scope", default=PROCESS)


def _living(scope: Scope) -> Scope:
    """Return a scope or the first around it that has not ended.

    Tasks that outlive their scopes and begin others would make a chain without an end.
    """
    while scope._is_over:
        assert scope._parent is not None  # the process's never ends
        scope = scope._parent
    if scope._parent is not None:
        scope._parent = _living(scope._parent)
    return scope


@contextmanager
def scope(token: str | None = None) -> Generator[Scope, None, None]:
    """Begin a scope of its own, for one request: its reads see its own writes, and need not wait for others'.

    Args:
        token: What an earlier scope had written, as its `token` said.
    Raises:
        ValueError: It is no token.
    """
    # What is written in here the process has written too, and so have the scopes around.
    made = Scope(_living(current.get()))
    if token:
        made.take_up(token)
    before = current.get()
    current.set(made)
    try:
        yield made
    finally:
        made._is_over = True
        # Not by a token, which belongs to one context: generators may end in another.
        current.set(before)


@contextmanager
def pinned(alias: str) -> Generator[Scope, None, None]:
    """Have reads of an alias go to its primary, in the running scope, for as long as this lasts."""
    running = current.get()
    if running is PROCESS:
        # Pinning everybody is not meant; but what the process has written counts in here, too.
        with scope() as made:
            made.begin_with(PROCESS)
            with pinned(alias):
                yield made
        return
    running.pin(alias)
    try:
        yield running
    finally:
        running.unpin(alias)


def after_fork() -> None:
    """Give the scopes of a forked child locks that no thread has which does not live in it."""
    running: Scope | None = current.get()
    while running is not None:
        running._lock = Lock()
        running = running._parent
    PROCESS._lock = Lock()


def is_pinned(alias: str) -> bool:
    """Whether reads of an alias are to go to its primary here."""
    return alias in current.get().pins


__all__ = ["PROCESS", "Scope", "after_fork", "current", "is_pinned", "pinned", "scope"]
