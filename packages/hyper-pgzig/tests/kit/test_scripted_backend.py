"""The scripted backend, held against libpq (through psycopg): what libpq accepts, a backend would send."""

import socket
import struct
import threading
import time

import psycopg
import pytest
from pgkit import (
    Answer,
    Column,
    ScramServer,
    Script,
    ScriptedBackend,
    ScriptFailure,
    accept_startup,
    close,
    dribble,
    expect,
    expect_eof,
    messages,
    ready,
    refuse,
    reset,
    send,
    serve,
    signal,
    startup,
    startup_cleartext,
    startup_md5,
    startup_scram,
    wait_for,
)
from pgkit.frontend import Query, StartupMessage, Terminate
from pgkit.scram import Fault

ONE_ROW = {"SELECT 1": Answer([Column("n", 23, 4, format=0)], [[b"1"]])}
AUTHENTICATION = {
    "cleartext": startup_cleartext("secret"),
    "md5": startup_md5("tester", "secret"),
    "scram": startup_scram(lambda: ScramServer("secret")),
}


def select_one(url: str) -> object:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        row = connection.execute("SELECT 1").fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("is_dribbling", [False, True], ids=["whole", "dribbled"])
def test_libpq_reads_the_scripted_session(unix: bool, is_dribbling: bool) -> None:
    with ScriptedBackend([*startup(), serve(ONE_ROW)], unix=unix, dribble=is_dribbling) as backend:
        assert select_one(backend.url(sslmode="disable")) == 1
    assert backend.conversations[0].trace[-6:] == [
        "F Query sql='SELECT 1'",
        f"B RowDescription {messages.row_description(ONE_ROW['SELECT 1'].columns)[5:]!r}",
        r"B DataRow b'\x00\x01\x00\x00\x00\x011'",
        r"B CommandComplete b'SELECT 1\x00'",
        "B ReadyForQuery b'I'",
        "F Terminate",
    ]


def test_the_extended_protocol_is_answered_too() -> None:
    answers = {"SELECT $1": Answer([Column("n", 20, 8)], [[struct.pack("!q", 7)], [None]], type_oids=[20])}
    with ScriptedBackend([*startup(), serve(answers)]) as backend:
        with psycopg.connect(backend.url(sslmode="disable"), autocommit=True) as connection:
            rows = connection.execute("SELECT %s", [7], prepare=True, binary=True).fetchall()
        assert rows == [(7,), (None,)]


def test_a_transaction_is_reported_in_the_status_byte() -> None:
    answers = {**ONE_ROW, "SELECT bad": Answer(error=messages.error_response("22012", "division by zero"))}
    with (
        ScriptedBackend([*startup(), serve(answers)]) as backend,
        psycopg.connect(backend.url(sslmode="disable")) as connection,
    ):
        connection.execute("SELECT 1")
        statuses = [connection.info.transaction_status]
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT bad")
        statuses.append(connection.info.transaction_status)
        connection.rollback()
        statuses.append(connection.info.transaction_status)
    assert [status.name for status in statuses] == ["INTRANS", "INERROR", "IDLE"]


def test_tls_requests_are_declined() -> None:
    with ScriptedBackend([*startup(), serve(ONE_ROW)]) as backend:
        assert select_one(backend.url(sslmode="prefer")) == 1
    assert backend.conversations[0].trace[:2] == ["F SSLRequest", "B bytes b'N'"]


@pytest.mark.parametrize("method", AUTHENTICATION)
def test_libpq_logs_in_with_the_right_password_only(method: str) -> None:
    with ScriptedBackend([*AUTHENTICATION[method], serve(ONE_ROW)]) as backend:
        assert select_one(backend.url(password="secret", sslmode="disable")) == 1
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            select_one(backend.url(password="wrong", sslmode="disable"))


@pytest.mark.parametrize("fault", ["foreign-nonce", "wrong-signature", "error", "no-salt", "bad-base64"])
def test_libpq_notices_every_scram_fault(fault: Fault) -> None:
    script = startup_scram(lambda: ScramServer("secret", fault=fault))
    with (
        ScriptedBackend(script, frontend_may_leave=True) as backend,
        pytest.raises(psycopg.OperationalError),
    ):
        select_one(backend.url(password="secret", sslmode="disable"))


def test_a_refusal_keeps_its_sqlstate_and_text() -> None:
    with (
        ScriptedBackend(refuse("53300", "sorry, too many clients already")) as backend,
        pytest.raises(psycopg.OperationalError, match="too many clients"),
    ):
        select_one(backend.url(sslmode="disable"))


def raw_frontend(backend: ScriptedBackend) -> socket.socket:
    sock = socket.create_connection((backend.host, backend.port), timeout=5)
    body = struct.pack("!i", 3 << 16) + b"user\0tester\0\0"
    sock.sendall(struct.pack("!i", len(body) + 4) + body)
    backend.wait_connected()
    return sock


def converse(
    script: Script, data: bytes = b"", *, timeout: float = 5.0, hold: float = 0.0, may_leave: bool = False
) -> ScriptedBackend:
    """Start the session, send the bytes, close, and let the script's failure come out."""
    with (
        ScriptedBackend(script, timeout=timeout, frontend_may_leave=may_leave) as backend,
        raw_frontend(backend) as sock,
    ):
        sock.sendall(data)
        time.sleep(hold)
    return backend


