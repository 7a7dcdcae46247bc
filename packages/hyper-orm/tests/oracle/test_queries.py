"""The tables of queries through both sides: the same rows from ours as from Django's."""

import pytest
from oracle.compare import Case, rows, table
from oracle.queries import aggregates, conditions, documents, expressions, loading, lookups, relations
from oracle.queries import rows as rows_
from oracle.sides import Theirs

SUBJECTS = {
    f"{module.__name__.rsplit('.', 1)[-1]}-{name.lower()}": found
    for module in (lookups, documents, conditions, relations, expressions, aggregates, rows_, loading)
    for name, found in vars(module).items()
    if name.isupper() and isinstance(found, dict)
}


@pytest.mark.parametrize("case", table({f"{s}: {n}": q for s, t in SUBJECTS.items() for n, q in t.items()}))
def test_theirs(theirs: Theirs, case: Case) -> None:
    found = rows(theirs, case)
    assert bool(found) is not case.is_empty or not hasattr(found, "__len__")
