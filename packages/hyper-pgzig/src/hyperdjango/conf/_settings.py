"""The `settings` object. Read by `database` for `get_db()`; written by applications, once, at their start."""

import difflib
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.conf._lock import Lock
from hyperdjango.conf._redact import redact_url

KNOWN: Final = ("DATABASE_URL", "DATABASES")
MAPPINGS: Final = frozenset({"DATABASES"})


class Settings:
    """Settings by attribute.

    What `configure` was given, else the environment variable of the same name, else None. The environment is
    read at each access. Safe to read and to configure from any thread.
    """

    _values: dict[str, Any]
    _lock: Lock

    def __init__(self) -> None:
        # Replaced as a whole under the lock, so that a reader needs none.
        object.__setattr__(self, "_values", {})
        object.__setattr__(self, "_lock", Lock())

    @property
    def DATABASE_URL(self) -> str | None:  # noqa: N802 - spelt as its environment variable
        """Connection URI of the database that `get_db()` opens."""
        return self._get("DATABASE_URL")

    @property
    def DATABASES(self) -> Mapping[str, Any] | None:  # noqa: N802 - spelt as Django does
        """Databases by alias, as hyper-multidb's `ConnectionManager.configure` takes them; not in the environment."""
        databases: Mapping[str, Any] | None = self._values.get("DATABASES")
        return databases

    def configure(self, **values: str | Mapping[str, Any] | None) -> None:
        """Set settings by name; what is not named stays. None takes one back to the environment.

        Raises:
            AttributeError: There is no setting of that name. Nothing is changed.
            TypeError: A value is not of the setting's type, nor None. Nothing is changed.
        """
        for name, value in values.items():
            _require_known(name)
            wanted = Mapping if name in MAPPINGS else str
            if value is not None and not isinstance(value, wanted):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(
                    f"setting {name} must be a {wanted.__name__.lower()}, not {type(value).__name__}"
                )
        with self._lock:
            merged = self._values | values
            object.__setattr__(self, "_values", {k: v for k, v in merged.items() if v is not None})

    def reset(self) -> None:
        """Forget everything that `configure` was given. Made for tests."""
        with self._lock:
            object.__setattr__(self, "_values", {})

    @contextmanager
    def override(self, **values: str | Mapping[str, Any] | None) -> Generator[None]:
        """Configure for the length of a `with` block. Made for tests: all threads see it."""
        before = self._values
        self.configure(**values)
        try:
            yield
        finally:
            with self._lock:
                object.__setattr__(self, "_values", before)

    def _get(self, name: str) -> str | None:
        # An empty variable is what `DATABASE_URL= command` leaves: unset was meant.
        return self._values.get(name) or os.environ.get(name) or None

    if not TYPE_CHECKING:  # a checker that saw these would let every misspelt name pass

        def __getattr__(self, name):
            _require_known(name)
            raise AttributeError(name)

        def __setattr__(self, name, value):
            _require_known(name)
            raise AttributeError(f"settings are set by settings.configure({name}=...)")

        def __delattr__(self, name):
            raise AttributeError("settings are taken back by settings.reset()")

    def __repr__(self) -> str:
        pairs = [f"{name}={_show(getattr(self, name))}" for name in KNOWN]
        return f"<Settings {' '.join(pairs)}>"


def _show(value: str | Mapping[str, Any] | None) -> str:
    if isinstance(value, Mapping):
        return f"<{', '.join(value)}>"  # there are passwords in the values
    return repr(None if value is None else redact_url(value))


def _require_known(name: str) -> None:
    if name in KNOWN:
        return
    close = difflib.get_close_matches(name.upper(), KNOWN, n=1)
    hint = f" Did you mean {close[0]}?" if close else f" Known settings: {', '.join(KNOWN)}."
    raise AttributeError(f"there is no setting {name!r}.{hint}")


settings: Final = Settings()
