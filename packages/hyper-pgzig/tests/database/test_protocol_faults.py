"""A backend that breaks the protocol: the driver says so at once, closes the connection, and lives on.

Every fault is put into an otherwise correct conversation of the scripted backend, at every place where it
fits, and goes through both faces. PostgreSQL docs: protocol-flow, protocol-message-formats.
"""

import random
import time
from collections.abc import Callable, Iterable
from typing import Final

import pytest
from hyperdjango.database import Error, OperationalError, ProtocolError
from pgkit import (
    SIMPLE_SELECT,
    Answer,
    Column,
    ScriptedBackend,
    accept_startup,
    messages,
    send,
    serve,
    startup,
)
from pgkit.ask import Ask, Rows, ask_async, ask_sync
from pgkit.messages import name_of

SQL: Final = "SELECT n"
ROWS: Final[Rows] = [{"n": 1}, {"n": 2}]
ANSWERS: Final = {SQL: SIMPLE_SELECT}
FAULT_SECONDS_MAX: Final = 2.0
"""Without a timeout of ours in play an error comes within milliseconds; the rest is a busy machine's."""

Alter = Callable[[list[bytes]], Iterable[bytes]]

EVERY_MESSAGE: Final = (
    messages.authentication_ok(),
    messages.authentication_sasl_continue(b"r=x"),
    messages.backend_key_data(),
    messages.bind_complete(),
    messages.close_complete(),
    messages.command_complete("SELECT 9"),
    messages.copy_both_response(),
    messages.copy_data(b"x"),
    messages.copy_done(),
    messages.data_row([b"\0\0\0\x03"]),
    messages.empty_query_response(),
    messages.function_call_response(b"x"),
    messages.negotiate_protocol_version(0),
    messages.no_data(),
    messages.parameter_description([]),
    messages.parse_complete(),
    messages.portal_suspended(),
    messages.ready_for_query(),
    messages.row_description(SIMPLE_SELECT.columns),
)
"""One of each that is not allowed everywhere; errors and CopyIn/OutResponse have tests of their own."""


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    face: Ask = request.param
    return face


class Spoil:
    """Hands the flights of a session to `alter` one by one, from the first query on."""

    def __init__(self, flight: int, alter: Alter) -> None:
        self.flight = flight
        self.alter = alter
        self.seen = -1

    def __call__(self, flight: list[bytes]) -> Iterable[bytes]:
        self.seen += 1
        return self.alter(flight) if self.seen == self.flight else flight


def recorded_flights() -> list[list[bytes]]:
    """Return the flights of replies that the driver's own way of asking twice leads to."""
    flights: list[list[bytes]] = []

    def record(flight: list[bytes]) -> list[bytes]:
        flights.append(flight)
        return flight

    with ScriptedBackend([*startup(), serve(ANSWERS, alter=record)]) as backend:
        assert ask_sync(backend.url(), SQL, SQL) == ROWS
    return flights


FLIGHTS: Final = recorded_flights()
PLACES: Final = [(flight, place) for flight, replies in enumerate(FLIGHTS) for place in range(len(replies))]


def fault_of(ask: Ask, flight: int, alter: Alter, *, dribble: bool = False) -> Error | Rows:
    """Spoil one flight; return the rows, or the error that both of a query's callers can see."""
    script = [*startup(), serve(ANSWERS, alter=Spoil(flight, alter))]
    with ScriptedBackend(script, frontend_may_leave=True, timeout=3, dribble=dribble) as backend:
        began = time.monotonic()
        try:
            return ask(backend.url(sslmode="disable"), SQL, SQL)
        except Error as error:
            assert time.monotonic() - began < FAULT_SECONDS_MAX
            assert backend.wait_closed(), "the driver left the connection open"
            return error


def must_be_refused(ask: Ask, flight: int, alter: Alter, what: object) -> None:
    outcome = fault_of(ask, flight, alter)
    assert isinstance(outcome, ProtocolError), f"{what!r} gave {outcome!r}"


def at(place: int, *instead: bytes) -> Alter:
    """Replace the message at this place."""
    return lambda flight: [*flight[:place], *instead, *flight[place + 1 :]]


def ending(place: int, last: bytes) -> Alter:
    """Put this in place of everything from there on."""
    return lambda flight: [*flight[:place], last]


def swapped(place: int) -> Alter:
    """Swap the message at this place with the next one."""
    return lambda flight: [*flight[:place], flight[place + 1], flight[place], *flight[place + 2 :]]


def before(place: int, *more: bytes) -> Alter:
    """Put messages in front of the one at this place."""
    return lambda flight: [*flight[:place], *more, *flight[place:]]


