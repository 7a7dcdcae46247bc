"""Rows that become instances of models: plans, joins, converters, and values that are in no slot.

The shape is the ORM's alone; here a Hydration is given as `into=`, which both faces take. What an instance is
by itself stands in test_instances.
"""

import gc
import weakref
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hyperdjango.database import (
    DataError,
    InterfaceError,
    SyncDatabase,
)
from hyperdjango.database._native import native
from library import (
    AUTHOR,
    BOOK,
    BOOKS,
    JOINED,
    SQL,
    Author,
    Binding,
    Book,
    Converter,
    Country,
    Run,
    Special,
    Target,
    begin,
    columns,
    flat,
    one,
    slot,
)
from pgkit.face import Face, iterate
from postgres_servers import Server
from typekit import fresh_database


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[Any]:
    with fresh_database(
        server,
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE TABLE country (id int4 PRIMARY KEY, name text)",
        "CREATE TABLE author (id int4 PRIMARY KEY, name text, country_id int4)",
        "CREATE TABLE book (id int4 PRIMARY KEY, title text, author_id int4, editor_id int4)",
        "INSERT INTO country VALUES (1, 'Norway')",
        "INSERT INTO author VALUES (1, 'Ann', 1), (2, 'Ben', NULL)",
        "INSERT INTO book VALUES (1, 'A', 1, 2), (2, 'B', 2, NULL), (3, 'C', NULL, 1), (4, 'D', NULL, NULL)",
    ) as database:
        yield database


def test_rows_become_instances_whose_slots_hold_the_values(face: Face) -> None:
    run = begin(BOOKS)
    books = face.query(SQL, into=run.target)
    assert [(type(book), book.id, book.title) for book in books] == [
        (Book, 1, "title 1"),
        (Book, 2, "title 2"),
        (Book, 3, "title 3"),
    ]
    assert all((book._changed, book._extra) == (None, None) for book in books)
    assert all(book._origin is run.origins[0] for book in books)
    assert run.origins[0].peers() == books
    assert run.target.origins is run.origins
    with pytest.raises(AttributeError):
        _ = books[0].author_id
    books[0].title = "x"
    assert books[0]._changed == {"title"}


def test_a_class_is_filled_by_the_slots_of_its_base_too(db: Any) -> None:
    (first, *_) = db.query(SQL, into=begin(flat(Special, *BOOK)).target)
    assert (type(first), first.id, first.title) == (Special, 1, "title 1")


def test_the_first_row_alone_or_none(face: Face) -> None:
    run = begin(BOOKS)
    book = face.query_one(SQL, into=run.target)
    assert (book.id, run.origins[0].peers()) == (1, [book])
    assert face.query_one(f"{SQL} WHERE false", into=run.target) is None
    assert face.query(f"{SQL} WHERE false", into=run.target) == []


def test_a_hydration_serves_several_requests(face: Face) -> None:
    run = begin(BOOKS)
    first, second = (face.query(SQL, into=run.target) for _ in range(2))
    assert run.origins[0].peers() == first + second


def test_rows_come_through_a_portal(face: Face) -> None:
    run = begin(BOOKS)
    books = list(iterate(face, "stream", SQL, into=run.target, chunk=2))
    assert [book.id for book in books] == [1, 2, 3]
    assert run.origins[0].peers() == books


def test_rows_come_from_a_copy(db: Any) -> None:
    with db.copy_out(f"COPY ({SQL}) TO STDOUT", into=begin(BOOKS).target) as rows:
        assert [book.title for book in rows] == ["title 1", "title 2", "title 3"]


@pytest.mark.parametrize(
    "value",
    [
        *("true", "1::int8", "1.5::float8", "1.50::numeric", "'x'::text", "NULL::text", "'\\x00'::bytea"),
        *(
            "timestamptz '2024-01-01 00:00+00'",
            "interval '1 day'",
            "uuid '00000000-0000-0000-0000-000000000005'",
        ),
        *("'[1, {}]'::jsonb", "ARRAY[[1, NULL], [2, 3]]", "int4range(1, 5)", "inet '1.2.3.4/8'"),
        *("point '(1,2)'", "'fine'::mood", "ROW(1, 'x', ROW(2))", "ARRAY['fine']::mood[]", "'1'::money"),
    ],
)
def test_a_value_is_what_it_is_in_a_dict(db: Any, value: str) -> None:
    row = one(db, f"SELECT {value}, {value}", BOOK[1], ("extra", None))
    assert row.title == row._extra["extra"] == db.query_val(f"SELECT {value}")


# Converters, and values that are in no slot


def test_a_table_converts_values_and_leaves_null(db: Any) -> None:
    table = {each.value: each for each in Binding}
    hydrator = flat(Book, *columns(Book, "title", title=table))
    table.clear()  # the plan has a copy
    sql = "SELECT unnest(ARRAY['hard', NULL, 'soft'])"
    books = db.query(sql, into=begin(hydrator).target)
    assert [book.title for book in books] == [Binding.HARD, None, Binding.SOFT]


