"""The names of prepared transactions of ours: all that `recover()` must know of a group stands in them.

    hyper2pc:1:<group>:<index>:<digest>:<alias>,<alias>,…

`_two_phase` makes them, `_recovery` reads them. They are written into statements as literals, because no command
of a two-phase commit takes parameters: nothing but the alphabet below gets that far.
PostgreSQL docs: sql-prepare-transaction.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote, unquote

PREFIX: Final = "hyper2pc:1:"
# The server's limit, which is of bytes; all of ours are ASCII.
LENGTH_MAX: Final = 199
# What `recover()` lists, as a LIKE pattern.
PATTERN: Final = "hyper2pc:1:%"
_TEXT: Final = re.compile(r"hyper2pc:1:([A-Za-z0-9_-]{16}):(\d{1,3}):([0-9a-f]{16}):([A-Za-z0-9_.~%,-]+)")


@dataclass(frozen=True, slots=True)
class Gid:
    """One prepared transaction of a group.

    Attributes:
        group: Of the whole block; random.
        index: The number of this one, from 0. The first is prepared and committed before all others, and rolled
            back after them: where it is gone, the group is committed.
        digest: Of the databases that the aliases stand for, where the group was made.
        aliases: Of the whole group, in order.
    """

    group: str
    index: int
    digest: str
    aliases: tuple[str, ...]

    @property
    def alias(self) -> str:
        """The one that this transaction is of."""
        return self.aliases[self.index]

    @property
    def text(self) -> str:
        """As the server has it."""
        names = ",".join(quote(alias, safe="") for alias in self.aliases)
        return f"{PREFIX}{self.group}:{self.index}:{self.digest}:{names}"

    @property
    def beginning(self) -> str:
        """What no other one's text begins with, and short."""
        return f"{PREFIX}{self.group}:{self.index}:"

    @property
    def literal(self) -> str:
        """As it stands in a statement."""
        text = self.text
        assert _TEXT.fullmatch(text)
        assert len(text) <= LENGTH_MAX
        return f"'{text}'"

    def of(self, index: int) -> "Gid":
        """Return another one of the group."""
        return Gid(self.group, index, self.digest, self.aliases)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what a name says; None where it is not one of ours."""
        match = _TEXT.fullmatch(text)
        if match is None or len(text) > LENGTH_MAX:
            return None
        gid = cls(match[1], int(match[2]), match[3], tuple(map(unquote, match[4].split(","))))
        # One that we would have written in another way is not ours.
        return gid if gid.index < len(gid.aliases) and gid.text == text else None


def new_group(aliases: Sequence[str], digest: str) -> Gid:
    """Return the name of the first one of a new group.

    Raises:
        ValueError: The aliases' names are too long together.
    """
    gid = Gid(secrets.token_urlsafe(12), 0, digest, tuple(aliases))
    length = len(gid.of(len(aliases) - 1).text)
    if length > LENGTH_MAX:
        raise ValueError(
            f"the names of the {len(aliases)} aliases are too long for two_phase=True by "
            f"{length - LENGTH_MAX} bytes: they stand in the name of each prepared transaction"
        )
    return gid


def digest_of(identities: Sequence[str]) -> str:
    """Return what tells the databases of a group from others that are called the same elsewhere.

    Args:
        identities: Of the databases, in the order of the aliases.
    """
    return hashlib.sha256("\n".join(identities).encode()).hexdigest()[:16]
