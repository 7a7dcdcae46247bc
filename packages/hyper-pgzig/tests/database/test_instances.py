"""`native.Instance` and what the ORM does with it apart from rows: slots, changes, the Origin.

Rows that become instances are in test_hydration, the collector in test_instances_collected.
"""

import copy
import inspect
import pickle
import threading
import weakref
from types import FunctionType, MemberDescriptorType
from typing import Any, Final

import pytest
from hyperdjango.database._native import native


class Row(native.Instance):
    __slots__ = ("__weakref__", "_author", "id", "name")

    id: Any
    name: Any
    _author: Any


class Longer(Row):
    __slots__ = ("more",)

    more: Any


class Other(native.Instance):
    __slots__ = ("id", "name")

    id: Any


class Open(native.Instance):
    """A class without `__slots__`: it has a `__dict__`."""


class Foreign:
    __slots__ = ("a", "b", "c", "d", "e", "f", "id")


def slot(cls: type, name: str) -> MemberDescriptorType:
    found = inspect.getattr_static(cls, name)
    assert inspect.ismemberdescriptor(found)
    return found


ID: Final = slot(Row, "id")
NAME: Final = slot(Row, "name")
AUTHOR: Final = slot(Row, "_author")


def filled(**values: object) -> Row:
    made = Row()
    native.fill(made, tuple(slot(Row, name) for name in values), list(values.values()))
    return made


def test_a_new_instance_is_from_nowhere_and_has_no_values() -> None:
    row = Row(1, name="ignored")  # type: ignore[call-arg]
    assert (row._origin, row._changed, row._extra) == (None, None, None)
    with pytest.raises(AttributeError):
        _ = row.id
    assert not hasattr(row, "__dict__")


def test_setting_an_attribute_writes_down_its_name() -> None:
    row = Row()
    row.id = 1
    row.name = row.id = 2
    assert row._changed == {"id", "name"}
    setattr(row, "".join(("i", "d")), 3)
    assert (row.id, row.name, row._changed) == (3, 2, {"id", "name"})


def test_names_with_an_underscore_are_not_written_down() -> None:
    row = Row()
    row._author = 1
    row._origin = row._changed = row._extra = None
    assert (row._changed, row._author) == (None, 1)


def test_a_deleted_attribute_is_no_change_any_more() -> None:
    row = Row()
    row.id = row.name = 1
    del row.id
    assert row._changed == {"name"}
    with pytest.raises(AttributeError):
        del row.id
    fresh = Row()
    native.set_slot(fresh, ID, 1)
    del fresh.id
    assert fresh._changed is None


