"""Opening a connection: hosts in turn, their addresses, encryption, start-up, the kind of session.

`connect_steps` does no waiting; it yields what it waits for (`_steps`) to `_async_io` or `_sync_io`. All
failures end in one ConnectionFailed.
PostgreSQL docs: libpq-connect, "Specifying Multiple Hosts"; protocol-flow, "Start-up".
"""

from __future__ import annotations

import random
import secrets
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from hyperdjango.database._authenticate import ServerError, startup_steps
from hyperdjango.database._cancel import CancelTarget, cancel_steps
from hyperdjango.database._connect_failures import Failure, gathered
from hyperdjango.database._native import native
from hyperdjango.database._password import password_steps
from hyperdjango.database._session_attributes import UnwantedSession, check_steps
from hyperdjango.database._socket import Refused, open_steps, resolve_steps
from hyperdjango.database._steps import RunInThread, SetDeadline, Steps
from hyperdjango.database._tls import TlsError, TlsFilter, negotiate_steps
from hyperdjango.database._tls_context import context_for
from hyperdjango.database.errors import ProtocolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from hyperdjango.database._parameters import ConnectParameters, Host
    from hyperdjango.database._socket import Address

__all__ = ["CancelTarget", "Established", "cancel_steps", "connect_steps"]

Encryption = Literal["plain", "tls", "tls-or-plain"]

# Prepared statements per connection, where nothing else was asked for.
STATEMENTS: Final = 256
# No system gives a process a higher number. Poolers make theirs up, to know whom a CancelRequest is for.
PROCESS_ID_MAX: Final = 2**22

_random = random.SystemRandom()


@dataclass(slots=True)
class Established:
    """An open connection. Whoever takes it closes `connection`, then `sock`.

    Attributes:
        notices: The fields of each NoticeResponse of the start-up.
    """

    connection: native.Connection
    sock: socket.socket
    host: Host
    tls: TlsFilter | None
    cancel_target: CancelTarget
    notices: list[dict[str, str]]

    def close(self) -> None:
        """Close without a word to the backend."""
        self.connection.close()
        self.sock.close()


def connect_steps(
    parameters: ConnectParameters,
    type_map: native.TypeMap,
    *,
    statement_cache_size: int | None = None,
    message_size_max: int = 2**30,
) -> Steps[Established]:
    """Open one connection.

    Raises:
        ConnectionFailed: No host gave one; the backend's message and SQLSTATE where one sent any.
        ProtocolError: The only host there was broke the protocol.
    """
    if parameters.password_source is not None:
        secret = yield from password_steps(parameters.password_source, parameters.connect_timeout)
        hosts = tuple(replace(host, password=secret) for host in parameters.hosts)
        parameters = replace(parameters, hosts=hosts, password_source=None)
    attempt = _Attempt(parameters, type_map, statement_cache_size, message_size_max)
    wanted = parameters.target_session_attrs
    for kind in ("standby", "any") if wanted == "prefer-standby" else (wanted,):
        order = list(parameters.hosts)
        if parameters.load_balance_hosts == "random":
            _random.shuffle(order)
        for host in order:
            established = yield from attempt.host_steps(host, kind)
            if established is not None:
                return established
            if attempt.final:
                raise gathered(attempt.failures)
    raise gathered(attempt.failures)


@dataclass(frozen=True, slots=True)
class _Try:
    """One way to one host: an address, an encryption, and the time for it."""

    host: Host
    wanted: str
    deadline: float | None
    address: Address
    addresses_left: int
    encryption: Encryption = "plain"

    @property
    def where(self) -> str:
        where = f"connection to server at {self.host}"
        if not self.host.is_unix and self.address.text not in {self.host.name, self.host.address}:
            where += f" ({self.address.text})"
        return where


