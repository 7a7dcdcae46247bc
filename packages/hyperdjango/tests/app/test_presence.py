"""A client that goes away ends its handler, and nothing but its own handler."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from hyperdjango import Database, HyperApp, get_db
from hyperdjango.app import Request
from starlette.responses import StreamingResponse


class Client:
    """One request as a server would bring it, with a client that can go away."""

    def __init__(self, app: HyperApp, path: str = "/", *, method: str = "GET") -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[Any] = []
        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
        self.task = asyncio.ensure_future(app(scope, self.incoming.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def body(self, data: bytes = b"", *, more: bool = False) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def leave(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})


async def becomes(ask: Callable[[], Awaitable[object]], value: object) -> None:
    """Ask until that is the answer."""
    async with asyncio.timeout(60):
        while await ask() != value:  # noqa: ASYNC110 - nobody here could set an Event
            await asyncio.sleep(0.01)


async def is_left(client: Client, count: int) -> None:
    """Wait until so many messages are left to be read."""

    async def ask() -> int:
        return client.incoming.qsize()

    await becomes(ask, count)


def app_with(handler: Callable[..., Awaitable[object]], **options: Any) -> HyperApp:
    app = HyperApp(health=None, **options)
    app.post("/")(handler)
    app.get("/")(handler)
    return app


async def test_a_client_that_goes_away_cancels_the_query_and_the_pool_stays_whole(database_url: str) -> None:
    async with Database(database_url, 1, 2) as db, Database(database_url, 1, 1) as beside:

        async def handler(request: object) -> None:
            await get_db().query("SELECT pg_sleep(3600)")

        client = Client(app_with(handler, database=db))
        client.body()
        running = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)' AND state = 'active'"
        )
        await becomes(lambda: beside.query_val(running), 1)
        client.leave()
        await client.task
        assert client.sent == []
        await becomes(lambda: beside.query_val(running), 0)
        assert db.pool_stats()["busy"] == 0
        assert await db.query_val("SELECT 1") == 1


async def test_in_a_transaction_what_was_written_is_rolled_back(database_url: str) -> None:
    async with Database(database_url, 1, 2) as db:
        await db.execute("CREATE TABLE written (n int)")
        is_waiting = asyncio.Event()

        async def handler(request: object) -> None:
            async with get_db().transaction():
                await get_db().execute("INSERT INTO written VALUES (1)")
                is_waiting.set()
                await asyncio.sleep(3600)

        client = Client(app_with(handler, database=db))
        client.body()
        await is_waiting.wait()
        client.leave()
        await client.task
        assert await db.query_val("SELECT count(*) FROM written") == 0
        assert db.pool_stats()["busy"] == 0


async def test_a_cancellation_of_others_goes_on() -> None:
    async def handler(request: object) -> None:
        await asyncio.sleep(3600)

    client = Client(app_with(handler))
    client.body()
    await asyncio.sleep(0.3)
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task


async def test_a_handler_that_does_not_mind_may_finish_and_its_task_is_not_cancelled_after() -> None:
    left: list[int] = []

    async def handler(request: object) -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return "unheard"

    app = app_with(handler)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        task = asyncio.current_task()
        assert task is not None
        left.append(task.cancelling())

    client = Client(watched)  # type: ignore[arg-type]
    client.body()
    client.leave()
    await client.task
    assert (client.sent, left) == ([], [0])


async def test_a_body_that_comes_slowly_is_read_whole_whoever_reads_first() -> None:
    is_late = asyncio.Event()

    async def handler(request: Request) -> bytes:
        await is_late.wait()  # the watch has read the first piece by then
        return await request.body()

    client = Client(app_with(handler), method="POST")
    client.body(b"one ", more=True)
    await is_left(client, 0)
    is_late.set()
    await asyncio.sleep(0.3)
    client.body(b"two ", more=True)
    await asyncio.sleep(0.3)
    client.body(b"three")
    await client.task
    assert client.sent[1]["body"] == b"one two three"


async def test_a_body_is_not_read_ahead_of_the_handler() -> None:
    is_late = asyncio.Event()

    async def handler(request: Request) -> bytes:
        await is_late.wait()
        return await request.body()

    client = Client(app_with(handler), method="POST")
    for _ in range(5):
        client.body(b"x", more=True)
    client.body(b"y")
    await is_left(client, 5)
    await asyncio.sleep(0.3)  # more looks, and none of them takes a piece
    assert client.incoming.qsize() == 5
    is_late.set()
    await client.task
    assert client.sent[1]["body"] == b"xxxxxy"


async def test_a_client_that_goes_while_its_body_is_read_is_noticed_there() -> None:
    async def handler(request: Request) -> bytes:
        return await request.body()

    app = app_with(handler)
    client = Client(app, method="POST")
    client.body(b"x", more=True)
    await asyncio.sleep(0.3)
    client.leave()
    await client.task
    assert client.sent == []


async def test_nobody_reads_any_more_after_the_response() -> None:
    async def handler(request: object) -> str:
        await asyncio.sleep(0.35)
        return "done"

    client = Client(app_with(handler))
    client.body()
    await client.task
    assert client.sent[1]["body"] == b"done"
    await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others, timeout=5) if others else None
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_server_whose_receive_fails_does_not_end_a_handler_that_does_not_read() -> None:
    async def handler(request: object) -> str:
        await asyncio.sleep(0.4)
        return "done"

    sent: list[Any] = []

    async def receive() -> Any:
        raise OSError("broken")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    await app_with(handler)(scope, receive, send)
    assert sent[1]["body"] == b"done"


async def test_a_stream_that_waits_for_nothing_ends_with_its_client_and_lets_others_run() -> None:
    came: list[str] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            yield b"x"
        came.append("its end")

    async def handler(request: object) -> StreamingResponse:
        return StreamingResponse(pieces())

    client = Client(app_with(handler))
    client.body()
    asyncio.get_running_loop().call_later(0.05, client.leave)
    await client.task
    assert came == []


async def test_a_stream_that_is_left_gives_its_connection_back_at_once(database_url: str) -> None:
    async with Database(database_url, 1, 1) as db:

        async def pieces() -> AsyncGenerator[str, None]:
            async with db.transaction():
                await db.execute("SELECT 1")
                until = time.monotonic() + 10
                while time.monotonic() < until:
                    yield "x"

        async def handler(request: object) -> StreamingResponse:
            return StreamingResponse(pieces())

        client = Client(app_with(handler))
        client.body()
        asyncio.get_running_loop().call_later(0.2, client.leave)
        await client.task
        assert client.sent[1]["body"] == b"x"
        assert db.pool_stats()["busy"] == 0
