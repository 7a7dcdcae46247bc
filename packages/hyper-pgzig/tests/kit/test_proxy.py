"""The proxy, between plain sockets and between psycopg and a scripted backend."""

import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from pgkit import Answer, Column, Proxy, ScriptedBackend, serve, startup

ONE_ROW = {"SELECT 1": Answer([Column("n", 23, 4, format=0)], [[b"1"]])}
HELLO = b"01234567"
"""A proxy calls its upstream when it has eight bytes."""


class Echo:
    """Sends back what it gets, then EOF after EOF."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()[:2]
        self.ended: list[str] = []
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.serve, args=(sock,)))
            self.threads[-1].start()

    def serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(4096):
                    sock.sendall(data)
                self.ended.append("eof")
            except ConnectionError:
                self.ended.append("reset")

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(5)
            assert not thread.is_alive()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.stop()


def call(proxy: Proxy) -> socket.socket:
    sock = socket.create_connection((proxy.host, proxy.port), timeout=5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def test_bytes_pass_unchanged_and_eof_reaches_both_sides(echo: Echo) -> None:
    payload = bytes(range(256)) * 20_000
    with Proxy(echo.address) as proxy, call(proxy) as sock:
        sender = threading.Thread(target=sock.sendall, args=(payload,))
        sender.start()
        assert exactly(sock, len(payload)) == payload
        sender.join()
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert proxy.links[0].bytes_to_backend == len(payload) == proxy.links[0].bytes_to_frontend
    assert echo.ended == ["eof"]


def test_round_trips_count_flights_not_writes(echo: Echo) -> None:
    with Proxy(echo.address) as proxy, call(proxy) as sock:
        for _ in range(3):
            sock.sendall(HELLO)
            assert exactly(sock, 8) == HELLO
        assert proxy.round_trips == 3
        assert proxy.links[0].round_trips == 3


def test_delay_is_paid_in_each_direction(echo: Echo) -> None:
    with Proxy(echo.address) as proxy, call(proxy) as sock:
        sock.sendall(HELLO)
        exactly(sock, 8)
        proxy.delay = 0.1
        began = time.monotonic()
        sock.sendall(b"x" * 1000)
        assert exactly(sock, 1000) == b"x" * 1000
        assert time.monotonic() - began >= 0.2


def test_a_chunk_size_chops_but_loses_nothing(echo: Echo) -> None:
    with Proxy(echo.address) as proxy, call(proxy) as sock:
        proxy.chunk_size = 1
        sock.sendall(HELLO * 4)
        assert exactly(sock, 32) == HELLO * 4


@pytest.mark.parametrize("size", [1, 8, 9, 20])
def test_cut_to_the_frontend_lets_exactly_that_many_bytes_pass(echo: Echo, size: int) -> None:
    with Proxy(echo.address) as proxy, call(proxy) as sock:
        proxy.cut_after["to_frontend"] = size
        sock.sendall(HELLO * 4)
        assert exactly(sock, 100) == (HELLO * 4)[:size]


def test_cut_to_the_backend_keeps_the_rest_from_it(echo: Echo) -> None:
    with Proxy(echo.address) as proxy, call(proxy) as sock:
        sock.sendall(HELLO)
        assert exactly(sock, 8) == HELLO
        proxy.cut_after["to_backend"] = 12
        sock.sendall(b"abcdefgh")
        assert len(exactly(sock, 100)) <= 4


def test_a_cut_can_be_a_reset(echo: Echo) -> None:
    with Proxy(echo.address) as proxy, call(proxy) as sock:
        sock.sendall(HELLO)
        assert exactly(sock, 8) == HELLO
        proxy.cut("reset")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    echo.threads[-1].join(5)
    assert echo.ended == ["reset"]


def test_frozen_nothing_passes_and_thawed_everything_does(echo: Echo) -> None:
    with Proxy(echo.address) as proxy, call(proxy) as sock:
        sock.sendall(HELLO)
        assert exactly(sock, 8) == HELLO
        proxy.freeze()
        sock.sendall(HELLO)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        proxy.thaw()
        sock.settimeout(5)
        assert exactly(sock, 8) == HELLO


def test_refused_connections_end_at_once(echo: Echo) -> None:
    with Proxy(echo.address) as proxy:
        proxy.refuse = True
        with call(proxy) as sock:
            assert sock.recv(1) == b""


def test_a_backend_that_is_away_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()[:2]
    with Proxy(address) as proxy, call(proxy) as sock:
        sock.sendall(HELLO)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_psycopg_through_the_proxy(unix: bool) -> None:
    with ScriptedBackend([*startup(), serve(ONE_ROW)], unix=unix) as backend:
        upstream = f"{backend.host}/.s.PGSQL.5432" if unix else (backend.host, backend.port)
        with Proxy(upstream) as proxy:
            url = f"postgres://tester@{proxy.host}:{proxy.port}/testdb?sslmode=disable"
            with psycopg.connect(url, autocommit=True) as connection:
                before = proxy.round_trips
                for _ in range(5):
                    assert connection.execute("SELECT 1").fetchone() == (1,)
                assert proxy.round_trips - before == 5
            assert not proxy.links[0].is_cancel_request


@pytest.mark.parametrize("dropped", [False, True], ids=["passed", "dropped"])
def test_cancel_requests_can_be_dropped(dropped: bool) -> None:
    with (
        ScriptedBackend([*startup(), serve(ONE_ROW)]) as backend,
        Proxy((backend.host, backend.port)) as proxy,
    ):
        proxy.drop_cancel_requests = dropped
        url = f"postgres://tester@{proxy.host}:{proxy.port}/testdb?sslmode=disable"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.cancel_safe(timeout=5)
        assert proxy.links[1].is_cancel_request
        assert proxy.cancel_requests_dropped == int(dropped)
        assert backend.wait_closed()
        assert len(backend.cancel_requests) == int(not dropped)


def test_a_real_server_through_the_proxy(database_url: str) -> None:
    parts = urlsplit(database_url)
    with Proxy((parts.hostname or "127.0.0.1", parts.port or 5432)) as proxy:
        address = f"{parts.netloc.rpartition('@')[0]}@{proxy.host}:{proxy.port}"
        url = urlunsplit(parts._replace(netloc=address))
        with psycopg.connect(url, autocommit=True) as connection:
            before = proxy.round_trips
            assert connection.execute("SELECT sum(n) FROM generate_series(1, 1000) n").fetchone() == (500500,)
            assert proxy.round_trips - before == 1
            proxy.chunk_size = 7
            wide = connection.execute("SELECT repeat('x', 20000)").fetchone()
            assert wide == ("x" * 20000,)
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")


def test_one_connection_is_cut_after_so_many_more_bytes(echo: Echo) -> None:
    with (
        Proxy(echo.address) as proxy,
        socket.create_connection((proxy.host, proxy.port)) as spared,
        spared.makefile("rb") as back,
    ):
        spared.sendall(HELLO)
        assert back.read(8) == HELLO
        with socket.create_connection((proxy.host, proxy.port)) as sock, sock.makefile("rb") as cut:
            sock.sendall(HELLO)
            assert cut.read(8) == HELLO
            proxy.last_session.cut_in("to_frontend", 3)
            sock.sendall(b"abcdef")
            assert cut.read() == b"abc"
        spared.sendall(b"abcdef")
        assert back.read(6) == b"abcdef"
