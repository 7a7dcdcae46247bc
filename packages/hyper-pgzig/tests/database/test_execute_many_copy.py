"""`execute_many(…, copy=True)`: by COPY where that is the same, and the same everywhere.

PostgreSQL docs: sql-copy, "Notes"; sql-insert.
"""

import contextlib
import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    DatabaseError,
    DataError,
    Error,
    OperationalError,
    OutcomeUnknown,
    UniqueViolation,
    _copyable,
)
from pgkit.face import Face

TEXTS: Final = {
    "INSERT INTO t (a) VALUES ($1)": ("t", ["a"]),
    "insert  into\n shop.t(a , b)values($1,$2) ;": ("shop.t", ["a", "b"]),
    'INSERT INTO "My ""T""" ("B c", D) VALUES ($1, $2)': ('"My ""T"""', ["B c", "d"]),
}
OTHERS: Final = (
    "INSERT INTO t VALUES ($1)",
    "INSERT INTO t (a) VALUES ($1) RETURNING a",
    "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING",
    "INSERT INTO t (a) VALUES ($1), ($2)",
    "INSERT INTO t (a, b) VALUES ($2, $1)",
    "INSERT INTO t (a, b) VALUES ($1, $1)",
    "INSERT INTO t (a, b) VALUES ($1)",
    "INSERT INTO t (a, a) VALUES ($1, $2)",
    "INSERT INTO t (a) VALUES ($1::int)",
    "INSERT INTO t (a) VALUES (lower($1))",
    "INSERT INTO t (a) VALUES (1)",
    "INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES ($1)",
    "INSERT INTO t AS u (a) VALUES ($1)",
    "INSERT INTO t (a[1]) VALUES ($1)",
    "INSERT INTO t (grün) VALUES ($1)",
    f"INSERT INTO t ({'a' * 64}) VALUES ($1)",
    "WITH x AS (SELECT 1) INSERT INTO t (a) VALUES ($1)",
    "INSERT INTO t (a) VALUES ($1); DELETE FROM t",
    "UPDATE t SET a = $1",
)


@pytest.mark.parametrize("sql", TEXTS)
def test_a_plain_insert_is_taken_apart(sql: str) -> None:
    assert _copyable.parse(sql) == TEXTS[sql]


@pytest.mark.parametrize("sql", OTHERS)
def test_anything_more_is_not(sql: str) -> None:
    assert _copyable.parse(sql) is None


SAME: Final = {
    "plain": "CREATE TABLE t (a int, b text)",
    "keys and checks": "CREATE TABLE t (a int PRIMARY KEY CHECK (a > -5), b varchar(20) NOT NULL UNIQUE)",
    "defaults": """CREATE TABLE t (id bigserial, a int, b text, c timestamptz DEFAULT now(), d int DEFAULT 7,
        e text DEFAULT 'x', g timestamptz DEFAULT CURRENT_TIMESTAMP)""",
    "identity": "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, a int, b text)",
    "partial index": "CREATE TABLE t (a int, b text); CREATE INDEX ON t (a) WHERE a > 7",
    "generated": "CREATE TABLE t (a int, b text, twice int GENERATED ALWAYS AS (a * 2) STORED)",
    "a reference": "CREATE TABLE o (b text PRIMARY KEY);"
    "INSERT INTO o SELECT 'b' || i FROM generate_series(0, 2000) i;"
    "CREATE TABLE t (a int, b text REFERENCES o)",
    "an enum": "CREATE TYPE mood AS ENUM ('b1', 'b2'); CREATE TABLE t (a int, b mood)",
    "a child": "CREATE TABLE p (a int, b text); CREATE TABLE t () INHERITS (p)",
    "a partition": "CREATE TABLE p (a int, b text) PARTITION BY RANGE (a);"
    "CREATE TABLE t PARTITION OF p FOR VALUES FROM (-10) TO (1000)",
}
FUNCTION: Final = """CREATE FUNCTION f(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
    CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end';"""
