"""How long each node of a plan took in all, and by itself; without times, how much it costs.

`explain` calls `measure` once for a plan. EXPLAIN's times are means over the loops of a node, and hold the
times of what is below; a CTE or an InitPlan stands at the node that owns it and runs when some other one
first asks for it, so its time is a part of that one's.
PostgreSQL docs: using-explain, "EXPLAIN ANALYZE".
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, cast

from hyperdjango.database._explain_node import ExplainNode, preorder

_CTE: Final = re.compile(r"CTE (.*)", re.DOTALL)
# "InitPlan 1 (returns $0)" is asked for as $0; "InitPlan 1" as (InitPlan 1).col1, from PostgreSQL 17 on.
_RETURNS: Final = re.compile(r"returns (\$\d+(?:,\$\d+)*)")
_INIT_PLAN: Final = re.compile(r"InitPlan \d+")


def measure(roots: Sequence[ExplainNode]) -> None:
    """Set `parts`, `span`, and where the plan was run the times, of every node."""
    nodes = list(preorder(roots))
    _cut(nodes)
    is_timed = any("Actual Total Time" in node.properties for node in nodes)
    for node in nodes:
        node.parts = list(node.children)
    if is_timed:
        for root in roots:
            _move_to_users(root)
    processes = _processes(roots)
    # By `parts`, children before parents, as the span of a node depends on theirs.
    for node in reversed(list(_preorder_of_parts(roots))):
        below = sum(part.span for part in node.parts)
        own = _time(node, processes) if is_timed else max(node.total_cost or 0.0, 0.0)
        node.span = max(own, below)
        node.self_span = max(own - below, 0.0)
        if is_timed:
            node.total_time, node.self_time = own, node.self_span


# They read all that is below them before their first row.
_READS_ALL: Final = frozenset({"Sort", "Incremental Sort", "Hash", "Aggregate", "SetOp", "Bitmap Heap Scan"})


def _cut(nodes: Sequence[ExplainNode]) -> None:
    """Set `is_cut_short`; parents come before their children."""
    for node in nodes:
        if node.node_type == "Limit" or (node.is_cut_short and node.node_type not in _READS_ALL):
            for child in node.children:
                child.is_cut_short = child.properties.get("Parent Relationship") != "InitPlan"


def _time(node: ExplainNode, processes: dict[int, float]) -> float:
    total, loops = node.actual_total_time or 0.0, node.actual_loops or 0.0
    return max(total * loops / processes[id(node)], 0.0)


def _processes(roots: Sequence[ExplainNode]) -> dict[int, float]:
    """Return by each node's id how many processes ran it at a time.

    The loops of what stands below a Gather are those of all its processes together, and each process runs
    its child once for each loop of the Gather.
    """
    found: dict[int, float] = {}
    pending = [(root, 1.0) for root in roots]
    while pending:
        node, count = pending.pop()
        found[id(node)] = count
        is_gather = node.node_type in {"Gather", "Gather Merge"}
        for child in node.children:
            below = count
            if is_gather and child.properties.get("Parent Relationship") == "Outer":
                loops = node.actual_loops or 1.0
                below = count * max((child.actual_loops or 1.0) / loops, 1.0)
            pending.append((child, below))
    return found


def _preorder_of_parts(roots: Sequence[ExplainNode]) -> Iterator[ExplainNode]:
    pending = [*roots]
    while pending:
        node = pending.pop()
        yield node
        pending += node.parts


def _move_to_users(root: ExplainNode) -> None:
    """Make each CTE and InitPlan a part of the first node that asks for it, where that can be told."""
    nodes = list(preorder([root]))
    users: dict[str, ExplainNode] = {}
    for owner in nodes:
        for plan in owner.children:
            if plan.properties.get("Parent Relationship") != "InitPlan":
                continue
            inside = {id(node) for node in preorder([plan])}
            user = next((node for node in nodes if id(node) not in inside and _asks(node, plan)), None)
            if user is not None and user is not owner:
                users[str(id(plan))] = user
    for owner in nodes:
        for plan in owner.children:
            user = users.get(str(id(plan)))
            if user is not None and not _is_below(user, plan):
                owner.parts.remove(plan)
                user.parts.append(plan)


def _is_below(node: ExplainNode, top: ExplainNode) -> bool:
    """Whether `node` is a part of `top` by now, so that `top` cannot become a part of it."""
    return any(each is node for each in _preorder_of_parts([top]))


def _asks(node: ExplainNode, plan: ExplainNode) -> bool:
    name = plan.text("Subplan Name") or ""
    if match := _CTE.fullmatch(name):
        return node.properties.get("CTE Name") == match[1] and node.node_type == "CTE Scan"
    wanted: list[str] = []
    if match := _RETURNS.search(name):
        wanted = [re.escape(parameter) + r"(?!\d)" for parameter in match[1].split(",")]
    elif match := _INIT_PLAN.match(name):
        wanted = [re.escape(f"({match[0]})")]
    texts = [value for value in _texts(node) if "$" in value or "InitPlan" in value]
    return any(re.search(each, text) for each in wanted for text in texts)


def _texts(node: ExplainNode) -> Iterator[str]:
    for name, value in node.properties.items():
        if name in {"Plans", "Subplan Name"}:
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (each for each in cast("list[object]", value) if isinstance(each, str))
