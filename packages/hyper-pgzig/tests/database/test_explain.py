"""`explain()`: what is sent, refused and undone, and what can be asked of a plan. Both faces.

How a plan is shown: test_explain_text, test_explain_tree, test_explain_html.
PostgreSQL docs: sql-explain, using-explain.
"""

import asyncio
import json
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import (
    Database,
    DataError,
    DivisionByZero,
    ExplainNode,
    ExplainResult,
    InFailedSqlTransaction,
    NotConnected,
    ProgrammingError,
    ProtocolError,
    QueryTimeout,
    SyntaxError,  # noqa: A004 - the name of its SQLSTATE
    UndefinedColumn,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pgkit.face import Face, OpenFace

INSERT: Final = "INSERT INTO t VALUES ($1, $2)"


@pytest.fixture
def table(face: Face) -> Face:
    """A table of 5000 rows with an index, analysed."""
    face.execute("CREATE TABLE t (id int PRIMARY KEY, label text)")
    face.execute("INSERT INTO t SELECT n, 'label ' || n FROM generate_series(1, 5000) n")
    face.execute("VACUUM (ANALYZE) t")
    return face


# What a plan says


def test_a_plan_is_a_tree_of_nodes(table: Face) -> None:
    plan = table.explain("SELECT * FROM t WHERE label = $1 ORDER BY id LIMIT 3", "x")
    assert isinstance(plan, ExplainResult)
    assert [node.node_type for node in plan.all_nodes] == ["Limit", "Sort", "Seq Scan"]
    assert plan.plan is plan.all_nodes[0]
    assert plan.plan.children[0].children == [plan.all_nodes[2]]
    scan = plan.all_nodes[2]
    assert (scan.relation, scan.alias, scan.index_name) == ("t", "t", None)
    assert (scan.is_seq_scan, scan.is_index_scan) == (True, False)
    assert scan.properties["Filter"] == "(label = 'x'::text)"
    assert scan.properties["Node Type"] == "Seq Scan"
    assert isinstance(scan, ExplainNode)
    assert repr(scan) == "<ExplainNode Seq Scan 't'>"


def test_a_plan_is_made_for_the_values(table: Face) -> None:
    few = table.explain("SELECT * FROM t WHERE id < $1", 5)
    many = table.explain("SELECT * FROM t WHERE id < $1", 4999)
    assert (few.has_seq_scan, few.seq_scan_tables) == (False, [])
    assert [node.index_name for node in few.index_scans] == ["t_pkey"]
    assert (many.has_seq_scan, many.seq_scan_tables, many.index_scans) == (True, ["t"], [])


def test_tables_that_are_read_as_a_whole_are_named_once_in_order(table: Face) -> None:
    table.execute('CREATE TABLE "Ü" (id int)')
    plan = table.explain('SELECT * FROM t, "Ü", t u, generate_series(1, 2)')
    assert sorted(plan.seq_scan_tables) == ["t", "Ü"]


def test_index_only_and_bitmap_scans_are_index_scans(table: Face) -> None:
    only = table.explain("SELECT id FROM t WHERE id < 5")
    assert [node.node_type for node in only.index_scans] == ["Index Only Scan"]
    with table.transaction():
        for name in ("enable_indexscan", "enable_indexonlyscan", "enable_seqscan"):
            table.execute(f"SET LOCAL {name} = off")
        bitmap = table.explain("SELECT label FROM t WHERE id < 5 OR id = 77")
    assert {node.node_type for node in bitmap.index_scans} == {"Bitmap Index Scan"}
    assert not bitmap.has_seq_scan


def test_without_analyze_there_are_no_times(table: Face) -> None:
    plan = table.explain("SELECT * FROM t")
    assert (plan.analyzed, plan.execution_time, plan.planning_time) == (False, None, None)
    node = plan.plan
    assert (node.actual_rows, node.actual_total_time, node.actual_loops) == (None, None, None)
    assert (node.shared_hit_blocks, node.shared_read_blocks) == (None, None)
    assert (node.total_time, node.self_time) == (None, None)
    assert node.plan_rows == 5000
    assert node.total_cost is not None
    assert node.total_cost > 0


def test_analyze_counts_rows_and_measures_times(table: Face) -> None:
    plan = table.explain("SELECT * FROM t WHERE id % 2 = $1", 0, analyze=True)
    assert plan.analyzed
    assert plan.execution_time is not None
    assert plan.planning_time is not None
    assert plan.execution_time > 0
    assert plan.planning_time >= 0
    node = plan.plan
    assert (node.actual_rows, node.actual_loops) == (2500, 1)
    assert node.actual_total_time is not None
    assert node.actual_total_time == node.total_time == node.self_time
    assert node.shared_hit_blocks is None


@pytest.mark.parametrize("analyze", [False, True])
def test_buffers_are_counted_when_asked_for(table: Face, analyze: bool) -> None:
    plan = table.explain("SELECT * FROM t", analyze=analyze, buffers=True)
    if analyze:
        hit, read = plan.plan.shared_hit_blocks, plan.plan.shared_read_blocks
        assert hit is not None
        assert read is not None
        assert hit + read >= 20
    else:
        assert "Planning" in plan.entries[0]


def test_a_node_that_was_never_run_took_no_time(table: Face) -> None:
    plan = table.explain("SELECT * FROM t WHERE id = 1 UNION ALL SELECT * FROM t LIMIT 1", analyze=True)
    assert [node.actual_loops for node in plan.all_nodes][-1] == 0
    assert plan.all_nodes[-1].total_time == 0


# Nothing of what it ran remains


def test_a_plain_explain_runs_nothing(table: Face) -> None:
    table.explain("DELETE FROM t")
    table.explain(INSERT, 6000, "x")
    assert table.query_val("SELECT count(*) FROM t") == 5000


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t",
        "INSERT INTO t VALUES (6000, 'x')",
        "UPDATE t SET label = 'x'",
        "MERGE INTO t USING t AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM t RETURNING id) SELECT count(*) FROM gone",
        "CREATE TABLE made AS SELECT 1 AS a",
        "SELECT set_config('work_mem', '77kB', false), write()",
    ],
)
def test_what_analyze_ran_is_rolled_back(table: Face, sql: str) -> None:
    table.execute("CREATE FUNCTION write() RETURNS void LANGUAGE sql AS $$INSERT INTO t VALUES (7000, 'x')$$")
    before = table.query("SELECT count(*), sum(length(label)), to_regclass('made') FROM t", into=tuple)
    assert table.explain(sql, analyze=True).execution_time is not None
    state = table.query("SELECT count(*), sum(length(label)), to_regclass('made') FROM t", into=tuple)
    assert state == before
    assert table.query_val("SHOW work_mem") != "77kB"
    with table.transaction():
        table.execute("INSERT INTO t VALUES (6001, 'kept')")
        table.explain(sql, analyze=True)
        table.execute("INSERT INTO t VALUES (6002, 'kept')")
    found = table.query("SELECT id FROM t WHERE id > 5000 OR label = 'x' ORDER BY id", into=tuple)
    assert found == [(6001,), (6002,)]


