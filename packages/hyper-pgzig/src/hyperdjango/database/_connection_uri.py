"""A connection URI taken apart, and shown without its password.

`split` follows libpq, odd corners included: user and password end at the first `@` that comes before any `/`;
host and port lists are joined before they are decoded, so an encoded comma separates hosts too; a later key
wins.
PostgreSQL docs: libpq-connect, "Connection URIs".
"""

import re
from typing import Final
from urllib.parse import unquote

from hyperdjango.database._conninfo_keys import ENVIRONMENT, SECRET_KEYS, unknown_key

SCHEMES: Final = ("postgresql://", "postgres://")
_PERCENT: Final = re.compile(r"%(?:([0-9A-Fa-f]{2})|)")
_ESCAPE_HINT: Final = "percent-encode :, /, @, ? and % in user and password (a / is %2F, an @ is %40)"
_KEYWORD_SECRET: Final = re.compile(
    r"((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'?|\S+)", re.IGNORECASE | re.DOTALL
)


def decode(text: str, what: str) -> str:
    """Return `text` with its percent-encoding undone; a plus stays a plus.

    Raises:
        ValueError: A broken escape, NUL, or bytes that are not UTF-8. Names `what`, shows nothing.
    """
    for match in _PERCENT.finditer(text):
        if match[1] is None:
            raise ValueError(
                f"the {what} in the connection URI has a % without two hexadecimal digits behind it"
            )
        if match[1] == "00":
            raise ValueError(f"the {what} in the connection URI has an encoded NUL (%00)")
    if "\0" in text:
        raise ValueError(f"the {what} in the connection URI has a NUL character")
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        # The exception carries the bytes.
        broken = ValueError(
            f"the {what} in the connection URI is not UTF-8 once its percent-encoding is undone"
        )
    raise broken


def split(url: str) -> dict[str, str]:
    """Return the keys that a connection URI sets. Empty parts of its front set nothing.

    Raises:
        ValueError: Not a URI of ours, or a broken one. No part of its values is in the message.
    """
    scheme = next((scheme for scheme in SCHEMES if url.startswith(scheme)), None)
    if scheme is None:
        raise ValueError(f"a connection URI begins with {' or '.join(SCHEMES)}")
    values: dict[str, str] = {}
    rest = _take_user(url[len(scheme) :], values)
    rest = _take_hosts(rest, values)
    if rest.startswith("/"):
        name, mark, query = rest[1:].partition("?")
        if name:
            values["dbname"] = decode(name, "database name")
    else:
        mark, query = rest[:1], rest[1:]
    if mark:
        _take_query(query, values)
    return values


def _take_user(rest: str, values: dict[str, str]) -> str:
    at = rest.find("@")
    if at < 0 or "/" in rest[:at]:
        return rest
    user, _, password = rest[:at].partition(":")
    if user:
        values["user"] = decode(user, "user name")
    if password:
        values["password"] = decode(password, "password")
    return rest[at + 1 :]


def _take_hosts(rest: str, values: dict[str, str]) -> str:
    hosts: list[str] = []
    ports: list[str] = []
    while True:
        host, rest = _take_host(rest)
        port = ""
        if rest.startswith(":"):
            port, rest = _until(rest[1:], "/?,")
        if "@" in host + port:
            raise ValueError(f"the connection URI has an @ too many: {_ESCAPE_HINT}")
        if port and not (port.isascii() and port.isdigit()) and "%" not in port:
            raise ValueError(f"the connection URI has a port that is not a number; {_ESCAPE_HINT}")
        hosts.append(host)
        ports.append(port)
        if not rest.startswith(","):
            break
        rest = rest[1:]
    if len(hosts) > 1 or hosts[0]:
        values["host"] = decode(",".join(hosts), "host")
    if any(ports):
        values["port"] = decode(",".join(ports), "port")
    return rest


def _take_host(rest: str) -> tuple[str, str]:
    if not rest.startswith("["):
        return _until(rest, ":/?,")
    host, closed, rest = rest[1:].partition("]")
    if not closed or not host:
        raise ValueError("the connection URI has an IPv6 address without its closing ] or with nothing in it")
    if rest and rest[0] not in ":/?,":
        raise ValueError("the connection URI has something other than a port behind an IPv6 address")
    return host, rest


def _until(text: str, ends: str) -> tuple[str, str]:
    at = min((found for end in ends if (found := text.find(end)) >= 0), default=len(text))
    return text[:at], text[at:]


def _take_query(query: str, values: dict[str, str]) -> None:
    # libpq overlooks one & behind the last pair.
    pairs = query.removesuffix("&") if len(query) > 1 else query
    for pair in pairs.split("&") if pairs else []:
        name, equals, value = pair.partition("=")
        key = decode(name, "key")
        if not equals or "=" in value:
            raise ValueError("the connection URI's query must be key=value pairs with & between them")
        if key == "ssl" and value == "true":  # as JDBC writes it; libpq takes it too
            key, value = "sslmode", "require"
        if key not in ENVIRONMENT:
            # An @ behind the ? shows that user and password ended elsewhere than was meant.
            raise unknown_key(key, show="@" not in query)
        values[key] = decode(value, f"value of {key}")


def redact_url(url: str) -> str:
    """Return `url` with every password shown as `***`: for a well-formed URI and for a broken one.

    Where it is unclear what belongs to the password, more is hidden rather than less.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return _KEYWORD_SECRET.sub(r"\1***", url)
    at = _end_of_user(rest)
    if at is not None:
        user, colon, _ = rest[:at].partition(":")
        rest = (f"{user}:***" if colon else user) + rest[at:]
        front_size = len(f"{user}:***" if colon else user)
    else:
        front_size = 0
    question = rest.find("?", front_size)
    if question >= 0:
        rest = rest[: question + 1] + "&".join(_redact_pairs(rest[question + 1 :].split("&")))
    return _KEYWORD_SECRET.sub(r"\1***", f"{scheme}://{rest}") if " " in rest else f"{scheme}://{rest}"


def _end_of_user(rest: str) -> int | None:
    """Find the `@` that ends user and password, where one does or was meant to."""
    path = rest.partition("?")[0]
    if "@" in path:
        return path.rindex("@")
    if "@" not in rest:
        return None
    first = rest.index("@")
    if "/" not in rest[:first]:
        return first
    # An @ in the query alone: the password may have held a / and a ?, if what stands there is no port.
    port = path.partition("/")[0].rpartition(":")
    if not port[1] or port[2] == "" or port[2].isdigit() or "[" in port[0]:
        return None
    return rest.rindex("@")


def _redact_pairs(pairs: list[str]) -> list[str]:
    shown: list[str] = []
    secret = False
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if equals:
            secret = unquote(name, errors="replace").strip().lower() in SECRET_KEYS
        # A piece without = belongs to the value before it.
        shown.append(f"{name}=***" if secret and equals else "***" if secret else pair)
    return shown
