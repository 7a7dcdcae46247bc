"""A backend whose catalogs say one thing about a composite type and whose rows another.

So it is for the moment between a commit that alters the type and what an older snapshot sees. The rows are
what decides: their values come, without end of asking and without an error.
"""

from typing import Any

import pytest
from hyperdjango.database import SyncDatabase
from hyperdjango.database._introspection import _QUERY_14, ROUNDS_MAX
from hyperdjango.database._native import native
from pgkit import Answer, Column, ScriptedBackend, serve, startup

PAIR, PAIRS = 20_000, 20_001
INT4, TEXT, NAME, CHAR, BOOL, OID, NAMES, OIDS = 23, 25, 19, 18, 16, 26, 1003, 1028
TYPES = native.TypeMap()

# What pg_type and pg_attribute say: one field, an int4.
ROW: list[tuple[str, int, Any]] = [
    ("oid", OID, PAIR),
    ("nspname", NAME, "public"),
    ("typname", NAME, "pair"),
    ("typtype", CHAR, "c"),
    ("typcategory", CHAR, "C"),
    ("typelem", OID, 0),
    ("typdelim", CHAR, ","),
    ("typbasetype", OID, 0),
    ("has_send", BOOL, True),
    ("rngsubtype", OID, None),
    ("rngtypid", OID, None),
    ("extname", NAME, None),
    ("names", NAMES, ["id"]),
    ("oids", OIDS, [INT4]),
]


def field(oid: int, body: bytes | None) -> bytes:
    head = oid.to_bytes(4, "big")
    return head + (b"\xff\xff\xff\xff" if body is None else len(body).to_bytes(4, "big") + body)


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def encoded(oid: int, value: Any) -> bytes | None:
    # "char" goes in text as a parameter; one byte is its binary form too.
    return value.encode() if oid == CHAR else native.encode_value(TYPES, oid, value)[1]


CATALOG = Answer(
    [Column(name, oid) for name, oid, _ in ROW],
    [[encoded(oid, value) for _, oid, value in ROW]],
    type_oids=[OIDS],
)
TWO_FIELDS = number(2) + field(INT4, number(1)) + field(TEXT, b"x")
ANOTHER_TYPE = number(1) + field(TEXT, b"x")
AS_DESCRIBED = number(1) + field(INT4, number(5))


@pytest.mark.parametrize(
    ("body", "value", "names"),
    [
        (TWO_FIELDS, (1, "x"), ("f1", "f2")),
        (ANOTHER_TYPE, ("x",), ("f1",)),
        (AS_DESCRIBED, (5,), ("id",)),
    ],
)
def test_rows_are_read_as_they_are_when_the_catalogs_disagree(
    body: bytes, value: tuple[object, ...], names: tuple[str, ...]
) -> None:
    answers = {
        "SELECT p": Answer([Column("p", PAIR)], [[body]] * 3),
        "SELECT n": Answer([Column("n", INT4)], [[number(7)]]),
        _QUERY_14: CATALOG,
    }
    with (
        ScriptedBackend([*startup(), serve(answers)]) as backend,
        SyncDatabase(backend.url(sslmode="disable"), min_size=1, max_size=1) as db,
    ):
        for _ in range(2):
            rows = db.query("SELECT p", into=tuple)
            assert rows == [(value,)] * 3
            assert rows[0][0]._fields == names
            assert db.query_val("SELECT n") == 7
    asked = sum(str(entry).count("pg_catalog.pg_range") for entry in backend.conversations[0].trace)
    assert asked < ROUNDS_MAX
