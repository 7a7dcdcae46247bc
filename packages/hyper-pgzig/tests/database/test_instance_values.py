"""`construct` and `column`: a new instance's values by name, and one slot of many instances."""

import sys
from typing import Any

import pytest
from hyperdjango.database._native import native


class Point(native.Instance):
    __slots__ = ("__weakref__", "label", "x", "y")


SLOTS: dict[str, Any] = {name: Point.__dict__[name] for name in ("x", "y", "label")}


def test_values_go_into_slots_and_to_functions_and_are_no_changes() -> None:
    calls: list[Any] = []
    point: Any = Point()
    setters = {**SLOTS, "both": lambda instance, value: calls.append((instance, value))}
    assert native.construct(point, {"x": 1, "both": 5}, setters, ()) is None
    assert (point.x, point._changed, point._origin, calls) == (1, None, None, [(point, 5)])
    with pytest.raises(AttributeError):
        _ = point.y


def test_what_is_not_given_by_either_name_gets_its_default() -> None:
    made: list[list[int]] = []

    def make() -> list[int]:
        made.append([])
        return made[-1]

    defaults: Any = (
        ("x", None, SLOTS["x"], 7, None),
        ("y", "other", SLOTS["y"], 8, None),
        ("label", None, SLOTS["label"], None, make),
    )
    first: Any = Point()
    setters = {**SLOTS, "other": lambda _instance, _value: None}
    assert native.construct(first, {"other": 1}, setters, defaults) is None
    assert (first.x, first.label) == (7, [])
    assert first.label is made[0]
    with pytest.raises(AttributeError):
        _ = first.y
    second: Any = Point()
    native.construct(second, {"label": "given", "x": None}, setters, defaults)
    assert (second.x, second.y, second.label, len(made)) == (None, 8, "given", 1)


def test_a_name_without_a_setter_is_returned() -> None:
    assert native.construct(Point(), {"x": 1, "z": 2}, SLOTS, ()) == "z"


def test_what_a_setter_or_a_factory_raises_comes_through() -> None:
    def refuse(*_: object) -> None:
        raise LookupError("refused")

    with pytest.raises(LookupError):
        native.construct(Point(), {"x": 1}, {"x": refuse}, ())
    with pytest.raises(LookupError):
        native.construct(Point(), {}, {}, (("x", None, SLOTS["x"], None, refuse),))


def test_a_setter_may_change_the_values_it_comes_from() -> None:
    values = {"x": 1, "y": 2}
    point: Any = Point()
    native.construct(point, values, {"x": lambda *_: values.clear(), "y": SLOTS["y"]}, ())
    assert point.y == 2
    assert values == {}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (1, {}, {}, ()),
        (Point(), [], {}, ()),
        (Point(), {}, [], ()),
        (Point(), {}, {}, []),
        (Point(), {}, {}, (5,)),
        (Point(), {}, {}, (("x", None),)),
        (Point(), {}, {}, (("x", None, "no slot", 1, None),)),
        (Point(), {"x": 1}, {"x": 5}, ()),
    ],
)
def test_arguments_that_construct_cannot_use_are_refused(arguments: Any) -> None:
    with pytest.raises(TypeError):
        native.construct(*arguments)


def test_a_column_has_the_default_where_a_slot_holds_nothing() -> None:
    points: list[Any] = [Point() for _ in range(3)]
    points[0].x, points[2].x = 1, None
    nothing = object()
    assert native.column(points, SLOTS["x"], nothing) == [1, nothing, None]
    assert native.column([], SLOTS["x"], nothing) == []


@pytest.mark.parametrize("arguments", [(), ((), SLOTS["x"], 0), ([1], SLOTS["x"], 0), ([Point()], "x", 0)])
def test_arguments_that_column_cannot_use_are_refused(arguments: Any) -> None:
    with pytest.raises(TypeError):
        native.column(*arguments)


def test_nothing_is_left_behind() -> None:
    value, marker = object(), object()
    before = sys.getrefcount(value), sys.getrefcount(marker)
    for _ in range(1000):
        point = Point()
        native.construct(point, {"x": value}, SLOTS, (("y", None, SLOTS["y"], marker, None),))
        native.column([point], SLOTS["x"], marker)
        assert native.construct(Point(), {"z": value}, SLOTS, ()) == "z"
        with pytest.raises(TypeError):
            native.construct(Point(), {"x": value}, {"x": 5}, ())
    del point
    assert (sys.getrefcount(value), sys.getrefcount(marker)) == before
