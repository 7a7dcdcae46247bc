"""What can be wrong where rows become instances: the plan, the statement, the backend.

Nothing is left behind then.
"""

import gc
import inspect
import sys
import weakref
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hyperdjango.database import (
    DataError,
    InterfaceError,
    ProtocolError,
    UndefinedColumn,
    _shape,
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
    Country,
    Open,
    begin,
    columns,
    flat,
    slot,
)
from pgkit import Answer, Column, ScriptedBackend, messages, serve, startup
from pgkit.face import Face, OpenFace
from postgres_servers import Server
from typekit import fresh_database


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[Any]:
    with fresh_database(server) as database:
        yield database


# What is wrong with a plan

WRONG_PLANS: Final[list[tuple[Any, type[Exception], str]]] = [
    (None, TypeError, "the nodes must be a tuple"),
    ([], TypeError, "the nodes must be a tuple"),
    ((), ValueError, "at least one node"),
    ((5,), TypeError, "a node must be a tuple"),
    (((Book, -1, None, ()),), TypeError, "a node is"),
    (((5, -1, None, (), ()),), TypeError, "subclass of Instance"),
    (((object, -1, None, (), ()),), TypeError, "subclass of Instance"),
    (((dict, -1, None, (), ()),), TypeError, "subclass of Instance"),
    (((Book, 0, None, (), ()),), ValueError, "the first node has no parent"),
    (((Book, -1, slot(Book, "_author"), (), ()),), ValueError, "the first node has no parent"),
    (((Book, "x", None, (), ()),), TypeError, "int"),
    (((Book, 2**70, None, (), ()),), OverflowError, "int"),
    (((Book, -1, None, [], ()),), TypeError, "a node's columns must be a tuple"),
    (((Book, -1, None, (5,), ()),), TypeError, "a column must be a tuple"),
    (((Book, -1, None, ((None,),), ()),), TypeError, "a column is"),
    (((Book, -1, None, ((5, None),), ()),), TypeError, "a slot is named by its member descriptor"),
    (((Book, -1, None, ((property(), None),), ()),), TypeError, "a slot is named by its member descriptor"),
    (
        ((Book, -1, None, ((inspect.getattr_static(Book, "_extra"), None),), ()),),
        TypeError,
        "member descriptor",
    ),
    (((Book, -1, None, AUTHOR, ()),), TypeError, "Book has no slot id of Author"),
    (((Country, -1, None, ((slot(Open, "id"), None), (slot(Author, "id"), None)), ()),), TypeError, "Author"),
    (((Book, -1, None, (*BOOK, BOOK[0]), ()),), ValueError, "the slot id is written twice"),
    (
        ((Book, -1, None, (("a", None), ("b", None), ("a", None)), ()),),
        ValueError,
        "two columns have the name 'a'",
    ),
    (((Book, -1, None, ((None, 5),), ()),), TypeError, "a converter is"),
    (((Book, -1, None, BOOK, [0]),), TypeError, "a node's key must be a tuple"),
    (((Book, -1, None, BOOK, (2,)),), ValueError, "positions of its node's columns"),
    (((Book, -1, None, BOOK, (-1,)),), ValueError, "positions of its node's columns"),
    (((Book, -1, None, BOOK, ("a",)),), TypeError, "int"),
    (((Book, -1, None, ((None, None),) * 1665, ()),), ValueError, "at most 1664"),
]
ROOT: Final = (Book, -1, None, BOOK, ())
WRONG_JOINS: Final[list[tuple[Any, type[Exception], str]]] = [
    (((Author, 1, slot(Book, "_author"), (), ()),), ValueError, "the index of a node before it"),
    (((Author, -1, slot(Book, "_author"), (), ()),), ValueError, "the index of a node before it"),
    (((Author, -1, None, (), ()),), ValueError, "the index of a node before it"),
    (((Author, 0, None, (), ()),), TypeError, "a slot is named by its member descriptor"),
    (((Author, 0, slot(Author, "_country"), (), ()),), TypeError, "Book has no slot _country of Author"),
    (((Author, 0, slot(Book, "id"), (), ()),), ValueError, "the slot id is written twice"),
    (((Author, 0, slot(Book, "_author"), (), ()),) * 2, ValueError, "the slot _author is written twice"),
]


