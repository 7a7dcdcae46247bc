"""A backend that breaks the protocol before the session stands: an error at once, whole or byte by byte.

The scripted backend spoils authentication and what follows it; every fault goes through both faces.
PostgreSQL docs: protocol-flow, "Start-up"; sasl-authentication.
"""

import time
from typing import Any, Final

import pytest
from hyperdjango.database import ConnectionFailed, Error, OperationalError, ProtocolError
from pgkit import (
    SIMPLE_SELECT,
    ScramServer,
    Script,
    ScriptedBackend,
    accept_startup,
    expect,
    expect_eof,
    messages,
    ready,
    refuse,
    send,
    serve,
    startup_cleartext,
    startup_md5,
    startup_scram,
)
from pgkit.ask import Ask, ask_async, ask_sync
from pgkit.frontend import AuthenticationResponse
from pgkit.scram import Fault

SQL: Final = "SELECT n"
ROWS: Final = [{"n": 1}, {"n": 2}]
SECONDS_MAX: Final = 2.0


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    face: Ask = request.param
    return face


def failure(
    ask: Ask, script: Script, *, dribble: bool = False, password: str = "secret", **keys: Any
) -> Error:
    """Connect, which must fail in time, and return the error; the driver must have closed its side."""
    with ScriptedBackend(script, frontend_may_leave=True, timeout=3, dribble=dribble) as backend:
        began = time.monotonic()
        with pytest.raises(Error) as caught:
            ask(backend.url(password=password, sslmode="disable", **keys), SQL)
        assert time.monotonic() - began < SECONDS_MAX
        assert backend.wait_closed(), "the driver left the connection open"
        return caught.value


BEFORE_AUTHENTICATION: Final = {
    "a row": messages.data_row([b"x"]),
    "ReadyForQuery": messages.ready_for_query(),
    "BackendKeyData": messages.backend_key_data(),
    "CommandComplete": messages.command_complete("SELECT 1"),
    "CopyInResponse": messages.copy_in_response(),
    "unknown type": messages.message(b"!"),
    "length 3": b"R\0\0\0\x03\0\0\0\0",
    "negative length": b"R\x80\0\0\0\0\0\0\0",
    "length 2 GiB": b"R\x7f\xff\xff\xff\0\0\0\0",
    "no code": messages.message(b"R"),
    "half a code": messages.message(b"R", b"\0\0"),
    "bytes behind AuthenticationOk": messages.authentication(0, b"x"),
    "md5 with a short salt": messages.authentication_md5_password(b"abc"),
    "md5 with a long salt": messages.authentication_md5_password(b"abcde"),
    "SASL without an end": messages.authentication(10, b"SCRAM-SHA-256\0"),
    "SASL without a name": messages.authentication_sasl([]),
    "SASL out of order: continue": messages.authentication_sasl_continue(b"r=x,s=eA==,i=1"),
    "SASL out of order: final": messages.authentication_sasl_final(b"v=x"),
    "an HTTP server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "an SSH server": b"SSH-2.0-OpenSSH_9.2\r\n",
}


@pytest.mark.parametrize("reply", BEFORE_AUTHENTICATION.values(), ids=BEFORE_AUTHENTICATION)
def test_what_is_no_authentication_request_is_refused(ask: Ask, reply: bytes) -> None:
    script = [accept_startup(), send(reply), expect_eof()]
    assert isinstance(failure(ask, script), OperationalError)


@pytest.mark.parametrize("code", [1, 2, 4, 6, 7, 9, 13, 255, -1])
def test_a_method_the_driver_does_not_know_is_refused(ask: Ask, code: int) -> None:
    script = [accept_startup(), send(messages.authentication(code)), expect_eof()]
    assert isinstance(failure(ask, script), OperationalError)


AFTER_AUTHENTICATION: Final = {
    "AuthenticationOk again": messages.authentication_ok(),
    "a password request": messages.authentication_cleartext_password(),
    "a row": messages.data_row([]),
    "ParseComplete": messages.parse_complete(),
    "RowDescription": messages.row_description([]),
    "CopyOutResponse": messages.copy_out_response(),
    "an unknown status": messages.ready_for_query("X"),
    "ReadyForQuery without status": messages.message(b"Z"),
    "ParameterStatus without value": messages.message(b"S", b"name\0"),
    "ParameterStatus without end": messages.message(b"S", b"name\0value"),
    "BackendKeyData without key": messages.message(b"K", b"\0\0\0\1"),
    "BackendKeyData cut": messages.message(b"K", b"\0\0"),
    "unknown type": messages.message(b"\x00"),
}


