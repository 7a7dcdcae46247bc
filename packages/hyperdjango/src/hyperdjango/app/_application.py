"""HyperApp: a Starlette application whose handlers return data, and whose database opens by itself."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, ExceptionHandler, Lifespan, Receive, Scope, Send

from hyperdjango.app._databases import Databases, ManyDatabases, OwnDatabase
from hyperdjango.app._endpoint import Endpoint
from hyperdjango.app._errors import HANDLERS, UNAVAILABLE, unavailable
from hyperdjango.app._health import health as health_response
from hyperdjango.app._serve import serve
from hyperdjango.app._signature import wanted_by
from hyperdjango.database import Database
from hyperdjango.database._global import context_db
from hyperdjango.multi_db import ConnectionManager
from hyperdjango.multi_db.middleware import RoutingMiddleware

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])
HEALTH_TIMEOUT: Final = 2.0
SHUTDOWN_TIMEOUT: Final = 30


class HyperApp(Starlette):
    """An ASGI application. All that Starlette's has is there, too: `mount`, `add_middleware`, `routes`, `state`.

    Nothing is opened before the first query, and all of it is drained when the server stops; what apps that are
    mounted in this one have opened is drained with it.
    """

    def __init__(
        self,
        title: str = "HyperApp",
        *,
        database: str | Database | None = None,
        database_url: str | None = None,
        databases: Mapping[str, Any] | None = None,
        routing: Mapping[str, Any] | None = None,
        health: str | None = "/health",
        health_timeout: float = HEALTH_TIMEOUT,
        health_shows_hosts: bool = False,
        debug: bool = False,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        lifespan: "Lifespan[HyperApp] | None" = None,
        max_body_size: int | None = None,
    ) -> None:
        """Make one. Without any database it is the process's, `get_db()` by the setting DATABASE_URL.

        Args:
            title: What it is called.
            database: Its URL, or a Database that nobody has connected; `get_db()` is this one in handlers.
            database_url: The same, under its other name.
            databases: Several, by alias, as `ConnectionManager.configure` takes them; `get_db()` is `default`.
            routing: Keywords of RoutingMiddleware, where an alias has replicas: `{"secure": False}` for plain http.
            health: Where the health endpoint is; None for none.
            health_timeout: Seconds in which the database must answer it.
            health_shows_hosts: It names servers.
            debug: Faults are shown, with the lines of code around them.
            middleware: As for Starlette, and so all after it.
            exception_handlers: Before ours.
            lifespan: Runs inside of ours: the database can be used to the end of it.
            max_body_size: Bytes; larger ones are refused with 413.
        Raises:
            ValueError: The database is given twice, or its URL cannot be understood.
        """
        self.title = title
        try:
            self._databases = _databases(database, database_url, databases)
        finally:
            database = database_url = databases = None  # a traceback with locals must not show them
        self._user_lifespan = lifespan
        super().__init__(
            debug=debug,
            middleware=[*self._own_middleware(routing), *(middleware or ())],
            exception_handlers={**HANDLERS, **(exception_handlers or {})},
            lifespan=self._lifespan,
            max_body_size=max_body_size,
        )
        if health is not None:
            self._add_health(health, health_timeout, shows_hosts=health_shows_hosts)

    def __repr__(self) -> str:
        """Its title."""
        return f"<HyperApp {self.title!r}>"

    @property
    def db(self) -> Database:
        """What `get_db()` is in handlers, for code outside of them.

        Raises:
            RuntimeError: No database is configured; or there are several, and no request has come yet.
        """
        database = self._databases.database()
        if database is None:
            raise RuntimeError(
                "no database: give HyperApp its URL, set DATABASE_URL, or await the first request"
            )
        return database

    @property
    def connections(self) -> ConnectionManager:
        """The manager of `databases=`.

        Raises:
            RuntimeError: There is one database only.
        """
        if self._databases.manager is None:
            raise RuntimeError("one database has no aliases: give HyperApp databases={...}")
        return self._databases.manager

    # Routes

    def route(
        self, path: str, methods: Sequence[str] = ("GET",), *, status_code: int | None = None
    ) -> Callable[[Handler], Handler]:
        """Have a coroutine function serve a path. It stays as it is, and may have several.

        What it returns is sent: a dict, a list, a model, a dataclass and what else JSON has as JSON; str as
        text; bytes as they are; None as 204; a response, as JSONBytes is one, as itself.

        Args:
            path: With parameters, as `/users/{id:int}`; the function gets those that its signature names.
            methods: HTTP's; GET serves HEAD, too.
            status_code: Of its responses, unless it returns one itself.
        Raises:
            TypeError: It is no coroutine function, or has a parameter that nothing is given to.
        """
        convertors = compile_path(path)[2]

        def decorate(function: Handler) -> Handler:
            endpoint = Endpoint(function, wanted_by(function, path, convertors), status_code)
            name = getattr(function, "__name__", None)
            self.router.routes.append(Route(path, endpoint, methods=list(methods), name=name))
            return function

        return decorate

    def get(self, path: str, *, status_code: int | None = None) -> Callable[[Handler], Handler]:
        """As `route`, for GET and HEAD."""
        return self.route(path, ("GET",), status_code=status_code)

    def post(self, path: str, *, status_code: int | None = None) -> Callable[[Handler], Handler]:
        """As `route`, for POST."""
        return self.route(path, ("POST",), status_code=status_code)

    def put(self, path: str, *, status_code: int | None = None) -> Callable[[Handler], Handler]:
        """As `route`, for PUT."""
        return self.route(path, ("PUT",), status_code=status_code)

    def patch(self, path: str, *, status_code: int | None = None) -> Callable[[Handler], Handler]:
        """As `route`, for PATCH."""
        return self.route(path, ("PATCH",), status_code=status_code)

    def delete(self, path: str, *, status_code: int | None = None) -> Callable[[Handler], Handler]:
        """As `route`, for DELETE."""
        return self.route(path, ("DELETE",), status_code=status_code)

    def options(self, path: str, *, status_code: int | None = None) -> Callable[[Handler], Handler]:
        """As `route`, for OPTIONS."""
        return self.route(path, ("OPTIONS",), status_code=status_code)

    # ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a WebSocket, or the server's life: `get_db()` is the app's all through it."""
        host = scope.get("app")
        if isinstance(host, HyperApp) and host is not self:
            host._databases.closes_too(self._databases)  # a mounted app gets no lifespan, says ASGI
        own = self._databases.own
        if own is None:
            await super().__call__(scope, receive, send)
            return
        token = context_db.set(own)
        try:
            await super().__call__(scope, receive, send)
        finally:
            context_db.reset(token)

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        workers: int = 1,
        access_log: bool = False,
        shutdown_timeout: int = SHUTDOWN_TIMEOUT,
        **options: Any,
    ) -> None:
        """Serve until SIGTERM or Ctrl-C: requests that run are answered, then the database is drained.

        Args:
            host: The address to listen at.
            port: The port.
            workers: How many; each is a process with an event loop and a pool of its own.
            access_log: A line for every request.
            shutdown_timeout: Seconds to stop in; a worker that takes longer is killed.
            options: More of granian's, as `ssl_cert`, `uds`, `log_level`, `loop`.
        Raises:
            TypeError: Workers must import the app, and it is no global variable.
            OSError: The port is taken.

        granian docs: "Options".
        """
        serve(
            self,
            host,
            port,
            workers=workers,
            access_log=access_log,
            shutdown_timeout=shutdown_timeout,
            options=options,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[Any, None]:
        """The server's: opens nothing, and drains at the end what is open by then."""
        self._databases.begin()
        try:
            if self._user_lifespan is None:
                yield None
            else:
                async with self._user_lifespan(self) as state:
                    yield state
        finally:
            await self._databases.end()

    def _own_middleware(self, routing: Mapping[str, Any] | None) -> list[Middleware]:
        databases = self._databases
        if databases.manager is None:
            return []
        found = [Middleware(_Opening, databases=databases)]
        if databases.has_replicas:
            found.append(Middleware(RoutingMiddleware, connections=databases.manager, **(routing or {})))
        return found

    def _add_health(self, path: str, timeout: float, *, shows_hosts: bool) -> None:
        databases = self._databases

        async def health(request: Request) -> Response:
            return await health_response(databases, timeout, shows_hosts=shows_hosts)

        self.router.routes.append(Route(path, health, name="health"))
        databases.health_path = path


class _Opening:
    """Middleware of apps with several databases: the first request opens them."""

    def __init__(self, app: ASGIApp, databases: Databases) -> None:
        self._app = app
        self._databases = databases

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        databases = self._databases
        # The health endpoint opens them itself, within its time.
        if not databases.is_open and scope["type"] != "lifespan" and scope["path"] != databases.health_path:
            try:
                await databases.open()
            except UNAVAILABLE as error:
                # No handler has run yet.
                answer = unavailable(error, is_debug=scope["app"].debug, may_repeat=True)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _databases(
    database: str | Database | None, database_url: str | None, databases: Mapping[str, Any] | None
) -> Databases:
    try:
        given = [each for each in (database, database_url, databases) if each is not None]
        if len(given) > 1:
            raise ValueError(
                "the database is said twice: give one of database=, database_url= and databases="
            )
        if databases is not None:
            return ManyDatabases(databases)
        one = database if database is not None else database_url
        return Databases() if one is None else OwnDatabase(one)
    finally:
        given, one = [], None
        database = database_url = databases = None  # a traceback with locals must not show them


__all__ = ["HyperApp"]
