"""A plan without the values of its parameters: for pages, which are passed on.

EXPLAIN prints values where it prints conditions: `Filter: (token = 'secret'::text)`. Which literal was a
parameter cannot be told, so all that are quoted go, and of the bare numbers those that a parameter is.
PostgreSQL docs: sql-syntax-lexical, "Constants".
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, cast

from hyperdjango.database._explain_node import ExplainNode, preorder
from hyperdjango.database._explain_title import TITLE_PROPERTIES

HIDDEN: Final = "…"
_TOKEN: Final = re.compile(
    r"""
      (?P<name>"(?:[^"]|"")*"|(?:InitPlan|SubPlan)\ \d+)
    | '(?:[^']|'')*(?:'|$)
    | (?P<number>(?<![\w.$])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w]))
    """,
    re.VERBOSE,
)


def masked(
    entries: Sequence[dict[str, Any]], roots: Sequence[ExplainNode], parameters: Sequence[object]
) -> list[dict[str, Any]]:
    """Return EXPLAIN's JSON with the values hidden; as it is where there were none."""
    if not parameters:
        return list(entries)
    numbers = {
        str(value).lstrip("-")
        for value in parameters
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    }

    def hide(match: re.Match[str]) -> str:
        if match["name"] is not None:
            return match[0]
        if match["number"] is not None:
            return HIDDEN if match[0] in numbers else match[0]
        return f"'{HIDDEN}'"

    def hidden(value: object) -> object:
        if isinstance(value, str):
            return _TOKEN.sub(hide, value)
        if isinstance(value, list):
            return [hidden(each) for each in cast("list[object]", value)]
        return value

    plans: dict[int, dict[str, Any]] = {}
    # Children first.
    for node in reversed(list(preorder(roots))):
        plan: dict[str, Any] = {
            name: value if name in TITLE_PROPERTIES else hidden(value)
            for name, value in node.properties.items()
            if name != "Plans"
        }
        if node.children:
            plan["Plans"] = [plans[id(child)] for child in node.children]
        plans[id(node)] = plan
    return [
        # The whole statement of auto_explain's log is not the page's to show.
        {name: value for name, value in entry.items() if name != "Query Text"} | {"Plan": plans[id(root)]}
        for entry, root in zip(entries, roots, strict=True)
    ]
