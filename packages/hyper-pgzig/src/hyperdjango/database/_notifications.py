"""What a listener yields, and the SQL of LISTEN and NOTIFY.

PostgreSQL docs: sql-notify; sql-listen; protocol-message-formats, "NotificationResponse (B)".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Never

from hyperdjango.database._identifiers import quote_identifier

# The backend cuts longer identifiers off without a word, and would listen to another channel.
CHANNEL_SIZE_MAX: Final = 63

NOTIFY_SQL: Final = "SELECT pg_catalog.pg_notify($1, $2)"


@dataclass(frozen=True, slots=True)
class Notification:
    """One NOTIFY that was heard.

    Attributes:
        channel: Its name, as it is: `"My Channel"`.
        payload: The text that came with it, `""` where there was none.
        process_id: Of the backend that sent it, as in pg_stat_activity.
    """

    channel: str
    payload: str
    process_id: int


@dataclass(frozen=True, slots=True)
class Gap:
    """The connection was lost and there is another one: what was sent meanwhile was not heard.

    It comes at once when the backend has confirmed LISTEN again, in the place of what was lost. Whatever the
    notifications are about is to be read anew.

    Attributes:
        channels: Those that are listened to again.
        seconds: From when the loss was noticed until then. A peer that vanished may be noticed late.
        error: What has ended the connection.
    """

    channels: tuple[str, ...]
    seconds: float
    error: Exception

    if not TYPE_CHECKING:  # where types are checked it is an error before it runs

        def __getattr__(self, name: str) -> Never:
            """Say to a loop that forgot about gaps what it has met."""
            hint = ""
            if name in {"channel", "payload", "process_id"}:
                hint = (
                    "; look for `case Gap():` and read anew what may have changed, or listen with gaps=False"
                )
            raise AttributeError(f"a Gap has no attribute {name!r}{hint}", name=name, obj=self)


def check_channel(name: object) -> str:
    """Return the name of a channel.

    Raises:
        TypeError: It is no str.
        ValueError: No channel can have it.
    """
    if not isinstance(name, str):
        raise TypeError(f"a channel's name must be a str, not {type(name).__name__}")
    if not name or "\0" in name:
        raise ValueError("a channel's name must not be empty or contain NUL")
    size = len(name.encode())
    if size > CHANNEL_SIZE_MAX:
        raise ValueError(
            f"a channel's name must not be longer than {CHANNEL_SIZE_MAX} bytes: the server would cut "
            f"off this one of {size} without a word and mean another channel"
        )
    return name


def check_channels(names: Sequence[str]) -> tuple[str, ...]:
    """Return the channels, each once.

    Raises:
        TypeError: One is no str.
        ValueError: There are none, or one cannot be.
    """
    if not names:
        raise ValueError("listen needs the name of at least one channel")
    return tuple(dict.fromkeys(check_channel(name) for name in names))


def listen_sql(channels: Sequence[str]) -> str:
    """Return the statements that listen to all of them, as one text."""
    return "; ".join(f"LISTEN {quote_identifier(name)}" for name in channels)
