"""COPY FROM STDIN by `execute(sql, data)`: every form of data, every way it can fail.

After a failure nothing is in the table, which another connection looks at, and the pool of one connection
goes on with the next statement. Records are in test_copy_records, lying backends in test_copy_faults.
PostgreSQL docs: sql-copy; protocol-flow, "COPY Operations".
"""

import io
import os
import signal
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    BadCopyFileFormat,
    CheckViolation,
    DatabaseError,
    InFailedSqlTransaction,
    InterfaceError,
    InvalidParameterValue,
    InvalidTextRepresentation,
    OperationalError,
    ProgrammingError,
    QueryTimeout,
    RaiseException,
    SyncDatabase,
    UndefinedTable,
    UniqueViolation,
)
from pgkit.face import Face, OpenFace, iterate
from pgkit.freeze import frozen
from pgkit.until import until

CSV: Final = "COPY t (a, b) FROM STDIN WITH (FORMAT csv)"
TEXT: Final = "COPY t FROM STDIN"
BINARY: Final = "COPY t FROM STDIN (FORMAT binary)"
Control = psycopg.Connection[Any]


@pytest.fixture
def control(other: Control) -> Control:
    other.execute("CREATE TABLE t (a int4 PRIMARY KEY CHECK (a <> 13), b text)")
    return other


@pytest.fixture
def face(control: Control, open_face: OpenFace, url: str) -> Face:
    """Opened after the table was made."""
    return open_face(url)


def rows(control: Control) -> list[tuple[Any, ...]]:
    return control.execute("SELECT a, b FROM t ORDER BY a").fetchall()


def count(control: Control) -> int:
    found = control.execute("SELECT count(*) FROM t").fetchone()
    assert found is not None
    return int(found[0])


def must_be_untouched(face: Face, control: Control) -> None:
    """Check that nothing was copied, and that the pool goes on: two answers, as one could be left over."""
    assert count(control) == 0
    assert [face.query_val("SELECT $1::int8", n, timeout=20) for n in (7, 8)] == [7, 8]
    stats = face.pool_stats()
    assert (stats["busy"], stats["waiting"]) == (0, 0)
    assert not face.in_transaction()


def binary_rows(*found: tuple[int, str | None]) -> bytes:
    """The binary format of rows of t."""
    parts = [b"PGCOPY\n\xff\r\n\0", bytes(8)]
    for a, b in found:
        parts.append(struct.pack("!hii", 2, 4, a))
        data = None if b is None else b.encode()
        parts.append(struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data)
    return b"".join([*parts, b"\xff\xff"])


# What data can be.

EXPECTED: Final = [(1, "one"), (2, "zwölf, 😀"), (3, None)]
DATA: Final = {
    CSV: '1,one\n2,"zwölf, 😀"\n3,\n'.encode(),
    TEXT: "1\tone\n2\tzwölf, 😀\n3\t\\N\n".encode(),
    BINARY: binary_rows(*((a, b) for a, b in EXPECTED)),
}


