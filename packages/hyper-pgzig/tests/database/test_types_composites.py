"""Composite types, records, domains and enums: found by themselves, and right after they were changed."""

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hyperdjango.database import Composite, DataError, Range, SyncDatabase, UndefinedObject
from postgres_servers import Server
from typekit import Case, cases, check, fresh_database, identical, identify, texts


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(
        server,
        "CREATE TYPE mood AS ENUM ('fine', 'so so', '')",
        "CREATE TYPE pair AS (id int4, label text)",
        "CREATE TYPE nested AS (head pair, tail pair[], at timestamptz, mood mood, span int4range)",
        'CREATE TYPE awkward AS ("class" int4, "two words" text, "_hidden" bool, "index" int4)',
        "CREATE TYPE nothing AS ()",
        "CREATE DOMAIN positive AS int4 CHECK (VALUE > 0)",
        "CREATE DOMAIN very_positive AS positive CHECK (VALUE > 100)",
        "CREATE DOMAIN email AS text CHECK (VALUE ~ '@')",
        "CREATE DOMAIN moods AS mood[]",
        "CREATE DOMAIN numbers AS int4[] CHECK (cardinality(VALUE) < 5)",
        "CREATE DOMAIN known_pair AS pair CHECK ((VALUE).id IS NOT NULL)",
        "CREATE DOMAIN document AS jsonb",
        "CREATE TYPE of_domains AS (n positive, ns positive[], p known_pair, list numbers)",
        "CREATE TABLE shelf (id int4, gone text, label text, price numeric)",
        "ALTER TABLE shelf DROP COLUMN gone",
        "CREATE SCHEMA other",
        "CREATE TYPE other.pair AS (x float8)",
    ) as database:
        yield database


CASES = [
    *texts("mood", "fine", "so so", ""),
    *cases("positive", ("1", 1), ("2147483647", 2**31 - 1)),
    *cases("very_positive", ("101", 101)),
    *texts("email", "a@b", "ž@ě"),
]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_enums_and_domains_are_what_they_are_made_of(db: SyncDatabase, case: Case) -> None:
    check(db, case)


def test_a_domain_over_an_array_is_a_list(db: SyncDatabase) -> None:
    check(db, Case("moods", '{fine,"so so",NULL}', ["fine", "so so", None]), array=False)
    check(db, Case("numbers", "{1,NULL}", [1, None]), array=False)
    assert db.query_val("""SELECT '{"{1}","{2,3}"}'::numbers[]""") == [[1], [2, 3]]
    assert db.query_val("SELECT $1::numbers[]", [[1], [2, 3], None]) == [[1], [2, 3], None]
    check(db, Case("document", '{"a": [1]}', {"a": [1]}), array=False)
    assert db.query_val("SELECT $1::document[]", [{"a": [1]}, [2], None]) == [{"a": [1]}, [2], None]


def test_a_domain_refuses_what_its_check_refuses(db: SyncDatabase) -> None:
    for type_name, value in (
        ("positive", 0),
        ("very_positive", 5),
        ("email", "nobody"),
        ("numbers", [1] * 5),
    ):
        with pytest.raises(Exception, match=f"value for domain {type_name} violates check"):
            db.query_val(f"SELECT $1::{type_name}", value)
    with pytest.raises(DataError, match=r"^parameter \$1: Python int does not fit positive: out of range"):
        db.query_val("SELECT $1::positive", 2**31)


def test_a_composite_is_a_tuple_with_field_names(db: SyncDatabase) -> None:
    value = db.query_val("SELECT ROW(1, 'x')::pair")
    assert isinstance(value, Composite)
    assert (value.id, value.label, value["label"], value[0]) == (1, "x", "x", 1)
    assert value._asdict() == {"id": 1, "label": "x"}
    assert repr(value) == "pair(id=1, label='x')"
    assert value == (1, "x")
    assert db.query_val("SELECT ARRAY[ROW(1, 'x')::pair, NULL]") == [(1, "x"), None]
    assert db.query_val("SELECT NULL::pair") is None
    assert db.query_val("SELECT ROW(NULL, NULL)::pair") == (None, None)
    assert list(db.query_val("SELECT ROW()::nothing")) == []


