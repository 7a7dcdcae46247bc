"""Certificates for the tests, made on the spot with `cryptography`: an authority, and what it signs."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_START = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


_SIGNS_ALONE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate with its key, in files."""

    certificate: x509.Certificate
    certificate_file: Path
    key_file: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


class Authority:
    """Signs certificates and revokes them; writes everything into one folder."""

    def __init__(self, folder: Path, name: str = "Authority", *, key: Any = None) -> None:
        self.folder = folder
        self.key = key if key is not None else ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self.name, self.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
        )
        # From Python 3.13 on a default SSLContext checks strictly, as RFC 5280 has it.
        builder = builder.add_extension(_SIGNS_ALONE, critical=True)
        self.certificate = builder.sign(self.key, _hash_for(self.key))
        self.file = self._write(f"{name}.crt", self.certificate.public_bytes(serialization.Encoding.PEM))
        self._revoked: list[x509.RevokedCertificate] = []

    def sign(
        self,
        common_name: str,
        names: Sequence[str] = (),
        *,
        key: Any = None,
        hash_algorithm: Any = None,
        key_password: str | None = None,
        **sign_options: Any,
    ) -> Signed:
        """Make a certificate for a name, with `names` (host names and addresses) as alternatives."""
        key = key if key is not None else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = _builder(subject, self.name, key.public_key())
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(n) for n in names]), critical=False
            )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        certificate = builder.sign(self.key, hash_algorithm or _hash_for(self.key), **sign_options)
        stem = f"{common_name}-{certificate.serial_number:x}"
        encryption: serialization.KeySerializationEncryption = (
            serialization.BestAvailableEncryption(key_password.encode())
            if key_password
            else serialization.NoEncryption()
        )
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        return Signed(
            certificate,
            self._write(f"{stem}.crt", certificate.public_bytes(serialization.Encoding.PEM)),
            self._write(f"{stem}.key", pem),
        )

    def revoke(self, *signed: Signed) -> Path:
        """Write a revocation list with these certificates; return its file."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(_START)
            .next_update(_END)
        )
        for one in signed:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(one.certificate.serial_number)
                .revocation_date(_START)
                .build()
            )
        crl = builder.sign(self.key, hashes.SHA256())
        return self._write("revoked.crl", crl.public_bytes(serialization.Encoding.PEM))

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path


def rsa_key() -> rsa.RSAPrivateKey:
    """Make an RSA key that is quick to make."""
    return rsa.generate_private_key(65537, 2048)


def _builder(subject: x509.Name, issuer: x509.Name, public_key: Any) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START)
        .not_valid_after(_END)
    )


def _hash_for(key: Any) -> Any:
    return hashes.SHA256() if isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)) else None


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
