"""What an error of a handler is as a response, and what it does not tell."""

from collections.abc import Awaitable, Callable

import pytest
from app_client import get, request
from hyperdjango import (
    AcquireTimeout,
    ConnectionFailed,
    ConnectionLost,
    Database,
    HyperApp,
    OutcomeUnknown,
    get_db,
)
from hyperdjango.models import Model
from hyperdjango.models.errors import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

SECRET = "the password is 1234"


class Absent(Model):
    name: str

    class Meta:
        table = "app_absent"


def failing(error: Exception, **options: object) -> HyperApp:
    app = HyperApp(**options)  # type: ignore[arg-type]

    @app.get("/")
    async def root(request: object) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (ZeroDivisionError(SECRET), 500, {"detail": "Internal Server Error"}),
        (OutcomeUnknown(SECRET), 500, {"detail": "Internal Server Error"}),
        (Absent.DoesNotExist(SECRET), 404, {"detail": "Not Found"}),
        (
            ValidationError("Tea", {"name": "is missing"}),
            422,
            {"detail": "Not what is taken here.", "errors": {"name": "is missing"}},
        ),
        (AcquireTimeout(SECRET), 503, {"detail": "The database cannot be asked now."}),
        (ConnectionFailed(SECRET), 503, {"detail": "The database cannot be asked now."}),
        (ConnectionLost(SECRET), 503, {"detail": "The database cannot be asked now."}),
        (HTTPException(418, "short and stout"), 418, {"detail": "short and stout"}),
    ],
    ids=range(8),
)
async def test_an_error_is_a_status_and_keeps_its_text(error: Exception, status: int, body: object) -> None:
    response = await get(failing(error), "/")
    assert (response.status_code, response.json()) == (status, body)
    assert response.headers.get("retry-after") == ("1" if status == 503 else None)
    assert SECRET not in str(response.headers)


@pytest.mark.parametrize(
    ("method", "retry_after"),
    [("GET", "1"), ("OPTIONS", "1"), ("POST", None), ("PUT", None), ("PATCH", None), ("DELETE", None)],
)
async def test_clients_are_not_asked_to_repeat_what_may_have_written(
    method: str, retry_after: str | None
) -> None:
    app = HyperApp()

    @app.route("/", [method])
    async def root(request: object) -> None:
        raise ConnectionLost(SECRET)

    response = await request(app, method, "/")
    assert (response.status_code, response.headers.get("retry-after")) == (503, retry_after)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(SECRET), Absent.DoesNotExist(SECRET), AcquireTimeout(SECRET)], ids=range(3)
)
async def test_debug_shows_it(error: Exception) -> None:
    assert SECRET in (await get(failing(error, debug=True), "/")).text


async def test_a_handler_of_the_users_comes_before_ours() -> None:
    async def mine(request: Request, error: Exception) -> Response:
        return PlainTextResponse("mine", 410)

    app = failing(Absent.DoesNotExist("x"), exception_handlers={Absent.DoesNotExist: mine})
    response = await get(app, "/")
    assert (response.status_code, response.text) == (410, "mine")


async def test_text_that_has_no_utf8_is_a_fault_of_the_handler_and_in_a_body_the_clients() -> None:
    app = HyperApp()

    @app.get("/")
    async def root(request: object) -> object:
        return {"a": "x\ud800y"}

    @app.post("/")
    async def make(request: object, absent: Absent) -> None: ...

    assert (await get(app, "/")).status_code == 500
    response = await request(app, "POST", "/", content=b'{"name": "a", "x\\ud800": 1}')
    assert (response.status_code, list(response.json()["errors"])) == (422, ["x?"])


async def test_a_row_that_is_not_there_is_not_found(database_url: str) -> None:
    app = HyperApp(database=Database(database_url, 0, 2))

    @app.get("/{id:int}")
    async def one(request: object, id: int) -> Absent:
        return await Absent.objects.get(id=id)

    await app.db.connect()
    try:
        await app.db.execute("CREATE TABLE app_absent (id bigint PRIMARY KEY, name text NOT NULL)")
        await app.db.execute("INSERT INTO app_absent VALUES (1, 'a')")
        assert (await get(app, "/1")).json() == {"id": 1, "name": "a"}
        assert (await get(app, "/2")).status_code == 404
    finally:
        await app.db.disconnect()


async def test_a_server_that_is_not_there_is_503() -> None:
    app = HyperApp(database="postgresql://nobody:secretword@127.0.0.1:1/x")

    @app.get("/")
    async def root(request: object) -> object:
        return await get_db().query("SELECT 1")

    response = await get(app, "/")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "secretword" not in repr(app.db) + response.text


async def test_a_pool_that_is_full_is_503(database_url: str) -> None:
    async with Database(database_url, 1, 1, acquire_timeout=0.5) as db:
        app = HyperApp(database=db)

        @app.get("/")
        async def root(request: object) -> object:
            async with get_db().transaction():
                return await get_db().query("SELECT 1")

        async with db.transaction():
            await db.query("SELECT 1")
            response = await _outside(lambda: get(app, "/"))
        assert response == 503
        assert (await get(app, "/")).status_code == 200


async def _outside(call: Callable[[], Awaitable[object]]) -> int:
    """Call it where no transaction is running."""
    import asyncio
    import contextvars

    response = await asyncio.get_running_loop().create_task(_awaited(call), context=contextvars.Context())
    return int(response.status_code)  # type: ignore[attr-defined]


async def _awaited(call: Callable[[], Awaitable[object]]) -> object:
    return await call()