class _Attempt:
    """The tries for one connection. `final` turns true when another host could not do better."""

    def __init__(
        self,
        parameters: ConnectParameters,
        type_map: native.TypeMap,
        statement_cache_size: int | None,
        message_size_max: int,
    ) -> None:
        self.final = False
        self.failures: list[Failure] = []
        self._encrypted = False
        self._parameters = parameters
        self._type_map = type_map
        self._statement_cache_size = statement_cache_size
        self._message_size_max = message_size_max

    def host_steps(self, host: Host, wanted: str) -> Steps[Established | None]:
        """Try every address of a host, within connect_timeout for all of them together."""
        timeout = self._parameters.connect_timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        yield SetDeadline(deadline)
        try:
            addresses = yield from resolve_steps(host)
        except (OSError, UnicodeError) as error:
            self._fail(f"looking up the address of {host}", error)
            return None
        if self._parameters.load_balance_hosts == "random":
            _random.shuffle(addresses)
        for index, address in enumerate(addresses):
            attempt = _Try(host, wanted, deadline, address, len(addresses) - index)
            established = yield from self._address_steps(attempt)
            if established is not None or self.final:
                return established
            if deadline is not None and time.monotonic() >= deadline:
                return None
        return None

    def _address_steps(self, attempt: _Try) -> Steps[Established | None]:
        """Try the kinds of encryption that the sslmode allows, in its order."""
        for encryption in self._encryptions(attempt.host):
            try:
                return (yield from self._one_steps(replace(attempt, encryption=encryption)))
            except (ServerError, Refused, ProtocolError, UnwantedSession, OSError) as error:
                self._fail(attempt.where, error)
                # A backend without TLS was met in the clear already.
                if encryption == "tls-or-plain" and not self._encrypted:
                    break
                if not _other_encryption_may_help(error):
                    break
        self.final = _is_final(self.failures[-1].error)
        return None

    def _encryptions(self, host: Host) -> Sequence[Encryption]:
        if host.is_unix:  # as with libpq, whatever the sslmode
            return ("plain",)
        match self._parameters.tls.mode:
            case "disable":
                return ("plain",)
            case "allow":
                return ("plain", "tls")
            case "prefer":
                return ("tls-or-plain", "plain")
            case _:
                return ("tls",)

    def _fail(self, where: str, error: Exception) -> None:
        # A traceback would keep frames and their sockets alive for as long as the failure is kept.
        self.failures.append(Failure(where, error.with_traceback(None)))

    def _one_steps(self, attempt: _Try) -> Steps[Established]:
        """Make one connection to one address."""
        context = None if attempt.encryption == "plain" else (yield from self._context_steps())
        self._encrypted = False
        if attempt.deadline is not None:
            # One address that swallows everything must leave time for the others.
            now = time.monotonic()
            yield SetDeadline(now + (attempt.deadline - now) / attempt.addresses_left)
        sock = yield from open_steps(attempt.address, self._parameters)
        try:
            yield SetDeadline(attempt.deadline)
            tls = None
            if context is not None:
                tls = yield from self._tls_steps(sock, attempt, context)
            return (yield from self._start_steps(sock, attempt, tls))
        except BaseException:
            sock.close()
            raise

    def _context_steps(self) -> Steps[ssl.SSLContext]:
        tls = self._parameters.tls
        try:
            context: ssl.SSLContext = yield RunInThread(lambda: context_for(tls))
        except TlsError as error:
            # A mistake in the parameters is the same for every host, and no reason to go on in the clear.
            raise Refused(str(error)) from None
        return context

    def _tls_steps(
        self, sock: socket.socket, attempt: _Try, context: ssl.SSLContext
    ) -> Steps[TlsFilter | None]:
        self._encrypted = True  # what fails in here fails under TLS
        filter_ = yield from negotiate_steps(sock, self._parameters.tls, attempt.host, context)
        self._encrypted = filter_ is not None
        if filter_ is None and attempt.encryption == "tls":
            raise TlsError("the server does not support TLS, but TLS was required")
        return filter_

    def _start_steps(self, sock: socket.socket, attempt: _Try, tls: TlsFilter | None) -> Steps[Established]:
        size = self._statement_cache_size
        connection = native.Connection(
            sock.fileno(),
            tls,
            self._type_map,
            message_size_max=self._message_size_max,
            statement_cache_size=STATEMENTS if size is None else size,
            # Behind a pooler two connections can meet on one backend.
            statement_prefix=f"h{secrets.token_hex(5)}_",
        )
        began = time.monotonic()
        try:
            result = yield from startup_steps(connection, sock, self._parameters, attempt.host, tls)
            # More than one; calls that are alone on the connection show how much less it is.
            connection.round_trip_ns = round((time.monotonic() - began) * 1e9)
            yield from check_steps(connection, sock, attempt.wanted)
        except BaseException:
            connection.close()
            raise
        if size is None and not 0 < result.process_id <= PROCESS_ID_MAX:
            self._type_map.note_pooler()
        target = CancelTarget(
            self._parameters,
            attempt.host,
            attempt.address,
            tls is not None,
            result.process_id,
            result.secret_key,
        )
        return Established(connection, sock, attempt.host, tls, target, result.notices)


def _other_encryption_may_help(error: Exception) -> bool:
    if isinstance(error, ServerError):
        # Another kind of encryption may meet another line of pg_hba.conf.
        return not error.authenticated and (error.error.sqlstate or "").startswith("28")
    return isinstance(error, (ssl.SSLError, TlsError))


def _is_final(error: Exception) -> bool:
    """Whether the backend knows us and said no, or we said no to it: another host would end the same."""
    if isinstance(error, ServerError):
        sqlstate = error.error.sqlstate or ""
        return sqlstate[:2] in {"28", "3D"} or sqlstate == "42501"
    return isinstance(error, Refused)
