"""The native Connection and Request used as they must not be: an exception each time, never a crash."""

import gc
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hyperdjango.database import AdminShutdown, DataError, InterfaceError, _shape, _sync_io
from hyperdjango.database._connect import Established, connect_steps
from hyperdjango.database._conninfo import parse
from hyperdjango.database._native import native
from hyperdjango.database.errors import ConnectionLost

DISCARD, DICT, TUPLE, NAMED_TUPLE, KEYWORDS, VALUE = range(6)
DONE = 1
WANTS_DATA = 4


def open_(url: str, type_map: "native.TypeMap | None" = None) -> Established:
    return _sync_io.run(connect_steps(parse(url), type_map or native.TypeMap()))


@pytest.fixture
def established(url: str) -> Iterator[Established]:
    opened = open_(url)
    yield opened
    opened.close()


@pytest.fixture
def connection(established: Established) -> "native.Connection":
    return established.connection


def submit(
    connection: "native.Connection", sql: str, *values: object, shape: int = TUPLE
) -> "native.Request":
    return connection.submit(sql, values, shape, None, False, None)


def ask(connection: "native.Connection", sql: str, *values: object) -> Any:
    request = submit(connection, sql, *values)
    assert connection.wait(10_000_000_000) == DONE
    return request.result()


def test_it_works_when_used_as_it_should_be(connection: "native.Connection") -> None:
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]
    assert not connection.busy
    assert connection.transaction_status == "I"
    assert connection.parameters["client_encoding"] == "UTF8"


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "no arguments": (),
    "too few": ("SELECT 1", (), TUPLE, None, False),
    "too many": ("SELECT 1", (), TUPLE, None, False, None, None),
    "SQL is bytes": (b"SELECT 1", (), TUPLE, None, False, None),
    "SQL is None": (None, (), TUPLE, None, False, None),
    "values are a list": ("SELECT 1", [], TUPLE, None, False, None),
    "values are a dict": ("SELECT 1", {}, TUPLE, None, False, None),
    "shape is text": ("SELECT 1", (), "tuple", None, False, None),
    "shape is None": ("SELECT 1", (), None, None, False, None),
    "shape below": ("SELECT 1", (), -1, None, False, None),
    "shape above": ("SELECT 1", (), 99, None, False, None),
    "shape far above": ("SELECT 1", (), 2**70, None, False, None),
    "first_set below": ("SELECT 1", ((),), DISCARD, None, False, -1),
    "first_set far above": ("SELECT 1", ((),), DISCARD, None, False, 2**70),
    "first_set is text": ("SELECT 1", ((),), DISCARD, None, False, "0"),
    "sets are no tuples": ("SELECT 1", (1, 2), DISCARD, None, False, 0),
    "no sets": ("SELECT 1", (), DISCARD, None, False, 0),
    "first set is a list": ("SELECT $1::int", ([1],), DISCARD, None, False, 0),
    "later set is a list": ("SELECT $1::int", ((1,), [1]), DISCARD, None, False, 0),
    "named tuple without a class": ("SELECT 1 AS a", (), NAMED_TUPLE, None, False, None),
    "keywords without a target": ("SELECT 1 AS a", (), KEYWORDS, None, False, None),
    "named tuple that is none": ("SELECT 1 AS a", (), NAMED_TUPLE, int, False, None),
    "keywords for what cannot be called": ("SELECT 1 AS a", (), KEYWORDS, 7, False, None),
    "NUL in SQL": ("SELECT 1\0", (), TUPLE, None, False, None),
    "surrogate in SQL": ("SELECT '\udc80'", (), TUPLE, None, False, None),
}


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("known", [False, True], ids=["unknown text", "known text"])
def test_submit_refuses_what_it_cannot_use(connection: "native.Connection", name: str, known: bool) -> None:
    arguments = ARGUMENTS[name]
    if known and "\0" not in name and "SQL" not in name:
        ask(connection, "SELECT 1")
        ask(connection, "SELECT 1 AS a")
        ask(connection, "SELECT $1::int", 1)
    with pytest.raises((TypeError, ValueError, OverflowError, DataError)):  # noqa: PT012
        request = connection.submit(*arguments)
        assert connection.wait(10_000_000_000) == DONE
        request.result()
    assert not connection.busy
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.advance(1),
        lambda c: c.wait(),
        lambda c: c.wait(1, 2),
        lambda c: c.wait("1"),
        lambda c: c.wait(None),
        lambda c: c.wait(2**70),
        lambda c: c.drop(),
        lambda c: c.drop(ValueError()),
        lambda c: c.drop(7, ValueError()),
        lambda c: c.hear(),
        lambda c: c.hear(print),
        lambda c: c.hear(print, 0),
        lambda c: c.hear(print, -1),
        lambda c: c.hear(print, "1"),
        lambda c: c.hear(print, 2**70),
        lambda c: c.forget(),
        lambda c: c.forget(7),
        lambda c: c.forget(None),
        lambda c: c.restore_request(),
        lambda c: c.restore_request(None),
        lambda c: c.restore_request(object()),
        lambda c: c.send_startup(None),
        lambda c: c.send_startup({}, {}),
        lambda c: c.send_password("text"),
        lambda c: c.send_md5("text", "me", b"salt"),
        lambda c: c.send_md5(native.Secret("x"), "me", b"s"),
        lambda c: c.send_md5(native.Secret("x"), 7, b"salt"),
        lambda c: c.send_sasl_initial(b"SCRAM-SHA-256", b""),
        lambda c: c.send_sasl_initial("SCRAM-SHA-256", "text"),
        lambda c: c.send_sasl_response("text"),
        lambda c: setattr(c, "fd", 1),
        lambda c: setattr(c, "parameters", {}),
        lambda c: setattr(c, "no_such_attribute", 1),
    ],
)
def test_wrong_arguments_are_exceptions(connection: "native.Connection", call: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError, AttributeError, InterfaceError)):
        call(connection)
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


