"""`str(plan)` against the text that the server itself prints, for plans of every kind.

Without ANALYZE the two are equal; with it, as two runs are never the same, up to times. What differs between
any two runs (workers, first reads of a block) is checked with plans taken down once.
PostgreSQL docs: sql-explain.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from explain_corpus import STATEMENTS, TABLES, Statement
from hyperdjango.database import ExplainResult, SyncDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_servers import Server
from typekit import fresh_database


class Undone(Exception):  # noqa: N818 - nothing is wrong
    pass


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server, *TABLES) as database:
        yield database


STATEMENT: Final = pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)


OF_A_PROCESS: Final = re.compile(r" *(Worker|Heap Blocks|Batches|Sort Method|Buckets|Rows Removed)\b")


def both(
    db: SyncDatabase, server: Server, statement: Statement, options: str, *, ours: str | None = None
) -> tuple[str, str]:
    """Return the server's text and ours, of runs under the same circumstances.

    Args:
        options: Of the server's EXPLAIN.
        ours: Those of `explain`, in place of an EXPLAIN with `options` that is read by `from_json`.
    """
    if server.major < statement.since:
        return "", ""  # the test's other server has it
    texts: list[str] = []

    def run(*, is_ours: bool) -> None:
        with db.transaction():
            for setting in statement.settings:
                db.execute(f"SET LOCAL {setting}")
            if not is_ours:
                lines = db.query(f"EXPLAIN ({options}) {statement.sql}", into=tuple)
                texts.append("\n".join(line for (line,) in lines))
            elif ours is None:
                document = db.query_val(f"EXPLAIN ({options}, FORMAT JSON) {statement.sql}")
                texts.append(str(ExplainResult.from_json(document)))
            else:
                keywords = dict.fromkeys(ours.split(), True)
                texts.append(str(db.explain(statement.sql, **keywords)))
            raise Undone

    # The first fills caches of the server's, so that blocks are counted alike.
    for is_ours in (True, False, True):
        with pytest.raises(Undone):
            run(is_ours=is_ours)
    return texts[1], texts[2]


def comparable(text: str, statement: Statement) -> list[str]:
    """The lines without what is never the same twice, or cannot be told from JSON."""
    text = re.sub(r"time=[\d.]+(\.\.[\d.]+)?", "time=T", text)
    text = re.sub(r"[\d.]+ ms", "T ms", text)
    # What planning reads of the catalogs depends on what an invalidation has thrown away just before.
    text = re.sub(r"(Planning:\n +Buffers:)[^\n]*", r"\1 B", text)
    # A table grows by what was rolled back, and the planner sees it.
    text = re.sub(r"cost=\S+ rows=\d+", "cost=C rows=R", text)
    if statement.is_parallel:
        # Which process did what is never the same twice, and whether one did anything at all.
        text = re.sub(r"\(never executed\)|\(actual [^)]*\)", "(actual)", text)
        text = re.sub(r"\d+(\.\d+)?", "N", text)
    lines = [line.rstrip() for line in text.split("\n") if not line.endswith("Rows Removed by Filter: 0")]
    return [line for line in lines if not (statement.is_parallel and OF_A_PROCESS.match(line))]


@STATEMENT
def test_a_plan_reads_as_the_server_prints_it(db: SyncDatabase, server: Server, statement: Statement) -> None:
    theirs, ours = both(db, server, statement, "ANALYZE off", ours="")
    assert ours.split("\n") == theirs.split("\n")


@STATEMENT
def test_every_option_reads_as_the_server_prints_it(
    db: SyncDatabase, server: Server, statement: Statement
) -> None:
    theirs, ours = both(db, server, statement, "VERBOSE, SETTINGS, BUFFERS, SUMMARY")
    assert comparable(ours, statement) == comparable(theirs, statement)
    theirs, ours = both(db, server, statement, "COSTS off")
    assert ours.split("\n") == theirs.split("\n")


@STATEMENT
def test_a_plan_that_was_run_reads_as_the_server_prints_it(
    db: SyncDatabase, server: Server, statement: Statement
) -> None:
    theirs, ours = both(db, server, statement, "ANALYZE, BUFFERS off", ours="analyze")
    assert comparable(ours, statement) == comparable(theirs, statement)


@pytest.mark.parametrize(
    "name",
    [
        *("an index scan", "a bitmap or", "a lossy bitmap", "a sort on disk", "a hash join in batches"),
        *("memoize that evicts", "a hashed group on disk", "a sub plan", "a window"),
    ],
)
def test_blocks_are_counted_as_the_server_prints_them(db: SyncDatabase, server: Server, name: str) -> None:
    statement = STATEMENTS[name]
    theirs, ours = both(db, server, statement, "ANALYZE, BUFFERS", ours="analyze buffers")
    assert "Buffers: " in ours
    assert comparable(ours, statement) == comparable(theirs, statement)
    timed = Statement(statement.sql, (*statement.settings, "track_io_timing = on"))
    theirs, ours = both(db, server, timed, "ANALYZE, BUFFERS, VERBOSE")
    assert ("I/O Timings: temp read=" in ours) == ("on disk" in name or "in batches" in name)
    assert [re.sub(r"(read|write)=[\d.]+", r"\1=T", line) for line in comparable(ours, timed)] == [
        re.sub(r"(read|write)=[\d.]+", r"\1=T", line) for line in comparable(theirs, timed)
    ]


def test_compiled_expressions_read_as_the_server_prints_them(db: SyncDatabase, server: Server) -> None:
    costs = ("jit = on", "jit_above_cost = 0", "jit_inline_above_cost = 0")
    statement = Statement("SELECT sum(n) FROM a WHERE id > 5", costs)
    for options in ("ANALYZE off", "ANALYZE, BUFFERS off"):
        theirs, ours = both(db, server, statement, options)
        assert comparable(ours, statement) == comparable(theirs, statement)


def test_what_was_run_without_timing_reads_as_the_server_prints_it(db: SyncDatabase, server: Server) -> None:
    statement = STATEMENTS["a cascade"]
    theirs, ours = both(db, server, statement, "ANALYZE, TIMING off, SUMMARY off, BUFFERS off, WAL")
    assert re.sub(r"cost=\S+|WAL.*", "", ours) == re.sub(r"cost=\S+|WAL.*", "", theirs)
    assert ("WAL: records=" in ours) == ("WAL: records=" in theirs)


def text_of(plan: dict[str, Any], **entry: Any) -> str:
    return str(ExplainResult.from_json([{"Plan": plan, **entry}]))


def test_times_are_those_of_the_very_run(db: SyncDatabase) -> None:
    plan = db.explain("SELECT count(*) FROM a", analyze=True)
    assert f"Execution Time: {plan.execution_time:.3f} ms" in plan.text
    assert f"{plan.plan.actual_total_time:.3f} rows=" in plan.text
    assert plan.text == str(plan)


def test_workers_stand_below_their_node() -> None:
    workers = [
        {
            "Worker Number": 0,
            "Actual Startup Time": 1,
            "Actual Total Time": 2.5,
            "Actual Rows": 3,
            "Actual Loops": 1,
            "Sort Method": "quicksort",
            "Sort Space Used": 25,
            "Sort Space Type": "Memory",
        },
        {
            "Worker Number": 1,
            "Sort Method": "external merge",
            "Sort Space Used": 99,
            "Sort Space Type": "Disk",
        },
    ]
    plan = {
        "Node Type": "Sort",
        "Parallel Aware": True,
        "Sort Key": ["a", "b DESC"],
        "Sort Method": "quicksort",
        "Sort Space Used": 30,
        "Sort Space Type": "Memory",
        "Shared Hit Blocks": 5,
        "Shared Read Blocks": 0,
        "Workers": workers,
    }
    assert text_of(plan).split("\n") == [
        "Parallel Sort",
        "  Sort Key: a, b DESC",
        "  Sort Method: quicksort  Memory: 30kB",
        "  Buffers: shared hit=5",
        "  Worker 0:  actual time=1.000..2.500 rows=3 loops=1",
        "    Sort Method: quicksort  Memory: 25kB",
        "  Worker 1:  Sort Method: external merge  Disk: 99kB",
    ]


def test_other_nodes_than_the_core_has() -> None:
    plan = {
        "Node Type": "Custom Scan",
        "Custom Plan Provider": "Mine",
        "Async Capable": True,
        "Relation Name": "t",
        "Schema": "S",
        "Alias": "x",
        "Plans": [{"Node Type": "Foreign Scan", "Operation": "Update", "Relation Name": "f", "Alias": "f"}],
    }
    assert text_of(plan).split("\n") == [
        'Async Custom Scan (Mine) on "S".t x',
        "  ->  Foreign Update on f",
    ]


def test_what_nobody_knows_yet_is_printed_by_its_name() -> None:
    plan = {
        "Node Type": "Warp",
        "Brand New": 5,
        "Share": 0.25,
        "Is So": True,
        "Keys": ["a", "b"],
        "Group": {"Inner": 1, "List": [1, 2]},
    }
    assert text_of(plan, **{"Late": {"Time": 2}, "Execution Time": 1}).split("\n") == [
        "Warp",
        "  Brand New: 5",
        "  Share: 0.25",
        "  Is So: true",
        "  Keys: a, b",
        "  Group:",
        "    Inner: 1",
        "    List: 1, 2",
        "Late:",
        "  Time: 2",
        "Execution Time: 1.000 ms",
    ]


NAMES: Final = st.sampled_from(
    [
        *(
            "Relation Name",
            "Schema",
            "Alias",
            "Index Name",
            "Join Type",
            "Strategy",
            "Partial Mode",
            "Command",
        ),
        *(
            "Operation",
            "Subplan Name",
            "Startup Cost",
            "Total Cost",
            "Plan Rows",
            "Plan Width",
            "Actual Rows",
        ),
        *("Actual Loops", "Actual Startup Time", "Sort Method", "Sort Space Used", "Full-sort Groups"),
        *("Hash Buckets", "Peak Memory Usage", "Cache Hits", "HashAgg Batches", "Storage", "Workers"),
        *("Grouping Sets", "Target Tables", "Exact Heap Blocks", "Sampling Parameters", "Shared Hit Blocks"),
        *("Tuples Inserted", "I/O Read Time", "WAL Records", "Rows Removed by Filter", "Sort Key", "Output"),
        *("Planning", "Triggers", "JIT", "Settings", "Planning Time", "Execution Time", "Worker Number"),
    ]
)
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KINDS: Final = st.sampled_from(
    [
        "Hash",
        "Memoize",
        "Aggregate",
        "ModifyTable",
        "SetOp",
        "Sort",
        "Nested Loop",
        "Custom Scan",
        "Index Scan",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES), KINDS, st.dictionaries(NAMES, VALUES), KINDS)
def test_properties_of_any_kind_are_printed_somehow(
    above: dict[str, Any], kind: str, below: dict[str, Any], inner: str
) -> None:
    text = text_of({**above, "Node Type": kind, "Plans": [{**below, "Node Type": inner}]}, **below)
    assert "->  " in text


def test_a_deep_plan_is_printed() -> None:
    plan: dict[str, Any] = {"Node Type": "Result"}
    for _ in range(3000):
        plan = {"Node Type": "Limit", "Plans": [plan]}
    assert text_of(plan).endswith("->  Result")
