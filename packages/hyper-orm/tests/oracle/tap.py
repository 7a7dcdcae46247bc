"""A relay before a server that keeps what the frontend sends, cut into its messages."""

import socket
import threading
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

NEGOTIATIONS: Final = {80877103, 80877104}  # SSLRequest, GSSENCRequest
LENGTH: Final = 4


class Tap:
    """Listens on a port of its own.

    Attributes:
        messages: Type and body of each message, in the order in which they came; start-up's have no type.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        user = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self._listener.getsockname()[1]}"))
        self.messages: list[tuple[bytes, bytes]] = []
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            one.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                frontend, _ = self._listener.accept()
            except OSError:
                return
            backend = socket.create_connection(self._target)
            self._open += [frontend, backend]
            for source, target, is_kept in ((frontend, backend, True), (backend, frontend, False)):
                thread = threading.Thread(target=self._relay, args=(source, target, is_kept), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _relay(self, source: socket.socket, target: socket.socket, is_kept: bool) -> None:
        cutter = Cutter(self.messages)
        while True:
            try:
                data = source.recv(1 << 16)
                if is_kept:
                    cutter.feed(data)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                return  # an end is gone: the test is over


class Cutter:
    """Cuts a frontend's bytes into messages."""

    def __init__(self, messages: list[tuple[bytes, bytes]]) -> None:
        self._messages = messages
        self._rest = b""
        self._is_started = False

    def feed(self, data: bytes) -> None:
        self._rest += data
        while True:
            head = 1 if self._is_started else 0
            if len(self._rest) < head + LENGTH:
                return
            size = head + int.from_bytes(self._rest[head : head + LENGTH], "big")
            if len(self._rest) < size:
                return
            kind, body = self._rest[:head], self._rest[head + LENGTH : size]
            self._rest = self._rest[size:]
            if not head and int.from_bytes(body[:LENGTH], "big") not in NEGOTIATIONS:
                self._is_started = True
            self._messages.append((kind, body))
