"""From a connection URI, keywords, a service file and the environment to ConnectParameters.

For each key the first of these that sets it counts: keyword, URI, service file, environment, default. An
empty value sets a key too: it brings the default back. `Database` calls `parse` once; every connection of its
pool uses the result.
PostgreSQL docs: libpq-connect, "Connection Strings"; libpq-envars; libpq-pgpass; libpq-pgservice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping as MappingABC
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from hyperdjango.database import _conninfo_keys as keys
from hyperdjango.database import _passfile, _service
from hyperdjango.database._connection_uri import redact_url, split
from hyperdjango.database._native import native
from hyperdjango.database._parameters import (
    CONNECT_TIMEOUT,
    SCRAM_ITERATIONS_MAX,
    ConnectParameters,
    HiddenText,
    Host,
    TcpParameters,
    TlsParameters,
)
from hyperdjango.database._password import PasswordFunction, PasswordSource

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

__all__ = ["ConnectParameters", "parse", "redact_url"]

_UTF8_NAMES: Final = {"", "auto", "utf8", "utf-8", "unicode"}
_RESERVED: Final = frozenset({"user", "database", "replication"})
_TRUE: Final = {True: "1", False: "0"}


def parse(
    url: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    server_settings: Mapping[str, object] | None = None,
    **keywords: object,
) -> ConnectParameters:
    """Return what it takes to connect.

    Args:
        url: A connection URI; None leaves everything to the other sources.
        environ: The environment; None is the process's own.
        ssl_context: Used as it is in place of one made from the ssl… keys.
        server_settings: Run-time parameters for every session.
        keywords: Any key of a URI, as str, int, float or bool; `password` may be a Secret, or a function
            that is asked for it at each connection.
    Raises:
        ValueError: A key or value that cannot be used, or no database name. Shows no value of the URI, and
            its traceback holds none either.
        TypeError: A keyword of a type that no key takes.

    PostgreSQL docs: libpq-connect, "Parameter Key Words".
    """
    try:
        return _parse(
            url, os.environ if environ is None else environ, ssl_context, server_settings or {}, keywords
        )
    except (ValueError, TypeError) as error:
        # The frames below hold the URI and the password; a traceback with locals would show them.
        failure = error.with_traceback(None)
    url, keywords, environ = None, {}, None
    raise failure from None


def _parse(
    url: str | None,
    environ: Mapping[str, str],
    context: ssl.SSLContext | None,
    server_settings: Mapping[str, object],
    keywords: dict[str, object],
) -> ConnectParameters:
    if not isinstance(url, str | None):  # pyright: ignore[reportUnnecessaryIsInstance] - callers need not be typed
        raise TypeError(f"the connection URI must be str, not {type(url).__name__}")
    if not isinstance(server_settings, MappingABC):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"server_settings must be a mapping, not {type(server_settings).__name__}")
    given_secret = keywords.pop("password") if isinstance(keywords.get("password"), native.Secret) else None
    source: PasswordSource | None = None
    if callable(keywords.get("password")):
        source = PasswordSource(cast("PasswordFunction", keywords.pop("password")))
        given_secret = native.Secret()
    values = _merge(split(url) if url is not None else {}, _texts(keywords), environ)
    keys.check_harmless(values)
    for name in keys.CHOICES:
        if values.get(name):
            keys.check_choice(name, values[name])
    user = values.get("user") or _operating_system_user(environ)
    dbname = values.get("dbname") or ""
    if not dbname:
        raise ValueError(
            "no database name: add it to the connection URI (postgresql://host/name), pass dbname=, "
            "or set PGDATABASE"
        )
    require_auth = keys.parse_require_auth(values.get("require_auth", ""))
    return ConnectParameters(
        hosts=_hosts(values, user, dbname, cast("native.Secret | None", given_secret)),
        user=user,
        dbname=dbname,
        tls=_tls(values, context),
        tcp=_tcp(values),
        channel_binding=cast("Any", values.get("channel_binding") or "prefer"),
        require_auth=require_auth,
        allow_cleartext=require_auth is not None
        and not values["require_auth"].lstrip().startswith("!")
        and "password" in require_auth,
        require_peer=values.get("requirepeer") or None,
        target_session_attrs=cast("Any", values.get("target_session_attrs") or "any"),
        load_balance_hosts=cast("Any", values.get("load_balance_hosts") or "disable"),
        connect_timeout=_timeout(values.get("connect_timeout", "")),
        scram_iterations_max=keys.parse_integer("scram_iterations_max", values["scram_iterations_max"], low=1)
        if values.get("scram_iterations_max")
        else SCRAM_ITERATIONS_MAX,
        startup=_startup(values, environ, server_settings, user, dbname),
        url=redact_url(url) if url is not None else "",
        password_source=source,
    )


def _texts(keywords: Mapping[str, object]) -> dict[str, str]:
    """Return keyword arguments as the texts a URI would have."""
    texts: dict[str, str] = {}
    for name, value in keywords.items():
        if name not in keys.ENVIRONMENT:
            raise keys.unknown_key(name, is_keyword=True)
        if value is None:
            continue
        if isinstance(value, bool):
            texts[name] = _TRUE[value]
        elif isinstance(value, str):
            texts[name] = value
        elif isinstance(value, bytes) and name == "password":
            texts[name] = value.decode("utf-8", "surrogateescape")
        elif isinstance(value, (int, float, Path)):
            texts[name] = str(value)
        else:
            raise TypeError(f"{name} cannot be a {type(value).__name__}")
        if "\0" in texts[name]:
            raise ValueError(f"{name} contains a NUL character")
    return texts


def _merge(uri: dict[str, str], keywords: dict[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    values = {**uri, **keywords}
    service = values.get("service", environ.get("PGSERVICE", ""))
    if service:
        file = values.get("servicefile", environ.get("PGSERVICEFILE", ""))
        values = {**_service.load(service, file or None, environ), **values}
    for name, variable in keys.ENVIRONMENT.items():
        if variable is not None and name not in values and variable in environ:
            values[name] = environ[variable]
    if "sslmode" not in values and environ.get("PGREQUIRESSL") == "1":  # what sslmode was called before 8.0
        values["sslmode"] = "require"
    return values


def _operating_system_user(environ: Mapping[str, str]) -> str:
    return environ.get("USER") or environ.get("USERNAME") or "postgres"


def _timeout(text: str) -> float | None:
    """Seconds; zero and less mean no limit, as with libpq."""
    if not text:
        return CONNECT_TIMEOUT
    if not re.fullmatch(r"\s*[-+]?[0-9]{1,9}(\.[0-9]*)?\s*", text):
        raise ValueError("connect_timeout must be a number of seconds")
    seconds = float(text)
    return seconds if seconds > 0 else None


def _hosts(
    values: Mapping[str, str], user: str, dbname: str, given_secret: native.Secret | None
) -> tuple[Host, ...]:
    names = values.get("host", "").split(",")
    addresses = values["hostaddr"].split(",") if values.get("hostaddr") else None
    if addresses is not None:
        if not values.get("host"):
            names = [""] * len(addresses)
        elif len(names) != len(addresses):
            raise ValueError(f"hostaddr lists {len(addresses)} addresses for {len(names)} hosts")
    ports = values.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(names)
    elif len(ports) != len(names):
        raise ValueError(f"there are {len(ports)} ports for {len(names)} hosts")
    lines: list[str] | None = None
    shared = given_secret
    if shared is None and values.get("password"):
        shared = native.Secret(values["password"].encode("utf-8", "surrogateescape"))
    hosts: list[Host] = []
    for index, (name, port_text) in enumerate(zip(names, ports, strict=True)):
        address = (addresses[index].strip() or None) if addresses is not None else None
        host = name.strip() or ("" if address else "localhost")
        port = keys.parse_integer("port", port_text, low=1, high=65535) if port_text.strip() else 5432
        secret = shared
        if secret is None:
            lines = _password_lines(values) if lines is None else lines
            found = _passfile.find(lines, host=host or address or "", port=port, dbname=dbname, user=user)
            secret = native.Secret((found or "").encode("utf-8", "surrogateescape"))
        hosts.append(Host(name=host, address=address, port=port, password=secret))
    return tuple(hosts)


def _password_lines(values: Mapping[str, str]) -> list[str]:
    named = values.get("passfile")
    path = Path(named) if named else _passfile.default_path()
    return _passfile.read(path) if path is not None else []


def _tls(values: Mapping[str, str], context: ssl.SSLContext | None) -> TlsParameters:
    root = values.get("sslrootcert") or None
    default_mode = "verify-full" if root == "system" else "require" if context is not None else "prefer"
    mode = values.get("sslmode") or default_mode
    if root == "system" and mode != "verify-full":
        raise ValueError(
            "sslrootcert=system needs sslmode=verify-full: "
            "anyone can have a certificate of a public authority"
        )
    negotiation = values.get("sslnegotiation") or "postgres"
    if negotiation == "direct" and mode in {"disable", "allow", "prefer"}:
        raise ValueError("sslnegotiation=direct needs sslmode require, verify-ca or verify-full")
    low = values.get("ssl_min_protocol_version") or "TLSv1.2"
    high = values.get("ssl_max_protocol_version") or None
    if high is not None and high < low:  # these names sort by age
        raise ValueError("ssl_min_protocol_version is above ssl_max_protocol_version")
    password = values.get("sslpassword")
    return TlsParameters(
        mode=cast("Any", mode),
        negotiation=cast("Any", negotiation),
        root_certificate=root,
        certificate=values.get("sslcert") or None,
        key=values.get("sslkey") or None,
        key_password=HiddenText(password) if password else None,
        certificate_mode=cast("Any", values.get("sslcertmode") or "allow"),
        revocation_list=values.get("sslcrl") or None,
        revocation_directory=values.get("sslcrldir") or None,
        server_name=values.get("sslsni") != "0",
        version_min=low,
        version_max=high,
        context=context,
    )


def _tcp(values: Mapping[str, str]) -> TcpParameters:
    def seconds(name: str, default: int | None) -> int | None:
        if not values.get(name):
            return default
        number = keys.parse_integer(
            name, values[name], high=32_767_000 if name == "tcp_user_timeout" else 32_767
        )
        return number if number > 0 else None  # zero and less: the system's own

    ours = TcpParameters()
    return TcpParameters(
        keepalives=keys.parse_integer("keepalives", values["keepalives"]) != 0
        if values.get("keepalives")
        else True,
        idle=seconds("keepalives_idle", ours.idle),
        interval=seconds("keepalives_interval", ours.interval),
        count=seconds("keepalives_count", ours.count),
        user_timeout_ms=seconds("tcp_user_timeout", ours.user_timeout_ms),
    )


def _startup(
    values: Mapping[str, str],
    environ: Mapping[str, str],
    server_settings: Mapping[str, object],
    user: str,
    dbname: str,
) -> Mapping[str, str]:
    """Return the startup message's parameters. PostgreSQL docs: protocol-message-formats, StartupMessage."""
    if values.get("client_encoding", "").lower() not in _UTF8_NAMES:
        raise ValueError("client_encoding must be UTF8: text is exchanged in no other encoding")
    startup = {"user": user, "database": dbname, "client_encoding": "UTF8"}
    for variable, name in keys.RUN_TIME_ENVIRONMENT.items():
        value = environ.get(variable)
        if value and value.lower() != "default":
            startup[name] = value
    application_name = values.get("application_name") or values.get("fallback_application_name")
    if application_name:
        startup["application_name"] = application_name
    for name in ("options", "statement_timeout"):
        if values.get(name):
            startup[name] = values[name]
    for name, setting in server_settings.items():
        startup[_setting_name(name)] = _setting_text(name, setting)
    if startup["client_encoding"].lower() not in _UTF8_NAMES:
        raise ValueError("client_encoding must be UTF8: text is exchanged in no other encoding")
    for name, value in startup.items():
        _check_text(name, value)
    return MappingProxyType(startup)


def _check_text(name: str, value: str) -> None:
    if "\0" in name or "\0" in value:
        raise ValueError(f"{name!r} contains a NUL character")
    # Not by way of encode(): its error would carry the text.
    if any("\ud800" <= character <= "\udfff" for character in name + value):
        raise ValueError(f"{name!r} is not text that UTF-8 can encode")


def _setting_name(name: str) -> str:
    if not name or name.lower() in _RESERVED or name.startswith("_pq_."):
        raise ValueError(f"server_settings cannot set {name!r}")
    return name.lower() if name.lower() == "client_encoding" else name


def _setting_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise TypeError(f"server_settings[{name!r}] cannot be a {type(value).__name__}")
