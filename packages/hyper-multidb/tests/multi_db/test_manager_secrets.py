"""Passwords in what `configure` is given: no error shows them, not even with the locals of each frame."""

import io
import re
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import rich.traceback
from hyperdjango.multi_db import ConnectionManager
from pg_cluster import Cluster
from rich.console import Console

SECRET = "not-the-secret"
LEAKS: dict[str, Callable[[str], Any]] = {
    "no mapping": lambda url: [url],
    "a misspelt key": lambda url: {"primary": url, "replica": [url]},
    "a key of replicas": lambda url: {"url": url, "max_lag": 1},
    "twice the same": lambda url: {"primary": url, "replicas": [url]},
    "seconds": lambda url: {"primary": url, "replicas": [], "lsn_wait": "long"},
    "a keyword that is none": lambda url: {"url": url, "no_such_keyword": 1, "password": SECRET},
    "such a keyword of a set": lambda url: {"primary": url, "no_such_keyword": 1, "password": SECRET},
    "a broken URL of a replica": lambda url: {"primary": url, "replicas": [f"{url}?sslmode=perhaps"]},
    "refused": lambda url: url,
    "a primary that is refused": lambda url: {"primary": url, "password": SECRET},
    "a replica that does not answer": lambda url: {
        "primary": url,
        "replicas": [f"postgresql://postgres:{SECRET}@127.0.0.1:1/postgres"],
    },
}


class Given:
    """Keeps the secret out of the locals of this file's own frames."""

    def __init__(self, make: Callable[[str], Any], database_url: str) -> None:
        url = re.sub(r"//postgres:[^@]*@", f"//postgres:{SECRET}@", database_url)
        self.take: Callable[[], Any] = lambda: {"default": make(url)}

    def __repr__(self) -> str:
        return "<hidden>"


def shown_of(error: BaseException | None) -> str:
    """An error and those behind it as a person or a tracker may see them, with the locals of each frame."""
    if error is None:
        return ""
    plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    console = Console(file=io.StringIO(), record=True, width=200)
    rendered = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_hide_dunder=False
    )
    console.print(rendered)
    return plain + console.export_text()


@pytest.mark.parametrize("name", LEAKS)
async def test_no_failure_of_configure_shows_a_password_among_the_locals(
    name: str, database_url: str
) -> None:
    given = Given(LEAKS[name], database_url)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what it is others test
        await ConnectionManager().configure(given.take())
    shown = shown_of(caught.value)
    assert "configure" in shown
    assert SECRET not in shown


async def test_what_is_no_postgresql_shows_no_password_either(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Given(lambda _: {"primary": cluster.url(cluster.primary)}, "")
    monkeypatch.setattr("hyperdjango.multi_db._node.PROBE", "SELECT no_such_function()")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - as above
        await ConnectionManager().configure(given.take())
    shown = shown_of(caught.value)
    assert "no_such_function" in shown
    password = re.search(r"//[^:]*:([^@]*)@", cluster.url(cluster.primary))
    assert password is not None
    assert password[1] not in shown
