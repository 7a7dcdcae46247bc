"""ConnectionManager: the databases of an application by name, and the resolver that models ask."""
# It is made of faces, which are one half of a Database:
# pyright: reportPrivateUsage=false

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hyperdjango.database import Database, set_db
from hyperdjango.database._global import peek_db
from hyperdjango.database._running import innermost
from hyperdjango.database.resolver import (
    DEFAULT_ALIAS,
    Bound,
    database_for,
    get_resolver,
    nothing_bound,
    set_resolver,
)
from hyperdjango.multi_db import _config
from hyperdjango.multi_db import scope as scopes
from hyperdjango.multi_db._atomic import AtomicBlock
from hyperdjango.multi_db._opened import Opened, open_alias
from hyperdjango.multi_db._primary import PrimaryFace
from hyperdjango.multi_db._recovery import OLDER_THAN, Recovered, recover
from hyperdjango.multi_db._replica_set import IN_BLOCK, WRITE
from hyperdjango.multi_db._routing import USING, Routing, unknown
from hyperdjango.multi_db.engines import Capabilities, probe
from hyperdjango.multi_db.scope import Scope


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Where a statement would go.

    Attributes:
        alias: The database; None for one that was given as an object without a name.
        role: `"primary"` or `"replica"`; None where the alias is one server.
        reason: Why that alias, and why that server.
        host: The server, as host and port; None where the one that serves has to be waited for.
    """

    alias: str | None
    role: str | None
    reason: str
    host: str | None = None

    def __str__(self) -> str:
        where = " ".join(word for word in (self.alias, self.role, self.host) if word)
        return f"{where}: {self.reason}"


class ConnectionManager(Mapping[str, Database]):
    """Databases by alias: `connections["reports"]`.

    Nothing is opened before `configure`. From then on models ask this one where they are, and `get_db()` is
    the alias `default`, until `close`. Safe from any thread and event loop.
    """

    def __init__(self) -> None:
        self._aliases: dict[str, Opened] = {}
        self._routing = Routing()
        self._hooks: list[Any] = []

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<ConnectionManager {', '.join(self._aliases) or 'not configured'}>"

    async def configure(self, databases: Mapping[str, Any] | None = None) -> Self:
        """Open databases under their aliases: all of them, or none.

        Called again, it opens the new ones first; then they take the old ones' place at once, and those are
        drained.

        Args:
            databases: Alias to a URL; to a mapping with `url` and any keyword of Database; or to a replica set,
                `{"primary": url, "replicas": [url, …], "max_lag": seconds, "read_your_writes": "lsn",
                "policy": "least_inflight"}`, with keywords of Database for all its servers. None: the setting
                DATABASES, else the environment, DATABASE_URL for `default` and DATABASE_URL_REPORTS for
                `reports`.
        Returns:
            The manager.
        Raises:
            Misconfigured: Something in it cannot be used, or a server is not what it is said to be; the text
                names alias, host and remedy.
            ConnectionFailed: A server does not let us in.
        """
        try:
            specs = _config.parse(_config.from_settings() if databases is None else databases)
        finally:
            # A traceback with locals must not show URLs and their passwords.
            databases = None
        await self._open(specs)
        return self

    async def _open(self, specs: Sequence[_config.Spec]) -> None:
        opened: dict[str, Opened] = {}
        tasks = [asyncio.ensure_future(open_alias(spec)) for spec in specs]
        failure: BaseException | None = None
        task: asyncio.Task[Opened] | None = None
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        except BaseException as error:  # cancelled: those that are open already are to be closed
            failure = error
        for spec, task in zip(specs, tasks, strict=True):
            if task.cancelled():
                failure = failure or asyncio.CancelledError()
            elif task.exception() is not None:
                failure = failure or task.exception()
            else:
                opened[spec.alias] = task.result()
        if failure is not None:
            await _close_all(opened)
            try:
                raise failure
            finally:
                del failure, tasks, task  # their tracebacks have this frame
        for each in opened.values():
            for hook in self._hooks:
                each.face.on_query(hook)
        before = self._aliases
        # They may be other servers, or the same: the first read asks where their log is.
        scopes.PROCESS.forget({*before, *opened})
        for alias in before.keys() & opened.keys():
            face = opened[alias].face
            if isinstance(face, PrimaryFace):
                face.has_written_by(scopes.PROCESS)
        self._aliases = opened
        set_resolver(self)
        default = opened.get(DEFAULT_ALIAS)
        if default is not None:
            set_db(default.face)
        await _close_all(before)

    async def close(self) -> None:
        """Drain and close all of them. Models are served by `get_db()` again."""
        before, self._aliases = self._aliases, {}
        scopes.PROCESS.forget(set(before))
        if get_resolver() is self:
            set_resolver(None)
        default = before.get(DEFAULT_ALIAS)
        if default is not None and peek_db() is default.face:
            set_db(None)
        await _close_all(before)

    async def __aenter__(self) -> Self:
        """Configure from settings or the environment, unless that is done."""
        return self if self._aliases else await self.configure()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    # By name

    def __getitem__(self, alias: str) -> Database:
        """Return the Database of an alias: of a replica set the primary, wherever that is.

        Raises:
            UnknownAlias: Nobody configured it; the text names those there are. It is a KeyError, too.
        """
        return self._opened(alias).face

    def __iter__(self) -> Iterator[str]:
        """The aliases, in the order in which they were given."""
        return iter(self._aliases)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._aliases)

    def reader(self, alias: str = DEFAULT_ALIAS) -> Database:
        """Return the Database for reads of an alias: each goes to a replica, where one may serve it.

        One without replicas is the Database itself.

        Raises:
            UnknownAlias: Nobody configured it.
        """
        return self._opened(alias).reader

    def _opened(self, alias: str, said_by: str = "the caller") -> Opened:
        opened = self._aliases.get(alias)
        if opened is None:
            raise unknown(alias, self._aliases, said_by)
        return opened

    # Pins and scopes

    @contextlib.asynccontextmanager
    async def _pin(self, alias: str) -> AsyncGenerator[Scope, None]:
        with scopes.pinned(alias) as scope:
            yield scope

    def pin(self, alias: str = DEFAULT_ALIAS) -> AbstractAsyncContextManager[Scope]:
        """Have reads of an alias go to its primary, for as long as the block lasts.

        It holds for the running scope: for the tasks of the same request, whoever began them.

        Raises:
            UnknownAlias: Nobody configured it.
        """
        self._opened(alias)
        return self._pin(alias)

    def scope(self, token: str | None = None) -> contextlib.AbstractContextManager[Scope]:
        """Begin a scope: reads in it see its own writes, and do not wait for those of others.

        Outside of any, reads see what the whole process has written.

        Args:
            token: What an earlier scope had written: its `token`, as it came back in a cookie or header.
        Raises:
            ValueError: It is no token.
        """
        return scopes.scope(token)

    # Transactions over several databases

    def atomic(
        self,
        *aliases: str,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
        two_phase: bool = False,
    ) -> AtomicBlock:
        """Return a block with a transaction in each of several databases, committed one after the other.

        Also decorates a coroutine function. Inside a block over the same databases it is a savepoint in each.
        In it models go where they would go without, where that is one of these, else to the first.

        Args:
            aliases: In the order in which they are begun and committed.
            isolation: As for `Database.transaction`, and so the two after it.
            read_only: As above.
            deferrable: As above.
            two_phase: Prepare all before the first is committed: nothing but a crash in between can then leave
                one committed without the others, and `recover` mends that.
        Raises:
            ValueError: There is no alias, or one twice, or no such isolation level.

        PostgreSQL docs: two-phase.
        """
        return AtomicBlock(
            self,
            aliases,
            isolation=isolation,
            read_only=read_only,
            deferrable=deferrable,
            two_phase=two_phase,
        )

    async def recover(self, older_than: float = OLDER_THAN) -> list[Recovered]:
        """Commit or roll back what two-phase commits of processes that are gone have left prepared.

        Any number of processes may do so at once.

        Args:
            older_than: Seconds since the youngest part of a group was prepared. A block that is slower than 30
                to decide after that rolls back by itself; with less, it may be decided twice. What other sessions
                are just ending is waited for, 5 seconds in all.
        Returns:
            What became of each; a group whose databases are not all here, or cannot be reached, is left.
        Raises:
            ValueError: `older_than` is negative or not a number.
            InterfaceError: Inside a transaction block.
            DatabaseError: No database could be asked at all.
        """
        return await recover(self, older_than)

    async def capabilities(self, alias: str = DEFAULT_ALIAS) -> Capabilities:
        """Ask the server of an alias what it can do.

        Raises:
            UnknownAlias: Nobody configured it.
        """
        return await probe(self[alias])

    # Routing

    @property
    def router(self) -> Any:
        """The router, or the tuple of them; None where there is none. Assign one, or several in order."""
        routers = self._routing.routers
        return None if not routers else routers[0] if len(routers) == 1 else routers

    @router.setter
    def router(self, given: object) -> None:
        self._routing.routers = given

    def resolve(
        self,
        alias: str | None,
        model: type[Any] | None,
        *,
        is_write: bool,
        instance_alias: str | None,
        bound: Bound = nothing_bound,
    ) -> Database:
        """Return the Database for a statement of models; as `Resolver.resolve`."""
        aliases = self._aliases  # another thread may configure meanwhile
        # As below; each object that is touched on the way costs time, since a query has used the caches.
        named = None if alias is None else aliases.get(alias)
        if named is not None:
            return named.face if is_write else named.reader
        choice = self._routing.choose(
            aliases, alias, model, is_write=is_write, instance_alias=instance_alias, bound=bound
        )
        opened = aliases[choice.alias]
        return opened.face if is_write else opened.reader

    def check_shard(self, database: Database, model: type[Any], bound: Bound) -> None:
        """Check a bound key against a running transaction; as `Resolver.check_shard`."""
        if self._routing.routers:
            self._routing.check_shard(database.alias, model, bound)

    def shards(self, model: type[Any], *, is_write: bool) -> list[Database] | None:
        """Return the databases of all shards of a model; as `Resolver.shards`."""
        aliases = self._routing.aliases_of(model)
        if aliases is None:
            return None
        opened = [self._opened(alias, f"the router of {model.__name__}") for alias in aliases]
        return [each.face if is_write else each.reader for each in opened]

    def allows_relation(self, near: type[Any], near_alias: str, far: type[Any], far_alias: str) -> bool:
        """Whether an instance of one alias may point to one of another; as `Resolver.allows_relation`."""
        return self._routing.allows_relation(near, near_alias, far, far_alias)

    def allows_table(self, alias: str, model: type[Any]) -> bool:
        """Whether the table of a model belongs in an alias; as `Resolver.allows_table`."""
        return self._routing.allows_table(alias, model)

    def explain_route(self, queryset: Any, *, is_write: bool | None = None) -> RouteDecision:
        """Return where a statement would go now, and why. Nothing is sent.

        Args:
            queryset: A queryset, or a model.
            is_write: As what: by itself as a read, or as a write where the queryset locks its rows.
        Raises:
            UnknownAlias, RoutingError: As the statement itself would.
        """
        model: type[Any] = queryset if isinstance(queryset, type) else queryset.model
        using = None if isinstance(queryset, type) else queryset._using
        bound: Bound = (
            nothing_bound if isinstance(queryset, type) else getattr(queryset, "_bound", nothing_bound)
        )
        writes: bool = (
            not isinstance(queryset, type) and queryset._is_write() if is_write is None else is_write
        )
        if using is not None and not isinstance(using, str):
            return RouteDecision(using.alias, using.role, USING)
        if using is None and innermost() is not None:
            running = database_for(model, is_write=bool(is_write), bound=bound)
            return RouteDecision(running.alias, running.role, IN_BLOCK)
        choice = self._routing.choose(
            self._aliases, using, model, is_write=writes, instance_alias=None, bound=bound
        )
        opened = self._aliases[choice.alias]
        replica_set = opened.replica_set
        if replica_set is None:
            return RouteDecision(choice.alias, None, choice.reason, opened.host)
        node, reason = (replica_set.primary, WRITE) if writes else replica_set.next_of(scopes.current.get())
        role = None if node is None else "primary" if node is replica_set.primary else "replica"
        return RouteDecision(choice.alias, role, f"{choice.reason}; {reason}", node.name if node else None)

    # Watching

    def on_query(self, hook: Any) -> Any:
        """Have `hook` called with a QueryEvent at the end of each call, of every alias and server.

        Also of those that are configured later. `event.route` has alias, role, host and reason.

        Raises:
            TypeError: As `Database.on_query`.
        """
        for opened in self._aliases.values():
            opened.face.on_query(hook)
        self._hooks.append(hook)
        return hook

    def off_query(self, hook: Any) -> None:
        """Remove what `on_query` has added, once.

        Raises:
            ValueError: It was not added.
        """
        if hook not in self._hooks:
            raise ValueError("this hook is not among those of on_query")
        self._hooks.remove(hook)
        for opened in self._aliases.values():
            opened.face.off_query(hook)

    def stats(self) -> dict[str, Any]:
        """Return how each alias and each of its servers does.

        Returns:
            Alias to `hosts` (name to `role`, `is_up`, `lag` in seconds, connections `in_use`, calls `waiting`,
            `in_flight`, `reads`) and, of replica sets, `routes` (calls by reason), `lag_rejections`,
            `lsn_waits`, `lsn_timeouts`, `repeated_reads`, `failovers`.
        """
        return {alias: opened.figures() for alias, opened in self._aliases.items()}


async def _close_all(opened: Mapping[str, Opened]) -> None:
    outcomes = await asyncio.gather(*(each.close() for each in opened.values()), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


__all__ = ["ConnectionManager", "RouteDecision"]
