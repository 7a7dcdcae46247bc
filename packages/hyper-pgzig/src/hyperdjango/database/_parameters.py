"""What it takes to open a connection, read and checked: ConnectParameters and its parts.

Made by `_conninfo.parse`, read by `_connect`. Immutable, shared by every connection of a pool; no repr shows
a secret.
PostgreSQL docs: libpq-connect, "Parameter Key Words".
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NoReturn, SupportsIndex

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from hyperdjango.database._native import native
    from hyperdjango.database._password import PasswordSource

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
SessionAttributes = Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]

SCRAM_ITERATIONS_MAX: Final = 100_000
CONNECT_TIMEOUT: Final = 10.0


class HiddenText:
    """Text that Python code must be able to use and that must not be shown: the password of a key file."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "***"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def reveal(self) -> str:
        """Return the text."""
        return self._text


@dataclass(frozen=True, slots=True)
class Host:
    """One place to connect to.

    Attributes:
        name: A host name, an address, or a Unix socket's directory; what a certificate must be made out to.
        address: The address to connect to in place of looking `name` up (`hostaddr`).
        port: The TCP port, or the number in the Unix socket's file name.
        password: May be empty.
    """

    name: str
    address: str | None
    port: int
    password: native.Secret

    @property
    def is_unix(self) -> bool:
        """Whether this is a Unix socket: an absolute path, or `@` and a name in the abstract namespace."""
        return self.address is None and (self.name.startswith("@") or os.path.isabs(self.name))  # noqa: PTH117

    @property
    def socket_path(self) -> str:
        """The address of the Unix socket."""
        path = f"{self.name.rstrip('/') if self.name.startswith('/') else self.name}/.s.PGSQL.{self.port}"
        return "\0" + path[1:] if path.startswith("@") else path

    def __str__(self) -> str:
        if self.is_unix:
            return f'socket "{self.name}/.s.PGSQL.{self.port}"'
        where = f'"{self.name or self.address}"'
        if self.address is not None and self.name and self.name != self.address:
            where += f" ({self.address})"
        return f"{where}, port {self.port}"


@dataclass(frozen=True, slots=True)
class TlsParameters:
    """The ssl… keys, files as given and not yet read."""

    mode: SslMode = "prefer"
    negotiation: Literal["postgres", "direct"] = "postgres"
    root_certificate: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: HiddenText | None = None
    certificate_mode: Literal["disable", "allow"] = "allow"
    revocation_list: str | None = None
    revocation_directory: str | None = None
    server_name: bool = True
    version_min: str = "TLSv1.2"
    version_max: str | None = None
    context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class TcpParameters:
    """What ends the wait for a peer that is gone. Seconds; None is the system's own."""

    keepalives: bool = True
    idle: int | None = 60
    interval: int | None = 15
    count: int | None = 4
    user_timeout_ms: int | None = 60_000


@dataclass(frozen=True, slots=True)
class ConnectParameters:
    """Everything that `_connect` asks for.

    Attributes:
        hosts: In the order given; at least one.
        require_auth: The methods a backend may use; None is any.
        allow_cleartext: A cleartext password may go over a connection that anyone on the way can read.
        connect_timeout: Seconds per host, None is no limit.
        startup: The startup message's parameters, `user` and `database` among them.
        url: Where from, the password shown as `***`.
        password_source: Asked for the password of each new connection, in place of the hosts' own.
    """

    hosts: tuple[Host, ...]
    user: str
    dbname: str
    tls: TlsParameters
    tcp: TcpParameters
    channel_binding: Literal["disable", "prefer", "require"]
    require_auth: frozenset[str] | None
    allow_cleartext: bool
    require_peer: str | None
    target_session_attrs: SessionAttributes
    load_balance_hosts: Literal["disable", "random"]
    connect_timeout: float | None
    scram_iterations_max: int
    startup: Mapping[str, str]
    url: str
    password_source: PasswordSource | None = None

    def __repr__(self) -> str:
        hosts = ", ".join(map(str, self.hosts))
        return f"<ConnectParameters {hosts}; user {self.user!r}, database {self.dbname!r}, password ***>"