def test_a_value_that_a_table_does_not_have_names_the_column(db: Any) -> None:
    pair: tuple[Target, Converter] = (slot(Book, "title"), {"hard": 1})
    for sql, shown in (("SELECT 'soft' AS binding", "'soft'"), ("SELECT 5 AS binding", "5")):
        with pytest.raises(
            DataError, match=rf'column "binding" \((text|int4)\): {shown} is none of the values'
        ):
            one(db, sql, pair)
    with pytest.raises(DataError, match="is none of the values"):
        one(db, f"SELECT '{'x' * 3000}'", pair)
    with pytest.raises(TypeError, match="unhashable"):
        one(db, "SELECT ARRAY[1]", pair)
    assert one(db, "SELECT 'hard'", pair).title == 1


def test_a_callable_converts_values_and_leaves_null(db: Any) -> None:
    seen: list[object] = []

    def convert(value: object) -> object:
        seen.append(value)
        return [value]

    hydrator = flat(Book, *columns(Book, "title", title=convert))
    books = db.query("SELECT unnest(ARRAY[1, NULL, 3])", into=begin(hydrator).target)
    assert [book.title for book in books] == [[1], None, [3]]
    assert seen == [1, 3]


def test_an_error_of_a_converter_comes_through_and_the_connection_stays(face: Face) -> None:
    run = begin(flat(Book, *columns(Book, "id", id=lambda n: 1 / (n - 500))))
    backend = face.query_val("SELECT pg_backend_pid()")
    with pytest.raises(ZeroDivisionError):
        face.query("SELECT generate_series(1, 20000)", into=run.target)
    assert run.origins[0].peers() == []
    assert face.query_val("SELECT pg_backend_pid()") == backend
    with face.transaction():
        with pytest.raises(ZeroDivisionError):
            face.query("SELECT 500", into=run.target)
        assert face.query_val("SELECT 2") == 2


def test_a_converter_may_ask_the_database(server: Server, db: Any) -> None:
    name = str(db.query_val("SELECT current_database()"))
    with SyncDatabase(server.url_for(name), min_size=1, max_size=2) as wide:
        hydrator = flat(
            Book, *columns(Book, "id", id=lambda n: wide.query_val("SELECT $1::int4 + 1", n)), BOOK[1]
        )
        query: Any = wide.query
        assert [book.id for book in query(SQL, into=begin(hydrator).target)] == [2, 3, 4]


def test_a_converter_cannot_enter_its_own_connection(db: Any) -> None:
    with db.transaction():
        hydrator = flat(Book, *columns(Book, "id", id=lambda _: db.query_val("SELECT 1")))
        with pytest.raises(InterfaceError):
            db.query("SELECT 1", into=begin(hydrator).target)


def test_a_converter_sees_no_row_that_is_not_whole_and_may_drop_what_there_is(db: Any) -> None:
    class Holder:
        run: Run | None = None

    holder = Holder()
    seen: list[int] = []

    def convert(value: int) -> int:
        if holder.run is not None:
            seen.append(len(holder.run.origins[0].peers()))
            if value == 2:
                holder.run = None
        gc.collect(0)
        return value

    holder.run = begin(flat(Book, *columns(Book, "id", id=convert), BOOK[1]))
    query = db.query
    books = query(SQL, into=holder.run.target)
    assert seen == [0, 1]
    assert [book.id for book in books] == [1, 2, 3]
    assert books[0]._origin.peers() == books


def test_values_without_a_slot_are_kept_by_name(db: Any) -> None:
    hydrator = flat(Book, BOOK[0], ("total", None), (None, None), ("kind", {1: "one"}), ("nothing", None))
    (book,) = db.query("SELECT 1, 2.5::float8, 3, 1, NULL", into=begin(hydrator).target)
    assert book._extra == {"total": 2.5, "kind": "one", "nothing": None}
    assert list(book._extra) == ["total", "kind", "nothing"]
    assert book._changed is None
    book._extra["total"] = 3
    (again,) = db.query("SELECT 1, 2.5::float8, 3, 1, NULL", into=begin(hydrator).target)
    assert again._extra["total"] == 2.5


def test_a_column_without_a_place_is_not_even_decoded(db: Any) -> None:
    assert one(db, "SELECT date '0044-03-15 BC', 1", (None, None), BOOK[0]).id == 1
    with pytest.raises(DataError, match='column "date"'):
        one(db, "SELECT 1, date '0044-03-15 BC'", *BOOK)


# Joins

JOIN: Final = """
    SELECT book.id, book.title, a.id, a.name, ac.id, ac.name, e.id, e.name, ec.id, ec.name FROM book
    LEFT JOIN author AS a ON a.id = author_id LEFT JOIN country AS ac ON ac.id = a.country_id
    LEFT JOIN author AS e ON e.id = editor_id LEFT JOIN country AS ec ON ec.id = e.country_id
    ORDER BY book.id
"""


def shown(author: Author | None) -> tuple[object, ...] | None:
    if author is None:
        return None
    country = author._country
    return author.name, country and country.name


