"""A backend that follows a script: for behaviour that a real server hardly ever shows.

A script is a sequence of steps, a step a callable that is handed the `Conversation` (see steps.py). The
backend listens on 127.0.0.1 or on a Unix socket and runs each connection's script in a thread of its own.
What goes wrong there is raised in the test, at the end of its `with` block.
"""

import contextlib
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlencode

from pgkit import messages
from pgkit.frontend import CancelRequest, FrontendMessage, FrontendMessageError, FrontendParser

M = TypeVar("M", bound=FrontendMessage)


class ScriptFailure(AssertionError):  # noqa: N818 - a failed test, as pytest has it
    """The frontend did not do what the script says."""


class FrontendLeft(ScriptFailure):
    """The frontend closed the connection in the middle of the script."""


class EndOfScript(Exception):  # noqa: N818 - not an error
    """Raised by a step: nothing of this script remains to be done."""


class Conversation:
    """One connection of a `ScriptedBackend`: what a step works with."""

    def __init__(
        self, sock: socket.socket, *, index: int, timeout: float, dribble: bool, cut_after: int | None
    ) -> None:
        sock.settimeout(timeout)
        self.index = index
        self.received: list[FrontendMessage] = []
        self.trace: list[str] = []
        self.bytes_sent = 0
        self.closed_by_frontend = False
        self.dribble = dribble
        self._cut_after = cut_after
        self._timeout = timeout
        self._socket = sock
        self._parser = FrontendParser()
        self._queue: list[FrontendMessage] = []

    def receive(self) -> FrontendMessage | None:
        """Return the next frontend message, or None when the frontend has closed its side.

        Raises:
            ScriptFailure: Nothing came in time, or the bytes are no message.
        """
        while not self._queue:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise ScriptFailure(f"nothing from the frontend for {self._timeout} s") from None
            except ConnectionError:
                data = b""
            if not data:
                self.closed_by_frontend = True
                if self._parser.pending:
                    raise ScriptFailure(f"the frontend left inside a message: {self._parser.pending!r}")
                return None
            try:
                self._queue = self._parser.feed(data)
            except FrontendMessageError as error:
                raise ScriptFailure(f"malformed frontend message: {error}") from error
        one = self._queue.pop(0)
        self.received.append(one)
        self.trace.append(str(one))
        return one

    def expect(self, kind: type[M]) -> M:
        """Return the next message, which must be a `kind`.

        Raises:
            ScriptFailure: It is another one, or none came.
            FrontendLeft: The frontend closed the connection.
        """
        one = self.receive()
        if one is None:
            raise FrontendLeft(f"the frontend left; the script expects {kind.__name__}")
        if not isinstance(one, kind):
            raise ScriptFailure(f"the script expects {kind.__name__}, the frontend sent {one}")
        return one

    def send(self, data: bytes) -> None:
        """Send bytes: at once, or one by one when the conversation dribbles.

        Raises:
            FrontendLeft: The frontend has closed the connection.
            EndOfScript: The conversation's `cut_after` is reached.
        """
        allowed = len(data) if self._cut_after is None else max(0, self._cut_after - self.bytes_sent)
        piece = data[:allowed]
        self._note(piece)
        try:
            if self.dribble:
                for i in range(len(piece)):
                    self._socket.sendall(piece[i : i + 1])
                    time.sleep(0.0001)  # lets the frontend wake up for this one byte
            else:
                self._socket.sendall(piece)
        except ConnectionError as error:
            self.closed_by_frontend = True
            raise FrontendLeft("the frontend left while the script was sending") from error
        self.bytes_sent += len(piece)
        if self._cut_after is not None and self.bytes_sent >= self._cut_after:
            raise EndOfScript

    def _note(self, data: bytes) -> None:
        try:
            self.trace += messages.trace(data)
        except ValueError:
            self.trace.append(f"B bytes {data!r}")

    def start_tls(self, context: SSLContext) -> None:
        """Go on inside TLS, as the server side."""
        self._socket = context.wrap_socket(self._socket, server_side=True)

    def half_close(self) -> None:
        """Send EOF; what the frontend still sends can be read."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with RST, as a crash or a firewall does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """Send EOF, read until the frontend has closed too, close.

        Closing with unread bytes would make the kernel send RST, which can overtake what was sent before.
        """
        if self._socket.fileno() < 0:
            return
        self.half_close()
        with contextlib.suppress(OSError):
            while self._socket.recv(65536):
                pass
            self.closed_by_frontend = True
        self._socket.close()

    def abandon(self) -> None:
        """Wake whoever waits on this socket, from another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


