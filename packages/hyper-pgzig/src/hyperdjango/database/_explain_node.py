"""ExplainNode: one node of a plan, read from the JSON that EXPLAIN gives.

Made by `explain`. Nothing here recurses, as a plan may be deeper than Python's stack.
PostgreSQL docs: using-explain, sql-explain "Parameters".
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from hyperdjango.database.errors import ProtocolError

# A Bitmap Index Scan reads an index as the others do; the Bitmap Heap Scan above it reads the table.
INDEX_SCANS: Final = frozenset({"Index Scan", "Index Only Scan", "Bitmap Index Scan"})
# Far above the planner's own limit of rows, and low enough that products stay finite.
_NUMBER_MAX: Final = 10**150
_NO_PLAN: Final = "EXPLAIN was answered with something that is not a plan"


class ExplainNode:
    """One node of a plan. What EXPLAIN did not say of it is None.

    Attributes:
        properties: The node as it stands in EXPLAIN's JSON, under PostgreSQL's own names.
        children: The nodes whose rows it takes, then its SubPlans; InitPlans and CTEs come first.
        total_time: Milliseconds in the node and all below it, over all its loops; of what runs in parallel
            workers the mean of the processes. None where the statement was not run.
        self_time: The part of `total_time` that is the node's own.
        span: What `total_time` is at least, as the children have taken as much; the node's share of the
            whole plan is measured by it. Where the statement was not run it is in units of cost.
        self_span: The part of `span` that is the node's own.
        is_cut_short: A LIMIT above may have stopped it, so that fewer rows than expected are as they should.
        parts: What the node's time is made of: `children`, but a CTE or an InitPlan is a part of the node
            that waits for it.
    """

    __slots__ = (
        *("children", "is_cut_short", "parts", "properties", "self_span", "self_time", "span", "total_time"),
    )

    def __init__(self, properties: dict[str, Any]) -> None:
        self.properties = properties
        self.children: list[ExplainNode] = []
        self.parts: list[ExplainNode] = []
        self.total_time: float | None = None
        self.self_time: float | None = None
        self.span = 0.0
        self.self_span = 0.0
        self.is_cut_short = False

    def __repr__(self) -> str:
        """The type and what it reads, without conditions: they hold values."""
        where = "".join(f" {name!r}" for name in (self.relation, self.index_name) if name is not None)
        return f"<ExplainNode {self.node_type}{where}>"

    @property
    def node_type(self) -> str:
        """PostgreSQL's name of the node, as `"Seq Scan"` or `"Hash Join"`."""
        return str(self.properties["Node Type"])

    @property
    def relation(self) -> str | None:
        """The table that it reads or writes, without its schema."""
        return self.text("Relation Name")

    @property
    def alias(self) -> str | None:
        """What the statement calls the table, the function or the subquery."""
        return self.text("Alias")

    @property
    def index_name(self) -> str | None:
        """The index that it reads."""
        return self.text("Index Name")

    @property
    def plan_rows(self) -> float | None:
        """How many rows the planner expects of one loop."""
        return self.number("Plan Rows")

    @property
    def total_cost(self) -> float | None:
        """The planner's cost of one loop to its last row, in its own units."""
        return self.number("Total Cost")

    @property
    def actual_rows(self) -> float | None:
        """How many rows came of one loop, on average, as PostgreSQL prints it: up to 17 a whole number."""
        return self.number("Actual Rows")

    @property
    def actual_loops(self) -> float | None:
        """How often it was run, by all processes together; 0 where it never was."""
        return self.number("Actual Loops")

    @property
    def actual_total_time(self) -> float | None:
        """Milliseconds of one loop to its last row, on average, with all below it."""
        return self.number("Actual Total Time")

    @property
    def shared_hit_blocks(self) -> int | None:
        """Blocks found in the shared buffers, by the node and all below it. None without `buffers`."""
        return self._count("Shared Hit Blocks")

    @property
    def shared_read_blocks(self) -> int | None:
        """Blocks that had to be read, by the node and all below it. None without `buffers`."""
        return self._count("Shared Read Blocks")

    @property
    def is_seq_scan(self) -> bool:
        """Whether it reads a whole table, alone or with parallel workers."""
        return self.node_type == "Seq Scan"

    @property
    def is_index_scan(self) -> bool:
        """Whether it reads an index: Index Scan, Index Only Scan, Bitmap Index Scan."""
        return self.node_type in INDEX_SCANS

    def text(self, name: str) -> str | None:
        """Return a property that is text."""
        found = self.properties.get(name)
        return found if isinstance(found, str) else None

    def number(self, name: str) -> float | None:
        """Return a property that is a number."""
        return as_number(self.properties.get(name))

    def _count(self, name: str) -> int | None:
        found = as_number(self.properties.get(name))
        return None if found is None else int(found)


def as_number(value: object) -> float | None:
    """Return a number of JSON, int or float, as it stands; None for what is no number or beyond all plans."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) <= _NUMBER_MAX else None


def tree_of(plan: object) -> ExplainNode:
    """Return the root of the tree that a `"Plan"` of EXPLAIN's JSON describes.

    Raises:
        ProtocolError: It is no plan.
    """
    root = ExplainNode(_checked(plan))
    pending = [root]
    while pending:
        node = pending.pop()
        plans = node.properties.get("Plans", [])
        if not isinstance(plans, list):
            raise ProtocolError(_NO_PLAN)
        node.children = [ExplainNode(_checked(each)) for each in cast("list[object]", plans)]
        pending += node.children
    return root


def _checked(plan: object) -> dict[str, Any]:
    if not isinstance(plan, dict):
        raise ProtocolError(_NO_PLAN)
    properties = cast("dict[str, Any]", plan)
    if not isinstance(properties.get("Node Type"), str):
        raise ProtocolError(_NO_PLAN)
    return properties


def is_plan(entry: object) -> bool:
    """Whether an entry of EXPLAIN's JSON has a plan: a utility statement has none."""
    return isinstance(entry, Mapping) and "Plan" in entry


def preorder(roots: Iterable[ExplainNode]) -> Iterator[ExplainNode]:
    """Yield every node of the trees, each before its children, in the order of EXPLAIN's text."""
    pending = [*roots][::-1]
    while pending:
        node = pending.pop()
        yield node
        pending += node.children[::-1]
