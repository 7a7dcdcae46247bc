"""Requests to an application in the test's own event loop, without a server."""

from typing import Any

import httpx2
from starlette.types import ASGIApp


async def request(app: ASGIApp, method: str, path: str, **options: Any) -> httpx2.Response:
    """Make one request. Faults are answered, as by a server, and not raised."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
        return await client.request(method, path, **options)


async def get(app: ASGIApp, path: str, **options: Any) -> httpx2.Response:
    """As `request`, by GET."""
    return await request(app, "GET", path, **options)
