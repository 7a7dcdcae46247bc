"""COPY and portals with a backend that does not keep to the protocol, or leaves in the middle.

The right class of error in a bounded time, the connection closed, and the next call on another one. What a
backend does by itself: test_copy_in, test_copy_out. PostgreSQL docs: protocol-flow, "COPY Operations".
"""

import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hyperdjango.database import (
    AdminShutdown,
    ConnectionLost,
    DataError,
    Error,
    InterfaceError,
    InvalidTextRepresentation,
    OperationalError,
    OutcomeUnknown,
    ProtocolError,
    SyncDatabase,
)
from hyperdjango.database._copy import WANTS_DATA
from hyperdjango.database._slot import DONE
from pgkit import SIMPLE_SELECT, Column, Conversation, ScriptedBackend, Step, messages, serve, startup
from pgkit.backend import EndOfScript
from pgkit.face import Face, OpenFace, iterate
from pgkit.frontend import CopyData, CopyDone, Flush, FrontendMessage, Query, Sync
from pgkit.steps import expect_through, send

SECONDS_MAX: Final = 5.0
IN: Final = "COPY t FROM STDIN"
OUT: Final = "COPY t TO STDOUT"
BEGUN: Final = [messages.parse_complete(), messages.bind_complete()]
BEGIN: Final = [*BEGUN, messages.command_complete("BEGIN")]
READY: Final = messages.ready_for_query()
IN_BLOCK: Final = messages.ready_for_query("T")
FAILED: Final = messages.ready_for_query("E")
BAD_LINE: Final = messages.error_response("22P02", "invalid input syntax")
SHUTDOWN: Final = messages.error_response("57P01", "terminating connection", severity="FATAL")
COPY_IN: Final = messages.copy_in_response()
COPY_OUT: Final = messages.copy_out_response()
ROW: Final = messages.data_row([b"\0\0\0\1"])
COLUMNS: Final = messages.row_description([Column("n", 23, 4)])


def answers(*steps: Step) -> list[Step]:
    return [*startup(), *steps]


def after(kind: type[FrontendMessage], *replies: bytes) -> list[Step]:
    """Take messages up to one of this kind, then send."""
    return [expect_through(kind), send(*replies)]


def run_against(open_face: OpenFace, script: list[Step], call: Any) -> Error:
    """Run a call against the script and return its error; the next call is served honestly elsewhere."""
    honest = [*startup(), serve()]
    with ScriptedBackend(script, honest, honest, frontend_may_leave=True, timeout=SECONDS_MAX) as backend:
        face = open_face(backend.url(sslmode="disable"), min_size=0)
        began = time.monotonic()
        with pytest.raises(Error) as caught:
            call(face)
        assert time.monotonic() - began < SECONDS_MAX
        assert face.query("SELECT n", into=tuple) == [(1,), (2,)]
        assert face.pool_stats()["busy"] == 0
        face.disconnect()
    return caught.value


def copies(face: Face) -> None:
    """Enough for several messages."""
    face.execute(IN, ("1\n" * 1000 for _ in range(2000)))


def copies_little(face: Face) -> None:
    face.execute(IN, "1\n")


def reads(face: Face) -> None:
    for _ in iterate(face, "copy_out", OUT):
        pass


def streams(face: Face) -> None:
    for _ in iterate(face, "stream", "SELECT n", chunk=2):
        pass


LIES_IN: Final[dict[str, list[bytes]]] = {
    "CopyInResponse twice": [*BEGUN, COPY_IN, COPY_IN],
    "CopyOutResponse": [*BEGUN, COPY_OUT],
    "CopyBothResponse": [*BEGUN, messages.copy_both_response()],
    "CopyData": [*BEGUN, COPY_IN, messages.copy_data(b"1\n")],
    "CopyData at once": [*BEGUN, messages.copy_data(b"1\n")],
    "CopyDone": [*BEGUN, COPY_IN, messages.copy_done()],
    "ReadyForQuery": [*BEGUN, COPY_IN, READY],
    "ReadyForQuery at once": [READY],
    "DataRow": [*BEGUN, COPY_IN, ROW],
    "DataRow at once": [*BEGUN, ROW],
    "PortalSuspended": [*BEGUN, messages.portal_suspended()],
    "no ParseComplete": [COPY_IN],
    "a count of columns that is not there": [*BEGUN, messages.message(b"G", b"\0\xff\xff")],
    "half a CopyInResponse": [*BEGUN, messages.message(b"G", b"")],
    "an unknown message": [*BEGUN, COPY_IN, messages.message(b"~", b"")],
    "BindComplete twice": [*BEGUN, messages.bind_complete(), COPY_IN],
}


