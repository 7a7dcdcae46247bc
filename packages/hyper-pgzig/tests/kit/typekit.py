"""What the type tests share: a database for a module, and the checks that every value must pass.

A value is written once as SQL text and once as Python; it must be the same on every way it can travel: as a
column, as a parameter, in an array, in a record, as NULL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from hyperdjango.database import SyncDatabase
from postgres_servers import Server


@contextmanager
def fresh_database(server: Server, *statements: str, **options: Any) -> Iterator[SyncDatabase]:
    """A database of its own, with one connection, after `statements` have run; dropped at the end."""
    name = server.create_database()
    try:
        with SyncDatabase(server.url_for(name), min_size=1, max_size=1, **options) as db:
            for statement in statements:
                db.execute(statement)
            yield db
    finally:
        server.drop_database(name)


class Case(NamedTuple):
    """One value of one type, `literal` as the server reads it and `value` as Python has it."""

    type: str
    literal: str
    value: Any


def cases(type_name: str, *pairs: tuple[str, Any]) -> list[Case]:
    """Several values of one type."""
    return [Case(type_name, literal, value) for literal, value in pairs]


def texts(type_name: str, *literals: str) -> list[Case]:
    """Values of a type that comes as str, in the very form the server prints."""
    return [Case(type_name, literal, literal) for literal in literals]


def identify(case: Case) -> str:
    """A test id that stays short for long values."""
    return f"{case.type}:{case.literal if len(case.literal) <= 40 else f'{case.literal[:30]}...'}"


def identical(one: Any, other: Any) -> bool:
    """Equal, of the same classes all the way down, and printed alike: 1.0 is not 1.00, -0.0 is not 0.0."""
    return type(one).__name__ == type(other).__name__ and repr(one) == repr(other)


def quoted(literal: str) -> str:
    """A string constant that is read alike whatever it holds."""
    backslash = "\\"
    return "E'" + literal.replace(backslash, backslash * 2).replace("'", "''") + "'"


def check(db: SyncDatabase, case: Case, *, array: bool = True, record: bool = True) -> None:
    """Send and receive one value on every way; `array` and `record` where the type can be inside of one."""
    check_result(db, case, array=array, record=record)
    check_parameter(db, case, array=array)


def check_result(db: SyncDatabase, case: Case, *, array: bool = True, record: bool = True) -> None:
    """The value as a column, in an array, in a record, and as the server prints it."""
    constant = f"CAST({quoted(case.literal)} AS {case.type})"
    row = db.query_one(f"SELECT {constant} AS value, CAST(NULL AS {case.type}) AS nothing")
    assert row is not None
    assert identical(row["value"], case.value), row["value"]
    assert row["nothing"] is None
    if isinstance(case.value, str):
        assert db.query_val(f"SELECT CAST({constant} AS text)") == case.value
    if array:
        null = f"CAST(NULL AS {case.type})"
        assert identical(db.query_val(f"SELECT ARRAY[{constant}, NULL]"), [case.value, None])
        assert identical(
            db.query_val(f"SELECT ARRAY[[{constant}], [{null}], [{constant}]]"),
            [[case.value], [None], [case.value]],
        )
    if record:
        # The second field shows that the first ended where it should.
        assert identical(list(db.query_val(f"SELECT ROW({constant}, 7)")), [case.value, 7])


def check_parameter(db: SyncDatabase, case: Case, *, array: bool = True) -> None:
    """The value as a parameter, alone and in arrays: it comes back, and the server prints it as its own."""
    constant = f"CAST({quoted(case.literal)} AS {case.type})"
    parameter = f"CAST($1 AS {case.type})"
    back = db.query_val(f"SELECT {parameter}", case.value)
    assert identical(back, case.value), back
    assert db.query_val(f"SELECT {parameter}", None) is None
    assert db.query_val(f"SELECT CAST({parameter} AS text)", case.value) == db.query_val(
        f"SELECT CAST({constant} AS text)"
    )
    if not array:
        return
    null = f"CAST(NULL AS {case.type})"
    for value, written in (
        ([case.value, None], f"ARRAY[{constant}, NULL]"),
        ([[case.value, None], [None, case.value]], f"ARRAY[[{constant}, {null}], [{null}, {constant}]]"),
    ):
        assert identical(db.query_val(f"SELECT CAST($1 AS {case.type}[])", value), value)
        assert db.query_val(f"SELECT CAST(CAST($1 AS {case.type}[]) AS text)", value) == db.query_val(
            f"SELECT CAST({written} AS text)"
        )
    assert db.query_val(f"SELECT CAST($1 AS {case.type}[])", []) == []
