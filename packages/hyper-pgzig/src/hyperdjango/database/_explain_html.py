"""A plan as one page of HTML, for `ExplainResult.to_html`: a flame graph, its nodes, the text, the statement.

The page needs nothing else and asks for nothing: style and script stand in it, and its own policy allows no
other. Every name and literal comes from users, so all text goes through `escape`, none into the script. What
a frame measures goes into the style, as a policy that allows no inline styles leaves no attribute for it.
"""

import base64
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

from hyperdjango.database._explain_details import details
from hyperdjango.database._explain_marks import Mark, amount, count, mark, milliseconds, whole
from hyperdjango.database._explain_title import title

if TYPE_CHECKING:
    from hyperdjango.database._explain_node import ExplainNode
    from hyperdjango.database.explain import ExplainResult

ROW_HEIGHT: Final = 31
# A frame that takes less of the width shows no text: there is room for none.
LABEL_MIN: Final = 0.03
# From the share that a node takes by itself to its colour.
_HEATS: Final = (0.02, 0.1, 0.2, 0.4, 0.6)
_VALUE_LENGTH_MAX: Final = 500


class Frame(NamedTuple):
    """A node's place in the flame graph; lengths are shares of its width."""

    number: int
    node: "ExplainNode"
    mark: Mark
    left: float
    width: float
    depth: int
    around: int | None


