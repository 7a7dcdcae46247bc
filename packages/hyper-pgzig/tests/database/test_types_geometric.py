"""Geometric types: named tuples whose items are floats, in both directions."""

import math
from collections.abc import Iterator

import pytest
from hyperdjango.database import (
    Box,
    Circle,
    DataError,
    Line,
    LineSegment,
    Path,
    Point,
    Polygon,
    SyncDatabase,
)
from postgres_servers import Server
from typekit import Case, cases, check, fresh_database, identical, identify


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server) as database:
        yield database


ORIGIN = Point(0.0, 0.0)
CORNER = Point(1.5, -2.0)
FAR = Point(1e300, -5e-324)

CASES = [
    *cases(
        "point",
        ("(0,0)", ORIGIN),
        ("(1.5,-2)", CORNER),
        ("(1e300,-5e-324)", FAR),
        ("(Infinity,-Infinity)", Point(math.inf, -math.inf)),
        ("(NaN,-0)", Point(math.nan, -0.0)),
    ),
    *cases("line", ("{1,2,3}", Line(1.0, 2.0, 3.0)), ("{-1,0,0.5}", Line(-1.0, 0.0, 0.5))),
    *cases("lseg", ("[(0,0),(1.5,-2)]", LineSegment(ORIGIN, CORNER))),
    *cases("box", ("(1,1),(0,0)", Box(Point(1.0, 1.0), ORIGIN))),
    *cases(
        "path",
        ("[(0,0),(1.5,-2)]", Path((ORIGIN, CORNER))),
        ("((0,0),(1.5,-2))", Path((ORIGIN, CORNER), closed=True)),
        ("[(0,0)]", Path((ORIGIN,))),
    ),
    *cases(
        "polygon",
        ("((0,0),(1.5,-2),(1,1))", Polygon((ORIGIN, CORNER, Point(1.0, 1.0)))),
        ("((0,0))", Polygon((ORIGIN,))),
    ),
    *cases("circle", ("<(0,0),0>", Circle(ORIGIN, 0.0)), ("<(1.5,-2),1e300>", Circle(CORNER, 1e300))),
]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_shape_is_the_same_on_every_way(db: SyncDatabase, case: Case) -> None:
    # An lseg array would need a cast of its own: the server prints brackets that ARRAY takes for itself.
    check(db, case)


def test_plain_tuples_of_the_same_shape_serve(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::point", (1, 2)) == Point(1.0, 2.0)
    assert db.query_val("SELECT $1::line", [1, 2, 3]) == Line(1.0, 2.0, 3.0)
    assert db.query_val("SELECT $1::lseg", ((0, 0), (1, 1))) == LineSegment(ORIGIN, Point(1.0, 1.0))
    assert db.query_val("SELECT $1::circle", ((0, 0), 5)) == Circle(ORIGIN, 5.0)
    assert db.query_val("SELECT $1::path", [(0, 0), (1, 1)]).closed is False
    assert db.query_val("SELECT $1::path", ((0, 0), (1, 1))).closed is True
    assert db.query_val("SELECT $1::polygon", [(0, 0), (1, 1)]) == Polygon((ORIGIN, Point(1.0, 1.0)))


def test_the_server_puts_the_upper_right_corner_of_a_box_first(db: SyncDatabase) -> None:
    assert identical(
        db.query_val("SELECT $1::box", Box(ORIGIN, Point(2.0, 3.0))), Box(Point(2.0, 3.0), ORIGIN)
    )


def test_fields_have_names(db: SyncDatabase) -> None:
    circle = db.query_val("SELECT circle '<(1,2),3>'")
    assert (circle.center.x, circle.center.y, circle.radius) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("type_name", "value", "reason"),
    [
        ("point", (1,), "two numbers"),
        ("point", 5, "two numbers"),
        ("point", ("a", "b"), "not"),
        ("circle", (1, 2), "point"),
        ("polygon", [], "at least one point"),
        ("path", [(1, 2, 3)], "two numbers"),
    ],
)
def test_a_shape_of_another_kind_is_refused_here(
    db: SyncDatabase, type_name: str, value: object, reason: str
) -> None:
    with pytest.raises(DataError, match=rf"^parameter \$1: Python \w+ does not fit {type_name}: .*{reason}"):
        db.query_val(f"SELECT $1::{type_name}", value)


def test_a_negative_radius_is_the_servers_to_refuse(db: SyncDatabase) -> None:
    with pytest.raises(DataError, match="invalid radius"):
        db.query_val("SELECT $1::circle", ((0, 0), -1))


def test_a_long_path_arrives_whole(db: SyncDatabase) -> None:
    path = Path(tuple(Point(float(n), -float(n)) for n in range(20_000)))
    assert db.query_val("SELECT $1::path", path) == path
    assert db.query_val("SELECT npoints($1::path)", path) == 20_000
