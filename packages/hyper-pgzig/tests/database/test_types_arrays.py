"""Arrays: dimensions, lower bounds, NULLs, emptiness, size, elements of every kind, in both directions."""

import array
import datetime as dt
from collections import deque
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hyperdjango.database import DataError, Point, Range, SyncDatabase
from postgres_servers import Server
from typekit import fresh_database, identical


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server) as database:
        yield database


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("{}", []),
        ("{{},{}}", []),
        ("{1}", [1]),
        ("{NULL}", [None]),
        ("{1,NULL,3}", [1, None, 3]),
        ("{{1,2},{3,NULL}}", [[1, 2], [3, None]]),
        ("{{{1},{2}},{{3},{4}}}", [[[1], [2]], [[3], [4]]]),
        ("{{{{{{1,2}}}}}}", [[[[[[1, 2]]]]]]),
        ("[0:1]={1,2}", [1, 2]),
        ("[-3:-2][5:6]={{1,2},{3,4}}", [[1, 2], [3, 4]]),
        ("[2147483646:2147483646]={7}", [7]),
    ],
)
def test_an_array_is_nested_lists_whatever_its_bounds(
    db: SyncDatabase, written: str, value: list[object]
) -> None:
    for element in ("int4", "text", "numeric", "int2"):
        expected = convert(value, {"text": str, "numeric": Decimal}.get(element, int))
        if written == "{{},{}}" and db.query_val(
            "SELECT current_setting('server_version_num')::int4 < 170000"
        ):
            written = "{}"  # not accepted by older servers
        assert identical(db.query_val(f"SELECT '{written}'::{element}[]"), expected)
        assert identical(db.query_val(f"SELECT $1::{element}[]", expected), expected)
        assert identical(db.query_val(f"SELECT $1::{element}[]", written), expected)
        plain = written.partition("=")[2] or written
        assert db.query_val(f"SELECT ($1::{element}[])::text", expected) == db.query_val(
            f"SELECT '{plain}'::{element}[]::text"
        )


def convert(value: object, make: type) -> object:
    if isinstance(value, list):
        return [convert(each, make) for each in value]
    return None if value is None else make(value)


def test_parameters_begin_at_one(db: SyncDatabase) -> None:
    row = db.query_one(
        "SELECT array_lower(a, 1) AS first, array_ndims(a) AS n FROM (SELECT $1::int4[] AS a) AS s", [[5, 6]]
    )
    assert row == {"first": 1, "n": 2}
    assert db.query_val("SELECT array_ndims($1::int4[]) IS NULL", [[], []]) is True


def test_texts_that_look_like_array_syntax_stay_what_they_are(db: SyncDatabase) -> None:
    words = ["", "NULL", "null", "a,b", "{}", '"', "\\", " x ", "é", "\n", None, "'", 'a\\"b']
    assert db.query_val("SELECT $1::text[]", words) == words
    assert db.query_val("SELECT array_agg(w) FROM unnest($1::text[]) AS w", words) == words
    # By way of the text format, because money has no binary form of ours.
    amounts = ["$1.00", None, "$1,000.00"]
    with db.transaction():
        db.execute("SET LOCAL lc_monetary = 'C'")
        assert db.query_val("SELECT $1::money[]", amounts) == amounts
        assert db.query_val("SELECT ARRAY[ARRAY['1'::money, NULL], ARRAY['-5'::money, '1000']]") == [
            ["$1.00", None],
            ["-$5.00", "$1,000.00"],
        ]


def test_boxes_are_separated_by_semicolons_in_text(db: SyncDatabase) -> None:
    value = db.query_val("SELECT '{(1,2),(0,0);(3,4),(1,1)}'::box[]")
    assert value == [((1, 2), (0, 0)), ((3, 4), (1, 1))]
    assert db.query_val("SELECT $1::box[]", value) == value
    assert db.query_val("SELECT $1::box[]", ["(2,2),(0,0)", value[1]]) == [((2, 2), (0, 0)), value[1]]
    assert db.query_val("SELECT ($1::box[])::text", value) == "{(1,2),(0,0);(3,4),(1,1)}"


def test_an_array_longer_than_one_message_is_read_piece_by_piece(db: SyncDatabase) -> None:
    count = 300_000
    numbers = list(range(count))
    assert (
        db.query_val("SELECT array_agg(n ORDER BY n) FROM generate_series(0, $1 - 1) AS n", count) == numbers
    )
    assert db.query_val("SELECT cardinality($1::int8[])", numbers) == count
    assert db.query_val("SELECT sum(n)::int8 FROM unnest($1::int8[]) AS n", numbers) == sum(numbers)
    grid = [[1.5] * 1000] * 300
    assert db.query_val("SELECT $1::float8[]", grid) == grid


