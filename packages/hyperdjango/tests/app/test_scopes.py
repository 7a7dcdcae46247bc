"""What belongs to one request: loaders, and what it has written, taken along in a cookie; and several databases."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest
from app_client import get
from hyperdjango import HyperApp, get_db
from hyperdjango.dataloader import loader
from hyperdjango.models import Model
from hyperdjango.multi_db import scope as scopes
from pg_cluster import Cluster
from starlette.testclient import TestClient


class Note(Model):
    text: str

    class Meta:
        table = "app_note"


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """What a request has written the process has written, too."""
    before = dict(scopes.PROCESS.positions)
    yield
    scopes.PROCESS.positions.clear()
    scopes.PROCESS.positions.update(before)


async def test_each_request_has_loaders_of_its_own_and_its_tasks_share_them() -> None:
    batches: list[list[int]] = []

    @loader
    async def doubled(keys: list[int]) -> list[int]:
        batches.append(keys)
        return [key * 2 for key in keys]

    app = HyperApp()

    @app.get("/{id:int}")
    async def root(request: object, id: int) -> list[int]:
        return [*await asyncio.gather(doubled.load(id), doubled.load(id), doubled.load(1))]

    answers = [(await get(app, "/2")).json() for _ in range(2)]
    assert answers == [[4, 4, 2], [4, 4, 2]]
    assert batches == [[2, 1], [2, 1]]


def test_who_uses_no_loaders_does_not_import_them() -> None:
    script = (
        "import sys; from hyperdjango import HyperApp; from starlette.testclient import TestClient\n"
        "app = HyperApp()\n"
        "@app.get('/')\n"
        "async def root(request): return 'x'\n"
        "assert TestClient(app).get('/').text == 'x'\n"
        "print('hyperdjango.dataloader' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


def with_notes(cluster: Cluster, name: str, replica: int) -> HyperApp:
    nodes = cluster.nodes
    alias = {
        "primary": cluster.url(nodes[0], name),
        "replicas": [cluster.url(nodes[replica], name)],
        "min_size": 1,
        "max_size": 4,
    }
    return HyperApp(databases={"default": alias}, routing={"secure": False})


async def test_a_read_in_the_next_request_sees_the_write_of_the_one_before(
    cluster: Cluster, cluster_database: str
) -> None:
    app = with_notes(cluster, cluster_database, 2)  # the one that is late

    @app.post("/make")
    async def make(request: object) -> None:
        await get_db().execute("CREATE TABLE app_note (id int PRIMARY KEY, text text)")

    @app.post("/note/{id:int}")
    async def write(request: object, id: int) -> Note:
        return await Note.objects.create(id=id, text="new")

    @app.get("/note/{id:int}")
    async def read(request: object, id: int) -> Note:
        return await Note.objects.get(id=id)

    transport = httpx2.ASGITransport(app=app)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
            assert len(app.connections) == 0
            assert (await client.post("/make")).status_code == 204
            assert list(app.connections) == ["default"]
            for key in range(5):
                written = await client.post(f"/note/{key}")
                assert "hyper_routing=" in written.headers["set-cookie"]
                assert (await client.get(f"/note/{key}")).json() == {"id": key, "text": "new"}
            health = (await client.get("/health")).json()
        assert health["databases"]["default"]["answers"] is True
        assert {host["role"] for host in health["databases"]["default"]["hosts"]} == {"primary", "replica"}
        assert str(cluster.nodes[0].port) not in str(health)
    finally:
        await app.connections.close()


async def test_an_app_with_one_server_for_each_alias_sets_no_cookie(database_url: str) -> None:
    app = HyperApp(databases={"default": {"url": database_url, "min_size": 1, "max_size": 2}})

    @app.post("/")
    @app.get("/")
    async def root(request: object) -> object:
        await get_db().execute("CREATE TABLE IF NOT EXISTS made (n int)")
        return await app.connections["default"].query_val("SELECT 1")

    with TestClient(app) as client:
        response = client.get("/")
        assert (response.json(), "set-cookie" in response.headers) == (1, False)
        assert len(app.connections) == 1
    assert len(app.connections) == 0


async def test_the_first_requests_open_the_databases_once_and_a_second_app_is_refused(
    database_url: str,
) -> None:
    def made() -> HyperApp:
        app = HyperApp(databases={"default": {"url": database_url, "min_size": 1, "max_size": 4}})

        @app.get("/")
        async def root(request: object) -> object:
            return await get_db().query_val("SELECT 1")

        return app

    one, other = made(), made()
    try:
        answers = await asyncio.gather(*(get(one, "/") for _ in range(10)))
        assert [answer.json() for answer in answers] == [1] * 10
        assert (await get(other, "/")).status_code == 500
    finally:
        await one.connections.close()
    assert (await get(other, "/")).json() == 1
    await other.connections.close()


async def test_databases_that_cannot_be_opened_are_503_and_are_tried_again() -> None:
    app = HyperApp(databases={"default": "postgresql://me:secretword@127.0.0.1:1/x"})

    @app.get("/")
    async def root(request: object) -> str:
        return "reached"

    for path in ("/", "/health", "/"):
        response = await get(app, path)
        assert response.status_code == 503
        assert "secretword" not in response.text


def test_one_database_has_no_aliases() -> None:
    with pytest.raises(RuntimeError, match="no aliases"):
        _ = HyperApp(database="postgresql://localhost/x").connections