def test_the_plan_of_a_write_counts_what_it_would_have_done(table: Face) -> None:
    plan = table.explain("UPDATE t SET label = 'x' WHERE id <= $1 RETURNING id", 10, analyze=True)
    assert plan.plan.node_type == "ModifyTable"
    assert plan.plan.actual_rows == 10


def test_locks_of_a_select_for_update_are_gone(table: Face, url: str) -> None:
    table.explain("SELECT * FROM t WHERE id = 1 FOR UPDATE", analyze=True)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT")


def test_a_statement_that_fails_undoes_nothing_but_itself(table: Face) -> None:
    with table.transaction():
        table.execute(INSERT, 6000, "kept")
        with pytest.raises(DivisionByZero):
            table.explain("SELECT 1 / (id - 1) FROM t", analyze=True)
        table.execute(INSERT, 6001, "kept")
    assert table.query_val("SELECT count(*) FROM t") == 5002


def test_callbacks_of_the_block_around_stay(table: Face) -> None:
    called: list[int] = []
    with table.transaction():
        table.on_commit(lambda: called.append(1))
        table.explain("DELETE FROM t", analyze=True)
        table.on_commit(lambda: called.append(2))
    assert called == [1, 2]


async def test_what_other_tasks_of_the_block_do_meanwhile_stays(url: str) -> None:
    called: list[int] = []
    async with Database(url, 1, 1) as db:
        await db.execute("CREATE TABLE t (id int)")
        async with db.transaction():
            slow = asyncio.ensure_future(
                db.explain("INSERT INTO t SELECT 0 FROM pg_sleep(0.05)", analyze=True)
            )
            await asyncio.sleep(0.01)
            db.on_commit(lambda: called.append(1))
            await asyncio.gather(*(db.execute("INSERT INTO t VALUES ($1)", n) for n in (1, 2, 3)))
            assert not slow.cancelled()
            await slow
        assert await db.query("SELECT id FROM t ORDER BY id", into=tuple) == [(1,), (2,), (3,)]
    assert called == [1]


