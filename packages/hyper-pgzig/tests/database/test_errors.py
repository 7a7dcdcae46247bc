"""`hyperdjango.database.errors`: the tree, the lookup, the fields, and what may be seen of them."""

import asyncio
import copy
import pickle
import re
import subprocess
import sys
from typing import Final

import pytest
from hyperdjango.database import _advice, _sqlstate, errors

# ErrorResponse of a real server (18): INSERT INTO users (email) VALUES ('a@example.org'), twice.
UNIQUE: Final = {
    "S": "FEHLER",
    "V": "ERROR",
    "C": "23505",
    "M": 'duplicate key value violates unique constraint "users_email_key"',
    "D": "Key (email)=(a@example.org) already exists.",
    "s": "public",
    "t": "users",
    "n": "users_email_key",
    "F": "nbtinsert.c",
    "L": "673",
    "R": "_bt_check_unique",
}


def test_the_tree_is_pep_249s() -> None:
    assert issubclass(errors.Warning, Exception)
    assert not issubclass(errors.Warning, errors.Error)
    assert issubclass(errors.InterfaceError, errors.Error)
    assert issubclass(errors.DatabaseError, errors.Error)
    assert not issubclass(errors.InterfaceError, errors.DatabaseError)
    for name in (
        "DataError",
        "OperationalError",
        "IntegrityError",
        "InternalError",
        "ProgrammingError",
        "NotSupportedError",
    ):
        assert getattr(errors, name).__bases__ == (errors.DatabaseError,)


@pytest.mark.parametrize(
    ("sqlstate", "name", "base"),
    [
        ("22P02", "InvalidTextRepresentation", errors.DataError),
        ("22012", "DivisionByZero", errors.DataError),
        ("23505", "UniqueViolation", errors.IntegrityError),
        ("25006", "ReadOnlySqlTransaction", errors.InternalError),
        ("28P01", "InvalidPassword", errors.OperationalError),
        ("3D000", "InvalidCatalogName", errors.ProgrammingError),
        ("40001", "SerializationFailure", errors.OperationalError),
        ("40P01", "DeadlockDetected", errors.OperationalError),
        ("42P01", "UndefinedTable", errors.ProgrammingError),
        ("42601", "SyntaxError", errors.ProgrammingError),
        ("0A000", "FeatureNotSupported", errors.NotSupportedError),
        ("53300", "TooManyConnections", errors.OperationalError),
        ("57014", "QueryCanceled", errors.OperationalError),
        ("57P03", "CannotConnectNow", errors.OperationalError),
        ("XX000", "InternalError_", errors.InternalError),
        # new in 17 and 18, and one that 17 dropped
        ("25P04", "TransactionTimeout", errors.InternalError),
        ("58P03", "FileNameTooLong", errors.OperationalError),
        ("10608", "InvalidArgumentForXquery", errors.DataError),
        ("72000", "SnapshotTooOld", errors.OperationalError),
        # condition names that the server's table uses twice
        ("22004", "NullValueNotAllowed", errors.DataError),
        ("39004", "ExternalRoutineInvocationNullValueNotAllowed", errors.OperationalError),
        ("2F002", "SqlRoutineModifyingSqlDataNotPermitted", errors.OperationalError),
        ("38002", "ExternalRoutineModifyingSqlDataNotPermitted", errors.OperationalError),
        ("01004", "StringDataRightTruncationWarning", errors.DatabaseError),
    ],
)
def test_a_sqlstate_has_a_class_of_its_own(sqlstate: str, name: str, base: type) -> None:
    found = errors.class_for(sqlstate)
    assert found is getattr(errors, name)
    assert found.__name__ == name
    assert found.__bases__ == (base,)
    assert found.sqlstate == sqlstate


