"""Section 3 of the contract: the tree of errors, its fields, and the errors of a connection."""

import inspect

import hyperdjango.database as database
import pytest
from contract.wire import Deaf, Wire
from hyperdjango.database import (
    CheckViolation,
    ConnectionFailed,
    Database,
    DatabaseError,
    DataError,
    Error,
    ForeignKeyViolation,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotConnected,
    NotSupportedError,
    OperationalError,
    OutcomeUnknown,
    ProgrammingError,
    ProtocolError,
    UndefinedColumn,
    UndefinedTable,
    UniqueViolation,
    errors,
)


@pytest.mark.line("3.tree")
def test_the_tree_is_pep_249s() -> None:
    """Error → InterfaceError, DatabaseError → DataError, OperationalError, IntegrityError, …"""
    assert issubclass(InterfaceError, Error)
    assert issubclass(DatabaseError, Error)
    assert not issubclass(InterfaceError, DatabaseError)
    below = (DataError, OperationalError, IntegrityError, InternalError, ProgrammingError, NotSupportedError)
    assert [each.__bases__ for each in below] == [(DatabaseError,)] * 6


@pytest.mark.line("3.sqlstate_classes")
def test_there_is_a_class_for_each_sqlstate() -> None:
    """Below them one class per SQLSTATE."""
    classes = [
        each
        for each in vars(database).values()
        if inspect.isclass(each)
        and issubclass(each, DatabaseError)
        and isinstance(each.__dict__.get("sqlstate"), str)
    ]
    assert len(classes) > 200
    assert len({each.sqlstate for each in classes}) == len(classes)
    assert (UniqueViolation.sqlstate, UndefinedTable.sqlstate) == ("23505", "42P01")
    assert issubclass(UniqueViolation, IntegrityError)
    assert issubclass(UndefinedTable, ProgrammingError)


@pytest.mark.line("3.by_code")
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("23503", ForeignKeyViolation),
        ("23514", CheckViolation),
        ("23ZZZ", IntegrityError),
        ("22ZZZ", DataError),
        ("ZZZZZ", DatabaseError),
    ],
)
async def test_the_class_follows_the_code(db: Database, code: str, kind: type[DatabaseError]) -> None:
    """Chosen by code and never by message text."""
    misleading = "duplicate key value violates unique constraint"
    with pytest.raises(DatabaseError) as failed:
        await db.execute(f"DO $$BEGIN RAISE EXCEPTION '{misleading}' USING ERRCODE = '{code}'; END$$")
    assert type(failed.value) is kind
    assert failed.value.sqlstate == code
    assert errors.class_for(code) is kind


@pytest.mark.line("3.fields")
async def test_a_violation_says_what_it_is_about(db: Database) -> None:
    """Fields: sqlstate, message, detail, schema, table, column, constraint, query."""
    await db.execute("CREATE TABLE t (n int CONSTRAINT only_once PRIMARY KEY, s text NOT NULL)")
    await db.execute("INSERT INTO t VALUES (1, 'a')")
    sql = "INSERT INTO t VALUES ($1, 'b')"
    with pytest.raises(UniqueViolation) as failed:
        await db.execute(sql, 1)
    error = failed.value
    assert (error.sqlstate, error.table, error.constraint, error.query) == ("23505", "t", "only_once", sql)
    assert error.schema == await db.query_val("SELECT current_schema()")
    assert error.message == 'duplicate key value violates unique constraint "only_once"'
    assert error.detail == "Key (n)=(1) already exists."
    with pytest.raises(IntegrityError) as missing:
        await db.execute("INSERT INTO t VALUES (2, NULL)")
    assert missing.value.column == "s"


@pytest.mark.line("3.fields")
async def test_a_misspelt_column_has_position_and_hint(db: Database) -> None:
    """Fields: hint, position."""
    await db.execute("CREATE TABLE t (owner text)")
    with pytest.raises(UndefinedColumn) as failed:
        await db.query("SELECT ownr FROM t")
    assert failed.value.position == len("SELECT ") + 1
    assert failed.value.hint is not None
    assert "owner" in failed.value.hint
    assert failed.value.detail is None


