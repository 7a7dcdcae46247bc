"""SyncDatabase under Ctrl-C: KeyboardInterrupt at any moment of a call, a block, a connect.

It is raised at each line of the driver that a call runs through, and in a process of its own hundreds of
times at random moments, by a real signal. After each the pool is whole, no transaction is open, and a write
was done once or not at all. Python docs: signal, "Execution of Python signal
handlers".
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import SyncDatabase
from interrupt_points import interrupt_everywhere
from postgres_servers import Server

ROUNDS: Final = 400
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

def whole_life(tag):
    with SyncDatabase(url, 2, 2, application_name="interrupted") as own:
        assert own.query_val("SELECT $1::int8", tag) == tag

WORK = {
    "call": (call, 0.0006, 0), "slow call": (slow_call, 0.013, 0), "unknown text": (unknown_text, 0.001, 0),
    "insert": (insert, 0.0008, 1), "block": (block, 0.003, 1), "batches": (batches, 0.02, 600),
    "whole life": (whole_life, 0.02, 0),
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

KINDS: Final = ("call", "slow call", "unknown text", "insert", "block", "batches", "whole life")


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
    assert db.query_val("SELECT $1::int4", 1) == 1


def block(db: SyncDatabase) -> None:
    with db.transaction():
        call(db)


def nested_block(db: SyncDatabase) -> None:
    with db.transaction(), db.transaction():
        call(db)


def batches(db: SyncDatabase) -> None:
    db.execute_many("SELECT $1::int8", [(n,) for n in range(600)])


@pytest.mark.parametrize(
    "work", [call, first_call, block, nested_block, batches], ids=lambda work: work.__name__
)
def test_an_interrupt_at_any_line_loses_no_place(
    embedded_server: Server, work: Callable[[SyncDatabase], None]
) -> None:
    """On one server only: the lines are ours."""

    def make() -> SyncDatabase:
        db = SyncDatabase(embedded_server.superuser_url, 0, 1).connect()
        call(db)
        return db

    lost: list[str | None] = []
    for point in interrupt_everywhere(make, work):
        db = point.subject
        stats = db.pool_stats()
        if stats["busy"] or stats["waiting"] or db.in_transaction():
            lost.append(point.where)
        else:
            assert db.query_val("SELECT $1::int8", 7, timeout=20) == 7
        db.disconnect(timeout=0)
    assert lost == []