@pytest.mark.parametrize("lie", LIES_IN)
@pytest.mark.parametrize("call", [copies, copies_little])
def test_lies_to_a_copy_in(open_face: OpenFace, lie: str, call: Any) -> None:
    script = answers(*after(Flush, *LIES_IN[lie]), take_all)
    error = run_against(open_face, script, call)
    assert isinstance(error, (ProtocolError, InterfaceError)), repr(error)


def take_all(talk: Conversation) -> None:
    """Read on and say nothing, as one who has lied may."""
    while talk.receive() is not None:
        pass
    raise EndOfScript


def test_a_command_that_is_complete_where_data_was_to_come(open_face: OpenFace) -> None:
    """A rule may have made something else of it: nothing was copied, and the connection is in order."""
    script = answers(
        *after(Flush, *BEGUN, messages.command_complete("INSERT 0 5")), *after(Sync, READY), serve()
    )
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), min_size=0)
        assert face.execute(IN, "1\n").tag == "INSERT 0 5"
        assert face.query("SELECT n", into=tuple) == [(1,), (2,)]
        face.disconnect()


@pytest.mark.parametrize(
    "ending",
    [
        [messages.command_complete("COPY 1")],
        [BAD_LINE],
        [messages.command_complete("COPY 1"), BAD_LINE, READY],
    ],
    ids=["no ReadyForQuery", "an error and no ReadyForQuery", "an error behind CommandComplete"],
)
def test_what_follows_the_end_of_the_data(open_face: OpenFace, ending: list[bytes]) -> None:
    def leave(_: Conversation) -> None:
        raise EndOfScript

    # Whoever has said that he is ready must not leave in the moment in which he is asked again.
    then = serve() if ending[-1] == READY else leave
    script = answers(*after(Flush, *BEGUN, COPY_IN), *after(Sync, *ending), then)
    error = run_against(open_face, script, copies_little)
    if ending[0] == BAD_LINE or len(ending) > 1:
        assert isinstance(error, InvalidTextRepresentation)
    else:
        assert isinstance(error, OutcomeUnknown)


def test_an_error_after_copy_done_is_the_calls_own(open_face: OpenFace) -> None:
    """As of a deferred constraint; the connection is in order."""
    script = answers(*after(Flush, *BEGUN, COPY_IN), *after(Sync, BAD_LINE, READY), serve())
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), min_size=0)
        with pytest.raises(InvalidTextRepresentation):
            face.execute(IN, "1\n")
        assert face.query("SELECT n", into=tuple) == [(1,), (2,)]
        assert len(backend.conversations) == 1
        face.disconnect()


@pytest.mark.parametrize("moment", [Flush, CopyData, CopyDone])
def test_last_words_in_the_middle(open_face: OpenFace, moment: type[FrontendMessage]) -> None:
    def leave(_: Conversation) -> None:
        raise EndOfScript

    before = [] if moment is Flush else after(Flush, *BEGUN, COPY_IN)
    script = answers(*before, *after(moment, SHUTDOWN), leave)
    assert isinstance(run_against(open_face, script, copies), AdminShutdown)


@pytest.mark.parametrize("moment", [Flush, CopyData])
def test_no_last_words(open_face: OpenFace, moment: type[FrontendMessage]) -> None:
    """Before CopyDone was sent it is known that nothing was copied."""

    def data() -> Iterator[str]:
        for _ in range(20_000):
            yield "1\n" * 1000

    def leave(_: Conversation) -> None:
        raise EndOfScript

    before = [] if moment is Flush else after(Flush, *BEGUN, COPY_IN)
    script = answers(*before, expect_through(moment), leave)
    error = run_against(open_face, script, lambda face: face.execute(IN, data()))
    assert isinstance(error, ConnectionLost), repr(error)


def test_an_error_whose_ready_for_query_comes_late(open_face: OpenFace) -> None:
    """Data that is given meanwhile goes nowhere, and the call waits for the rest of the answer."""

    def pause(_: Conversation) -> None:
        time.sleep(0.3)

    script = answers(*after(Flush, *BEGUN, COPY_IN), *after(CopyData, BAD_LINE), expect_through(Sync), pause)
    script += [send(READY), serve()]
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), min_size=0)
        with pytest.raises(InvalidTextRepresentation):
            copies(face)
        assert face.query("SELECT n", into=tuple) == [(1,), (2,)]
        assert len(backend.conversations) == 1
        face.disconnect()