class Chunks:
    """A file of nothing but `read`, which gives less than it is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, 3))


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def file_of(data: bytes) -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the test's end closes it
    file.write(data)
    file.seek(0)
    return file


FORMS: Final[dict[str, Callable[[bytes], Any]]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "memoryview of another format": lambda data: memoryview(data).cast("b"),
    "BytesIO": io.BytesIO,
    "file": file_of,
    "half a file": Chunks,
    "list": lambda data: in_pieces(data, 5),
    "tuple of mixed pieces": lambda data: (data[:2], bytearray(data[2:4]), memoryview(data[4:])),
    "single bytes": lambda data: in_pieces(data, 1),
    "generator": lambda data: (piece for piece in in_pieces(data, 4)),
    "empty pieces": lambda data: [b"", data[:3], b"", "", data[3:], b""],
    "iterator": lambda data: iter(in_pieces(data, 7)),
}
TEXT_FORMS: Final[dict[str, Callable[[str], Any]]] = {
    "str": str,
    "StringIO": io.StringIO,
    "characters": list,
    "generator": lambda data: (character for character in data),
    "text file": lambda data: io.TextIOWrapper(file_of(data.encode()), encoding="utf-8", newline=""),
    "str and bytes": lambda data: [data[:4], data[4:9].encode(), data[9:]],
}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("sql", DATA)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_data_may_be_bytes_in_any_form(
    face: Face, control: Control, sql: str, form: Callable[[bytes], Any]
) -> None:
    status = face.execute(sql, form(DATA[sql]))
    assert (status, status.rows, status.tag) == ("COPY 3", 3, "COPY 3")
    # In CSV an empty value without quotes is NULL, as in the others.
    assert rows(control) == EXPECTED


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("sql", [CSV, TEXT])
@pytest.mark.parametrize("form", TEXT_FORMS.values(), ids=TEXT_FORMS)
def test_data_may_be_text_in_any_form(
    face: Face, control: Control, sql: str, form: Callable[[str], Any]
) -> None:
    assert face.execute(sql, form(DATA[sql].decode())) == "COPY 3"
    assert rows(control) == EXPECTED


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_pieces_may_be_cut_inside_a_character(face: Face, control: Control, size: int) -> None:
    assert face.execute(TEXT, in_pieces("1\t😀ß€\n".encode(), size)) == "COPY 1"
    assert rows(control) == [(1, "😀ß€")]


@pytest.mark.parametrize("data", ["", b"", bytearray(), memoryview(b""), [], [b"", ""], io.BytesIO(), ()])
def test_no_data_is_no_rows(face: Face, control: Control, data: Any) -> None:
    if isinstance(data, io.BytesIO):
        data.seek(0)
    assert face.execute(CSV, data) == "COPY 0"
    must_be_untouched(face, control)


def test_an_empty_generator_is_no_rows(face: Face, control: Control) -> None:
    assert face.execute(CSV, iter(())) == "COPY 0"
    must_be_untouched(face, control)


def test_binary_data_without_rows(face: Face, control: Control) -> None:
    assert face.execute(BINARY, binary_rows()) == "COPY 0"
    must_be_untouched(face, control)


@pytest.mark.parametrize("kind", [str, bytes])
def test_a_long_single_value_is_copied(face: Face, control: Control, kind: type) -> None:
    """50 MB, in rows that no piece ends with."""
    line = "x" * 9_991
    text = "".join(f"{n}\t{line}\n" for n in range(100, 5100))
    assert face.execute(TEXT, text if kind is str else text.encode()) == "COPY 5000"
    assert control.execute("SELECT count(*), sum(length(b)) FROM t").fetchone() == (5000, 5000 * 9_991)


def test_a_single_row_longer_than_all_buffers(face: Face, control: Control) -> None:
    assert face.execute(TEXT, f"1\t{'ä' * 3_000_000}\n") == "COPY 1"
    assert control.execute("SELECT length(b) FROM t").fetchone() == (3_000_000,)


@pytest.mark.parametrize(
    "data",
    [
        {"a": 1},
        {b"1\tx\n"},
        5,
        None,
        1.5,
        object(),
        [1, 2],
        ["1\tx\n", None],
        (b"1\tx\n", 5),
        memoryview(b"1234")[::2],
    ],
    ids=lambda data: repr(data).partition(" at 0x")[0],  # the same in every process
)
def test_what_is_no_data_is_refused_before_anything_is_sent(face: Face, control: Control, data: Any) -> None:
    pid = face.query_val("SELECT pg_backend_pid()")
    with face.transaction():
        face.query_val("SELECT 1")
        with pytest.raises(TypeError, match="COPY"):
            face.execute(TEXT, data)
        # The transaction has not noticed.
        assert face.query_val("SELECT pg_backend_pid()") == pid
    must_be_untouched(face, control)


@pytest.mark.parametrize("wrong", [5, None, ["1\tx\n"]])
def test_a_piece_that_is_no_data_fails_the_copy(face: Face, control: Control, wrong: Any) -> None:
    pid = face.query_val("SELECT pg_backend_pid()")
    with pytest.raises(TypeError, match="piece of a COPY's data"):
        face.execute(TEXT, iter(["1\tx\n", wrong, "2\ty\n"]))
    must_be_untouched(face, control)
    assert face.query_val("SELECT pg_backend_pid()") == pid


def test_text_that_has_no_utf8_form_fails_the_copy(face: Face, control: Control) -> None:
    with pytest.raises(UnicodeEncodeError):
        face.execute(TEXT, ["1\tx\n", "2\t\ud800\n"])
    must_be_untouched(face, control)


# Which commands take data.


@pytest.mark.parametrize(
    "sql",
    [
        "copy t from stdin",
        "  \n\t COPY t FROM STDIN  ;  ",
        "-- COPY x FROM y\nCOPY t FROM STDIN",
        "/* /* nested */ from '/x' */ COPY/**/t/* to stdout */FROM -- x\nSTDIN",
        'COPY "t" ("a", b) FROM STDIN (FORMAT text)',
        "COPY public.t(a,b)FROM STDIN WITH (DELIMITER E'\\t', NULL '\\N')",
        "CoPy t FrOm StDiN WHERE a > 0",
        "COPY t FROM STDOUT",  # the server takes either word
    ],
)
def test_the_command_is_known_however_it_is_written(face: Face, control: Control, sql: str) -> None:
    assert face.execute(sql, "1\tx\n") == "COPY 1"
    assert rows(control) == [(1, "x")]


@pytest.mark.parametrize("name", ["from", "to stdout", 'q"uote', "copy t from stdin;", "a(b", "--x", "/* x"])
def test_names_may_hold_the_words_of_the_command(face: Face, control: Control, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    control.execute(f"CREATE TABLE {quoted} ({quoted} int4)")
    assert face.execute(f"COPY {quoted} ({quoted}) FROM STDIN", "5\n") == "COPY 1"
    assert b"".join(iterate_bytes(face, f"COPY {quoted} ({quoted}) TO STDOUT")) == b"5\n"
    assert list(iterate(face, "copy_out", f"COPY {quoted} ({quoted}) TO STDOUT", into=tuple)) == [(5,)]
    assert list(iterate(face, "copy_out", f"COPY {quoted} TO STDOUT", into=dict)) == [{name: 5}]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("COPY t TO STDOUT", "copy_out"),
        ("COPY (SELECT ')' FROM (SELECT 1) AS t) TO STDOUT", "copy_out"),
        ("COPY t FROM '/etc/hostname'", "a file of the server's"),
        ("COPY t FROM PROGRAM 'cat'", "a file of the server's"),
        ("COPY t TO '/tmp/x' WITH (FORMAT csv)", "a file of the server's"),
        ("COPY t FROM STDIN; SELECT 1", "several statements"),
        ("COPY t FROM STDIN; COPY t FROM STDIN", "several statements"),
        ("COPY", "a file"),
        ("COPY t", "a file"),
    ],
)
def test_a_copy_that_takes_no_data_is_refused_before_anything_is_sent(
    face: Face, control: Control, sql: str, why: str
) -> None:
    with face.transaction():
        face.query_val("SELECT 1")
        with pytest.raises(InterfaceError, match=why):
            face.execute(sql, "1\tx\n")
        assert face.query_val("SELECT 1") == 1
    must_be_untouched(face, control)


def test_a_copy_without_its_data_says_what_is_missing(face: Face, control: Control) -> None:
    for _ in range(2):
        with pytest.raises(InterfaceError, match=r"execute\(sql, data\)"):
            face.execute(TEXT)
        must_be_untouched(face, control)


def test_other_commands_with_one_value_are_not_taken_for_copies(face: Face, control: Control) -> None:
    blanks = " \n" * 1000
    assert face.execute(f"{blanks}INSERT INTO t VALUES ($1, 'COPY t FROM STDIN')", 1) == "INSERT 1"
    assert face.execute("/* COPY */ UPDATE t SET b = $1", "x") == "UPDATE 1"
    assert face.query("SELECT a, b FROM t", into=tuple) == [(1, "x")]
    control.execute("CREATE TABLE copyright (a int4)")
    with pytest.raises(ProgrammingError):
        face.execute("COPYRIGHT $1", 1)


def test_a_text_of_many_blanks_is_looked_at_in_no_time(face: Face) -> None:
    """As it would not be where two repetitions could share a blank."""
    began = time.process_time()
    assert face.execute(" " * 10_000 + "SELECT $1::int4", 1) == "SELECT 1"
    assert time.process_time() - began < 5


def test_the_servers_own_complaint_about_the_command(face: Face, control: Control) -> None:
    with pytest.raises(UndefinedTable) as caught:
        face.execute("COPY nope FROM STDIN", "1\n")
    assert caught.value.query == "COPY nope FROM STDIN"
    with pytest.raises(ProgrammingError):
        face.execute("COPY t (nope) FROM STDIN", iter(["1\n"]))
    with pytest.raises(InvalidParameterValue):
        face.execute("COPY t FROM STDIN WITH (FORMAT nope)", "1\n")
    must_be_untouched(face, control)


def test_a_refused_command_takes_no_data_at_all(face: Face) -> None:
    taken: list[int] = []

    def data() -> Iterator[str]:
        taken.append(1)
        yield "1\n"

    with pytest.raises(UndefinedTable):
        face.execute("COPY nope FROM STDIN", data())
    assert taken == []


# The backend refuses a row.

TRIGGER: Final = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.a = 77 THEN RAISE 'not this one'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse()
"""
REFUSED: Final[dict[str, tuple[str, type[DatabaseError]]]] = {
    "not a number": ("x\ty\n", InvalidTextRepresentation),
    "a check": ("13\ty\n", CheckViolation),
    "the key": ("1\ty\n", UniqueViolation),
    "a trigger": ("77\ty\n", RaiseException),
    "too many values": ("50\ty\tz\n", BadCopyFileFormat),
}