def test_in_a_failed_block_it_fails_too(table: Face) -> None:
    def run(analyze: bool) -> None:
        with table.transaction():
            with pytest.raises(DivisionByZero):
                table.query("SELECT 1 / 0")
            table.explain("SELECT 1", analyze=analyze)

    for analyze in (False, True):
        with pytest.raises(InFailedSqlTransaction):
            run(analyze)


def test_one_explain_is_sent_for_a_call(table: Face) -> None:
    table.execute("CREATE SEQUENCE s")
    table.explain("SELECT nextval('s')", analyze=True, buffers=True)
    assert table.query_val("SELECT nextval('s')") == 2


# What is refused


@pytest.mark.parametrize("analyze", [False, True])
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1; DELETE FROM t", "explain takes one statement, and this text holds several"),
        ("SELECT 1; /* */ SELECT 2", "explain takes one statement"),
        ("", "there is no statement to explain: the text is empty"),
        (" -- nothing\n /* /* */ */ ", "there is no statement to explain"),
        ("EXPLAIN SELECT 1", "explain puts EXPLAIN in front of the statement by itself"),
        (" /* x */ explain (ANALYZE) DELETE FROM t", "explain puts EXPLAIN in front"),
    ],
)
def test_what_is_not_one_statement_is_refused(table: Face, sql: str, message: str, analyze: bool) -> None:
    with pytest.raises(ProgrammingError, match=message) as caught:
        table.explain(sql, analyze=analyze)
    assert caught.value.query == sql
    assert table.query_val("SELECT count(*) FROM t") == 5000


@pytest.mark.parametrize(
    "sql",
    [
        "ANALYZE DELETE FROM t",
        "(ANALYZE) DELETE FROM t",
        "(ANALYZE on, FORMAT TEXT) DELETE FROM t",
        "VERBOSE DELETE FROM t",
        "ANALYZE VERBOSE DELETE FROM t",
        "/* */ (ANALYZE true) DELETE FROM t",
        "ANALYZE t",
        "VACUUM t",
        "BEGIN",
        "TRUNCATE t",
        "DO $$BEGIN DELETE FROM t; END$$",
    ],
)
def test_no_text_makes_a_plain_explain_run(table: Face, sql: str) -> None:
    with pytest.raises(SyntaxError) as caught:
        table.explain(sql)
    assert caught.value.query == sql
    assert caught.value.position is not None
    assert table.query_val("SELECT count(*) FROM t") == 5000
    assert table.in_transaction() is False


def test_a_command_that_explain_does_not_take_is_told_what_it_takes(face: Face) -> None:
    with pytest.raises(SyntaxError) as caught:
        face.explain("  VACUUM t")
    assert "EXPLAIN takes SELECT" in caught.value.__notes__[0]
    with pytest.raises(SyntaxError) as caught:
        face.explain("SELECT 1 FROM FROM")
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("analyze", [False, True])
def test_positions_are_those_in_the_statement(face: Face, analyze: bool) -> None:
    sql = "SELECT 'ü', nope"
    with pytest.raises(UndefinedColumn) as caught:
        face.explain(sql, analyze=analyze)
    assert (caught.value.query, caught.value.position) == (sql, sql.index("nope") + 1)


def test_a_statement_without_a_plan_says_so(face: Face) -> None:
    face.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a")
    with pytest.raises(ProgrammingError, match="the statement has no plan to explain"):
        face.explain("REFRESH MATERIALIZED VIEW v")
    face.execute("CREATE TABLE t (a int); CREATE RULE none AS ON INSERT TO t DO INSTEAD NOTHING")
    face.execute("CREATE RULE nothing AS ON DELETE TO t DO INSTEAD NOTHING")
    with pytest.raises(ProgrammingError, match="the statement has no plan to explain"):
        face.explain("DELETE FROM t")