@pytest.mark.line("3.str")
async def test_str_begins_with_the_servers_message(db: Database) -> None:
    """str(e) begins with the server's message."""
    with pytest.raises(UndefinedTable) as failed:
        await db.query("SELECT * FROM nowhere")
    assert str(failed.value).startswith('relation "nowhere" does not exist')


@pytest.mark.line("3.connection_failed")
async def test_connection_failed_is_operational_and_runtime() -> None:
    """Failure to connect: ConnectionFailed, both an OperationalError and a RuntimeError."""
    with pytest.raises(ConnectionFailed) as failed:
        await Database("postgresql://me@127.0.0.1:1/app").connect()
    assert isinstance(failed.value, OperationalError)
    assert isinstance(failed.value, RuntimeError)
    assert failed.value.sqlstate is None


@pytest.mark.line("3.connection_failed.server")
async def test_connection_failed_carries_what_the_server_said(server_url: str) -> None:
    """Carrying the server's message and SQLSTATE when it sent one."""
    with pytest.raises(ConnectionFailed) as failed:
        await Database(server_url, 1, dbname="no_such_database_here").connect()
    assert failed.value.sqlstate == "3D000"
    assert 'database "no_such_database_here" does not exist' in str(failed.value)


BEFORE = ("query", "query_one", "query_val", "execute", "query_json", "query_arrow", "explain")


@pytest.mark.line("3.not_connected")
@pytest.mark.parametrize("name", [*BEFORE, "execute_many", "pipeline", "copy_records"])
async def test_a_call_before_connect_says_so(url: str, name: str) -> None:
    """Any query method before connect(): NotConnected, an InterfaceError and a RuntimeError, with its text."""
    arguments = {
        "execute_many": ("SELECT $1::int", [(1,)]),
        "pipeline": (["SELECT 1"],),
        "copy_records": ("t", [(1,)]),
    }
    with pytest.raises(NotConnected) as failed:
        await getattr(Database(url), name)(*arguments.get(name, ("SELECT 1",)))
    assert isinstance(failed.value, InterfaceError)
    assert isinstance(failed.value, RuntimeError)
    assert str(failed.value) == "Database not connected. Call await db.connect() first."


@pytest.mark.line("3.not_connected")
async def test_stream_and_blocks_before_connect_say_so(url: str) -> None:
    """Any query method before connect(), streams and transaction blocks among them."""
    db = Database(url)
    with pytest.raises(NotConnected):
        _ = [row async for row in db.stream("SELECT 1")]
    with pytest.raises(NotConnected):
        async with db.transaction():
            await db.query("SELECT 1")


@pytest.mark.line("3.protocol_error")
async def test_a_broken_protocol_is_a_protocol_error(url: str) -> None:
    """A broken protocol: ProtocolError, the connection is closed."""
    async with Wire(url) as wire, Database(wire.url, 1, 1) as db:
        pid = await db.query_val("SELECT pg_backend_pid()")
        wire.spoil = b"\x00\x00\x00\x00\x00\x00"
        with pytest.raises(ProtocolError):
            await db.query_val("SELECT 1")
        wire.spoil = None
        assert await db.query_val("SELECT pg_backend_pid()") != pid


@pytest.mark.line("3.protocol_error")
async def test_a_server_that_speaks_something_else_is_not_connected_to() -> None:
    """A broken protocol, before there is a connection."""
    async with Deaf(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        with pytest.raises((ProtocolError, ConnectionFailed)):
            await Database(
                f"postgresql://me@127.0.0.1:{server.port}/app?sslmode=disable&connect_timeout=2"
            ).connect()


@pytest.mark.line("3.outcome_unknown")
async def test_a_write_without_an_answer_is_outcome_unknown(url: str, db: Database) -> None:
    """A write whose fate is unknown because the connection died after it was sent: never plain failure."""
    await db.execute("CREATE TABLE t (n int)")
    async with Wire(url) as wire, Database(wire.url, 1, 1) as cut:
        wire.cut_after = b"INSERT INTO t"
        with pytest.raises(OutcomeUnknown):
            await cut.execute("INSERT INTO t VALUES (1)")
