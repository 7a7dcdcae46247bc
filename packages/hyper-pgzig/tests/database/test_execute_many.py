"""`execute_many`: sets that are sent while the backend works, all or nothing, on both faces.

PostgreSQL docs: protocol-flow, "Pipelining"; sql-savepoint; sql-set-constraints.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from hyperdjango.database import (
    Database,
    DataError,
    Error,
    ForeignKeyViolation,
    InFailedSqlTransaction,
    InterfaceError,
    OperationalError,
    OutcomeUnknown,
    SyncDatabase,
    UndefinedTable,
    UniqueViolation,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pgkit.face import Face, OpenFace
from pgkit.proxy import Proxy
from pgkit.until import until

INSERT: Final = "INSERT INTO t VALUES ($1)"
# Around the sizes in which sets are taken from their iterable, and the first that goes alone.
COUNT: Final = 2400
PLACES: Final = (0, 1, 2, 499, 500, 501, 999, 1000, 1777, COUNT - 1)


@pytest.fixture
def table(face: Face) -> Face:
    face.execute("CREATE TABLE t (a int PRIMARY KEY)")
    face.execute("INSERT INTO t VALUES (-1)")
    return face


def numbers(url: str) -> list[int]:
    with psycopg.connect(url, autocommit=True) as other:
        return [row[0] for row in other.execute("SELECT a FROM t ORDER BY a").fetchall()]


def sets(count: int, bad: int = -1, value: object = -1) -> Iterator[tuple[object]]:
    for n in range(count):
        yield (value if n == bad else n,)


async def later(rows: Iterator[Any]) -> AsyncIterator[Any]:
    for n, row in enumerate(rows):
        if n % 400 == 0:
            await asyncio.sleep(0)
        yield row


# All or nothing


@pytest.mark.parametrize("bad", PLACES)
def test_the_set_that_the_server_refuses_is_named_and_nothing_is_done(
    table: Face, url: str, bad: int
) -> None:
    with pytest.raises(UniqueViolation) as caught:
        table.execute_many(INSERT, sets(COUNT, bad))
    assert caught.value.__notes__ == [f"in set {bad} of execute_many, counted from 0"]
    assert numbers(url) == [-1]
    assert table.execute_many(INSERT, sets(COUNT)) == f"INSERT {COUNT}"
    assert numbers(url) == [-1, *range(COUNT)]


@pytest.mark.parametrize("bad", PLACES)
def test_the_set_that_does_not_fit_is_named_and_nothing_is_done(table: Face, url: str, bad: int) -> None:
    for value, wrong in ((2**40, "out of range"), (object(), "does not fit")):
        with pytest.raises(DataError, match=rf"^set {bad}, parameter \$1: .*{wrong}"):
            table.execute_many(INSERT, sets(COUNT, bad, value))
    with pytest.raises(DataError, match=rf"^set {bad}, the statement has 1 parameter, 2 values were given"):
        table.execute_many(INSERT, ((n, n) if n == bad else (n,) for n in range(COUNT)))
    assert numbers(url) == [-1]
    assert table.query_val("SELECT 1") == 1


@pytest.mark.parametrize("count", [1, 3, 500, 501, COUNT])
@pytest.mark.parametrize("value", [-1, 2**40])
def test_a_block_goes_on_after_a_call_that_failed(table: Face, url: str, count: int, value: int) -> None:
    """Whether it was one set or many, and whoever has refused it."""
    with table.transaction():
        table.execute(INSERT, 10_000)
        with pytest.raises(Error):
            table.execute_many(INSERT, sets(count, count - 1, value))
        table.execute_many(INSERT, [(10_001,), (10_002,)])
        with pytest.raises(Error):
            table.execute_many(INSERT, sets(count, count // 2, value))
        table.execute(INSERT, 10_003)
    assert numbers(url) == [-1, *range(10_000, 10_004)]


@pytest.mark.parametrize("value", [-1, 2**40])
def test_as_the_first_of_a_block_it_may_fail_too(table: Face, url: str, value: int) -> None:
    with table.transaction():
        with pytest.raises(Error):
            table.execute_many(INSERT, sets(COUNT, 1500, value))
        table.execute_many(INSERT, sets(COUNT))
    assert numbers(url) == [-1, *range(COUNT)]


def test_what_the_server_refused_comes_before_what_does_not_fit(table: Face, url: str) -> None:
    rows = [(-1,) if n == 600 else (2**40,) if n == 601 else (n,) for n in range(COUNT)]
    with pytest.raises(UniqueViolation) as caught:
        table.execute_many(INSERT, rows)
    assert caught.value.__notes__ == ["in set 600 of execute_many, counted from 0"]
    assert numbers(url) == [-1]


def test_of_two_sets_that_the_server_refuses_the_first_is_named(table: Face) -> None:
    rows = [(-1,) if n in {700, 701, 1900} else (n,) for n in range(COUNT)]
    with pytest.raises(UniqueViolation) as caught:
        table.execute_many(INSERT, rows)
    assert caught.value.__notes__ == ["in set 700 of execute_many, counted from 0"]


@pytest.mark.parametrize("count", [3, COUNT])
def test_a_constraint_that_is_checked_at_the_end_undoes_all(face: Face, url: str, count: int) -> None:
    face.execute("CREATE TABLE p (a int PRIMARY KEY)")
    face.execute("CREATE TABLE t (a int REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(ForeignKeyViolation):
        face.execute_many(INSERT, sets(count))
    assert numbers(url) == []
    with pytest.raises(ForeignKeyViolation), face.transaction():
        face.execute_many(INSERT, sets(count))
    assert numbers(url) == []
    face.execute_many("INSERT INTO p VALUES ($1)", sets(count))
    face.execute_many(INSERT, sets(count))
    assert numbers(url) == list(range(count))


@pytest.mark.parametrize("count", [1, COUNT])
def test_in_a_failed_block_the_server_says_so(table: Face, count: int) -> None:
    with pytest.raises(InFailedSqlTransaction), table.transaction():  # noqa: PT012 - it is the whole block
        with pytest.raises(UniqueViolation):
            table.execute(INSERT, -1)
        table.execute_many(INSERT, sets(count))
    assert table.query_val("SELECT 1") == 1


@pytest.mark.parametrize("count", [1, COUNT])
def test_an_unknown_table_is_what_the_error_says(face: Face, count: int) -> None:
    with pytest.raises(UndefinedTable):
        face.execute_many("INSERT INTO nowhere VALUES ($1)", sets(count))
    with pytest.raises(UndefinedTable), face.transaction():
        face.execute_many("INSERT INTO nowhere VALUES ($1)", sets(count))
    assert face.query_val("SELECT 1") == 1


# What is given


class Pair(Sequence[int]):
    def __init__(self, *values: int) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]


@pytest.mark.parametrize(
    "make", [tuple, list, lambda pair: Pair(*pair), lambda pair: range(pair[0], pair[1] + 1)]
)
def test_a_set_is_any_sequence(face: Face, make: Callable[[tuple[int, int]], Any]) -> None:
    face.execute("CREATE TABLE t (a int, b int)")
    rows = [make((n, n + 1)) for n in range(700)]
    assert face.execute_many("INSERT INTO t VALUES ($1, $2)", rows) == "INSERT 700"
    assert face.query("SELECT a, b FROM t ORDER BY a", into=tuple) == [(n, n + 1) for n in range(700)]


@pytest.mark.parametrize("bad", [0, 600, 2000])
@pytest.mark.parametrize("values", ["x", b"x", {"a": 1}, OrderedDict(a=1), {1}, 1, None, iter([1])])
def test_what_is_no_sequence_is_a_type_error_and_nothing_is_done(
    table: Face, url: str, values: object, bad: int
) -> None:
    rows = [values if n == bad else (n,) for n in range(COUNT)]
    with pytest.raises(TypeError, match="each set of values must be a sequence"):
        table.execute_many(INSERT, rows)
    assert numbers(url) == [-1]
    assert table.query_val("SELECT 1") == 1


def test_text_for_another_type_may_come_in_any_set(table: Face, url: str) -> None:
    rows = [(str(n),) if n % 700 == 699 else (n,) for n in range(COUNT)]
    table.execute_many(INSERT, rows)
    assert numbers(url) == [-1, *range(COUNT)]


def test_values_of_every_format_arrive(face: Face) -> None:
    face.execute("CREATE TABLE t (n serial, a text, b varchar(9), c char(3), d inet, e numeric, f text[])")
    rows = [
        (f"é{n}", None, "x", "10.0.0.1", n, ["a", None]) if n % 3 else (None, "b", None, None, str(n), [])
        for n in range(1300)
    ]
    face.execute_many("INSERT INTO t (a, b, c, d, e, f) VALUES ($1, $2, $3, $4, $5, $6)", rows)
    wanted = [
        (f"é{n}", None, "x  ", "10.0.0.1", n, ["a", None]) if n % 3 else (None, "b", None, None, n, [])
        for n in range(1300)
    ]
    assert face.query("SELECT a, b, c, d, e, f FROM t ORDER BY n", into=tuple) == wanted


def test_sets_without_values_run_as_often(face: Face) -> None:
    face.execute("CREATE TABLE t (a serial)")
    assert face.execute_many("INSERT INTO t DEFAULT VALUES", [()] * 1200) == "INSERT 1200"
    assert face.execute_many(";", [()] * 1200) == "0"


class Counted(str):
    """A text that knows how many of its kind there are."""

    __slots__ = ()
    alive = 0
    most = 0

    def __new__(cls, text: str) -> "Counted":
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)
        return super().__new__(cls, text)

    def __del__(self) -> None:
        Counted.alive -= 1


def test_of_a_hundred_thousand_sets_few_are_in_memory(face: Face) -> None:
    face.execute("CREATE UNLOGGED TABLE t (a text)")
    Counted.alive = Counted.most = 0
    assert face.execute_many(INSERT, ((Counted(str(n)),) for n in range(100_000))) == "INSERT 100000"
    assert Counted.most < 3000
    assert face.query_val("SELECT count(DISTINCT a) FROM t") == 100_000


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_long_values_do_not_pile_up(face: Face) -> None:
    face.execute("CREATE UNLOGGED TABLE t (a int)")
    text = "x" * 400_000
    most = 0

    def rows() -> Iterator[tuple[str]]:
        nonlocal most
        for n in range(800):
            if n % 20 == 0:
                most = max(most, resident())
            yield (text + str(n),)

    before = resident()
    face.execute_many("INSERT INTO t VALUES (length($1::text))", rows())
    assert most - before < 100_000_000  # of 320 million bytes
    assert face.query_val("SELECT count(*) FROM t") == 800


# Rows


class Row(NamedTuple):
    a: int
    b: str


@pytest.mark.parametrize("count", [0, 1, 500, 501, COUNT])
def test_returning_gives_the_rows_of_all_sets_in_order(face: Face, count: int) -> None:
    face.execute("CREATE TABLE t (a int, b text)")
    add = "INSERT INTO t SELECT $1, 'x' || n FROM generate_series(1, $1 % 3) n RETURNING a, b"
    wanted = [(a, f"x{n}") for a in range(count) for n in range(1, a % 3 + 1)]
    assert face.execute_many(add, sets(count), returning=True, into=tuple) == wanted
    assert face.execute_many(add, sets(count), returning=True) == [{"a": a, "b": b} for a, b in wanted]
    with face.transaction():
        assert face.execute_many(add, sets(count), returning=True, into=Row) == [
            Row(*each) for each in wanted
        ]
    assert face.execute_many(add, sets(count)) == f"INSERT {len(wanted)}"


@pytest.mark.parametrize("count", [1, COUNT])
def test_a_statement_without_rows_gives_none(face: Face, count: int) -> None:
    face.execute("CREATE TABLE t (a int)")
    assert face.execute_many(INSERT, sets(count), returning=True) == []


@pytest.mark.parametrize("count", [2, COUNT])
def test_rows_of_types_that_nobody_knows_are_looked_up(face: Face, count: int) -> None:
    face.execute("CREATE TYPE pair AS (a int, b text)")
    found = face.execute_many("SELECT ROW($1::int, 'x')::pair AS p", sets(count), returning=True, into=tuple)
    assert [tuple(row[0]) for row in found] == [(n, "x") for n in range(count)]
    found = face.execute_many(
        "SELECT ARRAY[ROW($1::int, ROW(1, 'y')::pair)]", sets(count), returning=True, into=tuple
    )
    assert [next(iter(row[0][0])) for row in found] == list(range(count))


def test_an_error_in_a_row_is_raised_and_all_is_undone(table: Face, url: str) -> None:
    def refuse(**row: int) -> int:
        if row["a"] == 1500:
            raise ZeroDivisionError
        return row["a"]

    with pytest.raises(ZeroDivisionError):
        table.execute_many(f"{INSERT} RETURNING a", sets(COUNT), returning=True, into=refuse)
    assert numbers(url) == [-1]
    assert table.query_val("SELECT 1") == 1


def test_into_goes_with_returning(face: Face) -> None:
    with pytest.raises(TypeError, match="it goes with returning=True"):
        face.execute_many("SELECT $1::int", [(1,)], into=tuple)
    with pytest.raises(TypeError, match="into="):
        face.execute_many("SELECT $1::int", [(1,)], returning=True, into=5)


# Texts that are not what they were


@pytest.mark.parametrize("count", [3, COUNT])
def test_a_plan_that_is_out_of_date_heals(face: Face, url: str, count: int) -> None:
    face.execute("CREATE TABLE t (a int)")
    add = f"{INSERT} RETURNING *"
    face.execute_many(add, sets(count))
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE t ADD b int DEFAULT 7")
    assert face.execute_many(add, sets(count), returning=True, into=tuple) == [(n, 7) for n in range(count)]
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE t ALTER a TYPE text")
    with face.transaction():
        assert face.execute_many(add, ((str(n),) for n in range(count))) == f"INSERT {count}"
    assert face.query_val("SELECT count(*) FROM t") == 3 * count


def test_without_prepared_statements_it_is_the_same(open_face: OpenFace, url: str) -> None:
    face = open_face(url, statement_cache_size=0)
    face.execute("CREATE SCHEMA other")
    face.execute("CREATE TABLE other.t (a int)")
    face.execute("CREATE TABLE t (a int)")
    assert face.execute_many(INSERT, sets(COUNT)) == f"INSERT {COUNT}"
    with face.transaction():
        face.execute("SET LOCAL search_path TO other")
        assert face.execute_many(INSERT, sets(COUNT)) == f"INSERT {COUNT}"
    assert face.query_val("SELECT count(*) FROM other.t") == COUNT
    assert face.query_val("SELECT count(*) FROM t") == COUNT
    face.execute("DROP SCHEMA other CASCADE")


@pytest.mark.parametrize("copy", ["COPY t FROM STDIN", "COPY t TO STDOUT"])
def test_copy_is_refused_and_the_next_call_runs(table: Face, url: str, copy: str) -> None:
    for count in (1, 2, COUNT):
        with pytest.raises(InterfaceError, match="cannot run as an ordinary statement"):
            table.execute_many(copy, [()] * count)
        table.execute(INSERT, count)
    for count in (1, COUNT):
        with table.transaction():
            with pytest.raises(InterfaceError):
                table.execute_many(copy, [()] * count)
            table.execute(INSERT, 10_000 + count)
    assert numbers(url) == [-1, 1, 2, COUNT, 10_001, 10_000 + COUNT]


# Iterables that do something themselves


class Whim(Exception):  # noqa: N818 - an error of the test's own
    pass


def test_a_timeout_error_of_the_iterables_own_is_not_taken_for_the_calls(table: Face, url: str) -> None:
    def rows() -> Iterator[tuple[int]]:
        yield from ((n,) for n in range(1200))
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as caught:
        table.execute_many(INSERT, rows(), timeout=60)
    assert type(caught.value) is TimeoutError
    assert numbers(url) == [-1]


@pytest.mark.parametrize("place", PLACES)
def test_an_iterable_that_raises_undoes_all(table: Face, url: str, place: int) -> None:
    def rows() -> Iterator[tuple[int]]:
        for n in range(COUNT):
            if n == place:
                raise Whim
            yield (n,)

    with pytest.raises(Whim):
        table.execute_many(INSERT, rows())
    with table.transaction():
        with pytest.raises(Whim):
            table.execute_many(INSERT, rows())
        table.execute(INSERT, 10_000)
    assert numbers(url) == [-1, 10_000]


def test_an_iterable_of_the_blocking_face_may_use_the_connection(url: str) -> None:
    """A pool of one: outside of a block its first batches are asked for before there is a transaction."""
    with SyncDatabase(url, 1, 1) as db:
        db.execute("CREATE TABLE t (a int)")

        def rows(step: int) -> Iterator[tuple[int]]:
            for n in range(COUNT):
                if n % step == 0:
                    assert db.query_val("SELECT $1::int", n) == n
                    with db.transaction():
                        db.pipeline(["SELECT 1", "SELECT 2"])
                yield (n,)

        assert db.execute_many(INSERT, rows(700)) == f"INSERT {COUNT}"
        with db.transaction():
            assert db.execute_many(INSERT, rows(300)) == f"INSERT {COUNT}"
        assert db.query_val("SELECT count(DISTINCT a) FROM t WHERE a < $1", COUNT) == COUNT
        with pytest.raises(Error), db.transaction():
            db.execute_many(INSERT, (row if row != (1700,) else (2**40,) for row in rows(300)))
        assert db.query_val("SELECT count(*) FROM t") == 2 * COUNT


async def test_an_async_iterable_may_use_the_connection(url: str) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE t (a int PRIMARY KEY)")

        async def rows(start: int) -> AsyncIterator[tuple[int]]:
            for n in range(start, start + COUNT):
                if n % 300 == 0:
                    assert await db.query_val("SELECT $1::int", n) == n
                    async with db.transaction():
                        await db.pipeline(["SELECT 1", "SELECT 2"])
                yield (n,)

        assert await db.execute_many(INSERT, rows(0)) == f"INSERT {COUNT}"
        async with db.transaction():
            assert await db.execute_many(INSERT, rows(COUNT)) == f"INSERT {COUNT}"
            with pytest.raises(UniqueViolation):
                await db.execute_many(INSERT, rows(1))
            await db.execute(INSERT, 2 * COUNT)
        assert await db.query_val("SELECT count(*) FROM t") == 2 * COUNT + 1


async def test_a_stream_of_the_same_database_may_be_what_it_is_given(url: str) -> None:
    read = "SELECT n FROM generate_series(0, 2399) n"
    async with Database(url, 2, 2) as db:
        await db.execute("CREATE TABLE t (a int PRIMARY KEY)")
        rows = db.stream(read, chunk=300, into=tuple)
        assert await db.execute_many(INSERT, rows) == f"INSERT {COUNT}"
        async with db.transaction():
            rows = db.stream(f"SELECT n + {COUNT} FROM ({read}) _", chunk=300, into=tuple)
            assert await db.execute_many(INSERT, rows) == f"INSERT {COUNT}"
        assert await db.query_val("SELECT count(*) FROM t") == 2 * COUNT
    with SyncDatabase(url, 2, 2) as blocking:
        blocking.execute("TRUNCATE t")
        rows_now = blocking.stream(read, chunk=300, into=tuple)
        assert blocking.execute_many(INSERT, rows_now) == f"INSERT {COUNT}"
        with blocking.transaction():
            rows_now = blocking.stream(f"SELECT n + {COUNT} FROM ({read}) _", chunk=300, into=tuple)
            assert blocking.execute_many(INSERT, rows_now) == f"INSERT {COUNT}"
        assert blocking.query_val("SELECT count(*) FROM t") == 2 * COUNT


async def test_a_refused_set_is_named_though_the_iterable_has_made_it_known_first(url: str) -> None:
    """A statement of the iterable's own settles what was sent; it is the one that fails then."""
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE t (a int PRIMARY KEY)")
        seen: list[Exception] = []

        async def rows() -> AsyncIterator[tuple[int]]:
            for n in range(COUNT):
                if n == 2000:
                    try:
                        await db.query_val("SELECT 1")
                    except InFailedSqlTransaction as error:
                        seen.append(error)
                yield (5 if n == 1400 else n,)

        with pytest.raises(UniqueViolation) as caught:
            await db.execute_many(INSERT, rows())
        assert caught.value.__notes__ == ["in set 1400 of execute_many, counted from 0"]
        assert len(seen) == 1
        assert await db.query_val("SELECT count(*) FROM t") == 0


