"""Nothing is owed on a connection that goes back to the pool: no reply ever reaches another caller.

PostgreSQL docs: protocol-flow, "COPY Operations" and "Extended Query".
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

import psycopg
import pytest
from hyperdjango.database import Database, InterfaceError, QueryTimeout, _async_replies
from hyperdjango.database._slot import Slot
from pgkit import SIMPLE_SELECT, Answer, ScriptedBackend, messages, serve, startup
from pgkit.face import Face, OpenFace
from pgkit.until import until

SQL: Final = "SELECT n"
COPY: Final = "COPY t FROM STDIN"


def test_a_batch_of_copies_waits_for_every_ready_for_query(open_face: OpenFace) -> None:
    """The Bind behind COPY ends it, and CopyFail's own Sync is answered one round trip later."""

    def late(flight: list[bytes]) -> Iterable[bytes]:
        if len(flight) == 1 and flight[0] == messages.ready_for_query():
            time.sleep(0.2)  # longer than the next call needs to begin
        return flight

    answers = {SQL: SIMPLE_SELECT, COPY: Answer(copy_in=True)}
    with ScriptedBackend([*startup(), serve(answers, alter=late)]) as backend:
        face = open_face(backend.url())
        assert face.query(SQL) == [{"n": 1}, {"n": 2}]
        with pytest.raises(InterfaceError, match="COPY FROM STDIN cannot run"):
            face.execute_many(COPY, [(), ()])
        assert face.query(SQL) == [{"n": 1}, {"n": 2}]
        assert len(backend.conversations) == 1
        face.disconnect()


def test_a_batch_of_copies_leaves_the_session_in_step(face: Face, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE t (a int)")
    for number in range(20):
        with pytest.raises(InterfaceError, match="COPY FROM STDIN cannot run"):
            face.execute_many(COPY, [(), ()])
        assert face.query_val(f"SELECT {number}") == number
        assert face.query_val("SELECT count(*) FROM t") == 0


def test_a_type_met_in_a_result_is_known_to_the_next_call_too(open_face: OpenFace, url: str) -> None:
    """A column that came with a type of its own while another connection knew the text without it."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE t (a int)")
        other.execute("INSERT INTO t VALUES (1)")
        face = open_face(url, 1, 2)
        with face.transaction():
            assert face.query("SELECT * FROM t") == [{"a": 1}]
        other.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
        other.execute("ALTER TABLE t ADD COLUMN b mood DEFAULT 'ok'")
        pid = face.query_val("SELECT pg_backend_pid()")
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
            time.sleep(0.01)
        for _ in range(3):
            assert face.query("SELECT * FROM t") == [{"a": 1, "b": "ok"}]


def test_a_script_that_waits_for_a_reset_first_ends_in_time(face: Face) -> None:
    for sql in ("SELECT 1; SELECT pg_sleep(60)", "SELECT pg_sleep(60)"):
        with face.transaction():
            face.execute("SET work_mem = '77kB'")
        with pytest.raises(QueryTimeout):
            face.execute(sql, timeout=0.3)
        assert face.query_val("SHOW work_mem") != "77kB"


async def test_a_script_whose_time_is_over_once_it_has_waited_for_a_reset_does_not_run_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_owed = _async_replies.run_owed

    async def run_until_it_is_late(slot: Slot, deadline: float | None = None) -> str:
        assert deadline is not None
        outcome = await run_owed(slot, None)
        until(lambda: asyncio.get_running_loop().time() > deadline + 0.05)
        # A timer that is due runs behind what is ready: this time it has run, and found nothing to end.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return outcome

    async with Database(url, 1, 1) as db:
        async with db.transaction():
            await db.execute("SET work_mem = '77kB'")
        monkeypatch.setattr(_async_replies, "run_owed", run_until_it_is_late)
        async with asyncio.timeout(30):
            with pytest.raises(QueryTimeout):
                await db.execute("SELECT 1; SELECT pg_sleep(60)", timeout=0.3)
        monkeypatch.undo()
        assert await db.query_val("SELECT 1") == 1
        assert db.pool_stats()["busy"] == 0