def page(result: "ExplainResult", sql: str | None, parameters: Sequence[object] = ()) -> str:
    """Return the page.

    Args:
        result: The plan, without what must not be shown.
        sql: The statement.
        parameters: Values to be shown.
    """
    frames = place(result.plans, result.all_nodes)
    in_order = sorted(frames, key=lambda frame: frame.number)
    style = _file("_explain_page.css") + "".join([*_styles(frames), *_indents(result.plans)])
    script = _file("_explain_page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    body = "\n".join(
        [
            f"<h1>Query plan: {escape(title(result.plan))}</h1>",
            *_summary(result),
            *_flame(frames, is_timed=result.analyzed),
            *(_details(frame) for frame in in_order),
            "<h2>Statement</h2>" if sql is not None else "",
            f"<pre>{escape(sql)}</pre>" if sql is not None else "",
            *_values(parameters),
            *_table(in_order, is_timed=result.analyzed),
            "<h2>As text</h2>",
            f'<pre class="plan">{escape(result.text)}</pre>',
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Query plan</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def place(roots: Sequence["ExplainNode"], nodes: Iterable["ExplainNode"]) -> list[Frame]:
    """Return a frame for each node, each after the one around it. Parts lie within what they are parts of."""
    numbers = {id(node): number for number, node in enumerate(nodes)}
    total = whole(roots)
    frames: list[Frame] = []
    pending: deque[tuple[ExplainNode, float, float, int, int | None]] = deque(
        (node, left, width, 0, None) for node, left, width in _side_by_side(roots, total, 0.0, 1.0)
    )
    while pending:
        node, left, width, depth, around = pending.popleft()
        number = numbers[id(node)]
        frames.append(Frame(number, node, mark(node, total), left, width, depth, around))
        pending.extend(
            (part, at, part_width, depth + 1, number)
            for part, at, part_width in _side_by_side(node.parts, node.span, left, width)
        )
    return frames


def _side_by_side(
    nodes: Sequence["ExplainNode"], span: float, left: float, width: float
) -> "Iterator[tuple[ExplainNode, float, float]]":
    for node in nodes:
        # Where nothing took any time, all are shown alike.
        share = node.span / span if span else 1 / len(nodes)
        yield node, left, width * share
        left += width * share


def _file(name: str) -> str:
    return resources.files("hyperdjango.database").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _styles(frames: Sequence[Frame]) -> Iterator[str]:
    depth = max(frame.depth for frame in frames) + 1
    yield f".flame{{height:{depth * ROW_HEIGHT - 2}px}}\n"
    for frame in frames:
        top = frame.depth * ROW_HEIGHT
        yield f"#f{frame.number}{{left:{frame.left:.4%};width:{frame.width:.4%};top:{top}px}}\n"


def _indents(roots: Sequence["ExplainNode"]) -> Iterator[str]:
    """Yield the style of the first cell of each row, for the rows to look like the plan's tree."""
    number = 0
    pending = [(root, 0) for root in reversed(roots)]
    while pending:
        node, depth = pending.pop()
        yield f"#r{number}{{padding-left:{0.9 + min(depth, 24) * 1.1:.1f}rem}}\n"
        number += 1
        pending += [(child, depth + 1) for child in reversed(node.children)]


def _summary(result: "ExplainResult") -> Iterator[str]:
    figures: list[tuple[str, str]] = []
    if result.execution_time is not None:
        figures.append(("Execution", milliseconds(result.execution_time)))
    if result.planning_time is not None:
        figures.append(("Planning", milliseconds(result.planning_time)))
    if not result.analyzed:
        figures.append(("Cost", f"{whole(result.plans):,.2f}"))
    rows = result.plan.actual_rows if result.analyzed else result.plan.plan_rows
    figures.append(("Rows" if result.analyzed else "Rows expected", count(rows)))
    figures.append(("Nodes", str(len(result.all_nodes))))
    if result.seq_scan_tables:
        figures.append(("Read as a whole", ", ".join(result.seq_scan_tables)))
    yield f'<dl class="figures">{_definitions(figures)}</dl>'


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    shown = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return "".join(shown)


def _flame(frames: Sequence[Frame], *, is_timed: bool) -> Iterator[str]:
    what = "time" if is_timed else "cost"
    legend = "".join(f'<i class="h{heat}"></i>' for heat in range(len(_HEATS) + 1))
    yield (
        f'<div class="bar"><h2>Where the {what} goes</h2>'
        f'<p class="quiet legend">little <span>{legend}</span> much {what} of its own</p></div>'
    )
    yield '<div class="flame" role="group" aria-label="Flame graph of the plan">'
    yield from map(_frame, frames)
    yield "</div>"
    text = f"The width of a node is its {what} with all below it. Choose one for its details."
    yield f'<p class="hint quiet" data-text="{text}">{text}</p>'


def _frame(frame: Frame) -> str:
    heat = sum(frame.mark.self_share >= least for least in _HEATS)
    label = _heading(frame.node)
    value = _span(frame)
    around = "" if frame.around is None else f' data-around="{frame.around}"'
    said = "; ".join(
        [f"{label}: {value}, {frame.mark.share:.0%}, {_own(frame)} of its own", *frame.mark.notes]
    )
    is_thin = frame.width < LABEL_MIN
    text = "" if is_thin else f"{escape(label)}<small>{escape(value)}</small>"
    return (
        f'<button type="button" class="frame h{heat}{" thin" if is_thin else ""}" id="f{frame.number}" '
        f'data-node="{frame.number}"{around} aria-pressed="false" aria-label="{escape(said)}" '
        f'title="{escape(said)}">{text}</button>'
    )


def _heading(node: "ExplainNode") -> str:
    name = node.text("Subplan Name")
    return title(node) if name is None else f"{name}: {title(node)}"


def _span(frame: Frame) -> str:
    return amount(frame.node.span, is_timed=frame.node.total_time is not None)


def _own(frame: Frame) -> str:
    return amount(frame.node.self_span, is_timed=frame.node.total_time is not None)


def _details(frame: Frame) -> str:
    node = frame.node
    is_timed = node.total_time is not None
    what = "time" if is_timed else "cost"
    pairs = [
        (f"Total {what}", f"{_span(frame)} ({frame.mark.share:.0%})"),
        (f"Own {what}", f"{_own(frame)} ({frame.mark.self_share:.0%})"),
        ("Rows expected", count(node.plan_rows)),
        ("Rows", count(node.actual_rows)),
        ("Loops", count(node.actual_loops)),
    ]
    if node.shared_hit_blocks is not None:
        blocks = f"{count(node.shared_hit_blocks)} found, {count(node.shared_read_blocks)} read"
        pairs.append(("Blocks", blocks))
    lines = details(node)
    more = f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""
    notes = "".join(f'<p class="note">{escape(_sentence(note))}</p>' for note in frame.mark.notes)
    return (
        f'<section class="node" data-node="{frame.number}" aria-live="polite" hidden>'
        f"<h3>{escape(_heading(node))}</h3><dl>{_definitions(pair for pair in pairs if pair[1])}</dl>"
        f"{notes}{more}</section>"
    )


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}."


def _values(parameters: Sequence[object]) -> Iterator[str]:
    if not parameters:
        return
    lines: list[str] = []
    for index, value in enumerate(parameters, start=1):
        shown = repr(value)
        is_long = len(shown) > _VALUE_LENGTH_MAX
        lines.append(f"${index} = {shown[:_VALUE_LENGTH_MAX]}{'…' if is_long else ''}")
    yield "<h2>Values</h2>"
    yield f"<pre>{escape(chr(10).join(lines))}</pre>"


def _table(frames: Sequence[Frame], *, is_timed: bool) -> Iterator[str]:
    what = "time" if is_timed else "cost"
    has_blocks = any(frame.node.shared_hit_blocks is not None for frame in frames)
    names = ["Node", f"Own {what}", f"Total {what}", "Share", "Rows expected"]
    names += ["Rows", "Loops"] if is_timed else []
    names += ["Blocks found", "Blocks read"] if has_blocks else []
    yield "<h2>Nodes</h2>"
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in names)
    yield "</tr></thead><tbody>"
    for frame in frames:
        node = frame.node
        cells = [_span(frame), f"{frame.mark.share:.0%}", count(node.plan_rows)]
        cells += [count(node.actual_rows), count(node.actual_loops)] if is_timed else []
        cells += [count(node.shared_hit_blocks), count(node.shared_read_blocks)] if has_blocks else []
        notes = "; ".join(frame.mark.notes)
        flag = f'<span class="flag" title="{escape(notes)}">▲</span>' if notes else ""
        yield (
            f'<tr><td id="r{frame.number}"><button type="button" class="pick" data-node="{frame.number}">'
            f'{escape(_heading(node))}</button>{flag}</td><td class="{frame.mark.heat}">{_own(frame)}</td>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    yield "</tbody></table></div>"
