"""Hooks: on_connect, on_acquire and on_release, plain and coroutine functions, through both faces."""

import asyncio
import functools
import logging
import threading
import time
from typing import Any

import pytest
from hyperdjango.database import (
    Database,
    HookConnection,
    InterfaceError,
    SyncDatabase,
    SyncHookConnection,
    UndefinedTable,
)
from pgkit.face import Face, OpenFace
from pgkit.until import until, until_async

PID = "SELECT pg_backend_pid()"


class Calls:
    """A hook of either kind that takes down for which session it ran."""

    def __init__(self, sql: str = "") -> None:
        self.pids: list[int] = []
        self.sql = sql

    async def coroutine(self, connection: HookConnection) -> None:
        if self.sql:
            await connection.execute(self.sql)
        self.pids.append(connection.process_id)

    def plain(self, connection: SyncHookConnection) -> None:
        if self.sql:
            connection.execute(self.sql)
        self.pids.append(connection.process_id)

    def of(self, kind: str) -> Any:
        return self.coroutine if kind == "coroutine" else self.plain


@pytest.fixture(params=["coroutine", "plain"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_on_connect_runs_once_for_each_connection_before_anybody_has_it(
    open_face: OpenFace, url: str, kind: str
) -> None:
    calls = Calls("SET search_path TO elsewhere")
    face = open_face(url, 2, 3, on_connect=calls.of(kind))
    assert len(calls.pids) == 2
    for _ in range(5):
        assert face.query_val("SHOW search_path") == "elsewhere"
    slots = [face._acquire(None) for _ in range(3)]
    assert len(set(calls.pids)) == 3
    for slot in slots:
        face._release(slot)
    assert face.query_val("SHOW search_path") == "elsewhere"


def test_after_a_reset_on_connect_runs_again(open_face: OpenFace, url: str, kind: str) -> None:
    calls = Calls("SET search_path TO elsewhere")
    face = open_face(url, on_connect=calls.of(kind))
    before = len(calls.pids)
    face.execute("SET search_path TO nowhere")
    assert face.query_val("SHOW search_path") == "elsewhere"
    assert len(calls.pids) > before
    assert len(set(calls.pids)) == 1  # the connection was not replaced
    assert face.pool_stats()["opened"] == 1


def test_on_acquire_runs_at_each_hand_out_and_on_release_before_each_return(
    open_face: OpenFace, url: str, kind: str
) -> None:
    taken, returned = Calls("SELECT 1"), Calls("SELECT 2")
    face = open_face(url, on_acquire=taken.of(kind), on_release=returned.of(kind))
    pid = face.query_val(PID)
    assert (taken.pids, returned.pids) == ([pid], [pid])
    face.execute("SELECT 1; SELECT 2")
    face.query_one("SELECT 1")
    assert (taken.pids, returned.pids) == ([pid] * 3, [pid] * 3)
    with face.transaction():
        assert taken.pids == [pid] * 4
        face.query_val("SELECT 1")
        assert len(returned.pids) == 3
    assert (taken.pids, returned.pids) == ([pid] * 4, [pid] * 4)


def test_on_release_sees_no_open_transaction_and_the_session_as_it_was_left(
    open_face: OpenFace, url: str
) -> None:
    seen: list[Any] = []

    async def on_release(connection: HookConnection) -> None:
        seen.append(await connection.query_val("SHOW application_name"))

    face = open_face(url, on_release=on_release)
    with pytest.raises(UndefinedTable), face.transaction():
        face.query("SELECT * FROM nowhere")
    face.execute("SET application_name TO mine")
    assert seen == ["", "mine"]
    assert face.query_val("SHOW application_name") == ""


def test_a_hooks_connection_has_the_calls_of_a_database(open_face: OpenFace, url: str) -> None:
    seen: list[Any] = []
    kept: list[HookConnection] = []

    async def on_connect(connection: HookConnection) -> None:
        seen.append(await connection.execute("CREATE TABLE IF NOT EXISTS t (a int)"))
        seen.append(await connection.execute("INSERT INTO t VALUES ($1)", 7))
        seen.append(await connection.query("SELECT a FROM t WHERE a = $1", 7))
        seen.append(await connection.query_one("SELECT a FROM t", into=tuple))
        seen.append(await connection.query_val("SELECT a FROM t"))
        assert connection.server_version >= 150000
        kept.append(connection)

    open_face(url, on_connect=on_connect)
    assert seen == ["CREATE 0", "INSERT 1", [{"a": 7}], (7,), 7] or seen[1:] == [
        "INSERT 1",
        [{"a": 7}],
        (7,),
        7,
    ]
    with pytest.raises(InterfaceError, match="the hook has ended"):
        asyncio.run(kept[0].query("SELECT 1"))


def test_a_plain_hooks_connection_blocks(open_face: OpenFace, url: str) -> None:
    seen: list[Any] = []

    def on_connect(connection: SyncHookConnection) -> None:
        seen.append(connection.query("SELECT $1::int AS a", 7))
        seen.append(connection.query_one("SELECT 1 AS a", into=tuple))
        seen.append(connection.query_val("SELECT 8"))
        seen.append(connection.execute("SELECT 1; SELECT 2"))

    open_face(url, on_connect=on_connect)
    assert seen == [[{"a": 7}], (1,), 8, "SELECT 1"]


def test_an_error_of_on_connect_is_the_calls_and_frees_the_place(
    open_face: OpenFace, url: str, kind: str
) -> None:
    face = open_face(url, 0, 1, on_connect=Calls("SELECT * FROM nowhere").of(kind))
    for _ in range(3):
        with pytest.raises(UndefinedTable):
            face.query("SELECT 1")
        assert face.pool_stats()["total"] == 0


def test_an_error_of_on_connect_fails_connect(url: str) -> None:
    calls = Calls("SELECT * FROM nowhere")
    for _ in range(2):
        db = SyncDatabase(url, 2, 2, on_connect=calls.plain)
        with pytest.raises(UndefinedTable):
            db.connect()
        assert (db.is_connected, db.pool_stats()["total"]) == (False, 0)
        with pytest.raises(UndefinedTable):
            asyncio.run(Database(url, 2, 2, on_connect=calls.coroutine).connect())


def test_an_error_of_on_acquire_closes_the_connection(open_face: OpenFace, url: str) -> None:
    is_bad = True

    def on_acquire(_: SyncHookConnection) -> None:
        if is_bad:
            raise KeyError("no")

    face = open_face(url, on_acquire=on_acquire)
    with pytest.raises(KeyError):
        face.query("SELECT 1")
    with pytest.raises(KeyError), face.transaction():
        pass
    assert face.pool_stats()["total"] == 0
    is_bad = False
    assert face.query_val("SELECT 1") == 1


def test_an_error_of_on_release_is_logged_and_closes_the_connection(
    open_face: OpenFace, url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    face = open_face(url, on_release=Calls("SELECT * FROM nowhere").of(kind))
    pids = {face.query_val(PID) for _ in range(3)}
    assert len(pids) == 3
    assert face.pool_stats()["total"] == 0
    assert [(each.name, each.levelno) for each in caplog.records] == [
        ("hyperdjango.database", logging.ERROR)
    ] * 3


@pytest.mark.parametrize("name", ["on_connect", "on_acquire"])
def test_a_hook_that_leaves_a_transaction_open_is_an_error(
    open_face: OpenFace, url: str, kind: str, name: str
) -> None:
    hooks: dict[str, Any] = {name: Calls("BEGIN").of(kind)}
    face = open_face(url, 0, 1, **hooks)
    with pytest.raises(InterfaceError, match=f"the hook {name} left a transaction open"):
        face.query("SELECT 1")
    assert face.pool_stats()["total"] == 0


def test_a_coroutine_hook_may_await_what_it_likes_on_a_loop_and_not_for_a_blocking_caller(url: str) -> None:
    async def on_acquire(connection: HookConnection) -> None:
        await asyncio.sleep(0.001)
        await connection.execute("SELECT 1")

    async def main() -> None:
        async with Database(url, 1, 1, on_acquire=on_acquire) as db:
            assert await db.query_val("SELECT 1") == 1
            with pytest.raises(InterfaceError, match="the hook on_acquire awaited something else"):
                await asyncio.to_thread(db.sync.query, "SELECT 1")
            assert await db.query_val("SELECT 1") == 1

    asyncio.run(main())


def test_the_housekeeper_lets_a_coroutine_hook_await_what_it_likes(url: str) -> None:
    calls: list[str] = []

    async def on_connect(connection: HookConnection) -> None:
        await asyncio.sleep(0)
        await connection.execute("SET search_path TO elsewhere")
        calls.append(threading.current_thread().name)

    async def main() -> None:
        async with Database(url, 1, 1, max_lifetime=0.2, on_connect=on_connect) as db:
            await until_async(lambda: "hyperdjango-pool" in calls)
            assert await db.query_val("SHOW search_path") == "elsewhere"

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_plain_hook_does_not_hold_up_the_loop(url: str) -> None:
    def on_connect(_: SyncHookConnection) -> None:
        time.sleep(0.3)

    async def main() -> None:
        ticks = 0
        opening = asyncio.ensure_future(Database(url, 1, 1, on_connect=on_connect).connect())
        while not opening.done():
            ticks += 1
            await asyncio.sleep(0.01)
        await opening.result().disconnect()
        assert ticks > 5

    asyncio.run(main())


def test_a_task_cancelled_in_a_plain_hook_gives_its_place_back(url: str) -> None:
    leave = threading.Event()

    def on_acquire(connection: SyncHookConnection) -> None:
        leave.wait(10)

    async def main() -> None:
        async with Database(url, 1, 1, on_acquire=on_acquire) as db:
            task = asyncio.create_task(db.query("SELECT 1"))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            leave.set()
            assert await db.query_val("SELECT 1") == 1

    asyncio.run(main())


def test_a_plain_function_that_returns_a_coroutine_is_told_to_be_async(open_face: OpenFace, url: str) -> None:
    async def real(connection: HookConnection) -> None:
        await connection.execute("SELECT 1")

    def hook(connection: Any) -> Any:
        return real(connection)

    face = open_face(url, 0, 1, on_connect=hook)
    with pytest.raises(InterfaceError, match="write `async def`"):
        face.query("SELECT 1")


def test_objects_and_partials_may_be_hooks(open_face: OpenFace, url: str) -> None:
    seen: list[str] = []

    class Hook:
        async def __call__(self, connection: HookConnection) -> None:
            seen.append(await connection.query_val("SELECT 'object'"))

    async def function(word: str, connection: HookConnection) -> None:
        seen.append(await connection.query_val("SELECT $1::text", word))

    hooks: list[Any] = [
        Hook(),
        functools.partial(function, "partial"),
    ]
    for hook in hooks:
        open_face(url, on_connect=hook)
    assert seen == ["object", "partial"]


@pytest.mark.parametrize("name", ["on_connect", "on_acquire"])
def test_the_calls_timeout_holds_for_its_hooks(open_face: OpenFace, url: str, kind: str, name: str) -> None:
    hooks: dict[str, Any] = {name: Calls("SELECT pg_sleep(30)").of(kind)}
    face = open_face(url, 0, 1, **hooks)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        face.query("SELECT 1", timeout=0.3)
    assert time.monotonic() - began < 5
    until(lambda: face.pool_stats()["total"] == 0)


@pytest.mark.parametrize("name", ["on_connect", "on_acquire", "on_release"])
def test_a_hook_must_be_a_function(name: str) -> None:
    options: dict[str, Any] = {name: "SELECT 1"}
    with pytest.raises(TypeError, match=f"{name} must be a function, not str"):
        SyncDatabase("postgresql:///x", **options)


def test_hooks_do_not_hinder_many_callers(face: Face, url: str) -> None:
    taken, returned = Calls(), Calls()

    async def main() -> None:
        async with Database(url, 1, 3, on_acquire=taken.coroutine, on_release=returned.coroutine) as db:
            assert await asyncio.gather(*(db.query_val("SELECT $1::int", n) for n in range(200))) == list(
                range(200)
            )
            until(lambda: db.pool_stats()["busy"] == 0)

    asyncio.run(main())
    assert len(taken.pids) == len(returned.pids) == 200
    assert face.query_val("SELECT 1") == 1
