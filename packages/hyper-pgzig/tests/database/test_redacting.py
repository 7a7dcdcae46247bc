"""Texts without their constants: what OpenTelemetry is told of a text without parameters."""

import time
from typing import Final

import pytest
from hyperdjango.database._redacting import without_constants

TEXTS: Final = {
    "SELECT * FROM users WHERE mail = 'a@b.c' AND age > 17": "SELECT * FROM users WHERE mail = ? AND age > ?",
    "SELECT 'it''s', 'a' 'b', ''": "SELECT ?, ? ?, ?",
    r"SELECT E'it\'s secret', e'\\', 'back\'": "SELECT ?, ?, ?",
    "SELECT B'01', x'ff', N'n', U&'d\\0061t', u&'x' UESCAPE '!'": "SELECT ?, ?, ?, ?, ? UESCAPE ?",
    "SELECT 1, 1.5, .5, 5., 1e10, 1.5E-3, 0xFF, 1_000, -7": "SELECT ?, ?, ?, ?, ?, ?, ?, ?, -?",
    'SELECT t1.a2, "b 3", größe4, c$5 FROM t1': 'SELECT t1.a2, "b 3", größe4, c$5 FROM t1',
    "SELECT \"it's\", 'x'": 'SELECT "it\'s", ?',
    "SELECT $1, $22::int4": "SELECT $1, $22::int4",
    "SELECT x[1:2], ARRAY[3]": "SELECT x[?:?], ARRAY[?]",
    "DO $$begin secret; end$$": "DO ?",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $body$ SELECT '$$' $body$": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ?"
    ),
    "SELECT 1 -- secret\n, /* more /* of */ it */ 'x'": "SELECT ?  \n,   ?",
    "CREATE ROLE r PASSWORD 'secret": "CREATE ROLE r PASSWORD ?",
    "SELECT E'secret\\": "SELECT ?",
    "SELECT $a$ secret": "SELECT ?",
    "SELECT true, NULL, interval '5 days'": "SELECT true, NULL, interval ?",
    "SELECT 1;SELECT '2';": "SELECT ?;SELECT ?;",
    "": "",
}


@pytest.mark.parametrize("sql", TEXTS)
def test_constants_are_question_marks_and_names_stay(sql: str) -> None:
    assert without_constants(sql) == TEXTS[sql]


@pytest.mark.parametrize("sql", TEXTS)
def test_nothing_is_told_of_a_text_that_ends_anywhere(sql: str) -> None:
    for end in range(len(sql)):
        assert "secret" not in without_constants(sql[:end])


@pytest.mark.parametrize(
    "part", ["'", "$", "$a", "$a$", '"', "/*", "E'\\", "1_", "a", "--", "1e", "x'", ".1"]
)
def test_a_long_text_is_read_once(part: str) -> None:
    """In time that grows with its length: by its square it would be minutes."""
    began = time.perf_counter()
    without_constants("SELECT " + part * 100_000)
    assert time.perf_counter() - began < 30
