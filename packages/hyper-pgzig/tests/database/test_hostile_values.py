"""Values that no honest backend sends: counts in the thousands of millions, deep nesting, bodies cut short.

Each comes as the one value of a well-formed DataRow. It must give an error at once, without the memory it
promises and without stopping the event loop; the process lives on and the next query works.
"""

import resource
import struct
import time
from collections.abc import Iterator
from typing import Final

import pytest
from hyperdjango.database import DataError, Error, OperationalError, ProtocolError
from pgkit import SIMPLE_SELECT, Answer, Column, ScriptedBackend, messages, serve, startup
from pgkit.ask import Ask, ask_async, ask_json, ask_sync

SQL: Final = "SELECT v"
SECONDS_MAX: Final = 2.0
MEMORY_MAX: Final = 200 * 1024  # in KiB, as getrusage has it on Linux
INT_MAX: Final = 2**31 - 1


@pytest.fixture(params=[ask_sync, ask_async, ask_json], ids=["sync", "async", "json"])
def ask(request: pytest.FixtureRequest) -> Ask:
    face: Ask = request.param
    return face


def array(
    element: int, dimensions: list[tuple[int, int]], body: bytes = b"", *, count: int | None = None
) -> bytes:
    head = struct.pack("!iiI", len(dimensions) if count is None else count, 0, element)
    return head + b"".join(struct.pack("!ii", *dimension) for dimension in dimensions) + body


def one(value: bytes) -> bytes:
    return struct.pack("!i", len(value)) + value


INT4: Final = one(b"\0\0\0\x01")