@pytest.mark.parametrize(("nodes", "error", "match"), WRONG_PLANS)
def test_a_plan_that_cannot_be_followed_is_refused(nodes: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        native.Hydrator(nodes)


@pytest.mark.parametrize(("nodes", "error", "match"), WRONG_JOINS)
def test_a_join_that_cannot_be_followed_is_refused(nodes: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        native.Hydrator((ROOT, *nodes))


def test_there_is_one_origin_for_each_node() -> None:
    origin = native.Origin(None, None)
    begin_: Any = JOINED.begin
    for wrong, error in (((origin,), ValueError), ((), ValueError), ((None,) * 5, TypeError), (5, TypeError)):
        with pytest.raises(error):
            begin_(wrong)
    with pytest.raises(TypeError):
        native.Hydration()  # type: ignore[call-arg, unused-ignore]


@pytest.mark.parametrize("target", [None, dict, 5, BOOKS])
def test_the_shape_takes_nothing_but_a_hydration(db: Any, target: object) -> None:
    with pytest.raises(TypeError, match="Hydration"):
        db._complete(SQL, (), _shape.MODEL, target, False, None, None)
    assert db.query_val("SELECT 1") == 1


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT 1, 'x', 2", "SELECT", "SELECT 1 WHERE false"])
def test_another_number_of_columns_is_an_error_with_and_without_rows(face: Face, sql: str) -> None:
    run = begin(BOOKS)
    backend = face.query_val("SELECT pg_backend_pid()")
    for call in (face.query, face.query_one):
        with pytest.raises(
            InterfaceError, match=r"the statement gives \d columns, but its hydrator is made for 2"
        ):
            call(sql, into=run.target)
    assert run.origins[0].peers() == []
    assert face.query_val("SELECT pg_backend_pid()") == backend


def test_an_error_of_the_statement_is_its_own(face: Face) -> None:
    run = begin(BOOKS)
    with pytest.raises(UndefinedColumn):
        face.query("SELECT nothing, 1", into=run.target)
    with pytest.raises(DataError):
        face.query("SELECT 1 / (3 - n), '' FROM generate_series(1, 5) AS n", into=run.target)
    assert run.origins[0].peers() == []
    assert [book.id for book in face.query(SQL, into=run.target)] == [1, 2, 3]


# A backend that lies

GOOD: Final = [b"\0\0\0\x01", b"x", b"\0\0\0\x02", b"y"]
HOSTILE: Final = Answer(
    [Column("id", 23, 4), Column("title", 25), Column("id", 23, 4), Column("name", 25)], [GOOD]
)
PAIR: Final = native.Hydrator(
    (
        (Book, -1, None, BOOK, ()),
        (Author, 0, slot(Book, "_author"), AUTHOR, (0,)),
    )
)


def body(row: bytes) -> bytes:
    """A DataRow with this behind its length."""
    return b"D" + (len(row) + 4).to_bytes(4, "big") + row


WHOLE: Final = messages.data_row(GOOD)[5:]
SPOILED: Final = [
    *(WHOLE[:size] for size in range(len(WHOLE))),
    WHOLE + b"\0",
    messages.data_row(GOOD[:3])[5:],
    messages.data_row([*GOOD, None])[5:],
    messages.data_row([b"\0\0\x01", *GOOD[1:]])[5:],
    messages.data_row([*GOOD[:2], b"", None])[5:],
    messages.data_row([*GOOD[:3], b"\xff"])[5:],
    messages.data_row([*GOOD[:2], None, None])[5:] + b"\0",
    b"\0\x04" + b"\xff\xff\xff\xfe" * 4,
    b"\0\x04" + b"\x7f\xff\xff\xff" * 4,
]


def test_a_row_that_is_malformed_leaves_nothing_behind(open_face: OpenFace) -> None:
    spoiled = iter([None, *SPOILED])

    def alter(flight: list[bytes]) -> list[bytes]:
        row = next(spoiled) if any(message[:1] == b"D" for message in flight) else None
        if row is None:
            return flight
        return [body(row) if message[:1] == b"D" else message for message in flight]

    script = [*startup(), serve({SQL: HOSTILE}, alter=alter)]
    with ScriptedBackend(*[script] * (len(SPOILED) + 1), frontend_may_leave=True) as backend:
        face = open_face(backend.url(sslmode="disable"), min_size=0)
        run = begin(PAIR, 2)
        (book,) = face.query(SQL, into=run.target)
        assert (book.title, book._author.name) == ("x", "y")
        del book
        for row in SPOILED:
            with pytest.raises((ProtocolError, DataError)):
                face.query(SQL, into=run.target)
            assert [origin.peers() for origin in run.origins] == [[], []], row


# What is left behind


def test_reference_counts_are_steady_over_many_rows(db: Any) -> None:
    table = dict.fromkeys(range(7), Binding.HARD)
    author = columns(Author, "id", "name", id=table)
    hydrator = native.Hydrator(
        (
            (Book, -1, None, (*columns(Book, "id", id=str), ("extra", None), (None, None)), ()),
            (Author, 0, slot(Book, "_author"), author, (1,)),
        )
    )
    sql = "SELECT n, n, n, n % 7, nullif(n % 3, 0)::text FROM generate_series(1, 10000) AS n"
    failing = sql.replace("n % 7", "n % 7 + n / 9000")
    shared = [Book, Author, Binding.HARD, None, str, hydrator, sys.intern("extra"), table, Binding]

    def work() -> None:
        run = begin(hydrator, 2)
        books = db.query(sql, into=run.target)
        assert len(books) == len(run.origins[0].peers()) == 10_000
        assert len(run.origins[1].peers()) == 6_667
        with pytest.raises(DataError):
            db.query(failing, into=run.target)
        run.origins[0].context = books

    work()
    gc.collect()
    before = [sys.getrefcount(each) for each in shared]
    for _ in range(3):
        work()
    gc.collect()
    after = [sys.getrefcount(each) for each in shared]
    assert all(abs(one - other) < 1000 for one, other in zip(before, after, strict=True)), (before, after)


def test_a_hydrator_keeps_its_classes_and_goes_with_them() -> None:
    def made() -> tuple[weakref.ref[type], weakref.ref[Any]]:
        class Model(native.Instance):
            __slots__ = ("id",)
            hydrator: Any

        class Convert:
            def __call__(self, value: object) -> object:
                return value

        convert = Convert()
        Model.hydrator = flat(Model, *columns(Model, "id", id=convert))
        Model.target = Model.hydrator.begin((native.Origin(Model, Model),))  # type: ignore[attr-defined]
        return weakref.ref(Model), weakref.ref(convert)

    model, convert = made()
    gc.collect()
    assert (model(), convert()) == (None, None)