def test_feeding_goes_on_until_the_answer_is_complete() -> None:
    """Whoever feeds a COPY that has failed is not told that it is done before ReadyForQuery has come."""
    script = answers(*after(Flush, *BEGUN, COPY_IN, BAD_LINE), expect_through(Sync), wait_then_ready, serve())
    with (
        ScriptedBackend(script, frontend_may_leave=True) as backend,
        SyncDatabase(backend.url(sslmode="disable"), 0, 1) as db,
    ):
        slot = db._acquire(None)
        connection = slot.connection
        request = connection.copy_in(IN)
        assert connection.wait(-1) == WANTS_DATA
        while connection.advance() == WANTS_DATA:
            time.sleep(0.001)
        assert not request.done
        progress = connection.feed(b"1\n")
        assert (progress == DONE) == request.done
        progress = connection.end_copy()
        assert (progress == DONE) == request.done
        while connection.busy:
            connection.wait(-1)
        assert connection.feed(b"1\n") == connection.end_copy() == DONE
        with pytest.raises(InvalidTextRepresentation):
            request.result()
        db._release(slot)
        assert db.query("SELECT n", into=tuple) == [(1,), (2,)]


def wait_then_ready(talk: Conversation) -> None:
    time.sleep(0.2)
    talk.send(READY)


LIES_OUT: Final[dict[str, list[bytes]]] = {
    "CopyData at once": [messages.copy_data(b"1\n")],
    "CopyDone at once": [messages.copy_done()],
    "CopyInResponse": [COPY_IN],
    "CopyBothResponse": [messages.copy_both_response()],
    "CopyOutResponse twice": [COPY_OUT, COPY_OUT],
    "DataRow": [COPY_OUT, ROW],
    "no CopyDone": [COPY_OUT, messages.copy_data(b"1\n"), messages.command_complete("COPY 1"), IN_BLOCK],
    "CopyDone twice": [COPY_OUT, messages.copy_done(), messages.copy_done()],
    "CopyData behind CopyDone": [COPY_OUT, messages.copy_done(), messages.copy_data(b"1\n")],
    "ReadyForQuery": [COPY_OUT, messages.copy_data(b"1\n"), IN_BLOCK],
    "PortalSuspended": [messages.portal_suspended(), IN_BLOCK],
}


@pytest.mark.parametrize("lie", LIES_OUT)
def test_lies_to_a_copy_out(open_face: OpenFace, lie: str) -> None:
    script = answers(*after(Sync, *BEGIN, *BEGUN, *LIES_OUT[lie]), take_all)
    error = run_against(open_face, script, reads)
    assert isinstance(error, (ProtocolError, InterfaceError)), repr(error)


def test_last_words_while_data_comes(open_face: OpenFace) -> None:
    def leave(_: Conversation) -> None:
        raise EndOfScript

    data = messages.copy_data(b"x" * 1000 + b"\n") * 500
    script = answers(*after(Sync, *BEGIN, *BEGUN, COPY_OUT, data, SHUTDOWN), leave)
    assert isinstance(run_against(open_face, script, reads), AdminShutdown)
    script = answers(*after(Sync, *BEGIN, *BEGUN, COPY_OUT, data), leave)
    assert isinstance(run_against(open_face, script, reads), ConnectionLost)


SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
FINE: Final = SIGNATURE + bytes(8)
RECORD: Final = b"\0\1\0\0\0\4\0\0\0\5"


@pytest.mark.parametrize(
    "data",
    [
        [b"PGCOPY\n\xff\r\n"], [b"nonsense" * 10], [SIGNATURE], [SIGNATURE + bytes(7)], [b""],
        [SIGNATURE + bytes(4) + b"\xff\xff\xff\xff"], [SIGNATURE + bytes(4) + b"\0\0\0\5abcd"],
        [FINE, b"\0"], [FINE, b"\0\2\0\0\0\4\0\0\0\5"], [FINE, b"\0\1\0\0\0\4\0\0\0"],
        [FINE, b"\0\1\0\0\0\5\0\0\0\5\0"], [FINE, b"\0\1\x7f\xff\xff\xff"], [FINE, b"\0\1\xff\xff\xff\xfe"],
        [FINE, b"\x7f\xff"], [FINE, RECORD + b"x"],
        [FINE + RECORD[:5], RECORD[5:]],
    ],
    ids=repr,
)  # fmt: skip
def test_binary_data_that_is_none(open_face: OpenFace, data: list[bytes]) -> None:
    script = answers(
        *after(
            Sync, *BEGIN, messages.parse_complete(), messages.parameter_description([]), COLUMNS, IN_BLOCK
        ),
        *after(Sync, *BEGUN, messages.copy_out_response(1, [1]), *map(messages.copy_data, data)),
        take_all,
    )

    def read(face: Face) -> None:
        list(iterate(face, "copy_out", "COPY (SELECT n) TO STDOUT", into=tuple))

    error = run_against(open_face, script, read)
    assert isinstance(error, ProtocolError), repr(error)


