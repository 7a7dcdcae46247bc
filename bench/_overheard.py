"""What our driver sends, overheard on its way to a server, so that a bare socket can send the very same.

Called by `pipeline.py`. The tap is a Unix socket of its own, and a thread that carries bytes both ways.
PostgreSQL docs: protocol-flow, "Start-up"; protocol-message-formats.
"""

import selectors
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from _bare import BUFFER_BYTES, PROTOCOL_VERSION, BareError, Message
from _place import Place

PORT: Final = 5432


class Tap:
    """One session's way to the server."""

    def __init__(self, place: Place, folder: str) -> None:
        self.url = f"postgresql://{place.user}@/{place.database}?host={folder}&port={PORT}"
        self.sent = bytearray()  # all that the frontend has sent
        self._place = place
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(Path(folder, f".s.PGSQL.{PORT}")))
        self._listener.listen()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        frontend, _ = self._listener.accept()
        unix = isinstance(self._place.address, str)
        backend = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
        with closing(frontend), closing(backend), selectors.DefaultSelector() as ready:
            backend.connect(self._place.address)
            ready.register(frontend, selectors.EVENT_READ, backend)
            ready.register(backend, selectors.EVENT_READ, frontend)
            while True:
                for key, _ in ready.select():
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    data = source.recv(BUFFER_BYTES)
                    if not data:
                        return
                    if source is frontend:
                        self.sent += data
                    target.sendall(data)

    def close(self) -> None:
        """Wait for the session's end; it must have been opened and closed."""
        self._thread.join(10)
        self._listener.close()


@contextmanager
def overhearing(place: Place) -> Iterator[Tap]:
    """Listen in on one session: the next that is opened at the URL of the tap."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder, closing(Tap(place, folder)) as tap:
        yield tap


def messages(sent: bytes) -> list[Message]:
    """Split what a frontend has sent; the start-up is left out."""
    at = 0
    # Requests for encryption come before the start-up message proper.
    while True:
        size, version = struct.unpack_from("!ii", sent, at)
        at += size
        if version >> 16 == PROTOCOL_VERSION >> 16:
            break
    found = []
    while at < len(sent):
        end = at + 1 + int.from_bytes(sent[at + 1 : at + 5], "big")
        found.append(Message(sent[at : at + 1], sent[at + 5 : end]))
        at = end
    return found


def parses_of(sent: bytes, sql: str) -> bytes:
    """Return the Parse messages of a text, raw."""
    return b"".join(
        found.raw
        for found in messages(sent)
        if found.kind == b"P" and found.body.split(b"\0")[1] == sql.encode()
    )


class Template:
    """Bytes that hold int4 values, to be sent with others in their places."""

    def __init__(self, sent: bytes, values: Sequence[int]) -> None:
        """Find the values.

        Raises:
            BareError: One of them is not there exactly once.
        """
        raw = [struct.pack("!i", value) for value in values]
        if any(sent.count(value) != 1 for value in raw):
            raise BareError("the values are not found where each should be, once")
        self._sent = sent
        self._places = [sent.index(value) for value in raw]

    def fill(self, values: Sequence[int]) -> bytes:
        """Put other values into the places of the first."""
        filled = bytearray(self._sent)
        for place, value in zip(self._places, values, strict=True):
            struct.pack_into("!i", filled, place, value)
        return bytes(filled)
