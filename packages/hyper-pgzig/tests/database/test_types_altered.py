"""Types that change while the driver knows them: altered, dropped and made again, with statements prepared.

What the wire brings decides. What the driver thought it knew must never make a value wrong, nor end a
connection.
"""

from collections.abc import Iterator

import pytest
from hyperdjango.database import DataError, SyncDatabase
from postgres_servers import Server
from typekit import fresh_database


@pytest.fixture
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server) as database:
        yield database


@pytest.fixture(params=[256, 0], ids=["cached", "uncached"])
def altered(server: Server, request: pytest.FixtureRequest) -> Iterator[SyncDatabase]:
    """A composite type, known and in use on this connection."""
    with fresh_database(
        server, "CREATE TYPE pair AS (id int4, label text)", statement_cache_size=request.param
    ) as database:
        assert database.query_val("SELECT ROW(1, 'x')::pair") == (1, "x")
        assert database.query_val("SELECT $1::pair", (1, "x")) == (1, "x")
        assert database.query_val("SELECT ARRAY[$1::pair]", (1, "x")) == [(1, "x")]
        yield database


def same_backend(db: SyncDatabase, before: int) -> bool:
    return bool(db.query_val("SELECT pg_backend_pid()") == before)


def test_an_attribute_added(altered: SyncDatabase) -> None:
    db = altered
    backend = db.query_val("SELECT pg_backend_pid()")
    db.execute("ALTER TYPE pair ADD ATTRIBUTE more bool")
    value = db.query_val("SELECT ROW(1, 'x', true)::pair")
    assert value == (1, "x", True)
    assert value._fields == ("id", "label", "more")
    assert db.query_val("SELECT ARRAY[ROW(1, 'x', true)::pair, NULL]") == [(1, "x", True), None]
    assert db.query_val("SELECT $1::pair", (1, "x", False)) == (1, "x", False)
    assert db.query_val("SELECT ARRAY[$1::pair]", (1, "x", None)) == [(1, "x", None)]
    assert same_backend(db, backend)


def test_an_attribute_added_and_first_met_as_a_parameter(altered: SyncDatabase) -> None:
    db = altered
    backend = db.query_val("SELECT pg_backend_pid()")
    db.execute("ALTER TYPE pair ADD ATTRIBUTE more bool")
    assert db.query_val("SELECT $1::pair", (1, "x", True)) == (1, "x", True)
    assert db.query_val("SELECT ($1::pair).more", {"id": 1, "label": "x", "more": True}) is True
    assert same_backend(db, backend)


def test_an_attribute_dropped(altered: SyncDatabase) -> None:
    db = altered
    backend = db.query_val("SELECT pg_backend_pid()")
    db.execute("ALTER TYPE pair DROP ATTRIBUTE id")
    value = db.query_val("SELECT ROW('x')::pair")
    assert value == ("x",)
    assert value._fields == ("label",)
    assert db.query_val("SELECT $1::pair", ("y",)) == ("y",)
    assert same_backend(db, backend)


def test_an_attribute_of_another_type(altered: SyncDatabase) -> None:
    db = altered
    backend = db.query_val("SELECT pg_backend_pid()")
    db.execute("ALTER TYPE pair ALTER ATTRIBUTE id TYPE text")
    assert db.query_val("SELECT ROW('one', 'x')::pair") == ("one", "x")
    assert db.query_val("SELECT $1::pair", ("one", "x")) == ("one", "x")
    assert same_backend(db, backend)


def test_an_attribute_renamed(altered: SyncDatabase) -> None:
    db = altered
    db.execute("ALTER TYPE pair RENAME ATTRIBUTE label TO title")
    assert db.query_val("SELECT $1::pair", (1, "x")) == (1, "x")
    assert db.query_val("SELECT ROW(1, 'x')::pair") == (1, "x")


def test_attributes_swapped_for_others_of_the_same_number(altered: SyncDatabase) -> None:
    db = altered
    db.execute("ALTER TYPE pair DROP ATTRIBUTE id, ADD ATTRIBUTE amount float8")
    assert db.query_val("SELECT ROW('x', 1.5)::pair") == ("x", 1.5)
    assert db.query_val("SELECT ARRAY[ROW('x', 1.5)::pair]") == [("x", 1.5)]
    assert db.query_val("SELECT $1::pair", ("x", 1.5)) == ("x", 1.5)