# Name, the column's type, the value.
HOSTILE: Final[list[tuple[str, int, bytes]]] = [
    ("array: size of 2^31-1", 1007, array(23, [(INT_MAX, 1)])),
    ("array: negative size", 1007, array(23, [(-1, 1)])),
    ("array: six sizes of 2^31-1", 1007, array(23, [(INT_MAX, 1)] * 6)),
    ("array: sizes whose product is 0 mod 2^64", 1007, array(23, [(2**22, 1)] * 3, INT4)),
    ("array: more dimensions than bytes", 1007, array(23, [], count=INT_MAX)),
    ("array: negative dimensions", 1007, array(23, [], count=-1)),
    ("array: seven dimensions", 1007, array(23, [(1, 1)] * 7, INT4)),
    ("array: empty inner sizes, huge outer", 1007, array(23, [(INT_MAX, 1), (0, 1)])),
    ("array: bytes left over", 1007, array(23, [(1, 1)], INT4 + b"x")),
    ("array: element of 2^31-1 bytes", 1007, array(23, [(1, 1)], struct.pack("!i", INT_MAX))),
    ("array: element of -2 bytes", 1007, array(23, [(1, 1)], struct.pack("!i", -2))),
    ("array: lower bound overflows", 1007, array(23, [(2, INT_MAX)], INT4)),
    ("numeric: 32767 digits of none", 1700, struct.pack("!hhhh", 32767, 0, 0, 0)),
    ("numeric: negative digit count", 1700, struct.pack("!hhhh", -1, 0, 0, 0)),
    ("numeric: digit 9999+1", 1700, struct.pack("!hhhhH", 1, 0, 0, 0, 10000)),
    ("numeric: unknown sign", 1700, struct.pack("!hhHhH", 1, 0, 0x1234, 0, 1)),
    ("record: 2^31-1 fields", 2249, struct.pack("!i", INT_MAX)),
    ("record: -1 fields", 2249, struct.pack("!i", -1)),
    ("record: field cut", 2249, struct.pack("!iIi", 1, 23, 4) + b"\0"),
    ("range: unknown flags", 3904, b"\xff"),
    ("range: no flags", 3904, b""),
    ("range: bound cut", 3904, b"\x02" + struct.pack("!i", 4) + b"\0"),
    ("range: bytes behind empty", 3904, b"\x01x"),
    ("multirange: 2^31-1 ranges", 4451, struct.pack("!i", INT_MAX)),
    ("multirange: -1 ranges", 4451, struct.pack("!i", -1)),
    ("path: 2^31-1 points", 602, b"\x01" + struct.pack("!i", INT_MAX)),
    ("path: -1 points", 602, b"\x01" + struct.pack("!i", -1)),
    ("polygon: 2^31-1 points", 604, struct.pack("!i", INT_MAX)),
    ("bit: 2^31-1 bits of none", 1560, struct.pack("!i", INT_MAX)),
    ("bit: -1 bits", 1562, struct.pack("!i", -1)),
    ("inet: 255 bytes of address", 869, b"\x02\x20\x00\xff\x7f\0\0\1"),
    ("inet: unknown family", 869, b"\x09\x20\x00\x04\x7f\0\0\1"),
    ("inet: prefix of 200", 869, b"\x02\xc8\x00\x04\x7f\0\0\1"),
    ("jsonb: no version", 3802, b""),
    ("jsonb: version 9", 3802, b"\x09{}"),
    ("text: not UTF-8", 25, b"\xff\xfe"),
    ("text: half a character", 25, "é".encode()[:1]),
    ("tsvector: 2^31-1 lexemes", 3614, struct.pack("!i", INT_MAX)),
    ("tsquery: 2^31-1 items", 3615, struct.pack("!i", INT_MAX)),
    ("tsquery: 100 000 NOTs", 3615, struct.pack("!i", 100_001) + b"\x02\x01" * 100_000),
    ("bool: 2", 16, b"\0\0"),
    ("date: 5 bytes", 1082, bytes(5)),
    ("timetz: 11 bytes", 1266, bytes(11)),
    ("interval: 15 bytes", 1186, bytes(15)),
    ("uuid: 15 bytes", 2950, bytes(15)),
    ("macaddr: 5 bytes", 829, bytes(5)),
    ("point: 15 bytes", 600, bytes(15)),
]
JSON: Final[list[tuple[str, int, bytes]]] = [
    ("jsonb: no JSON", 3802, b"\x01{"),
    ("json: no JSON", 114, b"[1,"),
    ("json: 200 000 lists deep", 114, b"[" * 200_000 + b"]" * 200_000),
    ("jsonb: 200 000 objects deep", 3802, b"\x01" + b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
]
# Type and size of the types with one size.
FIXED: Final = {
    16: 1,
    21: 2,
    23: 4,
    20: 8,
    26: 4,
    700: 4,
    701: 8,
    1082: 4,
    1083: 8,
    1114: 8,
    1184: 8,
    1266: 12,
    2950: 16,
}


def answer_with(type_oid: int, values: list[bytes]) -> dict[str, Answer]:
    return {SQL: Answer([Column("v", type_oid)], [[value] for value in values]), "SELECT n": SIMPLE_SELECT}


def refused(ask: Ask, type_oid: int, value: bytes) -> Exception:
    """Ask for the value; return the error, after the driver has answered another query."""
    script = [*startup(), serve(answer_with(type_oid, [value]))]
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        began = time.monotonic()
        with pytest.raises((Error, ValueError, RecursionError)) as caught:
            ask(backend.url(sslmode="disable"), SQL)
        assert time.monotonic() - began < SECONDS_MAX
        assert ask(backend.url(sslmode="disable"), "SELECT n") == [{"n": 1}, {"n": 2}]
    return caught.value


@pytest.fixture
def memory_is_bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_MAX


@pytest.mark.usefixtures("memory_is_bounded")
@pytest.mark.parametrize(
    ("type_oid", "value"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_a_hostile_value_is_an_error_at_once(ask: Ask, type_oid: int, value: bytes) -> None:
    error = refused(ask, type_oid, value)
    assert isinstance(error, ProtocolError | DataError), repr(error)


@pytest.mark.usefixtures("memory_is_bounded")
@pytest.mark.parametrize(("type_oid", "value"), [case[1:] for case in JSON], ids=[case[0] for case in JSON])
def test_json_that_cannot_be_read_is_an_error_of_its_own_parser_at_most(
    ask: Ask, type_oid: int, value: bytes
) -> None:
    refused(ask, type_oid, value)


@pytest.mark.parametrize("type_oid", FIXED)
def test_a_value_of_the_wrong_size_is_refused(ask: Ask, type_oid: int) -> None:
    for size in {*range(FIXED[type_oid]), FIXED[type_oid] + 1, 1000}:
        assert isinstance(refused(ask, type_oid, bytes(size)), ProtocolError | DataError)


@pytest.mark.usefixtures("memory_is_bounded")
def test_a_length_that_is_announced_is_not_allocated(ask: Ask) -> None:
    head = messages.with_length(messages.data_row([b"x"]), 2**30 - 8)

    def announce(flight: list[bytes]) -> list[bytes]:
        return [head] if any(reply[:1] == b"D" for reply in flight) else flight

    script = [*startup(), serve(answer_with(23, [b"\0\0\0\x01"]), alter=announce)]
    with ScriptedBackend(script, frontend_may_leave=True, timeout=0.3) as backend:
        with pytest.raises(OperationalError):
            ask(backend.url(sslmode="disable"), SQL)
        backend.failures.clear()  # the driver waits for the rest, and the script for the driver
