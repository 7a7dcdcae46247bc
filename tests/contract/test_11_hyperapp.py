"""Section 11 of the contract: HyperApp, through ASGI, and as `run` serves it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hyperdjango import HyperApp, get_db
from hyperdjango.database import Database, set_db
from hyperdjango.models import Model
from starlette.responses import PlainTextResponse

VERBS = ("get", "post", "put", "patch", "delete", "options")


class City(Model):
    name: str


class Answer(NamedTuple):
    """A response."""

    status: int
    content_type: str
    body: bytes


async def ask(app: Callable[..., Any], path: str, method: str = "GET") -> Answer:
    """Send one request, as an ASGI server does."""
    sent: list[dict[str, Any]] = []
    gone = asyncio.Event()
    requests = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], headers.get("content-type", "").partition(";")[0], body)


@asynccontextmanager
async def served(app: Callable[..., Any]) -> AsyncIterator[None]:
    """Begin and end the app's life, as an ASGI server does."""
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    life = asyncio.create_task(app(scope, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    yield
    await inbox.put({"type": "lifespan.shutdown"})
    assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
    await life


async def answer_to(returned: Any) -> Answer:
    """What a handler's result becomes."""
    app = HyperApp(title="returns")

    @app.get("/")
    async def handler(request: Any) -> Any:
        return returned

    return await ask(app, "/")


@pytest.mark.line("11.arguments")
@pytest.mark.parametrize("name", ["database", "database_url"])
async def test_a_title_and_a_url(url: str, name: str) -> None:
    """HyperApp(title=…, database=url) or database_url=url."""
    arguments: dict[str, Any] = {name: url}
    app = HyperApp(title="Cities", **arguments)
    assert app.title == "Cities"

    @app.get("/")
    async def handler(request: Any) -> dict[str, Any]:
        return {"answer": await get_db().query_val("SELECT 42")}

    async with served(app):
        assert json.loads((await ask(app, "/")).body) == {"answer": 42}


@pytest.mark.line("11.verbs")
@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb_has_a_decorator(verb: str) -> None:
    """@app.get(path) and the other verbs on async def f(request)."""
    app = HyperApp()

    @getattr(app, verb)("/thing")  # type: ignore[untyped-decorator] # by name, so of no known type
    async def handler(request: Any) -> dict[str, str]:
        return {"method": request.method}

    found = await ask(app, "/thing", verb.upper())
    assert (found.status, json.loads(found.body)) == (200, {"method": verb.upper()})
    other = "POST" if verb == "get" else "GET"
    assert (await ask(app, "/thing", other)).status == 405


@pytest.mark.line("11.dict")
async def test_a_dict_is_json() -> None:
    """Returning dict."""
    found = await answer_to({"a": [1, None, "é"]})
    assert (found.status, found.content_type) == (200, "application/json")
    assert json.loads(found.body) == {"a": [1, None, "é"]}


@pytest.mark.line("11.list")
async def test_a_list_is_json() -> None:
    """Returning list."""
    found = await answer_to([{"n": 1}, {"n": 2}])
    assert (found.content_type, json.loads(found.body)) == ("application/json", [{"n": 1}, {"n": 2}])


@pytest.mark.line("11.str")
async def test_a_str_is_text() -> None:
    """Returning str."""
    assert await answer_to("é") == Answer(200, "text/plain", "é".encode())


@pytest.mark.line("11.bytes")
async def test_bytes_are_sent_as_they_are() -> None:
    """Returning bytes."""
    assert await answer_to(b"\x00\xff") == Answer(200, "application/octet-stream", b"\x00\xff")


@pytest.mark.line("11.model")
async def test_a_model_is_json() -> None:
    """Returning a model, or a list of them."""
    city = City(name="Turku")
    city.id = 1
    found = await answer_to(city)
    assert (found.content_type, json.loads(found.body)) == ("application/json", {"id": 1, "name": "Turku"})
    assert json.loads((await answer_to([city])).body) == [{"id": 1, "name": "Turku"}]


@pytest.mark.line("11.response")
async def test_a_response_is_itself() -> None:
    """Or a response."""
    found = await answer_to(PlainTextResponse("made", status_code=201))
    assert found == Answer(201, "text/plain", b"made")


@pytest.mark.line("11.get_db")
async def test_the_pool_opens_on_the_first_query(url: str, clean_environment: pytest.MonkeyPatch) -> None:
    """The pool opens on the first query through get_db(), no connect call in user code."""
    clean_environment.setenv("DATABASE_URL", url)
    seen: list[bool] = []
    app = HyperApp()

    @app.get("/quiet")
    async def quiet(request: Any) -> str:
        return "nothing asked"

    @app.get("/row")
    async def row(request: Any) -> list[dict[str, Any]]:
        seen.append(get_db().is_connected)
        return await get_db().query("SELECT $1::int AS n", 7)

    async with served(app):
        await ask(app, "/quiet")
        assert json.loads((await ask(app, "/row")).body) == [{"n": 7}]
        assert json.loads((await ask(app, "/row")).body) == [{"n": 7}]
    assert seen == [False, True]
    set_db(None)


@pytest.mark.line("11.shutdown")
async def test_the_pool_closes_at_shutdown(url: str, db: Database) -> None:
    """And closes at shutdown, after what runs has been answered."""
    app = HyperApp(database=Database(url, 1, 2, application_name="closing app"))

    @app.get("/")
    async def handler(request: Any) -> str:
        return str(await get_db().query_val("SELECT 'late' FROM pg_sleep(0.2)"))

    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'closing app'"
    async with served(app):
        running = asyncio.create_task(ask(app, "/"))
        while await db.query_val(f"{sessions} AND state = 'active' AND query LIKE '%pg_sleep%'") == 0:
            await asyncio.sleep(0.01)
    assert (await running).body == b"late"
    assert not app.db.is_connected
    async with asyncio.timeout(30):
        while await db.query_val(sessions):
            await asyncio.sleep(0.01)


@pytest.mark.line("11.run")
def test_run_serves_until_it_is_told_to_stop(url: str, tmp_path: Path) -> None:
    """app.run(host, port) serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = tmp_path / "served.py"
    script.write_text(
        f"""
from hyperdjango import HyperApp, get_db

app = HyperApp(title="served", database={url!r})

@app.get("/")
async def index(request):
    return {{"n": await get_db().query_val("SELECT 7")}}

if __name__ == "__main__":
    app.run("127.0.0.1", {port})
""",
        encoding="utf-8",
    )
    # No safe path: the script's folder is where workers that are spawned find it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
    )
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        until = time.monotonic() + 60
        while True:
            try:
                with opener.open(f"http://127.0.0.1:{port}/", timeout=30) as response:
                    assert json.load(response) == {"n": 7}
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    finally:
        process.kill()
        process.communicate()


@pytest.mark.line("11.asgi")
async def test_the_app_is_a_plain_asgi_application() -> None:
    """The app is also a plain ASGI application: other code may wrap it and call it."""
    app = HyperApp()

    @app.get("/inner/{name}")
    async def handler(request: Any, name: str) -> str:
        return name

    async def outer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await app({**scope, "path": f"/inner{scope['path']}"}, receive, send)

    assert await ask(outer, "/x") == Answer(200, "text/plain", b"x")
    assert (await ask(app, "/nowhere")).status == 404
