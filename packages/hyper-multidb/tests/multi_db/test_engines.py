"""What a server can do is found out by asking it: real ones, and what others say by their documentation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import ConnectionFailed, Database, DatabaseError
from hyperdjango.multi_db import ConnectionManager, Misconfigured, engines
from hyperdjango.multi_db._two_phase import IDENTITY_SQL
from hyperdjango.multi_db.across_errors import CapabilityMissing
from hyperdjango.multi_db.engines import FLAGS, Capabilities, probe, require
from pgbouncer import PgBouncer
from pgkit import Answer, Column, ScriptedBackend, messages, serve, startup
from postgres_servers import Server, StartServer

TRUE: Final = b"\1"


def text(*values: str) -> Answer:
    return Answer([Column("v", 25, -1)], [[value.encode()] for value in values])


def truth() -> Answer:
    return Answer([Column("v", 16, 1)], [[TRUE]], type_oids=())


def refused(sqlstate: str, message: str) -> Answer:
    error = messages.error_response(sqlstate, message)
    return Answer(error=error, parse_error=error)


def number(value: int) -> Answer:
    return Answer([Column("count", 20, 8)], [[value.to_bytes(8, "big")]])


def extensions(*names: str) -> Answer:
    return Answer(
        [Column("extname", 25, -1), Column("extversion", 25, -1)], [[name.encode(), b"1.0"] for name in names]
    )


def identity(prepared_max: int) -> Answer:
    return Answer(
        [Column("prepared_max", 20, 8), Column("identity", 25, -1)],
        [[prepared_max.to_bytes(8, "big"), b"7/5"]],
    )


POSTGRESQL: Final[Mapping[str, Answer]] = {
    engines.VERSION_SQL: text("PostgreSQL 18.1 on x86_64-pc-linux-gnu"),
    engines.NUMBER_SQL: text("180001"),
    engines.EXTENSIONS_SQL: extensions("plpgsql"),
    engines.LSN_SQL: truth(),
    engines.ADVISORY_SQL: replace(truth(), type_oids=(20,)),
    IDENTITY_SQL: identity(100),
}

# What each says of itself, and which of our questions it refuses.
OTHERS: Final[Mapping[str, tuple[Mapping[str, Answer], str, set[str]]]] = {
    "PostgreSQL": (POSTGRESQL, "PostgreSQL", set()),
    "Citus": ({**POSTGRESQL, engines.EXTENSIONS_SQL: extensions("plpgsql", "citus")}, "Citus", {"two_phase"}),
    "CockroachDB": (
        {
            engines.VERSION_SQL: text("CockroachDB CCL v25.4.0 (x86_64-pc-linux-gnu)"),
            engines.NUMBER_SQL: text("130000"),
            engines.EXTENSIONS_SQL: extensions(),
            engines.LSN_SQL: refused("42883", "unknown function: pg_last_wal_replay_lsn()"),
            engines.ADVISORY_SQL: refused("42883", "unknown function: pg_try_advisory_xact_lock_shared()"),
            IDENTITY_SQL: refused("42883", "unknown function: pg_control_system()"),
            engines.LISTEN_SQL: refused("0A000", "unimplemented: this syntax"),
            engines.DEFERRABLE_SQL: refused("0A000", "unimplemented: this syntax"),
        },
        "CockroachDB",
        {"advisory_lock", "listen", "lsn", "deferrable", "two_phase"},
    ),
    "YugabyteDB": (
        {
            **POSTGRESQL,
            engines.VERSION_SQL: text("PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu"),
            engines.NUMBER_SQL: text("150012"),
            engines.ADVISORY_SQL: refused("0A000", "advisory locks are not yet implemented"),
            engines.YUGABYTE_SQL: number(3),
            engines.LISTEN_SQL: refused("0A000", "LISTEN not supported yet"),
        },
        "YugabyteDB",
        {"advisory_lock", "listen", "lsn", "two_phase"},
    ),
    "Amazon Aurora": (
        {
            **POSTGRESQL,
            engines.VERSION_SQL: text("PostgreSQL 16.4 on x86_64-pc-linux-gnu"),
            engines.NUMBER_SQL: text("160004"),
            engines.AURORA_SQL: text("16.4.0"),
            engines.LSN_SQL: refused(
                "0A000", "Function pg_last_wal_replay_lsn() is currently not supported for Aurora"
            ),
        },
        "Amazon Aurora",
        {"lsn"},
    ),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_what_an_engine_refuses_is_a_flag_that_is_false(name: str) -> None:
    answers, engine, missing = OTHERS[name]
    with ScriptedBackend([*startup(), serve(answers)]) as backend:
        async with Database(backend.url(), 1, 1) as db:
            found = await probe(db)
            assert db.pool_stats()["busy"] == 0
    assert found.engine == engine
    assert set(found.missing) == missing


@pytest.mark.parametrize("question", [*POSTGRESQL, engines.LISTEN_SQL, engines.DEFERRABLE_SQL])
async def test_each_question_may_be_refused_alone(question: str) -> None:
    answers = {**POSTGRESQL, question: refused("42501", "permission denied")}
    with ScriptedBackend([*startup(), serve(answers)]) as backend:
        async with Database(backend.url(), 1, 1) as db:
            found = await probe(db)
    assert len(found.missing) <= 1


async def test_a_stub_of_an_advisory_lock_is_none() -> None:
    answers = {**POSTGRESQL, engines.ADVISORY_SQL: Answer([Column("v", 16, 1)], [[b"\0"]], type_oids=(20,))}
    with ScriptedBackend([*startup(), serve(answers)]) as backend:
        async with Database(backend.url(), 1, 1) as db:
            assert (await probe(db)).missing == ("advisory_lock",)


async def test_a_replica_set_of_servers_without_a_log_is_refused_with_the_remedy() -> None:
    aurora = [*startup(), serve(OTHERS["Amazon Aurora"][0])]
    with (
        ScriptedBackend(aurora, frontend_may_leave=True) as writer,
        ScriptedBackend(aurora, frontend_may_leave=True) as reader,
    ):
        given = {"primary": writer.url(), "replicas": [reader.url()]}
        with pytest.raises(Misconfigured) as caught:
            await ConnectionManager().configure({"default": given})
    text = str(caught.value)
    assert "alias 'default' (127.0.0.1:" in text
    assert ") is Amazon Aurora, and that has no position in the write-ahead log" in text
    assert "Say read_your_writes=2.0" in text
    assert "an alias each, with PrimaryReplicaRouter" in text


async def test_a_connection_that_is_lost_is_no_answer() -> None:
    fatal = messages.error_response("57P01", "terminating connection", severity="FATAL")
    answers = {**POSTGRESQL, engines.VERSION_SQL: Answer(error=fatal)}
    with ScriptedBackend([*startup(), serve(answers)], frontend_may_leave=True) as backend:
        async with Database(backend.url(), 1, 1) as db:
            with pytest.raises(DatabaseError):
                await probe(db)
    with pytest.raises(ConnectionFailed):
        await probe(Database.opening_on_use("postgresql://nobody@127.0.0.1:1/nothing"))


async def test_a_real_server_can_do_all_but_what_it_is_not_set_up_for(
    database_url: str, server: Server
) -> None:
    with psycopg.connect(database_url) as other:
        row = other.execute("SELECT version(), current_setting('server_version_num')::int").fetchone()
    async with Database(database_url, 1) as db:
        found = await probe(db)
        # Nothing of it remains.
        assert await db.query("SELECT pg_listening_channels()") == []
        assert await db.query_val("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        assert not db.in_transaction()
    assert (found.version, found.server_version) == row
    assert found.engine == "PostgreSQL"
    assert found.missing == ("two_phase",)
    assert dict(found.extensions) == {"plpgsql": "1.0"}
    assert not found.has_pooler


async def test_prepared_transactions_are_there_where_the_server_is_set_up_for_them(
    start_server: StartServer,
) -> None:
    started = start_server(settings={"max_prepared_transactions": "2"})
    async with Database(started.url, 1) as db:
        assert (await probe(db)).missing == ()


async def test_a_pooler_in_transaction_mode_takes_what_belongs_to_a_session(database_url: str) -> None:
    with PgBouncer(database_url, "transaction", 2) as pooler:
        async with Database(pooler.url, 1, 4) as db:
            found = await probe(db)
    assert found.has_pooler
    assert set(found.missing) == {"advisory_lock", "listen", "named_statements", "two_phase"}


def test_what_is_required_and_missing_is_named_with_alias_host_and_remedy() -> None:
    found = Capabilities("Amazon Aurora", "PostgreSQL 16.4", 160004, {}, advisory_lock=True)
    require(found, "advisory_lock", "default", "db.example:5432", "never said")
    with pytest.raises(CapabilityMissing) as caught:
        found.require("lsn", "default", "db.example:5432", "set read_your_writes to seconds, or to None")
    assert str(caught.value) == (
        "'default' (db.example:5432) is Amazon Aurora, and that has no position in the write-ahead log that its "
        "replicas replay (lsn): set read_your_writes to seconds, or to None"
    )
    pooled = replace(found, has_pooler=True)
    with pytest.raises(CapabilityMissing, match="through a pooler in transaction mode"):
        pooled.require("listen", "default", "db.example:5432", "listen on a URL of the server's own")
    with pytest.raises(ValueError, match="there is no capability 'teleport'"):
        require(found, "teleport", "default", "db.example:5432", "")


def test_every_flag_is_a_field_and_starts_as_false() -> None:
    nothing: Any = Capabilities("PostgreSQL", "", 0, {})
    assert nothing.missing == FLAGS