@pytest.mark.parametrize("name", ["advance", "wait", "resume"])
def test_without_a_request_there_is_nothing_to_wait_for(connection: "native.Connection", name: str) -> None:
    arguments = (0,) if name == "wait" else ()
    with pytest.raises(InterfaceError, match="no request is under way"):
        getattr(connection, name)(*arguments)
    connection.look()
    connection.push()
    assert connection.take_finished() is None
    assert not connection.is_stuck(0)
    assert connection.suspend_request() is None
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


def test_a_second_statement_is_refused_while_one_is_under_way(connection: "native.Connection") -> None:
    first = submit(connection, "SELECT $1::int", 1)
    assert connection.busy
    for values in ((), None):
        with pytest.raises(InterfaceError, match="another statement is under way"):
            connection.submit("SELECT 2", values, TUPLE, None, False, None)
    with pytest.raises(InterfaceError, match="does not wait for types"):
        connection.suspend_request()
    with pytest.raises(InterfaceError, match="does not wait for types"):
        connection.resume()
    with pytest.raises(InterfaceError, match="another statement is under way"):
        connection.restore_request(first)
    with pytest.raises(InterfaceError, match="not complete"):
        first.result()
    assert connection.wait(10_000_000_000) == DONE
    assert first.result() == [(1,)]


def test_a_result_is_given_once(connection: "native.Connection") -> None:
    request = submit(connection, "SELECT $1::int", 1)
    connection.wait(-1)
    assert request.done
    assert request.result() == [(1,)]
    assert request.result() == []
    failed = submit(connection, "SELECT 1/$1::int", 0)
    connection.wait(-1)
    with pytest.raises(Exception, match="division by zero"):
        failed.result()
    failed.result()


def test_a_finished_or_foreign_request_is_not_taken_up_again(
    connection: "native.Connection", url: str
) -> None:
    request = submit(connection, "SELECT 1")
    connection.wait(-1)
    with pytest.raises(InterfaceError):
        connection.restore_request(request)
    other = open_(url)
    try:
        theirs = submit(other.connection, "SELECT 2")
        with pytest.raises(InterfaceError):
            connection.restore_request(theirs)
        other.connection.wait(-1)
        assert theirs.result() == [(2,)]
    finally:
        other.close()
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


