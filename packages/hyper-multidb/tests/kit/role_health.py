"""Answers over HTTP whether a PostgreSQL server is a primary or a replica, as Patroni's REST API does.

HAProxy cannot ask that in SQL. `haproxy.py` runs this file as a program: it reads a list of connection URLs, in
JSON, from the file named by its argument, and prints a list of ports, one for each. There `GET /primary` and
`GET /replica` are answered by 200 or 503.
Patroni docs: "Patroni REST API", "Health check endpoints".
"""

import asyncio
import json
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import psycopg

POLL_SECONDS: Final = 0.05
ANSWER_SECONDS_MAX: Final = 3.0  # a loaded machine is no reason to lead everybody elsewhere

Role = Literal["primary", "replica"]
T = TypeVar("T")


class Watched:
    """One server, asked again and again over one connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.role: Role | None = None

    async def watch(self) -> None:
        """Keep `role` up to date; None while the server does not answer."""
        while True:
            with suppress(psycopg.Error, OSError):
                connection = await self._patiently(
                    psycopg.AsyncConnection.connect(self._url, autocommit=True)
                )
                async with connection:
                    while True:
                        cursor = await self._patiently(connection.execute("SELECT pg_is_in_recovery()"))
                        row = await cursor.fetchone()
                        assert row is not None
                        self.role = "replica" if row[0] else "primary"
                        await asyncio.sleep(POLL_SECONDS)
            self.role = None
            await asyncio.sleep(POLL_SECONDS)

    async def _patiently(self, call: Coroutine[Any, Any, T]) -> T:
        """Await the call however long it takes, with no role from the moment that it takes too long.

        Not given up: psycopg would first ask the server to cancel, and wait for that.
        """
        task = asyncio.create_task(call)
        if not (await asyncio.wait({task}, timeout=ANSWER_SECONDS_MAX))[0]:
            self.role = None
        return await task

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close its connection."""
        with suppress(ConnectionError):
            path = (await reader.readline()).decode(errors="replace").split(" ")[1:2]
            status = (
                "200 OK" if self.role is not None and path == [f"/{self.role}"] else "503 Service Unavailable"
            )
            writer.write(f"HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()


async def main(urls: list[str]) -> None:
    """Watch all of them until this process is ended."""
    async with asyncio.TaskGroup() as group:
        ports: list[int] = []
        for url in urls:
            watched = Watched(url)
            group.create_task(watched.watch())
            server = await asyncio.start_server(watched.answer, "127.0.0.1", 0)
            ports.append(server.sockets[0].getsockname()[1])
            group.create_task(server.serve_forever())
        print(json.dumps(ports), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
