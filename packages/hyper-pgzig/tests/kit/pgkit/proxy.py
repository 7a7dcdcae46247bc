"""A TCP proxy that makes a good line bad: slow, chopped, frozen, cut; and counts round trips.

The attributes of `Proxy` may be changed while it runs; they take effect on the connections it already has.
Inside TLS it sees bytes, not messages: cancel requests are then not recognised.
"""

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pgkit.frontend import CANCEL_REQUEST_CODE

Direction = Literal["to_backend", "to_frontend"]
Ending = Literal["eof", "reset"]
QUEUE_SIZE_MAX: Final = 1 << 20
READ_SIZE: Final = 1 << 16


class _Pipe:
    """One direction of one connection: bytes that wait for their time, then for room in the target."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.waiting: deque[tuple[float, memoryview]] = deque()
        self.size = 0
        self.forwarded = 0
        self.at_eof = False
        self.finished = False


class Link:
    """One connection through the proxy, and what was counted on it.

    Attributes:
        cut_after: As the proxy's, for this connection alone; the smaller of the two counts.
    """

    def __init__(self, proxy: "Proxy", frontend: socket.socket) -> None:
        self._proxy = proxy
        self._frontend = frontend
        self._backend: socket.socket | None = None
        self._wake_source, self._wake_target = socket.socketpair()
        self._wake_target.setblocking(False)
        self._ended: Ending | None = None
        self._flight_from_frontend = False
        self.round_trips = 0
        self.bytes_to_backend = 0
        self.bytes_to_frontend = 0
        self.is_cancel_request = False
        self.cut_after: dict[Direction, int | None] = {"to_backend": None, "to_frontend": None}
        self.thread = threading.Thread(target=self._run, name="pgkit-proxy-link", daemon=True)

    def cut(self, how: Ending = "eof") -> None:
        """End this connection now, on both sides."""
        self._ended = self._ended or how
        self.wake()

    def bytes_so_far(self, direction: Direction) -> int:
        """How many bytes came from the other side for this direction."""
        return self.bytes_to_backend if direction == "to_backend" else self.bytes_to_frontend

    def cut_in(self, direction: Direction, count: int) -> None:
        """End this connection once so many more bytes went through; with 0, when the next one comes.

        To be called while nothing is on its way.
        """
        self.cut_after[direction] = self.bytes_so_far(direction) + count

    def wake(self) -> None:
        """Make the link look at the proxy's attributes again."""
        with contextlib.suppress(OSError):
            self._wake_source.send(b"!")

    def _run(self) -> None:
        try:
            if self._open():
                self._pump()
        except OSError:
            self._ended = "reset"  # either side went away: the other one learns it from the close below
        finally:
            self._close()

    def _open(self) -> bool:
        """Read the first eight bytes, which tell a CancelRequest, then call the backend."""
        self._frontend.settimeout(10)
        head = b""
        while len(head) < 8:
            data = self._frontend.recv(8 - len(head))
            if not data:
                return False
            head += data
        code = struct.unpack_from("!i", head, 4)[0]
        self.is_cancel_request = code == CANCEL_REQUEST_CODE
        if self.is_cancel_request and self._proxy.drop_cancel_requests:
            self._proxy.cancel_requests_dropped += 1
            return False
        if self.is_cancel_request:
            time.sleep(self._proxy.cancel_delay)
        self._backend = self._proxy.connect_upstream()
        self._backend.sendall(head)
        self.bytes_to_backend = len(head)
        self._flight_from_frontend = True
        return True

    def _pump(self) -> None:
        assert self._backend is not None
        self._frontend.setblocking(False)
        self._backend.setblocking(False)
        up, down = _Pipe(self._frontend, self._backend), _Pipe(self._backend, self._frontend)
        up.forwarded = self.bytes_to_backend
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_target, selectors.EVENT_READ)
            while self._ended is None and not (up.finished and down.finished):
                self._select(selector, up, down)
                if not self._proxy.frozen:
                    self._move(up, "to_backend")
                    self._move(down, "to_frontend")

    def _select(self, selector: selectors.BaseSelector, up: _Pipe, down: _Pipe) -> None:
        """Wait until one of the two pipes can do something, or somebody wakes us."""
        timeout: float | None = None
        for sock, incoming, outgoing in ((self._frontend, up, down), (self._backend, down, up)):
            assert sock is not None
            events = 0
            if not self._proxy.frozen:
                if not incoming.at_eof and incoming.size < QUEUE_SIZE_MAX:
                    events |= selectors.EVENT_READ
                if outgoing.waiting:
                    due = outgoing.waiting[0][0] - time.monotonic()
                    if due <= 0:
                        events |= selectors.EVENT_WRITE
                    else:
                        timeout = due if timeout is None else min(timeout, due)
            known = selector.get_map().get(sock)
            if known is not None and not events:
                selector.unregister(sock)
            elif known is None and events:
                selector.register(sock, events)
            elif known is not None and known.events != events:
                selector.modify(sock, events)
        for key, _ in selector.select(timeout):
            if key.fileobj is self._wake_target:
                self._wake_target.recv(READ_SIZE)

    def _move(self, pipe: _Pipe, direction: Direction) -> None:
        if not pipe.at_eof and pipe.size < QUEUE_SIZE_MAX:
            with contextlib.suppress(BlockingIOError):
                data = pipe.source.recv(READ_SIZE)
                if data:
                    self._count(direction, len(data))
                    pipe.waiting.append((time.monotonic() + self._proxy.delay, memoryview(data)))
                    pipe.size += len(data)
                else:
                    pipe.at_eof = True
        while pipe.waiting and pipe.waiting[0][0] <= time.monotonic():
            due, data_view = pipe.waiting[0]
            sent = self._write(pipe, data_view, direction)
            if sent == 0:
                return
            pipe.size -= sent
            if sent == len(data_view):
                pipe.waiting.popleft()
            else:
                pipe.waiting[0] = (due, data_view[sent:])
        if pipe.at_eof and not pipe.waiting and not pipe.finished:
            pipe.finished = True
            with contextlib.suppress(OSError):
                pipe.target.shutdown(socket.SHUT_WR)

    def _write(self, pipe: _Pipe, data: memoryview, direction: Direction) -> int:
        """Write what the proxy's limits allow; 0 when the target is full or the connection was cut."""
        size = len(data) if self._proxy.chunk_size is None else min(self._proxy.chunk_size, len(data))
        limits = (self.cut_after[direction], self._proxy.cut_after[direction])
        limit = min((each for each in limits if each is not None), default=None)
        if limit is not None:
            size = min(size, limit - pipe.forwarded)
        sent = 0
        if size > 0:
            try:
                sent = pipe.target.send(data[:size])
            except BlockingIOError:
                return 0
            pipe.forwarded += sent
        if limit is not None and pipe.forwarded >= limit:
            self._ended = self._proxy.cut_with
            return 0
        if self._proxy.chunk_size is not None:
            time.sleep(0.0001)  # lets the receiver wake up for this chunk
        return sent

    def _count(self, direction: Direction, size: int) -> None:
        if direction == "to_backend":
            self.bytes_to_backend += size
            self._flight_from_frontend = True
        else:
            self.bytes_to_frontend += size
            if self._flight_from_frontend:
                self.round_trips += 1
            self._flight_from_frontend = False

    def _close(self) -> None:
        for sock in (self._frontend, self._backend):
            if sock is None:
                continue
            if self._ended == "reset":
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
            sock.close()
        self._wake_source.close()
        self._wake_target.close()