@pytest.mark.parametrize("position", [1, 500, 9_999])
@pytest.mark.parametrize("bad", REFUSED)
@pytest.mark.parametrize("in_block", [False, True])
def test_a_refused_row_leaves_nothing_and_the_error_says_which(
    face: Face, control: Control, bad: str, position: int, in_block: bool
) -> None:
    control.execute(TRIGGER)
    line, error = REFUSED[bad]
    data = [f"{n + 100}\tx\n" for n in range(10_000)]
    data[0] = "1\tfirst\n"
    data[position] = line
    if not in_block:
        with pytest.raises(error) as caught:
            face.execute(TEXT, iter(data))
    else:
        with pytest.raises(error) as caught, face.transaction():  # noqa: PT012 - the block raises
            with pytest.raises(error):
                face.execute(TEXT, iter(data))
            with pytest.raises(InFailedSqlTransaction):
                face.query_val("SELECT 1")
            raise error("on purpose")
        must_be_untouched(face, control)
        return
    notes = getattr(caught.value, "__notes__", [])
    assert any(note.startswith(f"COPY t, line {position + 1}") for note in notes), notes
    must_be_untouched(face, control)


def test_an_error_stops_the_data_soon(face: Face, control: Control) -> None:
    taken = 0

    def data() -> Iterator[str]:
        nonlocal taken
        yield "no number\tx\n"
        for n in range(10_000_000):
            taken += 1
            yield f"{n}\t{'x' * 90}\n"

    with pytest.raises(InvalidTextRepresentation):
        face.execute(TEXT, data())
    # What both sockets, the backend and we may hold is far below this, which is a fifth of a gigabyte.
    assert taken < 2_000_000
    must_be_untouched(face, control)


