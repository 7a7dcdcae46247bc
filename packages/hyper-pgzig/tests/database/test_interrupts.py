"""SyncDatabase under Ctrl-C: KeyboardInterrupt at any moment of a call, a block, a connect.

It is raised at each moment of a call's way through the driver at which a signal could, and in a process of
its own hundreds of times at random moments, by a real signal. After each the pool is whole, no transaction
is open, and a write was done once or not at all. Python docs: signal, "Execution of Python signal handlers".
"""

import gc
import io
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from hyperdjango.database import DataError, Error, Notification, SyncDatabase
from interrupt_points import interrupt_everywhere
from pgkit.notes import payload
from pgkit.until import until
from postgres_servers import Server

if TYPE_CHECKING:
    from hyperdjango.database._slot import Slot

pytestmark = pytest.mark.usefixtures("quick_collections")

ROUNDS: Final = 250
PROGRAM_SECONDS_MAX: Final = 120

PROGRAM: Final = """
import json, random, signal, sys, threading
from hyperdjango.database import SyncDatabase

url, kind, seed, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(seed)
MAX_SIZE = 2
INSERT = "INSERT INTO written VALUES ($1)"

def connect():
    return SyncDatabase(url, 0, MAX_SIZE, application_name="interrupted").connect()

db = connect()
db.query_val("SELECT $1::int8", 0)

def call(tag):
    assert db.query_val("SELECT $1::int8", tag) == tag

def slow_call(tag):
    assert db.query_val("SELECT $1::int8 FROM pg_sleep(0.01)", tag) == tag

def unknown_text(tag):
    assert db.query_val(f"SELECT $1::int8 + {tag}", 1) == tag + 1

def insert(tag):
    assert db.execute(INSERT, tag) == "INSERT 1"

def block(tag):
    with db.transaction():
        db.execute(INSERT, tag)
        with db.transaction():
            call(tag)

def batches(tag):
    db.execute_many(INSERT, [(tag,)] * 600)

def pipeline(tag):
    assert db.pipeline([("SELECT $1::int8", [tag]), (INSERT, [tag]), "SELECT 1"])[0] == [(tag,)]

def run(tag):
    db.run(lambda: block(tag))

def copy(tag):
    assert db.execute("COPY written FROM STDIN", (f"{tag}\\n" for _ in range(600))) == "COPY 600"

def copy_records(tag):
    assert db.copy_records("written", ((tag,) for _ in range(600))) == "COPY 600"

def copy_out(tag):
    sql = f"COPY (SELECT {tag} FROM generate_series(1, 30000)) TO STDOUT"
    assert len(b"".join(db.copy_out(sql))) == 30000 * (len(str(tag)) + 1)

def stream(tag):
    sql = "INSERT INTO written SELECT $1::int8 FROM generate_series(1, 600) RETURNING tag"
    assert len(list(db.stream(sql, tag, chunk=100))) == 600

def whole_life(tag):
    with SyncDatabase(url, 2, 2, application_name="interrupted") as own:
        assert own.query_val("SELECT $1::int8", tag) == tag

WORK = {
    "call": (call, 0.0006, 0), "slow call": (slow_call, 0.013, 0), "unknown text": (unknown_text, 0.001, 0),
    "insert": (insert, 0.0008, 1), "block": (block, 0.003, 1), "batches": (batches, 0.02, 600),
    "pipeline": (pipeline, 0.0015, 1), "run": (run, 0.003, 1),
    "whole life": (whole_life, 0.02, 0), "copy": (copy, 0.004, 600),
    "copy_records": (copy_records, 0.004, 600), "copy_out": (copy_out, 0.02, 0),
    "stream": (stream, 0.006, 600),
}
work, seconds, times = WORK[kind]
is_armed = False

def on_alarm(*_):
    global is_armed
    if is_armed:
        is_armed = False
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, on_alarm)

def use_all_places():
    together = threading.Barrier(MAX_SIZE, timeout=20)
    problems = []
    def use(n):
        try:
            with db.transaction():
                assert db.query_val("SELECT $1::int8", n, timeout=20) == n
                together.wait()
        except BaseException as error:
            problems.append(repr(error))
    threads = [threading.Thread(target=use, args=(n,)) for n in range(MAX_SIZE)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return problems

outcomes, problems = {}, []
interrupted = 0
for tag in range(1, rounds + 1):
    outcomes[tag] = "interrupted"
    try:
        is_armed = True
        signal.setitimer(signal.ITIMER_REAL, max(1e-6, chance.random() * seconds))
        work(tag)
        is_armed = False
        outcomes[tag] = "done"
    except KeyboardInterrupt:
        interrupted += 1
    finally:
        is_armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
    stats = db.pool_stats()
    if stats["busy"] or stats["waiting"] or db.in_transaction():
        problems.append(f"round {tag}: {stats}, in a transaction: {db.in_transaction()}")
        break
    # Two answers in a row: a reply left over would be the first.
    if [db.query_val("SELECT $1::int8", -n, timeout=20) for n in (tag, tag + 1)] != [-tag, -tag - 1]:
        problems.append(f"round {tag}: another call's answer")
    if tag % 20 == 0:
        problems += use_all_places()
    if problems:
        break
db.disconnect()
print(json.dumps({"outcomes": outcomes, "problems": problems, "interrupted": interrupted, "times": times}))
"""

