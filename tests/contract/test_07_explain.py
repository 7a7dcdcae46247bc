"""Section 7 of the contract: what an ExplainResult and its nodes say."""

import pytest
from contract.wire import Wire
from hyperdjango.database import Database, ExplainNode, ExplainResult, ProgrammingError

BY_YEAR = "SELECT title FROM book WHERE year = $1 ORDER BY id"


@pytest.fixture
async def books(db: Database) -> Database:
    """A table that is worth an index."""
    await db.execute("CREATE TABLE book (id int PRIMARY KEY, year int, title text)")
    await db.execute(
        "INSERT INTO book SELECT n, 1900 + n % 120, 'Book ' || n FROM generate_series(1, 5000) n"
    )
    await db.execute("VACUUM (ANALYZE) book")
    return db


async def analysed(db: Database) -> ExplainResult:
    return await db.explain(BY_YEAR, 1984, analyze=True, buffers=True)


@pytest.mark.line("7.text")
async def test_text_is_the_servers_layout(books: Database) -> None:
    """ExplainResult: .text."""
    text = (await books.explain(BY_YEAR, 1984)).text
    assert text.splitlines()[0].startswith("Sort  (cost=")
    assert "Filter: (year = 1984)" in text


@pytest.mark.line("7.plan")
async def test_plan_is_the_root(books: Database) -> None:
    """.plan (root ExplainNode)."""
    plan = (await books.explain(BY_YEAR, 1984)).plan
    assert isinstance(plan, ExplainNode)
    assert plan.node_type == "Sort"


@pytest.mark.line("7.times")
async def test_times_are_milliseconds_or_none(books: Database) -> None:
    """.execution_time and .planning_time in ms (None when not analysed)."""
    plain = await books.explain(BY_YEAR, 1984)
    assert (plain.execution_time, plain.planning_time) == (None, None)
    ran = await books.explain("SELECT pg_sleep(0.1)", analyze=True)
    assert ran.execution_time is not None
    assert ran.execution_time >= 100
    assert ran.planning_time is not None
    assert ran.planning_time > 0


@pytest.mark.line("7.analyzed")
async def test_analyzed_says_whether_it_ran(books: Database) -> None:
    """.analyzed."""
    assert (await books.explain(BY_YEAR, 1984)).analyzed is False
    assert (await analysed(books)).analyzed is True


@pytest.mark.line("7.seq_scans")
async def test_seq_scans_are_told(books: Database) -> None:
    """.has_seq_scan, .seq_scan_tables."""
    plan = await books.explain(BY_YEAR, 1984)
    assert (plan.has_seq_scan, list(plan.seq_scan_tables)) == (True, ["book"])
    plan = await books.explain("SELECT * FROM book WHERE id = $1", 7)
    assert (plan.has_seq_scan, list(plan.seq_scan_tables)) == (False, [])


@pytest.mark.line("7.index_scans")
async def test_index_scans_are_told(books: Database) -> None:
    """.index_scans."""
    plan = await books.explain("SELECT * FROM book WHERE id = $1", 7)
    assert [node.index_name for node in plan.index_scans] == ["book_pkey"]
    assert list((await books.explain(BY_YEAR, 1984)).index_scans) == []


@pytest.mark.line("7.all_nodes")
async def test_all_nodes_are_in_order(books: Database) -> None:
    """.all_nodes."""
    nodes = (await books.explain(BY_YEAR, 1984)).all_nodes
    assert [node.node_type for node in nodes] == ["Sort", "Seq Scan"]


@pytest.mark.line("7.node.names")
async def test_a_node_names_relation_and_index(books: Database) -> None:
    """ExplainNode: .node_type, .relation, .index_name."""
    node = (await books.explain("SELECT * FROM book WHERE id = $1", 7)).plan
    assert (node.node_type, node.relation, node.index_name) == ("Index Scan", "book", "book_pkey")
    assert (await books.explain(BY_YEAR, 1984)).plan.relation is None


@pytest.mark.line("7.node.actual")
async def test_a_node_has_actual_rows_and_time(books: Database) -> None:
    """.actual_rows, .actual_total_time."""
    scan = (await analysed(books)).plan.children[0]
    assert scan.actual_rows == await books.query_val("SELECT count(*) FROM book WHERE year = 1984")
    assert scan.actual_total_time is not None
    assert scan.actual_total_time > 0
    assert (await books.explain(BY_YEAR, 1984)).plan.actual_rows is None


@pytest.mark.line("7.node.blocks")
async def test_a_node_counts_blocks(books: Database) -> None:
    """.shared_hit_blocks, .shared_read_blocks."""
    scan = (await analysed(books)).plan.children[0]
    assert scan.shared_hit_blocks is not None
    assert scan.shared_read_blocks is not None
    pages = await books.query_val("SELECT relpages FROM pg_class WHERE oid = 'book'::regclass")
    assert scan.shared_hit_blocks + scan.shared_read_blocks == pages


@pytest.mark.line("7.node.children")
async def test_a_node_has_children(books: Database) -> None:
    """.children."""
    plan = (await books.explain(BY_YEAR, 1984)).plan
    assert [child.node_type for child in plan.children] == ["Seq Scan"]
    assert list(plan.children[0].children) == []


@pytest.mark.line("7.node.kinds")
async def test_a_node_says_how_it_scans(books: Database) -> None:
    """.is_seq_scan, .is_index_scan (index-only too)."""
    scan = (await books.explain(BY_YEAR, 1984)).plan.children[0]
    assert (scan.is_seq_scan, scan.is_index_scan) == (True, False)
    only = (await books.explain("SELECT id FROM book WHERE id = $1", 7)).plan
    assert only.node_type == "Index Only Scan"
    assert (only.is_seq_scan, only.is_index_scan) == (False, True)


@pytest.mark.line("7.node.raw")
async def test_a_node_keeps_the_raw_properties(books: Database) -> None:
    """And the raw properties."""
    scan = (await books.explain(BY_YEAR, 1984)).plan.children[0]
    assert scan.properties["Filter"] == "(year = 1984)"


@pytest.mark.line("7.one")
async def test_a_call_is_one_explain(wire: Wire) -> None:
    """One EXPLAIN per call."""
    async with Database(wire.url, 1, 1) as db:
        result = await db.explain("SELECT 1 AS once")
        assert result.text
        assert result.all_nodes
        assert wire.bytes_sent.count(b"SELECT 1 AS once") == 1
        with pytest.raises(ProgrammingError):
            await db.explain("SELECT 1; SELECT 2")


@pytest.mark.line("7.rolled_back")
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a block"])
async def test_what_analyze_wrote_is_rolled_back(books: Database, inside: bool) -> None:
    """analyze=True on a statement that writes runs inside a savepoint that is rolled back."""
    if inside:
        async with books.transaction():
            await books.execute("DELETE FROM book WHERE id = 1")
            plan = await books.explain("DELETE FROM book WHERE year < $1", 1950, analyze=True)
    else:
        plan = await books.explain("DELETE FROM book WHERE year < $1", 1950, analyze=True)
    assert plan.plan.children[0].actual_rows
    assert await books.query_val("SELECT count(*) FROM book") == 5000 - inside
