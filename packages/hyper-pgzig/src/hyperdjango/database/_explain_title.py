"""The first line of a plan's node as PostgreSQL's text has it: what it is, on what, its estimates, its times.

Used by `_explain_text`, and for their titles by the tree and the page.
PostgreSQL docs: using-explain, "EXPLAIN Basics".
"""

import re
from typing import Any, Final

from hyperdjango.database._explain_node import ExplainNode, as_number

# EXPLAIN's JSON has names as they are, its text quotes them where SQL would have to. These are the words of
# PostgreSQL 15 to 18 that are no names without quotes: pg_get_keywords(), all but category U.
_KEYWORDS: Final = """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
    case cast char character check coalesce collate collation column concurrently constraint create cross
    current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
    decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
    freeze from full grant greatest group grouping having ilike in initially inner inout int integer
    intersect interval into is isnull join json json_array json_arrayagg json_exists json_object
    json_objectagg json_query json_scalar json_serialize json_table json_value lateral leading least left
    like limit localtime localtimestamp merge_action national natural nchar none normalize not notnull null
    nullif numeric offset on only or order out outer overlaps overlay placing position precision primary real
    references returning right row select session_user setof similar smallint some substring symmetric
    system_user table tablesample then time timestamp to trailing treat trim true union unique user using
    values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists
    xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
"""
_RESERVED: Final = frozenset(_KEYWORDS.split())
_PLAIN_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")

_AGGREGATES: Final = {
    "Sorted": "GroupAggregate",
    "Hashed": "HashAggregate",
    "Mixed": "MixedAggregate",
}
# What a scan reads, in the order in which it is looked for.
_OBJECTS: Final = (
    "Relation Name",
    "Function Name",
    "Table Function Name",
    "CTE Name",
    "Tuplestore Name",
)
# All that the first line says, and what no line does.
TITLE_PROPERTIES: Final = frozenset(
    {
        *_OBJECTS,
        "Node Type",
        "Strategy",
        "Partial Mode",
        "Operation",
        "Command",
        "Custom Plan Provider",
        "Parallel Aware",
        "Async Capable",
        "Join Type",
        "Scan Direction",
        "Index Name",
        "Schema",
        "Alias",
        "Startup Cost",
        "Total Cost",
        "Plan Rows",
        "Plan Width",
        "Actual Startup Time",
        "Actual Total Time",
        "Actual Rows",
        "Actual Loops",
        "Parent Relationship",
        "Subplan Name",
        "Plans",
    }
)


def title(node: ExplainNode) -> str:
    """Return what the node is and what it works on: `Index Scan Backward using t_pkey on t`."""
    properties = node.properties
    words = [
        word
        for word, name in (("Parallel", "Parallel Aware"), ("Async", "Async Capable"))
        if properties.get(name) is True
    ]
    words.append(_kind(node))
    index = node.text("Index Name")
    if node.text("Scan Direction") == "Backward":
        words.append("Backward")
    if index is not None:
        words += ["on" if node.node_type == "Bitmap Index Scan" else "using", printed_name(index)]
    target = target_of(properties)
    if target:
        words += ["on", target]
    return " ".join(words)


def _kind(node: ExplainNode) -> str:
    kind, text = node.node_type, node.text
    operation = text("Operation")
    match kind:
        case "Nested Loop" | "Hash Join" | "Merge Join":
            join = text("Join Type") or "Inner"
            kind = kind if join == "Inner" else f"{kind.removesuffix(' Join')} {join} Join"
        case "Aggregate":
            mode = text("Partial Mode")
            kind = _AGGREGATES.get(text("Strategy") or "", kind)
            kind = f"{mode} {kind}" if mode in {"Partial", "Finalize"} else kind
        case "SetOp":
            hashed = "Hash" if text("Strategy") == "Hashed" else ""
            kind = f"{hashed}SetOp {text('Command') or ''}".rstrip()
        case "ModifyTable" if operation is not None:
            kind = operation
        case "Foreign Scan" if operation not in {None, "Select"}:
            kind = f"Foreign {operation}"
        case "Custom Scan" if text("Custom Plan Provider") is not None:
            kind = f"{kind} ({text('Custom Plan Provider')})"
        case _:
            pass
    return kind


def target_of(properties: dict[str, Any]) -> str:
    """Return the object that is read or written and what the statement calls it; empty where none is."""
    found = [value for name in _OBJECTS if isinstance(value := properties.get(name), str)]
    schema, alias = properties.get("Schema"), properties.get("Alias")
    words: list[str] = []
    if found:
        qualifier = f"{printed_name(schema)}." if isinstance(schema, str) else ""
        words.append(qualifier + printed_name(found[0]))
    if isinstance(alias, str) and (not found or alias != found[0]):
        words.append(printed_name(alias))
    return " ".join(words)


def printed_name(name: str) -> str:
    """Return a name as PostgreSQL prints it, to be read and not to be sent."""
    if _PLAIN_NAME.fullmatch(name) and name not in _RESERVED:
        return name
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def estimates(node: ExplainNode) -> str:
    """Return `(cost=0.00..35.50 rows=2550 width=4)`; empty where COSTS was off."""
    startup, total = node.number("Startup Cost"), node.total_cost
    rows, width = node.plan_rows, node.number("Plan Width")
    if startup is None or total is None or rows is None or width is None:
        return ""
    return f"(cost={startup:.2f}..{total:.2f} rows={rows:.0f} width={width:.0f})"


def actuals(properties: dict[str, Any]) -> str:
    """Return `(actual time=0.010..0.035 rows=40 loops=1)`; empty where the statement was not run."""
    inner = bare_actuals(properties)
    if inner is None:
        return ""
    return f"(actual {inner})" if inner else "(never executed)"


def bare_actuals(properties: dict[str, Any]) -> str | None:
    """Return what stands behind `actual`; empty where the node never ran, None where nothing did."""
    loops, rows = as_number(properties.get("Actual Loops")), as_number(properties.get("Actual Rows"))
    if loops is None or rows is None:
        return None
    if not loops:
        return ""
    startup = as_number(properties.get("Actual Startup Time"))
    total = as_number(properties.get("Actual Total Time"))
    timing = "" if startup is None or total is None else f"time={startup:.3f}..{total:.3f} "
    return f"{timing}rows={printed_rows(rows)} loops={loops:.0f}"


def printed_rows(rows: float) -> str:
    """Return actual rows with two decimals where the backend has sent them so: from PostgreSQL 18 on."""
    return f"{rows:d}" if isinstance(rows, int) else f"{rows:.2f}"