Step = Callable[[Conversation], None]
Script = Sequence[Step]


class ScriptedBackend:
    """Listens, and runs a script per connection; use it as a context manager.

    Args:
        scripts: The first connection gets the first one; the last one serves all further connections.
        unix: Listen on a Unix socket instead of TCP.
        dribble: Send everything byte by byte.
        cut_after: EOF to the frontend after so many bytes of each connection.
        frontend_may_leave: A frontend that closes early is no failure.
        timeout: Seconds a step may wait for the frontend.
    """

    def __init__(
        self,
        *scripts: Script,
        unix: bool = False,
        dribble: bool = False,
        cut_after: int | None = None,
        frontend_may_leave: bool = False,
        timeout: float = 5.0,
    ) -> None:
        self._scripts = scripts
        self._dribble = dribble
        self._cut_after = cut_after
        self._frontend_may_leave = frontend_may_leave
        self._timeout = timeout
        self._folder = tempfile.TemporaryDirectory(prefix="pgkit-") if unix else None
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._accepted = threading.Condition()
        self.conversations: list[Conversation] = []
        self.failures: list[ScriptFailure] = []
        if self._folder is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(Path(self._folder.name) / ".s.PGSQL.5432"))
            self.host, self.port = self._folder.name, 5432
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.host, self.port = self._listener.getsockname()[:2]
        self._listener.listen(64)
        self._acceptor = threading.Thread(target=self._accept, name="pgkit-accept", daemon=True)

    def url(self, user: str = "tester", password: str = "", dbname: str = "testdb", **keys: str) -> str:
        """The connection URI of this backend, with the query keys added."""
        login = f"{user}:{password}" if password else user
        if self._folder is not None:
            keys = {"host": self.host, "port": str(self.port), **keys}
            return f"postgres://{login}@/{dbname}?{urlencode(keys)}"
        return f"postgres://{login}@{self.host}:{self.port}/{dbname}" + (
            f"?{urlencode(keys)}" if keys else ""
        )

    @property
    def cancel_requests(self) -> list[CancelRequest]:
        """Every CancelRequest that has come, on whichever connection."""
        return [one for talk in self.conversations for one in talk.received if isinstance(one, CancelRequest)]

    def wait_connected(self, count: int = 1, timeout: float = 5.0) -> bool:
        """Wait until so many connections have been accepted."""
        with self._accepted:
            return self._accepted.wait_for(lambda: len(self._threads) >= count, timeout)

    def wait_closed(self, timeout: float = 5.0) -> bool:
        """Wait until every conversation so far is over; False when one is not.

        A script that ends half way waits for the frontend's EOF, so this says whether the driver closed.
        """
        deadline = time.monotonic() + timeout
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        # close() alone does not wake a thread inside accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        finished = self.wait_closed(self._timeout + 1)
        if not finished:
            for conversation in self.conversations:
                conversation.abandon()
            self.wait_closed(1)
            self.failures.append(ScriptFailure("a script was still running at the end of the test"))
        if self._folder is not None:
            self._folder.cleanup()
        if self.failures:
            if error is None:
                raise self.failures[0]
            error.add_note(f"scripted backend: {self.failures[0]}")

    def _accept(self) -> None:
        while not self._stopping:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._folder is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            index = len(self.conversations)
            conversation = Conversation(
                sock, index=index, timeout=self._timeout, dribble=self._dribble, cut_after=self._cut_after
            )
            self.conversations.append(conversation)
            script = self._scripts[min(index, len(self._scripts) - 1)]
            thread = threading.Thread(
                target=self._run, args=(conversation, script), name=f"pgkit-{index}", daemon=True
            )
            thread.start()
            with self._accepted:
                self._threads.append(thread)
                self._accepted.notify_all()

    def _run(self, conversation: Conversation, script: Script) -> None:
        number = 0
        try:
            for number, step in enumerate(script, 1):  # noqa: B007 - read below
                step(conversation)
        except EndOfScript:
            pass
        except FrontendLeft as failure:
            if not self._frontend_may_leave:
                self._fail(conversation, number, failure)
        except Exception as failure:
            self._fail(conversation, number, failure)
        finally:
            conversation.close()

    def _fail(self, conversation: Conversation, number: int, failure: Exception) -> None:
        trace = "\n".join(f"  {line}" for line in conversation.trace[-30:])
        wrapped = ScriptFailure(f"connection {conversation.index}, step {number}: {failure}\n{trace}")
        wrapped.__cause__ = failure
        self.failures.append(wrapped)
