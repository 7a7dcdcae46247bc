"""What handlers return, and which response that is."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pydantic
import pytest
from app_client import get, request
from hyperdjango import HyperApp, JSONBytes
from hyperdjango.models import Model
from starlette.responses import HTMLResponse, StreamingResponse


class Thing(Model):
    name: str
    price: Decimal = Decimal("1.50")

    class Meta:
        table = "app_thing"


class Other(pydantic.BaseModel):
    n: int


@dataclass
class Plain:
    name: str


JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("result", "kind", "body"),
    [
        ({"a": 1}, JSON, '{"a":1}'),
        ([], JSON, "[]"),
        ([{"a": Decimal("1.0")}], JSON, '[{"a":1.0}]'),
        ("text ä", TEXT, "text ä"),
        (b"[1]", "application/octet-stream", "[1]"),
        (5, JSON, "5"),
        (Plain("x"), JSON, '{"name":"x"}'),
        ([Plain("x")], JSON, '[{"name":"x"}]'),
        (Other(n=1), JSON, '{"n":1}'),
        ([Other(n=1), {"a": 2}], JSON, '[{"n":1},{"a":2}]'),
        (JSONBytes(b'[{"a": 1}]'), JSON, '[{"a": 1}]'),
        (HTMLResponse("<p>"), "text/html; charset=utf-8", "<p>"),
    ],
    ids=range(12),
)
async def test_a_result_becomes_a_response(result: object, kind: str, body: str) -> None:
    app = HyperApp()

    @app.get("/")
    async def root(request: object) -> object:
        return result

    response = await get(app, "/")
    assert (response.status_code, response.headers["content-type"], response.text) == (200, kind, body)
    assert response.headers["content-length"] == str(len(body.encode()))


async def test_models_write_themselves() -> None:
    app = HyperApp()
    one = Thing(name="a")

    @app.get("/one")
    async def get_one(request: object) -> Thing:
        return one

    @app.get("/many")
    async def get_many(request: object) -> list[Thing]:
        return [one, one]

    assert (await get(app, "/one")).text == one.model_dump_json()
    assert (await get(app, "/many")).text == f"[{one.model_dump_json()},{one.model_dump_json()}]"


async def test_nothing_is_a_response_without_a_body() -> None:
    app = HyperApp()

    @app.delete("/")
    @app.post("/", status_code=202)
    async def root(request: object) -> None:
        return None

    response = await request(app, "DELETE", "/")
    assert (response.status_code, response.content, "content-type" in response.headers) == (204, b"", False)
    assert (await request(app, "POST", "/")).status_code == 202


async def test_a_status_belongs_to_a_route_and_a_response_has_its_own() -> None:
    app = HyperApp()

    @app.post("/made", status_code=201)
    async def made(request: object) -> dict[str, int]:
        return {"id": 1}

    @app.post("/own", status_code=201)
    async def own(request: object) -> JSONBytes:
        return JSONBytes(b"{}", 203, {"x-own": "1"})

    assert (await request(app, "POST", "/made")).status_code == 201
    response = await request(app, "POST", "/own")
    assert (response.status_code, response.headers["x-own"], response.text) == (203, "1", "{}")
    assert response.headers["content-type"] == JSON


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete", "options"])
async def test_each_verb_has_a_decorator_and_others_are_refused(verb: str) -> None:
    app = HyperApp()

    async def handler(request: Any) -> dict[str, str]:
        return {"method": request.method}

    assert getattr(app, verb)("/x")(handler) is handler
    assert (await request(app, verb.upper(), "/x")).json() == {"method": verb.upper()}
    other = "POST" if verb != "post" else "GET"
    response = await request(app, other, "/x")
    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})
    assert verb.upper() in response.headers["allow"]


async def test_a_stream_goes_out_piece_by_piece() -> None:
    app = HyperApp()

    @app.get("/")
    async def root(request: object) -> StreamingResponse:
        async def pieces() -> Any:
            yield b"a"
            yield b"b"

        return StreamingResponse(pieces())

    assert (await get(app, "/")).text == "ab"


async def test_a_result_that_has_no_form_is_a_fault() -> None:
    app = HyperApp()

    @app.get("/")
    async def root(request: object) -> object:
        return object()

    response = await get(app, "/")
    assert (response.status_code, response.json()) == (500, {"detail": "Internal Server Error"})