def test_a_value_that_does_not_fit_is_refused(table: Face) -> None:
    for analyze in (False, True):
        with pytest.raises(DataError):
            table.explain(INSERT, 2**31, "x", analyze=analyze)
        with pytest.raises(DataError, match="2 parameters"):
            table.explain(INSERT, 1, analyze=analyze)
    assert table.query_val("SELECT 1") == 1


def test_its_time_is_limited(face: Face) -> None:
    with pytest.raises(QueryTimeout):
        face.explain("SELECT pg_sleep(30)", analyze=True, timeout=0.2)
    assert face.pool_stats()["busy"] == 0
    assert face.query_val("SELECT 1") == 1
    with face.transaction():
        face.execute("CREATE TABLE t (a int)")
        with pytest.raises(QueryTimeout):
            face.explain("SELECT pg_sleep(30)", analyze=True, timeout=0.2)
        face.execute("INSERT INTO t VALUES (1)")
    assert face.query_val("SELECT a FROM t") == 1


async def test_it_needs_a_connected_database(url: str) -> None:
    db = Database(url)
    for analyze in (False, True):
        with pytest.raises(NotConnected):
            await db.explain("SELECT 1", analyze=analyze)
        with pytest.raises(NotConnected):
            db.sync.explain("SELECT 1", analyze=analyze)


# How long a node took


def node(kind: str, time: float, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    figures = {"Actual Total Time": time, "Actual Loops": more.pop("loops", 1), "Actual Rows": 1}
    return {"Node Type": kind, **figures, "Plans": list(children), **more}


def times_of(plan: dict[str, Any]) -> list[tuple[str, float | None, float | None]]:
    result = ExplainResult.from_json([{"Plan": plan}])
    return [(each.node_type, each.total_time, each.self_time) for each in result.all_nodes]


def test_times_of_loops_are_summed() -> None:
    plan = node("Nested Loop", 100, node("Seq Scan", 10), node("Index Scan", 0.5, loops=120))
    assert times_of(plan) == [("Nested Loop", 100, 30), ("Seq Scan", 10, 10), ("Index Scan", 60, 60)]


def test_times_of_processes_are_their_mean() -> None:
    scan = node("Index Scan", 0.1, loops=300)
    join = node("Nested Loop", 50, node("Seq Scan", 10, loops=3), scan, loops=3)
    plan = node("Gather", 60, {**join, "Parent Relationship": "Outer"})
    found = times_of(plan)
    assert [(kind, round(total or 0, 6)) for kind, total, _ in found] == [
        ("Gather", 60),
        ("Nested Loop", 50),
        ("Seq Scan", 10),
        ("Index Scan", 10),
    ]
    assert [round(own or 0, 6) for _, _, own in found] == [10, 30, 10, 10]


def test_a_cte_is_a_part_of_the_scan_that_waits_for_it() -> None:
    cte = node("Seq Scan", 70, **{"Parent Relationship": "InitPlan", "Subplan Name": "CTE x"})
    scans = [node("CTE Scan", time, **{"CTE Name": "x"}) for time in (80, 5)]
    result = ExplainResult.from_json([{"Plan": node("Hash Join", 100, cte, *scans)}])
    root, moved, first, second = result.all_nodes
    assert [each.self_time for each in result.all_nodes] == [15, 70, 10, 5]
    assert root.children == [moved, first, second]
    assert (root.parts, first.parts) == ([first, second], [moved])


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("InitPlan 1 (returns $0)", "(n < $0)"),
        ("InitPlan 1 (returns $0,$1)", "(n < $1)"),
        ("InitPlan 1", "(n < (InitPlan 1).col1)"),
    ],
)
def test_an_init_plan_is_a_part_of_the_node_that_asks_for_it(name: str, condition: str) -> None:
    init = node("Result", 20, **{"Parent Relationship": "InitPlan", "Subplan Name": name})
    other = node("Seq Scan", 10, Filter="(n < $11 AND (InitPlan 11).col1)")
    scan = node("Seq Scan", 60, Filter=condition)
    assert [own for _, _, own in times_of(node("Append", 100, init, other, scan))] == [30, 20, 10, 40]