def test_the_conversation_to_be_spoiled_has_every_message_of_a_query() -> None:
    names = {name_of(reply) for flight in FLIGHTS for reply in flight}
    assert names == {
        "ParseComplete",
        "ParameterDescription",
        "RowDescription",
        "BindComplete",
        "DataRow",
        "CommandComplete",
        "ReadyForQuery",
    }


@pytest.mark.parametrize("one", EVERY_MESSAGE, ids=name_of)
def test_a_message_out_of_place_is_refused(ask: Ask, one: bytes) -> None:
    for flight, place in PLACES:
        following = name_of(FLIGHTS[flight][place])
        outcome = fault_of(ask, flight, before(place, one))
        match name_of(one), following:
            case "DataRow", "DataRow" | "CommandComplete":  # one row more is no fault
                more = [*ROWS[: place - 1], {"n": 3}, *ROWS[place - 1 :]]
                assert outcome == (more if flight == len(FLIGHTS) - 1 else ROWS)
            case "ReadyForQuery", "ReadyForQuery" if flight > 0:
                # The query is complete; what comes behind it must not pass for the next one's answer.
                assert outcome == ROWS or isinstance(outcome, ProtocolError), f"{flight}: {outcome!r}"
            case _:
                assert isinstance(outcome, ProtocolError), f"{(flight, place, following)}: {outcome!r}"


def test_a_missing_message_is_noticed(ask: Ask) -> None:
    for flight, place in PLACES:
        name = name_of(FLIGHTS[flight][place])
        if name not in {"DataRow", "ReadyForQuery"}:
            must_be_refused(ask, flight, at(place), (flight, place, name))


def test_messages_in_the_wrong_order_are_refused(ask: Ask) -> None:
    for flight, place in PLACES:
        replies = FLIGHTS[flight]
        if place + 1 < len(replies) and replies[place][:1] != replies[place + 1][:1]:
            must_be_refused(ask, flight, swapped(place), (flight, place))


def test_every_shorter_body_is_refused(ask: Ask) -> None:
    for flight, place in PLACES:
        original = FLIGHTS[flight][place]
        for size in range(len(original) - 5):
            shorter = messages.message(original[:1], original[5 : 5 + size])
            must_be_refused(ask, flight, at(place, shorter), shorter)


def test_trailing_bytes_are_refused(ask: Ask) -> None:
    for flight, place in PLACES:
        original = FLIGHTS[flight][place]
        for tail in (b"\0", b"x", b"\0\0\0\0"):
            longer = messages.message(original[:1], original[5:] + tail)
            must_be_refused(ask, flight, at(place, longer), longer)


@pytest.mark.parametrize("length", [0, 1, 2, 3, -1, -4, -(2**31), 2**31 - 1, 2**30 + 5])
def test_a_length_that_cannot_be_is_refused_before_its_bytes_come(ask: Ask, length: int) -> None:
    for flight, place in PLACES:
        head = messages.with_length(FLIGHTS[flight][place], length)[:5]
        must_be_refused(ask, flight, ending(place, head), (flight, place))


def test_a_message_above_max_message_size_is_refused(ask: Ask) -> None:
    answers = {SQL: Answer([Column("t", 25)], [[b"x" * 5000]])}
    script = [*startup(), serve(answers)]
    with ScriptedBackend(script, frontend_may_leave=True, timeout=3) as backend:
        assert ask(backend.url(), SQL, max_message_size=6000) == [{"t": "x" * 5000}]
        with pytest.raises(ProtocolError):
            ask(backend.url(), SQL, max_message_size=4096)


def test_an_unknown_message_type_is_refused(ask: Ask) -> None:
    known = set(messages.NAMES)
    for code in range(256):
        tag = bytes([code])
        if tag not in known:
            place = code % len(FLIGHTS[-1])
            must_be_refused(ask, len(FLIGHTS) - 1, before(place, messages.message(tag)), tag)


@pytest.mark.parametrize("status", [b"X", b"\0", b"i", b"t", b"\xff", b" "])
def test_an_unknown_transaction_status_is_refused(ask: Ask, status: bytes) -> None:
    for flight, replies in enumerate(FLIGHTS):
        must_be_refused(ask, flight, at(len(replies) - 1, messages.ready_for_query(status)), status)


COUNT_FAULTS: Final = {
    "one value too many": messages.data_row([b"\0\0\0\x01", b"\0\0\0\x02"]),
    "no value": messages.data_row([]),
    "count too high": messages.data_row([b"\0\0\0\x01"], count=2),
    "count too low": messages.data_row([b"\0\0\0\x01"], count=0),
    "negative count": messages.data_row([b"\0\0\0\x01"], count=-1),
    "highest count": messages.data_row([b"\0\0\0\x01"], count=32767),
    "value size below -1": messages.message(b"D", b"\0\x01\xff\xff\xff\xfe"),
    "value size above the rest": messages.message(b"D", b"\0\x01\0\0\0\x05\0\0\0\0"),
    "highest value size": messages.message(b"D", b"\0\x01\x7f\xff\xff\xff\0\0\0\0"),
}


