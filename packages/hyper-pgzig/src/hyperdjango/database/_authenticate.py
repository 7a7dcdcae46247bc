"""From the startup message to the first ReadyForQuery: what the backend asks, and what we may answer.

Called by `_connect` with a native Connection whose socket stands, TLS included.
PostgreSQL docs: protocol-flow, "Start-up"; sasl-authentication; libpq-connect, "require_auth" and
"channel_binding".
"""

from __future__ import annotations

import base64
import secrets
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

from hyperdjango.database._channel_binding import server_end_point
from hyperdjango.database._native import native
from hyperdjango.database._socket import Refused
from hyperdjango.database._steps import RunInThread, Steps, WaitReadable, WaitWritable
from hyperdjango.database.errors import DatabaseError, ProtocolError, from_fields

if TYPE_CHECKING:
    from hyperdjango.database._parameters import ConnectParameters, Host
    from hyperdjango.database._tls import TlsFilter

SCRAM = "SCRAM-SHA-256"
SCRAM_PLUS = "SCRAM-SHA-256-PLUS"

_UNSUPPORTED = {2: "Kerberos V5", 6: "SCM credentials", 7: "GSSAPI", 8: "GSSAPI", 9: "SSPI"}
_METHODS = {0: "none", 3: "password", 5: "md5", 7: "gss", 9: "sspi", 10: "scram-sha-256"}


