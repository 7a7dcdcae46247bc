"""What an exception of a handler is as a response. Starlette's middleware calls these, `HyperApp` lists them.

A response says what the client can mend, and nothing of how we are made: texts of the database stay in the log.
"""

import logging
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from hyperdjango.app._answers import JSONBytes
from hyperdjango.app._body import BodyError
from hyperdjango.app._json import to_json
from hyperdjango.database import AcquireTimeout, ConnectionFailed, ConnectionLost
from hyperdjango.models.errors import ObjectDoesNotExist, ValidationError

RETRY_AFTER: Final = "1"  # seconds
# RFC 9110, "Safe Methods": a request more does no harm.
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_logger: Final = logging.getLogger("hyperdjango.app")


def _answer(status: int, detail: str, *, headers: Any = None, **more: object) -> Response:
    # It may repeat names that a client has sent, whatever they are.
    return JSONBytes(to_json({"detail": detail, **more}, surrogates="replace"), status, headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in {204, 304}:
        return Response(status_code=error.status_code, headers=error.headers)
    return _answer(error.status_code, error.detail, headers=error.headers)


async def _not_found(request: Request, error: Exception) -> Response:
    return _answer(404, "Not Found", **_shown(request, error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, BodyError | ValidationError)
    return _answer(422, "Not what is taken here.", errors=error.errors)


async def _unavailable(request: Request, error: Exception) -> Response:
    may_repeat = request.scope.get("method") in SAFE
    return unavailable(error, is_debug=request.app.debug, may_repeat=may_repeat)


def unavailable(error: BaseException, *, is_debug: bool, may_repeat: bool) -> Response:
    """The answer where the database cannot be asked.

    The statement has changed nothing, but those before it may have: clients are asked to come again only where
    `may_repeat`, since they obey.
    """
    _logger.warning("503, the database cannot be asked: %s: %s", type(error).__name__, error)
    shown = {"error": str(error)} if is_debug else {}
    headers = {"retry-after": RETRY_AFTER} if may_repeat else None
    return _answer(503, "The database cannot be asked now.", headers=headers, **shown)


async def _fault(request: Request, error: Exception) -> Response:
    return _answer(500, "Internal Server Error")


def _shown(request: Request, error: Exception) -> dict[str, str]:
    return {"error": str(error)} if request.app.debug else {}


UNAVAILABLE: Final = (AcquireTimeout, ConnectionFailed, ConnectionLost)
HANDLERS: Final[dict[Any, ExceptionHandler]] = {
    HTTPException: _http,
    ObjectDoesNotExist: _not_found,
    BodyError: _invalid,
    ValidationError: _invalid,
    **dict.fromkeys(UNAVAILABLE, _unavailable),
    Exception: _fault,
}

__all__ = ["HANDLERS", "UNAVAILABLE", "unavailable"]
