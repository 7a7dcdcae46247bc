"""What a shard key is, apart from how Python writes it: what `sharding` compares, looks up and hashes.

Which shard a row is in must not depend on the process, the version of Python, or the language that asks. So the
bytes that are hashed are written out here, for every class of key; docs/sharding.md has them for SQL.
"""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Final
from uuid import UUID

Key = int | Decimal | str | bytes | UUID | date

# What a key may be, for errors.
CLASSES: Final = "an int, a Decimal, a str, a UUID, a date or bytes"
# A number from outside must not cost more than a number should.
DIGITS_MAX: Final = 1000
BITS_MAX: Final = 3322
TOO_LONG: Final = f"a number of more than {DIGITS_MAX} digits is no shard key"


class NoKey(ValueError):  # noqa: N818 - says what it is
    """A value that cannot be a shard key; the text says why, without the value."""


def plain_key(value: object) -> Key:
    """Return a value as what it is beneath subclasses: equal keys become equal, of one class.

    A Decimal without digits behind the point becomes the int, a member of an enum its value. A bool is no int
    here, and a datetime no date.

    Raises:
        NoKey: It cannot be a key.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        raise NoKey("NULL is in no shard")
    if isinstance(value, bool):
        raise NoKey(f"a bool is no shard key; it is {CLASSES}")
    if isinstance(value, int):
        if value.bit_length() > BITS_MAX:
            raise NoKey(TOO_LONG)
        return int(value)
    if isinstance(value, Decimal):
        return _plain_decimal(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, datetime):
        raise NoKey(
            f"a datetime is no shard key, as the same instant is written in many ways; it is {CLASSES}"
        )
    if isinstance(value, UUID | date):
        return value
    raise NoKey(f"{_article(type(value).__name__)} is no shard key; it is {CLASSES}")


def _plain_decimal(value: Decimal) -> Key:
    if not value.is_finite():
        raise NoKey("NaN and the infinities are in no shard")
    if value and abs(value.adjusted()) > DIGITS_MAX:
        raise NoKey(TOO_LONG)
    whole = int(value)
    return whole if whole == value else value


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def key_bytes(key: Key) -> bytes:
    """Return the bytes that are hashed: a letter for the kind, a colon, and the value's one text in UTF-8.

    Args:
        key: As `plain_key` gives it.
    """
    if isinstance(key, int):
        return b"n:%d" % key
    if isinstance(key, str):
        # What no UTF-8 has, no column has either; it must not be an error that shows the value.
        return b"s:" + key.encode("utf-8", "surrogatepass")
    if isinstance(key, UUID):
        return b"u:" + str(key).encode()
    if isinstance(key, Decimal):
        digits = format(key, "f").rstrip("0")
        return b"n:" + digits.encode()
    if isinstance(key, bytes):
        return b"b:" + key
    return b"d:" + key.isoformat().encode()


class Rendezvous:
    """Chooses one of several names for a key: the one whose hash together with the key is the highest.

    A name more takes its share from all others, and nothing moves between these; a name less gives its own away.
    The order of the names does not matter.
    """

    __slots__ = ("_begun",)

    def __init__(self, names: Sequence[str]) -> None:
        self._begun = tuple((name, hashlib.sha256(name.encode() + b"\0")) for name in names)

    def choose(self, key: bytes) -> str:
        """Return the name."""
        best, chosen = b"", ""
        for name, begun in self._begun:
            hashed = begun.copy()
            hashed.update(key)
            digest = hashed.digest()
            if digest > best:
                best, chosen = digest, name
        return chosen


__all__ = ["CLASSES", "Key", "NoKey", "Rendezvous", "key_bytes", "plain_key"]
