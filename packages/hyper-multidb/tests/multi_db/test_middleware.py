"""RoutingMiddleware: what one request has written the next one of the same client sees, and nobody is let down."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from hyperdjango.multi_db import ConnectionManager
from hyperdjango.multi_db import scope as scopes
from hyperdjango.multi_db.lsn import Position
from hyperdjango.multi_db.middleware import Application, RoutingMiddleware
from pg_cluster import Cluster
from routed_sets import connected

Headers = Sequence[tuple[bytes, bytes]]
Handler = Callable[[], Awaitable[object]]


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """What a request has written the process has written, too."""
    before = dict(scopes.PROCESS.positions)
    yield
    scopes.PROCESS.positions.clear()
    scopes.PROCESS.positions.update(before)


async def nothing() -> None:
    """Answers at once."""


def served(handler: Handler) -> Application:
    """An application whose body is what a function returns."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await handler()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": repr(body).encode()})

    return app


async def call(app: Application, *headers: tuple[bytes, bytes], method: str = "GET") -> tuple[Headers, str]:
    """Make one request; return the headers and the body of its response."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": "/", "headers": list(headers)}, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (b"x-own", b"1") in sent[0]["headers"]
    return sent[0]["headers"], sent[1]["body"].decode()


def cookie_in(headers: Headers) -> bytes | None:
    """The name and value of the cookie that is set."""
    found = [value for name, value in headers if name == b"set-cookie"]
    assert len(found) <= 1
    return found[0].partition(b";")[0] if found else None


async def write_something() -> None:
    scopes.current.get().note("default", Position(1, 0x1234))


async def test_a_request_that_wrote_nothing_sets_no_cookie() -> None:
    headers, _ = await call(RoutingMiddleware(served(nothing), ConnectionManager()))
    assert headers == [(b"x-own", b"1")]


async def test_what_was_written_goes_out_in_a_cookie_that_scripts_do_not_see() -> None:
    headers, _ = await call(RoutingMiddleware(served(write_something), ConnectionManager()))
    assert dict(headers)[b"set-cookie"] == (
        b"hyper_routing=default=1-1234; Max-Age=60; Path=/; SameSite=Lax; Secure; HttpOnly"
    )


async def test_attributes_and_names_can_be_chosen() -> None:
    app = RoutingMiddleware(
        served(write_something),
        ConnectionManager(),
        cookie="seen",
        header="X-Seen",
        max_age=5,
        secure=False,
        httponly=False,
        samesite="strict",
        path="/shop",
    )
    headers = dict((await call(app))[0])
    assert headers[b"set-cookie"] == b"seen=default=1-1234; Max-Age=5; Path=/shop; SameSite=Strict"
    assert headers[b"x-seen"] == b"default=1-1234"


async def test_the_next_request_begins_with_what_the_last_one_has_written() -> None:
    async def known() -> object:
        return scopes.current.get().positions

    app = RoutingMiddleware(served(known), ConnectionManager(), header="X-Seen")
    headers, body = await call(app, (b"cookie", b"a=b; hyper_routing=default=1-1234; c=d"))
    assert body == repr({"default": Position(1, 0x1234)})
    assert cookie_in(headers) is None
    _, body = await call(app, (b"X-Seen", b"default=1-99"), (b"cookie", b"hyper_routing=default=1-1"))
    assert body == repr({"default": Position(1, 0x99)})


async def test_a_scope_ends_with_its_request_whatever_becomes_of_it() -> None:
    async def fails() -> None:
        await write_something()
        raise ZeroDivisionError

    outside = scopes.current.get()
    with pytest.raises(ZeroDivisionError):
        await call(RoutingMiddleware(served(fails), ConnectionManager()))
    assert scopes.current.get() is outside


@pytest.mark.parametrize(
    "value",
    [
        b"nonsense",
        b"default=1",
        b"=1-2",
        b"",
        b"default=1-2;x=",
        b"a" * 100_000,
        b"\xff\xfe",
        b"default=1-2\r\nX: y",
        "defäult=1-2".encode(),
        b'"default=1-2"',
        b"default=99999999999-1",
    ],
    ids=range(11),
)
async def test_what_is_no_token_is_ignored(value: bytes) -> None:
    async def known() -> object:
        return dict(scopes.current.get().positions)

    app = RoutingMiddleware(served(known), ConnectionManager(), header="x-seen")
    for headers in ([(b"cookie", b"hyper_routing=" + value)], [(b"x-seen", value)]):
        response, body = await call(app, *headers)
        assert body in ("{}", repr({"default": Position(1, 2)}))  # a `;` ends the cookie
        assert cookie_in(response) is None


async def test_a_token_that_has_grown_too_long_is_not_sent() -> None:
    async def much() -> None:
        for n in range(2000):
            scopes.current.get().note(f"alias{n}", Position(1, n))

    headers, _ = await call(RoutingMiddleware(served(much), ConnectionManager()))
    assert cookie_in(headers) is None


async def test_without_cookie_and_header_requests_are_scopes_all_the_same() -> None:
    app = RoutingMiddleware(served(write_something), ConnectionManager(), cookie=None)
    headers, _ = await call(app)
    assert headers == [(b"x-own", b"1")]
    assert scopes.current.get() is scopes.PROCESS


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_other_protocols_pass_through(kind: str) -> None:
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.append((*arguments, scopes.current.get()))

    given: Any = ({"type": kind}, object(), object())
    await RoutingMiddleware(app, ConnectionManager())(*given)
    assert seen == [(*given, scopes.PROCESS)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cookie": "a b"}, "can be called 'a b'"),
        ({"header": "x\r\ny"}, "can be called"),
        ({"max_age": 0}, "max_age"),
        ({"samesite": "loose"}, "samesite"),
        ({"samesite": "none", "secure": False}, "not secure"),
        ({"path": "/; Domain=evil"}, "path"),
    ],
    ids=range(6),
)
def test_what_makes_no_cookie_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RoutingMiddleware(served(nothing), ConnectionManager(), **options)


# With servers


async def test_a_read_in_the_next_request_is_never_older_than_the_write_before(
    cluster: Cluster, cluster_database: str
) -> None:
    """The one replica is 300 ms behind."""
    slow = [cluster.url(cluster.replicas[1], cluster_database)]
    async with connected(cluster, cluster_database, replicas=slow) as connections:
        await connections["default"].execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
        await connections["default"].execute("INSERT INTO t VALUES (1, 0)")
        await asyncio.to_thread(cluster.wait_until_caught_up)
        value = 0

        async def write() -> None:
            await connections["default"].execute("UPDATE t SET n = $1 WHERE id = 1", value)

        async def write_many() -> None:
            await connections["default"].execute_many("UPDATE t SET n = $1 WHERE id = 1", [(value,)])

        async def read() -> object:
            return await connections.reader().query_val("SELECT n FROM t WHERE id = 1")

        reading = RoutingMiddleware(served(read), connections)
        for value, handler in enumerate([write, write_many, write, write_many], start=1):
            headers, _ = await call(RoutingMiddleware(served(handler), connections), method="POST")
            cookie = cookie_in(headers)
            assert cookie is not None
            _, body = await call(reading, (b"cookie", cookie))
            assert body == str(value)
            # Without the cookie it is somebody else, who may see it later.
            _, body = await call(reading)
            assert int(body) <= value


async def test_methods_that_are_pinned_read_from_the_primary(cluster: Cluster, cluster_database: str) -> None:
    async with connected(cluster, cluster_database) as connections:

        async def read() -> object:
            return await connections.reader().query_val("SELECT pg_is_in_recovery()")

        app = RoutingMiddleware(served(read), connections, pin_methods=("post",))
        assert (await call(app, method="GET"))[1] == "True"
        assert (await call(app, method="POST"))[1] == "False"
        assert (await call(app, method="GET"))[1] == "True"
