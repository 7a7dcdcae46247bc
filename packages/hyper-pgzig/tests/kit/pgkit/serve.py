"""A small backend in earnest: answers the extended protocol from a table of SQL texts.

It keeps to the protocol (skips until Sync after an error, flushes at Sync and Flush), so a script does not
depend on how a driver groups its messages. `alter` may spoil each flight before it is sent.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pgkit import messages
from pgkit.backend import Conversation, EndOfScript, Step
from pgkit.frontend import (
    Bind,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    Flush,
    FrontendMessage,
    Parse,
    Query,
    Sync,
    Terminate,
)
from pgkit.messages import Column

Alter = Callable[[list[bytes]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one SQL text gives: rows, or just a command tag, or an error."""

    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[bytes | None]] = ()
    tag: str | None = None
    type_oids: Sequence[int] = ()
    error: bytes | None = None
    parse_error: bytes | None = None
    instead: Sequence[bytes] | None = None
    """Replaces DataRow and CommandComplete."""
    copy_in: bool = False
    """The statement is COPY FROM STDIN: CopyInResponse comes at once, a Sync before its end is dropped."""

    def describe(self) -> bytes:
        """RowDescription or NoData."""
        return messages.row_description(self.columns) if self.columns else messages.no_data()

    def execute(self, max_rows: int = 0) -> list[bytes]:
        """Everything that answers Execute."""
        if self.error is not None:
            return [self.error]
        if self.instead is not None:
            return list(self.instead)
        if max_rows and len(self.rows) >= max_rows:
            return [*(messages.data_row(row) for row in self.rows[:max_rows]), messages.portal_suspended()]
        tag = self.tag if self.tag is not None else f"SELECT {len(self.rows)}"
        return [*(messages.data_row(row) for row in self.rows), messages.command_complete(tag)]


SIMPLE_SELECT: Final = Answer([Column("n", 23, 4)], [[b"\0\0\0\x01"], [b"\0\0\0\x02"]])
"""`SELECT n`: two rows of one int4, 1 and 2."""

_TRANSACTION: Final[Mapping[str, tuple[str, str]]] = {
    "BEGIN": ("BEGIN", "T"),
    "START": ("START TRANSACTION", "T"),
    "COMMIT": ("COMMIT", "I"),
    "END": ("COMMIT", "I"),
    "ROLLBACK": ("ROLLBACK", "I"),
}
_TAG_ONLY: Final = {
    "SET",
    "RESET",
    "DISCARD",
    "DEALLOCATE",
    "SAVEPOINT",
    "RELEASE",
    "LISTEN",
    "UNLISTEN",
    "CLOSE",
}


