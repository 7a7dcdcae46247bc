"""A plan drawn in the terminal, for `ExplainResult.show`. Draws with rich, which the extra `rich` installs.

rich's documentation: "Tree".
"""

from typing import TYPE_CHECKING, Final

from hyperdjango.database._explain_details import details
from hyperdjango.database._explain_marks import Mark, amount, count, mark, milliseconds, whole
from hyperdjango.database._explain_title import title

if TYPE_CHECKING:
    from hyperdjango.database._explain_node import ExplainNode
    from hyperdjango.database.explain import ExplainResult
    from rich.console import Console
    from rich.text import Text

NO_RICH: Final = (
    "show() draws with rich, which is not installed. Install it:\npip install 'hyper-pgzig[rich]'"
)
BAR_LENGTH: Final = 12
_STYLES: Final = {"hot": "bold red", "warm": "yellow", "": "none"}


def draw(result: "ExplainResult", console: "Console | None") -> None:
    """Print the plan's tree.

    Raises:
        ImportError: rich is not installed; the text says how to.
    """
    try:
        from rich.console import Console  # noqa: PLC0415 - an extra
        from rich.text import Text  # noqa: PLC0415
        from rich.tree import Tree  # noqa: PLC0415
    except ImportError:
        raise ImportError(NO_RICH) from None
    console = console or Console()
    is_ascii = console.options.ascii_only
    total = whole(result.plans)
    for root in result.plans:
        drawn = Tree(_label(root, mark(root, total), is_ascii=is_ascii), guide_style="dim")
        pending: list[tuple[ExplainNode, Tree]] = [(root, drawn)]
        while pending:
            node, branch = pending.pop()
            for child in node.children:
                label = _label(child, mark(child, total), is_ascii=is_ascii)
                pending.append((child, branch.add(label)))
        console.print(drawn)
    console.print(Text(_summary(result), style="dim"))


def _label(node: "ExplainNode", seen: Mark, *, is_ascii: bool) -> "Text":
    """Make the lines of one node. Never by markup, as names and conditions may look like it."""
    from rich.text import Text  # noqa: PLC0415 - an extra

    style = _STYLES[seen.heat]
    label = Text()
    if name := node.text("Subplan Name"):
        label.append(f"{name}: ", "dim")
    label.append(title(node), style if seen.heat else "bold")
    label.append("\n")
    filled = round(min(seen.share, 1.0) * BAR_LENGTH)
    full, empty = ("#", "-") if is_ascii else ("━", "━")
    label.append(full * filled, style if seen.heat else "cyan")
    label.append(empty * (BAR_LENGTH - filled), "dim")
    label.append(f" {seen.share:4.0%}  ")
    label.append(_figures(node), style)
    label.append("  " + _rows(node))
    for note in seen.notes:
        label.append(f"\n! {note}", "yellow")
    for line in details(node):
        label.append(f"\n{line}", "dim")
    return label


def _figures(node: "ExplainNode") -> str:
    is_timed = node.total_time is not None
    own, all_ = amount(node.self_span, is_timed=is_timed), amount(node.span, is_timed=is_timed)
    what = "" if is_timed else "cost "
    return f"{what}self {own}, total {all_}"


def _rows(node: "ExplainNode") -> str:
    expected = count(node.plan_rows)
    if node.actual_rows is None:
        return f"{expected} rows expected" if expected else ""
    if not node.actual_loops:
        return "never executed"
    loops = f", {count(node.actual_loops)} loops" if node.actual_loops > 1 else ""
    return f"{count(node.actual_rows)} row{'' if node.actual_rows == 1 else 's'}, {expected} expected{loops}"


def _summary(result: "ExplainResult") -> str:
    if result.execution_time is None:
        return "Not run: shares are of the planner's cost."
    planning = "" if result.planning_time is None else f"Planning {milliseconds(result.planning_time)}, "
    return f"{planning}execution {milliseconds(result.execution_time)}"