# What gives the data fails.


@pytest.mark.parametrize("after", [0, 1, 20_000])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyError, UniqueViolation, TimeoutError])
def test_what_the_data_raises_comes_out_and_nothing_is_copied(
    face: Face, control: Control, after: int, error: type[Exception]
) -> None:
    def data() -> Iterator[str]:
        for n in range(after):
            yield f"{n + 100}\tx\n"
        raise error("on purpose")

    pid = face.query_val("SELECT pg_backend_pid()")
    with pytest.raises(error, match="on purpose"):
        face.execute(TEXT, data())
    must_be_untouched(face, control)
    assert face.query_val("SELECT pg_backend_pid()") == pid


def test_a_file_that_fails(face: Face, control: Control) -> None:
    class Broken:
        def __init__(self) -> None:
            self.reads = 0

        def read(self, _: int) -> str:
            self.reads += 1
            if self.reads > 2:
                raise OSError("disk on fire")
            return f"{self.reads}\tx\n"

    with pytest.raises(OSError, match="disk on fire"):
        face.execute(TEXT, Broken())
    must_be_untouched(face, control)


def test_a_file_that_has_nothing_now_is_not_at_its_end(face: Face, control: Control) -> None:
    receiving, sending = os.pipe()
    os.set_blocking(receiving, False)
    with os.fdopen(receiving, "rb", 0) as file, os.fdopen(sending, "wb", 0) as other_end:
        other_end.write(b"1\tx\n")
        with pytest.raises(BlockingIOError, match="nothing to read now"):
            face.execute(TEXT, file)
        must_be_untouched(face, control)
        other_end.write(b"2\tx\n")
        other_end.close()
        assert face.execute(TEXT, file) == "COPY 1"
    assert rows(control) == [(2, "x")]


