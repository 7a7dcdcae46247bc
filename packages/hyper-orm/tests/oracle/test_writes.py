"""Writes through both sides, each in a transaction that is rolled back: the tables hold the same afterwards."""

from typing import Any

import pytest

from oracle.compare import plain, row_set
from oracle.queries.writes import CREATES, DELETES, UPDATES, Write, changed
from oracle.sides import Ours, Side, Theirs

TABLES = {"update": UPDATES, "delete": DELETES, "create": CREATES}
CASES = [
    pytest.param(write, id=f"{word}: {name}")
    for word, table in TABLES.items()
    for name, write in table.items()
]


def written(side: Side, write: Write) -> Any:
    def says(result: Any) -> str | None:
        return repr(plain(write.says(side, result))) if write.says else None

    said, found = side.undone(write.write, write.read, says)
    return said, row_set(side, found)


@pytest.mark.parametrize("write", CASES)
def test_the_tables_hold_the_same_afterwards(ours: Ours, theirs: Theirs, write: Write) -> None:
    assert written(ours, write) == written(theirs, write)


def test_bulk_update_writes_columns_of_several_types(ours: Ours, theirs: Theirs) -> None:
    assert bulk_updated(ours) == bulk_updated(theirs)


def bulk_updated(side: Side) -> Any:
    names = ["name", "rating", "aliases", "born"]
    authors = changed(side, side.run(lambda m: m.Author.objects.filter(pk__lt=300)))
    number, found = side.undone(
        lambda m: m.Author.objects.bulk_update(authors, names),
        lambda m: m.Author.objects.values_list("id", *names),
    )
    return number, row_set(side, found)
