"""Request: Starlette's, whose body is an error of the client's where it is no JSON."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest


class Request(StarletteRequest):
    """What a handler is called with."""

    async def json(self) -> Any:
        """Return the body, read as JSON.

        Raises:
            HTTPException: 400, it is none.
        """
        try:
            return await super().json()
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, "The body is not JSON.") from error


__all__ = ["Request"]