def test_an_attribute_that_cannot_be_set_is_not_written_down() -> None:
    row = Row()
    with pytest.raises(AttributeError):
        row.nothing = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        setattr(row, 5, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Row.__setattr__(row, 5, 1)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        setattr(row, "", 1)
    assert row._changed is None


def test_a_property_is_set_by_its_own_function() -> None:
    class Model(Row):
        __slots__ = ()

        @property
        def title(self) -> object:
            return self.name

        @title.setter
        def title(self, value: object) -> None:
            if value is None:
                raise ValueError("no title")
            native.set_slot(self, NAME, value)

    row = Model()
    with pytest.raises(ValueError, match="no title"):
        row.title = None
    assert row._changed is None
    row.title = "x"
    assert row.name == "x"
    assert row._changed == {"title"}


def test_the_changes_can_be_replaced_and_forgotten() -> None:
    row = Row()
    row._changed = kept = {"a"}
    row.id = 1
    assert row._changed is kept
    assert kept == {"a", "id"}
    row._changed = None
    assert row._changed is None
    row._changed = kept
    del row._changed
    assert row._changed is None


def test_extra_values_can_be_replaced_and_forgotten() -> None:
    row = Row()
    row._extra = kept = {"total": 3}
    assert row._extra is kept
    row._extra = None
    assert row._extra is None


@pytest.mark.parametrize("wrong", [5, [], (), frozenset({"a"}), "id"])
@pytest.mark.parametrize("name", ["_origin", "_changed", "_extra"])
def test_what_is_none_of_these_is_refused(name: str, wrong: object) -> None:
    row = Row()
    row.id = 1
    with pytest.raises(TypeError, match=name):
        setattr(row, name, wrong)
    assert row._changed == {"id"}


def test_an_instance_is_neither_pickled_nor_copied_by_itself() -> None:
    row = Row()
    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            call(row)


def test_classes_inherit_and_instances_compare_by_identity() -> None:
    row, other = Longer(), Longer()
    row.id = other.id = row.more = 1
    assert row != other
    assert len({row, other}) == 2
    assert row._changed == {"id", "more"}
    assert type(native.Instance()) is native.Instance


def test_a_long_chain_of_instances_is_freed() -> None:
    row: Row | None = None
    for _ in range(100_000):
        before, row = row, Row()
        native.set_slot(row, NAME, before)
    row = before = None


# Slots by their descriptors


def test_a_slot_that_is_written_is_no_change() -> None:
    row = Longer()
    native.set_slot(row, ID, 1)
    native.fill(row, (NAME, slot(Longer, "more"), AUTHOR), ["x", None, 5])
    assert (row.id, row.name, row.more, row._author, row._changed) == (1, "x", None, 5, None)
    native.fill(row, (), ())
    native.fill(row, (ID, ID), (7, 8))
    assert row.id == 8


def test_a_slot_gives_back_what_it_held() -> None:
    class Value:
        pass

    row, gone = Row(), []
    for _ in range(3):
        value = Value()
        gone.append(weakref.ref(value))
        native.set_slot(row, ID, value)
        del value
    assert [ref() is None for ref in gone] == [True, True, False]
    del row
    assert gone[-1]() is None


NO_SLOTS: Final[list[object]] = [
    "id",
    None,
    Row,
    property(),
    inspect.getattr_static(native.Instance, "_extra"),
    inspect.getattr_static(type, "__basicsize__"),
    inspect.getattr_static(FunctionType, "__closure__"),
    inspect.getattr_static(BaseException, "__suppress_context__"),
    slot(Other, "id"),
    slot(Longer, "more"),
    slot(Foreign, "id"),
]


@pytest.mark.parametrize("wrong", NO_SLOTS, ids=lambda wrong: repr(wrong).partition(" at 0x")[0])
def test_only_slots_of_the_instances_own_class_are_written_and_read(wrong: Any) -> None:
    row = filled(id=1)
    for call in (
        lambda: native.set_slot(row, wrong, 5),
        lambda: native.fill(row, (ID, wrong), (1, 5)),
        lambda: native.group([row], wrong),
    ):
        with pytest.raises(TypeError, match=r"slot"):
            call()
    assert row.id == 1


@pytest.mark.parametrize("wrong", [None, 5, Foreign(), Row, object()])
def test_only_instances_have_slots(wrong: Any) -> None:
    for call in (
        lambda: native.set_slot(wrong, ID, 5),
        lambda: native.fill(wrong, (ID,), (5,)),
        lambda: native.group([wrong], ID),
    ):
        with pytest.raises(TypeError, match="an Instance is needed"):
            call()


def test_the_arguments_of_fill_go_together() -> None:
    row: Any = Row()
    fill: Any = native.fill
    for descriptors, values, error in (
        ((ID,), (), ValueError),
        ((), [1], ValueError),
        ([ID], [1], TypeError),
        ((ID,), iter([1]), TypeError),
        ((ID,), "x", TypeError),
    ):
        with pytest.raises(error):
            fill(row, descriptors, values)
    with pytest.raises(TypeError):
        fill(row, (ID,))
    with pytest.raises(TypeError):
        native.set_slot(row, ID)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        native.group([])  # type: ignore[call-arg]


def test_values_that_change_the_list_they_come_from_do_no_harm() -> None:
    values: list[object] = [1, 2]

    class Clears:
        def __del__(self) -> None:
            values.clear()

    row = filled(id=Clears(), name=1)
    native.fill(row, (ID, NAME), values)
    assert (row.id, row.name, values) == (1, 2, [])


def test_group_gathers_instances_by_a_value() -> None:
    rows = [filled(id=n, name=n % 3 or None) for n in range(7)]
    groups = native.group(rows, NAME)
    assert {key: [row.id for row in group] for key, group in groups.items()} == {
        None: [0, 3, 6],
        1: [1, 4],
        2: [2, 5],
    }
    assert list(groups) == [None, 1, 2]
    assert native.group([], NAME) == {}
    mixed: list[Any] = [Longer(), *rows]
    native.set_slot(mixed[0], NAME, 2)
    assert native.group(mixed, NAME)[2] == [mixed[0], rows[2], rows[5]]


def test_group_refuses_what_it_cannot_gather() -> None:
    with pytest.raises(ValueError, match=r"name of an instance of Row is not loaded"):
        native.group([filled(id=1)], NAME)
    with pytest.raises(TypeError, match="unhashable"):
        native.group([filled(name=[])], NAME)
    with pytest.raises(TypeError, match="list"):
        native.group((), NAME)  # type: ignore[arg-type]


def test_group_survives_a_value_that_empties_the_list() -> None:
    rows: list[Row] = []

    class Key:
        def __hash__(self) -> int:
            rows.clear()
            return 1

    key = Key()
    rows += [filled(name=key) for _ in range(5)]
    (group,) = native.group(rows, NAME).values()
    assert (len(group), rows) == (1, [])


# What is missing


class Asked(Row):
    __slots__ = ("asked",)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"no {name}"

    @property
    def broken(self) -> object:
        raise AttributeError("mine")

    @property
    def failing(self) -> object:
        raise ZeroDivisionError


class AskedLater(Asked):
    __slots__ = ()


class Watched(Row):
    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        return f"no {name}"

    def __getattribute__(self, name: str) -> object:
        return "watched" if name == "id" else super().__getattribute__(name)


for made in (Row, Asked, AskedLater, Watched, Open):
    native.quicken(made)


@pytest.mark.parametrize("cls", [Asked, AskedLater])
def test_a_class_that_was_quickened_reads_as_before(cls: type[Asked]) -> None:
    row = cls()
    for _ in range(100):  # the interpreter adapts its instructions
        assert row.name == "no name"
    row.name = "x"
    for _ in range(100):
        assert row.name == "x"
    assert (row._changed, row._origin, row.broken, row.other) == ({"name"}, None, "no broken", "no other")
    assert row.__class__ is cls
    assert not hasattr(row, "__wrapped__")
    with pytest.raises(ZeroDivisionError):
        _ = row.failing
    del row.name
    assert row.name == "no name"


def test_a_quickened_class_can_be_given_another_function() -> None:
    class Model(Row):
        __slots__ = ()

        def __getattr__(self, name: str) -> object:
            return 1

    native.quicken(Model)
    row = Model()
    assert row.id == 1
    Model.__getattr__ = lambda self, name: 2  # type: ignore[method-assign]
    assert row.id == 2
    del Model.__getattr__
    with pytest.raises(AttributeError):
        _ = row.id


def test_classes_that_are_not_slowed_stay_as_they_are() -> None:
    assert (Watched().id, Watched().name) == ("watched", "no name")
    with pytest.raises(AttributeError, match="id"):
        _ = Row().id
    row: Any = Open()
    row.anything = 1
    assert (row.anything, row._changed) == (1, {"anything"})


@pytest.mark.parametrize("wrong", [None, 5, Row(), object, native.Instance, Foreign])
def test_only_models_are_quickened(wrong: Any) -> None:
    with pytest.raises(TypeError, match="subclass of Instance"):
        native.quicken(wrong)


# Origins


def origin() -> "native.Origin":
    return native.Origin("database", fetch_mode="mode")


def test_an_origin_says_where_instances_are_from() -> None:
    made = origin()
    assert (made.database, made.fetch_mode, made.context, made.peers()) == ("database", "mode", None, [])
    made.context = [1]
    assert made.context == [1]
    del made.context
    assert made.context is None
    with pytest.raises(AttributeError):
        made.database = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        native.Origin("database")  # type: ignore[call-arg]


def test_peers_are_those_that_are_alive_in_order() -> None:
    made = origin()
    rows = [Row() for _ in range(5)]
    for row in rows:
        row._origin = made
    assert made.peers() == rows
    assert all(row._origin is made for row in rows)
    del rows[3], rows[0], row
    assert made.peers() == rows
    rows.clear()
    assert made.peers() == []


def test_an_instance_has_one_origin_at_a_time() -> None:
    first, second = origin(), origin()
    rows = [Row(), Row()]
    for row in rows:
        row._origin = first
    rows[0]._origin = first
    assert first.peers() == rows
    rows[0]._origin = second
    assert (first.peers(), second.peers()) == ([rows[1]], [rows[0]])
    rows[0]._origin = None
    rows[1]._origin = None
    assert (first.peers(), second.peers(), rows[0]._origin) == ([], [], None)
    rows[0]._origin = first
    rows[1]._origin = first
    del rows[0]._origin
    assert first.peers() == [rows[1]]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100, 1000])