class Proxy:
    """Listens on 127.0.0.1 and passes on to `upstream`; use it as a context manager.

    Args:
        upstream: Host and port, or the path of a Unix socket.

    Attributes:
        delay: Seconds every byte waits, in each direction.
        chunk_size: Write at most so many bytes at once; 1 dribbles.
        cut_after: Per direction, cut a connection once so many bytes of it went through.
        cut_with: `eof` or `reset`.
        cancel_delay: Seconds a CancelRequest waits before the backend is called.
        drop_cancel_requests: Swallow CancelRequests, as a firewall would.
        refuse: Close new connections at once.
    """

    def __init__(self, upstream: tuple[str, int] | str) -> None:
        self._upstream = upstream
        self.delay = 0.0
        self.chunk_size: int | None = None
        self.cut_after: dict[Direction, int | None] = {"to_backend": None, "to_frontend": None}
        self.cut_with: Ending = "eof"
        self.cancel_delay = 0.0
        self.drop_cancel_requests = False
        self.cancel_requests_dropped = 0
        self.refuse = False
        self.frozen = False
        self.links: list[Link] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host: str
        self.port: int
        self.host, self.port = self._listener.getsockname()[:2]
        self._acceptor = threading.Thread(target=self._accept, name="pgkit-proxy", daemon=True)

    @property
    def round_trips(self) -> int:
        """Frontend flights that were followed by a backend flight, over all connections.

        Read it before and after; two flights that the network joins into one count once.
        """
        return sum(link.round_trips for link in self.links)

    @property
    def last_session(self) -> Link:
        """The newest connection that is no CancelRequest."""
        return next(link for link in reversed(self.links) if not link.is_cancel_request)

    def url(self, url: str) -> str:
        """Return the URL of a server with this proxy in its place; without TLS, which would blind it."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}@{self.host}:{self.port}", query="sslmode=disable"))

    @classmethod
    def before(cls, url: str) -> Self:
        """Make a proxy for the server of this URL."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        return cls((parts.hostname, parts.port or 5432))

    def freeze(self) -> None:
        """Pass nothing on any more, keep all connections open: a host that hangs, a cable that is out."""
        self.frozen = True
        self._wake_all()

    def thaw(self) -> None:
        """Undo `freeze`; what has piled up goes out."""
        self.frozen = False
        self._wake_all()

    def cut(self, how: Ending = "eof") -> None:
        """End every connection now."""
        for link in self.links:
            link.cut(how)

    def connect_upstream(self) -> socket.socket:
        """Open one connection to the real backend."""
        if isinstance(self._upstream, str):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self._upstream)
            return sock
        sock = socket.create_connection(self._upstream, timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # close() alone does not wake a thread inside accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        self.cut()
        for link in self.links:
            link.thread.join(12)

    def _wake_all(self) -> None:
        for link in self.links:
            link.wake()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                sock.close()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, sock)
            self.links.append(link)
            link.thread.start()
