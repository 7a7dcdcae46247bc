"""What a handler returns, sent as a response. `Endpoint` calls `send_result` for whatever it got."""
# What a handler returns may be anything:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Send

from hyperdjango.app._json import to_json

_JSON: Final = (b"content-type", b"application/json")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_BYTES: Final = (b"content-type", b"application/octet-stream")


class JSONBytes(Response):
    """Bytes that are JSON already, as `query_json` gives them: they go out untouched."""

    media_type = "application/json"

    def __init__(
        self, content: bytes, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Take them as the body.

        Args:
            content: JSON in UTF-8; nobody looks whether it is.
            status_code: Of the response.
            headers: More of them.
        """
        if headers is not None:
            super().__init__(content, status_code, headers)
            return
        self.status_code = status_code
        self.background = None
        self.body = content
        self.raw_headers = [(b"content-length", b"%d" % len(content)), _JSON]


def body_of(result: Any) -> tuple[bytes, tuple[bytes, bytes]]:
    """Return a result as a body, and the header that says what it is.

    Raises:
        NotJSON: Its class has no form.
    """
    if isinstance(result, dict):  # most often
        return to_json(result), _JSON
    if isinstance(result, str):
        return result.encode(), _TEXT
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result), _BYTES
    if _is_model(result):
        return _dumped(result).encode(), _JSON
    if isinstance(result, list) and result and _is_model(result[0]):
        pieces = [_dumped(each) if _is_model(each) else to_json(each).decode() for each in result]
        return f"[{','.join(pieces)}]".encode(), _JSON
    return to_json(result), _JSON


def _is_model(value: Any) -> bool:
    """Whether it is an instance of ours or of pydantic's: each writes its own JSON."""
    return hasattr(type(value), "model_dump_json")


def _dumped(instance: Any) -> str:
    text: str = instance.model_dump_json()
    return text


async def send_result(result: Any, status_code: int | None, send: Send) -> None:
    """Send what a handler returned, where that is no response itself.

    Args:
        result: None is a response without a body.
        status_code: None is 200, or 204 for None.
        send: The server's.
    """
    if result is None:
        status = 204 if status_code is None else status_code
        headers = [] if status in {204, 304} else [(b"content-length", b"0")]
        body = b""
    else:
        status = 200 if status_code is None else status_code
        body, kind = body_of(result)
        headers = [(b"content-length", b"%d" % len(body)), kind]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


__all__ = ["JSONBytes", "body_of", "send_result"]
