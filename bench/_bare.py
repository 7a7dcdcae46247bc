"""Bare sockets, the floor under every driver: they send a prepared statement's bytes and find ReadyForQuery.

Nothing is decoded while the clock runs: what a driver needs beyond this is its own cost. Before that,
`exchange` reads a reply message by message, so that nobody measures an error.
PostgreSQL docs: protocol-flow, "Extended Query"; protocol-message-formats.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final, NamedTuple, Self

from _place import Place

PROTOCOL_VERSION: Final = 3 << 16
READY: Final = b"Z\x00\x00\x00\x05"  # and one byte of transaction status
BUFFER_BYTES: Final = 256 * 1024
STATEMENT: Final = b"bench"


class BareError(Exception):
    """The server did not answer as a benchmark needs it."""


class Message(NamedTuple):
    """A backend message."""

    kind: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        """As it came."""
        return message(self.kind, self.body)


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Put type and length in front."""
    return kind + struct.pack("!i", len(body) + 4) + body


SYNC: Final = message(b"S")


def prepare(sql: str) -> bytes:
    """Parse and Describe, for the statement that `ask` runs; parameter types are the server's choice."""
    parse = STATEMENT + b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0)
    return message(b"P", parse) + message(b"D", b"S" + STATEMENT + b"\0") + SYNC


def ask(*parameters: int, describe: bool = False) -> bytes:
    """Bind, Execute, Sync in binary both ways, as a driver sends them for int4 parameters.

    Args:
        parameters: Their values.
        describe: Whether to Describe the portal in between, as libpq does.
    """
    values = b"".join(struct.pack("!ii", 4, value) for value in parameters)
    bind = b"\0" + STATEMENT + b"\0" + struct.pack("!hhh", 1, 1, len(parameters)) + values
    bind += struct.pack("!hh", 1, 1)
    portal = message(b"D", b"P\0") if describe else b""
    return message(b"B", bind) + portal + message(b"E", b"\0" + struct.pack("!i", 0)) + SYNC


class BareSocket:
    """A session on a blocking socket."""

    def __init__(self, place: Place) -> None:
        unix = isinstance(place.address, str)
        self.sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
        self._view = memoryview(bytearray(BUFFER_BYTES))
        try:
            self.sock.connect(place.address)
            if not unix:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            fields = f"user\0{place.user}\0database\0{place.database}\0client_encoding\0UTF8\0\0"
            startup = struct.pack("!i", PROTOCOL_VERSION) + fields.encode()
            self.greeting = self.exchange(struct.pack("!i", len(startup) + 4) + startup)
        except BaseException:
            self.sock.close()
            raise

    def exchange(self, outgoing: bytes, cycles: int = 1) -> list[Message]:
        """Send, and return every message until so many ReadyForQuery have come.

        Raises:
            BareError: One of them is an error, or asks for a password.
        """
        self.sock.sendall(outgoing)
        found = list(self._messages(cycles))
        for kind, body in found:
            if kind == b"E":
                raise BareError(body.replace(b"\0", b" ").decode(errors="replace"))
            if kind == b"R" and body != b"\0\0\0\0":
                raise BareError("bare sockets know no authentication: the server must trust them")
        return found

    def _messages(self, cycles: int) -> Iterator[Message]:
        with closing(self.sock.makefile("rb")) as stream:
            while cycles:
                head = stream.read(5)
                if len(head) < 5:
                    raise BareError("the server closed the connection")
                size = int.from_bytes(head[1:], "big") - 4
                found = Message(head[:1], stream.read(size))
                yield found
                cycles -= found.kind == b"Z"

    def ask(self, outgoing: bytes) -> None:
        """Send, and read until the reply ends in ReadyForQuery."""
        self.sock.sendall(outgoing)
        receive, view = self.sock.recv_into, self._view
        tail = b""
        while not tail.startswith(READY):
            size = receive(view)
            if size == 0:
                raise BareError("the server closed the connection")
            tail = (tail + bytes(view[max(0, size - 6) : size]))[-6:]

    def ask_several(self, outgoing: bytes, cycles: int) -> None:
        """Send, and read until so many ReadyForQuery have come; no row may hold the bytes of one."""
        self.sock.sendall(outgoing)
        receive, view = self.sock.recv_into, self._view
        tail = b""
        seen = 0
        while seen < cycles or not tail.startswith(READY):
            size = receive(view)
            if size == 0:
                raise BareError("the server closed the connection")
            data = bytes(view[:size])
            # One that came in two pieces is found once: its beginning was too short to be one.
            seen += (tail[-4:] + data).count(READY)
            tail = (tail + data)[-6:]

    def close(self) -> None:
        """Close without a word."""
        self.sock.close()

    def __enter__(self) -> Self:
        """Return the open session."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class LoopSocket(BareSocket):
    """A session on an event loop, by hand: one reader callback, one future per reply."""

    def __init__(self, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(place)
        self._loop = loop
        self._reply: asyncio.Future[None] | None = None

    def watch(self) -> None:
        """From now on the loop reads; `exchange` must not be called any more."""
        self.sock.setblocking(False)
        self._loop.add_reader(self.sock.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        data = self.sock.recv(BUFFER_BYTES)
        reply = self._reply
        if not data:
            self._loop.remove_reader(self.sock.fileno())
        if reply is None or reply.done():
            return
        if not data:
            reply.set_exception(BareError("the server closed the connection"))
        elif data[-6:-1] == READY:
            reply.set_result(None)

    async def ask_on_loop(self, outgoing: bytes) -> None:
        """Send, and wait for a reply; only for replies that come in one piece."""
        reply = self._reply = self._loop.create_future()
        if self.sock.send(outgoing) != len(outgoing):
            raise BareError("the socket did not take a short message")
        await reply

    def close(self) -> None:
        """Stop reading, and close."""
        self._loop.remove_reader(self.sock.fileno())
        super().close()


def rows_in(reply: Sequence[Message]) -> int:
    """Count the DataRows of a reply."""
    return sum(1 for kind, _ in reply if kind == b"D")