def test_the_element_type_is_the_servers_not_the_lists(db: SyncDatabase) -> None:
    assert db.query_val("SELECT pg_typeof($1::int2[])::text", [1]) == "smallint[]"
    assert identical(
        db.query_val("SELECT $1::numeric[]", [1, Decimal("2.50"), 0.5]),
        [Decimal(1), Decimal("2.50"), Decimal("0.5")],
    )
    assert identical(db.query_val("SELECT $1::float8[]", [1, 2]), [1.0, 2.0])
    assert db.query_val("SELECT $1::date[]", [dt.date(2024, 1, 1), None]) == [dt.date(2024, 1, 1), None]
    assert db.query_val("SELECT 5 = ANY($1)", [4, 5]) is True
    assert db.query_val("SELECT 'a' = ANY($1)", ["b"]) is False


def test_other_sequences_serve_as_lists(db: SyncDatabase) -> None:
    for value in ((1, 2), deque([1, 2]), range(1, 3), {1: "a", 2: "b"}.keys(), array.array("i", [1, 2])):
        assert db.query_val("SELECT $1::int4[]", value) == [1, 2]
    assert db.query_val("SELECT $1::int4[]", [(1, 2), [3, 4]]) == [[1, 2], [3, 4]]
    assert db.query_val("SELECT $1::point[]", [(1, 2), Point(3, 4)]) == [(1, 2), (3, 4)]
    assert db.query_val("SELECT $1::jsonb[]", [[1, 2], {"a": [3]}]) == [[1, 2], {"a": [3]}]


def test_strs_among_the_elements_are_parsed_by_the_server(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::int4[]", ["1", 2, None]) == [1, 2, None]
    assert db.query_val("SELECT $1::date[]", ["2024-01-02", dt.date(2024, 1, 3)]) == [
        dt.date(2024, 1, 2),
        dt.date(2024, 1, 3),
    ]
    with pytest.raises(DataError, match='invalid input syntax for type integer: "x"'):
        db.query_val("SELECT $1::int4[]", ["x"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([[1], [2, 3]], "ragged"),
        ([[1, 2], [3]], "ragged"),
        ([1, [2]], "ragged"),
        ([[1], 2], "ragged"),
        ([[1], None], "ragged"),
        ([[], [1]], "ragged"),
        ([[[[[[[1]]]]]]], "more than 6 dimensions"),
        ([2**31], "out of range for int4"),
        ([1, "\0"], "NUL"),
        ("{1,{2}}\0", "NUL"),
        (5, "expected a list"),
        ({1: 2}, "expected a list"),
    ],
)
def test_a_list_that_is_no_array_is_refused_here(db: SyncDatabase, value: object, reason: str) -> None:
    with pytest.raises(DataError, match=rf"^parameter \$1: Python \w+ does not fit int4\[\]: .*{reason}"):
        db.query_val("SELECT $1::int4[]", value)


def test_lists_as_elements_are_told_from_dimensions(db: SyncDatabase) -> None:
    one, two = [Range(1, 2)], [Range(3, 4), Range(6, 7)]
    assert db.query_val("SELECT $1::int4multirange[]", [one, two, []]) == [tuple(one), tuple(two), ()]
    assert db.query_val("SELECT $1::int4multirange[]", [[one, None], [two, one]]) == [
        [tuple(one), None],
        [tuple(two), tuple(one)],
    ]
    triangle = [(0, 0), (1, 1), (1, 0)]
    for value, dimensions in (([triangle], 1), ([[triangle, triangle]], 2), ([[None], [triangle]], 2)):
        assert db.query_val("SELECT array_ndims($1::polygon[])", value) == dimensions
        assert db.query_val("SELECT array_ndims($1::path[])", value) == dimensions
    # JSON may be a list itself, so only the outermost list is the array.
    assert db.query_val("SELECT $1::jsonb[]", [[[1]], []]) == [[[1]], []]
    assert db.query_val("SELECT $1::int2vector[]", [[1, 2], [3]]) == [[1, 2], [3]]


def test_a_column_of_arrays_keeps_rows_apart(db: SyncDatabase) -> None:
    rows = db.query("SELECT n, ARRAY(SELECT generate_series(1, n)) AS ns FROM generate_series(0, 50) AS n")
    assert [row["ns"] for row in rows] == [list(range(1, n + 1)) for n in range(51)]
    assert len({id(row["ns"]) for row in rows}) == len(rows)
