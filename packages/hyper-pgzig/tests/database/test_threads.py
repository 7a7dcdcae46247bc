"""Threads that share what may be shared: a pool, a TypeMap, statements, a Secret, and what must not be.

With a GIL these tests find what lets go of it in the wrong place; `tools/check_interpreters.py
--free-threaded` runs them where nothing but our own locks keeps the threads apart.
"""

import asyncio
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest
from hyperdjango.database import Database, SyncDatabase, _shape
from hyperdjango.database import errors as pg
from hyperdjango.database._native import native
from hyperdjango.database._slot import Slot
from hyperdjango.database.types import composite_type

BLOCKING_THREADS: Final = 8
LOOPS: Final = 4
ROUNDS: Final = 60
TASKS: Final = 5

# One dimension, no NULLs, int4; one element from 1: four bytes, 7.
INT4_ARRAY_OF_7: Final = b"".join(n.to_bytes(4) for n in (1, 0, 23, 1, 1, 4, 7))

SCHEMA: Final = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TYPE place AS (name text, at point, mood mood);
CREATE DOMAIN score AS int CHECK (VALUE >= 0);
CREATE TABLE seen (id int PRIMARY KEY);
INSERT INTO seen VALUES (1)
"""


def run_together(*bodies: Callable[[], object]) -> None:
    """Run each in a thread of its own, all from the same moment, and raise what the first of them raised."""
    start = threading.Barrier(len(bodies))
    failures: list[BaseException] = []

    def run(body: Callable[[], object]) -> None:
        start.wait()
        try:
            body()
        except BaseException as error:  # raised again below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Where there is a GIL, hand it over as often as it goes."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


# sql, arguments, and what query_val gives; each caller puts its own number in.
def questions(n: int) -> list[tuple[str, tuple[Any, ...], Any]]:
    key = uuid.UUID(int=n)
    return [
        ("SELECT $1::int + 1", (n,), n + 1),
        ("SELECT $1::text || 'é€'", (f"ü{n}",), f"ü{n}é€"),
        ("SELECT $1::uuid", (key,), key),
        ("SELECT $1::int[]", ([n, None, -n],), [n, None, -n]),
        ("SELECT $1::jsonb", ({"n": [n]},), {"n": [n]}),
        ("SELECT $1::mood", ("glad",), "glad"),
        ("SELECT ARRAY['sad', $1]::mood[]", ("glad",), ["sad", "glad"]),
        ("SELECT $1::score", (n,), n),
        ("SELECT ROW($1, '(1,2)', 'sad')::place", (f"p{n}",), (f"p{n}", (1.0, 2.0), "sad")),
        # Texts of many kinds, so that the caches are written to all the time.
        (f"SELECT {n % 97} + $1::int", (1,), n % 97 + 1),
    ]


def test_threads_and_event_loops_share_one_pool(url: str) -> None:
    db = Database(url, 1, 6, statement_cache_size=20)

    def blocking(number: int) -> None:
        sync = db.sync
        for i in range(ROUNDS):
            n = number * ROUNDS + i
            for sql, arguments, expected in questions(n):
                assert sync.query_val(sql, *arguments) == expected
            with pytest.raises(pg.UniqueViolation):
                sync.execute("INSERT INTO seen VALUES ($1)", 1)
            rows = sync.query("SELECT i, i::text AS t FROM generate_series($1::int, $2) i", n, n + 20)
            assert rows == [{"i": i, "t": str(i)} for i in range(n, n + 21)]

    async def task(n: int) -> None:
        for sql, arguments, expected in questions(n):
            assert await db.query_val(sql, *arguments) == expected
        with pytest.raises(pg.UndefinedTable):
            await db.query("SELECT * FROM nowhere WHERE id = $1", n)
        async with db.transaction():
            assert await db.query_one("SELECT $1::int AS n, txid_current() > 0 AS own", n) == {
                "n": n,
                "own": True,
            }

    async def looping(number: int) -> None:
        for i in range(ROUNDS // TASKS):
            await asyncio.gather(*(task(number * 10_000 + i * TASKS + j) for j in range(TASKS)))

    with SyncDatabase(url) as setup:
        setup.execute(SCHEMA)
    db.sync.connect()
    try:
        run_together(
            *(lambda n=n: blocking(n) for n in range(BLOCKING_THREADS)),
            *(lambda n=n: asyncio.run(looping(n)) for n in range(LOOPS)),
        )
        stats = db._pool.stats()
        assert (stats["busy"], stats["waiting"]) == (0, 0)
        assert 1 <= stats["total"] <= 6
    finally:
        db.sync.disconnect()
    assert db._pool.stats()["total"] == 0


def test_a_pool_that_closes_under_its_callers_refuses_them_and_loses_no_place(url: str) -> None:
    for _ in range(10):
        db = Database(url, 1, 2, acquire_timeout=0.002)
        db.sync.connect()

        def ask(db: Database = db) -> None:
            for _ in range(50):
                try:
                    assert db.sync.query_val("SELECT pg_sleep(0.001)") is None
                except TimeoutError:
                    continue
                except pg.InterfaceError:
                    return

        run_together(*[ask] * 6, db.sync.disconnect)
        assert db._pool.stats()["total"] == 0


def test_a_ticket_can_be_given_back_while_the_pool_closes() -> None:
    pool = SyncDatabase("postgresql://nobody@localhost/nothing", 1, 1)._pool
    opening = pool.open()
    assert opening is not None

    failures: list[BaseException] = []

    def give_back() -> None:
        try:
            pool.leave(second)
        except BaseException as error:  # looked at below, in the test's own thread
            failures.append(error)

    # It runs when the first one has been refused and the second one has not.
    thread = threading.Thread(target=give_back)

    def on_refused() -> None:
        thread.start()
        thread.join(0.1)

    first = pool.enter(on_refused)
    second = pool.enter(lambda: None)
    assert pool.close(lambda: None) is not None
    thread.join()
    assert not failures
    assert (first.is_refused, second.is_refused) == (True, True)
    pool.abandon_place(opening.places.pop())
    assert pool.stats()["total"] == 0


def test_types_are_added_while_others_use_them() -> None:
    types = native.TypeMap()
    pair = composite_type("pair", ["a", "b"])
    count = 150

    def add(first: int) -> None:
        for oid in range(first, first + 4 * count, 4):
            types.add_array(oid + 2, f"_{oid}", oid + 1, ",")
            types.add_composite(oid + 1, f"pair{oid}", ["a", "b"], [oid, 23], pair)
            types.add_string(oid, f"enum{oid}")
            types.add_range(oid + 3, f"range{oid}", oid)

    def override() -> None:
        for _ in range(count):
            types.add_codec(23, "int4", lambda value: b"....", lambda body: 7, True)

    def use(first: int) -> None:
        waiting = set(range(first, first + 4 * count))
        while waiting:
            waiting -= {oid for oid in waiting if types.knows(oid)}
            assert native.encode_value(types, 25, "é") == ("text", "é".encode())
            assert native.decode_value(
                types, 1007, b"\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0\7"
            ) == [7]

    firsts = [100_000, 200_000, 300_000]
    run_together(
        *(lambda f=f: add(f) for f in firsts),
        *(lambda f=f: use(f) for f in firsts),
        override,
    )
    assert all(types.knows(first + i) for first in firsts for i in range(4 * count))


@contextmanager
def one_slot(url: str) -> Iterator[Slot]:
    with SyncDatabase(url, 1, 1) as db:
        slot = db._pool.take_idle()
        assert slot is not None
        yield slot
        db._pool.give_back(slot)


def test_one_connection_turns_away_a_second_thread(url: str) -> None:
    answered: list[int] = []

    def ask() -> None:
        for i in range(300):
            with suppress(pg.InterfaceError):
                request = slot.connection.submit("SELECT $1::int", (i,), _shape.VALUE, None, True, None)
                while not request.done:
                    with suppress(pg.InterfaceError):
                        slot.connection.wait(-1)
                assert request.result() == i
                answered.append(i)

    with one_slot(url) as slot:
        run_together(ask, ask, ask)
        assert slot.is_reusable()
    assert answered


def test_a_result_is_taken_once(url: str) -> None:
    with one_slot(url) as slot:
        for i in range(300):
            request = slot.connection.submit("SELECT $1::int AS n", (i,), _shape.DICT, None, False, None)
            while not request.done:
                slot.connection.wait(-1)
            taken: list[Any] = []
            run_together(*[lambda r=request, t=taken: t.append(r.result())] * 3)
            assert sorted(taken, key=len) == [[], [], [{"n": i}]]


def test_callbacks_change_while_they_are_called(url: str) -> None:
    heard: list[str] = []
    over = threading.Event()

    class Listener:
        def __call__(self, fields: dict[str, str]) -> None:
            heard.append(fields["M"])

    def swap() -> None:
        while not over.is_set():
            slot.connection.on_notice = Listener()
            assert slot.connection.on_notice is not None

    def ask() -> None:
        for _ in range(30):
            request = slot.submit("DO $$ BEGIN FOR i IN 1..50 LOOP RAISE NOTICE 'x'; END LOOP; END $$")
            while not request.done:
                slot.connection.wait(-1)
            request.result()
        over.set()

    with one_slot(url) as slot:
        run_together(ask, swap, swap)
    assert set(heard) == {"x"}


def test_one_secret_serves_many_logins_at_once() -> None:
    secret = native.Secret("pencil")
    proofs: list[bytes] = []

    def log_in() -> None:
        for i in range(100):
            scram = native.Scram(secret, b"rOprNGfwEbeRWgbNEkqO")
            scram.client_first()
            salt = (b"W22ZaJ0SNY7soEsUEjb6gQ==", b"AAAAAAAAAAAAAAAAAAAAAA==")[i % 2]
            scram.server_first(b"r=rOprNGfwEbeRWgbNEkqOserver,s=" + salt + b",i=64")
            if not scram.recall():
                scram.derive()
            proofs.append(scram.client_final())

    run_together(*[log_in] * 4)
    assert len(proofs) == 400
    assert len(set(proofs)) == 2


def test_importing_the_driver_leaves_the_gil_as_it_was() -> None:
    program = (
        "import sys; from hyperdjango.database import Database, SyncDatabase;"
        "from hyperdjango.database._native import native;"
        "print(native.FREE_THREADED, getattr(sys, '_is_gil_enabled', lambda: True)())"
    )
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={name: value for name, value in os.environ.items() if name != "PYTHON_GIL"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == (["True", "False"] if native.FREE_THREADED else ["False", "True"])
