"""Why the hosts failed one after the other, and the one exception that tells of all of them.

Used by `_connect`.
PostgreSQL docs: libpq-connect, "Specifying Multiple Hosts".
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from hyperdjango.database._authenticate import ServerError
from hyperdjango.database._socket import Refused
from hyperdjango.database.errors import ConnectionFailed, ConnectTimeout, ProtocolError


@dataclass(slots=True)
class Failure:
    """One try that failed, and where it went."""

    where: str
    error: Exception

    @property
    def text(self) -> str:
        """What went wrong, in the words of whoever noticed it."""
        error = self.error
        if isinstance(error, ServerError):
            return error.error.message
        if isinstance(error, TimeoutError):
            return "timeout expired" if error.errno is None else str(error.strerror)
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the server's certificate is not trusted: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            return f"TLS failed: {error.reason or error.strerror or type(error).__name__}"
        if isinstance(error, OSError):
            return error.strerror or str(error)
        return str(error)


def gathered(failures: list[Failure]) -> Exception:
    """Return one exception for all that went wrong."""
    # The same address may fail the same way for each kind of encryption: once is enough.
    lines = dict.fromkeys(f"{failure.where} failed: {failure.text}" for failure in failures)
    answers = [failure.error for failure in failures if isinstance(failure.error, ServerError)]
    if answers and not isinstance(failures[-1].error, Refused):
        failed = ConnectionFailed.from_server(answers[-1].error)
        for line in lines:
            failed.add_note(line)
        return failed
    if len(failures) == 1 and isinstance(failures[0].error, ProtocolError):
        return failures[0].error
    kind = ConnectionFailed
    if all(isinstance(failure.error, TimeoutError) for failure in failures):
        kind = ConnectTimeout
    failed = kind("\n".join(lines))
    failed.is_refused = isinstance(failures[-1].error, Refused)
    return failed
