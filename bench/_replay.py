"""A backend that only repeats what a real one once said, so that a driver can be counted without a server.

`profile_rows.py` records with `record` and replays: inside its own process over a socketpair, or, for whole
drivers and for `profile_concurrent.py`, from a process of its own (`python _replay.py recording socket`),
whose instructions nobody counts. That one stops when its standard input ends.
PostgreSQL docs: protocol-flow, "Extended Query".
"""

import base64
import json
import socket
import struct
import sys
import threading
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from _bare import BareError, BareSocket, Message, ask, message, prepare
from _place import Place

READY: Final = message(b"Z", b"I")
# What is asked before the start-up message proper: SSLRequest, GSSENCRequest.
_NEGOTIATIONS: Final = (80877103, 80877104)


@dataclass(frozen=True)
class Recording:
    """Replies to one statement, as raw messages."""

    sql: str
    parameters: list[int]
    rows: int
    greeting: bytes  # from AuthenticationOk to ReadyForQuery
    statement: bytes  # ParameterDescription, RowDescription
    portal: bytes  # RowDescription in binary
    execution: bytes  # DataRows, CommandComplete

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        body = {
            name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in asdict(self).items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(body), encoding="utf-8")
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` has written."""
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        raw = ("greeting", "statement", "portal", "execution")
        body.update({name: base64.b64decode(body[name]) for name in raw})
        return cls(**body)


def record(place: Place, sql: str, parameters: list[int]) -> Recording:
    """Run a statement on a real server and keep what it says."""
    with BareSocket(place) as sock:
        described = sock.exchange(prepare(sql))
        replies = sock.exchange(ask(*parameters, describe=True))
        return Recording(
            sql,
            parameters,
            rows=sum(1 for reply in replies if reply.kind == b"D"),
            greeting=_raw(sock.greeting),
            statement=_raw(described, b"tT"),
            portal=_raw(replies, b"T"),
            execution=_raw(replies, b"DC"),
        )


def _raw(messages: list[Message], kinds: bytes = b"") -> bytes:
    return b"".join(found.raw for found in messages if not kinds or found.kind in kinds)


class Replayer:
    """The backend's side of one session: frontend bytes in, backend bytes out."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._pending = bytearray()
        self._answers = bytearray()
        self._is_started = False
        self.is_over = False

    def answer(self, data: bytes) -> bytes:
        """Return what is to be sent now.

        Raises:
            BareError: The frontend asks for what was not recorded.
        """
        self._pending += data
        out = bytearray()
        while (found := self._take()) is not None:
            kind, body = found
            if not self._is_started:
                out += self._start(body)
                continue
            self._answers += self._reply(kind, body)
            if kind in {b"S", b"H", b"Q"}:
                out += self._answers
                self._answers.clear()
        return bytes(out)

    def _take(self) -> Message | None:
        head = 1 if self._is_started else 0
        if len(self._pending) < head + 4:
            return None
        end = head + int.from_bytes(self._pending[head : head + 4], "big")
        if len(self._pending) < end:
            return None
        found = Message(bytes(self._pending[:head]), bytes(self._pending[head + 4 : end]))
        del self._pending[:end]
        return found

    def _start(self, body: bytes) -> bytes:
        if int.from_bytes(body[:4], "big") in _NEGOTIATIONS:
            return b"N"
        self._is_started = True
        return self._recording.greeting

    def _reply(self, kind: bytes, body: bytes) -> bytes:
        if kind == b"B":
            _check_formats(body)
            return message(b"2")
        if kind == b"D":
            return self._recording.statement if body[:1] == b"S" else self._recording.portal
        if kind == b"X":
            self.is_over = True
        replies = {
            b"P": message(b"1"),
            b"E": self._recording.execution,
            b"C": message(b"3"),
            b"S": READY,
            b"H": b"",
            b"Q": message(b"C", b"RESET\0") + READY,  # a pool's reset, the only simple query that was met
            b"X": b"",
        }
        if kind not in replies:
            raise BareError(f"a recording has no reply to message {kind!r}")
        return replies[kind]


def _check_formats(bind: bytes) -> None:
    """Only binary results were recorded.

    Raises:
        BareError: The frontend asks for text.
    """
    rest = bind.split(b"\0", 2)[2]
    (formats,) = struct.unpack_from("!h", rest)
    at = 2 + 2 * formats
    (values,) = struct.unpack_from("!h", rest, at)
    at += 2
    for _ in range(values):
        (size,) = struct.unpack_from("!i", rest, at)
        at += 4 + max(0, size)
    (results,) = struct.unpack_from("!h", rest, at)
    if results < 1 or set(struct.unpack_from(f"!{results}h", rest, at + 2)) != {1}:
        raise BareError("the recording holds binary results, and the frontend asks for others")


def serve(recording: Recording, listener: socket.socket) -> None:
    """Replay to any number of sessions, for ever."""
    while True:
        session, _ = listener.accept()
        threading.Thread(target=_replay, args=(recording, session), daemon=True).start()


def _replay(recording: Recording, session: socket.socket) -> None:
    # A frontend that went without its replies is not our business.
    with closing(session), suppress(ConnectionError):
        replayer = Replayer(recording)
        while not replayer.is_over and (data := session.recv(1 << 16)):
            session.sendall(replayer.answer(data))


def main() -> None:
    """Listen at a path until standard input ends."""
    recording, path = Recording.read(Path(sys.argv[1])), sys.argv[2]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        print("listening", flush=True)
        threading.Thread(target=serve, args=(recording, listener), daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
