"""The ssl.SSLContext that the ssl… keys ask for.

PostgreSQL docs: libpq-ssl.
"""

from __future__ import annotations

import functools
import os
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Never

from hyperdjango.database._tls import TlsError

if TYPE_CHECKING:
    from hyperdjango.database._parameters import TlsParameters

_VERSIONS: Final = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


def context_for(tls: TlsParameters) -> ssl.SSLContext:
    """Return the context that the ssl… keys ask for. Reads files: not for an event loop's thread.

    One context serves many connections, until one of its files changes.

    Raises:
        TlsError: A file is missing, unreadable or not what it should be.
    """
    if tls.context is not None:
        if tls.negotiation == "direct":
            tls.context.set_alpn_protocols(["postgresql"])
        return tls.context
    try:
        return _make_context(tls, _stamps(tls))
    except TlsError:
        raise
    except OSError as error:
        raise TlsError(
            f"{error.filename or 'a file of the TLS parameters'}: {error.strerror or error}"
        ) from None


def _stamps(tls: TlsParameters) -> tuple[tuple[str, int, int], ...]:
    files = (_root(tls), *_client_files(tls), tls.revocation_list or _default("root.crl"))
    stamps: list[tuple[str, int, int]] = []
    for file in files:
        if file and Path(file).exists():
            status = Path(file).stat()
            stamps.append((file, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(stamps)


def _default(name: str) -> str:
    try:
        return str(Path.home() / ".postgresql" / name)
    except RuntimeError:  # no home
        return ""


def _root(tls: TlsParameters) -> str | None:
    """Return the file with the certificates we trust, where there is one, or `system`."""
    if tls.root_certificate is not None:
        return tls.root_certificate
    default = _default("root.crt")
    return default if Path(default).is_file() else None


def _client_files(tls: TlsParameters) -> tuple[str, str]:
    return tls.certificate or _default("postgresql.crt"), tls.key or _default("postgresql.key")


@functools.lru_cache(maxsize=16)
def _make_context(tls: TlsParameters, stamps: tuple[tuple[str, int, int], ...]) -> ssl.SSLContext:
    del stamps  # a part of the key alone
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = _VERSIONS[tls.version_min]
    if tls.version_max is not None:
        context.maximum_version = _VERSIONS[tls.version_max]
    context.set_alpn_protocols(["postgresql"])
    root = _root(tls)
    if root is None:
        if tls.mode in {"verify-ca", "verify-full"}:
            raise TlsError(
                f"sslmode={tls.mode} needs certificates to trust: name a file with sslrootcert, "
                f"use the system's with sslrootcert=system, or put them into {_default('root.crt')}"
            )
        context.verify_mode = ssl.CERT_NONE
    else:
        # As with libpq, certificates to trust are used whenever they are there, whatever the mode.
        _load_root(context, root)
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = tls.mode == "verify-full" and tls.server_name
        _load_revocations(context, tls)
    if tls.certificate_mode != "disable":
        _load_certificate(context, tls)
    return context


def _load_root(context: ssl.SSLContext, root: str) -> None:
    if root == "system":
        context.set_default_verify_paths()
        return
    if not Path(root).is_file():
        raise TlsError(f"root certificate file {root!r} does not exist")
    try:
        context.load_verify_locations(cafile=root)
    except ssl.SSLError as error:
        raise TlsError(
            f"root certificate file {root!r} cannot be read: {error.reason or 'no certificates'}"
        ) from None


def _load_revocations(context: ssl.SSLContext, tls: TlsParameters) -> None:
    file, folder = tls.revocation_list, tls.revocation_directory
    if file is None and folder is None:
        default = _default("root.crl")
        if not Path(default).is_file():
            return
        file = default
    if file is not None and not Path(file).is_file():
        raise TlsError(f"revocation list {file!r} does not exist")
    try:
        context.load_verify_locations(cafile=file, capath=folder)
    except ssl.SSLError as error:
        raise TlsError(f"revocation list {file!r} cannot be read: {error.reason or 'no list'}") from None
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN


def _load_certificate(context: ssl.SSLContext, tls: TlsParameters) -> None:
    certificate, key = _client_files(tls)
    if not Path(certificate).is_file():
        if tls.certificate is not None:
            raise TlsError(f"certificate file {certificate!r} does not exist")
        return
    if not Path(key).is_file():
        raise TlsError(f"certificate present, but not private key file {key!r}")
    _check_key_permissions(key)

    def refuse() -> Never:
        # Without a function here OpenSSL would ask on the terminal.
        raise TlsError(f"private key file {key!r} is encrypted, and there is no sslpassword")

    password = tls.key_password.reveal if tls.key_password is not None else refuse
    try:
        context.load_cert_chain(certificate, key, password=password)
    except ssl.SSLError as error:
        raise TlsError(
            f"certificate {certificate!r} with key {key!r}: {error.reason or 'cannot be read'}"
        ) from None


def _check_key_permissions(key: str) -> None:
    """Refuse a key that others can read; one that root owns may be readable by a group."""
    if os.name == "nt":
        return
    status = Path(key).stat()
    if status.st_uid == 0 and os.geteuid() != 0:
        forbidden = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
    else:
        forbidden = stat.S_IRWXG | stat.S_IRWXO
    if not stat.S_ISREG(status.st_mode) or status.st_mode & forbidden:
        raise TlsError(
            f"private key file {key!r} has group or world access: it must be u=rw (0600) or less, "
            "or u=rw,g=r (0640) or less if owned by root"
        )
