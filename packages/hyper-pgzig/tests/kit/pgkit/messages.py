"""Backend messages as bytes: one function per message, for scripts that play the backend.

Nothing is checked here. A script must be able to build what no real backend would send, so counts, formats
and lengths can be overridden where a fault may sit.
PostgreSQL docs: protocol-message-formats, the messages marked (B).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

NAMES: Final[Mapping[bytes, str]] = {
    b"R": "Authentication",
    b"K": "BackendKeyData",
    b"2": "BindComplete",
    b"3": "CloseComplete",
    b"C": "CommandComplete",
    b"d": "CopyData",
    b"c": "CopyDone",
    b"G": "CopyInResponse",
    b"H": "CopyOutResponse",
    b"W": "CopyBothResponse",
    b"D": "DataRow",
    b"I": "EmptyQueryResponse",
    b"E": "ErrorResponse",
    b"V": "FunctionCallResponse",
    b"v": "NegotiateProtocolVersion",
    b"n": "NoData",
    b"N": "NoticeResponse",
    b"A": "NotificationResponse",
    b"t": "ParameterDescription",
    b"S": "ParameterStatus",
    b"1": "ParseComplete",
    b"s": "PortalSuspended",
    b"Z": "ReadyForQuery",
    b"T": "RowDescription",
}


def message(tag: bytes, body: bytes = b"") -> bytes:
    """Frame `body`: the type byte, the length word, the body."""
    return tag + struct.pack("!i", len(body) + 4) + body


def with_length(original: bytes, length: int) -> bytes:
    """Return the message with another number in its length word, its bytes unchanged."""
    return original[:1] + struct.pack("!i", length) + original[5:]


def cstring(value: str | bytes) -> bytes:
    """Return the text with the zero byte behind it."""
    return (value.encode() if isinstance(value, str) else value) + b"\0"


def authentication(code: int, body: bytes = b"") -> bytes:
    """Any AuthenticationX message by its code."""
    return message(b"R", struct.pack("!i", code) + body)


def authentication_ok() -> bytes:
    """The frontend is in."""
    return authentication(0)


def authentication_kerberos_v5() -> bytes:
    """Long gone; drivers must refuse it."""
    return authentication(2)


def authentication_cleartext_password() -> bytes:
    """Asks for the password as it is."""
    return authentication(3)


def authentication_md5_password(salt: bytes) -> bytes:
    """Asks for md5(md5(password + user) + salt)."""
    return authentication(5, salt)


def authentication_gss() -> bytes:
    """Asks for GSSAPI."""
    return authentication(7)


def authentication_gss_continue(data: bytes) -> bytes:
    """GSSAPI or SSPI data."""
    return authentication(8, data)


def authentication_sspi() -> bytes:
    """Asks for SSPI."""
    return authentication(9)


def authentication_sasl(mechanisms: Iterable[str]) -> bytes:
    """Offers SASL mechanisms, best first."""
    return authentication(10, b"".join(cstring(name) for name in mechanisms) + b"\0")


def authentication_sasl_continue(data: bytes) -> bytes:
    """SASL challenge: SCRAM's server-first-message."""
    return authentication(11, data)


def authentication_sasl_final(data: bytes) -> bytes:
    """SASL outcome: SCRAM's server-final-message."""
    return authentication(12, data)


def negotiate_protocol_version(newest_minor: int, unknown_options: Sequence[str] = ()) -> bytes:
    """The backend speaks an older minor version, or does not know `_pq_.` options."""
    body = struct.pack("!ii", newest_minor, len(unknown_options))
    return message(b"v", body + b"".join(cstring(name) for name in unknown_options))


def backend_key_data(process_id: int = 4711, secret_key: bytes = b"\x01\x02\x03\x04") -> bytes:
    """What a CancelRequest must quote."""
    return message(b"K", struct.pack("!i", process_id) + secret_key)


def parameter_status(name: str, value: str) -> bytes:
    """A run-time parameter's value, at start and whenever it changes."""
    return message(b"S", cstring(name) + cstring(value))


def ready_for_query(status: str | bytes = "I") -> bytes:
    """Closes every query cycle: I idle, T in a transaction, E in a failed one."""
    return message(b"Z", status.encode() if isinstance(status, str) else status)


def parse_complete() -> bytes:
    """Answers Parse."""
    return message(b"1")


def bind_complete() -> bytes:
    """Answers Bind."""
    return message(b"2")


def close_complete() -> bytes:
    """Answers Close."""
    return message(b"3")


def no_data() -> bytes:
    """Answers Describe for a statement without rows."""
    return message(b"n")


def portal_suspended() -> bytes:
    """Ends an Execute that reached its row limit."""
    return message(b"s")


