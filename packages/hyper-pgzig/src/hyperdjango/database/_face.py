"""What the two faces have in common: how they are made, and what can be asked of them without waiting."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from hyperdjango.database import _conninfo
from hyperdjango.database._hooks import HookFunction, Hooks
from hyperdjango.database._native import backend, require_native
from hyperdjango.database._notices import NoticeFunction
from hyperdjango.database._settings import IDLE_TIMEOUT, MAX_LIFETIME, PoolSettings
from hyperdjango.database._slow_log import SlowLog
from hyperdjango.database._watching import H, QueryHook, check_hook
from hyperdjango.database.pool import Pool

if TYPE_CHECKING:
    import ssl

NoticeHook = TypeVar("NoticeHook", bound=NoticeFunction)


class Face:
    """The base of Database and SyncDatabase.

    Attributes:
        alias: What the application calls this database, where it has several; it stands in the routes of
            events.
        role: Of the server, `"primary"` or `"replica"`, where the alias stands for several.
        reason: Why calls that nobody has routed go there.
    """

    alias: str | None = None
    role: str | None = None
    reason: str | None = None
    _pool: Pool
    _settings: PoolSettings
    _opens_on_use: bool

    def __init__(
        self,
        url: str | None = None,
        min_size: int = 2,
        max_size: int = 32,
        *,
        acquire_timeout: float | None = None,
        max_lifetime: float | None = MAX_LIFETIME,
        idle_timeout: float | None = IDLE_TIMEOUT,
        leak_timeout: float | None = None,
        on_connect: HookFunction | None = None,
        on_acquire: HookFunction | None = None,
        on_release: HookFunction | None = None,
        statement_cache_size: int | None = None,
        max_message_size: int = 2**30,
        server_settings: Mapping[str, object] | None = None,
        ssl_context: "ssl.SSLContext | None" = None,
        exact_intervals: bool = False,
        json_loads: Callable[[Any], Any] | None = None,
        json_dumps: Callable[[Any], str | bytes] | None = None,
        slow_query_seconds: float | None = None,
        **connection: Any,
    ) -> None:
        """Take down how to connect; nothing is opened yet.

        Args:
            url: `postgresql://user:password@host:port/dbname?key=value`, as libpq has it. What it leaves out
                comes from the environment (PGHOST, PGUSER, …).
            min_size: How many connections `connect()` opens.
            max_size: How many there may be.
            acquire_timeout: Seconds a call waits for a connection when all are busy; None is no limit.
            max_lifetime: Seconds after which a connection is replaced; None is never.
            idle_timeout: Seconds after which an idle connection above `min_size` is closed; None is never.
            leak_timeout: Seconds after which a connection that is not back is reported, with where it was
                acquired, in the log; None is never.
            on_connect: Called with a HookConnection for each new connection before anybody has it.
            on_acquire: Called with one at each hand-out.
            on_release: Called with one before a connection goes back.
            statement_cache_size: Prepared statements per connection; 0 prepares none under a name. None is
                256, and 0 once a pooler is noticed between.
            max_message_size: The longest message accepted from the backend, in bytes.
            server_settings: Run-time parameters for every session.
            ssl_context: Used in place of what the ssl… keys say.
            exact_intervals: interval values come as Interval(months, days, microseconds), not as timedelta.
            json_loads: Takes the text of a json or jsonb value.
            json_dumps: Makes the text of one.
            slow_query_seconds: Calls that take this long or longer are logged, as warnings of the logger
                `hyperdjango.database.slow`, without their values; None logs none.
            connection: Any key a URL may have (`password=`, `sslmode=`, `connect_timeout=` …); `password` may
                be a function, plain or coroutine, which is called for each new connection.
        Raises:
            ValueError: Something in it cannot be used; the message shows no value of the URL.
            NativeExtensionMissing: The driver was not built.

        PostgreSQL docs: libpq-connect, "Parameter Key Words".
        """
        require_native()
        slow_log = None if slow_query_seconds is None else SlowLog(slow_query_seconds)
        try:
            parameters = _conninfo.parse(
                url, ssl_context=ssl_context, server_settings=server_settings, **connection
            )
        finally:
            # A traceback with locals must not show them.
            url, connection = None, {}
        self._settings = PoolSettings(
            min_size=min_size,
            max_size=max_size,
            acquire_timeout=acquire_timeout,
            max_lifetime=max_lifetime,
            idle_timeout=idle_timeout,
            leak_timeout=leak_timeout,
            hooks=Hooks.of(on_connect, on_acquire, on_release),
            statement_cache_size=statement_cache_size,
            max_message_size=max_message_size,
        )
        self._pool = self._settings.make_pool(
            parameters, exact_intervals=exact_intervals, json_loads=json_loads, json_dumps=json_dumps
        )
        if slow_log is not None:
            self._pool.watch(slow_log)
        self._opens_on_use = False
        self._prepare()

    def _prepare(self) -> None:
        """Make what only this face has."""
        raise NotImplementedError  # each face has its own

    def __repr__(self) -> str:
        """Where to, without the password."""
        if not hasattr(self, "_pool"):  # in the traceback of an __init__ that failed
            return f"<{type(self).__name__} without a pool>"
        state = "connected" if self.is_connected else "not connected"
        return f"<{type(self).__name__} {self.url} {state}>"

    @property
    def url(self) -> str:
        """The URL with the password shown as `***`."""
        return self._pool.parameters.url

    @property
    def min_size(self) -> int:
        """How many connections the pool keeps open."""
        return self._pool.min_size

    @property
    def max_size(self) -> int:
        """How many connections the pool opens at most."""
        return self._pool.max_size

    @property
    def is_connected(self) -> bool:
        """Whether `connect()` has run and `disconnect()` has not."""
        return self._pool.is_open

    @property
    def backend(self) -> str:
        """`"pgzig"`, or `"none"` where the native extension is missing."""
        return backend()

    def on_notice(self, function: NoticeHook) -> NoticeHook:
        """Call `function` with the Notice of each NoticeResponse, on any connection; usable as a decorator.

        It is called in the middle of a reply, by whoever reads that: it must be quick, and cannot use the
        Database. What it raises is logged, and the statement goes on.

        Args:
            function: A plain function.
        Returns:
            The function.
        Raises:
            TypeError: It is none, or a coroutine function.

        PostgreSQL docs: protocol-flow, "Asynchronous Operations".
        """
        self._pool.notices.add(function)
        return function

    def remove_on_notice(self, function: NoticeFunction) -> None:
        """Call a function no more that `on_notice` was given.

        Raises:
            ValueError: It was not, or was removed already.
        """
        self._pool.notices.remove(function)

    def pool_stats(self) -> dict[str, int]:
        """Return how many connections there are and what became of the others.

        Returns:
            Counts: `total`, `idle`, `busy`, `closing`, `waiting`, `max_waiting`, `min_size`, `max_size`;
            since the Database was made `opened`, `closed`, `lost`, `waited`, `acquire_timeouts`;
            `stmt_cache_size`, the prepared statements of the idle connections; and `listeners`, the
            connections of those, which are no part of `total`.
        """
        return self._pool.stats()

    def in_transaction(self) -> bool:
        """Whether the caller is inside a transaction block of this Database."""
        raise NotImplementedError  # each face has its own

    def on_query(self, hook: H) -> H:
        """Have `hook` called with a QueryEvent at the end of each call, of `db` and of `db.sync`.

        It is called in the caller's thread and context, in the order in which hooks were added, before the
        call returns or raises: it must be quick, and must not wait. What it raises is logged, and the call
        is not affected. Calls that it makes itself are not reported.

        Args:
            hook: A plain function; added twice it is called twice.
        Returns:
            The hook, so that this decorates. `off_query` removes it.
        Raises:
            TypeError: It is no function, or a coroutine function.
        """
        check_hook(hook)
        self._pool.watch(hook)
        return hook

    def off_query(self, hook: QueryHook) -> None:
        """Remove what `on_query` has added, once. Calls that have begun may still be reported to it.

        Raises:
            ValueError: It was not added, or is removed already.
        """
        if not self._pool.unwatch(hook):
            raise ValueError("this hook is not among those of on_query")
