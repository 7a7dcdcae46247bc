"""CancelRequest: asking the backend, over a connection of its own, to give up what another one is doing.

Called by the faces when a statement is cancelled or its time is up.
PostgreSQL docs: protocol-flow, "Canceling Requests in Progress".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyperdjango.database._socket import open_steps
from hyperdjango.database._steps import RunInThread, Steps, WaitReadable, WaitWritable
from hyperdjango.database._tls import TlsError, TlsFilter, negotiate_steps
from hyperdjango.database._tls_context import context_for

if TYPE_CHECKING:
    import socket

    from hyperdjango.database._parameters import ConnectParameters, Host
    from hyperdjango.database._socket import Address


@dataclass(frozen=True, slots=True, repr=False)
class CancelTarget:
    """Where a CancelRequest for one connection goes, and the key that it must carry."""

    parameters: ConnectParameters
    host: Host
    address: Address
    encrypted: bool
    process_id: int
    secret_key: bytes


def cancel_steps(target: CancelTarget) -> Steps[None]:
    """Send a CancelRequest and wait until the backend has dealt with it: until it closes the connection.

    Goes to the address of the connection it is for, under TLS where that one is.

    Raises:
        OSError: It could not be delivered.
    """
    parameters = target.parameters
    sock = yield from open_steps(target.address, parameters)
    try:
        request = (
            struct.pack("!IIi", 12 + len(target.secret_key), 80877102, target.process_id) + target.secret_key
        )
        if target.encrypted:
            context = yield RunInThread(lambda: context_for(parameters.tls))
            tls = yield from negotiate_steps(sock, parameters.tls, target.host, context)
            if tls is None:
                raise TlsError("the server does not support TLS any more; the cancel request was not sent")
            yield from _cancel_encrypted_steps(sock, tls, request)
        else:
            yield from _cancel_plain_steps(sock, request)
    finally:
        sock.close()


def _cancel_encrypted_steps(sock: socket.socket, tls: TlsFilter, request: bytes) -> Steps[None]:
    tls.write(request)
    while not tls.flush():
        yield WaitWritable(sock)
    while True:
        try:
            data = tls.read()
        except ConnectionResetError:
            return
        if data is None:
            yield WaitReadable(sock)
        elif not data:
            return


def _cancel_plain_steps(sock: socket.socket, request: bytes) -> Steps[None]:
    while request:
        try:
            request = request[sock.send(request) :]
        except (BlockingIOError, InterruptedError):
            yield WaitWritable(sock)
    while True:
        try:
            if not sock.recv(256):
                return
        except (BlockingIOError, InterruptedError):
            yield WaitReadable(sock)
        except (
            ConnectionResetError
        ):  # the backend closed with something of ours unread: it has seen the request
            return
