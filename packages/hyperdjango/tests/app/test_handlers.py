"""What handlers are called with: values of the path, the request, the body; and what is refused at decoration."""

import datetime as dt
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pydantic
import pytest
from app_client import get, request
from hyperdjango import HyperApp
from hyperdjango.app import Request
from hyperdjango.models import Field, Model
from starlette.requests import Request as StarletteRequest


class Kind(enum.Enum):
    BIG = "big"


@dataclass
class Item:
    name: str
    count: int = 1


@dataclass
class Bid:
    total: Decimal


@dataclass
class Order:
    id: UUID
    at: dt.datetime
    total: Decimal
    kind: Kind
    items: list[Item]
    state: Literal["new", "old"] = "new"
    note: str | None = None
    extra: dict[str, float] = field(default_factory=dict)
    anything: Any = None


class Tea(Model):
    name: str
    grams: int

    class Meta:
        table = "app_tea"


class ClosedTea(Model):
    id: int = Field(init=False)
    name: str
    made: dt.datetime = Field(db_default="now()", init=False)

    class Meta:
        table = "app_closed_tea"


class Outside(pydantic.BaseModel):
    n: int


async def test_values_of_the_path_come_typed_and_by_name() -> None:
    app = HyperApp()

    @app.get("/a/{id:int}/{name}/{key:uuid}")
    async def all_of_them(request: Request, key: UUID, id: int, name: str) -> list[str]:
        return [repr(id), repr(name), type(key).__name__]

    @app.get("/some/{id:int}/{name}")
    async def one_of_them(request: object, name: str) -> str:
        return name

    @app.get("/none/{id:int}")
    async def none(request: Request) -> dict[str, int]:
        return request.path_params

    path = "/a/5/x/a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert (await get(app, path)).json() == ["5", "'x'", "UUID"]
    assert (await get(app, "/some/5/x")).text == "x"
    assert (await get(app, "/none/7")).json() == {"id": 7}
    assert (await get(app, "/none/seven")).status_code == 404


async def test_the_request_may_be_left_out_or_stand_anywhere() -> None:
    app = HyperApp()

    @app.get("/without/{id:int}")
    async def without(id: int) -> int:
        return id

    @app.get("/last/{id:int}")
    async def last(id: int, asked: StarletteRequest) -> str:
        return f"{id} {asked.method}"

    @app.get("/keyword")
    async def keyword(*, request: Request) -> str:
        return request.url.path

    assert (await get(app, "/without/3")).json() == 3
    assert (await get(app, "/last/3")).text == "3 GET"
    assert (await get(app, "/keyword")).text == "/keyword"


