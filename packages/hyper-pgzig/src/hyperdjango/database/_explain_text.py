"""A plan in PostgreSQL's own text layout, from the JSON of the same run.

Used by `ExplainResult.text`, and by the page. A second EXPLAIN would give the layout for nothing, and with
ANALYZE other figures. What the JSON cannot tell: a count per loop that rounds to 0 is left out, where
PostgreSQL prints `Rows Removed by Filter: 0` for less than half a row.
PostgreSQL docs: using-explain, sql-explain.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from hyperdjango.database._explain_details import INDENT, any_property, buffers, details, io_timings
from hyperdjango.database._explain_node import ExplainNode, as_number, preorder
from hyperdjango.database._explain_title import actuals, estimates, title

Properties = Mapping[str, Any]


def render(entries: Sequence[Properties], roots: Sequence[ExplainNode]) -> str:
    """Return the text of EXPLAIN's JSON, and of the trees that were made of it."""
    plans = (
        "\n".join([*_plan(root), *_summary(entry, root)]) for entry, root in zip(entries, roots, strict=True)
    )
    return "\n\n".join(plans)


def first_line(node: ExplainNode) -> str:
    """Return what the node is, its estimates, and its times where it was run."""
    figures = " ".join(filter(None, [estimates(node), actuals(node.properties)]))
    return f"{title(node)}  {figures}" if figures else title(node)


def _plan(root: ExplainNode) -> Iterator[str]:
    is_verbose = any("Output" in node.properties for node in preorder([root]))
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        name = node.text("Subplan Name")
        if name is not None:
            yield INDENT * depth + name
            depth += 1
        arrow = "->  " if depth else ""
        yield INDENT * depth + arrow + first_line(node)
        below = depth + 3 if depth else 1
        yield from (INDENT * below + line for line in details(node, is_verbose=is_verbose))
        pending += [(child, below) for child in reversed(node.children)]


def _summary(entry: Properties, root: ExplainNode) -> Iterator[str]:
    for name, value in entry.items():
        match name:
            case "Plan" | "Query Text":
                pass
            case "Planning" if isinstance(value, Mapping):
                planning = cast("Properties", value)
                lines = [*buffers(planning), *io_timings(planning)]
                if lines:
                    yield "Planning:"
                    yield from (INDENT + line for line in lines)
            case "Planning Time" | "Execution Time":
                yield f"{name}: {_milliseconds(value)}"
            case "Triggers" if isinstance(value, list):
                yield from _triggers(cast("list[object]", value), root)
            case "JIT" if isinstance(value, Mapping):
                yield from _jit(cast("Properties", value))
            case "Settings" if isinstance(value, Mapping):
                settings = [f"{key} = '{each}'" for key, each in cast("Properties", value).items()]
                if settings:
                    yield f"Settings: {', '.join(settings)}"
            case _:
                yield from any_property(name, value)


def _milliseconds(value: object) -> str:
    return f"{as_number(value) or 0:.3f} ms"


def _triggers(triggers: Sequence[object], root: ExplainNode) -> Iterator[str]:
    """Yield a line for each trigger, with its table where the statement concerns several."""
    found = [cast("Properties", each) for each in triggers if isinstance(each, Mapping)]
    tables = {node.relation for node in preorder([root]) if node.node_type == "ModifyTable"}
    tables |= {str(each.get("Relation")) for each in found}
    for each in found:
        constraint, name = each.get("Constraint Name"), each.get("Trigger Name")
        what = "Trigger" if constraint is not None else f"Trigger {name}"
        if constraint is not None:
            what += f" for constraint {constraint}"
        if len(tables) > 1:
            what += f" on {each.get('Relation')}"
        time = "" if "Time" not in each else f"time={as_number(each['Time']) or 0:.3f} "
        yield f"{what}: {time}calls={as_number(each.get('Calls')) or 0:.0f}"


_JIT_STEPS: Final = ("Generation", "Inlining", "Optimization", "Emission", "Total")


def _jit(jit: Properties) -> Iterator[str]:
    yield "JIT:"
    yield f"{INDENT}Functions: {as_number(jit.get('Functions')) or 0:.0f}"
    options, timing = jit.get("Options"), jit.get("Timing")
    if isinstance(options, Mapping):
        words = (f"{name} {str(value).lower()}" for name, value in cast("Properties", options).items())
        yield f"{INDENT}Options: {', '.join(words)}"
    if isinstance(timing, Mapping):
        times = cast("Properties", timing)
        yield f"{INDENT}Timing: {', '.join(f'{step} {_jit_time(times.get(step))}' for step in _JIT_STEPS)}"


def _jit_time(value: object) -> str:
    """Return a step's time; from PostgreSQL 17 on that of generating has a part told apart."""
    if not isinstance(value, Mapping):
        return _milliseconds(value)
    times = cast("Properties", value)
    return f"{_milliseconds(times.get('Total'))} (Deform {_milliseconds(times.get('Deform'))})"
