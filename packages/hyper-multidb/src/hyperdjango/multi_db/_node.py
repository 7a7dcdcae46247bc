"""One server of a replica set: its Database, and what is known of it.

What is known belongs to one life of one server: a standby that was restarted may be older than it was. Each
new connection is greeted by the probe, before anybody has it.
"""
# A face of ours is one half of a Database:
# pyright: reportPrivateUsage=false

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from hyperdjango.conf._lock import Lock
from hyperdjango.database import Database
from hyperdjango.database._hooks import Hook, HookPair
from hyperdjango.database._watching import silently
from hyperdjango.database.errors import ConnectionFailed, Error
from hyperdjango.multi_db._probe import PROBE, REPLAYED, Answer
from hyperdjango.multi_db.lsn import Position, parse_lsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar

    from hyperdjango.database._hooks import HookConnection

# Between two looks at how far a replica is, while somebody waits for it: seconds, doubled each time.
PAUSE_SECONDS: Final = 0.001
PAUSE_SECONDS_MAX: Final = 0.02
# A replica that was waited for in vain is not waited for again for so many times the wait.
IMPATIENCE: Final = 10.0


class Node:
    """A server.

    Attributes:
        name: Host and port.
        database: Its pool.
        weight: Of reads, beside the others'.
        is_up: It answered last time.
        in_recovery: It is a standby; None while nobody has asked.
        timeline: The one it is on, the least it can be.
        replayed: The LSN up to which it has all that was committed.
        life: Of the server that was asked last.
        epoch: How many lives and addresses there were: what was known before counts no more.
        is_many: Several servers answer under this address, so nothing of this is known of any of them.
        lag: Seconds, by the primary's log; infinite while it is not known.
        in_flight: Reads under way.
        question: What it is asked: PROBE, or less where it does not know all of that.
        failure: Why it does not answer.
        heard_at: When it last did, by time.monotonic.
        on_news: Called with what it has answered.
        on_change: Called before what was known of it counts no more.
    """

    __slots__ = (
        "__weakref__",
        "_lives",
        "_lock",
        "_patience_at",
        "_polls",
        "database",
        "epoch",
        "failure",
        "heard_at",
        "in_flight",
        "in_recovery",
        "is_many",
        "is_up",
        "lag",
        "life",
        "name",
        "on_change",
        "on_news",
        "options",
        "question",
        "reads",
        "replayed",
        "system",
        "timeline",
        "url",
        "weight",
    )

    def __init__(self, url: str, options: dict[str, Any], *, alias: str, weight: float = 1.0) -> None:
        self.weight = weight
        self.is_up = False
        self.in_recovery: bool | None = None
        self.timeline = 0
        self.replayed = 0
        self.life = ""
        self.system = ""
        self.epoch = 0
        self.is_many = False
        self.lag = float("inf")
        self.in_flight = 0
        self.reads = 0
        self.failure: BaseException | None = None
        self.heard_at = 0.0
        self.on_news: Callable[[Node, Answer], None] = lambda node, answer: None
        self.on_change: Callable[[], None] = lambda: None
        # What monitor and event loops say is of one life. Taken inside of the set's lock, never around it.
        self._lock = Lock()
        self._lives: set[str] = set()
        self._patience_at = 0.0
        self._polls: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Future[None]] = WeakKeyDictionary()
        self.question = PROBE
        self.options = options
        self.url = url
        self.database = Database(url, **options)
        self.database.alias = alias
        self.greet(self.database)
        host = self.database._pool.parameters.hosts[0]
        shown = host.name or host.address or ""
        self.name = f"{f'[{shown}]' if ':' in shown else shown}:{host.port}"

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    def share(self, current: "ContextVar[Any]") -> None:
        """Know the running transaction of the whole set."""
        self.database._current = current

    def after_fork(self) -> None:
        """Another thread may have had the lock, which does not live in the child."""
        self._lock = Lock()

    def greet(self, database: Database) -> None:
        """Have each new connection of a Database to this server asked who it is."""

        async def hello(connection: "HookConnection") -> None:
            row = await connection.query_one(self.question, into=tuple)
            self.learn(Answer.of(row))

        hooks = database._pool.hooks
        ours = Hook("greeting", hello)
        both = ours if hooks.on_connect is None else HookPair(ours, hooks.on_connect)
        database._pool.hooks = replace(hooks, on_connect=both)

    def learn(self, answer: Answer) -> None:
        """Take down what the server, or one of those behind this address, says. From any thread."""
        is_another = False
        with self._lock:
            # Where it is known that there are several, each connection may be to another: that is no news.
            if answer.life != self.life and not self.is_many:
                is_another = bool(self.life)
                if is_another:
                    self.on_change()
                    self.is_many = answer.life in self._lives
                self._lives.add(answer.life)
                # What it has must not be known of it any longer once it counts as another one.
                self.life, self.replayed, self.timeline = answer.life, 0, 0
                if is_another:
                    self.epoch += 1
            self.in_recovery = answer.in_recovery
            self.system = answer.system
            self.timeline = max(self.timeline, answer.timeline)
            self.replayed = answer.lsn if self.is_many else max(self.replayed, answer.lsn)
            self.is_up, self.failure, self.heard_at = True, None, time.monotonic()
        if is_another:
            # They are of the life before, or of another server.
            self.database._pool.renew()
        self.on_news(self, answer)

    def fail(self, error: BaseException) -> None:
        """It does not answer."""
        with self._lock:
            # Its traceback would keep alive whatever the call was about.
            self.is_up, self.failure = False, error.with_traceback(None)
            self.on_change()
            self.epoch += 1

    def _has_replayed(self, lsn: int, epoch: int) -> None:
        with self._lock:
            if epoch == self.epoch:
                self.replayed = max(self.replayed, lsn)

    def has(self, position: Position) -> bool:
        """Whether it is known to have replayed all up to there."""
        timeline, lsn = position
        return self.replayed >= lsn and self.timeline == timeline and not self.is_many

    def may_catch_up(self, position: Position, seconds: float) -> bool:
        """Whether it is worth waiting this long for it."""
        return (
            self.timeline == position.timeline
            and not self.is_many
            and (self.lag <= seconds or self.lag == float("inf"))
            and time.monotonic() >= self._patience_at
        )

    async def wait_for(self, position: Position, seconds: float) -> bool:
        """Wait until it has replayed all up to there; False where that takes longer. One poll serves all."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self.has(position):
            left = until - loop.time()
            if left <= 0 or not self.is_up or self.timeline != position.timeline:
                self._patience_at = time.monotonic() + seconds * IMPATIENCE
                return False
            poll = self._polls.get(loop)
            if poll is None or poll.done():
                poll = self._polls[loop] = asyncio.ensure_future(self._poll(left))
            await asyncio.wait([poll], timeout=left)
        return True

    async def _poll(self, seconds: float) -> None:
        """Look how far it is until it has moved."""
        pause = PAUSE_SECONDS
        before = self.replayed
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.replayed == before and loop.time() < until:
            epoch = self.epoch
            try:
                with silently():  # it is nobody's call
                    lsn = await self.database.query_val(REPLAYED, timeout=max(0.001, until - loop.time()))
            except (Error, OSError) as error:
                if isinstance(error, ConnectionFailed):
                    self.fail(error)
                return
            if lsn is not None:
                self._has_replayed(parse_lsn(lsn), epoch)
            if self.replayed == before:
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def wait_for_blocking(self, position: Position, seconds: float) -> bool:
        """As `wait_for`, for a thread without an event loop; each looks for itself."""
        until = time.monotonic() + seconds
        pause = PAUSE_SECONDS
        while not self.has(position):
            left = until - time.monotonic()
            if left <= 0 or not self.is_up or self.timeline != position.timeline:
                self._patience_at = time.monotonic() + seconds * IMPATIENCE
                return False
            epoch = self.epoch
            try:
                with silently():
                    lsn = self.database.sync.query_val(REPLAYED, timeout=left)
            except (Error, OSError) as error:
                if isinstance(error, ConnectionFailed):
                    self.fail(error)
                lsn = None
            if lsn is not None:
                self._has_replayed(parse_lsn(lsn), epoch)
            if not self.has(position):
                time.sleep(min(pause, max(0.0, until - time.monotonic())))
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
        return True


__all__ = ["Node"]
