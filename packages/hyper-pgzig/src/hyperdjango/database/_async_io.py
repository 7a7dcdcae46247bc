"""Runs the steps of `_connect` on an asyncio event loop, any that has add_reader and add_writer.

PostgreSQL docs: none; Python docs: asyncio-eventloop.
"""

from __future__ import annotations

import asyncio
import socket
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


async def run(steps: Steps[Result], timeout: float | None = None) -> Result:
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
    loop = asyncio.get_running_loop()
    try:
        step = next(steps)
        while True:
            failure = None
            result: Any = None
            try:
                if isinstance(step, SetDeadline):
                    deadline = step.at
                else:
                    result = await _within(loop, step, deadline, limit)
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
        # Cancelled or out of time: the generator closes its socket.
        steps.close()
        # Its traceback has this frame, and those of the generator: a cycle would keep all of it alive.
        failure = None


async def _within(
    loop: asyncio.AbstractEventLoop, step: Step, deadline: float | None, limit: float | None
) -> Any:
    ends = [at for at in (deadline, limit) if at is not None]
    if not ends:
        return await _perform(loop, step)
    left = min(ends) - time.monotonic()
    async with asyncio.timeout(max(left, 0)):
        return await _perform(loop, step)


async def _perform(loop: asyncio.AbstractEventLoop, step: Step) -> Any:
    match step:
        case WaitReadable(sock):
            await _ready(sock.fileno(), loop.add_reader, loop.remove_reader)
        case WaitWritable(sock):
            await _ready(sock.fileno(), loop.add_writer, loop.remove_writer)
        case Sleep(seconds):
            await asyncio.sleep(seconds)
        case RunInThread(function):
            return await loop.run_in_executor(None, function)
        case AwaitInPlace(function):
            return await function()
        case Resolve(host, port):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return [(family, address) for family, _, _, _, address in found]
        case SetDeadline():
            raise AssertionError("handled by run")
    return None


async def _ready(fd: int, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, wake)
    try:
        await ready
    finally:
        remove(fd)