PAIRS: list[tuple[Any, str]] = [
    ((1, "x"), "(1,x)"),
    ([1, "x"], "(1,x)"),
    ({"label": "x", "id": 1}, "(1,x)"),
    ((None, None), "(,)"),
    ((1, ""), '(1,"")'),
    ((1, 'a "b", \\(c)'), '(1,"a ""b"", \\\\(c)")'),
]


@pytest.mark.parametrize(("value", "printed"), PAIRS)
def test_a_composite_is_a_parameter_as_tuple_or_mapping(db: SyncDatabase, value: Any, printed: str) -> None:
    assert db.query_val("SELECT ($1::pair)::text", value) == printed
    expected = tuple(value.get(name) for name in ("id", "label")) if isinstance(value, dict) else tuple(value)
    assert db.query_val("SELECT $1::pair", value) == expected
    back = db.query_val("SELECT $1::pair", value)
    assert db.query_val("SELECT ($1::pair)::text", back) == printed
    assert db.query_val(
        "SELECT $1::pair[]", [value if not isinstance(value, list) else tuple(value), None]
    ) == [
        expected,
        None,
    ]


def test_composites_inside_composites(db: SyncDatabase) -> None:
    at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    value = ((1, "a"), [(2, "b"), None, (None, None)], at, "fine", Range(1, 5))
    back = db.query_val("SELECT $1::nested", value)
    assert back == value
    assert (back.head.label, back.tail[0].id, back.mood, back.span.upper) == ("a", 2, "fine", 5)
    assert db.query_val("SELECT ($1::nested).head.label", value) == "a"
    assert (
        db.query_val("SELECT ($1::nested)::text = $2", value, db.query_val("SELECT ($1::nested)::text", back))
        is True
    )
    assert db.query_val("SELECT $1::nested[]", [back, None]) == [value, None]
    assert db.query_val("SELECT ($1::nested).tail", (None, [], None, None, None)) == []


def test_a_str_anywhere_inside_takes_the_whole_value_to_the_servers_parser(db: SyncDatabase) -> None:
    value = ({"id": "7", "label": 'q"\\,'}, [("8", None)], "2024-01-01Z", "fine", Range("1", "5"))
    back = db.query_val("SELECT $1::nested", value)
    assert back[0] == (7, 'q"\\,')
    assert back[1] == [(8, None)]
    assert back[4] == Range(1, 5)
    assert db.query_val("SELECT $1::pair", '(5,"a b")') == (5, "a b")
    with pytest.raises(DataError, match='invalid input syntax for type integer: "x"'):
        db.query_val("SELECT $1::pair", ("x", ""))


def test_names_that_are_no_attributes_are_keys(db: SyncDatabase) -> None:
    value = db.query_val("SELECT ROW(1, 'x', true, 2)::awkward")
    assert (value["class"], value["two words"], value["_hidden"], value["index"]) == (1, "x", True, 2)
    assert db.query_val("SELECT $1::awkward", dict(zip(value._fields, value, strict=True))) == value


def test_types_of_one_name_in_two_schemas_are_two(db: SyncDatabase) -> None:
    row = db.query_one("SELECT ROW(1.5)::other.pair AS a, ROW(1, 'x')::pair AS b")
    assert row is not None
    assert (row["a"]._fields, row["b"]._fields) == (("x",), ("id", "label"))
    with pytest.raises(DataError, match=r"does not fit other\.pair"):
        db.query_val("SELECT $1::other.pair", (1, 2))


def test_domains_keep_their_own_oid_inside_of_containers(db: SyncDatabase) -> None:
    value = (5, [6, None], (1, "x"), [7])
    assert db.query_val("SELECT $1::of_domains", value) == value
    assert db.query_val("SELECT ROW(5::positive, ARRAY[6::positive], '{1}'::numbers, 'fine'::mood)") == (
        5,
        [6],
        [1],
        "fine",
    )
    assert db.query_val("SELECT ARRAY[5::positive, NULL]") == [5, None]
    assert db.query_val("SELECT ROW(1, 'x')::known_pair") == (1, "x")
    assert db.query_val("SELECT $1::known_pair", (1, "x")) == (1, "x")
    assert db.query_val("SELECT $1::known_pair[]", [(1, "x")]) == [(1, "x")]


def test_a_row_of_a_table_leaves_dropped_columns_out(db: SyncDatabase) -> None:
    value = db.query_val("SELECT ROW(1, 'x', 2.50)::shelf")
    assert value._fields == ("id", "label", "price")
    assert identical(list(value), [1, "x", Decimal("2.50")])
    assert db.query_val("SELECT ($1::shelf).price", (1, "x", Decimal("2.50"))) == Decimal("2.50")
    assert db.query_val("SELECT s FROM shelf AS s") is None


