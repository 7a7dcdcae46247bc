"""TLS on a connection: how it is negotiated, and the filter that a native Connection reads through.

OpenSSL through Python's `ssl`, over memory buffers: our own socket, non-blocking, carries the bytes.
PostgreSQL docs: libpq-ssl; protocol-flow, "SSL Session Encryption".
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Final, cast

from hyperdjango.database._steps import Steps, WaitReadable, WaitWritable

if TYPE_CHECKING:
    from hyperdjango.database._parameters import Host, TlsParameters

SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)
_CHUNK: Final = 256 * 1024


class TlsError(OSError):
    """TLS could not be had as it was asked for; the message says why and shows nothing of the peer's text."""


class TlsFilter:
    """What stands between a Connection and its socket. Never blocks.

    `read`, `write` and `flush` are what the native side calls: see `Filter` in the extension's stub.
    """

    __slots__ = ("_ended", "_incoming", "_object", "_outgoing", "_pending", "_sock")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._pending = memoryview(b"")
        self._ended = False

    def read(self) -> bytes | None:
        """Return what has been decrypted, b"" at the end of the stream, None when nothing is there yet."""
        while True:
            try:
                return self._object.read(_CHUNK)
            except ssl.SSLWantReadError:
                self.flush()  # an answer that TLS itself owes, as to a key update
                if not self._fill():
                    return None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def write(self, data: bytes) -> None:
        """Take all of `data`; `flush` sends it."""
        view = memoryview(data)
        while view:
            view = view[self._object.write(view) :]

    def flush(self) -> bool:
        """Send what waits. True when nothing is left."""
        while True:
            if not self._pending:
                self._pending = memoryview(self._outgoing.read(_CHUNK))
                if not self._pending:
                    return True
            try:
                self._pending = self._pending[self._sock.send(self._pending) :]
            except (BlockingIOError, InterruptedError):
                return False

    def _fill(self) -> bool:
        """Receive once. False when nothing has come yet; the end of the stream is something."""
        if self._ended:
            return True
        try:
            data = self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        if data:
            self._incoming.write(data)
        else:
            self._ended = True
            self._incoming.write_eof()
        return True

    def handshake_steps(self) -> Steps[None]:
        """Shake hands.

        Raises:
            ssl.SSLError: The peer cannot be agreed with or is not trusted.
        """
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                yield from self._flush_steps()
                if not self._fill():
                    yield WaitReadable(self._sock)
            except ssl.SSLError:
                self.flush()  # the alert that tells the peer, as far as it goes at once
                raise
            else:
                yield from self._flush_steps()
                return

    def _flush_steps(self) -> Steps[None]:
        while not self.flush():
            yield WaitWritable(self._sock)

    def peer_certificate(self) -> bytes | None:
        """Return the backend's certificate in DER."""
        return self._object.getpeercert(binary_form=True)

    def peer_names(self) -> dict[str, object]:
        """Return the names in the backend's certificate; empty where it was not verified."""
        return dict(self._object.getpeercert() or {})

    @property
    def application_protocol(self) -> str | None:
        """What ALPN chose."""
        return self._object.selected_alpn_protocol()

    @property
    def version(self) -> str | None:
        """`TLSv1.3` and the like."""
        return self._object.version()


def negotiate_steps(
    sock: socket.socket, tls: TlsParameters, host: Host, context: ssl.SSLContext
) -> Steps[TlsFilter | None]:
    """Ask for TLS and shake hands; None when the backend has none.

    Raises:
        OSError: The connection ended, the answer is none, or the handshake failed.
    """
    if tls.negotiation == "postgres":
        yield from _send_steps(sock, SSL_REQUEST)
        answer = yield from _answer_steps(sock)
        if answer == b"N":
            return None
        if answer == b"E":
            # An error's text would come in the clear, from anyone: it is not read.
            raise TlsError("the server answered the request for TLS with an error")
        if answer != b"S":
            raise TlsError("the server gave an invalid answer to the request for TLS")
    filter_ = TlsFilter(sock, context, _server_hostname(tls, host, context))
    yield from filter_.handshake_steps()
    if tls.negotiation == "direct" and filter_.application_protocol != "postgresql":
        raise TlsError("the server did not agree to the postgresql protocol in direct TLS negotiation (ALPN)")
    if tls.mode == "verify-full" and tls.context is None and not tls.server_name:
        _check_names(filter_.peer_names(), _name_to_verify(host))
    return filter_


def _send_steps(sock: socket.socket, data: bytes) -> Steps[None]:
    while data:
        try:
            data = data[sock.send(data) :]
        except (BlockingIOError, InterruptedError):
            yield WaitWritable(sock)


def _answer_steps(sock: socket.socket) -> Steps[bytes]:
    """Read exactly one byte, and make sure that nobody put plaintext behind it."""
    while True:
        try:
            answer = sock.recv(1)
        except (BlockingIOError, InterruptedError):
            yield WaitReadable(sock)
            continue
        if not answer:
            raise ConnectionResetError("the server closed the connection during the request for TLS")
        break
    if answer == b"S":
        try:
            # The backend speaks again only after our ClientHello.
            injected = bool(sock.recv(1, socket.MSG_PEEK))
        except (BlockingIOError, InterruptedError):
            injected = False
        if injected:
            raise TlsError("received unencrypted data after the answer to the request for TLS")
    return answer


def _name_to_verify(host: Host) -> str:
    if not host.name:
        raise TlsError("sslmode=verify-full needs a host name to compare with the certificate")
    return host.name


def _server_hostname(tls: TlsParameters, host: Host, context: ssl.SSLContext) -> str | None:
    """Return the name that is sent (SNI) and, where the context says so, verified."""
    if context.check_hostname:
        return _name_to_verify(host)
    return host.name or None if tls.server_name and not _is_address(host.name) else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _check_names(certificate: dict[str, object], name: str) -> None:
    """Compare a verified certificate's names with `name`, for when OpenSSL must not be told it (sslsni=0)."""
    entries = cast("tuple[tuple[str, str], ...]", certificate.get("subjectAltName", ()))
    wanted = name.rstrip(".").lower()
    if _is_address(name):
        address = ipaddress.ip_address(name.partition("%")[0])
        if any(
            kind == "IP Address" and ipaddress.ip_address(text.strip()) == address for kind, text in entries
        ):
            return
    elif any(kind == "DNS" and _dns_matches(text.lower(), wanted) for kind, text in entries):
        return
    raise TlsError(f"the server's certificate is not made out to {name!r}")


def _dns_matches(pattern: str, name: str) -> bool:
    """RFC 6125: a wildcard stands for one whole label, the leftmost."""
    if not pattern.startswith("*."):
        return pattern == name
    label, dot, rest = name.partition(".")
    return bool(label and dot) and rest == pattern[2:] and "." in rest
