"""Addresses and sockets: a host's addresses, and a connected, non-blocking socket to one of them.

Called by `_connect`.
PostgreSQL docs: libpq-connect, "keepalives", "tcp_user_timeout", "requirepeer".
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperdjango.database._steps import Resolve, Sleep, Steps, WaitWritable
from hyperdjango.database.errors import ConnectionFailed

if TYPE_CHECKING:
    from hyperdjango.database._parameters import ConnectParameters, Host, TcpParameters


class Refused(ConnectionFailed):
    """We end it, not the backend: it asks for what the parameters forbid, or fails to prove who it is."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket connects to, as the socket module wants it."""

    family: int
    socket_address: Any

    @property
    def text(self) -> str:
        """The address for people, without its port."""
        return (
            str(self.socket_address) if isinstance(self.socket_address, str) else str(self.socket_address[0])
        )


def resolve_steps(host: Host) -> Steps[list[Address]]:
    """Return the addresses of a host, in the system's order.

    Raises:
        OSError: There are none.
        UnicodeError: The name cannot be one.
    """
    if host.is_unix:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix sockets")
        return [Address(socket.AF_UNIX, host.socket_path)]
    wanted = host.address or host.name
    found = _numeric(wanted, host.port)
    if not found:
        if host.address is not None:
            raise OSError("hostaddr must be an address, not a name")
        found = yield Resolve(wanted, host.port)
    addresses = list(dict.fromkeys(Address(family, address) for family, address in found))
    if not addresses:
        raise OSError("the name has no address")
    return addresses


def _numeric(text: str, port: int) -> list[tuple[int, Any]]:
    """Return the address that `text` is already, if it is one."""
    try:
        found = socket.getaddrinfo(text, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [(family, address) for family, _, _, _, address in found]


def open_steps(address: Address, parameters: ConnectParameters) -> Steps[socket.socket]:
    """Return a connected, non-blocking socket that no child process inherits.

    Raises:
        OSError: It could not be connected.
        Refused: Another user than `requirepeer` names listens at the Unix socket.
    """
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if address.family in {socket.AF_INET, socket.AF_INET6}:
            _set_tcp_options(sock, parameters.tcp)
        yield from _connect_steps(sock, address)
        if parameters.require_peer is not None and address.family not in {socket.AF_INET, socket.AF_INET6}:
            _check_peer(sock, parameters.require_peer)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_steps(sock: socket.socket, address: Address) -> Steps[None]:
    pause = 0.001
    while True:
        code = sock.connect_ex(address.socket_address)
        if code in {0, errno.EISCONN}:
            return
        if code in {errno.EINPROGRESS, errno.EALREADY, getattr(errno, "WSAEWOULDBLOCK", -1)}:
            yield WaitWritable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            return
        if code == errno.EAGAIN:
            # A Unix socket whose backlog is full: nothing to wait on but time.
            yield Sleep(pause)
            pause = min(2 * pause, 0.1)
        elif code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def _set_tcp_options(sock: socket.socket, tcp: TcpParameters) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(tcp.keepalives))
    numbers: list[tuple[str, int | None]] = [("TCP_USER_TIMEOUT", tcp.user_timeout_ms)]
    if tcp.keepalives:
        numbers += [
            ("TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE", tcp.idle),
            ("TCP_KEEPINTVL", tcp.interval),
            ("TCP_KEEPCNT", tcp.count),
        ]
    for name, value in numbers:
        option = getattr(socket, name, None)  # not every system has every one
        if option is not None and value is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _check_peer(sock: socket.socket, name: str) -> None:
    import pwd  # noqa: PLC0415 - not on every system, and neither are Unix sockets

    if not hasattr(socket, "SO_PEERCRED"):
        raise Refused("requirepeer is not supported on this system")
    _, user_id, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        found = pwd.getpwuid(user_id).pw_name
    except KeyError:
        found = str(user_id)
    if found != name:
        raise Refused(f"requirepeer asks for {name!r}, but the server runs as {found!r}")
