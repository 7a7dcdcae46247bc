"""The system's PostgreSQL with TLS and a user for each method of authentication."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from contract.certificates import Authority, Files
from hyperdjango.database import SyncDatabase
from hyperdjango.database._embedded_server import EmbeddedServer, ServerBinaries, TlsFiles

MANY_ROUNDS = 1_000_000


class Guarded(NamedTuple):
    """A server with TLS, its authority, and a client's certificate."""

    server: EmbeddedServer
    authority: Authority
    client: Files

    def url(self, user: str, **query: Any) -> str:
        return self.server.url_for(user=user, password="secret", **query)


def verifier(password: str, rounds: int) -> str:
    """What pg_authid holds for a password with this many rounds of PBKDF2."""
    salt = b"contract salt 16"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, client_text, server_text = (base64.b64encode(each).decode() for each in (salt, client, server))
    return f"SCRAM-SHA-256${rounds}:{salt_text}${client_text}:{server_text}"


@contextmanager
def guarded_server(binaries: ServerBinaries, folder: Path) -> Iterator[Guarded]:
    """Start it, with one user for each method of authentication."""
    authority = Authority(folder)
    own, client = authority.sign("server", "127.0.0.1"), authority.sign("certified")
    rules = (
        "host all hashed 127.0.0.1/32 md5",
        "host all clear 127.0.0.1/32 password",
        "hostssl all certified 127.0.0.1/32 cert",
        "host all trusted 127.0.0.1/32 trust",
    )
    with EmbeddedServer(
        binaries, tls=TlsFiles(own.certificate, own.key, authority.file), pg_hba=rules
    ) as server:
        with SyncDatabase(server.url, 1, 1) as admin:
            admin.execute("CREATE ROLE scrammed LOGIN PASSWORD 'secret'")
            admin.execute("CREATE ROLE clear LOGIN PASSWORD 'secret'")
            admin.execute("CREATE ROLE certified LOGIN")
            admin.execute("CREATE ROLE trusted LOGIN")
            admin.execute(f"CREATE ROLE patient LOGIN PASSWORD '{verifier('secret', MANY_ROUNDS)}'")
            admin.execute(f"CREATE ROLE over LOGIN PASSWORD '{verifier('secret', 100_001)}'")
            admin.execute("SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD 'secret'")
        yield Guarded(server, authority, client)
