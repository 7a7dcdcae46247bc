"""The backend's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, for scripts.

Written from RFC 5802 and RFC 7677 by way of the standard library, independent of the driver's own code.
`fault` spoils one thing the frontend has to notice. PostgreSQL docs: sasl-authentication.
"""

import base64
import hashlib
import hmac
from typing import Literal

Fault = Literal["foreign-nonce", "wrong-signature", "error", "no-salt", "bad-base64", "mandatory-extension"]


class ScramError(Exception):
    """The frontend's proof, nonce or channel binding is wrong."""


class ScramServer:
    """One exchange: `first` answers the client-first-message, `final` checks the client-final-message."""

    def __init__(
        self,
        password: str | bytes,
        *,
        salt: bytes = b"0123456789abcdef",
        iterations: int = 4096,
        nonce: str = "3rfcNHYJY1ZVvWVs7j",
        channel_binding: bytes = b"",
        fault: Fault | None = None,
    ) -> None:
        self._password = password.encode() if isinstance(password, str) else password
        self._salt = salt
        self._iterations = iterations
        self._nonce = nonce
        self._channel_binding = channel_binding
        self._fault = fault
        self._gs2 = b""
        self._auth_message = b""
        self._full_nonce = ""

    def first(self, client_first: bytes) -> bytes:
        """Return the server-first-message."""
        flag, authzid, bare = client_first.split(b",", 2)
        if flag not in {b"n", b"y", b"p=tls-server-end-point"}:
            raise ScramError(f"gs2 flag {flag!r}")
        self._gs2 = flag + b"," + authzid + b","
        attributes = dict(part.split("=", 1) for part in bare.decode().split(","))
        client_nonce = attributes["r"]
        if len(client_nonce) < 18:
            raise ScramError(f"a short nonce: {client_nonce!r}")
        self._full_nonce = client_nonce + self._nonce
        salt = base64.b64encode(self._salt).decode()
        answer = f"r={self._full_nonce},s={salt},i={self._iterations}"
        match self._fault:
            case "foreign-nonce":
                answer = f"r={client_nonce[::-1]}{self._nonce},s={salt},i={self._iterations}"
            case "no-salt":
                answer = f"r={self._full_nonce},i={self._iterations}"
            case "bad-base64":
                answer = f"r={self._full_nonce},s=%%%%,i={self._iterations}"
            case "mandatory-extension":
                answer = f"m=unknown,{answer}"
            case _:
                pass
        self._auth_message = bare + b"," + answer.encode()
        return answer.encode()

    def final(self, client_final: bytes) -> bytes:
        """Check the proof and return the server-final-message.

        Raises:
            ScramError: The proof, the nonce or the channel binding does not match.
        """
        without_proof, _, proof = client_final.rpartition(b",p=")
        attributes = dict(part.split("=", 1) for part in without_proof.decode().split(","))
        expected_binding = self._gs2 + (self._channel_binding if self._gs2.startswith(b"p=") else b"")
        if base64.b64decode(attributes["c"]) != expected_binding:
            raise ScramError(f"channel binding {attributes['c']!r}")
        if attributes["r"] != self._full_nonce:
            raise ScramError(f"nonce {attributes['r']!r}")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, self._salt, self._iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        auth_message = self._auth_message + b"," + without_proof
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth_message, "sha256")
        if bytes(a ^ b for a, b in zip(client_key, signature, strict=True)) != base64.b64decode(proof):
            raise ScramError("wrong proof")
        server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth_message, "sha256")
        match self._fault:
            case "wrong-signature":
                server_signature = bytes(32)
            case "error":
                return b"e=other-error"
            case _:
                pass
        return b"v=" + base64.b64encode(server_signature)
