"""What `configure` is given, taken apart: one database, or a primary with replicas, under each alias.

From a mapping, from the setting DATABASES, or from environment variables: DATABASE_URL is `default`, and
DATABASE_URL_REPORTS the alias `reports`.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypedDict, cast

from hyperdjango.conf import settings
from hyperdjango.database.resolver import DEFAULT_ALIAS
from hyperdjango.multi_db._set_options import SetOptions
from hyperdjango.multi_db.errors import Misconfigured

ENVIRONMENT: Final = "DATABASE_URL"
_SET_KEYS: Final = frozenset(
    {"primary", "replicas", "policy", "roles", *(f.name for f in fields(SetOptions))}
)
_OPTIONAL_SECONDS: Final = ("max_lag",)
_SECONDS: Final = ("lsn_wait", "probe_interval", "probe_timeout", "failover_timeout")


class DatabaseSpec(TypedDict, total=False):
    """What an alias may be given besides a URL; any keyword of Database as well."""

    url: str
    primary: str
    replicas: Sequence[str]
    max_lag: float | None
    read_your_writes: str | float | None
    policy: str | Sequence[float]
    lsn_wait: float
    probe_interval: float
    probe_timeout: float
    failover_timeout: float
    roles: str
    min_size: int
    max_size: int


@dataclass(frozen=True, slots=True)
class Spec:
    """One alias.

    Attributes:
        urls: The primary first.
        database: Keywords of Database.
        replicas: None where it is one database.
    """

    alias: str
    urls: tuple[str, ...]
    database: dict[str, Any]
    replicas: "Replicas | None" = None

    def __repr__(self) -> str:
        return f"<Spec {self.alias!r}, {len(self.urls)} servers>"  # no URL: there are passwords in them


@dataclass(frozen=True, slots=True)
class Replicas:
    """What is said about the replicas of an alias."""

    options: SetOptions
    policy: object
    finds_roles: bool


def from_settings() -> Mapping[str, Any]:
    """Return the databases of the setting DATABASES, else those of the environment.

    Raises:
        Misconfigured: There are none.
    """
    configured = settings.DATABASES
    if configured is not None:
        return configured
    found: dict[str, Any] = {}
    if settings.DATABASE_URL is not None:
        found[DEFAULT_ALIAS] = settings.DATABASE_URL
    for name, url in os.environ.items():
        if name.startswith(f"{ENVIRONMENT}_") and url:
            found[name[len(ENVIRONMENT) + 1 :].lower()] = url
    if not found:
        raise Misconfigured(
            "no databases: give configure() a mapping of aliases, set the environment variable DATABASE_URL (and "
            "DATABASE_URL_<ALIAS> for more), or call hyperdjango.conf.settings.configure(DATABASES={...})"
        )
    return found


def parse(databases: Mapping[str, Any]) -> list[Spec]:
    """Take the databases apart.

    Raises:
        Misconfigured: One cannot be used; the text names the alias.
    """
    try:
        return _parse_all(databases)
    except Exception as error:
        # The frames below hold URLs and passwords; a traceback with locals would show them.
        raise error.with_traceback(None)  # noqa: B904 - it is the same one
    finally:
        databases = {}


def _parse_all(databases: Mapping[str, Any]) -> list[Spec]:
    if not isinstance(databases, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Misconfigured(f"configure() takes a mapping of aliases, not {type(databases).__name__}")
    if not databases:
        raise Misconfigured("configure() needs at least one alias")
    return [_parse(alias, given) for alias, given in databases.items()]


def _parse(alias: object, given: object) -> Spec:
    if not isinstance(alias, str) or not alias:
        raise Misconfigured(f"an alias must be a str that is not empty, not {alias!r}")
    if isinstance(given, str):
        return Spec(alias, (given,), {})
    if not isinstance(given, Mapping):
        raise Misconfigured(f"alias {alias!r} must be a URL or a mapping, not {type(given).__name__}")
    options: dict[str, Any] = {str(key): value for key, value in cast("Mapping[object, Any]", given).items()}
    if "primary" in options:
        if "url" in options:
            raise Misconfigured(f"alias {alias!r} has 'url' and 'primary': give one of them")
        return _replica_set(alias, options)
    url: object = options.pop("url", None)
    if url is None and not options.keys() & {"host", "service"}:
        keys = ", ".join(sorted(options)) or "nothing"
        raise Misconfigured(f"alias {alias!r} needs 'url', or 'primary' and 'replicas'; it has {keys}")
    wrong = sorted(options.keys() & _SET_KEYS)
    if wrong:
        raise Misconfigured(
            f"alias {alias!r}: {', '.join(map(repr, wrong))} is about replicas, which it does not have: give 'primary' "
            "and 'replicas' instead of 'url'"
        )
    return Spec(alias, (_url(alias, "url", url),), options)


def _replica_set(alias: str, options: dict[str, Any]) -> Spec:
    primary = _url(alias, "primary", options.pop("primary"))
    replicas: object = options.pop("replicas", ())
    if isinstance(replicas, str) or not isinstance(replicas, Sequence):
        raise Misconfigured(
            f"alias {alias!r}: 'replicas' must be a list of URLs, not {type(replicas).__name__}"
        )
    urls = (primary, *(_url(alias, "replicas", each) for each in cast("Sequence[object]", replicas)))
    if len(set(urls)) < len(urls):
        raise Misconfigured(f"alias {alias!r} names the same server twice among 'primary' and 'replicas'")
    roles = options.pop("roles", "as_given")
    if roles not in {"as_given", "found"}:
        raise Misconfigured(f"alias {alias!r}: roles must be 'as_given' or 'found', not {roles!r}")
    policy = options.pop("policy", "least_inflight")
    known = {field.name for field in fields(SetOptions)}
    set_options = {name: options.pop(name) for name in sorted(known & options.keys())}
    for name in options:
        near = difflib.get_close_matches(name, sorted(_SET_KEYS), n=1, cutoff=0.8)
        if near:
            raise Misconfigured(f"alias {alias!r} knows no {name!r}; did you mean {near[0]!r}?")
    _check_seconds(alias, set_options)
    return Spec(alias, urls, options, Replicas(SetOptions(**set_options), policy, roles == "found"))


def _check_seconds(alias: str, options: dict[str, Any]) -> None:
    wanted = options.get("read_your_writes", "lsn")
    if wanted not in {"lsn", None} and not _is_seconds(wanted):
        raise Misconfigured(
            f"alias {alias!r}: read_your_writes must be 'lsn', seconds above 0 or None, not {wanted!r}"
        )
    for name in (*_SECONDS, *_OPTIONAL_SECONDS):
        if name not in options or (options[name] is None and name in _OPTIONAL_SECONDS):
            continue
        value = options[name]
        may_be_zero = name in {"lsn_wait", "failover_timeout"}
        if not (_is_seconds(value) or (may_be_zero and value == 0)):
            raise Misconfigured(f"alias {alias!r}: {name} must be a number of seconds, not {value!r}")


def _is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _url(alias: str, key: str, url: object) -> str:
    if not isinstance(url, str) or not url:
        # The value itself may be a password in the wrong place.
        raise Misconfigured(f"alias {alias!r}: {key!r} must be a connection URL, not {type(url).__name__}")
    return url


__all__ = ["DatabaseSpec", "Replicas", "Spec", "from_settings", "parse"]
