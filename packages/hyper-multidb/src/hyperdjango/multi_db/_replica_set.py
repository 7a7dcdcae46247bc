"""A primary and its replicas: which of them serves a read, and which one is the primary.

Never does I/O itself. The two faces (`_primary`, `_reader`) ask it for every call, monitors and new connections
tell it what they have heard, from any thread.
"""
# A face of ours is one half of a Database:
# pyright: reportPrivateUsage=false

import asyncio
import atexit
import logging
import os
import time
import weakref
from collections import defaultdict, deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.conf._lock import Lock
from hyperdjango.database.errors import Error
from hyperdjango.multi_db import scope as scopes
from hyperdjango.multi_db._monitor import Monitor
from hyperdjango.multi_db._route import Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyperdjango.database import Database
    from hyperdjango.multi_db._node import Node
    from hyperdjango.multi_db._policy import Policy
    from hyperdjango.multi_db._primary import PrimaryFace
    from hyperdjango.multi_db._probe import Answer
    from hyperdjango.multi_db._set_options import SetOptions
    from hyperdjango.multi_db.lsn import Position
    from hyperdjango.multi_db.scope import Scope

_logger: Final = logging.getLogger("hyperdjango.multi_db")

# Why a read went where it went.
REPLICA: Final = "a read"
WAITED: Final = "a read, once the replica had replayed the own write"
IN_BLOCK: Final = "in a transaction"
WRITE: Final = "a write"
PINNED: Final = "pinned"
RECENT: Final = "an own write is recent"
BEHIND: Final = "the replicas are behind an own write"
LAGGING: Final = "the replicas lag"
DOWN: Final = "no replica answers"
NO_REPLICA: Final = "there is no replica"
# Of reads, all but the usual one.
UNUSUAL: Final = (WAITED, PINNED, RECENT, BEHIND, LAGGING, DOWN, NO_REPLICA)

# Between two questions to all servers, while somebody waits for a primary.
SEARCH_SECONDS: Final = 0.2
# Between two looks at what they have answered.
SEARCH_PAUSE: Final = 0.05
# How many of the primary's LSNs are kept to tell the age of what a replica has.
SAMPLES: Final = 600