def empty_query_response() -> bytes:
    """Stands where CommandComplete would, for an empty query string."""
    return message(b"I")


def command_complete(tag: str) -> bytes:
    """Ends one command."""
    return message(b"C", cstring(tag))


def parameter_description(type_oids: Sequence[int], *, count: int | None = None) -> bytes:
    """The parameter types of a prepared statement."""
    number = len(type_oids) if count is None else count
    return message(b"t", struct.pack("!h", number) + b"".join(struct.pack("!I", oid) for oid in type_oids))


@dataclass(frozen=True, slots=True)
class Column:
    """One field of RowDescription."""

    name: str
    type_oid: int = 25
    type_size: int = -1
    type_modifier: int = -1
    format: int = 1
    table_oid: int = 0
    attribute: int = 0


def row_description(columns: Sequence[Column], *, count: int | None = None) -> bytes:
    """The fields of the rows that follow. `count` overrides the number of fields that is announced."""
    body = struct.pack("!h", len(columns) if count is None else count)
    for column in columns:
        body += cstring(column.name) + struct.pack(
            "!IhIhih",
            column.table_oid,
            column.attribute,
            column.type_oid,
            column.type_size,
            column.type_modifier,
            column.format,
        )
    return message(b"T", body)


def data_row(values: Sequence[bytes | None], *, count: int | None = None) -> bytes:
    """One row, already encoded; None is NULL. `count` overrides the number of values that is announced."""
    body = struct.pack("!h", len(values) if count is None else count)
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"D", body)


def fields(severity: str, sqlstate: str, text: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The fields of an ErrorResponse, by their one-letter types."""
    return {"S": severity, "V": severity, "C": sqlstate, "M": text, **(more or {})}


def _report(tag: bytes, content: Mapping[str, str]) -> bytes:
    return message(tag, b"".join(key.encode() + cstring(value) for key, value in content.items()) + b"\0")


def error_response(
    sqlstate: str, text: str, *, severity: str = "ERROR", more: Mapping[str, str] | None = None
) -> bytes:
    """An error; with FATAL the connection ends behind it."""
    return _report(b"E", fields(severity, sqlstate, text, more))


def notice_response(
    sqlstate: str = "00000",
    text: str = "a notice",
    *,
    severity: str = "NOTICE",
    more: Mapping[str, str] | None = None,
) -> bytes:
    """A notice; can come between any two messages."""
    return _report(b"N", fields(severity, sqlstate, text, more))


def notification_response(process_id: int, channel: str, payload: str) -> bytes:
    """A NOTIFY; can come between any two messages."""
    return message(b"A", struct.pack("!i", process_id) + cstring(channel) + cstring(payload))


def _copy(tag: bytes, overall: int, formats: Sequence[int]) -> bytes:
    return message(
        tag, struct.pack("!bh", overall, len(formats)) + b"".join(struct.pack("!h", f) for f in formats)
    )


def copy_in_response(overall: int = 0, formats: Sequence[int] = (0,)) -> bytes:
    """The backend waits for CopyData."""
    return _copy(b"G", overall, formats)


def copy_out_response(overall: int = 0, formats: Sequence[int] = (0,)) -> bytes:
    """The backend is about to send CopyData."""
    return _copy(b"H", overall, formats)


def copy_both_response(overall: int = 0, formats: Sequence[int] = (0,)) -> bytes:
    """Streaming replication only."""
    return _copy(b"W", overall, formats)


def copy_data(data: bytes) -> bytes:
    """A piece of a COPY stream."""
    return message(b"d", data)


def copy_done() -> bytes:
    """The COPY stream is over."""
    return message(b"c")


def function_call_response(value: bytes | None) -> bytes:
    """Answers FunctionCall."""
    return message(b"V", struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value)


def split(data: bytes) -> list[bytes]:
    """Cut a run of whole backend messages into messages.

    Raises:
        ValueError: The last message is not whole, or a length is below 4.
    """
    found: list[bytes] = []
    while data:
        length = struct.unpack_from("!i", data, 1)[0] if len(data) >= 5 else -1
        if length < 4 or len(data) < length + 1:
            raise ValueError(f"not a whole message: {data[:16]!r}")
        found.append(data[: length + 1])
        data = data[length + 1 :]
    return found


def name_of(original: bytes) -> str:
    """The manual's name of a message, by its type byte."""
    return NAMES.get(original[:1], f"Unknown({original[:1]!r})")


def trace(data: bytes) -> list[str]:
    """One line per whole backend message: `B`, its name, its body."""
    return [
        f"B {name_of(part)} {part[5:]!r}" if len(part) > 5 else f"B {name_of(part)}" for part in split(data)
    ]
