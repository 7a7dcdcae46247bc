"""The log of slow calls: a hook of `on_query` that `slow_query_seconds=` adds."""

import logging
from typing import Final

from hyperdjango.database._watching import QueryEvent
from hyperdjango.database.errors import DatabaseError

TEXT_LENGTH_MAX: Final = 2_000

_logger: Final = logging.getLogger("hyperdjango.database.slow")


class SlowLog:
    """Logs the calls that take long, as warnings.

    What `extra=` of a log record is for is there, too: the event, as `query_event`.
    """

    def __init__(self, seconds: float) -> None:
        if not seconds >= 0:  # so that NaN is refused too
            raise ValueError(f"slow_query_seconds must be 0 or more seconds or None, not {seconds}")
        self._seconds = seconds

    def __call__(self, event: QueryEvent) -> None:
        """Log one call, if it was slow. Neither values nor the server's message, which may quote some."""
        if event.duration < self._seconds:
            return
        _logger.warning(
            "%s took %.3f s (%.3f s waiting for a connection), %s, on %s: %s",
            event.call,
            event.duration,
            event.wait,
            _outcome(event),
            event.route,
            folded(event.sql),
            extra={"query_event": event},
        )


def _outcome(event: QueryEvent) -> str:
    error = event.error
    if error is None:
        return f"{event.rows} {'row' if event.rows == 1 else 'rows'}"
    code = error.sqlstate if isinstance(error, DatabaseError) else None
    return f"failed with {type(error).__name__}" + (f" ({code})" if code else "")


def folded(sql: str) -> str:
    """Return a text in one line, white space folded, and cut where it is too long."""
    # What is cut off is not looked at, however long it is; white space may take most of the beginning.
    text = " ".join(sql[: 4 * TEXT_LENGTH_MAX].split())
    is_whole = len(text) <= TEXT_LENGTH_MAX and len(sql) <= 4 * TEXT_LENGTH_MAX
    return text if is_whole else f"{text[:TEXT_LENGTH_MAX]} … ({len(sql)} characters)"
