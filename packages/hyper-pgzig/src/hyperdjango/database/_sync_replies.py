"""Waiting for replies by blocking: the GIL is released while the socket is waited for."""

import contextlib
import time
from typing import TYPE_CHECKING, Final

from hyperdjango.database import _shape, _sync_io
from hyperdjango.database._cancel import cancel_steps
from hyperdjango.database._introspection import ROUNDS_MAX, TYPES_KEEP_CHANGING, introspect
from hyperdjango.database._slot import DONE, NEEDS_TYPES, WAITING, Slot, nobody_waits, time_is_over
from hyperdjango.database.errors import InterfaceError

if TYPE_CHECKING:
    from hyperdjango.database._native import native

RECOVERY_SECONDS: Final = 0.2


class TimeIsOverError(TimeoutError):
    """A deadline of ours has passed: not what somebody's data or handler raises."""


def _left(deadline: float | None) -> int:
    """Nanoseconds until `deadline`, by time.monotonic; -1 is no limit."""
    return -1 if deadline is None else max(0, int((deadline - time.monotonic()) * 1e9))


def _wait(connection: "native.Connection", deadline: float | None) -> int:
    progress = connection.wait(_left(deadline))
    if progress == WAITING:
        raise TimeIsOverError
    return progress


def complete(slot: Slot, request: "native.Request", deadline: float | None = None) -> None:
    """Wait until `request`, just submitted on `slot`, is done. Its result is not looked at.

    When the wait ends early (KeyboardInterrupt too), the statement is cancelled and the connection is
    either clean again or closed before the exception goes on.

    Args:
        slot: The connection.
        request: The request under way on it.
        deadline: By time.monotonic; None is no limit.
    Raises:
        QueryTimeout: The deadline has passed.
    """
    if request.done:
        return
    connection = slot.connection
    try:
        # One that was put aside for its types has nothing more to come before they are known.
        if connection.progress == NEEDS_TYPES or _wait(connection, deadline) == NEEDS_TYPES:
            _learn_types(slot, deadline)
    except BaseException as error:
        if connection.busy:
            _recover(slot, request)
        if type(error) is TimeIsOverError:
            raise time_is_over(slot) from None
        raise


def _learn_types(slot: Slot, deadline: float | None) -> None:
    """Ask the catalogs about the types a request waits for, then let it go on."""
    connection = slot.connection
    for _ in range(ROUNDS_MAX):
        request = connection.suspend_request()
        assert request is not None
        steps = introspect(request.unknown_oids, connection.type_map, slot.server_version)
        rows = None
        with contextlib.suppress(StopIteration):
            while True:
                sql, arguments = next(steps) if rows is None else steps.send(rows)
                catalog = connection.submit(sql, arguments, _shape.TUPLE, None, False, None)
                if not catalog.done:
                    _wait(connection, deadline)
                rows = catalog.result()
        connection.restore_request(request)
        progress = connection.resume()
        if progress not in {DONE, NEEDS_TYPES}:
            progress = _wait(connection, deadline)
        if progress == DONE:
            return
    connection.suspend_request()
    raise InterfaceError(TYPES_KEEP_CHANGING)


def _recover(slot: Slot, request: "native.Request") -> None:
    """Cancel what runs on `slot` and read the rest of its answer, or close it where that takes too long."""
    connection = slot.connection
    if connection.progress == NEEDS_TYPES:
        connection.suspend_request()  # nothing is owed
        return
    # Not what has ended the wait: its traceback would keep the slot, by way of the connection.
    connection.drop(request, nobody_waits())
    recover(slot)


def recover(slot: Slot, *, may_raise: bool = False) -> None:
    """Cancel what runs on `slot`, whose requests nobody waits for, and read the rest of what comes.

    The connection is usable afterwards, or closed where that takes longer than it may.

    Args:
        slot: The connection.
        may_raise: No other exception is on its way: an interrupt that comes in here goes on.
    """
    connection = slot.connection
    deadline = time.monotonic() + RECOVERY_SECONDS
    try:
        # A COPY that waits for data would wait for ever, and so would a statement for more sets of values.
        connection.drop(None, nobody_waits())
        connection.end_many()
        _sync_io.run(cancel_steps(slot.established.cancel_target), RECOVERY_SECONDS)
        while connection.busy and _wait(connection, deadline) != DONE:
            connection.suspend_request()  # it waited for types, and nobody wants it
        # The signal of a late cancel request has reached the backend before it answers this.
        if not slot.submit("").done:
            _wait(connection, deadline)
    except Exception:  # the first reason goes on, this connection does not
        slot.close()
    except KeyboardInterrupt:
        slot.close()
        if may_raise:
            raise


def drain(slot: Slot, deadline: float | None = None) -> int:
    """Wait until nothing is under way on `slot`, or the first request waits for types: DONE or NEEDS_TYPES.

    When the wait ends early, what is left is cancelled and dropped, and the connection clean or closed.

    Raises:
        QueryTimeout: The deadline has passed.
    """
    connection = slot.connection
    if not connection.busy:
        return DONE
    try:
        return _wait(connection, deadline)
    except BaseException as error:
        if connection.busy:
            recover(slot)
        if type(error) is TimeIsOverError:
            raise time_is_over(slot) from None
        raise


def abandon(slot: Slot, request: "native.Request") -> None:
    """Cancel a request that is under way, of which nobody wants anything any more."""
    _recover(slot, request)


def step(slot: Slot, deadline: float | None = None) -> int:
    """Wait until what is under way on `slot` is done, takes data (a COPY IN) or has a part (a COPY OUT).

    Who calls looks after the request where the wait ends early.

    Raises:
        TimeIsOverError: The deadline has passed.
    """
    return _wait(slot.connection, deadline) if slot.connection.busy else DONE


def run_owed(slot: Slot, deadline: float | None = None) -> str:
    """Run the commands that `slot` owes, by themselves, and return the last one's tag."""
    request = slot.connection.run_owed()
    complete(slot, request, deadline)
    request.result()
    return request.tag


def run(slot: Slot, sql: str, deadline: float | None = None) -> str:
    """Run a command of our own by the simple protocol and return its command tag."""
    if slot.connection.owed:
        # They cannot go in front of the simple protocol.
        run_owed(slot, deadline)
    request = slot.submit(sql)
    complete(slot, request, deadline)
    request.result()
    return request.tag