class ReplicaSet:
    """The servers of one alias.

    Attributes:
        nodes: All of them.
        primary: The one that takes writes, as far as is known.
        ready: The replicas that may serve reads; replaced as a whole.
        known: Another object after each change of a server, and before a server counts as another one.
        routes: How many calls went where, by reason; of those for the usual one only their servers know.
    """

    def __init__(self, alias: str, nodes: "Sequence[Node]", policy: "Policy", options: "SetOptions") -> None:
        self.alias = alias
        self.nodes = tuple(nodes)
        self.options = options
        self.primary = self.nodes[0]
        self.ready: tuple[Node, ...] = ()
        self.known = object()
        self.routes: defaultdict[str, int] = defaultdict(int)
        self.lsn_waits = self.lsn_timeouts = self.failovers = self.lag_rejections = self.repeated_reads = 0
        self.face: PrimaryFace | None = None
        self.current: ContextVar[Any] = ContextVar("hyperdjango_transaction", default=None)
        self.by_lsn = options.read_your_writes == "lsn"
        self.by_seconds = (
            float(options.read_your_writes) if isinstance(options.read_your_writes, (int, float)) else None
        )
        self._policy = policy
        self._without = NO_REPLICA
        self._situation: object = None
        self._searched_at = 0.0
        # Of the primary, as far as it was ever known.
        self._system: str = ""
        self._timeline: int = 0
        self._lock = Lock()
        # Of the primary, by time.monotonic.
        self._samples: deque[tuple[float, Position]] = deque(maxlen=SAMPLES)
        self._monitors: list[Monitor] = []
        for node in self.nodes:
            node.share(self.current)
            node.database.reason = REPLICA
            node.on_news = _teller(weakref.ref(self))
            node.on_change = _forgetter(weakref.ref(self))
        _sets.add(self)

    # The choice.

    def route(self, scope: "Scope") -> Route | None:
        """Return what may serve the reads of a scope; None where there is something to wait for first."""
        route = scope.routes.get(self.alias)
        if route is not None and route.known is self.known:
            return route
        # Before anything is looked at: what changes meanwhile makes the decision one for this once.
        state, known = scope.state, self.known
        nodes, reason = self._decide(scope)
        if not nodes:
            return None
        route = self._route(nodes, reason, known)
        if reason is not RECENT:
            scope.keep(self.alias, route, state)
        return route

    def _route(self, nodes: "tuple[Node, ...]", reason: str, known: object) -> Route:
        primary = self.primary
        return Route(
            nodes,
            reason,
            known,
            self.database_of(nodes[0]) if len(nodes) == 1 else None,
            is_usual=reason is REPLICA and primary not in nodes,
        )

    def _decide(self, scope: "Scope") -> "tuple[tuple[Node, ...], str]":
        """Return the servers that may serve a read, none where one may be waited for, and why."""
        alias = self.alias
        if alias in scope.pins:
            return (self.primary,), PINNED
        ready = self.ready
        if not ready:
            return (self.primary,), self._without
        if self.by_lsn:
            if alias in scope.in_doubt:
                return (), BEHIND
            position = scope.positions.get(alias)
            if position is not None:
                ready = tuple([node for node in ready if node.has(position)])
                if not ready:
                    return (), BEHIND
        elif self.by_seconds is not None:
            wrote_at = scope.wrote_at.get(alias)
            if wrote_at is not None and time.monotonic() - wrote_at < self.by_seconds:
                return (self.primary,), RECENT
        return ready, REPLICA

    def pick(self, route: Route) -> "Node":
        """Return the one of the servers of a route whose turn it is."""
        return route.node or self._policy.pick(route.nodes)

    def take(self, route: Route) -> "tuple[Node, int] | None":
        """Take a server of a route for one read, which is counted; None where the route counts no more.

        Returns:
            The server, and the epoch in which it may serve.
        """
        node = self.pick(route)
        epoch = node.epoch
        # In this order: what counts as another server has had `known` replaced before.
        if route.known is not self.known:
            return None
        node.reads += 1
        if route.reason is not REPLICA:
            self.routes[route.reason] += 1
        return node, epoch

    def next_of(self, scope: "Scope") -> "tuple[Node | None, str]":
        """Return which server the next read goes to and why; None for one where there is something to wait for."""
        route = self.route(scope)
        return (None, BEHIND) if route is None else (self.pick(route), route.reason)

    def database_of(self, node: "Node") -> "Database":
        """Return the Database for reads of a server."""
        if node is not self.primary:
            return node.database
        assert self.face is not None
        return self.face.plain

    async def settle(self, scope: "Scope", deadline: float | None = None) -> Route:
        """As `route`, where no replica is known to have the own write: wait for one, within the bound.

        Args:
            scope: Of the read.
            deadline: Of the read, by the loop's clock; None is no limit.
        """
        route = self.route(scope)
        if route is not None:
            return route
        mark = scope.in_doubt.get(self.alias)
        if mark is not None or self.is_of_before(scope):
            assert self.face is not None
            try:
                asked = await self.face.position(_left(deadline))
            except (Error, OSError):
                # It stays in doubt. The read is the primary's, and waits for a new one like any other.
                return self.behind()
            # Not before: others who read meanwhile must not go by what was known earlier.
            scope.settle(self.alias, mark, asked)
            route = self.route(scope)
            if route is not None:
                return route
        hope = self.hope(scope, None if deadline is None else deadline - asyncio.get_running_loop().time())
        if hope is None:
            return self.behind()
        node, position, seconds = hope
        return self.waited(node, position) if await node.wait_for(position, seconds) else self.gave_up()

    # The steps of `settle`, for those who wait otherwise, too.

    def is_of_before(self, scope: "Scope") -> bool:
        """Whether the scope has written before a promotion. Then the new primary is asked how far it is now.

        Whether its timeline has the write nobody here can tell. But a replica that has replayed what it has now shows
        no less than it does, and it is the primary that would serve the read else.
        """
        position = scope.positions.get(self.alias)
        return position is not None and 0 < position.timeline < self._timeline

    def hope(self, scope: "Scope", left: float | None) -> "tuple[Node, Position, float] | None":
        """Return a replica that may soon have what the scope has written, that, and how long to wait for it."""
        position = scope.positions.get(self.alias)
        seconds = self.options.lsn_wait if left is None else min(self.options.lsn_wait, left)
        if position is None or seconds <= 0:
            return None
        hopeful = [node for node in self.ready if node.may_catch_up(position, seconds)]
        if not hopeful:
            return None
        self.lsn_waits += 1
        return self._policy.pick(hopeful), position, seconds

    def waited(self, node: "Node", position: "Position") -> Route:
        """Return the route to a replica that was waited for."""
        # As it is known now; in between nothing is waited for.
        known = self.known
        return self._route((node,), WAITED, known) if node.has(position) else self.gave_up()

    def gave_up(self) -> Route:
        """Return the route of a read that has waited in vain."""
        self.lsn_timeouts += 1
        return self.behind()

    def behind(self) -> Route:
        """Return the route to the primary, as the replicas are behind."""
        return self._route((self.primary,), BEHIND, self.known)

    # What is heard of the servers.

    def note(self, node: "Node", answer: "Answer") -> None:
        """A server has answered."""
        with self._lock:
            if node is self.primary and not answer.in_recovery:
                self._samples.append((time.monotonic(), answer.position))
            self._look_for_primary()
            self._measure(node)
            self._sort_out()

    def note_failure(self, node: "Node", error: BaseException) -> None:
        """A server does not answer, or takes no more."""
        with self._lock:
            was_up = node.is_up
            if was_up:
                _logger.warning("alias %r: %s does not answer: %s", self.alias, node.name, error)
            node.fail(error)
            self._look_for_primary()
            self._sort_out()
        if was_up:  # else its own monitor would wake itself, and never pause
            self.wake()

    def _look_for_primary(self) -> None:
        """The primary is whoever takes writes, on the latest timeline."""
        primary = self.primary
        if primary.is_up and primary.in_recovery is False:
            if primary.system != self._system:
                self._system, self._timeline = primary.system, 0
            self._timeline = max(self._timeline, primary.timeline)
        takes = [node for node in self.nodes if node.is_up and node.in_recovery is False]
        # One that was promoted away from, and came back as what it was, takes writes as well; so does a new and
        # empty server at a known address. Neither has what was written since: better no primary than these.
        takes = [
            node
            for node in takes
            if node is primary
            or not self._system
            or (node.system == self._system and node.timeline >= self._timeline)
        ]
        if not takes:
            return
        newest = max(takes, key=lambda node: node.timeline)
        if newest is primary or (primary in takes and primary.timeline >= newest.timeline):
            return
        _logger.warning(
            "alias %r: %s is the primary now, on timeline %d; it was %s",
            self.alias,
            newest.name,
            newest.timeline,
            primary.name,
        )
        self.failovers += 1
        self.primary = newest
        self._system, self._timeline = newest.system, newest.timeline
        self._samples.clear()
        for node in self.nodes:
            node.lag = 0.0 if node is newest else float("inf")
        if self.face is not None:
            self.face.move_to(newest)

    def _measure(self, node: "Node") -> None:
        """The lag of a replica is the age of the newest LSN of the primary that it has."""
        if node is self.primary:
            node.lag = 0.0
            return
        samples = self._samples
        if not samples:
            return
        newest_at, newest = samples[-1]
        if node.replayed >= newest.lsn:
            node.lag = 0.0
            return
        for at, position in reversed(samples):
            if node.replayed >= position.lsn:
                # What came after it was there at the next look at the latest.
                node.lag = time.monotonic() - at
                return
        node.lag = max(time.monotonic() - samples[0][0], time.monotonic() - newest_at)

    def _sort_out(self) -> None:
        replicas = [node for node in self.nodes if node is not self.primary]
        answering = [
            node
            for node in replicas
            # One of another cluster may have come to the address.
            if node.is_up and node.in_recovery and node.system == (self._system or node.system)
        ]
        limit = self.options.max_lag
        ready = tuple(node for node in answering if limit is None or node.lag <= limit)
        self.lag_rejections += sum(node in self.ready and node not in ready for node in answering)
        self.ready = ready
        self._without = LAGGING if answering else DOWN if replicas else NO_REPLICA
        for node in self.nodes:
            node.database.role = "primary" if node is self.primary else "replica"
        lives = [(node.epoch, node.timeline, node.is_many) for node in self.nodes]
        situation = (self.primary, ready, self._without, lives)
        if situation != self._situation:
            self._situation = situation
            self.known = object()

    # The monitors.

    def start(self) -> None:
        """Have a monitor ask each server from now on."""
        options = self.options
        self._monitors = [
            Monitor(node, self, options.probe_interval, options.probe_timeout) for node in self.nodes
        ]
        for monitor in self._monitors:
            monitor.start()

    def wake(self) -> None:
        """Have all servers asked now."""
        for monitor in self._monitors:
            monitor.wake()

    def stop(self) -> None:
        """End the monitors, and wait for them."""
        monitors, self._monitors = self._monitors, []
        for monitor in monitors:
            monitor.end()
        for monitor in monitors:
            monitor.join()

    def after_fork(self) -> None:
        """Threads do not survive a fork: start them anew in the child."""
        self._lock = Lock()
        for node in self.nodes:
            node.after_fork()
        if self._monitors:
            self.start()

    async def find_primary(self, seconds: float) -> bool:
        """Wait until a server is known to take writes; False where that takes longer."""
        began = time.monotonic()
        while not self._has_found(began):
            left = began + seconds - time.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(SEARCH_PAUSE, left))
        return True

    def find_primary_blocking(self, seconds: float) -> bool:
        """As `find_primary`, for a thread without an event loop."""
        began = time.monotonic()
        while not self._has_found(began):
            left = began + seconds - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(SEARCH_PAUSE, left))
        return True

    def _has_found(self, began: float) -> bool:
        """Whether a server has said since `began` that it takes writes."""
        # Who is down is asked less and less often, but now somebody waits for it.
        if time.monotonic() - self._searched_at >= SEARCH_SECONDS:
            self._searched_at = time.monotonic()
            self.wake()
        primary = self.primary
        return primary.is_up and primary.in_recovery is False and primary.heard_at > began

    def figures(self) -> dict[str, Any]:
        """Return what `ConnectionManager.stats` says of the alias."""
        hosts: dict[str, Any] = {}
        for node in self.nodes:
            database: Any = self.face if node is self.primary and self.face is not None else node.database
            pool = database.pool_stats()
            hosts[node.name] = {
                "role": "primary" if node is self.primary else "replica",
                "is_up": node.is_up,
                "lag": node.lag,
                "in_use": pool["busy"],
                "waiting": pool["waiting"],
                "in_flight": node.in_flight,
                "reads": node.reads,
            }
        return {
            "hosts": hosts,
            "routes": self._by_reason(),
            "lag_rejections": self.lag_rejections,
            "lsn_waits": self.lsn_waits,
            "lsn_timeouts": self.lsn_timeouts,
            "repeated_reads": self.repeated_reads,
            "failovers": self.failovers,
        }

    def _by_reason(self) -> dict[str, int]:
        routes = dict(self.routes)
        usual = sum(node.reads for node in self.nodes) - sum(routes.get(reason, 0) for reason in UNUSUAL)
        return {REPLICA: usual, **routes} if usual else routes


def _left(deadline: float | None) -> float | None:
    """Return the seconds until a deadline by the loop's clock."""
    return None if deadline is None else max(0.001, deadline - asyncio.get_running_loop().time())


def _teller(reference: "weakref.ref[ReplicaSet]") -> Any:
    def tell(node: "Node", answer: "Answer") -> None:
        replica_set = reference()
        if replica_set is not None:
            replica_set.note(node, answer)

    return tell


def _forgetter(reference: "weakref.ref[ReplicaSet]") -> Any:
    def forget() -> None:
        replica_set = reference()
        if replica_set is not None:
            replica_set.known = object()

    return forget


_sets: "weakref.WeakSet[ReplicaSet]" = weakref.WeakSet()


def _after_fork() -> None:
    scopes.after_fork()
    for each in list(_sets):
        each.after_fork()


def _at_exit() -> None:
    """The monitors of a program that closes nothing close their connections."""
    for each in list(_sets):
        each.stop()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

__all__ = ["ReplicaSet"]