def test_binary_data_with_a_header_that_is_longer(open_face: OpenFace) -> None:
    """What comes in a later version of the format is passed over; the first record may stand behind it."""
    data = [SIGNATURE + bytes(4) + b"\0\0\0\3abc" + RECORD, RECORD, b"\xff\xff"]
    script = answers(
        *after(
            Sync, *BEGIN, messages.parse_complete(), messages.parameter_description([]), COLUMNS, IN_BLOCK
        ),
        *after(
            Sync, *BEGUN, messages.copy_out_response(1, [1]), *map(messages.copy_data, data),
            messages.copy_done(), messages.command_complete("COPY 2"), IN_BLOCK,
        ),
        *after(Sync, *BEGUN, messages.command_complete("COMMIT"), READY),
        serve(),
    )  # fmt: skip
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), min_size=0)
        assert list(iterate(face, "copy_out", "COPY (SELECT n) TO STDOUT", into=tuple)) == [(5,), (5,)]
        face.disconnect()


# Portals.


PREPARED: Final = after(
    Sync, *BEGIN, messages.parse_complete(), messages.parameter_description([]), COLUMNS, IN_BLOCK
)
LIES_PORTAL: Final[dict[str, list[bytes]]] = {
    "CopyBothResponse": [messages.bind_complete(), messages.copy_both_response()],
    "PortalSuspended twice": [
        messages.bind_complete(), ROW, ROW, messages.portal_suspended(), messages.portal_suspended(),
        IN_BLOCK,
    ],
    "rows behind PortalSuspended": [
        messages.bind_complete(), ROW, messages.portal_suspended(), ROW, IN_BLOCK,
    ],
    "CommandComplete behind PortalSuspended": [
        messages.bind_complete(), ROW, messages.portal_suspended(), messages.command_complete("SELECT 1"),
        IN_BLOCK,
    ],
    "no end": [messages.bind_complete(), ROW, IN_BLOCK],
    "CloseComplete": [messages.bind_complete(), ROW, messages.close_complete(), IN_BLOCK],
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES_PORTAL)
def test_lies_to_a_stream(open_face: OpenFace, lie: str) -> None:
    script = answers(*PREPARED, *after(Sync, *LIES_PORTAL[lie]), take_all)
    error = run_against(open_face, script, streams)
    assert isinstance(error, (ProtocolError, InterfaceError)), repr(error)


def test_a_suspension_of_a_statement_that_was_asked_for_whole(open_face: OpenFace) -> None:
    script = answers(
        *after(Sync, messages.parse_complete(), messages.parameter_description([]), COLUMNS, READY),
        *after(Sync, messages.bind_complete(), ROW, messages.portal_suspended(), READY),
        take_all,
    )
    error = run_against(open_face, script, lambda face: face.query("SELECT n"))
    assert isinstance(error, ProtocolError), repr(error)


def test_a_portal_that_gives_nothing_for_ever_ends_with_the_connection(open_face: OpenFace) -> None:
    """An empty chunk that says there is more: the reader asks again, and is told when the backend leaves."""
    rounds = 20

    def suspend(talk: Conversation) -> None:
        for n in range(rounds):
            expect_through(Sync)(talk)
            first = [messages.bind_complete()] if n == 0 else []
            talk.send(b"".join([*first, messages.portal_suspended(), IN_BLOCK]))
        raise EndOfScript

    error = run_against(open_face, answers(*PREPARED, suspend), streams)
    assert isinstance(error, OperationalError)


def test_an_error_in_a_later_chunk(open_face: OpenFace) -> None:
    script = answers(
        *PREPARED,
        *after(Sync, messages.bind_complete(), ROW, ROW, messages.portal_suspended(), IN_BLOCK),
        *after(Sync, BAD_LINE, FAILED),
        *after(Query, messages.command_complete("ROLLBACK"), READY),
        serve({"SELECT n": SIMPLE_SELECT}),
    )
    error = run_against(open_face, script, streams)
    assert isinstance(error, DataError)