def test_joins_fill_the_relations_as_far_as_they_have_found_something(db: Any) -> None:
    run = begin(JOINED, 5)
    books = db.query(JOIN, into=run.target)
    assert [(book.title, shown(book._author), shown(book._editor)) for book in books] == [
        ("A", ("Ann", "Norway"), ("Ben", None)),
        ("B", ("Ben", None), None),
        ("C", None, ("Ann", "Norway")),
        ("D", None, None),
    ]
    assert [origin.peers() for origin in run.origins] == [
        books,
        [books[0]._author, books[1]._author],
        [books[0]._author._country],
        [books[0]._editor, books[2]._editor],
        [books[2]._editor._country],
    ]
    assert books[0]._author._origin.fetch_mode == 1
    # What can get a reference back is looked at by the collector.
    assert [gc.is_tracked(book) for book in books] == [True, True, True, False]
    assert [gc.is_tracked(book._author) for book in books[:2]] == [True, False]


def test_a_part_of_a_joined_row_outlives_the_rest(db: Any) -> None:
    run = begin(JOINED, 5)
    books = db.query(JOIN, into=run.target)
    country = books[0]._author._country
    del books
    assert [len(origin.peers()) for origin in run.origins] == [0, 0, 1, 0, 0]
    assert (country.name, country._origin) == ("Norway", run.origins[2])


def test_a_cycle_through_a_join_is_collected(db: Any) -> None:
    def made() -> weakref.ref[Author]:
        book = db.query_one(JOIN, into=begin(JOINED, 5).target)
        book._author._country = book
        return weakref.ref(book._author)

    ref = made()
    gc.collect()
    assert ref() is None


def test_any_null_in_the_key_means_absent_and_without_a_key_a_node_is_always_there(db: Any) -> None:
    def author(key: tuple[int, ...], values: str) -> Any:
        hydrator = native.Hydrator(
            (
                (Book, -1, None, BOOK[:1], (0,)),
                (Author, 0, slot(Book, "_author"), AUTHOR, key),
            )
        )
        return db.query_one(f"SELECT NULL::int4, {values}", into=begin(hydrator, 2).target)._author

    for values in ("NULL::int4, 'x'", "1, NULL::text", "NULL::int4, NULL::text"):
        assert author((0, 1), values) is None
        made = author((), values)
        assert (made.id, made.name) == db.query_one(f"SELECT {values}", into=tuple)
    assert author((1,), "1, NULL::text") is None
    assert author((1,), "NULL::int4, 'x'").name == "x"
    assert author((1, 0, 1), "1, 'x'").id == 1


def test_of_an_absent_node_nothing_is_decoded_or_converted(db: Any) -> None:
    def refuse(_: object) -> object:
        raise AssertionError

    hydrator = native.Hydrator(
        (
            (Book, -1, None, BOOK[:1], ()),
            (Author, 0, slot(Book, "_author"), columns(Author, "name", "id", name=refuse), (1,)),
            (Country, 1, slot(Author, "_country"), columns(Country, "name", name=refuse), ()),
        )
    )
    sql = "SELECT 1, date '0044-03-15 BC', NULL, date '0044-03-15 BC'"
    assert db.query_one(sql, into=begin(hydrator, 3).target)._author is None


def test_a_plan_may_have_many_nodes(db: Any) -> None:
    class Link(native.Instance):
        __slots__ = ("id", "next")

        id: Any
        next: Any

    ids = columns(Link, "id")
    hydrator = native.Hydrator(
        (
            (Link, -1, None, ids, ()),
            *((Link, n, slot(Link, "next"), ids, (0,)) for n in range(39)),
        )
    )
    run = begin(hydrator, 40)
    sql = "SELECT " + ", ".join(f"nullif({n}, 30)" for n in range(40))
    link, found = db.query_one(sql, into=run.target), []
    while link is not None:
        found.append(link.id)
        link = link.next
    assert found == list(range(30))
    sql = "SELECT " + ", ".join(["1"] * 39 + ["date '0044-03-15 BC'"])
    with pytest.raises(DataError):
        db.query_one(sql, into=run.target)
    assert [origin.peers() for origin in run.origins] == [[]] * 40


def test_types_that_are_met_late_make_no_instance_twice(server: Server, db: Any) -> None:
    name = str(db.query_val("SELECT current_database()"))
    with SyncDatabase(server.url_for(name), min_size=1, max_size=1) as fresh:
        run = begin(BOOKS)
        query: Any = fresh.query
        sql = "SELECT n, ROW(n, 'fine'::mood, ARRAY['fine'::mood]) FROM generate_series(1, 3) AS n"
        books = query(sql, into=run.target)
        assert [tuple(book.title) for book in books] == [(n, "fine", ["fine"]) for n in (1, 2, 3)]
        assert run.origins[0].peers() == books


def test_an_origin_whose_context_may_lead_back_has_the_collector_look(db: Any) -> None:
    run = begin(BOOKS)
    before = db.query(SQL, into=run.target)
    assert [gc.is_tracked(book) for book in before] == [False] * 3
    run.origins[0].context = []
    after = db.query(SQL, into=run.target)
    assert [gc.is_tracked(book) for book in before + after] == [True] * 6