@pytest.mark.parametrize("reply", AFTER_AUTHENTICATION.values(), ids=AFTER_AUTHENTICATION)
def test_what_does_not_belong_behind_authentication_is_refused(ask: Ask, reply: bytes) -> None:
    script = [accept_startup(), send(messages.authentication_ok()), send(reply), expect_eof()]
    assert isinstance(failure(ask, script), ProtocolError | ConnectionFailed)


@pytest.mark.parametrize(
    "fault", ["foreign-nonce", "wrong-signature", "error", "no-salt", "bad-base64", "mandatory-extension"]
)
def test_every_scram_fault_is_noticed_and_shows_no_password(ask: Ask, fault: Fault) -> None:
    script = startup_scram(lambda: ScramServer("secret-word", fault=fault), then=[expect_eof()])
    error = failure(ask, script, password="secret-word")
    assert isinstance(error, OperationalError)
    assert "secret-word" not in repr(error) + str(error)


def test_scram_is_not_over_before_the_backend_has_proved_itself(ask: Ask) -> None:
    def without_final(script_server: ScramServer) -> Script:
        return [
            accept_startup(),
            send(messages.authentication_sasl(["SCRAM-SHA-256"])),
            lambda talk: talk.send(
                messages.authentication_sasl_continue(
                    script_server.first(talk.expect(AuthenticationResponse).sasl_initial()[1])
                )
            ),
            expect(AuthenticationResponse),
            send(messages.authentication_ok()),
            ready(),
            expect_eof(),
        ]

    assert isinstance(failure(ask, without_final(ScramServer("secret"))), OperationalError)


def test_too_many_scram_iterations_are_refused_before_they_are_computed(ask: Ask) -> None:
    script = startup_scram(lambda: ScramServer("secret", iterations=2_000_000_000), then=[expect_eof()])
    assert isinstance(failure(ask, script), OperationalError)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "OAUTHBEARER", "SCRAM-SHA-256-PLUS", "scram-sha-256"])
def test_a_mechanism_that_cannot_be_used_here_is_refused(ask: Ask, mechanism: str) -> None:
    script = [accept_startup(), send(messages.authentication_sasl([mechanism])), expect_eof()]
    assert isinstance(failure(ask, script), OperationalError)


@pytest.mark.parametrize("is_dribbling", [False, True], ids=["whole", "dribbled"])
@pytest.mark.parametrize(
    "opening",
    [
        startup_cleartext("secret"),
        startup_md5("tester", "secret"),
        startup_scram(lambda: ScramServer("secret")),
    ],
    ids=["cleartext", "md5", "scram"],
)
def test_each_method_works_whole_and_byte_by_byte(ask: Ask, opening: Script, is_dribbling: bool) -> None:
    script = [*opening, serve({SQL: SIMPLE_SELECT})]
    with ScriptedBackend(script, dribble=is_dribbling) as backend:
        assert ask(backend.url(password="secret", sslmode="disable"), SQL) == ROWS
    if is_dribbling:
        return
    error = failure(ask, script, password="wrong")
    assert isinstance(error, ConnectionFailed)
    assert error.sqlstate == "28P01"


REFUSALS: Final = {
    "28P01": "password authentication failed",
    "3D000": 'database "testdb" does not exist',
    "53300": "sorry, too many clients already",
    "57P03": "the database system is starting up",
}


@pytest.mark.parametrize("is_dribbling", [False, True], ids=["whole", "dribbled"])
@pytest.mark.parametrize("sqlstate", REFUSALS)
def test_a_refusal_keeps_its_sqlstate_and_message(ask: Ask, sqlstate: str, is_dribbling: bool) -> None:
    # Two of them pass by themselves, so the driver tries again until its time is over.
    error = failure(ask, refuse(sqlstate, REFUSALS[sqlstate]), dribble=is_dribbling, connect_timeout=1)
    assert isinstance(error, ConnectionFailed)
    assert isinstance(error, RuntimeError)
    assert error.sqlstate == sqlstate
    assert str(error).startswith(REFUSALS[sqlstate])
