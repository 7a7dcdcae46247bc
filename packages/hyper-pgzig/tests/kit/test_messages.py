"""Messages both ways: the backend's bytes as the manual has them, the frontend's bytes as values."""

import struct

import pytest
from pgkit import messages
from pgkit.frontend import (
    AuthenticationResponse,
    Bind,
    CancelRequest,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    Flush,
    FrontendMessage,
    FrontendMessageError,
    FrontendParser,
    FunctionCall,
    GSSENCRequest,
    Parse,
    Query,
    SSLRequest,
    StartupMessage,
    Sync,
    Terminate,
)
from pgkit.messages import Column

BACKEND = {
    b"R\0\0\0\x08\0\0\0\0": messages.authentication_ok(),
    b"R\0\0\0\x08\0\0\0\x02": messages.authentication_kerberos_v5(),
    b"R\0\0\0\x08\0\0\0\x03": messages.authentication_cleartext_password(),
    b"R\0\0\0\x0c\0\0\0\x05salt": messages.authentication_md5_password(b"salt"),
    b"R\0\0\0\x08\0\0\0\x07": messages.authentication_gss(),
    b"R\0\0\0\x09\0\0\0\x08x": messages.authentication_gss_continue(b"x"),
    b"R\0\0\0\x08\0\0\0\x09": messages.authentication_sspi(),
    b"R\0\0\0\x0b\0\0\0\x0aA\0\0": messages.authentication_sasl(["A"]),
    b"R\0\0\0\x09\0\0\0\x0bx": messages.authentication_sasl_continue(b"x"),
    b"R\0\0\0\x09\0\0\0\x0cx": messages.authentication_sasl_final(b"x"),
    b"v\0\0\0\x0e\0\0\0\x01\0\0\0\x01a\0": messages.negotiate_protocol_version(1, ["a"]),
    b"K\0\0\0\x0c\0\0\0\x05\0\0\0\x06": messages.backend_key_data(5, b"\0\0\0\6"),
    b"S\0\0\0\x08a\0b\0": messages.parameter_status("a", "b"),
    b"Z\0\0\0\x05T": messages.ready_for_query("T"),
    b"1\0\0\0\x04": messages.parse_complete(),
    b"2\0\0\0\x04": messages.bind_complete(),
    b"3\0\0\0\x04": messages.close_complete(),
    b"n\0\0\0\x04": messages.no_data(),
    b"s\0\0\0\x04": messages.portal_suspended(),
    b"I\0\0\0\x04": messages.empty_query_response(),
    b"C\0\0\0\x0bSELECT\0": messages.command_complete("SELECT"),
    b"t\0\0\0\x0a\0\x01\0\0\0\x17": messages.parameter_description([23]),
    b"D\0\0\0\x0f\0\x02\0\0\0\x01x\xff\xff\xff\xff": messages.data_row([b"x", None]),
    b"T\0\0\0\x1a\0\x01n\0\0\0\0\x09\0\x02\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01": messages.row_description(
        [Column("n", 23, 4, -1, 1, 9, 2)]
    ),
    b"E\0\0\0\x1dSERROR\0VERROR\0C42601\0Mm\0\0": messages.error_response("42601", "m"),
    b"N\0\0\0\x1fSNOTICE\0VNOTICE\0C00000\0Mm\0\0": messages.notice_response("00000", "m"),
    b"A\0\0\0\x0c\0\0\0\x07c\0p\0": messages.notification_response(7, "c", "p"),
    b"G\0\0\0\x09\0\0\x01\0\0": messages.copy_in_response(),
    b"H\0\0\0\x09\x01\0\x01\0\x01": messages.copy_out_response(1, [1]),
    b"W\0\0\0\x07\0\0\0": messages.copy_both_response(0, []),
    b"d\0\0\0\x05x": messages.copy_data(b"x"),
    b"c\0\0\0\x04": messages.copy_done(),
    b"V\0\0\0\x08\xff\xff\xff\xff": messages.function_call_response(None),
}