@dataclass(slots=True)
class Responder:
    """The protocol state of one session: what was prepared, what is skipped, what waits to be flushed."""

    answers: Mapping[str, Answer]
    statements: dict[str, str] = field(default_factory=dict)
    portals: dict[str, str] = field(default_factory=dict)
    status: str = "I"
    skipping: bool = False
    copying: bool = False
    copying_by_query: bool = False
    copied: int = 0
    flight: list[bytes] = field(default_factory=list)

    def handle(self, one: FrontendMessage) -> list[bytes]:
        """Take one message; return the replies to be sent now, [] while the backend would buffer them."""
        if self.copying:
            self._copy(one)
            if self.copying:
                return []
        elif isinstance(one, Sync):
            self.skipping = False
            self.flight.append(messages.ready_for_query(self.status))
        elif isinstance(one, Query):
            self._simple(one.sql)
        elif isinstance(one, Flush):
            pass
        else:
            if not self.skipping:
                for reply in self._reply(one):
                    self.flight.append(reply)
                    if reply[:1] == b"E":
                        self._failed()
                        break
            if not self.copying:
                return []
        ready, self.flight = self.flight, []
        return ready

    def _failed(self) -> None:
        self.skipping = True
        if self.status == "T":
            self.status = "E"

    def _copy(self, one: FrontendMessage) -> None:
        """Take one message in copy-in mode, where Sync and Flush are dropped."""
        match one:
            case CopyData():
                self.copied += one.data.count(b"\n")
            case CopyDone():
                self.copying = False
                self.flight.append(messages.command_complete(f"COPY {self.copied}"))
            case Sync() | Flush():
                pass
            case _:
                self.copying = False
                reason = one.reason if isinstance(one, CopyFail) else f"unexpected {one}"
                self.flight.append(messages.error_response("57014", f"COPY from stdin failed: {reason}"))
                self._failed()
        if self.copying_by_query and not self.copying:
            self.copying_by_query = self.skipping = False
            self.flight.append(messages.ready_for_query(self.status))

    def _simple(self, sql: str) -> None:
        answer = self._answer(sql)
        replies = [answer.describe()] if answer.columns and answer.error is None else []
        replies += self._execute(sql, 0)
        if self.copying:
            self.copying_by_query = True
            self.flight += replies
            return
        if any(reply[:1] == b"E" for reply in replies):
            self._failed()
            self.skipping = False  # a simple query is its own Sync
        self.flight += [*replies, messages.ready_for_query(self.status)]

    def _reply(self, one: FrontendMessage) -> list[bytes]:
        match one:
            case Parse():
                self.statements[one.statement] = one.sql
                error = self._answer(one.sql).parse_error
                return [messages.parse_complete() if error is None else error]
            case Bind():
                if one.statement not in self.statements:
                    return [
                        messages.error_response(
                            "26000", f'prepared statement "{one.statement}" does not exist'
                        )
                    ]
                self.portals[one.portal] = self.statements[one.statement]
                return [messages.bind_complete()]
            case Describe(kind="S"):
                answer = self._answer(self.statements[one.name])
                return [messages.parameter_description(answer.type_oids), answer.describe()]
            case Describe():
                return [self._answer(self.portals[one.name]).describe()]
            case Execute():
                return self._execute(self.portals[one.portal], one.max_rows)
            case Close():
                (self.statements if one.kind == "S" else self.portals).pop(one.name, None)
                return [messages.close_complete()]
            case CopyData() | CopyDone() | CopyFail():
                return []  # out of place: a real backend drops them silently
            case _:
                return [messages.error_response("08P01", f"the script cannot answer {one}", severity="FATAL")]

    def _execute(self, sql: str, max_rows: int) -> list[bytes]:
        verb = sql.split(None, 1)[0].upper().rstrip(";") if sql.strip() else ""
        if verb in _TRANSACTION and sql not in self.answers:
            tag, after = _TRANSACTION[verb]
            # ROLLBACK TO SAVEPOINT mends a failed transaction and stays inside it.
            self.status = "T" if " TO " in sql.upper() else after
            return [messages.command_complete(tag)]
        answer = self._answer(sql)
        if answer.copy_in:
            self.copying, self.copied = True, 0
            return [messages.copy_in_response()]
        return answer.execute(max_rows)

    def _answer(self, sql: str) -> Answer:
        known = self.answers.get(sql)
        if known is not None:
            return known
        verb = sql.split(None, 1)[0].upper().rstrip(";") if sql.strip() else ""
        if not verb:
            return Answer(instead=[messages.empty_query_response()])
        if verb in _TRANSACTION or verb in _TAG_ONLY:
            return Answer(tag=verb)
        unknown = messages.error_response("42P01", f"the script has no answer for {sql!r}")
        return Answer(error=unknown, parse_error=unknown)


def serve(answers: Mapping[str, Answer] | None = None, *, alter: Alter | None = None) -> Step:
    """Answer queries until the frontend leaves, or until a FATAL error was sent.

    Args:
        answers: By SQL text. BEGIN, COMMIT, SET and their like need none; any other unknown text is an
            error 42P01.
        alter: Given each flight of replies as whole messages; what it returns is sent instead.
    """

    def step(talk: Conversation) -> None:
        responder = Responder(answers if answers is not None else {"SELECT n": SIMPLE_SELECT})
        while (one := talk.receive()) is not None:
            if isinstance(one, Terminate):
                raise EndOfScript
            flight = responder.handle(one)
            if not flight:
                continue
            sent = list(alter(flight) if alter is not None else flight)
            talk.send(b"".join(sent))
            if any(part.startswith(b"E") and b"SFATAL\0" in part for part in sent):
                raise EndOfScript

    return step