def test_in_a_block_a_failed_producer_fails_the_transaction(face: Face, control: Control) -> None:
    def data() -> Iterator[str]:
        yield "1\tx\n"
        raise ZeroDivisionError

    with pytest.raises(InFailedSqlTransaction), face.transaction():  # noqa: PT012 - the block raises
        face.execute("INSERT INTO t VALUES (5, 'before')")
        with pytest.raises(ZeroDivisionError):
            face.execute(TEXT, data())
    must_be_untouched(face, control)


@pytest.mark.parametrize("first", [True, False], ids=["BEGIN in front", "begun"])
def test_a_nested_block_brings_the_transaction_back(face: Face, control: Control, first: bool) -> None:
    def data() -> Iterator[str]:
        yield "1\tx\n"
        raise ZeroDivisionError

    with face.transaction():
        if not first:
            face.execute("INSERT INTO t VALUES (5, 'before')")
        for bad, error in ((data(), ZeroDivisionError), ("x\ty\n", InvalidTextRepresentation)):
            with pytest.raises(error), face.transaction():
                face.execute(TEXT, bad)
        with face.transaction():
            assert face.execute(TEXT, "6\tafter\n") == "COPY 1"
    assert rows(control) == ([] if first else [(5, "before")]) + [(6, "after")]


def test_a_copy_as_first_and_only_statement_of_a_block(face: Face, control: Control) -> None:
    with face.transaction():
        assert face.execute(TEXT, "1\tx\n") == "COPY 1"
        assert count(control) == 0  # not committed yet
    assert rows(control) == [(1, "x")]
    with pytest.raises(ZeroDivisionError), face.transaction():  # noqa: PT012 - the block raises
        assert face.execute(TEXT, "2\tx\n") == "COPY 1"
        raise ZeroDivisionError
    assert rows(control) == [(1, "x")]


def test_a_block_with_modes_begins_with_a_copy(face: Face, control: Control) -> None:
    with face.transaction(isolation="serializable"):
        assert face.execute(TEXT, "1\tx\n") == "COPY 1"
        assert face.query_val("SHOW transaction_isolation") == "serializable"
    with pytest.raises(DatabaseError, match="read-only"), face.transaction(read_only=True):
        face.execute(TEXT, "2\tx\n")
    assert rows(control) == [(1, "x")]