def test_every_sqlstate_has_one_class_and_every_class_one_sqlstate() -> None:
    classes = _sqlstate.BY_SQLSTATE
    assert len(classes) > 250
    assert len(set(classes.values())) == len(classes)
    for sqlstate, found in classes.items():
        assert re.fullmatch("[0-9A-Z]{5}", sqlstate)
        assert found.sqlstate == sqlstate
        assert issubclass(found, _sqlstate.BY_CLASS.get(sqlstate[:2], errors.DatabaseError))
        assert found.__name__ in errors.__all__
        assert getattr(errors, found.__name__) is found


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("23999", errors.IntegrityError),
        ("42ZZZ", errors.ProgrammingError),
        ("ZZ000", errors.DatabaseError),
        ("", errors.DatabaseError),
        ("2", errors.DatabaseError),
        (None, errors.DatabaseError),
    ],
)
def test_an_unknown_sqlstate_falls_back_to_its_class_then_to_database_error(
    sqlstate: str | None, expected: type
) -> None:
    assert errors.class_for(sqlstate) is expected


def test_from_fields_takes_every_field_of_the_message() -> None:
    fields = UNIQUE | {
        "H": "Use another.",
        "P": "15",
        "p": "7",
        "q": "SELECT 1",
        "W": "SQL function f",
        "c": "email",
        "d": "text",
    }
    error = errors.from_fields(fields, "INSERT INTO users (email) VALUES ($1)")
    assert type(error) is errors.UniqueViolation
    assert vars(error) == {
        "message": UNIQUE["M"],
        "sqlstate": "23505",
        "severity": "ERROR",
        "detail": UNIQUE["D"],
        "hint": "Use another.",
        "position": 15,
        "internal_position": 7,
        "internal_query": "SELECT 1",
        "context": "SQL function f",
        "schema": "public",
        "table": "users",
        "column": "email",
        "data_type": "text",
        "constraint": "users_email_key",
        "source_file": "nbtinsert.c",
        "source_line": 673,
        "source_function": "_bt_check_unique",
        "query": "INSERT INTO users (email) VALUES ($1)",
    }


def test_the_class_follows_the_code_and_not_the_text() -> None:
    error = errors.from_fields({"C": "42P01", "M": 'duplicate key value violates unique constraint "x"'})
    assert type(error) is errors.UndefinedTable


def test_the_severity_is_the_one_that_is_not_translated_where_the_server_sends_it() -> None:
    assert errors.from_fields(UNIQUE).severity == "ERROR"
    assert errors.from_fields({"S": "ERROR", "M": "from a server before 9.6"}).severity == "ERROR"


def test_an_empty_or_strange_message_still_gives_an_error() -> None:
    error = errors.from_fields({})
    assert type(error) is errors.DatabaseError
    assert error.sqlstate is None
    assert str(error)
    strange = errors.from_fields({"C": "99", "M": "m", "P": "x", "p": "-1", "L": "9" * 5000, "?": "later"})
    assert type(strange) is errors.DatabaseError
    assert (strange.sqlstate, strange.position, strange.internal_position, strange.source_line) == (
        "99",
        None,
        None,
        None,
    )


def test_a_wrong_statement_has_the_hint_of_the_first_who_knows_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def nothing(error: errors.DatabaseError) -> str | None:
        asked.append(error.sqlstate)
        return None

    monkeypatch.setattr(_advice, "advisers", [nothing, lambda _: "make it.", lambda _: "never asked"])
    assert errors.from_fields({"C": "42P01", "M": "no table"}).hint == "make it."
    assert errors.from_fields({"C": "42883", "M": "no function", "H": "casts"}).hint == "make it. casts"
    assert errors.from_fields(UNIQUE).hint == UNIQUE.get("H")
    assert errors.from_fields({"M": "no code"}).hint is None
    assert asked == ["42P01", "42883"]


def test_a_code_nobody_knows_is_kept() -> None:
    error = errors.from_fields({"C": "23XYZ", "M": "from a newer server"})
    assert type(error) is errors.IntegrityError
    assert error.sqlstate == "23XYZ"


