"""Which database handlers have, when it is opened, and when it is closed."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from app_client import get
from hyperdjango import Database, HyperApp, get_db, set_db, settings
from hyperdjango.database._global import peek_db
from hyperdjango.models import Model
from postgres_servers import Server
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

NAME = "SELECT current_database()"


class Word(Model):
    text: str

    class Meta:
        table = "app_word"


class Guard:
    """Middleware, as it stands around a mounted app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def named(url: str | None = None, **options: Any) -> HyperApp:
    app = HyperApp(database=url, **options)

    @app.get("/name")
    async def name(request: object) -> str:
        return str(await get_db().query_val(NAME))

    return app


def is_connected(app: HyperApp) -> bool:
    return app.db.is_connected


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def test_nothing_is_opened_before_the_first_query_and_all_is_closed_at_the_end(database_url: str) -> None:
    app = named(database_url)

    @app.get("/nothing")
    async def nothing(request: object) -> None: ...

    with TestClient(app) as client:
        assert client.get("/nothing").status_code == 204
        assert is_connected(app) is False
        assert client.get("/name").text == name_of(database_url)
        assert is_connected(app) is True
    assert is_connected(app) is False
    assert app.db.pool_stats()["total"] == 0


def test_an_app_may_live_again_in_another_event_loop(database_url: str) -> None:
    app = named(database_url)
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/name").text == name_of(database_url)

    async def ask() -> str:
        return (await get(app, "/name")).text

    async def end() -> None:
        await app.db.disconnect()

    assert [asyncio.run(ask()) for _ in range(2)] == [name_of(database_url)] * 2
    asyncio.run(end())


@pytest.mark.parametrize("keyword", ["database", "database_url"])
def test_the_url_has_two_names(keyword: str) -> None:
    app = HyperApp(**{keyword: "postgresql://somebody:secretword@localhost/thisone"})  # type: ignore[arg-type]
    assert app.db.url == "postgresql://somebody:***@localhost/thisone"


def test_a_database_said_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="said twice"):
        HyperApp(database="postgresql://localhost/a", database_url="postgresql://localhost/b")


def test_a_url_that_makes_no_sense_is_refused_at_once_and_not_shown() -> None:
    with pytest.raises(ValueError, match="nonsense") as caught:
        HyperApp(database="postgresql://me:secretword@localhost/x?nonsense=1")
    frame = caught.tb
    while frame is not None:
        if "hyperdjango/app" in frame.tb_frame.f_code.co_filename:
            assert "secretword" not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next  # type: ignore[assignment]


async def test_each_of_several_apps_has_its_own_database_and_models_have_it_too(server: Server) -> None:
    set_db(None)
    names = [server.create_database() for _ in range(2)]
    apps = [named(server.url_for(name)) for name in names]
    for app in apps:

        @app.get("/word")
        async def word(request: object) -> str:
            return (await Word.objects.get(id=1)).text

        @app.get("/beside")
        async def beside(request: object) -> list[str]:
            blocking = asyncio.to_thread(lambda: get_db().sync.query_val(NAME))
            return list(await asyncio.gather(get_db().query_val(NAME), blocking))

    try:
        for app, name in zip(apps, names, strict=True):
            await app.db.connect()
            await app.db.execute("CREATE TABLE app_word (id int PRIMARY KEY, text text)")
            await app.db.execute("INSERT INTO app_word VALUES (1, $1)", name)
        answers = await asyncio.gather(*(get(app, "/word") for app in apps * 5))
        assert [answer.text for answer in answers] == names * 5
        for app, name in zip(apps, names, strict=True):
            assert (await get(app, "/beside")).json() == [name, name]
        assert peek_db() is None
    finally:
        for app, name in zip(apps, names, strict=True):
            await app.db.disconnect()
            server.drop_database(name)


def test_what_mounted_apps_have_opened_is_drained_with_the_outer_one(database_url: str) -> None:
    outer, middle, inner = named(database_url), named(database_url), named(database_url)
    middle.mount("/inner", Guard(inner))
    outer.mount("/middle", middle)
    for _ in range(2):
        with TestClient(outer) as client:
            assert client.get("/middle/inner/name").text == name_of(database_url)
            assert [is_connected(app) for app in (outer, middle, inner)] == [False, False, True]
            assert client.get("/middle/name").text == client.get("/name").text
            assert [is_connected(app) for app in (outer, middle, inner)] == [True, True, True]
        assert [is_connected(app) for app in (outer, middle, inner)] == [False, False, False]


def test_without_a_database_it_is_the_process_s_and_is_closed_with_the_app(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_db(None)
    monkeypatch.setenv("DATABASE_URL", database_url)
    app = named()
    with TestClient(app) as client:
        assert peek_db() is None
        assert client.get("/name").text == name_of(database_url)
        db = get_db()
        assert app.db is db
    assert not db.is_connected


def test_what_others_have_connected_is_left_open(database_url: str) -> None:
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        db = runner.run(Database(database_url, 1, 2).connect())
        stack.callback(lambda: runner.run(db.disconnect()))
        set_db(db)
        with TestClient(named()) as client:
            assert client.get("/name").text == name_of(database_url)
        assert db.is_connected


async def test_without_any_database_the_app_serves_what_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    set_db(None)
    assert settings.DATABASE_URL is None
    app = HyperApp()

    @app.get("/")
    async def root(request: object) -> str:
        return "here"

    assert (await get(app, "/")).text == "here"
    assert (await get(app, "/health")).json() == {"status": "ok", "database": None}
    with pytest.raises(RuntimeError, match="no database"):
        _ = app.db


def test_a_lifespan_of_the_user_s_has_the_database_to_its_end(database_url: str) -> None:
    seen: list[object] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: HyperApp) -> AsyncGenerator[dict[str, int], None]:
        seen.append(await get_db().query_val("SELECT 1"))
        yield {"kept": 7}
        seen.append(await get_db().query_val("SELECT 2"))

    app = named(database_url, lifespan=lifespan)

    @app.get("/kept")
    async def kept(request: Any) -> int:
        return int(request.state.kept)

    with TestClient(app) as client:
        assert client.get("/kept").json() == 7
    assert seen == [1, 2]
    assert not app.db.is_connected


def test_the_last_of_several_threads_closes_the_pool(database_url: str) -> None:
    app = named(database_url)
    first_is_done, second_has_begun = threading.Event(), threading.Event()
    names: list[str] = []

    def second() -> None:
        with TestClient(app) as client:
            second_has_begun.set()
            assert first_is_done.wait(60)
            assert app.db.is_connected
            names.append(client.get("/name").text)

    thread = threading.Thread(target=second)
    with TestClient(app) as client:
        thread.start()
        assert second_has_begun.wait(60)
        names.append(client.get("/name").text)
    first_is_done.set()
    thread.join()
    assert names == [name_of(database_url)] * 2
    assert not app.db.is_connected


def test_what_runs_when_the_server_stops_is_answered_before_the_pool_closes(database_url: str) -> None:
    app = named(database_url)

    @app.get("/slow")
    async def slow(request: object) -> Any:
        return await get_db().query_val("SELECT 5 FROM pg_sleep(0.3)")

    async def main() -> Any:
        lifespan = app.router.lifespan_context(app)
        await lifespan.__aenter__()
        await get(app, "/name")
        answer = asyncio.create_task(get(app, "/slow"))
        while app.db.pool_stats()["busy"] == 0:  # noqa: ASYNC110 - nobody sets an Event there
            await asyncio.sleep(0.01)
        await lifespan.__aexit__(None, None, None)
        return (await answer).json()

    assert asyncio.run(main()) == 5