def test_a_copy_behind_a_session_that_is_to_be_reset(face: Face, control: Control) -> None:
    """The reset goes in front, under a Sync of its own where a BEGIN follows."""
    control.execute("SET client_min_messages = warning")
    control.execute("DROP SCHEMA IF EXISTS other CASCADE")
    control.execute("CREATE SCHEMA other CREATE TABLE t (a int4, b text)")
    for in_block in (False, True):
        control.execute("TRUNCATE t")
        face.execute("SET search_path = other")
        if in_block:
            with face.transaction():
                assert face.execute(TEXT, "1\tx\n") == "COPY 1"
        else:
            assert face.execute(TEXT, "1\tx\n") == "COPY 1"
        assert rows(control) == [(1, "x")]
        face.execute("SET search_path = other")
        with pytest.raises(UniqueViolation):
            face.execute(TEXT, "1\tx\n")
        face.execute("SET search_path = other")
        with pytest.raises(ZeroDivisionError):
            face.execute(TEXT, (1 / 0 for _ in range(1)))
    assert control.execute("SELECT count(*) FROM other.t").fetchone() == (0,)
    assert rows(control) == [(1, "x")]


def test_data_may_come_from_the_same_pool(control: Control, open_face: OpenFace, url: str) -> None:
    """From another connection of it: the one that copies is taken."""
    face = open_face(url, 2, 2)
    if isinstance(face, SyncDatabase):

        def data() -> Iterator[str]:
            for n in range(3):
                yield f"{face.query_val('SELECT $1::int4', n)}\tx\n"

        assert face.execute(TEXT, data()) == "COPY 3"
        assert count(control) == 3


def test_data_that_uses_the_copying_block_is_refused(face: Face, control: Control) -> None:
    if not isinstance(face, SyncDatabase):
        return  # its own test is in test_copy_tasks

    def data() -> Iterator[str]:
        yield "1\tx\n"
        yield f"{face.query_val('SELECT 2')}\tx\n"

    with pytest.raises(InterfaceError), face.transaction():
        face.execute(TEXT, data())
    must_be_untouched(face, control)


# Time, and connections that die.


def slow_trigger(control: Control, seconds: float) -> None:
    control.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$"
    )
    control.execute("CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()")


@pytest.mark.usefixtures("patient_recovery")
@pytest.mark.parametrize("in_block", [False, True])
def test_time_that_passes_in_a_slow_backend(face: Face, control: Control, in_block: bool) -> None:
    slow_trigger(control, 30)
    pid = face.query_val("SELECT pg_backend_pid()")
    data = "".join(f"{n + 100}\t{'x' * 1000}\n" for n in range(3000))
    for source in ("1\tx\n", data):
        if in_block:
            with (
                pytest.raises(InFailedSqlTransaction),
                face.transaction(),
                pytest.raises(QueryTimeout),
            ):
                face.execute(TEXT, source, timeout=0.3)
        else:
            with pytest.raises(QueryTimeout):
                face.execute(TEXT, source, timeout=0.3)
        must_be_untouched(face, control)
    assert face.query_val("SELECT pg_backend_pid()") == pid


def test_time_that_passes_while_data_is_waited_for(face: Face, control: Control) -> None:
    def data() -> Iterator[str]:
        yield "1\tx\n"
        time.sleep(0.4)
        yield "2\tx\n"
        time.sleep(0.4)
        yield "3\tx\n"

    with pytest.raises(QueryTimeout):
        face.execute(TEXT, data(), timeout=0.2)
    must_be_untouched(face, control)


def test_time_enough(face: Face, control: Control) -> None:
    assert face.execute(TEXT, "1\tx\n", timeout=60) == "COPY 1"
    assert rows(control) == [(1, "x")]


@pytest.mark.parametrize("timeout", [-1, "x", float("nan")])
def test_a_timeout_that_is_none(face: Face, control: Control, timeout: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        face.execute(TEXT, "1\tx\n", timeout=timeout)
    must_be_untouched(face, control)


def test_a_backend_that_stands_still(face: Face, control: Control) -> None:
    """It takes what the sockets hold, then nothing more: the call ends all the same."""
    pid = face.query_val("SELECT pg_backend_pid()")

    def data() -> Iterator[str]:
        yield "1\tx\n"
        os.kill(pid, signal.SIGSTOP)
        for n in range(2, 10_000_000):
            yield f"{n}\t{'x' * 200}\n"

    began = time.monotonic()
    try:
        with pytest.raises(QueryTimeout, match="not known"):
            face.execute(TEXT, data(), timeout=1)
        assert time.monotonic() - began < 20
        # The one that stands still is replaced.
        assert face.query_val("SELECT 1", timeout=20) == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: is_gone(control, pid))
    must_be_untouched(face, control)