KINDS: Final = (
    "call",
    "slow call",
    "unknown text",
    "insert",
    "block",
    "batches",
    "pipeline",
    "run",
    "whole life",
    "copy",
    "copy_records",
    "copy_out",
    "stream",
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_leaves_the_pool_whole_and_the_connection_clean(url: str, kind: str) -> None:
    seed = int(os.environ.get("HYPER_TEST_SEED", secrets.randbits(32)))
    with psycopg.connect(url, autocommit=True) as control:
        control.execute("CREATE TABLE written (tag int8)")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, url, kind, str(seed), str(ROUNDS)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PROGRAM_SECONDS_MAX,
        )
        assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["problems"] == [], f"seed {seed}"
        assert done.stderr == "", f"seed {seed}"
        assert report["interrupted"] > ROUNDS / 20
        found = control.execute("SELECT tag, count(*) FROM written GROUP BY 1").fetchall()
        left = control.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'interrupted' AND state <> 'idle'"
        ).fetchone()
    assert left == (0,)
    written: dict[str, int] = {str(tag): count for tag, count in found}
    for tag, outcome in report["outcomes"].items():
        allowed = {report["times"]} if outcome == "done" else {0, report["times"]}
        assert written.get(tag, 0) in allowed, f"seed {seed}, tag {tag}: {outcome}"


