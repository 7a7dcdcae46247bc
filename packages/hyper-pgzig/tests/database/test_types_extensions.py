"""Types of extensions: found by themselves, in whichever schema they live, known or not."""

from collections.abc import Iterator

import psycopg
import pytest
from hyperdjango.database import DataError, SyncDatabase
from postgres_servers import Server
from typekit import Case, cases, check, check_result, fresh_database, identical, identify, texts

CONTRIB = ("hstore", "citext", "ltree", "cube", "isn", "seg", "intarray")


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with psycopg.connect(server.superuser_url) as connection:
        there = {
            name for (name,) in connection.execute("SELECT name FROM pg_available_extensions").fetchall()
        }
    missing = set(CONTRIB) - there
    if missing:
        pytest.skip(f"this server was installed without contrib modules: {', '.join(sorted(missing))}")
    with fresh_database(server, *(f"CREATE EXTENSION {name}" for name in CONTRIB)) as database:
        yield database


@pytest.fixture
def vectors(db: SyncDatabase) -> SyncDatabase:
    if db.query_val("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == 0:
        pytest.skip("this server was installed without pgvector")
    db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    return db


CASES = [
    *cases(
        "hstore",
        ("", {}),
        ('"a"=>"1"', {"a": "1"}),
        ('"a"=>NULL', {"a": None}),
        ('""=>""', {"": ""}),
        ('"NULL"=>"NULL", "q\\"\\\\"=>"=>,"', {'q"\\': "=>,", "NULL": "NULL"}),
        ('"ž"=>"🐎"', {"ž": "🐎"}),
    ),
    *texts("citext", "", "MiXeD", "ŽÍ"),
    *texts("ltree", "", "a", "Top.Science.Astronomy"),
]

# Extension types that the driver knows nothing of: the server's text, both ways.
UNKNOWN = [
    *texts("cube", "(1, 2, 3)", "(1),(2)"),
    *texts("seg", "1.5 .. 2"),
    *texts("isbn", "0-306-40615-2"),
    *texts("lquery", "*.Astro%*"),
    *texts("query_int", "1 & ( 2 | 3 )"),
]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_known_extension_type_is_the_same_on_every_way(db: SyncDatabase, case: Case) -> None:
    check(db, case)


@pytest.mark.parametrize("case", UNKNOWN, ids=identify)
def test_a_type_nobody_knows_comes_as_the_servers_text(db: SyncDatabase, case: Case) -> None:
    printed = db.query_val(f"SELECT format('%s', '{case.literal}'::{case.type})")
    assert printed == case.value
    assert db.query_val(f"SELECT '{case.literal}'::{case.type}") == case.value
    assert db.query_val(f"SELECT NULL::{case.type}") is None
    assert db.query_val(f"SELECT $1::{case.type}", case.value) == case.value
    assert db.query_val(f"SELECT ARRAY['{case.literal}'::{case.type}, NULL]") == [case.value, None]
    assert db.query_val(f"SELECT $1::{case.type}[]", [case.value, None]) == [case.value, None]
    with pytest.raises(DataError, match=rf"^parameter \$1: Python object does not fit {case.type}: .*str"):
        db.query_val(f"SELECT $1::{case.type}", object())


def test_a_type_nobody_knows_inside_a_row_value(db: SyncDatabase) -> None:
    db.execute("CREATE TYPE labelled AS (label text, at cube, n int4)")
    row = db.query_val("""SELECT ROW('a "b"', '(1, 2)', 5)::labelled""")
    assert (row.label, row.at, row.n) == ('a "b"', "(1, 2)", 5)
    assert db.query_val("SELECT $1::labelled", ('a "b"', "(1, 2)", 5)) == row
    assert db.query_val("SELECT ARRAY[$1::labelled, NULL]", row) == [row, None]
    # An anonymous record comes in binary and brings only the OID: the way out is a cast.
    with pytest.raises(DataError, match=r'column "r" \(record\): cube inside a record .* cast it to text'):
        db.query_val("SELECT ROW(1, '(1, 2)'::cube) AS r")
    assert db.query_val("SELECT ROW(1, '(1, 2)'::cube::text)") == (1, "(1, 2)")


def test_hstore_takes_any_mapping_of_texts_only(db: SyncDatabase) -> None:
    with pytest.raises(
        DataError, match=r"parameter \$1: Python dict does not fit hstore: expected str, not int"
    ):
        db.query_val("SELECT $1::hstore", {"a": 1})
    with pytest.raises(DataError, match="key"):
        db.query_val("SELECT $1::hstore", {None: "a"})
    with pytest.raises(DataError, match="NUL"):
        db.query_val("SELECT $1::hstore", {"a": "\0"})
    assert db.query_val("SELECT $1::hstore", "a=>1, b=>NULL") == {"a": "1", "b": None}


def test_extension_types_in_a_schema_off_the_search_path(server: Server, db: SyncDatabase) -> None:
    with fresh_database(
        server,
        "CREATE SCHEMA ext",
        "CREATE EXTENSION hstore SCHEMA ext",
        "CREATE EXTENSION citext SCHEMA ext",
    ) as apart:
        assert apart.query_val("SELECT $1::ext.hstore", {"a": None}) == {"a": None}
        assert apart.query_val("SELECT ARRAY['A'::ext.citext]") == ["A"]


def test_a_type_that_only_bears_a_known_name_is_not_taken_for_it(server: Server) -> None:
    with fresh_database(
        server,
        "CREATE TYPE hstore AS (a int4, b text)",
        "CREATE DOMAIN citext AS int4",
        "CREATE TYPE vector AS ENUM ('up', 'down')",
    ) as db:
        assert db.query_val("SELECT $1::hstore", (1, "x")) == (1, "x")
        assert db.query_val("SELECT $1::citext", 5) == 5
        assert db.query_val("SELECT $1::vector", "up") == "up"


def test_citext_compares_without_case(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::citext = 'ABC'", "abc") is True


@pytest.mark.parametrize(
    ("type_name", "literal", "value"),
    [
        ("vector", "[1,-0.5,3]", [1.0, -0.5, 3.0]),
        ("vector", "[3.4028235e+38]", [3.4028234663852886e38]),
        ("halfvec", "[1,-0.5,65504]", [1.0, -0.5, 65504.0]),
    ],
)
def test_a_vector_is_a_list_of_floats(
    vectors: SyncDatabase, type_name: str, literal: str, value: list[float]
) -> None:
    if vectors.query_val("SELECT to_regtype($1) IS NULL", type_name):
        pytest.skip("this server's pgvector is older than halfvec")
    check_result(vectors, Case(type_name, literal, value))
    assert identical(vectors.query_val(f"SELECT $1::{type_name}", value), value)
    assert vectors.query_val(f"SELECT ($1::{type_name})::text", value) == literal
    assert identical(vectors.query_val(f"SELECT $1::{type_name}[]", [value, None]), [value, None])
    assert identical(vectors.query_val(f"SELECT $1::{type_name}[]", [[value], [value]]), [[value], [value]])
    assert vectors.query_val(f"SELECT $1::{type_name}", literal) == value


def test_a_vector_is_used_by_operators(vectors: SyncDatabase) -> None:
    vectors.execute("CREATE TABLE item (id int4, embedding vector(3))")
    vectors.execute_many("INSERT INTO item VALUES ($1, $2)", [(n, [n, 0, 1]) for n in range(5)])
    rows = vectors.query("SELECT id FROM item ORDER BY embedding <-> $1 LIMIT 2", [3.2, 0, 1])
    assert [row["id"] for row in rows] == [3, 4]
    with pytest.raises(DataError, match="expected 3 dimensions, not 2"):
        vectors.execute("INSERT INTO item VALUES (9, $1)", [1, 2])


def test_a_vector_takes_numbers_only(vectors: SyncDatabase) -> None:
    for value, reason in (
        (5, "sequence of numbers"),
        ([1e39], "out of range"),
        ([None], "not"),
        ([1.0] * 70_000, "dimensions"),
    ):
        with pytest.raises(DataError, match=reason):
            vectors.query_val("SELECT $1::vector", value)


def test_a_sparse_vector_comes_as_text(vectors: SyncDatabase) -> None:
    if vectors.query_val("SELECT to_regtype('sparsevec') IS NULL"):
        pytest.skip("this server's pgvector is older than sparsevec")
    assert vectors.query_val("SELECT '{1:1.5,3:2}/5'::sparsevec") == "{1:1.5,3:2}/5"
    assert vectors.query_val("SELECT $1::sparsevec", "{1:1.5}/5") == "{1:1.5}/5"