NOT_SAME: Final = {
    "a trigger per row": f"{FUNCTION} CREATE TABLE t (a int, b text);"
    "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trg()",
    "a trigger per statement": f"{FUNCTION} CREATE TABLE t (a int, b text);"
    "CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION trg()",
    "a rule": "CREATE TABLE t (a int, b text); CREATE RULE r AS ON INSERT TO t DO ALSO SELECT 1",
    "row security": "CREATE TABLE t (a int, b text); ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "a reference to itself": "CREATE TABLE t (a int PRIMARY KEY, b text, c int REFERENCES t)",
    "a function in a check": f"{FUNCTION} CREATE TABLE t (a int CHECK (f(a)), b text)",
    "a function in a default": f"{FUNCTION} CREATE TABLE t (a int, b text, c int DEFAULT g())",
    "a function in an index": "CREATE TABLE t (a int, b text); CREATE INDEX ON t (lower(b))",
    "a function in a predicate": f"{FUNCTION} CREATE TABLE t (a int, b text);"
    "CREATE INDEX ON t (a) WHERE f(a)",
    "a function in a generated column": "CREATE TABLE t (a int, b text,"
    "c text GENERATED ALWAYS AS (lower(b)) STORED)",
    "an identity that is given": "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY, b text)",
    "a domain": "CREATE DOMAIN d AS text CHECK (VALUE <> 'x'); CREATE TABLE t (a int, b d)",
    "a domain that is not given": "CREATE DOMAIN d AS text NOT NULL; CREATE TABLE t (a int, b text, c d)",
    "an operator of the users": f"{FUNCTION} CREATE OPERATOR +? (RIGHTARG = int, FUNCTION = f);"
    "CREATE TABLE t (a int CHECK (+? a), b text)",
    "an operator of the users in an index": f"{FUNCTION} CREATE OPERATOR +? (RIGHTARG = int, FUNCTION = f);"
    "CREATE TABLE t (a int, b text); CREATE INDEX ON t ((+? a))",
    "an operator of the users in a default": f"{FUNCTION} CREATE OPERATOR +? (RIGHTARG = int, FUNCTION = f);"
    "CREATE TABLE t (a int, b text, c bool DEFAULT +? 1)",
    "a function in a partition's bounds": "CREATE TABLE p (a int, b text) PARTITION BY LIST (lower(b));"
    "CREATE TABLE t PARTITION OF p FOR VALUES IN ('b1')",
    "partitioned": "CREATE TABLE t (a int, b text) PARTITION BY RANGE (a);"
    "CREATE TABLE u PARTITION OF t DEFAULT",
    "a view": "CREATE TABLE u (a int, b text); CREATE VIEW t AS SELECT * FROM u",
}


@pytest.mark.parametrize("ddl", SAME.values(), ids=SAME)
def test_a_table_qualifies(face: Face, ddl: str) -> None:
    face.execute(ddl)
    assert face.query_one(_copyable.CHECK, "t", ["a", "b"], into=tuple) == ("public", "t")


@pytest.mark.parametrize("ddl", NOT_SAME.values(), ids=NOT_SAME)
def test_a_table_in_which_it_could_be_told_does_not(face: Face, ddl: str) -> None:
    face.execute(ddl)
    assert face.query_one(_copyable.CHECK, "t", ["a", "b"]) is None


INSERT: Final = "INSERT INTO t (a, b) VALUES ($1, $2)"


def sets(count: int, **odd: Any) -> Iterator[tuple[Any, ...]]:
    by_index = {int(key[1:]): value for key, value in odd.items()}
    for n in range(count):
        yield by_index.get(n, (n, f"b{n}"))


RUNS: Final[dict[str, dict[str, Any]]] = {
    "all fit": {},
    "the server parses one": {"_600": ("600", "x")},
    "the first in text": {"_0": ("0", "x"), "_1": ("1", "y")},
    "one out of range": {"_700": (2**40, "x")},
    "one of another type": {"_900": (datetime.date(2026, 1, 1), "x")},
    "one that nothing parses": {"_900": ("nine", "x")},
    "too few values": {"_650": (650,)},
    "a key twice": {"_800": (5, "x")},
    "NULL": {"_3": (3, None)},
    "too long": {"_300": (300, "x" * 21)},
    "a decimal": {"_300": (Decimal(3), "x")},
    "a key twice, then NULL": {"_800": (5, "x"), "_850": (850, None)},
    "NULL, then one out of range": {"_800": (800, None), "_850": (2**40, "x")},
    "in text, then a key twice, then one out of range": {
        "_700": ("700", "x"),
        "_800": (5, "x"),
        "_850": (2**40, "x"),
    },
}
REFERENCE: Final = """CREATE TABLE o (b text PRIMARY KEY);
    INSERT INTO o SELECT 'b' || i FROM generate_series(0, 2000) i;
    CREATE TABLE t (a int CHECK (a < 5000), b text REFERENCES o)"""
LATE: Final = "CREATE TABLE t (a int UNIQUE DEFERRABLE CHECK (a < 5000), b text)"
VERY_LATE: Final = "CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED, b text)"