def call(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::int8", 1) == 1


def first_call(db: SyncDatabase) -> None:
    name = secrets.token_hex(8)
    assert db.query_one(f"SELECT $1::int4 AS x{name}", 1) == {f"x{name}": 1}


def script(db: SyncDatabase) -> None:
    assert db.execute("SELECT 1; SET search_path = public").tag == "SET"


def block(db: SyncDatabase) -> None:
    with db.transaction():
        call(db)


def nested_block(db: SyncDatabase) -> None:
    with db.transaction(), db.transaction():
        call(db)


def failing_block(db: SyncDatabase) -> None:
    def fail() -> None:
        with db.transaction():
            call(db)
            raise ValueError("on purpose")

    with db.transaction():
        with pytest.raises(ValueError, match="on purpose"):
            fail()
        call(db)


def run(db: SyncDatabase) -> None:
    db.on_commit(lambda: None)
    db.run(lambda: call(db))


def batch(db: SyncDatabase) -> None:
    db.execute_many("SELECT $1::int8", [(n,) for n in range(3)])


def batches(db: SyncDatabase) -> None:
    db.execute_many("SELECT $1::int8", [(n,) for n in range(600)])


def pipeline(db: SyncDatabase) -> None:
    assert db.pipeline([("SELECT $1::int8", [1]), "SELECT 2"]) == [[(1,)], [(2,)]]


def pipeline_in_a_block(db: SyncDatabase) -> None:
    with db.transaction():
        pipeline(db)


def copy_in(db: SyncDatabase) -> None:
    assert db.execute("COPY copied FROM STDIN", ["1\n", b"2\n"]) == "COPY 2"


def copy_in_a_block(db: SyncDatabase) -> None:
    with db.transaction():
        copy_in(db)
        call(db)


def copy_that_is_refused(db: SyncDatabase) -> None:
    with pytest.raises(DataError):
        db.execute("COPY copied FROM STDIN", ["1\n", "x\n"], timeout=30)


def copy_records(db: SyncDatabase) -> None:
    assert db.copy_records("copied", [(1,), (2,)]) == "COPY 2"


def copy_out(db: SyncDatabase) -> None:
    assert b"".join(db.copy_out("COPY (SELECT 1) TO STDOUT")) == b"1\n"
    assert db.copy_out("COPY (SELECT 1) TO STDOUT").write_to(io.BytesIO()) == "COPY 1"


MANY_ROWS: Final = "SELECT n, repeat('x', 1000) FROM generate_series(1, 500) n"


def copy_out_left_early(db: SyncDatabase) -> None:
    with db.copy_out(f"COPY ({MANY_ROWS}) TO STDOUT", into=tuple) as rows:
        for _ in rows:
            break


def copy_out_in_a_block(db: SyncDatabase) -> None:
    with db.transaction():
        with db.copy_out(f"COPY ({MANY_ROWS}) TO STDOUT") as parts:
            for _ in parts:
                break
        call(db)


def stream(db: SyncDatabase) -> None:
    assert list(db.stream("SELECT generate_series(1, 3) AS n", chunk=2, into=tuple)) == [(1,), (2,), (3,)]


def stream_in_a_block(db: SyncDatabase) -> None:
    with db.transaction():
        with closing(db.stream("SELECT generate_series(1, 3) AS n", chunk=1)) as rows:
            for _ in rows:
                call(db)
                break
        call(db)


COPIES: Final = (
    copy_in,
    copy_in_a_block,
    copy_that_is_refused,
    copy_records,
    copy_out,
    copy_out_left_early,
    copy_out_in_a_block,
    stream,
    stream_in_a_block,
)


def unfit(db: SyncDatabase) -> None:
    """It leaves a session behind that is to be reset, and an error."""

    def spoil() -> None:
        with db.transaction():
            db.execute("SET search_path = nowhere")
            db.query_val("SELECT 1 / $1::int4", 0)

    with pytest.raises(DataError):
        spoil()


WORK: Final = (
    call,
    first_call,
    script,
    block,
    nested_block,
    failing_block,
    run,
    batch,
    batches,
    pipeline,
    pipeline_in_a_block,
    unfit,
)


def is_kept(db: SyncDatabase) -> bool:
    """Whether somebody else than the pool has its idle connection.

    Nobody would hear of it if the next one to have it dropped it.
    """
    for slot in db._pool._idle.values():
        return sys.getrefcount(slot) > 3  # the pool's, ours, and the argument
    return False


def check_whole(db: SyncDatabase, where: str | None) -> list[str]:
    """Return what is wrong with a pool of one connection that nobody uses."""
    stats = db.pool_stats()
    if stats["busy"] or stats["waiting"] or db.in_transaction():
        return [f"{where}: {stats}, in a transaction: {db.in_transaction()}"]
    if is_kept(db):
        return [f"{where}: something of the call still has the connection"]
    try:
        answer = db.query_val("SELECT $1::int8", 7, timeout=20)
    except Error as error:
        return [f"{where}: {error!r}"]
    return [] if answer == 7 else [f"{where}: another call's answer"]


@pytest.fixture
def no_collections() -> Iterator[None]:
    """The collector is off: what is freed is freed because nothing refers to it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_an_interrupt_at_any_moment_loses_no_place(
    embedded_server: Server, work: Callable[[SyncDatabase], None], caplog: pytest.LogCaptureFixture
) -> None:
    """On one server only: the moments are ours."""
    problems: list[str] = []
    with SyncDatabase(embedded_server.superuser_url, 0, 1) as db:
        call(db)
        for point in interrupt_everywhere(lambda: db, work):
            problems += check_whole(db, point.where)
            if caplog.records:  # a transaction that was left open, say
                problems.append(f"{point.where}: {caplog.messages}")
                caplog.clear()
    assert problems == []


# The socket of a cancel request that has no owner yet is closed by the collector, which says so.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("work", COPIES, ids=lambda work: work.__name__)
def test_an_interrupt_at_any_moment_of_a_copy_loses_no_place(
    embedded_server: Server, work: Callable[[SyncDatabase], None]
) -> None:
    """What was interrupted between two steps of a generator's is ended when that is dropped."""
    problems: list[str] = []
    name = embedded_server.create_database()
    try:
        with SyncDatabase(embedded_server.url_for(name), 0, 1) as db:
            db.execute("CREATE TABLE copied (n int8)")
            for point in interrupt_everywhere(lambda: db, work):
                gc.collect()
                problems += check_whole(db, point.where)
    finally:
        embedded_server.drop_database(name)
    assert problems == []


# A blocking hook drives coroutines of ours, of which one may be dropped before it has begun.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("work", [call, unfit], ids=lambda work: work.__name__)
def test_an_interrupt_at_any_moment_of_a_pool_with_hooks_loses_no_place(
    embedded_server: Server, work: Callable[[SyncDatabase], None]
) -> None:
    def hook(connection: Any) -> None:
        connection.query_val("SELECT $1::int8", 1)

    problems: list[str] = []
    with SyncDatabase(
        embedded_server.superuser_url,
        0,
        1,
        on_connect=hook,
        on_acquire=hook,
        on_release=hook,
        leak_timeout=60,
    ) as db:
        call(db)
        for point in interrupt_everywhere(lambda: db, work):
            problems += check_whole(db, point.where)
    assert problems == []


def test_after_an_interrupt_at_any_moment_the_handler_can_use_the_only_connection(
    embedded_server: Server,
) -> None:
    def work(db: SyncDatabase) -> None:
        try:
            block(db)
        except KeyboardInterrupt:
            assert db.query_val("SELECT $1::int8", 2, timeout=20) == 2
            raise

    with SyncDatabase(embedded_server.superuser_url, 0, 1) as db:
        call(db)
        for point in interrupt_everywhere(lambda: db, work):
            assert check_whole(db, point.where) == []


# A socket that was just made and has no owner yet is closed by the collector, which says so.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_moment_of_connect_or_disconnect_leaves_both_possible(
    embedded_server: Server,
) -> None:
    def make() -> SyncDatabase:
        return SyncDatabase(embedded_server.superuser_url, 1, 2, max_lifetime=None, idle_timeout=None)

    def whole_life(db: SyncDatabase) -> None:
        with db:
            call(db)

    problems: list[str] = []
    for point in interrupt_everywhere(make, whole_life):
        db = point.subject
        outcome: list[BaseException | None] = []
        thread = threading.Thread(target=lambda: outcome.append(_failure_of(lambda: whole_life(db))))  # noqa: B023 - joined below
        thread.daemon = True
        thread.start()
        thread.join(20)
        stats = db.pool_stats()
        if outcome != [None] or stats["total"] > stats["closing"] or stats["waiting"]:
            problems.append(f"{point.where}: {outcome}, {stats}")
    assert problems == []


