"""What is read off a text: its command and its summary. No constant of the text may be in it."""

import pytest
from hyperdjango.database._summary import (
    SUMMARY_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    command_word,
    operation_of,
    summary_of,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        ("SELECT 1", "SELECT"),
        ("", ""),
        ("VALUES (1)", "VALUES"),
        (
            "select 'x from y' from users u join \"Orders\" o on o.x = u.x where u.id in (select id from z)",
            'SELECT users "Orders" SELECT z',
        ),
        ("SELECT * FROM a, shop . b AS c, d WHERE x = 1", "SELECT a shop.b d"),
        ("select * from a where x = (select max(x) from b)", "SELECT a SELECT b"),
        ("SELECT count(*) FROM (SELECT * FROM inside) q", "SELECT SELECT inside"),
        ("SELECT extract(year FROM d) FROM t WHERE a IS DISTINCT FROM b FOR UPDATE", "SELECT t"),
        ("SELECT substring(a from 2 for 3), trim(both from b) from c", "SELECT c"),
        ("SELECT * FROM generate_series(1, 10) n, t", "SELECT t"),
        ("SELECT $$a from b$$, E'\\' from c', $x$ from $$ d $x$ FROM e -- from f", "SELECT e"),
        ("INSERT INTO t (a, b) SELECT x, y FROM s", "INSERT t SELECT s"),
        ("insert into shop.items values ($1) on conflict (id) do update set a = 1", "INSERT shop.items"),
        ("UPDATE ONLY t SET a = 1, b = 2 FROM o WHERE o.id = t.id", "UPDATE t o"),
        ("DELETE FROM t USING u WHERE t.id = u.id", "DELETE t u"),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET x = 1", "MERGE t s"),
        (
            "WITH x AS (SELECT * FROM orders), y(a) AS MATERIALIZED (SELECT 1) SELECT * FROM x, y, z",
            "SELECT orders SELECT SELECT z",
        ),
        ("COPY t (a, b) FROM STDIN", "COPY t"),
        ("COPY (SELECT * FROM x) TO STDOUT", "COPY SELECT x"),
        ("TRUNCATE TABLE a, b CASCADE", "TRUNCATE a b"),
        ("CREATE TABLE IF NOT EXISTS t (a int)", "CREATE TABLE t"),
        ("ALTER TABLE t ADD x int REFERENCES u ON DELETE CASCADE", "ALTER TABLE t"),
        ("SET x = 'from secrets'", "SET"),
        ("EXPLAIN SELECT * FROM t", "EXPLAIN SELECT t"),
        ("SELECT 1; DELETE FROM t", "SELECT DELETE t"),
        ("-- from a\n/* from b */ (SELECT 1 FROM c)", "SELECT c"),
        ("SELECT 'unfinished from x", "SELECT"),
        (")))) FROM", ""),
    ],
)
def test_a_summary_names_commands_and_what_they_work_on(sql: str, summary: str) -> None:
    assert summary_of(sql).text == summary
    assert [part for part in summary.split() if part in summary_of(sql).targets] == list(
        summary_of(sql).targets
    )


def test_a_summary_is_short_however_long_the_text_is() -> None:
    sql = "SELECT 1 FROM " + ", ".join(f"table_{n}" for n in range(5000))
    assert len(summary_of(sql).text) == SUMMARY_LENGTH_MAX
    assert summary_of(" " * TEXT_LENGTH_MAX + "SELECT 1").text == ""


@pytest.mark.parametrize(
    ("sql", "tag", "operation"),
    [
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "INSERT 0 1", "INSERT"),
        ("create table t ()", "CREATE TABLE", "CREATE TABLE"),
        ("-- a\n /* b */ ((select 1))", "", "SELECT"),
        ("", "", ""),
        ("$1", "", ""),
    ],
)
def test_the_operation_is_the_servers_word_else_the_first_of_the_text(
    sql: str, tag: str, operation: str
) -> None:
    assert operation_of(sql, tag) == operation


@given(st.text(alphabet=" ();,.'\"$-/*=\nselctfromjoinabE1\\", max_size=80))
def test_any_text_has_a_summary_without_constants(sql: str) -> None:
    summary = summary_of(sql)
    assert all(target in summary.text for target in summary.targets)
    assert len(command_word(sql)) <= len(sql)
    assert "'" not in summary.text.replace('"', "") or '"' in sql