def test_the_order_stays_when_most_of_many_have_died(step: int) -> None:
    made = origin()
    rows: list[Row | None] = []
    for n in range(3000):
        row = filled(id=n)
        row._origin = made
        rows.append(row if n % step == 0 else None)  # the others die at once
    for n in range(0, 3000, 3):
        rows[n] = None
    alive = [row for row in rows if row is not None]
    del row
    assert made.peers() == alive
    late = Row()
    late._origin = made
    assert made.peers() == [*alive, late]


def test_an_origin_keeps_nobody_alive_and_everyone_keeps_it() -> None:
    class Database:
        pass

    database = Database()
    gone = weakref.ref(database)
    made = native.Origin(database, None)
    rows = [Row(), Row()]
    refs = [weakref.ref(row) for row in rows]
    for row in rows:
        row._origin = made
    del made, database, row
    del rows[0]
    assert [ref() is None for ref in refs] == [True, False]
    assert gone() is not None
    del rows[0]
    assert refs[1]() is None
    assert gone() is None


def test_whoever_is_dying_is_no_peer() -> None:
    made = origin()
    seen: list[int] = []

    class Value:
        def __del__(self) -> None:
            seen.append(len(made.peers()))

    rows = [filled(id=Value()) for _ in range(3)]
    for row in rows:
        row._origin = made
    ref = weakref.ref(row, lambda _: seen.append(-len(made.peers())))
    del row
    rows.pop()
    assert ref() is None
    assert seen == [-2, 2]
    rows.clear()
    assert sorted(seen[2:]) == [0, 1]


