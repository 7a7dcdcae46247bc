"""The steps a script is made of, and the ready-made openings of a session.

Each function here returns a step, or a list of steps to be spliced into a script.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from threading import Event
from typing import Final, NoReturn

from pgkit import messages
from pgkit.backend import Conversation, EndOfScript, FrontendLeft, ScriptFailure, Step
from pgkit.frontend import (
    AuthenticationResponse,
    CancelRequest,
    FrontendMessage,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    Terminate,
)
from pgkit.scram import ScramError, ScramServer

PARAMETERS: Final[Mapping[str, str]] = {
    "server_version": "18.0",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "integer_datetimes": "on",
    "standard_conforming_strings": "on",
}


def expect(kind: type[FrontendMessage], check: Callable[[FrontendMessage], bool] | None = None) -> Step:
    """Wait for one message of this type; `check` may look at it."""

    def step(talk: Conversation) -> None:
        one = talk.expect(kind)
        if check is not None and not check(one):
            raise ScriptFailure(f"the frontend sent {one}")

    return step


def expect_through(kind: type[FrontendMessage]) -> Step:
    """Take messages until the first of this type, inclusive."""

    def step(talk: Conversation) -> None:
        while not isinstance(talk.expect(FrontendMessage), kind):
            pass

    return step


def expect_eof() -> Step:
    """Wait until the frontend closes, with or without Terminate."""

    def step(talk: Conversation) -> None:
        while (one := talk.receive()) is not None:
            if not isinstance(one, Terminate):
                raise ScriptFailure(f"the script expects the end, the frontend sent {one}")

    return step


def send(*data: bytes) -> Step:
    """Send all of it in one write."""
    return lambda talk: talk.send(b"".join(data))


def dribble(*data: bytes) -> Step:
    """Send it byte by byte."""

    def step(talk: Conversation) -> None:
        before, talk.dribble = talk.dribble, True
        try:
            talk.send(b"".join(data))
        finally:
            talk.dribble = before

    return step


def wait(seconds: float) -> Step:
    """Do nothing for a while."""
    return lambda _: time.sleep(seconds)


def wait_for(event: Event, timeout: float = 5.0) -> Step:
    """Do nothing until the test sets the event."""

    def step(_: Conversation) -> None:
        if not event.wait(timeout):
            raise ScriptFailure(f"the event was not set within {timeout} s")

    return step


def signal(event: Event) -> Step:
    """Tell the test that the script has come this far."""
    return lambda _: event.set()


def close() -> Step:
    """EOF to the frontend, then the end of the script."""

    def step(talk: Conversation) -> None:
        talk.close()
        raise EndOfScript

    return step


def reset() -> Step:
    """RST to the frontend, then the end of the script."""

    def step(talk: Conversation) -> None:
        talk.reset()
        raise EndOfScript

    return step


def accept_startup(tls: SSLContext | None = None) -> Step:
    """Answer SSLRequest (with TLS where a context is given, else N) and GSSENCRequest, take StartupMessage.

    A CancelRequest ends the script; `ScriptedBackend.cancel_requests` has it.
    """

    def step(talk: Conversation) -> None:
        while True:
            one = talk.expect(FrontendMessage)
            match one:
                case SSLRequest() if tls is not None:
                    talk.send(b"S")
                    talk.start_tls(tls)
                case SSLRequest() | GSSENCRequest():
                    talk.send(b"N")
                case CancelRequest():
                    raise EndOfScript
                case StartupMessage():
                    return
                case _:
                    raise ScriptFailure(f"the script expects StartupMessage, the frontend sent {one}")

    return step


def ready(
    parameters: Mapping[str, str] | None = None, *, process_id: int = 4711, key: bytes = b"\1\2\3\4"
) -> Step:
    """ParameterStatus for each run-time parameter, BackendKeyData, ReadyForQuery."""
    statuses = [messages.parameter_status(*pair) for pair in {**PARAMETERS, **(parameters or {})}.items()]
    return send(*statuses, messages.backend_key_data(process_id, key), messages.ready_for_query())


def startup(
    parameters: Mapping[str, str] | None = None, *, process_id: int = 4711, key: bytes = b"\1\2\3\4"
) -> list[Step]:
    """Let everyone in (trust)."""
    return [
        accept_startup(),
        send(messages.authentication_ok()),
        ready(parameters, process_id=process_id, key=key),
    ]


def refuse(sqlstate: str, text: str, *, severity: str = "FATAL") -> list[Step]:
    """Take the startup message, send an error, close: wrong password, too many connections, starting up."""
    return [accept_startup(), send(messages.error_response(sqlstate, text, severity=severity)), close()]


def _refuse_password(talk: Conversation) -> NoReturn:
    text = 'password authentication failed for user "tester"'
    talk.send(messages.error_response("28P01", text, severity="FATAL"))
    raise EndOfScript


def _check_password(talk: Conversation, expected: bytes) -> None:
    if talk.expect(AuthenticationResponse).password() != expected:
        _refuse_password(talk)
    talk.send(messages.authentication_ok())


def startup_cleartext(password: str, *, tls: SSLContext | None = None) -> list[Step]:
    """Ask for the password in clear text and check it."""
    return [
        accept_startup(tls),
        send(messages.authentication_cleartext_password()),
        lambda talk: _check_password(talk, password.encode()),
        ready(),
    ]


def startup_md5(
    user: str, password: str, *, salt: bytes = b"\xde\xad\xbe\xef", tls: SSLContext | None = None
) -> list[Step]:
    """Ask for the md5 answer and check it."""
    inner = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    expected = b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode()
    return [
        accept_startup(tls),
        send(messages.authentication_md5_password(salt)),
        lambda talk: _check_password(talk, expected),
        ready(),
    ]


def startup_scram(
    server: Callable[[], ScramServer],
    *,
    mechanisms: Sequence[str] = ("SCRAM-SHA-256",),
    tls: SSLContext | None = None,
    then: Sequence[Step] | None = None,
) -> list[Step]:
    """Run SCRAM with a fresh `server()` per connection, then `then` (by default AuthenticationOk and so on).

    A frontend that gives up in the middle leaves; use `frontend_may_leave` where the script provokes it.
    """

    def exchange(talk: Conversation) -> None:
        scram = server()
        talk.send(messages.authentication_sasl(mechanisms))
        mechanism, client_first = talk.expect(AuthenticationResponse).sasl_initial()
        if mechanism not in mechanisms:
            raise ScriptFailure(f"the frontend chose {mechanism!r} out of {mechanisms!r}")
        talk.send(messages.authentication_sasl_continue(scram.first(client_first)))
        one = talk.receive()
        if not isinstance(one, AuthenticationResponse):
            raise FrontendLeft(f"the frontend gave SCRAM up: {one}")
        try:
            final = scram.final(one.data)
        except ScramError:
            _refuse_password(talk)
        talk.send(messages.authentication_sasl_final(final))

    return [accept_startup(tls), exchange, *(then or [send(messages.authentication_ok()), ready()])]