@pytest.mark.parametrize("row", COUNT_FAULTS.values(), ids=COUNT_FAULTS)
def test_a_row_that_does_not_match_its_description_is_refused(ask: Ask, row: bytes) -> None:
    flight = len(FLIGHTS) - 1
    for place in (i for i, reply in enumerate(FLIGHTS[flight]) if name_of(reply) == "DataRow"):
        must_be_refused(ask, flight, at(place, row), row)


DESCRIPTION_FAULTS: Final = {
    "fields: negative": messages.row_description(SIMPLE_SELECT.columns, count=-1),
    "fields: none of one": messages.row_description(SIMPLE_SELECT.columns, count=0),
    "fields: two of one": messages.row_description(SIMPLE_SELECT.columns, count=2),
    "fields: highest": messages.row_description(SIMPLE_SELECT.columns, count=32767),
    "fields: name without end": messages.message(b"T", b"\0\x01" + b"n" * 30),
    "fields: unknown format": messages.row_description([Column("n", 23, 4, format=2)]),
    "parameters: negative": messages.parameter_description([], count=-1),
    "parameters: one of none": messages.parameter_description([], count=1),
    "parameters: none of one": messages.parameter_description([23], count=0),
    "parameters: highest": messages.parameter_description([23], count=32767),
}


@pytest.mark.parametrize("description", DESCRIPTION_FAULTS.values(), ids=DESCRIPTION_FAULTS)
def test_a_description_whose_count_lies_is_refused(ask: Ask, description: bytes) -> None:
    for flight, place in PLACES:
        if FLIGHTS[flight][place][:1] == description[:1]:
            must_be_refused(ask, flight, at(place, description), description)


REPORT_FAULTS: Final = {
    "no end": b"SERROR\0C42601\0Mtext\0",
    "value without end": b"SERROR\0C42601\0Mtext",
    "after the end": b"SERROR\0C42601\0Mtext\0\0x",
    "empty body": b"",
}


@pytest.mark.parametrize("tag", [b"E", b"N"], ids=["ErrorResponse", "NoticeResponse"])
@pytest.mark.parametrize("body", REPORT_FAULTS.values(), ids=REPORT_FAULTS)
def test_a_malformed_report_is_refused(ask: Ask, tag: bytes, body: bytes) -> None:
    for flight in range(len(FLIGHTS)):
        must_be_refused(ask, flight, before(0, messages.message(tag, body)), body)


def test_malformed_asynchronous_messages_are_refused(ask: Ask) -> None:
    for whole in (messages.parameter_status("a", "b"), messages.notification_response(1, "c", "p")):
        for size in range(len(whole) - 5):
            shorter = messages.message(whole[:1], whole[5 : 5 + size])
            must_be_refused(ask, len(FLIGHTS) - 1, before(1, shorter), shorter)
        longer = messages.message(whole[:1], whole[5:] + b"x")
        must_be_refused(ask, len(FLIGHTS) - 1, before(1, longer), longer)


def test_the_end_at_every_byte_is_an_error_of_the_connection(ask: Ask) -> None:
    script = [*startup(), serve(ANSWERS)]
    with ScriptedBackend(script) as backend:
        assert ask(backend.url(sslmode="disable"), SQL) == ROWS
        total = backend.conversations[0].bytes_sent
    for size in range(1, total):
        with (
            ScriptedBackend(script, cut_after=size, frontend_may_leave=True, timeout=3) as backend,
            pytest.raises(OperationalError) as caught,
        ):
            ask(backend.url(sslmode="disable"), SQL)
        assert not isinstance(caught.value, ProtocolError), f"after {size} bytes: {caught.value!r}"


def test_fatal_then_the_end_is_the_backends_own_error(ask: Ask) -> None:
    text = "terminating connection due to administrator command"
    fatal = messages.error_response("57P01", text, severity="FATAL")
    for flight, place in PLACES:
        outcome = fault_of(ask, flight, ending(place, fatal))
        assert isinstance(outcome, OperationalError), f"{(flight, place)}: {outcome!r}"
        assert outcome.sqlstate == "57P01"
        assert str(outcome).startswith(text)


ANY_TIME: Final = (
    messages.notice_response("01000", "by the way"),
    messages.parameter_status("application_name", "someone else"),
    messages.notification_response(99, "channel", "payload"),
)


