"""A proxy between driver and server: counts what the driver writes, cuts lines, keeps replies back.

Only what the contract's sentences need; it runs on the test's own event loop, so blocking calls go to a thread.
"""

import asyncio
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """One listening address; every connection to it is passed on to the server."""

    def __init__(self, target_url: str) -> None:
        self._target = urlsplit(target_url)
        self.url = ""
        self.sent: list[bytes] = []  # what the driver wrote, write by write
        self.cut_after: bytes | None = (
            None  # when the driver has written this, the reply is lost with the line
        )
        self.spoil: bytes | None = None  # takes the place of what the server says
        self.received_bytes = 0  # from the server
        self.flows = asyncio.Event()  # cleared: nothing is taken from the driver
        self.flows.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        userinfo = self._target.netloc.rpartition("@")[0]
        query = "&".join(filter(None, [self._target.query, "sslmode=disable"]))
        self.url = urlunsplit(self._target._replace(netloc=f"{userinfo}@127.0.0.1:{port}", query=query))
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection at once."""
        for writer in list(self._writers):
            writer.transport.abort()

    @property
    def bytes_sent(self) -> bytes:
        """All that the driver wrote since `sent` was last cleared."""
        return b"".join(self.sent)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection(
                self._target.hostname, self._target.port or 5432
            )
            self._writers |= {writer, far_writer}
            back = asyncio.create_task(self._back(far_reader, writer))
            try:
                await self._forth(reader, writer, far_writer)
            finally:
                back.cancel()
                self._writers -= {writer, far_writer}
                far_writer.close()
                writer.close()
        finally:
            self._tasks.discard(task)

    async def _forth(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far_writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(1 << 18):
                self.sent.append(data)
                if self.cut_after is not None and self.cut_after in data:
                    far_writer.write(data)
                    await asyncio.sleep(0.05)
                    writer.transport.abort()
                    return
                far_writer.write(data)
                await far_writer.drain()
                await self.flows.wait()
        except ConnectionError:
            return

    async def _back(self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await far_reader.read(1 << 18):
                self.received_bytes += len(data)
                if self.spoil is not None:
                    writer.write(self.spoil)
                elif self.cut_after is None or not self._is_due():
                    writer.write(data)
                    await writer.drain()
            writer.close()
        except ConnectionError:
            return

    def _is_due(self) -> bool:
        return self.cut_after is not None and any(self.cut_after in data for data in self.sent)


class Deaf:
    """A listening address behind which nobody answers: it takes down what comes, and says `reply` once, if any."""

    def __init__(self, reply: bytes = b"", *, closes: bool = False) -> None:
        self.received = b""
        self.port = 0
        self._reply = reply
        self._closes = closes
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            self.received += await reader.read(1 << 16)
            writer.write(self._reply)
            while not self._closes and (data := await reader.read(1 << 16)):
                self.received += data
        except ConnectionError:
            return
        finally:
            writer.close()
