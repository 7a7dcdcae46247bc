"""A password that is asked for anew for each connection: `password=` may be a function.

Made by `_conninfo`, asked by `_connect`. What the function returns is kept as a Secret and as a keyed digest,
never as text.
"""

from __future__ import annotations

import hashlib
import inspect
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from hyperdjango.database._native import native
from hyperdjango.database._steps import AwaitInPlace, RunInThread, SetDeadline, Steps
from hyperdjango.database.errors import ConnectionFailed, ConnectTimeout

PasswordFunction: TypeAlias = Callable[[], str] | Callable[[], Awaitable[str]]

_FAILED: Final = "the password function failed"


class PasswordSource:
    """A function that gives the password, and the Secret of its last answer.

    A Secret keeps the keys that SCRAM derived from it; while the text stays the same, so does the Secret.
    """

    __slots__ = ("_digest", "_function", "_key", "_secret")

    def __init__(self, function: PasswordFunction) -> None:
        self._function = function
        self._key = secrets.token_bytes(32)
        self._digest = b""
        self._secret = native.Secret()

    def __repr__(self) -> str:
        return "***"

    @property
    def is_coroutine(self) -> bool:
        """Whether its answer is awaited."""
        function: object = self._function
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is a coroutine function
        )

    def ask(self) -> native.Secret:
        """Call a plain function.

        Raises:
            ConnectionFailed: It failed, or returned no password. The function's own error is the cause.
        """
        try:
            return self._secret_of(self._function())
        except Exception as error:
            raise _failed(error) from error

    async def ask_async(self) -> native.Secret:
        """Await a coroutine function; errors as for `ask`."""
        try:
            answer = self._function()
            assert inspect.isawaitable(answer)
            return self._secret_of(await answer)
        except Exception as error:
            raise _failed(error) from error

    def _secret_of(self, text: object) -> native.Secret:
        if not isinstance(text, str):
            kind, text = type(text).__name__, None  # a traceback with locals must not show it
            raise TypeError(f"a password must be str, not {kind}")
        data = text.encode("utf-8", "surrogateescape")
        text = None
        if b"\0" in data:
            data = b""
            raise ValueError("the password contains a NUL character")
        digest = hashlib.blake2b(data, key=self._key).digest()
        if not self._digest or not secrets.compare_digest(digest, self._digest):
            self._digest, self._secret = digest, native.Secret(data)
        return self._secret


def _failed(error: Exception) -> ConnectionFailed:
    # Not the function's own text: nobody knows what is in it.
    return ConnectionFailed(f"{_FAILED} with {type(error).__name__}")


def password_steps(source: PasswordSource, timeout: float | None) -> Steps[native.Secret]:
    """Return the password for one more connection.

    Args:
        source: Whom to ask.
        timeout: Seconds for the answer; None is no limit.
    Raises:
        ConnectionFailed: As `PasswordSource.ask`.
        ConnectTimeout: It did not return in time.
    """
    yield SetDeadline(None if timeout is None else time.monotonic() + timeout)
    try:
        secret: native.Secret = yield (
            AwaitInPlace(source.ask_async) if source.is_coroutine else RunInThread(source.ask)
        )
    except TimeoutError as error:
        if isinstance(error, ConnectionFailed):
            raise
        raise ConnectTimeout("the password function did not return in time") from None
    return secret