@pytest.mark.parametrize("is_dribbling", [False, True], ids=["whole", "dribbled"])
def test_what_may_come_at_any_time_disturbs_nothing(ask: Ask, is_dribbling: bool) -> None:
    def interleave(flight: list[bytes]) -> list[bytes]:
        return [part for reply in flight for part in (*ANY_TIME, reply)]

    script = [
        accept_startup(),
        send(messages.authentication_ok()),
        # Before the first ReadyForQuery nobody listens yet, so no notification can come.
        send(*ANY_TIME[:2], messages.backend_key_data(), *ANY_TIME[:2], messages.ready_for_query()),
        serve(ANSWERS, alter=interleave),
    ]
    with ScriptedBackend(script, dribble=is_dribbling) as backend:
        assert ask(backend.url(sslmode="disable"), SQL, SQL) == ROWS


COPY_OUT: Final = Answer(
    instead=[
        messages.copy_out_response(),
        *(messages.copy_data(b"1\n") for _ in range(3)),
        messages.copy_done(),
        messages.command_complete("COPY 3"),
    ]
)


@pytest.mark.parametrize("answer", [Answer(copy_in=True), COPY_OUT], ids=["from stdin", "to stdout"])
@pytest.mark.parametrize("is_dribbling", [False, True], ids=["whole", "dribbled"])
def test_copy_by_an_ordinary_call_fails_without_a_deadlock(
    ask: Ask, answer: Answer, is_dribbling: bool
) -> None:
    script = [*startup(), serve({**ANSWERS, "COPY t": answer})]
    with ScriptedBackend(script, dribble=is_dribbling, timeout=3) as backend:
        url = backend.url(sslmode="disable")
        began = time.monotonic()
        with pytest.raises(Error) as caught:
            ask(url, "COPY t")
        assert not isinstance(caught.value, ProtocolError)
        assert time.monotonic() - began < FAULT_SECONDS_MAX


def spoiled_flights() -> list[tuple[int, Alter]]:
    """A sample of every kind of fault, for tests that compare."""
    last = len(FLIGHTS) - 1
    return [
        (0, at(0, messages.with_length(FLIGHTS[0][0], 3))),
        (0, at(1, messages.parameter_description([], count=7))),
        (0, at(2, messages.row_description([], count=3))),
        (last, before(1, messages.parse_complete())),
        (last, before(1, b"!\0\0\0\x04")),
        (last, at(1, messages.data_row([b"\0\0\0\x01"], count=2))),
        (last, at(1, messages.data_row([b"\0\0\x01"]))),
        (last, at(len(FLIGHTS[last]) - 1, messages.ready_for_query("X"))),
        (last, lambda f: [*f[:1], messages.error_response("22012", "division by zero"), f[-1]]),
        (last, lambda f: [*f[:2], messages.error_response("57P01", "shutdown", severity="FATAL")]),
    ]


@pytest.mark.parametrize("case", range(10))
def test_a_fault_is_the_same_whole_and_byte_by_byte(ask: Ask, case: int) -> None:
    flight, alter = spoiled_flights()[case]
    whole, dribbled = fault_of(ask, flight, alter), fault_of(ask, flight, alter, dribble=True)
    assert (type(whole), str(whole)) == (type(dribbled), str(dribbled))
    assert isinstance(whole, Error)


def test_the_pool_replaces_a_connection_that_broke(ask: Ask) -> None:
    broken = [*startup(), serve(ANSWERS, alter=Spoil(0, before(0, messages.no_data())))]
    with ScriptedBackend(broken, [*startup(), serve(ANSWERS)], frontend_may_leave=True) as backend:
        url = backend.url(sslmode="disable")
        with pytest.raises(ProtocolError):
            ask(url, SQL)
        assert ask(url, SQL) == ROWS


def test_garbage_in_place_of_a_reply_is_an_error(ask: Ask) -> None:
    seed = 20261
    generator = random.Random(seed)
    for number in range(60):
        garbage = generator.randbytes(generator.randrange(1, 200))
        # Every other piece begins like a message, so that its body is looked at.
        if number % 2:
            garbage = messages.message(generator.choice(list(messages.NAMES)), garbage)

        def end_with_it(flight: list[bytes], garbage: bytes = garbage) -> list[bytes]:
            return [garbage]

        script = [*startup(), serve(ANSWERS, alter=end_with_it)]
        with ScriptedBackend(script, frontend_may_leave=True, timeout=0.05) as backend:
            try:
                rows = ask(backend.url(sslmode="disable"), SQL)
            except Error:
                backend.failures.clear()  # it may wait for more, and the script for the frontend
            else:
                pytest.fail(f"seed {seed}, number {number}: {garbage!r} gave {rows!r}")
