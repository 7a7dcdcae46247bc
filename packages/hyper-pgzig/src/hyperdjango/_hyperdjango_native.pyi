"""The native half of the driver: one extension, built from `zig/`. Import it through `hyperdjango.database._native`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, final

API_VERSION: Final[int]
BUILD_INFO: Final[str]
FREE_THREADED: Final[bool]

class Filter(Protocol):
    """What stands between a Connection and its socket when TLS is on. Never blocks."""

    def read(self) -> bytes | None: ...  # b"" at the end of the stream, None when nothing is there yet
    def write(self, data: bytes) -> None: ...  # takes all of it
    def flush(self) -> bool: ...  # True when nothing waits to be sent any more

@final
class Secret:
    """A password. Nothing reads it back: repr and str are `***`, it cannot be pickled or copied."""

    def __init__(self, value: str | bytes = b"", /) -> None: ...
    def __bool__(self) -> bool: ...

@final
class Scram:
    """The client's side of SCRAM-SHA-256(-PLUS). `nonce` is fresh random text from the caller."""

    def __init__(
        self,
        secret: Secret,
        nonce: bytes,
        *,
        gs2: Literal["n", "y", "p=tls-server-end-point"] = "n",
        channel_binding: bytes = b"",
        iterations_max: int = 100_000,
    ) -> None: ...
    def client_first(self) -> bytes: ...
    def server_first(
        self, message: bytes, /
    ) -> None: ...  # ValueError: malformed, foreign nonce, too many iterations
    def recall(self) -> bool: ...  # uses the keys this Secret's last derive() left, where they fit
    def derive(self) -> None: ...  # PBKDF2 with the GIL released
    def client_final(self) -> bytes: ...
    def server_final(
        self, message: bytes, /
    ) -> None: ...  # ValueError: the server's signature is wrong, or e=...

def md5_password(secret: Secret, user: str, salt: bytes, /) -> bytes: ...
def parse_frames(data: bytes, /) -> list[tuple[str, bytes]]: ...

@final
class TypeMap:
    """Types by OID, shared by every connection of a pool, and what is known of each SQL text."""

    def __new__(
        cls,
        *,
        json_loads: Callable[[str], Any] | None = None,  # None: the standard library's
        json_dumps: Callable[[Any], str | bytes] | None = None,
        exact_intervals: bool = False,  # Interval instead of timedelta
    ) -> TypeMap: ...
    def knows(self, oid: int, /) -> bool: ...
    def add_text(self, oid: int, name: str, /) -> None: ...  # always text format, str
    def add_string(
        self, oid: int, name: str, /
    ) -> None: ...  # binary format is the text itself: enum, citext
    def add_alias(
        self, oid: int, name: str, same_as: int, /
    ) -> None: ...  # a domain, or a known extension type
    def add_array(self, oid: int, name: str, element: int, delimiter: str, /) -> None: ...
    def add_composite(
        self, oid: int, name: str, names: Sequence[str], oids: Sequence[int], factory: type, /
    ) -> None: ...
    def add_range(self, oid: int, name: str, subtype: int, /) -> None: ...
    def add_multirange(self, oid: int, name: str, range_oid: int, /) -> None: ...
    def add_extension(
        self, oid: int, name: str, kind: Literal["hstore", "vector", "halfvec", "ltree"], /
    ) -> None: ...
    def add_codec(
        self,
        oid: int,
        name: str,
        encode: Callable[[Any], bytes | str],
        decode: Callable[[Any], Any],
        binary: bool,
        /,
    ) -> None: ...

# One value through the very encoders and decoders that parameters and columns go through; for tests.
# ValueError: the value does not fit, or has no Python form. LookupError: a type the map does not know.
def encode_value(
    type_map: TypeMap, oid: int, value: Any, /
) -> tuple[Literal["text", "binary"], bytes | None]: ...
def decode_value(
    type_map: TypeMap, oid: int, body: bytes, wire_format: Literal["text", "binary"] = ..., /
) -> Any: ...