def is_gone(control: Control, pid: int) -> bool:
    return control.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is None


def test_time_that_passes_after_all_was_sent(face: Face, control: Control) -> None:
    """Then the backend may still carry it out, and the error says so."""
    pid = face.query_val("SELECT pg_backend_pid()")
    with frozen(pid), pytest.raises(QueryTimeout, match="not known"):
        face.execute(TEXT, "1\tx\n", timeout=0.3)
    until(lambda: is_gone(control, pid))
    assert face.query_val("SELECT 1") == 1


@pytest.mark.parametrize("moment", [1, 20_000])
@pytest.mark.parametrize("in_block", [False, True])
def test_a_connection_that_is_ended_half_way(
    face: Face, control: Control, moment: int, in_block: bool
) -> None:
    pid = face.query_val("SELECT pg_backend_pid()")

    def data() -> Iterator[str]:
        for n in range(200_000):
            if n == moment:
                control.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            yield f"{n + 100}\tx\n"

    if in_block:
        with pytest.raises(OperationalError) as caught, face.transaction():
            face.execute(TEXT, data())
    else:
        with pytest.raises(OperationalError) as caught:
            face.execute(TEXT, data())
    assert "OutcomeUnknown" not in type(caught.value).__name__
    must_be_untouched(face, control)


# What comes in between.


def test_notices_while_data_goes_out(face: Face, control: Control) -> None:
    """Far more than fits into the sockets: who does not read while he writes waits for ever."""
    control.execute(
        "CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE WARNING '%', repeat('n', 300); RETURN NEW; END $$"
    )
    control.execute("CREATE TRIGGER talk BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION talk()")
    data = (f"{n + 100}\t{'x' * 300}\n" for n in range(30_000))
    assert face.execute(TEXT, data, timeout=300) == "COPY 30000"
    assert count(control) == 30_000


def test_parameters_and_notifications_in_between(face: Face, control: Control) -> None:
    control.execute(
        "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " PERFORM set_config('application_name', 'n' || NEW.a, false), pg_notify('c', NEW.b);"
        " RETURN NEW; END $$"
    )
    control.execute("CREATE TRIGGER change BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION change()")
    with face.transaction():
        face.execute("LISTEN c")
        assert face.execute(TEXT, (f"{n + 100}\tx{n}\n" for n in range(3000))) == "COPY 3000"
        assert face.query_val("SHOW application_name") == "n3099"
    assert count(control) == 3000
    assert face.query_val("SELECT 1") == 1


def test_many_copies_in_a_row_and_from_threads(control: Control, url: str) -> None:
    with SyncDatabase(url, 2, 3) as db:
        failures: list[BaseException] = []

        def work(start: int) -> None:
            try:
                for n in range(start, start + 30):
                    assert db.execute(TEXT, f"{n * 10}\tx\n{n * 10 + 1}\ty\n") == "COPY 2"
                    with pytest.raises(UniqueViolation):
                        db.execute(TEXT, f"{n * 10 + 2}\tx\n{n * 10 + 1}\ty\n")
                    assert db.query_val("SELECT $1::int8", n) == n
            except BaseException as error:  # the main thread looks at it
                failures.append(error)

        threads = [threading.Thread(target=work, args=(100 * k + 100,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
    assert count(control) == 240


def test_a_file_by_path_is_no_file(face: Face, control: Control, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        face.execute(TEXT, tmp_path / "x")
    must_be_untouched(face, control)


def iterate_bytes(face: Face, sql: str) -> Iterable[bytes]:
    return iterate(face, "copy_out", sql)
