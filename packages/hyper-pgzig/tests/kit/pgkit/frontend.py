"""Frontend messages: bytes to values, and each value as one readable line of a trace.

The parser is strict where a driver must be: a length that does not match its body is an error of the test.
PostgreSQL docs: protocol-message-formats, the messages marked (F).
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final

CANCEL_REQUEST_CODE: Final = 80877102
SSL_REQUEST_CODE: Final = 80877103
GSSENC_REQUEST_CODE: Final = 80877104


class FrontendMessageError(Exception):
    """The frontend sent bytes that the manual does not allow."""


@dataclass(frozen=True, slots=True)
class FrontendMessage:
    """What all frontend messages have in common: the line they make in a trace."""

    def __str__(self) -> str:
        parts = [f"{field.name}={getattr(self, field.name)!r}" for field in fields(self)]
        return " ".join(["F", type(self).__name__, *parts])


@dataclass(frozen=True, slots=True)
class StartupMessage(FrontendMessage):
    """Opens a session."""

    version: tuple[int, int]
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class SSLRequest(FrontendMessage):
    """Asks for TLS."""


@dataclass(frozen=True, slots=True)
class GSSENCRequest(FrontendMessage):
    """Asks for GSSAPI encryption."""


@dataclass(frozen=True, slots=True)
class CancelRequest(FrontendMessage):
    """Asks to cancel what another session runs."""

    process_id: int
    secret_key: bytes


@dataclass(frozen=True, slots=True)
class AuthenticationResponse(FrontendMessage):
    """PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse: only the context tells which."""

    data: bytes

    def password(self) -> bytes:
        """Read it as PasswordMessage."""
        if not self.data.endswith(b"\0") or b"\0" in self.data[:-1]:
            raise FrontendMessageError(f"not a PasswordMessage: {self.data!r}")
        return self.data[:-1]

    def sasl_initial(self) -> tuple[str, bytes]:
        """Read it as SASLInitialResponse: the mechanism and the initial response."""
        reader = _Reader(self.data)
        mechanism = reader.cstring()
        initial = reader.value()
        reader.end()
        if initial is None:
            raise FrontendMessageError("SASLInitialResponse without an initial response")
        return mechanism, initial


@dataclass(frozen=True, slots=True)
class Parse(FrontendMessage):
    """Prepares a statement."""

    statement: str
    sql: str
    type_oids: list[int]


@dataclass(frozen=True, slots=True)
class Bind(FrontendMessage):
    """Makes a portal of a prepared statement and values."""

    portal: str
    statement: str
    formats: list[int]
    values: list[bytes | None]
    result_formats: list[int]


@dataclass(frozen=True, slots=True)
class Describe(FrontendMessage):
    """Asks for the shape of a statement (S) or a portal (P)."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Execute(FrontendMessage):
    """Runs a portal."""

    portal: str
    max_rows: int


@dataclass(frozen=True, slots=True)
class Close(FrontendMessage):
    """Closes a statement (S) or a portal (P)."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Sync(FrontendMessage):
    """Ends an extended query cycle."""


@dataclass(frozen=True, slots=True)
class Flush(FrontendMessage):
    """Asks for what is ready."""


@dataclass(frozen=True, slots=True)
class Query(FrontendMessage):
    """A simple query."""

    sql: str


@dataclass(frozen=True, slots=True)
class CopyData(FrontendMessage):
    """A piece of a COPY stream."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CopyDone(FrontendMessage):
    """The COPY stream is over."""


@dataclass(frozen=True, slots=True)
class CopyFail(FrontendMessage):
    """The frontend gives the COPY up."""

    reason: str


