"""What tests of the application share."""

from collections.abc import Iterator

import pytest
from hyperdjango.database._global import peek_db, set_db


@pytest.fixture(autouse=True)
def process_without_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test's database is the next one's."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    before = peek_db()
    yield
    set_db(before)
