"""Which instances the collector looks at, and that it finds every cycle: of new ones, and of those from rows.

An instance from a row of plain values is not looked at, until something is put into it.
"""

import gc
import inspect
import weakref
from collections.abc import Callable, Iterator
from enum import StrEnum
from types import MemberDescriptorType
from typing import Any, Final

import pytest
from hyperdjango.database import SyncDatabase
from hyperdjango.database._native import native
from postgres_servers import Server
from typekit import fresh_database


class Row(native.Instance):
    __slots__ = ("__weakref__", "_author", "id", "name")

    id: Any
    name: Any
    _author: Any


class Open(Row):
    """A class without `__slots__`: it has a `__dict__`."""


class Kind(StrEnum):
    HARD = "hard"


def slot(name: str) -> MemberDescriptorType:
    found = inspect.getattr_static(Row, name)
    assert inspect.ismemberdescriptor(found)
    return found


ID: Final = slot("id")
NAME: Final = slot("name")
AUTHOR: Final = slot("_author")
SQL: Final = "SELECT 1 AS id, 'hard' AS name"
Make = Callable[[], Row]


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server) as database:
        yield database


def hydrated(
    db: SyncDatabase, sql: str = SQL, cls: type[Row] = Row, convert: Any = None, name: Any = NAME
) -> Row:
    """The one row of a query."""
    hydrator = native.Hydrator(((cls, -1, None, ((ID, None), (name, convert)), ()),))
    query: Any = db.query_one
    row = query(sql, into=hydrator.begin((native.Origin(None, None),)))
    assert isinstance(row, cls)
    return row


@pytest.fixture(params=["new", "hydrated"])
def make(request: pytest.FixtureRequest, db: SyncDatabase) -> Make:
    """An instance of either kind."""
    return Row if request.param == "new" else lambda: hydrated(db)


def by_attribute(row: Row) -> None:
    row.name = row


def by_private_attribute(row: Row) -> None:
    row._author = [row]


def by_slot(row: Row) -> None:
    native.set_slot(row, AUTHOR, row)


def by_fill(row: Row) -> None:
    native.fill(row, (ID, AUTHOR), (1, (row,)))


def by_extra(row: Row) -> None:
    row._extra = {"row": row}


def by_extra_later(row: Row) -> None:
    row._extra = {}
    row._extra["row"] = row


def by_changes(row: Row) -> None:
    row._changed = {row}  # type: ignore[arg-type]


def by_changes_later(row: Row) -> None:
    row.id = 1
    assert row._changed
    row._changed.add(row)  # type: ignore[arg-type]


def by_context(row: Row) -> None:
    if row._origin is None:
        row._origin = native.Origin(None, None)
    row._origin.context = [row]


def by_another_context(row: Row) -> None:
    row._origin = native.Origin(None, None)
    row._origin.context = [row]


def by_context_before(row: Row) -> None:
    made = native.Origin(None, None)
    made.context = holder = []
    row._origin = made
    holder.append(row)


def by_database(row: Row) -> None:
    row._origin = native.Origin([row], None)


@pytest.mark.parametrize(
    "close",
    [
        by_attribute,
        by_private_attribute,
        by_slot,
        by_fill,
        by_extra,
        by_extra_later,
        by_changes,
        by_changes_later,
        by_context,
        by_another_context,
        by_context_before,
        by_database,
    ],
)
def test_cycles_are_collected(make: Make, close: Callable[[Row], None]) -> None:
    def made() -> weakref.ref[Row]:
        row = make()
        close(row)
        return weakref.ref(row)

    gc.disable()
    try:
        ref = made()
        assert ref() is not None
        gc.collect()
        assert ref() is None
    finally:
        gc.enable()


def test_a_cycle_of_peers_is_collected_and_leaves_its_places(make: Make) -> None:
    origin = native.Origin(None, None)

    def cycle() -> None:
        one, other = make(), make()
        one._origin = other._origin = origin
        one._author, other._author = other, one

    cycle()
    gc.collect()
    assert origin.peers() == []


def test_extra_values_of_a_row_may_lead_back(db: SyncDatabase) -> None:
    def made() -> weakref.ref[Row]:
        row = hydrated(db, name="total")
        assert row._extra == {"total": "hard"}
        row._extra["total"] = row
        return weakref.ref(row)

    ref = made()
    gc.collect()
    assert ref() is None


def test_a_row_of_plain_values_is_not_looked_at(db: SyncDatabase) -> None:
    assert not gc.is_tracked(hydrated(db))
    assert not gc.is_tracked(hydrated(db, "SELECT 1, NULL::jsonb"))
    assert not gc.is_tracked(hydrated(db, "SELECT 1, '5'::jsonb"))
    assert not gc.is_tracked(hydrated(db, convert=len))
    assert not gc.is_tracked(hydrated(db, convert={"hard": Kind.HARD}))
    assert not gc.is_tracked(hydrated(db, name="total"))


def test_a_row_with_a_value_that_could_lead_back_is_looked_at(db: SyncDatabase) -> None:
    assert gc.is_tracked(hydrated(db, "SELECT 1, '[1]'::jsonb"))
    assert gc.is_tracked(hydrated(db, "SELECT 1, ARRAY[1, 2]"))
    assert gc.is_tracked(hydrated(db, convert=list))
    assert gc.is_tracked(hydrated(db, convert={"hard": []}))
    assert gc.is_tracked(hydrated(db, "SELECT 1, ARRAY[1, 2]", name="total"))
    assert gc.is_tracked(hydrated(db, cls=Open))


def test_a_plain_value_that_is_written_changes_nothing_for_the_collector(db: SyncDatabase) -> None:
    row = hydrated(db)
    native.set_slot(row, ID, 7)
    native.fill(row, (NAME, AUTHOR), ("x", None))
    assert row._changed is None
    assert not gc.is_tracked(row)
    row.id = 8
    assert gc.is_tracked(row)
