"""Runs the steps of `_connect` in a blocking caller's thread, with poll.

PostgreSQL docs: none; Python docs: select, "Polling Objects".
"""

from __future__ import annotations

import asyncio
import math
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from hyperdjango.database._steps import (
    AwaitInPlace,
    Resolve,
    Result,
    RunInThread,
    SetDeadline,
    Sleep,
    Step,
    Steps,
    WaitReadable,
    WaitWritable,
    is_over,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def run(steps: Steps[Result], timeout: float | None = None) -> Result:
    """Drive `steps` to their end and return their result.

    Args:
        steps: A generator of `_steps.Step`.
        timeout: Seconds for all of it; the generator's own deadlines come on top.
    Raises:
        TimeoutError: `timeout` passed.
        Exception: Whatever the generator raises.
    """
    limit = None if timeout is None else time.monotonic() + timeout
    deadline: float | None = None
    failure: Exception | None = None
    try:
        step = next(steps)
        while True:
            failure = None
            result: Any = None
            try:
                if isinstance(step, SetDeadline):
                    deadline = step.at
                else:
                    ends = [at for at in (deadline, limit) if at is not None]
                    result = _perform(step, min(ends) if ends else None)
            except Exception as error:
                failure = error
            # Outside the handler: what the generator raises then has no part in this failure.
            if failure is None:
                step = steps.send(result)
            elif limit is not None and is_over(failure, deadline, limit):
                raise TimeoutError("timeout expired")
            else:
                step = steps.throw(failure)
    except StopIteration as stop:
        finished: Result = stop.value
        return finished
    finally:
        # Interrupted or out of time: the generator closes its socket.
        steps.close()
        # Its traceback has this frame, and those of the generator: a cycle would keep all of it alive.
        failure = None


def _perform(step: Step, deadline: float | None) -> Any:
    match step:
        case WaitReadable(sock):
            _ready(sock.fileno(), select.POLLIN, deadline)
        case WaitWritable(sock):
            _ready(sock.fileno(), select.POLLOUT, deadline)
        case Sleep(seconds):
            left = _left(deadline)
            time.sleep(seconds if left is None else min(seconds, left))
            _ = _left(deadline)
        case RunInThread(function):
            return function()  # this thread has nothing else to do
        case AwaitInPlace(function):
            # Beside: this thread may be inside of an event loop already.
            return _beside(lambda: asyncio.run(function()), deadline)
        case Resolve(host, port):
            return _beside(lambda: _resolve(host, port), deadline)
        case SetDeadline():
            raise AssertionError("handled by run")
    return None


def _left(deadline: float | None) -> float | None:
    """Return the seconds until the deadline.

    Raises:
        TimeoutError: It has passed.
    """
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timeout expired")
    return left


def _ready(fd: int, event: int, deadline: float | None) -> None:
    poll = select.poll()
    poll.register(fd, event)
    while True:
        left = _left(deadline)
        # An end or a failure shows as POLLHUP or POLLERR, and in the call that follows.
        if poll.poll(None if left is None else math.ceil(left * 1000)):
            return


def _resolve(host: str, port: int) -> list[tuple[int, Any]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _beside(function: Callable[[], Any], deadline: float | None) -> Any:
    """Call `function` in a thread that may be left behind: the resolver takes no deadline, nor do users."""
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="hyperdjango-beside", daemon=True)
    thread.start()
    thread.join(_left(deadline))
    if failure:
        raise failure.pop()  # its traceback has this list
    if not outcome:
        raise TimeoutError("timeout expired")
    return outcome[0]
