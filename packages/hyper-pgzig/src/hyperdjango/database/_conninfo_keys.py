"""The keys of a connection URI: libpq's own, with their environment variables, and what each value may be.

PostgreSQL docs: libpq-connect, "Parameter Key Words"; libpq-envars.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

# Key to environment variable; None where libpq has none.
ENVIRONMENT: Final[Mapping[str, str | None]] = {
    "service": "PGSERVICE",
    "servicefile": "PGSERVICEFILE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "client_encoding": None,  # PGCLIENTENCODING is not for us: the encoding is always UTF8
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "fallback_application_name": None,
    "keepalives": None,
    "keepalives_idle": None,
    "keepalives_interval": None,
    "keepalives_count": None,
    "tcp_user_timeout": None,
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslpassword": None,
    "sslcertmode": "PGSSLCERTMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslsni": "PGSSLSNI",
    "requirepeer": "PGREQUIREPEER",
    "require_auth": "PGREQUIREAUTH",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "max_protocol_version": "PGMAXPROTOCOLVERSION",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "gsslib": "PGGSSLIB",
    "gssdelegation": "PGGSSDELEGATION",
    "replication": None,
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    # Not libpq's: a run-time parameter that nearly every application sets, and a limit of ours.
    "statement_timeout": None,
    "scram_iterations_max": None,
}

# libpq sends these environment variables as run-time parameters.
RUN_TIME_ENVIRONMENT: Final = {"PGDATESTYLE": "datestyle", "PGTZ": "timezone", "PGGEQO": "geqo"}

# What other drivers and frameworks call some of them: for the hint alone.
_OTHER_NAMES: Final = {
    "database": "dbname",
    "db": "dbname",
    "username": "user",
    "hostname": "host",
    "ssl": "sslmode",
}

# Keys whose values no message, log line or repr may show.
SECRET_KEYS: Final = frozenset(
    {"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"}
)

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow"),
    "sslsni": ("0", "1"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
    "ssl_min_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
}

# What libpq can do and we cannot: the values that ask for nothing are taken, the others are refused.
HARMLESS: Final[Mapping[str, tuple[str, ...]]] = {
    "sslcompression": ("0",),
    "gssencmode": ("disable", "prefer"),
    "gssdelegation": ("0",),
    "replication": ("0", "false", "off", "no"),
    "min_protocol_version": ("3.0",),
    "max_protocol_version": ("3.0", "3.2", "latest"),  # the most that is wanted: 3.0 is never more
}

AUTH_METHODS: Final = ("password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none")


# What Database takes beside the connection keys, without its underscores as people may write it.
_KEYWORDS: Final = {
    name.replace("_", ""): name
    for name in (
        "min_size",
        "max_size",
        "acquire_timeout",
        "statement_cache_size",
        "max_message_size",
        "exact_intervals",
        "json_loads",
        "json_dumps",
        "max_lifetime",
        "idle_timeout",
        "leak_timeout",
        "on_connect",
        "on_acquire",
        "on_release",
        "server_settings",
        "ssl_context",
        "slow_query_seconds",
    )
} | {"poolsize": "max_size", "minsize": "min_size", "min": "min_size", "max": "max_size"}


def _as_word(name: str) -> str:
    return name.lower().replace("_", "")


def unknown_key(
    name: str, *, show: bool = True, known: Iterable[str] = ENVIRONMENT, is_keyword: bool = False
) -> ValueError:
    """Return the error for a key that nobody knows. Values are never part of it.

    Args:
        name: The key as written.
        show: Whether it may be shown. In a broken URI it may be a piece of the password.
        known: The keys that are allowed there.
        is_keyword: It was a keyword of Database, which has arguments of its own beside the keys.
    """
    lowered = name.lower()
    if _as_word(name) in _KEYWORDS and show:
        keyword = _KEYWORDS[_as_word(name)]
        return ValueError(
            f"{name!r} is no connection key; the pool's {keyword!r} is a keyword argument of Database"
        )
    arguments = list(_KEYWORDS.values()) if is_keyword else []
    candidates = [*known, *_OTHER_NAMES, *arguments]
    nearest = [key for key in candidates if lowered and key.startswith(lowered)][
        :1
    ] or difflib.get_close_matches(lowered, candidates, n=1, cutoff=0)
    what = f"unknown connection key {name!r}" if show else "unknown connection key"
    hint = f"; did you mean {_OTHER_NAMES.get(nearest[0], nearest[0])!r}?" if nearest else "."
    if nearest and nearest[0] in arguments:
        hint = f"; did you mean {nearest[0]!r}, a keyword argument of Database?"
    return ValueError(f"{what}{hint} A run-time parameter belongs into server_settings= or options")


def check_choice(name: str, value: str) -> str:
    """Return `value` where the key allows it.

    Raises:
        ValueError: Names the key and the allowed values, not the value.
    """
    allowed = CHOICES[name]
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}")
    return value


def check_harmless(values: Mapping[str, str]) -> None:
    """Refuse what is asked for and cannot be had.

    Raises:
        ValueError: Names the key.
    """
    for name, harmless in HARMLESS.items():
        if values.get(name, "") and values[name].lower() not in harmless:
            raise ValueError(f"{name}: not supported here except as {' or '.join(harmless)}")


def parse_integer(name: str, value: str, *, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    """Return a whole number in range.

    Raises:
        ValueError: Names the key and the range, not the value.
    """
    text = value.strip()
    digits = text[1:] if text[:1] in {"-", "+"} else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10) or not low <= int(text) <= high:
        raise ValueError(f"{name} must be a whole number between {low} and {high}")
    return int(text)


def parse_require_auth(value: str) -> frozenset[str] | None:
    """Return the authentication methods that `require_auth` leaves, None for any.

    Raises:
        ValueError: An unknown method, one named twice, or a mix of wanted and refused (`!`) ones.
    """
    if not value:
        return None
    named = [part.strip() for part in value.split(",")]
    negated = [part.startswith("!") for part in named]
    methods = [part.removeprefix("!") for part in named]
    if any(method not in AUTH_METHODS for method in methods):
        raise ValueError(
            f"require_auth: methods are {', '.join(AUTH_METHODS)}, with ! in front to refuse one"
        )
    if len(set(methods)) != len(methods):
        raise ValueError("require_auth names a method twice")
    if any(negated) != all(negated):
        raise ValueError("require_auth mixes methods with and without !")
    return frozenset(AUTH_METHODS).difference(methods) if negated[0] else frozenset(methods)
