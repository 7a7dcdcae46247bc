"""The tables of queries through both sides: the same rows from ours as from Django's."""

import pytest
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


@pytest.mark.parametrize("case", table({f"{s}: {n}": q for s, t in SUBJECTS.items() for n, q in t.items()}))
def test_rows_are_the_same(ours: Ours, theirs: Theirs, case: Case) -> None:
    expected = rows(theirs, case)
    # A query that finds nothing would agree with one that is wrong.
    assert bool(expected) is not case.is_empty
    assert rows(ours, case) == expected