def first_note(db: SyncDatabase) -> None:
    with db.listen("jobs") as notes:
        db.notify("jobs", "x")
        assert isinstance(next(notes), Notification)


def first_note_of_a_plain_loop(db: SyncDatabase) -> None:
    for _ in db.listen("jobs", timeout=0):
        pass


# A socket that was just made and has no owner yet is closed by the collector, which says so.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("work", [first_note, first_note_of_a_plain_loop], ids=lambda work: work.__name__)
def test_an_interrupt_at_any_moment_of_a_listener_leaves_no_connection(
    embedded_server: Server, work: Callable[[SyncDatabase], None]
) -> None:
    problems: list[str] = []
    url, name = embedded_server.superuser_url, f"listens{secrets.token_hex(4)}"
    with (
        psycopg.connect(url, autocommit=True) as control,
        SyncDatabase(url, 0, 1, application_name=name) as db,
    ):
        call(db)
        for point in interrupt_everywhere(lambda: db, work):
            problems += check_whole(db, point.where)
        gc.collect()
        until(lambda: control.execute(BACKENDS, [name]).rowcount == 1)
    assert problems == []


BACKENDS: Final = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"


def test_after_an_interrupt_at_any_moment_a_listener_goes_on(embedded_server: Server) -> None:
    """On the same connection: there is no gap. What was about to be returned may be lost with the call."""
    problems: list[str] = []
    heard: list[str] = []
    with SyncDatabase(embedded_server.superuser_url, 0, 1) as db, db.listen("jobs") as notes:

        def prepare() -> SyncDatabase:
            heard.clear()
            db.notify("jobs", "x")
            return db

        for point in interrupt_everywhere(prepare, lambda _: heard.append(payload(next(notes)))):
            db.notify("jobs", "last")
            while not heard or heard[-1] != "last":
                heard.append(payload(next(notes)))
            if heard not in (["x", "last"], ["last"]):
                problems.append(f"{point.where}: {heard}")
    assert problems == []