def test_str_begins_with_the_message_and_detail_and_hint_follow() -> None:
    assert str(errors.from_fields({"M": "only this"})) == "only this"
    assert str(errors.from_fields(UNIQUE | {"H": "Use another."})) == (
        'duplicate key value violates unique constraint "users_email_key"\n'
        "DETAIL:  Key (email)=(a@example.org) already exists.\n"
        "HINT:  Use another."
    )


def test_repr_shows_neither_query_nor_detail_nor_context() -> None:
    fields = {
        "C": "42601",
        "M": "syntax error",
        "D": "s3cret",
        "H": "s3cret",
        "W": "s3cret",
        "q": "s3cret",
    }
    error = errors.from_fields(fields, "ALTER ROLE r PASSWORD 's3cret' x")
    assert repr(error) == "SyntaxError('syntax error', sqlstate='42601')"
    assert repr(errors.DataError("parameter $1")) == "DataError('parameter $1')"
    assert "ALTER ROLE" not in str(error)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickle(protocol: int) -> None:
    error = errors.from_fields(UNIQUE, "INSERT")
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)
    assert again.args == error.args


@pytest.mark.parametrize("name", errors.__all__)
def test_every_class_can_be_made_copied_and_pickled(name: str) -> None:
    found = getattr(errors, name)
    if not isinstance(found, type):
        return
    assert issubclass(found, BaseException)
    assert found.__module__ == "hyperdjango.database.errors"
    error = found("what happened")
    assert str(error) == "what happened"
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is found
        assert str(again) == "what happened"
        assert repr(again) == repr(error)


def test_native_extension_missing_says_what_the_contract_says() -> None:
    error = errors.NativeExtensionMissing()
    assert isinstance(error, RuntimeError)
    assert str(error) == "Native extension not available. Build it:\nuv run hyper-build"


def test_not_connected_says_what_the_contract_says() -> None:
    error = errors.NotConnected()
    assert isinstance(error, errors.InterfaceError)
    assert isinstance(error, RuntimeError)
    assert str(error) == "Database not connected. Call await db.connect() first."


def test_connection_failed_carries_the_servers_message_and_sqlstate() -> None:
    refused = errors.from_fields(
        {"V": "FATAL", "C": "28P01", "M": 'password authentication failed for user "u"', "H": "a hint"}
    )
    failed = errors.ConnectionFailed.from_server(refused, target='"localhost", port 5432')
    assert isinstance(failed, errors.OperationalError)
    assert isinstance(failed, RuntimeError)
    assert (failed.sqlstate, failed.severity, failed.hint) == ("28P01", "FATAL", "a hint")
    assert str(failed).startswith('password authentication failed for user "u"')
    assert failed.__notes__ == ['while connecting to "localhost", port 5432']
    assert errors.ConnectionFailed.from_server(errors.TooManyConnections("sorry")).sqlstate == "53300"


@pytest.mark.parametrize("name", ["ConnectTimeout", "QueryTimeout", "AcquireTimeout"])
def test_a_timeout_of_ours_is_also_pythons_timeout_error(name: str) -> None:
    error = getattr(errors, name)("2 s passed", sqlstate="57014")
    assert isinstance(error, errors.OperationalError)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, asyncio.TimeoutError)
    assert error.sqlstate == "57014"
    assert str(error) == "2 s passed"


def test_an_unknown_outcome_is_no_plain_loss_of_the_connection() -> None:
    assert issubclass(errors.OutcomeUnknown, errors.OperationalError)
    assert not issubclass(errors.OutcomeUnknown, errors.ConnectionLost)
    assert not issubclass(errors.OutcomeUnknown, errors.ConnectionFailed)


def test_errors_needs_nothing_native() -> None:
    script = (
        "import sys\n"
        "sys.modules['hyperdjango._hyperdjango_native'] = None\n"
        "from hyperdjango.database import errors\n"
        "print(errors.class_for('23505').__name__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "UniqueViolation\n"
