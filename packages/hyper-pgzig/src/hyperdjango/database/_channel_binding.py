"""The tls-server-end-point channel binding: a hash of the backend's certificate.

The hash function is that of the certificate's signature, so the certificate is read just deep enough to find
its signatureAlgorithm; this package depends on nothing that could do it. Called by `_authenticate`.
RFC 5929, section 4; RFC 5280, section 4.1; RFC 4055, section 3.1. PostgreSQL docs: sasl-authentication.
"""

import hashlib
from typing import Final

_SEQUENCE: Final = 0x30
_OBJECT_IDENTIFIER: Final = 0x06
_CONTEXT_0: Final = 0xA0

# MD5 and SHA-1 are replaced by SHA-256, as RFC 5929 says.
_HASH_OF_SIGNATURE: Final = {
    "1.2.840.113549.1.1.4": "sha256",  # md5WithRSAEncryption
    "1.2.840.113549.1.1.5": "sha256",  # sha1WithRSAEncryption
    "1.2.840.113549.1.1.14": "sha224",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.10040.4.3": "sha256",  # dsa-with-sha1
    "2.16.840.1.101.3.4.3.1": "sha224",  # dsa-with-sha224 …
    "2.16.840.1.101.3.4.3.2": "sha256",
    "2.16.840.1.101.3.4.3.3": "sha384",
    "2.16.840.1.101.3.4.3.4": "sha512",
    "2.16.840.1.101.3.4.3.9": "sha3_224",  # ecdsa-with-sha3-224 …
    "2.16.840.1.101.3.4.3.10": "sha3_256",
    "2.16.840.1.101.3.4.3.11": "sha3_384",
    "2.16.840.1.101.3.4.3.12": "sha3_512",
    "2.16.840.1.101.3.4.3.13": "sha3_224",  # RSA with sha3-224 …
    "2.16.840.1.101.3.4.3.14": "sha3_256",
    "2.16.840.1.101.3.4.3.15": "sha3_384",
    "2.16.840.1.101.3.4.3.16": "sha3_512",
    "1.2.840.10045.4.1": "sha256",  # ecdsa-with-SHA1
    "1.2.840.10045.4.3.1": "sha224",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
_RSA_PSS: Final = "1.2.840.113549.1.1.10"
_HASH_OF_DIGEST: Final = {
    "1.2.840.113549.2.5": "sha256",  # MD5
    "1.3.14.3.2.26": "sha256",  # SHA-1
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "2.16.840.1.101.3.4.2.7": "sha3_224",
    "2.16.840.1.101.3.4.2.8": "sha3_256",
    "2.16.840.1.101.3.4.2.9": "sha3_384",
    "2.16.840.1.101.3.4.2.10": "sha3_512",
}


def server_end_point(certificate: bytes) -> bytes | None:
    """Return the channel binding's data for a certificate in DER.

    None where none is defined, as for Ed25519, whose signatures name no hash function, or where the
    certificate cannot be read.
    """
    try:
        name = _hash_name(certificate)
    except ValueError:
        return None
    return hashlib.new(name, certificate).digest() if name is not None else None


def _hash_name(certificate: bytes) -> str | None:
    body, _ = _take(certificate, _SEQUENCE)
    _, rest = _take(body, _SEQUENCE)  # tbsCertificate
    algorithm, _ = _take(rest, _SEQUENCE)  # signatureAlgorithm
    identifier, parameters = _take(algorithm, _OBJECT_IDENTIFIER)
    name = _dotted(identifier)
    if name == _RSA_PSS:
        return _pss_hash(parameters)
    return _HASH_OF_SIGNATURE.get(name)


def _pss_hash(parameters: bytes) -> str | None:
    """RSASSA-PSS-params: the hash algorithm is its first field, SHA-1 where that is missing."""
    fields, _ = _take(parameters, _SEQUENCE)
    if not fields or fields[0] != _CONTEXT_0:
        return "sha256"
    explicit, _ = _take(fields, _CONTEXT_0)
    algorithm, _ = _take(explicit, _SEQUENCE)
    identifier, _ = _take(algorithm, _OBJECT_IDENTIFIER)
    return _HASH_OF_DIGEST.get(_dotted(identifier))


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Take one DER element off the front; its content and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("unexpected DER element")
    size, start = data[1], 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or len(data) < 2 + count:
            raise ValueError("bad DER length")
        start = 2 + count
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        raise ValueError("truncated DER element")
    return data[start : start + size], data[start + size :]


def _dotted(identifier: bytes) -> str:
    """Return the dotted form of an object identifier."""
    if not identifier or len(identifier) > 32 or identifier[-1] & 0x80:
        raise ValueError("bad object identifier")
    arcs: list[int] = []
    value = 0
    for byte in identifier:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))
