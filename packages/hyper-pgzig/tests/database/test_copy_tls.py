"""COPY and streams through TLS, where another layer keeps what the socket does not take yet."""

from collections.abc import Callable, Iterator

import pytest
from hyperdjango.database import Database, InvalidTextRepresentation
from hyperdjango.database._embedded_server import EmbeddedServer, TlsFiles
from pg_certificates import Authority

StartServer = Callable[..., EmbeddedServer]
COUNT = 200_000


@pytest.fixture(scope="module")
def tls_url(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A server that has a certificate, and no other way in."""
    folder = tmp_path_factory.mktemp("tls")
    signed = Authority(folder).sign("localhost")
    server = start_server("system", tls=TlsFiles(signed.certificate_file, signed.key_file))
    return f"{server.url}?sslmode=require"


async def test_data_goes_both_ways(tls_url: str) -> None:
    async with Database(tls_url, 1, 2) as db:
        await db.execute("DROP TABLE IF EXISTS t; CREATE UNLOGGED TABLE t (a int, b text)")
        assert await db.query_val("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        lines = (f"{n}\tvalue {n}\n" for n in range(COUNT))
        assert await db.execute("COPY t FROM STDIN", lines) == f"COPY {COUNT}"
        records = ((n, f"value {n}") for n in range(COUNT))
        assert await db.copy_records("t", records) == f"COPY {COUNT}"
        size = 0
        async for part in db.copy_out("COPY t TO STDOUT"):
            size += part.count(b"\n")
        assert size == 2 * COUNT
        assert sum([1 async for _ in db.stream("SELECT * FROM t")]) == 2 * COUNT
        assert await db.execute_many("INSERT INTO t VALUES ($1, $2)", [(1, "x")] * 3000) == "INSERT 3000"


async def test_a_refused_line_ends_it_and_the_connection_goes_on(tls_url: str) -> None:
    given = 0

    def lines() -> Iterator[str]:
        nonlocal given
        for n in range(10_000_000):
            given = n
            yield f"{'x' if n == 1000 else n}\tvalue\n"

    async with Database(tls_url, 1, 1) as db:
        await db.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a int, b text)")
        with pytest.raises(InvalidTextRepresentation) as caught:
            await db.execute("COPY t FROM STDIN", lines())
        assert "line 1001" in caught.value.__notes__[0]
        assert given < 5_000_000
        assert await db.query_val("SELECT count(*) FROM t") == 0
        assert db.pool_stats()["closed"] == 0
