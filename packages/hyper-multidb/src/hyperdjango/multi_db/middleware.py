"""RoutingMiddleware: each HTTP request is a scope of its own, and what it has written goes along with its client.

Plain ASGI, so it fits every framework. The next request of the same client takes the token up, whichever process
serves it: its reads are never older than the client's own writes. A token says nothing but how far a log was; one
that is forged makes its own sender's reads wait, or go to the primary, and is no error.
ASGI specification: "HTTP & WebSocket ASGI Message Format".
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, Literal

from hyperdjango.database.errors import Error
from hyperdjango.multi_db._primary import PrimaryFace
from hyperdjango.multi_db.lsn import TOKEN_LENGTH_MAX, parse_token
from hyperdjango.multi_db.manager import ConnectionManager
from hyperdjango.multi_db.scope import Scope, pinned

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
SameSite = Literal["lax", "strict", "none"]

# Longer than any replica is behind that still serves reads.
MAX_AGE: Final = 60
# How long a response waits to learn how far the log is, where a write has not said so.
SETTLE_SECONDS: Final = 1.0
# Moments are of a clock that is read each time.
_SAME_MOMENT: Final = 0.05
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TOKEN: Final = re.compile(rb"[!#-+\--:<-\[\]-~]+")  # what a cookie's value may hold

_logger: Final = logging.getLogger("hyperdjango.multi_db")


class RoutingMiddleware:
    """Wraps an ASGI application: `app = RoutingMiddleware(app, connections)`.

    WebSockets and the lifespan pass through as they are.
    """

    def __init__(
        self,
        app: Application,
        connections: ConnectionManager,
        *,
        cookie: str | None = "hyper_routing",
        header: str | None = None,
        max_age: int = MAX_AGE,
        secure: bool = True,
        httponly: bool = True,
        samesite: SameSite = "lax",
        path: str = "/",
        pin_methods: Iterable[str] = (),
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            connections: Whose scopes they are.
            cookie: The cookie that holds the token; None for none.
            header: A header of request and response that holds it, for clients without cookies; None for none.
            max_age: Seconds that the client keeps the cookie, from its last write on.
            secure: The cookie comes back over https alone.
            httponly: Scripts do not see it.
            samesite: As for any cookie; `"none"` needs `secure`.
            path: What the cookie is sent along with.
            pin_methods: Requests whose reads go to the primaries: `("POST", "PUT", "PATCH", "DELETE")`.
        Raises:
            ValueError: No cookie or header can have that name, or one of the attributes is none.
        """
        for name in (cookie, header):
            if name is not None and not _NAME.fullmatch(name):
                raise ValueError(f"no cookie or header can be called {name!r}")
        if max_age < 1:
            raise ValueError(f"max_age is a number of seconds from 1 on, not {max_age!r}")
        if samesite not in {"lax", "strict", "none"}:
            raise ValueError(f'samesite is "lax", "strict" or "none", not {samesite!r}')
        if samesite == "none" and not secure:
            raise ValueError('browsers drop a cookie with samesite="none" that is not secure')
        if not path.startswith("/") or not path.isascii() or any(sign in path for sign in "; \r\n\t"):
            raise ValueError(f"no cookie can have the path {path!r}")
        self._app = app
        self._connections = connections
        self._cookie = None if cookie is None else cookie.encode()
        self._header = None if header is None else header.lower().encode()
        attributes = [f"Max-Age={max_age}", f"Path={path}", f"SameSite={samesite.capitalize()}"]
        attributes += ["Secure"] * secure + ["HttpOnly"] * httponly
        self._attributes = "; ".join(attributes).encode()
        self._pin_methods = frozenset(method.upper() for method in pin_methods)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with contextlib.ExitStack() as stack:
            routing = self._begin(stack, self._given(scope.get("headers", ())))
            if scope["method"] in self._pin_methods:
                for alias in self._connections:
                    stack.enter_context(pinned(alias))
            before = routing.token

            async def send_with_token(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await self._settle(routing)
                    token = routing.token
                    if not _is_same(before, token):
                        message = {**message, "headers": [*message.get("headers", ()), *self._headers(token)]}
                await send(message)

            await self._app(scope, receive, send_with_token)

    def _begin(self, stack: contextlib.ExitStack, given: str | None) -> Scope:
        """Begin a scope with the token, or without one where that is none."""
        if given is not None:
            try:
                return stack.enter_context(self._connections.scope(given))
            except ValueError:
                _logger.debug("a routing token that is none was ignored")
        return stack.enter_context(self._connections.scope())

    def _given(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the token of a request: the header's where there is one, else the cookie's."""
        found: bytes | None = None
        for name, value in headers:
            name = name.lower()  # noqa: PLW2901 - servers send it so; tests may not
            if name == self._header:
                return _text(value)
            if name == b"cookie" and self._cookie is not None and found is None:
                found = _cookie_of(value, self._cookie)
        return None if found is None else _text(found)

    def _headers(self, token: str) -> list[tuple[bytes, bytes]]:
        value = token.encode()
        if len(value) > TOKEN_LENGTH_MAX or not _TOKEN.fullmatch(value):
            _logger.warning("a routing token of %d bytes cannot be sent", len(value))
            return []
        headers: list[tuple[bytes, bytes]] = []
        if self._cookie is not None:
            headers.append((b"set-cookie", b"%b=%b; %b" % (self._cookie, value, self._attributes)))
        if self._header is not None:
            headers.append((self._header, value))
        return headers

    async def _settle(self, routing: Scope) -> None:
        """Learn how far the logs are where something was written that has not said so, as a COPY does."""
        for alias, mark in tuple(routing.in_doubt.items()):
            face = self._connections.get(alias)
            if not isinstance(face, PrimaryFace):
                continue
            try:
                async with asyncio.timeout(SETTLE_SECONDS):
                    routing.settle(alias, mark, await face.position())
            except (Error, TimeoutError):
                _logger.warning("the token of a response says nothing of %r", alias, exc_info=True)


def _cookie_of(header: bytes, name: bytes) -> bytes | None:
    """Return the value of a cookie in a Cookie header; None where it is not there."""
    for part in header.split(b";"):
        found, equals, value = part.partition(b"=")
        if equals and found.strip() == name:
            return value.strip()
    return None


def _text(value: bytes) -> str | None:
    """Return a token as text; None where it cannot be one."""
    if not value or len(value) > TOKEN_LENGTH_MAX or not _TOKEN.fullmatch(value):
        return None
    return value.decode("ascii")


def _is_same(before: str, after: str) -> bool:
    """Whether two tokens say the same."""
    if before == after:
        return True
    if max(len(before), len(after)) > TOKEN_LENGTH_MAX:
        return False
    one, other = parse_token(before), parse_token(after)
    return (
        (one.positions, one.doubts) == (other.positions, other.doubts)
        and one.moments.keys() == other.moments.keys()
        and all(abs(one.moments[alias] - moment) < _SAME_MOMENT for alias, moment in other.moments.items())
    )


__all__ = ["RoutingMiddleware"]