def _failure_of(function: Callable[[], object]) -> BaseException | None:
    try:
        function()
    except BaseException as error:  # the caller looks at it
        return error
    return None


def test_whoever_waits_is_served_when_he_who_gives_back_is_interrupted(embedded_server: Server) -> None:
    with SyncDatabase(embedded_server.superuser_url, 0, 1, max_lifetime=None, idle_timeout=None) as db:
        held: list[Slot] = []
        answers: list[int] = []
        waiters: list[threading.Thread] = []

        def make() -> SyncDatabase:
            held.append(db._acquire(None))
            waiter = threading.Thread(target=lambda: answers.append(db.query_val("SELECT 1", timeout=20)))
            waiter.start()
            waiters.append(waiter)
            until(lambda: db.pool_stats()["waiting"] == 1)
            return db

        moments = interrupt_everywhere(make, lambda db: db._release(held.pop()))
        for count, point in enumerate(moments, 1):
            held.clear()
            waiters.pop().join()
            assert len(answers) == count, point.where
            assert check_whole(db, point.where) == []


def test_a_place_whose_holder_was_thrown_away_goes_to_whoever_waits(url: str) -> None:
    """By the collector alone, which nobody asks."""
    with SyncDatabase(url, 0, 1, max_lifetime=None, idle_timeout=None) as db:
        cycle: list[Any] = [db._acquire(None)]
        pid = cycle[0].established.cancel_target.process_id
        cycle.append(cycle)
        pids: list[int] = []
        waiter = threading.Thread(
            target=lambda: pids.append(db.query_val("SELECT pg_backend_pid()", timeout=20))
        )
        waiter.start()
        until(lambda: db.pool_stats()["waiting"] == 1)
        cycle.clear()
        del cycle
        gc.collect()
        waiter.join()
        assert pids
        assert pids != [pid]


def test_a_statement_whose_caller_was_thrown_away_is_cancelled(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as control, SyncDatabase(url, 0, 1) as db:
        slot = db._acquire(None)
        slot.submit("SELECT pg_sleep(30)")
        pid = slot.established.cancel_target.process_id
        del slot
        stats = db.pool_stats()
        assert (stats["busy"], stats["closing"]) == (0, 1)
        until(lambda: db.pool_stats()["total"] == 0)
        assert control.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is None
        assert db.query_val("SELECT 1") == 1


def test_a_connection_that_came_back_out_of_a_cycle_is_not_lent_again(url: str) -> None:
    """The collector ends a generator after the pool has heard that its connection was dropped."""

    def block(db: SyncDatabase) -> Iterator[None]:
        with db.transaction():
            db.query_val("SELECT 1")
            yield

    with SyncDatabase(url, 0, 1) as db:
        cycle: list[Any] = [block(db)]
        next(cycle[0])
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert check_whole(db, None) == []
        assert not db.in_transaction()


def test_a_nested_block_whose_statement_is_interrupted_is_rolled_back(url: str) -> None:
    with SyncDatabase(url, 0, 1) as db:
        db.execute("CREATE TABLE written (tag int8)")

        def interrupted() -> None:
            with db.transaction():
                db.execute("INSERT INTO written VALUES (2)")
                transaction = db._current.get()
                assert transaction is not None
                # As where the interrupt comes between sending a statement and waiting for it.
                transaction.slot.submit("INSERT INTO written VALUES (3)")
                raise KeyboardInterrupt

        with db.transaction():
            db.execute("INSERT INTO written VALUES (1)")
            with pytest.raises(KeyboardInterrupt):
                interrupted()
            db.execute("INSERT INTO written VALUES (4)")
        assert [row["tag"] for row in db.query("SELECT tag FROM written ORDER BY 1")] == [1, 4]
