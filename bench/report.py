"""Turns the JSON files of the questions into Markdown, and writes it into README.md between two markers.

`python bench/report.py [folder]`. Lines where we lose stay in. Figures of an extension that is not
built as it is shipped are refused. `run.py` calls this at the end of a full run.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from _harness import RESULTS, Answer, Failed, Line, Spread

README: Final = Path(__file__).with_name("README.md")
BEGIN: Final = "<!-- measured: begin, by report.py -->"
END: Final = "<!-- measured: end -->"
PER_UNIT: Final = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9, "MiB": 2**20, "1/ms": 1, "1/s": 1}
ORDER: Final = (
    "lookup",
    "rows",
    "query_json",
    "memory",
    "gather",
    "mixed",
    "ticker",
    "pipeline",
    "copy_records",
    "execute_many",
    "arrow",
    "flat_memory",
    "stream",
    "orm_hydrate",
    "orm_get",
    "orm_bulk_create",
    "orm_prefetch",
    "orm_compile",
    "loader",
    "routing",
    "app_list",
    "app_row",
)  # others follow by name


def markdown(answers: Sequence[Answer], *, pictures: bool = False) -> str:
    """Return a table of targets, a table per question, and where it was measured.

    Args:
        answers: In the order in which they are shown.
        pictures: Show what `plots.py` has drawn, too.
    """
    parts = [_targets(answers)]
    parts += [_question(answer, picture=pictures) for answer in answers]
    # Usually all ran in one go: then what they ran on is said once.
    for place, same in groupby(answers, lambda answer: described(answer.environment)):
        runs = ", ".join(
            f"{answer.question} (load {answer.environment['load']} before it)" for answer in same
        )
        parts.append(f"Where {runs} ran:\n\n{place}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _targets(answers: Sequence[Answer]) -> str:
    rows = [
        (verdict.text, f"{verdict.limit:g}", f"{verdict.measured:.3f}", "yes" if verdict.is_met else "**no**")
        for answer in answers
        for verdict in answer.verdicts
    ]
    return _table(("speed to reach", "at most", "measured", "reached"), rows) if rows else ""


def _question(answer: Answer, *, picture: bool) -> str:
    setting = ", ".join(f"{name} {value}" for name, value in answer.setting.items())
    ratios = list(answer.lines[0].ratios)
    head = (
        "driver",
        "face",
        *(f"{figure}, {unit} (quartiles)" for figure, unit in answer.units.items()),
        *ratios,
    )
    rows = [tuple(_cells(line, answer.units, ratios)) for line in _ordered(answer.lines)]
    notes = "\n".join(f"- {note}" for note in answer.notes)
    shown = f"![The table below, as bars](images/{answer.question}.svg)\n\n" if picture else ""
    return f"### {answer.title}\n\n{shown}{_table(head, rows)}\n\n{notes}\n- {setting}."


def _ordered(lines: Sequence[Line]) -> list[Line]:
    """Face by face as they were measured, the quickest first."""
    faces = list(dict.fromkeys(line.face for line in lines))
    return sorted(lines, key=lambda line: (faces.index(line.face), next(iter(line.figures.values())).median))


def _cells(line: Line, units: dict[str, str], ratios: Sequence[str]) -> Iterator[str]:
    yield line.driver
    yield line.face
    for figure, unit in units.items():
        yield _spread(line.figures[figure], PER_UNIT[unit])
    for name in ratios:
        found = line.ratios[name]
        yield "" if found is None else f"{found:.2f}"


def _spread(spread: Spread, per_unit: float) -> str:
    digits = 1 if spread.median / per_unit >= 10 else 2
    middle, low, high = (
        f"{value / per_unit:.{digits}f}" for value in (spread.median, spread.low, spread.high)
    )
    return f"{middle} ({low}–{high})"  # noqa: RUF001 - a range


def described(environment: dict[str, Any]) -> str:
    """Return the machine, the versions and the date, as a list."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    transport = {"unix": "a Unix socket", "tcp": "TCP on the loopback"}[environment["transport"]]
    pinned = {
        "none": "",
        "same": ", client and server pinned to one processor",
        "apart": ", client and server pinned to different processors",
    }[environment["pinning"]]
    threading = ", free-threaded" if environment["free_threaded"] else ""
    return "\n".join(
        (
            f"- {environment['machine']}, {environment['kernel']}",
            f"- {environment['python']}{threading}; {environment['server']} over {transport}{pinned}",
            f"- {versions}; extension: {environment['extension']}",
            # Files that were written before they had one stay readable.
            f"- measured on {environment['date']}" if "date" in environment else "- date unknown",
        )
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read(folder: Path) -> list[Answer]:
    """Read all answers in a folder, in the order in which they are shown.

    Raises:
        Failed: There is none, or one was written by another version of this folder.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise Failed(f"no results in {folder}: run the benchmarks first")
    found = {path.stem: Answer.read(path) for path in paths}
    return [found[name] for name in sorted(found, key=_rank)]


def _rank(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER)), name


def refuse_unfit(answers: Sequence[Answer]) -> None:
    """Let nothing pass that means nothing.

    Raises:
        Failed: A figure comes from an extension that is not built as it is shipped.
    """
    unfit = {answer.environment["extension"] for answer in answers if not answer.environment["is_release"]}
    if unfit:
        raise Failed(
            f"the figures come from an extension built as {'; '.join(sorted(unfit))}: they are not written "
            "down. Build it as it is shipped (uv run hyper-build) and measure again"
        )


def write(answers: Sequence[Answer], readme: Path = README) -> None:
    """Put the report between the markers.

    Raises:
        Failed: A figure comes from an extension that is not built as it is shipped, or a marker is missing.
    """
    refuse_unfit(answers)
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Failed(f"{readme.name} has lost a marker: {BEGIN} or {END}")
    readme.write_text(
        f"{before}{BEGIN}\n\n{markdown(answers, pictures=True)}\n{END}{after}", encoding="utf-8"
    )


def main() -> int:
    """Write the report."""
    parser = argparse.ArgumentParser(description="Write what was measured into bench/README.md.")
    parser.add_argument("folder", type=Path, nargs="?", default=RESULTS, help="where the JSON files are")
    options = parser.parse_args()
    try:
        write(read(options.folder))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
