"""Opening a connection in a place of the pool, with patience where the server takes no more.

The faces and the housekeeper run these steps.
PostgreSQL docs: errcodes-appendix, too_many_connections and cannot_connect_now.
"""

import time
from typing import TYPE_CHECKING

from hyperdjango.database._backoff import REFUSALS
from hyperdjango.database._connect import connect_steps
from hyperdjango.database._steps import SetDeadline, Sleep, Steps
from hyperdjango.database.errors import ConnectionFailed

if TYPE_CHECKING:
    from hyperdjango.database._connect import Established
    from hyperdjango.database._places import Places


class Crowded(Exception):  # noqa: N818 - what happened, not an error of anybody
    """The server takes no more, but others have connections that may come back: wait for one of those."""


def establish_steps(
    pool: "Places", *, patience: float | None, may_wait: bool = False
) -> Steps["Established"]:
    """Open a connection.

    Args:
        pool: Whose place it is for.
        patience: Until when a refusal is answered with another attempt, by time.monotonic; None is no limit.
        may_wait: The caller can wait for a connection of somebody else's.
    Raises:
        Crowded: The server takes no more, and the caller may wait.
        ConnectionFailed: As `connect_steps`.
    """
    while True:
        parameters = pool.parameters
        try:
            established = yield from connect_steps(
                parameters,
                pool.type_map,
                statement_cache_size=pool.statement_cache_size,
                message_size_max=pool.message_size_max,
            )
        except ConnectionFailed as error:
            if error.sqlstate not in REFUSALS:
                raise
            now = time.monotonic()
            pause = pool.backoff.refused(now)
            if may_wait and pool.has_others():
                raise Crowded from None
            if patience is not None and now + pause > patience:
                raise
        else:
            if pool.parameters is not parameters:
                # Renewed meanwhile: this is the server that was left.
                established.close()
                continue
            pool.backoff.accepted()
            return established
        yield SetDeadline(None)
        yield Sleep(pause)


def patience_from(pool: "Places", began: float, until: float | None) -> float | None:
    """Return until when a call has patience: its own end, else `connect_timeout` after it began."""
    if until is not None:
        return until
    timeout = pool.parameters.connect_timeout
    return None if timeout is None else began + timeout