def test_a_request_is_made_by_submit_alone() -> None:
    with pytest.raises(TypeError):
        native.Request()
    with pytest.raises(TypeError):
        type("Mine", (native.Request,), {})
    with pytest.raises(TypeError):
        type("Mine", (native.Connection,), {})


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        ((1,), {}),
        (("1", None, native.TypeMap()), {}),
        ((1, None, None), {}),
        ((1, None, object()), {}),
        ((1, None, native.TypeMap(), 5), {}),
        ((1, None, native.TypeMap()), {"message_size_max": 1}),
        ((1, None, native.TypeMap()), {"message_size_max": 2**31}),
        ((1, None, native.TypeMap()), {"statement_cache_size": -1}),
        ((1, None, native.TypeMap()), {"no_such": 1}),
        ((2**40, None, native.TypeMap()), {}),
    ],
)
def test_a_connection_is_made_of_the_right_things(
    arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        native.Connection(*arguments, **options)


@pytest.mark.parametrize("fd", [-1, 10_000])
def test_a_connection_over_no_socket_is_lost(fd: int) -> None:
    connection = native.Connection(fd, None, native.TypeMap())
    assert not connection.is_alive()
    with pytest.raises((OSError, ConnectionLost)):  # noqa: PT012 - either may be the first to notice
        connection.send_startup({"user": "me"})
        connection.flush()
        connection.receive()
    connection.terminate()
    connection.close()


def test_a_closed_connection_refuses_everything(connection: "native.Connection") -> None:
    connection.close()
    assert connection.closed
    assert not connection.is_alive()
    assert not connection.is_clean
    with pytest.raises(ConnectionLost, match="the connection is closed"):
        submit(connection, "SELECT 1")
    connection.terminate()
    connection.close()


def test_closing_under_a_request_ends_it(connection: "native.Connection") -> None:
    request = submit(connection, "SELECT $1::int", 1)
    connection.close()
    connection.terminate()
    assert not connection.busy
    with pytest.raises(ConnectionLost):
        request.result()


# Calls from inside of calls


@pytest.mark.parametrize(
    "again",
    [
        lambda c: c.advance(),
        lambda c: c.wait(0),
        lambda c: submit(c, "SELECT 2"),
        lambda c: c.push(),
        lambda c: c.append("SELECT 2", (), TUPLE, None, False, None),
        lambda c: c.prepare("SELECT 2"),
        lambda c: c.owe("SELECT 2"),
        lambda c: c.take_finished(),
        lambda c: c.forget("SELECT 1"),
        lambda c: c.terminate(),
        lambda c: c.is_alive(),
        lambda c: c.receive(),
        lambda c: c.flush(),
    ],
)
@pytest.mark.parametrize("where", ["notice", "target", "json", "encoder"])
def test_a_callback_cannot_enter_the_connection_again(
    url: str, where: str, again: Callable[["native.Connection"], Any]
) -> None:
    outcomes: list[BaseException] = []

    def callback(*_: Any, **__: Any) -> str:
        try:
            again(opened.connection)
        except InterfaceError as error:
            outcomes.append(error)
        return "1"

    opened = open_(url, native.TypeMap(json_loads=callback, json_dumps=callback))
    connection = opened.connection
    try:
        sql, values, shape, target = {
            "notice": ("DO $$begin raise notice 'x'; end$$", (), TUPLE, None),
            "target": ("SELECT 1 AS a", (), KEYWORDS, callback),
            "json": ("SELECT '1'::json", (), TUPLE, None),
            "encoder": ("SELECT $1::json", ([1],), TUPLE, None),
        }[where]
        if where == "notice":
            connection.on_notice = callback
        for _ in range(2):
            request = connection.submit(sql, values, shape, target, False, None)
            connection.wait(-1)
            request.result()
        assert len(outcomes) >= 2
        assert all(
            "in use by another thread or by the call that called back" in str(each) for each in outcomes
        )
        assert ask(connection, "SELECT $1::int", 5) == [(5,)]
    finally:
        opened.close()


def test_an_exception_of_a_callback_is_the_callers(connection: "native.Connection") -> None:
    def callback(*_: object) -> None:
        raise LookupError("mine")

    connection.on_notice = callback
    request = submit(connection, "DO $$begin raise notice 'x'; end$$")
    with pytest.raises(LookupError, match="mine"):  # noqa: PT012 - whichever call comes to it
        connection.wait(-1)
        request.result()
    connection.on_notice = None
    if connection.busy:
        connection.wait(-1)
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


def test_a_callback_may_be_replaced_by_itself(connection: "native.Connection") -> None:
    seen: list[str] = []

    def callback(fields: dict[str, str]) -> None:
        connection.on_notice = None
        seen.append(fields["M"])

    connection.on_notice = callback
    del callback
    ask(connection, "DO $$begin raise notice 'one'; raise notice 'two'; end$$")
    assert seen == ["one"]


def test_a_notification_comes_with_the_next_reply(connection: "native.Connection") -> None:
    heard: list[tuple[str, str, int]] = []
    connection.on_notification = lambda *parts: heard.append(parts)
    ask(connection, "LISTEN here")
    ask(connection, "SELECT pg_notify('here', 'x')")
    assert [part[:2] for part in heard] == [("here", "x")]


def test_an_idle_connection_hears_what_comes_unasked(connection: "native.Connection", url: str) -> None:
    heard: list[tuple[str, str, int]] = []
    ask(connection, "LISTEN here")
    assert not connection.hear(heard.append, 10)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_notify('here', n::text) FROM generate_series(1, 5) AS n")
        select.select([connection.fd], [], [])
        assert connection.hear(heard.append, 2)
        assert [part[:2] for part in heard] == [("here", "1"), ("here", "2")]
        while connection.hear(heard.append, 10):
            pass
        assert [part[1] for part in heard] == ["1", "2", "3", "4", "5"]
        assert {part[2] for part in heard} == {other.info.backend_pid}
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


def test_hearing_says_why_the_connection_has_ended(connection: "native.Connection", url: str) -> None:
    pid = ask(connection, "SELECT pg_backend_pid()")[0][0]
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(AdminShutdown):
        connection.hear(print, 10)
    assert connection.closed
    with pytest.raises(ConnectionLost, match="the connection is closed"):
        connection.hear(print, 10)


def test_hearing_is_for_idle_connections(connection: "native.Connection") -> None:
    submit(connection, "SELECT 1")
    with pytest.raises(InterfaceError, match="a statement is under way"):
        connection.hear(print, 10)
    connection.wait(-1)
    assert not connection.hear(None, 1)  # type: ignore[arg-type] # nothing came to call it with


def test_what_hearing_calls_may_raise_and_cannot_call_back(connection: "native.Connection", url: str) -> None:
    outcomes: list[Exception] = []

    def take(_: object) -> None:
        try:
            connection.hear(take, 1)
        except InterfaceError as error:
            outcomes.append(error)
        raise LookupError("mine")

    ask(connection, "LISTEN here")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_notify('here', n::text) FROM generate_series(1, 2) AS n")
    select.select([connection.fd], [], [])
    with pytest.raises(LookupError, match="mine"):
        connection.hear(take, 10)
    assert "the call that called back" in str(outcomes[0])
    heard: list[tuple[str, str, int]] = []
    while not heard:  # the second one, which may come later
        connection.hear(heard.append, 10)
    assert heard[0][1] == "2"
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


def test_another_thread_is_told_that_the_connection_is_in_use(connection: "native.Connection") -> None:
    submit(connection, "SELECT pg_sleep(0.4)")
    waiter = threading.Thread(target=connection.wait, args=(-1,))
    waiter.start()
    time.sleep(0.1)
    for call in (connection.advance, connection.is_alive, lambda: connection.wait(0)):
        with pytest.raises(InterfaceError, match="in use by another thread"):
            call()
    waiter.join()
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


# Memory


def test_connections_in_cycles_are_collected(url: str) -> None:
    class Holder:
        connection: Any = None

        def hear(self, _: object) -> None: ...

    watched: list[weakref.ref[Holder]] = []
    for stage in ("idle", "under way", "done"):
        opened = open_(url)
        holder = Holder()
        holder.connection = opened.connection
        opened.connection.on_notice = holder.hear
        opened.connection.on_notification = lambda *_, holder=holder: None
        request = opened.connection.submit("SELECT 1 AS a", (), KEYWORDS, holder.hear, False, None)
        if stage != "under way":
            opened.connection.wait(-1)
        if stage == "idle":
            with pytest.raises(TypeError):
                request.result()
        holder.__dict__["request"] = request
        watched.append(weakref.ref(holder))
        opened.sock.close()
        del opened, holder, request
    gc.collect()
    assert [each() for each in watched] == [None] * 3


def test_a_filter_that_holds_its_connection_is_collected() -> None:
    class Filter:
        connection: Any = None

        def read(self) -> bytes | None:
            return None

        def write(self, data: bytes) -> None: ...

        def flush(self) -> bool:
            return True

    ours, theirs = socket.socketpair()
    filter_ = Filter()
    filter_.connection = native.Connection(ours.fileno(), filter_, native.TypeMap())
    watched = weakref.ref(filter_)
    del filter_
    gc.collect()
    assert watched() is None
    ours.close()
    theirs.close()


def test_a_dropped_request_keeps_nothing(connection: "native.Connection") -> None:
    class Error(Exception):
        pass

    error = Error()
    watched = weakref.ref(error)
    request = submit(connection, "SELECT repeat('x', 1000) FROM generate_series(1, 10000)")
    connection.drop(request, error)
    connection.wait(-1)
    with pytest.raises(Error):
        request.result()
    error.__traceback__ = None
    del error, request
    gc.collect()
    assert watched() is None
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


@pytest.mark.parametrize("given", [None, 5, "text", LookupError])
def test_drop_takes_an_exception_and_nothing_else(connection: "native.Connection", given: Any) -> None:
    request = submit(connection, "SELECT pg_sleep(0.05)")
    with pytest.raises(TypeError):
        connection.drop(request, given)
    connection.wait(-1)
    assert ask(connection, "SELECT $1::int", 5) == [(5,)]


def test_no_bytes_are_lost_when_the_socket_takes_little_at_a_time(url: str) -> None:
    opened = open_(url)
    try:
        opened.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        text = os.urandom(2_000_000).hex()
        connection = opened.connection
        request = submit(connection, "SELECT length($1), $1", text)
        while connection.advance() != DONE:
            select.select([opened.sock], [opened.sock] if connection.wants_write else [], [], 10)
        assert request.result() == [(len(text), text)]
    finally:
        opened.close()


def test_shapes_have_the_numbers_that_python_gives_them() -> None:
    numbers = (_shape.DISCARD, _shape.DICT, _shape.TUPLE, _shape.NAMED_TUPLE, _shape.KEYWORDS, _shape.VALUE)
    assert numbers == (DISCARD, DICT, TUPLE, NAMED_TUPLE, KEYWORDS, VALUE)


# A question behind what is under way

QUESTION = "SELECT pg_catalog.current_setting('application_name')"
NAMED = "SET application_name = 'named'"


def until_done(connection: "native.Connection") -> None:
    connection.push()
    assert connection.wait(10_000_000_000) == DONE


def test_a_question_goes_behind_a_script_a_definition_and_what_was_never_described(
    connection: "native.Connection",
) -> None:
    assert connection.ask(QUESTION, VALUE) is None  # nothing is known of it
    ask(connection, QUESTION)
    for arguments in (None, ()):
        for sql in (NAMED, "CREATE TEMP TABLE made (a int)", "DROP TABLE made", "SELECT 1 / 0"):
            before = connection.submit(sql, arguments, DISCARD, None, False, None)
            question = connection.ask(QUESTION, VALUE)
            assert question is not None
            until_done(connection)
            assert before.done
            assert before.failed == ("/" in sql)
            assert question.result() == "named"


def test_corked_a_statement_waits_for_what_leaves_with_it(connection: "native.Connection") -> None:
    ask(connection, QUESTION)
    connection.corked = True
    request = connection.submit("SELECT 1", None, DISCARD, None, False, None)
    connection.corked = False
    assert connection.wants_write
    question = connection.ask(QUESTION, VALUE)
    assert question is not None
    until_done(connection)
    assert (request.tag, question.failed) == ("SELECT 1", False)


def test_a_question_does_not_go_in_front_of_what_is_still_to_be_written(
    connection: "native.Connection",
) -> None:
    ask(connection, QUESTION)
    # Its Bind follows once its types are known.
    request = submit(connection, "SELECT $1::int", 1)
    assert connection.ask(QUESTION, VALUE) is None
    until_done(connection)
    assert request.result() == [(1,)]
    connection.owe("BEGIN")
    assert connection.ask(QUESTION, VALUE) is None
    assert connection.disown("BEGIN")
    ask(connection, "CREATE TEMP TABLE fed (a int)")
    request = connection.copy_in("COPY fed FROM STDIN")
    assert connection.ask(QUESTION, VALUE) is None
    while connection.wait(10_000_000_000) != WANTS_DATA:
        pass
    connection.feed("1\n")
    assert connection.ask(QUESTION, VALUE) is None
    connection.end_copy()
    assert connection.ask(QUESTION, VALUE) is None  # a pooler may lose it
    until_done(connection)
    assert request.tag == "COPY 1"
    ask(connection, "INSERT INTO fed VALUES ($1)", 2)
    assert connection.begin_many("INSERT INTO fed VALUES ($1)", ((3,),), DISCARD, None, 0) is not None
    assert connection.ask(QUESTION, VALUE) is None
    connection.end_many()
    until_done(connection)


def test_a_question_is_known_still_where_definitions_have_changed(connection: "native.Connection") -> None:
    ask(connection, QUESTION)
    ask(connection, "CREATE TEMP TABLE made (a int)")
    ask(connection, "ALTER TABLE made ADD b int")
    assert connection.append(QUESTION, (), VALUE, None, True, None) is None
    question = connection.ask(QUESTION, VALUE)
    assert question is not None
    until_done(connection)
    assert not question.failed


@pytest.mark.parametrize("wrong", [(), (QUESTION,), (None, VALUE), (QUESTION, "value"), (QUESTION, 99)])
def test_a_question_that_is_none_is_refused(connection: "native.Connection", wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        connection.ask(*wrong)
    assert ask(connection, "SELECT 1") == [(1,)]


def test_a_connection_that_is_closed_is_asked_nothing(connection: "native.Connection") -> None:
    ask(connection, QUESTION)
    connection.close()
    assert connection.ask(QUESTION, VALUE) is None