def test_a_frontend_that_departs_from_the_script_fails_the_test() -> None:
    with pytest.raises(
        ScriptFailure, match="step 2: the script expects Query, the frontend sent F Terminate"
    ):
        converse([accept_startup(), expect(Query)], b"X\0\0\0\x04")


def test_a_failing_check_fails_the_test() -> None:
    with pytest.raises(ScriptFailure, match=r"step 1: .*'user': 'tester'"):
        converse([expect(StartupMessage, lambda one: "database" in str(one))])


def test_malformed_frontend_bytes_fail_the_test() -> None:
    with pytest.raises(ScriptFailure, match="malformed"):
        converse([accept_startup(), expect(Query)], b"Q\0\0\0\x09no end")


def test_a_silent_frontend_fails_the_test_in_time() -> None:
    with pytest.raises(ScriptFailure, match=r"nothing from the frontend for 0\.1 s"):
        converse([accept_startup(), expect(Query), expect(Query)], b"Q\0\0\0\x06x\0", timeout=0.1, hold=0.5)


def test_an_early_goodbye_is_a_failure_unless_it_is_allowed() -> None:
    script = [accept_startup(), expect(Query), expect(Query)]
    with pytest.raises(ScriptFailure, match="the frontend left"):
        converse(script, b"Q\0\0\0\x06x\0")
    backend = converse(script, b"Q\0\0\0\x06x\0", may_leave=True)
    assert backend.conversations[0].closed_by_frontend


def test_a_script_failure_is_noted_on_the_error_of_the_test() -> None:
    def fail() -> None:
        with ScriptedBackend([accept_startup(), expect(Query)]) as backend:
            raw_frontend(backend).close()
            backend.wait_closed()
            raise KeyError("the test's own")

    with pytest.raises(KeyError) as caught:
        fail()
    assert "the script expects Query" in caught.value.__notes__[0]


def test_each_connection_gets_its_script() -> None:
    with ScriptedBackend([*startup(), serve(ONE_ROW)], refuse("57P03", "starting up")) as backend:
        assert select_one(backend.url(sslmode="disable")) == 1
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError, match="starting up"):
                select_one(backend.url(sslmode="disable"))
    assert len(backend.conversations) == 3


def test_close_is_eof_and_reset_is_rst() -> None:
    for step, expected in ((close(), b""), (reset(), None)):
        with (
            ScriptedBackend([accept_startup(), step], frontend_may_leave=True) as backend,
            raw_frontend(backend) as sock,
        ):
            if expected is None:
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
            else:
                assert sock.recv(1) == expected


def test_cut_after_ends_the_stream_at_that_byte() -> None:
    whole = messages.authentication_ok() + messages.ready_for_query()
    for size in range(1, len(whole)):
        with (
            ScriptedBackend([accept_startup(), send(whole)], cut_after=size) as backend,
            raw_frontend(backend) as sock,
        ):
            received = b"".join(iter(lambda sock=sock: sock.recv(100), b""))  # type: ignore[misc]
            assert received == whole[:size]


def test_script_and_test_can_wait_for_each_other() -> None:
    arrived, go = threading.Event(), threading.Event()
    script = [
        accept_startup(),
        signal(arrived),
        wait_for(go),
        dribble(b"abc"),
        expect(Terminate),
        expect_eof(),
    ]
    with ScriptedBackend(script) as backend, raw_frontend(backend) as sock:
        assert arrived.wait(5)
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        go.set()
        sock.settimeout(5)
        assert b"".join(sock.recv(1) for _ in range(3)) == b"abc"
        sock.sendall(b"X\0\0\0\x04")


def test_a_cancel_request_is_kept() -> None:
    with ScriptedBackend([*startup(), serve({})]) as backend:
        with psycopg.connect(backend.url(sslmode="disable")) as connection:
            connection.cancel_safe(timeout=5)
        with pytest.raises(psycopg.errors.UndefinedTable):
            select_one(backend.url(sslmode="disable"))
        assert [(one.process_id, one.secret_key) for one in backend.cancel_requests] == [(4711, b"\1\2\3\4")]


def test_ready_reports_the_parameters() -> None:
    script = [
        accept_startup(),
        send(messages.authentication_ok()),
        ready({"TimeZone": "Asia/Tokyo"}),
        serve({}),
    ]
    with (
        ScriptedBackend(script) as backend,
        psycopg.connect(backend.url(sslmode="disable")) as connection,
    ):
        assert connection.info.parameter_status("TimeZone") == "Asia/Tokyo"


def test_copy_in_takes_data_and_reports_a_failure() -> None:
    answers = {**ONE_ROW, "COPY t FROM STDIN": Answer(copy_in=True)}
    with (
        ScriptedBackend([*startup(), serve(answers)]) as backend,
        psycopg.connect(backend.url(sslmode="disable"), autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        with cursor.copy("COPY t FROM STDIN") as copy:
            copy.write(b"1\n2\n")
        assert cursor.rowcount == 2
        assert cursor.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(KeyError), cursor.copy("COPY t FROM STDIN"):
            raise KeyError("the frontend gives up")
        assert cursor.execute("SELECT 1").fetchone() == (1,)
    assert any(line.startswith("F CopyFail") for line in backend.conversations[0].trace)
    assert any("C57014" in line for line in backend.conversations[0].trace)
