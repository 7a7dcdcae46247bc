"""ExplainResult: what `Database.explain` gives. The plan as a tree, as text, drawn, and as a page.

PostgreSQL docs: using-explain.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

from hyperdjango.database._explain_html import page
from hyperdjango.database._explain_masking import masked
from hyperdjango.database._explain_node import ExplainNode, as_number, is_plan, preorder, tree_of
from hyperdjango.database._explain_text import render
from hyperdjango.database._explain_times import measure
from hyperdjango.database._explain_tree import draw
from hyperdjango.database.errors import ProgrammingError, ProtocolError

if TYPE_CHECKING:
    import os

    from rich.console import Console

__all__ = ["ExplainNode", "ExplainResult"]

_NOT_JSON: Final = "EXPLAIN was answered with something that is not its JSON"


class ExplainResult:
    """The plan of one statement, and how it went if it was run.

    Attributes:
        sql: The statement, or None for a plan from elsewhere.
        parameters: Its values. No text or page shows them unless asked to.
        plans: The root of each plan: one, or more where a rule makes several statements of one.
        entries: EXPLAIN's JSON: an object for each plan.
    """

    def __init__(
        self, entries: list[dict[str, Any]], sql: str | None = None, parameters: Sequence[object] = ()
    ) -> None:
        self.entries = entries
        self.sql = sql
        self.parameters = tuple(parameters)
        self.plans = [tree_of(entry["Plan"]) for entry in entries]
        measure(self.plans)

    @classmethod
    def from_json(cls, document: object, sql: str | None = None, parameters: Sequence[object] = ()) -> Self:
        """Read what `EXPLAIN (FORMAT JSON …)` gives, as a text or as what `json.loads` makes of it.

        Args:
            document: From `explain`, psql, auto_explain's log; with any options.
            sql: The statement that it is about.
            parameters: Its values.
        Raises:
            ProgrammingError: The statement has no plan: a rule has made nothing of it, or it is a command
                whose work is not planned.
            ProtocolError: It is not EXPLAIN's JSON.
        """
        if isinstance(document, (str, bytes, bytearray)):
            try:
                document = json.loads(document)
            except (ValueError, RecursionError):
                raise ProtocolError(_NOT_JSON) from None
        # auto_explain logs the one object without a list around it.
        entries = cast("list[object]", document) if isinstance(document, list) else [document]
        plans = [cast("dict[str, Any]", entry) for entry in entries if is_plan(entry)]
        if not plans:
            if all(isinstance(entry, str) for entry in entries):
                raise ProgrammingError("the statement has no plan to explain", query=sql)
            raise ProtocolError(_NOT_JSON)
        return cls(plans, sql, parameters)

    def __repr__(self) -> str:
        """The root and the times, without conditions: they hold values."""
        times = "" if self.execution_time is None else f" {self.execution_time:.3f} ms"
        return f"<ExplainResult {self.plan.node_type}, {len(self.all_nodes)} nodes{times}>"

    def __str__(self) -> str:
        """The plan as EXPLAIN prints it."""
        return self.text

    @cached_property
    def text(self) -> str:
        """The plan in PostgreSQL's own layout, with the figures of this very run."""
        return render(self.entries, self.plans)

    @property
    def plan(self) -> ExplainNode:
        """The root of the plan; of the first one, where there are several."""
        return self.plans[0]

    @property
    def analyzed(self) -> bool:
        """Whether the statement was run, so that there are actual rows and times."""
        return any("Actual Loops" in plan.properties for plan in self.plans)

    @property
    def execution_time(self) -> float | None:
        """Milliseconds that running the statement took, triggers included. None where it was not run."""
        return self._milliseconds("Execution Time")

    @property
    def planning_time(self) -> float | None:
        """Milliseconds that planning took. None where the statement was not run."""
        return self._milliseconds("Planning Time") if self.analyzed else None

    @property
    def all_nodes(self) -> list[ExplainNode]:
        """Every node, each before its children, in the order of the text."""
        return list(preorder(self.plans))

    @property
    def has_seq_scan(self) -> bool:
        """Whether some table is read as a whole."""
        return any(node.is_seq_scan for node in self.all_nodes)

    @property
    def seq_scan_tables(self) -> list[str]:
        """The tables that are read as a whole, without their schemas, each once, in the order of the text."""
        scans = (node.relation for node in self.all_nodes if node.is_seq_scan)
        return list(dict.fromkeys(name for name in scans if name is not None))

    @property
    def index_scans(self) -> list[ExplainNode]:
        """The nodes that read an index, Index Only Scans and Bitmap Index Scans included."""
        return [node for node in self.all_nodes if node.is_index_scan]

    def show(self, console: "Console | None" = None) -> None:
        """Draw the plan as a tree in the terminal.

        A node shows its share of the whole, its own and its total time, and how many rows came where how many
        were expected; what takes 10 % or 40 % by itself is yellow or red, and rows that are off by a factor
        of 10, and large tables that are read as a whole, are noted. Without times it goes by cost.

        Args:
            console: rich's, to draw on another one than standard output.
        Raises:
            ImportError: rich is not installed, which is the extra `hyper-pgzig[rich]`.
        """
        draw(self, console)

    def to_html(self, path: "str | os.PathLike[str]", *, parameters: bool = False) -> None:
        """Write one page that shows the plan as a flame graph, its nodes, the statement and the text.

        The page needs no network and may be passed on. It leaves out the values: those of the parameters, and
        in the plan's conditions every quoted literal, as none of them can be told from a value. A statement
        without parameters is shown as it is.

        Args:
            path: The file, which is replaced.
            parameters: Show the values as well.
        """
        if parameters:
            text = page(self, self.sql, self.parameters)
        else:
            text = page(type(self)(masked(self.entries, self.plans, self.parameters)), self.sql)
        Path(path).write_bytes(text.encode("utf-8", "replace"))

    def _milliseconds(self, name: str) -> float | None:
        found = [number for entry in self.entries if (number := as_number(entry.get(name))) is not None]
        return sum(found) if found else None
