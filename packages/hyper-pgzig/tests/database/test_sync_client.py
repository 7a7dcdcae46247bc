"""SyncDatabase, method by method, against real servers. What both faces share is in test_client."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hyperdjango.database import (
    AcquireTimeout,
    DataError,
    DivisionByZero,
    InterfaceError,
    NotConnected,
    QueryTimeout,
    SyncDatabase,
    UndefinedTable,
    UniqueViolation,
)
from pgkit.freeze import frozen


@pytest.fixture
def db(url: str) -> Iterator[SyncDatabase]:
    with SyncDatabase(url, 1, 4) as database:
        yield database


@pytest.fixture
def one(url: str) -> Iterator[SyncDatabase]:
    """A pool of one connection: every call is the next borrower of the same session."""
    with SyncDatabase(url, 1, 1) as database:
        yield database


@dataclass
class Pair:
    a: int
    b: str


def test_query_returns_every_row_in_order(db: SyncDatabase) -> None:
    sql = "SELECT n AS a, n::text AS b FROM generate_series(1, $1::int) n"
    assert db.query(sql, 2) == [{"a": 1, "b": "1"}, {"a": 2, "b": "2"}]
    assert db.query(sql, 2, into=tuple) == [(1, "1"), (2, "2")]
    assert db.query(sql, 2, into=Pair) == [Pair(1, "1"), Pair(2, "2")]
    assert db.query(sql, 0) == []


def test_a_long_result_comes_whole(db: SyncDatabase) -> None:
    rows = db.query("SELECT n, repeat('x', 100) AS x FROM generate_series(1, 50000) n", into=tuple)
    assert rows == [(n, "x" * 100) for n in range(1, 50001)]


def test_query_one_and_query_val_return_the_first(db: SyncDatabase) -> None:
    assert db.query_one("SELECT n FROM generate_series(5, 5000) n") == {"n": 5}
    assert db.query_one("SELECT 1 AS a, 'x' AS b", into=Pair) == Pair(1, "x")
    assert db.query_one("SELECT 1 WHERE false") is None
    assert db.query_val("SELECT n, 1 FROM generate_series(5, 5000) n") == 5
    assert db.query_val("SELECT NULL::int") is None
    assert db.query_val("SELECT 1 WHERE false") is None


def test_execute_says_what_the_command_did(db: SyncDatabase) -> None:
    assert db.execute("CREATE TABLE t (a int)") == "CREATE TABLE 0"
    status = db.execute("INSERT INTO t SELECT generate_series(1, $1)", 3)
    assert (status, status.rows, status.tag) == ("INSERT 3", 3, "INSERT 0 3")
    assert db.execute("INSERT INTO t VALUES (9); DELETE FROM t WHERE a = 1") == "DELETE 1"
    assert db.execute("").tag == ""


def test_a_script_takes_effect_as_a_whole_or_not_at_all(one: SyncDatabase) -> None:
    with pytest.raises(DivisionByZero):
        one.execute("CREATE TABLE t (a int); SELECT 1/0; SELECT 2")
    with pytest.raises(UndefinedTable):
        one.query("SELECT * FROM t")


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1203])
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_execute_many_runs_once_per_set(db: SyncDatabase, count: int, make: Callable[..., Any]) -> None:
    db.execute("CREATE TABLE t (id serial, a int, b text)")
    sets = [(n, str(n)) for n in range(count)]
    status = db.execute_many("INSERT INTO t (a, b) VALUES ($1, $2)", make(sets))
    assert (status, status.rows) == (f"INSERT {count}", count)
    assert db.query("SELECT a, b FROM t ORDER BY id", into=tuple) == sets


@pytest.mark.parametrize("bad", [0, 3, 499, 500, 777])
def test_execute_many_is_all_or_nothing(one: SyncDatabase, bad: int) -> None:
    one.execute("CREATE TABLE t (a int PRIMARY KEY)")
    one.execute("INSERT INTO t VALUES (-1)")
    with pytest.raises(UniqueViolation) as caught:
        one.execute_many("INSERT INTO t VALUES ($1)", [(-1 if n == bad else n,) for n in range(900)])
    assert f"in set {bad} of execute_many, counted from 0" in caught.value.__notes__
    with pytest.raises(DataError, match=rf"set {bad}, parameter \$1"):
        one.execute_many("INSERT INTO t VALUES ($1)", [(2**40 if n == bad else n,) for n in range(900)])
    assert one.query("SELECT a FROM t", into=tuple) == [(-1,)]


def test_an_async_iterable_is_refused(db: SyncDatabase) -> None:
    async def sets() -> Any:
        yield (1,)

    rows: Any = sets()
    with pytest.raises(TypeError, match="not iterable"):
        db.execute_many("SELECT $1::int", rows)


def _endless() -> Iterator[tuple[float]]:
    while True:
        yield (0.01,)


CALLS: dict[str, Callable[[SyncDatabase, float], object]] = {
    "query": lambda db, limit: db.query("SELECT pg_sleep(20)", timeout=limit),
    "query_one": lambda db, limit: db.query_one("SELECT pg_sleep(20)", timeout=limit),
    "query_val": lambda db, limit: db.query_val("SELECT pg_sleep($1)", 20, timeout=limit),
    "execute": lambda db, limit: db.execute("SELECT pg_sleep(20)", timeout=limit),
    "script": lambda db, limit: db.execute("SELECT 1; SELECT pg_sleep(20)", timeout=limit),
    "execute_many": lambda db, limit: db.execute_many("SELECT pg_sleep($1)", [(20,), (20,)], timeout=limit),
    "execute_many, many batches": lambda db, limit: db.execute_many(
        "SELECT pg_sleep($1)", _endless(), timeout=limit
    ),
}


@pytest.mark.usefixtures("patient_recovery")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_past_its_time_is_cancelled_and_the_connection_kept(
    one: SyncDatabase, call: Callable[[SyncDatabase, float], object]
) -> None:
    pid = one.query_val("SELECT pg_backend_pid()")
    began = time.monotonic()
    with pytest.raises(QueryTimeout, match="the call's timeout has passed"):
        call(one, 0.2)
    assert 0.19 < time.monotonic() - began < 3
    assert one.query_val("SELECT pg_backend_pid()") == pid


@pytest.mark.parametrize("limit", [0, 1e-9])
def test_no_time_at_all_is_over_at_once(one: SyncDatabase, limit: float) -> None:
    with pytest.raises(TimeoutError):
        one.query("SELECT pg_sleep(20)", timeout=limit)
    assert one.query_val("SELECT 1") == 1


def test_the_time_limit_covers_the_wait_for_a_connection(one: SyncDatabase) -> None:
    sleeper = threading.Thread(target=one.query, args=("SELECT pg_sleep(1.5)",))
    sleeper.start()
    time.sleep(0.1)
    calls: list[Callable[[], object]] = [
        lambda: one.query("SELECT 1", timeout=0.1),
        lambda: one.execute("SELECT 1", timeout=0.1),
        lambda: one.execute_many("SELECT $1::int", [(n,) for n in range(501)], timeout=0.1),
    ]
    for call in calls:
        with pytest.raises(AcquireTimeout, match="no connection became free in time"):
            call()
    assert sleeper.is_alive()
    sleeper.join()
    assert one.query_val("SELECT 1") == 1


@pytest.mark.parametrize("limit", [0.1, 1.0])
def test_with_a_frozen_backend_a_call_returns_in_time_and_its_slot_is_replaced(
    one: SyncDatabase, limit: float
) -> None:
    for _ in range(5):  # a busy machine may let us wait, but not each time
        pid = one.query_val("SELECT pg_backend_pid()")
        with frozen(pid):
            began = time.monotonic()
            with pytest.raises(QueryTimeout):
                one.query("SELECT 1", timeout=limit)
            took = time.monotonic() - began
            assert limit <= took
            assert one.query_val("SELECT pg_backend_pid()") != pid
            assert one.pool_stats()["total"] == 1
        if took < limit + 0.25:
            return
    pytest.fail(f"it took {took} s of {limit}")


def test_waiting_releases_the_gil(one: SyncDatabase) -> None:
    sleeper = threading.Thread(target=one.query, args=("SELECT pg_sleep(0.3)",))
    sleeper.start()
    steps = 0
    while sleeper.is_alive():
        time.sleep(0.001)
        steps += 1
    sleeper.join()
    assert steps > 20


def test_before_connect_and_after_disconnect_every_call_says_so(url: str) -> None:
    db = SyncDatabase(url, 1, 1)

    def check() -> None:
        for call in (db.query, db.query_one, db.query_val, db.execute):
            with pytest.raises(NotConnected) as caught:
                call("SELECT 1")
            assert str(caught.value) == "Database not connected. Call await db.connect() first."
            assert isinstance(caught.value, RuntimeError)
        with pytest.raises(NotConnected):
            db.execute_many("SELECT $1", [(1,)])
        with pytest.raises(NotConnected), db.transaction():
            pass

    check()
    db.connect()
    db.disconnect()
    check()


def test_connect_and_disconnect_any_number_of_times(url: str) -> None:
    db = SyncDatabase(url, 2, 3)
    db.disconnect()
    for _ in range(2):
        assert db.connect() is db
        db.connect()
        assert (db.is_connected, db.pool_stats()["total"]) == (True, 2)
        assert db.query_val("SELECT 1") == 1
        db.disconnect()
        db.disconnect()
        assert (db.is_connected, db.pool_stats()["total"]) == (False, 0)


def test_disconnect_lets_running_calls_finish(url: str) -> None:
    db = SyncDatabase(url, 1, 4).connect()
    results: list[int] = []
    refused: list[Exception] = []

    def run() -> None:
        results.append(db.query_val("SELECT 7 FROM pg_sleep(0.3)"))
        try:
            db.query_val("SELECT 1")
        except NotConnected as error:
            refused.append(error)

    running = [threading.Thread(target=run) for _ in range(3)]
    for thread in running:
        thread.start()
    time.sleep(0.15)
    db.disconnect()
    assert db.pool_stats()["total"] == 0
    for thread in running:
        thread.join()
    assert results == [7, 7, 7]
    assert len(refused) == 3


def test_a_call_that_waits_for_a_connection_hears_of_the_end(url: str) -> None:
    db = SyncDatabase(url, 1, 1).connect()
    heard: list[Exception] = []

    def wait() -> None:
        try:
            db.query("SELECT 1")
        except InterfaceError as error:
            heard.append(error)

    sleeper = threading.Thread(target=db.query, args=("SELECT pg_sleep(0.4)",))
    sleeper.start()
    time.sleep(0.1)
    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.1)
    db.disconnect()
    waiter.join()
    sleeper.join()
    assert "closed while the call waited" in str(heard[0])


def test_what_it_says_of_itself_shows_no_password() -> None:
    db = SyncDatabase("postgresql://me:s3cret@somewhere:77/things", 1, 5)
    assert repr(db) == "<SyncDatabase postgresql://me:***@somewhere:77/things not connected>"
    assert (db.url, db.backend) == ("postgresql://me:***@somewhere:77/things", "pgzig")
    assert (db.min_size, db.max_size, db.is_connected) == (1, 5, False)


def test_sizes_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="min_size must be from 0 to max_size"):
        SyncDatabase("postgresql:///things", 5, 4)