def test_rows_of_a_table_that_gets_a_column(db: SyncDatabase) -> None:
    db.execute("CREATE TABLE shelf (id int4)")
    db.execute("INSERT INTO shelf VALUES (1)")
    backend = db.query_val("SELECT pg_backend_pid()")
    assert db.query("SELECT * FROM shelf") == [{"id": 1}]
    assert db.query_val("SELECT s FROM shelf AS s") == (1,)
    db.execute("ALTER TABLE shelf ADD COLUMN label text DEFAULT 'x'")
    assert db.query("SELECT * FROM shelf") == [{"id": 1, "label": "x"}]
    value = db.query_val("SELECT s FROM shelf AS s")
    assert value == (1, "x")
    assert value._fields == ("id", "label")
    db.execute("ALTER TABLE shelf DROP COLUMN id")
    assert db.query("SELECT * FROM shelf") == [{"label": "x"}]
    assert db.query_val("SELECT s FROM shelf AS s") == ("x",)
    assert db.query_val("SELECT array_agg(s) FROM shelf AS s") == [("x",)]
    assert same_backend(db, backend)


def test_another_connection_of_the_pool_changes_the_type(server: Server) -> None:
    with (
        fresh_database(server, "CREATE TYPE pair AS (id int4, label text)") as db,
        SyncDatabase(server.url_for(str(db.query_val("SELECT current_database()"))), min_size=2) as other,
    ):
        assert other.query_val("SELECT $1::pair", (1, "x")) == (1, "x")
        for n in range(1, 4):
            db.execute(f"ALTER TYPE pair ADD ATTRIBUTE more{n} int4")
            wider = (1, "x", *range(n))
            assert other.query_val("SELECT $1::pair", wider) == wider
            assert other.query_val("SELECT ARRAY[$1::pair]", wider) == [wider]


def test_a_type_made_again_under_its_name_is_another_one(db: SyncDatabase) -> None:
    for made, value in (
        ("CREATE TYPE thing AS ENUM ('a', 'b')", "a"),
        ("CREATE TYPE thing AS (x int4)", (5,)),
        ("CREATE TYPE thing AS ENUM ('c')", "c"),
        ("CREATE DOMAIN thing AS int8", 2**40),
        ("CREATE TYPE thing AS (x int4, y text)", (5, "y")),
        ("CREATE TYPE thing AS RANGE (subtype = int8)", None),
    ):
        db.execute(made)
        assert db.query_val("SELECT $1::thing", value) == value
        assert db.query_val("SELECT ARRAY[$1::thing]", value) == [value]
        assert db.query_val("SELECT $1::thing[]", [value]) == [value]
        db.execute("DROP DOMAIN thing" if "DOMAIN" in made else "DROP TYPE thing")


def test_a_column_of_a_type_made_again(db: SyncDatabase) -> None:
    db.execute("CREATE TYPE mood AS ENUM ('a', 'b')")
    db.execute("CREATE TABLE feeling (id int4, mood mood)")
    assert db.execute("INSERT INTO feeling VALUES ($1, $2)", 1, "a").rows == 1
    assert db.query("SELECT mood FROM feeling") == [{"mood": "a"}]
    db.execute(
        "ALTER TABLE feeling ALTER mood TYPE text; DROP TYPE mood; CREATE TYPE mood AS ENUM ('a', 'c')"
    )
    db.execute("ALTER TABLE feeling ALTER mood TYPE mood USING mood::mood")
    assert db.query("SELECT mood FROM feeling") == [{"mood": "a"}]
    assert db.execute("INSERT INTO feeling VALUES ($1, $2)", 2, "c").rows == 1
    assert db.query("SELECT mood FROM feeling ORDER BY id") == [{"mood": "a"}, {"mood": "c"}]


def test_a_type_changed_inside_of_a_transaction(db: SyncDatabase) -> None:
    db.execute("CREATE TYPE pair AS (id int4)")
    assert db.query_val("SELECT ROW(1)::pair") == (1,)

    def alter() -> None:
        with db.transaction():
            db.execute("ALTER TYPE pair ADD ATTRIBUTE label text")
            assert db.query_val("SELECT ROW(1, 'x')::pair") == (1, "x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        alter()
    # Rolled back, and what was learned in between with it.
    assert db.query_val("SELECT ROW(1)::pair") == (1,)
    assert db.query_val("SELECT $1::pair", (1,)) == (1,)


def test_a_value_that_fits_neither_form_says_so(altered: SyncDatabase) -> None:
    altered.execute("ALTER TYPE pair ADD ATTRIBUTE more bool")
    with pytest.raises(DataError, match=r"parameter \$1: Python tuple does not fit pair"):
        altered.query_val("SELECT $1::pair", (1, "x", True, 4))
    assert altered.query_val("SELECT $1::pair", (1, "x", True)) == (1, "x", True)
