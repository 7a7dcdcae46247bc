"""`row_of_each` and `rows_of_each` of the extension: rows in the order of keys."""

import sys
from typing import Any, NamedTuple

import pytest
from hyperdjango.database._native import native


class Pair(NamedTuple):
    id: int
    name: str


class Thing:
    def __init__(self, number: int) -> None:
        self.id = number


def several(key: object) -> str:
    return f"several of {key}"


DICTS = [{"id": 2, "n": 0}, {"id": 1, "n": 1}, {"id": 2, "n": 2}]


def test_each_key_has_its_row_none_or_what_stands_for_several() -> None:
    assert native.row_of_each(DICTS, "id", [1, 3, 2, 1, None], None, several) == [
        DICTS[1],
        None,
        "several of 2",
        DICTS[1],
        None,
    ]
    assert native.row_of_each([], "id", [1], None, several) == [None]
    assert native.row_of_each(DICTS, "id", [], None, several) == []


def test_each_key_has_a_list_of_its_rows_in_their_order() -> None:
    found = native.rows_of_each(DICTS, "id", [3, 2, 1], None)
    assert found == [[], [DICTS[0], DICTS[2]], [DICTS[1]]]


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        ([(1, "a"), (2, "b")], 0),
        ([Pair(1, "a"), Pair(2, "b")], "id"),
        ([Thing(1), Thing(2)], "id"),
        ([{"id": 1}, {"id": 2}], "id"),
    ],
    ids=["tuples", "named tuples", "objects", "dicts"],
)
def test_a_key_is_an_item_a_position_or_an_attribute(rows: list[Any], column: Any) -> None:
    assert native.row_of_each(rows, column, [2, 1], None, several) == [rows[1], rows[0]]


def test_keys_and_rows_are_compared_by_what_is_made_of_them() -> None:
    rows = [{"name": "Ann"}, {"name": "BEN"}]
    assert native.row_of_each(rows, "name", ["ben", "aNN"], str.lower, several) == [rows[1], rows[0]]
    lists = [{"k": [1]}, {"k": [2]}]
    assert native.rows_of_each(lists, "k", [[2]], tuple) == [[lists[1]]]


WRONG: list[Any] = [
    ((), TypeError),
    (((), "id", [], None, several), TypeError),
    (([], "id", (), None, several), TypeError),
    (([{}], "id", [], None, several), KeyError),
    (([()], 0, [], None, several), IndexError),
    (([object()], "id", [], None, several), AttributeError),
    (([object()], [], [], None, several), TypeError),
    (([{"id": []}], "id", [], None, several), TypeError),
    (([], "id", [[]], None, several), TypeError),
    (([{"id": 1}], "id", [1], 5, several), TypeError),
    (([{"id": 1}] * 2, "id", [1], None, 5), TypeError),
    (([{"id": 1}], "id", ["x"], int, several), ValueError),
]


@pytest.mark.parametrize(("arguments", "error"), WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_what_cannot_be_sorted_is_refused_and_nothing_is_kept(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        native.row_of_each(*arguments)
    watched = [one for one in arguments if not isinstance(one, (int, str, type(None)))]
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(20):
        with pytest.raises(error):
            native.row_of_each(*arguments)
    assert [sys.getrefcount(one) for one in watched] == before


def test_rows_and_keys_are_kept_by_the_answer_alone() -> None:
    key, row, other = object(), {"id": object()}, {"id": object()}
    rows, keys = [row, other, other], [key, row["id"], other["id"]]
    before = [sys.getrefcount(one) for one in (key, row, other, *keys)]
    for _ in range(20):
        native.row_of_each(rows, "id", keys, None, lambda _: None)
        native.rows_of_each(rows, "id", keys, None)
    assert [sys.getrefcount(one) for one in (key, row, other, *keys)] == before


def test_a_key_that_empties_the_lists_does_no_harm() -> None:
    rows: list[Any] = []
    keys: list[Any] = []

    class Key:
        def __hash__(self) -> int:
            rows.clear()
            keys.clear()
            return 1

    rows += [{"id": Key()} for _ in range(5)]
    keys += [Key() for _ in range(5)]
    assert native.rows_of_each(rows, "id", keys, None) == []
    rows += [{"id": 1}]
    keys += [Key() for _ in range(5)]
    assert native.row_of_each(rows, "id", keys, None, several) == [None]
