"""Hiding passwords in connection strings, before they reach a repr, a log line or an error.

Works on text that may be no valid URI at all: hiding too much is fine, hiding too little is not.
PostgreSQL docs: libpq-connect, "Connection URIs" and "Keyword/Value Connection Strings".
"""

import re
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "***"
SECRET_KEYS: Final = frozenset({"password", "sslpassword", "oauth_client_secret"})

_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(.*)", re.DOTALL)
_PORTS: Final = re.compile(r":\d*(,|$)")
_KEYWORD: Final = re.compile(
    rf"\b({'|'.join(sorted(SECRET_KEYS))})(\s*=\s*)('(?:[^'\\]|\\.)*('|$)|(?:[^\s\\]|\\.)+)",
    re.IGNORECASE | re.DOTALL,
)


def redact_url(text: str) -> str:
    """Return a connection string with `***` for every password in it."""
    uri = _URI.match(text)
    if uri is None:
        return _KEYWORD.sub(rf"\1\2{HIDDEN}", text)
    scheme, rest = uri.groups()
    userinfo, at, place = _split_userinfo(rest)
    if at:
        user, colon, _ = userinfo.partition(":")
        userinfo = f"{user}:{HIDDEN}" if colon else user
    place, question, query = place.partition("?")
    return f"{scheme}{userinfo}{at}{place}{question}{'&'.join(map(_redact_pair, query.split('&')))}"


def _split_userinfo(rest: str) -> tuple[str, str, str]:
    """Split at the `@` behind the user's part; a password may hold an unescaped `@`, `/` or `?`."""
    authority = rest.partition("/")[0]
    before_query = rest.partition("?")[0]
    if "@" in before_query:
        return before_query.rpartition("@")[0], "@", rest[before_query.rindex("@") + 1 :]
    if "@" in authority or not _is_host_list(authority.partition("?")[0]):
        userinfo, at, place = rest.rpartition("@")
        return userinfo, at, place
    return "", "", rest


def _is_host_list(authority: str) -> bool:
    """Say whether every colon outside brackets has a port behind it, as in `one:5432,[::1]:5433`."""
    colons = re.sub(r"\[[^]]*\]", "", authority)
    return colons.count(":") == len(_PORTS.findall(colons))


def _redact_pair(pair: str) -> str:
    key, equals, _ = pair.partition("=")
    return f"{key}={HIDDEN}" if equals and unquote(key).strip().lower() in SECRET_KEYS else pair
