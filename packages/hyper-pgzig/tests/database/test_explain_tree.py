"""`show()`: the plan as a tree in the terminal."""

import io
import sys
from typing import Any, Final

import pytest
from hyperdjango.database import ExplainResult
from rich.console import Console


def node(kind: str, *children: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"Node Type": kind, **properties, "Plans": list(children)}


def timed(time: float, rows: float, expected: float, loops: int = 1) -> dict[str, Any]:
    return {
        "Plan Rows": expected,
        "Actual Total Time": time,
        "Actual Rows": rows,
        "Actual Loops": loops,
    }


PLAN: Final = node(
    "Hash Join",
    node(
        "Seq Scan",
        **{
            "Relation Name": "[red]t[/red]",
            "Alias": "x",
            "Filter": "(a = '[b]')",
            "Rows Removed by Filter": 59_950,
        },
        **timed(60, 50, 4),
    ),
    node("Index Scan", **{"Index Name": "t_pkey", "Relation Name": "u"}, **timed(0.5, 1, 1, 20)),
    node("Result", **timed(0, 0, 9, 0)),
    **timed(100, 20, 20),
)


def drawn(plan: dict[str, Any], *, encoding: str = "utf-8", color: bool = False, times: Any = None) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(
        file=file,
        width=120,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
    )
    ExplainResult.from_json([{"Plan": plan, **(times or {})}]).show(console)
    buffer = file.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


def test_a_node_shows_its_share_its_times_and_its_rows() -> None:
    lines = drawn(PLAN, times={"Execution Time": 101.25, "Planning Time": 0.5}).splitlines()
    assert [line.rstrip() for line in lines] == [
        "Hash Join",
        "━━━━━━━━━━━━ 100%  self 30.0 ms, total 100.0 ms  20 rows, 20 expected",
        '├── Seq Scan on "[red]t[/red]" x',
        "│   ━━━━━━━━━━━━  60%  self 60.0 ms, total 60.0 ms  50 rows, 4 expected",
        "│   ! 12 times the rows that were expected",
        "│   ! reads 60,000 rows to keep 50",
        "│   Filter: (a = '[b]')",
        "│   Rows Removed by Filter: 59950",
        "├── Index Scan using t_pkey on u",
        "│   ━━━━━━━━━━━━  10%  self 10.0 ms, total 10.0 ms  1 row, 1 expected, 20 loops",
        "└── Result",
        "    ━━━━━━━━━━━━   0%  self 0.000 ms, total 0.000 ms  never executed",
        "Planning 0.500 ms, execution 101.2 ms",
    ]


def test_what_takes_long_by_itself_is_yellow_or_red() -> None:
    lines = drawn(PLAN, color=True).splitlines()
    assert "\x1b[1;31mSeq Scan" in lines[2]
    assert "\x1b[33mHash Join" in lines[0]
    assert "\x1b[33mIndex Scan" in lines[8]
    assert "\x1b[1mResult" in lines[10]


def test_without_times_it_goes_by_cost() -> None:
    scan = node("Seq Scan", **{"Relation Name": "t", "Total Cost": 1500.0, "Plan Rows": 4})
    text = drawn(node("Sort", scan, **{"Total Cost": 2000.0, "Plan Rows": 4}))
    assert "100%  cost self 500.00, total 2,000.00  4 rows expected" in text
    assert " 75%  cost self 1,500.00" in text
    assert "! reads the whole of a large table" in text
    assert "Not run: shares are of the planner's cost." in text


def test_rows_that_a_limit_has_not_asked_for_are_not_missed() -> None:
    scan = node("Seq Scan", **{"Relation Name": "t"}, **timed(1, 1, 5000))
    assert "fewer rows" not in drawn(node("Limit", scan, **timed(1, 1, 1)))
    assert "! 5,000 times fewer rows than expected" in drawn(node("Sort", scan, **timed(1, 1, 1)))
    below = node("Sort", scan, **timed(1, 1, 5000))
    assert drawn(node("Limit", below, **timed(1, 1, 1))).count("fewer rows") == 1


def test_a_terminal_that_knows_only_ascii_is_enough() -> None:
    text = drawn(PLAN, encoding="ascii")
    assert "############ 100%" in text
    assert "#######-----  60%" in text


def test_where_rich_is_missing_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ImportError, match=r"pip install 'hyper-pgzig\[rich\]'"):
        ExplainResult.from_json([{"Plan": {"Node Type": "Result"}}]).show()


def test_it_draws_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    ExplainResult.from_json([{"Plan": {"Node Type": "Result"}}]).show()
    assert capsys.readouterr().out.startswith("Result\n")