def functions() -> dict[str, Callable[..., Any]]:
    def plain(request: object) -> None: ...

    async def too_much(request: object, page: int) -> None: ...

    async def mistaken(request: object, id: int) -> None: ...

    return {"plain": plain, "too_much": too_much, "mistaken": mistaken}


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("plain", "/", "plain is no coroutine function: write it with async def"),
        ("too_much", "/", "nothing is given to 'page'"),
        ("mistaken", "/{id}", r"write \{id:int\} there"),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused_at_once(name: str, path: str, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        HyperApp().get(path)(functions()[name])


async def test_what_has_a_default_may_stay_without_a_value() -> None:
    app = HyperApp()

    @app.get("/")
    async def root(request: object, page: int = 3) -> int:
        return page

    assert (await get(app, "/")).json() == 3


def app_with(handler: Callable[..., Awaitable[object]]) -> HyperApp:
    app = HyperApp()
    app.post("/")(handler)
    return app


async def test_a_body_is_read_as_json() -> None:
    async def handler(request: Request) -> object:
        return [await request.json()]

    app = app_with(handler)
    assert (await request(app, "POST", "/", json={"a": 1})).json() == [{"a": 1}]
    for broken in (b"{", b"", b"\xff", b"[" * 100_000):
        response = await request(app, "POST", "/", content=broken)
        assert (response.status_code, response.json()) == (400, {"detail": "The body is not JSON."})


async def test_a_dataclass_is_made_of_the_body() -> None:
    async def handler(request: object, order: Order) -> list[str]:
        assert isinstance(order.items[0], Item)
        return [repr(order.at), repr(order.total), repr(order.kind), repr(order.items), repr(order.extra)]

    body = {
        "id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "at": "2026-11-23T12:00:00",
        "total": "1.50",
        "kind": "big",
        "items": [{"name": "x"}],
        "extra": {"a": 1},
        "note": None,
    }
    assert (await request(app_with(handler), "POST", "/", json=body)).json() == [
        "datetime.datetime(2026, 11, 23, 12, 0)",
        "Decimal('1.50')",
        "<Kind.BIG: 'big'>",
        "[Item(name='x', count=1)]",
        "{'a': 1.0}",
    ]


async def test_all_that_is_wrong_in_a_body_is_said_at_once() -> None:
    async def handler(request: object, order: Order) -> None: ...

    body = {
        "id": "x",
        "at": 5,
        "total": True,
        "kind": "small",
        "items": [{"name": 1}, 5, {"name": "a", "count": True}],
        "state": "gone",
        "note": [],
        "extra": {"a": "b"},
        "more": 1,
    }
    response = await request(app_with(handler), "POST", "/", json=body)
    assert response.status_code == 422
    assert response.json()["errors"] == {
        "id": "must be UUID",
        "at": "must be datetime",
        "total": "must be a number",
        "kind": "must be one of 'big'",
        "items.0.name": "must be a string, not an integer",
        "items.1": "must be an object, not an integer",
        "items.2.count": "must be an integer, not a bool",
        "state": "must be one of 'new', 'old'",
        "note": "must be a string, not an array",
        "extra.a": "must be a number, not a string",
        "more": "is not known",
    }
    for wrong, said in ((b"null", "not null"), (b"[]", "not an array")):
        response = await request(app_with(handler), "POST", "/", content=wrong)
        assert response.json()["errors"] == {"": f"must be an object, {said}"}


@pytest.mark.parametrize("total", ["1e1001", "-2.5E-100000000", "1e100000000"])
async def test_a_number_of_a_body_says_no_more_digits_than_it_has(total: str) -> None:
    async def handler(request: object, bid: Bid) -> Bid:
        return bid

    app = app_with(handler)
    response = await request(app, "POST", "/", json={"total": total})
    assert response.status_code == 422
    assert response.json()["errors"] == {"total": "must be a number with an exponent of at most 1000"}
    assert (await request(app, "POST", "/", json={"total": "1.5e3"})).text == '{"total":1500}'
    written = "0." + "0" * 1100 + "1"
    assert (await request(app, "POST", "/", json={"total": written})).text == f'{{"total":{written}}}'


async def test_a_model_validates_the_body() -> None:
    async def handler(request: object, tea: Tea) -> Tea:
        return tea

    app = app_with(handler)
    response = await request(app, "POST", "/", json={"name": "Assam", "grams": 5})
    assert (response.status_code, response.json()["name"]) == (200, "Assam")
    response = await request(app, "POST", "/", json={"name": 5, "sort": 1})
    assert response.status_code == 422
    assert set(response.json()["errors"]) == {"name", "sort", "grams"}


async def test_a_body_does_not_set_what_is_not_for_clients() -> None:
    async def handler(request: object, tea: list[ClosedTea]) -> list[ClosedTea]:
        return tea

    app = app_with(handler)
    assert (await request(app, "POST", "/", json=[{"name": "Assam"}])).text == '[{"name":"Assam"}]'
    given = [{"name": "a"}, {"name": "b", "id": 7, "made": "2020-01-01T00:00:00Z"}]
    response = await request(app, "POST", "/", json=given)
    assert response.status_code == 422
    assert response.json()["errors"] == {"1.id": "is not set from here", "1.made": "is not set from here"}


async def test_a_model_of_pydantic_validates_the_body_and_lists_may_hold_any() -> None:
    async def handler(request: object, given: list[Outside]) -> int:
        return sum(one.n for one in given)

    app = app_with(handler)
    assert (await request(app, "POST", "/", json=[{"n": 1}, {"n": 2}])).json() == 3
    response = await request(app, "POST", "/", json=[{"n": 1}, {"n": "x"}])
    assert (response.status_code, list(response.json()["errors"])) == (422, ["1.n"])


async def test_what_a_dataclass_itself_refuses_is_the_clients_error() -> None:
    @dataclass
    class Even:
        n: int

        def __post_init__(self) -> None:
            if self.n % 2:
                raise ValueError("n must be even")

    async def handler(request: object, even: Even) -> int:
        return even.n

    app = HyperApp()
    handler.__annotations__["even"] = Even
    app.post("/")(handler)
    assert (await request(app, "POST", "/", json={"n": 2})).json() == 2
    assert (await request(app, "POST", "/", json={"n": 3})).json()["errors"] == {"": "n must be even"}
