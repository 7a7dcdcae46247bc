"""The tables of queries through both sides: the same rows from ours as from Django's."""

import asyncio
from collections.abc import Iterator

import pytest
from bookshop import django_side
from bookshop.fixtures import Bookshops
from hyperdjango.database import Database, set_db
from postgres_servers import Server

from oracle.compare import Case, rows, table
from oracle.queries import aggregates, conditions, documents, expressions, loading, lookups, relations
from oracle.queries import rows as rows_
from oracle.sides import Ours, Theirs

SUBJECTS = {
    f"{module.__name__.rsplit('.', 1)[-1]}-{name.lower()}": found
    for module in (lookups, documents, conditions, relations, expressions, aggregates, rows_, loading)
    for name, found in vars(module).items()
    if name.isupper() and isinstance(found, dict)
}


ALL = table(
    {f"{subject}: {name}": query for subject, found in SUBJECTS.items() for name, query in found.items()}
)


@pytest.mark.parametrize("case", ALL)
def test_rows_are_the_same(ours: Ours, theirs: Theirs, case: Case) -> None:
    expected = rows(theirs, case)
    # A query that finds nothing would agree with one that is wrong.
    assert bool(expected) is not case.is_empty
    assert rows(ours, case) == expected


# A few of each subject also on the system's server, which is years older.
SOME = [param for number, param in enumerate(ALL) if number % 16 == 3]


@pytest.fixture(scope="module")
def both_sides(
    runner: asyncio.Runner, system_server: Server, bookshops: Bookshops
) -> Iterator[tuple[Ours, Theirs]]:
    name = bookshops.copy(system_server)
    url = system_server.url_for(name)
    database = runner.run(Database(url, 1, 2).connect())
    yield Ours(runner, database), Theirs(url)
    runner.run(database.disconnect())
    django_side.disconnect()
    system_server.drop_database(name)


@pytest.mark.parametrize("case", SOME)
def test_some_are_the_same_on_an_older_server(both_sides: tuple[Ours, Theirs], case: Case) -> None:
    ours, theirs = both_sides
    set_db(ours.database)
    try:
        assert rows(ours, case) == rows(theirs, case)
    finally:
        set_db(None)
