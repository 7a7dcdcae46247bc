"""`get_db` and `set_db`: one Database per process, whoever asks first."""

import contextvars
import threading
from collections.abc import Iterator

import pytest
from hyperdjango.conf import settings
from hyperdjango.database import _global
from hyperdjango.database.client import Database

URL = "postgresql://somebody:s3cret@localhost:5432/somewhere"


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(_global, "_database", None)
    with settings.override(DATABASE_URL=None):
        yield


def test_without_a_database_url_the_error_says_how_to_set_it() -> None:
    with pytest.raises(RuntimeError) as caught:
        _global.get_db()
    assert str(caught.value) == (
        "No DATABASE_URL. Set the environment variable, as in "
        "DATABASE_URL=postgresql://user:password@localhost:5432/name, "
        "or call hyperdjango.conf.settings.configure(DATABASE_URL=...) before the first get_db()."
    )


def test_get_db_makes_one_database_from_the_setting_and_does_not_connect() -> None:
    settings.configure(DATABASE_URL=URL)
    database = _global.get_db()
    assert isinstance(database, Database)
    assert _global.get_db() is database
    assert not database.is_connected
    assert "s3cret" not in database.url
    assert "somewhere" in database.url


def test_a_failed_first_call_does_not_spoil_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError):
        _global.get_db()
    monkeypatch.setenv("DATABASE_URL", URL)
    assert isinstance(_global.get_db(), Database)


def test_set_db_replaces_it_and_none_makes_room() -> None:
    settings.configure(DATABASE_URL=URL)
    mine = Database("postgresql://localhost/mine")
    first = _global.get_db()
    _global.set_db(mine)
    assert _global.get_db() is mine
    _global.set_db(None)
    assert _global.get_db() not in {first, mine}


def test_many_threads_get_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.configure(DATABASE_URL=URL)
    made: list[Database] = []
    inside = threading.Event()

    class Slow(Database):
        def __init__(self, url: str) -> None:
            inside.wait(5)
            super().__init__(url)
            made.append(self)

    monkeypatch.setattr("hyperdjango.database.client.Database", Slow)
    got: list[Database] = []
    threads = [threading.Thread(target=lambda: got.append(_global.get_db())) for _ in range(16)]
    for thread in threads:
        thread.start()
    inside.set()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert got == made * 16


def test_an_application_s_own_database_comes_first_in_its_context_and_nowhere_else() -> None:
    settings.configure(DATABASE_URL=URL)
    own = Database.opening_on_use("postgresql://localhost/own")

    def ask() -> Database:
        token = _global.context_db.set(own)
        try:
            return _global.get_db()
        finally:
            _global.context_db.reset(token)

    assert contextvars.copy_context().run(ask) is own
    assert _global.get_db() is not own
    assert _global.peek_db() is _global.get_db()
