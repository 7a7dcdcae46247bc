"""What is worth a look at a plan's node: its share of the whole, unexpected rows, tables read as a whole.

Used by the tree and the page, so that both mark the same nodes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hyperdjango.database._explain_node import ExplainNode

# Shares of the whole that a node takes by itself.
WARM: Final = 0.1
HOT: Final = 0.4
# How far the planner may be off with rows before that is said.
FACTOR_MIN: Final = 10.0
# A table is large from so many rows on; where it was not read, from such a cost of reading it.
LARGE_ROWS: Final = 10_000
LARGE_COST: Final = 1000.0


class Mark(NamedTuple):
    """What is said of one node.

    Attributes:
        share: Of the whole plan's time, or cost, with all that is a part of the node.
        self_share: The node's own.
        heat: `"hot"`, `"warm"` or empty, by `self_share`.
        notes: Short sentences.
    """

    share: float
    self_share: float
    heat: str
    notes: tuple[str, ...]


def whole(roots: Sequence[ExplainNode]) -> float:
    """Return what shares are of."""
    return sum(root.span for root in roots)


def mark(node: ExplainNode, total: float) -> Mark:
    """Return the mark of a node in a plan that took `total`."""
    share = node.span / total if total else 0.0
    self_share = node.self_span / total if total else 0.0
    heat = "hot" if self_share >= HOT else "warm" if self_share >= WARM else ""
    return Mark(share, self_share, heat, tuple(filter(None, [_rows(node), _large(node)])))


def _rows(node: ExplainNode) -> str:
    if node.actual_rows is None or node.plan_rows is None or not node.actual_loops:
        return ""
    factor = max(node.actual_rows, 1.0) / max(node.plan_rows, 1.0)
    if factor >= FACTOR_MIN:
        return f"{factor:,.0f} times the rows that were expected"
    if 1 / factor >= FACTOR_MIN and not node.is_cut_short:
        return f"{1 / factor:,.0f} times fewer rows than expected"
    return ""


def _large(node: ExplainNode) -> str:
    if not node.is_seq_scan:
        return ""
    if node.actual_rows is None:
        cost = node.total_cost or 0.0
        return "reads the whole of a large table" if cost >= LARGE_COST else ""
    loops = node.actual_loops or 0.0
    kept = node.actual_rows * loops
    read = kept + (node.number("Rows Removed by Filter") or 0.0) * loops
    return f"reads {read:,.0f} rows to keep {kept:,.0f}" if read >= LARGE_ROWS else ""


def milliseconds(time: float) -> str:
    """Return a time to be read."""
    return (
        f"{time / 1000:,.2f} s" if time >= 10_000 else f"{time:,.3f} ms" if time < 10 else f"{time:,.1f} ms"
    )


def amount(value: float, *, is_timed: bool) -> str:
    """Return a span: a time, or a cost where nothing was run."""
    return milliseconds(value) if is_timed else f"{value:,.2f}"


def count(value: float | None) -> str:
    """Return a number of rows or loops."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