def test_an_instance_that_comes_back_to_life_is_still_a_peer() -> None:
    made = origin()
    saved: list[native.Instance] = []

    class Cat(Row):
        __slots__ = ()

        def __del__(self) -> None:
            assert made.peers() == [self]
            saved.append(self)

    row: Cat | None = Cat()
    assert row is not None
    row.id = 5
    row._origin = made
    row = None
    assert made.peers() == saved
    assert saved[0].id == 5  # type: ignore[attr-defined]
    saved.clear()
    assert made.peers() == []


def test_peers_of_many_threads_come_and_go() -> None:
    made = origin()
    stop = threading.Event()
    faults: list[object] = []

    def work() -> None:
        try:
            while not stop.is_set():
                rows = [filled(id=n) for n in range(50)]
                for row in rows:
                    row._origin = made
                kept = rows[::7]
                del rows, row
                peers = made.peers()
                faults.extend(row for row in kept if row not in peers)
                for peer in peers[:5]:
                    peer._origin = made  # it may be another thread's
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    stop.wait(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert made.peers() == []


def test_an_instance_that_threads_move_about_has_one_place() -> None:
    origins = [origin(), origin(), None]
    row = Row()
    barrier = threading.Barrier(3)

    def work(shift: int) -> None:
        barrier.wait()
        for n in range(2000):
            row._origin = origins[(n + shift) % 3]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    places = [each for each in origins if each is not None and each.peers() == [row]]
    assert places == ([row._origin] if row._origin is not None else [])