class ServerError(Exception):
    """The backend ended the start-up with an ErrorResponse.

    Attributes:
        error: What it said.
        authenticated: Whether it had accepted us before.
    """

    def __init__(self, error: DatabaseError, *, authenticated: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.authenticated = authenticated


@dataclass(slots=True)
class StartupResult:
    """What the backend told before it was ready.

    Attributes:
        notices: The fields of each NoticeResponse.
    """

    process_id: int = 0
    secret_key: bytes = b""
    notices: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


def event_steps(connection: native.Connection, sock: socket.socket) -> Steps[tuple[Any, ...]]:
    """Return the next event of the start-up.

    Raises:
        OSError: The connection ended.
        ProtocolError: The backend broke the protocol.
    """
    while True:
        event = connection.startup_event()
        if event is not None:
            return event
        count = connection.receive()
        if count == 0:
            raise ConnectionResetError("the server closed the connection unexpectedly")
        if count < 0:
            yield WaitReadable(sock)


def flush_steps(connection: native.Connection, sock: socket.socket) -> Steps[None]:
    """Send what is buffered."""
    while not connection.flush():
        yield WaitWritable(sock)


def startup_steps(
    connection: native.Connection,
    sock: socket.socket,
    parameters: ConnectParameters,
    host: Host,
    tls: TlsFilter | None,
) -> Steps[StartupResult]:
    """Start up and authenticate.

    Raises:
        Refused: The parameters forbid what the backend asks for.
        ServerError: The backend refused.
        OSError: The connection ended.
        ProtocolError: The backend broke the protocol.
    """
    connection.send_startup(dict(parameters.startup))
    authentication = _Authentication(connection, sock, parameters, host, tls)
    result = StartupResult()
    yield from flush_steps(connection, sock)
    while True:
        kind, *values = yield from event_steps(connection, sock)
        if kind == "authentication":
            yield from authentication.answer_steps(*values)
        elif kind == "error":
            raise ServerError(from_fields(values[0]), authenticated=authentication.accepted)
        elif kind == "backend_key_data":
            result.process_id, result.secret_key = values
        elif kind == "notice":
            result.notices.append(values[0])
        elif kind == "negotiate_protocol_version":
            minor, options = values
            if minor != 0 or options:
                raise ProtocolError("the server negotiates about protocol options that were never asked for")
        elif kind == "ready":
            return result


class _Authentication:
    """One exchange: at most one method, from its first request to AuthenticationOk."""

    def __init__(
        self,
        connection: native.Connection,
        sock: socket.socket,
        parameters: ConnectParameters,
        host: Host,
        tls: TlsFilter | None,
    ) -> None:
        self.accepted = False
        self._connection = connection
        self._sock = sock
        self._parameters = parameters
        self._host = host
        self._tls = tls
        self._asked = False
        self._scram: native.Scram | None = None
        self._scram_done = False
        self._bound = False

    def answer_steps(self, code: int, data: bytes) -> Steps[None]:
        """Answer one Authentication message."""
        if code == 11:
            yield from self._scram_continue_steps(data)
            return
        if code == 12:
            self._scram_final(data)
            return
        if code == 0:
            self._accept()
            return
        if self._asked:
            raise ProtocolError("the server asks for a second authentication")
        self._asked = True
        self._check_method(code)
        if code == 10:
            self._start_scram(data)
        else:
            self._check_unbound()
            secret = self._password()
            if code == 3:
                self._check_cleartext()
                self._connection.send_password(secret)
            else:
                self._connection.send_md5(secret, self._parameters.user, data)
        yield from flush_steps(self._connection, self._sock)

    def _check_method(self, code: int) -> None:
        if code in _METHODS and code not in _UNSUPPORTED:
            method = _METHODS[code]
            allowed = self._parameters.require_auth
            if allowed is not None and method not in allowed:
                raise Refused(
                    "authentication method requirement failed: "
                    + (
                        "the server did not ask for authentication"
                        if method == "none"
                        else f"the server asks for {method}"
                    )
                    + f", require_auth allows {', '.join(sorted(allowed)) or 'nothing'}"
                )
            return
        raise Refused(
            f"the server asks for {_UNSUPPORTED.get(code, f'method {code}')}, which is not supported"
        )

    def _check_unbound(self) -> None:
        if self._parameters.channel_binding == "require":
            raise Refused(
                "channel binding is required, but the server asks for a method that has none"
                if self._tls is not None
                else "channel binding is required, but the connection has no TLS"
            )

    def _password(self) -> native.Secret:
        if not self._host.password:
            raise Refused(
                "the server asks for a password, and there is none in the connection URI, in PGPASSWORD, "
                "or in the password file"
            )
        return self._host.password

    def _check_cleartext(self) -> None:
        if self._tls is not None or self._parameters.allow_cleartext or is_local(self._sock):
            return
        raise Refused(
            "the server asks for the password in cleartext, and anyone between here and there could read it: "
            "use TLS (sslmode=require), or allow it with require_auth=password"
        )

    def _accept(self) -> None:
        if self._scram is not None and not self._scram_done:
            raise Refused("the server ended SCRAM without showing that it knows the password")
        if not self._asked:
            self._check_method(0)
        if not self._bound:
            self._check_unbound()
        self._asked = self.accepted = True

    def _start_scram(self, data: bytes) -> None:
        offered = [name.decode("ascii", "replace") for name in data.split(b"\0") if name]
        secret = self._password()
        wish = self._parameters.channel_binding
        binding: bytes | None = None
        if wish == "require" and self._tls is None:
            self._check_unbound()
        if self._tls is not None and wish != "disable":
            binding = server_end_point(self._tls.peer_certificate() or b"")
        mechanism = SCRAM
        gs2: Literal["n", "y", "p=tls-server-end-point"] = "n"
        if binding is not None:
            # "y" tells a backend whose offer was cut out on the way that it was.
            mechanism, gs2 = (SCRAM_PLUS, "p=tls-server-end-point") if SCRAM_PLUS in offered else (SCRAM, "y")
        if wish == "require" and mechanism != SCRAM_PLUS:
            reason = (
                "the server does not offer it"
                if binding is not None
                else "the server's certificate allows none"
            )
            raise Refused(f"channel binding is required, but {reason}")
        if mechanism not in offered:
            raise Refused(f"the server offers none of our SASL mechanisms ({SCRAM}, {SCRAM_PLUS})")
        self._bound = mechanism == SCRAM_PLUS
        self._scram = native.Scram(
            secret,
            base64.b64encode(secrets.token_bytes(18)),
            gs2=gs2,
            channel_binding=(binding or b"") if self._bound else b"",
            iterations_max=self._parameters.scram_iterations_max,
        )
        self._connection.send_sasl_initial(mechanism, self._scram.client_first())

    def _scram_continue_steps(self, data: bytes) -> Steps[None]:
        scram = self._scram
        if scram is None:
            raise ProtocolError("the server continues a SASL exchange that has not begun")
        try:
            scram.server_first(data)
        except ValueError as error:
            raise Refused(str(error)) from None
        except RuntimeError:
            raise ProtocolError("the server continues a SASL exchange twice") from None
        if not scram.recall():
            yield RunInThread(scram.derive)
        self._connection.send_sasl_response(scram.client_final())
        yield from flush_steps(self._connection, self._sock)

    def _scram_final(self, data: bytes) -> None:
        if self._scram is None:
            raise ProtocolError("the server ends a SASL exchange that has not begun")
        try:
            self._scram.server_final(data)
        except ValueError as error:
            raise Refused(str(error)) from None
        except RuntimeError:
            raise ProtocolError("the server ends a SASL exchange out of turn") from None
        self._scram_done = True


def is_local(sock: socket.socket) -> bool:
    """Whether what is sent stays on this machine: a Unix socket, or a loopback address at the other end."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        return True
    address = ip_address(str(sock.getpeername()[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
