"""The Python classes of PostgreSQL values: they compare, hash, print, copy and pickle by value."""

import copy
import datetime as dt
import pickle
from typing import Any

import pytest
from hyperdjango.database.types import (
    Box,
    Circle,
    Interval,
    Line,
    LineSegment,
    Multirange,
    Path,
    Point,
    Polygon,
    Range,
    composite_type,
    record_type,
)

Person = composite_type("person", ["id", "name", "class", "_private", "count"])

VALUES: list[Any] = [
    Interval(1, 2, 3),
    Range(1, 5),
    Range(None, 5, "[]"),
    Range(empty=True),
    Multirange([Range(1, 2), Range(5, None)]),
    Person((1, "Ann", "A", None, 7)),
    record_type(2)((1, "x")),
    Point(1, 2),
    Line(1, 2, 3),
    LineSegment(Point(1, 2), Point(3, 4)),
    Box(Point(3, 4), Point(1, 2)),
    Path((Point(1, 2),), closed=True),
    Polygon((Point(1, 2),)),
    Circle(Point(1, 2), 3),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_its_copies(value: Any) -> None:
    for again in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert again == value
        assert hash(again) == hash(value)
        assert repr(again) == repr(value)
    with pytest.raises(AttributeError):
        value.anything = 1


def test_a_range_says_what_it_holds() -> None:
    both, down, up = Range(1, 5), Range(None, 5, "[]"), Range(1, None, "(]")
    assert (both.lower, both.upper, both.bounds, both.lower_inc, both.upper_inc) == (1, 5, "[)", True, False)
    assert (down.bounds, down.lower_inf, down.upper_inf, down.lower_inc) == ("(]", True, False, False)
    assert (up.bounds, up.lower_inf, up.upper_inf, up.upper_inc) == ("()", False, True, False)
    assert [n in both for n in (0, 1, 4, 5)] == [False, True, True, False]
    assert [n in down for n in (-100, 5, 6)] == [True, True, False]
    assert [n in up for n in (1, 2, 10**9)] == [False, True, True]
    assert None not in Range()
    assert 0 in Range()


def test_the_empty_range_holds_nothing_and_is_false() -> None:
    empty: Range[int] = Range(empty=True)
    assert (empty.isempty, empty.bounds, empty.lower, empty.upper, bool(empty)) == (
        True,
        "",
        None,
        None,
        False,
    )
    assert (empty.lower_inf, empty.upper_inf, empty.lower_inc, empty.upper_inc) == (
        False,
        False,
        False,
        False,
    )
    assert 1 not in empty
    assert empty != Range()
    assert repr(empty) == "Range(empty=True)"
    assert bool(Range()) is True


def test_a_range_refuses_what_it_cannot_be() -> None:
    with pytest.raises(ValueError, match="bounds must be one of"):
        Range(1, 2, "<>")
    with pytest.raises(ValueError, match="no bounds"):
        Range(1, 2, empty=True)
    value = Range(1, 2)
    with pytest.raises(AttributeError, match="immutable"):
        value._lower = 5
    with pytest.raises(AttributeError, match="immutable"):
        del value._lower
    assert value != (1, 2)


def test_a_multirange_holds_ranges_only() -> None:
    with pytest.raises(TypeError, match="not int"):
        Multirange([1])  # type: ignore[arg-type]
    assert repr(Multirange([Range(1, 2)])) == "Multirange([Range(1, 2, '[)')])"
    assert len(Multirange()) == 0


def test_a_row_value_is_a_tuple_with_names() -> None:
    value: Any = Person((1, "Ann", "A", None, 7))
    assert value == (1, "Ann", "A", None, 7)
    assert (value.id, value.name, value.count) == (1, "Ann", 7)
    assert (value["id"], value["class"], value["_private"], value[-1], value[:2]) == (
        1,
        "A",
        None,
        7,
        (1, "Ann"),
    )
    assert value._asdict() == {"id": 1, "name": "Ann", "class": "A", "_private": None, "count": 7}
    assert repr(value) == "person(id=1, name='Ann', class='A', _private=None, count=7)"
    with pytest.raises(KeyError, match="nobody"):
        value["nobody"]
    with pytest.raises(AttributeError):
        _ = value.nobody
    with pytest.raises(IndexError):
        value[5]


def test_an_interval_becomes_the_timedelta_that_results_have() -> None:
    assert Interval(14, 1, 5).to_timedelta() == dt.timedelta(days=365 + 60 + 1, microseconds=5)
    assert Interval(-14).to_timedelta() == -dt.timedelta(days=365 + 60)
    delta = dt.timedelta(days=-3, seconds=4, microseconds=5)
    assert Interval.from_timedelta(delta) == (0, -3, 4_000_005)
    assert Interval.from_timedelta(delta).to_timedelta() == delta
    with pytest.raises(OverflowError):
        Interval(2**31 - 1, 2**31 - 1).to_timedelta()
