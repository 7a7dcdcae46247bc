"""Positions in the write-ahead log, and tokens: how far a reader must have replayed it.

An LSN is an unsigned 64-bit number, and says something only together with the timeline it belongs to.
PostgreSQL docs: datatype-pg-lsn; continuous-archiving, "Timelines".
"""

import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

_LSN: Final = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_POSITION: Final = re.compile(r"([0-9A-Fa-f]{1,8})-([0-9A-Fa-f]{1,16})")
_MOMENT: Final = re.compile(r"@([0-9]{1,12}(?:\.[0-9]{1,6})?)")
_DOUBT: Final = "!"
# More than any application has aliases: a token comes from outside.
TOKEN_LENGTH_MAX: Final = 2048


def parse_lsn(text: str) -> int:
    """Return the number of an LSN as PostgreSQL writes it, `16/B374D848`.

    Raises:
        ValueError: It is none.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no LSN")
    return int(match[1], 16) << 32 | int(match[2], 16)


def format_lsn(lsn: int) -> str:
    """Return an LSN as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


class Position(NamedTuple):
    """A place in the write-ahead log. Later timelines are greater, whatever the LSN."""

    timeline: int
    lsn: int

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read what `str` has made, or what the backend was asked for: eight digits of timeline, then the LSN.

        Raises:
            ValueError: It is neither.
        """
        match = _POSITION.fullmatch(text)
        if match is not None:
            return cls(int(match[1], 16), int(match[2], 16))
        return cls(int(text[:8], 16), parse_lsn(text[8:]))

    def __str__(self) -> str:
        return f"{self.timeline:X}-{self.lsn:X}"


class Written(NamedTuple):
    """What a token says.

    Attributes:
        positions: Alias to the position of its last commit.
        moments: Alias to the time of its last commit, in seconds since the epoch.
        doubts: Aliases that were written to, and nobody has asked how far their log was then.
    """

    positions: dict[str, Position]
    moments: dict[str, float]
    doubts: set[str]


def format_token(written: Written) -> str:
    """Return the text of what a scope has written, for a cookie or a header: no spaces, quotes or semicolons."""
    parts = [f"{quote(alias, safe='')}={position}" for alias, position in written.positions.items()]
    parts += [f"{quote(alias, safe='')}=@{moment:.3f}" for alias, moment in written.moments.items()]
    parts += [f"{quote(alias, safe='')}={_DOUBT}" for alias in sorted(written.doubts)]
    return "&".join(parts)


def parse_token(text: str) -> Written:
    """Read what `format_token` has made.

    Raises:
        ValueError: It is no token.
    """
    if len(text) > TOKEN_LENGTH_MAX:
        raise ValueError(f"a token has {TOKEN_LENGTH_MAX} characters at most, not {len(text)}")
    written = Written({}, {}, set())
    for part in text.split("&") if text else ():
        name, equals, value = part.partition("=")
        alias = unquote(name)
        moment, position = _MOMENT.fullmatch(value), _POSITION.fullmatch(value)
        if not equals or not alias or (moment is None and position is None and value != _DOUBT):
            raise ValueError("this is no routing token")
        if moment is not None:
            written.moments[alias] = float(moment[1])
        elif position is not None:
            written.positions[alias] = Position.parse(value)
        else:
            written.doubts.add(alias)
    return written


__all__ = [
    "TOKEN_LENGTH_MAX",
    "Position",
    "Written",
    "format_lsn",
    "format_token",
    "parse_lsn",
    "parse_token",
]