FRONTEND: list[tuple[FrontendMessage, bytes]] = [
    (AuthenticationResponse(b"pw\0"), b"p\0\0\0\x07pw\0"),
    (Parse("s", "select $1", [23]), b"P\0\0\0\x16s\0select $1\0\0\x01\0\0\0\x17"),
    (
        Bind("p", "s", [1], [b"x", None], [1]),
        b"B\0\0\0\x1bp\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\x01",
    ),
    (Describe("S", "s"), b"D\0\0\0\x07Ss\0"),
    (Execute("", 5), b"E\0\0\0\x09\0\0\0\0\x05"),
    (Close("P", ""), b"C\0\0\0\x06P\0"),
    (Sync(), b"S\0\0\0\x04"),
    (Flush(), b"H\0\0\0\x04"),
    (Query("x"), b"Q\0\0\0\x06x\0"),
    (CopyData(b"x"), b"d\0\0\0\x05x"),
    (CopyDone(), b"c\0\0\0\x04"),
    (CopyFail("x"), b"f\0\0\0\x06x\0"),
    (FunctionCall(b"x"), b"F\0\0\0\x05x"),
    (Terminate(), b"X\0\0\0\x04"),
]
STARTUP = struct.pack("!ii", 4 + 4 + 9, 3 << 16) + b"user\0me\0\0"


@pytest.mark.parametrize(("expected", "built"), BACKEND.items(), ids=[messages.name_of(m) for m in BACKEND])
def test_backend_messages_have_the_manuals_bytes(expected: bytes, built: bytes) -> None:
    assert built == expected
    assert messages.split(built * 2) == [built, built]
    assert messages.trace(built)[0].startswith(f"B {messages.name_of(built)}")


def test_counts_and_lengths_can_lie() -> None:
    assert messages.data_row([b"x"], count=-1)[5:7] == b"\xff\xff"
    assert messages.row_description([], count=9)[5:7] == b"\0\x09"
    assert messages.parameter_description([], count=3)[5:7] == b"\0\x03"
    assert messages.with_length(messages.ready_for_query(), 3) == b"Z\0\0\0\x03I"
    with pytest.raises(ValueError, match="not a whole message"):
        messages.split(messages.with_length(messages.ready_for_query(), 3))


@pytest.mark.parametrize(("value", "data"), FRONTEND, ids=[type(value).__name__ for value, _ in FRONTEND])
def test_frontend_messages_are_parsed_whole_and_byte_by_byte(value: FrontendMessage, data: bytes) -> None:
    whole, dribbled = FrontendParser(), FrontendParser()
    assert whole.feed(STARTUP + data + data)[1:] == [value, value]
    assert [one for i in range(len(STARTUP + data)) for one in dribbled.feed((STARTUP + data)[i : i + 1])][
        1:
    ] == [value]
    assert dribbled.pending == b""
    assert str(value).startswith(f"F {type(value).__name__}")


@pytest.mark.parametrize(("value", "data"), FRONTEND, ids=[type(value).__name__ for value, _ in FRONTEND])
def test_a_shorter_body_is_malformed_or_means_something_else(value: FrontendMessage, data: bytes) -> None:
    for size in range(len(data) - 5):
        parser = FrontendParser()
        parser.feed(STARTUP)
        try:
            parsed = parser.feed(messages.message(data[:1], data[5 : 5 + size]))
        except FrontendMessageError:
            continue
        assert parsed != [value]


def test_what_comes_before_the_startup_message() -> None:
    parser = FrontendParser()
    stream = struct.pack("!ii", 8, 80877103) + struct.pack("!ii", 8, 80877104) + STARTUP
    assert parser.feed(stream) == [SSLRequest(), GSSENCRequest(), StartupMessage((3, 0), {"user": "me"})]
    cancel = struct.pack("!iii", 16, 80877102, 7) + b"key!"
    assert FrontendParser().feed(cancel) == [CancelRequest(7, b"key!")]


@pytest.mark.parametrize(
    "data", [b"Y\0\0\0\x04", b"S\0\0\0\x03", b"S\0\0\0\x05x"], ids=["type", "length", "trailing"]
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    parser = FrontendParser()
    parser.feed(STARTUP)
    with pytest.raises(FrontendMessageError):
        parser.feed(data)


def test_authentication_responses_are_read_as_the_context_says() -> None:
    assert AuthenticationResponse(b"pw\0").password() == b"pw"
    assert AuthenticationResponse(b"SCRAM-SHA-256\0\0\0\0\x03n,,").sasl_initial() == ("SCRAM-SHA-256", b"n,,")
    with pytest.raises(FrontendMessageError):
        AuthenticationResponse(b"pw").password()
    with pytest.raises(FrontendMessageError):
        AuthenticationResponse(b"X\0\xff\xff\xff\xff").sasl_initial()
