"""`hyperdjango.conf.settings`: configured, else from the environment; unknown names; no password in sight."""

import threading
from collections.abc import Iterator

import pytest
from hyperdjango.conf import Settings, settings

URL = "postgresql://u:s3cret@host/db"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    before = settings.DATABASE_URL
    settings.reset()
    yield
    settings.configure(DATABASE_URL=before)


def test_a_setting_nobody_set_is_none() -> None:
    assert settings.DATABASE_URL is None


def test_the_environment_is_read_at_each_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://env/one")
    assert settings.DATABASE_URL == "postgresql://env/one"
    monkeypatch.setenv("DATABASE_URL", "postgresql://env/two")
    assert settings.DATABASE_URL == "postgresql://env/two"
    monkeypatch.setenv("DATABASE_URL", "")
    assert settings.DATABASE_URL is None


def test_configure_wins_over_the_environment_until_it_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://env/db")
    settings.configure(DATABASE_URL=URL)
    assert settings.DATABASE_URL == URL
    settings.configure()
    assert settings.DATABASE_URL == URL
    settings.configure(DATABASE_URL=None)
    assert settings.DATABASE_URL == "postgresql://env/db"
    settings.configure(DATABASE_URL=URL)
    settings.reset()
    assert settings.DATABASE_URL == "postgresql://env/db"


def test_override_ends_with_its_block_also_on_an_error() -> None:
    settings.configure(DATABASE_URL=URL)

    def fail_inside() -> None:
        with settings.override(DATABASE_URL="postgresql://other/db"):
            assert settings.DATABASE_URL == "postgresql://other/db"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert settings.DATABASE_URL == URL


def test_an_unknown_name_is_an_attribute_error_that_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"no setting 'DATABSE_URL'\. Did you mean DATABASE_URL"):
        _ = settings.DATABSE_URL  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError, match="Did you mean DATABASE_URL"):
        settings.configure(database_url=URL)
    with pytest.raises(AttributeError, match="Known settings: DATABASE_URL"):
        _ = settings.XYZ  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError, match="no setting 'DEBUG'"):
        settings.configure(DATABASE_URL=URL, DEBUG="1")
    assert settings.DATABASE_URL is None
    assert not hasattr(settings, "DEBUG")


def test_a_value_of_another_type_is_refused_and_not_shown() -> None:
    with pytest.raises(TypeError, match="setting DATABASE_URL must be a str, not bytes") as caught:
        settings.configure(DATABASE_URL=b"postgresql://u:s3cret@h/d")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert "s3cret" not in str(caught.value)


def test_settings_are_not_assigned_or_deleted() -> None:
    with pytest.raises(AttributeError, match=r"settings\.configure\(DATABASE_URL="):
        settings.DATABASE_URL = URL  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError, match="no setting 'OTHER'"):
        settings.OTHER = URL  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError, match=r"settings\.reset"):
        del settings.DATABASE_URL  # pyright: ignore[reportAttributeAccessIssue]


def test_repr_hides_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(settings) == "<Settings DATABASE_URL=None DATABASES=None>"
    settings.configure(DATABASE_URL=URL, DATABASES={"default": URL, "reports": {"url": URL}})
    assert (
        repr(settings) == "<Settings DATABASE_URL='postgresql://u:***@host/db' DATABASES=<default, reports>>"
    )
    settings.reset()
    monkeypatch.setenv("DATABASE_URL", URL)
    assert "s3cret" not in repr(settings)


def test_databases_are_a_mapping() -> None:
    with pytest.raises(TypeError, match="DATABASES must be a mapping, not str"):
        settings.configure(DATABASES=URL)
    with settings.override(DATABASES={"default": URL}):
        assert settings.DATABASES == {"default": URL}
    assert settings.DATABASES is None


def test_dir_names_the_settings() -> None:
    assert {"DATABASE_URL", "configure", "reset"} <= set(dir(settings))


def test_threads_never_see_half_of_a_change() -> None:
    own = Settings()
    urls = [f"postgresql://host/{number}" for number in range(4)]
    own.configure(DATABASE_URL=urls[0])
    wrong: list[str | None] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            if own.DATABASE_URL not in urls:
                wrong.append(own.DATABASE_URL)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(2000):
        own.configure(DATABASE_URL=urls[number % 4])
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