@dataclass(frozen=True, slots=True)
class FunctionCall(FrontendMessage):
    """The fast path; kept whole."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Terminate(FrontendMessage):
    """Ends the session."""


class _Reader:
    """Reads one body from front to back; every shortage is an error."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, size: int) -> bytes:
        if size < 0 or self._at + size > len(self._body):
            raise FrontendMessageError(f"{size} bytes wanted at {self._at} of {self._body!r}")
        self._at += size
        return self._body[self._at - size : self._at]

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._at)

    def int16(self) -> int:
        return int(struct.unpack("!H", self.take(2))[0])

    def int32(self) -> int:
        return int(struct.unpack("!i", self.take(4))[0])

    def uint32(self) -> int:
        return int(struct.unpack("!I", self.take(4))[0])

    def cstring(self) -> str:
        end = self._body.find(b"\0", self._at)
        if end < 0:
            raise FrontendMessageError(f"no end of string at {self._at} of {self._body!r}")
        return self.take(end + 1 - self._at)[:-1].decode()

    def value(self) -> bytes | None:
        size = self.int32()
        return None if size == -1 else self.take(size)

    def end(self) -> None:
        if self._at != len(self._body):
            raise FrontendMessageError(f"{len(self._body) - self._at} bytes too many: {self._body!r}")


def _parse(reader: _Reader) -> Parse:
    return Parse(reader.cstring(), reader.cstring(), [reader.uint32() for _ in range(reader.int16())])


def _bind(reader: _Reader) -> Bind:
    return Bind(
        reader.cstring(),
        reader.cstring(),
        [reader.int16() for _ in range(reader.int16())],
        [reader.value() for _ in range(reader.int16())],
        [reader.int16() for _ in range(reader.int16())],
    )


_DECODERS: Final[Mapping[bytes, Callable[[_Reader], FrontendMessage]]] = {
    b"p": lambda reader: AuthenticationResponse(reader.rest()),
    b"P": _parse,
    b"B": _bind,
    b"D": lambda reader: Describe(reader.take(1).decode(), reader.cstring()),
    b"E": lambda reader: Execute(reader.cstring(), reader.int32()),
    b"C": lambda reader: Close(reader.take(1).decode(), reader.cstring()),
    b"S": lambda _: Sync(),
    b"H": lambda _: Flush(),
    b"Q": lambda reader: Query(reader.cstring()),
    b"d": lambda reader: CopyData(reader.rest()),
    b"c": lambda _: CopyDone(),
    b"f": lambda reader: CopyFail(reader.cstring()),
    b"F": lambda reader: FunctionCall(reader.rest()),
    b"X": lambda _: Terminate(),
}


def _decode_untyped(body: bytes) -> FrontendMessage:
    """Decode what comes before the session has a startup message: no type byte yet."""
    reader = _Reader(body)
    code = reader.int32()
    if code in {SSL_REQUEST_CODE, GSSENC_REQUEST_CODE}:
        reader.end()
        return SSLRequest() if code == SSL_REQUEST_CODE else GSSENCRequest()
    if code == CANCEL_REQUEST_CODE:
        return CancelRequest(reader.int32(), reader.rest())
    parameters: dict[str, str] = {}
    while name := reader.cstring():
        parameters[name] = reader.cstring()
    reader.end()
    return StartupMessage((code >> 16, code & 0xFFFF), parameters)


class FrontendParser:
    """Cuts a frontend's byte stream into messages, from its very first byte."""

    def __init__(self) -> None:
        self._buffer = b""
        self._started = False

    @property
    def pending(self) -> bytes:
        """Bytes of a message that is not whole yet."""
        return self._buffer

    def feed(self, data: bytes) -> list[FrontendMessage]:
        """Take more bytes and return the messages they complete.

        Raises:
            FrontendMessageError: A length or a body is wrong.
        """
        self._buffer += data
        found: list[FrontendMessage] = []
        while (one := self._next()) is not None:
            found.append(one)
        return found

    def _next(self) -> FrontendMessage | None:
        head = 1 if self._started else 0
        if len(self._buffer) < head + 4:
            return None
        (length,) = struct.unpack_from("!i", self._buffer, head)
        if length < 4:
            raise FrontendMessageError(f"length {length}")
        if len(self._buffer) < head + length:
            return None
        tag, body = self._buffer[:head], self._buffer[head + 4 : head + length]
        self._buffer = self._buffer[head + length :]
        if not self._started:
            untyped = _decode_untyped(body)
            self._started = isinstance(untyped, StartupMessage)
            return untyped
        decoder = _DECODERS.get(tag)
        if decoder is None:
            raise FrontendMessageError(f"unknown message type {tag!r}")
        reader = _Reader(body)
        decoded = decoder(reader)
        reader.end()
        return decoded