@pytest.mark.parametrize("odd", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("ddl", [SAME["plain"], SAME["keys and checks"], SAME["defaults"]])
def test_it_does_what_it_does_without(face: Face, ddl: str, odd: dict[str, Any]) -> None:
    check_same(face, ddl, odd)


@pytest.mark.parametrize("odd", [{"_800": (5, "x"), "_900": (9000, "y")}, {"_1100": (5, "x")}, {}])
@pytest.mark.parametrize("ddl", [REFERENCE, LATE, VERY_LATE], ids=["reference", "late", "very late"])
def test_what_copy_would_find_at_its_end_is_told_in_the_order_of_the_sets(
    face: Face, ddl: str, odd: dict[str, Any]
) -> None:
    face.execute(ddl)
    assert face.query_one(_copyable.CHECK, "t", ["a", "b"]) is not None
    check_same(face, ddl, odd)


def check_same(face: Face, ddl: str, odd: dict[str, Any]) -> None:
    outcomes = []
    for copy in (False, True):
        face.execute(f"DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS o; {ddl}")
        face.execute_many(INSERT, sets(1))
        face.execute("DELETE FROM t")
        try:
            status: object = face.execute_many(INSERT, sets(1200, **odd), copy=copy)
        except Error as error:
            status = type(error), str(error).splitlines()[0], getattr(error, "__notes__", ())
        except TypeError as error:
            status = str(error)
        outcomes.append((status, face.query("SELECT a, b FROM t ORDER BY a, b", into=tuple)))
    assert outcomes[0] == outcomes[1]


def test_records_go_in_fewer_statements_than_sets(face: Face) -> None:
    face.execute("CREATE TABLE t (a int, b text)")
    assert face.execute_many(INSERT, sets(1500), copy=True) == "INSERT 1500"
    commands = face.query_val("SELECT count(DISTINCT cmin::text) FROM t")
    # Each INSERT is a command of its own in its transaction; a COPY is one for all its rows.
    assert commands < 10
    assert face.execute_many(INSERT, sets(1500)) == "INSERT 1500"
    assert face.query_val("SELECT count(DISTINCT cmin::text) FROM t") > 1000


def test_in_a_block_it_is_undone_alone(face: Face) -> None:
    face.execute("CREATE TABLE t (a int PRIMARY KEY, b text)")
    with face.transaction():
        face.execute(INSERT, -1, "kept")
        with pytest.raises(UniqueViolation):
            face.execute_many(INSERT, sets(1200, _1100=(5, "x")), copy=True)
        with pytest.raises(DataError):
            face.execute_many(INSERT, sets(1200, _1100=(2**40, "x")), copy=True)
        assert face.execute_many(INSERT, sets(600), copy=True) == "INSERT 600"
    assert face.query_val("SELECT count(*) FROM t") == 601


def test_a_refused_batch_leaves_the_transaction_and_its_callbacks_as_they_are(face: Face) -> None:
    face.execute("CREATE TABLE t (a int PRIMARY KEY, b text)")
    heard: list[int] = []
    with face.transaction():
        face.execute(INSERT, 10**6, "before")
        face.on_commit(lambda: heard.append(1))
        # The server parses the text that is no number of the wire's, in a batch that COPY has refused.
        with pytest.raises(UniqueViolation):
            face.execute_many(INSERT, sets(3000, _700=("700", "x"), _2500=(10**6, "x")), copy=True)
        face.on_commit(lambda: heard.append(2))
        with face.transaction():
            assert face.execute_many(INSERT, sets(3000), copy=True) == "INSERT 3000"
    assert heard == [1, 2]
    assert face.query_val("SELECT count(*) FROM t") == 3001


def test_a_table_that_is_not_there_is_the_servers_error(face: Face) -> None:
    with pytest.raises(DatabaseError, match="does not exist"):
        face.execute_many("INSERT INTO nowhere (a) VALUES ($1)", [(1,)] * 600, copy=True)


def test_an_iterable_that_raises_leaves_nothing(face: Face) -> None:
    face.execute("CREATE TABLE t (a int, b text)")

    def failing() -> Iterator[tuple[Any, ...]]:
        yield from sets(7000)
        raise KeyError("over")

    with pytest.raises(KeyError):
        face.execute_many(INSERT, failing(), copy=True)
    assert face.query_val("SELECT count(*) FROM t") == 0
    with contextlib.suppress(KeyError), face.transaction():
        face.execute_many(INSERT, failing(), copy=True)
    assert face.query_val("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("place", [1100, 7000])
def test_a_connection_that_is_ended_half_way_leaves_nothing(
    face: Face, other: psycopg.Connection[Any], place: int
) -> None:
    face.execute("CREATE TABLE t (a int, b text)")
    pid = face.query_val("SELECT pg_backend_pid()")

    def cut_off() -> Iterator[tuple[Any, ...]]:
        yield from sets(place)
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        yield from sets(8000)

    with pytest.raises(OperationalError) as caught:
        face.execute_many(INSERT, cut_off(), copy=True)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert face.query_val("SELECT count(*) FROM t") == 0
    assert face.execute_many(INSERT, sets(8000), copy=True) == "INSERT 8000"
