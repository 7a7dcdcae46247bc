"""The health endpoint: what it says, and what it keeps to itself."""

import asyncio
from urllib.parse import urlsplit

import pytest
from app_client import get
from hyperdjango import HyperApp
from hyperdjango.database._global import set_db


async def test_it_shows_the_pool_and_no_secret_and_no_host(database_url: str) -> None:
    app = HyperApp(database=database_url)
    try:
        response = await get(app, "/health")
    finally:
        await app.db.disconnect()
    assert (response.status_code, response.json()["status"]) == (200, "ok")
    assert response.headers["cache-control"] == "no-store"
    database = response.json()["database"]
    assert database["answers"] is True
    assert database["milliseconds"] > 0
    assert set(app.db.pool_stats()) == set(database["pool"])
    parts = urlsplit(database_url)
    assert parts.password is not None
    assert parts.password not in response.text
    assert (parts.hostname or "") not in response.text


async def test_hosts_are_shown_where_that_is_asked_for_and_passwords_never(database_url: str) -> None:
    app = HyperApp(database=database_url, health_shows_hosts=True)
    try:
        text = (await get(app, "/health")).text
    finally:
        await app.db.disconnect()
    parts = urlsplit(database_url)
    assert parts.password is not None
    assert str(parts.port) in text
    assert parts.password not in text


async def test_it_can_be_moved_and_turned_off() -> None:
    assert (await get(HyperApp(health="/up"), "/up")).json()["status"] == "ok"
    assert (await get(HyperApp(health="/up"), "/health")).status_code == 404
    assert (await get(HyperApp(health=None), "/health")).status_code == 404


async def test_an_app_without_a_database_is_well_and_shows_that_it_has_none() -> None:
    response = await get(HyperApp(), "/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "database": None})


@pytest.mark.parametrize("url", ["my://me:secretword@host/x", "postgresql://me:secretword@host:port/x"])
async def test_a_url_that_makes_no_sense_is_503_and_is_shown_nowhere(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    set_db(None)
    response = await get(HyperApp(), "/health")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json() == {"status": "unavailable", "database": {"answers": False}}
    assert "not configured rightly: ValueError" in caplog.text
    assert "secretword" not in caplog.text


async def test_databases_that_are_configured_wrongly_are_503(caplog: pytest.LogCaptureFixture) -> None:
    app = HyperApp(databases={"default": "my://me:secretword@host/x"})
    response = await get(app, "/health")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert "not configured rightly" in caplog.text
    assert "secretword" not in caplog.text


async def test_a_server_that_is_not_there_is_503_and_nothing_says_why() -> None:
    response = await get(HyperApp(database="postgresql://me:secretword@127.0.0.1:1/x"), "/health")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["status"] == "unavailable"
    assert "127.0.0.1" not in response.text
    assert "secretword" not in response.text


async def test_a_server_that_does_not_answer_in_time_is_503() -> None:
    accepted: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    app = HyperApp(database=f"postgresql://me@127.0.0.1:{port}/x?sslmode=disable", health_timeout=0.2)
    try:
        async with asyncio.timeout(30):  # connect_timeout alone is 10 s, for each attempt
            response = await get(app, "/health")
    finally:
        for writer in accepted:
            writer.close()
        server.close()
        await server.wait_closed()
    assert (response.status_code, response.json()["database"]["answers"]) == (503, False)
