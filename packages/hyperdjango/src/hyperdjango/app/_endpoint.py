"""Endpoint: a handler as an ASGI application, for Starlette's Route. `HyperApp.route` makes one for each."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hyperdjango.app._answers import send_result
from hyperdjango.app._presence import Presence, taking_turns, watch_of_loop
from hyperdjango.app._request import Request
from hyperdjango.app._signature import Wanted

_LOADERS: Final = "hyperdjango.dataloader"


class Endpoint:
    """One handler, made ready."""

    def __init__(self, function: Callable[..., Any], wanted: Wanted, status_code: int | None) -> None:
        """Take down how it is called.

        Args:
            function: The handler.
            wanted: Its arguments.
            status_code: Of its responses, where it does not return them itself; None is the usual one.
        """
        self.function = function
        self._wanted = wanted
        self._status_code = status_code
        # Nearly every handler: the request and nothing else.
        self._takes_request_alone = wanted.is_first and not wanted.path and wanted.body is None

    def __repr__(self) -> str:
        """Name the handler."""
        return f"<Endpoint {getattr(self.function, '__qualname__', self.function)}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, with loaders of its own where there are any."""
        loaders: Any = sys.modules.get(_LOADERS)
        if loaders is None:  # nobody has imported them, so nobody uses one
            await self._serve(scope, receive, send)
        else:
            with loaders.loader_scope():
                await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        presence = Presence(receive)
        try:
            result = await self._result(Request(scope, presence, send), presence)
            if presence.is_gone:
                return  # nobody is there to be answered
            if isinstance(result, Response):
                response = _closing(result) if isinstance(result, StreamingResponse) else result
                await response(scope, presence, send)
            else:
                await send_result(result, self._status_code, send)
        except ClientDisconnect:
            return  # it went while its body was read
        finally:
            presence.end()

    async def _result(self, request: Request, presence: Presence) -> Any:
        """Call the handler; where the client goes meanwhile, it is cancelled, and that ends here."""
        watch = watch_of_loop()
        watch.begin(presence)
        try:
            if self._takes_request_alone:
                return await self.function(request)
            return await self._call(request)
        except asyncio.CancelledError:
            if not presence.is_gone or _is_cancelled_by_others():
                raise
            return None
        finally:
            watch.end(presence)
            if presence.is_gone:
                _uncancel()

    async def _call(self, request: Request) -> Any:
        wanted, values = self._wanted, request.path_params
        arguments = {name: values[name] for name in wanted.path}
        if wanted.body is not None:
            name, read = wanted.body
            arguments[name] = read(await request.json())
        if wanted.is_first:
            return await self.function(request, **arguments)
        if wanted.request is not None:
            arguments[wanted.request] = request
        return await self.function(**arguments)


def _closing(response: StreamingResponse) -> StreamingResponse:
    """Have a stream close what it comes from: one that was left early has a connection, or a file.

    It is done where it was iterated over: a transaction block ends in the context that it began in.
    """
    import anyio  # noqa: PLC0415 - Starlette's own: it is there where streams are

    stream = response.stream_response
    close: Any = getattr(response.body_iterator, "aclose", None)

    async def stream_and_close(send: Send) -> None:
        try:
            await stream(taking_turns(send))
        finally:
            # Starlette's task group cancels again and again what it has cancelled.
            with anyio.CancelScope(shield=True):
                if close is not None:
                    await close()

    response.stream_response = stream_and_close  # type: ignore[method-assign]  # of this response alone
    return response


def _is_cancelled_by_others() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 1


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


__all__ = ["Endpoint"]
