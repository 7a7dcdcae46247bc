"""Django without a project: settings by hand, one app, its connection turned to our databases.

Imported by tests that compare, before the app's models. Django sets the session's time zone to UTC; the databases
that `load` makes have that as their default, so that dates are cut alike on both sides.
"""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import django
from django.conf import settings
from django.db import connections

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "none yet"}},
        INSTALLED_APPS=["django.contrib.postgres", "bookshop.django_app"],
        USE_TZ=True,
        TIME_ZONE="UTC",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()

_url: str | None = None


def connect(url: str) -> None:
    """Let Django's default connection lead to a database of a server that the fixtures started, if it does not yet."""
    global _url  # noqa: PLW0603 - as Django's connection is one
    if url == _url:
        return
    disconnect()
    _url = url
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    given: dict[str, Any] = {
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", parts.hostname or ""),
        "PORT": query.pop("port", str(parts.port or "")),
        "OPTIONS": query,
    }
    connections["default"].settings_dict.update(given)


def disconnect() -> None:
    """Close Django's connection, so that its database can be dropped."""
    global _url  # noqa: PLW0603 - as Django's connection is one
    _url = None
    connections["default"].close()