def test_a_part_that_took_longer_than_the_whole_leaves_it_nothing() -> None:
    result = ExplainResult.from_json([{"Plan": node("Limit", 5, node("Sort", 7))}])
    assert (result.plan.total_time, result.plan.self_time, result.plan.span) == (5, 0, 7)


def test_times_of_a_real_plan_add_up(table: Face) -> None:
    plan = table.explain(
        "WITH x AS MATERIALIZED (SELECT * FROM t WHERE id > 10)"
        " SELECT * FROM x, t WHERE x.id = t.id AND t.id < (SELECT max(id) FROM t) ORDER BY x.label",
        analyze=True,
    )
    own = sum(each.self_time or 0 for each in plan.all_nodes)
    assert own == pytest.approx(plan.plan.span, rel=0.05)


# What the answer may be


def test_several_plans_of_one_statement_are_all_there(face: Face) -> None:
    face.execute("CREATE TABLE t (a int); CREATE TABLE log (a int)")
    face.execute("CREATE RULE also AS ON INSERT TO t DO ALSO INSERT INTO log VALUES (new.a)")
    plan = face.explain("INSERT INTO t VALUES (1)", analyze=True)
    assert [root.relation for root in plan.plans] == ["t", "log"]
    assert plan.plan is plan.plans[0]
    assert [node.node_type for node in plan.all_nodes] == ["ModifyTable", "Result"] * 2
    times = [entry["Execution Time"] for entry in plan.entries]
    assert plan.execution_time == sum(times)
    assert face.query_val("SELECT count(*) FROM log") == 0


@pytest.mark.parametrize(
    "loads", [str, str.encode, json.loads, lambda text: json.loads(text, parse_int=float)]
)
def test_any_reader_of_json_may_be_configured(open_face: OpenFace, url: str, loads: Any) -> None:
    plan = open_face(url, json_loads=loads).explain("SELECT 1", analyze=True)
    assert plan.plan.node_type == "Result"
    assert plan.plan.actual_rows == 1


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "null",
        "[1]",
        "{}",
        '{"Plan": 1}',
        '[{"Plan": {}}]',
        '[{"Plan": {"Node Type": 5}}]',
        '[{"Plan": {"Node Type": "Limit", "Plans": 5}}]',
        '[{"Plan": {"Node Type": "Limit", "Plans": [5]}}]',
        '[{"Plan": {"Node Type": "Limit", "Plans": [{"Node Type": null}]}}]',
        b"\xff",
        object(),
        "[" * 100_000,
    ],
)
def test_an_answer_that_is_no_plan_is_a_protocol_error(document: object) -> None:
    with pytest.raises(ProtocolError):
        ExplainResult.from_json(document)


def test_a_plan_of_auto_explain_is_read_too() -> None:
    plan = ExplainResult.from_json('{"Query Text": "SELECT 1", "Plan": {"Node Type": "Result"}}', "SELECT 1")
    assert plan.plan.node_type == "Result"
    assert plan.sql == "SELECT 1"


VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.just(10**400) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES: Final = st.sampled_from(
    [
        *("Relation Name", "Index Name", "Alias", "Actual Rows", "Actual Loops", "Actual Total Time"),
        *("Plan Rows", "Total Cost", "Shared Hit Blocks", "Parent Relationship", "Subplan Name", "CTE Name"),
    ]
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES))
def test_properties_of_any_kind_are_borne(above: dict[str, Any], below: dict[str, Any]) -> None:
    child = {**below, "Node Type": "Seq Scan"}
    plan = ExplainResult.from_json([{"Plan": {**above, "Node Type": "Gather", "Plans": [child]}}])
    for node in plan.all_nodes:
        for name in dir(node):
            if not name.startswith("_"):
                getattr(node, name)
        assert node.span >= 0
        assert 0 <= node.self_span <= node.span
    assert len(plan.seq_scan_tables) <= 1
    repr(plan)


def test_a_plan_may_be_deeper_than_the_stack() -> None:
    plan: dict[str, Any] = {"Node Type": "Result", "Actual Total Time": 1, "Actual Loops": 1}
    for _ in range(20_000):
        plan = {"Node Type": "Limit", "Actual Total Time": 1, "Actual Loops": 1, "Plans": [plan]}
    result = ExplainResult.from_json([{"Plan": plan}])
    assert len(result.all_nodes) == 20_001
    assert sum(node.self_span for node in result.all_nodes) == 1