async def test_tasks_of_a_block_may_all_call_it(url: str) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE t (a int PRIMARY KEY)")
        async with db.transaction():
            counts = [1, 700, 3, COUNT, 2, 501]
            await asyncio.gather(
                *(
                    db.execute_many(INSERT, [(10_000 * place + n,) for n in range(count)])
                    for place, count in enumerate(counts)
                ),
                *(db.query_val("SELECT $1::int", n) for n in range(20)),
            )
            outcomes = await asyncio.gather(
                *(db.execute_many(INSERT, [(100_000 + n // 2,) for n in range(k)]) for k in (1, 2, 600)),
                return_exceptions=True,
            )
            assert [type(each) for each in outcomes[1:]] == [UniqueViolation] * 2
        assert await db.query_val("SELECT count(*) FROM t") == sum(counts) + 1


@pytest.mark.parametrize("is_in_block", [True, False])
async def test_a_call_that_is_cancelled_while_its_iterable_waits_does_nothing(
    url: str, is_in_block: bool
) -> None:
    async with Database(url, 2, 2) as db:
        await db.execute("CREATE TABLE t (a int)")
        waits = asyncio.Event()

        async def rows() -> AsyncIterator[tuple[int]]:
            for n in range(COUNT):
                if n == 1700:
                    waits.set()
                    await asyncio.Event().wait()
                yield (n,)

        async def call() -> None:
            if not is_in_block:
                await db.execute_many(INSERT, rows())
                return
            async with db.transaction():
                try:
                    await db.execute_many(INSERT, rows())
                finally:
                    await db.execute(INSERT, 10_000)

        task = asyncio.create_task(call())
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await db.query_val("SELECT count(*) FROM t") == 0
        assert db.pool_stats()["busy"] == 0
        assert db.pool_stats()["total"] == 2


async def test_a_call_whose_time_is_over_inside_a_block_leaves_the_block_usable(url: str) -> None:
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE t (a int)")
        async with db.transaction():
            with pytest.raises(OperationalError, match="timeout"):
                await db.execute_many("INSERT INTO t SELECT $1 FROM pg_sleep(0.01)", sets(COUNT), timeout=0.2)
            await db.execute_many(INSERT, sets(COUNT))
        assert await db.query_val("SELECT count(*) FROM t") == COUNT


# Connections that end


@pytest.mark.parametrize("place", [1100, 1700])
def test_a_connection_that_is_ended_half_way_leaves_nothing(table: Face, url: str, place: int) -> None:
    pid = table.query_val("SELECT pg_backend_pid()")

    def rows() -> Iterator[tuple[int]]:
        for n in range(COUNT):
            if n == place:
                with psycopg.connect(url, autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(%s)", [pid])
                    until(
                        lambda: (
                            not other.execute(
                                "SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]
                            ).fetchall()
                        )
                    )
            yield (n,)

    with pytest.raises(OperationalError) as caught:
        table.execute_many(INSERT, rows())
    assert not isinstance(caught.value, OutcomeUnknown)
    assert numbers(url) == [-1]
    assert table.execute_many(INSERT, sets(COUNT)) == f"INSERT {COUNT}"


def test_a_connection_that_is_lost_in_the_commit_leaves_the_outcome_unknown(
    open_face: OpenFace, url: str
) -> None:
    with Proxy.before(url) as proxy, psycopg.connect(url, autocommit=True) as other:
        face = open_face(proxy.url(url))
        face.execute("CREATE TABLE t (a int)")
        face.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$begin if new.a = 0 then perform pg_sleep(1); end if; return null; end$$"
        )
        face.execute(
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION slow()"
        )

        def cut() -> None:
            busy = "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
            until(lambda: other.execute(busy).fetchall())
            proxy.cut()

        thread = threading.Thread(target=cut)
        thread.start()
        with pytest.raises(OutcomeUnknown):
            face.execute_many(INSERT, sets(COUNT))
        thread.join()
        # It is not done a second time, whatever came of it.
        until(
            lambda: (
                not other.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
                ).fetchall()
            )
        )
        assert len(numbers(url)) in {0, COUNT}


@pytest.mark.parametrize("count", [0, 1, 1000, 20_000, 60_000])
def test_bytes_that_stop_anywhere_leave_nothing(open_face: OpenFace, url: str, count: int) -> None:
    with Proxy.before(url) as proxy:
        face = open_face(proxy.url(url))
        face.execute("CREATE TABLE t (a int)")
        proxy.last_session.cut_in("to_backend", count)
        with pytest.raises(OperationalError):
            face.execute_many(INSERT, sets(COUNT))
        assert numbers(url) == []
        assert face.execute_many(INSERT, sets(COUNT)) == f"INSERT {COUNT}"


def test_a_link_that_dribbles_is_only_slow(open_face: OpenFace, url: str) -> None:
    with Proxy.before(url) as proxy:
        proxy.chunk_size = 701
        face = open_face(proxy.url(url))
        face.execute("CREATE TABLE t (a int, b text)")
        rows = [(n, "x" * (n % 97)) for n in range(3000)]
        add = "INSERT INTO t VALUES ($1, $2) RETURNING a, b"
        assert face.execute_many(add, rows, returning=True, into=tuple) == rows


def test_rows_longer_than_what_was_sent_do_not_block_both_sides(face: Face) -> None:
    found = face.execute_many("SELECT repeat('x', $1)", [(20_000,)] * 1500, returning=True, into=tuple)
    assert found == [("x" * 20_000,)] * 1500


# The same as one by one

# What does not fit is left out: in a batch that is found before the server has seen any of it.
_VALUES: Final = st.tuples(
    st.one_of(st.none(), st.integers(-5, 40), st.integers(0, 9).map(str), st.just("x")),
    st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(_VALUES, max_size=8), before=st.integers(0, 3), filler=st.sampled_from([0, 3, 498, 1200])
)
def test_it_does_what_a_loop_of_execute_does(
    face: Face, rows: list[tuple[Any, Any]], before: int, filler: int
) -> None:
    face.execute("CREATE TABLE IF NOT EXISTS t (n serial, a int UNIQUE, b text)")
    add = "INSERT INTO t (a, b) VALUES ($1, $2) RETURNING a, b"
    whole = [(1000 + n, "y") for n in range(filler)]
    whole[min(filler, before * 400) : 0] = rows

    def one_by_one() -> list[tuple[Any, ...]]:
        return [row for values in whole for row in face.query(add, *values, into=tuple)]

    def at_once() -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = face.execute_many(add, whole, returning=True, into=tuple)
        return found

    outcomes = []
    for call in (one_by_one, at_once):
        face.execute("TRUNCATE t")
        outcome: object
        try:
            with face.transaction():
                outcome = call()
        except Error as error:
            outcome = type(error)
        outcomes.append((outcome, face.query("SELECT a, b FROM t ORDER BY n", into=tuple)))
    assert outcomes[0] == outcomes[1]