def test_anonymous_records_bring_their_types(server: Server) -> None:
    """Types inside of one are met only when the row is here; rows keep their order."""
    with fresh_database(
        server,
        "CREATE TYPE colour AS ENUM ('red', 'blue')",
        "CREATE TYPE spot AS (x int4, c colour)",
        "CREATE DOMAIN grade AS int4",
    ) as db:
        rows = db.query(
            "SELECT n, CASE WHEN n % 3 = 0 THEN ROW(n, 'red'::colour)"
            " WHEN n % 3 = 1 THEN ROW(n, ROW(n, 'blue')::spot)"
            " ELSE ROW(n, ARRAY[n::grade]) END AS r FROM generate_series(1, 1000) AS n"
        )
        expected: dict[int, Callable[[int], Any]] = {
            0: lambda n: "red",
            1: lambda n: (n, "blue"),
            2: lambda n: [n],
        }
        assert [row["r"] for row in rows] == [(n, expected[n % 3](n)) for n in range(1, 1001)]
        assert db.query_val("SELECT array_agg(ROW(n, 'red'::colour)) FROM generate_series(1, 2) AS n") == [
            (1, "red"),
            (2, "red"),
        ]
    with fresh_database(server, "CREATE TYPE colour AS ENUM ('red', 'blue')") as db:
        assert db.query_one("SELECT ROW('red'::colour) AS r FROM generate_series(1, 9)") == {"r": ("red",)}
        assert db.query_val("SELECT ROW('red'::colour)", timeout=5) == ("red",)


def test_records_of_many_fields(db: SyncDatabase) -> None:
    for count in (1, 64, 65, 1000):
        fields = ", ".join(map(str, range(count)))
        assert list(db.query_val(f"SELECT ROW({fields})")) == list(range(count))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ((1,), "pair has 2 fields, the value 1"),
        ((1, "x", 2), "pair has 2 fields, the value 3"),
        ({"id": 1}, "no value for field label"),
        ({"id": 1, "label": "x", "more": 2}, "the mapping 3 keys"),
        ((2**31, "x"), "out of range for int4"),
        ((1, 5), "expected str, not int"),
        (5, "expected a tuple, a list or a mapping"),
    ],
)
def test_a_value_of_another_form_is_refused_here(db: SyncDatabase, value: object, reason: str) -> None:
    with pytest.raises(DataError, match=rf"^parameter \$1: Python \w+ does not fit pair: .*{reason}"):
        db.query_val("SELECT $1::pair", value)


def test_containers_too_deep_are_refused_and_nothing_is_lost(server: Server) -> None:
    with fresh_database(server) as db:
        db.execute("CREATE TYPE level0 AS (v int4)")
        for depth in range(1, 70):
            db.execute(f"CREATE TYPE level{depth} AS (v level{depth - 1})")
        value: Any = 1
        sql = "1"
        for depth in range(70):
            value = (value,)
            sql = f"ROW({sql})::level{depth}"
        with pytest.raises(DataError, match=r"more than 64 containers"):
            db.query_val("SELECT $1::level69 IS NULL", value)
        with pytest.raises(DataError, match=r'column "v" .*more than 64 containers'):
            db.query_val(f"SELECT {sql} AS v")
        shallow: Any = 1
        for _ in range(60):
            shallow = (shallow,)
        assert db.query_val("SELECT $1::level59", shallow) == shallow


def test_an_enum_that_grows_takes_its_new_label(server: Server) -> None:
    with fresh_database(server, "CREATE TYPE mood AS ENUM ('fine')") as db:
        assert db.query_val("SELECT $1::mood", "fine") == "fine"
        db.execute("ALTER TYPE mood ADD VALUE 'grim'")
        assert db.query_val("SELECT $1::mood", "grim") == "grim"
        with pytest.raises(DataError, match="invalid input value for enum mood"):
            db.query_val("SELECT $1::mood", "none")


def test_a_type_that_is_gone_is_the_servers_error(db: SyncDatabase) -> None:
    with pytest.raises(UndefinedObject, match='type "never" does not exist'):
        db.query_val("SELECT $1::never", 1)
